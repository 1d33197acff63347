"""What hangs on directions of a readout, where it was planted."""

import numpy as np
import pytest
from studies.yours import planting

from rnnatomy.analysis import controls, explained, svd
from rnnatomy.networks import access
from rnnatomy.studies import questions
from rnnatomy.studies.yours import asked, looked, readout


def rng():
    return np.random.default_rng(0)


def of(run, task):
    return readout.of_readout(run, task, rng())


def many(classes=15, hidden=20, each=6):
    """Class c is read by direction c alone; class 0 is what an empty readout answers."""
    axes = np.linalg.qr(rng().normal(size=(hidden, hidden)))[0][:classes]
    W = np.linspace(9, 5, classes)[:, None] * axes
    labels = np.tile(np.arange(classes), each)
    network = planting.zero(
        planting.stacked(3, [hidden], classes, cell="elman"),
        **{"readout.kernel": W.T, "readout.bias": 0.5 * np.eye(classes)[0]},
    )
    places = np.stack([np.arange(len(labels)), np.zeros(len(labels), int)], axis=1)
    one = np.ones(len(labels), int)
    task = asked.Task(np.zeros((len(labels), 1, 3), np.float32), one, labels, one, places)
    layer = access.readout(network)
    states = axes[labels].astype(np.float32)
    return looked.Run(network, states[:, None], states, layer, svd.svd(layer.W)), task


def test_classes_on_one_direction_are_lost_with_it_and_no_other():
    task, run = planting.planted()
    found = of(run, task)
    assert found["single"][0, :2].max() < readout.LOST and found["single"][0, 2:].min() == 1
    assert found["single"][1:, :2].min() == 1
    lost = readout.lost(found["single"], found["full"])
    assert lost[:2].all() and found["full"].tolist() == [1] * 4
    np.testing.assert_array_equal(found["outputs"], run.outputs)
    np.testing.assert_allclose(abs(found["left"][:2, 0]), [0.5**0.5] * 2, atol=0.05)
    # softmax does not see the constant vector, and this readout does not write along it
    assert found["single"].shape == found["worth"].shape == (4, 4)


def test_worth_is_shared_out_and_exact_for_few_classes():
    task, run = planting.planted()
    found = of(run, task)
    assert not found["worth_errors"].any()
    sums = found["worth"].sum(axis=0)
    np.testing.assert_allclose(sums, found["full"] - found["nested"][0], atol=1e-12)
    assert found["nested"].shape == (5, 4) and found["pairs"].shape == (3, 4)
    assert found["random"].shape == (questions.BASES, 3, 4)
    assert found["random_pairs"].shape == (questions.BASES, 3, 4)
    assert found["worth"][0, :2].min() > 0.3


def test_a_direction_that_is_cut_is_a_direction_less():
    task, run = planting.planted()
    found = of(run, task)
    for k, row in enumerate(found["single"]):
        W = svd.compose(svd.without(run.parts, k + 1))
        expected = looked.scores(run.read @ W.T + run.readout.b, task.answers)
        np.testing.assert_array_equal(row, expected)


def test_of_many_classes_worth_is_sampled():
    run, task = many()
    found = of(run, task)
    expected = np.eye(15)
    expected[0, 0] = 0
    np.testing.assert_allclose(found["worth"], expected, atol=1e-12)
    assert found["random"].shape == (readout.FEW_BASES, 14, 15)
    assert "pairs" not in found and "random_pairs" not in found
    assert readout.lost(found["single"], found["full"])[1:].all()


def test_sampled_worth_has_errors_and_its_sums_are_exact():
    run, task = many()
    noise = rng().normal(size=run.read.shape).astype(np.float32)
    run = run._replace(read=run.read + 0.4 * noise)
    found = of(run, task)
    assert found["worth_errors"].shape == (15, 15) and found["worth_errors"].max() > 0
    sums = found["worth"].sum(axis=0)
    np.testing.assert_allclose(sums, found["full"] - found["nested"][0], atol=1e-12)


def test_random_directions_of_many_classes_are_taken_off_one_by_one(monkeypatch):
    run, task = many()
    basis = controls.random_left_vectors(rng(), 15)[:, :-1]
    monkeypatch.setattr(questions, "random_bases", lambda *_: basis[None])
    found = of(run, task)["random"]
    for k, q in enumerate(basis.T):
        W = run.readout.W - np.outer(q, q) @ run.readout.W
        expected = looked.scores(run.read @ W.T + run.readout.b, task.answers)
        np.testing.assert_array_equal(found[0, k], expected)


