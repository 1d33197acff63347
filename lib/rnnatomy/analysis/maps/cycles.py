"""Closed orbits: cycles that come back after so many steps, and circles that never quite do."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Complex, Float
from scipy import optimize

from rnnatomy.analysis import checks
from rnnatomy.analysis.maps import steps as stepping

TRIES = 30
"""Newton's steps for a cycle."""

HALVED = 12
"""How often each may be halved until the orbit closes better."""

WAVES = 6
"""Leading modes of an orbit in which its frequencies are looked for."""

PEAKS = 12
"""Highest peaks of its spectrum that may be the rotation number."""


class Cycle(NamedTuple):
    """An orbit that comes back to where it was after so many steps, and not before.

    Attributes:
        states: in the order of time, one per step of the period.
        multipliers: of Floquet: what directions are multiplied by in one period, the eigenvalues of
            the product of the Jacobians; the largest modulus first.
        gap: how far the orbit is from closing, |F^k(h) - h|.
    """

    states: Float[np.ndarray, "period hidden"]
    multipliers: Complex[np.ndarray, " hidden"]
    gap: float

    @property
    def period(self) -> int:
        """How many steps it takes."""
        return len(self.states)

    @property
    def stable(self) -> bool:
        """Whether all directions shrink in one period."""
        return bool((np.abs(self.multipliers) < 1).all())


class Rotation(NamedTuple):
    """How fast an orbit goes round a circle.

    Attributes:
        number: turns per step, from 0 to 1/2; a map does not tell faster ones from turns the other
            way round.
        error: what two halves of the orbit differ by.
    """

    number: float
    error: float

    @property
    def steps_per_turn(self) -> float:
        """How many steps it takes to come round."""
        return 1 / self.number


@stepping.in_double
def cycle(
    F: stepping.Map,
    start: Float[np.ndarray, " hidden"],
    period: int,
    *,
    tolerance: float = 1e-10,
) -> Cycle:
    """Find a cycle near a state by shooting: Newton's method for F^k(h) = h.

    On an invariant circle there is often none, see ``rotation_number``.

    Args:
        F: the map.
        start: a state near the cycle, finite numbers.
        period: k, at least 1.
        tolerance: |F^k(h) - h| of a cycle is smaller.

    Returns:
        The cycle; its period is a part of k if it closes before.

    Raises:
        ValueError: as ``steps.check``; if the period is no whole number of at least 1, or Newton's
            method does not converge.
    """
    if not checks.is_whole(period, 1):
        raise ValueError(f"period {period} is out of range: give a whole number of at least 1.")
    start = checks.double("start", start, "hidden")
    F, starts = stepping.check(F, start[None], tolerance=tolerance)
    found = close(F, starts[0], int(period), tolerance)
    if found is None:
        raise ValueError(
            f"no cycle of period {period} is found from this start: give one that is nearer, "
            "another period, or ask for the rotation number of a circle."
        )
    return found


def close(F: Partial, start: np.ndarray, period: int, tolerance: float) -> Cycle | None:
    """Find a cycle as ``cycle`` does, or None."""
    state, gap = _shoot(F, start, period, tolerance / 100)
    if not gap < tolerance:
        return None
    path = np.asarray(stepping.onward(F, np.asarray(state)[None], 0, period, np.inf)[1])[:, 0]
    away = np.linalg.norm(path - np.asarray(state), axis=1)
    least = next(
        k for k in range(1, period + 1) if period % k == 0 and away[k - 1] < _same(tolerance)
    )
    values = np.linalg.eigvals(np.asarray(_monodromy(F, state, least))).astype(complex)
    values = values[np.argsort(-np.abs(values))]
    return Cycle(np.concatenate([np.asarray(state)[None], path[: least - 1]]), values, float(gap))


@stepping.in_double
def rotation_number(
    F: stepping.Map, start: Float[np.ndarray, " hidden"], steps: int, *, settle: int = 0
) -> Rotation:
    """Measure how fast a map goes round an invariant circle.

    Args:
        F: the map.
        start: a state on the circle, or one that comes to it in ``settle`` steps.
        steps: how many are measured, as of ``rotation``.
        settle: steps before them.

    Raises:
        ValueError: as ``steps.run`` and ``rotation``.
    """
    start = checks.double("start", start, "hidden")
    if not checks.is_whole(settle, 0) or not checks.is_whole(steps, 1):
        raise ValueError(f"{steps} steps after {settle}: give whole numbers.")
    return rotation(stepping.run(F, start[None], int(settle) + int(steps), int(steps))[0])


