from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import REAL_DATA
from flax import nnx

from rnnatomy.analysis import clusters, separability
from rnnatomy.data import mocap
from rnnatomy.networks import predictors, training
from rnnatomy.store import checkout, results
from rnnatomy.studies.movement import embeddings, fitting, page, protocols, scoring, study

RECIPE = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)
TINY = protocols.Plan(
    step=2, read=4, predict=4, stride=2, apart=2, hidden=5, recipe=RECIPE, seconds=(0.0, 0.1)
)
RATES = {action: 0.2 + 0.15 * k for k, action in enumerate(mocap.ACTIONS)}


def motion(rate, columns, frames, seed):
    """Every column swings about a place of its own, at one rate."""
    rng = np.random.default_rng(seed)
    place, phase = rng.normal(size=columns), rng.uniform(0, 6, columns)
    swing = np.sin(rate * np.arange(frames)[:, None] + phase)
    return (place + swing + 0.01 * rng.normal(size=swing.shape)).astype(np.float32)


def sequence(action, number=1, frames=40):
    moved = motion(RATES[action], 117, frames, mocap.ACTIONS.index(action))
    return mocap.Sequence(f"{action}_{number}", action, moved + 0.01 * number, mocap.RATE)


def recording(name, seed, order=(0, 1, 2, 0), length=40):
    kinds = [motion(0.3 + 0.3 * k, 96, length, seed + k) for k in range(3)]
    best = length * np.arange(1, len(order))
    return mocap.Recording(
        name,
        np.concatenate([kinds[k] for k in order]),
        tuple(f"activity {k}" for k in order),
        np.repeat(order, length),
        best,
        np.stack([best - 8, best + 8], axis=1),
        mocap.RATE,
    )


def not_fitted(create, loss, train, recipe, keys, measure):
    """Stand in for training, which takes long to compile: networks change a little each epoch."""
    models = [create(key) for key in keys]
    graph, _ = nnx.split(models[0])
    parameters = jax.tree.map(lambda *leaves: np.stack(leaves), *map(nnx.state, models))
    history = {}
    for epoch in range(recipe.epochs):
        for name in measure(models[0]):
            leaves = np.stack([measure(model)[name] for model in models])
            history.setdefault(name, []).append(leaves * (1 + 0.1 * epoch))
    stacked = {name: np.stack(leaves) for name, leaves in history.items()}
    return training.Fitted(graph, parameters, stacked)


def synthetic(monkeypatch, folder):
    def sequences(actions):
        counts = {"washwindow": 1, "directing_traffic": 2}
        return [sequence(a, n) for a in actions for n in range(1, counts.get(a, 3) + 1)]

    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(training, "fit_ensemble", not_fitted)
    monkeypatch.setattr(mocap, "sequences", sequences)
    monkeypatch.setattr(mocap, "recordings", lambda: [recording("01", 0), recording("07", 50)])
    monkeypatch.setattr(protocols, "AUTHORS", TINY._replace(step=1, seconds=(0.0,)))
    monkeypatch.setattr(protocols, "SHORT", TINY._replace(step=1, stride=4, seconds=(0.0,)))
    monkeypatch.setattr(protocols, "HELD_OUT", TINY)
    monkeypatch.setattr(protocols, "SUBJECT_86", TINY)
    monkeypatch.setattr(protocols, "CHOICES", 1)
    monkeypatch.setattr(protocols, "TASKS", {"three": protocols.TASKS["three"]})
    monkeypatch.setattr(scoring, "CANDIDATES", (2, 3, 4))
    monkeypatch.setattr(scoring, "SHORTEST", 6)
    # k-means with its ten starts takes most of the time
    fast = dict(scoring.METHODS)
    fast["k-means"] = fast.pop("Ward")
    monkeypatch.setattr(scoring, "METHODS", fast)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movement")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        synthetic(patch, folder)
        study.publish(2, lines.append)
        return folder, results.load_study("movement"), lines


@pytest.fixture
def model():
    return fitting.create(117, TINY)(jax.random.key(0))


