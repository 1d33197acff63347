"""What a network from elsewhere is asked: its owner's sequences, and what it should answer."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from rnnatomy.networks.foreign import load, owner
from rnnatomy.networks.foreign.raw import ForeignError

MOST = 2000
"""Sequences that are looked at, however many there are."""

MOST_ANSWERS = 4000
"""Answers that are looked at, if there is one for each frame."""

MOST_CLASSES, MOST_OUTPUTS = 256, 256
"""Of a network that this page can be made of."""

FOLDS = 5
"""Parts of a cross-validation, each of which has to have every class."""


class Task(NamedTuple):
    """Sequences, and what is true of them.

    Attributes:
        inputs: (sample, time, feature).
        lengths: frames of each.
        truth: classes by number, (sample,) or (sample, time); or targets, (sample, out) or (sample,
            time, out).
        answered: frames of each sequence at which an answer can be judged, from the first on.
        places: sequence and frame of each answer that is looked at.
    """

    inputs: np.ndarray
    lengths: np.ndarray
    truth: np.ndarray
    answered: np.ndarray
    places: np.ndarray

    @property
    def by_class(self) -> bool:
        """Whether an answer is a class."""
        return self.truth.dtype.kind == "i"

    @property
    def answers(self) -> np.ndarray:
        """What is true at the places that are looked at: (answer,), or (answer, out)."""
        return self.true(*self.places.T)

    def true(self, sequence: np.ndarray, frame: np.ndarray) -> np.ndarray:
        """Return what is true of sequences at some frames."""
        each = self.truth.ndim == (2 if self.by_class else 3)
        return self.truth[sequence, frame] if each else self.truth[sequence]


class Asked(NamedTuple):
    """A task and its words.

    Attributes:
        task: what is asked.
        names: of the classes or outputs.
        predicts: whether an answer is the frame that follows.
        notes: what was chosen, a sentence each.
    """

    task: Task
    names: tuple[str, ...]
    predicts: bool
    notes: tuple[str, ...]


def ask(mine: load.Foreign, rng: np.random.Generator) -> Asked:
    """Take what a network is asked from its owner's data, ``MOST`` sequences at most.

    Labels make a network one that tells classes apart. Targets make it one that answers with
    numbers. With neither, a network that answers each frame with as many numbers as a frame has is
    asked for the frame that follows.

    Args:
        mine: from ``load.load``.
        rng: source of the sequences that are drawn, the same share of each class, if there are
            more.

    Raises:
        ForeignError: if there is nothing to hold its answers against, or too little, or it is no
            network that this is for.
    """
    data, config = mine.data, mine.network.config
    if data is None:
        raise ForeignError("there are no sequences: give a data file with inputs and labels.")
    if data.inputs.shape[2] != config["feature"]:
        raise ForeignError(
            f"inputs have {data.inputs.shape[2]} numbers in a frame, the network reads "
            f"{config['feature']}: give inputs as they come to its first recurrent layer."
        )
    labels = data.labels is not None and _tells_classes(mine, data)
    if labels:
        return _classes(mine, data, rng)
    predicts = data.targets is None and config["reads"] == "each"
    predicts &= config["classes"] == config["feature"]
    if data.targets is None and not predicts:
        raise ForeignError(
            "there are no labels or targets: add labels, a class for each sequence, or targets, "
            "shaped as outputs, to the data file."
        )
    return _values(mine, data, rng, predicts)


def _tells_classes(mine: load.Foreign, data: owner.Owner) -> bool:
    """Say whether labels are what its outputs stand for."""
    count = _class_count(mine)
    return data.targets is None or (data.labels is not None and int(data.labels.max()) < count)


def _class_count(mine: load.Foreign) -> int:
    """Return how many classes a readout tells apart; one number stands for two, by its sign."""
    count = mine.network.config["classes"]
    return 2 if count == 1 and mine.proof.way.output in ("sigmoid", "logits") else count


def _classes(mine: load.Foreign, data: owner.Owner, rng: np.random.Generator) -> Asked:
    """Take labels, if there are enough of each class."""
    assert data.labels is not None
    count, labels = _class_count(mine), data.labels
    if labels.ndim == 2 and mine.network.config["reads"] != "each":
        raise ForeignError(
            "labels are given for each frame, and the network answers once: give one label for "
            "each sequence."
        )
    if not 2 <= count <= MOST_CLASSES:
        raise ForeignError(f"the readout has {count} classes: give 2 to {MOST_CLASSES}.")
    each = np.arange(data.inputs.shape[1]) < data.lengths[:, None]
    held = labels if labels.ndim == 1 else labels[each]
    numbers = np.bincount(held, minlength=count)
    if len(numbers) > count or numbers.min() < FOLDS:
        what = "sequences" if labels.ndim == 1 else "frames"
        raise ForeignError(
            f"of class {int(numbers.argmin())} there are {numbers.min()} {what}, and labels go to "
            f"{len(numbers) - 1}: give {FOLDS} of each of the {count} classes."
        )
    data, notes = _some(data, labels if labels.ndim == 1 else None, rng)
    assert data.labels is not None
    names = (data.names or tuple(map(str, range(count))))[:count]
    return _asked(mine, data, data.labels, data.lengths, names, notes)


def _values(
    mine: load.Foreign, data: owner.Owner, rng: np.random.Generator, predicts: bool
) -> Asked:
    """Take targets, or the frames that follow."""
    config = mine.network.config
    if mine.proof.way.output != "logits":
        raise ForeignError(
            f"the answers go through a {mine.proof.way.output}, and targets are numbers: give "
            "labels, or a network whose readout ends linearly."
        )
    data, notes = _some(data, None, rng)
    if predicts:
        notes += ("Neither labels nor targets are given: it is asked for the frame that follows.",)
        follows = np.zeros_like(data.inputs)
        follows[:, :-1] = data.inputs[:, 1:]
        targets, until = follows, data.lengths - 1
        if not (until > 0).all():
            raise ForeignError(
                f"sequence {int(until.argmin())} is of one frame, after which none follows: give "
                "longer ones, or targets."
            )
    else:
        assert data.targets is not None
        targets, until = data.targets, data.lengths
    wanted = 3 if config["reads"] == "each" else 2
    if targets.ndim != wanted or targets.shape[-1] != config["classes"]:
        raise ForeignError(
            f"targets have shape {targets.shape}, the network gives {config['classes']} numbers "
            f"{'at each frame' if wanted == 3 else 'for each sequence'}: give as many."
        )
    if config["classes"] > MOST_OUTPUTS:
        raise ForeignError(
            f"the readout has {config['classes']} outputs: give {MOST_OUTPUTS} at most."
        )
    if len(targets) < 2 * FOLDS:
        raise ForeignError(f"there are {len(targets)} sequences: give {2 * FOLDS} at least.")
    names = data.names if data.names and len(data.names) == config["classes"] else None
    words = names or tuple(f"output {k}" for k in range(config["classes"]))
    found = _asked(mine, data, targets, until, words, notes)
    still = np.flatnonzero(np.ptp(found.task.answers, axis=0) == 0)
    if len(still):
        raise ForeignError(
            f"target {still[0]} never changes, so nothing of it can be explained: leave that "
            "output out, or give other sequences."
        )
    return found._replace(predicts=predicts)


def _asked(
    mine: load.Foreign,
    data: owner.Owner,
    truth: np.ndarray,
    until: np.ndarray,
    names: tuple[str, ...],
    notes: tuple[str, ...],
) -> Asked:
    """Choose the answers that are looked at."""
    if mine.network.config["reads"] != "each":
        places = np.stack([np.arange(len(until)), data.lengths - 1], axis=1)
    else:
        places = np.argwhere(np.arange(data.inputs.shape[1]) < until[:, None])
        chosen = np.linspace(0, len(places) - 1, min(len(places), MOST_ANSWERS)).astype(int)
        if len(chosen) < len(places):
            notes += (f"Of {len(places):,} answers, {len(chosen):,} are looked at.",)
        places = places[chosen]
        count = len(names)
        if truth.dtype.kind == "i":
            task = Task(data.inputs, data.lengths, truth, until, places)
            missing = np.flatnonzero(np.bincount(task.answers, minlength=count) == 0)
            if len(missing):
                raise ForeignError(
                    f"class {missing[0]} is too rare among the frames that are looked at: give "
                    "sequences with more of it, or leave it out."
                )
    return Asked(Task(data.inputs, data.lengths, truth, until, places), names, False, notes)


def _some(
    data: owner.Owner, labels: Int[np.ndarray, " sample"] | None, rng: np.random.Generator
) -> tuple[owner.Owner, tuple[str, ...]]:
    """Draw sequences, the same share of each class but ``FOLDS`` at least, if there are many."""
    count = len(data.inputs)
    if count <= MOST:
        return data, ()
    kept = []
    groups = np.zeros(count, int) if labels is None else labels
    for label in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == label))
        kept.append(rows[: max(FOLDS, len(rows) * MOST // count)])
    chosen = np.sort(np.concatenate(kept))
    note = f"Of {count:,} sequences, {len(chosen):,} drawn at random are looked at."
    picked: Any = {
        name: None if array is None else array[chosen]
        for name, array in (("labels", data.labels), ("targets", data.targets))
    }
    inputs, lengths = data.inputs[chosen], data.lengths[chosen]
    return data._replace(inputs=inputs, lengths=lengths, **picked), (note,)
