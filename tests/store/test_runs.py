import ast
import json
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnatomy.networks import access, models, runs
from rnnatomy.store import checkout, checkpoints, disk, origin, results

LIBRARY = Path(runs.__file__).parent
states_in_range = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=3), elements=st.floats(-1, 1, width=32)
)


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    model = models.Classifier(3, 4, 5, rngs=nnx.Rngs(0))
    return runs.Run(
        name="toy-0",
        kind="Classifier",
        parameters=access.flatten(model),
        metrics={"test_accuracy": 0.5},
        provenance={"seed": 0},
        states=np.tanh(rng.normal(size=(20, 4))).astype(np.float32),
        labels=np.arange(20, dtype=np.int32) % 5,
    )


@pytest.fixture
def folder(root, run):
    folder = root / "results" / run.name
    runs.save_run(folder, run)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_comes_back_as_it_was_saved(folder, run):
    found = runs.load_run("toy-0")
    assert found[:2] + found[3:5] == run[:2] + run[3:5]
    assert found.parameters.keys() == run.parameters.keys()
    for name, array in run.parameters.items():
        np.testing.assert_array_equal(found.parameters[name], array)
    np.testing.assert_array_equal(found.labels, run.labels)
    assert np.abs(found.states - run.states).max() <= 1 / 254


def test_a_run_is_found_by_name_by_path_and_first_among_those_made_here(folder, run, root):
    assert runs.load_run(str(folder)).metrics["test_accuracy"] == 0.5
    runs.save_run(root / "build" / "runs" / "toy-0", run._replace(metrics={"test_accuracy": 0.7}))
    assert runs.load_run("toy-0").metrics["test_accuracy"] == 0.7


def test_a_run_without_states_comes_back_without(root, run):
    runs.save_run(root / "results" / "bare-0", run._replace(states=None, labels=None))
    found = runs.load_run("bare-0")
    assert found.states is None and found.labels is None


def test_saving_again_replaces_the_run(folder, run):
    runs.save_run(folder, run._replace(metrics={"test_accuracy": 1.0}))
    assert runs.load_run("toy-0").metrics == {"test_accuracy": 1.0}
    assert set(files(folder)) == {"run.json", "parameters.safetensors", "states.safetensors"}


@given(states_in_range)
def test_quantising_errs_by_half_a_level_at_most(states):
    levels = runs.quantise(states)
    assert levels.dtype == np.int8
    assert np.abs(runs.dequantise(levels) - states).max() <= 1 / 254 + 1e-7


@given(hnp.arrays(np.int8, hnp.array_shapes(), elements=st.integers(-127, 127)))
def test_quantising_again_changes_nothing(levels):
    np.testing.assert_array_equal(runs.quantise(runs.dequantise(levels)), levels)


def tamper(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def truncate_behind_a_matching_checksum(folder):
    path = folder / "parameters.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    document = json.loads((folder / "run.json").read_text())
    document["sha256"][path.name] = runs.hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "run.json").write_text(json.dumps(document))


