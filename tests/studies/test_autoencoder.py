import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import pod
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training, vae
from rnnatomy.store import checkout, results
from rnnatomy.studies import autoencoder, engine, likelihood, progress
from rnnatomy.studies.engine import jobs as engine_jobs

TINY = training.Recipe(epochs=2, batch=16, learning_rate=5e-3, weight_decay=0.0)
KINDS = {"lstm-2": ("VAE", "digits", 2), "mlp-3": ("MLPVAE", "digits", 3)}
KINDS |= {"states-2": ("VAE", "states", 2)}


def tiny(monkeypatch, folder, small):
    """The study on a few digits of 8 x 8, and on the states of an untrained classifier."""
    groups = {
        name: autoencoder.Group(kind, sequences, latent, 6, TINY, vae.Objective(0.5))
        for name, (kind, sequences, latent) in KINDS.items()
    }
    monkeypatch.setenv("ENGINE", "here")
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


def unfitted(create, recipe, keys):
    """Networks as they are made, with a history in which each number tells its epoch and seed."""
    states = [nnx.split(create(key)) for key in keys]
    parameters = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state for _, state in states))
    numbers = np.arange(recipe.epochs * len(keys), dtype=np.float32).reshape(-1, len(keys))
    names = [name.removeprefix("history_") for name in autoencoder.HISTORY]
    history = dict.fromkeys(names, numbers) | {"seconds": np.full(recipe.epochs, 6.0)}
    return training.Fitted(states[0][0], parameters, history)


def fit_digits_alone(patch):
    """Fit the LSTMs of digits alone: each kind of network takes long to compile."""
    fit = vae.fit

    def fit_or_not(create, train, validation, recipe, keys, objective, **options):
        model = create(keys[0])
        if isinstance(model, models.VAE) and model.noise is None:
            return fit(create, train, validation, recipe, keys, objective, **options)
        return unfitted(create, recipe, keys)

    patch.setattr(vae, "fit", fit_or_not)


def save_classifier(folder, seed):
    model = models.Classifier(8, 5, 10, rngs=nnx.Rngs(seed))
    run = runs.Run("mnist-0", model.config, access.flatten(model), {}, {"seed": seed})
    runs.save_run(folder / "build" / "runs" / "mnist-0", run)


class Made(NamedTuple):
    """Both tiny studies, what was told, and the folder that they lie in."""

    folder: Path
    study: results.Study
    large: results.Study
    lines: list[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory, small):
    folder, lines = tmp_path_factory.mktemp("autoencoder"), []
    save_classifier(folder, seed=0)
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        fit_digits_alone(patch)
        patch.setattr(progress, "print_line", lines.append)
        autoencoder.publish(1, lines.append)
        likelihood.publish(1, lines.append)
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
    assert made.study.provenance["jobs"] == 3 and made.study.provenance["reused"] == []
    assert "lstm-2, seed 0: epoch 1 of 2" in made.lines[0]
    assert "autoencoder: 3 of 3 jobs done" in made.lines and "likelihood: 1 of 1" in made.lines[-1]


@pytest.mark.parametrize("name", ["autoencoder", "likelihood"])
def test_the_study_has_the_published_form(made, name, load_published, assert_same_form):
    study = {"autoencoder": made.study, "likelihood": made.large}[name]
    assert_same_form(study.data, load_published(name).data)


