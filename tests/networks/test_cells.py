import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import gates
from rnnatomy.networks import cells

BATCH, TIME, FEATURE, HIDDEN = 5, 9, 3, 6
KERNELS = {"input": "dense_i.kernel", "recurrent": "dense_h.kernel"}


def draw(cell, seed=0):
    """Arrays of a cell in double precision, biases and all at random."""
    rng = np.random.default_rng(seed)
    made = cells.parameters(cells.find(cell).make(FEATURE, HIDDEN, nnx.Rngs(seed)))
    return {name: rng.normal(size=array.shape) / 2 for name, array in made.items()}


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).normal(size=(TIME, BATCH, FEATURE))


def logistic(x):
    return 1 / (1 + np.exp(-x))


def lstm(p, frames):
    h = c = np.zeros((BATCH, HIDDEN))
    for x in frames:
        a = x @ p["dense_i.kernel"] + h @ p["dense_h.kernel"] + p["dense_h.bias"]
        i, f, g, o = np.split(a, 4, axis=1)
        c = logistic(f) * c + logistic(i) * np.tanh(g)
        h = logistic(o) * np.tanh(c)
        yield h


def gru(p, frames):
    h = np.zeros((BATCH, HIDDEN))
    for x in frames:
        x_r, x_z, x_n = np.split(x @ p["dense_i.kernel"] + p["dense_i.bias"], 3, axis=1)
        h_r, h_z, h_n = np.split(h @ p["dense_h.kernel"] + p.get("dense_h.bias", 0), 3, axis=1)
        r, z = logistic(x_r + h_r), logistic(x_z + h_z)
        h = (1 - z) * np.tanh(x_n + r * h_n) + z * h
        yield h


def gru_before(p, frames):
    h = np.zeros((BATCH, HIDDEN))
    R_r, R_z, R_n = np.split(p["dense_h.kernel"], 3, axis=1)
    for x in frames:
        x_r, x_z, x_n = np.split(x @ p["dense_i.kernel"] + p["dense_i.bias"], 3, axis=1)
        r, z = logistic(x_r + h @ R_r), logistic(x_z + h @ R_z)
        h = (1 - z) * np.tanh(x_n + (r * h) @ R_n) + z * h
        yield h


def elman(p, frames):
    h = np.zeros((BATCH, HIDDEN))
    for x in frames:
        h = np.tanh(x @ p["dense_i.kernel"] + p["dense_i.bias"] + h @ p["dense_h.kernel"])
        yield h


def elman_relu(p, frames):
    h = np.zeros((BATCH, HIDDEN))
    for x in frames:
        a = x @ p["dense_i.kernel"] + p["dense_i.bias"] + h @ p["dense_h.kernel"]
        h = np.maximum(a, 0)
        yield h


def minimal_gru(p, frames):
    """Feng and others (2024): z = s(W x + b), h <- (1 - z) h + z (V x + c)."""
    h = np.zeros((BATCH, HIDDEN))
    for x in frames:
        z, new = np.split(x @ p["dense_i.kernel"] + p["dense_i.bias"], 2, axis=1)
        h = (1 - logistic(z)) * h + logistic(z) * new
        yield h


def minimal_lstm(p, frames):
    """Feng and others (2024): h <- f / (f + i) h + i / (f + i) (V x + c)."""
    h = np.zeros((BATCH, HIDDEN))
    for x in frames:
        f, i, new = np.split(x @ p["dense_i.kernel"] + p["dense_i.bias"], 3, axis=1)
        f, i = logistic(f), logistic(i)
        h = f / (f + i) * h + i / (f + i) * new
        yield h


NUMPY = {
    "lstm": lstm,
    "gru": gru,
    "gru-two-biases": gru,
    "gru-before": gru_before,
    "elman": elman,
    "elman-relu": elman_relu,
    "minimal-gru": minimal_gru,
    "minimal-lstm": minimal_lstm,
}


def run(cell, arrays, frames):
    """Hidden states (time, batch, hidden) of an entry's own step, in double precision."""
    entry = cells.find(cell)
    with jax.enable_x64(True):
        arrays = {name: jnp.asarray(array) for name, array in arrays.items()}
        carry = cells.initial_carry(entry, BATCH, HIDDEN, jnp.float64)
        found = []
        for x in frames:
            carry = entry.step(arrays, carry, jnp.asarray(x))
            found.append(np.asarray(entry.hidden(carry)))
    return np.stack(found)


