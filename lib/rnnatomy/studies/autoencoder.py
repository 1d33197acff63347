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
import xarray as xr
from flax import nnx
from jaxtyping import Float, Int

from rnnatomy.analysis import pod, points, separability
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training, vae
from rnnatomy.store import checkout, disk, origin, results
from rnnatomy.studies import progress

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
"""Sizes of the embeddings of hidden states: as many modes as the autoencoders have units."""


MODES_OF = ("trajectory", "step")
"""What is decomposed by POD: whole trajectories, or single states."""


HISTORY = {
    f"history_{name}": ("epoch",) for name in ("loss", "elbo", "reconstruction", "kl", "seconds")
}

SEPARABILITY = {"probe": (), "silhouette": (), "means": ("point", "latent")}

OF_DIGITS = {
    **dict.fromkeys(("elbo", "reconstruction", "importance", "importance_error"), ()),
    "kl": ("latent",),
    "by_class": ("digit",),
    "first": ("first_image",),
    **dict.fromkeys(("active", "collapsed"), ()),
    **SEPARABILITY,
}
"""Axes of what ``measure_digits`` measures of one network."""

OF_STATES = {
    **dict.fromkeys(("left", "left_misread", "accuracy", "same"), ()),
    **dict.fromkeys(("misread_same", "misread_right"), ()),
    "left_in_time": ("row",),
    **SEPARABILITY,
}
"""Axes of what ``measure_states`` measures of one embedding."""

OF_MODES = {
    **{name: ("modes_of", "size", *own) for name, own in OF_STATES.items() if name != "means"},
    "plane": ("point", "latent"),
}
"""Axes of what ``measure_modes`` measures."""

OF_NETWORK = {"parameters": (), **HISTORY}
"""Axes of what is known of every network besides."""

AXES = {
    **{
        f"digits_{name}": ("model", "network", *own)
        for name, own in (OF_DIGITS | OF_NETWORK).items()
    },
    **{
        f"states_{name}": ("size", "network", *own)
        for name, own in (OF_STATES | OF_NETWORK).items()
    },
    "states_plane": ("network", "point", "latent"),
    **{f"pod_{name}": own for name, own in OF_MODES.items()},
    "images": ("image", "row", "pixel"),
    "images_place": ("image",),
    "images_label": ("image",),
    "plane_labels": ("point",),
}
"""Axes of the published arrays: of the autoencoders of digits, of those of hidden states, of POD,
and of images to look at."""


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
        networks: as of ``publish``.
        report: as of ``publish``.
        workers: as of ``publish``.

    Returns:
        For each group its networks, in the order of their seeds.
    """
    jobs = [(name, seed) for seed in range(networks) for name in names]
    for _ in _parts(jobs, workers or os.cpu_count() or 1, report or progress.print_line):
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
        samples, "importance_error", standard error of that mean, "by_class" (digit) and "first"
        (first_image), the importance-weighted bound of each digit and of the first images;
        "active", number of active units; "collapsed", number of collapsed ones; "probe" and
        "silhouette" of the classes at the posterior means, and the first "means" (point, latent).
    """
    found = vae.bounds(model, inputs, jax.random.key(0), SAMPLES)
    means = np.asarray(vae.posterior(model, inputs).mean)
    bound = found.importance
    return measure_separability(means, labels) | disk.single(
        {
            "elbo": found.elbo.mean(),
            "reconstruction": found.reconstruction.mean(),
            "kl": found.kl.mean(axis=0),
            "importance": bound.mean(),
            "importance_error": bound.std(ddof=1) / np.sqrt(len(bound)),
            "by_class": [bound[labels == label].mean() for label in np.unique(labels)],
            "first": bound[:FIRST],
            "active": len(vae.active_units(means)),
            "collapsed": len(vae.posterior_collapse(found.kl).units),
        }
    )


def measure_states(
    rebuilt: Float[np.ndarray, "sample time hidden"],
    embedded: Float[np.ndarray, "sample latent"],
    inputs: Sequences,
    readout: access.Readout,
) -> disk.Arrays:
    """Measure what an embedding of hidden states keeps, on the test part.

    Args:
        rebuilt: states composed again from the embedding.
        embedded: the points of the embedding, one per sequence.
        inputs: the states as they are.
        readout: of the classifier whose states they are.

    Returns:
        By name: "left", the squared error as a fraction of the variance about the mean trajectory;
        "left_in_time" (row), the same for each step; "left_misread", over digits that the
        classifier misreads. "accuracy" of the readout on the last rebuilt state; "same", how often
        it reads what it reads in the true state; for misread digits "misread_same", and
        "misread_right", how often the true digit is read. "probe" and "silhouette" of the classes
        in the embedding, and the first "means" (point, latent).
    """
    error = np.square(rebuilt - inputs.test).sum(axis=2)
    variance = np.square(inputs.test - inputs.train.mean(axis=0)).sum(axis=2)
    read = (inputs.test[:, -1] @ readout.W.T + readout.b).argmax(axis=1)
    again = (rebuilt[:, -1] @ readout.W.T + readout.b).argmax(axis=1)
    misread = read != inputs.labels
    return measure_separability(embedded, inputs.labels) | disk.single(
        {
            "left": error.sum() / variance.sum(),
            "left_in_time": error.sum(axis=0) / variance.sum(axis=0),
            "left_misread": error[misread].sum() / variance[misread].sum(),
            "accuracy": np.mean(again == inputs.labels),
            "same": np.mean(again == read),
            "misread_same": np.mean(again[misread] == read[misread]),
            "misread_right": np.mean(again[misread] == inputs.labels[misread]),
        }
    )


