"""The matrices of an LSTM, gate by gate: what their directions carry, and what cutting them leaves.

Everything here takes arrays, of any LSTM: a classifier's, or an autoencoder's encoder or decoder.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import entropy

from rnnatomy.analysis import checks, gates, svd

Ranks = Mapping[str, int]
"""How many directions of each matrix are kept, by the matrix's name."""


def decompose(matrices: gates.Matrices) -> dict[str, svd.SVD]:
    """Decompose each matrix, in double precision.

    Args:
        matrices: by name, such as the eight of an LSTM; each two-dimensional and finite.

    Raises:
        ValueError: as ``svd.svd``.
    """
    return {name: svd.svd(matrix) for name, matrix in matrices.items()}


def effective_rank(singular_values: Float[np.ndarray, " mode"]) -> float:
    """Return the number of directions that a spectrum is spread over, by its entropy.

        exp(- sum over k of p_k log p_k),  p_k = s_k / sum over j of s_j

    Args:
        singular_values: at least 0, not all zero.

    Returns:
        From 1, all in one direction, to the number of directions, all the same.

    Raises:
        ValueError: if a singular value is negative or not finite, or all are zero.

    Reference:
        Roy and Vetterli (2007).
    """
    return float(np.exp(entropy(_spectrum(singular_values))))


def stable_rank(singular_values: Float[np.ndarray, " mode"]) -> float:
    """Return the energy of a matrix in units of its largest direction's: ``sum s_k^2 / s_1^2``.

    Small singular values hardly count, so this is at most the rank.

    Args:
        singular_values: at least 0, not all zero.

    Returns:
        From 1 to the number of directions.

    Raises:
        ValueError: as ``effective_rank``.

    Reference:
        Rudelson and Vershynin (2007).
    """
    s = _spectrum(singular_values)
    return float(np.square(s / s.max()).sum())


def rank_for(parts: svd.SVD, fraction: float) -> int:
    """Return the smallest rank that keeps a fraction of a matrix's energy, its sum of squares.

    Args:
        parts: decomposition of the matrix.
        fraction: from 0 to 1; it is met to 1e-12.

    Raises:
        ValueError: if the fraction is out of range, or as ``svd.energy``.
    """
    checks.fraction(fraction)
    held = np.concatenate([[0.0], np.cumsum(svd.energy(parts))])
    return min(int(np.searchsorted(held, fraction - 1e-12)), len(parts[1]))


class Learnt(NamedTuple):
    """A trained matrix as a multiple of the initial one, and the rest: ``W = kept W_0 + rest``.

    Attributes:
        kept: the multiple with the smallest rest; weight decay makes it less than 1.
        rest: what training has added; its inner product with W_0 is zero.
    """

    kept: float
    rest: Float[np.ndarray, "hidden _"]


def learnt(
    trained: Float[np.ndarray, "hidden _"], initial: Float[np.ndarray, "hidden _"]
) -> Learnt:
    """Take what is left of the initial matrix out of a trained one, by least squares.

    Args:
        trained: finite numbers.
        initial: the same matrix before training, not zero.

    Raises:
        ValueError: if the shapes differ, a number is not finite or too large to square, or the
            initial matrix is zero.
    """
    trained = checks.double("trained", trained, "hidden input")
    initial = checks.double("initial", initial, "hidden input")
    if trained.shape != initial.shape:
        raise ValueError(
            f"the matrices have shapes {trained.shape} and {initial.shape}: give two of one shape."
        )
    if not initial.any():
        raise ValueError("the initial matrix is zero: there is nothing that could be left of it.")
    kept = float((trained * initial).sum() / np.square(initial).sum())
    return Learnt(kept, trained - kept * initial)


