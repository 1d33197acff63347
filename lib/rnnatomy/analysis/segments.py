"""Segments of a sequence of labels: runs of one label, with a border where the next one starts."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.optimize import linear_sum_assignment

from rnnatomy.analysis import checks, clusters


def frame_accuracy(found: Int[np.ndarray, " time"], labels: Int[np.ndarray, " time"]) -> float:
    """Return the fraction (0..1) of frames in the right cluster, after the best matching.

    A class is matched with one cluster at most: frames in clusters beyond the number of classes
    count as wrong, and so do those of classes beyond the number of clusters.

    Args:
        found: cluster of each frame.
        labels: true class of each frame.

    Raises:
        ValueError: if the lengths differ, labels are not whole numbers, or there are no frames.
    """
    labels = checks.labels(labels, each="frame")
    return float(np.mean(clusters.relabel(found, labels) == labels))


def borders(labels: Int[np.ndarray, " time"]) -> Int[np.ndarray, " border"]:
    """Find the frames at which a new segment starts, ascending; the first frame is none.

    Args:
        labels: label of each frame, in order.

    Raises:
        ValueError: if labels are not whole numbers, or there are no frames.
    """
    labels = checks.labels(labels, each="frame")
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
        found: frames of the borders found, in any order; there may be none.
        accepted: earliest and latest accepted frame of each true border, both included.

    Raises:
        ValueError: if frames are not whole numbers, there is no true border, or the latest frame
            of one is before its earliest.
    """
    found = checks.labels(found, name="found", each="border") if len(found) else np.zeros(0, int)
    accepted = checks.real("accepted", accepted)
    if accepted.ndim != 2 or accepted.shape[1] != 2 or not len(accepted):
        raise ValueError(
            f"accepted has shape {accepted.shape}: give (border, 2), the earliest and the latest "
            "frame of at least one true border."
        )
    earliest, latest = checks.labels(accepted.ravel(), name="accepted").reshape(-1, 2).T
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


def drop_short(labels: Int[np.ndarray, " time"], at_least: int) -> Int[np.ndarray, " time"]:
    """Merge short segments into the longer of their neighbours, the shortest segment first.

    A segment between two of the same label joins them to one. Among segments of equal length the
    first is merged first, and into the neighbour before it if both are equally long.

    Args:
        labels: label of each frame, in order.
        at_least: frames of the shortest segment to keep, at least 1.

    Returns:
        Labels without a segment shorter than that, unless one segment is all that is left.

    Raises:
        ValueError: if ``at_least`` is below 1, labels are not whole numbers, or there are no
            frames.
    """
    labels = checks.labels(labels, each="frame")
    if not checks.is_whole(at_least, 1):
        raise ValueError(f"at_least is {at_least}: give at least 1 frame, in whole numbers.")
    starts = np.append(0, borders(labels))
    names, lengths = labels[starts], np.diff(starts, append=len(labels))
    while len(lengths) > 1 and lengths.min() < at_least:
        short = lengths.argmin()
        before, _, after = np.pad(lengths, 1)[short : short + 3]
        names[short] = names[short - 1 if before >= after else short + 1]
        starts = np.append(0, borders(names))
        names, lengths = names[starts], np.add.reduceat(lengths, starts)
    return np.repeat(names, lengths)
