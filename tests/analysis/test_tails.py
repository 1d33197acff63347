import numpy as np
import pytest
from scipy import stats

from rnnatomy.analysis import tails


def pareto(seed, alpha, count, start=1.0):
    """Draw from a power law by inverting its distribution."""
    uniform = np.random.default_rng(seed).random(count)
    return start * (1 - uniform) ** (-1 / (alpha - 1))


@pytest.mark.parametrize("alpha", [1.5, 2.5, 4.0])
def test_a_planted_exponent_is_found(alpha):
    found = tails.fit(pareto(0, alpha, 3_000, start=7.0), least=1_500)
    assert found.alpha == pytest.approx(alpha, rel=0.1)
    assert found.start >= 7 and 1_500 <= found.size <= 3_000
    assert found.distance < 0.03


def test_exponents_scatter_about_the_truth_as_the_theory_says():
    """The exponent of a whole sample has a standard error of (alpha - 1) / sqrt(n)."""
    count, alpha = 100, 3.0
    found = [tails.fit(pareto(seed, alpha, count), least=count).alpha for seed in range(400)]
    error = (alpha - 1) / np.sqrt(count)
    assert np.mean(found) == pytest.approx(alpha, abs=4 * error / 20 + 0.05)
    assert np.std(found) == pytest.approx(error, rel=0.15)


def test_the_tail_starts_where_the_power_law_does():
    rng = np.random.default_rng(1)
    body, tail = rng.random(500) * 5, pareto(2, 2.2, 500, start=5.0)
    found = tails.fit(np.concatenate([body, tail]))
    assert 4.5 < found.start < 8
    assert found.alpha == pytest.approx(2.2, rel=0.15)


@pytest.mark.parametrize("seed", range(5))
def test_each_start_is_fitted_as_scipy_does(seed):
    values = np.square(np.linalg.svd(np.random.default_rng(seed).normal(size=(30, 20)))[1])
    best = None
    for start in sorted(values)[:-1]:
        tail = np.sort(values[values >= start])
        shape = stats.pareto.fit(tail, floc=0, fscale=start)[0]
        steps = np.arange(len(tail)) / len(tail)
        distance = np.abs(stats.pareto(shape, scale=start).cdf(tail) - steps).max()
        if best is None or distance < best[3]:
            best = shape + 1, start, len(tail), distance
    np.testing.assert_allclose(tails.fit(values), best, rtol=1e-9)


def test_the_exponent_has_no_unit_and_order_does_not_count():
    values = pareto(3, 2.5, 60)
    first, other = tails.fit(values), tails.fit(1e-6 * values[::-1])
    np.testing.assert_allclose(other[:1] + other[2:], first[:1] + first[2:], rtol=1e-9)
    assert other.start == pytest.approx(1e-6 * first.start)


def test_the_longest_of_equal_tails_is_taken_and_ties_do_no_harm():
    assert tails.fit(np.array([1.0, 2.0, 4.0, 4.0, 4.0])).size > 3
    assert tails.fit(np.array([1.0, 2.0])).alpha == pytest.approx(1 + 2 / np.log(2))


@pytest.mark.parametrize(
    ("values", "least", "message"),
    [
        ([0.0, 1.0], 2, "value 0 is not allowed: give numbers above 0"),
        ([1.0, -2.0], 2, "value -2 is not allowed"),
        ([1.0, np.nan], 2, "NaN or infinity in values"),
        ([[1.0, 2.0]], 2, r"shape \(1, 2\) of values does not fit"),
        ([1.0, 2.0, 3.0], 1, "least is 1: give a whole number from 2 to 3"),
        ([1.0, 2.0, 3.0], 4, "least is 4"),
        ([3.0, 3.0, 3.0], 2, "all values in the tail are the same"),
    ],
)
def test_what_has_no_tail_is_refused(as_users, values, least, message):
    with pytest.raises(ValueError, match=message):
        tails.fit(np.array(values), least)
