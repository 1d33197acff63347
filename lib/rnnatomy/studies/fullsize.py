"""People moving, at the authors' own size: 1,024 units, 10,000 iterations, their cuts, their files.

Su and Shlizerman train a GRU on one sequence of three or of five activities, files joined end to
end, and let it predict the same frames. Where its loss jumps they cut the sequence and start
reading anew. The decoder's states of what lies between are joined by single linkage and cosine
distance, into as many clusters as there are activities. Their code cuts above a loss of 1; their
notes name 0.06, and iteration 5,000, for five activities. The first row of each of their files is
upright with arms spread: one frame that marks each border.

Here networks of the same size are drawn and trained in the same way, and measured at many
iterations rather than one. At the same frames, after the same cuts, the same clusterings are given
an untrained network's states, single poses, windows of poses, windows of smooth noise with the
spectrum of each column, and a clock, which knows the number of the frame and nothing else. All is
asked once more of the sequence without the first rows, and with no cuts, and with the true borders.

Expected before any such network was trained:

1. After 10,000 iterations the error of windows within an activity is below 0.05. That of windows
   across a border is above 1 with the first rows in, for nothing tells that the file will end.
2. With the first rows in, cuts above a loss of 1 hit at least nine in ten borders from iteration
   1,000 on. Without these rows they hit fewer than half.
3. Decoder states, cut above 1 and joined as the authors do, reach an adjusted Rand index of 0.9 at
   some saved iteration of most networks. Smooth noise, or the clock, cut at the same frames,
   reaches it in most networks, too: borders that are given give the answer away.
4. Without cuts decoder states, joined as the authors do, stay below 0.5 on average, and k-means on
   single poses has more than k-means on decoder states on average over iterations, in both tasks.
5. The index of the authors' way moves by at least 0.1 between two saved iterations of the second
   half in most networks. The best saved iteration has at least 0.1 more than their mean.

After this was written, and before the study ran, one network of each task was looked at before its
first iteration and after twenty, to see that the code runs. On three activities, without cuts, the
states of the untrained one reach 0.95 in the authors' way, which speaks against the fourth.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from rnnatomy.analysis import clusters, pod, segments
from rnnatomy.data import mocap
from rnnatomy.networks import predictors, wide
from rnnatomy.store import disk, results
from rnnatomy.studies import borders, engine, progress
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import protocols, scoring

HIDDEN = 1024

RECIPE = wide.Recipe()

MOMENTS = (0, 250, 500, *range(1000, 10_001, 1000))
"""Iterations after which a network is measured."""

SAVED = 1000
"""The authors save their network after each so many iterations."""

MARKS = ("first rows in", "first rows out")
"""Whether the sequence that is cut and clustered has the rows that mark the borders. Networks are
trained with these rows."""

CUTS = {"never": np.inf, "loss above 1": 1.0, "loss above 0.06": 0.06, "true borders": np.nan}
"""Where reading starts anew: the loss of a window above which it does."""

VIEWS = (
    "decoder states",
    "untrained states",
    "poses",
    "windows",
    "smooth noise",
    "clock",
)
"""What is clustered, at the same frames. Windows, and those of noise, end at the frame."""

METHODS = ("single linkage, cosine", "k-means", "Ward")

PLACES = ("within", "across")
"""Windows within an activity, and those across a border."""

MODES = 50
"""So many modes of windows are clustered; and of states, by all ways but the authors' own."""

WITHIN = 12
"""A cut hits a border if it is at most so many frames away: a tenth of a second."""

AHEAD = 8
"""So many windows that follow each other go through a network at a time."""

_AT = ("task", "network", "iteration")

