"""The study of autoencoders: digits in 32 and in 2 latent units, and a classifier's own states."""

from collections.abc import Callable, Sequence
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
from rnnatomy.studies import engine, inputs, progress

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
    **{f"states-{n}": Group("VAE", "states", n, 128, STATES, WARM) for n in (32, 8, 2)},
    "mlp-2": Group("MLPVAE", "digits", 2, 39, SMALL._replace(learning_rate=1e-2), WARM),
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
    """

    train: Float[np.ndarray, "sample time feature"]
    validation: Float[np.ndarray, "sample time feature"]
    test: Float[np.ndarray, "sample time feature"]
    labels: Int[np.ndarray, " sample"]


def publish(networks: int = 3, report: Callable[[str], None] = progress.print_line) -> None:
    """Train, measure and publish the autoencoders but the large: ``results/autoencoder``.

    Each network is a job. The first networks of ``WHOLE`` are published as runs.

    Args:
        networks: how many of each group, with seeds 0, 1, 2 and so on.
        report: called with a line when jobs are done.
    """
    names = [name for name in GROUPS if name not in LARGE_GROUPS]
    publish_groups("autoencoder", names, networks, report)


def jobs(names: Sequence[str], networks: int, data_sha256: str) -> list[engine.Job]:
    """Return the jobs that train and measure the networks of some groups.

    Args:
        names: groups of ``GROUPS``.
        networks: as of ``publish``.
        data_sha256: checksum of the images.

    Returns:
        Group by group, in the order of the seeds.
    """
    return [
        engine.Job(
            f"autoencoder-{name}-{seed}",
            train_networks,
            {"seed": seed, "name": name, "group": GROUPS[name], "data_sha256": data_sha256},
            _read_classifier() if GROUPS[name].sequences == "states" else {},
            many="seed",
        )
        for name in names
        for seed in range(networks)
    ]


def by_group(names: Sequence[str], made: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Share out what came of ``jobs`` among their groups."""
    each = len(made) // len(names)
    return {name: made[n * each : (n + 1) * each] for n, name in enumerate(names)}


def train_networks(
    seed: Sequence[int],
    name: str,
    group: Group,
    data_sha256: str,
    classifier: runs.Run | None = None,
) -> list[engine.Made]:
    """Train networks of a group and measure them, as a job.

    Args:
        seed: one network each.
        name: of the group.
        group: what is trained.
        data_sha256: checksum of the images.
        classifier: whose hidden states are the sequences; None: these are the images.

    Returns:
        Of each network what ``measure_digits`` or ``measure_states`` measures, "parameters", how
        many it has, and its "history_loss" and so on; its own arrays as "parameters/<path>". Its
        config is a fact.
    """
    given = sequences(inputs.mnist(data_sha256), classifier)
    return fit_each(seed, name, group, given, lambda model: _measure(model, given, classifier))


def fit_each(
    seed: Sequence[int],
    name: str,
    group: Group,
    given: Sequences,
    measure: Callable[[Any], disk.Arrays],
) -> list[engine.Made]:
    """Train networks of a group within a job, and measure each.

    Args:
        seed: one network each.
        name: of the group, in the lines that say how far it is.
        group: what is trained.
        given: sequences of the group.
        measure: arrays by name, from a trained network.

    Returns:
        Of each network as of ``train_networks``, with what ``measure`` returns.
    """
    fitted = vae.fit(
        create(group, *given.train.shape[1:]),
        given.train,
        given.validation,
        group.recipe,
        jax.vmap(jax.random.key)(np.asarray(seed)),
        group.objective,
        report=lambda epoch: _tell(name, seed, epoch),
        checkpoint=engine.checkpoint(),
    )
    made = []
    for place in range(len(seed)):
        model: Any = training.member(fitted, place)
        own = access.flatten(model)
        found = measure(model) | _history(fitted, place)
        found |= disk.single({"parameters": sum(array.size for array in own.values())})
        found |= inputs.packed(own)
        made.append(engine.Made(found, {"config": model.config}))
    return made


def run_of(made: engine.Made, name: str) -> runs.Run:
    """Return what ``train_networks`` has made of a network as a run, with a name."""
    parameters, measures = inputs.unpacked(made.arrays)
    metrics = {
        key: np.round(array, 5).tolist() for key, array in measures.items() if key != "means"
    }
    return runs.Run(name, made.facts["config"], parameters, metrics, {})


