"""What the studies of classifiers share: training many, and measuring the readout of each."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from flax import nnx

from rnnatomy.analysis import collapse, controls, cutoffs, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training
from rnnatomy.store import checkout, disk, origin, results
from rnnatomy.studies import engine, inputs, progress

HIDDEN = 128


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
    """Train one classifier per seed in this process, and save each as a run.

    A training that was interrupted goes on from its last finished epoch.

    Args:
        data: train fits, validation is followed, test is reported.
        seeds: one network each.
        recipe: optimiser and schedule.
        folder: gets one run ``<label>-<seed>`` per network, written when training has ended.
        label: such as "mnist".
        hidden: number of LSTM units.

    Returns:
        The runs, as a reader would load them.
    """
    tag = f"{label}-{hidden}-{seeds[0]}-{seeds[-1]}-{recipe.epochs}-{recipe.learning_rate}"
    checkpoint = checkout.root() / "build" / "checkpoints" / f"{tag}.safetensors"
    started = time.perf_counter()
    made = fit_classifiers(data, seeds, recipe, hidden, report=print_epoch, checkpoint=checkpoint)
    seconds = round(time.perf_counter() - started, 1)
    facts = _facts(data, recipe, hidden) | {"networks": len(seeds), "wall_seconds": seconds}
    for run in made:
        told = origin.provenance(origin.command_line(), **run.provenance, **facts)
        named = run._replace(name=f"{label}-{run.provenance['seed']}", provenance=told)
        runs.save_run(folder / named.name, named)
    checkpoint.unlink(missing_ok=True)
    return [runs.load_run(str(folder / f"{label}-{seed}")) for seed in seeds]


def fit_classifiers(
    data: datasets.Dataset,
    seeds: Sequence[int],
    recipe: training.Recipe,
    hidden: int,
    **options: Any,
) -> list[runs.Run]:
    """Fit one classifier per seed, and measure it on the test part.

    Args:
        data: as of ``train_classifiers``.
        seeds: one network each.
        recipe: optimiser and schedule.
        hidden: number of LSTM units.
        options: as of ``training.fit_ensemble``.

    Returns:
        Runs without a name, whose provenance is the seed alone.
    """
    return fit_networks(data, seeds, recipe, classifier(data, hidden), **options)


def fit_networks(
    data: datasets.Dataset,
    seeds: Sequence[int],
    recipe: training.Recipe,
    create: training.Create,
    **options: Any,
) -> list[runs.Run]:
    """Fit one network per seed to tell classes apart, as ``fit_classifiers``.

    Args:
        data: as of ``train_classifiers``.
        seeds: one network each.
        recipe: optimiser and schedule.
        create: makes an untrained network with a readout from a key.
        options: as of ``training.fit_ensemble``.
    """
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    validation = tuple(jnp.asarray(part) for part in data.validation)
    fitted = training.fit_ensemble(
        create,
        training.cross_entropy,
        (data.train.images, data.train.labels),
        recipe,
        keys,
        measure=training.evaluate,
        held=validation,
        **options,
    )
    fitted.history.pop("seconds")
    made = []
    for member, seed in enumerate(seeds):
        run = describe(training.member(fitted, member), data, int(seed))
        history = {
            name: value[:, member].round(6).tolist() for name, value in fitted.history.items()
        }
        made.append(run._replace(metrics=run.metrics | {"history": history}))
    return made


def describe(model: models.Network, data: datasets.Dataset, seed: int) -> runs.Run:
    """Measure a trained classifier on the test part and gather it into a run without a name."""
    labels, states = data.test.labels, access.last_states(model, data.test.images)
    run = runs.Run(
        name="",
        config=model.config,
        parameters=access.flatten(model),
        metrics={},
        provenance={"seed": seed},
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


def trained(
    label: str,
    networks: int,
    recipe: training.Recipe,
    hidden: int,
    data: datasets.Dataset,
    samples: int | None = None,
    *,
    first_seed: int = 0,
) -> list[engine.Kept]:
    """Train the networks of a study on the engine, or find those that are trained.

    Args:
        label: of the networks, which are called ``<label>-<seed>``.
        networks: how many, with seeds 0, 1, 2 and so on.
        recipe: optimiser and schedule.
        hidden: number of LSTM units.
        data: MNIST, which each process loads for itself.
        samples: so many of the training part are used, the first; None: all.
        first_seed: those before it are left out.
    """
    settings = {
        "data_sha256": data.checksum,
        "samples": samples,
        "hidden": hidden,
        "recipe": recipe._asdict(),
    }
    return engine.run(
        label,
        [
            engine.Job(f"{label}-{seed}", train, {"seed": seed, **settings}, many="seed")
            for seed in range(first_seed, networks)
        ],
    )


def train(
    seed: Sequence[int],
    data_sha256: str,
    samples: int | None,
    hidden: int,
    recipe: dict[str, Any],
) -> list[engine.Made]:
    """Train classifiers, as a job: one for each seed."""
    data = first(inputs.mnist(data_sha256), samples)
    made = fit_classifiers(
        data, seed, training.Recipe(**recipe), hidden, checkpoint=engine.checkpoint()
    )
    return [pack(run) for run in made]


def measured(
    label: str,
    networks: Sequence[engine.Kept],
    work: Callable[..., disk.Arrays],
    data: datasets.Dataset,
    **settings: Any,
) -> list[engine.Kept]:
    """Measure networks on the engine, or find what was measured of them.

    Args:
        label: of the study.
        networks: as of ``trained``.
        work: measures a network; it takes what ``pack`` made of it as ``network``, its ``name``,
            the checksum of the data as ``data_sha256``, and the settings.
        data: MNIST.
        settings: further ones.
    """
    given = settings | {"data_sha256": data.checksum}
    return engine.run(
        f"{label}, measured",
        [
            engine.Job(
                f"{kept.label} measured", work, given | {"name": kept.label}, {"network": kept}
            )
            for kept in networks
        ],
    )


def first(data: datasets.Dataset, samples: int | None) -> datasets.Dataset:
    """Leave the first samples of the training part; None: all."""
    return data._replace(train=datasets.Split(*(part[:samples] for part in data.train)))


def pack(run: runs.Run) -> engine.Made:
    """Turn a run with states into what a job makes."""
    assert run.states is not None and run.labels is not None
    arrays = inputs.packed(run.parameters)
    arrays |= {"states": runs.quantise(run.states), "labels": run.labels}
    return engine.Made(
        arrays, {"config": run.config, "metrics": run.metrics, "provenance": run.provenance}
    )


def unpack(made: engine.Made, name: str) -> runs.Run:
    """Turn what a job has made into the run that it was, with a name."""
    parameters, arrays = inputs.unpacked(made.arrays)
    states, labels = runs.dequantise(arrays["states"]), arrays["labels"]
    return runs.Run(name, parameters=parameters, states=states, labels=labels, **made.facts)


def publish_run(
    kept: engine.Kept, recipe: training.Recipe, hidden: int, data: datasets.Dataset
) -> runs.Run:
    """Publish a network whole, as a run in ``results/``, and return it."""
    run = unpack(engine.load(kept), kept.label)
    facts = _facts(data, recipe, hidden) | {"networks": 1, "wall_seconds": kept.seconds}
    told = {"command": origin.command_line(), **run.provenance, **facts, **kept.origin}
    folder = checkout.root() / "results" / run.name
    runs.save_run(folder, run._replace(provenance=told))
    return runs.load_run(str(folder))


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
    name: str,
    found: xr.Dataset,
    data: datasets.Dataset,
    jobs: dict[str, Any],
    facts: dict[str, Any],
) -> None:
    """Publish what was measured of classifiers.

    Args:
        name: of the study.
        found: arrays with axes.
        data: what the networks were trained on.
        jobs: as of ``engine.facts``.
        facts: what else decides the study.
    """
    source = {"data": data.name, "data_sha256": data.checksum}
    results.publish(name, found, source | jobs | facts)


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


def _facts(data: datasets.Dataset, recipe: training.Recipe, hidden: int) -> dict[str, Any]:
    return {
        "hidden": hidden,
        "recipe": recipe._asdict(),
        "data": data.name,
        "data_sha256": data.checksum,
    }
