"""Clusters of points: how to find them, how many there are, and how they agree with classes.

Points are rows. Labels are whole numbers that name classes or clusters; any numbers do.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from rnnatomy.analysis import checks, points, separability

LINKAGES = ("ward", "complete", "average", "single")
"""Ways to measure how far two clusters are apart, when the nearest are joined."""

MOST_POINTS = 400
"""Most points of a view whose clusters are scored: of more, a random part is taken."""


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

    points = checks.double("points", points, "point feature")
    clusters = _check_clusters(points, clusters)
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
            15,000 points (except for "single"); see ``points.subsample``.
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

    points = checks.double("points", points, "point feature")
    clusters = _check_clusters(points, clusters)
    if linkage not in LINKAGES:
        raise ValueError(f"linkage {linkage!r} is unknown: choose from {', '.join(LINKAGES)}.")
    return AgglomerativeClustering(clusters, linkage=linkage).fit_predict(points)


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
    points = checks.double("points", points, "point feature")
    tried = checks.labels(candidates, name="candidates", each="number of clusters")
    scores = np.array(
        [separability.silhouette(points, method(points, clusters)) for clusters in tried.tolist()]
    )
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
        found: cluster of each point, any number of clusters.
        labels: the true classes, at least two.

    Raises:
        ValueError: if the lengths differ, labels are not whole numbers, or there is one class
            only.

    Reference:
        Hubert and Arabie (1985); Vinh, Epps and Bailey (2010); Rosenberg and Hirschberg (2007).
    """
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        adjusted_rand_score,
        v_measure_score,
    )

    found = checks.labels(found, name="found")
    labels = checks.classes(labels, len(found))
    return Agreement(
        float(adjusted_rand_score(labels, found)),
        float(adjusted_mutual_info_score(labels, found)),
        float(v_measure_score(labels, found)),
    )


def relabel(
    found: Int[np.ndarray, " point"], labels: Int[np.ndarray, " point"]
) -> Int[np.ndarray, " point"]:
    """Rename clusters after classes, one to one, so that as many points as possible are right.

    Args:
        found: cluster of each point, any number of clusters.
        labels: the true classes, at least one.

    Returns:
        The clusters under their classes' numbers. Clusters beyond the number of classes get
        numbers above the largest class.

    Raises:
        ValueError: if the lengths differ, labels are not whole numbers, or there are no points.

    Reference:
        Kuhn (1955).
    """
    from sklearn.metrics.cluster import contingency_matrix

    found = checks.labels(found, name="found")
    labels = checks.labels(labels, len(found))
    clusters, number = np.unique(found, return_inverse=True)
    classes = np.unique(labels)
    rows, columns = linear_sum_assignment(contingency_matrix(found, labels), maximize=True)
    names = classes[-1] + 1 + np.arange(len(clusters))
    names[rows] = classes[columns]
    return names[number]


def score_views(
    states: Float[np.ndarray, "sample time hidden"],
    labels: Int[np.ndarray, " sample"],
    rng: np.random.Generator,
) -> dict[str, dict[str, float]]:
    """Look for the classes of trajectories, taken as points in three ways, and score what is found.

    Points are found under each of ``points.VIEWS``, in as many clusters as there are classes.

    Args:
        states: hidden states of each sample over time, finite numbers.
        labels: class of each sample, at least two.
        rng: source of k-means' starts, and of the part of more than 400 points.

    Returns:
        By the name of the view: "silhouette" of the true classes; "kmeans" and "ward", the
        silhouette of the clusters found, which needs no labels; "kmeans_ari" and "ward_ari", their
        adjusted Rand index against the classes.

    Raises:
        ValueError: as the views, ``silhouette``, ``kmeans`` and ``agreement``.
    """
    states = checks.numbers("states", states, "sample time hidden")
    labels = checks.classes(labels, len(states), each="sample")
    scores = {}
    for name, view in points.VIEWS.items():
        cloud, sample = view(states)
        if len(cloud) > MOST_POINTS:
            kept = points.subsample(rng, labels[sample], MOST_POINTS)
            cloud, sample = cloud[kept], sample[kept]
        scores[name] = _scores(cloud, labels[sample], rng)
    return scores


def _scores(
    cloud: Float[np.ndarray, "point feature"],
    labels: Int[np.ndarray, " point"],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the silhouette of classes, and silhouette and agreement of clusters, as many."""
    classes = len(np.unique(labels))
    methods = {"kmeans": partial(kmeans, rng=rng), "ward": partial(agglomerative, linkage="ward")}
    scores = {"silhouette": separability.silhouette(cloud, labels)}
    for method, cluster in methods.items():
        found = cluster(cloud, classes)
        scores[method] = separability.silhouette(cloud, found)
        scores[f"{method}_ari"] = agreement(found, labels).ari
    return scores


def _check_clusters(points: np.ndarray, clusters: int) -> int:
    if not checks.is_whole(clusters, 2, len(points)):
        raise ValueError(
            f"{clusters} clusters were asked for: choose from 2 to {len(points)}, the number of "
            "points."
        )
    return int(clusters)
