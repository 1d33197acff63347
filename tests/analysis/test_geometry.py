from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

from rnnatomy.analysis import geometry

seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def centred(matrix):
    return matrix - matrix.mean(axis=0)


def products(W, M):
    """What ``alignment`` takes, for a readout and centred means of one network."""
    return W @ M.T, M @ M.T, np.array((W**2).sum())


# spread


@given(seeds)
def test_spread_is_that_of_a_loop(seed):
    states, labels = normal(seed, 30, 4), np.random.default_rng(seed).permutation(np.arange(30) % 3)
    for hidden, found in enumerate(geometry.class_spread(states, labels)):
        variances = []
        for label in range(3):
            own = [x for x, k in zip(states[:, hidden], labels, strict=True) if k == label]
            variances.append(sum((x - sum(own) / len(own)) ** 2 for x in own) / len(own))
        assert found == pytest.approx((sum(variances) / 3) ** 0.5)


def test_a_planted_spread_is_recovered_whatever_the_means_are():
    labels = np.arange(6000) % 3
    states = 100 * normal(0, 3, 2)[labels] + [0.5, 2.0] * normal(1, 6000, 2)
    np.testing.assert_allclose(geometry.class_spread(states, labels), [0.5, 2.0], rtol=0.03)


def test_classes_count_alike_however_many_samples_they_have():
    states = np.array([[-1.0], [1.0], *[[5.0]] * 50])
    found = geometry.class_spread(states, np.array([0, 0, *[1] * 50]))
    np.testing.assert_allclose(found, np.sqrt(0.5))


def test_collapsed_classes_have_no_spread():
    labels = np.arange(12) % 3
    assert not geometry.class_spread(np.eye(3)[labels], labels).any()


@pytest.mark.parametrize(
    ("states", "labels", "message"),
    [
        (np.ones((2, 3)), [0, 2], "class 1 has no sample"),
        (np.ones((2, 3)), [0], "labels does not fit"),
        (np.ones((2, 3)), [0, 0.5], "in labels is not allowed: give whole numbers"),
        (np.ones(3), [0, 0, 0], "states does not fit"),
        (np.ones((0, 3)), [], "states does not fit"),
        ([[1.0], [np.nan]], [0, 1], "NaN or infinity in states"),
        ([[1.0], [1j]], [0, 1], "in states is not allowed: give real"),
        ([[1e200], [-1e200]], [0, 0], "in states is too large to square"),
    ],
)
def test_spread_takes_finite_states_with_a_class_each(as_users, states, labels, message):
    with pytest.raises(ValueError, match=message):
        geometry.class_spread(states, labels)


# alignment


@given(seeds, st.floats(0.01, 100))
def test_a_readout_that_is_the_class_means_is_aligned(seed, scale):
    M = centred(normal(seed, 4, 6))
    assert geometry.alignment(*products(scale * M, M)) == pytest.approx(1)
    assert geometry.alignment(*products(-scale * M, M)) == pytest.approx(-1)


def test_a_readout_orthogonal_to_the_class_means_is_not():
    M = centred(normal(0, 4, 6))
    W = normal(1, 4, 6)
    W -= (W * M).sum() / (M**2).sum() * M
    assert geometry.alignment(*products(W, M)) == pytest.approx(0, abs=1e-12)
    # rows that have no hidden unit in common
    M, W = np.hstack([M, 0 * M]), np.hstack([0 * M, M])
    assert geometry.alignment(*products(W, M)) == 0


@given(seeds)
def test_alignment_is_the_cosine_of_two_long_vectors_one_for_each_network(seed):
    W, M = normal(seed, 2, 3, 4, 6), normal(seed + 1, 2, 3, 4, 6)
    cross, gram = W @ M.swapaxes(-1, -2), M @ M.swapaxes(-1, -2)
    found = geometry.alignment(cross, gram, (W**2).sum(axis=(-1, -2)))
    assert found.shape == (2, 3)
    for place in np.ndindex(2, 3):
        w, m = W[place].ravel(), M[place].ravel()
        assert found[place] == pytest.approx(w @ m / np.linalg.norm(w) / np.linalg.norm(m))


def test_what_no_answer_depends_on_is_no_misalignment():
    # means are centred, so what the readout writes along the constant vector has no part in cross
    M = centred(normal(0, 4, 6))
    W = 2 * M + normal(1, 6)
    energy = np.array((centred(W) ** 2).sum())
    assert geometry.alignment(W @ M.T, M @ M.T, energy) == pytest.approx(1)


