"""The whole study of a small network that a file holds: what was planted comes out."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from bs4 import BeautifulSoup
from studies.yours import planting

from rnnatomy.networks import access
from rnnatomy.networks.foreign import flat, load, ways
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.store import checkout
from rnnatomy.studies import engine
from rnnatomy.studies.yours import course, ends, looked, readout, study

MARKUP = "<script>alert(1)</script>&amp;"


@pytest.fixture(autouse=True)
def here(monkeypatch):
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.delenv("ENGINE_JOB", raising=False)


def given_with(network, **more):
    """Sequences and outputs, as an owner gives them."""
    owner = planting.sequences(each=12)
    inputs, lengths, labels = owner.inputs, owner.lengths, owner.labels
    outputs = ways.outputs(network, inputs, lengths)
    return {"inputs": inputs, "lengths": lengths, "labels": labels, "outputs": outputs} | more


def quiet(mine, **options):
    return study.look(mine, **{"long": 200, "report": lambda line: None} | options)


class Done(NamedTuple):
    """A study with all that it may have, and where its jobs are kept."""

    mine: load.Foreign
    found: study.Findings
    folder: Path


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yours")
    network = planting.elman()
    other = access.shuffled(network, np.random.default_rng(5))
    (folder / "along").mkdir()
    path = planting.save(folder / f"{MARKUP.replace('/', '')}.safetensors", network, MARKUP)
    planting.save(folder / "before.safetensors", other, MARKUP)
    planting.save(folder / "along" / "step-2.safetensors", other, MARKUP)
    planting.save(folder / "along" / "step-10.safetensors", network, MARKUP)
    names = (MARKUP, "b", "c", "d")
    mine = load.load(path, given_with(network, names=np.array(names)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkout, "ROOT", folder)
        patch.setenv("ENGINE", "here")
        before, along = folder / "before.safetensors", folder / "along"
        found = quiet(mine, before=before, along=along, frame="mean")
    return Done(mine, found, folder)


def test_what_was_planted_is_found(done):
    found = done.found
    rows = {what: numbers for what, *numbers in found.rows()}
    made = found.arrays("trained")
    assert rows["answers rightly"][0] == "1.000"
    lost = readout.lost(made["single"], made["full"])
    assert lost[:2].all() and rows["classes that hang on one direction"][0] == str(lost.sum())
    assert rows["a line, its state"][0] == "1.000"
    assert rows["mean stable rank of its matrices"][0] == "4.0"
    assert rows["places where it ends, fed one frame"][0] == "1"
    assert "median time constant, frames" not in rows and len(rows) == 8
    last = rows["a line, the mean of the frames, without a network"]
    assert last == [f"{found.arrays('rivals')['mean_frame'][-1]:.3f}"] * 2
    assert float(rows["answers rightly"][1]) < 0.9
    assert found.steps == 200 and found.asked.names[0] == MARKUP


def test_all_is_as_its_parts_measure_it(done):
    found, task = done.found, done.found.asked.task
    for name, network in found.networks.items():
        run = looked.run(network, task)
        np.testing.assert_allclose(found.arrays(name)["outputs"], run.outputs, atol=1e-5)
    # fed the mean of all frames, a state that is all but the last frame stays at it
    made, (W, b) = found.arrays("trained"), access.readout(found.networks["trained"])
    expected = np.tanh(ends.mean_frame(task)) @ W.T + b
    np.testing.assert_allclose(made["answers"], expected[None], atol=0.01)
    with pytest.raises(KeyError):
        found.arrays("nobody")


def test_modes_hold_the_share_that_is_asked_for():
    found = {"energies": np.array([0.6, 0.35, 0.05], np.float32)}
    assert [study.modes_for(found, share) for share in (0.5, 0.6, 0.95, 1.0)] == [1, 1, 2, 3]
    assert study.modes_for({"energies": np.zeros(1, np.float32)}) == 0


def test_weights_before_training_are_the_control(done):
    found = done.found
    assert found.control == "its weights before training"
    expected = access.flatten(access.shuffled(planting.elman(), np.random.default_rng(5)))
    for name, array in access.flatten(found.networks["control"]).items():
        np.testing.assert_array_equal(array, expected[name])


def test_checkpoints_are_found_by_their_names(done):
    along = done.found.along
    assert list(along) == ["step-2", "step-10"]
    assert along["step-10"]["score"] == 1 > along["step-2"]["score"]
    network = planting.elman()
    expected = course.measure(network.config, access.flatten(network), done.found.asked.task, 0)
    assert along["step-10"].keys() == expected.arrays.keys()


def test_it_says_what_it_found_in_lines_and_in_a_table(done):
    lines = repr(done.found).splitlines()
    assert lines[0] == repr(done.mine) and len(lines) == 1 + 1 + len(done.found.rows())
    assert lines[1].split() == ["trained", "control"]
    assert lines[2].split()[:3] == ["answers", "rightly", "1.000"]
    html = done.found._repr_html_()
    tree = BeautifulSoup(html, "html.parser")
    rows = [[cell.get_text() for cell in row.find_all("td")] for row in tree.tbody.find_all("tr")]
    assert rows == [list(row) for row in done.found.rows()]
    assert not tree.find("script") and tree.p.get_text() == repr(done.mine)
    assert MARKUP in tree.p.get_text()


def look_again(done, monkeypatch, lines, **options):
    monkeypatch.setattr(checkout, "ROOT", done.folder)
    return quiet(done.mine, report=lines.append, **options)


def test_what_is_done_is_not_done_again(done, monkeypatch):
    lines = []
    options = {"before": done.folder / "before.safetensors", "along": done.folder / "along"}
    found = look_again(done, monkeypatch, lines, frame="mean", **options)
    assert lines == ["yours: 11 of 11 jobs done, 11 of them reused"]
    assert found.rows() == done.found.rows()


def test_without_weights_before_training_the_control_is_shuffled(done, monkeypatch):
    lines = []
    found = look_again(done, monkeypatch, lines, frame="mean")
    # those of the network itself are taken from before
    assert lines[-1] == "yours: 9 of 9 jobs done, 5 of them reused"
    assert found.control == "its own numbers, shuffled" and found.along == {}
    own, other = (access.flatten(one) for one in found.networks.values())
    for name, array in own.items():
        np.testing.assert_array_equal(np.sort(other[name].ravel()), np.sort(array.ravel()))
    name = "layer_0.dense_i.kernel"
    assert (other[name] != own[name]).any()


def test_files_that_differ_in_their_end_alone_are_all_followed(done, monkeypatch, tmp_path):
    monkeypatch.setitem(load.READERS, ".st", flat.read_safetensors)
    for name in ("one.safetensors", "one.st", "two.st"):
        planting.save(tmp_path / name, planting.elman(), MARKUP)
    found = look_again(done, monkeypatch, [], frame="mean", along=tmp_path)
    assert list(found.along) == ["one.safetensors", "one.st", "two"]


def test_a_checkpoint_of_another_shape_is_refused(done, tmp_path):
    small = planting.stacked(4, [3], 4, cell="elman")
    path = planting.save(tmp_path / "small.safetensors", small, MARKUP)
    with pytest.raises(
        ForeignError, match=r"'small\.safetensors' holds a network of another shape"
    ):
        study.same(done.mine, path)
    for options in ({"before": path}, {"along": tmp_path}):
        with pytest.raises(ForeignError, match="of another shape: give weights of the same one"):
            quiet(done.mine, **options)
    with pytest.raises(ForeignError, match=r"missing\.pt' is missing"):
        study.same(done.mine, tmp_path / "missing.pt")
    path = planting.save(tmp_path / "other.safetensors", planting.elman(), "another")
    with pytest.raises(ForeignError, match="is not in the file: choose from 'another'"):
        study.same(done.mine, path)


NORMS = {
    "of each state": {"norm.weight": [2, 1, 1, 3], "norm.bias": [1, 0, 0, 1]},
    "over a training set": {
        "norm.weight": [2, 1, 1, 3],
        "norm.bias": [1, 0, 0, 1],
        "norm.running_mean": [0, 1, 0, 1],
        "norm.running_var": [1, 2, 1, 2],
    },
}


@pytest.mark.parametrize("more", NORMS.values(), ids=NORMS)
def test_a_checkpoint_is_read_as_the_network_was_proved(tmp_path, more):
    network = planting.elman()
    arrays = {name: np.array(array, np.float32) for name, array in more.items()}
    path = planting.save(tmp_path / "a.safetensors", network, **arrays)
    mine = load.load(path, given_with(network))
    assert mine.proof.way.norm is None  # it is in the file, and not used
    for name, array in access.flatten(study.same(mine, path)).items():
        np.testing.assert_array_equal(array, access.flatten(network)[name], err_msg=name)


def test_a_network_whose_states_grow_without_end_is_refused(tmp_path):
    grows = planting.with_arrays(planting.elman(), **{"layer_0.dense_h.kernel": 3 * np.eye(4)})
    held = access.flatten(grows)
    relu = planting.stacked(4, [4], 4, cell="elman-relu")
    inputs = np.ones((24, 40, 4), np.float32)
    given = planting.data(inputs, labels=np.arange(24) % 4)
    mine = planting.foreign(planting.with_arrays(relu, **held), given)
    with pytest.raises(ForeignError, match="states of 'trained' grow without end"):
        quiet(mine)
    held["layer_0.dense_h.kernel"] = np.zeros((4, 4))
    what = mine.what._replace(kinds=("elman", "elman-relu"))
    mine = planting.foreign(planting.with_arrays(relu, **held), given)._replace(what=what)
    path = planting.save(tmp_path / "before.safetensors", grows)
    with pytest.raises(ForeignError, match="states of 'control' grow without end"):
        quiet(mine, before=path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame": "none"}, "frame is 'none': give zero or mean"),
        ({"long": 199}, "long is 199: give a whole number of 200 frames at least"),
        ({"along": Path("nowhere")}, "'nowhere' is no folder"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(done, options, message):
    with pytest.raises(ForeignError, match=message):
        quiet(done.mine, **options)


def test_without_sequences_there_is_nothing_to_look_at(done):
    with pytest.raises(ForeignError, match="there are no sequences"):
        quiet(done.mine._replace(data=None))


def test_a_predictor_is_asked_for_frames(root):
    inputs, lengths = planting.noise(12, 6)
    network = planting.stacked(3, [4], 3, cell="gru", reads="each")
    mine = planting.foreign(network, planting.data(inputs, np.maximum(lengths, 2)))
    found = quiet(mine)
    made = found.arrays("trained")
    assert found.asked.predicts and "loop_kinds" in made
    rows = {what: numbers for what, *numbers in found.rows()}
    # over all frames that are looked at, not only the last
    expected = looked.score(looked.run(network, found.asked.task).outputs, found.asked.task.answers)
    assert rows["variance explained"][0] == f"{expected:.3f}"
    assert "outputs that hang on one direction" in rows
    assert "median time constant, frames" in rows


def test_both_ways_no_ends_are_measured(root):
    given = planting.sequences()
    network = planting.stacked(4, [3], 4, cell="lstm", both_ways=True, reads="ends")
    found = quiet(planting.foreign(network, given))
    what = [row[0] for row in found.rows()]
    assert "places where it ends, fed one frame" not in what
    assert "leading exponent along inputs" not in what and len(what) == 7
    assert "kinds" not in found.arrays("trained")


def test_a_job_that_fails_is_told(root, monkeypatch):
    mine = planting.foreign(planting.elman(), planting.sequences())
    monkeypatch.setattr(looked, "run", None)
    monkeypatch.setattr(ends, "ends", None)
    with pytest.raises(engine.EngineError, match=r"'states of trained' .* failed \(and"):
        quiet(mine)
