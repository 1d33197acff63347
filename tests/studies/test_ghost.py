import os
from pathlib import Path

import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.networks import predictors, training
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, ghost, walking
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import fitting, page, protocols, reading

REAL_DATA = os.environ.get("RNNATOMY_DATA")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("ghost"), []
    with pytest.MonkeyPatch.context() as patch:
        synthetic.patch_study(patch, folder)
        ghost.publish(report=lines.append)
        return folder, results.load_study("ghost"), lines


@pytest.fixture
def motion(small, monkeypatch):
    synthetic.patch_study(monkeypatch, small[0])
    return walking.hold_out(mocap.sequences(mocap.ACTIONS), 0)


@pytest.fixture
def still(motion):
    """A residual predictor that has learnt nothing but to change nothing."""
    feature = motion.parts.held[0].shape[1]
    model = predictors.seq2seq(feature, 3, residual=True)(jax.random.key(0))
    model.readout.kernel[...] = np.zeros((3, feature), np.float32)
    model.readout.bias[...] = np.zeros(feature, np.float32)
    return model


def test_the_study_holds_the_sequences_one_after_the_other(small):
    _, made, lines = small
    data, told = made.data, made.provenance
    assert {name: array.dims for name, array in data.data_vars.items()} == ghost.AXES
    # 20 frames of every second one, 4 of them read: 17 windows, and 7 of each half of a single one
    assert data["frames"].to_numpy().tolist() == [17] * 7 + [7]
    assert data.sizes["frame"] == 7 * 17 + 7 and data["joints"].dtype == np.float16
    assert data["decoder"].to_numpy().tolist() == ["residual", "plain"]
    assert lines[-1] == "ghost: 2 of 2 jobs done"
    best = int(data["held_error"].to_numpy().argmin())
    assert told["decoder"] == walking.KINDS[best] and told["choice"] == told["seed"] == 0


def test_poses_and_errors_are_there_in_the_same_frames(small):
    data = small[1].data
    there = np.isfinite(data["errors"].to_numpy())
    np.testing.assert_array_equal(np.isfinite(data["still"]), there)
    for whole in (np.isfinite(data["joints"]).all(["joint", "axis"]), there):
        np.testing.assert_array_equal(whole, there)
    # of the 20 frames 1 to 17 are played, and 4 to 19 predicted
    assert there[:17].tolist() == [False] * 3 + [True] * 14


def test_the_published_predictions_follow_from_the_better_network(small, motion):
    data, told = small[1].data, small[1].provenance
    plan = protocols.HELD_OUT
    (model,) = walking.models(motion.parts, told["decoder"], [0], plan.recipe.epochs)
    errors = [float(data["held_error"].min()), float(data["held_stay_error"])]
    again = fitting.error(model, motion.parts.held, plan), walking.stay_error(motion.parts.held)
    assert errors == pytest.approx(again, rel=1e-5)
    first = ghost.by_action(data)[0]
    own = motion.parts.held[0][1::2]  # of the phase that is played
    windows = np.stack([own[start : start + 4] for start in (0, 4, 8, 12)])
    outputs = predictors.trajectory(model, windows, 4).outputs
    wrong = np.square(outputs - own[4:20].reshape(4, 4, -1)).mean(axis=2).ravel()
    np.testing.assert_allclose(first.errors[3:], wrong[:14], rtol=1e-4)
    rival = np.square(windows[:, -1:] - own[4:20].reshape(4, 4, -1)).mean(axis=2).ravel()
    np.testing.assert_allclose(first.still[3:], rival[:14], rtol=1e-5)


def test_it_follows_what_the_study_of_movement_plays(motion):
    (model,) = walking.models(motion.parts, "residual", [0], 1)
    played = page.player_data(model, motion.parts, protocols.HELD_OUT)
    predicted = ghost.predict(model, motion)
    np.testing.assert_array_equal(predicted["frames"], played["played_frames"])
    assert predicted["joints"].shape == played["played_joints"].shape
    at = page.paths(model, motion.parts, protocols.HELD_OUT)[0].at
    np.testing.assert_array_equal(ghost.played_at(40), at.astype(int))


