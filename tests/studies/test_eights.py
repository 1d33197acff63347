import numpy as np
import pytest

from rnnatomy.analysis import cutoffs, svd
from rnnatomy.networks import runs
from rnnatomy.studies import classifiers, eights, engine


def test_candidates_are_the_seeds_whose_networks_lost_their_eights(load_published):
    thousand = load_published("thousand").data
    seeds = eights.candidates()
    assert len(seeds) > 5 and seeds == sorted(seeds)
    for seed in seeds:
        row = thousand.sel(network=seed, digit=8)
        assert float(row["single"].sel(direction=5)) < 0.1 < float(row["single"].sel(direction=6))


@pytest.mark.parametrize(("digit", "left"), [(4, 0.0), (3, 1.0)])
def test_what_is_left_is_what_is_read_without_the_direction(planted, monkeypatch, digit, left):
    monkeypatch.setattr(eights, "DIGIT", digit)
    parameters = {"readout.kernel": planted.readout.T, "readout.bias": planted.bias}
    run = runs.Run("planted", {}, parameters, {}, {}, planted.states, planted.labels)
    assert eights.recall_without(run) == left


@pytest.fixture
def trainable(monkeypatch):
    """Train nothing: each seed leaves what is planted, and what is published is told."""
    left, published = {3: 0.5, 4: 0.05, 7: 0.2, 9: 0.0}, []
    monkeypatch.setattr(eights, "candidates", lambda: sorted(left))
    monkeypatch.setattr(eights.datasets, "mnist", lambda: eights.datasets.digits())

    def trained(label, networks, recipe, hidden, data, *, first_seed):
        assert (label, networks) == ("thousand", first_seed + 1)
        return [engine.Kept(f"thousand-{first_seed}", None, "", 1.0, {})]

    monkeypatch.setattr(classifiers, "trained", trained)
    monkeypatch.setattr(engine, "load", lambda kept: kept.label)
    monkeypatch.setattr(classifiers, "unpack", lambda made, name: int(name.rpartition("-")[2]))
    monkeypatch.setattr(eights, "recall_without", left.get)
    monkeypatch.setattr(classifiers, "publish_run", lambda kept, *_: published.append(kept.label))
    return published


@pytest.mark.parametrize(("networks", "names"), [(1, ["eights-4"]), (2, ["eights-4", "eights-9"])])
def test_the_first_networks_that_lose_their_eights_are_published(trainable, networks, names):
    eights.publish(networks)
    assert trainable == names


def test_more_than_there_are_is_refused_and_what_was_found_stays(trainable):
    with pytest.raises(
        ValueError, match=r"of 4 networks 2 lose their 8s .*: ask for as many, not 3"
    ):
        eights.publish(3)
    assert trainable == ["eights-4", "eights-9"]


@pytest.mark.parametrize("name", runs.published("eights-"))
def test_the_published_network_loses_its_eights_without_the_fifth_direction_alone(name):
    run = runs.load_run(name)
    found = cutoffs.cutoffs(svd.svd(run.readout), run.bias, run.states, run.labels)
    assert found.full[8] > 0.97 and found.single[4, 8] < eights.LOST
    assert np.delete(found.single[:, 8], 4).min() > 0.9
    assert int(name.rpartition("-")[2]) in eights.candidates()


def test_one_is_published():
    assert runs.published("eights-")
