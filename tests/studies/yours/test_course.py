"""What holds of a network at a checkpoint, and which files are checkpoints."""

import numpy as np
import pytest
from studies.yours import planting

from rnnatomy.analysis import pod, svd
from rnnatomy.networks import access
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.studies.yours import course, looked, readout, states


def measured(network, task):
    return course.measure(network.config, access.flatten(network), task, 0).arrays


def test_a_checkpoint_is_asked_what_the_network_is_asked():
    task, run = planting.planted()
    found = measured(run.network, task)
    assert found["score"] == 1 and found["recurrent"] == pytest.approx(4)
    expected = readout.without(run, task)
    for name in ("full", "single"):
        np.testing.assert_allclose(found[name], expected[name])
    lost = readout.lost(found["single"], found["full"])
    assert lost[:2].all()
    np.testing.assert_allclose(found["singular_values"], run.parts.s, rtol=1e-6)
    assert found["nearest_constant"] == pytest.approx(svd.cosines_with_constant(run.parts).max())
    basis = pod.pod(run.states[np.arange(6) < task.lengths[:, None]], centred=True)
    assert found["modes"] == pod.modes_for(basis, states.ENERGY)
    assert np.isnan(found["along"])  # a sequence of three frames is too short


def test_classes_of_few_sequences_are_all_asked(monkeypatch):
    monkeypatch.setattr(course, "READ", 3)
    task, run = planting.planted()
    found = measured(run.network, task)
    assert found["full"].tolist() == [1] * 4 and 1 <= found["modes"] <= 4


def test_a_checkpoint_of_a_network_of_numbers():
    inputs, lengths = planting.noise(20, 8)
    lengths = np.maximum(lengths, 5)
    network = planting.stacked(3, [4], 2, cell="gru", both_ways=True)
    targets = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    task = planting.ask(network, planting.data(inputs, lengths, targets=targets)).task
    found = measured(network, task)
    run = looked.run(network, task)
    assert found["score"] == pytest.approx(looked.score(run.outputs, task.answers))
    assert "nearest_constant" not in found and np.isnan(found["along"])
    forwards = planting.stacked(3, [4], 2, cell="gru")
    assert np.isfinite(measured(forwards, task)["along"])


def test_a_checkpoint_of_zeros_is_asked_too():
    task = planting.planted().task
    held = {"layer_0.dense_i.kernel": np.eye(4)}
    found = measured(planting.zero(planting.elman(), **held), task)
    assert found["score"] == 0.25 and not found["singular_values"].any()


def test_checkpoints_are_counted_as_people_do(tmp_path):
    for name in ("step-10.pt", "step-2.pt", "notes.txt", "step-1.PT"):
        (tmp_path / name).touch()
    names = [path.name for path in course.checkpoints(tmp_path)]
    assert names == ["step-1.PT", "step-2.pt", "step-10.pt"]


def test_too_few_checkpoints_or_too_many_are_refused(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(ForeignError, match="'none' holds 0 weight files: give a folder of 1 to 50"):
        course.checkpoints(tmp_path / "none")
    for k in range(51):
        (tmp_path / f"{k}.pt").touch()
    with pytest.raises(ForeignError, match="holds 51 weight files: give a folder of 1 to 50"):
        course.checkpoints(tmp_path)


def test_checkpoints_are_in_a_folder(tmp_path):
    (tmp_path / "one.pt").touch()
    for name in ("missing", "one.pt"):
        with pytest.raises(ForeignError, match=f"'{name}' is no folder: give one that holds"):
            course.checkpoints(tmp_path / name)
