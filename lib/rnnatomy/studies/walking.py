"""Do decoders of people moving end in attractors? They are run for ever, to see where.

The second study says that the encoder starts a trajectory and that the decoder is its attractor.
Here decoders of poses go on by themselves, fed with their own outputs, from where they stand after
windows of sequences that are held out. Where they end is counted, as in ``attractors``, and how far
the pose goes on the way. There are two decoders: the *residual* one of ``movement``, which gives
the change from frame to frame, and a *plain* one, which gives the pose, as the authors' own code
does. Both are trained in the same way, on the same windows. The control is no training.
*A set belongs to one action* if more than ``attractors.ALONE`` of the starts that end in it do.

Expected before any of these numbers was seen:

1. No trained residual decoder settles: in most, more than half of the starts either drift beyond
   the largest pose of training within 4,000 frames or end in a pose that stands still.
2. Plain decoders stay bounded and end in few sets, fewer than eight; in fewer than a quarter of
   networks does each action have a set of its own.
3. A walk has a closed curve of its own, with a period within 20 % of one stride (0.8 to 1.4 s), in
   fewer than half of the plain networks.
4. Untrained decoders end in one fixed point (plain), or drift (residual).

Then trial networks of the first choice were looked at: all of seed 0, which are published, and
trained ones of seed 100. Poses of the residual decoders left the bound from every start, trained or
not. Both plain ones ended in six or seven sets, that of seed 0 in fixed points alone, the other in
circles and tori too; the untrained one in a fixed point and a circle of 100 frames. Held out, both
decoders had larger errors than the last frame, repeated, and on the windows of training smaller
ones. So the errors on these are kept, and so are networks that were trained for ``LONGER``, for
which nothing was expected: of seed 100 a plain one ended in chaos, of seed 0 in twelve sets, among
them a circle of 33.6 frames whose poses are nearest to walking, though other actions end in it.
The poses that a set is nearest to are kept because of it. The expectations were left as they were.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

from rnnatomy.analysis import maps, pod
from rnnatomy.data import mocap
from rnnatomy.networks import access, autonomous, training
from rnnatomy.store import disk, results
from rnnatomy.studies import attractors, engine, progress
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import embeddings, fitting, protocols, study

KINDS = ("residual", "plain")
"""Whether the decoder gives the change from frame to frame, or the pose."""

STATES = ("trained", "longer", "untrained")

LONGER = 4
"""So many times as many epochs have networks whose state is "longer"."""

EACH = 8
"""Held-out windows of each action after which a decoder goes on, evenly over all that there are."""

STEPS = 4000
"""Half of the frames for which they go on, until it is told where they end."""

AFTER = (0, 1, 10, 30, 100, 1000, 4000)
"""Frames after the last one that is read, at which poses are looked at."""

BOUND = 10.0
"""A state that is so many times as long as the longest pose of training has run away. All columns
at the ends of the range to which poses are clipped are still within."""

TOLERANCE = 1e-2
"""States that are no further apart are the same."""

SETS, EXPONENTS = 6, 3
"""So many limit sets of each network are kept at most, the largest basins first, and so many
exponents of each; all sets are counted."""

CHUNK = 500
"""Frames that are run at once."""

COMPARED = 100
"""States of a limit set, evenly over its orbit, whose poses are compared with those of training."""

TURN = 8
"""Poses of each set that are shown: all round one turn of a closed curve."""

RANGE, PART = (0.4, 1.6), 2 / 3
"""Seconds in which a movement may come back, and the most of a sequence's length."""

SET_AXES = {
    **dict.fromkeys(("sets", "settled", "away"), ()),
    **dict.fromkeys(("kind", "period", "rotation", "rotation_error"), ("set",)),
    **dict.fromkeys(("nearest", "nearest_action"), ("set",)),
    "basin": ("set", "action"),
    "exponents": ("set", "exponent"),
    "exponent_errors": ("set", "exponent"),
    "still": ("action",),
    "lost": (),
}
"""Axes of what is measured of where a decoder ends, see ``of_sets``."""

WAY_AXES = dict.fromkeys(("distance", "speed", "beyond"), ("after", "action"))
"""Axes of what is measured on the way, see ``of_way``."""

ERROR_AXES = dict.fromkeys(("error", "stay_error", "train_error", "train_stay_error"), ())

