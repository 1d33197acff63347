"""Directions of two networks: which belong together, and how far their orders differ."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from rnnatomy.analysis import checks


class Match(NamedTuple):
    """The directions of one network, each with one of another.

    Attributes:
        partners: for each direction of the first network its partner, counted from 0.
        cosines: size of the cosine of each pair, from 0 to 1.
    """

    partners: Int[np.ndarray, " mode"]
    cosines: Float[np.ndarray, " mode"]


def match(first: Float[np.ndarray, "class mode"], second: Float[np.ndarray, "class mode"]) -> Match:
    """Pair the directions of two networks one to one, so that the sum of |cosines| is largest.

    Args:
        first: orthonormal left vectors of one network, as columns.
        second: those of another, as many.

    Raises:
        ValueError: if the shapes differ, or a number is not finite.

    Reference:
        Kuhn (1955).
    """
    cosines = np.abs(_products(first, second))
    rows, partners = linear_sum_assignment(cosines, maximize=True)
    return Match(partners, cosines[rows, partners])


def match_all(bases: Float[np.ndarray, "seed class mode"]) -> Match:
    """Match the directions of each two networks, the first with the second, third and so on.

    Args:
        bases: orthonormal left vectors of each network, as columns; at least two networks.

    Returns:
        Partners and cosines with a leading axis of pairs, in the order of
        ``itertools.combinations``.

    Raises:
        ValueError: as ``match``; or if there is one network only.
    """
    bases = checks.numbers("bases", bases, "seed class mode")
    if len(bases) < 2:
        raise ValueError(f"{len(bases)} network has no other to be matched with: give two.")
    pairs = [match(one, other) for one, other in combinations(bases, 2)]
    return Match(*(np.stack(part) for part in zip(*pairs, strict=True)))


def mean_of_pairs(values: Float[np.ndarray, " pair"], networks: int) -> Float[np.ndarray, " seed"]:
    """Average, for each network, what was measured of its pairs with all others.

    Args:
        values: one finite number per pair, in the order of ``itertools.combinations``.
        networks: how many there are, at least 2.

    Raises:
        ValueError: if the number of pairs does not fit, or a number is not finite.
    """
    values = checks.numbers("values", values, "pair")
    if not checks.is_whole(networks, 2):
        raise ValueError(f"networks is {networks}: give a whole number of at least 2.")
    networks = int(networks)
    if len(values) != networks * (networks - 1) // 2:
        raise ValueError(f"{len(values)} numbers are given: give one per pair of {networks}.")
    sums = np.zeros(networks)
    for (i, j), value in zip(combinations(range(networks), 2), values, strict=True):
        sums[[i, j]] += value / (networks - 1)
    return sums


def displacement(
    first: Float[np.ndarray, "class mode"], second: Float[np.ndarray, "class mode"]
) -> float:
    """Measure how far apart in order two orthonormal bases hold the same directions.

    The mean of |k - j| over directions k of the first and j of the second, weighted by their
    squared cosines: 0 for the same directions in the same order.

    Args:
        first: orthonormal columns.
        second: orthonormal columns that span the same space, as many.

    Returns:
        In places, from 0 to the number of directions less one.

    Raises:
        ValueError: if the shapes differ, a number is not finite, or no direction of the first has
            a share in one of the second.
    """
    weights = _products(first, second) ** 2
    if not weights.any():
        raise ValueError("the bases have no direction in common: give bases of the same space.")
    places = np.arange(len(weights))
    return float((weights * np.abs(places[:, None] - places)).sum() / weights.sum())


def _products(first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, "mode mode"]:
    first = checks.numbers("first", first, "class mode")
    second = checks.numbers("second", second, "class mode")
    if first.shape != second.shape:
        raise ValueError(f"left vectors have shapes {first.shape} and {second.shape}: give equal.")
    return first.T @ second
