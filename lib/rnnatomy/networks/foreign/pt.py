"""Files of ``torch.save``: tensors by name, read without torch, and nothing in them is run.

Such a file is a zip. Its ``data.pkl`` is a pickle: a program whose every step puts a value on a
stack, or makes one of those that are there. Run as Python runs it, it may call anything. Here it
never is: the few steps that a state_dict takes are followed one by one, those that would call
something make a tensor's description or a dict, and any other ends the reading. The numbers lie
beside it, in ``data/0`` and so on, as they were in memory.

Reference:
    Documentation of PyTorch, "Serialization semantics"; of Python, ``pickletools``.
"""

import math
import pickletools
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from rnnatomy.networks.foreign import flat, raw, zips
from rnnatomy.store.disk import brief

KINDS = {
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.FloatStorage": "float32",
    "torch.DoubleStorage": "float64",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.ShortStorage": "int16",
    "torch.IntStorage": "int32",
    "torch.LongStorage": "int64",
    "torch.BoolStorage": "bool",
}
"""Types of numbers by what PyTorch calls a row of them."""

NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Under which names a checkpoint may hold a state_dict."""

MOST_STEPS = 2**20
"""Steps that a pickle may take."""

RATIO = 16
"""Bytes that all tensors may have together, for each byte of the file: they may share numbers."""

SAVE = (
    'save tensors alone, with torch.save(model.state_dict(), "model.pt") or, better, '
    'safetensors.torch.save_file(model.state_dict(), "model.safetensors")'
)

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"  # a pickle of a number that old torch chose

_ZIP = b"PK\3\4"


class Global(NamedTuple):
    """What a pickle calls by name; it is but a name here."""

    name: str


class Storage(NamedTuple):
    """A row of numbers.

    Attributes:
        kind: name of their type, of ``flat.NUMBERS``.
        key: of the member that holds them.
        length: how many there are.
    """

    kind: str
    key: str
    length: int


class Tensor(NamedTuple):
    """A view of a row of numbers.

    Attributes:
        storage: the row.
        offset: of the first number.
        shape: of the tensor.
        strides: by how many numbers one goes on along each axis.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Machine(NamedTuple):
    """Where a pickle keeps values.

    Attributes:
        stack: of values.
        marks: how high the stack was when a row of items began.
        memo: values by number.
    """

    stack: list[Any]
    marks: list[int]
    memo: dict[int, Any]


def read(path: Path) -> raw.Raw:
    """Read a state_dict, alone or in a checkpoint.

    Returns:
        Its tensors, by name without the prefixes of wrappers.

    Raises:
        ForeignError: if the file is none of ``torch.save`` as PyTorch 1.6 and later write it, is
            damaged or too large, or holds other objects of Python.
    """
    size = raw.size(path)
    with raw.named(path.name), raw.parsed(SAVE), path.open("rb") as file:
        _check_start(file.read(len(_LEGACY)))
        archive = zips.archive(file, [zipfile.ZIP_STORED], SAVE)
        root = _root(archive.members)
        tensors = taken(run(_content(archive, f"{root}/data.pkl", raw.MOST_JSON)))
        weigh(tensors, min(raw.LARGEST, RATIO * size))
        rows = _rows(archive, root, {tensor.storage for tensor in tensors.values()})
        arrays = {name: _array(tensor, rows[tensor.storage]) for name, tensor in tensors.items()}
    return raw.check(raw.Raw(path, "PyTorch", flat.unprefixed(arrays)))


def _check_start(start: bytes) -> None:
    """Refuse a file that does not start as a zip.

    Raises:
        ForeignError: if so; says what it is if that is known.
    """
    if start == _LEGACY:
        raise raw.ForeignError(
            "it is in the format of PyTorch before 1.6, which is no zip file: load it there, then "
            f"{SAVE}."
        )
    if not start.startswith(_ZIP):
        raise raw.ForeignError(f"it is no zip file, as torch.save writes: {SAVE}.")


