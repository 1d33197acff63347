"""Files of torch.save: written here by hand, so that they can be bad in any way."""

import io
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import hostile
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnatomy.networks.foreign import pt, raw

W = np.arange(12, dtype=np.float32).reshape(3, 4)


class Name(NamedTuple):
    """A global, by module and name."""

    module: str
    name: str


class Call(NamedTuple):
    what: Any
    arguments: Any


class Set(NamedTuple):
    """Something whose state is set (BUILD)."""

    what: Any
    state: Any


class Stored(NamedTuple):
    """A reference to something outside the pickle."""

    items: Any


class Codes(NamedTuple):
    """Steps as they stand in the file."""

    content: bytes


ORDERED = Name("collections", "OrderedDict")
REBUILD = Name("torch._utils", "_rebuild_tensor_v2")


def steps(value: Any) -> bytes:
    """The steps that make a value, as torch writes them."""
    match value:
        case Codes(content):
            return content
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(what, arguments):
            return steps(what) + steps(arguments) + b"R"
        case Set(what, state):
            return steps(what) + steps(state) + b"b"
        case Stored(items):
            return steps(items) + b"Q"
        case tuple() | list():
            start, end = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
            return start + b"".join(map(steps, value)) + end
        case dict():
            pairs = b"".join(steps(key) + steps(item) for key, item in value.items())
            return b"}(" + pairs + b"u"
        case _:
            return pickle.dumps(value, 2)[2:-1]


def row(key="0", length=12, kind="FloatStorage"):
    return Stored(("storage", Name("torch", kind), key, "cpu", length))


def tensor(shape=(3, 4), strides=(4, 1), offset=0, storage=None):
    hooks = Call(ORDERED, ())
    storage = row() if storage is None else storage
    return Call(REBUILD, (storage, offset, shape, strides, False, hooks))


def written(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


def members(top: Any, rows: dict[str, bytes] | None = None, **more: bytes) -> dict[str, bytes]:
    found = {"m/data.pkl": b"\x80\x02" + steps(top) + b"."}
    rows = {"0": W.tobytes()} if rows is None else rows
    found |= {f"m/data/{key}": content for key, content in rows.items()}
    return found | {f"m/{name}": content for name, content in more.items()} | {"m/version": b"3\n"}


def saved(top: Any, rows: dict[str, bytes] | None = None, **more: bytes) -> bytes:
    return written(members(top, rows, **more))


def read(folder: Path, content: bytes) -> dict[str, np.ndarray]:
    path = folder / "model.pt"
    path.write_bytes(content)
    found = pt.read(path)
    assert found.kind == "PyTorch" and found.config is None and found.path == path
    return found.arrays


def refused(folder: Path, content: bytes, words: str) -> None:
    with pytest.raises(raw.ForeignError, match=words) as caught:
        read(folder, content)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500 and "'model.pt'" in message


def test_tensors_come_by_name_in_the_files_order(tmp_path):
    found = read(tmp_path, saved({"b": tensor(), "a": tensor((), (), 5), "n": 3, "none": None}))
    assert [*found] == ["b", "a"]
    assert found["b"].dtype == np.float32 and found["b"].flags.writeable
    np.testing.assert_array_equal(found["b"], W)
    assert found["a"].shape == () and found["a"] == 5


def test_views_are_taken_by_stride_and_offset(tmp_path):
    views = {
        "turned": tensor((4, 3), (1, 4)),
        "column": tensor((3,), (4,), 1),
        "part": tensor((2, 2), (4, 1), 5),
        "same": tensor((3, 1), (4, 0)),
        "empty": tensor((0, 7), (7, 1)),
        "all": tensor((12,), (1,)),
    }
    found = read(tmp_path, saved(views))
    truth = {
        "turned": W.T,
        "column": W[:, 1],
        "part": W[1:, 1:3],
        "same": W[:, :1],
        "empty": np.zeros((0, 7)),
        "all": W.ravel(),
    }
    for name, array in truth.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape and found[name].flags.c_contiguous


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "kind, number",
    [
        ("HalfStorage", np.float16),
        ("BFloat16Storage", ml_dtypes.bfloat16),
        ("FloatStorage", np.float32),
        ("DoubleStorage", np.float64),
        ("CharStorage", np.int8),
        ("ByteStorage", np.uint8),
        ("ShortStorage", np.int16),
        ("IntStorage", np.int32),
        ("LongStorage", np.int64),
        ("BoolStorage", np.bool_),
    ],
)
def test_numbers_of_every_type_come_as_they_are(tmp_path, kind, number, big):
    values = np.array([0, 1, 1, 100, 3]).astype(number)
    size = values.itemsize
    words = values.view(f"u{size}").astype(f">u{size}").tobytes() if big else values.tobytes()
    top = {"a": tensor((5,), (1,), storage=row(length=5, kind=kind))}
    more = {"byteorder": b"big" if big else b"little"}
    found = read(tmp_path, saved(top, {"0": words}, **more))["a"]
    assert found.dtype == number
    np.testing.assert_array_equal(found, values)


