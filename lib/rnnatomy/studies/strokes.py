"""The study of strokes: what decoders draw when single directions of their matrices are removed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from rnnatomy.analysis import controls, gates, ranks, svd
from rnnatomy.data import datasets
from rnnatomy.networks import access, runs, vae
from rnnatomy.store import disk, results
from rnnatomy.studies import autoencoder, engine, inputs, progress

GROUPS = ("lstm-32", "lstm-2")
"""Autoencoders of the study ``autoencoder`` whose decoders are taken apart."""


REMOVED = 4
"""So many directions of each matrix are removed, one at a time: the first."""


DRAWN = 500
"""So many test images are copied: the first."""


_MEASURES = ("cost", "ink", "height", "fainter", "shorter")

AXES = {
    "whole": ("model", "network"),
    **{
        name: ("model", "network", "matrix", "direction")
        for name in ("share", *_MEASURES, *(f"random_{measure}" for measure in _MEASURES))
    },
}
"""Axes of the published arrays, see ``measure_decoder``."""


class Drawing(NamedTuple):
    """What a decoder draws from latent vectors.

    Attributes:
        cost: of each image, in nats.
        images: their grey values, as a fraction (0..1).
    """

    cost: Float[np.ndarray, " sample"]
    images: Float[np.ndarray, "sample time feature"]


class Decoder(NamedTuple):
    """A decoder that is taken apart.

    Attributes:
        parts: of its matrices, by name.
        whole: what it draws with nothing removed.
        draw: what it draws with another matrix of a name.
    """

    parts: dict[str, svd.SVD]
    whole: Drawing
    draw: Callable[[str, np.ndarray], Drawing]


def publish(networks: int = 3, report: Callable[[str], None] = progress.print_line) -> None:
    """Remove single directions from the decoders of the autoencoders: ``results/strokes``.

    The networks are those of the studies ``autoencoder`` and ``likelihood``, trained anew if they
    are not there.

    Args:
        networks: how many of each group, with seeds 0, 1, 2 and so on.
        report: called with a line when jobs are done.
    """
    checksum = datasets.mnist().checksum
    trained = engine.run(
        "strokes, networks", autoencoder.jobs(GROUPS, networks, checksum), report=report
    )
    measured = engine.run("strokes", jobs(trained, checksum), report=report)
    rows = [engine.load(kept).arrays for kept in measured]
    models = [
        results.stack(several, results.without(AXES, "model"), "network")
        for several in autoencoder.by_group(GROUPS, rows).values()
    ]
    coordinates = {
        "model": list(GROUPS),
        "network": np.arange(networks),
        "matrix": list(gates.MATRICES),
        "direction": np.arange(1, 1 + REMOVED),
    }
    found = results.dataset(results.stack(models, AXES, "model"), AXES, coordinates)
    facts = {
        "networks": networks * len(GROUPS),
        "groups": list(GROUPS),
        "removed": REMOVED,
        "drawn": DRAWN,
        "data_sha256": checksum,
        **engine.facts(trained, measured),
    }
    results.publish("strokes", found, facts)


def jobs(trained: Sequence[engine.Kept], data_sha256: str) -> list[engine.Job]:
    """Return the jobs that take trained networks apart, one for each.

    Args:
        trained: networks, in each group in the order of their seeds.
        data_sha256: checksum of the images.
    """
    groups = autoencoder.by_group(GROUPS, trained)
    return [
        engine.Job(
            f"strokes-{name}-{seed}",
            take_apart,
            {"seed": seed, "data_sha256": data_sha256},
            {"network": kept},
        )
        for name, several in groups.items()
        for seed, kept in enumerate(several)
    ]


def take_apart(seed: int, data_sha256: str, network: engine.Made) -> disk.Arrays:
    """Take the decoder of a network apart, as a job: see ``measure_decoder``.

    Args:
        seed: of the network, and of the random directions.
        data_sha256: checksum of the images.
        network: as of ``autoencoder.train_networks``.
    """
    model, images = restore(data_sha256, network)
    return measure_decoder(model, images, np.random.default_rng(seed))


def restore(
    data_sha256: str, network: engine.Made
) -> tuple[Any, Float[np.ndarray, "sample time feature"]]:
    """Return a trained autoencoder, and the images that it is to copy.

    Args:
        data_sha256: checksum of the images.
        network: as of ``autoencoder.train_networks``.
    """
    model = runs.restore(autoencoder.run_of(network, "network"))
    return model, autoencoder.binarised(inputs.mnist(data_sha256).test.images)[:DRAWN]


def measure_decoder(
    model: vae.Autoencoder,
    inputs: Float[np.ndarray, "sample time feature"],
    rng: np.random.Generator,
    names: Sequence[str] = gates.MATRICES,
) -> disk.Arrays:
    """Measure what the decoder of an autoencoder draws without single directions.

    Each of the first ``REMOVED`` directions of each matrix is removed by itself. The control
    removes random directions of the same matrix until as much energy is lost.

    Args:
        model: for black and white images.
        inputs: images, black and white; each is drawn from the mean of its posterior.
        rng: source of the random directions.
        names: of the matrices that are taken.

    Returns:
        "whole", cost of a copy with nothing removed, in nats; and of each direction (matrix,
        direction): "share", its fraction of the matrix's energy; "cost", what a copy costs more;
        "ink" and "height", median over images of what is drawn as a fraction of what the whole
        decoder draws, see ``ink`` and ``height``; "fainter" and "shorter", fraction of images with
        less ink or height; all but the first also of the control, as "random_cost" and so on. NaN
        where a matrix has fewer directions.
    """
    decoder = open_decoder(model, inputs)
    found = {key: np.full((len(names), REMOVED), np.nan) for key in AXES if key != "whole"}
    for row, name in enumerate(names):
        for column in range(min(REMOVED, len(decoder.parts[name].s))):
            for key, value in measure_direction(decoder, name, column + 1, rng, 1).items():
                found[key][row, column] = np.squeeze(value)
    return disk.single({"whole": decoder.whole.cost.mean(), **found})


def open_decoder(
    model: vae.Autoencoder, inputs: Float[np.ndarray, "sample time feature"]
) -> Decoder:
    """Take the matrices of a decoder apart, and see what it draws.

    Args:
        model: as of ``measure_decoder``.
        inputs: as of ``measure_decoder``.
    """
    latent = vae.posterior(model, inputs).mean
    parts = ranks.decompose(access.matrices(model, "decoder"))
    whole = {name: svd.compose(part) for name, part in parts.items()}

    def draw(name: str, matrix: np.ndarray) -> Drawing:
        changed = access.with_matrices(model, whole | {name: matrix}, "decoder")
        cost, images = _draw(changed, latent, jnp.asarray(inputs))
        return Drawing(np.asarray(cost), np.asarray(images, np.float64))

    first = next(iter(whole))
    return Decoder(parts, draw(first, whole[first]), draw)


def measure_direction(
    decoder: Decoder, name: str, direction: int, rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """Measure what a decoder draws without one direction of a matrix, see ``measure_decoder``.

    Args:
        decoder: taken apart.
        name: of the matrix.
        direction: its number, from 1.
        rng: source of the random directions.
        draws: so many times random directions are removed.

    Returns:
        "share", "cost" and so on; of the control "random_cost" and so on, one of each draw.
    """
    part = decoder.parts[name]
    matrix, share = svd.compose(part), float(svd.energy(part)[direction - 1])
    without = decoder.draw(name, svd.compose(svd.without(part, direction)))
    control = [
        _compare(decoder.whole, decoder.draw(name, controls.remove_random(rng, matrix, share)))
        for _ in range(draws)
    ]
    found = {"share": share, **_compare(decoder.whole, without)}
    return found | {f"random_{key}": np.array([c[key] for c in control]) for key in _MEASURES}


def ink(images: Float[np.ndarray, "sample time feature"]) -> Float[np.ndarray, " sample"]:
    """Return how much of each image is white: the sum of its pixels."""
    return images.sum(axis=(1, 2))


def height(images: Float[np.ndarray, "sample time feature"]) -> Float[np.ndarray, " sample"]:
    """Return how far the ink of each image spreads over its rows: its standard deviation, in rows.

    Zero for an image without ink.
    """
    rows = np.arange(images.shape[1])
    weights = images.sum(axis=2)
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    middle = weights @ rows
    return np.sqrt((weights * np.square(rows - middle[:, None])).sum(axis=1))


def _compare(before: Drawing, after: Drawing) -> dict[str, float]:
    found = {"cost": float((after.cost - before.cost).mean())}
    for key, word, measured in (("ink", "fainter", ink), ("height", "shorter", height)):
        ratio = measured(after.images) / np.maximum(measured(before.images), 1e-12)
        found |= {key: float(np.median(ratio)), word: float((ratio < 1).mean())}
    return found


@nnx.jit
def _draw(model: Any, latent: Array, inputs: Array) -> tuple[Array, Array]:
    outputs = model.decode(latent)
    return -vae.log_likelihood(model, outputs, inputs), jax.nn.sigmoid(outputs)