AXES = {
    **{name: (*_AT, "marks", "cut", "view", "clustering") for name in scoring.AGREEMENT},
    "train_loss": _AT,
    "held_loss": _AT,
    "test_loss": (*_AT, "marks", "place"),
    "cuts": (*_AT, "marks", "cut"),
    **{f"border_{name}": (*_AT, "marks", "cut") for name in segments.BorderScore._fields},
    "still_test_loss": ("task", "marks", "place"),
    "still_held_loss": ("task",),
}
"""Axes of the published arrays; those of "still" are of no network, see ``standing_still``.

Of clusters, scores of all frames as ``scoring.AGREEMENT``; mean squared errors in scaled units, of
the batches trained on, of windows of the sequence that follow each other, and of further sequences
of the same activities; number of cuts, and how they hit the borders.
"""


class Track(NamedTuple):
    """Files, one after the other.

    Attributes:
        frames: scaled.
        labels: number of the file of each frame.
    """

    frames: Float[np.ndarray, "time feature"]
    labels: Int[np.ndarray, " time"]


class Window(NamedTuple):
    """What a network makes of one window.

    Attributes:
        loss: mean squared error of the prediction.
        worst: number of the predicted frame of the largest mean absolute error, from 0.
        states: of the decoder, one for each predicted frame.
    """

    loss: float
    worst: int
    states: Float[np.ndarray, "time hidden"]


class Walk(NamedTuple):
    """Windows that follow each other along a sequence, so that no frame is predicted twice.

    Attributes:
        starts: first frame of each window.
        kept: how many of its predicted frames are kept; fewer before a cut.
        cuts: frames at which reading starts anew.
    """

    starts: list[int]
    kept: list[int]
    cuts: list[int]


Look = Callable[[int], Window]
"""Gives the window that starts at a frame."""


class Bench(NamedTuple):
    """What a network is held against on one track.

    Attributes:
        track: what is cut and clustered.
        true: its borders.
        untrained: the windows of the network before training.
        plain: all ``VIEWS`` that need no network, a row for each frame.
        known: scores of all but the network's own states, by the frames that are kept.
        seed: of k-means' starts.
    """

    track: Track
    true: Int[np.ndarray, " border"]
    untrained: Look
    plain: dict[str, np.ndarray]
    known: dict[bytes, np.ndarray]
    seed: int


