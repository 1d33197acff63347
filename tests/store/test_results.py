import json
import re

import hostile
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from rnnatomy.store import disk, results

AXES = {
    "readout": ("seed", "class", "hidden"),
    "collapse": ("seed",),
    "pixel_means": ("class", "pixel"),
    "total": (),
    "not there": ("seed",),
}
COORDINATES = {
    "seed": np.arange(3, dtype=np.uint16),
    "class": ["a", "b", "c", "d", "e"],
    "hidden": (0.5, 1.5, 2.5, 4.0),
    "state": (("seed",), ["trained", "shuffled", "trained"]),
    "width": (("seed", "class"), np.arange(15).reshape(3, 5)),
}


@pytest.fixture
def study(root):
    rng = np.random.default_rng(0)
    arrays = {
        "readout": rng.normal(size=(3, 5, 4)).astype(np.float32),
        "collapse": rng.normal(size=4)[:3],
        "pixel_means": np.asfortranarray(rng.normal(size=(5, 6))),
        "total": np.array(3, np.uint8),
    }
    data = results.dataset(arrays, AXES, COORDINATES)
    made = results.Study("toy", data, {"networks": 3, "recipe": {"epochs": 2}})
    results.save_study(root / "results" / "toy", made)
    return made


def assert_is_study(found, study):
    assert (found.name, found.provenance) == (study.name, study.provenance)
    assert set(found.data.data_vars) == set(study.data.data_vars)
    assert set(found.data.coords) == set(study.data.coords)
    for name, array in study.data.data_vars.items():
        np.testing.assert_array_equal(found.data[name], array)
        assert (found.data[name].dtype, found.data[name].dims) == (array.dtype, array.dims)
    for name, along in study.data.coords.items():
        np.testing.assert_array_equal(found.data[name], along)
        assert found.data[name].dims == along.dims


def test_a_study_comes_back_as_it_was_saved_by_name_and_by_path(root, study, monkeypatch):
    assert_is_study(results.load_study("toy"), study)
    monkeypatch.chdir(root)
    results.save_study(root / "mine", study)
    assert_is_study(results.load_study("mine"), study._replace(name="mine"))
    files = {path.name for path in (root / "results" / "toy").iterdir()}
    assert files == {"study.json", "arrays.safetensors"}


def test_a_missing_study_is_answered_with_the_known_ones_and_how_to_make_it(root, study):
    results.save_study(root / "results" / "another", study)
    with pytest.raises(disk.StoreError, match=r"'tiny' .* one of another, toy, or make it"):
        results.load_study("tiny")


def test_a_missing_study_is_answered_where_there_is_none(root):
    with pytest.raises(
        disk.StoreError, match="study 'toy' is missing: choose one of none, or make"
    ):
        results.load_study("toy")


