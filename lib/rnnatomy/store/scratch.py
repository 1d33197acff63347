"""Folders for as long as a piece of work takes, and folders that take another's place.

What a killed process left goes at the next start.

Beside each folder lies a lock that its process holds. The system lets go of it when that process
ends, however it ends, so a folder whose lock can be had belongs to nobody.
"""

import ctypes
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".rnnatomy-"
"""How the names of these folders and of their locks begin."""


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """Make a folder inside another, and remove it when the work in it is done.

    Args:
        parent: where it goes; folders there that killed processes left are removed first.

    Raises:
        OSError: naming the parent, if nothing can be written there.
    """
    sweep(parent)
    try:
        handle, lock = _hold(parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(parent)) from error
    path = lock.with_suffix("")
    try:
        path.mkdir()
        yield path
    finally:
        _remove(lock)
        os.close(handle)


def sweep(parent: Path) -> None:
    """Remove the folders that killed processes left in another, and none of a living process."""
    for lock in parent.glob(f"{PREFIX}*.lock"):
        # held by a process that lives, gone in the meantime, or of another user
        with suppress(OSError), lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(lock)


def replace(place: Path, new: Path, aside: Path) -> None:
    """Put a new folder in the place of an old one, at once where the system can.

    Args:
        place: where the new one will be, and the old one may be.
        new: the folder; where the system can, the old one has this name afterwards.
        aside: where the old one goes for a moment elsewhere; ``restore`` finds it there.
    """
    shutil.rmtree(aside, ignore_errors=True)
    if not place.exists():
        new.rename(place)
    elif not _exchange(new, place):
        place.rename(aside)
        new.rename(place)
        shutil.rmtree(aside, ignore_errors=True)


def restore(place: Path, aside: Path) -> None:
    """Put an old folder back where it was, if ``replace`` was killed before the new one stood."""
    if aside.exists() and not place.exists():
        aside.rename(place)


def _hold(parent: Path) -> tuple[int, Path]:
    while True:
        handle, name = tempfile.mkstemp(".lock", PREFIX, parent)
        fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(name):
            return handle, Path(name)
        os.close(handle)  # another process swept it before it was locked


def _remove(lock: Path) -> None:
    """Remove a folder, then its lock, so that what is left of a folder never lacks one."""
    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
    lock.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; where the system cannot, do nothing."""
    library, (first, second) = ctypes.CDLL(None), map(os.fsencode, (one, other))
    if hasattr(library, "renameat2"):  # Linux: both from the current folder, RENAME_EXCHANGE
        return library.renameat2(-100, first, -100, second, 2) == 0
    if hasattr(library, "renamex_np"):  # macOS: RENAME_SWAP
        return library.renamex_np(first, second, 2) == 0
    return False
