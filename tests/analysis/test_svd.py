import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rnnatomy.analysis import svd

matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    elements=st.floats(-10, 10, allow_subnormal=False),
)
seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@given(matrices)
def test_vectors_are_orthonormal_and_values_descend(matrix):
    parts = svd.svd(matrix)
    modes = np.eye(min(matrix.shape))
    np.testing.assert_allclose(parts.U.T @ parts.U, modes, atol=1e-9)
    np.testing.assert_allclose(parts.Vt @ parts.Vt.T, modes, atol=1e-9)
    assert (np.diff(parts.s) <= 0).all() and (parts.s >= 0).all()


@given(matrices)
def test_composing_and_full_rank_truncation_are_the_identity(matrix):
    parts = svd.svd(matrix)
    np.testing.assert_allclose(svd.compose(parts), matrix, atol=1e-9)
    whole = svd.truncate(parts, len(parts.s))
    assert all(np.array_equal(kept, part) for kept, part in zip(whole, parts, strict=True))


@given(matrices, st.data())
def test_truncation_errs_by_the_singular_values_that_are_cut(matrix, data):
    parts = svd.svd(matrix)
    rank = data.draw(st.integers(0, len(parts.s)))
    error = matrix - svd.compose(svd.truncate(parts, rank))
    cut = parts.s[rank:]
    assert np.linalg.norm(error, 2) == pytest.approx(cut.max(initial=0), abs=1e-9)
    assert np.linalg.norm(error) == pytest.approx(np.sqrt((cut**2).sum()), abs=1e-9)


@given(matrices, seeds, st.data())
def test_no_random_matrix_of_the_same_rank_is_nearer(matrix, seed, data):
    rank = data.draw(st.integers(1, min(matrix.shape)))
    nearest = svd.compose(svd.truncate(svd.svd(matrix), rank))
    left = normal(seed, len(matrix), rank)
    rival = left @ np.linalg.lstsq(left, matrix)[0]
    for order in (2, "fro"):
        ours, theirs = (np.linalg.norm(matrix - other, order) for other in (nearest, rival))
        assert ours <= theirs + 1e-9


@given(matrices.filter(lambda matrix: np.linalg.norm(matrix) > 1e-6))
def test_energy_sums_to_one(matrix):
    energy = svd.energy(svd.svd(matrix))
    assert energy.sum() == pytest.approx(1)
    assert (energy >= 0).all()


def test_energy_is_the_share_of_the_squares():
    np.testing.assert_allclose(svd.energy(svd.svd(np.diag([3.0, 4.0]))), [16 / 25, 9 / 25])


@given(seeds)
def test_signs_do_not_depend_on_those_that_the_solver_chose(seed):
    matrix = normal(seed, 5, 7)
    solver, signs = np.linalg.svd, np.sign(normal(seed + 1, 5))

    def flipped(*arguments, **options):
        U, s, Vt = solver(*arguments, **options)
        return U * signs, s, signs[:, None] * Vt

    expected = svd.svd(matrix)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.linalg, "svd", flipped)
        found = svd.svd(matrix)
    assert all(np.array_equal(one, two) for one, two in zip(found, expected, strict=True))


@given(seeds)
def test_the_largest_entry_of_each_left_vector_is_positive(seed):
    U = svd.svd(normal(seed, 6, 4)).U
    assert (U.max(axis=0) == np.abs(U).max(axis=0)).all()


def test_a_planted_rank_under_noise_is_recovered():
    signal = normal(1, 10, 3) @ normal(2, 3, 40)
    parts = svd.svd(signal + 1e-3 * normal(3, 10, 40))
    assert parts.s[2] > 1 > 0.02 > parts.s[3]
    np.testing.assert_allclose(svd.compose(svd.truncate(parts, 3)), signal, atol=0.01)


@given(seeds)
def test_selected_and_removed_directions_add_up_to_the_matrix(seed):
    matrix = normal(seed, 4, 6)
    parts = svd.svd(matrix)
    for direction in range(1, 5):
        alone = svd.compose(svd.select(parts, [direction]))
        np.testing.assert_allclose(alone + svd.compose(svd.without(parts, direction)), matrix)


def test_directions_are_counted_from_one_and_kept_in_the_order_asked():
    parts = svd.svd(np.diag([5.0, 3.0, 2.0]))
    np.testing.assert_allclose(svd.select(parts, [3, 1]).s, [2, 5])
    np.testing.assert_allclose(svd.without(parts, 1).s, [3, 2])
    assert not svd.compose(svd.truncate(parts, 0)).any()


@given(seeds)
def test_squared_cosines_with_the_constant_sum_to_one_for_square_U(seed):
    cosines = svd.cosines_with_constant(svd.svd(normal(seed, 5, 9)))
    assert (cosines**2).sum() == pytest.approx(1)


def test_what_is_written_along_the_constant_has_cosine_one():
    matrix = np.ones((4, 1)) * normal(0, 1, 6)
    assert svd.cosines_with_constant(svd.svd(matrix))[0] == pytest.approx(1)


