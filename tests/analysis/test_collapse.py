import numpy as np
import pytest

from rnnatomy.analysis import collapse


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def orthogonal(seed, size):
    return np.linalg.qr(normal(seed, size, size))[0]


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


@pytest.mark.parametrize("function", [collapse.class_means, collapse.collapse])
def test_a_class_far_beyond_the_samples_leaves_one_without_any(function):
    with pytest.raises(ValueError, match="class 1 has no sample: it has no mean"):
        function(np.eye(3), np.array([0, 2, 10**12]))


@pytest.mark.parametrize("function", [collapse.class_means, collapse.collapse])
def test_classes_are_counted_from_zero(function):
    with pytest.raises(ValueError, match="label -1 is out of range: give 0 or above"):
        function(np.eye(3), np.array([0, 1, -1]))


def test_means_too_large_for_their_precision_are_refused():
    with pytest.raises(ValueError, match="NaN or infinity in the class means"):
        collapse.class_means(np.full((4, 3), 3e38, np.float32), np.array([0, 0, 1, 1]))


def test_one_class_cannot_be_told_from_collapse():
    with pytest.raises(ValueError, match="all samples are of one class"):
        collapse.collapse(geometry()[0], np.zeros(204, int))


def test_classes_with_the_same_mean_have_not_collapsed():
    states = np.array([[1.0], [-1.0], [2.0], [-2.0]])
    with pytest.raises(ValueError, match="all class means are the same"):
        collapse.collapse(states, np.array([0, 0, 1, 1]))


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


@pytest.mark.parametrize("gram", [np.ones((1, 1)), np.ones((2, 3))])
def test_inner_products_are_of_two_classes_or_more(as_users, gram):
    with pytest.raises(ValueError, match=r"give \(class, class\), of at least two classes"):
        collapse.simplex_deviation(gram)


@pytest.mark.parametrize("length", [0.0, -1.0])
def test_a_mean_in_the_centre_has_no_direction(length):
    with pytest.raises(ValueError, match="a mean has no length"):
        collapse.simplex_deviation(np.diag([1.0, length, 1.0]))
