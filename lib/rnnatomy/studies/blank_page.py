"""What the page on blank rows reads from the published study of ``blank``.

A *part* is a Dataset of networks of one size and state. What is said of networks in training is of
those whose losses stayed finite. Rules and expectations: see ``blank``.
"""

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy import stats

from rnnatomy.analysis import correlation, maps, statistics
from rnnatomy.studies import blank

LOST = 28
"""Blank rows within which half of the answers are expected to be lost."""

SUMMARIES = ("largest", "sum", "above", "distance")
"""Summaries of the leading exponents: the largest; their sum; how many are above ``blank.ABOVE``;
and their mean distance from 0."""

RIVALS = ("accuracy", "learning rate", "gain")
"""What is known without exponents; the accuracy is that on validation images after one epoch."""

SETS = {
    "nothing": (),
    "learning rate and gain": ("learning rate", "gain"),
    "accuracy": ("accuracy",),
    "accuracy, learning rate and gain": RIVALS,
    "exponents": SUMMARIES,
    "accuracy and exponents": ("accuracy", *SUMMARIES),
}
"""What the final accuracy is predicted from, by name."""

DEALT, DEALS = "accuracy and others' exponents", 20
"""What exponents are held against: those of other networks, dealt so often."""

PENALTY, NEIGHBOURS = 1.0, 5
"""Of the ridge regression on features of variance 1 and their squares; and how many of the nearest
networks' mean is the other prediction."""

LARGE, GAIN = 0.5, 0.1
"""A rank correlation of this size, and a fall of the error by this share, are a good deal."""


class Lasting(NamedTuple):
    """How long the answers of a part last.

    Attributes:
        networks: how many.
        kept: fraction of answers that are the same after ``LOST`` blank rows; median and range.
        constant: the same for an answer that is always the one given most often then.
        half: fraction of networks in which at most half are the same then.
        rows: blank rows after which at most half are, of those at which it was asked; median and
            range. Where more than half are to the end, twice the last number stands.
        answers: different answers after the last of them; median and range.
    """

    networks: int
    kept: statistics.Interval
    constant: statistics.Interval
    half: statistics.Interval
    rows: statistics.Interval
    answers: statistics.Interval


class Ends(NamedTuple):
    """Where the states of a part end.

    Attributes:
        networks: how many.
        sets: limit sets; median and range.
        point: fraction of networks with one limit set, a fixed point, and no other point found.
        circle: fraction with a set that is no fixed point.
        answer: fraction in which one answer alone is given in the end.
        points: fixed points that are found; median and range.
        unstable: fraction of networks with a fixed point of which some direction grows.
    """

    networks: int
    sets: statistics.Interval
    point: statistics.Interval
    circle: statistics.Interval
    answer: statistics.Interval
    points: statistics.Interval
    unstable: statistics.Interval


class Slow(NamedTuple):
    """How much of the slow directions of a part its readouts see, in units of a random direction's.

    Attributes:
        networks: how many.
        none: those without slow directions, which count in ``above`` alone.
        number: of slow directions at a point, median of means and range.
        ratio: of slow directions, median and range; None if fewer than two networks have some.
        above: fraction of networks in which it is above 2.
        slowest: of the nine slowest directions, median and range.
        rest: of all that are not slow, median and range.
    """

    networks: int
    none: int
    number: statistics.Interval
    ratio: statistics.Interval | None
    above: statistics.Interval
    slowest: statistics.Interval
    rest: statistics.Interval


class Correlation(NamedTuple):
    """How what is known after one epoch goes along with the final accuracy.

    Attributes:
        plain: rank correlation.
        given: partial rank correlation, the accuracy after one epoch held fixed; None of this
            accuracy itself.
    """

    plain: statistics.Interval
    given: statistics.Interval | None


class Prediction(NamedTuple):
    """How the final accuracy of networks left out is predicted by the better of two methods.

    Attributes:
        errors: of the logarithm of the ratio of images read rightly to those that are not.
        size: mean size of these.
        along: rank correlation of predictions with what came; not a number from nothing.
    """

    errors: Float[np.ndarray, " trial"]
    size: statistics.Interval
    along: float


