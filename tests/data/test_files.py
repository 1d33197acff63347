import os
import threading

import pooch
import pytest

from rnnatomy.data import datasets, files, mocap


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder of data with one folder and one file in it."""
    folder = tmp_path / "up" / "data"
    (folder / "kind").mkdir(parents=True)
    (folder / "kind" / "a.txt").write_text("content")
    monkeypatch.setenv("RNNATOMY_DATA", str(folder))
    return folder


CONTENT = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"


def test_a_folder_at_hand_is_found_by_the_setting(data, tmp_path, monkeypatch):
    assert files.folder("kind") == data / "kind"
    assert files.folder("other") is None
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RNNATOMY_DATA", "~/up/data")
    assert files.folder("kind") == data / "kind"
    monkeypatch.delenv("RNNATOMY_DATA")
    assert files.folder("kind") is None


@pytest.mark.parametrize("setting", ["up/dat", "up/data/kind/a.txt", "~who-is-this/data"])
def test_a_setting_that_names_no_folder_is_refused(data, tmp_path, monkeypatch, setting):
    path = setting if setting.startswith("~") else str(tmp_path / setting)
    monkeypatch.setenv("RNNATOMY_DATA", path)
    message = rf"^RNNATOMY_DATA names {path}, which is no folder: correct or unset it\.$"
    with pytest.raises(files.DataError, match=message):
        files.folder("kind")


def test_a_setting_below_a_folder_that_nobody_may_enter_is_refused(data, lock):
    lock(data.parent, 0)
    with pytest.raises(files.DataError, match=r"data cannot be read \(Permission denied\)"):
        files.folder("kind")


def test_a_file_with_its_checksum_is_let_through(data):
    path = data / "kind" / "a.txt"
    assert files.checked(path, CONTENT) == files.checked(path, CONTENT, 7) == path


@pytest.mark.parametrize(
    ("name", "checksum", "size", "message"),
    [
        ("a.txt", CONTENT, 8, r"a\.txt is damaged: expected 8 bytes, found 7 bytes; replace"),
        (
            "a.txt",
            "0" * 64,
            7,
            rf"a\.txt is damaged: expected sha256 0{{64}}, found sha256 {CONTENT}",
        ),
        ("b.txt", CONTENT, 7, r"b\.txt is missing: .*, found a\.txt, which looks like it; rename"),
        ("other", CONTENT, 7, r"other is missing: expected that name, found a\.txt; rename"),
    ],
)
def test_a_file_that_is_another_is_refused(data, name, checksum, size, message):
    with pytest.raises(files.DataError, match=message):
        files.checked(data / "kind" / name, checksum, size)


def test_a_pipe_at_hand_is_not_waited_for(data):
    os.mkfifo(data / "kind" / "pipe")
    with pytest.raises(files.DataError, match=r"pipe is a device or a pipe, not a file: put the"):
        files.checked(data / "kind" / "pipe", CONTENT)


@pytest.mark.parametrize("name", ["x" * 300, "kind/" + "x" * 300])
def test_a_name_that_no_file_can_have_is_one_sentence(data, monkeypatch, name):
    with pytest.raises(files.DataError, match=r"cannot be read \(File name too long\): correct"):
        files.checked(data / name, CONTENT)
    monkeypatch.setenv("RNNATOMY_DATA", str(data / name))
    with pytest.raises(files.DataError, match=r"cannot be read \(File name too long\): correct"):
        files.folder("kind")


def test_what_killed_downloads_have_left_is_swept(data, server, cache):
    left, other = cache / "kind" / "tmpabcdefgh", cache / "kind" / "tmp"
    left.parent.mkdir(parents=True)
    left.write_text("half")
    other.write_text("")
    source = pooch.create(files.cache("kind"), server(data / "kind"), registry={"a.txt": CONTENT})
    files.download(source, "a.txt", pytest.fail)
    assert {path.name for path in left.parent.iterdir()} == {"a.txt", "tmp"}


def test_a_folder_is_ours_alone_until_we_are_done_or_dead(child, tmp_path):
    code = """
import pathlib, sys, time
from rnnatomy.data import files
with files.alone(pathlib.Path(sys.argv[1])) as held:
    print(held, flush=True)
    time.sleep(60)
"""
    with child(code, tmp_path / "a") as process:
        assert process.stdout.readline() == "True\n"
        done = threading.Event()

        def enter():
            with files.alone(tmp_path / "a") as held:
                assert held
                done.set()

        threading.Thread(target=enter).start()
        assert not done.wait(0.2)
        process.kill()
        assert done.wait(10)
    (tmp_path / "file").write_text("")
    with files.alone(tmp_path / "file" / "a") as held:
        assert not held


def test_a_missing_file_in_a_folder_that_nobody_may_list_is_refused(data, lock):
    lock(data / "kind", 0o300)
    with pytest.raises(files.DataError, match=r"kind cannot be read \(Permission denied\)"):
        files.checked(data / "kind" / "b.txt", CONTENT)


@pytest.mark.parametrize(
    "read",
    [datasets.read_idx, mocap.read_frames, mocap.read_recording, mocap.read_ground_truth],
)
def test_a_path_of_nothing_is_answered_in_a_sentence(tmp_path, read):
    with pytest.raises(files.DataError, match=r"nothing cannot be read \(No such file or dir"):
        read(tmp_path / "nothing")


def test_a_cache_that_cannot_be_made_is_named(data, server, cache):
    source = pooch.create(files.cache("kind"), server(data / "kind"), registry={"a.txt": CONTENT})
    cache.parent.mkdir()
    cache.write_text("in the way")
    with pytest.raises(
        files.DataError, match=r"kind/a\.txt cannot keep a download \(.*\): correct"
    ):
        files.download(source, "a.txt", pytest.fail)
    cache.unlink()
    assert files.download(source, "a.txt", pytest.fail).read_text() == "content"
