"""Fixtures that Flax writes, with its two interfaces: linen and NNX."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cases as common
import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx, serialization, traverse_util
from safetensors.numpy import save_file

CELLS = {
    "LSTMCell": "lstm",
    "OptimizedLSTMCell": "lstm",
    "GRUCell": "gru",
    "SimpleCell": "elman",
}
"""Names of cells in both interfaces, and in ``cases.json``."""


class Linen(linen.Module):
    """Recurrent layers of one kind, and a readout of the last frame, or of each.

    Attributes:
        cell: name of the cell.
        layers: how many.
        each: whether each frame is read.
    """

    cell: str
    layers: int = 1
    each: bool = False

    @linen.compact
    def __call__(self, x, lengths=None):
        for _ in range(self.layers):
            cell = getattr(linen, self.cell)(common.HIDDEN)
            final, x = linen.RNN(cell, return_carry=True)(x, seq_lengths=lengths)
        hidden = jax.tree.leaves(final)[-1] if lengths is not None else x[:, -1]
        return linen.Dense(common.CLASSES)(x if self.each else hidden)


class NNX(nnx.Module):
    """The same with NNX."""

    def __init__(self, cell: str, layers: int, each: bool, rngs: nnx.Rngs):
        kind, H = getattr(nnx, cell), common.HIDDEN
        widths = [common.FEATURES] + [H] * layers
        for k in range(layers):
            name = "rnn" if layers == 1 else f"rnn{k + 1}"
            setattr(self, name, nnx.RNN(kind(widths[k], H, rngs=rngs), rngs=rngs))
        self.linear = nnx.Linear(H, common.CLASSES, rngs=rngs)
        self.layers, self.each = layers, each

    def __call__(self, x):
        for k in range(self.layers):
            x = getattr(self, "rnn" if self.layers == 1 else f"rnn{k + 1}")(x)
        return self.linear(x if self.each else x[:, -1])


def drawn(name: str, shapes: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Draw arrays by dotted path, in the order of their paths."""
    rng = common.generator(name)
    return {key: common.weights(rng, shapes[key].shape) for key in sorted(shapes)}


def described(file: str, data: str, interface: str, **told) -> dict:
    """Describe a case of Flax."""
    return common.case(file, data, f"Flax {interface}", flax.__version__, **told)


def of_linen(
    folder: Path, cell: str, suffix: str, layers=1, each=False, more="", lengths=None, **told
) -> dict:
    """Write a case with linen: flat safetensors, or the bytes of the tree of parameters."""
    name = f"linen-{cell.lower()}{more}"
    model, x = Linen(cell, layers, each), common.sequences(name)
    variables = model.init(jax.random.key(0), x)
    flat = drawn(name, traverse_util.flatten_dict(variables["params"], sep="."))
    params = traverse_util.unflatten_dict(flat, sep=".")
    outputs = model.apply({"params": jax.tree.map(jnp.asarray, params)}, x, lengths)
    arrays = {} if lengths is None else {"lengths": lengths}
    data = common.keep(folder, name, inputs=x, outputs=np.asarray(outputs), **arrays)
    if suffix == ".safetensors":
        save_file(flat, folder / (name + suffix))
    else:
        tree = {"params": params} if told.get("nested") else params
        (folder / (name + suffix)).write_bytes(serialization.to_bytes(tree))
    told |= {"cell": CELLS[cell], "layers": layers, "reads": "each" if each else "last"}
    return described(name + suffix, data, "linen", **told)


def of_nnx(folder: Path, cell: str, layers: int = 1, each: bool = False, more: str = "") -> dict:
    """Write a case with NNX: flat safetensors."""
    name = f"nnx-{cell.lower()}{more}"
    model = NNX(cell, layers, each, nnx.Rngs(0))
    state = nnx.to_flat_state(nnx.state(model, nnx.Param))
    flat = drawn(name, {".".join(map(str, path)): leaf for path, leaf in state})
    for path, leaf in state:
        leaf.set_value(jnp.asarray(flat[".".join(map(str, path))]))
    nnx.update(model, nnx.from_flat_state(state))
    x = common.sequences(name)
    data = common.keep(folder, name, inputs=x, outputs=np.asarray(model(x)))
    save_file(flat, folder / f"{name}.safetensors")
    told = {"cell": CELLS[cell], "layers": layers, "reads": "each" if each else "last"}
    return described(f"{name}.safetensors", data, "NNX", **told)


def cases(folder: Path) -> list[dict]:
    """Write all cases of Flax."""
    flat, tree = ".safetensors", ".msgpack"
    return [
        of_linen(folder, "LSTMCell", flat),
        of_linen(folder, "OptimizedLSTMCell", tree),
        of_linen(folder, "GRUCell", flat),
        of_linen(folder, "SimpleCell", tree, nested="params"),
        of_linen(folder, "GRUCell", tree, 2, True, "-2"),
        of_linen(folder, "OptimizedLSTMCell", flat, more="-lengths", lengths=common.LENGTHS),
        of_nnx(folder, "LSTMCell"),
        of_nnx(folder, "OptimizedLSTMCell"),
        of_nnx(folder, "GRUCell"),
        of_nnx(folder, "SimpleCell"),
        of_nnx(folder, "OptimizedLSTMCell", 2, True, "-2"),
    ]
