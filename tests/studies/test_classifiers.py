import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnatomy.analysis import collapse, controls, cutoffs, svd
from rnnatomy.data import datasets, files
from rnnatomy.networks import access, runs, training
from rnnatomy.store import checkout, results
from rnnatomy.studies import __main__, classifiers, layers
from rnnatomy.studies import collapse as collapse_study
from rnnatomy.studies import gates as gate_study
from rnnatomy.studies import hundred as hundred_study

PUBLISHED = runs.published("mnist-")
RECIPE = training.Recipe(epochs=2, batch=32)
SEEDS = (3, 11)


def train(small, folder):
    return classifiers.train_classifiers(small, SEEDS, RECIPE, folder, "digits", hidden=16)


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkout, "ROOT", root)
        return train(small, root / "results"), root


def logits(run):
    return run.states @ run.readout.T + run.bias


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
        for name, value in training.evaluate(runs.restore(run), images, labels).items():
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
    create = classifiers.classifier(small, hidden=16)
    for run, seed in zip(trained[0], SEEDS, strict=True):
        fresh = runs.untrained(run)
        expected = access.flatten(create(jax.random.key(seed)))
        for name, array in fresh.parameters.items():
            np.testing.assert_allclose(array, expected[name], atol=1e-6)
        assert fresh.states is None and not fresh.metrics
        assert (fresh.readout != run.readout).any()


def test_an_epoch_is_told_in_one_line(capsys):
    accuracy = {"accuracy": np.float32([0.5, 0.7]), "cross_entropy": np.float32([1, 1])}
    epoch = training.Epoch(2, 10, np.float32([1.0, 2.0]), accuracy, 4.4, 75.0)
    classifiers.print_epoch(epoch)
    expected = "epoch   2/10  loss 1.5000  validation accuracy 0.6000  4 s  left 1 min 15 s\n"
    assert capsys.readouterr().out == expected


def test_an_error_in_the_data_ends_the_command_with_one_line(monkeypatch):
    def damaged():
        raise files.DataError("a.gz is damaged")

    monkeypatch.setattr(datasets, "mnist", damaged)
    with pytest.raises(SystemExit, match=r"^error: a\.gz is damaged$"):
        command(monkeypatch, "mnist")


def command(monkeypatch, *words):
    """Run the command as a user does, but on the devices that there are."""
    monkeypatch.setattr("sys.argv", ["studies", *words])
    monkeypatch.setattr(training, "use_each_core", lambda: None)
    __main__.main()


@pytest.mark.parametrize("words", [["hundred"], ["hundred", "--networks", "7"]])
def test_the_command_uses_each_core_and_then_runs_the_study(monkeypatch, words):
    called = []
    monkeypatch.setattr("sys.argv", ["studies", *words])
    monkeypatch.setattr(training, "use_each_core", lambda: called.append("cores"))
    monkeypatch.setitem(__main__.STUDIES, "hundred", lambda **given: called.append(given))
    __main__.main()
    assert called == ["cores", {"networks": 7} if words[1:] else {}]


NETWORKS = 4
WIDTH = 16


def make_tiny(patch, small, root):
    """Let the study of a hundred networks be one of small networks on few digits."""
    patch.setattr(datasets, "mnist", lambda: small)
    patch.setitem(classifiers.RECIPES, "hundred", RECIPE)
    patch.setattr(checkout, "ROOT", root)
    patch.setattr(classifiers, "HIDDEN", WIDTH)
    patch.setattr(classifiers, "BATCH", 2)
    patch.setattr(classifiers, "GEOMETRY", 100)


@pytest.fixture(scope="module")
def many(small, tmp_path_factory):
    """A small study, and the networks that were kept of it."""
    root = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        make_tiny(patch, small, root)
        hundred_study.publish(NETWORKS)
        kept = [root / "build" / "networks" / f"hundred-{seed}" for seed in range(NETWORKS)]
        return results.load_study("hundred"), [runs.load_run(str(folder)) for folder in kept], root


SHAPES = {
    "bias": (10,),
    "left": (10, 10),
    "singular_values": (10,),
    "test_accuracy": (),
    "train_accuracy": (),
    "single": (10, 10),
    "nested": (11, 10),
    "shapley": (10, 10),
    "collapse": (),
    "gram": (10, 10),
    "cross": (10, 10),
    "untrained_single": (10, 10),
    "untrained_shapley": (10, 10),
    "random_single": (10, 10),
    "random_shapley": (10, 10),
    "rotated_single": (10, 10),
    "rotated_shapley": (10, 10),
}
COUNTS = {"seed": (), "confusion": (10, 10), "test_hits": (1024,), "validation_hits": (1024,)}


