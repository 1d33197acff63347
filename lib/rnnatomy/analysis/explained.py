"""How much of what a network should answer in numbers it does, with directions of the readout cut.

The measure is the coefficient of determination of each output, as recall is that of each class:

    R² = 1 - sum (y - t)² / sum (t - mean t)²

for outputs y and targets t: 1 if all answers are right, 0 if they are as far off as the mean of the
targets is, and below 0 if they are further off.
"""

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import checks, cutoffs, svd


def r_squared(
    outputs: Float[np.ndarray, "sample out"], targets: Float[np.ndarray, "sample out"]
) -> Float[np.ndarray, " out"]:
    """Return which fraction of each target's variance the outputs explain.

    Args:
        outputs: y, finite numbers.
        targets: t, finite numbers; each varies over the samples.

    Returns:
        At most 1; below 0 where the mean of the targets would do better.

    Raises:
        ValueError: if shapes differ, numbers are not finite or too large to square, a target never
            changes, or errors are too large for a ratio in double precision.
    """
    outputs = checks.double("outputs", outputs, "sample out")
    samples, count = outputs.shape
    targets = checks.double("targets", targets, f"{samples} {count}")
    return _explained(outputs, targets, _variation(targets))


def line(
    points: Float[np.ndarray, "sample feature"],
    targets: Float[np.ndarray, "sample out"],
    folds: int = 5,
) -> float:
    """Measure how well a linear readout tells numbers from points that it was not fitted to.

    Ridge regression on standardised points, with the penalty of 0.01 to 10,000 that leave-one-out
    finds best, is fitted to all folds but one and reads that one.

    Args:
        points: finite numbers; no two come from one sample.
        targets: finite numbers; each varies over the samples.
        folds: parts of the cross-validation, at least 2.

    Returns:
        R² on average over the targets, see ``r_squared``.

    Raises:
        ValueError: if shapes do not fit, numbers are not finite, there are fewer samples than
            folds, or as ``r_squared``.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    points = checks.double("points", points, "sample feature")
    targets = checks.double("targets", targets, f"{len(points)} out")
    if not checks.is_whole(folds, 2, len(points)):
        raise ValueError(f"folds is {folds}: give 2 to {len(points)}, as there are samples.")
    readout = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
    parts = KFold(int(folds), shuffle=True, random_state=0)
    read = cross_val_predict(readout, points, targets, cv=parts)
    return float(r_squared(read.reshape(targets.shape), targets).mean())


def explained(
    parts: svd.SVD,
    bias: Float[np.ndarray, " out"],
    states: Float[np.ndarray, "sample hidden"],
    targets: Float[np.ndarray, "sample out"],
) -> cutoffs.Cutoffs:
    """Measure R² of each output under all nested and all single cutoffs.

    The bias is never cut: with no direction kept, every sample gets the bias for an answer.

    Args:
        parts: decomposition of the readout W.
        bias: the readout's bias, finite numbers.
        states: final hidden states, finite numbers.
        targets: what the outputs should be, finite numbers; each varies over the samples.

    Raises:
        ValueError: if shapes do not fit, or as ``r_squared``.
    """
    parts = svd.validate(parts)
    count = len(parts.U)
    states = checks.double("states", states, f"sample {parts.Vt.shape[1]}")
    bias = checks.double("bias", bias, f"{count}")
    targets = checks.double("targets", targets, f"{len(states)} {count}")
    variation = _variation(targets)

    def measured(kept: svd.SVD) -> Float[np.ndarray, " out"]:
        with np.errstate(over="ignore", invalid="ignore"):
            written = _outputs(svd.compose(kept), states)
        return _explained(written + bias, targets, variation)

    return cutoffs.under_cutoffs(parts, measured)


def without_directions(
    bases: Float[np.ndarray, "basis out mode"],
    readout: Float[np.ndarray, "out hidden"],
    bias: Float[np.ndarray, " out"],
    states: Float[np.ndarray, "sample hidden"],
    targets: Float[np.ndarray, "sample out"],
) -> Float[np.ndarray, "basis mode out"]:
    """Measure R² of each output without one direction of any bases.

    A direction q of the output space is removed by W <- W - q q' W; along a left singular vector
    this is the cutoff of a direction of the readout.

    Args:
        bases: orthonormal columns.
        readout: W, finite numbers.
        bias: b, finite numbers; never cut.
        states: final hidden states, finite numbers.
        targets: what the outputs should be, finite numbers; each varies over the samples.

    Raises:
        ValueError: if shapes do not fit, columns are not orthonormal, or as ``r_squared``.
    """
    readout = checks.double("readout", readout, "out hidden")
    count, hidden = readout.shape
    bases = checks.double("bases", bases, f"basis {count} mode")
    states = checks.double("states", states, f"sample {hidden}")
    bias = checks.double("bias", bias, f"{count}")
    targets = checks.double("targets", targets, f"{len(states)} {count}")
    if not np.allclose(np.swapaxes(bases, 1, 2) @ bases, np.eye(bases.shape[2]), atol=1e-5):
        raise ValueError("the columns of a basis are not orthonormal: give an orthogonal matrix.")
    written, variation = _outputs(readout, states), _variation(targets)

    def measured(q: Float[np.ndarray, " out"]) -> Float[np.ndarray, " out"]:
        return _explained(written - np.outer(written @ q, q) + bias, targets, variation)

    return np.stack([[measured(q) for q in basis.T] for basis in bases])


def _outputs(readout: np.ndarray, states: np.ndarray) -> Float[np.ndarray, "sample out"]:
    """Return what a readout writes, if it can be squared."""
    with np.errstate(over="ignore", invalid="ignore"):
        written = states @ readout.T
    return checks.double("outputs", written, "sample out")


def _variation(targets: Float[np.ndarray, "sample out"]) -> Float[np.ndarray, " out"]:
    """Return the sum of squares of each target about its mean, if it has any."""
    sums = np.square(targets - targets.mean(axis=0)).sum(axis=0)
    # the mean of equal numbers may be rounded, and squares of small ones are 0
    still = (targets == targets[0]).all(axis=0) | (sums == 0)
    if still.any():
        raise ValueError(
            f"the target of output {still.argmax()}, counted from 0, does not vary: R² is not "
            "defined for it, give targets that do."
        )
    return sums


def _explained(
    outputs: np.ndarray, targets: np.ndarray, variation: np.ndarray
) -> Float[np.ndarray, " out"]:
    with np.errstate(over="ignore", invalid="ignore"):
        fractions = 1 - np.square(outputs - targets).sum(axis=0) / variation
    if not np.isfinite(fractions).all():
        raise ValueError(
            f"errors of output {np.isfinite(fractions).argmin()}, counted from 0, are too large "
            "for R² in double precision: give outputs and targets of one size."
        )
    return fractions
