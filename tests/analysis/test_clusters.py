from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from rnnatomy.analysis import clusters, points, separability

labellings = (
    st.integers(1, 9)
    .flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2))
    .map(lambda pair: tuple(map(np.array, pair)))
)


def blobs(seed=0, classes=3):
    """Normal points about corners of a simplex, far apart."""
    return make_blobs(24 * classes, centers=30 * np.eye(classes, 4), random_state=seed)


def ari_by_pairs(found, labels):
    pairs = list(combinations(range(len(labels)), 2))
    one = np.array([found[i] == found[j] for i, j in pairs])
    two = np.array([labels[i] == labels[j] for i, j in pairs])
    expected = one.sum() * two.sum() / len(pairs)
    most = (one.sum() + two.sum()) / 2
    return ((one & two).sum() - expected) / (most - expected)


METHODS = {
    "kmeans": lambda cloud, count: clusters.kmeans(cloud, count, np.random.default_rng(0))
} | {name: partial(clusters.agglomerative, linkage=name) for name in clusters.LINKAGES}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_planted_blobs_are_found_by_every_method(method):
    cloud, labels = blobs(1)
    found = method(cloud, 3)
    assert set(found) == {0, 1, 2}
    assert clusters.agreement(found, labels) == pytest.approx((1, 1, 1))
    np.testing.assert_array_equal(clusters.relabel(found, labels), labels)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_number_of_planted_blobs_is_found_by_every_method(method):
    cloud, labels = blobs(2, classes=4)
    found = clusters.count_clusters(cloud, range(2, 8), method)
    assert found.best == 4
    np.testing.assert_array_equal(found.candidates, range(2, 8))
    assert found.silhouettes[2] == pytest.approx(separability.silhouette(cloud, labels))
    assert found.silhouettes.max() == found.silhouettes[2]


def test_candidates_may_come_in_any_order():
    found = clusters.count_clusters(blobs()[0], [5, 3, 2], METHODS["ward"])
    assert found.best == 3 and found.silhouettes.argmax() == 1


def test_single_linkage_follows_a_ring_that_kmeans_and_ward_cut():
    phase = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = 5 * np.stack([np.cos(phase), np.sin(phase)], axis=1)
    cloud = np.concatenate([ring, ring / 20])
    labels = np.repeat([0, 1], 60)
    ari = {n: clusters.agreement(m(cloud, 2), labels).ari for n, m in METHODS.items()}
    assert ari["single"] == 1 and ari["kmeans"] < 0.5 and ari["ward"] < 0.9


