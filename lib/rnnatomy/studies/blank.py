"""What holds a classifier's answer when nothing more is read, and do exponents foretell it?

A classifier reads the rows of a digit, and answers after the last. First question: what keeps the
answer? After the last row it is fed blank rows, a few thousand of them, and asked again and again.
Where its states end, and which answer is given there, is counted; so are the directions in which
states change slowly, and how much of them the readout sees. It is all held against networks that
were not trained, which give an answer too, and keep it for some rows.

*Half of the answers are lost within n rows* if after n blank rows at most half of the images get
the answer that they got after their last row. *A direction is slow* if a push along it takes more
than ``SLOW`` rows to shrink, or grow, by a factor e. *It lies in what the readout sees* by the
share of its hidden half that lies in the space of nine dimensions along which differences of logits
change; the memory cells are not read. A random direction has a share of nine by the number of units
there. A network without slow directions does not have them in the readout's space; how many there
are is told beside it, and the nine slowest of each point are measured too, which all networks have.

Second question, of Vogt, Zheng and Shlizerman (2024): does the spectrum of Lyapunov exponents along
images, early in training, tell how good the network will be? Networks are trained with learning
rates and gains of their initial recurrent weights drawn at random, and the leading exponents are
measured after the first epoch. Rivals know no exponents: the accuracy on validation images after
that epoch, the learning rate, the gain.

Known beforehand: in mnist-0 all of 100 starts fell to one stable fixed point, whose multiplier is
0.90.

Expected before any other of these numbers was seen:

1. There is one fixed point in most trained networks, and nothing else to end in, so that in the end
   all answers are one.
2. Half of the answers are lost within 28 blank rows, in most trained networks.
3. Slow directions lie in what the readout sees by more than twice a random direction's share, in
   most trained networks.
4. Some summary of the exponents after one epoch has a rank correlation with the final accuracy of
   size above 0.5.
5. The accuracy after one epoch has a larger one than any summary of the exponents.
6. Given that accuracy, exponents lower the error with which the final accuracy of a network left
   out is predicted by less than 10 %.

While the code was written, after that, a few were looked at: mnist-0 and its untrained twin, in
which 37 % and 8 % of the answers were the same after 28 blank rows; thousand-0, whose states all
ended in one invariant circle and gave one answer; a small one of another seed, trained on fewer
images, which had a fixed point and a circle to end in; and five networks in training, of other
seeds than here, of which the two with the lowest learning rates ended worst.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Complex, Float, Int

from rnnatomy.analysis import maps, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, autonomous, models, runs, training
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs, progress
from rnnatomy.studies.movement import fitting

PUBLISHED = (*(f"mnist-{seed}" for seed in range(5)), "thousand-0", "thousand-1")
"""Published runs that are fed blank rows."""

TWINS = "mnist"
"""Of these runs the networks before training are asked too; the others began as they did."""

SMALL, SMALL_HIDDEN = 20, 64
"""Networks that are trained anew, as those of ``fifth``, and their units; all with their twins."""

IMAGES = 50
"""Test images of each digit after which blank rows are fed, the first of them."""

STEPS = (0, 1, 2, 4, 8, 16, 28, 32, 64, 128, 256, 512, 1024, 2048, 4000)
"""Blank rows after which the network is asked."""

STILL = 1e-9
"""If no state moves by more in one row, all are at rest, and stay where they are."""

LATER = 500
"""Half of the rows after the last of ``STEPS`` in which it is told where states are."""

SETS, POINTS = 12, 12
"""So many limit sets and fixed points of each network are kept at most, the largest basins first;
all are counted."""

SOUGHT_AT, SOUGHT = (0, 28, 512), 3
"""Blank rows after which states are starts of the search for fixed and slow points, and images of
each digit whose states they are."""

ROUNDS = 10
"""Rounds of each search, see ``maps.fixed_points``."""

SPEED, APART = 0.1, 0.1
"""States that move by less in one row are slow points; and as near as that they are one point."""

SLOW = 28
"""Rows of an image: a slow direction keeps what it holds for longer."""

GAINS = 0.5, 2.0
"""Least and largest factor of the initial recurrent weights."""

RATES = 1 / 32, 8.0
"""Least and largest peak of the learning rate, in units of the recipe's own."""

TRAINED_ON, EPOCHS = 10_000, 4
"""Images, the first of the training part, on which networks are followed, and epochs."""

