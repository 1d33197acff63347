"""Files that PyTorch, Keras, Flax and ONNX wrote themselves, see ``tests/peers``: they come out as
their owners run them, or are refused in a sentence.
"""

import copy
import json
from pathlib import Path

import hostile
import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from rnnatomy.networks.foreign import load, owner, raw, ways
from rnnatomy.store import checkout

FIXTURES = Path(__file__).parent / "fixtures"
CASES = json.loads((FIXTURES / "cases.json").read_text())
TAKEN = {
    case["file"]: case
    for case in CASES
    if "refused" not in case and case["file"] != "torch-mlp-head.safetensors"
}
REFUSED = {
    "torch-projected.pt": "has projections .proj_size.: give an LSTM without",
    "torch-embedding.safetensors": "inputs",
    "torch-mlp-head.safetensors": "the readout has several layers .*'head.0', 'head.2'",
    "torch-pickled-module.pt": "state_dict",
    "torch-torchscript.pt": "TorchScript",
    "torch-legacy.pt": "state_dict|zip",
    "onnx-rnn-dynamo.onnx": "recurrent operators of one kind are read .found: none",
    "onnx-rnn-relu-dynamo.onnx": "recurrent operators of one kind are read .found: none",
    "onnx-external.onnx": "another file",
    "keras-activation.keras": "a LSTM has activation 'relu'",
    "keras-recurrent-activation.keras": "a LSTM has recurrent_activation 'hard_sigmoid'",
    "keras-backwards.keras": "go_backwards",
    "keras-lambda.keras": "a layer 'Lambda' is not read",
}


def paths(case):
    return FIXTURES / case["file"], FIXTURES / case["data"]


def test_every_case_is_taken_or_refused():
    assert set(REFUSED) == {case["file"] for case in CASES} - set(TAKEN)
    assert len(TAKEN) > 60


@pytest.mark.parametrize("name", TAKEN)
def test_a_network_from_elsewhere_gives_its_owners_outputs(name):
    case = TAKEN[name]
    found = load.load(*paths(case))
    config = found.network.config
    half = case.get("dtype") in ("float16", "bfloat16")
    assert found.proof.difference <= found.proof.tolerance == (1e-3 if half else 1e-5)
    assert found.proof.sequences == len(found.data.outputs)
    relu = case.get("nonlinearity") == "relu"
    cell = {"gru": "gru-two-biases", "elman": "elman-relu" if relu else "elman"}
    assert config["cell"] == cell.get(case["cell"], case["cell"])
    hidden = (
        case["hidden"] if isinstance(case["hidden"], list) else [case["hidden"]] * case["layers"]
    )
    assert config["hidden"] == hidden and config["both_ways"] == case["bidirectional"]
    one_way = {"final": "last", "ends": "last"} if not case["bidirectional"] else {"final": "ends"}
    assert one_way.get(config["reads"], config["reads"]) == one_way.get(
        case["reads"], case["reads"]
    )
    assert found.proof.way.output == case["output"]
    assert found.kind.split(",")[0] == case["framework"].split()[0]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_refused_in_a_sentence(name):
    case = next(case for case in CASES if case["file"] == name)
    with pytest.raises(raw.ForeignError, match=REFUSED[name]) as caught:
        load.load(*paths(case))
    message = str(caught.value)
    assert message.isprintable() and len(message) < 500


def test_without_data_or_outputs_nothing_is_proved(tmp_path):
    weights, data = paths(TAKEN["torch-lstm-1.safetensors"])
    inputs = np.load(data)["inputs"]
    np.savez(tmp_path / "bare.npz", inputs=inputs)
    for given in (None, tmp_path / "bare.npz"):
        found = load.load(weights, given)
        assert found.proof.sequences == 0 and str(found.proof).startswith("UNPROVED")
    np.testing.assert_array_equal(found.data.inputs, inputs)


def test_arrays_at_hand_do_as_well_as_a_file():
    weights, data = paths(TAKEN["torch-lstm-packed-last.safetensors"])
    arrays = dict(np.load(data))
    from_file = load.load(weights, data)
    for convert in (np.asarray, jnp.asarray, np.ndarray.tolist):
        found = load.load(weights, {name: convert(array) for name, array in arrays.items()})
        assert found.proof.difference == from_file.proof.difference
        np.testing.assert_array_equal(found.data.inputs, from_file.data.inputs)
    assert repr(found).startswith("<PyTorch, as safetensors: lstm of 5 units, 3 numbers in a frame")
    assert "come out as their owner's" in repr(found)