@pytest.fixture
def two():
    return [sequence("walking", frames=40).frames, sequence("running", frames=23).frames]


@pytest.fixture
def published():
    return results.load_study("movement")


@pytest.fixture
def real(monkeypatch):
    if not REAL_DATA or not (Path(REAL_DATA).expanduser() / "cmu_mocap").is_dir():
        pytest.skip("needs CMU motion capture: set RNNATOMY_DATA to a folder with cmu_mocap")
    monkeypatch.setenv("RNNATOMY_DATA", REAL_DATA)


def test_windows_hold_what_is_read_and_what_follows():
    frames = np.arange(20.0).reshape(10, 2)
    made = embeddings.cut(frames, read=3, predict=2, stride=2)
    assert made.starts.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(made.examples.inputs[1], frames[2:5])
    np.testing.assert_array_equal(made.examples.targets[1], frames[5:7])
    assert embeddings.cut(frames, 3, 0, 1).examples.targets.shape == (8, 0, 2)


def test_a_window_that_cannot_be_cut_is_one_clear_error():
    with pytest.raises(ValueError, match="too few frames for one window of 5"):
        embeddings.cut(np.zeros((4, 2)), 3, 2, 1)
    with pytest.raises(ValueError, match="give at least 1 to read"):
        embeddings.cut(np.zeros((4, 2)), 0, 2, 1)
    with pytest.raises(ValueError, match="give at least 1 to read"):
        embeddings.cut(np.zeros((4, 2)), 2, -1, 1)


def test_plain_embeddings_are_of_the_same_frames(two):
    found = embeddings.embed_frames(two[0], TINY)
    assert tuple(found) == embeddings.WITHOUT_NETWORK
    used = two[0][::2]
    # windows start at frames 0, 2, 4 of those used; they stand for their middle
    for part in found.values():
        assert part.at.tolist() == [3, 7, 11, 15, 19, 23, 27, 31, 35]
    np.testing.assert_array_equal(found["poses"].points[1], used[4])
    np.testing.assert_array_equal(found["windows"].points[1], used[2:6].ravel())
    summary = np.concatenate([used[2:6].mean(axis=0), used[2:6].std(axis=0)])
    np.testing.assert_allclose(found["mean and deviation"].points[1], summary, rtol=1e-6)


def test_learned_embeddings_are_states_of_the_network(model, two):
    found = embeddings.embed_states(model, two, TINY)
    assert tuple(found) == embeddings.WITH_NETWORK[:2]
    used = two[1][::2]  # 12 frames: read 0 to 3 or 4 to 7, predict 4 to 7 and 8 to 11
    averages, states = (parts[1] for parts in found.values())
    went = predictors.trajectory(model, np.stack([used[:4], used[4:8]]), 4)
    np.testing.assert_allclose(averages.points[[0, 2]], went.encoder.mean(axis=1), atol=1e-6)
    assert averages.at[[0, 2]].tolist() == [3, 11]
    kept = went.decoder[:, ::2].reshape(4, -1)
    kept = kept / np.linalg.norm(kept, axis=1, keepdims=True)
    np.testing.assert_allclose(states.points, kept, atol=1e-6)
    assert states.at.tolist() == [8, 12, 16, 20]


def test_many_windows_are_as_if_each_were_alone(model, two, monkeypatch):
    whole = embeddings.embed_states(model, two, TINY)
    monkeypatch.setattr(embeddings, "CALL", 3)
    for name, parts in embeddings.embed_states(model, two, TINY).items():
        for part, other in zip(parts, whole[name], strict=True):
            np.testing.assert_allclose(part.points, other.points, atol=1e-6)


def test_the_error_of_predictions_is_over_each_frame_once(model, two):
    made = [embeddings.cut(frames[::2], 4, 4, 4).examples for frames in two]
    squares = [
        np.square(predictors.trajectory(model, part.inputs, 4).outputs - part.targets).ravel()
        for part in made
    ]
    assert fitting.error(model, two, TINY) == pytest.approx(
        np.concatenate(squares).mean(), rel=1e-5
    )


