from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import cutoffs, sampled, svd


def random_case(seed=0, classes=6, hidden=9, samples=120):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(samples) % classes)
    readout = rng.normal(size=(classes, hidden))
    states = np.tanh(rng.normal(size=(samples, hidden)) + 0.4 * readout[labels])
    return svd.svd(readout), 0.3 * rng.normal(size=classes), states, labels


def estimate(seed, case, orders=50):
    return sampled.shapley(np.random.default_rng(seed), *case, orders=orders)


def exact(case):
    return cutoffs.shapley(cutoffs.every_cutoff(*case))


def gain_by_hand(order, parts, bias, states, labels):
    """What each direction adds to the recall when they come in this order."""
    found = np.zeros((len(parts.s), len(bias)))
    readout = np.zeros((len(bias), states.shape[1]))
    before = cutoffs.recall(states @ readout.T + bias, labels)
    for k in order:
        readout += parts.s[k] * np.outer(parts.U[:, k], parts.Vt[k])
        after = cutoffs.recall(states @ readout.T + bias, labels)
        found[k] = after - before
        before = after
    return found


class Listed(np.random.Generator):
    """A source of permutations that gives those of a list, one after the other."""

    def __new__(cls, listed):
        return super().__new__(cls, np.random.PCG64(0))

    def __init__(self, listed):
        super().__init__(np.random.PCG64(0))
        self.listed = [np.array(order) for order in listed]

    def permutation(self, size):
        assert size == len(self.listed[0])
        return self.listed.pop(0)


def test_values_and_errors_equal_a_loop_over_pairs_of_orders():
    case = random_case(classes=5)
    listed = np.random.default_rng(1).permuted(np.tile(np.arange(5), (4, 1)), axis=1)
    pairs = [
        (gain_by_hand(order, *case) + gain_by_hand(order[::-1], *case)) / 2 for order in listed
    ]
    found = sampled.shapley(Listed(listed), *case, orders=8)
    np.testing.assert_allclose(found.values, np.mean(pairs, axis=0), atol=1e-12)
    error = np.std(pairs, axis=0, ddof=1) / np.sqrt(4)
    np.testing.assert_allclose(found.errors, error, atol=1e-12)
    assert found.errors.max() > 0.01


def test_all_orders_give_the_exact_values():
    case = random_case(classes=4, hidden=5)
    half = [order for order in permutations(range(4)) if order < order[::-1]]
    found = sampled.shapley(Listed(half), *case, orders=24)
    np.testing.assert_allclose(found.values, exact(case), atol=1e-12)


@pytest.mark.parametrize("modes", [6, 9])
def test_values_are_within_their_errors_of_the_exact_ones(modes):
    case = random_case(classes=modes)
    truth = exact(case)
    found = estimate(0, case, 2000)
    assert (np.abs(found.values - truth) <= 4 * found.errors).all()
    assert found.errors.max() < 0.01 < 0.1 < np.abs(truth).max()


@pytest.mark.parametrize("modes", [6, 9])
def test_errors_are_as_large_as_values_are_off(modes):
    case = random_case(classes=modes)
    found = [estimate(seed, case) for seed in range(30)]
    off = np.array([one.values for one in found]) - exact(case)
    errors = np.array([one.errors for one in found])
    assert np.sqrt(np.square(off).mean() / np.square(errors).mean()) == pytest.approx(1, abs=0.1)
    # and to no side
    assert (np.abs(off.mean(axis=0)) <= 4 * np.sqrt(np.square(errors).mean(axis=0) / 30)).all()


@pytest.mark.parametrize("modes", [6, 9])
def test_errors_fall_with_the_root_of_the_orders(modes):
    case = random_case(classes=modes)
    few, many = estimate(0, case, 40), estimate(1, case, 640)
    assert few.errors.mean() / many.errors.mean() == pytest.approx(4, rel=0.15)
    truth = exact(case)
    assert np.abs(many.values - truth).mean() < np.abs(few.values - truth).mean() / 2


def test_pairs_vary_less_than_orders_that_are_independent():
    case = random_case()
    rng = np.random.default_rng(0)
    alone = np.array([gain_by_hand(rng.permutation(6), *case) for _ in range(400)])
    of_pairs = np.square(estimate(0, case, 400).errors)
    assert of_pairs.mean() < 0.85 * alone.var(axis=0, ddof=1).mean() / 400


@given(
    st.integers(0, 10_000),
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([1, 30, 1 << 16]),
)
def test_values_sum_to_full_minus_empty(seed, classes, hidden, block):
    case = random_case(seed, classes, hidden, samples=45)
    whole = cutoffs.cutoffs(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampled, "BLOCK", block)
        found = estimate(seed, case, orders=4)
    assert found.values.shape == found.errors.shape == (min(classes, hidden), classes)
    total = whole.full - whole.nested[0]
    np.testing.assert_allclose(found.values.sum(axis=0), total, rtol=0, atol=1e-13)


