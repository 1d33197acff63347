"""What a network is asked: the truth at the right frames, or a refusal in a sentence."""

import numpy as np
import pytest
from studies.yours import planting

from rnnatomy.networks import access
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.studies.yours import asked, looked

NORMAL = np.random.default_rng(7).normal


def test_a_label_for_each_sequence_is_asked_after_its_last_frame():
    given = planting.sequences()
    found = planting.ask(planting.elman(), given)
    task = found.task
    assert task.by_class and not found.predicts and found.notes == ()
    assert found.names == planting.NAMES
    np.testing.assert_array_equal(task.places[:, 0], np.arange(24))
    np.testing.assert_array_equal(task.places[:, 1], given.lengths - 1)
    np.testing.assert_array_equal(task.answers, given.labels)
    np.testing.assert_array_equal(task.answered, given.lengths)


def test_a_label_for_each_frame_is_asked_at_that_frame():
    inputs, lengths = planting.noise()
    labels = np.random.default_rng(0).integers(0, 3, (20, 7))
    labels[np.arange(7) >= lengths[:, None]] = 99  # what follows the end means nothing
    labels = np.where(labels == 99, 0, labels)
    network = planting.stacked(3, [5], 3, cell="gru", reads="each")
    task = planting.ask(network, planting.data(inputs, lengths, labels=labels)).task
    assert len(task.places) == lengths.sum() and task.by_class
    for (sequence, frame), answer in zip(task.places, task.answers, strict=True):
        assert frame < lengths[sequence] and answer == labels[sequence, frame]
    np.testing.assert_array_equal(
        task.true(np.arange(20), lengths - 1), labels[range(20), lengths - 1]
    )


def test_a_label_for_each_sequence_may_be_asked_at_each_frame():
    inputs, lengths = planting.noise()
    labels = np.arange(20) % 3
    network = planting.stacked(3, [5], 3, cell="gru", reads="each")
    task = planting.ask(network, planting.data(inputs, lengths, labels=labels)).task
    np.testing.assert_array_equal(task.answers, np.repeat(labels, lengths))


def test_targets_of_each_sequence_or_of_each_frame():
    inputs, lengths = planting.noise()
    for reads, shape in {"mean": (20, 2), "each": (20, 7, 2)}.items():
        targets = NORMAL(size=shape).astype(np.float32)
        network = planting.stacked(3, [5], 2, cell="gru", reads=reads)
        found = planting.ask(network, planting.data(inputs, lengths, targets=targets))
        sequence, frame = found.task.places.T
        expected = targets[sequence, frame] if reads == "each" else targets
        np.testing.assert_array_equal(found.task.answers, expected)
        assert not found.task.by_class and not found.predicts
        assert found.names == ("output 0", "output 1")
        assert len(sequence) == (lengths.sum() if reads == "each" else 20)


def test_names_of_outputs_are_taken_if_there_are_as_many():
    inputs, lengths = planting.noise()
    given = planting.data(inputs, lengths, targets=NORMAL(size=(20, 2)).astype(np.float32))
    network = planting.stacked(3, [5], 2, cell="gru")
    assert planting.ask(network, given._replace(names=("x", "y"))).names == ("x", "y")
    assert planting.ask(network, given._replace(names=("x",))).names == ("output 0", "output 1")


def test_names_beyond_the_classes_of_the_network_are_left_out():
    given = planting.sequences()._replace(names=(*planting.NAMES, "e", "f"))
    assert planting.ask(planting.elman(), given).names == planting.NAMES
    network = planting.stacked(4, [4], 4, cell="elman", reads="each")
    assert planting.ask(network, given).names == planting.NAMES


def test_with_neither_labels_nor_targets_the_next_frame_is_asked_for():
    inputs, lengths = planting.noise()
    lengths = np.maximum(lengths, 2)
    network = planting.stacked(3, [5], 3, cell="gru", reads="each")
    found = planting.ask(network, planting.data(inputs, lengths))
    task = found.task
    assert found.predicts and "asked for the frame that follows" in found.notes[0]
    np.testing.assert_array_equal(task.answered, lengths - 1)
    assert len(task.places) == (lengths - 1).sum()
    sequence, frame = task.places.T
    assert (frame + 1 < lengths[sequence]).all()
    np.testing.assert_array_equal(task.answers, task.inputs[sequence, frame + 1])


