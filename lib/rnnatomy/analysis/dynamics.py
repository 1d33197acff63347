"""Trajectories as a dynamical system: how near they come to orbits, and what becomes of a push."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from rnnatomy.analysis import checks


class Return(NamedTuple):
    """What becomes of decoders whose state was pushed, as a share of the size of the orbits.

    Attributes:
        same_time: distance from the decoder that was not pushed, at the same time.
        nearest: distance from the nearest state that the latter ever takes.
    """

    same_time: Float[np.ndarray, "sample time"]
    nearest: Float[np.ndarray, "sample time"]


class Approach(NamedTuple):
    """How near each state comes to the orbits of its own class and of the others.

    Attributes:
        own: distance to the nearest decoder state of another sample of the same class, as a share
            of the size of the orbits.
        other: the same for the nearest sample of any other class.
    """

    own: Float[np.ndarray, "sample time"]
    other: Float[np.ndarray, "sample time"]


def approach(
    encoder: Float[np.ndarray, "sample read hidden"],
    decoder: Float[np.ndarray, "sample time hidden"],
    labels: Int[np.ndarray, " sample"],
) -> Approach:
    """Measure how near states come to the decoder's orbits of each class, frame by frame.

    Half of the samples of each class give the orbits, the other half is measured.

    Args:
        encoder: states while reading, finite numbers.
        decoder: states while predicting, finite numbers.
        labels: class of each sample; at least two classes, each with two samples.

    Returns:
        For the measured half; time runs on from encoder to decoder.

    Raises:
        ValueError: if shapes do not fit, there is one class only, or a class with one sample, or
            as ``orbit_size``.
    """
    decoder = _trajectories("decoder", decoder)
    samples, _, hidden = decoder.shape
    encoder = checks.numbers("encoder", encoder, f"{samples} read {hidden}")
    labels, unit = checks.labels(labels, samples, each="sample"), orbit_size(decoder)
    classes, number = np.unique(labels, return_inverse=True)
    counts = np.bincount(number)
    if len(classes) < 2 or counts.min() < 2:
        raise ValueError(
            f"classes have {counts.tolist()} samples: give two classes or more, with two each."
        )
    rank = np.zeros(len(labels), int)
    for k in range(len(classes)):
        rank[number == k] = np.arange(counts[k])
    gives = rank % 2 == 0
    orbits = [KDTree(np.concatenate(decoder[gives & (number == k)])) for k in range(len(classes))]
    states = np.concatenate([encoder, decoder], axis=1)[~gives]
    distances = np.stack([tree.query(states)[0] for tree in orbits]) / unit
    is_own = number[~gives] == np.arange(len(classes))[:, None]
    own = np.where(is_own[:, :, None], distances, np.inf).min(axis=0)
    other = np.where(is_own[:, :, None], np.inf, distances).min(axis=0)
    return Approach(own, other)


def push(
    onward: Callable[[np.ndarray, np.ndarray], np.ndarray],
    decoder: Float[np.ndarray, "sample time hidden"],
    outputs: Float[np.ndarray, "sample time feature"],
    at: int,
    size: float,
    rng: np.random.Generator,
) -> Return:
    """Push decoders' states in random directions, and see whether they come back.

    Args:
        onward: gives the states (sample, time, hidden) that follow from states (sample, hidden)
            and the frames that are fed first (sample, feature).
        decoder: hidden states of the same dynamics, finite numbers.
        outputs: what was fed back after each of them.
        at: number of the decoder state that is pushed, from 0.
        size: of the push, as a share of the size of the orbits, above 0.
        rng: source of the directions.

    Raises:
        ValueError: if shapes do not fit, ``at`` or ``size`` is out of range, states that follow
            are not finite, or as ``orbit_size``.
    """
    decoder = _trajectories("decoder", decoder)
    samples, time, hidden = decoder.shape
    outputs = checks.numbers("outputs", outputs, f"{samples} {time} feature")
    fits = checks.is_whole(at, 0, time - 1) and checks.is_number(size, 0, np.finfo(float).max)
    if not fits or size == 0:
        raise ValueError(f"push of size {size} at {at}: give a size above 0, at 0 to {time - 1}.")
    state, frame = decoder[:, int(at)], outputs[:, int(at)]
    unit = orbit_size(decoder)
    directions = rng.normal(size=state.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    pushed = (state + size * unit * directions).astype(state.dtype)
    free, moved = (
        checks.numbers("what onward gives", onward(start, frame), f"{samples} time {hidden}")
        for start in (state, pushed)
    )
    nearest = [KDTree(path).query(other)[0] for path, other in zip(free, moved, strict=True)]
    return Return(np.linalg.norm(moved - free, axis=-1) / unit, np.stack(nearest) / unit)


def orbit_size(states: Float[np.ndarray, "sample time hidden"]) -> float:
    """Return the root mean square distance of states from their mean: the size of the orbits.

    Args:
        states: finite numbers that are not all the same.

    Raises:
        ValueError: if states are not finite, do not vary, or their squares leave the range of
            their precision.
    """
    states = _trajectories("states", states)
    with np.errstate(over="ignore", invalid="ignore"):
        away = states - states.mean(axis=(0, 1))
        size = float(np.sqrt(np.square(away).sum(axis=-1).mean()))
    if not 0 < size < np.inf:
        raise ValueError(
            f"the size of the orbits is {size}: give states that vary, neither too small nor too "
            "large to square."
        )
    return size


def _trajectories(name: str, states: np.ndarray) -> Float[np.ndarray, "sample time hidden"]:
    return checks.numbers(name, states, "sample time hidden")
