"""The hidden layers of the study of a hundred networks."""

import numpy as np

from rnnatomy.analysis import gates
from rnnatomy.data import datasets
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs
from rnnatomy.studies import gates as gate_study

AXES = {
    "effective": ("network", "kind", "matrix"),
    "stable": ("network", "kind", "matrix"),
    "kept": ("network", "matrix"),
    "energy_ranks": ("network", "energy"),
    "full": ("network", "digit"),
    "energy_test": ("network", "energy", "digit"),
    "energy_control": ("network", "energy", "digit"),
}
"""Axes of the published arrays, see ``gates.summary``."""


def publish(networks: int = 100) -> None:
    """Sum up the hidden layers of the study of a hundred networks: ``results/layers``.

    The networks are those of ``thousand``, the first hundred, trained anew if they are not there.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    trained = classifiers.trained("thousand", networks, recipe, classifiers.HIDDEN, data)
    measured = classifiers.measured("layers", trained, measure, data)
    rows = [engine.load(kept).arrays for kept in measured]
    arrays = results.stack(rows, AXES, "network")
    coordinates = {
        "network": [kept.label for kept in trained],
        "kind": gate_study.KINDS,
        "matrix": list(gates.MATRICES),
        "energy": gate_study.ENERGIES,
        "digit": np.arange(arrays["full"].shape[1]),
    }
    found = results.dataset(arrays, AXES, coordinates)
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    facts |= {"energies": list(gate_study.ENERGIES), "followed": gate_study.FOLLOWED}
    classifiers.publish_classifiers("layers", found, data, engine.facts(trained, measured), facts)


def measure(network: engine.Made, name: str, data_sha256: str) -> disk.Arrays:
    """Sum up the hidden layer of a network, as a job."""
    return gate_study.summary(classifiers.unpack(network, name), inputs.mnist(data_sha256))
