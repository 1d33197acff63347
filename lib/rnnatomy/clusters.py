"""Separability and clustering of an embedding of hidden-state trajectories.

Points are rows. Labels are whole numbers that name classes or clusters; any numbers do. A label
per frame, in order, makes segments: runs of one label, with a border where the next one starts.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

LINKAGES = ("ward", "complete", "average", "single")
"""Ways to measure how far two clusters are apart, when the nearest are joined."""


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
        sequences: hidden states of each sample over time.

    Raises:
        ValueError: if there are not three axes, or one is empty.
    """
    return windows(sequences, length=1, stride=1)


def trajectories(sequences: Float[np.ndarray, "sample time feature"]) -> Points:
    """Take each whole sequence as a point: sample points of size time * feature.

    Two points are near each other if the sequences are in the same place at the same time, all
    the way. Orbits of different form separate here, even if they cross in space. The price: few
    points of large size, and equal orbits that start at different times are far apart.

    Args:
        sequences: hidden states of each sample over time.

    Raises:
        ValueError: if there are not three axes, or one is empty.
    """
    _check_sequences(sequences)
    return windows(sequences, length=sequences.shape[1], stride=1)


def windows(
    sequences: Float[np.ndarray, "sample time feature"], length: int, stride: int
) -> Points:
    """Take each stretch of frames as a point: sample * window points of size length * feature.

    Between ``states`` (length 1) and ``trajectories`` (length time): a point tells where a state
    is and where it goes from there. The frames of a window follow each other in the point.

    Args:
        sequences: hidden states of each sample over time.
        length: frames in a window, from 1 to time.
        stride: frames from the start of one window to the start of the next, at least 1; frames
            at the end that do not fill a window are left out.

    Raises:
        ValueError: if there are not three axes, one is empty, a sequence is shorter than a
            window, or length or stride is below 1.
    """
    _check_sequences(sequences)
    samples, time, _ = sequences.shape
    if length < 1 or stride < 1:
        raise ValueError(f"length is {length} and stride {stride}: give at least 1 frame for each.")
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
        sequences: hidden states of each sample over time.

    Raises:
        ValueError: if there are not three axes, or one is empty.
    """
    _check_sequences(sequences)
    return Points(sequences.mean(axis=1), np.arange(len(sequences)))


def standardise(points: Float[np.ndarray, "point feature"]) -> Float[np.ndarray, "point feature"]:
    """Shift and scale each coordinate to mean zero and variance one.

    Args:
        points: finite numbers.

    Returns:
        Standardised points; a coordinate that does not vary is zero.

    Raises:
        ValueError: if points are not finite, or no coordinate varies.
    """
    points = _finite(points)
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
        ValueError: if there are more classes than points to keep.
    """
    classes = np.unique(labels)
    if at_most < len(classes):
        raise ValueError(
            f"{at_most} points cannot hold {len(classes)} classes: keep one of each at least."
        )
    # a random place in the queue of each class, as a fraction of the class
    place = np.zeros(len(labels))
    for each in classes:
        rows = np.flatnonzero(labels == each)
        place[rows] = rng.permutation(len(rows)) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[:at_most])


class Separability(NamedTuple):
    """How well labelled points are apart.

    Attributes:
        silhouette: from -1 to 1; see ``silhouette``.
        fisher_ratio: at least 0, may be infinite; see ``fisher_ratio``.
        probe: a fraction (0..1); see ``probe``.
    """

    silhouette: float
    fisher_ratio: float
    probe: float


def separability(
    points: Float[np.ndarray, "point feature"],
    labels: Int[np.ndarray, " point"],
    groups: Int[np.ndarray, " point"],
    folds: int = 5,
) -> Separability:
    """Measure in three ways how well the classes of points are apart.

    Args:
        points: finite numbers.
        labels: the classes, at least two.
        groups: sample that each point came from.
        folds: parts of the cross-validation of the probe, at least 2.

    Raises:
        ValueError: as ``silhouette``, ``fisher_ratio`` and ``probe``.
    """
    return Separability(
        silhouette(points, labels),
        fisher_ratio(points, labels),
        probe(points, labels, groups, folds),
    )


