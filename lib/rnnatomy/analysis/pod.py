"""Proper orthogonal decomposition (POD) of snapshots: the directions that hidden states vary in.

While a decomposition is computed, BLAS is held to one thread per call, in the whole process.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache, reduce
from math import prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController

from rnnatomy.analysis import checks

SMALL = 2**27
"""Multiplications in one product of the snapshots with themselves up to which pod takes the SVD."""


class POD(NamedTuple):
    """Modes of snapshots x: ``x = mean + sum over k of a_k modes[k]``, from strong to weak.

    The sign of each mode is free; here its largest entry is positive.

    Attributes:
        modes: orthonormal rows: directions in hidden space.
        singular_values: of the matrix of snapshots, centred or not; at least 0.
        mean: of the snapshots; zeros if they were not centred.
        snapshots: how many there were.
        energy: the sum of squares of all singular values, also of those that were not kept.
    """

    modes: Float[np.ndarray, "mode hidden"]
    singular_values: Float[np.ndarray, " mode"]
    mean: Float[np.ndarray, " hidden"]
    snapshots: int
    energy: float


def concatenate(
    encoder: Float[np.ndarray, "sample _ hidden"], decoder: Float[np.ndarray, "sample _ hidden"]
) -> Float[np.ndarray, "sample time hidden"]:
    """Join the states of an encoder and of its decoder along time.

    Args:
        encoder: one state per step that is read, finite numbers.
        decoder: one state per step that is written, of the same samples.

    Raises:
        ValueError: if the states do not have three axes, differ in samples or hidden units, or
            are not finite.
    """
    encoder = checks.numbers("encoder", encoder, "sample time hidden")
    decoder = checks.numbers("decoder", decoder, "sample time hidden")
    for axis, name in {0: "samples", 2: "hidden units"}.items():
        ours, theirs = encoder.shape[axis], decoder.shape[axis]
        if ours != theirs:
            raise ValueError(
                f"the encoder has {ours} {name} and the decoder {theirs}: give the same number."
            )
    return np.concatenate([encoder, decoder], axis=1)


def pod(
    snapshots: Float[np.ndarray, "... hidden"], *, centred: bool, modes: int | None = None
) -> POD:
    """Decompose snapshots, by the route that their shape favours.

    Up to 2^27 multiplications in one product of the snapshots with themselves (snapshots x hidden x
    the smaller of both), the singular value decomposition takes a fraction of a second and is the
    more accurate: ``pod_svd``. Above that, ``pod_snapshots``.

    Args:
        snapshots: finite numbers, at least one snapshot, or two if centred.
        centred: whether the mean over all snapshots is taken off first.
        modes: how many to keep, from 1 to the smaller of hidden units and snapshots; None: all.

    Raises:
        ValueError: if there are fewer than two axes, too few snapshots, too many modes, NaN or
            infinity, or if nothing varies: all singular values are zero.

    Reference:
        Lumley (1967); Sirovich (1987).
    """
    rows = _rows(snapshots)
    route = pod_svd if rows.size * min(rows.shape) <= SMALL else pod_snapshots
    return route(rows, centred=centred, modes=modes)


def pod_svd(
    snapshots: Float[np.ndarray, "... hidden"], *, centred: bool, modes: int | None = None
) -> POD:
    """Decompose snapshots by the singular value decomposition of the data, in double precision.

    The data are first reduced to the triangle of their QR decomposition, which has the same
    singular values and modes. Singular values are good to about 1e-15 of the largest one. Needs
    two copies of the data.

    Args:
        snapshots: as for ``pod``.
        centred: as for ``pod``.
        modes: as for ``pod``.

    Raises:
        ValueError: as ``pod``.

    Reference:
        Golub and Van Loan (2013).
    """
    rows = _rows(snapshots)
    kept = _kept(rows.shape, centred, modes)
    deviations, mean = _deviations(rows, centred)
    with _one_thread():
        triangle = np.linalg.qr(deviations, mode="r")
        _, s, Vt = np.linalg.svd(triangle, full_matrices=False)
    return _result(Vt[:kept], s, mean, len(rows))


def pod_snapshots(
    snapshots: Float[np.ndarray, "... hidden"], *, centred: bool, modes: int | None = None
) -> POD:
    """Decompose snapshots by the eigenvectors of a matrix of products: the method of snapshots.

    The matrix is the smaller one of two: hidden x hidden if there are at least as many snapshots
    as units, and snapshot x snapshot otherwise. Its eigenvalues are squares of singular values,
    so the accuracy is halved: a singular value is good to about 1e-8 of the largest one, and the
    modes of smaller ones are noise. For many snapshots in single precision, products are taken in
    single precision too and only added up in double: good to about 3e-4 of the largest one.

    If there are at least as many snapshots as units, they are read once, in pieces that fit in
    the cache, with one piece on each thread that BLAS is allowed; no copy of the data is made.

    Args:
        snapshots: as for ``pod``.
        centred: as for ``pod``.
        modes: as for ``pod``.

    Raises:
        ValueError: as ``pod``.

    Reference:
        Sirovich (1987); Chan, Golub and LeVeque (1983) for the means.
    """
    rows = _rows(snapshots)
    kept = _kept(rows.shape, centred, modes)
    if len(rows) >= rows.shape[1]:
        return _from_moments(_moments(rows), centred, kept)
    deviations, mean = _deviations(rows, centred)
    with _one_thread():
        s, left = _roots(deviations @ deviations.T)
        # QR makes modes of unit length also where the singular value is zero
        Q = np.linalg.qr(deviations.T @ left[:, :kept])[0]
    return _result(Q.T, s, mean, len(rows))


def stream(blocks: Iterable[np.ndarray], *, centred: bool, modes: int | None = None) -> POD:
    """Decompose snapshots that do not fit in memory, in one pass over blocks of them.

    Means and products of the blocks are merged in double precision, so singular values are good
    to about 1e-8 of the largest one, whatever the mean.

    Args:
        blocks: arrays (..., hidden) of any number of snapshots; empty ones are skipped.
        centred: whether the mean over all snapshots of all blocks is taken off.
        modes: as for ``pod``.

    Raises:
        ValueError: as ``pod``; or if blocks differ in width, or none holds a snapshot.

    Reference:
        Chan, Golub and LeVeque (1983).
    """
    parts = _moments_of_each(blocks)
    first = next(parts, None)
    if first is None:
        raise ValueError("the blocks hold no snapshot: give at least one block that does.")
    moments = reduce(_merge, parts, first)
    kept = _kept((moments.snapshots, len(moments.mean)), centred, modes)
    return _from_moments(moments, centred, kept)


def energies(basis: POD) -> Float[np.ndarray, " mode"]:
    """Return the share of each mode in the energy, a fraction: ``s_k^2 / sum over j of s_j^2``.

    The sum goes over all modes, also those that were not kept: the fractions sum to 1 if all were.

    Args:
        basis: a decomposition.

    Raises:
        ValueError: if a number of the decomposition is not finite, or its energy is not above 0.
    """
    basis = _validate(basis)
    return basis.singular_values**2 / basis.energy


def modes_for(basis: POD, fraction: float) -> int:
    """Return the smallest number of modes that together hold a fraction of the energy.

    Args:
        basis: a decomposition.
        fraction: above 0, at most 1; it is met to 1e-12.

    Raises:
        ValueError: if the fraction is out of range, or more than all kept modes hold; or as
            ``energies``.
    """
    if not checks.is_number(fraction, 0, 1) or fraction == 0:
        raise ValueError(f"fraction {fraction} is out of range: give more than 0, at most 1.")
    held = np.cumsum(energies(basis))
    enough = held >= fraction - 1e-12
    if not enough.any():
        raise ValueError(
            f"the {len(held)} modes hold {held[-1]:.6g} of the energy, less than {fraction}: "
            "keep more modes."
        )
    return int(enough.argmax()) + 1


def project(basis: POD, states: Float[np.ndarray, "... hidden"]) -> Float[np.ndarray, "... mode"]:
    """Return the coefficients of states in the modes: ``a_k = modes[k] . (x - mean)``.

    Args:
        basis: a decomposition.
        states: finite numbers, of as many hidden units.

    Raises:
        ValueError: if the states have another number of hidden units, or are not finite; or as
            ``energies``.
    """
    basis, states = _validate(basis), checks.real("states", states)
    hidden = len(basis.mean)
    if not states.ndim or states.shape[-1] != hidden:
        raise ValueError(f"states have shape {states.shape}: these modes take (..., {hidden}).")
    checks.finite("states", states)
    return (states - basis.mean) @ basis.modes.T


def reconstruct(
    basis: POD, coefficients: Float[np.ndarray, "... mode"]
) -> Float[np.ndarray, "... hidden"]:
    """Compose states from coefficients: ``x = mean + sum over k of a_k modes[k]``.

    Args:
        basis: a decomposition.
        coefficients: of the first modes, as many as are to be used; finite numbers.

    Raises:
        ValueError: if there are more coefficients than modes, or they are not finite; or as
            ``energies``.
    """
    basis, coefficients = _validate(basis), checks.real("coefficients", coefficients)
    modes = len(basis.modes)
    if not coefficients.ndim or coefficients.shape[-1] > modes:
        raise ValueError(
            f"coefficients have shape {coefficients.shape}: give (..., mode), at most {modes} each."
        )
    checks.finite("coefficients", coefficients)
    return coefficients @ basis.modes[: coefficients.shape[-1]] + basis.mean


def mode_counts(
    encoder: Float[np.ndarray, "sample _ hidden"],
    decoder: Float[np.ndarray, "sample _ hidden"],
    fractions: Sequence[float] = (0.95, 0.99),
) -> Int[np.ndarray, " fraction"]:
    """Return how many centred modes of encoder and decoder together hold fractions of the energy.

    Args:
        encoder: as for ``concatenate``.
        decoder: as for ``concatenate``.
        fractions: each above 0, at most 1.

    Returns:
        For each fraction the smallest number of modes.

    Raises:
        ValueError: as ``concatenate``, ``pod`` and ``modes_for``.
    """
    basis = pod(concatenate(encoder, decoder), centred=True)
    return np.array([modes_for(basis, fraction) for fraction in fractions])


def _validate(basis: POD) -> POD:
    """Return a decomposition as arrays, if its numbers are finite and fit each other."""
    mean = checks.numbers("mean", basis[2], "hidden")
    s = checks.numbers("singular_values", basis[1], "mode")
    modes = checks.numbers("modes", basis[0], f"mode {len(mean)}")
    if not checks.is_number(basis[4], 0, np.finfo(float).max) or basis[4] == 0:
        raise ValueError(f"the energy of the modes is {basis[4]}: give a number above 0.")
    return POD(modes, s, mean, basis[3], basis[4])


class _Moments(NamedTuple):
    """Number and mean of snapshots, and the sum of products of their deviations from the mean."""

    snapshots: int
    mean: Float[np.ndarray, " hidden"]
    scatter: Float[np.ndarray, "hidden hidden"]


def _merge(a: _Moments, b: _Moments) -> _Moments:
    n = a.snapshots + b.snapshots
    step = b.mean - a.mean
    between = a.snapshots * b.snapshots / n * np.outer(step, step)
    return _Moments(n, a.mean + b.snapshots / n * step, a.scatter + b.scatter + between)


def _moments_of_each(blocks: Iterable[np.ndarray]) -> Iterator[_Moments]:
    hidden = None
    for block in blocks:
        rows = _rows(block)
        hidden = hidden or rows.shape[1]
        if rows.shape[1] != hidden:
            raise ValueError(
                f"a block has {rows.shape[1]} hidden units and the first one {hidden}: "
                "give blocks of the same width."
            )
        if len(rows):
            yield _moments(rows.astype(np.float64, copy=False))


@cache
def _libraries() -> ThreadpoolController:
    """Find the BLAS libraries once: that takes longer than small products."""
    return ThreadpoolController().select(user_api="blas")


def _one_thread() -> AbstractContextManager:
    """Hold BLAS to one thread per call.

    Its threads wait for each other many times in a call. Where other programs share the cores,
    each wait lasts until the slowest thread has its turn, and small matrices gain little from
    threads anyway.
    """
    return _libraries().limit(limits=1)


def _moments(rows: Float[np.ndarray, "snapshot hidden"]) -> _Moments:
    """Merge the moments of pieces that fit in the cache, each on one of the threads of BLAS."""
    threads = max((library["num_threads"] for library in _libraries().info()), default=1)
    hidden = rows.shape[1]
    size = max(2**19 // hidden, 4 * hidden)
    pieces = (rows[start : start + size] for start in range(0, len(rows), size))
    with _one_thread(), ThreadPoolExecutor(threads) as pool:
        return reduce(_merge, pool.map(_moments_of_piece, pieces))


def _moments_of_piece(rows: Float[np.ndarray, "snapshot hidden"]) -> _Moments:
    """Take products of deviations from nearly the mean, then move them to the mean itself."""
    if rows.dtype not in (np.float32, np.float64):
        rows = rows.astype(np.float64)
    count = len(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        sample = rows[:: max(1, count // 64)]
        near = _mean(sample).astype(rows.dtype)
        # products of the numbers themselves do when the mean is no larger than the deviations
        shifted = not near @ near <= np.square(sample - near).sum() / len(sample)
        deviations = rows - near if shifted else rows
        rest = (np.ones(count, rows.dtype) @ deviations).astype(np.float64) / count
        products = (deviations.T @ deviations).astype(np.float64)
        scatter = products - count * np.outer(rest, rest)
    spread = np.trace(products)
    # squares of single numbers beyond these leave the range of single precision
    if rows.dtype == np.float32 and not 1e-30 < spread < 1e36:
        return _moments_of_piece(rows.astype(np.float64))
    _check_finite(spread)
    return _Moments(count, near + rest if shifted else rest, scatter)


def _mean(rows: Float[np.ndarray, "snapshot hidden"]) -> Float[np.ndarray, " hidden"]:
    """Average in double precision, exactly where all rows are the same."""
    return rows[0] + (rows - rows[0]).mean(axis=0, dtype=np.float64)


def _deviations(
    rows: Float[np.ndarray, "snapshot hidden"], centred: bool
) -> tuple[Float[np.ndarray, "snapshot hidden"], Float[np.ndarray, " hidden"]]:
    """Return the deviations from the mean, or from zero, in double precision; and the mean."""
    _check_finite(rows)
    rows = rows.astype(np.float64, copy=False)
    mean = _mean(rows) if centred else np.zeros(rows.shape[1])
    return rows - mean, mean


def _roots(
    matrix: Float[np.ndarray, "mode mode"],
) -> tuple[Float[np.ndarray, " mode"], Float[np.ndarray, "mode mode"]]:
    """Return roots of the eigenvalues, from large to small, and eigenvectors as columns."""
    values, vectors = np.linalg.eigh(matrix)
    return np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]


def _from_moments(moments: _Moments, centred: bool, kept: int) -> POD:
    count, mean, matrix = moments
    if not centred:
        matrix = matrix + count * np.outer(mean, mean)
        mean = np.zeros_like(mean)
    with _one_thread():
        s, vectors = _roots(matrix)
    return _result(vectors.T[:kept], s, mean, count)


def _result(modes: np.ndarray, s: np.ndarray, mean: np.ndarray, count: int) -> POD:
    """Turn the signs, and cut the singular values to the modes that are kept."""
    with np.errstate(over="ignore"):
        energy = float((s**2).sum())
    _check_finite(energy)
    if energy == 0:
        raise ValueError(
            "all singular values are zero, so there are no modes: give snapshots that differ, or "
            "that are not all zero where they are not centred."
        )
    largest = np.abs(modes).argmax(axis=1)
    sign = np.where(modes[np.arange(len(modes)), largest] < 0, -1.0, 1.0)
    return POD(modes * sign[:, None], s[: len(modes)], mean, count, energy)


def _rows(snapshots: np.ndarray) -> Float[np.ndarray, "snapshot hidden"]:
    snapshots = checks.real("snapshots", snapshots)
    shape = snapshots.shape
    if len(shape) < 2 or not shape[-1]:
        raise ValueError(
            f"snapshots have shape {shape}: give (..., hidden), two axes or more, "
            "with at least one hidden unit."
        )
    return snapshots.reshape(prod(shape[:-1]), shape[-1])


def _kept(shape: tuple[int, ...], centred: bool, modes: int | None) -> int:
    """Return the number of modes to keep, after a check that so many exist."""
    count, hidden = shape
    least = 2 if centred else 1
    if count < least:
        kind = "centred" if centred else "uncentred"
        raise ValueError(f"{count} snapshots are too few: {kind} modes take at least {least}.")
    most = min(count, hidden)
    if modes is not None and not checks.is_whole(modes, 1, most):
        raise ValueError(
            f"{count} snapshots of {hidden} hidden units do not have {modes} modes: "
            f"choose from 1 to {most}."
        )
    return most if modes is None else int(modes)


def _check_finite(numbers: np.ndarray | float) -> None:
    if not np.isfinite(numbers).all():
        raise ValueError(
            "NaN, infinity or a number too large to square is not allowed: give finite numbers."
        )
