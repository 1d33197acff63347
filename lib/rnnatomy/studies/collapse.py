"""MNIST classifiers trained for longer and longer on few images: neural collapse."""

from typing import NamedTuple

import numpy as np

from rnnatomy.data import datasets
from rnnatomy.networks import training
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs


class Condition(NamedTuple):
    """What differs between the networks of the study of long training.

    Attributes:
        epochs: passes over the training data.
        weight_decay: as of a recipe.
        hidden: number of LSTM units.
    """

    epochs: int
    weight_decay: float = 1e-2
    hidden: int = classifiers.HIDDEN


CONDITIONS = (
    *(Condition(epochs) for epochs in (1, 3, 10, 30, 60)),
    *(Condition(30, weight_decay=decay) for decay in (0.0, 1e-1)),
    *(Condition(30, hidden=hidden) for hidden in (64, 256)),
)


LONGEST = max(CONDITIONS, key=lambda condition: condition.epochs)


LEFT_OUT = ("readout", "class_means", "test_hits", "validation_hits")
"""What is as wide as the network, which differs; and counts that no question needs."""


def publish(networks: int = 10) -> None:
    """Train classifiers on few images for longer and longer: ``results/collapse``.

    Each training time, weight decay and width of ``CONDITIONS`` has its networks, with seeds 0, 1,
    2 and so on; each network is trained from the start through one whole cycle. The first network
    of the longest training is published whole too, as a run.

    Args:
        networks: how many for each condition.
    """
    data = datasets.mnist()
    trained = {condition: _train(condition, networks, data) for condition in CONDITIONS}
    every = [kept for several in trained.values() for kept in several]
    samples = classifiers.GEOMETRY
    measured = classifiers.measured("collapse", every, measure, data, samples=samples)
    rows = [engine.load(kept).arrays for kept in measured]
    arrays = results.stack(rows, classifiers.AXES, "network")
    coordinates = classifiers.coordinates(arrays, [kept.label for kept in every])
    # in single precision, as all numbers that are published
    conditions = np.repeat(np.array(CONDITIONS, np.float32), networks, axis=0)
    for name, values in zip(Condition._fields, conditions.T, strict=True):
        coordinates[name] = ("network",), values
    found = results.dataset(arrays, classifiers.AXES, coordinates)
    facts = {"networks": len(rows), "train_samples": samples}
    classifiers.publish_run(trained[LONGEST][0], _recipe(LONGEST), LONGEST.hidden, data)
    classifiers.publish_classifiers("collapse", found, data, engine.facts(every, measured), facts)


def measure(network: engine.Made, name: str, data_sha256: str, samples: int) -> disk.Arrays:
    """Measure the readout of a network, and its controls, as a job."""
    run = classifiers.unpack(network, name)
    few = classifiers.first(inputs.mnist(data_sha256), samples)
    row = classifiers.measure_readout(run, few) | classifiers.measure_controls(run, few)
    return {name: array for name, array in row.items() if name not in LEFT_OUT}


def _train(condition: Condition, networks: int, data: datasets.Dataset) -> list[engine.Kept]:
    few = classifiers.GEOMETRY
    recipe, hidden = _recipe(condition), condition.hidden
    return classifiers.trained(_label(condition), networks, recipe, hidden, data, few)


def _recipe(condition: Condition) -> training.Recipe:
    return classifiers.RECIPES["mnist"]._replace(
        epochs=condition.epochs, weight_decay=condition.weight_decay
    )


def _label(condition: Condition) -> str:
    """Return how the networks of a condition are called, but for their seed."""
    return f"collapse-{condition.epochs}-{condition.weight_decay}-{condition.hidden}"
