import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import collapse, controls, cutoffs, svd
from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.store import checkout, checkpoints, disk, results
from rnnatomy.studies import __main__, classifiers, hundred


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("hundred")


def assert_is_complete(study, networks, pixels, hidden):
    """Hold sizes, names of the networks and kinds of numbers against what is expected."""
    data = study.data
    sizes = {"network": networks, "unit": hidden, "pixel": pixels, "subset": 1024}
    sizes |= dict.fromkeys(("digit", "answer", "other", "direction"), 10)
    assert dict(data.sizes) == sizes | {"rank": 11, "control": 3}
    counts = {"confusion", "test_hits", "validation_hits"}
    for name, array in data.data_vars.items():
        assert array.dtype == (np.uint16 if name in counts else np.float32)
        assert np.isfinite(array).all()
    assert data["seed"].to_numpy().tolist() == list(range(networks))
    names = [f"thousand-{seed}" for seed in range(networks)]
    assert data["network"].to_numpy().tolist() == names


def test_a_study_has_one_row_a_network(many):
    assert_is_complete(many.study, tiny.NETWORKS, 64, tiny.WIDTH)
    for name in ("readout", "shapley", "class_means", "test_hits"):
        rows = many.study.data[name]
        assert (rows.sel(network="thousand-0") != rows.sel(network="thousand-1")).any()
    shapley = many.study.data["control_shapley"].sel(control="random")
    assert (shapley.sel(network="thousand-0") != shapley.sel(network="thousand-1")).any()


def test_the_study_has_the_published_form(many, published, assert_same_form):
    assert_same_form(many.study.data, published.data)


def test_a_study_tells_where_it_comes_from(many, small):
    told = many.study.provenance
    assert told["networks"] == tiny.NETWORKS and told["hidden"] == tiny.WIDTH
    assert told["recipe"] == tiny.RECIPE._asdict()
    assert told["data"] == "digits" and told["data_sha256"] == small.checksum
    # each network is trained by a job, and measured by another
    assert told["jobs"] == 2 * tiny.NETWORKS and told["reused"] == [] and told["wall_seconds"] > 0
    assert {"command", "commit", "versions", "device", "cores", "system"} <= told.keys()