def measure_modes(inputs: Sequences, readout: access.Readout) -> disk.Arrays:
    """Measure POD as ``measure_states`` does, with as many modes as the autoencoders have units.

    Returns:
        By name, with leading axes (modes_of, size): "trajectory" for modes of the whole trajectory,
        one number per mode and sequence; "step" for modes of single states, one number per mode and
        step, whose embedding are the numbers of all steps; sizes in the order of ``MODES``. And
        "plane" (point, latent), the first sequences in two modes of the trajectory.
    """
    time, hidden = inputs.train.shape[1:]
    groups, plane = [], {}
    for modes_of, size in zip(MODES_OF, (time * hidden, hidden), strict=True):
        basis = pod.pod(inputs.train.reshape(-1, size), centred=True, modes=max(MODES))
        numbers = pod.project(basis, inputs.test.reshape(len(inputs.test), -1, size))
        rows = []
        for modes in MODES:
            few = numbers[..., :modes]
            rebuilt = pod.reconstruct(basis, few).reshape(inputs.test.shape)
            row = measure_states(rebuilt, few.reshape(len(few), -1), inputs, readout)
            means = row.pop("means")
            if modes_of == "trajectory" and modes == 2:
                plane = {"plane": means}
            rows.append(row)
        groups.append(results.stack(rows, results.without(OF_MODES, "modes_of"), "size"))
    return results.stack(groups, OF_MODES, "modes_of") | plane


def measure_separability(
    cloud: Float[np.ndarray, "point latent"], labels: Int[np.ndarray, " point"]
) -> disk.Arrays:
    """Score the classes of points, see ``SCORED``, and keep the first points for a picture.

    Returns:
        "probe", "silhouette" and "means" (point, latent).
    """
    rows = points.subsample(np.random.default_rng(0), labels, SCORED)
    some = points.standardise(cloud[rows])
    scores = disk.single(
        {
            "silhouette": separability.silhouette(some, labels[rows]),
            "probe": separability.probe(some, labels[rows], rows),
        }
    )
    return scores | {"means": cloud[:PLANE].astype(np.float16)}


def example_images(data: datasets.Dataset) -> disk.Arrays:
    """Return the first test images of each digit, and the labels of the points of the plane.

    Returns:
        "images", as whole numbers to 255, "images_place" in the test part, ascending,
        "images_label"; and "plane_labels".
    """
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


def publish_groups(
    study: str,
    names: list[str],
    networks: int,
    report: Callable[[str], None] | None,
    workers: int | None,
) -> None:
    """Train, measure and publish some groups as a study.

    Args:
        study: its name.
        names: groups of ``GROUPS``.
        networks: as of ``publish``.
        report: as of ``publish``.
        workers: as of ``publish``.
    """
    report, workers = report or progress.print_line, workers or os.cpu_count() or 1
    jobs = [(name, seed) for seed in range(networks) for name in names]
    linear = [("pod", 0)] if any(GROUPS[name].sequences == "states" for name in names) else []
    done, started = {}, time.perf_counter()
    for job, part in _parts([*jobs, *linear], workers, report):
        done[job] = part
        minutes = (time.perf_counter() - started) / 60
        of = len(jobs) + len(linear)
        report(f"{job[0]}, seed {job[1]}: done, {len(done)} of {of}, {minutes:.0f} min")
    data = datasets.mnist()
    arrays = _gather(done, names, networks) | example_images(data)
    facts = {
        "networks": len(jobs),
        "seeds": networks,
        "groups": {name: _describe(name) for name in names},
        "samples": SAMPLES,
        "data_sha256": data.checksum,
        "wall_seconds": round(sum(part.provenance["wall_seconds"] for part in done.values()), 1),
    }
    found = results.dataset(arrays, AXES, _coordinates(arrays, names, networks))
    results.publish(study, found, facts)
    for name in names:
        if name in WHOLE:
            run = runs.load_run(str(_folder(name, 0)), GROUPS[name].model)
            runs.save_run(checkout.root() / "results" / f"autoencoder-{name}", run)


