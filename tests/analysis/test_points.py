import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnatomy.analysis import clusters, points, separability

seeds = st.integers(0, 10_000)


def orbits(seed=0, samples=20, time=24, spread=0.05):
    """Circles (0) and ellipses (1) that cross each other, about almost the same centre."""
    rng = np.random.default_rng(seed)
    phase = np.linspace(0, 2 * np.pi, time, endpoint=False)
    turn = np.stack([np.cos(phase), np.sin(phase)], axis=1)
    labels = np.arange(2 * samples) % 2
    axes = np.array([[1.0, 1.0], [1.25, 0.75]])[labels]
    centres = spread * rng.normal(size=(len(labels), 1, 2))
    return axes[:, None] * turn + centres, labels


def test_states_are_the_frames_one_after_the_other():
    sequences = np.arange(24.0).reshape(2, 4, 3)
    cloud, sample = points.states(sequences)
    np.testing.assert_array_equal(cloud, sequences.reshape(8, 3))
    np.testing.assert_array_equal(sample, [0, 0, 0, 0, 1, 1, 1, 1])


def test_trajectories_are_whole_sequences_frame_after_frame():
    sequences = np.arange(24.0).reshape(2, 4, 3)
    cloud, sample = points.trajectories(sequences)
    np.testing.assert_array_equal(cloud, sequences.reshape(2, 12))
    np.testing.assert_array_equal(sample, [0, 1])


@given(seeds, st.integers(1, 7), st.integers(1, 9))
def test_windows_equal_a_loop_over_their_starts(seed, length, stride):
    sequences = np.random.default_rng(seed).normal(size=(3, 7, 2)).astype(np.float32)
    cloud, sample = points.windows(sequences, length, stride)
    expected = [
        (one[start : start + length].ravel(), number)
        for number, one in enumerate(sequences)
        for start in range(0, 7 - length + 1, stride)
    ]
    np.testing.assert_array_equal(cloud, [window for window, _ in expected])
    np.testing.assert_array_equal(sample, [number for _, number in expected])


def test_averages_forget_the_phase_of_an_orbit_and_keep_what_it_goes_round():
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (8, 1)) + 2 * np.pi * np.arange(20) / 20
    middle = np.arange(8)[:, None, None]
    orbits = middle + np.stack([np.cos(phase), np.sin(phase)], axis=-1)
    found = points.averages(orbits)
    np.testing.assert_allclose(found.points, np.tile(np.arange(8.0)[:, None], 2), atol=1e-9)
    assert found.sample.tolist() == list(range(8))


def test_averages_too_large_for_their_precision_are_refused():
    with pytest.raises(ValueError, match="NaN or infinity in the averages"):
        points.averages(np.full((2, 4, 3), 3e38, np.float32))


def test_the_views_are_known_by_what_they_are():
    sequences = np.random.default_rng(0).normal(size=(4, 5, 3))
    ways = {
        "averages": points.averages,
        "trajectories": points.trajectories,
        "states": points.states,
    }
    # published tables have their columns in this order
    assert list(points.VIEWS) == list(ways)
    for name, way in ways.items():
        for found, expected in zip(points.VIEWS[name](sequences), way(sequences), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_circle_and_ellipse_overlap_as_states_and_separate_as_trajectories():
    sequences, labels = orbits()
    views = {
        "states": points.states(sequences),
        "windows": points.windows(sequences, length=8, stride=4),
        "trajectories": points.trajectories(sequences),
    }
    silhouette, fisher, probe = {}, {}, {}
    for name, (cloud, sample) in views.items():
        silhouette[name] = separability.silhouette(cloud, labels[sample])
        fisher[name] = separability.fisher_ratio(cloud, labels[sample])
        probe[name] = separability.probe(cloud, labels[sample], sample)
    assert silhouette["states"] < 0.05 and silhouette["trajectories"] > 0.5
    assert fisher["states"] < 0.01 < 1 < fisher["trajectories"]
    assert probe["states"] < 0.6 and probe["trajectories"] == 1
    assert silhouette["states"] < silhouette["windows"] < silhouette["trajectories"]


def test_kmeans_finds_circle_and_ellipse_among_trajectories_and_not_among_states():
    sequences, labels = orbits()
    ari = {}
    for view in (points.states, points.trajectories):
        cloud, sample = view(sequences)
        found = clusters.kmeans(cloud, 2, np.random.default_rng(0))
        ari[view] = clusters.agreement(found, labels[sample]).ari
    assert ari[points.states] < 0.05 and ari[points.trajectories] == 1


@given(seeds)
def test_standardised_points_have_mean_zero_and_variance_one(seed):
    rng = np.random.default_rng(seed)
    cloud = 1e3 + rng.normal(size=(20, 3)) * [1e-3, 1.0, 1e3]
    found = points.standardise(cloud)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found.var(axis=0), 1)
    np.testing.assert_allclose(points.standardise(found), found, atol=1e-9)


