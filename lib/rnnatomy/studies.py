"""The studies: expensive computations whose small results are published in ``results/``.

Run with ``make results``, or one at a time: ``python -m rnnatomy.studies mnist``. A study that is
interrupted goes on from its last finished epoch when it is started again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PRNGKeyArray

from rnnatomy import cutoffs, datasets, models, runs, training

HIDDEN = 128

RECIPES = {
    "mnist": training.Recipe(),
    "digits": training.Recipe(epochs=40, batch=32, learning_rate=4e-3),
}
"""The recipe for each data set; MNIST's made the published networks."""


def classifier(data: datasets.Dataset, hidden: int = HIDDEN) -> training.Create:
    """Return what makes an untrained classifier for a data set from a key."""
    feature = data.train.images.shape[-1]
    classes = int(data.train.labels.max()) + 1
    return lambda key: models.LSTMClassifier(feature, hidden, classes, rngs=nnx.Rngs(key))


def train_classifiers(
    data: datasets.Dataset,
    seeds: Sequence[int],
    recipe: training.Recipe,
    folder: Path,
    label: str,
    hidden: int = HIDDEN,
) -> list[runs.Run]:
    """Train one classifier per seed and save each as a run.

    Args:
        data: train fits, validation is followed, test is reported.
        seeds: one network each, all trained as one computation.
        recipe: optimiser and schedule.
        folder: gets one run ``<label>-<seed>`` per network, written when training has ended.
        label: such as "mnist".
        hidden: number of LSTM units.

    Returns:
        The runs, as a reader would load them.
    """
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    validation = tuple(jnp.asarray(part) for part in data.validation)
    tag = f"{label}-{hidden}-{seeds[0]}-{seeds[-1]}-{recipe.epochs}-{recipe.learning_rate}"
    checkpoint = runs.ROOT / "build" / "checkpoints" / f"{tag}.safetensors"
    fitted = training.fit_ensemble(
        classifier(data, hidden),
        training.cross_entropy,
        (data.train.images, data.train.labels),
        recipe,
        keys,
        measure=lambda model: training.evaluate(model, *validation),
        report=print_epoch,
        checkpoint=checkpoint,
    )
    seconds = round(float(fitted.history.pop("seconds").sum()), 1)
    saved = []
    for member, seed in enumerate(seeds):
        facts = {
            "seed": int(seed),
            "hidden": hidden,
            "recipe": recipe._asdict(),
            "data": data.name,
            "data_sha256": data.checksum,
            "networks": len(seeds),
            "wall_seconds": seconds,
        }
        run = describe(training.member(fitted, member), data, f"{label}-{seed}", facts)
        history = {
            name: value[:, member].round(6).tolist() for name, value in fitted.history.items()
        }
        run.metrics["history"] = history
        runs.save_run(folder / run.name, run)
        saved.append(runs.load_run(str(folder / run.name)))
    checkpoint.unlink(missing_ok=True)
    return saved


def describe(
    model: models.LSTMClassifier, data: datasets.Dataset, name: str, facts: dict
) -> runs.Run:
    """Measure a trained classifier on the test part and gather it into a run."""
    inputs, labels = jnp.asarray(data.test.images), data.test.labels
    states = np.asarray(training.predict(lambda x: model.states(x)[:, -1], inputs))
    run = runs.Run(
        name=name,
        kind=type(model).__name__,
        parameters=runs.flatten(nnx.state(model)),
        metrics={},
        provenance=runs.provenance(runs.command_line(), **facts),
        states=states,
        labels=labels,
    )
    as_stored = run._replace(states=runs.dequantise(runs.quantise(states)))
    recall = cutoffs.recall(run.logits, labels)
    stored = cutoffs.recall(as_stored.logits, labels)
    run.metrics.update(
        test_accuracy=float(np.mean(run.logits.argmax(axis=1) == labels)),
        test_recall=recall.tolist(),
        stored_recall_error=float(np.abs(recall - stored).max()),
    )
    return run


def restore(run: runs.Run) -> models.LSTMClassifier:
    """Build the classifier that a run holds."""
    model = _like(run, jax.random.key(0))
    runs.unflatten(run.parameters, model)
    return model


def untrained(run: runs.Run) -> runs.Run:
    """Return a run as it was before training: the same seed, the initial parameters."""
    model = _like(run, jax.random.key(run.provenance["seed"]))
    parameters = runs.flatten(nnx.state(model))
    return run._replace(parameters=parameters, metrics={}, states=None, labels=None)


def _like(run: runs.Run, key: PRNGKeyArray) -> models.LSTMClassifier:
    feature, gates = run.parameters["cell.dense_i.kernel"].shape
    hidden = gates // len(models.GATES)
    return models.LSTMClassifier(feature, hidden, len(run.bias), rngs=nnx.Rngs(key))


def print_epoch(epoch: training.Epoch) -> None:
    """Print one line when an epoch has ended: loss, validation accuracy, time left."""
    minutes, seconds = divmod(round(epoch.left), 60)
    metrics = [
        f"validation {name.replace('_', ' ')} {np.mean(value):.4f}"
        for name, value in epoch.metrics.items()
        if name == "accuracy"
    ]
    print(
        f"epoch {epoch.number:3d}/{epoch.of}  loss {np.mean(epoch.loss):.4f}  "
        f"{'  '.join(metrics)}  {epoch.seconds:.0f} s  left {minutes} min {seconds:02d} s",
        flush=True,
    )


def mnist(seeds: int) -> None:
    """Train and publish the MNIST classifiers: ``results/mnist-<seed>``."""
    data = datasets.mnist()
    print(f"MNIST from {data.source}; {seeds} networks, to results/", flush=True)
    saved = train_classifiers(data, range(seeds), RECIPES["mnist"], runs.ROOT / "results", "mnist")
    for run in saved:
        print(
            f"{run.name}: test accuracy {run.metrics['test_accuracy']:.4f}, "
            f"recall error of stored states {run.metrics['stored_recall_error']:.4f}"
        )
    accuracy = [run.metrics["test_accuracy"] for run in saved]
    print(f"mean {np.mean(accuracy):.4f}, standard deviation {np.std(accuracy, ddof=1):.4f}")


def main() -> None:
    """Run one study by name."""
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.studies", description=__doc__)
    parser.add_argument("study", choices=["mnist"], help="which study to run")
    parser.add_argument("--seeds", type=int, default=5, help="number of networks (default 5)")
    options = parser.parse_args()
    try:
        mnist(options.seeds)
    except (datasets.DataError, runs.RunError, ValueError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the same command goes on from the last finished epoch.")


if __name__ == "__main__":
    main()
