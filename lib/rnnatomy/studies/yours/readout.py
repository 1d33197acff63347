"""The output layer of a network from elsewhere: what hangs on each of its directions."""

import math
from typing import Any

import numpy as np

from rnnatomy.analysis import controls, cutoffs, explained, sampled, svd, understudies
from rnnatomy.store import disk
from rnnatomy.studies import engine, questions
from rnnatomy.studies.yours import asked, looked

LOST = 0.1
"""Recall, or share of variance explained, below which a class or an output counts as lost."""

FEW_BASES = 3
"""Random bases that are asked where there are more than ``cutoffs.MOST_MODES`` directions."""

ORDERS = 100
"""In which directions are added where not all cutoffs can be taken."""


def measure(
    config: dict[str, Any], weights: disk.Arrays, task: asked.Task, seed: int
) -> engine.Made:
    """Ask one network about its output layer, as a job; see ``of_readout``."""
    run = looked.run(looked.made(config, weights), task)
    return engine.Made(disk.single(of_readout(run, task, np.random.default_rng(seed))))


def of_readout(run: looked.Run, task: asked.Task, rng: np.random.Generator) -> disk.Arrays:
    """Ask a network what each class, or each output, loses without directions of its readout.

    A score is the recall of a class, or the share of an output's variance that is explained.

    Args:
        run: a network and what it reads.
        task: what it is asked.
        rng: source of random directions and orders.

    Returns:
        "readout", "bias", "singular_values" and "left" (name, direction); "outputs" (answer, name);
        scores with nothing cut, "full" (name), without each direction, "single" (direction, name),
        and with the first ones only, "nested" (rank, name); without each direction of random bases
        in the space that softmax sees, "random" (basis, direction, name). Of classes also
        "nearest_constant", the largest cosine of a left vector with the constant one; Shapley
        values, "worth" (direction, name), with standard errors, "worth_errors", which are 0 where
        all cutoffs were taken; and where they were, without pairs of directions, "pairs" (pair,
        name), and so for random bases, "random_pairs" (basis, pair, name).
    """
    found = {
        "readout": run.readout.W,
        "bias": run.readout.b,
        "singular_values": run.parts.s,
        "left": run.parts.U,
        "outputs": run.outputs,
    }
    if not task.by_class:
        return found | _of_values(run, task, rng)
    found["nearest_constant"] = np.array(svd.cosines_with_constant(run.parts).max())
    given = (run.parts, run.readout.b, run.read, task.answers)
    if len(run.readout.b) > cutoffs.MOST_MODES:
        return found | _of_many(run, task, rng)
    recalls = cutoffs.every_cutoff(*given)
    worth = cutoffs.shapley(recalls)
    found |= cutoffs.single_and_nested(recalls)._asdict()
    found |= {"worth": worth, "worth_errors": np.zeros_like(worth)}
    seen = min(len(run.parts.s), len(run.readout.b) - 1)
    bases = questions.random_bases(run.readout.W, rng)
    random = cutoffs.without_directions(bases, *run.readout, run.read, task.answers)
    pairs = cutoffs.removed(recalls, seen).pairs if seen > 1 else np.zeros((0, len(worth.T)))
    return found | {"pairs": pairs, "random": random.single, "random_pairs": random.pairs}


def without(run: looked.Run, task: asked.Task) -> disk.Arrays:
    """Return scores with nothing cut, "full", without each direction, "single", and "nested"."""
    given = (run.parts, run.readout.b, run.read, task.answers)
    return dict((cutoffs.cutoffs if task.by_class else explained.explained)(*given)._asdict())


def _of_many(run: looked.Run, task: asked.Task, rng: np.random.Generator) -> disk.Arrays:
    """Ask what can be asked of many directions: single and nested cutoffs, and sampled values."""
    given = (run.parts, run.readout.b, run.read, task.answers)
    found = without(run, task)
    worth = sampled.shapley(rng, *given, orders=ORDERS)
    found |= {"worth": worth.values, "worth_errors": worth.errors}
    bases = questions.random_bases(run.readout.W, rng)[:FEW_BASES]
    none = np.zeros((len(bases), bases.shape[2], len(run.readout.b)))
    for basis, row in zip(bases, none, strict=True):
        sums = run.read @ run.readout.W.T
        for k, q in enumerate(basis.T):
            outputs = sums - np.outer(sums @ q, q) + run.readout.b
            row[k] = cutoffs.recall(outputs, task.answers)
    return found | {"random": none}


def _of_values(run: looked.Run, task: asked.Task, rng: np.random.Generator) -> disk.Arrays:
    """Ask a readout that answers with numbers; no direction is hidden from it."""
    found, count = without(run, task), len(run.readout.b)
    bases = [controls.random_basis(rng, count) for _ in range(questions.BASES)]
    random = explained.without_directions(np.stack(bases), *run.readout, run.read, task.answers)
    return found | {"random": random}


def lost(single: np.ndarray, full: np.ndarray) -> np.ndarray:
    """Tell which classes or outputs are lost without one direction, and were there before.

    Args:
        single: scores (..., direction, name).
        full: with nothing cut (..., name), or of one network (name).

    Returns:
        (..., name).
    """
    return np.asarray(((single < LOST) & (full[..., None, :] >= LOST)).any(axis=-2))


def stand_ins(full: np.ndarray, single: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Find pairs of directions of which one stands in for the other, by the rule of the book.

    Args:
        full: recall with nothing cut (name).
        single: without one (direction, name); those beyond what softmax sees are in no pair.
        pairs: without two (pair, name).

    Returns:
        (pair, name), see ``understudies.find``; no pair where softmax sees one direction only.
    """
    if not len(pairs):
        return np.zeros(pairs.shape, bool)
    seen = (1 + math.isqrt(1 + 8 * len(pairs))) // 2
    removed = cutoffs.Removed(full, single[:seen], pairs)
    return understudies.find(removed, understudies.RULES["stated"])
