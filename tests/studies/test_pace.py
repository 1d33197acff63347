import numpy as np
import pytest
import xarray as xr
from flax import nnx

from rnnatomy.analysis import verdicts
from rnnatomy.data import datasets
from rnnatomy.networks import models, training, vae
from rnnatomy.store import checkout, results
from rnnatomy.studies import autoencoder, pace, rates, strokes

TINY = pace.GROUP._replace(
    latent=2, hidden=6, recipe=training.Recipe(epochs=2, batch=32, learning_rate=5e-3)
)


def test_what_is_measured_is_what_the_study_of_strokes_measures():
    rng = np.random.default_rng(0)
    inputs = (rng.random((7, 5, 4)) < 0.4).astype(np.float32)
    model = models.VAE(5, 4, 6, 3, rngs=nnx.Rngs(0))
    found = pace.measure(model, inputs, rng)
    drawn = {"random_cost", "random_ink", "random_height"}
    assert found.keys() == {"whole", "share", "cost", "ink", "height"} | drawn
    again = strokes.measure_decoder(model, inputs, rng, pace.MATRICES)
    np.testing.assert_array_equal(found["whole"], again["whole"])
    for name in ("share", "cost", "ink", "height"):
        np.testing.assert_array_equal(found[name], again[name][:, 0], err_msg=name)
    for name in drawn:
        assert found[name].shape == (4, pace.DRAWS)
        assert len(np.unique(found[name][0])) == pace.DRAWS


def tiny(patch, folder, small):
    patch.setenv("ENGINE", "here")
    patch.setattr(checkout, "ROOT", folder)
    patch.setattr(datasets, "mnist", lambda: small)
    patch.setattr(pace, "GROUP", TINY)
    patch.setattr(strokes, "DRAWN", 9)


@pytest.fixture(scope="module")
def study(tmp_path_factory, small):
    """A tiny study, its lines, and the folder that it lies in."""
    folder, lines = tmp_path_factory.mktemp("pace"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        pace.publish(2, lines.append)
        return results.load_study("pace"), lines, folder


def test_the_study_has_a_row_for_each_network(study):
    found, lines, _ = study
    assert set(found.data.data_vars) == set(pace.AXES)
    assert dict(found.data.sizes) == {"network": 2, "matrix": 4, "draw": pace.DRAWS}
    assert found.data["network"].to_numpy().tolist() == [100, 101]
    for name, array in found.data.data_vars.items():
        assert array.dims == pace.AXES[name] and np.isfinite(array).all()
        assert not array.sel(network=100).equals(array.sel(network=101).drop_vars("network"))
    assert found.provenance["networks"] == 2 and found.provenance["jobs"] == 4
    assert found.provenance["group"]["hidden"] == 6 and found.provenance["drawn"] == 9
    assert lines[-1] == "pace: 2 of 2 jobs done"


def test_a_row_is_that_of_a_network_of_its_seed(study, small, monkeypatch, tmp_path):
    tiny(monkeypatch, tmp_path, small)
    made = pace.train([101], TINY, small.checksum)[0]
    again = pace.take_apart(101, small.checksum, made)
    row = study[0].data.sel(network=101)
    for name, array in again.items():
        np.testing.assert_allclose(row[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(row["elbo"], made.arrays["elbo"], rtol=1e-5)
    assert row["elbo"] < row["reconstruction"] < 0


def test_what_is_done_is_not_done_again(study, small, monkeypatch):
    tiny(monkeypatch, study[2], small)
    monkeypatch.setattr(vae, "fit", None)  # nothing is fitted anew
    pace.publish(2, lambda line: None)
    again = results.load_study("pace")
    assert again.data.identical(study[0].data) and again.provenance["reused"] == "all"


def planted(networks=30, **ratios):
    """A study in which nothing happens, but what is planted: matrix_measure, of each network."""
    sizes = {"network": networks, "matrix": len(pace.MATRICES), "draw": pace.DRAWS}
    arrays = {name: np.ones([sizes[axis] for axis in own]) for name, own in pace.AXES.items()}
    data = xr.Dataset(
        {name: (pace.AXES[name], array) for name, array in arrays.items()},
        {"matrix": list(pace.MATRICES)},
    )
    for name, values in ratios.items():
        gate, measure = name.split("_", 1)
        data[measure].loc[{"matrix": f"recurrent {gate}"}] = values
    return data


def some(count, value, networks=30):
    """A ratio of the first networks; one of the others."""
    return np.where(np.arange(networks) < count, value, 1.0)


@pytest.mark.parametrize(("count", "word"), [(24, "held"), (23, "open"), (19, "refuted")])
def test_planted_drawings_are_judged(count, word):
    data = planted(i_height=some(count, 0.95), o_ink=some(count, 0.9), o_height=1.1)
    found = pace.holds(data)
    assert {name: int(rate.holds.sum()) for name, rate in found.items()} == {
        "shorter without i": count,
        "shorter without f": 0,
        "fainter without o": count,
    }
    for name in ("shorter without i", "fainter without o"):
        assert pace.judge(name, found[name]) == word
        np.testing.assert_array_equal(found[name].control, 0)
    assert pace.judge("shorter without f", found["shorter without f"]) == "refuted"


def test_the_forget_gate_may_fail_more_often():
    rate = pace.holds(planted(f_height=some(20, 0.5)))["shorter without f"]
    assert pace.judge("shorter without f", rate) == "held"
    assert pace.judge("shorter without i", rate) == "open"


def test_less_ink_in_a_shorter_digit_is_not_what_was_predicted():
    for height in (0.89, 1.11):
        found = pace.holds(planted(o_ink=0.5, o_height=height))
        assert not found["fainter without o"].holds.any()


def test_what_random_directions_do_too_is_no_finding():
    drawn = np.where(np.arange(pace.DRAWS) < 2, 0.5, 1.0)
    rate = pace.holds(planted(i_height=0.5, i_random_height=drawn))["shorter without i"]
    assert rate.holds.all()
    np.testing.assert_allclose(rate.control, 0.2)
    assert pace.judge("shorter without i", rate) == "refuted"
    assert verdicts.judge_paired(rate.holds, rate.control).word == "mostly"


def test_fewer_networks_are_judged_by_the_same_fractions():
    for held, word in ((8, "held"), (7, "open"), (6, "refuted")):
        rate = rates.Rate(np.arange(10) < held, np.zeros(10))
        assert pace.judge("shorter without i", rate) == word


def test_the_networks_are_of_no_other_study():
    assert pace.FIRST_SEED >= 100 and TINY.sequences == "digits"
    assert all(group != pace.GROUP for group in autoencoder.GROUPS.values())


def test_the_study_has_the_published_form(study, load_published, assert_same_form):
    assert_same_form(study[0].data, load_published("pace").data)


def test_the_published_study_is_whole(load_published):
    published = load_published("pace")
    assert published.provenance["group"] == autoencoder.describe_group(pace.GROUP)
    assert published.data.sizes["network"] == pace.OF == published.provenance["networks"]
    assert published.data["matrix"].to_numpy().tolist() == list(pace.MATRICES)
    for array in published.data.data_vars.values():
        assert np.isfinite(array).all()
        assert len(np.unique(array, axis=0)) == pace.OF
