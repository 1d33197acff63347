"""Matrices and memory of networks whose gates are known."""

import numpy as np
import pytest
from scipy.special import expit
from studies.yours import planting

from rnnatomy.analysis import gates as analysis
from rnnatomy.analysis import ranks, svd
from rnnatomy.networks import access
from rnnatomy.networks.foreign import ways
from rnnatomy.studies.yours import gates, looked


def rng():
    return np.random.default_rng(0)


def asked(network, inputs, lengths=None, **given):
    given = given or {"labels": np.arange(len(inputs)) % 2}
    return planting.ask(network, planting.data(inputs, lengths, **given)).task


def test_time_constants_of_an_lstm_are_those_of_its_forget_gate():
    inputs, lengths = planting.noise()
    network = planting.stacked(3, [5], 2, cell="lstm")
    task = asked(network, inputs, lengths)
    states = ways.states(network, task.inputs, lengths)
    bias = access.flatten(network.layer_0)["dense_h.bias"]
    gate = analysis.activations(access.matrices(network, "layer_0"), bias, task.inputs, states)
    counts = np.arange(7) < lengths[:, None]
    expected = analysis.time_constants(np.median(gate["f"][counts], axis=0))
    found = gates.time_constants(network, task)
    np.testing.assert_allclose(found["constants"], expected, rtol=1e-4)
    assert found["constants_layer"].tolist() == [0] * 5


@pytest.mark.parametrize("cell", ["gru", "gru-two-biases", "gru-before"])
def test_time_constants_of_an_update_gate_that_is_planted(cell):
    inputs, lengths = planting.noise()
    wanted = np.array([-1.0, 0.0, 2.0, 30.0])
    network = planting.stacked(3, [4], 2, cell=cell)
    bias = np.concatenate([np.ones(4), wanted, np.ones(4)])
    arrays = {"layer_0.dense_i.bias": bias}
    if cell == "gru-two-biases":
        other = np.concatenate([np.ones(4), np.arange(4), np.ones(4)])
        arrays = {"layer_0.dense_i.bias": bias - other, "layer_0.dense_h.bias": other}
    found = gates.time_constants(planting.zero(network, **arrays), asked(network, inputs, lengths))
    expected = -1 / np.log(expit(wanted[:3]))
    np.testing.assert_allclose(found["constants"][:3], expected, rtol=1e-5)
    # a gate that is all open in single precision is still open for no more than the clip says
    assert 1e8 < found["constants"][3] < 2e9


def test_a_cell_that_keeps_nothing_by_a_gate_has_no_time_constants():
    inputs, _ = planting.noise()
    network = planting.stacked(3, [4], 2, cell="elman")
    found = gates.time_constants(network, asked(network, inputs))
    assert found["constants"].shape == found["constants_layer"].shape == (0,)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_units_of_both_directions_have_a_time_constant_each(cell):
    inputs, lengths = planting.noise()
    network = planting.stacked(3, [4, 5], 2, cell=cell, both_ways=True)
    task = asked(network, inputs, lengths)
    found = gates.time_constants(network, task)
    assert found["constants_layer"].tolist() == [0] * 8 + [1] * 10
    # the cell that reads backwards, alone and forwards, over sequences that are turned
    held = access.flatten(network)
    alone = planting.stacked(3, [4], 2, cell=cell)
    own = {name: held[name.replace("layer_0", "layer_0_back")]
           for name in access.flatten(alone) if name.startswith("layer_0")}  # fmt: skip
    turned = task.inputs.copy()
    for k, end in enumerate(lengths):
        turned[k, :end] = turned[k, :end][::-1]
    other = gates.time_constants(planting.with_arrays(alone, **own), task._replace(inputs=turned))
    np.testing.assert_allclose(found["constants"][4:8], other["constants"], rtol=1e-4)


def test_the_second_layer_is_fed_what_the_first_one_gives():
    inputs, _ = planting.noise()
    network = planting.stacked(3, [4, 5], 2, cell="lstm")
    task = asked(network, inputs)
    first, _ = ways.every_layer(network, task.inputs)
    held, alone = access.flatten(network), planting.stacked(4, [5], 2, cell="lstm")
    own = {name: held[name.replace("layer_0", "layer_1")]
           for name in access.flatten(alone) if name.startswith("layer_0")}  # fmt: skip
    alone = planting.with_arrays(alone, **own)
    expected = gates.time_constants(alone, asked(alone, first))["constants"]
    np.testing.assert_allclose(gates.time_constants(network, task)["constants"][4:], expected)


