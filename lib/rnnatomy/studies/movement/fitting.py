"""Fitting predictors to movements, and their errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array

from rnnatomy.networks import predictors, training
from rnnatomy.studies.movement import embeddings, protocols


def fit(
    sequences: Sequence[np.ndarray],
    plan: protocols.Plan,
    seeds: Sequence[int],
    checkpoint: Path | None = None,
    *,
    residual: bool = True,
) -> training.Fitted:
    """Fit predictors to all windows of sequences; their parameters are kept after each epoch.

    Args:
        sequences: scaled, as recorded; all phases of ``plan.step`` are used.
        plan: how to cut and to fit.
        seeds: one network each.
        checkpoint: as of ``training.fit_ensemble``.
        residual: as of ``create``.

    Raises:
        ValueError: as ``embeddings.cut``, and as ``training.fit_ensemble``.
        disk.StoreError: as ``training.fit_ensemble``.
    """
    cuts = [
        embeddings.cut(frames[phase :: plan.step], plan.read, plan.predict, plan.apart).examples
        for frames in sequences
        for phase in range(plan.step)
    ]
    train = tuple(np.concatenate(arrays) for arrays in zip(*cuts, strict=True))
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    return training.fit_ensemble(
        create(sequences[0].shape[1], plan, residual=residual),
        training.squared_error,
        train,
        plan.recipe,
        keys,
        measure=leaves,
        checkpoint=checkpoint,
    )


def create(feature: int, plan: protocols.Plan, *, residual: bool = True) -> training.Create:
    """Return what makes an untrained predictor from a key: tied, as the authors' is.

    Args:
        feature: numbers in a frame.
        plan: how many units it has.
        residual: whether it predicts the change from frame to frame.
    """
    return predictors.seq2seq(feature, plan.hidden, residual=residual)


def untrained(feature: int, plan: protocols.Plan, seed: int) -> Any:
    """Return a predictor as it is before training."""
    return create(feature, plan)(jax.random.key(seed))


def networks_by_epoch(fitted: training.Fitted, seed: int) -> list[Any]:
    """Return one network of an ensemble, by its place in it, after each epoch."""
    last, tree = jax.tree.flatten(fitted.parameters)
    leaves = [fitted.history[_leaf_name(number)][:, seed] for number in range(len(last))]
    return [
        nnx.merge(fitted.graph, jax.tree.unflatten(tree, [leaf[epoch] for leaf in leaves]))
        for epoch in range(len(leaves[0]))
    ]


def error(model: Any, sequences: Sequence[np.ndarray], plan: protocols.Plan) -> float:
    """Return the mean squared error of predictions of sequences, in scaled units.

    Raises:
        ValueError: if a sequence is too short to be read and predicted once.
    """
    cuts = embeddings.cut_once(sequences, plan)
    outputs = np.concatenate(
        embeddings.run_windows(model, cuts, plan.predict, lambda went: went.outputs)
    )
    targets = np.concatenate([made.examples.targets for made in cuts])
    return float(np.square(outputs - targets).mean())


def leaves(model: nnx.Module) -> dict[str, Array]:
    """Return the arrays of a network by number, as ``networks_by_epoch`` finds them in a history.

    As what ``training.fit_ensemble`` measures, it keeps the networks of every epoch.
    """
    return {_leaf_name(k): leaf for k, leaf in enumerate(jax.tree.leaves(nnx.state(model)))}


def _leaf_name(number: int) -> str:
    return f"{number:02d}"
