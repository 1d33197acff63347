"""How far apart the classes of labelled points are: silhouette, scatter, linear readout."""

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


def silhouette(
    points: Float[np.ndarray, "point feature"], labels: Int[np.ndarray, " point"]
) -> float:
    """Measure how much nearer points are to their own class than to the next one.

    The mean over all points of

        (b - a) / max(a, b)

    with a the mean distance to the other points of the class, and b the smallest mean distance to
    the points of another class; 0 for a point that is alone in its class.

    Args:
        points: finite numbers; time grows with the square of their number, see
            ``points.subsample``.
        labels: the classes, at least two, fewer than points.

    Returns:
        From -1 to 1: near 1 if classes are tight and far apart, near 0 if they overlap, negative
        if points are nearer to another class.

    Raises:
        ValueError: if points are not finite, labels do not fit, there is one class only, or each
            point is a class of its own.

    Reference:
        Rousseeuw (1987).
    """
    from sklearn.metrics import silhouette_score

    points, labels = _labelled(points, labels)
    if len(np.unique(labels)) == len(points):
        raise ValueError("each point is a class of its own: give fewer classes than points.")
    # distances come from differences of squares, which are exact only near the origin
    return float(silhouette_score(points - points.mean(axis=0), labels))


def fisher_ratio(
    points: Float[np.ndarray, "point feature"], labels: Int[np.ndarray, " point"]
) -> float:
    """Measure the scatter between classes against the scatter within them.

        sum_k n_k |m_k - m|^2 / sum_k sum_(i in k) |x_i - m_k|^2

    with m the mean of all points, and m_k that of the n_k points of class k: the trace of the
    between-class scatter over the trace of the within-class scatter.

    Args:
        points: finite numbers, not all the same.
        labels: the classes, at least two.

    Returns:
        At least 0; infinite if the points of each class are all the same.

    Raises:
        ValueError: if points are not finite or all the same, labels do not fit, or there is one
            class only.

    Reference:
        Fisher (1936); Fukunaga (1990).
    """
    points, labels = _labelled(points, labels)
    offsets = points - points[0]
    if not offsets.any():
        raise ValueError("all points are the same: give points that differ.")
    between = within = 0.0
    for each in np.unique(labels):
        own = offsets[labels == each]
        # counted from the class's first point, equal points have a scatter of exactly zero
        spread = own - own[0]
        within += ((spread - spread.mean(axis=0)) ** 2).sum()
        between += len(own) * ((own.mean(axis=0) - offsets.mean(axis=0)) ** 2).sum()
    return float(between / within) if within else np.inf


def probe(
    points: Float[np.ndarray, "point feature"],
    labels: Int[np.ndarray, " point"],
    groups: Int[np.ndarray, " point"],
    folds: int = 5,
) -> float:
    """Measure how well a linear readout tells the classes of points that it was not fitted to.

    A logistic regression, with a unit L2 penalty on standardised points, is fitted to all folds
    but one and reads that one. All points of a group are in one fold: the frames of a sequence
    resemble each other, and on both sides they would give the answer away.

    Args:
        points: finite numbers.
        labels: the classes, at least two.
        groups: sample that each point came from, a whole number.
        folds: parts of the cross-validation, at least 2; each class needs as many groups.

    Returns:
        Points read as their class, a fraction (0..1) of all; to be held against the share of the
        largest class, which is what a readout without knowledge reaches.

    Raises:
        ValueError: if points are not finite, labels or groups do not fit, there is one class
            only, or a class has fewer groups than folds.

    Reference:
        Alain and Bengio (2017).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    points, labels = _labelled(points, labels)
    groups = checks.labels(groups, len(points), name="groups")
    _check_folds(labels, groups, folds)
    readout = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    parts = StratifiedGroupKFold(int(folds))
    read = cross_val_predict(readout, points, labels, groups=groups, cv=parts)
    return float(np.mean(read == labels))


def best_line(
    points: Float[np.ndarray, "point feature"], labels: Int[np.ndarray, " point"], folds: int = 5
) -> float:
    """Measure how well the better of two linear readouts tells the classes of single points.

    One is a logistic regression with a unit L2 penalty, which is stopped after 100 steps: with many
    units and few points a longer one fits the noise. The other is ridge regression on the classes,
    with the penalty of 0.01 to 10,000 that leave-one-out finds best.

    Args:
        points: finite numbers; no two come from one sample.
        labels: the classes, at least two.
        folds: as of ``probe``.

    Returns:
        As of ``probe``, the larger of the two: what is meant to be a rival gets its best chance.

    Raises:
        ValueError: as ``probe``.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    points, labels = _labelled(points, labels)
    _check_folds(labels, np.arange(len(points)), folds)
    readouts = [LogisticRegression(max_iter=100), RidgeClassifierCV(np.logspace(-2, 4, 7))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [
            cross_val_predict(
                make_pipeline(StandardScaler(), each),
                points,
                labels,
                cv=StratifiedKFold(int(folds)),
            )
            for each in readouts
        ]
    return max(float(np.mean(read == labels)) for read in found)


def _labelled(points: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points in double precision, and a label for each, of two classes at least."""
    points = checks.double("points", points, "point feature")
    return points, checks.classes(labels, len(points))


def _check_folds(labels: np.ndarray, groups: np.ndarray, folds: int) -> None:
    if not checks.is_whole(folds, 2):
        raise ValueError(f"folds is {folds}: give at least 2, in whole numbers.")
    for each in np.unique(labels):
        count = len(np.unique(groups[labels == each]))
        if count < folds:
            raise ValueError(
                f"class {each} comes from {count} groups, fewer than {folds} folds: give more "
                "samples or fewer folds."
            )
