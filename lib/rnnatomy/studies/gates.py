"""The study of the hidden layer of the MNIST classifiers: its matrices, gates and trajectories.

Every cutoff is measured on the validation part, where it may be chosen, and on the test part, where
it is reported.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from threadpoolctl import threadpool_limits

from rnnatomy.analysis import controls, gates, pod, ranks, separability
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, inputs

OTHERS = ("thousand-0", "thousand-1", "collapse-60-0.01-128-0")
"""Further networks, of which only spectra and the cutoffs of all matrices together are measured."""


KINDS = ("trained", "untrained", "change", "learnt", "shuffled")
"""Whose spectra are published: a matrix after and before training, their difference, what training
has added to the multiple of the untrained matrix that is left, and the trained entries shuffled."""


STATES = ("untrained", "trained")
"""Networks whose gates and trajectories are followed."""


WAYS = ("same energy", "in turn")
"""Ways to the smallest ranks: the same energy in all matrices, and lowered from there in turn."""


RANKS = {"input": (0, 1, 2, 4, 7, 14, 20), "recurrent": (0, 2, 4, 8, 16, 32, 64)}
"""Ranks at which each matrix is cut by itself."""


ENERGIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.995)


SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
"""Fractions of energy, and of the number of directions, to which all matrices are cut together."""


ALLOWED = 0.01
"""Fraction of the accuracy that the smallest ranks may cost."""


PERCENTILES = (10, 50, 90)


FRACTIONS = (0.9, 0.95, 0.99)
"""Fractions of energy whose numbers of modes are counted."""


FEW_MODES = 3


FOLLOWED = 2_000
"""So many test images are followed row by row through the gates and by linear probes: the first."""


PROBED = 2
"""A linear probe is fitted after one row in so many."""


SHOWN = 20
"""So many test images of each digit are published, for the page to compute with: the first."""


CUTOFFS_AT_ONCE = 8
"""So many cutoffs are measured in one call."""


_RECALL = ("test", "validation", "control")

AXES = {
    "input_spectra": ("network", "kind", "gate", "input_direction"),
    "recurrent_spectra": ("network", "kind", "gate", "recurrent_direction"),
    "kept": ("network", "matrix"),
    **{f"full_{part}": ("network", "digit") for part in ("test", "validation")},
    "energy_ranks": ("network", "energy", "matrix"),
    **{f"energy_{part}": ("network", "energy", "digit") for part in _RECALL},
    "share_ranks": ("network", "share", "matrix"),
    **{f"share_{part}": ("network", "share", "digit") for part in _RECALL[:2]},
    **{f"single_{part}": ("whole", "matrix", "cut", "digit") for part in _RECALL},
    "smallest_ranks": ("whole", "way", "matrix"),
    **{f"smallest_{part}": ("whole", "way", "digit") for part in _RECALL[:2]},
    "energies": ("state", "whole", "mode"),
    "modes": ("state", "whole", "fraction"),
    "means": ("state", "whole", "digit", "row", "axis"),
    "fisher": ("state", "whole", "row"),
    "read": ("state", "whole", "row"),
    "lie": ("state", "whole", "direction", "mode"),
    "read_in_modes": ("state", "whole", "mode"),
    "forget_rows": ("state", "whole", "percentile", "row", "unit"),
    "forget": ("state", "whole", "percentile", "unit"),
    "probe": ("state", "whole", "probed_row"),
    "image_numbers": ("image",),
    "images": ("image", "row", "pixel"),
    "labels": ("image",),
}
"""Axes of the published arrays: ``network`` is every network, ``whole`` those measured in all."""


def publish(networks: int = 5) -> None:
    """Take the hidden layers of the published classifiers apart: ``results/gates``.

    Args:
        networks: how many of the published ``mnist-`` networks, at least 1.
    """
    data = datasets.mnist()
    whole = runs.published("mnist-")[:networks]
    names = [*whole, *OTHERS]
    measured = engine.run("gates", [_job(name, name in whole, data) for name in names])
    rows = [engine.load(kept).arrays for kept in measured]
    arrays = results.stack(rows, AXES, "network") | results.stack(rows, AXES, "whole")
    arrays |= example_images(data.test)
    facts = _facts(data) | {"runs": names} | engine.facts(measured)
    found = results.dataset(arrays, AXES, _coordinates(arrays, names, whole))
    results.publish("gates", found, facts)


def measure(run: runs.Run, whole: bool, data_sha256: str) -> disk.Arrays:
    """Measure one network, as a job.

    Args:
        run: its parameters, and its seed.
        whole: whether all is measured, or spectra and the cutoffs of all matrices alone.
        data_sha256: checksum of MNIST.
    """
    data, rng = inputs.mnist(data_sha256), np.random.default_rng(run.provenance["seed"])
    networks = {"untrained": runs.untrained(run), "trained": runs.restore(run)}
    untrained, trained = (access.matrices(network) for network in networks.values())
    arrays = spectra(trained, untrained, rng)
    arrays |= joint_cutoffs(networks["trained"], trained, data, rng)
    if whole:
        arrays |= single_cutoffs(networks["trained"], trained, data, rng)
        arrays |= smallest_ranks(networks["trained"], trained, data)
        rows = [_measure_states(networks[state], data.test) for state in STATES]
        arrays |= results.stack(rows, results.without(AXES, "network", "whole"), "state")
    return arrays


def spectra(
    trained: gates.Matrices, untrained: gates.Matrices, rng: np.random.Generator
) -> disk.Arrays:
    """Decompose the matrices before and after training, and what has changed.

    Args:
        trained: matrices of a cell.
        untrained: the same before training.
        rng: source of ten shuffles.

    Returns:
        "input_spectra" and "recurrent_spectra" (kind, gate, direction), with the kinds of
        ``KINDS``; "kept" (matrix), see ``ranks.learnt``.
    """
    rows, kept = [], []
    for name in gates.MATRICES:
        after, before = trained[name], untrained[name]
        rest = ranks.learnt(after, before)
        each = (after, before, after - before, rest.rest)
        row = [part.s for part in ranks.decompose(dict(zip(KINDS, each, strict=False))).values()]
        # shuffled column by column, in the order in which the kernels hold the entries
        columns = np.ascontiguousarray(after.T)
        rows.append(np.stack([*row, controls.shuffled_spectrum(rng, columns, 10)]))
        kept.append(rest.kept)
    count = len(gates.GATES)
    found = {"input_spectra": np.stack(rows[:count], 1)}
    found["recurrent_spectra"] = np.stack(rows[count:], 1)
    return disk.single({**found, "kept": kept})


def recalls(
    model: models.Classifier, part: datasets.Split, cells: Sequence[gates.Matrices]
) -> Float[np.ndarray, "cutoff class"]:
    """Measure the recall of each class for a classifier with other matrices in its cell.

    Args:
        model: gives all but the matrices.
        part: images and labels, each class at least once.
        cells: the matrices in place of the model's, one set after the other.

    Returns:
        Fractions (0..1), one row for each set.
    """
    graph, parameters = nnx.split(model)
    images, labels = jnp.asarray(part.images), jnp.asarray(part.labels)
    rows: list[np.ndarray] = []
    for start in range(0, len(cells), CUTOFFS_AT_ONCE):
        some = list(cells[start : start + CUTOFFS_AT_ONCE])
        # the last ones of many are filled up, so that everything is compiled once
        full = some + some[:1] * (min(CUTOFFS_AT_ONCE, len(cells)) - len(some))
        stacked = {name: np.stack([c[name] for c in full]).astype(np.float32) for name in full[0]}
        rows.extend(np.asarray(_hits(graph)(stacked, parameters, images, labels))[: len(some)])
    return np.array(rows) / np.bincount(part.labels)


def accuracy(
    recall: Float[np.ndarray, "*cutoffs class"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "*cutoffs"]:
    """Return the fraction of samples that are read rightly, from the recall of each class."""
    return np.asarray(recall @ np.bincount(labels) / len(labels))


def single_cutoffs(
    model: models.Classifier,
    trained: gates.Matrices,
    data: datasets.Dataset,
    rng: np.random.Generator,
) -> disk.Arrays:
    """Cut each matrix by itself to the ranks of ``RANKS``.

    Returns:
        Recall of each class (matrix, cut, digit): "single_test", "single_validation", and
        "single_control", on the test part, with as much energy lost in random directions, drawn
        once, see ``controls.remove_random``.
    """
    parts = ranks.decompose(trained)
    kept = [(name, rank) for name in gates.MATRICES for rank in RANKS[name.split()[0]]]
    cuts = [ranks.low_rank(parts, {name: rank}) for name, rank in kept]
    random = [
        {**trained, name: _random_cut(rng, trained[name], cut[name])}
        for (name, _), cut in zip(kept, cuts, strict=True)
    ]
    found = {
        "single_test": recalls(model, data.test, cuts),
        "single_validation": recalls(model, data.validation, cuts),
        "single_control": recalls(model, data.test, random),
    }
    count = len(gates.MATRICES)
    return disk.single({k: array.reshape(count, -1, array.shape[1]) for k, array in found.items()})


def joint_cutoffs(
    model: models.Classifier,
    trained: gates.Matrices,
    data: datasets.Dataset,
    rng: np.random.Generator,
) -> disk.Arrays:
    """Cut all matrices to the fractions of energy in ``ENERGIES``, and of rank in ``SHARES``.

    Returns:
        "energy_ranks" (energy, matrix) and "share_ranks" (share, matrix); recall of each class on
        both parts, "energy_test", "energy_validation" (energy, digit), "share_test" and
        "share_validation" (share, digit); "energy_control" (energy, digit) as in
        ``single_cutoffs``. And "full_test" and "full_validation" (digit), with nothing cut.
    """
    parts = ranks.decompose(trained)
    ways = {
        "energy": [ranks.same_energy(parts, fraction) for fraction in ENERGIES],
        "share": [ranks.same_share(parts, fraction) for fraction in SHARES],
    }
    measured = {"test": data.test, "validation": data.validation}
    found = {f"full_{name}": recalls(model, part, [trained])[0] for name, part in measured.items()}
    for way, kept in ways.items():
        cuts = [ranks.low_rank(parts, rank) for rank in kept]
        found[f"{way}_ranks"] = np.array([list(rank.values()) for rank in kept])
        found |= {f"{way}_{name}": recalls(model, part, cuts) for name, part in measured.items()}
        if way == "energy":
            found["energy_control"] = recalls(model, data.test, _random_cuts(rng, trained, cuts))
    return disk.single(found)


def summary(run: runs.Run, data: datasets.Dataset) -> disk.Arrays:
    """Sum up the hidden layer of one classifier of many.

    Returns:
        "effective" and "stable" (kind, matrix), ranks of the spectra of ``spectra``, and "kept";
        "energy_ranks" (energy), directions in all at the fractions of ``ENERGIES``; recall of each
        class on the first ``FOLLOWED`` test images: "full" (digit), "energy_test" and
        "energy_control" (energy, digit), as of ``joint_cutoffs``.
    """
    rng = np.random.default_rng(run.provenance["seed"])
    model = runs.restore(run)
    trained = access.matrices(model)
    decomposed = spectra(trained, access.matrices(runs.untrained(run)), rng)
    by_side = [decomposed[f"{side}_spectra"].astype(float) for side in gates.SIDES]
    parts = ranks.decompose(trained)
    kept = [ranks.same_energy(parts, fraction) for fraction in ENERGIES]
    cuts = [ranks.low_rank(parts, rank) for rank in kept]
    few = datasets.Split(*(array[:FOLLOWED] for array in data.test))
    recall = recalls(model, few, [trained, *cuts, *_random_cuts(rng, trained, cuts)])
    return disk.single(
        {
            "effective": _over_matrices(ranks.effective_rank, by_side),
            "stable": _over_matrices(ranks.stable_rank, by_side),
            "kept": decomposed["kept"],
            "energy_ranks": [sum(rank.values()) for rank in kept],
            "full": recall[0],
            "energy_test": recall[1 : 1 + len(cuts)],
            "energy_control": recall[1 + len(cuts) :],
        }
    )


def smallest_ranks(
    model: models.Classifier, trained: gates.Matrices, data: datasets.Dataset
) -> disk.Arrays:
    """Find the smallest ranks that cost at most ``ALLOWED`` of the accuracy on the validation part.

    Returns:
        "smallest_ranks" (way, matrix), first with the same energy in all matrices, see
        ``ranks.least_energy``, then lowered from there in turn, see ``ranks.shrink``; and
        "smallest_test", "smallest_validation" (way, digit), the recall of each class.
    """
    parts = ranks.decompose(trained)

    def measure(kept: ranks.Ranks) -> float:
        recall = recalls(model, data.validation, [ranks.low_rank(parts, kept)])
        return float(accuracy(recall, data.validation.labels)[0])

    floor = (1 - ALLOWED) * measure({})
    first = ranks.least_energy(parts, measure, floor)
    ways = [first, ranks.shrink(first, measure, floor)]
    cuts = [ranks.low_rank(parts, kept) for kept in ways]
    return disk.single(
        {
            "smallest_ranks": [[kept[name] for name in gates.MATRICES] for kept in ways],
            "smallest_test": recalls(model, data.test, cuts),
            "smallest_validation": recalls(model, data.validation, cuts),
        }
    )


def forgetting(model: models.Classifier, part: datasets.Split) -> disk.Arrays:
    """Measure the forget gate of each unit over the rows of images.

    Returns:
        Percentiles of its activation over images, see ``PERCENTILES``: "forget_rows" (percentile,
        row, unit) for each row, and "forget" (percentile, unit) over all rows.
        ``gates.time_constants`` turns them into those of the time constant.
    """
    states = access.hidden_states(model, part.images)
    bias = access.flatten(model)["cell.dense_h.bias"]
    forget = gates.activations(access.matrices(model), bias, part.images, states)["f"]
    return disk.single(
        {
            "forget_rows": np.percentile(forget, PERCENTILES, axis=0),
            "forget": np.percentile(forget, PERCENTILES, axis=(0, 1)),
        }
    )


def measure_paths(
    readout: access.Readout,
    part: datasets.Split,
    states: Float[np.ndarray, "sample time hidden"],
) -> disk.Arrays:
    """Decompose the hidden trajectories of a classifier by POD, and see where classes part.

    Args:
        readout: of the classifier.
        part: what it was shown.
        states: its hidden states.

    Returns:
        "energies" (mode); "modes" (fraction), for the energies of ``FRACTIONS``; "means" (digit,
        row, axis), mean trajectories in three modes; "fisher" (row), ratio of the states after each
        row, 0 while they are all the same; "read" (row), accuracy of the readout there; "lie"
        (direction, mode), squared cosines of the readout's right singular vectors with the modes;
        "read_in_modes" (mode), accuracy of the readout when the last state is projected on the
        first modes.
    """
    basis = pod.pod(states, centred=True)
    labels, few = part.labels, _first_modes(basis, FEW_MODES)
    path = pod.project(few, states)
    Vt = np.linalg.svd(readout.W.astype(np.float64), full_matrices=False)[2]
    logits = states @ readout.W.T + readout.b
    return disk.single(
        {
            "energies": pod.energies(basis),
            "modes": [pod.modes_for(basis, fraction) for fraction in FRACTIONS],
            "means": [path[labels == digit].mean(axis=0) for digit in np.unique(labels)],
            "fisher": [_fisher(row, labels) for row in states.swapaxes(0, 1)],
            "read": np.mean(logits.argmax(axis=2) == labels[:, None], axis=0),
            "lie": (Vt @ basis.modes.T) ** 2,
            "read_in_modes": _read_in_modes(basis, readout, states[:, -1], labels),
        }
    )


def probes(
    states: Float[np.ndarray, "sample time hidden"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " row"]:
    """Measure how well linear probes tell the classes after some rows, see ``separability.probe``.

    Returns:
        Fractions (0..1), by two-fold cross-validation, after one row in ``PROBED``; the last row is
        one of them.
    """
    samples = np.arange(len(labels))
    rows = states.swapaxes(0, 1)[::-1][::PROBED][::-1]
    # threads of BLAS that wait for each other make small fits many times slower
    with threadpool_limits(1, user_api="blas"):
        return np.array([separability.probe(row, labels, samples, folds=2) for row in rows])


def example_images(part: datasets.Split) -> disk.Arrays:
    """Return a few images of each class, for a page to compute with where MNIST is not at hand.

    Returns:
        "image_numbers", their places in the part, ascending; "images", as whole numbers to 255; and
        "labels".
    """
    numbers = np.sort(datasets.first_of_each(part.labels, SHOWN))
    return {
        "image_numbers": numbers.astype(np.int32),
        "images": np.rint(part.images[numbers] * 255).astype(np.uint8),
        "labels": part.labels[numbers].astype(np.int8),
    }


@cache
def _hits(graph: Any) -> Callable[..., Array]:
    """Compile the count of samples of each class that are read as it."""

    def hits(matrices: dict[str, Array], parameters: Any, images: Array, labels: Array) -> Array:
        model = access.with_matrices(nnx.merge(graph, parameters), matrices)
        logits = training.predict(model, images)
        right = (logits.argmax(axis=1) == labels).astype(jnp.float32)
        return jnp.zeros(logits.shape[1]).at[labels].add(right)

    return training.side_by_side(hits)


def _random_cut(rng: np.random.Generator, matrix: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Take as much energy from a matrix as a cutoff does, in random directions."""
    left = np.square(cut).sum() / np.square(matrix.astype(np.float64)).sum()
    return controls.remove_random(rng, matrix, float(np.clip(1 - left, 0, 1)))


