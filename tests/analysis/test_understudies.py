import numpy as np
import pytest

from rnnatomy.analysis import controls, cutoffs, svd, understudies


def planted():
    """Two classes told apart by either of two directions, a third by one alone."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 200)
    centres = np.array([[-1.0, -1, -1], [-1, 1, 1], [3, 0, 0]])
    return centres[labels] + 0.01 * rng.normal(size=(600, 3)), labels


def test_an_understudy_is_found_where_it_was_planted():
    states, labels = planted()
    W = np.array([[-1.0, -1, -1], [-1, 1, 1], [1, 0, 0]])
    # removed along what states carry, not along what is written: rows of W in a basis of classes
    parts = svd.svd(W)
    recalls = cutoffs.every_cutoff(parts, np.array([0, -0.1, 0.1]), states, labels)
    removed = cutoffs.removed(recalls)
    found = understudies.find(removed, understudies.Rule())
    first, second = cutoffs.pair_numbers(3)
    for pair in range(3):
        for label in range(3):
            alone = [removed.single[k, label] for k in (first[pair], second[pair])]
            whole, both = removed.full[label], removed.pairs[pair, label]
            expected = max(alone) >= 0.95 * whole and min(alone) >= 0.5 * whole
            assert found[pair, label] == (expected and both <= 0.1 < whole)


def removed(full, star, understudy, both):
    return cutoffs.Removed(np.array([full]), np.array([[star], [understudy]]), np.array([[both]]))


@pytest.mark.parametrize(
    ("recalls", "expected"),
    [
        ((0.99, 0.63, 0.99, 0.03), True),
        ((0.99, 0.99, 0.63, 0.03), True),
        ((0.99, 0.99, 0.99, 0.03), True),
        ((0.99, 0.40, 0.99, 0.03), False),  # the star is everything by itself
        ((0.99, 0.80, 0.90, 0.03), False),  # both cost something
        ((0.99, 0.63, 0.99, 0.20), False),  # something is left
        ((0.05, 0.05, 0.05, 0.00), False),  # nothing to be lost
    ],
)
def test_the_rule(recalls, expected):
    found = understudies.find(removed(*recalls), understudies.Rule())
    assert found.shape == (1, 1) and found[0, 0] == expected


def test_several_bases_are_looked_at_one_by_one():
    rng = np.random.default_rng(1)
    tables = [rng.uniform(size=shape) for shape in ((4, 3), (4, 5, 3), (4, 10, 3))]
    rule = understudies.Rule(0.5, 0.2, 0.6)
    many = understudies.find(cutoffs.Removed(*tables), rule)
    assert many.shape == (4, 10, 3) and many.any()
    for row in range(4):
        one = cutoffs.Removed(*(table[row] for table in tables))
        np.testing.assert_array_equal(understudies.find(one, rule), many[row])


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (([1.0], [[1.0]], np.ones((0, 1))), "at least two directions"),
        (([1.0], [[1.0], [1.0]], [[1.0], [1.0]]), r"shape \(2, 1\) of pairs"),
        (([1.0], [[1.0], [np.nan]], [[1.0]]), "NaN or infinity in single"),
        (([1.0, 1.0], [[1.0], [1.0]], [[1.0]]), "do not fit"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tables, message):
    given = cutoffs.Removed(*map(np.asarray, tables))
    with pytest.raises(ValueError, match=message):
        understudies.find(given, understudies.Rule())


def test_a_rule_is_made_of_fractions():
    with pytest.raises(ValueError, match=r"fraction 1.5 is out of range"):
        understudies.find(removed(1, 1, 1, 1), understudies.Rule(understudy=1.5))


def network(seed=0, classes=5, hidden=8, samples=400):
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    W, b = rng.normal(size=(classes, hidden)), rng.normal(size=classes)
    return W, b, rng.normal(size=(samples, hidden)) + 2 * W[labels], labels


def test_directions_of_any_basis_are_removed_as_those_of_the_readout():
    W, b, states, labels = network()
    parts = svd.svd(W)
    recalls = cutoffs.every_cutoff(parts, b, states, labels)
    expected = cutoffs.removed(recalls)
    found = cutoffs.without_directions(parts.U[None], W, b, states, labels)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours[0], theirs, atol=1e-12)
    few = cutoffs.removed(recalls, 3)
    np.testing.assert_array_equal(few.single, expected.single[:3])
    np.testing.assert_array_equal(few.pairs, expected.pairs[[0, 1, 4]])


def test_random_directions_are_removed_from_the_matrix():
    W, b, states, labels = network(1)
    basis = controls.random_left_vectors(np.random.default_rng(2), 5)[:, :4]
    found = cutoffs.without_directions(basis[None], W, b, states, labels)
    first, second = cutoffs.pair_numbers(4)
    for k, q in enumerate(basis.T):
        cut = W - np.outer(q, q @ W)
        np.testing.assert_allclose(
            found.single[0, k], cutoffs.recall(states @ cut.T + b, labels), atol=1e-12
        )
    for pair, (k, other) in enumerate(zip(first, second, strict=True)):
        Q = basis[:, [k, other]]
        cut = W - Q @ Q.T @ W
        np.testing.assert_allclose(
            found.pairs[0, pair], cutoffs.recall(states @ cut.T + b, labels), atol=1e-12
        )


def test_bases_are_orthonormal():
    W, b, states, labels = network()
    with pytest.raises(ValueError, match="not orthonormal"):
        cutoffs.without_directions(np.ones((1, 5, 2)), W, b, states, labels)


def test_margins_are_those_of_each_sample():
    W, b, states, labels = network(3)
    parts = svd.svd(W)
    found = cutoffs.every_margin(parts, b, states, labels)
    for number in (0, 5, 19, 31):
        kept = np.array([number >> k & 1 for k in range(5)])
        logits = states @ ((parts.U * parts.s * kept) @ parts.Vt).T + b
        true = logits[np.arange(len(labels)), labels]
        logits[np.arange(len(labels)), labels] = -np.inf
        margin = true - logits.max(axis=1)
        means = [margin[labels == k].mean() for k in range(5)]
        np.testing.assert_allclose(found[number], means, rtol=1e-4, atol=1e-4)
    total = cutoffs.shapley(found).sum(axis=0)
    np.testing.assert_allclose(total, found[-1] - found[0], atol=1e-9)
