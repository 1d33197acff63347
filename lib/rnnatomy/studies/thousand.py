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


def publish(networks: int = 1000) -> None:
    """Train many MNIST classifiers and ask each the same: ``results/thousand``.

    A published study of fewer networks grows: its rows are taken over if the first and the last of
    them come out here as they are published, bit for bit. REPLACE=1 makes all anew.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    progress.print_line(f"MNIST from {data.source}; {networks} networks")
    before = _published(networks, data)
    count = 0 if before is None else before.data.sizes["network"]
    made, arrays = _make(range(count, networks), data)
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    facts |= {"bases": questions.BASES, "thresholds": list(questions.THRESHOLDS)}
    if before is not None:
        old = results.arrays(before.data)
        arrays = {name: np.concatenate([old[name], array]) for name, array in arrays.items()}
        told = ("networks", "commit", "wall_seconds")
        facts |= {"grown_from": {name: before.provenance[name] for name in told}}
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


def _published(networks: int, data: datasets.Dataset) -> results.Study | None:
    """Return the published study, if it has fewer networks and this code makes them the same."""
    if os.environ.get("REPLACE") == "1" or "thousand" not in results.published():
        return None
    study = results.load_study("thousand")
    count = study.data.sizes["network"]
    if count >= networks:
        return None
    old = results.arrays(study.data)
    for seed in (0, count - 1):
        _, row = _make(range(seed, seed + 1), data)
        if any(not np.array_equal(old[name][seed], array[0]) for name, array in row.items()):
            progress.print_line(f"published network {seed} comes out otherwise: all are made anew")
            return None
    progress.print_line(f"{count} networks are published, and the first and the last come out so")
    return study


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
