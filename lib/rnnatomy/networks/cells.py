"""Recurrent cells: one entry each, with all that a network or an analysis asks of a cell.

A cell is two things: arrays, kept by a Flax module that ``make`` draws, and a pure function
``step`` of these arrays by dotted path. A further cell needs an entry in ``CELLS``, nothing else:

    def step(p, h, x):
        return (h + jnp.tanh(x @ p["dense_i.kernel"] + h @ p["dense_h.kernel"])) / 2

    cells.CELLS["leaky"] = cells.gated(("h",), step)
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from rnnatomy.analysis.gates import GATES, SIDES
from rnnatomy.networks import sequences

Parameters = sequences.Parameters
"""Arrays of a cell by dotted path, such as "dense_h.kernel"."""

Matrices = Mapping[str, Any]
"""Matrices of a cell by side and gate, such as "recurrent f", each of shape (hidden, input)."""

Carry = Any
"""What a cell hands on from frame to frame: arrays (batch, hidden), as a tree."""


class Cell(NamedTuple):
    """What may be asked of a recurrent cell.

    Attributes:
        make: draws a Flax module with the arrays from (feature, hidden, rngs).
        step: gives the carry that follows from (parameters, carry, frame).
        hidden: gives the hidden state (batch, hidden) of a carry.
        state: gives all numbers of a carry in a row, (batch, copies * hidden), the hidden state
            last.
        carry: the inverse of ``state``.
        copies: arrays in a carry: 2 where a memory is kept beside the hidden state, else 1.
        gates: names of the gates, in the order of the kernels' columns; none if it has none.
        matrices: gives the matrices by side and gate from the parameters; None if it has none.
        with_matrices: gives the parameters with other matrices.
        sequence: does what a scan over ``step`` does, with a faster gradient, see ``sequences``;
            None: it is that scan.
        closed: gives, from the parameters and a readout's kernel (hidden, feature) and bias, the
            parameters of the same cell when it is fed what is read from its hidden state: then it
            takes frames of no features. None: there are none such, or they are no faster.
    """

    make: Callable[[int, int, nnx.Rngs], nnx.Module]
    step: Callable[[Parameters, Carry, Array], Carry]
    hidden: Callable[[Carry], Array] = lambda carry: carry
    state: Callable[[Carry], Array] = lambda carry: carry
    carry: Callable[[Array], Carry] = lambda state: state
    copies: int = 1
    gates: tuple[str, ...] = ()
    matrices: Callable[[Parameters], dict[str, Any]] | None = None
    with_matrices: Callable[[Parameters, Matrices], dict[str, Any]] | None = None
    sequence: sequences.Sequence | None = None
    closed: Callable[[Parameters, Array, Array], dict[str, Any]] | None = None


class Kernels(nnx.Module):
    """Arrays of a cell: one kernel for the frame and one for the hidden state, gates side by side.

    Args:
        feature: size of a frame.
        hidden: number of units.
        gates: how many.
        recurrent: whether there is a kernel for the hidden state.
        rngs: source of the initial parameters.
    """

    def __init__(
        self, feature: int, hidden: int, gates: int, *, recurrent: bool = True, rngs: nnx.Rngs
    ):
        self.dense_i = nnx.Linear(feature, gates * hidden, rngs=rngs)
        if recurrent:
            self.dense_h = nnx.Linear(
                hidden, gates * hidden, use_bias=False, kernel_init=orthogonal_gates, rngs=rngs
            )


def find(name: str) -> Cell:
    """Return a cell by name.

    Raises:
        ValueError: if there is no such cell.
    """
    if not isinstance(name, str) or name not in CELLS:
        raise ValueError(f"cell {name!r} is unknown: choose from {', '.join(CELLS)}.")
    return CELLS[name]


def initial_carry(cell: Cell, batch: int, hidden: int, dtype: Any = jnp.float32) -> Carry:
    """Return the carry before the first frame: zero."""
    return cell.carry(jnp.zeros((batch, cell.copies * hidden), dtype))


def unroll(
    cell: Cell, weights: nnx.Module, start: Carry, inputs: Float[Array, "batch time feature"]
) -> Float[Array, "batch time hidden"]:
    """Run a cell over sequences and keep every hidden state.

    Args:
        cell: the entry.
        weights: its arrays, as ``make`` gives them.
        start: the carry before the first frame.
        inputs: one sequence per row of the batch, at least one frame long.

    Returns:
        The hidden state after each frame.
    """
    return jnp.swapaxes(scan(cell, weights, start, inputs, keep=True)[1], 0, 1)


def scan(
    cell: Cell,
    weights: nnx.Module,
    start: Carry,
    inputs: Float[Array, "batch time feature"],
    *,
    keep: bool,
) -> tuple[Carry, Any]:
    """Run a cell over sequences.

    Returns:
        The last carry; and the hidden states (time, batch, hidden), or None if not to be kept.
    """
    return sequence(cell)(parameters(weights), start, jnp.swapaxes(inputs, 0, 1), keep)


def sequence(cell: Cell) -> sequences.Sequence:
    """Return what runs sequences of a cell, its own or the scan over its ``step``."""
    return cell.sequence or sequences.plain(cell.step, cell.hidden)


def parameters(weights: Any) -> dict[str, Array]:
    """Return the arrays of a Flax module, or of its state, by dotted path."""
    state = weights if isinstance(weights, nnx.State) else nnx.state(weights)
    pairs = nnx.to_flat_state(state)
    return {".".join(map(str, path)): leaf[...] for path, leaf in pairs}


def orthogonal_gates(
    key: PRNGKeyArray, shape: tuple[int, int], dtype: Any = jnp.float32, **_: Any
) -> Float[Array, "hidden gates"]:
    """Draw one random orthogonal recurrent matrix per gate, side by side.

    Args:
        key: random key.
        shape: (hidden, gates * hidden).
        dtype: of the result.

    Reference:
        Saxe, McClelland and Ganguli (2014).
    """
    hidden, columns = shape
    draw = jax.nn.initializers.orthogonal()
    blocks = [draw(k, (hidden, hidden), dtype) for k in jax.random.split(key, columns // hidden)]
    return jnp.concatenate(blocks, axis=1)


def open_forget_gate(
    key: PRNGKeyArray, shape: tuple[int], dtype: Any = jnp.float32, **_: Any
) -> Float[Array, " gates"]:
    """Return gate biases of zero, but one for the forget gate, so that memory starts open."""
    bias = jnp.zeros((len(GATES), shape[0] // len(GATES)), dtype)
    return bias.at[GATES.index("f")].set(1).reshape(shape)


def mismatch(expected: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Say in a few words where the shapes of two tables of arrays differ first; nothing if nowhere.

    Args:
        expected: arrays by name, or what tells their shapes.
        arrays: held against them.
    """
    shapes = [
        {name: np.shape(array) for name, array in table.items()} for table in (expected, arrays)
    ]
    for name in {**shapes[0], **shapes[1]}:
        wanted, shape = (table.get(name, "missing") for table in shapes)
        if wanted != shape:
            return f"{name!r} is {shape}, expected {'none' if wanted == 'missing' else wanted}"
    return ""


