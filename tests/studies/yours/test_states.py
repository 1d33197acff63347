"""States on the way: their modes, and what a line reads of them."""

import numpy as np
import pytest
from studies.yours import planting

from rnnatomy.analysis import pod
from rnnatomy.networks import access, models
from rnnatomy.studies.yours import course, looked, states


@pytest.fixture(scope="module")
def planted():
    return planting.planted()


def test_readers_read_what_was_planted_at_the_end_and_nothing_before(planted):
    found = states.readable(planted.run, planted.task)
    assert found["own"][-1] == found["line"][-1] == 1
    assert max(found["own"][0], found["line"][0]) < 0.7
    assert found["own"].shape == found["line"].shape == (len(states.SHARES),)


def test_rivals_have_no_network(planted):
    found = states.rivals(planted.task)
    assert found["frame"][-1] == 1 and found["frame"][0] < 0.7
    # what was planted in one frame is in the mean of all, and no frame after the end counts
    spoilt = planted.task.inputs.copy()
    spoilt[np.arange(6) >= planted.task.lengths[:, None]] = 99
    other = states.rivals(planted.task._replace(inputs=spoilt))
    for name, scores in found.items():
        np.testing.assert_array_equal(other[name], scores)
    assert set(found) == {"frame", "mean_frame"}


def test_a_line_reads_the_mean_of_the_frames_so_far():
    inputs = np.random.default_rng(0).normal(size=(60, 10, 3)).astype(np.float32)
    targets = np.cumsum(inputs, axis=1)[..., :2] / np.arange(1, 11)[:, None]
    network = planting.stacked(3, [4], 2, cell="gru", reads="each")
    task = planting.ask(network, planting.data(inputs, targets=targets)).task
    found = states.rivals(task)
    np.testing.assert_allclose(found["mean_frame"], 1, atol=1e-4)
    assert found["frame"][0] == pytest.approx(1, abs=1e-4) and found["frame"][-1] < 0.5


def test_an_early_answer_is_held_against_what_is_true_then():
    # the network gives the frame itself, and the target is the next frame
    inputs = 0.01 * np.random.default_rng(0).normal(size=(30, 1, 3)).astype(np.float32)
    inputs = np.tile(
        inputs - inputs.mean(axis=0), (1, 7, 1)
    )  # all frames of a sequence are the same
    inputs[:, 4] = -inputs[:, 4]
    network = planting.zero(
        planting.stacked(3, [3], 3, cell="elman", reads="each"),
        **{"layer_0.dense_i.kernel": np.eye(3), "readout.kernel": np.eye(3)},
    )
    task = planting.ask(network, planting.data(inputs)).task
    found = states.readable(looked.run(network, task), task)
    until = [int(each[0]) for each in states.cut_short(task)]
    assert until == [1, 2, 2, 3, 5, 6]
    right = [1, 1, 1, 1, -3, 1]  # after frame 5 of 7, the next one is the opposite
    np.testing.assert_allclose(found["own"], right, atol=0.02)
    np.testing.assert_allclose(found["line"], 1, atol=0.02)


def test_targets_that_do_not_vary_yet_are_left_out():
    inputs = np.random.default_rng(0).normal(size=(20, 10, 3)).astype(np.float32)
    targets = inputs[..., :2].copy()
    targets[:, :2] = 0
    targets[:, 2:4, 0] = 1
    network = planting.zero(
        planting.stacked(3, [3], 2, cell="elman", reads="each"),
        **{"layer_0.dense_i.kernel": 0.01 * np.eye(3), "readout.kernel": 100 * np.eye(3)[:, :2]},
    )
    task = planting.ask(network, planting.data(inputs, targets=targets)).task
    found = states.readable(looked.run(network, task), task)
    assert np.isnan([found[name][:2] for name in ("own", "line")]).all()
    assert found["own"][2:] == pytest.approx(1, abs=0.01)
    assert (found["line"][2:] > 0.9).all()


def test_of_two_frames_to_come_both_classes_may_be_too_rare_to_tell():
    labels = np.zeros((20, 4), int)
    labels[:4, 0], labels[10:, 3] = 1, 1
    inputs = np.random.default_rng(0).normal(size=(20, 4, 3))
    network = planting.stacked(3, [3], 2, cell="gru", reads="each")
    task = planting.ask(network, planting.data(inputs, labels=labels)).task
    found = states.readable(looked.run(network, task), task)
    # four of class 1 in the first frame, none in the second and third
    assert np.isnan(found["line"][:5]).all() and not np.isnan(found["line"][-1])
    assert not np.isnan(found["own"]).any()


def test_shares_of_a_sequence_are_whole_frames():
    task = planting.planted().task._replace(answered=np.array([1, 10, 70]))
    found = states.cut_short(task)
    expected = [[1, 1, 7], [1, 2, 14], [1, 3, 21], [1, 5, 35], [1, 7, 49], [1, 10, 70]]
    assert [each.tolist() for each in found] == expected


def test_modes_leave_out_what_follows_the_end(planted):
    task, run = planted
    spoilt = run.states.copy()
    spoilt[np.arange(6) >= task.lengths[:, None]] = 99
    kept, other = (states.of_modes(one, task) for one in (run, run._replace(states=spoilt)))
    for name, array in kept.items():
        np.testing.assert_allclose(other[name], array, atol=1e-10, err_msg=name)
    counts = np.arange(6) < task.lengths[:, None]
    expected = pod.energies(pod.pod(run.states[counts], centred=True))
    np.testing.assert_allclose(kept["energies"], expected)
    assert kept["energies"].sum() == pytest.approx(1)


