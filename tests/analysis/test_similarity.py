import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from rnnatomy.analysis import similarity


def cloud(seed, samples=60, hidden=5):
    """States whose directions differ in size, away from the origin."""
    return np.random.default_rng(seed).normal(size=(samples, hidden)) * np.arange(1, hidden + 1) + 3


def turned(seed, hidden):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(hidden, hidden)))[0]


MEASURES = {similarity.linear_cka: 1.0, similarity.angular_distance: 0.0}
both = pytest.mark.parametrize(("measure", "same"), MEASURES.items())


@both
@given(scale=st.floats(1e-3, 1e3), moved=st.floats(-10, 10), seed=st.integers(0, 99))
def test_turning_scaling_and_moving_change_nothing(measure, same, scale, moved, seed):
    one, other = cloud(seed), cloud(seed + 1, hidden=4)
    again = scale * one @ turned(seed, 5) + moved
    assert measure(one, again) == pytest.approx(same, abs=1e-5)
    assert measure(again, other) == pytest.approx(measure(one, other), abs=1e-7)


@both
def test_it_is_symmetric_and_units_that_do_nothing_count_for_nothing(measure, same):
    one, other = cloud(0), cloud(1, hidden=3)
    padded = np.hstack([other, np.full((60, 4), 2.0)])
    assert measure(one, other) == pytest.approx(measure(other, one))
    assert measure(one, other) == pytest.approx(measure(one, padded))


def test_a_planted_share_is_found():
    """Two networks that share one of their two directions; all four are orthogonal and centred."""
    shared, own, others = np.sqrt(60) * turned(2, 60)[:, :3].T
    shared, own, others = np.linalg.qr(
        np.stack([one - one.mean() for one in (shared, own, others)]).T
    )[0].T
    for weight in (0.0, 0.5, 0.8, 1.0):
        rest = np.sqrt(1 - weight**2)
        one = np.stack([weight * shared, rest * own], axis=1)
        other = np.stack([weight * shared, rest * others], axis=1)
        # X'X is diag(w^2, 1 - w^2), and so is Y'Y; X'Y is diag(w^2, 0)
        expected = weight**4 / (weight**4 + (1 - weight**2) ** 2)
        assert similarity.linear_cka(one, other) == pytest.approx(expected, abs=1e-12)
        angle = similarity.angular_distance(one, other)
        assert angle == pytest.approx(np.arccos(weight**2), abs=1e-6)


def test_cka_is_that_of_kernels():
    """Kornblith's definition, by HSIC of the tables of inner products."""
    one, other = cloud(3), cloud(4) + cloud(3)
    H = np.eye(60) - 1 / 60
    K, L = (H @ states @ states.T @ H for states in (one, other))
    expected = np.trace(K @ L) / np.sqrt(np.trace(K @ K) * np.trace(L @ L))
    assert similarity.linear_cka(one, other) == pytest.approx(expected)


def test_the_angle_is_that_of_the_best_rotation():
    one, other = cloud(5), cloud(6) + 0.5 * cloud(5)
    one_unit, other_unit = (
        (states - states.mean(axis=0)) / np.linalg.norm(states - states.mean(axis=0))
        for states in (one, other)
    )
    Q, _ = orthogonal_procrustes(one_unit, other_unit)
    expected = np.arccos(np.sum(one_unit @ Q * other_unit))
    assert similarity.angular_distance(one, other) == pytest.approx(expected)
    # no other rotation brings them closer
    for seed in range(20):
        away = np.sum(one_unit @ Q @ turned(seed, 5) * other_unit)
        assert np.arccos(away) >= expected


@given(seed=st.integers(0, 99))
def test_angles_obey_the_triangle_inequality(seed):
    one, two, three = cloud(seed), cloud(seed + 1) + cloud(seed), cloud(seed + 1)
    sides = [similarity.angular_distance(*pair) for pair in ((one, two), (two, three))]
    assert similarity.angular_distance(one, three) <= sum(sides) + 1e-9


def test_strangers_of_many_samples_agree_little():
    one, other = (np.random.default_rng(k).normal(size=(4000, 5)) for k in (0, 1))
    assert similarity.linear_cka(one, other) < 0.01
    # the angle of many more units than needed is small for strangers too: so is that of one point
    assert similarity.angular_distance(one, other) > 1.4


def test_nothing_linear_is_left():
    known, rest = cloud(7, hidden=2), cloud(8, hidden=3)
    states = known @ np.array([[1.0, 2.0, 0.0], [0.0, 1.0, -1.0]]) + rest
    left = similarity.residual(states, known)
    centred = known - known.mean(axis=0)
    np.testing.assert_allclose(centred.T @ left, 0, atol=1e-9)
    np.testing.assert_allclose(left.mean(axis=0), 0, atol=1e-12)
    # as if nothing known had ever been there
    np.testing.assert_allclose(left, similarity.residual(rest, known), atol=1e-10)
    # as QR tells, which knows no least squares
    basis = np.linalg.qr(np.hstack([np.ones((60, 1)), known]))[0]
    np.testing.assert_allclose(left, states - basis @ (basis.T @ states), atol=1e-10)


@both
def test_very_small_and_large_states_do(measure, same):
    one, other = cloud(0), cloud(1)
    assert measure(1e-170 * one, 1e150 * other) == pytest.approx(measure(one, other))


@both
def test_states_that_do_not_vary_are_refused(measure, same):
    for constant in (np.zeros((60, 2)), np.full((60, 2), 0.1), np.full((60, 3), 1e150)):
        with pytest.raises(ValueError, match="states in second do not vary: give at least two"):
            measure(cloud(0), constant)


@pytest.mark.parametrize("call", [*MEASURES, similarity.residual])
def test_samples_must_be_the_same(as_users, call):
    with pytest.raises(ValueError, match="have 60 and 59 samples: give the same samples in all"):
        call(cloud(0), cloud(1, 59))


def test_tables_hold_each_two():
    every = [cloud(k, hidden=3 + k) + np.arange(60)[:, None] for k in range(4)]
    found = similarity.tables(every)
    for i, one in enumerate(every):
        for j, other in enumerate(every):
            assert found.cka[i, j] == pytest.approx(similarity.linear_cka(one, other))
            angle = similarity.angular_distance(one, other)
            assert found.angle[i, j] == pytest.approx(angle, abs=1e-6)


def test_one_network_has_no_other(as_users):
    with pytest.raises(ValueError, match="states of 1 networks are given: give those of two"):
        similarity.tables([cloud(0)])
    with pytest.raises(ValueError, match="network 0 and network 2 have 60 and 59 samples"):
        similarity.tables([cloud(0), cloud(1), cloud(2, 59)])
