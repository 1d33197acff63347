"""The study of circle and ellipse: many predictors, followed through training, with controls."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from rnnatomy.analysis import clusters, dynamics, pod, points
from rnnatomy.data import orbits
from rnnatomy.networks import predictors, training
from rnnatomy.store import checkout, disk, origin, results

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


KINDS = ("trained", "shuffled", "untrained")


PUSHES = (0.01, 0.1, 0.3, 1.0)
"""Sizes of the pushes, as shares of the size of the orbits."""


PUSHED_AT, PUSH_FRAMES = 20, 100


SCORES = ("silhouette", "kmeans", "kmeans_ari", "ward", "ward_ari")
"""Scores of each view, in the order of the last axis of the published arrays."""


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


def publish(networks: int = 8, report: Callable[[str], None] = print) -> None:
    """Train, measure and publish predictors of circle and ellipse: ``results/orbits``.

    A batch of networks that is finished is kept in ``build/orbits``, so that an interrupted study
    goes on from there.

    Args:
        networks: how many of each task, size and kind, with seeds 0, 1, 2 and so on.
        report: called with a line when a batch is done.
    """
    batches = [(name, hidden, "trained") for name in TASKS for hidden in SIZES]
    batches += [(name, hidden, "untrained") for name in TASKS for hidden in SIZES]
    batches += [(name, CONTROL_SIZE, "shuffled") for name in TASKS]
    started, found = time.perf_counter(), []
    for number, batch in enumerate(batches):
        found.append(_kept(*batch, networks))
        minutes = (time.perf_counter() - started) / 60
        left = minutes / (number + 1) * (len(batches) - number - 1)
        report(f"{' '.join(map(str, batch))}: done; about {left:.0f} min left")
    seconds = sum(batch.provenance["wall_seconds"] for batch in found)
    arrays = {}
    for name in dict.fromkeys(name for batch in found for name in batch.arrays):
        arrays[name] = np.concatenate([b.arrays[name] for b in found if name in b.arrays])
    facts = _facts(networks) | {"networks": len(arrays["seed"]), "seeds": networks}
    provenance = origin.provenance(origin.command_line(), wall_seconds=round(seconds, 1), **facts)
    results.save_study(
        checkout.root() / "results" / "orbits", results.Study("orbits", arrays, provenance)
    )


def measure_predictor(model: Any, test: orbits.Orbits, rng: np.random.Generator) -> disk.Arrays:
    """Measure one predictor on sequences that it has not seen.

    Returns:
        By name: "test_loss"; "modes", for 95% and 99% of the energy; "views" (view, score), see
        ``predictors.VIEWS`` and ``SCORES``; "own" and "other" (time), mean distance of encoder
        and decoder states from the orbits of their class and of others; "same_time" and "nearest"
        (push, time), median over samples, see ``predictors.push``.
    """
    went = predictors.trajectory(model, test.inputs, test.targets.shape[1])
    near = dynamics.approach(went.encoder, went.decoder, test.labels)
    onward = predictors.onward(model, PUSH_FRAMES)
    pushed = [dynamics.push(onward, went, PUSHED_AT, size, rng) for size in PUSHES]
    return _single(
        test_loss=np.square(went.outputs - test.targets).mean(),
        modes=pod.mode_counts(went),
        views=scores(went.decoder[:, :: predictors.SKIP], test.labels, rng),
        own=near.own.mean(axis=0),
        other=near.other.mean(axis=0),
        same_time=[np.median(push.same_time, axis=0) for push in pushed],
        nearest=[np.median(push.nearest, axis=0) for push in pushed],
    )


def scores(states: Any, labels: Int[np.ndarray, " sample"], rng: np.random.Generator) -> np.ndarray:
    """Score the clusters of decoder states: one row per view, one column per score."""
    found = clusters.score_views(np.asarray(states), labels, rng)
    return np.array([[found[view][name] for name in SCORES] for view in points.VIEWS])


def _kept(name: str, hidden: int, kind: str, networks: int) -> results.Study:
    folder = checkout.root() / "build" / "orbits" / f"{name}-{hidden}-{kind}"
    wanted = _facts(networks)
    try:
        made = results.load_study(str(folder))
        if wanted.items() <= made.provenance.items():
            return made
    except disk.StoreError:
        pass
    started = time.perf_counter()
    arrays = _batch(name, hidden, kind, networks)
    facts = {"wall_seconds": time.perf_counter() - started, **wanted}
    made = results.Study(folder.name, arrays, origin.provenance(origin.command_line(), **facts))
    results.save_study(folder, made)
    return made


def _batch(name: str, hidden: int, kind: str, networks: int) -> disk.Arrays:
    data, seeds = task(np.random.default_rng(0), name), range(networks)
    create = predictors.seq2seq(2, hidden)
    history, members = {}, []
    if kind == "untrained":
        members = [create(jax.random.key(seed)) for seed in seeds]
    else:
        train = data.train
        if kind == "shuffled":
            train = orbits.shuffled_futures(np.random.default_rng(1), train)
        followed = {"validation": examples(data.validation), "test": examples(data.test)}
        fitted = predictors.fit(examples(train), create, RECIPE, seeds, followed)
        members = [training.member(fitted, seed) for seed in seeds]
        history = fitted.history
    rows = []
    for seed, model in zip(seeds, members, strict=True):
        row = measure_predictor(model, data.test, np.random.default_rng(seed))
        row |= _single(seed=seed, hidden=hidden, families=len(TASKS[name]), kind=KINDS.index(kind))
        if kind == "trained":
            row |= _along(history, seed, create(jax.random.key(seed)), data)
        rows.append(row)
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def _along(history: dict[str, np.ndarray], seed: int, fresh: Any, data: Task) -> disk.Arrays:
    """What is followed through training, from before the first epoch on."""
    frames, rng = data.validation.targets.shape[1], np.random.default_rng(seed)
    states = [predictors.trajectory(fresh, data.validation.inputs, frames).decoder]
    states = [states[0][:, :: predictors.SKIP], *history["states"][:, seed]]
    losses = {}
    for part in ("validation", "test"):
        orbit = getattr(data, part)
        first = predictors.trajectory(fresh, orbit.inputs, frames).outputs - orbit.targets
        losses[part] = [np.square(first).mean(), *history[f"{part}_loss"][:, seed]]
    return _single(
        along_validation=losses["validation"],
        along_test=losses["test"],
        along_views=[scores(one, data.validation.labels, rng) for one in states],
    )


def _facts(networks: int) -> dict[str, Any]:
    return {
        "networks": networks,
        "recipe": RECIPE._asdict(),
        "frames": [FRAMES_IN, FRAMES_OUT],
        "sequences": [TRAINING, VALIDATION, TEST],
        "noise": NOISE,
        "pushes": list(PUSHES),
        "pushed_at": PUSHED_AT,
    }


def _single(**arrays: Any) -> disk.Arrays:
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}
