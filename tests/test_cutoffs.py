import numpy as np
import pytest

from rnnatomy import cutoffs, svd


def random_case(seed=0, classes=4, hidden=6, samples=50):
    rng = np.random.default_rng(seed)
    labels = np.arange(samples, dtype=np.int32) % classes
    states = np.tanh(rng.normal(size=(samples, hidden)))
    return rng.normal(size=(classes, hidden)), rng.normal(size=classes), states, labels


def by_hand(W, bias, states, labels, kept):
    U, s, Vt = np.linalg.svd(W)
    rebuilt = sum((s[k] * np.outer(U[:, k], Vt[k]) for k in kept), np.zeros_like(W))
    hits, counts = np.zeros(len(W)), np.zeros(len(W))
    for h, label in zip(states, labels, strict=True):
        counts[label] += 1
        hits[label] += np.argmax(rebuilt @ h + bias) == label
    return hits / counts


@pytest.mark.parametrize("seed", range(3))
def test_cutoffs_equal_a_loop_that_rebuilds_the_readout(seed):
    W, *rest = random_case(seed)
    found = cutoffs.cutoffs(svd.svd(W), *rest)
    modes = range(4)
    np.testing.assert_array_equal(found.full, by_hand(W, *rest, modes))
    for rank in range(5):
        np.testing.assert_array_equal(found.nested[rank], by_hand(W, *rest, modes[:rank]))
    for cut in modes:
        kept = [k for k in modes if k != cut]
        np.testing.assert_array_equal(found.single[cut], by_hand(W, *rest, kept))


def test_a_class_loses_its_recall_when_exactly_its_direction_goes(planted):
    found = cutoffs.cutoffs(svd.svd(planted.readout), *planted[1:])
    np.testing.assert_array_equal(found.full, np.ones(5))
    for k in range(1, 5):
        np.testing.assert_array_equal(found.single[k], np.arange(5) != k)


def test_a_class_gains_its_recall_when_its_direction_is_kept(planted):
    found = cutoffs.cutoffs(svd.svd(planted.readout), *planted[1:])
    for rank in range(1, 6):
        np.testing.assert_array_equal(found.nested[rank], np.arange(5) < rank)


def test_nested_cutoffs_run_from_the_largest_bias_to_the_full_readout():
    W, bias, states, labels = random_case()
    found = cutoffs.cutoffs(svd.svd(W), bias, states, labels)
    np.testing.assert_array_equal(found.nested[0], np.arange(4) == bias.argmax())
    np.testing.assert_array_equal(found.nested[-1], found.full)
    assert found.nested.shape == (5, 4) and found.single.shape == (4, 4)


def test_confusion_counts_true_classes_in_rows():
    logits = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    labels = np.array([0, 1, 1, 2, 2, 0])
    np.testing.assert_array_equal(
        cutoffs.confusion(logits, labels), [[1, 0, 1], [1, 1, 0], [0, 0, 2]]
    )


def test_confusion_rows_sum_to_class_counts_and_recall_is_its_diagonal():
    W, bias, states, labels = random_case()
    logits = states @ W.T + bias
    table = cutoffs.confusion(logits, labels)
    np.testing.assert_array_equal(table.sum(axis=1), np.bincount(labels))
    np.testing.assert_allclose(cutoffs.recall(logits, labels), np.diag(table) / np.bincount(labels))


W, BIAS, STATES, LABELS = random_case()
BAD = {
    "states of another width": ((BIAS, STATES[:, :5], LABELS), "takes .sample, 6."),
    "states of one axis": ((BIAS, STATES[0], LABELS), "takes .sample, 6."),
    "bias of another size": ((BIAS[:3], STATES, LABELS), r"bias has shape \(3,\)"),
    "labels of another size": ((BIAS, STATES, LABELS[:9]), r"labels \(9,\).*\(50,\)"),
    "states not finite": ((BIAS, np.where(STATES > 0.5, np.nan, STATES), LABELS), "states: NaN"),
    "bias not finite": ((BIAS * np.inf, STATES, LABELS), "bias: NaN"),
    "a label above the classes": ((BIAS, STATES, LABELS + 1), "label 4 .* give 0 to 3"),
    "a label below 0": ((BIAS, STATES, LABELS - 1), "label -1 .* give 0 to 3"),
    "a class without samples": ((BIAS, STATES, np.maximum(LABELS, 1)), "class 0 has no sample"),
}


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, given, message):
    with pytest.raises(ValueError, match=message):
        cutoffs.cutoffs(svd.svd(W), *given)
