"""A hundred MNIST classifiers: what every cutoff of their readouts leaves."""

from rnnatomy.analysis import collapse
from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.store import checkout, disk, results
from rnnatomy.studies import classifiers, progress

WHOLE = 2
"""So many networks of the large study are published whole, each as a run."""


def publish(networks: int = 100) -> None:
    """Train many MNIST classifiers and publish what is measured of each: ``results/hundred``.

    The first networks are published whole too, as runs.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    progress.print_line(
        f"MNIST from {data.source}; {networks} networks, {classifiers.BATCH} at a time"
    )
    made = classifiers.trained_runs("hundred", networks, recipe, classifiers.HIDDEN, data)

    def measure(run: runs.Run) -> disk.Arrays:
        if run.provenance["seed"] < WHOLE:
            runs.save_run(checkout.root() / "results" / run.name, run)
        return classifiers.measure_readout(run, data) | classifiers.measure_controls(run, data)

    rows, names, seconds = classifiers.measure_each(made, networks, measure)
    arrays = results.stack(rows, classifiers.AXES, "network")
    pixels = data.train.images.reshape(len(data.train.images), -1)
    arrays["pixel_means"] = collapse.class_means(pixels, data.train.labels)
    coordinates = classifiers.coordinates(arrays, names)
    found = results.dataset(arrays, classifiers.AXES, coordinates)
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    classifiers.publish_classifiers("hundred", found, data, seconds, facts)
    classifiers.print_accuracy(arrays["test_accuracy"])
