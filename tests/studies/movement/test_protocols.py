import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.studies.movement import protocols


def test_sequences_are_held_out_of_training_and_of_its_statistics():
    made = [synthetic.sequence("walking", n) for n in range(1, 6)]
    made += [synthetic.sequence("directing_traffic", n) for n in (1, 2)] + [
        synthetic.sequence("washwindow")
    ]
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


def test_actions_can_be_left_out():
    made = [synthetic.sequence(action, n) for action in ("walking", "running") for n in (1, 2, 3)]
    parts = protocols.hold_out(made, 0, without=("walking",))
    assert [each.name for each in parts.recorded] == ["running_1"]
    alone = protocols.hold_out(made[3:], 0)
    for one, two in zip(parts.training, alone.training, strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match=r"action 'hopping' is not there: choose from walking, ru"):
        protocols.hold_out(made, 0, without=("hopping",))


def test_each_recording_is_scaled_by_itself():
    made = [synthetic.recording("01", 0), synthetic.recording("07", 50)]
    made[1].frames[:, 20] = 3  # used in one recording alone
    for scaled in protocols.scale_each(made):
        assert scaled.shape == (160, 90)
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    assert not scaled[:, 14].any()


def test_bad_sequences_are_one_clear_error():
    walks = [synthetic.sequence("walking", number) for number in (1, 2)]
    with pytest.raises(ValueError, match=r"'walkin_1' is not there: choose from walking_1, walk"):
        protocols.concatenate(["walking_2", "walkin_1"], walks)
    broken = synthetic.sequence("walking")
    broken.frames[8] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        protocols.hold_out([broken], 1)
