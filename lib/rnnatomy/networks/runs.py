"""A run on disk: arrays as safetensors, metrics and provenance as JSON, written aside and renamed.

A run is a folder: ``parameters.safetensors``, ``states.safetensors`` (the final hidden states of
the test part, quantised, with labels) and ``run.json``, which is written last and holds the sha256
of the others. Nothing is ever unpickled.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, Int8

from rnnatomy.networks import access, models
from rnnatomy.store import checkout, disk

LEVELS = 127
"""Hidden states lie in (-1, 1) and are stored as whole numbers of 1/127."""


class Run(NamedTuple):
    """One trained network with everything needed to trust it.

    Attributes:
        name: the folder's name, such as "mnist-0".
        config: the model's name and sizes, from which the network can be made again.
        parameters: the model's arrays by dotted path.
        metrics: numbers by name: test accuracy and the history of training.
        provenance: command, commit, data checksum, seed, versions, device, wall time.
        states: final hidden states of the test samples, if stored.
        labels: what the test samples show, if stored.
    """

    name: str
    config: dict[str, Any]
    parameters: disk.Arrays
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    states: Float[np.ndarray, "sample hidden"] | None = None
    labels: Int[np.ndarray, " sample"] | None = None

    @property
    def model(self) -> str:
        """Name of the model, such as "Classifier"."""
        return self.config["model"]

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
    """Write a run into a folder; the folder counts as a run once its last file stands."""
    files = {"parameters.safetensors": run.parameters}
    if run.states is not None and run.labels is not None:
        stored = {"states": quantise(run.states), "labels": run.labels.astype(np.int8)}
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
    stored = arrays.get("states.safetensors", {})
    run = Run(
        name=folder.name,
        config=document["config"],
        parameters=arrays["parameters.safetensors"],
        metrics=document["metrics"],
        provenance=document["provenance"],
        states=dequantise(stored["states"]) if stored else None,
        labels=stored["labels"].astype(np.int32) if stored else None,
    )
    if run.config.get("model") != model:
        raise disk.StoreError(
            f"run {name!r} holds a {run.config.get('model')}, not a {model}: choose another run."
        )
    check_run(run)
    return run


def check_run(run: Run) -> None:
    """Hold the arrays of a run against its config.

    Raises:
        StoreError: if an array is missing, has another shape, or is not finite; or the stored
            states and labels do not fit.
    """
    try:
        wanted = _shapes(json.dumps(run.config))
    except (TypeError, ValueError) as error:
        raise disk.StoreError(f"run {run.name!r} has a config of no network: {error}") from None
    given = {name: array.shape for name, array in run.parameters.items()}
    for name in [*wanted, *given]:
        if wanted.get(name) != given.get(name):
            raise disk.StoreError(
                f"run {run.name!r}: array {name!r} is {given.get(name, 'missing')}, its config "
                f"asks for {wanted.get(name, 'none')}; restore the run."
            )
    for name, array in run.parameters.items():
        if not np.isfinite(array).all():
            raise disk.StoreError(f"run {run.name!r}: array {name!r} holds NaN or infinity.")
    if run.states is not None and run.labels is not None:
        _check_states(run)


def restore(run: Run) -> models.Network:
    """Make the network of a run again, with its arrays.

    Raises:
        StoreError: as ``check_run``.
    """
    check_run(run)
    made = access.build(run.config, jax.random.key(0))
    access.unflatten(run.parameters, made)
    return made


def untrained(run: Run) -> models.Network:
    """Make the network of a run as it was before training: the same seed, the first parameters."""
    return access.build(run.config, jax.random.key(run.provenance["seed"]))


def find_run(name: str) -> Path:
    """Return the folder of a run, by name or path.

    Raises:
        StoreError: if there is none; the message lists the runs that exist.
    """
    for folder in (
        checkout.root() / "build" / "runs" / name,
        checkout.root() / "results" / name,
        Path(name),
    ):
        if (folder / "run.json").is_file():
            return folder
    made = sorted(
        path.parent.name for path in (checkout.root() / "build" / "runs").glob("*/run.json")
    )
    known = ", ".join([*published(), *made]) or "none"
    raise disk.StoreError(
        f"run {name!r} is missing: choose one of {known}, or the path of a run's folder."
    )


def published(prefix: str = "") -> list[str]:
    """Return the names of the published runs that begin with a prefix, in order of their seeds."""
    names = [path.parent.name for path in (checkout.root() / "results").glob(f"{prefix}*/run.json")]
    return sorted(names, key=lambda name: (name.rpartition("-")[0], len(name), name))


def quantise(states: Float[np.ndarray, "..."]) -> Int8[np.ndarray, "..."]:
    """Round hidden states in (-1, 1) to whole numbers of 1/127."""
    return np.rint(np.asarray(states) * LEVELS).astype(np.int8)


def dequantise(levels: Int8[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Turn whole numbers of 1/127 back into hidden states."""
    return levels.astype(np.float32) / LEVELS


@cache
def _shapes(config: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a network by dotted path, without making it."""
    made = nnx.eval_shape(lambda: access.build(json.loads(config), jax.random.key(0)))
    pairs = nnx.to_flat_state(nnx.state(made))
    return {".".join(map(str, path)): leaf.shape for path, leaf in pairs}


def _check_states(run: Run) -> None:
    assert run.states is not None and run.labels is not None
    hidden, classes = run.config.get("hidden"), run.config.get("classes", np.inf)
    if run.states.ndim != 2 or run.states.shape != (len(run.labels), hidden):
        raise disk.StoreError(
            f"run {run.name!r} holds states of shape {run.states.shape} for "
            f"{len(run.labels)} labels: expected ({len(run.labels)}, {hidden}); restore the run."
        )
    if run.labels.size and not (run.labels.min() >= 0 and run.labels.max() < classes):
        raise disk.StoreError(
            f"run {run.name!r} holds labels from {run.labels.min()} to {run.labels.max()}: "
            f"expected 0 to {classes - 1}; restore the run."
        )