def silhouette(
    points: Float[np.ndarray, "point feature"], labels: Int[np.ndarray, " point"]
) -> float:
    """Measure how much nearer points are to their own class than to the next one.

    The mean over all points of

        (b - a) / max(a, b)

    with a the mean distance to the other points of the class, and b the smallest mean distance to
    the points of another class; 0 for a point that is alone in its class.

    Args:
        points: finite numbers; time grows with the square of their number, see ``subsample``.
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

    points = _labelled(points, labels)
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
    points = _labelled(points, labels)
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
        groups: sample that each point came from.
        folds: at least 2; each class needs as many groups.

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

    points = _labelled(points, labels)
    _check_groups(labels, groups, folds)
    readout = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    parts = StratifiedGroupKFold(folds)
    read = cross_val_predict(readout, points, labels, groups=groups, cv=parts)
    return float(np.mean(read == labels))


def kmeans(
    points: Float[np.ndarray, "point feature"], clusters: int, rng: np.random.Generator
) -> Int[np.ndarray, " point"]:
    """Find clusters of points that are near a common mean: the best of ten starts.

    Args:
        points: finite numbers.
        clusters: from 2 to the number of distinct points.
        rng: source of the starts.

    Returns:
        Number of each point's cluster, from 0.

    Raises:
        ValueError: if points are not finite, there are fewer distinct points than clusters, or
            fewer than two clusters.

    Reference:
        Lloyd (1982); Arthur and Vassilvitskii (2007).
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    points = _finite(points)
    _check_clusters(points, clusters)
    solver = KMeans(clusters, n_init=10, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings():
        # it is about clusters left empty, which are an error below
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = solver.fit_predict(points)
    distinct = len(np.unique(found))
    if distinct < clusters:
        raise ValueError(
            f"{clusters} clusters were asked for, but only {distinct} points are distinct: ask for "
            "fewer clusters."
        )
    return found


def agglomerative(
    points: Float[np.ndarray, "point feature"], clusters: int, linkage: str
) -> Int[np.ndarray, " point"]:
    """Find clusters by joining the two nearest, again and again, until few enough are left.

    Args:
        points: finite numbers. Memory grows with the square of their number, to about 2 GB for
            15,000 points (except for "single"); see ``subsample``.
        clusters: from 2 to the number of points.
        linkage: how far two clusters are apart: "ward", by how much the scatter within clusters
            would grow; "complete", "average" or "single", by the largest, mean or smallest
            distance between their points.

    Returns:
        Number of each point's cluster, from 0.

    Raises:
        ValueError: if points are not finite, there are fewer points than clusters, fewer than two
            clusters, or the linkage is none of these.

    Reference:
        Ward (1963); Lance and Williams (1967).
    """
    from sklearn.cluster import AgglomerativeClustering

    points = _finite(points)
    _check_clusters(points, clusters)
    if linkage not in LINKAGES:
        raise ValueError(f"linkage {linkage!r} is unknown: choose from {', '.join(LINKAGES)}.")
    return AgglomerativeClustering(clusters, linkage=linkage).fit_predict(points)


class FoundSilhouettes(NamedTuple):
    """Silhouette of the clusters that each method finds by itself, from -1 to 1.

    Attributes:
        kmeans: of k-means.
        ward: of agglomerative clustering with this linkage.
        complete: likewise.
        average: likewise.
        single: likewise.
    """

    kmeans: float
    ward: float
    complete: float
    average: float
    single: float


def found_silhouettes(
    points: Float[np.ndarray, "point feature"], clusters: int, rng: np.random.Generator
) -> FoundSilhouettes:
    """Measure how clearly points fall into clusters, without labels, by five methods.

    Args:
        points: finite numbers.
        clusters: from 2 to the number of points less one.
        rng: source of the starts of k-means.

    Raises:
        ValueError: as ``kmeans``, ``agglomerative`` and ``silhouette``.
    """
    found = [kmeans(points, clusters, rng)]
    found += [agglomerative(points, clusters, linkage) for linkage in LINKAGES]
    return FoundSilhouettes(*(silhouette(points, labels) for labels in found))


class ClusterCount(NamedTuple):
    """A number of clusters, and what it was chosen by.

    Attributes:
        best: the candidate of the largest silhouette; the first of them, if there are several.
        candidates: the numbers that were tried, in the order given.
        silhouettes: of the clusters found for each candidate, from -1 to 1.
    """

    best: int
    candidates: Int[np.ndarray, " candidate"]
    silhouettes: Float[np.ndarray, " candidate"]


def count_clusters(
    points: Float[np.ndarray, "point feature"],
    candidates: Sequence[int],
    method: Callable[[np.ndarray, int], np.ndarray],
) -> ClusterCount:
    """Choose the number of clusters whose silhouette is the largest.

    The choice is never one cluster: whether there are clusters at all is told by how large the
    silhouette is, beside that of points without clusters.

    Args:
        points: finite numbers.
        candidates: numbers of clusters to try, each from 2 to the number of points less one.
        method: takes points and a number of clusters, and returns labels, such as
            ``partial(kmeans, rng=rng)`` or ``partial(agglomerative, linkage="ward")``.

    Raises:
        ValueError: if there is no candidate; and as the method and ``silhouette``.

    Reference:
        Rousseeuw (1987).
    """
    if not len(candidates):
        raise ValueError("there is no candidate: give at least one number of clusters.")
    scores = np.array([silhouette(points, method(points, clusters)) for clusters in candidates])
    tried = np.asarray(candidates)
    return ClusterCount(int(tried[scores.argmax()]), tried, scores)


class Agreement(NamedTuple):
    """How far two labellings of the same points agree, whatever their numbers.

    Attributes:
        ari: adjusted Rand index, of pairs of points: 1 if the labellings are the same, about 0 by
            chance, at least -0.5.
        ami: adjusted mutual information: 1 if they are the same, about 0 by chance.
        v_measure: harmonic mean of homogeneity and completeness, a fraction (0..1); not adjusted
            for chance, so it grows with the number of clusters.
    """

    ari: float
    ami: float
    v_measure: float


def agreement(found: Int[np.ndarray, " point"], labels: Int[np.ndarray, " point"]) -> Agreement:
    """Measure how far the clusters found agree with the true classes.

    Args:
        found: the clusters, any number of them.
        labels: the true classes, at least two.

    Raises:
        ValueError: if the lengths differ, or there is one class only.

    Reference:
        Hubert and Arabie (1985); Vinh, Epps and Bailey (2010); Rosenberg and Hirschberg (2007).
    """
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        adjusted_rand_score,
        v_measure_score,
    )

    _check_same_length(found, labels)
    _check_classes(labels)
    return Agreement(
        float(adjusted_rand_score(labels, found)),
        float(adjusted_mutual_info_score(labels, found)),
        float(v_measure_score(labels, found)),
    )


