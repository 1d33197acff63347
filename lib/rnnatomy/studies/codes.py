"""Other codes of a classifier's hidden states, beside those of the study ``autoencoder``.

A code that names the digit alone is the base rate: the mean trajectory of the class that the
classifier answers. K-means names one of K centres, in at most log K nats. A plain autoencoder sees
the whole sequence as one vector, and has its best chance: width and learning rate are chosen on the
validation part.

Expected before looking: the class means lose less of the variance than POD with two modes, and
nearly as little as the LSTM autoencoder with two numbers; the plain autoencoder is as good as the
LSTM at each size. Either can fail.

A rival that was added later spends one of its n numbers on the digit and the others on POD modes of
what the class means leave. Nothing is said beforehand of it: in a first try it was seen to lose
0.40, 0.32 and 0.20 of the variance with 2, 8 and 32 numbers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from rnnatomy.analysis import pod
from rnnatomy.data import datasets
from rnnatomy.networks import access, runs, training, vae
from rnnatomy.store import disk, results
from rnnatomy.studies import autoencoder, engine, inputs

CENTRES = (10, 50, 200, 1000)
"""Numbers of centres of k-means; beside them each training sequence is a centre of its own, which
is as near as can be come to the nats of an autoencoder of two numbers."""

STARTS = 3
"""K-means is the best of so many starts."""

SIZES = (2, 8, 32)

WIDTHS, RATES = (32, 256), (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)
"""Widths and learning rates that are tried for the plain autoencoder, on the validation part and
with another seed; the narrow one has about as many parameters as the LSTM."""

TRIED = 100
"""Seed of the trials."""

MEASURES = ("left", "accuracy", "same", "misread_same", "misread_right")

AXES = {
    **{name: ("code", "network") for name in (*MEASURES, "nats", "parameters")},
    **{f"trial_{name}": ("size", "width", "rate") for name in ("elbo", "left")},
}
"""Axes of the published arrays; a code that does not draw on chance has the same row thrice."""


class Code(NamedTuple):
    """Sequences composed again from a code.

    Attributes:
        rebuilt: the sequences.
        nats: at most so many are needed to name what the code tells of a sequence.
        parameters: numbers that have to be known beside the code.
    """

    rebuilt: Float[np.ndarray, "sample time hidden"]
    nats: float
    parameters: int


def publish(networks: int = 3) -> None:
    """Hold other codes of hidden states against the autoencoders: ``results/codes``.

    Args:
        networks: how many of each code that is fitted from a random start.
    """
    checksum, classifier = datasets.mnist().checksum, inputs.published(autoencoder.CLASSIFIER)
    read = {"classifier": classifier}
    tried = engine.run("codes, trials", _trials(checksum, read))
    elbo, left = _gather_trials(tried)
    fitted = {
        size: autoencoder.Group("MLPVAE", "states", size, *_best(elbo[k]), autoencoder.WARM)
        for k, size in enumerate(SIZES)
    }
    given = {"data_sha256": checksum}
    several = [
        engine.Job(f"codes {name} {seed}", make, {**settings, **given, "seed": seed}, read)
        for name, make, settings in _codes(fitted)
        for seed in range(networks)
    ]
    kept = engine.run("codes", several)
    rows = [engine.load(one).arrays for one in kept]
    stacked = {name: np.reshape([row[name] for row in rows], (-1, networks)) for name in rows[0]}
    arrays = stacked | disk.single({"trial_elbo": elbo, "trial_left": left})
    coordinates = {
        "code": [name for name, _, _ in _codes(fitted)],
        "network": np.arange(networks),
        "size": list(SIZES),
        "width": list(WIDTHS),
        "rate": list(RATES),
    }
    facts = {"networks": networks, "data_sha256": checksum, **engine.facts(tried, kept)}
    facts["plain"] = {str(size): describe(group) for size, group in fitted.items()}
    results.publish("codes", results.dataset(arrays, AXES, coordinates), facts)


def describe(group: autoencoder.Group) -> dict[str, Any]:
    """Say what decides a plain autoencoder."""
    return {"hidden": group.hidden, "recipe": group.recipe._asdict()}


def class_means(data_sha256: str, seed: int, classifier: runs.Run) -> disk.Arrays:
    """Measure the code that tells the classifier's answer and nothing else, as a job."""
    given, answers = _given(data_sha256, classifier)
    means = _means(given.train, answers(given.train), len(classifier.bias))
    told = answers(given.test)
    return _measure(Code(means[told], _entropy(told), means.size), given, classifier)


