import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnatomy.analysis import dynamics
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
def path(model):
    return predictors.trajectory(model, drawn(0).inputs, FRAMES)


@pytest.fixture(scope="module")
def fitted():
    followed = {"validation": examples(drawn(1)), "test": examples(drawn(2))}
    train = examples(drawn(0, 16))
    return predictors.fit(train, predictors.seq2seq(2, 12), RECIPE, [3, 4], followed)


def test_a_trajectory_is_that_of_the_model(model, path):
    for found, expected in zip(
        path, model.trajectory(jnp.asarray(drawn(0).inputs), FRAMES), strict=True
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


def test_a_decoder_goes_on_from_where_it_stood(model, path):
    onward = predictors.onward(model, 4)
    found = onward(path.decoder[:, 2], path.outputs[:, 2])
    np.testing.assert_allclose(found, path.decoder[:, 3:7], atol=1e-5)


def test_a_decoder_that_was_not_pushed_goes_on_beside_itself(model, path):
    onward = predictors.onward(model, 4)
    found = dynamics.push(onward, path.decoder, path.outputs, 2, 1e-6, np.random.default_rng(0))
    assert found.same_time.shape == (16, 4)
    assert found.same_time.max() < 1e-4 and (found.nearest <= found.same_time + 1e-9).all()


def test_a_decoder_with_a_memory_beside_its_state_cannot_go_on_from_the_state():
    network = models.Seq2Seq(2, 12, cell="lstm", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="cell 'lstm' carries more than its hidden state: give"):
        predictors.onward(network, 4)


BAD = {
    "a longer target": (
        {"train": predictors.Examples(np.zeros((8, 5, 2)), np.zeros((9, 5, 2)))},
        "have 8 and 9 rows: give each of them one row for each sample",
    ),
    "nothing to fit": (
        {"train": predictors.Examples(np.zeros((0, 5, 2)), np.zeros((0, 5, 2)))},
        "have 0 rows: give each of them one row for each sample, and at least one",
    ),
    "frames that are NaN": (
        {"train": predictors.Examples(np.zeros((8, 5, 2)), np.full((8, 5, 2), np.nan))},
        r"NaN or infinity in array \[1\] of the training data",
    ),
    "nothing to follow": ({"followed": {}}, "nothing is followed: give examples by name"),
    "no seed": ({"seeds": []}, "there is no seed: give one for each network"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_fitted_is_refused(as_users, changes, message):
    part = examples(drawn(0))
    given = {
        "train": part,
        "create": predictors.seq2seq(2, 12),
        "recipe": RECIPE,
        "seeds": [3],
        "followed": {"validation": part},
    }
    with pytest.raises(ValueError, match=message):
        predictors.fit(**(given | changes))


@pytest.mark.parametrize(
    ("shape", "frames", "message"),
    [
        ((4, 5, 3), 2, r"inputs have shape \(4, 5, 3\): give \(sample, time, 2\)"),
        ((5, 2), 2, r"inputs have shape \(5, 2\): give"),
        ((4, 1, 2), 2, "1 frames to read and 2 to predict: give at least 2"),
        ((4, 5, 2), 0, "5 frames to read and 0 to predict"),
    ],
)
def test_sequences_that_do_not_fit_are_refused(as_users, model, shape, frames, message):
    with pytest.raises(ValueError, match=message):
        predictors.trajectory(model, np.zeros(shape, np.float32), frames)
