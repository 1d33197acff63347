"""Does one direction set the pace of a decoder, and another its ink? Thirty fresh autoencoders.

In the six decoders of the study ``strokes``, digits came out shorter without the first direction
of the recurrent matrix of i, and of f; without that of o they came out in less ink, as tall as
before. That was seen first and said afterwards. Here it is said first: what follows was written
down before any of these thirty was trained. Three trial networks had been seen by then, which did
not all agree: in one of them the third prediction fails.

1. Without the first direction of i the height is at most 0.95 of the whole decoder's, in at least
   24 of 30 networks; refuted if in 19 or fewer.
2. The same without that of f, in at least 20; refuted if in 15 or fewer.
3. Without that of o the ink is at most 0.90 while the height stays within 0.90 to 1.10, in at
   least 24; refuted if in 19 or fewer.

Random directions of the same matrix that hold as much energy do so in at most one draw of ten; if
they do so more often, it is the energy that counts and not the direction.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from rnnatomy.data import datasets
from rnnatomy.networks import training, vae
from rnnatomy.store import disk, results
from rnnatomy.studies import autoencoder, engine, inputs, progress, rates, strokes

GROUP = autoencoder.Group(
    "VAE",
    "digits",
    latent=16,
    hidden=128,
    recipe=training.Recipe(epochs=3, batch=32, learning_rate=5e-3, weight_decay=0.0),
    objective=autoencoder.WARM,
)
"""What is trained: smaller and shorter than the networks in which it was seen."""

FIRST_SEED = 100
"""Seed of the first network; no network of another study of autoencoders has it."""

MATRICES = ("recurrent i", "recurrent f", "recurrent g", "recurrent o")
"""Whose first direction is removed; nothing was expected of g."""

DRAWS = 10
"""So many times random directions of the same energy are removed instead."""

CHANCE = 0.1
"""At most this fraction of the random draws may do what a prediction says."""


class Prediction(NamedTuple):
    """What was expected of a matrix.

    Attributes:
        matrix: its name.
        least: in so many networks of ``OF`` or more it holds as predicted.
        refuted: in so many or fewer it is refuted.
        ink: least and greatest ink, as a fraction of the whole decoder's.
        height: least and greatest height.
    """

    matrix: str
    least: int
    refuted: int
    ink: tuple[float, float]
    height: tuple[float, float]


OF = 30
"""Networks of which the predictions speak."""

_ANY = (0.0, np.inf)

PREDICTIONS = {
    "shorter without i": Prediction("recurrent i", 24, 19, ink=_ANY, height=(0.0, 0.95)),
    "shorter without f": Prediction("recurrent f", 20, 15, ink=_ANY, height=(0.0, 0.95)),
    "fainter without o": Prediction("recurrent o", 24, 19, ink=(0.0, 0.9), height=(0.9, 1.1)),
}

_MEASURES = ("cost", "ink", "height")

AXES = {
    **dict.fromkeys(("elbo", "reconstruction", "whole"), ("network",)),
    **dict.fromkeys(("share", *_MEASURES), ("network", "matrix")),
    **{f"random_{measure}": ("network", "matrix", "draw") for measure in _MEASURES},
}
"""Axes of the published arrays, see ``measure``."""


def publish(networks: int = OF, report: Callable[[str], None] = progress.print_line) -> None:
    """Train autoencoders and remove the first directions of their decoders: ``results/pace``.

    Args:
        networks: how many.
        report: called with a line when jobs are done.
    """
    checksum = datasets.mnist().checksum
    trained = engine.run("pace, networks", training_jobs(networks, checksum), report=report)
    measured = engine.run("pace", _measure_jobs(trained, checksum), report=report)
    rows = [
        {name: array for name, array in engine.load(kept).arrays.items() if name in AXES}
        for kept in [*trained, *measured]
    ]
    coordinates = {
        "network": FIRST_SEED + np.arange(networks),
        "matrix": list(MATRICES),
        "draw": np.arange(DRAWS),
    }
    found = results.dataset(results.stack(rows, AXES, "network"), AXES, coordinates)
    facts = {
        "networks": networks,
        "group": autoencoder.describe_group(GROUP),
        "drawn": strokes.DRAWN,
        "data_sha256": checksum,
        **engine.facts(trained, measured),
    }
    results.publish("pace", found, facts)


def train(seed: Sequence[int], group: autoencoder.Group, data_sha256: str) -> list[engine.Made]:
    """Train autoencoders of digits, as a job.

    Args:
        seed: one network each.
        group: what is trained.
        data_sha256: checksum of the images.

    Returns:
        Of each network as of ``autoencoder.fit_each``, and on the test part "elbo" and
        "reconstruction", in nats.
    """
    given = autoencoder.sequences(inputs.mnist(data_sha256), None)

    def bound(model: vae.Autoencoder) -> disk.Arrays:
        found = vae.bounds(model, given.test, jax.random.key(0), samples=1, batch=500)
        names = ("elbo", "reconstruction")
        return disk.single({name: getattr(found, name).mean() for name in names})

    return autoencoder.fit_each(seed, "pace", group, given, bound)


def take_apart(seed: int, data_sha256: str, network: engine.Made) -> disk.Arrays:
    """Take the decoder of a network apart, as a job: see ``measure``.

    Args:
        seed: of the network, and of the random directions.
        data_sha256: checksum of the images.
        network: as of ``train``.
    """
    model, images = strokes.restore(data_sha256, network)
    return measure(model, images, np.random.default_rng(seed))


def measure(
    model: vae.Autoencoder,
    inputs: Float[np.ndarray, "sample time feature"],
    rng: np.random.Generator,
) -> disk.Arrays:
    """Measure what a decoder draws without the first direction of its recurrent matrices.

    Args:
        model: for black and white images.
        inputs: images, black and white; each is drawn from the mean of its posterior.
        rng: source of the random directions.

    Returns:
        As of ``strokes.measure_decoder``: "whole"; "share", "cost", "ink" and "height" (matrix);
        and of the control "random_cost" and so on (matrix, draw).
    """
    decoder = strokes.open_decoder(model, inputs)
    found = [strokes.measure_direction(decoder, name, 1, rng, DRAWS) for name in MATRICES]
    arrays = {
        name: np.stack([row[name] for row in found])
        for name, own in AXES.items()
        if "matrix" in own
    }
    return disk.single({"whole": decoder.whole.cost.mean(), **arrays})


def holds(data: xr.Dataset) -> dict[str, rates.Rate]:
    """Tell in which networks each prediction holds, and in which share of their random draws.

    Args:
        data: of the study.

    Returns:
        By the names of ``PREDICTIONS``; both along (network).
    """
    found = {}
    for name, prediction in PREDICTIONS.items():
        one = data.sel(matrix=prediction.matrix)
        drawn = _as_predicted(prediction, one["random_ink"], one["random_height"])
        held = _as_predicted(prediction, one["ink"], one["height"])
        found[name] = rates.Rate(held, drawn.mean(axis=1))
    return found


def judge(name: str, rate: rates.Rate) -> str:
    """Say what became of a prediction: "held", "refuted", or "open" between the two.

    Args:
        name: one of ``PREDICTIONS``.
        rate: as of ``holds``. Where there are not ``OF`` networks, the same fractions decide.
    """
    prediction = PREDICTIONS[name]
    count = OF * int(rate.holds.sum()) / len(rate.holds)
    if count <= prediction.refuted or rate.control.mean() > CHANCE:
        return "refuted"
    return "held" if count >= prediction.least else "open"


def _as_predicted(
    prediction: Prediction, ink: xr.DataArray, height: xr.DataArray
) -> Bool[np.ndarray, "network ..."]:
    """Tell where ink and height lie within what was predicted."""
    pairs = ((ink.to_numpy(), prediction.ink), (height.to_numpy(), prediction.height))
    inside = [(low <= array) & (array <= high) for array, (low, high) in pairs]
    return np.all(inside, axis=0)


def training_jobs(networks: int, data_sha256: str) -> list[engine.Job]:
    """Return the jobs that train the networks, for other studies of the same ones."""
    return [
        engine.Job(
            f"pace-{seed}",
            train,
            {"seed": seed, "group": GROUP, "data_sha256": data_sha256},
            many="seed",
        )
        for seed in range(FIRST_SEED, FIRST_SEED + networks)
    ]


def _measure_jobs(trained: Sequence[engine.Kept], data_sha256: str) -> list[engine.Job]:
    return [
        engine.Job(
            f"pace-apart-{seed}",
            take_apart,
            {"seed": seed, "data_sha256": data_sha256},
            {"network": kept},
        )
        for seed, kept in enumerate(trained, FIRST_SEED)
    ]
