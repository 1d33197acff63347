"""Names and orders of Flax, linen and NNX.

Linen's ``LSTMCell`` and ``OptimizedLSTMCell``, and NNX's ``LSTMCell``, keep a kernel for each gate:
``ii``, ``if``, ``ig``, ``io`` read the frame, ``hi`` and so on the hidden state, with the bias. A
linen ``GRUCell`` has ``ir``, ``iz``, ``in`` with biases, ``hr``, ``hz`` without, ``hn`` with one.
NNX's ``OptimizedLSTMCell``, ``GRUCell`` and ``SimpleCell`` keep gates side by side in ``dense_i``
and ``dense_h``; linen's ``SimpleCell`` has ``i`` and ``h``. Kernels are (in, out).

Reference:
    Documentation and sources of ``flax.linen`` and ``flax.nnx``, recurrent cells.
"""

import re
from collections.abc import Mapping

import numpy as np

from rnnatomy.networks.foreign import found
from rnnatomy.networks.foreign.raw import ForeignError, Raw
from rnnatomy.store.disk import brief

ENDS = r"(?:[ih][ifgorzn]_?|dense_[ih]|[ih])[./](?:kernel|bias)"
"""How the names of a cell's arrays end; NNX writes ``if_``, as ``if`` is a word of Python."""

Group = dict[str, np.ndarray]
"""Arrays of one cell by the ends of their names."""


def holds(arrays: Mapping[str, np.ndarray]) -> bool:
    """Say whether arrays have Flax's names."""
    return bool(_cells(found.grouped(arrays, ENDS)))


def find(raw: Raw) -> found.Found:
    """Find the recurrent layers and what may read them.

    Raises:
        ForeignError: if there are none, or they are of a kind that is not known here.
    """
    groups = _cells(found.grouped(raw.arrays, ENDS))
    taken = {id(array) for group in groups.values() for array in group.values()}
    rest = {name: array for name, array in raw.arrays.items() if id(array) not in taken}
    layers = {name: _layer(name, group) for name, group in groups.items()}
    kinds = {kind for kind, _ in layers.values()}
    if len(kinds) > 1:
        raise ForeignError(f"layers of several kinds ({', '.join(sorted(kinds))}): give one kind.")
    backwards = [name for name in layers if "backward" in name.lower()]
    ahead = tuple(layers[name][1] for name in layers if name not in backwards)
    back = tuple(layers[name][1] for name in backwards) or None
    width = found.check_chain(ahead, back)
    heads, norms, others = _rest(rest)
    ends, stands, unread = found.fitting(heads, norms, width, others)
    kind = kinds.pop()
    allowed = ("elman", "elman-relu") if kind == "elman" else (kind,)
    return found.Found(allowed, ahead, back, ends, stands, unread=unread)


def _cells(groups: dict[str, Group]) -> dict[str, Group]:
    """Return the groups that are cells: they read a frame and a hidden state."""
    found_cells = {}
    for name, group in groups.items():
        plain = {re.sub("_?[./]", ".", end): array for end, array in group.items()}
        reads = {end[0] if end[1] in "ifgorzn." else end[6] for end in plain if "kernel" in end}
        if reads >= {"i", "h"}:
            found_cells[name] = plain
    return found_cells


def _layer(name: str, group: Group) -> tuple[str, found.Weights]:
    """Return the kind and the arrays of one cell."""
    if "dense_h.kernel" in group:
        return _side_by_side(group, "dense_i", "dense_h")
    if "h.kernel" in group:
        return _side_by_side(group, "i", "h")
    gates = {end[1] for end in group}
    kind = {frozenset("ifgo"): "lstm", frozenset("rzn"): "gru"}.get(frozenset(gates))
    if kind is None:
        raise ForeignError(
            f"{brief(name, 40)} has gates {', '.join(sorted(gates))}: known are i, f, g, o of an "
            "LSTM and r, z, n of a GRU."
        )
    return kind, found.weights(kind, *(_joined(name, group, kind, side) for side in ("i", "h")),
                               *(_biases(group, kind, side) for side in ("i", "h")))  # fmt: skip


def _side_by_side(group: Group, read: str, kept: str) -> tuple[str, found.Weights]:
    W, R = group[f"{read}.kernel"], group[f"{kept}.kernel"]
    gates = R.shape[1] // R.shape[0] if R.ndim == 2 and R.shape[0] else 0
    if gates not in found.KINDS:
        raise ForeignError(
            f"a recurrent kernel has shape {R.shape}: an LSTM has 4 columns for each unit, a GRU "
            "3, a simple cell 1."
        )
    biases = (group.get(f"{read}.bias"), group.get(f"{kept}.bias"))
    return found.KINDS[gates], found.weights(found.KINDS[gates], W, R, *biases)


def _joined(name: str, group: Group, kind: str, side: str) -> np.ndarray:
    names = [f"{side}{gate}.kernel" for gate in found.ORDER[kind]]
    missing = [one for one in names if one not in group]
    if missing:
        raise ForeignError(f"{brief(name, 40)} lacks {', '.join(missing)}: save it whole.")
    kernels = [group[one] for one in names]
    if len({kernel.shape for kernel in kernels}) > 1 or kernels[0].ndim != 2:
        shapes = ", ".join(str(kernel.shape) for kernel in kernels)
        raise ForeignError(f"the kernels of {brief(name, 40)} have shapes {shapes}: expected one.")
    return np.concatenate(kernels, axis=1)


def _biases(group: Group, kind: str, side: str) -> np.ndarray:
    gates = found.ORDER[kind]
    hidden = group[f"h{gates[0]}.kernel"].shape[1]
    return np.concatenate([group.get(f"{side}{gate}.bias", np.zeros(hidden)) for gate in gates])


def _rest(
    arrays: Mapping[str, np.ndarray],
) -> tuple[list[found.Head], list[found.Norm], list[str]]:
    """Sort all other arrays into linear maps, normalisations and what is neither."""
    heads, norms, others = [], [], []
    for name, group in found.grouped(arrays, ".*?(?:kernel|bias|scale|mean|var)").items():
        kernel, scale = group.get("kernel"), group.get("scale")
        bias = group.get("bias")
        if kernel is not None and kernel.ndim == 2:
            zero = np.zeros(kernel.shape[1])
            heads.append(found.Head(name, kernel, zero if bias is None else bias))
        elif scale is not None and scale.ndim == 1:
            offset = np.zeros(scale.shape) if bias is None else bias
            average = (group.get("mean"), group.get("var"))
            epsilon = 1e-6 if average[0] is None else 1e-5
            norms.append(found.Norm(name, scale, offset, epsilon, *average))
        else:
            others += [f"{name}.{end}" for end in group]
    return heads, norms, others
