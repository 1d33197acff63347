"""Networks as maps of a state to the next, for ``analysis.maps``: fed with nothing new.

A state is one vector: all numbers of a cell's carry, the hidden state last (an LSTM's is (c, h));
in closed loop with a residual readout, the output follows. Maps are of double precision. Those of
networks of one shape share what is compiled, see ``analysis.maps``.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from rnnatomy.analysis import checks, maps
from rnnatomy.networks import access, cells, models


class Autonomous(NamedTuple):
    """A network that is fed nothing new.

    Attributes:
        step: the map F of a state (size,) to the next.
        size: numbers in a state.
        start: gives the states (sample, size) from which the network goes on by itself: after it
            has read sequences (sample, time, feature), or from latent vectors (sample, latent).
        hidden: gives the hidden states (..., hidden) of states (..., size).
        outputs: gives what is read from states (..., size).
    """

    step: Callable[[Array], Array]
    size: int
    start: Callable[[np.ndarray], Float[np.ndarray, "sample size"]]
    hidden: Callable[[np.ndarray], Float[np.ndarray, "..."]]
    outputs: Callable[[np.ndarray], Float[np.ndarray, "..."]]


def driven(network: models.Network, frame: Float[np.ndarray, " feature"]) -> Autonomous:
    """Return the cell that reads as a map, under one frame that is fed at every step.

    Args:
        network: of a recurrent model.
        frame: such as a blank row, finite numbers.

    Raises:
        ValueError: if the network has no cell, or one that reads backwards, or the frame does not
            fit it.
    """
    if isinstance(network, models.Stacked):
        fed = _double(checks.double("frame", frame, str(network.config["feature"])))
        return _stack(network, _driven_stack, fed)
    name, arrays = _recurrent(network, 0)
    fed = _double(checks.double("frame", frame, str(network.config["feature"])))
    step = Partial(_cell_step(network.entry), arrays[name], fed)
    return _autonomous(network, arrays, step, partial(_read, network, arrays[name]))


def reading(network: models.Network) -> Callable[[Array, Array], Array]:
    """Return the cell that reads as a map of a state and a frame, for ``driven_lyapunov``.

    Raises:
        ValueError: if the network has no cell, or one that reads backwards.
    """
    if isinstance(network, models.Stacked):
        return Partial(_reading_stack(network.entry), _layers(network))
    name, arrays = _recurrent(network, 0)
    return Partial(_reading_step(network.entry), arrays[name])


def closed_loop(network: models.Network) -> Autonomous:
    """Return the decoder as a map, fed with its own outputs.

    Args:
        network: a sequence-to-sequence network, or layers whose readout of each state gives the
            next frame. With ``residual`` the output is part of the state.

    Raises:
        ValueError: if the network has no readout that gives what its cell reads.
    """
    if isinstance(network, models.Stacked) and _predicts(network):
        return _stack(network, _looped_stack, cells.parameters(network.readout))
    if not isinstance(network, models.Seq2Seq):
        name = type(network).__name__
        raise ValueError(
            f"a {name} has no readout of frames to feed its cell with: give a Seq2Seq, or feed it "
            "one frame."
        )
    _, arrays = _recurrent(network, 1)
    loop = _residual_step if network.residual else _loop_step
    step = Partial(loop(network.entry), arrays["decoder"], arrays["readout"])
    start = partial(_begin, network, arrays, step)
    return _autonomous(network, arrays, step, start, residual=network.residual)


def drawing(network: models.Network, latent: Float[np.ndarray, " latent"]) -> Autonomous:
    """Return the decoder of an autoencoder as a map, under one latent vector.

    Args:
        network: a recurrent autoencoder.
        latent: fed at every step, finite numbers.

    Raises:
        ValueError: if the network is none, or the vector does not fit it.
    """
    if not isinstance(network, models.VAE):
        name = type(network).__name__
        raise ValueError(f"a {name} draws from no latent vector step by step: give a VAE.")
    _, arrays = _recurrent(network, 1)
    fed = _double(checks.double("latent", latent, str(network.config["latent"])))
    step = Partial(_cell_step(network.entry), arrays["decoder"], fed)
    return _autonomous(network, arrays, step, partial(_drawn, network, arrays["start"]))


def _recurrent(network: models.Network, which: int) -> tuple[str, dict[str, Any]]:
    """Return the name of a recurrent cell, and all arrays by the part that they belong to."""
    if len(network.RECURRENT) <= which:
        name = type(network).__name__
        raise ValueError(f"a {name} has no recurrent cell: give a network that has.")
    arrays = {
        part: {name: _double(array) for name, array in cells.parameters(layer).items()}
        for part in (*network.RECURRENT, "readout", "start")
        if (layer := getattr(network, part, None)) is not None
    }
    return network.RECURRENT[which], arrays


def _autonomous(
    network: models.Network,
    arrays: dict[str, Any],
    step: Partial,
    start: Callable[[np.ndarray], np.ndarray],
    *,
    residual: bool = False,
) -> Autonomous:
    entry, hidden = network.entry, network.config["hidden"]
    size = entry.copies * hidden
    W, b = arrays["readout"]["kernel"], arrays["readout"]["bias"]

    def states(states: np.ndarray) -> np.ndarray:
        return np.asarray(states)[..., size - hidden : size]

    def outputs(every: np.ndarray) -> np.ndarray:
        return np.asarray(every)[..., size:] if residual else states(every) @ W + b

    return Autonomous(step, size + residual * len(b), start, states, outputs)


def _predicts(network: models.Stacked) -> bool:
    config = network.config
    plain = config["norm"] is None and config["reads"] == "each"
    return plain and config["classes"] == config["feature"]


def _stack(network: models.Stacked, step: Callable[..., Any], given: Any) -> Autonomous:
    """Return layers on one another as a map; the state is that of each layer, one after another."""
    layers = _layers(network)
    given = jax.tree.map(_double, given)
    widths = [network.entry.copies * width for width in network.config["hidden"]]
    size, top = sum(widths), network.config["hidden"][-1]

    def hidden(states: np.ndarray) -> np.ndarray:
        return np.asarray(states)[..., size - top :]

    def outputs(states: np.ndarray) -> np.ndarray:
        read = jnp.asarray(hidden(states), jnp.float32)
        read = read if network.normalise is None else network.normalise(read)
        return np.asarray(network.readout(read), np.float64)

    start = partial(_stack_read, network, layers)
    return Autonomous(Partial(step(network.entry), layers, given), size, start, hidden, outputs)


def _layers(network: models.Stacked) -> list[dict[str, Any]]:
    """Return the arrays of layers that read forwards."""
    if network.config["both_ways"]:
        raise ValueError("layers that read both ways cannot go on: give some that read forwards.")
    return [
        {name: _double(array) for name, array in cells.parameters(getattr(network, part)).items()}
        for part in network.RECURRENT
    ]


def _double(array: Any) -> Float[np.ndarray, "..."]:
    return np.asarray(array, np.float64)


# compiled code is kept by the identity of these functions, so each is made once for a cell


@lru_cache
def _cell_step(entry: cells.Cell) -> Callable[..., Array]:
    def step(arrays: cells.Parameters, frame: Array, state: Array) -> Array:
        return _next(entry, arrays, state, frame)

    return step


@lru_cache
def _reading_step(entry: cells.Cell) -> Callable[..., Array]:
    def step(arrays: cells.Parameters, state: Array, frame: Array) -> Array:
        return _next(entry, arrays, state, frame)

    return step


@lru_cache
def _loop_step(entry: cells.Cell) -> Callable[..., Array]:
    def step(arrays: cells.Parameters, readout: cells.Parameters, state: Array) -> Array:
        return _next(entry, arrays, state, _output(entry, readout, state))

    return step


@lru_cache
def _residual_step(entry: cells.Cell) -> Callable[..., Array]:
    def step(arrays: cells.Parameters, readout: cells.Parameters, state: Array) -> Array:
        fed = state[len(state) - len(readout["bias"]) :]
        after = _next(entry, arrays, state[: len(state) - len(fed)], fed)
        return jnp.concatenate([after, fed + _output(entry, readout, after)])

    return step


@lru_cache
def _driven_stack(entry: cells.Cell) -> Callable[..., Array]:
    def step(layers: Sequence[cells.Parameters], frame: Array, state: Array) -> Array:
        return _next_stack(entry, layers, state, frame)

    return step


@lru_cache
def _reading_stack(entry: cells.Cell) -> Callable[..., Array]:
    def step(layers: Sequence[cells.Parameters], state: Array, frame: Array) -> Array:
        return _next_stack(entry, layers, state, frame)

    return step


@lru_cache
def _looped_stack(entry: cells.Cell) -> Callable[..., Array]:
    def step(layers: Sequence[cells.Parameters], readout: cells.Parameters, state: Array) -> Array:
        fed = state[len(state) - len(readout["kernel"]) :] @ readout["kernel"] + readout["bias"]
        return _next_stack(entry, layers, state, fed)

    return step


def _next_stack(
    entry: cells.Cell, layers: Sequence[cells.Parameters], state: Array, frame: Array
) -> Array:
    """Return the states of all layers that follow, each fed with the one below."""
    found, first = [], 0
    for arrays in layers:
        width = entry.copies * arrays["dense_i.kernel"].shape[1] // len(entry.gates)
        after = _next(entry, arrays, state[first : first + width], frame)
        frame = entry.hidden(entry.carry(after[None]))[0]
        found.append(after)
        first += width
    return jnp.concatenate(found)


def _next(entry: cells.Cell, arrays: cells.Parameters, state: Array, frame: Array) -> Array:
    return entry.state(entry.step(arrays, entry.carry(state[None]), frame[None]))[0]


def _output(entry: cells.Cell, readout: cells.Parameters, state: Array) -> Array:
    return entry.hidden(entry.carry(state[None]))[0] @ readout["kernel"] + readout["bias"]


@maps.in_double
def _read(
    network: models.Network, arrays: cells.Parameters, inputs: np.ndarray
) -> Float[np.ndarray, "sample size"]:
    """Return the states of a cell after it has read sequences."""
    access.check_sequences(network, inputs)
    frames = jnp.swapaxes(jnp.asarray(_double(inputs)), 0, 1)
    return np.asarray(_all_read(network.entry, network.config["hidden"], arrays, frames))


@partial(jax.jit, static_argnums=(0, 1))
def _all_read(entry: cells.Cell, hidden: int, arrays: cells.Parameters, frames: Array) -> Array:
    start = cells.initial_carry(entry, frames.shape[1], hidden, frames.dtype)
    step = lambda carry, frame: (entry.step(arrays, carry, frame), None)  # noqa: E731
    return entry.state(jax.lax.scan(step, start, frames)[0])


@maps.in_double
def _stack_read(
    network: models.Stacked, layers: Sequence[cells.Parameters], inputs: np.ndarray
) -> Float[np.ndarray, "sample size"]:
    """Return the states of all layers after they have read sequences."""
    access.check_sequences(network, inputs)
    entry, frames = network.entry, jnp.asarray(_double(inputs))
    size = entry.copies * sum(network.config["hidden"])

    def read(sequence: Array) -> Array:
        go = lambda state, frame: (_next_stack(entry, layers, state, frame), None)  # noqa: E731
        return jax.lax.scan(go, jnp.zeros(size, frames.dtype), sequence)[0]

    return np.asarray(jax.lax.map(read, frames))


@maps.in_double
def _begin(
    network: models.Seq2Seq, arrays: dict[str, Any], step: Partial, inputs: np.ndarray
) -> Float[np.ndarray, "sample size"]:
    """Return the states in which a decoder is on its own, after sequences were read.

    With a residual readout it is so at once; otherwise after it was fed the last frame.
    """
    if np.ndim(inputs) == 3 and np.shape(inputs)[1] < 2:
        raise ValueError(f"{np.shape(inputs)[1]} frames to read: give at least 2.")
    access.check_sequences(network, inputs)
    states, last = _read(network, arrays["encoder"], inputs[:, :-1]), _double(inputs[:, -1])
    if network.residual:
        return np.concatenate([states, last], axis=1)
    carry = network.entry.carry(jnp.asarray(states))
    after = network.entry.step(arrays["decoder"], carry, jnp.asarray(last))
    return np.asarray(network.entry.state(after))


@maps.in_double
def _drawn(
    network: models.VAE, arrays: cells.Parameters, latent: np.ndarray
) -> Float[np.ndarray, "sample size"]:
    """Return the states that a decoder starts from, made of latent vectors."""
    latent = checks.double("latent", latent, f"sample {network.config['latent']}")
    states = latent @ arrays["kernel"] + arrays["bias"]
    first = states.shape[1] - network.config["hidden"]
    states[:, first:] = np.tanh(states[:, first:])
    return states
