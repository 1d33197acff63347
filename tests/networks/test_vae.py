import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from rnnatomy.networks import access, models, runs, training, vae
from rnnatomy.store import disk

FRAMES, FEATURE, HIDDEN, LATENT = 5, 4, 6, 3
QUICK = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)


def create(kind=models.VAE, likelihood="bernoulli", latent=LATENT):
    sizes = (FRAMES, FEATURE, HIDDEN, latent)
    return lambda key: kind(*sizes, likelihood=likelihood, rngs=nnx.Rngs(key))


def moment(done=1.0, seed=0):
    return training.Moment(jax.random.key(seed), jnp.float32(done))


@pytest.fixture(scope="module")
def model():
    return create()(jax.random.key(0))


@pytest.fixture(scope="module")
def images():
    """Two kinds of images, dark and bright but for a last row of noise."""
    rng = np.random.default_rng(0)
    made = rng.random((24, FRAMES, FEATURE)).astype(np.float32)
    made[:12, :4], made[12:, :4] = 0.05, 0.95
    return made


class Planted(models.MLPVAE):
    """x = W z + noise, of which the likelihood is known; W has orthogonal columns."""

    def __init__(self, shift=0.0, widen=0.0):
        rng = np.random.default_rng(3)
        axes = np.linalg.qr(rng.normal(size=(FRAMES * FEATURE, LATENT)))[0]
        self.W = nnx.Param(jnp.asarray(axes * [2.0, 1.0, 0.5], jnp.float32))
        self.noise = nnx.Param(jnp.asarray(np.log(0.3), jnp.float32))
        self.wrong = nnx.Param(jnp.asarray([shift, widen], jnp.float32))

    def encode(self, inputs):
        """Return the true posterior, or one that is shifted and widened."""
        W, variance = self.W[...], jnp.exp(self.noise[...])
        precision = 1 + jnp.square(W).sum(axis=0) / variance
        mean = inputs.reshape(len(inputs), -1) @ W / variance / precision[None]
        log_variance = jnp.broadcast_to(-jnp.log(precision), mean.shape)
        return models.Posterior(mean + self.wrong[0], log_variance + self.wrong[1])

    def decode(self, latent):
        return (latent @ self.W[...].T).reshape(-1, FRAMES, FEATURE)

    def draw(self, rng, samples):
        W = np.asarray(self.W[...])
        clean = rng.normal(size=(samples, LATENT)) @ W.T
        noisy = clean + rng.normal(size=clean.shape) * np.exp(float(self.noise[...]) / 2)
        return noisy.reshape(-1, FRAMES, FEATURE).astype(np.float32)

    def exact(self, inputs):
        W, variance = np.asarray(self.W[...], np.float64), np.exp(float(self.noise[...]))
        spread = W @ W.T + variance * np.eye(len(W))
        return multivariate_normal(np.zeros(len(W)), spread).logpdf(inputs.reshape(len(inputs), -1))


def test_kl_is_that_of_a_monte_carlo_estimate():
    mean, log_variance = np.array([[0.0, 1.5, -0.3]]), np.array([[0.0, -2.0, 1.2]])
    found = vae.kl(models.Posterior(jnp.float32(mean), jnp.float32(log_variance)))
    spread = np.exp(log_variance / 2)
    z = mean + spread * np.random.default_rng(0).normal(size=(200_000, 3))
    expected = (norm.logpdf(z, mean, spread) - norm.logpdf(z)).mean(axis=0)
    np.testing.assert_allclose(found[0], expected, atol=0.01)
    assert found[0, 0] == 0


def test_kl_near_the_prior_is_not_lost_in_rounding():
    tiny = jnp.full((1, 1), 1e-3)
    found = vae.kl(models.Posterior(jnp.zeros((1, 1)), tiny))
    np.testing.assert_allclose(found, (np.expm1(1e-3) - 1e-3) / 2, rtol=1e-2)
    assert found > 0


def test_a_sample_has_the_mean_and_variance_of_its_posterior():
    mean, log_variance = (
        jnp.full((100_000, 2), 3.0),
        jnp.tile(jnp.log(jnp.array([[4.0, 0.25]])), (100_000, 1)),
    )
    z = np.asarray(vae.sample(jax.random.key(0), models.Posterior(mean, log_variance)))
    np.testing.assert_allclose(z.mean(axis=0), 3, atol=0.03)
    np.testing.assert_allclose(z.var(axis=0), [4, 0.25], rtol=0.03)


def test_with_the_true_posterior_every_bound_is_the_exact_likelihood():
    planted = Planted()
    inputs = planted.draw(np.random.default_rng(0), 20)
    for samples in (1, 7):
        found = vae.bounds(planted, inputs, jax.random.key(0), samples)
        np.testing.assert_allclose(found.importance, planted.exact(inputs), atol=2e-4)
    many = vae.bounds(planted, inputs, jax.random.key(1), 4000)
    np.testing.assert_allclose(many.elbo, planted.exact(inputs), atol=0.15)


