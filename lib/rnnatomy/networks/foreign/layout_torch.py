"""Names and orders of PyTorch's state_dict.

``weight_ih_l0`` (gates * hidden, feature) and ``weight_hh_l0``, gates one upon another: i, f, g, o
of an LSTM; r, z, n of a GRU, whose reset gate comes after the product; two biases. ``_reverse``
ends the names of the cells that read backwards. An ``LSTMCell`` has the same names without ``_l0``.

Reference:
    Documentation of ``torch.nn.LSTM``, ``GRU``, ``RNN`` and ``LSTMCell``.
"""

import re
from collections.abc import Mapping

import numpy as np

from rnnatomy.networks.foreign import found
from rnnatomy.networks.foreign.raw import ForeignError, Raw
from rnnatomy.store.disk import brief

RECURRENT = r"(?P<what>(?:weight|bias)_(?:ih|hh|hr))(?:_l(?P<layer>\d{1,4}))?(?P<back>_reverse)?"


def holds(arrays: Mapping[str, np.ndarray]) -> bool:
    """Say whether arrays have PyTorch's names."""
    return any(re.search(r"(^|\.)weight_hh(_l\d+)?(_reverse)?$", name) for name in arrays)


def find(raw: Raw) -> found.Found:
    """Find the recurrent layers and what may read them.

    Raises:
        ForeignError: if there are none, or they are of a kind that is not known here.
    """
    layers, rest = _layers(raw.arrays)
    ahead = tuple(layer for (_, back), layer in layers if not back)
    back = tuple(layer for (_, back), layer in layers if back) or None
    width = found.check_chain(ahead, back)
    heads, norms, others = _rest(rest)
    ends, stands, unread = found.fitting(heads, norms, width, others)
    kind = _kind(ahead[-1])
    kinds = ("elman", "elman-relu") if kind == "elman" else (kind,)
    return found.Found(kinds, ahead, back, ends, stands, unread=unread)


def _layers(
    arrays: Mapping[str, np.ndarray],
) -> tuple[list[tuple[tuple[str, bool], found.Weights]], dict[str, np.ndarray]]:
    """Return each layer by the place in its module and its direction; and all other arrays."""
    groups: dict[tuple[str, int, bool], dict[str, np.ndarray]] = {}
    rest = {}
    matcher = re.compile(rf"(?:(?P<stem>.*)\.)?{RECURRENT}", re.DOTALL)
    for name, array in arrays.items():
        match = matcher.fullmatch(name)
        if match is None:
            rest[name] = array
            continue
        place = (match["stem"] or "", int(match["layer"] or 0), match["back"] is not None)
        groups.setdefault(place, {})[match["what"]] = array
    places = sorted(groups, key=lambda place: (found.natural(place[0]), place[1:]))
    return [((place[0], place[2]), _layer(place[0], groups[place])) for place in places], rest


def _layer(name: str, arrays: Mapping[str, np.ndarray]) -> found.Weights:
    quoted = brief(name or "the recurrent layer", 40)
    if "weight_hr" in arrays:
        raise ForeignError(
            f"{quoted} has projections (proj_size): give an LSTM without; a projected state is no "
            "state of its cell."
        )
    missing = {"weight_ih", "weight_hh"} - set(arrays)
    if missing:
        raise ForeignError(f"{quoted} lacks {' and '.join(sorted(missing))}: save it whole.")
    W, R = arrays["weight_ih"], arrays["weight_hh"]
    gates = R.shape[0] // R.shape[1] if R.ndim == 2 and R.shape[1] else 0
    if gates not in found.KINDS or R.shape[0] != gates * R.shape[1]:
        raise ForeignError(
            f"{quoted} has weight_hh of shape {R.shape}: an LSTM has 4 rows for each unit, a GRU "
            "3, an RNN 1."
        )
    biases = (arrays.get("bias_ih"), arrays.get("bias_hh"))
    return found.weights(found.KINDS[gates], W.T, R.T, *biases)


def _kind(layer: found.Weights) -> str:
    hidden, columns = layer["dense_h.kernel"].shape
    return found.KINDS[columns // hidden]


def _rest(
    arrays: Mapping[str, np.ndarray],
) -> tuple[list[found.Head], list[found.Norm], list[str]]:
    """Sort all other arrays into linear maps, normalisations and what is neither."""
    heads, norms, others = [], [], []
    ends = "weight|bias|running_mean|running_var|num_batches_tracked"
    groups = found.grouped(arrays, ends)
    for name, group in groups.items():
        weight = group.get("weight")
        shape = () if weight is None else weight.shape
        bias = group.get("bias", np.zeros(shape[:1]))
        if weight is not None and len(shape) == 2 and bias.shape == shape[:1]:
            heads.append(found.Head(name, weight.T, bias))
        elif weight is not None and len(shape) == 1 and bias.shape == shape:
            average = (group.get("running_mean"), group.get("running_var"))
            norms.append(found.Norm(name, weight, bias, 1e-5, *average))
        else:
            others += [f"{name}.{end}" for end in group]
    known = {f"{name}.{end}" if name else end for name, group in groups.items() for end in group}
    return heads, norms, [*others, *(name for name in arrays if name not in known)]
