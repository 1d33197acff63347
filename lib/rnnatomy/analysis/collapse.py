"""Neural collapse: how near states of each class are to their mean, and the means to a simplex."""

import numpy as np
from jaxtyping import Float, Int


def class_means(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "class hidden"]:
    """Average the states of each class, classes 0 to the largest label.

    Raises:
        ValueError: if a class has no sample.
    """
    counts = np.bincount(labels)
    if not counts.all():
        raise ValueError(f"class {counts.argmin()} has no sample: it has no mean.")
    return np.stack([states[labels == k].mean(axis=0) for k in range(len(counts))])


def collapse(
    states: Float[np.ndarray, "sample hidden"], labels: Int[np.ndarray, " sample"]
) -> float:
    """Measure how far the states of each class have collapsed to their mean.

        trace(S_W pinv(S_B)) / classes

    with S_W the covariance within classes and S_B that of the class means: 0 when collapsed.

    Reference:
        Papyan, Han and Donoho (2020), NC1.
    """
    states = np.asarray(states, np.float64)
    means = class_means(states, labels)
    inner = states - means[labels]
    within = inner.T @ inner / len(states)
    outer = means - means.mean(axis=0)
    between = outer.T @ outer / len(means)
    # the means span classes - 1 directions; what lies beyond them is rounding
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-6)) / len(means))


def simplex_deviation(gram: Float[np.ndarray, "class class"]) -> float:
    """Measure how far class means are from a simplex, in which all classes are equally far apart.

    The mean of |cos - (-1 / (classes - 1))| over pairs of classes: 0 for a simplex.

    Args:
        gram: inner products of the centred class means.

    Reference:
        Papyan, Han and Donoho (2020), NC2.
    """
    size = np.sqrt(np.diag(gram))
    cosines = gram / np.outer(size, size)
    pairs = np.triu_indices(len(gram), 1)
    return float(np.abs(cosines[pairs] + 1 / (len(gram) - 1)).mean())