def test_trajectories_are_those_of_the_sequences_until_their_end(planted):
    task, run = planted
    found = states.of_modes(run, task)
    counts = np.arange(6) < task.lengths[:, None]
    basis = pod.pod(run.states[counts], centred=True)
    assert found["curves"].shape == (4 * states.DRAWN, states.FRAMES, states.MODES)
    for curve, number in zip(found["curves"], found["curve_sequence"], strict=True):
        end = task.lengths[number]
        np.testing.assert_allclose(curve[:end], pod.project(basis, run.states[number, :end])[:, :3])
        assert np.isnan(curve[end:]).all()
    assert np.bincount(task.truth[found["curve_sequence"]]).tolist() == [states.DRAWN] * 4


@pytest.mark.parametrize("reads", models.READS)
def test_what_the_readout_reads_is_shown_in_the_modes(reads):
    inputs, lengths = planting.noise()
    network = planting.stacked(3, [2], 2, cell="gru", both_ways=True, reads=reads, norm=1e-3)
    given = planting.data(inputs, lengths, labels=np.arange(20) % 2)
    task = planting.ask(network, given).task
    run = looked.run(network, task)
    found = states.of_modes(run, task)["reads"]
    basis = pod.pod(run.states[np.arange(7) < lengths[:, None]], centred=True)
    k, frame = task.places[5]
    own, half = run.states[k, : lengths[k]], run.states.shape[2] // 2
    read = {"mean": own.mean(axis=0), "max": own.max(axis=0), "each": own[frame], "last": own[-1],
            "ends": np.concatenate([own[-1, :half], own[0, half:]])}[reads]  # fmt: skip
    np.testing.assert_allclose(found[5], pod.project(basis, read)[:3], atol=1e-6)


def test_where_there_are_fewer_modes_than_are_drawn_the_rest_is_zero():
    inputs, lengths = planting.noise()
    network = planting.stacked(3, [1], 2, cell="gru")
    given = planting.data(inputs, lengths, labels=np.arange(20) % 2)
    task = planting.ask(network, given).task
    found = states.of_modes(looked.run(network, task), task)
    assert found["energies"].shape == (1,) and found["reads"].shape == (20, 3)
    assert not found["reads"][:, 1:].any() and found["reads"][:, 0].any()


def test_states_that_never_change_have_no_modes():
    inputs, lengths = planting.noise()
    network = planting.zero(
        planting.stacked(3, [2], 2, cell="elman-relu"), **{"layer_0.dense_i.bias": [-1, -2]}
    )
    given = planting.data(inputs, lengths, labels=np.arange(20) % 2)
    task = planting.ask(network, given).task
    made = states.measure(network.config, access.flatten(network), task).arrays
    assert made["energies"].tolist() == [0] and not made["reads"].any()
    assert set(np.unique(made["curves"][~np.isnan(made["curves"])])) == {0}
    assert course.measure(network.config, access.flatten(network), task, 0).arrays["modes"] == 0


def test_groups_are_classes_or_thirds_of_the_first_target(planted):
    np.testing.assert_array_equal(states.groups(planted.task), planted.task.truth)
    inputs = np.zeros((12, 2, 3))
    inputs[:, 0] = np.random.default_rng(0).normal(size=(12, 3))
    targets = np.stack([np.arange(12)[::-1], np.arange(12) % 5], axis=1).astype(np.float32)
    network = planting.stacked(3, [3], 2, cell="gru")
    task = planting.ask(network, planting.data(inputs, targets=targets)).task
    assert states.groups(task).tolist() == [2] * 4 + [1] * 4 + [0] * 4


def test_groups_of_frames_are_those_of_the_last_that_is_looked_at():
    inputs, lengths = planting.noise()
    labels = np.random.default_rng(0).integers(0, 2, (20, 7))
    network = planting.stacked(3, [3], 2, cell="gru", reads="each")
    task = planting.ask(network, planting.data(inputs, lengths, labels=labels)).task
    np.testing.assert_array_equal(states.groups(task), labels[np.arange(20), lengths - 1])
    # a sequence of which no frame is looked at has no group
    some = task._replace(places=task.places[task.places[:, 0] != 3])
    assert states.groups(some)[3] == -1 and 3 not in states.drawn(some)


def test_a_sequence_of_one_frame_draws_no_line():
    inputs, lengths = planting.noise()
    labels = np.arange(20) % 2
    network = planting.stacked(3, [3], 2, cell="gru")
    task = planting.ask(network, planting.data(inputs, lengths, labels=labels)).task
    found = states.drawn(task)
    assert (lengths == 1).any() and (lengths[found] > 1).all()
    expected = [np.flatnonzero((labels == each) & (lengths > 1))[:4] for each in (0, 1)]
    np.testing.assert_array_equal(found, np.concatenate(expected))
    short = task._replace(lengths=np.ones(20, int), places=task.places * [1, 0])
    found = states.of_modes(looked.run(network, short), short)
    assert found["curves"].shape == (0, states.FRAMES, states.MODES)


def test_jobs_make_all_of_it(planted):
    task, run = planted
    made = states.measure(run.network.config, access.flatten(run.network), task).arrays
    assert set(made) == {"energies", "reads", "curves", "curve_sequence", "own", "line"}
    np.testing.assert_allclose(made["own"], states.readable(run, task)["own"])
    made = states.measure_rivals(task).arrays
    np.testing.assert_allclose(made["frame"], states.rivals(task)["frame"])
