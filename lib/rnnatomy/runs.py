"""A run on disk: arrays as safetensors, metrics and provenance as JSON, written aside and renamed.

A run is a folder: ``parameters.safetensors``, ``states.safetensors`` (the final hidden states of
the test part, quantised, with labels) and ``run.json``, which is written last and holds the sha256
of the others. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float, Int, Int8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parents[2]
"""The project's folder: the library is used from a checkout, beside its published results."""

FORMAT = 1
LEVELS = 127
"""Hidden states lie in (-1, 1) and are stored as whole numbers of 1/127."""

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn", "tensorflow-datasets")

Arrays = dict[str, np.ndarray]


class RunError(Exception):
    """A run is missing, damaged or of another kind; the message says which, and what to do."""


class Study(NamedTuple):
    """What a study found out about many networks.

    Attributes:
        name: the folder's name, such as "hundred".
        arrays: by name, with a leading seed axis where there is one row per network.
        provenance: as of a run.
    """

    name: str
    arrays: Arrays
    provenance: dict[str, Any]


class Run(NamedTuple):
    """One trained network with everything needed to trust it.

    Attributes:
        name: the folder's name, such as "mnist-0".
        kind: the model's class, such as "LSTMClassifier".
        parameters: the model's arrays by dotted path.
        metrics: numbers by name: test accuracy and the history of training.
        provenance: command, commit, data checksum, seed, versions, device, wall time.
        states: final hidden states of the test samples, if stored.
        labels: what the test samples show, if stored.
    """

    name: str
    kind: str
    parameters: Arrays
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
    """Write a run into a folder; the folder counts as a run once its last file stands."""
    files = {"parameters.safetensors": run.parameters}
    if run.states is not None and run.labels is not None:
        stored = {"states": quantise(run.states), "labels": run.labels.astype(np.int8)}
        files["states.safetensors"] = stored
    facts = {"kind": run.kind, "metrics": run.metrics, "provenance": run.provenance}
    _save(folder / "run.json", files, facts)


def save_study(folder: Path, study: Study) -> None:
    """Write a study into a folder; it counts as one once its last file stands."""
    files = {"arrays.safetensors": study.arrays}
    _save(folder / "study.json", files, {"provenance": study.provenance})


def load_study(name: str) -> Study:
    """Load a published study by name, or any by the path of its folder.

    Raises:
        RunError: if there is no such study, or a file is damaged.
    """
    for folder in (ROOT / "results" / name, Path(name)):
        if (folder / "study.json").is_file():
            document, arrays = _load(folder / "study.json", {"provenance"}, "arrays.safetensors")
            return Study(folder.name, arrays["arrays.safetensors"], document["provenance"])
    known = ", ".join(sorted(path.parent.name for path in (ROOT / "results").glob("*/study.json")))
    raise RunError(
        f"study {name!r} is missing: choose one of {known or 'none'}, or make it: make results."
    )


def load_run(name: str, kind: str = "LSTMClassifier") -> Run:
    """Load a run by name or path, and hold its files against their checksums.

    Args:
        name: a published run such as "mnist-0", one made here (under ``build/runs``), or a path.
        kind: the model's class that the caller can work with.

    Raises:
        RunError: if there is no such run, a file is damaged, or the run is of another kind.
    """
    folder = find_run(name)
    fields = {"kind", "metrics", "provenance"}
    document, arrays = _load(folder / "run.json", fields, "parameters.safetensors")
    if document["kind"] != kind:
        raise RunError(
            f"run {name!r} holds a {document['kind']}, not a {kind}: choose another run."
        )
    stored = arrays.get("states.safetensors", {})
    return Run(
        name=folder.name,
        kind=kind,
        parameters=arrays["parameters.safetensors"],
        metrics=document["metrics"],
        provenance=document["provenance"],
        states=dequantise(stored["states"]) if stored else None,
        labels=stored["labels"].astype(np.int32) if stored else None,
    )


def find_run(name: str) -> Path:
    """Return the folder of a run, by name or path.

    Raises:
        RunError: if there is none; the message lists the runs that exist.
    """
    for folder in (ROOT / "build" / "runs" / name, ROOT / "results" / name, Path(name)):
        if (folder / "run.json").is_file():
            return folder
    made = sorted(path.parent.name for path in (ROOT / "build" / "runs").glob("*/run.json"))
    known = ", ".join([*published(), *made]) or "none"
    raise RunError(
        f"run {name!r} is missing: choose one of {known}, or the path of a run's folder."
    )


def published(prefix: str = "") -> list[str]:
    """Return the names of the published runs that begin with a prefix, in order of their seeds."""
    names = [path.parent.name for path in (ROOT / "results").glob(f"{prefix}*/run.json")]
    return sorted(names, key=lambda name: (name.rpartition("-")[0], len(name), name))


def quantise(states: Float[np.ndarray, "..."]) -> Int8[np.ndarray, "..."]:
    """Round hidden states in (-1, 1) to whole numbers of 1/127."""
    return np.rint(np.asarray(states) * LEVELS).astype(np.int8)