def test_few_modes_are_those_of_the_training_part(model, two):
    rows = embeddings.state_rows(model, two[:1], two[1:], TINY)
    basis = embeddings.embed_states(model, two[1:], TINY)["decoder states"][0].points
    centred = basis - basis.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    by_hand = np.abs((rows["decoder states"][0].points - basis.mean(axis=0)) @ axes.T)
    found = rows["decoder states in 3 modes"][0].points
    np.testing.assert_allclose(np.abs(found), by_hand, atol=1e-5)


def test_windows_are_taken_in_few_modes(two, monkeypatch):
    monkeypatch.setattr(embeddings, "WINDOW_MODES", 2)
    rows = embeddings.frame_rows(two, two[:1], TINY)
    assert tuple(rows) == embeddings.WITHOUT_NETWORK
    assert [part.points.shape[1] for part in rows["windows"]] == [2, 2]
    monkeypatch.setattr(embeddings, "WINDOW_MODES", 50)  # more than there are windows
    assert embeddings.frame_rows(two, two[1:], TINY)["windows"][0].points.shape[1] == 5


def test_a_running_mean_is_of_the_points_nearby():
    at = np.array([0.0, 2.0, 4.0, 6.0])
    part = embeddings.Embedding(np.array([[1.0], [2.0], [6.0], [4.0]]), at)
    np.testing.assert_array_equal(embeddings.smooth(part, 0.0).points, part.points)
    np.testing.assert_allclose(embeddings.smooth(part, 4.0).points.ravel(), [1.5, 3, 4, 5])
    np.testing.assert_allclose(embeddings.smooth(part, 100.0).points.ravel(), 3.25)


def test_each_frame_belongs_to_the_nearest_point():
    found = scoring.by_frame(np.array([5, 7, 9]), np.array([2.0, 4.0, 9.0]), 12)
    assert found.tolist() == [5, 5, 5, 7, 7, 7, 7, 9, 9, 9, 9, 9]


def test_sequences_are_clustered_together():
    parts = [
        embeddings.Embedding(np.array([[0.0], [10.0]]), np.array([1.0, 4.0])),
        embeddings.Embedding(np.array([[10.1], [10.2], [0.1]]), np.array([0.0, 2.0, 4.0])),
    ]
    for way in scoring.methods_for_count(2, np.random.default_rng(0)).values():
        first, second = scoring.find(parts, [5, 6], way)
        assert (first == first[0]).tolist() == [True, True, True, False, False]
        assert (second == first[0]).tolist() == [False, False, False, True, True, True]


def test_the_number_of_activities_is_found_where_it_is_not_given():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    points = np.concatenate([centre + rng.normal(size=(20, 2)) for centre in centres])
    for way in scoring.methods_by_silhouette(rng).values():
        assert len(np.unique(way(points))) == 3
        assert len(np.unique(way(points[:3]))) == 2


def test_a_segmentation_is_scored_within_the_accepted_frames(monkeypatch):
    monkeypatch.setattr(scoring, "SHORTEST", 6)
    made = recording("01", 0)
    exact = scoring.segmentation(made.labels, made)
    np.testing.assert_allclose(exact, [1, 1, 1, 1, 1, 1, 1, 3])
    assert len(exact) == len(scoring.SCORES)
    flicker = made.labels.copy()
    flicker[10:14] = 2  # shorter than the shortest segment
    np.testing.assert_allclose(scoring.segmentation(flicker, made), exact)
    late = np.roll(made.labels, 9)
    late[:9] = 0
    assert scoring.segmentation(late, made)[4:7].tolist() == [0, 0, 0]


