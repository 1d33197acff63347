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
        "MODES": (1, 2),
        "SAMPLES": 3,
    }
    settings |= {"FIRST": 5, "PLANE": 30, "EXAMPLES": 1}
    settings |= {"STATES_TRAINING": 64, "STATES_VALIDATION": 20}
    for name, value in settings.items():
        monkeypatch.setattr(autoencoder, name, value)


@pytest.fixture(scope="module")
def made(tmp_path_factory, small):
    folder, lines = tmp_path_factory.mktemp("autoencoder"), []
    model = models.Classifier(8, 5, 10, rngs=nnx.Rngs(0))
    run = runs.Run("mnist-0", "Classifier", access.flatten(model), {}, {"seed": 0})
    runs.save_run(folder / "build" / "runs" / "mnist-0", run)
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        autoencoder.publish(2, lines.append, workers=1)
        likelihood.publish(2, lambda line: None, workers=1)
        study, large = results.load_study("autoencoder"), results.load_study("likelihood")
    assert not {name for name in study.arrays if name.startswith("mlp-3")}
    return folder, study._replace(arrays=large.arrays | study.arrays), lines


def test_the_study_has_a_row_for_each_network(made):
    _, study, lines = made
    found = study.arrays
    for name, (_, sequences, latent) in KINDS.items():
        assert found[f"{name}.seed"].tolist() == [0, 1]
        assert found[f"{name}.history_elbo"].shape == (2, 2)
        assert (f"{name}.means" in found) == (latent == 2)
        if sequences == "digits":
            assert found[f"{name}.kl"].shape == (2, latent)
            assert found[f"{name}.first"].shape == (2, 5)
            assert found[f"{name}.by_class"].shape == (2, 10)
    assert found["states-2.left_in_time"].shape == (2, 8)
    assert found["lstm-2.means"].shape == (2, 30, 2) and found["plane_labels"].shape == (30,)
    assert found["pod.trajectory_left"].shape == found["pod.step_left"].shape == (2,)
    assert all(np.isfinite(array).all() for array in found.values())
    assert study.provenance["networks"] == 4 and study.provenance["seeds"] == 2
    assert "5 of 5" in lines[-1] and "lstm-2, seed 0: epoch 1 of 2" in lines[0]


def test_the_bounds_are_in_order_and_add_up(made):
    found = made[1].arrays
    for name in ("lstm-2", "mlp-3"):
        assert (found[f"{name}.elbo"] <= found[f"{name}.importance"]).all()
        parts = found[f"{name}.reconstruction"] - found[f"{name}.kl"].sum(axis=1)
        np.testing.assert_allclose(found[f"{name}.elbo"], parts, rtol=1e-4)


def test_pictures_are_the_first_test_images_of_each_digit(made, small):
    found = made[1].arrays
    images, labels = small.test.images, small.test.labels
    assert found["images_label"].tolist() == labels[found["images_place"]].tolist()
    assert sorted(found["images_label"].tolist()) == list(range(10))
    np.testing.assert_array_equal(found["images"], np.rint(images[found["images_place"]] * 255))
    np.testing.assert_array_equal(found["plane_labels"], labels[:30])


