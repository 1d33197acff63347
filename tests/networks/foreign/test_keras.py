import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import hostile
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rnnatomy.networks.foreign import keras, raw

CONFIG = {"module": "keras", "class_name": "Sequential", "config": {"layers": [{"units": 4}]}}
ARRAYS = {
    f"layers/{name}/vars/{place}": np.random.default_rng(place).normal(size=shape).astype("f4")
    for name, shapes in {"lstm/cell": ((3, 16), (4, 16), (16,)), "dense": ((4, 2), (2,))}.items()
    for place, shape in enumerate(shapes)
}


def weights(change=lambda file: None, arrays=ARRAYS):
    """The bytes of an HDF5 file as Keras 3 writes it, and what is changed in it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for group in ("vars", "layers/lstm/vars", "layers/dropout/vars"):
            file.create_group(group)
        for key, array in arrays.items():
            file[key] = array
        change(file)
    return content.getvalue()


def packed(members=None, method=zipfile.ZIP_STORED):
    """The bytes of a ``.keras``, with some members other than usual or, if None, left out."""
    usual = {"metadata.json": "{}", "config.json": json.dumps(CONFIG)}
    usual |= {"model.weights.h5": weights() if "model.weights.h5" not in (members or {}) else b""}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, member in (usual | (members or {})).items():
            if member is not None:
                archive.writestr(name, member)
    return content.getvalue()


def refusal(path):
    with pytest.raises(raw.ForeignError) as caught:
        keras.read(path)
    message = str(caught.value)
    assert message.isprintable() and message.endswith(".") and len(message) < 400, message
    return message


def same(found, expected):
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, strict=True)


@pytest.fixture
def save(tmp_path):
    def save(content, name="network.keras"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return save


@pytest.mark.parametrize("method", (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
def test_a_keras_file_gives_its_arrays_by_path_and_its_configuration(save, method):
    found = keras.read(save(packed(method=method)))
    assert found.kind == "Keras" and found.config == CONFIG
    same(found.arrays, ARRAYS)


def test_bare_weights_tell_no_configuration_whatever_the_name_of_the_file(save):
    for name in ("network.weights.h5", "network.keras"):
        found = keras.read(save(weights(), name))
        assert found.config is None
        same(found.arrays, ARRAYS)


def test_older_paths_stand_as_they_are_and_what_is_no_weight_is_left_out(save):
    old = {"_layer_checkpoint_dependencies/gru/cell/vars/0": np.ones((2, 3), "f4")}
    aside = (
        "optimizer/vars/0",
        "optimizer_weights/adam/iter:0",
        "layers/dropout/seed_generator/vars/0",
        "layers/lstm/cell/seed_generator/vars/0",
    )
    kept = {"layers/optimizer/vars/0": np.zeros(3, "f4")}
    content = weights(arrays=old | kept | dict.fromkeys(aside, np.ones(2, "u4")))
    same(keras.read(save(content)).arrays, old | kept)


@pytest.mark.parametrize("whole", ("text", "bytes", "fixed"))
def test_the_whole_model_of_keras_2_gives_its_arrays_and_its_configuration(save, whole):
    words = json.dumps(CONFIG | {"name": "Zürich"}, ensure_ascii=False)
    held = {"text": words, "bytes": words.encode(), "fixed": np.bytes_(words.encode())}[whole]

    def change(file):
        file.attrs["model_config"] = held
        file.attrs["keras_version"] = "2.15.0"
        file["model_weights"].attrs["layer_names"] = ["lstm"]

    arrays = {
        f"model_weights/lstm/lstm/lstm_cell/{name}:0": np.full((2, 4), size, "f4")
        for size, name in enumerate(("bias", "kernel", "recurrent_kernel"))
    }
    found = keras.read(save(weights(change, arrays), "network.h5"))
    assert found.config == CONFIG | {"name": "Zürich"}
    same(found.arrays, arrays)


@pytest.mark.parametrize(
    "kind", ("<f2", ">f4", "<f8", ">i2", "<i8", "u1", ">u4", "bfloat16", "gzip", "lzf", "column")
)
def test_numbers_of_any_kind_come_as_this_machine_has_them(save, kind):
    array = np.arange(-10.0, 50.0).reshape(12, 5)
    options = {"compression": kind, "shuffle": True} if kind in ("gzip", "lzf") else {}
    if kind[0] in "<>u":
        array = np.abs(array).astype(kind)
    elif kind == "bfloat16":
        array = array.astype(ml_dtypes.bfloat16)
    elif kind == "column":
        array = np.asfortranarray(array)

    def change(file):
        file.create_dataset("a", data=array, **options)
        if kind == "bfloat16":
            file["a"].attrs["dtype"] = "bfloat16"
        file["scalar"], file["none"] = np.float32(2), np.zeros((0, 3), "f4")

    found = keras.read(save(weights(change, {}))).arrays
    plain = array if kind == "bfloat16" else array.astype(array.dtype.newbyteorder("="))
    same(found, {"a": plain, "scalar": np.asarray(2, "f4"), "none": np.zeros((0, 3), "f4")})


def test_a_file_that_others_hold_open_or_that_may_not_be_written_is_read(save):
    path = save(weights())
    path.chmod(0o444)
    with h5py.File(path, "r"):
        same(keras.read(path).arrays, ARRAYS)


def soft(file):
    file["layers/dense/more"] = h5py.SoftLink("/layers/lstm")


def external(file):
    file["layers/dense/more"] = h5py.ExternalLink("/etc/passwd", "/")


def cycle(file):
    file["layers/dense/more"] = file["layers"]


def twice(file):
    for level in range(20):
        below = file.create_group(f"level{level}")
        if level:
            below["left"] = below["right"] = file[f"level{level - 1}"]


def storage(file):
    file.create_dataset("more", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", (4,))
    file.create_virtual_dataset("more", layout)


def plugin(file):
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((4,))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file.id, b"more", h5py.h5t.IEEE_F32LE, space, properties)


def attribute(value):
    def change(file):
        file.attrs["model_config"] = value

    return change


def more(value, **options):
    return lambda file: file.create_dataset("more", data=value, **options)


BAD = {
    "soft link": (soft, "is a link to another place"),
    "external link": (external, "is a link to another place"),
    "cycle": (cycle, "stands at two places"),
    "a million paths": (twice, "stands at two places"),
    "other file": (storage, "lies in another file"),
    "virtual": (virtual, "lies in another file"),
    "plugin": (plugin, "packed by filter 32015"),
    "text": (more("words"), "no real numbers"),
    "texts": (more(np.array([b"some", b"words"])), "no real numbers"),
    "complex": (more(np.ones(2, complex)), "no real numbers"),
    "table": (more(np.ones(2, "f4,i4")), "no real numbers"),
    "bits": (more(np.ones(2, "V2")), "no real numbers"),
    "truth": (more(np.ones(2, bool)), "no real numbers"),
    "wide": (more(np.ones(2, np.longdouble)), "no real numbers"),
    "lists": (
        lambda file: file.create_dataset("more", (2,), h5py.vlen_dtype(np.float32)),
        "no real numbers",
    ),
    "reference": (lambda f: f.create_dataset("more", data=f["layers"].ref), "no real numbers"),
    "region": (
        lambda f: f.create_dataset("more", data=f["layers/dense/vars/0"].regionref[:1]),
        "no real numbers",
    ),
    "nothing": (more(h5py.Empty("f4")), "no real numbers"),
    "type": (lambda file: file.update(more=np.dtype("f4")), "neither a group nor an array"),
    "line break": (lambda file: file.create_group("a\nb"), "no name of a group"),
    "NaN": (more(np.array([1, np.nan], "f4")), "NaN or infinite"),
    "huge": (
        lambda file: file.create_dataset("more", (2**40, 2**22), "f4", chunks=(8, 8)),
        "a file of that size may hold",
    ),
    "large and empty": (
        lambda file: file.create_dataset("more", (2**40, 0), "f4", maxshape=(None, None)),
        "a file of that size may hold",
    ),
    "large chunk": (
        lambda file: file.create_dataset("more", (2,), "f4", chunks=(2**28,), maxshape=(None,)),
        "a file of that size may hold",
    ),
    "bomb": (more(np.zeros(2**23, "f4"), compression="gzip"), "a file of that size may hold"),
    "many": (
        lambda file: [file.create_dataset(f"x{k}", data=0.0) for k in range(raw.MOST_ARRAYS)],
        "at most 4096 are read",
    ),
    "deep": (lambda file: file.create_group("a/" * 70), "groups within groups"),
    "config of numbers": (attribute(3), "'model_config' is no text"),
    "config of texts": (attribute(["a", "b"]), "'model_config' is no text"),
    "no JSON": (attribute("units: 4"), "model_config cannot be read as JSON"),
    "empty config": (attribute(""), "model_config cannot be read as JSON"),
    "no object": (attribute("[1]"), "model_config holds no object"),
    "no letters": (attribute(b'{"a": "\xff"}'), "libhdf5 could not read it"),
    "long": (attribute("1" * (2**24 + 1)), "at most 16777216 are read"),
}


@pytest.mark.parametrize("case", BAD)
def test_hdf5_that_is_not_what_keras_writes_is_refused_in_a_sentence(save, case):
    change, words = BAD[case]
    assert words in refusal(save(weights(change), "network.weights.h5"))


def test_what_leads_elsewhere_leads_nowhere_from_within_a_zip_either(save):
    message = refusal(save(packed({"model.weights.h5": weights(external)})))
    assert message.startswith("'network.keras': 'layers/dense/more' is a link")


def test_a_file_without_arrays_is_refused(save):
    assert "holds no arrays" in refusal(save(weights(arrays={})))


def encrypted(content):
    content = bytearray(content)
    for found in re.finditer(rb"PK\x03\x04..|PK\x01\x02....", content, re.DOTALL):
        content[found.end()] |= 1
    return bytes(content)


def shorter(content):
    """Let the list of members tell of fewer bytes than there are."""
    at = content.rindex(b"PK\1\2")
    size = int.from_bytes(content[at + 24 : at + 28], "little") - 1
    return content[: at + 24] + size.to_bytes(4, "little") + content[at + 28 :]


def flipped(content):
    at = content.index(b"\x89HDF") + 900
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def listed(content):
    """Let the end tell of a longer list of members."""
    return content[:-10] + (2**23).to_bytes(4, "little") + content[-6:]


def wide(content):
    """Put a record before the end that says that the list of members is elsewhere."""
    return content[:-22] + b"PK\6\7" + bytes(16) + content[-22:]


BAD_ZIP = {
    "other zip": (packed({"config.json": None, "model.weights.h5": None}), "no config.json"),
    "no weights": (packed({"model.weights.h5": None}), "no model.weights.h5"),
    "weights of NumPy": (
        packed({"model.weights.h5": None, "model.weights.npz": "x"}),
        "no model.weights.h5",
    ),
    "no config": (packed({"config.json": None}), "no config.json"),
    "climbs": (packed({"assets/../../x": "x"}), "a path out of its folder"),
    "absolute": (packed({"/etc/x": "x"}), "a path out of its folder"),
    "backslash": (packed({"assets\\..\\x": "x"}), "a path out of its folder"),
    "drive": (packed({"C:\\x": "x"}), "a path out of its folder"),
    "encrypted": (encrypted(packed()), "is encrypted"),
    "bzip2": (packed(method=zipfile.ZIP_BZIP2), "which is not read"),
    "bomb": (
        packed({"model.weights.h5": bytes(2**24)}, zipfile.ZIP_DEFLATED),
        "unpacks to 16777216 bytes",
    ),
    "long config": (
        packed({"config.json": " " * 2**25}, zipfile.ZIP_DEFLATED),
        "config.json unpacks to",
    ),
    "cut": (packed()[:-30], "no whole zip"),
    "half": (packed()[:1000], "no whole zip"),
    "comment": (packed() + b"x", "no whole zip"),
    "list": (listed(packed()), "no whole zip"),
    "wide": (wide(packed()), "no whole zip"),
    "short": (shorter(packed()), "two sizes"),
    "flipped": (flipped(packed()), "damaged"),
    "no HDF5": (packed({"model.weights.h5": "words"}), "libhdf5 could not read it"),
    "cut HDF5": (packed({"model.weights.h5": weights()[:4000]}), "libhdf5 could not read it"),
    "empty HDF5": (packed({"model.weights.h5": b""}), "libhdf5 could not read it"),
    "no JSON": (packed({"config.json": "{'a': 1}"}), "cannot be read as JSON"),
    "no text": (packed({"config.json": b"\xff\xfe{}"}), "damaged"),
    "no object": (packed({"config.json": "[]"}), "holds no object"),
    "twice": (packed({"config.json": '{"a": 1, "a": 2}'}), "a name is given twice"),
    "deep": (packed({"config.json": "[" * 10**6}), "nested too deep"),
    "deep and whole": (
        packed({"config.json": '{"a":' * 300 + "1" + "}" * 300}),
        "nested too deep",
    ),
    "long number": (packed({"config.json": "9" * 5000}), "cannot be read as JSON"),
}


@pytest.mark.parametrize("case", BAD_ZIP)
def test_a_zip_that_is_not_what_keras_writes_is_refused_in_a_sentence(save, case):
    content, words = BAD_ZIP[case]
    assert words in refusal(save(content))


def test_a_zip_with_two_members_of_one_name_is_refused(save):
    content = io.BytesIO(packed())
    with zipfile.ZipFile(content, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", "{}")
    assert "two members of one name" in refusal(save(content.getvalue()))


OTHER = {
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "neither a zip nor HDF5"),
    "zip of nothing": (b"PK\5\6" + bytes(18), "neither a zip nor HDF5"),
    "JSON": (b"{}", "neither a zip nor HDF5"),
    "nothing": (b"", "has 0 bytes"),
    "cut": (weights()[:300], "libhdf5 could not read it"),
    "start": (weights()[:8], "libhdf5 could not read it"),
}


@pytest.mark.parametrize("case", OTHER)
def test_other_files_and_cut_ones_are_refused(save, case):
    content, words = OTHER[case]
    assert words in refusal(save(content))


def test_what_is_no_file_is_refused(tmp_path):
    assert "is missing" in refusal(tmp_path / "network.keras")
    assert "is no plain file" in refusal(tmp_path)


@pytest.mark.parametrize("members", ({}, {"model.weights.h5": "words"}), ids=("read", "refused"))
def test_nothing_is_left_behind(save, tmp_path, monkeypatch, members):
    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    path = save(packed(members))
    if members:
        refusal(path)
    else:
        keras.read(path)
    assert not [*aside.iterdir()]


def test_a_full_disk_is_told(save, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    assert "correct that" in refusal(save(packed()))


def test_a_process_that_takes_too_long_is_ended(save, monkeypatch):
    monkeypatch.setattr(keras, "PATIENCE", 0.01)
    assert "could not read it in the time that is allowed" in refusal(save(weights()))


@pytest.mark.parametrize(
    ("code", "words"),
    (
        ("import os; os.kill(os.getpid(), 11)", "(Segmentation fault)"),
        ('print(\'{"arrays": [], "config": null}\'); import os; os.abort()', "(Aborted)"),
        (
            'print(\'{"arrays": [], "config": null}\', flush=True); raise OSError',
            "could not read it",
        ),
        ('print(\'{"arrays": [["a", "float32", [9]]], "config": null}\')', "could not read it"),
        ('print(\'{"arrays": [["a", "words", [9]]], "config": null}\')', "could not read it"),
        ("print('{\"arrays\": 3}')", "could not read it"),
        ("print('3')", "could not read it"),
        ("print('[' * 10**5)", "could not read it"),
        ("while True: print('x' * 10**6, end='')", "could not read it"),
    ),
)
def test_a_process_that_ends_otherwise_is_a_damaged_file(save, monkeypatch, code, words):
    def started(path, most):
        return subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    monkeypatch.setattr(keras, "_started", started)
    assert words in refusal(save(weights()))


CONFINED = """
import resource, sys
import numpy as np
from rnnatomy.networks.foreign import hdf5

print(sorted({"jax", "flax", "keras", "rnnatomy.networks.models"} & set(sys.modules)))
hdf5.confine(2**20)
try:
    np.ones(2**28)
except MemoryError:
    print("no memory")
print(resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_CPU))
hdf5.limit(resource.RLIMIT_NOFILE, 0)
try:
    open(sys.argv[1])
except OSError as error:
    print(error.strerror)
"""


def test_the_process_that_reads_hdf5_knows_no_network_and_may_take_little(child, tmp_path):
    told, errors = child(CONFINED, tmp_path).communicate()
    assert not errors
    assert told.splitlines() == ["[]", "no memory", "(0, 0) (60, 60)", "Too many open files"]


@settings(max_examples=12)
@given(st.sampled_from([weights(), packed()]), st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, whole, data):
    path = Path(tmp_path_factory.mktemp("damaged")) / "network.keras"
    path.write_bytes(hostile.mutated(whole, data))
    try:
        keras.read(path)
    except raw.ForeignError as error:
        assert str(error).isprintable()
