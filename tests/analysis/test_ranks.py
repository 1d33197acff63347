import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import gates, ranks, svd

FEATURE, HIDDEN = 5, 6


def some_matrices(seed=0):
    """The eight matrices of an LSTM with five features."""
    rng = np.random.default_rng(seed)
    sizes = {"input": FEATURE, "recurrent": HIDDEN}
    return {name: rng.normal(size=(HIDDEN, sizes[name.split()[0]])) for name in gates.MATRICES}


def frobenius(matrix):
    return np.square(matrix).sum()


def test_the_effective_rank_counts_equal_directions():
    for count in (1, 2, 7):
        spectrum = np.concatenate([np.full(count, 3.0), np.zeros(4)])
        assert ranks.effective_rank(spectrum) == pytest.approx(count)
        assert ranks.stable_rank(spectrum) == pytest.approx(count)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_ranks_of_a_spectrum_keep_to_their_definitions(numbers):
    s = np.array(numbers)
    p = s / s.sum()
    found = ranks.effective_rank(s)
    assert found == pytest.approx(np.prod(p**-p))
    assert ranks.effective_rank(5 * s) == pytest.approx(found)
    assert ranks.stable_rank(s) == pytest.approx((s**2).sum() / s.max() ** 2)
    assert ranks.stable_rank(s) <= len(s) + 1e-9 and 1 - 1e-9 <= found <= len(s) + 1e-9


def test_the_rank_for_a_fraction_of_energy_is_the_smallest():
    parts = svd.svd(some_matrices()["recurrent g"])
    for fraction in (0.0, 0.2, 0.5, 0.9, 0.999, 1.0):
        rank = ranks.rank_for(parts, fraction)
        kept = [frobenius(parts.s[:k]) / frobenius(parts.s) for k in range(len(parts.s) + 1)]
        assert kept[rank] >= fraction - 1e-9 and all(k < fraction for k in kept[:rank])
    assert ranks.rank_for(parts, 0.0) == 0 and ranks.rank_for(parts, 1.0) == HIDDEN


def test_what_is_learnt_is_told_from_what_is_left():
    rng = np.random.default_rng(0)
    initial = np.linalg.qr(rng.normal(size=(40, 40)))[0]
    planted = 3 * np.outer(initial[:, 0], initial[1])
    planted -= (planted * initial).sum() / 40 * initial
    kept, rest = ranks.learnt((0.7 * initial + planted).astype(np.float32), initial)
    assert kept == pytest.approx(0.7, abs=1e-6)
    np.testing.assert_allclose(rest, planted, atol=1e-6)
    assert (rest * initial).sum() == pytest.approx(0, abs=1e-9)


def test_matrices_are_cut_to_the_nearest_of_their_rank():
    matrices = some_matrices()
    parts = ranks.decompose(matrices)
    found = ranks.low_rank(parts, {"input f": 2, "recurrent o": 0})
    assert tuple(found) == gates.MATRICES
    U, s, Vt = np.linalg.svd(matrices["input f"], full_matrices=False)
    np.testing.assert_allclose(found["input f"], (U[:, :2] * s[:2]) @ Vt[:2], atol=1e-12)
    assert not found["recurrent o"].any()
    for name in set(matrices) - {"input f", "recurrent o"}:
        np.testing.assert_allclose(found[name], matrices[name], atol=1e-12)


def test_ranks_follow_the_energy_or_the_number_of_directions():
    matrices = some_matrices()
    matrices["input i"] = np.outer(np.ones(HIDDEN), np.ones(FEATURE))
    parts = ranks.decompose(matrices)
    kept = ranks.same_energy(parts, 0.9)
    assert kept == {name: ranks.rank_for(part, 0.9) for name, part in parts.items()}
    assert kept["input i"] == 1 and kept["input o"] > 1
    shares = ranks.same_share(parts, 0.5)
    assert set(shares.values()) == {2, 3} and shares["recurrent i"] == 3


NEEDS = dict(zip(gates.MATRICES, (2, 0, 1, 5, 6, 3, 0, 4), strict=True))


def worth(kept):
    """Each matrix is worth an eighth, if its rank is what it needs."""
    return sum(kept.get(name, HIDDEN) >= need for name, need in NEEDS.items()) / 8


def test_ranks_shrink_to_what_is_needed():
    start = {name: 5 if name == "input o" else HIDDEN for name in gates.MATRICES}
    assert ranks.shrink(start, worth, 1.0) == NEEDS
    order = dict(reversed(start.items()))
    assert ranks.shrink(order, worth, 1.0) == NEEDS
    lower = ranks.shrink(start, worth, 7 / 8)
    assert worth(lower) == 7 / 8 and sum(lower.values()) < sum(NEEDS.values())


def test_what_may_be_lost_is_shared_out_evenly():
    start = dict.fromkeys(gates.MATRICES, HIDDEN)

    def measure(kept):
        return sum(kept.values()) / 64

    for lost in (1, 2):
        found = ranks.shrink(start, measure, (HIDDEN - lost) / 8)
        assert found == dict.fromkeys(gates.MATRICES, HIDDEN - lost)


def test_the_least_energy_is_the_first_that_is_enough():
    parts = ranks.decompose(some_matrices())
    by_hand = [worth(ranks.same_energy(parts, percent / 100)) for percent in range(101)]
    for floor in (0.3, 0.9, 1.0):
        percent = next(k for k, found in enumerate(by_hand) if found >= floor)
        assert ranks.least_energy(parts, worth, floor) == ranks.same_energy(parts, percent / 100)


PARTS = ranks.decompose(some_matrices())
ZERO, NARROW = np.zeros((3, HIDDEN)), np.zeros((3, FEATURE))

BAD = {
    "a rank above the matrix's": (
        lambda: ranks.low_rank(PARTS, {"input i": 6}),
        "rank 6 is out of range: choose from 0 to 5",
    ),
    "a rank below zero": (lambda: ranks.low_rank(PARTS, {"input i": -1}), "rank -1 is out of"),
    "an unknown matrix": (lambda: ranks.low_rank(PARTS, {"input x": 1}), "'input x' is unknown"),
    "too much energy": (lambda: ranks.same_energy(PARTS, 1.5), "fraction 1.5 .* give 0 to 1"),
    "too large a share": (lambda: ranks.same_share(PARTS, -0.1), "fraction -0.1 is out of"),
    "an empty spectrum": (lambda: ranks.effective_rank(np.zeros(3)), "all are zero"),
    "a negative value": (lambda: ranks.stable_rank(np.array([1.0, -1.0])), "is negative"),
    "a zero matrix": (lambda: ranks.rank_for(svd.svd(ZERO), 0.5), "all singular values are"),
    "matrices of two shapes": (lambda: ranks.learnt(ZERO, NARROW), r"shapes \(3, 6\) and \(3, 5\)"),
    "no initial matrix": (lambda: ranks.learnt(ZERO, ZERO), "initial matrix is zero"),
    "a floor out of reach": (lambda: ranks.least_energy(PARTS, worth, 2), "do not reach 2: give"),
    "ranks below the floor": (
        lambda: ranks.shrink(dict.fromkeys(NEEDS, 0), worth, 1),
        "starts 0.75 below its floor",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, call, message):
    with pytest.raises(ValueError, match=message):
        call()
