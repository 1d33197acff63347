"""The states that the authors of the second study published, asked as our own networks are asked.

Only two sequences were published, one circle and one ellipse. A cluster can then be no more than
the path of one sequence, and so the same questions are put to what knows nothing of kinds: windows
of the two curves themselves, and networks that were not trained, reading the same curves.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import clusters, pod, points, separability
from rnnatomy.data import authors
from rnnatomy.networks import predictors
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, progress

PARTS = ("encoder", "decoder")
"""Whose states are clustered."""


METHODS = ("k-means", "Ward", "single linkage")
"""How clusters are found; the last is the authors' own, by angle."""


FRACTIONS = (0.95, 0.99)
"""Fractions of energy whose numbers of modes are counted."""


WINDOWS = (1, 2, 5, 10, 25)
"""Lengths of the windows of the curves themselves, frames."""


SHUFFLES = 999
"""Shuffled labels to which clusters are held, to see what chance gives."""


DISTANCES = ("frames", "centres")
"""What the authors measure between two sequences: from frame to frame, and of their means."""


AXES = {
    "error": ("checkpoint",),
    "modes": ("checkpoint", "fraction"),
    "energy": ("checkpoint", "mode"),
    "kinds": ("checkpoint", "part"),
    "silhouette": ("checkpoint", "part", "clustering"),
    "ari": ("checkpoint", "part", "clustering"),
    "chance": ("checkpoint", "part", "clustering"),
    "apart": ("checkpoint", "distance"),
    "paths": ("checkpoint", "kind", "frame", "axis"),
    "window_ari": ("window", "clustering"),
    "untrained_modes": ("network", "fraction"),
    "untrained_ari": ("network", "part", "clustering"),
}
"""Axes of the published arrays, see ``measure_states``, ``windows`` and ``untrained``."""


def publish(networks: int = 100, report: Callable[[str], None] = progress.print_line) -> None:
    """Measure the authors' states, and what they are held against: ``results/authors``.

    Args:
        networks: how many that are not trained, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        DataError: as ``data.authors.synthetic``.
        EngineError: as ``engine.run``.
    """
    checksum = authors.synthetic().checksum
    given = {"data_sha256": checksum}
    jobs = [
        engine.Job("authors-states", measure_states, given | {"seed": 0}),
        engine.Job("authors-windows", windows, given | {"seed": 0}),
    ]
    jobs += [
        engine.Job(f"authors-untrained-{seed}", untrained, given | {"seed": seed}, many="seed")
        for seed in range(networks)
    ]
    kept = engine.run("authors", jobs, report=report)
    states, raw, *others = [engine.load(each).arrays for each in kept]
    arrays = states | raw | results.stack(others, AXES, "network")
    found = results.dataset(arrays, AXES, _coordinates(networks))
    facts: dict[str, Any] = {"networks": networks, "shuffles": SHUFFLES, "units": authors.UNITS}
    facts |= given | {"frames": authors.FRAMES, "repository_commit": authors.COMMIT}
    results.publish("authors", found, engine.facts(kept) | facts)


def measure_states(data_sha256: str, seed: int) -> disk.Arrays:
    """Measure the authors' states at each checkpoint, as a job.

    Returns:
        By name: "error", mean squared, of what is drawn; "modes" and "energy" of encoder and
        decoder together; "kinds", the silhouette of circle and ellipse; "silhouette", that of the
        clusters found; "ari", their adjusted Rand index against the kinds, and "chance", the 95th
        percentile of it under shuffled labels; "apart", the mean distance of circle and ellipse
        in decoder states, see ``DISTANCES``; "paths" in the first three modes.
    """
    data, rng = _load(data_sha256), np.random.default_rng(seed)
    rows = []
    for place in range(len(data.encoder)):
        encoder, decoder = data.encoder[place], data.decoder[place]
        row = _embed(encoder, decoder) | _separate([encoder, decoder], rng)
        row["error"] = np.square(data.outputs[place] - _ahead(data.inputs)).mean()
        row["apart"] = _distances(decoder)
        rows.append(disk.single(row))
    return results.stack(rows, AXES, "checkpoint")


def windows(data_sha256: str, seed: int) -> disk.Arrays:
    """Cluster windows of the two curves themselves, without any network, as a job.

    The curves are closed, and windows go on over their end.
    """
    curves, rng = _load(data_sha256).inputs[:, :-1], np.random.default_rng(seed)
    found = []
    for length in WINDOWS:
        closed = np.concatenate([curves, curves[:, : length - 1]], axis=1)
        cloud = points.windows(closed, length, 1)
        found.append([agreement(cloud, method, rng) for method in METHODS])
    return disk.single({"window_ari": found})


