"""The study of people moving: predictors of poses, and whether their states tell activities.

The same frames are taken in several ways, as single poses, as windows of poses, and as hidden
states of predictors, untrained and trained; each is clustered in the same ways. No network and no
clustering sees a label: labels only score.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from rnnatomy import clusters, mocap, pod, predictors, runs, training


class Plan(NamedTuple):
    """How sequences are cut for a predictor, how it is fitted, and what is made of its states.

    Attributes:
        step: of the frames recorded, one in so many is used.
        read: frames that are read.
        predict: frames that are predicted; a multiple of ``stride``.
        stride: frames from one point of an embedding to the next.
        apart: frames from the start of one training window to the next.
        hidden: number of units.
        recipe: optimiser and schedule.
        seconds: lengths of the running mean of an embedding over time; 0 for none.
    """

    step: int
    read: int
    predict: int
    stride: int
    apart: int
    hidden: int
    recipe: training.Recipe
    seconds: tuple[float, ...]


AUTHORS = Plan(
    step=1,
    read=25,
    predict=25,
    stride=1,
    apart=1,
    hidden=128,
    recipe=training.Recipe(epochs=10, batch=16, learning_rate=2e-3, weight_decay=0.0),
    seconds=(0.0,),
)
"""As the authors cut: at 120 frames per second, 25 frames are read and 25 predicted."""

SHORT = AUTHORS._replace(read=11, predict=10, stride=2)
"""The same with windows of less than a tenth of a second, which blur the borders less."""

HELD_OUT = Plan(
    step=4,
    read=20,
    predict=10,
    stride=5,
    apart=4,
    hidden=96,
    recipe=training.Recipe(epochs=4, batch=64, learning_rate=4e-3, weight_decay=0.0),
    seconds=(0.0, 2.0),
)
"""At 30 frames per second; the shortest sequence, of 1.25 seconds, holds a few windows."""

SUBJECT_86 = Plan(
    step=8,
    read=30,
    predict=15,
    stride=3,
    apart=8,
    hidden=96,
    recipe=training.Recipe(epochs=5, batch=64, learning_rate=4e-3, weight_decay=0.0),
    seconds=(0.0, 2.0),
)
"""At 15 frames per second: two seconds are read, one is predicted."""

TASKS = {
    "three": ("walking_1", "running_1", "jumping_1"),
    "five": ("walking_1", "running_1", "jumping_1", "soccer_1", "basketball_1"),
}
"""Sequences that are trained on and tested on, one after the other."""

CHOICES = 5
"""So many ways to choose the sequences that are held out."""

PLAIN = ("poses", "windows", "mean and deviation")
LEARNED = ("encoder averages", "decoder states", "decoder states in 3 modes")
"""Representations without and with a network, in the order of the published rows."""

KINDS = ("untrained", "trained")
METHODS: dict[str, Callable[..., np.ndarray]] = {
    "k-means": lambda points, count, rng: clusters.kmeans(points, count, rng),
    "Ward": lambda points, count, rng: clusters.agglomerative(points, count, "ward"),
    "single linkage": lambda points, count, rng: clusters.agglomerative(points, count, "single"),
}
"""Ways to cluster, in the order of the published columns."""

SCORES = ("ari", "ami", "v_measure", "accuracy", "precision", "recall", "f1", "activities")
"""Scores of each clustering, in the order published; all but three for subject 86 alone.

