"""What many networks have in common: directions matched, positions counted, chance, geometry.

Arrays of an ensemble have a leading seed axis, one row per network.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import bootstrap


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
