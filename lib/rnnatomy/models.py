"""The networks, in Flax NNX, and the recurrent scan that they share.

The readout is fixed once for the whole book: ``logits = W h + b`` with ``W`` of shape
(class, hidden), the transpose of Flax's kernel.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

GATES = ("i", "f", "g", "o")
"""Order of the four gates along the last axis of the cell's kernels: in, forget, cell, out."""


class LSTMClassifier(nnx.Module):
    """An LSTM that reads a sequence, with a linear readout of its last hidden state.

    Per step, with input x, hidden state h and cell state c (products of gates elementwise):

        i, f, o = sigmoid(W_x x + W_h h + b),  g = tanh(W_x x + W_h h + b)
        c <- f c + i g,  h <- o tanh(c)

    Args:
        feature: size of one input frame, at least 1.
        hidden: number of units, at least 1.
        classes: number of classes, at least 2.
        rngs: source of the initial parameters.

    Reference:
        Hochreiter and Schmidhuber (1997); forget bias 1 after Gers, Schmidhuber and Cummins (2000)
        and Jozefowicz, Zaremba and Sutskever (2015).
    """

    def __init__(self, feature: int, hidden: int, classes: int, *, rngs: nnx.Rngs):
        self.cell = nnx.OptimizedLSTMCell(
            feature,
            hidden,
            recurrent_kernel_init=orthogonal_gates,
            bias_init=open_forget_gate,
            rngs=rngs,
        )
        self.readout = nnx.Linear(hidden, classes, rngs=rngs)

    def __call__(self, inputs: Float[Array, "batch time feature"]) -> Float[Array, "batch class"]:
        """Return the logits read from the last hidden state."""
        (_, last), _ = _scan(self.cell, inputs, keep=False)
        return self.readout(last)

    def states(
        self, inputs: Float[Array, "batch time feature"]
    ) -> Float[Array, "batch time hidden"]:
        """Return the hidden state after every frame."""
        return unroll(self.cell, inputs)


def unroll(
    cell: nnx.RNNCellBase, inputs: Float[Array, "batch time feature"]
) -> Float[Array, "batch time hidden"]:
    """Run a recurrent cell over a sequence from a zero state and keep every hidden state.

    Args:
        cell: any Flax recurrent cell; its output is the hidden state.
        inputs: one sequence per row of the batch, at least one frame long.

    Returns:
        The hidden state after each frame.
    """
    return jnp.swapaxes(_scan(cell, inputs, keep=True)[1], 0, 1)


def _scan(cell: Any, inputs: Array, keep: bool) -> tuple[Any, Any]:
    def step(carry: Any, frame: Array) -> tuple[Any, Any]:
        carry, output = cell(carry, frame)
        return carry, output if keep else None

    start = cell.initialize_carry(inputs[:, 0].shape, nnx.Rngs(0))
    return jax.lax.scan(step, start, jnp.swapaxes(inputs, 0, 1))


def orthogonal_gates(
    key: PRNGKeyArray, shape: tuple[int, int], dtype: Any = jnp.float32, **_: Any
) -> Float[Array, "hidden gates"]:
    """Draw one random orthogonal recurrent matrix per gate, side by side.

    Args:
        key: random key.
        shape: (hidden, 4 hidden).
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
    gates = jnp.zeros((len(GATES), shape[0] // len(GATES)), dtype)
    return gates.at[GATES.index("f")].set(1).reshape(shape)
