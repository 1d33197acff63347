import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import collapse, controls, cutoffs, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, runs, training
from rnnatomy.store import checkout
from rnnatomy.studies import classifiers, engine

SEEDS = (3, 11)


def train(small, folder):
    return classifiers.train_classifiers(
        small, SEEDS, tiny.RECIPE, folder, "digits", hidden=tiny.WIDTH
    )


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkout, "ROOT", root)
        return train(small, root / "results"), root


def test_each_seed_becomes_a_run_that_loads_again(trained, monkeypatch):
    saved, root = trained
    monkeypatch.setattr(checkout, "ROOT", root)
    assert runs.published() == ["digits-3", "digits-11"] == [run.name for run in saved]
    for run in saved:
        for name, array in runs.load_run(run.name).parameters.items():
            np.testing.assert_array_equal(array, run.parameters[name])
    assert (saved[0].readout != saved[1].readout).any()


def test_metrics_are_those_of_the_saved_parameters_and_states(trained, small):
    for run in trained[0]:
        model = runs.restore(run)
        found = np.asarray(model(jnp.asarray(small.test.images)))
        recall = cutoffs.recall(found, small.test.labels)
        np.testing.assert_allclose(run.metrics["test_recall"], recall, atol=1e-6)
        accuracy = (found.argmax(axis=1) == small.test.labels).mean()
        assert run.metrics["test_accuracy"] == pytest.approx(accuracy)
        stored = cutoffs.recall(run.logits, run.labels)
        error = np.abs(stored - recall).max()
        assert run.metrics["stored_recall_error"] == pytest.approx(error, abs=1e-6)
        last = model.states(jnp.asarray(small.test.images))[:, -1]
        np.testing.assert_allclose(run.states, last, atol=1 / 250)
        np.testing.assert_array_equal(run.labels, small.test.labels)


def test_the_history_has_one_entry_per_epoch_and_ends_with_the_saved_network(trained, small):
    images, labels = (jnp.asarray(part) for part in small.validation)
    for run in trained[0]:
        history = run.metrics["history"]
        assert set(history) == {"loss", "accuracy", "cross_entropy"}
        assert {len(values) for values in history.values()} == {tiny.RECIPE.epochs}
        for name, value in training.evaluate(runs.restore(run), images, labels).items():
            assert history[name][-1] == pytest.approx(float(value), abs=1e-5)


def test_provenance_is_complete(trained, small):
    for run, seed in zip(trained[0], SEEDS, strict=True):
        found = run.provenance
        assert found["seed"] == seed and found["networks"] == 2 and found["hidden"] == tiny.WIDTH
        assert found["recipe"] == tiny.RECIPE._asdict()
        assert found["data"] == "digits" and found["data_sha256"] == small.checksum
        assert found["wall_seconds"] > 0 and found["command"]
        assert {"commit", "versions", "device", "cores", "system"} <= found.keys()


def test_each_network_gets_the_key_of_its_seed(small, tmp_path, monkeypatch):
    def record(create, loss, train, recipe, keys, **_):
        seeds = [jax.random.key(seed) for seed in SEEDS]
        assert keys.shape == (2,) and all(keys == jax.numpy.stack(seeds))
        np.testing.assert_array_equal(train[0], small.train.images)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit_ensemble", record)
    with pytest.raises(KeyboardInterrupt):
        train(small, tmp_path)


