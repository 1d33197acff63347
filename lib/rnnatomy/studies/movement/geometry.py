"""The geometry of a predictor's states, without any clustering: modes, and nearness to orbits."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import dynamics, pod, separability
from rnnatomy.networks import predictors
from rnnatomy.studies.movement import embeddings, protocols

ONWARD = 90
"""The decoder is run on for so many frames."""


WINDOWS_OF_ACTION = 30
"""It is run on from so many windows of each action at most."""


class Shape(NamedTuple):
    """What a cloud of points looks like.

    Attributes:
        modes: number of POD modes for 95% of the energy.
        silhouette: of the true labels.
    """

    modes: float
    silhouette: float


def shape(part: embeddings.Embedding, labels: Int[np.ndarray, " time"]) -> Shape:
    """Return how many modes the points of a sequence take, and how far its classes are apart.

    Args:
        part: points of the sequence.
        labels: true class of each recorded frame.
    """
    modes = pod.modes_for(pod.pod(part.points, centred=True), 0.95)
    silhouette = separability.silhouette(part.points, labels[part.at.astype(int)])
    return Shape(float(modes), silhouette)


def roles(
    model: Any, parts: protocols.Parts, plan: protocols.Plan
) -> Float[np.ndarray, "role frame"]:
    """Measure how near states come to the decoder's orbits of their own action, and of others.

    The decoder is run on for ``ONWARD`` frames, longer than it was trained for. Of each action at
    most ``WINDOWS_OF_ACTION`` windows are taken, spread over its sequences.

    Args:
        model: a predictor.
        parts: with at least two actions.
        plan: how to cut.

    Returns:
        The mean over windows of ``dynamics.approach``, first "own", then "other".

    Raises:
        ValueError: as ``embeddings.cut`` and ``dynamics.approach``.
    """
    cuts = [
        embeddings.cut(frames[:: plan.step], plan.read, 0, plan.stride) for frames in parts.held
    ]
    inputs = np.concatenate([made.examples.inputs for made in cuts])
    labels = np.repeat(parts.actions, [len(made.starts) for made in cuts])
    kept = np.concatenate([_spread(np.flatnonzero(labels == k)) for k in np.unique(labels)])
    went = predictors.trajectory(model, inputs[kept], ONWARD)
    own, other = dynamics.approach(went.encoder, went.decoder, labels[kept])
    return np.stack([own.mean(axis=0), other.mean(axis=0)])


def _spread(rows: np.ndarray) -> np.ndarray:
    """Take at most ``WINDOWS_OF_ACTION`` of them, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(WINDOWS_OF_ACTION, len(rows))).astype(int)]