DATA_AXES = dict.fromkeys(("spread", "longest", "held_beyond", "held_nearest"), ())
"""Axes of what there is to hold a network against, see ``of_data``."""

ACTION_AXES = dict.fromkeys(("stride", "returns", "own_speed"), ("action",))
"""Axes of what is measured of people, see ``of_people``."""

SHOWN_AXES = {
    "shown_sets": ("set", "turn", "joint", "axis"),
    "shown_ways": ("action", "after", "joint", "axis"),
}
"""Axes of the bodies that are shown, see ``to_show``."""

AXES = {
    **{
        name: ("network", *axes)
        for name, axes in (SET_AXES | WAY_AXES | ERROR_AXES | DATA_AXES).items()
    },
    **{name: ("shown", *axes) for name, axes in SHOWN_AXES.items()},
    **ACTION_AXES,
}
"""Axes of the published arrays; ``shown`` is seed 0 of the first choice."""


class Batch(NamedTuple):
    """Networks of the study that differ in their seed alone.

    Attributes:
        kind: one of ``KINDS``.
        state: one of ``STATES``.
        choice: number of the way to hold out, from 0.
    """

    kind: str
    state: str
    choice: int

    @property
    def name(self) -> str:
        """Its name, such as "plain-trained-0"."""
        return "-".join(map(str, self))


class Motion(NamedTuple):
    """Movements, and how those that are trained on were scaled.

    Attributes:
        parts: to train on, and held out.
        scale: from recorded frames to those of the parts, but for clipping.
        learnt: number of the action of each sequence that is trained on.
    """

    parts: protocols.Parts
    scale: mocap.Scale
    learnt: list[int]


