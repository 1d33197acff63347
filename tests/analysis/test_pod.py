import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.decomposition import PCA, TruncatedSVD
from threadpoolctl import threadpool_limits

from rnnatomy.analysis import pod

matrices = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 9), st.integers(1, 9)),
    elements=st.floats(-10, 10, allow_subnormal=False),
)
seeds = st.integers(0, 10_000)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def stream_thirds(snapshots, **options):
    return pod.stream(np.array_split(snapshots, 3), **options)


ROUTES = {
    "chosen": pod.pod,
    "svd": pod.pod_svd,
    "snapshots": pod.pod_snapshots,
    "stream": stream_thirds,
}
# the last one is wide and rank-deficient
MATRICES = {
    "random": normal(0, 60, 8) + 3,
    "rank-deficient": normal(1, 50, 4) @ normal(2, 4, 9) + 2,
    "wide": normal(3, 7, 30) + 1,
    "wide and rank-deficient": normal(4, 12, 3) @ normal(5, 3, 40),
}
every_route = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
every_matrix = pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
centred_or_not = pytest.mark.parametrize("centred", [True, False])


def assert_same(found, expected, tolerance=1e-7):
    """Compare singular values, and what they make of the modes, as a fraction of the largest."""
    s, values = found.singular_values, expected.singular_values
    np.testing.assert_allclose(s, values, atol=tolerance * values[0])
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6 * (1 + values[0]))
    assert found.snapshots == expected.snapshots
    assert found.energy == pytest.approx(expected.energy, rel=10 * tolerance)
    found_matrix, expected_matrix = (
        (basis.modes.T * basis.singular_values**2) @ basis.modes for basis in (found, expected)
    )
    np.testing.assert_allclose(found_matrix, expected_matrix, atol=10 * tolerance * values[0] ** 2)


def assert_same_up_to_sign(modes, rows):
    np.testing.assert_allclose(np.abs((modes * rows).sum(axis=1)), 1, atol=1e-6)


# identities


@given(matrices, st.sampled_from(sorted(ROUTES)), st.booleans())
def test_modes_are_orthonormal_values_descend_and_energies_sum_to_one(matrix, name, centred):
    assume(np.ptp(matrix, axis=0).max() > 1e-3)
    basis = ROUTES[name](matrix, centred=centred)
    assert basis.modes.shape == (min(matrix.shape), matrix.shape[1])
    np.testing.assert_allclose(basis.modes @ basis.modes.T, np.eye(len(basis.modes)), atol=1e-9)
    assert (np.diff(basis.singular_values) <= 0).all() and (basis.singular_values >= 0).all()
    energies = pod.energies(basis)
    assert (energies >= 0).all() and energies.sum() == pytest.approx(1)


@given(matrices, st.sampled_from(sorted(ROUTES)), st.booleans())
def test_every_route_gives_the_decomposition_of_the_svd(matrix, name, centred):
    assume(np.ptp(matrix, axis=0).max() > 1e-3)
    basis = ROUTES[name](matrix, centred=centred)
    assert_same(basis, pod.pod_svd(matrix, centred=centred))
    mean = matrix.mean(axis=0) if centred else 0
    s = np.linalg.svd(matrix - mean, compute_uv=False)
    np.testing.assert_allclose(basis.singular_values, s, atol=1e-6 * s[0])
    np.testing.assert_allclose(basis.mean, mean * np.ones(matrix.shape[1]), atol=1e-9)


@given(seeds, st.integers(1, 6), st.booleans())
def test_projecting_what_was_reconstructed_is_the_identity(seed, modes, centred):
    basis = pod.pod(normal(seed, 20, 6) + 5, centred=centred, modes=modes)
    coefficients = normal(seed + 1, 4, 3, modes)
    states = pod.reconstruct(basis, coefficients)
    assert states.shape == (4, 3, 6)
    np.testing.assert_allclose(pod.project(basis, states), coefficients, atol=1e-9)


@every_route
@every_matrix
@centred_or_not
def test_reconstruction_errs_by_the_singular_values_that_are_cut(route, matrix, centred):
    basis = route(matrix, centred=centred)
    coefficients = pod.project(basis, matrix)
    for rank in range(len(basis.modes) + 1):
        error = matrix - pod.reconstruct(basis, coefficients[:, :rank])
        cut = pod.pod_svd(matrix, centred=centred).singular_values[rank:]
        scale = basis.singular_values[0]
        assert np.linalg.norm(error) == pytest.approx(np.sqrt((cut**2).sum()), abs=1e-6 * scale)


