from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import pod
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training, vae
from rnnatomy.store import checkout, results
from rnnatomy.studies import autoencoder, likelihood

TINY = training.Recipe(epochs=2, batch=16, learning_rate=5e-3, weight_decay=0.0)
KINDS = {"lstm-2": ("VAE", "digits", 2), "mlp-3": ("MLPVAE", "digits", 3)}
KINDS |= {"states-2": ("VAE", "states", 2)}


def tiny(monkeypatch, folder, small):
    """The study on a few digits of 8 x 8, and on the states of an untrained classifier."""
    groups = {
        name: autoencoder.Group(kind, sequences, latent, 6, TINY, vae.Objective(0.5))
        for name, (kind, sequences, latent) in KINDS.items()
    }
    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(datasets, "mnist", lambda: small)
    settings = {
        "GROUPS": groups,
        "WHOLE": ("lstm-2",),
        "LARGE_GROUPS": ("mlp-3",),
        "MODES": (2,),
        "SAMPLES": 3,
    }
    settings |= {"FIRST": 5, "PLANE": 30, "EXAMPLES": 1}
    settings |= {"STATES_TRAINING": 64, "STATES_VALIDATION": 20}
    for name, value in settings.items():
        monkeypatch.setattr(autoencoder, name, value)


def fit_one(patch, name):
    """Fit the networks of one group alone: each kind of network takes long to compile."""
    fit = vae.fit

    def fit_or_not(create, train, validation, recipe, keys, objective, **options):
        if options["checkpoint"].parent.name.startswith(name):
            return fit(create, train, validation, recipe, keys, objective, **options)
        graph, parameters = nnx.split(create(keys[0]))
        history = {key.removeprefix("history_"): (recipe.epochs, 1) for key in autoencoder.HISTORY}
        history = {key: np.zeros(shape, np.float32) for key, shape in history.items()}
        return training.Fitted(graph, jax.tree.map(lambda leaf: leaf[None], parameters), history)

    patch.setattr(vae, "fit", fit_or_not)


class Made(NamedTuple):
    """Both tiny studies, what was told of the first, and the folder that they lie in."""

    folder: Path
    study: results.Study
    large: results.Study
    lines: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory, small):
    folder, lines = tmp_path_factory.mktemp("autoencoder"), []
    model = models.Classifier(8, 5, 10, rngs=nnx.Rngs(0))
    run = runs.Run("mnist-0", model.config, access.flatten(model), {}, {"seed": 0})
    runs.save_run(folder / "build" / "runs" / "mnist-0", run)
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        fit_one(patch, "lstm-2")
        autoencoder.publish(1, lines.append, workers=1)
        likelihood.publish(1, lambda line: None, workers=1)
        return Made(
            folder, results.load_study("autoencoder"), results.load_study("likelihood"), lines
        )


def test_the_study_has_a_row_for_each_network(made):
    found = made.study.data
    assert found["model"].to_numpy().tolist() == ["lstm-2"]
    assert found["network"].to_numpy().tolist() == [0]
    assert found["size"].to_numpy().tolist() == [2]
    sizes = {"model": 1, "network": 1, "size": 1, "modes_of": 2, "epoch": 2, "latent": 2}
    sizes |= {"digit": 10, "first_image": 5, "row": 8, "point": 30, "image": 10, "pixel": 8}
    assert dict(found.sizes) == sizes
    assert made.large.data["model"].to_numpy().tolist() == ["mlp-3"]
    assert made.large.data.sizes["latent"] == 3 and "digits_means" not in made.large.data
    for data in (found, made.large.data):
        assert all(np.isfinite(array).all() for array in data.data_vars.values())
    assert made.study.provenance["networks"] == 2 and made.study.provenance["seeds"] == 1
    assert "3 of 3" in made.lines[-1] and "lstm-2, seed 0: epoch 1 of 2" in made.lines[0]


@pytest.mark.parametrize("name", ["autoencoder", "likelihood"])
def test_the_study_has_the_published_form(made, name, load_published, assert_same_form):
    study = {"autoencoder": made.study, "likelihood": made.large}[name]
    assert_same_form(study.data, load_published(name).data)


