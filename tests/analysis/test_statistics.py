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


# --- Few networks -----------------------------------------------------------------------------


@given(st.integers(2, 40), st.integers(0, 9999))
def test_students_interval_has_the_mean_in_its_middle(count, seed):
    sample = 2 + 3 * normal(seed, count)
    found, width = statistics.t_interval(sample), statistics.half_width(sample)
    assert found.value == pytest.approx(sample.mean())
    assert (found.low, found.high) == pytest.approx((found.value - width, found.value + width))
    assert all(type(number) is float for number in found)


SPATIAL = [48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6, 0, 33, 28, 34, 4, 32, 24, 47, 41, 24,
           26, 30, 41]  # fmt: skip
"""The spatial test A of Efron and Tibshirani (1993), Table 14.1."""


def test_a_corrected_bootstrap_is_that_of_the_published_example():
    """Efron and Tibshirani (1993), Table 14.2: the variance, 90% BCa 115.8 to 259.6."""
    found = statistics.bca(
        np.array(SPATIAL), np.random.default_rng(0), statistic=np.var, confidence=0.9
    )
    assert found.value == pytest.approx(171.5, abs=0.05)
    assert found.low == pytest.approx(115.8, abs=2)
    assert found.high == pytest.approx(259.6, abs=4)


def test_few_networks_are_served_better_by_t_and_a_little_better_by_the_correction():
    rng, found = np.random.default_rng(0), {"t": [], "bca": [], "percentile": []}
    for _ in range(150):
        sample = rng.exponential(size=8)
        found["t"].append(statistics.t_interval(sample))
        found["bca"].append(statistics.bca(sample, rng))
        found["percentile"].append(statistics.interval(sample, rng))
    missed = {k: np.mean([one.high < 1 or one.low > 1 for one in v]) for k, v in found.items()}
    assert missed["t"] <= missed["bca"] <= missed["percentile"]
    below = [np.mean([one.high for one in found[name]]) for name in ("percentile", "bca")]
    assert below[0] < below[1], "the correction reaches further into the long tail"


def test_networks_that_agree_leave_no_corrected_interval():
    found = statistics.bca(np.full(5, 0.25), np.random.default_rng(0))
    assert found == (0.25, 0.25, 0.25)


def test_a_statistic_that_no_single_network_moves_has_no_correction():
    sample = np.array([0.0, 0, 0, 0, 0, 0, 0, 1])
    with pytest.raises(ValueError, match=r"^leaving out .* take interval instead\.$"):
        statistics.bca(sample, np.random.default_rng(0), statistic=np.median)


@pytest.mark.parametrize("function", [statistics.t_interval, statistics.half_width])
def test_one_network_is_refused(function):
    with pytest.raises(ValueError, match=r"^1 numbers are given: give two or more"):
        function(np.array([1.0]))


# --- Proportions ------------------------------------------------------------------------------


@given(st.integers(1, 200), st.data())
def test_the_interval_of_a_proportion_is_wilsons(total, data):
    count = data.draw(st.integers(0, total))
    found = statistics.proportion(count, total)
    low, high = stats.binomtest(count, total).proportion_ci(method="wilson")
    assert found == pytest.approx((count / total, low, high), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_published_intervals_of_proportions_are_met():
    """Newcombe (1998a), Table I, method 3."""
    table = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0, 0.1611)}
    for counts, ends in (table | {(1, 29): (0.0061, 0.1718)}).items():
        assert statistics.proportion(*counts)[1:] == pytest.approx(ends, abs=5e-5)


def test_shares_of_draws_count_as_one_trial_for_each_network():
    low, between, high = (statistics.proportion(count, 10) for count in (2, 2.5, 3))
    assert between.value == 0.25
    assert low.low < between.low < high.low and low.high < between.high < high.high


@pytest.mark.parametrize("counts", [(-1, 5), (6, 5), (0, 0), (np.nan, 5)])
def test_counts_out_of_range_are_refused(counts):
    with pytest.raises(ValueError, match=r"^\S+ of \S+ is no proportion: give"):
        statistics.proportion(*counts)


