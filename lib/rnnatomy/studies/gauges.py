"""Is there a number without labels that tells how good a training is, better than a clock does?

Su and Shlizerman propose to read the quality of a training off how well the clusters of hidden
states separate. Their gauge goes along with the test error, and so does the number of the epoch,
which knows nothing of the network. Here the trainings of ``orbits`` and of ``movement`` are done
again, and after each epoch many numbers are taken that need no label, nothing but the network, what
it was trained on, and sequences of which nobody says what they show: ``GAUGES``.

Of each it is said beforehand which way is better, and a gauge that only ever rises, or only ever
falls, cannot win. *It beats the clock in a set of trainings* if both hold, with 95% intervals over
trainings, each compared with the clock in the same training:

- *Right*: of two neighbouring epochs it tells which has the lower test error, more often than who
  always says "the later one". Where its two numbers are the same it is half right.
- *Stop*: at the epoch that it picks, the last one of equals, the test error is lower than after the
  last epoch; the logarithms of the errors are compared.

The rank correlation with the test error that is left when the clock is taken out is reported beside
the two, and decides nothing. A set *has room* if the test error itself, taken as a gauge, beats the
clock there by the same rule; where it does not, nothing can, and the set says nothing. *A gauge
beats the clock* if it does so in every set that has room.

The sets are circle and ellipse, as in ``orbits``; the same with few sequences and much noise, of
which a network can learn too much; and people moving, as in ``movement``.

Known beforehand, from the published studies: with circle and ellipse the test error falls in three
quarters of the epochs, and the last one is at most 1 per cent worse than the best, so there is
little to be gained by stopping. Of people moving, it falls in every epoch where the same frames are
trained and tested on, and in 96 of 100 on sequences held out: there is hardly any room. How few
sequences and how much noise was chosen by the test errors of ten networks of another seed. Without
noise, few sequences hardly let the error rise again; with noise it rose in all five settings. All
gauges were looked at in one network without noise, to see that the code runs.

Expected before any other of these numbers was seen:

1. No gauge beats the clock but the validation error.
2. The training loss tells more of neighbouring epochs than the clock with circle and ellipse. With
   few sequences it falls to the end, as a clock does, and stops too late.
3. The error on inputs, which are predicted from their own first half, comes next after the
   validation error. It beats the clock with few sequences, and not with many.
4. What is read off the weights alone (norm, change, stable rank, alpha) is right as often as the
   clock, give or take five percentage points, for it moves steadily one way.
5. Silhouette, participation ratio and modes are right less often than the clock with circle and
   ellipse, and stop at a higher error with few sequences.
6. Drift and what is out of range are right less often than the clock in every set.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import clusters, pod, points, ranks, separability, svd, tails
from rnnatomy.data import mocap
from rnnatomy.networks import access, predictors, training
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, orbits, progress
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import embeddings, fitting, protocols, study

GAUGES = {
    "silhouette": 1,
    "participation ratio": -1,
    "modes": -1,
    "alpha": -1,
    "stable rank": -1,
    "stable rank of the change": -1,
    "size of the change": 1,
    "norm of the weights": 1,
    "drift": -1,
    "out of range": -1,
    "error on inputs": -1,
    "training loss": -1,
    "validation error": -1,
}
"""Every gauge, and which way is better: 1 if more is, -1 if less is.

A study of others, such as the largest Lyapunov exponents, publishes arrays of the same axes, with
its own names along the last and its own signs in the coordinate "better".
"""


FEW, FEW_NOISE, FEW_SIZES = 16, 0.5, (16, 64)
"""So many sequences are few, the standard deviation of the noise on what they are to predict, and
numbers of units of the networks that are trained on them."""


LONGER = 2
"""Decoders run on for so many times the frames that they were trained to predict."""


PARTS = ("orbits", "few", "same", "held")
"""Kinds of trainings: circle and ellipse; the same with few and noisy sequences; people moving,
trained and tested on the same frames; and tested on sequences held out."""


AXES = {
    **{f"{part}_gauges": (f"{part}_training", f"{part}_epoch", "gauge") for part in PARTS},
    **{f"{part}_error": (f"{part}_training", f"{part}_epoch") for part in PARTS},
}
"""Axes of the published arrays: the gauges, and the test error; epoch 0 is before training.

