"""Lyapunov exponents: how fast states that start near each other part or meet, per step."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from rnnatomy.analysis import checks
from rnnatomy.analysis.maps import steps as stepping

BLOCKS = 10
"""Most stretches of an orbit, whose exponents tell the error of their mean."""

TINY = 1e-300
"""What a direction that a map wipes out in one step is taken to keep of its length."""


class Exponents(NamedTuple):
    """Leading Lyapunov exponents, as natural logarithms per step.

    Attributes:
        values: from the largest on, if the orbit is long enough to tell them apart.
        errors: the standard error of the mean over blocks of the orbit.
        states: where each orbit ended.
    """

    values: Float[np.ndarray, "start exponent"]
    errors: Float[np.ndarray, "start exponent"]
    states: Float[np.ndarray, "start hidden"]


@stepping.in_double
def lyapunov(
    F: stepping.Map,
    starts: Float[np.ndarray, "start hidden"],
    steps: int,
    count: int,
    *,
    settle: int = 0,
) -> Exponents:
    """Measure the leading exponents along orbits, by QR decomposition at every step.

    They are means of logarithms with weights that vanish smoothly at both ends. Where the orbit
    goes round a circle, such a mean forgets where it began and ended sooner than a plain one.

    Args:
        F: the map.
        starts: one state a row, finite numbers.
        steps: how many are measured, at least 2.
        count: of exponents, from 1 to the dimension.
        settle: steps before them, in which the directions turn to where they belong.

    Raises:
        ValueError: as ``steps.check``; if a number is out of range, or an orbit does not stay
            finite.

    Reference:
        Benettin and others (1980); Vogt and others (2022) for recurrent networks; Das, Saiki,
        Sander and Yorke (2017) for the weights.
    """
    F, starts = stepping.check(F, starts)
    _check_numbers(steps, count, settle, starts.shape[1])
    return _measure(F, starts, None, int(steps), int(count), int(settle))


@stepping.in_double
def driven_lyapunov(
    F: stepping.Map,
    starts: Float[np.ndarray, "start hidden"],
    inputs: Float[np.ndarray, "start time feature"],
    count: int,
    *,
    settle: int = 0,
) -> Exponents:
    """Measure the leading exponents of a driven map along its inputs.

    Args:
        F: gives the next state from a state (hidden,) and a frame (feature,).
        starts: one state a row, finite numbers.
        inputs: the frames that each of them is fed, at least 2 after those of ``settle``.
        count: of exponents, from 1 to the dimension.
        settle: frames at the beginning that are not measured.

    Raises:
        ValueError: as ``lyapunov``; or if inputs do not fit.

    Reference:
        Vogt, Zheng and Shlizerman (2024).
    """
    inputs = checks.double("inputs", inputs, f"{len(starts)} time feature")
    F, starts = stepping.check(F, starts, inputs[0, 0])
    settled = settle if checks.is_whole(settle, 0) else 0
    _check_numbers(inputs.shape[1] - settled, count, settle, starts.shape[1])
    left = inputs.shape[1] - int(settle)
    return _measure(F, starts, np.swapaxes(inputs, 0, 1), left, int(count), int(settle))


def _check_numbers(steps: Any, count: Any, settle: Any, hidden: int) -> None:
    if not checks.is_whole(count, 1, hidden):
        raise ValueError(f"{count} exponents of {hidden} dimensions: give 1 to {hidden}.")
    if not checks.is_whole(steps, 2) or not checks.is_whole(settle, 0):
        raise ValueError(
            f"{steps} steps after {settle}: give whole numbers, at least 2 after at least 0."
        )


def _measure(
    F: Partial, starts: np.ndarray, inputs: Any, steps: int, count: int, settle: int
) -> Exponents:
    """Measure blocks of equal length, so many that the fewest steps are left for settling."""
    hidden = starts.shape[1]
    blocks = min(range(min(BLOCKS, steps), 1, -1), key=lambda many: steps % many)
    length = steps // blocks
    rest = steps - blocks * length
    # along an input each step counts alike; an orbit that goes round is weighted, see ``lyapunov``
    bump = 1.0 if inputs is None else 0.0
    directions = np.broadcast_to(_directions(hidden, count), (len(starts), count, hidden))
    states, sums = _blocks(F, starts, directions, inputs, settle + rest, length, bump, blocks)
    stays = np.isfinite(states).all(axis=1) & np.isfinite(sums).all(axis=(0, 1, 3))
    if not stays.all():
        raise ValueError(
            f"the orbit of start {int(stays.argmin())} does not stay finite: give starts that do."
        )
    whole, parts = np.asarray(sums)[:, 0].sum(axis=0), np.asarray(sums)[:, 1]
    weights = [
        float(_weight(np.arange(many), many, bump).sum()) for many in (blocks * length, length)
    ]
    errors = (parts / weights[1]).std(axis=0, ddof=1) / np.sqrt(blocks)
    return Exponents(whole / weights[0], errors, np.asarray(states))


def _weight(time: Any, length: Any, bump: Any) -> Any:
    """Return how much a step of a stretch counts: it vanishes smoothly at both ends, or is 1."""
    inner = jnp.asarray(time + 1, jnp.float64) / jnp.asarray(length + 1, jnp.float64)
    return jnp.exp(-bump / (inner * (1 - inner)))


def _directions(hidden: int, count: int) -> Float[np.ndarray, "exponent hidden"]:
    """Return orthonormal directions that lie in no subspace of note."""
    rows, columns = np.arange(1, hidden + 1), np.arange(1, count + 1)
    return np.linalg.qr(np.cos(np.sqrt(2) * np.outer(rows, columns) + rows[:, None] ** 2))[0].T


@partial(jax.jit, static_argnames="blocks")
def _blocks(
    F: Partial,
    states: Array,
    directions: Array,
    inputs: Any,
    settle: Any,
    length: Any,
    bump: Any,
    blocks: int,
) -> tuple[Array, Array]:
    """Return the last states, and weighted sums of logarithms (block, 2, start, exponent).

    The first is weighted over the whole orbit, the second over its block.
    """

    def step(time: Array, carried: Any) -> Any:
        states, directions, sums, first = carried
        frame = () if inputs is None else (inputs[time],)
        states, pushed = jax.vmap(partial(_push, F))(states, directions, *frame)
        directions, sizes = _orthonormal(pushed)
        whole = _weight(time - settle, blocks * length, bump)
        weights = jnp.stack([whole, _weight(time - first, length, bump)])
        grown = jnp.log(jnp.maximum(sizes, TINY))
        return states, directions, sums + weights[:, None, None] * grown[None], first

    def block(carried: Any, first: Array) -> Any:
        given = *carried, none, first
        states, directions, sums, _ = lax.fori_loop(first, first + length, step, given)
        return (states, directions), sums

    none = jnp.zeros((2, *directions.shape[:2]))
    *begun, _, _ = lax.fori_loop(0, settle, step, (states, directions, none, settle))
    firsts = settle + length * jnp.arange(blocks)
    (states, _), sums = lax.scan(block, tuple(begun), firsts)
    return states, sums


def _push(F: Partial, state: Array, directions: Array, *frame: Array) -> tuple[Array, Array]:
    """Return the next state, and what becomes of directions (direction, hidden)."""

    def along(direction: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda h: F(h, *frame), (state,), (direction,))

    return jax.vmap(along, out_axes=(None, 0))(directions)


def _orthonormal(rows: Array) -> tuple[Array, Array]:
    Q, R = jnp.linalg.qr(jnp.swapaxes(rows, 1, 2))
    return jnp.swapaxes(Q, 1, 2), jnp.abs(jnp.diagonal(R, axis1=1, axis2=2))
