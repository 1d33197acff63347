import numpy as np
import pytest

from rnnatomy.studies import fifth, others_page, questions, rates


@pytest.fixture(scope="module")
def many(load_published):
    return load_published("thousand").data.isel(network=slice(0, 60))


def test_a_portrait_sums_up_what_each_network_answers(many):
    found = others_page.portrait(many, digit=8, direction=5, threshold=0.1)
    single = many["single"].to_numpy().astype(float)[:, :9]
    full = many["full"].to_numpy().astype(float)
    taken = single < 0.1
    assert found.networks == 60
    assert found.tested.held == taken[:, 4, 8].sum()
    assert found.some.held == taken[:, :, 8].any(axis=1).sum()
    assert found.any.held == taken.any(axis=(1, 2)).sum()
    bases = many["random_bases_any"].sel(threshold=0.1).mean() / questions.BASES
    assert found.any.control.value == pytest.approx(float(bases))
    hit = (full - single[:, 0]).argmax(axis=1)
    assert found.law.held == (hit == found.first).sum() == np.bincount(hit).max()
    mine, theirs = rates.doubles(many, "stated").numbers
    assert found.numbers == (mine.mean(), theirs.mean())
    np.testing.assert_array_equal(found.accuracy, many["test_accuracy"])


def test_the_place_is_where_most_networks_have_the_largest_value(many):
    worth = many["shapley"].to_numpy().astype(float)[:, :9, 3]
    counts = np.bincount(worth.argmax(axis=1), minlength=9)
    shares = others_page.place_shares(many, 3)
    np.testing.assert_allclose(shares, counts / 60)
    place, share = others_page.portrait(many, 3, 1, 0.5).place
    assert (place, share) == (counts.argmax() + 1, counts.max() / 60)


def test_a_spectrum_falls_from_one(many):
    spectrum = others_page.spectrum(many)
    assert spectrum.shape == (60, 9) and (spectrum[:, 0] == 1).all()
    assert (np.diff(spectrum) < 0).all()
    left = np.linalg.svd(many["readout"][0].astype(float))[1]
    np.testing.assert_allclose(spectrum[0], left[:9] / left[0], atol=2e-3)


def test_kinds_come_in_the_order_of_the_study(many):
    words = np.array(["b", "a", "b", "c"] * 15)
    parts = others_page.kinds(many.assign_coords(model=("network", words)), "model")
    assert list(parts) == ["b", "a", "c"]
    assert [part.sizes["network"] for part in parts.values()] == [30, 15, 15]
    np.testing.assert_array_equal(parts["a"]["full"], many["full"][words == "a"])


def test_conditions_are_parted_by_units_and_epochs(load_published):
    grid = load_published("fifth").data
    parts = others_page.conditions(grid)
    assert list(parts) == [(hidden, epochs) for epochs, hidden in fifth.CONDITIONS]
    assert sum(part.sizes["network"] for part in parts.values()) == grid.sizes["network"]
    for (units, epochs), part in parts.items():
        assert (part["hidden"] == units).all() and (part["epochs"] == epochs).all()


def test_shares_and_accuracies_are_written_in_per_cent(many):
    found = others_page.portrait(many, 8, 5, 0.1)
    value, low, high = (100 * x for x in found.any.share)
    chance = 100 * found.any.control.value
    assert others_page.beside(found.any) == f"{value:.0f} ({low:.0f} to {high:.0f}); {chance:.0f}"
    accuracy = 100 * many["test_accuracy"].to_numpy().astype(float)
    assert others_page.reading(found) == f"{accuracy.mean():.2f} ({accuracy.std(ddof=1):.2f})"