def kernel_matrices(
    gates: tuple[str, ...],
) -> tuple[
    Callable[[Parameters], dict[str, Any]], Callable[[Parameters, Matrices], dict[str, Any]]
]:
    """Return ``matrices`` and ``with_matrices`` of a cell that keeps its gates side by side.

    Gate a of a frame x and a hidden state h is a function of ``W_a x + R_a h + b_a``: "input a" is
    W_a of shape (hidden, feature), "recurrent a" is R_a of shape (hidden, hidden). The kernels are
    their transposes, side by side.

    Args:
        gates: their names, in the order of the columns.
    """

    def kernels(arrays: Parameters) -> dict[str, str]:
        names = dict(zip(SIDES, ("dense_i.kernel", "dense_h.kernel"), strict=True))
        return {side: name for side, name in names.items() if name in arrays}

    def matrices(arrays: Parameters) -> dict[str, Any]:
        return {
            f"{side} {gate}": block.T
            for side, name in kernels(arrays).items()
            for gate, block in zip(gates, _split(arrays[name], len(gates)), strict=True)
        }

    def with_matrices(arrays: Parameters, changed: Matrices) -> dict[str, Any]:
        difference = mismatch(matrices(arrays), changed)
        if difference:
            raise ValueError(f"the matrices do not fit the cell: {difference}.")
        joined = {
            name: jnp.concatenate(
                [jnp.asarray(changed[f"{side} {g}"], arrays[name].dtype).T for g in gates], axis=1
            )
            for side, name in kernels(arrays).items()
        }
        return {**arrays, **joined}

    return matrices, with_matrices


