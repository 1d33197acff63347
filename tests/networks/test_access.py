import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.networks import access, cells, models

FEATURE, HIDDEN = 3, 6
CONFIGS = {
    "Classifier": {"feature": FEATURE, "hidden": HIDDEN, "classes": 4, "cell": "gru"},
    "Stacked": {"feature": FEATURE, "hidden": [HIDDEN], "classes": 4, "norm": None},
    "Seq2Seq": {"feature": FEATURE, "hidden": HIDDEN, "cell": "gru", "tied": False},
    "VAE": {"frames": 5, "feature": FEATURE, "hidden": HIDDEN, "latent": 2},
    "MLPVAE": {"frames": 5, "feature": FEATURE, "hidden": HIDDEN, "latent": 2},
    "MLP": {"frames": 5, "feature": FEATURE, "hidden": HIDDEN, "classes": 4},
    "Logistic": {"frames": 5, "feature": FEATURE, "classes": 4},
}
RECURRENT = [name for name in CONFIGS if models.MODELS[name].RECURRENT]


def build(model, seed=0, **changes):
    return access.build({"model": model, **CONFIGS[model], **changes}, jax.random.key(seed))


@pytest.fixture(scope="module")
def inputs():
    return np.random.default_rng(1).normal(size=(7, 5, FEATURE)).astype(np.float32)


def test_there_is_a_config_for_each_model():
    assert set(CONFIGS) == set(models.MODELS)


@pytest.mark.parametrize("model", CONFIGS)
def test_a_network_is_made_again_from_its_config(model):
    network, direct = build(model, 3), models.MODELS[model](**CONFIGS[model], rngs=nnx.Rngs(3))
    assert type(network) is models.MODELS[model]
    assert network.config == direct.config
    assert CONFIGS[model].items() <= network.config.items()
    again = access.flatten(access.build(network.config, jax.random.key(3)))
    for name, array in access.flatten(direct).items():
        np.testing.assert_array_equal(access.flatten(network)[name], array)
        np.testing.assert_array_equal(again[name], array)
    assert json.loads(json.dumps(network.config)) == network.config


def test_sizes_from_numpy_are_plain_numbers_in_a_config(as_users):
    network = build("Classifier", hidden=np.int64(6), classes=np.int32(4))
    assert network.config == build("Classifier").config
    assert all(type(network.config[name]) is int for name in ("hidden", "classes"))


def test_arguments_with_a_default_may_be_left_out():
    config = {"model": "Seq2Seq", "feature": 2, "hidden": 3}
    found = access.build(config, jax.random.key(0)).config
    assert found == config | {"cell": "gru", "tied": True, "residual": False}


CONFIG = {"model": "Classifier", **CONFIGS["Classifier"]}

BAD_CONFIGS = {
    "no model": ({}, "model None is unknown: choose from Classifier, Stacked, Seq2Seq, VAE"),
    "an unknown model": ({"model": "RNN"}, "model 'RNN' is unknown: choose from Classifier"),
    "a list for a model": ({"model": ["VAE"]}, r"model \['VAE'\] is unknown"),
    "a missing size": ({"model": "Classifier", "feature": 3, "hidden": 2}, "missing .*'classes'"),
    "an unknown argument": (CONFIG | {"width": 3}, "unexpected keyword argument 'width'"),
    "a random source": (CONFIG | {"rngs": 3}, "does not fit it: .*'rngs'"),
    "a cell for what has none": (
        {"model": "MLPVAE", **CONFIGS["MLPVAE"], "cell": "gru"},
        "the config of a MLPVAE does not fit it: .* 'cell'",
    ),
    "an unknown cell": (CONFIG | {"cell": "rnn"}, "cell 'rnn' is unknown: choose from lstm, gru"),
    "a list for a cell": (CONFIG | {"cell": ["gru"]}, r"cell \['gru'\] is unknown"),
    "an activation of its own": (
        {"model": "MLP", **CONFIGS["MLP"], "activation": "sigmoid"},
        "activation 'sigmoid' is unknown: choose from relu, tanh",
    ),
    "no unit": (CONFIG | {"hidden": 0}, "hidden is 0: give a whole number of at least 1"),
    "a negative size": (CONFIG | {"feature": -3}, "feature is -3: give a whole number"),
    "words for a size": (CONFIG | {"hidden": "12"}, "hidden is '12': give a whole number"),
    "half a unit": (CONFIG | {"hidden": 1.5}, "hidden is 1.5: give a whole number"),
    "truth for a size": (CONFIG | {"classes": True}, "classes is True: give a whole number"),
    "nothing for a size": (CONFIG | {"classes": None}, "classes is None: give a whole number"),
    "half tied": (
        {"model": "Seq2Seq", **CONFIGS["Seq2Seq"], "tied": "no"},
        "tied is 'no': give True or False",
    ),
    "a likelihood of its own": (
        {"model": "VAE", **CONFIGS["VAE"], "likelihood": "poisson"},
        "likelihood 'poisson' is unknown: choose from bernoulli, gaussian",
    ),
}