def test_a_table_holds_every_representation_and_every_way(two):
    rows = embeddings.frame_rows(two, two, TINY)
    labels = np.repeat([0, 1], [40, 23])
    ways = scoring.methods_for_count(2, np.random.default_rng(0))
    score = partial(scoring.agreement, labels=labels)
    found = scoring.table(rows, [40, 23], (0.0, 0.1), ways, score)
    assert found.shape == (2, 3, 3, 3)
    points = np.concatenate([part.points for part in rows["poses"]])
    ward = clusters.agglomerative(points, 2, "ward")
    parts = [rows["poses"][0].at, rows["poses"][1].at]
    by_hand = [scoring.by_frame(ward[: len(parts[0])], parts[0], 40)]
    by_hand += [scoring.by_frame(ward[len(parts[0]) :], parts[1], 23)]
    wanted = clusters.agreement(np.concatenate(by_hand), labels)
    np.testing.assert_allclose(found[0, 0, 1], wanted)


def test_the_running_mean_is_chosen_on_two_recordings_and_scored_on_the_others():
    scores = np.zeros((4, 2, 3, 2))
    scores[:2, 1, 0, 0] = 1  # the second is better for the first row, where it is tuned
    scores[2:, 0], scores[2:, 1] = 5, 7
    found = scoring.tuned(scores, ("05", "01", "07", "09"))
    assert found.shape == (2, 3, 2)
    np.testing.assert_array_equal(found[:, 0], 7)
    np.testing.assert_array_equal(found[:, 1:], 5)


def test_networks_are_kept_after_each_epoch(two):
    fitted = fitting.fit(two, TINY, [3, 4])
    last = fitting.along(fitted, 1)[-1]
    assert len(fitting.along(fitted, 1)) == 2
    again = training.member(fitted, 1)
    assert fitting.error(last, two, TINY) == fitting.error(again, two, TINY)
    fresh = fitting.create(117, TINY)(jax.random.key(4))
    assert fitting.error(last, two, TINY) < fitting.error(fresh, two, TINY)


def test_all_phases_are_trained_on(two, monkeypatch):
    seen = []
    whole = training.fit_ensemble

    def recorded(*given, **options):
        seen.extend(given[2])
        return whole(*given, **options)

    monkeypatch.setattr(training, "fit_ensemble", recorded)
    fitting.fit(two[:1], TINY, [0])
    inputs, targets = seen
    assert inputs.shape == (14, 4, 117) and targets.shape == (14, 4, 117)
    np.testing.assert_array_equal(inputs[0], two[0][0:8:2])
    np.testing.assert_array_equal(inputs[7], two[0][1:9:2])
    np.testing.assert_array_equal(targets[7], two[0][9:17:2])


