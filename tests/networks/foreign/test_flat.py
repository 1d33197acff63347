"""Files of safetensors and of Flax, good and bad."""

import json
import struct
import tracemalloc

import hostile
import jax.numpy as jnp
import ml_dtypes
import msgpack
import numpy as np
import pytest
from flax import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from rnnatomy.networks.foreign import flat, raw

W = np.arange(12, dtype=np.float32).reshape(3, 4)

TYPES = [
    *(np.float16, np.float32, np.float64, np.bool_),
    *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
]


def read(folder, content, end=".safetensors"):
    path = folder / f"model{end}"
    path.write_bytes(content)
    reader, kind = {
        ".safetensors": (flat.read_safetensors, "safetensors"),
        ".msgpack": (flat.read_msgpack, "Flax"),
    }[end]
    found = reader(path)
    assert found.kind == kind and found.config is None and found.path == path
    return found.arrays


def refused(folder, content, words, end=".safetensors"):
    with pytest.raises(raw.ForeignError, match=words) as caught:
        read(folder, content, end)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 and f"'model{end}'" in message


def packed(header, data=b""):
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + data


def entry(kind="F32", shape=(1,), start=0, end=4):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("kind", TYPES)
def test_safetensors_come_as_they_are(tmp_path, kind):
    arrays = {"b": W.astype(kind), "a.b": np.ones((), kind), "empty": np.zeros((0, 3), kind)}
    found = read(tmp_path, save(arrays, {"format": "pt"}))
    for name, array in arrays.items():
        assert found[name].dtype == kind and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def test_safetensors_of_bfloat16_are_read(tmp_path):
    words = W.astype(ml_dtypes.bfloat16).tobytes()
    found = read(tmp_path, packed({"w": entry("BF16", (3, 4), 0, 24)}, words))["w"]
    assert found.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(found.astype(np.float32), W)


def test_safetensors_keep_the_order_of_the_file(tmp_path):
    header = {f"w{k}": entry(start=4 * k, end=4 * k + 4) for k in (5, 3, 0, 1, 4, 2)}
    assert [*read(tmp_path, packed(header, bytes(24)))] == [*header]


def test_a_true_byte_may_be_other_than_one(tmp_path):
    header = {"w": entry("BOOL", (3,), 0, 3)}
    assert read(tmp_path, packed(header, b"\0\1\2"))["w"].astype(int).tolist() == [0, 1, 1]


def test_prefixes_go_if_all_names_have_them(tmp_path):
    content = save({"module._orig_mod.lstm.w": W, "module._orig_mod.fc": W})
    assert set(read(tmp_path, content)) == {"lstm.w", "fc"}
    assert set(read(tmp_path, save({"model.w": W, "fc": W}))) == {"model.w", "fc"}
    tree = serialization.msgpack_serialize({"model": {"w": W, "b": W}})
    assert set(read(tmp_path, tree, ".msgpack")) == {"w", "b"}
    long = flat.unprefixed({"module." * 10**5: W})
    assert len(long) == 1