def sequences(data: datasets.Dataset, classifier: runs.Run | None) -> Sequences:
    """Gather the sequences of a kind.

    Args:
        data: images and the digits that they show.
        classifier: whose hidden states are the sequences; None: these are the images.
    """
    fitted, followed, reported = data.train.images, data.validation.images, data.test.images
    if classifier is None:
        return Sequences(fitted, followed, binarised(reported), data.test.labels)
    model = runs.restore(classifier)
    return Sequences(
        access.hidden_states(model, fitted[:STATES_TRAINING]),
        access.hidden_states(model, followed[:STATES_VALIDATION]),
        access.hidden_states(model, reported),
        data.test.labels,
    )


def binarised(
    images: Float[np.ndarray, "sample time feature"],
) -> Float[np.ndarray, "sample time feature"]:
    """Binarise the test images, all at once, as in all published bounds."""
    return np.asarray(vae.binarise(jax.random.key(0), jnp.asarray(images)))


def create(group: Group, frames: int, feature: int) -> training.Create:
    """Return what makes an untrained network of a group from a key."""
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


def measure_modes(inputs: Sequences, readout: access.Readout, sizes: Sequence[int]) -> disk.Arrays:
    """Measure POD as ``measure_states`` does.

    Args:
        inputs: the states as they are.
        readout: of the classifier whose states they are.
        sizes: numbers of modes, with 2 among them.

    Returns:
        By name, with leading axes (modes_of, size): "trajectory" for modes of the whole trajectory,
        one number per mode and sequence; "step" for modes of single states, one number per mode and
        step, whose embedding are the numbers of all steps. And "plane" (point, latent), the first
        sequences in two modes of the trajectory.
    """
    time, hidden = inputs.train.shape[1:]
    groups, plane = [], {}
    for modes_of, size in zip(MODES_OF, (time * hidden, hidden), strict=True):
        basis = pod.pod(inputs.train.reshape(-1, size), centred=True, modes=max(sizes))
        numbers = pod.project(basis, inputs.test.reshape(len(inputs.test), -1, size))
        rows = []
        for modes in sizes:
            few = numbers[..., :modes]
            rebuilt = pod.reconstruct(basis, few).reshape(inputs.test.shape)
            row = measure_states(rebuilt, few.reshape(len(few), -1), inputs, readout)
            means = row.pop("means")
            if modes_of == "trajectory" and modes == 2:
                plane = {"plane": means}
            rows.append(row)
        groups.append(results.stack(rows, results.without(OF_MODES, "modes_of"), "size"))
    return results.stack(groups, OF_MODES, "modes_of") | plane


def decompose(sizes: Sequence[int], data_sha256: str, classifier: runs.Run) -> disk.Arrays:
    """Hold POD against the autoencoders of hidden states, as a job: see ``measure_modes``.

    Args:
        sizes: as of ``measure_modes``.
        data_sha256: checksum of the images.
        classifier: whose hidden states are the sequences.
    """
    given = sequences(inputs.mnist(data_sha256), classifier)
    return measure_modes(given, _readout(classifier), sizes)


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
    chosen = np.sort(datasets.first_of_each(labels, EXAMPLES))
    return {
        "images": np.rint(data.test.images[chosen] * 255).astype(np.uint8),
        "images_place": chosen.astype(np.uint16),
        "images_label": labels[chosen].astype(np.uint8),
        "plane_labels": labels[:PLANE].astype(np.uint8),
    }


def publish_groups(
    study: str, names: Sequence[str], networks: int, report: Callable[[str], None]
) -> None:
    """Train, measure and publish some groups as a study.

    Args:
        study: its name.
        names: groups of ``GROUPS``.
        networks: as of ``publish``.
        report: as of ``publish``.
    """
    data = datasets.mnist()
    given = [*jobs(names, networks, data.checksum), *_linear_jobs(names, data.checksum)]
    kept = engine.run(study, given, report=report)
    count = len(names) * networks
    made = [engine.load(one).arrays for one in kept]
    arrays = _gather(by_group(names, made[:count])) | example_images(data)
    arrays |= {f"pod_{key}": array for row in made[count:] for key, array in row.items()}
    facts = {
        "networks": count,
        "seeds": networks,
        "groups": {name: _describe(name) for name in names},
        "samples": SAMPLES,
        "data_sha256": data.checksum,
        **engine.facts(kept),
    }
    found = results.dataset(arrays, AXES, _coordinates(arrays, names, networks))
    results.publish(study, found, facts)
    for name, several in by_group(names, kept[:count]).items():
        if name in WHOLE:
            _publish_run(name, several[0], data)


