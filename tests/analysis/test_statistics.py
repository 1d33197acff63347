import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rnnatomy.analysis import statistics


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_an_interval_is_that_of_normal_theory_for_many_numbers():
    sample = normal(0, 400)
    value, low, high = statistics.interval(sample, np.random.default_rng(1))
    error = sample.std() / 20
    assert value == pytest.approx(sample.mean())
    assert low == pytest.approx(value - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(value + 1.96 * error, abs=0.1 * error)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [statistics.interval(rng.normal(3, 2, size=40), rng) for _ in range(250)]
    missed_below = np.mean([interval.high < 3 for interval in found])
    missed_above = np.mean([interval.low > 3 for interval in found])
    assert 0.005 < missed_below < 0.06 and 0.005 < missed_above < 0.06
    assert missed_below + missed_above == pytest.approx(0.05, abs=0.035)


def test_an_interval_of_another_statistic_is_that_of_a_loop_over_resamples():
    sample, rng = normal(2, 31) ** 2, np.random.default_rng(3)
    resampled = [np.median(rng.choice(sample, 31)) for _ in range(4000)]
    found = statistics.interval(sample, rng, statistic=np.median)
    assert found.value == np.median(sample)
    # a resample's median is one of the numbers: the ends are the same number or its neighbour
    places = np.searchsorted(np.sort(sample), [found[1:], np.percentile(resampled, [2.5, 97.5])])
    assert np.abs(places[0] - places[1]).max() <= 1
    assert found.low < found.value < found.high


def test_the_same_generator_gives_the_same_interval():
    first, second, third = (
        statistics.interval(normal(0, 9), np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first == second != third


def test_networks_that_all_agree_leave_no_interval():
    found = statistics.interval(np.full(7, 0.25), np.random.default_rng(0))
    assert found == (0.25, 0.25, 0.25)
    assert all(type(number) is float for number in found)


@pytest.mark.parametrize("sample", [[], [1.0], [1.0, np.nan], [np.inf, 1.0, 2.0]])
def test_too_few_numbers_or_such_as_are_not_finite_are_refused(sample):
    with pytest.raises(ValueError, match=f"^{len(sample)} numbers are given: give two or more in"):
        statistics.interval(np.array(sample), np.random.default_rng(0))


def test_an_interval_is_written_with_its_ends_in_brackets():
    interval = statistics.Interval(0.5349, 0.41, 0.636)
    assert interval.text() == "0.53 (0.41 to 0.64)"
    assert interval.text(".0%") == "53% (41% to 64%)"
    assert f"{interval}, {interval:.1f}" == f"{interval.text()}, {interval.text('.1f')}"


def test_an_interval_is_written_without_negative_zeros():
    around = statistics.Interval(-0.001, -0.2, 0.004)
    assert around.text() == "0.00 (-0.20 to 0.00)"
    assert around.text("+.3f") == "-0.001 (-0.200 to +0.004)"
    assert statistics.Interval(-1e-9, 0.0, 1e-9).text("+.1f") == "+0.0 (+0.0 to +0.0)"


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=9))
def test_a_median_stands_in_the_middle_of_the_sorted_numbers(numbers):
    found, ordered = statistics.median_and_range(np.array(numbers)), sorted(numbers)
    half = len(numbers) // 2
    assert (found.low, found.high) == (ordered[0], ordered[-1])
    assert found.value == pytest.approx((ordered[half] + ordered[-half - 1]) / 2)
    assert f"{found}" == found.text()


def test_the_range_of_one_network_is_refused():
    with pytest.raises(ValueError, match=r"^1 numbers are given: give two or more"):
        statistics.median_and_range(np.array([1.0]))


@given(st.integers(2, 40), st.integers(0, 9999))
def test_half_a_width_is_that_of_students_interval(count, seed):
    sample = 2 + 3 * normal(seed, count)
    low, high = stats.t.interval(
        0.95, count - 1, loc=sample.mean(), scale=sample.std(ddof=1) / count**0.5
    )
    width = statistics.half_width(sample)
    assert (sample.mean() - width, sample.mean() + width) == pytest.approx((low, high))


def test_half_a_width_covers_the_truth_as_often_as_it_says():
    samples = 5 + normal(0, 4000, 3)
    missed = [abs(s.mean() - 5) > statistics.half_width(s) for s in samples]
    assert np.mean(missed) == pytest.approx(0.05, abs=0.012)


def test_networks_that_agree_leave_no_width():
    assert statistics.half_width(np.full(4, 0.5)) == 0


@pytest.mark.parametrize("sample", [[1.0], [1.0, np.nan]])
def test_the_width_of_too_few_numbers_is_refused(sample):
    with pytest.raises(ValueError, match=f"^{len(sample)} numbers are given: give two or more"):
        statistics.half_width(np.array(sample))
