from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import maps
from rnnatomy.data import datasets
from rnnatomy.networks import autonomous, models, runs, training, vae
from rnnatomy.store import checkout, disk, results
from rnnatomy.studies import autoencoder, engine, latent, latent_page, pace

TINY = pace.GROUP._replace(
    latent=2, hidden=6, recipe=training.Recipe(epochs=2, batch=32, learning_rate=5e-3)
)


def tiny(patch, folder, small):
    patch.setenv("ENGINE", "here")
    patch.setattr(checkout, "ROOT", folder)
    patch.setattr(datasets, "mnist", lambda: small)
    patch.setattr(pace, "GROUP", TINY)
    patch.setattr(latent, "EACH", 2)
    patch.setattr(latent, "PRIOR", 3)
    patch.setattr(latent, "CHUNK", 5)
    patch.setattr(latent, "LINES", 11)


@pytest.fixture(scope="module")
def study(tmp_path_factory, small):
    """A tiny study, its lines, and the folder that it lies in."""
    folder, lines = tmp_path_factory.mktemp("latent"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        latent.publish(2, lines.append)
        return results.load_study("latent"), lines, folder


@pytest.fixture
def untrained():
    return models.VAE(5, 4, 6, 2, rngs=nnx.Rngs(0))


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(7, 2))


def plant(model, **gates):
    """Let the decoder of a model have no weights, and these biases of the gates i f g o."""
    for layer in (model.decoder.dense_i, model.decoder.dense_h):
        kernel = layer.kernel
        kernel[...] = np.zeros(kernel[...].shape, np.float32)
    bias = np.repeat([gates.get(gate, 0.0) for gate in "ifgo"], model.config["hidden"])
    model.decoder.dense_h.bias[...] = bias.astype(np.float32)


def test_the_study_has_a_row_for_each_network(study):
    found, lines, _ = study
    data = found.data
    assert {name: array.dims for name, array in data.data_vars.items()} == latent.AXES
    sizes = {"network": 2, "state": 2, "vector": 23, "line": 11, "walk": 20, "digit": 10}
    assert sizes.items() <= dict(data.sizes).items()
    assert data["network"].to_numpy().tolist() == [100, 101]
    assert data["vector_source"].to_numpy().tolist() == ["image"] * 20 + ["prior"] * 3
    for name, array in data.data_vars.items():
        if name not in ("modulus", "sets", "unstable", "largest"):
            assert np.isfinite(array).all(), name
    assert found.provenance["networks"] == 2 and found.provenance["jobs"] == 4
    assert found.provenance["group"]["hidden"] == 6 and found.provenance["each"] == 2
    assert lines[-1] == "latent: 2 of 2 jobs done"


