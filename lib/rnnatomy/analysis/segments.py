"""Segments of a sequence of labels: runs of one label, with a border where the next one starts."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

from rnnatomy.analysis import clusters


def frame_accuracy(found: Int[np.ndarray, " time"], labels: Int[np.ndarray, " time"]) -> float:
    """Return the fraction (0..1) of frames in the right cluster, after the best matching.

    A class is matched with one cluster at most: frames in clusters beyond the number of classes
    count as wrong, and so do those of classes beyond the number of clusters.

    Args:
        found: cluster of each frame.
        labels: true class of each frame.

    Raises:
        ValueError: if the lengths differ, or there are no frames.
    """
    return float(np.mean(clusters.relabel(found, labels) == labels))


def borders(labels: Int[np.ndarray, " time"]) -> Int[np.ndarray, " border"]:
    """Find the frames at which a new segment starts, ascending; the first frame is none."""
    return np.flatnonzero(labels[1:] != labels[:-1]) + 1


class BorderScore(NamedTuple):
    """How well the borders found hit the true ones, as fractions (0..1).

    Attributes:
        precision: borders found that hit; 0 if none was found.
        recall: true borders that were hit.
        f1: harmonic mean of the two; 0 if none was hit.
    """

    precision: float
    recall: float
    f1: float


def border_score(
    found: Int[np.ndarray, " found"], accepted: Int[np.ndarray, "border 2"]
) -> BorderScore:
    """Score borders against the stretches of frames in which the true ones are accepted.

    Borders found are matched with true ones, one to one, so that as many as possible hit: a
    second border in the same stretch is a false one, and a border in two stretches that overlap
    hits one of them.

        precision = hits / found,  recall = hits / border,  F1 = 2 hits / (found + border)

    Args:
        found: frames of the borders found, in any order.
        accepted: earliest and latest accepted frame of each true border, both included.

    Raises:
        ValueError: if there is no true border, or the latest frame of one is before its earliest.
    """
    if accepted.ndim != 2 or accepted.shape[1] != 2 or not len(accepted):
        raise ValueError(
            f"accepted has shape {accepted.shape}: give (border, 2), the earliest and the latest "
            "frame of at least one true border."
        )
    earliest, latest = accepted.T
    if (earliest > latest).any():
        wrong = np.flatnonzero(earliest > latest)[0]
        raise ValueError(
            f"border {wrong} is accepted from frame {earliest[wrong]} to {latest[wrong]}: give the "
            "earliest frame first."
        )
    inside = (found[:, None] >= earliest) & (found[:, None] <= latest)
    hits = int(inside[linear_sum_assignment(inside, maximize=True)].sum())
    precision = hits / len(found) if len(found) else 0.0
    return BorderScore(precision, hits / len(earliest), 2 * hits / (len(found) + len(earliest)))


def smooth_labels(labels: Int[np.ndarray, " time"], width: int) -> Int[np.ndarray, " time"]:
    """Give each frame the most frequent label around it.

    Args:
        labels: label of each frame.
        width: frames looked at, odd: the frame and as many before as after it, as far as there
            are any.

    Returns:
        Labels; a frame keeps its own where several are equally frequent.

    Raises:
        ValueError: if the width is even or below 1, or there are no frames.
    """
    _check_frames(labels)
    if width < 1 or width % 2 == 0:
        raise ValueError(f"width is {width}: give an odd number of frames, at least 1.")
    frames, reach = np.arange(len(labels)), width // 2
    start = np.maximum(frames - reach, 0)
    stop = np.minimum(frames + reach + 1, len(labels))
    classes, number = np.unique(labels, return_inverse=True)
    before = np.zeros((len(classes), len(labels) + 1), int)
    before[:, 1:] = np.cumsum(number == np.arange(len(classes))[:, None], axis=1)
    counts = before[:, stop] - before[:, start]
    clear = (counts == counts.max(axis=0)).sum(axis=0) == 1
    return np.where(clear, classes[counts.argmax(axis=0)], labels)


def drop_short(labels: Int[np.ndarray, " time"], at_least: int) -> Int[np.ndarray, " time"]:
    """Merge short segments into the longer of their neighbours, the shortest segment first.

    A segment between two of the same label joins them to one. Among segments of equal length the
    first is merged first, and into the neighbour before it if both are equally long.

    Args:
        labels: label of each frame.
        at_least: frames of the shortest segment to keep, at least 1.

    Returns:
        Labels without a segment shorter than that, unless one segment is all that is left.

    Raises:
        ValueError: if ``at_least`` is below 1, or there are no frames.
    """
    _check_frames(labels)
    if at_least < 1:
        raise ValueError(f"at_least is {at_least}: give at least 1 frame.")
    starts = np.append(0, borders(labels))
    names, lengths = labels[starts], np.diff(starts, append=len(labels))
    while len(lengths) > 1 and lengths.min() < at_least:
        short = lengths.argmin()
        before, _, after = np.pad(lengths, 1)[short : short + 3]
        names[short] = names[short - 1 if before >= after else short + 1]
        starts = np.append(0, borders(names))
        names, lengths = names[starts], np.add.reduceat(lengths, starts)
    return np.repeat(names, lengths)


def _check_frames(labels: np.ndarray) -> None:
    if labels.ndim != 1 or not labels.size:
        raise ValueError(f"labels have shape {labels.shape}: give one for each frame, in order.")
