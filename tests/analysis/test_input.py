"""What every analysis takes and refuses, whatever it is about: one call of each is listed here."""

import importlib
import inspect
import re
from functools import partial

import numpy as np
import pytest

from rnnatomy.analysis import (
    checks,
    clusters,
    collapse,
    controls,
    cutoffs,
    dynamics,
    explained,
    geometry,
    matching,
    pod,
    points,
    ranks,
    sampled,
    segments,
    separability,
    similarity,
    statistics,
    subsets,
    svd,
    tails,
    verdicts,
)
from rnnatomy.analysis import places as where


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def rng():
    return np.random.default_rng(0)


def with_parts(function, *rest):
    """Call a function of a decomposition, of which each part is an argument."""
    return lambda U, s, Vt: function(svd.SVD(U, s, Vt), *rest)


def with_readout(function):
    return lambda U, s, Vt, *rest: function(svd.SVD(U, s, Vt), *rest)


def with_basis(function, *rest):
    return lambda modes, s, mean: function(pod.POD(modes, s, mean, 30, BASIS.energy), *rest)


def ward(cloud, count):
    return clusters.agglomerative(cloud, count, "ward")


def onward(state, _):
    return np.stack([state, state / 2], axis=1)


def total(kept):
    return float(sum(kept.values()))


MATRIX = normal(0, 3, 5)
PARTS = svd.svd(MATRIX)
TURNED = np.linalg.qr(normal(1, 3, 3))[0]
LABELS = np.arange(24) % 3
STATES = normal(2, 24, 5) + np.eye(3, 5)[LABELS]
READOUT = (*PARTS, normal(3, 3), STATES, LABELS)
RECALLS = np.random.default_rng(4).random((8, 3))
TARGETS = normal(14, 24, 5)
SEQUENCES, ENCODER = normal(5, 24, 4, 5), normal(6, 24, 2, 5)
BASIS = pod.pod(normal(7, 30, 5), centred=True)
FRAMES = np.repeat([2, 0, 1, 0, 2], [4, 1, 3, 2, 5])
LSTM = ("a", "b")

