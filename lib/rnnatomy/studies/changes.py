"""What training changed in the hidden layers of a thousand networks, and what cuts are worth there.

Three findings from elsewhere are put to these LSTMs. This was expected, and written down, before
any of it was computed:

- *The change is of low rank* (Schuessler and others 2020, of plain recurrent networks). Expected: a
  few large directions and a long tail, so that the stable rank of a recurrent change is below 15
  of 128, and far below that of the change shuffled, but its effective rank above 50. Its first 16
  directions, put back on the initial matrices, carry 99 per cent of the accuracy in most networks;
  random directions of the same energy do not. Trained on permuted labels, where there is nothing to
  learn, the change is of no higher stable rank: a low rank tells of gradients, not of the task.
- *Cutting one matrix to a low rank helps* (Sharma and others 2023, of language models). Expected:
  chosen on validation images, the best cut gains less than 0.05 percentage points on test images,
  on average, with an interval that holds 0; chosen on the test images themselves it gains 0.05 to
  0.2, and so does the best of as many random cuts of the same energy.
- *Heavy tails tell good networks* (Martin, Peng and Mahoney 2021). Expected: among networks of one
  recipe, which differ in their seed alone, the rank correlation of the mean exponent with test
  accuracy is within 0.1 of 0; so is that of the Frobenius norm; that of the training loss is -0.1
  to -0.3, that of the validation accuracy above 0.2. Smaller exponents should read better if the
  theory holds here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnatomy.analysis import controls, cuts, gates, ranks, spectra, svd, tails
from rnnatomy.data import datasets
from rnnatomy.networks import access, models, runs, training
from rnnatomy.store import disk, results
from rnnatomy.studies import classifiers, engine, inputs
from rnnatomy.studies import gates as gate_study

LAYERS = (*gates.MATRICES, *gates.SIDES, "readout")
"""Matrices whose spectra are measured: those of single gates, the four gates of a side on top of
each other, and the readout."""


KINDS = ("trained", "learnt", "shuffled")
"""Whose ranks are measured: the trained matrix, what training has added to what is left of the
initial one, and the entries of this shuffled."""


DRAWS = 3
"""So many shuffles are averaged."""


CUT = 8
"""So many of the networks are cut: the first."""


PERMUTED = 20
"""So many networks are trained on permuted labels, from the same first parameters as the first."""


KEPT = ("first", "random")
"""What a cut keeps: the first directions, or random ones of the same energy."""


WAYS = ("recurrent", "all")
"""In which matrices the change is cut: the recurrent ones, or all eight."""


CHANGE_RANKS = (0, 1, 2, 4, 8, 16, 32, 64)
"""Ranks of the change of each matrix, or as many as it has."""


SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Fractions of its directions to which one matrix is cut."""


PARTS = ("validation", "test")
"""Where a cut is chosen, and where it is reported: every second image of the test part."""


_RANKS = ("effective", "stable", "half_directions", "most_directions")

AXES = {
    **{name: ("network", "kind", "layer") for name in _RANKS},
    **{name: ("network", "layer") for name in ("left", "size", "alpha", "alpha_long", "tail")},
    **{name: ("network", "layer") for name in ("energy", "largest")},
    "half_accuracy": ("network", "half"),
    **{name: ("network",) for name in ("validation_accuracy", "loss")},
    "full": ("cut_network", "part"),
    "reduced": ("cut_network", "kept", "matrix", "share", "part"),
    "carried": ("cut_network", "kept", "way", "rank"),
    **{f"permuted_{name}": ("permuted_network", "kind", "layer") for name in _RANKS},
    "permuted_size": ("permuted_network", "layer"),
    "permuted_loss": ("permuted_network",),
}
"""Axes of the published arrays, see ``measure``, ``cut`` and ``measure_permuted``."""