@every_route
def test_coefficients_have_the_energy_of_their_mode(route):
    matrix = MATRICES["random"]
    basis = route(matrix, centred=True)
    coefficients = pod.project(basis, matrix)
    np.testing.assert_allclose(coefficients.mean(axis=0), 0, atol=1e-9)
    products = coefficients.T @ coefficients
    np.testing.assert_allclose(products, np.diag(basis.singular_values**2), atol=1e-7)


# independent implementations


@every_route
@every_matrix
def test_centred_modes_are_those_of_principal_component_analysis(route, matrix):
    basis = route(matrix, centred=True)
    peer = PCA(svd_solver="full").fit(matrix)
    scale = peer.singular_values_[0]
    np.testing.assert_allclose(basis.singular_values, peer.singular_values_, atol=1e-7 * scale)
    np.testing.assert_allclose(pod.energies(basis), peer.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(basis.mean, peer.mean_)
    strong = peer.singular_values_ > 1e-6 * scale
    assert strong.sum() >= 3
    assert_same_up_to_sign(basis.modes[strong], peer.components_[strong])


@every_route
@every_matrix
def test_uncentred_modes_are_those_of_truncated_svd(route, matrix):
    peer = TruncatedSVD(min(matrix.shape) - 1, algorithm="arpack", random_state=0).fit(matrix)
    basis = route(matrix, centred=False, modes=min(matrix.shape) - 1)
    scale = peer.singular_values_[0]
    np.testing.assert_allclose(basis.singular_values, peer.singular_values_, atol=1e-7 * scale)
    assert not basis.mean.any()
    strong = peer.singular_values_ > 1e-6 * scale
    assert strong.sum() >= 3
    assert_same_up_to_sign(basis.modes[strong], peer.components_[strong])


# planted truth


@every_route
@pytest.mark.parametrize("shape", [(400, 20), (20, 400)])
def test_a_planted_rank_under_noise_is_recovered(route, shape):
    count, hidden = shape
    axes = np.linalg.qr(normal(0, hidden, 3))[0].T
    signal = (normal(1, count, 3) * [3, 2, 1]) @ axes
    basis = route(signal + 1e-3 * normal(2, count, hidden) + 7, centred=True)
    assert pod.modes_for(basis, 0.999) == 3
    cosines = np.linalg.svd(basis.modes[:3] @ axes.T, compute_uv=False)
    np.testing.assert_allclose(cosines, 1, atol=1e-3)


def test_singular_values_are_found_as_far_down_as_each_route_promises():
    s = np.logspace(0, -12, 13)
    matrix = (np.linalg.qr(normal(0, 500, 13))[0] * s) @ np.linalg.qr(normal(1, 13, 13))[0]
    single = matrix.astype(np.float32)

    def errors(route, snapshots):
        return np.abs(route(snapshots, centred=False).singular_values - s)

    assert (errors(pod.pod_svd, matrix) < 1e-3 * s).all()
    for route in (pod.pod_snapshots, stream_thirds):
        assert (errors(route, matrix) < 3e-8).all()
    assert (errors(stream_thirds, single) < 3e-8).all()
    assert (errors(pod.pod_snapshots, single) < 6e-4).all()


# routes


@centred_or_not
def test_small_snapshots_take_the_svd_and_many_the_products(monkeypatch, centred):
    matrix = normal(0, 30, 5)

    def assert_taken(route):
        expected = route(matrix, centred=centred)
        for one, two in zip(pod.pod(matrix, centred=centred), expected, strict=True):
            np.testing.assert_array_equal(one, two)

    monkeypatch.setattr(pod, "SMALL", 30 * 5 * 5)
    assert_taken(pod.pod_svd)
    monkeypatch.setattr(pod, "SMALL", 30 * 5 * 5 - 1)
    assert_taken(pod.pod_snapshots)


@every_route
def test_axes_before_the_last_are_all_of_snapshots(route):
    states = normal(0, 6, 5, 4)
    whole, flat = (route(array, centred=True) for array in (states, states.reshape(30, 4)))
    assert_same(whole, flat, 1e-12)
    assert whole.snapshots == 30


@every_route
@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_the_largest_entry_of_each_mode_is_positive(route, shape):
    modes = route(normal(0, *shape), centred=True).modes
    assert (modes.max(axis=1) == np.abs(modes).max(axis=1)).all()


@every_route
@every_matrix
@centred_or_not
def test_cut_modes_are_the_first_ones_with_their_share_of_all_energy(route, matrix, centred):
    whole, cut = route(matrix, centred=centred), route(matrix, centred=centred, modes=2)
    np.testing.assert_allclose(cut.modes, whole.modes[:2], atol=1e-12)
    np.testing.assert_array_equal(cut.singular_values, whole.singular_values[:2])
    np.testing.assert_array_equal(pod.energies(cut), pod.energies(whole)[:2])


@centred_or_not
@pytest.mark.parametrize("offset", [0, 0.5, 1000])
def test_many_single_snapshots_keep_their_precision_whatever_their_mean(centred, offset):
    count, hidden = 20_000, 64
    states = (normal(0, count, 5) @ normal(1, 5, hidden)).astype(np.float32) + np.float32(offset)
    found = pod.pod_snapshots(states, centred=centred)
    assert_same(found, pod.pod_svd(states, centred=centred), 3e-4)
    if centred:
        exact = states.astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(found.mean, exact, atol=1e-6, rtol=1e-9)


def test_a_mean_that_drifts_from_piece_to_piece_is_taken_off():
    states = normal(0, 40_000, 16) + np.repeat([0.0, 1000, -1000, 500], 10_000)[:, None]
    found = pod.pod_snapshots(states, centred=True)
    assert_same(found, pod.pod_svd(states, centred=True), 3e-8)


def test_threads_do_not_change_a_bit():
    states = normal(0, 300_000, 8).astype(np.float32)
    with threadpool_limits(1, user_api="blas"):
        alone = pod.pod_snapshots(states, centred=True)
    with threadpool_limits(3, user_api="blas"):
        together = pod.pod_snapshots(states, centred=True)
    assert all(np.array_equal(one, two) for one, two in zip(alone, together, strict=True))


@centred_or_not
def test_no_copy_of_many_snapshots_is_made(centred):
    states = normal(0, 800_000, 16).astype(np.float32)
    with threadpool_limits(2, user_api="blas"):
        pod.pod(states[:100_000], centred=centred)
        tracemalloc.start()
        pod.pod(states, centred=centred)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < states.nbytes / 4


@every_route
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_other_precisions_and_orders_in_memory_do(route, dtype, order):
    states = np.asarray(normal(0, 50, 6), dtype, order=order)
    basis = route(states, centred=True)
    assert_same(basis, pod.pod_svd(states.astype(np.float64), centred=True), 3e-4)
    assert {part.dtype for part in basis[:3]} == {np.dtype(np.float64)}


@every_route
@centred_or_not
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e30])
def test_single_snapshots_may_have_squares_beyond_single_precision(route, centred, scale):
    states = normal(0, 50, 6).astype(np.float32) + 1
    scaled = route(states * np.float32(scale), centred=centred).singular_values / scale
    expected = pod.pod_svd(states, centred=centred).singular_values
    np.testing.assert_allclose(scaled, expected, rtol=1e-4)


