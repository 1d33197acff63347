"""Layers on one another, against a loop in plain NumPy; lengths, both ways, what is read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.networks import access, models

FEATURE, HIDDEN, CLASSES, FRAMES = 3, (5, 4), 2, 7
LENGTHS = jnp.array([7, 1, 4, 6])


def network(**changes):
    given = {"feature": FEATURE, "hidden": HIDDEN, "classes": CLASSES, "cell": "gru-two-biases"}
    found = models.Stacked(**given | changes, rngs=nnx.Rngs(2))
    rng = np.random.default_rng(3)
    drawn = {k: rng.normal(size=a.shape) * 0.7 for k, a in access.flatten(found).items()}
    access.unflatten({k: a.astype(np.float32) for k, a in drawn.items()}, found)
    return found, drawn


@pytest.fixture(scope="module")
def inputs():
    drawn = np.random.default_rng(1).normal(size=(len(LENGTHS), FRAMES, FEATURE))
    return jnp.asarray(drawn, jnp.float32)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def gru(p, name, frames):
    """One layer over one sequence (time, feature)."""
    W, R = p[f"{name}.dense_i.kernel"], p[f"{name}.dense_h.kernel"]
    b, d = p[f"{name}.dense_i.bias"], p[f"{name}.dense_h.bias"]
    h, found = np.zeros(len(R)), []
    for x in frames:
        (xr, xz, xn), (hr, hz, hn) = np.split(x @ W + b, 3), np.split(h @ R + d, 3)
        r, z = logistic(xr + hr), logistic(xz + hz)
        h = (1 - z) * np.tanh(xn + r * hn) + z * h
        found.append(h)
    return np.array(found)


def top(p, frames, both_ways):
    frames = np.asarray(frames, np.float64)
    for k in range(len(HIDDEN)):
        ahead = gru(p, f"layer_{k}", frames)
        if both_ways:
            back = gru(p, f"layer_{k}_back", frames[::-1])[::-1]
            ahead = np.concatenate([ahead, back], axis=1)
        frames = ahead
    return frames


def read(states, reads, both_ways):
    if reads == "ends" and both_ways:
        half = states.shape[1] // 2
        return np.concatenate([states[-1, :half], states[0, half:]])
    return {
        "last": states[-1], "ends": states[-1], "mean": states.mean(0), "max": states.max(0)
    }[reads]  # fmt: skip


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_states_are_those_of_plain_numpy(inputs, lengths, both_ways):
    found, p = network(both_ways=both_ways)
    states = found.states(inputs, lengths)
    for k, length in enumerate([FRAMES] * len(inputs) if lengths is None else lengths):
        expected = top(p, inputs[k, :length], both_ways)
        np.testing.assert_allclose(states[k, :length], expected, atol=2e-6)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("reads", [name for name in models.READS if name != "each"])
def test_outputs_are_read_as_told_and_what_follows_the_end_does_not_matter(
    inputs, reads, both_ways
):
    found, p = network(both_ways=both_ways, reads=reads)
    outputs = np.asarray(found(inputs, LENGTHS))
    for k, length in enumerate(LENGTHS):
        h = read(top(p, inputs[k, :length], both_ways), reads, both_ways)
        expected = h @ p["readout.kernel"] + p["readout.bias"]
        np.testing.assert_allclose(outputs[k], expected, atol=5e-6)
    ended = np.arange(FRAMES) >= np.asarray(LENGTHS)[:, None]
    spoilt = jnp.asarray(np.where(ended[..., None], np.float32(9), inputs))
    np.testing.assert_array_equal(found(spoilt, LENGTHS), outputs)


def test_each_state_is_read(inputs):
    found, p = network(reads="each")
    expected = top(p, inputs[0], False) @ p["readout.kernel"] + p["readout.bias"]
    np.testing.assert_allclose(found(inputs)[0], expected, atol=5e-6)


def test_what_is_read_is_normalised_over_units(inputs):
    found, p = network(norm=1e-3)
    h = np.array([top(p, frames, False)[-1] for frames in inputs])
    h = (h - h.mean(1, keepdims=True)) / np.sqrt(h.var(1, keepdims=True) + 1e-3)
    h = h * p["normalise.scale"] + p["normalise.bias"]
    expected = h @ p["readout.kernel"] + p["readout.bias"]
    np.testing.assert_allclose(found(inputs), expected, atol=2e-5)


def test_one_layer_is_a_classifier(inputs):
    small = models.Classifier(FEATURE, 4, CLASSES, cell="lstm", rngs=nnx.Rngs(0))
    same = models.Stacked(FEATURE, [4], CLASSES, cell="lstm", rngs=nnx.Rngs(1))
    arrays = {k.replace("cell.", "layer_0."): a for k, a in access.flatten(small).items()}
    access.unflatten(arrays, same)
    np.testing.assert_allclose(same(inputs), small(inputs), atol=1e-6)
    given = np.asarray(inputs)
    np.testing.assert_allclose(
        access.hidden_states(same, given), access.hidden_states(small, given), atol=1e-6
    )
    assert list(access.matrices(same)) == list(access.matrices(small))


def test_matrices_of_several_layers_are_asked_for_by_name():
    found, _ = network(both_ways=True)
    assert found.RECURRENT == ("layer_0", "layer_0_back", "layer_1", "layer_1_back")
    assert access.matrices(found, "layer_1_back")["input r"].shape == (4, 10)
    with pytest.raises(ValueError, match="no cell None: choose from layer_0, layer_0_back"):
        access.matrices(found)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"hidden": 4}, r"hidden is 4: give the units of each layer, such as \[64, 64\]"),
        ({"hidden": []}, "hidden is .*: give the units of each layer"),
        ({"hidden": [4, 0]}, "hidden is 0: give a whole number of at least 1"),
        ({"reads": "first"}, "reads is 'first': choose from last, ends, mean, max, each"),
        ({"norm": True}, "norm is True: give None, or a number of 0 to 1"),
        ({"norm": -1.0}, "norm is -1.0: give None, or a number of 0 to 1"),
        ({"both_ways": 1}, "both_ways is 1: give True or False"),
    ],
)
def test_arguments_out_of_range_are_refused(as_users, changes, message):
    config = {"model": "Stacked", "feature": 3, "hidden": [4], "classes": 2, **changes}
    with pytest.raises(ValueError, match=message):
        access.build(config, jax.random.key(0))
