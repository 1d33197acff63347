import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.networks import predictors
from rnnatomy.studies.movement import embeddings


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
    found = embeddings.embed_frames(two[0], synthetic.TINY)
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
    found = embeddings.embed_states(model, two, synthetic.TINY)
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
    whole = embeddings.embed_states(model, two, synthetic.TINY)
    monkeypatch.setattr(embeddings, "WINDOWS_AT_ONCE", 3)
    for name, parts in embeddings.embed_states(model, two, synthetic.TINY).items():
        for part, other in zip(parts, whole[name], strict=True):
            np.testing.assert_allclose(part.points, other.points, atol=1e-6)


def test_few_modes_are_those_of_the_training_part(model, two):
    rows = embeddings.state_rows(model, two[:1], two[1:], synthetic.TINY)
    basis = embeddings.embed_states(model, two[1:], synthetic.TINY)["decoder states"][0].points
    centred = basis - basis.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:3]
    by_hand = np.abs((rows["decoder states"][0].points - basis.mean(axis=0)) @ axes.T)
    found = rows["decoder states in 3 modes"][0].points
    np.testing.assert_allclose(np.abs(found), by_hand, atol=1e-5)


def test_windows_are_taken_in_few_modes(two, monkeypatch):
    monkeypatch.setattr(embeddings, "WINDOW_MODES", 2)
    rows = embeddings.frame_rows(two, two[:1], synthetic.TINY)
    assert tuple(rows) == embeddings.WITHOUT_NETWORK
    assert [part.points.shape[1] for part in rows["windows"]] == [2, 2]
    monkeypatch.setattr(embeddings, "WINDOW_MODES", 50)  # more than there are windows
    assert embeddings.frame_rows(two, two[1:], synthetic.TINY)["windows"][0].points.shape[1] == 5


def test_a_running_mean_is_of_the_points_nearby():
    at = np.array([0.0, 2.0, 4.0, 6.0])
    part = embeddings.Embedding(np.array([[1.0], [2.0], [6.0], [4.0]]), at)
    np.testing.assert_array_equal(embeddings.smooth(part, 0.0).points, part.points)
    np.testing.assert_allclose(embeddings.smooth(part, 4.0).points.ravel(), [1.5, 3, 4, 5])
    np.testing.assert_allclose(embeddings.smooth(part, 100.0).points.ravel(), 3.25)


def test_sequences_that_are_too_short_or_not_finite_are_one_clear_error(two, model):
    with pytest.raises(ValueError, match="too few frames for one window"):
        embeddings.embed_states(model, [two[0][:10]], synthetic.TINY)
    broken = two[0].copy()
    broken[8] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        embeddings.frame_rows([broken], [broken], synthetic.TINY)
    with pytest.raises(ValueError, match="NaN"):
        embeddings.state_rows(model, [broken], [broken], synthetic.TINY)
