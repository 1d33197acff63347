"""Files that hold arrays by name and little else: safetensors, and the msgpack of Flax.

Here also stands what the readers of such files share: names without the prefixes of wrappers, and
arrays made of bytes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import msgpack
import numpy as np
from safetensors import deserialize

from rnnatomy.networks.foreign import raw
from rnnatomy.store.disk import brief

PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers put before all names: DataParallel, compilation, Lightning."""

NUMBERS = {
    np.dtype(kind).name: np.dtype(kind)
    for kind in (
        *(np.float16, np.float32, np.float64, ml_dtypes.bfloat16, np.bool_),
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    )
}
"""Types that are read, by name."""

MOST_AXES = 32
"""Axes of an array."""

MOST_ITEMS = 2**19
"""Items that all maps and lists of a msgpack may have together."""

DEEPEST = 64
"""Maps and lists within each other."""

LONGEST = 1024
"""Letters of a name."""

_CODES = {"BF16": "bfloat16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{word}{bits}"
    for letter, word in (("F", "float"), ("I", "int"), ("U", "uint"))
    for bits in (8, 16, 32, 64)
}  # of safetensors; "float8" is none of ``NUMBERS``

_TENSORS = 'save it again, with safetensors\' save_file(arrays, "model.safetensors")'

_TREE = "save it again, as flax.serialization.to_bytes(params)"

_ARRAY, _COMPLEX, _SCALAR = 1, 2, 3  # extensions of msgpack that Flax writes

_CHUNKED = "__msgpack_chunked_array__"


def read_safetensors(path: Path) -> raw.Raw:
    """Read a file of safetensors.

    Returns:
        Its arrays, by name without the prefixes of wrappers.

    Raises:
        ForeignError: if the file is none, is damaged, too large, or holds numbers of other types.
    """
    size = raw.size(path)
    with raw.named(path.name), raw.parsed(_TENSORS):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size - 8, raw.MOST_JSON):
                raise raw.ForeignError(
                    f"a header of {length} bytes in a file of {size} (at most {raw.MOST_JSON} are "
                    f"read): it is none of safetensors, or is cut short; {_TENSORS}."
                )
            file.seek(0)
            content = file.read(size)
        tensors = dict(deserialize(content))
        header = json.loads(content[8 : 8 + length], object_pairs_hook=_unique)
        # which has them in the same order each time
        arrays = {name: _tensor(name, tensors[name]) for name in header if name in tensors}
    return raw.check(raw.Raw(path, "safetensors", unprefixed(arrays)))


def read_msgpack(path: Path) -> raw.Raw:
    """Read what ``flax.serialization.to_bytes`` makes of a tree of parameters.

    Returns:
        Its arrays, by dotted path without the prefixes of wrappers; those of an optimiser are left
        out.

    Raises:
        ForeignError: if the file is none, is damaged or too large, or holds other than arrays of
            numbers.
    """
    raw.size(path)
    with raw.named(path.name), raw.parsed(_TREE):
        tree = _unpacked(path.read_bytes())
        if not isinstance(tree, dict):
            raise raw.ForeignError(f"no map at its root, so its arrays have no names: {_TREE}.")
        if "params" in tree:
            tree.pop("opt_state", None)
        arrays: dict[str, np.ndarray] = {}
        for name, leaf in _leaves(tree):
            if name in arrays:
                raise raw.ForeignError(f"two arrays have the name {brief(name)}: {_TREE}.")
            if isinstance(leaf, msgpack.ExtType):
                arrays[name] = _leaf(name, leaf)
    return raw.check(raw.Raw(path, "Flax", unprefixed(arrays)))


