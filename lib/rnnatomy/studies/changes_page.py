"""What the page on gates reads from the published study of ``changes``.

Each function takes the Dataset of the study, or some of its networks.
"""

import numpy as np
import xarray as xr

from rnnatomy.analysis import correlation, gates, statistics

ENOUGH = 0.99
"""Fraction of the accuracy that enough directions keep."""


def gains(data: xr.Dataset) -> xr.Dataset:
    """Pick the cut of one matrix with which a network reads best, and what it gains.

    Returns:
        Changes of accuracy, fractions (-1..1), of the first of equals, (cut_network, kept):
        "validation", of the cut that is best on validation images, there; "test", of the same cut
        on test images; "best", of the cut that is best on test images, there.
    """
    gained = (data["reduced"] - data["full"]).stack(choice=("matrix", "share"))
    there, reported = (gained.sel(part=part, drop=True) for part in ("validation", "test"))
    chosen = there.argmax("choice")
    found = {
        "validation": there.isel(choice=chosen),
        "test": reported.isel(choice=chosen),
        "best": reported.max("choice"),
    }
    return xr.Dataset({name: gain.reset_coords(drop=True) for name, gain in found.items()})


def enough_directions(data: xr.Dataset) -> xr.DataArray:
    """Find the smallest rank at which the change carries ``ENOUGH`` of the accuracy.

    Returns:
        Ranks (cut_network, kept, way); infinite where the largest that was tried is too small.
    """
    floor = ENOUGH * data["full"].sel(part="test", drop=True)
    enough = data["carried"] >= floor
    return enough["rank"].where(enough, np.inf).min("rank")


def measures(data: xr.Dataset) -> xr.Dataset:
    """Sum up each network in one number, in several ways that are to tell how well it reads.

    Returns:
        (network): mean exponents over the recurrent matrices of single gates, of all single gates,
        and of the sides and the readout; of recurrent gates where half of the eigenvalues must
        follow the law, and weighted by the logarithm of the largest eigenvalue; logarithms of the
        energy, and of the largest eigenvalue; the stable rank; the size of what was learnt; the
        training loss, and the validation accuracy.
    """
    recurrent = data.sel(layer=[f"recurrent {gate}" for gate in gates.GATES])
    largest = xr.apply_ufunc(np.log10, recurrent["largest"])
    energy = xr.apply_ufunc(np.log10, recurrent["energy"])
    found = {
        "alpha": recurrent["alpha"].mean("layer"),
        "alpha, all gates": data["alpha"].sel(layer=list(gates.MATRICES)).mean("layer"),
        "alpha, sides": data["alpha"].sel(layer=[*gates.SIDES, "readout"]).mean("layer"),
        "alpha, long tails": recurrent["alpha_long"].mean("layer"),
        "alpha, weighted": (recurrent["alpha"] * largest).mean("layer"),
        "Frobenius norm": energy.mean("layer"),
        "spectral norm": largest.mean("layer"),
        "stable rank": recurrent["stable"].sel(kind="trained", drop=True).mean("layer"),
        "size of the change": recurrent["size"].mean("layer"),
        "training loss": data["loss"],
        "validation accuracy": data["validation_accuracy"],
    }
    return xr.Dataset(found)


def orders(data: xr.Dataset, rng: np.random.Generator) -> dict[str, statistics.Interval]:
    """Correlate the ranks of networks by each of ``measures`` with those by test accuracy.

    The last, "other half", is that of the accuracies on two halves of the test images: no measure
    of a network can be expected to tell much more of one half than the other half does.

    Args:
        data: of the study, or of any networks that have the same arrays.
        rng: source of the resamples of networks.
    """
    accuracy = data["half_accuracy"].mean("half").to_numpy()
    found = {
        str(name): correlation.across(values.to_numpy(), accuracy, rng)
        for name, values in measures(data).items()
    }
    first, second = data["half_accuracy"].transpose("half", "network").to_numpy()
    return found | {"other half": correlation.across(first, second, rng)}


def mean_text(sample: xr.DataArray, form: str) -> str:
    """Write the mean over the networks that were cut, which are few, with its interval by t.

    Args:
        sample: one number per network.
        form: of each number, such as "+.2f".
    """
    return statistics.t_interval(sample.to_numpy().astype(float)).text(form)
