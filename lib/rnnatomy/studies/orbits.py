"""The study of circle and ellipse: many predictors, followed through training, with controls."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import clusters, dynamics, pod, points
from rnnatomy.data import orbits
from rnnatomy.networks import predictors, training
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, progress

FRAMES_IN, FRAMES_OUT = 25, 50
"""Half a slow turn is read, a whole one is predicted."""


TRAINING, VALIDATION, TEST = 800, 48, 100
"""Sequences of each part, over all families."""


NOISE = 0.02
"""Standard deviation of the noise on what is read; the radius is about 1."""


RECIPE = training.Recipe(epochs=40, batch=32, learning_rate=5e-3, weight_decay=0.0)


TASKS = {"two": orbits.TWO, "four": orbits.FOUR}


SIZES = (8, 16, 32, 64, 128)


CONTROL_SIZE = 64
"""Number of units of the networks that are trained on shuffled futures."""


STATES = ("trained", "shuffled", "untrained")
"""Networks of the study: trained, trained on futures of other sequences, and not trained."""


FRACTIONS = (0.95, 0.99)
"""Fractions of energy whose numbers of modes are counted."""


PUSHES = (0.01, 0.1, 0.3, 1.0)
"""Sizes of the pushes, as shares of the size of the orbits."""


PUSHED_AT, PUSH_FRAMES = 20, 100


SCORES = ("silhouette", "kmeans", "kmeans_ari", "ward", "ward_ari")
"""Scores of each view, see ``clusters.score_views``."""


AXES = {
    "test_loss": ("network",),
    "modes": ("network", "fraction"),
    "scores": ("network", "view", "score"),
    "own": ("network", "frame"),
    "other": ("network", "frame"),
    "same_time": ("network", "push", "frame_after"),
    "nearest": ("network", "push", "frame_after"),
    "along_validation": ("training", "epoch"),
    "along_test": ("training", "epoch"),
    "along_scores": ("training", "epoch", "view", "score"),
}
"""Axes of the published arrays: ``training`` is every network with state "trained"."""


class Batch(NamedTuple):
    """Networks of the study that differ in their seed alone.

    Attributes:
        task: name of the task, "two" or "four".
        hidden: number of units.
        state: one of ``STATES``.
    """

    task: str
    hidden: int
    state: str

    @property
    def name(self) -> str:
        """Its name, such as "two-8-trained"."""
        return "-".join(map(str, self))


class Task(NamedTuple):
    """Three parts of sequences of the same families.

    Attributes:
        train: what is fitted, and the labels that no network sees.
        validation: what choices are made on.
        test: what is reported.
    """

    train: orbits.Orbits
    validation: orbits.Orbits
    test: orbits.Orbits


def task(rng: np.random.Generator, name: str) -> Task:
    """Draw the sequences of a task, "two" or "four", as many for each family."""
    families = TASKS[name]
    return Task(
        *(
            orbits.orbits(rng, families, size // len(families), FRAMES_IN, FRAMES_OUT, NOISE)
            for size in (TRAINING, VALIDATION, TEST)
        )
    )


def examples(part: orbits.Orbits) -> predictors.Examples:
    """Leave the labels behind."""
    return predictors.Examples(part.inputs, part.targets)


def publish(networks: int = 8, report: Callable[[str], None] = progress.print_line) -> None:
    """Train, measure and publish predictors of circle and ellipse: ``results/orbits``.

    Each network is a job of its own, so that a study of more networks reuses those of fewer.

    Args:
        networks: how many of each task, size and kind, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
    """
    batches = [Batch(name, hidden, "trained") for name in TASKS for hidden in SIZES]
    batches += [Batch(name, hidden, "untrained") for name in TASKS for hidden in SIZES]
    batches += [Batch(name, CONTROL_SIZE, "shuffled") for name in TASKS]
    done: dict[Batch, list[engine.Kept]] = {batch: [] for batch in batches}
    in_turn = [(batch, seed) for batch in sorted(batches, key=_shape) for seed in range(networks)]
    kept = engine.run("orbits", [_job(*each) for each in in_turn], report=report)
    for (batch, _), each in zip(in_turn, kept, strict=True):
        done[batch].append(each)
    rows = [engine.load(each).arrays for batch in batches for each in done[batch]]
    arrays = results.stack(rows, AXES, "network") | results.stack(rows, AXES, "training")
    found = results.dataset(arrays, AXES, _coordinates(batches, networks))
    facts = {"networks": found.sizes["network"], "seeds": networks}
    results.publish("orbits", found, engine.facts(kept) | _facts() | facts)


def measure(
    task: str, hidden: int, state: str, seed: Sequence[int], recipe: dict[str, Any] | None = None
) -> list[disk.Arrays]:
    """Train and measure networks of a batch, as a job.

    Args:
        task: as of ``Batch``.
        hidden: as of ``Batch``.
        state: as of ``Batch``.
        seed: one network each.
        recipe: fields of the recipe; None for networks that are not trained.

    Returns:
        What is measured of each, see ``AXES``.
    """
    told = None if recipe is None else training.Recipe(**recipe)
    return _measure(Batch(task, hidden, state), seed, told)


def measure_predictor(model: Any, test: orbits.Orbits, rng: np.random.Generator) -> disk.Arrays:
    """Measure one predictor on sequences that it has not seen.

    Returns:
        By name: "test_loss"; "modes" (fraction), for the energies of ``FRACTIONS``; "scores" (view,
        score), see ``points.VIEWS`` and ``SCORES``; "own" and "other" (frame), mean distance of
        encoder and decoder states from the orbits of their class and of others; "same_time" and
        "nearest" (push, frame_after), median over samples, see ``dynamics.push``.
    """
    went = predictors.trajectory(model, test.inputs, test.targets.shape[1])
    near = dynamics.approach(went.encoder, went.decoder, test.labels)
    onward = predictors.onward(model, PUSH_FRAMES)
    pushed = [
        dynamics.push(onward, went.decoder, went.outputs, PUSHED_AT, size, rng) for size in PUSHES
    ]
    return disk.single(
        {
            "test_loss": np.square(went.outputs - test.targets).mean(),
            "modes": pod.mode_counts(went.encoder, went.decoder, FRACTIONS),
            "scores": scores(went.decoder[:, :: predictors.SKIP], test.labels, rng),
            "own": near.own.mean(axis=0),
            "other": near.other.mean(axis=0),
            "same_time": [np.median(push.same_time, axis=0) for push in pushed],
            "nearest": [np.median(push.nearest, axis=0) for push in pushed],
        }
    )


def scores(
    states: Any, labels: Int[np.ndarray, " sample"], rng: np.random.Generator
) -> Float[np.ndarray, "view score"]:
    """Score the clusters of decoder states, see ``points.VIEWS`` and ``SCORES``."""
    found = clusters.score_views(np.asarray(states), labels, rng)
    return np.array([[found[view][name] for name in SCORES] for view in points.VIEWS])


def _shape(batch: Batch) -> tuple[int, bool]:
    """Tell which batches compute alike: one after the other, they share what is compiled."""
    return -batch.hidden, batch.state == "untrained"


def _job(batch: Batch, seed: int) -> engine.Job:
    settings = batch._asdict() | {"seed": seed}
    if batch.state != "untrained":
        settings |= {"recipe": RECIPE._asdict()}
    return engine.Job(f"orbits-{batch.name}-{seed}", measure, settings, many="seed")


def _measure(
    batch: Batch, seeds: Sequence[int], recipe: training.Recipe | None
) -> list[disk.Arrays]:
    data = task(np.random.default_rng(0), batch.task)
    create = predictors.seq2seq(2, batch.hidden)
    fresh = [create(jax.random.key(seed)) for seed in seeds]
    fitted = _fit(batch, data, seeds, recipe) if recipe else None
    rows = []
    for place, seed in enumerate(seeds):
        model = training.member(fitted, place) if fitted else fresh[place]
        row = measure_predictor(model, data.test, np.random.default_rng(seed))
        if fitted and batch.state == "trained":
            rng = np.random.default_rng(seed)
            row |= _follow(fitted.history, place, fresh[place], data, rng)
        rows.append(row)
    return rows


def _fit(
    batch: Batch, data: Task, seeds: Sequence[int], recipe: training.Recipe
) -> training.Fitted:
    train = data.train
    if batch.state == "shuffled":
        train = orbits.shuffled_futures(np.random.default_rng(1), train)
    followed = {"validation": examples(data.validation), "test": examples(data.test)}
    create = predictors.seq2seq(2, batch.hidden)
    return predictors.fit(examples(train), create, recipe, seeds, followed)


def _follow(
    history: dict[str, np.ndarray], place: int, fresh: Any, data: Task, rng: np.random.Generator
) -> disk.Arrays:
    """Measure what is followed through training, from before the first epoch on."""
    frames = data.validation.targets.shape[1]
    states = [predictors.trajectory(fresh, data.validation.inputs, frames).decoder]
    states = [states[0][:, :: predictors.SKIP], *history["states"][:, place]]
    losses = {}
    for part in ("validation", "test"):
        orbit = getattr(data, part)
        first = predictors.trajectory(fresh, orbit.inputs, frames).outputs - orbit.targets
        losses[f"along_{part}"] = [np.square(first).mean(), *history[f"{part}_loss"][:, place]]
    followed = [scores(one, data.validation.labels, rng) for one in states]
    return disk.single(losses | {"along_scores": followed})


def _coordinates(batches: list[Batch], networks: int) -> dict[str, Any]:
    rows = [(batch, seed) for batch in batches for seed in range(networks)]
    training_rows = [(batch, seed) for batch, seed in rows if batch.state == "trained"]
    return {
        "network": [f"{batch.name}-{seed}" for batch, seed in rows],
        "state": (("network",), [batch.state for batch, _ in rows]),
        "seed": (("network",), [seed for _, seed in rows]),
        "hidden": (("network",), [batch.hidden for batch, _ in rows]),
        "families": (("network",), [len(TASKS[batch.task]) for batch, _ in rows]),
        "training": [f"{batch.name}-{seed}" for batch, seed in training_rows],
        "training_hidden": (("training",), [batch.hidden for batch, _ in training_rows]),
        "training_families": (
            ("training",),
            [len(TASKS[batch.task]) for batch, _ in training_rows],
        ),
        "view": list(points.VIEWS),
        "score": SCORES,
        "push": PUSHES,
        "fraction": FRACTIONS,
        "epoch": np.arange(RECIPE.epochs + 1),
    }


def _facts() -> dict[str, Any]:
    return {
        "recipe": RECIPE._asdict(),
        "frames": [FRAMES_IN, FRAMES_OUT],
        "sequences": [TRAINING, VALIDATION, TEST],
        "noise": NOISE,
        "pushes": list(PUSHES),
        "pushed_at": PUSHED_AT,
    }
