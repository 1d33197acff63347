from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import matching

seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def orthogonal(seed, size):
    return np.linalg.qr(normal(seed, size, size))[0]


@given(seeds, st.integers(1, 8))
def test_a_planted_signed_permutation_is_recovered(seed, size):
    rng = np.random.default_rng(seed)
    first = orthogonal(seed, size)
    partners, signs = rng.permutation(size), rng.choice([-1.0, 1.0], size)
    second = np.empty_like(first)
    second[:, partners] = first * signs
    found, cosines = matching.match(first, second)
    np.testing.assert_array_equal(found, partners)
    np.testing.assert_allclose(cosines, 1)


def test_a_planted_pairing_is_recovered_under_noise():
    first, order = orthogonal(0, 10), np.random.default_rng(1).permutation(10)
    blurred = np.linalg.qr(first[:, order] + 0.1 * normal(2, 10, 10))[0]
    partners, cosines = matching.match(first, blurred)
    np.testing.assert_array_equal(order[partners], np.arange(10))
    assert 0.7 < cosines.min() < cosines.max() < 1


@pytest.mark.parametrize("size", [4, 5, 6])
@pytest.mark.parametrize("seed", range(4))
def test_no_other_pairing_of_the_directions_has_larger_cosines(seed, size):
    first, second = orthogonal(seed, size), orthogonal(seed + 100, size)
    partners, cosines = matching.match(first, second)
    one_by_one = [abs(first[:, k] @ second[:, partners[k]]) for k in range(size)]
    np.testing.assert_allclose(cosines, one_by_one)
    sums = [np.abs((first * second[:, list(order)]).sum(axis=0)).sum() for order in
            permutations(range(size))]  # fmt: skip
    assert cosines.sum() == pytest.approx(max(sums))
    assert sorted(partners) == list(range(size))


def test_fewer_directions_than_classes_are_paired_too():
    first = orthogonal(0, 6)[:, :3]
    partners, cosines = matching.match(first, -first[:, [2, 0, 1]])
    assert partners.tolist() == [1, 2, 0]
    np.testing.assert_allclose(cosines, 1)


def test_left_vectors_of_two_shapes_are_refused(as_users):
    for compare in (matching.match, matching.displacement):
        with pytest.raises(ValueError, match=r"shapes \(4, 4\) and \(5, 5\): give equal"):
            compare(np.eye(4), np.eye(5))


@given(seeds, st.integers(1, 7))
def test_the_same_directions_in_the_same_order_are_not_displaced(seed, size):
    first = orthogonal(seed, size)
    signs = np.sign(normal(seed, size))
    assert matching.displacement(first, signs * first) == pytest.approx(0, abs=1e-12)


@given(seeds, st.permutations(range(5)))
def test_directions_in_another_order_are_displaced_by_their_mean_distance(seed, order):
    first = orthogonal(seed, 5)
    expected = np.mean([abs(place - k) for place, k in enumerate(order)])
    assert matching.displacement(first[:, order], first) == pytest.approx(expected, abs=1e-12)


def test_a_rotation_displaces_two_directions_by_the_share_that_it_mixes():
    angle = 0.3
    mixed = np.eye(4)
    mixed[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    # two of four directions, each with the share sin^2 one place away
    assert matching.displacement(np.eye(4), mixed) == pytest.approx(np.sin(angle) ** 2 / 2)


def test_bases_of_two_spaces_have_no_displacement():
    with pytest.raises(ValueError, match="the bases have no direction in common"):
        matching.displacement(np.eye(4)[:, :2], np.eye(4)[:, 2:])


@given(seeds, st.integers(2, 5))
def test_all_networks_are_matched_pair_by_pair(seed, networks):
    bases = np.stack([orthogonal(seed + k, 4) for k in range(networks)])
    found = matching.match_all(bases)
    pairs = list(combinations(range(networks), 2))
    assert found.partners.shape == found.cosines.shape == (len(pairs), 4)
    for place, (i, j) in enumerate(pairs):
        partners, cosines = matching.match(bases[i], bases[j])
        np.testing.assert_array_equal(found.partners[place], partners)
        np.testing.assert_array_equal(found.cosines[place], cosines)


def test_planted_orders_of_the_same_directions_are_recovered_in_all_pairs():
    first, orders = orthogonal(0, 5), [np.random.default_rng(k).permutation(5) for k in range(4)]
    found = matching.match_all(np.stack([first[:, order] for order in orders]))
    np.testing.assert_allclose(found.cosines, 1)
    for partners, (one, other) in zip(found.partners, combinations(orders, 2), strict=True):
        np.testing.assert_array_equal(other[partners], one)


def test_one_network_has_no_other_to_be_matched_with():
    with pytest.raises(ValueError, match=r"^1 network has no other to be matched with: give two"):
        matching.match_all(np.eye(3)[None])


@given(seeds, st.integers(2, 7))
def test_means_of_pairs_are_those_of_a_table_of_all_networks(seed, networks):
    table = normal(seed, networks, networks)
    table += table.T
    values = table[np.triu_indices(networks, 1)]
    own = [np.delete(row, k).mean() for k, row in enumerate(table)]
    np.testing.assert_allclose(matching.mean_of_pairs(values, networks), own, atol=1e-12)


def test_a_network_unlike_all_others_has_the_lowest_mean():
    pairs = list(combinations(range(5), 2))
    values = np.array([0.2 if 3 in pair else 0.9 for pair in pairs])
    found = matching.mean_of_pairs(values, 5)
    np.testing.assert_allclose(found, [0.725, 0.725, 0.725, 0.2, 0.725])


@pytest.mark.parametrize(("count", "networks"), [(5, 4), (3, 2), (1, 3), (10, 4)])
def test_there_is_a_number_for_each_pair(count, networks):
    with pytest.raises(ValueError, match=rf"^{count} numbers are given: .* per pair of {networks}"):
        matching.mean_of_pairs(np.ones(count), networks)


@pytest.mark.parametrize("networks", [1, 0, -2, 2.5, np.nan, None])
def test_pairs_are_of_at_least_two_networks(as_users, networks):
    with pytest.raises(ValueError, match=f"networks is {networks}: give a whole number of at le"):
        matching.mean_of_pairs(np.ones(1), networks)
