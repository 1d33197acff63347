"""A program that reads the arrays of an HDF5 file and hands them on through a pipe.

libhdf5 is written in C; a malformed file may crash it, keep it busy for ever or have it ask for all
memory. So ``keras`` starts this in a process of its own, which first gives up most of what a
process may do. It imports neither JAX nor any network.

To standard output it writes a line of JSON, then the bytes of all arrays in that order, rows first,
as this machine has numbers. The line is ``{"arrays": [[name, type, shape], ...], "config": text}``,
or ``{"refused": words}`` and nothing follows. If the file is damaged, it just fails.
"""

import codecs
import json
import math
import resource
import sys
from contextlib import suppress
from typing import IO, Any

import h5py
import numpy as np

from rnnatomy.networks.foreign import raw
from rnnatomy.store.disk import brief

SECONDS = 60
"""Of processor time that may be spent."""

ROOM = 2**30
"""Bytes of memory for Python and its libraries, beside what arrays take."""

MOST_LINKS = 2**16
"""Names that all groups of a file may have together."""

DEEPEST = 64
"""Groups within groups."""

KINDS = {f"float{bits}" for bits in (16, 32, 64)} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}
"""Numbers that are read; and "bfloat16", which HDF5 holds as two bytes that mean nothing to it."""

FILTERS = {1, 2, 3, 32000}
"""How chunks may be packed: deflate, shuffle, checksum, LZF; others are libraries from outside."""

ASIDE = ("optimizer", "optimizer_weights")
"""Groups at the root that hold no weights; "seed_generator" holds none anywhere."""

SAVE = 'save the model again, with model.save("model.keras")'


def main(path: str, most: int, stream: IO[bytes]) -> None:
    """Hand on what a file holds.

    Args:
        path: of the HDF5 file.
        most: bytes that its arrays may have together.
        stream: that is written to.
    """
    confine(most)
    with h5py.File(path, "r", locking=False) as file:
        codecs.lookup("ascii")  # is a file of Python that h5py reads with text
        # from here on no other file can be opened, whatever this one asks for
        limit(resource.RLIMIT_NOFILE, 0)
        try:
            found = find(file)
            kinds = {key: admit(dataset, key) for key, dataset in found.items()}
            weigh(found, most)
            line = head(found, kinds, text(file, "model_config"))
        except raw.ForeignError as error:
            stream.write(json.dumps({"refused": str(error)}).encode() + b"\n")
            return
        stream.write(line)
        for dataset in found.values():
            stream.write(content(dataset))


def confine(most: int) -> None:
    """Bound what this process may take: memory, time, files written, traces of a crash."""
    limit(resource.RLIMIT_AS, ROOM + 2 * most)
    limit(resource.RLIMIT_CPU, SECONDS)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)


def limit(what: int, most: int) -> None:
    """Set a limit for good, unless a lower one holds or the system knows none."""
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (most, most))


