"""Folders of arrays: safetensors beside a JSON manifest with their checksums, replaced whole.

A folder is written anew so that a process that is killed, or a disk that is full, leaves the old
one or the new one, never neither. Arrays are written aside, under hidden names made of their
content. Then the manifest is replaced, in one step, and from then on the new arrays count. Then
they move to their own names; whoever reads in between finds them aside. What a kill has left over
is put in order by the next who writes there. Nothing is ever unpickled.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

FORMAT = 1
"""Of the manifests that are written and read."""


LARGEST = 2**24
"""Bytes that a manifest may have."""


Arrays = dict[str, np.ndarray]
"""Arrays by name."""


_BARE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\.safetensors")


_DIGEST = re.compile(r"[0-9a-f]{64}")


# what stands aside: a name and what ``tempfile`` puts after it; arrays and part of their checksum
_TEMPORARY = r"\.{}\.[a-z0-9_]{{8}}"
_ASIDE = r"\.+.+\.safetensors(\.[0-9a-f]{16}|\.[a-z0-9_]{8})+"


class StoreError(Exception):
    """A run or a study is missing, damaged or of another kind, or cannot be written: says which."""


def brief(text: object, most: int = 60) -> str:
    """Quote a value in an error, shortened if it is long."""
    words = repr(text)
    return words if len(words) <= most else f"{words[: most - 4]}...{words[-1]}"


def write(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that no half-written file ever has its name.

    What processes that were killed have left aside of that name is removed.

    Raises:
        StoreError: if it cannot be written; then a file that was there before still is.
    """
    with _writing(path):
        _sweep(path.parent, _TEMPORARY.format(re.escape(path.name)))
        file, aside = _open_aside(path)
        try:
            with file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(aside, 0o644)
                os.replace(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def save_folder(manifest: Path, files: dict[str, Arrays], facts: dict[str, Any]) -> None:
    """Write files of arrays and a manifest, which holds facts about them and their sha256.

    Files that an earlier manifest of that name tells of, and this one does not, are removed;
    others that lie in the folder are left alone.

    Args:
        manifest: path of the manifest, beside which the arrays go.
        files: arrays, by the name of a file that ends in ".safetensors".
        facts: what JSON can hold.

    Raises:
        StoreError: if a name is another, or the folder cannot be written; then it is as it was, or
            whole and new if only the last step failed.
    """
    # all that can be refused is made before anything of an earlier folder is touched
    contents = {name: save(contiguous(arrays)) for name, arrays in files.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    document = json.dumps({"format": FORMAT, **facts, "sha256": digests}, indent=1) + "\n"
    _check(manifest, document.encode())
    with _writing(manifest):
        manifest.parent.mkdir(parents=True, exist_ok=True)
        with _alone(manifest.parent, fcntl.LOCK_EX):
            _replace(manifest, document.encode(), contents, digests)


def load_folder(
    manifest: Path, fields: set[str], file: str
) -> tuple[dict[str, Any], dict[str, Arrays]]:
    """Read a manifest that must hold some fields and name a file, and the files of arrays.

    Raises:
        StoreError: if the manifest is none, or lacks a field; or a file is missing or damaged.
    """
    try:
        return _load(manifest, fields, file)
    except StoreError:
        # somebody may have written it anew meanwhile: look again while nobody does
        with _alone(manifest.parent, fcntl.LOCK_SH):
            return _load(manifest, fields, file)


def stands(path: Path) -> bool:
    """Tell whether there is a file of that name.

    Raises:
        StoreError: if its folder cannot be looked into.
    """
    try:
        return path.is_file()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return False
        raise StoreError(
            f"{brief(str(path))} cannot be looked at ({error.strerror or error}): correct that, or "
            "name another."
        ) from error


def contiguous(arrays: Arrays) -> Arrays:
    """Lay arrays out in memory row by row, as files have them."""
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def single(values: Mapping[str, Any]) -> Arrays:
    """Turn numbers and lists of numbers, by name, into arrays of single precision."""
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read the arrays of a safetensors file, and its metadata.

    Raises:
        StoreError: if there is no such file, or it is damaged.
    """
    try:
        return _parse(path, path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path} is no safetensors file, or is damaged ({error}).") from error


def _load(manifest: Path, fields: set[str], file: str) -> tuple[dict[str, Any], dict[str, Arrays]]:
    document = _check(manifest, _read_named(manifest))
    digests = document["sha256"]
    if file not in digests:
        raise _no_manifest(manifest)
    missing = " and ".join(repr(field) for field in sorted(fields - document.keys()))
    if missing:
        raise StoreError(f"{manifest} is of an older version, without {missing}: restore it.")
    folder = manifest.parent
    return document, {name: _read_checked(folder / name, d) for name, d in digests.items()}


def _check(manifest: Path, content: bytes) -> dict[str, Any]:
    """Return what a manifest tells, if it is one, and names nothing outside its folder."""
    document = _json(manifest, content)
    digests = document.get("sha256")
    if document.get("format") != FORMAT or not isinstance(digests, dict):
        raise _no_manifest(manifest)
    for name, digest in digests.items():
        if not _BARE.fullmatch(name):
            raise StoreError(
                f"{manifest} names {brief(name)}: a name is letters, digits and ._+-, no path, and "
                "ends in .safetensors; restore it."
            )
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise StoreError(f"{manifest} holds no sha256 of {brief(name)}: restore it.")
    return document


def _json(path: Path, content: bytes) -> dict[str, Any]:
    try:
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        document = json.loads(content.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        words = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise StoreError(f"{path} cannot be read as JSON ({words}): restore the run.") from error
    return document if isinstance(document, dict) else {}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name is given twice")
    return table


def _no_manifest(path: Path) -> StoreError:
    return StoreError(f"{path} is not a manifest of format {FORMAT}: restore it.")


def _read_checked(path: Path, digest: str) -> Arrays:
    """Read arrays whose bytes have a checksum: aside, if they still are there, or at their name."""
    with suppress(OSError):
        content = _read(_aside(path, digest))
        if hashlib.sha256(content).hexdigest() == digest:
            return _parse(path, content)[0]
    content = _read_named(path)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise StoreError(f"{path} is damaged: expected sha256 {digest}, found {found}; restore it.")
    return _parse(path, content)[0]


def _parse(path: Path, content: bytes) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays and the metadata that the bytes of a safetensors file hold."""
    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except KeyError as error:
        raise StoreError(
            f"{path} holds numbers of a type that NumPy lacks, {error}: store them as F32."
        ) from None
    except (SafetensorError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} is no safetensors file, or is damaged ({error}).") from error
    return arrays, header.get("__metadata__") or {}


def _read_named(path: Path) -> bytes:
    """Read an ordinary file of a folder.

    Raises:
        StoreError: if there is none, or it cannot be read.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: restore it.") from None
    except OSError as error:
        words = "it is a link" if error.errno == errno.ELOOP else error.strerror or error
        raise StoreError(f"{path} cannot be read ({words}): correct that, or restore it.") from None


def _read(path: Path) -> bytes:
    """Read an ordinary file, and not what a link of its name leads to."""
    with _open(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no ordinary file")
        return file.read()


def _open(path: Path) -> IO[bytes]:
    """Open what has a name: no link is followed, and nobody waited for at the end of a pipe."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)

    return open(path, "rb", opener=opener)


def _replace(
    manifest: Path, document: bytes, contents: dict[str, bytes], digests: dict[str, str]
) -> None:
    """Write a folder in steps, between any two of which it is the old one or the new one."""
    folder = manifest.parent
    before = _settle(manifest)
    try:
        for name, content in contents.items():
            write(_aside(folder / name, digests[name]), content)
        for name in before.keys() - digests.keys():
            with suppress(FileNotFoundError):
                os.replace(folder / name, _aside(folder / name, before[name]))
        write(manifest, document)
    finally:
        # if that failed, it is the earlier files that get their names back
        kept = _settle(manifest)
        asides = {_aside(folder / name, digest).name for name, digest in kept.items()}
        _sweep(folder, _ASIDE, asides)


def _settle(manifest: Path) -> dict[str, str]:
    """Move files that count, and are aside, to their names; return these with their checksums."""
    try:
        digests = _check(manifest, _read(manifest))["sha256"]
    except (FileNotFoundError, StoreError):
        return {}
    for name, digest in digests.items():
        path = manifest.parent / name
        with suppress(FileNotFoundError):
            os.replace(_aside(path, digest), path)
    return digests


def _aside(path: Path, digest: str) -> Path:
    return path.with_name(f".{path.name}.{digest[:16]}")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): make room or correct that, or "
            "name another place."
        ) from error


@contextmanager
def _alone(folder: Path, kind: int) -> Iterator[None]:
    """Keep others from writing a folder, until this process ends at the latest.

    Where the file system knows no locks, nobody is kept out.
    """
    handle = None
    try:
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, kind)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _open_aside(path: Path) -> tuple[IO[bytes], Path]:
    """Make a file, and lock it, so that nobody sweeps it away before it is closed."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        file = os.fdopen(handle, "wb")
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return file, Path(name)
        file.close()  # swept in between


def _sweep(folder: Path, pattern: str, kept: Collection[str] = ()) -> None:
    """Remove files of some names to which no living process writes."""
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(folder)
    for name in names:
        if re.fullmatch(pattern, name) and name not in kept:
            with suppress(OSError), _open(folder / name) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(folder / name)


def _sync(folder: Path) -> None:
    """Have the names of files in a folder on disk; some file systems cannot be told to."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
