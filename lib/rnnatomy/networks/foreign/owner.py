"""The owner's data file: sequences, and what the network is to make of them, in an ``.npz``."""

import math
import sys
import unicodedata
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from rnnatomy.networks.foreign import raw, zips
from rnnatomy.networks.foreign.raw import ForeignError, size
from rnnatomy.store.disk import brief

MOST_CLASSES = 10**4
"""Classes that labels may tell apart."""

LONGEST = 100
"""Letters of a class's name."""

SAVE = 'write it with np.savez("data.npz", inputs=inputs, outputs=outputs)'

_REAL, _TEXT = "biuf", "US"

KINDS = {
    "inputs": _REAL,
    "lengths": "iuf",
    "mask": _REAL,
    "labels": _REAL + _TEXT,
    "targets": _REAL,
    "outputs": _REAL,
    "names": _TEXT,
}
"""Arrays that are read, and of which kinds of NumPy's they may be."""

_ARRAY = b"\x93NUMPY"

_TURNS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # turn the direction of writing


class Owner(NamedTuple):
    """What the owner of a network gives beside its weights.

    Attributes:
        inputs: (sample, time, feature), float32, zero after a sequence's end.
        lengths: (sample,), frames of each sequence.
        labels: (sample,) or (sample, time), classes by number, 0 after a sequence's end; None if
            not given.
        targets: (sample, time, out) or (sample, out), float32; None if not given.
        outputs: of the network for the first sequences, float32, as ``targets``; None if not given.
        names: of the classes; None if not given.
        notes: what was changed or not read, a sentence each.
    """

    inputs: Float[np.ndarray, "sample time feature"]
    lengths: Int[np.ndarray, " sample"]
    labels: Int[np.ndarray, "sample ..."] | None
    targets: Float[np.ndarray, "sample ..."] | None
    outputs: Float[np.ndarray, "shown ..."] | None
    names: tuple[str, ...] | None
    notes: tuple[str, ...]


def read(path: Path) -> Owner:
    """Read the owner's sequences.

    Args:
        path: of an ``.npz``. ``inputs`` (sample, time, feature) must be in it. Sequences of unequal
            length have ``lengths`` (sample,) or a ``mask`` (sample, time) of the frames that count;
            what does not count may be anything. ``labels`` (sample,) or, of a network that answers
            at every frame, (sample, time) are whole numbers from 0 or names; ``targets`` (sample,
            out) or (sample, time, out) are what a network of numbers should give; ``outputs``,
            shaped so too, what it does give for the first sequences; ``names`` those of the
            classes, in the order of their numbers.

    Raises:
        ForeignError: if the file is none, is damaged or too large, or holds something else.
    """
    size(path)
    with raw.named(path.name):
        with raw.parsed(SAVE):
            arrays, notes = _arrays(path)
        return _owner(arrays, notes)


def take(arrays: Mapping[str, Any]) -> Owner:
    """Take the owner's sequences from arrays at hand.

    Args:
        arrays: of NumPy, JAX, PyTorch or whatever NumPy can make an array of; names as of ``read``.

    Raises:
        ForeignError: as ``read``; or if a name is unknown, or NumPy can make no array of something.
    """
    unknown = [name for name in arrays if name not in KINDS]
    if unknown:
        raise ForeignError(f"{brief(unknown[0], 40)} is unknown: give {', '.join(KINDS)}.")
    held = {name: _as_array(name, array) for name, array in arrays.items() if array is not None}
    return _owner(held, [])


