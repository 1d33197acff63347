import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import gates
from rnnatomy.networks import access, cells, models, runs

HIDDEN = 6


@pytest.fixture(scope="module")
def model():
    return models.Classifier(3, HIDDEN, 4, rngs=nnx.Rngs(7))


@pytest.fixture(scope="module")
def inputs():
    return jax.random.normal(jax.random.key(1), (5, 9, 3))


def numpy_lstm(arrays, frames):
    """The equations of the docstring, one sequence at a time, in double precision."""
    Wx, Wh = arrays["cell.dense_i.kernel"], arrays["cell.dense_h.kernel"]
    h = c = np.zeros(len(Wh))
    for x in frames:
        columns = np.split(x @ Wx + h @ Wh + arrays["cell.dense_h.bias"], 4)
        i, f, o = (1 / (1 + np.exp(-columns[k])) for k in (0, 1, 3))
        c = f * c + i * np.tanh(columns[2])
        h = o * np.tanh(c)
        yield h


def parameters(model):
    return {name: a.astype(np.float64) for name, a in access.flatten(model).items()}


def unroll(network, name, inputs):
    """Hidden states of a cell of a network that is run by itself, from zero."""
    start = cells.initial_carry(network.entry, len(inputs), HIDDEN)
    return cells.unroll(network.entry, getattr(network, name), start, inputs)


def test_states_are_those_of_an_lstm_in_plain_numpy(model, inputs):
    arrays = parameters(model)
    rng = np.random.default_rng(0)
    arrays["cell.dense_h.bias"] += rng.normal(size=4 * HIDDEN)
    other = models.Classifier(3, HIDDEN, 4, rngs=nnx.Rngs(0))
    access.unflatten({name: a.astype(np.float32) for name, a in arrays.items()}, other)
    expected = [list(numpy_lstm(arrays, frames)) for frames in np.asarray(inputs, np.float64)]
    np.testing.assert_allclose(other.states(inputs), expected, atol=1e-5)


def test_logits_are_read_from_the_last_state(model, inputs):
    last = model.states(inputs)[:, -1]
    np.testing.assert_allclose(model(inputs), model.readout(last), atol=1e-6)


def test_logits_are_W_h_plus_b_with_the_readout_of_a_run(inputs):
    model = models.Classifier(3, HIDDEN, 4, rngs=nnx.Rngs(3))
    arrays = parameters(model) | {"readout.bias": np.arange(4.0)}
    access.unflatten({name: a.astype(np.float32) for name, a in arrays.items()}, model)
    run = runs.Run("a", model.config, arrays, {}, {})
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
    fresh = models.Classifier(3, HIDDEN, 4, rngs=nnx.Rngs(0))
    columns = np.split(parameters(fresh)["cell.dense_h.bias"], 4)
    assert gates.GATES == ("i", "f", "g", "o")
    for name, bias in zip(gates.GATES, columns, strict=True):
        assert (bias == (name == "f")).all()


def test_a_state_depends_on_earlier_frames_only(model, inputs):
    changed = inputs.at[:, 5].add(1)
    before, after = model.states(inputs), model.states(changed)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert jnp.abs(before[:, 5:] - after[:, 5:]).max(axis=(0, 2)).min() > 0


def test_another_key_draws_other_parameters():
    one, two, same = (
        parameters(models.Classifier(3, HIDDEN, 4, rngs=nnx.Rngs(seed))) for seed in (1, 2, 1)
    )
    for name in ("cell.dense_i.kernel", "cell.dense_h.kernel", "readout.kernel"):
        assert (one[name] == same[name]).all() and (one[name] != two[name]).any()


def seq2seq(seed=0, **options):
    return models.Seq2Seq(3, HIDDEN, rngs=nnx.Rngs(seed), **options)


def with_biases(model):
    """The same model with random biases, and its arrays in double precision."""
    arrays = parameters(model)
    rng = np.random.default_rng(1)
    arrays |= {k: rng.normal(size=a.shape) for k, a in arrays.items() if k.endswith("bias")}
    access.unflatten({name: a.astype(np.float32) for name, a in arrays.items()}, model)
    return arrays


