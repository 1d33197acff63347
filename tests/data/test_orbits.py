from math import inf, nan, pi

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.data import orbits

seeds = st.integers(0, 10_000)
families = st.lists(
    st.builds(
        orbits.Family,
        st.just("any"),
        st.tuples(st.floats(0.5, 2), st.floats(0.5, 2)),
        st.floats(0.01, 3),
        st.sampled_from([1, -1]),
    ),
    min_size=1,
    max_size=4,
)


def draw(seed, families=orbits.TWO, samples=6, frames_in=5, frames_out=7, noise=0.0):
    rng = np.random.default_rng(seed)
    return orbits.orbits(rng, families, samples, frames_in, frames_out, noise)


def whole(data):
    return np.concatenate([data.inputs, data.targets], axis=1).astype(np.float64)


@given(seeds, families)
def test_frames_lie_on_the_curve_of_their_family(seed, families):
    data = draw(seed, families)
    axes = np.array([family.axes for family in families])[data.labels, None]
    scale = np.sqrt(((whole(data) / axes) ** 2).sum(axis=-1))
    np.testing.assert_allclose(scale, scale[:, :1] * np.ones(12), atol=1e-5)
    assert (np.abs(scale - 1) <= orbits.SPREAD + 1e-5).all()


@given(seeds, families)
def test_the_phase_advances_by_the_speed_each_frame_from_inputs_into_targets(seed, families):
    data = draw(seed, families)
    x, y = np.moveaxis(
        whole(data) / np.array([family.axes for family in families])[data.labels, None], -1, 0
    )
    phase = np.arctan2(y, x)
    turned = np.angle(np.exp(1j * np.diff(phase, axis=1)))
    speed = np.array([family.direction * family.speed for family in families])[data.labels]
    np.testing.assert_allclose(turned, speed[:, None] * np.ones(11), atol=1e-5)


def test_samples_start_anywhere_and_differ_in_size():
    data = draw(0, orbits.TWO[:1], samples=2000)
    x, y = data.inputs[:, 0].T
    sectors = np.bincount(((np.arctan2(y, x) + pi) / (2 * pi) * 8).astype(int), minlength=8)
    assert sectors.min() > 2000 / 8 * 0.75
    size = np.hypot(x, y)
    assert size.min() < 0.91 and size.max() > 1.09
    assert size.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("families", [orbits.TWO, orbits.FOUR])
def test_families_are_balanced_and_shuffled(families):
    data = draw(0, families, samples=50)
    assert np.bincount(data.labels).tolist() == [50] * len(families)
    assert len(set(data.labels[:20])) == len(families)
    assert data.names == tuple(family.name for family in families)


def test_arrays_have_the_shapes_asked_for_in_single_precision():
    data = draw(0, orbits.FOUR, samples=3, frames_in=4, frames_out=9)
    assert data.inputs.shape == (12, 4, 2) and data.targets.shape == (12, 9, 2)
    assert data.inputs.dtype == data.targets.dtype == np.float32


@given(seeds)
def test_the_same_seed_gives_the_same_samples_and_another_gives_others(seed):
    first, again, other = draw(seed, noise=0.1), draw(seed, noise=0.1), draw(seed + 1, noise=0.1)
    assert all(np.array_equal(a, b) for a, b in zip(first[:3], again[:3], strict=True))
    assert not np.allclose(first.targets, other.targets)


def test_noise_is_on_the_inputs_only_and_of_the_size_asked_for():
    clean, noisy = (draw(0, samples=500, noise=noise) for noise in (0.0, 0.2))
    np.testing.assert_array_equal(clean.targets, noisy.targets)
    np.testing.assert_array_equal(clean.labels, noisy.labels)
    added = noisy.inputs - clean.inputs
    assert added.std() == pytest.approx(0.2, rel=0.05)
    assert added.mean() == pytest.approx(0, abs=0.01)


def test_single_frames_of_circle_and_ellipse_overlap():
    data = draw(0, samples=500)
    radius = np.linalg.norm(data.inputs, axis=-1)
    circle, ellipse = radius[data.labels == 0], radius[data.labels == 1]
    shared = (ellipse > circle.min()) & (ellipse < circle.max())
    assert shared.mean() > 0.3


def test_in_the_four_families_one_trait_does_not_tell_the_family_but_two_do():
    traits = [(family.axes, family.speed, family.direction) for family in orbits.FOUR]
    for one in range(3):
        assert sorted([t[one] for t in traits].count(t[one]) for t in traits) == [2, 2, 2, 2]
        assert len({tuple(t[i] for i in range(3) if i != one) for t in traits}) == 4


# shuffled futures


@given(seeds, st.integers(1, 12))
def test_shuffled_futures_keep_each_target_once_and_never_its_own(seed, samples):
    data = draw(seed, samples=samples)
    control = orbits.shuffled_futures(np.random.default_rng(seed), data)
    ours, theirs = (d.targets.reshape(len(d.labels), -1) for d in (data, control))
    donor = (theirs[:, None] == ours[None]).all(axis=-1)
    assert (donor.sum(axis=0) == 1).all() and (donor.sum(axis=1) == 1).all()
    assert not donor.diagonal().any()
    np.testing.assert_array_equal(control.inputs, data.inputs)
    np.testing.assert_array_equal(control.labels, data.labels)


def test_shuffled_futures_depend_on_the_seed_only_and_leave_the_data_alone():
    data = draw(0)
    before = data.targets.copy()
    first, again, other = (
        orbits.shuffled_futures(np.random.default_rng(seed), data).targets for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_array_equal(data.targets, before)


def test_a_sample_alone_has_no_other_future():
    with pytest.raises(ValueError, match="1 sample has no other to take a future from"):
        orbits.shuffled_futures(np.random.default_rng(0), draw(0, orbits.TWO[:1], samples=1))


# bad arguments

GOOD = orbits.TWO[0]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"families": ()}, "no family is given"),
        ({"samples": 0}, "samples is 0: give at least 1"),
        ({"frames_in": 0}, "frames_in is 0: give at least 1"),
        ({"frames_out": -2}, "frames_out is -2: give at least 1"),
        ({"noise": -0.1}, "noise is -0.1: give a standard deviation of at least 0"),
        ({"noise": nan}, "noise is nan"),
        ({"noise": inf}, "noise is inf"),
        ({"families": [GOOD._replace(speed=0.0)]}, "'circle' has speed 0.0: give radians per"),
        ({"families": [GOOD._replace(speed=pi)]}, "above 0 and below pi"),
        ({"families": [GOOD._replace(speed=nan)]}, "has speed nan"),
        ({"families": [GOOD, GOOD._replace(direction=0)]}, "has direction 0: give 1 or -1"),
        ({"families": [GOOD._replace(axes=(1.0, 0.0))]}, r"axes \(1.0, 0.0\): give two lengths"),
        ({"families": [GOOD._replace(axes=(inf, 1.0))]}, r"axes \(inf, 1.0\)"),
    ],
)
def test_an_argument_out_of_range_is_refused(argument, message):
    with pytest.raises(ValueError, match=message):
        draw(0, **argument)
