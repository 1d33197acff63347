import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import maps
from rnnatomy.studies import blank, blank_page

FIXED, CIRCLE = (maps.KINDS.index(name) for name in ("fixed point", "circle"))
STEPS = np.array([0, 8, 28, 4000])
SETS, POINTS = 3, 2
RANDOM = 9 / 64


def first(value, size):
    return [value] + [np.nan] * (size - 1)


def a_network(**given):
    """A network of which all states fall to one point, or as given."""
    every = {
        "kept": [1, 0.9, 0.3, 0.1],
        "accuracy": [0.97, 0.9, 0.3, 0.1],
        "constant": [0.2, 0.2, 0.15, 0.1],
        "answers": [10, 10, 4, 1],
        "speed": [3, 2, 1, 0],
        "sets": 1,
        "settled": 1,
        "kind": first(FIXED, SETS),
        "period": first(1, SETS),
        "basin": np.eye(SETS, 1) * np.ones(10),
        "rates": np.full((SETS, 3), -0.1),
        "set_answer": first(4, SETS),
        "set_steady": first(1, SETS),
        "set_confidence": first(0.3, SETS),
        "points": 1,
        "reached": 1,
        "point_share": first(1, POINTS),
        "point_unstable": first(0, POINTS),
        "point_modulus": first(0.9, POINTS),
        "point_answer": first(4, POINTS),
        "point_confidence": first(0.3, POINTS),
        "slow_points": 3,
        "slow_number": 4,
        "slow_most": 9,
        "slow_share": 3 * RANDOM,
        "slowest_share": 2.5 * RANDOM,
        "rest_share": 0.9 * RANDOM,
    }
    return {name: np.asarray(value, float) for name, value in (every | given).items()}