def test_rows_are_in_order_and_named(monkeypatch, tmp_path, small):
    """Each network holds the number of its group and its seed wherever it has a number."""
    names = [name for name in autoencoder.GROUPS if name not in autoencoder.LARGE_GROUPS]
    sizes = {"epoch": 3, "digit": 10, "point": 5, "latent": 2, "row": 8, "size": 3, "modes_of": 2}

    def filled(axes, number):
        """Put the number of each network, or of each kind and size of modes, into all arrays."""
        arrays = {}
        for key, own in axes.items():
            arrays[key] = np.zeros([sizes.get(axis, 4) for axis in own], np.float32)
            if key != "plane":
                arrays[key].T[...] = np.asarray(number).T
        return arrays

    def counted(seed, name, group, data_sha256, classifier=None):
        own = autoencoder.OF_DIGITS if classifier is None else autoencoder.OF_STATES
        numbers = [10 * names.index(name) + one for one in seed]
        return [filled(own | autoencoder.OF_NETWORK, number) for number in numbers]

    def modes(sizes, data_sha256, classifier):
        return filled(autoencoder.OF_MODES, np.arange(6.0).reshape(2, 3))

    (tmp_path / "results").mkdir()
    save_classifier(tmp_path, seed=0)
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.setattr(autoencoder, "train_networks", counted)
    monkeypatch.setattr(autoencoder, "decompose", modes)
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setattr(datasets, "mnist", lambda: small)
    monkeypatch.setattr(autoencoder, "PLANE", 5)
    monkeypatch.setattr(autoencoder, "EXAMPLES", 1)
    monkeypatch.setattr(autoencoder, "WHOLE", ())
    autoencoder.publish(2, lambda line: None)
    found = results.load_study("autoencoder").data
    for name, number in (("lstm-2", 0), ("mlp-2", 40)):
        for seed in (0, 1):
            row = found.sel(model=name, network=seed)
            for key in ("digits_elbo", "digits_by_class", "digits_means", "digits_history_kl"):
                assert (row[key] == number + seed).all()
    for size, number in ((32, 10), (8, 20), (2, 30)):
        row = found.sel(size=size, network=1)
        assert row["states_left"] == number + 1 and (row["states_left_in_time"] == number + 1).all()
    assert (found["states_plane"].sel(network=1) == 31).all()
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
    inputs = autoencoder.binarised(small.test.images)
    again = autoencoder.measure_digits(runs.restore(run), inputs, small.test.labels)
    row = made.study.data.sel(model="lstm-2", network=0)
    for name, array in again.items():
        stored = row[f"digits_{name}"]
        np.testing.assert_allclose(stored, array, rtol=1e-3, atol=1e-3, err_msg=name)
    assert run.metrics["importance"] == pytest.approx(float(again["importance"]), abs=1e-3)
    size = sum(array.size for array in run.parameters.values())
    assert run.metrics["parameters"] == size and len(run.metrics["history_elbo"]) == 2
    told = run.provenance
    assert told["seed"] == 0 and told["frames"] == 8 and told["recipe"] == TINY._asdict()
    assert told["data_sha256"] == small.checksum and told["wall_seconds"] > 0
    assert {"command", "commit", "versions", "device"} <= told.keys()


