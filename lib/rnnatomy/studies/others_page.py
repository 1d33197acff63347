"""What the page on other networks reads from the studies ``others``, ``fifth`` and ``thousand``.

Each function takes the Dataset of such a study, or some of its networks.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.analysis import places, statistics, verdicts
from rnnatomy.studies import rates


class Portrait(NamedTuple):
    """What becomes of the findings in networks of one kind.

    Attributes:
        networks: how many.
        accuracy: on the test part, of each.
        place: direction that is worth most to the digit, most often; and in which fraction.
        first: digit that the first direction hits hardest, most often.
        law: whether it does; the control is the first direction of random bases.
        tested: whether the direction that is put to the test takes the digit.
        some: whether some direction takes it.
        any: whether some direction takes some digit.
        doubles: whether some digit has an understudy.
        numbers: of pairs of star and understudy, in a network, and in a random basis.
    """

    networks: int
    accuracy: Float[np.ndarray, " network"]
    place: tuple[int, float]
    first: int
    law: verdicts.Verdict
    tested: verdicts.Verdict
    some: verdicts.Verdict
    any: verdicts.Verdict
    doubles: verdicts.Verdict
    numbers: tuple[float, float]


def portrait(
    data: xr.Dataset, digit: int, direction: int, threshold: float, rule: str = "stated"
) -> Portrait:
    """Sum up networks of one kind.

    Args:
        data: of networks that were asked what the ``thousand`` were asked.
        digit: that a direction is said to carry.
        direction: which one.
        threshold: a digit is lost below it, one of ``questions.THRESHOLDS``.
        rule: name of one of ``understudies.RULES``.
    """
    suffers, pairs = rates.hardest(data), rates.doubles(data, rule)
    first = int(suffers.holds[:, 0].mean(axis=0).argmax())
    tested, some = rates.lost_at(data, threshold, direction), rates.lost(data, threshold)
    shares = place_shares(data, digit)
    mine, theirs = pairs.numbers
    return Portrait(
        networks=data.sizes["network"],
        accuracy=data["test_accuracy"].to_numpy(),
        place=(int(shares.argmax()) + 1, float(shares.max())),
        first=first,
        law=verdicts.judge_paired(suffers.holds[:, 0, first], suffers.control[:, 0, first]),
        tested=verdicts.judge_paired(tested.holds[:, digit], tested.control[:, digit]),
        some=verdicts.judge_paired(some.holds[:, digit], some.control[:, digit]),
        any=verdicts.judge_paired(*rates.lost_any(data, threshold)),
        doubles=verdicts.judge_paired(*pairs.any),
        numbers=(float(mine.mean()), float(theirs.mean())),
    )


def place_shares(data: xr.Dataset, digit: int) -> Float[np.ndarray, " direction"]:
    """Return in which fraction of networks each direction is worth most to a digit.

    Worth is the Shapley value of recall, and the directions are those that softmax sees.
    """
    worth = data["shapley"].to_numpy().astype(float)[:, :-1]
    carriers = places.carriers(worth)[:, digit]
    return np.bincount(carriers, minlength=worth.shape[1]) / len(carriers)


def spectrum(data: xr.Dataset) -> Float[np.ndarray, "network direction"]:
    """Return the singular values of each readout that softmax sees, as fractions of the first."""
    values = data["singular_values"].to_numpy()[:, :-1].astype(float)
    return values / values[:, :1]


def kinds(data: xr.Dataset, name: str) -> dict[str, xr.Dataset]:
    """Part the networks of a study by a coordinate, in the order in which its values come first.

    Args:
        data: of the study.
        name: of a coordinate along the networks, such as "model".
    """
    values = data[name].to_numpy()
    return {str(kind): data.isel(network=values == kind) for kind in dict.fromkeys(values)}


def conditions(data: xr.Dataset) -> dict[tuple[int, int], xr.Dataset]:
    """Part the networks of ``fifth`` by number of units and of epochs, in their order."""
    pairs = list(zip(data["hidden"].to_numpy(), data["epochs"].to_numpy(), strict=True))
    return {
        (int(units), int(epochs)): data.isel(network=[pair == (units, epochs) for pair in pairs])
        for units, epochs in dict.fromkeys(pairs)
    }


def beside(verdict: verdicts.Verdict) -> str:
    """Write a share and its control in per cent: "27 (14 to 44); 24"."""
    assert verdict.control is not None
    share = statistics.Interval(*(100 * value for value in verdict.share))
    return f"{share.text('.0f')}; {100 * verdict.control.value:.0f}"


def reading(found: Portrait) -> str:
    """Write the test accuracy in per cent, with its standard deviation: "98.82 (0.09)"."""
    per_cent = 100 * found.accuracy.astype(float)
    return f"{per_cent.mean():.2f} ({per_cent.std(ddof=1):.2f})"