def publish(networks: int = 3, report: Callable[[str], None] = progress.print_line) -> None:
    """Train, cut, cluster and publish networks of the authors' size: ``results/fullsize``.

    Each network is a job, which goes on from the last iteration that was measured.

    Args:
        networks: how many for each task, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    checksums = {task: identity.fingerprint(_sequences(task)) for task in protocols.TASKS}
    jobs = [
        engine.Job(
            f"fullsize-{task}-{seed}",
            train,
            {"task": task, "seed": seed, "data_sha256": checksums[task]},
        )
        for task in protocols.TASKS
        for seed in range(networks)
    ]
    kept = engine.run("fullsize", jobs, report=report)
    rows = [engine.load(each).arrays for each in kept]
    tasks = [
        results.stack(rows[k : k + networks], results.without(AXES, "task"), "network")
        for k in range(0, len(rows), networks)
    ]
    told = [each | standing_still(task) for task, each in zip(protocols.TASKS, tasks, strict=True)]
    found = results.dataset(results.stack(told, AXES, "task"), AXES, _coordinates(networks))
    facts = {
        "networks": networks,
        "hidden": HIDDEN,
        "recipe": RECIPE._asdict(),
        "modes": MODES,
        "within": WITHIN,
        "data_sha256": checksums,
    }
    results.publish("fullsize", found, engine.facts(kept) | facts)


def train(task: str, seed: int, data_sha256: str) -> disk.Arrays:
    """Train one network on a task, and measure it at all ``MOMENTS``, as a job.

    Args:
        task: one of ``protocols.TASKS``.
        seed: of the network.
        data_sha256: checksum of the sequences.

    Returns:
        By the names of ``AXES``, without the first two of these axes.
    """
    joined, held = _sequences(task)
    if identity.fingerprint((joined, held)) != data_sha256:
        raise engine.EngineError(
            "the movements are others than those of the study: give both machines the same files."
        )
    by = mocap.normalise([each.frames for each in joined])
    tracks = [track(joined, by), track(joined, by, first_rows=False)]
    limit = protocols.LIMIT
    others = [np.clip(mocap.scale(each.frames, by), -limit, limit) for each in held]
    first, second = jax.random.split(jax.random.key(seed))
    network = wide.create(len(by.kept), HIDDEN, first)
    benches = [_bench(one, network, seed) for one in tracks]

    def ask(model: Any) -> disk.Arrays:
        told = [measure(bench, model) for bench in benches]
        arrays = {name: np.stack([each[name] for each in told]) for name in told[0]}
        return arrays | {"held_loss": np.asarray(_mean_loss(model, others))}

    history = wide.fit(network, tracks[0].frames, RECIPE, second, MOMENTS, ask, engine.checkpoint())
    return disk.single({name: np.stack([row[name] for row in history]) for name in history[0]})


def track(
    sequences: Sequence[mocap.Sequence], by: mocap.Scale, *, first_rows: bool = True
) -> Track:
    """Join sequences, with or without the first row of each file."""
    skipped = 0 if first_rows else 1
    parts = [mocap.scale(each.frames[skipped:], by) for each in sequences]
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Track(np.concatenate(parts), labels)


def look_with(model: Any, frames: Float[np.ndarray, "time feature"]) -> Look:
    """Return what gives the windows of a network, each computed once, ``AHEAD`` at a time."""
    read, predict = RECIPE.read, RECIPE.predict
    last, known = len(frames) - read - predict, dict[int, Window]()

    def look(start: int) -> Window:
        if start not in known:
            starts = np.minimum(start + predict * np.arange(AHEAD), last)
            rows = starts[:, None] + np.arange(read + predict)
            inputs, targets = np.split(frames[rows], [read], axis=1)
            went = predictors.trajectory(model, wide.read_twice(inputs), predict)
            wrong = went.outputs - targets
            losses = np.square(wrong).mean(axis=(1, 2))
            worst = np.abs(wrong).mean(axis=2).argmax(axis=1)
            for k, place in enumerate(starts.tolist()):
                known[place] = Window(float(losses[k]), int(worst[k]), went.decoder[k])
        return known[start]

    return look


def look_still(frames: Float[np.ndarray, "time feature"]) -> Look:
    """Return what gives the windows of the last frame that is read, repeated: it has no states."""
    read, predict = RECIPE.read, RECIPE.predict

    def look(start: int) -> Window:
        last, *targets = frames[start + read - 1 : start + read + predict]
        wrong = np.array(targets) - last
        worst = int(np.abs(wrong).mean(axis=1).argmax())
        return Window(float(np.square(wrong).mean()), worst, np.zeros((predict, 0)))

    return look


def walk(length: int, border: Callable[[int], int | None]) -> Walk:
    """Go along a sequence, and start reading anew at each border that is found.

    Args:
        length: of the sequence.
        border: gives from the start of a window the first border after that frame and before the
            window's end; None: there is none.
    """
    read, predict = RECIPE.read, RECIPE.predict
    found, start = Walk([], [], []), 0
    while start + read + predict <= length:
        cut = border(start)
        found.starts.append(start)
        found.kept.append(predict if cut is None else max(cut - start - read, 0))
        found.cuts.extend([] if cut is None else [cut])
        start = start + predict if cut is None else cut
    return found


def by_loss(look: Look, above: float) -> Callable[[int], int | None]:
    """Return what finds a border as the authors do: the worst frame where the loss is too large."""

    def border(start: int) -> int | None:
        window = look(start)
        return start + RECIPE.read + window.worst if window.loss > above else None

    return border


def by_hand(true: Int[np.ndarray, " border"]) -> Callable[[int], int | None]:
    """Return what finds the true borders."""

    def border(start: int) -> int | None:
        after = true[(true > start) & (true < start + RECIPE.read + RECIPE.predict)]
        return int(after[0]) if len(after) else None

    return border


def frames_of(found: Walk) -> Int[np.ndarray, " point"]:
    """Return the frames that are predicted and kept."""
    return np.concatenate(
        [
            start + RECIPE.read + np.arange(kept)
            for start, kept in zip(found.starts, found.kept, strict=True)
        ]
    )


def states_of(look: Look, found: Walk) -> Float[np.ndarray, "point hidden"]:
    """Return the decoder's states at the frames that are kept."""
    return np.concatenate(
        [look(start).states[:kept] for start, kept in zip(found.starts, found.kept, strict=True)]
    )


