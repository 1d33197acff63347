"""Variational autoencoders of sequences: their bounds in nats, and which latent units they use."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from rnnatomy.analysis import checks
from rnnatomy.networks import models, training

ACTIVE = 0.01
"""A latent unit is active if its posterior mean varies more than this over the data."""

COLLAPSED = 0.01
"""A latent unit whose posterior is this near to the prior, in nats, has collapsed."""

Autoencoder = models.VAE | models.MLPVAE


class Objective(NamedTuple):
    """What a training minimises: reconstruction + weight * KL, per sample, in nats.

    Both options hold an autoencoder back from the easy way to make the KL small, which is not to
    use its latent units. Neither is part of a bound that is reported.

    Attributes:
        warm_up: fraction of the training (0..1) over which the weight of the KL rises from 0 to 1.
        free: nats of KL that each latent unit may have without cost, on the mean over a batch.

    Reference:
        Bowman and others (2016) for the warm-up; Kingma and others (2016) for free bits.
    """

    warm_up: float = 0.0
    free: float = 0.0


class Terms(NamedTuple):
    """The evidence lower bound of each sample, in parts: ELBO = reconstruction - sum of KL.

    Attributes:
        reconstruction: log p(x | z) at a drawn z, in nats.
        kl: KL divergence of the posterior from the standard normal prior, in nats.
    """

    reconstruction: Float[Array, " batch"]
    kl: Float[Array, "batch latent"]


class Bounds(NamedTuple):
    """Lower bounds of log p(x) of each sample, in nats.

    Attributes:
        elbo: reconstruction - sum of KL.
        reconstruction: mean of log p(x | z) over the drawn z.
        kl: of each latent unit.
        importance: the importance-weighted bound.
    """

    elbo: Float[np.ndarray, " sample"]
    reconstruction: Float[np.ndarray, " sample"]
    kl: Float[np.ndarray, "sample latent"]
    importance: Float[np.ndarray, " sample"]


class PosteriorCollapse(NamedTuple):
    """Which latent units tell nothing about the data.

    Attributes:
        units: numbers of the collapsed units.
        whole: whether all of them are.
        verdict: the same in a sentence.
    """

    units: Int[np.ndarray, " unit"]
    whole: bool
    verdict: str


def binarise(
    key: PRNGKeyArray, images: Float[Array, "batch time feature"]
) -> Float[Array, "batch time feature"]:
    """Draw black or white for each pixel, white with the probability that its grey value says.

    Args:
        key: a fresh one for each step of training; a fixed one for a test.
        images: grey values as a fraction (0..1).

    Returns:
        Zeros and ones.

    Reference:
        Salakhutdinov and Murray (2008).
    """
    return jax.random.bernoulli(key, images).astype(images.dtype)


def sample(key: PRNGKeyArray, posterior: models.Posterior) -> Float[Array, "batch latent"]:
    """Draw z = mean + exp(log variance / 2) noise, through which gradients pass.

    Reference:
        Kingma and Welling (2014).
    """
    noise = jax.random.normal(key, posterior.mean.shape, posterior.mean.dtype)
    return posterior.mean + jnp.exp(posterior.log_variance / 2) * noise


def kl(posterior: models.Posterior) -> Float[Array, "batch latent"]:
    """Return the KL divergence of each latent unit from the standard normal prior, in nats.

    KL = (mean^2 + variance - 1 - log variance) / 2
    """
    mean, log_variance = posterior
    # expm1 keeps what is left of a variance near one
    return (jnp.square(mean) + jnp.expm1(log_variance) - log_variance) / 2


def log_likelihood(
    model: Autoencoder,
    outputs: Float[Array, "batch time feature"],
    inputs: Float[Array, "batch time feature"],
) -> Float[Array, " batch"]:
    """Return log p(x | z) of whole sequences, in nats.

    Args:
        model: says which likelihood it is, and with which variance.
        outputs: what it decoded from z: logits or means.
        inputs: x: zeros and ones (or what lies between), or any real numbers.
    """
    if model.noise is None:
        each = -optax.sigmoid_binary_cross_entropy(outputs, inputs)
    else:
        log_variance = jnp.clip(model.noise[...], *models.LOG_VARIANCE)
        wide = jnp.square(inputs - outputs) * jnp.exp(-log_variance)
        each = -(wide + log_variance + jnp.log(2 * jnp.pi)) / 2
    return each.sum(axis=(1, 2))


def elbo(
    model: Autoencoder, inputs: Float[Array, "batch time feature"], key: PRNGKeyArray
) -> Terms:
    """Estimate the two terms of the evidence lower bound from one draw of z for each sample.

    Reference:
        Kingma and Welling (2014).
    """
    posterior = model.encode(inputs)
    outputs = model.decode(sample(key, posterior))
    return Terms(log_likelihood(model, outputs, inputs), kl(posterior))


@lru_cache
def loss(objective: Objective) -> training.Loss:
    """Return the loss of an objective: the negative ELBO, with the weight of its KL and free bits.

    A Bernoulli model sees its images binarised anew at each step. Equal objectives have the same
    function, so that equal fits are compiled once.
    """

    def negative(model: Any, batch: Array, moment: training.Moment) -> Float[Array, ""]:
        pixels, draw = jax.random.split(moment.key)
        inputs = binarise(pixels, batch) if model.noise is None else batch
        terms = elbo(model, inputs, draw)
        paid = jnp.maximum(terms.kl.mean(axis=0), objective.free).sum()
        weight = jnp.clip(moment.done / objective.warm_up, 0, 1) if objective.warm_up else 1.0
        return weight * paid - terms.reconstruction.mean()

    return negative


def fit(
    create: training.Create,
    train: Float[np.ndarray, "sample time feature"],
    validation: Float[np.ndarray, "held time feature"],
    recipe: training.Recipe,
    keys: Key[Array, " seed"],
    objective: Objective,
    **options: Any,
) -> training.Fitted:
    """Fit autoencoders and follow the validation ELBO.

    Args:
        create: makes a fresh model from a key.
        train: sequences; of a Bernoulli model, grey values as fractions (0..1).
        validation: as ``train``.
        recipe: optimiser and schedule.
        keys: one random key per network.
        objective: what is minimised.
        options: as of ``training.fit_ensemble``.

    Returns:
        The fitted networks; their history has "elbo", "reconstruction" and "kl", the means over
        the validation part.

    Raises:
        ValueError: if an option is out of range, or values are not finite, or not in [0, 1] for a
            Bernoulli model.
    """
    _check_objective(objective)
    model: Any = nnx.eval_shape(lambda: create(keys[0]))
    bernoulli = model.noise is None
    for part in (train, validation):
        _check_values(part, bernoulli)
    pixels, draw = jax.random.split(jax.random.key(len(validation)))
    held = jnp.asarray(validation)
    held = binarise(pixels, held) if bernoulli else held
    return training.fit_ensemble(
        create,
        loss(objective),
        jnp.asarray(train),
        recipe,
        keys,
        measure=_measure,
        held=(held, draw),
        **options,
    )


def bounds(
    model: Autoencoder,
    inputs: Float[np.ndarray, "sample time feature"],
    key: PRNGKeyArray,
    samples: int,
    batch: int = 10,
) -> Bounds:
    """Estimate the ELBO and the importance-weighted bound of every sample.

        log p(x) >= E log 1/k sum over k of p(x, z_k) / q(z_k | x),  z_k drawn from q

    It rises with k, from the ELBO at k = 1 towards log p(x). What is drawn for a sample depends on
    the key and on its place alone.

    Args:
        model: a trained autoencoder.
        inputs: x, binarised for a Bernoulli model.
        key: random key.
        samples: k, at least 1.
        batch: sequences at a time; samples * batch of them are decoded at once.

    Raises:
        ValueError: if there is no sample to draw, or values are out of range.

    Reference:
        Burda, Grosse and Salakhutdinov (2016).
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: give a whole number of at least 1.")
    _check_values(inputs, model.noise is None)
    found = _bounds(model, jnp.asarray(inputs), key, samples, batch)
    return Bounds(*(np.asarray(part) for part in found))