Accuracy is that of frames after the best matching; precision, recall and F1 are those of borders;
activities is how many were found.
"""

SHORTEST = 120
"""Segments of subject 86 that are shorter than a second are merged with a neighbour."""

CANDIDATES = tuple(range(2, 11))
"""Numbers of activities to choose from where none is given."""

TUNED_ON = ("01", "05")
"""Recordings on which the running mean is chosen; scores are reported for the others."""

WINDOW_MODES, FEW_MODES = 50, 3
LIMIT = 10.0
"""Scaled numbers are clipped here, for columns that hardly vary in training."""

HARDLY = 1e-3
"""Added to each deviation of a recording of its own, for columns that it hardly uses."""

TOGETHER = 256
"""So many windows go through a network at a time."""

ONWARD, EACH = 90, 30
"""The decoder is run on for so many frames, from so many windows of each action."""

PLAYED = 150
"""So many frames at most of each sequence are published with the joints."""


class Cut(NamedTuple):
    """Windows of a sequence.

    Attributes:
        examples: what is read, and what follows.
        starts: number of each window's first frame.
    """

    examples: predictors.Examples
    starts: Int[np.ndarray, " sample"]


class Embedding(NamedTuple):
    """Points of one sequence, in order of time.

    Attributes:
        points: one row each.
        at: the recorded frame that each point stands for.
    """

    points: Float[np.ndarray, "point feature"]
    at: Float[np.ndarray, " point"]


Rows = dict[str, list[Embedding]]
Cluster = Callable[[np.ndarray], np.ndarray]


def cut(frames: Float[np.ndarray, "time feature"], read: int, predict: int, stride: int) -> Cut:
    """Cut a sequence into windows that overlap, each into what is read and what follows.

    Args:
        frames: one sequence.
        read: frames to read, at least 1.
        predict: frames to predict; 0 where none are needed.
        stride: frames from the start of one window to the next, at least 1.

    Raises:
        ValueError: if the sequence is shorter than one window, or a number is out of range.
    """
    if read < 1 or predict < 0:
        raise ValueError(
            f"{read} frames to read and {predict} to predict: give at least 1 to read, and no "
            "negative number to predict."
        )
    found = clusters.windows(frames[None], read + predict, stride).points
    windows = found.reshape(len(found), read + predict, -1)
    starts = stride * np.arange(len(found))
    return Cut(predictors.Examples(windows[:, :read], windows[:, read:]), starts)


def plain(frames: Float[np.ndarray, "time feature"], plan: Plan) -> dict[str, Embedding]:
    """Embed a sequence without a network: each window by its middle pose, whole, and in summary.

    Args:
        frames: one sequence, scaled, as recorded.
        plan: how to cut.

    Returns:
        By the names in ``PLAIN``; "mean and deviation" is that of each column over the window.

    Raises:
        ValueError: as ``cut``.
    """
    made = cut(frames[:: plan.step], plan.read, 0, plan.stride)
    windows = made.examples.inputs
    views = (
        windows[:, plan.read // 2],
        windows.reshape(len(windows), -1),
        np.concatenate([windows.mean(axis=1), windows.std(axis=1)], axis=1),
    )
    at = plan.step * (made.starts + (plan.read - 1) / 2)
    return {name: Embedding(view, at) for name, view in zip(PLAIN, views, strict=True)}


def learned(
    model: Any, sequences: Sequence[Float[np.ndarray, "_ feature"]], plan: Plan
) -> dict[str, list[Embedding]]:
    """Embed sequences by the hidden states of a predictor.

    "encoder averages": of each window, the mean of the states while it is read. "decoder states",
    as the authors take them: windows follow each other so that each frame is predicted once, and
    each state stands for the frame that is predicted from it; one state in ``plan.stride`` is
    kept. States are scaled to length one, because the authors compare directions.

    Args:
        model: a predictor, as of ``predictors.seq2seq``.
        sequences: scaled, as recorded.
        plan: how to cut.

    Returns:
        By the first two names in ``LEARNED``, one embedding per sequence.

    Raises:
        ValueError: if a sequence is too short to be read and predicted once.
    """
    reads = [cut(frames[:: plan.step], plan.read, 0, plan.stride) for frames in sequences]
    wholes = _in_turn(sequences, plan)
    encoder = _went(model, reads, 1, lambda went: went.encoder.mean(axis=1))
    decoder = _went(model, wholes, plan.predict, lambda went: went.decoder[:, :: plan.stride])
    ahead = plan.read + np.arange(0, plan.predict, plan.stride)
    averages, states = [], []
    for points, made in zip(encoder, reads, strict=True):
        averages.append(Embedding(points, plan.step * (made.starts + (plan.read - 1) / 2)))
    for paths, made in zip(decoder, wholes, strict=True):
        points = np.concatenate(paths)
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
        at = plan.step * (made.starts[:, None] + ahead).astype(float)
        states.append(Embedding(points, at.ravel()))
    return dict(zip(LEARNED[:2], (averages, states), strict=True))


def plain_rows(
    sequences: Sequence[np.ndarray], fitted_on: Sequence[np.ndarray], plan: Plan
) -> Rows:
    """Embed sequences without a network, windows in the first modes of those of ``fitted_on``."""
    rows = _by_name(plain(frames, plan) for frames in sequences)
    basis = _by_name(plain(frames, plan) for frames in fitted_on)["windows"]
    return rows | {"windows": in_modes(rows["windows"], basis, WINDOW_MODES)}


def learned_rows(
    model: Any, sequences: Sequence[np.ndarray], fitted_on: Sequence[np.ndarray], plan: Plan
) -> Rows:
    """Embed sequences by a predictor; few modes are those of the decoder on ``fitted_on``."""
    rows, states = learned(model, sequences, plan), LEARNED[1]
    basis = learned(model, fitted_on, plan)[states]
    return rows | {LEARNED[2]: in_modes(rows[states], basis, FEW_MODES)}


def in_modes(
    parts: Sequence[Embedding], fitted_on: Sequence[Embedding], modes: int
) -> list[Embedding]:
    """Project points on the first centred POD modes of other points, or on all if there are fewer.

    Raises:
        ValueError: as ``pod.pod`` and ``pod.project``.
    """
    snapshots = np.concatenate([part.points for part in fitted_on])
    basis = pod.pod(snapshots, centred=True, modes=min(modes, *snapshots.shape))
    return [part._replace(points=pod.project(basis, part.points)) for part in parts]


def smooth(part: Embedding, frames: float) -> Embedding:
    """Take the running mean of points over time.

    Args:
        part: points of one sequence.
        frames: length of the mean, in recorded frames; points of the same time alone if 0.

    Returns:
        Each point the mean of those at most half the length away, as far as there are any.
    """
    first = np.searchsorted(part.at, part.at - frames / 2, side="left")
    last = np.searchsorted(part.at, part.at + frames / 2, side="right")
    sums = np.cumsum(part.points, axis=0, dtype=np.float64)
    sums = np.concatenate([np.zeros_like(sums[:1]), sums])
    return part._replace(points=(sums[last] - sums[first]) / (last - first)[:, None])


def by_frame(
    found: Int[np.ndarray, " point"], at: Float[np.ndarray, " point"], frames: int
) -> Int[np.ndarray, " time"]:
    """Give each of so many frames the cluster of the nearest point; of two, the later one."""
    halfway = (at[1:] + at[:-1]) / 2
    return found[np.searchsorted(halfway, np.arange(frames), side="right")]


def find(
    parts: Sequence[Embedding],
    lengths: Sequence[int],
    cluster: Cluster,
) -> list[Int[np.ndarray, " _"]]:
    """Cluster the points of all sequences together, and give each frame its cluster.

    Args:
        parts: one embedding per sequence.
        lengths: recorded frames of each sequence.
        cluster: gives labels of points, such as one of ``given``.

    Returns:
        One label per frame of each sequence.
    """
    found = cluster(np.concatenate([part.points for part in parts]))
    ends = np.cumsum([len(part.points) for part in parts])[:-1]
    return [
        by_frame(labels, part.at, length)
        for labels, part, length in zip(np.split(found, ends), parts, lengths, strict=True)
    ]


def agreement(
    found: Int[np.ndarray, " time"], labels: Int[np.ndarray, " time"]
) -> Float[np.ndarray, " score"]:
    """Score clusters against true activities frame by frame: the first three of ``SCORES``.

    Raises:
        ValueError: as ``clusters.agreement``.
    """
    return np.array(clusters.agreement(found, labels))


def segmentation(
    found: Int[np.ndarray, " time"], recording: mocap.Recording
) -> Float[np.ndarray, " score"]:
    """Score the clusters of a recording's frames as a segmentation: all of ``SCORES``.

    Segments shorter than ``SHORTEST`` are merged first.

    Raises:
        ValueError: as ``clusters.agreement`` and ``clusters.border_score``.
    """
    found = clusters.drop_short(found, SHORTEST)
    borders = clusters.border_score(clusters.borders(found), recording.accepted)
    accuracy = clusters.frame_accuracy(found, recording.labels)
    count = len(np.unique(found))
    return np.array([*agreement(found, recording.labels), accuracy, *borders, count])


def given(count: int, rng: np.random.Generator) -> dict[str, Cluster]:
    """Return the ways to cluster by name, where the number of activities is given."""
    return {name: partial(method, count=count, rng=rng) for name, method in METHODS.items()}


def unknown(rng: np.random.Generator) -> dict[str, Cluster]:
    """Return the ways to cluster by name, each with the number of the largest silhouette.

    The numbers that are tried are ``CANDIDATES``, as far as there are more points.
    """

    def choose(points: np.ndarray, method: Callable[..., np.ndarray]) -> np.ndarray:
        tried = [count for count in CANDIDATES if count < len(points)]
        way = partial(method, rng=rng)
        return way(points, clusters.count_clusters(points, tried, way).best)

    return {name: partial(choose, method=method) for name, method in METHODS.items()}


def table(
    rows: Rows,
    lengths: Sequence[int],
    seconds: Sequence[float],
    methods: dict[str, Cluster],
    score: Callable[[np.ndarray], np.ndarray],
) -> Float[np.ndarray, "smoothing row method score"]:
    """Cluster every representation in every way, and score the clusters.

    Args:
        rows: representations of the same sequences.
        lengths: recorded frames of each sequence.
        seconds: lengths of the running mean.
        methods: ways to cluster, as ``given`` or ``unknown``.
        score: of the labels of all frames, such as ``agreement``.

    Raises:
        ValueError: as ``clusters.kmeans`` and ``clusters.agglomerative``.
    """
    smoothed = [
        [[smooth(part, mocap.RATE * length) for part in parts] for parts in rows.values()]
        for length in seconds
    ]
    return np.array(
        [
            [
                [score(np.concatenate(find(parts, lengths, way))) for way in methods.values()]
                for parts in each
            ]
            for each in smoothed
        ]
    )


def tuned(
    scores: Float[np.ndarray, "recording smoothing *rest score"], names: Sequence[str]
) -> Float[np.ndarray, "tested *rest score"]:
    """Choose the running mean on two recordings, and return the scores of the others.

    Args:
        scores: of subject 86.
        names: of the recordings, in order.

    Returns:
        Scores with the smoothing of the largest mean ARI on ``TUNED_ON``, one choice for each
        representation and method.
    """
    tuning = np.isin(names, TUNED_ON)
    best = scores[tuning][..., 0].mean(axis=0).argmax(axis=0)
    return np.take_along_axis(scores[~tuning], best[None, None, ..., None], axis=1)[:, 0]


def fit(sequences: Sequence[np.ndarray], plan: Plan, seeds: Sequence[int]) -> training.Fitted:
    """Fit predictors to all windows of sequences; their parameters are kept after each epoch.

    Args:
        sequences: scaled, as recorded; all phases of ``plan.step`` are used.
        plan: how to cut and to fit.
        seeds: one network each.

    Raises:
        ValueError: as ``cut``, and as ``training.fit_ensemble``.
    """
    cuts = [
        cut(frames[phase :: plan.step], plan.read, plan.predict, plan.apart).examples
        for frames in sequences
        for phase in range(plan.step)
    ]
    train = tuple(np.concatenate(arrays) for arrays in zip(*cuts, strict=True))
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    fresh = create(sequences[0].shape[1], plan)
    return training.fit_ensemble(
        fresh, training.squared_error, train, plan.recipe, keys, measure=_leaves
    )


def create(feature: int, plan: Plan) -> training.Create:
    """Return what makes an untrained predictor from a key: tied and residual, as the authors'."""
    return predictors.seq2seq(feature, plan.hidden, residual=True)


