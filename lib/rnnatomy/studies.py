"""The studies: expensive computations whose small results are published in ``results/``.

Run with ``make results``, or one at a time: ``python -m rnnatomy.studies mnist``. A study that is
interrupted goes on from its last finished epoch when it is started again.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rnnatomy import (
    cutoffs,
    datasets,
    ensembles,
    gate_study,
    models,
    movement_study,
    orbit_study,
    runs,
    stroke_study,
    svd,
    training,
    vae_study,
)
from rnnatomy.classifiers import last_states, restore, untrained

HIDDEN = 128
BATCH = 10
"""So many networks of a large study are trained as one computation, and kept together."""
WHOLE = 2
"""So many networks of the large study are published whole, each as a run."""
GEOMETRY = 10_000
"""Training samples on which the geometry of the classes is measured: the first of them."""

RECIPES = {
    "mnist": training.Recipe(),
    "digits": training.Recipe(epochs=40, batch=32, learning_rate=4e-3),
    "hundred": training.Recipe(epochs=3),
}
"""The recipe of each data set, and of the study of a hundred networks, which are trained on MNIST
for less long, so that two cores can make them all in about an hour."""


class Condition(NamedTuple):
    """What differs between the networks of the study of long training.

    Attributes:
        epochs: passes over the training data.
        weight_decay: as of a recipe.
        hidden: number of LSTM units.
    """

    epochs: int
    weight_decay: float = 1e-2
    hidden: int = HIDDEN


CONDITIONS = (
    *(Condition(epochs) for epochs in (1, 3, 10, 30, 60)),
    *(Condition(30, weight_decay=decay) for decay in (0.0, 1e-1)),
    *(Condition(30, hidden=hidden) for hidden in (64, 256)),
)
LONGEST = max(CONDITIONS, key=lambda condition: condition.epochs)


def classifier(data: datasets.Dataset, hidden: int = HIDDEN) -> training.Create:
    """Return what makes an untrained classifier for a data set from a key."""
    feature = data.train.images.shape[-1]
    classes = int(data.train.labels.max()) + 1
    return lambda key: models.LSTMClassifier(feature, hidden, classes, rngs=nnx.Rngs(key))


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
    checkpoint = runs.ROOT / "build" / "checkpoints" / f"{tag}.safetensors"
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


def describe(
    model: models.LSTMClassifier, data: datasets.Dataset, name: str, facts: dict
) -> runs.Run:
    """Measure a trained classifier on the test part and gather it into a run."""
    labels, states = data.test.labels, last_states(model, data.test.images)
    run = runs.Run(
        name=name,
        kind=type(model).__name__,
        parameters=runs.flatten(nnx.state(model)),
        metrics={},
        provenance=runs.provenance(runs.command_line(), **facts),
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


def print_epoch(epoch: training.Epoch) -> None:
    """Print one line when an epoch has ended: loss, validation accuracy, time left."""
    metrics = [
        f"validation {name.replace('_', ' ')} {np.mean(value):.4f}"
        for name, value in epoch.metrics.items()
        if name == "accuracy"
    ]
    print(
        f"epoch {epoch.number:3d}/{epoch.of}  loss {np.mean(epoch.loss):.4f}  "
        f"{'  '.join(metrics)}  {epoch.seconds:.0f} s  left {_clock(epoch.left)}",
        flush=True,
    )


def mnist(networks: int = 5) -> None:
    """Train and publish the MNIST classifiers: ``results/mnist-<seed>``."""
    data = datasets.mnist()
    print(f"MNIST from {data.source}; {networks} networks, to results/", flush=True)
    results = runs.ROOT / "results"
    saved = train_classifiers(data, range(networks), RECIPES["mnist"], results, "mnist")
    for run in saved:
        print(
            f"{run.name}: test accuracy {run.metrics['test_accuracy']:.4f}, "
            f"recall error of stored states {run.metrics['stored_recall_error']:.4f}"
        )
    _print_accuracy([run.metrics["test_accuracy"] for run in saved])


def hundred(networks: int = 100) -> None:
    """Train many MNIST classifiers and publish what is measured of each: ``results/hundred``.

    The first networks are published whole too, as runs.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), RECIPES["hundred"]
    print(f"MNIST from {data.source}; {networks} networks, {BATCH} at a time", flush=True)
    rows, seconds = [], 0.0
    for run in _trained("hundred", networks, recipe, HIDDEN, data):
        rows.append(measure(run, data) | controls(run, data))
        seconds += run.provenance["wall_seconds"] / run.provenance["networks"]
        if len(rows) <= WHOLE:
            runs.save_run(runs.ROOT / "results" / run.name, run)
        _print_progress("measured", len(rows), networks)
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    pixels = data.train.images.reshape(len(data.train.images), -1)
    arrays["pixel_means"] = ensembles.class_means(pixels, data.train.labels)
    facts = {"hidden": HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    _publish("hundred", arrays, data, seconds, facts)
    _print_accuracy(arrays["test_accuracy"])


def layers(networks: int = 100) -> None:
    """Sum up the hidden layers of the study of a hundred networks: ``results/layers``.

    The networks are those of ``hundred``, trained anew if they are not there.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), RECIPES["hundred"]
    rows, seconds = [], 0.0
    for run in _trained("hundred", networks, recipe, HIDDEN, data):
        rows.append(gate_study.summary(run, data))
        seconds += run.provenance["wall_seconds"] / run.provenance["networks"]
        _print_progress("measured", len(rows), networks)
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    facts = {"hidden": HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    facts |= {"energies": list(gate_study.ENERGIES), "followed": gate_study.FOLLOWED}
    _publish("layers", arrays, data, seconds, facts)


def collapse(networks: int = 10) -> None:
    """Train classifiers on few images for longer and longer: ``results/collapse``.

    Each training time, weight decay and width of ``CONDITIONS`` has its networks, with seeds 0, 1,
    2 and so on; each network is trained from the start through one whole cycle. The first network
    of the longest training is published whole too, as a run.

    Args:
        networks: how many for each condition.
    """
    data = datasets.mnist()
    few = data._replace(train=datasets.Split(*(part[:GEOMETRY] for part in data.train)))
    rows, seconds = [], 0.0
    for condition in CONDITIONS:
        print(f"{condition}: {networks} networks, {BATCH} at a time", flush=True)
        recipe = RECIPES["mnist"]._replace(
            epochs=condition.epochs, weight_decay=condition.weight_decay
        )
        label = f"collapse-{condition.epochs}-{condition.weight_decay}-{condition.hidden}"
        for run in _trained(label, networks, recipe, condition.hidden, few):
            given = {name: np.float32(value) for name, value in condition._asdict().items()}
            rows.append(measure(run, few) | controls(run, few) | given)
            seconds += run.provenance["wall_seconds"] / run.provenance["networks"]
            if condition == LONGEST and run.provenance["seed"] == 0:
                runs.save_run(runs.ROOT / "results" / run.name, run)
            _print_progress("measured", len(rows), networks * len(CONDITIONS))
    # as wide as the network, which differs; and counts that no question of this study needs
    left_out = {"readout", "class_means", "test_hits", "validation_hits"}
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0].keys() - left_out}
    facts = {"networks": len(rows), "train_samples": GEOMETRY}
    _publish("collapse", arrays, data, seconds, facts)


def _trained(
    label: str, networks: int, recipe: training.Recipe, hidden: int, data: datasets.Dataset
) -> Iterator[runs.Run]:
    """Give the networks of a study, from ``build/networks`` if they are there, else trained.

    A batch of networks is kept when it is trained; an interrupted batch goes on from its last
    finished epoch.
    """
    folder, started = runs.ROOT / "build" / "networks", time.perf_counter()
    names = [f"{label}-{seed}" for seed in range(networks)]
    wanted = [s for s, n in enumerate(names) if not _is_made(folder / n, data, recipe, hidden)]
    if len(wanted) < networks:
        print(f"{networks - len(wanted)} of {networks} are there already, in {folder}", flush=True)
    for first in range(0, len(wanted), BATCH):
        batch = wanted[first : first + BATCH]
        train_classifiers(data, batch, recipe, folder, label, hidden)
        done = first + len(batch)
        left = (time.perf_counter() - started) / done * (len(wanted) - done)
        there = networks - len(wanted) + done
        print(f"trained {there} of {networks}; {_clock(left)} left", flush=True)
    return (runs.load_run(str(folder / name)) for name in names)


def _publish(
    name: str, arrays: runs.Arrays, data: datasets.Dataset, seconds: float, facts: dict[str, Any]
) -> None:
    where = {"data": data.name, "data_sha256": data.checksum, "wall_seconds": round(seconds, 1)}
    provenance = runs.provenance(runs.command_line(), **where, **facts)
    runs.save_study(runs.ROOT / "results" / name, runs.Study(name, arrays, provenance))


def _print_progress(word: str, done: int, of: int) -> None:
    if done % 10 == 0 or done == of:
        print(f"{word} {done} of {of}", flush=True)


def _print_accuracy(accuracy: Any) -> None:
    print(f"mean {np.mean(accuracy):.4f}, standard deviation {np.std(accuracy, ddof=1):.4f}")


def measure(run: runs.Run, data: datasets.Dataset) -> runs.Arrays:
    """Measure one trained network for a study of many.

    Args:
        run: with states of the test part.
        data: what it was trained on.

    Returns:
        By name. Of the network: "seed", "readout" W, "bias", "left" vectors and "singular_values"
        of W, "test_accuracy", "confusion" (rows: what is shown). Recall of each class under
        cutoffs: "single", "nested"; "shapley", the Shapley values of the directions; "test_hits"
        and "validation_hits", how many samples are read rightly under each of all cutoffs. On the
        first 10,000 training samples: "train_accuracy", "class_means" M of the final hidden
        states, "collapse" of the spread within classes, and the inner products of the centred
        means with each other, "gram", and with the readout, "cross" (W M').
    """
    assert run.states is not None
    model, parts = restore(run), svd.svd(run.readout)
    labels, shown = data.test.labels, data.train.labels[:GEOMETRY]
    test = cutoffs.every_cutoff(parts, run.bias, run.states, labels)
    validation = cutoffs.every_cutoff(
        parts, run.bias, last_states(model, data.validation.images), data.validation.labels
    )
    seen = last_states(model, data.train.images[:GEOMETRY])
    means = ensembles.class_means(seen, shown)
    centred = means - means.mean(axis=0)
    some = cutoffs.single_and_nested(test)
    read = (seen @ run.readout.T + run.bias).argmax(axis=1)
    return _compact(
        seed=run.provenance["seed"],
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
        collapse=ensembles.collapse(seen, shown),
        gram=centred @ centred.T,
        cross=run.readout @ centred.T,
    )


def controls(run: runs.Run, data: datasets.Dataset) -> runs.Arrays:
    """Measure what cutoffs do where nothing was learnt, or along directions that mean nothing.

    Returns:
        Recall under single cutoffs and Shapley values, as in ``measure``, of three controls:
        "untrained_single", "untrained_shapley": the network before training; "random_": the
        trained states, read by a random readout of the same size; "rotated_": the trained readout,
        cut along random orthogonal directions of the class space.
    """
    assert run.states is not None
    fresh = untrained(run)
    rng = np.random.default_rng(run.provenance["seed"])
    noise = rng.normal(size=run.readout.shape)
    noise *= np.linalg.norm(run.readout) / np.linalg.norm(noise)
    rotated = ensembles.rotate(run.readout, ensembles.random_basis(rng, len(run.bias)))
    cases = {
        "untrained": (
            svd.svd(fresh.readout),
            fresh.bias,
            last_states(restore(fresh), data.test.images),
        ),
        "random": (svd.svd(noise), np.zeros_like(run.bias), run.states),
        "rotated": (rotated, run.bias, run.states),
    }
    arrays = {}
    for name, (parts, bias, states) in cases.items():
        recalls = cutoffs.every_cutoff(parts, bias, states, data.test.labels)
        arrays[f"{name}_single"] = cutoffs.single_and_nested(recalls).single
        arrays[f"{name}_shapley"] = cutoffs.shapley(recalls)
    return _compact(**arrays)


def _compact(**arrays: Any) -> runs.Arrays:
    counts = {"seed", "confusion", "test_hits", "validation_hits"}
    return {
        name: np.asarray(value, np.uint16 if name in counts else np.float32)
        for name, value in arrays.items()
    }


def _is_made(folder: Path, data: datasets.Dataset, recipe: training.Recipe, hidden: int) -> bool:
    try:
        made = runs.load_run(str(folder)).provenance
    except runs.RunError:
        return False
    wanted = {"recipe": recipe._asdict(), "data_sha256": data.checksum, "hidden": hidden}
    return all(made[name] == value for name, value in wanted.items())


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s"


STUDIES = {
    "mnist": mnist,
    "hundred": hundred,
    "collapse": collapse,
    "orbits": orbit_study.study,
    "movement": movement_study.study,
    "gates": gate_study.study,
    "layers": layers,
    "autoencoder": vae_study.study,
    "likelihood": vae_study.likelihood,
    "strokes": stroke_study.study,
}


def main() -> None:
    """Run one study by name."""
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.studies", description=__doc__)
    parser.add_argument("study", choices=STUDIES, help="which study to run")
    parser.add_argument("--networks", type=int, help="how many, if not as published")
    options = parser.parse_args()
    training.use_each_core()
    if options.networks is not None and options.networks < 2:
        sys.exit(f"error: --networks is {options.networks}: give a whole number of at least 2.")
    try:
        given = {} if options.networks is None else {"networks": options.networks}
        STUDIES[options.study](**given)
    except (datasets.DataError, runs.RunError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the same command goes on from the last finished epoch.")


if __name__ == "__main__":
    main()
