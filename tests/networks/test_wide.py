import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.networks import cells, training, wide
from rnnatomy.store import disk

TINY = wide.Recipe(read=5, predict=4, batch=3, learning_rate=3e-3, halved=False)
MOMENTS = (0, 2, 4, 8)


def drawn(seed=0, hidden=6):
    return wide.create(7, hidden, jax.random.key(seed))


def frames(time=30, seed=0):
    rng = np.random.default_rng(seed)
    return np.sin(0.3 * np.arange(time)[:, None] + rng.uniform(0, 6, 7)).astype(np.float32)


def fit(recipe=TINY, moments=MOMENTS, measure=lambda model: {}, given=None, **options):
    given = frames() if given is None else given
    return wide.fit(drawn(), given, recipe, jax.random.key(1), moments, measure, **options)


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    return [jnp.asarray(rng.normal(size=(n, 3, 7)), jnp.float32) for n in (5, 4)]


def plain(parameters, graph, batch):
    """The same loss through the model itself."""
    inputs, targets = (np.swapaxes(np.asarray(part), 0, 1) for part in batch)
    given = jnp.asarray(wide.read_twice(inputs)), jnp.asarray(targets)
    moment = training.Moment(jax.random.key(0), jnp.zeros(()))

    def loss(state):
        return training.squared_error(nnx.merge(graph, state), given, moment)

    return jax.value_and_grad(loss)(parameters)


def test_the_gradient_is_that_of_the_model_itself(batch):
    graph, parameters = nnx.split(drawn())
    loss, found = wide.slopes(parameters, *batch, halved=False)
    expected_loss, expected = plain(parameters, graph, batch)
    np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-6), found, expected
    )


def test_half_the_bits_give_nearly_the_same_gradient(batch):
    _, parameters = nnx.split(drawn(hidden=32))
    whole, half = (wide.slopes(parameters, *batch, halved=each) for each in (False, True))
    assert half[0] == pytest.approx(float(whole[0]), rel=1e-2)
    ours, theirs = (
        np.concatenate([x.ravel() for x in jax.tree.leaves(g)]) for _, g in (half, whole)
    )
    assert np.linalg.norm(ours - theirs) < 0.02 * np.linalg.norm(theirs)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(half[1]))


def test_half_the_bits_train_as_well():
    moments = tuple(range(21))
    whole, half = (
        [row["train_loss"] for row in fit(TINY._replace(halved=each), moments)]
        for each in (False, True)
    )
    np.testing.assert_allclose(half, whole, rtol=0.01)
    assert np.mean(whole[-3:]) < np.mean(whole[:3])


def test_networks_are_drawn_as_the_authors_draw_them():
    network = drawn(hidden=40)
    arrays = cells.parameters(network.encoder)
    np.testing.assert_array_equal(arrays["dense_i.bias"], np.repeat([1, 1, 0], 40))
    gates, new = np.sqrt(6 / (47 + 80)), np.sqrt(6 / (47 + 40))
    for name in ("dense_i.kernel", "dense_h.kernel"):
        assert np.abs(arrays[name][:, :80]).max() == pytest.approx(gates, rel=0.1)
        assert np.abs(arrays[name][:, 80:]).max() == pytest.approx(new, rel=0.1)
    assert 0.03 < np.abs(network.readout.kernel[...]).max() <= wide.LARGEST
    assert network.decoder is network.encoder and not network.residual
    assert network.config["cell"] == "gru-before"


def test_a_network_is_measured_at_each_moment():
    seen = []

    def measure(model):
        seen.append(np.asarray(model.readout.bias[...]))
        return {"first": seen[-1][0]}

    history = fit(measure=measure)
    assert len(history) == len(seen) == len(MOMENTS)
    np.testing.assert_array_equal(seen[0], drawn().readout.bias[...])
    assert all((a != b).all() for a, b in zip(seen[1:], seen, strict=False))
    assert [row["first"] for row in history] == [each[0] for each in seen]


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path):
    path = tmp_path / "half.safetensors"
    measure = lambda model: {"bias": np.asarray(model.readout.bias[...])}  # noqa: E731
    whole = fit(measure=measure)
    calls = []

    def stop(model):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(model)

    with pytest.raises(KeyboardInterrupt):
        fit(measure=stop, checkpoint=path)
    again = fit(measure=measure, checkpoint=path)
    for one, other in zip(whole, again, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(other[name], value)
    with pytest.raises(disk.StoreError, match="belongs to another run"):
        fit(given=frames(seed=1), checkpoint=path)


@pytest.mark.parametrize("moments", [(), (1, 2), (0, 2, 2), (0, 3, 1)])
def test_moments_ascend_from_zero(moments):
    with pytest.raises(ValueError, match=r"the moments are .*: give iterations that ascend from 0"):
        fit(moments=moments)


def test_too_short_a_sequence_is_refused():
    with pytest.raises(ValueError, match="there are 9 frames: give more than 9, a window"):
        fit(given=frames(9))


def test_a_loss_that_is_not_finite_ends_the_training():
    with pytest.raises(training.NotFiniteError, match="before iteration 2: lower learning_rate"):
        fit(TINY._replace(learning_rate=1e30))
