"""A run on disk: arrays as safetensors, metrics and provenance as JSON, replaced in one step.

A run is a folder: ``parameters.safetensors``, ``states.safetensors`` (the final hidden states of
the test part, with labels) and ``run.json``, which holds the sha256 of the others and tells which
arrays count while the run is written anew. Nothing is ever unpickled.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Int8

from rnnatomy.networks import access, cells
from rnnatomy.store import checkout, disk

LEVELS = 127
"""Hidden states that lie in [-1, 1] are stored as whole numbers of 1/127."""


class Run(NamedTuple):
    """One trained network with everything needed to trust it.

    Attributes:
        name: the folder's name, such as "mnist-0".
        config: the model's name and sizes, from which the network can be made again.
        parameters: the model's arrays by dotted path.
        metrics: numbers by name: test accuracy and the history of training.
        provenance: command, commit, data checksum, seed, versions, device, wall time.
        states: final hidden states of the test samples, if stored.
        labels: what the test samples show, stored with the states.
    """

    name: str
    config: dict[str, Any]
    parameters: disk.Arrays
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    states: Float[np.ndarray, "sample hidden"] | None = None
    labels: Int[np.ndarray, " sample"] | None = None

    @property
    def readout(self) -> Float[np.ndarray, "class hidden"]:
        """The readout matrix W, with logits = W h + b."""
        return self.parameters["readout.kernel"].T

    @property
    def logits(self) -> Float[np.ndarray, "sample class"]:
        """What the readout makes of the stored states: W h + b."""
        return self.states @ self.readout.T + self.bias

    @property
    def bias(self) -> Float[np.ndarray, " class"]:
        """The readout's bias b."""
        return self.parameters["readout.bias"]


def save_run(folder: Path, run: Run) -> None:
    """Write a run into a folder, where it takes the place of an earlier one in one step.

    Raises:
        StoreError: as ``check_run``, or if it cannot be written; then the earlier one is as it was.
    """
    check_run(run)
    files = {"parameters.safetensors": run.parameters}
    if run.states is not None and run.labels is not None:
        stored = {"states": quantise(run.states), "labels": _small(run.labels)}
        files["states.safetensors"] = stored
    facts = {"config": run.config, "metrics": run.metrics, "provenance": run.provenance}
    disk.save_folder(folder / "run.json", files, facts)


def load_run(name: str, model: str = "Classifier") -> Run:
    """Load a run by name or path, and hold its files against checksums and its own config.

    Args:
        name: a published run such as "mnist-0", one made here (under ``build/runs``), or a path.
        model: name of the model that the caller can work with.

    Raises:
        StoreError: if there is no such run, a file is damaged, its arrays and its config do not
            fit, or it holds another model.
    """
    folder = find_run(name)
    fields = {"config", "metrics", "provenance"}
    document, arrays = disk.load_folder(folder / "run.json", fields, "parameters.safetensors")
    tables = {field: document[field] for field in fields}
    for field, table in tables.items():
        if not isinstance(table, dict):
            raise disk.StoreError(f"{folder / 'run.json'}: {field!r} is no table; restore the run.")
    stored = arrays.get("states.safetensors", {})
    states, labels = stored.get("states"), stored.get("labels")
    run = Run(
        name=folder.name,
        parameters=arrays["parameters.safetensors"],
        states=None if states is None else dequantise(states),
        labels=labels,
        **tables,
    )
    held = run.config.get("model")
    if held != model:
        words = held if isinstance(held, str) and len(held) < 60 else disk.brief(held)
        raise disk.StoreError(f"run {name!r} holds a {words}, not a {model}: choose another run.")
    check_run(run)
    return run if labels is None else run._replace(labels=labels.astype(np.int32))


def check_run(run: Run) -> None:
    """Hold the arrays of a run against its config.

    Raises:
        StoreError: if the config is that of no network; if an array is missing, has another shape,
            or is not finite; or if states and labels do not fit the network or each other.
    """
    difference = cells.mismatch(_shapes(run), run.parameters)
    if difference:
        raise disk.StoreError(
            f"run {run.name!r} does not fit its config: {difference}; restore it."
        )
    arrays = run.parameters if run.states is None else run.parameters | {"states": run.states}
    for name, array in arrays.items():
        if not jnp.issubdtype(array.dtype, jnp.floating) or not np.isfinite(array).all():
            raise disk.StoreError(
                f"run {run.name!r}: {name!r} holds other than finite real numbers; restore the run."
            )
    _check_states(run)


