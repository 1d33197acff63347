"""The study of autoencoders: digits in 32 and in 2 latent units, and a classifier's own states."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from rnnatomy.analysis import pod, points, separability
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training, vae
from rnnatomy.store import checkout, disk, origin, results

SAMPLES = 100
"""Draws for each sample in the importance-weighted bound."""


FIRST = 100
"""So many bounds of single test images are published, for a slice to be recomputed."""


PLANE = 5000
"""So many test images are shown as points of the plane."""


EXAMPLES = 10
"""Test images of each digit that are published as they are: the first of each."""


SCORED = 2000
"""Points on which the separability of the classes is measured."""


CLASSIFIER = "mnist-0"
"""The run whose hidden states are the sequences of the second part."""


STATES_TRAINING, STATES_VALIDATION = 10_000, 1000
"""Sequences of hidden states that are fitted and followed: the first of their parts."""


class Group(NamedTuple):
    """Networks of the study that differ in their seed alone.

    Attributes:
        model: name of the model.
        sequences: "digits", rows of images; or "states", hidden states of the classifier.
        latent: size of the latent vector.
        hidden: number of units.
        recipe: optimiser and schedule.
        objective: what is minimised.
    """

    model: str
    sequences: str
    latent: int
    hidden: int
    recipe: training.Recipe
    objective: vae.Objective


LARGE = training.Recipe(epochs=30, batch=32, learning_rate=5e-3, weight_decay=0.0)


SMALL = training.Recipe(epochs=12, batch=32, learning_rate=5e-3, weight_decay=0.0)


STATES = training.Recipe(epochs=12, batch=32, learning_rate=4e-3, weight_decay=0.0)


WARM = vae.Objective(warm_up=0.2)


GROUPS = {
    "lstm-32": Group("VAE", "digits", 32, 200, LARGE, WARM),
    "mlp-32": Group("MLPVAE", "digits", 32, 198, LARGE._replace(learning_rate=2e-3), WARM),
    "lstm-2": Group("VAE", "digits", 2, 80, SMALL, WARM),
    "mlp-2": Group("MLPVAE", "digits", 2, 39, SMALL._replace(learning_rate=1e-2), WARM),
    **{f"states-{n}": Group("VAE", "states", n, 128, STATES, WARM) for n in (32, 8, 2)},
}
"""What is trained, the longest first. The networks of a plain model are about as large as those of
the LSTM before them; their learning rate is the best of four on the validation part."""


LARGE_GROUPS = ("lstm-32", "mlp-32")
"""Groups that take longest, and are a study of their own."""


WHOLE = ("lstm-32", "lstm-2")
"""Groups whose first network is published whole, as a run ``autoencoder-<group>``."""


MODES = tuple(group.latent for group in GROUPS.values() if group.sequences == "states")


class Sequences(NamedTuple):
    """Parts of one kind of sequences.

    Attributes:
        train: what is fitted.
        validation: what is followed.
        test: what is reported; binarised once if they are images.
        labels: the digits of the test part.
        data_sha256: checksum of the images behind them.
    """

    train: Float[np.ndarray, "sample time feature"]
    validation: Float[np.ndarray, "sample time feature"]
    test: Float[np.ndarray, "sample time feature"]
    labels: Int[np.ndarray, " sample"]
    data_sha256: str


def publish(
    networks: int = 3,
    report: Callable[[str], None] | None = None,
    workers: int | None = None,
) -> None:
    """Train, measure and publish the autoencoders but the large: ``results/autoencoder``.

    Each core works on a network of its own. A network that is finished is kept in
    ``build/autoencoder``, one that is not goes on from its last epoch when the study is started
    again. The first networks of ``WHOLE`` are published as runs.

    Args:
        networks: how many of each group, with seeds 0, 1, 2 and so on.
        report: called with a line when an epoch or a network is done; None: prints it.
        workers: networks at a time, each in a process of its own; None: as many as cores; 1: one
            after the other in this process.
    """
    names = [name for name in GROUPS if name not in LARGE_GROUPS]
    publish_groups("autoencoder", names, networks, report, workers)


def trained_runs(
    names: Sequence[str],
    networks: int,
    report: Callable[[str], None] | None = None,
    workers: int | None = None,
) -> dict[str, list[runs.Run]]:
    """Give the networks of some groups, from ``build/autoencoder`` if they are there, else trained.

    Args:
        names: groups of ``GROUPS``.
        networks: as of ``study``.
        report: as of ``study``.
        workers: as of ``study``.

    Returns:
        For each group its networks, in the order of their seeds.
    """
    jobs = [(name, seed) for seed in range(networks) for name in names]
    for _ in _trained_all(jobs, workers or os.cpu_count() or 1, report or _print):
        pass
    return {
        name: [
            runs.load_run(str(_folder(name, seed)), GROUPS[name].model) for seed in range(networks)
        ]
        for name in names
    }


def sequences(kind: str) -> Sequences:
    """Gather the sequences of a kind, "digits" or "states"."""
    data = datasets.mnist()
    train, validation, test = data.train.images, data.validation.images, data.test.images
    if kind == "digits":
        test = binarised(test)
    else:
        model = runs.restore(runs.load_run(CLASSIFIER))
        train = access.hidden_states(model, train[:STATES_TRAINING])
        validation = access.hidden_states(model, validation[:STATES_VALIDATION])
        test = access.hidden_states(model, test)
    return Sequences(train, validation, test, data.test.labels, data.checksum)


def binarised(
    images: Float[np.ndarray, "sample time feature"],
) -> Float[np.ndarray, "sample time feature"]:
    """Binarise the test images, all at once, as in all published bounds."""
    return np.asarray(vae.binarise(jax.random.key(0), jnp.asarray(images)))


def create(name: str, frames: int, feature: int) -> training.Create:
    """Return what makes an untrained network of a group from a key."""
    group = GROUPS[name]
    likelihood = "bernoulli" if group.sequences == "digits" else "gaussian"
    make = models.MODELS[group.model]
    sizes = (frames, feature, group.hidden, group.latent)
    return lambda key: make(*sizes, likelihood=likelihood, rngs=nnx.Rngs(key))


def measure_digits(
    model: vae.Autoencoder,
    inputs: Float[np.ndarray, "sample time feature"],
    labels: Int[np.ndarray, " sample"],
) -> disk.Arrays:
    """Measure an autoencoder of images on the test part.

    Returns:
        By name, in nats: "elbo", "reconstruction", "kl" (latent) and "importance", means over the
        samples, "importance_error", standard error of that mean, "by_class" (class) and "first"
        (sample), the importance-weighted bound of each digit and of the first images; "active",
        number of active units; "collapsed", number of collapsed ones; "probe" and "silhouette"
        of the classes at the posterior means, and the first "means" (sample, latent).
    """
    found = vae.bounds(model, inputs, jax.random.key(0), SAMPLES)
    means = np.asarray(vae.posterior(model, inputs).mean)
    bound = found.importance
    return _separated(means, labels) | _single(
        elbo=found.elbo.mean(),
        reconstruction=found.reconstruction.mean(),
        kl=found.kl.mean(axis=0),
        importance=bound.mean(),
        importance_error=bound.std(ddof=1) / np.sqrt(len(bound)),
        by_class=[bound[labels == label].mean() for label in np.unique(labels)],
        first=bound[:FIRST],
        active=len(vae.active_units(means)),
        collapsed=len(vae.posterior_collapse(found.kl).units),
    )


def measure_states(
    rebuilt: Float[np.ndarray, "sample time hidden"],
    embedded: Float[np.ndarray, "sample latent"],
    inputs: Sequences,
    readout: runs.Run,
) -> disk.Arrays:
    """Measure what an embedding of hidden states keeps, on the test part.

    Args:
        rebuilt: states composed again from the embedding.
        embedded: the points of the embedding, one per sequence.
        inputs: the states as they are.
        readout: run of the classifier whose states they are.

    Returns:
        By name: "left", the squared error as a fraction of the variance about the mean trajectory;
        "left_in_time" (time), the same for each step; "left_misread", over digits that the
        classifier misreads. "accuracy" of the readout on the last rebuilt state; "same", how often
        it reads what it reads in the true state; for misread digits "misread_same", and
        "misread_right", how often the true digit is read. "probe" and "silhouette" of the classes
        in the embedding, and the first "means".
    """
    error = np.square(rebuilt - inputs.test).sum(axis=2)
    variance = np.square(inputs.test - inputs.train.mean(axis=0)).sum(axis=2)
    read = (inputs.test[:, -1] @ readout.readout.T + readout.bias).argmax(axis=1)
    again = (rebuilt[:, -1] @ readout.readout.T + readout.bias).argmax(axis=1)
    misread = read != inputs.labels
    return _separated(embedded, inputs.labels) | _single(
        left=error.sum() / variance.sum(),
        left_in_time=error.sum(axis=0) / variance.sum(axis=0),
        left_misread=error[misread].sum() / variance[misread].sum(),
        accuracy=np.mean(again == inputs.labels),
        same=np.mean(again == read),
        misread_same=np.mean(again[misread] == read[misread]),
        misread_right=np.mean(again[misread] == inputs.labels[misread]),
    )


def measure_modes(inputs: Sequences, readout: runs.Run) -> disk.Arrays:
    """Measure POD as ``measure_states`` does, with as many modes as the autoencoders have units.

    Returns:
        By name, with a leading axis in the order of ``MODES``: "trajectory_..." for modes of the
        whole trajectory, one number per mode and sequence; "step_..." for modes of single states,
        one number per mode and step, whose embedding are the numbers of all steps.
    """
    time, hidden = inputs.train.shape[1:]
    found: dict[str, Any] = {}
    for name, size in (("trajectory", time * hidden), ("step", hidden)):
        basis = pod.pod(inputs.train.reshape(-1, size), centred=True, modes=max(MODES))
        for modes in MODES:
            kept = pod.project(basis, inputs.test.reshape(len(inputs.test), -1, size))[..., :modes]
            rebuilt = pod.reconstruct(basis, kept).reshape(inputs.test.shape)
            row = measure_states(rebuilt, kept.reshape(len(kept), -1), inputs, readout)
            if name == "trajectory" and modes == 2:
                found["trajectory_plane"] = row["means"]
            for key in row.keys() - {"means"}:
                found.setdefault(f"{name}_{key}", []).append(row[key])
    return {key: np.asarray(value) for key, value in found.items()}


def publish_groups(
    study: str,
    names: list[str],
    networks: int,
    report: Callable[[str], None] | None,
    workers: int | None,
) -> None:
    report, workers = report or _print, workers or os.cpu_count() or 1
    jobs = [(name, seed) for seed in range(networks) for name in names]
    linear = [("pod", 0)] if any(GROUPS[name].sequences == "states" for name in names) else []
    done, started = {}, time.perf_counter()
    for job, made in _trained_all([*jobs, *linear], workers, report):
        done[job] = made
        minutes = (time.perf_counter() - started) / 60
        of = len(jobs) + len(linear)
        report(f"{job[0]}, seed {job[1]}: done, {len(done)} of {of}, {minutes:.0f} min")
    data = datasets.mnist()
    arrays = _gathered(done, names, networks) | _pictures(data)
    facts = {
        "networks": len(jobs),
        "seeds": networks,
        "groups": {name: _described(name) for name in names},
        "samples": SAMPLES,
        "data_sha256": data.checksum,
        "wall_seconds": round(sum(made.provenance["wall_seconds"] for made in done.values()), 1),
    }
    folder = checkout.root() / "results"
    provenance = origin.provenance(origin.command_line(), **facts)
    results.save_study(folder / study, results.Study(study, arrays, provenance))
    for name in names:
        if name in WHOLE:
            run = runs.load_run(str(_folder(name, 0)), GROUPS[name].model)
            runs.save_run(folder / f"autoencoder-{name}", run)


def _trained_all(
    jobs: list[tuple[str, int]], workers: int, report: Callable[[str], None]
) -> Iterator[tuple[tuple[str, int], results.Study]]:
    if workers == 1:
        yield from ((job, _kept(*job, report)) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, training.use_each_core) as pool:
        futures = {pool.submit(_kept, *job, report): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _kept(name: str, seed: int, report: Callable[[str], None]) -> results.Study:
    """Give one network's measures, from ``build/autoencoder`` if they are there, else made."""
    there = _wanted(name, seed)
    if there is not None:
        return there
    started = time.perf_counter()
    inputs = sequences("states" if name == "pod" else GROUPS[name].sequences)
    if name == "pod":
        arrays, model = measure_modes(inputs, runs.load_run(CLASSIFIER)), None
    else:
        arrays, model = _trained(name, seed, inputs, report)
    frames, feature = inputs.train.shape[1:]
    told = origin.provenance(
        origin.command_line(),
        seed=seed,
        **_described(name),
        frames=frames,
        feature=feature,
        data="mnist",
        data_sha256=inputs.data_sha256,
        wall_seconds=round(time.perf_counter() - started, 1),
    )
    made = results.Study(f"{name}-{seed}", arrays, told)
    if model is not None:
        runs.save_run(_folder(name, seed), _run(made, model))
    results.save_study(_folder(name, seed), made)
    return made