def _linear_jobs(names: Sequence[str], data_sha256: str) -> list[engine.Job]:
    """Return the job of POD, if there are autoencoders to hold against it."""
    if all(GROUPS[name].sequences == "digits" for name in names):
        return []
    settings = {"sizes": MODES, "data_sha256": data_sha256}
    return [engine.Job("autoencoder-pod", decompose, settings, _read_classifier())]


def _read_classifier() -> dict[str, runs.Run]:
    """Return the classifier as the input of a job: what it computes, not where it comes from."""
    return {"classifier": inputs.published(CLASSIFIER)}


def _readout(classifier: runs.Run) -> access.Readout:
    return access.readout(runs.restore(classifier))


def _measure(model: Any, given: Sequences, classifier: runs.Run | None) -> disk.Arrays:
    if classifier is None:
        return measure_digits(model, given.test, given.labels)
    means = np.asarray(vae.posterior(model, given.test).mean)
    rebuilt = vae.reconstruct(model, given.test)
    return measure_states(rebuilt, means, given, _readout(classifier))


def _history(fitted: training.Fitted, place: int) -> disk.Arrays:
    """Return the history of one network of several; the seconds are its share of theirs."""
    histories = dict(fitted.history)
    share = histories.pop("seconds") / len(histories["loss"][0])
    own = {name: value[:, place] for name, value in histories.items()}
    return disk.single({f"history_{name}": v for name, v in (own | {"seconds": share}).items()})


def _tell(name: str, seeds: Sequence[int], epoch: training.Epoch) -> None:
    progress.print_line(
        f"{name}, seed {' '.join(map(str, seeds))}: epoch {epoch.number} of {epoch.of}, validation "
        f"ELBO {epoch.metrics['elbo'].mean():.2f}, {epoch.seconds:.0f} s, "
        f"{epoch.left / 60:.0f} min left"
    )


def _publish_run(name: str, kept: engine.Kept, data: datasets.Dataset) -> None:
    """Publish the first network of a group whole."""
    run = run_of(engine.load(kept), f"autoencoder-{name}")
    told = {
        "command": origin.command_line(),
        "seed": 0,
        **_describe(name),
        **{size: run.config[size] for size in ("frames", "feature")},
        "data": data.name,
        "data_sha256": data.checksum,
        "wall_seconds": round(kept.seconds, 1),
        **kept.origin,
    }
    runs.save_run(checkout.root() / "results" / run.name, run._replace(provenance=told))


def _gather(made: dict[str, Sequence[disk.Arrays]]) -> disk.Arrays:
    """Stack groups and seeds; only planes of two units are kept whole."""
    by_kind: dict[str, list[disk.Arrays]] = {"digits": [], "states": []}
    own = OF_DIGITS | OF_STATES | OF_NETWORK
    axes = {key: ("network", *along) for key, along in own.items()}
    arrays: disk.Arrays = {}
    for name, several in made.items():
        group = GROUPS[name]
        rows = [{key: row[key] for key in own if key in row} for row in several]
        planes = [row.pop("means") for row in rows]
        stacked = results.stack(rows, axes, "network")
        by_kind[group.sequences].append(stacked)
        if group.latent == 2 and group.sequences == "states":
            arrays["states_plane"] = np.stack(planes)
        elif group.latent == 2:
            stacked["means"] = np.stack(planes)
    for kind, axis in (("digits", "model"), ("states", "size")):
        groups = [{f"{kind}_{key}": array for key, array in row.items()} for row in by_kind[kind]]
        arrays |= results.stack(groups, AXES, axis)
    return arrays


def _coordinates(arrays: disk.Arrays, names: Sequence[str], networks: int) -> dict[str, Any]:
    digits = [name for name in names if GROUPS[name].sequences == "digits"]
    found = {
        "model": digits,
        "network": np.arange(networks),
        "digit": np.arange(arrays["digits_by_class"].shape[-1]),
        "epoch": np.arange(1, 1 + arrays["digits_history_elbo"].shape[-1]),
    }
    return found | ({"size": MODES, "modes_of": MODES_OF} if len(digits) < len(names) else {})


def describe_group(group: Group) -> dict[str, Any]:
    """Return what decides networks of a group, in words and numbers as a manifest has them."""
    recipe, objective = group.recipe._asdict(), group.objective._asdict()
    return {**group._asdict(), "recipe": recipe, "objective": objective}


def _describe(name: str) -> dict[str, Any]:
    """Return what decides a group of the study, and what is measured of it."""
    group = GROUPS[name]
    states = {"training": STATES_TRAINING, "classifier": CLASSIFIER}
    return {
        **describe_group(group),
        "samples": SAMPLES,
        **(states if group.sequences == "states" else {}),
    }
