import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import gates
from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.store import results
from rnnatomy.studies import classifiers, layers
from rnnatomy.studies import gates as gate_study


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("layers")


@pytest.fixture
def study(many, small, monkeypatch):
    tiny.patch_study(monkeypatch, small, many.root)
    monkeypatch.setattr(classifiers, "fit_classifiers", None)  # nothing is trained anew
    layers.publish(tiny.NETWORKS)
    return results.load_study("layers")


def test_the_layers_of_networks_that_are_there_are_summed_up(
    study, many, small, published, assert_same_form
):
    assert_same_form(study.data, published.data)
    assert study.provenance["networks"] == tiny.NETWORKS
    for run in many.networks:
        row = study.data.sel(network=run.name)
        again = gate_study.summary(run, small)
        assert again.keys() == set(row.data_vars)
        for name, array in again.items():
            np.testing.assert_array_equal(row[name], array)
    stable = study.data["stable"]
    assert (stable.sel(network="thousand-0") != stable.sel(network="thousand-1")).any()


def test_the_published_summary_is_that_of_the_hundred_networks(published, load_published):
    data, told, hundred = published.data, published.provenance, load_published("hundred")
    networks = hundred.provenance["networks"]
    assert told["networks"] == networks == data.sizes["network"]
    np.testing.assert_array_equal(data["network"], hundred.data["network"])
    assert told["energies"] == list(gate_study.ENERGIES) == data["energy"].to_numpy().tolist()
    assert data["kind"].to_numpy().tolist() == list(gate_study.KINDS)
    assert data["matrix"].to_numpy().tolist() == list(gates.MATRICES)
    for name in ("energy_test", "energy_control", "effective", "stable", "kept"):
        assert len(np.unique(data[name], axis=0)) == networks and np.isfinite(data[name]).all()


@pytest.mark.parametrize("name", ["thousand-0", "thousand-1"])
def test_published_rows_of_the_summary_are_recomputed(published, name, real_mnist):
    again = gate_study.summary(runs.load_run(name), datasets.mnist())
    row = published.data.sel(network=name)
    assert again.keys() == set(row.data_vars)
    one_image = 1.001 / 170  # of the rarest digit among those that are followed
    for key, array in again.items():
        spread = 3 * one_image if key.startswith(("full", "energy_t", "energy_c")) else 1e-3
        np.testing.assert_allclose(row[key], array, atol=spread, err_msg=key)
