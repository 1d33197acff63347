"""Directions of two networks, matched."""

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment


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