def _as_array(name: str, given: Any) -> np.ndarray:
    """Return an array as one of NumPy's, of a type that it may have."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ForeignError(
            f"{name} cannot be made an array of NumPy ({brief(str(error))}): give "
            f"{name}.detach().cpu() of PyTorch, or numbers in one array."
        ) from None
    _check_kind(name, array.dtype)
    return array


def _owner(arrays: dict[str, np.ndarray], notes: list[str]) -> Owner:
    """Hold arrays against each other, and bring them into one form."""
    counts = _counts(arrays, _shape(arrays))
    given = {
        name: _numbers(name, arrays[name], counts)
        for name in ("inputs", "targets", "outputs")
        if name in arrays
    }
    if (counts[:, 1:] > counts[:, :-1]).any():
        notes.append(
            "Frames that the mask leaves out are no frames: those that count were moved to the "
            "front of their sequences."
        )
    inputs, lengths = compacted(given["inputs"], counts)
    targets, outputs = (_moved(given.get(name), counts) for name in ("targets", "outputs"))
    names = _names(arrays["names"]) if "names" in arrays else None
    labels, names, more = _labels(arrays.get("labels"), counts, names)
    return Owner(inputs, lengths, labels, targets, outputs, names, (*notes, *more))


def compacted(
    inputs: Float[np.ndarray, "sample time feature"], counts: Bool[np.ndarray, "sample time"]
) -> tuple[Float[np.ndarray, "sample time feature"], Int[np.ndarray, " sample"]]:
    """Move the frames that count to the front of their sequences, in order.

    Args:
        inputs: sequences.
        counts: which of their frames count.

    Returns:
        The sequences, zero after the last frame, and how many frames each has.

    Raises:
        ForeignError: if a sequence has none.
    """
    lengths = counts.sum(axis=1)
    if not lengths.all():
        raise ForeignError(
            f"sequence {int(np.argmin(lengths))} has no frame that counts: leave it out."
        )
    return front(inputs, counts), lengths


def _moved(array: np.ndarray | None, counts: np.ndarray) -> np.ndarray | None:
    """Return answers, those of frames that count first, if there is one for each frame."""
    return array if array is None or array.ndim == 2 else front(array, counts[: len(array)])


def front(
    array: Shaped[np.ndarray, "sample time ..."], counts: Bool[np.ndarray, "sample time"]
) -> Shaped[np.ndarray, "sample time ..."]:
    """Return what belongs to frames that count first, in order, then zero.

    Args:
        array: numbers, some for each frame.
        counts: which frames count.
    """
    order = np.argsort(~counts, axis=1, kind="stable")
    first = np.take_along_axis(counts, order, axis=1)
    order, first = (part.reshape(*part.shape, *[1] * (array.ndim - 2)) for part in (order, first))
    return np.where(first, np.take_along_axis(array, order, axis=1), 0)


def _arrays(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return the arrays that are known here by name, and a note on others."""
    with path.open("rb") as file:
        start = file.read(len(_ARRAY))
        if start == _ARRAY:
            raise ForeignError(f"it is one array (.npy), and several by name are needed: {SAVE}.")
        if not start.startswith(b"PK"):
            raise ForeignError(f"it is no .npz, which is a zip of arrays: {SAVE}.")
        archive = zips.archive(file, [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], SAVE)
        arrays = {
            name: _array(archive, f"{name}.npy", name)
            for name in KINDS
            if f"{name}.npy" in archive.members
        }
        others = [key for key in archive.members if key.removesuffix(".npy") not in arrays]
    shown = ", ".join(brief(key.removesuffix(".npy"), 40) for key in others[:6])
    known = ", ".join(KINDS)
    return arrays, [f"Not read: {shown} (what is read is {known})."] if others else []


