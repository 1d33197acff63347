"""Do networks that do the same task agree? Their states are compared, and how they end.

The limit sets of decoders of circle and ellipse are published in ``attractors``: how many there
are, and of which kind. That is topology. Here the same networks are trained again, and the geometry
of their hidden states is compared, frame by frame on the same test sequences, for each two networks
of one task: linear CKA, and the Procrustes angle, see ``analysis.similarity``. Both are blind to
turns and scale. What is compared is the hidden state that the readout reads, not the cell state of
an LSTM, in the frames that were to be predicted.

Rivals without training: the same networks before it, fed with their own outputs; the outputs that
the task asks for, two numbers in each frame; and *echo-state networks*, random ones that are fed
the true frames. CKA is also measured *beyond the outputs*, of what is left of the states when all
that is linear in the true outputs is taken out.

Networks are the same if they train and start alike; what is random is the seed. *The topology* of
two networks is the same if they have as many limit sets, of the same kinds; closed curves are one
kind. The unit is a network, not a pair: where pairs are compared, networks are permuted.

Known beforehand: the published limit sets of the same networks. No states had been compared when
this was written.

Expected:

1. CKA is higher within a cell than between cells: at 64 units, the median over pairs of networks of
   two cells is below the medians within either, for most of the six pairs of cells.
2. Trained pairs of one cell and size agree more than untrained ones, by their medians of CKA, in
   most groups. But the outputs explain most of it: the median CKA of a trained network with the
   true outputs is above 0.7.
3. The topology is the same in more than half of the pairs of one cell and size, and in fewer than
   half of the pairs of different cells at 64 units.
4. CKA does not tell whether it is: within a cell and size, pairs of the same topology differ from
   others by less than 0.05 in CKA, on average.
5. Networks agree more as they grow: the median CKA of two GRUs of one size is larger at 128 units
   than at 8, and rises at three of the four steps at least, in both tasks.

References:
    Maheswaranathan and others (2019), universality and individuality; Huang and others (2025),
    degeneracy of solutions; Jaeger (2001), echo-state networks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import similarity
from rnnatomy.networks import access, predictors, training
from rnnatomy.store import disk, results
from rnnatomy.studies import attractors, engine, gauges, orbits, progress
from rnnatomy.studies.movement import fitting

RADIUS, INPUT = 0.9, 0.5
"""Spectral radius of the recurrent matrix of an echo-state network, and the largest weight of its
inputs."""

ECHO, RANDOM = "echo", "random"
"""Cell and state of echo-state networks, as of ``attractors.Batch``."""

MEASURES = ("cka", "angle", "beyond")
"""What is measured of each two networks: CKA, the Procrustes angle in radians, and CKA beyond the
outputs. That dynamics agree is told by limit sets alone: the package of dynamical similarity
analysis (Ostrow and others 2023) is kept, but needs PyTorch and a dozen others."""

AXES = {
    f"{task}_{name}": axes
    for task in orbits.TASKS
    for name, axes in {
        "error": (f"{task}_network",),
        "outputs": (f"{task}_network",),
        **dict.fromkeys(MEASURES, (f"{task}_network", f"{task}_other")),
    }.items()
}
"""Axes of the published arrays, see ``measure`` and ``compare``."""


def publish(networks: int = 8, report: Callable[[str], None] = progress.print_line) -> None:
    """Train decoders, compare each two of a task, and publish it: ``results/universality``.

    Each network is a job, and so is the comparison of all of a task.

    Args:
        networks: how many of each cell, task, size and state, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
    """
    rows = [(batch, seed) for batch in _batches() for seed in range(networks)]
    kept = engine.run("universality, networks", [_job(*row) for row in rows], report=report)
    own = {
        task: [one for (batch, _), one in zip(rows, kept, strict=True) if batch.task == task]
        for task in orbits.TASKS
    }
    compared = engine.run(
        "universality", [_compare_job(*one) for one in own.items()], report=report
    )
    arrays: disk.Arrays = {}
    for (task, members), tables in zip(own.items(), compared, strict=True):
        found = [engine.load(one).arrays for one in members]
        for name in ("error", "outputs"):
            arrays[f"{task}_{name}"] = np.stack([one[name] for one in found])
        arrays |= {f"{task}_{name}": table for name, table in engine.load(tables).arrays.items()}
    data = results.dataset(arrays, AXES, _coordinates(rows))
    facts = {"networks": len(rows), "seeds": networks}
    results.publish("universality", data, engine.facts(kept, compared) | _facts() | facts)


def measure(
    cell: str,
    task: str,
    hidden: int,
    state: str,
    seed: Sequence[int],
    recipe: dict[str, Any] | None = None,
) -> list[disk.Arrays]:
    """Train networks of a batch, and run them on test sequences, as a job.

    Args:
        cell: as of ``attractors.Batch``, or ``ECHO``.
        task: as of ``attractors.Batch``.
        hidden: as of ``attractors.Batch``.
        state: "trained" or "untrained", or ``RANDOM``.
        seed: one network each.
        recipe: fields of the recipe; None for networks that are not trained.

    Returns:
        Of each network "states" (point, hidden), the decoder's in one frame of
        ``predictors.SKIP``; "targets" (point, feature), the true outputs there; "outputs", the CKA
        of both; and "error", mean squared, on all test sequences, not a number of echo states.
    """
    data = orbits.task(np.random.default_rng(0), task)
    few, _ = attractors.few_of_each(data.test)
    frames = few.targets.shape[1]
    if cell == ECHO:
        drawn = [echo_states(np.random.default_rng(number), few, hidden) for number in seed]
        return [_row(states, few, np.nan) for states in drawn]
    if recipe is None:
        create = predictors.seq2seq(2, hidden, cell=cell)
        models: list[Any] = [create(jax.random.key(number)) for number in seed]
    else:
        batch = attractors.Batch(cell, task, hidden, state)
        fitted = attractors.fit(batch, data, seed, training.Recipe(**recipe))
        last = [fitting.networks_by_epoch(fitted, place)[-1] for place in range(len(seed))]
        models = list(map(access.in_jax, last))
    return [
        _row(
            predictors.trajectory(model, few.inputs, frames).decoder,
            few,
            gauges.error(model, orbits.examples(data.test)),
        )
        for model in models
    ]


def echo_states(
    rng: np.random.Generator, given: predictors.Examples, hidden: int
) -> Float[np.ndarray, "sample time hidden"]:
    """Feed the true frames to a random network, and return its states in those to be predicted.

        h <- tanh(R h + V x),  h = 0 at first

    As that of a decoder, a state has been fed all frames before the one that it stands for.

    Args:
        rng: source of R, normal and scaled to the spectral radius ``RADIUS``, and of V, uniform.
        given: what is read, and then fed.
        hidden: number of units.

    Reference:
        Jaeger (2001).
    """
    frames = np.concatenate([given.inputs, given.targets[:, :-1]], axis=1).astype(float)
    R = rng.normal(size=(hidden, hidden))
    R *= RADIUS / np.abs(np.linalg.eigvals(R)).max()
    V = rng.uniform(-INPUT, INPUT, (hidden, frames.shape[2]))
    states, h = [], np.zeros((len(frames), hidden))
    for x in frames.swapaxes(0, 1):
        h = np.tanh(h @ R.T + x @ V.T)
        states.append(h)
    return np.stack(states[-given.targets.shape[1] :], axis=1)


def compare(**networks: engine.Made) -> disk.Arrays:
    """Compare each two networks of a task, as a job.

    Args:
        networks: as of ``measure``; names are in the order in which they are sorted.

    Returns:
        By the names of ``MEASURES``: (network, other).
    """
    found = [networks[name].arrays for name in sorted(networks)]
    every = [one["states"] for one in found]
    whole = similarity.tables(every)
    left = [similarity.residual(one["states"], one["targets"]) for one in found]
    beyond = similarity.tables(left).cka
    return disk.single({"cka": whole.cka, "angle": whole.angle, "beyond": beyond})


def _row(
    states: Float[np.ndarray, "sample time hidden"], given: predictors.Examples, error: float
) -> disk.Arrays:
    points, targets = (
        array[:, :: predictors.SKIP].reshape(-1, array.shape[2])
        for array in (states, given.targets)
    )
    outputs = similarity.linear_cka(points, targets)
    return disk.single({"states": points, "targets": targets, "outputs": outputs, "error": error})


def _batches() -> list[attractors.Batch]:
    """Return those of ``attractors`` whose futures are their own, and echo-state networks."""
    own = [batch for batch in attractors._batches() if batch.state != "shuffled"]
    sizes = [(task, hidden) for task in orbits.TASKS for hidden in orbits.SIZES]
    return own + [attractors.Batch(ECHO, *size, RANDOM) for size in sizes]


def _job(batch: attractors.Batch, seed: int) -> engine.Job:
    settings = batch._asdict() | {"seed": seed}
    if batch.state == "trained":
        settings |= {"recipe": orbits.RECIPE._asdict()}
    return engine.Job(f"universality-{batch.name}-{seed}", measure, settings, many="seed")


def _compare_job(task: str, members: Sequence[engine.Kept]) -> engine.Job:
    named = {f"network_{number:04d}": kept for number, kept in enumerate(members)}
    return engine.Job(f"universality-{task}", compare, {}, named)


def _coordinates(rows: Sequence[tuple[attractors.Batch, int]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for task in orbits.TASKS:
        own = [(batch, seed) for batch, seed in rows if batch.task == task]
        axis, names = f"{task}_network", [f"{batch.name}-{seed}" for batch, seed in own]
        found |= {axis: names, f"{task}_other": names}
        found |= {
            f"{task}_{name}": ((axis,), [getattr(batch, name) for batch, _ in own])
            for name in ("cell", "hidden", "state")
        }
        found[f"{task}_seed"] = ((axis,), [seed for _, seed in own])
    return found


def _facts() -> dict[str, Any]:
    return {
        "recipe": orbits.RECIPE._asdict(),
        "starts": attractors.STARTS,
        "skip": predictors.SKIP,
        "radius": RADIUS,
        "input": INPUT,
    }
