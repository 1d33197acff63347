"""The study of the hidden layer of the MNIST classifiers: its matrices, gates and trajectories.

Every cutoff is measured on the validation part, where it may be chosen, and on the test part, where
it is reported.
"""

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int
from threadpoolctl import threadpool_limits

from rnnatomy import clusters, datasets, gates, models, pod, runs, training
from rnnatomy.classifiers import restore, untrained

OTHERS = ("hundred-0", "hundred-1", "collapse-60-0.01-128-0")
"""Further networks, of which only spectra and the cutoffs of all matrices together are measured."""

KINDS = ("trained", "initial", "change", "learnt", "shuffled")
"""Whose spectra are published: a matrix before and after training, their difference, what training
has added to the multiple of the initial matrix that is left, and the trained entries shuffled."""

RANKS = {"input": (0, 1, 2, 4, 7, 14, 20), "recurrent": (0, 2, 4, 8, 16, 32, 64)}
"""Ranks at which each matrix is cut by itself."""

ENERGIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.995)
SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
"""Fractions of energy, and of the number of directions, to which all matrices are cut together."""

ALLOWED = 0.01
"""Fraction of the accuracy that the smallest ranks may cost."""

PERCENTILES = (10, 50, 90)
HELD = (0.9, 0.95, 0.99)
FEW_MODES = 3
FOLLOWED = 2_000
"""So many test images are followed row by row through the gates and by linear probes: the first."""

PROBED = 2
"""A linear probe is fitted after one row in so many."""

SHOWN = 20
"""So many test images of each digit are published, for the page to compute with: the first."""

TOGETHER = 8
"""So many cutoffs are measured in one call."""


def study(networks: int = 5, report: Callable[[str], None] = print) -> None:
    """Take the hidden layers of the published classifiers apart: ``results/gates``.

    A network that is finished is kept in ``build/gates``, so that an interrupted study goes on from
    there.

    Args:
        networks: how many of the published ``mnist-`` networks, at least 1.
        report: called with a line when a network is done.
    """
    data, started = datasets.mnist(), time.perf_counter()
    whole = runs.published("mnist-")[:networks]
    names, found = [*whole, *OTHERS], []
    for number, name in enumerate(names, start=1):
        found.append(_kept(name, name in whole, data))
        minutes = (time.perf_counter() - started) / 60
        # the others take about a quarter of the time each
        left = minutes / number * (len(names) - number)
        report(f"{name}: done, {number} of {len(names)}; at most {left:.0f} min left")
    arrays = {}
    for key in dict.fromkeys(key for made in found for key in made.arrays):
        arrays[key] = np.stack([made.arrays[key] for made in found if key in made.arrays])
    facts = _facts(data) | {
        "runs": names,
        "wall_seconds": round(sum(made.provenance["wall_seconds"] for made in found), 1),
    }
    provenance = runs.provenance(runs.command_line(), **facts)
    arrays |= shown(data.test)
    runs.save_study(runs.ROOT / "results" / "gates", runs.Study("gates", arrays, provenance))


def matrices(run: runs.Run, cell: str = "cell") -> dict[str, np.ndarray]:
    """Return the eight matrices of an LSTM of a run.

    Args:
        run: of any model.
        cell: where the LSTM is in it, such as "encoder".

    Raises:
        ValueError: if the run has no such cell, or it is no LSTM.
    """
    names = _kernels(cell)
    if not set(names) <= run.parameters.keys():
        raise ValueError(f"run {run.name!r} has no LSTM {cell!r}: it has {list(run.parameters)}.")
    return gates.split(gates.Kernels(*(run.parameters[name] for name in names)))


def with_matrices(run: runs.Run, changed: gates.Matrices, cell: str = "cell") -> runs.Run:
    """Return a run with other matrices in an LSTM of it; all else stays.

    Args:
        run: of any model.
        changed: all eight matrices, as of ``matrices``.
        cell: where the LSTM is in it, such as "decoder".

    Raises:
        ValueError: if the run has no such cell, or a matrix is missing or has another shape.
    """
    own, kernels = gates.join(matrices(run, cell)), _as_kernels(changed)
    for side, there, given in zip(gates.SIDES, own, kernels, strict=True):
        if there.shape != given.shape:
            raise ValueError(
                f"the {side} matrices of {cell!r} have the shape {there.T.shape} together: "
                f"{given.T.shape} is given."
            )
    return run._replace(parameters=run.parameters | dict(zip(_kernels(cell), kernels, strict=True)))


