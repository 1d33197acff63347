"""Conversion and checks of what analyses are given: finite real numbers, labels, single numbers.

Arrays and lists are taken alike. What does not do is refused in one sentence that names it, says
what was given, and what is allowed.
"""

from math import inf
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike


def real(name: str, values: ArrayLike) -> np.ndarray:
    """Return an array of real numbers, of the type that it came in.

    Args:
        name: what the values are, for the message.
        values: an array, or lists of equal length, of real numbers; NaN is not looked for.

    Raises:
        ValueError: if rows differ in length, or values are not real numbers.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"rows of {name} differ in length: give a full array.") from None
    if array.dtype.kind != "f" and not np.can_cast(array.dtype, np.float64):
        raise ValueError(f"{array.dtype} in {name} is not allowed: give real numbers.")
    return array


def finite(name: str, array: ArrayLike) -> None:
    """Refuse numbers that are NaN or infinite.

    Args:
        name: what the numbers are, for the message.
        array: real numbers.

    Raises:
        ValueError: if one of them is NaN or infinite.
    """
    if not np.isfinite(array).all():
        raise ValueError(f"NaN or infinity in {name} is not allowed: give finite numbers.")


def numbers(name: str, values: ArrayLike, axes: str) -> Float[np.ndarray, "..."]:
    """Return an array of finite numbers in the precision that it came in, whole ones in double.

    Args:
        name: what the numbers are, for the message.
        values: an array or lists.
        axes: name or size of each axis, such as "sample 128"; a named one may have any size but 0.

    Raises:
        ValueError: if values are not finite real numbers, or axes do not fit.
    """
    array = real(name, values)
    wanted = axes.split()
    fits = array.ndim == len(wanted) and all(
        size == int(axis) if axis.isdigit() else size > 0
        for size, axis in zip(array.shape, wanted, strict=True)
    )
    if not fits:
        comma = "," if len(wanted) == 1 else ""
        raise ValueError(
            f"shape {array.shape} of {name} does not fit: give ({', '.join(wanted)}{comma}), "
            "at least one of each."
        )
    array = array if array.dtype.kind == "f" else array.astype(np.float64)
    finite(name, array)
    return array


def double(name: str, values: ArrayLike, axes: str) -> Float[np.ndarray, "..."]:
    """Return numbers in double precision, small enough for sums of their squares.

    Args:
        name: as for ``numbers``.
        values: as for ``numbers``.
        axes: as for ``numbers``.

    Raises:
        ValueError: as ``numbers``; or if a number is too large to square.
    """
    array = numbers(name, values, axes).astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vdot(array, array)
    if not np.isfinite(squares):
        raise ValueError(f"a number in {name} is too large to square: give smaller ones.")
    return array


def labels(
    values: ArrayLike, count: int | None = None, *, name: str = "labels", each: str = "point"
) -> Int[np.ndarray, " point"]:
    """Return labels: whole numbers, also where they came as 1.0 and 2.0.

    Args:
        values: an array or a list, not empty.
        count: how many there must be; None: at least one.
        name: what they are, for the message.
        each: what has one label each, for the message.

    Raises:
        ValueError: if they are not whole numbers (true and false are none), or not so many.
    """
    array = real(name, values)
    if array.ndim != 1 or not array.size or count not in (None, len(array)):
        wanted = f"each {each}, at least one" if count is None else f"each of {count} {each}s"
        raise ValueError(f"shape {array.shape} of {name} does not fit: give one for {wanted}.")
    if array.dtype.kind == "b":
        raise ValueError(f"bool in {name} is not allowed: give whole numbers.")
    if array.dtype.kind == "i":
        return array
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.int64)
    if (whole != array).any():
        wrong = array[whole != array][0]
        raise ValueError(f"{wrong} in {name} is not allowed: give whole numbers.")
    return whole


def classes(values: ArrayLike, count: int, *, each: str = "point") -> Int[np.ndarray, " point"]:
    """Return labels, if there are at least two classes.

    Args:
        values: as for ``labels``.
        count: how many there must be.
        each: what has one label each, for the message.

    Raises:
        ValueError: as ``labels``; or if there is one class only.
    """
    array = labels(values, count, each=each)
    if (array == array[0]).all():
        raise ValueError(f"all {each}s are of one class: give {each}s of at least two classes.")
    return array


def is_number(value: Any, least: int | float = -inf, most: int | float = inf) -> bool:
    """Tell whether a value is one real number, from ``least`` to ``most``."""
    if type(value) not in (int, float):
        value = np.asarray(value)
        if value.ndim or value.dtype.kind not in "iuf":
            return False
    return bool(least <= value <= most)


def is_whole(value: Any, least: int, most: int = 2**53) -> bool:
    """Tell whether a value is one whole number, from ``least`` to ``most``; 2.0 is one."""
    return is_number(value, least, most) and bool(value % 1 == 0)


def fraction(value: int | float) -> int | float:
    """Return a fraction.

    Args:
        value: from 0 to 1.

    Raises:
        ValueError: if it is out of range.
    """
    if not is_number(value, 0, 1):
        raise ValueError(f"fraction {value} is out of range: give 0 to 1.")
    return value
