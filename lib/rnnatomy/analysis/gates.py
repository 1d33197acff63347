"""The four gates of an LSTM: what they do at each step, and for how long a unit remembers."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.special import expit

GATES = ("i", "f", "g", "o")
"""Order of the gates along the columns of an LSTM's kernels: in, forget, cell, out."""

SIDES = ("input", "recurrent")
"""What a gate reads: the input frame, and the hidden state."""


MATRICES = tuple(f"{side} {gate}" for side in SIDES for gate in GATES)
"""Names of the eight matrices: "input i" to "input o", then "recurrent i" to "recurrent o"."""


Matrices = Mapping[str, np.ndarray]
"""The eight matrices by name, each of shape (hidden, input): what gate reads what."""


def activations(
    matrices: Matrices,
    bias: Float[np.ndarray, " gates"],
    inputs: Float[np.ndarray, "batch time feature"],
    states: Float[np.ndarray, "batch time hidden"],
    start: Float[np.ndarray, "batch hidden"] | None = None,
) -> dict[str, Float[np.ndarray, "batch time hidden"]]:
    """Return the four gates at each step of sequences whose hidden states are known.

        a_t = s(W_a x_t + R_a h_(t-1) + b_a),  s = tanh for gate g, the logistic function else

    Args:
        matrices: of the cell.
        bias: of the four gates, one after the other.
        inputs: what the cell was fed.
        states: its hidden state after each step.
        start: its hidden state before the first step; None for zero.

    Returns:
        By the name of the gate.

    Raises:
        ValueError: if the shapes do not fit.
    """
    hidden, feature = matrices["input i"].shape
    shape = (*inputs.shape[:2], hidden)
    fits = states.shape == shape and inputs.shape[2:] == (feature,)
    if not fits or bias.shape != (len(GATES) * hidden,):
        raise ValueError(
            f"inputs have shape {inputs.shape}, states {states.shape} and the bias {bias.shape}: "
            f"this cell takes (batch, time, {feature}), (batch, time, {hidden}) and "
            f"({len(GATES) * hidden},)."
        )
    first = np.zeros_like(states[:, :1]) if start is None else start[:, None]
    before = np.concatenate([first, states[:, :-1]], axis=1)
    sums = {
        gate: inputs @ matrices[f"input {gate}"].T + before @ matrices[f"recurrent {gate}"].T + b
        for gate, b in zip(GATES, np.split(bias, len(GATES)), strict=True)
    }
    return {gate: np.tanh(x) if gate == "g" else expit(x) for gate, x in sums.items()}


def time_constants(forget: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return how many steps a cell takes to forget all but 1/e, if its forget gate stays as it is.

        tau = -1 / log f

    It grows with f, so the median of tau is that of f, taken here.

    Args:
        forget: activations of the forget gate, from 0 to 1.

    Returns:
        In steps: 0 for f = 0, infinite for f = 1.

    Raises:
        ValueError: if an activation is out of range or NaN.

    Reference:
        Tallec and Ollivier (2018).
    """
    if not ((forget >= 0) & (forget <= 1)).all():
        raise ValueError("an activation of the forget gate is out of range: give 0 to 1.")
    with np.errstate(divide="ignore"):
        return 1 / np.abs(np.log(forget))


GATES = ("i", "f", "g", "o")
"""Order of the four gates along the last axis of the cell's kernels: in, forget, cell, out."""
