import numpy as np
import pytest

from rnnatomy.analysis import dynamics


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def planted(radii=(1.0, 4.0), samples=6, time=50):
    """Orbits of two sizes about a common centre; encoders come in from far away."""
    labels = np.tile(np.arange(len(radii)), samples)
    start = np.random.default_rng(0).uniform(0, 2 * np.pi, (len(labels), 1))
    phase = start + 2 * np.pi * np.arange(time) / time
    circle = np.stack([np.cos(phase), np.sin(phase), 0 * phase], axis=-1)
    decoder = np.array(radii)[labels][:, None, None] * circle
    height = np.linspace(20, 1, 20)[:, None] * np.array([0.0, 0.0, 1.0])
    return decoder[:, :1] + height, decoder, labels


def test_the_size_of_orbits_is_that_of_their_radii():
    _, decoder, _ = planted()
    assert dynamics.orbit_size(decoder) == pytest.approx(np.sqrt((1 + 16) / 2))
    assert dynamics.orbit_size(2 * decoder + 7) == pytest.approx(2 * np.sqrt((1 + 16) / 2))


def test_approach_finds_planted_distances():
    encoder, decoder, labels = planted()
    found = dynamics.approach(encoder, decoder, labels)
    unit = np.sqrt((1 + 16) / 2)
    step = 2 * np.pi / 50 * 4 / unit
    assert found.own.shape == found.other.shape == (6, 70)
    np.testing.assert_allclose(found.own[:, :20].mean(0), np.linspace(20, 1, 20) / unit, atol=step)
    assert (found.own[:, 20:] < step).all()
    np.testing.assert_allclose(found.other[:, 20:], 3 / unit, atol=step)


def test_approach_by_brute_force():
    encoder, decoder = normal(3, 8, 3, 4), normal(4, 8, 5, 4)
    labels = np.array([5, 2, 5, 2, 5, 5, 2, 2])
    found = dynamics.approach(encoder, decoder, labels)
    measured = [2, 3, 5, 7]  # every second of its class, in order
    givers = [i for i in range(8) if i not in measured]
    whole = np.concatenate([encoder, decoder], axis=1)
    unit = np.sqrt(((decoder - decoder.mean(axis=(0, 1))) ** 2).sum() / 40)
    for row, sample in enumerate(measured):
        for time in range(8):
            gaps = {
                giver: np.linalg.norm(decoder[giver] - whole[sample, time], axis=1).min()
                for giver in givers
            }
            own = min(g for giver, g in gaps.items() if labels[giver] == labels[sample])
            other = min(g for giver, g in gaps.items() if labels[giver] != labels[sample])
            assert found.own[row, time] * unit == pytest.approx(own)
            assert found.other[row, time] * unit == pytest.approx(other)


def test_one_class_or_a_class_with_one_sample_is_refused():
    encoder, decoder, labels = planted()
    for wrong in (np.zeros_like(labels), np.arange(len(labels))):
        with pytest.raises(ValueError, match="give two classes or more, with two each"):
            dynamics.approach(encoder, decoder, wrong)


def linear(factor, frames=8):
    """Dynamics that scale each coordinate at each step."""
    powers = factor ** np.arange(1, frames + 1)[:, None]
    return lambda state, frame: state[:, None] * powers


STATES, OUTPUTS = normal(0, 16, 5, 12), normal(1, 16, 5, 2)


def push(onward, at=3, size=0.2):
    return dynamics.push(onward, STATES, OUTPUTS, at, size, np.random.default_rng(0))


def test_a_push_dies_out_where_the_dynamics_shrink_it():
    found = push(linear(np.full(12, 0.5)))
    np.testing.assert_allclose(found.same_time, np.tile(0.2 * 0.5 ** np.arange(1, 9), (16, 1)))
    assert (found.nearest <= found.same_time + 1e-9).all()


def test_a_push_stays_where_the_dynamics_keep_it():
    found = push(linear(np.ones(12)))
    np.testing.assert_allclose(found.same_time, 0.2)
    np.testing.assert_allclose(found.nearest, 0.2)


def test_a_push_along_the_path_is_late_and_on_the_path():
    states = normal(0, 6, 5, 1)
    step = 0.2 * dynamics.orbit_size(states) * np.arange(8)[:, None]
    found = dynamics.push(
        lambda state, _: state[:, None] + step, states, states, 1, 0.2, np.random.default_rng(0)
    )
    np.testing.assert_allclose(found.same_time, 0.2)
    # one step ahead or behind; only at one end is there no state to be at
    np.testing.assert_allclose(found.nearest[:, 1:-1], 0, atol=1e-12)
    np.testing.assert_allclose(found.nearest[:, [0, -1]].sum(axis=1), 0.2)


def test_a_push_starts_from_the_state_and_the_frame_of_its_time():
    given = []

    def onward(state, frame):
        given.append((state, frame))
        return state[:, None]

    push(onward, at=2)
    (free, frame), (pushed, same) = given
    np.testing.assert_array_equal(free, STATES[:, 2])
    np.testing.assert_array_equal(frame, OUTPUTS[:, 2])
    np.testing.assert_array_equal(same, frame)
    away = np.linalg.norm(pushed - free, axis=1)
    np.testing.assert_allclose(away, 0.2 * dynamics.orbit_size(STATES))


def test_pushes_go_in_all_directions():
    found = []

    def onward(state, _):
        found.append(state)
        return state[:, None]

    states = normal(0, 20_000, 2, 3)
    dynamics.push(onward, states, states, 1, 1.0, np.random.default_rng(0))
    directions = (found[1] - found[0]) / dynamics.orbit_size(states)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(directions.T @ directions / 20_000, np.eye(3) / 3, atol=0.02)


@pytest.mark.parametrize(("at", "size"), [(5, 0.1), (-1, 0.1), (0, 0.0), (0, np.nan), (0, np.inf)])
def test_a_push_of_no_size_or_at_no_state_is_refused(at, size):
    with pytest.raises(ValueError, match=f"push of size {size} at {at}: give a size above 0, at 0"):
        push(linear(np.ones(12)), at, size)


@pytest.mark.parametrize(("at", "size"), [(1.5, 0.1), (True, 0.1), (0, "0.1")])
def test_a_push_has_a_number_and_a_size(as_users, at, size):
    with pytest.raises(ValueError, match=f"push of size {size} at {at}: give a size above 0, at 0"):
        push(linear(np.ones(12)), at, size)


def test_dynamics_that_leave_the_numbers_are_refused():
    with pytest.raises(ValueError, match="NaN or infinity in what onward gives"):
        push(lambda state, _: np.full((16, 4, 12), np.inf))


def test_dynamics_give_states_over_time(as_users):
    with pytest.raises(ValueError, match=r"of what onward gives .* give \(16, time, 12\)"):
        push(lambda state, _: state)


@pytest.mark.parametrize("factor", [0.0, 1e25])
def test_orbits_without_a_size_in_their_precision_are_refused(factor):
    states = (factor * STATES).astype(np.float32)
    with pytest.raises(ValueError, match=r"the size of the orbits is (0.0|inf): give states that"):
        dynamics.orbit_size(states)
    with pytest.raises(ValueError, match=r"the size of the orbits is (0.0|inf): give states that"):
        dynamics.approach(states, states, np.arange(16) % 2)
