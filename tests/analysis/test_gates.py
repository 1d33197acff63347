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


# --- Gates that are held ----------------------------------------------------------------------


def held(network, inputs, values):
    bias = access.flatten(network.encoder)["dense_h.bias"]
    return gates.held(access.matrices(network, "encoder"), bias, inputs, values)


def test_where_no_gate_is_held_the_states_are_the_network_s():
    network, inputs = a_network(), some_inputs(9)
    found = held(network, inputs, {})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, access.hidden_states(network, inputs), atol=1e-6)


def test_a_gate_held_at_what_it_does_changes_nothing():
    network, inputs = a_network(), some_inputs(9)[:1]
    states = access.hidden_states(network, inputs)
    own = gates_of(network, "encoder", inputs, states)
    for gate in gates.GATES:
        np.testing.assert_allclose(held(network, inputs, {gate: own[gate][0]}), states, atol=1e-6)
    whole = {gate: array[0] for gate, array in own.items()}
    np.testing.assert_allclose(held(network, inputs, whole), states, atol=1e-6)


def test_held_gates_do_what_their_names_say():
    network, inputs = a_network(), some_inputs(6)
    kept = held(network, inputs, {"f": 1, "i": 0})  # a memory that nothing enters stays empty
    np.testing.assert_array_equal(kept, np.zeros_like(kept))
    for shut in ("o", "g", "i"):
        assert not held(network, inputs, {shut: 0}).any()
    counted = held(network, inputs, {"f": 1, "i": 1, "g": np.full(HIDDEN, 0.25), "o": 1})
    steps = np.tanh(0.25 * np.arange(1, 7))
    np.testing.assert_allclose(counted, np.broadcast_to(steps[None, :, None], counted.shape))
    lasts = held(network, inputs, {"f": 0, "i": 1, "g": 0.5, "o": 1})  # only what is new
    np.testing.assert_allclose(lasts, np.full_like(lasts, np.tanh(0.5)))


def test_one_unit_can_be_held_and_the_others_work_on():
    network, inputs = a_network(), some_inputs(6)
    own = gates_of(network, "encoder", inputs, access.hidden_states(network, inputs))
    values = own["o"][0].copy()
    values[:, 2] = 0
    found = held(network, inputs[:1], {"o": values})
    assert not found[..., 2].any() and np.abs(np.delete(found, 2, axis=2)).min() > 0


@pytest.mark.parametrize("gate", gates.GATES)
def test_a_held_gate_is_that_of_a_cell_written_out(gate):
    network, inputs = a_network(3), some_inputs(5).astype(np.float64)
    weights, bias = access.matrices(network, "encoder"), access.flatten(network.encoder)
    value = np.random.default_rng(0).random(HIDDEN)
    h, c, wanted = np.zeros((3, HIDDEN)), np.zeros((3, HIDDEN)), []
    for t in range(5):
        x = {
            q: inputs[:, t] @ weights[f"input {q}"].T + h @ weights[f"recurrent {q}"].T + b
            for q, b in zip("ifgo", np.split(bias["dense_h.bias"], 4), strict=True)
        }
        i, f, g, o = (1 / (1 + np.exp(-x[q])) if q != "g" else np.tanh(x[q]) for q in "ifgo")
        i, f, g, o = (value if q == gate else a for q, a in zip("ifgo", (i, f, g, o), strict=True))
        c = f * c + i * g
        h = o * np.tanh(c)
        wanted.append(h)
    found = held(network, inputs, {gate: value})
    np.testing.assert_allclose(found, np.stack(wanted, axis=1), atol=1e-12)


BAD_HELD = {
    "an unknown gate": ({"values": {"x": 0}}, "gate 'x' is unknown: choose from i, f, g, o"),
    "a gate above 1": ({"values": {"f": 1.5}}, "gate f is held out of its range: .* from 0 to 1"),
    "a gate below 0": ({"values": {"o": -0.5}}, "gate o is held out of its range: .* from 0 to 1"),
    "new below -1": ({"values": {"g": -1.5}}, "gate g is held out of its range: .* from -1 to 1"),
    "NaN": ({"values": {"i": np.nan}}, "gate i is held out of its range"),
    "another shape": (
        {"values": {"f": np.zeros(5)}},
        r"gate f is held at numbers of shape \(5,\): give one number, \(6,\) or \(3, 6\)",
    ),
    "words": ({"values": {"f": "shut"}}, "in gate f is not allowed: give real numbers"),
    "inputs of another width": (
        {"inputs": STATES},
        r"inputs does not fit: give \(batch, time, 5\)",
    ),
    "a bias of another size": ({"bias": BIAS[1:]}, r"shape \(23,\) of the bias .* give \(24,\)"),
    "a missing matrix": ({"matrices": {}}, "matrix 'input i' is missing: give all eight"),
}


@pytest.mark.parametrize("case", BAD_HELD)
def test_bad_holds_are_refused_in_one_sentence(case, as_users):
    changed, message = BAD_HELD[case]
    given = {"matrices": MATRICES, "bias": BIAS, "inputs": INPUTS, "values": {}} | changed
    with pytest.raises(ValueError, match=message) as raised:
        gates.held(**given)
    assert "\n" not in str(raised.value)
