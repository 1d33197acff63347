import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import cutoffs
from rnnatomy.studies import questions, rates

NETWORKS = 4


@pytest.fixture(scope="module")
def planted():
    """Networks of three classes, in which the recalls are known."""
    full = np.full((NETWORKS, 3), 0.98, np.float16)
    single = np.full((NETWORKS, 3, 3), 0.97, np.float16)
    pairs = np.full((NETWORKS, 1, 3), 0.5, np.float16)
    single[0, 1, 2] = 0.05  # the second direction takes the last class
    single[1, 2, 0] = 0.0  # what softmax does not see does not count
    single[2, 0, 1], pairs[2, 0, 1] = 0.7, 0.02  # star and understudy
    value = np.zeros((NETWORKS, 3, 3), np.float16)
    value[:, 0] = 0.4
    value[0, 1, 2] = 0.9
    arrays = {"full": full, "single": single, "pairs": pairs, "shapley": value}
    shape = {"threshold": 3, "place": 2, "rule": 3, "digit": 3, "network": NETWORKS}
    rng = np.random.default_rng(0)
    for name in [name for name in questions.AXES if name.startswith("random_b")] + [
        "random_lost",
        "random_hardest",
        "random_understudies",
    ]:
        size = [shape[axis] for axis in questions.AXES[name]]
        arrays[name] = rng.integers(0, questions.BASES, size).astype(np.uint16)
    left = np.linalg.qr(rng.normal(size=(NETWORKS, 3, 3)))[0]
    arrays["readout"] = left * [3.0, 2.0, 1.0]
    known = {k: v for k, v in questions.coordinates(3).items() if k not in ("rank",)}
    return xr.Dataset({k: (questions.AXES[k], v) for k, v in arrays.items()}, known)


def test_classes_are_lost_to_directions_that_softmax_sees(planted):
    found = rates.lost(planted, 0.1)
    assert np.argwhere(found.holds).tolist() == [[0, 2]]
    bases = planted["random_bases_lost"].to_numpy()[:, 0] / questions.BASES
    np.testing.assert_array_equal(found.control, bases)
    assert rates.lost_any(planted, 0.2).holds.tolist() == [True, False, False, False]
    second = rates.lost_at(planted, 0.1, 2)
    assert np.argwhere(second.holds).tolist() == [[0, 2]]
    assert not rates.lost_at(planted, 0.1, 1).holds.any()
    np.testing.assert_array_equal(
        second.control, planted["random_lost"].to_numpy()[:, 0, 1] / questions.BASES
    )


def test_the_class_that_loses_most_is_the_hardest_hit(planted):
    found = rates.hardest(planted).holds
    assert found.shape == (NETWORKS, 2, 3)
    assert found[0, 1].tolist() == [False, False, True]
    assert found[2, 0].tolist() == [False, True, False]
    assert found.sum(axis=2).max() == 1


def test_doubles_are_star_and_understudy(planted):
    found = rates.doubles(planted, "stated")
    assert np.argwhere(found.pairs).tolist() == [[2, 0, 1]]
    assert np.argwhere(found.rate.holds).tolist() == [[2, 1]]
    assert found.any.holds.tolist() == [False, False, True, False]
    assert found.numbers[0].tolist() == [0, 0, 1, 0]
    drawn = planted["random_understudies"].to_numpy()[:, 0].sum(axis=1) / questions.BASES
    np.testing.assert_allclose(found.numbers[1], drawn)


def test_entries_are_those_of_the_left_vectors(planted):
    left = planted["readout"].to_numpy() / [3.0, 2.0, 1.0]
    np.testing.assert_allclose(rates.entries(planted), np.abs(left[:, :, :2]), atol=1e-9)


def test_values_are_held_against_what_cutting_does(planted):
    found = rates.judge_values(planted, "shapley", 0.1)
    assert (found.of, found.found) == (1, 1.0)
    np.testing.assert_allclose(found.total, [0.4, 0.4, 0.4 + 0.9 / 4], atol=1e-3)


def test_places_are_told_most_often_first():
    assert rates.where(np.array([6, 7, 6, 5, 6, 7])) == "6 in 3, 7 in 2, 5 in 1"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: rates.lost(data, 0.3), r"threshold is 0.3: choose from 0.1, 0.2, 0.5"),
        (lambda data: rates.doubles(data, "odd"), "rule 'odd' is unknown: choose from stated"),
    ],
)
def test_what_was_not_measured_is_refused(planted, call, message):
    with pytest.raises(ValueError, match=message):
        call(planted)


def test_pairs_are_in_the_order_of_the_cutoffs():
    first, second = cutoffs.pair_numbers(9)
    words = questions.coordinates(10)["pair"]
    assert words == [f"{a + 1} and {b + 1}" for a, b in zip(first, second, strict=True)]
