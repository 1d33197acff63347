import json
import shutil

import hostile
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnatomy.networks import access, cells, models, runs, training
from rnnatomy.store import checkout, disk, results

states_in_range = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(-1, 1, width=32)
)
NETWORKS = {
    "Classifier": {"feature": 3, "hidden": 4, "classes": 5, "cell": "gru"},
    "Stacked": {"feature": 3, "hidden": [4, 5], "classes": 5, "both_ways": True, "norm": 1e-5},
    "Seq2Seq": {"feature": 3, "hidden": 4, "cell": "lstm", "tied": False, "residual": True},
    "VAE": {"frames": 6, "feature": 3, "hidden": 4, "latent": 2, "likelihood": "gaussian"},
    "MLPVAE": {"frames": 6, "feature": 3, "hidden": 4, "latent": 2},
    "MLP": {"frames": 6, "feature": 3, "hidden": 4, "classes": 5, "activation": "tanh"},
    "Logistic": {"frames": 6, "feature": 3, "classes": 5},
}


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    model = models.Classifier(3, 4, 5, rngs=nnx.Rngs(0))
    return runs.Run(
        name="toy-0",
        config=model.config,
        parameters=access.flatten(model),
        metrics={"test_accuracy": 0.5},
        provenance={"seed": 0},
        states=np.tanh(rng.normal(size=(20, 4))).astype(np.float32),
        labels=np.arange(20, dtype=np.int32) % 5,
    )


@pytest.fixture
def folder(root, run):
    folder = root / "results" / run.name
    runs.save_run(folder, run)
    return folder


def assert_same(arrays, expected):
    assert arrays.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_a_run_comes_back_as_it_was_saved(folder, run):
    found = runs.load_run("toy-0")
    assert found[:2] + found[3:5] == run[:2] + run[3:5]
    assert_same(found.parameters, run.parameters)
    np.testing.assert_array_equal(found.labels, run.labels)
    assert np.abs(found.states - run.states).max() <= 1 / 254


def test_a_run_reads_its_states_as_its_network_does(run):
    assert run.readout.shape == (5, 4) and run.bias.shape == (5,)
    expected = runs.restore(run).readout(jax.numpy.asarray(run.states))
    np.testing.assert_allclose(run.logits, expected, atol=1e-6)


def test_a_run_is_found_by_name_by_path_and_first_among_those_made_here(folder, run, root):
    assert runs.load_run(str(folder)).metrics["test_accuracy"] == 0.5
    runs.save_run(root / "build" / "runs" / "toy-0", run._replace(metrics={"test_accuracy": 0.7}))
    assert runs.load_run("toy-0").metrics["test_accuracy"] == 0.7


