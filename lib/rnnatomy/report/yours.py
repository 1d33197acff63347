"""A network from elsewhere, asked what the chapters ask ours: arrays and rows for its page."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import controls, cutoffs, maps, pod, ranks, separability, svd
from rnnatomy.networks import access, autonomous, models
from rnnatomy.networks.foreign import load, owner, ways
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.report import tables

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Of a sequence, after which it is asked whether its class can be read."""

ENERGY = 0.95
"""Share of the energy of states that modes are to hold."""

STARTS = 37
"""Sequences, or a few more, after which a network is left alone."""


MOST = 2000
"""Sequences that are looked at, however many there are."""

LOST = 0.1
"""Recall below which a class counts as lost."""

MOST_FILES = 50
"""Checkpoints that are compared."""

FOLDS = 5
"""Parts of a cross-validation, each of which has to have every class."""


def sequences(mine: load.Foreign, rng: np.random.Generator) -> owner.Owner:
    """Return sequences of a network's owner, ``MOST`` at most, if this page can be made of them.

    Args:
        mine: from ``load.load``.
        rng: source of those that are drawn, the same share of each class, if there are more.

    Raises:
        ForeignError: if the network is no classifier that answers after the last frame, or there
            are no labels, too many classes, or too few sequences of one.
    """
    config, data = mine.network.config, mine.data
    most = cutoffs.MOST_MODES
    if config["reads"] != "last" or config["both_ways"]:
        raise ForeignError(
            f"the readout reads {config['reads']}{', both ways' * config['both_ways']}: this page "
            "is for networks that read forwards and answer after the last frame."
        )
    if data is None or data.labels is None:
        raise ForeignError("there are no labels: add them to the data file, one for each sequence.")
    if not 2 <= config["classes"] <= most:
        raise ForeignError(f"the readout has {config['classes']} classes: give 2 to {most}.")
    counts = np.bincount(data.labels, minlength=config["classes"])
    if len(counts) > config["classes"] or counts.min() < FOLDS:
        raise ForeignError(
            f"of class {int(counts.argmin())} there are {counts.min()} sequences, and labels go to "
            f"{len(counts) - 1}: give {FOLDS} of each of the {config['classes']} classes."
        )
    return _some(data, data.labels, rng)