def assert_is_complete(study, networks, pixels, hidden):
    """Hold names, shapes and kinds of numbers against the list above."""
    wide = {"readout": (10, hidden), "class_means": (10, hidden)}
    found = {name: (array.shape, array.dtype) for name, array in study.arrays.items()}
    expected = {name: ((networks, *shape), np.float32) for name, shape in (SHAPES | wide).items()}
    expected |= {name: ((networks, *shape), np.uint16) for name, shape in COUNTS.items()}
    assert found == expected | {"pixel_means": ((10, pixels), found["pixel_means"][1])}
    assert all(np.isfinite(array).all() for array in study.arrays.values())
    assert study.arrays["seed"].tolist() == list(range(networks))


def test_a_study_has_one_row_a_network(many):
    assert_is_complete(many[0], NETWORKS, 64, WIDTH)
    for name in ("readout", "shapley", "class_means", "random_shapley", "test_hits"):
        assert (many[0].arrays[name][0] != many[0].arrays[name][1]).any()


def test_a_study_tells_where_it_comes_from(many, small):
    study, kept, _ = many
    told = study.provenance
    assert told["networks"] == NETWORKS and told["hidden"] == WIDTH
    assert told["recipe"] == RECIPE._asdict()
    assert told["data"] == "digits" and told["data_sha256"] == small.checksum
    # two batches: each network tells the time of its batch
    each = [run.provenance["wall_seconds"] for run in kept]
    assert told["wall_seconds"] == pytest.approx(each[0] + each[2], abs=0.11) and min(each) > 0
    assert {"command", "commit", "versions", "device", "cores", "system"} <= told.keys()


def test_the_first_networks_of_a_study_are_published_whole(many, monkeypatch):
    _, kept, root = many
    monkeypatch.setattr(checkout, "ROOT", root)
    assert runs.published() == ["hundred-0", "hundred-1"]
    for run in kept[: hundred_study.WHOLE]:
        found = runs.load_run(run.name)
        assert (found.metrics, found.provenance) == (run.metrics, run.provenance)
        np.testing.assert_array_equal(found.states, run.states)
        for name, array in run.parameters.items():
            np.testing.assert_array_equal(found.parameters[name], array)


def test_the_layers_of_networks_that_are_there_are_summed_up(many, small, monkeypatch):
    _, kept, root = many
    make_tiny(monkeypatch, small, root)
    monkeypatch.setattr(classifiers, "train_classifiers", None)  # nothing is trained anew
    layers.publish(NETWORKS)
    found = results.load_study("layers")
    assert found.provenance["networks"] == NETWORKS
    for row, run in enumerate(kept):
        for name, array in gate_study.summary(run, small).items():
            np.testing.assert_array_equal(found.arrays[name][row], array)
    assert (found.arrays["stable"][0] != found.arrays["stable"][1]).any()


def all_cutoffs(parts, bias, states, labels):
    """Recall of each class under every subset of the directions, all subsets at once."""
    modes = len(parts.s)
    kept = (np.arange(2**modes)[:, None] >> np.arange(modes) & 1).astype(float)
    terms = (states @ parts.Vt.T)[:, :, None] * (parts.U * parts.s).T
    logits = np.tensordot(kept, terms, axes=(1, 1)) + bias
    hits = logits.argmax(axis=2) == labels
    return np.stack([hits[:, labels == k].mean(axis=1) for k in range(len(bias))], axis=1)


def one_out(modes=10):
    return [2**modes - 1 - 2**k for k in range(modes)]


@pytest.fixture(params=range(NETWORKS))
def one(request, many):
    """One network of the small study: its row, its run, its decomposed readout."""
    row = {name: array[request.param] for name, array in many[0].arrays.items()}
    run = many[1][request.param]
    return row, run, svd.svd(run.readout)


def test_a_row_holds_the_readout_and_its_decomposition(one):
    row, run, parts = one
    np.testing.assert_array_equal(row["readout"], run.parameters["readout.kernel"].T)
    np.testing.assert_array_equal(row["bias"], run.parameters["readout.bias"])
    values = np.sqrt(np.linalg.eigvalsh(run.readout @ run.readout.T)[::-1])
    np.testing.assert_allclose(row["singular_values"], values, rtol=1e-4)
    np.testing.assert_allclose(row["left"], parts.U, atol=1e-6)