@pytest.mark.parametrize(("config", "message"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_the_config_of_no_network_is_refused(as_users, config, message):
    with pytest.raises(ValueError, match=message):
        access.build(config, jax.random.key(0))


@pytest.mark.parametrize("model", CONFIGS)
def test_arrays_go_into_a_fresh_network_and_back(model):
    network, other = build(model), build(model, 1)
    arrays = access.flatten(other)
    assert any((array != arrays[name]).any() for name, array in access.flatten(network).items())
    access.unflatten(arrays, network)
    for name, array in access.flatten(network).items():
        assert isinstance(array, np.ndarray)
        np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature": 2}, r"'cell.dense_i.kernel' is \(2, 18\), expected \(3, 18\)"),
        ({"hidden": 5}, r"'cell.dense_h.kernel' is \(5, 15\), expected \(6, 18\)"),
        ({"classes": 5}, r"'readout.bias' is \(5,\), expected \(4,\)"),
        ({"cell": "lstm"}, r"'cell.dense_h.bias' is \(24,\), expected none"),
    ],
)
def test_arrays_of_another_network_are_refused_and_change_nothing(changes, message):
    network = build("Classifier")
    before = access.flatten(network)
    with pytest.raises(ValueError, match="the arrays do not fit the network: "):
        access.unflatten(access.flatten(build("Classifier", **changes)), network)
    for name, array in access.flatten(network).items():
        np.testing.assert_array_equal(array, before[name])
    assert cells.mismatch(before, access.flatten(build("Classifier", **changes)))


def test_arrays_with_a_missing_name_are_refused():
    network = build("Classifier")
    arrays = access.flatten(network)
    del arrays["readout.bias"]
    with pytest.raises(ValueError, match=r"'readout.bias' is missing, expected \(4,\)"):
        access.unflatten(arrays, network)


@pytest.mark.parametrize("model", ["Classifier", "Seq2Seq", "VAE"])
def test_a_readout_makes_the_outputs_of_hidden_states(model, inputs):
    network = build(model)
    network.readout.bias[...] = jnp.arange(1.0, 1 + len(network.readout.bias[...]))
    W, b = access.readout(network)
    assert W.shape == (len(b), HIDDEN)
    h = np.asarray(network.states(jnp.asarray(inputs)))
    np.testing.assert_allclose(network.readout(jnp.asarray(h)), h @ W.T + b, atol=1e-5)


def test_what_has_no_readout_is_refused(as_users):
    with pytest.raises(ValueError, match="a Linear has no readout: give one that has"):
        access.readout(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))