There is no validation error where the same frames are trained and tested on: it is not a number.
"""


class People(NamedTuple):
    """What networks that predict people are given, sequences each.

    Attributes:
        training: what they are trained on.
        watched: what is clustered.
        validation: what the validation error is of, and whose inputs are predicted; empty if there
            is none: then the inputs are those of ``watched``.
        test: what the test error is of.
        kinds: number of activities in what is clustered.
    """

    training: list[np.ndarray]
    watched: list[np.ndarray]
    validation: list[np.ndarray]
    test: list[np.ndarray]
    kinds: int


def publish(networks: int = 8, report: Callable[[str], None] = progress.print_line) -> None:
    """Train networks, take all gauges after each epoch, and publish them: ``results/gauges``.

    Each network is a job.

    Args:
        networks: how many of each task and size of circle and ellipse, with seeds 0, 1, 2 and so
            on; and half as many of each task and choice of people moving.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    checksum = identity.fingerprint(mocap.sequences(mocap.ACTIONS))
    trainings = _trainings(networks)
    kept = engine.run("gauges", _jobs(trainings, checksum), report=report)
    rows = [engine.load(each).arrays for each in kept]
    arrays: disk.Arrays = {}
    for part in PARTS:
        arrays |= results.stack(rows, AXES, f"{part}_training")
    found = results.dataset(arrays, AXES, _coordinates(trainings))
    facts = _facts() | {"seeds": networks, "data_sha256": checksum}
    results.publish("gauges", found, engine.facts(kept) | facts)


def follow_orbits(
    part: str, task: str, hidden: int, seed: Sequence[int], recipe: dict[str, Any]
) -> list[disk.Arrays]:
    """Train networks on circle and ellipse, and take all gauges after each epoch, as a job.

    Args:
        part: "orbits" or "few".
        task: as of ``orbits.Batch``.
        hidden: number of units.
        seed: one network each.
        recipe: fields of the recipe.

    Returns:
        By the names of ``AXES`` that begin with the part, without their first axis.
    """
    data = orbits.task(np.random.default_rng(0), task)
    train = orbits.examples(data.train)
    train = few_and_noisy(train, np.random.default_rng(1)) if part == "few" else train
    fitted = fit_orbits(train, hidden, seed, training.Recipe(**recipe))
    rows = []
    for place, number in enumerate(seed):
        models = _models(fitted, place, predictors.seq2seq(2, hidden), number)
        gauges = [_of_orbits(model, models[0], data.validation, number) for model in models]
        losses = [error(models[0], train), *fitted.history["loss"][:, place]]
        errors = [error(model, orbits.examples(data.test)) for model in models]
        rows.append(_row(part, gauges, losses, errors))
    return rows


def follow_same(task: str, seed: Sequence[int], data_sha256: str) -> list[disk.Arrays]:
    """Train on some sequences of people as the authors do, and take all gauges, as a job.

    Args:
        task: one of ``study.tasks``.
        seed: one network each.
        data_sha256: checksum of the movements.

    Returns:
        By the names of ``AXES`` that begin with "same", without their first axis.
    """
    names, plan = study.tasks()[task]
    sequences = study.checked(mocap.sequences(mocap.ACTIONS), data_sha256)
    frames, _ = protocols.concatenate(names, sequences)
    people = People([frames], [frames], [], [frames], len(names))
    return _follow_people("same", people, plan, seed)


def follow_held(number: int, seed: Sequence[int], data_sha256: str) -> list[disk.Arrays]:
    """Train on some sequences of each action, and take all gauges on others, as a job.

    Args:
        number: of the choice of what is held out.
        seed: one network each.
        data_sha256: checksum of the movements.

    Returns:
        By the names of ``AXES`` that begin with "held", without their first axis.
    """
    sequences = study.checked(mocap.sequences(mocap.ACTIONS), data_sha256)
    parts = protocols.hold_out(sequences, number)
    return _follow_people("held", split_held(parts), protocols.HELD_OUT, seed)


def few_and_noisy(train: predictors.Examples, rng: np.random.Generator) -> predictors.Examples:
    """Add noise to what the first ``FEW`` sequences are to predict, and take these again and again.

    There are as many rows as before, so that an epoch is as long.
    """
    rows = np.arange(len(train.inputs)) % FEW
    targets = train.targets[:FEW]
    noisy = targets + FEW_NOISE * rng.normal(size=targets.shape).astype(targets.dtype)
    return predictors.Examples(train.inputs[rows], noisy[rows])


def split_held(parts: protocols.Parts) -> People:
    """Give the validation error the first sequence held out of each action that has two."""
    actions = parts.actions
    first = [
        actions.count(action) > 1 and actions.index(action) == k for k, action in enumerate(actions)
    ]
    validation, test = (
        [frames for frames, early in zip(parts.held, first, strict=True) if early is wanted]
        for wanted in (True, False)
    )
    return People(parts.training, parts.held, validation, test, len(set(actions)))


