"""Layers and orders of Keras 3.

Arrays 0, 1 and 2 of a cell are ``kernel`` (feature, gates * units), ``recurrent_kernel`` and
``bias``, gates side by side: i, f, c, o of an LSTM; z, r, h of a GRU, whose reset gate comes after
the product if the bias has two rows (``reset_after``), else before. Arrays stand under the class of
their layer and a counter, such as "layers/lstm_1/cell/vars/0"; the config says what the layers do,
and in which order. A bare ``.weights.h5`` says neither.

Reference:
    Documentation and sources of ``keras.layers.LSTM``, ``GRU``, ``SimpleRNN``, and of
    ``keras.saving``.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnatomy.networks.foreign import found
from rnnatomy.networks.foreign.raw import ForeignError, Raw
from rnnatomy.store.disk import brief

ORDER = {"LSTM": "ifgo", "GRU": "zrn", "SimpleRNN": "h"}

SILENT = {
    "InputLayer", "Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout",
    "ActivityRegularization", "Flatten", "Reshape", "Identity", "Masking",
}  # fmt: skip
"""Layers that do nothing to a trained network's numbers."""

MASKS = {"NotEqual", "Any"}
"""Operations with which a functional model keeps track of masked frames."""

AVERAGES = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}

MADE = {
    "linear": "logits",
    "softmax": "softmax",
    "log_softmax": "log-softmax",
    "sigmoid": "sigmoid",
}

USUAL = {"activation": ("tanh",), "recurrent_activation": ("sigmoid",)}


class Layer(NamedTuple):
    """One layer of a config.

    Attributes:
        kind: its class, without what wraps it.
        config: its settings.
        arrays: by place, such as 0 or "forward 1".
        both_ways: whether it is wrapped to read both ways.
    """

    kind: str
    config: Mapping[str, Any]
    arrays: dict[str, np.ndarray]
    both_ways: bool = False


def find(raw: Raw) -> found.Found:
    """Find the recurrent layers and what may read them.

    Raises:
        ForeignError: if there are none, or a layer does what is not known here.
    """
    layers = _listed(raw.arrays) if raw.config is None else _told(raw.config, raw.arrays)
    recurrent = [layer for layer in layers if layer.kind in ORDER]
    if len({(layer.kind, layer.both_ways) for layer in recurrent}) != 1:
        kinds = ", ".join(layer.kind for layer in recurrent) or "none"
        raise ForeignError(f"recurrent layers of one kind are read (found: {kinds}): give such.")
    cell_kinds, sides = _kinds(recurrent, raw.config is None), _sides(recurrent)
    ahead, back = sides[0], sides[1] if recurrent[0].both_ways else None
    width = found.check_chain(ahead, back)
    after = layers[max(k for k, layer in enumerate(layers) if layer.kind in ORDER) + 1 :]
    heads = [_head(layer) for layer in layers if layer.kind == "Dense"]
    norms = [_norm(layer) for layer in after if layer.kind.endswith("Normalization")]
    ends, stands, unread = found.fitting(heads, norms, width, ())
    facts = found.Found(cell_kinds, ahead, back, ends, stands, unread=unread)
    if raw.config is None:
        note = "A .weights.h5 tells neither activations nor what is read: these are tried."
        return facts._replace(notes=(note,))
    return facts._replace(
        norms=stands[:1], reads=_reads(recurrent[-1], after), outputs=_outputs(after),
        mask=next((float(x.config.get("mask_value", 0)) for x in layers if x.kind == "Masking"),
                  None),
    )  # fmt: skip


def _told(config: Any, arrays: Mapping[str, np.ndarray]) -> list[Layer]:
    """Return the layers that a config tells, in their order, with their arrays."""
    inner = config.get("config") if isinstance(config, dict) else None
    listed = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise ForeignError("the config lists no layers: save a Sequential or functional model.")
    if any(entry.get("class_name") == "Masking" for entry in listed):
        listed = [entry for entry in listed if entry.get("class_name") not in MASKS]
    _check_chain(listed)
    counts: dict[str, int] = {}
    layers = []
    for entry in listed:
        name = entry.get("class_name")
        settings = entry.get("config")
        if not isinstance(name, str) or not isinstance(settings, dict):
            raise ForeignError("a layer of the config has no class or no settings: save it anew.")
        stem = _snake(name)
        place = f"{stem}_{counts[stem]}" if stem in counts else stem
        counts[stem] = counts.get(stem, 0) + 1
        layers.append(_layer(name, settings, place, arrays))
    return layers


