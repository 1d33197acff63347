"""Maps whose fixed points, cycles, circles and exponents are known, and what is refused."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy import optimize
from scipy.linalg import block_diag

from rnnatomy.analysis import maps
from rnnatomy.analysis.maps import fixed, limits

GOLDEN = (np.sqrt(5) - 1) / 2
A, B = 1.4, 0.3


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def uniform(seed, *shape):
    return np.random.default_rng(seed).random(shape)


def henon(h):
    return jnp.stack([1 - A * h[0] ** 2 + h[1], B * h[0]])


def logistic(rate):
    return Partial(lambda_logistic, rate)


def lambda_logistic(rate, h):
    return rate * h * (1 - h)


def linear(matrix):
    return Partial(lambda_linear, matrix)


def lambda_linear(matrix, h):
    return matrix @ h


def gru(*degrees):
    """GRUs of two units with all gates at 1/2, side by side: J(0) = I/2 + (3/4) R(alpha)."""
    return Partial(lambda_gru, 3 * block_diag(*map(turn, np.deg2rad(degrees))))


def lambda_gru(U, h):
    return (jnp.tanh(U @ h / 2) + h) / 2


def turn(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def tanh_net(seed, size, gain):
    return Partial(lambda_tanh, gain * normal(seed, size, size) / np.sqrt(size))


def lambda_tanh(W, h):
    return jnp.tanh(W @ h)


def annuli(h):
    """Circles of radius 1 and 3 attract, one of radius 2 parts them; all turn by one angle."""
    r = jnp.sqrt(h @ h)
    return (1 - 0.1 * (r - 1) * (r - 2) * (r - 3) / r) * (turn(2 * np.pi * GOLDEN) @ h)


# double precision


def test_a_map_is_computed_in_double_precision_and_nothing_else_is():
    one = jax.jit(lambda x: x + 1.0)
    seen = []

    def F(h):
        seen.append(h.dtype)
        return h / 2

    before, compiled = one(np.float32(1)), one._cache_size()
    assert maps.run(F, np.ones((1, 2), np.float32), 3, 2).dtype == np.float64
    assert set(seen) == {np.dtype(np.float64)}
    after = one(np.float32(1))
    assert after.dtype == before.dtype == np.float32 and one._cache_size() == compiled
    assert jnp.asarray(np.ones(2)).dtype == np.float32


def test_other_threads_keep_their_precision():
    inside, other = [], []

    @maps.in_double
    def work():
        thread = threading.Thread(target=lambda: other.append(jnp.ones(2).dtype))
        thread.start()
        thread.join()
        inside.append(jnp.ones(2).dtype)

    work()
    assert (inside, other) == ([np.float64], [np.float32])


def test_precision_comes_back_after_an_error():
    with pytest.raises(ValueError, match="the map gives NaN"):
        maps.run(lambda h: h * jnp.nan, np.ones((1, 2)), 3, 2)
    assert jnp.ones(2).dtype == np.float32


def test_networks_of_one_shape_are_compiled_once():
    starts = normal(0, 8, 3)
    maps.fixed_points(tanh_net(0, 3, 0.5), starts)
    compiled = fixed._descend._cache_size()
    maps.fixed_points(tanh_net(1, 3, 0.5), starts)
    assert fixed._descend._cache_size() == compiled


def test_orbits_are_those_of_a_plain_loop():
    F, starts = gru(60), normal(0, 5, 2)
    states, path = starts, []
    for _ in range(7):
        states = (np.tanh(states @ F.args[0].T / 2) + states) / 2
        path.append(states)
    np.testing.assert_allclose(maps.run(F, starts, 7, 3), np.stack(path[-3:], axis=1), atol=1e-14)


def test_jacobians_are_those_of_finite_differences():
    F, states, size = tanh_net(0, 5, 1.5), normal(1, 4, 5), 1e-6
    W = F.args[0]
    for state, J in zip(states, maps.jacobians(F, states), strict=True):
        for k, along in enumerate(size * np.eye(5)):
            change = np.tanh(W @ (state + along)) - np.tanh(W @ (state - along))
            np.testing.assert_allclose(J[:, k], change / (2 * size), atol=1e-9)
        np.testing.assert_allclose(J, (1 - np.tanh(W @ state) ** 2)[:, None] * W, atol=1e-14)


# fixed points


def test_both_fixed_points_of_henon_are_found_with_their_eigenvalues():
    points = maps.fixed_points(henon, 2 * normal(0, 30, 2))
    x = (B - 1 + np.array([1, -1]) * np.sqrt((1 - B) ** 2 + 4 * A)) / (2 * A)
    expected = np.stack([x, B * x], axis=1)
    order = np.argsort(-points.states[:, 0])
    np.testing.assert_allclose(points.states[order], expected, atol=1e-12)
    for values, place in zip(points.eigenvalues[order], x, strict=True):
        roots = np.roots([1, 2 * A * place, -B])
        np.testing.assert_allclose(values, roots[np.argsort(-np.abs(roots))], atol=1e-12)
    assert points.counts.sum() == 30 and (points.speeds < 1e-10).all()
    assert points.unstable.tolist() == [1, 1] and not points.stable.any()


def test_independent_units_have_every_product_of_their_points():
    points = maps.fixed_points(gru(0), normal(0, 60, 2))
    own = optimize.brentq(lambda x: np.tanh(1.5 * x) - x, 0.1, 2)
    sides = np.rint(points.states / own)
    assert {tuple(side) for side in sides} == {(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1)}
    np.testing.assert_allclose(points.states, sides * own, atol=1e-12)
    np.testing.assert_array_equal(points.unstable, (sides == 0).sum(axis=1))
    np.testing.assert_array_equal(points.stable, (sides != 0).all(axis=1))
    assert (np.diff(points.counts) <= 0).all()


def test_every_root_that_scipy_finds_is_among_the_points():
    F, starts = tanh_net(3, 12, 2.0), normal(1, 100, 12)
    points = maps.fixed_points(F, starts)
    W = F.args[0]
    solved = [optimize.root(lambda h: np.tanh(W @ h) - h, start) for start in starts]
    roots = np.stack([one.x for one in solved if one.success])
    away = np.linalg.norm(roots[:, None] - points.states, axis=2)
    assert away.min(axis=1).max() < 1e-6 and len(points) > 2
    residual = np.tanh(points.states @ W.T) - points.states
    assert np.linalg.norm(residual, axis=1).max() < 1e-10
    J = (1 - points.states[0] ** 2)[:, None] * W
    np.testing.assert_allclose(
        np.abs(points.eigenvalues[0]), np.sort(np.abs(np.linalg.eigvals(J)))[::-1], atol=1e-9
    )


def test_starts_that_come_to_rest_elsewhere_are_left_out():
    # roots at -1 and 1; from 3 and beyond the way leads down to a dip that is none
    points = maps.fixed_points(
        lambda h: h + (h**2 - 1) * ((h - 4) ** 2 + 0.1), np.array([[1.2], [-1.2], [5.0]])
    )
    np.testing.assert_allclose(np.sort(points.states[:, 0]), [-1, 1], atol=1e-12)
    assert points.counts.tolist() == [1, 1]


def test_a_start_above_a_dip_is_tried_again_from_where_the_map_takes_it():
    def F(h):  # a point at 0, and a dip of the speed near 4 that the map passes on its way
        return h - 0.3 * h * ((h - 4) ** 2 + 0.1) / (1 + (h - 4) ** 2)

    start = np.array([[6.0]])
    with pytest.raises(ValueError, match="none of 1 starts comes to a fixed point"):
        maps.fixed_points(F, start, relax=0)
    points = maps.fixed_points(F, start)
    assert points.stable.tolist() == [True]
    np.testing.assert_allclose(points.states, 0, atol=1e-10)


def test_points_are_chosen_joined_and_kept():
    F, starts = gru(0), normal(0, 60, 2)
    points = maps.fixed_points(F, starts)
    assert len(points) == 9 and len(points[2]) == 1 and len(points[:4]) == 4
    np.testing.assert_array_equal(points[2].states, points.states[2:3])
    stable = points[points.stable]
    assert stable.stable.all() and len(stable) == 4
    halves = [maps.fixed_points(F, part) for part in (starts[:30], starts[30:])]
    joined = maps.join(*halves)
    assert len(joined) == 9 and joined.counts.sum() == 60
    away = np.linalg.norm(joined.states[:, None] - points.states, axis=2)
    assert away.min(axis=1).max() < 1e-12
    np.testing.assert_array_equal(joined.counts, points.counts[away.argmin(axis=1)])
    arrays = maps.to_arrays(points)
    assert {array.dtype.kind for array in arrays.values()} == {"f", "i"}
    for again, part in zip(maps.from_arrays(arrays), points, strict=True):
        np.testing.assert_array_equal(again, part)


def test_a_map_of_single_precision_reaches_what_it_can():
    def F(h):
        return jnp.cos(h.astype(jnp.float32))

    points = maps.fixed_points(F, np.array([[0.5]]), tolerance=1e-5)
    assert points.states[0, 0] == pytest.approx(0.7390851, abs=1e-5)
    with pytest.raises(ValueError, match="computes in float32, which cannot reach a tolerance of"):
        maps.fixed_points(F, np.array([[0.5]]))


# slow points


def test_a_ghost_of_two_fixed_points_is_slow_and_not_fixed():
    def ghost(h):
        return jnp.stack([h[0] + h[0] ** 2 + 1e-4, h[1] / 2])

    with pytest.raises(ValueError, match=r"smallest speed is 0\.0001.* or look for slow points"):
        maps.fixed_points(ghost, normal(0, 8, 2))
    points = maps.slow_points(ghost, normal(0, 8, 2), 2e-4, 2)
    assert (points.speeds < 2e-4).all() and (np.abs(points.states[:, 0]) < 0.011).all()
    np.testing.assert_allclose(points.eigenvalues[:, 0], 1 + 2 * points.states[:, 0], atol=1e-12)
    np.testing.assert_allclose(
        np.abs(points.directions), np.eye(2)[None].repeat(len(points.states), 0)
    )


def test_a_line_attractor_is_slow_along_itself_all_along_it():
    basis = np.linalg.qr(normal(0, 4, 4))[0]
    F = linear(basis @ np.diag([1 - 1e-5, 0.5, 0.4, -0.3]) @ basis.T)
    starts = normal(1, 20, 4)
    points = maps.slow_points(F, starts, 1e-4, 1)
    along = points.states @ basis
    assert len(along) == 20 and np.abs(along[:, 1:]).max() < 1e-3
    assert np.ptp(along[:, 0]) > 1
    np.testing.assert_allclose(np.abs(points.directions[:, 0] @ basis[:, 0]), 1, atol=1e-9)
    np.testing.assert_allclose(points.time_constants, 1e5, rtol=1e-4)
    modes = np.linalg.qr(normal(2, 4, 4))[0].T
    shares = maps.shares_in_modes(points.directions, modes)
    expected = np.broadcast_to((modes @ basis[:, 0]) ** 2, shares.shape)
    np.testing.assert_allclose(shares, expected, atol=1e-9)
    assert shares.sum(axis=-1) == pytest.approx(np.ones((20, 1)))


# exponents


def test_exponents_of_henon_are_those_of_the_literature():
    starts = maps.run(henon, 0.1 * normal(0, 64, 2), 100, 1)[:, 0]
    found = maps.lyapunov(henon, starts, 2000, 2)
    np.testing.assert_allclose(found.values.mean(axis=0), [0.4192, -1.6232], atol=0.003)
    np.testing.assert_allclose(found.values.sum(axis=1), np.log(B), atol=1e-12)


def test_exponents_of_the_logistic_map_are_ln_2_within_their_errors():
    found = maps.lyapunov(logistic(4.0), uniform(0, 64, 1), 5000, 1, settle=100)
    off = (found.values - np.log(2)) / found.errors
    assert np.abs(found.values.mean() - np.log(2)) < 1e-3
    assert np.mean(np.abs(off) < 3) > 0.9


def test_exponents_of_the_cat_map_are_the_logarithms_of_its_eigenvalues():
    def cat(h):
        return jnp.stack([2 * h[0] + h[1], h[0] + h[1]]) % 1.0

    found = maps.lyapunov(cat, uniform(0, 3, 2), 200, 2, settle=50)
    exact = np.log((3 + np.sqrt(5)) / 2)
    np.testing.assert_allclose(found.values, [[exact, -exact]] * 3, atol=1e-12)
    assert exact == pytest.approx(0.9624, abs=1e-4) and (found.errors < 1e-12).all()


def test_exponents_of_linear_maps_are_the_logarithms_of_the_moduli():
    basis = normal(0, 5, 5)
    blocks = block_diag(0.9, 0.7 * turn(1.0), -0.4, 0.2)
    F = linear(basis @ blocks @ np.linalg.inv(basis))
    found = maps.lyapunov(F, normal(1, 2, 5), 4000, 5, settle=200)
    np.testing.assert_allclose(found.values, [np.log([0.9, 0.7, 0.7, 0.4, 0.2])] * 2, atol=1e-3)
    leading = maps.lyapunov(F, normal(1, 2, 5), 4000, 2, settle=200)
    np.testing.assert_allclose(leading.values, found.values[:, :2], atol=1e-3)


def test_the_exponent_of_a_circle_is_zero_however_the_run_fits_its_turns():
    """A slow turn of uneven speed, of which blocks hold a whole number."""

    def F(h):
        back = h * (1.5 - h @ h / 2)  # to the circle of radius 1
        angle = 2 * np.pi / 50.1 * (1 + 0.8 * back[0])
        c, s = jnp.cos(angle), jnp.sin(angle)
        return jnp.stack([c * back[0] - s * back[1], s * back[0] + c * back[1]])

    starts = maps.run(F, np.array([[1.0, 0.1], [-1.0, 0.5]]), 500, 1)[:, 0]
    found = maps.lyapunov(F, starts, 4000, 2, settle=100)
    np.testing.assert_allclose(found.values[:, 0], 0, atol=1e-7)
    assert maps.limit_sets(F, starts, 4000).names == ("circle",)


def test_the_sum_of_exponents_is_the_mean_logarithm_of_the_determinant():
    F, start = tanh_net(0, 5, 2.5), normal(1, 1, 5)
    found = maps.lyapunov(F, start, 307, 5)
    path = maps.run(F, start, 307, 307)[0]
    # nine blocks of 34 steps are measured, and the first step is spent on settling
    volumes = np.linalg.slogdet(maps.jacobians(F, path[:-1]))[1]
    inner = np.arange(1, 307) / 307
    weights = np.exp(-1 / inner / (1 - inner))
    assert found.values.sum() == pytest.approx(np.average(volumes, weights=weights), abs=1e-10)
    np.testing.assert_allclose(found.states[0], path[-1], atol=1e-9)


def test_exponents_along_inputs_are_those_of_what_was_fed():
    inputs = uniform(0, 3, 28, 2) + 0.5
    found = maps.driven_lyapunov(lambda h, x: x * h, np.ones((3, 2)), inputs, 2)
    np.testing.assert_allclose(
        found.values.sum(axis=1), np.log(inputs).mean(axis=1).sum(axis=1), atol=1e-12
    )
    settled = maps.driven_lyapunov(lambda h, x: x * h, np.ones((3, 2)), inputs, 2, settle=10)
    np.testing.assert_allclose(
        settled.values.sum(axis=1), np.log(inputs[:, 10:]).mean(axis=1).sum(axis=1), atol=1e-12
    )


def test_constant_input_is_no_input():
    W = normal(0, 3, 3) / 4
    starts, frame = normal(1, 2, 3), normal(2, 3)
    fed = np.tile(frame, (2, 400, 1))
    driven = maps.driven_lyapunov(lambda h, x: jnp.tanh(W @ h + x), starts, fed, 3, settle=100)
    alone = maps.lyapunov(lambda h: jnp.tanh(W @ h + frame), starts, 300, 3, settle=100)
    np.testing.assert_allclose(driven.states, alone.states, atol=1e-12)
    np.testing.assert_allclose(driven.values.sum(axis=1), alone.values.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(driven.values, alone.values, atol=0.02)


def test_a_direction_that_is_wiped_out_has_a_finite_exponent():
    found = maps.lyapunov(linear(np.diag([0.5, 0.0])), np.array([[1.0, 1.0]]), 20, 2, settle=60)
    assert found.values[0, 0] == pytest.approx(np.log(0.5), abs=1e-9)
    assert np.isfinite(found.values).all() and found.values[0, 1] < -30


# cycles and circles


def test_the_two_cycle_of_the_logistic_map_is_that_of_its_formula():
    r = 3.2
    found = maps.cycle(logistic(r), np.array([0.5]), 2)
    root = np.sqrt((r + 1) * (r - 3))
    np.testing.assert_allclose(
        np.sort(found.states[:, 0]), (r + 1 + np.array([-root, root])) / (2 * r), atol=1e-12
    )
    np.testing.assert_allclose(found.multipliers, [4 + 2 * r - r**2], atol=1e-10)
    assert found.period == 2 and found.stable and found.gap < 1e-10


@pytest.mark.parametrize(("rate", "period"), [(3.5, 4), (3.83, 3)])
def test_exponents_of_a_cycle_are_the_logarithms_of_its_multipliers(rate, period):
    F = logistic(rate)
    found = maps.cycle(F, maps.run(F, np.array([[0.3]]), 500, 1)[0, 0], period)
    assert found.period == period
    rates = maps.lyapunov(F, found.states[:1], 1000, 1).values[0]
    np.testing.assert_allclose(rates, np.log(np.abs(found.multipliers)) / period, atol=1e-8)
    np.testing.assert_allclose(limits.cycle_exponents(found), rates, atol=1e-8)


def test_an_unstable_cycle_is_found_and_its_multipliers_are_those_of_the_product():
    found = maps.cycle(henon, np.array([0.9, -0.1]), 2)
    assert found.period == 2 and not found.stable
    np.testing.assert_allclose(np.asarray(henon(found.states[1])), found.states[0], atol=1e-6)
    first, second = maps.jacobians(henon, found.states)
    values = np.linalg.eigvals(second @ first)
    np.testing.assert_allclose(np.sort(found.multipliers.real), np.sort(values), atol=1e-10)


def test_a_cycle_that_closes_before_its_time_has_its_own_period():
    assert maps.cycle(logistic(3.83), np.array([0.15615]), 6).period == 3
    assert maps.cycle(logistic(2.5), np.array([0.5]), 4).period == 1


def test_from_a_circle_shooting_leads_to_the_point_within():
    F = gru(60)
    found = maps.cycle(F, maps.run(F, np.array([[0.1, 0.0]]), 500, 1)[0, 0], 7)
    assert found.period == 1 and not found.stable
    np.testing.assert_allclose(found.states, 0, atol=1e-9)


@pytest.mark.parametrize("turns", [GOLDEN, GOLDEN / 3, 0.03 * GOLDEN, 1 - GOLDEN])
def test_the_rotation_number_is_that_of_the_turns(turns):
    phase = 2 * np.pi * turns * np.arange(2000)
    plane = np.stack([np.cos(phase) + 0.1 * np.cos(2 * phase), 2 * np.sin(phase)], axis=1)
    orbit = np.concatenate([plane, plane[:, :1] ** 2], axis=1) @ normal(0, 3, 6) + 3.0
    found = maps.rotation(orbit)
    assert found.number == pytest.approx(min(turns, 1 - turns), abs=1e-12)
    assert found.error < 1e-7
    assert found.steps_per_turn == pytest.approx(1 / min(turns, 1 - turns), rel=1e-7)


def test_a_curve_that_mostly_goes_round_twice_is_gone_round_once():
    phase = 2 * np.pi * GOLDEN / 3 * np.arange(2000)
    orbit = np.stack([2 * np.cos(2 * phase), 2 * np.sin(2 * phase), np.cos(phase)], axis=1)
    assert maps.rotation(orbit).number == pytest.approx(GOLDEN / 3, abs=1e-12)


def test_a_turn_of_a_map_is_measured_from_a_start_that_comes_to_its_circle():
    found = maps.rotation_number(annuli, np.array([0.5, 0.0]), 1000, settle=500)
    assert found.number == pytest.approx(1 - GOLDEN, abs=1e-12)


def torus():
    """An orbit of two turns that have nothing to do with each other."""
    phases = 2 * np.pi * np.outer(np.arange(2000), [GOLDEN / 3, np.sqrt(2) / 7])
    return np.concatenate([np.cos(phases), np.sin(phases)], axis=1)


@pytest.mark.parametrize(
    "orbit",
    [torus(), normal(0, 500, 3), np.ones((200, 2))],
    ids=["torus", "noise", "point"],
)
def test_what_goes_round_no_curve_has_no_rotation_number(orbit):
    with pytest.raises(ValueError, match="does not go round a closed curve: give"):
        maps.rotation(orbit)


# limit sets


@pytest.mark.parametrize(
    ("degrees", "radii", "second", "steps_per_turn"),
    [
        (75.4, (0.0459, 0.0459), -0.0016, 7.748),
        (70, (0.309, 0.313), -0.0655, 8.575),
        (60, (0.519, 0.536), -0.1618, 10.481),
        (40, None, -0.2804, 17.095),
    ],
)
def test_the_circle_of_a_gru_is_that_of_its_closed_form(degrees, radii, second, steps_per_turn):
    found = maps.limit_sets(gru(degrees), normal(0, 6, 2) / 5, 4000)
    assert found.names == ("circle",) and found.settled.all()
    assert (found.basins == 0).all() and found.shares.tolist() == [1]
    np.testing.assert_allclose(found.exponents[0], [0, second], atol=3e-4)
    if radii:
        sizes = np.linalg.norm(found.orbits[0], axis=1)
        np.testing.assert_allclose((sizes.min(), sizes.max()), radii, atol=6e-4)
    turning = maps.rotation(found.orbits[0])
    assert turning.steps_per_turn == pytest.approx(steps_per_turn, abs=5e-3)
    assert turning.error < 1e-8


def test_beyond_the_bifurcation_the_gru_has_a_fixed_point_alone():
    degrees = 75.6
    found = maps.limit_sets(gru(degrees), normal(0, 6, 2) / 5, 10_000)
    values = np.linalg.eigvals(np.eye(2) / 2 + 0.75 * turn(np.deg2rad(degrees)))
    assert found.names == ("fixed point",) and found.periods.tolist() == [1]
    np.testing.assert_allclose(found.exponents[0], np.log(np.abs(values)), atol=1e-10)
    np.testing.assert_allclose(found.exponents[0], [-0.0005, -0.0005], atol=5e-5)
    np.testing.assert_allclose(found.orbits, 0, atol=1e-10)
    assert np.rad2deg(np.arccos(1 / 4)) == pytest.approx(75.522, abs=1e-3)


def test_starts_that_are_still_on_their_way_end_where_the_others_do():
    found = maps.limit_sets(gru(75.6), normal(0, 20, 2) / 10, 6000)
    assert found.names == ("fixed point",) and found.shares.tolist() == [1]
    assert not found.settled.any()


def test_a_run_that_is_too_short_is_not_settled():
    starts = normal(0, 6, 2) / 5
    assert not maps.limit_sets(gru(75.6), starts, 1000).settled.any()
    assert maps.limit_sets(gru(75.4), starts, 500).settled.mean() < 0.5


def test_each_start_goes_to_the_point_of_its_quadrant():
    starts = normal(1, 50, 2)
    found = maps.limit_sets(gru(0), starts, 300)
    assert found.names == ("fixed point",) * 4 and found.settled.all()
    np.testing.assert_array_equal(np.sign(found.orbits[found.basins, 0]), np.sign(starts))
    assert (np.diff(found.shares) <= 0).all() and found.shares.sum() == 1


@pytest.mark.parametrize("frames", [50.01, 50.2, 25.004])
def test_a_circle_of_nearly_whole_turns_is_one(frames):
    """Its states fill it slowly: orbits lie in the gaps of each other."""
    quarter = turn(2 * np.pi / frames)

    def F(h):
        return (1 - 0.1 * (jnp.sqrt(h @ h) - 3)) * (quarter @ h)

    found = maps.limit_sets(F, normal(0, 12, 2), 1000)
    assert found.names == ("circle",) and found.settled.all()


def test_two_circles_are_told_apart_with_their_basins():
    starts = normal(2, 40, 2) * 1.5
    found = maps.limit_sets(annuli, starts, 500)
    assert found.names == ("circle", "circle") and found.settled.all()
    sizes = np.linalg.norm(found.orbits, axis=2)
    np.testing.assert_allclose(np.ptp(sizes, axis=1), 0, atol=1e-9)
    inside = np.linalg.norm(starts, axis=1) < 2
    np.testing.assert_allclose(sizes[found.basins, 0], np.where(inside, 1, 3), atol=1e-9)
    np.testing.assert_allclose(found.exponents, [[0, np.log(0.8)]] * 2, atol=1e-6)


def test_two_turns_at_once_make_a_torus():
    found = maps.limit_sets(gru(60, 40), normal(1, 8, 4), 2000, count=4)
    assert found.names == ("torus",)
    np.testing.assert_allclose(found.exponents[0], [0, 0, -0.1618, -0.2804], atol=1e-3)


@pytest.mark.parametrize(
    ("rate", "name", "period"),
    [(2.5, "fixed point", 1), (3.2, "cycle", 2), (3.55, "cycle", 8), (3.83, "cycle", 3),
     (3.6, "chaos", 0), (4.0, "chaos", 0)],
)  # fmt: skip
def test_the_logistic_map_ends_as_its_rate_tells(rate, name, period):
    found = maps.limit_sets(logistic(rate), uniform(0, 8, 1), 1000)
    assert found.names == (name,) and found.periods.tolist() == [period]
    assert found.settled.mean() > 0.8


def test_a_cycle_longer_than_what_is_looked_for_is_left_open():
    found = maps.limit_sets(logistic(3.55), uniform(0, 4, 1), 1000, longest=4)
    assert found.names == ("unresolved",) and found.exponents[0, 0] < -0.05


def test_who_runs_away_ends_in_no_set():
    starts = np.concatenate([0.1 * normal(0, 5, 2), 10 + normal(1, 3, 2)])
    found = maps.limit_sets(henon, starts, 2000)
    assert found.names == ("chaos",)
    assert found.basins.tolist() == [0] * 5 + [limits.AWAY] * 3
    assert found.shares.tolist() == [5 / 8]
    np.testing.assert_allclose(found.exponents[0], [0.42, -1.62], atol=0.03)
    none = maps.limit_sets(henon, starts[5:], 200)
    assert none.names == () and (none.basins == limits.AWAY).all() and none.settled.all()


# what is refused

HALF = linear(np.eye(2) / 2)
ONES = np.ones((1, 2))
REFUSED = {
    "a map that leaves its dimension": (
        lambda: maps.fixed_points(lambda h: h[:1], ONES),
        r"the map gives \(1,\) for a state of shape \(2,\): give a map that keeps its dimension",
    ),
    "a map that gives no array": (
        lambda: maps.run(lambda h: (h, h), ONES, 3, 1),
        r"the map gives tuple for a state of shape \(2,\)",
    ),
    "a state that a map does not take": (
        lambda: maps.lyapunov(HALF, np.ones((1, 3)), 10, 1),
        r"the map does not take a state of shape \(3,\): give what it takes",
    ),
    "NaN at a start": (
        lambda: maps.fixed_points(lambda h: jnp.sqrt(h), [[1.0, 1.0], [1.0, -1.0]]),
        "the map gives NaN or infinity at start 1: give starts at which it is finite",
    ),
    "NaN on the way": (
        lambda: maps.limit_sets(lambda h: jnp.sqrt(h - 0.1), [[0.9, 0.9], [0.5, 0.05]], 200),
        "the map gives NaN on the way from start 1: give starts from which it does not",
    ),
    "an orbit that does not stay finite": (
        lambda: maps.lyapunov(henon, [[0.1, 0.1], [9.0, 9.0]], 100, 1),
        "the orbit of start 1 does not stay finite: give starts that do",
    ),
    "no convergence": (
        lambda: maps.fixed_points(lambda h: h + 1.0, ONES),
        r"none of 1 starts comes to a fixed point: the smallest speed is 1\.4, and 1e-10 is asked",
    ),
    "no slow point": (
        lambda: maps.slow_points(lambda h: h + 1.0, ONES, 1e-3, 1),
        r"none of 1 starts comes to a slow point: the smallest speed is 1\.4, and 0\.001 is asked",
    ),
    "more exponents than dimensions": (
        lambda: maps.lyapunov(HALF, ONES, 100, 3),
        "3 exponents of 2 dimensions: give 1 to 2",
    ),
    "more exponents of limit sets": (
        lambda: maps.limit_sets(HALF, ONES, 200, count=4),
        "4 exponents of 2 dimensions: give 1 to 2",
    ),
    "more directions than dimensions": (
        lambda: maps.slow_points(HALF, ONES, 1e-3, 3),
        "3 directions of 2: give 1 to 2",
    ),
    "a period longer than the run": (
        lambda: maps.limit_sets(HALF, ONES, 200, longest=101),
        "a period of up to 101 in a run of which 200 steps are kept: give 1 to 100",
    ),
    "a run too short": (lambda: maps.limit_sets(HALF, ONES, 100), "100 steps: give a whole number"),
    "no bound": (lambda: maps.limit_sets(HALF, ONES, 200, bound=0.0), "bound 0.0 is out of range"),
    "a tolerance of double precision": (
        lambda: maps.fixed_points(HALF, ONES, tolerance=1e-17),
        "the map computes in float64, which cannot reach a tolerance of 1e-17: give at least",
    ),
    "no tolerance": (
        lambda: maps.fixed_points(HALF, ONES, tolerance=0.0),
        r"tolerance 0\.0 is out of range: give a number above 0",
    ),
    "no round": (lambda: maps.fixed_points(HALF, ONES, rounds=0), "0 rounds, points 1e-06 apart"),
    "no whole steps to relax": (
        lambda: maps.fixed_points(HALF, ONES, relax=0.5),
        r"relax is 0\.5: give a whole number of at least 0",
    ),
    "one step": (lambda: maps.lyapunov(HALF, ONES, 1, 1), "1 steps after 0: give whole numbers"),
    "more kept than run": (lambda: maps.run(HALF, ONES, 3, 4), "4 of 3 steps: give at least 1"),
    "no period": (lambda: maps.cycle(HALF, ONES[0], 0), "period 0 is out of range"),
    "no cycle": (
        lambda: maps.cycle(lambda h: h + 1.0, ONES[0], 3),
        "no cycle of period 3 is found from this start: give one that is nearer, another period",
    ),
    "a start that is none": (lambda: maps.run(HALF, [[np.nan, 1]], 3, 1), "NaN or infinity in sta"),
    "one state alone": (
        lambda: maps.run(HALF, ONES[0], 3, 1),
        r"shape \(2,\) of starts does not fit: give \(start, hidden\)",
    ),
    "frames for other starts": (
        lambda: maps.driven_lyapunov(lambda h, x: h, ONES, np.ones((2, 9, 1)), 1),
        r"of inputs does not fit: give \(1, time, feature\)",
    ),
    "all frames to settle": (
        lambda: maps.driven_lyapunov(lambda h, x: h, ONES, np.ones((1, 9, 1)), 1, settle=8),
        "1 steps after 8: give whole numbers",
    ),
    "too short an orbit": (lambda: maps.rotation(np.ones((9, 2))), "9 states: give at least 100"),
    "nothing to join": (maps.join, r"points of dimensions \[\]: give at least one part"),
    "other arrays": (lambda: maps.from_arrays({"a": ONES}), "arrays a are no fixed points: give"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(as_users, case):
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and ". " not in str(caught.value)