def class_modes(data_sha256: str, seed: int, classifier: runs.Run, numbers: int) -> disk.Arrays:
    """Measure the code of the answer and of POD modes of what the class mean leaves, as a job.

    Args:
        data_sha256: checksum of the images.
        seed: does nothing.
        classifier: whose hidden states are the sequences.
        numbers: of the code, at least 2; the answer counts as one.
    """
    given, answers = _given(data_sha256, classifier)
    told, read = answers(given.train), answers(given.test)
    means = _means(given.train, told, len(classifier.bias))
    left, lost = (
        (x - means[y]).reshape(len(x), -1) for x, y in ((given.train, told), (given.test, read))
    )
    basis = pod.pod(left, centred=False, modes=numbers - 1)
    kept = pod.project(basis, lost)
    rebuilt = means[read] + pod.reconstruct(basis, kept).reshape(given.test.shape)
    size = means.size + basis.modes.size
    return _measure(Code(rebuilt, _entropy(read) + linear_kl(basis, kept), size), given, classifier)


def linear_kl(basis: pod.POD, numbers: Float[np.ndarray, "sample mode"]) -> float:
    """Return the nats that the numbers of POD modes tell, counted as those of an autoencoder.

    POD is the linear autoencoder: of all linear ones, the likelihood is highest for that which has
    the modes, a normal prior, and one noise for all entries, of the variance v that is left on
    average. Its posterior of mode k, of variance l_k in the data, has

        mean a_k sqrt(l_k - v) / l_k,  variance v / l_k

    in units of the prior, and the nats are its KL divergence from the prior: (1/2) log(l_k / v) on
    average over the data that were decomposed.

    Args:
        basis: modes, not all of them.
        numbers: a, of each sequence along each mode.

    Returns:
        The mean over sequences.

    Reference:
        Tipping and Bishop (1999).
    """
    modes, size = basis.modes.shape
    energy = np.square(basis.singular_values)
    noise = (basis.energy - energy.sum()) / (basis.snapshots * (size - modes))
    variance = energy / basis.snapshots
    mean = numbers * np.sqrt(variance - noise) / variance
    ratio = noise / variance
    return float(((np.square(mean) + ratio - 1 - np.log(ratio)) / 2).sum(axis=1).mean())


def centres(data_sha256: str, seed: int, classifier: runs.Run, count: int) -> disk.Arrays:
    """Measure the code that names the nearest of some centres, as a job; 0: each is a centre."""
    given, _ = _given(data_sha256, classifier)
    train, test = (part.reshape(len(part), -1) for part in (given.train, given.test))
    found = _fit_centres(train, count, seed) if count else train
    named = _nearest(test, found)
    rebuilt = found[named].reshape(given.test.shape)
    return _measure(Code(rebuilt, float(np.log(len(found))), found.size), given, classifier)


def plain(
    data_sha256: str, seed: int, classifier: runs.Run, group: autoencoder.Group
) -> disk.Arrays:
    """Fit a plain autoencoder and measure it on the test part, as a job."""
    given, _ = _given(data_sha256, classifier)
    model, _ = _fit_plain(given, seed, group)
    size = sum(array.size for array in access.flatten(model).values())
    rebuilt = vae.reconstruct(model, given.test)
    nats = float(np.asarray(vae.kl(vae.posterior(model, given.test))).sum(axis=1).mean())
    return _measure(Code(rebuilt, nats, size), given, classifier)


def try_plain(
    data_sha256: str, seed: int, classifier: runs.Run, group: autoencoder.Group
) -> disk.Arrays:
    """Fit a plain autoencoder and look at it on the validation part, as a job.

    Returns:
        "elbo", in nats, and "left", the fraction of the variance that it loses.
    """
    given, _ = _given(data_sha256, classifier)
    model, elbo = _fit_plain(given, seed, group)
    held = given.validation
    error = np.square(vae.reconstruct(model, held) - held).sum()
    left = error / np.square(held - given.train.mean(axis=0)).sum()
    return disk.single({"elbo": elbo, "left": left})


