"""Matrices of a cell cut together, beside a control of the same energy."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rnnatomy.analysis import controls, ranks, svd


class Cut(NamedTuple):
    """Matrices that keep part of their energy, in two ways.

    Attributes:
        ranks: how many directions the first way keeps, by the name of the matrix.
        first: the matrices with their first directions only.
        random: the matrices without random directions that hold as much energy as those that the
            first way leaves out.
    """

    ranks: dict[str, int]
    first: dict[str, np.ndarray]
    random: dict[str, np.ndarray]


def same_energy(rng: np.random.Generator, parts: Mapping[str, svd.SVD], fraction: float) -> Cut:
    """Cut each matrix to the smallest rank that keeps a fraction of its energy.

    Args:
        rng: source of the random directions.
        parts: decompositions by name, as from ``ranks.decompose``.
        fraction: from 0 to 1.

    Raises:
        ValueError: as ``ranks.same_energy`` and ``controls.remove_random``.
    """
    return to_ranks(rng, parts, ranks.same_energy(parts, fraction))


def to_ranks(rng: np.random.Generator, parts: Mapping[str, svd.SVD], kept: ranks.Ranks) -> Cut:
    """Cut each matrix to a rank of its own.

    Args:
        rng: source of the random directions.
        parts: decompositions by name, as from ``ranks.decompose``.
        kept: how many directions of each matrix are kept, from 0.

    Raises:
        ValueError: if a matrix has no rank; or as ``ranks.low_rank`` and
            ``controls.remove_random``.
    """
    missing = [name for name in parts if name not in kept]
    if missing:
        raise ValueError(f"matrix {missing[0]!r} has no rank: give one for each.")
    first = ranks.low_rank(parts, kept)
    random = {
        name: controls.remove_random(rng, svd.compose(part), _lost(part, kept[name]))
        for name, part in parts.items()
    }
    return Cut(dict(kept), first, random)


def _lost(parts: svd.SVD, rank: int) -> float:
    """Return the fraction of the energy beyond a rank, at least 0 whatever rounding leaves."""
    return max(1 - float(svd.energy(parts)[:rank].sum()), 0.0)
