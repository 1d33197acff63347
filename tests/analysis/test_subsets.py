from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import cutoffs, subsets

seeds = st.integers(0, 10_000)


def number_of(kept):
    """Row of a set of directions among all cutoffs."""
    return sum(1 << direction for direction in kept)


@given(seeds, st.integers(0, 6), st.sampled_from([1, 8]))
def test_sums_by_size_are_those_of_all_combinations(seed, modes, decimals):
    # one decimal makes ties
    accuracy = np.random.default_rng(seed).random(2**modes).round(decimals)
    found = subsets.by_size(accuracy)
    assert len(found.sizes) == 2**modes
    for size in range(modes + 1):
        kept = [number_of(c) for c in combinations(range(modes), size)]
        assert (found.sizes[kept] == size).all()
        own, group = accuracy[number_of(range(size))], [accuracy[k] for k in kept]
        assert (found.best[size], found.worst[size]) == (max(group), min(group))
        assert found.first[size] == own
        assert found.better[size] == pytest.approx(sum(a > own for a in group) / len(group))
    assert all(len(part) == modes + 1 for part in found[1:])


def test_truncation_is_the_first_of_each_size():
    # each direction is worth more than all before it, so truncation keeps the worst
    found = subsets.by_size(np.arange(8.0))
    np.testing.assert_array_equal(found.first, [0, 1, 3, 7])
    np.testing.assert_array_equal(found.worst, found.first)
    np.testing.assert_array_equal(found.best, [0, 4, 6, 7])
    np.testing.assert_allclose(found.better, [0, 2 / 3, 2 / 3, 0])
    best_first = subsets.by_size(-np.arange(8.0))
    np.testing.assert_array_equal(best_first.best, best_first.first)
    assert not best_first.better.any()


def test_equal_cutoffs_are_no_better():
    found = subsets.by_size(np.full(16, 0.5))
    for part in (found.best, found.worst, found.first):
        np.testing.assert_array_equal(part, np.full(5, 0.5))
    assert not found.better.any()


@given(seeds)
def test_truncation_is_the_nested_cutoff(seed):
    recalls = np.random.default_rng(seed).random((32, 3))
    nested = cutoffs.single_and_nested(recalls).nested
    for column, expected in zip(recalls.T, nested.T, strict=True):
        np.testing.assert_array_equal(subsets.by_size(column).first, expected)
    np.testing.assert_array_equal(recalls[subsets.first_subsets(5)], nested)


@pytest.mark.parametrize("modes", [0, 1, 2, 10, 62, np.int32(3), 3.0])
def test_the_first_subsets_keep_the_first_directions(as_users, modes):
    found = subsets.first_subsets(modes)
    assert found.tolist() == [number_of(range(rank)) for rank in range(int(modes) + 1)]


@pytest.mark.parametrize("modes", [-1, 63, 1.5, np.nan, True, "3", None])
def test_a_number_of_directions_out_of_range_is_refused(as_users, modes):
    with pytest.raises(ValueError, match=rf"^modes is {modes}: give a whole number, 0 to 62\.$"):
        subsets.first_subsets(modes)


@pytest.mark.parametrize("length", [3, 6, 1023, 1025])
def test_the_number_of_cutoffs_is_a_power_of_two(length):
    with pytest.raises(ValueError, match=rf"^{length} numbers are given: give one for each subset"):
        subsets.by_size(np.ones(length))


@pytest.mark.parametrize(
    ("accuracy", "message"),
    [
        ([], "does not fit: give"),
        (np.ones((4, 2)), "does not fit: give"),
        (1.0, "does not fit: give"),
        ([1.0, np.nan], "NaN or infinity"),
        ([1.0, 1j], "give real numbers"),
        (["a", "b"], "give real numbers"),
        ([1.0, [2.0]], "differ in length"),
    ],
)
def test_accuracies_are_finite_real_numbers_in_a_row(as_users, accuracy, message):
    with pytest.raises(ValueError, match=message) as caught:
        subsets.by_size(accuracy)
    assert "accuracy" in str(caught.value) and str(caught.value).endswith(".")


def test_a_list_does_as_an_array_does(as_users):
    accuracy = [0.1, 0.7, 0.3, 0.9]
    for ours, theirs in zip(
        subsets.by_size(accuracy), subsets.by_size(np.array(accuracy)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