def test_a_path_needs_no_book(folder, run, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", None)
    assert runs.load_run(str(folder)).metrics == run.metrics
    with pytest.raises(checkout.CheckoutError, match="installed without its book"):
        runs.load_run("toy-0")


def test_a_run_without_states_comes_back_without(root, run):
    runs.save_run(root / "results" / "bare-0", run._replace(states=None, labels=None))
    found = runs.load_run("bare-0")
    assert found.states is None and found.labels is None


def test_saving_again_replaces_the_run(folder, run):
    runs.save_run(folder, run._replace(metrics={"test_accuracy": 1.0}))
    assert runs.load_run("toy-0").metrics == {"test_accuracy": 1.0}
    files = {path.name for path in folder.iterdir()}
    assert files == {"run.json", "parameters.safetensors", "states.safetensors"}


@given(states_in_range)
def test_quantising_errs_by_half_a_level_at_most(states):
    levels = runs.quantise(states)
    assert levels.dtype == np.int8
    assert np.abs(runs.dequantise(levels) - states).max() <= 1 / 254 + 1e-7


@given(hnp.arrays(np.int8, hnp.array_shapes(), elements=st.integers(-127, 127)))
def test_quantising_again_changes_nothing(levels):
    np.testing.assert_array_equal(runs.quantise(runs.dequantise(levels)), levels)


def test_states_beyond_one_come_back_as_they_are(root, run):
    """A cell without a tanh at its end may have them; 1.5 is no whole number of 1/127 in a byte."""
    wide = run._replace(states=run.states + 1.5)
    runs.save_run(root / "results" / "wide-0", wide)
    np.testing.assert_array_equal(runs.load_run("wide-0").states, wide.states)


def test_labels_beyond_a_byte_come_back_as_they_are(root):
    model = models.Classifier(3, 4, 300, rngs=nnx.Rngs(0))
    labels = np.arange(300, dtype=np.int32)
    states = np.zeros((300, 4), np.float32)
    run = runs.Run("many-0", model.config, access.flatten(model), {}, {}, states, labels)
    runs.save_run(root / "results" / "many-0", run)
    np.testing.assert_array_equal(runs.load_run("many-0").labels, labels)


def tamper(folder):
    content = bytearray((folder / "parameters.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "parameters.safetensors").write_bytes(content)


def rewrite(**facts):
    def change(folder):
        document = json.loads((folder / "run.json").read_text()) | facts
        document = {name: value for name, value in document.items() if value is not None}
        (folder / "run.json").write_text(json.dumps(document))

    return change


OLD = {"config": None, "kind": "LSTMClassifier"}
CONFIG = {"model": "Classifier", "feature": 3, "hidden": 4, "classes": 5, "cell": "lstm"}
DAMAGE = {
    "one bit": (tamper, "parameters.safetensors is damaged: expected sha256 .* found .*restore"),
    "a missing file": (
        lambda folder: (folder / "states.safetensors").unlink(),
        "states.safetensors is missing: restore",
    ),
    "a list for a manifest": (
        lambda folder: (folder / "run.json").write_text("[1]"),
        "run.json is not a manifest of format 1",
    ),
    "a later format": (rewrite(format=2), "run.json is not a manifest of format 1"),
    "a class in place of a config": (
        rewrite(**OLD),
        "run.json is of an older version, without 'config': restore it",
    ),
    "no metrics": (rewrite(metrics=None), "of an older version, without 'metrics'"),
    "words for a config": (rewrite(config="LSTM"), "'config' is no table; restore the run"),
    "words for metrics": (rewrite(metrics="good"), "'metrics' is no table; restore the run"),
    "no model": (rewrite(config={"hidden": 4}), "holds a None, not a Classifier"),
    "an unknown cell": (
        rewrite(config=CONFIG | {"cell": "rnn"}),
        "run 'toy-0' has the config of no network: cell 'rnn' is unknown: choose from lstm",
    ),
    "a list for a cell": (rewrite(config=CONFIG | {"cell": ["gru"]}), "config of no network"),
    "a missing size": (
        rewrite(config={"model": "Classifier", "hidden": 4}),
        "'toy-0' has the config of no network: .* missing .*'feature'",
    ),
    "an unknown size": (rewrite(config=CONFIG | {"width": 3}), "unexpected .* 'width'"),
    "words for a size": (rewrite(config=CONFIG | {"hidden": "4"}), "hidden is '4': give a whole"),
    "no unit": (rewrite(config=CONFIG | {"hidden": 0}), "hidden is 0: give a whole number"),
    "another size": (
        rewrite(config=CONFIG | {"hidden": 5}),
        r"'toy-0' does not fit its config: 'cell.dense_h.bias' is \(16,\), expected \(20,\)",
    ),
    "another cell": (
        rewrite(config=CONFIG | {"cell": "gru"}),
        r"does not fit its config: 'cell.dense_h.kernel' is \(4, 16\), expected \(4, 12\)",
    ),
    "fewer classes": (rewrite(config=CONFIG | {"classes": 4}), "'readout.bias' is .*; restore it"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_is_refused(as_users, folder, damage, message):
    damage(folder)
    with pytest.raises(disk.StoreError, match=message):
        runs.load_run("toy-0")


def changed(run, name, array):
    arrays = {key: a for key, a in run.parameters.items() if key != name}
    return run._replace(parameters=arrays if array is None else arrays | {name: array})


NAN = np.full((4, 5), np.nan, np.float32)
BAD = {
    "a missing array": (
        lambda run: changed(run, "readout.bias", None),
        r"'toy-0' does not fit its config: 'readout.bias' is missing, expected \(5,\)",
    ),
    "an array too many": (
        lambda run: changed(run, "extra", np.zeros(2, np.float32)),
        r"'extra' is \(2,\), expected none",
    ),
    "another shape": (
        lambda run: changed(run, "readout.kernel", NAN[:3]),
        r"'readout.kernel' is \(3, 5\), expected \(4, 5\)",
    ),
    "NaN": (
        lambda run: changed(run, "readout.kernel", NAN),
        "'readout.kernel' holds other than finite real numbers",
    ),
    "infinity": (
        lambda run: changed(run, "readout.bias", np.full(5, np.inf, np.float32)),
        "'readout.bias' holds other than finite",
    ),
    "whole numbers": (
        lambda run: changed(run, "readout.bias", np.zeros(5, np.int32)),
        "'readout.bias' holds other than finite real numbers",
    ),
    "fewer labels": (
        lambda run: run._replace(labels=run.labels[:-1]),
        r"states of shape \(20, 4\) for labels of shape \(19,\): expected \(19, 4\)",
    ),
    "states of another width": (
        lambda run: run._replace(states=run.states[:, 1:]),
        r"states of shape \(20, 3\) .* expected \(20, 4\)",
    ),
    "labels in rows": (
        lambda run: run._replace(labels=run.labels[:, None]),
        r"labels of shape \(20, 1\)",
    ),
    "fractions for labels": (
        lambda run: run._replace(labels=run.labels + 0.5),
        "for whole numbers",
    ),
    "a label below": (
        lambda run: run._replace(labels=run.labels - 1),
        "labels from -1 to 3: its network has 5 classes",
    ),
    "a label above": (
        lambda run: run._replace(labels=run.labels + 1),
        "labels from 1 to 5: its network has 5 classes",
    ),
    "states that are NaN": (
        lambda run: run._replace(states=run.states * np.nan),
        "'states' holds other than finite real numbers",
    ),
    "a class for a config": (
        lambda run: run._replace(config="LSTMClassifier"),
        "'toy-0' has the config of no network: 'LSTMClassifier' is no table",
    ),
    "states without labels": (lambda run: run._replace(labels=None), "states without labels"),
    "labels without states": (lambda run: run._replace(states=None), "labels without states"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD)
def test_arrays_that_do_not_fit_the_config_are_refused(as_users, root, run, change, message):
    for function in (
        runs.restore,
        runs.untrained,
        lambda wrong: runs.save_run(root / "toy-0", wrong),
    ):
        with pytest.raises(disk.StoreError, match=message):
            function(change(run))
    assert not (root / "toy-0").exists()


def test_a_run_of_another_model_is_refused(folder):
    with pytest.raises(disk.StoreError, match="'toy-0' holds a Classifier, not a Seq2Seq"):
        runs.load_run("toy-0", model="Seq2Seq")


def test_an_unknown_name_is_answered_with_the_known_ones(folder, run):
    runs.save_run(folder.parent / "toy-1", run)
    with pytest.raises(disk.StoreError, match="'toy-9' is missing: choose one of toy-0, toy-1"):
        runs.load_run("toy-9")


def test_an_unknown_name_is_answered_where_nothing_is_published(root):
    with pytest.raises(disk.StoreError, match="choose one of none"):
        runs.load_run("toy-9")


def test_runs_are_published_in_the_order_of_their_seeds(root):
    for name in ("b-2", "a-10", "a-2", "a-0", "a-1"):
        (root / "results" / name).mkdir(parents=True)
        (root / "results" / name / "run.json").write_text("{}")
    (root / "results" / "a-3").mkdir()
    assert runs.published() == ["a-0", "a-1", "a-2", "a-10", "b-2"]
    assert runs.published("a-") == ["a-0", "a-1", "a-2", "a-10"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_save_that_fails_midway_leaves_the_last(folder, run, fail_write, number):
    fail_write(number)
    changed = {name: array + 1 for name, array in run.parameters.items()}
    with pytest.raises(disk.StoreError, match=r"cannot be written .*no space left.*: make room"):
        runs.save_run(folder, run._replace(parameters=changed, metrics={}))
    found = runs.load_run("toy-0")
    assert found.metrics == run.metrics
    assert_same(found.parameters, run.parameters)


@pytest.mark.parametrize(
    "name", ["x" * 300, "a/" + "x" * 300, "a\0b", "results/toy-0/run.json", "/dev/null"]
)
def test_a_name_that_no_run_can_have_is_missing(folder, name):
    with pytest.raises(disk.StoreError, match="is missing: choose one of toy-0, or the") as caught:
        runs.load_run(name)
    assert len(str(caught.value)) < 200


def test_where_no_run_can_be_written_is_one_sentence(root, run):
    (root / "file").write_text("")
    for name in ("x" * 300, "file", "file/below"):
        with pytest.raises(disk.StoreError, match=r"run\.json cannot be written \([A-Z].*: make"):
            runs.save_run(root / name, run)


def test_what_is_in_the_way_of_a_run_is_named(folder, run):
    shutil.rmtree(folder)
    (folder / "run.json").mkdir(parents=True)
    with pytest.raises(disk.StoreError, match="'toy-0' is missing"):
        runs.load_run("toy-0")
    with pytest.raises(disk.StoreError, match=r"run\.json cannot be written \(Is a directory\)"):
        runs.save_run(folder, run)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_an_editor_does_to_a_run_it_is_read_or_refused(as_users, folder, run, data):
    hostile.edit_and_load(folder / "run.json", data, lambda: runs.load_run("toy-0"))


@pytest.mark.parametrize("size", [0, -1, 0.5, True, None, "4", [4], 2**31, 2**63, 10**30])
@pytest.mark.parametrize("model", NETWORKS)
def test_a_size_of_no_network_is_refused(as_users, model, size):
    for name, value in NETWORKS[model].items():
        if isinstance(value, int) and not isinstance(value, bool):
            config = {"model": model} | NETWORKS[model] | {name: size}
            with pytest.raises(
                disk.StoreError, match=r"'toy-0' (has the config of no|does not fit)"
            ):
                runs.check_run(runs.Run("toy-0", config, {}, {}, {}))


STATES = {
    "fractions for labels": {"labels": np.arange(20) % 5 + 0.5},
    "labels that would wrap around": {"labels": np.arange(20) % 5 + 2**32},
    "true and false for states": {"states": np.zeros((20, 4), bool)},
    "complex states": {"states": np.zeros((20, 4), np.complex64)},
    "states without labels": {"labels": None},
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_stored_states_that_are_none_are_refused(as_users, folder, run, change):
    arrays = {"states": run.states, "labels": run.labels} | change
    arrays = {name: array for name, array in arrays.items() if array is not None}
    facts = {"config": run.config, "metrics": {}, "provenance": {}}
    stored = {"parameters.safetensors": run.parameters, "states.safetensors": arrays}
    disk.save_folder(folder / "run.json", stored, facts)
    with pytest.raises(disk.StoreError, match="run 'toy-0'"):
        runs.load_run("toy-0")


def test_a_study_is_not_listed_among_runs(folder, root):
    data = results.dataset({"accuracy": np.zeros(3)}, {"accuracy": ("seed",)})
    results.save_study(root / "results" / "toy", results.Study("toy", data, {}))
    assert runs.published() == ["toy-0"]
    with pytest.raises(disk.StoreError, match="'toy' is missing: choose one of toy-0, or"):
        runs.load_run("toy")
    with pytest.raises(
        disk.StoreError, match="study 'toy-0' is missing: choose one of toy, or make"
    ):
        results.load_study("toy-0")


def stored(model, folder):
    """A run of any model, and its network."""
    network = access.build({"model": model, **NETWORKS[model]}, jax.random.key(3))
    run = runs.Run(f"{model}-3", network.config, access.flatten(network), {}, {"seed": 7})
    runs.save_run(folder / run.name, run)
    return network, runs.load_run(str(folder / run.name), model)


def test_there_is_a_network_of_each_model():
    assert set(NETWORKS) == set(models.MODELS)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_of_any_model_is_restored(model, tmp_path):
    network, run = stored(model, tmp_path)
    assert run.config == network.config
    again = runs.restore(run)
    assert type(again) is type(network) and again.config == network.config
    assert_same(access.flatten(again), access.flatten(network))


@pytest.mark.parametrize("model", [name for name in NETWORKS if "classes" in NETWORKS[name]])
def test_the_states_of_any_classifier_are_kept_with_it(model, tmp_path):
    network, run = stored(model, tmp_path)
    images = np.random.default_rng(0).uniform(size=(20, 6, 3)).astype(np.float32)
    labels = np.arange(20, dtype=np.int32) % 5
    full = run._replace(states=access.last_states(network, images), labels=labels)
    runs.save_run(tmp_path / run.name, full)
    found = runs.load_run(str(tmp_path / run.name), model)
    np.testing.assert_allclose(found.logits, network(jnp.asarray(images)), atol=0.05)
    for states in (full.states[:, 1:], full.states[1:]):
        with pytest.raises(disk.StoreError, match=r"restore|expected \(20, "):
            runs.save_run(tmp_path / "other", full._replace(states=states))


def stay(model, batch, moment):
    return 0 * sum(leaf.sum() for leaf in jax.tree.leaves(nnx.state(model)))


@pytest.mark.parametrize("model", NETWORKS)
def test_untrained_is_the_network_that_training_started_from_bit_for_bit(model, tmp_path):
    network, run = stored(model, tmp_path)
    # a training in which nothing moves ends where it started
    recipe = training.Recipe(epochs=1, batch=4, weight_decay=0.0)
    keys = jax.vmap(jax.random.key)(np.array([6, 7]))
    data = np.zeros((4, 1), np.float32)
    fitted = training.fit_ensemble(
        lambda key: access.build(run.config, key), stay, data, recipe, keys
    )
    fresh = runs.untrained(run)
    assert type(fresh) is type(network) and fresh.config == network.config
    assert_same(access.flatten(fresh), access.flatten(training.member(fitted, 1)))
    assert any(
        (array != access.flatten(network)[name]).any()
        for name, array in access.flatten(fresh).items()
    )


@pytest.mark.parametrize("provenance", [{}, {"seed": None}, {"seed": "3"}, {"seed": 0.5}])
def test_a_run_without_a_seed_has_no_network_before_training(run, provenance):
    with pytest.raises(disk.StoreError, match="run 'toy-0' tells no seed: give one that does"):
        runs.untrained(run._replace(provenance=provenance))


def test_the_cell_of_a_run_is_that_of_the_library_as_it_stands_now(run, monkeypatch):
    """A notebook changes its cell, to one with other arrays, under the same name."""
    for gates in (1, 2):
        entry = cells.gated(tuple("ab"[:gates]), lambda p, h, x: h)
        monkeypatch.setitem(cells.CELLS, "toy", entry)
        network = access.build(run.config | {"cell": "toy"}, jax.random.key(0))
        toy = runs.Run("toy-1", network.config, access.flatten(network), {}, {})
        assert_same(access.flatten(runs.restore(toy)), toy.parameters)
