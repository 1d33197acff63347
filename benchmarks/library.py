"""Time the library side by side with its peers, in one run: ``make bench``.

Each pair is timed in turn, A B A B, and the medians and their ratio are printed. Figures of
different runs, or of different machines, do not compare.
"""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from rnnatomy.analysis import cutoffs, svd
from rnnatomy.data import datasets
from rnnatomy.networks import runs, training
from rnnatomy.studies import classifiers

ROUNDS = 5


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - start


def pair(name: str, a: tuple[str, Callable], b: tuple[str, Callable]) -> None:
    """Time two callables in turn, after one call of each that is not counted."""
    seconds(a[1]), seconds(b[1])
    times = np.array([[seconds(a[1]), seconds(b[1])] for _ in range(ROUNDS)])
    print(name)
    report((a[0], b[0]), times)


def report(labels: tuple[str, str], times: np.ndarray) -> None:
    """Print the medians of two columns of seconds, and their ratio row by row."""
    for label, column in zip(labels, times.T, strict=True):
        print(f"  {label:44s} {np.median(column) * 1e3:9.1f} ms (median of {len(times)})")
    ratio = times[:, 0] / times[:, 1]
    print(
        f"  ratio {np.median(ratio):.2f}, from {ratio.min():.2f} to {ratio.max():.2f}", flush=True
    )


def epoch_against_steps() -> None:
    """One compiled epoch against one compiled call per step, on the embedded digits."""
    data = datasets.digits()
    train = (jnp.asarray(data.train.images), jnp.asarray(data.train.labels))
    recipe = training.Recipe(epochs=1, batch=32)
    create = classifiers.classifier(data)
    keys = jax.random.key(0)[None]
    steps = len(train[0]) // recipe.batch
    optimiser = training.one_cycle(recipe, steps)
    graph, parameters = nnx.split(create(keys[0]))
    memory = optimiser.init(parameters)
    whole = training.compiled_epoch(graph, training.cross_entropy, recipe, len(train[0]))
    stacked = jax.tree.map(lambda leaf: leaf[None], (parameters, memory))

    moment = training.Moment(keys[0], jnp.zeros(()))

    @jax.jit
    def step(parameters, memory, batch):
        slope = jax.grad(lambda p: training.cross_entropy(nnx.merge(graph, p), batch, moment))(
            parameters
        )
        updates, memory = optimiser.update(slope, memory, parameters)
        return optax.apply_updates(parameters, updates), memory

    def stepwise():
        state = (parameters, memory)
        order = np.random.default_rng(0).permutation(len(train[0]))
        for rows in order[: steps * recipe.batch].reshape(steps, -1):
            state = step(*state, (train[0][rows], train[1][rows]))
        return state

    pair(
        "An epoch of 1,297 images of 8 x 8, batches of 32, 128 units",
        ("one call per epoch", lambda: whole(stacked, keys, 0, train)),
        ("one call per step", stepwise),
    )


def every_cutoff_against_loops() -> None:
    """All 1,024 cutoffs of a readout, against rebuilding W, and against running the network."""
    run = runs.load_run("mnist-0")
    parts, states = svd.svd(run.readout), run.states
    images = jnp.asarray(np.random.default_rng(0).random((10_000, 28, 28), np.float32))
    model = runs.restore(run)
    predict = jax.jit(partial(training.predict, model))

    def rebuild() -> None:
        for subset in range(1024):
            kept = svd.select(parts, [k + 1 for k in range(10) if subset >> k & 1])
            W = svd.compose(kept).astype(np.float32)
            cutoffs.recall(states @ W.T + run.bias, run.labels)

    ours = "all 1,024 cutoffs", lambda: cutoffs.every_cutoff(parts, run.bias, states, run.labels)
    title = "All 1,024 cutoffs of a readout on 10,000 states"
    pair(title, ours, ("a NumPy loop that rebuilds W for each", rebuild))
    once = "the network run over 10,000 images, once", lambda: predict(images)
    pair(title + ", against running the network (times 1,024 to compare)", ours, once)


if __name__ == "__main__":
    print(f"{jax.devices()[0].platform}, {len(jax.devices())} device(s)")
    epoch_against_steps()
    every_cutoff_against_loops()
