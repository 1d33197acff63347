"""Clustering points of movements, and scoring the clusters."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from rnnatomy.analysis import clusters, segments, separability
from rnnatomy.data import mocap
from rnnatomy.store import disk
from rnnatomy.studies.movement import embeddings, protocols

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "k-means": lambda points, count, rng: clusters.kmeans(points, count, rng),
    "Ward": lambda points, count, rng: clusters.agglomerative(points, count, "ward"),
    "single linkage": lambda points, count, rng: clusters.agglomerative(points, count, "single"),
}
"""Ways to cluster, by name."""


AGREEMENT = ("ari", "ami", "v_measure")
"""Scores of each clustering, see ``clusters.agreement``."""


SCORES = (*AGREEMENT, "accuracy", "precision", "recall", "f1", "activities")
"""Scores of each clustering of subject 86.

Accuracy is that of frames after the best matching; precision, recall and F1 are those of borders;
activities is how many were found.
"""


SHORTEST = 120
"""Segments of subject 86 that are shorter than a second are merged with a neighbour."""


CANDIDATES = tuple(range(2, 11))
"""Numbers of activities to choose from where none is given."""


Cluster = Callable[[np.ndarray], np.ndarray]
"""Gives a label to each point."""


def by_frame(
    found: Int[np.ndarray, " point"], at: Float[np.ndarray, " point"], frames: int
) -> Int[np.ndarray, " time"]:
    """Give each of so many frames the cluster of the nearest point; of two, the later one."""
    halfway = (at[1:] + at[:-1]) / 2
    return found[np.searchsorted(halfway, np.arange(frames), side="right")]


def find(
    parts: Sequence[embeddings.Embedding],
    lengths: Sequence[int],
    cluster: Cluster,
) -> list[Int[np.ndarray, " _"]]:
    """Cluster the points of all sequences together, and give each frame its cluster.

    Args:
        parts: one embedding per sequence.
        lengths: recorded frames of each sequence.
        cluster: gives labels of points, such as one of ``methods_for_count``.

    Returns:
        One label per frame of each sequence.
    """
    found = cluster(np.concatenate([part.points for part in parts]))
    ends = np.cumsum([len(part.points) for part in parts])[:-1]
    return [
        by_frame(labels, part.at, length)
        for labels, part, length in zip(np.split(found, ends), parts, lengths, strict=True)
    ]


def agreement(
    found: Int[np.ndarray, " time"], labels: Int[np.ndarray, " time"]
) -> Float[np.ndarray, " score"]:
    """Score clusters against true activities frame by frame: ``AGREEMENT``.

    Raises:
        ValueError: as ``clusters.agreement``.
    """
    return np.array(clusters.agreement(found, labels))


def segmentation(
    found: Int[np.ndarray, " time"], recording: mocap.Recording
) -> Float[np.ndarray, " score"]:
    """Score the clusters of a recording's frames as a segmentation: all of ``SCORES``.

    Segments shorter than ``SHORTEST`` are merged first.

    Raises:
        ValueError: as ``clusters.agreement`` and ``segments.border_score``.
    """
    found = segments.drop_short(found, SHORTEST)
    borders = segments.border_score(segments.borders(found), recording.accepted)
    accuracy = segments.frame_accuracy(found, recording.labels)
    count = len(np.unique(found))
    return np.array([*agreement(found, recording.labels), accuracy, *borders, count])


def methods_for_count(count: int, rng: np.random.Generator) -> dict[str, Cluster]:
    """Return the ways to cluster by name, where the number of activities is given."""
    return {name: partial(method, count=count, rng=rng) for name, method in METHODS.items()}


def methods_by_silhouette(rng: np.random.Generator) -> dict[str, Cluster]:
    """Return the ways to cluster by name, each with the number of the largest silhouette.

    The numbers that are tried are ``CANDIDATES``, as far as there are more points.
    """

    def choose(points: np.ndarray, method: Callable[..., np.ndarray]) -> np.ndarray:
        tried = [count for count in CANDIDATES if count < len(points)]
        way = partial(method, rng=rng)
        return way(points, clusters.count_clusters(points, tried, way).best)

    return {name: partial(choose, method=method) for name, method in METHODS.items()}


def table(
    rows: embeddings.Rows,
    lengths: Sequence[int],
    seconds: Sequence[float],
    methods: dict[str, Cluster],
    score: Callable[[np.ndarray], np.ndarray],
) -> Float[np.ndarray, "smoothing view method score"]:
    """Cluster every representation in every way, and score the clusters.

    Args:
        rows: representations of the same sequences.
        lengths: recorded frames of each sequence.
        seconds: lengths of the running mean.
        methods: ways to cluster, as ``methods_for_count`` or ``methods_by_silhouette``.
        score: of the labels of all frames, such as ``agreement``.

    Raises:
        ValueError: as ``clusters.kmeans`` and ``clusters.agglomerative``.
    """
    smoothed = [
        [
            [embeddings.smooth(part, mocap.RATE * length) for part in parts]
            for parts in rows.values()
        ]
        for length in seconds
    ]
    return np.array(
        [
            [
                [score(np.concatenate(find(parts, lengths, way))) for way in methods.values()]
                for parts in each
            ]
            for each in smoothed
        ]
    )


def by_name(
    prefix: str, scores: Float[np.ndarray, "*rest score"], names: Sequence[str]
) -> disk.Arrays:
    """Give each score an array of its own.

    Args:
        prefix: of the names, such as "held".
        scores: of many clusterings.
        names: of the scores, in order.

    Returns:
        Arrays by name, such as "held_ari".
    """
    return {f"{prefix}_{name}": scores[..., k] for k, name in enumerate(names)}


def tuned(found: xr.Dataset, prefix: str) -> xr.Dataset:
    """Choose the running mean on some recordings, and return the scores of the others.

    Args:
        found: the study, with scores along ``recording`` and ``smoothing``.
        prefix: of their names: "subject", or "subject_plain" without a network.

    Returns:
        ``SCORES`` by name, of the recordings not in ``TUNED_ON``, with the smoothing of the largest
        mean ARI on these: one choice for each representation, method, count and network.
    """
    names = {f"{prefix}_{name}": name for name in SCORES}
    scores = found[list(names)].rename(names)
    is_tuned_on = scores["recording"].isin(protocols.TUNED_ON)
    means = scores["ari"].sel(recording=is_tuned_on).mean("recording")
    return scores.sel(recording=~is_tuned_on).isel(smoothing=means.argmax("smoothing"))


def gauge(
    rows: embeddings.Rows, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "gauge_view gauge_clustering"]:
    """Return the silhouette of the clusters found, which needs no labels.

    Args:
        rows: of a predictor; the first two in ``WITH_NETWORK`` are clustered.
        count: how many clusters.
        rng: source of k-means' starts.

    Returns:
        For each representation, that of k-means and of Ward's clusters.

    Raises:
        ValueError: as ``clusters.kmeans`` and ``separability.silhouette``.
    """
    found = []
    for name in embeddings.WITH_NETWORK[:2]:
        points = np.concatenate([part.points for part in rows[name]])
        ways = list(methods_for_count(count, rng).values())[:2]
        found.append([separability.silhouette(points, way(points)) for way in ways])
    return np.array(found)


def joined_table(
    rows: embeddings.Rows,
    labels: Int[np.ndarray, " time"],
    plan: protocols.Plan,
    rng: np.random.Generator,
) -> Float[np.ndarray, "smoothing view method score"]:
    """Cluster and score representations of sequences that follow each other as one.

    Raises:
        ValueError: as ``table``; or if there is one sequence only.
    """
    ways = methods_for_count(len(np.unique(labels)), rng)
    return table(rows, [len(labels)], plan.seconds, ways, lambda found: agreement(found, labels))


def subject_table(
    rows: embeddings.Rows,
    recording: mocap.Recording,
    plan: protocols.Plan,
    methods: dict[str, Cluster],
) -> Float[np.ndarray, "smoothing view method score"]:
    """Cluster and score representations of one recording of subject 86.

    Args:
        rows: of the recording.
        recording: with its segmentation by hand.
        plan: for the lengths of the running mean.
        methods: as ``given`` or ``unknown``.

    Raises:
        ValueError: as ``table`` and ``segmentation``.
    """
    score = partial(segmentation, recording=recording)
    return table(rows, [len(recording.frames)], plan.seconds, methods, score)
