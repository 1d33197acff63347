"""What the page on universality reads from the published studies ``universality``, ``attractors``.

A *part* is a Dataset of networks of one task, along "network", with the names of
``universality.MEASURES`` along "other" too, the same networks in the same order; "error" and
"outputs"; and the coordinates "cell", "hidden", "state" and "seed". Expectations: see
``universality``.
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from rnnatomy.analysis import maps, statistics
from rnnatomy.studies import attractors, attractors_page, orbits, universality

DRAWS = 9999
"""Permutations of networks."""

CLOSED = "closed curve"
"""Name of a limit set that is gone round, in place of its kind."""

LIKE_OUTPUTS, APART = 0.7, 0.05
"""Least CKA with the true outputs, and largest difference of CKA, that were expected."""


class Contrast(NamedTuple):
    """How much more pairs of the same topology agree than others.

    Attributes:
        difference: of their means, averaged over the groups that have both.
        low: below this are 2.5 % of the differences when networks are permuted within groups.
        high: above this are 2.5 % of them.
        chance: fraction of permutations whose difference is as large, of either sign.
        groups: that have both.
    """

    difference: float
    low: float
    high: float
    chance: float
    groups: int


class Agreement(NamedTuple):
    """In how many pairs the topology is the same.

    Attributes:
        share: of the pairs, 0 to 1.
        base: share that is expected of two networks of all, drawn at random.
        pairs: how many there are.
    """

    share: float
    base: float
    pairs: int


def of_task(data: xr.Dataset, task: str) -> xr.Dataset:
    """Return the part of a study that is of one task, "two" or "four"."""
    names = [name for name in universality.AXES if name.startswith(f"{task}_")]
    part = data[names]
    own = [*names, *map(str, part.coords)]
    return part.rename({name: name.removeprefix(f"{task}_") for name in own})


def chosen(part: xr.Dataset, **which: Any) -> xr.Dataset:
    """Return the networks of a part that have some coordinates, such as ``state="trained"``."""
    for name, value in which.items():
        rows = np.flatnonzero(part[name] == value)
        part = part.isel(network=rows, other=rows)
    return part


def pairs(
    part: xr.Dataset,
    measure: str,
    first: Bool[np.ndarray, " network"],
    second: Bool[np.ndarray, " network"],
) -> Float[np.ndarray, " pair"]:
    """Return what is measured of each pair of different networks, each pair once.

    Args:
        part: of ``of_task``.
        measure: one of ``universality.MEASURES``.
        first: which networks may be the one.
        second: which may be the other; those of ``first``, or none of them.
    """
    block = part[measure].to_numpy()[np.ix_(np.flatnonzero(first), np.flatnonzero(second))]
    same = np.array_equal(first, second)
    return block[np.triu_indices(len(block), 1)] if same else block.ravel()


def by_cells(part: xr.Dataset, measure: str = "cka") -> dict[tuple[str, str], statistics.Interval]:
    """Sum up pairs within each cell and between each two, by median and range.

    Args:
        part: networks of one size and state; three or more of each cell.
        measure: as of ``pairs``.
    """
    cells = part["cell"].to_numpy()
    return {
        (one, other): statistics.median_and_range(
            pairs(part, measure, cells == one, cells == other)
        )
        for one, other in combinations_with_replacement(dict.fromkeys(cells.tolist()), 2)
    }


def by_size(
    part: xr.Dataset, measure: str = "cka", cell: str = "gru"
) -> dict[int, statistics.Interval]:
    """Sum up pairs of networks of one size, by median and range.

    Args:
        part: networks of one state; three or more of each size.
        measure: as of ``pairs``.
        cell: whose networks.
    """
    own = chosen(part, cell=cell)
    sizes = own["hidden"].to_numpy()
    return {
        size: statistics.median_and_range(pairs(own, measure, sizes == size, sizes == size))
        for size in np.unique(sizes).tolist()
    }


def groups(
    part: xr.Dataset, measure: str = "cka"
) -> dict[tuple[str, int, str], statistics.Interval]:
    """Sum up pairs of one cell, size and state, for all of them, by median and range."""
    keys = _keys(part, "cell", "hidden", "state")
    each = {key: _is(keys, key) for key in dict.fromkeys(keys)}
    return {
        key: statistics.median_and_range(pairs(part, measure, own, own))
        for key, own in each.items()
    }


def outputs(part: xr.Dataset) -> dict[tuple[str, int, str], statistics.Interval]:
    """Sum up the CKA of networks with the true outputs, by cell, size and state."""
    keys, values = _keys(part, "cell", "hidden", "state"), part["outputs"].to_numpy()
    return {
        key: statistics.median_and_range(values[_is(keys, key)].astype(float))
        for key in dict.fromkeys(keys)
    }


def with_echo(part: xr.Dataset, measure: str = "cka") -> dict[tuple[str, int], statistics.Interval]:
    """Sum up pairs of a trained network and an echo-state network of its size.

    Returns:
        Median and range, by cell and size of the trained network.
    """
    keys = _keys(part, "cell", "hidden")
    trained = (part["state"] == "trained").to_numpy()
    found = {}
    for cell, size in dict.fromkeys(key for key, own in zip(keys, trained, strict=True) if own):
        echoes, own = _is(keys, (universality.ECHO, size)), _is(keys, (cell, size)) & trained
        values = pairs(part, measure, own, echoes)
        found[cell, size] = statistics.median_and_range(values)
    return found


def topology(limits: xr.Dataset, names: Sequence[str]) -> list[str]:
    """Name the limit sets of networks, such as "2: closed curve, closed curve".

    Args:
        limits: the study ``attractors``.
        names: of the networks, as there.

    Returns:
        How many limit sets there are, and the kinds of those that are kept, in alphabetic order.
    """
    part = attractors_page.finished(limits).sel(network=list(names))
    closed = attractors_page.is_closed(part).transpose("network", "set").to_numpy()
    found = []
    for own, kinds, count in zip(
        closed, part["kind"].to_numpy().astype(int), part["sets"].to_numpy(), strict=True
    ):
        there = [
            CLOSED if round_ else maps.KINDS[kind]
            for round_, kind in zip(own, kinds, strict=True)
            if kind != attractors.NONE
        ]
        found.append(f"{count:.0f}: {', '.join(sorted(there))}")
    return found


def agreement(topologies: Sequence[str], cells: Sequence[str]) -> dict[tuple[str, str], Agreement]:
    """Count the pairs with the same topology within each cell and between each two.

    Args:
        topologies: of networks, see ``topology``.
        cells: of the same networks, two or more of each; or other groups.

    Returns:
        By the names of both cells.
    """
    same, own = _same(topologies), np.asarray(cells)
    base = float(same[np.triu_indices(len(same), 1)].mean())
    found = {}
    for one, other in combinations_with_replacement(dict.fromkeys(cells), 2):
        block = same[np.ix_(own == one, own == other)]
        each = block[np.triu_indices(len(block), 1)] if one == other else block.ravel()
        found[one, other] = Agreement(float(each.mean()), base, len(each))
    return found


def by_topology(
    table: Float[np.ndarray, "network network"],
    topologies: Sequence[str],
    groups: Sequence[Any],
    rng: np.random.Generator,
) -> Contrast | None:
    """Ask whether pairs of the same topology agree more, by permuting networks within groups.

    Args:
        table: what is measured of each two networks, such as CKA.
        topologies: of the networks.
        groups: of the networks, such as cell and size; pairs are of one group.
        rng: source of ``DRAWS`` permutations.

    Returns:
        None if no group has pairs of both kinds.
    """
    blocks = [
        (table[np.ix_(own, own)], _same(np.asarray(topologies)[own].tolist()))
        for group in dict.fromkeys(groups)
        if len(own := np.flatnonzero(_is(groups, group))) > 2
    ]
    both = [one for one in blocks if 0 < _upper(one[1]).mean() < 1]
    if not both:
        return None
    found = np.mean([_difference(*one) for one in both])
    drawn = np.zeros(DRAWS)
    for values, same in both:
        orders = (rng.permutation(len(same)) for _ in range(DRAWS))
        drawn += [_difference(values, same[np.ix_(order, order)]) for order in orders]
    drawn /= len(both)
    low, high = np.quantile(drawn, [0.025, 0.975])
    # that which was found is one of the permutations
    chance = (1 + np.sum(np.abs(drawn) >= abs(found) - 1e-12)) / (DRAWS + 1)
    return Contrast(float(found), float(low), float(high), float(chance), len(both))


def topology_tells(
    part: xr.Dataset, limits: xr.Dataset, rng: np.random.Generator, measure: str = "cka"
) -> Contrast | None:
    """Ask ``by_topology`` of networks of one state, within each cell and size."""
    named = topology(limits, part["network"].to_numpy().tolist())
    return by_topology(part[measure].to_numpy(), named, _keys(part, "cell", "hidden"), rng)


def answers(data: xr.Dataset, limits: xr.Dataset, rng: np.random.Generator) -> dict[int, bool]:
    """Tell which of the numbered expectations of ``universality`` held, all of each.

    Args:
        data: the study ``universality``.
        limits: the study ``attractors``.
        rng: source of permutations.
    """
    every = {task: of_task(data, task) for task in orbits.TASKS}
    trained = {task: chosen(part, state="trained") for task, part in every.items()}
    sizes = [by_size(part) for part in trained.values()]
    return {
        1: _higher_within(by_cells(chosen(trained["two"], hidden=orbits.CONTROL_SIZE))) > 0.5,
        2: trained_agree_more(list(every.values())) > 0.5
        and bool(median_outputs(list(trained.values())) > LIKE_OUTPUTS),
        3: _as_expected(trained, limits),
        4: all(_small(topology_tells(part, limits, rng)) for part in trained.values()),
        5: all(grows(one) for one in sizes),
    }


def trained_agree_more(parts: Sequence[xr.Dataset]) -> float:
    """Return the fraction of groups whose trained pairs have the larger median CKA.

    Args:
        parts: of ``of_task``, with trained and untrained networks.
    """
    found = []
    for part in parts:
        own = groups(part)
        found += [
            span.value > own[cell, size, "untrained"].value
            for (cell, size, state), span in own.items()
            if state == "trained"
        ]
    return float(np.mean(found))


def median_outputs(parts: Sequence[xr.Dataset]) -> float:
    """Return the median CKA with the true outputs, over all networks of parts."""
    return float(np.median(np.concatenate([part["outputs"].to_numpy() for part in parts])))


def same_topology(parts: dict[str, xr.Dataset], limits: xr.Dataset) -> dict[str, Agreement]:
    """Count pairs of the same topology, over all groups: "within" and "between".

    Args:
        parts: trained networks, by task.
        limits: the study ``attractors``.

    Returns:
        "within": over all pairs of one cell, size and task; "between": over all pairs of different
        cells of task "two" at ``orbits.CONTROL_SIZE`` units. Base rates are those of the task at
        hand; of "within" their mean, as each task has pairs.
    """
    inside: list[Agreement] = []
    for part in parts.values():
        named = topology(limits, part["network"].to_numpy().tolist())
        keys = ["-".join(map(str, key)) for key in _keys(part, "cell", "hidden")]
        inside += [one for (a, b), one in agreement(named, keys).items() if a == b]
    part = chosen(parts["two"], hidden=orbits.CONTROL_SIZE)
    named = topology(limits, part["network"].to_numpy().tolist())
    cells = part["cell"].to_numpy().tolist()
    across = [one for (a, b), one in agreement(named, cells).items() if a != b]
    return {"within": _pooled(inside), "between": _pooled(across)}


def grows(spans: dict[int, statistics.Interval]) -> bool:
    """Tell whether medians by size are larger in the end, and rise at all steps but one at most."""
    medians = np.array([spans[size].value for size in sorted(spans)])
    steps = np.diff(medians)
    return bool(medians[-1] > medians[0] and (steps > 0).sum() >= len(steps) - 1)


def rows(
    found: dict[Any, statistics.Interval], form: str = ".2f", name: Callable[[Any], str] = str
) -> list[list[str]]:
    """Write spans as the rows of a table: what they are of, and median and range."""
    keys = [key if isinstance(key, tuple) else (key,) for key in found]
    return [
        [*map(name, key), span.text(form)] for key, span in zip(keys, found.values(), strict=True)
    ]


def _higher_within(found: dict[tuple[str, str], statistics.Interval]) -> float:
    """Return the fraction of pairs of cells that agree less than either cell does in itself."""
    each = [
        span.value < min(found[one, one].value, found[other, other].value)
        for (one, other), span in found.items()
        if one != other
    ]
    return float(np.mean(each))


def _as_expected(parts: dict[str, xr.Dataset], limits: xr.Dataset) -> bool:
    found = same_topology(parts, limits)
    return found["within"].share > 0.5 > found["between"].share


def _small(found: Contrast | None) -> bool:
    return found is not None and abs(found.difference) < APART


def _pooled(found: Sequence[Agreement]) -> Agreement:
    weights = [one.pairs for one in found]
    share, base = (np.average([one[k] for one in found], weights=weights) for k in (0, 1))
    return Agreement(float(share), float(base), sum(weights))


def _keys(part: xr.Dataset, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(part[name].to_numpy().tolist() for name in names), strict=True))


def _is(keys: Sequence[Any], wanted: Any) -> Bool[np.ndarray, " network"]:
    return np.array([key == wanted for key in keys])


def _same(topologies: Sequence[str]) -> Bool[np.ndarray, "network network"]:
    every = np.asarray(topologies)
    return every[:, None] == every


def _upper(square: np.ndarray) -> np.ndarray:
    return square[np.triu_indices(len(square), 1)]


def _difference(values: np.ndarray, same: np.ndarray) -> float:
    values, same = _upper(values), _upper(same)
    return float(values[same].mean() - values[~same].mean())