def fit_orbits(
    train: predictors.Examples,
    hidden: int,
    seeds: Sequence[int],
    recipe: training.Recipe,
    cell: str = "gru",
) -> training.Fitted:
    """Fit networks as ``orbits`` does; their parameters are kept after each epoch."""
    return training.fit_ensemble(
        predictors.seq2seq(train.inputs.shape[2], hidden, cell=cell),
        training.squared_error,
        tuple(train),
        recipe,
        jax.vmap(jax.random.key)(np.asarray(seeds)),
        measure=fitting.leaves,
        checkpoint=engine.checkpoint(),
    )


def error(model: Any, given: predictors.Examples) -> float:
    """Return the mean squared error of predictions."""
    outputs = predictors.trajectory(model, given.inputs, given.targets.shape[1]).outputs
    return float(np.square(outputs - given.targets).mean())


def cluster(cloud: Float[np.ndarray, "point feature"], kinds: int, seed: int) -> float:
    """Return the silhouette of the clusters that k-means finds, so many of them."""
    found = clusters.kmeans(cloud, kinds, np.random.default_rng(seed))
    return separability.silhouette(cloud, found)


def of_states(states: Float[np.ndarray, "... hidden"]) -> dict[str, float]:
    """Count the dimensions of hidden states.

    Args:
        states: of decoders.

    Returns:
        "participation ratio", ``1 / sum over k of p_k^2`` of the fractions of energy of centred
        modes, from 1 to the number of units; "modes", the smallest number that holds 95% of it.
    """
    basis = pod.pod(states, centred=True)
    share = pod.energies(basis)
    return {
        "participation ratio": float(1 / np.square(share).sum()),
        "modes": pod.modes_for(basis, 0.95),
    }


def of_weights(model: Any, fresh: Any) -> dict[str, float]:
    """Measure the recurrent matrices of a network, and all of its weights.

    Args:
        model: a predictor with one cell.
        fresh: the same before training.

    Returns:
        Means over the recurrent matrices of single gates of "alpha", the exponent of the tail of
        their squared singular values; "stable rank"; and of what was learnt, "stable rank of the
        change", the number of units before anything was, and "size of the change", as a multiple of
        the initial matrix. "norm of the weights", of all of them.
    """
    after, before = (
        [W for name, W in access.matrices(each).items() if name.startswith("recurrent")]
        for each in (model, fresh)
    )
    spectra = [svd.svd(W).s for W in after]
    learnt = [ranks.learnt(*pair).rest for pair in zip(after, before, strict=True)]
    sizes = [np.linalg.norm(rest) for rest in learnt] / np.linalg.norm(before, axis=(1, 2))
    squares = [np.square(array).sum() for array in access.flatten(model).values()]
    return {
        "alpha": _mean(tails.fit(np.square(s)).alpha for s in spectra),
        "stable rank": _mean(map(ranks.stable_rank, spectra)),
        "stable rank of the change": _mean(
            ranks.stable_rank(svd.svd(rest).s) if rest.any() else len(rest) for rest in learnt
        ),
        "size of the change": _mean(sizes),
        "norm of the weights": float(np.sqrt(sum(squares))),
    }


def of_loop(
    model: Any, inputs: Float[np.ndarray, "sample read feature"], frames: int
) -> dict[str, float]:
    """Run a decoder in closed loop, and compare what it writes with what was read.

    Args:
        model: a predictor.
        inputs: sequences that are read.
        frames: that it was trained to predict; it is run ``LONGER`` times as long.

    Returns:
        "drift", the size of the logarithm of the outputs' energy about the mean of all inputs, as a
        multiple of the inputs' own; "out of range", the mean square of how far outputs are outside
        the range of the inputs, in units of that energy; "error on inputs", the mean squared error
        where the second half of the inputs is predicted from the first.
    """
    outputs = predictors.trajectory(model, inputs, LONGER * frames).outputs.astype(float)
    centre = inputs.astype(float).mean(axis=(0, 1))
    energy = np.square(inputs - centre).mean()
    low, high = inputs.min(axis=(0, 1)), inputs.max(axis=(0, 1))
    half = (inputs.shape[1] + 1) // 2
    return {
        "drift": float(np.abs(np.log(np.square(outputs - centre).mean() / energy))),
        "out of range": float(np.square(outputs - outputs.clip(low, high)).mean() / energy),
        "error on inputs": error(model, predictors.Examples(inputs[:, :half], inputs[:, half:])),
    }


def _of_orbits(model: Any, fresh: Any, seen: Any, seed: int) -> dict[str, float]:
    """Take all gauges but the training loss on validation sequences of circle and ellipse."""
    frames = seen.targets.shape[1]
    states = predictors.trajectory(model, seen.inputs, frames).decoder[:, :: predictors.SKIP]
    averages = points.averages(states).points
    return {
        "silhouette": cluster(averages, len(seen.names), seed),
        **of_states(states),
        **of_weights(model, fresh),
        **of_loop(model, seen.inputs, frames),
        "validation error": error(model, orbits.examples(seen)),
    }