def along(fitted: training.Fitted, seed: int) -> list[Any]:
    """Return one network of an ensemble, by its place in it, after each epoch."""
    last, tree = jax.tree.flatten(fitted.parameters)
    leaves = [fitted.history[_name(number)][:, seed] for number in range(len(last))]
    return [
        nnx.merge(fitted.graph, jax.tree.unflatten(tree, [leaf[epoch] for leaf in leaves]))
        for epoch in range(len(leaves[0]))
    ]


def error(model: Any, sequences: Sequence[np.ndarray], plan: Plan) -> float:
    """Return the mean squared error of predictions of sequences, in scaled units.

    Raises:
        ValueError: if a sequence is too short to be read and predicted once.
    """
    cuts = _in_turn(sequences, plan)
    outputs = np.concatenate(_went(model, cuts, plan.predict, lambda went: went.outputs))
    targets = np.concatenate([made.examples.targets for made in cuts])
    return float(np.square(outputs - targets).mean())


class Joined(NamedTuple):
    """Sequences, one after the other.

    Attributes:
        frames: of all, scaled by their own statistics.
        labels: number of the sequence that each frame is of.
    """

    frames: Float[np.ndarray, "time feature"]
    labels: Int[np.ndarray, " time"]


def joined(names: Sequence[str]) -> Joined:
    """Load sequences as the authors do: scaled by their own statistics, and one after the other.

    Args:
        names: of sequences, such as "walking_1".

    Raises:
        ValueError: if an action is unknown.
        datasets.DataError: as ``mocap.sequences``.
    """
    by_name = {
        each.name: each
        for each in mocap.sequences(dict.fromkeys(name.rpartition("_")[0] for name in names))
    }
    parts = [mocap.without_root(by_name[name].frames) for name in names]
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Joined(mocap.scale(np.concatenate(parts), mocap.normalise(parts)), labels)


