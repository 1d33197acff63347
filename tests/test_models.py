import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy import models, runs

HIDDEN = 6


@pytest.fixture(scope="module")
def model():
    return models.LSTMClassifier(3, HIDDEN, 4, rngs=nnx.Rngs(7))


@pytest.fixture(scope="module")
def inputs():
    return jax.random.normal(jax.random.key(1), (5, 9, 3))


def numpy_lstm(arrays, frames):
    """The equations of the docstring, one sequence at a time, in double precision."""
    Wx, Wh = arrays["cell.dense_i.kernel"], arrays["cell.dense_h.kernel"]
    h = c = np.zeros(len(Wh))
    for x in frames:
        gates = np.split(x @ Wx + h @ Wh + arrays["cell.dense_h.bias"], 4)
        i, f, o = (1 / (1 + np.exp(-gates[k])) for k in (0, 1, 3))
        c = f * c + i * np.tanh(gates[2])
        h = o * np.tanh(c)
        yield h


def parameters(model):
    return {name: a.astype(np.float64) for name, a in runs.flatten(nnx.state(model)).items()}


def test_states_are_those_of_an_lstm_in_plain_numpy(model, inputs):
    arrays = parameters(model)
    rng = np.random.default_rng(0)
    arrays["cell.dense_h.bias"] += rng.normal(size=4 * HIDDEN)
    other = models.LSTMClassifier(3, HIDDEN, 4, rngs=nnx.Rngs(0))
    runs.unflatten({name: a.astype(np.float32) for name, a in arrays.items()}, other)
    expected = [list(numpy_lstm(arrays, frames)) for frames in np.asarray(inputs, np.float64)]
    np.testing.assert_allclose(other.states(inputs), expected, atol=1e-5)


def test_logits_are_read_from_the_last_state(model, inputs):
    last = model.states(inputs)[:, -1]
    np.testing.assert_allclose(model(inputs), model.readout(last), atol=1e-6)


def test_logits_are_W_h_plus_b_with_the_readout_of_a_run(inputs):
    model = models.LSTMClassifier(3, HIDDEN, 4, rngs=nnx.Rngs(3))
    arrays = parameters(model) | {"readout.bias": np.arange(4.0)}
    runs.unflatten({name: a.astype(np.float32) for name, a in arrays.items()}, model)
    run = runs.Run("a", "LSTMClassifier", arrays, {}, {})
    assert run.readout.shape == (4, HIDDEN)
    h = np.asarray(model.states(inputs))[:, -1].astype(np.float64)
    expected = [run.readout @ state + run.bias for state in h]
    np.testing.assert_allclose(model(inputs), expected, atol=1e-5)


def test_each_recurrent_gate_starts_orthogonal_and_unlike_the_others(model):
    blocks = np.split(parameters(model)["cell.dense_h.kernel"], 4, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(HIDDEN), atol=1e-5)
    assert np.abs(blocks[0] - blocks[1]).max() > 0.1


def test_the_forget_gate_alone_starts_with_bias_one():
    fresh = models.LSTMClassifier(3, HIDDEN, 4, rngs=nnx.Rngs(0))
    gates = np.split(parameters(fresh)["cell.dense_h.bias"], 4)
    assert models.GATES == ("i", "f", "g", "o")
    for name, bias in zip(models.GATES, gates, strict=True):
        assert (bias == (name == "f")).all()


@pytest.mark.parametrize("cell", [nnx.GRUCell, nnx.SimpleCell, nnx.LSTMCell])
def test_any_flax_cell_can_be_unrolled(cell, inputs):
    cell = cell(3, HIDDEN, rngs=nnx.Rngs(0))
    states = models.unroll(cell, inputs)
    carry = cell.initialize_carry((5, 3), nnx.Rngs(0))
    for time in range(9):
        carry, output = cell(carry, inputs[:, time])
        np.testing.assert_allclose(states[:, time], output, atol=1e-6)


def test_a_state_depends_on_earlier_frames_only(model, inputs):
    changed = inputs.at[:, 5].add(1)
    before, after = model.states(inputs), model.states(changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert jnp.abs(before[:, 5:] - after[:, 5:]).max(axis=(0, 2)).min() > 0


def test_another_key_draws_other_parameters():
    one, two, same = (
        parameters(models.LSTMClassifier(3, HIDDEN, 4, rngs=nnx.Rngs(seed))) for seed in (1, 2, 1)
    )
    for name in ("cell.dense_i.kernel", "cell.dense_h.kernel", "readout.kernel"):
        assert (one[name] == same[name]).all() and (one[name] != two[name]).any()
