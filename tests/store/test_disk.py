import ast
import contextlib
import errno
import fcntl
import hashlib
import itertools
import json
import os
import re
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


# what a manifest may name


OUTSIDE = {
    "an absolute path": "{outside}/secret.safetensors",
    "a path that climbs": "../outside/secret.safetensors",
    "a path that goes down": "below/secret.safetensors",
    "a path to itself": "./a.safetensors",
    "nothing": "",
    "the folder": ".",
    "the folder above": "..",
    "a hidden file": ".a.safetensors",
    "no array": "thing.json",
    "a zero byte": "a\0.safetensors",
    "half a character": "\ud800.safetensors",
    "a line's end": "a\n.safetensors",
    "a line's end behind": "a.safetensors\n",
}


@pytest.mark.parametrize("name", OUTSIDE.values(), ids=OUTSIDE)
def test_a_manifest_names_bare_files_only(manifest, tmp_path, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (manifest.parent / "below").mkdir()
    content = (manifest.parent / "a.safetensors").read_bytes()
    for folder in (outside, manifest.parent / "below"):
        (folder / "secret.safetensors").write_bytes(content)
    document = json.loads(manifest.read_text())
    for digest in ("0" * 64, hashlib.sha256(content).hexdigest()):
        document["sha256"][name.format(outside=outside)] = digest
        manifest.write_text(json.dumps(document))
        with pytest.raises(
            disk.StoreError, match=r"thing\.json names '.*': a name is letters"
        ) as e:
            load(manifest)
        assert hashlib.sha256(content).hexdigest() not in str(e.value)
        assert str(e.value).isprintable()


@pytest.mark.parametrize("name", ["a.safetensors", "thing.json"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_link_is_not_followed(manifest, tmp_path, name, inside):
    path = manifest.parent / name
    target = (manifest.parent if inside else tmp_path) / "elsewhere"
    path.rename(target)
    path.symlink_to(target)
    with pytest.raises(disk.StoreError, match=rf"{name} cannot be read \(it is a link\)") as caught:
        load(manifest)
    assert hashlib.sha256(target.read_bytes()).hexdigest() not in str(caught.value)


@pytest.mark.parametrize("name", ["a.safetensors", "thing.json"])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_what_is_no_file_is_refused_at_once(manifest, name, make):
    (manifest.parent / name).unlink()
    make(manifest.parent / name)
    with pytest.raises(disk.StoreError, match=rf"{name} cannot be read \((Is a dir|it is no ord)"):
        load(manifest)


def test_the_bytes_that_are_hashed_are_those_that_are_read(manifest, stored, monkeypatch):
    """A file that changes as soon as it was read cannot slip in what was not hashed."""
    other = manifest.with_name("other.json")
    disk.save_folder(other, {"a.safetensors": {"w": np.zeros(3)}}, {})
    changed = (manifest.parent / "a.safetensors").read_bytes()
    disk.save_folder(manifest, stored, {"facts": {}})
    read = disk._read

    def reading(path):
        content = read(path)
        if path.name == "a.safetensors":
            path.write_bytes(changed)
        return content

    monkeypatch.setattr(disk, "_read", reading)
    arrays = load(manifest)[1]["a.safetensors"]
    np.testing.assert_array_equal(arrays["w"], stored["a.safetensors"]["w"])


def test_a_folder_is_not_saved_with_a_name_that_could_not_be_read(tmp_path):
    for name in ("../a.safetensors", "a.npz", ".a.safetensors"):
        with pytest.raises(disk.StoreError, match=r"thing\.json names '.*': a name is letters"):
            disk.save_folder(tmp_path / "thing.json", {name: {"a": np.ones(2)}}, {})
    assert not files(tmp_path)


# hostile content


def header(table, data=b"", length=None):
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(dtype, shape, start, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HOSTILE = {
    "nothing": b"",
    "half a length": b"abc",
    "a header longer than memory": header({}, length=2**63),
    "a header longer than the file": header({}, length=99_999_999),
    "no JSON": header(b"xxxx"),
    "a list": header(b"[1]"),
    "nested too deep": header(b'{"__metadata__":' + b"[" * 100_000),
    "a number among words": header({"__metadata__": {"a": 1}}),
    "overlapping": header({"a": one("F32", [2], 0, 8), "b": one("F32", [2], 4, 12)}, bytes(12)),
    "more than told": header({"a": one("F32", [1], 0, 4)}, bytes(8)),
    "less than told": header({"a": one("F32", [2], 0, 8)}, bytes(4)),
    "a negative size": header({"a": one("F32", [-1], 0, 4)}, bytes(4)),
    "a size beyond counting": header({"a": one("F32", [2**40, 2**40], 0, 8)}, bytes(8)),
    "nothing, of a huge size": header({"a": one("F32", [2**62, 0], 0, 0)}),
    "a hundred axes": header({"a": one("F32", [1] * 100, 0, 4)}, bytes(4)),
    "an unknown type": header({"a": one("X", [1], 0, 8)}, bytes(8)),
    "bfloat16": header({"a": one("BF16", [2], 0, 4)}, bytes(4)),
    "eight bits": header({"a": one("F8_E4M3", [2], 0, 2)}, bytes(2)),
    "four bits": header({"a": one("F4", [2], 0, 1)}, bytes(1)),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_arrays_are_refused_in_a_sentence(manifest, content):
    path = manifest.parent / "a.safetensors"
    path.write_bytes(content)
    document = json.loads(manifest.read_text())
    document["sha256"][path.name] = hashlib.sha256(content).hexdigest()
    manifest.write_text(json.dumps(document))
    for read in (lambda: load(manifest), lambda: disk.read_arrays(path)):
        with pytest.raises(
            disk.StoreError, match=r"is no safetensors file|of a type that NumPy lacks"
        ) as caught:
            read()
        assert str(caught.value).isprintable()


def hostile_manifests():
    start = '{"format": 1, "facts": {}, "sha256": '
    yield "nested too deep", "[" * 100_000
    yield "nested too deep within", start + '{"a":' * 100_000
    yield "huge", '{"a": "' + "x" * disk.LARGEST + '"}'
    yield "a number of many digits", '{"format": ' + "1" * 5000 + "}"
    yield "NaN", '{"format": NaN}'
    yield "a format twice", '{"format": 2, "format": 1, "facts": {}, "sha256": {}}'
    digest = "0" * 64
    yield "a name twice", start + f'{{"a.safetensors": "{digest}", "a.safetensors": "{digest}"}}}}'
    for value in ("null", "1", "[]", '""', '"' + "0" * 63 + '"', '"' + "G" * 64 + '"', "{}"):
        yield f"the checksum {value[:9]}", start + f'{{"a.safetensors": {value}}}}}'
    for name in ("utf-16", "utf-32", "utf-8-sig"):
        yield name, ("{}").encode(name)


MANIFESTS = dict(hostile_manifests())


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS)
def test_a_hostile_manifest_is_refused_in_a_sentence(manifest, content):
    manifest.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(disk.StoreError, match=r"thing\.json (is not|cannot be read|holds no)") as e:
        load(manifest)
    assert len(str(e.value)) < 500 and str(e.value).isprintable()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
tables = st.fixed_dictionaries(
    {},
    optional={
        "format": st.just(1) | anything,
        "facts": anything,
        "sha256": anything
        | st.dictionaries(
            st.text() | st.sampled_from(["a.safetensors", "b.safetensors", "../a.safetensors"]),
            anything | st.text("0123456789abcdef", min_size=64, max_size=64),
            max_size=3,
        ),
    },
)


@given(st.binary(max_size=50) | (tables | anything).map(lambda t: json.dumps(t).encode()))
def test_whatever_a_manifest_holds_it_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any" / "thing.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(disk.StoreError):
        load(path)


# a folder is replaced whole: the old one or the new one


def some(number, also=()):
    """Files in which everything is the same number, as in the facts with them."""
    names = ["a.safetensors", *also]
    return {name: {"w": np.full((3, 4), number), "v": np.full(7, number)} for name in names}


def save_number(path, number, also=()):
    disk.save_folder(path, some(number, also), {"facts": number})


def read_number(path):
    """The number that everything in a folder is, which shows that it is whole."""
    document, arrays = load(path)
    numbers = {document["facts"]} | {
        number for file in arrays.values() for a in file.values() for number in a.ravel().tolist()
    }
    assert len(numbers) == 1
    return numbers.pop()


class Stopped(BaseException):
    """Stands for whatever ends the work between two lines."""


# what touches the disk
WRITERS = {"write", "save_folder", "_replace", "_settle", "_open_aside", "_sweep", "_sync"}


@contextlib.contextmanager
def stop_at(line, stop, functions=WRITERS):
    """Call a function before the line of that number is run, counted over some functions' lines.

    Yields:
        A list, which gets an entry when that happens.
    """
    reached, count = [], itertools.count(1)

    def trace(frame, event, _):
        if frame.f_code.co_filename != disk.__file__ or frame.f_code.co_name not in functions:
            return None
        if event == "line" and next(count) == line:
            reached.append(frame.f_lineno)
            sys.settrace(None)
            stop()
        return trace

    sys.settrace(trace)
    try:
        yield reached
    finally:
        sys.settrace(None)


def raising(error, *words):
    def stop():
        raise error(*words)

    return stop


def in_a_child(code):
    """Start code in a process of its own that can fork: no thread of ours runs there."""
    return (
        "import importlib.util, os, pathlib, random, signal, sys, time\n"
        f"spec = importlib.util.spec_from_file_location('test_disk', {__file__!r})\n"
        "tests = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(tests)\n"
        "path = pathlib.Path(sys.argv[1]) / 'thing.json'\n" + code
    )


def told(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.split()


STOP_AT_EACH_LINE = """
how = sys.argv[2]
os.fsync = lambda handle: None

def killed(line):
    # a lock is let go by a process that ends, wherever that is
    process = os.fork()
    if process == 0:
        kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
        with tests.stop_at(line, kill, {*tests.WRITERS, "_alone"}):
            tests.save_number(path, 2, ["c.safetensors"])
        os._exit(0)
    return os.waitpid(process, 0)[1]

def raised(line):
    error = (OSError, tests.errno.ENOSPC, "full") if how == "full" else (tests.Stopped,)
    foreseen = tests.contextlib.suppress(OSError, tests.Stopped, tests.disk.StoreError)
    with tests.stop_at(line, tests.raising(*error)) as reached, foreseen:
        tests.save_number(path, 2, ["c.safetensors"])
    return reached

found = []
for line in range(1, 10_000):
    tests.save_number(path, 1, ["b.safetensors"])
    assert tests.read_number(path) == 1
    left = sorted(tests.files(path.parent))
    assert left == ["a.safetensors", "b.safetensors", "thing.json"], left
    stopped = killed(line) if how == "killed" else raised(line)
    found.append(tests.read_number(path))
    if not stopped:
        break
assert found[0] == 1 and found[-1] == 2 and set(found) == {1, 2}, found
print(line)
"""


@pytest.mark.parametrize("how", ["killed", "full", "stopped"])
def test_whatever_ends_a_save_at_any_line_there_is_the_old_folder_or_the_new(child, tmp_path, how):
    (lines,) = told(child(in_a_child(STOP_AT_EACH_LINE), tmp_path, how))
    assert int(lines) > 100


KILL_AT_RANDOM = """
def rewrite():
    for number in range(10_000):
        tests.save_number(path, number, ["b.safetensors"] if number % 2 else ["c.safetensors"])

rng = random.Random(0)
tests.save_number(path, 0)
for _ in range(30):
    process = os.fork()
    if process == 0:
        rewrite()
    time.sleep(rng.uniform(0.01, 0.15))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    print(tests.read_number(path))
tests.save_number(path, 1)
assert set(tests.files(path.parent)) == {"thing.json", "a.safetensors"}, os.listdir(path.parent)
"""


def test_kills_at_random_moments_lose_nothing(child, tmp_path):
    numbers = told(child(in_a_child(KILL_AT_RANDOM), tmp_path))
    assert len(numbers) == 30 and len(set(numbers)) > 1


WRITE_ON = """
for number in range(1, 100_000):
    tests.save_number(path, number, ["b.safetensors"] if number % 2 else [])
"""


@pytest.mark.parametrize("writers", [1, 2])
def test_a_reader_sees_the_old_folder_or_the_new_one_while_it_is_written(child, tmp_path, writers):
    path = tmp_path / "thing.json"
    save_number(path, 0)
    started = [child(in_a_child(WRITE_ON), tmp_path) for _ in range(writers)]
    try:
        while read_number(path) == 0:
            time.sleep(0.01)
        end, seen = time.time() + 1, set()
        while time.time() < end:
            seen.add(read_number(path))
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert len(seen) > 2
    assert read_number(path) >= max(seen) or writers == 2


def calls(monkeypatch):
    """Note which files are renamed, and which are told to be on disk, in order."""
    noted = []
    replace, fsync = os.replace, os.fsync

    def replacing(old, new):
        replace(old, new)
        noted.append(Path(new).name)

    def syncing(handle):
        noted.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        fsync(handle)

    monkeypatch.setattr(os, "replace", replacing)
    monkeypatch.setattr(os, "fsync", syncing)
    return noted


@pytest.mark.skipif(sys.platform != "linux", reason="files of handles are looked up in /proc")
def test_names_are_on_disk_before_what_relies_on_them(tmp_path, monkeypatch):
    path = tmp_path / "thing.json"
    save_number(path, 1)
    noted = calls(monkeypatch)
    save_number(path, 2)
    aside = next(name for name in noted if name.startswith(".a.safetensors"))
    manifest = ["file", "thing.json", "folder"]
    assert noted == ["file", aside, "folder", *manifest, "a.safetensors"]


# what else goes wrong


def fail(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def failing(monkeypatch, module, name, number):
    """Let the call of that number fail as on a full disk; a list tells whether there was one."""
    true, count, reached = getattr(module, name), itertools.count(1), []

    def call(*given, **named):
        if next(count) == number:
            reached.append(name)
            fail()
        return true(*given, **named)

    monkeypatch.setattr(module, name, call)
    return reached


STEPS = [
    (tempfile, "mkstemp"),
    (os, "fdopen"),
    (os, "fsync"),
    (os, "chmod"),
    (os, "replace"),
    (os, "unlink"),
    (os, "listdir"),
    (os, "open"),
    (fcntl, "flock"),
    (os, "mkdir"),
]


@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_full_disk_at_any_call_is_one_sentence_and_loses_nothing(tmp_path, module, name):
    path = tmp_path / "thing.json"
    for number in itertools.count(1):
        save_number(path, 1, ["b.safetensors"])
        message = "kept"
        with pytest.MonkeyPatch.context() as patch:
            reached = failing(patch, module, name, number)
            try:
                save_number(path, 2)
            except disk.StoreError as error:
                message = str(error)
        assert read_number(path) in (1, 2)
        assert re.match(r"kept|/.* cannot be written \(No space left on device\): make", message)
        save_number(path, 3)
        assert set(files(tmp_path)) == {"thing.json", "a.safetensors"}
        if not reached:
            break
    assert message == "kept"


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "a.json"
    disk.write(path, b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(
        disk.StoreError, match=r"a\.json cannot be written \(No space left on device\): make room"
    ):
        disk.write(path, b"new")
    assert files(tmp_path) == {"a.json": b"old"}


def test_a_written_file_can_be_read_by_all(tmp_path):
    disk.write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_save_that_fails_midway_leaves_the_last(manifest, stored, fail_write, number):
    before = files(manifest.parent)
    fail_write(number)
    with pytest.raises(disk.StoreError, match=r"cannot be written .*no space left"):
        disk.save_folder(manifest, {name: {"x": np.ones(2)} for name in stored}, {"facts": {}})
    assert files(manifest.parent) == before


LIMITED = """
import resource
tests.save_number(path, 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
big = {"a.safetensors": {"w": tests.np.zeros(100_000)}}
try:
    tests.disk.save_folder(path, big, {"facts": 2})
except tests.disk.StoreError as error:
    print(str(error).replace(" ", "_"), tests.read_number(path), *sorted(os.listdir(path.parent)))
"""


def test_a_file_beyond_what_the_system_allows_leaves_the_last(child, tmp_path):
    message, *rest = told(child(in_a_child(LIMITED), tmp_path))
    assert rest == ["1", "a.safetensors", "thing.json"]
    assert "cannot_be_written_(File_too_large):_make_room" in message


def a_file_above(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "thing.json"


def a_file_two_above(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder" / "thing.json"


def a_long_name(tmp_path):
    return tmp_path / ("x" * 300) / "thing.json"


def a_folder_for_a_manifest(tmp_path):
    (tmp_path / "thing.json").mkdir()
    return tmp_path / "thing.json"


@pytest.mark.parametrize(
    "make", [a_file_above, a_file_two_above, a_long_name, a_folder_for_a_manifest]
)
def test_where_nothing_can_be_written_is_one_sentence(tmp_path, make):
    path = make(tmp_path)
    before = set(tmp_path.rglob("*"))
    for save in (lambda: save_number(path, 1), lambda: disk.write(path, b"new")):
        with pytest.raises(
            disk.StoreError, match=r"thing\.json cannot be written \([A-Z][\w ]+\): make room"
        ):
            save()
        assert set(tmp_path.rglob("*")) == before
    with pytest.raises(disk.StoreError, match=r"thing\.json (is missing|cannot be read) ?.*: "):
        load(path)


def test_what_stands_is_told_or_why_it_cannot_be(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("")
    assert disk.stands(tmp_path / "a")
    for name in ("b", "a/b", "x" * 300, "a\0b", "."):
        assert not disk.stands(tmp_path / name)
    locked = raising(PermissionError, errno.EACCES, "Permission denied")
    monkeypatch.setattr(Path, "is_file", lambda path: locked())
    with pytest.raises(disk.StoreError, match=r"cannot be looked at \(Permission denied\): corr"):
        disk.stands(tmp_path / "a")


# what killed processes have left


HALF = """
os.replace = lambda *names: (print("half", flush=True), time.sleep(60))
tests.disk.write(path, b"new")
"""


def test_what_a_killed_process_left_aside_is_swept_and_what_lives_is_not(child, tmp_path):
    path = tmp_path / "thing.json"
    for name in ("thing.json.backup", ".thing.json.note", ".other.json.abcdefgh", ".thing.json"):
        (tmp_path / name).write_text("")
    known = set(files(tmp_path)) | {"thing.json"}
    with child(in_a_child(HALF), tmp_path) as process:
        assert process.stdout.readline() == "half\n"
        (aside,) = set(files(tmp_path)) - known
        disk.write(path, b"ours")
        assert set(files(tmp_path)) == known | {aside}
        process.send_signal(signal.SIGKILL)
    assert set(files(tmp_path)) == known | {aside}
    disk.write(path, b"ours")
    assert set(files(tmp_path)) == known


def test_a_file_aside_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    make, swept = tempfile.mkstemp, []

    def making(**named):
        handle, name = make(**named)
        if not swept:
            swept.append(name)
            os.unlink(name)
        return handle, name

    monkeypatch.setattr(tempfile, "mkstemp", making)
    disk.write(tmp_path / "a.json", b"new")
    assert files(tmp_path) == {"a.json": b"new"} and swept


def test_other_files_of_a_folder_are_left_alone(manifest, stored):
    for name in ("notes.txt", "checkpoint.safetensors", ".hidden.safetensors", "a.safetensors.old"):
        (manifest.parent / name).write_text("mine")
    before = files(manifest.parent)
    disk.save_folder(manifest, stored, {"facts": {"seed": 4}})
    assert files(manifest.parent) == before | {"thing.json": manifest.read_bytes()}


def test_files_that_a_folder_no_longer_has_are_removed(manifest, stored):
    disk.save_folder(manifest, {"a.safetensors": stored["a.safetensors"]}, {"facts": {}})
    assert set(files(manifest.parent)) == {"thing.json", "a.safetensors"}


def test_what_a_hostile_manifest_names_is_not_removed(manifest, stored, tmp_path):
    (tmp_path / "mine.safetensors").write_text("mine")
    document = json.loads(manifest.read_text())
    document["sha256"]["../mine.safetensors"] = "0" * 64
    manifest.write_text(json.dumps(document))
    disk.save_folder(manifest, stored, {"facts": {}})
    assert (tmp_path / "mine.safetensors").read_text() == "mine"


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
