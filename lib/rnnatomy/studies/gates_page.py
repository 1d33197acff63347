"""What the page on gates reads from the published study of ``gates``.

Each function takes the Dataset of the study, or some of its networks.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr

from rnnatomy.analysis import gates, ranks


def spectral_ranks(data: xr.Dataset) -> xr.Dataset:
    """Measure the ranks of all spectra, as the study of ``layers`` does for its networks.

    Returns:
        "effective" and "stable" (network, kind, matrix).

    Raises:
        ValueError: as ``ranks.effective_rank``.
    """
    measures = {"effective": ranks.effective_rank, "stable": ranks.stable_rank}
    return xr.Dataset({name: _over_matrices(data, measure) for name, measure in measures.items()})


def best_cutoffs(data: xr.Dataset) -> xr.Dataset:
    """Pick the cutoff of all matrices together with which a network reads validation images best.

    Returns:
        "validation" and "test" (network): what this cutoff, the first of equals, changes of the
        mean recall of the digits, a fraction (-1..1).
    """
    recall = {part: _over_cutoffs(data, part) for part in ("validation", "test")}
    best = recall["validation"].argmax("cutoff")
    return xr.Dataset(
        {
            part: read.isel(cutoff=best) - data[f"full_{part}"].mean("digit")
            for part, read in recall.items()
        }
    )


def smallest_cuts(data: xr.Dataset) -> xr.Dataset:
    """Sum up the smallest ranks that cost little accuracy on the validation part.

    Returns:
        Of the networks measured whole, (whole, way): "directions", how many are kept in all;
        "recall" on test images, mean over the digits, a fraction (0..1); "share" of the recall
        with nothing cut.
    """
    full = data["full_test"].mean("digit").sel(network=data["whole"]).drop_vars("network")
    recall = data["smallest_test"].mean("digit")
    directions = data["smallest_ranks"].sum("matrix")
    return xr.Dataset({"directions": directions, "recall": recall, "share": recall / full})


def time_constants(data: xr.Dataset) -> xr.Dataset:
    """Return time constants from the median activation of the forget gate over images.

    Returns:
        "of_units" (state, whole, unit), over all rows; "of_rows" (state, whole, row), the median
        over units after each row; both in rows of the image.
    """
    middle = data[["forget", "forget_rows"]].sel(percentile=50, drop=True).astype(float)
    found = xr.apply_ufunc(gates.time_constants, middle)
    return xr.Dataset({"of_units": found["forget"], "of_rows": found["forget_rows"].median("unit")})


def _over_matrices(data: xr.Dataset, measure: Callable[[np.ndarray], float]) -> xr.DataArray:
    """Measure each spectrum of both sides (network, kind, matrix)."""
    sides = []
    for side in gates.SIDES:
        spectra = data[f"{side}_spectra"].astype(float).rename(gate="matrix")
        names = [f"{side} {gate}" for gate in spectra["matrix"].to_numpy()]
        spectra = spectra.assign_coords(matrix=names)
        axes = [[f"{side}_direction"]]
        sides.append(xr.apply_ufunc(measure, spectra, input_core_dims=axes, vectorize=True))
    return xr.concat(sides, "matrix")


def _over_cutoffs(data: xr.Dataset, part: str) -> xr.DataArray:
    """Return the mean recall with each cutoff, of energy and of rank (network, cutoff)."""
    ways = [
        data[f"{way}_{part}"].mean("digit").rename({way: "cutoff"}) for way in ("energy", "share")
    ]
    return xr.concat(ways, "cutoff")