def posterior(
    model: Autoencoder, inputs: Float[np.ndarray, "sample time feature"]
) -> models.Posterior:
    """Return the posterior of every sample, a batch at a time."""
    _check_values(inputs, model.noise is None)
    return _posteriors(model, jnp.asarray(inputs))


def reconstruct(
    model: Autoencoder, inputs: Float[np.ndarray, "sample time feature"]
) -> Float[np.ndarray, "sample time feature"]:
    """Return what the model draws at the posterior means, a batch at a time.

    Returns:
        Probabilities of white for a Bernoulli model, else means.
    """
    _check_values(inputs, model.noise is None)
    return np.asarray(_reconstruct(model, jnp.asarray(inputs)))


def draw(
    model: Autoencoder, latent: Float[np.ndarray, "sample latent"]
) -> Float[np.ndarray, "sample time feature"]:
    """Return what the model draws from latent vectors: probabilities of white, or means."""
    return np.asarray(_draw(model, jnp.asarray(latent)))


def active_units(
    means: Float[np.ndarray, "sample latent"], threshold: float = ACTIVE
) -> Int[np.ndarray, " unit"]:
    """Find the latent units that the data move: variance of their posterior mean above threshold.

    Args:
        means: of the posterior of each sample.
        threshold: least variance over the samples, in units of the prior's, above 0.

    Returns:
        Numbers of the active units, ascending.

    Reference:
        Burda, Grosse and Salakhutdinov (2016).
    """
    return np.flatnonzero(np.var(means, axis=0) > threshold)


