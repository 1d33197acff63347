"""The states of a network from elsewhere: their modes, and what a line reads."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import explained, pod, separability
from rnnatomy.store import disk
from rnnatomy.studies import engine
from rnnatomy.studies.yours import asked, looked

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Of a sequence, after which it is asked whether its class can be read."""

ENERGY = 0.95
"""Share of the energy of states that modes are to hold."""

MODES = 3
"""In which trajectories are drawn."""

READ = 1000
"""Sequences that lines read."""

DRAWN, FRAMES = 4, 200
"""Trajectories of each class that are drawn, and frames of each, so that a page stays small."""

ACROSS = 12
"""Classes of which trajectories are drawn."""


def measure(config: dict[str, Any], weights: disk.Arrays, task: asked.Task) -> engine.Made:
    """Ask one network about its states, as a job; see the functions below."""
    run = looked.run(looked.made(config, weights), task)
    return engine.Made(disk.single(of_modes(run, task) | readable(run, task)))


def measure_rivals(task: asked.Task) -> engine.Made:
    """Ask lines that have no network, as a job; see ``rivals``."""
    return engine.Made(disk.single(rivals(task)))


def of_modes(run: looked.Run, task: asked.Task) -> disk.Arrays:
    """Decompose the states on the way, without what follows the end of a sequence (POD).

    Returns:
        "energies" (mode), as shares; "reads" (answer, mode), what the readout reads, before a
        normalisation, and "curves" (curve, frame, mode), some trajectories, in the first modes, NaN
        after their end, and "curve_sequence" (curve), whose they are. Where states never change
        there are no modes, and all of it is zero.
    """
    counts = np.arange(run.states.shape[1]) < task.lengths[:, None]
    basis = decomposed(run.states[counts])
    chosen = drawn(task)
    curves = np.full((len(chosen), FRAMES, MODES), np.nan)
    for row, number in zip(curves, chosen, strict=True):
        states = run.states[number, : task.lengths[number]][:FRAMES]
        row[: len(states)] = _in_modes(basis, states)
    energies = np.zeros(1) if basis is None else pod.energies(basis)
    found = {"energies": energies, "curves": curves, "curve_sequence": chosen}
    read = looked.at_places(looked.before_norm(run.network, run.states, task.lengths), task)
    return found | {"reads": _in_modes(basis, read)}


def decomposed(found: Float[np.ndarray, "state hidden"]) -> pod.POD | None:
    """Decompose states; None if all are the same, as those of ReLUs that are never above zero."""
    return None if (found == found[0]).all() else pod.pod(found, centred=True)


def _in_modes(
    basis: pod.POD | None, states: Float[np.ndarray, "state hidden"]
) -> Float[np.ndarray, "state mode"]:
    """Project states on the first modes; where there are fewer than are drawn, the rest is zero."""
    if basis is None:
        return np.zeros((len(states), MODES))
    along = pod.project(basis, states)[:, :MODES]
    return np.pad(along, [(0, 0), (0, MODES - along.shape[1])])


def groups(task: asked.Task) -> Int[np.ndarray, " sample"]:
    """Return the class of each sequence, or the third that its first target lies in.

    Where each frame has its own, that of the last one counts.
    """
    last = {}
    for row, number in enumerate(task.places[:, 0]):
        last[int(number)] = row
    answers = task.answers
    found = np.full(len(task.inputs), -1)
    if task.by_class:
        found[list(last)] = answers[list(last.values())]
        return found
    values = answers[list(last.values()), 0]
    found[list(last)] = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
    return found


def drawn(task: asked.Task) -> Int[np.ndarray, " curve"]:
    """Choose a few sequences of each of the first classes, of two frames at least."""
    found, long = groups(task), task.lengths > 1
    kept = [np.flatnonzero((found == each) & long)[:DRAWN] for each in range(ACROSS)]
    return np.concatenate(kept)


def readable(run: looked.Run, task: asked.Task) -> disk.Arrays:
    """Ask for the answer early: the network's own readout, and a line that reads its state.

    Returns:
        "own" and "line" (share), scores as of ``looked.score``, after each of ``SHARES`` of each
        sequence.
    """
    each, own, line = np.arange(len(task.inputs)), [], []
    for until in cut_short(task):
        read, truth = looked.early(run, task, until), task.true(each, until - 1)
        own.append(looked.score(read @ run.readout.W.T + run.readout.b, truth))
        line.append(_line(read, truth))
    return {"own": np.array(own), "line": np.array(line)}


def rivals(task: asked.Task) -> disk.Arrays:
    """Ask lines that read no state: the frame alone, or the mean of all frames so far.

    Returns:
        "frame" and "mean_frame" (share), as of ``readable``.
    """
    sums, each = np.cumsum(task.inputs, axis=1, dtype=np.float64), np.arange(len(task.inputs))
    frame, mean = [], []
    for until in cut_short(task):
        truth = task.true(each, until - 1)
        frame.append(_line(task.inputs[each, until - 1], truth))
        mean.append(_line(sums[each, until - 1] / until[:, None], truth))
    return {"frame": np.array(frame), "mean_frame": np.array(mean)}


def cut_short(task: asked.Task) -> list[Int[np.ndarray, " sample"]]:
    """Return how many frames of each sequence are read, for each of ``SHARES``."""
    # 0.1 of 70 is 7, and a little more in double precision
    return [np.maximum(np.ceil(share * task.answered - 1e-9), 1).astype(int) for share in SHARES]


def _line(points: Float[np.ndarray, "point feature"], truth: np.ndarray) -> float:
    """Return how well a line reads points that it was not fitted to; NaN where it cannot tell.

    ``READ`` of them at most, drawn at random; classes that are too rare among these are left out,
    and so are targets that do not vary.
    """
    chosen = np.random.default_rng(0).permutation(len(points))[:READ]
    points, truth = points[chosen], truth[chosen]
    if truth.dtype.kind != "i":
        varies = np.ptp(truth, axis=0) > 0
        return explained.line(points, truth[:, varies], asked.FOLDS) if varies.any() else np.nan
    common = np.flatnonzero(np.bincount(truth) >= asked.FOLDS)
    kept = np.isin(truth, common)
    if len(common) < 2:
        return float("nan")
    return separability.best_line(points[kept], truth[kept], asked.FOLDS)