def match(
    found: Int[np.ndarray, " point"], labels: Int[np.ndarray, " point"]
) -> Int[np.ndarray, " point"]:
    """Rename clusters after classes, one to one, so that as many points as possible are right.

    Args:
        found: the clusters, any number of them.
        labels: the true classes.

    Returns:
        The clusters under their classes' numbers. Clusters beyond the number of classes get
        numbers above the largest class.

    Raises:
        ValueError: if the lengths differ, or there are no points.

    Reference:
        Kuhn (1955).
    """
    from sklearn.metrics.cluster import contingency_matrix

    _check_same_length(found, labels)
    clusters, number = np.unique(found, return_inverse=True)
    classes = np.unique(labels)
    rows, columns = linear_sum_assignment(contingency_matrix(found, labels), maximize=True)
    names = classes[-1] + 1 + np.arange(len(clusters))
    names[rows] = classes[columns]
    return names[number]


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
    return float(np.mean(match(found, labels) == labels))


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


def _check_sequences(sequences: np.ndarray) -> None:
    if sequences.ndim != 3 or not sequences.size:
        raise ValueError(
            f"sequences have shape {sequences.shape}: give (sample, time, feature), at least one "
            "of each."
        )


def _finite(points: np.ndarray) -> np.ndarray:
    """Return the points in double precision, if they are finite."""
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not points.size:
        raise ValueError(f"points have shape {points.shape}: give (point, feature), one at least.")
    if not np.isfinite(points).all():
        raise ValueError("points hold NaN or infinity: give finite numbers.")
    return points


def _labelled(points: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the points in double precision, if they are finite and their labels fit."""
    points = _finite(points)
    if labels.shape != points.shape[:1]:
        raise ValueError(
            f"labels have shape {labels.shape}: give one label for each of {len(points)} points."
        )
    _check_classes(labels)
    return points


def _check_classes(labels: np.ndarray) -> None:
    if len(np.unique(labels)) < 2:
        raise ValueError("all points are of one class: give points of at least two classes.")


def _check_groups(labels: np.ndarray, groups: np.ndarray, folds: int) -> None:
    if groups.shape != labels.shape:
        raise ValueError(
            f"groups have shape {groups.shape}: give one group for each of {len(labels)} points."
        )
    if folds < 2:
        raise ValueError(f"folds is {folds}: give at least 2.")
    for each in np.unique(labels):
        count = len(np.unique(groups[labels == each]))
        if count < folds:
            raise ValueError(
                f"class {each} comes from {count} groups, fewer than {folds} folds: give more "
                "samples or fewer folds."
            )


def _check_clusters(points: np.ndarray, clusters: int) -> None:
    if not 2 <= clusters <= len(points):
        raise ValueError(
            f"{clusters} clusters were asked for: choose from 2 to {len(points)}, the number of "
            "points."
        )


def _check_same_length(found: np.ndarray, labels: np.ndarray) -> None:
    if found.shape != labels.shape or labels.ndim != 1 or not labels.size:
        raise ValueError(
            f"found has shape {found.shape} and labels {labels.shape}: give one number per point "
            "in each, for at least one point."
        )


def _check_frames(labels: np.ndarray) -> None:
    if labels.ndim != 1 or not labels.size:
        raise ValueError(f"labels have shape {labels.shape}: give one for each frame, in order.")
