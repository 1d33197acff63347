"""Walks through a latent space: along single units, and in a straight line between two points."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks


def along_units(
    start: Float[np.ndarray, " latent"],
    units: Iterable[int] | Int[np.ndarray, " unit"],
    values: Float[np.ndarray, " step"],
) -> Float[np.ndarray, "unit step latent"]:
    """Move one latent unit at a time, and leave the others where they are.

    Args:
        start: where the other units are.
        units: numbers of the units that move, from 0.
        values: what a unit is set to, step by step.

    Returns:
        One walk for each unit, in the precision of the start.

    Raises:
        ValueError: if there is no such unit, or numbers are not finite.
    """
    start, values = (
        checks.numbers("start", start, "latent"),
        checks.numbers("values", values, "step"),
    )
    units = list(units)
    for unit in units:
        if not checks.is_whole(unit, 0, len(start) - 1):
            raise ValueError(f"unit {unit} does not exist: choose from 0 to {len(start) - 1}.")
    path = np.tile(start, (len(units), len(values), 1))
    for row, unit in zip(path, units, strict=True):
        row[:, int(unit)] = values
    return path


def between(
    start: Float[np.ndarray, " latent"], end: Float[np.ndarray, " latent"], steps: int
) -> Float[np.ndarray, "step latent"]:
    """Go from one point to another in a straight line, both ends included.

    Args:
        start: the first point.
        end: the last point, of the same space.
        steps: how many points, at least 2, evenly apart.

    Raises:
        ValueError: if there are fewer than two points, the ends differ in their number of units, or
            numbers are not finite.
    """
    start, end = checks.numbers("start", start, "latent"), checks.numbers("end", end, "latent")
    if not checks.is_whole(steps, 2):
        raise ValueError(f"steps is {steps}: give at least 2, the start and the end.")
    if start.shape != end.shape:
        raise ValueError(f"the ends have shapes {start.shape} and {end.shape}: give equal.")
    part = np.linspace(0, 1, int(steps), dtype=start.dtype)[:, None]
    return (1 - part) * start + part * end
