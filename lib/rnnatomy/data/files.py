"""Data files: those at hand, those to download, their checksums, and what is said when they fail.

Files at hand lie in the folder that ``RNNATOMY_DATA`` names. What is not there is downloaded into
pooch's cache, and never twice. Every file is held against a checksum before it is read.
"""

import fcntl
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from functools import partial
from pathlib import Path

with warnings.catch_warnings():
    # tqdm, which pooch imports, warns in a notebook where it finds no widgets
    warnings.simplefilter("ignore")
    import pooch

SETTING = "RNNATOMY_DATA"
"""Name of the environment variable that names a folder with data files at hand."""


SECONDS = 20.0
"""How long a server may stay silent."""


class DataError(Exception):
    """A data file is missing, damaged or misnamed; the message says which, and what to do."""


class DataUnavailable(DataError):
    """The data are neither at hand nor within reach of the network."""


def folder(name: str) -> Path | None:
    """Return the folder of that name in the one that ``RNNATOMY_DATA`` names, if both are there.

    Raises:
        DataError: if the setting or the name is of something else than a folder, or it cannot be
            read.
    """
    setting = os.environ.get(SETTING)
    if not setting:
        return None
    root = Path(os.path.expanduser(setting))
    if not at_hand(root) or not root.is_dir():
        raise DataError(f"{SETTING} names {root}, which is no folder: correct or unset it.")
    found = root / name
    if not at_hand(found):
        return None
    if not found.is_dir():
        raise DataError(
            f"{found} is a file, not a folder: put a folder with the files in its place, "
            f"or unset {SETTING} to download them."
        )
    return found


def at_hand(path: Path) -> bool:
    """Tell whether there is something of that name.

    Raises:
        DataError: if its folder cannot be read, or is a file.
    """
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unreadable(path, error) from error
    return True


def checked(path: Path, checksum: str, size: int | None = None) -> Path:
    """Hold a file against its checksum.

    Args:
        path: the file.
        checksum: its sha256, hexadecimal.
        size: how many bytes it has, if known.

    Returns:
        The path.

    Raises:
        DataError: naming the file, what was expected, what was found, and the remedy.
    """
    if not at_hand(path):
        raise missing(path)
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a device or a pipe"
        raise DataError(
            f"{path} is {kind}, not a file: put the file in its place, "
            f"or unset {SETTING} to download it."
        )
    length = path.stat().st_size
    if size is not None and length != size:
        raise damaged(path, f"{size:,} bytes", f"{length:,} bytes")
    try:
        found = pooch.file_hash(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if found != checksum:
        raise damaged(path, f"sha256 {checksum}", f"sha256 {found}")
    return path


def read(path: Path) -> bytes:
    """Read a file.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def cache(name: str) -> Path:
    """Return the folder in which pooch keeps the downloads of one kind."""
    return pooch.os_cache("rnnatomy") / name


@contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Keep out of a folder, which is made, other processes that call this for it too.

    They wait until this one is done with it, or has ended, however it ends.

    Yields:
        Whether it is so. It is not where no folder can be made, or its file system has no locks.
    """
    handle, held = None, False
    try:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX)
            held = True
        yield held
    finally:
        if handle is not None:
            os.close(handle)


def download(
    source: pooch.Pooch, name: str, out_of_reach: Callable[[str, Exception], DataUnavailable]
) -> Path:
    """Download a file, unless it is in the cache already.

    What downloads that were killed have left there is removed.

    Args:
        source: where files are published, where they are kept, and their checksums.
        name: of the file, as in the source's registry.
        out_of_reach: makes the error from the address and what went wrong there.

    Raises:
        DataError: if what is published is another file, or the cache cannot be written.
        DataUnavailable: if the server does not answer.
    """
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")
    url, path = source.get_url(name), source.abspath / name
    try:
        with alone(path.parent) as held:
            for left in path.parent.glob("tmp????????") if held else ():
                with suppress(OSError):
                    left.unlink()
            return Path(source.fetch(name, downloader=pooch.HTTPDownloader(timeout=SECONDS)))
    except RequestException as error:
        raise out_of_reach(url, error) from error
    except OSError as error:
        raise unkept(path, error) from error
    except ValueError as error:
        raise DataError(
            f"{url} is not the file expected, of sha256 {source.registry[name]}: try again later."
        ) from error


def verified(
    source: pooch.Pooch,
    folder: Path | None,
    name: str,
    out_of_reach: Callable[[str, str, Exception], DataUnavailable],
) -> Path:
    """Return the path of a file whose checksum holds: at hand, or else downloaded.

    Args:
        source: as of ``download``.
        folder: that may hold it; None: there is none.
        name: of the file, as in the source's registry.
        out_of_reach: as of ``download``, and takes the name first.

    Raises:
        DataError: if it is damaged, or as of ``download``.
        DataUnavailable: as of ``download``.
    """
    if folder and at_hand(folder / name):
        return checked(folder / name, source.registry[name])
    return download(source, name, partial(out_of_reach, name))


def missing(path: Path) -> DataError:
    """Return the error for a file that is not there, naming one that looks like it."""
    try:
        there = sorted(p.name for p in path.parent.iterdir())
    except OSError as error:
        return unreadable(path.parent, error)
    near = get_close_matches(path.name, there, n=1)
    found = f"{near[0]}, which looks like it" if near else (", ".join(there[:6]) or "nothing")
    return DataError(
        f"{path} is missing: expected that name, found {found}; "
        f"rename or restore the file, or unset {SETTING} to download it."
    )


def damaged(path: Path, expected: str, found: str) -> DataError:
    """Return the error for a file with something else in it."""
    return DataError(
        f"{path} is damaged: expected {expected}, found {found}; "
        f"replace the file, or unset {SETTING} to download it."
    )


def unkept(path: Path, error: OSError) -> DataError:
    """Return the error for a download that the disk does not take."""
    return DataError(
        f"{path} cannot keep a download ({error.strerror or error}): correct that, or set "
        f"{SETTING} to a folder with the files."
    )


def unreadable(path: Path, error: OSError) -> DataError:
    """Return the error for a file or a folder that the system does not give out."""
    return DataError(
        f"{path} cannot be read ({error.strerror or error}): correct that, "
        f"or unset {SETTING} to download the files."
    )
