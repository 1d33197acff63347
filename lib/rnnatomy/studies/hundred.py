"""The first hundred of a thousand MNIST classifiers: what every cutoff of their readouts leaves."""

from rnnatomy.analysis import collapse
from rnnatomy.data import datasets
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs, progress

WHOLE = 2
"""So many networks of the large study are published whole, each as a run."""


def publish(networks: int = 100) -> None:
    """Measure the first networks of the study ``thousand`` in full: ``results/hundred``.

    The first networks are published whole too, as runs.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    progress.print_line(f"MNIST from {data.source}; {networks} networks")
    trained = classifiers.trained("thousand", networks, recipe, classifiers.HIDDEN, data)
    measured = classifiers.measured("hundred", trained, measure, data)
    rows = [engine.load(kept).arrays for kept in measured]
    arrays = results.stack(rows, classifiers.AXES, "network")
    pixels = data.train.images.reshape(len(data.train.images), -1)
    arrays["pixel_means"] = collapse.class_means(pixels, data.train.labels)
    coordinates = classifiers.coordinates(arrays, [kept.label for kept in trained])
    found = results.dataset(arrays, classifiers.AXES, coordinates)
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    for kept in trained[:WHOLE]:
        classifiers.publish_run(kept, recipe, classifiers.HIDDEN, data)
    classifiers.publish_classifiers("hundred", found, data, engine.facts(trained, measured), facts)
    classifiers.print_accuracy(arrays["test_accuracy"])


def measure(network: engine.Made, name: str, data_sha256: str) -> disk.Arrays:
    """Measure the readout of a network, and its controls, as a job."""
    run, data = classifiers.unpack(network, name), inputs.mnist(data_sha256)
    return classifiers.measure_readout(run, data) | classifiers.measure_controls(run, data)
