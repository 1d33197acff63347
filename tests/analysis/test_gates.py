import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import controls, gates, ranks, svd
from rnnatomy.networks import cells, models

FEATURE, HIDDEN = 5, 6


def kernels_of(cell):
    kernels = (cell.dense_i.kernel, cell.dense_h.kernel)
    return gates.Kernels(*(np.asarray(kernel[...]) for kernel in kernels))


def a_network(seed=0):
    """An untied sequence-to-sequence LSTM, for it has two cells and a decoder with a history."""
    create = models.Seq2Seq(FEATURE, HIDDEN, cell="lstm", tied=False, rngs=nnx.Rngs(seed))
    for number, cell in enumerate((create.encoder, create.decoder)):
        noise = jax.random.normal(jax.random.key(number), (4 * HIDDEN,))
        cell.dense_h.bias[...] = cell.dense_h.bias[...] + noise
    return create


def some_matrices(seed=0, feature=FEATURE, hidden=HIDDEN):
    rng = np.random.default_rng(seed)
    kernels = (rng.normal(size=(size, 4 * hidden)) for size in (feature, hidden))
    return gates.split(gates.Kernels(*kernels))


def frobenius(matrix):
    return np.square(matrix).sum()


def test_each_gate_has_its_matrices():
    kernels = kernels_of(a_network().encoder)
    matrices = gates.split(kernels)
    assert tuple(matrices) == gates.MATRICES
    for name, matrix in matrices.items():
        side, gate = name.split()
        assert matrix.shape == (HIDDEN, FEATURE if side == "input" else HIDDEN)
        at = gates.GATES.index(gate) * HIDDEN
        np.testing.assert_array_equal(matrix, getattr(kernels, side)[:, at : at + HIDDEN].T)