def _codes(fitted: dict[int, autoencoder.Group]) -> list[tuple[str, Any, dict[str, Any]]]:
    """Return name, function and settings of every code."""
    named = [(f"k-means, {count}", centres, {"count": count}) for count in CENTRES]
    networks = [(f"plain, {size}", plain, {"group": group}) for size, group in fitted.items()]
    modes = [(f"class + POD, {size}", class_modes, {"numbers": size}) for size in SIZES]
    every = ("nearest training sequence", centres, {"count": 0})
    return [("class means", class_means, {}), *modes, *named, every, *networks]


def _trials(data_sha256: str, read: dict[str, runs.Run]) -> list[engine.Job]:
    return [
        engine.Job(
            f"codes trial {size} {width} {rate}",
            try_plain,
            {
                "seed": TRIED,
                "data_sha256": data_sha256,
                "group": autoencoder.Group(
                    "MLPVAE", "states", size, width, _recipe(rate), autoencoder.WARM
                ),
            },
            read,
        )
        for size in SIZES
        for width in WIDTHS
        for rate in RATES
    ]


def _recipe(rate: float) -> training.Recipe:
    return autoencoder.STATES._replace(learning_rate=rate)


def _gather_trials(tried: Sequence[engine.Kept]) -> list[Float[np.ndarray, "size width rate"]]:
    rows = [engine.load(kept).arrays for kept in tried]
    shape = (len(SIZES), len(WIDTHS), len(RATES))
    return [np.reshape([row[name] for row in rows], shape) for name in ("elbo", "left")]


def _best(elbo: Float[np.ndarray, "width rate"]) -> tuple[int, training.Recipe]:
    """Return the width and the recipe of the highest bound on the validation part.

    A rate at which training broke down has none.
    """
    width, rate = np.unravel_index(np.nanargmax(elbo), elbo.shape)
    return WIDTHS[width], _recipe(RATES[rate])


def _given(data_sha256: str, classifier: runs.Run) -> tuple[autoencoder.Sequences, Any]:
    """Return the sequences of states, and what reads the answer of each."""
    given = autoencoder.sequences(inputs.mnist(data_sha256), classifier)

    def answers(states: np.ndarray) -> Int[np.ndarray, " sample"]:
        return (states[:, -1] @ classifier.readout.T + classifier.bias).argmax(axis=1)

    return given, answers


def _measure(code: Code, given: autoencoder.Sequences, classifier: runs.Run) -> disk.Arrays:
    """Measure as the autoencoders are measured, and say what the code costs."""
    flat = code.rebuilt[:, -1]  # an embedding is asked for; how it separates is not used
    readout = access.readout(runs.restore(classifier))
    row = autoencoder.measure_states(code.rebuilt, flat, given, readout)
    cost = disk.single({"nats": code.nats, "parameters": code.parameters})
    return {name: row[name] for name in MEASURES} | cost


def _means(
    sequences: Float[np.ndarray, "sample time hidden"],
    labels: Int[np.ndarray, " sample"],
    classes: int,
) -> Float[np.ndarray, "class time hidden"]:
    """Average the sequences of each class; one without sequences gets the mean of all."""
    means = np.repeat(sequences.mean(axis=0)[None], classes, axis=0)
    for label in np.unique(labels):
        means[label] = sequences[labels == label].mean(axis=0)
    return means


def _entropy(labels: Int[np.ndarray, " sample"]) -> float:
    """Return how many nats it takes to tell a label, on average."""
    share = np.bincount(labels) / len(labels)
    return float(-(share[share > 0] * np.log(share[share > 0])).sum())


def _fit_centres(
    points: Float[np.ndarray, "sample feature"], count: int, seed: int
) -> Float[np.ndarray, "centre feature"]:
    return KMeans(count, n_init=STARTS, random_state=seed).fit(points).cluster_centers_


def _nearest(
    points: Float[np.ndarray, "sample feature"], found: Float[np.ndarray, "centre feature"]
) -> Int[np.ndarray, " sample"]:
    return pairwise_distances_argmin(points, found)


def _fit_plain(
    given: autoencoder.Sequences, seed: int, group: autoencoder.Group
) -> tuple[Any, float]:
    """Fit a plain autoencoder; return it, and its bound on the validation part."""
    fitted = vae.fit(
        autoencoder.create(group, *given.train.shape[1:]),
        given.train,
        given.validation,
        group.recipe,
        jax.random.key(seed)[None],
        group.objective,
        report=lambda epoch: None,
        checkpoint=engine.checkpoint(),
    )
    return training.member(fitted, 0), float(fitted.history["elbo"][-1, 0])
