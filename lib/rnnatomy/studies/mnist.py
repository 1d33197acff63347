"""The MNIST classifiers that all chapters read: five networks, each published whole."""

from rnnatomy.data import datasets
from rnnatomy.studies import classifiers, progress


def publish(networks: int = 5) -> None:
    """Train and publish the MNIST classifiers: ``results/mnist-<seed>``.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["mnist"]
    progress.print_line(f"MNIST from {data.source}; {networks} networks, to results/")
    trained = classifiers.trained("mnist", networks, recipe, classifiers.HIDDEN, data)
    saved = [classifiers.publish_run(kept, recipe, classifiers.HIDDEN, data) for kept in trained]
    for run in saved:
        print(
            f"{run.name}: test accuracy {run.metrics['test_accuracy']:.4f}, "
            f"recall error of stored states {run.metrics['stored_recall_error']:.4f}"
        )
    classifiers.print_accuracy([run.metrics["test_accuracy"] for run in saved])
