"""A network whose eights hang on the fifth direction, as those of the network of the thesis did."""

import numpy as np

from rnnatomy.analysis import svd
from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.store import results
from rnnatomy.studies import classifiers, engine, progress, questions

DIRECTION, DIGIT = 5, 8

LOST = questions.THRESHOLDS[0]
"""Recall below which a digit is practically lost."""


def publish(networks: int = 1) -> None:
    """Publish such networks whole, as runs ``results/eights-<seed>``.

    The seeds are those of the study ``thousand`` whose networks lose the digit without the
    direction, from the lowest up. Another processor makes other networks of them, and few of these
    lose it as well: they are trained one after the other until enough do.

    Args:
        networks: how many.

    Raises:
        ValueError: if not so many lose it.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    seeds = candidates()
    progress.print_line(f"MNIST from {data.source}; {len(seeds)} seeds for {networks} networks")
    found = 0
    for seed in seeds:
        (kept,) = classifiers.trained(
            "thousand", seed + 1, recipe, classifiers.HIDDEN, data, first_seed=seed
        )
        left = recall_without(classifiers.unpack(engine.load(kept), kept.label))
        print(f"seed {seed}: without direction {DIRECTION}, {left:.2f} of the {DIGIT}s are read")
        if left < LOST:
            named = kept._replace(label=f"eights-{seed}")
            classifiers.publish_run(named, recipe, classifiers.HIDDEN, data)
            found += 1
        if found == networks:
            return
    raise ValueError(
        f"of {len(seeds)} networks {found} lose their {DIGIT}s without direction {DIRECTION}: "
        f"ask for as many, not {networks}."
    )


def candidates() -> list[int]:
    """Return the seeds of the published thousand whose networks lose the digit."""
    thousand = results.load_study("thousand").data
    left = thousand["single"].sel(direction=DIRECTION, digit=DIGIT)
    return [int(seed) for seed in thousand["network"].values[left.to_numpy() < LOST]]


def recall_without(run: runs.Run) -> float:
    """Return which fraction of the digit a network reads without the direction."""
    assert run.states is not None and run.labels is not None
    one = np.asarray(run.labels) == DIGIT
    kept = svd.compose(svd.without(svd.svd(run.readout), DIRECTION))
    answers = (run.states[one] @ kept.T + run.bias).argmax(axis=1)
    return float((answers == DIGIT).mean())
