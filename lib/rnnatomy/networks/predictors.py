"""Sequence predictors: fitting them, and what their hidden states tell about the sequences.

A predictor is a sequence-to-sequence network that reads the first frames of a sequence and goes on
with the frames that follow.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from rnnatomy.networks import access, models, training

SKIP = 2
"""Of the decoder states that are followed through training, one in so many is kept."""


class Examples(NamedTuple):
    """Sequences, cut into what is read and what is to be predicted.

    Attributes:
        inputs: the frames that are read.
        targets: the frames that follow.
    """

    inputs: Float[np.ndarray, "sample read feature"]
    targets: Float[np.ndarray, "sample time feature"]


def seq2seq(feature: int, hidden: int, **options: Any) -> training.Create:
    """Return what makes an untrained network from a key; ``options`` as of ``models.Seq2Seq``."""
    return lambda key: models.Seq2Seq(feature, hidden, rngs=nnx.Rngs(key), **options)


def fit(
    train: Examples,
    create: training.Create,
    recipe: training.Recipe,
    seeds: Sequence[int],
    followed: dict[str, Examples],
    report: Callable[[training.Epoch], None] | None = None,
) -> training.Fitted:
    """Fit one predictor per seed, all as one computation, and follow it on sequences it never sees.

    Args:
        train: what they are fitted to.
        create: makes a network from a key.
        recipe: optimiser and schedule.
        seeds: one network each.
        followed: by name; at least one.
        report: called when an epoch has ended.

    Returns:
        The networks; the history has "loss", and after each epoch "<name>_loss" (epoch, seed) for
        what is followed, and "states" (epoch, seed, sample, time, hidden): the decoder's on the
        first of them, one frame in ``SKIP``.

    Raises:
        ValueError: if there is no seed, or nothing is followed; or as ``training.fit_ensemble``.
    """
    if not len(seeds):
        raise ValueError("there is no seed: give one for each network.")
    if not followed:
        raise ValueError("nothing is followed: give examples by name, such as a validation part.")
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    return training.fit_ensemble(
        create,
        training.squared_error,
        tuple(train),
        recipe,
        keys,
        measure=_following(tuple(followed)),
        held=tuple(followed.values()),
        report=report,
    )


def trajectory(
    network: models.Seq2Seq, inputs: Float[np.ndarray, "sample read feature"], frames: int
) -> models.Trajectory:
    """Run a predictor over sequences and return what it went through, as NumPy arrays.

    Raises:
        ValueError: if inputs do not fit the network, or there are too few frames.
    """
    access.check_sequences(network, inputs)
    return models.Trajectory(*map(np.asarray, _trajectory(network, jnp.asarray(inputs), frames)))


def onward(network: models.Seq2Seq, frames: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what runs a decoder on from hidden states and frames, for so many frames.

    Args:
        network: a predictor whose cell carries its hidden state alone, such as a GRU.
        frames: at least 1.

    Raises:
        ValueError: if the cell carries more than its hidden state.
    """
    if network.entry.copies > 1:
        raise ValueError(
            f"cell {network.config['cell']!r} carries more than its hidden state: give a network "
            "with a cell that does not, such as 'gru'."
        )
    return lambda state, frame: np.asarray(_decode(network, state, frame, frames))


@lru_cache
def _following(names: tuple[str, ...]) -> Callable[..., dict[str, Array]]:
    """Return what measures a predictor on examples of these names; the same for the same names."""

    def measure(model: nnx.Module, *parts: Examples) -> dict[str, Array]:
        found: dict[str, Array] = {}
        for name, part in zip(names, parts, strict=True):
            path = model.trajectory(part.inputs, part.targets.shape[1])  # type: ignore[attr-defined]
            found[f"{name}_loss"] = jnp.square(path.outputs - part.targets).mean()
            found.setdefault("states", path.decoder[:, ::SKIP])
        return found

    return measure


@nnx.jit(static_argnames="frames")
def _trajectory(network: Any, inputs: Array, frames: int) -> models.Trajectory:
    return network.trajectory(inputs, frames)


@nnx.jit(static_argnames="frames")
def _decode(network: Any, state: Any, frame: Any, frames: int) -> Array:
    return network.decode(network.entry.carry(state), frame, frames)[0]
