"""Sequence predictors: fitting them, and what their hidden states tell about the sequences.

A predictor is a sequence-to-sequence network that reads the first frames of a sequence and goes on
with the frames that follow.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from scipy.spatial import KDTree

from rnnatomy import clusters, models, pod, training

SKIP = 2
"""Of the decoder states that are followed through training, one in so many is kept."""

VIEWS = {
    "averages": clusters.averages,
    "trajectories": clusters.trajectories,
    "states": clusters.states,
}
"""Ways to take hidden states as points, by name."""

POINTS = 400
"""At most so many states are compared with each other; of more, a random part."""


class Examples(NamedTuple):
    """Sequences, cut into what is read and what is to be predicted.

    Attributes:
        inputs: the frames that are read.
        targets: the frames that follow.
    """

    inputs: Float[np.ndarray, "sample read feature"]
    targets: Float[np.ndarray, "sample time feature"]


class Went(NamedTuple):
    """What a predictor went through; as ``models.Trajectory``, in NumPy arrays.

    Attributes:
        encoder: hidden state after each frame that was read.
        decoder: hidden state after each frame that was fed back.
        outputs: predicted frames.
    """

    encoder: Float[np.ndarray, "sample read hidden"]
    decoder: Float[np.ndarray, "sample time hidden"]
    outputs: Float[np.ndarray, "sample time feature"]


class Return(NamedTuple):
    """What becomes of decoders whose state was pushed, as a share of the size of the orbits.

    Attributes:
        same_time: distance from the decoder that was not pushed, at the same time.
        nearest: distance from the nearest state that the latter ever takes.
    """

    same_time: Float[np.ndarray, "sample time"]
    nearest: Float[np.ndarray, "sample time"]


class Approach(NamedTuple):
    """How near each state comes to the orbits of its own class and of the others.

    Attributes:
        own: distance to the nearest decoder state of another sample of the same class, as a share
            of the size of the orbits.
        other: the same for the nearest sample of any other class.
    """

    own: Float[np.ndarray, "sample time"]
    other: Float[np.ndarray, "sample time"]


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
    """
    parts = {name: jax.tree.map(jnp.asarray, part) for name, part in followed.items()}

    def measure(model: nnx.Module) -> dict[str, Array]:
        found = {}
        for name, part in parts.items():
            went = model.trajectory(part.inputs, part.targets.shape[1])  # type: ignore[attr-defined]
            found[f"{name}_loss"] = jnp.square(went.outputs - part.targets).mean()
            found.setdefault("states", went.decoder[:, ::SKIP])
        return found

    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    return training.fit_ensemble(
        create, training.squared_error, tuple(train), recipe, keys, measure=measure, report=report
    )


def trajectory(
    model: models.Seq2Seq, inputs: Float[np.ndarray, "sample read feature"], frames: int
) -> Went:
    """Run a predictor over sequences and return what it went through, as NumPy arrays."""
    found = _trajectory(*nnx.split(model), jnp.asarray(inputs), frames)
    return Went(*map(np.asarray, found))


def approach(
    encoder: Float[np.ndarray, "sample read hidden"],
    decoder: Float[np.ndarray, "sample time hidden"],
    labels: Int[np.ndarray, " sample"],
) -> Approach:
    """Measure how near states come to the decoder's orbits of each class, frame by frame.

    Half of the samples of each class give the orbits, the other half is measured.

    Args:
        encoder: states while reading.
        decoder: states while predicting.
        labels: class of each sample; at least two classes, each with two samples.

    Returns:
        For the measured half; time runs on from encoder to decoder.

    Raises:
        ValueError: if there is one class only, or a class with one sample.
    """
    classes, number = np.unique(labels, return_inverse=True)
    counts = np.bincount(number)
    if len(classes) < 2 or counts.min() < 2:
        raise ValueError(
            f"classes have {counts.tolist()} samples: give two classes or more, with two each."
        )
    rank = np.zeros(len(labels), int)
    for k in range(len(classes)):
        rank[number == k] = np.arange(counts[k])
    gives = rank % 2 == 0
    orbits = [KDTree(np.concatenate(decoder[gives & (number == k)])) for k in range(len(classes))]
    states = np.concatenate([encoder, decoder], axis=1)[~gives]
    distances = np.stack([tree.query(states)[0] for tree in orbits]) / size_of(decoder)
    is_own = number[~gives] == np.arange(len(classes))[:, None]
    own = np.where(is_own[:, :, None], distances, np.inf).min(axis=0)
    other = np.where(is_own[:, :, None], np.inf, distances).min(axis=0)
    return Approach(own, other)


