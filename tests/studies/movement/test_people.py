import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.studies.movement import people, protocols


def test_every_sequence_has_a_subject_and_a_trial_of_its_own():
    assert len(set(people.TRIALS.values())) == len(people.TRIALS) == 33
    names = [name.rpartition("_")[0] for name in people.TRIALS]
    assert list(dict.fromkeys(names)) == list(mocap.ACTIONS)
    assert set(people.BY_ORDER) <= set(people.TRIALS)


def test_the_names_are_those_of_the_recordings(real_data):
    assert {each.name for each in mocap.sequences(mocap.ACTIONS)} == set(people.TRIALS)


def test_subjects_are_told_by_name():
    assert people.subject("running_2") == "16" and people.subject("washwindow_1/2") == "14"
    assert people.of_action("walking") == {
        "02": ["walking_1"],
        "05": ["walking_2"],
        "06": ["walking_3"],
        "07": ["walking_4", "walking_5"],
    }
    with pytest.raises(ValueError, match=r"subject of 'hopping_1' is not known: choose from walk"):
        people.subject("hopping_1")


def test_no_subject_held_out_is_trained_on():
    made = [
        synthetic.sequence(name.rpartition("_")[0], int(name.rpartition("_")[2]))
        for name in people.TRIALS
    ]
    counts = set()
    for number in range(protocols.CHOICES):
        parts = people.hold_out(made, number)
        away = {people.subject(each.name) for each in parts.recorded}
        others = [each for each in made if len(people.of_action(each.action)) > 1]
        left = [each for each in others if people.subject(each.name) not in away]
        assert len(parts.training) == len(left)
        assert np.unique(parts.actions).tolist() == [0, 1, 2, 3, 4]
        counts.add(tuple(each.name for each in parts.recorded))
    assert len(counts) == protocols.CHOICES
    first = people.hold_out(made, 0)
    names = ["walking_1", "running_1", "running_3", "running_4", "running_5"]
    names += ["jumping_1", "jumping_3", "jumping_4", "jumping_5"]
    names += ["basketball_signal_1", "basketball_signal_2", "directing_traffic_1"]
    assert [each.name for each in first.recorded] == names
    with pytest.raises(ValueError, match="no action has two subjects: give sequences"):
        people.hold_out([each for each in made if each.action == "soccer"], 0)


def test_who_was_met_in_training_is_told_of_each_sequence_held_out():
    found = people.met(0)
    # two sequences of each of six actions, one of two, and half of one
    assert found == [
        *(False, False, True, False, True, False),
        *(True, True, True, True, False, False, False, True),
    ]
    assert [len(people.met(number)) for number in range(protocols.CHOICES)] == [14] * 5


def test_subjects_are_written_with_their_files():
    assert people.in_words("walking") == "2 (1*); 5 (2); 6 (3); 7 (4, 5)"
    assert people.in_words("directing_traffic") == "13 (1*); 14 (4)"
    assert people.in_words("soccer") == "10 (1, 2, 3, 4, 5)"
