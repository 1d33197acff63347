"""The states of every layer, some sequences at a time."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import ways
from rnnatomy.networks.foreign.raw import ForeignError

FEATURE, FRAMES = 3, 6


def network(both_ways, hidden=(5, 4)):
    found = models.Stacked(
        FEATURE, hidden, 2, cell="gru-two-biases", both_ways=both_ways, rngs=nnx.Rngs(0)
    )
    rng = np.random.default_rng(1)
    drawn = {name: rng.normal(size=array.shape) for name, array in access.flatten(found).items()}
    access.unflatten({name: array.astype(np.float32) for name, array in drawn.items()}, found)
    return found


def sequences(count):
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(count, FRAMES, FEATURE)).astype(np.float32)
    return inputs, rng.integers(1, FRAMES + 1, count)


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("hidden", [(5,), (5, 4), (2, 3, 4)])
def test_the_states_of_every_layer_are_those_of_the_network(both_ways, with_lengths, hidden):
    found = network(both_ways, hidden)
    inputs, lengths = sequences(7)
    given = lengths if with_lengths else None
    states = ways.every_layer(found, inputs, given)
    expected = found.every_layer(jnp.asarray(inputs), None if given is None else jnp.asarray(given))
    assert [layer.shape for layer in states] == [
        (7, FRAMES, (1 + both_ways) * width) for width in hidden
    ]
    for layer, truth in zip(states, expected, strict=True):
        np.testing.assert_allclose(layer, truth, atol=1e-6)
    np.testing.assert_array_equal(states[-1], ways.states(found, inputs, given))


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_batches_change_nothing(monkeypatch, count):
    """Also the last one, which is filled up."""
    found = network(both_ways=True)
    inputs, lengths = sequences(count)
    whole = ways.every_layer(found, inputs, lengths)
    monkeypatch.setattr(ways, "BATCH", 4)
    for layer, truth in zip(ways.every_layer(found, inputs, lengths), whole, strict=True):
        assert len(layer) == count
        np.testing.assert_allclose(layer, truth, atol=1e-6)


def test_what_follows_the_end_does_not_matter_to_any_layer():
    found = network(both_ways=True)
    inputs, lengths = sequences(7)
    real = np.arange(FRAMES) < lengths[:, None]
    other = np.where(real[..., None], inputs, np.float32(9))
    pairs = zip(*(ways.every_layer(found, a, lengths) for a in (inputs, other)), strict=True)
    for one, two in pairs:
        np.testing.assert_allclose(one[real], two[real], atol=1e-6)


def test_what_the_owner_tells_is_read_in_any_order():
    assert ways.told("") == ways.Choices()
    assert ways.told(" cell=gru  reads=mean ") == ways.Choices(cell="gru", reads="mean")
    assert ways.told("readout=head=1").readout == "head=1"


@pytest.mark.parametrize("text", ["gru", "cell=", "gate=f", "cell=gru cell=lstm", "reads=last,"])
def test_what_says_nothing_of_a_network_is_refused(text):
    if text.endswith(","):
        assert ways.told(text).reads == "last,"  # that it is none is said where it is chosen
        return
    with pytest.raises(ForeignError, match="says nothing of a network: give readout="):
        ways.told(text)
