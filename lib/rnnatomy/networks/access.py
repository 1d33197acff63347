"""What an analysis asks of a network, whatever its model and its cell: arrays for ``analysis``.

A network is a Flax module of ``models``. What it cannot give is refused in one sentence.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from rnnatomy.networks import cells, models, training

Arrays = dict[str, np.ndarray]


class Readout(NamedTuple):
    """The linear output layer: ``outputs = W h + b``.

    Attributes:
        W: what each output reads of the hidden state.
        b: the bias.
    """

    W: Float[np.ndarray, "class hidden"]
    b: Float[np.ndarray, " class"]


def build(config: dict[str, Any], key: PRNGKeyArray) -> models.Network:
    """Make a fresh network from its config.

    Args:
        config: name of the model, and the arguments that it takes; as of ``Network.config``.
        key: random key of the initial parameters.

    Raises:
        ValueError: if the model, or one of its arguments, is unknown or missing.
    """
    given = dict(config)
    name = given.pop("model", None)
    if name not in models.MODELS:
        known = ", ".join(models.MODELS)
        raise ValueError(f"model {name!r} is unknown: choose from {known}.")
    try:
        return models.MODELS[name](**given, rngs=nnx.Rngs(key))
    except TypeError as error:
        raise ValueError(f"the config of a {name} does not fit it: {error}.") from None


def flatten(network: Any) -> Arrays:
    """Return the arrays of a network by dotted path."""
    return {name: np.asarray(array) for name, array in cells.parameters(network).items()}


def unflatten(arrays: Arrays, network: nnx.Module) -> None:
    """Put arrays by dotted path into a network of the same shapes.

    Raises:
        ValueError: if a name or a shape differs.
    """
    wanted = {name: leaf.shape for name, leaf in cells.parameters(network).items()}
    given = {name: leaf.shape for name, leaf in arrays.items()}
    if wanted != given:
        raise ValueError(f"the arrays do not fit the network: {_difference(wanted, given)}.")
    pairs = [
        (path, leaf.replace(jnp.asarray(arrays[".".join(map(str, path))])))
        for path, leaf in nnx.to_flat_state(nnx.state(network))
    ]
    nnx.update(network, nnx.from_flat_state(pairs))


def readout(network: models.Network) -> Readout:
    """Return the output layer of a network.

    Raises:
        ValueError: if the network has none.
    """
    layer = getattr(network, "readout", None)
    if layer is None:
        raise ValueError(f"a {type(network).__name__} has no readout: give one that has.")
    return Readout(np.asarray(layer.kernel[...]).T, np.asarray(layer.bias[...]))


def matrices(network: models.Network, where: str | None = None) -> dict[str, np.ndarray]:
    """Return the matrices of a cell of a network by side and gate, such as "recurrent f".

    Args:
        network: of a recurrent model.
        where: which of its cells, such as "encoder"; None: the only one.

    Raises:
        ValueError: if there is no such cell, or it has no matrices by gate.
    """
    entry, weights = _cell(network, where)
    if entry.matrices is None:
        raise ValueError(f"{_name(network)} has no matrices by gate: this analysis needs them.")
    found = entry.matrices(cells.parameters(weights))
    return {name: np.asarray(matrix) for name, matrix in found.items()}


def with_matrices(
    network: models.Network, changed: cells.Matrices, where: str | None = None
) -> models.Network:
    """Return a network with other matrices in one of its cells; the one given stays as it is.

    Args:
        network: of a recurrent model.
        changed: all matrices, as of ``matrices``.
        where: which of its cells; None: the only one.

    Raises:
        ValueError: as ``matrices``; or if a matrix is missing or has another shape.
    """
    other = nnx.clone(network)
    entry, weights = _cell(other, where)
    if entry.with_matrices is None:
        raise ValueError(f"{_name(network)} has no matrices by gate: this analysis needs them.")
    single = {name: jnp.asarray(matrix, jnp.float32) for name, matrix in changed.items()}
    unflatten(dict(entry.with_matrices(cells.parameters(weights), single)), weights)
    return other


def hidden_states(
    network: models.Classifier, inputs: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample time hidden"]:
    """Run a classifier over sequences, and return its hidden state after every frame of each."""
    return np.asarray(_hidden_states(network, jnp.asarray(inputs)))


def last_states(
    network: models.Classifier, inputs: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample hidden"]:
    """Run a classifier over sequences, and return its hidden state after the last frame of each."""
    return np.asarray(_last_states(network, jnp.asarray(inputs)))


@nnx.jit
def _hidden_states(network: Any, inputs: Array) -> Array:
    return training.predict(network.states, inputs)


@nnx.jit
def _last_states(network: Any, inputs: Array) -> Array:
    return training.predict(lambda batch: network.states(batch)[:, -1], inputs)


def _cell(network: models.Network, where: str | None) -> tuple[cells.Cell, nnx.Module]:
    known = network.RECURRENT
    if where is None and len(known) == 1:
        where = known[0]
    if where not in known:
        raise ValueError(
            f"a {type(network).__name__} has no cell {where!r}: choose from "
            f"{', '.join(known) or 'none, it is not recurrent'}."
        )
    return network.entry, getattr(network, where)


def _name(network: models.Network) -> str:
    return f"cell {network.config['cell']!r}"


def _difference(wanted: dict[str, Any], given: dict[str, Any]) -> str:
    """Say in a few words where two lists of shapes differ first."""
    for name in [*wanted, *given]:
        if wanted.get(name) != given.get(name):
            return f"{name} is {given.get(name, 'missing')}, expected {wanted.get(name, 'none')}"
    return "they are in another order"