TWICE = b'{"w": %b, "w": %b}' % ((json.dumps(entry()).encode(),) * 2)
TENSORS = {
    "text": (b"no safetensors at all", "a header of"),
    "a few bytes": (b"abc", "a header of [0-9]+ bytes in a file of 3"),
    "eight bytes": (bytes(8), "a header of 0 bytes"),
    "a long header": (struct.pack("<Q", 2**40) + b"{}", "a header of 1099511627776 bytes"),
    "the longest header": (b"\xff" * 8 + b"{}", "a header of 18446744073709551615 bytes"),
    "a header beyond the end": (struct.pack("<Q", 9) + b"{}", "a header of 9 bytes in a file of"),
    "an empty header": (packed({}), "holds no arrays"),
    "a list": (packed([]), "damaged"),
    "no JSON": (packed(b"{oh no}"), "damaged"),
    "no Unicode": (packed(b'{"\xff": 1}'), "damaged"),
    "nested": (packed(b'{"a":' * 200 + b"1" + b"}" * 200), "damaged"),
    "twice": (packed(TWICE, bytes(4)), "gives a name twice"),
    "a field twice": (
        packed(b'{"w": {"dtype": "F32", "shape": [1, 1], "shape": [1], "data_offsets": [0, 4]}}'),
        "damaged",
    ),
    "data cut": (packed({"w": entry()}, bytes(3)), "damaged"),
    "data left": (packed({"w": entry()}, bytes(5)), "damaged"),
    "overlapping": (packed({"w": entry(), "v": entry()}, bytes(4)), "damaged"),
    "a hole": (packed({"w": entry(), "v": entry(start=8, end=12)}, bytes(12)), "damaged"),
    "backwards": (packed({"w": entry(start=4, end=0)}, bytes(4)), "damaged"),
    "below zero": (packed({"w": entry(start=-4, end=0)}, bytes(4)), "damaged"),
    "another shape": (packed({"w": entry(shape=(2,))}, bytes(4)), "damaged"),
    "a negative side": (packed({"w": entry(shape=(-1, -1))}, bytes(4)), "damaged"),
    "a huge side": (packed({"w": entry(shape=(2**62, 4))}, bytes(4)), "damaged"),
    "a huge side of none": (
        packed({"w": entry(shape=(0, 2**62, 4), end=0), "v": entry()}, bytes(4)),
        "damaged|no F32",
    ),
    "many axes": (packed({"w": entry(shape=(1,) * 40)}, bytes(4)), "'w' has 4 bytes, which are no"),
    "no type": (packed({"w": entry("F99")}, bytes(4)), "damaged"),
    "eight bits": (packed({"w": entry("F8_E4M3", (4,))}, bytes(4)), "'w' holds 'F8_E4M3', which"),
    "other eight bits": (packed({"w": entry("F8_E5M2", (4,))}, bytes(4)), "'F8_E5M2', which is"),
    "four bits": (packed({"w": entry("F4", (8,))}, bytes(4)), "'w' holds 'F4', which is not read"),
    "complex": (packed({"w": entry("C64", end=8)}, bytes(8)), "'w' holds 'C64', which is not read"),
    "not finite": (save({"w": np.array([np.inf])}), "NaN or infinite"),
    "too many": (save({f"w{k}": W[:1, 0] for k in range(5000)}), "holds 5000 arrays, at most 4096"),
    "a strange name": (packed({"\33[2J\n\u202e" * 99: entry("F4", (8,))}, bytes(4)), "holds 'F4'"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_bad_safetensors_are_refused(tmp_path, name):
    content, words = TENSORS[name]
    refused(tmp_path, content, words)


def test_a_long_header_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", raw.MOST_JSON + 1))
        file.truncate(2**26)
    tracemalloc.start()
    with pytest.raises(raw.ForeignError, match="a header of 16777217 bytes"):
        flat.read_safetensors(path)
    assert tracemalloc.get_traced_memory()[1] < 10**5
    tracemalloc.stop()


def test_a_tree_of_flax_is_read_by_dotted_path(tmp_path):
    tree = {
        "params": {"lstm": {"hi": {"kernel": W, "bias": jnp.ones(4)}}, "Dense_0": {"kernel": W}},
        "batch_stats": {"mean": W[0]},
        "opt_state": {"0": {"mu": {"lstm": {"hi": {"kernel": W}}}}},
        "step": 3,
        "note": "text",
        "none": None,
    }
    found = read(tmp_path, serialization.to_bytes(tree), ".msgpack")
    assert [*found] == [
        "params.lstm.hi.kernel",
        "params.lstm.hi.bias",
        "params.Dense_0.kernel",
        "batch_stats.mean",
    ]
    np.testing.assert_array_equal(found["params.lstm.hi.kernel"], W)
    np.testing.assert_array_equal(found["params.lstm.hi.bias"], np.ones(4))


@pytest.mark.parametrize("kind", [*TYPES, ml_dtypes.bfloat16])
def test_arrays_and_scalars_of_flax_come_as_they_are(tmp_path, kind):
    tree = {"a": W.astype(kind), "b": np.ones((), kind)[()], "c": np.zeros((0, 2), kind)}
    found = read(tmp_path, serialization.msgpack_serialize(tree), ".msgpack")
    for name, array in tree.items():
        assert found[name].dtype == kind and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name].astype(float), np.asarray(array, float))


