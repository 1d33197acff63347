"""Where a map ends when it is run for ever: its limit sets, their kinds and their basins.

A representative of each set is run on, and closes (a fixed point, a cycle) or does not; then its
leading exponents tell an invariant circle from a torus and from chaos.
"""

from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial
from jaxtyping import Bool, Float, Int
from scipy.spatial.distance import cdist

from rnnatomy.analysis import checks
from rnnatomy.analysis.maps import cycles, exponents
from rnnatomy.analysis.maps import steps as stepping

KINDS = ("fixed point", "cycle", "circle", "torus", "chaos", "unresolved")
"""Kinds of limit sets. "unresolved": the orbit shrinks and does not close within the run."""

AWAY = -1
"""In place of the number of a set: the start ran away."""

KEPT = 1000
"""States of a set that are kept, one per step."""

TESTED = 32
"""States at the end of each orbit by which it is told where the orbit is."""

CHECKED = 200
"""States of an orbit by which it is told whether two orbits are on one set."""

WAVES = (4, 8, 16, 32, 64)
"""Numbers of waves of which a closed curve is made up, the fewest that fit."""

DENSE = 2000
"""States all along a closed curve by which it is told whether others are on it."""

SURE = 3.0
"""Standard errors within which an exponent counts as zero."""

GROWTH = 0.1
"""Logarithm of the growth over a whole run below which an exponent counts as zero."""


class LimitSets(NamedTuple):
    """The limit sets that some starts end in, the one that most of them end in first.

    Attributes:
        kinds: what each is, numbers in ``KINDS``.
        periods: steps until it closes: 1 for a fixed point, 0 for what does not close.
        orbits: states on each, in the order of time; a cycle is gone round again and again.
        exponents: the leading Lyapunov exponents of each.
        errors: their standard errors; 0 where they are logarithms of multipliers.
        basins: number of the set that each start ends in, or ``AWAY``.
        settled: whether each start was there after half the time.
    """

    kinds: Int[np.ndarray, " set"]
    periods: Int[np.ndarray, " set"]
    orbits: Float[np.ndarray, "set time hidden"]
    exponents: Float[np.ndarray, "set exponent"]
    errors: Float[np.ndarray, "set exponent"]
    basins: Int[np.ndarray, " start"]
    settled: Bool[np.ndarray, " start"]

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds in words."""
        return tuple(KINDS[kind] for kind in self.kinds)

    @property
    def shares(self) -> Float[np.ndarray, " set"]:
        """Fraction of the starts that end in each set."""
        return (self.basins == np.arange(len(self.kinds))[:, None]).mean(axis=1)


class _Place(NamedTuple):
    """A set by its place: states on it, later ones, and how far off those may be that are in it.

    Along ``curve`` there are states without gaps, where an orbit leaves some; else it is the orbit.
    """

    orbit: np.ndarray
    curve: np.ndarray
    later: np.ndarray
    reach: float
    cycle: cycles.Cycle | None
    is_curve: bool


@stepping.in_double
def limit_sets(
    F: stepping.Map,
    starts: Float[np.ndarray, "start hidden"],
    steps: int,
    *,
    count: int | None = None,
    longest: int = 100,
    tolerance: float = 1e-4,
    bound: float = 1e6,
) -> LimitSets:
    """Run states for long, and tell in which and in how many limit sets they end.

    Each start is run for ``steps`` and for as long again; what it ends in counts, and ``settled``
    tells whether it was there at half time. Two orbits belong to one set if the states of one lie
    within the tolerance of segments between neighbouring states of the other, or within twice what
    one stretch of an orbit is off another of its own, where a set is more than a curve.

    Args:
        F: the map.
        starts: one state a row, finite numbers.
        steps: half of how many are run, at least 200.
        count: of exponents, no more than there are dimensions; None: three, or as many.
        longest: period of a cycle that is looked for, at least 1; no longer than half of what is
            kept of a run, which is ``steps`` up to ``KEPT``.
        tolerance: distance below which states are the same.
        bound: length of a state from which on it has run away.

    Raises:
        ValueError: as ``steps.check``; if a number is out of range, or a state turns to NaN on the
            way.
    """
    F, starts = stepping.check(F, starts, tolerance=tolerance)
    count = min(3, starts.shape[1]) if count is None else count
    _check_numbers(steps, count, longest, bound, starts.shape[1])
    half, full = _ends(F, starts, int(steps), bound)
    away = ~(np.linalg.norm(full[:, -1], axis=1) <= bound)
    places, basins = _places(F, full, away, min(int(steps), KEPT), int(longest), tolerance)
    settled = np.array(
        [
            away[k] == (not np.linalg.norm(half[k, -1]) <= bound)
            and (away[k] or _lies_in(places[basins[k]], half[k]))
            for k in range(len(starts))
        ]
    )
    return _sorted(_described(F, places, int(steps), int(count), starts.shape[1]), basins, settled)


def _check_numbers(steps: Any, count: Any, longest: Any, bound: Any, hidden: int) -> None:
    if not checks.is_whole(steps, 200):
        raise ValueError(f"{steps} steps: give a whole number of at least 200.")
    kept = min(int(steps), KEPT)
    if not checks.is_whole(longest, 1, kept // 2):
        raise ValueError(
            f"a period of up to {longest} in a run of which {kept} steps are kept: give 1 to "
            f"{kept // 2}, so that it is seen twice."
        )
    if not checks.is_whole(count, 1, hidden):
        raise ValueError(f"{count} exponents of {hidden} dimensions: give 1 to {hidden}.")
    if not checks.is_number(bound, 0) or bound == 0:
        raise ValueError(f"bound {bound} is out of range: give a number above 0.")


def _ends(
    F: Partial, starts: np.ndarray, steps: int, bound: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the last states (start, time, hidden) after some steps, and after as many again."""
    found = []
    for _ in range(2):
        starts, path = stepping.onward(F, starts, steps - TESTED, TESTED, bound)
        found.append(np.swapaxes(stepping.refuse_nan(path, axis=(0, 2)), 0, 1))
    return found[0], found[1]