def test_sequences_are_held_out_of_training_and_of_its_statistics():
    made = [sequence("walking", n) for n in range(1, 6)]
    made += [sequence("directing_traffic", n) for n in (1, 2)] + [sequence("washwindow")]
    parts = protocols.hold_out(made, 4)
    assert [len(frames) for frames in parts.training] == [40, 40, 40, 40, 20]
    assert [len(frames) for frames in parts.held] == [40, 40, 40, 20]
    assert parts.actions == [0, 0, 1, 2]
    names = ["walking_1", "walking_5", "directing_traffic_1", "washwindow_1/1"]
    assert [each.name for each in parts.recorded] == names
    # the fifth and the first walk are held out
    far = [made[0]._replace(frames=made[0].frames + 50), *made[1:]]
    other = protocols.hold_out(far, 4)
    for one, two in zip(parts.training, other.training, strict=True):
        np.testing.assert_array_equal(one, two)
    assert np.abs(other.held[0]).max() == protocols.LIMIT
    whole = np.concatenate(parts.training)
    np.testing.assert_allclose(whole.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(whole.std(axis=0), 1, atol=1e-3)


@pytest.fixture
def held():
    made = [sequence(action, n) for action in ("walking", "running") for n in (1, 2, 3)]
    return protocols.hold_out(made, 0)


def test_a_recording_is_shown_with_its_segments_by_hand_and_as_found(monkeypatch):
    monkeypatch.setattr(scoring, "SHORTEST", 6)
    monkeypatch.setattr(protocols, "SUBJECT_86", TINY)
    made = recording("01", 0)
    at = np.arange(1.0, 160, 3)
    rng = np.random.default_rng(0)
    points = np.eye(4)[made.labels[at.astype(int)]] + 0.01 * rng.normal(size=(len(at), 4))
    found = page.segmented([embeddings.Embedding(points, at)], made, rng)
    assert found["path"].shape == (len(at), 3)
    np.testing.assert_array_equal(found["truth"], made.labels[at.astype(int)])
    # running means blur borders by a few frames at most
    assert np.mean(found["found"] == found["truth"]) > 0.9
    np.testing.assert_array_equal(found["at"], at)


def test_the_gauge_needs_no_labels():
    rng = np.random.default_rng(0)
    points = np.concatenate([place + 0.1 * rng.normal(size=(20, 2)) for place in (0.0, 9.0)])
    part = embeddings.Embedding(points, np.arange(40.0))
    mixed = embeddings.Embedding(rng.normal(size=(40, 2)), part.at)
    found = scoring.gauge(
        {embeddings.WITH_NETWORK[0]: [part], embeddings.WITH_NETWORK[1]: [mixed]}, 2, rng
    )
    assert found.shape == (2, 2)
    assert (found[0] > 0.95).all() and (found[1] < 0.6).all()
    truth = separability.silhouette(points, np.repeat([0, 1], 20))
    np.testing.assert_allclose(found[0], truth)


def test_roles_are_distances_to_orbits_of_the_own_action_and_of_others(held, monkeypatch):
    model = fitting.create(111, TINY)(jax.random.key(0))
    monkeypatch.setattr(scoring, "ONWARD", 5)
    found = scoring.roles(model, held, TINY)
    assert found.shape == (2, 3 + 5)
    assert (found > 0).all()
    swapped = held._replace(actions=[1 - k for k in held.actions])
    np.testing.assert_allclose(scoring.roles(model, swapped, TINY), found, atol=1e-6)
    # own orbits are those of sequences that move alike
    assert found[0, 0] < found[1, 0]
    monkeypatch.setattr(scoring, "EACH", 4)
    assert not np.allclose(scoring.roles(model, held, TINY), found)


def test_paths_are_encoder_averages_at_every_frame_in_modes_of_training(held):
    model = fitting.create(111, TINY)(jax.random.key(0))
    found = page.paths(model, held, TINY)
    fine = embeddings.embed_states(model, held.held, TINY._replace(stride=1))[
        embeddings.WITH_NETWORK[0]
    ]
    basis = embeddings.embed_states(model, held.training, TINY)[embeddings.WITH_NETWORK[0]]
    points = np.concatenate([part.points for part in basis])
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:3]
    for part, one in zip(found, fine, strict=True):
        assert np.diff(part.at).tolist() == [2.0] * 16
        by_hand = (one.points - points.mean(axis=0)) @ axes.T
        np.testing.assert_allclose(np.abs(part.points), np.abs(by_hand), atol=1e-4)


def test_figures_move_on_one_spot():
    recorded = [sequence("walking")]
    at = np.array([0.0, 3.0, 4.9])
    (joints,) = page.figures(recorded, [at])
    assert joints.shape == (3, 38, 3)
    still = recorded[0].frames[[0, 3, 4]].astype(float)
    whole = mocap.forward_kinematics(still, mocap.PARENTS, mocap.OFFSETS)
    shift = still[:, None, [0, 2]]
    np.testing.assert_allclose(joints[..., [0, 2]], whole[..., [0, 2]] - shift, atol=1e-6)
    np.testing.assert_allclose(joints[..., 1], whole[..., 1], atol=1e-6)


def test_each_recording_is_scaled_by_itself():
    made = [recording("01", 0), recording("07", 50)]
    made[1].frames[:, 20] = 3  # used in one recording alone
    for scaled in protocols.scale_each(made):
        assert scaled.shape == (160, 90)
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    assert not scaled[:, 14].any()