def restore(run: Run) -> Any:
    """Make the network of a run again, with its arrays.

    Raises:
        StoreError: as ``check_run``.
    """
    check_run(run)
    network = access.build(run.config, jax.random.key(0))
    access.unflatten(run.parameters, network)
    return network


def untrained(run: Run) -> Any:
    """Make the network of a run as training found it: the first parameters of its seed.

    Raises:
        StoreError: as ``check_run``; or if the run does not tell its seed.
    """
    check_run(run)
    seed = run.provenance.get("seed")
    if not isinstance(seed, int):
        raise disk.StoreError(
            f"run {run.name!r} tells no seed: give one that does, to see it before training."
        )
    return access.build(run.config, jax.random.key(seed))


def find_run(name: str) -> Path:
    """Return the folder of a run, by name or path.

    Raises:
        StoreError: if there is none; the message lists the runs that exist.
    """
    if disk.stands(Path(name) / "run.json"):
        return Path(name)
    made = checkout.root() / "build" / "runs"
    for folder in (made / name, checkout.root() / "results" / name):
        if disk.stands(folder / "run.json"):
            return folder
    names = [*published(), *sorted(path.parent.name for path in made.glob("*/run.json"))]
    raise disk.StoreError(
        f"run {disk.brief(name)} is missing: choose one of {', '.join(names) or 'none'}, or the "
        "path of a run's folder."
    )


def published(prefix: str = "") -> list[str]:
    """Return the names of the published runs that begin with a prefix, in order of their seeds."""
    names = [path.parent.name for path in (checkout.root() / "results").glob(f"{prefix}*/run.json")]
    return sorted(names, key=lambda name: (name.rpartition("-")[0], len(name), name))


def quantise(
    states: Float[np.ndarray, "..."],
) -> Int8[np.ndarray, "..."] | Float[np.ndarray, "..."]:
    """Round hidden states to whole numbers of 1/127, if they lie in [-1, 1].

    Those of some cells go beyond; then they stay as they are.
    """
    if states.size and np.abs(states).max() > 1:
        return states
    return np.rint(states * LEVELS).astype(np.int8)


def dequantise(
    stored: Int8[np.ndarray, "..."] | Float[np.ndarray, "..."],
) -> Float[np.ndarray, "..."]:
    """Turn what ``quantise`` gives back into hidden states."""
    return stored.astype(np.float32) / LEVELS if stored.dtype == np.int8 else stored


def _small(labels: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Return labels as small whole numbers, if they fit."""
    return labels.astype(np.int8 if labels.max(initial=0) < 128 else np.int32)


def _shapes(run: Run) -> dict[str, jax.ShapeDtypeStruct]:
    """Return what tells the shapes of the arrays that the config of a run asks for."""
    if not isinstance(run.config, dict):
        raise disk.StoreError(
            f"run {run.name!r} has the config of no network: {disk.brief(run.config)} is no table."
        )
    cell = run.config.get("cell")
    entry = cells.CELLS.get(cell) if isinstance(cell, str) else None
    try:
        return _shapes_of(json.dumps(run.config, sort_keys=True, default=str), entry)
    except (ValueError, OverflowError) as error:
        raise disk.StoreError(f"run {run.name!r} has the config of no network: {error}") from None


@lru_cache(maxsize=64)
def _shapes_of(config: str, entry: cells.Cell | None) -> dict[str, jax.ShapeDtypeStruct]:
    """Return the shapes of the arrays of a network, without making it; the entry tells it apart."""
    return jax.eval_shape(
        lambda: cells.parameters(access.build(json.loads(config), jax.random.key(0)))
    )


def _check_states(run: Run) -> None:
    if run.states is None and run.labels is None:
        return
    if run.states is None or run.labels is None:
        raise disk.StoreError(
            f"run {run.name!r} holds states without labels, or labels without states; restore it."
        )
    hidden, classes = run.readout.shape[1], run.config.get("classes")
    expected = (len(run.labels), hidden)
    if run.labels.ndim != 1 or run.labels.dtype.kind not in "iu" or run.states.shape != expected:
        raise disk.StoreError(
            f"run {run.name!r} holds states of shape {run.states.shape} for labels of shape "
            f"{run.labels.shape}: expected ({len(run.labels)}, {hidden}) for whole numbers; "
            "restore the run."
        )
    if not run.labels.size:
        return
    least, most = run.labels.min(), run.labels.max()
    if least < 0 or (classes is not None and most >= classes):
        raise disk.StoreError(
            f"run {run.name!r} holds labels from {least} to {most}: its network has "
            f"{classes or 'no'} classes; restore the run."
        )