def test_a_coordinate_that_does_not_vary_is_zero_also_where_its_mean_is_rounded():
    cloud = np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])
    assert cloud[:, 0].std() > 0  # the trap: rounding alone
    found = points.standardise(cloud)
    assert not found[:, 0].any()
    np.testing.assert_allclose(found[:, 1], np.sqrt(1.5) * np.array([-1, 0, 1]))


@given(seeds, st.lists(st.integers(1, 60), min_size=1, max_size=4), st.integers(4, 80))
def test_a_subsample_keeps_the_share_of_each_class_and_at_least_one(seed, counts, at_most):
    labels = np.repeat(np.arange(len(counts)), counts)
    rows = points.subsample(np.random.default_rng(seed), labels, at_most)
    kept = np.bincount(labels[rows], minlength=len(counts))
    assert len(rows) == min(at_most, len(labels)) and (np.diff(rows) > 0).all()
    assert kept.min() >= 1
    share = len(rows) * np.array(counts) / len(labels)
    assert (np.abs(kept - share) < len(counts)).all()


def test_a_subsample_gives_each_point_the_same_chance_and_repeats_with_its_rng():
    labels = np.repeat([0, 1], [30, 10])
    rng = np.random.default_rng(0)
    drawn = np.bincount(
        np.concatenate([points.subsample(rng, labels, 12) for _ in range(2000)]), minlength=40
    )
    np.testing.assert_allclose(drawn / 2000, 0.3, atol=0.05)
    one, two = (points.subsample(np.random.default_rng(5), labels, 12) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("cloud", [np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 2))])
def test_points_have_two_axes(as_users, cloud):
    with pytest.raises(ValueError, match=r"of points does not fit: give \(point, feature\), at le"):
        points.standardise(cloud)


def test_points_that_are_all_the_same_are_not_standardised():
    with pytest.raises(ValueError, match="no coordinate varies from point to point"):
        points.standardise(np.full((6, 2), 0.1))


def test_standardised_points_are_taken_read_only_and_stay_as_they_were():
    cloud = np.random.default_rng(0).normal(size=(6, 2))
    before = cloud.copy()
    cloud.flags.writeable = False
    points.standardise(cloud)
    np.testing.assert_array_equal(cloud, before)


@pytest.mark.parametrize("sequences", [np.zeros((4, 3)), np.zeros((2, 0, 3)), np.zeros((0, 2, 3))])
@pytest.mark.parametrize("view", points.VIEWS.values(), ids=points.VIEWS)
def test_sequences_have_three_axes(as_users, view, sequences):
    with pytest.raises(ValueError, match=r"give \(sample, time, feature\), at least"):
        view(sequences)


def test_a_window_longer_than_the_sequence_is_refused():
    with pytest.raises(ValueError, match="4 frames are too few frames for one window of 5"):
        points.windows(np.zeros((2, 4, 3)), length=5, stride=1)


@pytest.mark.parametrize(("length", "stride"), [(0, 1), (1, 0), (2, -1)])
def test_windows_and_strides_have_frames(length, stride):
    with pytest.raises(ValueError, match=f"length is {length} and stride {stride}: give at least"):
        points.windows(np.zeros((2, 4, 3)), length, stride)


@pytest.mark.parametrize(("length", "stride"), [(1.5, 1), (1, 1.5), (True, 1), (np.nan, 1)])
def test_windows_and_strides_are_whole_numbers_of_frames(as_users, length, stride):
    with pytest.raises(ValueError, match="frame for each, in whole numbers"):
        points.windows(np.zeros((2, 4, 3)), length, stride)


def test_a_subsample_holds_every_class():
    with pytest.raises(ValueError, match="2 points cannot hold 3 classes"):
        points.subsample(np.random.default_rng(0), np.arange(9) % 3, 2)


@pytest.mark.parametrize("at_most", [0, -1, 4.5, np.nan])
def test_a_subsample_has_a_whole_number_of_points(as_users, at_most):
    with pytest.raises(ValueError, match=f"at_most is {at_most}: give a whole number of points"):
        points.subsample(np.random.default_rng(0), np.arange(9) % 3, at_most)
