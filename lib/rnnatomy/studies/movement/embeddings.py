"""Ways to take movements as points: poses, windows, and hidden states of predictors."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import pod, points
from rnnatomy.networks import models, predictors
from rnnatomy.studies.movement import protocols

WITHOUT_NETWORK = ("poses", "windows", "mean and deviation")
"""Representations without a network."""


WITH_NETWORK = ("encoder averages", "decoder states", "decoder states in 3 modes")
"""Representations by a network."""


WINDOW_MODES, FEW_MODES = 50, 3
"""Numbers of modes in which windows, and decoder states, are taken."""


WINDOWS_AT_ONCE = 256
"""So many windows go through a network at a time."""


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
"""Representations by name, each with one embedding per sequence."""


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
    found = points.windows(frames[None], read + predict, stride).points
    windows = found.reshape(len(found), read + predict, -1)
    starts = stride * np.arange(len(found))
    return Cut(predictors.Examples(windows[:, :read], windows[:, read:]), starts)


def embed_frames(
    frames: Float[np.ndarray, "time feature"], plan: protocols.Plan
) -> dict[str, Embedding]:
    """Embed a sequence without a network: each window by its middle pose, whole, and in summary.

    Args:
        frames: one sequence, scaled, as recorded.
        plan: how to cut.

    Returns:
        By the names in ``WITHOUT_NETWORK``; "mean and deviation" is that of each column over the
        window.

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
    return {name: Embedding(view, at) for name, view in zip(WITHOUT_NETWORK, views, strict=True)}


def embed_states(
    model: Any, sequences: Sequence[Float[np.ndarray, "_ feature"]], plan: protocols.Plan
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
        By the first two names in ``WITH_NETWORK``, one embedding per sequence.

    Raises:
        ValueError: if a sequence is too short to be read and predicted once.
    """
    reads = [cut(frames[:: plan.step], plan.read, 0, plan.stride) for frames in sequences]
    wholes = cut_once(sequences, plan)
    encoder = run_windows(model, reads, 1, lambda went: went.encoder.mean(axis=1))
    decoder = run_windows(model, wholes, plan.predict, lambda went: went.decoder[:, :: plan.stride])
    ahead = plan.read + np.arange(0, plan.predict, plan.stride)
    averages, states = [], []
    for cloud, made in zip(encoder, reads, strict=True):
        averages.append(Embedding(cloud, plan.step * (made.starts + (plan.read - 1) / 2)))
    for paths, made in zip(decoder, wholes, strict=True):
        cloud = np.concatenate(paths)
        cloud = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
        at = plan.step * (made.starts[:, None] + ahead).astype(float)
        states.append(Embedding(cloud, at.ravel()))
    return dict(zip(WITH_NETWORK[:2], (averages, states), strict=True))


def frame_rows(
    sequences: Sequence[np.ndarray], fitted_on: Sequence[np.ndarray], plan: protocols.Plan
) -> Rows:
    """Embed sequences without a network, windows in the first modes of those of ``fitted_on``."""
    rows = _by_name(embed_frames(frames, plan) for frames in sequences)
    basis = _by_name(embed_frames(frames, plan) for frames in fitted_on)["windows"]
    return rows | {"windows": in_modes(rows["windows"], basis, WINDOW_MODES)}


def state_rows(
    model: Any,
    sequences: Sequence[np.ndarray],
    fitted_on: Sequence[np.ndarray],
    plan: protocols.Plan,
) -> Rows:
    """Embed sequences by a predictor; few modes are those of the decoder on ``fitted_on``."""
    rows, states = embed_states(model, sequences, plan), WITH_NETWORK[1]
    basis = embed_states(model, fitted_on, plan)[states]
    return rows | {WITH_NETWORK[2]: in_modes(rows[states], basis, FEW_MODES)}


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


def cut_once(sequences: Sequence[np.ndarray], plan: protocols.Plan) -> list[Cut]:
    """Cut sequences so that each frame, but the first ones, is predicted once."""
    return [
        cut(frames[:: plan.step], plan.read, plan.predict, plan.predict) for frames in sequences
    ]


def _by_name(embedded: Iterable[dict[str, Embedding]]) -> Rows:
    parts = list(embedded)
    return {name: [part[name] for part in parts] for name in parts[0]}


def run_windows(
    model: Any,
    cuts: Sequence[Cut],
    frames: int,
    take: Callable[[models.Trajectory], np.ndarray],
) -> list[np.ndarray]:
    """Run a predictor over the windows of sequences, ``WINDOWS_AT_ONCE`` in each call.

    Args:
        model: a predictor.
        cuts: windows of each sequence.
        frames: to predict.
        take: what is kept of each trajectory.

    Returns:
        What is kept, one row for each window, sequence by sequence.
    """
    inputs = np.concatenate([made.examples.inputs for made in cuts])
    found = []
    for start in range(0, len(inputs), WINDOWS_AT_ONCE):
        some = inputs[start : start + WINDOWS_AT_ONCE]
        # the last ones are filled up, so that everything is compiled once
        full = np.pad(some, [(0, WINDOWS_AT_ONCE - len(some)), (0, 0), (0, 0)])
        found.append(take(predictors.trajectory(model, full, frames))[: len(some)])
    ends = np.cumsum([len(made.starts) for made in cuts])[:-1]
    return np.split(np.concatenate(found), ends)
