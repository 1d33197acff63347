"""What many networks have in common: directions matched, positions counted, chance, geometry.

Arrays of an ensemble have a leading seed axis, one row per network.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.stats import bootstrap

from rnnatomy.svd import SVD


class Interval(NamedTuple):
    """An estimate over networks with its interval.

    Attributes:
        value: of all networks.
        low: lower end of the 95% interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    def text(self, form: str = ".2f") -> str:
        """Write it as "0.53 (0.41 to 0.64)", each number in the given format; no -0.00."""
        sign = form[:1] if form[:1] in "+- " else ""
        value, low, high = (format(x, f"{sign}z{form.removeprefix(sign)}") for x in self)
        return f"{value} ({low} to {high})"


def interval(
    sample: Float[np.ndarray, " seed"],
    rng: np.random.Generator,
    statistic: Callable[..., Float[np.ndarray, "..."]] = np.mean,
) -> Interval:
    """Estimate a statistic over networks, with a 95% percentile bootstrap interval.

    Args:
        sample: one number per network, at least two.
        rng: source of the 9,999 resamples.
        statistic: of a sample, along its last axis (``axis=-1``).

    Raises:
        ValueError: if there are fewer than two networks, or a number is not finite.

    Reference:
        Efron and Tibshirani (1993).
    """
    sample = np.asarray(sample, float)
    if len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(f"{len(sample)} numbers are given: give two or more, all of them finite.")
    value = float(statistic(sample, axis=-1))
    if np.ptp(sample) == 0:
        return Interval(value, value, value)
    found = bootstrap((sample,), statistic, method="percentile", rng=rng, batch=1000)
    return Interval(value, *map(float, found.confidence_interval))


def permuted(
    table: Float[np.ndarray, "seed mode class"], rng: np.random.Generator
) -> Float[np.ndarray, "seed mode class"]:
    """Permute the class labels within each network, each network in its own way.

    What a network's directions do to its classes stays as it is; only which class is which is
    lost. A statistic of the permuted table is what chance gives.
    """
    return np.stack([network[:, rng.permutation(network.shape[1])] for network in table])


def match(
    first: Float[np.ndarray, "class mode"], second: Float[np.ndarray, "class mode"]
) -> tuple[Int[np.ndarray, " mode"], Float[np.ndarray, " mode"]]:
    """Pair the directions of two networks one to one, so that the sum of |cosines| is largest.

    Args:
        first: orthonormal left vectors of one network, as columns.
        second: those of another.

    Returns:
        For each direction of the first, its partner (counted from 0), and their |cosine|.

    Raises:
        ValueError: if the shapes differ.

    Reference:
        Kuhn (1955).
    """
    if first.shape != second.shape:
        raise ValueError(f"left vectors have shapes {first.shape} and {second.shape}: give equal.")
    cosines = np.abs(first.T @ second)
    rows, partners = linear_sum_assignment(cosines, maximize=True)
    return partners, cosines[rows, partners]


def displacement(
    first: Float[np.ndarray, "class mode"], second: Float[np.ndarray, "class mode"]
) -> float:
    """Measure how far apart in order two orthonormal bases hold the same directions.

    The mean of |k - j| over directions k of the first and j of the second, weighted by their
    squared cosines: 0 for the same directions in the same order.

    Args:
        first: orthonormal columns.
        second: orthonormal columns that span the same space.

    Returns:
        In places.
    """
    weights = (first.T @ second) ** 2
    places = np.arange(len(weights))
    return float((weights * np.abs(places[:, None] - places)).sum() / weights.sum())


def random_basis(rng: np.random.Generator, size: int) -> Float[np.ndarray, "size size"]:
    """Draw an orthogonal matrix, all directions equally likely.

    Reference:
        Mezzadri (2007).
    """
    Q, R = np.linalg.qr(rng.normal(size=(size, size)))
    return Q * np.sign(np.diag(R))


def rotate(
    matrix: Float[np.ndarray, "class hidden"], basis: Float[np.ndarray, "class mode"]
) -> SVD:
    """Take a readout apart along any orthonormal directions of the class space.

    The parts multiply out to the matrix, as those of an SVD do, but the right vectors are not
    orthogonal to each other; that of a direction along which nothing is written is zero.

    Args:
        matrix: the readout W.
        basis: orthonormal columns, as many as classes.

    Returns:
        Directions in order of size, from large to small.
    """
    rows = basis.T @ np.asarray(matrix, np.float64)
    size = np.linalg.norm(rows, axis=1)
    order = np.argsort(-size)
    right = rows / np.where(size > 0, size, 1)[:, None]
    return SVD(basis[:, order], size[order], right[order])


def class_means(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "class hidden"]:
    """Average the states of each class, classes 0 to the largest label.

    Raises:
        ValueError: if a class has no sample.
    """
    counts = np.bincount(labels)
    if not counts.all():
        raise ValueError(f"class {counts.argmin()} has no sample: it has no mean.")
    return np.stack([states[labels == k].mean(axis=0) for k in range(len(counts))])


def collapse(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> float:
    """Measure how far the states of each class have collapsed to their mean.

        trace(S_W pinv(S_B)) / classes

    with S_W the covariance within classes and S_B that of the class means: 0 when collapsed.

    Reference:
        Papyan, Han and Donoho (2020), NC1.
    """
    states = np.asarray(states, np.float64)
    means = class_means(states, labels)
    inner = states - means[labels]
    within = inner.T @ inner / len(states)
    outer = means - means.mean(axis=0)
    between = outer.T @ outer / len(means)
    # the means span classes - 1 directions; what lies beyond them is rounding
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-6)) / len(means))


def simplex_deviation(gram: Float[np.ndarray, "class class"]) -> float:
    """Measure how far class means are from a simplex, in which all classes are equally far apart.

    The mean of |cos - (-1 / (classes - 1))| over pairs of classes: 0 for a simplex.

    Args:
        gram: inner products of the centred class means.

    Reference:
        Papyan, Han and Donoho (2020), NC2.
    """
    size = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(size, size)
    pairs = np.triu_indices(len(gram), 1)
    return float(np.abs(cosines[pairs] + 1 / (len(gram) - 1)).mean())