def test_rows_are_in_order_and_named(monkeypatch, tmp_path, small):
    """Each network holds the number of its group and its seed wherever it has a number."""
    names = [name for name in autoencoder.GROUPS if name not in autoencoder.LARGE_GROUPS]
    sizes = {"epoch": 3, "digit": 10, "point": 5, "latent": 2, "row": 8, "size": 3, "modes_of": 2}

    def counted(name, seed, report):
        if name == "pod":
            axes, number = autoencoder.OF_MODES, np.arange(6.0).reshape(2, 3)
        else:
            digits = autoencoder.GROUPS[name].sequences == "digits"
            axes = autoencoder.OF_DIGITS if digits else autoencoder.OF_STATES
            axes, number = axes | autoencoder.OF_NETWORK, 10 * names.index(name) + seed
        arrays = {}
        for key, own in axes.items():
            shape = [sizes.get(axis, 4) for axis in own]
            fill = number if name != "pod" or key == "plane" else number.reshape(2, 3, *shape[3:])
            arrays[key] = np.zeros(shape, np.float32)
            arrays[key].T[...] = np.asarray(0 if key == "plane" else fill).T
        return results.Study(name, results.dataset(arrays, axes), {"wall_seconds": 1.0})

    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setattr(datasets, "mnist", lambda: small)
    monkeypatch.setattr(autoencoder, "PLANE", 5)
    monkeypatch.setattr(autoencoder, "EXAMPLES", 1)
    monkeypatch.setattr(autoencoder, "WHOLE", ())
    monkeypatch.setattr(autoencoder, "_part", counted)
    autoencoder.publish(2, lambda line: None, workers=1)
    found = results.load_study("autoencoder").data
    for name, number in (("lstm-2", 0), ("mlp-2", 10)):
        for seed in (0, 1):
            row = found.sel(model=name, network=seed)
            for key in ("digits_elbo", "digits_by_class", "digits_means", "digits_history_kl"):
                assert (row[key] == number + seed).all()
    for size, number in ((32, 20), (8, 30), (2, 40)):
        row = found.sel(size=size, network=1)
        assert row["states_left"] == number + 1 and (row["states_left_in_time"] == number + 1).all()
    assert (found["states_plane"].sel(network=1) == 41).all()
    assert found["pod_left"].sel(modes_of="step", size=8) == 4
    assert (found["pod_left_in_time"].sel(modes_of="trajectory", size=2) == 2).all()


@pytest.mark.parametrize("large", [False, True])
def test_the_bounds_are_in_order_and_add_up(made, large):
    found = (made.large if large else made.study).data
    assert (found["digits_elbo"] <= found["digits_importance"]).all()
    parts = found["digits_reconstruction"] - found["digits_kl"].sum("latent")
    np.testing.assert_allclose(found["digits_elbo"], parts, rtol=1e-4)


def test_pictures_are_the_first_test_images_of_each_digit(made, small):
    found = results.arrays(made.study.data)
    images, labels = small.test.images, small.test.labels
    assert found["images_label"].tolist() == labels[found["images_place"]].tolist()
    assert sorted(found["images_label"].tolist()) == list(range(10))
    np.testing.assert_array_equal(found["images"], np.rint(images[found["images_place"]] * 255))
    np.testing.assert_array_equal(found["plane_labels"], labels[:30])


