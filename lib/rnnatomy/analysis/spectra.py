"""Many spectra at once: singular values along the last axis, from large to small."""

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


def directions_for(
    singular_values: Float[np.ndarray, "*networks mode"], fraction: float
) -> Int[np.ndarray, "*networks"]:
    """Return how many of the first directions hold a fraction of the energy of each matrix.

    Args:
        singular_values: not all zero in any spectrum.
        fraction: from 0 to 1; it is met to 1e-12, as by ``ranks.rank_for``.

    Raises:
        ValueError: if the fraction is out of range, a singular value is not finite, or all values
            of a spectrum are zero.
    """
    fraction = checks.fraction(fraction)
    energy = np.square(checks.real("the singular values", singular_values).astype(np.float64))
    checks.finite("the squares of the singular values", energy)
    total = energy.sum(axis=-1, keepdims=True)
    if not total.all():
        raise ValueError("all singular values of a spectrum are zero: there is no energy to hold.")
    held = np.cumsum(np.concatenate([np.zeros_like(total), energy], axis=-1), axis=-1) / total
    return (held < fraction - 1e-12).sum(axis=-1)
