from pathlib import Path

import hostile
import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from rnnatomy.networks.foreign import onnx_file, raw

ARRAYS = {
    name: np.random.default_rng(seed).normal(size=shape).astype("f4")
    for seed, (name, shape) in enumerate(
        {"W": (1, 16, 3), "R": (1, 16, 4), "B": (1, 32), "head": (4, 2)}.items()
    )
}
NODES = (
    helper.make_node("LSTM", ["x", "W", "R", "B"], ["", "h"], "lstm", hidden_size=4),
    helper.make_node("Constant", [], ["axes"], value_ints=[0]),
    helper.make_node("Squeeze", ["h", "axes"], ["last"]),
    helper.make_node("MatMul", ["last", "head"], ["y"], "readout"),
)


def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(change=lambda graph: None, nodes=NODES, arrays=ARRAYS):
    """The bytes of an LSTM with a readout, and what is changed in its graph."""
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    inputs = [value("x", "time", 1, 3), value("W", 1, 16, 3)]
    graph = helper.make_graph(nodes, "graph", inputs, [value("y", 1, 2)], tensors)
    change(graph)
    return helper.make_model(graph).SerializeToString()


def node_of(**attributes):
    return helper.make_node("Odd", ["x"], ["y"], "odd", domain="theirs", **attributes)


def refusal(path):
    with pytest.raises(raw.ForeignError) as caught:
        onnx_file.read(path)
    message = str(caught.value)
    assert message.isprintable() and message.endswith(".") and len(message) < 400, message
    return message


@pytest.fixture
def save(tmp_path):
    def save(content):
        path = tmp_path / "network.onnx"
        path.write_bytes(content)
        return path

    return save


def test_a_graph_gives_its_arrays_by_name_and_its_nodes_in_order(save):
    found = onnx_file.read(save(model()))
    assert found.kind == "ONNX"
    assert found.arrays.keys() == ARRAYS.keys() | {"axes"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    np.testing.assert_array_equal(found.arrays["axes"], np.array([0]), strict=True)
    lstm, squeeze, readout = found.config["nodes"]
    assert lstm == {
        "op": "LSTM",
        "domain": "",
        "name": "lstm",
        "inputs": ["x", "W", "R", "B"],
        "outputs": ["", "h"],
        "attributes": {"hidden_size": 4},
    }
    assert (squeeze["inputs"], readout["op"]) == (["h", "axes"], "MatMul")
    assert found.config["inputs"] == [{"name": "x", "shape": ["time", 1, 3]}]
    assert found.config["outputs"] == [{"name": "y", "shape": [1, 2]}]


def test_sizes_that_are_not_told_are_question_marks_and_shapes_none(save):
    def change(graph):
        graph.input[0].type.tensor_type.shape.dim[0].Clear()
        graph.input.append(onnx.ValueInfoProto(name="bare"))
        graph.input.append(helper.make_tensor_value_info("free", TensorProto.FLOAT, None))
        graph.input.append(value("single"))

    config = onnx_file.read(save(model(change))).config
    shapes = {told["name"]: told["shape"] for told in config["inputs"]}
    assert shapes == {"x": ["?", 1, 3], "bare": None, "free": None, "single": []}


@pytest.mark.parametrize("packed", (True, False), ids=("bytes", "numbers"))
@pytest.mark.parametrize("kind", onnx_file.KINDS)
def test_numbers_of_any_kind_come_as_onnx_reads_them(save, kind, packed):
    number = helper.tensor_dtype_to_np_dtype(kind)
    array = np.array([[0, 1, 2], [100, 7, 8]]).astype(number)
    if np.dtype(number).kind in "fiV":
        array = -array
    if packed:
        tensor = numpy_helper.from_array(array, "a")
    else:
        tensor = helper.make_tensor("a", kind, array.shape, array.reshape(-1))
    assert tensor.HasField("raw_data") == packed
    found = onnx_file.read(save(model(lambda graph: graph.initializer.append(tensor))))
    np.testing.assert_array_equal(found.arrays["a"], array, strict=True)
    np.testing.assert_array_equal(found.arrays["a"], numpy_helper.to_array(tensor), strict=True)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    (
        ({"value": numpy_helper.from_array(np.ones((2, 0), "f8"))}, np.ones((2, 0))),
        ({"value": numpy_helper.from_array(np.array(3, "i4"))}, np.array(3, "i4")),
        ({"value_float": 0.5}, np.array(0.5, "f4")),
        ({"value_floats": [0.5, 1.5]}, np.array([0.5, 1.5], "f4")),
        ({"value_int": 2**40}, np.array(2**40)),
        ({"value_ints": [2**40, -1]}, np.array([2**40, -1])),
    ),
    ids=str,
)
def test_constants_are_arrays_by_the_name_of_their_output(save, attributes, expected):
    node = helper.make_node("Constant", [], ["c"], **attributes)
    found = onnx_file.read(save(model(nodes=(*NODES, node))))
    np.testing.assert_array_equal(found.arrays["c"], expected, strict=True)
    assert "Constant" not in {told["op"] for told in found.config["nodes"]}