def test_the_first_network_is_published_whole(made, monkeypatch, small):
    tiny(monkeypatch, made.folder, small)
    run = runs.load_run("autoencoder-lstm-2", "VAE")
    inputs = autoencoder.sequences("digits").test
    again = autoencoder.measure_digits(runs.restore(run), inputs, small.test.labels)
    row = made.study.data.sel(model="lstm-2", network=0)
    for name, array in again.items():
        stored = row[f"digits_{name}"]
        np.testing.assert_allclose(stored, array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert run.metrics["importance"] == pytest.approx(float(again["importance"]), abs=1e-3)


def test_an_interrupted_study_goes_on_from_the_last_finished_network(made, monkeypatch, small):
    tiny(monkeypatch, made.folder, small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    (made.folder / "results" / "autoencoder" / "study.json").unlink()
    autoencoder.publish(1, lambda line: None, workers=1)
    again = results.load_study(str(made.folder / "results" / "autoencoder"))
    assert again.data.identical(made.study.data)


def test_networks_that_are_there_are_given(made, monkeypatch, small):
    tiny(monkeypatch, made.folder, small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    names = ["mlp-3", "lstm-2"]
    given = autoencoder.trained_runs(names, 1, lambda line: None, workers=1)
    found = {
        name: [(run.name, run.config["model"]) for run in runs] for name, runs in given.items()
    }
    assert found == {"mlp-3": [("mlp-3-0", "MLPVAE")], "lstm-2": [("lstm-2-0", "VAE")]}
    (run,) = given["lstm-2"]
    assert run.provenance["seed"] == 0
    stored = made.study.data["digits_importance"].sel(model="lstm-2", network=0)
    assert run.metrics["importance"] == pytest.approx(float(stored), abs=1e-4)


def test_a_network_of_another_recipe_is_made_anew(made, monkeypatch, small):
    tiny(monkeypatch, made.folder, small)
    assert autoencoder._load_part("mlp-3", 0) is not None
    other = autoencoder.GROUPS["mlp-3"]._replace(recipe=TINY._replace(epochs=1))
    monkeypatch.setattr(autoencoder, "GROUPS", autoencoder.GROUPS | {"mlp-3": other})
    assert autoencoder._load_part("mlp-3", 0) is None
    assert autoencoder._load_part("lstm-2", 0) is not None


def states_of(rng, samples=40):
    """Trajectories in a plane through the space of trajectories, and what reads them."""
    labels = (np.arange(samples) % 2).astype(np.int32)
    z = rng.normal(size=(samples, 2)) + 6 * labels[:, None]
    states = (z @ rng.normal(size=(2, 4 * 3))).reshape(samples, 4, 3).astype(np.float32)
    inputs = autoencoder.Sequences(states, states, states, labels, "none")
    W = np.linalg.lstsq(states[:, -1], 2.0 * labels - 1, rcond=None)[0]
    return inputs, z, access.Readout(np.stack([-W, W]), np.zeros(2))


def test_what_is_left_of_states_is_nothing_for_themselves_and_all_for_their_mean():
    inputs, z, readout = states_of(np.random.default_rng(0))
    perfect = autoencoder.measure_states(inputs.test, z, inputs, readout)
    assert perfect["left"] == 0 and perfect["same"] == 1 and perfect["probe"] > 0.9
    means = np.broadcast_to(inputs.test.mean(axis=0), inputs.test.shape)
    nothing = autoencoder.measure_states(means, z, inputs, readout)
    assert nothing["left"] == pytest.approx(1) and nothing["accuracy"] == pytest.approx(0.5)
    np.testing.assert_allclose(nothing["left_in_time"], 1, rtol=1e-5)


def test_misread_digits_are_counted_by_themselves():
    inputs, z, readout = states_of(np.random.default_rng(0))
    read = (inputs.test[:, -1] @ readout.W.T + readout.b).argmax(axis=1)
    wrong = read.copy().astype(np.int32)
    wrong[:4] = 1 - wrong[:4]
    found = autoencoder.measure_states(inputs.test, z, inputs._replace(labels=wrong), readout)
    assert found["accuracy"] == pytest.approx(36 / 40)
    assert found["misread_same"] == 1 and found["misread_right"] == 0
    flipped = inputs.test.copy()
    flipped[:2, -1] *= -1
    turned = (flipped[:2, -1] @ readout.W.T).argmax(axis=1)
    assert (turned == wrong[:2]).all()
    found = autoencoder.measure_states(flipped, z, inputs._replace(labels=wrong), readout)
    assert found["misread_same"] == found["misread_right"] == 0.5


def test_two_modes_hold_trajectories_in_a_plane(monkeypatch):
    monkeypatch.setattr(autoencoder, "MODES", (1, 2))
    inputs, _, readout = states_of(np.random.default_rng(1))
    found = autoencoder.measure_modes(inputs, readout)
    assert {name: array.ndim for name, array in found.items()} == {
        name: len(axes) for name, axes in autoencoder.OF_MODES.items()
    }
    trajectory, step = found["left"]
    assert trajectory[1] < 1e-8 < trajectory[0] < step[0]  # a step has numbers of its own
    flat = inputs.train.reshape(40, -1)
    left = 1 - pod.energies(pod.pod(flat, centred=True))[0]
    assert trajectory[0] == pytest.approx(left, rel=1e-4)
    assert found["plane"].shape == (40, 2)


def test_plain_networks_are_about_as_large_as_those_beside_them():
    for size in ("32", "2"):
        counts = []
        for kind in ("lstm", "mlp"):
            fresh = nnx.eval_shape(
                lambda name=f"{kind}-{size}": autoencoder.create(name, 28, 28)(jax.random.key(0))
            )
            counts.append(sum(leaf.size for leaf in jax.tree.leaves(nnx.state(fresh))))
        assert counts[1] == pytest.approx(counts[0], rel=0.03)


def test_the_published_study_is_whole(load_published):
    study = load_published("autoencoder")
    names = [name for name in autoencoder.GROUPS if name not in autoencoder.LARGE_GROUPS]
    data, groups = study.data, autoencoder.GROUPS
    digits = [name for name in names if groups[name].sequences == "digits"]
    assert data["model"].to_numpy().tolist() == digits
    assert data["size"].to_numpy().tolist() == list(autoencoder.MODES)
    assert data["network"].to_numpy().tolist() == [0, 1, 2]
    for name in names:
        assert data.sizes["epoch"] == groups[name].recipe.epochs
        # models were called otherwise when this was published
        described = autoencoder._describe(name)
        del described["model"]
        assert described.items() <= study.provenance["groups"][name].items()
    assert all(np.isfinite(array).all() for array in data.data_vars.values())


@pytest.mark.parametrize("name", autoencoder.WHOLE)
def test_published_bounds_are_recomputed(name, load_published, real_mnist):
    large = name in autoencoder.LARGE_GROUPS
    found = load_published("likelihood" if large else "autoencoder").data
    inputs = autoencoder.binarised(datasets.mnist().test.images)[:20]
    model = runs.restore(runs.load_run(f"autoencoder-{name}", "VAE"))
    bounds = vae.bounds(model, inputs, jax.random.key(0), autoencoder.SAMPLES)
    stored = found["digits_first"].sel(model=name, network=0)[:20]
    np.testing.assert_allclose(bounds.importance, stored, atol=0.05)
