"""The networks that a weight file may be: each way to take what it leaves open."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import found
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.store.disk import brief

BATCH = 256
"""Sequences that a network reads at a time."""


class Way(NamedTuple):
    """One way to take what a file leaves open.

    Attributes:
        cell: name of the cell, see ``cells.CELLS``.
        norm: what stands before the readout, or None.
        reads: what the readout reads, of ``models.READS``.
        head: the readout.
        output: what is made of its sums, of ``found.OUTPUTS``.
    """

    cell: str
    norm: found.Norm | None
    reads: str
    head: found.Head
    output: str

    def __str__(self) -> str:
        """Say it in words."""
        norm = "" if self.norm is None else f" after {self.norm.name}"
        what = {"last": "the last state", "ends": "the last state of each direction",
                "mean": "the mean of the states", "max": "the largest of the states",
                "each": "each state"}[self.reads]  # fmt: skip
        return (
            f"cell {self.cell}, readout {self.head.name or 'linear'} of {what}{norm}, {self.output}"
        )


class Choices(NamedTuple):
    """What the owner says of her network, None where she leaves it to the file and to the proof.

    Attributes:
        readout: name of the linear layer that is the readout.
        reads: what it reads, of ``models.READS``.
        output: what is made of its sums, of ``found.OUTPUTS``.
        cell: name of the cell, see ``cells.CELLS``.
    """

    readout: str | None = None
    reads: str | None = None
    output: str | None = None
    cell: str | None = None


def told(text: str) -> Choices:
    """Read what the owner says from words such as "reads=mean cell=gru".

    Args:
        text: pairs of a field of ``Choices`` and its value, in any order; "" for none.

    Raises:
        ForeignError: if a word is no such pair, or a field is told twice.
    """
    known = ", ".join(f"{name}=…" for name in Choices._fields)
    given: dict[str, str] = {}
    for word in text.split():
        name, _, value = word.partition("=")
        if name not in Choices._fields or not value or name in given:
            raise ForeignError(f"{brief(word, 40)} says nothing of a network: give {known}.")
        given[name] = value
    return Choices(**given)


def ways(what: found.Found, choices: Choices | None = None) -> list[Way]:
    """Return all ways to take what a file leaves open, the likeliest first.

    Args:
        what: the file's.
        choices: what the owner says.

    Raises:
        ForeignError: if a choice is none that the file allows.
    """
    kinds = [cell for kind in what.kinds for cell in found.CELLS[kind]]
    reads = tuple(dict.fromkeys("last" if r == "ends" and what.back is None else r
                                for r in what.reads))  # fmt: skip
    given = choices or Choices()
    heads = {head.name: head for head in what.heads}
    names = _chosen("readout", given.readout, list(heads))
    every = product(
        _chosen("cell", given.cell, kinds),
        what.norms,
        _chosen("reads", given.reads, list(reads)),
        names,
        _chosen("output", given.output, list(what.outputs)),
    )
    return [Way(cell, norm, read, heads[name], out) for cell, norm, read, name, out in every]


def _chosen(name: str, value: str | None, allowed: list[str]) -> list[str]:
    if value is None:
        return allowed
    if value not in allowed:
        held = ", ".join(brief(one, 40) for one in allowed[:20])
        raise ForeignError(f"{name} {brief(value, 40)} is not in the file: choose from {held}.")
    return [value]


def build(what: found.Found, way: Way) -> models.Stacked:
    """Make the network that a file holds, if it is taken in one way.

    Args:
        what: the file's.
        way: one of ``ways``.

    Returns:
        The network, in single precision. A normalisation over a training set is part of its
        readout, as it is linear.
    """
    epsilon = way.norm.epsilon if way.norm is not None and way.norm.mean is None else None
    config = {
        "model": "Stacked",
        "feature": found.sizes(what.ahead[0])[0],
        "hidden": [found.sizes(layer)[1] for layer in what.ahead],
        "classes": len(way.head.bias),
        "cell": way.cell,
        "both_ways": what.back is not None,
        "reads": way.reads,
        "norm": epsilon,
    }
    arrays = dict(_named(what))
    kernel, bias = (np.asarray(array, np.float64) for array in (way.head.kernel, way.head.bias))
    if way.norm is not None and way.norm.mean is not None:
        kernel, bias = _folded(way.norm, kernel, bias)
    arrays |= {"readout.kernel": kernel, "readout.bias": bias}
    if epsilon is not None and way.norm is not None:
        arrays |= {"normalise.scale": way.norm.scale, "normalise.bias": way.norm.offset}
    network: Any = access.build(config, jax.random.key(0))
    single = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    access.unflatten(single, network)
    return network


def _named(what: found.Found) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of all cells by their place in the network."""
    for end, side in (("", what.ahead), ("_back", what.back or ())):
        for k, layer in enumerate(side):
            yield from ((f"layer_{k}{end}.{name}", array) for name, array in layer.items())