def trials(count=60, seed=0, told=1.0):
    """Networks in training whose accuracy after one epoch tells the last one, as do exponents."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(size=count)
    accuracy = 1 / (1 + np.exp(-(2 + skill)))
    first_one = 1 / (1 + np.exp(-(1 + skill + 0.3 * rng.normal(size=count))))
    exponents = -0.2 + 0.03 * (told * skill + rng.normal(size=count))[:, None] - np.arange(8) / 100
    arrays = {"exponents": exponents, "above": (exponents > -0.2).sum(axis=1).astype(float)}
    found = {f"{when}_{n}": values for when in ("first", "last") for n, values in arrays.items()}
    found |= {"first_accuracy": first_one, "first_validation": first_one}
    found |= {"last_accuracy": accuracy, "last_validation": accuracy}
    known = {
        "learning_rate": np.exp(rng.normal(size=count)),
        "gain": np.exp(rng.normal(size=count)),
    }
    return found, known


def a_study(*networks, states=None, **options):
    count = len(networks)
    found, known = trials(**options)
    arrays = {
        name: (axes, np.stack([one[name] for one in networks]) if axes[0] == "network" else None)
        for name, axes in blank.AXES.items()
    }
    arrays |= {name: (blank.AXES[name], values) for name, values in found.items()}
    along = {
        "step": STEPS,
        "hidden": ("network", [64] * count),
        "state": ("network", states or ["trained"] * count),
        **{name: ("trial", values) for name, values in known.items()},
    }
    return xr.Dataset(arrays, along)


@pytest.fixture
def mixed():
    """One point; a circle about a point, one answer; two points of two answers; and none slow."""
    circle = a_network(
        kind=first(CIRCLE, SETS),
        point_unstable=first(2, POINTS),
        kept=[1, 0.9, 0.7, 0.6],
        slow_share=np.nan,
        slow_number=0,
    )
    two = a_network(
        sets=2,
        kind=[FIXED, FIXED, np.nan],
        set_answer=[4, 5, np.nan],
        set_steady=[1, 1, np.nan],
        points=3,
        slow_share=RANDOM,
    )
    untrained = a_network(kept=[1, 0.1, 0.1, 0.1])
    return a_study(
        a_network(), circle, two, untrained, untrained, states=["trained"] * 3 + ["untrained"] * 2
    )


def test_a_part_is_of_one_size_and_state(mixed):
    assert blank_page.part(mixed, 64, "trained").sizes["network"] == 3
    assert blank_page.part(mixed, 64, "untrained").sizes["network"] == 2
    assert blank_page.part(mixed, 128, "trained").sizes["network"] == 0


def test_answers_last_until_half_are_lost(mixed):
    found = blank_page.lasting(blank_page.part(mixed, 64, "trained"))
    assert found.networks == 3 and found.kept == pytest.approx((0.3, 0.3, 0.7))
    assert found.half.value == pytest.approx(2 / 3)
    assert found.rows == (28, 28, 8000)  # one keeps more than half to the end
    assert found.constant.value == pytest.approx(0.15) and found.answers == (1, 1, 1)
    twins = blank_page.lasting(blank_page.part(mixed, 64, "untrained"))
    assert twins.rows == (8, 8, 8) and twins.half.value == 1


def test_where_states_end_is_counted(mixed):
    found = blank_page.ends(blank_page.part(mixed, 64, "trained"))
    assert found.sets == (1, 1, 2) and found.points == (1, 1, 3)
    third = pytest.approx(1 / 3)
    assert (found.point.value, found.circle.value, found.unstable.value) == (third,) * 3
    assert found.answer.value == pytest.approx(2 / 3)
    # an answer that changes on the way round is not one
    turning = a_study(a_network(set_steady=first(0.6, SETS)), a_network())
    assert blank_page.one_answer(turning).to_numpy().tolist() == [False, True]
    # nor is a point the only one if others are found
    further = a_study(a_network(points=2), a_network())
    assert blank_page.single_point(further).to_numpy().tolist() == [False, True]


def test_slow_directions_are_held_against_random_ones(mixed):
    found = blank_page.slow(blank_page.part(mixed, 64, "trained"))
    assert found.networks == 3 and found.none == 1
    assert found.ratio == pytest.approx((2, 1, 3))
    assert found.above.value == pytest.approx(1 / 3)
    assert found.slowest.value == pytest.approx(2.5) and found.rest.value == pytest.approx(0.9)
    none = a_network(slow_share=np.nan)
    assert blank_page.slow(a_study(none, none)).ratio is None


def test_networks_that_broke_down_are_left_out(mixed):
    broken = mixed.copy(deep=True)
    broken["last_accuracy"][[3, 5]] = np.nan
    assert blank_page.followed(broken).sizes["trial"] == 58
    assert all(len(values) == 58 for values in blank_page.summaries(broken).values())
    assert len(blank_page.final(broken)) == len(blank_page.rivals(broken)["gain"]) == 58


def test_summaries_are_of_the_leading_exponents(mixed):
    found = blank_page.summaries(mixed)
    each = mixed["first_exponents"].to_numpy()
    assert tuple(found) == blank_page.SUMMARIES
    np.testing.assert_array_equal(found["largest"], each.max(axis=1))
    np.testing.assert_allclose(found["sum"], -8 * found["distance"])  # all are below 0
    np.testing.assert_array_equal(found["above"], mixed["first_above"])


def test_correlations_find_what_was_planted(mixed):
    found = blank_page.correlations(mixed, np.random.default_rng(0))
    assert found["accuracy"].plain.value > 0.9 and found["accuracy"].given is None
    assert 0.5 < found["sum"].plain.value < 0.9
    assert abs(found["gain"].plain.value) < 0.35
    # given an accuracy that tells nearly all, exponents tell less
    assert found["sum"].given.value < found["sum"].plain.value
    assert found["sum"].given.low < found["sum"].given.value < found["sum"].given.high


def test_a_partial_correlation_is_that_of_residuals():
    rng = np.random.default_rng(1)
    ranks = [rng.permutation(50).astype(float) for _ in range(2)]
    third = np.argsort(np.argsort(ranks[0] + ranks[1])).astype(float)
    found = blank_page.partial(ranks[0], ranks[1], third, rng)
    left = [one - np.polyval(np.polyfit(third, one, 1), third) for one in ranks]
    assert found.value == pytest.approx(np.corrcoef(left)[0, 1])
    assert np.isnan(blank_page._partial(np.array([third, third, third])))


def test_chance_is_what_deals_give(mixed):
    found = blank_page.by_chance(mixed, np.random.default_rng(0))
    # four summaries that are nearly one: as for one correlation of 60 networks
    assert found == pytest.approx(1.96 / np.sqrt(59), abs=0.06)
    assert found < abs(blank_page.correlations(mixed, np.random.default_rng(0))["sum"].plain.value)


def test_predictions_leave_each_network_out(mixed):
    found = blank_page.predictions(mixed, np.random.default_rng(0))
    last = blank_page.final(mixed)
    nothing = np.array([np.delete(last, k).mean() for k in range(len(last))]) - last
    np.testing.assert_allclose(found["nothing"].errors, nothing)
    assert np.isnan(found["nothing"].along) and found["accuracy"].along > 0.9
    sizes = {name: one.size.value for name, one in found.items()}
    assert sizes["accuracy"] < 0.5 * sizes["nothing"]
    assert sizes["accuracy"] < sizes["exponents"] < sizes["nothing"]
    # numbers that say nothing make it no better
    assert sizes[blank_page.DEALT] > 0.95 * sizes["accuracy"]
    assert sizes["learning rate and gain"] > 0.85 * sizes["nothing"]


def test_a_ridge_regression_leaves_out_as_one_that_is_fitted_again():
    rng = np.random.default_rng(2)
    columns, last = rng.normal(size=(20, 2)), rng.normal(size=20)
    found = blank_page._ridge(columns, last)
    A = np.hstack([np.ones((20, 1)), columns, columns**2 - 1])
    penalties = np.diag([0, 1, 1, 1, 1])
    for k in range(20):
        rest = np.delete(np.arange(20), k)
        fitted = np.linalg.solve(A[rest].T @ A[rest] + penalties, A[rest].T @ last[rest])
        assert found[k] == pytest.approx(A[k] @ fitted)


def test_what_repeats_is_found_by_neighbours():
    far = np.repeat(np.arange(4.0), 6)
    last = np.array([3.0, -1, 3, -1])[far.astype(int)]
    foretold = blank_page._nearest(far[:, None], last)
    np.testing.assert_array_equal(foretold, last)
    np.testing.assert_array_equal(blank_page._better(far[:, None], last), last)


def test_a_fall_of_the_error_is_of_the_same_networks(mixed):
    found = blank_page.predictions(mixed, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    fall = blank_page.fall(found["nothing"], found["accuracy"], rng)
    ratio = found["accuracy"].size.value / found["nothing"].size.value
    assert fall.value == pytest.approx(1 - ratio) and fall.low < fall.value < fall.high
    assert blank_page.fall(found["accuracy"], found["accuracy"], rng) == (0, 0, 0)


def test_expectations_come_true_or_not(mixed):
    found = blank_page.expected(mixed, np.random.default_rng(0))
    assert found == {1: False, 2: True, 3: False, 4: True, 5: True, 6: found[6]}
    blind = a_study(*[a_network()] * 3, told=0.0)
    found = blank_page.expected(blind, np.random.default_rng(0))
    assert found == dict.fromkeys(range(1, 7), True) | {4: False}