def test_one_output_tells_two_classes_apart_by_its_sign():
    inputs, lengths = planting.noise()
    network = planting.stacked(3, [5], 1, cell="elman")
    given = planting.data(inputs, lengths, labels=np.arange(20) % 2)
    found = planting.ask(network, given, "sigmoid")
    assert found.names == ("0", "1") and found.task.by_class
    run = looked.run(network, found.task)
    W, b = access.readout(network)
    z = (run.read @ W.T + b)[:, 0]
    assert run.outputs.shape == (20, 2) and 0 < (z > 0).sum() < 20
    np.testing.assert_array_equal(run.outputs.argmax(axis=1), z > 0)
    # and the odds are the same
    np.testing.assert_allclose(run.outputs[:, 1] - run.outputs[:, 0], z, rtol=1e-5, atol=1e-6)
    before_the_sigmoid = planting.ask(network, given, "logits")
    np.testing.assert_array_equal(before_the_sigmoid.task.answers, found.task.answers)
    with pytest.raises(ForeignError, match="labels go to 2: give 5 of each of the 2 classes"):
        planting.ask(network, given._replace(labels=np.arange(20) % 3))


def test_sequences_of_one_frame_can_be_told_apart():
    labels = np.arange(20) % 2
    network = planting.stacked(3, [5], 2, cell="gru")
    task = planting.ask(network, planting.data(NORMAL(size=(20, 1, 3)), labels=labels)).task
    assert not task.places[:, 1].any() and (task.answered == 1).all()


def test_labels_that_are_no_outputs_give_way_to_targets():
    inputs, lengths = planting.noise()
    targets = NORMAL(size=(20, 2)).astype(np.float32)
    network = planting.stacked(3, [5], 2, cell="gru")
    given = planting.data(inputs, lengths, labels=np.arange(20) % 3, targets=targets)
    assert not planting.ask(network, given).task.by_class
    assert planting.ask(network, given._replace(labels=np.arange(20) % 2)).task.by_class


def test_of_many_sequences_some_of_each_class_are_looked_at(monkeypatch):
    monkeypatch.setattr(asked, "MOST", 21)
    given = planting.sequences()
    found = planting.ask(planting.elman(), given)
    task = found.task
    assert np.bincount(task.truth).tolist() == [5] * 4
    assert found.notes == ("Of 24 sequences, 20 drawn at random are looked at.",)
    for frames, length, label in zip(task.inputs, task.lengths, task.truth, strict=True):
        same = (given.inputs == frames).all(axis=(1, 2))
        assert given.labels[same].tolist() == [label] and given.lengths[same] == length


def test_of_many_sequences_with_targets_as_many_are_looked_at(monkeypatch):
    monkeypatch.setattr(asked, "MOST", 13)
    inputs, lengths = planting.noise()
    targets = np.where((np.arange(7) < lengths[:, None])[..., None], inputs[..., :2], 0)
    network = planting.stacked(3, [5], 2, cell="gru", reads="each")
    task = planting.ask(network, planting.data(inputs, lengths, targets=targets)).task
    assert len(task.inputs) == 13
    np.testing.assert_array_equal(task.truth, task.inputs[..., :2])
    assert (task.inputs[np.arange(13), task.lengths - 1] != 0).all()


def test_of_many_answers_some_are_looked_at(monkeypatch):
    monkeypatch.setattr(asked, "MOST_ANSWERS", 9)
    inputs, lengths = planting.noise()
    targets = NORMAL(size=(20, 7, 2)).astype(np.float32)
    network = planting.stacked(3, [5], 2, cell="gru", reads="each")
    found = planting.ask(network, planting.data(inputs, lengths, targets=targets))
    assert found.notes == (f"Of {lengths.sum()} answers, 9 are looked at.",)
    assert len(np.unique(found.task.places, axis=0)) == 9
    assert (found.task.places[:, 1] < lengths[found.task.places[:, 0]]).all()
    rare = np.zeros((20, 7), int)
    rare[0, 1:6] = 1
    with pytest.raises(ForeignError, match="class 1 is too rare among the frames"):
        planting.ask(planting.stacked(3, [5], 2, cell="gru", reads="each"),
                     planting.data(inputs, lengths, labels=rare))  # fmt: skip


