"""The gates of a network from elsewhere: directions they use, and memory."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import expit

from rnnatomy.analysis import controls, cuts, gates, ranks, svd
from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import ways
from rnnatomy.store import disk
from rnnatomy.studies import engine
from rnnatomy.studies.yours import asked, looked

ENERGIES = (0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Shares of the energy of each matrix that common cutoffs keep."""

READ = 500
"""Sequences that a network with cut gates reads, and over which time constants are taken."""

ENTRIES = 1 << 20
"""Numbers in the shuffled matrices of a control, together: fewer shuffles of large ones."""

KEEPERS = {"f": "f", "z": "z"}
"""Gates that tell how much of a memory is kept: of an LSTM, and of a GRU."""


def measure(
    config: dict[str, Any], weights: disk.Arrays, task: asked.Task, seed: int
) -> engine.Made:
    """Ask one network about its gates, as a job; see the functions below."""
    network, rng = looked.made(config, weights), np.random.default_rng(seed)
    found = stable_ranks(network, rng) | common_cutoffs(network, task, rng)
    return engine.Made(disk.single(found | time_constants(network, task)))


def names(network: models.Stacked) -> list[tuple[str, str]]:
    """Return layer and name of each matrix, in the order of ``stable_ranks``."""
    return [
        (layer, name) for layer in network.RECURRENT for name in access.matrices(network, layer)
    ]


def stable_ranks(network: models.Stacked, rng: np.random.Generator) -> disk.Arrays:
    """Return the stable rank of each matrix, and with its entries shuffled.

    Args:
        network: of any number of layers.
        rng: source of the shuffling.

    Returns:
        "ranks" and "shuffled_ranks" (matrix), as of ``names``; NaN for one that is zero.
    """
    own, chance = [], []
    for layer, name in names(network):
        matrix = access.matrices(network, layer)[name]
        draws = int(np.clip(ENTRIES // matrix.size, 2, 20))
        own.append(stable_rank(svd.svd(matrix).s))
        chance.append(stable_rank(controls.shuffled_spectrum(rng, matrix, draws)))
    return {"ranks": np.array(own), "shuffled_ranks": np.array(chance)}


def stable_rank(singular_values: Float[np.ndarray, " mode"]) -> float:
    """Return the stable rank of a matrix; NaN if it is zero."""
    return ranks.stable_rank(singular_values) if singular_values.any() else float("nan")


def mean_rank(found: Sequence[float] | Float[np.ndarray, " matrix"]) -> float:
    """Return the mean of the stable ranks of matrices that are not zero; NaN if all are."""
    held = np.asarray(found)[~np.isnan(found)]
    return float(held.mean()) if len(held) else float("nan")


def common_cutoffs(
    network: models.Stacked, task: asked.Task, rng: np.random.Generator
) -> disk.Arrays:
    """Cut all matrices of all layers to the same share of energy, and ask again.

    Args:
        network: of any number of layers.
        task: what it is asked; ``READ`` of the sequences are read.
        rng: source of random directions that hold as much energy as those that are cut.

    Returns:
        "cut" and "cut_random" (energy), scores as of ``looked.score``; "cut_full", with nothing
        cut.
    """
    some = first(task, READ)
    whole = {layer: access.matrices(network, layer) for layer in network.RECURRENT}
    # a matrix that is zero has no energy, and nothing of it is cut
    parts = {
        layer: ranks.decompose({name: one for name, one in each.items() if one.any()})
        for layer, each in whole.items()
    }

    def score(changed: dict[str, dict[str, np.ndarray]]) -> float:
        other: Any = network
        for layer, matrices in changed.items():
            other = access.with_matrices(other, whole[layer] | matrices, layer)
        run = looked.run(other, some)
        return looked.score(run.outputs, some.answers)

    kept, random = [], []
    for share in ENERGIES:
        cut = {layer: cuts.same_energy(rng, each, share) for layer, each in parts.items()}
        kept.append(score({layer: each.first for layer, each in cut.items()}))
        random.append(score({layer: each.random for layer, each in cut.items()}))
    return {
        "cut": np.array(kept),
        "cut_random": np.array(random),
        "cut_full": np.array(score({})),
    }


def time_constants(network: models.Stacked, task: asked.Task) -> disk.Arrays:
    """Return for how long each unit of each layer remembers, by the gate that keeps.

    That is the forget gate of an LSTM, and the update gate of a GRU.

    Args:
        network: of any number of layers.
        task: its sequences; ``READ`` of them are read.

    Returns:
        "constants" (unit), in frames, the median over all frames, and "constants_layer" (unit), its
        layer; both empty for a cell without such a gate. A layer that reads both ways counts once
        for each direction.
    """
    keeper = next((gate for gate in network.entry.gates if gate in KEEPERS), None)
    if keeper is None:
        return {"constants": np.zeros(0), "constants_layer": np.zeros(0)}
    some, layer, found = first(task, READ), [], []
    counts = np.arange(some.inputs.shape[1]) < some.lengths[:, None]
    every = [some.inputs, *ways.every_layer(network, some.inputs, some.lengths)]
    for number, name in enumerate(network.RECURRENT):
        depth = number // (1 + network.config["both_ways"])
        backwards = name.endswith("_back")
        fed, states = every[depth], _side(network, every[depth + 1], backwards)
        if backwards:
            fed, states = (_turned(one, some.lengths) for one in (fed, states))
        sums = _sums(network, name, keeper, fed, states)[counts]
        median = np.median(expit(sums.astype(np.float64)), axis=0)
        found.append(gates.time_constants(np.minimum(median, 1 - 1e-9)))
        layer.append(np.full(len(median), depth))
    return {"constants": np.concatenate(found), "constants_layer": np.concatenate(layer)}


def _turned(sequences: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    return np.asarray(models.turn(jnp.asarray(sequences), jnp.asarray(lengths)))


def _side(network: models.Stacked, states: np.ndarray, backwards: bool) -> np.ndarray:
    """Return the states of one direction of a layer."""
    if not network.config["both_ways"]:
        return states
    half = states.shape[-1] // 2
    return states[..., half:] if backwards else states[..., :half]


def _sums(
    network: models.Stacked, layer: str, gate: str, fed: np.ndarray, states: np.ndarray
) -> np.ndarray:
    """Return what a gate is a logistic function of, at every frame."""
    matrices = access.matrices(network, layer)
    before = np.concatenate([np.zeros_like(states[:, :1]), states[:, :-1]], axis=1)
    place, width = network.entry.gates.index(gate), states.shape[-1]
    arrays = access.flatten(getattr(network, layer))
    bias = sum(
        array[place * width : (place + 1) * width]
        for name, array in arrays.items()
        if name.endswith("bias") and len(array) == width * len(network.entry.gates)
    )
    return fed @ matrices[f"input {gate}"].T + before @ matrices[f"recurrent {gate}"].T + bias


def first(task: asked.Task, count: int) -> asked.Task:
    """Return a task of so many sequences at most, spread over all, with their answers."""
    samples = len(task.inputs)
    if samples <= count:
        return task
    chosen = np.linspace(0, samples - 1, count).astype(int)
    number = np.full(samples, -1)
    number[chosen] = np.arange(count)
    kept = task.places[number[task.places[:, 0]] >= 0]
    places = np.stack([number[kept[:, 0]], kept[:, 1]], axis=1)
    parts = (part[chosen] for part in (task.inputs, task.lengths, task.truth, task.answered))
    inputs, lengths, truth, answered = parts
    return asked.Task(inputs, lengths, truth, answered, places)
