"""The matrices of an LSTM, gate by gate: what their directions carry, and what cutting them leaves.

Everything here takes arrays, of any LSTM: a classifier's, or an autoencoder's encoder or decoder.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import expit
from scipy.stats import entropy

from rnnatomy.ensembles import random_basis
from rnnatomy.models import GATES
from rnnatomy.svd import SVD, compose, energy, svd, truncate

SIDES = ("input", "recurrent")
MATRICES = tuple(f"{side} {gate}" for side in SIDES for gate in GATES)
"""Names of the eight matrices: "input i" to "input o", then "recurrent i" to "recurrent o"."""

Matrices = Mapping[str, np.ndarray]
"""The eight matrices by name, each of shape (hidden, input): what gate reads what."""

Ranks = Mapping[str, int]


class Kernels(NamedTuple):
    """The matrices of all gates, transposed and side by side, as the cell keeps them.

    Attributes:
        input: what is applied to an input frame.
        recurrent: what is applied to the hidden state.
    """

    input: Float[np.ndarray, "feature gates"]
    recurrent: Float[np.ndarray, "hidden gates"]


def split(kernels: Kernels) -> dict[str, np.ndarray]:
    """Take the kernels of an LSTM cell apart into eight matrices.

    Gate a of an input x and a hidden state h is a function of ``W_a x + R_a h + b_a``: "input a" is
    W_a of shape (hidden, feature), "recurrent a" is R_a of shape (hidden, hidden).

    Args:
        kernels: with the gates in the order of ``models.GATES``.

    Raises:
        ValueError: if the shapes are not those of an LSTM.
    """
    hidden = len(kernels.recurrent)
    columns = len(GATES) * hidden
    shapes = [kernel.shape for kernel in kernels]
    if shapes != [(len(kernels.input), columns), (hidden, columns)]:
        raise ValueError(
            f"kernels have shapes {shapes[0]} and {shapes[1]}: those of an LSTM have four gates, "
            "(feature, 4 hidden) and (hidden, 4 hidden)."
        )
    blocks = [block.T for kernel in kernels for block in np.split(kernel, len(GATES), axis=1)]
    return dict(zip(MATRICES, blocks, strict=True))


def join(matrices: Matrices) -> Kernels:
    """Put the eight matrices back into kernels: the inverse of ``split``.

    Raises:
        ValueError: if a matrix is missing, or a name is unknown.
    """
    if set(matrices) != set(MATRICES):
        raise ValueError(f"the matrices are {list(matrices)}: give {', '.join(MATRICES)}.")
    blocks = [matrices[name].T for name in MATRICES]
    count = len(GATES)
    return Kernels(*(np.concatenate(side, axis=1) for side in (blocks[:count], blocks[count:])))


def decompose(matrices: Matrices) -> dict[str, SVD]:
    """Decompose each matrix, in double precision.

    Raises:
        ValueError: as ``svd.svd``.
    """
    return {name: svd(matrix) for name, matrix in matrices.items()}


def effective_rank(singular_values: Float[np.ndarray, " mode"]) -> float:
    """Return the number of directions that a spectrum is spread over, by its entropy.

        exp(- sum over k of p_k log p_k),  p_k = s_k / sum over j of s_j

    Args:
        singular_values: at least 0, not all zero.

    Returns:
        From 1, all in one direction, to the number of directions, all the same.

    Raises:
        ValueError: if a singular value is negative or not finite, or all are zero.

    Reference:
        Roy and Vetterli (2007).
    """
    _check_spectrum(singular_values)
    return float(np.exp(entropy(singular_values)))


def stable_rank(singular_values: Float[np.ndarray, " mode"]) -> float:
    """Return the energy of a matrix in units of its largest direction's: ``sum s_k^2 / s_1^2``.

    Small singular values hardly count, so this is at most the rank.

    Raises:
        ValueError: as ``effective_rank``.

    Reference:
        Rudelson and Vershynin (2007).
    """
    _check_spectrum(singular_values)
    return float(np.square(singular_values / singular_values.max()).sum())


def rank_for(parts: SVD, fraction: float) -> int:
    """Return the smallest rank that keeps a fraction of a matrix's energy, its sum of squares.

    Args:
        parts: decomposition of the matrix.
        fraction: from 0 to 1; it is met to 1e-12.

    Raises:
        ValueError: if the fraction is out of range, or all singular values are zero.
    """
    _check_fraction(fraction)
    held = np.concatenate([[0.0], np.cumsum(energy(parts))])
    return min(int(np.searchsorted(held, fraction - 1e-12)), len(parts.s))


class Edges(NamedTuple):
    """Smallest and largest singular value to expect of a random matrix."""

    low: float
    high: float


def random_edges(matrix: Float[np.ndarray, "hidden _"]) -> Edges:
    """Return between which values the spectrum of a random matrix of that shape and size lies.

    For m x n independent numbers of mean zero and variance v, with m and n large,
    ``sqrt(v) (sqrt(m) -/+ sqrt(n))``; v is here the mean square of the entries.

    Reference:
        Marchenko and Pastur (1967).
    """
    m, n = np.sqrt(matrix.shape)
    deviation = np.sqrt(np.square(matrix).mean())
    return Edges(float(deviation * abs(m - n)), float(deviation * (m + n)))


def shuffled_spectrum(
    rng: np.random.Generator, matrix: Float[np.ndarray, "hidden _"], draws: int
) -> Float[np.ndarray, " mode"]:
    """Return the singular values of a matrix with its entries shuffled, averaged over draws.

    It has the same shape and the same entries, and no structure.

    Args:
        rng: source of the draws.
        matrix: finite numbers.
        draws: how many, at least 1.

    Raises:
        ValueError: if there is no draw, or as ``svd.svd``.
    """
    if draws < 1:
        raise ValueError(f"draws is {draws}: give a whole number of at least 1.")
    return np.mean([svd(rng.permuted(matrix)).s for _ in range(draws)], axis=0)


class Learnt(NamedTuple):
    """A trained matrix as a multiple of the initial one, and the rest: ``W = kept W_0 + rest``.

    Attributes:
        kept: the multiple with the smallest rest; weight decay makes it less than 1.
        rest: what training has added; its inner product with W_0 is zero.
    """

    kept: float
    rest: Float[np.ndarray, "hidden _"]


def learnt(
    trained: Float[np.ndarray, "hidden _"], initial: Float[np.ndarray, "hidden _"]
) -> Learnt:
    """Take what is left of the initial matrix out of a trained one, by least squares.

    Raises:
        ValueError: if the shapes differ, or the initial matrix is zero.
    """
    if trained.shape != initial.shape:
        raise ValueError(
            f"the matrices have shapes {trained.shape} and {initial.shape}: give two of one shape."
        )
    if not initial.any():
        raise ValueError("the initial matrix is zero: there is nothing that could be left of it.")
    trained, initial = trained.astype(np.float64), initial.astype(np.float64)
    kept = float((trained * initial).sum() / np.square(initial).sum())
    return Learnt(kept, trained - kept * initial)


def low_rank(parts: Mapping[str, SVD], ranks: Ranks) -> dict[str, np.ndarray]:
    """Compose matrices from their first directions: the nearest ones of the given ranks.

    Args:
        parts: decompositions by name, as from ``decompose``.
        ranks: for any of them, from 0 to the number of its directions; the others stay whole.

    Raises:
        ValueError: if a name is unknown or a rank out of range.

    Reference:
        Eckart and Young (1936).
    """
    for name in ranks:
        if name not in parts:
            raise ValueError(f"matrix {name!r} is unknown: choose from {', '.join(parts)}.")
    return {name: compose(truncate(p, ranks.get(name, len(p.s)))) for name, p in parts.items()}


def same_energy(parts: Mapping[str, SVD], fraction: float) -> dict[str, int]:
    """Return the smallest ranks that keep the same fraction of energy in each matrix.

    Raises:
        ValueError: as ``rank_for``.
    """
    return {name: rank_for(part, fraction) for name, part in parts.items()}


def same_share(parts: Mapping[str, SVD], fraction: float) -> dict[str, int]:
    """Return ranks that are the same fraction of the directions of each matrix, rounded.

    Raises:
        ValueError: if the fraction is not between 0 and 1.
    """
    _check_fraction(fraction)
    return {name: round(fraction * len(part.s)) for name, part in parts.items()}


def remove_random(
    rng: np.random.Generator, matrix: Float[np.ndarray, "hidden _"], lost: float
) -> Float[np.ndarray, "hidden _"]:
    """Remove random orthogonal directions of the input until a fraction of the energy is lost.

        W Q diag(a) Q',  a = (0, ..., 0, a_k, 1, ..., 1)

    with Q a random orthogonal matrix; the last direction that goes is scaled down, so that exactly
    the given fraction is lost. This is the control of a cutoff to low rank that loses as much: both
    leave matrices of the same size, and only the choice of the directions differs. As many
    random directions as a cutoff removes would lose more energy, since no choice loses less than
    the cutoff; a difference would then tell of size, not of direction.

    Args:
        rng: source of Q.
        matrix: finite numbers.
        lost: from 0 to 1.

    Raises:
        ValueError: if the fraction is out of range.

    Reference:
        Mezzadri (2007) for Q.
    """
    _check_fraction(lost)
    basis = random_basis(rng, matrix.shape[1])
    turned = np.asarray(matrix, np.float64) @ basis
    carried = np.square(turned).sum(axis=0)
    owed = lost * carried.sum() - (np.cumsum(carried) - carried)
    gone = np.divide(owed, carried, out=np.zeros_like(carried), where=carried > 0)
    left = (1 - gone).clip(0, 1)
    # the root would make much of what rounding leaves
    return turned * np.sqrt(np.where(left > 1e-12, left, 0)) @ basis.T


def least_energy(
    parts: Mapping[str, SVD], measure: Callable[[Ranks], float], floor: float
) -> dict[str, int]:
    """Return the ranks of the smallest whole percentage of energy that is enough, one for all.

    It is found by bisection, as if the measure rose with the energy.

    Args:
        parts: decompositions by name.
        measure: of the ranks of all matrices, such as an accuracy.
        floor: what is enough.

    Raises:
        ValueError: if the whole matrices are not enough.
    """

    def kept(percent: int) -> float:
        return measure(same_energy(parts, percent / 100))

    percent = bisect_left(range(101), floor, key=kept)
    if percent > 100:
        raise ValueError(f"the whole matrices do not reach {floor:.6g}: give a lower floor.")
    return same_energy(parts, percent / 100)


def shrink(ranks: Ranks, measure: Callable[[Ranks], float], floor: float) -> dict[str, int]:
    """Lower ranks, one matrix after the other, while a measure stays high enough.

    What the measure has above its floor is shared out evenly: each matrix in turn gets the smallest
    rank at which the measure is above the floor by the shares of those that wait, found by
    bisection, as if the measure rose with the rank.

    Args:
        ranks: where to start, in the order in which the turn of each matrix comes.
        measure: of the ranks of all matrices, such as an accuracy.
        floor: what is enough.

    Returns:
        Ranks no higher than where it started, for which the measure is at its floor or above.

    Raises:
        ValueError: if the measure is below its floor where it starts.
    """
    found = dict(ranks)
    above = measure(found) - floor
    if above < 0:
        raise ValueError(f"the measure starts {-above:.6g} below its floor: give higher ranks.")
    for turn, name in enumerate(ranks, start=1):

        def lowered(rank: int, name: str = name) -> float:
            return measure({**found, name: rank})

        share = floor + above * (len(found) - turn) / len(found)
        found[name] = bisect_left(range(found[name]), share, key=lowered)
    return found


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


def _check_spectrum(s: np.ndarray) -> None:
    if not (np.isfinite(s).all() and (s >= 0).all() and s.any()):
        raise ValueError(
            "a singular value is negative or not finite, or all are zero: give those of a matrix "
            "that is not zero."
        )


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction {fraction} is out of range: give 0 to 1.")
