"""Checkpoints of a training: its whole state in one file, and what it belongs to."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import numpy as safetensors

from rnnatomy.store import disk


def save(path: Path, state: Any, identity: Any, history: list[dict[str, Any]]) -> None:
    """Write a training state in one step, so that a kill leaves the last checkpoint or this one."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    arrays = {f"{number:04d}": leaf for number, leaf in enumerate(leaves)}
    for epoch, record in enumerate(history):
        arrays |= {f"history.{epoch:04d}.{name}": value for name, value in record.items()}
    names = list(history[0]) if history else []
    metadata = {"identity": json.dumps(identity), "names": json.dumps(names)}
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, safetensors.save(disk.contiguous(arrays), metadata))


def load(path: Path, like: Any, identity: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Read a training state back.

    Args:
        path: the checkpoint.
        like: a state of the same tree and shapes.
        identity: what the run is; must equal what the checkpoint was written with.

    Returns:
        The state, and the history of the epochs that ended, its names in the order of writing.

    Raises:
        StoreError: if the file is damaged, or belongs to another run.
    """
    arrays, metadata = disk.read_arrays(path)
    if json.loads(metadata.get("identity", "null")) != json.loads(json.dumps(identity)):
        raise disk.StoreError(
            f"checkpoint {path} belongs to another run: remove it, or name another file."
        )
    leaves, tree = jax.tree.flatten(like)
    found = [arrays.get(f"{number:04d}", np.empty(0)) for number in range(len(leaves))]
    if [leaf.shape for leaf in found] != [leaf.shape for leaf in leaves]:
        raise disk.StoreError(
            f"checkpoint {path} belongs to another model: remove it, or name another."
        )
    history: dict[int, dict[str, Any]] = {}
    for name in arrays:
        if name.startswith("history."):
            _, epoch, metric = name.split(".", 2)
            history.setdefault(int(epoch), {})[metric] = arrays[name]
    names = json.loads(metadata.get("names", "[]"))  # the file keeps them in an order of its own
    told = [
        {name: history[epoch][name] for name in names or history[epoch]}
        for epoch in sorted(history)
    ]
    state = jax.tree.unflatten(tree, [jax.numpy.asarray(leaf) for leaf in found])
    return state, told