def _parts(
    jobs: list[tuple[str, int]], workers: int, report: Callable[[str], None]
) -> Iterator[tuple[tuple[str, int], results.Study]]:
    """Give the measures of networks as they are done, each worked on by a process of its own."""
    if workers == 1:
        yield from ((job, _part(*job, report)) for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, training.use_each_core) as pool:
        futures = {pool.submit(_part, *job, report): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _part(name: str, seed: int, report: Callable[[str], None]) -> results.Study:
    """Give the measures of one network, from ``build/autoencoder`` if they are there, else made."""
    folder, kept = _folder(name, seed), _load_part(name, seed)
    if kept is not None:
        return kept
    started, model = time.perf_counter(), None
    inputs = sequences("states" if name == "pod" else GROUPS[name].sequences)
    if name == "pod":
        found = results.dataset(measure_modes(inputs, _readout()), OF_MODES)
    else:
        found, model = _train(name, seed, inputs, report)
    frames, feature = inputs.train.shape[1:]
    provenance = origin.provenance(
        origin.command_line(),
        seed=seed,
        **_describe(name),
        frames=frames,
        feature=feature,
        data="mnist",
        data_sha256=inputs.data_sha256,
        wall_seconds=round(time.perf_counter() - started, 1),
    )
    part = results.Study(folder.name, found, provenance)
    if model is not None:
        runs.save_run(folder, _run(part, model))
    results.save_study(folder, part)
    return part


def _load_part(name: str, seed: int) -> results.Study | None:
    return progress.load_part(_folder(name, seed), {"seed": seed, **_describe(name)})


def _run(part: results.Study, model: vae.Autoencoder) -> runs.Run:
    arrays = results.arrays(part.data.drop_vars("means"))
    metrics = {name: np.round(array, 5).tolist() for name, array in arrays.items()}
    return runs.Run(part.name, model.config, access.flatten(model), metrics, part.provenance)


def _train(
    name: str, seed: int, inputs: Sequences, report: Callable[[str], None]
) -> tuple[xr.Dataset, vae.Autoencoder]:
    group, folder = GROUPS[name], _folder(name, seed)

    def tell(epoch: training.Epoch) -> None:
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
        report=tell,
        checkpoint=folder / "checkpoint.safetensors",
    )
    model: Any = training.member(fitted, 0)
    if group.sequences == "digits":
        arrays, axes = measure_digits(model, inputs.test, inputs.labels), OF_DIGITS
    else:
        means = np.asarray(vae.posterior(model, inputs.test).mean)
        rebuilt = vae.reconstruct(model, inputs.test)
        arrays, axes = measure_states(rebuilt, means, inputs, _readout()), OF_STATES
    history = {f"history_{key}": value.ravel() for key, value in fitted.history.items()}
    size = sum(leaf.size for leaf in access.flatten(model).values())
    arrays |= disk.single({"parameters": size, **history})
    return results.dataset(arrays, axes | OF_NETWORK), model


def _readout() -> access.Readout:
    """Return the readout of the classifier whose states are the sequences."""
    return access.readout(runs.restore(runs.load_run(CLASSIFIER)))


def _gather(
    done: dict[tuple[str, int], results.Study], names: list[str], networks: int
) -> disk.Arrays:
    """Stack groups and seeds; only planes of two units are kept whole."""
    by_kind: dict[str, list[disk.Arrays]] = {"digits": [], "states": []}
    arrays: disk.Arrays = {}
    for name in names:
        group = GROUPS[name]
        rows = [results.arrays(done[name, seed].data) for seed in range(networks)]
        planes = [row.pop("means") for row in rows]
        axes = {key: ("network", *own) for key, own in (OF_DIGITS | OF_STATES | OF_NETWORK).items()}
        stacked = results.stack(rows, axes, "network")
        by_kind[group.sequences].append(stacked)
        if group.latent == 2 and group.sequences == "states":
            arrays["states_plane"] = np.stack(planes)
        elif group.latent == 2:
            stacked["means"] = np.stack(planes)
    for kind, axis in (("digits", "model"), ("states", "size")):
        groups = [{f"{kind}_{key}": array for key, array in row.items()} for row in by_kind[kind]]
        arrays |= results.stack(groups, AXES, axis)
    for job in done.keys() & {("pod", 0)}:
        arrays |= {f"pod_{key}": array for key, array in results.arrays(done[job].data).items()}
    return arrays


def _coordinates(arrays: disk.Arrays, names: list[str], networks: int) -> dict[str, Any]:
    digits = [name for name in names if GROUPS[name].sequences == "digits"]
    found = {
        "model": digits,
        "network": np.arange(networks),
        "digit": np.arange(arrays["digits_by_class"].shape[-1]),
        "epoch": np.arange(1, 1 + arrays["digits_history_elbo"].shape[-1]),
    }
    return found | ({"size": MODES, "modes_of": MODES_OF} if len(digits) < len(names) else {})


def _describe(name: str) -> dict[str, Any]:
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