def test_a_row_holds_the_recalls_under_all_cutoffs_of_the_stored_states(one, small):
    row, run, parts = one
    labels = small.test.labels
    table = all_cutoffs(parts, run.bias, run.states, labels)
    np.testing.assert_allclose(row["nested"], table[[2**r - 1 for r in range(11)]], atol=1e-6)
    np.testing.assert_allclose(row["single"], table[one_out()], atol=1e-6)
    np.testing.assert_allclose(row["shapley"], cutoffs.shapley(table), atol=1e-3)
    off = np.abs(row["test_hits"] - table @ np.bincount(labels))
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01  # but for ties within rounding
    table = np.zeros((10, 10), int)
    np.add.at(table, (labels, logits(run).argmax(axis=1)), 1)
    np.testing.assert_array_equal(row["confusion"], table)
    assert row["test_accuracy"] == pytest.approx(run.metrics["test_accuracy"])


def test_a_row_holds_the_hits_on_the_validation_part(one, small):
    row, run, parts = one
    images, labels = small.validation
    states = np.asarray(runs.restore(run).states(jnp.asarray(images)))[:, -1]
    expected = all_cutoffs(parts, run.bias, states, labels) @ np.bincount(labels)
    off = np.abs(row["validation_hits"] - expected)
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01


def test_a_row_holds_the_geometry_of_the_first_training_samples(one, small):
    row, run, _ = one
    images, labels = small.train.images[:100], small.train.labels[:100]
    states = np.asarray(runs.restore(run).states(jnp.asarray(images)))[:, -1]
    means = np.stack([states[labels == k].mean(axis=0) for k in range(10)])
    np.testing.assert_allclose(row["class_means"], means, atol=1e-5)
    assert row["collapse"] == pytest.approx(collapse.collapse(states, labels), rel=1e-3)
    centred = means - means.mean(axis=0)
    np.testing.assert_allclose(row["gram"], centred @ centred.T, atol=1e-4)
    np.testing.assert_allclose(row["cross"], run.readout @ centred.T, atol=1e-4)
    read = (states @ run.readout.T + run.bias).argmax(axis=1)
    assert row["train_accuracy"] == pytest.approx((read == labels).mean())


def test_a_row_holds_the_network_before_training(one, small):
    row, run, _ = one
    fresh = classifiers.classifier(small, WIDTH)(jax.random.key(run.provenance["seed"]))
    states = np.asarray(fresh.states(jnp.asarray(small.test.images)))[:, -1]
    parts, bias = svd.svd(np.asarray(fresh.readout.kernel[...]).T), np.zeros(10)
    assert_is_control(row, "untrained", parts, bias, states, small.test.labels)


def assert_is_control(row, name, parts, bias, states, labels):
    table = all_cutoffs(parts, bias, states, labels)
    np.testing.assert_allclose(row[f"{name}_single"], table[one_out()], atol=1e-6)
    np.testing.assert_allclose(row[f"{name}_shapley"], cutoffs.shapley(table), atol=1e-3)
    assert np.abs(row[f"{name}_shapley"] - row["shapley"]).max() > 0.01


def test_a_row_holds_a_random_readout_and_random_directions(one, small):
    row, run, _ = one
    labels, rng = small.test.labels, np.random.default_rng(run.provenance["seed"])
    noise = rng.normal(size=(10, WIDTH))
    noise *= np.sqrt((run.readout**2).sum() / (noise**2).sum())
    assert_is_control(row, "random", svd.svd(noise), np.zeros(10), run.states, labels)
    basis = controls.random_basis(rng, 10)
    rotated = controls.rotate(run.readout, basis)
    assert_is_control(row, "rotated", rotated, run.bias, run.states, labels)


def test_the_means_of_the_pixels_are_those_of_all_training_samples(many, small):
    images, labels = small.train
    for k, mean in enumerate(many[0].arrays["pixel_means"]):
        np.testing.assert_allclose(mean, images[labels == k].mean(axis=0).ravel(), atol=1e-6)


@pytest.fixture
def seeds_trained(monkeypatch):
    """The seeds of each batch that is trained from now on."""
    batches, train_classifiers = [], classifiers.train_classifiers

    def recorded(data, seeds, *rest):
        batches.append(list(seeds))
        return train_classifiers(data, seeds, *rest)

    monkeypatch.setattr(classifiers, "train_classifiers", recorded)
    return batches


