import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import gates
from rnnatomy.networks import access, models, predictors

FEATURE, HIDDEN = 5, 6


def a_network(seed=0):
    """An untied sequence-to-sequence LSTM, for it has two cells and a decoder with a history."""
    network = models.Seq2Seq(FEATURE, HIDDEN, cell="lstm", tied=False, rngs=nnx.Rngs(seed))
    rng = np.random.default_rng(seed)
    for cell in (network.encoder, network.decoder):
        cell.dense_h.bias[...] += rng.normal(size=4 * HIDDEN).astype(np.float32)
    return network


def some_inputs(frames):
    return np.random.default_rng(7).normal(size=(3, frames, FEATURE)).astype(np.float32)


def gates_of(network, where, inputs, states, start=None):
    bias = access.flatten(getattr(network, where))["dense_h.bias"]
    return gates.activations(access.matrices(network, where), bias, inputs, states, start)


def test_the_gates_make_the_hidden_states_of_an_encoder():
    network, inputs = a_network(), some_inputs(9)
    states = access.hidden_states(network, inputs)
    found = gates_of(network, "encoder", inputs, states)
    c = np.zeros((3, HIDDEN))
    for t in range(9):
        c = found["f"][:, t] * c + found["i"][:, t] * found["g"][:, t]
        np.testing.assert_allclose(found["o"][:, t] * np.tanh(c), states[:, t], atol=1e-6)


def test_the_gates_make_the_hidden_states_of_a_decoder_with_a_history():
    network, inputs = a_network(), some_inputs(4)
    encoder, decoder, outputs = predictors.trajectory(network, inputs, 5)
    fed = np.concatenate([inputs[:, -1:], outputs[:, :-1]], axis=1)
    found = gates_of(network, "decoder", fed, decoder, start=encoder[:, -1])
    # h = o tanh(c) gives the cell's state back, one step after the other
    c = np.arctanh(decoder / found["o"])
    again = found["f"][:, 1:] * c[:, :-1] + found["i"][:, 1:] * found["g"][:, 1:]
    np.testing.assert_allclose(again, c[:, 1:], atol=1e-4)
    other = gates_of(network, "decoder", fed, decoder)
    assert np.abs(other["f"][:, 0] - found["f"][:, 0]).max() > 1e-3
    np.testing.assert_array_equal(other["f"][:, 1:], found["f"][:, 1:])


def test_a_time_constant_is_how_long_it_takes_to_forget():
    forget = np.array([0.1, 0.5, np.exp(-1), 0.99])
    tau = gates.time_constants(forget)
    np.testing.assert_allclose(forget**tau, np.exp(-1))
    assert tau[2] == pytest.approx(1)
    assert gates.time_constants(np.array([0.0, 1.0])).tolist() == [0, np.inf]
    assert gates.time_constants(np.float32([0.5])).dtype == np.float32


MATRICES = {
    name: np.zeros((HIDDEN, FEATURE if name.startswith("input") else HIDDEN))
    for name in gates.MATRICES
}
INPUTS, STATES = np.zeros((2, 3, FEATURE)), np.zeros((2, 3, HIDDEN))
BIAS = np.zeros(4 * HIDDEN)


def activations(inputs=INPUTS, states=STATES, bias=BIAS, start=None, **matrices):
    changed = {name.replace("_", " "): matrix for name, matrix in matrices.items()}
    kept = {name: m for name, m in (MATRICES | changed).items() if m is not None}
    return gates.activations(kept, bias, inputs, states, start)


def test_gates_of_zero_are_half_open(as_users):
    found = activations(INPUTS.tolist(), STATES.tolist(), BIAS.tolist())
    assert tuple(found) == gates.GATES
    for gate, array in found.items():
        np.testing.assert_array_equal(array, np.full((2, 3, HIDDEN), 0 if gate == "g" else 0.5))


NAN = np.full_like(STATES, np.nan)
BAD = {
    "a gate above 1": (lambda: gates.time_constants(np.array([1.5])), "out of range: give 0 to 1"),
    "a gate that is NaN": (lambda: gates.time_constants(np.array([np.nan])), "out of range"),
    "words for a gate": (lambda: gates.time_constants(np.array(["1"])), "give real numbers"),
    "inputs of another width": (lambda: activations(inputs=STATES), r"takes \(batch, time, 5\)"),
    "states of another length": (lambda: activations(states=STATES[:, 1:]), r"\(2, 2, 6\)"),
    "a bias of another size": (lambda: activations(bias=BIAS[1:]), r"bias \(23,\): .* \(24,\)"),
    "a start of another size": (
        lambda: activations(start=STATES[:1, 0]),
        r"shape \(1, 6\) of the first hidden state does not fit: give \(2, 6\)",
    ),
    "states that are NaN": (lambda: activations(states=NAN), "NaN or infinity in states"),
    "inputs that are NaN": (lambda: activations(INPUTS * np.nan), "NaN or infinity in inputs"),
    "complex inputs": (lambda: activations(INPUTS * 1j), "complex128 in inputs is not allowed"),
    "a missing matrix": (
        lambda: activations(recurrent_f=None),
        "matrix 'recurrent f' is missing: give all eight of an LSTM",
    ),
    "a matrix of another shape": (
        lambda: activations(recurrent_f=np.zeros((6, 5))),
        r"shape \(6, 5\) of matrix 'recurrent f' does not fit: give \(6, 6\)",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, call, message):
    with pytest.raises(ValueError, match=message):
        call()