def numpy_gru(arrays, cell, h, x):
    r_x, z_x, n_x = np.split(
        x @ arrays[f"{cell}.dense_i.kernel"] + arrays[f"{cell}.dense_i.bias"], 3
    )
    r_h, z_h, n_h = np.split(h @ arrays[f"{cell}.dense_h.kernel"], 3)
    r, z = (1 / (1 + np.exp(-gate)) for gate in (r_x + r_h, z_x + z_h))
    return (1 - z) * np.tanh(n_x + r * n_h) + z * h


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_trajectory_is_that_of_a_closed_loop_in_plain_numpy(inputs, tied, residual):
    model = seq2seq(tied=tied, residual=residual)
    arrays = with_biases(model)
    reader = "decoder" if tied else "encoder"
    found = model.trajectory(inputs, 4)
    for number, frames in enumerate(np.asarray(inputs, np.float64)):
        h, fed = np.zeros(HIDDEN), frames[-1]
        for time, frame in enumerate(frames[:-1]):
            h = numpy_gru(arrays, reader, h, frame)
            np.testing.assert_allclose(found.encoder[number, time], h, atol=1e-5)
        for time in range(4):
            h = numpy_gru(arrays, "decoder", h, fed)
            fed = h @ arrays["readout.kernel"] + arrays["readout.bias"] + residual * fed
            np.testing.assert_allclose(found.decoder[number, time], h, atol=1e-5)
            np.testing.assert_allclose(found.outputs[number, time], fed, atol=1e-5)


CLOSED = [name for name, entry in cells.CELLS.items() if entry.closed is not None]


@pytest.mark.parametrize("cell", CLOSED)
@pytest.mark.parametrize("frames", [1, 5])
def test_a_closed_loop_as_one_recurrence_is_that_of_a_decoder_fed_its_outputs(inputs, cell, frames):
    model = seq2seq(cell=cell, tied=False)
    with_biases(model)
    graph, state = nnx.split(model)

    def total(state):
        path = nnx.merge(graph, state).trajectory(inputs, frames)
        return jnp.square(path.outputs).sum() + path.decoder.sum(), path

    found = jax.jit(jax.value_and_grad(total, has_aux=True))(state)
    model.entry = model.entry._replace(closed=None)
    graph = nnx.split(model)[0]
    expected = jax.jit(jax.value_and_grad(total, has_aux=True))(state)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("cell", cells.CELLS)
@pytest.mark.parametrize("tied", [True, False])
def test_there_is_a_state_for_every_frame(inputs, cell, tied):
    found = seq2seq(cell=cell, tied=tied).trajectory(inputs, 4)
    assert [part.shape for part in found] == [(5, 8, HIDDEN), (5, 4, HIDDEN), (5, 4, 3)]


@pytest.mark.parametrize("cell", cells.CELLS)
def test_the_encoder_is_the_cell_unrolled_over_all_frames_but_the_last(inputs, cell):
    model = seq2seq(cell=cell, tied=False)
    expected = unroll(model, "encoder", inputs[:, :-1])
    np.testing.assert_allclose(model.trajectory(inputs, 1).encoder, expected, atol=1e-6)


@pytest.mark.parametrize("cell", cells.CELLS)
def test_a_tied_network_has_one_cell_and_its_decoder_reads_as_the_encoder_does(inputs, cell):
    tied, untied = seq2seq(cell=cell), seq2seq(cell=cell, tied=False)
    assert {name.split(".")[0] for name in parameters(tied)} == {"decoder", "readout"}
    assert {name.split(".")[0] for name in parameters(untied)} == {"encoder", "decoder", "readout"}
    whole = unroll(tied, "encoder", inputs)
    np.testing.assert_allclose(tied.trajectory(inputs, 1).decoder[:, 0], whole[:, -1], atol=1e-6)


@pytest.mark.parametrize("cell", cells.CELLS)
def test_a_tied_network_stays_tied_when_it_is_split_and_merged(inputs, cell):
    model = nnx.merge(*nnx.split(seq2seq(cell=cell)))
    assert model.encoder is model.decoder
    np.testing.assert_array_equal(model(inputs, 3), seq2seq(cell=cell)(inputs, 3))


def test_predicting_longer_begins_with_the_same_frames(inputs):
    model = seq2seq(residual=True)
    np.testing.assert_allclose(model(inputs, 7)[:, :3], model(inputs, 3), atol=1e-6)


def test_a_decoder_goes_on_from_any_state(inputs):
    model = seq2seq()
    whole = model.trajectory(inputs, 6)
    states, outputs = model.decode(whole.decoder[:, 2], whole.outputs[:, 2], 3)
    np.testing.assert_allclose(states, whole.decoder[:, 3:], atol=1e-6)
    np.testing.assert_allclose(outputs, whole.outputs[:, 3:], atol=1e-6)