def test_an_interrupted_study_keeps_what_it_has_and_ends_the_same(
    many, small, tmp_path, monkeypatch, seeds_trained, capsys
):
    make_tiny(monkeypatch, small, tmp_path)
    told = []

    def interrupt_in_the_second_batch(epoch):
        told.append(epoch.number)
        if len(told) == 3:
            raise KeyboardInterrupt

    words = "hundred", "--networks", str(NETWORKS)
    with monkeypatch.context() as patch:
        patch.setattr(classifiers, "print_epoch", interrupt_in_the_second_batch)
        with pytest.raises(SystemExit, match="Interrupted; the same command goes on from the last"):
            command(patch, *words)
    folder = tmp_path / "build" / "networks"
    assert sorted(path.name for path in folder.iterdir()) == ["hundred-0", "hundred-1"]
    assert not (tmp_path / "results").exists()
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert "trained 2 of 4; " in capsys.readouterr().out

    monkeypatch.setattr(classifiers, "print_epoch", lambda epoch: told.append(epoch.number))
    command(monkeypatch, *words)
    assert told == [1, 2, 1, 2]  # none of the epochs was gone through again
    assert seeds_trained == [[0, 1], [2, 3], [2, 3]]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    out = capsys.readouterr().out
    assert f"2 of 4 are there already, in {folder}" in out
    assert "trained 4 of 4; 0 min 00 s left" in out
    found = results.load_study("hundred").arrays
    assert found.keys() == many[0].arrays.keys()
    for name, array in many[0].arrays.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_study_that_is_there_is_measured_without_training(
    many, small, monkeypatch, seeds_trained
):
    make_tiny(monkeypatch, small, many[2])
    hundred_study.publish(2)
    assert seeds_trained == []
    for name, array in results.load_study("hundred").arrays.items():
        rows = slice(None) if name == "pixel_means" else slice(2)
        np.testing.assert_array_equal(array, many[0].arrays[name][rows])


def other_fact(name, value):
    def change(folder):
        run = runs.load_run(str(folder))
        runs.save_run(folder, run._replace(provenance=run.provenance | {name: value}))

    return change


def damage(folder):
    (folder / "states.safetensors").write_bytes(b"")


UNFIT = {
    "of another recipe": other_fact("recipe", RECIPE._replace(weight_decay=0.5)._asdict()),
    "of other data": other_fact("data_sha256", "0"),
    "of another width": other_fact("hidden", 64),
    "damaged": damage,
    "missing": shutil.rmtree,
}


@pytest.mark.parametrize("spoil", UNFIT.values(), ids=UNFIT)
def test_a_kept_network_that_does_not_fit_is_trained_anew(
    many, small, tmp_path, monkeypatch, spoil
):
    shutil.copytree(many[2], tmp_path, dirs_exist_ok=True)
    make_tiny(monkeypatch, small, tmp_path)
    wanted = []

    def record(data, seeds, *rest):
        wanted.extend(seeds)
        raise KeyboardInterrupt

    monkeypatch.setattr(classifiers, "train_classifiers", record)
    spoil(tmp_path / "build" / "networks" / "hundred-2")
    with pytest.raises(KeyboardInterrupt):
        hundred_study.publish(NETWORKS)
    assert wanted == [2]


@pytest.mark.parametrize("networks", ["0", "1", "-3"])
def test_fewer_than_two_networks_are_refused(networks, monkeypatch):
    monkeypatch.setattr(training, "use_each_core", lambda: None)
    monkeypatch.setattr("sys.argv", ["studies", "hundred", "--networks", networks])
    with pytest.raises(SystemExit, match=f"^error: --networks is {networks}: give a whole number"):
        __main__.main()


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
    states = runs.restore(run).states(images)[:, -1]
    np.testing.assert_allclose(run.states[:500], states, atol=1 / 200)


CONDITIONS = (
    collapse_study.Condition(1, hidden=WIDTH),
    collapse_study.Condition(1, 0.5, hidden=12),
)


