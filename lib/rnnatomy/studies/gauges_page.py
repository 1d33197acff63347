"""What the page on gauges reads from the published study of ``gauges``.

A *part* is a Dataset of some trainings: "value" (training, epoch, gauge) and "error" (training,
epoch), with the coordinate "better" along the gauges. Rules and expectations: see ``gauges``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.analysis import correlation, statistics
from rnnatomy.studies import gauges

SETS = {
    "circle and ellipse": ("orbits",),
    "few and noisy": ("few",),
    "people moving": ("same", "held"),
}
"""Sets of trainings by name, and the parts of the study that each takes together."""


CLOCK, CEILING = "the clock", "the test error itself"
"""What each gauge is held against: the number of the epoch, and the best that could be."""


class Reading(NamedTuple):
    """How a gauge does in a set of trainings, means over these with their intervals.

    Attributes:
        trainings: how many there are; those where the gauge is not a number do not count.
        beyond: rank correlation with the test error, the clock taken out; None where fewer than two
            trainings leave anything to correlate.
        right: fraction of neighbouring epochs of which it tells the better one.
        ahead: the same less the clock's fraction, in the same trainings.
        cost: logarithm of the test error where it stops, as a multiple of the least one.
        saved: logarithm of the test error after the last epoch, as a multiple of that where it
            stops.
        beats: whether it beats the clock here: both ``ahead`` and ``saved`` lie above 0.
    """

    trainings: int
    beyond: statistics.Interval | None
    right: statistics.Interval
    ahead: statistics.Interval
    cost: statistics.Interval
    saved: statistics.Interval
    beats: bool


def parts(data: xr.Dataset) -> dict[str, xr.Dataset]:
    """Take the study apart, one Dataset for each of ``gauges.PARTS``.

    To the gauges the clock and the test error itself are added, as the last two.
    """
    found = {}
    for name in gauges.PARTS:
        axes = {f"{name}_{axis}": axis for axis in ("training", "epoch")}
        arrays = {f"{name}_gauges": "value", f"{name}_error": "error"}
        found[name] = _with_bounds(data[list(arrays)].rename(arrays | axes))
    return found


def beyond_clock(part: xr.Dataset) -> xr.DataArray:
    """Correlate each gauge with the test error along a training, with the clock taken out.

    The partial rank correlation of the gauge q, from worse to better, and the error e from high to
    low, given the number of the epoch c, of the rank correlations r of each two:

        (r_qe - r_qc r_ec) / sqrt((1 - r_qc^2) (1 - r_ec^2))

    Returns:
        (training, gauge); 0 for a gauge that is a clock, or that never changes; not a number where
        the error itself falls from epoch to epoch, so that nothing is left to tell.
    """
    quality, fallen = _quality(part), -part["error"]
    number = xr.zeros_like(fallen) + np.arange(part.sizes["epoch"])
    late = _correlate(fallen, number)
    found = [
        _partial(_correlate(one, fallen), _correlate(one, number), late)
        for one in quality.transpose("gauge", "training", "epoch")
    ]
    there = quality.notnull().all("epoch").transpose("gauge", "training")
    return there.copy(data=np.stack(found)).where(there).transpose("training", "gauge")


def right(part: xr.Dataset) -> xr.DataArray:
    """Ask each gauge which of two neighbouring epochs has the lower test error.

    Returns:
        Fraction of pairs of which it says so, (training, gauge); those in which its numbers are the
        same count half.
    """
    steps = (each.diff("epoch") for each in (_quality(part), -part["error"]))
    told, truth = (xr.apply_ufunc(np.sign, step) for step in steps)
    agree = (1 + told * truth) / 2
    return agree.mean("epoch", skipna=False).transpose("training", "gauge")


def stopped(part: xr.Dataset) -> xr.DataArray:
    """Return the logarithm of the test error at the epoch that each gauge picks.

    Returns:
        (training, gauge); the last one is picked of epochs with the same best number.
    """
    quality = _quality(part)
    backwards = quality.isel(epoch=slice(None, None, -1)).fillna(-np.inf)
    at = part.sizes["epoch"] - 1 - backwards.argmax("epoch")
    picked = xr.apply_ufunc(np.log, part["error"].isel(epoch=at))
    return picked.where(quality.notnull().all("epoch")).transpose("training", "gauge")


def read(some: Sequence[xr.Dataset], rng: np.random.Generator) -> dict[str, Reading]:
    """Sum up how each gauge does over the trainings of some parts, taken together.

    Args:
        some: parts, as of ``parts``.
        rng: source of the resamples of trainings.

    Returns:
        By the name of the gauge, without those that are numbers in fewer than two trainings;
        ``CLOCK`` and ``CEILING`` come last.
    """
    measures = {"beyond": beyond_clock, "right": right, "stopped": stopped}
    every = {
        name: xr.concat([measure(part) for part in some], "training")
        for name, measure in measures.items()
    }
    least = xr.concat([part["error"].min("epoch") for part in some], "training")
    least = xr.apply_ufunc(np.log, least)
    found = xr.Dataset(every | {"least": least}).transpose("training", ...)
    known = found["stopped"].notnull().sum("training") > 1
    names = found["gauge"].to_numpy()[known.to_numpy()].tolist()
    return {name: _reading(found, name, rng) for name in names}


def read_sets(data: xr.Dataset, rng: np.random.Generator) -> dict[str, dict[str, Reading]]:
    """Sum up how each gauge does in each of ``SETS``, see ``read``."""
    every = parts(data)
    return {name: read([every[part] for part in some], rng) for name, some in SETS.items()}


def with_room(found: dict[str, dict[str, Reading]]) -> list[str]:
    """Return the sets in which the test error itself beats the clock, so that something can."""
    return [name for name, readings in found.items() if readings[CEILING].beats]


def winners(found: dict[str, dict[str, Reading]]) -> list[str]:
    """Return the gauges that beat the clock in every set that has room; none if no set has any."""
    room = with_room(found)
    told = [{name for name, one in found[each].items() if one.beats} for each in room]
    return sorted(set.intersection(*told) - {CEILING}) if told else []


def spans(
    readings: dict[str, Reading], names: Sequence[str], field: str
) -> Float[np.ndarray, "bound gauge"]:
    """Return a field of readings times 100, with its interval, for some gauges in order.

    Args:
        readings: of a set.
        names: of gauges.
        field: of ``Reading``, such as "ahead".

    Returns:
        Value, low and high end; not a number where a set has no such gauge.
    """
    nothing = (np.nan, np.nan, np.nan)
    rows = [getattr(readings[name], field) if name in readings else nothing for name in names]
    return 100 * np.array(rows, float).T


HEAD = (
    "gauge",
    "trainings",
    "correlation beyond the clock",
    "neighbours told right",
    "more than the clock",
    "error where it stops, times the least",
    "last error, times that where it stops",
    "beats the clock",
)
"""Titles of the columns of ``rows``."""


def rows(readings: dict[str, Reading]) -> list[list[str]]:
    """Write the readings of a set as the rows of a table, see ``HEAD``."""
    return [
        [
            name,
            str(one.trainings),
            one.beyond.text("+.2f") if one.beyond else "nothing is left",
            one.right.text(),
            one.ahead.text("+.2f"),
            _factor(one.cost).text(".3f"),
            _factor(one.saved).text(".3f"),
            "yes" if one.beats else "no",
        ]
        for name, one in readings.items()
    ]


def _with_bounds(part: xr.Dataset) -> xr.Dataset:
    """Add the clock, which rises, and the test error, which is to fall, to the gauges."""
    part = part.transpose("training", "epoch", "gauge").astype(float)
    number = xr.zeros_like(part["error"]) + np.arange(part.sizes["epoch"])
    bounds = xr.concat([number, part["error"]], "gauge").assign_coords(
        gauge=[CLOCK, CEILING], better=("gauge", [1, -1])
    )
    value = xr.concat([part["value"], bounds], "gauge").transpose("training", "epoch", "gauge")
    return xr.Dataset({"value": value, "error": part["error"]})


def _quality(part: xr.Dataset) -> xr.DataArray:
    """Return the gauges, each so that more is better."""
    return part["value"] * part["better"]


def _correlate(first: xr.DataArray, second: xr.DataArray) -> Float[np.ndarray, " training"]:
    both = (each.transpose("training", "epoch").to_numpy() for each in (first, second))
    return correlation.along(*both)


def _partial(
    found: Float[np.ndarray, " training"],
    gauge: Float[np.ndarray, " training"],
    fallen: Float[np.ndarray, " training"],
) -> Float[np.ndarray, " training"]:
    """Take the clock out of a correlation of two, of which each one's with the clock is given."""
    left = np.sqrt(np.clip((1 - gauge**2) * (1 - fallen**2), 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        partial = (found - gauge * fallen) / left
    is_clock = np.isnan(gauge) | np.isclose(np.abs(gauge), 1)
    return np.where(np.isclose(np.abs(fallen), 1), np.nan, np.where(is_clock, 0, partial))


def _reading(found: xr.Dataset, name: str, rng: np.random.Generator) -> Reading:
    one, clock = found.sel(gauge=name), found.sel(gauge=CLOCK)
    there = one["stopped"].notnull().to_numpy()
    one, clock = one.isel(training=there), clock.isel(training=there)
    left = one["beyond"].to_numpy()
    left = left[np.isfinite(left)]

    def interval(sample: xr.DataArray) -> statistics.Interval:
        return statistics.interval(sample.to_numpy(), rng)

    ahead, saved = (
        interval(one["right"] - clock["right"]),
        interval(clock["stopped"] - one["stopped"]),
    )
    return Reading(
        int(there.sum()),
        statistics.interval(left, rng) if len(left) > 1 else None,
        interval(one["right"]),
        ahead,
        interval(one["stopped"] - one["least"]),
        saved,
        ahead.low > 0 and saved.low > 0,
    )


def _factor(logarithm: statistics.Interval) -> statistics.Interval:
    return statistics.Interval(*map(float, np.exp(logarithm)))
