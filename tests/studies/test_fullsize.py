import os
from pathlib import Path

import jax
import numpy as np
import pytest
import xarray as xr
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.networks import predictors, wide
from rnnatomy.store import checkout, disk, results
from rnnatomy.studies import engine, fullsize
from rnnatomy.studies.movement import protocols

REAL_DATA = os.environ.get("RNNATOMY_DATA")
RECIPE = wide.Recipe(read=4, predict=4, batch=4, learning_rate=3e-3)


def files_of(names):
    """Sequences with a first row like that of the files: the same in all, and far from the rest."""
    found = []
    for name in names:
        action, number = name.rsplit("_", 1)
        one = synthetic.sequence(action, int(number), frames=30)
        found.append(one._replace(frames=np.concatenate([np.full((1, 117), 9.0), one.frames])))
    return found


def patch_study(patch, folder):
    """Let the study be one of tiny networks, on movements that are drawn."""
    patch.setenv("ENGINE", "here")
    patch.setattr(checkout, "ROOT", folder)
    patch.setattr(mocap, "with_first_rows", files_of)
    patch.setattr(fullsize, "RECIPE", RECIPE)
    patch.setattr(fullsize, "HIDDEN", 6)
    patch.setattr(fullsize, "MODES", 5)
    patch.setattr(fullsize, "MOMENTS", (0, 1, 2))
    patch.setattr(fullsize, "SAVED", 1)
    patch.setattr(protocols, "TASKS", {"three": protocols.TASKS["three"]})


