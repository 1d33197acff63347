"""What a page reads out of the study ``thousand``: how often things happen, and by chance beside.

A rate has one row per network: whether something holds in it, and in which share of its random
bases it holds. ``analysis.verdicts`` judges such a pair.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from rnnatomy.analysis import checks, cutoffs, places, understudies
from rnnatomy.studies import questions

LIMITS = dict(zip(("tenth", "fifth", "half"), questions.THRESHOLDS, strict=True))
"""The thresholds in words."""


class Rate(NamedTuple):
    """How often something holds, digit by digit.

    Attributes:
        holds: in each network.
        control: share of the network's random bases in which it holds (0..1).
    """

    holds: Bool[np.ndarray, "network ..."]
    control: Float[np.ndarray, "network ..."]


class Doubles(NamedTuple):
    """Pairs of directions that are star and understudy.

    Attributes:
        pairs: which, in the order of ``cutoffs.pair_numbers``.
        rate: whether a digit has such a pair.
        any: whether any digit has.
        numbers: of pairs in a network, and on average in a random basis of it.
    """

    pairs: Bool[np.ndarray, "network pair digit"]
    rate: Rate
    any: Rate
    numbers: tuple[Float[np.ndarray, " network"], Float[np.ndarray, " network"]]


class Values(NamedTuple):
    """How well a value of directions tells what happens when they are cut.

    Attributes:
        total: sum of the values of each digit over the directions, mean over networks.
        found: share of the digits lost to one direction whose most valuable direction is that one.
        of: so many digits were lost to one direction.
        order: mean rank correlation of values and single losses over directions.
    """

    total: Float[np.ndarray, " digit"]
    found: float
    of: int
    order: float


def lost(data: xr.Dataset, threshold: float) -> Rate:
    """Tell whether some direction takes a digit: without it the recall is below a threshold.

    Args:
        data: of the study ``thousand``, or of another that asks the same.
        threshold: one of ``questions.THRESHOLDS``.

    Returns:
        Digit by digit; only the directions that softmax sees are counted.
    """
    taken = _seen(data) < threshold
    bases = data["random_bases_lost"].sel(threshold=_threshold(threshold)).to_numpy()
    return Rate(np.asarray(taken.any(axis=1)), bases / questions.BASES)


def lost_any(data: xr.Dataset, threshold: float) -> Rate:
    """Tell whether some direction takes some digit, as ``lost``."""
    taken = _seen(data) < threshold
    bases = data["random_bases_any"].sel(threshold=_threshold(threshold)).to_numpy()
    return Rate(np.asarray(taken.any(axis=(1, 2))), bases / questions.BASES)


def lost_at(data: xr.Dataset, threshold: float, direction: int) -> Rate:
    """Tell whether the direction of a certain number takes a digit, as ``lost``.

    The control is the direction of the same place in a random basis that is ordered by size.
    """
    taken = data["single"].sel(direction=direction).to_numpy() < threshold
    last = min(direction, data.sizes["place"])
    at = data["random_lost"].sel(threshold=_threshold(threshold), place=last)
    return Rate(taken, at.to_numpy() / questions.BASES)


def hardest(data: xr.Dataset) -> Rate:
    """Tell which digit loses most without each direction.

    Returns:
        Axes (network, direction, digit), for the directions that softmax sees.
    """
    loss = data["full"].to_numpy().astype(float)[:, None] - _seen(data)
    struck = places.hardest_hit(loss)
    holds = struck[:, :, None] == np.arange(loss.shape[2])
    return Rate(holds, data["random_hardest"].to_numpy() / questions.BASES)


def doubles(data: xr.Dataset, rule: str) -> Doubles:
    """Find the pairs of directions that are star and understudy.

    Args:
        data: of the study ``thousand``, or of another that asks the same.
        rule: name of one of ``understudies.RULES``.
    """
    if rule not in understudies.RULES:
        raise ValueError(f"rule {rule!r} is unknown: choose from {', '.join(understudies.RULES)}.")
    full, pairs = (data[name].to_numpy().astype(float) for name in ("full", "pairs"))
    removed = cutoffs.Removed(full, _seen(data), pairs)
    found = understudies.find(removed, understudies.RULES[rule])
    bases = questions.BASES
    drawn = {
        name: data[f"random_{name}"].sel(rule=rule).to_numpy() / bases
        for name in ("understudies", "bases_with", "bases_with_any")
    }
    return Doubles(
        found,
        Rate(np.asarray(found.any(axis=1)), drawn["bases_with"]),
        Rate(np.asarray(found.any(axis=(1, 2))), drawn["bases_with_any"]),
        (found.sum(axis=(1, 2)).astype(float), drawn["understudies"].sum(axis=1)),
    )


def entries(data: xr.Dataset) -> Float[np.ndarray, "network digit direction"]:
    """Return the size of the left vectors' entries, |u_ck|, of the directions that softmax sees."""
    if "left" in data:
        left = data["left"].to_numpy().astype(float)
    else:
        left = np.linalg.svd(data["readout"].to_numpy().astype(float), full_matrices=False)[0]
    return np.abs(left[:, :, :-1])


def judge_values(data: xr.Dataset, name: str, threshold: float) -> Values:
    """Hold the values of directions against what single cutoffs do.

    Args:
        data: of the study ``thousand``.
        name: "shapley" or "shapley_margin".
        threshold: below which a digit is lost.
    """
    value = data[name].to_numpy().astype(float)[:, :-1]
    single = _seen(data)
    taken = np.argwhere(single < threshold)
    best = value.argmax(axis=1)
    found = [best[network, digit] == direction for network, direction, digit in taken]
    ranks = [np.argsort(np.argsort(array, axis=1), axis=1) for array in (value, -single)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    length = np.sqrt(np.prod([np.square(c).sum(axis=1) for c in centred], axis=0))
    order = (centred[0] * centred[1]).sum(axis=1) / length
    total = data[name].to_numpy().astype(float).sum(axis=1).mean(axis=0)
    return Values(total, float(np.mean(found)) if len(found) else 0.0, len(taken), order.mean())


def where(carriers: Int[np.ndarray, " network"]) -> str:
    """Say how often each place is taken, most often first: "6 in 39, 7 in 33"."""
    numbers, counts = np.unique(carriers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return ", ".join(f"{numbers[k]} in {counts[k]}" for k in order)


def _seen(data: xr.Dataset) -> Float[np.ndarray, "network direction digit"]:
    """Return the recalls without one direction, of those that softmax sees."""
    return data["single"].to_numpy().astype(float)[:, :-1]


def _threshold(value: float) -> float:
    if not checks.is_number(value) or value not in questions.THRESHOLDS:
        known = ", ".join(map(str, questions.THRESHOLDS))
        raise ValueError(f"threshold is {value}: choose from {known}.")
    return value