def test_the_study_has_a_row_for_each_network(small):
    _, made, lines = small
    found = {name: array.shape for name, array in made.arrays.items()}
    for task in ("three", "three_short"):
        assert found[f"{task}_plain"] == (1, 3, 2, 3)
        assert found[f"{task}_learned"] == (2, 3, 1, 3, 2, 3)
        assert found[f"{task}_loss"] == found[f"{task}_modes"] == (2, 3)
        assert found[f"{task}_silhouette"] == (2, 3)
        assert found[f"{task}_gauge"] == (2, 3, 2, 2)
    assert found["held_plain"] == (1, 2, 3, 2, 3)
    assert found["held_learned"] == (1, 2, 2, 2, 3, 2, 3)
    assert found["held_loss"] == (1, 2, 3)
    assert found["held_gauge"] == (1, 2, 3, 2, 2)
    assert found["held_roles"] == (1, 2, 2, 2, 3 + scoring.ONWARD)
    assert found["played_points"][1] == 3 and found["played_frames"] == (8,)
    assert found["played_joints"] == (found["played_points"][0], 38, 3)
    assert made.arrays["played_frames"].sum() == found["played_points"][0]
    for name in ("", "_unknown"):
        assert found[f"subject_plain{name}"] == (2, 2, 3, 2, 8)
        assert found[f"subject_learned{name}"] == (2, 2, 2, 2, 3, 2, 8)
        assert found[f"{task}_path"][1] == 3
    assert found["subject_path_07"][0] == found["subject_at_07"][0]
    assert all(np.isfinite(array).all() for array in made.arrays.values())
    assert len(lines) == 4 and "about 0 min left" in lines[-1]
    assert made.provenance["recordings"] == ["01", "07"]
    assert made.provenance["activities"] == [["activity 0", "activity 1", "activity 2"]] * 2
    assert found["subject_truth_07"] == found["subject_found_07"] == found["subject_at_07"]


def test_rows_are_recomputed(small, monkeypatch):
    synthetic(monkeypatch, small[0])
    found, made = small[1].arrays, recording("07", 50)
    own = protocols.scale_each(mocap.recordings())[1]
    rows = embeddings.frame_rows([own], [own], TINY)
    ways = scoring.methods_for_count(3, np.random.default_rng(0))
    again = scoring.subject_table(rows, made, TINY, ways)
    np.testing.assert_allclose(found["subject_plain"][1], again, atol=1e-6)
    fresh = fitting.create(own.shape[1], TINY)(jax.random.key(1))
    rows = embeddings.state_rows(fresh, [own], [own], TINY)
    ways = scoring.methods_by_silhouette(np.random.default_rng(1))
    again = scoring.subject_table(rows, made, TINY, ways)
    np.testing.assert_allclose(found["subject_learned_unknown"][1, :, 1, 0], again, atol=1e-6)


def test_an_interrupted_study_goes_on_from_the_last_finished_batch(small, monkeypatch):
    folder, made, _ = small
    synthetic(monkeypatch, folder)
    monkeypatch.setattr(training, "fit_ensemble", None)  # nothing is fitted anew
    (folder / "results" / "movement" / "study.json").unlink()
    study.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "movement"))
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_a_batch_of_other_facts_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    for networks in (1, 1, 2):
        facts = study._facts(networks)
        made = study._kept("one", lambda n=networks: {"a": np.full(1, n)}, facts)
        assert made.arrays["a"] == networks
    same = study._kept("one", lambda: pytest.fail("it is made anew"), study._facts(2))
    np.testing.assert_array_equal(same.arrays["a"], made.arrays["a"])


def test_bad_input_is_one_clear_error(two, model):
    with pytest.raises(ValueError, match=r"'walkin' is unknown.*'walking' looks like it"):
        protocols.concatenate(["walkin_1"])
    with pytest.raises(ValueError, match="too few frames for one window"):
        embeddings.embed_states(model, [two[0][:10]], TINY)
    rows = embeddings.frame_rows(two[:1], two[:1], TINY)
    ways = scoring.methods_for_count(2, np.random.default_rng(0))
    one = partial(scoring.agreement, labels=np.zeros(40, int))
    with pytest.raises(ValueError, match="all points are of one class"):
        scoring.table(rows, [40], (0.0,), ways, one)
    with pytest.raises(ValueError, match="2 to"):
        scoring.joined_table(rows, np.zeros(40, int), TINY, np.random.default_rng(0))
    broken = two[0].copy()
    broken[8] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        embeddings.frame_rows([broken], [broken], TINY)
    with pytest.raises(ValueError, match="NaN"):
        embeddings.state_rows(model, [broken], [broken], TINY)
    with pytest.raises(ValueError, match="NaN"):
        protocols.hold_out([sequence("walking")._replace(frames=broken)], 1)


