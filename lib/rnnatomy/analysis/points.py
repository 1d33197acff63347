"""Trajectories of hidden states as points: ways to take them, to scale them, and to draw a part."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


class Points(NamedTuple):
    """Points, and where they came from: ``labels[sample]`` gives each its sample's label.

    Attributes:
        points: one row each.
        sample: number of the sample that the point came from.
    """

    points: Float[np.ndarray, "point feature"]
    sample: Int[np.ndarray, " point"]


def states(sequences: Float[np.ndarray, "sample time feature"]) -> Points:
    """Take each frame of each sequence as a point: sample * time points of size feature.

    A point tells where a state is, and neither when it was there nor where it came from. Orbits
    that share their place in space overlap here, even if no two of them are alike; compare
    ``trajectories`` and ``windows``.

    Args:
        sequences: hidden states of each sample over time, finite numbers.

    Raises:
        ValueError: if there are not three axes, one is empty, or a number is not finite.
    """
    return windows(sequences, length=1, stride=1)


def trajectories(sequences: Float[np.ndarray, "sample time feature"]) -> Points:
    """Take each whole sequence as a point: sample points of size time * feature.

    Two points are near each other if the sequences are in the same place at the same time, all
    the way. Orbits of different form separate here, even if they cross in space. The price: few
    points of large size, and equal orbits that start at different times are far apart.

    Args:
        sequences: hidden states of each sample over time, finite numbers.

    Raises:
        ValueError: if there are not three axes, one is empty, or a number is not finite.
    """
    sequences = _sequences(sequences)
    return windows(sequences, length=sequences.shape[1], stride=1)


def windows(
    sequences: Float[np.ndarray, "sample time feature"], length: int, stride: int
) -> Points:
    """Take each stretch of frames as a point: sample * window points of size length * feature.

    Between ``states`` (length 1) and ``trajectories`` (length time): a point tells where a state
    is and where it goes from there. The frames of a window follow each other in the point.

    Args:
        sequences: hidden states of each sample over time, finite numbers.
        length: frames in a window, from 1 to time.
        stride: frames from the start of one window to the start of the next, at least 1; frames
            at the end that do not fill a window are left out.

    Raises:
        ValueError: if there are not three axes, one is empty, a number is not finite, a sequence
            is shorter than a window, or length or stride is below 1.
    """
    sequences = _sequences(sequences)
    samples, time, _ = sequences.shape
    if not (checks.is_whole(length, 1) and checks.is_whole(stride, 1)):
        raise ValueError(
            f"length is {length} and stride {stride}: give at least 1 frame for each, in whole "
            "numbers."
        )
    length, stride = int(length), int(stride)
    if time < length:
        raise ValueError(
            f"{time} frames are too few frames for one window of {length}: give a length from 1 "
            f"to {time}."
        )
    views = np.lib.stride_tricks.sliding_window_view(sequences, length, axis=1)[:, ::stride]
    points = views.swapaxes(2, 3).reshape(samples * views.shape[1], -1)
    return Points(points, np.repeat(np.arange(samples), views.shape[1]))


def averages(sequences: Float[np.ndarray, "sample time feature"]) -> Points:
    """Take the mean of each sequence over time as a point: sample points of size feature.

    A point tells round what a state goes, not where it is on the way: over whole turns the phase
    of an orbit cancels out, by which two equal orbits that start at different times differ. What
    differs between two orbits about the same mean cancels out with it.

    Args:
        sequences: hidden states of each sample over time, finite numbers.

    Raises:
        ValueError: if there are not three axes, one is empty, or a number is not finite.
    """
    sequences = _sequences(sequences)
    with np.errstate(over="ignore"):
        means = sequences.mean(axis=1)
    checks.finite("the averages", means)
    return Points(means, np.arange(len(sequences)))


def standardise(points: Float[np.ndarray, "point feature"]) -> Float[np.ndarray, "point feature"]:
    """Shift and scale each coordinate to mean zero and variance one.

    Args:
        points: finite numbers.

    Returns:
        Standardised points in double precision; a coordinate that does not vary is zero.

    Raises:
        ValueError: if points are not finite, or no coordinate varies.
    """
    points = checks.double("points", points, "point feature")
    # rounding can give equal numbers a tiny variance, so they are looked for by themselves
    varies = (points != points[:1]).any(axis=0)
    spread = np.where(varies, points.std(axis=0), 0.0)
    if not spread.any():
        raise ValueError("no coordinate varies from point to point: give points that differ.")
    centred = points - points.mean(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(points), where=spread > 0)


def subsample(
    rng: np.random.Generator, labels: Int[np.ndarray, " point"], at_most: int
) -> Int[np.ndarray, " kept"]:
    """Draw points at random, so that a score of a large set can be afforded.

    Each class keeps its share of the points, rounded, and at least one. The silhouette and
    agglomerative clustering need time that grows with the square of the number of points.

    Args:
        rng: source of the draw.
        labels: classes of the points; all the same number if there are none.
        at_most: points to keep, at least the number of classes.

    Returns:
        Row numbers, ascending: take ``points[rows]``, ``labels[rows]``, ``sample[rows]``. All
        rows if there are no more than ``at_most``.

    Raises:
        ValueError: if there are more classes than points to keep, or labels are not whole numbers.
    """
    labels = checks.labels(labels)
    classes = np.unique(labels)
    if not checks.is_whole(at_most, 1):
        raise ValueError(f"at_most is {at_most}: give a whole number of points, at least 1.")
    if at_most < len(classes):
        raise ValueError(
            f"{at_most} points cannot hold {len(classes)} classes: keep one of each at least."
        )
    # a random place in the queue of each class, as a fraction of the class
    place = np.zeros(len(labels))
    for each in classes:
        rows = np.flatnonzero(labels == each)
        place[rows] = rng.permutation(len(rows)) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[: int(at_most)])


def _sequences(sequences: np.ndarray) -> Float[np.ndarray, "sample time feature"]:
    return checks.numbers("sequences", sequences, "sample time feature")


VIEWS = {"averages": averages, "trajectories": trajectories, "states": states}
"""Ways to take hidden states as points, by name; each takes sequences, and gives ``Points``."""
