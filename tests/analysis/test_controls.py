import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import controls, matching, ranks, svd

HIDDEN = 6


def a_matrix(seed=0, columns=HIDDEN):
    return np.random.default_rng(seed).normal(size=(HIDDEN, columns))


def frobenius(matrix):
    return np.square(matrix).sum()


def test_shuffling_leaves_the_size_and_takes_the_structure():
    rng = np.random.default_rng(0)
    matrix = np.outer(rng.normal(size=60), rng.normal(size=40))
    (once,) = (controls.shuffled_spectrum(np.random.default_rng(1), matrix, 1),)
    assert frobenius(once) == pytest.approx(frobenius(matrix))
    mean = controls.shuffled_spectrum(rng, matrix, 5)
    assert ranks.effective_rank(svd.svd(matrix).s) == pytest.approx(1)
    assert ranks.effective_rank(mean) > 30 and (np.diff(mean) < 0).all()
    size = np.sqrt(np.square(matrix).mean())
    assert mean[0] < 1.6 * size * (np.sqrt(60) + np.sqrt(40))


@given(st.integers(0, 1000), st.floats(0, 1))
def test_random_directions_go_until_exactly_the_energy_is_lost(seed, lost):
    matrix = a_matrix(seed)
    found = controls.remove_random(np.random.default_rng(seed), matrix, lost)
    assert frobenius(found) == pytest.approx((1 - lost) * frobenius(matrix), abs=1e-9)
    # orthogonal directions: what is left and what has gone read different inputs
    gone = matrix - found
    rank = np.linalg.matrix_rank(found, tol=1e-6) + np.linalg.matrix_rank(gone, tol=1e-6)
    assert rank <= HIDDEN + 1
    # no choice of so many directions loses less than the cutoff
    cut = ranks.rank_for(svd.svd(matrix), 1 - lost)
    assert np.linalg.matrix_rank(found, tol=1e-9) >= min(cut, HIDDEN - 1)


def test_nothing_or_all_can_be_lost():
    matrix = a_matrix(columns=5)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(controls.remove_random(rng, matrix, 0.0), matrix, atol=1e-12)
    for _ in range(20):
        assert not controls.remove_random(rng, matrix, 1.0).any()
    assert not controls.remove_random(rng, np.zeros((3, 2)), 0.5).any()


def test_random_directions_do_not_prefer_strong_ones():
    """A cutoff keeps the planted direction; chance keeps it as often as any other."""
    rng = np.random.default_rng(0)
    parts = svd.svd(rng.normal(size=(30, 20)))
    matrix = svd.compose(parts._replace(s=np.linspace(3, 1, 20)))
    draws = [controls.remove_random(rng, matrix, 0.5) for _ in range(300)]
    left = np.diag(parts.U.T @ np.mean(draws, axis=0) @ parts.Vt.T)
    np.testing.assert_allclose(left / np.linspace(3, 1, 20), 0.5, atol=0.1)
    cut = ranks.low_rank({"": svd.svd(matrix)}, {"": ranks.rank_for(svd.svd(matrix), 0.5)})[""]
    assert np.diag(parts.U.T @ cut @ parts.Vt.T)[0] == pytest.approx(3)


ZERO, RNG = np.zeros((3, HIDDEN)), np.random.default_rng(0)

BAD = {
    "too much lost": (lambda: controls.remove_random(RNG, ZERO, 1.1), "fraction 1.1 is out"),
    "no draw": (lambda: controls.shuffled_spectrum(RNG, ZERO, 0), "draws is 0: give a whole"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, call, message):
    with pytest.raises(ValueError, match=message):
        call()


seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def orthogonal(seed, size):
    return np.linalg.qr(normal(seed, size, size))[0]


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


@pytest.mark.parametrize("basis", [2 * np.eye(3), np.ones((3, 3)), np.eye(3)[:, :2], np.eye(4)])
def test_directions_to_take_a_readout_apart_along_are_orthonormal(as_users, basis):
    with pytest.raises(ValueError, match=r"not orthonormal|of basis does not fit: give \(3, 3\)"):
        controls.rotate(np.eye(3), basis)


@pytest.mark.parametrize("size", [0, -1, 2.5, np.nan])
def test_a_random_basis_has_directions(as_users, size):
    with pytest.raises(ValueError, match=f"size is {size}: give a whole number of at least 1"):
        controls.random_basis(np.random.default_rng(0), size)


# random left vectors


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_random_left_vectors_are_orthogonal_and_the_last_is_constant(classes):
    rng = np.random.default_rng(0)
    for _ in range(5):
        left = controls.random_left_vectors(rng, classes)
        np.testing.assert_allclose(left.T @ left, np.eye(classes), atol=1e-12)
        np.testing.assert_allclose(left[:, -1], 1 / np.sqrt(classes))
        np.testing.assert_allclose(left[:, :-1].sum(axis=0), 0, atol=1e-12)


def test_random_left_vectors_prefer_no_class():
    rng, classes = np.random.default_rng(0), 4
    drawn = np.stack([controls.random_left_vectors(rng, classes) for _ in range(8000)])
    for k in range(classes - 1):
        vectors = drawn[:, :, k]
        np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=0.03)
        # a unit vector in the plane beside the constant one, all its directions alike
        expected = (np.eye(classes) - 1 / classes) / (classes - 1)
        np.testing.assert_allclose(vectors.T @ vectors / len(vectors), expected, atol=0.02)


