"""What the studies of classifiers share: training many, and measuring the readout of each."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

from rnnatomy.analysis import collapse, controls, cutoffs, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training
from rnnatomy.store import checkout, disk, origin, results
from rnnatomy.studies import progress

HIDDEN = 128


BATCH = 10
"""So many networks of a large study are trained as one computation, and kept together."""


GEOMETRY = 10_000
"""Training samples on which the geometry of the classes is measured: the first of them."""


RECIPES = {
    "mnist": training.Recipe(),
    "digits": training.Recipe(epochs=40, batch=32, learning_rate=4e-3),
    "hundred": training.Recipe(epochs=3),
}
"""The recipe of each data set, and of the study of a hundred networks, which are trained on MNIST
for less long, so that two cores can make them all in about an hour."""


CONTROLS = ("rotated", "random", "untrained")
"""What cutoffs are held against, see ``measure_controls``."""


AXES = {
    "readout": ("network", "digit", "unit"),
    "bias": ("network", "digit"),
    "left": ("network", "digit", "direction"),
    "singular_values": ("network", "direction"),
    "test_accuracy": ("network",),
    "train_accuracy": ("network",),
    "confusion": ("network", "digit", "answer"),
    "single": ("network", "direction", "digit"),
    "nested": ("network", "rank", "digit"),
    "shapley": ("network", "direction", "digit"),
    "test_hits": ("network", "subset"),
    "validation_hits": ("network", "subset"),
    "class_means": ("network", "digit", "unit"),
    "collapse": ("network",),
    "gram": ("network", "digit", "other"),
    "cross": ("network", "digit", "other"),
    "control_single": ("control", "network", "direction", "digit"),
    "control_shapley": ("control", "network", "direction", "digit"),
    "pixel_means": ("digit", "pixel"),
}
"""Axes of the published arrays: ``digit`` is what is shown, ``answer`` and ``other`` are digits
too, ``direction`` counts the singular directions from 1, ``rank`` those that are kept."""


def classifier(data: datasets.Dataset, hidden: int = HIDDEN) -> training.Create:
    """Return what makes an untrained classifier for a data set from a key."""
    feature = data.train.images.shape[-1]
    classes = int(data.train.labels.max()) + 1
    return lambda key: models.Classifier(feature, hidden, classes, rngs=nnx.Rngs(key))


def train_classifiers(
    data: datasets.Dataset,
    seeds: Sequence[int],
    recipe: training.Recipe,
    folder: Path,
    label: str,
    hidden: int = HIDDEN,
) -> list[runs.Run]:
    """Train one classifier per seed and save each as a run.

    Args:
        data: train fits, validation is followed, test is reported.
        seeds: one network each, all trained as one computation.
        recipe: optimiser and schedule.
        folder: gets one run ``<label>-<seed>`` per network, written when training has ended.
        label: such as "mnist".
        hidden: number of LSTM units.

    Returns:
        The runs, as a reader would load them.
    """
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    validation = tuple(jnp.asarray(part) for part in data.validation)
    tag = f"{label}-{hidden}-{seeds[0]}-{seeds[-1]}-{recipe.epochs}-{recipe.learning_rate}"
    checkpoint = checkout.root() / "build" / "checkpoints" / f"{tag}.safetensors"
    fitted = training.fit_ensemble(
        classifier(data, hidden),
        training.cross_entropy,
        (data.train.images, data.train.labels),
        recipe,
        keys,
        measure=lambda model: training.evaluate(model, *validation),
        report=print_epoch,
        checkpoint=checkpoint,
    )
    seconds = round(float(fitted.history.pop("seconds").sum()), 1)
    saved = []
    for member, seed in enumerate(seeds):
        facts = {
            "seed": int(seed),
            "hidden": hidden,
            "recipe": recipe._asdict(),
            "data": data.name,
            "data_sha256": data.checksum,
            "networks": len(seeds),
            "wall_seconds": seconds,
        }
        run = describe(training.member(fitted, member), data, f"{label}-{seed}", facts)
        history = {
            name: value[:, member].round(6).tolist() for name, value in fitted.history.items()
        }
        run.metrics["history"] = history
        runs.save_run(folder / run.name, run)
        saved.append(runs.load_run(str(folder / run.name)))
    checkpoint.unlink(missing_ok=True)
    return saved


def describe(model: models.Classifier, data: datasets.Dataset, name: str, facts: dict) -> runs.Run:
    """Measure a trained classifier on the test part and gather it into a run."""
    labels, states = data.test.labels, access.last_states(model, data.test.images)
    run = runs.Run(
        name=name,
        config=model.config,
        parameters=access.flatten(model),
        metrics={},
        provenance=origin.provenance(origin.command_line(), **facts),
        states=states,
        labels=labels,
    )
    as_stored = run._replace(states=runs.dequantise(runs.quantise(states)))
    recall = cutoffs.recall(run.logits, labels)
    stored = cutoffs.recall(as_stored.logits, labels)
    run.metrics.update(
        test_accuracy=float(np.mean(run.logits.argmax(axis=1) == labels)),
        test_recall=recall.tolist(),
        stored_recall_error=float(np.abs(recall - stored).max()),
    )
    return run


class Measured(NamedTuple):
    """What is measured of the networks of a study.

    Attributes:
        rows: of each network, arrays by name.
        names: of the networks.
        seconds: that their training took in all.
    """

    rows: list[disk.Arrays]
    names: list[str]
    seconds: float


def measure_each(
    networks: Iterable[runs.Run], count: int, measure: Callable[[runs.Run], disk.Arrays]
) -> Measured:
    """Measure networks one after the other, as they come, and tell how far it is.

    Args:
        networks: as of ``trained_runs``.
        count: how many there will be.
        measure: what is asked of each.
    """
    rows, names, seconds = [], [], 0.0
    for run in networks:
        rows.append(measure(run))
        names.append(run.name)
        seconds += run.provenance["wall_seconds"] / run.provenance["networks"]
        progress.print_progress("measured", len(rows), count)
    return Measured(rows, names, seconds)


def print_epoch(epoch: training.Epoch) -> None:
    """Print one line when an epoch has ended: loss, validation accuracy, time left."""
    metrics = [
        f"validation {name.replace('_', ' ')} {np.mean(value):.4f}"
        for name, value in epoch.metrics.items()
        if name == "accuracy"
    ]
    print(
        f"epoch {epoch.number:3d}/{epoch.of}  loss {np.mean(epoch.loss):.4f}  "
        f"{'  '.join(metrics)}  {epoch.seconds:.0f} s  left {progress.clock(epoch.left)}",
        flush=True,
    )


def trained_runs(
    label: str, networks: int, recipe: training.Recipe, hidden: int, data: datasets.Dataset
) -> Iterator[runs.Run]:
    """Give the networks of a study, from ``build/networks`` if they are there, else trained.

    A batch of networks is kept when it is trained; an interrupted batch goes on from its last
    finished epoch.
    """
    folder, started = checkout.root() / "build" / "networks", time.perf_counter()
    names = [f"{label}-{seed}" for seed in range(networks)]
    wanted = [s for s, n in enumerate(names) if not _is_current(folder / n, data, recipe, hidden)]
    if len(wanted) < networks:
        progress.print_line(
            f"{networks - len(wanted)} of {networks} are there already, in {folder}"
        )
    for first in range(0, len(wanted), BATCH):
        batch = wanted[first : first + BATCH]
        train_classifiers(data, batch, recipe, folder, label, hidden)
        done = first + len(batch)
        left = progress.clock(progress.seconds_left(started, done, len(wanted)))
        there = networks - len(wanted) + done
        progress.print_line(f"trained {there} of {networks}; {left} left")
    return (runs.load_run(str(folder / name)) for name in names)


def coordinates(arrays: disk.Arrays, names: Sequence[str]) -> dict[str, Any]:
    """Return the coordinates of the arrays of networks, by their names ``<label>-<seed>``."""
    ranks, digits = arrays["nested"].shape[1:]
    return {
        "network": list(names),
        "seed": (("network",), [int(name.rpartition("-")[2]) for name in names]),
        **dict.fromkeys(("digit", "answer", "other"), np.arange(digits)),
        "direction": np.arange(1, ranks),
        "rank": np.arange(ranks),
        "control": CONTROLS,
    }


def publish_classifiers(
    name: str, found: xr.Dataset, data: datasets.Dataset, seconds: float, facts: dict[str, Any]
) -> None:
    """Publish what was measured of classifiers.

    Args:
        name: of the study.
        found: arrays with axes.
        data: what the networks were trained on.
        seconds: that their training took.
        facts: what else decides the study.
    """
    source = {"data": data.name, "data_sha256": data.checksum, "wall_seconds": round(seconds, 1)}
    results.publish(name, found, source | facts)


def print_accuracy(accuracy: Any) -> None:
    """Print the mean of the accuracies of networks, and their standard deviation."""
    print(f"mean {np.mean(accuracy):.4f}, standard deviation {np.std(accuracy, ddof=1):.4f}")


def measure_readout(run: runs.Run, data: datasets.Dataset) -> disk.Arrays:
    """Measure one trained network for a study of many.

    Args:
        run: with states of the test part.
        data: what it was trained on.

    Returns:
        By name, with the axes of ``AXES`` but the network's. Of the network: "readout" W, "bias",
        "left" vectors and "singular_values" of W, "test_accuracy", "confusion" (rows: what is
        shown). Recall of each class under cutoffs: "single", "nested"; "shapley", the Shapley
        values of the directions; "test_hits" and "validation_hits", how many samples are read
        rightly under each of all cutoffs. On the first 10,000 training samples: "train_accuracy",
        "class_means" M of the final hidden states, "collapse" of the spread within classes, and the
        inner products of the centred means with each other, "gram", and with the readout, "cross"
        (W M').
    """
    assert run.states is not None
    model, parts = runs.restore(run), svd.svd(run.readout)
    labels, shown = data.test.labels, data.train.labels[:GEOMETRY]
    test = cutoffs.every_cutoff(parts, run.bias, run.states, labels)
    validation = cutoffs.every_cutoff(
        parts, run.bias, access.last_states(model, data.validation.images), data.validation.labels
    )
    seen = access.last_states(model, data.train.images[:GEOMETRY])
    means = collapse.class_means(seen, shown)
    centred = means - means.mean(axis=0)
    some = cutoffs.single_and_nested(test)
    read = (seen @ run.readout.T + run.bias).argmax(axis=1)
    return _compact(
        readout=run.readout,
        bias=run.bias,
        left=parts.U,
        singular_values=parts.s,
        test_accuracy=run.metrics["test_accuracy"],
        train_accuracy=np.mean(read == shown),
        confusion=cutoffs.confusion(run.logits, labels),
        single=some.single,
        nested=some.nested,
        shapley=cutoffs.shapley(test),
        test_hits=np.rint(test @ np.bincount(labels)),
        validation_hits=np.rint(validation @ np.bincount(data.validation.labels)),
        class_means=means,
        collapse=collapse.collapse(seen, shown),
        gram=centred @ centred.T,
        cross=run.readout @ centred.T,
    )


def measure_controls(run: runs.Run, data: datasets.Dataset) -> disk.Arrays:
    """Measure what cutoffs do where nothing was learnt, or along directions that mean nothing.

    Returns:
        Recall under single cutoffs and Shapley values, as in ``measure_readout``: "control_single"
        and "control_shapley" (control, direction, digit). Of ``CONTROLS``, "rotated" is the trained
        readout, cut along random orthogonal directions of the class space; "random" the trained
        states, read by a random readout of the same size; "untrained" the network before training.
    """
    assert run.states is not None
    fresh = runs.untrained(run)
    rng = np.random.default_rng(run.provenance["seed"])
    noise = rng.normal(size=run.readout.shape)
    noise *= np.linalg.norm(run.readout) / np.linalg.norm(noise)
    rotated = controls.rotate(run.readout, controls.random_basis(rng, len(run.bias)))
    cases = {
        "untrained": (
            svd.svd(access.readout(fresh).W),
            access.readout(fresh).b,
            access.last_states(fresh, data.test.images),
        ),
        "random": (svd.svd(noise), np.zeros_like(run.bias), run.states),
        "rotated": (rotated, run.bias, run.states),
    }
    recalls = [cutoffs.every_cutoff(*cases[name], data.test.labels) for name in CONTROLS]
    return _compact(
        control_single=[cutoffs.single_and_nested(one).single for one in recalls],
        control_shapley=[cutoffs.shapley(one) for one in recalls],
    )


def _compact(**arrays: Any) -> disk.Arrays:
    counts = {"confusion", "test_hits", "validation_hits"} & arrays.keys()
    return disk.single(arrays) | {name: np.asarray(arrays[name], np.uint16) for name in counts}


def _is_current(folder: Path, data: datasets.Dataset, recipe: training.Recipe, hidden: int) -> bool:
    try:
        made = runs.load_run(str(folder)).provenance
    except disk.StoreError:
        return False
    wanted = {"recipe": recipe._asdict(), "data_sha256": data.checksum, "hidden": hidden}
    return all(made[name] == value for name, value in wanted.items())
