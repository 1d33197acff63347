import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import pod
from rnnatomy.networks import runs
from rnnatomy.store import results
from rnnatomy.studies import autoencoder, codes, inputs


@pytest.fixture(scope="module")
def few(many, small, tmp_path_factory):
    """A tiny study of the codes of a tiny classifier's states."""
    root = tmp_path_factory.mktemp("codes")
    run = many.networks[0]
    with pytest.MonkeyPatch.context() as patch:
        tiny.patch_study(patch, small, root)
        patch.setattr(autoencoder, "STATES_TRAINING", 200)
        patch.setattr(autoencoder, "STATES_VALIDATION", 50)
        patch.setattr(autoencoder, "STATES", tiny.RECIPE)
        patch.setattr(codes, "CENTRES", (3, 20))
        patch.setattr(codes, "SIZES", (2, 4))
        patch.setattr(codes, "WIDTHS", (6, 8))
        patch.setattr(codes, "RATES", (1e-3, 1e-2))
        patch.setattr(inputs, "mnist", lambda checksum: small)
        patch.setattr(inputs, "published", lambda name, model="Classifier": run)
        codes.publish(2)
        given = autoencoder.sequences(small, run)
        return results.load_study("codes"), given, run


def test_every_code_has_its_row(few):
    study, _, _ = few
    names = ["class means", "class + POD, 2", "class + POD, 4"]
    names += ["k-means, 3", "k-means, 20", "nearest training sequence"]
    assert study.data["code"].to_numpy().tolist() == [*names, "plain, 2", "plain, 4"]
    assert set(study.data.data_vars) == set(codes.AXES)
    for array in study.data.data_vars.values():
        assert np.isfinite(array).all()
    assert dict(study.data["trial_elbo"].sizes) == {"size": 2, "width": 2, "rate": 2}


def left(rebuilt, given):
    spread = np.square(given.test - given.train.mean(axis=0)).sum()
    return np.square(rebuilt - given.test).sum() / spread


def test_class_means_are_those_of_the_answers(few):
    study, given, run = few
    row = study.data.sel(code="class means")
    read = [
        (part[:, -1] @ run.readout.T + run.bias).argmax(axis=1)
        for part in (given.train, given.test)
    ]
    assert set(read[1]) <= set(read[0])
    means = {k: given.train[read[0] == k].mean(axis=0) for k in set(read[0])}
    np.testing.assert_allclose(
        row["left"], left(np.stack([means[k] for k in read[1]]), given), rtol=1e-4
    )
    share = np.bincount(read[1]) / len(read[1])
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    np.testing.assert_allclose(row["nats"], entropy, rtol=1e-5)


@pytest.mark.parametrize("numbers", [2, 4])
def test_modes_tell_what_class_means_leave(few, numbers):
    study, given, run = few
    row = study.data.sel(code=f"class + POD, {numbers}")
    train, test = (
        (part, (part[:, -1] @ run.readout.T + run.bias).argmax(axis=1))
        for part in (given.train, given.test)
    )
    means = {k: train[0][train[1] == k].mean(axis=0) for k in set(train[1])}
    fitted, told = (x - np.stack([means[k] for k in y]) for x, y in (train, test))
    modes = np.linalg.svd(fitted.reshape(len(fitted), -1), full_matrices=False)[2][: numbers - 1]
    error = told.reshape(len(told), -1)
    error = error - error @ modes.T @ modes
    np.testing.assert_allclose(
        row["left"], left(given.test + error.reshape(told.shape), given), rtol=1e-3
    )
    means_alone = study.data.sel(code="class means")
    assert (row["left"] < means_alone["left"]).all() and (row["nats"] > means_alone["nats"]).all()
    size = given.test[0].size
    assert (row["parameters"] == means_alone["parameters"] + (numbers - 1) * size).all()


def test_modes_cost_what_the_linear_autoencoder_pays():
    """On the data that were decomposed, half the logarithm of the variance over the noise."""
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 5)) * [5, 3, 0.6, 0.5, 0.4]
    basis = pod.pod(data, centred=False, modes=2)
    numbers = pod.project(basis, data)
    variance = np.square(np.linalg.svd(data)[1]) / len(data)
    noise = variance[2:].mean()
    expected = np.log(variance[:2] / noise).sum() / 2
    assert codes.linear_kl(basis, numbers) == pytest.approx(expected, rel=1e-6)
    # by hand, from the posterior of a linear model with this noise
    W = basis.modes.T * np.sqrt(variance[:2] - noise)
    inverse = np.linalg.inv(W.T @ W + noise * np.eye(2))
    mean, covariance = data @ W @ inverse, noise * inverse
    divergence = np.square(mean).sum(axis=1) + np.trace(covariance) - 2
    divergence = (divergence - np.linalg.slogdet(covariance)[1]) / 2
    assert codes.linear_kl(basis, numbers[:9]) == pytest.approx(divergence[:9].mean(), rel=1e-6)


def test_a_training_that_broke_down_is_not_the_best(monkeypatch):
    monkeypatch.setattr(codes, "RATES", (1e-3, 1e-2))
    width, recipe = codes._best(np.array([[1.0, np.nan], [3.0, 2.0]]))
    assert width == codes.WIDTHS[1] and recipe.learning_rate == 1e-3


def test_every_sequence_may_be_a_centre(few):
    study, given, _ = few
    row = study.data.sel(code="nearest training sequence")
    apart = np.square(given.test[:, None] - given.train[None]).sum(axis=(2, 3))
    rebuilt = given.train[apart.argmin(axis=1)]
    np.testing.assert_allclose(row["left"], left(rebuilt, given), rtol=1e-4)
    np.testing.assert_allclose(row["nats"], np.log(len(given.train)), rtol=1e-6)


def test_more_centres_lose_less(few):
    data = few[0].data["left"]
    assert (data.sel(code="k-means, 20") < data.sel(code="k-means, 3")).all()


def test_the_best_of_the_trials_is_taken(few):
    study, _, _ = few
    elbo = study.data["trial_elbo"]
    for size, told in study.provenance["plain"].items():
        one = elbo.sel(size=int(size))
        best = one.where(one == one.max(), drop=True)
        assert told["hidden"] == int(best["width"][0])
        assert told["recipe"]["learning_rate"] == pytest.approx(float(best["rate"][0]))


def test_a_published_code_comes_out_again(real_mnist, load_published):
    published = load_published("codes")
    run = runs.load_run(autoencoder.CLASSIFIER)
    found = codes.class_means(real_mnist.checksum, 0, run)
    row = published.data.sel(code="class means", network=0)
    for name in codes.MEASURES:
        assert float(row[name]) == pytest.approx(float(found[name]), abs=2e-3)
