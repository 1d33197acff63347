import numpy as np
import pytest

from rnnatomy.data import arrangements

PARTS = ("train", "validation", "test")


def images(data):
    return [getattr(data, part).images for part in PARTS]


@pytest.fixture
def wide(small):
    """Images of five rows and eight columns."""
    parts = {part: getattr(small, part) for part in PARTS}
    cut = {part: split._replace(images=split.images[:, :5]) for part, split in parts.items()}
    return small._replace(**cut)


@pytest.mark.parametrize("name", arrangements.ARRANGEMENTS)
def test_labels_and_checksum_stay_as_they_are(small, name):
    found = arrangements.arrange(small, name)
    assert (found.name, found.checksum) == (small.name, small.checksum)
    for part in PARTS:
        np.testing.assert_array_equal(getattr(found, part).labels, getattr(small, part).labels)


def test_rows_are_the_images(wide):
    for found, given in zip(images(arrangements.arrange(wide, "rows")), images(wide), strict=True):
        np.testing.assert_array_equal(found, given)


def test_columns_are_rows_transposed_and_twice_the_images(wide):
    once = arrangements.arrange(wide, "columns")
    twice = arrangements.arrange(once, "columns")
    for found, back, given in zip(images(once), images(twice), images(wide), strict=True):
        np.testing.assert_array_equal(found, given.transpose(0, 2, 1))
        np.testing.assert_array_equal(back, given)


def test_the_same_permutation_moves_all_pixels_of_all_images(wide):
    places = np.arange(40, dtype=np.float32).reshape(1, 5, 8)
    train = wide.train._replace(images=np.concatenate([places, wide.train.images]))
    found = arrangements.arrange(wide._replace(train=train), "permuted")
    order = found.train.images[0].ravel().astype(int)
    assert sorted(order) == list(range(40)) and (order != np.arange(40)).mean() > 0.8
    for moved, given in zip(images(found), [train.images, *images(wide)[1:]], strict=True):
        assert moved.shape == given.shape
        flat = given.reshape(len(given), 40)
        np.testing.assert_array_equal(moved.reshape(len(moved), 40), flat[:, order])


@pytest.mark.parametrize("name", ["diagonal", None, ["rows"]])
def test_an_unknown_arrangement_is_refused(as_users, small, name):
    with pytest.raises(ValueError, match="is unknown: choose from rows, columns, permuted"):
        arrangements.arrange(small, name)