def test_too_few_frames_are_refused(inputs):
    with pytest.raises(ValueError, match="1 frames to read and 3 to predict: give at least 2"):
        seq2seq().trajectory(inputs[:, :1], 3)
    with pytest.raises(ValueError, match="give at least 2 to read and 1 to predict"):
        seq2seq().trajectory(inputs, 0)


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match="'rnn' is unknown: choose from lstm, gru"):
        seq2seq(cell="rnn")


def autoencoder(kind=models.VAE, **options):
    """Three features, five frames, two latent units, with biases that are not zero."""
    made = kind(5, 3, HIDDEN, 2, rngs=nnx.Rngs(4), **options)
    rng = np.random.default_rng(0)
    arrays = access.flatten(made)
    arrays = {n: a + 0.3 * rng.normal(size=a.shape).astype(a.dtype) for n, a in arrays.items()}
    access.unflatten(arrays, made)
    return made


def numpy_cell(arrays, name, frames, h, c):
    """The equations of the docstring of the classifier, from any start."""
    for x in frames:
        columns = x @ arrays[f"{name}.dense_i.kernel"] + h @ arrays[f"{name}.dense_h.kernel"]
        columns = np.split(columns + arrays[f"{name}.dense_h.bias"], 4)
        i, f, o = (1 / (1 + np.exp(-columns[k])) for k in (0, 1, 3))
        c = f * c + i * np.tanh(columns[2])
        h = o * np.tanh(c)
        yield h


def test_an_lstm_autoencoder_is_that_of_plain_numpy():
    made = autoencoder()
    arrays, rng = parameters(made), np.random.default_rng(1)
    frames, z = rng.normal(size=(5, 3)), rng.normal(size=2)
    given = jnp.asarray(frames[None], jnp.float32), jnp.asarray(z[None], jnp.float32)

    def linear(name, x):
        return x @ arrays[f"{name}.kernel"] + arrays[f"{name}.bias"]

    zero = np.zeros(HIDDEN)
    read = list(numpy_cell(arrays, "encoder", frames, zero, zero))
    mean, log_variance = np.split(linear("posterior", read[-1]), 2)
    np.testing.assert_allclose(made.states(given[0])[0], read, atol=1e-5)
    np.testing.assert_allclose(made.encode(given[0]).mean[0], mean, atol=1e-5)
    np.testing.assert_allclose(made.encode(given[0]).log_variance[0], log_variance, atol=1e-5)
    c, h = np.split(linear("start", z), 2)
    drawn = list(numpy_cell(arrays, "decoder", [z] * 5, np.tanh(h), c))
    np.testing.assert_allclose(made.drawing(given[1])[0], drawn, atol=1e-5)
    np.testing.assert_allclose(
        made.decode(given[1])[0], linear("readout", np.array(drawn)), atol=1e-5
    )


def test_a_plain_autoencoder_is_that_of_plain_numpy():
    made = autoencoder(models.MLPVAE)
    arrays, rng = parameters(made), np.random.default_rng(1)
    frames, z = rng.normal(size=(5, 3)), rng.normal(size=2)

    def layers(x, *names):
        for name in names:
            x = np.maximum(x @ arrays[f"{name}.kernel"] + arrays[f"{name}.bias"], 0)
        return x

    def last(name, x):
        return x @ arrays[f"{name}.kernel"] + arrays[f"{name}.bias"]

    mean, log_variance = np.split(last("posterior", layers(frames.ravel(), "read", "read_on")), 2)
    found = made.encode(jnp.asarray(frames[None], jnp.float32))
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-5)
    np.testing.assert_allclose(found.log_variance[0], log_variance, atol=1e-5)
    drawn = last("readout", layers(z, "draw", "draw_on")).reshape(5, 3)
    np.testing.assert_allclose(made.decode(jnp.asarray(z[None], jnp.float32))[0], drawn, atol=1e-5)


@pytest.mark.parametrize("kind", [models.VAE, models.MLPVAE])
def test_log_variances_keep_within_their_limits(kind):
    made = autoencoder(kind)
    for sign, limit in zip((-1, 1), models.LOG_VARIANCE, strict=True):
        made.posterior.bias[...] = jnp.full(4, sign * 1e6)
        found = made.encode(jnp.ones((2, 5, 3)))
        np.testing.assert_array_equal(found.log_variance, np.full((2, 2), limit))


