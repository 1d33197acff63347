"""Published studies: what was found out about many networks, in one folder each, with named axes.

A study is a folder: ``arrays.safetensors`` and ``study.json``, which tells the axes of every array,
the coordinates along them, the provenance and the sha256 of the arrays. In memory it is an xarray
Dataset, from which a page selects by name:

    found = results.load_study("layers").data
    found["energy_test"].sel(energy=0.7, digit=8)
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.store import checkout, disk, origin

Axes = Mapping[str, Iterable[str]]
"""Names of the axes of arrays, by the name of the array."""


_HOW_IT_RAN = {"jobs", "reused", "wall_seconds"}

_SIZES = ("networks", "seeds")
"""Facts that may grow when a study is published anew."""


class Study(NamedTuple):
    """What a study found out about many networks.

    Attributes:
        name: the folder's name, such as "hundred".
        data: arrays with named axes and coordinates along them.
        provenance: command, commit, data checksum, seeds, versions, device, wall time.
    """

    name: str
    data: xr.Dataset
    provenance: dict[str, Any]


def dataset(
    arrays: disk.Arrays, axes: Axes, coordinates: Mapping[str, Any] | None = None
) -> xr.Dataset:
    """Give arrays their axes and coordinates.

    Args:
        arrays: by name.
        axes: of each array, in order; of other arrays too, which are left out.
        coordinates: by the name of an axis, one value for each place along it; or a pair of axes
            and values, for what is known of each place besides, such as the size of a network.

    Raises:
        ValueError: if an array has no axes or is not of numbers, the numbers of axes differ, two
            arrays disagree about the length of an axis, or coordinates do not fit.
    """
    sizes = _sizes(arrays, axes)
    along = {name: _along(name, given) for name, given in (coordinates or {}).items()}
    for name, (own, values) in along.items():
        if values.shape != tuple(sizes.get(axis, -1) for axis in own):
            raise ValueError(
                f"coordinate {name!r} has shape {values.shape} along {own}: give one value for "
                "each place of axes that are there."
            )
        if name in arrays or (name in sizes and own != (name,)) or values.dtype == object:
            raise ValueError(
                f"coordinate {name!r} has the name of an array or of another axis, or values that "
                "are neither numbers nor words: give it others."
            )
    variables = {name: (tuple(axes[name]), array) for name, array in arrays.items()}
    return xr.Dataset(variables, along)


def stack(rows: Sequence[disk.Arrays], axes: Axes, axis: str) -> disk.Arrays:
    """Stack arrays along a new axis, at its place among their axes.

    Args:
        rows: one set of arrays for each place along the axis; what has no such axis is left out.
        axes: of the arrays when they are stacked.
        axis: the new one.
    """
    names = [name for name in dict.fromkeys(chain(*rows)) if axis in axes[name]]
    return {
        name: np.stack([row[name] for row in rows if name in row], tuple(axes[name]).index(axis))
        for name in names
    }


def filled(values: Any, size: int, nothing: float = np.nan) -> Float[np.ndarray, "..."]:
    """Make the first axis of values as long as wanted: cut off the rest, or fill up.

    Args:
        values: numbers, one or more of each of what may be few or many.
        size: how long the axis becomes.
        nothing: what stands where there is none.
    """
    values = np.asarray(values, float)[:size]
    rest = [(0, size - len(values))] + [(0, 0)] * (values.ndim - 1)
    return np.pad(values, rest, constant_values=nothing)


def without(axes: Axes, *names: str) -> dict[str, tuple[str, ...]]:
    """Leave some axes out, as arrays have them before they are stacked along these."""
    return {array: tuple(axis for axis in own if axis not in names) for array, own in axes.items()}


def arrays(data: xr.Dataset) -> disk.Arrays:
    """Return the arrays of a dataset by name, without axes."""
    return {str(name): array.to_numpy() for name, array in data.data_vars.items()}


def publish(name: str, data: xr.Dataset, facts: dict[str, Any]) -> None:
    """Write a study into ``results/``, with the facts given and where it comes from.

    One that is there is replaced by one of the same facts, or of more networks; by another only if
    the environment variable ``REPLACE`` is 1.

    Raises:
        StoreError: if one of other facts is there; or as ``save_study``.
    """
    folder = checkout.root() / "results" / name
    if os.environ.get("REPLACE") != "1":
        _check_replaced(folder, json.loads(json.dumps(facts)))
    provenance = origin.provenance(origin.command_line(), **facts)
    save_study(folder, Study(name, data, provenance))


def save_study(folder: Path, study: Study) -> None:
    """Write a study into a folder, where it takes the place of an earlier one in one step.

    Raises:
        StoreError: if it cannot be written; then the earlier one is as it was.
    """
    data = study.data
    facts = {
        "axes": {str(name): list(map(str, array.dims)) for name, array in data.data_vars.items()},
        "coordinates": {
            str(name): {"axes": list(map(str, along.dims)), "values": along.to_numpy().tolist()}
            for name, along in data.coords.items()
        },
        "provenance": study.provenance,
    }
    disk.save_folder(folder / "study.json", {"arrays.safetensors": arrays(data)}, facts)


def load_study(name: str) -> Study:
    """Load a published study by name, or any by the path of its folder.

    Raises:
        StoreError: if there is no such study, a file is damaged, or arrays and axes do not fit.
        checkout.CheckoutError: if it is no path, and the library was installed without the book.
    """
    folder = Path(name)
    if not disk.stands(folder / "study.json"):
        folder = checkout.root() / "results" / name
    if not disk.stands(folder / "study.json"):
        known = ", ".join(published()) or "none"
        raise disk.StoreError(
            f"study {disk.brief(name)} is missing: choose one of {known}, or make it: make results."
        )
    fields = {"axes", "coordinates", "provenance"}
    document, files = disk.load_folder(folder / "study.json", fields, "arrays.safetensors")
    if not isinstance(document["provenance"], dict):
        raise disk.StoreError(f"{folder / 'study.json'}: 'provenance' is no table; restore it.")
    try:
        data = _described(files["arrays.safetensors"], document["axes"], document["coordinates"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise disk.StoreError(
            f"study {folder.name!r}: its arrays and its axes do not fit ({error}); restore it."
        ) from error
    return Study(folder.name, data, document["provenance"])


def published() -> list[str]:
    """Return the names of the published studies."""
    folders = (checkout.root() / "results").glob("*/study.json")
    return sorted(path.parent.name for path in folders)


def _check_replaced(folder: Path, facts: dict[str, Any]) -> None:
    """Refuse to replace a study by one of other settings."""
    try:
        before = load_study(str(folder)).provenance if disk.stands(folder / "study.json") else {}
    except disk.StoreError:  # damaged: there is nothing to lose
        return
    for name in sorted(facts.keys() & before.keys() - _HOW_IT_RAN):
        if facts[name] != before[name] and not _grows(name, before[name], facts[name]):
            then, now = (disk.brief(value, 80) for value in (before[name], facts[name]))
            raise disk.StoreError(
                f"study {folder.name!r} is published with {name} {then}, not {now}: it stays, and "
                "what was computed is kept; add REPLACE=1 to the same command to replace it."
            )


def _grows(name: str, before: Any, now: Any) -> bool:
    return name in _SIZES and type(before) is type(now) is int and before <= now


def _described(arrays: disk.Arrays, axes: Any, coordinates: Any) -> xr.Dataset:
    """Put a dataset together as its manifest describes it."""
    missing = [name for name in axes if name not in arrays]
    if missing:
        raise ValueError(f"array {missing[0]!r} is missing")
    for name, own in axes.items():
        if not isinstance(own, list):
            raise ValueError(f"the axes of {name!r} are {own!r}, no list of names")
    along = {name: (tuple(given["axes"]), given["values"]) for name, given in coordinates.items()}
    return dataset(arrays, axes, along)


def _sizes(arrays: disk.Arrays, axes: Axes) -> dict[str, int]:
    """Return the length of each axis, the same in all arrays."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        if name not in axes:
            raise ValueError(f"array {name!r} has no axes: name them, in order.")
        if array.dtype.kind not in "biuf":
            raise ValueError(
                f"array {name!r} holds words or objects: give numbers, and words as coordinates."
            )
        own = tuple(axes[name])
        if len(own) != array.ndim or len(set(own)) < len(own):
            raise ValueError(
                f"array {name!r} has shape {array.shape}, and axes {own}: give as many, each once."
            )
        for axis, size in zip(own, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(
                    f"axis {axis!r} has {size} places in {name!r}, elsewhere {sizes[axis]}: give "
                    "axes of other lengths other names."
                )
    return sizes


def _along(name: str, given: Any) -> tuple[tuple[str, ...], np.ndarray]:
    if isinstance(given, tuple) and len(given) == 2 and not np.isscalar(given[0]):
        return tuple(given[0]), np.asarray(given[1])
    return (name,), np.asarray(given)
