import numpy as np
import pytest

from rnnatomy.analysis import walks

START = np.float32([1, 2, 3])
VALUES = np.array([-1.0, 0.5])


def test_one_unit_moves_and_the_others_stay():
    path = walks.along_units(START, [2, 0], VALUES)
    assert path.tolist() == [[[1, 2, -1], [1, 2, 0.5]], [[-1, 2, 3], [0.5, 2, 3]]]
    assert path.dtype == np.float32 and START.tolist() == [1, 2, 3]


def test_a_line_is_even_and_has_both_ends():
    path = walks.between(START, np.float32([1, 0, 7]), 5)
    assert path.tolist() == [[1, 2, 3], [1, 1.5, 4], [1, 1, 5], [1, 0.5, 6], [1, 0, 7]]
    assert path.dtype == np.float32


def test_there_and_back_is_the_same_line():
    there = walks.between(START, START[::-1].copy(), 7)
    back = walks.between(START[::-1].copy(), START, 7)
    np.testing.assert_allclose(there, back[::-1], atol=1e-6)


@pytest.mark.parametrize("unit", [-1, 3])
def test_a_unit_that_is_not_there_is_refused(unit):
    with pytest.raises(ValueError, match=f"unit {unit} does not exist: choose from 0 to 2"):
        walks.along_units(START, [0, unit], VALUES)


def test_a_line_needs_two_points_of_one_space(as_users):
    with pytest.raises(ValueError, match="steps is 1: give at least 2"):
        walks.between(START, START, 1)
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\)"):
        walks.between(START, START[:2], 2)
