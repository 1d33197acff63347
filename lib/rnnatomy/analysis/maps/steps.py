"""One step of a map and many: what a map must be, double precision, orbits, Jacobians."""

from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from threadpoolctl import threadpool_limits

from rnnatomy.analysis import checks

Map = Callable[..., Any]
"""A JAX function of one state (hidden,) that gives the next."""

BATCH = 128
"""States that are worked on at once where each needs a matrix of its own."""

P = ParamSpec("P")
T = TypeVar("T")


def in_double(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that computes in double precision in its own thread, while it runs.

    Linear algebra takes one thread meanwhile: on many small matrices, more wait for each other.
    """

    @wraps(function)
    def doubled(*arguments: P.args, **options: P.kwargs) -> T:
        with jax.enable_x64(True), threadpool_limits(1, user_api="blas"):
            return function(*arguments, **options)

    return doubled


def check(
    F: Map, starts: Any, *frame: np.ndarray, tolerance: float | None = None
) -> tuple[Partial, Float[np.ndarray, "start hidden"]]:
    """Return a map and its starts, if they fit each other.

    Args:
        F: the map; of a state and a frame where one is given.
        starts: one state a row.
        frame: one that a driven map is fed.
        tolerance: what the map's precision must allow; None: anything.

    Returns:
        The map, which gives double precision; and the states in double precision.

    Raises:
        ValueError: if starts are no finite numbers, the map does not take a state or gives none of
            the same size, or its precision cannot reach the tolerance.
    """
    starts = checks.double("starts", starts, "start hidden")
    state = jax.ShapeDtypeStruct(starts.shape[1:], np.float64)
    fed = [jax.ShapeDtypeStruct(array.shape, np.float64) for array in frame]
    F = F if isinstance(F, Partial) else Partial(F)
    try:
        given = jax.eval_shape(lambda F, *arguments: F(*arguments), F, state, *fed)
    except TypeError as error:
        shapes = " and a frame of shape ".join(str(part.shape) for part in (state, *fed))
        raise ValueError(
            f"the map does not take a state of shape {shapes}: give what it takes."
        ) from error
    if getattr(given, "shape", None) != state.shape:
        raise ValueError(
            f"the map gives {getattr(given, 'shape', type(given).__name__)} for a state of shape "
            f"{state.shape}: give a map that keeps its dimension."
        )
    if tolerance is not None:
        _check_tolerance(tolerance, given.dtype)
    return Partial(_widened, F), starts


@in_double
def run(
    F: Map, starts: Float[np.ndarray, "start hidden"], steps: int, keep: int, bound: float = 1e6
) -> Float[np.ndarray, "start keep hidden"]:
    """Run states on, and return the last of those that follow.

    Args:
        F: the map.
        starts: one state a row, finite numbers.
        steps: how many, at least 1.
        keep: states to return, from 1 to ``steps``.
        bound: a state that is longer has run away, and stays where it is, maybe at infinity.

    Raises:
        ValueError: as ``check``; if a number is out of range, or a state turns to NaN on the way.
    """
    if not checks.is_whole(steps, 1) or not checks.is_whole(keep, 1, steps):
        raise ValueError(f"{keep} of {steps} steps: give at least 1 of each, and no more to keep.")
    F, starts = check(F, starts)
    _, path = onward(F, starts, int(steps) - int(keep), int(keep), bound)
    return np.swapaxes(refuse_nan(path, axis=(0, 2)), 0, 1)


@in_double
def jacobians(
    F: Map, states: Float[np.ndarray, "start hidden"]
) -> Float[np.ndarray, "start hidden hidden"]:
    """Return the derivatives of a map by its state, [next, state], at each of some states.

    Raises:
        ValueError: as ``check``.
    """
    F, states = check(F, states)
    return in_batches(partial(_jacobians, F), states)[0]


@partial(jax.jit, static_argnames="keep")
def onward(F: Partial, states: Array, steps: Any, keep: int, bound: Any) -> tuple[Array, Array]:
    """Run states on for some steps, and for as many more as are kept, as ``run`` does.

    Returns:
        The last states; and those that are kept (keep, start, hidden).
    """

    def step(states: Array) -> Array:
        near = jnp.linalg.norm(states, axis=1, keepdims=True) <= bound
        return jnp.where(near, jax.vmap(F)(states), states)

    states = lax.fori_loop(0, steps, lambda _, states: step(states), states)
    return lax.scan(lambda states, _: (step(states),) * 2, states, length=keep)


def refuse_nan(path: Any, axis: tuple[int, ...]) -> np.ndarray:
    """Return states as NumPy's, if none is NaN.

    Args:
        path: states of some starts.
        axis: all but that of the starts.

    Raises:
        ValueError: if a state is NaN; the first of its starts is named.
    """
    path = np.asarray(path)
    lost = np.isnan(path).any(axis=axis)
    if lost.any():
        raise ValueError(
            f"the map gives NaN on the way from start {int(lost.argmax())}: give starts from "
            "which it does not."
        )
    return path


def in_batches(function: Callable[..., Any], *arrays: np.ndarray) -> list[np.ndarray]:
    """Call a compiled function on batches of one size, and join what it gives.

    Args:
        function: of arrays with an axis of starts, gives one such array or several.
        arrays: with an axis of starts.
    """
    found = []
    for rows in batches(len(arrays[0])):
        given = function(*(array[rows] for array in arrays))
        parts = given if isinstance(given, tuple) else (given,)
        found.append([np.asarray(part)[: len(np.unique(rows))] for part in parts])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def batches(count: int) -> Iterator[Int[np.ndarray, " start"]]:
    """Give numbers of rows, in batches of a power of two; the last repeats its last to be full."""
    size = min(BATCH, 1 << (count - 1).bit_length())
    for first in range(0, count, size):
        yield np.minimum(np.arange(first, first + size), count - 1)


def _widened(F: Partial, *arguments: Any) -> Any:
    return F(*arguments).astype(jnp.float64)


def _check_tolerance(tolerance: float, dtype: Any) -> None:
    least = 8 * float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else np.inf
    if not checks.is_number(tolerance, 0) or tolerance == 0:
        raise ValueError(f"tolerance {tolerance} is out of range: give a number above 0.")
    if tolerance < least:
        raise ValueError(
            f"the map computes in {dtype}, which cannot reach a tolerance of {tolerance:g}: give "
            f"at least {least:.1g}, or a map of double precision."
        )


@jax.jit
def _jacobians(F: Partial, states: Array) -> Array:
    return jax.vmap(jax.jacfwd(F))(states)
