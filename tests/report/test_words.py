import numpy as np
import pytest

from rnnatomy.report import words


def test_mean_and_range_stand_side_by_side():
    assert words.spread(np.array([0.5, 0.25, 0.9])) == "0.55 (0.25 to 0.90)"
    assert words.spread(np.float32([[-90, -100], [-95, -91]]), ".1f") == "-94.0 (-100.0 to -90.0)"
    assert words.ends(np.array([3.0, 1.0, 2.0]), ".0f") == "1 to 3"


def test_numbers_that_are_the_same_have_no_range():
    assert words.spread(np.full(3, 0.25)) == "0.25"
    assert words.spread(np.array([0.25, 0.25 + 1e-9])) == "0.25 (0.25 to 0.25)"


def test_there_is_no_negative_zero():
    assert words.spread(np.array([-0.001, 0.0])) == "0.00 (0.00 to 0.00)"
    assert words.ends(np.array([-0.001, 1.0])) == "0.00 to 1.00"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
@pytest.mark.parametrize("write", [words.spread, words.ends])
def test_numbers_that_are_missing_are_refused(write, values):
    with pytest.raises(ValueError, match="give one or more, all of them finite"):
        write(np.array(values))