def part(data: xr.Dataset, hidden: int, state: str) -> xr.Dataset:
    """Return the networks of one size that are "trained" or "untrained"."""
    chosen = (data["hidden"] == hidden) & (data["state"] == state)
    names = [name for name, axes in blank.AXES.items() if axes[0] == "network"]
    return data[names].isel(network=np.flatnonzero(chosen))


def lasting(some: xr.Dataset) -> Lasting:
    """Tell how long answers of a part last, of two or more networks."""
    kept = some["kept"].transpose("network", "step").to_numpy()
    now, steps = some.sel(step=LOST), some["step"].to_numpy()
    lost = kept <= 0.5
    rows = np.where(lost.any(axis=1), steps[lost.argmax(axis=1)], np.inf)
    return Lasting(
        len(kept),
        _span(now["kept"]),
        _span(now["constant"]),
        _share(now["kept"] <= 0.5),
        _span(np.minimum(rows, 2 * steps[-1])),
        _span(some["answers"].isel(step=-1)),
    )


def ends(some: xr.Dataset) -> Ends:
    """Tell where states of a part end, of two or more networks."""
    there = some["kind"].notnull()
    fixed = some["kind"] == maps.KINDS.index("fixed point")
    return Ends(
        some.sizes["network"],
        _span(some["sets"]),
        _share(single_point(some)),
        _share((there & ~fixed).any("set")),
        _share(one_answer(some)),
        _span(some["points"]),
        _share((some["point_unstable"] > 0).any("point")),
    )


def single_point(some: xr.Dataset) -> xr.DataArray:
    """Tell which networks have one fixed point, in which all states end."""
    fixed = (some["kind"] == maps.KINDS.index("fixed point")).any("set")
    return (some["sets"] == 1) & fixed & (some["points"] == 1)


def one_answer(some: xr.Dataset) -> xr.DataArray:
    """Tell in which networks one answer alone is given on all limit sets."""
    steady = (some["set_steady"].fillna(1) == 1).all("set")
    return steady & (some["set_answer"].max("set") == some["set_answer"].min("set"))


def slow(some: xr.Dataset) -> Slow:
    """Tell how much of the slow directions of a part its readouts see."""
    random = 9 / int(np.unique(some["hidden"])[0])
    ratios = (some["slow_share"] / random).to_numpy()
    known = ratios[np.isfinite(ratios)]
    return Slow(
        len(ratios),
        len(ratios) - len(known),
        _span(some["slow_number"].fillna(0)),
        statistics.median_and_range(known) if len(known) > 1 else None,
        statistics.proportion(int((known > 2).sum()), len(ratios)),
        _span(some["slowest_share"] / random),
        _span(some["rest_share"] / random),
    )


def followed(data: xr.Dataset) -> xr.Dataset:
    """Return the networks that are followed in training, but those whose loss was not finite."""
    names = [name for name, axes in blank.AXES.items() if axes[0] == "trial"]
    return data[names].isel(trial=np.flatnonzero(data["last_accuracy"].notnull()))


def summaries(data: xr.Dataset, when: str = "first") -> dict[str, Float[np.ndarray, " trial"]]:
    """Sum up the exponents after the "first" epoch or the "last", by the names of ``SUMMARIES``."""
    some = followed(data)
    each = some[f"{when}_exponents"].transpose("trial", "exponent").to_numpy().astype(float)
    above = some[f"{when}_above"].to_numpy().astype(float)
    found = each.max(axis=1), each.sum(axis=1), above, np.abs(each).mean(axis=1)
    return dict(zip(SUMMARIES, found, strict=True))


def rivals(data: xr.Dataset) -> dict[str, Float[np.ndarray, " trial"]]:
    """Return what is known of networks without exponents, by the names of ``RIVALS``."""
    some = followed(data)
    found = _odds(some["first_validation"]), np.log(some["learning_rate"]), np.log(some["gain"])
    return dict(zip(RIVALS, map(np.asarray, found), strict=True))


