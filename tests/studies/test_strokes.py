import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import gates, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, vae
from rnnatomy.store import checkout, results
from rnnatomy.studies import autoencoder, engine, strokes
from rnnatomy.studies.engine import jobs as engine_jobs


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def inputs(rng):
    return (rng.random((7, 5, 4)) < 0.4).astype(np.float32)


@pytest.fixture
def model(rng):
    """An autoencoder of 6 units whose recurrent matrix of g has a single direction."""
    made = models.VAE(5, 4, 6, 3, rngs=nnx.Rngs(0))
    matrices = access.matrices(made, "decoder")
    changed = {name: 3 * rng.normal(size=matrix.shape) for name, matrix in matrices.items()}
    changed["recurrent g"] = np.outer(rng.normal(size=6), rng.normal(size=6))
    return access.with_matrices(made, changed, "decoder")


def by_hand(model, latent):
    """What the decoder draws, in plain NumPy."""
    p, cell = access.flatten(model), access.matrices(model, "decoder")
    biases = np.split(p["decoder.dense_h.bias"], 4)
    c, h = np.split(latent @ p["start.kernel"] + p["start.bias"], 2, axis=1)
    h = np.tanh(h)
    rows = []
    for _ in range(5):
        i, f, g, o = (
            latent @ cell[f"input {a}"].T + h @ cell[f"recurrent {a}"].T + b
            for a, b in zip("ifgo", biases, strict=True)
        )
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        rows.append(h @ p["readout.kernel"] + p["readout.bias"])
    return np.stack(rows, axis=1)


def cost(logits, x):
    return (np.logaddexp(0, logits) - x * logits).sum(axis=(1, 2))


def test_what_is_measured_is_what_a_decoder_draws_without_a_direction(model, inputs):
    found = strokes.measure_decoder(model, inputs, np.random.default_rng(0))
    latent = np.asarray(vae.posterior(model, inputs).mean, float)
    whole = by_hand(model, latent)
    assert found["whole"] == pytest.approx(cost(whole, inputs).mean(), rel=1e-4)
    matrices = access.matrices(model, "decoder")
    for name, number in (("input o", 2), ("recurrent f", 1), ("recurrent g", 1)):
        left = svd.compose(svd.without(svd.svd(matrices[name]), number))
        changed = access.with_matrices(model, matrices | {name: left}, "decoder")
        logits, place = by_hand(changed, latent), (gates.MATRICES.index(name), number - 1)
        more = (cost(logits, inputs) - cost(whole, inputs)).mean()
        assert found["cost"][place] == pytest.approx(more, rel=1e-3, abs=1e-4)
        before, after = (1 / (1 + np.exp(-z)) for z in (whole, logits))
        ratio = after.sum(axis=(1, 2)) / before.sum(axis=(1, 2))
        assert found["ink"][place] == pytest.approx(np.median(ratio), rel=1e-4)
        assert found["fainter"][place] == pytest.approx((ratio < 1).mean())
        ratio = strokes.height(after) / strokes.height(before)
        assert found["height"][place] == pytest.approx(np.median(ratio), rel=1e-4)
        assert found["shorter"][place] == pytest.approx((ratio < 1).mean())


def test_a_direction_that_is_not_there_costs_nothing(model, inputs):
    """Planted: recurrent g has one direction, so that without it nothing of the matrix is left."""
    found = strokes.measure_decoder(model, inputs, np.random.default_rng(0), ["recurrent g"])
    np.testing.assert_allclose(found["share"][0], [1, 0, 0, 0], atol=1e-6)
    for key, whole in (("cost", 0), ("random_cost", 0), ("ink", 1), ("height", 1)):
        np.testing.assert_allclose(found[key][0, 1:], whole, atol=1e-4)
    assert abs(found["cost"][0, 0]) > 0.01
    # all energy is lost: no direction is left to choose
    assert found["random_cost"][0, 0] == pytest.approx(found["cost"][0, 0], abs=1e-4)


def test_height_and_ink_of_drawings_that_are_known():
    images = np.zeros((4, 9, 6))
    images[0, 2:7, 3] = 1  # a bar of five rows
    images[1, [0, 8], 1] = 0.5  # two points, eight rows apart
    images[2, 4] = 1  # one row
    assert strokes.ink(images).tolist() == [5, 1, 6, 0]
    np.testing.assert_allclose(strokes.height(images), [np.sqrt(2), 4, 0, 0], atol=1e-9)


def untrained(seed, name, group, data_sha256):
    """Stands for ``autoencoder.train_networks``: another network for each name and seed."""
    return [made_of(network(name, one)) for one in seed]


def untrained_anew(seed, name, group, data_sha256):
    return [made_of(network(name, one + 9)) for one in seed]


