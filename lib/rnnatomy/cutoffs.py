"""Recall of each class when directions of the readout are cut."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.svd import SVD, compose, truncate, without


class Cutoffs(NamedTuple):
    """Recall of each class under the cutoffs of a readout, as fractions (0..1).

    Attributes:
        full: with nothing cut.
        nested: row r keeps the first r directions, from none to all.
        single: row k - 1 removes direction k alone.
    """

    full: Float[np.ndarray, " class"]
    nested: Float[np.ndarray, "rank class"]
    single: Float[np.ndarray, "mode class"]


def cutoffs(
    parts: SVD,
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
) -> Cutoffs:
    """Measure the recall of each class under all nested and all single cutoffs.

    The bias is never cut: with no direction kept, every sample gets the class of the largest bias.

    Args:
        parts: decomposition of the readout W.
        bias: the readout's bias.
        states: final hidden states.
        labels: the classes, 0 to class - 1, each at least once.

    Raises:
        ValueError: if shapes do not fit, states are not finite, or a class has no sample.
    """
    _check(parts, bias, states, labels)
    modes = len(parts.s)

    def measured(kept: SVD) -> Float[np.ndarray, " class"]:
        return recall(states @ compose(kept).T + bias, labels)

    return Cutoffs(
        full=measured(parts),
        nested=np.stack([measured(truncate(parts, rank)) for rank in range(modes + 1)]),
        single=np.stack([measured(without(parts, k)) for k in range(1, modes + 1)]),
    )


def recall(
    logits: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " class"]:
    """Return, for each class, the fraction of its samples that are read as it.

    Raises:
        ValueError: if a class has no sample, or a label is out of range.
    """
    table = confusion(logits, labels)
    counts = table.sum(axis=1)
    if not counts.all():
        raise ValueError(f"class {counts.argmin()} has no sample: recall is not defined for it.")
    return np.diag(table) / counts


def confusion(
    logits: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Int[np.ndarray, "class class"]:
    """Count how often a sample of one class (row) is read as another (column).

    Raises:
        ValueError: if a label is out of range.
    """
    classes = logits.shape[1]
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise ValueError(f"label {outside[0]} is out of range: give 0 to {classes - 1}.")
    pairs = labels * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _check(parts: SVD, bias: np.ndarray, states: np.ndarray, labels: np.ndarray) -> None:
    classes, hidden = len(parts.U), parts.Vt.shape[1]
    if states.ndim != 2 or states.shape[1] != hidden:
        raise ValueError(
            f"states have shape {states.shape}: this readout takes (sample, {hidden})."
        )
    if bias.shape != (classes,) or labels.shape != states.shape[:1]:
        raise ValueError(
            f"bias has shape {bias.shape} and labels {labels.shape}: "
            f"give ({classes},) and ({len(states)},)."
        )
    for name, array in {"states": states, "bias": bias}.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: NaN or infinity is not allowed; give finite numbers.")