TABLE_II = {
    (56, 70, 48, 80): (0.0524, 0.3339),
    (9, 10, 3, 10): (0.1705, 0.8090),
    (6, 7, 2, 7): (0.0582, 0.8062),
    (5, 56, 0, 29): (-0.0381, 0.1926),
    (0, 10, 0, 20): (-0.1611, 0.2775),
    (0, 10, 0, 10): (-0.2775, 0.2775),
    (10, 10, 0, 20): (0.6791, 1),
    (10, 10, 0, 10): (0.6075, 1),
}
"""Newcombe (1998b), Table II, method 10."""


@pytest.mark.parametrize("counts", TABLE_II)
def test_published_differences_of_proportions_are_met(counts):
    first, second = (statistics.proportion(*counts[k : k + 2]) for k in (0, 2))
    found = statistics.difference(first, second)
    assert found.value == pytest.approx(first.value - second.value)
    assert found[1:] == pytest.approx(TABLE_II[counts], abs=5.1e-5)
    turned = statistics.difference(second, first)
    assert turned == pytest.approx((-found.value, -found.high, -found.low))


def pairs(both, first_only, second_only, neither):
    first = [1] * (both + first_only) + [0] * (second_only + neither)
    second = [1] * both + [0] * first_only + [1] * second_only + [0] * neither
    return np.array(first, bool), np.array(second, bool)


def test_a_published_difference_of_paired_proportions_is_met():
    """Complete response before and after (Cavo and others 2012); Fagerland and others (2017)."""
    found = statistics.paired_difference(*pairs(59, 6, 16, 80))
    assert found == pytest.approx((-0.0621, -0.1186, -0.0046), abs=5e-5)


@given(st.tuples(*[st.integers(0, 12)] * 4).filter(sum))
def test_paired_differences_turn_with_their_sides_and_stay_in_range(cells):
    first, second = pairs(*cells)
    one, other = (
        statistics.paired_difference(first, second),
        statistics.paired_difference(second, first),
    )
    assert one == pytest.approx((-other.value, -other.high, -other.low))
    assert -1 <= one.low <= one.value <= one.high <= 1


@given(st.tuples(*[st.integers(0, 12)] * 4).filter(sum))
def test_pairs_that_go_with_each_other_make_a_difference_sharper(cells):
    first, second = pairs(*cells)
    paired = statistics.paired_difference(first, second)
    apart = statistics.difference(
        *(statistics.proportion(side.sum(), len(side)) for side in (first, second))
    )
    together = cells[0] * cells[3] - cells[1] * cells[2]
    if together < 0:
        assert np.ptp(paired[1:]) >= np.ptp(apart[1:]) - 1e-12
    else:
        assert np.ptp(paired[1:]) <= np.ptp(apart[1:]) + 1e-12


def missed(found, truth):
    return np.mean([one.high < truth for one in found]), np.mean([one.low > truth for one in found])


def test_differences_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    first, second = rng.binomial(60, 0.3, 3000), rng.binomial(40, 0.05, 3000)
    found = [
        statistics.difference(statistics.proportion(a, 60), statistics.proportion(b, 40))
        for a, b in zip(first, second, strict=True)
    ]
    assert sum(missed(found, 0.25)) == pytest.approx(0.05, abs=0.015)
    assert max(missed(found, 0.25)) < 0.05


def test_paired_differences_cover_the_truth_as_often_as_they_say():
    rng, found = np.random.default_rng(0), []
    for cells in rng.multinomial(60, [0.2, 0.25, 0.05, 0.5], size=2000):
        found.append(statistics.paired_difference(*pairs(*cells)))
    assert sum(missed(found, 0.2)) == pytest.approx(0.05, abs=0.015)
    assert max(missed(found, 0.2)) < 0.05


def test_many_draws_in_few_networks_do_not_narrow_a_control():
    """Where draws of one network go together, its share still counts once."""
    rng, found = np.random.default_rng(0), []
    for shares in rng.binomial(180, rng.beta(0.02, 0.98, size=(2000, 30))) / 180:
        found.append(statistics.proportion(shares.sum(), len(shares)))
    assert max(missed(found, 0.02)) < 0.05


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([1, 0], [1, 0, 0], r"^2 and 3 networks"),
        ([], [], r"^shape \(0,\) of first does not fit"),
        ([2.0, 0], [0, 1], r"^2\.0 in first is out of range"),
        ([1, 0], [np.nan, 1], r"^NaN or infinity in second"),
    ],
)
def test_bad_pairs_are_refused(first, second, words):
    with pytest.raises(ValueError, match=words):
        statistics.paired_difference(np.array(first), np.array(second))
