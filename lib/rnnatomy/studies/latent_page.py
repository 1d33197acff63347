"""What a page reads from the published study of ``latent``: where decoders end that draw on.

A *part* is a Dataset of all networks in one state, "trained" or "untrained", with the vectors of
one source, "image" or "prior". Rules and expectations: see ``latent``.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.analysis import maps, statistics
from rnnatomy.studies import latent

HEAD = (
    "networks",
    "arrived",
    "one fixed point",
    "largest memory cell",
    "blank end",
    "distance left at row 28",
    "distance of late rows",
    "by the start",
)
"""Titles of the columns of ``rows``, after those of state and source."""

EXPECTED = ("one fixed point", "blank ends", "row 28 on its way", "no better told", "no jumps")
"""The expectations of the study, in their order."""


class Reading(NamedTuple):
    """Where decoders end: medians over networks, with the least and the largest.

    Attributes:
        networks: how many there are.
        arrived: fraction of vectors all of whose starts end in a fixed point or a cycle.
        fixed: fraction of vectors all of whose starts end in the same fixed point.
        memory: median over vectors of the largest memory cell after all steps.
        blank: fraction of vectors that draw next to no ink at the end.
        left: distance to the end at row 28, as a share of the distance between ends.
        wander: distance of late states to the end, as the same share.
        by_start: distance of ends from other starts under the same vector, as the same share.
    """

    networks: int
    arrived: statistics.Interval
    fixed: statistics.Interval
    memory: statistics.Interval
    blank: statistics.Interval
    left: statistics.Interval
    wander: statistics.Interval
    by_start: statistics.Interval


class Answer(NamedTuple):
    """What became of an expectation.

    Attributes:
        held: whether it did, in the trained networks.
        share: the share that it speaks of, of each network: of vectors, of networks, or of lines.
        control: the same of untrained decoders.
    """

    held: bool
    share: Float[np.ndarray, " network"]
    control: Float[np.ndarray, " network"]


def part(data: xr.Dataset, state: str, source: str = "image") -> xr.Dataset:
    """Return what was found in one state, under the vectors of one source.

    Args:
        data: the study.
        state: one of ``latent.STATES``.
        source: one of ``latent.SOURCES``.
    """
    one = data.sel(state=state, source=source)
    return one.isel(vector=np.flatnonzero(one["vector_source"] == source))


def has_arrived(part: xr.Dataset) -> xr.DataArray:
    """Tell under which vectors all starts end in a fixed point or a cycle."""
    return part["arrived"] == 1


def is_one_point(part: xr.Dataset) -> xr.DataArray:
    """Tell which vectors have one stable fixed point, in which all starts end."""
    still = part["kind"] == maps.KINDS.index("fixed point")
    return has_arrived(part) & still & (part["sets"] == 1)


def is_blank(part: xr.Dataset) -> xr.DataArray:
    """Tell which vectors draw less than ``latent.BLANK`` of their digit's ink at the end."""
    return part["ink"].sel(part="end") < latent.BLANK * part["ink"].sel(part="digit")


def left(part: xr.Dataset, after: int = latent.ROW) -> xr.DataArray:
    """Return the distance to the end after some steps, as a share of that between ends.

    Args:
        part: see above.
        after: one of ``latent.AFTER``.

    Returns:
        (network): median distance over the median distance between the ends of two vectors.
    """
    return part["left"].sel(after=after).median("vector") / part["apart"]


def wander(part: xr.Dataset) -> xr.DataArray:
    """Return how far late states are from the end, their own mean, as a share of that between ends.

    Where it is as large as what ``left`` gives, row 28 is as near to the end as any later row.
    """
    return part["wander"].median("vector") / part["apart"]


def by_start(part: xr.Dataset) -> xr.DataArray:
    """Return how far ends from other starts are from the own, as a share of that between ends."""
    return part["by_start"].median("vector") / part["apart"]


def time_constant(part: xr.Dataset) -> xr.DataArray:
    """Return the steps in which the slowest direction shrinks by e, where a vector has arrived.

    Returns:
        (network, vector): not a number elsewhere.
    """
    return -1 / xr.apply_ufunc(np.log, part["modulus"])


