"""A weight file in, a network of ``models`` out, with the proof that it is the owner's."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnatomy.networks import models
from rnnatomy.networks.foreign import (
    flat,
    found,
    keras,
    layout_flax,
    layout_keras,
    layout_onnx,
    layout_torch,
    onnx_file,
    owner,
    proof,
    pt,
    raw,
    ways,
)
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.store.disk import brief

READERS: dict[str, Callable[[Path], raw.Raw]] = {
    ".safetensors": flat.read_safetensors,
    ".pt": pt.read,
    ".pth": pt.read,
    ".ckpt": pt.read,
    ".keras": keras.read,
    ".h5": keras.read,
    ".onnx": onnx_file.read,
    ".msgpack": flat.read_msgpack,
}
"""Readers of weight files by the end of the name."""


class Foreign(NamedTuple):
    """A network from elsewhere.

    Attributes:
        network: as one of ours.
        proof: how well it gives its owner's outputs.
        what: what the file holds.
        kind: of the file, such as "PyTorch, as safetensors".
        data: the owner's sequences; None if none were given.
        notes: what was guessed or left unread, a sentence each.
    """

    network: models.Stacked
    proof: proof.Proof
    what: found.Found
    kind: str
    data: owner.Owner | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        """Say what it is, and how it is proved."""
        config = self.network.config
        units = " and ".join(map(str, config["hidden"]))
        ways_on = ", both ways" * config["both_ways"]
        return (
            f"<{self.kind}: {config['cell']} of {units} units{ways_on}, {config['feature']} "
            f"numbers in a frame, {config['classes']} outputs. {self.proof}>"
        )


def load(
    path: str | Path,
    data: str | Path | Mapping[str, Any] | None = None,
    choices: ways.Choices | None = None,
) -> Foreign:
    """Load a trained network from a weight file, and prove that it is read as its owner runs it.

    Nothing in the files is run, and the framework that wrote them is not needed.

    Args:
        path: of the weights: ``.safetensors``, ``.pt``, ``.pth``, ``.ckpt``, ``.keras``,
            ``.weights.h5``, ``.onnx`` or ``.msgpack``.
        data: path of an ``.npz`` with ``inputs`` and, for the proof, ``outputs``, see
            ``owner.read``; or these arrays by name, of NumPy, JAX or PyTorch, see ``owner.take``.
        choices: what the files do not tell and the owner does.

    Raises:
        ForeignError: if a file cannot be taken, or the owner's outputs do not come out.
    """
    held = read(Path(path))
    what = find(held)
    given = None if data is None else _given(data)
    notes = [*what.notes]
    if what.unread:
        names = ", ".join(brief(name, 40) for name in what.unread[:8])
        notes.append(f"Not read, as no part of a recurrent layer or its readout: {names}.")
    if given is None or given.outputs is None:
        network, shown = proof.unproved(what, choices)
        return Foreign(network, shown, what, _kind(held), given, tuple(notes))
    feature = found.sizes(what.ahead[0])[0]
    if given.inputs.shape[2] != feature:
        left = f" (not read: {', '.join(what.unread[:6])})" if what.unread else ""
        raise ForeignError(
            f"inputs have {given.inputs.shape[2]} numbers in a frame, the first recurrent layer "
            f"reads {feature}: give inputs as they come to that layer{left}."
        )
    if what.mask is not None:
        given, told = masked(given, what.mask)
        notes += told
    outputs = np.asarray(given.outputs)
    examples = proof.Examples(given.inputs, given.lengths, outputs)
    network, shown = proof.prove(what, examples, choices, _tolerance(held))
    return Foreign(network, shown, what, _kind(held), given, (*notes, *given.notes))


def _given(data: str | Path | Mapping[str, Any]) -> owner.Owner:
    return owner.read(Path(data)) if isinstance(data, str | Path) else owner.take(data)


def read(path: Path) -> raw.Raw:
    """Read a weight file.

    Args:
        path: its name's end tells the format.

    Raises:
        ForeignError: if the format is unknown, or the file cannot be taken.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ForeignError(
            f"{path.name!r} is of no known format: give {', '.join(READERS)}, with weights alone."
        )
    return reader(path)


def find(held: raw.Raw) -> found.Found:
    """Find the recurrent layers in what a weight file holds.

    Args:
        held: from ``read``.

    Raises:
        ForeignError: if there are none that are known here.
    """
    layout = _layout(held)
    try:
        return layout(held)
    except ForeignError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        raise ForeignError(
            f"{held.path.name!r} is not as its format has it ({brief(str(error))}): save it anew."
        ) from error


def _layout(held: raw.Raw) -> Callable[[raw.Raw], found.Found]:
    """Return what knows the names of a file."""
    if held.kind in ("ONNX", "Keras"):
        return {"ONNX": layout_onnx.find, "Keras": layout_keras.find}[held.kind]
    if layout_torch.holds(held.arrays):
        return layout_torch.find
    if layout_flax.holds(held.arrays):
        return layout_flax.find
    names = ", ".join(brief(name, 40) for name in list(held.arrays)[:6])
    raise ForeignError(
        f"{held.path.name!r} holds no recurrent layer by the names of PyTorch or Flax (it holds "
        f"{names}): give a state_dict of a network with an LSTM, GRU or RNN."
    )


def _kind(held: raw.Raw) -> str:
    """Return the framework whose names a file has, and its format if any may write it."""
    if held.kind != "safetensors":
        return held.kind
    return f"{'PyTorch' if layout_torch.holds(held.arrays) else 'Flax'}, as safetensors"


def _tolerance(held: raw.Raw) -> float:
    """Return how far outputs may differ, by the precision of the weights."""
    half = any(array.dtype.name in ("float16", "bfloat16") for array in held.arrays.values())
    return proof.HALF if half else proof.SINGLE


def masked(given: owner.Owner, value: float) -> tuple[owner.Owner, list[str]]:
    """Leave out frames of which every number is the one that a network skips.

    Args:
        given: the owner's sequences.
        value: what marks a frame to be skipped.

    Returns:
        The sequences without them, and what was done in a sentence.
    """
    counts = (given.inputs != np.float32(value)).any(axis=2)
    counts &= np.arange(counts.shape[1]) < given.lengths[:, None]
    if counts.sum() == given.lengths.sum():
        return given, []
    inputs, lengths = owner.compacted(given.inputs, counts)
    moved: dict[str, Any] = {"inputs": inputs, "lengths": lengths}
    for name, axes in (("outputs", 3), ("targets", 3), ("labels", 2)):
        array = getattr(given, name)
        if array is not None and array.ndim == axes:
            moved[name] = owner.front(array, counts[: len(array)])
    note = f"Frames of {value:g} alone are skipped, as the network's masking layer does."
    return given._replace(**moved), [note]
