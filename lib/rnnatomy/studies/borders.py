"""What borders that are given give away: clusters of windows that never cross one.

Su and Shlizerman cut recordings of subject 86 at borders set by hand, and cluster what lies between
them, into as many clusters as there are activities. A body moves smoothly, so each window is near
to the next, and no window spans a border: a clustering that joins nearest neighbours follows the
time, whatever the frames show. The same is asked of frames whose columns are smooth noise with the
spectra of the recording, cut at the same borders, and of white noise, which is not smooth.

Expected before looking, from a hint that raw frames reach 1.00: smooth noise reaches it, too.
Without borders, or with activities for segments, it should not.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import clusters, pod
from rnnatomy.data import mocap
from rnnatomy.store import disk, results
from rnnatomy.studies import engine
from rnnatomy.studies.engine import identity

WINDOW = 25
"""Frames of a window, as the authors take; each window starts a frame after the one before."""

MODES = 50
"""So many principal components of the windows are clustered."""

FRAMES = ("recorded", "smooth noise", "white noise")

TASKS = ("segments, borders given", "segments, no borders", "activities, borders given")
"""What is to be found: each segment by itself, or the activity, which may return; and whether
windows across a border are left out. The number of clusters is given."""

METHODS = ("single linkage, cosine", "single linkage", "k-means")

AXES = {"ari": ("recording", "frames", "task", "clustering")}


def publish(networks: int = 1) -> None:
    """Cluster windows of raw frames and of noise at borders set by hand: ``results/borders``.

    Args:
        networks: none is needed; the noise is drawn once.
    """
    recordings = mocap.recordings()
    checksum = identity.fingerprint(recordings)
    kept = engine.run(
        "borders",
        [
            engine.Job(f"borders {name}", score, {"name": name, "data_sha256": checksum})
            for name in (each.name for each in recordings)
        ],
    )
    rows = [engine.load(one).arrays for one in kept]
    coordinates = {
        "recording": [each.name for each in recordings],
        "frames": list(FRAMES),
        "task": list(TASKS),
        "clustering": list(METHODS),
    }
    found = results.dataset(results.stack(rows, AXES, "recording"), AXES, coordinates)
    facts = {"window": WINDOW, "modes": MODES, "data_sha256": checksum, **engine.facts(kept)}
    results.publish("borders", found, facts)


def score(name: str, data_sha256: str) -> disk.Arrays:
    """Cluster the windows of one recording, as a job.

    Args:
        name: of the recording.
        data_sha256: checksum of all recordings.

    Returns:
        "ari" (frames, task, clustering), the adjusted Rand index.
    """
    recordings = mocap.recordings()
    if identity.fingerprint(recordings) != data_sha256:
        raise ValueError("the recordings are others than those of the study: give the same files.")
    (one,) = (each for each in recordings if each.name == name)
    frames = mocap.scale(one.frames, mocap.normalise([one.frames]))
    rng = np.random.default_rng(int(name))
    white = rng.normal(size=frames.shape)
    kinds = frames, smooth_noise(frames, rng), white
    return {"ari": np.asarray([_tasks(each, one) for each in kinds], np.float32)}


def smooth_noise(
    frames: Float[np.ndarray, "time feature"], rng: np.random.Generator
) -> Float[np.ndarray, "time feature"]:
    """Keep the spectrum of each column, and draw its phases at random.

    Reference:
        Theiler and others (1992).
    """
    spectrum = np.fft.rfft(frames, axis=0)
    phases = np.exp(2j * np.pi * rng.random(spectrum.shape))
    return np.fft.irfft(np.abs(spectrum) * phases, n=len(frames), axis=0)


def _tasks(frames: Float[np.ndarray, "time feature"], one: mocap.Recording) -> list[list[float]]:
    segment = np.searchsorted(one.best, np.arange(len(frames)), side="right")
    starts = np.arange(len(frames) - WINDOW + 1)
    inside = segment[starts] == segment[starts + WINDOW - 1]
    points = _embed(frames)
    # a window across a border counts for the segment of its middle frame
    middle = starts + WINDOW // 2
    given = {
        "segments, borders given": (points[inside], segment[middle][inside]),
        "segments, no borders": (points, segment[middle]),
        "activities, borders given": (points[inside], one.labels[middle][inside]),
    }
    return [[_index(*given[task], method) for method in METHODS] for task in TASKS]


def _embed(frames: Float[np.ndarray, "time feature"]) -> Float[np.ndarray, "window mode"]:
    windows = np.lib.stride_tricks.sliding_window_view(frames, WINDOW, axis=0)
    flat = windows.reshape(len(windows), -1)
    return pod.project(pod.pod(flat, centred=True, modes=MODES), flat)


def _index(
    points: Float[np.ndarray, "window mode"], labels: Int[np.ndarray, " window"], method: str
) -> float:
    count, cloud = len(np.unique(labels)), points
    if method == "k-means":
        found: Any = clusters.kmeans(cloud, count, np.random.default_rng(0))
    else:
        if method.endswith("cosine"):  # on the unit sphere distances are in the order of cosines
            cloud = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
        found = clusters.agglomerative(cloud, count, "single")
    return clusters.agreement(found, labels).ari
