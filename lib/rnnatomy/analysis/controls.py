"""Controls: what random directions and shuffled entries give on the same question."""

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks, cutoffs, svd


def permute_classes(
    table: Float[np.ndarray, "seed mode class"], rng: np.random.Generator
) -> Float[np.ndarray, "seed mode class"]:
    """Permute the class labels within each network, each network in its own way.

    What a network's directions do to its classes stays as it is; only which class is which is
    lost. A statistic of the permuted table is what chance gives.

    Args:
        table: one finite number for each direction and class of each network.
        rng: source of the permutations.

    Raises:
        ValueError: if the table does not have three axes, or a number is not finite.
    """
    table = checks.numbers("table", table, "seed mode class")
    return np.stack([network[:, rng.permutation(network.shape[1])] for network in table])


def random_basis(rng: np.random.Generator, size: int) -> Float[np.ndarray, "size size"]:
    """Draw an orthogonal matrix, all directions equally likely.

    Args:
        rng: source of the draw.
        size: number of directions, at least 1.

    Returns:
        Orthonormal columns.

    Raises:
        ValueError: if the size is below 1.

    Reference:
        Mezzadri (2007).
    """
    size = _count("size", size)
    Q, R = np.linalg.qr(rng.normal(size=(size, size)))
    return Q * np.sign(np.diag(R))


def random_left_vectors(rng: np.random.Generator, classes: int) -> Float[np.ndarray, "class class"]:
    """Draw an orthogonal basis of the class space whose last vector is constant, else random.

    A trained readout writes nothing along the constant vector, which no answer depends on; these
    are left vectors that have this in common with it and nothing else.

    Args:
        rng: source of the directions.
        classes: at least 2.

    Returns:
        Orthonormal columns.

    Raises:
        ValueError: if there are fewer than two classes.
    """
    classes = _count("classes", classes, 2)
    constant = np.ones((classes, 1)) / np.sqrt(classes)
    plane = np.linalg.svd(constant.T)[2][1:].T
    return np.hstack([plane @ random_basis(rng, classes - 1), constant])


def rotate(
    matrix: Float[np.ndarray, "class hidden"], basis: Float[np.ndarray, "class mode"]
) -> svd.SVD:
    """Take a readout apart along any orthonormal directions of the class space.

    The parts multiply out to the matrix, as those of an SVD do, but the right vectors are not
    orthogonal to each other; that of a direction along which nothing is written is zero.

    Args:
        matrix: the readout W, finite numbers.
        basis: orthonormal columns, as many as classes.

    Returns:
        Directions in order of size, from large to small.

    Raises:
        ValueError: if a number is not finite, or the columns are not orthonormal or not as many
            as classes.
    """
    matrix = checks.numbers("the matrix", matrix, "class hidden").astype(np.float64, copy=False)
    classes = len(matrix)
    basis = checks.numbers("basis", basis, f"{classes} {classes}")
    if not np.allclose(basis.T @ basis, np.eye(classes), atol=1e-5):
        raise ValueError("the columns of basis are not orthonormal: give an orthogonal matrix.")
    rows = basis.T @ matrix
    size = np.linalg.norm(rows, axis=1)
    order = np.argsort(-size)
    right = rows / np.where(size > 0, size, 1)[:, None]
    return svd.SVD(basis[:, order], size[order], right[order])


def shuffled_spectrum(
    rng: np.random.Generator, matrix: Float[np.ndarray, "hidden _"], draws: int
) -> Float[np.ndarray, " mode"]:
    """Return the singular values of a matrix with its entries shuffled, averaged over draws.

    It has the same shape and the same entries, and no structure.

    Args:
        rng: source of the draws.
        matrix: finite numbers.
        draws: how many, at least 1.

    Returns:
        As many as the matrix has directions, from large to small.

    Raises:
        ValueError: if there is no draw, or the matrix is not two-dimensional or not finite.
    """
    matrix = checks.numbers("the matrix", matrix, "hidden input")
    draws = _count("draws", draws)
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
        ValueError: if the fraction is out of range, or the matrix is not two-dimensional, not
            finite or too large to square.

    Reference:
        Mezzadri (2007) for Q.
    """
    checks.fraction(lost)
    matrix = checks.double("the matrix", matrix, "hidden input")
    basis = random_basis(rng, matrix.shape[1])
    turned = matrix @ basis
    carried = np.square(turned).sum(axis=0)
    owed = lost * carried.sum() - (np.cumsum(carried) - carried)
    gone = np.divide(owed, carried, out=np.zeros_like(carried), where=carried > 0)
    left = (1 - gone).clip(0, 1)
    # the root would make much of what rounding leaves
    return turned * np.sqrt(np.where(left > 1e-12, left, 0)) @ basis.T


def losses_without_random(
    rng: np.random.Generator,
    readout: Float[np.ndarray, "class hidden"],
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
    draws: int,
) -> Float[np.ndarray, "draw class"]:
    """Measure what each class loses without a random direction that the readout reads.

    Directions are drawn in the space of all that changes an answer: the right vectors of the
    readout with its classes centred. What a state has along one is taken out of it.

    Args:
        rng: source of the directions.
        readout: W, of at least two classes; finite numbers.
        bias: b, finite numbers.
        states: final hidden states, finite numbers.
        labels: the classes, each at least once.
        draws: how many directions, at least 1.

    Returns:
        Fractions of recall; negative where a class gains.

    Raises:
        ValueError: if shapes do not fit, there is one class only or no draw; or as
            ``cutoffs.recall``.
    """
    readout = checks.numbers("readout", readout, "class hidden")
    classes, hidden = readout.shape
    bias = checks.numbers("bias", bias, f"{classes}")
    states = checks.numbers("states", states, f"sample {hidden}")
    classes, draws = _count("classes", classes, 2), _count("draws", draws)
    space = svd.svd(svd.centre_classes(readout)).Vt[: classes - 1]
    whole = cutoffs.recall(states @ readout.T + bias, labels)
    losses = []
    for q in rng.standard_normal((draws, len(space))) @ space:
        q /= np.linalg.norm(q)
        left = states - np.outer(states @ q, q)
        losses.append(whole - cutoffs.recall(left @ readout.T + bias, labels))
    return np.array(losses)


def _count(name: str, value: int, least: int = 1) -> int:
    if not checks.is_whole(value, least):
        raise ValueError(f"{name} is {value}: give a whole number of at least {least}.")
    return int(value)