def find(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the data sets of a file by path, but for optimisers and sources of random numbers.

    Raises:
        ForeignError: if a link leads elsewhere, a group stands at two places, or there is too much.
    """
    found: dict[str, h5py.Dataset] = {}
    seen: set[tuple[int, int]] = set()
    groups, links = [("", file)], 0
    while groups:
        path, group = groups.pop()
        once(group, path, seen)
        names = [name for name in group if path + name not in ASIDE and name != "seed_generator"]
        links += len(names)
        if links > MOST_LINKS or path.count("/") > DEEPEST:
            raise raw.ForeignError(
                f"more than {MOST_LINKS} names, or {DEEPEST} groups within groups: {SAVE}."
            )
        for name in names:
            item = follow(group, name, path + name)
            if isinstance(item, h5py.Group):
                groups.append((f"{path}{name}/", item))
            else:
                found[path + name] = item
    return dict(sorted(found.items()))


def once(group: h5py.Group, path: str, seen: set[tuple[int, int]]) -> None:
    """Add a group to those seen.

    Raises:
        ForeignError: if it is there already: a walk might never end.
    """
    place = h5py.h5o.get_info(group.id)
    if (place.fileno, place.addr) in seen:
        raise raw.ForeignError(f"group {brief(path)} stands at two places: {SAVE}.")
    seen.add((place.fileno, place.addr))


def follow(group: h5py.Group, name: str, key: str) -> h5py.Group | h5py.Dataset:
    """Return what a name in a group stands for.

    Raises:
        ForeignError: if it is a link to another place or file, or neither a group nor an array.
    """
    if not name.isprintable() or "/" in name or name in ("", "."):
        raise raw.ForeignError(f"{brief(key)} is no name of a group or an array: {SAVE}.")
    if type(group.get(name, getlink=True)) is not h5py.HardLink:
        raise raw.ForeignError(
            f"{brief(key)} is a link to another place or file, and none is followed: {SAVE}."
        )
    item = group[name]
    if not isinstance(item, h5py.Group | h5py.Dataset):
        raise raw.ForeignError(f"{brief(key)} is neither a group nor an array: {SAVE}.")
    return item


def admit(dataset: h5py.Dataset, key: str) -> str:
    """Return of which type the numbers of a data set are.

    Raises:
        ForeignError: if they are no numbers, lie in another file, or need other code to unpack.
    """
    if dataset.is_virtual or dataset.external:
        raise raw.ForeignError(
            f"{brief(key)} lies in another file: save all weights in one file, with model.save."
        )
    properties = dataset.id.get_create_plist()
    filters = {properties.get_filter(index)[0] for index in range(properties.get_nfilters())}
    if filters - FILTERS:
        raise raw.ForeignError(
            f"{brief(key)} is packed by filter {min(filters - FILTERS)}, which is not read: save "
            "it unpacked, or with gzip."
        )
    kind = dataset.dtype.name
    if kind == "void16" and text(dataset, "dtype") == "bfloat16":
        return "bfloat16"
    if kind not in KINDS or dataset.shape is None:
        raise raw.ForeignError(
            f"{brief(key)} holds {brief(kind)}, no real numbers: save weights alone."
        )
    return kind


def text(item: h5py.HLObject, name: str) -> str | None:
    """Return an attribute that is text, or None if there is none of that name.

    Raises:
        ForeignError: if it is no text, or too long.
    """
    if name not in item.attrs:
        return None
    held = item.attrs.get_id(name)
    if held.shape != () or h5py.check_string_dtype(held.dtype) is None:
        raise raw.ForeignError(f"attribute {name!r} is no text: {SAVE}.")
    value: Any = item.attrs[name]
    words = value.decode() if isinstance(value, bytes) else str(value)
    size = len(words.encode())
    if size > raw.MOST_JSON:
        raise raw.ForeignError(
            f"attribute {name!r} has {size} bytes, at most {raw.MOST_JSON} are read: {SAVE}."
        )
    return words


def weigh(found: dict[str, h5py.Dataset], most: int) -> None:
    """Refuse arrays before they are read, if there are too many or they are too large.

    Raises:
        ForeignError: if so; what a chunk takes while it is unpacked counts too.
    """
    if len(found) > raw.MOST_ARRAYS:
        raise raw.ForeignError(
            f"{len(found)} arrays, at most {raw.MOST_ARRAYS} are read: save the recurrent layers "
            "and the readout alone."
        )
    total = sum(
        dataset.dtype.itemsize * max(volume(dataset.shape), volume(dataset.chunks or ()))
        for dataset in found.values()
    )
    if total > most:
        raise raw.ForeignError(
            f"arrays of {total} bytes, and a file of that size may hold {most}: save weights "
            "unpacked, those of the recurrent layers and the readout alone."
        )


def volume(shape: tuple[int, ...]) -> int:
    """Return how many numbers a shape has, were no side empty."""
    return math.prod(max(side, 1) for side in shape)


def head(found: dict[str, h5py.Dataset], kinds: dict[str, str], config: str | None) -> bytes:
    """Return the line that tells of the arrays.

    Raises:
        ForeignError: if it is too long.
    """
    arrays = [[key, kinds[key], dataset.shape] for key, dataset in found.items()]
    line = json.dumps({"arrays": arrays, "config": config}).encode() + b"\n"
    if len(line) > raw.MOST_JSON:
        raise raw.ForeignError(
            f"names and configuration of {len(line)} bytes, at most {raw.MOST_JSON} are read: "
            f"{SAVE}."
        )
    return line


def content(dataset: h5py.Dataset) -> memoryview:
    """Return the bytes of a data set, rows first, as this machine has numbers."""
    array = np.asarray(dataset[()])
    native = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    return native.reshape(-1).view(np.uint8).data


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.stdout.buffer)
