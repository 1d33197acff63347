"""Recall of each class when directions of the readout are cut, and what a direction is worth."""

from collections.abc import Callable
from functools import partial
from math import factorial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rnnatomy.analysis import checks, svd


class Cutoffs(NamedTuple):
    """How well a readout does each class, or each output, under its cutoffs.

    Of classes it is the recall, a fraction (0..1); of outputs R², see ``explained``.

    Attributes:
        full: with nothing cut.
        nested: row r keeps the first r directions, from none to all.
        single: row k - 1 removes direction k alone.
    """

    full: Float[np.ndarray, " class"]
    nested: Float[np.ndarray, "rank class"]
    single: Float[np.ndarray, "mode class"]


def cutoffs(
    parts: svd.SVD,
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
) -> Cutoffs:
    """Measure the recall of each class under all nested and all single cutoffs.

    The bias is never cut: with no direction kept, every sample gets the class of the largest bias.

    Args:
        parts: decomposition of the readout W.
        bias: the readout's bias, finite numbers.
        states: final hidden states, finite numbers.
        labels: the classes, 0 to class - 1, each at least once.

    Raises:
        ValueError: if shapes do not fit, numbers are not finite, or a class has no sample.
    """
    parts, bias, states, labels = _check(parts, bias, states, labels)

    def measured(kept: svd.SVD) -> Float[np.ndarray, " class"]:
        with np.errstate(over="ignore", invalid="ignore"):
            logits = states @ svd.compose(kept).T + bias
        return recall(logits, labels)

    return under_cutoffs(parts, measured)


def under_cutoffs(
    parts: svd.SVD, measured: Callable[[svd.SVD], Float[np.ndarray, " class"]]
) -> Cutoffs:
    """Measure a readout under all nested and all single cutoffs.

    Args:
        parts: decomposition of the readout.
        measured: how well one does with some of its directions kept.
    """
    parts = svd.validate(parts)
    modes = len(parts.s)
    nested = np.stack([measured(svd.truncate(parts, rank)) for rank in range(modes + 1)])
    single = [measured(svd.without(parts, k)) for k in range(1, modes + 1)]
    return Cutoffs(measured(parts), nested, np.array(single).reshape(modes, nested.shape[1]))


class Removed(NamedTuple):
    """Recall of each class without one direction, and without two, as fractions (0..1).

    Attributes:
        full: with nothing cut.
        single: without one.
        pairs: without two, in the order of ``pair_numbers``.
    """

    full: Float[np.ndarray, "*basis class"]
    single: Float[np.ndarray, "*basis mode class"]
    pairs: Float[np.ndarray, "*basis pair class"]


MOST_MODES = 12
"""Most directions of which all subsets are taken: their number doubles with each."""


def every_cutoff(
    parts: svd.SVD,
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
    batch: int = 500,
) -> Float[np.ndarray, "subset class"]:
    """Measure the recall of each class under all cutoffs: every subset of the directions.

    The logits of a subset are a sum of one term per direction. The terms of the first half of the
    directions and those of the second half are summed over their own subsets once; each of all
    the subsets is then one sum of two.

    Args:
        parts: decomposition of the readout W, with at most 12 directions.
        bias: the readout's bias, finite numbers; never cut.
        states: final hidden states, finite numbers.
        labels: the classes, 0 to class - 1, each at least once.
        batch: samples at a time, at least 1.

    Returns:
        Fractions (0..1). Bit k - 1 of the row's number tells whether direction k is kept: row 0
        keeps none, the last row all.

    Raises:
        ValueError: as ``cutoffs``; or if there are more than 12 directions, the batch holds no
            sample, or logits are too large or too small for single precision.
    """
    parts, bias, states, labels = _check(parts, bias, states, labels)
    if not checks.is_whole(batch, 1):
        raise ValueError(f"batch is {batch}: give a whole number of samples, at least 1.")
    if len(parts.s) > MOST_MODES:
        raise ValueError(
            f"{len(parts.s)} directions have 2^{len(parts.s)} cutoffs, which is too many: give at "
            f"most {MOST_MODES}, or take the single and nested ones with cutoffs()."
        )
    counts = _class_counts(labels, len(bias))
    with np.errstate(over="ignore", invalid="ignore"):
        terms = (states @ parts.Vt.T)[:, :, None] * (parts.s * parts.U).T
    _check_precision(terms, bias)
    hits = _hits_of_subsets(
        jnp.asarray(terms, jnp.float32),
        jnp.asarray(bias, jnp.float32),
        jnp.asarray(labels, jnp.int32),
        int(batch),
    )
    return np.asarray(hits, np.float64) / counts