def spectra(
    trained: gates.Matrices, initial: gates.Matrices, rng: np.random.Generator
) -> runs.Arrays:
    """Decompose the matrices before and after training, and what has changed.

    Args:
        trained: matrices of a cell.
        initial: the same before training.
        rng: source of ten shuffles.

    Returns:
        "input_spectra" and "recurrent_spectra" (kind, gate, mode), with the kinds of ``KINDS``;
        "kept" (matrix), see ``gates.learnt``.
    """
    rows, kept = [], []
    for name in gates.MATRICES:
        after, before = trained[name], initial[name]
        rest = gates.learnt(after, before)
        each = (after, before, after - before, rest.rest)
        row = [part.s for part in gates.decompose(dict(zip(KINDS, each, strict=False))).values()]
        rows.append(np.stack([*row, gates.shuffled_spectrum(rng, after, 10)]))
        kept.append(rest.kept)
    count = len(models.GATES)
    found = {"input_spectra": np.stack(rows[:count], 1)}
    found["recurrent_spectra"] = np.stack(rows[count:], 1)
    return _single({**found, "kept": kept})


def recalls(
    model: models.LSTMClassifier, part: datasets.Split, cells: Sequence[gates.Matrices]
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
    for start in range(0, len(cells), TOGETHER):
        some = [_as_kernels(cell) for cell in cells[start : start + TOGETHER]]
        # the last ones of many are filled up, so that everything is compiled once
        full = some + some[:1] * (min(TOGETHER, len(cells)) - len(some))
        stacked = gates.Kernels(*(np.stack(side) for side in zip(*full, strict=True)))
        rows.extend(np.asarray(_hits(graph)(stacked, parameters, images, labels))[: len(some)])
    return np.array(rows) / np.bincount(part.labels)


def accuracy(
    recall: Float[np.ndarray, "*cutoffs class"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "*cutoffs"]:
    """Return the fraction of samples that are read rightly, from the recall of each class."""
    return recall @ np.bincount(labels) / len(labels)


def each(
    model: models.LSTMClassifier,
    trained: gates.Matrices,
    data: datasets.Dataset,
    rng: np.random.Generator,
) -> runs.Arrays:
    """Cut each matrix by itself to the ranks of ``RANKS``.

    Returns:
        Recall of each class (matrix, rank, class): "each_test", "each_validation", and
        "each_control", on the test part, with as much energy lost in random directions, drawn once,
        see ``gates.remove_random``.
    """
    parts = gates.decompose(trained)
    ranks = [(name, rank) for name in gates.MATRICES for rank in RANKS[name.split()[0]]]
    cuts = [gates.low_rank(parts, {name: rank}) for name, rank in ranks]
    random = [
        {**trained, name: _randomly(rng, trained[name], cut[name])}
        for (name, _), cut in zip(ranks, cuts, strict=True)
    ]
    found = {
        "each_test": recalls(model, data.test, cuts),
        "each_validation": recalls(model, data.validation, cuts),
        "each_control": recalls(model, data.test, random),
    }
    count = len(gates.MATRICES)
    return _single({k: array.reshape(count, -1, array.shape[1]) for k, array in found.items()})


def together(
    model: models.LSTMClassifier,
    trained: gates.Matrices,
    data: datasets.Dataset,
    rng: np.random.Generator,
) -> runs.Arrays:
    """Cut all matrices to the fractions of energy in ``ENERGIES``, and of rank in ``SHARES``.

    Returns:
        For each of both, "energy_" and "share_": "ranks" (cutoff, matrix), and recall of each class
        on "test" and "validation" (cutoff, class); "energy_control" (cutoff, class) as in
        ``each``. And "full_test" and "full_validation" (class), with nothing cut.
    """
    parts = gates.decompose(trained)
    ways = {
        "energy": [gates.same_energy(parts, fraction) for fraction in ENERGIES],
        "share": [gates.same_share(parts, fraction) for fraction in SHARES],
    }
    measured = {"test": data.test, "validation": data.validation}
    found = {f"full_{name}": recalls(model, part, [trained])[0] for name, part in measured.items()}
    for way, ranks in ways.items():
        cuts = [gates.low_rank(parts, rank) for rank in ranks]
        found[f"{way}_ranks"] = np.array([list(rank.values()) for rank in ranks])
        found |= {f"{way}_{name}": recalls(model, part, cuts) for name, part in measured.items()}
        if way == "energy":
            found["energy_control"] = recalls(model, data.test, _controls(rng, trained, cuts))
    return _single(found)


def summary(run: runs.Run, data: datasets.Dataset) -> runs.Arrays:
    """Sum up the hidden layer of one classifier of many.

    Returns:
        "effective" and "stable" (kind, matrix), ranks of the spectra of ``spectra``, and "kept";
        "energy_ranks" (cutoff), directions in all at the fractions of ``ENERGIES``; recall of each
        class on the first ``FOLLOWED`` test images: "full" (class), "energy_test" and
        "energy_control" (cutoff, class), as of ``together``.
    """
    rng = np.random.default_rng(run.provenance["seed"])
    model, trained = restore(run), matrices(run)
    decomposed = spectra(trained, matrices(untrained(run)), rng)
    by_side = [decomposed[f"{side}_spectra"].astype(float) for side in gates.SIDES]
    parts = gates.decompose(trained)
    ranks = [gates.same_energy(parts, fraction) for fraction in ENERGIES]
    cuts = [gates.low_rank(parts, rank) for rank in ranks]
    few = datasets.Split(*(array[:FOLLOWED] for array in data.test))
    recall = recalls(model, few, [trained, *cuts, *_controls(rng, trained, cuts)])
    return _single(
        {
            "effective": _over_matrices(gates.effective_rank, by_side),
            "stable": _over_matrices(gates.stable_rank, by_side),
            "kept": decomposed["kept"],
            "energy_ranks": [sum(rank.values()) for rank in ranks],
            "full": recall[0],
            "energy_test": recall[1 : 1 + len(cuts)],
            "energy_control": recall[1 + len(cuts) :],
        }
    )


def smallest(
    model: models.LSTMClassifier, trained: gates.Matrices, data: datasets.Dataset
) -> runs.Arrays:
    """Find the smallest ranks that cost at most ``ALLOWED`` of the accuracy on the validation part.

    Returns:
        "smallest_ranks" (way, matrix), first with the same energy in all matrices, see
        ``gates.least_energy``, then lowered from there in turn, see ``gates.shrink``; and
        "smallest_test", "smallest_validation" (way, class), the recall of each class.
    """
    parts = gates.decompose(trained)

    def measure(ranks: gates.Ranks) -> float:
        recall = recalls(model, data.validation, [gates.low_rank(parts, ranks)])
        return float(accuracy(recall, data.validation.labels)[0])

    floor = (1 - ALLOWED) * measure({})
    first = gates.least_energy(parts, measure, floor)
    ways = [first, gates.shrink(first, measure, floor)]
    cuts = [gates.low_rank(parts, ranks) for ranks in ways]
    return _single(
        {
            "smallest_ranks": [[ranks[name] for name in gates.MATRICES] for ranks in ways],
            "smallest_test": recalls(model, data.test, cuts),
            "smallest_validation": recalls(model, data.validation, cuts),
        }
    )


def forgetting(run: runs.Run, part: datasets.Split) -> runs.Arrays:
    """Measure the forget gate of each unit over the rows of images.

    Returns:
        Percentiles of its activation over images, see ``PERCENTILES``: "forget_rows" (percentile,
        time, hidden) for each row, and "forget" (percentile, hidden) over all rows.
        ``gates.time_constants`` turns them into those of the time constant.
    """
    states = trajectories(restore(run), part.images)
    bias = run.parameters["cell.dense_h.bias"]
    forget = gates.activations(matrices(run), bias, part.images, states)["f"]
    return _single(
        {
            "forget_rows": np.percentile(forget, PERCENTILES, axis=0),
            "forget": np.percentile(forget, PERCENTILES, axis=(0, 1)),
        }
    )


def paths(
    run: runs.Run, part: datasets.Split, states: Float[np.ndarray, "sample time hidden"]
) -> runs.Arrays:
    """Decompose the hidden trajectories of a classifier by POD, and see where classes part.

    Args:
        run: of the classifier.
        part: what it was shown.
        states: its hidden states.

    Returns:
        "energies" (mode); "modes", for the energies of ``HELD``; "means" (class, time, mode), mean
        trajectories in three modes; "fisher" (time), ratio of the states after each row, 0 while
        they are all the same;
        "read" (time), accuracy of the readout there; "lie" (direction, mode), squared cosines of
        the readout's right singular vectors with the modes; "read_in_modes" (mode), accuracy of the
        readout when the last state is projected on the first modes.
    """
    basis = pod.pod(states, centred=True)
    labels, few = part.labels, basis._replace(modes=basis.modes[:FEW_MODES])
    path = pod.project(few, states)
    Vt = np.linalg.svd(run.readout.astype(np.float64), full_matrices=False)[2]
    logits = states @ run.readout.T + run.bias
    return _single(
        {
            "energies": pod.energies(basis),
            "modes": [pod.modes_for(basis, fraction) for fraction in HELD],
            "means": [path[labels == digit].mean(axis=0) for digit in np.unique(labels)],
            "fisher": [_fisher(row, labels) for row in states.swapaxes(0, 1)],
            "read": np.mean(logits.argmax(axis=2) == labels[:, None], axis=0),
            "lie": (Vt @ basis.modes.T) ** 2,
            "read_in_modes": _read_in_modes(basis, run, states[:, -1], labels),
        }
    )


def probes(
    states: Float[np.ndarray, "sample time hidden"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " row"]:
    """Measure how well linear probes tell the classes after some rows, see ``clusters.probe``.

    Returns:
        Fractions (0..1), by two-fold cross-validation, after one row in ``PROBED``; the last row is
        one of them.
    """
    samples = np.arange(len(labels))
    rows = states.swapaxes(0, 1)[::-1][::PROBED][::-1]
    # threads of BLAS that wait for each other make small fits many times slower
    with threadpool_limits(1, user_api="blas"):
        return np.array([clusters.probe(row, labels, samples, folds=2) for row in rows])


def trajectories(
    model: models.LSTMClassifier, images: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample time hidden"]:
    """Run a classifier over images and return its hidden state after every row of each."""
    return np.asarray(_trajectories(*nnx.split(model), jnp.asarray(images)))


def shown(part: datasets.Split) -> runs.Arrays:
    """Return a few images of each class, for a page to compute with where MNIST is not at hand.

    Returns:
        "image_numbers", their places in the part, ascending; "images", as whole numbers to 255; and
        "labels".
    """
    rows = [np.flatnonzero(part.labels == digit)[:SHOWN] for digit in np.unique(part.labels)]
    numbers = np.sort(np.concatenate(rows))
    return {
        "image_numbers": numbers.astype(np.int32),
        "images": np.rint(part.images[numbers] * 255).astype(np.uint8),
        "labels": part.labels[numbers].astype(np.int8),
    }


@cache
def _hits(graph: Any) -> Callable[..., Array]:
    """Compile the count of samples of each class that are read as it."""

    def hits(kernels: gates.Kernels, parameters: Any, images: Array, labels: Array) -> Array:
        logits = training.predict(nnx.merge(graph, _with(parameters, kernels)), images)
        right = (logits.argmax(axis=1) == labels).astype(jnp.float32)
        return jnp.zeros(logits.shape[1]).at[labels].add(right)

    return training.side_by_side(hits)


def _with(parameters: Any, kernels: gates.Kernels) -> Any:
    new = dict(zip(_kernels(), kernels, strict=True))
    pairs = [
        (path, leaf.replace(new.get(".".join(map(str, path)), leaf[...])))
        for path, leaf in nnx.to_flat_state(parameters)
    ]
    return nnx.from_flat_state(pairs)


@partial(jax.jit, static_argnums=0)
def _trajectories(graph: Any, parameters: Any, images: Array) -> Array:
    return training.predict(nnx.merge(graph, parameters).states, images)


def _kernels(cell: str = "cell") -> list[str]:
    """Return where a run keeps what is cut: the kernels of input and recurrence of an LSTM."""
    return [f"{cell}.dense_{part}.kernel" for part in "ih"]


def _as_kernels(cell: gates.Matrices) -> gates.Kernels:
    return gates.Kernels(*(kernel.astype(np.float32) for kernel in gates.join(cell)))


def _randomly(rng: np.random.Generator, matrix: np.ndarray, cut: np.ndarray) -> np.ndarray:
    """Take as much energy from a matrix as a cutoff does, in random directions."""
    left = np.square(cut).sum() / np.square(matrix.astype(np.float64)).sum()
    return gates.remove_random(rng, matrix, float(np.clip(1 - left, 0, 1)))


def _controls(
    rng: np.random.Generator, trained: gates.Matrices, cuts: Sequence[gates.Matrices]
) -> list[gates.Matrices]:
    return [{name: _randomly(rng, trained[name], cut[name]) for name in cut} for cut in cuts]


def _over_matrices(
    measure: Callable[[np.ndarray], float], by_side: list[np.ndarray]
) -> Float[np.ndarray, "kind matrix"]:
    """Measure each spectrum of both sides (kind, gate, mode)."""
    return np.concatenate([np.apply_along_axis(measure, -1, side) for side in by_side], axis=1)


def _fisher(row: np.ndarray, labels: np.ndarray) -> float:
    return clusters.fisher_ratio(row, labels) if (row != row[0]).any() else 0.0


def _read_in_modes(
    basis: pod.POD, run: runs.Run, last: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return the accuracy of the readout from the first modes of the last state, none to all."""
    terms = pod.project(basis, last)[:, :, None] * (basis.modes @ run.readout.T)
    logits = run.readout @ basis.mean + run.bias + np.cumsum(terms, axis=1)
    return np.mean(logits.argmax(axis=2) == labels[:, None], axis=0)


def _kept(name: str, whole: bool, data: datasets.Dataset) -> runs.Study:
    folder = runs.ROOT / "build" / "gates" / name
    wanted = _facts(data) | {"whole": whole}
    try:
        made = runs.load_study(str(folder))
        if wanted.items() <= made.provenance.items():
            return made
    except runs.RunError:
        pass
    started = time.perf_counter()
    arrays = _measured(runs.load_run(name), whole, data)
    facts = {"wall_seconds": time.perf_counter() - started, **wanted}
    made = runs.Study(name, arrays, runs.provenance(runs.command_line(), **facts))
    runs.save_study(folder, made)
    return made


def _measured(run: runs.Run, whole: bool, data: datasets.Dataset) -> runs.Arrays:
    rng = np.random.default_rng(run.provenance["seed"])
    model, fresh, trained = restore(run), untrained(run), matrices(run)
    found = spectra(trained, matrices(fresh), rng) | together(model, trained, data, rng)
    if not whole:
        return found
    found |= each(model, trained, data, rng) | smallest(model, trained, data)
    few = datasets.Split(*(array[:FOLLOWED] for array in data.test))
    for prefix, each_run in {"": run, "untrained_": fresh}.items():
        states = trajectories(restore(each_run), data.test.images)
        gone = paths(each_run, data.test, states) | forgetting(each_run, few)
        gone |= _single({"probe": probes(states[:FOLLOWED], few.labels)})
        found |= {f"{prefix}{name}": array for name, array in gone.items()}
    return found


def _facts(data: datasets.Dataset) -> dict[str, Any]:
    # as it comes back from a file: lists, no tuples
    return {
        "data": data.name,
        "data_sha256": data.checksum,
        "ranks": {side: list(ranks) for side, ranks in RANKS.items()},
        "energies": list(ENERGIES),
        "shares": list(SHARES),
        "allowed": ALLOWED,
        "followed": FOLLOWED,
        "shown": SHOWN,
    }


def _single(arrays: dict[str, Any]) -> runs.Arrays:
    return {name: np.asarray(array, np.float32) for name, array in arrays.items()}
