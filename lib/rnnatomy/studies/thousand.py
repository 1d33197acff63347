"""A thousand MNIST classifiers: how often what is seen in one of them is seen at all."""

import os

import numpy as np

from rnnatomy.analysis import cutoffs, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, runs
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs, mechanism, progress, questions

AXES = {
    "test_accuracy": ("network",),
    "chosen": ("network",),
    "hits": ("network", "part", "cutoff"),
    "nearest_constant": ("network",),
    **questions.AXES,
    **mechanism.AXES,
}
"""Axes of the published arrays, see ``measure``, ``questions.ask`` and ``mechanism``."""

PARTS = ("validation", "test")

CUTOFFS = ("nothing cut", "chosen on validation", "best of this part")

TOLD = ("networks", "commit", "wall_seconds", "device", "system", "cores", "grown_from")
"""What a study that has grown tells of the study that it grew from."""

FAR = 5
"""Standard deviations from the mean of the published beyond which a network is not one of them."""


def publish(networks: int = 1000) -> None:
    """Train many MNIST classifiers and ask each the same: ``results/thousand``.

    A published study of fewer networks grows: its rows are taken over if the first and the last of
    them come out here as they are published, bit for bit, or, as another processor rounds
    otherwise and training makes much of little, as near to the others as these are to each other.
    What was grown from what, and whether the bits were the same, stands in the study's provenance.
    REPLACE=1 makes all anew.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    progress.print_line(f"MNIST from {data.source}; {networks} networks")
    before, same_bits = _published(networks, data)
    count = 0 if before is None else before.data.sizes["network"]
    made, arrays = _make(range(count, networks), data)
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    facts |= {"bases": questions.BASES, "thresholds": list(questions.THRESHOLDS)}
    if before is not None:
        old = results.arrays(before.data)
        arrays = {name: np.concatenate([old[name], array]) for name, array in arrays.items()}
        told = {name: before.provenance.get(name) for name in TOLD}
        facts |= {"grown_from": told | {"same_bits": same_bits}}
    coordinates = questions.coordinates(arrays["bias"].shape[1]) | {
        "network": np.arange(networks),
        "answer": np.arange(arrays["bias"].shape[1]),
        "part": list(PARTS),
        "cutoff": list(CUTOFFS),
        "intervention": list(mechanism.INTERVENTIONS),
        "comparison": list(mechanism.GEOMETRY),
    }
    found = results.dataset(arrays, AXES, coordinates)
    classifiers.publish_classifiers("thousand", found, data, engine.facts(made), facts)
    classifiers.print_accuracy(arrays["test_accuracy"])


def _published(networks: int, data: datasets.Dataset) -> tuple[results.Study | None, bool]:
    """Return the published study, if it can grow here, and whether its bits come out the same."""
    if os.environ.get("REPLACE") == "1" or "thousand" not in results.published():
        return None, False
    study = results.load_study("thousand")
    count = study.data.sizes["network"]
    if count >= networks:
        return None, False
    old, same_bits = results.arrays(study.data), True
    for seed in (0, count - 1):
        _, row = _make(range(seed, seed + 1), data)
        same_bits &= all(np.array_equal(old[name][seed], array[0]) for name, array in row.items())
        if not (same_bits or _one_of_them(row, old)):
            progress.print_line(f"published network {seed} comes out otherwise: all are made anew")
            return None, False
    how = "so" if same_bits else "otherwise in their bits, as on another processor, but like them"
    progress.print_line(
        f"{count} networks are published, and the first and the last come out {how}"
    )
    return study, same_bits


def _one_of_them(row: disk.Arrays, old: disk.Arrays) -> bool:
    """Say whether a network lies among published ones, in accuracy and in singular values."""
    for name in ("test_accuracy", "singular_values"):
        away = np.abs(row[name][0] - old[name].mean(axis=0))
        if np.any(away > FAR * old[name].std(axis=0)):
            return False
    return True


def _make(seeds: range, data: datasets.Dataset) -> tuple[list[engine.Kept], disk.Arrays]:
    """Train and ask the networks of some seeds, and return their jobs and their rows."""
    recipe = classifiers.RECIPES["hundred"]
    given = (seeds.stop, recipe, classifiers.HIDDEN, data)
    trained = classifiers.trained("thousand", *given, first_seed=seeds.start)
    measured = classifiers.measured("thousand", trained, measure, data)
    rows = [engine.load(kept).arrays for kept in measured]
    return [*trained, *measured], results.stack(rows, AXES, "network")


def measure(network: engine.Made, name: str, data_sha256: str) -> disk.Arrays:
    """Ask one network everything, as a job.

    Returns:
        What ``questions.ask``, ``mechanism.intervene`` and ``mechanism.compare`` return; and
        "test_accuracy"; of all cutoffs the one that reads most validation images rightly, "chosen",
        and how many images of each part are read rightly with nothing cut, with that cutoff and
        with the best, "hits"; the largest cosine of a left vector with the constant one,
        "nearest_constant".
    """
    run, data = classifiers.unpack(network, name), inputs.mnist(data_sha256)
    assert run.states is not None
    asked = questions.Network(run.readout, run.bias, run.states, data.test.labels)
    rng, model = np.random.default_rng(run.provenance["seed"]), runs.restore(run)
    shown = data.train.labels[: classifiers.GEOMETRY]
    seen = access.last_states(model, data.train.images[: classifiers.GEOMETRY])
    return (
        questions.ask(asked, rng)
        | mechanism.intervene(asked, seen, shown, rng)
        | mechanism.compare(run.readout, seen, shown)
        | _choose(asked, access.last_states(model, data.validation.images), data)
        | disk.single({"test_accuracy": run.metrics["test_accuracy"]})
    )


def _choose(network: questions.Network, held: np.ndarray, data: datasets.Dataset) -> disk.Arrays:
    """Choose the cutoff that reads most validation images, and count what it reads."""
    parts = svd.svd(network.readout)
    counts = []
    for states, labels in ((held, data.validation.labels), (network.states, network.labels)):
        recalls = cutoffs.every_cutoff(parts, network.bias, states, labels)
        counts.append(np.rint(recalls @ np.bincount(labels)).astype(int))
    chosen = len(counts[0]) - 1 - counts[0][::-1].argmax()  # of equals the last: nothing is cut
    hits = [[count[-1], count[chosen], count.max()] for count in counts]
    nearest = svd.cosines_with_constant(parts).max()
    return {
        "chosen": np.asarray(chosen, np.uint16),
        "hits": np.asarray(hits, np.uint16),
        **disk.single({"nearest_constant": nearest}),
    }
