import os
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster import hierarchy

from rnnatomy.analysis import points
from rnnatomy.data import authors, files
from rnnatomy.store import checkout, results
from rnnatomy.studies import authors as study
from rnnatomy.studies import engine

REAL_DATA = os.environ.get("RNNATOMY_DATA")
TURN = np.linspace(0, -2 * np.pi, authors.FRAMES)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)


def planted(apart):
    """States that go round in a plane, one kind above the other, ever farther apart."""
    shape = len(authors.ITERATIONS), 2, authors.FRAMES
    states = np.zeros((*shape, authors.UNITS))
    states[..., :2] = CIRCLE
    for place, height in enumerate(apart):
        states[place, 1, :, 2] = height
    inputs = np.stack([CIRCLE, 2 * CIRCLE])
    outputs = np.zeros((*shape, 2))
    outputs[-1] = study._ahead(inputs)
    return authors.Synthetic(inputs, states, states, outputs, "planted")


@pytest.fixture
def data(monkeypatch):
    made = planted(np.linspace(0.01, 3, len(authors.ITERATIONS)))
    monkeypatch.setattr(authors, "synthetic", lambda: made)
    monkeypatch.setattr(study, "SHUFFLES", 19)
    study._load.cache_clear()
    yield made
    study._load.cache_clear()


@pytest.fixture
def measured(data):
    made = study.measure_states("planted", 0)
    coordinates = study._coordinates(1)
    coordinates = {
        name: coordinates[name] for name in coordinates if name not in ("network", "window")
    }
    return results.dataset(made, study.AXES, coordinates)


def test_planted_clusters_are_found_when_they_are_apart(measured):
    ari = measured["ari"].sel(part="decoder")
    assert (abs(ari[0]) < 0.1).all()  # at 0.01, nearer than frames are
    np.testing.assert_allclose(ari[-1], 1)
    # paths apart by more than a step, by less than their width: chains tell them, means do not
    middle = ari.isel(checkpoint=2)
    assert middle.sel(clustering="single linkage") == 1 and middle.sel(clustering="k-means") < 0.1
    assert (measured["chance"] < 0.2).all()
    kinds = measured["kinds"].sel(part="decoder")
    assert kinds[0] < 0 < 0.5 < kinds[-1]


def test_planted_states_have_the_planted_modes_and_distances(measured):
    assert measured["modes"].max() == 3 and measured["modes"].sel(fraction=0.95)[0] == 2
    np.testing.assert_allclose(measured["energy"].sum("mode"), 1, rtol=1e-6)
    heights = np.linspace(0.01, 3, len(authors.ITERATIONS))
    for distance in study.DISTANCES:
        np.testing.assert_allclose(measured["apart"].sel(distance=distance), heights, rtol=1e-5)


def test_the_error_is_held_against_the_frames_that_follow(measured):
    assert measured["error"][-1] == 0
    np.testing.assert_allclose(measured["error"][0], (0.5 + 2) / 2, rtol=1e-5)


def test_paths_are_those_of_encoder_and_then_decoder(data, measured):
    path = measured["paths"].isel(checkpoint=-1)
    np.testing.assert_allclose(path[:, :50], path[:, 50:], atol=1e-5)
    lengths = np.linalg.norm(path, axis=-1)
    centred = data.encoder[-1] - data.encoder[-1].mean(axis=(0, 1))
    np.testing.assert_allclose(lengths[:, :50], np.linalg.norm(centred, axis=-1), rtol=1e-5)


def test_single_linkage_is_that_by_cosine_distance():
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(40, 5)) * rng.uniform(0.1, 5, (40, 1))
    found = study.cluster(cloud, "single linkage", rng)
    tree = hierarchy.linkage(cloud, "single", "cosine")
    wanted = hierarchy.fcluster(tree, 2, "maxclust")
    assert len(set(zip(found.tolist(), wanted.tolist(), strict=True))) == 2


def test_windows_of_the_curves_tell_them_apart_when_they_are_long(data):
    ari = study.windows("planted", 0)["window_ari"]
    assert ari.shape == (len(study.WINDOWS), len(study.METHODS))
    # circles of radius 1 and 2 are one and the same by angle, whatever the length
    assert (ari[:, -1] < 0.1).all()


def test_untrained_networks_are_told_apart_by_their_seed(data):
    first, second = study.untrained("planted", [0, 1])
    (again,) = study.untrained("planted", [1])
    for name, value in again.items():
        np.testing.assert_array_equal(value, second[name])
    assert not np.array_equal(first["untrained_ari"], second["untrained_ari"])


def test_a_job_refuses_other_data(data):
    with pytest.raises(engine.EngineError, match=r"have sha256 planted, and the job asks for x:"):
        study.untrained("x", [0])


def test_the_study_has_the_published_form(
    data, tmp_path, monkeypatch, load_published, assert_same_form
):
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    study.publish(2, lambda line: None)
    found = results.load_study("authors")
    assert_same_form(found.data, load_published("authors").data)
    assert found.provenance["networks"] == found.data.sizes["network"] == 2
    assert found.provenance["data_sha256"] == "planted"


# the real files


@pytest.fixture
def real(monkeypatch):
    folder = Path(REAL_DATA or "").expanduser().resolve() / authors.FOLDER
    if not REAL_DATA or not folder.is_dir():
        pytest.skip(f"needs real data: set RNNATOMY_DATA to a folder with {authors.FOLDER}")
    monkeypatch.setenv(files.SETTING, str(folder.parent))
    return authors.synthetic()


def test_published_figures_are_recomputed(real, load_published):
    published = load_published("authors")
    found = published.data
    assert published.provenance["data_sha256"] == real.checksum
    for place in (0, -1):
        encoder, decoder = real.encoder[place], real.decoder[place]
        row, at = study._embed(encoder, decoder), found.isel(checkpoint=place)
        np.testing.assert_array_equal(at["modes"], row["modes"])
        np.testing.assert_allclose(at["paths"], row["paths"], atol=1e-5)
        cloud, rng = points.states(decoder), np.random.default_rng(0)
        ari = at["ari"].sel(part="decoder", clustering="single linkage")
        np.testing.assert_allclose(ari, study.agreement(cloud, "single linkage", rng), atol=1e-6)
    windows = study.windows(real.checksum, 0)["window_ari"]
    np.testing.assert_allclose(found["window_ari"][:, 1:], windows[:, 1:], atol=1e-6)
    (row,) = study.untrained(real.checksum, [0])
    np.testing.assert_array_equal(found["untrained_modes"][0], row["untrained_modes"])
