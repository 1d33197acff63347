import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import controls, ranks, svd

HIDDEN = 6


def a_matrix(seed=0, columns=HIDDEN):
    return np.random.default_rng(seed).normal(size=(HIDDEN, columns))


def frobenius(matrix):
    return np.square(matrix).sum()


def test_shuffling_leaves_the_size_and_takes_the_structure():
    rng = np.random.default_rng(0)
    matrix = np.outer(rng.normal(size=60), rng.normal(size=40))
    (once,) = (controls.shuffled_spectrum(np.random.default_rng(1), matrix, 1),)
    assert frobenius(once) == pytest.approx(frobenius(matrix))
    mean = controls.shuffled_spectrum(rng, matrix, 5)
    assert ranks.effective_rank(svd.svd(matrix).s) == pytest.approx(1)
    assert ranks.effective_rank(mean) > 30 and (np.diff(mean) < 0).all()
    size = np.sqrt(np.square(matrix).mean())
    assert mean[0] < 1.6 * size * (np.sqrt(60) + np.sqrt(40))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_random_directions_go_until_exactly_the_energy_is_lost(seed, lost):
    matrix = a_matrix(seed)
    found = controls.remove_random(np.random.default_rng(seed), matrix, lost)
    assert frobenius(found) == pytest.approx((1 - lost) * frobenius(matrix), abs=1e-9)
    # orthogonal directions: what is left and what has gone read different inputs
    gone = matrix - found
    rank = np.linalg.matrix_rank(found, tol=1e-6) + np.linalg.matrix_rank(gone, tol=1e-6)
    assert rank <= HIDDEN + 1
    # no choice of so many directions loses less than the cutoff
    cut = ranks.rank_for(svd.svd(matrix), 1 - lost)
    assert np.linalg.matrix_rank(found, tol=1e-9) >= min(cut, HIDDEN - 1)


def test_nothing_or_all_can_be_lost():
    matrix = a_matrix(columns=5)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(controls.remove_random(rng, matrix, 0.0), matrix, atol=1e-12)
    for _ in range(20):
        assert not controls.remove_random(rng, matrix, 1.0).any()
    assert not controls.remove_random(rng, np.zeros((3, 2)), 0.5).any()


def test_random_directions_do_not_prefer_strong_ones():
    """A cutoff keeps the planted direction; chance keeps it as often as any other."""
    rng = np.random.default_rng(0)
    parts = svd.svd(rng.normal(size=(30, 20)))
    matrix = svd.compose(parts._replace(s=np.linspace(3, 1, 20)))
    draws = [controls.remove_random(rng, matrix, 0.5) for _ in range(300)]
    left = np.diag(parts.U.T @ np.mean(draws, axis=0) @ parts.Vt.T)
    np.testing.assert_allclose(left / np.linspace(3, 1, 20), 0.5, atol=0.1)
    cut = ranks.low_rank({"": svd.svd(matrix)}, {"": ranks.rank_for(svd.svd(matrix), 0.5)})[""]
    assert np.diag(parts.U.T @ cut @ parts.Vt.T)[0] == pytest.approx(3)


ZERO, RNG = np.zeros((3, HIDDEN)), np.random.default_rng(0)

BAD = {
    "too much lost": (lambda: controls.remove_random(RNG, ZERO, 1.1), "fraction 1.1 is out"),
    "no draw": (lambda: controls.shuffled_spectrum(RNG, ZERO, 0), "draws is 0: give a whole"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, call, message):
    with pytest.raises(ValueError, match=message):
        call()
