"""Time fixed points and Lyapunov exponents of a recurrent network against peers, in one run.

Each pair is timed in turn, A B A B, and the medians and their ratio are printed. The network is a
GRU of 128 units that is not trained; its recurrent matrices are made larger, so that its states do
not all come to rest. PyTorch is asked only where it is installed: in an environment with
``requirements-peers.txt`` and this library.

    python benchmarks/attractors.py
"""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from library import report, seconds
from threadpoolctl import threadpool_limits

from rnnatomy.analysis import maps
from rnnatomy.networks import access, autonomous, models

ROUNDS = 3
HIDDEN, GAIN = 128, 2.2
STARTS, TOLERANCE = 1024, 1e-10
ORBITS, STEPS, COUNT = 100, 2000, 16
PART = 20
"""The NumPy loop is timed on one of so many parts of the steps, and its time is multiplied."""

RATE, FEWEST, MOST, SHARE = 0.1, 1e-6, 20_000, 0.9
"""Of PyTorch's optimiser: the first learning rate, the least one, and the most steps; it may end
when this share of the starts is as slow as is asked."""


class Weights(NamedTuple):
    """A GRU that is fed zeros: recurrent kernels (hidden, hidden) and biases, by gate."""

    Rr: Any
    Rz: Any
    Rn: Any
    br: Any
    bz: Any
    bn: Any


def network() -> tuple[autonomous.Autonomous, Weights, np.ndarray]:
    """Return a GRU as a map, its arrays, and states that it comes to."""
    model = models.Classifier(28, HIDDEN, 10, cell="gru", rngs=nnx.Rngs(0))
    larger = {name: GAIN * W for name, W in access.matrices(model).items()}
    model = access.with_matrices(model, larger)
    own, arrays = autonomous.driven(model, np.zeros(28)), access.flatten(model)
    R = np.split(arrays["cell.dense_h.kernel"].astype(float), 3, axis=1)
    b = np.split(arrays["cell.dense_i.bias"].astype(float), 3)
    images = np.random.default_rng(0).random((STARTS, 28, 28))
    return own, Weights(*R, *b), own.start(images)


def numpy_exponents(
    weights: Weights, h: np.ndarray, steps: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Measure exponents by a loop over steps, with Jacobians written out by hand."""
    Rr, Rz, Rn, br, bz, bn = weights
    hidden = h.shape[1]
    first = np.linalg.qr(np.random.default_rng(0).normal(size=(hidden, count)))[0]
    Q, grown = np.repeat(first[None], len(h), axis=0), np.zeros((len(h), count))
    for _ in range(steps):
        r, z, inner = sigmoid(br + h @ Rr), sigmoid(bz + h @ Rz), h @ Rn
        n = np.tanh(bn + r * inner)
        through = r[:, :, None] * Rn.T + (inner * r * (1 - r))[:, :, None] * Rr.T
        J = ((h - n) * z * (1 - z))[:, :, None] * Rz.T
        J += ((1 - z) * (1 - n**2))[:, :, None] * through
        J[:, np.arange(hidden), np.arange(hidden)] += z
        h = (1 - z) * n + z * h
        Q, triangle = np.linalg.qr(J @ Q)
        grown += np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2)))
    return h, grown / steps


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def torch_points(weights: Weights, starts: np.ndarray) -> tuple[np.ndarray, int]:
    """Minimise |F(h) - h|^2 / 2 by Adam, all starts at once; the rate is halved where it stalls.

    Returns:
        The speed |F(h) - h| of each start, and how many steps were taken.
    """
    import torch

    Rr, Rz, Rn, br, bz, bn = map(torch.from_numpy, weights)
    h = torch.from_numpy(starts.copy()).requires_grad_()
    optimiser = torch.optim.Adam([h], lr=RATE)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimiser, factor=0.5, patience=20, min_lr=FEWEST
    )
    for number in range(MOST):
        r, z = torch.sigmoid(br + h @ Rr), torch.sigmoid(bz + h @ Rz)
        after = (1 - z) * torch.tanh(bn + r * (h @ Rn)) + z * h
        halves = (after - h).square().sum(dim=1) / 2
        if number % 10 == 0:
            speeds = (2 * halves.detach()).sqrt()
            if (speeds < TOLERANCE).double().mean() >= SHARE:
                break
        optimiser.zero_grad(set_to_none=True)
        halves.sum().backward()
        optimiser.step()
        schedule.step(halves.detach().mean())
    return speeds.numpy(), number


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> np.ndarray:
    """Time two callables in turn, after one call of ours that is not counted."""
    seconds(ours)
    return np.array([[seconds(theirs), seconds(ours)] for _ in range(rounds)])


def points_against_torch() -> None:
    """Fixed points from many starts, against the same minimum sought by gradients in PyTorch."""
    own, weights, states = network()
    starts = states + 0.1 * np.random.default_rng(1).normal(size=states.shape)
    title = f"Fixed points of a GRU of {HIDDEN} units from {STARTS:,} starts, to {TOLERANCE:g}"
    print(title)
    found = maps.fixed_points(own.step, starts, tolerance=TOLERANCE)
    print(f"  ours: {found.counts.sum()} starts come to {len(found)} points", flush=True)
    if find_spec("torch") is None:
        start = time.perf_counter()
        maps.fixed_points(own.step, starts, tolerance=TOLERANCE)
        print(f"  maps.fixed_points {time.perf_counter() - start:40.1f} s")
        print("  PyTorch is not installed here: nothing to compare with.", flush=True)
        return
    told = []
    times = in_turn(
        lambda: maps.fixed_points(own.step, starts, tolerance=TOLERANCE),
        lambda: told.append(torch_points(weights, starts)),
        1,
    )
    speeds, steps = told[-1]
    reached = np.mean(speeds < TOLERANCE)
    print(f"  PyTorch: {100 * reached:.0f} % of the starts are as slow after {steps} steps of Adam")
    report(("PyTorch, Adam, batched", "maps.fixed_points"), times)


def exponents_against_numpy() -> None:
    """Leading exponents along many orbits, against a NumPy loop with analytic Jacobians."""
    own, weights, states = network()
    starts, part = states[:ORBITS], STEPS // PART
    after, rates = numpy_exponents(weights, starts, part, COUNT)
    same = maps.lyapunov(own.step, starts, part, COUNT)
    apart = np.abs(after - same.states).max()
    print(f"{COUNT} exponents of {ORBITS} orbits of {HIDDEN} units over {STEPS:,} steps")
    print(f"  states of both differ by {apart:.1e} at most after {part} steps; mean exponents:")
    print(f"  {rates[:, :3].mean(axis=0).round(3)} {same.values[:, :3].mean(axis=0).round(3)}")
    for threads in (1, None):
        with threadpool_limits(threads, user_api="blas"):
            times = in_turn(
                lambda: maps.lyapunov(own.step, starts, STEPS, COUNT),
                lambda: numpy_exponents(weights, starts, part, COUNT),
                ROUNDS,
            )
        times[:, 0] *= PART
        words = "1 thread" if threads else "all threads"
        report((f"NumPy, {words}, {part} steps times {PART}", "maps.lyapunov"), times)


if __name__ == "__main__":
    print(f"{jax.devices()[0].platform}, {len(jax.devices())} device(s)")
    exponents_against_numpy()
    points_against_torch()