def test_the_first_network_is_published_whole(made, monkeypatch, small):
    tiny(monkeypatch, made[0], small)
    run = runs.load_run("autoencoder-lstm-2", "VAE")
    model, found = runs.restore(run), made[1].arrays
    again = autoencoder.measure_digits(
        model, autoencoder.sequences("digits").test, small.test.labels
    )
    for name, array in again.items():
        stored = found[f"lstm-2.{name}"][0]
        np.testing.assert_allclose(stored, array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert run.metrics["importance"] == pytest.approx(float(again["importance"]), abs=1e-3)


def test_an_interrupted_study_goes_on_from_the_last_finished_network(made, monkeypatch, small):
    folder, study, _ = made
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    (folder / "results" / "autoencoder" / "study.json").unlink()
    autoencoder.publish(2, lambda line: None, workers=1)
    again = results.load_study(str(folder / "results" / "autoencoder"))
    for name, array in again.arrays.items():
        np.testing.assert_array_equal(study.arrays[name], array)


def test_networks_that_are_there_are_given(made, monkeypatch, small):
    folder, study, _ = made
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    given = autoencoder.trained_runs(["mlp-3", "lstm-2"], 2, lambda line: None, workers=1)
    assert {name: [run.name for run in several] for name, several in given.items()} == {
        "mlp-3": ["mlp-3-0", "mlp-3-1"],
        "lstm-2": ["lstm-2-0", "lstm-2-1"],
    }
    for seed, run in enumerate(given["lstm-2"]):
        assert run.kind == "VAE" and run.provenance["seed"] == seed
        stored = study.arrays["lstm-2.importance"][seed]
        assert run.metrics["importance"] == pytest.approx(stored, abs=1e-4)


def test_a_network_of_another_recipe_is_made_anew(made, monkeypatch, small, tmp_path):
    tiny(monkeypatch, made[0], small)
    other = autoencoder.GROUPS["mlp-3"]._replace(recipe=TINY._replace(epochs=1))
    monkeypatch.setattr(autoencoder, "GROUPS", autoencoder.GROUPS | {"mlp-3": other})
    for name in ("save_run", "save_study"):
        monkeypatch.setattr(runs, name, lambda folder, made: None)
    assert autoencoder._wanted("mlp-3", 1) is None
    assert autoencoder._wanted("lstm-2", 1) is not None


def states_of(rng, samples=40):
    """Trajectories in a plane through the space of trajectories, and what reads them."""
    labels = (np.arange(samples) % 2).astype(np.int32)
    z = rng.normal(size=(samples, 2)) + 6 * labels[:, None]
    states = (z @ rng.normal(size=(2, 4 * 3))).reshape(samples, 4, 3).astype(np.float32)
    inputs = autoencoder.Sequences(states, states, states, labels, "none")
    W = np.linalg.lstsq(states[:, -1], 2.0 * labels - 1, rcond=None)[0]
    readout = {"readout.kernel": np.stack([-W, W], axis=1), "readout.bias": np.zeros(2)}
    return inputs, z, runs.Run("a", "Classifier", readout, {}, {})


def test_what_is_left_of_states_is_nothing_for_themselves_and_all_for_their_mean():
    inputs, z, run = states_of(np.random.default_rng(0))
    perfect = autoencoder.measure_states(inputs.test, z, inputs, run)
    assert perfect["left"] == 0 and perfect["same"] == 1 and perfect["probe"] > 0.9
    means = np.broadcast_to(inputs.test.mean(axis=0), inputs.test.shape)
    nothing = autoencoder.measure_states(means, z, inputs, run)
    assert nothing["left"] == pytest.approx(1) and nothing["accuracy"] == pytest.approx(0.5)
    np.testing.assert_allclose(nothing["left_in_time"], 1, rtol=1e-5)


def test_misread_digits_are_counted_by_themselves():
    inputs, z, run = states_of(np.random.default_rng(0))
    read = (inputs.test[:, -1] @ run.readout.T + run.bias).argmax(axis=1)
    wrong = read.copy().astype(np.int32)
    wrong[:4] = 1 - wrong[:4]
    found = autoencoder.measure_states(inputs.test, z, inputs._replace(labels=wrong), run)
    assert found["accuracy"] == pytest.approx(36 / 40)
    assert found["misread_same"] == 1 and found["misread_right"] == 0
    flipped = inputs.test.copy()
    flipped[:2, -1] *= -1
    turned = (flipped[:2, -1] @ run.readout.T).argmax(axis=1)
    assert (turned == wrong[:2]).all()
    found = autoencoder.measure_states(flipped, z, inputs._replace(labels=wrong), run)
    assert found["misread_same"] == found["misread_right"] == 0.5


def test_two_modes_hold_trajectories_in_a_plane(monkeypatch):
    monkeypatch.setattr(autoencoder, "MODES", (1, 2))
    inputs, _, run = states_of(np.random.default_rng(1))
    found = autoencoder.measure_modes(inputs, run)
    assert found["trajectory_left"][1] < 1e-8 < found["trajectory_left"][0]
    flat = inputs.train.reshape(40, -1)
    left = 1 - pod.energies(pod.pod(flat, centred=True))[0]
    assert found["trajectory_left"][0] == pytest.approx(left, rel=1e-4)
    assert found["trajectory_plane"].shape == (40, 2)


def test_plain_networks_are_about_as_large_as_those_beside_them():
    for size in ("32", "2"):
        counts = []
        for kind in ("lstm", "mlp"):
            fresh = nnx.eval_shape(
                lambda name=f"{kind}-{size}": autoencoder.create(name, 28, 28)(jax.random.key(0))
            )
            counts.append(sum(leaf.size for leaf in jax.tree.leaves(nnx.state(fresh))))
        assert counts[1] == pytest.approx(counts[0], rel=0.03)


STUDIES = {
    "autoencoder": [name for name in autoencoder.GROUPS if name not in autoencoder.LARGE_GROUPS],
    "likelihood": autoencoder.LARGE_GROUPS,
}


@pytest.mark.parametrize("name", STUDIES)
def test_the_published_study_is_whole(name):
    study = results.load_study(name)
    for group in STUDIES[name]:
        assert study.arrays[f"{group}.seed"].tolist() == [0, 1, 2]
        epochs = autoencoder.GROUPS[group].recipe.epochs
        assert study.arrays[f"{group}.history_elbo"].shape == (3, epochs)
        assert study.provenance["groups"][group] == autoencoder._described(group)
    assert all(np.isfinite(array).all() for array in study.arrays.values())


@pytest.mark.parametrize("name", STUDIES)
def test_published_bounds_are_recomputed(name, real_mnist):
    found, data = results.load_study(name).arrays, datasets.mnist()
    inputs = autoencoder.binarised(data.test.images)[:20]
    for group in set(autoencoder.WHOLE) & set(STUDIES[name]):
        model = runs.restore(runs.load_run(f"autoencoder-{group}", "VAE"))
        bounds = vae.bounds(model, inputs, jax.random.key(0), autoencoder.SAMPLES)
        np.testing.assert_allclose(bounds.importance, found[f"{group}.first"][0, :20], atol=0.05)
