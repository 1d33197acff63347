"""The proof before any page: the owner's own outputs must come out of the network that was read.

Every way to take what the file leaves open is tried. If none gives the owner's outputs, the usual
mistakes are tried too, so that the refusal can say what would.
"""

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from rnnatomy.networks import models
from rnnatomy.networks.foreign import found, ways
from rnnatomy.networks.foreign.raw import ForeignError

SINGLE, HALF = 1e-5, 1e-3
"""How far outputs may differ, as a fraction of the largest, or of 1 if it is smaller: with weights
of single precision, and of half."""

UNSTEADY = 0.01
"""Share of sequences that may differ by more, if rounding alone moves their outputs as far."""

ROUNDINGS, MARGIN = 8, 10.0
"""Times that the last digits of inputs are rounded otherwise; and how many times as far as outputs
then move the owner's may be, whose framework rounds at every step."""

SCREENED = 16
"""Sequences on which all ways are tried; the one taken is proved on all that the owner gives."""


class Examples(NamedTuple):
    """Sequences and what the owner's network makes of them.

    Attributes:
        inputs: sequences, those shorter than the longest with anything after their end.
        lengths: frames of each.
        outputs: of the first of them: (sample, class), or (sample, time, class).
    """

    inputs: Float[np.ndarray, "sample time feature"]
    lengths: Int[np.ndarray, " sample"]
    outputs: Float[np.ndarray, "shown ..."]


class Proof(NamedTuple):
    """How well a network gives its owner's outputs.

    Attributes:
        way: how the file was taken.
        difference: the largest between outputs, as a fraction of the largest output, or of 1;
            without those that are unsteady.
        tolerance: what it may be.
        sequences: how many were compared; 0: none were given, nothing is proved.
        tried: ways that the file leaves open.
        unsteady: sequences, a hundredth at most, that differ by more, and whose outputs move as far
            if only the last digit of their inputs is rounded otherwise.
    """

    way: ways.Way
    difference: float
    tolerance: float
    sequences: int
    tried: int
    unsteady: int = 0

    def __str__(self) -> str:
        """Say it in a sentence."""
        if not self.sequences:
            return f"UNPROVED: no outputs were given to hold this reading against: {self.way}."
        said = (
            f"The outputs of {self.sequences:,} sequences come out as their owner's, to "
            f"{self.difference:.1e} (allowed: {self.tolerance:.0e}): {self.way}."
        )
        if not self.unsteady:
            return said
        return (
            f"{said} Left out: {self.unsteady} that the network itself answers differently when "
            "the last digit of their inputs is rounded otherwise."
        )


def prove(
    what: found.Found,
    examples: Examples,
    choices: ways.Choices | None = None,
    tolerance: float = SINGLE,
) -> tuple[models.Stacked, Proof]:
    """Find the way to take a file that gives its owner's outputs.

    Args:
        what: the file's.
        examples: with outputs of one sequence at least.
        choices: what the owner says.
        tolerance: how far outputs may differ, as a fraction of the largest, or of 1.

    Returns:
        The network and its proof.

    Raises:
        ForeignError: if no way does; says what differs, where, and what would give them.
    """
    open_ways = ways.ways(what, choices)
    shown = examples._replace(
        inputs=examples.inputs[: len(examples.outputs)],
        lengths=examples.lengths[: len(examples.outputs)],
    )
    fit = [way for way in open_ways if _fits(way, shown.outputs)]
    if not fit:
        raise ForeignError(
            f"outputs have shape {shown.outputs.shape}: no readout of the file gives that (found: "
            f"{', '.join(sorted({str(w.head.kernel.shape[1]) for w in open_ways}))} numbers, of "
            "each sequence or of each frame); give outputs of the layer that is to be analysed."
        )
    few = Examples(*(part[:SCREENED] for part in shown))
    way = fit[_best(what, fit, few, tolerance)]
    network = ways.build(what, way)
    given = ways.made(ways.outputs(network, shown.inputs, shown.lengths), way.output)
    apart = _apart(given, shown)
    wrong = np.flatnonzero(~(apart <= tolerance))
    if len(wrong) > UNSTEADY * len(apart) or not _unsteady(network, way, shown, apart, wrong):
        raise ForeignError(_refusal(what, fit, few, way, apart, tolerance))
    largest = float(np.delete(apart, wrong).max())
    return network, Proof(way, largest, tolerance, len(apart), len(open_ways), len(wrong))


