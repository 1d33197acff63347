import ast
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from rnnatomy.store import checkout, disk

LIBRARY = Path(checkout.__file__).parents[1]
FIELDS = {"facts"}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def stored():
    rng = np.random.default_rng(0)
    turned = np.asfortranarray(rng.normal(size=(5, 6)))
    return {
        "a.safetensors": {"w": rng.normal(size=(3, 4)).astype(np.float32), "turned": turned},
        "b.safetensors": {"levels": np.arange(7, dtype=np.int8), "some": turned[::2, 1]},
    }


@pytest.fixture
def manifest(tmp_path, stored):
    path = tmp_path / "thing" / "thing.json"
    disk.save_folder(path, stored, {"facts": {"seed": 3}})
    return path


def load(path):
    return disk.load_folder(path, FIELDS, "a.safetensors")


def test_a_folder_comes_back_as_it_was_saved(manifest, stored):
    document, arrays = load(manifest)
    assert document["facts"] == {"seed": 3}
    assert arrays.keys() == stored.keys()
    for name, file in stored.items():
        assert arrays[name].keys() == file.keys()
        for key, array in file.items():
            np.testing.assert_array_equal(arrays[name][key], array)
            assert arrays[name][key].dtype == array.dtype


def test_saving_again_replaces_the_folder(manifest, stored):
    disk.save_folder(manifest, stored, {"facts": {"seed": 4}})
    assert load(manifest)[0]["facts"] == {"seed": 4}
    assert set(files(manifest.parent)) == {"thing.json", *stored}


def tamper(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate_behind_a_matching_checksum(folder):
    path = folder / "a.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    document = json.loads((folder / "thing.json").read_text())
    document["sha256"][path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "thing.json").write_text(json.dumps(document))


def overwrite(content):
    return lambda folder: (folder / "thing.json").write_bytes(content)


DAMAGE = {
    "one bit": (
        lambda folder: tamper(folder / "a.safetensors"),
        "a.safetensors is damaged: expected sha256 .* found .*restore",
    ),
    "a missing file": (
        lambda folder: (folder / "b.safetensors").unlink(),
        "b.safetensors is missing: restore",
    ),
    "truncated arrays": (
        truncate_behind_a_matching_checksum,
        "a.safetensors is no safetensors file, or is damaged",
    ),
    "half a manifest": (
        overwrite(b'{"format": 1,'),
        "thing.json cannot be read as JSON .* restore",
    ),
    "bytes for a manifest": (overwrite(b"\xff\xfe\x00"), "thing.json cannot be read as JSON"),
    "a list for a manifest": (overwrite(b"[1]"), "thing.json is not a manifest of format 1"),
    "a foreign manifest": (
        overwrite(b'{"format": 1, "sha256": {}}'),
        "thing.json is not a manifest of format 1",
    ),
    "a manifest that names no file": (
        overwrite(b'{"format": 1, "facts": {}, "sha256": {}}'),
        "thing.json is not a manifest of format 1",
    ),
    "a list of checksums": (
        overwrite(b'{"format": 1, "facts": {}, "sha256": ["a.safetensors"]}'),
        "thing.json is not a manifest of format 1",
    ),
    "a later format": (
        overwrite(b'{"format": 2, "facts": {}, "sha256": {"a.safetensors": ""}}'),
        "thing.json is not a manifest of format 1",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_folder_is_refused(manifest, damage, message):
    damage(manifest.parent)
    with pytest.raises(disk.StoreError, match=message):
        load(manifest)


def fail(*_):
    raise OSError("no space left")


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "a.json"
    disk.write(path, b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        disk.write(path, b"new")
    assert files(tmp_path) == {"a.json": b"old"}


def test_a_written_file_can_be_read_by_all(tmp_path):
    disk.write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_save_that_fails_midway_leaves_no_manifest(manifest, stored, fail_write, number):
    fail_write(number)
    with pytest.raises(OSError, match="no space left"):
        disk.save_folder(manifest, stored, {"facts": {}})
    with pytest.raises(disk.StoreError, match="cannot be read"):
        load(manifest)


@pytest.mark.parametrize(
    "path", sorted(LIBRARY.rglob("*.py")), ids=lambda path: str(path.relative_to(LIBRARY))
)
def test_the_library_unpickles_nothing(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {"pickle", "dill", "joblib"} & {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"pickle", "dill", "joblib"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert node.value.value is False