def test_a_row_is_that_of_a_network_of_its_seed(study, small, monkeypatch, tmp_path):
    tiny(monkeypatch, tmp_path, small)
    made = pace.train([101], TINY, small.checksum)[0]
    again = latent.draw_on(101, small.checksum, made)
    row = study[0].data.sel(network=101)
    assert set(again) == set(latent.AXES)
    for name in ("elbo", "kind", "sets", "modulus", "ink", "accuracy", "points", "ink_in_time"):
        np.testing.assert_allclose(row[name], again[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_control_is_an_untrained_decoder_under_the_same_vectors(
    study, small, monkeypatch, tmp_path
):
    tiny(monkeypatch, tmp_path, small)
    told = study[0].data["accuracy"].sel(told="vector")
    np.testing.assert_array_equal(told.sel(state="trained"), told.sel(state="untrained"))
    fresh = autoencoder.create(TINY, 8, 8)(jax.random.key(100))
    made = pace.train([100], TINY, small.checksum)[0]
    trained = runs.restore(autoencoder.run_of(made, "network"))
    chosen = datasets.first_of_each(small.test.labels, latent.EACH)
    assert np.array_equal(small.test.labels[chosen], np.repeat(np.arange(10), 2))
    means = vae.posterior(trained, autoencoder.binarised(small.test.images)[chosen]).mean
    drawn = np.random.default_rng(100).normal(size=(3, 2))
    every = np.concatenate([np.asarray(means, float), drawn])
    network = autonomous.drawing(fresh, every[4])
    path = maps.run(network.step, network.start(every[4][None]), 1000, 100)[0]
    row = study[0].data.sel(network=100, state="untrained").isel(vector=4)
    ink = np.asarray(jax.nn.sigmoid(network.outputs(path))).mean()
    assert float(row["ink"].sel(part="end")) == pytest.approx(ink, rel=1e-4)


def test_what_is_done_is_not_done_again(study, small, monkeypatch):
    tiny(monkeypatch, study[2], small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    monkeypatch.setattr(latent, "measure", None)
    latent.publish(2, lambda line: None)
    again = results.load_study("latent")
    assert again.data.identical(study[0].data) and again.provenance["reused"] == "all"


def test_the_networks_are_those_of_pace(study, small, monkeypatch):
    tiny(monkeypatch, study[2], small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    lines = []
    engine.run("pace", pace.training_jobs(2, small.checksum), report=lines.append)
    assert lines == ["pace: 2 of 2 jobs done, 2 of them reused"]


def test_maps_of_many_vectors_are_run_as_each_by_itself(untrained, vectors, monkeypatch):
    monkeypatch.setattr(latent, "CHUNK", 3)
    network = autonomous.drawing(untrained, vectors[0])
    starts = latent._starts(network, vectors)
    own = network.start(vectors)
    np.testing.assert_array_equal(starts[:, 0], own)
    course = latent.run_on(untrained, vectors, starts)
    for k in (0, 6):
        one = autonomous.drawing(untrained, vectors[k])
        path = maps.run(one.step, starts[k], 1000, 1000)
        hidden = one.hidden(path)
        np.testing.assert_allclose(course.early[k], hidden[0, :112], rtol=1e-10)
        np.testing.assert_allclose(course.end[k], hidden[:, -100:].mean(axis=1), rtol=1e-10)
        np.testing.assert_allclose(course.last[k], path[:, -1], rtol=1e-10)
        memory = np.abs(path[0, [27, 499, 999], :6]).max(axis=1)
        np.testing.assert_allclose(course.memory[k], memory, rtol=1e-10)
    # a row is what the model itself draws
    drawn = np.asarray(jax.nn.sigmoid(untrained.decode(jnp.asarray(vectors, np.float32))))
    ink = latent._ink(network, course.early[:, :5])
    np.testing.assert_allclose(ink, drawn.mean(axis=2), rtol=1e-4)


def test_a_decoder_with_one_fixed_point_arrives(untrained, vectors):
    """With gates at 1/2 and g = tanh(1), c ends at g, and a difference halves with each step."""
    plant(untrained, g=1.0)
    network = autonomous.drawing(untrained, vectors[0])
    course = latent.run_on(untrained, vectors, latent._starts(network, vectors))
    found = latent.of_vectors(untrained, vectors, course)
    assert set(found) == set(latent.OF_VECTOR)
    assert (found["kind"] == maps.KINDS.index("fixed point")).all()
    assert (found["sets"] == 1).all() and (found["arrived"] == 1).all()
    np.testing.assert_allclose(found["modulus"], 0.5, rtol=1e-5)
    np.testing.assert_allclose(found["memory"], np.tanh(1), rtol=1e-4)
    end = np.tanh(np.tanh(1)) / 2
    np.testing.assert_allclose(course.end, end, rtol=1e-6)
    for name in ("motion", "wander", "range", "by_start"):
        np.testing.assert_allclose(found[name], 0, atol=1e-6)
    np.testing.assert_allclose(found["left"][:, 3:], 0, atol=1e-6)
    assert (found["left"][:, 0] > 1e-3).all()
    points = latent.fixed_points(untrained, vectors[:2])
    np.testing.assert_array_equal(points["points"], 1)
    np.testing.assert_array_equal(points["unstable"], 0)
    np.testing.assert_allclose(points["largest"], 0.5, rtol=1e-5)


def test_a_decoder_that_counts_does_not_arrive(untrained, vectors):
    """With i and f near 1, a memory cell counts up by g at each step."""
    plant(untrained, i=20.0, f=20.0, g=1.0)
    network = autonomous.drawing(untrained, vectors[0])
    course = latent.run_on(untrained, vectors, latent._starts(network, vectors))
    found = latent.of_vectors(untrained, vectors, course)
    assert (found["kind"] == latent.OPEN).all() and (found["arrived"] == 0).all()
    assert np.isnan(found["sets"]).all() and np.isnan(found["modulus"]).all()
    grown = np.diff(found["memory"], axis=1) / np.diff(latent.MOMENTS)
    np.testing.assert_allclose(grown, np.tanh(1), rtol=1e-3)


def test_the_nearest_mean_leaves_a_point_out():
    labels = np.repeat([0, 1], 3)
    apart = np.array([[0.0], [1], [2], [10], [11], [12]])
    assert latent.nearest_mean(apart, labels) == 1
    # the point at 7 is nearer to the mean 3.0 of its class only because it is one of it
    points = np.array([[0.0], [2], [7], [9], [9], [9]])
    assert latent.nearest_mean(points, labels) == pytest.approx(5 / 6)
    rng = np.random.default_rng(0)
    many, of = rng.normal(size=(60, 3)), np.tile(np.arange(3), 20)
    right = []
    for k in range(60):
        rest = np.arange(60) != k
        means = [many[rest & (of == label)].mean(axis=0) for label in range(3)]
        right.append(np.argmin([np.linalg.norm(many[k] - mean) for mean in means]) == of[k])
    assert latent.nearest_mean(many, of) == pytest.approx(np.mean(right))


def test_lines_go_from_digit_to_digit(monkeypatch):
    monkeypatch.setattr(latent, "LINES", 4)
    means = np.array([[0.0, 0], [0, 1], [10, 0], [10, 1]])
    lines = latent._lines(means, np.array([3, 3, 5, 5]))
    assert lines.shape == (4, 21, 2)
    ends = lines[:, [0, -1]].tolist()
    assert ends == [
        [[0, 0], [10, 1]],
        [[10, 0], [0, 1]],
        [[0, 1], [10, 0]],
        [[10, 1], [0, 0]],
    ]
    np.testing.assert_allclose(np.diff(lines[0, :, 0]), 0.5)


def test_steps_along_a_line_are_those_of_its_ends(untrained, vectors, monkeypatch):
    monkeypatch.setattr(latent, "LINES", 4)
    lines = latent._lines(vectors[:4], np.array([0, 0, 1, 1]))
    found = latent.walk(untrained, lines)
    assert found.shape == (4, latent.WALKED, 2)
    ends = []
    for vector in lines[1, :3]:
        one = autonomous.drawing(untrained, vector)
        ends.append(one.hidden(maps.run(one.step, one.start(vector[None]), 1000, 1)[0, 0]))
    expected = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    np.testing.assert_allclose(found[1, :2, 1], expected, rtol=1e-4)


def test_the_whole_study_is_small(study):
    coordinates = latent._coordinates(10)
    sizes = dict(study[0].data.sizes) | {"network": 10, "line": latent.LINES}
    sizes |= {"vector": len(coordinates["vector_source"][1])}
    assert sizes["vector"] == 200
    numbers = sum(np.prod([sizes[axis] for axis in own]) for own in latent.AXES.values())
    assert 4 * numbers < 600e3
    # networks that were looked at before are not among those that are published
    assert coordinates["network"].max() < 128


@pytest.fixture
def published(load_published):
    try:
        return load_published("latent")
    except disk.StoreError:
        pytest.skip("the study is not published yet")


def test_the_published_study_is_whole(study, published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(study[0].data, data)
    assert latent._facts().items() <= told.items() and told["networks"] >= 10
    assert data.sizes["network"] == told["networks"] and data.sizes["vector"] == 200
    assert told["group"] == autoencoder.describe_group(pace.GROUP)
    folder = Path(__file__).resolve().parents[2] / "results" / "latent"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1e6
    assert list(latent_page.answers(data)) == list(latent_page.EXPECTED)
    for one in latent_page.groups(data).values():
        assert one.networks == told["networks"]


def test_published_networks_are_those_of_pace(published, load_published):
    theirs = load_published("pace").data["elbo"].sel(network=published.data["network"])
    np.testing.assert_allclose(published.data["elbo"], theirs, rtol=0.02)
