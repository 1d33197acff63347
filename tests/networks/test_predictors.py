import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import clusters, dynamics, pod, points
from rnnatomy.data import orbits
from rnnatomy.networks import models, predictors, training

FRAMES = 10
RECIPE = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)


def drawn(seed, samples=8, families=orbits.TWO):
    return orbits.orbits(np.random.default_rng(seed), families, samples, 6, FRAMES, 0.0)


def examples(part):
    return predictors.Examples(part.inputs, part.targets)


@pytest.fixture(scope="module")
def model():
    return models.Seq2Seq(2, 12, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def went(model):
    return predictors.trajectory(model, drawn(0).inputs, FRAMES)


@pytest.fixture(scope="module")
def fitted():
    followed = {"validation": examples(drawn(1)), "test": examples(drawn(2))}
    train = examples(drawn(0, 16))
    return predictors.fit(train, predictors.seq2seq(2, 12), RECIPE, [3, 4], followed)


def test_a_trajectory_is_that_of_the_model(model, went):
    for found, expected in zip(
        went, model.trajectory(jnp.asarray(drawn(0).inputs), FRAMES), strict=True
    ):
        assert isinstance(found, np.ndarray)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_fitting_follows_losses_and_states_after_each_epoch(fitted):
    assert {name: array.shape for name, array in fitted.history.items()} == {
        "loss": (2, 2),
        "seconds": (2,),
        "validation_loss": (2, 2),
        "test_loss": (2, 2),
        "states": (2, 2, 16, FRAMES // predictors.SKIP, 12),
    }
    for place in range(2):
        last = training.member(fitted, place)
        for name, seed in {"validation": 1, "test": 2}.items():
            part = drawn(seed)
            found = predictors.trajectory(last, part.inputs, FRAMES)
            loss = np.mean((found.outputs - part.targets) ** 2)
            assert fitted.history[f"{name}_loss"][-1, place] == pytest.approx(loss, rel=1e-4)
        states = predictors.trajectory(last, drawn(1).inputs, FRAMES).decoder[:, ::2]
        np.testing.assert_allclose(fitted.history["states"][-1, place], states, atol=1e-5)


def test_a_network_starts_from_its_seed_and_learns(fitted):
    train = drawn(0, 16)
    for place, seed in enumerate([3, 4]):
        fresh = predictors.seq2seq(2, 12)(jax.random.key(seed))
        outputs = predictors.trajectory(fresh, train.inputs, FRAMES).outputs
        before = np.mean((outputs - train.targets) ** 2)
        after = training.member(fitted, place)
        outputs = predictors.trajectory(after, train.inputs, FRAMES).outputs
        assert np.mean((outputs - train.targets) ** 2) < before
    assert not np.array_equal(*fitted.history["states"][-1])


def planted(rng, radii=(1.0, 4.0), samples=6, time=50):
    """Orbits of two sizes about a common centre; encoders come in from far away."""
    labels = np.tile(np.arange(len(radii)), samples)
    phase = rng.uniform(0, 2 * np.pi, (len(labels), 1)) + 2 * np.pi * np.arange(time) / time
    circle = np.stack([np.cos(phase), np.sin(phase), 0 * phase], axis=-1)
    decoder = np.array(radii)[labels][:, None, None] * circle
    height = np.linspace(20, 1, 20)[:, None] * np.array([0.0, 0.0, 1.0])
    return decoder[:, :1] + height, decoder, labels


def test_approach_finds_planted_distances():
    encoder, decoder, labels = planted(np.random.default_rng(0))
    found = dynamics.approach(encoder, decoder, labels)
    unit = dynamics.orbit_size(decoder)
    assert unit == pytest.approx(np.sqrt((1 + 16) / 2))
    step = 2 * np.pi / 50 * 4 / unit
    assert found.own.shape == found.other.shape == (6, 70)
    np.testing.assert_allclose(found.own[:, :20].mean(0), np.linspace(20, 1, 20) / unit, atol=step)
    assert (found.own[:, 20:] < step).all()
    np.testing.assert_allclose(found.other[:, 20:], 3 / unit, atol=step)


def test_approach_by_brute_force():
    rng = np.random.default_rng(3)
    encoder, decoder = rng.normal(size=(8, 3, 4)), rng.normal(size=(8, 5, 4))
    labels = np.array([5, 2, 5, 2, 5, 5, 2, 7])
    labels = np.append(labels[:7], 2)
    found = dynamics.approach(encoder, decoder, labels)
    measured = [2, 3, 5, 7]  # every second of its class, in order
    givers = [i for i in range(8) if i not in measured]
    whole = np.concatenate([encoder, decoder], axis=1)
    for row, sample in enumerate(measured):
        for time in range(8):
            gaps = {
                giver: np.linalg.norm(decoder[giver] - whole[sample, time], axis=1).min()
                for giver in givers
            }
            own = min(g for giver, g in gaps.items() if labels[giver] == labels[sample])
            other = min(g for giver, g in gaps.items() if labels[giver] != labels[sample])
            unit = dynamics.orbit_size(decoder)
            assert found.own[row, time] * unit == pytest.approx(own)
            assert found.other[row, time] * unit == pytest.approx(other)


def test_one_class_or_a_class_with_one_sample_is_refused():
    encoder, decoder, labels = planted(np.random.default_rng(0))
    for wrong in (np.zeros_like(labels), np.arange(len(labels))):
        with pytest.raises(ValueError, match="give two classes or more, with two each"):
            dynamics.approach(encoder, decoder, wrong)


def linear(factor, frames=8):
    """Dynamics that scale each coordinate at each step."""
    powers = factor ** np.arange(1, frames + 1)[:, None]
    return lambda state, frame: state[:, None] * powers


def test_a_push_dies_out_where_the_dynamics_shrink_it(went):
    found = dynamics.push(linear(np.full(12, 0.5)), went, 3, 0.2, np.random.default_rng(0))
    expected = np.tile(0.2 * 0.5 ** np.arange(1, 9), (16, 1))
    np.testing.assert_allclose(found.same_time, expected, rtol=1e-3, atol=1e-6)
    assert (found.nearest <= found.same_time + 1e-6).all()


def test_a_push_stays_where_the_dynamics_keep_it(went):
    found = dynamics.push(linear(np.ones(12)), went, 3, 0.2, np.random.default_rng(0))
    np.testing.assert_allclose(found.same_time, 0.2, rtol=1e-3)
    np.testing.assert_allclose(found.nearest, 0.2, rtol=1e-3)


def test_going_on_is_what_the_decoder_does(model, went):
    onward = predictors.onward(model, 4)
    found = onward(went.decoder[:, 2], went.outputs[:, 2])
    np.testing.assert_allclose(found, went.decoder[:, 3:7], atol=1e-5)


def test_a_push_of_no_size_or_at_no_state_is_refused(model, went):
    rng = np.random.default_rng(0)
    for at, size in ((FRAMES, 0.1), (-1, 0.1), (0, 0.0)):
        with pytest.raises(ValueError, match=f"give a size above 0, at 0 to {FRAMES - 1}"):
            dynamics.push(predictors.onward(model, 5), went, at, size, rng)


def test_planted_clusters_are_found_under_the_view_that_shows_them():
    rng = np.random.default_rng(0)
    _, decoder, labels = planted(rng, samples=12)
    decoder = decoder + 3 * labels[:, None, None] * np.array([0.0, 0.0, 1.0])
    found = clusters.score_views(decoder, labels, rng)
    assert found["averages"]["kmeans_ari"] == found["averages"]["ward_ari"] == 1
    assert found["averages"]["silhouette"] == pytest.approx(1, abs=0.01)
    assert found["averages"]["kmeans"] == pytest.approx(1, abs=0.01)
    assert found["trajectories"]["silhouette"] < found["averages"]["silhouette"]
    mixed = clusters.score_views(decoder, rng.permutation(labels), rng)
    assert mixed["averages"]["kmeans_ari"] < 0.3 and mixed["averages"]["silhouette"] < 0.3
    assert mixed["averages"]["kmeans"] == pytest.approx(found["averages"]["kmeans"])


def test_modes_are_those_of_the_joined_states(went):
    basis = pod.pod(np.concatenate([went.encoder, went.decoder], axis=1), centred=True)
    expected = [pod.modes_for(basis, 0.9), pod.modes_for(basis, 0.999)]
    assert pod.mode_counts(went, (0.9, 0.999)).tolist() == expected


def test_views_are_those_of_clusters():
    assert list(points.VIEWS.values()) == [
        points.averages,
        points.trajectories,
        points.states,
    ]