def publish(networks: int = 4, report: Callable[[str], None] = progress.print_line) -> None:
    """Train decoders of poses, run them for ever, and publish where they end: ``results/walking``.

    Each network is a job.

    Args:
        networks: how many of each kind, state and choice, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    sequences = mocap.sequences(mocap.ACTIONS)
    checksum = identity.fingerprint(sequences)
    rows = [(batch, seed) for batch in _batches() for seed in range(networks)]
    kept = engine.run("walking", [_job(*row, checksum) for row in rows], report=report)
    found = [engine.load(one).arrays for one in kept]
    arrays = results.stack(found, AXES, "network") | results.stack(found, AXES, "shown")
    arrays |= of_people(hold_out(sequences, 0))
    data = results.dataset(arrays, AXES, _coordinates(rows))
    facts = {
        "networks": len(rows),
        "seeds": networks,
        "sha256_of_sequences": protocols.checksum([each.frames for each in sequences]),
    }
    results.publish("walking", data, engine.facts(kept) | _facts() | facts)


def measure(
    kind: str, state: str, choice: int, seed: Sequence[int], data_sha256: str, epochs: int
) -> list[disk.Arrays]:
    """Train networks of a batch, and tell where their decoders end, as a job.

    Args:
        kind: as of ``Batch``.
        state: as of ``Batch``.
        choice: as of ``Batch``.
        seed: one network each.
        data_sha256: checksum of the movements.
        epochs: of training; 0 for none.

    Returns:
        What is found of each, by the names of ``AXES``, without their first axis.
    """
    motion = _motion(choice, data_sha256)
    rows = []
    for number, model in zip(seed, models(motion.parts, kind, seed, epochs), strict=True):
        row = of_network(model, motion)
        rows.append(row | (to_show(model, motion) if number == choice == 0 else {}))
    return rows


def hold_out(sequences: Sequence[mocap.Sequence], choice: int) -> Motion:
    """Hold out some sequences of each action, as ``protocols.hold_out`` does.

    Args:
        sequences: of any actions.
        choice: from 0.
    """
    parts = protocols.hold_out(sequences, choice)
    held = {each.name for each in parts.recorded}
    pieces = [piece for each in sequences for piece in _pieces(each, held)]
    learnt = [each for each in pieces if each.name not in held]
    actions = list(dict.fromkeys(each.action for each in parts.recorded))
    return Motion(
        parts,
        mocap.normalise([mocap.without_root(each.frames) for each in learnt]),
        [actions.index(each.action) for each in learnt],
    )


def models(parts: protocols.Parts, kind: str, seeds: Sequence[int], epochs: int) -> list[Any]:
    """Return networks of a kind: fitted as ``fitting.fit`` does, or not at all.

    Args:
        parts: what to train on.
        kind: one of ``KINDS``.
        seeds: one network each.
        epochs: of training; 0 for none.
    """
    plan, residual = protocols.HELD_OUT, kind == "residual"
    if not epochs:
        create = fitting.create(parts.training[0].shape[1], plan, residual=residual)
        return [create(jax.random.key(seed)) for seed in seeds]
    plan = plan._replace(recipe=plan.recipe._replace(epochs=epochs))
    fitted = fitting.fit(parts.training, plan, seeds, residual=residual)
    return [access.in_jax(training.member(fitted, k)) for k in range(len(seeds))]


def of_network(model: Any, motion: Motion) -> disk.Arrays:
    """Measure where a decoder ends, what it does on the way, and how well it predicts.

    Args:
        model: a predictor.
        motion: what it was trained on, and what is held out.

    Returns:
        As of ``of_sets``, ``of_way`` and ``of_data``. And mean squared errors, in scaled units, of
        the frames that it was trained to predict: "error" of sequences that are held out,
        "train_error" of those trained on; "stay_error" and "train_stay_error" are what the last
        frame that is read has, repeated.
    """
    parts, plan = motion.parts, protocols.HELD_OUT
    inputs, labels = starts(parts)
    path = onward(model, inputs)
    gone = beyond(path, parts)
    errors = {
        "error": fitting.error(model, parts.held, plan),
        "stay_error": stay_error(parts.held),
        "train_error": fitting.error(model, parts.training, plan),
        "train_stay_error": stay_error(parts.training),
    }
    return (
        of_sets(model, motion, inputs, labels, gone)
        | of_way(path, gone, labels)
        | of_data(parts)
        | disk.single(errors)
    )


def starts(
    parts: protocols.Parts,
) -> tuple[Float[np.ndarray, "start read feature"], Int[np.ndarray, " start"]]:
    """Return the held-out windows after which decoders go on, and the numbers of their actions."""
    plan = protocols.HELD_OUT
    cuts = [embeddings.cut(frames[:: plan.step], plan.read, 0, 1) for frames in parts.held]
    inputs = np.concatenate([made.examples.inputs for made in cuts])
    labels = np.repeat(parts.actions, [len(made.starts) for made in cuts])
    few = [_evenly(np.flatnonzero(labels == label), EACH) for label in np.unique(labels)]
    rows = np.concatenate(few)
    return inputs[rows], labels[rows]


def onward(
    model: Any, inputs: Float[np.ndarray, "start read feature"]
) -> Float[np.ndarray, "start time feature"]:
    """Run a decoder on, and return its poses.

    Args:
        model: a predictor.
        inputs: windows that it reads.

    Returns:
        The last frame that is read, and one more than ``AFTER[-1]`` poses that follow.
    """
    network, frames = autonomous.closed_loop(model), AFTER[-1] + 2
    states, parts = network.start(inputs), [inputs[:, -1:]]
    if not model.residual:  # it was fed the last frame already
        parts.append(network.outputs(states)[:, None])
    for _ in range(0, frames, CHUNK):
        run = maps.run(network.step, states, CHUNK, CHUNK)
        states = run[:, -1]
        parts.append(network.outputs(run).astype(np.float32))
    return np.concatenate(parts, axis=1)[:, :frames].astype(np.float32)


def beyond(
    path: Float[np.ndarray, "start time feature"], parts: protocols.Parts
) -> Float[np.ndarray, "start after"]:
    """Tell which poses were longer than any of training, at some frame until each of ``AFTER``."""
    longer = np.linalg.norm(path, axis=2) > _longest(parts)
    return np.logical_or.accumulate(longer, axis=1)[:, AFTER].astype(float)


def of_way(
    path: Float[np.ndarray, "start time feature"],
    gone: Float[np.ndarray, "start after"],
    labels: Int[np.ndarray, " start"],
) -> disk.Arrays:
    """Measure how far poses go, in scaled units.

    Args:
        path: as of ``onward``.
        gone: as of ``beyond``.
        labels: numbers of the actions.

    Returns:
        At each of ``AFTER``, and of the starts of each action: "distance", root mean square, from
        the last frame that is read; "speed", median, how far the pose moves to the next frame;
        "beyond", the fraction whose pose was longer than any of training until then.
    """
    frames = np.array(AFTER)
    squared = np.square(path[:, frames] - path[:, :1]).sum(axis=2)
    speed = np.linalg.norm(path[:, frames + 1] - path[:, frames], axis=2)
    groups = [labels == label for label in np.unique(labels)]
    arrays = {
        "distance": np.stack([np.sqrt(squared[own].mean(axis=0)) for own in groups], axis=1),
        "speed": np.stack([np.median(speed[own], axis=0) for own in groups], axis=1),
        "beyond": np.stack([gone[own].mean(axis=0) for own in groups], axis=1),
    }
    return disk.single(arrays)


def of_sets(
    model: Any,
    motion: Motion,
    inputs: Float[np.ndarray, "start read feature"],
    labels: Int[np.ndarray, " start"],
    gone: Float[np.ndarray, "start after"],
) -> disk.Arrays:
    """Describe where a decoder ends that is run on for ever.

    Args:
        model: a predictor.
        motion: what it was trained on, and what is held out.
        inputs: windows that it reads.
        labels: numbers of their actions.
        gone: as of ``beyond``.

    Returns:
        By name: "sets", how many; fractions of the starts that had "settled", or run away, at half
        time, and that ran "away" beyond ``BOUND``; "still", the fraction of each action's starts
        that end in a fixed point; "lost", that of all starts that do, or whose pose was longer than
        any of training within ``AFTER[-1]`` frames. And of each set, with ``attractors.NONE`` or no
        number where there are fewer: "kind", a number in ``maps.KINDS``; "period"; "basin", the
        fraction of each action's starts that end in it; the leading "exponents" and their errors;
        "rotation", turns per frame, and its error, see ``attractors.turns``; "nearest", mean
        distance of its poses to the nearest one of training, and "nearest_action", the action that
        most of these are of.
    """
    network = autonomous.closed_loop(model)
    found = limit_sets(network, motion.parts, inputs)
    fixed = np.append(found.kinds == maps.KINDS.index("fixed point"), False)[found.basins]
    turned, near = _turns(network, found, motion.parts), _nearest(network, found, motion)
    groups = [labels == label for label in np.unique(labels)]
    sets = np.arange(len(found.kinds))
    basin = [[(found.basins[own] == number).mean() for own in groups] for number in sets]
    arrays = {
        "sets": len(found.kinds),
        "settled": found.settled.mean(),
        "away": (found.basins < 0).mean(),
        "still": [fixed[own].mean() for own in groups],
        "lost": (fixed | (gone[:, -1] > 0)).mean(),
        "kind": results.filled(found.kinds, SETS, float(attractors.NONE)),
        "period": results.filled(found.periods, SETS, 0.0),
        "basin": results.filled(np.reshape(basin, (len(sets), len(groups))), SETS),
        "exponents": results.filled(found.exponents, SETS),
        "exponent_errors": results.filled(found.errors, SETS),
        "rotation": results.filled(turned[:, 0], SETS),
        "rotation_error": results.filled(turned[:, 1], SETS),
        "nearest": results.filled(near[:, 0], SETS),
        "nearest_action": results.filled(near[:, 1], SETS, float(attractors.NONE)),
    }
    return disk.single(arrays)


def limit_sets(
    network: autonomous.Autonomous,
    parts: protocols.Parts,
    inputs: Float[np.ndarray, "start read feature"],
) -> maps.LimitSets:
    """Find the limit sets of a decoder, those as one that are alike, see ``attractors.join_alike``.

    They are compared in the first two modes of the poses that were trained on.
    """
    found = maps.limit_sets(
        network.step,
        network.start(inputs),
        STEPS,
        count=EXPONENTS,
        tolerance=TOLERANCE,
        bound=BOUND * _longest(parts),
    )
    return attractors.join_alike(found, _in_plane(network.outputs(found.orbits), parts))


def of_data(parts: protocols.Parts) -> disk.Arrays:
    """Measure the movements that a network is held against, in scaled units.

    Returns:
        "spread", root mean square distance of poses of training from their mean; "longest", the
        largest length of one; "held_beyond", fraction of held-out poses that are longer;
        "held_nearest", mean distance of these to the nearest one of training, each action alike.
    """
    learnt, inputs = np.concatenate(parts.training), starts(parts)[0]
    longest = _longest(parts)
    lengths = np.linalg.norm(np.concatenate(parts.held), axis=1)
    arrays = {
        "spread": np.sqrt(np.square(learnt - learnt.mean(axis=0)).sum(axis=1).mean()),
        "longest": longest,
        "held_beyond": (lengths > longest).mean(),
        "held_nearest": cdist(inputs[:, -1], learnt).min(axis=1).mean(),
    }
    return disk.single(arrays)


def of_people(motion: Motion) -> disk.Arrays:
    """Measure how people move, by action, in all sequences.

    Returns:
        "stride", the median over sequences of the seconds after which the pose comes back best,
        see ``comes_back``; "returns", the median of how far it is then from doing so; "own_speed",
        the median distance from one frame of the network to the next, in scaled units.
    """
    step, parts = protocols.HELD_OUT.step, motion.parts
    every, labels = parts.training + parts.held, np.array(motion.learnt + parts.actions)
    rows = []
    for label in np.unique(labels):
        own = [every[k] for k in np.flatnonzero(labels == label)]
        speeds = [np.linalg.norm(frames[step:] - frames[:-step], axis=1) for frames in own]
        back = np.median([comes_back(frames) for frames in own], axis=0)
        rows.append([*back, np.median(np.concatenate(speeds))])
    return disk.single(dict(zip(ACTION_AXES, np.array(rows).T, strict=True)))


def comes_back(frames: Float[np.ndarray, "time feature"]) -> tuple[float, float]:
    """Find after how long a movement comes back best to the pose that it had.

    Args:
        frames: one sequence, scaled, as recorded.

    Returns:
        Seconds, within ``RANGE`` and ``PART`` of the sequence; and the mean squared distance from a
        pose to the one so much later, over that of two poses at any times: 0 if it is periodic, 1
        if nothing comes back. Not a number if the sequence is too short.
    """
    first, last = (round(seconds * mocap.RATE) for seconds in RANGE)
    lags = range(first, 1 + min(last, int(PART * len(frames))))
    if not lags:
        return np.nan, np.nan
    apart = [np.square(frames[lag:] - frames[:-lag]).sum(axis=1).mean() for lag in lags]
    best = int(np.argmin(apart))
    return lags[best] / mocap.RATE, apart[best] / (2 * frames.var(axis=0).sum())


def to_show(model: Any, motion: Motion) -> disk.Arrays:
    """Draw the bodies that a decoder ends in, and those on the way, as if they stood on one spot.

    Args:
        model: a predictor.
        motion: what it was trained on, and what is held out.

    Returns:
        Places of joints, in the units of ``mocap.forward_kinematics``, half precision.
        "shown_sets" (set, turn, joint, axis): of a closed curve, ``TURN`` poses evenly over one
        turn; of what else moves, one every few frames, over about a second; of a fixed point the
        same pose again and again; not a number where there is no set. "shown_ways" (action, after,
        joint, axis): the middle one of the starts of each action.
    """
    inputs, labels = starts(motion.parts)
    network = autonomous.closed_loop(model)
    found = limit_sets(network, motion.parts, inputs)
    rates = _turns(network, found, motion.parts)[:, 0]
    second = mocap.RATE / protocols.HELD_OUT.step
    spans = np.where(np.isfinite(rates), 1 / rates, second)
    drawn = [
        joints(one[(np.arange(TURN) * span / TURN).astype(int) % len(one)], motion.scale)
        for one, span in zip(network.outputs(found.orbits), spans, strict=True)
    ]
    sets = np.reshape(drawn, (len(drawn), TURN, len(mocap.PARENTS), 3))
    middle = [np.flatnonzero(labels == label)[: EACH // 2][-1] for label in np.unique(labels)]
    ways = joints(onward(model, inputs[middle])[:, AFTER], motion.scale)
    # half precision, about a millimetre, is enough to be looked at
    arrays = {"shown_sets": results.filled(sets, SETS), "shown_ways": ways}
    return {name: array.astype(np.float16) for name, array in arrays.items()}


def joints(
    poses: Float[np.ndarray, "*batch kept"], scale: mocap.Scale
) -> Float[np.ndarray, "*batch joint 3"]:
    """Return where the joints are in scaled poses; columns that are not kept have their means."""
    frames = np.broadcast_to(scale.mean, (*poses.shape[:-1], len(scale.mean))).copy()
    frames[..., scale.kept] += poses * scale.deviation[scale.kept]
    flat = frames.reshape(-1, frames.shape[-1])
    places = mocap.forward_kinematics(flat, mocap.PARENTS, mocap.OFFSETS)
    return places.reshape(*poses.shape[:-1], *places.shape[1:])


def stay_error(sequences: Sequence[Float[np.ndarray, "_ feature"]]) -> float:
    """Return the error of the last frame that is read, repeated, as ``fitting.error`` does."""
    cuts = [made.examples for made in embeddings.cut_once(sequences, protocols.HELD_OUT)]
    wrong = np.concatenate([part.targets - part.inputs[:, -1:] for part in cuts])
    return float(np.square(wrong).mean())


def _turns(
    network: autonomous.Autonomous, found: maps.LimitSets, parts: protocols.Parts
) -> Float[np.ndarray, "set 2"]:
    """Return turns per frame round each set, and their error; not a number where it is no curve."""
    plane = _in_plane(network.outputs(found.orbits), parts)
    told = [
        attractors.turns(*one)[1:] for one in zip(found.orbits, plane, found.names, strict=True)
    ]
    return np.reshape(told, (len(told), 2)).astype(float)


def _in_plane(
    drawn: Float[np.ndarray, "*batch feature"], parts: protocols.Parts
) -> Float[np.ndarray, "*batch mode=2"]:
    """Return poses in the first two modes of those that were trained on."""
    basis = pod.pod(np.concatenate(parts.training), centred=True, modes=2)
    return (drawn - basis.mean) @ basis.modes[:2].T


def _nearest(
    network: autonomous.Autonomous, found: maps.LimitSets, motion: Motion
) -> Float[np.ndarray, "set 2"]:
    """Return how far the poses of each set are from the nearest of training, and their action."""
    learnt = motion.parts.training
    actions = np.repeat(motion.learnt, [len(frames) for frames in learnt])
    rows = []
    for drawn in network.outputs(found.orbits):
        apart = cdist(_evenly(drawn, COMPARED), np.concatenate(learnt))
        most = np.bincount(actions[apart.argmin(axis=1)]).argmax()
        rows.append([apart.min(axis=1).mean(), most])
    return np.reshape(rows, (len(rows), 2)).astype(float)


def _longest(parts: protocols.Parts) -> float:
    return float(np.linalg.norm(np.concatenate(parts.training), axis=1).max())


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """Take at most so many rows, from the first to the last."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def _pieces(sequence: mocap.Sequence, held: set[str]) -> list[mocap.Sequence]:
    """Return a sequence, or its halves if one of them is held out."""
    halves = mocap.split_in_time(sequence, 2)
    return halves if held & {half.name for half in halves} else [sequence]