def test_the_study_of_long_training_has_one_row_a_condition_and_network(
    small, tmp_path, monkeypatch
):
    make_tiny(monkeypatch, small, tmp_path)
    monkeypatch.setitem(classifiers.RECIPES, "mnist", RECIPE)
    monkeypatch.setattr(collapse_study, "CONDITIONS", CONDITIONS)
    monkeypatch.setattr(collapse_study, "LONGEST", CONDITIONS[1])
    fit_ensemble, trained_on = training.fit_ensemble, []

    def recorded(create, loss, train, recipe, keys, **options):
        trained_on.append((len(train[0]), len(train[1]), recipe))
        return fit_ensemble(create, loss, train, recipe, keys, **options)

    monkeypatch.setattr(training, "fit_ensemble", recorded)
    collapse_study.publish(2)
    recipes = [RECIPE._replace(epochs=1, weight_decay=decay) for decay in (0.01, 0.5)]
    assert trained_on == [(100, 100, recipe) for recipe in recipes]
    study = results.load_study("collapse")
    facts = {"networks": 4, "train_samples": 100, "data_sha256": small.checksum}
    assert facts.items() <= study.provenance.items()
    found = study.arrays
    assert found["seed"].tolist() == [0, 1, 0, 1]
    assert found["epochs"].tolist() == [1] * 4 and found["hidden"].tolist() == [16, 16, 12, 12]
    np.testing.assert_allclose(found["weight_decay"], [0.01, 0.01, 0.5, 0.5])
    names = "1-0.01-16-0", "1-0.01-16-1", "1-0.5-12-0", "1-0.5-12-1"
    for place, name in enumerate(names):
        run = runs.load_run(str(tmp_path / "build" / "networks" / f"collapse-{name}"))
        row = classifiers.measure_readout(run, small) | classifiers.measure_controls(run, small)
        left_out = {"readout", "class_means", "test_hits", "validation_hits"}
        assert found.keys() - {"epochs", "hidden", "weight_decay"} == row.keys() - left_out
        for of in found.keys() & row.keys():
            np.testing.assert_array_equal(found[of][place], row[of])
    whole = runs.load_run("collapse-1-0.5-12-0")
    np.testing.assert_array_equal(whole.bias, found["bias"][2])
    assert not (tmp_path / "results" / "collapse-1-0.5-12-1").exists()


TEST_COUNTS = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


@pytest.fixture(scope="module")
def hundred():
    return results.load_study("hundred")


def test_a_hundred_networks_are_published(hundred):
    networks = len(hundred.arrays["seed"])
    assert networks == hundred.provenance["networks"] >= 100
    assert_is_complete(hundred, networks, 784, classifiers.HIDDEN)
    assert hundred.provenance["recipe"] == classifiers.RECIPES["hundred"]._asdict()
    for name in ("readout", "singular_values", "shapley", "class_means", "random_shapley"):
        assert len(np.unique(hundred.arrays[name], axis=0)) == networks


def test_the_published_rows_agree_with_themselves(hundred):
    found = {name: array.astype(float) for name, array in hundred.arrays.items()}
    empty, full = found["nested"][:, 0], found["nested"][:, -1]
    largest_bias = np.eye(10)[found["bias"].argmax(axis=1)]
    np.testing.assert_array_equal(empty, largest_bias)
    np.testing.assert_allclose(found["shapley"].sum(axis=1), full - empty, atol=1e-5)
    np.testing.assert_allclose(found["rotated_shapley"].sum(axis=1), full - empty, atol=0.002)
    counts, right = found["confusion"].sum(axis=2), found["confusion"].diagonal(axis1=1, axis2=2)
    np.testing.assert_array_equal(counts, np.tile(TEST_COUNTS, (len(counts), 1)))
    np.testing.assert_allclose(full, right / TEST_COUNTS, atol=0.002)
    np.testing.assert_allclose(found["test_accuracy"], right.sum(axis=1) / 10_000, atol=0.001)
    for cutoffs_of, rows in {
        "nested": [2**r - 1 for r in range(11)],
        "single": one_out(),
    }.items():
        np.testing.assert_allclose(
            found["test_hits"][:, rows], found[cutoffs_of] @ TEST_COUNTS, atol=0.01
        )


def test_the_published_directions_and_products_are_those_of_the_published_readouts(hundred):
    found = hundred.arrays
    for place, readout in enumerate(found["readout"]):
        parts = svd.svd(readout)
        np.testing.assert_allclose(found["singular_values"][place], parts.s, rtol=1e-4)
        np.testing.assert_allclose(found["left"][place], parts.U, atol=1e-4)
        means = found["class_means"][place].astype(float)
        centred = means - means.mean(axis=0)
        np.testing.assert_allclose(found["gram"][place], centred @ centred.T, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found["cross"][place], readout @ centred.T, rtol=1e-4, atol=1e-3)


@pytest.fixture(scope="module")
def long_training():
    return results.load_study("collapse")


def condition(study, place):
    names = "epochs", "weight_decay", "hidden"
    return tuple(round(float(study.arrays[name][place]), 6) for name in names)