def test_the_bound_rises_with_the_samples_from_the_elbo_to_the_likelihood():
    planted = Planted(shift=0.2, widen=0.7)
    inputs = planted.draw(np.random.default_rng(1), 300)
    counts = (1, 5, 50, 2000)
    found = [vae.bounds(planted, inputs, jax.random.key(2), count) for count in counts]
    means = [bound.importance.mean() for bound in found]
    assert means == sorted(means)
    assert found[-1].elbo.mean() < means[1] - 0.1
    assert means[0] == pytest.approx(found[-1].elbo.mean(), abs=0.3)
    assert means[-1] == pytest.approx(planted.exact(inputs).mean(), abs=0.01)
    assert (found[-1].elbo <= found[-1].importance).all()


def test_bounds_are_those_of_a_plain_numpy_sum(model, images):
    inputs = np.rint(images[:3])
    found = vae.bounds(model, inputs, jax.random.key(4), 6)
    for place, x in enumerate(inputs):
        mean, log_variance = (np.float64(part[0]) for part in model.encode(jnp.asarray(x[None])))
        key = jax.random.fold_in(jax.random.key(4), place)
        spread = np.exp(log_variance / 2)
        z = mean + spread * np.asarray(jax.random.normal(key, (6, LATENT)))
        p = 1 / (1 + np.exp(-np.float64(model.decode(jnp.asarray(z, jnp.float32)))))
        likelihood = np.log(np.where(x == 1, p, 1 - p)).sum(axis=(1, 2))
        ratio = norm.logpdf(z).sum(axis=1) - norm.logpdf(z, mean, spread).sum(axis=1)
        expected = logsumexp(likelihood + ratio) - np.log(6)
        assert found.importance[place] == pytest.approx(expected, abs=1e-4)
        assert found.reconstruction[place] == pytest.approx(likelihood.mean(), abs=1e-4)
    np.testing.assert_allclose(found.elbo, found.reconstruction - found.kl.sum(axis=1), rtol=1e-5)


def test_bounds_of_a_slice_are_a_slice_of_the_bounds(model, images):
    inputs = np.rint(images)
    whole = vae.bounds(model, inputs, jax.random.key(0), 5)
    some = vae.bounds(model, inputs[:7], jax.random.key(0), 5, batch=3)
    np.testing.assert_allclose(some.importance, whole.importance[:7], atol=1e-5)


def test_the_gaussian_likelihood_is_that_of_scipy():
    planted = Planted()
    inputs = planted.draw(np.random.default_rng(0), 3)
    outputs = planted.decode(jnp.ones((3, LATENT)))
    found = vae.log_likelihood(planted, outputs, jnp.asarray(inputs))
    expected = norm.logpdf(inputs, np.asarray(outputs), np.sqrt(0.3)).sum(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e30, -1e4, -100.0, 0.0, 100.0, 1e4, 1e30])
def test_slopes_are_finite_at_extreme_logits(model, logit):
    outputs = jnp.full((2, FRAMES, FEATURE), logit)
    inputs = jnp.stack([jnp.zeros((FRAMES, FEATURE)), jnp.ones((FRAMES, FEATURE))])
    slope = jax.grad(lambda out: vae.log_likelihood(model, out, inputs).sum())(outputs)
    assert np.isfinite(slope).all()
    np.testing.assert_allclose(slope, inputs - jax.nn.sigmoid(outputs), atol=1e-6)


@pytest.mark.parametrize("likelihood", models.LIKELIHOODS)
def test_loss_and_slopes_are_finite_for_parameters_beyond_measure(images, likelihood):
    graph, state = nnx.split(create(likelihood=likelihood)(jax.random.key(0)))
    state = jax.tree.map(lambda leaf: leaf * 1e3 + 1e3, state)
    loss = vae.loss(vae.Objective())

    @jax.jit
    def sloped(p):
        return jax.value_and_grad(
            lambda p: loss(nnx.merge(graph, p), jnp.asarray(images), moment())
        )(p)

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(sloped(state)))


def test_binarised_pixels_are_white_as_often_as_they_are_grey():
    grey = jnp.broadcast_to(jnp.array([0.0, 0.25, 0.7, 1.0]), (20_000, 1, 4))
    white = np.asarray(vae.binarise(jax.random.key(0), grey))
    assert set(np.unique(white)) == {0, 1}
    np.testing.assert_allclose(white.mean(axis=(0, 1)), [0, 0.25, 0.7, 1], atol=0.02)
    assert (white[:, 0, 0] == 0).all() and (white[:, 0, 3] == 1).all()
    assert not np.array_equal(white, vae.binarise(jax.random.key(1), grey))


