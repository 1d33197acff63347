import numpy as np
import pytest
from studies import tiny

from rnnatomy.store import results
from rnnatomy.studies import classifiers, fifth, questions, rates

CONDITIONS = (fifth.Condition(1, 12), fifth.Condition(2, tiny.WIDTH))


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("fifth")


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    root = tmp_path_factory.mktemp("fifth")
    with pytest.MonkeyPatch.context() as patch:
        tiny.patch_study(patch, small, root)
        patch.setattr(fifth, "CONDITIONS", CONDITIONS)
        fifth.publish(2)
        kept = [network for c in CONDITIONS for network in fifth._train(c, 2, small)]
        return results.load_study("fifth"), tiny.unpacked(kept)


def test_each_condition_has_its_networks(study):
    data = study[0].data
    assert data["epochs"].to_numpy().tolist() == [1, 1, 2, 2]
    assert data["hidden"].to_numpy().tolist() == [12, 12, 16, 16]
    assert data["seed"].to_numpy().tolist() == [0, 1, 0, 1]
    sizes = [(run.config["hidden"], len(run.metrics["history"]["loss"])) for run in study[1]]
    assert sizes == [(12, 1), (12, 1), (16, 2), (16, 2)]


def test_a_row_holds_what_the_network_is_asked(study, small):
    data = study[0].data
    assert set(data.data_vars) == set(fifth.AXES) - set(fifth.WIDE)
    for row, run in enumerate(study[1]):
        network = questions.Network(run.readout, run.bias, run.states, small.test.labels)
        asked = questions.ask(network, np.random.default_rng(run.provenance["seed"]))
        for name, array in asked.items():
            if name not in fifth.WIDE:
                np.testing.assert_array_equal(data[name][row], array)
        assert data["test_accuracy"][row] == np.float32(run.metrics["test_accuracy"])


def test_a_condition_answers_as_the_thousand_do(study):
    few = study[0].data.where(study[0].data["hidden"] == 12, drop=True)
    assert rates.lost(few, 0.1).holds.shape == (2, 10)
    assert rates.lost_at(few, 0.1, 5).control.shape == (2, 10)
    assert rates.doubles(few, "stated").any.holds.shape == (2,)


def test_the_study_has_the_published_form(study, published, assert_same_form):
    assert_same_form(study[0].data, published.data)


def test_the_grid_is_published_with_many_networks(published):
    data, facts = published.data, published.provenance
    cells = {(int(e), int(h)) for e, h in zip(data["epochs"], data["hidden"], strict=True)}
    assert cells == set(map(tuple, fifth.CONDITIONS))
    assert data.sizes["network"] == facts["networks"] >= 20 * len(cells)
    assert facts["recipe"] == classifiers.RECIPES["hundred"]._asdict()
    assert (data["test_accuracy"] > 0.8).all()