def _root(members: Collection[str]) -> str:
    """Return the folder in a zip that holds all.

    Raises:
        ForeignError: if there is none of ``torch.save``.
    """
    roots = [key.split("/")[0] for key in members if key.split("/")[1:] == ["data.pkl"]]
    if len(roots) != 1:
        raise raw.ForeignError(
            f"it holds {len(roots)} members data.pkl, so torch.save did not write it: {SAVE}."
        )
    (root,) = roots
    if any(key.startswith((f"{root}/code/", f"{root}/constants.pkl")) for key in members):
        raise raw.ForeignError(
            "it is a program of TorchScript, and no program is run: load it with torch.jit.load, "
            f"then {SAVE}."
        )
    return root


def _content(archive: zips.Archive, key: str, most: int = raw.LARGEST) -> bytes:
    """Return the bytes of a member.

    Raises:
        ForeignError: if there is none of that name, or it is too large.
    """
    info = archive.members.get(key)
    if info is None:
        raise raw.ForeignError(f"it lacks {brief(key)}: the file is damaged; {SAVE}.")
    if info.file_size > most:
        raise raw.ForeignError(
            f"{brief(key)} has {info.file_size} bytes, at most {most} are read: {SAVE}."
        )
    return archive.zip.read(info)


def run(content: bytes) -> Any:
    """Follow the steps of a pickle; nothing is imported, and nothing of it called.

    Returns:
        Numbers, texts, lists, dicts, ``Tensor`` and the like.

    Raises:
        ForeignError: if a step is not known here, or names something that is not.
        ValueError, LookupError, TypeError: if it is no pickle, or one that is damaged.
    """
    machine = Machine([], [], {})
    for count, (code, argument, _) in enumerate(pickletools.genops(content)):
        if count >= MOST_STEPS:
            raise raw.ForeignError(f"a pickle of more than {MOST_STEPS} steps: {SAVE}.")
        step = _STEPS.get(code.name)
        if step is None:
            raise raw.ForeignError(
                f"its pickle has a step {code.name}, which a state_dict does not need: {SAVE}."
            )
        step(machine, argument)
    (value,) = machine.stack
    return value


def _mark(machine: Machine, _: None) -> None:
    machine.marks.append(len(machine.stack))


def _above(machine: Machine) -> list[Any]:
    """Take what has been put on the stack since the last mark."""
    start = machine.marks.pop()
    items = machine.stack[start:]
    del machine.stack[start:]
    return items


def _last(machine: Machine, count: int) -> list[Any]:
    """Take values from the top of the stack."""
    items = [machine.stack.pop() for _ in range(count)]
    return items[::-1]


def _tuple_of(count: int | None) -> Callable[[Machine, Any], None]:
    """Return a step that joins the last values to a tuple; None: those since the last mark."""

    def step(machine: Machine, _: None) -> None:
        items = _above(machine) if count is None else _last(machine, count)
        machine.stack.append(tuple(items))

    return step


def _items(found: Any, kind: type) -> Any:
    """Return a list or a dict to which items are added.

    Raises:
        TypeError: if it is none.
    """
    if type(found) is not kind:
        raise TypeError(f"items are added to what is no {kind.__name__}")
    return found


def _extend(machine: Machine, items: list[Any]) -> None:
    _items(machine.stack[-1], list).extend(items)


def _update(machine: Machine, items: list[Any]) -> None:
    """Add keys and values in turn to a dict; those under other keys than texts are left out.

    Arrays have texts for names, and the hash of a tuple of tuples may take for ever.
    """
    table = _items(machine.stack[-1], dict)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if type(key) is str:
            table[key] = value


def _named(machine: Machine, name: str) -> None:
    """Put a name on the stack, in place of what it is the name of.

    Raises:
        ForeignError: if it is none of those that tensors need.
    """
    if name not in _MAKERS and name not in KINDS:
        raise raw.ForeignError(_refusal(name))
    machine.stack.append(Global(name))