def test_joined_kernels_are_those_that_were_split():
    kernels = kernels_of(a_network().decoder)
    for ours, theirs in zip(gates.join(gates.split(kernels)), kernels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_gates_make_the_hidden_states_of_an_encoder():
    model = a_network()
    inputs = np.asarray(jax.random.normal(jax.random.key(7), (3, 9, FEATURE)))
    states = np.asarray(cells.unroll(model.encoder, jnp.asarray(inputs)))
    bias = np.asarray(model.encoder.dense_h.bias[...])
    found = gates.activations(gates.split(kernels_of(model.encoder)), bias, inputs, states)
    c = np.zeros((3, HIDDEN))
    for t in range(9):
        c = found["f"][:, t] * c + found["i"][:, t] * found["g"][:, t]
        np.testing.assert_allclose(found["o"][:, t] * np.tanh(c), states[:, t], atol=1e-6)


def test_the_gates_make_the_hidden_states_of_a_decoder_with_a_history():
    model, frames = a_network(), 5
    inputs = jax.random.normal(jax.random.key(7), (3, 4, FEATURE))
    encoder, decoder, outputs = map(np.asarray, model.trajectory(inputs, frames))
    fed = np.concatenate([np.asarray(inputs)[:, -1:], outputs[:, :-1]], axis=1)
    bias = np.asarray(model.decoder.dense_h.bias[...])
    matrices = gates.split(kernels_of(model.decoder))
    found = gates.activations(matrices, bias, fed, decoder, start=encoder[:, -1])
    # h = o tanh(c) gives the cell's state back, one step after the other
    c = np.arctanh(decoder / found["o"])
    again = found["f"][:, 1:] * c[:, :-1] + found["i"][:, 1:] * found["g"][:, 1:]
    np.testing.assert_allclose(again, c[:, 1:], atol=1e-4)
    other = gates.activations(matrices, bias, fed, decoder)
    assert np.abs(other["f"][:, 0] - found["f"][:, 0]).max() > 1e-3
    np.testing.assert_array_equal(other["f"][:, 1:], found["f"][:, 1:])


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


def test_a_random_spectrum_lies_between_its_edges():
    rng = np.random.default_rng(0)
    noise = 0.3 * rng.normal(size=(400, 100))
    s, edges = svd.svd(noise).s, controls.random_edges(noise)
    assert edges == pytest.approx((0.3 * 10, 0.3 * 30), rel=0.01)
    assert s[0] == pytest.approx(edges.high, rel=0.03)
    assert s[-1] == pytest.approx(edges.low, rel=0.08)
    square = rng.normal(size=(50, 50))
    assert controls.random_edges(square).low == 0


def test_shuffling_leaves_the_size_and_takes_the_structure():
    rng = np.random.default_rng(0)
    matrix = np.outer(rng.normal(size=60), rng.normal(size=40))
    (once,) = (controls.shuffled_spectrum(np.random.default_rng(1), matrix, 1),)
    assert frobenius(once) == pytest.approx(frobenius(matrix))
    mean = controls.shuffled_spectrum(rng, matrix, 5)
    assert ranks.effective_rank(svd.svd(matrix).s) == pytest.approx(1)
    assert ranks.effective_rank(mean) > 30 and (np.diff(mean) < 0).all()
    assert mean[0] < 1.6 * controls.random_edges(matrix).high


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


@given(st.integers(0, 1000), st.floats(0, 1))
def test_random_directions_go_until_exactly_the_energy_is_lost(seed, lost):
    matrix = some_matrices(seed)["recurrent f"]
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
    matrix = some_matrices()["input g"]
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


def test_a_time_constant_is_how_long_it_takes_to_forget():
    forget = np.array([0.1, 0.5, np.exp(-1), 0.99])
    tau = gates.time_constants(forget)
    np.testing.assert_allclose(forget**tau, np.exp(-1))
    assert tau[2] == pytest.approx(1)
    assert gates.time_constants(np.array([0.0, 1.0])).tolist() == [0, np.inf]
    assert gates.time_constants(np.float32([0.5])).dtype == np.float32


KERNELS = kernels_of(a_network().encoder)
PARTS = ranks.decompose(some_matrices())
INPUTS, STATES = np.zeros((2, 3, FEATURE)), np.zeros((2, 3, HIDDEN))
BIAS, RNG = np.zeros(4 * HIDDEN), np.random.default_rng(0)


def activations(inputs=INPUTS, states=STATES, bias=BIAS):
    return gates.activations(some_matrices(), bias, inputs, states)


BAD = {
    "a kernel of a GRU": (
        lambda: gates.split(gates.Kernels(KERNELS.input[:, :18], KERNELS.recurrent[:, :18])),
        r"\(5, 18\) and \(6, 18\): those of an LSTM",
    ),
    "kernels that do not fit": (
        lambda: gates.split(gates.Kernels(KERNELS.input[:, :20], KERNELS.recurrent)),
        r"\(5, 20\) and \(6, 24\)",
    ),
    "a matrix that is missing": (lambda: gates.join({"input i": STATES[0]}), "give input i, input"),
    "a rank above the matrix's": (
        lambda: ranks.low_rank(PARTS, {"input i": 6}),
        "rank 6 is out of range: choose from 0 to 5",
    ),
    "a rank below zero": (lambda: ranks.low_rank(PARTS, {"input i": -1}), "rank -1 is out of"),
    "an unknown matrix": (lambda: ranks.low_rank(PARTS, {"input x": 1}), "'input x' is unknown"),
    "too much energy": (lambda: ranks.same_energy(PARTS, 1.5), "fraction 1.5 .* give 0 to 1"),
    "too large a share": (lambda: ranks.same_share(PARTS, -0.1), "fraction -0.1 is out of"),
    "too much lost": (lambda: controls.remove_random(RNG, STATES[0], 1.1), "fraction 1.1 is out"),
    "no draw": (lambda: controls.shuffled_spectrum(RNG, STATES[0], 0), "draws is 0: give a whole"),
    "an empty spectrum": (lambda: ranks.effective_rank(np.zeros(3)), "all are zero"),
    "a negative value": (lambda: ranks.stable_rank(np.array([1.0, -1.0])), "is negative"),
    "a zero matrix": (lambda: ranks.rank_for(svd.svd(STATES[0]), 0.5), "all singular values are"),
    "matrices of two shapes": (
        lambda: ranks.learnt(STATES[0], INPUTS[0]),
        r"shapes \(3, 6\) and \(3, 5\)",
    ),
    "no initial matrix": (lambda: ranks.learnt(STATES[0], STATES[0]), "initial matrix is zero"),
    "a floor out of reach": (lambda: ranks.least_energy(PARTS, worth, 2), "do not reach 2: give"),
    "ranks below the floor": (
        lambda: ranks.shrink(dict.fromkeys(NEEDS, 0), worth, 1),
        "starts 0.75 below its floor",
    ),
    "a gate above 1": (lambda: gates.time_constants(np.array([1.5])), "out of range: give 0 to 1"),
    "a gate that is NaN": (lambda: gates.time_constants(np.array([np.nan])), "out of range"),
    "inputs of another width": (lambda: activations(inputs=STATES), r"takes \(batch, time, 5\)"),
    "states of another length": (lambda: activations(states=STATES[:, 1:]), r"\(2, 2, 6\)"),
    "a bias of another size": (lambda: activations(bias=BIAS[1:]), r"bias \(23,\): .* \(24,\)"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, call, message):
    with pytest.raises(ValueError, match=message):
        call()