class Held(NamedTuple):
    """Sequences to train on, and sequences of the same actions that are held out.

    Attributes:
        training: scaled by their own statistics.
        held: scaled by those of the training sequences.
        actions: number of the action of each sequence that is held out.
        recorded: what is held out, as recorded.
    """

    training: list[np.ndarray]
    held: list[np.ndarray]
    actions: list[int]
    recorded: list[mocap.Sequence]


def held_out(sequences: Sequence[mocap.Sequence], number: int) -> Held:
    """Hold out some sequences of each action: two of five, or half of those where there are fewer.

    A single sequence is split in time first.

    Args:
        sequences: of any actions.
        number: of the choice, from 0; the first sequence held out moves on with it.
    """
    actions = list(dict.fromkeys(each.action for each in sequences))
    train, held, numbers = [], list[mocap.Sequence](), []
    for action in actions:
        own = [each for each in sequences if each.action == action]
        own = mocap.split_in_time(own[0], 2) if len(own) == 1 else own
        out = {(number + k) % len(own) for k in range(min(2, len(own) // 2))}
        train += [each.frames for k, each in enumerate(own) if k not in out]
        held += [own[k] for k in sorted(out)]
        numbers += [actions.index(action)] * len(out)
    still = [mocap.without_root(frames) for frames in train]
    by = mocap.normalise(still)
    return Held(
        [_clipped(frames, by) for frames in still],
        [_clipped(mocap.without_root(each.frames), by) for each in held],
        numbers,
        held,
    )


def each_by_itself(recordings: Sequence[mocap.Recording]) -> list[np.ndarray]:
    """Scale the frames of each recording by its own statistics, all in the same columns."""
    still = [mocap.without_root(each.frames) for each in recordings]
    kept = mocap.normalise(still).kept
    scales = [mocap.normalise([frames]) for frames in still]
    return [
        _clipped(frames, by._replace(kept=kept, deviation=by.deviation + HARDLY))
        for frames, by in zip(still, scales, strict=True)
    ]


def study(networks: int = 4, report: Callable[[str], None] = print) -> None:
    """Train, embed, cluster and publish predictors of people moving: ``results/movement``.

    A batch that is finished is kept in ``build/movement``, so that an interrupted study goes on
    from there.

    Args:
        networks: how many for each batch, with seeds 0, 1, 2 and so on; an even number makes use
            of two cores.
        report: called with a line when a batch is done.

    Raises:
        datasets.DataError: if a file is damaged.
        datasets.DataUnavailable: if a file is neither at hand nor within reach.
    """
    sequences, recordings = mocap.sequences(mocap.ACTIONS), mocap.recordings()
    facts = _facts(networks) | {
        "recordings": [each.name for each in recordings],
        "activities": [list(dict.fromkeys(each.activities)) for each in recordings],
        "sha256_of_sequences": checksum([each.frames for each in sequences]),
        "sha256_of_recordings": checksum([each.frames for each in recordings]),
    }
    seeds = range(networks)
    batches: dict[str, Callable[[], runs.Arrays]] = {}
    for name, plan in {"": AUTHORS, "_short": SHORT}.items():
        for task in TASKS:
            batches[task + name] = partial(_authors, task + name, TASKS[task], plan, seeds)
    for number in range(CHOICES):
        batches[f"held-{number}"] = partial(_held_out, sequences, number, seeds)
    batches["subject-86"] = partial(_subject_86, recordings, seeds)
    started, found = time.perf_counter(), []
    for number, (name, make) in enumerate(batches.items()):
        found.append(_kept(name, make, facts))
        minutes = (time.perf_counter() - started) / 60
        left = minutes / (number + 1) * (len(batches) - number - 1)
        report(f"{name}: done; about {left:.0f} min left")
    seconds = sum(batch.provenance["wall_seconds"] for batch in found)
    arrays = {}
    for name in dict.fromkeys(name for batch in found for name in batch.arrays):
        arrays[name] = np.concatenate([b.arrays[name] for b in found if name in b.arrays])
    provenance = runs.provenance(runs.command_line(), wall_seconds=round(seconds, 1), **facts)
    runs.save_study(runs.ROOT / "results" / "movement", runs.Study("movement", arrays, provenance))


def checksum(frames: Iterable[np.ndarray]) -> str:
    """Return the sha256 of the frames of sequences, one after the other."""
    digest = hashlib.sha256()
    for part in frames:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def segmented(
    parts: Sequence[Embedding], recording: mocap.Recording, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return what the page shows of a recording, point by point.

    Args:
        parts: one embedding of the recording.
        recording: with its segmentation by hand.
        rng: source of k-means' starts.

    Returns:
        "path", the points in few modes; "at", their frames; "truth", the activity by hand;
        "found", the clusters of k-means after the longest running mean, the number of activities
        given, short segments merged, under the numbers of their activities.

    Raises:
        ValueError: as ``find`` and ``clusters.match``.
    """
    (path,) = in_modes(parts, parts, FEW_MODES)
    way = given(len(np.unique(recording.labels)), rng)["k-means"]
    smoothed = [smooth(part, mocap.RATE * max(SUBJECT_86.seconds)) for part in parts]
    (found,) = find(smoothed, [len(recording.frames)], way)
    found = clusters.match(clusters.drop_short(found, SHORTEST), recording.labels)
    frame = path.at.astype(int)
    truth = recording.labels[frame]
    return {"path": path.points, "at": path.at, "truth": truth, "found": found[frame]}


def gauge(rows: Rows, count: int, rng: np.random.Generator) -> Float[np.ndarray, "row method"]:
    """Return the silhouette of the clusters found, which needs no labels.

    Args:
        rows: of a predictor; the first two in ``LEARNED`` are clustered.
        count: how many clusters.
        rng: source of k-means' starts.

    Returns:
        For each representation, that of k-means and of Ward's clusters.

    Raises:
        ValueError: as ``clusters.found_silhouettes``.
    """
    found = []
    for name in LEARNED[:2]:
        points = np.concatenate([part.points for part in rows[name]])
        ways = list(given(count, rng).values())[:2]
        found.append([clusters.silhouette(points, way(points)) for way in ways])
    return np.array(found)


def roles(model: Any, parts: Held, plan: Plan) -> Float[np.ndarray, "role time"]:
    """Measure how near states come to the decoder's orbits of their own action, and of others.

    The decoder is run on for ``ONWARD`` frames, longer than it was trained for. Of each action at
    most ``EACH`` windows are taken, spread over its sequences.

    Args:
        model: a predictor.
        parts: with at least two actions.
        plan: how to cut.

    Returns:
        The mean over windows of ``predictors.approach``, first "own", then "other".

    Raises:
        ValueError: as ``cut`` and ``predictors.approach``.
    """
    cuts = [cut(frames[:: plan.step], plan.read, 0, plan.stride) for frames in parts.held]
    inputs = np.concatenate([made.examples.inputs for made in cuts])
    labels = np.repeat(parts.actions, [len(made.starts) for made in cuts])
    kept = np.concatenate([_spread(np.flatnonzero(labels == k)) for k in np.unique(labels)])
    went = predictors.trajectory(model, inputs[kept], ONWARD)
    own, other = predictors.approach(went.encoder, went.decoder, labels[kept])
    return np.stack([own.mean(axis=0), other.mean(axis=0)])


def paths(model: Any, parts: Held, plan: Plan) -> list[Embedding]:
    """Embed what is held out by encoder averages in few modes, for every frame that is used.

    Raises:
        ValueError: as ``learned``.
    """
    name = LEARNED[0]
    fine = learned(model, parts.held, plan._replace(stride=1))[name]
    return in_modes(fine, learned(model, parts.training, plan)[name], FEW_MODES)


def figures(
    recorded: Sequence[mocap.Sequence], at: Sequence[Float[np.ndarray, " _"]]
) -> list[Float[np.ndarray, "time joint 3"]]:
    """Return the joints of people at frames of their sequences, as if they moved on one spot.

    Args:
        recorded: with all columns.
        at: frames of each, from 0; rounded down.

    Raises:
        ValueError: as ``mocap.forward_kinematics``.
    """
    places = []
    for sequence, when in zip(recorded, at, strict=True):
        frames = sequence.frames[when.astype(int)].astype(float)
        frames[:, [0, 2]] = 0
        places.append(mocap.forward_kinematics(frames, mocap.PARENTS, mocap.OFFSETS))
    return places


def played(model: Any, parts: Held, plan: Plan) -> runs.Arrays:
    """Embed one sequence of each action that is held out, and find the joints in step with it.

    Args:
        model: a predictor.
        parts: what it was trained on, and what is held out.
        plan: how to cut.

    Returns:
        "played_points" as of ``paths``, and "played_joints" as of ``figures``, of all sequences one
        after the other; "played_frames", how many of each, at most ``PLAYED``.

    Raises:
        ValueError: as ``paths``.
    """
    made = paths(model, parts, plan)
    first = [parts.actions.index(k) for k in dict.fromkeys(parts.actions)]
    points = [made[k].points[:PLAYED] for k in first]
    at = [made[k].at[:PLAYED] for k in first]
    joints = figures([parts.recorded[k] for k in first], at)
    arrays = {"points": np.concatenate(points), "frames": [len(part) for part in points]}
    # half precision, about a millimetre, is enough to be looked at
    return _single("played", arrays) | {"played_joints": np.concatenate(joints).astype(np.float16)}


def joined_table(
    rows: Rows, labels: Int[np.ndarray, " time"], plan: Plan, rng: np.random.Generator
) -> Float[np.ndarray, "smoothing row method score"]:
    """Cluster and score representations of sequences that follow each other as one.

    Raises:
        ValueError: as ``table``; or if there is one sequence only.
    """
    ways = given(len(np.unique(labels)), rng)
    return table(rows, [len(labels)], plan.seconds, ways, lambda found: agreement(found, labels))


def subject_table(
    rows: Rows, recording: mocap.Recording, plan: Plan, methods: dict[str, Cluster]
) -> Float[np.ndarray, "smoothing row method score"]:
    """Cluster and score representations of one recording of subject 86.

    Args:
        rows: of the recording.
        recording: with its segmentation by hand.
        plan: for the lengths of the running mean.
        methods: as ``given`` or ``unknown``.

    Raises:
        ValueError: as ``table`` and ``segmentation``.
    """
    score = partial(segmentation, recording=recording)
    return table(rows, [len(recording.frames)], plan.seconds, methods, score)


def _authors(task: str, names: Sequence[str], plan: Plan, seeds: Sequence[int]) -> runs.Arrays:
    frames, labels = joined(names)
    fitted = fit([frames], plan, seeds)
    plain_table = joined_table(plain_rows([frames], [frames], plan), labels, plan, _rng(0))
    tables, facts, gauges = [], [], []
    for seed in seeds:
        models = [_fresh(frames, plan, seed), *along(fitted, seed)]
        rows = [learned_rows(model, [frames], [frames], plan) for model in models]
        rng = _rng(seed)
        tables.append([joined_table(each, labels, plan, rng) for each in rows])
        gauges.append([gauge(each, len(names), _rng(seed)) for each in rows])
        losses = [error(model, [frames], plan) for model in models]
        shapes = [_shape(each[LEARNED[1]][0], labels) for each in rows]
        facts.append(np.column_stack([losses, shapes]))
    loss, modes, silhouette = np.moveaxis(np.array(facts), 2, 0)
    last = learned_rows(training.member(fitted, 0), [frames], [frames], plan)[LEARNED[2]][0]
    scores = {"plain": plain_table, "learned": tables, "gauge": gauges}
    shown = {"loss": loss, "modes": modes, "silhouette": silhouette}
    return _single(task, scores | shown | {"path": last.points, "at": last.at})


def _shape(part: Embedding, labels: np.ndarray) -> tuple[float, float]:
    """Return the number of modes for 95% of the energy, and the silhouette of the true labels."""
    modes = pod.modes_for(pod.pod(part.points, centred=True), 0.95)
    return float(modes), clusters.silhouette(part.points, labels[part.at.astype(int)])


def _held_out(
    sequences: Sequence[mocap.Sequence], number: int, seeds: Sequence[int]
) -> runs.Arrays:
    parts, plan = held_out(sequences, number), HELD_OUT
    lengths = [len(frames) for frames in parts.held]
    labels = np.repeat(parts.actions, lengths)
    count = len(np.unique(labels))
    fitted = fit(parts.training, plan, seeds)

    def scored(rows: Rows, seed: int) -> np.ndarray:
        ways = given(count, _rng(seed))
        return table(rows, lengths, plan.seconds, ways, lambda found: agreement(found, labels))

    found: dict[str, list[Any]] = {name: [] for name in ("learned", "loss", "gauge", "roles")}
    for seed in seeds:
        models = [_fresh(parts.held[0], plan, seed), *along(fitted, seed)]
        rows = [learned_rows(model, parts.held, parts.training, plan) for model in models]
        found["learned"].append([scored(each, seed) for each in (rows[0], rows[-1])])
        found["loss"].append([error(model, parts.held, plan) for model in models])
        found["gauge"].append([gauge(each, count, _rng(seed)) for each in rows])
        found["roles"].append([roles(model, parts, plan) for model in (models[0], models[-1])])
    plain_table = scored(plain_rows(parts.held, parts.training, plan), 0)
    arrays = _single("held", {"plain": [plain_table]} | {k: [v] for k, v in found.items()})
    return arrays | (played(training.member(fitted, 0), parts, plan) if number == 0 else {})


def _subject_86(recordings: Sequence[mocap.Recording], seeds: Sequence[int]) -> runs.Arrays:
    plan, frames = SUBJECT_86, each_by_itself(recordings)
    fitted = fit(frames, plan, seeds)
    found: list[dict[str, np.ndarray]] = []
    shown: dict[str, np.ndarray] = {}
    for recording, own in zip(recordings, frames, strict=True):
        networks = [(_fresh(own, plan, s), training.member(fitted, s)) for s in seeds]
        rows = [[learned_rows(model, [own], [own], plan) for model in pair] for pair in networks]
        found.append(_subject_tables(recording, plain_rows([own], [own], plan), rows, seeds))
        strips = segmented(rows[0][1][LEARNED[0]], recording, _rng(seeds[0]))
        shown |= {f"{name}_{recording.name}": each for name, each in strips.items()}
    tables = {name: [each[name] for each in found] for name in found[0]}
    return _single("subject", tables | shown)


def _subject_tables(
    recording: mocap.Recording, rows: Rows, networks: list[list[Rows]], seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Score one recording, with the number of activities given and not."""
    tables: dict[str, np.ndarray] = {}
    scored = partial(subject_table, recording=recording, plan=SUBJECT_86)
    for_count = partial(given, len(np.unique(recording.labels)))
    ways: Callable[[np.random.Generator], dict[str, Cluster]]
    for name, ways in (("", for_count), ("_unknown", unknown)):
        tables[f"plain{name}"] = scored(rows, methods=ways(_rng(0)))
        learned_tables = [
            [scored(each, methods=ways(_rng(seed))) for each in pair]
            for seed, pair in zip(seeds, networks, strict=True)
        ]
        # smoothing first, then seed and kind, so that ``tuned`` takes both
        tables[f"learned{name}"] = np.moveaxis(np.array(learned_tables), 2, 0)
    return tables


def _kept(name: str, make: Callable[[], runs.Arrays], facts: dict[str, Any]) -> runs.Study:
    folder = runs.ROOT / "build" / "movement" / name
    try:
        made = runs.load_study(str(folder))
        if facts.items() <= made.provenance.items():
            return made
    except runs.RunError:
        pass
    started = time.perf_counter()
    arrays = make()
    timed = {"wall_seconds": time.perf_counter() - started, **facts}
    made = runs.Study(name, arrays, runs.provenance(runs.command_line(), **timed))
    runs.save_study(folder, made)
    return made


def _facts(networks: int) -> dict[str, Any]:
    plans = {"authors": AUTHORS, "short": SHORT, "held_out": HELD_OUT, "subject_86": SUBJECT_86}
    # as it comes back from a file: lists, no tuples
    told = {name: plan._asdict() for name, plan in plans.items()}
    for plan in told.values():
        plan |= {"recipe": plan["recipe"]._asdict(), "seconds": list(plan["seconds"])}
    return {"networks": networks, **told, "shortest": SHORTEST, "candidates": list(CANDIDATES)}


def _fresh(frames: np.ndarray, plan: Plan, seed: int) -> Any:
    return create(frames.shape[1], plan)(jax.random.key(seed))


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _single(prefix: str, arrays: dict[str, Any]) -> runs.Arrays:
    return {f"{prefix}_{name}": np.asarray(each, np.float32) for name, each in arrays.items()}


def _clipped(frames: np.ndarray, by: mocap.Scale) -> np.ndarray:
    return np.clip(mocap.scale(frames, by), -LIMIT, LIMIT)


def _name(number: int) -> str:
    return f"{number:02d}"


def _leaves(model: nnx.Module) -> dict[str, Array]:
    return {_name(k): leaf for k, leaf in enumerate(jax.tree.leaves(nnx.state(model)))}


def _spread(rows: np.ndarray) -> np.ndarray:
    """Take at most ``EACH`` of them, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(EACH, len(rows))).astype(int)]


def _in_turn(sequences: Sequence[np.ndarray], plan: Plan) -> list[Cut]:
    """Cut sequences so that each frame, but the first ones, is predicted once."""
    return [
        cut(frames[:: plan.step], plan.read, plan.predict, plan.predict) for frames in sequences
    ]


def _by_name(embedded: Iterable[dict[str, Embedding]]) -> Rows:
    parts = list(embedded)
    return {name: [part[name] for part in parts] for name in parts[0]}


def _went(
    model: Any,
    cuts: Sequence[Cut],
    frames: int,
    take: Callable[[predictors.Went], np.ndarray],
) -> list[np.ndarray]:
    """Run a predictor over the windows of sequences, as many at a time each time."""
    inputs = np.concatenate([made.examples.inputs for made in cuts])
    found = []
    for start in range(0, len(inputs), TOGETHER):
        some = inputs[start : start + TOGETHER]
        # the last ones are filled up, so that everything is compiled once
        full = np.pad(some, [(0, TOGETHER - len(some)), (0, 0), (0, 0)])
        found.append(take(predictors.trajectory(model, full, frames))[: len(some)])
    ends = np.cumsum([len(made.starts) for made in cuts])[:-1]
    return np.split(np.concatenate(found), ends)
