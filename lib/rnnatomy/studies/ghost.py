"""The ghost of a movement: poses as a decoder predicts them, beside those of the recording.

``movement`` says in one number how well a decoder predicts people whom it never saw, and that the
last frame that was read, repeated, predicts them better. Here predictions are kept to be looked at:
one sequence of each action is read in windows that follow each other, and after each window some
frames are predicted and drawn. Two decoders are trained on the first choice of sequences with seed
0, the *residual* one of ``movement`` and a *plain* one, as in ``walking``; shown is the one that
errs less on the sequences held out. So the choice favours the network, and not its rival.

Nothing was expected here that ``walking`` had not measured: of the two the residual decoder errs
less, and the last frame, repeated, less than both.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.data import mocap
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, progress, walking
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import embeddings, fitting, page, protocols, study

CHOICE, SEED = 0, 0
"""Which sequences are held out, and of which seed the networks are: those that ``movement`` plays.
"""

AXES: dict[str, tuple[str, ...]] = {
    "held_error": ("decoder",),
    "held_stay_error": (),
    "frames": ("action",),
    "joints": ("frame", "joint", "axis"),
    "errors": ("frame",),
    "still": ("frame",),
}
"""Axes of the published arrays; ``frame`` goes over all sequences, one after the other."""


class Predicted(NamedTuple):
    """One sequence as predicted, frame by frame; NaN where a frame was read and not predicted.

    Attributes:
        joints: places of the joints.
        errors: mean squared error of the pose, in scaled units.
        still: the same of the last frame that was read, repeated.
    """

    joints: Float[np.ndarray, "time joint 3"]
    errors: Float[np.ndarray, " time"]
    still: Float[np.ndarray, " time"]


def publish(networks: int = 1, report: Callable[[str], None] = progress.print_line) -> None:
    """Train two decoders of poses, and publish what the better one predicts: ``results/ghost``.

    Each decoder is a job.

    Args:
        networks: one of each kind is trained; more are not needed.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    sequences = mocap.sequences(mocap.ACTIONS)
    settings = {"data_sha256": identity.fingerprint(sequences)}
    jobs = [
        engine.Job(f"ghost-{kind}", measure, {"kind": kind} | settings) for kind in walking.KINDS
    ]
    kept = engine.run("ghost", jobs, report=report)
    rows = [engine.load(one).arrays for one in kept]
    best = int(np.argmin([row["held_error"] for row in rows]))
    arrays = rows[best] | results.stack(rows, AXES, "decoder")
    along = {"decoder": list(walking.KINDS), "action": list(mocap.ACTIONS)}
    facts = {
        "decoder": walking.KINDS[best],
        "choice": CHOICE,
        "seed": SEED,
        "held_out": study.describe(protocols.HELD_OUT),
        "sha256_of_sequences": protocols.checksum([each.frames for each in sequences]),
    }
    results.publish("ghost", results.dataset(arrays, AXES, along), engine.facts(kept) | facts)


def measure(kind: str, data_sha256: str) -> disk.Arrays:
    """Train a decoder, and predict what is played, as a job.

    Args:
        kind: one of ``walking.KINDS``.
        data_sha256: checksum of the movements.

    Returns:
        As of ``predict``; and "held_error", mean squared error of all sequences held out, and
        "held_stay_error", that of the last frame that is read, repeated.
    """
    sequences = study.checked(mocap.sequences(mocap.ACTIONS), data_sha256)
    motion, plan = walking.hold_out(sequences, CHOICE), protocols.HELD_OUT
    (model,) = walking.models(motion.parts, kind, [SEED], plan.recipe.epochs)
    errors = {
        "held_error": fitting.error(model, motion.parts.held, plan),
        "held_stay_error": walking.stay_error(motion.parts.held),
    }
    return disk.single(errors) | predict(model, motion)


