"""Files of ONNX: the arrays and the nodes of a graph; nothing is run, and no other file opened.

Reference: the ONNX specification, https://onnx.ai/onnx/intro/concepts.html.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, TensorProto

from rnnatomy.networks.foreign import raw
from rnnatomy.store.disk import brief

MOST_FIELDS = 2**18
"""Fields that all messages of a file may have: each takes far more memory than its bytes."""

MOST_NODES = 10_000
"""Nodes of a graph."""

MOST_NUMBERS = 4096
"""Numbers in an attribute of a node."""

EXPORT = "export the recurrent layers and the readout alone, with their weights, into one file"


class Kind(NamedTuple):
    """How numbers of a type lie in a tensor.

    Attributes:
        number: type of the numbers.
        field: of the tensor that has them, if they do not lie there as bytes.
        stored: type that the numbers in that field stand for, bit by bit.
    """

    number: Any
    field: str
    stored: Any


KINDS: dict[int, Kind] = {
    TensorProto.FLOAT: Kind(np.float32, "float_data", np.float32),
    TensorProto.DOUBLE: Kind(np.float64, "double_data", np.float64),
    TensorProto.FLOAT16: Kind(np.float16, "int32_data", np.uint16),
    TensorProto.BFLOAT16: Kind(ml_dtypes.bfloat16, "int32_data", np.uint16),
    TensorProto.INT8: Kind(np.int8, "int32_data", np.int8),
    TensorProto.INT16: Kind(np.int16, "int32_data", np.int16),
    TensorProto.INT32: Kind(np.int32, "int32_data", np.int32),
    TensorProto.INT64: Kind(np.int64, "int64_data", np.int64),
    TensorProto.UINT8: Kind(np.uint8, "int32_data", np.uint8),
    TensorProto.UINT16: Kind(np.uint16, "int32_data", np.uint16),
    TensorProto.UINT32: Kind(np.uint32, "uint64_data", np.uint32),
    TensorProto.UINT64: Kind(np.uint64, "uint64_data", np.uint64),
    TensorProto.BOOL: Kind(np.bool_, "int32_data", np.bool_),
}
"""Types that are read."""

MOST_AXES = 32
"""Axes of an array."""

_CONSTANTS = {
    "value_float": ("f", np.float32),
    "value_floats": ("floats", np.float32),
    "value_int": ("i", np.int64),
    "value_ints": ("ints", np.int64),
}

_LISTS = {
    AttributeProto.FLOATS: "floats",
    AttributeProto.INTS: "ints",
    AttributeProto.STRINGS: "strings",
}


def read(path: Path) -> raw.Raw:
    """Read a file of ONNX.

    Returns:
        The initialisers of its graph and what its nodes ``Constant`` hold, by name. ``config`` has
        "nodes", the others in the graph's order, each with "op", "domain", "name", "inputs" and
        "outputs" (names), "attributes" (numbers, texts, lists of them; a tensor as nested lists;
        other kinds, such as graphs within, are left out); "inputs" that are no initialisers, and
        "outputs", each with "name" and "shape", a list of sizes or of their names, "?" if a size
        has none, or None if nothing is told.

    Raises:
        ForeignError: if the file is none of ONNX, damaged or too large, or keeps weights elsewhere.
    """
    raw.size(path)
    with _told(path.name):
        content = path.read_bytes()
        count_fields(content)
        graph = onnx.ModelProto.FromString(content).graph
        if len(graph.node) > MOST_NODES:
            raise raw.ForeignError(
                f"{len(graph.node)} nodes, at most {MOST_NODES} are read: {EXPORT}."
            )
        arrays = _arrays(graph)
        config = _config(graph, arrays)
    return raw.check(raw.Raw(path, "ONNX", arrays, config))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say in a sentence why a file cannot be read."""
    try:
        yield
    except raw.ForeignError as error:
        raise raw.ForeignError(f"{brief(name)}: {error}") from None
    except OSError as error:
        words = error.strerror or error
        raise raw.ForeignError(
            f"{brief(name)} cannot be read ({words}): give a readable file."
        ) from None
    except (DecodeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        why = brief(str(error) or type(error).__name__)
        raise raw.ForeignError(
            f"{brief(name)} is no file of ONNX, or damaged ({why}): export it again."
        ) from None


def count_fields(content: bytes) -> None:
    """Refuse a file that would take far more memory than it has bytes, before it is taken.

    A message is a row of fields: a number that tells which field and how it is written, then its
    value. Messages within messages are gone through too; what they hold is not.

    Raises:
        ForeignError: if all messages have too many fields together.
        ValueError: if these are no messages.
    """
    waiting: list[tuple[Any, int, int]] = [(onnx.ModelProto.DESCRIPTOR, 0, len(content))]
    fields = 0
    while waiting:
        message, at, end = waiting.pop()
        while at < end:
            fields += 1
            tag, at = _number(content, at)
            start, at = _value(content, at, tag & 7)
            field = message.fields_by_number.get(tag >> 3)
            if tag & 7 == 2 and field is not None and field.message_type is not None:
                waiting.append((field.message_type, start, at))
            if fields > MOST_FIELDS:
                raise raw.ForeignError(
                    f"more than {MOST_FIELDS} entries, which are not read: {EXPORT}."
                )
        if at > end:
            raise ValueError("a message is cut short")


def _value(content: bytes, at: int, wire: int) -> tuple[int, int]:
    """Return where a value starts and ends, given how it is written."""
    if wire == 0:
        return at, _number(content, at)[1]
    if wire == 2:
        length, at = _number(content, at)
        return at, at + length
    if wire in (1, 5):
        return at, at + (8 if wire == 1 else 4)
    raise ValueError("a field is written in an unknown way")


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number is cut short")


def _arrays(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return initialisers and constants by name.

    Raises:
        ForeignError: if one is no array of numbers in this file, or a name is missing or not its
            own.
    """
    if graph.sparse_initializer:
        raise raw.ForeignError(f"sparse weights, which are not read: {EXPORT}.")
    pairs = [(tensor.name, array(tensor, tensor.name)) for tensor in graph.initializer]
    pairs += [_constant(node) for node in graph.node if _is_constant(node)]
    arrays = dict(pairs)
    if len(arrays) < len(pairs) or "" in arrays:
        raise raw.ForeignError("two arrays have one name, or one has none: export the graph again.")
    return arrays


def array(tensor: TensorProto, name: str) -> np.ndarray:
    """Return the numbers of a tensor, as many as its shape says.

    Raises:
        ForeignError: if it holds no numbers, too few or too many, or they lie in another file.
    """
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise raw.ForeignError(
            f"weights of {brief(name)} lie in another file: save with all in one file."
        )
    kind = KINDS.get(tensor.data_type)
    if kind is None:
        names = {number: word for word, number in TensorProto.DataType.items()}
        told = names.get(tensor.data_type, tensor.data_type)
        raise raw.ForeignError(f"{brief(name)} holds {told}, which is not read: {EXPORT}.")
    flat = _flat(tensor, kind)
    if (
        len(tensor.dims) > MOST_AXES
        or min(tensor.dims, default=0) < 0
        or (math.prod(tensor.dims) != len(flat))
    ):
        raise raw.ForeignError(
            f"{brief(name)} holds {len(flat)} numbers for a shape of {brief([*tensor.dims[:9]])}: "
            "the file is damaged; export it again."
        )
    return flat.reshape(tuple(tensor.dims))


def _flat(tensor: TensorProto, kind: Kind) -> np.ndarray:
    """Return the numbers of a tensor in a row."""
    if not tensor.HasField("raw_data"):
        # one by one, as a list of them would take many times their bytes
        return np.fromiter(getattr(tensor, kind.field), kind.stored).view(kind.number)
    if kind.number is np.bool_:
        return np.frombuffer(tensor.raw_data, np.uint8) != 0
    return np.frombuffer(tensor.raw_data, kind.number)


def _is_constant(node: onnx.NodeProto) -> bool:
    return node.op_type == "Constant" and node.domain in ("", "ai.onnx")


def _constant(node: onnx.NodeProto) -> tuple[str, np.ndarray]:
    """Return the name and the numbers of a constant.

    Raises:
        ForeignError: if it is text or a sparse array.
    """
    name = node.output[0] if node.output else ""
    given = node.attribute[0] if len(node.attribute) == 1 else AttributeProto()
    if given.name == "value" and given.HasField("t"):
        return name, array(given.t, name)
    if given.name not in _CONSTANTS:
        raise raw.ForeignError(f"constant {brief(name)} is no array of numbers: {EXPORT}.")
    field, number = _CONSTANTS[given.name]
    value = getattr(given, field)
    return name, np.asarray(value, number) if field in "fi" else np.fromiter(value, number)


def _config(graph: onnx.GraphProto, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return what a graph does, in plain lists."""
    return {
        "nodes": [_node(node) for node in graph.node if not _is_constant(node)],
        "inputs": [_value_info(value) for value in graph.input if value.name not in arrays],
        "outputs": [_value_info(value) for value in graph.output],
    }


def _node(node: onnx.NodeProto) -> dict[str, Any]:
    pairs = [(attribute.name, _plain(attribute)) for attribute in node.attribute]
    attributes = dict(pairs)
    if len(attributes) < len(pairs):
        raise raw.ForeignError(
            f"node {brief(node.name)} gives an attribute twice: export the graph again."
        )
    return {
        "op": node.op_type,
        "domain": node.domain,
        "name": node.name,
        "inputs": list(node.input),
        "outputs": list(node.output),
        "attributes": {name: value for name, value in attributes.items() if value is not None},
    }


def _plain(attribute: AttributeProto) -> Any:
    """Return the number, the text or the list that an attribute holds, or None if it is another.

    Raises:
        ForeignError: if it is a long list, or a tensor that ``array`` refuses.
    """
    if attribute.type == AttributeProto.FLOAT:
        return attribute.f
    if attribute.type == AttributeProto.INT:
        return attribute.i
    if attribute.type == AttributeProto.STRING:
        return _text(attribute.s)
    if attribute.type == AttributeProto.TENSOR:
        tensor = array(attribute.t, attribute.name)
        _short(attribute.name, tensor.size)
        wide = np.int64 if tensor.dtype.kind in "iub" else np.float64
        return tensor.astype(tensor.dtype if tensor.dtype == np.uint64 else wide).tolist()
    if attribute.type not in _LISTS:
        return None
    items = getattr(attribute, _LISTS[attribute.type])
    _short(attribute.name, len(items))
    return [_text(item) if isinstance(item, bytes) else item for item in items]


def _short(name: str, count: int) -> None:
    if count > MOST_NUMBERS:
        raise raw.ForeignError(
            f"attribute {brief(name)} holds {count} items, at most {MOST_NUMBERS} are read: "
            f"{EXPORT}."
        )


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")


def _value_info(value: onnx.ValueInfoProto) -> dict[str, Any]:
    """Return the name of what goes in or out, and its shape, None if it is not told."""
    tensor = value.type.tensor_type
    told = value.type.HasField("tensor_type") and tensor.HasField("shape")
    shape = [
        size.dim_value if size.HasField("dim_value") else size.dim_param or "?"
        for size in tensor.shape.dim
    ]
    return {"name": value.name, "shape": shape if told else None}
