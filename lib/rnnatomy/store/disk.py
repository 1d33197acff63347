"""Folders of arrays: safetensors beside a JSON manifest with their checksums, written atomically.

Nothing is ever unpickled.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

FORMAT = 1
"""Of the manifests that are written and read."""


Arrays = dict[str, np.ndarray]
"""Arrays by name."""


class StoreError(Exception):
    """A run or a study is missing, damaged or of another kind: the message says which."""


def brief(text: object, most: int = 60) -> str:
    """Quote a value in an error, shortened if it is long."""
    words = repr(text)
    return words if len(words) <= most else f"{words[: most - 4]}...{words[-1]}"


def write(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that no half-written file ever has its name."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def save_folder(manifest: Path, files: dict[str, Arrays], facts: dict[str, Any]) -> None:
    """Write files of arrays, then the manifest that holds facts about them and their sha256."""
    # all that can be refused is made before anything of an earlier folder is touched
    contents = {name: save(contiguous(arrays)) for name, arrays in files.items()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    document = json.dumps({"format": FORMAT, **facts, "sha256": digests}, indent=1) + "\n"
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)
    for name, content in contents.items():
        write(manifest.parent / name, content)
    write(manifest, document.encode())


def load_folder(
    manifest: Path, fields: set[str], file: str
) -> tuple[dict[str, Any], dict[str, Arrays]]:
    """Read a manifest that must hold some fields and name a file, and the files of arrays.

    Raises:
        StoreError: if the manifest is none, or lacks a field; or a file is missing or damaged.
    """
    document = _read_json(manifest)
    digests = document.get("sha256")
    known = document.get("format") == FORMAT
    if not known or not isinstance(digests, dict) or file not in digests:
        raise StoreError(f"{manifest} is not a manifest of format {FORMAT}: restore it.")
    missing = " and ".join(repr(field) for field in sorted(fields - document.keys()))
    if missing:
        raise StoreError(f"{manifest} is of an older version, without {missing}: restore it.")
    folder = manifest.parent
    return document, {name: _read_checked(folder / name, d) for name, d in digests.items()}


def contiguous(arrays: Arrays) -> Arrays:
    """Lay arrays out in memory row by row, as files have them."""
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def single(values: Mapping[str, Any]) -> Arrays:
    """Turn numbers and lists of numbers, by name, into arrays of single precision."""
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read as JSON ({error}): restore the run.") from error
    return document if isinstance(document, dict) else {}


def _read_checked(path: Path, digest: str) -> Arrays:
    if not path.is_file():
        raise StoreError(f"{path} is missing: restore the run.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise StoreError(f"{path} is damaged: expected sha256 {digest}, found {found}; restore it.")
    return read_arrays(path)[0]


def read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Read the arrays of a safetensors file, and its metadata.

    Raises:
        StoreError: if there is no such file, or it is damaged.
    """
    try:
        with safe_open(path, framework="numpy") as stored:
            names = stored.keys()
            return {name: stored.get_tensor(name) for name in names}, stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} is no safetensors file, or is damaged ({error}).") from error
