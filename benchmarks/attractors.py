"""Time fixed points and Lyapunov exponents of a recurrent network against peers, in one run.

Each pair is timed in turn, A B A B, and the medians and their ratio are printed. The network is a
GRU of 128 units that is not trained; its recurrent matrices are made larger, so that its states do
not all come to rest. PyTorch is asked only where it is installed: in an environment with
``requirements-peers.txt`` and this library.

PyTorch has its best chance, as far as it was looked for: double precision, all starts at once, Adam
on |F(h) - h|^2 / 2 as finders of fixed points in that field do it, with the best of some learning
rates and averages that were tried, and Newton's steps at the end, which Adam alone would need to
come to so small a speed. Fewer starts come to a fixed point so than with this library. Then two
ratios are printed: of seconds, and of seconds for each start that came to a fixed point.

    python benchmarks/attractors.py [STARTS]

STARTS are 1,024 unless said otherwise; fewer are for a short run.
"""

import sys
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

RATE, BETAS = 0.03, (0.9, 0.95)
DOWN, NEWTON = 30_000, 12
"""Of PyTorch's minimiser: the learning rate, which falls to nothing as a cosine, and how long
gradients are averaged; and how many steps of Adam there are, and of Newton. With 8,000 steps, about
two thirds as many starts come to a fixed point."""


class Weights(NamedTuple):
    """A GRU that is fed zeros: recurrent kernels (hidden, hidden) and biases, by gate."""

    Rr: Any
    Rz: Any
    Rn: Any
    br: Any
    bz: Any
    bn: Any


def network(starts: int) -> tuple[autonomous.Autonomous, Weights, np.ndarray]:
    """Return a GRU as a map, its arrays, and states that it comes to."""
    model = models.Classifier(28, HIDDEN, 10, cell="gru", rngs=nnx.Rngs(0))
    larger = {name: GAIN * W for name, W in access.matrices(model).items()}
    model = access.with_matrices(model, larger)
    own, arrays = autonomous.driven(model, np.zeros(28)), access.flatten(model)
    R = np.split(arrays["cell.dense_h.kernel"].astype(float), 3, axis=1)
    b = np.split(arrays["cell.dense_i.bias"].astype(float), 3)
    images = np.random.default_rng(0).random((starts, 28, 28))
    return own, Weights(*R, *b), own.start(images)


def numpy_exponents(
    weights: Weights, h: np.ndarray, steps: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Measure exponents by a loop over steps, with Jacobians written out by hand.

    The first directions and the weights of steps are those of ``maps.lyapunov``, so that both
    measure the same.
    """
    Rr, Rz, Rn, br, bz, bn = weights
    hidden = h.shape[1]
    rows, columns = np.arange(1, hidden + 1), np.arange(1, count + 1)
    first = np.linalg.qr(np.cos(np.sqrt(2) * np.outer(rows, columns) + rows[:, None] ** 2))[0]
    Q, grown = np.repeat(first[None], len(h), axis=0), np.zeros((len(h), count))
    inner = np.arange(1, steps + 1) / (steps + 1)
    counted = np.exp(-1 / (inner * (1 - inner)))
    for weight in counted / counted.sum():
        r, z, inner = sigmoid(br + h @ Rr), sigmoid(bz + h @ Rz), h @ Rn
        n = np.tanh(bn + r * inner)
        through = r[:, :, None] * Rn.T + (inner * r * (1 - r))[:, :, None] * Rr.T
        J = ((h - n) * z * (1 - z))[:, :, None] * Rz.T
        J += ((1 - z) * (1 - n**2))[:, :, None] * through
        J[:, np.arange(hidden), np.arange(hidden)] += z
        h = (1 - z) * n + z * h
        Q, triangle = np.linalg.qr(J @ Q)
        grown += weight * np.log(np.abs(np.diagonal(triangle, axis1=1, axis2=2)))
    return h, grown


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def torch_points(weights: Weights, starts: np.ndarray, steps: int = DOWN) -> np.ndarray:
    """Minimise |F(h) - h|^2 / 2 by Adam, all starts at once, and end with Newton's steps.

    Returns:
        The speed |F(h) - h| that each start has come to.
    """
    import torch

    kernel = torch.from_numpy(np.concatenate(weights[:3], axis=1))
    br, bz, bn = map(torch.from_numpy, weights[3:])

    def change(h: Any) -> Any:
        r, z, n = (h @ kernel).chunk(3, dim=-1)
        z = torch.sigmoid(bz + z)
        return (1 - z) * (torch.tanh(bn + torch.sigmoid(br + r) * n) - h)

    h = torch.from_numpy(starts.copy()).requires_grad_()
    optimiser = torch.optim.Adam([h], lr=RATE, betas=BETAS, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad(set_to_none=True)
        (change(h).square().sum() / 2).backward()
        optimiser.step()
        schedule.step()
    jacobians = torch.func.vmap(torch.func.jacfwd(change))
    with torch.no_grad():
        for _ in range(NEWTON):
            h = h - torch.linalg.solve_ex(jacobians(h), change(h))[0]
        return change(h).norm(dim=1).numpy()


def in_turn(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> np.ndarray:
    """Time two callables in turn, after one call of ours that is not counted."""
    seconds(ours)
    return np.array([[seconds(theirs), seconds(ours)] for _ in range(rounds)])


def points_against_torch(count: int) -> None:
    """Fixed points from many starts, against the same minimum sought by gradients in PyTorch."""
    own, weights, states = network(count)
    starts = states + 0.1 * np.random.default_rng(1).normal(size=states.shape)
    print(f"Fixed points of a GRU of {HIDDEN} units from {count:,} starts, to {TOLERANCE:g}")
    found = points(own, starts)
    print(f"  ours: {found.counts.sum()} starts come to {len(found)} points", flush=True)
    if find_spec("torch") is None:
        print(f"  maps.fixed_points {seconds(lambda: points(own, starts)):40.1f} s")
        print("  PyTorch is not installed here: nothing to compare with.", flush=True)
        return
    torch_points(weights, starts, 10)
    told: list[np.ndarray] = []
    times = in_turn(
        lambda: points(own, starts), lambda: told.append(torch_points(weights, starts)), ROUNDS
    )
    reached = int((told[-1] < TOLERANCE).sum())
    print(f"  PyTorch: {reached} starts come to a fixed point after {DOWN:,} steps of Adam")
    names = "PyTorch, Adam and Newton, batched", "maps.fixed_points"
    report(names, times)
    print("  for each start that came to a fixed point:")
    report(names, times / [max(reached, 1), found.counts.sum()])


def points(own: autonomous.Autonomous, starts: np.ndarray) -> maps.FixedPoints:
    return maps.fixed_points(own.step, starts, tolerance=TOLERANCE)


def exponents_against_numpy() -> None:
    """Leading exponents along many orbits, against a NumPy loop with analytic Jacobians."""
    own, weights, starts = network(ORBITS)
    part = STEPS // PART
    after, rates = numpy_exponents(weights, starts, part, COUNT)
    same = maps.lyapunov(own.step, starts, part, COUNT)
    apart = np.abs(after - same.states).max()
    print(f"{COUNT} exponents of {ORBITS} orbits of {HIDDEN} units over {STEPS:,} steps")
    wide = np.abs(rates - same.values).max()
    print(f"  after {part} steps states differ by at most {apart:.1e}, exponents by {wide:.1e}")
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
    points_against_torch(int(sys.argv[1]) if sys.argv[1:] else STARTS)
