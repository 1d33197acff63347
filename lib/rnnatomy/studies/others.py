"""Is it the LSTM at all? Other networks and other data are asked what a thousand LSTMs were asked.

Cells of other kinds, the same images read in another order, networks that know no time, and other
digits. Each has its own best chance: the peak of its learning rate is chosen on validation images,
with networks that are not used again. This was expected, and written down, before any of it was
computed:

- Whatever reads MNIST, with time or without, has a first direction that hits one and the same digit
  hardest in most networks of its kind: the seven, or another.
- The fifth direction takes the eights, so that fewer than a tenth are recalled, in fewer than one
  in ten networks of every kind.
- In every kind that reads MNIST, fewer networks lose some digit to one direction than random bases
  do.
- Networks without recurrence have as many pairs of star and understudy as their random bases.

If so, the findings are about readouts and digits, and not about LSTMs.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnatomy.analysis import svd
from rnnatomy.data import arrangements, datasets
from rnnatomy.networks import access, models, runs, training
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs, progress, questions

LEFT_OUT = ("readout",)
"""What is as wide as the layer that is read, which differs from network to network."""

AXES = {
    "test_accuracy": ("network",),
    "left": ("network", "digit", "direction"),
    **{name: axes for name, axes in questions.AXES.items() if name not in LEFT_OUT},
    "trial_accuracy": ("trial", "trial_seed"),
}
"""Axes of the published arrays, see ``measure`` and ``choose``."""

TRIAL_SEEDS = (1000, 1001)
"""Seeds of the networks with which a learning rate is chosen."""

MOST_RATES = 8
"""So many rates are tried at most, if the best lies at the edge of those tried."""

DATA = {"mnist": inputs.mnist, "digits": inputs.digits}
"""What loads the data of a row in a job, from their checksum."""

GATED = (2e-3, 4e-3, 8e-3)
"""Peaks of the learning rate to try for cells with gates."""

LOW = (5e-4, 1e-3, 2e-3, 4e-3)
"""Peaks to try for cells that may need lower ones."""


class Row(NamedTuple):
    """A kind of network, and what it reads.

    Attributes:
        model: name of it, see ``models.MODELS``.
        options: arguments that are no sizes, such as its cell.
        rates: peaks of the learning rate to try; one alone is taken as it is.
        arrangement: of the pixels, see ``arrangements.ARRANGEMENTS``.
        data: one of ``DATA``.
        recipe: name of it, see ``classifiers.RECIPES``.
    """

    model: str
    options: dict[str, str]
    rates: tuple[float, ...]
    arrangement: str = "rows"
    data: str = "mnist"
    recipe: str = "hundred"


LSTM = {"cell": "lstm"}

ROWS = {
    "LSTM": Row("Classifier", LSTM, (8e-3,)),
    "GRU": Row("Classifier", {"cell": "gru"}, GATED),
    "Elman": Row("Classifier", {"cell": "elman"}, LOW),
    "minimal LSTM": Row("Classifier", {"cell": "minimal-lstm"}, (*LOW, 8e-3)),
    "LSTM, columns": Row("Classifier", LSTM, GATED, "columns"),
    "LSTM, permuted": Row("Classifier", LSTM, GATED, "permuted"),
    "perceptron, ReLU": Row("MLP", {"activation": "relu"}, LOW),
    "perceptron, tanh": Row("MLP", {"activation": "tanh"}, LOW),
    "logistic regression": Row("Logistic", {}, GATED),
    "LSTM, 8 x 8 digits": Row("Classifier", LSTM, GATED, data="digits", recipe="digits"),
}
"""Every row of the study by name; the LSTM of the first is that of the study ``thousand``."""

Trials = dict[str, dict[float, list[float]]]
"""Validation accuracies of the networks of ``TRIAL_SEEDS``, by row and learning rate."""


def publish(networks: int = 30) -> None:
    """Ask other networks what a thousand LSTMs were asked: ``results/others``.

    Args:
        networks: how many of each row, with seeds 0, 1, 2 and so on.
    """
    data = {"mnist": datasets.mnist(), "digits": datasets.digits()}
    progress.print_line(f"MNIST from {data['mnist'].source}; {len(ROWS)} x {networks} networks")
    trials, tried = choose(data)
    rates = {name: best(trials[name]) if name in trials else ROWS[name].rates[0] for name in ROWS}
    trained = engine.run(
        "others",
        [_job(train, name, rates[name], seed, data) for name in ROWS for seed in range(networks)],
    )
    measured = engine.run("others, measured", [measurement(kept) for kept in trained])
    arrays = results.stack([engine.load(kept).arrays for kept in measured], AXES, "network")
    arrays |= disk.single({"trial_accuracy": [a for row in trials.values() for a in row.values()]})
    known = questions.coordinates(arrays["bias"].shape[1])
    known |= coordinates(trials, rates, networks)
    found = results.dataset(arrays, AXES, known)
    facts = _facts(rates) | {"networks": networks * len(ROWS), "seeds": networks}
    facts |= {"digits_sha256": data["digits"].checksum}
    jobs = engine.facts(tried, trained, measured)
    classifiers.publish_classifiers("others", found, data["mnist"], jobs, facts)
    for name, own in found["test_accuracy"].groupby("model"):
        progress.print_line(f"{name}: {float(own.mean()):.4f}")


def choose(data: Mapping[str, datasets.Dataset]) -> tuple[Trials, list[engine.Kept]]:
    """Try learning rates for each row, and wider ones while the best lies at the edge.

    Args:
        data: of the rows, by name.

    Returns:
        What was found by the jobs, and the jobs. Rows with one rate are not among them.
    """
    wanted = {name: row.rates for name, row in ROWS.items() if len(row.rates) > 1}
    return search("others", wanted, lambda name, rate, seed: _job(attempt, name, rate, seed, data))


def best(own: Mapping[float, Sequence[float]]) -> float:
    """Return the learning rate of the highest mean accuracy, the lower of equal ones."""
    return max(sorted(own), key=lambda rate: np.mean(own[rate]))


def beyond(own: Mapping[float, Sequence[float]]) -> tuple[float, ...]:
    """Return the rate to try next: beyond the best, if that is the lowest or the highest tried."""
    found = best(own)
    if len(own) >= MOST_RATES or min(own) < found < max(own):
        return ()
    return (found / 2 if found == min(own) else found * 2,)


def search(
    study: str,
    wanted: Mapping[str, tuple[float, ...]],
    job: Callable[[str, float, int], engine.Job],
    further: Callable[[Mapping[float, Sequence[float]]], tuple[float, ...]] = beyond,
) -> tuple[Trials, list[engine.Kept]]:
    """Try learning rates for each row, and others as long as there are further ones to try.

    Args:
        study: its name.
        wanted: learning rates to try first, by row.
        job: makes the job of a row, a rate and a seed; it keeps "accuracy", as ``attempt``.
        further: returns the rates of a row to try next, from all that was found for it.

    Returns:
        What was found by the jobs, and the jobs.
    """
    trials: Trials = {name: {} for name in wanted}
    every: list[engine.Kept] = []
    while any(wanted.values()):
        asked = [
            (name, rate, seed)
            for name, rates in wanted.items()
            for rate in rates
            for seed in TRIAL_SEEDS
        ]
        kept = engine.run(f"{study}, learning rates", [job(*one) for one in asked])
        for (name, rate, _), one in zip(asked, kept, strict=True):
            accuracy = float(engine.load(one).arrays["accuracy"])
            trials[name].setdefault(rate, []).append(accuracy)
        every += kept
        wanted = {name: further(own) for name, own in trials.items()}
    return {name: dict(sorted(own.items())) for name, own in trials.items()}, every


def attempt(
    seed: Sequence[int],
    data: str,
    data_sha256: str,
    arrangement: str,
    config: dict[str, Any],
    recipe: dict[str, Any],
) -> list[engine.Made]:
    """Try networks with one learning rate, as a job, see ``accuracies``."""
    given = (seed, data, data_sha256, arrangement, config, recipe)
    return accuracies(lambda: _fit(*given), len(seed))


def accuracies(fit: Callable[[], list[runs.Run]], networks: int) -> list[engine.Made]:
    """Fit networks, and keep of each its last validation "accuracy" alone.

    It is 0 for all of them where a loss did not stay finite.
    """
    try:
        found = [run.metrics["history"]["accuracy"][-1] for run in fit()]
    except training.NotFiniteError:
        found = [0.0] * networks
    return [engine.Made(disk.single({"accuracy": accuracy})) for accuracy in found]


def train(
    seed: Sequence[int],
    data: str,
    data_sha256: str,
    arrangement: str,
    config: dict[str, Any],
    recipe: dict[str, Any],
) -> list[engine.Made]:
    """Train networks of a row, as a job: one for each seed."""
    made = _fit(seed, data, data_sha256, arrangement, config, recipe)
    return [classifiers.pack(run) for run in made]


def measure(network: engine.Made, name: str) -> disk.Arrays:
    """Ask one network all questions, as a job.

    Returns:
        What ``questions.ask_run`` returns, but ``LEFT_OUT``; and the "left" vectors, in half
        precision.
    """
    run = classifiers.unpack(network, name)
    asked = questions.ask_run(run) | {"left": np.asarray(svd.svd(run.readout).U, np.float16)}
    return {name: array for name, array in asked.items() if name not in LEFT_OUT}


def coordinates(trials: Trials, rates: Mapping[str, float], networks: int) -> dict[str, Any]:
    """Return the coordinates of networks and of trials.

    Args:
        trials: as of ``choose``.
        rates: the learning rate of each row.
        networks: how many each row has.

    Returns:
        "model", "seed" and "learning_rate" of each network, which are counted through all rows;
        "trial_model" and "trial_rate" of each trial; and the numbers along the axes.
    """
    tried = [(name, rate) for name, own in trials.items() for rate in own]
    return {
        "network": np.arange(len(rates) * networks),
        "model": (("network",), np.repeat(list(rates), networks)),
        "seed": (("network",), np.tile(np.arange(networks), len(rates))),
        "learning_rate": (("network",), np.repeat(list(rates.values()), networks)),
        "trial_model": (("trial",), [name for name, _ in tried]),
        "trial_rate": (("trial",), [rate for _, rate in tried]),
        "trial_seed": list(TRIAL_SEEDS),
    }


def config(row: Row, data: datasets.Dataset) -> dict[str, Any]:
    """Return the config of the networks of a row, with the sizes that its model takes."""
    images = arrangements.arrange(data, row.arrangement).test.images
    sizes = dict(zip(("frames", "feature"), images.shape[1:], strict=True))
    sizes |= {"hidden": classifiers.HIDDEN, "classes": int(data.train.labels.max()) + 1}
    taken = inspect.signature(models.MODELS[row.model].__init__).parameters
    own = {name: size for name, size in sizes.items() if name in taken}
    return {"model": row.model, **own, **row.options}


def measurement(kept: engine.Kept, work: Callable[..., disk.Arrays] = measure) -> engine.Job:
    """Return the job that measures a network, as ``measure`` does."""
    label = f"{kept.label} measured"
    return engine.Job(label, work, {"name": kept.label}, {"network": kept})


def _job(
    work: Callable[..., list[engine.Made]],
    name: str,
    rate: float,
    seed: int,
    data: Mapping[str, datasets.Dataset],
) -> engine.Job:
    """Return the job of one network of a row; its data are known by checksum and arrangement."""
    row = ROWS[name]
    settings = {
        "seed": seed,
        "data": row.data,
        "data_sha256": data[row.data].checksum,
        "arrangement": row.arrangement,
        "config": config(row, data[row.data]),
        "recipe": _recipe(row, rate)._asdict(),
    }
    return engine.Job(f"others, {name}, {rate:g}, {seed}", work, settings, many="seed")


def _facts(rates: Mapping[str, float]) -> dict[str, Any]:
    recipes = {row.recipe: _recipe(row, 0.0)._asdict() for row in ROWS.values()}
    for recipe in recipes.values():
        del recipe["learning_rate"]
    return {
        "hidden": classifiers.HIDDEN,
        "recipes": recipes,
        "rates": dict(rates),
        "permutation": arrangements.SEED,
        "bases": questions.BASES,
        "thresholds": list(questions.THRESHOLDS),
    }


def _recipe(row: Row, rate: float) -> training.Recipe:
    return classifiers.RECIPES[row.recipe]._replace(learning_rate=rate)


def _fit(
    seeds: Sequence[int],
    data: str,
    data_sha256: str,
    arrangement: str,
    config: dict[str, Any],
    recipe: dict[str, Any],
) -> list[runs.Run]:
    """Fit networks of one config to data in one arrangement."""
    return classifiers.fit_networks(
        arrangements.arrange(DATA[data](data_sha256), arrangement),
        seeds,
        training.Recipe(**recipe),
        lambda key: access.build(config, key),
        checkpoint=engine.checkpoint(),
    )
