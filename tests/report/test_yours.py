"""A network built by hand: what was planted in it is what its page says."""

import numpy as np
import pytest
from bs4 import BeautifulSoup
from flax import nnx
from markdown_it import MarkdownIt

from rnnatomy.analysis import pod
from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import load, owner, proof, ways
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.report import tables, yours

FEATURE, CLASSES, EACH = 4, 4, 6


def planted():
    """An Elman network whose state is its last frame; unit k carries class k, but the first two
    classes hang on one direction: unit 0, with either sign.
    """
    network = models.Stacked(FEATURE, [FEATURE], CLASSES, cell="elman", rngs=nnx.Rngs(0))
    arrays = {name: np.zeros_like(array) for name, array in access.flatten(network).items()}
    arrays["layer_0.dense_i.kernel"] = np.eye(FEATURE, dtype=np.float32)
    arrays["layer_0.dense_h.kernel"] = np.eye(FEATURE, dtype=np.float32) / 1000
    arrays["readout.bias"][2:] = 1
    arrays["readout.kernel"][0] = [9, -9, 0, 0]
    arrays["readout.kernel"][1] = [-1, -1, 4, -2]
    arrays["readout.kernel"][2] = [-1, -1, -1, 3]
    access.unflatten(arrays, network)
    return network


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(CLASSES), EACH)
    inputs = rng.normal(size=(len(labels), 6, FEATURE)).astype(np.float32) * 0.1
    lengths = rng.integers(3, 7, len(labels))
    place, sign = np.array([0, 0, 1, 2])[labels], np.array([1, -1, 1, 1])[labels]
    inputs[np.arange(len(labels)), lengths - 1, place] = sign
    return owner.Owner(inputs, lengths, labels, None, None, ("a", "b", "c", "d"), ())


@pytest.fixture(scope="module")
def found(data):
    return yours.run(planted(), data)


def mine(data, **changes):
    network = models.Stacked(
        FEATURE, [5], changes.pop("classes", CLASSES), cell="gru", rngs=nnx.Rngs(1), **changes
    )
    head = ways.found.Head("fc", np.zeros((5, CLASSES)), np.zeros(CLASSES))
    way = ways.Way("gru", None, "last", head, "logits")
    shown = proof.Proof(way, 0.0, 1e-5, 3, 1)
    return load.Foreign(network, shown, None, "PyTorch", data, ())


def test_classes_on_one_direction_are_lost_with_it_and_no_other(found, data):
    assert (found.last @ found.readout.W.T).argmax(axis=1).tolist() == data.labels.tolist()
    needed = yours.single(found, data.labels)
    assert needed[0, :2].max() < yours.LOST and needed[0, 2:].min() == 1
    assert needed[1:, :2].min() == 1


def test_states_stand_after_the_last_frame_of_each_sequence(found, data):
    expected = np.tanh(data.inputs[np.arange(len(data.labels)), data.lengths - 1])
    np.testing.assert_allclose(found.last, expected, atol=1e-3)


def test_readers_read_what_was_planted_at_the_end_and_nothing_before(found, data):
    control = yours.run(access.shuffled(planted(), np.random.default_rng(3)), data)
    readers = yours.readable(found, control, data)
    assert readers["its own readout"][-1] == readers["a line, its state"][-1] == 1
    assert readers["a line, the frame"][-1] == 1
    assert max(shares[0] for shares in readers.values()) < 0.7


def test_ranks_of_planted_matrices(found):
    table = yours.stable_ranks(found, np.random.default_rng(0))
    shape, own, chance = table["input h"]
    assert shape == "4 x 4" and own == pytest.approx(4) and chance < 4
    assert list(table) == ["input h", "recurrent h"]


def test_a_network_that_forgets_ends_in_one_place(found, data):
    ended = yours.ends(found.network, data, np.zeros(FEATURE), 200)
    rows = yours.ends_rows({"it": ended}, data.names)
    assert [row[:3] for row in rows] == [["it", "fixed point", "1.00"]]