@pytest.fixture
def patched(monkeypatch, tmp_path):
    patch_study(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch_study(patch, tmp_path_factory.mktemp("fullsize"))
        fullsize.publish(2)
        return results.load_study("fullsize")


def test_the_study_has_its_axes(found):
    data = found.data
    assert {name: array.dims for name, array in data.data_vars.items()} == fullsize.AXES
    assert dict(data.sizes) == {
        "task": 1,
        "network": 2,
        "iteration": 3,
        "marks": 2,
        "cut": 4,
        "view": 6,
        "clustering": 3,
        "place": 2,
    }
    assert found.provenance["hidden"] == 6 and found.provenance["networks"] == 2
    assert all(np.isfinite(array).all() for array in data.data_vars.values())


def test_the_true_borders_are_all_hit_and_none_where_there_is_no_cut(found):
    for name in ("border_precision", "border_recall", "border_f1"):
        assert (found.data[name].sel(cut="true borders") == 1).all()
        assert (found.data[name].sel(cut="never") == 0).all()
    assert (found.data["cuts"].sel(cut="true borders") == 2).all()
    assert (found.data["cuts"].sel(cut="never") == 0).all()


def test_a_clock_tells_files_apart_where_the_true_borders_are_cut(found):
    clock = found.data["ari"].sel(view="clock", clustering="single linkage, cosine")
    assert (clock.sel(cut="true borders") == 1).all()


def test_the_untrained_network_is_that_before_the_first_iteration(found):
    ari = found.data["ari"].isel(iteration=0)
    xr.testing.assert_equal(
        ari.sel(view="decoder states", drop=True), ari.sel(view="untrained states", drop=True)
    )
    same = found.data["ari"].sel(cut="never").drop_sel(view="decoder states")
    assert (same == same.isel(iteration=0)).all()


def test_a_stopped_job_goes_on_from_what_was_measured(patched, found, monkeypatch, tmp_path):
    path = tmp_path / "half.safetensors"
    monkeypatch.setattr(engine, "checkpoint", lambda: path)
    given = "three", 1, found.provenance["data_sha256"]["three"]
    whole, calls, measure = fullsize.train(*given), [], fullsize.measure
    path.unlink()

    def stop(bench, model):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return measure(bench, model)

    monkeypatch.setattr(fullsize, "measure", stop)
    with pytest.raises(KeyboardInterrupt):
        fullsize.train(*given)
    monkeypatch.setattr(fullsize, "measure", measure)
    again = fullsize.train(*given)
    for name, array in whole.items():
        np.testing.assert_array_equal(again[name], array)
        np.testing.assert_array_equal(found.data[name].isel(task=0, network=1), array)


def test_other_files_are_refused(patched):
    with pytest.raises(engine.EngineError, match="others than those of the study"):
        fullsize.train("three", 0, "0" * 64)


def test_a_track_has_the_first_rows_or_not(patched):
    given = files_of(["walking_1", "running_1"])
    by = mocap.normalise([each.frames for each in given])
    whole, bare = fullsize.track(given, by), fullsize.track(given, by, first_rows=False)
    np.testing.assert_array_equal(whole.labels, np.repeat([0, 1], 31))
    np.testing.assert_array_equal(bare.labels, np.repeat([0, 1], 30))
    np.testing.assert_array_equal(whole.frames[0], whole.frames[31])
    np.testing.assert_array_equal(bare.frames, np.delete(whole.frames, [0, 31], axis=0))


def test_what_was_expected_is_told_of_each_network(patched, found):
    told = fullsize.expected(found.data)
    assert len(told.data_vars) == 10
    for array in told.data_vars.values():
        assert array.dims == ("task", "network") and array.dtype == bool
    assert not told["learns"].any()
    assert (told["noise or clock reaches"] == (clocks(found.data) >= 0.9)).all()


def clocks(data):
    cut = data["ari"].sel(
        marks="first rows in", cut="loss above 1", clustering="single linkage, cosine"
    )
    return cut.sel(view=["smooth noise", "clock"]).isel(iteration=[1, 2]).max(["view", "iteration"])


# cuts


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(fullsize, "RECIPE", RECIPE)


def test_without_a_border_all_frames_but_the_first_are_predicted_once(short):
    walk = fullsize.walk(21, lambda start: None)
    assert walk.starts == [0, 4, 8, 12] and walk.cuts == []
    np.testing.assert_array_equal(fullsize.frames_of(walk), np.arange(4, 20))


def test_reading_starts_anew_at_a_border(short):
    walk = fullsize.walk(30, fullsize.by_hand(np.array([10])))
    assert walk.starts[:3] == [0, 4, 10] and walk.cuts == [10]
    # 8 and 9 are kept of the window that would cross, 10 to 13 are read
    np.testing.assert_array_equal(fullsize.frames_of(walk)[:8], [4, 5, 6, 7, 8, 9, 14, 15])


def test_a_border_among_frames_that_are_read_leaves_nothing_of_the_window(short):
    walk = fullsize.walk(30, fullsize.by_hand(np.array([6])))
    assert walk.starts[:2] == [0, 6] and walk.kept[0] == 2
    walk = fullsize.walk(30, fullsize.by_hand(np.array([3])))
    assert walk.starts[:2] == [0, 3] and walk.kept[0] == 0


def test_a_border_is_the_worst_frame_of_a_window_of_too_large_a_loss(short):
    windows = {0: fullsize.Window(0.5, 3, np.zeros((4, 2))), 4: fullsize.Window(2.0, 1, np.ones(2))}
    border = fullsize.by_loss(windows.__getitem__, 1.0)
    assert border(0) is None and border(4) == 4 + 4 + 1


def test_windows_are_those_of_the_network(short):
    frames = synthetic.motion(0.3, 7, 40, 0)
    network = wide.create(7, 6, jax.random.key(0))
    look = fullsize.look_with(network, frames)
    for start in (32, 0, 3, 8):
        given = wide.read_twice(frames[None, start : start + 4])
        went = predictors.trajectory(network, given, 4)
        wrong = went.outputs[0] - frames[start + 4 : start + 8]
        window = look(start)
        assert window.loss == pytest.approx(np.square(wrong).mean(), rel=1e-4)
        assert window.worst == np.abs(wrong).mean(axis=1).argmax()
        np.testing.assert_allclose(window.states, went.decoder[0], rtol=1e-4, atol=1e-6)


def test_a_figure_that_stands_still_is_wrong_by_how_far_it_should_have_gone(short):
    frames = np.arange(20.0)[:, None] * [1, 2]
    window = fullsize.look_still(frames)(3)  # from frame 6 to the frames 7, 8, 9 and 10
    assert window.loss == (1 + 4 + 9 + 16) / 4 * (1 + 4) / 2
    assert window.worst == 3 and window.states.shape == (4, 0)


def test_it_is_asked_on_the_windows_of_the_networks(patched):
    names = protocols.TASKS["three"]
    joined, held = files_of(names), files_of([f"{name.rsplit('_', 1)[0]}_2" for name in names])
    by = mocap.normalise([each.frames for each in joined])
    found = fullsize.standing_still("three")
    for marks, errors in zip(fullsize.MARKS, found["still_test_loss"], strict=True):
        one = fullsize.track(joined, by, first_rows=marks == "first rows in")
        starts = range(0, len(one.frames) - 7, 4)
        spans = [one.frames[start : start + 8] for start in starts]
        losses = np.array([np.square(span[4:] - span[3]).mean() for span in spans])
        is_across = np.array([len(set(one.labels[start : start + 8])) > 1 for start in starts])
        expected = losses[~is_across].mean(), losses[is_across].mean()
        np.testing.assert_allclose(errors, expected, rtol=1e-5)
    others = [mocap.scale(each.frames[1:], by).clip(-10, 10) for each in held]
    losses = [
        np.square(frames[start + 4 : start + 8] - frames[start + 3]).mean()
        for frames in others
        for start in range(0, len(frames) - 7, 4)
    ]
    assert found["still_held_loss"] == pytest.approx(np.mean(losses), rel=1e-5)


# scores


@pytest.mark.parametrize("method", fullsize.METHODS)
def test_frames_that_are_read_count_for_what_follows(method):
    labels = np.repeat([0, 1], 10)
    points = np.array([[1, 0.1], [1, 0.2], [0.2, 1], [0.1, 1]])
    rng = np.random.default_rng(0)
    full = fullsize.score(points, np.array([8, 9, 14, 15]), labels, method, rng)
    np.testing.assert_allclose(full, 1)
    late = fullsize.score(points, np.array([8, 11, 14, 15]), labels, method, rng)
    assert late[0] < 1


def test_too_few_points_tell_nothing_apart():
    rng = np.random.default_rng(0)
    found = fullsize.score(np.ones((1, 2)), np.array([5]), np.repeat([0, 1], 5), "Ward", rng)
    np.testing.assert_array_equal(found, 0)


def test_joining_by_angle_is_single_linkage_with_cosine_distance():
    from sklearn.cluster import AgglomerativeClustering

    points = np.random.default_rng(1).normal(size=(40, 5))
    theirs = AgglomerativeClustering(4, metric="cosine", linkage="single").fit_predict(points)
    ours = fullsize.join_by_angle(points, 4)
    assert len(set(zip(theirs.tolist(), ours.tolist(), strict=True))) == 4


def test_what_is_picked_in_hindsight_is_of_saved_iterations_alone():
    index = xr.DataArray(
        [1.0, 0.9, 0.2, 0.4, 0.5, 0.3], dims="iteration",
        coords={"iteration": [0, 500, 1000, 2000, 3000, 4000]},
    )  # fmt: skip
    told = fullsize.picked(index)
    assert told["best"] == 0.5 and told["last"] == 0.3
    assert float(told["mean"]) == pytest.approx(0.35)
    assert float(told["jump"]) == pytest.approx(0.2)


def test_published_scores_without_a_network_come_out_again(load_published, monkeypatch):
    if not (REAL_DATA and (Path(REAL_DATA).expanduser() / "cmu_mocap").is_dir()):
        pytest.skip("needs CMU motion capture: set RNNATOMY_DATA to a folder with cmu_mocap")
    try:
        published = load_published("fullsize")
    except disk.StoreError:
        pytest.skip("the study is not published yet")
    monkeypatch.setenv("RNNATOMY_DATA", REAL_DATA)
    given = mocap.with_first_rows(["walking_1", "running_1", "jumping_1"])
    one = fullsize.track(given, mocap.normalise([each.frames for each in given]))
    borders = np.flatnonzero(np.diff(one.labels)) + 1
    at = fullsize.frames_of(fullsize.walk(len(one.frames), fullsize.by_hand(borders)))
    plain = fullsize.views_without_network(one.frames, np.random.default_rng(0))
    kept = published.data["ari"].sel(task="three", network=0, cut="true borders")
    for view, points in plain.items():
        for method in fullsize.METHODS:
            ari = fullsize.score(points[at], at, one.labels, method, np.random.default_rng(0))[0]
            expected = kept.sel(marks="first rows in", view=view, clustering=method)
            np.testing.assert_allclose(expected, ari, atol=0.02)