@pytest.mark.parametrize("model", RECURRENT)
def test_hidden_states_are_those_of_the_cell_that_reads(model, inputs):
    network = build(model)
    reader = getattr(network, network.RECURRENT[0])
    start = cells.initial_carry(network.entry, len(inputs), HIDDEN)
    expected = cells.unroll(network.entry, reader, start, jnp.asarray(inputs))
    found = access.hidden_states(network, inputs)
    assert isinstance(found, np.ndarray) and found.shape == (7, 5, HIDDEN)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(access.last_states(network, inputs), found[:, -1], atol=1e-6)


def test_hidden_states_are_those_of_the_cell_as_it_stands_now(monkeypatch, inputs):
    """A notebook changes its cell and runs again under the same name."""
    found = []
    for rate in (0.2, 0.8):
        step = lambda p, h, x, rate=rate: rate * h + x @ p["dense_i.kernel"]  # noqa: E731
        monkeypatch.setitem(cells.CELLS, "toy", cells.gated(("h",), step))
        found.append(access.hidden_states(build("Classifier", cell="toy"), inputs))
    np.testing.assert_array_equal(found[0][:, 0], found[1][:, 0])
    assert np.abs(found[0][:, 1:] - found[1][:, 1:]).max() > 0.1


@pytest.mark.parametrize("function", [access.hidden_states, access.last_states])
@pytest.mark.parametrize("shape", [(7, 5, 2), (5, FEATURE), (0, 5, FEATURE), (7, 0, FEATURE)])
def test_sequences_that_do_not_fit_are_refused(as_users, function, shape):
    with pytest.raises(ValueError, match=r"inputs have shape .*: give \(sample, time, 3\)"):
        function(build("VAE"), np.zeros(shape, np.float32))


@pytest.mark.parametrize("model", [name for name in CONFIGS if name not in RECURRENT])
def test_what_is_not_recurrent_has_no_hidden_states(model, inputs):
    message = f"a {model} has no hidden states: give a recurrent"
    with pytest.raises(ValueError, match=message):
        access.hidden_states(build(model), inputs)
    with pytest.raises(ValueError, match=message):
        build(model).states(jnp.asarray(inputs))
    with pytest.raises(ValueError, match="a MLPVAE has no hidden states: give a recurrent"):
        access.last_states(build("MLPVAE"), inputs)


@pytest.mark.parametrize("model", [name for name in CONFIGS if "classes" in CONFIGS[name]])
def test_the_last_states_of_a_classifier_are_what_its_readout_reads(model, inputs):
    network = build(model)
    network.readout.bias[...] = jnp.arange(4.0)
    W, b = access.readout(network)
    states = access.last_states(network, inputs)
    assert isinstance(states, np.ndarray) and states.shape == (7, W.shape[1])
    np.testing.assert_allclose(states @ W.T + b, network(jnp.asarray(inputs)), atol=1e-5)


@pytest.mark.parametrize("model", ["MLP", "Logistic"])
def test_what_takes_one_length_refuses_another(as_users, model, inputs):
    with pytest.raises(ValueError, match=f"sequences of 4 frames: this {model} takes 5"):
        access.last_states(build(model), inputs[:, 1:])


@pytest.mark.parametrize("model", RECURRENT)
def test_matrices_are_those_of_the_named_cell(model):
    network = build(model)
    for where in network.RECURRENT:
        arrays = cells.parameters(getattr(network, where))
        expected = network.entry.matrices(arrays)
        found = access.matrices(network, where)
        assert list(found) == list(expected)
        for name, matrix in found.items():
            assert isinstance(matrix, np.ndarray)
            np.testing.assert_array_equal(matrix, expected[name])


