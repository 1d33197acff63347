"""Points where a map stands still, or nearly so."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Complex, Float, Int

from rnnatomy.analysis import checks
from rnnatomy.analysis.maps import steps as stepping

ROUND = 5
"""Steps of minimisation before those states that are done are put aside."""

DAMPING = 1e-8, 1e16
"""Least and most."""

LARGEST = 1e6
"""A state that is longer has run away."""

STALLED = 1e-3
"""A state of which a round takes a smaller share of its speed has come to a minimum."""


class FixedPoints(NamedTuple):
    """States that a map leaves where they are: ``points[k]`` is one of them, or several.

    Its length is the number of points.

    Attributes:
        states: where they are.
        speeds: how far the map moves each, |F(h) - h|.
        eigenvalues: of the Jacobian at each, the largest modulus first.
        counts: how many starts led to each.
    """

    states: Float[np.ndarray, "point hidden"]
    speeds: Float[np.ndarray, " point"]
    eigenvalues: Complex[np.ndarray, "point hidden"]
    counts: Int[np.ndarray, " point"]

    @property
    def unstable(self) -> Int[np.ndarray, " point"]:
        """How many directions grow at each point: eigenvalues of modulus above 1."""
        return (np.abs(self.eigenvalues) > 1).sum(axis=1)

    @property
    def stable(self) -> Bool[np.ndarray, " point"]:
        """Whether all directions shrink."""
        return (np.abs(self.eigenvalues) < 1).all(axis=1)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.states)

    def __getitem__(self, which: Any) -> "FixedPoints":  # type: ignore[override]
        """Return some of the points, chosen as rows of an array are; one of them as one row."""
        return _take(self, np.atleast_1d(np.arange(len(self))[which]))


class SlowPoints(NamedTuple):
    """States that a map moves but little, and their slowest directions.

    Attributes:
        states: where they are.
        speeds: how far the map moves each, |F(h) - h|.
        eigenvalues: of the Jacobian at each, the modulus nearest to 1 first.
        directions: their eigenvectors, of length 1.
    """

    states: Float[np.ndarray, "point hidden"]
    speeds: Float[np.ndarray, " point"]
    eigenvalues: Complex[np.ndarray, "point direction"]
    directions: Complex[np.ndarray, "point direction hidden"]

    @property
    def time_constants(self) -> Float[np.ndarray, "point direction"]:
        """Steps in which a push along each direction shrinks, or grows, by a factor e."""
        with np.errstate(divide="ignore"):
            return 1 / np.abs(np.log(np.abs(self.eigenvalues)))


@stepping.in_double
def fixed_points(
    F: stepping.Map,
    starts: Float[np.ndarray, "start hidden"],
    *,
    tolerance: float = 1e-10,
    apart: float = 1e-6,
    rounds: int = 30,
    relax: int = 100,
) -> FixedPoints:
    """Find fixed points: minimise |F(h) - h|^2 / 2 from many states, and end with Newton's steps.

    The way down may end in a dip that is no fixed point, as it mostly does in an LSTM with a large
    memory. Then it is tried once more from where the map itself has taken the start by then. States
    that still come to rest elsewhere are left out, and those that are the same become one point.
    What is found depends on the starts; what is not found is not shown to be missing.

    Args:
        F: the map.
        starts: one state a row, such as visited states and some noise; finite numbers.
        tolerance: |F(h) - h| of a fixed point is smaller.
        apart: states that are no further from each other are one point.
        rounds: of ``ROUND`` steps of minimisation, after which a start is given up; at least 1.
        relax: steps of the map before the second try; 0: there is none.

    Returns:
        The points, the one that most starts led to first.

    Raises:
        ValueError: as ``steps.check``; if a number is out of range, the map is not finite at a
            start, or no start converges.

    Reference:
        Sussillo and Barak (2013); Fan and Yuan (2005) for the damping.
    """
    F, starts = stepping.check(F, starts, tolerance=tolerance)
    _check_numbers(apart, rounds)
    if not checks.is_whole(relax, 0):
        raise ValueError(f"relax is {relax}: give a whole number of at least 0.")
    states, speeds = _minimise(F, starts, tolerance, int(rounds))
    if relax:
        _try_again(F, starts, states, speeds, tolerance, int(rounds), int(relax))
    near = speeds < max(np.sqrt(tolerance), 10 * tolerance)
    if near.any():
        states[near], speeds[near] = stepping.in_batches(partial(_polish, F), states[near])
    found = speeds < tolerance
    if not found.any():
        raise ValueError(
            f"none of {len(starts)} starts comes to a fixed point: the smallest speed is "
            f"{speeds.min():.2g}, and {tolerance:g} is asked; give other starts, or look for slow "
            "points."
        )
    states, speeds = states[found], speeds[found]
    kept, counts = merge(states, speeds, apart)
    (values,) = stepping.in_batches(partial(_eigenvalues, F), states[kept])
    points = FixedPoints(states[kept], speeds[kept], values, counts)
    return _take(points, np.argsort(-counts, kind="stable"))


@stepping.in_double
def slow_points(
    F: stepping.Map,
    starts: Float[np.ndarray, "start hidden"],
    speed: float,
    count: int,
    *,
    apart: float = 1e-6,
    rounds: int = 30,
) -> SlowPoints:
    """Find states that hardly move: from each start, the first on the way down that is so slow.

    They need not be fixed: points of a line attractor, or where a fixed point is about to be born.

    Args:
        F: the map.
        starts: one state a row, finite numbers.
        speed: |F(h) - h| of a slow point is smaller.
        count: of directions at each point, from 1 to the dimension.
        apart: as of ``fixed_points``.
        rounds: as of ``fixed_points``.

    Raises:
        ValueError: as ``fixed_points``; or if the count is out of range.

    Reference:
        Sussillo and Barak (2013); Maheswaranathan and others (2019) for line attractors.
    """
    F, starts = stepping.check(F, starts, tolerance=speed)
    _check_numbers(apart, rounds)
    if not checks.is_whole(count, 1, starts.shape[1]):
        raise ValueError(f"{count} directions of {starts.shape[1]}: give 1 to {starts.shape[1]}.")
    states, speeds = _minimise(F, starts, speed, int(rounds))
    found = speeds < speed
    if not found.any():
        raise ValueError(
            f"none of {len(starts)} starts comes to a slow point: the smallest speed is "
            f"{speeds.min():.2g}, and {speed:g} is asked; give other starts, or a larger speed."
        )
    states, speeds = states[found], speeds[found]
    kept, _ = merge(states, speeds, apart)
    slow = partial(_slowest, F, int(count))
    return SlowPoints(states[kept], speeds[kept], *stepping.in_batches(slow, states[kept]))


def shares_in_modes(
    directions: Complex[np.ndarray, "point direction hidden"],
    modes: Float[np.ndarray, "mode hidden"],
) -> Float[np.ndarray, "point direction mode"]:
    """Return the fraction (0..1) of each direction that lies along each mode.

    Args:
        directions: of length 1, as of ``slow_points``; of an LSTM, its half of the hidden state.
        modes: orthonormal rows, such as those of a POD.

    Raises:
        ValueError: if dimensions differ.
    """
    directions = np.asarray(directions)
    modes = checks.double("modes", modes, f"mode {directions.shape[-1]}")
    return np.square(np.abs(directions @ modes.T))


def merge(
    states: Float[np.ndarray, "start hidden"], speeds: Float[np.ndarray, " start"], apart: float
) -> tuple[Int[np.ndarray, " point"], Int[np.ndarray, " point"]]:
    """Take states that are near each other as one, the slowest of them.

    Returns:
        Numbers of the states that stand for all; and how many each of them stands for.
    """
    left, kept, counts = np.argsort(speeds, kind="stable"), [], []
    while len(left):
        near = np.linalg.norm(states[left] - states[left[0]], axis=1) <= apart
        kept.append(left[0])
        counts.append(near.sum())
        left = left[~near]
    return np.array(kept), np.array(counts)


def join(*parts: FixedPoints, apart: float = 1e-6) -> FixedPoints:
    """Join fixed points of one map that were found apart; those that are the same become one.

    Args:
        parts: at least one.
        apart: as of ``fixed_points``.

    Raises:
        ValueError: if there is nothing to join, or dimensions differ.
    """
    sizes = sorted({part.states.shape[1] for part in parts})
    if len(sizes) != 1:
        raise ValueError(f"points of dimensions {sizes}: give at least one part, all of one map.")
    states, speeds, values, counts = map(np.concatenate, zip(*parts, strict=True))
    kept, _ = merge(states, speeds, apart)
    away = np.linalg.norm(states[:, None] - states[kept], axis=2)
    counts = np.bincount(away.argmin(axis=1), weights=counts, minlength=len(kept)).astype(int)
    points = FixedPoints(states[kept], speeds[kept], values[kept], counts)
    return _take(points, np.argsort(-counts, kind="stable"))


def to_arrays(points: FixedPoints) -> dict[str, np.ndarray]:
    """Return fixed points as arrays of real numbers by name, as files keep them."""
    arrays = {name: np.asarray(array) for name, array in zip(points._fields, points, strict=True)}
    values = arrays.pop("eigenvalues")
    return {**arrays, "eigenvalues_real": values.real, "eigenvalues_imaginary": values.imag}


def from_arrays(arrays: dict[str, np.ndarray]) -> FixedPoints:
    """Make fixed points of what ``to_arrays`` gave.

    Raises:
        ValueError: if an array is missing.
    """
    parts = dict(arrays)
    try:
        values = parts.pop("eigenvalues_real") + 1j * parts.pop("eigenvalues_imaginary")
        return FixedPoints(eigenvalues=values, **parts)
    except (KeyError, TypeError):
        raise ValueError(
            f"arrays {', '.join(arrays)} are no fixed points: give what to_arrays gave."
        ) from None


def _check_numbers(apart: Any, rounds: Any) -> None:
    if not checks.is_number(apart, 0) or not checks.is_whole(rounds, 1):
        raise ValueError(
            f"{rounds} rounds, points {apart} apart: give at least 1 round and a distance of at "
            "least 0."
        )


def _take(points: FixedPoints, rows: np.ndarray) -> FixedPoints:
    return FixedPoints(*(np.asarray(part)[rows] for part in points))


def _minimise(
    F: Partial, starts: np.ndarray, goal: float, rounds: int
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the speed from each start, until it is below a goal or can fall no further."""
    states, damping = starts.copy(), np.ones(len(starts))
    speeds = stepping.in_batches(partial(_speeds, F), states)[0]
    wrong = ~np.isfinite(speeds)
    if wrong.any():
        raise ValueError(
            f"the map gives NaN or infinity at start {int(wrong.argmax())}: give starts at which "
            "it is finite."
        )
    left = np.flatnonzero(speeds >= goal)
    for _ in range(rounds):
        if not len(left):
            break
        states[left], damping[left], speeds[left], done = stepping.in_batches(
            partial(_descend, F, goal), states[left], damping[left]
        )
        left = left[~done]
    return states, speeds


