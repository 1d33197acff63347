"""The four gates of an LSTM: what they do at each step, and for how long a unit remembers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit

from rnnatomy.analysis import checks

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
        ValueError: if a matrix is missing, a number is not finite, or the shapes do not fit.
    """
    matrices = _eight(matrices)
    hidden, feature = matrices["input i"].shape
    bias = checks.numbers("the bias", bias, "gates")
    inputs = checks.numbers("inputs", inputs, "batch time feature")
    states = checks.numbers("states", states, "batch time hidden")
    shape = (*inputs.shape[:2], hidden)
    fits = states.shape == shape and inputs.shape[2:] == (feature,)
    if not fits or bias.shape != (len(GATES) * hidden,):
        raise ValueError(
            f"inputs have shape {inputs.shape}, states {states.shape} and the bias {bias.shape}: "
            f"this cell takes (batch, time, {feature}), (batch, time, {hidden}) and "
            f"({len(GATES) * hidden},)."
        )
    if start is not None:
        start = checks.numbers("the first hidden state", start, f"{len(states)} {hidden}")
    first = np.zeros_like(states[:, :1]) if start is None else start[:, None]
    before = np.concatenate([first, states[:, :-1]], axis=1)
    sums = {
        gate: inputs @ matrices[f"input {gate}"].T + before @ matrices[f"recurrent {gate}"].T + b
        for gate, b in zip(GATES, np.split(bias, len(GATES)), strict=True)
    }
    return {gate: _opened(gate, x) for gate, x in sums.items()}


def held(
    matrices: Matrices,
    bias: Float[np.ndarray, " gates"],
    inputs: Float[np.ndarray, "batch time feature"],
    values: Mapping[str, int | float | Float[np.ndarray, "..."]],
) -> Float[np.ndarray, "batch time hidden"]:
    """Run a cell from zero with some of its gates held, whatever they would do.

        c_t = f_t c_(t-1) + i_t g_t,  h_t = o_t tanh(c_t)

    Args:
        matrices: of the cell.
        bias: of the four gates, one after the other.
        inputs: what the cell is fed.
        values: by the name of a gate, where it is held: at one number, at one for each unit, or at
            one for each step and unit; from -1 to 1 for gate g, from 0 to 1 else. A gate that is
            not named works.

    Returns:
        The hidden state after each step.

    Raises:
        ValueError: if a matrix is missing, a number is not finite, a gate is unknown or held out
            of its range, or the shapes do not fit.
    """
    matrices = _eight(matrices)
    hidden, feature = matrices["input i"].shape
    bias = checks.numbers("the bias", bias, f"{len(GATES) * hidden}")
    inputs = checks.numbers("inputs", inputs, f"batch time {feature}")
    batch, time = inputs.shape[:2]
    fixed = {gate: _held_at(gate, value, time, hidden) for gate, value in values.items()}
    free = [gate for gate in GATES if gate not in fixed]
    parts = dict(zip(GATES, np.split(bias, len(GATES)), strict=True))
    fed = {gate: inputs @ matrices[f"input {gate}"].T + parts[gate] for gate in free}
    kind = np.result_type(inputs, bias, *matrices.values())
    h, c = np.zeros((2, batch, hidden), kind)
    states = np.empty((batch, time, hidden), kind)
    for t in range(time):
        now = {gate: value[t].astype(kind) for gate, value in fixed.items()}
        for gate in free:
            now[gate] = _opened(gate, fed[gate][:, t] + h @ matrices[f"recurrent {gate}"].T)
        c = now["f"] * c + now["i"] * now["g"]
        h = now["o"] * np.tanh(c)
        states[:, t] = h
    return states


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
    forget = checks.real("activations", forget)
    if not ((forget >= 0) & (forget <= 1)).all():
        raise ValueError("an activation of the forget gate is out of range: give 0 to 1.")
    with np.errstate(divide="ignore"):
        return 1 / np.abs(np.log(forget))


def _opened(gate: str, sums: np.ndarray) -> np.ndarray:
    opened: np.ndarray = np.tanh(sums) if gate == "g" else expit(sums)
    return opened


def _held_at(gate: str, value: Any, time: int, hidden: int) -> Float[np.ndarray, "time hidden"]:
    """Return where a gate is held, for each step and unit."""
    if gate not in GATES:
        raise ValueError(f"gate {gate!r} is unknown: choose from {', '.join(GATES)}.")
    value = np.asarray(value) if np.isscalar(value) else value
    array, least = checks.real(f"gate {gate}", value), -1 if gate == "g" else 0
    if array.shape not in ((), (hidden,), (time, hidden)):
        raise ValueError(
            f"gate {gate} is held at numbers of shape {array.shape}: give one number, "
            f"({hidden},) or ({time}, {hidden})."
        )
    if not ((array >= least) & (array <= 1)).all():
        raise ValueError(f"gate {gate} is held out of its range: give numbers from {least} to 1.")
    return np.broadcast_to(array.astype(np.float64), (time, hidden))


def _eight(matrices: Matrices) -> dict[str, np.ndarray]:
    """Return the eight matrices of a cell, if they are there and fit each other."""
    missing = [name for name in MATRICES if name not in matrices]
    if missing:
        raise ValueError(f"matrix {missing[0]!r} is missing: give all eight of an LSTM.")
    first = checks.numbers("matrix 'input i'", matrices["input i"], "hidden feature")
    hidden, feature = first.shape
    sizes = {"input": feature, "recurrent": hidden}
    return {
        name: checks.numbers(
            f"matrix {name!r}", matrices[name], f"{hidden} {sizes[name.split()[0]]}"
        )
        for name in MATRICES
    }
