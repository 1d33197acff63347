"""Singular value decomposition of a weight matrix, and the matrix without some directions."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


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
    matrix = checks.numbers("the matrix", matrix, "class hidden").astype(np.float64, copy=False)
    U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
    largest = np.abs(U).argmax(axis=0)
    sign = np.where(U[largest, np.arange(len(s))] < 0, -1.0, 1.0)
    return SVD(U * sign, s, Vt * sign[:, None])


def validate(parts: SVD) -> SVD:
    """Return a decomposition as arrays, if its parts are finite and fit each other.

    Args:
        parts: left vectors (class, mode), singular values (mode), right vectors (mode, hidden); of
            any number of modes, also none.

    Raises:
        ValueError: if a part is not finite, or the parts differ in their number of modes.
    """
    s = checks.real("s", parts[1])
    modes = str(s.size)
    return SVD(
        checks.numbers("U", parts[0], f"class {modes}"),
        checks.numbers("s", s, modes),
        checks.numbers("Vt", parts[2], f"{modes} hidden"),
    )


def select(parts: SVD, directions: Iterable[int]) -> SVD:
    """Keep some directions, by number, counted from 1 as in the text.

    Args:
        parts: a decomposition.
        directions: distinct numbers from 1 to the number of modes; none is allowed.

    Returns:
        The parts that are kept, in the order asked.

    Raises:
        ValueError: if a number is out of range or repeated, or as ``validate``.
    """
    parts, chosen = validate(parts), list(directions)
    modes = len(parts.s)
    outside = [d for d in chosen if not checks.is_whole(d, 1, modes)]
    if outside:
        raise ValueError(f"direction {outside[0]} does not exist: choose from 1 to {modes}.")
    rows = np.array([int(d) - 1 for d in chosen], int)
    if len(np.unique(rows)) < len(rows):
        raise ValueError(f"directions {(rows + 1).tolist()} repeat a number: name each once.")
    return SVD(parts.U[:, rows], parts.s[rows], parts.Vt[rows])


def truncate(parts: SVD, rank: int) -> SVD:
    """Keep the first ``rank`` directions: the nearest matrix of that rank.

    Args:
        parts: a decomposition.
        rank: from 0 to the number of modes.

    Raises:
        ValueError: if the rank is out of range, or as ``validate``.

    Reference:
        Eckart and Young (1936).
    """
    modes = len(validate(parts).s)
    if not checks.is_whole(rank, 0, modes):
        raise ValueError(
            f"rank {rank} is out of range: choose from 0 to {modes}, in whole numbers."
        )
    return select(parts, range(1, int(rank) + 1))


def without(parts: SVD, direction: int) -> SVD:
    """Remove one direction.

    Args:
        parts: a decomposition.
        direction: its number, from 1 to the number of modes.

    Raises:
        ValueError: if the direction does not exist, or as ``validate``.
    """
    select(parts, [direction])
    return select(parts, [d for d in range(1, len(parts[1]) + 1) if d != direction])


def compose(parts: SVD) -> Float[np.ndarray, "class hidden"]:
    """Multiply the parts out: ``U diag(s) Vt``.

    Args:
        parts: a decomposition; one without modes gives zeros.

    Raises:
        ValueError: as ``validate``.
    """
    parts = validate(parts)
    return (parts.U * parts.s) @ parts.Vt


def energy(parts: SVD) -> Float[np.ndarray, " mode"]:
    """Return the share of each direction in the sum of squares, a fraction; they sum to 1.

    Args:
        parts: a decomposition.

    Returns:
        From 0 to 1 for each direction.

    Raises:
        ValueError: if all singular values are zero or one is too large to square, or as
            ``validate``.
    """
    with np.errstate(over="ignore"):
        squares = validate(parts).s ** 2
        total = squares.sum()
    if not squares.any():
        raise ValueError("all singular values are zero: there is no energy to share out.")
    checks.finite("the squares of the singular values", total)
    return squares / total


def cosines_with_constant(parts: SVD) -> Float[np.ndarray, " mode"]:
    """Return the size of each left vector's cosine with the constant vector (1, ..., 1).

    Softmax and argmax do not change when a constant is added to all logits, so what a readout
    writes along this vector is never seen.

    Args:
        parts: decomposition of the readout W.

    Returns:
        Between 0 and 1 for each direction; the squares sum to 1 if U is square.

    Raises:
        ValueError: as ``validate``.
    """
    parts = validate(parts)
    classes = len(parts.U)
    return np.abs(parts.U.sum(axis=0)) / np.sqrt(classes)


def centre_classes(matrix: Float[np.ndarray, "class hidden"]) -> Float[np.ndarray, "class hidden"]:
    """Remove what the matrix writes along the constant vector: each column's mean over classes.

    Logits change by one number per sample, the same for all classes; probabilities do not change.

    Args:
        matrix: the readout W, finite numbers.

    Returns:
        A matrix of the same shape, whose rank is below the number of classes.

    Raises:
        ValueError: if the matrix is not two-dimensional or not finite.
    """
    matrix = checks.numbers("the matrix", matrix, "class hidden")
    return matrix - matrix.mean(axis=0, keepdims=True)


class Poles(NamedTuple):
    """Where a vector is large, counted from 0.

    Attributes:
        high: places of large entries above zero, the largest first.
        low: below zero, the lowest first.
    """

    high: Int[np.ndarray, " high"]
    low: Int[np.ndarray, " low"]


def poles(vector: Float[np.ndarray, " class"], least: float) -> Poles:
    """Return where a vector is large, on either side of zero; of equals the first comes first.

    Args:
        vector: such as a left vector, whose two sides a direction tells apart.
        least: size above which an entry counts, at least 0.

    Returns:
        Places of entries above ``least``, and of those below ``-least``.

    Raises:
        ValueError: if the vector is not finite, or ``least`` is below 0.
    """
    vector = checks.numbers("vector", vector, "class").astype(np.float64, copy=False)
    if not checks.is_number(least, 0):
        raise ValueError(f"least is {least}: give a number of at least 0.")
    high, low = (np.argsort(side, stable=True) for side in (-vector, vector))
    return Poles(high[vector[high] > least], low[vector[low] < -least])
