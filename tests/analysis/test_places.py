from collections import Counter
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rnnatomy.analysis import controls, places

seeds = st.integers(0, 10_000)
CARRIES = [2, 0, 3, 1, 3]
"""Planted: the direction of each of five classes, among four directions."""


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rng(seed=0):
    return np.random.default_rng(seed)


def planted(networks, strength=1.0, seed=0):
    """Worth (network, direction, class): a class is carried by the same direction everywhere."""
    worth = 0.05 * normal(seed, networks, 4, 5)
    worth[:, CARRIES, range(5)] += strength
    return worth


def sorting(networks, classes):
    """In each network, direction k carries class k."""
    return np.tile(np.eye(classes), (networks, 1, 1))


# places of one network


@given(seeds)
def test_the_class_hit_hardest_is_that_of_a_loop(seed):
    loss = normal(seed, 3, 4, 5).round(1) - 1
    found = places.hardest_hit(loss)
    for network, mode in product(range(3), range(4)):
        row = loss[network, mode].tolist()
        expected = row.index(max(row)) if max(row) > 0 else -1
        assert found[network, mode] == expected


def test_where_no_class_loses_none_is_hit():
    loss = np.array([[[0.0, 0.0], [-0.1, -0.2], [0.0, 1e-9], [0.2, 0.2]]])
    np.testing.assert_array_equal(places.hardest_hit(loss), [[-1, -1, 1, 0]])


@given(seeds)
def test_the_direction_worth_most_is_that_of_a_loop(seed):
    worth = normal(seed, 3, 4, 5)
    found = places.carriers(worth)
    for network, label in product(range(3), range(5)):
        column = worth[network, :, label].tolist()
        assert found[network, label] == column.index(max(column))


def test_planted_directions_are_found_in_every_network():
    assert (places.carriers(planted(7)) == CARRIES).all()


# shares


@given(st.lists(st.tuples(*[st.integers(-2, 5)] * 3), min_size=1, max_size=9))
def test_shares_are_counted_places(rows):
    found = places.shares(np.array(rows), 4)
    assert found.shape == (3, 4)
    for item, column in enumerate(zip(*rows, strict=True)):
        counts = Counter(column)
        np.testing.assert_allclose(found[item], [counts[k] / len(rows) for k in range(4)])


@given(seeds, st.integers(1, 6))
def test_shares_of_an_item_that_always_has_a_place_sum_to_one(seed, count):
    found = places.shares(rng(seed).integers(count, size=(8, 3)), count)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_no_place_is_left_out_of_the_shares():
    found = places.shares(np.array([[-1, 0], [-1, 1], [2, -1], [0, 0]]), 3)
    np.testing.assert_array_equal(found, [[0.25, 0, 0.25], [0.5, 0.25, 0]])


# how many networks agree, and by chance


def test_all_networks_agree_on_planted_directions_and_chance_does_not():
    networks, chance = places.agreement(planted(40), rng(), 200)
    np.testing.assert_array_equal(networks, np.full(5, 40))
    assert chance.shape == (200, 5)
    # two of five classes share a direction, so chance has 16 of 40 there
    assert 16 <= chance.mean() < 24 and chance.max() < 40


def test_agreement_is_that_on_the_most_common_place():
    worth = sorting(5, 3)
    worth[3:] = worth[3:, [1, 0, 2]]
    np.testing.assert_array_equal(places.agreement(worth, rng(), 1).networks, [3, 3, 5])


def test_agreement_by_chance_follows_its_law():
    # the places of a class are dealt like those of four throws of a die with three faces
    throws = Counter(max(Counter(t).values()) for t in product(range(3), repeat=4))
    law = np.array([throws[k] for k in range(5)]) / 81
    draws = 6000
    chance = places.agreement(sorting(4, 3), rng(), draws).chance
    for column in chance.T:
        found = np.bincount(column, minlength=5) / draws
        np.testing.assert_allclose(found, law, atol=4 * 0.5 / np.sqrt(draws))
    assert np.bincount(chance[:, 0], minlength=5)[:2].sum() == 0


def test_chance_knows_nothing_of_which_class_is_which():
    # what a network's directions do stays: classes without a difference agree whatever is dealt
    worth = np.tile(np.array([[0.1], [0.9], [0.2]]), (6, 1, 4))
    networks, chance = places.agreement(worth, rng(), 20)
    assert (networks == 6).all() and (chance == 6).all()


@given(seeds)
def test_agreement_is_that_of_counted_permutations(seed):
    worth, draws = normal(seed, 6, 3, 4), 3
    networks, chance = places.agreement(worth, rng(seed), draws)
    again = rng(seed)

    def most_common(table):
        return [Counter(column).most_common(1)[0][1] for column in table.argmax(axis=1).T.tolist()]

    assert networks.tolist() == most_common(worth)
    expected = [most_common(controls.permute_classes(worth, again)) for _ in range(draws)]
    assert chance.tolist() == expected


# how often a class is hit, by chance


