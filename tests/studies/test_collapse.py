import numpy as np
import pytest
from studies import tiny

from rnnatomy.networks import runs, training
from rnnatomy.store import results
from rnnatomy.studies import classifiers, collapse

CONDITIONS = (
    collapse.Condition(1, hidden=tiny.WIDTH),
    collapse.Condition(1, 0.5, hidden=12),
)


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("collapse")


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    """A tiny study, what its networks were trained on, and the folder that they lie in."""
    root = tmp_path_factory.mktemp("collapse")
    fit_ensemble, trained_on = training.fit_ensemble, []

    def recorded(create, loss, train, recipe, keys, **options):
        trained_on.append((len(train[0]), len(train[1]), recipe))
        return fit_ensemble(create, loss, train, recipe, keys, **options)

    with pytest.MonkeyPatch.context() as patch:
        tiny.patch_study(patch, small, root)
        patch.setitem(classifiers.RECIPES, "mnist", tiny.RECIPE)
        patch.setattr(collapse, "CONDITIONS", CONDITIONS)
        patch.setattr(collapse, "LONGEST", CONDITIONS[1])
        patch.setattr(training, "fit_ensemble", recorded)
        collapse.publish(2)
        return results.load_study("collapse"), trained_on, root


def test_each_condition_is_trained_on_few_images_by_its_own_recipe(study, small):
    found, trained_on, _ = study
    recipes = [tiny.RECIPE._replace(epochs=1, weight_decay=decay) for decay in (0.01, 0.5)]
    assert trained_on == [(100, 100, recipe) for recipe in recipes for _ in range(2)]
    facts = {"networks": 4, "train_samples": 100, "data_sha256": small.checksum}
    assert facts.items() <= found.provenance.items()


def test_the_study_has_one_row_a_condition_and_network(study, small, monkeypatch):
    found, _, root = study
    tiny.patch_study(monkeypatch, small, root)
    monkeypatch.setitem(classifiers.RECIPES, "mnist", tiny.RECIPE)
    data = found.data
    assert data["seed"].to_numpy().tolist() == [0, 1, 0, 1]
    assert data["epochs"].to_numpy().tolist() == [1] * 4
    assert data["hidden"].to_numpy().tolist() == [16, 16, 12, 12]
    np.testing.assert_allclose(data["weight_decay"], [0.01, 0.01, 0.5, 0.5])
    conditions = "1-0.01-16-0", "1-0.01-16-1", "1-0.5-12-0", "1-0.5-12-1"
    names = [f"collapse-{condition}" for condition in conditions]
    assert data["network"].to_numpy().tolist() == names
    kept = [network for c in CONDITIONS for network in collapse._train(c, 2, small)]
    for name, run in zip(names, tiny.unpacked(kept), strict=True):
        row = classifiers.measure_readout(run, small) | classifiers.measure_controls(run, small)
        assert set(data.data_vars) == row.keys() - set(collapse.LEFT_OUT)
        for key, array in data.sel(network=name).data_vars.items():
            np.testing.assert_array_equal(array, row[key])


def test_the_first_network_of_the_longest_training_is_published_whole(study, monkeypatch):
    found, _, root = study
    whole = runs.load_run(str(root / "results" / "collapse-1-0.5-12-0"))
    bias = found.data["bias"].sel(network="collapse-1-0.5-12-0")
    np.testing.assert_array_equal(whole.bias, bias)
    assert not (root / "results" / "collapse-1-0.5-12-1").exists()


def test_the_study_has_the_published_form(study, published, assert_same_form):
    assert_same_form(study[0].data, published.data)


def test_the_study_of_long_training_is_published(published):
    data = published.data
    assert all(np.isfinite(array).all() for array in data.data_vars.values())
    names = "epochs", "weight_decay", "hidden", "seed"
    rows = zip(*(data[name].to_numpy().tolist() for name in names), strict=True)
    there = [tuple(round(value, 6) for value in row) for row in rows]
    wanted = [(*each, seed) for each in collapse.CONDITIONS for seed in range(10)]
    assert there == wanted
    words = [f"collapse-{c.epochs}-{c.weight_decay}-{c.hidden}" for c in collapse.CONDITIONS]
    assert data["network"].to_numpy().tolist() == [f"{w}-{s}" for w in words for s in range(10)]
    assert len(np.unique(data["left"], axis=0)) == len(wanted)
    assert published.provenance["train_samples"] == classifiers.GEOMETRY
    empty, full = data["nested"].sel(rank=0), data["nested"].sel(rank=10)
    np.testing.assert_allclose(data["shapley"].sum("direction"), full - empty, atol=1e-5)
    np.testing.assert_allclose(data["gram"].sum("other"), 0, atol=1e-2)