def _check_chain(listed: list[dict[str, Any]]) -> None:
    """Refuse a functional model in which layers do not follow each other in a row."""
    for entry in listed:
        calls = entry.get("inbound_nodes")
        if isinstance(calls, list) and len(calls) > 1:
            name = brief(entry.get("name"), 40)
            raise ForeignError(f"layer {name} is called more than once: give a plain chain.")
    names = [_before(entry) for entry in listed]
    feeds = [name for before in names for name in before]
    if any(len(before) > 1 for before in names) or len(set(feeds)) != len(feeds):
        raise ForeignError("the model has branches: give one whose layers follow in a row.")


def _before(entry: Any) -> list[str]:
    """Return the names of layers that the config of a layer says it reads."""
    found_names, waiting = [], [entry.get("inbound_nodes")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            history = one.get("keras_history")
            if isinstance(history, list) and history:
                found_names.append(str(history[0]))
            else:
                waiting += [one[key] for key in ("args", "config") if key in one]
        elif isinstance(one, list):
            waiting += one
    return found_names


def _layer(
    name: str, settings: Mapping[str, Any], place: str, arrays: Mapping[str, np.ndarray]
) -> Layer:
    """Return a layer with its arrays, without what wraps it."""
    inside = settings.get("layer")
    wrapped = _table(inside)
    config = _table(wrapped.get("config"))
    if name == "TimeDistributed":
        return Layer(str(wrapped.get("class_name")), config, _held(arrays, f"{place}/layer"))
    if name == "Bidirectional":
        if settings.get("merge_mode") != "concat":
            raise ForeignError(
                f"a Bidirectional layer merges by {brief(settings.get('merge_mode'), 20)}: "
                "'concat' is read."
            )
        both = {
            f"{side} {key}": array
            for side in ("forward", "backward")
            for key, array in _held(arrays, f"{place}/{side}_layer").items()
        }
        return Layer(str(wrapped.get("class_name")), config, both, both_ways=True)
    known = {*ORDER, *SILENT, *AVERAGES, "Dense", "Activation", "Softmax"}
    if name not in known and not name.endswith("Normalization"):
        raise ForeignError(
            f"a layer {brief(name, 40)} is not read: give a model of recurrent layers and one "
            "Dense, fed with what they read."
        )
    return Layer(name, settings, _held(arrays, place))


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _held(arrays: Mapping[str, np.ndarray], place: str) -> dict[str, np.ndarray]:
    """Return the arrays of a layer by their place, "0", "1" and so on."""
    matcher = re.compile(rf"(?:.*/)?{re.escape(place)}/(?:cell/)?vars/(\d+)", re.DOTALL)
    matches = ((matcher.fullmatch(name), array) for name, array in arrays.items())
    return {match[1]: array for match, array in matches if match}


def _snake(name: str) -> str:
    """Return the name of a class as Keras writes it in a file: "SimpleRNN" is "simple_rnn"."""
    name = re.sub(r"\W+", "", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", name)).lower()


def _listed(arrays: Mapping[str, np.ndarray]) -> list[Layer]:
    """Return the layers that names of arrays tell, in the order of their counters."""
    classes = {_snake(name): name for name in (*ORDER, "Dense", "Bidirectional", "TimeDistributed",
               "BatchNormalization", "LayerNormalization")}  # fmt: skip
    places = []
    for name in sorted(arrays, key=found.natural):
        match = re.match(r"(?:.*/)?layers/([^/]+)/", name)
        if match and match[1] not in places:
            places.append(match[1])
    layers = []
    for place in places:
        stem = re.sub(r"_\d+$", "", place)
        kind = classes.get(stem)
        if kind == "Bidirectional":
            layers.append(_bare_both(place, arrays))
        elif kind == "TimeDistributed":
            layers.append(Layer("Dense", {}, _held(arrays, f"{place}/layer")))
        elif kind is not None:
            layers.append(Layer(kind, {}, _held(arrays, place)))
        else:
            raise ForeignError(
                f"a layer {brief(place, 40)} is not read: give a model of recurrent layers and one "
                "Dense, or the .keras file, which tells what layers do."
            )
    return sorted(layers, key=lambda layer: layer.kind not in ORDER)  # these come first


def _bare_both(place: str, arrays: Mapping[str, np.ndarray]) -> Layer:
    both = {
        f"{side} {key}": array
        for side in ("forward", "backward")
        for key, array in _held(arrays, f"{place}/{side}_layer").items()
    }
    kernel, recurrent = both.get("forward 0"), both.get("forward 1")
    if kernel is None or recurrent is None or recurrent.ndim != 2 or not recurrent.shape[0]:
        raise ForeignError(f"{brief(place, 40)} holds no recurrent layer both ways.")
    gates = {4: "LSTM", 3: "GRU"}.get(recurrent.shape[1] // recurrent.shape[0], "SimpleRNN")
    return Layer(gates, {}, both, both_ways=True)


def _kinds(layers: list[Layer], bare: bool) -> tuple[str, ...]:
    """Return what the cells may be, if their settings are known here."""
    kind = layers[0].kind
    if bare and kind == "SimpleRNN":
        return "elman", "elman-relu"
    relu = kind == "SimpleRNN" and all(x.config.get("activation") == "relu" for x in layers)
    for layer in layers:
        for name, known in USUAL.items():
            value = layer.config.get(name, known[0])
            if value not in known and not relu:
                raise ForeignError(
                    f"a {layer.kind} has {name} {brief(value, 40)}: {', '.join(known)} is known."
                )
        if layer.config.get("go_backwards"):
            raise ForeignError(f"a {layer.kind} reads backwards alone (go_backwards): turn inputs.")
    if kind == "GRU":
        after = {_reset_after(layer) for layer in layers}
        if len(after) > 1:
            raise ForeignError("some GRU layers have reset_after and some have not: give one kind.")
        return ("gru",) if after.pop() else ("gru-before",)
    return ("lstm",) if kind == "LSTM" else ("elman-relu",) if relu else ("elman",)


def _reset_after(layer: Layer) -> bool:
    """Say whether the reset gate of a GRU comes after the product."""
    bias = layer.arrays.get("2", layer.arrays.get("forward 2"))
    if bias is not None:
        return bias.ndim == 2
    return bool(layer.config.get("reset_after", True))


def _sides(layers: list[Layer]) -> list[tuple[found.Weights, ...]]:
    """Return the arrays of the layers that read forwards, and of those that read backwards."""
    sides = ("forward ", "backward ") if layers[0].both_ways else ("",)
    return [tuple(_weights(layer, side) for layer in layers) for side in sides]


def _weights(layer: Layer, side: str) -> found.Weights:
    kernel, recurrent, bias = (layer.arrays.get(f"{side}{k}") for k in range(3))
    if kernel is None or recurrent is None:
        raise ForeignError(f"a {layer.kind} has no kernels in the file: save the model after use.")
    kind = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "elman"}[layer.kind]
    first, second = (bias, None) if bias is None or bias.ndim == 1 else (bias[0], bias[-1])
    if kind == "gru" and not _reset_after(layer):
        kind = "gru-before"
    return found.weights(kind, kernel, recurrent, first, second, order=ORDER[layer.kind])


def _head(layer: Layer) -> found.Head:
    kernel, bias = layer.arrays.get("0"), layer.arrays.get("1")
    if kernel is None or kernel.ndim != 2:
        raise ForeignError("a Dense layer has no kernel in the file: save the model after use.")
    zero = np.zeros(kernel.shape[1])
    return found.Head(
        str(layer.config.get("name", "dense")), kernel, zero if bias is None else bias
    )


def _norm(layer: Layer) -> found.Norm:
    """Return a normalisation: arrays are scale and offset, then mean and variance, if any."""
    given = [layer.arrays[key] for key in sorted(layer.arrays, key=int)]
    epsilon = layer.config.get("epsilon", 1e-3)
    average = given[-2:] if layer.kind == "BatchNormalization" else []
    given = given[: len(given) - len(average)]
    if layer.kind not in ("BatchNormalization", "LayerNormalization") or len(given) != 2:
        raise ForeignError(
            f"a {layer.kind} of {len(given)} arrays is not read: give one with scale and offset."
        )
    name = str(layer.config.get("name", layer.kind))
    return found.Norm(name, given[0], given[1], float(epsilon), *(average or (None, None)))


def _reads(last: Layer, after: list[Layer]) -> tuple[str, ...]:
    """Return what the readout reads, as the config tells."""
    averages = [AVERAGES[layer.kind] for layer in after if layer.kind in AVERAGES]
    if averages:
        return tuple(averages)
    return ("each",) if last.config.get("return_sequences") else ("ends",)


def _outputs(after: list[Layer]) -> tuple[str, ...]:
    """Return what is made of the readout's sums, as the config tells."""
    names = []
    for layer in after:
        if layer.kind == "Softmax":
            names.append("softmax")
        elif layer.kind in ("Dense", "Activation"):
            names.append(str(layer.config.get("activation", "linear")))
    names = [name for name in names if name != "linear"] or ["linear"]
    unknown = [name for name in names if name not in MADE]
    if unknown or len(names) > 1:
        raise ForeignError(
            f"the readout's sums go through {brief(', '.join(names), 40)}: one of "
            f"{', '.join(MADE)} is read."
        )
    return (MADE[names[0]],)
