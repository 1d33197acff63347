import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import gates
from rnnatomy.store import results
from rnnatomy.studies import gates_page


@pytest.fixture(scope="module")
def published():
    return results.load_study("gates").data


def test_ranks_are_those_of_planted_spectra():
    flat, single = np.ones(4), np.array([2.0, 0, 0, 0])
    rng = np.random.default_rng(0)
    spectra = np.where(rng.random((2, 3, 4, 1)) < 0.5, flat, single)
    axes = ("network", "kind", "gate")
    data = xr.Dataset(
        {f"{side}_spectra": ((*axes, f"{side}_direction"), part) for side, part in zip(
            gates.SIDES, (spectra, spectra[::-1]), strict=True
        )},
        {"gate": list("ifgo"), "kind": ["trained", "untrained", "learnt"]},
    )  # fmt: skip
    found = gates_page.spectral_ranks(data)
    count = np.where((spectra == flat).all(axis=-1), 4, 1)
    for measure in ("effective", "stable"):
        assert found[measure].dims == ("network", "kind", "matrix")
        for side, expected in (("input", count), ("recurrent", count[::-1])):
            names = [f"{side} {gate}" for gate in "ifgo"]
            np.testing.assert_allclose(found[measure].sel(matrix=names), expected)


def test_ranks_agree_with_those_that_another_study_published(published):
    others = results.load_study("layers").data
    found = gates_page.spectral_ranks(published)
    for name in ("thousand-0", "thousand-1"):
        for measure in ("effective", "stable"):
            one, other = (data[measure].sel(network=name) for data in (found, others))
            xr.testing.assert_allclose(one.drop_vars("network"), other.drop_vars("network"))


def test_the_best_cutoff_is_picked_on_validation_and_reported_on_test():
    """Two networks; the best of both ways is planted, and others are better on test."""
    validation = {"energy": [[0.1, 0.4], [0.2, 0.3]], "share": [[0.3, 0.2], [0.6, 0.5]]}
    test = {"energy": [[0.9, 0.2], [0.8, 0.8]], "share": [[0.9, 0.9], [0.5, 0.9]]}
    arrays = {
        f"{way}_{part}": (("network", way, "digit"), np.repeat(np.array(recall)[:, :, None], 3, 2))
        for part, ways in (("validation", validation), ("test", test))
        for way, recall in ways.items()
    }
    arrays["full_validation"] = ("network", "digit"), np.full((2, 3), 0.5)
    arrays["full_test"] = ("network", "digit"), np.array([[0.1, 0.3, 0.2], [0.4, 0.4, 0.4]])
    found = gates_page.best_cutoffs(xr.Dataset(arrays, {"energy": [0.3, 0.5], "share": [0.5, 1.0]}))
    np.testing.assert_allclose(found["validation"], [-0.1, 0.1])
    np.testing.assert_allclose(found["test"], [0.0, 0.1])


def test_no_cutoff_is_better_on_validation_than_the_best(published):
    found = gates_page.best_cutoffs(published)
    full = published["full_validation"].to_numpy().mean(axis=1)
    both = [published[f"{way}_validation"].to_numpy().mean(axis=2) for way in ("energy", "share")]
    expected = np.concatenate(both, axis=1).max(axis=1) - full
    np.testing.assert_allclose(found["validation"], expected, atol=1e-6)


def test_the_smallest_cuts_are_summed_up_by_network(published):
    found = gates_page.smallest_cuts(published)
    ranks = published["smallest_ranks"].to_numpy()  # (whole, way, matrix)
    np.testing.assert_array_equal(found["directions"], ranks.sum(axis=2))
    recall = published["smallest_test"].to_numpy().mean(axis=2)
    np.testing.assert_allclose(found["recall"], recall, rtol=1e-6)
    names = published["network"].to_numpy().tolist()
    for row, name in enumerate(published["whole"].to_numpy()):
        full = published["full_test"].to_numpy()[names.index(name)].mean()
        np.testing.assert_allclose(found["share"].sel(whole=name), recall[row] / full, rtol=1e-6)


def test_time_constants_are_those_of_the_median_gate():
    rng = np.random.default_rng(0)
    forget, rows = rng.uniform(0.1, 0.9, (2, 3, 3, 5)), rng.uniform(0.1, 0.9, (2, 3, 3, 4, 5))
    axes = ("state", "whole", "percentile")
    data = xr.Dataset(
        {"forget": ((*axes, "unit"), forget), "forget_rows": ((*axes, "row", "unit"), rows)},
        {"percentile": [10, 50, 90]},
    )
    found = gates_page.time_constants(data)
    np.testing.assert_allclose(forget[:, :, 1] ** found["of_units"].to_numpy(), np.exp(-1))
    # the time constant grows with the gate: the median unit is that of the median gate
    of_rows = np.median(rows[:, :, 1], axis=-1) ** found["of_rows"].to_numpy()
    np.testing.assert_allclose(of_rows, np.exp(-1))


def test_a_gate_out_of_range_is_refused(published):
    with pytest.raises(ValueError, match="out of range: give 0 to 1"):
        gates_page.time_constants(published.assign(forget=published["forget"] + 1))