def numbers():
    """Output k is carried by unit k alone, and explains all but noise."""
    inputs, _ = planting.noise(40, 3)
    network = planting.zero(
        planting.stacked(3, [3], 3, cell="elman"),
        **{"layer_0.dense_i.kernel": np.eye(3), "readout.kernel": np.diag([4, 3, 2])},
    )
    targets = np.tanh(inputs[:, -1]) * [4, 3, 2] + 0.01 * rng().normal(size=(40, 3))
    given = planting.data(inputs, targets=targets.astype(np.float32))
    task = planting.ask(network, given).task
    return looked.run(network, task), task


def test_an_output_hangs_on_the_direction_that_was_planted_for_it():
    run, task = numbers()
    found = of(run, task)
    assert found["full"].min() > 0.99
    np.testing.assert_allclose(found["single"], 1 - np.eye(3), atol=0.2)
    np.testing.assert_array_equal(readout.lost(found["single"], found["full"]), [True] * 3)
    expected = explained.r_squared(run.outputs, task.answers)
    np.testing.assert_allclose(found["full"], expected)
    assert found["random"].shape == (questions.BASES, 3, 3)
    assert {"worth", "pairs", "nearest_constant"}.isdisjoint(found)


def test_one_number_is_asked_too():
    task = numbers()[1]
    network = planting.with_arrays(
        planting.stacked(3, [3], 1, cell="elman"), **{"readout.kernel": [[4], [3], [2]]}
    )
    targets = task.inputs[:, 0, :1]
    task = planting.ask(network, planting.data(task.inputs, targets=targets)).task
    found = of(looked.run(network, task), task)
    assert found["single"].shape == (1, 1) and found["random"].shape == (questions.BASES, 1, 1)


def test_one_output_that_tells_two_classes_apart_has_one_direction():
    inputs, lengths = planting.noise(40)
    labels = (inputs[np.arange(40), lengths - 1, 0] > 0).astype(int)
    network = planting.zero(
        planting.stacked(3, [3], 1, cell="elman"),
        **{"layer_0.dense_i.kernel": np.eye(3), "readout.kernel": [[5], [0], [0]]},
    )
    task = planting.ask(network, planting.data(inputs, lengths, labels=labels), "sigmoid").task
    found = of(looked.run(network, task), task)
    assert found["full"].tolist() == [1, 1]
    # without it both outputs are 0, and the first is read
    assert found["single"][0].tolist() == [1, 0]
    np.testing.assert_allclose(abs(found["left"][:, 0]), [0.5**0.5] * 2, rtol=1e-5)
    assert found["pairs"].shape == (0, 2) and found["random"].shape == (questions.BASES, 1, 2)
    assert readout.stand_ins(found["full"], found["single"], found["pairs"]).shape == (0, 2)


@pytest.mark.parametrize("hidden", [1, 3])
def test_fewer_units_than_classes_have_a_direction_each(hidden):
    given = planting.sequences()
    network = planting.stacked(4, [hidden], 4, cell="gru")
    task = planting.ask(network, given).task
    found = of(looked.run(network, task), task)
    assert found["single"].shape == (hidden, 4) and found["nested"].shape == (hidden + 1, 4)
    assert found["pairs"].shape == (hidden * (hidden - 1) // 2, 4)


def test_a_readout_before_training_may_be_zero():
    task = planting.planted().task
    network = planting.zero(planting.elman())
    found = of(looked.run(network, task), task)
    assert found["full"].tolist() == [1, 0, 0, 0] and not found["singular_values"].any()
    assert not readout.lost(found["single"], found["full"]).any()


def test_what_was_lost_already_is_lost_to_no_direction():
    single = np.array([[0.05, 0.05, 0.5], [1.0, 0.0, 0.5]])
    full = np.array([1.0, 0.09, 0.5])
    np.testing.assert_array_equal(readout.lost(single, full), [True, False, False])
    several = np.stack([single, np.ones((2, 3))])
    expected = [[True, False, False], [False] * 3]
    np.testing.assert_array_equal(readout.lost(several, full), expected)


def test_a_planted_pair_stands_in_for_each_other():
    # class 0 is read by two directions alike: one may go, not both; class 1 needs neither
    full, single = np.ones(2), np.array([[1.0, 1.0], [0.9, 1.0], [1.0, 1.0], [0.0, 0.0]])
    pairs = np.array([[0.05, 1.0], [1.0, 1.0], [0.9, 1.0]])  # 1 and 2, 1 and 3, 2 and 3
    expected = [[True, False], [False, False], [False, False]]
    # the fourth direction is one that softmax does not see: it is in no pair
    for rows in (single, single[:3]):
        np.testing.assert_array_equal(readout.stand_ins(full, rows, pairs), expected)


def test_a_job_makes_the_same_arrays():
    task, run = planting.planted()
    network = planting.elman()
    made = readout.measure(network.config, access.flatten(network), task, 0).arrays
    expected = of(run, task)
    assert made.keys() == expected.keys()
    for name, array in made.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[name], rtol=1e-6, err_msg=name)
