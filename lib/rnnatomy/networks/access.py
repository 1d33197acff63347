"""What an analysis asks of a network, whatever its model and its cell: arrays for ``analysis``.

A network is a Flax module of ``models``. What it cannot give is refused in one sentence.
"""

import inspect
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from rnnatomy.networks import cells, models, training


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
        ValueError: if the model, or one of its arguments, is unknown, missing or out of range.
    """
    arguments = dict(config)
    name = arguments.pop("model", None)
    if not isinstance(name, str) or name not in models.MODELS:
        known = ", ".join(models.MODELS)
        raise ValueError(f"model {name!r} is unknown: choose from {known}.")
    model = models.MODELS[name]
    try:
        inspect.signature(model.__init__).bind(None, **arguments, rngs=None)
    except TypeError as error:
        raise ValueError(f"the config of a {name} does not fit it: {error}.") from None
    return model(**arguments, rngs=nnx.Rngs(key))


def in_jax(network: Any) -> Any:
    """Return a network whose arrays are JAX's, as a fresh one's are; kept ones may be NumPy's."""
    graph, state = nnx.split(network)
    return nnx.merge(graph, jax.tree.map(jnp.asarray, state))


def flatten(network: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a network by dotted path."""
    return {name: np.asarray(array) for name, array in cells.parameters(network).items()}


def unflatten(arrays: cells.Parameters, network: nnx.Module) -> None:
    """Put arrays by dotted path into a network of the same shapes.

    Raises:
        ValueError: if a name or a shape differs.
    """
    difference = cells.mismatch(cells.parameters(network), arrays)
    if difference:
        raise ValueError(f"the arrays do not fit the network: {difference}.")
    pairs = [
        (path, leaf.replace(jnp.asarray(arrays[".".join(map(str, path))])))
        for path, leaf in nnx.to_flat_state(nnx.state(network))
    ]
    nnx.update(network, nnx.from_flat_state(pairs))


def shuffled(network: Any, rng: np.random.Generator) -> Any:
    """Return a network of the same numbers in other places: each array's entries are shuffled.

    It is the control of one whose start is not known: as large in each array, without structure.

    Args:
        network: stays as it is.
        rng: source of the shuffling.
    """
    other = nnx.clone(network)
    arrays = flatten(network).items()
    moved = {name: rng.permuted(array.ravel()).reshape(array.shape) for name, array in arrays}
    unflatten(moved, other)
    return other


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
    unflatten(entry.with_matrices(cells.parameters(weights), changed), weights)
    return other


def hidden_states(
    network: models.Network, inputs: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample time hidden"]:
    """Run the cell that reads the inputs, and return its hidden state after every frame of each.

    Args:
        network: of a recurrent model: a classifier, or one of which the encoder is run.
        inputs: sequences of one length.

    Raises:
        ValueError: if the network is not recurrent, or the inputs do not fit it.
    """
    check_sequences(network, inputs)
    return np.asarray(_hidden_states(network, jnp.asarray(inputs)))


def last_states(
    network: models.Network, inputs: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample hidden"]:
    """Return what a network keeps of each whole sequence, which a classifier's readout reads.

    Args:
        network: of a recurrent model, whose last hidden state it is; or a classifier without time,
            whose last hidden layer it is, or the pixels if there is none.
        inputs: sequences of one length.

    Raises:
        ValueError: if the network keeps no such thing, or the inputs do not fit it.
    """
    check_sequences(network, inputs)
    return np.asarray(_last_states(network, jnp.asarray(inputs)))


def check_sequences(network: models.Network, inputs: np.ndarray) -> None:
    """Refuse inputs of another shape than a network reads.

    Raises:
        ValueError: if inputs are not (sample, time, feature), with one at least of each and the
            network's number of features.
    """
    feature, shape = network.config["feature"], np.shape(inputs)
    if len(shape) != 3 or 0 in shape or shape[2] != feature:
        raise ValueError(
            f"inputs have shape {shape}: give (sample, time, {feature}), at least one "
            "sequence of one frame."
        )


@nnx.jit
def _hidden_states(network: Any, inputs: Array) -> Array:
    return training.predict(network.states, inputs)


@nnx.jit
def _last_states(network: Any, inputs: Array) -> Array:
    return training.predict(network.features, inputs)


def _cell(network: models.Network, where: str | None) -> tuple[Any, nnx.Module]:
    """Return the entry of a cell that has matrices, and its arrays."""
    weights = {name: getattr(network, name) for name in network.RECURRENT}
    model = type(network).__name__
    if not weights:
        raise ValueError(f"a {model} has no recurrent cell: give a network that has.")
    if where is None and len(set(map(id, weights.values()))) == 1:
        where = network.RECURRENT[0]
    if where not in weights:
        known = ", ".join(weights)
        raise ValueError(f"a {model} has no cell {where!r}: choose from {known}.")
    if network.entry.matrices is None or network.entry.with_matrices is None:
        raise ValueError(
            f"cell {network.config['cell']!r} has no matrices by gate: give a network whose cell "
            "has."
        )
    return network.entry, weights[where]
