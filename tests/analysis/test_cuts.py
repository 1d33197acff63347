import numpy as np
import pytest

from rnnatomy.analysis import cuts, ranks


def some_parts(seed=0):
    rng = np.random.default_rng(seed)
    return ranks.decompose({"wide": rng.normal(size=(6, 4)), "square": rng.normal(size=(6, 6))})


def energy(matrix):
    return float(np.square(matrix).sum())


@pytest.mark.parametrize("fraction", [0.3, 0.5, 0.9])
def test_both_ways_keep_the_same_energy_and_only_one_its_first_directions(fraction):
    parts = some_parts()
    cut = cuts.same_energy(np.random.default_rng(1), parts, fraction)
    assert cut.ranks == ranks.same_energy(parts, fraction)
    for name, (U, s, Vt) in parts.items():
        rank = cut.ranks[name]
        np.testing.assert_allclose(
            cut.first[name], (U[:, :rank] * s[:rank]) @ Vt[:rank], atol=1e-12
        )
        assert energy(cut.first[name]) >= fraction * energy(s) - 1e-9
        assert energy(cut.random[name]) == pytest.approx(energy(cut.first[name]))
        assert np.abs(cut.random[name] - cut.first[name]).max() > 0.1


def test_nothing_is_cut_where_all_energy_is_kept():
    parts = some_parts()
    cut = cuts.same_energy(np.random.default_rng(1), parts, 1.0)
    for name, (U, s, Vt) in parts.items():
        np.testing.assert_allclose(cut.first[name], (U * s) @ Vt, atol=1e-12)
        np.testing.assert_allclose(cut.random[name], (U * s) @ Vt, atol=1e-6)


def test_random_directions_are_drawn_anew_for_each_matrix_and_generator():
    first, again, other = (
        cuts.same_energy(np.random.default_rng(seed), some_parts(), 0.5).random["square"]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_fraction_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"fraction 1\.5 is out of range"):
        cuts.same_energy(np.random.default_rng(1), some_parts(), 1.5)


def test_each_matrix_may_have_a_rank_of_its_own():
    parts, kept = some_parts(), {"wide": 1, "square": 0}
    cut = cuts.to_ranks(np.random.default_rng(1), parts, kept)
    assert cut.ranks == kept and not cut.first["square"].any()
    np.testing.assert_allclose(cut.random["square"], 0, atol=1e-12)
    assert np.linalg.matrix_rank(cut.first["wide"]) == 1
    assert energy(cut.random["wide"]) == pytest.approx(parts["wide"].s[0] ** 2)
    assert np.linalg.matrix_rank(cut.random["wide"]) > 1


def test_a_matrix_without_a_rank_is_refused():
    with pytest.raises(ValueError, match="matrix 'square' has no rank: give one for each"):
        cuts.to_ranks(np.random.default_rng(1), some_parts(), {"wide": 1})
