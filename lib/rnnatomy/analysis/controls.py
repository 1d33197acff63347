"""Controls: what random directions and shuffled entries give on the same question."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import ranks, svd


def permute_classes(
    table: Float[np.ndarray, "seed mode class"], rng: np.random.Generator
) -> Float[np.ndarray, "seed mode class"]:
    """Permute the class labels within each network, each network in its own way.

    What a network's directions do to its classes stays as it is; only which class is which is
    lost. A statistic of the permuted table is what chance gives.
    """
    return np.stack([network[:, rng.permutation(network.shape[1])] for network in table])


def random_basis(rng: np.random.Generator, size: int) -> Float[np.ndarray, "size size"]:
    """Draw an orthogonal matrix, all directions equally likely.

    Reference:
        Mezzadri (2007).
    """
    Q, R = np.linalg.qr(rng.normal(size=(size, size)))
    return Q * np.sign(np.diag(R))


def rotate(
    matrix: Float[np.ndarray, "class hidden"], basis: Float[np.ndarray, "class mode"]
) -> svd.SVD:
    """Take a readout apart along any orthonormal directions of the class space.

    The parts multiply out to the matrix, as those of an SVD do, but the right vectors are not
    orthogonal to each other; that of a direction along which nothing is written is zero.

    Args:
        matrix: the readout W.
        basis: orthonormal columns, as many as classes.

    Returns:
        Directions in order of size, from large to small.
    """
    rows = basis.T @ np.asarray(matrix, np.float64)
    size = np.linalg.norm(rows, axis=1)
    order = np.argsort(-size)
    right = rows / np.where(size > 0, size, 1)[:, None]
    return svd.SVD(basis[:, order], size[order], right[order])


class Edges(NamedTuple):
    """Smallest and largest singular value to expect of a random matrix."""

    low: float
    high: float


def random_edges(matrix: Float[np.ndarray, "hidden _"]) -> Edges:
    """Return between which values the spectrum of a random matrix of that shape and size lies.

    For m x n independent numbers of mean zero and variance v, with m and n large,
    ``sqrt(v) (sqrt(m) -/+ sqrt(n))``; v is here the mean square of the entries.

    Reference:
        Marchenko and Pastur (1967).
    """
    m, n = np.sqrt(matrix.shape)
    deviation = np.sqrt(np.square(matrix).mean())
    return Edges(float(deviation * abs(m - n)), float(deviation * (m + n)))


def shuffled_spectrum(
    rng: np.random.Generator, matrix: Float[np.ndarray, "hidden _"], draws: int
) -> Float[np.ndarray, " mode"]:
    """Return the singular values of a matrix with its entries shuffled, averaged over draws.

    It has the same shape and the same entries, and no structure.

    Args:
        rng: source of the draws.
        matrix: finite numbers.
        draws: how many, at least 1.

    Raises:
        ValueError: if there is no draw, or as ``svd.svd``.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}: give a whole number of at least 1.")
    return np.mean([svd.svd(rng.permuted(matrix)).s for _ in range(draws)], axis=0)


def remove_random(
    rng: np.random.Generator, matrix: Float[np.ndarray, "hidden _"], lost: float
) -> Float[np.ndarray, "hidden _"]:
    """Remove random orthogonal directions of the input until a fraction of the energy is lost.

        W Q diag(a) Q',  a = (0, ..., 0, a_k, 1, ..., 1)

    with Q a random orthogonal matrix; the last direction that goes is scaled down, so that exactly
    the given fraction is lost. This is the control of a cutoff to low rank that loses as much: both
    leave matrices of the same size, and only the choice of the directions differs. As many
    random directions as a cutoff removes would lose more energy, since no choice loses less than
    the cutoff; a difference would then tell of size, not of direction.

    Args:
        rng: source of Q.
        matrix: finite numbers.
        lost: from 0 to 1.

    Raises:
        ValueError: if the fraction is out of range.

    Reference:
        Mezzadri (2007) for Q.
    """
    ranks._check_fraction(lost)
    basis = random_basis(rng, matrix.shape[1])
    turned = np.asarray(matrix, np.float64) @ basis
    carried = np.square(turned).sum(axis=0)
    owed = lost * carried.sum() - (np.cumsum(carried) - carried)
    gone = np.divide(owed, carried, out=np.zeros_like(carried), where=carried > 0)
    left = (1 - gone).clip(0, 1)
    # the root would make much of what rounding leaves
    return turned * np.sqrt(np.where(left > 1e-12, left, 0)) @ basis.T