def _array(archive: zips.Archive, key: str, name: str) -> np.ndarray:
    """Return an array, whose header is held against its size before it is unpacked.

    Raises:
        ForeignError: if it holds something else than it may, or other than its header says.
    """
    info = archive.members[key]
    with archive.zip.open(info) as file:
        shape, by_columns, kind = _header(file)
        _check_kind(name, kind)
        wanted = math.prod(shape) * kind.itemsize
        if min(shape, default=0) < 0 or wanted != info.file_size - file.tell():
            raise ForeignError(
                f"{name} of shape {brief(shape[:9])} has {info.file_size} bytes, which is damage: "
                f"{SAVE}."
            )
        content = file.read()
    if kind.kind == "U" and (np.frombuffer(content, f"{kind.byteorder}u4") > sys.maxunicode).any():
        raise ForeignError(f"{name} are no text of Unicode, which is damage: {SAVE}.")
    order: Any = "F" if by_columns else "C"
    array = np.ndarray(shape, kind, content, order=order)
    return array.astype(kind.newbyteorder("="), copy=False)


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order and type of an array; NumPy reads them and bounds their length."""
    version = np.lib.format.read_magic(file)
    readers: dict[Any, Any] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ForeignError(f"an array of format {version}, which is not read: {SAVE}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that Python 2 wrote
        return readers[version](file)


def _check_kind(name: str, kind: np.dtype) -> None:
    """Refuse an array of a type that it may not have.

    Raises:
        ForeignError: if so; says what to give.
    """
    if kind.hasobject:
        raise ForeignError(
            f"{name} holds objects of Python, which are not read: give numbers in one array, "
            "sequences padded to one length, and lengths."
        )
    if kind.kind == "c":
        raise ForeignError(f"{name} are complex: give real numbers, such as {name}.real.")
    if kind.kind not in KINDS[name] or not kind.itemsize:
        words = {_TEXT: "text", _REAL + _TEXT: "numbers or text"}.get(KINDS[name], "real numbers")
        raise ForeignError(f"{name} are of type {brief(kind.name)}: give {words}.")


def _shape(arrays: dict[str, np.ndarray]) -> tuple[int, int]:
    """Return how many sequences there are, and of how many frames.

    Raises:
        ForeignError: if inputs are missing, or no sequences; says what to do.
    """
    if "inputs" not in arrays:
        raise ForeignError(f"it holds no inputs: {SAVE}, inputs (sample, time, feature).")
    shape = arrays["inputs"].shape
    if len(shape) != 3:
        what = {
            2: "if a frame has one number, give inputs[:, :, None]",
            4: "give inputs.reshape(*inputs.shape[:2], -1)",
        }.get(len(shape), "give three axes")
        raise ForeignError(
            f"inputs have shape {shape[:9]}, and (sample, time, feature) is needed: {what}."
        )
    if 0 in shape:
        raise ForeignError(
            f"inputs have shape {shape}, which is no number at all: give one sequence, one frame "
            "and one feature at least."
        )
    return shape[:2]


def _counts(arrays: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return which frames of each sequence count.

    Raises:
        ForeignError: if lengths or a mask do not fit the inputs, or both are given.
    """
    if "lengths" in arrays and "mask" in arrays:
        raise ForeignError("lengths and mask are both given: give the one or the other.")
    if "mask" in arrays:
        return _mask(arrays["mask"], shape)
    lengths = arrays.get("lengths", np.full(shape[:1], shape[1]))
    _check_shape("lengths", lengths, shape[:1], "frames of each sequence")
    allowed = np.isin(lengths, np.arange(1, shape[1] + 1))
    if not allowed.all():
        raise ForeignError(
            f"a length of {float(lengths[np.argmin(allowed)]):g}: give whole numbers from 1 to "
            f"{shape[1]}, the frames of inputs."
        )
    return np.arange(shape[1]) < lengths[:, None]


