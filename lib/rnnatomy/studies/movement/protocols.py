"""How movements are cut, scaled and held out: the settings of the study."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.data import mocap
from rnnatomy.networks import training


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


STATES = ("untrained", "trained")
"""Networks whose states are taken."""


TUNED_ON = ("01", "05")
"""Recordings on which the running mean is chosen; scores are reported for the others."""


LIMIT = 10.0
"""Scaled numbers are clipped here, for columns that hardly vary in training."""


HARDLY = 1e-3
"""Added to each deviation of a recording of its own, for columns that it hardly uses."""


class Concatenation(NamedTuple):
    """Sequences, one after the other.

    Attributes:
        frames: of all, scaled by their own statistics.
        labels: number of the sequence that each frame is of.
    """

    frames: Float[np.ndarray, "time feature"]
    labels: Int[np.ndarray, " time"]


def concatenate(names: Sequence[str], sequences: Iterable[mocap.Sequence]) -> Concatenation:
    """Join sequences as the authors do: scaled by their own statistics, and one after the other.

    Args:
        names: of those to be joined, in order, such as "walking_1".
        sequences: these, and any others.

    Raises:
        ValueError: if a sequence is not there.
    """
    by_name = {each.name: each for each in sequences}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise ValueError(f"sequence {missing[0]!r} is not there: choose from {', '.join(by_name)}.")
    parts = [mocap.without_root(by_name[name].frames) for name in names]
    labels = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Concatenation(mocap.scale(np.concatenate(parts), mocap.normalise(parts)), labels)


class Parts(NamedTuple):
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


def hold_out(
    sequences: Sequence[mocap.Sequence], number: int, without: Sequence[str] = ()
) -> Parts:
    """Hold out some sequences of each action: two of five, or half of those where there are fewer.

    A single sequence is split in time first.

    Args:
        sequences: of any actions.
        number: of the choice, from 0; the first sequence held out moves on with it.
        without: names of actions that are left out of both parts.

    Raises:
        ValueError: if an action that is to be left out is not there.
    """
    actions = list(dict.fromkeys(each.action for each in sequences))
    missing = [name for name in without if name not in actions]
    if missing:
        raise ValueError(f"action {missing[0]!r} is not there: choose from {', '.join(actions)}.")
    train, held = list[mocap.Sequence](), list[mocap.Sequence]()
    for action in actions:
        if action not in without:
            own = [each for each in sequences if each.action == action]
            own = mocap.split_in_time(own[0], 2) if len(own) == 1 else own
            out = places_held_out(len(own), number)
            train += [each for k, each in enumerate(own) if k not in out]
            held += [own[k] for k in sorted(out)]
    return part(train, held)


def places_held_out(count: int, number: int) -> set[int]:
    """Return which of so many sequences of an action are held out, by their places from 0.

    Args:
        count: sequences of the action, at least two.
        number: of the choice, from 0.
    """
    return {(number + k) % count for k in range(min(2, count // 2))}


def part(train: Sequence[mocap.Sequence], held: Sequence[mocap.Sequence]) -> Parts:
    """Scale sequences by those that are trained on, and number the actions of those held out.

    Args:
        train: sequences to train on.
        held: sequences that are held out.
    """
    still = [mocap.without_root(each.frames) for each in train]
    by = mocap.normalise(still)
    actions = list(dict.fromkeys(each.action for each in held))
    return Parts(
        [_clipped(frames, by) for frames in still],
        [_clipped(mocap.without_root(each.frames), by) for each in held],
        [actions.index(each.action) for each in held],
        list(held),
    )


def scale_each(recordings: Sequence[mocap.Recording]) -> list[np.ndarray]:
    """Scale the frames of each recording by its own statistics, all in the same columns."""
    still = [mocap.without_root(each.frames) for each in recordings]
    kept = mocap.normalise(still).kept
    scales = [mocap.normalise([frames]) for frames in still]
    return [
        _clipped(frames, by._replace(kept=kept, deviation=by.deviation + HARDLY))
        for frames, by in zip(still, scales, strict=True)
    ]


def checksum(frames: Iterable[np.ndarray]) -> str:
    """Return the sha256 of the frames of sequences, one after the other."""
    digest = hashlib.sha256()
    for part in frames:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _clipped(frames: np.ndarray, by: mocap.Scale) -> np.ndarray:
    return np.clip(mocap.scale(frames, by), -LIMIT, LIMIT)