def test_modes_leave_out_what_follows_the_end(found, data):
    spoilt = found.states.copy()
    spoilt[np.arange(spoilt.shape[1]) >= data.lengths[:, None]] = 99
    kept, other = (yours.modes(one, data) for one in (found, found._replace(states=spoilt)))
    np.testing.assert_allclose(pod.energies(other), pod.energies(kept))
    counted = np.arange(data.inputs.shape[1]) < data.lengths[:, None]
    np.testing.assert_allclose(yours.mean_frame(data), data.inputs[counted].mean(0), atol=1e-6)


def test_a_row_for_each_network_of_a_training(found, data):
    rows = yours.course({"start": found, "end": found}, data, data.labels)
    assert [row[0] for row in rows] == ["start", "end"] and rows[0][1:] == rows[1][1:]
    lost = (yours.single(found, data.labels) < yours.LOST).any(axis=0).sum()
    assert rows[0][1] == "1.000" and rows[0][4] == str(lost) and lost >= 2


def test_facts_say_what_it_is(data):
    facts = dict(yours.facts(mine(data)))
    assert facts["cell, units"] == "gru, 5" and facts["classes"] == "4"
    assert facts["sequences"] == f"24, of {data.lengths.min()} to {data.lengths.max()} frames"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"reads": "each"}, "the readout reads each: this page"),
        ({"reads": "ends", "both_ways": True}, "the readout reads ends, both ways"),
        ({"classes": 13}, "the readout has 13 classes: give 2 to 12"),
        ({"classes": 3}, "labels go to 3: give 5 of each of the 3 classes"),
        ({"classes": 5}, "of class 4 there are 0 sequences"),
    ],
)
def test_what_this_page_cannot_be_made_of_is_refused(data, changes, message):
    with pytest.raises(ForeignError, match=message):
        yours.sequences(mine(data, **changes), np.random.default_rng(0))


def test_without_labels_there_is_no_page(data):
    for given in (None, data._replace(labels=None)):
        with pytest.raises(ForeignError, match="there are no labels: add them"):
            yours.sequences(mine(given), np.random.default_rng(0))
    assert yours.sequences(mine(data), np.random.default_rng(0)) is data


def test_of_many_sequences_some_of_each_class_are_looked_at(data, monkeypatch):
    monkeypatch.setattr(yours, "MOST", 21)
    some = yours.sequences(mine(data), np.random.default_rng(0))
    assert np.bincount(some.labels).tolist() == [5] * CLASSES
    assert some.notes == ("Of 24 sequences, 20 drawn at random are looked at.",)
    for k, (frames, label) in enumerate(zip(some.inputs, some.labels, strict=True)):
        same = (data.inputs == frames).all(axis=(1, 2))
        assert data.labels[same].tolist() == [label] and data.lengths[same] == some.lengths[k]


def test_short_names_tell_classes_apart_and_begin_no_mathematics():
    assert yours.short(["speaker 1", "speaker 2"]) == ["1", "2"]
    assert yours.short(["left hand", "right hand"]) == ["0", "1"]
    assert yours.short(["a$b$", "", "ein sehr langesWort"]) == [r"a\$b\$", "", "langesWo"]


def test_markup_in_names_stays_text_in_a_table(found, data):
    ended = yours.ends(found.network, data, np.zeros(FEATURE), 200)
    names = ["<script>alert(1)</script> **b** $x$ | [a](http://b)"] * CLASSES
    text = tables.markdown(["", "", "", "", ""], yours.ends_rows({"it": ended}, names))
    shown = MarkdownIt().enable("table").render(text)
    cells = BeautifulSoup(shown, "html.parser").find_all("td")
    assert cells[3].get_text() == names[0] and not cells[3].find()


def test_checkpoints_are_counted_as_people_do(tmp_path):
    for name in ("step-10.pt", "step-2.pt", "notes.txt", "step-1.PT"):
        (tmp_path / name).touch()
    assert [p.name for p in yours.checkpoints(tmp_path)] == ["step-1.PT", "step-2.pt", "step-10.pt"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ForeignError, match="'none' holds 0 weight files: give a folder of 1 to 50"):
        yours.checkpoints(tmp_path / "none")
