"""Is it the LSTM, or is it the digits? Networks that tell nine speakers apart are asked the same.

LSTMs of the size of the ``thousand`` hear two vowels and say who speaks; see ``data.vowels``. The
peak of the learning rate is chosen on utterances that validate, with networks that are not used
again, as in ``others``; but from three rates alone. A first search beyond these went down to an
eighth of a thousandth, for the 54 utterances hardly tell rates apart, and of equal ones it takes
the lower; no test utterance was looked at by then. This was expected, and written down, before
any network was trained:

- Speakers are nine classes without an order or a likeness that we know. If the findings are about
  readouts, some speaker is lost to one direction, so that fewer than a tenth are recalled, in fewer
  networks than among their random bases, or in as many.
- The first direction hits one and the same speaker hardest in most networks. Which one it is, we
  cannot say.

Wherever ``digit`` names an axis, it is the speaker, 0 to 8.
"""

from collections.abc import Sequence
from typing import Any

from rnnatomy.data import datasets, vowels
from rnnatomy.networks import access, runs, training
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, others, progress, questions

NAME = "LSTM, speakers"

ROW = others.Row("Classifier", others.LSTM, others.GATED, data="vowels", recipe="vowels")
"""The one kind of network, and the learning rates that are tried."""

RECIPE = training.Recipe(epochs=60, batch=8)
"""How networks are trained; its learning rate is chosen."""

AXES = others.AXES
"""Axes of the published arrays, see ``others``."""


def publish(networks: int = 30) -> None:
    """Ask networks that tell speakers apart what others were asked: ``results/speakers``.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data = vowels.padded(vowels.utterances())
    progress.print_line(f"{len(data.train.labels)} utterances to train on; {networks} networks")
    trials, tried = choose(data)
    rate = others.best(trials[NAME])
    trained = engine.run("speakers", [_job(train, rate, seed, data) for seed in range(networks)])
    measured = engine.run("speakers, measured", [others.measurement(kept) for kept in trained])
    arrays = results.stack([engine.load(kept).arrays for kept in measured], AXES, "network")
    arrays |= disk.single({"trial_accuracy": list(trials[NAME].values())})
    known = questions.coordinates(arrays["bias"].shape[1])
    known |= others.coordinates(trials, {NAME: rate}, networks)
    found = results.dataset(arrays, AXES, known)
    facts = _facts(rate) | {"networks": networks}
    jobs = engine.facts(tried, trained, measured)
    classifiers.publish_classifiers("speakers", found, data, jobs, facts)
    classifiers.print_accuracy(found["test_accuracy"])


def choose(data: datasets.Dataset) -> tuple[others.Trials, list[engine.Kept]]:
    """Try the learning rates of ``ROW``, as ``others.choose``, but none beyond."""
    return others.search(
        "speakers",
        {NAME: ROW.rates},
        lambda _, rate, seed: _job(attempt, rate, seed, data),
        further=lambda _: (),
    )


def attempt(
    seed: Sequence[int], data: datasets.Dataset, config: dict[str, Any], recipe: dict[str, Any]
) -> list[engine.Made]:
    """Try networks with one learning rate, as a job, see ``others.accuracies``."""
    return others.accuracies(lambda: _fit(seed, data, config, recipe), len(seed))


def train(
    seed: Sequence[int], data: datasets.Dataset, config: dict[str, Any], recipe: dict[str, Any]
) -> list[engine.Made]:
    """Train networks, as a job: one for each seed."""
    return [classifiers.pack(run) for run in _fit(seed, data, config, recipe)]


def _job(work: Any, rate: float, seed: int, data: datasets.Dataset) -> engine.Job:
    settings = {
        "seed": seed,
        "config": others.config(ROW, data),
        "recipe": RECIPE._replace(learning_rate=rate)._asdict(),
    }
    label = f"speakers, {rate:g}, {seed}"
    return engine.Job(label, work, settings, {"data": data}, many="seed")


def _facts(rate: float) -> dict[str, Any]:
    return {
        "hidden": classifiers.HIDDEN,
        "recipe": RECIPE._replace(learning_rate=rate)._asdict(),
        "bases": questions.BASES,
        "thresholds": list(questions.THRESHOLDS),
    }


def _fit(
    seeds: Sequence[int], data: datasets.Dataset, config: dict[str, Any], recipe: dict[str, Any]
) -> list[runs.Run]:
    return classifiers.fit_networks(
        data,
        seeds,
        training.Recipe(**recipe),
        lambda key: access.build(config, key),
        checkpoint=engine.checkpoint(),
    )
