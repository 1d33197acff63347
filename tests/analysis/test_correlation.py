import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import correlation

seeds = st.integers(0, 10_000)
PAIR = np.array([0.0, 1.0])
GROUPS = np.array([3, 1, 3, 1, 3, 1, 3, 1, 1])


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_differences(first, second):
    """Spearman's own formula, for numbers without ties."""
    ranks = [np.argsort(np.argsort(one)) for one in (first, second)]
    size = len(first)
    return 1 - 6 * np.square(ranks[0] - ranks[1]).sum() / (size * (size**2 - 1))


@given(seeds, st.integers(2, 30))
def test_each_row_is_correlated_as_the_formula_of_differences_says(seed, size):
    first, second = normal(seed, 2, 4, size)
    wanted = [by_differences(*rows) for rows in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlation.along(first, second), wanted, atol=1e-12)


@given(seeds)
def test_a_correlation_sees_order_alone_and_turns_with_the_sign(seed):
    first, second = normal(seed, 2, 3, 12)
    found = correlation.along(first, second)
    np.testing.assert_allclose(correlation.along(np.exp(first), second**3), found)
    np.testing.assert_allclose(correlation.along(-first, second), -found)
    np.testing.assert_allclose(correlation.along(first, 2 * first + 1), 1)


def test_a_row_that_does_not_vary_has_no_correlation():
    assert np.isnan(correlation.along(np.zeros((1, 4)), normal(0, 1, 4))).all()


def test_the_interval_over_networks_covers_the_truth_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(correlation, "RESAMPLES", 199)
    rng = np.random.default_rng(0)
    # two normal numbers of correlation r have the rank correlation 6 / pi arcsin(r / 2)
    truth, missed = 6 / np.pi * np.arcsin(0.3), 0
    for _ in range(60):
        first, second = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=60).T
        found = correlation.across(first, second, rng)
        assert found.low < found.value < found.high
        missed += not found.low < truth < found.high
    assert missed <= 9  # of 60, where 3 are expected


def test_the_interval_is_that_of_a_loop_over_resampled_pairs():
    first, second = normal(1, 2, 25)
    found = correlation.across(first, second, np.random.default_rng(2))
    rng, resampled = np.random.default_rng(2), []
    for rows in rng.integers(25, size=(999, 25)):
        ranks = [np.unique(one[rows], return_inverse=True)[1] for one in (first, second)]
        middle = [np.array([(r < x).sum() + (r <= x).sum() for x in r]) for r in ranks]
        resampled.append(np.corrcoef(*middle)[0, 1])
    assert found.value == pytest.approx(by_differences(first, second))
    assert found[1:] == pytest.approx(np.percentile(resampled, [2.5, 97.5]))


def test_resamples_of_a_single_network_do_not_count():
    found = correlation.across(PAIR, PAIR, np.random.default_rng(0))
    assert found == pytest.approx((1, 1, 1))


def test_each_group_is_correlated_by_itself_in_the_order_of_their_numbers():
    first = np.array([1.0, 9, 2, 8, 3, 7, 4, 6, 5])
    second = np.array([1.0, 1, 2, 2, 3, 3, 4, 4, 5])
    assert correlation.within(first, second, GROUPS) == pytest.approx([-1, 1])
    assert correlation.along(first[None], second[None])[0] != pytest.approx(1)


@given(seeds)
def test_numbers_are_dealt_anew_within_groups_only(seed):
    values = normal(seed, 9)
    dealt = correlation.permuted(values, GROUPS, np.random.default_rng(seed))
    for group in (1, 3):
        own = group == GROUPS
        assert sorted(dealt[own]) == sorted(values[own])
    assert np.array_equal(values, normal(seed, 9)), "what is given stays as it is"


def test_all_orders_of_a_group_come_about_equally_often():
    groups, rng = np.array([0, 0, 0, 1]), np.random.default_rng(0)
    found = [tuple(correlation.permuted(np.arange(4.0), groups, rng)) for _ in range(1200)]
    counts = [found.count((*order, 3.0)) for order in itertools.permutations((0.0, 1.0, 2.0))]
    assert sum(counts) == 1200
    assert min(counts) > 150 and max(counts) < 250


@pytest.mark.usefixtures("as_users")
def test_arrays_that_do_not_fit_are_refused():
    pair, rng = (np.ones((2, 3)), np.ones((3, 2))), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\): give two of the same shape"):
        correlation.along(*pair)
    with pytest.raises(ValueError, match="at least two numbers"):
        correlation.along(np.ones((3, 1)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="with 1 axes"):
        correlation.across(*np.ones((2, 2, 3)), rng)
    with pytest.raises(ValueError, match="at least two numbers"):
        correlation.within(np.arange(3.0), np.arange(3.0), np.array([0, 0, 1]))
    with pytest.raises(ValueError, match=r"values have shape \(3,\) and groups \(2,\)"):
        correlation.within(np.arange(3.0), np.arange(3.0), np.array([0, 0]))
    with pytest.raises(ValueError, match="one group for each network"):
        correlation.permuted(np.arange(3.0), np.array([0, 0]), rng)
