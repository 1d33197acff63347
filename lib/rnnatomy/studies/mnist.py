"""The MNIST classifiers that all chapters read: five networks, each published whole."""

from rnnatomy.data import datasets
from rnnatomy.store import checkout
from rnnatomy.studies import classifiers, progress


def publish(networks: int = 5) -> None:
    """Train and publish the MNIST classifiers: ``results/mnist-<seed>``."""
    data = datasets.mnist()
    progress.print_line(f"MNIST from {data.source}; {networks} networks, to results/")
    results = checkout.root() / "results"
    saved = classifiers.train_classifiers(
        data, range(networks), classifiers.RECIPES["mnist"], results, "mnist"
    )
    for run in saved:
        print(
            f"{run.name}: test accuracy {run.metrics['test_accuracy']:.4f}, "
            f"recall error of stored states {run.metrics['stored_recall_error']:.4f}"
        )
    classifiers.print_accuracy([run.metrics["test_accuracy"] for run in saved])