def publish(networks: int = 1000) -> None:
    """Measure what training changed in a thousand networks: ``results/changes``.

    Spectra are measured in all of them, cuts in the first ``CUT``; and ``PERMUTED`` networks are
    trained on permuted labels. The networks are those of ``thousand``, trained if they are not
    there.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    trained = classifiers.trained("thousand", networks, recipe, classifiers.HIDDEN, data)
    permuted = train_permuted(min(PERMUTED, networks), recipe, classifiers.HIDDEN, data)
    measured = {
        "network": classifiers.measured("changes", trained, measure, data),
        "cut_network": classifiers.measured("changes, cut", trained[:CUT], cut, data),
        "permuted_network": classifiers.measured(
            "changes, permuted", permuted, measure_permuted, data
        ),
    }
    arrays: disk.Arrays = {}
    for axis, every in measured.items():
        arrays |= results.stack([engine.load(kept).arrays for kept in every], AXES, axis)
    found = results.dataset(arrays, AXES, coordinates(arrays))
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    facts |= {"draws": DRAWS, "cut": CUT, "permuted": PERMUTED}
    jobs = engine.facts(trained, permuted, *measured.values())
    classifiers.publish_classifiers("changes", found, data, jobs, facts)


def coordinates(arrays: disk.Arrays) -> dict[str, Any]:
    """Return the coordinates of the arrays; a network is named by its seed."""
    sizes = {"network": "loss", "cut_network": "full", "permuted_network": "permuted_loss"}
    return {axis: np.arange(len(arrays[name])) for axis, name in sizes.items()} | {
        "kind": list(KINDS),
        "layer": list(LAYERS),
        "matrix": list(gates.MATRICES),
        "kept": list(KEPT),
        "way": list(WAYS),
        "rank": list(CHANGE_RANKS),
        "share": list(SHARES),
        "part": list(PARTS),
        "half": [0, 1],
    }


def measure(network: engine.Made, name: str, data_sha256: str) -> disk.Arrays:
    """Measure the spectra of a network, and how well it reads, as a job.

    Returns:
        What ``compare`` returns of each of ``LAYERS``; "half_accuracy" (half), of every second test
        image from the first and from the second; "validation_accuracy" and "loss", on training
        images, in the last epoch.
    """
    run = classifiers.unpack(network, name)
    assert run.labels is not None
    right = run.logits.argmax(axis=1) == run.labels
    read = {
        "half_accuracy": [right[half::2].mean() for half in (0, 1)],
        "validation_accuracy": run.metrics["history"]["accuracy"][-1],
        "loss": run.metrics["history"]["loss"][-1],
    }
    return compare_all(run) | disk.single(read)


def measure_permuted(network: engine.Made, name: str, data_sha256: str) -> disk.Arrays:
    """Measure what training on permuted labels changed, as a job.

    Returns:
        Ranks and size of ``compare``, and the loss of the last epoch, each with "permuted_" before
        its name.
    """
    run = classifiers.unpack(network, name)
    found = compare_all(run) | disk.single({"loss": run.metrics["history"]["loss"][-1]})
    return {f"permuted_{name}": found[name] for name in (*_RANKS, "size", "loss")}


def compare_all(run: runs.Run) -> disk.Arrays:
    """Compare each of ``LAYERS`` of a run with what it was before training, see ``compare``."""
    rng = np.random.default_rng(run.provenance["seed"])
    after, before = layers(runs.restore(run)), layers(runs.untrained(run))
    rows = [compare(rng, after[name], before[name]) for name in LAYERS]
    return results.stack(rows, results.without(AXES, "network"), "layer")


def layers(network: models.Network) -> dict[str, np.ndarray]:
    """Return the matrices of ``LAYERS`` of a classifier by name."""
    single = access.matrices(network)
    sides = {
        side: np.concatenate([single[f"{side} {gate}"] for gate in gates.GATES])
        for side in gates.SIDES
    }
    return {**single, **sides, "readout": access.readout(network).W}


def compare(rng: np.random.Generator, trained: np.ndarray, initial: np.ndarray) -> disk.Arrays:
    """Compare a matrix with what it was before training.

    Args:
        rng: source of the shuffles.
        trained: the matrix.
        initial: the same before training.

    Returns:
        Of the spectra of ``KINDS``, (kind): the "effective" and the "stable" rank, and how many
        directions hold half of the energy, "half_directions", and nine tenths of it,
        "most_directions". "left", the multiple of the initial matrix that is left; "size" of what
        was learnt, in units of the initial matrix, both by their Frobenius norms. Of the
        eigenvalues of W'W: their sum, "energy", the "largest", the exponent of their power law,
        "alpha", how many follow it, "tail", and the exponent where it has to hold for half of them,
        "alpha_long".
    """
    learnt = ranks.learnt(trained, initial)
    shuffled = controls.shuffled_spectrum(rng, learnt.rest, DRAWS)
    each = np.stack([svd.svd(trained).s, svd.svd(learnt.rest).s, shuffled])
    eigenvalues = np.square(each[0])
    tail = tails.fit(eigenvalues)
    found = {
        "effective": [ranks.effective_rank(s) for s in each],
        "stable": [ranks.stable_rank(s) for s in each],
        "left": learnt.kept,
        "size": np.linalg.norm(learnt.rest) / np.linalg.norm(initial),
        "energy": eigenvalues.sum(),
        "largest": eigenvalues[0],
        "alpha": tail.alpha,
        "alpha_long": tails.fit(eigenvalues, len(eigenvalues) // 2).alpha,
    }
    counts = {
        "half_directions": spectra.directions_for(each, 0.5),
        "most_directions": spectra.directions_for(each, 0.9),
        "tail": np.asarray(tail.size),
    }
    return disk.single(found) | {name: count.astype(np.uint8) for name, count in counts.items()}


def cut(network: engine.Made, name: str, data_sha256: str) -> disk.Arrays:
    """Cut the matrices of a network one by one, and what training has changed, as a job.

    Returns:
        What ``reduce`` and ``carry`` return.
    """
    run, data = classifiers.unpack(network, name), inputs.mnist(data_sha256)
    rng, model = np.random.default_rng(run.provenance["seed"]), runs.restore(run)
    trained, initial = access.matrices(model), access.matrices(runs.untrained(run))
    every_second = datasets.Split(*(array[::2] for array in data.test))
    parts = dict(zip(PARTS, (data.validation, every_second), strict=True))
    return disk.single(
        reduce(model, trained, parts, rng) | carry(model, trained, initial, every_second, rng)
    )


def reduce(
    model: models.Classifier,
    trained: gates.Matrices,
    parts: Mapping[str, datasets.Split],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Cut one matrix at a time to each of ``SHARES`` of its directions.

    Returns:
        Accuracies: "full" (part), with nothing cut; "reduced" (kept, matrix, share, part).
    """
    decomposed = ranks.decompose(trained)
    pairs = [
        cuts.to_ranks(rng, {name: part}, {name: max(1, round(share * len(part.s)))})
        for name, part in decomposed.items()
        for share in SHARES
    ]
    cells = [{**trained, **pair.first} for pair in pairs]
    cells += [{**trained, **pair.random} for pair in pairs]
    read = np.stack([accuracies(model, part, [trained, *cells]) for part in parts.values()], -1)
    shape = (len(KEPT), len(decomposed), len(SHARES), len(parts))
    return {"full": read[0], "reduced": read[1:].reshape(shape)}


