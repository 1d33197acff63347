"""What each direction of a readout is worth to each class, where there are too many to take all."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks, cutoffs, svd

BLOCK = 1 << 16
"""Logits that are built up at a time: few enough to stay near the processor."""


class Sampled(NamedTuple):
    """Shapley values from orders drawn at random, as fractions of recall.

    Attributes:
        values: what each direction adds; over the directions they sum to the recall with all of
            them minus that with none, whatever orders were drawn.
        errors: standard errors of the values, over pairs of orders; 0 where all pairs agree. They
            are estimates, too: with few pairs, too small for what a direction adds in few orders.
    """

    values: Float[np.ndarray, "mode class"]
    errors: Float[np.ndarray, "mode class"]


def shapley(
    rng: np.random.Generator,
    parts: svd.SVD,
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
    orders: int = 50,
) -> Sampled:
    """Estimate what each direction is worth to each class, for any number of directions.

    In one order, a direction is worth the recall that it adds to those before it. Its Shapley
    value is the mean over all orders; here over some, drawn at random. They come in pairs, an
    order and its reverse: a direction that comes early in one comes late in the other, so that
    the mean of the two varies less. Pairs are independent, and the errors are taken over them:

        phi_k = mean of g_k,  error = sqrt(variance of g_k / pairs)

    with g_k what direction k adds, on average over the two orders of a pair. The bias is never
    cut. Logits are in double precision; a tie goes to the class with the lower number.

    Args:
        rng: source of the orders.
        parts: decomposition of the readout W.
        bias: the readout's bias, finite numbers.
        states: final hidden states, finite numbers.
        labels: the classes, 0 to class - 1, each at least once.
        orders: how many, an even number of at least 4; errors fall with its root.

    Raises:
        ValueError: if shapes do not fit, numbers are not finite or logits too large, a class has
            no sample, or the number of orders is odd or below 4.

    Reference:
        Castro, Gómez and Tejada (2009) for orders at random; Mitchell, Cooper, Frank and Holmes
        (2022) for pairs.
    """
    parts = svd.SVD(*(part.astype(np.float64, copy=False) for part in svd.validate(parts)))
    classes, hidden = len(parts.U), parts.Vt.shape[1]
    states = checks.numbers("states", states, f"sample {hidden}")
    bias = checks.numbers("bias", bias, f"{classes}").astype(np.float64, copy=False)
    labels = checks.labels(labels, len(states), each="sample")
    if not checks.is_whole(orders, 4) or orders % 2:
        raise ValueError(f"orders is {orders}: give an even number, at least 4.")
    coordinates = _coordinates(parts, bias, states)
    full = cutoffs.recall(states @ svd.compose(parts).T + bias, labels)
    counts, by_class = np.bincount(labels), np.argsort(labels, stable=True)
    ends = np.stack([np.where(np.arange(classes) == bias.argmax(), counts, 0), full * counts])
    left, ends = parts.U.T.copy(), ends.round().astype(int)
    given = ends, coordinates[:, by_class], left, bias, labels[by_class]
    total, squares = np.zeros((2, len(coordinates), classes), int)
    for _ in range(int(orders) // 2):
        order = rng.permutation(len(coordinates))
        gains = _gains(order, *given) + _gains(order[::-1], *given)
        total += gains
        squares += gains**2
    return _mean_and_error(total, squares, int(orders) // 2, 2 * counts)


def _coordinates(
    parts: svd.SVD, bias: np.ndarray, states: np.ndarray
) -> Float[np.ndarray, "mode sample"]:
    """Return what each direction reads, if no sum of some of their terms is infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        coordinates = parts.s[:, None] * (parts.Vt @ states.T)
        checks.finite("logits", np.abs(parts.U) @ np.abs(coordinates) + np.abs(bias)[:, None])
    return coordinates


def _gains(
    order: Int[np.ndarray, " mode"],
    ends: Int[np.ndarray, "2 class"],
    coordinates: Float[np.ndarray, "mode sample"],
    left: Float[np.ndarray, "mode class"],
    bias: Float[np.ndarray, " class"],
    labels: Int[np.ndarray, " sample"],
) -> Int[np.ndarray, "mode class"]:
    """Count the samples of each class, sorted by it, that each direction adds in one order.

    The ends, none and all, are given: how the last sum is rounded would depend on the order.
    """
    read = np.empty(coordinates.shape, bool)
    rows = max(1, BLOCK // len(bias))
    for start in range(0, len(labels), rows):
        block = slice(start, start + rows)
        logits = np.tile(bias, (len(labels[block]), 1))
        term = np.empty_like(logits)
        for step, k in enumerate(order):
            logits += np.multiply(coordinates[k, block, None], left[k], out=term)
            read[step, block] = logits.argmax(axis=1) == labels[block]
    firsts = np.searchsorted(labels, np.arange(len(bias)))
    hits = np.add.reduceat(read, firsts, axis=1, dtype=np.int64)
    gains = np.diff(np.vstack([ends[:1], hits[:-1], ends[1:]]), axis=0)
    return gains[np.argsort(order)]


def _mean_and_error(
    total: Int[np.ndarray, "mode class"],
    squares: Int[np.ndarray, "mode class"],
    pairs: int,
    counts: Int[np.ndarray, " class"],
) -> Sampled:
    """Turn sums over pairs of orders, of what they gain and of its squares, into fractions."""
    # whole numbers up to here, so that nothing is left where all pairs agree
    spread = (pairs * squares - total**2) / (pairs - 1)
    return Sampled(total / (pairs * counts), np.sqrt(spread) / (pairs * counts))
