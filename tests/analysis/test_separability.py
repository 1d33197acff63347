import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.metrics import calinski_harabasz_score
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import StandardScaler

from rnnatomy.analysis import separability

seeds = st.integers(0, 10_000)


def blobs(seed=0, classes=3, groups=6, each=4, apart=30.0):
    """Normal points about corners of a simplex, each group of one class."""
    rng = np.random.default_rng(seed)
    sample = np.repeat(np.arange(classes * groups), each)
    labels = sample % classes
    cloud = apart * np.eye(classes, 4)[labels] + rng.normal(size=(len(labels), 4))
    return cloud, labels, sample


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


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("apart", [0.0, 2.0, 30.0])
def test_silhouette_equals_a_loop_over_points(apart, shift):
    cloud, labels, _ = blobs(apart=apart)
    labels[0] = 7  # alone in its class
    found = separability.silhouette(cloud + shift, labels)
    assert found == pytest.approx(silhouette_by_hand(cloud, labels), abs=1e-8)


def test_single_precision_changes_no_score():
    cloud, labels, groups = blobs(apart=2.0)
    single = cloud.astype(np.float32)
    double = single.astype(np.float64)
    for score in (separability.silhouette, separability.fisher_ratio):
        assert score(single, labels) == score(double, labels)
    found = separability.probe(single, labels, groups)
    assert found == separability.probe(double, labels, groups)


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
    cloud, labels, groups = blobs(apart=100.0)
    assert separability.silhouette(cloud, labels) > 0.97
    assert separability.fisher_ratio(cloud, labels) > 1000
    assert separability.probe(cloud, labels, groups) == 1


def test_labels_that_were_shuffled_are_separable_in_none():
    cloud, _, groups = blobs(groups=60)
    shuffled = np.random.default_rng(0).permutation(180)[groups] % 3
    assert abs(separability.silhouette(cloud, shuffled)) < 0.05
    assert separability.fisher_ratio(cloud, shuffled) < 0.05
    assert separability.probe(cloud, shuffled, groups) == pytest.approx(1 / 3, abs=0.08)


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


def lines_by_hand(cloud, labels, folds):
    """Points read rightly by logistic regression, and by ridge regression on the classes."""
    readouts = LogisticRegression(max_iter=100), RidgeClassifierCV(np.logspace(-2, 4, 7))
    right = np.zeros((2, len(cloud)))
    for fitted, rest in StratifiedKFold(folds).split(cloud, labels):
        scale = StandardScaler().fit(cloud[fitted])
        for row, readout in zip(right, readouts, strict=True):
            readout.fit(scale.transform(cloud[fitted]), labels[fitted])
            row[rest] = readout.predict(scale.transform(cloud[rest])) == labels[rest]
    return right.mean(axis=1)


def noisy(seed, features):
    """Two classes that all of many coordinates tell a little, or one of few with points far off."""
    rng = np.random.default_rng(seed)
    labels, cloud = np.arange(60) % 2, rng.normal(size=(60, features))
    if features > 10:
        return cloud + 0.3 * labels[:, None], labels
    cloud[:, 0] += 2 * labels
    cloud[::15, 0] += 20 * labels[::15] - 10
    return cloud, labels


def test_the_best_line_is_the_better_of_two():
    better = []
    for seed in range(6):
        cloud, labels = noisy(seed, (3, 80)[seed % 2])
        lines = lines_by_hand(cloud, labels, 4)
        assert separability.best_line(cloud, labels, folds=4) == pytest.approx(lines.max())
        better.append(np.sign(lines[1] - lines[0]))
    assert {-1, 1} <= set(better)  # each of the two is better somewhere


def test_the_best_line_tells_blobs_and_no_noise():
    cloud, labels, _ = blobs(apart=100.0)
    assert separability.best_line(cloud, labels) == 1
    names = np.array([40, 9, 7])[labels]
    assert separability.best_line(cloud, names) == 1
    shuffled = np.random.default_rng(0).permutation(labels)
    assert separability.best_line(cloud, shuffled) < 0.6


def test_the_best_line_is_quiet_where_a_regression_does_not_converge():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(60, 300)) * 10.0 ** rng.uniform(-3, 3, 300)
    assert 0 <= separability.best_line(cloud, np.arange(60) % 3) <= 1  # warnings are errors here


POINTS, LABELS, GROUPS = blobs()

LABELLED = {
    "silhouette": separability.silhouette,
    "fisher_ratio": separability.fisher_ratio,
    "probe": lambda cloud, labels: separability.probe(cloud, labels, GROUPS),
    "best_line": separability.best_line,
}


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_points_are_finite(measure, number):
    cloud = POINTS.copy()
    cloud[3, 1] = number
    with pytest.raises(ValueError, match="NaN or infinity in points is not allowed: give finite"):
        measure(cloud, LABELS)


@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_points_are_small_enough_to_square(measure):
    with pytest.raises(ValueError, match="a number in points is too large to square"):
        measure(POINTS * 1e200, LABELS)


@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_points_are_taken_read_only_and_stay_as_they_were(measure):
    cloud = POINTS.copy()
    cloud.flags.writeable = False
    measure(cloud, LABELS)
    np.testing.assert_array_equal(cloud, POINTS)


@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_each_point_has_a_label(as_users, measure):
    with pytest.raises(ValueError, match=r"shape \(71,\) of labels .* each of 72 points"):
        measure(POINTS, LABELS[1:])


@pytest.mark.parametrize("measure", LABELLED.values(), ids=LABELLED)
def test_one_class_is_not_enough(measure):
    with pytest.raises(ValueError, match="all points are of one class: give points of at least"):
        measure(POINTS, np.full(72, 4))


def test_points_that_are_classes_of_their_own_have_no_silhouette():
    with pytest.raises(ValueError, match="each point is a class of its own"):
        separability.silhouette(POINTS, np.arange(72))


def test_points_that_are_all_the_same_are_refused():
    with pytest.raises(ValueError, match="all points are the same"):
        separability.fisher_ratio(np.full((6, 2), 0.1), np.arange(6) % 2)


def test_each_point_has_a_group(as_users):
    with pytest.raises(ValueError, match=r"shape \(70,\) of groups .* each of 72 points"):
        separability.probe(POINTS, LABELS, GROUPS[2:])


def test_each_class_has_as_many_groups_as_folds():
    labels = np.where(GROUPS < 16, 0, 9)
    with pytest.raises(ValueError, match="class 9 comes from 2 groups, fewer than 3 folds"):
        separability.probe(POINTS, labels, GROUPS, folds=3)
    assert 0 <= separability.probe(POINTS, labels, GROUPS, folds=2) <= 1


def test_each_class_has_as_many_points_as_folds():
    labels = np.where(np.arange(72) < 68, 0, 9)
    with pytest.raises(ValueError, match="class 9 comes from 4 groups, fewer than 5 folds"):
        separability.best_line(POINTS, labels)
    assert 0 <= separability.best_line(POINTS, labels, folds=4) <= 1


@pytest.mark.parametrize("folds", [1, 2.5, np.nan])
def test_there_are_at_least_two_folds(as_users, folds):
    with pytest.raises(ValueError, match=f"folds is {folds}: give at least 2"):
        separability.probe(POINTS, LABELS, GROUPS, folds=folds)
    with pytest.raises(ValueError, match=f"folds is {folds}: give at least 2"):
        separability.best_line(POINTS, LABELS, folds=folds)