def test_lists_of_inner_products_do(as_users):
    found = geometry.alignment([[[1, 0], [0, 3]]], [[[2, 1], [1, 2]]], [9])
    np.testing.assert_allclose(found, [4 / 6])


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 3), (3, 3), (1,)],
        [(2, 3, 3), (2, 3, 3), ()],
        [(3, 3), (2, 2), ()],
        [(3, 4), (3, 4), ()],
        [(3,), (3,), ()],
        [(), (), ()],
        [(0, 3, 3), (0, 3, 3), (0,)],
    ],
)
def test_inner_products_fit_each_other(as_users, shapes):
    with pytest.raises(ValueError, match=r"^cross, gram and energy have shapes") as caught:
        geometry.alignment(*(np.ones(shape) for shape in shapes))
    assert ". " not in str(caught.value)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(("number", "message"), [(np.nan, "NaN"), (np.inf, "inf"), (1j, "real")])
def test_inner_products_are_finite_real_numbers(as_users, place, number, message):
    given = [np.ones((2, 2)), np.ones((2, 2)), np.ones(())]
    given[place] = given[place] * number
    name = ("cross", "gram", "energy")[place]
    with pytest.raises(ValueError, match=rf"{message}.* {name} is not|in {name} is not.*{message}"):
        geometry.alignment(*given)


@pytest.mark.parametrize(("means", "energy"), [(0, 1), (1, 0), (-1, -1), (1, -1)])
def test_a_readout_and_its_means_have_a_length(means, energy):
    gram = means * np.eye(3)
    with pytest.raises(ValueError, match="a readout or its means have no length"):
        geometry.alignment(np.eye(3), gram, np.array(float(energy)))


# distances


@given(seeds, st.integers(1, 7), st.integers(1, 5))
def test_distances_are_those_of_scipy(seed, classes, feature):
    points = normal(seed, classes, feature)
    np.testing.assert_allclose(geometry.pair_distances(points), pdist(points))


def test_distances_keep_their_precision():
    points = normal(0, 5, 4).astype(np.float32)
    found = geometry.pair_distances(points)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pdist(points), rtol=1e-6)


def test_corners_of_a_simplex_are_equally_far_apart():
    np.testing.assert_allclose(geometry.pair_distances(np.eye(10)), np.full(45, np.sqrt(2)))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.ones(3), "points does not fit"),
        (np.ones((0, 2)), "points does not fit"),
        ([[1.0], [np.inf]], "NaN or infinity in points"),
        ([[1.0], [1j]], "give real numbers"),
        ([[1.0], [1.0, 2.0]], "differ in length"),
    ],
)
def test_distances_are_of_finite_points(as_users, points, message):
    with pytest.raises(ValueError, match=message):
        geometry.pair_distances(points)


# confusions


@given(seeds, st.integers(1, 6))
def test_confusions_count_both_ways(seed, classes):
    counts = np.random.default_rng(seed).integers(0, 99, size=(classes, classes))
    found = geometry.confusions(counts)
    pairs = list(combinations(range(classes), 2))
    assert found.tolist() == [counts[i, j] + counts[j, i] for i, j in pairs]
    np.testing.assert_array_equal(geometry.confusions(counts.T), found)
    # right answers do not count
    np.testing.assert_array_equal(geometry.confusions(counts + np.diag(range(classes))), found)


def test_confusions_stand_beside_the_distances_of_the_same_pair():
    distance = squareform(pdist(normal(0, 5, 3)))
    np.testing.assert_allclose(
        geometry.confusions((1000 * distance).astype(int)),
        2 * (1000 * geometry.pair_distances(normal(0, 5, 3))).astype(int),
    )


def test_counts_of_small_types_do_not_overflow():
    counts = np.full((2, 2), 200, np.uint8)
    assert geometry.confusions(counts).tolist() == [400.0]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones((2, 3)), r"shape \(2, 3\) of counts does not fit: give \(class, class\)"),
        (np.ones(4), "of counts does not fit"),
        ([[1.0, np.nan], [0.0, 1.0]], "NaN or infinity in counts"),
        (np.eye(2) * 1j, "give real numbers"),
        ([], "of counts does not fit"),
    ],
)
def test_a_table_of_answers_is_square_and_finite(as_users, counts, message):
    with pytest.raises(ValueError, match=message):
        geometry.confusions(counts)
