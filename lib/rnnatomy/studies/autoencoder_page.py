"""What the page on autoencoders reads from its published studies, and asks of their networks."""

import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.networks import vae


def compare_models(*studies: xr.Dataset) -> xr.Dataset:
    """Put the models of digits of several studies side by side.

    Args:
        studies: as of ``autoencoder`` and ``likelihood``, with as many networks of each model.

    Returns:
        What was measured on test images, without "digits_" before it: by (model, network)
        "importance", "importance_error", "elbo", "reconstruction", "kl" in nats, "active" and
        "collapsed" units, "probe", "silhouette", "parameters", and "seconds" of training;
        "by_class" (model, network, digit) in nats.
    """
    return xr.concat([_measures(data) for data in studies], "model")


def copy_cost(
    model: vae.Autoencoder,
    latent: Float[np.ndarray, "sample latent"],
    inputs: Float[np.ndarray, "sample time feature"],
) -> float:
    """Return what a copy costs: the mean of -log p(x | z) over samples, in nats.

    Args:
        model: whose decoder draws.
        latent: z, a row for each sample.
        inputs: x.
    """
    outputs = model.decode(jnp.asarray(latent))
    return -float(vae.log_likelihood(model, outputs, jnp.asarray(inputs)).mean())


def _measures(data: xr.Dataset) -> xr.Dataset:
    """Take the measures of digits that models of all sizes have in common."""
    names = [str(name) for name in data if str(name).startswith("digits_")]
    found = data[names].rename({name: name.removeprefix("digits_") for name in names})
    found["kl"] = found["kl"].sum("latent")
    found["seconds"] = found["history_seconds"].sum("epoch")
    return found.drop_dims(["epoch", "latent", "point", "first_image"], errors="ignore")