def _places(
    F: Partial, ends: np.ndarray, away: np.ndarray, kept: int, longest: int, tolerance: float
) -> tuple[list[_Place], np.ndarray]:
    """Take starts that end in the same place together, one place after the other.

    Those that come back nearest go first, for they have arrived. A start that is still on its way
    to a place is told by where its orbit comes to later.
    """
    basins = np.where(away, AWAY, len(ends))
    gaps = np.linalg.norm(ends[:, :-1] - ends[:, -1:], axis=2).min(axis=1)
    order = np.argsort(gaps, kind="stable")
    places: list[_Place] = []
    while (left := order[basins[order] == len(ends)]).size:
        place = _place(F, ends[left[0]], kept, longest, tolerance)
        known = [number for number, one in enumerate(places) if _lies_in(one, place.later)]
        if known:
            basins[left[0]] = known[0]
            continue
        inside = np.array([_lies_in(place, ends[k]) for k in left])
        inside[0] = True
        basins[left[inside]] = len(places)
        places.append(place)
    return places, basins


def _place(F: Partial, end: np.ndarray, kept: int, longest: int, tolerance: float) -> _Place:
    """Find the set that an orbit is on, from its last states."""
    path = np.asarray(stepping.onward(F, end[-1:], 0, 2 * kept, np.inf)[1])[:, 0]
    orbit, later = path[:kept], path[kept:]
    near = np.flatnonzero(np.linalg.norm(orbit[:longest] - end[-1], axis=1) < tolerance)
    if near.size:
        found = cycles.close(F, end[-1], int(near[0]) + 1, 1e-10)
        if found and found.stable and _apart(end[-1:], found.states) < 10 * tolerance:
            again = np.resize(np.arange(found.period), kept)
            orbit = found.states[again]
            return _Place(orbit, orbit, found.states, tolerance, found, False)
    later = later[:: max(1, kept // CHECKED)]
    curve = _curve(orbit, tolerance)
    own = float(np.quantile(_off(later, curve), 0.9))
    return _Place(orbit, curve, later, max(tolerance, 2 * own), None, own < tolerance)


def _curve(
    orbit: Float[np.ndarray, "time hidden"], tolerance: float
) -> Float[np.ndarray, "place hidden"]:
    """Return states all along the closed curve that an orbit goes round.

    An orbit that nearly closes after some turns leaves gaps for long, in which another one may lie
    on the same curve. Waves of the rotation number fill them.

    Returns:
        The orbit itself, if it goes round no curve that few waves fit.
    """
    try:
        turns = cycles.rotation(orbit).number * np.arange(len(orbit))
    except ValueError:
        return orbit
    for waves in WAVES:
        parts = _waves(turns, waves)
        sizes, _, rank, _ = np.linalg.lstsq(parts, orbit, rcond=1e-8)
        if rank < parts.shape[1]:
            break
        if np.linalg.norm(parts @ sizes - orbit, axis=1).max() < tolerance / 10:
            return _waves(np.arange(DENSE) / DENSE, waves) @ sizes
    return orbit


def _waves(turns: Float[np.ndarray, " time"], count: int) -> Float[np.ndarray, "time wave"]:
    angles = 2 * np.pi * np.outer(turns, np.arange(count + 1))
    return np.concatenate([np.cos(angles), np.sin(angles[:, 1:])], axis=1)


def _lies_in(place: _Place, states: np.ndarray) -> bool:
    """Tell whether states lie in a set: all of them in a cycle, or most of them in what is open."""
    if place.cycle is not None:
        return bool(_apart(states, place.cycle.states) < place.reach)
    return bool(np.median(_off(states, place.curve)) < place.reach)


def _apart(states: np.ndarray, others: np.ndarray) -> float:
    """Return the largest distance of states from the nearest of others."""
    return float(cdist(states, others).min(axis=1).max())


def _off(
    states: Float[np.ndarray, "start hidden"], orbit: Float[np.ndarray, "time hidden"]
) -> Float[np.ndarray, " start"]:
    """Return how far states are from the segments between the four states of an orbit nearest."""
    nearest = orbit[np.argsort(cdist(states, orbit), axis=1)[:, :4]]
    first, last = (nearest[:, list(ends)] for ends in zip(*_PAIRS, strict=True))
    along, offset = last - first, states[:, None] - first
    length = np.maximum(np.square(along).sum(axis=2), np.finfo(float).tiny)
    share = np.clip((along * offset).sum(axis=2) / length, 0, 1)
    return np.linalg.norm(offset - share[:, :, None] * along, axis=2).min(axis=1)


_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


def _described(
    F: Partial, places: list[_Place], steps: int, count: int, hidden: int
) -> tuple[list[int], list[int], np.ndarray, np.ndarray, np.ndarray]:
    """Return kinds, periods, orbits, exponents and errors of sets."""
    closed = [place.cycle for place in places]
    rates, errors = np.zeros((2, len(places), count))
    open_ = [number for number, one in enumerate(closed) if one is None]
    if open_:
        starts = np.stack([places[number].orbit[-1] for number in open_])
        full = np.resize(np.arange(len(open_)), 1 << (len(open_) - 1).bit_length())
        found = exponents.lyapunov(F, starts[full], steps, count, settle=steps // 4)
        rates[open_], errors[open_] = (part[: len(open_)] for part in found[:2])
    for number, one in enumerate(closed):
        if one is not None:
            rates[number] = cycle_exponents(one)[:count]
    kinds = [
        _kind(place, rates[number], errors[number], steps) for number, place in enumerate(places)
    ]
    periods = [0 if one is None else one.period for one in closed]
    orbits = np.array([place.orbit for place in places]).reshape(
        len(places), min(steps, KEPT), hidden
    )
    return kinds, periods, orbits, rates, errors


def cycle_exponents(found: cycles.Cycle) -> Float[np.ndarray, " hidden"]:
    """Return the Lyapunov exponents of a cycle: logarithms of its multipliers, per step."""
    sizes = np.maximum(np.abs(found.multipliers), exponents.TINY)
    return np.log(sizes) / found.period


def _kind(place: _Place, rates: np.ndarray, errors: np.ndarray, steps: int) -> int:
    if place.cycle is not None:
        return KINDS.index("fixed point" if place.cycle.period == 1 else "cycle")
    is_zero = np.abs(rates) <= SURE * errors + GROWTH / steps
    if not is_zero[0]:
        return KINDS.index("chaos" if rates[0] > 0 else "unresolved")
    alone = place.is_curve or len(rates) == 1 or not is_zero[1]
    return KINDS.index("circle" if alone else "torus")


def _sorted(described: Any, basins: np.ndarray, settled: np.ndarray) -> LimitSets:
    """Return sets in the order of how many starts end in each."""
    kinds, periods, orbits, rates, errors = map(np.asarray, described)
    counts = np.bincount(basins[basins >= 0], minlength=len(kinds))
    order = np.argsort(-counts, kind="stable")
    ranks = np.append(np.argsort(order, kind="stable"), AWAY)
    return LimitSets(
        kinds[order].astype(int),
        periods[order].astype(int),
        orbits[order],
        rates[order],
        errors[order],
        ranks[basins],
        settled,
    )