def gated(
    gates: tuple[str, ...],
    step: Callable[[Parameters, Carry, Array], Carry],
    make: Callable[[int, int, nnx.Rngs], nnx.Module] | None = None,
    *,
    recurrent: bool = True,
    **capabilities: Any,
) -> Cell:
    """Return the entry of a cell that keeps its gates side by side, as of ``Kernels``.

    Args:
        gates: their names, in the order of the columns.
        step: as of ``Cell``.
        make: as of ``Cell``; None for ``Kernels``.
        recurrent: whether a gate reads the hidden state.
        capabilities: other fields of ``Cell``.
    """

    def draw(feature: int, hidden: int, rngs: nnx.Rngs) -> nnx.Module:
        return Kernels(feature, hidden, len(gates), recurrent=recurrent, rngs=rngs)

    matrices, with_matrices = kernel_matrices(gates)
    return Cell(
        make or draw,
        step,
        gates=gates,
        matrices=matrices,
        with_matrices=with_matrices,
        **capabilities,
    )


def _split(kernel: Any, count: int) -> list[Any]:
    width = kernel.shape[1] // count
    return [kernel[:, k * width : (k + 1) * width] for k in range(count)]


def _lstm(feature: int, hidden: int, rngs: nnx.Rngs) -> nnx.Module:
    return nnx.OptimizedLSTMCell(
        feature,
        hidden,
        recurrent_kernel_init=orthogonal_gates,
        bias_init=open_forget_gate,
        rngs=rngs,
    )


