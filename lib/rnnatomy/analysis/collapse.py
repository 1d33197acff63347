"""Neural collapse: how near states of each class are to their mean, and the means to a simplex."""

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


def class_means(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "class hidden"]:
    """Average the states of each class, classes 0 to the largest label.

    Args:
        states: finite numbers.
        labels: class of each sample, at least 0; each class up to the largest has a sample.

    Raises:
        ValueError: if states are not finite, labels do not fit, or a class has no sample.
    """
    states = checks.numbers("states", states, "sample hidden")
    labels = checks.labels(labels, len(states), each="sample")
    if labels.min() < 0:
        raise ValueError(f"label {labels.min()} is out of range: give 0 or above.")
    # as many labels as samples cannot reach every class below one that is beyond their number
    counts = np.bincount(np.minimum(labels, len(labels)))
    if not counts.all():
        raise ValueError(f"class {counts.argmin()} has no sample: it has no mean.")
    with np.errstate(over="ignore"):
        means = np.stack([states[labels == k].mean(axis=0) for k in range(len(counts))])
    checks.finite("the class means", means)
    return means


def collapse(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> float:
    """Measure how far the states of each class have collapsed to their mean.

        trace(S_W pinv(S_B)) / classes

    with S_W the covariance within classes and S_B that of the class means: 0 when collapsed.

    Args:
        states: finite numbers.
        labels: class of each sample, 0 to the largest; at least two classes, each with a sample.

    Returns:
        At least 0.

    Raises:
        ValueError: as ``class_means``; or if there is one class only, or all class means are the
            same.

    Reference:
        Papyan, Han and Donoho (2020), NC1.
    """
    states = checks.double("states", states, "sample hidden")
    labels = checks.classes(labels, len(states), each="sample")
    means = class_means(states, labels)
    inner = states - means[labels]
    within = inner.T @ inner / len(states)
    outer = means - means.mean(axis=0)
    if not outer.any():
        raise ValueError("all class means are the same: give classes that differ.")
    between = outer.T @ outer / len(means)
    # the means span classes - 1 directions; what lies beyond them is rounding
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-6)) / len(means))


def simplex_deviation(gram: Float[np.ndarray, "class class"]) -> float:
    """Measure how far class means are from a simplex, in which all classes are equally far apart.

    The mean of |cos - (-1 / (classes - 1))| over pairs of classes: 0 for a simplex.

    Args:
        gram: inner products of the centred class means, of at least two classes; on its diagonal
            above 0.

    Returns:
        From 0 to 2.

    Raises:
        ValueError: if the matrix is not finite or not square, or a mean has no length.

    Reference:
        Papyan, Han and Donoho (2020), NC2.
    """
    gram = checks.numbers("gram", gram, "class class")
    if gram.shape[0] != gram.shape[1] or len(gram) < 2:
        raise ValueError(
            f"gram has shape {gram.shape}: give (class, class), of at least two classes."
        )
    if not (np.diag(gram) > 0).all():
        raise ValueError("a mean has no length: give inner products that are above 0 for each.")
    size = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(size, size)
    pairs = np.triu_indices(len(gram), 1)
    return float(np.abs(cosines[pairs] + 1 / (len(gram) - 1)).mean())
