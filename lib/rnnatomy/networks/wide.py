"""Fitting one wide predictor for a fixed number of iterations, as Su and Shlizerman (2020) do.

Adam at a constant rate, gradients clipped by their global norm, and batches of windows that start
anywhere in one long sequence. A wide network spends its time on reading kernels from memory, so
products may take their factors in half the bits (bfloat16) and are summed in float32; parameters
and everything else stay in float32.

No gradient of a kernel is summed over frames while it goes back: the slopes of what each product
gives are kept, and one product with what it read, over all frames at once, is the gradient.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from rnnatomy.networks import cells, models, training
from rnnatomy.store import checkpoints

LARGEST = 0.04
"""The readout is drawn from -0.04 to 0.04, as the authors draw it."""


class Recipe(NamedTuple):
    """Everything that decides a training, but the network, the frames and the key.

    Attributes:
        read: frames that are read, at least 1.
        predict: frames that are predicted, at least 1.
        batch: windows of each iteration, at least 1.
        learning_rate: of Adam, constant.
        clip: largest global norm of a gradient.
        halved: whether products take bfloat16 factors.
    """

    read: int = 25
    predict: int = 25
    batch: int = 16
    learning_rate: float = 1e-4
    clip: float = 1.0
    halved: bool = True


def create(feature: int, hidden: int, key: PRNGKeyArray) -> models.Seq2Seq:
    """Draw a predictor as the authors' one is drawn.

    A GRU that resets before the product; encoder and decoder are one; each output is read from the
    state, and not added to the frame before. Kernels are drawn as of Glorot, for frame and state
    together; the biases of both gates are 1.

    Args:
        feature: size of a frame.
        hidden: number of units.
        key: random key.

    Reference:
        Glorot and Bengio (2010); Su and Shlizerman (2020).
    """
    network: Any = models.Seq2Seq(feature, hidden, cell="gru-before", rngs=nnx.Rngs(key))
    gates, new, out, bias = jax.random.split(key, 4)
    glorot = jax.nn.initializers.glorot_uniform()
    kernel = jnp.concatenate(
        [
            glorot(gates, (feature + hidden, 2 * hidden)),
            glorot(new, (feature + hidden, hidden)),
        ],
        axis=1,
    )
    cell, readout = network.encoder, network.readout
    cell.dense_i.kernel[...], cell.dense_h.kernel[...] = kernel[:feature], kernel[feature:]
    cell.dense_i.bias[...] = jnp.repeat(jnp.asarray([1.0, 1.0, 0.0]), hidden)
    for part, own in ((readout.kernel, out), (readout.bias, bias)):
        part[...] = jax.random.uniform(own, part.shape, minval=-LARGEST, maxval=LARGEST)
    return network


def fit(
    network: models.Seq2Seq,
    frames: Float[np.ndarray, "time feature"],
    recipe: Recipe,
    key: PRNGKeyArray,
    moments: tuple[int, ...],
    measure: Callable[[models.Seq2Seq], dict[str, Any]],
    checkpoint: Path | None = None,
) -> list[dict[str, Any]]:
    """Train a predictor, and measure it at some moments.

    Args:
        network: untrained, as of ``create``; it stays as it is.
        frames: one sequence, scaled.
        recipe: how to train.
        key: where windows start in iteration k depends on it and k alone.
        moments: iterations after which to measure, ascending from 0.
        measure: arrays and numbers by name, of a network.
        checkpoint: file to write at each moment, and to go on from if it is there.

    Returns:
        For each moment what was measured, and "train_loss": the mean loss of the batches since the
        moment before; at the first moment that of the first batch.

    Raises:
        ValueError: if the moments do not ascend from 0, or the frames are no more than a window.
        training.NotFiniteError: if a loss is not finite.
        disk.StoreError: if the checkpoint is damaged or belongs to another run.
    """
    _check(frames, recipe, moments)
    graph, parameters = nnx.split(network)
    state = parameters, clipped_adam(recipe).init(parameters)
    identity = _identity(network, frames, recipe, key, moments)
    history: list[dict[str, Any]] = []
    if checkpoint is not None and checkpoint.exists():
        state, history = checkpoints.load(checkpoint, state, identity)
    length = int(np.gcd.reduce(np.diff(moments))) if len(moments) > 1 else 1
    given = jnp.asarray(frames)
    for moment in moments[len(history) :]:
        done = moments[len(history) - 1] if history else 0
        losses = [_loss_at_start(state[0], given, key, recipe)] if not moment else []
        for start in range(done, moment, length):
            state, part = _stretch(state, given, key, start, length, recipe)
            losses.append(part.mean())
        loss = np.mean(losses)
        if not np.isfinite(loss):
            raise training.NotFiniteError(
                f"the loss is not finite before iteration {moment}: lower learning_rate."
            )
        history.append({"train_loss": loss} | measure(nnx.merge(graph, state[0])))
        if checkpoint is not None:
            checkpoints.save(checkpoint, state, identity, history)
    return history


def clipped_adam(recipe: Recipe) -> optax.GradientTransformation:
    """Return Adam at a constant rate, with clipped gradients."""
    return optax.chain(optax.clip_by_global_norm(recipe.clip), optax.adam(recipe.learning_rate))


def read_twice(
    windows: Float[np.ndarray, "sample read feature"],
) -> Float[np.ndarray, "sample read_again feature"]:
    """Repeat the last frame of windows: the authors' encoder reads it, and their decoder again.

    ``models.Seq2Seq`` hands the last frame that it is given to the decoder alone.
    """
    return np.concatenate([windows, windows[:, -1:]], axis=1)


def slopes(
    parameters: Any,
    inputs: Float[Array, "read batch feature"],
    targets: Float[Array, "time batch feature"],
    *,
    halved: bool,
) -> tuple[Float[Array, ""], Any]:
    """Return the mean squared error of a batch, and its gradient.

    Args:
        parameters: state of a predictor as of ``create``.
        inputs: frames that are read; the last of them is read again, to predict the first.
        targets: frames that follow.
        halved: as of ``Recipe``.
    """
    flat = cells.parameters(parameters)
    names = {name.split(".", 1)[1] if "dense" in name else name: name for name in flat}
    p = {short: flat[name] for short, name in names.items()}
    (time, batch, _), width = inputs.shape, len(p["dense_i.bias"])
    nudges = {
        "encoder": jnp.zeros((time, batch, width)),
        "decoder": jnp.zeros((len(targets), batch, width)),
        "output": jnp.zeros(targets.shape),
    }
    dtype = jnp.bfloat16 if halved else jnp.float32
    ahead = partial(_ahead, p, inputs, targets, dtype)
    loss, back, seen = jax.vjp(ahead, nudges, has_aux=True)
    (slope,) = back(jnp.ones(()))
    before = jnp.concatenate([slope["encoder"], slope["decoder"]])
    gates = 2 * (width // 3)
    found = {
        "dense_i.kernel": _over_time(seen["fed"], before, dtype),
        "dense_i.bias": before.sum(axis=(0, 1)),
        "dense_h.kernel": jnp.concatenate(
            [
                _over_time(seen["state"], before[..., :gates], dtype),
                _over_time(seen["reset"], before[..., gates:], dtype),
            ],
            axis=1,
        ),
        "readout.kernel": _over_time(seen["after"], slope["output"], dtype),
        "readout.bias": slope["output"].sum(axis=(0, 1)),
    }
    leaves = [found[short] for short in p]
    return loss, jax.tree.unflatten(jax.tree.structure(parameters), leaves)


def _ahead(
    p: dict[str, Array], inputs: Array, targets: Array, dtype: Any, nudges: dict[str, Array]
) -> tuple[Array, dict[str, Array]]:
    """Return the loss where what each product gives is nudged, and what each product reads."""
    hidden = len(p["dense_h.kernel"])
    gates, new = jnp.split(p["dense_h.kernel"], [2 * hidden], axis=1)
    kernels = (p["dense_i.kernel"], gates, new, p["readout.kernel"])
    # the way back reads them transposed, which is done once, and not at every frame
    read, kept_gates, kept_new, out = ((k.astype(dtype), k.T.astype(dtype)) for k in kernels)
    bias, out_bias = p["dense_i.bias"][None], p["readout.bias"][None]

    def cell(h: Array, first: Array) -> tuple[Array, Array]:
        gates = jax.nn.sigmoid(first[:, : 2 * hidden] + _product(h, kept_gates))
        r, z = gates[:, :hidden], gates[:, hidden:]
        n = jnp.tanh(first[:, 2 * hidden :] + _product(r * h, kept_new))
        return (1 - z) * n + z * h, r * h

    def encode(h: Array, first: Array) -> tuple[Array, tuple[Array, Array]]:
        after, reset = cell(h, first)
        return after, (h, reset)

    def decode(carried: tuple[Array, Array], nudge: tuple[Array, Array]) -> tuple[Any, Any]:
        h, fed = carried
        after, reset = cell(h, _product(fed, read) + bias + nudge[0])
        output = _product(after, out) + out_bias + nudge[1]
        return (after, output), (h, reset, fed, after, output)

    flat = inputs.reshape(-1, inputs.shape[-1])
    first = (_product(flat, read) + bias).reshape(nudges["encoder"].shape) + nudges["encoder"]
    h, encoder = jax.lax.scan(encode, jnp.zeros((inputs.shape[1], hidden)), first)
    _, (*decoder, fed, after, outputs) = jax.lax.scan(
        decode, (h, inputs[-1]), (nudges["decoder"], nudges["output"])
    )
    state, reset = (jnp.concatenate(pair) for pair in zip(encoder, decoder, strict=True))
    seen = {"state": state, "reset": reset, "fed": jnp.concatenate([inputs, fed]), "after": after}
    return jnp.square(outputs - targets).mean(), seen


@jax.custom_vjp
def _product(rows: Array, kernels: tuple[Array, Array]) -> Array:
    """Multiply with a kernel, given with its transpose, which has no gradient."""
    return _matmul(rows, kernels[0])


def _product_ahead(rows: Array, kernels: tuple[Array, Array]) -> tuple[Array, Array]:
    return _matmul(rows, kernels[0]), kernels[1]


def _product_back(transposed: Array, slope: Array) -> tuple[Array, None]:
    return _matmul(slope, transposed), None


def _matmul(rows: Array, kernel: Array) -> Array:
    """Multiply in the precision of a kernel, and sum in float32."""
    return jnp.matmul(rows.astype(kernel.dtype), kernel, preferred_element_type=jnp.float32)


_product.defvjp(_product_ahead, _product_back)


def _over_time(rows: Array, slope: Array, dtype: Any) -> Array:
    """Return the gradient of a kernel from what it read and the slopes of what it gave."""
    slope = slope.reshape(-1, slope.shape[-1]).astype(dtype)
    return _matmul(rows.reshape(-1, rows.shape[-1]).T, slope)


def _windows(
    frames: Array, key: PRNGKeyArray, number: Any, recipe: Recipe
) -> tuple[Float[Array, "read batch feature"], Float[Array, "time batch feature"]]:
    """Draw the windows of an iteration."""
    whole = recipe.read + recipe.predict
    key = jax.random.fold_in(key, number)
    starts = jax.random.randint(key, (recipe.batch,), 0, len(frames) - whole)
    windows = frames[starts[None] + jnp.arange(whole)[:, None]]
    return windows[: recipe.read], windows[recipe.read :]


@partial(jax.jit, static_argnames=("length", "recipe"))
def _stretch(
    state: Any, frames: Array, key: PRNGKeyArray, start: Any, length: int, recipe: Recipe
) -> tuple[Any, Float[Array, " iteration"]]:
    """Go on for some iterations."""
    adam = clipped_adam(recipe)

    def step(state: Any, number: Array) -> tuple[Any, Array]:
        parameters, memory = state
        batch = _windows(frames, key, number, recipe)
        loss, slope = slopes(parameters, *batch, halved=recipe.halved)
        updates, memory = adam.update(slope, memory, parameters)
        return (optax.apply_updates(parameters, updates), memory), loss

    return jax.lax.scan(step, state, start + jnp.arange(length))


@partial(jax.jit, static_argnames="recipe")
def _loss_at_start(parameters: Any, frames: Array, key: PRNGKeyArray, recipe: Recipe) -> Array:
    return slopes(parameters, *_windows(frames, key, 0, recipe), halved=recipe.halved)[0]


def _identity(
    network: models.Seq2Seq,
    frames: np.ndarray,
    recipe: Recipe,
    key: PRNGKeyArray,
    moments: tuple[int, ...],
) -> dict[str, Any]:
    """Return what a checkpoint belongs to."""
    return {
        "model": network.config,
        "recipe": recipe._asdict(),
        "moments": list(moments),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "frames": hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest(),
    }


def _check(frames: np.ndarray, recipe: Recipe, moments: tuple[int, ...]) -> None:
    if not moments or moments[0] != 0 or (np.diff(moments) <= 0).any():
        raise ValueError(f"the moments are {moments}: give iterations that ascend from 0.")
    whole = recipe.read + recipe.predict
    if len(frames) <= whole:
        raise ValueError(f"there are {len(frames)} frames: give more than {whole}, a window.")