def unprefixed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return arrays by name without the prefixes of wrappers, if all names have them."""
    found = dict(arrays)
    for _ in range(8):
        for prefix in PREFIXES:
            if all(name.startswith(prefix) and name != prefix for name in found):
                found = {name.removeprefix(prefix): array for name, array in found.items()}
    return found


def numbers(
    name: str, content: bytes | bytearray, kind: str, shape: tuple[int, ...], again: str
) -> np.ndarray:
    """Return the array that bytes hold, rows first.

    Args:
        name: of the array.
        content: numbers as this machine has them.
        kind: name of their type.
        shape: of the array.
        again: what to do if it is refused.

    Raises:
        ForeignError: if it is none of ``NUMBERS``, or the bytes are not as many as it has.
    """
    if kind not in NUMBERS:
        raise raw.ForeignError(
            f"{brief(name)} holds {brief(kind)}, which is not read: save weights as float32."
        )
    wanted = math.prod(shape) * NUMBERS[kind].itemsize
    if len(shape) > MOST_AXES or min(shape, default=0) < 0 or wanted != len(content):
        raise raw.ForeignError(
            f"{brief(name)} has {len(content)} bytes, which are no {kind} of shape "
            f"{brief(shape[:9])}: the file is damaged; {again}."
        )
    if kind == "bool":  # a byte may be other than 0 and 1
        return (np.frombuffer(content, np.uint8) != 0).reshape(shape)
    return np.frombuffer(content, NUMBERS[kind]).reshape(shape)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise raw.ForeignError(f"its header gives a name twice: {_TENSORS}.")
    return table


def _tensor(name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    """Return an array of safetensors."""
    code = tensor["dtype"]
    return numbers(name, tensor["data"], _CODES.get(code, code), tuple(tensor["shape"]), _TENSORS)


def _unpacked(content: bytes) -> Any:
    """Return what a msgpack holds: maps, lists, numbers, bytes (texts too) and extensions.

    Raises:
        ForeignError: if it has more items than allowed, or a key that is no name.
        ValueError: if it is none.
    """
    left = MOST_ITEMS

    def counted(items: list[Any]) -> list[Any]:
        nonlocal left
        left -= 1 + len(items)
        if left < 0:
            raise raw.ForeignError(
                f"more than {MOST_ITEMS} entries, which are not read: {_TREE}, of the recurrent "
                "layers and the readout alone."
            )
        return items

    return msgpack.unpackb(
        content,
        raw=True,
        strict_map_key=False,
        list_hook=counted,
        object_pairs_hook=lambda pairs: _table(counted(pairs)),
        # room is made for as many as are announced
        max_array_len=raw.MOST_ARRAYS,
        max_map_len=raw.MOST_ARRAYS,
    )


def _table(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Return a map by the names that its keys are.

    Raises:
        ForeignError: if one is none, or given twice.
    """
    if not all(isinstance(key, bytes | int) for key, _ in pairs):
        raise raw.ForeignError(f"keys that are no names: {_TREE}, a map by name.")
    names = [key.decode() if isinstance(key, bytes) else str(key) for key, _ in pairs]
    table = dict(zip(names, (value for _, value in pairs), strict=True))
    if len(table) < len(pairs):
        raise raw.ForeignError(f"a map gives a name twice: {_TREE}.")
    return table


def _leaves(tree: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield what is neither map nor list, by dotted path.

    Raises:
        ForeignError: if a path is too long, or leads to an array in pieces.
    """
    if not isinstance(tree, dict | list):
        yield path, tree
        return
    if depth > DEEPEST or len(path) > LONGEST:
        raise raw.ForeignError(
            f"names of more than {LONGEST} letters or {DEEPEST} parts, which are not read: {_TREE}."
        )
    if _CHUNKED in tree:
        raise raw.ForeignError(
            f"{brief(path)} is an array of more than {2**30} bytes, in pieces: save the recurrent "
            "layers and the readout alone."
        )
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from _leaves(value, f"{path}.{key}" if path else str(key), depth + 1)


def _leaf(name: str, leaf: msgpack.ExtType) -> np.ndarray:
    """Return the array that an extension of Flax holds: its shape, type and bytes.

    Raises:
        ForeignError: if it is none.
    """
    if leaf.code not in (_ARRAY, _SCALAR):
        what = "a complex number" if leaf.code == _COMPLEX else f"an extension {leaf.code}"
        raise raw.ForeignError(f"{brief(name)} is {what}, no array of real numbers: {_TREE}.")
    match _unpacked(leaf.data):
        case [list(shape), bytes(kind), bytes(content)] if all(type(n) is int for n in shape):
            return numbers(name, content, kind.decode(), tuple(shape), _TREE)
    raise raw.ForeignError(f"{brief(name)} is no array as Flax writes one: {_TREE}.")
