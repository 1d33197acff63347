"""What the page on attractors of people reads from the published study of ``walking``.

A *part* is a Dataset of some networks, with the names that ``walking.of_network`` gives and the
coordinates "decoder", "state", "choice" and "seed". Rules and expectations: see ``walking``.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.analysis import maps, statistics
from rnnatomy.data import mocap
from rnnatomy.studies import attractors_page, walking
from rnnatomy.studies.movement import protocols

STRIDE = (0.8, 1.4)
"""Seconds of one stride, as expected of a closed curve that is a walk."""

FEW = 8
"""Fewer limit sets than this are few."""

HALF = 0.5
"""More than this fraction of the starts, where it is asked of most of them."""

WALK = mocap.ACTIONS.index("walking")

HEAD = (
    "networks",
    "error held out, over standing still",
    "error in training, over standing still",
    "limit sets",
    "settled",
    "ran away",
    "lost or still",
    "a set for each action",
    "a walk of its own",
    "a walk's pace",
)
"""Titles of the columns of ``rows``, after those of the groups."""


SHOWN = (HEAD[1], "limit sets", "ran away", "a set for each action", "a walk of its own")
"""Columns that the page shows."""


class Beats(NamedTuple):
    """How many networks predict better than a figure that stands still.

    Attributes:
        held: on sequences that are held out.
        trained: on those trained on.
        networks: of so many.
    """

    held: int
    trained: int
    networks: int


class Reading(NamedTuple):
    """Where the networks of a group end; medians over networks, least and largest.

    Attributes:
        networks: how many there are.
        error: mean squared error of predictions of sequences that are held out, over that of the
            last frame, repeated.
        learnt: the same of sequences that were trained on.
        sets: number of limit sets.
        settled: fraction of starts that had arrived, or run away, at half time.
        away: fraction that left the bound.
        lost: fraction of networks of which more than half of the starts are lost or stand still.
        own: fraction in which each action has a set that belongs to it alone.
        walk: fraction in which walking has a closed curve of its own, at the pace of a stride.
        pace: fraction with any closed curve at that pace whose poses are nearest to walking.
    """

    networks: int
    error: statistics.Interval
    learnt: statistics.Interval
    sets: statistics.Interval
    settled: statistics.Interval
    away: statistics.Interval
    lost: statistics.Interval
    own: statistics.Interval
    walk: statistics.Interval
    pace: statistics.Interval


class Bodies(NamedTuple):
    """Bodies of one network, as ``report.bodies`` draws them.

    Attributes:
        sets: of each limit set that is kept, poses all round it.
        ways: of one start of each action, poses after the frames in ``walking.AFTER``.
    """

    sets: list[Float[np.ndarray, "turn joint 3"]]
    ways: dict[str, Float[np.ndarray, "after joint 3"]]


def finished(data: xr.Dataset, **which: Any) -> xr.Dataset:
    """Return the networks, or those of them with some coordinates.

    Args:
        data: the study.
        which: value of a coordinate, by its name, such as ``decoder="plain"``.
    """
    part = data[[name for name, axes in walking.AXES.items() if axes[0] == "network"]]
    for name, value in which.items():
        part = part.isel(network=np.flatnonzero(part[name] == value))
    return part


def is_closed(part: xr.Dataset) -> xr.DataArray:
    """Tell which limit sets are closed curves, as ``attractors_page.is_closed``."""
    return attractors_page.is_closed(part)


def owner(part: xr.Dataset) -> xr.DataArray:
    """Return the number of the action that each set belongs to, or ``attractors.NONE``."""
    return attractors_page.owner(_as_families(part))


def with_own(part: xr.Dataset) -> xr.DataArray:
    """Count the actions of each network that have a limit set of their own."""
    return attractors_page.with_own(_as_families(part))


def seconds(part: xr.Dataset) -> xr.DataArray:
    """Return the seconds of one turn round each closed curve; not a number of other sets."""
    closes = part["period"].where(part["period"] > 0)
    frames = (1 / part["rotation"]).fillna(closes)
    return frames.where(is_closed(part)) * protocols.HELD_OUT.step / mocap.RATE


def at_pace(part: xr.Dataset) -> xr.DataArray:
    """Tell which sets are closed curves that are gone round within the time of a stride."""
    once = seconds(part)
    return (once >= STRIDE[0]) & (once <= STRIDE[1])


def walks(part: xr.Dataset) -> xr.DataArray:
    """Tell in which networks walking has a closed curve of its own, at the pace of a stride."""
    return (at_pace(part) & (owner(part) == WALK)).any("set")


def paces(part: xr.Dataset) -> xr.DataArray:
    """Tell which networks have a closed curve at that pace whose poses are nearest to walking.

    Whatever starts end in it: a walk need not be of walks alone.
    """
    return (at_pace(part) & (part["nearest_action"] == WALK)).any("set")


def read(part: xr.Dataset) -> Reading:
    """Sum up where the networks of a group end; they are two or more.

    Args:
        part: of ``finished``.
    """
    count = part.sizes["network"]
    spans = {
        "error": part["error"] / part["stay_error"],
        "learnt": part["train_error"] / part["train_stay_error"],
        **{name: part[name] for name in ("sets", "settled", "away")},
    }
    holds = {
        "lost": part["lost"] > HALF,
        "own": with_own(part) == part.sizes["action"],
        "walk": walks(part),
        "pace": paces(part),
    }
    return Reading(
        count,
        **{name: _span(values) for name, values in spans.items()},
        **{name: statistics.proportion(int(one.sum()), count) for name, one in holds.items()},
    )


def groups(data: xr.Dataset) -> dict[tuple[str, str], Reading]:
    """Sum up every group of networks: by decoder and state."""
    each = zip(*(data[name].to_numpy().tolist() for name in ("decoder", "state")), strict=True)
    return {
        (decoder, state): read(finished(data, decoder=decoder, state=state))
        for decoder, state in dict.fromkeys(each)
    }


def rows(found: dict[tuple[str, str], Reading]) -> list[list[str]]:
    """Write groups as the rows of a table: decoder, state, and ``HEAD``."""
    return [[*group, *_row(one)] for group, one in found.items()]


def table(found: dict[tuple[str, str], Reading]) -> list[list[str]]:
    """Write groups as a table with its head, of the columns ``SHOWN``."""
    every = [["decoder", "state", *HEAD], *rows(found)]
    places = [0, 1, *(2 + HEAD.index(name) for name in SHOWN)]
    return [[row[place] for place in places] for row in every]


def beats_standing(part: xr.Dataset) -> Beats:
    """Count the networks that predict better than the last frame does, repeated."""
    held = part["error"] < part["stay_error"]
    trained = part["train_error"] < part["train_stay_error"]
    return Beats(int(held.sum()), int(trained.sum()), part.sizes["network"])


def drift(part: xr.Dataset) -> dict[int, statistics.Interval]:
    """Return how far poses are from the last frame read, in spreads of all poses of training.

    Returns:
        By frames after it, root mean square over actions: median over networks, least and largest.
    """
    far = (part["distance"] ** 2).mean("action") ** 0.5 / part["spread"]
    return {after: _span(far.sel(after=after)) for after in part["after"].to_numpy().tolist()}


def share_beyond(part: xr.Dataset) -> dict[int, statistics.Interval]:
    """Return the fraction of starts whose pose was longer than any of training, by frames."""
    gone = part["beyond"].mean("action")
    return {after: _span(gone.sel(after=after)) for after in part["after"].to_numpy().tolist()}


def pace_of(part: xr.Dataset) -> dict[int, statistics.Interval]:
    """Return how far the pose moves per frame, median over actions, by frames."""
    speed = part["speed"].median("action")
    return {after: _span(speed.sel(after=after)) for after in part["after"].to_numpy().tolist()}


def expected(data: xr.Dataset) -> dict[str, statistics.Interval]:
    """Return the fractions of networks that the expectations are about, in their order.

    Returns:
        "lost": trained residual decoders of which more than half of the starts are lost or still.
        Of trained plain decoders, "bounded": no start ran away, and sets are fewer than ``FEW``;
        "own": each action has a set; "walk": as of ``walks``. Of untrained ones, "one point": plain
        decoders with one fixed point alone; "drift": residual ones whose starts all ran away.
    """
    residual, plain = (finished(data, decoder=k, state="trained") for k in walking.KINDS)
    drifting, resting = (finished(data, decoder=k, state="untrained") for k in walking.KINDS)
    fixed = resting["kind"].isel(set=0) == maps.KINDS.index("fixed point")
    holds = {
        "lost": residual["lost"] > HALF,
        "bounded": (plain["away"] == 0) & (plain["sets"] < FEW),
        "own": with_own(plain) == plain.sizes["action"],
        "walk": walks(plain),
        "one point": (resting["sets"] == 1) & fixed,
        "drift": drifting["away"] == 1,
    }
    return {
        name: statistics.proportion(int(one.sum()), one.sizes["network"])
        for name, one in holds.items()
    }


def bodies(data: xr.Dataset, decoder: str, state: str) -> Bodies:
    """Return the bodies that are shown of one network.

    Args:
        data: the study.
        decoder: one of ``walking.KINDS``.
        state: one of ``walking.STATES``.
    """
    one = data[list(walking.SHOWN_AXES)].sel(shown=f"{decoder}-{state}").astype(float)
    sets = [places for places in one["shown_sets"].to_numpy() if np.isfinite(places).all()]
    ways = zip(one["action"].to_numpy().tolist(), one["shown_ways"].to_numpy(), strict=True)
    return Bodies(sets, dict(ways))


def ends(data: xr.Dataset, decoder: str, state: str) -> Float[np.ndarray, "set joint 3"]:
    """Return one body on each limit set of a network, as of ``bodies``; there may be none."""
    sets = bodies(data, decoder, state).sets
    return np.reshape([places[0] for places in sets], (len(sets), *data["shown_sets"].shape[-2:]))


def read_last(data: xr.Dataset) -> Float[np.ndarray, "action joint 3"]:
    """Return a person in each action: the last pose that is read before a decoder goes on."""
    before = data["shown_ways"].sel(after=0).isel(shown=0)
    return before.to_numpy().astype(float)


def nearness(data: xr.Dataset) -> dict[str, statistics.Interval]:
    """Return how far poses are from the nearest pose of training, in scaled units.

    Returns:
        By state of training those of the limit sets of plain decoders, each set alike; and of
        "people", the last poses that are read, held out. Median over networks, least and largest.
    """
    states = dict.fromkeys(data["state"].to_numpy().tolist())
    parts = {state: finished(data, decoder="plain", state=state) for state in states}
    far = {state: _span(part["nearest"].mean("set")) for state, part in parts.items()}
    return far | {"people": _span(data["held_nearest"])}


def _row(one: Reading) -> list[str]:
    return [
        str(one.networks),
        one.error.text(".2f"),
        one.learnt.text(".2f"),
        one.sets.text(".0f"),
        *(span.text() for span in one[4:]),
    ]


def _span(values: xr.DataArray) -> statistics.Interval:
    return statistics.median_and_range(values.to_numpy().astype(float))


def _as_families(part: xr.Dataset) -> xr.Dataset:
    """Name actions as ``attractors_page`` names what starts are of."""
    return part[["basin"]].rename(action="family")
