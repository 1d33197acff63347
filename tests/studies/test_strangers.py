import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.networks import training
from rnnatomy.store import results
from rnnatomy.studies import engine, strangers
from rnnatomy.studies.movement import (
    embeddings,
    fitting,
    people,
    protocols,
    reading,
    scoring,
)


def sequences(actions):
    """Two sequences of each action that has several subjects, and one of the others."""
    made = []
    for action in actions:
        names = [own[0] for own in people.of_action(action).values()][:2]
        made += [synthetic.sequence(action, int(name.rpartition("_")[2])) for name in names]
    return made


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strangers")
    with pytest.MonkeyPatch.context() as patch:
        patch_study(patch, folder)
        strangers.publish(2, lambda line: None)
        return folder, results.load_study("strangers")


def patch_study(monkeypatch, folder):
    synthetic.patch_study(monkeypatch, folder)
    monkeypatch.setattr(mocap, "sequences", sequences)


def test_the_study_has_a_row_for_each_rule_and_network(small):
    made = small[1]
    sizes = {"rule": 2, "choice": 1, "network": 2, "state": 2, "view": 3, "smoothing": 2}
    assert sizes.items() <= made.data.sizes.items()
    assert set(made.data.data_vars) == set(strangers.AXES)
    assert made.data["rule"].to_numpy().tolist() == list(strangers.RULES)
    assert all(np.isfinite(array).all() for array in made.data.data_vars.values())
    assert made.provenance["without"] == ["washwindow", "directing_traffic"]
    assert made.provenance["jobs"] == 2
    # the page reads each rule as it reads the study of people moving
    rows = reading.held_out(made.data.sel(rule="other people"))["row"]
    assert rows.to_numpy().tolist()[0] == "poses, no network"


@pytest.mark.parametrize("rule", strangers.RULES)
def test_rows_are_recomputed(small, monkeypatch, rule):
    patch_study(monkeypatch, small[0])
    parts = strangers.hold_out(mocap.sequences(mocap.ACTIONS), rule, 0)
    plan, lengths = protocols.HELD_OUT, [len(frames) for frames in parts.held]
    labels = np.repeat(parts.actions, lengths)
    fresh = fitting.untrained(parts.held[0].shape[1], plan, 1)
    rows = embeddings.state_rows(fresh, parts.held, parts.training, plan)
    ways = scoring.methods_for_count(len(set(parts.actions)), np.random.default_rng(1))
    again = scoring.table(
        rows, lengths, plan.seconds, ways, lambda found: scoring.agreement(found, labels)
    )
    row = small[1].data.sel(rule=rule, choice=0, network=1, state="untrained")
    for name, array in scoring.by_name("held", again, scoring.AGREEMENT).items():
        np.testing.assert_allclose(row[name], array, atol=1e-6)


def test_actions_are_left_out_by_the_first_rule():
    made = sequences(mocap.ACTIONS)
    parts = strangers.hold_out(made, "six actions", 1)
    assert {each.action for each in parts.recorded} == set(mocap.ACTIONS) - set(strangers.WITHOUT)
    with pytest.raises(ValueError, match=r"action 'washwindow' is not there: choose from walking"):
        strangers.hold_out([made[0], made[2]], "six actions", 0)


def test_a_job_refuses_other_movements(small, monkeypatch):
    patch_study(monkeypatch, small[0])
    monkeypatch.setattr(training, "fit_ensemble", None)
    with pytest.raises(engine.EngineError, match="the job asks for abc: give both"):
        strangers._score("six actions", 0, [0], "abc")