def test_attributes_are_plain_numbers_texts_and_lists_and_graphs_are_left_out(save):
    inner = helper.make_graph([], "inner", [], [value("z", 1)])
    kept = {"i": 3, "f": 0.5, "s": "words", "ints": [1, 2], "floats": [0.5, 1.5]}
    tensors = {
        "whole": np.array([[1, 2]]),
        "half": np.array([1, 2.5], ml_dtypes.bfloat16),
        "large": np.array(2**64 - 1, "u8"),
        "truth": np.array([True]),
    }
    given = {name: numpy_helper.from_array(array) for name, array in tensors.items()}
    node = node_of(**kept, strings=["forward", b"\xff"], graph=inner, graphs=[inner], **given)
    (told,) = onnx_file.read(save(model(nodes=[node]))).config["nodes"]
    assert told["domain"] == "theirs"
    lists = {"whole": [[1, 2]], "half": [1.0, 2.5], "large": 2**64 - 1, "truth": [1]}
    assert told["attributes"] == kept | {"strings": ["forward", "\\xff"]} | lists


def tensor(**fields):
    """Add a tensor of three numbers with other fields than usual."""
    usual = {"name": "a", "data_type": TensorProto.FLOAT, "dims": [3], "raw_data": bytes(12)}

    def change(graph):
        given = {name: field for name, field in (usual | fields).items() if field is not None}
        graph.initializer.append(TensorProto(**given))

    return model(change)


def elsewhere(**fields):
    entry = onnx.StringStringEntryProto(key="location", value="/etc/passwd")
    return tensor(raw_data=None, external_data=[entry], **fields)


def constant(**attributes):
    return model(nodes=(*NODES, helper.make_node("Constant", [], ["c"], **attributes)))


def sparse(graph):
    graph.sparse_initializer.append(onnx.SparseTensorProto(dims=[3]))


def field(number, content):
    """A field of a message, of up to 2**28 bytes."""
    size = len(content)
    return bytes([8 * number + 2, *(size >> 7 * k & 127 | 128 for k in range(3)), size >> 21]) + (
        content
    )


def nested(depth):
    """Graphs within attributes of nodes of graphs."""
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))
    return field(7, graph)


def two_attributes():
    node = node_of(a=1)
    node.attribute.append(helper.make_attribute("a", 2))
    return model(nodes=[node])