@given(seeds)
def test_centring_classes_leaves_argmax_and_softmax_and_kills_the_constant(seed):
    W, h = normal(seed, 5, 7), normal(seed + 1, 7, 20)
    centred = svd.centre_classes(W)
    before, after = (np.exp(matrix @ h) for matrix in (W, centred))
    np.testing.assert_allclose(after / after.sum(axis=0), before / before.sum(axis=0))
    assert ((W @ h).argmax(axis=0) == (centred @ h).argmax(axis=0)).all()
    np.testing.assert_allclose(centred.sum(axis=0), 0, atol=1e-12)
    assert svd.svd(centred).s[-1] < 1e-12 < 1e-3 < svd.svd(W).s[-1]


@pytest.mark.parametrize("matrix", [np.ones(3), np.ones((2, 2, 2)), np.ones((0, 3))])
def test_a_matrix_has_two_axes(as_users, matrix):
    for function in (svd.svd, svd.centre_classes):
        with pytest.raises(ValueError, match=r"of the matrix does not fit: give \(class, hidden\)"):
            function(matrix)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_matrix_is_finite(number):
    with pytest.raises(ValueError, match="NaN or infinity"):
        svd.svd(np.array([[1.0, number]]))


@pytest.mark.parametrize("rank", [-1, 4, 1.5, np.nan, True, None])
def test_a_rank_out_of_range_is_refused(as_users, rank):
    with pytest.raises(ValueError, match=f"rank {rank} is out of range: choose from 0 to 3"):
        svd.truncate(svd.svd(np.eye(3)), rank)


@pytest.mark.parametrize("direction", [0, -1, 4, 1.5, np.nan, True, "1"])
def test_a_direction_out_of_range_is_refused(as_users, direction):
    message = f"direction {direction} does not exist: choose from 1 to 3"
    with pytest.raises(ValueError, match=message):
        svd.select(svd.svd(np.eye(3)), [1, direction])
    with pytest.raises(ValueError, match=message):
        svd.without(svd.svd(np.eye(3)), direction)


def test_a_repeated_direction_is_refused():
    with pytest.raises(ValueError, match=r"\[2, 2\] repeat a number"):
        svd.select(svd.svd(np.eye(3)), [2, 2])


def test_energy_of_a_zero_matrix_is_refused():
    with pytest.raises(ValueError, match="all singular values are zero"):
        svd.energy(svd.svd(np.zeros((3, 4))))


def test_energy_too_large_to_square_is_refused():
    with pytest.raises(ValueError, match="NaN or infinity in the squares of the singular values"):
        svd.energy(svd.svd(1e200 * np.eye(3)))


USES = {
    "validate": svd.validate,
    "select": lambda parts: svd.select(parts, [1]),
    "truncate": lambda parts: svd.truncate(parts, 1),
    "without": lambda parts: svd.without(parts, 1),
    "compose": svd.compose,
    "energy": svd.energy,
    "cosines_with_constant": svd.cosines_with_constant,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("name", svd.SVD._fields)
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_parts_are_finite(use, name, number):
    parts = svd.svd(normal(0, 3, 4))
    getattr(parts, name).flat[1] = number
    with pytest.raises(ValueError, match=f"NaN or infinity in {name} is not allowed"):
        use(parts)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_parts_have_the_same_number_of_modes(as_users, use):
    U, s, Vt = svd.svd(normal(0, 3, 4))
    for parts, name in (
        ((U[:, :2], s, Vt), "U"),
        ((U, s, Vt[:2]), "Vt"),
        ((U, s[:, None], Vt), "s"),
    ):
        with pytest.raises(ValueError, match=f"shape .* of {name} does not fit"):
            use(svd.SVD(*parts))


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_parts_may_come_as_any_three_arrays(as_users, use):
    parts = svd.svd(normal(0, 3, 4))
    for ours, theirs in zip(use(parts), use(tuple(part.tolist() for part in parts)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.integers(0, 4))
def test_poles_are_the_large_entries_of_either_side_the_largest_first(entries, least):
    poles = svd.poles(np.array(entries, float), float(least))
    ordered = sorted(range(len(entries)), key=lambda place: -entries[place])
    assert poles.high.tolist() == [place for place in ordered if entries[place] > least]
    ordered = sorted(range(len(entries)), key=lambda place: entries[place])
    assert poles.low.tolist() == [place for place in ordered if entries[place] < -least]


def test_poles_tell_what_a_planted_direction_tells_apart():
    readout = np.outer([0.0, 3.0, -2.0, 1.0, -0.1], normal(0, 6)) + 1e-3 * normal(1, 5, 6)
    left = svd.svd(readout).U[:, 0]
    high, low = svd.poles(left, 0.2)
    assert (high.tolist(), low.tolist()) == ([1, 3], [2])


@pytest.mark.parametrize("least", [-0.1, np.nan, "1", None])
def test_the_least_size_of_a_pole_is_at_least_zero(as_users, least):
    with pytest.raises(ValueError, match=f"least is {least}: give a number of at least 0"):
        svd.poles(np.ones(3), least)