def predict(model: Any, motion: walking.Motion) -> disk.Arrays:
    """Predict the frames of the sequences that ``page.player_data`` plays.

    Args:
        model: a predictor.
        motion: what it was trained on, and what is held out.

    Returns:
        By the names of ``AXES``: "frames", how many of each sequence are played; and, of all of
        them one after the other, as of ``Predicted``, "joints" in half precision.

    Raises:
        ValueError: if a sequence is too short to be read and predicted once.
    """
    parts = motion.parts
    played = [parts.actions.index(number) for number in dict.fromkeys(parts.actions)]
    made = [follow(model, parts.held[k], parts.recorded[k].frames, motion.scale) for k in played]
    joints, errors, still = (np.concatenate(rows) for rows in zip(*made, strict=True))
    lengths = [len(one.errors) for one in made]
    arrays = disk.single({"frames": lengths, "errors": errors, "still": still})
    # half precision, about a millimetre, is enough to be looked at
    return arrays | {"joints": joints.astype(np.float16)}


def follow(
    model: Any,
    scaled: Float[np.ndarray, "time kept"],
    recorded: Float[np.ndarray, "time feature"],
    scale: mocap.Scale,
) -> Predicted:
    """Read a window of a sequence and predict what follows, again and again.

    A window begins where ``protocols.HELD_OUT.predict`` more frames are known, so each frame but
    the first ones is predicted once, from one to that many frames ahead. Only joints that the
    network sees are predicted; where the root is, and which way it faces, is as recorded.

    Args:
        model: a predictor.
        scaled: the sequence as the network sees it.
        recorded: the same with all columns.
        scale: from recorded frames to scaled ones.

    Returns:
        At the frames that are played, see ``page.player_data``.

    Raises:
        ValueError: if the sequence is too short to be read and predicted once.
    """
    plan, at = protocols.HELD_OUT, played_at(len(scaled))
    own = scaled[at[0] % plan.step :: plan.step]  # of the same phase as what is played
    cuts = embeddings.cut(own, plan.read, plan.predict, plan.predict)
    (outputs,) = embeddings.run_windows(model, [cuts], plan.predict, lambda went: went.outputs)
    poses, held = np.full(own.shape, np.nan), np.full(own.shape, np.nan)
    for start, output, read in zip(cuts.starts, outputs, cuts.examples.inputs, strict=True):
        ahead = slice(start + plan.read, start + plan.read + plan.predict)
        poses[ahead], held[ahead] = output, read[-1]
    shown = slice(at[0] // plan.step, at[0] // plan.step + len(at))
    errors, still = (np.square(one - own).mean(axis=1)[shown] for one in (poses, held))
    return Predicted(_joints(poses[shown], recorded[at], scale), errors, still)


def played_at(frames: int) -> Int[np.ndarray, " _"]:
    """Return the recorded frames at which a sequence of so many is played."""
    plan = protocols.HELD_OUT
    count = -(-frames // plan.step) - plan.read + 1
    starts = np.arange(min(count, page.PLAYED))
    return (plan.step * (starts + (plan.read - 1) / 2)).astype(int)


def by_action(predicted: Mapping[Any, Any]) -> list[Predicted]:
    """Take apart the sequences that are predicted.

    Args:
        predicted: arrays as of ``predict``, or the study, which holds them too.

    Returns:
        One for each action, in their order.
    """
    ends = np.cumsum(np.asarray(predicted["frames"]).astype(int))[:-1]
    parts = [
        np.split(np.asarray(predicted[name]).astype(float), ends) for name in Predicted._fields
    ]
    return [Predicted(*one) for one in zip(*parts, strict=True)]


def _joints(
    poses: Float[np.ndarray, "time kept"],
    recorded: Float[np.ndarray, "time feature"],
    scale: mocap.Scale,
) -> Float[np.ndarray, "time joint 3"]:
    """Put predicted turns on bodies that stand and face as recorded; NaN where there are none."""
    frames, there = recorded.astype(float), np.isfinite(poses).all(axis=1)
    frames[:, [0, 2]] = 0
    frames[:, scale.kept] = poses * scale.deviation[scale.kept] + scale.mean[scale.kept]
    places = np.full((len(frames), len(mocap.PARENTS), 3), np.nan)
    places[there] = mocap.forward_kinematics(frames[there], mocap.PARENTS, mocap.OFFSETS)
    return places
