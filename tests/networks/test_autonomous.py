"""Networks as maps, held against their own forward pass in single and in double precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from rnnatomy.analysis import maps
from rnnatomy.networks import access, autonomous, cells, models

FEATURE, HIDDEN, LATENT, READ, FRAMES = 3, 6, 2, 5, 3
every_cell = pytest.mark.parametrize("cell", cells.CELLS)


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(1).normal(size=(7, READ, FEATURE)).astype(np.float32)


def build(model, seed=0, **options):
    config = {"model": model, "feature": FEATURE, "hidden": HIDDEN, **options}
    network = access.build(config, jax.random.key(seed))
    rng = np.random.default_rng(seed)
    arrays = {k: a + 0.3 * rng.normal(size=a.shape) for k, a in access.flatten(network).items()}
    access.unflatten({k: a.astype(np.float32) for k, a in arrays.items()}, network)
    return network


def doubled(network):
    """The same network with arrays of double precision, to be used under x64."""
    other = nnx.clone(network)
    state = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float64)), nnx.state(other))
    nnx.update(other, state)
    return other


def check(found, single, double):
    """Hold states against a forward pass in each precision, of size 1 or less."""
    assert found.dtype == np.float64
    size = max(1.0, np.abs(single).max())
    np.testing.assert_allclose(found / size, single / size, atol=1e-6)
    np.testing.assert_allclose(found / size, double / size, atol=1e-12)


def orbit(alone, starts, frames):
    """States from the start on, so many."""
    later = maps.run(alone.step, starts, frames, frames)
    return np.concatenate([starts[:, None], later], axis=1)[:, :frames]


@every_cell
def test_the_states_of_a_driven_cell_are_those_of_its_network(cell, inputs):
    network, frame = build("Classifier", classes=4, cell=cell), inputs[0, 0]
    alone = autonomous.driven(network, frame)
    fed = np.concatenate([inputs, np.tile(frame, (7, FRAMES, 1))], axis=1)
    with jax.enable_x64(True):
        exact = np.asarray(doubled(network).states(jnp.asarray(fed, jnp.float64)))
    path = orbit(alone, alone.start(inputs), FRAMES)
    assert path.shape == (7, FRAMES, alone.size)
    single, time = jnp.asarray(fed), slice(READ - 1, -1)
    check(alone.hidden(path), np.asarray(network.states(single))[:, time], exact[:, time])
    logits = np.asarray(network(single[:, :-1]))
    np.testing.assert_allclose(alone.outputs(path)[:, -1], logits, rtol=1e-5, atol=1e-5)


@every_cell
@pytest.mark.parametrize("residual", [False, True])
def test_a_closed_loop_is_that_of_the_decoder(cell, residual, inputs):
    network = build("Seq2Seq", cell=cell, residual=residual, tied=cell != "gru")
    alone = autonomous.closed_loop(network)
    path = orbit(alone, alone.start(inputs), FRAMES + residual)[:, residual:]
    single = network.trajectory(jnp.asarray(inputs), FRAMES)
    with jax.enable_x64(True):
        exact = doubled(network).trajectory(jnp.asarray(inputs, jnp.float64), FRAMES)
    check(alone.hidden(path), np.asarray(single.decoder), np.asarray(exact.decoder))
    check(alone.outputs(path), np.asarray(single.outputs), np.asarray(exact.outputs))
    size = cells.find(cell).copies * HIDDEN
    assert alone.size == path.shape[2] == size + residual * FEATURE


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_drawing_is_that_of_the_autoencoder(cell):
    network = build("VAE", frames=FRAMES, latent=LATENT, cell=cell)
    latent = np.random.default_rng(2).normal(size=LATENT)
    alone = autonomous.drawing(network, latent)
    path = orbit(alone, alone.start(latent[None]), FRAMES + 1)[:, 1:]
    with jax.enable_x64(True):
        exact = np.asarray(doubled(network).drawing(jnp.asarray(latent[None])))
    single = np.asarray(network.drawing(jnp.asarray(latent[None], jnp.float32)))
    check(alone.hidden(path), single, exact)
    drawn = np.asarray(network.decode(jnp.asarray(latent[None], jnp.float32)))
    np.testing.assert_allclose(alone.outputs(path), drawn, atol=1e-5)


def test_a_cell_that_reads_is_a_map_of_state_and_frame(inputs):
    network = build("Classifier", classes=4)
    F, start = autonomous.reading(network), np.zeros((7, 2 * HIDDEN))
    found = maps.driven_lyapunov(F, start, inputs, 2)
    last = autonomous.driven(network, inputs[0, 0]).start(inputs)
    np.testing.assert_allclose(found.states, last, atol=1e-12)


def test_the_jacobian_of_an_lstm_is_that_of_memory_and_hidden_state(inputs):
    alone = autonomous.driven(build("Classifier", classes=4), inputs[0, 0])
    state = alone.start(inputs)[:1]
    (J,) = maps.jacobians(alone.step, state)
    assert J.shape == (2 * HIDDEN, 2 * HIDDEN)
    for k, along in enumerate(1e-6 * np.eye(2 * HIDDEN)):
        ends = maps.run(alone.step, np.concatenate([state + along, state - along]), 1, 1)[:, 0]
        np.testing.assert_allclose(J[:, k], (ends[0] - ends[1]) / 2e-6, atol=1e-8)


def test_networks_of_one_shape_share_what_is_compiled(inputs):
    one, other = (autonomous.closed_loop(build("Seq2Seq", seed)) for seed in (1, 2))
    assert jax.tree.structure(one.step) == jax.tree.structure(other.step)
    assert not np.allclose(one.start(inputs), other.start(inputs))


def test_a_fixed_point_of_a_loop_is_one_of_the_network(inputs):
    network = build("Seq2Seq")
    alone = autonomous.closed_loop(network)
    points = maps.fixed_points(alone.step, alone.start(inputs))
    state, frame = points.states[:1], alone.outputs(points.states[:1])
    hidden, outputs = network.decode(
        jnp.asarray(state, jnp.float32), jnp.asarray(frame, jnp.float32), 3
    )
    np.testing.assert_allclose(outputs, np.tile(frame[:, None], (1, 3, 1)), atol=1e-4)
    np.testing.assert_allclose(hidden, np.tile(state[:, None], (1, 3, 1)), atol=1e-4)


def pulses(key, batch):
    """Now and then a pulse of 1 or -1 on each of three lines; and the last pulse of each."""
    one, other = jax.random.split(key)
    is_there = jax.random.bernoulli(one, 0.25, (30, batch, 3))
    sides = jax.random.rademacher(other, is_there.shape).astype(jnp.float32)
    pulse = jnp.where(is_there, sides, 0.0)

    def step(kept, now):
        kept = jnp.where(now == 0, kept, now)
        return kept, kept

    memory = jax.lax.scan(step, jnp.zeros((batch, 3)), pulse)[1]
    return jnp.swapaxes(pulse, 0, 1), jnp.swapaxes(memory, 0, 1)


def flip_flop(steps=400):
    """A GRU that has learnt to keep the last pulse of three lines, and its losses."""
    network = models.Classifier(3, 16, 3, cell="gru", rngs=nnx.Rngs(0))
    graph, start = nnx.split(network)
    optimiser = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

    def loss(parameters, key):
        network, (inputs, memory) = nnx.merge(graph, parameters), pulses(key, 32)
        return jnp.square(network.readout(network.states(inputs)) - memory).mean()

    def step(carried, key):
        parameters, state = carried
        value, slope = jax.value_and_grad(loss)(parameters, key)
        update, state = optimiser.update(slope, state, parameters)
        return (optax.apply_updates(parameters, update), state), value

    with jax.numpy_dtype_promotion("standard"):
        keys = jax.random.split(jax.random.key(0), steps)
        begun = start, optimiser.init(start)
        (parameters, _), losses = jax.jit(lambda begun: jax.lax.scan(step, begun, keys))(begun)
    return nnx.merge(graph, parameters), np.asarray(losses)


def test_the_memories_of_a_flip_flop_are_its_stable_points():
    network, losses = flip_flop()
    assert losses[-20:].mean() < 0.05 < losses[0]
    alone, inputs = autonomous.driven(network, np.zeros(3)), pulses(jax.random.key(1), 40)[0]
    visited = access.hidden_states(network, np.asarray(inputs)).reshape(-1, 16)[::4]
    starts = visited + 0.05 * np.random.default_rng(0).normal(size=visited.shape)
    points = maps.fixed_points(alone.step, starts)
    # there are saddles between them, but how many is not given by the task
    stable = points[points.stable]
    assert len(points) > len(stable) == 8
    memories = alone.outputs(stable.states)
    assert len({tuple(signs) for signs in np.sign(memories)}) == 8
    assert np.abs(memories).min() > 0.3
    ends = maps.limit_sets(alone.step, starts, 1000)
    assert ends.names == ("fixed point",) * 8 and ends.settled.mean() > 0.9
    away = np.linalg.norm(ends.orbits[:, :1] - stable.states, axis=2)
    assert sorted(away.argmin(axis=1)) == list(range(8)) and away.min(axis=1).max() < 1e-8


REFUSED = {
    "a classifier in closed loop": (
        lambda: autonomous.closed_loop(build("Classifier", classes=4)),
        "a Classifier has no readout of frames to feed its cell with: give a Seq2Seq, or feed it",
    ),
    "a network without a cell": (
        lambda: autonomous.driven(build("MLP", frames=READ, classes=4), np.zeros(FEATURE)),
        "a MLP has no recurrent cell: give a network that has",
    ),
    "a frame of another size": (
        lambda: autonomous.driven(build("Seq2Seq"), np.zeros(FEATURE + 1)),
        r"shape \(4,\) of frame does not fit: give \(3,\)",
    ),
    "a predictor that draws": (
        lambda: autonomous.drawing(build("Seq2Seq"), np.zeros(LATENT)),
        "a Seq2Seq draws from no latent vector step by step: give a VAE",
    ),
    "a latent vector of another size": (
        lambda: autonomous.drawing(build("VAE", frames=4, latent=2), np.zeros(3)),
        r"shape \(3,\) of latent does not fit: give \(2,\)",
    ),
    "nothing read": (
        lambda: autonomous.closed_loop(build("Seq2Seq")).start(np.zeros((2, 1, FEATURE))),
        "1 frames to read: give at least 2",
    ),
    "frames of another size": (
        lambda: autonomous.closed_loop(build("Seq2Seq")).start(np.zeros((2, 5, FEATURE + 1))),
        r"inputs have shape \(2, 5, 4\): give \(sample, time, 3\)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_such_map_is_refused_in_one_sentence(as_users, case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)


def stack(cell, **options):
    sizes = {"hidden": [4, HIDDEN], "classes": FEATURE}
    return build("Stacked", **sizes | {"cell": cell} | options)


@every_cell
def test_the_states_of_driven_layers_are_those_of_their_network(cell, inputs):
    network, frame = stack(cell, norm=1e-5), inputs[0, 0]
    alone = autonomous.driven(network, frame)
    assert alone.size == network.entry.copies * (4 + HIDDEN)
    fed = np.concatenate([inputs, np.tile(frame, (7, FRAMES, 1))], axis=1)
    with jax.enable_x64(True):
        exact = np.asarray(doubled(network).states(jnp.asarray(fed, jnp.float64)))
    path = orbit(alone, alone.start(inputs), FRAMES)
    states = np.asarray(network.states(jnp.asarray(fed)))
    check(alone.hidden(path), states[:, READ - 1 : -1], exact[:, READ - 1 : -1])
    given = network(jnp.asarray(fed[:, : READ + 1]))
    np.testing.assert_allclose(alone.outputs(path)[:, 1], given, rtol=1e-4, atol=1e-4)


@every_cell
def test_layers_that_predict_are_fed_with_their_outputs(cell, inputs):
    network = stack(cell, reads="each")
    alone = autonomous.closed_loop(network)
    path = orbit(alone, alone.start(inputs), FRAMES)
    frames = np.asarray(inputs)
    for k in range(FRAMES):  # the network reads what it gave, over and over
        outputs = np.asarray(network(jnp.asarray(frames)))[:, -1:]
        states = np.asarray(network.states(jnp.asarray(frames)))[:, -1]
        size = max(1.0, np.abs(states).max())
        np.testing.assert_allclose(alone.hidden(path[:, k]) / size, states / size, atol=1e-5)
        frames = np.concatenate([frames, outputs.astype(np.float32)], axis=1)


@pytest.mark.parametrize("cell", ["lstm", "gru", "gru-two-biases"])
@pytest.mark.parametrize("hidden", [[HIDDEN], [4, HIDDEN]])
def test_layers_that_read_are_a_map_of_state_and_frame(cell, hidden, inputs):
    network = stack(cell, hidden=hidden)
    copies, F = network.entry.copies, autonomous.reading(network)
    found = np.zeros((len(inputs), copies * sum(hidden)))
    singles = network.every_layer(jnp.asarray(inputs))
    with jax.enable_x64(True):
        exact = doubled(network).every_layer(jnp.asarray(inputs, jnp.float64))
        for k in range(READ):
            frames = jnp.asarray(inputs[:, k], jnp.float64)
            found = np.asarray(jax.vmap(F)(jnp.asarray(found), frames))
            ends = np.cumsum(np.multiply(copies, hidden))
            for end, width, single, double in zip(ends, hidden, singles, exact, strict=True):
                check(found[:, end - width : end], np.asarray(single)[:, k], double[:, k])
    np.testing.assert_allclose(
        found, autonomous.driven(network, inputs[0, 0]).start(inputs), atol=1e-12
    )
    followed = maps.driven_lyapunov(F, np.zeros_like(found), inputs, 2)
    np.testing.assert_allclose(followed.states, found, atol=1e-12)


def test_layers_of_one_shape_that_read_share_what_is_compiled():
    one, other = (
        autonomous.reading(build("Stacked", seed, hidden=[4, HIDDEN], classes=2)) for seed in (1, 2)
    )
    assert jax.tree.structure(one) == jax.tree.structure(other)


def test_layers_that_cannot_go_on_are_refused():
    with pytest.raises(ValueError, match="layers that read both ways cannot go on"):
        autonomous.reading(stack("lstm", both_ways=True))
    with pytest.raises(ValueError, match="layers that read both ways cannot go on"):
        autonomous.driven(stack("gru", both_ways=True), np.zeros(FEATURE))
    with pytest.raises(ValueError, match="a Stacked has no readout of frames"):
        autonomous.closed_loop(stack("gru"))
