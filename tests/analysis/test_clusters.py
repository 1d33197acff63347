from functools import partial
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import calinski_harabasz_score

from rnnatomy.analysis import clusters, points, segments, separability

seeds = st.integers(0, 10_000)
labellings = (
    st.integers(1, 9)
    .flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n)] * 2))
    .map(lambda pair: tuple(map(np.array, pair)))
)
frames = st.lists(st.integers(0, 3), min_size=1, max_size=40).map(np.array)


def blobs(seed=0, classes=3, groups=6, each=4, apart=30.0):
    """Normal points about corners of a simplex, each group of one class."""
    rng = np.random.default_rng(seed)
    sample = np.repeat(np.arange(classes * groups), each)
    labels = sample % classes
    cloud = apart * np.eye(classes, 4)[labels] + rng.normal(size=(len(labels), 4))
    return cloud, labels, sample


def orbits(seed=0, samples=20, time=24, spread=0.05):
    """Circles (0) and ellipses (1) that cross each other, about almost the same centre."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, time, endpoint=False)
    turn = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    labels = np.arange(2 * samples) % 2
    axes = np.array([[1.0, 1.0], [1.25, 0.75]])[labels]
    centres = spread * rng.normal(size=(len(labels), 1, 2))
    return axes[:, None] * turn + centres, labels


def silhouette_by_hand(cloud, labels):
    distance = np.linalg.norm(cloud[:, None] - cloud[None], axis=2)
    scores = []
    for i, own in enumerate(labels):
        mates = (labels == own) & (np.arange(len(labels)) != i)
        if not mates.any():
            scores.append(0.0)
            continue
        a = distance[i, mates].mean()
        b = min(distance[i, labels == other].mean() for other in set(labels) - {own})
        scores.append((b - a) / max(a, b))
    return np.mean(scores)


def ari_by_pairs(found, labels):
    pairs = list(combinations(range(len(labels)), 2))
    one = np.array([found[i] == found[j] for i, j in pairs])
    two = np.array([labels[i] == labels[j] for i, j in pairs])
    expected = one.sum() * two.sum() / len(pairs)
    most = (one.sum() + two.sum()) / 2
    return ((one & two).sum() - expected) / (most - expected)


def strip(labels):
    """Labels and lengths of the runs, one by one."""
    runs = []
    for label in labels:
        if runs and runs[-1][0] == label:
            runs[-1][1] += 1
        else:
            runs.append([label, 1])
    return runs


# sequences as points


def test_states_are_the_frames_one_after_the_other():
    sequences = np.arange(24.0).reshape(2, 4, 3)
    cloud, sample = points.states(sequences)
    np.testing.assert_array_equal(cloud, sequences.reshape(8, 3))
    np.testing.assert_array_equal(sample, [0, 0, 0, 0, 1, 1, 1, 1])


def test_trajectories_are_whole_sequences_frame_after_frame():
    sequences = np.arange(24.0).reshape(2, 4, 3)
    cloud, sample = points.trajectories(sequences)
    np.testing.assert_array_equal(cloud, sequences.reshape(2, 12))
    np.testing.assert_array_equal(sample, [0, 1])


@given(seeds, st.integers(1, 7), st.integers(1, 9))
def test_windows_equal_a_loop_over_their_starts(seed, length, stride):
    sequences = np.random.default_rng(seed).normal(size=(3, 7, 2)).astype(np.float32)
    cloud, sample = points.windows(sequences, length, stride)
    expected = [
        (one[start : start + length].ravel(), number)
        for number, one in enumerate(sequences)
        for start in range(0, 7 - length + 1, stride)
    ]
    np.testing.assert_array_equal(cloud, [window for window, _ in expected])
    np.testing.assert_array_equal(sample, [number for _, number in expected])


def test_circle_and_ellipse_overlap_as_states_and_separate_as_trajectories():
    sequences, labels = orbits()
    views = {
        "states": points.states(sequences),
        "windows": points.windows(sequences, length=8, stride=4),
        "trajectories": points.trajectories(sequences),
    }
    scores = {
        name: separability.separability(cloud, labels[sample], sample)
        for name, (cloud, sample) in views.items()
    }
    assert scores["states"].silhouette < 0.05 and scores["trajectories"].silhouette > 0.5
    assert scores["states"].fisher_ratio < 0.01 < 1 < scores["trajectories"].fisher_ratio
    assert scores["states"].probe < 0.6 and scores["trajectories"].probe == 1
    between = scores["windows"].silhouette
    assert scores["states"].silhouette < between < scores["trajectories"].silhouette


def test_kmeans_finds_circle_and_ellipse_among_trajectories_and_not_among_states():
    sequences, labels = orbits()
    ari = {}
    for view in (points.states, points.trajectories):
        cloud, sample = view(sequences)
        found = clusters.kmeans(cloud, 2, np.random.default_rng(0))
        ari[view] = clusters.agreement(found, labels[sample]).ari
    assert ari[points.states] < 0.05 and ari[points.trajectories] == 1


# standardised points, and a part of them


@given(seeds)
def test_standardised_points_have_mean_zero_and_variance_one(seed):
    rng = np.random.default_rng(seed)
    cloud = 1e3 + rng.normal(size=(20, 3)) * [1e-3, 1.0, 1e3]
    found = points.standardise(cloud)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found.var(axis=0), 1)
    np.testing.assert_allclose(points.standardise(found), found, atol=1e-9)


def test_a_coordinate_that_does_not_vary_is_zero_also_where_its_mean_is_rounded():
    cloud = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])
    assert cloud[:, 0].std() > 0  # the trap: rounding alone
    found = points.standardise(cloud)
    assert not found[:, 0].any()
    np.testing.assert_allclose(found[:, 1], np.sqrt(1.5) * np.array([-1, 0, 1]))


@given(seeds, st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(4, 80))
def test_a_subsample_keeps_the_share_of_each_class_and_at_least_one(seed, counts, at_most):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = points.subsample(np.random.default_rng(seed), labels, at_most)
    kept = np.bincount(labels[rows], minlength=len(counts))
    assert len(rows) == min(at_most, len(labels)) and (np.diff(rows) > 0).all()
    assert kept.min() >= 1
    share = len(rows) * np.array(counts) / len(labels)
    assert (np.abs(kept - share) < len(counts)).all()


def test_a_subsample_gives_each_point_the_same_chance_and_repeats_with_its_rng():
    labels = np.repeat([0, 1], [30, 10])
    rng = np.random.default_rng(0)
    drawn = np.bincount(
        np.concatenate([points.subsample(rng, labels, 12) for _ in range(2000)]), minlength=40
    )
    np.testing.assert_allclose(drawn / 2000, 0.3, atol=0.05)
    one, two = (points.subsample(np.random.default_rng(5), labels, 12) for _ in range(2))
    np.testing.assert_array_equal(one, two)


# separability


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("apart", [0.0, 2.0, 30.0])
def test_silhouette_equals_a_loop_over_points(apart, shift):
    cloud, labels, _ = blobs(apart=apart)
    labels[0] = 7  # alone in its class
    found = separability.silhouette(cloud + shift, labels)
    assert found == pytest.approx(silhouette_by_hand(cloud, labels), abs=1e-8)


def test_single_precision_changes_no_score():
    cloud, labels, groups = blobs(apart=2.0)
    cloud = cloud.astype(np.float32)
    single, double = (
        separability.separability(p, labels, groups) for p in (cloud, cloud.astype(np.float64))
    )
    assert single == double


def test_fisher_ratio_of_four_points_by_hand():
    cloud = np.array([[0.0, 1.0], [0.0, -1.0], [3.0, 0.0], [5.0, 0.0]])
    # means (0, 0), (4, 0) and (2, 0): between 2 * 4 + 2 * 4, within 2 + 2
    assert separability.fisher_ratio(cloud, np.array([0, 0, 1, 1])) == pytest.approx(4)


@given(seeds)
def test_fisher_ratio_is_that_of_the_traces_and_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    cloud, labels = rng.normal(size=(30, 3)), np.arange(30) % 7 % 3
    within = sum(len(p) * np.cov(p.T, bias=True) for p in (cloud[labels == k] for k in range(3)))
    total = 30 * np.cov(cloud.T, bias=True)
    found = separability.fisher_ratio(cloud, labels)
    assert found == pytest.approx(np.trace(total - within) / np.trace(within))
    assert found == pytest.approx(calinski_harabasz_score(cloud, labels) * 2 / 27)


def test_fisher_ratio_is_infinite_where_classes_are_single_places():
    cloud = np.repeat([[0.0, 0.0], [0.1, 0.7]], 3, axis=0)
    assert cloud[3:].std(axis=0).any()  # the trap: rounding alone
    assert separability.fisher_ratio(cloud, np.repeat([0, 1], 3)) == np.inf


@given(seeds, st.floats(0.1, 10), st.floats(-50, 50))
def test_silhouette_and_fisher_ratio_do_not_change_with_scale_place_or_names(seed, scale, shift):
    cloud, labels, _ = blobs(seed, apart=2.0)
    moved, renamed = scale * cloud + shift, np.array([40, -3, 7])[labels]
    for score in (separability.silhouette, separability.fisher_ratio):
        assert score(moved, renamed) == pytest.approx(score(cloud, labels))


def test_blobs_far_apart_are_separable_in_every_way():
    found = separability.separability(*blobs(apart=100.0))
    assert found.silhouette > 0.97 and found.fisher_ratio > 1000 and found.probe == 1


def test_labels_that_were_shuffled_are_separable_in_none():
    cloud, _, groups = blobs(groups=60)
    shuffled = np.random.default_rng(0).permutation(180)[groups] % 3
    found = separability.separability(cloud, shuffled, groups)
    assert abs(found.silhouette) < 0.05 and found.fisher_ratio < 0.05
    assert found.probe == pytest.approx(1 / 3, abs=0.08)


def test_the_probe_never_reads_a_group_that_it_was_fitted_to():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    # each group has a place of its own, and a class that the place does not tell
    cloud = rng.normal(size=(40, 60))[groups] + 0.01 * rng.normal(size=(400, 60))
    labels = groups % 2
    assert separability.probe(cloud, labels, groups) < 0.7
    assert separability.probe(cloud, labels, np.arange(400)) == 1


def test_the_probe_counts_points_of_all_folds_alike():
    cloud, labels, groups = blobs(groups=10)
    cloud[groups == 0] = 30 * np.eye(3, 4)[1]  # all four are read as class 1
    assert separability.probe(cloud, labels, groups) == pytest.approx(1 - 4 / 120)


def test_the_probe_does_not_depend_on_the_scale_of_coordinates():
    cloud, labels, groups = blobs(apart=2.0)
    scaled = cloud * [1e-6, 1.0, 1e6, 1.0]
    assert separability.probe(scaled, labels, groups) == separability.probe(cloud, labels, groups)


# clusters


METHODS = {
    "kmeans": lambda cloud, count: clusters.kmeans(cloud, count, np.random.default_rng(0))
} | {name: partial(clusters.agglomerative, linkage=name) for name in clusters.LINKAGES}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_planted_blobs_are_found_by_every_method(method):
    cloud, labels, _ = blobs(1)
    found = method(cloud, 3)
    assert set(found) == {0, 1, 2}
    assert clusters.agreement(found, labels) == pytest.approx((1, 1, 1))
    assert segments.frame_accuracy(found, labels) == 1


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_the_number_of_planted_blobs_is_found_by_every_method(method):
    cloud, labels, _ = blobs(2, classes=4)
    found = clusters.count_clusters(cloud, range(2, 8), method)
    assert found.best == 4
    np.testing.assert_array_equal(found.candidates, range(2, 8))
    assert found.silhouettes[2] == pytest.approx(silhouette_by_hand(cloud, labels))
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


def test_silhouettes_of_found_clusters_come_under_the_names_of_their_methods():
    cloud = np.random.default_rng(0).normal(size=(40, 2))
    found = clusters.found_silhouettes(cloud, 4, np.random.default_rng(0))
    assert found._fields == tuple(METHODS)
    for score, method in zip(found, METHODS.values(), strict=True):
        assert score == pytest.approx(silhouette_by_hand(cloud, method(cloud, 4)))
    assert len(set(found)) == 5


def test_kmeans_repeats_with_its_rng_and_takes_the_best_of_several_starts():
    cloud = np.random.default_rng(0).normal(size=(60, 2))
    starts = [KMeans(6, n_init=1, random_state=start).fit(cloud).inertia_ for start in range(20)]
    for seed in range(3):
        one, two = (clusters.kmeans(cloud, 6, np.random.default_rng(seed)) for _ in range(2))
        np.testing.assert_array_equal(one, two)
        within = sum((one == k).sum() * cloud[one == k].var(axis=0).sum() for k in range(6))
        assert within < np.median(starts)


# agreement


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
    before, after = (segments.frame_accuracy(each, labels) for each in (found, renamed))
    assert before == after


@given(labellings)
def test_frame_accuracy_is_the_best_over_all_ways_to_name_clusters(pair):
    found, labels = pair
    ways = permutations([*range(4), *range(10, 14)], 4)  # names from 10 are of no class
    best = max(np.mean(np.array(names)[found] == labels) for names in ways)
    assert segments.frame_accuracy(found, labels) == pytest.approx(best)


@given(labellings)
def test_matching_renames_clusters_one_to_one(pair):
    found, labels = pair
    renamed = clusters.relabel(found, labels)
    assert len(set(zip(found, renamed, strict=True))) == len(set(found)) == len(set(renamed))
    left_over = set(renamed) - set(labels)
    assert len(left_over) == max(0, len(set(found)) - len(set(labels)))
    assert all(name > labels.max() for name in left_over)
    assert np.mean(renamed == labels) == segments.frame_accuracy(renamed, labels)


def test_a_class_in_two_clusters_counts_the_larger_one_only():
    labels = np.array([5, 5, 5, 5, 9, 9])
    found = np.array([0, 1, 1, 1, 2, 2])
    np.testing.assert_array_equal(clusters.relabel(found, labels), [10, 5, 5, 5, 9, 9])
    assert segments.frame_accuracy(found, labels) == pytest.approx(5 / 6)
    assert segments.frame_accuracy(np.zeros(6, int), labels) == pytest.approx(4 / 6)


def test_many_small_clusters_agree_little_and_warn_of_nothing():
    labels = np.arange(60) % 3
    found = clusters.agreement(np.arange(60), labels)
    assert found.ari == 0 and abs(found.ami) < 1e-9


# segments in time


def test_borders_are_the_first_frames_of_new_segments():
    found = segments.borders(np.array([2, 2, 0, 0, 0, 2, 1, 1]))
    np.testing.assert_array_equal(found, [2, 5, 6])
    assert not segments.borders(np.array([4, 4, 4])).size


ACCEPTED = np.array([[10, 14], [30, 30], [50, 60]])
SCORES = {
    "all hit, in any order": ([55, 30, 10], 1, 1),
    "both ends are accepted": ([14, 60], 1, 2 / 3),
    "just outside": ([9, 15, 29, 31, 49, 61], 0, 0),
    "two in one stretch count once": ([51, 55, 59, 12], 2 / 4, 2 / 3),
    "the same frame twice counts once": ([30, 30], 1 / 2, 1 / 3),
    "none found": ([], 0, 0),
}


@pytest.mark.parametrize(("found", "precision", "recall"), SCORES.values(), ids=SCORES)
def test_borders_are_scored_one_to_one(found, precision, recall):
    score = segments.border_score(np.array(found, int), ACCEPTED)
    assert score[:2] == pytest.approx((precision, recall))
    mean = 2 / (1 / precision + 1 / recall) if precision else 0
    assert score.f1 == pytest.approx(mean)


def test_stretches_that_overlap_are_matched_so_that_most_hit():
    accepted = np.array([[0, 10], [0, 5]])
    # the first border could take either stretch; the second needs the longer one
    assert segments.border_score(np.array([3, 8]), accepted) == (1, 1, 1)
    assert segments.border_score(np.array([3]), accepted).recall == 0.5


@given(
    st.lists(st.integers(0, 12), max_size=4),
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=4),
)
def test_the_border_score_is_the_best_over_all_matchings(found, stretches):
    accepted = np.array([(start, start + length) for start, length in stretches])
    padded = [*found, *[-1] * len(accepted)]  # -1 hits nothing
    hits = max(
        sum(low <= border <= high for border, (low, high) in zip(order, accepted, strict=True))
        for order in permutations(padded, len(accepted))
    )
    score = segments.border_score(np.array(found, int), accepted)
    assert score.recall == pytest.approx(hits / len(accepted))
    assert score.precision == pytest.approx(hits / len(found) if found else 0)


@given(frames, st.integers(0, 25).map(lambda reach: 2 * reach + 1))
def test_smoothing_equals_a_count_around_each_frame(labels, width):
    expected = []
    for t, own in enumerate(labels):
        around = list(labels[max(t - width // 2, 0) : t + width // 2 + 1])
        counts = {label: around.count(label) for label in around}
        most = [label for label in counts if counts[label] == max(counts.values())]
        expected.append(most[0] if len(most) == 1 else own)
    np.testing.assert_array_equal(segments.smooth_labels(labels, width), expected)


def test_smoothing_removes_a_flicker_and_leaves_borders_in_place():
    labels = np.array([7, 7, 7, 3, 7, 7, 7, 3, 3, 3, 3])
    smooth = segments.smooth_labels(labels, 3)
    np.testing.assert_array_equal(smooth, [7] * 7 + [3] * 4)
    np.testing.assert_array_equal(segments.smooth_labels(labels, 1), labels)


def test_a_frame_between_two_equal_rivals_keeps_its_label():
    assert segments.smooth_labels(np.array([1, 1, 0, 2, 2]), 5)[2] == 0


@given(frames, st.integers(1, 12))
def test_short_segments_are_merged_as_in_a_plain_loop(labels, at_least):
    runs = strip(labels)
    while len(runs) > 1 and min(length for _, length in runs) < at_least:
        lengths = [length for _, length in runs]
        short = lengths.index(min(lengths))
        sides = [k for k in (short - 1, short + 1) if 0 <= k < len(runs)]
        runs[short][0] = runs[max(sides, key=lambda k: lengths[k])][0]
        runs = strip([label for label, length in runs for _ in range(length)])
    found = segments.drop_short(labels, at_least)
    assert strip(found) == runs
    assert len(runs) == 1 or min(length for _, length in runs) >= at_least


def test_a_short_segment_goes_to_the_longer_neighbour_and_joins_equal_ones():
    labels = np.repeat([0, 5, 1, 0, 1], [3, 1, 4, 2, 5])
    np.testing.assert_array_equal(
        segments.drop_short(labels, 2), [0] * 3 + [1] * 5 + [0] * 2 + [1] * 5
    )
    np.testing.assert_array_equal(segments.drop_short(labels, 3), [0] * 3 + [1] * 12)
    np.testing.assert_array_equal(segments.drop_short(labels, 1), labels)
    assert set(segments.drop_short(labels, 100)) == {1}


def test_a_short_segment_between_equals_goes_to_the_one_before():
    labels = np.repeat([0, 1, 2], [3, 1, 3])
    np.testing.assert_array_equal(segments.drop_short(labels, 2), [0] * 4 + [2] * 3)


def test_the_caller_keeps_the_labels_as_they_were():
    labels = np.repeat([0, 1, 0], [5, 1, 5])
    before = labels.copy()
    segments.drop_short(labels, 3)
    segments.smooth_labels(labels, 3)
    np.testing.assert_array_equal(labels, before)


# bad input

RNG = np.random.default_rng(0)
POINTS, LABELS, GROUPS = blobs()
LABELLED = {
    "silhouette": separability.silhouette,
    "fisher_ratio": separability.fisher_ratio,
    "probe": lambda cloud, labels: separability.probe(cloud, labels, GROUPS),
    "separability": lambda cloud, labels: separability.separability(cloud, labels, GROUPS),
}
UNLABELLED = {
    "standardise": points.standardise,
    "found_silhouettes": lambda cloud: clusters.found_silhouettes(cloud, 3, RNG),
    "count_clusters": lambda cloud: clusters.count_clusters(cloud, [2, 3], METHODS["ward"]),
}
MEASURES = UNLABELLED | {
    name: lambda cloud, measure=measure, other=other: measure(cloud, other)
    for measures, other in ((LABELLED, LABELS), (METHODS, 3))
    for name, measure in measures.items()
}


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_points_are_finite(measure, number):
    cloud = POINTS.copy()
    cloud[3, 1] = number
    with pytest.raises(ValueError, match="points hold NaN or infinity: give finite numbers"):
        measure(cloud)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_points_are_taken_read_only_and_stay_as_they_were(measure):
    cloud = POINTS.copy()
    cloud.flags.writeable = False
    measure(cloud)
    np.testing.assert_array_equal(cloud, POINTS)


@pytest.mark.parametrize("cloud", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 2))])
def test_points_have_two_axes(as_users, cloud):
    with pytest.raises(ValueError, match=r"give \(point, feature\), one at least"):
        points.standardise(cloud)


@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_each_point_has_a_label(as_users, measure):
    with pytest.raises(ValueError, match=r"labels have shape \(71,\): .* each of 72 points"):
        measure(POINTS, LABELS[1:])


@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_one_class_is_not_enough(measure):
    with pytest.raises(ValueError, match="all points are of one class: give points of at least"):
        measure(POINTS, np.full(72, 4))


def test_points_that_are_classes_of_their_own_have_no_silhouette():
    with pytest.raises(ValueError, match="each point is a class of its own"):
        separability.silhouette(POINTS, np.arange(72))


def test_points_that_are_all_the_same_are_refused():
    same = np.full((6, 2), 0.1)
    with pytest.raises(ValueError, match="all points are the same"):
        separability.fisher_ratio(same, np.arange(6) % 2)
    with pytest.raises(ValueError, match="no coordinate varies from point to point"):
        points.standardise(same)


def test_each_point_has_a_group(as_users):
    with pytest.raises(ValueError, match=r"groups have shape \(70,\): .* each of 72 points"):
        separability.probe(POINTS, LABELS, GROUPS[2:])


def test_each_class_has_as_many_groups_as_folds():
    labels = np.where(GROUPS < 16, 0, 9)
    with pytest.raises(ValueError, match="class 9 comes from 2 groups, fewer than 3 folds"):
        separability.probe(POINTS, labels, GROUPS, folds=3)
    assert 0 <= separability.probe(POINTS, labels, GROUPS, folds=2) <= 1


def test_there_are_at_least_two_folds():
    with pytest.raises(ValueError, match="folds is 1: give at least 2"):
        separability.probe(POINTS, LABELS, GROUPS, folds=1)


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
        clusters.kmeans(cloud, 3, RNG)


def test_an_unknown_linkage_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'wards' is unknown: choose from ward, complete, av"):
        clusters.agglomerative(POINTS, 3, "wards")


def test_without_candidates_there_is_no_number_of_clusters():
    with pytest.raises(ValueError, match="there is no candidate"):
        clusters.count_clusters(POINTS, [], METHODS["ward"])


@pytest.mark.parametrize("sequences", [np.zeros((4, 3)), np.zeros((2, 0, 3)), np.zeros((0, 2, 3))])
@pytest.mark.parametrize("view", [points.states, points.trajectories])
def test_sequences_have_three_axes(as_users, view, sequences):
    with pytest.raises(ValueError, match=r"give \(sample, time, feature\), at least"):
        view(sequences)


def test_a_window_longer_than_the_sequence_is_refused():
    with pytest.raises(ValueError, match="4 frames are too few frames for one window of 5"):
        points.windows(np.zeros((2, 4, 3)), length=5, stride=1)


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (1, 0), (2, -1)])
def test_windows_and_strides_have_frames(length, stride):
    with pytest.raises(ValueError, match=f"length is {length} and stride {stride}: give at least"):
        points.windows(np.zeros((2, 4, 3)), length, stride)


def test_a_subsample_holds_every_class():
    with pytest.raises(ValueError, match="2 points cannot hold 3 classes"):
        points.subsample(RNG, LABELS, 2)


@pytest.mark.parametrize("score", [clusters.agreement, clusters.relabel, segments.frame_accuracy])
@pytest.mark.parametrize(("found", "labels"), [(3, 4), (0, 0)])
def test_two_labellings_are_of_the_same_points(as_users, score, found, labels):
    with pytest.raises(ValueError, match="give one number per point in each"):
        score(np.arange(found), np.arange(labels))


def test_agreement_needs_two_true_classes():
    with pytest.raises(ValueError, match="all points are of one class"):
        clusters.agreement(np.arange(4), np.zeros(4, int))


@pytest.mark.parametrize("accepted", [np.zeros((0, 2), int), np.arange(3), np.zeros((2, 3), int)])
def test_there_is_a_true_border_to_score_against(as_users, accepted):
    with pytest.raises(ValueError, match=r"give \(border, 2\), the earliest and the latest"):
        segments.border_score(np.array([1]), accepted)


def test_a_true_border_is_earliest_first():
    with pytest.raises(ValueError, match="border 1 is accepted from frame 9 to 7"):
        segments.border_score(np.array([1]), np.array([[1, 2], [9, 7]]))


@pytest.mark.parametrize("width", [-1, 0, 2, 30])
def test_a_smoothing_width_is_odd(width):
    with pytest.raises(ValueError, match=f"width is {width}: give an odd number"):
        segments.smooth_labels(LABELS, width)


def test_a_segment_has_a_frame():
    with pytest.raises(ValueError, match="at_least is 0: give at least 1"):
        segments.drop_short(LABELS, 0)


@pytest.mark.parametrize("clean", [segments.smooth_labels, segments.drop_short])
@pytest.mark.parametrize("labels", [np.zeros(0, int), np.zeros((2, 2), int)])
def test_labels_to_clean_are_in_a_row(as_users, clean, labels):
    with pytest.raises(ValueError, match="give one for each frame"):
        clean(labels, 3)


def test_averages_forget_the_phase_of_an_orbit_and_keep_what_it_goes_round():
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (8, 1)) + 2 * np.pi * np.arange(20) / 20
    middle = np.arange(8)[:, None, None]
    orbits = middle + np.stack([np.cos(phase), np.sin(phase)], axis=-1)
    found = points.averages(orbits)
    np.testing.assert_allclose(found.points, np.tile(np.arange(8.0)[:, None], 2), atol=1e-9)
    assert found.sample.tolist() == list(range(8))
    with pytest.raises(ValueError, match="at least one of each"):
        points.averages(orbits[:0])
