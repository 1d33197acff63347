from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import collapse, controls, matching, statistics, svd

seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def orthogonal(seed, size):
    return np.linalg.qr(normal(seed, size, size))[0]


def test_an_interval_is_that_of_normal_theory_for_many_numbers():
    sample = normal(0, 400)
    value, low, high = statistics.interval(sample, np.random.default_rng(1))
    error = sample.std() / 20
    assert value == pytest.approx(sample.mean())
    assert low == pytest.approx(value - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(value + 1.96 * error, abs=0.1 * error)


def test_an_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [statistics.interval(rng.normal(3, 2, size=40), rng) for _ in range(250)]
    missed_below = np.mean([interval.high < 3 for interval in found])
    missed_above = np.mean([interval.low > 3 for interval in found])
    assert 0.005 < missed_below < 0.06 and 0.005 < missed_above < 0.06
    assert missed_below + missed_above == pytest.approx(0.05, abs=0.035)


def test_an_interval_of_another_statistic_is_that_of_a_loop_over_resamples():
    sample, rng = normal(2, 31) ** 2, np.random.default_rng(3)
    resampled = [np.median(rng.choice(sample, 31)) for _ in range(4000)]
    found = statistics.interval(sample, rng, statistic=np.median)
    assert found.value == np.median(sample)
    # a resample's median is one of the numbers: the ends are the same number or its neighbour
    places = np.searchsorted(np.sort(sample), [found[1:], np.percentile(resampled, [2.5, 97.5])])
    assert np.abs(places[0] - places[1]).max() <= 1
    assert found.low < found.value < found.high


def test_the_same_generator_gives_the_same_interval():
    first, second, third = (
        statistics.interval(normal(0, 9), np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert first == second != third


def test_networks_that_all_agree_leave_no_interval():
    found = statistics.interval(np.full(7, 0.25), np.random.default_rng(0))
    assert found == (0.25, 0.25, 0.25)
    assert all(type(number) is float for number in found)


@pytest.mark.parametrize("sample", [[], [1.0], [1.0, np.nan], [np.inf, 1.0, 2.0]])
def test_too_few_numbers_or_such_as_are_not_finite_are_refused(sample):
    with pytest.raises(ValueError, match=f"^{len(sample)} numbers are given: give two or more, al"):
        statistics.interval(np.array(sample), np.random.default_rng(0))


def test_an_interval_is_written_with_its_ends_in_brackets():
    interval = statistics.Interval(0.5349, 0.41, 0.636)
    assert interval.text() == "0.53 (0.41 to 0.64)"
    assert interval.text(".0%") == "53% (41% to 64%)"


@given(seeds)
def test_permuted_classes_stay_with_all_their_directions(seed):
    table = normal(seed, 4, 3, 5)
    before = table.copy()
    found = controls.permute_classes(table, np.random.default_rng(seed))
    np.testing.assert_array_equal(table, before)
    assert found.shape == table.shape
    for network, shuffled in zip(table, found, strict=True):
        # whole columns have moved: those of the network, each once
        assert sorted(map(tuple, shuffled.T)) == sorted(map(tuple, network.T))


def test_every_permutation_is_as_likely_and_each_network_has_its_own():
    table = np.tile(np.arange(3.0), (6000, 2, 1))
    found = controls.permute_classes(table, np.random.default_rng(0))[:, 0].astype(int)
    orders = found @ [9, 3, 1]
    _, counts = np.unique(orders, return_counts=True)
    assert len(counts) == 6 and np.abs(counts - 1000).max() < 120
    repeats = np.mean(orders[1:] == orders[:-1])
    assert repeats == pytest.approx(1 / 6, abs=0.02)


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
    with pytest.raises(ValueError, match=r"shapes \(4, 4\) and \(5, 5\): give equal"):
        matching.match(np.eye(4), np.eye(5))


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


def random_bases(size, count, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([controls.random_basis(rng, size) for _ in range(count)])


@pytest.mark.parametrize("size", [1, 2, 10])
def test_a_random_basis_is_orthogonal(size):
    for basis in random_bases(size, 5):
        np.testing.assert_allclose(basis.T @ basis, np.eye(size), atol=1e-12)


def test_all_directions_of_a_random_basis_are_equally_likely():
    bases = random_bases(4, 20_000)
    # of an entry of a unit vector in n dimensions: 0, 1/n, 0 and 3/(n (n + 2))
    for power, moment, spread in ((1, 0, 0.5), (2, 1 / 4, 0.25), (3, 0, 0.3), (4, 1 / 8, 0.22)):
        np.testing.assert_allclose((bases**power).mean(axis=0), moment, atol=5 * spread / 141)
    # of the trace: it is as that of a normal number up to the power 2 n + 1
    trace = np.trace(bases, axis1=1, axis2=2)
    for power, moment, spread in ((1, 0, 1), (2, 1, 1.4), (3, 0, 3.9), (4, 3, 10)):
        assert (trace**power).mean() == pytest.approx(moment, abs=4 * spread / 141)
    assert np.mean(np.linalg.det(bases) > 0) == pytest.approx(0.5, abs=0.02)


def test_directions_of_unrelated_networks_match_as_well_as_chance_has_it():
    bases = random_bases(2, 4000)
    found = [matching.match(*pair)[1].mean() for pair in bases.reshape(-1, 2, 2, 2)]
    # in the plane: the mean of max(|cos|, |sin|) over all angles
    assert np.mean(found) == pytest.approx(2 * np.sqrt(2) / np.pi, abs=0.01)


@given(seeds, st.integers(1, 6), st.integers(1, 8))
def test_a_readout_along_any_basis_multiplies_out_to_itself(seed, classes, hidden):
    matrix, basis = normal(seed, classes, hidden), orthogonal(seed + 1, classes)
    parts = controls.rotate(matrix, basis)
    np.testing.assert_allclose(svd.compose(parts), matrix, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(parts.Vt, axis=1), 1)
    assert (np.diff(parts.s) <= 0).all()
    # the directions are those of the basis, each once
    cosines = np.abs(parts.U.T @ basis)
    np.testing.assert_allclose(np.sort(cosines, axis=1)[:, -1], 1)
    assert sorted(cosines.argmax(axis=1)) == list(range(classes))


@given(seeds)
def test_energy_is_shared_out_among_any_basis(seed):
    matrix = normal(seed, 5, 8)
    parts = controls.rotate(matrix, orthogonal(seed + 1, 5))
    assert (parts.s**2).sum() == pytest.approx((matrix**2).sum())
    largest = svd.svd(matrix).s
    assert (np.cumsum(parts.s**2) <= np.cumsum(largest**2) + 1e-9).all()


@given(seeds)
def test_a_readout_along_its_singular_basis_is_its_svd(seed):
    matrix = normal(seed, 4, 7)
    expected = svd.svd(matrix)
    order = np.random.default_rng(seed).permutation(4)
    for found, part in zip(controls.rotate(matrix, expected.U[:, order]), expected, strict=True):
        np.testing.assert_allclose(found, part, atol=1e-8)


def test_a_direction_along_which_nothing_is_written_stays_finite():
    matrix = np.diag([2.0, 0.0, 1.0])
    parts = controls.rotate(matrix, np.eye(3))
    np.testing.assert_array_equal(parts.s, [2, 1, 0])
    np.testing.assert_array_equal(svd.compose(parts), matrix)


def geometry(seed=0, classes=4, hidden=6, samples=200):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.r_[np.arange(classes), rng.integers(0, classes, samples)])
    centres = 3 * rng.normal(size=(classes, hidden))
    return centres[labels] + rng.normal(size=(len(labels), hidden)), labels


def test_class_means_are_those_of_a_loop_over_the_samples():
    states, labels = geometry()
    sums, counts = np.zeros((4, 6)), np.zeros(4)
    for state, label in zip(states, labels, strict=True):
        sums[label] += state
        counts[label] += 1
    assert len(set(counts)) > 1
    np.testing.assert_allclose(collapse.class_means(states, labels), sums / counts[:, None])


@pytest.mark.parametrize("function", [collapse.class_means, collapse.collapse])
def test_a_class_without_samples_is_refused(function):
    states, labels = geometry()
    kept = labels != 1
    with pytest.raises(ValueError, match="class 1 has no sample: it has no mean"):
        function(states[kept], labels[kept])


def by_hand(states, labels):
    """NC1, sample by sample and eigenvector by eigenvector."""
    classes, hidden = labels.max() + 1, states.shape[1]
    means = [np.mean([h for h, y in zip(states, labels, strict=True) if y == k], axis=0)
             for k in range(classes)]  # fmt: skip
    centre = np.mean(means, axis=0)
    within, between = np.zeros((hidden, hidden)), np.zeros((hidden, hidden))
    for h, y in zip(states, labels, strict=True):
        within += np.outer(h - means[y], h - means[y]) / len(states)
    for mean in means:
        between += np.outer(mean - centre, mean - centre) / classes
    values, vectors = np.linalg.eigh(between)
    rank = min(classes - 1, hidden)
    along = [v @ within @ v / value for value, v in zip(values, vectors.T, strict=True)]
    return sum(along[hidden - rank :]) / classes


@pytest.mark.parametrize("hidden", [2, 3, 6, 20])
def test_collapse_is_the_spread_within_over_that_between(hidden):
    states, labels = geometry(hidden, hidden=hidden)
    expected = by_hand(states, labels)
    assert collapse.collapse(states, labels) == pytest.approx(expected)


def test_collapse_of_single_precision_is_computed_in_double():
    states, labels = geometry()
    single = states.astype(np.float32)
    expected = collapse.collapse(single.astype(float), labels)
    assert collapse.collapse(single, labels) == pytest.approx(expected, rel=1e-12)


def test_collapsed_classes_have_no_spread():
    states, labels = geometry()
    means = collapse.class_means(states, labels)
    assert collapse.collapse(means[labels], labels) == pytest.approx(0, abs=1e-12)
    halfway = (states + means[labels]) / 2
    quarter = collapse.collapse(states, labels) / 4
    assert collapse.collapse(halfway, labels) == pytest.approx(quarter)


def test_a_planted_spread_around_the_corners_of_a_simplex_is_found():
    labels = np.tile(np.arange(5), 4000)
    states = 2 * np.eye(8)[labels] + 0.1 * normal(0, 20_000, 8)
    # four directions, each with the variance 0.1^2 within and 2^2 / 5 between; over five classes
    assert collapse.collapse(states, labels) == pytest.approx(4 * 0.1**2 / 2**2, rel=0.02)


def test_collapse_does_not_depend_on_place_orientation_and_scale():
    states, labels = geometry()
    moved = 7 * states @ orthogonal(1, 6) + normal(2, 6)
    assert collapse.collapse(moved, labels) == pytest.approx(collapse.collapse(states, labels))


def test_collapse_does_not_depend_on_a_linear_map_of_what_the_means_span():
    states, labels = geometry()
    means = collapse.class_means(states, labels)
    Vt = np.linalg.svd(means - means.mean(axis=0))[2]
    span, rest = Vt[:3], Vt[3:]
    mapped = states @ span.T @ normal(1, 3, 3) @ span + states @ rest.T @ normal(2, 3, 3) @ rest
    assert collapse.collapse(mapped, labels) == pytest.approx(collapse.collapse(states, labels))
    few = states @ span.T  # the means span all there is: any map leaves it as it is
    expected = collapse.collapse(few, labels)
    assert collapse.collapse(few @ normal(3, 3, 3), labels) == pytest.approx(expected)


def centred_gram(means):
    centred = means - means.mean(axis=0)
    return centred @ centred.T


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_corners_of_a_simplex_do_not_deviate_from_one(classes):
    means = 3 * orthogonal(0, 12)[:classes] + normal(1, 12)
    found = collapse.simplex_deviation(centred_gram(means))
    assert found == pytest.approx(0, abs=1e-12)


def test_the_corners_of_a_square_deviate_from_a_simplex_by_their_angles():
    square = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    # four pairs have the cosine 0 and two -1, where a simplex of four has -1/3
    expected = (4 * abs(0 + 1 / 3) + 2 * abs(-1 + 1 / 3)) / 6
    assert collapse.simplex_deviation(centred_gram(square)) == pytest.approx(expected)


def test_the_deviation_from_a_simplex_does_not_depend_on_the_length_of_any_mean():
    gram, lengths = centred_gram(normal(0, 6, 9)), 1 + normal(1, 6) ** 2
    expected = collapse.simplex_deviation(gram)
    assert 0.05 < expected < 1
    scaled = gram * np.outer(lengths, lengths)
    assert collapse.simplex_deviation(scaled) == pytest.approx(expected)


def test_an_interval_is_written_without_negative_zeros():
    around = statistics.Interval(-0.001, -0.2, 0.004)
    assert around.text() == "0.00 (-0.20 to 0.00)"
    assert around.text("+.3f") == "-0.001 (-0.200 to +0.004)"
    assert statistics.Interval(-1e-9, 0.0, 1e-9).text("+.1f") == "+0.0 (+0.0 to +0.0)"