def test_what_is_done_is_not_done_again(made, monkeypatch, small):
    tiny(monkeypatch, made.folder, small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    autoencoder.publish(1, lambda line: None)
    again = results.load_study("autoencoder")
    assert again.data.identical(made.study.data) and again.provenance["reused"] == "all"
    assert again.provenance["wall_seconds"] == made.study.provenance["wall_seconds"]


def test_an_interrupted_network_goes_on_from_its_last_epoch(monkeypatch, tmp_path, small):
    tiny(monkeypatch, tmp_path, small)
    jobs = autoencoder.jobs(["mlp-3"], 1, small.checksum)
    lines, tell = [], progress.print_line

    def stop(line):
        tell(line)
        raise RuntimeError("stopped")

    monkeypatch.setattr(progress, "print_line", stop)
    with pytest.raises(engine.EngineError, match=r"'autoencoder-mlp-3-0' .* failed: .* stopped"):
        engine.run("cut", jobs, report=tell)
    monkeypatch.setattr(progress, "print_line", lines.append)
    again = engine.load(*engine.run("cut", jobs, report=tell)).arrays
    assert [line.split(",")[1] for line in lines] == [" seed 0: epoch 2 of 2"]
    monkeypatch.setattr(checkout, "ROOT", tmp_path / "other")
    whole = engine.load(*engine.run("whole", jobs, report=tell)).arrays
    assert again.keys() == whole.keys()
    for name in again.keys() - {"history_seconds"}:
        np.testing.assert_array_equal(again[name], whole[name], err_msg=name)


def are_there(checksum):
    """Labels of the jobs of both tiny studies that are done."""
    names = list(autoencoder.GROUPS)
    jobs = autoencoder.jobs(names, 1, checksum) + autoencoder._linear_jobs(names, checksum)
    found = [engine_jobs.look_up(job, engine_jobs.identify(job, "cpu")) for job in jobs]
    return {kept.label.removeprefix("autoencoder-") for kept in found if kept is not None}


def test_a_network_of_another_recipe_objective_or_data_is_made_anew(made, monkeypatch, small):
    tiny(monkeypatch, made.folder, small)
    assert are_there(small.checksum) == {"lstm-2-0", "mlp-3-0", "states-2-0", "pod"}
    assert are_there("other") == set()
    group = autoencoder.GROUPS["mlp-3"]
    for other in (
        group._replace(recipe=TINY._replace(epochs=1)),
        group._replace(objective=vae.Objective(0.5, free=0.1)),
    ):
        monkeypatch.setattr(autoencoder, "GROUPS", autoencoder.GROUPS | {"mlp-3": other})
        assert are_there(small.checksum) == {"lstm-2-0", "states-2-0", "pod"}


def test_what_reads_a_classifier_that_was_trained_anew_is_made_anew(
    made, monkeypatch, tmp_path, small
):
    folder = shutil.copytree(made.folder, tmp_path / "book")
    tiny(monkeypatch, folder, small)
    fit_digits_alone(monkeypatch)
    save_classifier(folder, seed=1)
    assert are_there(small.checksum) == {"lstm-2-0", "mlp-3-0"}
    autoencoder.publish(1, lambda line: None)
    found, before = results.load_study("autoencoder"), made.study.data
    assert found.provenance["reused"] == ["autoencoder-lstm-2-0"]
    for name, array in found.data.data_vars.items():
        kind = str(name).split("_")[0]
        assert kind in ("states", "pod") or array.identical(before[name]), name
    assert not found.data["pod_left"].identical(before["pod_left"])


def test_networks_fitted_together_are_told_apart(monkeypatch, tmp_path, small):
    """As an accelerator fits them; each has the share of the seconds that all took."""
    tiny(monkeypatch, tmp_path, small)
    monkeypatch.setattr(vae, "fit", lambda c, t, v, recipe, k, *_, **__: unfitted(c, recipe, k))
    group = autoencoder.GROUPS["mlp-3"]
    made = autoencoder.train_networks([4, 7], "mlp-3", group, small.checksum)
    inputs = autoencoder.binarised(small.test.images)
    for place, (seed, found) in enumerate(zip((4, 7), made, strict=True)):
        run = autoencoder.run_of(found, "one")
        fresh = autoencoder.create(group, 8, 8)(jax.random.key(seed))
        assert run.config == fresh.config
        assert run.parameters.keys() == access.flatten(fresh).keys()
        for path, array in access.flatten(fresh).items():
            np.testing.assert_array_equal(run.parameters[path], array, err_msg=path)
        again = autoencoder.measure_digits(fresh, inputs, small.test.labels)
        for name, array in again.items():
            np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
        assert found.arrays["history_loss"].tolist() == [place, 2 + place]
        assert found.arrays["history_seconds"].tolist() == [3, 3]


def states_of(rng, samples=40):
    """Trajectories in a plane through the space of trajectories, and what reads them."""
    labels = (np.arange(samples) % 2).astype(np.int32)
    z = rng.normal(size=(samples, 2)) + 6 * labels[:, None]
    states = (z @ rng.normal(size=(2, 4 * 3))).reshape(samples, 4, 3).astype(np.float32)
    inputs = autoencoder.Sequences(states, states, states, labels)
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


def test_two_modes_hold_trajectories_in_a_plane():
    inputs, _, readout = states_of(np.random.default_rng(1))
    found = autoencoder.measure_modes(inputs, readout, (1, 2))
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
            group = autoencoder.GROUPS[f"{kind}-{size}"]
            fresh = nnx.eval_shape(
                lambda group=group: autoencoder.create(group, 28, 28)(jax.random.key(0))
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
