import numpy as np
import pytest
from studies import tiny

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
    names = ["class means", "k-means, 3", "k-means, 20", "nearest training sequence"]
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
