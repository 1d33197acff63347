"""Clustering points of movements, and scoring the clusters."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import clusters, dynamics, pod, segments, separability
from rnnatomy.data import mocap
from rnnatomy.networks import predictors
from rnnatomy.studies.movement import embeddings, protocols

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "k-means": lambda points, count, rng: clusters.kmeans(points, count, rng),
    "Ward": lambda points, count, rng: clusters.agglomerative(points, count, "ward"),
    "single linkage": lambda points, count, rng: clusters.agglomerative(points, count, "single"),
}
"""Ways to cluster, in the order of the published columns."""


SCORES = ("ari", "ami", "v_measure", "accuracy", "precision", "recall", "f1", "activities")
"""Scores of each clustering, in the order published; all but three for subject 86 alone.

Accuracy is that of frames after the best matching; precision, recall and F1 are those of borders;
activities is how many were found.
"""


SHORTEST = 120
"""Segments of subject 86 that are shorter than a second are merged with a neighbour."""


CANDIDATES = tuple(range(2, 11))
"""Numbers of activities to choose from where none is given."""


ONWARD, EACH = 90, 30
"""The decoder is run on for so many frames, from so many windows of each action."""


Cluster = Callable[[np.ndarray], np.ndarray]


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
        cluster: gives labels of points, such as one of ``given``.

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
    """Score clusters against true activities frame by frame: the first three of ``SCORES``.

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
        ValueError: as ``clusters.agreement`` and ``clusters.border_score``.
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
) -> Float[np.ndarray, "smoothing row method score"]:
    """Cluster every representation in every way, and score the clusters.

    Args:
        rows: representations of the same sequences.
        lengths: recorded frames of each sequence.
        seconds: lengths of the running mean.
        methods: ways to cluster, as ``given`` or ``unknown``.
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


def tuned(
    scores: Float[np.ndarray, "recording smoothing *rest score"], names: Sequence[str]
) -> Float[np.ndarray, "tested *rest score"]:
    """Choose the running mean on two recordings, and return the scores of the others.

    Args:
        scores: of subject 86.
        names: of the recordings, in order.

    Returns:
        Scores with the smoothing of the largest mean ARI on ``TUNED_ON``, one choice for each
        representation and method.
    """
    tuning = np.isin(names, protocols.TUNED_ON)
    best = scores[tuning][..., 0].mean(axis=0).argmax(axis=0)
    return np.take_along_axis(scores[~tuning], best[None, None, ..., None], axis=1)[:, 0]


def gauge(
    rows: embeddings.Rows, count: int, rng: np.random.Generator
) -> Float[np.ndarray, "row method"]:
    """Return the silhouette of the clusters found, which needs no labels.

    Args:
        rows: of a predictor; the first two in ``LEARNED`` are clustered.
        count: how many clusters.
        rng: source of k-means' starts.

    Returns:
        For each representation, that of k-means and of Ward's clusters.

    Raises:
        ValueError: as ``clusters.found_silhouettes``.
    """
    found = []
    for name in embeddings.WITH_NETWORK[:2]:
        points = np.concatenate([part.points for part in rows[name]])
        ways = list(methods_for_count(count, rng).values())[:2]
        found.append([separability.silhouette(points, way(points)) for way in ways])
    return np.array(found)


def roles(
    model: Any, parts: protocols.Parts, plan: protocols.Plan
) -> Float[np.ndarray, "role time"]:
    """Measure how near states come to the decoder's orbits of their own action, and of others.

    The decoder is run on for ``ONWARD`` frames, longer than it was trained for. Of each action at
    most ``EACH`` windows are taken, spread over its sequences.

    Args:
        model: a predictor.
        parts: with at least two actions.
        plan: how to cut.

    Returns:
        The mean over windows of ``predictors.approach``, first "own", then "other".

    Raises:
        ValueError: as ``cut`` and ``predictors.approach``.
    """
    cuts = [
        embeddings.cut(frames[:: plan.step], plan.read, 0, plan.stride) for frames in parts.held
    ]
    inputs = np.concatenate([made.examples.inputs for made in cuts])
    labels = np.repeat(parts.actions, [len(made.starts) for made in cuts])
    kept = np.concatenate([_spread(np.flatnonzero(labels == k)) for k in np.unique(labels)])
    went = predictors.trajectory(model, inputs[kept], ONWARD)
    own, other = dynamics.approach(went.encoder, went.decoder, labels[kept])
    return np.stack([own.mean(axis=0), other.mean(axis=0)])


def joined_table(
    rows: embeddings.Rows,
    labels: Int[np.ndarray, " time"],
    plan: protocols.Plan,
    rng: np.random.Generator,
) -> Float[np.ndarray, "smoothing row method score"]:
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
) -> Float[np.ndarray, "smoothing row method score"]:
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


def shape(part: embeddings.Embedding, labels: np.ndarray) -> tuple[float, float]:
    """Return the number of modes for 95% of the energy, and the silhouette of the true labels."""
    modes = pod.modes_for(pod.pod(part.points, centred=True), 0.95)
    return float(modes), separability.silhouette(part.points, labels[part.at.astype(int)])


def _spread(rows: np.ndarray) -> np.ndarray:
    """Take at most ``EACH`` of them, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(EACH, len(rows))).astype(int)]