def _mask(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    _check_shape("mask", mask, shape, "one for each frame")
    if not ((mask == 0) | (mask == 1)).all():
        raise ForeignError("mask holds other than 0 and 1: give 1 for each frame that counts.")
    empty = np.flatnonzero(~(mask == 1).any(axis=1))
    if len(empty):
        raise ForeignError(f"the mask leaves no frame of sequence {empty[0]}: leave it out.")
    return mask == 1


def _check_shape(name: str, array: np.ndarray, shape: tuple[int, ...], what: str) -> None:
    if array.shape != shape:
        raise ForeignError(
            f"{name} have shape {array.shape[:9]}: give {what}, an array of shape {shape}."
        )


def _numbers(name: str, array: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return inputs, targets or outputs in single precision.

    Raises:
        ForeignError: if they do not fit the sequences, or are not finite.
    """
    samples, frames = counts.shape
    if array.ndim not in (2, 3) or 0 in array.shape or array.shape[1:-1] not in ((), (frames,)):
        raise ForeignError(
            f"{name} have shape {array.shape[:9]}: give (sample, out), or (sample, {frames}, out) "
            "for one of each frame."
        )
    most = "at most " if name == "outputs" else ""
    if len(array) > samples or (len(array) < samples and not most):
        raise ForeignError(
            f"{name} are of {len(array)} sequences, inputs of {samples}: give {most}as many."
        )
    return _single(name, array, counts[: len(array)])


def _single(name: str, array: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return numbers in single precision, those of frames that do not count as zero.

    Raises:
        ForeignError: if others are not finite, or too large.
    """
    if array.ndim == 3:
        array = np.where(counts[..., None], array, np.zeros((), array.dtype))
    _check_finite(name, array, "NaN or infinite numbers")
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    _check_finite(name, single, "numbers too large for single precision")
    return single


def _check_finite(name: str, array: np.ndarray, what: str) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        first = int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
        raise ForeignError(
            f"{name} hold {what}, first in sequence {first}: correct them; only frames after a "
            "sequence's end may hold anything."
        )


def _labels(
    array: np.ndarray | None, counts: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray | None, tuple[str, ...] | None, list[str]]:
    """Return labels as numbers, the names of classes, and notes.

    Raises:
        ForeignError: if labels are none, or there are too many classes, or too few names.
    """
    if array is None:
        return None, names, []
    given = _counted(array, counts)
    if given.dtype.kind in _TEXT:
        labels, names, notes = _numbered(given, names)
    else:
        labels, notes = _whole(given)
    if names is not None and len(names) <= labels.max():
        raise ForeignError(
            f"names are {len(names)}, labels go to {labels.max()}: give a name for each class from "
            f"0 to {labels.max()}."
        )
    if (labels == labels[0]).all():
        notes.append(
            "All labels are of one class: nothing can be said of what tells classes apart."
        )
    return labels if array.ndim == 1 else _placed(labels, counts), names, notes


def _counted(array: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the labels that count in a row: those of sequences, or of frames that count.

    Raises:
        ForeignError: if they are of neither.
    """
    each, every = counts.shape[:1], counts.shape
    if array.shape not in (each, every):
        raise ForeignError(
            f"labels have shape {array.shape[:9]}: give one class for each sequence, or for each "
            f"frame, an array of shape {each} or {every}."
        )
    return array if array.ndim == 1 else array[counts]


def _placed(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return labels of the frames that count at the front of their sequences, then class 0."""
    placed = np.zeros(counts.shape, labels.dtype)
    placed[counts] = labels
    return front(placed, counts)


def _numbered(
    array: np.ndarray, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return the numbers of classes that are given by name."""
    values, places = np.unique(array, return_inverse=True)
    found = _names(values)
    if names is None:
        note = f"Labels are names: classes are numbered in their order, {brief(found[0], 40)} is 0."
        return places.reshape(-1).astype(np.int64), found, [note]
    missing = [name for name in found if name not in names]
    if missing:
        raise ForeignError(
            f"label {brief(missing[0])} is none of names: give names of all classes."
        )
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[name] for name in found])[places.reshape(-1)], names, []


def _whole(array: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Return the numbers of classes that are given by number.

    Raises:
        ForeignError: if they are no whole numbers from 0, or there are too many.
    """
    notes = ["Labels are whole numbers, given as floats."] if array.dtype.kind == "f" else []
    if notes and not (np.isfinite(array) & (np.trunc(array) == array)).all():
        raise ForeignError(
            "labels are no whole numbers: give classes by number, or targets instead of labels."
        )
    if array.min() < 0:
        raise ForeignError(
            f"labels hold {float(array.min()):g}: give classes by number, from 0; leave out "
            "sequences without a class, and frames that only fill up by lengths or a mask."
        )
    if array.max() >= MOST_CLASSES:
        raise ForeignError(
            f"label {float(array.max()):g} stands for more than {MOST_CLASSES} classes, which are "
            "not read: number classes from 0, or give targets instead."
        )
    return array.astype(np.int64), notes


def _names(array: np.ndarray) -> tuple[str, ...]:
    """Return names of classes; what they mean to a browser or a terminal is not asked here.

    Raises:
        ForeignError: if there are none or too many, one is twice there, or is no text to be shown.
    """
    if array.ndim != 1 or not 0 < len(array) <= MOST_CLASSES:
        raise ForeignError(
            f"names of classes have shape {array.shape[:9]}: give 1 to {MOST_CLASSES} in a row."
        )
    try:
        words = [item.decode() if isinstance(item, bytes) else item for item in array.tolist()]
    except UnicodeDecodeError:
        raise ForeignError("names of classes are no text of Unicode: give them as str.") from None
    for word in words:
        if not word.strip() or len(word) > LONGEST or not all(map(_shows, word)):
            raise ForeignError(
                f"name {brief(word)} is empty, longer than {LONGEST} letters, or holds control "
                "characters: give text on one line."
            )
    if len(set(words)) < len(words):
        raise ForeignError("two classes have one name: give each its own.")
    return tuple(words)


def _shows(letter: str) -> bool:
    """Say whether a letter is one of any alphabet, and controls nothing."""
    control = unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
    return not control and ord(letter) not in _TURNS