def test_every_cell_has_its_plain_numpy():
    assert set(NUMPY) == set(cells.CELLS)


@pytest.mark.parametrize("cell", NUMPY)
def test_states_are_those_of_plain_numpy(cell, frames):
    arrays = draw(cell)
    found = run(cell, arrays, frames)
    np.testing.assert_allclose(found, list(NUMPY[cell](arrays, frames)), atol=1e-12)
    assert np.abs(np.diff(found, axis=0)).max() > 0.1


def test_a_gru_from_elsewhere_keeps_the_bias_within_the_reset(frames):
    arrays = draw("gru")
    assert "dense_h.bias" not in arrays
    bias = np.random.default_rng(2).normal(size=3 * HIDDEN)
    with_bias = arrays | {"dense_h.bias": bias}
    found = run("gru", with_bias, frames)
    np.testing.assert_allclose(found, list(gru(with_bias, frames)), atol=1e-12)
    # it cannot be folded into the bias of the input, for the reset gate multiplies it
    folded = arrays | {"dense_i.bias": arrays["dense_i.bias"] + bias}
    assert np.abs(found - run("gru", folded, frames)).max() > 0.01


def test_resetting_before_the_product_is_another_cell_than_after_it(frames):
    arrays = draw("gru")
    after, before = (run(cell, arrays, frames) for cell in ("gru", "gru-before"))
    np.testing.assert_allclose(after[0], before[0], atol=1e-12)  # there is nothing to reset yet
    assert np.abs(after[1:] - before[1:]).max() > 0.01