def single_and_nested(recalls: Float[np.ndarray, "subset class"]) -> Cutoffs:
    """Pick the single and the nested cutoffs out of all.

    Args:
        recalls: one row per subset, as from ``every_cutoff``.

    Raises:
        ValueError: if the number of rows is not a power of two, or a number is not finite.
    """
    recalls, modes, _ = _subsets(recalls)
    bits = 1 << np.arange(modes + 1)
    return Cutoffs(recalls[-1], recalls[bits - 1], recalls[len(recalls) - 1 - bits[:-1]])


def removed(recalls: Float[np.ndarray, "subset class"], modes: int | None = None) -> Removed:
    """Pick the cutoffs without one direction and without two out of all.

    Args:
        recalls: one row per subset, as from ``every_cutoff``.
        modes: only the first so many directions are removed; None: any of them.

    Raises:
        ValueError: as ``single_and_nested``; or if there are not so many directions.
    """
    recalls, known, _ = _subsets(recalls)
    if modes is not None and not checks.is_whole(modes, 1, known):
        raise ValueError(f"modes is {modes}: give a whole number, 1 to {known}.")
    last, bits = len(recalls) - 1, 1 << np.arange(modes or known)
    first, second = pair_numbers(len(bits))
    return Removed(recalls[last], recalls[last - bits], recalls[last - bits[first] - bits[second]])


def pair_numbers(modes: int) -> tuple[Int[np.ndarray, " pair"], Int[np.ndarray, " pair"]]:
    """Return the two directions of each pair, counted from 0: (0, 1), (0, 2) and so on.

    Args:
        modes: how many directions there are, at least 1.

    Raises:
        ValueError: if there is none.
    """
    if not checks.is_whole(modes, 1):
        raise ValueError(f"modes is {modes}: give a whole number of at least 1.")
    first, second = np.triu_indices(int(modes), 1)
    return first, second


def without_directions(
    bases: Float[np.ndarray, "basis class mode"],
    readout: Float[np.ndarray, "class hidden"],
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
) -> Removed:
    """Measure the recall of each class without one and without two directions of any bases.

    A direction q of the class space is removed by W <- W - q q' W; along a left singular vector
    this is the cutoff of a direction of the readout.

    Args:
        bases: orthonormal columns.
        readout: W, finite numbers.
        bias: b, finite numbers; never cut.
        states: final hidden states, finite numbers.
        labels: the classes, each at least once.

    Returns:
        One table for each basis; ``full`` for each, too.

    Raises:
        ValueError: if shapes do not fit, columns are not orthonormal, numbers are not finite, a
            class has no sample, or as ``every_cutoff`` where logits are too large.
    """
    readout = checks.numbers("readout", readout, "class hidden")
    classes, hidden = readout.shape
    bases = checks.numbers("bases", bases, f"basis {classes} mode")
    states = checks.numbers("states", states, f"sample {hidden}")
    bias = checks.numbers("bias", bias, f"{classes}")
    labels = checks.labels(labels, len(states), each="sample")
    counts = _class_counts(labels, classes)
    count = bases.shape[2]
    products = np.swapaxes(bases, 1, 2) @ bases
    if not np.allclose(products, np.eye(count), atol=1e-5):
        raise ValueError("the columns of a basis are not orthonormal: give an orthogonal matrix.")
    with np.errstate(over="ignore", invalid="ignore"):
        logits = states @ readout.T
    _check_precision(logits[:, None], bias)
    none = np.zeros((1, count), np.float32)
    one = np.eye(count, dtype=np.float32)
    first, second = pair_numbers(count)
    given = (logits, bias, bases, np.concatenate([none, one, one[first] + one[second]]))
    hits = _hits_without(
        *(jnp.asarray(x, jnp.float32) for x in given), jnp.asarray(labels, jnp.int32)
    )
    recalls = np.asarray(hits, np.float64) / counts
    return Removed(recalls[:, 0], recalls[:, 1 : 1 + count], recalls[:, 1 + count :])


