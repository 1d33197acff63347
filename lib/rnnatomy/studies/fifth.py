"""When is it the fifth direction that carries the eights? Training time by width.

Written down before any of these networks was counted. On 10,000 images the commonest place of the
eights moved up as training went on (``collapse``): so (1) it comes later in longer training and in
wider networks; (2) nowhere is it the fifth in more than half of the networks; (3) nowhere does the
fifth take the eights, a recall below 0.1, in more than one network of ten. Each can fail: if a
network that was stopped early, or a small one, makes the claim of the first study right, that is
the finding.
"""

from typing import NamedTuple

import numpy as np

from rnnatomy.data import datasets
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, others, progress, questions


class Condition(NamedTuple):
    """What differs between the networks of the study.

    Attributes:
        epochs: passes over the training data, through one whole cycle of the learning rate.
        hidden: number of LSTM units.
    """

    epochs: int
    hidden: int


CONDITIONS = (
    *(Condition(epochs, hidden) for hidden in (16, 32, 64) for epochs in (1, 3, 10)),
    *(Condition(epochs, 128) for epochs in (1, 3)),
)
"""The widest for the longest is left out, for the hours that it takes."""

WIDE = ("readout", "bias", "nested")
"""Left out: what is as wide as the network, which differs; and what no question here needs."""

AXES = {"test_accuracy": ("network",), **questions.AXES}
"""Axes of the published arrays, see ``questions.ask``; those of ``WIDE`` are not among them."""


def publish(networks: int = 20) -> None:
    """Train classifiers for shorter and longer, small ones and large: ``results/fifth``.

    Args:
        networks: how many of each condition, with seeds 0, 1, 2 and so on.
    """
    data = datasets.mnist()
    progress.print_line(f"MNIST from {data.source}; {len(CONDITIONS)} x {networks} networks")
    trained = [kept for condition in CONDITIONS for kept in _train(condition, networks, data)]
    measured = engine.run(
        "fifth, measured", [others.measurement(kept, measure) for kept in trained]
    )
    arrays = results.stack([engine.load(kept).arrays for kept in measured], AXES, "network")
    known = questions.coordinates(arrays["single"].shape[2])
    coordinates = {name: values for name, values in known.items() if name != "rank"}
    coordinates["network"] = [kept.label for kept in trained]
    coordinates["seed"] = ("network",), list(range(networks)) * len(CONDITIONS)
    for name, values in zip(Condition._fields, np.repeat(CONDITIONS, networks, 0).T, strict=True):
        coordinates[name] = ("network",), values
    found = results.dataset(arrays, AXES, coordinates)
    facts = {"recipe": classifiers.RECIPES["hundred"]._asdict(), "networks": len(trained)}
    facts |= {"bases": questions.BASES, "thresholds": list(questions.THRESHOLDS)}
    classifiers.publish_classifiers("fifth", found, data, engine.facts(trained, measured), facts)


def measure(network: engine.Made, name: str) -> disk.Arrays:
    """Ask one network all questions, as a job.

    Returns:
        What ``questions.ask_run`` returns, but ``WIDE``.
    """
    asked = questions.ask_run(classifiers.unpack(network, name))
    return {name: array for name, array in asked.items() if name not in WIDE}


def _train(condition: Condition, networks: int, data: datasets.Dataset) -> list[engine.Kept]:
    recipe = classifiers.RECIPES["hundred"]._replace(epochs=condition.epochs)
    label = f"fifth-{condition.epochs}-{condition.hidden}"
    return classifiers.trained(label, networks, recipe, condition.hidden, data)