BAD = {
    "cut": (model()[:-7], "is no file of ONNX, or damaged"),
    "half": (model()[:400], "is no file of ONNX, or damaged"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no file of ONNX, or damaged"),
    "text": (b"some words that are no network", "is no file of ONNX, or damaged"),
    "zip": (b"PK\3\4" + bytes(100), "is no file of ONNX, or damaged"),
    "groups": (b"\x0b\x0c" + model(), "is no file of ONNX, or damaged"),
    "long number": (b"\x08" + b"\xff" * 11, "is no file of ONNX, or damaged"),
    "long field": (b"\x3a" + b"\xff" * 9 + b"\1", "is no file of ONNX, or damaged"),
    "nested": (nested(200), "is no file of ONNX, or damaged"),
    "name in bytes": (model().replace(b"head", b"\xff\xfe\xfd\xfc"), "or damaged"),
    "nothing": (b"", "has 0 bytes"),
    "no graph": (onnx.ModelProto(ir_version=8).SerializeToString(), "holds no arrays"),
    "no arrays": (model(nodes=NODES[:1], arrays={}), "holds no arrays"),
    "many nodes": (field(7, b"\x0a\0" * 10_001), "at most 10000 are read"),
    "many arrays": (
        model(arrays={str(k): np.zeros(1, "f4") for k in range(5000)}),
        "at most 4096 are read",
    ),
    "elsewhere": (elsewhere(data_location=TensorProto.EXTERNAL), "lie in another file"),
    "half elsewhere": (elsewhere(), "lie in another file"),
    "elsewhere without a place": (
        tensor(data_location=TensorProto.EXTERNAL),
        "lie in another file",
    ),
    "texts": (
        tensor(data_type=TensorProto.STRING, raw_data=None, string_data=[b"a"] * 3),
        "holds STRING",
    ),
    "complex": (tensor(data_type=TensorProto.COMPLEX64), "holds COMPLEX64"),
    "quarter": (tensor(data_type=TensorProto.FLOAT8E4M3FN), "holds FLOAT8E4M3FN"),
    "four bits": (tensor(data_type=TensorProto.INT4), "holds INT4"),
    "no type": (tensor(data_type=None), "holds UNDEFINED"),
    "unknown type": (tensor(data_type=99), "holds 99"),
    "huge": (tensor(dims=[2**40, 2**40]), "holds 3 numbers for a shape of"),
    "huge numbers": (
        tensor(dims=[2**40], raw_data=None, float_data=[0.5]),
        "holds 1 numbers for a shape",
    ),
    "overflow": (tensor(dims=[2**62, 4, 3]), "holds 3 numbers for a shape of"),
    "negative": (tensor(dims=[-1, -3]), "holds 3 numbers for a shape of"),
    "empty and huge": (tensor(dims=[2**62, 2**62, 0], raw_data=b""), "or damaged"),
    "many axes": (tensor(dims=[1] * 40 + [3]), "holds 3 numbers for a shape of"),
    "endless axes": (tensor(dims=[2**62] * 20_000), "holds 3 numbers for a shape of"),
    "few": (tensor(raw_data=bytes(8)), "holds 2 numbers for a shape of"),
    "odd bytes": (tensor(raw_data=bytes(13)), "or damaged"),
    "no bytes": (tensor(raw_data=None), "holds 0 numbers for a shape of"),
    "other field": (
        tensor(raw_data=None, int32_data=[1, 2, 3]),
        "holds 0 numbers for a shape of",
    ),
    "too large": (
        tensor(data_type=TensorProto.INT8, raw_data=None, int32_data=[1, 2, 300]),
        "or damaged",
    ),
    "NaN": (tensor(raw_data=np.array([1, np.nan, 2], "f4").tobytes()), "NaN or infinite"),
    "sparse": (model(sparse), "sparse weights"),
    "no name": (tensor(name=""), "one has none"),
    "one name": (tensor(name="W"), "two arrays have one name"),
    "constant of that name": (
        model(nodes=[helper.make_node("Constant", [], ["W"], value_int=1)]),
        "two arrays have one name",
    ),
    "constant text": (constant(value_string="words"), "is no array of numbers"),
    "constant texts": (constant(value_strings=["words"]), "is no array of numbers"),
    "constant of nothing": (constant(), "is no array of numbers"),
    "constant of two": (constant(value_int=1, value_float=2.0), "is no array of numbers"),
    "constant for nobody": (
        model(nodes=[helper.make_node("Constant", [], [], value_int=1)]),
        "one has none",
    ),
    "long attribute": (model(nodes=[node_of(a=[1] * 5000)]), "at most 4096 are read"),
    "large attribute": (
        model(nodes=[node_of(a=numpy_helper.from_array(np.zeros(5000)))]),
        "at most 4096 are read",
    ),
    "two attributes": (two_attributes(), "gives an attribute twice"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_network_in_one_file_is_refused_in_a_sentence(save, case):
    content, words = BAD[case]
    assert words in refusal(save(content))


def test_what_is_no_file_is_refused(tmp_path):
    assert "is missing" in refusal(tmp_path / "network.onnx")
    assert "is no plain file" in refusal(tmp_path)


def test_a_file_of_many_entries_is_refused_before_they_take_memory(save, monkeypatch):
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 1000)
    message = refusal(save(field(7, b"\x0a\0" * 2**20)))
    assert "more than 1000 entries" in message


def test_entries_are_counted_within_messages_and_not_within_numbers(monkeypatch):
    content = field(7, field(1, b"\x0a\0" * 8) + field(5, field(9, b"\x0a\0" * 50)))
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 12)  # a graph, two in it, eight, and one
    onnx_file.count_fields(content)
    monkeypatch.setattr(onnx_file, "MOST_FIELDS", 11)
    with pytest.raises(raw.ForeignError, match="more than 11 entries"):
        onnx_file.count_fields(content)


# small arrays, so that most of what is changed is not only a number
WHOLE = model(
    nodes=(*NODES, node_of(a=[1.0], b="words", t=numpy_helper.from_array(np.ones(2, "f2")))),
    arrays={"W": np.ones((1, 2), "f4"), "R": np.ones(1, "f2"), "B": np.ones(3, "i8")},
)


@settings(max_examples=250)
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    path = Path(tmp_path_factory.getbasetemp()) / "damaged.onnx"
    path.write_bytes(hostile.mutated(WHOLE, data))
    try:
        onnx_file.read(path)
    except raw.ForeignError as error:
        assert str(error).isprintable()
