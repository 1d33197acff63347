"""A classifier that a page carries, and checks of what a page is given."""

import numpy as np
import pytest
from report.widgets import pages

from rnnatomy.report.widgets import reader

SHAPES = ((7, 64), (16, 64), (64,), (16, 10), (10,))
ARRAYS = {
    name: np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for name, shape in zip(reader.READER, SHAPES, strict=True)
}


@pytest.mark.parametrize("levels", [7, 511])
def test_a_classifier_is_laid_out_in_its_order_as_multiples_of_steps(levels):
    facts, data = reader.pack_classifier(ARRAYS | {"other": np.zeros(3)}, levels)
    found = np.split(pages.unfolded(np.frombuffer(data, np.uint8)), np.cumsum(facts["sizes"])[:-1])
    for numbers, step, array in zip(found, facts["steps"], ARRAYS.values(), strict=True):
        assert np.abs(numbers).max() == levels
        np.testing.assert_allclose(step * numbers, array.ravel(), atol=0.51 * step)


def test_what_fits_passes():
    reader.check_classifier(ARRAYS, 7)
    reader.check_labels(np.array([0, 9]), 2, "image")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"readout.bias": None}, "the classifier lacks readout.bias: give the arrays of an LSTM"),
        (
            {"cell.dense_i.kernel": np.zeros((8, 64))},
            r"the classifier's cell.dense_i.kernel has shape \(8, 64\): give \(7, 64\)",
        ),
        (
            {"readout.kernel": np.zeros((16, 5))},
            r"the classifier's readout.kernel has shape \(16, 5\): give \(16, 10\)",
        ),
        (
            {"readout.bias": np.full(10, np.inf)},
            "the classifier's readout.bias holds NaN or infinity: give finite numbers",
        ),
    ],
)
def test_no_classifier_of_digits_is_refused_in_one_sentence(changed, message):
    given = {name: array for name, array in (ARRAYS | changed).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        reader.check_classifier(given, 7)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, int), r"labels have shape \(3,\): give one for each image"),
        (np.array([0, 10]), "labels range from 0 to 10: give 0 to 9"),
    ],
)
def test_labels_that_are_no_digits_are_refused_in_one_sentence(labels, message):
    with pytest.raises(ValueError, match=message):
        reader.check_labels(labels, 2, "image")