def dequantise(levels: Int8[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Turn whole numbers of 1/127 back into hidden states."""
    return levels.astype(np.float32) / LEVELS


def provenance(command: str, **facts: Any) -> dict[str, Any]:
    """Gather where a result comes from: the given facts, commit, versions, device and system."""
    device = jax.devices()[0]
    return {
        "command": command,
        **facts,
        "commit": _commit(),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
        "device": f"{device.platform}, {len(jax.devices())} x {device.device_kind}",
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def flatten(state: Any) -> Arrays:
    """Turn a Flax state into arrays by dotted path."""
    pairs = nnx.to_flat_state(state)
    return {".".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in pairs}


def unflatten(arrays: Arrays, model: nnx.Module) -> None:
    """Put arrays by dotted path into a model of the same shapes.

    Raises:
        RunError: if a name or a shape differs.
    """
    state = nnx.state(model)
    wanted = {name: leaf.shape for name, leaf in flatten(state).items()}
    given = {name: leaf.shape for name, leaf in arrays.items()}
    if wanted != given:
        raise RunError(f"parameters do not fit the model: expected {wanted}, found {given}.")
    pairs = [
        (path, leaf.replace(jax.numpy.asarray(arrays[".".join(map(str, path))])))
        for path, leaf in nnx.to_flat_state(state)
    ]
    nnx.update(model, nnx.from_flat_state(pairs))


def save_checkpoint(path: Path, state: Any, identity: Any, history: list[dict[str, Any]]) -> None:
    """Write a training state in one step, so that a kill leaves the last checkpoint or this one."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(state)]
    arrays = {f"{number:04d}": leaf for number, leaf in enumerate(leaves)}
    for epoch, record in enumerate(history):
        arrays |= {f"history.{epoch:04d}.{name}": value for name, value in record.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, save(_contiguous(arrays), {"identity": json.dumps(identity)}))


def load_checkpoint(path: Path, like: Any, identity: Any) -> tuple[Any, list[dict[str, Any]]]:
    """Read a training state back.

    Args:
        path: the checkpoint.
        like: a state of the same tree and shapes.
        identity: what the run is; must equal what the checkpoint was written with.

    Returns:
        The state, and the history of the epochs that ended.

    Raises:
        RunError: if the file is damaged, or belongs to another run.
    """
    arrays, metadata = _read_arrays(path)
    if json.loads(metadata.get("identity", "null")) != json.loads(json.dumps(identity)):
        raise RunError(
            f"checkpoint {path} belongs to another run: remove it, or name another file."
        )
    leaves, tree = jax.tree.flatten(like)
    found = [arrays.get(f"{number:04d}", np.empty(0)) for number in range(len(leaves))]
    if [leaf.shape for leaf in found] != [leaf.shape for leaf in leaves]:
        raise RunError(f"checkpoint {path} belongs to another model: remove it, or name another.")
    history: dict[int, dict[str, Any]] = {}
    for name in arrays:
        if name.startswith("history."):
            _, epoch, metric = name.split(".", 2)
            history.setdefault(int(epoch), {})[metric] = arrays[name]
    state = jax.tree.unflatten(tree, [jax.numpy.asarray(leaf) for leaf in found])
    return state, [history[epoch] for epoch in sorted(history)]


def write(path: Path, content: bytes) -> None:
    """Write a file aside and rename it, so that no half-written file ever has its name."""
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _save(manifest: Path, files: dict[str, Arrays], facts: dict[str, Any]) -> None:
    """Write files of arrays, then the manifest that holds facts about them and their sha256."""
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.unlink(missing_ok=True)
    contents = {name: save(_contiguous(arrays)) for name, arrays in files.items()}
    for name, content in contents.items():
        write(manifest.parent / name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    document = {"format": FORMAT, **facts, "sha256": digests}
    write(manifest, (json.dumps(document, indent=1) + "\n").encode())


def _load(manifest: Path, fields: set[str], file: str) -> tuple[dict[str, Any], dict[str, Arrays]]:
    """Read a manifest that must hold some fields and name a file, and the files of arrays."""
    document = _read_json(manifest)
    digests = document.get("sha256")
    known = document.get("format") == FORMAT and fields <= document.keys()
    if not known or not isinstance(digests, dict) or file not in digests:
        raise RunError(f"{manifest} is not a manifest of format {FORMAT}: restore it.")
    folder = manifest.parent
    return document, {name: _read_checked(folder / name, d) for name, d in digests.items()}


def _contiguous(arrays: Arrays) -> Arrays:
    return {name: np.asarray(array, order="C") for name, array in arrays.items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read as JSON ({error}): restore the run.") from error
    return document if isinstance(document, dict) else {}


def _read_checked(path: Path, digest: str) -> Arrays:
    if not path.is_file():
        raise RunError(f"{path} is missing: restore the run.")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise RunError(f"{path} is damaged: expected sha256 {digest}, found {found}; restore it.")
    return _read_arrays(path)[0]


def _read_arrays(path: Path) -> tuple[Arrays, dict[str, str]]:
    try:
        with safe_open(path, framework="numpy") as stored:
            names = stored.keys()
            return {name: stored.get_tensor(name) for name in names}, stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} is no safetensors file, or is damaged ({error}).") from error


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (
            "-modified" if git("status", "--porcelain", "lib") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def command_line() -> str:
    """Return the command that this process was started with, as a user would type it."""
    module = getattr(sys.modules.get("__main__"), "__spec__", None)
    head = f"python -m {module.name}" if module else Path(sys.argv[0]).name
    return " ".join([head, *sys.argv[1:]])