def of_classes(classes, **options):
    return planting.stacked(4, [5], classes, cell="gru", **options)


LABELLED = planting.sequences()
EVERY = np.zeros((24, 6), int)
REFUSED = {
    "no data": (of_classes(4), None, "there are no sequences: give a data file"),
    "no labels": (of_classes(4), LABELLED._replace(labels=None), "no labels or targets: add"),
    "too few of a class": (of_classes(5), LABELLED, "of class 4 there are 0 sequences"),
    "labels beyond": (of_classes(3), LABELLED, "labels go to 3: give 5 of each of the 3 classes"),
    "300 classes": (of_classes(300), LABELLED, "the readout has 300 classes: give 2 to 256"),
    "a label for each frame": (
        of_classes(4),
        LABELLED._replace(labels=EVERY),
        "labels are given for each frame, and the network answers once",
    ),
    "too few frames of a class": (
        of_classes(4, reads="each"),
        LABELLED._replace(labels=EVERY),
        "of class 1 there are 0 frames",
    ),
    "another width of frames": (
        planting.stacked(3, [5], 4, cell="gru"),
        LABELLED,
        "inputs have 4 numbers in a frame, the network reads 3",
    ),
}


@pytest.mark.parametrize(("network", "given", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_asked_is_refused(network, given, message):
    with pytest.raises(ForeignError, match=message):
        planting.ask(network, given)


def with_targets(*shape, still=None):
    targets = NORMAL(size=shape).astype(np.float32)
    if still is not None:
        targets[..., still] = 0.3
    return LABELLED._replace(labels=None, targets=targets)


NUMBERS = {
    "constant": (of_classes(2), with_targets(24, 2, still=1), "target 1 never changes"),
    "constant, each": (
        of_classes(2, reads="each"),
        with_targets(24, 6, 2, still=0),
        "target 0 never changes",
    ),
    "as many": (of_classes(2), with_targets(24, 3), "gives 2 numbers for each sequence: give"),
    "for each frame": (of_classes(2), with_targets(24, 6, 2), "gives 2 numbers for each sequence"),
    "for each sequence": (
        of_classes(2, reads="each"),
        with_targets(24, 2),
        "gives 2 numbers at each frame: give as many",
    ),
    "too many": (of_classes(300), with_targets(24, 300), "300 outputs: give 256 at most"),
}


@pytest.mark.parametrize(("network", "given", "message"), NUMBERS.values(), ids=NUMBERS)
def test_targets_that_do_not_fit_are_refused(network, given, message):
    with pytest.raises(ForeignError, match=message):
        planting.ask(network, given)


def test_few_sequences_with_targets_are_refused():
    given = with_targets(24, 2)
    parts = {name: getattr(given, name)[:9] for name in ("inputs", "lengths", "targets")}
    with pytest.raises(ForeignError, match="there are 9 sequences: give 10 at least"):
        planting.ask(of_classes(2), given._replace(**parts))


@pytest.mark.parametrize("output", ["sigmoid", "softmax", "log-softmax"])
def test_targets_are_no_probabilities(output):
    with pytest.raises(ForeignError, match=f"go through a {output}, and targets are numbers"):
        planting.ask(of_classes(2), with_targets(24, 2), output)


def test_after_a_sequence_of_one_frame_none_follows():
    inputs, lengths = planting.noise()
    lengths[3] = 1
    network = planting.stacked(3, [5], 3, cell="gru", reads="each")
    with pytest.raises(ForeignError, match=r"sequence \d+ is of one frame, after which none"):
        planting.ask(network, planting.data(inputs, lengths))
