"""Rank correlation of two measurements of networks: along rows, within groups, and by chance.

A rank correlation is Spearman's: 1 if one measurement rises whenever the other does, -1 if it then
falls, about 0 if they have nothing to do with each other.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from rnnatomy.analysis import statistics

RESAMPLES = 999
"""So many times the networks are drawn anew for an interval."""


def along(
    first: Float[np.ndarray, "network epoch"], second: Float[np.ndarray, "network epoch"]
) -> Float[np.ndarray, " network"]:
    """Correlate each row of one array with the same row of another.

    Args:
        first: one row per network, at least two numbers in it.
        second: of the same shape.

    Raises:
        ValueError: if the shapes differ, or a row has fewer than two numbers.

    Reference:
        Spearman (1904).
    """
    first, second = np.asarray(first), np.asarray(second)
    _check(first, second, axes=2)
    return np.array([_spearman(*rows) for rows in zip(first, second, strict=True)])


def across(
    first: Float[np.ndarray, " network"],
    second: Float[np.ndarray, " network"],
    rng: np.random.Generator,
) -> statistics.Interval:
    """Correlate two numbers of each network, with a 95% percentile bootstrap interval.

    Args:
        first: one number per network, at least two.
        second: another of the same networks.
        rng: source of the ``RESAMPLES`` resamples of networks; those that leave one of the numbers
            without variation do not count.

    Raises:
        ValueError: if the lengths differ, or there are fewer than two networks.

    Reference:
        Spearman (1904); Efron and Tibshirani (1993).
    """
    pairs = np.stack(_check(np.asarray(first), np.asarray(second), axes=1))
    count = pairs.shape[1]
    drawn = rng.integers(count, size=(RESAMPLES, count))
    low, high = np.nanquantile([_spearman(*pairs[:, rows]) for rows in drawn], [0.025, 0.975])
    return statistics.Interval(_spearman(*pairs), float(low), float(high))


def within(
    first: Float[np.ndarray, " network"],
    second: Float[np.ndarray, " network"],
    groups: Int[np.ndarray, " network"],
) -> Float[np.ndarray, " group"]:
    """Correlate two numbers of each network within each group by itself.

    Args:
        first: one number per network.
        second: another of the same networks.
        groups: number of each network's group; at least two networks in each.

    Returns:
        One correlation per group, in ascending order of their numbers.

    Raises:
        ValueError: if the lengths differ, or a group has fewer than two networks.
    """
    first, second, groups = (np.asarray(given) for given in (first, second, groups))
    _check_groups(first, groups)
    pairs = [(first[groups == group], second[groups == group]) for group in np.unique(groups)]
    return np.array([_spearman(*_check(*pair, axes=1)) for pair in pairs])


def permuted(
    values: Float[np.ndarray, " network"],
    groups: Int[np.ndarray, " network"],
    rng: np.random.Generator,
) -> Float[np.ndarray, " network"]:
    """Deal numbers anew among the networks of each group: what chance would give.

    Args:
        values: one number per network.
        groups: number of each network's group.
        rng: source of the permutations, one for each group, in ascending order of their numbers.

    Raises:
        ValueError: if the lengths differ.
    """
    dealt, groups = np.array(values), np.asarray(groups)
    _check_groups(dealt, groups)
    for group in np.unique(groups):
        dealt[groups == group] = rng.permutation(dealt[groups == group])
    return dealt


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate ranks; NaN where one of the two does not vary."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def _check(first: np.ndarray, second: np.ndarray, axes: int) -> tuple[np.ndarray, np.ndarray]:
    if first.shape != second.shape or first.ndim != axes or first.shape[-1] < 2:
        raise ValueError(
            f"the arrays have shapes {first.shape} and {second.shape}: give two of the same shape, "
            f"with {axes} axes and at least two numbers along the last."
        )
    return first, second


def _check_groups(values: np.ndarray, groups: np.ndarray) -> None:
    if values.shape != groups.shape or values.ndim != 1:
        raise ValueError(
            f"values have shape {values.shape} and groups {groups.shape}: give one number and one "
            "group for each network."
        )