def rotation(orbit: Float[np.ndarray, "time hidden"]) -> Rotation:
    """Measure how fast an orbit goes round a closed curve.

    On a circle that turns by rho per step, states are sums of waves of frequencies k rho. Each of
    the strongest is measured where its amplitude is largest, with weights that vanish at both ends,
    so that the error falls faster than any power of the number of steps. The number is that
    frequency by whose phases the states follow each other on the shortest way: in the order of
    another one, they jump from place to place.

    Args:
        orbit: states on the curve, one per step, at least 100.

    Raises:
        ValueError: if there are too few states, they do not vary, or they do not follow each other
            closely in any order of turns.

    Reference:
        Laskar (1993) for frequencies; Das, Saiki, Sander and Yorke (2017) for the weights.
    """
    orbit = checks.double("orbit", orbit, "time hidden")
    if len(orbit) < 100:
        raise ValueError(f"{len(orbit)} states: give at least 100, one per step.")
    centred = orbit - orbit.mean(axis=0)
    U, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    waves = (U * sizes)[:, :WAVES]
    numbers = [_refined(waves, one) for one in _peaks(waves)]
    ways = [_way(centred, number) for number in numbers]
    best = int(np.argmin(ways))
    if not ways[best] < np.sqrt(np.square(centred).sum(axis=1).mean()) / 4:
        raise ValueError(
            "the orbit does not go round a closed curve: give one on an invariant circle, long "
            "enough to fill it."
        )
    halves = [_refined(half, numbers[best]) for half in np.array_split(waves, 2)]
    return Rotation(numbers[best], abs(halves[1] - halves[0]))


def _weights(count: int) -> Float[np.ndarray, " time"]:
    inner = np.arange(1, count + 1) / (count + 1)
    return np.exp(-1 / (inner * (1 - inner)))


def _peaks(waves: Float[np.ndarray, "time mode"]) -> Float[np.ndarray, " peak"]:
    """Return the frequencies of the highest peaks of the spectrum, in turns per step."""
    padded = 4 * len(waves)
    spectrum = np.fft.rfft(_weights(len(waves))[:, None] * waves, padded, axis=0)
    power = np.square(np.abs(spectrum)).sum(axis=1)
    inner = np.flatnonzero((power[1:-1] >= power[:-2]) & (power[1:-1] > power[2:])) + 1
    found = inner[np.argsort(-power[inner])[:PEAKS]]
    return (found if len(found) else np.array([1])) / padded


def _refined(waves: Float[np.ndarray, "time mode"], near: float) -> float:
    """Return the frequency of largest power next to another one: where the slope is 0."""
    weighted, time = _weights(len(waves))[:, None] * waves, np.arange(len(waves)) - len(waves) / 2

    def slope(frequency: float) -> float:
        turned = np.exp(-2j * np.pi * frequency * time)
        sums, slopes = turned @ weighted, (time * turned) @ weighted
        return float((sums.conj() * slopes).imag.sum())

    low, high = (near + side * 0.25 / len(waves) for side in (-1, 1))
    if slope(low) * slope(high) >= 0:
        return near
    return abs(float(optimize.brentq(slope, low, high, xtol=1e-15)))


def _way(centred: Float[np.ndarray, "time hidden"], number: float) -> float:
    """Return how far nearly all states are at most from the next, in the order of their turns."""
    order = np.argsort(number * np.arange(len(centred)) % 1, kind="stable")
    steps = np.diff(centred[order], axis=0, append=centred[order[:1]])
    return float(np.quantile(np.linalg.norm(steps, axis=1), 0.9))


def _same(tolerance: float) -> float:
    """Return how near a state must come back to close a cycle before its time."""
    return max(10 * tolerance, 1e-7)


def _iterate(F: Partial, state: Array, period: Any) -> Array:
    return lax.fori_loop(0, period, lambda _, h: F(h), state)


@jax.jit
def _monodromy(F: Partial, state: Array, period: Any) -> Array:
    return jax.jacfwd(lambda h: _iterate(F, h, period))(state)


@jax.jit
def _shoot(F: Partial, state: Array, period: Any, goal: Any) -> tuple[Array, Array]:
    """Return a state that comes back after a period, and its gap, as far as Newton's steps get."""

    def residual(h: Array) -> Array:
        return _iterate(F, h, period) - h

    def gap(h: Array) -> Array:
        return jnp.linalg.norm(residual(h))

    def step(carried: Any) -> Any:
        h, before, tries, _ = carried
        move = -jnp.linalg.solve(jax.jacfwd(residual)(h), residual(h))
        shares = 0.5 ** jnp.arange(HALVED, dtype=state.dtype)
        gaps = jax.vmap(lambda share: gap(h + share * move))(shares)
        better = gaps < before
        share = shares[jnp.argmax(better)]
        new = jnp.where(better.any(), h + share * move, h)
        return (
            new,
            jnp.where(better.any(), gaps[jnp.argmax(better)], before),
            tries + 1,
            better.any(),
        )

    def goes_on(carried: Any) -> Array:
        _, now, tries, moved = carried
        return (now > goal) & (tries < TRIES) & moved

    h, found, _, _ = lax.while_loop(goes_on, step, (state, gap(state), 0, True))
    return h, found