def _eigenvalues(F: Partial, states: np.ndarray) -> np.ndarray:
    values = np.linalg.eigvals(stepping.jacobians(F, states)).astype(complex)
    return np.take_along_axis(values, np.argsort(-np.abs(values), axis=1), axis=1)


def _slowest(F: Partial, count: int, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of modulus nearest to 1, and their eigenvectors in rows."""
    values, vectors = np.linalg.eig(stepping.jacobians(F, states))
    with np.errstate(divide="ignore"):
        order = np.argsort(np.abs(np.log(np.abs(values))), axis=1)[:, :count]
    rows = np.take_along_axis(np.swapaxes(vectors, 1, 2), order[:, :, None], axis=1)
    return np.take_along_axis(values, order, axis=1).astype(complex), rows.astype(complex)


@jax.jit
def _speeds(F: Partial, states: Array) -> Array:
    return jnp.linalg.norm(jax.vmap(F)(states) - states, axis=1)


def _try_again(
    F: Partial,
    starts: np.ndarray,
    states: np.ndarray,
    speeds: np.ndarray,
    goal: float,
    rounds: int,
    relax: int,
) -> None:
    """Minimise those speeds that are not small once more, from states some steps after the starts.

    What is slower takes its place in ``states`` and ``speeds``.
    """
    left = np.flatnonzero(speeds >= goal)
    if not len(left):
        return
    later = np.asarray(stepping.onward(F, starts[left], relax, 1, LARGEST)[0])
    stays = np.linalg.norm(later, axis=1) <= LARGEST
    if stays.any():
        left = left[stays]
        found, slower = _minimise(F, later[stays], goal, rounds)
        better = slower < speeds[left]
        states[left[better]], speeds[left[better]] = found[better], slower[better]


@jax.jit
def _descend(F: Partial, goal: Any, states: Array, damping: Array) -> tuple[Array, ...]:
    """Take some steps of Levenberg and Marquardt from each state.

    Returns:
        States, damping, speeds, and whether there is no more to do.
    """

    def one(state: Array, before: Array) -> tuple[Array, ...]:
        first = jnp.linalg.norm(F(state) - state)
        start = state, before, first
        state, damping, speed = lax.fori_loop(0, ROUND, lambda _, now: _try(F, goal, *now), start)
        stalled = (speed > (1 - STALLED) * first) & (damping <= before)
        return state, damping, speed, stalled | (speed < goal)

    return jax.vmap(one)(states, damping)


def _try(F: Partial, goal: Any, state: Array, damping: Array, speed: Array) -> tuple[Array, ...]:
    """Take one step, if the speed falls; damp the next more if not.

    With the residual r = F(h) - h and its Jacobian J, the step solves (J'J + damping |r|) d = -J'r.
    """
    residual, J = F(state) - state, jax.jacfwd(F)(state) - jnp.eye(len(state))
    factor = jax.scipy.linalg.cho_factor(J.T @ J + damping * speed * jnp.eye(len(state)))
    step = -jax.scipy.linalg.cho_solve(factor, residual @ J)
    after = jnp.linalg.norm(F(state + step) - (state + step))
    expected = jnp.linalg.norm(residual + J @ step)
    gain = (speed**2 - after**2) / (speed**2 - expected**2)
    moves, is_open = after < speed, speed >= goal
    change = jnp.where(moves & (gain > 0.75), 0.25, jnp.where(moves & (gain > 0.25), 1.0, 4.0))
    damping = jnp.where(is_open, jnp.clip(change * damping, *DAMPING), damping)
    moves = moves & is_open
    return jnp.where(moves, state + step, state), damping, jnp.where(moves, after, speed)


@jax.jit
def _polish(F: Partial, states: Array) -> tuple[Array, Array]:
    """Take Newton's steps from each state as long as they make it slower."""

    def step(_: Any, carried: tuple[Array, Array]) -> tuple[Array, Array]:
        state, speed = carried
        J = jax.jacfwd(F)(state) - jnp.eye(len(state))
        new = state - jnp.linalg.solve(J, F(state) - state)
        after = jnp.linalg.norm(F(new) - new)
        return jnp.where(after < speed, new, state), jnp.where(after < speed, after, speed)

    def one(state: Array) -> tuple[Array, Array]:
        return lax.fori_loop(0, 4, step, (state, jnp.linalg.norm(F(state) - state)))

    return jax.vmap(one)(states)
