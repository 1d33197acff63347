"""Singular value decomposition of a weight matrix, and what is left when directions are cut."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class SVD(NamedTuple):
    """``W = U diag(s) Vt``, singular values from large to small.

    The sign of each pair of vectors is free; here the largest entry of each left vector is
    positive.

    Attributes:
        U: left vectors as columns: directions in class space.
        s: singular values, at least 0.
        Vt: right vectors as rows: directions in hidden space.
    """

    U: Float[np.ndarray, "class mode"]
    s: Float[np.ndarray, " mode"]
    Vt: Float[np.ndarray, "mode hidden"]


def svd(matrix: Float[np.ndarray, "class hidden"]) -> SVD:
    """Decompose a matrix, in double precision.

    Args:
        matrix: finite numbers, of any shape.

    Returns:
        The reduced decomposition, with min(class, hidden) modes.

    Raises:
        ValueError: if the matrix is not two-dimensional or not finite.

    Reference:
        Eckart and Young (1936); Golub and Van Loan (2013).
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"the matrix has {matrix.ndim} axes: give two, (class, hidden).")
    if not np.isfinite(matrix).all():
        raise ValueError("the matrix holds NaN or infinity: give finite numbers.")
    U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
    largest = np.abs(U).argmax(axis=0)
    sign = np.where(U[largest, np.arange(len(s))] < 0, -1.0, 1.0)
    return SVD(U * sign, s, Vt * sign[:, None])


def select(parts: SVD, directions: Iterable[int]) -> SVD:
    """Keep some directions, by number, counted from 1 as in the text.

    Args:
        parts: a decomposition.
        directions: distinct numbers from 1 to the number of modes; none is allowed.

    Raises:
        ValueError: if a number is out of range or repeated.
    """
    chosen = list(directions)
    modes = len(parts.s)
    outside = [d for d in chosen if not 1 <= d <= modes]
    if outside:
        raise ValueError(f"direction {outside[0]} does not exist: choose from 1 to {modes}.")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"directions {chosen} repeat a number: name each once.")
    rows = np.asarray(chosen, int) - 1
    return SVD(parts.U[:, rows], parts.s[rows], parts.Vt[rows])


def truncate(parts: SVD, rank: int) -> SVD:
    """Keep the first ``rank`` directions: the nearest matrix of that rank.

    Raises:
        ValueError: if the rank is not between 0 and the number of modes.

    Reference:
        Eckart and Young (1936).
    """
    if not 0 <= rank <= len(parts.s):
        raise ValueError(f"rank {rank} is out of range: choose from 0 to {len(parts.s)}.")
    return select(parts, range(1, rank + 1))


def without(parts: SVD, direction: int) -> SVD:
    """Remove one direction, by number, counted from 1.

    Raises:
        ValueError: if the direction does not exist.
    """
    select(parts, [direction])
    return select(parts, [d for d in range(1, len(parts.s) + 1) if d != direction])


def compose(parts: SVD) -> Float[np.ndarray, "class hidden"]:
    """Multiply the parts out: ``U diag(s) Vt``."""
    return (parts.U * parts.s) @ parts.Vt


def energy(parts: SVD) -> Float[np.ndarray, " mode"]:
    """Return the share of each direction in the sum of squares, a fraction; they sum to 1.

    Raises:
        ValueError: if all singular values are zero.
    """
    squares = parts.s**2
    if not squares.any():
        raise ValueError("all singular values are zero: there is no energy to share out.")
    return squares / squares.sum()


def cosines_with_constant(parts: SVD) -> Float[np.ndarray, " mode"]:
    """Return the size of each left vector's cosine with the constant vector (1, ..., 1).

    Softmax and argmax do not change when a constant is added to all logits, so what a readout
    writes along this vector is never seen.

    Returns:
        Between 0 and 1 for each direction; the squares sum to 1 if U is square.
    """
    classes = len(parts.U)
    return np.abs(parts.U.sum(axis=0)) / np.sqrt(classes)


def centre_classes(matrix: Float[np.ndarray, "class hidden"]) -> Float[np.ndarray, "class hidden"]:
    """Remove what the matrix writes along the constant vector: each column's mean over classes.

    Logits change by one number per sample, the same for all classes; probabilities do not change.
    The rank of the result is below the number of classes.
    """
    return matrix - matrix.mean(axis=0, keepdims=True)