def _of_people(
    model: Any, fresh: Any, people: People, plan: protocols.Plan, seed: int
) -> dict[str, float]:
    """Take all gauges but the training loss on sequences of people moving."""
    embedded = embeddings.embed_states(model, people.watched, plan)[embeddings.WITH_NETWORK[1]]
    states = np.concatenate([each.points for each in embedded])
    apart = people.validation
    cuts = embeddings.cut_once(apart or people.watched, plan)
    inputs = np.concatenate([each.examples.inputs for each in cuts])
    return {
        "silhouette": cluster(states, people.kinds, seed),
        **of_states(states),
        **of_weights(model, fresh),
        **of_loop(model, inputs, plan.predict),
        "validation error": fitting.error(model, apart, plan) if apart else np.nan,
    }


def _follow_people(
    part: str, people: People, plan: protocols.Plan, seeds: Sequence[int]
) -> list[disk.Arrays]:
    fitted = fitting.fit(people.training, plan, seeds, engine.checkpoint())
    create = fitting.create(people.watched[0].shape[1], plan)
    rows = []
    for place, seed in enumerate(seeds):
        models = _models(fitted, place, create, seed)
        gauges = [_of_people(model, models[0], people, plan, seed) for model in models]
        first = fitting.error(models[0], people.training, plan)
        errors = [fitting.error(model, people.test, plan) for model in models]
        rows.append(_row(part, gauges, [first, *fitted.history["loss"][:, place]], errors))
    return rows


def _models(fitted: training.Fitted, place: int, create: training.Create, seed: int) -> list[Any]:
    """Return a network before training, and after each epoch."""
    return [create(jax.random.key(seed)), *fitting.networks_by_epoch(fitted, place)]


def _row(
    part: str, gauges: list[dict[str, float]], losses: Sequence[float], errors: Sequence[float]
) -> disk.Arrays:
    """Put the numbers of one training in the order of ``GAUGES``."""
    every = [each | {"training loss": loss} for each, loss in zip(gauges, losses, strict=True)]
    values = [[each[name] for name in GAUGES] for each in every]
    return disk.single({f"{part}_gauges": values, f"{part}_error": errors})


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _trainings(networks: int) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the settings of each training by its name, for each of ``PARTS``."""
    recipe = {"recipe": orbits.RECIPE._asdict()}
    sizes = {"orbits": orbits.SIZES, "few": FEW_SIZES}
    given: dict[str, list[dict[str, Any]]] = {
        part: [{"task": task, "hidden": hidden} for task in orbits.TASKS for hidden in sizes[part]]
        for part in sizes
    }
    given["same"] = [{"task": task} for task in study.tasks()]
    given["held"] = [{"number": number} for number in range(protocols.CHOICES)]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for part, settings in given.items():
        seeds = range(networks if part in sizes else max(networks // 2, 1))
        besides = {"part": part, **recipe} if part in sizes else {}
        found[part] = {
            "-".join(map(str, [part, *each.values(), seed])): each | {"seed": seed} | besides
            for each in settings
            for seed in seeds
        }
    return found


def _jobs(trainings: dict[str, dict[str, dict[str, Any]]], data_sha256: str) -> list[engine.Job]:
    people = {"data_sha256": data_sha256}
    work: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
        "orbits": (follow_orbits, {}),
        "few": (follow_orbits, {}),
        "same": (follow_same, people),
        "held": (follow_held, people),
    }
    return [
        engine.Job(f"gauges-{name}", work[part][0], settings | work[part][1], many="seed")
        for part in PARTS
        for name, settings in trainings[part].items()
    ]


def _coordinates(trainings: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    epochs = {
        "orbits": orbits.RECIPE.epochs,
        "few": orbits.RECIPE.epochs,
        "same": protocols.AUTHORS.recipe.epochs,
        "held": protocols.HELD_OUT.recipe.epochs,
    }
    found: dict[str, Any] = {f"{part}_training": list(trainings[part]) for part in PARTS}
    found |= {f"{part}_epoch": np.arange(epochs[part] + 1) for part in PARTS}
    return found | {"gauge": list(GAUGES), "better": (("gauge",), list(GAUGES.values()))}


def _facts() -> dict[str, Any]:
    return {
        "recipe": orbits.RECIPE._asdict(),
        "few": {"sequences": FEW, "noise": FEW_NOISE, "sizes": list(FEW_SIZES)},
        "longer": LONGER,
        "authors": study.describe(protocols.AUTHORS),
        "short": study.describe(protocols.SHORT),
        "held_out": study.describe(protocols.HELD_OUT),
    }