def better_told(part: xr.Dataset) -> xr.DataArray:
    """Return how much more often the digit is told from ends than from the vectors (network)."""
    told = part["accuracy"]
    return told.sel(told="end") - told.sel(told="vector")


def leaps(part: xr.Dataset, at: str = "end") -> xr.DataArray:
    """Return the largest step along each line over the median step (network, line).

    Args:
        part: see above.
        at: "end", or "row 28" for the state at that row.
    """
    steps = part["steps"].sel(at=at)
    return steps.max("walk") / steps.median("walk")


def later_ink(part: xr.Dataset) -> xr.DataArray:
    """Return the ink of all rows after the 28 as a share of the ink of these (network)."""
    ink = part["ink_in_time"]
    is_digit = ink["step"] <= latent.ROW
    return ink.where(~is_digit).mean("step") / ink.where(is_digit).mean("step")


def read(part: xr.Dataset) -> Reading:
    """Sum up where the decoders of a part end.

    Args:
        part: of two or more networks.
    """
    shares = [one(part).mean("vector") for one in (has_arrived, is_one_point, is_blank)]
    memory = part["memory"].isel(moment=-1).median("vector")
    arrived, fixed, blank = map(_span, shares)
    return Reading(
        part.sizes["network"],
        arrived,
        fixed,
        _span(memory),
        blank,
        left=_span(left(part)),
        wander=_span(wander(part)),
        by_start=_span(by_start(part)),
    )


def groups(data: xr.Dataset) -> dict[tuple[str, str], Reading]:
    """Sum up every state and source."""
    return {
        (state, source): read(part(data, state, source))
        for state in latent.STATES
        for source in latent.SOURCES
    }


def rows(found: dict[tuple[str, str], Reading]) -> list[list[str]]:
    """Write groups as the rows of a table: state, source, and ``HEAD``."""
    return [[*group, *_row(one)] for group, one in found.items()]


def accuracies(data: xr.Dataset, state: str) -> dict[str, statistics.Interval]:
    """Return how often the digit is told, from each of ``latent.TOLD``; chance is a tenth."""
    told = data["accuracy"].sel(state=state)
    return {name: _span(told.sel(told=name)) for name in latent.TOLD}


def answers(data: xr.Dataset) -> dict[str, Answer]:
    """Tell what became of each expectation, under the vectors of images.

    Returns:
        By the names of ``EXPECTED``. The first two hold if ``latent.ALL`` of all vectors do as was
        expected, the third and the last if more than half of the networks or lines do. The fourth
        is about the mean over networks, and its shares are differences of accuracies.
    """
    both = [_shares(part(data, state)) for state in latent.STATES]
    ours, control = both
    held = (
        ours[0].mean() >= latent.ALL,
        ours[1].mean() >= latent.ALL,
        ours[2].mean() > 0.5,
        ours[3].mean() <= 0,
        ours[4].mean() > 0.5,
    )
    each = zip(EXPECTED, held, ours, control, strict=True)
    return {name: Answer(bool(holds), *shares) for name, holds, *shares in each}


def _shares(part: xr.Dataset) -> list[Float[np.ndarray, " network"]]:
    """Return what each expectation speaks of, of each network."""
    every: list[xr.DataArray] = [
        is_one_point(part).mean("vector"),
        is_blank(part).mean("vector"),
        left(part) > latent.LEFT,
        better_told(part),
        (leaps(part) < latent.JUMP).mean("line"),
    ]
    return [share.to_numpy().astype(float) for share in every]


def _row(one: Reading) -> list[str]:
    spans = [one.arrived, one.fixed]
    return [
        str(one.networks),
        *(span.text() for span in spans),
        one.memory.text(".0f"),
        *(span.text() for span in (one.blank, one.left, one.wander, one.by_start)),
    ]


def _span(values: xr.DataArray) -> statistics.Interval:
    return statistics.median_and_range(values.to_numpy().astype(float))