def test_ranks_of_planted_matrices():
    found = gates.stable_ranks(planting.elman(), rng())
    assert gates.names(planting.elman()) == [("layer_0", "input h"), ("layer_0", "recurrent h")]
    np.testing.assert_allclose(found["ranks"], [4, 4], rtol=1e-6)
    assert (found["shuffled_ranks"] < 3.9).all()


def test_each_matrix_of_each_layer_has_a_rank():
    network = planting.stacked(3, [4, 5], 2, cell="gru", both_ways=True)
    found = gates.stable_ranks(network, rng())
    names = gates.names(network)
    assert len(found["ranks"]) == len(names) == 4 * 6 and len(set(names)) == 24
    layer, name = names[7]
    matrix = access.matrices(network, layer)[name]
    assert found["ranks"][7] == pytest.approx(ranks.stable_rank(svd.svd(matrix).s))


def test_a_matrix_of_zeros_has_no_rank_and_is_not_cut():
    task, _ = planting.planted()
    held = access.flatten(planting.elman())
    network = planting.with_arrays(
        planting.elman(), **{"layer_0.dense_h.kernel": 0 * held["layer_0.dense_h.kernel"]}
    )
    found = gates.stable_ranks(network, rng())
    assert found["ranks"][0] == pytest.approx(4) and np.isnan(found["ranks"][1])
    found = gates.common_cutoffs(network, task, rng())
    assert found["cut_full"] == 1 and found["cut"].shape == (6,)


def test_keeping_all_energy_changes_no_answer(monkeypatch):
    monkeypatch.setattr(gates, "ENERGIES", (0.2, 1.0))
    inputs, lengths = planting.noise(30)
    for options in ({"cell": "gru"}, {"cell": "lstm", "both_ways": True, "norm": 1e-3}):
        network = planting.stacked(3, [4, 4], 2, **options)
        targets = ways.outputs(network, inputs, lengths)
        task = asked(network, inputs, lengths, targets=targets)
        found = gates.common_cutoffs(network, task, rng())
        assert found["cut_full"] == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose([found["cut"][1], found["cut_random"][1]], 1, atol=1e-4)
        assert max(found["cut"][0], found["cut_random"][0]) < 0.99


def test_planted_matrices_cut_to_half_their_energy_tell_fewer_classes():
    # of the identity of size 4, half the energy is two of four directions
    task, run = planting.planted()
    found = gates.common_cutoffs(run.network, task, rng())
    assert found["cut_full"] == 1 and found["cut"][-1] == 1
    assert found["cut"][0] < 1


def test_the_first_are_spread_over_all_and_keep_their_answers():
    inputs, lengths = planting.noise(20)
    targets = np.where((np.arange(7) < lengths[:, None])[..., None], inputs[..., :2], 0)
    network = planting.stacked(3, [4], 2, cell="gru", reads="each")
    task = asked(network, inputs, lengths, targets=targets)
    assert gates.first(task, 20) is task
    some = gates.first(task, 7)
    assert len(some.inputs) == len(some.lengths) == len(some.truth) == len(some.answered) == 7
    assert len(some.places) == some.lengths.sum()
    sequence, frame = some.places.T
    np.testing.assert_array_equal(some.answers, some.inputs[sequence, frame, :2])
    np.testing.assert_array_equal(some.inputs[[0, -1]], task.inputs[[0, -1]])
    # what is asked of the whole is the same for those that are left
    whole = looked.run(network, task).outputs
    kept = [k for k, one in enumerate(task.places[:, 0]) if (some.inputs == task.inputs[one]).all(
        axis=(1, 2)).any()]  # fmt: skip
    np.testing.assert_allclose(looked.run(network, some).outputs, whole[kept], atol=1e-6)


def test_a_job_makes_all_of_it():
    inputs, lengths = planting.noise()
    network = planting.stacked(3, [4], 2, cell="gru")
    made = gates.measure(
        network.config, access.flatten(network), asked(network, inputs, lengths), 0
    )
    assert set(made.arrays) == {"ranks", "shuffled_ranks", "cut", "cut_random", "cut_full",
                                "constants", "constants_layer"}  # fmt: skip