def _refusal(name: str) -> str:
    """Say why a name is none that a state_dict of plain tensors has."""
    if name.startswith(("torch._utils._rebuild", "torch._tensor.")) or name.endswith("Storage"):
        return (
            f"it holds tensors of another kind ({brief(name)}), and only plain ones are read: make "
            f"them float32 with .detach().float(), and {SAVE}."
        )
    return (
        f"it holds an object of Python, {brief(name)}, and only tensors by name are read: {SAVE}; "
        'of a checkpoint, save checkpoint["state_dict"] in this way.'
    )


def _stack_named(machine: Machine, _: None) -> None:
    module, name = _last(machine, 2)
    if type(module) is not str or type(name) is not str:
        raise TypeError("a name is no text")
    _named(machine, f"{module}.{name}")


def _keep(machine: Machine, number: int | None) -> None:
    """Remember the value on top, under a number; None: the next."""
    machine.memo[len(machine.memo) if number is None else number] = machine.stack[-1]


def _storage(machine: Machine, _: None) -> None:
    """Make the description of a row of numbers."""
    match machine.stack.pop():
        case ("storage", Global(name), str(key), str(), count) if name in KINDS:
            machine.stack.append(Storage(KINDS[name], key, _count(count)))
        case _:
            raise TypeError("a reference to something else than a row of numbers")


def _call(machine: Machine, _: None) -> None:
    """Make what a call would make, if it is one of few that are known; nothing is called."""
    what, arguments = _last(machine, 2)
    if type(what) is not Global or what.name not in _MAKERS or type(arguments) is not tuple:
        raise TypeError("a call of something that cannot be called")
    machine.stack.append(_MAKERS[what.name](arguments))


def _build(machine: Machine, _: None) -> None:
    """Leave out what would be set beside a dict's items, such as versions of modules."""
    machine.stack.pop()
    _items(machine.stack[-1], dict)


def _count(value: Any) -> int:
    """Return a whole number that may count numbers.

    Raises:
        TypeError: if it is none.
    """
    if type(value) is not int or not 0 <= value <= raw.LARGEST:
        raise TypeError("a size or a place in a row of numbers is no number that it may be")
    return value


def _ordered(arguments: tuple[Any, ...]) -> dict[str, Any]:
    if arguments:
        raise TypeError("a dict is made of something")
    return {}


def _tensor(arguments: tuple[Any, ...]) -> Tensor:
    match arguments:
        case (Storage() as storage, offset, tuple(shape), tuple(strides), *_) if (
            len(shape) == len(strides) <= flat.MOST_AXES
        ):
            sizes = (tuple(_count(n) for n in part) for part in (shape, strides))
            return Tensor(storage, _count(offset), *sizes)
    raise TypeError("a tensor is described in an unknown way")


def _first(arguments: tuple[Any, ...]) -> Any:
    return arguments[0]


_MAKERS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch.Size": _first,
}  # what stands for a call, by the name of what would be called

_PLAIN = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES"),
)

_STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **{name: lambda machine, _: None for name in ("PROTO", "FRAME", "STOP")},
    **{name: lambda machine, value: machine.stack.append(value) for name in _PLAIN},
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "MARK": _mark,
    "TUPLE": _tuple_of(None),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": lambda machine, _: _extend(machine, _last(machine, 1)),
    "APPENDS": lambda machine, _: _extend(machine, _above(machine)),
    "SETITEM": lambda machine, _: _update(machine, _last(machine, 2)),
    "SETITEMS": lambda machine, _: _update(machine, _above(machine)),
    "BINPUT": _keep,
    "LONG_BINPUT": _keep,
    "MEMOIZE": _keep,
    "BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "LONG_BINGET": lambda machine, number: machine.stack.append(machine.memo[number]),
    "GLOBAL": lambda machine, words: _named(machine, words.replace(" ", ".")),
    "STACK_GLOBAL": _stack_named,
    "BINPERSID": _storage,
    "REDUCE": _call,
    "BUILD": _build,
}  # what each step does, given what is written beside it