@pytest.mark.parametrize("classes", [1, 0, 2.5, None])
def test_left_vectors_are_of_at_least_two_classes(as_users, classes):
    with pytest.raises(ValueError, match=f"classes is {classes}: give a whole number of at least"):
        controls.random_left_vectors(np.random.default_rng(0), classes)


# losses without a random direction


def a_classifier(seed, classes=4, hidden=7, samples=60):
    labels = np.arange(samples) % classes
    readout, bias = normal(seed, classes, hidden), 0.2 * normal(seed + 1, classes)
    return readout, bias, readout[labels] + 1.5 * normal(seed + 2, samples, hidden), labels


def recall_of(logits, labels):
    answers = [max(range(len(row)), key=row.__getitem__) for row in logits.tolist()]
    right = [answer == label for answer, label in zip(answers, labels, strict=True)]
    return [np.mean([r for r, k in zip(right, labels, strict=True) if k == label])
            for label in range(max(labels) + 1)]  # fmt: skip


@given(seeds)
def test_losses_without_random_directions_are_those_of_a_slow_loop(seed):
    readout, bias, states, labels = a_classifier(seed)
    found = controls.losses_without_random(
        np.random.default_rng(seed), readout, bias, states, labels, 5
    )
    # one draw of all numbers, so networks can share a generator one after the other
    drawn = np.random.default_rng(seed).standard_normal((5, 3))
    centred = readout - readout.mean(axis=0)
    space = svd.svd(centred).Vt[:3]
    whole = np.array(recall_of(states @ readout.T + bias, labels))
    for row, mix in zip(found, drawn, strict=True):
        q = sum(share * vector for share, vector in zip(mix, space, strict=True))
        projection = np.eye(7) - np.outer(q, q) / (q @ q)
        left = recall_of(states @ projection @ readout.T + bias, labels)
        np.testing.assert_allclose(row, whole - left, atol=1e-12)


def test_several_networks_take_their_directions_from_one_generator_in_turn():
    generator = np.random.default_rng(5)
    for place in range(3):
        network = a_classifier(place)
        found = controls.losses_without_random(generator, *network, 4)
        onward = np.random.default_rng(5)
        onward.standard_normal((4 * place, 3))
        np.testing.assert_array_equal(controls.losses_without_random(onward, *network, 4), found)
    assert generator.standard_normal() == onward.standard_normal()


def test_what_the_readout_does_not_read_costs_nothing():
    readout, bias, states, labels = a_classifier(0)
    expected = controls.losses_without_random(
        np.random.default_rng(1), readout, bias, states, labels, 20
    )
    assert expected.any()
    # units without weight, and what is written alike for all classes
    wide = np.hstack([readout, np.zeros((4, 3))]) + 100 * normal(3, 10)
    extended = np.hstack([states, 100 * normal(4, 60, 3)])
    directions = svd.svd(svd.centre_classes(wide)).Vt[:3]
    np.testing.assert_allclose(directions[:, 7:], 0, atol=1e-9)
    found = controls.losses_without_random(
        np.random.default_rng(1), wide, bias, extended, labels, 20
    )
    np.testing.assert_array_equal(found, expected)


def test_states_along_one_direction_lose_everything_or_nothing():
    # two classes: all that changes an answer is one direction
    readout = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    states = np.array([[2.0, 5.0, 1.0], [-2.0, 3.0, 1.0]])
    found = controls.losses_without_random(
        np.random.default_rng(0), readout, np.array([0.0, 0.1]), states, np.array([0, 1]), 6
    )
    np.testing.assert_array_equal(found, np.tile([1.0, 0.0], (6, 1)))


@pytest.mark.parametrize("draws", [0, -1, 1.5, None])
def test_there_is_at_least_one_random_direction(as_users, draws):
    with pytest.raises(ValueError, match=f"draws is {draws}: give a whole number of at least 1"):
        controls.losses_without_random(np.random.default_rng(0), *a_classifier(0), draws)


def test_fewer_units_than_classes_have_fewer_directions():
    found = controls.losses_without_random(np.random.default_rng(0), *a_classifier(0, 4, 2), 3)
    assert found.shape == (3, 4)