# streaming


@given(seeds, st.lists(st.integers(0, 40), max_size=6), st.booleans())
def test_a_stream_equals_the_whole_wherever_the_borders_are(seed, borders, centred):
    states = normal(seed, 40, 6) * np.geomspace(1, 1e-3, 6) + 1
    blocks = np.split(states, sorted(borders))
    whole = pod.pod_svd(states, centred=centred)
    assert_same(pod.stream(blocks, centred=centred), whole, 3e-8)
    assert_same(pod.stream(iter(blocks), centred=centred), whole, 3e-8)


@given(seeds, st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_a_stream_of_single_precision_bears_a_large_mean(seed, borders, centred):
    states = (normal(seed, 300, 6) + 1000).astype(np.float32)
    found = pod.stream(np.split(states, sorted(borders)), centred=centred)
    expected = pod.pod_svd(states, centred=centred)
    assert_same(found, expected, 1e-6)
    if centred:
        np.testing.assert_allclose(found.singular_values, expected.singular_values, rtol=1e-6)


def test_a_stream_keeps_no_block():
    def blocks():
        for seed in range(20):
            yield normal(seed, 5_000, 16)

    pod.stream(blocks(), centred=True)
    tracemalloc.start()
    basis = pod.stream(blocks(), centred=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert basis.snapshots == 100_000
    assert peak < 6 * 5_000 * 16 * 8


def test_fewer_snapshots_than_units_may_be_streamed():
    states = normal(0, 5, 12)
    basis = pod.stream([states[:2], states[2:]], centred=True)
    assert basis.modes.shape == (5, 12)
    assert_same(basis, pod.pod_svd(states, centred=True), 3e-8)


# energy


def test_energies_are_shares_of_the_squares():
    basis = pod.pod(np.diag([3.0, 4.0]), centred=False)
    np.testing.assert_allclose(pod.energies(basis), [16 / 25, 9 / 25])
    np.testing.assert_allclose(basis.modes, [[0, 1], [1, 0]], atol=1e-12)


def test_modes_for_a_fraction_are_the_fewest_that_hold_it():
    basis = pod.pod(np.diag(np.sqrt([5.0, 3.0, 2.0])), centred=False)
    asked = [0.01, 0.5, 0.51, 0.8, 0.81, 1.0]
    assert [pod.modes_for(basis, fraction) for fraction in asked] == [1, 1, 2, 2, 3, 3]


@every_route
def test_all_energy_takes_as_many_modes_as_the_rank(route):
    assert pod.modes_for(route(MATRICES["rank-deficient"], centred=True), 1.0) == 4


def test_a_fraction_beyond_the_kept_modes_is_refused():
    basis = pod.pod(np.diag(np.sqrt([5.0, 3.0, 2.0])), centred=False, modes=2)
    assert pod.modes_for(basis, 0.8) == 2
    with pytest.raises(ValueError, match=r"2 modes hold 0.8 of the energy, less than 0.9: keep"):
        pod.modes_for(basis, 0.9)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, np.nan, True, None])
