import os
from pathlib import Path

import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.analysis import maps
from rnnatomy.data import mocap
from rnnatomy.networks import autonomous, predictors, training
from rnnatomy.store import disk, results
from rnnatomy.studies import attractors, engine, walking, walking_page
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import fitting, protocols

REAL_DATA = os.environ.get("RNNATOMY_DATA")


def tiny(monkeypatch, folder):
    """Let the study be one of few small networks that are not fitted, and run for a short while."""
    synthetic.patch_study(monkeypatch, folder)
    settings = {"STEPS": 200, "AFTER": (0, 1, 5, 30), "CHUNK": 20, "EACH": 4, "TURN": 3}
    for name, value in settings.items():
        monkeypatch.setattr(walking, name, value)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("walking"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder)
        walking.publish(2, lines.append)
        return folder, results.load_study("walking"), lines


@pytest.fixture
def motion(small, monkeypatch):
    tiny(monkeypatch, small[0])
    return walking.hold_out(mocap.sequences(mocap.ACTIONS), 0)


@pytest.fixture
def walker(motion, monkeypatch):
    """A plain GRU that goes round by itself once in ten frames, and draws two columns of poses."""
    monkeypatch.setattr(walking, "STEPS", 1000)
    feature = motion.parts.held[0].shape[1]
    model = predictors.seq2seq(feature, 3, tied=False)(jax.random.key(0))
    c, s = np.cos(np.deg2rad(70)), np.sin(np.deg2rad(70))
    recurrent = np.zeros((3, 9))
    recurrent[:2, 6:8] = 3 * np.array([[c, s], [-s, c]])
    readout = np.zeros((3, feature))
    readout[[0, 1], [0, 1]] = 2
    arrays = {
        "dense_h": {"kernel": recurrent},
        "dense_i": {"kernel": np.zeros((feature, 9)), "bias": np.zeros(9)},
    }
    for layer, parts in arrays.items():
        for name, values in parts.items():
            getattr(getattr(model.decoder, layer), name)[...] = values.astype(np.float32)
    model.readout.kernel[...] = readout.astype(np.float32)
    model.readout.bias[...] = np.zeros(feature, np.float32)
    return model


@pytest.fixture
def drifting(motion):
    """A residual GRU whose pose goes one unit further along one column at each frame."""
    feature = motion.parts.held[0].shape[1]
    model = predictors.seq2seq(feature, 3, residual=True)(jax.random.key(0))
    model.readout.kernel[...] = np.zeros((3, feature), np.float32)
    model.readout.bias[...] = np.eye(1, feature, dtype=np.float32)[0]
    return model


def test_the_study_has_a_row_for_each_network(small):
    _, made, lines = small
    data, told = made.data, made.provenance
    assert {name: array.dims for name, array in data.data_vars.items()} == walking.AXES
    sizes = {"network": 12, "shown": 6, "action": 8, "after": 4, "set": walking.SETS, "turn": 3}
    assert sizes.items() <= dict(data.sizes).items()
    names = data["network"].to_numpy().tolist()
    assert names[:3] == ["residual-trained-0-0", "residual-trained-0-1", "residual-longer-0-0"]
    assert names[-1] == "plain-untrained-0-1"
    assert data["shown"].to_numpy().tolist()[::5] == ["residual-trained", "plain-untrained"]
    assert lines[-1] == "walking: 12 of 12 jobs done"
    assert told["networks"] == 12 and told["seeds"] == 2


def test_basins_are_of_all_starts(small):
    data = small[1].data
    within = data["sets"] <= walking.SETS
    everywhere = data["basin"].sum("set").mean("action") + data["away"]
    np.testing.assert_allclose(everywhere[within], 1, rtol=1e-6)
    there = np.arange(walking.SETS) < data["sets"].to_numpy()[:, None]
    np.testing.assert_array_equal(data["kind"] != attractors.NONE, there)
    for name in ("exponents", "basin", "nearest"):
        array = data[name].to_numpy().reshape(*there.shape, -1)
        np.testing.assert_array_equal(np.isfinite(array).all(axis=-1), there, err_msg=name)
    assert (data["lost"] >= data["still"].mean("action") - 1e-6).all()