def _lstm_step(p: Parameters, carry: Carry, x: Array) -> Carry:
    c, h = carry
    z = x @ p["dense_i.kernel"] + (h @ p["dense_h.kernel"] + p["dense_h.bias"][None])
    i, f, g, o = jnp.split(z, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return c, jax.nn.sigmoid(o) * jnp.tanh(c)


def _lstm_closed(p: Parameters, kernel: Array, bias: Array) -> dict[str, Any]:
    read = p["dense_i.kernel"]
    return {
        "dense_i.kernel": read[:0],
        "dense_h.kernel": p["dense_h.kernel"] + kernel @ read,
        "dense_h.bias": p["dense_h.bias"] + bias @ read,
    }


def _gru(feature: int, hidden: int, rngs: nnx.Rngs) -> nnx.Module:
    return nnx.GRUCell(feature, hidden, recurrent_kernel_init=orthogonal_gates, rngs=rngs)


def _gru_step(p: Parameters, h: Array, x: Array) -> Array:
    read = x @ p["dense_i.kernel"] + p["dense_i.bias"][None]
    kept = h @ p["dense_h.kernel"]
    if "dense_h.bias" in p:  # networks from elsewhere have one
        kept = kept + p["dense_h.bias"][None]
    (xr, xz, xn), (hr, hz, hn) = jnp.split(read, 3, axis=-1), jnp.split(kept, 3, axis=-1)
    r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
    return (1.0 - z) * jnp.tanh(xn + r * hn) + z * h


def _gru_before_step(p: Parameters, h: Array, x: Array) -> Array:
    read = x @ p["dense_i.kernel"] + p["dense_i.bias"][None]
    (xr, xz, xn), kernels = jnp.split(read, 3, axis=-1), _split(p["dense_h.kernel"], 3)
    r, z = jax.nn.sigmoid(xr + h @ kernels[0]), jax.nn.sigmoid(xz + h @ kernels[1])
    return (1.0 - z) * jnp.tanh(xn + (r * h) @ kernels[2]) + z * h


def _elman_step(p: Parameters, h: Array, x: Array) -> Array:
    return jnp.tanh(x @ p["dense_i.kernel"] + p["dense_i.bias"][None] + h @ p["dense_h.kernel"])


def _elman_relu_step(p: Parameters, h: Array, x: Array) -> Array:
    return nnx.relu(x @ p["dense_i.kernel"] + p["dense_i.bias"][None] + h @ p["dense_h.kernel"])


class _TwoBiases(Kernels):
    """``Kernels`` with a bias beside the hidden state's kernel too."""

    def __init__(self, feature: int, hidden: int, gates: int, *, rngs: nnx.Rngs):
        super().__init__(feature, hidden, gates, rngs=rngs)
        self.dense_h = nnx.Linear(hidden, gates * hidden, kernel_init=orthogonal_gates, rngs=rngs)


def _minimal_gru_step(p: Parameters, h: Array, x: Array) -> Array:
    z, new = jnp.split(x @ p["dense_i.kernel"] + p["dense_i.bias"][None], 2, axis=-1)
    z = jax.nn.sigmoid(z)
    return (1.0 - z) * h + z * new


def _minimal_lstm_step(p: Parameters, h: Array, x: Array) -> Array:
    f, i, new = jnp.split(x @ p["dense_i.kernel"] + p["dense_i.bias"][None], 3, axis=-1)
    # f / (f + i) of two logistic functions is the logistic function of a difference
    kept = jax.nn.sigmoid(jax.nn.softplus(-i) - jax.nn.softplus(-f))
    return kept * h + (1.0 - kept) * new


CELLS: dict[str, Cell] = {
    "lstm": gated(
        GATES,
        _lstm_step,
        _lstm,
        hidden=lambda carry: carry[1],
        state=lambda carry: jnp.concatenate(carry, axis=-1),
        carry=lambda state: tuple(jnp.split(state, 2, axis=-1)),
        copies=2,
        sequence=sequences.lstm(sequences.plain(_lstm_step, lambda carry: carry[1])),
        closed=_lstm_closed,
    ),
    # its candidate, that reads the frame outside the reset, would need one more product in closed
    # loop, which was measured to cost what it saves
    "gru": gated(
        ("r", "z", "n"),
        _gru_step,
        _gru,
        sequence=sequences.gru(sequences.plain(_gru_step, lambda h: h)),
    ),
    "gru-two-biases": gated(
        ("r", "z", "n"),
        _gru_step,
        lambda feature, hidden, rngs: _TwoBiases(feature, hidden, 3, rngs=rngs),
    ),
    "gru-before": gated(("r", "z", "n"), _gru_before_step),
    "elman": gated(("h",), _elman_step),
    "elman-relu": gated(("h",), _elman_relu_step),
    "minimal-gru": gated(("z", "h"), _minimal_gru_step, recurrent=False),
    "minimal-lstm": gated(("f", "i", "h"), _minimal_lstm_step, recurrent=False),
}
"""Every cell by name.

"lstm": Hochreiter and Schmidhuber (1997), its forget gate open at the start (bias 1; Jozefowicz,
Zaremba and Sutskever 2015). "gru": Cho and others (2014), the reset gate after the product, as in
cuDNN, PyTorch and Flax, n = tanh(W x + b + r (R h)); "gru-two-biases": n = tanh(W x + b + r (R h +
d)), as those of PyTorch and Keras are; "gru-before": as first published, n = tanh(W x + b + R (r
h)). "elman": Elman (1990), h = tanh(W x + R h + b); "elman-relu": with max(0, .) for tanh, as Le,
Jaitly and Hinton (2015). "minimal-gru" and "minimal-lstm":
Feng and others (2024), whose gates do not read the hidden state.
"""
