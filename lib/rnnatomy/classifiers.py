"""Classifiers that are published, put together again: as trained, and as they were before."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from rnnatomy import models, runs, training


def restore(run: runs.Run) -> models.LSTMClassifier:
    """Build the classifier that a run holds."""
    model = _like(run, jax.random.key(0))
    runs.unflatten(run.parameters, model)
    return model


def untrained(run: runs.Run) -> runs.Run:
    """Return a run as it was before training: the same seed, the initial parameters."""
    model = _like(run, jax.random.key(run.provenance["seed"]))
    parameters = runs.flatten(nnx.state(model))
    return run._replace(parameters=parameters, metrics={}, states=None, labels=None)


def last_states(
    model: models.LSTMClassifier, images: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample hidden"]:
    """Run a classifier over images and return its hidden state after the last row of each."""
    return np.asarray(_last_states(*nnx.split(model), jnp.asarray(images)))


@partial(jax.jit, static_argnums=0)
def _last_states(graph: Any, parameters: Any, images: Array) -> Array:
    model = nnx.merge(graph, parameters)
    return training.predict(lambda batch: model.states(batch)[:, -1], images)


def _like(run: runs.Run, key: PRNGKeyArray) -> models.LSTMClassifier:
    feature, gates = run.parameters["cell.dense_i.kernel"].shape
    hidden = gates // len(models.GATES)
    return models.LSTMClassifier(feature, hidden, len(run.bias), rngs=nnx.Rngs(key))
