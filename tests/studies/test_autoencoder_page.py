import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.networks import models, vae
from rnnatomy.store import results
from rnnatomy.studies import autoencoder_page


@pytest.fixture(scope="module")
def published():
    return [results.load_study(name).data for name in ("autoencoder", "likelihood")]


def test_models_of_all_sizes_stand_side_by_side(published):
    found = autoencoder_page.compare_models(*published)
    assert found["model"].to_numpy().tolist() == ["lstm-2", "mlp-2", "lstm-32", "mlp-32"]
    assert all(set(array.dims) <= {"model", "network", "digit"} for array in found.values())
    for data in published:
        for name in data["model"].to_numpy():
            one, own = found.sel(model=name), data.sel(model=name)
            for key in ("importance", "by_class", "active", "parameters"):
                np.testing.assert_array_equal(one[key], own[f"digits_{key}"])
            kl = own["digits_kl"].to_numpy().sum(axis=1)
            np.testing.assert_allclose(one["kl"], kl, rtol=1e-6)
            seconds = own["digits_history_seconds"].to_numpy().sum(axis=1)
            np.testing.assert_allclose(one["seconds"], seconds, rtol=1e-6)


def test_the_terms_of_the_bound_are_those_of_the_same_networks(published):
    found = autoencoder_page.compare_models(*published)
    np.testing.assert_allclose(found["reconstruction"] - found["kl"], found["elbo"], atol=2e-3)


def test_a_copy_costs_the_cross_entropy_of_its_pixels():
    model = models.VAE(5, 3, 4, 2, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(6, 2)).astype(np.float32)
    inputs = (rng.random((6, 5, 3)) < 0.5).astype(np.float32)
    white = np.asarray(vae.draw(model, latent), np.float64)
    expected = -np.log(np.where(inputs == 1, white, 1 - white)).sum(axis=(1, 2)).mean()
    assert autoencoder_page.copy_cost(model, latent, inputs) == pytest.approx(expected, rel=1e-5)


def test_a_copy_by_a_gaussian_costs_its_squared_error():
    model = models.VAE(5, 3, 4, 2, likelihood="gaussian", rngs=nnx.Rngs(0))
    model.noise[...] = jnp.zeros_like(model.noise[...])
    latent = np.asarray(jax.random.normal(jax.random.key(0), (6, 2)))
    inputs = np.asarray(jax.random.normal(jax.random.key(1), (6, 5, 3)))
    error = np.square(inputs - vae.draw(model, latent)).sum(axis=(1, 2)).mean()
    expected = (error + 15 * np.log(2 * np.pi)) / 2
    assert autoencoder_page.copy_cost(model, latent, inputs) == pytest.approx(expected, rel=1e-5)
