"""Operators and orders of ONNX.

``W`` (direction, gates * hidden, feature), ``R`` (direction, gates * hidden, hidden) and ``B``
(direction, 2 * gates * hidden), gates one upon another: i, o, f, c of an LSTM; z, r, h of a GRU, of
which ``linear_before_reset`` says whether the reset gate comes after the product.

Reference:
    ONNX operators ``LSTM``, ``GRU``, ``RNN``, ``Gemm`` and ``MatMul``.
"""

from typing import Any

import numpy as np

from rnnatomy.networks.foreign import found
from rnnatomy.networks.foreign.raw import ForeignError, Raw
from rnnatomy.store.disk import brief

ORDER = {"LSTM": "iofg", "GRU": "zrn", "RNN": "h"}

USUAL = {
    "LSTM": ("sigmoid", "tanh", "tanh"),
    "GRU": ("sigmoid", "tanh"),
    "RNN": ("tanh",),
}
"""Activations that an operator has if it names none, and that are known here."""

AVERAGES = {"ReduceMean": "mean", "ReduceMax": "max"}

MADE = {"Softmax": "softmax", "LogSoftmax": "log-softmax", "Sigmoid": "sigmoid"}

PLAIN = {
    "Transpose", "Squeeze", "Unsqueeze", "Reshape", "Slice", "Gather", "Concat", "Shape", "Cast",
    "Constant", "ConstantOfShape", "Expand", "Identity", "Flatten", "Dropout", "Split", "Add",
    "MatMul", "Gemm", "Size", "Mul", "Div", "Sub", "Range", "Where", "Equal",
}  # fmt: skip
"""Operators that move numbers or prepare shapes, and those of a readout."""


def find(raw: Raw) -> found.Found:
    """Find the recurrent layers and what may read them.

    Raises:
        ForeignError: if there are none, or they do what is not known here.
    """
    nodes = raw.config["nodes"]
    recurrent = [node for node in nodes if node["op"] in ORDER]
    kinds = {node["op"] for node in recurrent}
    if len(kinds) != 1:
        held = ", ".join(sorted(kinds)) or "none"
        raise ForeignError(f"recurrent operators of one kind are read (found: {held}): give such.")
    others = sorted({node["op"] for node in nodes} - PLAIN - set(ORDER) - {*AVERAGES, *MADE})
    layers = [_layer(node, raw.arrays) for node in recurrent]
    ahead = tuple(layer[0] for _, layer in layers)
    back = tuple(layer[1] for _, layer in layers if len(layer) == 2) or None
    width = found.check_chain(ahead, back)
    ends, norms, _ = found.fitting(_heads(nodes, raw.arrays), [], width, ())
    reads = tuple(AVERAGES[node["op"]] for node in nodes if node["op"] in AVERAGES)
    made = tuple(MADE[node["op"]] for node in nodes if node["op"] in MADE) or ("logits",)
    return found.Found(
        (layers[0][0],), ahead, back, ends, norms,
        reads=reads or ("last", "each", "ends"), outputs=made,
        unread=tuple(f"operator {name}" for name in others),
    )  # fmt: skip


def _layer(node: dict[str, Any], arrays: dict[str, np.ndarray]) -> tuple[str, list[found.Weights]]:
    """Return the kind of a recurrent operator, and the arrays of each direction."""
    op, attributes = node["op"], node["attributes"]
    kind = _kind(node)
    names = (*node["inputs"], *[""] * 8)[:8]
    W, R = (_array(names[k], arrays, 3) for k in (1, 2))
    gates = len(ORDER[op])
    B = _array(names[3], arrays, 2) if names[3] else np.zeros((len(W), 2 * R.shape[1]))
    if names[7] and np.any(_array(names[7], arrays, 2)):
        raise ForeignError("the LSTM has peepholes: give one without.")
    for name in names[5:7]:
        if name in arrays and np.any(arrays[name]):
            raise ForeignError("the recurrent layer starts from a state that is not zero: give one "
                               "that starts from zero.")  # fmt: skip
    directions = {"forward": 1, "bidirectional": 2}.get(attributes.get("direction", "forward"), 0)
    if len(W) != directions or len(R) != directions or B.shape != (directions, 2 * R.shape[1]):
        raise ForeignError(
            f"an {op} has arrays of {W.shape}, {R.shape} and {B.shape} for direction "
            f"{brief(attributes.get('direction', 'forward'), 20)}: forward and bidirectional ones "
            "are read."
        )
    halves = [np.split(one, 2) for one in B]
    return kind, [
        found.weights(kind if kind != "elman-relu" else "elman", W[k].T, R[k].T, *halves[k],
                      order=ORDER[op][:gates])
        for k in range(directions)
    ]  # fmt: skip


def _kind(node: dict[str, Any]) -> str:
    """Return the kind of a recurrent operator, if its activations are known here."""
    op, attributes = node["op"], node["attributes"]
    names = [str(name).lower() for name in attributes.get("activations") or USUAL[op]]
    once = tuple(names[: len(USUAL[op])])
    relu = op == "RNN" and once == ("relu",)
    if (once != USUAL[op] and not relu) or tuple(names) not in (once, once * 2):
        raise ForeignError(
            f"an {op} has activations {brief(names)}: {', '.join(USUAL[op])} are known here."
        )
    for name in ("clip", "input_forget", "layout"):
        if attributes.get(name):
            raise ForeignError(f"an {op} has {name}: export it without.")
    if op == "GRU":
        return "gru" if attributes.get("linear_before_reset") else "gru-before"
    return "lstm" if op == "LSTM" else "elman-relu" if relu else "elman"


def _array(name: str, arrays: dict[str, np.ndarray], axes: int) -> np.ndarray:
    array = arrays.get(name)
    if array is None or array.ndim != axes:
        raise ForeignError(
            f"{brief(name, 40)} is no array of {axes} axes that stands in the file: export the "
            "network with its weights as constants."
        )
    return array


def _heads(nodes: list[dict[str, Any]], arrays: dict[str, np.ndarray]) -> list[found.Head]:
    """Return the linear maps: Gemm, or MatMul with what is added to it."""
    heads = []
    for node in nodes:
        if node["op"] not in ("Gemm", "MatMul"):
            continue
        kernel = next((arrays[n] for n in node["inputs"][1:2] if n in arrays), None)
        if kernel is None or kernel.ndim != 2:
            continue
        attributes = node["attributes"]
        if attributes.get("transB"):
            kernel = kernel.T
        given = next((arrays[n] for n in node["inputs"][2:3] if n in arrays), None)
        bias = _added(node, nodes, arrays) if given is None else given
        scale = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
        zero = np.zeros(kernel.shape[1])
        bias = zero if bias is None or bias.shape != zero.shape else bias * scale[1]
        heads.append(found.Head(node["name"] or node["outputs"][0], kernel * scale[0], bias))
    return heads


def _added(
    node: dict[str, Any], nodes: list[dict[str, Any]], arrays: dict[str, np.ndarray]
) -> np.ndarray | None:
    """Return what is added to a product, if it stands in the file."""
    for other in nodes:
        if other["op"] == "Add" and set(other["inputs"]) & set(node["outputs"]):
            return next((arrays[name] for name in other["inputs"] if name in arrays), None)
    return None
