"""What a network makes of sequences is what it gives itself, at the places that are asked."""

from itertools import product

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import r2_score
from studies.yours import planting

from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import ways
from rnnatomy.studies.yours import looked

WAYS = product(models.READS, (False, True))
# every second one with a normalisation, so that each way to read has one
KINDS = [
    pytest.param(reads, both_ways, (None, 1e-3)[k // 2 % 2 ^ k % 2], id=f"{reads} {both_ways}")
    for k, (reads, both_ways) in enumerate(WAYS)
]


def case(reads, both_ways, norm):
    """A network of two layers, and a task of sequences of unequal lengths."""
    inputs, lengths = planting.noise(12, 6)
    options = {"reads": reads, "both_ways": both_ways, "norm": norm}
    network = planting.stacked(3, [4, 5], 2, cell="gru", **options)
    shape = (12, 6, 2) if reads == "each" else (12, 2)
    targets = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    given = planting.data(inputs, lengths, targets=targets)
    return network, planting.ask(network, given).task


@pytest.mark.parametrize(("reads", "both_ways", "norm"), KINDS)
def test_outputs_are_the_networks_own(reads, both_ways, norm):
    network, task = case(reads, both_ways, norm)
    run = looked.run(network, task)
    own = ways.outputs(network, task.inputs, task.lengths)
    sequence, frame = task.places.T
    expected = own[sequence, frame] if reads == "each" else own
    np.testing.assert_allclose(run.outputs, expected, atol=1e-5)
    assert run.states.shape == (12, 6, 5 * (1 + both_ways))


@pytest.mark.parametrize(("reads", "both_ways", "norm"), KINDS)
def test_at_the_end_early_is_what_the_readout_reads(reads, both_ways, norm):
    network, task = case(reads, both_ways, norm)
    run = looked.run(network, task)
    ends = task.places[:, 1] == task.lengths[task.places[:, 0]] - 1
    found = looked.early(run, task, task.lengths)
    np.testing.assert_allclose(found, run.read[ends], atol=1e-6)


@pytest.mark.parametrize(("reads", "both_ways", "norm"), KINDS)
def test_early_is_what_a_network_reads_of_sequences_cut_short(reads, both_ways, norm):
    network, task = case(reads, both_ways, norm)
    until = (task.lengths + 1) // 2
    found = looked.early(looked.run(network, task), task, until)
    for end in np.unique(until):
        alone = np.asarray(network.features(jnp.asarray(task.inputs[until == end, :end])))
        expected = alone[:, -1] if reads == "each" else alone
        np.testing.assert_allclose(found[until == end], expected, atol=1e-5)


def test_what_is_read_before_a_normalisation():
    network, task = case("mean", False, 1e-3)
    run = looked.run(network, task)
    found = looked.before_norm(network, run.states, task.lengths)
    for states, end, row in zip(run.states, task.lengths, found, strict=True):
        np.testing.assert_allclose(row, states[:end].mean(axis=0), atol=1e-6)
    assert np.abs(found - run.read).max() > 0.1


def test_states_stand_after_the_last_frame_of_each_sequence():
    task, run = planting.planted()
    expected = np.tanh(task.inputs[np.arange(24), task.lengths - 1])
    np.testing.assert_allclose(run.read, expected, atol=1e-3)
    np.testing.assert_array_equal(run.outputs.argmax(axis=1), task.answers)
    assert looked.score(run.outputs, task.answers) == 1
    np.testing.assert_array_equal(looked.scores(run.outputs, task.answers), np.ones(4))


def test_what_follows_the_end_is_never_read():
    task, run = planting.planted()
    spoilt = task.inputs.copy()
    spoilt[np.arange(6) >= task.lengths[:, None]] = 99
    other = looked.run(run.network, task._replace(inputs=spoilt))
    np.testing.assert_array_equal(other.read, run.read)


def test_a_network_is_made_of_its_config_and_arrays():
    network, task = case("ends", True, 1e-3)
    same = looked.made(network.config, access.flatten(network))
    np.testing.assert_array_equal(looked.run(same, task).outputs, looked.run(network, task).outputs)


def test_a_readout_of_numbers_stays_one_row():
    network = planting.stacked(3, [5], 1, cell="elman")
    inputs, lengths = planting.noise()
    given = planting.data(inputs, lengths, targets=inputs[:, 0, :1].astype(np.float32))
    run = looked.run(network, planting.ask(network, given).task)
    assert run.readout.W.shape == (1, 5) and run.outputs.shape == (20, 1)


def test_a_score_is_the_share_of_right_answers_or_r_squared():
    outputs = np.random.default_rng(0).normal(size=(30, 3))
    truth = np.arange(30) % 3
    assert looked.score(outputs, truth) == np.mean(outputs.argmax(axis=1) == truth)
    each = [np.mean(outputs[truth == k].argmax(axis=1) == k) for k in range(3)]
    np.testing.assert_allclose(looked.scores(outputs, truth), each)
    targets = outputs + 0.5 * np.random.default_rng(1).normal(size=(30, 3))
    expected = r2_score(targets, outputs, multioutput="raw_values")
    np.testing.assert_allclose(looked.scores(outputs, targets), expected)
    assert looked.score(outputs, targets) == pytest.approx(expected.mean())


def test_targets_that_do_not_vary_do_not_count():
    outputs = np.random.default_rng(0).normal(size=(30, 3))
    targets = outputs + 0.5 * np.random.default_rng(1).normal(size=(30, 3))
    targets[:, 1] = 0
    expected = r2_score(targets[:, ::2], outputs[:, ::2])
    assert looked.score(outputs, targets) == pytest.approx(expected)
    assert np.isnan(looked.score(outputs, np.zeros((30, 3))))