# whether something holds, in each of twelve networks
SIDES = np.eye(12)[0], np.tile([1.0, 0], 6)
# the arrays of each call; those of whole numbers are labels
CALLS = {
    "clusters.kmeans": (lambda cloud: clusters.kmeans(cloud, 3, rng()), STATES),
    "clusters.agglomerative": (partial(ward, count=3), STATES),
    "clusters.count_clusters": (lambda cloud: clusters.count_clusters(cloud, [2, 3], ward), STATES),
    "clusters.agreement": (clusters.agreement, LABELS % 2, LABELS),
    "clusters.relabel": (clusters.relabel, LABELS % 2, LABELS),
    "clusters.score_views": (lambda *of: clusters.score_views(*of, rng()), SEQUENCES, LABELS),
    "collapse.class_means": (collapse.class_means, STATES, LABELS),
    "collapse.collapse": (collapse.collapse, STATES, LABELS),
    "collapse.simplex_deviation": (collapse.simplex_deviation, MATRIX @ MATRIX.T),
    "controls.permute_classes": (lambda t: controls.permute_classes(t, rng()), SEQUENCES),
    "controls.rotate": (controls.rotate, MATRIX, TURNED),
    "controls.shuffled_spectrum": (lambda m: controls.shuffled_spectrum(rng(), m, 2), MATRIX),
    "controls.remove_random": (lambda m: controls.remove_random(rng(), m, 0.3), MATRIX),
    "controls.losses_without_random": (
        lambda *of: controls.losses_without_random(rng(), *of, 2),
        MATRIX,
        *READOUT[3:],
    ),
    "cutoffs.cutoffs": (with_readout(cutoffs.cutoffs), *READOUT),
    "cutoffs.every_cutoff": (with_readout(cutoffs.every_cutoff), *READOUT),
    "cutoffs.single_and_nested": (cutoffs.single_and_nested, RECALLS),
    "cutoffs.shapley": (cutoffs.shapley, RECALLS),
    "cutoffs.removed": (cutoffs.removed, RECALLS),
    "cutoffs.every_margin": (with_readout(cutoffs.every_margin), *READOUT),
    "cutoffs.without_directions": (
        lambda *of: cutoffs.without_directions(TURNED[None], *of),
        MATRIX,
        *READOUT[3:],
    ),
    "cutoffs.interactions": (cutoffs.interactions, RECALLS),
    "cutoffs.recall": (cutoffs.recall, STATES, np.arange(24) % 5),
    "cutoffs.confusion": (cutoffs.confusion, STATES, LABELS),
    "dynamics.approach": (dynamics.approach, ENCODER, SEQUENCES, LABELS),
    "dynamics.push": (
        lambda *of: dynamics.push(onward, *of, 1, 0.2, rng()),
        SEQUENCES,
        normal(8, 24, 4, 2),
    ),
    "dynamics.orbit_size": (dynamics.orbit_size, SEQUENCES),
    "explained.r_squared": (explained.r_squared, STATES, TARGETS),
    "explained.line": (lambda *of: explained.line(*of, folds=2), STATES, TARGETS),
    "explained.explained": (with_readout(explained.explained), *READOUT[:5], TARGETS[:, :3]),
    "explained.without_directions": (
        explained.without_directions,
        TURNED[None],
        MATRIX,
        *READOUT[3:5],
        TARGETS[:, :3],
    ),
    "geometry.class_spread": (geometry.class_spread, STATES, LABELS),
    "geometry.alignment": (
        geometry.alignment,
        normal(10, 4, 3, 3),
        np.stack([MATRIX @ MATRIX.T] * 4),
        normal(11, 4) ** 2,
    ),
    "geometry.pair_distances": (geometry.pair_distances, MATRIX),
    "geometry.confusions": (geometry.confusions, MATRIX @ MATRIX.T),
    "matching.match": (matching.match, TURNED, PARTS.U),
    "matching.displacement": (matching.displacement, TURNED, PARTS.U),
    "matching.match_all": (matching.match_all, np.stack([TURNED, PARTS.U, np.eye(3)])),
    "matching.mean_of_pairs": (lambda values: matching.mean_of_pairs(values, 4), normal(8, 6)),
    "places.hardest_hit": (where.hardest_hit, SEQUENCES),
    "places.carriers": (where.carriers, SEQUENCES),
    "places.shares": (lambda table: where.shares(table, 3), LABELS.reshape(8, 3)),
    "places.agreement": (lambda worth: where.agreement(worth, rng(), 2), SEQUENCES),
    "places.hits_by_chance": (lambda loss: where.hits_by_chance(loss, 1, 2, rng(), 2), SEQUENCES),
    "pod.concatenate": (pod.concatenate, ENCODER, SEQUENCES),
    "pod.pod": (partial(pod.pod, centred=True), SEQUENCES),
    "pod.pod_svd": (partial(pod.pod_svd, centred=True), SEQUENCES),
    "pod.pod_snapshots": (partial(pod.pod_snapshots, centred=True), SEQUENCES),
    "pod.stream": (lambda *of: pod.stream(of, centred=True), SEQUENCES, ENCODER),
    "pod.energies": (with_basis(pod.energies), *BASIS[:3]),
    "pod.modes_for": (with_basis(pod.modes_for, 0.5), *BASIS[:3]),
    "pod.project": (partial(pod.project, BASIS), SEQUENCES),
    "pod.reconstruct": (partial(pod.reconstruct, BASIS), SEQUENCES),
    "pod.mode_counts": (pod.mode_counts, ENCODER, SEQUENCES),
    "points.states": (points.states, SEQUENCES),
    "points.trajectories": (points.trajectories, SEQUENCES),
    "points.windows": (lambda sequences: points.windows(sequences, 2, 1), SEQUENCES),
    "points.averages": (points.averages, SEQUENCES),
    "points.standardise": (points.standardise, STATES),
    "points.subsample": (lambda labels: points.subsample(rng(), labels, 9), LABELS),
    "ranks.decompose": (
        lambda *of: ranks.decompose(dict(zip(LSTM, of, strict=True))),
        MATRIX,
        STATES,
    ),
    "ranks.effective_rank": (ranks.effective_rank, PARTS.s),
    "ranks.stable_rank": (ranks.stable_rank, PARTS.s),
    "ranks.rank_for": (with_parts(ranks.rank_for, 0.5), *PARTS),
    "ranks.learnt": (ranks.learnt, MATRIX, PARTS.U @ MATRIX),
    "ranks.low_rank": (with_parts(lambda p: ranks.low_rank({"a": p}, {"a": 1})), *PARTS),
    "ranks.same_energy": (with_parts(lambda p: ranks.same_energy({"a": p}, 0.5)), *PARTS),
    "ranks.same_share": (with_parts(lambda p: ranks.same_share({"a": p}, 0.5)), *PARTS),
    "ranks.least_energy": (with_parts(lambda p: ranks.least_energy({"a": p}, total, 2.0)), *PARTS),
    "sampled.shapley": (
        with_readout(lambda *of: sampled.shapley(rng(), *of, orders=4)),
        *READOUT,
    ),
    "segments.frame_accuracy": (segments.frame_accuracy, LABELS % 2, LABELS),
    "segments.borders": (segments.borders, FRAMES),
    "segments.border_score": (segments.border_score, np.array([3, 8]), np.array([[3, 4], [8, 9]])),
    "segments.drop_short": (lambda labels: segments.drop_short(labels, 2), FRAMES),
    "separability.silhouette": (separability.silhouette, STATES, LABELS),
    "separability.fisher_ratio": (separability.fisher_ratio, STATES, LABELS),
    "separability.probe": (
        lambda *of: separability.probe(*of, folds=2),
        STATES,
        LABELS,
        np.arange(24) // 2,
    ),
    "separability.best_line": (
        lambda *of: separability.best_line(*of, folds=2),
        STATES,
        LABELS,
    ),
    "similarity.linear_cka": (similarity.linear_cka, STATES, normal(13, 24, 3)),
    "similarity.angular_distance": (similarity.angular_distance, STATES, normal(13, 24, 3)),
    "similarity.tables": (similarity.tables, SEQUENCES),
    "similarity.residual": (similarity.residual, STATES, normal(13, 24, 3)),
    "statistics.interval": (lambda sample: statistics.interval(sample, rng()), normal(9, 12)),
    "statistics.median_and_range": (statistics.median_and_range, normal(9, 12)),
    "statistics.half_width": (statistics.half_width, normal(9, 12)),
    "statistics.t_interval": (statistics.t_interval, normal(9, 12)),
    "statistics.bca": (lambda sample: statistics.bca(sample, rng()), normal(9, 12)),
    "statistics.paired_difference": (statistics.paired_difference, *SIDES),
    "subsets.by_size": (subsets.by_size, RECALLS[:, 0]),
    "svd.svd": (svd.svd, MATRIX),
    "svd.validate": (with_parts(svd.validate), *PARTS),
    "svd.select": (with_parts(svd.select, [2, 1]), *PARTS),
    "svd.truncate": (with_parts(svd.truncate, 1), *PARTS),
    "svd.without": (with_parts(svd.without, 1), *PARTS),
    "svd.compose": (with_parts(svd.compose), *PARTS),
    "svd.energy": (with_parts(svd.energy), *PARTS),
    "svd.cosines_with_constant": (with_parts(svd.cosines_with_constant), *PARTS),
    "svd.centre_classes": (svd.centre_classes, MATRIX),
    "svd.poles": (lambda vector: svd.poles(vector, 0.2), PARTS.U[:, 0]),
    "tails.fit": (tails.fit, normal(12, 12) ** 2),
    "verdicts.judge_paired": (verdicts.judge_paired, *SIDES),
    "verdicts.judge_apart": (verdicts.judge_apart, *SIDES),
    "verdicts.judge_alone": (lambda holds: verdicts.judge_alone(holds, "none"), SIDES[0]),
}
# they take no array, or only what others here give
WITHOUT_ARRAYS = {
    "controls.random_basis",
    "controls.random_left_vectors",
    "cutoffs.pair_numbers",
    "ranks.shrink",
    "cutoffs.under_cutoffs",
    "statistics.difference",
    "statistics.proportion",
    "subsets.first_subsets",
    "verdicts.as_proposal",
}
# borders that were found, blocks of a stream, and states of one block
MAY_BE_EMPTY = {
    ("segments.border_score", 0),
    ("pod.stream", 0),
    ("pod.stream", 1),
    ("pod.project", 0),
    ("pod.reconstruct", 0),
}
every_call = pytest.mark.parametrize("name", CALLS)