def taken(top: Any) -> dict[str, Tensor]:
    """Return the one state_dict in what a file holds: all of it, or a part with a usual name.

    Raises:
        ForeignError: if there is none, or several.
    """
    if type(top) is not dict:
        raise raw.ForeignError(f"its content is no dict of tensors by name: {SAVE}.")
    parts = {key: _tensors(value) for key, value in top.items() if type(value) is dict}
    parts = {key: tensors for key, tensors in parts.items() if tensors}
    usual = [key for key in NESTED if key in parts]
    if len(usual) == 1:
        return parts[usual[0]]
    found = _tensors(top)
    if not usual and any(tensor.shape for tensor in found.values()):
        return found
    if parts:
        names = ", ".join(brief(key, 30) for key in (usual or [*parts])[:6])
        raise raw.ForeignError(
            f"which of its tensors are the network's is not clear (it holds {names}): save one "
            'state_dict alone, such as torch.save(checkpoint["state_dict"], "model.pt").'
        )
    if not found:
        raise raw.ForeignError(f"it holds no tensors by name: {SAVE}.")
    return found


def _tensors(table: dict[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in table.items() if type(value) is Tensor}


def weigh(tensors: dict[str, Tensor], most: int) -> None:
    """Refuse tensors before they are read, if they do not lie within their rows or are too large.

    Raises:
        ForeignError: if so.
    """
    total = 0
    for name, (storage, offset, shape, strides) in tensors.items():
        count = math.prod(shape)
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        if count > storage.length or (count and last >= storage.length):
            raise raw.ForeignError(
                f"{brief(name)} has {brief(count, 24)} numbers in a row of {storage.length}, or "
                "lies beyond its end: save it as .contiguous().clone()."
            )
        total += count * flat.NUMBERS[storage.kind].itemsize
    if total > most:
        raise raw.ForeignError(
            f"tensors of {total} bytes, and a file of that size may hold {most}: save the "
            "recurrent layers and the readout alone."
        )


def _rows(archive: zips.Archive, root: str, storages: set[Storage]) -> dict[Storage, np.ndarray]:
    """Return rows of numbers, each read once.

    Raises:
        ForeignError: if one is missing, or is not as long as it is said to be.
    """
    if len({storage.key for storage in storages}) < len(storages):
        raise raw.ForeignError(f"it takes the same numbers for those of two types: {SAVE}.")
    swapped, rows = _is_big(archive, root), {}
    for storage in sorted(storages):
        content = _content(archive, f"{root}/data/{storage.key}")
        if swapped:
            size = flat.NUMBERS[storage.kind].itemsize
            content = np.frombuffer(content, f"u{size}").byteswap().tobytes()
        name, shape = f"data/{storage.key}", (storage.length,)
        rows[storage] = flat.numbers(name, content, storage.kind, shape, SAVE)
    return rows


def _is_big(archive: zips.Archive, root: str) -> bool:
    """Say whether numbers have their highest byte first; files that do not tell do not."""
    key = f"{root}/byteorder"
    order = _content(archive, key, 16) if key in archive.members else b"little"
    if order not in (b"little", b"big"):
        raise raw.ForeignError(f"byteorder {brief(order)}, and little or big is known: {SAVE}.")
    return order == b"big"


def _array(tensor: Tensor, row: np.ndarray) -> np.ndarray:
    """Return the numbers of a tensor, which lies within its row."""
    if not math.prod(tensor.shape):
        return np.zeros(tensor.shape, row.dtype)
    steps = [stride * row.itemsize for stride in tensor.strides]
    return np.array(
        as_strided(row[tensor.offset :], tensor.shape, steps, writeable=False), order="C"
    )