def test_a_fraction_out_of_range_is_refused(as_users, fraction):
    with pytest.raises(ValueError, match=f"fraction {fraction} is out of range"):
        pod.modes_for(pod.pod(np.eye(3), centred=False), fraction)


# encoder and decoder


def test_states_of_encoder_and_decoder_are_joined_along_time():
    encoder, decoder = normal(0, 3, 5, 4), normal(1, 3, 2, 4)
    states = pod.concatenate(encoder, decoder)
    np.testing.assert_array_equal(states[:, :5], encoder)
    np.testing.assert_array_equal(states[:, 5:], decoder)
    assert states.shape == (3, 7, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 2, 6), "the encoder has 4 hidden units and the decoder 6: give the same number"),
        ((2, 2, 4), "the encoder has 3 samples and the decoder 2: give the same number"),
        ((3, 4), r"shape \(3, 4\) of decoder does not fit: give \(sample, time, hidden\)"),
    ],
)
def test_states_that_do_not_fit_are_not_joined(as_users, shape, message):
    with pytest.raises(ValueError, match=message):
        pod.concatenate(np.zeros((3, 5, 4)), np.zeros(shape))


# bad input


@every_route
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@centred_or_not
def test_snapshots_are_finite(route, number, shape, dtype, centred):
    for row in (0, 5):
        states = normal(0, *shape).astype(dtype)
        states[row, 2] = number
        with pytest.raises(ValueError, match="NaN, infinity or a number too large"):
            route(states, centred=centred)


@every_route
def test_numbers_too_large_to_square_are_refused(route):
    with pytest.raises(ValueError, match="a number too large to square is not allowed"):
        route(normal(0, 40, 6) * 1e200, centred=True)


@every_route
@pytest.mark.parametrize("shape", [(10, 4), (4, 10)])
@pytest.mark.parametrize("modes", [-1, 0, 5, 1.5, np.nan, True])
def test_more_modes_than_units_or_snapshots_are_refused(as_users, route, shape, modes):
    message = f"{shape[0]} snapshots of {shape[1]} hidden units do not have {modes} modes: "
    with pytest.raises(ValueError, match=message + "choose from 1 to 4"):
        route(normal(0, *shape), centred=True, modes=modes)