def unproved(
    what: found.Found, choices: ways.Choices | None = None
) -> tuple[models.Stacked, Proof]:
    """Take the likeliest way, with nothing to prove it.

    Args:
        what: the file's.
        choices: what the owner says.

    Returns:
        The network, and a proof of no sequences.
    """
    open_ways = ways.ways(what, choices)
    return ways.build(what, open_ways[0]), Proof(open_ways[0], np.nan, np.nan, 0, len(open_ways))


def _fits(way: ways.Way, outputs: np.ndarray) -> bool:
    each = way.reads == "each"
    return outputs.ndim == (3 if each else 2) and outputs.shape[-1] == len(way.head.bias)


def _apart(given: np.ndarray, shown: Examples) -> Float[np.ndarray, " shown"]:
    """Return how far outputs are from the owner's, the largest of each sequence."""
    outputs, (_, frames) = shown.outputs, shown.inputs.shape[:2]
    gaps = np.abs(np.asarray(given, np.float64) - outputs)
    if outputs.ndim == 3:
        counts = np.arange(frames) < shown.lengths[:, None]
        gaps, outputs = (np.where(counts[..., None], part, 0) for part in (gaps, outputs))
    return np.nan_to_num(gaps.reshape(len(gaps), -1).max(axis=1), nan=np.inf) / _scale(outputs)


def _scale(outputs: np.ndarray) -> float:
    """Return the largest of some outputs, or 1."""
    return max(1.0, float(np.abs(np.where(np.isfinite(outputs), outputs, 0)).max()))


def _unsteady(
    network: models.Stacked, way: ways.Way, shown: Examples, apart: np.ndarray, rows: np.ndarray
) -> bool:
    """Tell whether rounding moves the outputs of some sequences about as far as they differ."""
    if not len(rows):
        return True
    some, rng = Examples(*(part[rows] for part in shown)), np.random.default_rng(0)
    scale = max(1.0, float(np.abs(shown.outputs).max())) / max(
        1.0, float(np.abs(some.outputs).max())
    )
    own = ways.made(ways.outputs(network, some.inputs, some.lengths), way.output)
    moved = np.zeros(len(rows))
    for _ in range(ROUNDINGS):
        digit = np.float32(rng.choice([-1, 1], some.inputs.shape)) * np.finfo(np.float32).eps
        inputs = some.inputs * (1 + digit)
        other = ways.made(ways.outputs(network, inputs, some.lengths), way.output)
        moved = np.maximum(moved, _apart(other, some._replace(outputs=own)))
    return bool((apart[rows] <= MARGIN * moved / scale).all())


def _best(what: found.Found, tried: list[ways.Way], few: Examples, tolerance: float) -> int:
    """Return the way under which the fewest sequences differ; of these, the one nearest by far.

    The largest gap alone would not do: one unsteady sequence has a large one under every way.
    """
    gaps = _each_gap(what, tried, few)
    return min(range(len(gaps)), key=lambda k: ((gaps[k] > tolerance).sum(), gaps[k].max()))


def _gaps(what: found.Found, tried: list[ways.Way], few: Examples) -> list[float]:
    """Return how far from the owner's the outputs of each way are."""
    return [float(gaps.max()) for gaps in _each_gap(what, tried, few)]


def _each_gap(
    what: found.Found, tried: list[ways.Way], few: Examples
) -> list[Float[np.ndarray, " shown"]]:
    """Return so for each sequence; states are made once a cell."""
    both_ways, read = what.back is not None, {}
    for cell in dict.fromkeys(way.cell for way in tried):
        network = ways.build(what, next(way for way in tried if way.cell == cell))
        states = jnp.asarray(ways.states(network, few.inputs, few.lengths))
        for reads in dict.fromkeys(way.reads for way in tried):
            ends = jnp.asarray(few.lengths)
            read[cell, reads] = models.read_states(states, ends, reads, both_ways=both_ways)
    with np.errstate(over="ignore", invalid="ignore"):  # of ways that are wrong
        return [
            _apart(ways.read_out(way, np.asarray(read[way.cell, way.reads])), few) for way in tried
        ]