def _some(
    data: owner.Owner, labels: Int[np.ndarray, " sample"], rng: np.random.Generator
) -> owner.Owner:
    """Draw sequences, the same share of each class but ``FOLDS`` at least, if there are many."""
    if len(labels) <= MOST:
        return data
    kept = []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        kept.append(rows[: max(FOLDS, len(rows) * MOST // len(labels))])
    chosen = np.sort(np.concatenate(kept))
    inputs, lengths = data.inputs[chosen], data.lengths[chosen]
    note = f"Of {len(labels):,} sequences, {len(chosen):,} drawn at random are looked at."
    notes = (*data.notes, note)
    return data._replace(inputs=inputs, lengths=lengths, labels=labels[chosen], notes=notes)


class Run(NamedTuple):
    """A network and what it makes of sequences.

    Attributes:
        network: as one of ours.
        states: of its last layer, after every frame.
        last: those after the last frame of each sequence.
        readout: its output layer.
        parts: of that.
    """

    network: models.Stacked
    states: Float[np.ndarray, "sample time hidden"]
    last: Float[np.ndarray, "sample hidden"]
    readout: access.Readout
    parts: svd.SVD


def run(network: models.Stacked, data: owner.Owner) -> Run:
    """Let a network read sequences.

    Args:
        network: from ``load.load``.
        data: the sequences.
    """
    states = ways.states(network, data.inputs, data.lengths)
    last = states[np.arange(len(states)), data.lengths - 1]
    readout = access.readout(network)
    return Run(network, states, last, readout, svd.svd(readout.W))


def facts(mine: load.Foreign) -> list[list[str]]:
    """Return rows that say what a network is.

    Args:
        mine: with sequences.
    """
    assert mine.data is not None
    config, lengths = mine.network.config, mine.data.lengths
    count = sum(array.size for array in access.flatten(mine.network).values())
    units = " and ".join(map(str, config["hidden"]))
    return [
        ["file", mine.kind],
        ["cell, units", f"{config['cell']}, {units}{', both ways' * config['both_ways']}"],
        ["numbers in its arrays", f"{count:,}"],
        ["sequences", f"{len(lengths)}, of {lengths.min()} to {lengths.max()} frames"],
        ["numbers in a frame", str(config["feature"])],
        ["classes", str(config["classes"])],
    ]


def short(names: Sequence[str], most: int = 8) -> list[str]:
    """Return names of classes as they fit beside a figure: their last word, or their number.

    Args:
        names: in any alphabet; a dollar sign begins no mathematics.
        most: letters.
    """
    words = [(name.split() or [name])[-1][:most] for name in names]
    if len(set(words)) < len(words):
        words = [str(k) for k in range(len(names))]
    return [word.replace("$", r"\$") for word in words]


def single(found: Run, labels: Int[np.ndarray, " sample"]) -> Float[np.ndarray, "mode class"]:
    """Return the recall of each class without each direction of the readout.

    Args:
        found: a network and its states.
        labels: of the sequences, each class at least once.
    """
    return cutoffs.cutoffs(found.parts, found.readout.b, found.last, labels).single


def stable_ranks(
    found: Run, rng: np.random.Generator, draws: int = 20
) -> dict[str, tuple[str, float, float]]:
    """Return the stable rank of each matrix of the last layer, and with its entries shuffled.

    Args:
        found: a network.
        rng: source of the shuffling.
        draws: how many are averaged.

    Returns:
        By the name of the matrix: its shape in words, its rank, that of chance.
    """
    table = {}
    for name, matrix in access.matrices(found.network, found.network.RECURRENT[-1]).items():
        chance = controls.shuffled_spectrum(rng, matrix, draws)
        own = ranks.stable_rank(svd.svd(matrix).s)
        table[name] = " x ".join(map(str, matrix.shape)), own, ranks.stable_rank(chance)
    return table


def readable(
    trained: Run, control: Run, data: owner.Owner
) -> dict[str, Float[np.ndarray, " share"]]:
    """Ask five readers for the class after each of ``SHARES`` of each sequence.

    Args:
        trained: the network, whose readout reads the last state.
        control: another of the same size.
        data: the sequences, with labels.

    Returns:
        Shares read rightly by the network's own readout; and by logistic regression, cross-
        validated, from either network's state, from the frame, and from the mean of all frames.
    """
    labels, each = data.labels, np.arange(len(data.lengths))
    assert labels is not None
    until = np.maximum(np.ceil(np.outer(SHARES, data.lengths)), 1).astype(int) - 1
    sums = np.cumsum(data.inputs, axis=1, dtype=np.float64)
    W, b = trained.readout

    def line(points: np.ndarray) -> float:
        return separability.probe(points, labels, each, FOLDS)

    asked = {
        "its own readout": [
            np.mean((trained.states[each, t] @ W.T + b).argmax(axis=1) == labels) for t in until
        ],
        "a line, its state": [line(trained.states[each, t]) for t in until],
        "a line, the control's state": [line(control.states[each, t]) for t in until],
        "a line, the frame": [line(data.inputs[each, t]) for t in until],
        "a line, the mean frame": [line(sums[each, t] / (t + 1)[:, None]) for t in until],
    }
    return {name: np.asarray(shares, np.float64) for name, shares in asked.items()}


def modes(found: Run, data: owner.Owner) -> pod.POD:
    """Return the modes of all states on the way, what follows the end of a sequence left out.

    Args:
        found: a network and its states.
        data: the sequences.
    """
    counts = np.arange(found.states.shape[1]) < data.lengths[:, None]
    return pod.pod(found.states[counts], centred=True)


class Ends(NamedTuple):
    """Where a network ends that is fed one frame for ever.

    Attributes:
        sets: what it ends in.
        answers: the class that it names there.
    """

    sets: maps.LimitSets
    answers: Int[np.ndarray, " set"]


def ends(
    network: models.Stacked, data: owner.Owner, frame: Float[np.ndarray, " feature"], steps: int
) -> Ends:
    """Feed a network one frame for ever, after some of the sequences.

    Args:
        network: one that reads forwards.
        data: the sequences.
        frame: what it is fed.
        steps: after which it is looked at, and again after as many.
    """
    alone = autonomous.driven(network, frame)
    some = range(0, len(data.lengths), max(1, len(data.lengths) // STARTS))
    starts = [alone.start(data.inputs[k : k + 1, : data.lengths[k]]) for k in some]
    sets = maps.limit_sets(alone.step, np.concatenate(starts), steps, count=2)
    return Ends(sets, alone.outputs(sets.orbits[:, -1]).argmax(axis=-1))


def mean_frame(data: owner.Owner) -> Float[np.ndarray, " feature"]:
    """Return the mean of all frames."""
    counts = np.arange(data.inputs.shape[1]) < data.lengths[:, None]
    return data.inputs[counts].astype(np.float64).mean(axis=0)


def ends_rows(found: dict[str, Ends], names: Sequence[str], most: int = 6) -> list[list[str]]:
    """Return rows that say where networks end, the commonest places first.

    Args:
        found: by name.
        names: of the classes.
        most: places of each network.
    """
    return [
        [
            name,
            sets.names[k],
            f"{sets.shares[k]:.2f}",
            tables.plain(names[answers[k]]),
            f"{rate:.4f}",
        ]
        for name, (sets, answers) in found.items()
        for k, rate in enumerate(sets.exponents[:most, 0])
    ]


def checkpoints(folder: Path) -> list[Path]:
    """Return the weight files of a folder, in the order of their names, as people count.

    Args:
        folder: such as one of the checkpoints of a training.

    Raises:
        ForeignError: if there are none, or more than ``MOST_FILES``.
    """
    kept = [path for path in folder.iterdir() if path.suffix.lower() in load.READERS]
    if not 1 <= len(kept) <= MOST_FILES:
        raise ForeignError(
            f"{folder.name!r} holds {len(kept)} weight files: give a folder of 1 to {MOST_FILES}."
        )
    return sorted(kept, key=lambda path: ways.found.natural(path.name))


def course(
    runs: dict[str, Run], data: owner.Owner, labels: Int[np.ndarray, " sample"]
) -> list[list[str]]:
    """Return a row for each of several networks: what of this page holds for it.

    Args:
        runs: by name, such as checkpoints of a training.
        data: the sequences.
        labels: of these.
    """
    rows = []
    for name, found in runs.items():
        right = np.mean((found.last @ found.readout.W.T + found.readout.b).argmax(1) == labels)
        ranked = stable_ranks(found, np.random.default_rng(0), draws=1)
        recurrent = [own for key, (_, own, _) in ranked.items() if key.startswith("recurrent")]
        blind = svd.cosines_with_constant(found.parts).max()
        kept, needed = pod.modes_for(modes(found, data), ENERGY), single(found, labels)
        row = [f"{right:.3f}", f"{found.parts.s[0]:.2f}", f"{blind:.2f}"]
        lost = int((needed < LOST).any(axis=0).sum())
        rows.append([name, *row, str(lost), f"{np.mean(recurrent):.1f}", str(kept)])
    return rows
