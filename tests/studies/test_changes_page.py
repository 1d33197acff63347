import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import correlation, gates
from rnnatomy.studies import changes, changes_page


def cut_data():
    """Two networks, two matrices, two shares; accuracies with nothing cut are 0.9 and 0.8."""
    reduced = np.full((2, 2, 2, 2, 2), 0.5)
    reduced[0, 0, 1, 0] = 0.95, 0.88  # best on validation images, and worse on test images
    reduced[0, 0, 0, 1] = 0.91, 0.93
    reduced[1, 1, 0, 0] = 0.85, 0.81
    full = np.array([[0.9, 0.9], [0.8, 0.8]])
    dims = ("cut_network", "kept", "matrix", "share", "part")
    coordinates = {"kept": list(changes.KEPT), "part": list(changes.PARTS)}
    return xr.Dataset(
        {"reduced": (dims, reduced), "full": (("cut_network", "part"), full)}, coordinates
    ).assign_coords(matrix=["input i", "input f"], share=[0.1, 0.9])


def test_a_cut_is_chosen_on_validation_images_and_reported_on_test_images():
    found = changes_page.gains(cut_data())
    first, random = (found.sel(kept=kept) for kept in changes.KEPT)
    np.testing.assert_allclose(first["validation"], [0.05, -0.3])
    np.testing.assert_allclose(first["test"], [-0.02, -0.3])
    np.testing.assert_allclose(first["best"], [0.03, -0.3])
    np.testing.assert_allclose(random["test"], [-0.4, 0.01])
    assert set(found["test"].dims) == {"cut_network", "kept"}


def test_the_smallest_rank_that_is_enough_is_found():
    carried = xr.DataArray(
        [[[[0.1, 0.5, 0.899, 0.9]], [[0.1, 0.2, 0.3, 0.4]]]],
        dims=("cut_network", "kept", "way", "rank"),
        coords={"rank": [0, 1, 2, 4]},
    )
    full = xr.DataArray(
        [[0.5, 0.9]], dims=("cut_network", "part"), coords={"part": list(changes.PARTS)}
    )
    found = changes_page.enough_directions(xr.Dataset({"carried": carried, "full": full}))
    assert found.to_numpy().ravel().tolist() == [2, np.inf]


def network_data(count=200):
    rng = np.random.default_rng(0)
    layers = {"layer": list(changes.LAYERS), "kind": list(changes.KINDS)}
    size = count, len(changes.LAYERS)
    names = ("alpha", "alpha_long", "largest", "energy", "size")
    arrays = {name: (("network", "layer"), 1 + rng.random(size)) for name in names}
    arrays["stable"] = ("network", "layer", "kind"), rng.random((*size, len(changes.KINDS)))
    quality = rng.normal(size=count)
    halves = np.stack([quality, quality + 0.1 * rng.normal(size=count)], axis=1)
    arrays["half_accuracy"] = ("network", "half"), halves
    arrays["loss"] = ("network",), -quality
    arrays["validation_accuracy"] = ("network",), rng.normal(size=count)
    return xr.Dataset(arrays, layers)


def test_measures_that_tell_accuracy_are_told_from_those_that_do_not(monkeypatch):
    monkeypatch.setattr(correlation, "RESAMPLES", 99)
    data = network_data()
    found = changes_page.orders(data, np.random.default_rng(1))
    assert found["training loss"].value < -0.9 and found["other half"].value > 0.9
    for name in ("alpha", "alpha, weighted", "Frobenius norm", "validation accuracy"):
        assert found[name].low < 0.1 and found[name].high > -0.1 and abs(found[name].value) < 0.2
    assert list(found) == [*changes_page.measures(data), "other half"]


def test_measures_are_means_over_the_matrices_that_they_name():
    data = network_data(5)
    found = changes_page.measures(data)
    recurrent = data.sel(layer=[f"recurrent {gate}" for gate in gates.GATES])
    alpha, largest = recurrent["alpha"].to_numpy(), recurrent["largest"].to_numpy()
    np.testing.assert_allclose(found["alpha"], alpha.mean(axis=1))
    np.testing.assert_allclose(found["alpha, weighted"], (alpha * np.log10(largest)).mean(axis=1))
    sides = data["alpha"].to_numpy()[:, -3:].mean(axis=1)
    np.testing.assert_allclose(found["alpha, sides"], sides)
    assert found["stable rank"].to_numpy() == pytest.approx(
        recurrent["stable"].sel(kind="trained").mean("layer").to_numpy()
    )


def test_a_mean_over_few_networks_is_written_with_its_interval():
    # t of 2 degrees of freedom is 4.303, and the standard error 1 / sqrt(3)
    sample = xr.DataArray(np.array([1, 2, 3], np.float32), dims="cut_network")
    assert changes_page.mean_text(sample, "+.2f") == "+2.00 (-0.48 to +4.48)"
