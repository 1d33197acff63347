"""Conversion and checks of what analyses are given."""

import numpy as np


def finite_points(points: np.ndarray) -> np.ndarray:
    """Return the points in double precision, if they are finite."""
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"points have shape {points.shape}: give (point, feature), one at least.")
    if not np.isfinite(points).all():
        raise ValueError("points hold NaN or infinity: give finite numbers.")
    return points


def labelled_points(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the points in double precision, if they are finite and their labels fit."""
    points = finite_points(points)
    if labels.shape != points.shape[:1]:
        raise ValueError(
            f"labels have shape {labels.shape}: give one label for each of {len(points)} points."
        )
    check_classes(labels)
    return points


def check_classes(labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError("all points are of one class: give points of at least two classes.")
