"""Heavy tails: how fast the large eigenvalues of a matrix become rare."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import checks


class Tail(NamedTuple):
    """A power law in the tail of a sample: density ``(alpha - 1) / start (x / start)^-alpha``.

    Attributes:
        alpha: the exponent, above 1; the smaller, the heavier the tail.
        start: the smallest value that belongs to the tail.
        size: how many values do.
        distance: the largest difference of the distribution in the tail from the power law's, as
            Kolmogorov and Smirnov measure it (0..1).
    """

    alpha: float
    start: float
    size: int
    distance: float


def fit(values: Float[np.ndarray, " value"], least: int = 2) -> Tail:
    """Fit a power law to the tail of a sample.

    From each value on the exponent is that of the largest likelihood,

        alpha = 1 + n / sum over x_i >= start of log(x_i / start)

    and the tail starts where the distance from the power law is smallest.

    Args:
        values: above 0, at least two of them different; for the eigenvalues of W'W: squares of the
            singular values of W.
        least: smallest number of values in the tail, from 2 to as many as there are.

    Returns:
        The tail; of equal distances the longest. With a ``least`` of 2 this is WeightWatcher's
        alpha (Martin, Peng and Mahoney 2021).

    Raises:
        ValueError: if a value is not above 0 or not finite, ``least`` is out of range, or there
            are no two different values where the tail may start.

    Reference:
        Clauset, Shalizi and Newman (2009).
    """
    values = np.sort(checks.double("values", values, "value"))
    if values[0] <= 0:
        raise ValueError(f"value {values[0]:.6g} is not allowed: give numbers above 0.")
    if not checks.is_whole(least, 2, len(values)):
        raise ValueError(f"least is {least}: give a whole number from 2 to {len(values)}.")
    logs = np.log(values)
    tails = [logs[start:] - logs[start] for start in range(len(values) - int(least) + 1)]
    found = [_fit(tail, values[-len(tail)]) for tail in tails if tail[-1] > 0]
    if not found:
        raise ValueError("all values in the tail are the same: give some that differ.")
    return min(found, key=lambda tail: tail.distance)


def _fit(logs: Float[np.ndarray, " value"], start: float) -> Tail:
    """Fit the exponent of a tail that starts at its first value, where the logarithms are 0."""
    count = len(logs)
    alpha = 1 + count / logs.sum()
    below = -np.expm1((1 - alpha) * logs)
    distance = np.abs(below - np.arange(count) / count).max()
    return Tail(float(alpha), float(start), count, float(distance))