def score(
    points: Float[np.ndarray, "point feature"],
    at: Int[np.ndarray, " point"],
    labels: Int[np.ndarray, " time"],
    method: str,
    rng: np.random.Generator,
) -> Float[np.ndarray, " score"]:
    """Cluster points, give every frame a cluster, and hold them against the files.

    Frames that are only read get the cluster of the next point; those after the last get its own.

    Args:
        points: one for each kept frame.
        at: these frames, ascending.
        labels: number of the file of each frame.
        method: one of ``METHODS``.
        rng: source of k-means' starts.

    Returns:
        ``scoring.AGREEMENT``; all zero if there are fewer points than files.
    """
    count = len(np.unique(labels))
    if len(at) < count:
        return np.zeros(len(scoring.AGREEMENT))
    if method == METHODS[0]:
        found = join_by_angle(points, count)
    elif method == "k-means":
        found = clusters.kmeans(_few_modes(points), count, rng)
    else:
        found = clusters.agglomerative(_few_modes(points), count, "ward")
    nearest = np.minimum(np.searchsorted(at, np.arange(len(labels))), len(at) - 1)
    return scoring.agreement(found[nearest], labels)


def join_by_angle(
    points: Float[np.ndarray, "point feature"], count: int
) -> Int[np.ndarray, " point"]:
    """Find clusters as the authors do: single linkage, with cosine distance."""
    from sklearn.cluster import AgglomerativeClustering

    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    apart = np.maximum(1 - directions.astype(float) @ directions.T, 0)
    joined = AgglomerativeClustering(count, metric="precomputed", linkage="single")
    return joined.fit_predict(apart)


def views_without_network(
    frames: Float[np.ndarray, "time feature"], rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "time _"]]:
    """Return all ``VIEWS`` that need no network, a row for each frame.

    Args:
        frames: of a track.
        rng: source of the noise.
    """
    turn = np.pi * np.arange(len(frames)) / len(frames)
    return {
        "poses": frames,
        "windows": _windows(frames),
        "smooth noise": _windows(borders.smooth_noise(frames, rng)),
        # on half a circle, as single linkage asks for angles
        "clock": np.column_stack([np.cos(turn), np.sin(turn)]),
    }