def test_a_row_is_recomputed(small, monkeypatch):
    tiny(monkeypatch, small[0])
    row = small[1].data.sel(network="plain-untrained-0-1")
    parts, plan = protocols.hold_out(mocap.sequences(mocap.ACTIONS), 0), protocols.HELD_OUT
    model = predictors.seq2seq(parts.held[0].shape[1], plan.hidden)(jax.random.key(1))
    inputs, labels = walking.starts(parts)
    assert np.bincount(labels).tolist() == [4] * 8
    network = autonomous.closed_loop(model)
    found = maps.limit_sets(network.step, network.start(inputs), 300, tolerance=1e-2)
    count = len(found.kinds)
    assert float(row["sets"]) == count and set(found.names) == {"fixed point"} and row["away"] == 0
    assert row["kind"][:count].to_numpy().tolist() == found.kinds.tolist()
    for label in range(8):
        own = [(found.basins[labels == label] == number).mean() for number in range(count)]
        np.testing.assert_allclose(row["basin"][:count, label], own)
    np.testing.assert_allclose(row["exponents"][0], found.exponents[0], rtol=1e-4)
    assert float(row["error"]) == pytest.approx(fitting.error(model, parts.held, plan), rel=1e-5)
    # the network's own poses, by another way
    path = predictors.trajectory(model, inputs, 31).outputs
    moved = np.sqrt(np.square(path[:, 29] - inputs[:, -1]).sum(axis=1)[labels == 2].mean())
    assert float(row["distance"].sel(after=30)[2]) == pytest.approx(moved, rel=1e-4)
    ahead = np.linalg.norm(path[:, 30] - path[:, 29], axis=1)
    speed = float(row["speed"].sel(after=30)[2])
    assert speed == pytest.approx(np.median(ahead[labels == 2]), rel=1e-2, abs=1e-6)


def test_finished_jobs_are_reused(small, monkeypatch):
    folder, made, _ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(walking, "of_network", None)  # nothing is measured anew
    (folder / "results" / "walking" / "study.json").unlink()
    walking.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "walking"))
    assert again.data.identical(made.data) and again.provenance["reused"] == "all"


def test_a_job_refuses_other_movements(small, monkeypatch):
    tiny(monkeypatch, small[0])
    monkeypatch.setattr(training, "fit_ensemble", None)
    with pytest.raises(engine.EngineError, match="the job asks for abc: give both"):
        walking.measure("plain", "trained", 0, [0], "abc", 2)


@pytest.mark.parametrize("kind", walking.KINDS)
def test_a_path_begins_with_the_last_frame_read_and_goes_on_as_the_network_does(motion, kind):
    (model,) = walking.models(motion.parts, kind, [3], 0)
    inputs, _ = walking.starts(motion.parts)
    path = walking.onward(model, inputs)
    assert path.shape[1] == 32
    np.testing.assert_array_equal(path[:, 0], inputs[:, -1])
    outputs = predictors.trajectory(model, inputs, 31).outputs
    np.testing.assert_allclose(path[:, 1:], outputs, rtol=1e-3, atol=1e-3)


def test_a_decoder_that_goes_round_has_one_closed_curve_of_known_speed(motion, walker):
    inputs, labels = walking.starts(motion.parts)
    gone = walking.beyond(walking.onward(walker, inputs), motion.parts)
    found = walking.of_sets(walker, motion, inputs, labels, gone)
    assert found["sets"] == 1 and found["settled"] == 1 and found["away"] == 0
    assert maps.KINDS[int(found["kind"][0])] == "circle" and not found["still"].any()
    # as is known of this network, see the tests of maps
    assert 1 / found["rotation"][0] == pytest.approx(8.575, abs=1e-3)
    np.testing.assert_array_equal(found["basin"][0], np.ones(8))
    shown = walking.to_show(walker, motion)
    assert np.isfinite(shown["shown_sets"][0]).all() and np.isnan(shown["shown_sets"][1:]).all()
    assert np.ptp(shown["shown_sets"][0], axis=0).max() > 0