class OnItsDevice:
    """An array that NumPy cannot have, as one of PyTorch on another device."""

    def __array__(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy.")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"input": np.zeros(3)}, "'input' is unknown: give inputs, lengths, mask"),
        ({"inputs": OnItsDevice()}, r"inputs cannot be made .*cuda:0.* give inputs.detach\(\)"),
        ({"inputs": np.array([[1, None]])}, "inputs holds objects of Python"),
        ({"outputs": np.zeros((1, 1), complex)}, "outputs are complex"),
        ({"labels": [[1, 2], [3]]}, "labels cannot be made an array"),
    ],
)
def test_arrays_that_cannot_be_taken_are_refused(changes, message):
    weights, data = paths(TAKEN["torch-lstm-1.safetensors"])
    with pytest.raises(raw.ForeignError, match=message):
        load.load(weights, dict(np.load(data)) | changes)


@pytest.mark.parametrize("given", [None, "bare"])
def test_what_the_owner_says_is_taken(given, tmp_path):
    weights, data = paths(TAKEN["torch-two-heads.safetensors"])
    np.savez(tmp_path / "bare.npz", inputs=np.load(data)["inputs"])
    told = ways.Choices(readout="aux", reads="mean")
    found = load.load(weights, given and tmp_path / "bare.npz", told)
    assert found.proof.way.head.name == "aux" and found.network.config["reads"] == "mean"


def test_frames_that_a_network_skips_are_left_out_of_all(tmp_path):
    """Per-frame outputs move with their frames."""
    inputs = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    inputs[0, 1] = inputs[1, 3] = -1
    outputs = inputs[..., :2] * 10
    np.savez(tmp_path / "gaps.npz", inputs=inputs, outputs=outputs)
    found, notes = load.masked(owner.read(tmp_path / "gaps.npz"), -1.0)
    assert found.lengths.tolist() == [3, 3] and "Frames of -1 alone are skipped" in notes[0]
    np.testing.assert_array_equal(found.inputs[0, :3], inputs[0, [0, 2, 3]])
    np.testing.assert_array_equal(found.outputs[:, :3], found.inputs[:, :3, :2] * 10)
    same, notes = load.masked(owner.read(tmp_path / "gaps.npz"), 99.0)
    assert notes == [] and same.lengths.tolist() == [4, 4]


@pytest.mark.parametrize("name", ["model.bin", "model", "model.npz", "model.pkl"])
def test_a_file_of_another_format_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(raw.ForeignError, match=r"of no known format: give .safetensors, .pt"):
        load.load(tmp_path / name)


def test_inputs_of_another_width_name_what_was_not_read(tmp_path):
    np.savez(tmp_path / "wide.npz", inputs=np.zeros((2, 7, 5)), outputs=np.zeros((2, 4)))
    with pytest.raises(raw.ForeignError, match=r"5 numbers.* reads 3: give .*embedding"):
        load.load(FIXTURES / "torch-embedding.safetensors", tmp_path / "wide.npz")


@hypothesis.given(st.data())
def test_changed_configs_give_a_network_or_a_sentence(given):
    """Whatever stands in a config of Keras, or in the nodes of an ONNX graph."""
    name = given.draw(st.sampled_from(["keras-stacked.keras", "onnx-gru-before.onnx"]))
    held = KEPT.setdefault(name, load.read(FIXTURES / name))
    config = copy.deepcopy(held.config)
    place = config
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = given.draw(st.sampled_from(list(keys)))
        deeper = isinstance(place[key], dict | list) and len(place[key]) > 0
        if not deeper or given.draw(st.integers(0, 4)) == 0:
            break
        place = place[key]
    place[key] = given.draw(hostile.ANYTHING)
    try:
        assert load.find(held._replace(config=config)).ahead
    except raw.ForeignError as error:
        assert str(error).isprintable()


KEPT = {}


def test_the_published_network_of_pytorch_answers_as_its_facts_say():
    folder = checkout.root() / "results" / "vowels-torch"
    found = load.load(folder / "model.safetensors", folder / "test.npz")
    assert found.proof.sequences == len(found.data.labels) == 370
    answers = ways.outputs(found.network, found.data.inputs, found.data.lengths).argmax(axis=1)
    facts = json.loads((folder / "facts.json").read_text())
    assert np.mean(answers == found.data.labels) == pytest.approx(facts["test_accuracy"], abs=1e-4)