DAMAGE = {
    "one bit": (
        lambda folder: tamper(folder / "parameters.safetensors"),
        "parameters.safetensors is damaged: expected sha256 .* found .*restore",
    ),
    "a missing file": (
        lambda folder: (folder / "states.safetensors").unlink(),
        "states.safetensors is missing: restore the run",
    ),
    "truncated arrays": (
        truncate_behind_a_matching_checksum,
        "parameters.safetensors is no safetensors file, or is damaged",
    ),
    "half a manifest": (
        lambda folder: (folder / "run.json").write_text('{"format": 1,'),
        "run.json cannot be read as JSON .* restore",
    ),
    "bytes for a manifest": (
        lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe\x00"),
        "run.json cannot be read as JSON",
    ),
    "a list for a manifest": (
        lambda folder: (folder / "run.json").write_text("[1]"),
        "run.json is not a manifest of format 1",
    ),
    "a foreign manifest": (
        lambda folder: (folder / "run.json").write_text('{"format": 1, "sha256": {}}'),
        "run.json is not a manifest of format 1",
    ),
    "a later format": (
        lambda folder: (folder / "run.json").write_text('{"format": 2, "sha256": {}}'),
        "run.json is not a manifest of format 1",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_run_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(disk.StoreError, match=message):
        runs.load_run("toy-0")


def test_a_run_of_another_kind_is_refused(folder):
    with pytest.raises(disk.StoreError, match="'toy-0' holds a Classifier, not a Seq2Seq"):
        runs.load_run("toy-0", kind="Seq2Seq")


def test_an_unknown_name_is_answered_with_the_known_ones(folder, run):
    runs.save_run(folder.parent / "toy-1", run)
    with pytest.raises(disk.StoreError, match="'toy-9' is missing: choose one of toy-0, toy-1"):
        runs.load_run("toy-9")


def test_an_unknown_name_is_answered_where_nothing_is_published(root):
    with pytest.raises(disk.StoreError, match="choose one of none"):
        runs.load_run("toy-9")


def test_runs_are_published_in_the_order_of_their_seeds(root):
    for name in ("b-2", "a-10", "a-2", "a-0", "a-1"):
        (root / "results" / name).mkdir(parents=True)
        (root / "results" / name / "run.json").write_text("{}")
    (root / "results" / "a-3").mkdir()
    assert runs.published() == ["a-0", "a-1", "a-2", "a-10", "b-2"]
    assert runs.published("a-") == ["a-0", "a-1", "a-2", "a-10"]


def fail(*_):
    raise OSError("no space left")


def fail_at(number, monkeypatch):
    """Let the write of that number fail, counted from now."""
    write, calls = disk.write, []

    def failing(path, content):
        calls.append(path)
        if len(calls) == number:
            fail()
        write(path, content)

    monkeypatch.setattr(disk, "write", failing)


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step):
    path = tmp_path / "a.json"
    disk.write(path, b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="no space left"):
        disk.write(path, b"new")
    assert files(tmp_path) == {"a.json": b"old"}


def test_a_written_file_can_be_read_by_all(tmp_path):
    disk.write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_save_that_fails_midway_leaves_no_run(root, run, monkeypatch, number):
    folder = root / "results" / run.name
    runs.save_run(folder, run)
    fail_at(number, monkeypatch)
    with pytest.raises(OSError, match="no space left"):
        runs.save_run(folder, run._replace(metrics={}))
    with pytest.raises(disk.StoreError, match="'toy-0' is missing"):
        runs.load_run("toy-0")


@pytest.fixture
def study(root):
    rng = np.random.default_rng(0)
    arrays = {
        "seed": np.arange(3, dtype=np.uint16),
        "readout": rng.normal(size=(3, 5, 4)).astype(np.float32),
        "collapse": rng.normal(size=4)[:3],
        "pixel_means": np.asfortranarray(rng.normal(size=(5, 6))),
    }
    made = results.Study("toy", arrays, {"networks": 3, "recipe": {"epochs": 2}})
    results.save_study(root / "results" / "toy", made)
    return made


def assert_is_study(found, study):
    assert (found.name, found.provenance) == (study.name, study.provenance)
    assert found.arrays.keys() == study.arrays.keys()
    for name, array in study.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


def test_a_study_comes_back_as_it_was_saved_by_name_and_by_path(root, study, monkeypatch):
    assert_is_study(results.load_study("toy"), study)
    monkeypatch.chdir(root)
    results.save_study(root / "mine", study)
    assert_is_study(results.load_study("mine"), study._replace(name="mine"))
    assert set(files(root / "results" / "toy")) == {"study.json", "arrays.safetensors"}


def test_a_study_is_not_listed_among_runs(root, study, run):
    runs.save_run(root / "results" / "toy-0", run)
    assert runs.published() == ["toy-0"]
    with pytest.raises(disk.StoreError, match="'toy' is missing: choose one of toy-0, or"):
        runs.load_run("toy")
    with pytest.raises(
        disk.StoreError, match="study 'toy-0' is missing: choose one of toy, or make"
    ):
        results.load_study("toy-0")


def test_a_missing_study_is_answered_with_the_known_ones_and_how_to_make_it(root, study):
    results.save_study(root / "results" / "another", study)
    with pytest.raises(disk.StoreError, match=r"'tiny' .* one of another, toy, or make it"):
        results.load_study("tiny")


def test_a_missing_study_is_answered_where_there_is_none(root):
    with pytest.raises(
        disk.StoreError, match="study 'toy' is missing: choose one of none, or make"
    ):
        results.load_study("toy")


STUDY_DAMAGE = {
    "one bit": (
        lambda folder: tamper(folder / "arrays.safetensors"),
        "arrays.safetensors is damaged: expected sha256 .* found .*restore",
    ),
    "a missing file": (
        lambda folder: (folder / "arrays.safetensors").unlink(),
        "arrays.safetensors is missing: restore",
    ),
    "half a manifest": (
        lambda folder: (folder / "study.json").write_text('{"format": 1,'),
        "study.json cannot be read as JSON .* restore",
    ),
    "a foreign manifest": (
        lambda folder: (folder / "study.json").write_text('{"format": 1, "sha256": {}}'),
        "study.json is not a manifest of format 1",
    ),
    "a later format": (
        lambda folder: (folder / "study.json").write_text(
            '{"format": 2, "provenance": {}, "sha256": {}}'
        ),
        "study.json is not a manifest of format 1",
    ),
    "a manifest that names no arrays": (
        lambda folder: (folder / "study.json").write_text(
            '{"format": 1, "provenance": {}, "sha256": {}}'
        ),
        "study.json is not a manifest of format 1",
    ),
    "a list of checksums": (
        lambda folder: (folder / "study.json").write_text(
            '{"format": 1, "provenance": {}, "sha256": ["arrays.safetensors"]}'
        ),
        "study.json is not a manifest of format 1",
    ),
}


@pytest.mark.parametrize(("damage", "message"), STUDY_DAMAGE.values(), ids=STUDY_DAMAGE)
def test_a_damaged_study_is_refused(root, study, damage, message):
    damage(root / "results" / "toy")
    with pytest.raises(disk.StoreError, match=message):
        results.load_study("toy")


@pytest.mark.parametrize("number", [1, 2])
def test_a_save_that_fails_midway_leaves_no_study(root, study, monkeypatch, number):
    fail_at(number, monkeypatch)
    with pytest.raises(OSError, match="no space left"):
        results.save_study(root / "results" / "toy", study._replace(provenance={}))
    with pytest.raises(disk.StoreError, match="'toy' is missing"):
        results.load_study("toy")


def test_a_study_saved_again_replaces_the_last(root, study):
    fewer = study._replace(arrays={"seed": np.arange(2)}, provenance={"networks": 2})
    results.save_study(root / "results" / "toy", fewer)
    assert_is_study(results.load_study("toy"), fewer)


def test_parameters_go_into_a_fresh_model_and_back(run):
    model = models.Classifier(3, 4, 5, rngs=nnx.Rngs(1))
    assert (access.flatten(model)["readout.kernel"] != run.readout.T).all()
    access.unflatten(run.parameters, model)
    for name, array in access.flatten(model).items():
        np.testing.assert_array_equal(array, run.parameters[name])


@pytest.mark.parametrize("shape", [(2, 4, 5), (3, 5, 5), (3, 4, 6)])
def test_parameters_of_another_shape_are_refused_and_change_nothing(run, shape):
    model = models.Classifier(*shape, rngs=nnx.Rngs(1))
    before = access.flatten(model)
    with pytest.raises(disk.StoreError, match=r"do not fit the model: expected .* found"):
        access.unflatten(run.parameters, model)
    for name, array in access.flatten(model).items():
        np.testing.assert_array_equal(array, before[name])


def test_parameters_with_a_missing_name_are_refused(run):
    model = models.Classifier(3, 4, 5, rngs=nnx.Rngs(1))
    del run.parameters["readout.bias"]
    with pytest.raises(disk.StoreError, match="do not fit the model"):
        access.unflatten(run.parameters, model)


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


def test_provenance_tells_commit_versions_and_device():
    found = origin.provenance("make results", seed=3)
    assert found["command"] == "make results" and found["seed"] == 3
    assert set(origin.PACKAGES) | {"python"} == set(found["versions"])
    assert found["device"].startswith("cpu, ") and found["cores"] >= 1 and found["system"]


def test_provenance_outside_a_repository_does_not_know_its_commit(root):
    assert origin.provenance("make results")["commit"] == "unknown"


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.py")), ids=lambda path: path.name)
def test_the_library_unpickles_nothing(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            assert not {"pickle", "dill", "joblib"} & {name.name for name in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.module not in {"pickle", "dill", "joblib"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert node.value.value is False
