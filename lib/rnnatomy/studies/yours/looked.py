"""A network from elsewhere, and what it makes of its owner's sequences."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import cutoffs, explained, svd
from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import ways
from rnnatomy.store import disk
from rnnatomy.studies.yours import asked


class Run(NamedTuple):
    """A network and what it makes of sequences.

    Attributes:
        network: as one of ours.
        states: of its last layer, after every frame.
        read: what its readout reads, for each answer that is looked at.
        readout: its output layer; one number that stands for two classes is spread over both.
        parts: of that.
    """

    network: models.Stacked
    states: Float[np.ndarray, "sample time hidden"]
    read: Float[np.ndarray, "answer hidden"]
    readout: access.Readout
    parts: svd.SVD

    @property
    def outputs(self) -> Float[np.ndarray, "answer name"]:
        """What it answers, before a softmax."""
        return self.read @ self.readout.W.T + self.readout.b


def made(config: dict[str, Any], weights: disk.Arrays) -> models.Stacked:
    """Return the network of a config and its arrays."""
    network: Any = access.build(config, jax.random.key(0))
    access.unflatten(weights, network)
    return network


def run(network: models.Stacked, task: asked.Task) -> Run:
    """Let a network read sequences.

    Args:
        network: from ``load.load``.
        task: what it is asked.
    """
    states = ways.states(network, task.inputs, task.lengths)
    read = at_places(features(network, states, task.lengths), task)
    readout = output_layer(network, task)
    return Run(network, states, read, readout, svd.svd(readout.W))


def features(
    network: models.Stacked,
    states: Float[np.ndarray, "sample time hidden"],
    lengths: np.ndarray,
) -> Float[np.ndarray, "sample ..."]:
    """Return what a readout reads of states: (sample, hidden), or (sample, time, hidden)."""
    read = before_norm(network, states, lengths)
    return read if network.normalise is None else np.asarray(network.normalise(jnp.asarray(read)))


def before_norm(
    network: models.Stacked,
    states: Float[np.ndarray, "sample time hidden"],
    lengths: np.ndarray,
) -> Float[np.ndarray, "sample ..."]:
    """Return what a readout reads, as ``features``, before it is normalised."""
    reads, both_ways = network.config["reads"], network.config["both_ways"]
    given = jnp.asarray(states), jnp.asarray(lengths)
    return np.asarray(models.read_states(*given, reads, both_ways=both_ways))


def at_places(
    read: Float[np.ndarray, "sample ..."], task: asked.Task
) -> Float[np.ndarray, "answer hidden"]:
    """Pick what is read for each answer that is looked at, from ``features`` or ``before_norm``."""
    sequence, frame = task.places.T
    return read[sequence, frame] if read.ndim == 3 else read[sequence]


def early(found: Run, task: asked.Task, until: np.ndarray) -> Float[np.ndarray, "sample hidden"]:
    """Return what the readout would read, had each sequence ended after so many frames.

    Args:
        found: a network and its states.
        task: the sequences.
        until: frames of each that are read, at least 1.
    """
    states = found.states
    if found.network.config["both_ways"]:
        states = ways.states(found.network, task.inputs, until)
    read = features(found.network, states, until)
    return read[np.arange(len(until)), until - 1] if read.ndim == 3 else read


def output_layer(network: models.Stacked, task: asked.Task) -> access.Readout:
    """Return the output layer; a single output that tells two classes apart as two rows."""
    W, b = access.readout(network)
    if task.by_class and len(b) == 1:
        return access.Readout(np.concatenate([-W, W]) / 2, np.concatenate([-b, b]) / 2)
    return access.Readout(W, b)


def scores(
    outputs: Float[np.ndarray, "answer name"], truth: np.ndarray
) -> Float[np.ndarray, " name"]:
    """Return the recall of each class, or the share of each output's variance that is explained."""
    score = cutoffs.recall if truth.dtype.kind == "i" else explained.r_squared
    return score(outputs, truth)


def score(outputs: Float[np.ndarray, "answer name"], truth: np.ndarray) -> float:
    """Return the share of answers that are right, or of variance that is explained on average.

    Targets that are the same in all of these answers do not count; NaN if all are.
    """
    if truth.dtype.kind == "i":
        return float(np.mean(outputs.argmax(axis=1) == truth))
    varies = np.ptp(truth, axis=0) > 0
    if not varies.any():
        return float("nan")
    return float(explained.r_squared(outputs[:, varies], truth[:, varies]).mean())
