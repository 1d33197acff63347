"""Folders for a while: gone when their work is done, and swept if their process was killed."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from rnnatomy.store import scratch

WORK = """
import sys, time
from pathlib import Path
from rnnatomy.store import scratch

with scratch.folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("written")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def working(tmp_path):
    """A process that works in a folder of its own, and the folder's name."""
    words = [sys.executable, "-c", WORK, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_folder_is_there_while_work_goes_on_and_no_longer(tmp_path):
    with scratch.folder(tmp_path) as folder:
        (folder / "below").mkdir()
        assert folder.parent == tmp_path
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError), scratch.folder(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start(working, tmp_path):
    process, folder = working
    process.kill()
    process.wait()
    assert {f"{path}" for path in tmp_path.iterdir()} == {folder, f"{folder}.lock"}
    with scratch.folder(tmp_path) as own:
        assert {path.suffix or path.name for path in tmp_path.iterdir()} == {".lock", own.name}
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_living_process_is_left_alone(working, tmp_path):
    folder = working[1]
    with scratch.folder(tmp_path):
        pass
    scratch.sweep(tmp_path)
    assert {f"{path}" for path in tmp_path.iterdir()} == {folder, f"{folder}.lock"}


def test_only_folders_of_its_own_are_swept(tmp_path):
    for name in ("mine", ".tmpabcd", ".rnnatomy-mine"):
        (tmp_path / name).mkdir()
    scratch.sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_many_at_once_take_no_folder_from_each_other(tmp_path):
    def work(number):
        with scratch.folder(tmp_path) as folder:
            (folder / "own").write_text(str(number))
            scratch.sweep(tmp_path)
            return (folder / "own").read_text()

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(work, range(100))) == [str(number) for number in range(100)]
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_the_folder_is_named(tmp_path):
    with pytest.raises(OSError) as caught, scratch.folder(tmp_path / "missing"):
        pass
    assert caught.value.filename == str(tmp_path / "missing")