FLAX = {"lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell, "elman": nnx.SimpleCell}


@nnx.jit
def flax_states(cell, inputs):
    start = cell.initialize_carry(inputs[:, 0].shape, nnx.Rngs(0))
    _, states = jax.lax.scan(lambda c, x: cell(c, x), start, jnp.swapaxes(inputs, 0, 1))
    return jnp.swapaxes(states, 0, 1)


def unroll(cell, weights, inputs):
    entry = cells.find(cell)
    start = cells.initial_carry(entry, len(inputs), HIDDEN)
    return nnx.jit(lambda weights: cells.unroll(entry, weights, start, inputs))(weights)


@pytest.mark.parametrize("cell", FLAX)
def test_states_are_those_of_flax_bit_for_bit(cell, frames):
    inputs = jnp.asarray(frames.swapaxes(0, 1), jnp.float32)
    theirs = FLAX[cell](FEATURE, HIDDEN, rngs=nnx.Rngs(3))
    arrays = draw(cell)
    for path, leaf in nnx.to_flat_state(nnx.state(theirs)):
        leaf[...] = jnp.asarray(arrays[".".join(path)], jnp.float32)
    expected = flax_states(theirs, inputs)
    np.testing.assert_array_equal(unroll(cell, theirs, inputs), expected)
    assert np.abs(expected).max() > 0.1


def test_states_are_those_of_flax_with_a_kernel_for_each_gate(frames):
    theirs = nnx.LSTMCell(FEATURE, HIDDEN, rngs=nnx.Rngs(3))
    ours = cells.find("lstm").make(FEATURE, HIDDEN, nnx.Rngs(0))
    reads, keeps = ("ii", "if_", "ig", "io"), ("hi", "hf", "hg", "ho")
    for layer, names in ((ours.dense_i, reads), (ours.dense_h, keeps)):
        parts = [getattr(theirs, name).kernel[...] for name in names]
        layer.kernel[...] = jnp.concatenate(parts, axis=1)
    ours.dense_h.bias[...] = jnp.zeros(4 * HIDDEN)
    inputs = jnp.asarray(frames.swapaxes(0, 1), jnp.float32)
    np.testing.assert_allclose(unroll("lstm", ours, inputs), flax_states(theirs, inputs), atol=1e-6)


@pytest.mark.parametrize("cell", cells.CELLS)
def test_a_carry_is_its_state_in_a_row_with_the_hidden_state_last(cell):
    entry = cells.find(cell)
    state = jax.random.normal(jax.random.key(0), (BATCH, entry.copies * HIDDEN))
    carry = entry.carry(state)
    np.testing.assert_array_equal(entry.state(carry), state)
    again = entry.carry(entry.state(carry))
    assert jax.tree.structure(again) == jax.tree.structure(carry)
    for one, other in zip(jax.tree.leaves(again), jax.tree.leaves(carry), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(entry.hidden(carry), state[:, -HIDDEN:])
    assert len(jax.tree.leaves(carry)) == entry.copies
    start = cells.initial_carry(entry, BATCH, HIDDEN)
    assert not entry.state(start).any() and entry.state(start).shape == state.shape


@pytest.mark.parametrize("cell", cells.CELLS)
def test_matrices_are_the_columns_of_the_kernels(cell):
    entry, arrays = cells.find(cell), draw(cell)
    matrices = entry.matrices(arrays)
    sides = [side for side, name in KERNELS.items() if name in arrays]
    assert list(matrices) == [f"{side} {gate}" for side in sides for gate in entry.gates]
    for name, matrix in matrices.items():
        side, gate = name.split()
        at = entry.gates.index(gate) * HIDDEN
        np.testing.assert_array_equal(matrix, arrays[KERNELS[side]][:, at : at + HIDDEN].T)
    if cell == "lstm":
        assert tuple(matrices) == gates.MATRICES


@pytest.mark.parametrize("cell", cells.CELLS)
def test_cells_with_other_matrices_have_these_matrices(cell):
    entry, other = cells.find(cell), draw(cell, seed=1)
    arrays = {name: jnp.asarray(array, jnp.float32) for name, array in draw(cell).items()}
    same = entry.with_matrices(arrays, entry.matrices(arrays))
    assert same.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(same[name], array)
    changed = entry.with_matrices(arrays, entry.matrices(other))
    for name, array in arrays.items():
        expected = array if name.endswith("bias") else np.float32(other[name])
        np.testing.assert_array_equal(changed[name], expected)


def test_the_gates_of_a_minimal_lstm_sum_to_one():
    x = 5 * jax.random.normal(jax.random.key(0), (200, 2))
    kernel = jnp.concatenate([jnp.eye(2), jnp.zeros((2, 1))], axis=1)  # f, i, and nothing new
    step = cells.find("minimal-lstm").step

    def after(h, new):
        arrays = {"dense_i.kernel": kernel, "dense_i.bias": jnp.array([0.0, 0.0, new])}
        return step(arrays, jnp.full((200, 1), h), x)

    kept, let_in = after(1.0, 0.0), after(0.0, 1.0)
    np.testing.assert_allclose(kept + let_in, 1, rtol=1e-6)
    assert kept.min() < 0.01 and kept.max() > 0.99
    np.testing.assert_allclose(after(2.0, 2.0), 2, rtol=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e3])
@pytest.mark.parametrize("cell", cells.CELLS)
def test_slopes_are_finite_at_any_size(cell, size, frames):
    entry = cells.find(cell)
    arrays = {name: jnp.asarray(size * a, jnp.float32) for name, a in draw(cell).items()}

    @jax.jit
    def total(arrays, frames):
        carry = cells.initial_carry(entry, BATCH, HIDDEN)
        for x in frames:
            carry = entry.step(arrays, carry, x)
        return entry.hidden(carry).sum()

    slopes = jax.grad(total, argnums=(0, 1))(arrays, jnp.asarray(frames, jnp.float32))
    leaves = jax.tree.leaves(slopes)
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert size > 1 or all(np.abs(leaf).max() > 0 for leaf in leaves)


@pytest.mark.parametrize("name", ["rnn", "LSTM", "", None, ["gru"]])
def test_an_unknown_cell_is_answered_with_the_known_ones(as_users, name):
    known = ", ".join(NUMPY)
    with pytest.raises(ValueError, match=r"cell .* is unknown: choose from " + known):
        cells.find(name)


def without(name):
    return {key: m for key, m in cells.find("lstm").matrices(draw("lstm")).items() if key != name}


BAD = {
    "those of a GRU": (
        cells.find("gru").matrices(draw("gru")),
        r"'input i' is missing, expected \(6, 3\)",
    ),
    "one that is missing": (without("recurrent o"), r"'recurrent o' is missing, expected \(6, 6\)"),
    "one of another shape": (
        without("") | {"input g": np.zeros((6, 4))},
        r"'input g' is \(6, 4\), expected \(6, 3\)",
    ),
    "one too many": (without("") | {"input x": np.zeros((6, 3))}, "'input x' is .*, expected none"),
}


@pytest.mark.parametrize(("matrices", "message"), BAD.values(), ids=BAD)
def test_matrices_that_do_not_fit_are_refused(matrices, message):
    with pytest.raises(ValueError, match=f"the matrices do not fit the cell: {message}"):
        cells.find("lstm").with_matrices(draw("lstm"), matrices)
