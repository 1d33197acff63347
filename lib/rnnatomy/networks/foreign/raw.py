"""What is read from a weight file, whatever its format: arrays by the file's own names.

Files are foreign. A reader runs nothing that a file asks for, takes no more memory than ``LARGEST``
says, opens no other file, and answers with arrays or with one sentence, a ``ForeignError``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnatomy.store.disk import brief

LARGEST = 2**31
"""Bytes that a file, or what is unpacked from it, may have."""

MOST_ARRAYS = 4096
"""Arrays that a file may hold."""

MOST_JSON = 2**24
"""Bytes that a header, a config or a list of names may have."""


class ForeignError(ValueError):
    """A file from elsewhere, or what it holds, cannot be taken: says what, and what to do."""


class Raw(NamedTuple):
    """What a weight file holds.

    Attributes:
        path: of the file.
        kind: "PyTorch", "safetensors", "Keras", "ONNX" or "Flax".
        arrays: floating-point or whole-number arrays by the file's own names, as they stand there;
            half precision as it stands too ("bfloat16" as ml_dtypes has it).
        config: what the file tells beside arrays: the parsed config.json of Keras, the nodes of an
            ONNX graph; None if it tells nothing.
    """

    path: Path
    kind: str
    arrays: dict[str, np.ndarray]
    config: Any = None


def size(path: Path) -> int:
    """Return how many bytes a file has.

    Raises:
        ForeignError: if there is no such file, it is no plain file, or it is larger than allowed.
    """
    try:
        if not path.is_file():
            what = "is no plain file" if path.exists() else "is missing"
            raise ForeignError(f"{str(path)!r} {what}: give the path of a weight file.")
        count = path.stat().st_size
    except OSError as error:
        raise ForeignError(
            f"{str(path)!r} cannot be read ({error.strerror}): give a readable file."
        ) from None
    if not 0 < count <= LARGEST:
        raise ForeignError(f"{str(path)!r} has {count} bytes: give a file of 1 to {LARGEST} bytes.")
    return count


def check(raw: Raw) -> Raw:
    """Refuse arrays that no network can use.

    Raises:
        ForeignError: if there is none, or too many, or one holds other than numbers, or one that is
            not finite.
    """
    name = raw.path.name
    if not raw.arrays:
        raise ForeignError(f"{name!r} holds no arrays: save the network's weights into it.")
    if len(raw.arrays) > MOST_ARRAYS:
        raise ForeignError(
            f"{name!r} holds {len(raw.arrays)} arrays, at most {MOST_ARRAYS} are read: save the "
            "recurrent layers and the readout alone."
        )
    for key, array in raw.arrays.items():
        kind = array.dtype.name
        if not (kind.startswith(("float", "bfloat", "int", "uint", "bool"))):
            raise ForeignError(
                f"{name!r}: {key[:60]!r} holds {kind}, no real numbers: save weights alone."
            )
        if not np.isfinite(array).all():
            raise ForeignError(
                f"{name!r}: {key[:60]!r} holds NaN or infinite numbers: training has diverged, or "
                "the file is damaged; give another checkpoint."
            )
    return raw


@contextmanager
def named(name: str) -> Iterator[None]:
    """Say in a refusal which file it is about.

    Args:
        name: of the file.
    """
    try:
        yield
    except ForeignError as error:
        raise ForeignError(f"{brief(name)}: {error}") from None


@contextmanager
def parsed(again: str) -> Iterator[None]:
    """Say in a sentence why a file cannot be read, whatever the libraries that read it raise.

    Args:
        again: what to do.
    """
    try:
        yield
    except ForeignError:
        raise
    except OSError as error:
        words = error.strerror or error
        raise ForeignError(f"it cannot be read ({words}): correct that, or give another.") from None
    except Exception as error:
        words = brief(str(error) or type(error).__name__)
        raise ForeignError(f"it is damaged, or of another format ({words}): {again}.") from None