def _folded(
    norm: found.Norm, kernel: np.ndarray, bias: np.ndarray
) -> tuple[Float[np.ndarray, "hidden class"], Float[np.ndarray, " class"]]:
    """Return a readout that does what a normalisation over a training set and it do together."""
    mean, variance = (np.asarray(part, np.float64) for part in (norm.mean, norm.variance))
    scale = norm.scale / np.sqrt(variance + norm.epsilon)
    return scale[:, None] * kernel, bias + (norm.offset - mean * scale) @ kernel


def made(sums: Float[np.ndarray, "..."], output: str) -> Float[np.ndarray, "..."]:
    """Return what a network makes of its readout's sums.

    Args:
        sums: over the last axis one for each class.
        output: of ``found.OUTPUTS``.
    """
    if output == "logits":
        return sums
    if output == "sigmoid":
        return np.asarray(jax.nn.sigmoid(sums))
    made_of = {"softmax": jax.nn.softmax, "log-softmax": jax.nn.log_softmax}[output]
    return np.asarray(made_of(sums, axis=-1))


def outputs(
    network: models.Stacked,
    inputs: Float[np.ndarray, "sample time feature"],
    lengths: Int[np.ndarray, " sample"] | None = None,
) -> Float[np.ndarray, "sample ..."]:
    """Return a network's sums for all sequences, some at a time.

    Args:
        network: from ``build``.
        inputs: sequences.
        lengths: frames of each; None: all.
    """
    return _batched(lambda *given: _outputs(network, *given), inputs, lengths)


def states(
    network: models.Stacked,
    inputs: Float[np.ndarray, "sample time feature"],
    lengths: Int[np.ndarray, " sample"] | None = None,
) -> Float[np.ndarray, "sample time hidden"]:
    """Return the states of the last layer for all sequences, some at a time.

    Args:
        network: from ``build``.
        inputs: sequences.
        lengths: frames of each; None: all.
    """
    return _batched(lambda *given: _states(network, *given), inputs, lengths)


def every_layer(
    network: models.Stacked,
    inputs: Float[np.ndarray, "sample time feature"],
    lengths: Int[np.ndarray, " sample"] | None = None,
) -> list[Float[np.ndarray, "sample time _"]]:
    """Return the states of each layer for all sequences, some at a time.

    Args:
        network: from ``build``.
        inputs: sequences.
        lengths: frames of each; None: all.
    """
    side = _batched(lambda *given: _every_layer(network, *given), inputs, lengths)
    widths = (1 + network.config["both_ways"]) * np.array(network.config["hidden"])
    return np.split(side, np.cumsum(widths)[:-1], axis=-1)


def read_out(way: Way, features: Float[np.ndarray, "... hidden"]) -> Float[np.ndarray, "... class"]:
    """Return the outputs that one way makes of what its readout reads, in double precision.

    Args:
        way: one of ``ways``.
        features: the states that it reads, before a normalisation.
    """
    read, norm = np.asarray(features, np.float64), way.norm
    if norm is not None:
        mean = read.mean(axis=-1, keepdims=True) if norm.mean is None else norm.mean
        square = read.var(axis=-1, keepdims=True) if norm.variance is None else norm.variance
        read = (read - mean) / np.sqrt(square + norm.epsilon) * norm.scale + norm.offset
    return made(read @ way.head.kernel + way.head.bias, way.output)


def _batched(
    function: Callable[[Array, Array], Array],
    inputs: np.ndarray,
    lengths: np.ndarray | None,
) -> np.ndarray:
    """Apply a function of sequences and their lengths to all, a batch of one shape at a time."""
    ends = np.full(len(inputs), inputs.shape[1]) if lengths is None else np.asarray(lengths)
    batch, parts = min(BATCH, len(inputs)), []
    for first in range(0, len(inputs), batch):
        part, end = inputs[first : first + batch], ends[first : first + batch]
        short = batch - len(part)
        filled = np.concatenate([part, np.zeros((short, *part.shape[1:]), part.dtype)])
        until = np.concatenate([end, np.ones(short, end.dtype)])
        parts.append(np.asarray(function(jnp.asarray(filled), jnp.asarray(until)))[: len(part)])
    return np.concatenate(parts)


@nnx.jit
def _outputs(network: Any, inputs: Array, lengths: Array) -> Array:
    return network(inputs, lengths)


@nnx.jit
def _states(network: Any, inputs: Array, lengths: Array) -> Array:
    return network.states(inputs, lengths)


@nnx.jit
def _every_layer(network: Any, inputs: Array, lengths: Array) -> Array:
    return jnp.concatenate(network.every_layer(inputs, lengths), axis=-1)
