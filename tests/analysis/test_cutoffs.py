from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import cutoffs, svd
from rnnatomy.networks import runs


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
    "states of another width": ((BIAS, STATES[:, :5], LABELS), r"states .* give \(sample, 6\)"),
    "states of one axis": ((BIAS, STATES[0], LABELS), r"states .* give \(sample, 6\)"),
    "bias of another size": ((BIAS[:3], STATES, LABELS), r"\(3,\) of bias .* give \(4,\)"),
    "labels of another size": ((BIAS, STATES, LABELS[:9]), r"\(9,\) of labels .* each of 50 samp"),
    "states not finite": (
        (BIAS, np.where(STATES > 0.5, np.nan, STATES), LABELS),
        "NaN or infinity in states",
    ),
    "bias not finite": ((BIAS * np.inf, STATES, LABELS), "NaN or infinity in bias"),
    "a label above the classes": ((BIAS, STATES, LABELS + 1), "label 4 .* give 0 to 3"),
    "a label below 0": ((BIAS, STATES, LABELS - 1), "label -1 .* give 0 to 3"),
    "a class without samples": ((BIAS, STATES, np.maximum(LABELS, 1)), "class 0 has no sample"),
}


@pytest.mark.parametrize("measure", [cutoffs.cutoffs, cutoffs.every_cutoff])
@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, measure, given, message):
    with pytest.raises(ValueError, match=message):
        measure(svd.svd(W), *given)


def bits(subset, modes=4):
    return [k for k in range(modes) if subset >> k & 1]


@pytest.mark.parametrize("batch", [1, 7, 50, 500])
def test_every_cutoff_equals_a_loop_over_the_subsets(batch):
    W, *rest = random_case()
    found = cutoffs.every_cutoff(svd.svd(W), *rest, batch=batch)
    expected = [by_hand(W, *rest, bits(subset)) for subset in range(16)]
    np.testing.assert_array_equal(found, expected)


def test_every_cutoff_takes_labels_in_any_order_and_classes_of_any_size():
    W, bias, states, _ = random_case(1)
    labels = np.random.default_rng(2).permutation([0] * 3 + [1] * 30 + [2] * 1 + [3] * 16)
    found = cutoffs.every_cutoff(svd.svd(W), bias, states, labels)
    np.testing.assert_array_equal(found[11], by_hand(W, bias, states, labels, bits(11)))


def test_every_cutoff_holds_the_nested_and_the_single_ones():
    run = runs.load_run("mnist-0")
    given = svd.svd(run.readout), run.bias, run.states, run.labels
    table, few = cutoffs.every_cutoff(*given), cutoffs.cutoffs(*given)
    assert table.shape == (1024, 10)
    one_image = 1.001 / np.bincount(run.labels).min()
    nested, single = [2**r - 1 for r in range(11)], [1023 - 2**k for k in range(10)]
    np.testing.assert_allclose(table[nested], few.nested, atol=one_image)
    np.testing.assert_allclose(table[single], few.single, atol=one_image)


def test_a_tie_goes_to_the_class_with_the_lower_number():
    W, _, states, labels = random_case()
    found = cutoffs.every_cutoff(svd.svd(W), np.zeros(4), states, labels)
    np.testing.assert_array_equal(found[0], [1, 0, 0, 0])


def test_too_many_directions_are_refused_with_a_way_out():
    W, bias, states, labels = random_case(classes=13, hidden=20)
    with pytest.raises(ValueError, match=r"2\^13 cutoffs.*at most 12.*cutoffs\(\)"):
        cutoffs.every_cutoff(svd.svd(W), bias, states, labels)


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6))
def test_single_and_nested_cutoffs_are_picked_out_of_all(seed, classes, hidden):
    W, *rest = random_case(seed, classes, hidden, samples=12)
    parts = svd.svd(W)
    subsets = range(2 ** len(parts.s))
    table = np.array([by_hand(W, *rest, bits(subset, len(parts.s))) for subset in subsets])
    found, expected = cutoffs.single_and_nested(table), cutoffs.cutoffs(parts, *rest)
    np.testing.assert_array_equal(found.full, expected.full)
    np.testing.assert_array_equal(found.nested, expected.nested)
    np.testing.assert_array_equal(found.single, expected.single)


def some_recalls(modes=4, classes=3):
    return np.random.default_rng(0).random((2**modes, classes))


def test_shapley_values_are_the_mean_gain_over_all_orders():
    recalls = some_recalls()
    gains = np.zeros((4, 3))
    for order in permutations(range(4)):
        subset = 0
        for k in order:
            gains[k] += recalls[subset | 1 << k] - recalls[subset]
            subset |= 1 << k
    np.testing.assert_allclose(cutoffs.shapley(recalls), gains / 24)


