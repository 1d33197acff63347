"""Geometry of classes: how states spread about class means, and what lies where beside what."""

import numpy as np
from jaxtyping import Float, Int, Real

from rnnatomy.analysis import checks, collapse


def class_spread(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " hidden"]:
    """Return how far states spread about the mean of their class, coordinate by coordinate.

    The root of the variance within a class, averaged over classes.

    Args:
        states: finite numbers.
        labels: as for ``collapse.class_means``.

    Returns:
        At least 0, in the units of the states.

    Raises:
        ValueError: as ``collapse.class_means``; or if a state is too large to square.
    """
    states = checks.double("states", states, "sample hidden")
    classes, labels = len(collapse.class_means(states, labels)), np.asarray(labels)
    variances = [states[labels == k].var(axis=0) for k in range(classes)]
    return np.sqrt(np.mean(variances, axis=0))


def alignment(
    cross: Float[np.ndarray, "*seed class class"],
    gram: Float[np.ndarray, "*seed class class"],
    energy: Float[np.ndarray, "*seed"],
) -> Float[np.ndarray, "*seed"]:
    """Return the cosine of a readout and the centred class means, both taken as long vectors.

        trace(W M') / (|W| |M|)

    1 when the readout has turned into the class means.

    Args:
        cross: inner products W M' of the rows of the readout and the centred means.
        gram: inner products M M' of the centred means; not all zero.
        energy: sum of squares of the readout, of what changes an answer; above 0.

    Returns:
        From -1 to 1, one for each readout.

    Raises:
        ValueError: if shapes do not fit, a number is not finite, or a readout or its means have no
            length.

    Reference:
        Papyan, Han and Donoho (2020), NC3.
    """
    cross, gram, energy = _products(cross, gram, energy)
    means = np.trace(gram, axis1=-2, axis2=-1)
    if not ((energy > 0) & (means > 0)).all():
        raise ValueError("a readout or its means have no length: give sums of squares above 0.")
    return np.asarray(np.trace(cross, axis1=-2, axis2=-1) / np.sqrt(energy * means))


def pair_distances(points: Float[np.ndarray, "class feature"]) -> Float[np.ndarray, " pair"]:
    """Return the distance of each two points, in the order of ``np.triu_indices``.

    Args:
        points: finite numbers, such as class means.

    Raises:
        ValueError: if the axes do not fit, or a number is not finite.
    """
    points = checks.numbers("points", points, "class feature")
    first, second = np.triu_indices(len(points), 1)
    return np.linalg.norm(points[first] - points[second], axis=1)


def confusions(counts: Real[np.ndarray, "class class"]) -> Float[np.ndarray, " pair"]:
    """Return how often each two classes are taken for each other, either way.

    Args:
        counts: of answers (column) for each class (row), or their means over networks.

    Returns:
        One number for each two classes, in the order of ``np.triu_indices``.

    Raises:
        ValueError: if the table is not square, or a number is not finite.
    """
    counts = checks.double("counts", counts, "class class")
    if counts.shape[0] != counts.shape[1]:
        raise ValueError(f"shape {counts.shape} of counts does not fit: give (class, class).")
    return (counts + counts.T)[np.triu_indices(len(counts), 1)]


def _products(
    cross: np.ndarray, gram: np.ndarray, energy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inner products and sums of squares as arrays, if they fit each other."""
    given = {"cross": cross, "gram": gram, "energy": energy}
    cross, gram, energy = (checks.real(name, array) for name, array in given.items())
    for name, array in given.items():
        checks.finite(name, array)
    size = cross.shape[-1:]
    if not size or not cross.size or not cross.shape == gram.shape == energy.shape + 2 * size:
        raise ValueError(
            f"cross, gram and energy have shapes {cross.shape}, {gram.shape} and {energy.shape}: "
            "give two of (..., class, class) and one of (...), at least one of each."
        )
    return cross, gram, energy
