"""Estimates over many networks, with their intervals.

A sample has one number per network.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap, t

from rnnatomy.analysis import checks


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

    def __format__(self, form: str) -> str:
        """Write it as ``text`` does, where an f-string or ``format`` writes numbers."""
        return self.text(form or ".2f")


def interval(
    sample: Float[np.ndarray, " seed"],
    rng: np.random.Generator,
    statistic: Callable[..., Float[np.ndarray, "..."]] = np.mean,
) -> Interval:
    """Estimate a statistic over networks, with a 95% percentile bootstrap interval.

    Args:
        sample: one finite number per network, at least two.
        rng: source of the 9,999 resamples.
        statistic: of a sample, along its last axis (``axis=-1``).

    Raises:
        ValueError: if there are fewer than two networks, or a number is not finite.

    Reference:
        Efron and Tibshirani (1993).
    """
    sample = _finite(sample)
    value = float(statistic(sample, axis=-1))
    if np.ptp(sample) == 0:
        return Interval(value, value, value)
    found = bootstrap((sample,), statistic, method="percentile", rng=rng, batch=1000)
    return Interval(value, *map(float, found.confidence_interval))


def median_and_range(sample: Float[np.ndarray, " seed"]) -> Interval:
    """Return the median over a few networks, with the least and the largest as the ends.

    Args:
        sample: one finite number per network, at least two.

    Raises:
        ValueError: if there are fewer than two networks, or a number is not finite.
    """
    middle, low, high = np.quantile(_finite(sample), [0.5, 0, 1])
    return Interval(float(middle), float(low), float(high))


def half_width(sample: Float[np.ndarray, " seed"]) -> float:
    """Return half the width of the 95% interval of a mean, by Student's t.

    Args:
        sample: one number per network, at least two.

    Raises:
        ValueError: if there are fewer than two networks, or a number is not finite.

    Reference:
        Student (1908).
    """
    sample = _finite(sample)
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    return float(t.ppf(0.975, len(sample) - 1) * error)


def _finite(sample: np.ndarray) -> Float[np.ndarray, " seed"]:
    sample = checks.real("sample", sample).astype(np.float64)
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(
            f"{sample.size} numbers are given: give two or more in a row, all of them finite."
        )
    return sample
