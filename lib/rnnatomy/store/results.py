"""Published studies: what was found out about many networks, in one folder each."""

from pathlib import Path
from typing import Any, NamedTuple

from rnnatomy.store import checkout, disk


class Study(NamedTuple):
    """What a study found out about many networks.

    Attributes:
        name: the folder's name, such as "hundred".
        arrays: by name, with a leading seed axis where there is one row per network.
        provenance: as of a run.
    """

    name: str
    arrays: disk.Arrays
    provenance: dict[str, Any]


def save_study(folder: Path, study: Study) -> None:
    """Write a study into a folder; it counts as one once its last file stands."""
    files = {"arrays.safetensors": study.arrays}
    disk.save_folder(folder / "study.json", files, {"provenance": study.provenance})


def load_study(name: str) -> Study:
    """Load a published study by name, or any by the path of its folder.

    Raises:
        StoreError: if there is no such study, or a file is damaged.
    """
    for folder in (checkout.root() / "results" / name, Path(name)):
        if (folder / "study.json").is_file():
            document, arrays = disk.load_folder(
                folder / "study.json", {"provenance"}, "arrays.safetensors"
            )
            return Study(folder.name, arrays["arrays.safetensors"], document["provenance"])
    known = ", ".join(
        sorted(path.parent.name for path in (checkout.root() / "results").glob("*/study.json"))
    )
    raise disk.StoreError(
        f"study {name!r} is missing: choose one of {known or 'none'}, or make it: make results."
    )