def test_a_decoder_that_drifts_runs_away_at_known_speed(motion, drifting):
    inputs, labels = walking.starts(motion.parts)
    path = walking.onward(drifting, inputs)
    gone = walking.beyond(path, motion.parts)
    way = walking.of_way(path, gone, labels)
    np.testing.assert_allclose(way["distance"], np.repeat([[0], [1], [5], [30]], 8, 1), atol=1e-4)
    np.testing.assert_allclose(way["speed"], 1, atol=1e-4)
    longest = max(np.linalg.norm(part, axis=1).max() for part in motion.parts.training)
    np.testing.assert_array_equal(way["beyond"][-1] == 1, longest < 25)
    found = walking.of_sets(drifting, motion, inputs, labels, gone)
    assert found["sets"] == 0 and found["away"] == 1 and (found["kind"] == attractors.NONE).all()
    assert found["lost"] == gone[:, -1].mean()
    assert np.isnan(walking.to_show(drifting, motion)["shown_sets"]).all()


def test_a_pose_that_stands_still_is_a_fixed_point_of_all_starts(motion, walker):
    walker.decoder.dense_h.kernel[...] = np.zeros((3, 9), np.float32)
    inputs, labels = walking.starts(motion.parts)
    found = walking.of_sets(walker, motion, inputs, labels, np.zeros((len(inputs), 4)))
    assert found["still"].tolist() == [1] * 8 and found["lost"] == 1
    # all columns at their means
    learnt = np.concatenate(motion.parts.training)
    bodies = walking.to_show(walker, motion)["shown_sets"][0]
    mean = walking.joints(np.zeros((1, learnt.shape[1])), motion.scale)[0]
    np.testing.assert_allclose(bodies, np.stack([mean] * 3), rtol=1e-2, atol=0.05)
    least = np.linalg.norm(learnt, axis=1).min()
    assert found["nearest"][0] == pytest.approx(least, rel=1e-3)


def test_bodies_are_those_recorded(motion):
    recorded, held = motion.parts.recorded[1], motion.parts.held[1]
    still = mocap.without_root(recorded.frames)
    np.testing.assert_allclose(mocap.scale(still, motion.scale), held, rtol=1e-6)
    places = walking.joints(held[:5], motion.scale)
    own = mocap.forward_kinematics(still[:5], mocap.PARENTS, mocap.OFFSETS)
    np.testing.assert_allclose(places, own, atol=1e-2)


def test_a_sequence_that_is_cut_is_trained_on_by_halves(motion):
    names = [each.name for each in motion.parts.recorded]
    assert sum(name.startswith("washwindow_1/") for name in names) == 1
    assert motion.learnt.count(mocap.ACTIONS.index("washwindow")) == 1
    assert len(motion.learnt) == len(motion.parts.training)


def test_a_stride_is_found():
    time = np.arange(480) / mocap.RATE
    swing = np.stack([np.sin(2 * np.pi * time / 1.1), np.cos(4 * np.pi * time / 1.1)], axis=1)
    seconds, left = walking.comes_back(swing)
    assert seconds == pytest.approx(1.1, abs=0.01) and left < 1e-3
    noise = np.random.default_rng(0).normal(size=(480, 5))
    assert walking.comes_back(noise)[1] == pytest.approx(1, abs=0.1)
    assert np.isnan(walking.comes_back(swing[:50])).all()


def test_standing_still_is_the_last_frame(motion):
    frames = np.repeat(np.arange(16.0), 2)[:, None] * np.ones((1, 2))
    # four frames are read, and those after them are 1 to 4 further, twice
    assert walking.stay_error([frames]) == pytest.approx((1 + 4 + 9 + 16) / 4)