def every_margin(
    parts: svd.SVD,
    bias: Float[np.ndarray, " class"],
    states: Float[np.ndarray, "sample hidden"],
    labels: Int[np.ndarray, " sample"],
) -> Float[np.ndarray, "subset class"]:
    """Measure how clearly each class is read under all cutoffs, on average over its samples.

    The margin of a sample is the logit of its class less the largest of the others: the logarithm
    of the odds between the two. Recall counts a sample or does not; the margin says by how much.

    Args:
        parts: decomposition of the readout W, with at most 12 directions.
        bias: the readout's bias, finite numbers; never cut.
        states: final hidden states, finite numbers.
        labels: the classes, 0 to class - 1, each at least once.

    Returns:
        In nats, below 0 where a class is mostly not read; rows in the order of ``every_cutoff``.

    Raises:
        ValueError: as ``every_cutoff``; or if there is one class only.
    """
    parts, bias, states, labels = _check(parts, bias, states, labels)
    if len(parts.s) > MOST_MODES or len(bias) < 2:
        raise ValueError(
            f"{len(parts.s)} directions and {len(bias)} classes are given: give at most "
            f"{MOST_MODES} directions, and at least two classes."
        )
    counts = _class_counts(labels, len(bias))
    with np.errstate(over="ignore", invalid="ignore"):
        coordinates = states @ parts.Vt.T * parts.s
    _check_precision(coordinates[:, :, None] * parts.U.T, bias)
    given = (jnp.asarray(x, jnp.float32) for x in (coordinates, parts.U, bias))
    sums = _margins_of_subsets(*given, jnp.asarray(labels, jnp.int32))
    return np.asarray(sums, np.float64) / counts


def shapley(
    recalls: Float[np.ndarray, "subset class"],
) -> Float[np.ndarray, "mode class"]:
    """Share out the recall of each class among the directions: exact Shapley values.

    The value of direction k is what it adds to a set S of others, averaged over all orders in
    which the directions can be added:

        phi_k = sum over S without k of |S|! (m - |S| - 1)! / m! (v(S + k) - v(S))

    Args:
        recalls: one row per subset, as from ``every_cutoff``.

    Returns:
        Fractions of recall; for each class they sum to the recall with all directions minus that
        with none.

    Raises:
        ValueError: if the number of rows is not a power of two, or a number is not finite.

    Reference:
        Shapley (1953).
    """
    recalls, modes, sizes = _subsets(recalls)
    weight = np.array([factorial(n) * factorial(modes - n - 1) for n in range(modes)])
    values = np.zeros((modes, recalls.shape[1]))
    for k in range(modes):
        without_k = np.flatnonzero(~np.arange(len(recalls)) >> k & 1)
        gain = recalls[without_k | 1 << k] - recalls[without_k]
        values[k] = weight[sizes[without_k]] / factorial(modes) @ gain
    return values


