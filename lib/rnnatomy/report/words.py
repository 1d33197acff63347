"""Numbers of a few networks, written for a sentence or a table; there is no -0.00.

Of many networks an interval of the mean says more, see ``statistics.interval``.
"""

import numpy as np
from jaxtyping import Float


def spread(values: Float[np.ndarray, "..."], form: str = ".2f") -> str:
    """Write mean and range as "0.53 (0.41 to 0.64)", or "0.53" if all numbers are the same.

    Args:
        values: one number for each network, at least one.
        form: format of each number, without a sign.

    Raises:
        ValueError: if there is no number, or one is not finite.
    """
    values = _finite(values)
    mean = format(values.mean(), f"z{form}")
    return mean if np.ptp(values) == 0 else f"{mean} ({ends(values, form)})"


def ends(values: Float[np.ndarray, "..."], form: str = ".2f") -> str:
    """Write the least and the largest as "0.41 to 0.64".

    Args:
        values: as of ``spread``.
        form: as of ``spread``.

    Raises:
        ValueError: as ``spread``.
    """
    values = _finite(values)
    return f"{values.min():z{form}} to {values.max():z{form}}"


def _finite(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"{values.size} numbers are given: give one or more, all of them finite.")
    return values
