"""Whatever a cell's entry allows works for it: also for one that the library does not know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnatomy.analysis import cutoffs, pod, ranks, svd
from rnnatomy.networks import access, cells, predictors, runs, training, vae

FRAMES, FEATURE, HIDDEN, CLASSES = 5, 3, 6, 4
RECIPE = training.Recipe(epochs=2, batch=8, learning_rate=0.02)
SEED = 5


def leaky(p, h, x):
    read = x @ p["dense_i.kernel"] + p["dense_i.bias"][None] + h @ p["dense_h.kernel"]
    return 0.8 * h + 0.2 * read


def toy():
    """A leaky integrator: states without bound, one gate, no memory beside the hidden state."""
    matrices, with_matrices = cells.kernel_matrices(("h",))
    return cells.Cell(
        make=lambda feature, hidden, rngs: cells.Kernels(feature, hidden, 1, rngs=rngs),
        step=leaky,
        gates=("h",),
        matrices=matrices,
        with_matrices=with_matrices,
    )


@pytest.fixture(params=[*cells.CELLS, "toy"])
def cell(request, monkeypatch):
    if request.param == "toy":
        monkeypatch.setitem(cells.CELLS, "toy", toy())
    return request.param


@pytest.fixture(scope="module")
def sequences():
    """Four kinds of sequences, grey values in [0, 1], and their kinds."""
    rng = np.random.default_rng(0)
    labels = np.arange(24, dtype=np.int32) % CLASSES
    noise = rng.random((24, FRAMES, FEATURE)) / 5
    return (noise + labels[:, None, None] / 5).astype(np.float32), labels


def saved_and_loaded(network, folder, **stored):
    arrays = access.flatten(network)
    run = runs.Run("a-0", network.config, arrays, {}, {"seed": SEED}, **stored)
    runs.save_run(folder / "a-0", run)
    return runs.load_run(str(folder / "a-0"), network.config["model"])


def assert_is_untrained(run, network):
    fresh = access.flatten(access.build(network.config, jax.random.key(SEED)))
    for name, array in access.flatten(runs.untrained(run)).items():
        np.testing.assert_array_equal(array, fresh[name])
    assert any((array != fresh[name]).any() for name, array in access.flatten(network).items())


def assert_can_be_cut(network, where):
    """Matrices of each gate are decomposed, cut to rank one, and put back."""
    matrices = access.matrices(network, where)
    assert {name.split()[1] for name in matrices} == set(network.entry.gates)
    parts = ranks.decompose(matrices)
    assert all(1 <= ranks.effective_rank(part.s) <= HIDDEN for part in parts.values())
    name = next(iter(matrices))
    cut = ranks.low_rank(parts, {name: 1})
    changed = access.matrices(access.with_matrices(network, cut, where), where)
    assert np.linalg.matrix_rank(changed[name], tol=1e-4) == 1
    for other in set(matrices) - {name}:
        np.testing.assert_allclose(changed[other], matrices[other], atol=1e-6)


def assert_has_modes(states):
    basis = pod.pod(states, centred=True)
    assert 1 <= pod.modes_for(basis, 0.9) <= HIDDEN


def test_a_classifier_with_any_cell(cell, sequences, tmp_path):
    inputs, labels = sequences
    config = {"model": "Classifier", "feature": FEATURE, "hidden": HIDDEN, "classes": CLASSES}
    fitted = training.fit(
        lambda key: access.build(config | {"cell": cell}, key),
        training.cross_entropy,
        (inputs, labels),
        RECIPE._replace(epochs=6),
        jax.random.key(SEED),
    )
    assert fitted.history["loss"][-1] < fitted.history["loss"][0]
    network = training.member(fitted, 0)
    states = access.last_states(network, inputs)
    run = saved_and_loaded(network, tmp_path, states=states, labels=labels)
    again = runs.restore(run)
    assert again.config == network.config == config | {"cell": cell}
    np.testing.assert_array_equal(access.hidden_states(again, inputs)[:, -1], states)
    np.testing.assert_allclose(run.states, states, atol=1 / 254 + 1e-7)
    assert_is_untrained(run, network)
    W, b = access.readout(again)
    found = cutoffs.cutoffs(svd.svd(W), b, states, labels)
    expected = cutoffs.recall(np.asarray(again(jnp.asarray(inputs))), labels)
    np.testing.assert_array_equal(found.nested[-1], expected)
    assert_can_be_cut(again, None)
    assert_has_modes(access.hidden_states(again, inputs))


# two cells of the library stand for all where only the model around them differs
@pytest.mark.parametrize("cell", ["lstm", "gru-before", "toy"], indirect=True)
def test_a_predictor_with_any_cell(cell, sequences, tmp_path):
    inputs = sequences[0]
    part = predictors.Examples(inputs[:, :3], inputs[:, 3:])
    create = predictors.seq2seq(FEATURE, HIDDEN, cell=cell, tied=False)
    fitted = training.fit(create, training.squared_error, tuple(part), RECIPE, jax.random.key(SEED))
    network = training.member(fitted, 0)
    path = predictors.trajectory(network, part.inputs, 4)
    run = saved_and_loaded(network, tmp_path)
    again = runs.restore(run)
    for one, other in zip(predictors.trajectory(again, part.inputs, 4), path, strict=True):
        np.testing.assert_array_equal(one, other)
    assert_is_untrained(run, network)
    np.testing.assert_allclose(
        access.hidden_states(again, part.inputs)[:, :-1], path.encoder, atol=1e-6
    )
    assert access.readout(again).W.shape == (FEATURE, HIDDEN)
    for where in ("encoder", "decoder"):
        assert_can_be_cut(again, where)
    assert_has_modes(path.decoder)


@pytest.mark.parametrize("cell", ["lstm", "toy"], indirect=True)
def test_an_autoencoder_with_any_cell(cell, sequences, tmp_path):
    inputs = sequences[0]
    config = {"model": "VAE", "frames": FRAMES, "feature": FEATURE, "hidden": HIDDEN, "latent": 2}
    fitted = training.fit(
        lambda key: access.build(config | {"cell": cell}, key),
        vae.loss(vae.Objective()),
        inputs,
        RECIPE,
        jax.random.key(SEED),
    )
    network = training.member(fitted, 0)
    run = saved_and_loaded(network, tmp_path)
    again = runs.restore(run)
    drawn = vae.reconstruct(again, inputs)
    np.testing.assert_array_equal(drawn, vae.reconstruct(network, inputs))
    assert_is_untrained(run, network)
    for where in ("encoder", "decoder"):
        assert_can_be_cut(again, where)
    posterior = vae.posterior(again, inputs)
    assert_has_modes(np.asarray(again.drawing(posterior.mean)))
    last = access.last_states(again, inputs)
    mean = last @ np.asarray(again.posterior.kernel[...])[:, :2]
    mean += np.asarray(again.posterior.bias[...])[:2]
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-5)