def interactions(
    recalls: Float[np.ndarray, "subset class"],
) -> Float[np.ndarray, "mode mode class"]:
    """Measure how much two directions are worth together beyond what each is worth alone.

    The Shapley interaction index: the average over sets S of the others of
    v(S + k + l) - v(S + k) - v(S + l) + v(S). Negative: one makes up for the other.

    Args:
        recalls: one row per subset, as from ``every_cutoff``, of at least two directions.

    Returns:
        Symmetric in the directions, zero for a direction with itself.

    Raises:
        ValueError: if the number of rows is not a power of two, or a number is not finite.

    Reference:
        Grabisch and Roubens (1999).
    """
    recalls, modes, sizes = _subsets(recalls)
    weight = np.array([factorial(n) * factorial(modes - n - 2) for n in range(modes - 1)])
    table = np.zeros((modes, modes, recalls.shape[1]))
    rows = np.arange(len(recalls))
    for k in range(modes):
        for other in range(k):
            S = rows[(rows >> k & 1 | rows >> other & 1) == 0]
            K, L = 1 << k, 1 << other
            joint = recalls[S | K | L] - recalls[S | K] - recalls[S | L] + recalls[S]
            table[k, other] = weight[sizes[S]] / factorial(modes - 1) @ joint
            table[other, k] = table[k, other]
    return table


def recall(
    logits: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " class"]:
    """Return, for each class, the fraction of its samples that are read as it.

    Args:
        logits: of the readout, finite numbers; the largest of a row is the class that is read.
        labels: the classes, 0 to class - 1, each at least once.

    Returns:
        Fractions (0..1).

    Raises:
        ValueError: if a class has no sample, or as ``confusion``.
    """
    table = confusion(logits, labels)
    return np.diag(table) / _class_counts(labels, len(table))


