"""Zips from elsewhere: looked at before anything in them is read."""

import os
import re
import zipfile
from collections.abc import Collection
from typing import IO, NamedTuple

from rnnatomy.networks.foreign import raw
from rnnatomy.store.disk import brief

DIRECTORY = 2**22
"""Bytes that the list of members may have."""

_END, _LOCATOR, _WIDE = 22, 20, 56  # bytes of the records at the end


class Archive(NamedTuple):
    """A zip file whose members were looked at.

    Attributes:
        zip: as Python reads it.
        members: by name.
    """

    zip: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]


def archive(file: IO[bytes], methods: Collection[int], again: str) -> Archive:
    """Open a zip file; nothing in it is unpacked.

    Args:
        file: that is open, and stays so.
        methods: by which members may be packed, of ``zipfile``.
        again: what to do if it is refused.

    Raises:
        ForeignError: if it holds what no program of good will puts there, or unpacks to too much.
    """
    size = _bound(file, again)
    found = zipfile.ZipFile(file)
    members = {info.filename: info for info in found.infolist()}
    if len(members) < len(found.infolist()):
        raise raw.ForeignError(f"it holds two members of one name: {again}.")
    for key, info in members.items():
        _look_at(key, info, methods, again)
    packed = sum(info.compress_size for info in members.values())
    unpacked = sum(info.file_size for info in members.values())
    if packed > size or unpacked > raw.LARGEST:
        raise raw.ForeignError(
            f"its members have {packed} bytes and unpack to {unpacked}, at most {size} and "
            f"{raw.LARGEST} are read: {again}."
        )
    return Archive(found, members)


def _bound(file: IO[bytes], again: str) -> int:
    """Return how many bytes a zip has, if its list of members is short enough to be taken.

    Raises:
        ForeignError: if it is not, or the records at the end are not as Python and torch write
            them.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _END - _LOCATOR - _WIDE, 0))
    tail = file.read()
    end, locator, wide = tail[-_END:], tail[-_END - _LOCATOR : -_END], tail[:_WIDE]
    whole = end.startswith(b"PK\5\6") and end.endswith(b"\0\0")
    length = int.from_bytes(end[12:16], "little")
    if locator.startswith(b"PK\6\7"):
        at = int.from_bytes(locator[8:16], "little")
        whole &= wide.startswith(b"PK\6\6") and at == size - len(tail)
        length = int.from_bytes(wide[40:48], "little")
    if not whole or length > DIRECTORY:
        raise raw.ForeignError(f"it is no whole zip file, or one of too many members: {again}.")
    return size


def _look_at(key: str, info: zipfile.ZipInfo, methods: Collection[int], again: str) -> None:
    """Refuse a member that leads out of its folder, is encrypted, or packed in another way."""
    parts = key.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or re.match("[A-Za-z]:", key):
        raise raw.ForeignError(f"it holds {brief(key)}, a path out of its folder: {again}.")
    if info.flag_bits & 1:
        raise raw.ForeignError(f"{brief(key)} is encrypted, which is not read: {again}.")
    if info.compress_type not in methods:
        way = info.compress_type
        raise raw.ForeignError(f"{brief(key)} is packed (by {way}), which is not read: {again}.")
    if info.compress_type == zipfile.ZIP_STORED and info.file_size != info.compress_size:
        raise raw.ForeignError(f"{brief(key)} is said to have two sizes: {again}.")