def test_the_loss_is_the_negative_elbo_of_a_binarised_batch(model, images):
    pixels, draw = jax.random.split(moment().key)
    inputs = vae.binarise(pixels, jnp.asarray(images))
    terms = vae.elbo(model, inputs, draw)
    expected = terms.kl.sum(axis=1).mean() - terms.reconstruction.mean()
    found = vae.loss(vae.Objective())(model, jnp.asarray(images), moment())
    assert found == pytest.approx(float(expected), rel=1e-5)
    other = vae.loss(vae.Objective())(model, jnp.asarray(images), moment(seed=1))
    assert abs(found - other) > 1e-3  # binarised anew, and another z


def test_the_weight_of_the_kl_rises_in_the_warm_up(model, images):
    images = jnp.asarray(images)
    pixels, draw = jax.random.split(moment().key)
    terms = vae.elbo(model, vae.binarise(pixels, images), draw)
    loss = vae.loss(vae.Objective(warm_up=0.4))
    for done, weight in ((0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (0.9, 1.0)):
        expected = weight * terms.kl.mean(axis=0).sum() - terms.reconstruction.mean()
        assert loss(model, images, moment(done)) == pytest.approx(float(expected), rel=1e-5)


def test_free_bits_cost_nothing_and_push_nothing(model, images):
    images = jnp.asarray(images)
    pixels, draw = jax.random.split(moment().key)
    terms = vae.elbo(model, vae.binarise(pixels, images), draw)
    each = np.asarray(terms.kl.mean(axis=0))
    free = float(np.sort(each)[1])  # between the smallest and the largest
    found = vae.loss(vae.Objective(free=free))(model, images, moment())
    expected = np.maximum(each, free).sum() - terms.reconstruction.mean()
    assert found == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("kind", [models.VAE, models.MLPVAE])
@pytest.mark.parametrize("likelihood", models.LIKELIHOODS)
def test_training_lowers_the_loss_and_tells_of_the_validation_part(kind, likelihood, images):
    keys = jax.random.key(0)[None]
    recipe = QUICK._replace(epochs=30, learning_rate=0.02)
    fitted = vae.fit(
        create(kind, likelihood), images, images[::2], recipe, keys, vae.Objective(warm_up=0.2)
    )
    told = fitted.history
    assert told["elbo"].shape == (30, 1)
    assert told["elbo"][-1] > told["elbo"][0] + 1
    np.testing.assert_allclose(told["elbo"], told["reconstruction"] - told["kl"], rtol=1e-4)


def test_one_step_lowers_the_loss(model, images):
    graph, state = nnx.split(model)
    loss = vae.loss(vae.Objective())

    def value(p):
        return loss(nnx.merge(graph, p), jnp.asarray(images), moment())

    before, slope = jax.value_and_grad(value)(state)
    stepped = jax.tree.map(lambda leaf, s: leaf - 1e-3 * s, state, slope)
    assert value(stepped) < before


def test_what_is_followed_is_the_elbo_of_the_validation_part(images):
    fitted = vae.fit(
        create(), images, np.rint(images), QUICK, jax.random.key(0)[None], vae.Objective()
    )
    found = vae.bounds(training.member(fitted, 0), np.rint(images), jax.random.key(9), 500)
    assert fitted.history["elbo"][-1, 0] == pytest.approx(found.elbo.mean(), abs=0.3)
    assert fitted.history["kl"][-1, 0] == pytest.approx(found.kl.sum(axis=1).mean(), rel=1e-4)


def test_posteriors_and_drawings_are_those_of_the_model(model, images):
    posterior = vae.posterior(model, images)
    for found, expected in zip(posterior, model.encode(jnp.asarray(images)), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    drawn = vae.draw(model, np.asarray(posterior.mean))
    np.testing.assert_allclose(drawn, jax.nn.sigmoid(model.decode(posterior.mean)), atol=1e-6)
    np.testing.assert_allclose(drawn, vae.reconstruct(model, images), atol=1e-6)
    planted = Planted()
    inputs = planted.draw(np.random.default_rng(0), 4)
    rebuilt = planted.decode(planted.encode(jnp.asarray(inputs)).mean)
    np.testing.assert_allclose(vae.reconstruct(planted, inputs), rebuilt, atol=1e-6)


def test_active_units_are_those_that_the_data_move():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(5000, 4)) * [1.0, 0.05, 0.2, 0.0] + [0, 3, 0, 0]
    assert vae.active_units(means).tolist() == [0, 2]
    assert vae.active_units(means, threshold=0.001).tolist() == [0, 1, 2]


def test_collapsed_units_are_named():
    kl = np.array([[1.0, 0.001, 0.3, 0.0], [2.0, 0.003, 0.0, 0.0]])
    some = vae.posterior_collapse(kl)
    assert some.units.tolist() == [1, 3] and not some.whole
    assert some.verdict == "2 of 4 latent units have collapsed: [1, 3]."
    none = vae.posterior_collapse(kl[:, [0, 2]])
    assert none.units.size == 0 and none.verdict == "No latent unit of 2 has collapsed."
    every = vae.posterior_collapse(kl[:, [1, 3]])
    assert every.whole and "The posterior has collapsed" in every.verdict


def test_an_autoencoder_that_need_not_use_z_collapses():
    """Noise that z cannot tell anything about: the best posterior is the prior."""
    noise = np.full((64, FRAMES, FEATURE), 0.5, np.float32)
    recipe = QUICK._replace(epochs=60, learning_rate=0.02)
    fitted = vae.fit(create(), noise, noise, recipe, jax.random.key(0)[None], vae.Objective())
    model = training.member(fitted, 0)
    white = np.asarray(vae.binarise(jax.random.key(0), jnp.asarray(noise)))
    found = vae.posterior_collapse(
        vae.bounds(model, white, jax.random.key(0), 10).kl, threshold=0.05
    )
    assert found.whole and found.units.tolist() == [0, 1, 2]
    assert vae.active_units(np.asarray(vae.posterior(model, white).mean), 0.05).size == 0


def test_a_run_holds_an_autoencoder(tmp_path, images):
    for likelihood in models.LIKELIHOODS:
        model = create(likelihood=likelihood)(jax.random.key(5))
        run = runs.Run("a", model.config, access.flatten(model), {}, {})
        runs.save_run(tmp_path / likelihood, run)
        again = runs.restore(runs.load_run(str(tmp_path / likelihood), "VAE"))
        np.testing.assert_array_equal(
            vae.reconstruct(again, images), vae.reconstruct(model, images)
        )


def test_a_run_of_another_kind_is_refused():
    with pytest.raises(disk.StoreError, match="holds a Classifier, not a VAE"):
        runs.load_run("mnist-0", "VAE")


@pytest.mark.parametrize("value, words", [(1.5, "run from 0.05 to 1.5"), (-0.1, "from -0.1")])
def test_values_outside_0_to_1_are_refused_for_a_bernoulli_model(images, model, value, words):
    bad = np.where(np.arange(24)[:, None, None] == 3, np.float32(value), np.clip(images, 0.05, 1))
    keys = jax.random.key(0)[None]
    for train, validation in ((bad, images), (images, bad)):
        with pytest.raises(ValueError, match=r"in \[0, 1\]"):
            vae.fit(create(), train, validation, QUICK, keys, vae.Objective())
    with pytest.raises(ValueError, match=words):
        vae.bounds(model, bad, keys[0], 2)
    with pytest.raises(ValueError, match="choose likelihood='gaussian'"):
        vae.posterior(model, bad)
    vae.posterior(create(likelihood="gaussian")(keys[0]), bad)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(images, value):
    bad = np.where(np.arange(24)[:, None, None] == 3, np.float32(value), images)
    with pytest.raises(ValueError, match="NaN or infinity in inputs is not allowed"):
        vae.reconstruct(create(likelihood="gaussian")(jax.random.key(0)), bad)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.ones((2, FRAMES, FEATURE), np.complex64), "complex64 in inputs is not allowed"),
        (np.ones((0, FRAMES, FEATURE), np.float32), r"shape \(0, 5, 4\) of inputs does not fit"),
        (np.ones((FRAMES, FEATURE), np.float32), r"shape \(5, 4\) of inputs does not fit: give"),
    ],
    ids=["complex", "empty", "one sequence"],
)
def test_what_no_likelihood_knows_is_refused(as_users, model, images, wrong, message):
    keys = jax.random.key(0)[None]
    for call in (
        lambda: vae.fit(create(), wrong, images, QUICK, keys, vae.Objective()),
        lambda: vae.fit(create(), images, wrong, QUICK, keys, vae.Objective()),
        lambda: vae.bounds(model, wrong, keys[0], 2),
        lambda: vae.posterior(model, wrong),
        lambda: vae.reconstruct(model, wrong),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("objective", [(-0.1, 0.0), (1.1, 0.0), (0.0, -1.0), (np.nan, 0.0)])
def test_an_objective_out_of_range_is_refused(images, objective):
    with pytest.raises(ValueError, match="warm_up lies in"):
        vae.fit(create(), images, images, QUICK, jax.random.key(0)[None], vae.Objective(*objective))


def test_a_bound_of_no_sample_is_refused(model, images):
    with pytest.raises(ValueError, match="samples is 0"):
        vae.bounds(model, images, jax.random.key(0), 0)


def test_a_divergence_of_nan_is_no_verdict():
    with pytest.raises(ValueError, match="NaN or infinity in kl is not allowed"):
        vae.posterior_collapse(np.full((4, 2), np.nan))