def posterior_collapse(
    kl: Float[np.ndarray, "sample latent"], threshold: float = COLLAPSED
) -> PosteriorCollapse:
    """Name the latent units whose posterior is the prior, whatever the input.

    Args:
        kl: of each sample and unit, in nats.
        threshold: a unit with less than this on the mean over the samples has collapsed, in nats.

    Raises:
        ValueError: if a number is not finite.
    """
    kl = checks.numbers("kl", kl, "sample latent")
    if not checks.is_number(threshold):
        raise ValueError(f"threshold is {threshold}: give a number of nats.")
    units = np.flatnonzero(np.mean(kl, axis=0) < threshold)
    count = kl.shape[1]
    verdict = f"{len(units)} of {count} latent units have collapsed: {units.tolist()}."
    if len(units) == count:
        verdict = f"The posterior has collapsed: none of {count} latent units tells anything."
    if len(units) == 0:
        verdict = f"No latent unit of {count} has collapsed."
    return PosteriorCollapse(units, len(units) == count, verdict)


@nnx.jit(static_argnames=("samples", "batch"))
def _bounds(model: Any, inputs: Array, key: PRNGKeyArray, samples: int, batch: int) -> Any:
    def one(taken: tuple[Array, Array]) -> tuple[Array, ...]:
        x, place = taken
        given = model.encode(x[None])
        wide = jax.tree.map(lambda leaf: jnp.repeat(leaf, samples, axis=0), given)
        z = sample(jax.random.fold_in(key, place), wide)
        likelihood = log_likelihood(
            model, model.decode(z), jnp.broadcast_to(x, (samples, *x.shape))
        )
        weights = likelihood + _log_normal(z) - _log_normal(z, wide)
        divergence, mean = kl(given)[0], likelihood.mean()
        importance = logsumexp(weights) - jnp.log(jnp.asarray(samples, weights.dtype))
        return mean - divergence.sum(), mean, divergence, importance

    return jax.lax.map(one, (inputs, jnp.arange(len(inputs))), batch_size=batch)


@nnx.jit
def _posteriors(model: Any, inputs: Array) -> Any:
    def one(x: Array) -> Any:
        return jax.tree.map(lambda leaf: leaf[0], model.encode(x[None]))

    return jax.lax.map(one, inputs, batch_size=500)


@nnx.jit
def _reconstruct(model: Any, inputs: Array) -> Array:
    return training.predict(lambda batch: _means(model, model.encode(batch).mean), inputs)


@nnx.jit
def _draw(model: Any, latent: Array) -> Array:
    return training.predict(lambda batch: _means(model, batch), latent)


def _means(model: Autoencoder, latent: Array) -> Array:
    outputs = model.decode(latent)
    return jax.nn.sigmoid(outputs) if model.noise is None else outputs


def _measure(model: Any, inputs: Array, key: PRNGKeyArray) -> dict[str, Array]:
    """Measure the terms of the ELBO, a batch at a time."""

    def one(taken: tuple[Array, Array]) -> tuple[Array, Array]:
        terms = elbo(model, taken[0][None], jax.random.fold_in(key, taken[1]))
        return terms.reconstruction[0], terms.kl[0].sum()

    places = jnp.arange(len(inputs))
    reconstruction, divergence = jax.lax.map(one, (inputs, places), batch_size=500)
    means = {"reconstruction": reconstruction.mean(), "kl": divergence.mean()}
    return {"elbo": means["reconstruction"] - means["kl"], **means}


def _log_normal(z: Array, posterior: models.Posterior | None = None) -> Float[Array, " batch"]:
    """Return the log density of z under a posterior, or under the prior."""
    if posterior is None:
        posterior = models.Posterior(jnp.zeros_like(z), jnp.zeros_like(z))
    mean, log_variance = posterior
    wide = jnp.square(z - mean) * jnp.exp(-log_variance)
    return -(wide + log_variance + jnp.log(2 * jnp.pi)).sum(axis=-1) / 2


def _check_values(inputs: np.ndarray | Array, bernoulli: bool) -> None:
    """Refuse values that a likelihood does not know."""
    checks.numbers("inputs", inputs, "sample time feature")
    least, most = float(np.min(inputs)), float(np.max(inputs))
    if bernoulli and (least < 0 or most > 1):
        raise ValueError(
            f"inputs run from {least:g} to {most:g}: a Bernoulli model takes values in [0, 1]; "
            "scale them, or choose likelihood='gaussian'."
        )


def _check_objective(objective: Objective) -> None:
    if not (0 <= objective.warm_up <= 1 and objective.free >= 0):
        raise ValueError(f"{objective}: warm_up lies in [0, 1], and free is at least 0.")