def tamper(folder):
    content = bytearray((folder / "arrays.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "arrays.safetensors").write_bytes(content)


def overwrite(text):
    return lambda folder: (folder / "study.json").write_text(text)


def change(*keys, to):
    """Change one entry of the manifest, as an editor would."""

    def damage(folder):
        document = json.loads((folder / "study.json").read_text())
        place = document
        for key in keys[:-1]:
            place = place[key]
        if to is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = to
        (folder / "study.json").write_text(json.dumps(document))

    return damage


DAMAGE = {
    "one bit": (tamper, "arrays.safetensors is damaged: expected sha256 .* found .*restore"),
    "a missing file": (
        lambda folder: (folder / "arrays.safetensors").unlink(),
        "arrays.safetensors is missing: restore",
    ),
    "half a manifest": (overwrite('{"format": 1,'), "study.json cannot be read as JSON .* restore"),
    "a foreign manifest": (
        overwrite('{"format": 1, "sha256": {}}'),
        "study.json is not a manifest of format 1",
    ),
    "a later format": (
        overwrite('{"format": 2, "provenance": {}, "sha256": {}}'),
        "study.json is not a manifest of format 1",
    ),
    "a manifest that names no arrays": (
        overwrite('{"format": 1, "provenance": {}, "sha256": {}}'),
        "study.json is not a manifest of format 1",
    ),
    "a list of checksums": (
        overwrite('{"format": 1, "provenance": {}, "sha256": ["arrays.safetensors"]}'),
        "study.json is not a manifest of format 1",
    ),
    "an older format": (
        change("axes", to=None),
        r"study\.json is of an older version, without 'axes': restore it\.$",
    ),
    "a list for the provenance": (
        change("provenance", to=[]),
        r"study\.json: 'provenance' is no table; restore it",
    ),
    "an axis twice": (
        change("axes", "readout", to=["seed", "seed", "hidden"]),
        r"'toy': .* do not fit \(array 'readout' has shape \(3, 5, 4\), and axes .* each once",
    ),
    "too few axes": (
        change("axes", "readout", to=["seed", "class"]),
        r"do not fit \(array 'readout' has shape \(3, 5, 4\), and axes \('seed', 'class'\)",
    ),
    "an axis of two lengths": (
        change("axes", "pixel_means", to=["class", "hidden"]),
        r"do not fit \(axis 'hidden' has \d places in '\w+', elsewhere \d",
    ),
    "an array without axes": (
        change("axes", "collapse", to=None),
        r"do not fit \(array 'collapse' has no axes",
    ),
    "an array that is missing": (
        change("axes", "more", to=["seed"]),
        r"do not fit \(array 'more' is missing\); restore it",
    ),
    "a word for axes": (
        change("axes", "collapse", to="s"),
        r"do not fit \(the axes of 'collapse' are 's', no list of names\)",
    ),
    "a list for all axes": (change("axes", to=[]), "do not fit .*; restore it"),
    "a coordinate of another length": (
        change("coordinates", "seed", "values", to=[0, 1]),
        r"do not fit \(coordinate 'seed' has shape \(2,\) along \('seed',\): give one value",
    ),
    "a coordinate of an axis that is not there": (
        change("coordinates", "state", "axes", to=["network"]),
        r"do not fit \(coordinate 'state' has shape \(3,\) along \('network',\)",
    ),
    "a coordinate with the name of another axis": (
        change("coordinates", "seed", to={"axes": ["class"], "values": [1, 2, 3, 4, 5]}),
        r"do not fit \(coordinate 'seed' has the name of an array or of another axis",
    ),
    "a coordinate with the name of an array": (
        change("coordinates", "collapse", to={"axes": ["seed"], "values": [1, 2, 3]}),
        r"do not fit \(coordinate 'collapse' has the name of an array",
    ),
    "a coordinate of nothing": (
        change("coordinates", "seed", "values", to=[None, 1, 2]),
        r"do not fit \(coordinate 'seed' has .* neither numbers nor words",
    ),
    "a ragged coordinate": (
        change("coordinates", "seed", "values", to=[[0], 1, 2]),
        "do not fit .*; restore it",
    ),
    "a coordinate without values": (
        change("coordinates", "seed", to={"axes": ["seed"]}),
        r"do not fit \('values'\)",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_study_is_refused(root, study, damage, message):
    folder = root / "results" / "toy"
    damage(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(disk.StoreError, match=message) as raised:
        results.load_study("toy")
    assert "\n" not in str(raised.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("number", [1, 2])
def test_a_save_that_fails_midway_leaves_the_last(root, study, fail_write, number):
    fewer = study._replace(data=study.data[["collapse"]], provenance={"networks": 2})
    fail_write(number)
    with pytest.raises(disk.StoreError, match=r"cannot be written .*no space left.*: make room"):
        results.save_study(root / "results" / "toy", fewer)
    assert_is_study(results.load_study("toy"), study)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_an_editor_does_to_a_study_it_is_read_or_refused(root, study, data):
    manifest = root / "results" / "toy" / "study.json"
    hostile.edit_and_load(manifest, data, lambda: results.load_study("toy"))


UNFIT = ["x" * 300, "a/" + "x" * 300, "a\0b", "results/toy/study.json", "/dev/null"]


@pytest.mark.parametrize("name", UNFIT)
def test_a_name_that_no_study_can_have_is_missing(root, study, name):
    with pytest.raises(disk.StoreError, match="is missing: choose one of toy, or make it") as e:
        results.load_study(name)
    assert len(str(e.value)) < 200


def test_where_no_study_can_be_written_is_one_sentence(root, study):
    (root / "file").write_text("")
    for name in ("x" * 300, "../file", "../file/below"):
        with pytest.raises(disk.StoreError, match=r"study\.json cannot be written \([A-Z].*: make"):
            results.publish(name, study.data, {})
    assert results.published() == ["toy"]


def test_a_study_saved_again_replaces_the_last(root, study):
    fewer = study._replace(data=study.data[["collapse"]], provenance={"networks": 2})
    results.save_study(root / "results" / "toy", fewer)
    assert_is_study(results.load_study("toy"), fewer)


def test_a_run_is_no_study(root, study):
    (root / "results" / "toy-0").mkdir()
    (root / "results" / "toy-0" / "run.json").write_text("{}")
    assert results.published() == ["toy"]
    with pytest.raises(disk.StoreError, match="'toy-0' is missing: choose one of toy, or make"):
        results.load_study("toy-0")


def test_values_are_selected_by_name(study):
    data = study.data
    assert data["readout"].sel({"seed": 2, "class": "d", "hidden": 4.0}) == data["readout"][2, 3, 3]
    assert data["state"].sel(seed=1) == "shuffled" and data["width"].sel({"class": "b"})[2] == 11


REFUSED = {
    "an array without axes": ({"b": np.zeros(2)}, {}, "array 'b' has no axes"),
    "too many axes": (
        {"a": np.zeros(2)},
        {},
        r"array 'a' has shape (2,), and axes ('x', 'y'): give as many, each once",
    ),
    "an axis of two lengths": (
        {"a": np.zeros((2, 3)), "c": np.zeros(4)},
        {},
        "axis 'x' has 4 places in 'c', elsewhere 2: give axes of other lengths other names",
    ),
    "a coordinate that does not fit": (
        {"c": np.zeros(4)},
        {"x": [1, 2]},
        "coordinate 'x' has shape (2,) along ('x',): give one value for each place",
    ),
    "a coordinate of no axis": (
        {"c": np.zeros(4)},
        {"y": [1, 2]},
        "coordinate 'y' has shape (2,) along ('y',): give one value for each place",
    ),
    "a coordinate of other axes": (
        {"a": np.zeros((2, 3))},
        {"size": (("x", "y"), np.zeros((3, 2)))},
        "coordinate 'size' has shape (3, 2) along ('x', 'y')",
    ),
    "words": (
        {"c": np.array(["a"])},
        {},
        "array 'c' holds words or objects: give numbers, and words as coordinates",
    ),
    "a coordinate in the place of an array": (
        {"c": np.zeros(2)},
        {"c": (("x",), [1, 2])},
        "coordinate 'c' has the name of an array",
    ),
}


@pytest.mark.parametrize(("arrays", "coordinates", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_together_is_one_clear_error(arrays, coordinates, message):
    axes = {"a": ("x", "y"), "c": ("x",)}
    with pytest.raises(ValueError, match=re.escape(message)):
        results.dataset(arrays, axes, coordinates)


@pytest.mark.parametrize(
    "bad",
    [
        lambda study: study._replace(provenance={"seed": object()}),
        lambda study: study._replace(data=study.data.assign(words=("seed", ["a", "b", "c"]))),
    ],
    ids=["provenance", "words"],
)
def test_a_study_that_cannot_be_written_leaves_the_last(root, study, bad):
    with pytest.raises((TypeError, SafetensorError)):
        results.save_study(root / "results" / "toy", bad(study))
    assert_is_study(results.load_study("toy"), study)


def test_rows_are_stacked_along_their_axis_and_nothing_else_is():
    rng = np.random.default_rng(0)
    axes = {"a": ("x", "row", "y"), "b": ("row",), "c": ("y",)}
    rows = [{"a": rng.normal(size=(2, 3)), "b": np.array(k), "c": np.ones(3)} for k in range(4)]
    del rows[1]["b"]  # what only some rows have, as long as these are
    found = results.stack(rows, axes, "row")
    assert found.keys() == {"a", "b"} and found["a"].shape == (2, 4, 3)
    for k, row in enumerate(rows):
        np.testing.assert_array_equal(found["a"][:, k], row["a"])
    assert found["b"].tolist() == [0, 2, 3]
    assert results.without(axes, "row", "y") == {"a": ("x",), "b": (), "c": ()}
    back = results.arrays(results.dataset(rows[0], results.without(axes, "row")))
    assert back.keys() == {"a", "b", "c"}
    np.testing.assert_array_equal(back["a"], rows[0]["a"])


def test_a_study_is_published_with_where_it_comes_from(root, study):
    results.publish("other", study.data, {"networks": 3, "data": "digits"})
    found = results.load_study("other")
    assert found.provenance["networks"] == 3 and found.provenance["data"] == "digits"
    assert {"command", "commit", "versions", "device"} <= found.provenance.keys()
    assert_is_study(found, results.Study("other", study.data, found.provenance))
    assert results.published() == ["other", "toy"]


@pytest.mark.parametrize(
    "facts",
    [{"networks": 2}, {"recipe": {"epochs": 3}}, {"networks": 5, "recipe": 1}],
)
def test_a_study_of_other_settings_is_not_replaced(root, study, monkeypatch, facts):
    with pytest.raises(disk.StoreError, match=r"^study 'toy' is published with .* REPLACE=1 "):
        results.publish("toy", study.data * 2, facts)
    assert results.load_study("toy").data.identical(study.data)
    monkeypatch.setenv("REPLACE", "1")
    results.publish("toy", study.data * 2, facts)
    assert results.load_study("toy").data.identical(study.data * 2)
    assert facts.items() <= results.load_study("toy").provenance.items()


@pytest.mark.parametrize(
    "facts",
    [{"networks": 3}, {"networks": 4}, {"recipe": {"epochs": 2}}, {"more": 1, "wall_seconds": 3.0}],
)
def test_a_study_of_the_same_settings_or_more_networks_is_replaced(root, study, facts):
    results.publish("toy", study.data * 2, facts)
    results.publish("toy", study.data * 3, facts | {"wall_seconds": 1.0, "reused": "all"})
    assert results.load_study("toy").data.identical(study.data * 3)


def test_a_damaged_study_is_replaced(root, study):
    (root / "results" / "toy" / "study.json").write_text("[")
    results.publish("toy", study.data, {"networks": 1})
    assert results.load_study("toy").provenance["networks"] == 1


@pytest.mark.parametrize("name", results.published())
def test_every_published_study_can_be_read(name):
    found = results.load_study(name)
    assert found.name == name and found.data.data_vars and found.provenance["wall_seconds"] > 0