def _random_cuts(
    rng: np.random.Generator, trained: gates.Matrices, cuts: Sequence[gates.Matrices]
) -> list[gates.Matrices]:
    return [{name: _random_cut(rng, trained[name], cut[name]) for name in cut} for cut in cuts]


def _over_matrices(
    measure: Callable[[np.ndarray], float], by_side: list[np.ndarray]
) -> Float[np.ndarray, "kind matrix"]:
    """Measure each spectrum of both sides (kind, gate, direction)."""
    return np.concatenate([np.apply_along_axis(measure, -1, side) for side in by_side], axis=1)


def _first_modes(basis: pod.POD, count: int) -> pod.POD:
    modes, singular_values = basis.modes[:count], basis.singular_values[:count]
    return basis._replace(modes=modes, singular_values=singular_values)


def _fisher(row: np.ndarray, labels: np.ndarray) -> float:
    return separability.fisher_ratio(row, labels) if (row != row[0]).any() else 0.0


def _read_in_modes(
    basis: pod.POD, readout: access.Readout, last: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the accuracy of the readout from the first modes of the last state, none to all."""
    terms = pod.project(basis, last)[:, :, None] * (basis.modes @ readout.W.T)
    logits = readout.W @ basis.mean + readout.b + np.cumsum(terms, axis=1)
    return np.mean(logits.argmax(axis=2) == labels[:, None], axis=0)


def _job(name: str, whole: bool, data: datasets.Dataset) -> engine.Job:
    settings = {"whole": whole, "data_sha256": data.checksum}
    return engine.Job(name, measure, settings, {"run": inputs.published(name)})


def _measure_states(network: models.Classifier, part: datasets.Split) -> disk.Arrays:
    """Measure trajectories, forget gates and probes of a network before or after training."""
    few = datasets.Split(*(array[:FOLLOWED] for array in part))
    states = access.hidden_states(network, part.images)
    arrays = measure_paths(access.readout(network), part, states) | forgetting(network, few)
    return arrays | disk.single({"probe": probes(states[:FOLLOWED], few.labels)})


def _coordinates(arrays: disk.Arrays, names: list[str], whole: list[str]) -> dict[str, Any]:
    rows, modes = arrays["fisher"].shape[-1], arrays["energies"].shape[-1]
    directions, digits = arrays["lie"].shape[-2], arrays["full_test"].shape[-1]
    return {
        "network": names,
        "whole": whole,
        "matrix": list(gates.MATRICES),
        "gate": list(gates.GATES),
        "kind": KINDS,
        "state": STATES,
        "energy": ENERGIES,
        "share": SHARES,
        "rank": (("matrix", "cut"), [RANKS[name.split()[0]] for name in gates.MATRICES]),
        "way": WAYS,
        "digit": np.arange(digits),
        "row": np.arange(1, 1 + rows),
        "probed_row": np.arange(rows, 0, -PROBED)[::-1],
        "percentile": PERCENTILES,
        "fraction": FRACTIONS,
        "mode": np.arange(1, 1 + modes),
        "direction": np.arange(1, 1 + directions),
    }


def _facts(data: datasets.Dataset) -> dict[str, Any]:
    # as it comes back from a file: lists, no tuples
    return {
        "data": data.name,
        "data_sha256": data.checksum,
        "ranks": {side: list(kept) for side, kept in RANKS.items()},
        "energies": list(ENERGIES),
        "shares": list(SHARES),
        "allowed": ALLOWED,
        "followed": FOLLOWED,
        "shown": SHOWN,
    }
