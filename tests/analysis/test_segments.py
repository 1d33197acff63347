from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import segments

labellings = st.integers(1, 9).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n).map(np.array)] * 2)
)

frames = st.lists(st.integers(0, 3), min_size=1, max_size=40).map(np.array)


def strip(labels):
    """Labels and lengths of the runs, one by one."""
    runs = []
    for label in labels:
        if runs and runs[-1][0] == label:
            runs[-1][1] += 1
        else:
            runs.append([label, 1])
    return runs


def test_frames_in_a_second_cluster_of_a_class_count_as_wrong():
    labels, found = np.array([5, 5, 5, 5, 9, 9]), np.array([0, 1, 1, 1, 2, 2])
    assert segments.frame_accuracy(found, labels) == pytest.approx(5 / 6)
    assert segments.frame_accuracy(np.zeros(6, int), labels) == pytest.approx(4 / 6)


@given(labellings, st.permutations(range(4)))
def test_names_of_clusters_change_no_accuracy(pair, names):
    found, labels = pair
    renamed = 10 * np.array(names)[found] - 5
    assert segments.frame_accuracy(renamed, labels) == segments.frame_accuracy(found, labels)


@given(labellings)
def test_frame_accuracy_is_the_best_over_all_ways_to_name_clusters(pair):
    found, labels = pair
    ways = permutations([*range(4), *range(10, 14)], 4)  # names from 10 are of no class
    best = max(np.mean(np.array(names)[found] == labels) for names in ways)
    assert segments.frame_accuracy(found, labels) == pytest.approx(best)


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
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("accepted", [np.zeros((0, 2), int), np.arange(3), np.zeros((2, 3), int)])
def test_there_is_a_true_border_to_score_against(as_users, accepted):
    with pytest.raises(ValueError, match=r"give \(border, 2\), the earliest and the latest"):
        segments.border_score(np.array([1]), accepted)


def test_a_true_border_is_earliest_first():
    with pytest.raises(ValueError, match="border 1 is accepted from frame 9 to 7"):
        segments.border_score(np.array([1]), np.array([[1, 2], [9, 7]]))


@pytest.mark.parametrize("at_least", [0, 1.5, np.nan])
def test_a_segment_has_frames(as_users, at_least):
    with pytest.raises(ValueError, match=f"at_least is {at_least}: give at least 1"):
        segments.drop_short(np.array([0, 0, 1]), at_least)


@pytest.mark.parametrize("labels", [np.zeros(0, int), np.zeros((2, 2), int)])
def test_labels_of_frames_are_in_a_row(as_users, labels):
    with pytest.raises(ValueError, match="give one for each frame"):
        segments.drop_short(labels, 3)
    with pytest.raises(ValueError, match="give one for each frame"):
        segments.borders(labels)


@pytest.mark.parametrize(("found", "labels"), [(3, 4), (0, 0)])
def test_found_and_true_labels_are_of_the_same_frames(as_users, found, labels):
    with pytest.raises(ValueError, match="does not fit: give one for each"):
        segments.frame_accuracy(np.arange(found), np.arange(labels))
