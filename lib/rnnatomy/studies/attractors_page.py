"""What the page on attractors reads from the published study of ``attractors``.

A *part* is a Dataset of some networks, with the names that ``attractors.of_sets`` gives and the
coordinates "cell", "families", "hidden" and "state"; along training it has the axis "epoch" too.
Rules and expectations: see ``attractors``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.analysis import maps, statistics
from rnnatomy.data import orbits as families
from rnnatomy.studies import attractors, orbits

HEAD = (
    "networks",
    "limit sets",
    "one set alone",
    "closed curves only",
    "a set for each family",
    "frames to forget a push",
    "fixed points",
)
"""Titles of the columns of ``rows``, after those of the groups."""


class Reading(NamedTuple):
    """Where the networks of a group end.

    Attributes:
        networks: how many there are.
        sets: median number of limit sets, the least and the largest.
        single: fraction of networks that end in one set alone.
        closed: fraction whose sets all are closed curves.
        own: fraction in which each family has a set that belongs to it alone.
        memory: median over networks, least and largest, of the frames in which a push off the
            closed curve that forgets most slowly shrinks to 1/e; None if fewer than two networks
            have such curves.
        points: median number of fixed points, the least and the largest; None along training.
    """

    networks: int
    sets: statistics.Interval
    single: statistics.Interval
    closed: statistics.Interval
    own: statistics.Interval
    memory: statistics.Interval | None
    points: statistics.Interval | None


def finished(data: xr.Dataset, **which: Any) -> xr.Dataset:
    """Return the networks as they are in the end, or those of them with some coordinates.

    Args:
        data: the study.
        which: value of a coordinate, by its name, such as ``families=2``.
    """
    names = (*attractors.SET_AXES, *attractors.POINT_AXES)
    return _chosen(data[list(names)], which)


def along(data: xr.Dataset, **which: Any) -> xr.Dataset:
    """Return the networks that are followed after each epoch, as ``finished`` does."""
    names = {f"along_{name}": name for name in attractors.SET_AXES}
    axes = {"training": "network", "training_families": "families", "training_hidden": "hidden"}
    return _chosen(data[list(names)].rename(names | axes), which)


def is_closed(part: xr.Dataset) -> xr.DataArray:
    """Tell which limit sets are closed curves that are gone round: invariant circles and cycles.

    A circle whose rotation is nearly a fraction is passed so unevenly that its first exponent does
    not look like zero for long; it counts, as ``FLAT`` allows, if its states are in order of turns.
    """
    kinds = [maps.KINDS.index(name) for name in ("circle", "cycle")]
    flat = np.abs(part["exponents"].sel(exponent=0)) < attractors.FLAT
    round_ = flat & part["rotation"].notnull() & (part["kind"] > maps.KINDS.index("cycle"))
    return part["kind"].isin(kinds) | round_


def owner(part: xr.Dataset) -> xr.DataArray:
    """Return the family that each limit set belongs to, or ``attractors.NONE`` if to none alone."""
    starts = part["basin"].fillna(0)
    share = (starts / starts.sum("family")).fillna(0)
    alone = share.max("family") > attractors.ALONE
    return share.argmax("family").where(alone, attractors.NONE)


def with_own(part: xr.Dataset) -> xr.DataArray:
    """Count the families of each network that have a limit set of their own."""
    owners = owner(part)
    every = [(owners == label).any("set") for label in range(part.sizes["family"])]
    return xr.concat(every, "family").sum("family")


def memory(part: xr.Dataset) -> xr.DataArray:
    """Return the frames in which a push off each closed curve shrinks to 1/e; else no number."""
    second = part["exponents"].sel(exponent=1)
    return (-1 / second).where(is_closed(part) & (second < 0))


def speeds(part: xr.Dataset) -> xr.DataArray:
    """Divide the turns per frame of each set that belongs to one family by that family's own.

    Returns:
        (..., set): 1 where the set turns as the family does, below 0 where in the other sense; not
        a number for other sets.
    """
    return part["winding"] / _of_owners(part, lambda one: one.direction * one.speed / (2 * np.pi))


def axes(part: xr.Dataset) -> xr.DataArray:
    """Divide the half-axes of each set that belongs to one family by that family's own.

    Returns:
        (..., set, half_axis): 1 where the set is as large as the middle of the family.
    """
    longer = _of_owners(part, lambda one: max(one.axes))
    shorter = _of_owners(part, lambda one: min(one.axes))
    return part["half_axes"] / xr.concat([longer, shorter], "half_axis")


def read(part: xr.Dataset) -> Reading:
    """Sum up where the networks of a group end; they have as many families, two or more networks.

    Args:
        part: of ``finished``, or one epoch of ``along``.
    """
    count, asked = part.sizes["network"], _same(part["families"])
    there = part["kind"] != attractors.NONE
    longest = memory(part).max("set").to_numpy()
    known = longest[np.isfinite(longest)]
    holds = {
        "single": part["sets"] == 1,
        "closed": (is_closed(part) | ~there).all("set") & there.any("set"),
        "own": with_own(part) == asked,
    }
    spans = {name: statistics.proportion(int(one.sum()), count) for name, one in holds.items()}
    return Reading(
        count,
        _span(part["sets"]),
        **spans,
        memory=statistics.median_and_range(known) if len(known) > 1 else None,
        points=_span(part["points"]) if "points" in part else None,
    )


def groups(data: xr.Dataset) -> dict[tuple[str, int, int, str], Reading]:
    """Sum up every group of finished networks: by cell, families, units and state."""
    names = ("cell", "families", "hidden", "state")
    each = zip(*(data[name].to_numpy().tolist() for name in names), strict=True)
    return {
        group: read(finished(data, **dict(zip(names, group, strict=True))))
        for group in dict.fromkeys(each)
    }


def rows(found: dict[tuple[str, int, int, str], Reading]) -> list[list[str]]:
    """Write groups as the rows of a table: cell, families, units, state, and ``HEAD``."""
    return [[*map(str, group), *_row(one)] for group, one in found.items()]


def by_epoch(part: xr.Dataset) -> dict[int, Reading]:
    """Sum up a part along training, by epoch."""
    epochs = part["epoch"].to_numpy().tolist()
    return {epoch: read(part.sel(epoch=epoch)) for epoch in epochs}


def first_epoch(part: xr.Dataset, holds: xr.DataArray) -> Float[np.ndarray, " network"]:
    """Return the first epoch from which on something holds to the end; not a number if it never is.

    Args:
        part: of ``along``.
        holds: true or false (network, epoch).
    """
    kept = holds.transpose("network", "epoch").to_numpy()[:, ::-1]
    lasting = np.logical_and.accumulate(kept, axis=1).sum(axis=1)
    epochs = np.append(part["epoch"].to_numpy()[::-1], 0).astype(float)
    return np.where(lasting > 0, epochs[lasting - 1], np.nan)


def _row(one: Reading) -> list[str]:
    spans = [one.single, one.closed, one.own]
    return [
        str(one.networks),
        one.sets.text(".0f"),
        *(span.text() for span in spans),
        one.memory.text(".0f") if one.memory else "no closed curve",
        one.points.text(".0f") if one.points else "not sought",
    ]


def _span(counts: xr.DataArray) -> statistics.Interval:
    return statistics.median_and_range(counts.to_numpy().astype(float))


def _chosen(part: xr.Dataset, which: dict[str, Any]) -> xr.Dataset:
    for name, value in which.items():
        part = part.isel(network=np.flatnonzero(part[name] == value))
    return part


def _same(values: xr.DataArray) -> int:
    (value,) = np.unique(values)
    return int(value)


def _of_owners(part: xr.Dataset, ask: Callable[[families.Family], float]) -> xr.DataArray:
    """Ask the family that each set belongs to for a number; not a number where there is none."""
    owners, found = owner(part), xr.full_like(part["winding"], np.nan)
    for task in orbits.TASKS.values():
        here = part["families"] == len(task)
        for label, family in enumerate(task):
            found = found.where(~(here & (owners == label)), ask(family))
    return found