def test_parameters_sizes_and_the_versions_of_modules_are_no_hindrance(tmp_path):
    parameter = Call(
        Name("torch._utils", "_rebuild_parameter"), (tensor(), True, Call(ORDERED, ()))
    )
    size = Call(Name("torch", "Size"), ((3, 4),))
    versions = {"_metadata": Set(Call(ORDERED, ()), {"": {"version": 1}})}
    filled = Codes(steps(Call(ORDERED, ())) + b"(" + steps("w") + steps(parameter) + b"u")
    found = read(tmp_path, saved(Set(filled, versions)))
    np.testing.assert_array_equal(found["w"], W)
    found = read(tmp_path, saved({"w": tensor(size), "size": size}))
    np.testing.assert_array_equal(found["w"], W)


def test_a_later_protocol_is_read_too(tmp_path):
    def named(module, name):
        return Codes(pickle.dumps(module, 4)[11:-1] + pickle.dumps(name, 4)[11:-1] + b"\x93\x94")

    storage = Stored(("storage", named("torch", "FloatStorage"), "0", "cuda:0", 12))
    hooks = Call(named("collections", "OrderedDict"), ())
    rebuild = named("torch._utils", "_rebuild_tensor_v2")
    top = {
        "w": Call(rebuild, (storage, 0, (3, 4), (4, 1), False, hooks)),
        "b": Codes(b"C\x05bytes"),
    }
    content = b"\x80\x04\x95" + struct.pack("<Q", 9) + steps(top) + b"."
    found = read(tmp_path, written({"m/data.pkl": content, "m/data/0": W.tobytes()}))
    np.testing.assert_array_equal(found["w"], W)


@pytest.mark.parametrize(
    "key", ["state_dict", "model_state_dict", "model", "net", "network", "weights"]
)
def test_a_checkpoint_holds_a_state_dict_beside_other_things(tmp_path, key):
    moments = {"state": {0: {"step": tensor((), ()), "exp_avg": tensor()}}, "param_groups": [{}]}
    top = {"epoch": 3, "loss": tensor((), ()), key: {"w": tensor()}, "optimizer": moments}
    assert [*read(tmp_path, saved(top))] == ["w"]


@pytest.mark.parametrize(
    "names, bare",
    [
        (["module.a", "module.b.c"], ["a", "b.c"]),
        (["_orig_mod.a"], ["a"]),
        (["model.module.a", "model.module.b"], ["a", "b"]),
        (["module._orig_mod.a"], ["a"]),
        (["module.a", "b"], ["module.a", "b"]),
        (["model."], ["model."]),
        (["model.a", "model."], ["model.a", "model."]),
        (["modela"], ["modela"]),
    ],
)
def test_prefixes_go_if_all_names_have_them(tmp_path, names, bare):
    assert [*read(tmp_path, saved({name: tensor() for name in names}))] == bare


def test_what_would_run_does_not(tmp_path):
    mark = tmp_path / "mark"
    planted = Call(Name("builtins", "open"), (str(mark), "w"))
    content = saved({"w": tensor(), "x": planted})
    refused(tmp_path, content, "an object of Python, 'builtins.open', and only tensors")
    assert not mark.exists()
    pickle.loads(b"\x80\x02" + steps(planted) + b".").close()  # which shows that it would
    assert mark.exists()