def test_the_first_networks_of_a_study_are_published_whole(many, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", many.root)
    assert runs.published() == ["thousand-0", "thousand-1"]
    for run in many.networks[: hundred.WHOLE]:
        found = runs.load_run(run.name)
        assert (found.config, found.metrics) == (run.config, run.metrics)
        told = found.provenance
        assert (told["seed"], told["networks"]) == (run.provenance["seed"], 1)
        assert told["recipe"] == tiny.RECIPE._asdict() and told["hidden"] == tiny.WIDTH
        assert told["data"] == "digits" and told["wall_seconds"] > 0
        assert {"command", "commit", "versions", "device", "cores", "system"} <= told.keys()
        np.testing.assert_array_equal(found.states, run.states)
        for name, array in run.parameters.items():
            np.testing.assert_array_equal(found.parameters[name], array)


@pytest.fixture(params=range(tiny.NETWORKS))
def one(request, many):
    """One network of the small study: its row, its run, its decomposed readout."""
    run = many.networks[request.param]
    return many.study.data.sel(network=run.name), run, svd.svd(run.readout)


def test_a_row_holds_the_readout_and_its_decomposition(one):
    row, run, parts = one
    np.testing.assert_array_equal(row["readout"], run.parameters["readout.kernel"].T)
    np.testing.assert_array_equal(row["bias"], run.parameters["readout.bias"])
    values = np.sqrt(np.linalg.eigvalsh(run.readout @ run.readout.T)[::-1])
    np.testing.assert_allclose(row["singular_values"], values, rtol=1e-4)
    np.testing.assert_allclose(row["left"], parts.U, atol=1e-6)


def assert_hits(found, table, labels):
    off = np.abs(found.to_numpy() - table @ np.bincount(labels))
    assert off.max() < 1.01 and (off > 0.01).mean() < 0.01  # but for ties within rounding


def test_a_row_holds_the_recalls_under_all_cutoffs_of_the_stored_states(one, small):
    row, run, parts = one
    labels = small.test.labels
    table = tiny.all_cutoffs(parts, run.bias, run.states, labels)
    np.testing.assert_allclose(row["nested"], table[tiny.nested()], atol=1e-6)
    np.testing.assert_allclose(row["single"], table[tiny.one_out()], atol=1e-6)
    np.testing.assert_allclose(row["shapley"], cutoffs.shapley(table), atol=1e-3)
    assert_hits(row["test_hits"], table, labels)
    table = np.zeros((10, 10), int)
    np.add.at(table, (labels, run.logits.argmax(axis=1)), 1)
    np.testing.assert_array_equal(row["confusion"], table)
    assert float(row["test_accuracy"]) == pytest.approx(run.metrics["test_accuracy"])


def test_a_row_holds_the_hits_on_the_validation_part(one, small):
    row, run, parts = one
    images, labels = small.validation
    states = np.asarray(runs.restore(run).states(jnp.asarray(images)))[:, -1]
    table = tiny.all_cutoffs(parts, run.bias, states, labels)
    assert_hits(row["validation_hits"], table, labels)


def test_a_row_holds_the_geometry_of_the_first_training_samples(one, small):
    row, run, _ = one
    images, labels = small.train.images[:100], small.train.labels[:100]
    states = np.asarray(runs.restore(run).states(jnp.asarray(images)))[:, -1]
    means = np.stack([states[labels == k].mean(axis=0) for k in range(10)])
    np.testing.assert_allclose(row["class_means"], means, atol=1e-5)
    assert float(row["collapse"]) == pytest.approx(collapse.collapse(states, labels), rel=1e-3)
    centred = means - means.mean(axis=0)
    np.testing.assert_allclose(row["gram"], centred @ centred.T, atol=1e-4)
    np.testing.assert_allclose(row["cross"], run.readout @ centred.T, atol=1e-4)
    read = (states @ run.readout.T + run.bias).argmax(axis=1)
    assert float(row["train_accuracy"]) == pytest.approx((read == labels).mean())


def assert_is_control(row, name, parts, bias, states, labels):
    table = tiny.all_cutoffs(parts, bias, states, labels)
    control = row.sel(control=name)
    np.testing.assert_allclose(control["control_single"], table[tiny.one_out()], atol=1e-6)
    np.testing.assert_allclose(control["control_shapley"], cutoffs.shapley(table), atol=1e-3)
    assert np.abs(control["control_shapley"] - row["shapley"]).max() > 0.01


def test_a_row_holds_the_network_before_training(one, small):
    row, run, _ = one
    fresh = classifiers.classifier(small, tiny.WIDTH)(jax.random.key(run.provenance["seed"]))
    states = np.asarray(fresh.states(jnp.asarray(small.test.images)))[:, -1]
    parts, bias = svd.svd(np.asarray(fresh.readout.kernel[...]).T), np.zeros(10)
    assert_is_control(row, "untrained", parts, bias, states, small.test.labels)


def test_a_row_holds_a_random_readout_and_random_directions(one, small):
    row, run, _ = one
    labels, rng = small.test.labels, np.random.default_rng(run.provenance["seed"])
    noise = rng.normal(size=(10, tiny.WIDTH))
    noise *= np.sqrt((run.readout**2).sum() / (noise**2).sum())
    assert_is_control(row, "random", svd.svd(noise), np.zeros(10), run.states, labels)
    basis = controls.random_basis(rng, 10)
    rotated = controls.rotate(run.readout, basis)
    assert_is_control(row, "rotated", rotated, run.bias, run.states, labels)


def test_the_means_of_the_pixels_are_those_of_all_training_samples(many, small):
    images, labels = small.train
    means = np.stack([images[labels == k].mean(axis=0).ravel() for k in range(10)])
    np.testing.assert_allclose(many.study.data["pixel_means"], means, atol=1e-6)


@pytest.fixture
def seeds_trained(monkeypatch):
    """The seeds that are trained from now on."""
    trained, fit = [], classifiers.fit_classifiers

    def recorded(data, seeds, *rest, **options):
        trained.extend(seeds)
        return fit(data, seeds, *rest, **options)

    monkeypatch.setattr(classifiers, "fit_classifiers", recorded)
    return trained


def test_an_interrupted_study_keeps_what_it_has_and_ends_the_same(
    many, small, tmp_path, monkeypatch, seeds_trained, capsys
):
    tiny.patch_study(monkeypatch, small, tmp_path)
    monkeypatch.setattr("sys.argv", ["studies", "hundred", "--networks", str(tiny.NETWORKS)])
    save, saved = checkpoints.save, []

    def interrupt_in_the_third_network(*given):
        saved.append(save(*given))
        if len(saved) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", interrupt_in_the_third_network)
        with pytest.raises(SystemExit):
            __main__.main()
    assert "interrupted: the same command goes on from the jobs" in capsys.readouterr().err
    folder = tmp_path / "build" / "jobs"
    kept = sorted(path for path in folder.iterdir() if path.name.startswith("thousand"))
    assert [path.name.rpartition("-")[0] for path in kept] == ["thousand-0", "thousand-1"]
    assert not (tmp_path / "results").exists()
    before = {path: path.stat().st_mtime_ns for one in kept for path in one.rglob("*")}

    monkeypatch.setattr(checkpoints, "save", lambda *given: saved.append(save(*given)))
    __main__.main()
    assert len(saved) == 8  # none of the epochs was gone through again
    assert seeds_trained == [0, 1, 2, 2, 3]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    out = capsys.readouterr().out
    assert "thousand: 4 of 4 jobs done, 2 of them reused\n" in out
    assert "hundred, measured: 4 of 4 jobs done\n" in out
    study = results.load_study("hundred")
    assert study.data.identical(many.study.data)
    assert study.provenance["reused"] == ["thousand-0", "thousand-1"]


def test_a_study_that_is_there_is_published_without_training(
    many, small, monkeypatch, seeds_trained
):
    tiny.patch_study(monkeypatch, small, many.root)
    saved = []
    monkeypatch.setattr(results, "save_study", lambda folder, study: saved.append(study))
    with pytest.raises(disk.StoreError, match="published with networks 4, not 2: it stays"):
        hundred.publish(2)
    assert saved == []
    monkeypatch.setenv("REPLACE", "1")
    hundred.publish(2)
    assert seeds_trained == []
    (again,) = saved
    assert again.provenance["reused"] == "all" and again.provenance["jobs"] == 4
    first = many.study.data.isel(network=slice(2))
    for name, array in first.data_vars.items():
        np.testing.assert_array_equal(again.data[name], array)


def test_more_networks_are_trained_beside_those_that_are_there(
    many, small, tmp_path, monkeypatch, seeds_trained
):
    shutil.copytree(many.root, tmp_path, dirs_exist_ok=True)
    tiny.patch_study(monkeypatch, small, tmp_path)
    hundred.publish(tiny.NETWORKS + 1)
    assert seeds_trained == [tiny.NETWORKS]
    found = results.load_study("hundred")
    rows = found.data.isel(network=slice(tiny.NETWORKS))
    np.testing.assert_array_equal(rows["shapley"], many.study.data["shapley"])


TEST_COUNTS = np.array([980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])


def test_a_hundred_networks_are_published(published):
    networks = published.data.sizes["network"]
    assert networks == published.provenance["networks"] >= 100
    assert_is_complete(published, networks, 784, classifiers.HIDDEN)
    assert published.provenance["recipe"] == classifiers.RECIPES["hundred"]._asdict()
    for name in ("readout", "singular_values", "shapley", "class_means"):
        assert len(np.unique(published.data[name], axis=0)) == networks
    shapley = published.data["control_shapley"].sel(control="random")
    assert len(np.unique(shapley, axis=0)) == networks


def test_the_published_rows_agree_with_themselves(published):
    data = published.data.astype(float)
    found = results.arrays(data)
    empty, full = found["nested"][:, 0], found["nested"][:, -1]
    largest_bias = np.eye(10)[found["bias"].argmax(axis=1)]
    np.testing.assert_array_equal(empty, largest_bias)
    np.testing.assert_allclose(found["shapley"].sum(axis=1), full - empty, atol=1e-5)
    rotated = data["control_shapley"].sel(control="rotated").sum("direction")
    np.testing.assert_allclose(rotated, full - empty, atol=0.002)
    counts, right = found["confusion"].sum(axis=2), found["confusion"].diagonal(axis1=1, axis2=2)
    np.testing.assert_array_equal(counts, np.tile(TEST_COUNTS, (len(counts), 1)))
    np.testing.assert_allclose(full, right / TEST_COUNTS, atol=0.002)
    np.testing.assert_allclose(found["test_accuracy"], right.sum(axis=1) / 10_000, atol=0.001)
    for name, subsets in {"nested": tiny.nested(), "single": tiny.one_out()}.items():
        hits = found["test_hits"][:, subsets]
        np.testing.assert_allclose(hits, found[name] @ TEST_COUNTS, atol=0.01)


def test_the_published_directions_and_products_are_those_of_the_published_readouts(published):
    found = results.arrays(published.data)
    for place, readout in enumerate(found["readout"]):
        parts = svd.svd(readout)
        np.testing.assert_allclose(found["singular_values"][place], parts.s, rtol=1e-4)
        np.testing.assert_allclose(found["left"][place], parts.U, atol=1e-4)
        means = found["class_means"][place].astype(float)
        centred = means - means.mean(axis=0)
        np.testing.assert_allclose(found["gram"][place], centred @ centred.T, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found["cross"][place], readout @ centred.T, rtol=1e-4, atol=1e-3)


def test_the_published_means_of_the_pixels_are_those_of_mnist(published, real_mnist):
    data = datasets.mnist()
    assert published.provenance["data_sha256"] == data.checksum
    pixels = data.train.images.reshape(-1, 784)
    means = collapse.class_means(pixels.astype(float), data.train.labels)
    np.testing.assert_allclose(published.data["pixel_means"], means, atol=1e-4)