def confusion(
    logits: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Int[np.ndarray, "class class"]:
    """Count how often a sample of one class (row) is read as another (column).

    Args:
        logits: of the readout, finite numbers; the largest of a row is the class that is read.
        labels: the classes, 0 to class - 1.

    Returns:
        Numbers of samples; a row sums to the samples of its class.

    Raises:
        ValueError: if a label is out of range, lengths differ, or logits are not finite.
    """
    logits = checks.numbers("logits", logits, "sample class")
    samples, classes = logits.shape
    labels = _check_labels(checks.labels(labels, samples, each="sample"), classes)
    pairs = labels.astype(np.int64) * classes + logits.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _check(
    parts: svd.SVD, bias: np.ndarray, states: np.ndarray, labels: np.ndarray
) -> tuple[svd.SVD, np.ndarray, np.ndarray, np.ndarray]:
    """Return a readout, states and labels as arrays, if they fit each other."""
    parts = svd.validate(parts)
    classes, hidden = len(parts.U), parts.Vt.shape[1]
    states = checks.numbers("states", states, f"sample {hidden}")
    bias = checks.numbers("bias", bias, f"{classes}")
    labels = checks.labels(labels, len(states), each="sample")
    return parts, bias, states, labels


def _check_precision(terms: Float[np.ndarray, "sample mode class"], bias: np.ndarray) -> None:
    """Refuse terms of logits whose sums leave the range of single precision."""
    sizes = [np.abs(terms).max(initial=0), np.abs(bias).max()]
    # a score is the difference of two logits, each a sum of one term per mode and the bias
    largest = 2 * (terms.shape[1] * sizes[0] + sizes[1])
    if not largest < np.finfo(np.float32).max or 0 < max(sizes) < 1e-20:
        raise ValueError(
            f"logits go to {largest:.1g}, too far for single precision (1e-20 to 1e38): scale "
            "readout and bias by one factor."
        )


def _check_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    outside = labels[(labels < 0) | (labels >= classes)]
    if outside.size:
        raise ValueError(f"label {outside[0]} is out of range: give 0 to {classes - 1}.")
    return labels


def _class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(_check_labels(checks.labels(labels), classes), minlength=classes)
    if not counts.all():
        raise ValueError(f"class {counts.argmin()} has no sample: recall is not defined for it.")
    return counts


def _subsets(recalls: np.ndarray) -> tuple[np.ndarray, int, np.ndarray]:
    """Return the recalls as an array, the number of directions, and the size of each subset."""
    recalls = checks.numbers("recalls", recalls, "subset class")
    modes = len(recalls).bit_length() - 1
    if len(recalls) != 1 << modes:
        raise ValueError(f"{len(recalls)} rows are given: give one for each subset, 2^m of them.")
    return recalls, modes, np.bitwise_count(np.arange(len(recalls)))


@partial(jax.jit, static_argnames="batch")
def _hits_of_subsets(
    terms: Float[Array, "sample mode class"],
    bias: Float[Array, " class"],
    labels: Int[Array, " sample"],
    batch: int,
) -> Float[Array, "subset class"]:
    """Count the samples of each class that are read as it, under every subset of the terms.

    Scores are taken relative to the logit of the true class. A sample is a hit if no score is
    above zero; a tie goes to the class with the lower number.
    """
    classes, modes = len(bias), terms.shape[1]
    number = jnp.arange(classes)[:, None]

    def sums(terms: Array) -> Array:
        masks = jnp.arange(1 << len(terms))[:, None] >> jnp.arange(len(terms))[None] & 1
        return jnp.tensordot(masks.astype(terms.dtype), terms, 1)

    def count(hits: Array, chunk: tuple[Array, Array, Array]) -> tuple[Array, None]:
        terms, labels, inside = chunk
        true = jnp.take_along_axis(terms, labels[:, None, None], axis=2)
        scores = jnp.moveaxis(terms - true, 0, 2)
        offset = bias[:, None] - bias[labels][None]
        bound = jnp.where(number >= labels[None], 0.0, -1e-30)[None]
        first = sums(scores[: modes // 2]) + offset[None]
        tally = ((number == labels[None]) & inside[None]).astype(terms.dtype).T

        def row(rest: Array) -> Array:
            return jnp.all(first + rest[None] <= bound, axis=1).astype(terms.dtype) @ tally

        return hits + jax.lax.map(row, sums(scores[modes // 2 :])).reshape(hits.shape), None

    samples = len(labels)
    batch = min(batch, samples)
    padding = -samples % batch
    inside = jnp.arange(samples + padding) < samples

    def split(leaf: Array) -> Array:
        padded = jnp.pad(leaf, [(0, padding)] + [(0, 0)] * (leaf.ndim - 1))
        return padded.reshape(-1, batch, *leaf.shape[1:])

    start = jnp.zeros((1 << modes, classes), terms.dtype)
    chunks = (split(terms), split(labels), inside.reshape(-1, batch))
    return jax.lax.scan(count, start, chunks)[0]


@jax.jit
def _hits_without(
    logits: Float[Array, "sample class"],
    bias: Float[Array, " class"],
    bases: Float[Array, "basis class mode"],
    removed: Float[Array, "cut mode"],
    labels: Int[Array, " sample"],
) -> Float[Array, "basis cut class"]:
    """Count the samples of each class that are read as it, with directions of bases removed."""
    classes = len(bias)
    number = jnp.arange(classes)[:, None]
    bound = jnp.where(number >= labels[None], 0.0, -1e-30)
    member = jax.nn.one_hot(labels, classes, dtype=logits.dtype)

    def of_basis(basis: Array) -> Array:
        along = logits @ basis

        def of_cut(gone: Array) -> Array:
            left = (logits - (along * gone[None]) @ basis.T + bias[None]).T
            score = left - jnp.take_along_axis(left, labels[None], axis=0)
            return jnp.all(score <= bound, axis=0).astype(logits.dtype) @ member

        return jax.lax.map(of_cut, removed)

    return jax.lax.map(of_basis, bases)


@jax.jit
def _margins_of_subsets(
    coordinates: Float[Array, "sample mode"],
    left: Float[Array, "class mode"],
    bias: Float[Array, " class"],
    labels: Int[Array, " sample"],
) -> Float[Array, "subset class"]:
    """Sum the margins of each class under every subset."""
    classes, modes = left.shape
    member = jax.nn.one_hot(labels, classes, dtype=coordinates.dtype)
    own = member.T > 0

    def of_subset(number: Array) -> Array:
        kept = (number >> jnp.arange(modes) & 1).astype(coordinates.dtype)
        logits = (left * kept[None]) @ coordinates.T + bias[:, None]
        true = jnp.take_along_axis(logits, labels[None], axis=0)[0]
        return (true - jnp.where(own, -jnp.inf, logits).max(axis=0)) @ member

    return jax.lax.map(of_subset, jnp.arange(1 << modes))
