import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import ranks, spectra, svd

SHARES = np.sqrt([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
"""Two spectra whose energies are known fractions."""


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, [0, 0]), (0.5, [1, 2]), (0.6, [2, 3]), (0.75, [2, 3]), (1.0, [4, 4])],
)
def test_directions_hold_the_energy_that_was_planted(fraction, expected):
    assert spectra.directions_for(SHARES, fraction).tolist() == expected
    assert spectra.directions_for(3 * SHARES, fraction).tolist() == expected


@given(st.integers(0, 1000), st.floats(0, 1))
def test_each_spectrum_is_counted_as_by_its_decomposition(seed, fraction):
    matrices = np.random.default_rng(seed).normal(size=(2, 3, 5, 4))
    parts = [[svd.svd(matrix) for matrix in row] for row in matrices]
    values = np.array([[part.s for part in row] for row in parts])
    expected = [[ranks.rank_for(part, fraction) for part in row] for row in parts]
    assert spectra.directions_for(values, fraction).tolist() == expected


@pytest.mark.parametrize("fraction", [-0.1, 1.1])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match=f"fraction {fraction} is out of range: give 0 to 1"):
        spectra.directions_for(SHARES, fraction)


def test_a_spectrum_without_energy_is_refused():
    with pytest.raises(ValueError, match="all singular values of a spectrum are zero"):
        spectra.directions_for(np.array([[1.0, 0.0], [0.0, 0.0]]), 0.5)


def test_a_spectrum_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="give finite numbers"):
        spectra.directions_for(np.array([[1.0, np.nan]]), 0.5)
