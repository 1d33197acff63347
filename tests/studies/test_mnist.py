import jax.numpy as jnp
import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import cutoffs
from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.studies import classifiers, mnist

PUBLISHED = runs.published("mnist-")


def test_networks_are_trained_with_their_recipe_into_the_published_runs(
    small, tmp_path, monkeypatch, capsys
):
    tiny.patch_study(monkeypatch, small, tmp_path)
    monkeypatch.setitem(classifiers.RECIPES, "mnist", tiny.RECIPE._replace(epochs=1))
    mnist.publish(2)
    assert runs.published() == ["mnist-0", "mnist-1"]
    out, accuracies = capsys.readouterr().out, []
    for seed, run in enumerate(map(runs.load_run, runs.published())):
        accuracies.append(run.metrics["test_accuracy"])
        assert f"{run.name}: test accuracy {accuracies[-1]:.4f}" in out
        told = run.provenance
        assert (told["seed"], told["data_sha256"]) == (seed, small.checksum)
        assert told["recipe"] == classifiers.RECIPES["mnist"]._asdict()
        assert len(run.metrics["history"]["loss"]) == 1
    assert f"mean {np.mean(accuracies):.4f}, standard deviation" in out


def test_mnist_networks_are_published():
    assert len(PUBLISHED) >= 5


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_metrics_follow_from_the_stored_states(name):
    run = runs.load_run(name)
    found = run.logits
    accuracy = (found.argmax(axis=1) == run.labels).mean()
    assert accuracy == pytest.approx(run.metrics["test_accuracy"], abs=0.001)
    recall = cutoffs.recall(found, run.labels)
    np.testing.assert_allclose(recall, run.metrics["test_recall"], atol=0.001)
    assert run.provenance["seed"] == int(name.rpartition("-")[2])
    assert np.bincount(run.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_states_follow_from_the_parameters(name, real_mnist):
    run = runs.load_run(name)
    data = datasets.mnist()
    assert run.provenance["data_sha256"] == data.checksum
    np.testing.assert_array_equal(run.labels, data.test.labels)
    images = jnp.asarray(data.test.images[:500])
    states = runs.restore(run).states(images)[:, -1]
    np.testing.assert_allclose(run.states[:500], states, atol=1 / 200)