@pytest.mark.parametrize("model", RECURRENT)
def test_a_network_with_other_matrices_is_another_and_leaves_the_first(model, inputs):
    network, donor = build(model), build(model, 1)
    before = access.flatten(network)
    for where in network.RECURRENT:
        wanted = access.matrices(donor, where)
        changed = access.with_matrices(network, wanted, where)
        for name, matrix in access.matrices(changed, where).items():
            np.testing.assert_array_equal(matrix, wanted[name])
        for name, array in access.flatten(changed).items():
            moved = name.startswith(f"{where}.") and name.endswith("kernel")
            expected = access.flatten(donor)[name] if moved else before[name]
            np.testing.assert_array_equal(array, expected)
        same = access.with_matrices(changed, access.matrices(network, where), where)
        for name, array in access.flatten(same).items():
            np.testing.assert_array_equal(array, before[name])
    for name, array in access.flatten(network).items():
        np.testing.assert_array_equal(array, before[name])


def test_cut_matrices_change_what_the_network_does(inputs):
    network = build("Classifier")
    cut = access.matrices(network) | {"recurrent z": np.zeros((HIDDEN, HIDDEN))}
    changed = access.with_matrices(network, cut)
    found, before = (access.hidden_states(n, inputs) for n in (changed, network))
    np.testing.assert_array_equal(found[:, 0], before[:, 0])
    assert np.abs(found[:, 1:] - before[:, 1:]).max() > 1e-3


def test_a_tied_network_has_one_cell_whatever_it_is_called(inputs):
    network, donor = (build("Seq2Seq", seed, tied=True) for seed in (0, 1))
    wanted = access.matrices(donor)
    changed = access.with_matrices(network, wanted, "encoder")
    for where in (None, "encoder", "decoder"):
        for name, matrix in access.matrices(changed, where).items():
            np.testing.assert_array_equal(matrix, wanted[name])
    assert changed.encoder is changed.decoder


def bare(name, monkeypatch):
    """A network whose cell can be run, and nothing else."""
    entry = cells.find("gru")
    monkeypatch.setitem(cells.CELLS, name, cells.Cell(entry.make, entry.step))
    return build("Classifier", cell=name)


def test_a_cell_without_matrices_is_run_but_has_none(monkeypatch, inputs):
    network = bare("bare", monkeypatch)
    expected = access.hidden_states(build("Classifier"), inputs)
    np.testing.assert_array_equal(access.hidden_states(network, inputs), expected)
    with pytest.raises(ValueError, match="cell 'bare' has no matrices by gate: give a network"):
        access.matrices(network)
    with pytest.raises(ValueError, match="cell 'bare' has no matrices by gate: give a network"):
        access.with_matrices(network, access.matrices(build("Classifier")))


BAD_CELLS = {
    "two, and none named": ("VAE", None, "a VAE has no cell None: choose from encoder, decoder"),
    "another name": ("Seq2Seq", "cell", "a Seq2Seq has no cell 'cell': choose from encoder"),
    "the layer after it": ("Classifier", "readout", "no cell 'readout': choose from cell"),
    "none at all": ("MLPVAE", None, "a MLPVAE has no recurrent cell: give a network that has"),
}


@pytest.mark.parametrize(("model", "where", "message"), BAD_CELLS.values(), ids=BAD_CELLS)
def test_a_cell_that_is_not_there_is_refused(model, where, message):
    for call in (access.matrices, lambda n, w: access.with_matrices(n, {}, w)):
        with pytest.raises(ValueError, match=message):
            call(build(model), where)


def test_matrices_that_do_not_fit_leave_the_network_as_it_is():
    network = build("Classifier")
    before = access.flatten(network)
    wrong = access.matrices(build("Classifier", cell="lstm"))
    with pytest.raises(ValueError, match="the matrices do not fit the cell: 'input r' is missing"):
        access.with_matrices(network, wrong)
    for name, array in access.flatten(network).items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("model", CONFIGS)
def test_a_shuffled_network_has_the_same_numbers_in_other_places(model):
    network = build(model)
    before = access.flatten(network)
    other = access.flatten(access.shuffled(network, np.random.default_rng(0)))
    for name, array in access.flatten(network).items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(np.sort(other[name], axis=None), np.sort(array, axis=None))
    assert any(not np.array_equal(other[name], array) for name, array in before.items())
