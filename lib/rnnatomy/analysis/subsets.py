"""All cutoffs of a readout side by side: what is left when so many directions are kept."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


class BySize(NamedTuple):
    """The accuracy of all cutoffs, by how many directions they keep.

    Attributes:
        sizes: how many directions each cutoff keeps.
        best: accuracy of the best cutoff of each size, from none kept to all.
        worst: of the worst.
        first: of the one that keeps the first directions: truncation.
        better: fraction of the cutoffs of each size that are better than truncation.
    """

    sizes: Int[np.ndarray, " subset"]
    best: Float[np.ndarray, " rank"]
    worst: Float[np.ndarray, " rank"]
    first: Float[np.ndarray, " rank"]
    better: Float[np.ndarray, " rank"]


def by_size(accuracy: Float[np.ndarray, " subset"]) -> BySize:
    """Sum up the accuracy of all cutoffs by the number of directions that they keep.

    Args:
        accuracy: one number per subset of the directions, in the order of
            ``cutoffs.every_cutoff``.

    Returns:
        Rows from none kept to all.

    Raises:
        ValueError: if the length is not a power of two, or a number is not finite.
    """
    accuracy = checks.numbers("accuracy", accuracy, "subset")
    modes = len(accuracy).bit_length() - 1
    if len(accuracy) != 1 << modes:
        raise ValueError(f"{len(accuracy)} numbers are given: give one for each subset, 2^m.")
    sizes = np.bitwise_count(np.arange(len(accuracy))).astype(np.int64)
    groups = [accuracy[sizes == size] for size in range(modes + 1)]
    first = accuracy[first_subsets(modes)]
    better = [(group > own).mean() for group, own in zip(groups, first, strict=True)]
    best, worst = (np.array([end(group) for group in groups]) for end in (np.max, np.min))
    return BySize(sizes, best, worst, first, np.array(better))


def first_subsets(modes: int) -> Int[np.ndarray, " rank"]:
    """Return the numbers of the subsets that keep the first directions, from none to all.

    Args:
        modes: how many directions there are, from 0 to 62.

    Returns:
        Rows of ``cutoffs.every_cutoff``: 0, 1, 3, 7 and so on.

    Raises:
        ValueError: if it is out of range.
    """
    if not checks.is_whole(modes, 0, 62):
        raise ValueError(f"modes is {modes}: give a whole number, 0 to 62.")
    return (1 << np.arange(int(modes) + 1)) - 1