@every_route
@pytest.mark.parametrize("shape", [(100, 5), (3, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_states_that_do_not_vary_are_refused(route, shape, dtype):
    constant = np.tile(np.array([0.1, 1 / 3, 1e6, -0.7, 0], dtype), (shape[0], 1))
    with pytest.raises(ValueError, match="all singular values are zero"):
        route(constant, centred=True)
    with pytest.raises(ValueError, match="all singular values are zero"):
        route(0 * constant, centred=False)
    assert pod.modes_for(route(constant, centred=False), 1 - 1e-6) == 1


@every_route
def test_one_snapshot_is_too_few_to_centre(route):
    with pytest.raises(ValueError, match="1 snapshots are too few: centred modes take at least 2"):
        route(np.ones((1, 3)), centred=True)
    basis = route(np.ones((1, 3)), centred=False)
    np.testing.assert_allclose(basis.modes, np.full((1, 3), 3**-0.5))


@pytest.mark.parametrize("route", [pod.pod, pod.pod_svd, pod.pod_snapshots])
def test_no_snapshot_is_refused(route):
    with pytest.raises(ValueError, match="0 snapshots are too few: uncentred modes take"):
        route(np.ones((0, 3)), centred=False)


@every_route
@pytest.mark.parametrize("shape", [(3,), (6, 0)])
def test_snapshots_have_two_axes_or_more(as_users, route, shape):
    with pytest.raises(ValueError, match=r"give \(\.\.\., hidden\), two axes or more"):
        route(np.ones(shape), centred=True)


@every_route
def test_whether_to_centre_has_no_default(route):
    with pytest.raises(TypeError, match="centred"):
        route(np.eye(3))


def test_blocks_of_different_widths_are_refused():
    with pytest.raises(ValueError, match="a block has 3 hidden units and the first one 4"):
        pod.stream([np.ones((5, 4)), np.ones((5, 3))], centred=True)


@pytest.mark.parametrize("blocks", [[], [np.ones((0, 4))]])
def test_a_stream_without_snapshots_is_refused(blocks):
    with pytest.raises(ValueError, match="the blocks hold no snapshot"):
        pod.stream(blocks, centred=True)


@pytest.mark.parametrize("states", [np.ones((2, 3)), np.float64(1)])
def test_states_of_another_width_are_not_projected(as_users, states):
    basis = pod.pod(np.eye(4), centred=True)
    with pytest.raises(ValueError, match=r"these modes take \(\.\.\., 4\)"):
        pod.project(basis, states)


@pytest.mark.parametrize("coefficients", [np.ones((2, 4)), np.float64(1)])
def test_more_coefficients_than_modes_are_refused(as_users, coefficients):
    basis = pod.pod(np.eye(4), centred=True, modes=3)
    with pytest.raises(ValueError, match="at most 3 each"):
        pod.reconstruct(basis, coefficients)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_states_and_coefficients_are_finite(number):
    basis = pod.pod(np.eye(4), centred=True)
    for function in (partial(pod.project, basis), partial(pod.reconstruct, basis)):
        with pytest.raises(ValueError, match="give finite numbers"):
            function(np.array([1, 2, 3, number]))


USES = {
    "energies": pod.energies,
    "modes_for": lambda basis: pod.modes_for(basis, 0.5),
    "project": lambda basis: pod.project(basis, np.ones(4)),
    "reconstruct": lambda basis: pod.reconstruct(basis, np.ones(4)),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("name", ["modes", "singular_values", "mean"])
def test_a_decomposition_is_finite(use, name):
    basis = pod.pod(normal(0, 9, 4), centred=True)
    getattr(basis, name).flat[1] = np.nan
    with pytest.raises(ValueError, match=f"NaN or infinity in {name} is not allowed"):
        use(basis)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("energy", [0.0, -1.0, np.nan, np.inf])
def test_a_decomposition_has_energy(use, energy):
    basis = pod.pod(normal(0, 9, 4), centred=True)._replace(energy=energy)
    with pytest.raises(ValueError, match=f"the energy of the modes is {energy}: give a number ab"):
        use(basis)


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_parts_of_a_decomposition_fit_each_other(as_users, use):
    basis = pod.pod(normal(0, 9, 4), centred=True)
    with pytest.raises(ValueError, match=r"of modes does not fit: give \(mode, 4\)"):
        use(basis._replace(modes=basis.modes[:, :2]))


def test_modes_may_be_left_out_of_a_decomposition():
    basis = pod.pod(normal(0, 9, 4), centred=True)
    few, states = basis._replace(modes=basis.modes[:2]), normal(1, 5, 4)
    expected = pod.project(basis, states)[:, :2]
    np.testing.assert_allclose(pod.project(few, states), expected, atol=1e-12)
    np.testing.assert_array_equal(pod.energies(few), pod.energies(basis))


# how many modes hold the energy of encoder and decoder


def test_modes_of_encoder_and_decoder_are_counted_together():
    axes = np.linalg.qr(normal(0, 8, 3))[0].T
    # the encoder moves along one direction and the decoder along two others, which are weaker
    encoder = normal(1, 30, 5, 1) * 10 @ axes[:1]
    decoder = normal(2, 30, 5, 2) @ axes[1:]
    found = pod.mode_counts(encoder + 7, decoder + 7, (0.5, 0.99, 1 - 1e-9))
    assert found.tolist() == [1, 3, 3]
    assert pod.mode_counts(encoder, encoder).tolist() == [1, 1]


def test_mode_counts_are_those_of_the_joined_states():
    encoder, decoder = normal(0, 6, 5, 4) + 1, normal(1, 6, 3, 4)
    basis = pod.pod(np.concatenate([encoder, decoder], axis=1), centred=True)
    expected = [pod.modes_for(basis, fraction) for fraction in (0.9, 0.999)]
    assert pod.mode_counts(encoder, decoder, (0.9, 0.999)).tolist() == expected
