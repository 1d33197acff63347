import json

import jax
import numpy as np
import pytest
from safetensors.numpy import save

from rnnatomy.store import checkpoints, disk

STATE = ({"w": jax.numpy.arange(6.0).reshape(2, 3)}, jax.numpy.int32(4))
IDENTITY = {"keys": [1, 2], "recipe": {"epochs": 3}}


def test_a_checkpoint_comes_back_bit_for_bit_scalars_and_all(tmp_path):
    path = tmp_path / "deep" / "a.safetensors"
    history = [{"loss": np.float32([1, k]), "seconds": np.float64(k)} for k in range(11)]
    checkpoints.save(path, STATE, IDENTITY, history)
    (parameters, count), found = checkpoints.load(path, STATE, IDENTITY)
    np.testing.assert_array_equal(parameters["w"], STATE[0]["w"])
    assert count.shape == () and count == 4 and count.dtype == "int32"
    assert [record["seconds"] for record in found] == list(range(11))
    assert found[10]["seconds"].shape == () and found[10]["loss"].tolist() == [1, 10]


def test_a_history_comes_back_in_the_order_of_its_names(tmp_path):
    path = tmp_path / "a.safetensors"
    record = {"loss": np.float32([1]), "z": np.float64(2), "a": np.int32(3), "seconds": np.ones(2)}
    checkpoints.save(path, STATE, IDENTITY, [record, record])
    _, found = checkpoints.load(path, STATE, IDENTITY)
    assert [list(one) for one in found] == [["loss", "z", "a", "seconds"]] * 2


def test_a_checkpoint_of_before_names_were_kept_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    arrays = {"0000": STATE[0]["w"], "0001": STATE[1], "history.0000.loss": np.ones(2)}
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    path.write_bytes(save(arrays, {"identity": json.dumps(IDENTITY)}))
    _, found = checkpoints.load(path, STATE, IDENTITY)
    assert [list(one) for one in found] == [["loss"]]


@pytest.mark.parametrize(
    ("like", "identity"),
    [
        (STATE, IDENTITY | {"keys": [1, 3]}),
        (({"w": jax.numpy.zeros((2, 4))}, STATE[1]), IDENTITY),
        ((*STATE, STATE[1]), IDENTITY),
    ],
    ids=["another identity", "another shape", "another leaf"],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, like, identity):
    path = tmp_path / "a.safetensors"
    checkpoints.save(path, STATE, IDENTITY, [])
    with pytest.raises(disk.StoreError, match=r"a\.safetensors belongs to another .* remove it"):
        checkpoints.load(path, like, identity)


@pytest.mark.parametrize("size", [0, 4, 40, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, size):
    path = tmp_path / "a.safetensors"
    checkpoints.save(path, STATE, IDENTITY, [])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(disk.StoreError, match=r"a\.safetensors .* is damaged"):
        checkpoints.load(path, STATE, IDENTITY)