def carry(
    model: models.Classifier,
    trained: gates.Matrices,
    initial: gates.Matrices,
    part: datasets.Split,
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Cut what training has added to the initial matrices to each of ``CHANGE_RANKS``.

    Returns:
        "carried" (kept, way, rank): the accuracy with the parts that are kept.
    """
    learnt = {name: ranks.learnt(trained[name], initial[name]) for name in trained}
    decomposed = ranks.decompose({name: learnt[name].rest for name in trained})
    cells: list[list[gates.Matrices]] = [[] for _ in KEPT]
    for way in WAYS:
        some = {name: part for name, part in decomposed.items() if way in ("all", name.split()[0])}
        for rank in CHANGE_RANKS:
            limits = {name: min(rank, len(part.s)) for name, part in some.items()}
            pair = cuts.to_ranks(rng, some, limits)
            for kept, changes in zip(cells, (pair.first, pair.random), strict=True):
                left = {n: learnt[n].kept * initial[n] + changes[n] for n in changes}
                kept.append({**trained, **left})
    read = accuracies(model, part, [*cells[0], *cells[1]])
    return {"carried": read.reshape(len(KEPT), len(WAYS), len(CHANGE_RANKS))}


def accuracies(
    model: models.Classifier, part: datasets.Split, cells: Sequence[gates.Matrices]
) -> np.ndarray:
    """Return the accuracy of a classifier with other matrices in its cell, one set at a time."""
    return gate_study.accuracy(gate_study.recalls(model, part, cells), part.labels)


def train_permuted(
    networks: int, recipe: training.Recipe, hidden: int, data: datasets.Dataset
) -> list[engine.Kept]:
    """Train networks on permuted labels on the engine, or find those that are trained."""
    settings = {"data_sha256": data.checksum, "hidden": hidden, "recipe": recipe._asdict()}
    jobs = [
        engine.Job(f"permuted-{seed}", train, {"seed": seed, **settings}, many="seed")
        for seed in range(networks)
    ]
    return engine.run("permuted", jobs)


def train(
    seed: Sequence[int], data_sha256: str, hidden: int, recipe: dict[str, Any]
) -> list[engine.Made]:
    """Train classifiers on permuted labels, as a job: one for each seed.

    The labels of the training part are dealt anew among its images, once for all networks.
    """
    data = inputs.mnist(data_sha256)
    labels = np.random.default_rng(0).permutation(data.train.labels)
    dealt = data._replace(train=data.train._replace(labels=labels))
    made = classifiers.fit_classifiers(
        dealt, seed, training.Recipe(**recipe), hidden, checkpoint=engine.checkpoint()
    )
    return [classifiers.pack(run) for run in made]