def test_only_a_gaussian_autoencoder_learns_a_variance():
    assert "noise" not in access.flatten(autoencoder())
    gaussian = autoencoder(likelihood="gaussian")
    assert access.flatten(gaussian)["noise"].shape == ()


SIZES = {
    models.Classifier: ["feature", "hidden", "classes"],
    models.Seq2Seq: ["feature", "hidden"],
    models.VAE: ["frames", "feature", "hidden", "latent"],
    models.MLPVAE: ["frames", "feature", "hidden", "latent"],
    models.MLP: ["frames", "feature", "hidden", "classes"],
    models.Logistic: ["frames", "feature", "classes"],
}


@pytest.mark.parametrize("size", [0, -2, 1.5, "12", True, None])
@pytest.mark.parametrize(("kind", "name"), [(k, name) for k in SIZES for name in SIZES[k]])
def test_a_network_of_no_size_is_refused(as_users, kind, name, size):
    sizes = dict.fromkeys(SIZES[kind], 3) | {name: size}
    message = f"{name} is {size!r}: give a whole number of at least 1"
    with pytest.raises(ValueError, match=message):
        kind(**sizes, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("kind", [models.VAE, models.MLPVAE])
def test_an_unknown_likelihood_is_refused(kind):
    with pytest.raises(ValueError, match="choose from bernoulli, gaussian"):
        kind(5, 3, 6, 2, likelihood="poisson", rngs=nnx.Rngs(0))


FORMULAS = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}


@pytest.mark.parametrize("activation", models.ACTIVATIONS)
def test_a_perceptron_is_that_of_plain_numpy(inputs, activation):
    made = models.MLP(9, 3, HIDDEN, 4, activation=activation, rngs=nnx.Rngs(2))
    arrays, formula = with_biases(made), FORMULAS[activation]
    assert arrays["read.kernel"].shape == (27, 2 * HIDDEN)
    hidden = np.asarray(inputs, np.float64).reshape(5, 27)
    for name in ("read", "read_on"):
        hidden = formula(hidden @ arrays[f"{name}.kernel"] + arrays[f"{name}.bias"])
    np.testing.assert_allclose(made.features(inputs), hidden, atol=1e-5)
    logits = hidden @ arrays["readout.kernel"] + arrays["readout.bias"]
    np.testing.assert_allclose(made(inputs), logits, atol=1e-5)


def test_logistic_regression_is_that_of_plain_numpy(inputs):
    made = models.Logistic(9, 3, 4, rngs=nnx.Rngs(2))
    arrays = with_biases(made)
    pixels = np.asarray(inputs, np.float64).reshape(5, 27)
    np.testing.assert_allclose(made.features(inputs), pixels, atol=1e-6)
    logits = pixels @ arrays["readout.kernel"] + arrays["readout.bias"]
    np.testing.assert_allclose(made(inputs), logits, atol=1e-5)


@pytest.mark.parametrize("cell", cells.CELLS)
def test_the_features_of_a_recurrent_classifier_are_its_last_state(inputs, cell):
    made = models.Classifier(3, HIDDEN, 4, cell=cell, rngs=nnx.Rngs(2))
    np.testing.assert_array_equal(made.features(inputs), made.states(inputs)[:, -1])
    np.testing.assert_allclose(made.readout(made.features(inputs)), made(inputs), atol=1e-5)


WITHOUT_TIME = {
    "MLP": models.MLP(9, 3, HIDDEN, 4, rngs=nnx.Rngs(0)),
    "Logistic": models.Logistic(9, 3, 4, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("name", WITHOUT_TIME)
def test_a_network_without_time_takes_sequences_of_one_length(as_users, inputs, name):
    message = f"sequences of 8 frames: this {name} takes 9"
    for function in (WITHOUT_TIME[name], WITHOUT_TIME[name].features):
        with pytest.raises(ValueError, match=message):
            function(inputs[:, 1:])


@pytest.mark.parametrize("activation", ["sigmoid", None, ["relu"]])
def test_an_unknown_activation_is_refused(as_users, activation):
    with pytest.raises(ValueError, match="is unknown: choose from relu, tanh"):
        models.MLP(9, 3, HIDDEN, 4, activation=activation, rngs=nnx.Rngs(0))