def test_a_stopped_study_goes_on_to_the_same_bits(trained, small, tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    told = []

    def interrupt(epoch):
        told.append(epoch.number)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(classifiers, "print_epoch", interrupt)
        train(small, tmp_path / "results")
    assert told == [1] and not (tmp_path / "results").exists()
    monkeypatch.setattr(classifiers, "print_epoch", lambda epoch: told.append(epoch.number))
    for run, whole in zip(train(small, tmp_path / "results"), trained[0], strict=True):
        assert run.metrics == whole.metrics
        for name, array in run.parameters.items():
            np.testing.assert_array_equal(array, whole.parameters[name])
    assert told == [1, 2]
    assert not list((tmp_path / "build").rglob("*.safetensors"))


def test_an_untrained_run_has_the_parameters_that_training_began_with(trained, small):
    create = classifiers.classifier(small, hidden=tiny.WIDTH)
    for run, seed in zip(trained[0], SEEDS, strict=True):
        fresh = access.flatten(runs.untrained(run))
        expected = access.flatten(create(jax.random.key(seed)))
        assert fresh.keys() == expected.keys() == run.parameters.keys()
        for name, array in fresh.items():
            np.testing.assert_allclose(array, expected[name], atol=1e-6)
        assert (fresh["readout.kernel"] != run.parameters["readout.kernel"]).any()


def test_an_epoch_is_told_in_one_line(capsys):
    accuracy = {"accuracy": np.float32([0.5, 0.7]), "cross_entropy": np.float32([1, 1])}
    epoch = training.Epoch(2, 10, np.float32([1.0, 2.0]), accuracy, 4.4, 75.0)
    classifiers.print_epoch(epoch)
    expected = "epoch   2/10  loss 1.5000  validation accuracy 0.6000  4 s  left 1 min 15 s\n"
    assert capsys.readouterr().out == expected


UNFIT = {
    "another recipe": {"recipe": tiny.RECIPE._replace(weight_decay=0.5)},
    "another width": {"hidden": 12},
    "fewer samples": {"samples": 100},
}


@pytest.fixture
def seeds(many, small, tmp_path, monkeypatch):
    """Train what is not there, beside a copy of the small study, and return the seeds trained."""
    shutil.copytree(many.root, tmp_path, dirs_exist_ok=True)
    tiny.patch_study(monkeypatch, small, tmp_path)
    wanted, fit = [], classifiers.fit_classifiers

    def record(data, seeds, *rest, **options):
        wanted.extend(seeds)
        return fit(data, seeds, *rest, **options)

    monkeypatch.setattr(classifiers, "fit_classifiers", record)

    def train(recipe=tiny.RECIPE, hidden=tiny.WIDTH, data=small, **options):
        classifiers.trained("thousand", 2, recipe, hidden, data, **options)
        return wanted

    return train


@pytest.mark.parametrize("change", UNFIT.values(), ids=UNFIT)
def test_networks_of_other_settings_are_trained_anew(seeds, change):
    assert seeds() == []
    assert seeds(**change) == [0, 1]


def test_networks_of_other_data_are_trained_anew(seeds, small, monkeypatch):
    other = small._replace(checksum="0" * 64)
    monkeypatch.setattr(datasets, "mnist", lambda: other)
    assert seeds(data=other) == [0, 1]


def test_a_damaged_network_is_trained_anew(seeds):
    (folder,) = (checkout.root() / "build" / "jobs").glob("thousand-1-*")
    (folder / "arrays.safetensors").write_bytes(b"")
    assert seeds() == [1]


def test_a_process_with_other_data_refuses_the_job(seeds, small):
    with pytest.raises(engine.EngineError, match="the data here have sha256"):
        seeds(data=small._replace(checksum="0" * 64))


def test_a_packed_network_comes_out_as_it_was(many):
    for run in many.networks:
        again = classifiers.unpack(classifiers.pack(run), run.name)
        assert (again.config, again.metrics, again.name) == (run.config, run.metrics, run.name)
        np.testing.assert_array_equal(again.states, run.states)
        for name, array in run.parameters.items():
            np.testing.assert_array_equal(again.parameters[name], array)


TEST_COUNTS = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
WHOLE = {
    "thousand-0": "hundred",
    "thousand-1": "hundred",
    "collapse-60-0.01-128-0": "collapse",
}


@pytest.fixture(scope="module", params=WHOLE)
def whole(request, load_published):
    """One network that is published whole, and its row in the study."""
    data = load_published(WHOLE[request.param]).data
    return runs.load_run(request.param), data.sel(network=request.param)


@pytest.fixture(scope="module")
def table(whole):
    """Recall of each class of the test part under every cutoff."""
    run, _ = whole
    return cutoffs.every_cutoff(svd.svd(run.readout), run.bias, run.states, run.labels)


def assert_same_recalls(single, shapley, table):
    np.testing.assert_allclose(single, cutoffs.single_and_nested(table).single, atol=0.002)
    np.testing.assert_allclose(shapley, cutoffs.shapley(table), atol=0.002)


def assert_same_control(row, name, table):
    control = row.sel(control=name)
    assert_same_recalls(control["control_single"], control["control_shapley"], table)


def test_published_rows_follow_from_the_stored_states(whole, table):
    run, row = whole
    np.testing.assert_array_equal(row.get("readout", run.readout), run.readout)
    np.testing.assert_array_equal(row["bias"], run.bias)
    parts = svd.svd(run.readout)
    np.testing.assert_allclose(row["singular_values"], parts.s, rtol=1e-4)
    few = cutoffs.cutoffs(parts, run.bias, run.states, run.labels)
    np.testing.assert_allclose(row["nested"], few.nested, atol=0.002)
    np.testing.assert_allclose(row["single"], few.single, atol=0.002)
    assert_same_recalls(row["single"], row["shapley"], table)
    if "test_hits" in row:
        np.testing.assert_allclose(row["test_hits"], table @ TEST_COUNTS, atol=5)
    confusion = cutoffs.confusion(run.logits, run.labels)
    assert np.abs(row["confusion"] - confusion).max() <= 1
    assert float(row["test_accuracy"]) == pytest.approx(run.metrics["test_accuracy"], abs=1e-6)


def test_published_controls_follow_from_the_stored_states(whole):
    run, row = whole
    rng = np.random.default_rng(run.provenance["seed"])
    noise = rng.normal(size=run.readout.shape)
    noise *= np.linalg.norm(run.readout) / np.linalg.norm(noise)
    rotated = controls.rotate(run.readout, controls.random_basis(rng, 10))
    given = run.states, run.labels
    random = cutoffs.every_cutoff(svd.svd(noise), np.zeros(10), *given)
    assert_same_control(row, "random", random)
    assert_same_control(row, "rotated", cutoffs.every_cutoff(rotated, run.bias, *given))


def test_published_rows_follow_from_the_images(whole, real_mnist):
    run, row = whole
    data = datasets.mnist()
    assert run.provenance["data_sha256"] == data.checksum
    model, parts = runs.restore(run), svd.svd(run.readout)
    if "validation_hits" in row:
        validation = access.last_states(model, data.validation.images)
        table = cutoffs.every_cutoff(parts, run.bias, validation, data.validation.labels)
        hits = table @ np.bincount(data.validation.labels)
        np.testing.assert_allclose(row["validation_hits"], hits, atol=5)
    images, labels = (part[: classifiers.GEOMETRY] for part in data.train)
    states = access.last_states(model, images)
    means = collapse.class_means(states, labels)
    centred = means - means.mean(axis=0)
    np.testing.assert_allclose(row.get("class_means", means), means, atol=1e-3)
    np.testing.assert_allclose(row["gram"], centred @ centred.T, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(row["cross"], run.readout @ centred.T, rtol=1e-3, atol=1e-2)
    assert float(row["collapse"]) == pytest.approx(collapse.collapse(states, labels), rel=1e-3)
    read = (states @ run.readout.T + run.bias).argmax(axis=1)
    assert float(row["train_accuracy"]) == pytest.approx((read == labels).mean(), abs=2e-4)


def test_the_published_control_before_training_follows_from_the_seed(whole, real_mnist):
    run, row = whole
    data, fresh = datasets.mnist(), runs.untrained(run)
    readout, states = access.readout(fresh), access.last_states(fresh, data.test.images)
    table = cutoffs.every_cutoff(svd.svd(readout.W), readout.b, states, data.test.labels)
    assert_same_control(row, "untrained", table)