def _wanted(name: str, seed: int) -> results.Study | None:
    """Give what is kept of a network, if it was made as it would be now."""
    try:
        made = results.load_study(str(_folder(name, seed)))
    except disk.StoreError:
        return None
    wanted = {"seed": seed, **_described(name)}
    return made if all(made.provenance.get(k) == value for k, value in wanted.items()) else None


def _run(made: results.Study, model: vae.Autoencoder) -> runs.Run:
    arrays = {name: array for name, array in made.arrays.items() if name != "means"}
    metrics = {name: np.round(array, 5).tolist() for name, array in arrays.items()}
    return runs.Run(made.name, model.config, access.flatten(model), metrics, made.provenance)


def _trained(
    name: str, seed: int, inputs: Sequences, report: Callable[[str], None]
) -> tuple[disk.Arrays, vae.Autoencoder]:
    group, folder = GROUPS[name], _folder(name, seed)

    def told(epoch: training.Epoch) -> None:
        report(
            f"{name}, seed {seed}: epoch {epoch.number} of {epoch.of}, validation ELBO "
            f"{epoch.metrics['elbo'][0]:.2f}, {epoch.seconds:.0f} s, {epoch.left / 60:.0f} min left"
        )

    folder.mkdir(parents=True, exist_ok=True)
    fitted = vae.fit(
        create(name, *inputs.train.shape[1:]),
        inputs.train,
        inputs.validation,
        group.recipe,
        jax.random.key(seed)[None],
        group.objective,
        report=told,
        checkpoint=folder / "checkpoint.safetensors",
    )
    model: Any = training.member(fitted, 0)
    if group.sequences == "digits":
        arrays = measure_digits(model, inputs.test, inputs.labels)
    else:
        means = np.asarray(vae.posterior(model, inputs.test).mean)
        rebuilt = vae.reconstruct(model, inputs.test)
        arrays = measure_states(rebuilt, means, inputs, runs.load_run(CLASSIFIER))
    history = {f"history_{key}": value.ravel() for key, value in fitted.history.items()}
    size = sum(leaf.size for leaf in access.flatten(model).values())
    return arrays | _single(seed=seed, parameters=size, **history), model


