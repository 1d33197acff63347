"""Hand-written gradients, held against those of the plain scan."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import PartitionSpec

from rnnatomy.networks import cells, sequences

TOLERANCE = {jnp.float32: 1e-5, jnp.float64: 1e-10}
SIZES = (5, 7, 3, 6)  # batch, time, feature, hidden
BY_HAND = ["gru", "gru with a bias within the reset", "lstm"]


def case(kind, sizes=SIZES, dtype=jnp.float32, seed=0):
    """An entry, and random (parameters, start, frames) of a sequence."""
    (batch, time, feature, hidden), rng = sizes, np.random.default_rng(seed)
    entry = cells.find(kind.split()[0])
    shapes = {"dense_i.kernel": (feature, len(entry.gates) * hidden)}
    shapes["dense_h.kernel"] = (hidden, len(entry.gates) * hidden)
    biases = ["dense_h.bias"] * (kind != "gru") + ["dense_i.bias"] * (kind != "lstm")
    shapes |= {name: (len(entry.gates) * hidden,) for name in biases}
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
    parameters = {name: draw(*shape) / 2 for name, shape in shapes.items()}
    start = entry.carry(draw(batch, entry.copies * hidden))
    return entry, (parameters, start, draw(time, batch, feature))


def value_and_slopes(entry, run, arguments, keep):
    """Read the last carry, and all states if kept, each number with a weight of its own."""

    def weighed(array):
        weights = jax.random.normal(jax.random.key(array.size), array.shape, array.dtype)
        return (weights * array).sum()

    def read(arguments):
        carry, states = run(*arguments, keep)
        total = weighed(entry.state(carry))
        return (total + weighed(states) if keep else total), (carry, states)

    return jax.value_and_grad(read, has_aux=True)(arguments)


def assert_close(found, expected, tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        assert np.abs(other).max() > 0
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * np.abs(other).max())


def by_hand_and_plain(kind, keep=True, sizes=SIZES, dtype=jnp.float32):
    """What a sequence gives and its slopes, by hand and by the plain scan."""
    entry, arguments = case(kind, sizes, dtype)
    runs = entry.sequence, sequences.plain(entry.step, entry.hidden)
    return jax.jit(lambda given: [value_and_slopes(entry, run, given, keep) for run in runs])(
        arguments
    )


@pytest.mark.parametrize("kind", BY_HAND)
@pytest.mark.parametrize(
    ("keep", "dtype"), [(True, jnp.float32), (False, jnp.float32), (True, jnp.float64)]
)
def test_gradients_by_hand_are_those_of_the_plain_scan(kind, keep, dtype):
    with jax.enable_x64(dtype == jnp.float64):
        assert_close(*by_hand_and_plain(kind, keep, dtype=dtype), TOLERANCE[dtype])


@pytest.mark.parametrize("kind", BY_HAND[:2])
@pytest.mark.parametrize("sizes", [(1, 7, 1, 6), (5, 1, 3, 1)], ids=str)
def test_gradients_by_hand_hold_at_any_size(kind, sizes):
    assert_close(*by_hand_and_plain(kind, sizes=sizes), TOLERANCE[jnp.float32])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_each_factor_that_is_kept_counts(kind, monkeypatch):
    """A gradient with one factor a thousandth too large is not let through above."""
    entry, arguments = case(kind)
    put, count = sequences._put, 6 if kind == "lstm" else 5

    @jax.jit
    def slopes(sizes):
        def spoiled(room, place, *parts):
            if len(parts) > 1:
                parts = [part * size for part, size in zip(parts, sizes, strict=True)]
            return put(room, place, *parts)

        monkeypatch.setattr(sequences, "_put", spoiled)
        return value_and_slopes(entry, entry.sequence, arguments, True)

    true = slopes(jnp.ones(count))
    for place in range(count):
        with pytest.raises(AssertionError, match="Not equal to tolerance"):
            assert_close(slopes(jnp.ones(count).at[place].add(1e-3)), true, 1e-5)


WAYS = {
    "vmap": jax.vmap,
    "map": lambda run: lambda many: jax.lax.map(run, many),
    "shard_map": lambda run: jax.shard_map(
        jax.vmap(run),
        mesh=jax.make_mesh((1,), ("network",), (jax.sharding.AxisType.Auto,)),
        in_specs=PartitionSpec("network"),
        out_specs=PartitionSpec("network"),
        check_vma=False,
    ),
}


@pytest.mark.parametrize(
    ("kind", "way"), [("lstm", "vmap"), ("gru", "vmap"), ("gru", "map"), ("lstm", "shard_map")]
)
def test_many_networks_are_each_as_if_alone(kind, way):
    entry, one = case(kind)
    _, two = case(kind, seed=1)
    slopes = jax.grad(lambda arguments: entry.sequence(*arguments, True)[1].sum())
    found = jax.jit(WAYS[way](slopes))(jax.tree.map(lambda *leaves: jnp.stack(leaves), one, two))
    for place, alone in enumerate((one, two)):
        assert_close(jax.tree.map(lambda leaf, p=place: leaf[p], found), slopes(alone), 1e-5)


@pytest.mark.parametrize("cell", cells.CELLS)
def test_a_cell_runs_a_sequence_as_it_steps(cell):
    """The public path of every cell, whether its gradient is written by hand or not."""
    entry = cells.find(cell)
    graph, weights = nnx.split(entry.make(3, 6, nnx.Rngs(0)))
    inputs = jax.random.normal(jax.random.key(1), (5, 7, 3))
    start = entry.carry(jax.random.normal(jax.random.key(2), (5, entry.copies * 6)))

    def unrolled(weights, inputs, start):
        return cells.unroll(entry, nnx.merge(graph, weights), start, inputs)

    def stepped(weights, inputs, start):
        arrays, states = cells.parameters(weights), []
        for frame in jnp.swapaxes(inputs, 0, 1):
            start = entry.step(arrays, start, frame)
            states.append(entry.hidden(start))
        return jnp.stack(states, axis=1)

    def read(function):
        total = lambda *given: jnp.square(function(*given)).sum()  # noqa: E731
        return jax.value_and_grad(total, argnums=(0, 1, 2))(weights, inputs, start)

    assert_close(*jax.jit(lambda: (read(unrolled), read(stepped)))(), 1e-5)


@pytest.mark.parametrize("kind", BY_HAND)
def test_without_gradients_the_plain_scan_runs_bit_for_bit_and_nothing_is_kept(kind):
    entry, arguments = case(kind)
    reference = sequences.plain(entry.step, entry.hidden)
    found, expected = (
        jax.jit(partial(run, keep=True))(*arguments) for run in (entry.sequence, reference)
    )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    wide = f"7,5,{(6 if kind == 'lstm' else 5) * 6}]"  # the factors of all frames
    assert wide not in str(jax.make_jaxpr(partial(entry.sequence, keep=True))(*arguments))
    slopes = jax.grad(lambda arguments: entry.sequence(*arguments, True)[1].sum())
    assert wide in str(jax.make_jaxpr(slopes)(arguments))


def test_numbers_of_two_precisions_are_left_to_the_plain_scan():
    entry, (parameters, start, frames) = case("lstm")
    given = parameters, start, frames.astype(jnp.bfloat16)
    with jax.numpy_dtype_promotion("standard"):
        slopes = jax.grad(lambda given: entry.sequence(*given, True)[1].sum())(given)
    assert slopes[2].dtype == jnp.bfloat16 and np.isfinite(slopes[0]["dense_h.kernel"]).all()


def test_what_a_cell_does_not_read_has_no_slope():
    entry, (parameters, start, frames) = case("lstm")
    more = parameters | {"other": jnp.ones(3)}
    slopes = jax.grad(lambda p: entry.sequence(p, start, frames, True)[1].sum())(more)
    assert not slopes["other"].any() and slopes["dense_h.bias"].all()