def test_shapley_values_sum_to_full_minus_empty():
    recalls = some_recalls(modes=10)
    np.testing.assert_allclose(cutoffs.shapley(recalls).sum(axis=0), recalls[-1] - recalls[0])


def test_a_direction_that_changes_nothing_is_worth_nothing():
    recalls = some_recalls()[np.arange(16) & ~0b0100]
    assert np.abs(cutoffs.shapley(recalls)[2]).max() < 1e-12


def test_a_planted_direction_is_worth_its_class(planted):
    table = cutoffs.every_cutoff(svd.svd(planted.readout), *planted[1:])
    values = cutoffs.shapley(table)
    np.testing.assert_allclose(values[1:, 1:], np.eye(4), atol=1e-12)


def test_interactions_are_the_mean_joint_gain_of_a_pair():
    recalls = some_recalls(modes=3)
    found = cutoffs.interactions(recalls)
    v = recalls
    alone = v[0b011] - v[0b001] - v[0b010] + v[0]
    beside = v[0b111] - v[0b101] - v[0b110] + v[0b100]
    np.testing.assert_allclose(found[0, 1], (alone + beside) / 2)
    np.testing.assert_array_equal(found, found.transpose(1, 0, 2))
    assert not found[[0, 1, 2], [0, 1, 2]].any()


def test_directions_that_add_up_do_not_interact():
    worth = np.array([0.1, 0.2, 0.4])
    recalls = np.array([[sum(worth[bits(subset, 3)])] for subset in range(8)])
    assert np.abs(cutoffs.interactions(recalls)).max() < 1e-12
    np.testing.assert_allclose(cutoffs.shapley(recalls)[:, 0], worth)


@pytest.mark.parametrize(
    "function", [cutoffs.shapley, cutoffs.interactions, cutoffs.single_and_nested]
)
def test_a_table_that_is_not_one_row_a_subset_is_refused(function):
    with pytest.raises(ValueError, match="7 rows are given"):
        function(np.zeros((7, 2)))


@pytest.mark.parametrize("batch", [0, -1, 1.5, np.nan, True])
def test_a_batch_has_samples(as_users, batch):
    with pytest.raises(ValueError, match=f"batch is {batch}: give a whole number of samples"):
        cutoffs.every_cutoff(svd.svd(W), BIAS, STATES, LABELS, batch=batch)


# finite in double precision; in single precision the first two are infinite, and of the third
# only sums; the last ones are zero there
@pytest.mark.parametrize("factor", [1e300, 1e60, 3e37, 1e-30, 1e-60])
def test_logits_beyond_single_precision_are_refused(factor):
    given = BIAS * factor, STATES, LABELS
    with pytest.raises(ValueError, match="too far for single precision"):
        cutoffs.every_cutoff(svd.svd(W * factor), *given)
    expected = cutoffs.cutoffs(svd.svd(W), BIAS, STATES, LABELS)
    for found, wanted in zip(cutoffs.cutoffs(svd.svd(W * factor), *given), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("factor", [2.0**100, 2.0**-40])
def test_no_cutoff_depends_on_the_unit_of_the_logits(factor):
    given = svd.svd(W * factor), BIAS * factor, STATES, LABELS
    expected = cutoffs.every_cutoff(svd.svd(W), BIAS, STATES, LABELS)
    np.testing.assert_array_equal(cutoffs.every_cutoff(*given), expected)


def test_logits_beyond_double_precision_are_refused():
    for measure in (cutoffs.cutoffs, cutoffs.every_cutoff):
        with pytest.raises(ValueError, match=r"NaN or infinity in logits|for single precision"):
            measure(svd.svd(W * 1e200), BIAS, STATES * 1e200, LABELS)


def test_there_is_a_label_for_each_sample(as_users):
    logits = np.random.default_rng(0).normal(size=(200, 3))
    for count in (cutoffs.confusion, cutoffs.recall):
        with pytest.raises(ValueError, match=r"\(1,\) of labels .* each of 200 samples"):
            count(logits, np.array([1]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint64])
def test_small_whole_numbers_do_for_labels_of_many_classes(as_users, dtype):
    labels = np.arange(120)
    table = cutoffs.confusion(np.eye(120)[::-1], labels.astype(dtype))
    np.testing.assert_array_equal(table, np.eye(120, dtype=int)[::-1])


def test_without_directions_there_is_no_worth():
    assert cutoffs.shapley(np.ones((1, 3))).shape == (0, 3)
    assert cutoffs.interactions(np.ones((1, 3))).shape == (0, 0, 3)