def untrained(data_sha256: str, seed: Sequence[int]) -> list[disk.Arrays]:
    """Measure networks of as many units that were not trained on the same curves, as a job.

    Returns:
        For each seed "untrained_modes" and "untrained_ari".
    """
    curves = _load(data_sha256).inputs.astype(np.float32)
    create, rows = predictors.seq2seq(2, authors.UNITS), []
    for each in seed:
        model: Any = create(jax.random.key(each))
        went = predictors.trajectory(model, curves, authors.FRAMES)
        rng = np.random.default_rng(each)
        parts = [points.states(part) for part in (went.encoder, went.decoder)]
        row = {
            "untrained_modes": pod.mode_counts(went.encoder, went.decoder, FRACTIONS),
            "untrained_ari": [[agreement(part, m, rng) for m in METHODS] for part in parts],
        }
        rows.append(disk.single(row))
    return rows


def agreement(cloud: points.Points, method: str, rng: np.random.Generator) -> float:
    """Hold two clusters of points against the sequences they come from: adjusted Rand index."""
    return clusters.agreement(cluster(cloud.points, method, rng), cloud.sample).ari


def cluster(
    cloud: Float[np.ndarray, "point feature"], method: str, rng: np.random.Generator
) -> Int[np.ndarray, " point"]:
    """Find two clusters of points by one of ``METHODS``.

    Single linkage joins by the cosine of angles, as the authors do: on vectors of unit length,
    distances have the same order as angles, and single linkage asks for no more.

    Raises:
        ValueError: as ``clusters.kmeans`` and ``clusters.agglomerative``.
    """
    if method == "k-means":
        return clusters.kmeans(cloud, len(authors.KINDS), rng)
    if method == "Ward":
        return clusters.agglomerative(cloud, len(authors.KINDS), "ward")
    lengths = np.linalg.norm(cloud, axis=1, keepdims=True)
    return clusters.agglomerative(cloud / lengths, len(authors.KINDS), "single")


@lru_cache(maxsize=1)
def _load(checksum: str) -> authors.Synthetic:
    """Load the states in a job, once for each process."""
    data = authors.synthetic()
    if data.checksum != checksum:
        raise engine.EngineError(
            f"the data here have sha256 {data.checksum}, and the job asks for {checksum}: give "
            "both machines the same files."
        )
    return data


def _ahead(
    curves: Float[np.ndarray, "kind time 2"],
) -> Float[np.ndarray, "kind time 2"]:
    """Return the frames that follow the first one, on a closed curve whose last is its first."""
    return np.concatenate([curves[:, 1:], curves[:, 1:2]], axis=1)


def _embed(
    encoder: Float[np.ndarray, "kind time hidden"], decoder: Float[np.ndarray, "kind time hidden"]
) -> dict[str, Any]:
    snapshots = pod.concatenate(encoder, decoder)
    basis = pod.pod(snapshots, centred=True)
    return {
        "modes": [pod.modes_for(basis, fraction) for fraction in FRACTIONS],
        "energy": pod.energies(basis),
        "paths": pod.project(basis, snapshots)[..., :3],
    }


def _separate(parts: Sequence[np.ndarray], rng: np.random.Generator) -> dict[str, Any]:
    """Score kinds and clusters in the states of each part."""
    kinds, silhouettes, indices, chance = [], [], [], []
    for part in parts:
        cloud = points.states(part)
        found = [cluster(cloud.points, method, rng) for method in METHODS]
        kinds.append(separability.silhouette(cloud.points, cloud.sample))
        silhouettes.append([separability.silhouette(cloud.points, one) for one in found])
        indices.append([clusters.agreement(one, cloud.sample).ari for one in found])
        chance.append([_by_chance(one, cloud.sample, rng) for one in found])
    return {"kinds": kinds, "silhouette": silhouettes, "ari": indices, "chance": chance}


def _by_chance(
    found: Int[np.ndarray, " point"], labels: Int[np.ndarray, " point"], rng: np.random.Generator
) -> float:
    """Return the 95th percentile of the index of clusters against shuffled labels."""
    from sklearn.metrics import adjusted_rand_score

    dealt = [adjusted_rand_score(rng.permutation(labels), found) for _ in range(SHUFFLES)]
    return float(np.quantile(dealt, 0.95))


def _distances(decoder: Float[np.ndarray, "kind time hidden"]) -> list[float]:
    """Return the mean distance at the same frame, and that of the means over time."""
    circle, ellipse = decoder
    frames = np.linalg.norm(circle - ellipse, axis=1).mean()
    return [frames, np.linalg.norm(circle.mean(axis=0) - ellipse.mean(axis=0))]


def _coordinates(networks: int) -> dict[str, Any]:
    return {
        "checkpoint": list(authors.ITERATIONS),
        "fraction": FRACTIONS,
        "part": PARTS,
        "clustering": METHODS,
        "distance": DISTANCES,
        "kind": authors.KINDS,
        "window": WINDOWS,
        "network": [f"untrained-{seed}" for seed in range(networks)],
    }