WATCHED, EXPONENTS, ABOVE = 100, 8, -0.1
"""Test images, the first of them, along which the leading exponents are measured, how many
exponents, and how large those are that are counted."""

KEPT_AXES = {name: ("step",) for name in ("kept", "accuracy", "constant", "answers", "speed")}

SET_AXES = {
    "sets": (),
    "settled": (),
    "kind": ("set",),
    "period": ("set",),
    "basin": ("set", "digit"),
    "rates": ("set", "rate"),
    "set_answer": ("set",),
    "set_steady": ("set",),
    "set_confidence": ("set",),
}

POINT_AXES = {
    "points": (),
    "reached": (),
    "point_share": ("point",),
    "point_unstable": ("point",),
    "point_modulus": ("point",),
    "point_answer": ("point",),
    "point_confidence": ("point",),
}

SLOW_AXES = dict.fromkeys(
    ("slow_points", "slow_number", "slow_most", "slow_share", "slowest_share", "rest_share"), ()
)

TRIAL_AXES = {
    **{f"{when}_exponents": ("exponent",) for when in ("first", "last")},
    **{f"{when}_above": () for when in ("first", "last")},
    **{f"{when}_accuracy": () for when in ("first", "last")},
    **{f"{when}_validation": () for when in ("first", "last")},
}

AXES = {
    **{
        name: ("network", *axes)
        for name, axes in (KEPT_AXES | SET_AXES | POINT_AXES | SLOW_AXES).items()
    },
    **{name: ("trial", *axes) for name, axes in TRIAL_AXES.items()},
}
"""Axes of the published arrays, see ``of_answers``, ``of_sets``, ``of_points``, ``of_slow`` and
``follow``. A ``trial`` is a network that is followed in training."""


class Draw(NamedTuple):
    """What differs between the networks that are followed in training.

    Attributes:
        rate: peak of the learning rate.
        gain: factor of the initial recurrent weights.
    """

    rate: float
    gain: float