def final(data: xr.Dataset) -> Float[np.ndarray, " trial"]:
    """Return the logarithm of the ratio of test images read rightly in the end to those not."""
    return _odds(followed(data)["last_accuracy"])


def correlations(data: xr.Dataset, rng: np.random.Generator) -> dict[str, Correlation]:
    """Correlate all that is known after one epoch with the final accuracy.

    Args:
        data: the study.
        rng: source of the resamples of networks.

    Returns:
        By the names of ``RIVALS`` and ``SUMMARIES``.
    """
    last, known = final(data), rivals(data)
    fixed, found = known["accuracy"], {}
    for name, values in (known | summaries(data)).items():
        plain = correlation.across(values, last, rng)
        rest = None if name == "accuracy" else partial(values, last, fixed, rng)
        found[name] = Correlation(plain, rest)
    return found


def partial(
    first: Float[np.ndarray, " trial"],
    second: Float[np.ndarray, " trial"],
    given: Float[np.ndarray, " trial"],
    rng: np.random.Generator,
) -> statistics.Interval:
    """Correlate ranks of two numbers of each network with a third held fixed.

    Of the rank correlations r of each two: (r_12 - r_13 r_23) / sqrt((1 - r_13^2) (1 - r_23^2)).

    Returns:
        With a 95% percentile bootstrap interval.
    """
    every = np.stack([first, second, given])
    drawn = rng.integers(every.shape[1], size=(correlation.RESAMPLES, every.shape[1]))
    low, high = np.nanquantile([_partial(every[:, rows]) for rows in drawn], [0.025, 0.975])
    return statistics.Interval(_partial(every), float(low), float(high))


def by_chance(data: xr.Dataset, rng: np.random.Generator) -> float:
    """Return what the largest correlation of ``SUMMARIES`` is below in 95 of 100 deals.

    In each deal networks get the final accuracies of others.
    """
    last, every = final(data), list(summaries(data).values())
    one = np.zeros(len(last), int)
    largest = []
    for _ in range(correlation.RESAMPLES):
        dealt = correlation.permuted(last, one, rng)
        both = np.corrcoef(stats.rankdata([*every, dealt], axis=1))
        largest.append(np.abs(both[-1, :-1]).max())
    return float(np.quantile(largest, 0.95))


def predictions(data: xr.Dataset, rng: np.random.Generator) -> dict[str, Prediction]:
    """Predict the final accuracy of each network from all others, by the better of two methods.

    Args:
        data: the study.
        rng: source of deals and of the resamples of networks.

    Returns:
        By the names of ``SETS``, and ``DEALT``, whose errors are sizes, means over the deals.
    """
    last, known = final(data), rivals(data) | summaries(data)
    found = {
        name: _prediction(_better(_columns(known, names, len(last)), last), last, rng)
        for name, names in SETS.items()
    }
    own = _columns(known, SUMMARIES, len(last))
    sizes, fixed = [], known["accuracy"][:, None]
    for _ in range(DEALS):
        dealt = np.hstack([fixed, own[rng.permutation(len(last))]])
        sizes.append(np.abs(_better(dealt, last) - last))
    mean = np.mean(sizes, axis=0)
    return found | {DEALT: Prediction(mean, statistics.interval(mean, rng), np.nan)}


def fall(without: Prediction, with_: Prediction, rng: np.random.Generator) -> statistics.Interval:
    """Return the share of the mean error that falls away, with a bootstrap interval.

    Args:
        without: what is held against.
        with_: what should be better, of the same networks.
        rng: source of the resamples of networks.
    """
    pairs = np.abs([without.errors, with_.errors])
    count = pairs.shape[1]
    drawn = rng.integers(count, size=(correlation.RESAMPLES, count))
    means = pairs[:, drawn].mean(axis=2)
    low, high = np.quantile(1 - means[1] / means[0], [0.025, 0.975])
    value = 1 - pairs[1].mean() / pairs[0].mean()
    return statistics.Interval(float(value), float(low), float(high))