PLANTED = {
    "system": Call(Name("os", "system"), ("true",)),
    "posix": Call(Name("posix", "system"), ("true",)),
    "eval": Call(Name("builtins", "eval"), ("1",)),
    "getattr": Call(Name("builtins", "getattr"), (Name("torch", "Size"), "mro")),
    "ours": Call(Name("rnnatomy.networks.foreign.pt", "read"), ("a",)),
    "spaces": Name("builtins eval", "x"),
    "numpy scalar": Call(Name("numpy.core.multiarray", "scalar"), ()),
    "namespace": Name("argparse", "Namespace"),
    "module": Codes(steps(Name("net", "Network")) + b")\x81" + steps({"training": False}) + b"b"),
    "by two texts": Codes(steps("os") + steps("system") + b"\x93"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("place", ["value", "key", "whole", "nested"])
def test_other_globals_are_refused_by_name(tmp_path, name, place):
    it = PLANTED[name]
    top = {
        "value": {"w": tensor(), "x": it},
        "key": Codes(b"}(" + steps(it) + steps(1) + b"u"),
        "whole": it,
        "nested": {"state_dict": {"w": tensor()}, "hyper_parameters": [{"a": (it,)}]},
    }[place]
    words = r"object of Python, '[\w.]+', .*torch.save\(model.state_dict\(\), \"model.pt\"\) or, be"
    refused(tmp_path, saved(top), words)


OTHERS = {
    "_rebuild_parameter_with_state": Name("torch._utils", "_rebuild_parameter_with_state"),
    "_rebuild_tensor_v3": Name("torch._utils", "_rebuild_tensor_v3"),
    "_rebuild_sparse_tensor": Name("torch._utils", "_rebuild_sparse_tensor"),
    "_rebuild_qtensor": Name("torch._utils", "_rebuild_qtensor"),
    "_rebuild_from_type_v2": Name("torch._tensor", "_rebuild_from_type_v2"),
    "ComplexFloatStorage": Name("torch", "ComplexFloatStorage"),
    "UntypedStorage": Name("torch.storage", "UntypedStorage"),
    "QInt8Storage": Name("torch", "QInt8Storage"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_tensors_are_refused_by_name(tmp_path, name):
    refused(tmp_path, saved({"w": OTHERS[name]}), f"tensors of another kind .*{name}.*float32")


TOPS = {
    "nothing": ({}, "no tensors by name"),
    "numbers": ({"a": 1, "b": [2.5]}, "no tensors by name"),
    "one tensor": (tensor(), "no dict of tensors"),
    "list": ([{"w": tensor()}], "no dict of tensors"),
    "a global alone": (Name("torch", "FloatStorage"), "no dict of tensors"),
    "numbers as names": ({0: tensor()}, "no tensors by name"),
    "two parts": ({"model": {"w": tensor()}, "net": {"w": tensor()}}, "not clear .*'model', 'net'"),
    "other parts": ({"loss": tensor((), ()), "rnn": {"w": tensor()}}, "not clear .*'rnn'"),
    "beyond": ({"w": tensor(offset=1)}, "'w' has 12 numbers in a row of 12, or lies beyond"),
    "far beyond": ({"w": tensor((2,), (2**30,))}, "beyond its end"),
    "a long stride": ({"w": tensor((2,), (2**60,))}, "damaged"),
    "a stride of 0": ({"w": tensor((2**31,), (0,))}, "'w' has 2147483648 numbers in a row of 12"),
    "strides of 0": ({"w": tensor((2**31,) * 32, (0,) * 32)}, "has 4185.* numbers in a row of 12"),
    "a huge side": ({"w": tensor((2**62, 0), (0, 0))}, "damaged"),
    "huge empty": ({"w": tensor((2**31, 2**31, 2**31, 0), (0,) * 4)}, "damaged"),
    "backwards": ({"w": tensor((2,), (-1,), 3)}, "damaged"),
    "before": ({"w": tensor(offset=-1)}, "damaged"),
    "a side that is no number": ({"w": tensor((3, 4.0))}, "damaged"),
    "a side that is true": ({"w": tensor((True, 4))}, "damaged"),
    "a huge number": ({"w": tensor((3, 10**5000))}, "damaged"),
    "fewer strides": ({"w": tensor((3, 4), (4,))}, "damaged"),
    "too many axes": ({"w": tensor((1,) * 33, (0,) * 33)}, "damaged"),
    "no storage": ({"w": tensor(storage=W.tolist())}, "damaged"),
    "too few arguments": ({"w": Call(REBUILD, (row(),))}, "damaged"),
    "arguments as a list": ({"w": Call(REBUILD, [row()])}, "damaged"),
    "a call of text": ({"w": Call("os.system", ("true",))}, "cannot be called"),
    "a call of a tensor": ({"w": Call(tensor(), ())}, "cannot be called"),
    "a call of a storage": ({"w": Call(Name("torch", "FloatStorage"), ())}, "cannot be called"),
    "state of a global": (Set(Name("torch", "Size"), (None, {"__code__": 1})), "damaged"),
    "state of a tensor": ({"w": Set(tensor(), {"x": 1})}, "damaged"),
    "a filled dict": ({"w": Call(ORDERED, ([("a", 1)],))}, "damaged"),
    "another reference": ({"w": Stored(("module", "x", "y"))}, "damaged"),
    "a reference by text": ({"w": tensor(storage=Stored("0"))}, "damaged"),
    "no such row": ({"w": tensor(storage=row("1"))}, "lacks 'm/data/1'"),
    "a row out of the folder": ({"w": tensor(storage=row("../version"))}, r"lacks 'm/data/\.\./v"),
    "a short row": (
        {"w": tensor(storage=row(length=13))},
        "'data/0' has 48 bytes, which are no float32",
    ),
    "a long row": ({"w": tensor((2,), (1,), storage=row(length=2))}, "has 48 bytes"),
    "a row of another type": ({"w": tensor(storage=row(kind="LongStorage"))}, "has 48 bytes"),
    "a row of two types": (
        {"w": tensor(), "v": tensor((), (), storage=row(kind="IntStorage"))},
        "same numbers for those of two types",
    ),
    "items of a text": (Codes(steps("a") + steps(1) + b"a"), "damaged"),
    "pairs of a list": (Codes(b"](" + steps(1) + steps(1) + b"u"), "damaged"),
    "a key without a value": (Codes(b"}(" + steps("a") + b"u"), "damaged"),
}


@pytest.mark.parametrize("name", TOPS)
def test_what_is_no_state_dict_is_refused(tmp_path, name):
    top, words = TOPS[name]
    refused(tmp_path, saved(top), words)


STEPS = {
    "INST": b"(ios\nsystem\n",
    "OBJ": b"(ccollections\nOrderedDict\no",
    "NEWOBJ": b"ccollections\nOrderedDict\n)\x81",
    "NEWOBJ_EX": b"ccollections\nOrderedDict\n)}\x92",
    "EXT1": b"\x82\x01",
    "EXT4": b"\x84\x01\0\0\0",
    "PERSID": b"Pid\n",
    "DUP": b"N2",
    "POP": b"N0",
    "UNICODE": b"Va\n",
    "INT": b"I1\n",
    "BYTEARRAY8": b"\x96\x01\0\0\0\0\0\0\0a",
    "NEXT_BUFFER": b"\x97",
    "EMPTY_SET": b"\x8f",
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_that_no_state_dict_takes_are_refused(tmp_path, name):
    refused(tmp_path, saved(Codes(STEPS[name])), f"a step {name}, which a state_dict does not")


DAMAGED = {
    "nothing": b"",
    "no end": b"\x80\x02}",
    "end alone": b"\x80\x02.",
    "two values": b"\x80\x02}}.",
    "no such step": b"\x80\x02\xff.",
    "text cut": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "bytes of 2**63": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",
    "text of 2**64": b"\x80\x04\x8d" + b"\xff" * 8 + b".",
    "bytearray of 2**62": b"\x80\x05\x96" + b"\0" * 7 + b"\x40.",
    "a number of 2**31 bytes": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "never kept": b"\x80\x02h\x07.",
    "no mark": b"\x80\x02t.",
    "nothing to join": b"\x80\x02\x87.",
    "kept far away": b"\x80\x02}r\xff\xff\xff\xffj\xff\xff\xff\x7f.",
    "text of no letters": b"\x80\x02X\x01\0\0\0\xff.",
    "number of many digits": b"\x80\x02L" + b"9" * 9999 + b"L\n.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_pickle_is_refused(tmp_path, name):
    refused(tmp_path, written({"m/data.pkl": DAMAGED[name]}), "damaged")


def test_small_pickles_that_would_take_for_ever_do_not(tmp_path, monkeypatch):
    laughs = steps(("a", "b"))
    doubled = laughs + b"".join(b"q%ch%c\x86" % (k, k) for k in range(100))
    start = time.monotonic()
    key = Codes(b"}(" + doubled + steps(1) + b"u")  # whose hash has 2**100 parts
    refused(tmp_path, saved(key), "no tensors by name")
    refused(tmp_path, saved(Codes(doubled)), "no dict of tensors")
    looped = Codes(b"}q\0(" + steps("state_dict") + b"h\0u")
    refused(tmp_path, saved(looped), "no tensors by name")
    deep = Codes(b"]" * 10**5 + b"a" * (10**5 - 1))
    refused(tmp_path, saved(deep), "no dict of tensors")
    monkeypatch.setattr(pt, "MOST_STEPS", 1000)
    refused(tmp_path, saved(Codes(b"N" * 1001)), "more than 1000 steps")
    assert time.monotonic() - start < 20


def test_memory_is_bounded_by_the_file(tmp_path):
    rows = {"0": bytes(4 * 2**16)}
    shared = {f"w{k}": tensor((2**16,), (1,), storage=row(length=2**16)) for k in range(300)}
    content = saved(shared, rows)
    tracemalloc.start()
    refused(tmp_path, content, "tensors of 78643200 bytes, and a file of that size may hold")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * len(content)


def test_a_large_pickle_is_refused(tmp_path, monkeypatch):
    content = saved({"w": tensor()})
    monkeypatch.setattr(raw, "MOST_JSON", 100)
    refused(tmp_path, content, "'m/data.pkl' has [0-9]+ bytes, at most 100 are read")


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def doubled() -> bytes:
    """Two members of one name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", b"a")
        archive.writestr("m/data.pkk", b"b")
    return patched(file.getvalue(), b"pkk", b"pkl")


def overlapping() -> bytes:
    """Many members that are the same bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/data.pkl", bytes(10**5))
        for k in range(100):
            archive.filelist.append(info := zipfile.ZipInfo(f"m/data/{k}"))
            for field in ("file_size", "compress_size", "header_offset", "CRC"):
                setattr(info, field, getattr(archive.filelist[0], field))
    return file.getvalue()


GOOD = saved({"w": tensor()})
ZIPS = {
    "text": (b"no zip file, but text", "no zip file, as torch.save writes"),
    "html": (b"<html>" + GOOD, "no zip file"),
    "a pickle": (pickle.dumps({"a": 1}, 2), "no zip file"),
    "of old": (pt._LEGACY + b".", "PyTorch before 1.6, which is no zip file"),
    "start alone": (b"PK\3\4", "no whole zip file"),
    "cut": (GOOD[:-1], "no whole zip file"),
    "with something after": (GOOD + b"abc", "no whole zip file"),
    "without its start": (b"PK\3\4" + GOOD[30:], "cannot be read .Invalid argument.: correct that"),
    "a number changed": (patched(GOOD, W[1].tobytes(), W[2].tobytes()), "damaged.*Bad CRC"),
    "another zip": (written({"a/b": b""}), "holds 0 members data.pkl"),
    "data.pkl at its root": (written({"data.pkl": b""}), "holds 0 members data.pkl"),
    "two folders": (written({"a/data.pkl": b"", "b/data.pkl": b""}), "holds 2 members data.pkl"),
    "TorchScript": (written({"m/data.pkl": b"", "m/code/__torch__.py": b""}), "TorchScript"),
    "constants": (written({"m/data.pkl": b"", "m/constants.pkl": b""}), "TorchScript"),
    "packed": (written(members({"w": tensor()}), zipfile.ZIP_DEFLATED), "'m/data.pkl' is packed"),
    "packed by lzma": (written(members({"w": tensor()}), zipfile.ZIP_LZMA), "is packed .by 14"),
    "one name twice": (doubled(), "two members of one name"),
    "overlapping": (overlapping(), "its members have 10100000 bytes"),
    "a path up": (written({"m/data.pkl": b"", "m/../../x": b""}), "a path out of its folder"),
    "a path from the root": (written({"m/data.pkl": b"", "/x": b""}), "a path out of its folder"),
    "a path up, otherwise": (written({"m/data.pkl": b"", "..\\x": b""}), "a path out of its"),
    "a path of Windows": (written({"m/data.pkl": b"", "C:x": b""}), "a path out of its folder"),
    "byteorder": (saved({"w": tensor()}, byteorder=b"middle"), "byteorder b'middle'"),
    "a long byteorder": (saved({"w": tensor()}, byteorder=b"l" * 99), "has 99 bytes, at most 16"),
    "not finite": (saved({"w": tensor()}, {"0": np.full(12, np.nan, "f4").tobytes()}), "NaN"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_files_that_torch_does_not_write_are_refused(tmp_path, name):
    content, words = ZIPS[name]
    refused(tmp_path, content, words)


@pytest.mark.parametrize(
    "at, new, words",
    [
        (8, b"\1\0", "encrypted"),
        (20, struct.pack("<I", 2**31), "said to have two sizes"),
        (24, struct.pack("<I", 2**32 - 2), "said to have two sizes"),
        (20, struct.pack("<II", 2**31, 2**31), "have 2147483[0-9]* bytes and unpack to"),
        (42, struct.pack("<I", 7), "damaged"),
        (6, b"\xff\xff", "damaged"),
    ],
)
def test_a_member_that_is_not_as_it_is_said_to_be_is_refused(tmp_path, at, new, words):
    place = GOOD.index(b"PK\1\2") + at
    refused(tmp_path, GOOD[:place] + new + GOOD[place + len(new) :], words)


@pytest.mark.parametrize("wide", [False, True])
def test_a_long_list_of_members_is_refused_before_it_is_taken(tmp_path, wide):
    directory = GOOD[GOOD.index(b"PK\1\2") : -22]
    many = directory * (2**23 // len(directory))
    start, length = GOOD.index(b"PK\1\2"), len(many)
    content = GOOD[:start] + many
    if wide:
        at = len(content)
        content += b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 9, 9, length, start)
        content += b"PK\6\7" + struct.pack("<IQI", 0, at, 1)
    content += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 9, 9, 9 if wide else length, start, 0)
    tracemalloc.start()
    refused(tmp_path, content, "too many members")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**6


@pytest.mark.parametrize("what", ["missing", "folder", "empty"])
def test_what_is_no_file_is_refused(tmp_path, what):
    path = tmp_path / "model.pt"
    if what == "folder":
        path.mkdir()
    elif what == "empty":
        path.touch()
    words = {"missing": "is missing", "folder": "no plain file", "empty": "has 0 bytes"}[what]
    with pytest.raises(raw.ForeignError, match=words):
        pt.read(path)


RICH = members(
    {
        "epoch": 3,
        "state_dict": {"model.w": tensor(), "model.turned": tensor((4, 3), (1, 4))},
        "others": [1.5, None, True, ("a", 2**40), {"b": {}}],
    },
    byteorder=b"little",
)


@settings(max_examples=300)
@given(data=st.data())
def test_any_file_is_read_or_refused(tmp_path_factory, data):
    """The zip is changed, which its checksums mostly tell, or what stands in it."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.pt"
    if data.draw(st.booleans()):
        content = hostile.mutated(written(RICH), data)
    else:
        name = data.draw(st.sampled_from(["m/data.pkl", "m/data.pkl", "m/data/0", "m/byteorder"]))
        content = written(RICH | {name: hostile.mutated(RICH[name], data)})
    path.write_bytes(content)
    try:
        with np.errstate(invalid="ignore"):
            found = pt.read(path).arrays
    except raw.ForeignError as error:
        assert str(error).isprintable()
    else:
        assert sum(array.nbytes for array in found.values()) <= pt.RATIO * len(content)
