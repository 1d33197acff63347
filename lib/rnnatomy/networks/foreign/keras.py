"""Files of Keras: arrays and JSON alone are read; no layer is made, and nothing of it is run.

Three kinds: ``.keras``, a zip of config.json and model.weights.h5; a bare ``.weights.h5``; and the
``.h5`` of Keras 2, whose configuration is an attribute. Which one it is, its first bytes tell.
libhdf5 is kept out of this process, see ``hdf5``.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from rnnatomy.networks.foreign import raw, zips
from rnnatomy.store.disk import brief

PATIENCE = 120.0
"""Seconds that reading the arrays may take."""

RATIO = 256
"""Bytes that may be unpacked from one byte of a file; Keras packs nothing."""

DEEPEST = 200
"""Lists and objects within each other in a configuration."""

CONFIG = "config.json"

WEIGHTS = "model.weights.h5"

SAVE = 'save the model again, with model.save("model.keras")'

_PROGRAM = "rnnatomy.networks.foreign.hdf5"

_ZIP, _HDF5 = b"PK\3\4", b"\x89HDF\r\n\x1a\n"

_BROKEN = (ValueError, TypeError, KeyError, EOFError, MemoryError, RecursionError)


def read(path: Path) -> raw.Raw:
    """Read a file of Keras.

    Args:
        path: of a ``.keras``, a ``.weights.h5``, or an ``.h5`` of Keras 2.

    Returns:
        The arrays by their paths in HDF5, such as "layers/lstm/cell/vars/0", without those of an
        optimiser or a source of random numbers; and the configuration, None if there is none.

    Raises:
        ForeignError: if the file is none of these, is damaged, too large, or leads elsewhere.
    """
    # what is unpacked is bounded by the file, not only by what may be taken at most
    most = min(raw.LARGEST, RATIO * raw.size(path))
    with raw.named(path.name), raw.parsed(SAVE):
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
        if start.startswith(_ZIP):
            found = raw.Raw(path, "Keras", *_archive(path, most))
        elif start == _HDF5:
            arrays, words = _weights(path, most)
            config = None if words is None else _json("model_config", words)
            found = raw.Raw(path, "Keras", arrays, config)
        else:
            raise raw.ForeignError(f"it is neither a zip nor HDF5: {SAVE}.")
    return raw.check(found)


def _archive(path: Path, most: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the configuration of a ``.keras``."""
    with path.open("rb") as file, tempfile.NamedTemporaryFile(suffix=".h5") as aside:
        archive = zips.archive(file, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], SAVE)
        for key in (CONFIG, WEIGHTS):
            if key not in archive.members:
                raise raw.ForeignError(
                    f"it holds no {key}: {SAVE}, weights in HDF5 and in one piece."
                )
        packed = b"".join(_unpacked(archive, CONFIG, raw.MOST_JSON))
        config = _json(CONFIG, packed.decode())
        for piece in _unpacked(archive, WEIGHTS, most):
            aside.write(piece)
        aside.flush()
        return _weights(Path(aside.name), most)[0], config


def _unpacked(archive: zips.Archive, key: str, most: int) -> Iterator[bytes]:
    """Unpack a member piece by piece.

    Raises:
        ForeignError: if it has more bytes than allowed.
        EOFError: if it has fewer than it says.
    """
    left = archive.members[key].file_size
    if left > most:
        raise raw.ForeignError(f"{key} unpacks to {left} bytes, at most {most} are read: {SAVE}.")
    with archive.zip.open(key) as file:
        while piece := file.read(2**20):
            left -= len(piece)
            yield piece
    if left:
        raise EOFError(f"{key} is cut short")


def _json(where: str, words: str) -> dict[str, Any]:
    """Return a configuration, an object of JSON.

    Raises:
        ForeignError: if it is none, gives a name twice, or is nested too deep.
    """
    try:
        config = json.loads(words, object_pairs_hook=_unique)
        _shallow(config)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise raw.ForeignError(
            f"{where} cannot be read as JSON ({brief(str(why))}): {SAVE}."
        ) from None
    if not isinstance(config, dict):
        raise raw.ForeignError(f"{where} holds no object of JSON: {SAVE}.")
    return config


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a name is given twice")
    return table


def _shallow(value: Any) -> None:
    """Refuse what is nested deeper than allowed, level by level."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [item for item in level if isinstance(item, dict | list)]
        level = [x for item in inner for x in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise RecursionError


def _weights(path: Path, most: int) -> tuple[dict[str, np.ndarray], str | None]:
    """Return the arrays of an HDF5 file, and its configuration, as another process reads them.

    Args:
        path: of the file.
        most: bytes that the arrays may have together.

    Raises:
        ForeignError: if that process refuses it, crashes, takes too long or cannot be started.
    """
    with _started(path, most) as child:
        clock = threading.Timer(PATIENCE, child.kill)
        clock.start()
        try:
            told = _received(child.stdout)
            child.wait()
        except raw.ForeignError:
            raise
        except _BROKEN:
            told = None
        finally:
            late = clock.finished.is_set()
            clock.cancel()
            child.kill()  # if it still runs
    if told is None or child.returncode:
        how = _ending(child.returncode, late)
        raise raw.ForeignError(f"it is damaged: libhdf5 could not read it{how}; {SAVE}.")
    return told


def _started(path: Path, most: int) -> subprocess.Popen[bytes]:
    """Start the process that reads HDF5, with this one's libraries and no plugins for HDF5."""
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HDF5_PLUGIN_PRELOAD": "::",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _PROGRAM, str(path.absolute()), str(most)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | settings,
    )


def _received(stream: Any) -> tuple[dict[str, np.ndarray], str | None]:
    """Take what the other process hands on.

    Raises:
        ForeignError: if it refuses the file.
        ValueError, TypeError, KeyError, EOFError: if it hands on something else.
    """
    line = json.loads(stream.readline(raw.MOST_JSON))
    if "refused" in line:
        raise raw.ForeignError(line["refused"])
    arrays = {key: _array(stream, kind, tuple(shape)) for key, kind, shape in line["arrays"]}
    return arrays, line["config"]


def _array(stream: Any, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Take the bytes of an array."""
    array = np.empty(shape, ml_dtypes.bfloat16 if kind == "bfloat16" else kind)
    taken = stream.readinto(array.reshape(-1).view(np.uint8).data)
    if taken != array.nbytes:
        raise EOFError
    return array


def _ending(status: int, late: bool) -> str:
    """Say how a process ended, if it was late or a signal ended it."""
    if late or -status == signal.SIGXCPU:
        return " in the time that is allowed"
    return f" ({signal.strsignal(-status)})" if status < 0 else ""