@lru_cache(maxsize=1)
def _motion(choice: int, data_sha256: str) -> Motion:
    return hold_out(study.checked(mocap.sequences(mocap.ACTIONS), data_sha256), choice)


def _batches() -> list[Batch]:
    choices = range(protocols.CHOICES)
    return [Batch(kind, state, k) for kind in KINDS for state in STATES for k in choices]


def _epochs(state: str) -> int:
    once = protocols.HELD_OUT.recipe.epochs
    return {"trained": once, "longer": LONGER * once, "untrained": 0}[state]


def _job(batch: Batch, seed: int, checksum: str) -> engine.Job:
    settings = batch._asdict() | {"seed": seed, "data_sha256": checksum}
    settings |= {"epochs": _epochs(batch.state)}
    return engine.Job(f"walking-{batch.name}-{seed}", measure, settings, many="seed")


def _coordinates(rows: Sequence[tuple[Batch, int]]) -> dict[str, Any]:
    shown = [batch for batch, seed in rows if batch.choice == seed == 0]
    return {
        "network": [f"{batch.name}-{seed}" for batch, seed in rows],
        "decoder": (("network",), [batch.kind for batch, _ in rows]),
        "state": (("network",), [batch.state for batch, _ in rows]),
        "choice": (("network",), [batch.choice for batch, _ in rows]),
        "seed": (("network",), [seed for _, seed in rows]),
        "shown": [f"{batch.kind}-{batch.state}" for batch in shown],
        "action": list(mocap.ACTIONS),
        "after": list(AFTER),
    }


def _facts() -> dict[str, Any]:
    return {
        "held_out": study.describe(protocols.HELD_OUT),
        "longer": LONGER,
        "each": EACH,
        "steps": STEPS,
        "after": list(AFTER),
        "bound": BOUND,
        "tolerance": TOLERANCE,
        "kinds": list(maps.KINDS),
    }