def test_kmeans_repeats_with_its_rng_and_takes_the_best_of_several_starts():
    cloud = np.random.default_rng(0).normal(size=(60, 2))
    starts = [KMeans(6, n_init=1, random_state=start).fit(cloud).inertia_ for start in range(20)]
    for seed in range(3):
        one, two = (clusters.kmeans(cloud, 6, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        within = sum((one == k).sum() * cloud[one == k].var(axis=0).sum() for k in range(6))
        assert within < np.median(starts)


@given(labellings.filter(lambda pair: 1 < len(set(pair[1])) < len(pair[1])))
def test_ari_equals_a_count_of_pairs(pair):
    assert clusters.agreement(*pair).ari == pytest.approx(ari_by_pairs(*pair))


def test_shuffled_labels_agree_by_chance_only():
    labels = np.arange(600) % 4
    found = clusters.agreement(np.random.default_rng(0).permutation(labels), labels)
    assert abs(found.ari) < 0.02 and abs(found.ami) < 0.02 and 0 < found.v_measure < 0.02


@given(labellings.filter(lambda pair: len(set(pair[1])) > 1), st.permutations(range(4)))
def test_names_of_clusters_change_nothing(pair, names):
    found, labels = pair
    renamed = 10 * np.array(names)[found] - 5
    assert clusters.agreement(renamed, labels) == pytest.approx(clusters.agreement(found, labels))
    before, after = (clusters.relabel(each, labels) for each in (found, renamed))
    assert (before == labels).sum() == (after == labels).sum()


@given(labellings)
def test_matching_renames_clusters_one_to_one(pair):
    found, labels = pair
    renamed = clusters.relabel(found, labels)
    assert len(set(zip(found, renamed, strict=True))) == len(set(found)) == len(set(renamed))
    left_over = set(renamed) - set(labels)
    assert len(left_over) == max(0, len(set(found)) - len(set(labels)))
    assert all(name > labels.max() for name in left_over)
    again = clusters.relabel(renamed, labels)
    assert (again == labels).sum() == (renamed == labels).sum()


def test_a_class_in_two_clusters_counts_the_larger_one_only():
    labels = np.array([5, 5, 5, 5, 9, 9])
    found = np.array([0, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(clusters.relabel(found, labels), [10, 5, 5, 5, 9, 9])
    np.testing.assert_array_equal(clusters.relabel(np.zeros(6, int), labels), [5] * 6)


def test_many_small_clusters_agree_little_and_warn_of_nothing():
    labels = np.arange(60) % 3
    found = clusters.agreement(np.arange(60), labels)
    assert found.ari == 0 and abs(found.ami) < 1e-9


def planted(rng, samples=12, time=50):
    """Orbits of two sizes in planes one above the other, each from a start of its own."""
    labels = np.tile([0, 1], samples)
    phase = rng.uniform(0, 2 * np.pi, (len(labels), 1)) + 2 * np.pi * np.arange(time) / time
    radius, height = np.array([1.0, 4.0])[labels], np.array([0.0, 3.0])[labels]
    circle = np.stack([np.cos(phase), np.sin(phase)], axis=-1) * radius[:, None, None]
    return np.append(circle, np.broadcast_to(height[:, None, None], (*phase.shape, 1)), 2), labels


def test_planted_orbits_are_found_under_the_view_that_shows_them():
    rng = np.random.default_rng(0)
    states, labels = planted(rng)
    found = clusters.score_views(states, labels, rng)
    assert list(found) == list(points.VIEWS)
    shown = found["averages"]
    assert shown["kmeans_ari"] == shown["ward_ari"] == 1
    for score in ("silhouette", "kmeans", "ward"):
        assert shown[score] == pytest.approx(1, abs=0.01)
    assert found["trajectories"]["silhouette"] < shown["silhouette"]
    mixed = clusters.score_views(states, rng.permutation(labels), rng)["averages"]
    assert mixed["kmeans_ari"] < 0.3 and mixed["silhouette"] < 0.3
    assert mixed["kmeans"] == pytest.approx(shown["kmeans"])


def test_of_many_states_a_random_part_is_scored(monkeypatch):
    states, labels = planted(np.random.default_rng(0))
    rows = []

    def silhouette(cloud, labels):
        rows.append(len(cloud))
        return 0.0

    monkeypatch.setattr(separability, "silhouette", silhouette)
    clusters.score_views(states, labels, np.random.default_rng(0))
    assert rows == [24] * 6 + [clusters.MOST_POINTS] * 3


def test_views_of_one_class_are_not_scored():
    states, labels = planted(np.random.default_rng(0))
    with pytest.raises(ValueError, match="all samples are of one class"):
        clusters.score_views(states, np.zeros_like(labels), np.random.default_rng(0))


POINTS, LABELS = blobs()
MEASURES = METHODS | {
    "count_clusters": lambda cloud, _: clusters.count_clusters(cloud, [2, 3], METHODS["ward"])
}


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_points_are_finite(measure, number):
    cloud = POINTS.copy()
    cloud[3, 1] = number
    with pytest.raises(ValueError, match="NaN or infinity in points is not allowed: give finite"):
        measure(cloud, 3)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_points_are_taken_read_only_and_stay_as_they_were(measure):
    cloud = POINTS.copy()
    cloud.flags.writeable = False
    measure(cloud, 3)
    np.testing.assert_array_equal(cloud, POINTS)


@pytest.mark.parametrize("count", [-1, 0, 1, 73])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_a_number_of_clusters_out_of_range_is_refused(method, count):
    message = f"{count} clusters were asked for: choose from 2 to 72"
    with pytest.raises(ValueError, match=message):
        method(POINTS, count)
    with pytest.raises(ValueError, match=message):
        clusters.count_clusters(POINTS, [3, count], method)


def test_kmeans_needs_as_many_distinct_points_as_clusters():
    cloud = np.repeat([[0.0], [1.0]], 5, axis=0)
    with pytest.raises(ValueError, match="only 2 points are distinct"):
        clusters.kmeans(cloud, 3, np.random.default_rng(0))


@pytest.mark.parametrize("count", [2.5, np.nan, True])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_there_is_no_part_of_a_cluster(as_users, method, count):
    with pytest.raises(ValueError, match=f"{count} clusters were asked for: choose from 2 to 72"):
        method(POINTS, count)


def test_an_unknown_linkage_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'wards' is unknown: choose from ward, complete, av"):
        clusters.agglomerative(POINTS, 3, "wards")


def test_without_candidates_there_is_no_number_of_clusters():
    with pytest.raises(ValueError, match="there is no candidate"):
        clusters.count_clusters(POINTS, [], METHODS["ward"])


@pytest.mark.parametrize("score", [clusters.agreement, clusters.relabel])
@pytest.mark.parametrize(("found", "labels"), [(3, 4), (4, 3), (0, 0)])
def test_two_labellings_are_of_the_same_points(as_users, score, found, labels):
    with pytest.raises(ValueError, match="does not fit: give one for each"):
        score(np.arange(found), np.arange(labels))


def test_agreement_needs_two_true_classes():
    with pytest.raises(ValueError, match="all points are of one class"):
        clusters.agreement(np.arange(4), np.zeros(4, int))