def expected(data: xr.Dataset, rng: np.random.Generator) -> dict[int, bool]:
    """Tell which of the expectations of ``blank`` came true, by their numbers.

    *Most* trained networks are more than half of each size.
    """
    sizes = [part(data, hidden, "trained") for hidden in np.unique(data["hidden"]).tolist()]
    found = correlations(data, rng)
    told = max(abs(found[name].plain.value) for name in SUMMARIES)
    foretold = predictions(data, rng)
    less = fall(foretold["accuracy"], foretold["accuracy and exponents"], rng).value
    return {
        1: all(float(single_point(one).mean()) > 0.5 for one in sizes),
        2: all(lasting(one).half.value > 0.5 for one in sizes),
        3: all(slow(one).above.value > 0.5 for one in sizes),
        4: told > LARGE,
        5: abs(found["accuracy"].plain.value) > told,
        6: less < GAIN,
    }


def _share(holds: xr.DataArray) -> statistics.Interval:
    return statistics.proportion(int(holds.sum()), holds.size)


def _span(values: Any) -> statistics.Interval:
    return statistics.median_and_range(np.asarray(values, float))


def _odds(fraction: Any) -> Float[np.ndarray, " trial"]:
    share = np.clip(np.asarray(fraction, float), 1e-4, 1 - 1e-4)
    return np.log(share / (1 - share))


def _partial(every: Float[np.ndarray, "3 trial"]) -> float:
    r = np.corrcoef(stats.rankdata(every, axis=1))
    left = (1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2)
    return float((r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt(left)) if left > 1e-12 else np.nan


def _columns(
    known: dict[str, Float[np.ndarray, " trial"]], names: tuple[str, ...], count: int
) -> Float[np.ndarray, "trial column"]:
    return np.array([known[name] for name in names]).reshape(-1, count).T


def _prediction(
    foretold: Float[np.ndarray, " trial"],
    last: Float[np.ndarray, " trial"],
    rng: np.random.Generator,
) -> Prediction:
    errors = foretold - last
    # what is foretold from nothing is the mean of the others, which falls as the own number rises
    told = not np.allclose(foretold, (last.sum() - last) / (len(last) - 1))
    along = float(stats.spearmanr(foretold, last).statistic) if told else np.nan
    return Prediction(errors, statistics.interval(np.abs(errors), rng), along)


def _better(
    columns: Float[np.ndarray, "trial column"], last: Float[np.ndarray, " trial"]
) -> Float[np.ndarray, " trial"]:
    """Predict each network from the others in two ways, and return what errs less in all."""
    spread = columns.std(axis=0)
    scaled = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)
    ways = [_ridge(scaled, last)] + ([_nearest(scaled, last)] if columns.size else [])
    return min(ways, key=lambda foretold: float(np.abs(foretold - last).mean()))


def _ridge(
    scaled: Float[np.ndarray, "trial column"], last: Float[np.ndarray, " trial"]
) -> Float[np.ndarray, " trial"]:
    """Predict each by a ridge regression on the others: their residuals follow from one fit."""
    A = np.hstack([np.ones((len(last), 1)), scaled, scaled**2 - 1])
    penalties = PENALTY * np.diag(np.arange(A.shape[1]) > 0)
    hat = A @ np.linalg.solve(A.T @ A + penalties, A.T)
    return last - (last - hat @ last) / (1 - np.diag(hat))


def _nearest(
    scaled: Float[np.ndarray, "trial column"], last: Float[np.ndarray, " trial"]
) -> Float[np.ndarray, " trial"]:
    """Predict each by the mean of its nearest neighbours."""
    away = np.linalg.norm(scaled[:, None] - scaled, axis=2)
    np.fill_diagonal(away, np.inf)
    return last[np.argsort(away, axis=1, kind="stable")[:, :NEIGHBOURS]].mean(axis=1)