def push(
    onward: Callable[[np.ndarray, np.ndarray], np.ndarray],
    went: Went,
    at: int,
    size: float,
    rng: np.random.Generator,
) -> Return:
    """Push decoders' states in random directions, and see whether they come back.

    Args:
        onward: gives the states (sample, time, hidden) that follow from states (sample, hidden)
            and the frames that are fed first (sample, feature), as ``onward`` does.
        went: trajectories of the same dynamics.
        at: number of the decoder state that is pushed, from 0.
        size: of the push, as a share of the size of the orbits, above 0.
        rng: source of the directions.

    Raises:
        ValueError: if ``at`` or ``size`` is out of range.
    """
    last = went.decoder.shape[1] - 1
    if not 0 <= at <= last or not size > 0:
        raise ValueError(f"push of size {size} at {at}: give a size above 0, at 0 to {last}.")
    state, frame = went.decoder[:, at], went.outputs[:, at]
    unit = size_of(went.decoder)
    directions = rng.normal(size=state.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    pushed = (state + size * unit * directions).astype(state.dtype)
    free, moved = onward(state, frame), onward(pushed, frame)
    nearest = [KDTree(path).query(other)[0] for path, other in zip(free, moved, strict=True)]
    return Return(np.linalg.norm(moved - free, axis=-1) / unit, np.stack(nearest) / unit)


def onward(model: models.Seq2Seq, frames: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what runs a decoder on from hidden states and frames, for so many frames.

    Args:
        model: a predictor whose cell carries its hidden state alone (a GRU).
        frames: at least 1.
    """
    graph, parameters = nnx.split(model)
    return lambda state, frame: np.asarray(_decode(graph, parameters, state, frame, frames))


def size_of(states: Float[np.ndarray, "sample time hidden"]) -> float:
    """Return the root mean square distance of states from their mean: the size of the orbits."""
    return float(np.sqrt(np.square(states - states.mean(axis=(0, 1))).sum(axis=-1).mean()))


def found_clusters(
    states: Float[np.ndarray, "sample time hidden"],
    labels: Int[np.ndarray, " sample"],
    rng: np.random.Generator,
) -> dict[str, dict[str, float]]:
    """Cluster decoder states under each view, as many clusters as classes, and score the clusters.

    Args:
        states: hidden states.
        labels: class of each sample.
        rng: source of k-means' starts, and of the part of many points.

    Returns:
        By view: "silhouette" of the true classes; "kmeans" and "ward", the silhouette of the
        clusters found, which needs no labels; "kmeans_ari" and "ward_ari", their adjusted Rand
        index against the classes.
    """
    classes = len(np.unique(labels))
    methods = {
        "kmeans": partial(clusters.kmeans, rng=rng),
        "ward": partial(clusters.agglomerative, linkage="ward"),
    }
    scores = {}
    for name, view in VIEWS.items():
        points, sample = view(states)
        if len(points) > POINTS:
            kept = clusters.subsample(rng, labels[sample], POINTS)
            points, sample = points[kept], sample[kept]
        score = {"silhouette": clusters.silhouette(points, labels[sample])}
        for method, cluster in methods.items():
            found = cluster(points, classes)
            score[method] = clusters.silhouette(points, found)
            score[f"{method}_ari"] = clusters.agreement(found, labels[sample]).ari
        scores[name] = score
    return scores


def modes_of(went: Went, fractions: Sequence[float] = (0.95, 0.99)) -> Int[np.ndarray, " fraction"]:
    """Return how many centred POD modes of encoder and decoder states hold fractions of energy."""
    basis = pod.pod(pod.concatenate(went.encoder, went.decoder), centred=True)
    return np.array([pod.modes_for(basis, fraction) for fraction in fractions])


@partial(jax.jit, static_argnums=(0, 3))
def _trajectory(graph: Any, parameters: Any, inputs: Array, frames: int) -> models.Trajectory:
    return nnx.merge(graph, parameters).trajectory(inputs, frames)


@partial(jax.jit, static_argnums=(0, 4))
def _decode(graph: Any, parameters: Any, state: Array, frame: Array, frames: int) -> Array:
    return nnx.merge(graph, parameters).decode(state, frame, frames)[0]