def test_the_study_of_long_training_is_published(long_training):
    found = long_training.arrays
    rows = len(found["seed"])
    assert all(len(array) == rows and np.isfinite(array).all() for array in found.values())
    there = {(*condition(long_training, k), int(found["seed"][k])) for k in range(rows)}
    wanted = {(*each, seed) for each in collapse_study.CONDITIONS for seed in range(10)}
    assert there == wanted and rows == len(wanted)
    assert len(np.unique(found["left"], axis=0)) == rows
    assert long_training.provenance["train_samples"] == classifiers.GEOMETRY
    empty, full = found["nested"][:, 0], found["nested"][:, -1]
    np.testing.assert_allclose(found["shapley"].sum(axis=1), full - empty, atol=1e-5)
    np.testing.assert_allclose(found["gram"].sum(axis=2), 0, atol=1e-2)


WHOLE = ("hundred-0", "hundred-1", "collapse-60-0.01-128-0")


@pytest.fixture(scope="module", params=WHOLE)
def whole(request, hundred, long_training):
    """One network that is published whole, and its row in the study."""
    run = runs.load_run(request.param)
    study = hundred if request.param.startswith("hundred") else long_training
    is_row = study.arrays["seed"] == run.provenance["seed"]
    if study is long_training:
        is_row &= study.arrays["epochs"] == run.provenance["recipe"]["epochs"]
    (place,) = np.flatnonzero(is_row)
    return run, {name: array[place] for name, array in study.arrays.items()}


def assert_same_recalls(row, name, table):
    found = cutoffs.single_and_nested(table)
    np.testing.assert_allclose(row[f"{name}single"], found.single, atol=0.002)
    np.testing.assert_allclose(row[f"{name}shapley"], cutoffs.shapley(table), atol=0.002)


def test_published_rows_follow_from_the_stored_states(whole):
    run, row = whole
    np.testing.assert_array_equal(row.get("readout", run.readout), run.readout)
    np.testing.assert_array_equal(row["bias"], run.bias)
    parts = svd.svd(run.readout)
    np.testing.assert_allclose(row["singular_values"], parts.s, rtol=1e-4)
    few = cutoffs.cutoffs(parts, run.bias, run.states, run.labels)
    np.testing.assert_allclose(row["nested"], few.nested, atol=0.002)
    np.testing.assert_allclose(row["single"], few.single, atol=0.002)
    table = cutoffs.every_cutoff(parts, run.bias, run.states, run.labels)
    assert_same_recalls(row, "", table)
    if "test_hits" in row:
        np.testing.assert_allclose(row["test_hits"], table @ TEST_COUNTS, atol=5)
    confusion = cutoffs.confusion(logits(run), run.labels)
    assert np.abs(row["confusion"] - confusion).max() <= 1
    assert row["test_accuracy"] == pytest.approx(run.metrics["test_accuracy"], abs=1e-6)


def test_published_controls_follow_from_the_stored_states(whole):
    run, row = whole
    rng = np.random.default_rng(run.provenance["seed"])
    noise = rng.normal(size=run.readout.shape)
    noise *= np.linalg.norm(run.readout) / np.linalg.norm(noise)
    rotated = controls.rotate(run.readout, controls.random_basis(rng, 10))
    given = run.states, run.labels
    random = cutoffs.every_cutoff(svd.svd(noise), np.zeros(10), *given)
    assert_same_recalls(row, "random_", random)
    assert_same_recalls(row, "rotated_", cutoffs.every_cutoff(rotated, run.bias, *given))


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
    assert row["collapse"] == pytest.approx(collapse.collapse(states, labels), rel=1e-3)
    read = (states @ run.readout.T + run.bias).argmax(axis=1)
    assert row["train_accuracy"] == pytest.approx((read == labels).mean(), abs=2e-4)


def test_the_published_control_before_training_follows_from_the_seed(whole, real_mnist):
    run, row = whole
    data, fresh = datasets.mnist(), runs.untrained(run)
    states = access.last_states(runs.restore(fresh), data.test.images)
    given = svd.svd(fresh.readout), fresh.bias, states, data.test.labels
    assert_same_recalls(row, "untrained_", cutoffs.every_cutoff(*given))


def test_the_published_means_of_the_pixels_are_those_of_mnist(hundred, real_mnist):
    data = datasets.mnist()
    assert hundred.provenance["data_sha256"] == data.checksum
    pixels = data.train.images.reshape(-1, 784)
    means = collapse.class_means(pixels.astype(float), data.train.labels)
    np.testing.assert_allclose(hundred.arrays["pixel_means"], means, atol=1e-4)
