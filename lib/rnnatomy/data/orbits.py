"""Synthetic sequences: points that go round a circle or an ellipse, and where they go next.

The simplest task for a sequence-to-sequence network: some frames of an orbit are given, the frames
that follow are asked for.
"""

from collections.abc import Sequence
from math import isfinite, pi
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

SPREAD = 0.1
"""Orbits of one family differ in size by up to this fraction, so a family is not one curve."""


class Family(NamedTuple):
    """A kind of orbit about the origin: ``x = a cos(p), y = b sin(p)``, with phase p in radians.

    Attributes:
        name: what a figure calls it.
        axes: the half-axes (a, b), above 0.
        speed: phase that goes by from frame to frame, radians, above 0 and below pi.
        direction: 1 for anticlockwise, -1 for clockwise.
    """

    name: str
    axes: tuple[float, float]
    speed: float
    direction: int = 1


class Orbits(NamedTuple):
    """First frames of many orbits, and the frames that follow.

    Attributes:
        inputs: the first frames, with noise if any.
        targets: the frames that follow, without noise.
        labels: the family of each sample, 0 to the number of families - 1.
        names: the families' names, by label.
    """

    inputs: Float[np.ndarray, "sample time feature=2"]
    targets: Float[np.ndarray, "sample time feature=2"]
    labels: Int[np.ndarray, " sample"]
    names: tuple[str, ...]


# same centre, same area: the curves cross, so many single frames could belong to either
_CIRCLE, _ELLIPSE = (1.0, 1.0), (1.25, 0.8)


_SLOW, _FAST = 2 * pi / 50, 2 * pi / 25


TWO = (Family("circle", _CIRCLE, _SLOW), Family("ellipse", _ELLIPSE, _SLOW))
"""Two families that differ in shape only."""


FOUR = (
    Family("circle, slow", _CIRCLE, _SLOW, 1),
    Family("circle, fast, clockwise", _CIRCLE, _FAST, -1),
    Family("ellipse, slow, clockwise", _ELLIPSE, _SLOW, -1),
    Family("ellipse, fast", _ELLIPSE, _FAST, 1),
)
"""Four families: neither shape nor speed nor direction alone tells which, any two of them do."""


def orbits(
    rng: np.random.Generator,
    families: Sequence[Family],
    samples: int,
    frames_in: int,
    frames_out: int,
    noise: float,
) -> Orbits:
    """Draw orbits that start anywhere, in random order.

    Frame t of a sample is ``scale (a cos(p), b sin(p))`` with ``p = start + direction speed t``.
    The start is uniform on the circle, the scale is uniform within 10 % of 1.

    Args:
        rng: source of all that is random; with the same state, only the inputs depend on noise.
        families: at least one.
        samples: orbits of each family, at least 1.
        frames_in: frames that are given, at least 1.
        frames_out: frames that follow, at least 1.
        noise: standard deviation of what is added to each coordinate of the inputs, at least 0.

    Raises:
        ValueError: if an argument is out of its range.

    Reference:
        Su and Shlizerman (2020).
    """
    _check(families, {"samples": samples, "frames_in": frames_in, "frames_out": frames_out}, noise)
    labels = rng.permutation(np.repeat(np.arange(len(families)), samples))
    start = rng.uniform(0, 2 * pi, (len(labels), 1))
    scale = rng.uniform(1 - SPREAD, 1 + SPREAD, (len(labels), 1, 1))
    step = np.array([family.direction * family.speed for family in families])[labels, None]
    axes = np.array([family.axes for family in families])[labels, None]
    phase = start + step * np.arange(frames_in + frames_out)
    points = scale * axes * np.stack([np.cos(phase), np.sin(phase)], axis=-1)
    seen = points[:, :frames_in] + noise * rng.normal(size=(len(labels), frames_in, 2))
    return Orbits(
        inputs=seen.astype(np.float32),
        targets=points[:, frames_in:].astype(np.float32),
        labels=labels,
        names=tuple(family.name for family in families),
    )


def shuffled_futures(rng: np.random.Generator, orbits: Orbits) -> Orbits:
    """Give each sample the targets of another: a control in which futures do not follow.

    Each sample's targets are used once, and never for the sample itself; the other sample may be
    of the same family. Inputs and labels stay as they are.

    Args:
        rng: source of the random order.
        orbits: at least two samples.

    Raises:
        ValueError: if there are fewer than two samples.
    """
    if len(orbits.targets) < 2:
        raise ValueError(
            f"{len(orbits.targets)} sample has no other to take a future from: give at least 2."
        )
    # one cycle through all samples in random order has no fixed point
    cycle = rng.permutation(len(orbits.targets))
    targets = np.empty_like(orbits.targets)
    targets[cycle] = orbits.targets[np.roll(cycle, 1)]
    return orbits._replace(targets=targets)


def _check(families: Sequence[Family], counts: dict[str, int], noise: float) -> None:
    if not families:
        raise ValueError("no family is given: give at least one, such as those of TWO.")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} is {count}: give at least 1.")
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise is {noise}: give a standard deviation of at least 0.")
    for name, axes, speed, direction in families:
        if not 0 < speed < pi:
            raise ValueError(
                f"family {name!r} has speed {speed}: give radians per frame above 0 and below pi."
            )
        if direction not in (1, -1):
            raise ValueError(f"family {name!r} has direction {direction}: give 1 or -1.")
        if not all(isfinite(axis) and axis > 0 for axis in axes):
            raise ValueError(f"family {name!r} has axes {axes}: give two lengths above 0.")
