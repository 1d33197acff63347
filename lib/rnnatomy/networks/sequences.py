"""Recurrent cells over whole sequences, with gradients written by hand.

Differentiating a scan over a cell's ``step`` is exact but slow: much of the time goes into
activations that are computed again and into many small arrays. Here the forward pass keeps the
factors that the backward pass multiplies by, in one array, and the backward pass sums the gradients
of the weights while it goes back. Without gradients the plain scan runs, and nothing is kept.

What runs a sequence is a function of (parameters, carry, frames, keep): the arrays of the cell by
dotted path, the carry before the first frame, the frames (time, batch, feature), and whether the
hidden states are wanted. It gives the last carry, and the hidden states (time, batch, hidden) or
None. Its gradients are of the first order, in reverse; higher or forward ones need the plain scan.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Parameters = Mapping[str, Any]
"""Arrays of a cell by dotted path, such as "dense_h.kernel"."""

Sequence = Callable[[Parameters, Any, Array, bool], tuple[Any, Any]]
"""Runs a sequence, as above."""


def plain(
    step: Callable[[Parameters, Any, Array], Any], hidden: Callable[[Any], Array]
) -> Sequence:
    """Return what runs a sequence step by step: the reference.

    Args:
        step: gives the carry that follows from (parameters, carry, frame).
        hidden: gives the hidden state of a carry.
    """

    def run(parameters: Parameters, start: Any, frames: Array, keep: bool) -> tuple[Any, Any]:
        def one(carry: Any, frame: Array) -> tuple[Any, Any]:
            carry = step(parameters, carry, frame)
            return carry, hidden(carry) if keep else None

        return jax.lax.scan(one, start, frames)

    return run


def lstm(reference: Sequence) -> Sequence:
    """Return an LSTM with a gradient written by hand; its arrays are those of ``cells``.

    With i, f, o = (tanh(z / 2) + 1) / 2 and g = tanh(z), all four gates are one tanh of one array,
    the half folded into the weights; then c <- f c + i g and h <- o tanh(c).

    Args:
        reference: the plain scan.
    """
    return _with_gradient(reference, _lstm_ahead, _lstm_back)


def gru(reference: Sequence) -> Sequence:
    """Return a GRU that resets after the product, with a gradient written by hand.

    One tanh gives r and z, as in ``lstm``, another n = tanh(W x + b + r (R h + d)); then
    h <- n + z (h - n). The bias d within the reset may be there or not.

    Args:
        reference: the plain scan.
    """
    return _with_gradient(reference, _gru_ahead, _gru_back)


def _with_gradient(reference: Sequence, ahead: Callable, back: Callable) -> Sequence:
    """Return a reference whose gradient is that of a pass ahead and a pass back.

    Args:
        reference: runs where no gradient is asked.
        ahead: gives the last carry, the hidden states before, between and after all frames, and
            the factors of each frame, from (parameters, carry, frames).
        back: gives the gradients of (parameters, carry, frames) from (parameters, hidden states,
            factors, frames), those of the last carry, and of the hidden states or None.
    """

    @partial(jax.custom_vjp, nondiff_argnums=(3,))
    def run(parameters: Parameters, start: Any, frames: Array, keep: bool) -> tuple[Any, Any]:
        return reference(parameters, start, frames, keep)

    def forward(parameters: Parameters, start: Any, frames: Array, keep: bool) -> tuple[Any, Any]:
        carry, states, factors = ahead(parameters, start, frames)
        return (carry, states[1:] if keep else None), (parameters, states, factors, frames)

    def backward(keep: bool, residuals: tuple[Any, ...], slopes: tuple[Any, Any]) -> Any:
        found, start, frames = back(*residuals, *slopes)
        zero = jax.tree.map(jnp.zeros_like, residuals[0])
        return {name: found.get(name, leaf) for name, leaf in zero.items()}, start, frames

    run.defvjp(forward, backward)

    def choose(parameters: Parameters, start: Any, frames: Array, keep: bool) -> tuple[Any, Any]:
        dtypes = {leaf.dtype for leaf in jax.tree.leaves((parameters, start, frames))}
        same = len(dtypes) == 1 and len(frames)
        return (run if same else reference)(parameters, start, frames, keep)

    return choose


def _lstm_ahead(p: Parameters, start: Any, frames: Array) -> tuple[Any, Array, Array]:
    (time, batch, _), hidden = frames.shape, p["dense_h.kernel"].shape[0]
    halved = _halved(frames.dtype, hidden, (True, True, False, True))
    kernel = jnp.concatenate([p["dense_i.kernel"], p["dense_h.kernel"]]) * halved
    bias = p["dense_h.bias"][None] * halved

    def step(carried: Any, taken: tuple[Array, Array]) -> tuple[Any, None]:
        (c, h), states, factors = carried
        place, x = taken
        a = jnp.tanh(jnp.concatenate([x, h], axis=1) @ kernel + bias)
        i, f, g, o = jnp.split(a, 4, axis=1)
        i, f, o = _logistic(i), _logistic(f), _logistic(o)
        before, c = c, f * c + i * g
        shown = jnp.tanh(c)
        h = o * shown
        parts = (
            g * i * (1 - i),
            before * f * (1 - f),
            i * (1 - g * g),
            h * (1 - o),
            f,
            o * (1 - shown * shown),
        )
        return ((c, h), _put(states, place + 1, h), _put(factors, place, *parts)), None

    states = _first(time, start[1])
    factors = jax.lax.empty((time, batch, 6 * hidden), frames.dtype)  # all are written
    found, _ = jax.lax.scan(step, (start, states, factors), (jnp.arange(time), frames))
    return found


def _lstm_back(
    p: Parameters, states: Array, factors: Array, frames: Array, last: Any, each: Any
) -> tuple[Any, Any, Array]:
    feature, hidden = frames.shape[2], states.shape[2]
    read, kept = p["dense_i.kernel"].T, p["dense_h.kernel"].T

    def step(carried: Any, taken: tuple[Any, ...]) -> tuple[Any, Array]:
        (dc, dh), kernel, bias = carried
        place, x, factor, more = taken
        h = jax.lax.dynamic_index_in_dim(states, place, keepdims=False)
        if more is not None:
            dh = dh + more
        dc = dc + dh * factor[:, 5 * hidden :]
        dz = jnp.concatenate([dc, dc, dc, dh], axis=1) * factor[:, : 4 * hidden]
        kernel = kernel + jnp.concatenate([x, h], axis=1).T @ dz
        before = dc * factor[:, 4 * hidden : 5 * hidden], dz @ kept
        return (before, kernel, bias + dz.sum(axis=0)), dz @ read

    zero = (
        jnp.zeros((feature + hidden, 4 * hidden), frames.dtype),
        jnp.zeros_like(p["dense_h.bias"]),
    )
    taken = jnp.arange(len(frames)), frames, factors, each
    (start, kernel, bias), inputs = jax.lax.scan(step, (last, *zero), taken, reverse=True)
    slopes = {
        "dense_i.kernel": kernel[:feature],
        "dense_h.kernel": kernel[feature:],
        "dense_h.bias": bias,
    }
    return slopes, start, inputs


def _gru_ahead(p: Parameters, start: Any, frames: Array) -> tuple[Any, Array, Array]:
    (time, batch, _), hidden = frames.shape, p["dense_h.kernel"].shape[0]
    halved = _halved(frames.dtype, hidden, (True, True, False))
    read, bias = p["dense_i.kernel"] * halved, p["dense_i.bias"][None] * halved
    kept, within = p["dense_h.kernel"] * halved, _within(p) * halved

    def step(carried: Any, taken: tuple[Array, Array]) -> tuple[Any, None]:
        h, states, factors = carried
        place, x = taken
        first, second = x @ read + bias, h @ kept + within
        a = _logistic(jnp.tanh(first[:, : 2 * hidden] + second[:, : 2 * hidden]))
        r, z, m = a[:, :hidden], a[:, hidden:], second[:, 2 * hidden :]
        n = jnp.tanh(first[:, 2 * hidden :] + r * m)
        dn = (1 - z) * (1 - n * n)
        parts = dn * m * r * (1 - r), (h - n) * z * (1 - z), dn * r, dn, z
        h = n + z * (h - n)
        return (h, _put(states, place + 1, h), _put(factors, place, *parts)), None

    states = _first(time, start)
    factors = jax.lax.empty((time, batch, 5 * hidden), frames.dtype)  # all are written
    found, _ = jax.lax.scan(step, (start, states, factors), (jnp.arange(time), frames))
    return found


def _gru_back(
    p: Parameters, states: Array, factors: Array, frames: Array, last: Array, each: Any
) -> tuple[Any, Array, Array]:
    hidden = states.shape[2]
    read, kept = p["dense_i.kernel"].T, p["dense_h.kernel"].T

    def step(carried: Any, taken: tuple[Any, ...]) -> tuple[Any, Array]:
        dh, slopes = carried
        place, x, factor, more = taken
        h = jax.lax.dynamic_index_in_dim(states, place, keepdims=False)
        if more is not None:
            dh = dh + more
        dr, dz, _, dn, through = (factor[:, k * hidden : (k + 1) * hidden] for k in range(5))
        dx = jnp.concatenate([dh * dr, dh * dz, dh * dn], axis=1)
        dk = jnp.concatenate([dh, dh, dh], axis=1) * factor[:, : 3 * hidden]
        found = x.T @ dx, dx.sum(axis=0), h.T @ dk, dk.sum(axis=0)
        slopes = tuple(a + b for a, b in zip(slopes, found, strict=True))
        return (dh * through + dk @ kept, slopes), dx @ read

    names = "dense_i.kernel", "dense_i.bias", "dense_h.kernel", "dense_h.bias"
    zero = jnp.zeros_like(p["dense_i.bias"])
    start = jnp.zeros_like(p[names[0]]), zero, jnp.zeros_like(p[names[2]]), zero
    taken = jnp.arange(len(frames)), frames, factors, each
    (first, found), inputs = jax.lax.scan(step, (last, start), taken, reverse=True)
    return dict(zip(names, found, strict=True)), first, inputs


def _within(p: Parameters) -> Array:
    """Return the bias within the reset of a GRU; zero if it has none."""
    bias = p.get("dense_h.bias")
    return jnp.zeros_like(p["dense_i.bias"])[None] if bias is None else bias[None]


def _halved(dtype: Any, hidden: int, logistic: tuple[bool, ...]) -> Float[Array, "1 gates"]:
    """Return what the columns of the kernels are multiplied by: 1/2 for a logistic gate."""
    return jnp.repeat(jnp.asarray([0.5 if gate else 1.0 for gate in logistic], dtype), hidden)[None]


def _logistic(halved: Array) -> Array:
    """Return the logistic function of z from tanh(z / 2)."""
    return 0.5 * halved + 0.5


def _first(time: int, start: Array) -> Float[Array, "states batch hidden"]:
    """Return room for the hidden states before, between and after all frames."""
    return _put(jax.lax.empty((time + 1, *start.shape), start.dtype), 0, start)


def _put(room: Array, place: Any, *parts: Array) -> Array:
    """Write arrays (batch, hidden) side by side into one row of an array, in place."""
    at = 0
    for part in parts:
        room = jax.lax.dynamic_update_slice(room, part[None], (place, 0, at))
        at += part.shape[1]
    return room