def _refusal(
    what: found.Found,
    fit: list[ways.Way],
    few: Examples,
    way: ways.Way,
    apart: np.ndarray,
    tolerance: float,
) -> str:
    """Say what differs, where, and the likely causes."""
    wrong = np.flatnonzero(~(apart <= tolerance))
    message = (
        f"the network does not give its owner's outputs: {len(wrong)} of {len(apart)} sequences "
        f"differ by up to {apart.max():.2g} of the largest (allowed: {tolerance:.0e}), first "
        f"sequence {wrong[0]}, taken as {way}"
    )
    likely = [cause for cause, gap in _mistakes(what, fit, few) if gap <= tolerance]
    if likely:
        return f"{message}; they would come out {' or '.join(likely)}."
    left = f" (not read: {', '.join(what.unread[:6])})" if what.unread else ""
    return (
        f"{message}; likely causes: outputs of another checkpoint or of training mode, a layer "
        f"left out{left}, or inputs scaled otherwise than for the network."
    )


def _mistakes(what: found.Found, fit: list[ways.Way], few: Examples) -> Iterator[tuple[str, float]]:
    """Yield the usual mistakes, and how far from the owner's the outputs are with each undone."""
    kind = what.kinds[0]
    if kind in ("gru", "gru-before"):
        yield _other_reset(what, fit, few)
    for order in list(permutations(found.ORDER[kind]))[1:]:
        name = ", ".join(order)
        gap = min(_gaps(_reordered(what, kind, order), fit, few))
        yield f"with the gates in the order {name}", gap
    yield "with frames from the last to the first", min(_gaps(what, fit, _backwards(few)))
    turned = _with_each(what, lambda w: w | {"dense_h.kernel": _turned(w["dense_h.kernel"])})
    yield "with recurrent matrices transposed", min(_gaps(turned, fit, few))
    if kind == "gru":
        bare = _with_each(what, lambda w: w | {"dense_h.bias": 0 * w["dense_h.bias"]})
        yield "without the bias beside the recurrent matrix", min(_gaps(bare, fit, few))


def _other_reset(what: found.Found, fit: list[ways.Way], few: Examples) -> tuple[str, float]:
    """Return the other convention of a GRU's reset gate, and how far outputs are with it."""
    if fit[0].cell == "gru-before":
        other = _with_each(what, lambda w: w | {"dense_h.bias": 0 * w["dense_i.bias"]})
        cell, place = "gru-two-biases", "after"
    else:
        other = _with_each(what, _one_bias)
        cell, place = "gru-before", "before"
    gap = min(_gaps(other, [way._replace(cell=cell) for way in fit], few))
    return f"with the reset gate {place} the product", gap


def _one_bias(layer: found.Weights) -> found.Weights:
    bias = layer["dense_i.bias"] + layer["dense_h.bias"]
    rest = {name: array for name, array in layer.items() if name != "dense_h.bias"}
    return rest | {"dense_i.bias": bias}


def _with_each(what: found.Found, change: Callable[[found.Weights], found.Weights]) -> found.Found:
    back = None if what.back is None else tuple(change(layer) for layer in what.back)
    return what._replace(ahead=tuple(change(layer) for layer in what.ahead), back=back)


def _reordered(what: found.Found, kind: str, order: tuple[str, ...]) -> found.Found:
    """Return layers as if their gates stood in another order in the file."""
    places = [order.index(gate) for gate in found.ORDER[kind]]

    def change(layer: found.Weights) -> found.Weights:
        return {name: found.ordered(array, places) for name, array in layer.items()}

    return _with_each(what, change)


def _turned(kernel: np.ndarray) -> np.ndarray:
    """Return a recurrent kernel of which each gate's matrix is transposed."""
    blocks = np.split(kernel, kernel.shape[1] // kernel.shape[0], axis=1)
    return np.concatenate([block.T for block in blocks], axis=1)


def _backwards(few: Examples) -> Examples:
    turned = [
        np.concatenate([frames[:end][::-1], frames[end:]])
        for frames, end in zip(few.inputs, few.lengths, strict=True)
    ]
    return few._replace(inputs=np.stack(turned))
