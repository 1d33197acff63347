"""Estimates over many networks, with their intervals.

A sample has one number per network. Intervals of means: ``interval`` where there are many networks,
``t_interval`` where there are five to ten, as every bootstrap is too narrow there; ``bca`` for
other statistics than the mean. Intervals of proportions: ``proportion``, and of their differences
``difference``, or ``paired_difference`` where both are of the same networks.

References:
    Wilson (1927); Newcombe (1998a, 1998b, 1998c): Statistics in Medicine 17, pages 857, 873, 2635;
    Efron and Tibshirani (1993).
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import bootstrap, norm, t

from rnnatomy.analysis import checks

Holds = Bool[np.ndarray, "_"] | Int[np.ndarray, "_"] | Float[np.ndarray, "_"]
"""Whether something holds, one number per network: true or false, or a share of draws (0..1)."""


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


def bca(
    sample: Float[np.ndarray, " seed"] | Int[np.ndarray, " seed"],
    rng: np.random.Generator,
    statistic: Callable[..., Float[np.ndarray, "..."]] = np.mean,
    confidence: float = 0.95,
) -> Interval:
    """Estimate a statistic over few networks, with a bootstrap interval corrected for skewness.

    The bootstrap is bias-corrected and accelerated (BCa). It follows skewed numbers, but is narrow:
    in a simulation the 95% interval of a mean held the truth for 82% of samples of five normal
    numbers, 87% of eight and 91% of ten, and for 79%, 83% and 87% of samples of exponential ones.
    Student's t held it for 93% to 95%, and 87% to 90%. So for the mean of few networks take
    ``t_interval``, and this one for other statistics.

    Args:
        sample: one finite number per network, at least two.
        rng: source of the 9,999 resamples.
        statistic: of a sample, along its last axis (``axis=-1``).
        confidence: a fraction.

    Raises:
        ValueError: if there are fewer than two networks, a number is not finite, or no network
            moves the statistic by itself.

    Reference:
        Efron and Tibshirani (1993), chapter 14.
    """
    sample = _finite(sample)
    value = float(statistic(sample, axis=-1))
    if np.ptp(sample) == 0:
        return Interval(value, value, value)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")  # of a degenerate sample, which is refused below
        found = bootstrap(
            (sample,), statistic, method="BCa", rng=rng, confidence_level=confidence, batch=1000
        ).confidence_interval
    if not np.isfinite(found).all():
        raise ValueError(
            "leaving out one network never moves the statistic, so there is no BCa interval: "
            "take interval instead."
        )
    return Interval(value, *map(float, found))


def t_interval(sample: Float[np.ndarray, " seed"]) -> Interval:
    """Estimate a mean over few networks, with its 95% interval by Student's t.

    Args:
        sample: one number per network, at least two.

    Raises:
        ValueError: if there are fewer than two networks, or a number is not finite.

    Reference:
        Student (1908).
    """
    mean, half = float(_finite(sample).mean()), half_width(sample)
    return Interval(mean, mean - half, mean + half)


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


def proportion(count: int | float | np.number, total: int) -> Interval:
    """Estimate a proportion with its 95% interval by Wilson's score.

    Args:
        count: of the networks in which something holds. Where several draws were made in each
            network: the sum over networks of the share of draws in which it holds. A network then
            counts as one trial, however many draws it has, which is cautious.
        total: of the networks, at least one.

    Raises:
        ValueError: if the count is not from 0 to the total, or the total no whole number.

    Reference:
        Wilson (1927); method 3 of Newcombe (1998a).
    """
    if not checks.is_whole(total, 1) or not checks.is_number(count, 0, total):
        raise ValueError(
            f"{count} of {total} is no proportion: give a number from 0 to a whole number of "
            "networks, at least one."
        )
    share, square = float(count / total), norm.ppf(0.975) ** 2
    middle = (share + square / (2 * total)) / (1 + square / total)
    spread = share * (1 - share) / total + square / (4 * total**2)
    half = np.sqrt(square * spread) / (1 + square / total)
    low, high = min(middle - half, share), max(middle + half, share)
    return Interval(share, float(max(low, 0)), float(min(high, 1)))


def difference(first: Interval, second: Interval) -> Interval:
    """Estimate the difference of two independent proportions, with its 95% interval.

    Args:
        first: a proportion with its interval.
        second: another one, of other networks; it is taken from the first.

    Reference:
        The hybrid score interval, method 10 of Newcombe (1998b).
    """
    return _square_and_add(first, second, 0.0)


def paired_difference(first: Holds, second: Holds) -> Interval:
    """Estimate the difference of two proportions of the same networks, with its 95% interval.

    Args:
        first: whether something holds, for each network; or a share of draws (0..1).
        second: whether something else holds; it is taken from the first.

    Raises:
        ValueError: if there is no network, numbers of networks differ, or a number is no fraction.

    Reference:
        Method 10 of Newcombe (1998c): the correlation of the two sides is made smaller, for
        continuity.
    """
    first, second = _shares(first, second)
    total = len(first)
    (both, first_only), (second_only, neither) = cells = np.array(
        [[np.vdot(a, b) for b in (second, 1 - second)] for a in (first, 1 - first)]
    )
    together = both * neither - first_only * second_only
    together = max(together - total / 2, 0) if together > 0 else together
    scale = np.sqrt(np.prod([cells.sum(axis=0), cells.sum(axis=1)]))
    correlation = float(together / scale) if scale > 0 else 0.0
    one, other = (proportion(float(side.sum()), total) for side in (first, second))
    return _square_and_add(one, other, correlation)


def _square_and_add(first: Interval, second: Interval, correlation: float) -> Interval:
    """Combine two intervals into that of the difference of their values."""
    below = first.value - first.low, second.high - second.value
    above = first.high - first.value, second.value - second.low
    low, high = (
        float(np.sqrt(max(a**2 - 2 * correlation * a * b + b**2, 0))) for a, b in (below, above)
    )
    value = first.value - second.value
    return Interval(value, max(value - low, -1.0), min(value + high, 1.0))


def _shares(*sides: np.ndarray) -> list[Float[np.ndarray, " seed"]]:
    found = []
    for name, side in zip(("first", "second"), sides, strict=True):
        values = checks.numbers(name, side, "network").astype(np.float64)
        for value in values[(values < 0) | (values > 1)][:1]:
            raise ValueError(f"{value} in {name} is out of range: give 0 to 1.")
        found.append(values)
    if len(found[0]) != len(found[1]):
        raise ValueError(
            f"{len(found[0])} and {len(found[1])} networks do not make pairs: give two numbers for "
            "each network."
        )
    return found


def _finite(sample: np.ndarray) -> Float[np.ndarray, " seed"]:
    sample = checks.real("sample", sample).astype(np.float64)
    if sample.ndim != 1 or len(sample) < 2 or not np.isfinite(sample).all():
        raise ValueError(
            f"{sample.size} numbers are given: give two or more in a row, all of them finite."
        )
    return sample