def test_hits_by_chance_follow_their_law():
    # each network has one class that loses: one of five, so a hit has the chance of a fifth
    loss = np.zeros((6, 2, 5))
    loss[:, 1, 3] = 0.4
    draws = 8000
    found = places.hits_by_chance(loss, 1, 2, rng(), draws)
    law = stats.binom(6, 1 / 5).pmf(np.arange(7))
    np.testing.assert_allclose(np.bincount(found, minlength=7) / draws, law, atol=0.02)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_direction_that_costs_nothing_hits_no_class_by_chance_either(label):
    loss = np.zeros((9, 2, 3))
    loss[:4, 0] = [0.1, 0.2, 0.3]
    assert (places.hits_by_chance(loss, 1, label, rng(), 50) == 0).all()
    found = places.hits_by_chance(loss, 0, label, rng(), 2000)
    assert found.max() <= 4 and found.mean() == pytest.approx(4 / 3, abs=0.08)


@given(seeds, st.integers(0, 2), st.integers(0, 4))
def test_hits_by_chance_are_those_of_permuted_tables(seed, mode, label):
    loss, again = normal(seed, 7, 3, 5), rng(seed)
    tables = [controls.permute_classes(loss, again)[:, mode] for _ in range(4)]
    expected = [sum(row.argmax() == label and row.max() > 0 for row in table) for table in tables]
    found = places.hits_by_chance(loss, mode, label, rng(seed), 4)
    assert found.tolist() == expected


CHANCE = {
    "agreement": lambda generator: places.agreement(planted(9), generator, 30).chance,
    "hits_by_chance": lambda generator: places.hits_by_chance(planted(9), 1, 2, generator, 30),
}


@pytest.mark.parametrize("name", CHANCE)
def test_the_same_generator_gives_the_same_numbers_and_goes_on(name):
    generator = rng(3)
    first, onward = (CHANCE[name](generator) for _ in range(2))
    np.testing.assert_array_equal(CHANCE[name](rng(3)), first)
    assert (first != onward).any() and (first != CHANCE[name](rng(4))).any()


def test_tables_stay_as_they_were():
    table = planted(4)
    table.flags.writeable = False
    for name in CALLS:
        if name != "shares":
            CALLS[name](table)


# bad input

CALLS = {
    "hardest_hit": places.hardest_hit,
    "carriers": places.carriers,
    "agreement": lambda table: places.agreement(table, rng(), 2),
    "hits_by_chance": lambda table: places.hits_by_chance(table, 0, 1, rng(), 2),
    "shares": lambda table: places.shares(table, 3),
}


def assert_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert str(caught.value).endswith(".") and ". " not in str(caught.value)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table[0, 0], "does not fit: give"),
        (lambda table: table[:0], "does not fit: give"),
        (lambda table: table[..., None], "does not fit: give"),
        (lambda table: np.where(table > 0, table, np.nan), "NaN or infinity"),
        (lambda table: np.where(table > 0, table, -np.inf), "NaN or infinity"),
        (lambda table: table + 1j, "give real numbers"),
        (lambda table: table.astype(str), "give real numbers"),
        (lambda table: [*table.tolist(), [1.0]], "differ in length"),
    ],
)
def test_tables_have_their_axes_and_finite_real_numbers(as_users, name, spoil, message):
    table = np.array([[1.0, 2.0, -1.0], [0.0, 2.0, 1.0]])
    table = table if name == "shares" else np.stack([table, -table])
    assert_refused(lambda: CALLS[name](spoil(table)), message)


@pytest.mark.parametrize("name", CALLS)
def test_lists_do_as_arrays_do(as_users, name):
    table = np.array([[1, 2, -1], [0, 2, 1]])
    table = table if name == "shares" else np.stack([table, -table])
    ours, theirs = CALLS[name](table.tolist()), CALLS[name](table)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("place", [0.5, 1e300])
def test_places_are_whole(as_users, place):
    assert_refused(lambda: places.shares([[0, place]], 2), "in places is not allowed: give whole")


@pytest.mark.parametrize("number", [0, -1, 1.5, np.nan, True, "2", None])
def test_counts_are_whole_and_at_least_one(as_users, number):
    table = planted(3)
    for name, call in {
        "count": lambda: places.shares([[0, 1]], number),
        "draws": lambda: places.agreement(table, rng(), number),
    }.items():
        assert_refused(call, f"^{name} is {number}: give a whole number, at least 1")
    hits = partial(places.hits_by_chance, table, 0, 0, rng())
    assert_refused(lambda: hits(number), f"^draws is {number}: give a whole number, at least 1")


@pytest.mark.parametrize("number", [-1, 9, 1.5, np.nan, None])
def test_a_direction_and_a_class_are_those_of_the_table(as_users, number):
    hits = partial(places.hits_by_chance, planted(3))
    assert_refused(lambda: hits(number, 0, rng(), 2), f"^mode is {number}: give .* 0 to 3")
    assert_refused(lambda: hits(0, number, rng(), 2), f"^label is {number}: give .* 0 to 4")
