"""What the page on people moving shows of single sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import clusters, segments
from rnnatomy.data import mocap
from rnnatomy.store import disk
from rnnatomy.studies.movement import embeddings, protocols, scoring

PLAYED = 150
"""So many frames at most of each sequence are published with the joints."""


def segmented(
    parts: Sequence[embeddings.Embedding], recording: mocap.Recording, rng: np.random.Generator
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
        ValueError: as ``scoring.find`` and ``clusters.relabel``.
    """
    (path,) = embeddings.in_modes(parts, parts, embeddings.FEW_MODES)
    way = scoring.methods_for_count(len(np.unique(recording.labels)), rng)["k-means"]
    smoothed = [
        embeddings.smooth(part, mocap.RATE * max(protocols.SUBJECT_86.seconds)) for part in parts
    ]
    (found,) = scoring.find(smoothed, [len(recording.frames)], way)
    found = clusters.relabel(segments.drop_short(found, scoring.SHORTEST), recording.labels)
    frame = path.at.astype(int)
    truth = recording.labels[frame]
    return {"path": path.points, "at": path.at, "truth": truth, "found": found[frame]}


def paths(model: Any, parts: protocols.Parts, plan: protocols.Plan) -> list[embeddings.Embedding]:
    """Embed what is held out by encoder averages in few modes, for every frame that is used.

    Raises:
        ValueError: as ``embeddings.embed_states``.
    """
    name = embeddings.WITH_NETWORK[0]
    fine = embeddings.embed_states(model, parts.held, plan._replace(stride=1))[name]
    return embeddings.in_modes(
        fine, embeddings.embed_states(model, parts.training, plan)[name], embeddings.FEW_MODES
    )


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


def player_data(model: Any, parts: protocols.Parts, plan: protocols.Plan) -> disk.Arrays:
    """Embed one sequence of each action that is held out, and find the joints in step with it.

    Args:
        model: a predictor.
        parts: what it was trained on, and what is held out.
        plan: how to cut.

    Returns:
        "played_points" (played_frame, mode) as of ``paths``, and "played_joints" (played_frame,
        joint, axis) as of ``figures``, of all sequences one after the other; "played_frames"
        (action), how many of each, at most ``PLAYED``.

    Raises:
        ValueError: as ``paths``.
    """
    made = paths(model, parts, plan)
    first = [parts.actions.index(k) for k in dict.fromkeys(parts.actions)]
    points = [made[k].points[:PLAYED] for k in first]
    at = [made[k].at[:PLAYED] for k in first]
    joints = figures([parts.recorded[k] for k in first], at)
    lengths = [len(part) for part in points]
    arrays = {"played_points": np.concatenate(points), "played_frames": lengths}
    # half precision, about a millimetre, is enough to be looked at
    return disk.single(arrays) | {"played_joints": np.concatenate(joints).astype(np.float16)}