def test_who_changes_nothing_errs_as_the_last_frame_and_shows_it(motion, still):
    made = ghost.predict(still, motion)
    np.testing.assert_allclose(made["errors"], made["still"], rtol=1e-4)
    one = ghost.by_action(made)[0]
    # all four predicted frames have the pose of the last one read, at their own height and heading
    recorded = motion.parts.recorded[0].frames.astype(float)
    at, last = ghost.played_at(len(recorded)), 2 * 3 + 1
    bodies = recorded[at[3:7]].copy()
    bodies[:, motion.scale.kept] = recorded[last, motion.scale.kept]
    bodies[:, [0, 2]] = 0
    places = mocap.forward_kinematics(bodies, mocap.PARENTS, mocap.OFFSETS)
    np.testing.assert_allclose(one.joints[3:7], places, atol=0.05)


def test_a_perfect_prediction_stands_in_the_recorded_body(motion, still, monkeypatch):
    held, recorded = motion.parts.held[1], motion.parts.recorded[1].frames
    own = held[1::2]
    truth = own[4:20].reshape(4, 4, -1)
    monkeypatch.setattr(ghost.embeddings, "run_windows", lambda *given: [truth])
    found = ghost.follow(still, held, recorded, motion.scale)
    assert np.nanmax(found.errors) == 0 and np.nanmin(found.still) > 0
    at = ghost.played_at(len(held)).astype(float)
    (bodies,) = page.figures([motion.parts.recorded[1]], [at])
    np.testing.assert_allclose(found.joints[3:], bodies[3:], atol=1e-2)
    assert np.isnan(found.joints[:3]).all()


def test_a_sequence_too_short_to_be_predicted_is_refused(motion, still):
    held, recorded = motion.parts.held[0], motion.parts.recorded[0].frames
    with pytest.raises(ValueError, match="too few frames"):
        ghost.follow(still, held[:14], recorded[:14], motion.scale)


def test_a_job_refuses_other_movements(small, monkeypatch):
    synthetic.patch_study(monkeypatch, small[0])
    monkeypatch.setattr(training, "fit_ensemble", None)
    with pytest.raises(engine.EngineError, match="the job asks for abc: give both"):
        ghost.measure("plain", "abc")


@pytest.fixture
def published(load_published):
    try:
        return load_published("ghost")
    except disk.StoreError:
        pytest.skip("the study is not published yet")


def test_the_published_study_is_whole(small, published, load_published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(small[1].data, data)
    assert told["decoder"] == "residual"
    folder = Path(__file__).resolve().parents[2] / "results" / "ghost"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 400e3
    movement = load_published("movement").data
    np.testing.assert_array_equal(data["frames"], movement["played_frames"])
    errors = [one.errors for one in ghost.by_action(data)]
    assert all(np.isfinite(one).sum() >= 10 for one in errors)
    # bones are as long as the recorded ones
    for one, player in zip(ghost.by_action(data), reading.players(movement), strict=True):
        there = np.isfinite(one.errors)
        bones = [
            np.linalg.norm(body[:, 1:] - body[:, mocap.PARENTS[1:]], axis=2)
            for body in (one.joints[there], player.joints[there])
        ]
        np.testing.assert_allclose(*bones, atol=0.1)


def test_published_errors_are_those_of_the_study_of_walking(published, load_published):
    data, theirs = published.data, load_published("walking").data
    for kind in walking.KINDS:
        row = theirs.sel(network=f"{kind}-trained-0-0")
        found = float(data["held_error"].sel(decoder=kind))
        assert found == pytest.approx(float(row["error"]), rel=0.2)
        assert float(data["held_stay_error"]) == pytest.approx(float(row["stay_error"]), rel=1e-4)


def test_published_errors_of_the_rival_are_recomputed(published, monkeypatch):
    if not REAL_DATA or not (Path(REAL_DATA).expanduser() / "cmu_mocap").is_dir():
        pytest.skip("needs CMU motion capture: set RNNATOMY_DATA to a folder with cmu_mocap")
    monkeypatch.setenv("RNNATOMY_DATA", REAL_DATA)
    sequences = mocap.sequences(mocap.ACTIONS)
    assert identity.fingerprint(sequences)
    motion = walking.hold_out(sequences, 0)
    (model,) = walking.models(motion.parts, "residual", [0], 0)
    found = ghost.predict(model, motion)
    np.testing.assert_allclose(found["still"], published.data["still"], rtol=1e-4)
    np.testing.assert_array_equal(np.isnan(found["joints"]), np.isnan(published.data["joints"]))