def publish(networks: int = 100, report: Callable[[str], None] = progress.print_line) -> None:
    """Feed classifiers blank rows, follow others in training, and publish it: ``results/blank``.

    Each network is a job.

    Args:
        networks: how many are followed in training, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    label = f"fifth-{recipe.epochs}-{SMALL_HIDDEN}"
    small = classifiers.trained(label, SMALL, recipe, SMALL_HIDDEN, data)
    asked = _asked(small, data.checksum)
    kept = engine.run("blank", [*asked.values(), *_trials(networks, data)], report=report)
    rows = [engine.load(one).arrays for one in kept]
    arrays = results.stack(rows[: len(asked)], AXES, "network")
    arrays |= results.stack(rows[len(asked) :], AXES, "trial")
    found = results.dataset(arrays, AXES, _coordinates(list(asked), networks))
    facts = _facts() | {"networks": networks}
    jobs = engine.facts(small, kept)
    classifiers.publish_classifiers("blank", found, data, jobs, facts)


def ask_published(run: runs.Run, trained: bool, data_sha256: str) -> disk.Arrays:
    """Feed blank rows to a published network, or to what it was before training, as a job.

    Returns:
        What ``ask`` returns.
    """
    model = runs.restore(run) if trained else runs.untrained(run)
    return ask(model, inputs.mnist(data_sha256).test)


def ask_made(network: engine.Made, name: str, trained: bool, data_sha256: str) -> disk.Arrays:
    """Do as ``ask_published`` with a network that another job has trained."""
    return ask_published(classifiers.unpack(network, name), trained, data_sha256)


def ask(model: models.Network, test: datasets.Split) -> disk.Arrays:
    """Feed blank rows to a classifier after it has read images, and tell what becomes of answers.

    Args:
        model: a recurrent classifier.
        test: images, of which the first ``IMAGES`` of each digit are read.

    Returns:
        By the names of ``AXES`` that begin with "network", without that axis.
    """
    few = first_images(test, IMAGES)
    network = autonomous.driven(model, np.zeros(few.images.shape[-1]))
    path = run_on(network, network.start(few.images))
    own = np.sort(datasets.first_of_each(few.labels, SOUGHT))
    starts = np.concatenate([path[STEPS.index(step)][own] for step in SOUGHT_AT])
    found = of_answers(network, path, few.labels) | of_sets(network, path[-1], few.labels)
    found |= of_points(network, starts) | of_slow(model, network, starts)
    return disk.single(found)


def first_images(split: datasets.Split, count: int) -> datasets.Split:
    """Return the first images of each digit, in the order of the part."""
    chosen = np.sort(datasets.first_of_each(split.labels, count))
    return datasets.Split(*(part[chosen] for part in split))


def run_on(
    network: autonomous.Autonomous, starts: Float[np.ndarray, "start size"]
) -> Float[np.ndarray, "step start size"]:
    """Return the states after each of ``STEPS`` blank rows."""
    found = [starts]
    for before, after in pairwise(STEPS):
        at_rest = _speeds(network, found[-1]).max() < STILL
        found.append(
            found[-1] if at_rest else maps.run(network.step, found[-1], after - before, 1)[:, 0]
        )
    return np.stack(found)


def of_answers(
    network: autonomous.Autonomous,
    path: Float[np.ndarray, "step start size"],
    labels: Int[np.ndarray, " start"],
) -> dict[str, Any]:
    """Tell how long answers last.

    Args:
        network: fed with blank rows.
        path: states, as of ``run_on``.
        labels: of the images.

    Returns:
        By the names of ``KEPT_AXES``: fraction of images whose answer is "kept", the same as after
        the last row; "accuracy"; "constant", what would be kept if every image got the answer that
        is now given most often; how many different "answers" are given; and the median "speed" of
        states, their way in one row.
    """
    answers = network.outputs(path).argmax(axis=-1)
    most = [np.bincount(now).argmax() for now in answers]
    return {
        "kept": (answers == answers[0]).mean(axis=1),
        "accuracy": (answers == labels).mean(axis=1),
        "constant": [(answers[0] == one).mean() for one in most],
        "answers": [len(np.unique(now)) for now in answers],
        "speed": [np.median(_speeds(network, states)) for states in path],
    }


def of_sets(
    network: autonomous.Autonomous,
    ends: Float[np.ndarray, "start size"],
    labels: Int[np.ndarray, " start"],
) -> dict[str, Any]:
    """Tell where states end, and which answers are given there.

    Args:
        network: fed with blank rows.
        ends: states after the last of ``STEPS``.
        labels: of the images.

    Returns:
        By name: how many "sets"; fraction of the starts that had "settled". And of each set, with
        not a number where there are fewer: "kind", a number in ``maps.KINDS``; "period"; "basin",
        fraction of each digit's images that end in it; "rates", leading exponents per row;
        "set_answer", given most often on it; "set_steady", the fraction of its states that give
        this answer; and "set_confidence", the mean probability of it.
    """
    found = maps.limit_sets(network.step, ends, LATER, count=3)
    told = np.array([_answer(network.outputs(orbit)) for orbit in found.orbits]).reshape(-1, 3)
    basins = [found.basins[labels == digit] for digit in np.unique(labels)]
    shares = [[(own == number).mean() for own in basins] for number in range(len(found.kinds))]
    return {
        "sets": len(found.kinds),
        "settled": found.settled.mean(),
        "kind": results.filled(found.kinds, SETS),
        "period": results.filled(found.periods, SETS),
        "basin": results.filled(np.reshape(shares, (-1, len(basins))), SETS),
        "rates": results.filled(found.exponents, SETS),
        "set_answer": results.filled(told[:, 0], SETS),
        "set_steady": results.filled(told[:, 1], SETS),
        "set_confidence": results.filled(told[:, 2], SETS),
    }


def of_points(
    network: autonomous.Autonomous, starts: Float[np.ndarray, "start size"]
) -> dict[str, Any]:
    """Look for fixed points from states that blank rows lead through.

    Returns:
        By name: how many "points"; "reached", the fraction of starts that led to one. And of each
        point, with not a number where there are fewer: "point_share", the fraction of these that
        led to it; "point_unstable", directions that grow; "point_modulus", of the largest
        eigenvalue; "point_answer" and "point_confidence", the probability of the answer there.
    """
    try:
        found = maps.fixed_points(network.step, starts, rounds=ROUNDS)
    except ValueError:  # none is found
        shape = {name: (POINTS,) * len(axes) for name, axes in POINT_AXES.items()}
        return {n: np.full(s, np.nan) for n, s in shape.items()} | {"points": 0, "reached": 0}
    told = np.array([_answer(network.outputs(state[None])) for state in found.states])
    return {
        "points": len(found),
        "reached": found.counts.sum() / len(starts),
        "point_share": results.filled(found.counts / found.counts.sum(), POINTS),
        "point_unstable": results.filled(found.unstable, POINTS),
        "point_modulus": results.filled(np.abs(found.eigenvalues[:, 0]), POINTS),
        "point_answer": results.filled(told[:, 0], POINTS),
        "point_confidence": results.filled(told[:, 2], POINTS),
    }


def of_slow(
    model: models.Network,
    network: autonomous.Autonomous,
    starts: Float[np.ndarray, "start size"],
) -> dict[str, Any]:
    """Tell how much of the slow directions the readout sees.

    Returns:
        By name: how many "slow_points"; mean "slow_number" of slow directions at each, and the
        largest, "slow_most"; and means of what lies in the readout's space, see ``seen``: of slow
        directions, "slow_share"; of as many of the slowest as that space has dimensions,
        "slowest_share"; and of all that are not slow, "rest_share". Not a number where there are no
        such directions.
    """
    try:
        found = maps.slow_points(
            network.step, starts, SPEED, network.size, apart=APART, rounds=ROUNDS
        )
    except ValueError:  # none is found
        return dict.fromkeys(SLOW_AXES, np.nan) | {"slow_points": 0}
    shares, slow = seen(model, found.directions), found.time_constants > SLOW
    numbers = slow.sum(axis=1)
    return {
        "slow_points": len(slow),
        "slow_number": numbers.mean(),
        "slow_most": numbers.max(),
        "slow_share": _mean(shares[slow]),
        "slowest_share": _mean(shares[:, : len(readout_space(model))]),
        "rest_share": _mean(shares[~slow]),
    }


def seen(
    model: models.Network, directions: Complex[np.ndarray, "point direction size"]
) -> Float[np.ndarray, "point direction"]:
    """Return the share of each direction's hidden part that lies in the readout's space.

    Args:
        model: a classifier.
        directions: of its states; the hidden part comes last.

    Returns:
        A fraction; not a number where the hidden part is 0.
    """
    modes = readout_space(model)
    hidden = directions[..., -modes.shape[1] :]
    with np.errstate(invalid="ignore"):
        units = hidden / np.linalg.norm(hidden, axis=-1, keepdims=True)
    return maps.shares_in_modes(units, modes).sum(axis=-1)


def readout_space(model: models.Network) -> Float[np.ndarray, "mode hidden"]:
    """Return orthonormal directions of hidden states along which differences of logits change."""
    W = access.readout(model).W.astype(np.float64)
    return svd.svd(W - W.mean(axis=0)).Vt[: len(W) - 1]


def draw(seed: int) -> Draw:
    """Draw the learning rate and the gain of a network, both evenly on a logarithmic scale."""
    rng = np.random.default_rng(seed)
    own = classifiers.RECIPES["hundred"].learning_rate
    rate, gain = (np.exp(rng.uniform(*np.log(ends))) for ends in (RATES, GAINS))
    return Draw(float(own * rate), float(gain))


def follow(
    seed: int, gain: float, samples: int, recipe: dict[str, Any], data_sha256: str
) -> disk.Arrays:
    """Train a network, and measure its exponents along images after the first epoch and the last.

    Args:
        seed: of it.
        gain: factor of its initial recurrent weights.
        samples: training images, the first.
        recipe: fields of the recipe.
        data_sha256: checksum of MNIST.

    Returns:
        By the names of ``TRIAL_AXES``, "first" and "last": the leading "exponents", means over
        images; how many of them are "above" ``ABOVE``, mean over images; test "accuracy"; and
        accuracy on "validation". Not a number in all of them if a loss was not finite.
    """
    data = classifiers.first(inputs.mnist(data_sha256), samples)
    try:
        fitted = training.fit(
            started(classifiers.classifier(data, SMALL_HIDDEN), gain),
            training.cross_entropy,
            tuple(data.train),
            training.Recipe(**recipe),
            jax.random.key(seed),
            measure=fitting.leaves,
        )
    except training.NotFiniteError:
        shape = {name: (EXPONENTS,) * len(axes) for name, axes in TRIAL_AXES.items()}
        return disk.single({name: np.full(size, np.nan) for name, size in shape.items()})
    epochs = list(map(access.in_jax, fitting.networks_by_epoch(fitted, 0)))
    found: dict[str, Any] = {}
    for when, model in {"first": epochs[0], "last": epochs[-1]}.items():
        told = of_exponents(model, data.test.images[:WATCHED])
        for name, split in {"accuracy": data.test, "validation": data.validation}.items():
            told[name] = float(training.evaluate(model, *map(jnp.asarray, split))["accuracy"])
        found |= {f"{when}_{name}": value for name, value in told.items()}
    return disk.single(found)


def started(create: training.Create, gain: float) -> training.Create:
    """Return what makes the same LSTM with initial recurrent weights that are so much larger."""

    def scaled(key: Any) -> Any:
        model: Any = create(key)
        kernel = model.cell.dense_h.kernel
        kernel[...] = gain * kernel[...]
        return model

    return scaled


def of_exponents(
    model: models.Network, images: Float[np.ndarray, "sample time feature"]
) -> dict[str, Any]:
    """Measure the leading exponents of a network along images, see ``follow``."""
    starts = np.zeros((len(images), model.entry.copies * model.config["hidden"]))
    found = maps.driven_lyapunov(autonomous.reading(model), starts, images, EXPONENTS)
    above = (found.values > ABOVE).sum(axis=1).mean()
    return {"exponents": found.values.mean(axis=0), "above": above}


def _speeds(
    network: autonomous.Autonomous, states: Float[np.ndarray, "start size"]
) -> Float[np.ndarray, " start"]:
    return np.linalg.norm(maps.run(network.step, states, 1, 1)[:, 0] - states, axis=1)


def _answer(logits: Float[np.ndarray, "time class"]) -> tuple[int, float, float]:
    """Return the answer that is given most often, how often, and its mean probability."""
    given = logits.argmax(axis=1)
    most = int(np.bincount(given).argmax())
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return most, (given == most).mean(), (grown[:, most] / grown.sum(axis=1)).mean()


def _mean(values: Float[np.ndarray, "..."]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def _asked(small: Sequence[engine.Kept], checksum: str) -> dict[str, engine.Job]:
    """Return the jobs of all networks that are fed blank rows, by the name of the network."""
    found: dict[str, engine.Job] = {}
    for trained in (True, False):
        settings = {"trained": trained, "data_sha256": checksum}
        state = "trained" if trained else "untrained"
        for name in PUBLISHED:
            if trained or name.startswith(TWINS):
                given = {"run": inputs.published(name)}
                label = f"{name}-{state}"
                found[label] = engine.Job(f"blank-{label}", ask_published, settings, given)
        for one in small:
            label, named = f"{one.label}-{state}", settings | {"name": one.label}
            found[label] = engine.Job(f"blank-{label}", ask_made, named, {"network": one})
    return found


def _trials(networks: int, data: datasets.Dataset) -> list[engine.Job]:
    recipe = classifiers.RECIPES["hundred"]._replace(epochs=EPOCHS)
    jobs = []
    for seed in range(networks):
        drawn = draw(seed)
        own = recipe._replace(learning_rate=drawn.rate)._asdict()
        settings = {"seed": seed, "gain": drawn.gain, "samples": TRAINED_ON, "recipe": own}
        settings |= {"data_sha256": data.checksum}
        jobs.append(engine.Job(f"blank-followed-{seed}", follow, settings))
    return jobs


def _coordinates(names: Sequence[str], networks: int) -> dict[str, Any]:
    parts = [name.rsplit("-", 2) for name in names]
    drawn = [draw(seed) for seed in range(networks)]
    is_small = [group.startswith("fifth") for group, *_ in parts]
    return {
        "network": list(names),
        "group": (("network",), [group for group, *_ in parts]),
        "seed": (("network",), [int(seed) for _, seed, _ in parts]),
        "state": (("network",), [state for *_, state in parts]),
        "hidden": (("network",), np.where(is_small, SMALL_HIDDEN, classifiers.HIDDEN)),
        "step": list(STEPS),
        "digit": np.arange(10),
        "trial": np.arange(networks),
        "learning_rate": (("trial",), [one.rate for one in drawn]),
        "gain": (("trial",), [one.gain for one in drawn]),
    }


def _facts() -> dict[str, Any]:
    return {
        "recipe": classifiers.RECIPES["hundred"]._asdict(),
        "images": IMAGES,
        "later": LATER,
        "still": STILL,
        "rounds": ROUNDS,
        "sought": {"rows": list(SOUGHT_AT), "images": SOUGHT},
        "speed": SPEED,
        "apart": APART,
        "slow": SLOW,
        "gains": list(GAINS),
        "rates": list(RATES),
        "followed": {"samples": TRAINED_ON, "epochs": EPOCHS},
        "watched": WATCHED,
        "above": ABOVE,
        "kinds": list(maps.KINDS),
    }