def test_the_published_study_is_whole(published):
    found, told = published.arrays, published.provenance
    networks = told["networks"]
    assert networks >= 3
    assert study._facts(networks).items() <= told.items()
    epochs = protocols.AUTHORS.recipe.epochs + 1
    for task in ("three", "five", "three_short", "five_short"):
        assert found[f"{task}_learned"].shape == (networks, epochs, 1, 3, 3, 3)
    assert found["held_learned"].shape == (protocols.CHOICES, networks, 2, 2, 3, 3, 3)
    assert found["subject_learned"].shape == (7, 2, networks, 2, 3, 3, 8)
    assert all(np.isfinite(array).all() for array in found.values())
    stored = checkout.root() / "results" / "movement"
    assert sum(path.stat().st_size for path in stored.iterdir()) < 1e6


def test_published_rows_without_training_are_recomputed(published, real):
    found = published.arrays
    frames, labels = protocols.concatenate(protocols.TASKS["three"])
    rows = embeddings.frame_rows([frames], [frames], protocols.SHORT)
    again = scoring.joined_table(rows, labels, protocols.SHORT, np.random.default_rng(0))
    np.testing.assert_allclose(found["three_short_plain"], again, atol=0.02)
    made = mocap.recordings()
    assert [each.name for each in made] == published.provenance["recordings"]
    digest = protocols.checksum([each.frames for each in made])
    assert digest == published.provenance["sha256_of_recordings"]
    plan, own = protocols.SUBJECT_86, protocols.scale_each(made)[3]
    fresh = fitting.create(own.shape[1], plan)(jax.random.key(0))
    rows = embeddings.state_rows(fresh, [own], [own], plan)
    ways = scoring.methods_for_count(len(np.unique(made[3].labels)), np.random.default_rng(0))
    again = scoring.subject_table(rows, made[3], plan, ways)
    np.testing.assert_allclose(found["subject_learned"][3, :, 0, 0], again, atol=0.02)


def test_published_gauge_and_roles_without_training_are_recomputed(published, real):
    found, plan = published.arrays, protocols.HELD_OUT
    parts = protocols.hold_out(mocap.sequences(mocap.ACTIONS), 0)
    fresh = fitting.create(parts.held[0].shape[1], plan)(jax.random.key(0))
    rows = embeddings.state_rows(fresh, parts.held, parts.training, plan)
    again = scoring.gauge(rows, len(mocap.ACTIONS), np.random.default_rng(0))
    np.testing.assert_allclose(found["held_gauge"][0, 0, 0], again, atol=0.02)
    error = fitting.error(fresh, parts.held, plan)
    assert found["held_loss"][0, 0, 0] == pytest.approx(error, rel=1e-3)
    roles = scoring.roles(fresh, parts, plan)
    np.testing.assert_allclose(found["held_roles"][0, 0, 0], roles, atol=0.01)


def test_published_figures_are_recomputed(published, real):
    found = published.arrays
    recorded = protocols.hold_out(mocap.sequences(mocap.ACTIONS), 0).recorded
    first = {each.action: each for each in reversed(recorded)}
    lengths = found["played_frames"].astype(int)
    parts = np.split(found["played_joints"], np.cumsum(lengths)[:-1])
    for action, joints in zip(mocap.ACTIONS, parts, strict=True):
        # each point stands for the middle of a window
        at = protocols.HELD_OUT.step * (np.arange(len(joints)) + (protocols.HELD_OUT.read - 1) / 2)
        (again,) = page.figures([first[action]], [at])
        np.testing.assert_allclose(joints, again, atol=0.02)