def standing_still(task: str) -> disk.Arrays:
    """Return the errors of the last frame that is read, repeated, on the windows of the networks.

    Args:
        task: one of ``protocols.TASKS``.

    Returns:
        By the names of ``AXES`` that begin with "still", without the first axis: mean squared
        errors, as "test_loss" and "held_loss" are of networks.

    Raises:
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    joined, held = _sequences(task)
    by = mocap.normalise([each.frames for each in joined])
    tests = []
    for one in (track(joined, by), track(joined, by, first_rows=False)):
        look = look_still(one.frames)
        bench = Bench(one, segments.borders(one.labels), look, {}, {}, seed=0)
        tests.append(_test_loss(bench, look, walk(len(one.frames), by_loss(look, np.inf))))
    limit, losses = protocols.LIMIT, list[float]()
    for each in held:
        look = look_still(np.clip(mocap.scale(each.frames, by), -limit, limit))
        starts = walk(len(each.frames), by_loss(look, np.inf)).starts
        losses += [look(start).loss for start in starts]
    return disk.single({"still_test_loss": np.array(tests), "still_held_loss": np.mean(losses)})


def picked(index: xr.DataArray) -> xr.Dataset:
    """Return what a saved iteration that is picked in hindsight would have claimed.

    Args:
        index: such as "ari", along "iteration" and any other axes.

    Returns:
        Over the iterations that the authors would have saved: "best", "mean" and "last"; and
        "jump", the largest change from one to the next in the second half.
    """
    at = index["iteration"].to_numpy()
    saved = index.sel(iteration=at[(at > 0) & (at % SAVED == 0)])
    late = saved.sel(iteration=saved["iteration"] >= at[-1] / 2)
    return xr.Dataset(
        {
            "best": saved.max("iteration"),
            "mean": saved.mean("iteration"),
            "last": saved.isel(iteration=-1, drop=True),
            "jump": abs(late.diff("iteration")).max("iteration"),
        }
    )


def expected(data: xr.Dataset) -> xr.Dataset:
    """Say of each network whether what was expected holds, in the order of the page above.

    Args:
        data: the study.

    Returns:
        By name (task, network): "learns" and "jumps at borders"; "cuts hit" and "cuts miss without
        first rows"; "states reach" and "noise or clock reaches"; "single linkage fails uncut" and
        "poses are better uncut"; "index moves" and "best is better than mean".
    """
    at = data["iteration"].to_numpy()
    saved = data.sel(iteration=at[(at > 0) & (at % SAVED == 0)])
    loss = saved["test_loss"].isel(iteration=-1, drop=True).sel(marks=MARKS[0], drop=True)
    recall = saved["border_recall"].sel(cut="loss above 1", drop=True).mean("iteration")
    ari = saved["ari"].sel(marks=MARKS[0], drop=True)
    cut = ari.sel(cut="loss above 1", clustering=METHODS[0], drop=True)
    uncut = ari.sel(cut="never", drop=True)
    by_means = uncut.sel(clustering="k-means", drop=True).mean("iteration")
    states = VIEWS[0]
    joined = uncut.sel(clustering=METHODS[0], view=states, drop=True)
    told = picked(cut.sel(view=states, drop=True))
    rivals = cut.sel(view=["smooth noise", "clock"]).max(["view", "iteration"])
    return xr.Dataset(
        {
            "learns": loss.sel(place="within", drop=True) < 0.05,
            "jumps at borders": loss.sel(place="across", drop=True) > 1,
            "cuts hit": recall.sel(marks=MARKS[0], drop=True) >= 0.9,
            "cuts miss without first rows": recall.sel(marks=MARKS[1], drop=True) < 0.5,
            "states reach": told["best"] >= 0.9,
            "noise or clock reaches": rivals >= 0.9,
            "single linkage fails uncut": joined.mean("iteration") < 0.5,
            "poses are better uncut": by_means.sel(view="poses", drop=True)
            > by_means.sel(view=states, drop=True),
            "index moves": told["jump"] >= 0.1,
            "best is better than mean": told["best"] - told["mean"] >= 0.1,
        }
    )


def measure(bench: Bench, model: Any) -> disk.Arrays:
    """Return what is measured of a network on one track, by the names of ``AXES``."""
    look = look_with(model, bench.track.frames)
    walks = [walk(len(bench.track.frames), _border(bench, look, name)) for name in CUTS]
    scores = np.array([_scores(bench, look, each) for each in walks])
    hits = np.array([_hits(bench, each) for each in walks])
    return {
        **{name: scores[..., k] for k, name in enumerate(scoring.AGREEMENT)},
        **{f"border_{name}": hits[:, k] for k, name in enumerate(segments.BorderScore._fields)},
        "cuts": np.array([len(each.cuts) for each in walks]),
        "test_loss": _test_loss(bench, look, walks[0]),
    }


def _sequences(task: str) -> tuple[list[mocap.Sequence], list[mocap.Sequence]]:
    """Load the files of a task, and the second file of each of its activities, without its row."""
    joined = mocap.with_first_rows(protocols.TASKS[task])
    others = mocap.with_first_rows([f"{each.action}_2" for each in joined])
    return joined, [each._replace(frames=each.frames[1:]) for each in others]


def _bench(one: Track, untrained: Any, seed: int) -> Bench:
    plain = views_without_network(one.frames, np.random.default_rng(seed))
    return Bench(
        one, segments.borders(one.labels), look_with(untrained, one.frames), plain, {}, seed
    )


def _border(bench: Bench, look: Look, name: str) -> Callable[[int], int | None]:
    return by_hand(bench.true) if name == "true borders" else by_loss(look, CUTS[name])


def _hits(bench: Bench, found: Walk) -> segments.BorderScore:
    accepted = bench.true[:, None] + np.array([-WITHIN, WITHIN])
    return segments.border_score(np.array(found.cuts, int), accepted)


def _scores(bench: Bench, look: Look, found: Walk) -> Float[np.ndarray, "view method score"]:
    """Score the states of a network, and all that they are held against, at the same frames."""
    at = frames_of(found)
    key = at.tobytes()
    if key not in bench.known:
        views = [states_of(bench.untrained, found), *(view[at] for view in bench.plain.values())]
        bench.known[key] = np.array([_by_method(bench, view, at) for view in views])
    own = _by_method(bench, states_of(look, found), at)
    return np.concatenate([own[None], bench.known[key]])


def _by_method(
    bench: Bench, points: Float[np.ndarray, "point feature"], at: Int[np.ndarray, " point"]
) -> Float[np.ndarray, "method score"]:
    labels = bench.track.labels
    rngs = [np.random.default_rng(bench.seed) for _ in METHODS]
    return np.array(
        [score(points, at, labels, name, rng) for name, rng in zip(METHODS, rngs, strict=True)]
    )


def _test_loss(bench: Bench, look: Look, found: Walk) -> Float[np.ndarray, " place"]:
    """Return the mean loss of windows within an activity, and of those across a border."""
    starts, whole = np.array(found.starts), RECIPE.read + RECIPE.predict
    labels = bench.track.labels
    is_across = labels[starts] != labels[starts + whole - 1]
    losses = np.array([look(start).loss for start in found.starts])
    return np.array([losses[~is_across].mean(), losses[is_across].mean()])


def _mean_loss(model: Any, sequences: Sequence[np.ndarray]) -> float:
    """Return the mean loss of windows that follow each other in sequences."""
    losses = []
    for frames in sequences:
        look = look_with(model, frames)
        starts = walk(len(frames), by_loss(look, np.inf)).starts
        losses += [look(start).loss for start in starts]
    return float(np.mean(losses))


def _windows(frames: Float[np.ndarray, "time feature"]) -> Float[np.ndarray, "time mode"]:
    """Return for each frame the window that ends at it, in few modes; the first ones are alike."""
    read = RECIPE.read
    windows = np.lib.stride_tricks.sliding_window_view(frames, read, axis=0)
    points = _few_modes(windows.reshape(len(windows), -1))
    return np.concatenate([np.repeat(points[:1], read - 1, axis=0), points])


def _few_modes(points: Float[np.ndarray, "point feature"]) -> Float[np.ndarray, "point mode"]:
    if min(points.shape) <= MODES:
        return points
    return pod.project(pod.pod(points, centred=True, modes=MODES), points)


def _coordinates(networks: int) -> dict[str, Any]:
    return {
        "task": list(protocols.TASKS),
        "network": np.arange(networks),
        "iteration": list(MOMENTS),
        "marks": MARKS,
        "cut": list(CUTS),
        "view": VIEWS,
        "clustering": METHODS,
        "place": PLACES,
    }
