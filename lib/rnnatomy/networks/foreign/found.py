"""What a weight file turns out to hold: recurrent layers, what may read them, what is not told.

Files say little. Where one does not tell what a network does, all that it may do is listed, the
likeliest first, and what the owner's own outputs prove is taken (``proof``).
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.store.disk import brief

OUTPUTS = ("logits", "softmax", "log-softmax", "sigmoid")
"""What a network may make of its readout's sums."""

KINDS = {4: "lstm", 3: "gru", 1: "elman"}
"""Kinds of cells by the number of matrices that read the hidden state."""

ORDER = {"lstm": "ifgo", "gru": "rzn", "gru-before": "rzn", "elman": "h"}
"""Gates of each kind in the order of this library."""

CELLS = {
    "lstm": ("lstm",),
    "gru": ("gru-two-biases",),
    "gru-before": ("gru-before",),
    "elman": ("elman",),
    "elman-relu": ("elman-relu",),
}
"""Cells of ``cells.CELLS`` by kind."""

Weights = dict[str, np.ndarray]
"""Arrays of one cell, by the names of ``cells``."""


class Head(NamedTuple):
    """A linear map that may be the readout.

    Attributes:
        name: in the file.
        kernel: (hidden, class).
        bias: (class,).
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray


class Norm(NamedTuple):
    """A normalisation of what the readout reads.

    Attributes:
        name: in the file.
        scale: (hidden,).
        offset: (hidden,).
        epsilon: added to the variance.
        mean: (hidden,), and ``variance``, over a training set; None: over the units of one state.
        variance: see ``mean``.
    """

    name: str
    scale: np.ndarray
    offset: np.ndarray
    epsilon: float
    mean: np.ndarray | None = None
    variance: np.ndarray | None = None


class Found(NamedTuple):
    """What a weight file holds, in the terms of this library.

    Attributes:
        kinds: what the cell may be, keys of ``CELLS``.
        ahead: the arrays of each layer.
        back: those of the cells that read backwards; None if there are none.
        heads: what may read the last layer.
        norms: what may stand before, None for nothing.
        reads: what may be read, of ``models.READS``.
        outputs: what may be made of the sums, of ``OUTPUTS``.
        unread: names of arrays that are no part of this.
        mask: frames of which every number is this are skipped; None: none is.
        notes: what was guessed, and from what, a sentence each.
    """

    kinds: tuple[str, ...]
    ahead: tuple[Weights, ...]
    back: tuple[Weights, ...] | None
    heads: tuple[Head, ...]
    norms: tuple[Norm | None, ...] = (None,)
    reads: tuple[str, ...] = ("last", "each", "ends", "mean", "max")
    outputs: tuple[str, ...] = OUTPUTS
    unread: tuple[str, ...] = ()
    mask: float | None = None
    notes: tuple[str, ...] = ()


def weights(
    kind: str,
    W: np.ndarray,
    R: np.ndarray,
    b: np.ndarray | None = None,
    d: np.ndarray | None = None,
    *,
    order: str | None = None,
) -> Weights:
    """Return the arrays of one cell by the names of ``cells``.

    Args:
        kind: of ``ORDER``.
        W: what gates read of a frame, (feature, gates * hidden), gates side by side.
        R: what they read of the hidden state, (hidden, gates * hidden).
        b: the bias beside W; None: zero.
        d: the bias beside R; None: zero.
        order: of the gates in these arrays, such as "zrn"; None: as of ``ORDER``.

    Raises:
        ForeignError: if the shapes do not fit each other.
    """
    gates = len(ORDER[kind])
    hidden = R.shape[0] if R.ndim == 2 else 0
    b, d = (np.zeros(gates * hidden) if bias is None else bias for bias in (b, d))
    wanted = {"R": (hidden, gates * hidden), "b": (gates * hidden,), "d": (gates * hidden,)}
    shapes = {"R": R.shape, "b": b.shape, "d": d.shape}
    if not hidden or W.ndim != 2 or W.shape[1] != gates * hidden or shapes != wanted:
        raise ForeignError(
            f"the arrays of a {kind} do not fit each other: for {hidden} units, kernels of "
            f"{W.shape} and {R.shape}, biases of {b.shape} and {d.shape}; save the layer anew."
        )
    ours = [(order or ORDER[kind]).index(gate) for gate in ORDER[kind]]
    W, R, b, d = (ordered(np.asarray(a, np.float32), ours) for a in (W, R, b, d))
    if kind == "lstm":
        return {"dense_i.kernel": W, "dense_h.kernel": R, "dense_h.bias": b + d}
    if kind == "gru":
        return {"dense_i.kernel": W, "dense_i.bias": b, "dense_h.kernel": R, "dense_h.bias": d}
    return {"dense_i.kernel": W, "dense_i.bias": b + d, "dense_h.kernel": R}


def ordered(array: np.ndarray, order: list[int]) -> np.ndarray:
    """Return an array whose last axis holds gates side by side, with them in another order."""
    blocks = np.split(array, len(order), axis=-1)
    return np.concatenate([blocks[k] for k in order], axis=-1)


def sizes(layer: Weights) -> tuple[int, int]:
    """Return the features that a cell reads, and its units."""
    return layer["dense_i.kernel"].shape[0], layer["dense_h.kernel"].shape[0]


def check_chain(ahead: tuple[Weights, ...], back: tuple[Weights, ...] | None) -> int:
    """Refuse layers that are no row of one kind, each reading what the one before gives.

    Args:
        ahead: cells that read forwards, one for each layer.
        back: those that read backwards; None if there are none.

    Returns:
        How many numbers the last layer gives.

    Raises:
        ForeignError: if they are not; or if there is no layer.
    """
    if not ahead:
        raise ForeignError("no recurrent layer was found: give a file with an LSTM, GRU or RNN.")
    every = [*ahead, *(back or ())]
    if len({(*layer, layer["dense_h.kernel"].shape[1] // sizes(layer)[1]) for layer in every}) > 1:
        raise ForeignError("the recurrent layers are of several kinds: give layers of one kind.")
    if back is not None and len(back) != len(ahead):
        raise ForeignError("some layers read both ways and some do not: give layers of one kind.")
    ways = 1 if back is None else 2
    for k, layer in enumerate(ahead):
        if back is not None and sizes(back[k]) != sizes(layer):
            raise ForeignError(
                f"layer {k} has {sizes(layer)} inputs and units forwards and {sizes(back[k])} "
                "backwards: both must be alike."
            )
        given = None if k == 0 else ways * sizes(ahead[k - 1])[1]
        if given is not None and sizes(layer)[0] != given:
            raise ForeignError(
                f"layer {k} reads {sizes(layer)[0]} numbers, but the layer before gives {given}: "
                "save layers that follow each other, with nothing between them."
            )
    return ways * sizes(ahead[-1])[1]


def fitting(
    heads: Iterable[Head], norms: Iterable[Norm], width: int, unread: Iterable[str]
) -> tuple[tuple[Head, ...], tuple[Norm | None, ...], tuple[str, ...]]:
    """Sort out which linear maps and normalisations may stand after layers of a width.

    Returns:
        The readouts, the normalisations, and the names of all that is not read.

    Raises:
        ForeignError: if no linear map fits; or if one is read by another, as in a perceptron.
    """
    heads, norms = list(heads), list(norms)
    fit = [head for head in heads if head.kernel.shape[0] == width]
    if not fit:
        shapes = ", ".join(f"{brief(h.name, 40)} {h.kernel.shape}" for h in heads[:6]) or "none"
        raise ForeignError(
            f"no linear layer reads the {width} numbers of the last recurrent layer (found: "
            f"{shapes}): a linear readout of the hidden state is needed."
        )
    ends = [head for head in fit if not _goes_on(head, heads)]
    if not ends:
        names = ", ".join(brief(head.name, 40) for head in heads[:6])
        raise ForeignError(
            f"the readout has several layers ({names}): the analyses need one linear readout of "
            "the hidden state; give the recurrent layers and the linear map that follows them."
        )
    stands = [norm for norm in norms if norm.scale.shape == (width,)]
    left = [head.name for head in heads if all(head is not end for end in ends)]
    left += [norm.name for norm in norms if all(norm is not one for one in stands)]
    # if a normalisation of this width is in the file, it is likelier used than not
    return tuple(ends), (*stands, None), (*left, *unread)


def _goes_on(head: Head, heads: list[Head]) -> bool:
    """Say whether another linear map may read what this one gives."""
    return any(
        other is not head and other.kernel.shape[0] == head.kernel.shape[1] for other in heads
    )


def natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts names as people count: "layer_2" before "layer_10"."""
    parts = re.split(r"(\d{1,9})", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def grouped(arrays: Mapping[str, np.ndarray], pattern: str) -> dict[str, dict[str, np.ndarray]]:
    """Collect arrays whose names end as a pattern says, by what comes before.

    Args:
        arrays: by name.
        pattern: a regular expression of the end, such as "weight|bias".

    Returns:
        Arrays by their ends, by the name before, without its last dot, in natural order.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    matcher = re.compile(rf"(?:(?P<stem>.*)[./])?(?P<end>{pattern})", re.DOTALL)
    for name in sorted(arrays, key=natural):
        match = matcher.fullmatch(name)
        if match:
            found.setdefault(match["stem"] or "", {})[match["end"]] = arrays[name]
    return found
