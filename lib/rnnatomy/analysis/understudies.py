"""Understudies: directions that cost a class nothing alone, and everything where another is gone.

Of a pair, the *star* is the direction that costs the class more by itself, the *understudy* the one
that costs it less. The understudy steps in for the star; without both the class is lost.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from rnnatomy.analysis import checks, cutoffs


class Rule(NamedTuple):
    """When a pair of directions counts as star and understudy, all as fractions of recall (0..1).

    Attributes:
        understudy: without the understudy at least so much of the recall is left, as a share of
            what it is with nothing cut.
        star: without the star, at least so much of it.
        both: without both, the recall is at most this.
    """

    understudy: int | float = 0.95
    star: int | float = 0.5
    both: int | float = 0.1


RULES = {
    "stated": Rule(),
    "milder": Rule(0.9, 0.5, 0.2),
    "neither matters alone": Rule(0.9, 0.9, 0.5),
}
"""The rule that was written down before any count, and two others to see what hangs on it."""


def find(removed: cutoffs.Removed, rule: Rule) -> Bool[np.ndarray, "*basis pair class"]:
    """Tell for which classes the two directions of each pair are star and understudy.

    Args:
        removed: recalls without one direction and without two.
        rule: what counts.

    Returns:
        Pairs in the order of ``cutoffs.pair_numbers``.

    Raises:
        ValueError: if a number of the rule is no fraction, recalls are not finite, or shapes do
            not fit.
    """
    full, single, pairs = _check(removed)
    for share in rule:
        checks.fraction(share)
    first, second = cutoffs.pair_numbers(single.shape[-2])
    alone = np.stack([single[..., first, :], single[..., second, :]])
    whole = full[..., None, :]
    spared = alone.max(axis=0) >= rule.understudy * whole
    mattered = alone.min(axis=0) >= rule.star * whole
    # what is hardly read with nothing cut cannot be lost
    read = whole > rule.both
    return spared & mattered & (pairs <= rule.both) & read


def _check(removed: cutoffs.Removed) -> cutoffs.Removed:
    full, single, pairs = (
        checks.real(name, values) for name, values in zip(removed._fields, removed, strict=True)
    )
    for name, values in zip(removed._fields, (full, single, pairs), strict=True):
        checks.finite(name, values)
    modes = single.shape[-2] if single.ndim > 1 else 0
    wanted = (*full.shape[:-1], modes * (modes - 1) // 2, *full.shape[-1:])
    if modes < 2 or single.shape != (*full.shape[:-1], modes, *full.shape[-1:]):
        raise ValueError(
            f"shapes {full.shape} of full and {single.shape} of single do not fit: give (class,) "
            "and (mode, class), of at least two directions."
        )
    if pairs.shape != wanted:
        raise ValueError(f"shape {pairs.shape} of pairs does not fit: give {wanted}.")
    return cutoffs.Removed(full, single, pairs)
