"""Interventions on a readout: change what one direction writes for one class, and predict recall.

A readout is W = U diag(s) V'. What direction k writes for class c is s_k u_ck; the matrix of these
has a row for each class and a column for each direction. An intervention changes some of its
entries. The hidden states stay as they are; they enter through their coordinates V' h alone.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks, collapse, svd


class Clouds(NamedTuple):
    """The coordinates of each class as a cloud: a normal distribution.

    Attributes:
        means: of each class.
        roots: matrices L with L L' the covariance within the class.
    """

    means: Float[np.ndarray, "class mode"]
    roots: Float[np.ndarray, "class mode mode"]


def writes(parts: svd.SVD) -> Float[np.ndarray, "class mode"]:
    """Return what each direction of a readout writes for each class: U diag(s).

    Raises:
        ValueError: if the decomposition does not fit itself.
    """
    parts = svd.validate(parts)
    return parts.U * parts.s


def scale(
    written: Float[np.ndarray, "class mode"],
    label: int,
    mode: int,
    factor: int | float,
    *,
    others: bool = False,
) -> Float[np.ndarray, "class mode"]:
    """Scale what a direction writes for one class, or for all others.

    Args:
        written: as from ``writes``.
        label: the class, counted from 0.
        mode: the direction, counted from 0.
        factor: 0 takes the entry away, 1 leaves it.
        others: scale those of all other classes, and leave this one.

    Raises:
        ValueError: if there is no such class or direction, or a number is not finite.
    """
    written, label, mode = _check(written, label, mode)
    if not checks.is_number(factor) or not np.isfinite(factor):
        raise ValueError(f"factor is {factor}: give a finite number.")
    chosen = (np.arange(len(written)) == label) ^ others
    changed = written.copy()
    changed[chosen, mode] *= factor
    return changed


def swap_classes(
    written: Float[np.ndarray, "class mode"], mode: int, label: int, other: int
) -> Float[np.ndarray, "class mode"]:
    """Swap what a direction writes for two classes.

    Args:
        written: as from ``writes``.
        mode: the direction, counted from 0.
        label: a class, counted from 0.
        other: another.

    Raises:
        ValueError: if there is no such class or direction, or a number is not finite.
    """
    written, label, mode = _check(written, label, mode)
    other = _place("other", other, len(written))
    changed = written.copy()
    changed[[label, other], mode] = written[[other, label], mode]
    return changed


def exchange_values(parts: svd.SVD, mode: int, other: int) -> Float[np.ndarray, "class mode"]:
    """Return what directions write when two of them have exchanged their singular values.

    Args:
        parts: decomposition of the readout.
        mode: a direction, counted from 0.
        other: another.

    Raises:
        ValueError: if there is no such direction, or the decomposition does not fit itself.
    """
    parts = svd.validate(parts)
    mode, other = (_place("mode", k, len(parts.s)) for k in (mode, other))
    values = parts.s.copy()
    values[[mode, other]] = values[[other, mode]]
    return parts.U * values


def opponent(written: Float[np.ndarray, "class mode"], label: int, mode: int) -> int:
    """Return the class for which a direction writes most of the opposite sign.

    Args:
        written: as from ``writes``.
        label: the class, counted from 0.
        mode: the direction, counted from 0.

    Raises:
        ValueError: if there is no such class or direction, or a number is not finite.
    """
    written, label, mode = _check(written, label, mode)
    return int((written[:, mode] * np.sign(written[label, mode])).argmin())


def fit_clouds(
    coordinates: Float[np.ndarray, "sample mode"], labels: Int[np.ndarray, " sample"]
) -> Clouds:
    """Fit a normal distribution to the coordinates of each class.

    Args:
        coordinates: V' h of each sample, finite numbers.
        labels: classes, 0 to the largest, each with a sample.

    Raises:
        ValueError: as ``collapse.class_means``.
    """
    coordinates = checks.double("coordinates", coordinates, "sample mode")
    means = collapse.class_means(coordinates, labels)
    labels = checks.labels(labels, len(coordinates), each="sample")
    roots = []
    for number, mean in enumerate(means):
        inner = coordinates[labels == number] - mean
        _, s, Vt = np.linalg.svd(inner / np.sqrt(len(inner)), full_matrices=False)
        roots.append(Vt.T * s @ Vt)
    return Clouds(means, np.array(roots))


def predict_recall(
    written: Float[np.ndarray, "class mode"],
    bias: Float[np.ndarray, " class"],
    clouds: Clouds,
    noise: Float[np.ndarray, "draw mode"],
) -> Float[np.ndarray, " class"]:
    """Predict the recall of each class from its cloud alone.

    Args:
        written: as from ``writes``, or changed.
        bias: b, finite numbers.
        clouds: of the classes.
        noise: draws from a standard normal distribution, the same for all that is compared.

    Returns:
        Fractions (0..1).

    Raises:
        ValueError: if shapes do not fit, or a number is not finite.
    """
    written = checks.numbers("written", written, "class mode")
    classes, modes = written.shape
    bias = checks.numbers("bias", bias, f"{classes}")
    noise = checks.numbers("noise", noise, f"draw {modes}")
    means = checks.numbers("means", clouds.means, f"{classes} {modes}")
    roots = checks.numbers("roots", clouds.roots, f"{classes} {modes} {modes}")
    drawn = noise @ roots + means[:, None]
    return ((drawn @ written.T + bias).argmax(axis=2) == np.arange(classes)[:, None]).mean(axis=1)


def _check(
    written: Float[np.ndarray, "class mode"], label: int, mode: int
) -> tuple[Float[np.ndarray, "class mode"], int, int]:
    written = checks.numbers("written", written, "class mode")
    return written, _place("label", label, len(written)), _place("mode", mode, written.shape[1])


def _place(name: str, value: int, count: int) -> int:
    if not checks.is_whole(value, 0, count - 1):
        raise ValueError(f"{name} is {value}: give a whole number, 0 to {count - 1}.")
    return int(value)