def test_blocks_of_samples_make_no_difference(monkeypatch):
    case = random_case()
    whole = estimate(0, case)
    monkeypatch.setattr(sampled, "BLOCK", 42)
    for found, expected in zip(estimate(0, case), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_class_hangs_on_the_direction_that_was_planted_for_it():
    # class c is read by direction c alone; class 0 is what an empty readout answers
    classes, hidden = 30, 40
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(hidden, hidden)))[0][:classes]
    labels = np.tile(np.arange(classes), 4)
    parts = svd.SVD(np.eye(classes), np.linspace(9, 5, classes), axes)
    found = estimate(0, (parts, 0.5 * np.eye(classes)[0], axes[labels], labels))
    expected = np.eye(classes)
    expected[0, 0] = 0
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_array_equal(found.errors, np.zeros((classes, classes)))


def test_a_readout_with_more_classes_than_hidden_units_has_a_direction_for_each_unit():
    case = random_case(classes=20, hidden=6, samples=200)
    found = estimate(0, case, 400)
    assert found.values.shape == (6, 20)
    off = np.abs(found.values - exact(case))
    assert (off <= 4 * found.errors + 1e-12).all() and found.values.max() > 0.1


def test_two_directions_have_one_pair_of_orders():
    case = random_case(classes=2)
    found = estimate(0, case, 4)
    np.testing.assert_allclose(found.values, exact(case), atol=1e-12)
    assert not found.errors.any()


def test_a_tie_goes_to_the_class_with_the_lower_number():
    # classes 1 and 2 tie where the first direction comes alone; the second tells them apart
    parts = svd.SVD(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, -1.0]]), np.ones(2), np.eye(2))
    states = np.array([[-1.0, 0.0], [1.0, 0.5], [1.0, -0.5]])
    found = estimate(0, (parts, np.zeros(3), states, np.arange(3)))
    np.testing.assert_array_equal(found.values, [[0, 0.5, 0], [0, 0.5, 1]])


def test_values_sum_to_full_minus_empty_where_rounding_decides():
    readout = np.random.default_rng(0).normal(size=(6, 9))[[0, 1, 2, 0, 1, 2]]
    *_, states, labels = random_case()
    case = svd.svd(readout), np.zeros(6), states, labels
    whole = cutoffs.cutoffs(*case)
    values = estimate(0, case).values
    np.testing.assert_allclose(values.sum(axis=0), whole.full - whole.nested[0], atol=1e-13)


def test_a_seed_gives_the_same_values_and_another_one_others():
    case = random_case()
    first, again, other = (estimate(seed, case) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.errors, again.errors)
    assert (first.values != other.values).any()


@pytest.mark.parametrize("factor", [2.0**900, 2.0**-900])
def test_no_value_depends_on_the_unit_of_the_logits(factor):
    parts, bias, *rest = random_case()
    scaled = estimate(0, (parts._replace(s=parts.s * factor), bias * factor, *rest))
    np.testing.assert_array_equal(scaled.values, estimate(0, (parts, bias, *rest)).values)


def test_without_directions_there_is_no_worth():
    parts, *rest = random_case()
    found = estimate(0, (svd.truncate(parts, 0), *rest))
    assert found.values.shape == found.errors.shape == (0, 6)


PARTS, BIAS, STATES, LABELS = random_case()
BAD = {
    "states of another width": ((BIAS, STATES[:, :5], LABELS), r"states .* give \(sample, 9\)"),
    "bias of another size": ((BIAS[:3], STATES, LABELS), r"\(3,\) of bias .* give \(6,\)"),
    "labels of another size": ((BIAS, STATES, LABELS[:9]), r"\(9,\) of labels .* each of 120 sam"),
    "states not finite": (
        (BIAS, np.where(STATES > 0.5, np.nan, STATES), LABELS),
        "NaN or infinity in states",
    ),
    "bias not finite": ((BIAS * np.inf, STATES, LABELS), "NaN or infinity in bias"),
    "logits not finite": ((BIAS, STATES * 1e308, LABELS), "NaN or infinity in logits"),
    "a label above the classes": ((BIAS, STATES, LABELS + 1), "label 6 .* give 0 to 5"),
    "a label below 0": ((BIAS, STATES, LABELS - 1), "label -1 .* give 0 to 5"),
    "a class without samples": ((BIAS, STATES, np.maximum(LABELS, 1)), "class 0 has no sample"),
}


@pytest.mark.parametrize(("case", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, case, message):
    with pytest.raises(ValueError, match=message):
        estimate(0, (PARTS, *case))


@pytest.mark.parametrize("orders", [0, 2, 5, 50.5, -4, np.nan, True, "50", None])
def test_orders_come_in_pairs_and_there_are_two_pairs(as_users, orders):
    with pytest.raises(ValueError, match=f"orders is {orders}: give an even number, at least 4"):
        estimate(0, (PARTS, BIAS, STATES, LABELS), orders)