def test_lists_and_whole_numbers_are_parts_of_a_path(tmp_path):
    tree = {"layers": [{"w": W}, {"w": 2 * W}], "more": {0: {"w": W}}}
    found = read(tmp_path, serialization.msgpack_serialize(tree), ".msgpack")
    assert [*found] == ["layers.0.w", "layers.1.w", "more.0.w"]
    np.testing.assert_array_equal(found["layers.1.w"], 2 * W)


def extension(code, *content):
    return msgpack.packb({"w": msgpack.ExtType(code, msgpack.packb(content))})


def nested(depth, leaf=None):
    return msgpack.packb(leaf) if not depth else b"\x81\xa1a" + nested(depth - 1, leaf)


def mapped(*pairs):
    return bytes([0x80 + len(pairs)]) + b"".join(
        msgpack.packb(key) + msgpack.packb(value) for key, value in pairs
    )


ARRAY = msgpack.ExtType(1, msgpack.packb(((1,), "float32", bytes(4))))
CHUNKS = {"__msgpack_chunked_array__": True, "shape": {"0": 1}, "chunks": {"0": ARRAY}}
TREES = {
    "text": (b"no msgpack", "damaged"),
    "nothing of use": (msgpack.packb({}), "holds no arrays"),
    "numbers alone": (msgpack.packb({"a": 1, "b": [1.5, None, "c"]}), "holds no arrays"),
    "one array": (msgpack.packb(ARRAY), "no map at its root"),
    "a list": (msgpack.packb([{"w": ARRAY}]), "no map at its root"),
    "cut": (msgpack.packb({"w": ARRAY})[:-1], "damaged"),
    "something after": (msgpack.packb({"w": ARRAY}) + b"\0", "damaged"),
    "an unused byte": (b"\xc1", "damaged"),
    "a list of 2**32": (b"\x81\xa1a\xdd\xff\xff\xff\xff", "damaged"),
    "a map of 2**32": (b"\xdf\xff\xff\xff\xff", "damaged"),
    "bytes of 2**32": (b"\x81\xa1a\xc6\xff\xff\xff\xff", "damaged"),
    "an extension of 2**32": (b"\x81\xa1a\xc9\xff\xff\xff\xff\1", "damaged"),
    "nested": (nested(flat.DEEPEST + 2), "or 64 parts"),
    "nested lists": (b"\x81\xa1a" + b"\x91" * 400 + b"\0", "or 64 parts"),
    "nested for ever": (b"\x81\xa1a" + b"\x91" * 9999, "damaged"),
    "a long name": (msgpack.packb({"a" * 2000: {"w": ARRAY}}), "more than 1024 letters"),
    "many items": (msgpack.packb([[0] * 4096] * 200), "more than 524288 entries"),
    "many items within": (extension(1, *[[[0] * 64] * 4000] * 4), "more than 524288 entries"),
    "many lists": (msgpack.packb({"a": [[[]] * 4096] * 200}), "more than 524288 entries"),
    "twice": (mapped(("w", ARRAY), ("w", ARRAY)), "gives a name twice"),
    "twice as a number": (mapped(("0", ARRAY), (0, ARRAY)), "gives a name twice"),
    "twice by path": (msgpack.packb({"a.b": ARRAY, "a": {"b": ARRAY}}), "have the name 'a.b'"),
    "a list as a name": (mapped(([1], ARRAY)), "keys that are no names"),
    "a number as a name": (mapped((1.5, ARRAY)), "keys that are no names"),
    "nothing as a name": (mapped((None, ARRAY)), "keys that are no names"),
    "no Unicode": (mapped((b"\xff", ARRAY)), "damaged"),
    "in pieces": (msgpack.packb({"a": CHUNKS}), "'a' is an array of more than 1073741824 bytes"),
    "complex": (serialization.msgpack_serialize({"w": 1j}), "'w' is a complex number"),
    "complex array": (serialization.to_bytes({"w": W + 1j}), "'w' holds 'complex64', which is"),
    "another extension": (extension(7, 1), "'w' is an extension 7"),
    "a time": (msgpack.packb({"w": msgpack.Timestamp(1)}), "holds no arrays"),
    "no time": (b"\x81\xa1a\xc7\x0c\xff" + b"\xff" * 12, "damaged"),
    "no array": (extension(1, 1), "'w' is no array as Flax writes one"),
    "nothing in it": (msgpack.packb({"w": msgpack.ExtType(1, b"")}), "damaged"),
    "text for a shape": (extension(1, "1", "float32", bytes(4)), "no array as Flax writes one"),
    "a shape of lists": (extension(1, [[1]], "float32", bytes(4)), "no array as Flax writes one"),
    "a shape of truths": (extension(1, [True], "float32", bytes(4)), "no array as Flax writes"),
    "another shape": (extension(1, [2], "float32", bytes(4)), "has 4 bytes, which are no float32"),
    "a negative side": (extension(1, [-1, -1], "float32", bytes(4)), "has 4 bytes, which are no"),
    "a huge side": (extension(1, [2**62, 0], "float32", b""), "damaged|no array"),
    "huge sides": (extension(1, [2**63] * 9, "float32", bytes(4)), "has 4 bytes, which are no"),
    "many axes": (extension(1, [1] * 40, "float32", bytes(4)), "has 4 bytes, which are no"),
    "eight bits": (extension(1, [4], "float8_e4m3fn", bytes(4)), "holds 'float8_e4m3fn', which"),
    "four bits": (extension(1, [4], "int4", bytes(4)), "'w' holds 'int4', which is not read"),
    "objects": (extension(1, [1], "object", bytes(8)), "'w' holds 'object', which is not read"),
    "fields": (extension(1, [1], "f4,f4", bytes(8)), "'w' holds 'f4,f4', which is not read"),
    "no text as a type": (extension(1, [1], b"\xff", bytes(8)), "damaged"),
    "not finite": (serialization.to_bytes({"w": W * np.nan}), "NaN or infinite"),
}


