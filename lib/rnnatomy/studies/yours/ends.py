"""Where a network from elsewhere ends that is fed nothing new, and how it takes its own inputs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import maps
from rnnatomy.networks import autonomous, cells, models
from rnnatomy.store import disk
from rnnatomy.studies import engine
from rnnatomy.studies.yours import asked, looked

STARTS = 37
"""Sequences, or a few more, after which a network is left alone."""

LARGE, LEAST = 1024, 1000
"""Numbers in a state from which on a network is left alone for fewer steps, and the fewest."""

FOLLOWED, SHORTEST = 20, 5
"""Sequences along which exponents are measured, and frames that each must have."""


def measure(
    config: dict[str, Any],
    weights: disk.Arrays,
    task: asked.Task,
    frame: Float[np.ndarray, " feature"],
    steps: int,
    predicts: bool,
) -> engine.Made:
    """Leave one network alone, as a job; see the functions below.

    One that reads both ways cannot go on by itself: nothing is measured then.
    """
    network = looked.made(config, weights)
    if config["both_ways"]:
        return engine.Made({})
    found = ends(autonomous.driven(network, frame), task, steps)
    if predicts and config["norm"] is None:
        loop = ends(autonomous.closed_loop(network), task, steps)
        found |= {f"loop_{name}": array for name, array in loop.items()}
    return engine.Made(disk.single(found | along(network, task)))


def steps_for(config: dict[str, Any], most: int) -> int:
    """Return after how many frames a network is looked at: fewer for a large one."""
    size = cells.find(config["cell"]).copies * sum(config["hidden"])
    return int(max(min(most, LEAST), most * min(1, (LARGE / size) ** 2)))


def ends(alone: autonomous.Autonomous, task: asked.Task, steps: int) -> disk.Arrays:
    """Let a network go on by itself after some of the sequences.

    Args:
        alone: the network.
        task: the sequences.
        steps: after which it is looked at, and again after as many.

    Returns:
        "kinds", "periods", "shares", "leading" (set), the leading exponent, see
        ``maps.limit_sets``; "answers" (set, name), its outputs there; "settled" and "away", shares
        of the starts.
    """
    some = np.array(chosen(len(task.lengths)))
    starts = np.zeros((len(some), alone.size))
    for frames in np.unique(task.lengths[some]):  # each length is compiled once
        alike = task.lengths[some] == frames
        starts[alike] = alone.start(task.inputs[some[alike], :frames])
    sets = maps.limit_sets(alone.step, starts, steps, count=1)
    last = sets.orbits[:, -1] if len(sets.kinds) else np.zeros((0, alone.size))
    return {
        "kinds": sets.kinds,
        "periods": sets.periods,
        "shares": sets.shares,
        "leading": sets.exponents[:, 0],
        "answers": alone.outputs(last),
        "settled": sets.settled.mean(keepdims=True),
        "away": (sets.basins == maps.limits.AWAY).mean(keepdims=True),
    }


def chosen(count: int) -> range:
    """Return after which of so many sequences a network is left alone."""
    return range(0, count, max(1, count // STARTS))


def along(network: models.Stacked, task: asked.Task) -> disk.Arrays:
    """Measure how fast states that start near each other meet or part along the inputs.

    Args:
        network: one that reads forwards.
        task: the sequences; the longest ``FOLLOWED`` are read, all up to the end of the shortest.

    Returns:
        "along" (sequence), the leading exponent along each; empty if sequences are too short.
    """
    longest = np.argsort(-task.lengths, kind="stable")[:FOLLOWED]
    frames = int(task.lengths[longest].min())
    if frames < SHORTEST:
        return {"along": np.zeros(0)}
    size = network.entry.copies * sum(network.config["hidden"])
    inputs = task.inputs[longest, :frames]
    found = maps.driven_lyapunov(
        autonomous.reading(network), np.zeros((len(inputs), size)), inputs, 1
    )
    return {"along": found.values[:, 0]}


def mean_frame(task: asked.Task) -> Float[np.ndarray, " feature"]:
    """Return the mean of all frames."""
    counts = np.arange(task.inputs.shape[1]) < task.lengths[:, None]
    return task.inputs[counts].astype(np.float64).mean(axis=0)


def kinds(found: disk.Arrays, start: str = "") -> Sequence[str]:
    """Return what each place is, in words."""
    words = [maps.limits.KINDS[int(kind)] for kind in found[f"{start}kinds"]]
    periods = [int(period) for period in found[f"{start}periods"]]
    return [
        f"cycle of {period}" if word == "cycle" else word
        for word, period in zip(words, periods, strict=True)
    ]
