"""What is asked of every readout, whatever network it belongs to, and of random directions beside.

A readout is asked what each class loses without each direction, and without each pair of them; what
a direction is worth; and how often random directions do the same. Random directions are drawn in
the space that softmax sees, orthogonal to the constant vector, many times for each network.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import controls, cutoffs, places, svd, understudies
from rnnatomy.networks import runs
from rnnatomy.store import disk

BASES = 20
"""So many random bases are drawn for each network; each has a direction less than classes."""

THRESHOLDS = (0.1, 0.2, 0.5)
"""A class is lost when its recall is below one of these."""

AXES = {
    "readout": ("network", "digit", "unit"),
    "bias": ("network", "digit"),
    "singular_values": ("network", "direction"),
    "full": ("network", "digit"),
    "single": ("network", "direction", "digit"),
    "nested": ("network", "rank", "digit"),
    "pairs": ("network", "pair", "digit"),
    "shapley": ("network", "direction", "digit"),
    "shapley_margin": ("network", "direction", "digit"),
    "random_lost": ("network", "threshold", "place", "digit"),
    "random_bases_lost": ("network", "threshold", "digit"),
    "random_bases_any": ("network", "threshold"),
    "random_hardest": ("network", "place", "digit"),
    "random_understudies": ("network", "rule", "digit"),
    "random_bases_with": ("network", "rule", "digit"),
    "random_bases_with_any": ("network", "rule"),
    "random_worth": ("network", "digit"),
}
"""Axes of what is published; ``place`` counts the directions of a random basis by their size, from
1; a ``pair`` is one of the directions that softmax sees."""


class Network(NamedTuple):
    """A readout and what it reads.

    Attributes:
        readout: W.
        bias: b.
        states: final hidden states of the test part.
        labels: its classes.
    """

    readout: Float[np.ndarray, "class hidden"]
    bias: Float[np.ndarray, " class"]
    states: Float[np.ndarray, "sample hidden"]
    labels: Int[np.ndarray, " sample"]


def ask(network: Network, rng: np.random.Generator) -> disk.Arrays:
    """Ask a readout all questions, and random directions the same.

    Args:
        network: a readout of at most twelve classes, and what it reads.
        rng: source of the random bases.

    Returns:
        By name, with the axes of ``AXES`` but the network's. Recalls and values in half precision
        (0.0005), counts as whole numbers. Of the network: "readout", "bias", "singular_values";
        recall with nothing cut, "full", under "single" and "nested" cutoffs and without "pairs" of
        directions; Shapley values of recall, "shapley", and of the mean margin, in nats,
        "shapley_margin". Of ``BASES`` random bases: in how many a direction
        takes a class below a threshold, by its place, "random_lost", or at any place,
        "random_bases_lost", or takes any class, "random_bases_any"; which class loses most without
        it, "random_hardest"; how many pairs are star and understudy, "random_understudies", and in
        how many bases there is such a pair. "random_worth" is the largest Shapley value of recall
        in one of them.
    """
    readout, bias, states, labels = network
    parts = svd.svd(readout)
    recalls = cutoffs.every_cutoff(parts, bias, states, labels)
    margins = cutoffs.every_margin(parts, bias, states, labels)
    some = cutoffs.single_and_nested(recalls)
    pairs = cutoffs.removed(recalls, len(bias) - 1).pairs
    found = {
        "readout": readout,
        "full": some.full,
        "single": some.single,
        "nested": some.nested,
        "pairs": pairs,
        "shapley": cutoffs.shapley(recalls),
        "shapley_margin": cutoffs.shapley(margins),
    }
    found = {name: np.asarray(array, np.float16) for name, array in found.items()}
    found |= disk.single({"bias": bias, "singular_values": parts.s})
    return found | ask_random(network, rng)


def ask_run(run: runs.Run) -> disk.Arrays:
    """Ask a network all questions, with random bases of its own seed.

    Args:
        run: with states of the test part.

    Returns:
        As of ``ask``; and "test_accuracy".
    """
    assert run.states is not None and run.labels is not None
    given = Network(run.readout, run.bias, run.states, run.labels)
    asked = ask(given, np.random.default_rng(run.provenance["seed"]))
    return asked | disk.single({"test_accuracy": run.metrics["test_accuracy"]})


def ask_random(network: Network, rng: np.random.Generator) -> disk.Arrays:
    """Ask random directions what the directions of a readout are asked, as in ``ask``."""
    bases = random_bases(network.readout, rng)
    removed = cutoffs.without_directions(bases, *network)
    lost = np.stack([removed.single < below for below in THRESHOLDS], axis=1)
    hardest = places.hardest_hit(removed.full[:, None] - removed.single)
    rules = understudies.RULES.values()
    pairs = np.stack([understudies.find(removed, rule) for rule in rules], axis=1)
    counts = {
        "random_lost": lost.sum(axis=0),
        "random_bases_lost": lost.any(axis=2).sum(axis=0),
        "random_bases_any": lost.any(axis=(2, 3)).sum(axis=0),
        "random_hardest": (hardest[:, :, None] == np.arange(len(network.bias))).sum(axis=0),
        "random_understudies": pairs.sum(axis=(0, 2)),
        "random_bases_with": pairs.any(axis=2).sum(axis=0),
        "random_bases_with_any": pairs.any(axis=(2, 3)).sum(axis=0),
    }
    found = {name: np.asarray(count, np.uint16) for name, count in counts.items()}
    return found | {"random_worth": np.asarray(_worth(network, bases[0]), np.float16)}


def random_bases(
    readout: Float[np.ndarray, "class hidden"], rng: np.random.Generator
) -> Float[np.ndarray, "basis class mode"]:
    """Draw random bases of what softmax sees, each ordered by size as singular directions are.

    The size of a direction q is the length of q' W.
    """
    classes = len(readout)
    drawn = [controls.random_left_vectors(rng, classes)[:, :-1] for _ in range(BASES)]
    sizes = [np.linalg.norm(basis.T @ readout, axis=1) for basis in drawn]
    return np.stack([b[:, np.argsort(-size)] for b, size in zip(drawn, sizes, strict=True)])


def coordinates(classes: int) -> dict[str, object]:
    """Return the coordinates of the axes, for readouts of so many classes."""
    first, second = cutoffs.pair_numbers(classes - 1)
    return {
        "digit": np.arange(classes),
        "direction": np.arange(1, classes + 1),
        "rank": np.arange(classes + 1),
        "place": np.arange(1, classes),
        "pair": [f"{a + 1} and {b + 1}" for a, b in zip(first, second, strict=True)],
        "threshold": list(THRESHOLDS),
        "rule": list(understudies.RULES),
    }


def _worth(network: Network, basis: Float[np.ndarray, "class mode"]) -> Float[np.ndarray, " class"]:
    """Return the largest Shapley value for each class of the directions of a basis."""
    constant = np.full((len(basis), 1), len(basis) ** -0.5)
    parts = controls.rotate(network.readout, np.hstack([basis, constant]))
    recalls = cutoffs.every_cutoff(parts, network.bias, network.states, network.labels)
    return cutoffs.shapley(recalls).max(axis=0)