def test_residual_networks_are_those_of_the_study_of_movement(monkeypatch):
    monkeypatch.setattr(protocols, "HELD_OUT", synthetic.TINY)
    made = [synthetic.sequence(action, n) for action in ("walking", "running") for n in (1, 2, 3)]
    parts = protocols.hold_out(made, 0)
    theirs = fitting.fit(parts.training, synthetic.TINY, [3])
    (ours,) = walking.models(parts, "residual", [3], 2)
    inputs = walking.starts(parts)[0]
    expected = predictors.trajectory(training.member(theirs, 0), inputs, 4).outputs
    np.testing.assert_allclose(predictors.trajectory(ours, inputs, 4).outputs, expected, rtol=1e-5)


def test_the_whole_study_is_small(small):
    rows = [(batch, seed) for batch in _all_batches() for seed in range(4)]
    along = walking._coordinates(rows)
    assert len(along["network"]) == 120 and len(along["shown"]) == 6
    sizes = dict(small[1].data.sizes) | {"network": 120, "after": 7, "turn": 8}
    numbers = sum(
        np.prod([sizes[axis] for axis in axes]) * (2 if name in walking.SHOWN_AXES else 4)
        for name, axes in walking.AXES.items()
    )
    assert numbers < 500e3


def _all_batches():
    return [
        walking.Batch(kind, state, choice)
        for kind in walking.KINDS
        for state in walking.STATES
        for choice in range(5)
    ]


@pytest.fixture
def published(load_published):
    try:
        return load_published("walking")
    except disk.StoreError:
        pytest.skip("the study is not published yet")


def test_the_published_study_is_whole(small, published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(small[1].data, data)
    assert walking._facts().items() <= told.items() and told["seeds"] >= 4
    rows = [(batch, seed) for batch in walking._batches() for seed in range(told["seeds"])]
    assert data["network"].to_numpy().tolist() == [f"{batch.name}-{seed}" for batch, seed in rows]
    folder = Path(__file__).resolve().parents[2] / "results" / "walking"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1e6
    assert walking_page.groups(data).keys() == {
        (kind, state) for kind in walking.KINDS for state in walking.STATES
    }


def test_published_networks_without_training_are_recomputed(published, monkeypatch):
    if not REAL_DATA or not (Path(REAL_DATA).expanduser() / "cmu_mocap").is_dir():
        pytest.skip("needs CMU motion capture: set RNNATOMY_DATA to a folder with cmu_mocap")
    monkeypatch.setenv("RNNATOMY_DATA", REAL_DATA)
    sequences = mocap.sequences(mocap.ACTIONS)
    checksum = identity.fingerprint(sequences)
    for kind, choice, seed in (("plain", 0, 0), ("residual", 2, 1)):
        (found,) = walking.measure(kind, "untrained", choice, [seed], checksum, 0)
        row = published.data.sel(network=f"{kind}-untrained-{choice}-{seed}")
        for name in ("error", "stay_error", "sets", "away", "distance", "longest"):
            np.testing.assert_allclose(row[name], found[name], rtol=1e-2, err_msg=name)


def test_published_residual_networks_predict_as_those_of_movement(published, load_published):
    """Trained again, networks come out alike, but for rounding that grows."""
    theirs = load_published("movement").data["held_loss"].isel(held_epoch=-1)
    part = walking_page.finished(published.data, decoder="residual", state="trained")
    pairs = zip(part["choice"].to_numpy(), part["seed"].to_numpy(), strict=True)
    known = [(choice, seed) for choice, seed in pairs if seed in theirs["network"]]
    assert len(known) >= 4 * protocols.CHOICES
    for choice, seed in known:
        own = part["error"].sel(network=f"residual-trained-{choice}-{seed}")
        assert float(own) == pytest.approx(float(theirs.sel(choice=choice, network=seed)), rel=0.2)