def network(name, seed):
    return models.VAE(8, 8, 5, 2, rngs=nnx.Rngs(len(name) + seed))


def made_of(model):
    arrays = {f"parameters/{path}": array for path, array in access.flatten(model).items()}
    return engine.Made(arrays, {"config": model.config})


def tiny(patch, folder, small):
    patch.setenv("ENGINE", "here")
    patch.setattr(checkout, "ROOT", folder)
    patch.setattr(datasets, "mnist", lambda: small)
    patch.setattr(autoencoder, "train_networks", untrained)
    patch.setattr(strokes, "DRAWN", 9)
    patch.setattr(strokes, "REMOVED", 1)


@pytest.fixture(scope="module")
def study(tmp_path_factory, small):
    """A tiny study, its lines, and the folder that it lies in."""
    folder, lines = tmp_path_factory.mktemp("strokes"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        strokes.publish(2, lines.append)
        return results.load_study("strokes"), lines, folder


def test_the_study_has_a_row_for_each_network(study, small, monkeypatch):
    found, lines, _ = study
    told = found.provenance
    assert told["networks"] == 4 and told["jobs"] == 8 and told["reused"] == []
    assert lines[-1] == "strokes: 4 of 4 jobs done"
    monkeypatch.setattr(strokes, "REMOVED", 1)
    inputs = autoencoder.binarised(small.test.images)[:9]
    for name in strokes.GROUPS:
        for seed in range(2):
            row = found.data.sel(model=name, network=seed)
            again = strokes.measure_decoder(
                network(name, seed), inputs, np.random.default_rng(seed)
            )
            assert again.keys() == set(row.data_vars)
            for key, array in again.items():
                np.testing.assert_array_equal(row[key], array)


def test_only_networks_that_were_trained_anew_are_taken_apart_anew(study, small, monkeypatch):
    tiny(monkeypatch, study[2], small)

    def are_there(checksum):
        networks = autoencoder.jobs(strokes.GROUPS, 2, checksum)
        jobs = strokes.jobs(engine.run("networks", networks, report=lambda line: None), checksum)
        found = [engine_jobs.look_up(job, engine_jobs.identify(job, "cpu")) for job in jobs]
        return sum(kept is not None for kept in found)

    assert are_there(small.checksum) == 4
    assert are_there("other") == 0
    monkeypatch.setattr(autoencoder, "train_networks", untrained_anew)
    assert are_there(small.checksum) == 0


def test_the_study_has_the_published_form(study, published, assert_same_form):
    assert_same_form(study[0].data, published.data)


def test_a_matrix_of_two_directions_has_no_third(rng, inputs):
    model = models.VAE(5, 4, 6, 2, rngs=nnx.Rngs(0))
    found = strokes.measure_decoder(model, inputs, rng, ["input f", "recurrent f"])
    for key in found.keys() - {"whole"}:
        there = np.isfinite(found[key]).tolist()
        assert there == [[True, True, False, False], [True] * 4], key


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("strokes")


def test_the_published_study_is_whole(published):
    told, found = published.provenance, published.data
    assert told["groups"] == list(strokes.GROUPS) == found["model"].to_numpy().tolist()
    assert told["drawn"] == strokes.DRAWN
    shape = (3, len(gates.MATRICES), strokes.REMOVED)
    assert found["matrix"].to_numpy().tolist() == list(gates.MATRICES)
    for group in strokes.GROUPS:
        for key in ("share", "cost", "ink", "height", "random_cost", "random_height"):
            array = found[key].sel(model=group).to_numpy()
            assert array.shape == shape
            # two latent units: the input matrices have two directions
            fewer = np.zeros(shape, bool)
            fewer[:, :4, int(group.split("-")[1]) :] = True
            np.testing.assert_array_equal(np.isnan(array), fewer)
            assert len(np.unique(array, axis=0)) == 3


@pytest.mark.parametrize("group", strokes.GROUPS)
def test_a_published_row_is_recomputed(published, group, real_mnist):
    model = runs.restore(runs.load_run(f"autoencoder-{group}", "VAE"))
    inputs = autoencoder.binarised(datasets.mnist().test.images)[: strokes.DRAWN]
    again = strokes.measure_decoder(model, inputs, np.random.default_rng(0), ["recurrent i"])
    row = published.data.sel(model=group, network=0)
    assert float(row["whole"]) == pytest.approx(again["whole"], rel=1e-4)
    for key in ("share", "cost", "ink", "height", "fainter", "shorter"):
        stored = row[key].sel(matrix="recurrent i")
        np.testing.assert_allclose(stored, again[key][0], rtol=2e-3, atol=0.006, err_msg=key)
