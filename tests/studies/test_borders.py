import numpy as np
import pytest

from rnnatomy.data import mocap
from rnnatomy.store import checkout, results
from rnnatomy.studies import borders
from rnnatomy.studies.engine import identity


def recording(name, seed):
    """Two activities in three segments, the first of which returns."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1, 0], 60)
    at = np.array([np.zeros(96), rng.normal(size=96)])
    drift = np.cumsum(rng.normal(size=(180, 96)), axis=0) / 100
    frames = at[labels] + drift
    accepted = np.array([[55, 65], [115, 125]])
    best = np.array([60, 120])
    return mocap.Recording(name, frames, ("walk", "jump", "walk"), labels, best, accepted, 120.0)


@pytest.fixture
def found(monkeypatch, tmp_path):
    monkeypatch.setattr(mocap, "recordings", lambda: [recording("01", 0), recording("07", 1)])
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setattr(borders, "MODES", 10)
    monkeypatch.setenv("ENGINE", "here")
    borders.publish()
    return results.load_study("borders").data["ari"]


def test_smooth_noise_does_where_borders_are_given(found):
    assert found.dims == borders.AXES["ari"]
    given = found.sel(task="segments, borders given", clustering="single linkage, cosine")
    assert (given.sel(frames="smooth noise") > 0.9).all()
    assert (given.sel(frames="white noise") < 0.1).all()
    unknown = found.sel(task="segments, no borders", clustering="single linkage, cosine")
    assert (unknown.sel(frames="smooth noise") < given.sel(frames="smooth noise")).all()


def test_smooth_noise_has_the_spectrum_of_the_frames():
    frames = recording("01", 3).frames
    noise = borders.smooth_noise(frames, np.random.default_rng(0))
    ours, theirs = (np.abs(np.fft.rfft(each, axis=0)) for each in (noise, frames))
    np.testing.assert_allclose(ours[1:-1], theirs[1:-1], rtol=1e-6)
    assert abs(np.corrcoef(noise[:, 0], frames[:, 0])[0, 1]) < 0.9


def test_activities_are_in_the_frames_and_not_in_noise(found):
    activities = found.sel(task="activities, borders given", clustering="k-means")
    assert (activities.sel(frames="recorded") > 0.9).all()
    assert (activities.sel(frames="white noise") < 0.6).all()


def test_other_recordings_are_refused(monkeypatch):
    monkeypatch.setattr(mocap, "recordings", lambda: [recording("01", 0)])
    with pytest.raises(ValueError, match="others than those of the study"):
        borders.score("01", "0" * 64)


def test_a_published_index_comes_out_again(load_published, mnist_files, monkeypatch):
    folder = mnist_files.parent
    if not (folder / "cmu_mocap" / "subject_86").is_dir():
        pytest.skip("the recordings are not at hand")
    monkeypatch.setenv("RNNATOMY_DATA", str(folder))
    published = load_published("borders")
    recordings = mocap.recordings()
    checksum = identity.fingerprint(recordings)
    assert checksum == published.provenance["data_sha256"]
    row = borders.score("11", checksum)["ari"]
    np.testing.assert_allclose(published.data["ari"].sel(recording="11"), row, atol=0.02)
