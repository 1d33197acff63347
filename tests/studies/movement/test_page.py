import numpy as np
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.studies.movement import embeddings, page, protocols, scoring


def test_a_recording_is_shown_with_its_segments_by_hand_and_as_found(monkeypatch):
    monkeypatch.setattr(scoring, "SHORTEST", 6)
    monkeypatch.setattr(protocols, "SUBJECT_86", synthetic.TINY)
    made = synthetic.recording("01", 0)
    at = np.arange(1.0, 160, 3)
    rng = np.random.default_rng(0)
    points = np.eye(4)[made.labels[at.astype(int)]] + 0.01 * rng.normal(size=(len(at), 4))
    found = page.segmented([embeddings.Embedding(points, at)], made, rng)
    assert found["path"].shape == (len(at), 3)
    np.testing.assert_array_equal(found["truth"], made.labels[at.astype(int)])
    # running means blur borders by a few frames at most
    assert np.mean(found["found"] == found["truth"]) > 0.9
    np.testing.assert_array_equal(found["at"], at)


def test_paths_are_encoder_averages_at_every_frame_in_modes_of_training(narrow_model, held):
    found = page.paths(narrow_model, held, synthetic.TINY)
    fine = embeddings.embed_states(narrow_model, held.held, synthetic.TINY._replace(stride=1))[
        embeddings.WITH_NETWORK[0]
    ]
    basis = embeddings.embed_states(narrow_model, held.training, synthetic.TINY)[
        embeddings.WITH_NETWORK[0]
    ]
    points = np.concatenate([part.points for part in basis])
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:3]
    for part, one in zip(found, fine, strict=True):
        assert np.diff(part.at).tolist() == [2.0] * 16
        by_hand = (one.points - points.mean(axis=0)) @ axes.T
        np.testing.assert_allclose(np.abs(part.points), np.abs(by_hand), atol=1e-4)


def test_figures_move_on_one_spot():
    recorded = [synthetic.sequence("walking")]
    at = np.array([0.0, 3.0, 4.9])
    (joints,) = page.figures(recorded, [at])
    assert joints.shape == (3, 38, 3)
    still = recorded[0].frames[[0, 3, 4]].astype(float)
    whole = mocap.forward_kinematics(still, mocap.PARENTS, mocap.OFFSETS)
    shift = still[:, None, [0, 2]]
    np.testing.assert_allclose(joints[..., [0, 2]], whole[..., [0, 2]] - shift, atol=1e-6)
    np.testing.assert_allclose(joints[..., 1], whole[..., 1], atol=1e-6)


def test_published_figures_are_recomputed(published, real_parts):
    first = {each.action: each for each in reversed(real_parts.recorded)}
    lengths = published.data["played_frames"].astype(int)
    joints_of_all = published.data["played_joints"].to_numpy()
    parts = np.split(joints_of_all, np.cumsum(lengths.to_numpy())[:-1])
    for action, joints in zip(lengths["action"].to_numpy(), parts, strict=True):
        # each point stands for the middle of a window
        at = protocols.HELD_OUT.step * (np.arange(len(joints)) + (protocols.HELD_OUT.read - 1) / 2)
        (again,) = page.figures([first[action]], [at])
        np.testing.assert_allclose(joints, again, atol=0.02)