@pytest.mark.parametrize("name", TREES)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_bad_trees_are_refused(tmp_path, name):
    content, words = TREES[name]
    refused(tmp_path, content, words, ".msgpack")


@pytest.mark.parametrize("reader", [flat.read_safetensors, flat.read_msgpack])
@pytest.mark.parametrize("what", ["missing", "folder", "empty"])
def test_what_is_no_file_is_refused(tmp_path, reader, what):
    path = tmp_path / "model"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    words = {"missing": "is missing", "folder": "no plain file", "empty": "has 0 bytes"}[what]
    with pytest.raises(raw.ForeignError, match=words):
        reader(path)


def test_no_room_is_made_for_what_is_only_announced(tmp_path):
    announced = b"\x81\xa1a" + b"\xdc\x0f\xff" * 900
    tracemalloc.start()
    refused(tmp_path, announced, "damaged", ".msgpack")
    assert tracemalloc.get_traced_memory()[1] < 10**8
    tracemalloc.stop()


WHOLE = {
    ".safetensors": save({"lstm.w": W, "b": W.astype(np.int8)}, {"format": "pt"}),
    ".msgpack": serialization.to_bytes({"params": {"a": W, "b": [W[0]]}, "step": np.int32(3)}),
}


@pytest.mark.parametrize("end", WHOLE)
@settings(max_examples=200)
@given(data=st.data())
def test_any_file_is_read_or_refused(tmp_path_factory, end, data):
    changed = hostile.mutated(WHOLE[end], data)
    try:
        with np.errstate(invalid="ignore"):
            found = read(tmp_path_factory.getbasetemp(), changed, end)
    except raw.ForeignError as error:
        assert str(error).isprintable()
    else:
        assert sum(array.nbytes for array in found.values()) <= len(changed)