def leaves(result):
    """Arrays and numbers of a result, one after the other."""
    if isinstance(result, dict):
        return [leaf for part in result.values() for leaf in leaves(part)]
    if isinstance(result, tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [np.asarray(result)]


def assert_same(found, expected):
    for ours, theirs in zip(leaves(found), leaves(expected), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def assert_refused(name, place, values):
    """Give one argument other values, and expect an error of one sentence."""
    call, *arrays = CALLS[name]
    arrays[place] = values
    with pytest.raises(ValueError, match=r"\A[^\n]+\.\Z") as caught:
        call(*arrays)
    assert ". " not in str(caught.value)


def spoilt(array, value):
    """The array with another number in its middle; of a type that holds it."""
    array = array.astype(np.result_type(array, type(value)))
    array.flat[array.size // 2] = value
    return array


def places(whole):
    """Each argument of each call that holds labels, or numbers."""
    return [
        pytest.param(name, place, id=f"{name} {place}")
        for name, (_, *arrays) in CALLS.items()
        for place, array in enumerate(arrays)
        if (array.dtype.kind == "i") == whole
    ]


every_number = pytest.mark.parametrize(("name", "place"), places(whole=False))
every_label = pytest.mark.parametrize(("name", "place"), places(whole=True))
every_array = pytest.mark.parametrize(("name", "place"), places(whole=False) + places(whole=True))


def test_no_function_of_the_room_is_left_out():
    public = set()
    for room in {name.split(".")[0] for name in CALLS}:
        module = importlib.import_module(f"rnnatomy.analysis.{room}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                public.add(f"{room}.{name}")
    assert public == set(CALLS) | WITHOUT_ARRAYS


@every_call
def test_lists_do_as_arrays_do(as_users, name):
    call, *arrays = CALLS[name]
    assert_same(call(*(array.tolist() for array in arrays)), call(*arrays))


@every_call
def test_arrays_stay_as_they_were(name):
    call, *arrays = CALLS[name]
    given = [array.copy() for array in arrays]
    for array in given:
        array.flags.writeable = False
    call(*given)
    for array, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(array, before)


@every_number
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_are_finite(name, place, number):
    assert_refused(name, place, spoilt(CALLS[name][1 + place], number))


@every_number
def test_numbers_are_real(as_users, name, place):
    assert_refused(name, place, CALLS[name][1 + place] + 1j)


@every_label
@pytest.mark.parametrize("label", [1.5, np.nan, np.inf, 1e300, 1j])
def test_labels_are_whole_numbers(as_users, name, place, label):
    assert_refused(name, place, spoilt(CALLS[name][1 + place], label))


@every_label
def test_labels_are_no_truths(as_users, name, place):
    assert_refused(name, place, CALLS[name][1 + place] > 0)


@every_label
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int16, np.uint64])
def test_labels_are_taken_in_any_type_that_holds_them(as_users, name, place, dtype):
    call, *arrays = CALLS[name]
    expected = call(*arrays)
    arrays[place] = arrays[place].astype(dtype)
    for found, wanted in zip(leaves(call(*arrays)), leaves(expected), strict=True):
        np.testing.assert_array_equal(found, wanted)


@every_array
def test_words_are_no_numbers(as_users, name, place):
    assert_refused(name, place, CALLS[name][1 + place].astype(str))


@every_array
def test_rows_of_different_lengths_are_no_array(as_users, name, place):
    assert_refused(name, place, [*CALLS[name][1 + place].tolist(), [1.0, [2.0]]])


@every_array
def test_nothing_is_not_enough(as_users, name, place):
    array = CALLS[name][1 + place]
    if (name, place) not in MAY_BE_EMPTY:
        assert_refused(name, place, array[:0])


@every_array
def test_an_axis_too_many_is_refused(as_users, name, place):
    # modes are taken of snapshots (..., hidden), and borders are looked for in any of one axis
    array = CALLS[name][1 + place]
    if not name.startswith("pod."):
        assert_refused(name, place, array[..., None])


def test_the_room_needs_no_other_and_no_framework(child):
    modules = ", ".join(sorted({name.split(".")[0] for name in CALLS} | {"checks", "gates"}))
    code = f"""
import sys
from rnnatomy.analysis import {modules}
rooms = {{name.split(".")[1] for name in sys.modules if name.startswith("rnnatomy.")}}
print(sorted(rooms), sorted({{"flax", "matplotlib"}} & set(sys.modules)))
"""
    told, error = child(code).communicate()
    assert told.strip() == "['analysis'] []", error


# the checks themselves


@pytest.mark.parametrize("value", [2, 2.0, np.int8(2), np.float32(2), np.array(2), -0.0])
def test_whole_numbers_of_any_type_are_whole(value):
    assert checks.is_whole(value, 0, 2) is True


@pytest.mark.parametrize(
    "value", [3, -1, 1.5, np.nan, np.inf, True, np.True_, "1", None, [1], np.array([1]), 1j, 10**30]
)
def test_what_is_no_whole_number_in_the_range_is_not_whole(value):
    assert checks.is_whole(value, 0, 2) is False


def test_numbers_keep_their_precision_and_whole_ones_become_double():
    for dtype, expected in {"f2": "f2", "f4": "f4", "f8": "f8", "i4": "f8", "u1": "f8"}.items():
        assert checks.numbers("x", np.ones(2, dtype), "any").dtype == np.dtype(expected)


def test_numbers_in_their_place_are_not_copied():
    array = normal(0, 4, 3)
    assert checks.numbers("x", array, "row 3") is array
    assert checks.double("x", array, "row 3") is array
    assert checks.labels(LABELS) is LABELS


@pytest.mark.parametrize("axes", ["row", "row column depth", "row 4", "3 3"])
def test_axes_that_do_not_fit_are_named(axes):
    message = rf"shape \(4, 3\) of x does not fit: give \({', '.join(axes.split())},?\), at least"
    with pytest.raises(ValueError, match=message):
        checks.numbers("x", np.ones((4, 3)), axes)


def test_double_numbers_can_be_squared_and_added_up():
    with pytest.raises(ValueError, match="a number in x is too large to square: give smaller"):
        checks.double("x", np.full(3, 1e154), "any")
    assert checks.double("x", np.full(3, 1e153), "any").dtype == np.float64


def test_a_label_too_large_to_count_is_refused():
    with pytest.raises(ValueError, match=f"{2**64 - 1} in labels is not allowed: give whole num"):
        checks.labels(np.array([0, 2**64 - 1], np.uint64))


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, True, "0.5", None])
def test_a_fraction_is_from_0_to_1(as_users, value):
    with pytest.raises(ValueError, match=f"fraction {value} is out of range: give 0 to 1"):
        checks.fraction(value)


@pytest.mark.parametrize("number", [np.nan, "1", None, 1j])
def test_what_ranks_are_chosen_by_is_a_number(as_users, number):
    parts = {"a": PARTS}
    with pytest.raises(ValueError, match=rf"the floor is {re.escape(str(number))}: give a num"):
        ranks.least_energy(parts, total, number)
    with pytest.raises(ValueError, match=rf"the measure is {re.escape(str(number))}: give"):
        ranks.least_energy(parts, lambda kept: number, 1)
    with pytest.raises(ValueError, match=rf"the floor is {re.escape(str(number))}: give a num"):
        ranks.shrink({"a": 3}, total, number)
    with pytest.raises(ValueError, match=rf"the measure is {re.escape(str(number))}: give"):
        ranks.shrink({"a": 3}, lambda kept: number, 1)