def low_rank(parts: Mapping[str, svd.SVD], ranks: Ranks) -> dict[str, np.ndarray]:
    """Compose matrices from their first directions: the nearest ones of the given ranks.

    Args:
        parts: decompositions by name, as from ``decompose``.
        ranks: for any of them, from 0 to the number of its directions; the others stay whole.

    Raises:
        ValueError: if a name is unknown or a rank out of range.

    Reference:
        Eckart and Young (1936).
    """
    for name in ranks:
        if name not in parts:
            raise ValueError(f"matrix {name!r} is unknown: choose from {', '.join(parts)}.")
    return {
        name: svd.compose(svd.truncate(p, ranks.get(name, len(p.s)))) for name, p in parts.items()
    }


def same_energy(parts: Mapping[str, svd.SVD], fraction: float) -> dict[str, int]:
    """Return the smallest ranks that keep the same fraction of energy in each matrix.

    Args:
        parts: decompositions by name, as from ``decompose``.
        fraction: from 0 to 1.

    Raises:
        ValueError: as ``rank_for``.
    """
    return {name: rank_for(part, fraction) for name, part in parts.items()}


def same_share(parts: Mapping[str, svd.SVD], fraction: float) -> dict[str, int]:
    """Return ranks that are the same fraction of the directions of each matrix, rounded.

    Args:
        parts: decompositions by name, as from ``decompose``.
        fraction: from 0 to 1.

    Raises:
        ValueError: if the fraction is out of range, or as ``svd.validate``.
    """
    checks.fraction(fraction)
    return {name: round(fraction * len(svd.validate(part).s)) for name, part in parts.items()}


def least_energy(
    parts: Mapping[str, svd.SVD], measure: Callable[[Ranks], float], floor: float
) -> dict[str, int]:
    """Return the ranks of the smallest whole percentage of energy that is enough, one for all.

    It is found by bisection, as if the measure rose with the energy.

    Args:
        parts: decompositions by name, as from ``decompose``.
        measure: of the ranks of all matrices, such as an accuracy.
        floor: what is enough.

    Raises:
        ValueError: if the whole matrices are not enough, or the measure or the floor is no number.
    """
    _number("floor", floor)

    def kept(percent: int) -> float:
        return _number("measure", measure(same_energy(parts, percent / 100)))

    percent = bisect_left(range(101), floor, key=kept)
    if percent > 100:
        raise ValueError(f"the whole matrices do not reach {floor:.6g}: give a lower floor.")
    return same_energy(parts, percent / 100)


def shrink(ranks: Ranks, measure: Callable[[Ranks], float], floor: float) -> dict[str, int]:
    """Lower ranks, one matrix after the other, while a measure stays high enough.

    What the measure has above its floor is shared out evenly: each matrix in turn gets the smallest
    rank at which the measure is above the floor by the shares of those that wait, found by
    bisection, as if the measure rose with the rank.

    Args:
        ranks: where to start, in the order in which the turn of each matrix comes.
        measure: of the ranks of all matrices, such as an accuracy.
        floor: what is enough.

    Returns:
        Ranks no higher than where it started, for which the measure is at its floor or above.

    Raises:
        ValueError: if the measure is below its floor where it starts, or one of the two is no
            number.
    """
    found = dict(ranks)
    above = _number("measure", measure(found)) - _number("floor", floor)
    if above < 0:
        raise ValueError(f"the measure starts {-above:.6g} below its floor: give higher ranks.")
    for turn, name in enumerate(ranks, start=1):

        def lowered(rank: int, name: str = name) -> float:
            return _number("measure", measure({**found, name: rank}))

        share = floor + above * (len(found) - turn) / len(found)
        found[name] = bisect_left(range(found[name]), share, key=lowered)
    return found


def _number(name: str, value: float) -> float:
    if not checks.is_number(value):
        raise ValueError(f"the {name} is {value}: give a number.")
    return value


def _spectrum(singular_values: np.ndarray) -> Float[np.ndarray, " mode"]:
    s = checks.numbers("singular_values", singular_values, "mode")
    if not ((s >= 0).all() and s.any()):
        raise ValueError(
            "a singular value is negative, or all are zero: give those of a matrix that is not "
            "zero."
        )
    return s