def _gathered(
    done: dict[tuple[str, int], results.Study], names: list[str], networks: int
) -> disk.Arrays:
    """Stack the seeds of each group; only planes of two units are kept whole."""
    linear = [made.arrays for (name, _), made in done.items() if name == "pod"]
    arrays = {f"pod.{key}": value for found in linear for key, value in found.items()}
    for name in names:
        group = GROUPS[name]
        rows = [done[name, seed].arrays for seed in range(networks)]
        for key in rows[0]:
            if key != "means" or group.latent == 2:
                arrays[f"{name}.{key}"] = np.stack([row[key] for row in rows])
    return arrays


def _pictures(data: datasets.Dataset) -> disk.Arrays:
    """Take the first test images of each digit, and the labels of the points of the plane."""
    labels = data.test.labels
    chosen = np.sort(
        np.concatenate([np.flatnonzero(labels == digit)[:EXAMPLES] for digit in np.unique(labels)])
    )
    return {
        "images": np.rint(data.test.images[chosen] * 255).astype(np.uint8),
        "images_place": chosen.astype(np.uint16),
        "images_label": labels[chosen].astype(np.uint8),
        "plane_labels": labels[:PLANE].astype(np.uint8),
    }


def _separated(cloud: np.ndarray, labels: np.ndarray) -> disk.Arrays:
    """Score the classes of some points, and keep the first points for a picture."""
    rows = points.subsample(np.random.default_rng(0), labels, SCORED)
    some = points.standardise(cloud[rows])
    scores = _single(
        silhouette=separability.silhouette(some, labels[rows]),
        probe=separability.probe(some, labels[rows], rows),
    )
    return scores | {"means": cloud[:PLANE].astype(np.float16)}


def _described(name: str) -> dict[str, Any]:
    """Return what decides a group, in words and numbers as a manifest has them."""
    if name == "pod":
        return {"modes": list(MODES), "training": STATES_TRAINING, "classifier": CLASSIFIER}
    group = GROUPS[name]
    recipe, objective = group.recipe._asdict(), group.objective._asdict()
    states = {"training": STATES_TRAINING, "classifier": CLASSIFIER}
    return {
        **group._asdict(),
        "recipe": recipe,
        "objective": objective,
        "samples": SAMPLES,
        **(states if group.sequences == "states" else {}),
    }


def _folder(name: str, seed: int) -> Path:
    return checkout.root() / "build" / "autoencoder" / f"{name}-{seed}"


def _single(**arrays: Any) -> disk.Arrays:
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}


def _print(line: str) -> None:
    print(line, flush=True)
