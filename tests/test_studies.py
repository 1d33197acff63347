import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnatomy import cutoffs, datasets, runs, studies, training

PUBLISHED = runs.published("mnist-")
RECIPE = training.Recipe(epochs=2, batch=32)
SEEDS = (3, 11)


def train(small, folder):
    return studies.train_classifiers(small, SEEDS, RECIPE, folder, "digits", hidden=16)


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "ROOT", root)
        return train(small, root / "results"), root


def logits(run):
    return run.states @ run.readout.T + run.bias


def test_each_seed_becomes_a_run_that_loads_again(trained, monkeypatch):
    saved, root = trained
    monkeypatch.setattr(runs, "ROOT", root)
    assert runs.published() == ["digits-3", "digits-11"] == [run.name for run in saved]
    for run in saved:
        for name, array in runs.load_run(run.name).parameters.items():
            np.testing.assert_array_equal(array, run.parameters[name])
    assert (saved[0].readout != saved[1].readout).any()


def test_metrics_are_those_of_the_saved_parameters_and_states(trained, small):
    for run in trained[0]:
        model = studies.restore(run)
        found = np.asarray(model(jnp.asarray(small.test.images)))
        recall = cutoffs.recall(found, small.test.labels)
        np.testing.assert_allclose(run.metrics["test_recall"], recall, atol=1e-6)
        accuracy = (found.argmax(axis=1) == small.test.labels).mean()
        assert run.metrics["test_accuracy"] == pytest.approx(accuracy)
        stored = cutoffs.recall(logits(run), run.labels)
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
        assert {len(values) for values in history.values()} == {RECIPE.epochs}
        for name, value in training.evaluate(studies.restore(run), images, labels).items():
            assert history[name][-1] == pytest.approx(float(value), abs=1e-5)


def test_provenance_is_complete(trained, small):
    for run, seed in zip(trained[0], SEEDS, strict=True):
        found = run.provenance
        assert found["seed"] == seed and found["networks"] == 2 and found["hidden"] == 16
        assert found["recipe"] == RECIPE._asdict()
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
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    told = []

    def interrupt(epoch):
        told.append(epoch.number)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(studies, "print_epoch", interrupt)
        train(small, tmp_path / "results")
    assert told == [1] and not (tmp_path / "results").exists()
    monkeypatch.setattr(studies, "print_epoch", lambda epoch: told.append(epoch.number))
    for run, whole in zip(train(small, tmp_path / "results"), trained[0], strict=True):
        assert run.metrics == whole.metrics
        for name, array in run.parameters.items():
            np.testing.assert_array_equal(array, whole.parameters[name])
    assert told == [1, 2]
    assert not list((tmp_path / "build").rglob("*.safetensors"))


def test_an_untrained_run_has_the_parameters_that_training_began_with(trained, small):
    create = studies.classifier(small, hidden=16)
    for run, seed in zip(trained[0], SEEDS, strict=True):
        fresh = studies.untrained(run)
        expected = runs.flatten(studies.nnx.state(create(jax.random.key(seed))))
        for name, array in fresh.parameters.items():
            np.testing.assert_allclose(array, expected[name], atol=1e-6)
        assert fresh.states is None and not fresh.metrics
        assert (fresh.readout != run.readout).any()


def test_an_epoch_is_told_in_one_line(capsys):
    accuracy = {"accuracy": np.float32([0.5, 0.7]), "cross_entropy": np.float32([1, 1])}
    epoch = training.Epoch(2, 10, np.float32([1.0, 2.0]), accuracy, 4.4, 75.0)
    studies.print_epoch(epoch)
    expected = "epoch   2/10  loss 1.5000  validation accuracy 0.6000  4 s  left 1 min 15 s\n"
    assert capsys.readouterr().out == expected


def test_an_error_in_the_data_ends_the_command_with_one_line(monkeypatch):
    def damaged():
        raise datasets.DataError("a.gz is damaged")

    monkeypatch.setattr(datasets, "mnist", damaged)
    monkeypatch.setattr("sys.argv", ["studies", "mnist"])
    with pytest.raises(SystemExit, match=r"^error: a\.gz is damaged$"):
        studies.main()


def test_mnist_networks_are_published():
    assert len(PUBLISHED) >= 5


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_metrics_follow_from_the_stored_states(name):
    run = runs.load_run(name)
    found = logits(run)
    accuracy = (found.argmax(axis=1) == run.labels).mean()
    assert accuracy == pytest.approx(run.metrics["test_accuracy"], abs=0.001)
    recall = cutoffs.recall(found, run.labels)
    np.testing.assert_allclose(recall, run.metrics["test_recall"], atol=0.001)
    assert run.provenance["seed"] == int(name.rpartition("-")[2])
    assert np.bincount(run.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_states_follow_from_the_parameters(name, real_mnist):
    run = runs.load_run(name)
    data = datasets.mnist()
    assert run.provenance["data_sha256"] == data.checksum
    np.testing.assert_array_equal(run.labels, data.test.labels)
    images = jnp.asarray(data.test.images[:500])
    states = studies.restore(run).states(images)[:, -1]
    np.testing.assert_allclose(run.states[:500], states, atol=1 / 200)
