import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.linalg import expm
from scipy.spatial.transform import Rotation

from rnnatomy.data import files, mocap

REAL_DATA = os.environ.get("RNNATOMY_DATA")
TRUTH = "3\r\n1 walking\r\n3 4 5\r\n2 jump_up \r\n6 7 8 \r\n3 walk\r\n10\r\n"
seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def text(frames):
    return "".join(",".join(map(str, row)) + "\n" for row in frames)


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Files like the real ones: two of walking, one of washwindow, and one recording."""
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "cmu_mocap"
    frames = {}
    for seed, name in enumerate(["walking_1", "walking_2", "washwindow_1"]):
        part = "test" if name == "washwindow_1" else "train"
        path = folder / part / name[:-2] / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        frames[name] = normal(seed, 9, 117).astype(np.float32)
        path.write_text(text(frames[name]))
    trial = folder / "subject_86"
    trial.mkdir()
    frames["01"] = normal(9, 10, 96)
    savemat(trial / "01.mat", {"expmapchannels": frames["01"]})
    (trial / "01_ground_truth.txt").write_text(TRUTH, newline="")
    paths = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.name)
    made = SimpleNamespace(folder=folder, frames=frames, address="http://127.0.0.1:9/", urls={})
    made.registry = {str(path.relative_to(folder)): checksum(path) for path in paths}

    def source():
        where = files.cache("cmu_mocap"), made.address
        return pooch.create(*where, registry=made.registry, urls=made.urls)

    monkeypatch.setattr(mocap, "_source", source)
    return made


@pytest.fixture
def serve(tmp_path, tiny, server):
    """Offer the tiny files for download, some elsewhere than usual, and none at hand."""
    root = tmp_path / "served"
    (root / "truth").mkdir(parents=True)
    shutil.move(tiny.folder, root / "usual")
    (root / "usual/subject_86/01_ground_truth.txt").rename(root / "truth/01_ground_truth.txt")
    address = server(root)
    tiny.address = f"{address}usual/"
    tiny.urls = {"subject_86/01_ground_truth.txt": f"{address}truth/01_ground_truth.txt"}
    return root


# sequences


def test_sequences_are_read_without_the_first_row_of_the_file(tiny):
    found = mocap.sequences()
    assert [sequence.name for sequence in found] == ["walking_1", "walking_2", "washwindow_1"]
    assert [sequence.action for sequence in found] == ["walking", "walking", "washwindow"]
    for sequence in found:
        assert sequence.frames.dtype == np.float32 and sequence.rate == 120
        np.testing.assert_array_equal(sequence.frames, tiny.frames[sequence.name][1:])


def test_single_sequences_are_read_whole(tiny):
    found = mocap.with_first_rows(["washwindow_1", "walking_2"])
    assert [(s.name, s.action) for s in found] == [
        ("washwindow_1", "washwindow"),
        ("walking_2", "walking"),
    ]
    for sequence in found:
        np.testing.assert_array_equal(sequence.frames, tiny.frames[sequence.name])


@pytest.mark.parametrize(("name", "hint"), [("walkin_2", r" \('walking_2' looks"), ("01", r"\.$")])
def test_a_single_sequence_that_is_not_there_is_refused(tiny, name, hint):
    with pytest.raises(ValueError, match=f"'{name}' is unknown: give a name like .*{hint}"):
        mocap.with_first_rows(["walking_1", name])


def test_actions_are_picked_by_name_in_the_order_asked(tiny):
    found = mocap.sequences(["washwindow", "walking"])
    assert [sequence.name for sequence in found] == ["washwindow_1", "walking_1", "walking_2"]


def test_any_subset_of_the_files_will_do(tiny):
    (tiny.folder / "train" / "walking" / "walking_1.txt").unlink()
    (tiny.folder / "train" / "walking" / "walking_7.txt").write_text("not listed")
    assert [s.name for s in mocap.sequences()] == ["walking_2", "washwindow_1"]
    assert [s.name for s in mocap.sequences(["walking"])] == ["walking_2"]


@pytest.mark.parametrize(
    ("action", "hint"), [("runing", r" \('running' looks like it\)"), ("x", "")]
)
def test_an_unknown_action_is_answered_with_the_known_ones(tiny, action, hint):
    message = rf"'{action}' is unknown: choose from walking, running, .*, washwindow{hint}\.$"
    with pytest.raises(ValueError, match=message):
        mocap.sequences(["walking", action])


@pytest.mark.parametrize(("parts", "lengths"), [(1, [8]), (3, [3, 3, 2]), (8, [1] * 8)])
def test_parts_in_time_follow_each_other_without_gap_or_overlap(tiny, parts, lengths):
    (sequence,) = mocap.sequences(["washwindow"])
    pieces = mocap.split_in_time(sequence, parts)
    assert [len(piece.frames) for piece in pieces] == lengths
    assert [piece.name for piece in pieces] == [f"washwindow_1/{k + 1}" for k in range(parts)]
    whole = np.concatenate([piece.frames for piece in pieces])
    np.testing.assert_array_equal(whole, sequence.frames)


@pytest.mark.parametrize("parts", [0, 9])
def test_more_parts_than_frames_or_none_are_refused(tiny, parts):
    with pytest.raises(ValueError, match=f"cannot be cut into {parts} parts: give 1 to 8"):
        mocap.split_in_time(mocap.sequences()[0], parts)


# recordings


def test_a_recording_is_labelled_by_the_best_borders(tiny):
    (recording,) = mocap.recordings()
    assert recording.name == "01" and recording.rate == 120
    assert recording.frames.dtype == np.float32
    np.testing.assert_allclose(recording.frames, tiny.frames["01"], rtol=1e-6)
    assert recording.activities == ("walking", "jump_up", "walking")
    assert recording.labels.tolist() == [0] * 4 + [1] * 3 + [0] * 3
    assert recording.best.tolist() == [4, 7]
    assert recording.accepted.tolist() == [[3, 5], [6, 8]]


@pytest.mark.parametrize("end", [9, 11])
def test_the_last_segment_ends_with_the_recording(tiny, end):
    rewrite(tiny, TRUTH.replace("\n10\r", f"\n{end}\r"))
    assert len(mocap.recordings()[0].labels) == 10


def test_a_segmentation_of_another_recording_is_refused(tiny):
    rewrite(tiny, TRUTH.replace("\n10\r", "\n12\r"))
    with pytest.raises(files.DataError, match="expected an end near 10, found 12"):
        mocap.recordings()


def rewrite(tiny, truth):
    path = tiny.folder / "subject_86" / "01_ground_truth.txt"
    path.write_text(truth)
    tiny.registry["subject_86/01_ground_truth.txt"] = checksum(path)


def test_a_single_segment_has_no_border(tmp_path):
    (tmp_path / "a.txt").write_text("1\n1 walk\n20")
    truth = mocap.read_ground_truth(tmp_path / "a.txt")
    assert truth.activities == ("walking",) and truth.end == 20
    assert truth.best.shape == (0,) and truth.accepted.shape == (0, 2)


def test_a_best_border_outside_its_bounds_is_accepted_too(tmp_path):
    (tmp_path / "a.txt").write_text("2\n1 hop\n3881 3840 4000\n2 walk\n\n5000\n\n")
    truth = mocap.read_ground_truth(tmp_path / "a.txt")
    assert truth.best.tolist() == [3840] and truth.accepted.tolist() == [[3840, 4000]]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "nonsense",
        TRUTH.replace("3\r", "4\r", 1),
        TRUTH.replace("3\r", "three\r", 1),
        TRUTH.replace("2 jump_up", "3 jump_up"),
        TRUTH.replace("2 jump_up", "2"),
        TRUTH.replace("6 7 8", "6 7"),
        TRUTH.replace("6 7 8", "6 seven 8"),
        TRUTH.replace("6 7 8", "3 4 5"),
        TRUTH.replace("\n10\r", "\n7\r"),
        TRUTH.replace("\n10\r", "\n10 11\r"),
        TRUTH.replace("10\r\n", ""),
        TRUTH.replace("3 4 5", "-3 -2 5"),
    ],
)
def test_what_is_no_segmentation_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(
        files.DataError, match=r"a\.txt is damaged: expected a segmentation, found .+"
    ):
        mocap.read_ground_truth(tmp_path / "a.txt")


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(files.DataError, match="expected a segmentation"):
        mocap.read_ground_truth(tmp_path / "a.txt")
    with pytest.raises(files.DataError, match="expected rows of 117 numbers"):
        mocap.read_frames(tmp_path / "a.txt")


# damaged files

ROW = ["0.5"] * 117


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "expected rows of 117 numbers, found an empty file"),
        ([ROW[:-1]] * 2, r"expected rows of 117 numbers, found shape \(2, 116\)"),
        ([ROW, ROW[:-1]], "expected rows of 117 numbers, found"),
        ([[*ROW[:-1], "x"]], "expected rows of 117 numbers, found"),
        ([[*ROW[:-1], ""]], "expected rows of 117 numbers, found"),
        ([ROW, [*ROW[:-1], "nan"]], "expected finite numbers, found NaN"),
        ([ROW, [*ROW[:-1], "-inf"]], "expected finite numbers, found NaN or infinity"),
    ],
)
def test_a_sequence_that_cannot_be_used_is_named(tmp_path, rows, message):
    (tmp_path / "a.txt").write_text("".join(",".join(row) + "\n" for row in rows))
    with pytest.raises(files.DataError, match=rf"a\.txt is damaged: {message}.*; replace the file"):
        mocap.read_frames(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"expmapchannels": np.zeros((5, 99))}, r"rows of 96 numbers, found shape \(5, 99\)"),
        ({"expmapchannels": np.zeros((0, 96))}, "rows of 96 numbers"),
        ({"expmapchannels": np.full((5, 96), np.nan)}, "finite numbers"),
        ({"expmapchannels": "words"}, "rows of 96 numbers"),
        ({"expmapchannels": np.full((5, 96), "a")}, "rows of 96 numbers|finite numbers"),
        ({"channels": np.zeros((5, 96))}, "a variable expmapchannels, found channels"),
        ({}, "a variable expmapchannels, found no variable"),
    ],
)
def test_a_recording_that_cannot_be_used_is_named(tmp_path, variables, message):
    savemat(tmp_path / "a.mat", variables)
    with pytest.raises(files.DataError, match=rf"a\.mat is damaged: expected {message}"):
        mocap.read_recording(tmp_path / "a.mat")


@pytest.mark.parametrize("cut", [0, 10, 130, 300])
def test_a_recording_cut_short_is_refused(tmp_path, cut):
    path = tmp_path / "a.mat"
    savemat(path, {"expmapchannels": normal(0, 5, 96)}, do_compression=True)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(
        files.DataError, match=r"a\.mat is damaged: expected a MATLAB file|a variable"
    ):
        mocap.read_recording(path)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("train/walking/walking_2.txt", mocap.sequences),
        ("train/walking/walking_2.txt", lambda: mocap.sequences(["walking"])),
        ("subject_86/01.mat", mocap.recordings),
        ("subject_86/01_ground_truth.txt", mocap.recordings),
    ],
)
def test_a_file_at_hand_with_another_checksum_is_refused(tiny, name, call):
    path = tiny.folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    message = rf"{path.name} is damaged: expected sha256 \w{{64}}, found sha256 \w{{64}}; replace"
    with pytest.raises(files.DataError, match=message) as caught:
        call()
    assert "or unset RNNATOMY_DATA to download it" in str(caught.value)


def test_a_setting_that_names_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path / "dat"))
    for call in (mocap.sequences, mocap.recordings):
        with pytest.raises(files.DataError, match=r"RNNATOMY_DATA names .*dat, which is no folder"):
            call()


READ = pytest.mark.parametrize(
    ("name", "call"),
    [
        ("train/walking/walking_2.txt", mocap.sequences),
        ("test/washwindow", lambda: mocap.sequences(["washwindow"])),
        ("subject_86/01.mat", mocap.recordings),
        ("subject_86/01_ground_truth.txt", mocap.recordings),
        ("", mocap.recordings),
    ],
)


@READ
def test_what_nobody_may_read_is_named(tiny, lock, name, call):
    lock(tiny.folder / name, 0)
    with pytest.raises(files.DataError, match=r"cannot be read \(Permission denied\): correct"):
        call()


@READ
def test_a_folder_in_place_of_a_file_or_the_reverse_is_not_passed_over(tiny, name, call):
    path = tiny.folder / name
    if path.is_file():
        path.unlink()
        path.mkdir()
        message = rf"{path.name} is a folder, not a file: put the file in its place"
    else:
        shutil.rmtree(path)
        path.write_text("")
        message = r"cmu_mocap is a file, not a folder|washwindow_1\.txt cannot be read \(Not a dir"
    with pytest.raises(files.DataError, match=message) as caught:
        call()
    assert type(caught.value) is files.DataError


# the network


@pytest.mark.parametrize("setting", [None, "", "."])
def test_files_out_of_reach_say_what_to_set(tiny, tmp_path, monkeypatch, setting, cache):
    if setting is None:
        monkeypatch.delenv("RNNATOMY_DATA")
    else:
        monkeypatch.setenv("RNNATOMY_DATA", setting and str(tmp_path))
    message = "(?s)out of reach: .*go online, or set RNNATOMY_DATA to a folder with cmu_mocap/{}"
    with pytest.raises(files.DataUnavailable, match=message.format("train/walking/walking_1.txt")):
        mocap.sequences()
    with pytest.raises(files.DataUnavailable, match=message.format("subject_86/01.mat")):
        mocap.recordings()
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_an_action_that_is_not_at_hand_is_not_left_out_if_asked_for(tiny):
    (tiny.folder / "test" / "washwindow" / "washwindow_1.txt").unlink()
    with pytest.raises(files.DataUnavailable, match=r"washwindow_1\.txt"):
        mocap.sequences(["walking", "washwindow"])


def test_files_are_downloaded_once_where_none_is_at_hand(serve, tiny, monkeypatch):
    monkeypatch.delenv("RNNATOMY_DATA")
    first, trials = mocap.sequences(), mocap.recordings()
    assert [sequence.name for sequence in first] == ["walking_1", "walking_2", "washwindow_1"]
    np.testing.assert_array_equal(first[2].frames, tiny.frames["washwindow_1"][1:])
    assert trials[0].activities == ("walking", "jump_up", "walking")
    shutil.rmtree(serve)
    again = mocap.sequences()
    np.testing.assert_array_equal(again[0].frames, first[0].frames)
    assert len(mocap.recordings()) == 1


def test_a_download_says_nothing(serve, monkeypatch, caplog):
    monkeypatch.delenv("RNNATOMY_DATA")
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])
    mocap.sequences()
    assert not caplog.records


def test_a_download_with_another_checksum_is_refused_and_not_kept(serve, monkeypatch, cache):
    monkeypatch.delenv("RNNATOMY_DATA")
    (serve / "usual/train/walking/walking_1.txt").write_text("other")
    with pytest.raises(files.DataError, match=r"walking_1\.txt is not the file expected"):
        mocap.sequences()
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_damaged_file_in_the_cache_is_downloaded_again(serve, tiny, monkeypatch, cache):
    monkeypatch.delenv("RNNATOMY_DATA")
    mocap.sequences(["walking"])
    for path in cache.rglob("*.txt"):
        path.write_text("other")
    found = mocap.sequences(["walking"])[1]
    np.testing.assert_array_equal(found.frames, tiny.frames["walking_2"][1:])


def test_the_repository_does_not_have_a_file(serve, monkeypatch):
    monkeypatch.delenv("RNNATOMY_DATA")
    (serve / "truth" / "01_ground_truth.txt").unlink()
    with pytest.raises(files.DataUnavailable, match=r"01_ground_truth\.txt does not answer .*404"):
        mocap.recordings()


# scale


def test_scaled_training_frames_have_mean_zero_and_deviation_one():
    training = [5 + 3 * normal(seed, 40, 6) for seed in range(3)]
    for part in training:
        part[:, 2] = 7 + 1e-5 * part[:, 2]
        part[:, 4] = -1
    by = mocap.normalise(training)
    assert by.kept.tolist() == [0, 1, 3, 5]
    scaled = np.concatenate([mocap.scale(part, by) for part in training])
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-6)
    assert scaled.dtype == np.float32


@given(seeds)
def test_frames_are_scaled_by_the_statistics_of_the_training_frames(seed):
    frames = normal(seed, 30, 5)
    frames[:, 1] = 2.5
    by = mocap.normalise([frames])
    other = normal(seed + 1, 4, 7, 5)
    back = mocap.scale(other, by) * frames.std(axis=0)[by.kept] + frames.mean(axis=0)[by.kept]
    np.testing.assert_allclose(back, other[..., [0, 2, 3, 4]], atol=1e-5)


def test_statistics_are_those_of_all_frames_not_of_the_sequences():
    by = mocap.normalise([np.array([[0.0], [1.0]]), np.array([[5.0]])])
    assert by.mean == pytest.approx(2) and by.deviation == pytest.approx(np.std([0, 1, 5]))


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ([], "there are no training frames"),
        ([np.zeros((0, 4))], "there are no training frames"),
        ([np.zeros((2, 4)), np.zeros((2, 5))], r"sequences of \[4, 5\] columns are mixed"),
        ([np.full((2, 4), np.nan)], "NaN or infinity"),
        ([np.ones((9, 4))], "no column of the training frames varies"),
    ],
)
def test_frames_without_statistics_are_refused(as_users, training, message):
    with pytest.raises(ValueError, match=message):
        mocap.normalise(training)


def test_frames_of_another_kind_are_not_scaled(as_users):
    frames = normal(0, 9, 5)
    frames[:, 0] = 0
    by = mocap.normalise([frames])
    with pytest.raises(ValueError, match="there are 6 columns: give 5"):
        mocap.scale(normal(0, 9, 6), by)


def test_without_root_only_the_first_six_columns_are_zero_and_the_frames_are_left_alone():
    frames = normal(0, 2, 3, 117)
    still = mocap.without_root(frames)
    assert not still[..., :6].any() and frames[..., :6].all()
    np.testing.assert_array_equal(still[..., 6:], frames[..., 6:])


# forward kinematics


def places(frames):
    return mocap.forward_kinematics(frames, mocap.PARENTS, mocap.OFFSETS)


def bones(joints):
    return np.linalg.norm(joints[:, 1:] - joints[:, mocap.PARENTS[1:]], axis=-1)


def by_loops(frame, parents, offsets):
    """Walk from each joint up to the root, turning a row vector at each step."""
    vectors = frame[3:].reshape(-1, 3)
    turns = expm(np.array([[[0, -z, y], [z, 0, -x], [-y, x, 0]] for x, y, z in vectors]))
    found = []
    for joint in range(len(parents)):
        place = offsets[joint]
        while parents[joint] >= 0:
            joint = parents[joint]
            place = place @ turns[joint] + offsets[joint]
        found.append(place + frame[:3])
    return np.array(found)


def test_the_tree_has_38_joints_and_parents_before_children():
    assert mocap.PARENTS.shape == (38,) and mocap.OFFSETS.shape == (38, 3)
    assert all(parent < joint for joint, parent in enumerate(mocap.PARENTS))


def test_the_head_is_the_highest_joint_and_ends_a_limb_when_nothing_is_turned():
    rest = np.zeros((1, 3 + 3 * len(mocap.PARENTS)), np.float32)
    joints = places(rest)[0]
    assert mocap.HEAD not in mocap.PARENTS and joints[:, 1].argmax() == mocap.HEAD


def test_without_rotation_joints_are_where_the_offsets_add_up_to():
    frames = np.zeros((2, 117))
    frames[1, :3] = 1, 2, 3
    expected = np.zeros((38, 3))
    for joint, parent in enumerate(mocap.PARENTS):
        expected[joint] = mocap.OFFSETS[joint] + (expected[parent] if parent >= 0 else 0)
    np.testing.assert_allclose(places(frames)[0], expected)
    np.testing.assert_allclose(places(frames)[1], expected + frames[1, :3])


def test_an_independent_implementation_finds_the_same_places():
    frames = normal(0, 5, 117)
    expected = [by_loops(frame, mocap.PARENTS, mocap.OFFSETS) for frame in frames]
    np.testing.assert_allclose(places(frames), expected, atol=1e-9)


@given(seeds)
def test_rotating_the_root_rotates_all_about_the_root(seed):
    frames = normal(seed, 3, 117)
    frames[:, 3:6] = 0
    turned = frames.copy()
    turned[:, 3:6] = normal(seed + 1, 3)
    before, after = places(frames), places(turned)
    rotation = Rotation.from_rotvec(-turned[0, 3:6]).as_matrix()
    expected = (before - before[:, :1]) @ rotation.T
    np.testing.assert_allclose(after - after[:, :1], expected, atol=1e-9)
    np.testing.assert_allclose(after[:, 0], before[:, 0])


def test_a_positive_angle_turns_a_row_vector_by_its_matrix():
    frames = np.zeros((1, 9))
    frames[0, 5] = np.pi / 2
    found = mocap.forward_kinematics(frames, np.array([-1, 0]), np.array([[0.0, 0, 0], [1, 0, 0]]))
    np.testing.assert_allclose(found[0, 1], [0, -1, 0], atol=1e-12)


@given(seeds)
def test_bones_keep_their_lengths(seed):
    lengths = np.linalg.norm(mocap.OFFSETS[1:], axis=1)
    found = bones(places(3 * normal(seed, 4, 117)))
    np.testing.assert_allclose(found, np.broadcast_to(lengths, found.shape), atol=1e-9)


@pytest.mark.parametrize(
    ("frames", "parents", "offsets", "message"),
    [
        (np.zeros((2, 12)), [-1, 0], np.zeros((2, 3)), "there are 12 columns: give 9"),
        (np.zeros((2, 9)), [-1, 0], np.zeros((3, 3)), "do not fit"),
        (np.zeros(9), [-1, 0], np.zeros((2, 3)), "do not fit"),
        (np.zeros((2, 12)), [-1, 2, 0], np.zeros((3, 3)), r"\[-1, 2, 0\] are no tree"),
        (np.zeros((2, 9)), [0, 0], np.zeros((2, 3)), "are no tree"),
        (np.zeros((2, 9)), [-1, -1], np.zeros((2, 3)), "are no tree"),
        (np.zeros((2, 3)), [], np.zeros((0, 3)), "are no tree"),
    ],
)
def test_a_skeleton_that_does_not_fit_is_refused(as_users, frames, parents, offsets, message):
    with pytest.raises(ValueError, match=message):
        mocap.forward_kinematics(frames, np.array(parents, int), offsets)


# the registry


def test_the_registry_names_each_file_once_with_its_checksum_and_an_address_of_one_commit():
    source = mocap._source()
    names = list(source.registry)
    assert len(names) == 47
    for name, digest in source.registry.items():
        assert re.fullmatch("[0-9a-f]{64}", digest)
        url = source.get_url(name)
        assert url.startswith(mocap.ADDRESS.removesuffix("data/cmu_mocap/"))
        assert Path(url).name == Path(name).name
    assert len(set(source.registry.values())) == len({*map(source.get_url, names)}) == 47
    assert {Path(name).parent.name for name in names} == {*mocap.ACTIONS, "subject_86"}
    trials = {name.removesuffix(".mat") for name in names if name.endswith(".mat")}
    assert {name.removesuffix("_ground_truth.txt") for name in names if "truth" in name} == trials


# the real files


@pytest.fixture(scope="module")
def real():
    folder = Path(REAL_DATA or "").expanduser().resolve() / "cmu_mocap"
    if not REAL_DATA or not folder.is_dir():
        pytest.skip("needs real data: set RNNATOMY_DATA to a folder with cmu_mocap")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNATOMY_DATA", str(folder.parent))
        found = SimpleNamespace(
            folder=folder, sequences=mocap.sequences(), recordings=mocap.recordings()
        )
    return found


def test_the_embedded_skeleton_is_the_published_one(real):
    skeleton = json.loads((real.folder / "skeleton.json").read_text())
    np.testing.assert_array_equal(mocap.PARENTS, skeleton["parent"])
    np.testing.assert_array_equal(mocap.OFFSETS, skeleton["offset"])


def test_the_row_left_out_is_the_same_pose_in_all_files_and_no_part_of_the_motion(real):
    paths = [next(real.folder.rglob(f"{sequence.name}.txt")) for sequence in real.sequences]
    first = [mocap.read_frames(path)[0, 3:] for path in paths]
    assert (np.array(first) == first[0]).all()
    for pose, sequence in zip(first, real.sequences, strict=True):
        assert np.linalg.norm(sequence.frames[0, 3:] - pose) > 1.5


def test_sixty_eight_columns_of_the_sequences_vary_and_sixty_two_of_the_recordings(real):
    if len(real.sequences) == 33:
        assert len(mocap.normalise([s.frames for s in real.sequences]).kept) == 68
    for recording in real.recordings:
        assert len(mocap.normalise([recording.frames]).kept) == 62


@pytest.mark.parametrize(
    ("action", "slowest", "fastest"), [("walking", 0.8, 2), ("running", 2.5, 6)]
)
def test_at_this_rate_and_in_metres_people_move_as_fast_as_people_do(
    real, action, slowest, fastest
):
    metres = 0.45**-1 * 0.0254  # a skeleton unit is 1 / 0.45 inches, the database says
    for sequence in real.sequences:
        if sequence.action == action:
            ground = np.diff(sequence.frames[:, [0, 2]], axis=0)
            speed = np.median(np.linalg.norm(ground, axis=1))
            assert slowest < speed * sequence.rate * metres < fastest


def test_the_foot_on_the_ground_hardly_moves_and_bones_keep_their_lengths(real):
    for sequence in real.sequences:
        joints = places(sequence.frames[:400])
        lengths = np.linalg.norm(mocap.OFFSETS[1:], axis=1)
        np.testing.assert_allclose(bones(joints), np.tile(lengths, (len(joints), 1)), atol=1e-4)
        if sequence.action in ("walking", "running"):
            moved = np.linalg.norm(np.diff(joints, axis=0), axis=-1)
            toes = np.array([6, 12])
            lower = toes[joints[:-1, toes, 1].argmin(axis=1)]
            slip = np.median(moved[np.arange(len(moved)), lower])
            assert slip < 0.5 * np.median(moved[:, 0])


# frames and distinct activities of each trial, as the authors of the network counted them
TRIALS = {
    "01": (4579, 4),
    "05": (8340, 9),
    "07": (8702, 6),
    "09": (4794, 5),
    "11": (5674, 3),
    "13": (6221, 7),
    "14": (6055, 6),
}


def test_recordings_have_the_published_lengths_and_numbers_of_activities(real):
    for recording in real.recordings:
        frames, activities = TRIALS[recording.name]
        assert recording.frames.shape == (frames, 96) and recording.labels.shape == (frames,)
        assert recording.labels.max() + 1 == activities
        borders = np.flatnonzero(np.diff(recording.labels)) + 1
        np.testing.assert_array_equal(borders, recording.best)
        early, late = recording.accepted.T
        assert ((early <= recording.best) & (recording.best <= late)).all()
