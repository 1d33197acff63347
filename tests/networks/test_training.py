import os
import random
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from rnnatomy.networks import access, models, training
from rnnatomy.store import disk
from rnnatomy.studies import classifiers

KEYS = jax.random.split(jax.random.key(0), 2)
QUICK = training.Recipe(epochs=4, batch=8, learning_rate=0.05)


class Line(nnx.Module):
    """A linear fit: small enough to compile in no time."""

    def __init__(self, key):
        self.w = nnx.Param(jax.random.normal(key, (3,)))


def line_data(samples=20):
    x = jax.random.normal(jax.random.key(5), (samples, 3))
    return x, x @ jnp.array([1.0, -2.0, 3.0])


def squares(model, batch, moment):
    x, y = batch
    return ((x @ model.w[...] - y) ** 2).mean()


def fit_line(recipe=QUICK, keys=KEYS, loss=squares, **options):
    return training.fit_ensemble(Line, loss, line_data(), recipe, keys, **options)


def raised(recipe):
    """A loss that closes over settings; here, over any named tuple."""

    def loss(model, batch, moment):
        x, y = batch
        return (jnp.abs(x @ model.w[...] - y) ** recipe.clip).mean()

    return loss


def weights(fitted):
    return np.asarray(fitted.parameters["w"][...])


def fit_lstm(small, samples, recipe, keys):
    train = small.train.images[:samples], small.train.labels[:samples]
    create = classifiers.classifier(small, hidden=16)
    return training.fit_ensemble(create, training.cross_entropy, train, recipe, keys)


def fit_lstms(data):
    return fit_lstm(data, 32, training.Recipe(epochs=3, batch=8), KEYS)


@pytest.fixture(scope="module")
def lstms(small):
    return fit_lstms(small)


def arrays(fitted):
    return access.flatten(fitted.parameters)


@pytest.fixture(scope="module")
def overfitted(small):
    recipe = training.Recipe(epochs=60, batch=8, learning_rate=0.03)
    return fit_lstm(small, 8, recipe, KEYS)


def test_one_step_lowers_the_loss(overfitted):
    before, after = overfitted.history["loss"][:2]
    assert (after < before).all()


def test_a_few_dozen_steps_overfit_eight_samples(overfitted, small):
    inputs, labels = jnp.asarray(small.train.images[:8]), jnp.asarray(small.train.labels[:8])
    for place in range(2):
        found = training.evaluate(training.member(overfitted, place), inputs, labels)
        assert found["accuracy"] == 1 and found["cross_entropy"] < 0.1


def test_the_same_keys_give_the_same_bits(lstms, small):
    again = fit_lstms(small)
    for name, array in arrays(lstms).items():
        np.testing.assert_array_equal(array, arrays(again)[name])
        assert name == "readout.bias" or (array[0] != array[1]).any()
    np.testing.assert_array_equal(lstms.history["loss"], again.history["loss"])


def test_a_network_of_an_ensemble_is_the_one_trained_alone(lstms, small):
    alone = fit_lstm(small, 32, training.Recipe(epochs=3, batch=8), KEYS[1:])
    for name, array in arrays(lstms).items():
        np.testing.assert_allclose(array[1], arrays(alone)[name][0], atol=1e-4)
    np.testing.assert_allclose(lstms.history["loss"][:, 1:], alone.history["loss"], atol=1e-4)


def test_fit_is_an_ensemble_of_one():
    one = training.fit(Line, squares, line_data(), QUICK, KEYS[0])
    assert weights(one).shape == (1, 3)
    np.testing.assert_array_equal(weights(one), weights(fit_line(keys=KEYS[:1])))


def test_a_member_holds_its_own_parameters():
    fitted = fit_line()
    for place in range(2):
        np.testing.assert_array_equal(training.member(fitted, place).w[...], weights(fitted)[place])


def test_an_epoch_takes_no_sample_twice_and_leaves_others_out_than_the_next():
    def mask(model, batch, moment):
        return batch.sum() + 0 * model.w[0]

    powers = 2.0 ** np.arange(20, dtype=np.float32)
    fitted = training.fit_ensemble(Line, mask, powers, QUICK._replace(epochs=6), KEYS)
    masks = (2 * fitted.history["loss"]).astype(int)  # two steps of eight samples
    assert {bin(mask).count("1") for mask in masks.flat} == {16}
    assert (np.bitwise_or.reduce(masks) == 2**20 - 1).all()
    assert len(np.unique(masks)) == masks.size


class Echo(nnx.Module):
    """A classifier whose logits are its first frame."""

    def __call__(self, inputs):
        return inputs[:, 0]


@pytest.mark.parametrize("samples", [1, 7, 501])
def test_evaluate_uses_every_sample(samples):
    rng = np.random.default_rng(samples)
    logits = rng.normal(size=(samples, 1, 3)).astype(np.float32)
    labels = rng.integers(0, 3, samples).astype(np.int32)
    labels[-1] = logits[-1].argmin()  # the last sample counts
    found = training.evaluate(Echo(), jnp.asarray(logits), jnp.asarray(labels))
    rows = np.exp(logits[:, 0].astype(np.float64))
    chosen = rows[np.arange(samples), labels] / rows.sum(axis=1)
    assert found["accuracy"] == pytest.approx((rows.argmax(axis=1) == labels).mean())
    assert found["cross_entropy"] == pytest.approx(-np.log(chosen).mean(), rel=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 7, 50])
def test_predict_keeps_every_sample_in_order_whatever_the_batch(batch):
    inputs = jnp.arange(42.0).reshape(7, 2, 3)
    found = training.predict(lambda x: x[:, -1] * 2, inputs, batch=batch)
    np.testing.assert_array_equal(found, inputs[:, -1] * 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs is 0: give a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs is 1.5: give a whole number of at least 1"),
        ({"batch": 0}, "batch is 0: give 1 to 20"),
        ({"batch": 8.0}, "batch is 8.0: give 1 to 20"),
        ({"batch": 21}, "batch is 21: give 1 to 20, the training samples"),
        ({"learning_rate": 0.0}, "learning_rate=0.0.*above 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan.*above 0"),
        ({"learning_rate": float("inf")}, "learning_rate=inf.*above 0"),
        ({"clip": -1.0}, "clip=-1.0.*above 0"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1.*at least 0"),
    ],
)
def test_a_recipe_out_of_range_is_refused(as_users, changed, message):
    with pytest.raises(ValueError, match=message):
        fit_line(QUICK._replace(**changed))


@pytest.mark.parametrize("keys", [KEYS[:0], KEYS[0]])
def test_keys_that_are_not_one_for_each_network_are_refused(as_users, keys):
    with pytest.raises(ValueError, match=r"keys have shape .*: give \(seed,\), one for each"):
        fit_line(keys=keys)


IMAGES = np.random.default_rng(0).random((40, 3, 4)).astype(np.float32)
LABELS = np.arange(40, dtype=np.int32) % 10


def spoil(array, value):
    array = array.astype(np.result_type(array, value))
    array[7] = value
    return array


BAD = {
    "30 labels for 40 images": (
        (IMAGES, LABELS[:30]),
        "the arrays of the training data have 30 and 40 rows: give each of them one row for each",
    ),
    "no sample": ((IMAGES[:0], LABELS[:0]), "have 0 rows: .* one row for each sample, and at"),
    "no array": ((), "the arrays of the training data have no rows"),
    "a number": ((IMAGES, np.int32(3)), "have 0 and 40 rows"),
    "labels from -1": ((IMAGES, LABELS - 1), "labels run from -1 to 8: this network tells 10"),
    "labels from 1": (
        (IMAGES, LABELS + 1),
        "labels run from 1 to 10: .* classes apart, give 0 to 9",
    ),
    "labels beyond 32 bits": (
        (IMAGES, spoil(LABELS, np.int64(2**40))),
        "labels run from 0 to 1099511627776",
    ),
    "NaN": (
        (spoil(IMAGES, np.nan), LABELS),
        r"NaN or infinity in array \[0\] of the training data is not allowed: give finite numbers",
    ),
    "infinity": ((spoil(IMAGES, -np.inf), LABELS), r"NaN or infinity in array \[0\]"),
    "infinity in single precision": (
        (spoil(IMAGES, np.float64(1e300)), LABELS),
        r"NaN or infinity in array \[0\]",
    ),
    "complex numbers": (
        (IMAGES.astype(np.complex64), LABELS),
        r"complex64 in array \[0\] of the training data is not allowed: give real numbers",
    ),
    "words": ((IMAGES, LABELS.astype(str)), r"in array \[1\] of the training data is not allowed"),
    "NaN in a table": ({"a": IMAGES, "b": spoil(IMAGES, np.nan)}, r"infinity in array \['b'\]"),
    "NaN in one array": (spoil(IMAGES, np.nan), "NaN or infinity in the training data"),
}


@pytest.mark.parametrize(("train", "message"), BAD.values(), ids=BAD)
def test_data_that_cannot_be_learnt_from_are_refused(as_users, monkeypatch, train, message):
    monkeypatch.setattr(training, "compiled_epoch", None)  # before anything is compiled
    create = lambda key: models.Classifier(4, 5, 10, rngs=nnx.Rngs(key))  # noqa: E731
    with pytest.raises(ValueError, match=message):
        training.fit(create, training.cross_entropy, train, QUICK, KEYS[0])


def test_labels_are_held_against_the_classes_of_a_classifier_alone():
    """Whole numbers beside the inputs of another model may be anything."""

    def loss(model, batch, moment):
        return squares(model, (batch[0], batch[1].astype(jnp.float32)), moment)

    train = line_data()[0], jnp.arange(-10, 10)
    fitted = training.fit_ensemble(Line, loss, train, QUICK, KEYS)
    assert np.isfinite(fitted.history["loss"]).all()


def updates(recipe, gradients, parameter=0.0):
    optimiser = training.one_cycle(recipe, len(gradients))
    parameter = jnp.array(parameter)
    memory = optimiser.init(parameter)
    for gradient in gradients:
        update, memory = optimiser.update(jnp.array(gradient), memory, parameter)
        yield float(update)


def test_the_learning_rate_peaks_after_three_tenths_and_ends_near_nothing():
    recipe = training.Recipe(learning_rate=0.01, weight_decay=0)
    rates = [-update for update in updates(recipe, [1.0] * 50)]
    assert np.argmax(rates) == 15
    assert rates[15] == pytest.approx(0.01, rel=1e-3)
    assert rates[0] < 0.001 and rates[-1] < 1e-4
    assert np.argmin(np.diff(rates[:16])) >= 0 and (np.diff(rates[15:]) < 0).all()


def test_gradients_are_clipped_by_their_norm():
    recipe = training.Recipe(clip=1.0)
    wild, tame = [1.0, 900.0, 1.0, 50.0], [1.0] * 4
    np.testing.assert_allclose(list(updates(recipe, wild)), list(updates(recipe, tame)))


def test_weights_decay_by_the_learning_rate():
    decayed = list(updates(training.Recipe(weight_decay=0.5, learning_rate=0.01), [0.0] * 50, 2.0))
    assert decayed[15] == pytest.approx(-0.01 * 0.5 * 2.0, rel=1e-3)


def test_each_epoch_is_reported_with_its_metrics():
    told = []

    def measure(model):
        return {"size": jnp.abs(model.w[...]).sum()}

    fitted = fit_line(measure=measure, report=told.append)
    assert [(epoch.number, epoch.of) for epoch in told] == [(k, 4) for k in (1, 2, 3, 4)]
    np.testing.assert_array_equal([epoch.loss for epoch in told], fitted.history["loss"])
    sizes = [epoch.metrics["size"] for epoch in told]
    np.testing.assert_array_equal(sizes, fitted.history["size"])
    np.testing.assert_allclose(sizes[-1], np.abs(weights(fitted)).sum(axis=1), rtol=1e-6)
    assert told[0].left == pytest.approx(3 * told[0].seconds) and told[-1].left == 0


def climb(model, batch, moment):
    """Finite until the first weight has climbed to 1."""
    return jnp.sqrt(1 - model.w[0]) + 0 * batch[0].sum()


def start_below(key):
    model = Line(key)
    model.w[...] = jnp.zeros(3)
    return model


def test_a_loss_that_is_not_finite_stops_with_the_last_finite_epoch_kept(tmp_path):
    path = tmp_path / "a.safetensors"
    recipe = QUICK._replace(epochs=10, learning_rate=0.2)
    told = []

    def fit_climber():
        training.fit_ensemble(
            start_below, climb, line_data(), recipe, KEYS, report=told.append, checkpoint=path
        )

    with pytest.raises(training.NotFiniteError) as caught:
        fit_climber()
    kept = told[-1].number
    assert 1 <= kept < 9
    assert f"network [0, 1] is not finite in epoch {kept + 1}, step " in str(caught.value)
    assert f"lower learning_rate; epoch {kept} is kept in {path}" in str(caught.value)
    stored, _ = disk.read_arrays(path)
    assert sum(name.endswith(".loss") for name in stored) == kept
    assert all(np.isfinite(array).all() for array in stored.values())
    with pytest.raises(training.NotFiniteError, match=f"epoch {kept + 1}, step [12]: lower"):
        fit_climber()
    assert told[-1].number == kept  # no epoch was gone through again


def test_a_loss_that_is_not_finite_says_when_nothing_is_kept():
    def nothing(model, batch, moment):
        return model.w[0] * jnp.nan

    with pytest.raises(
        training.NotFiniteError, match=r"epoch 1, step 1: .* no checkpoint was asked"
    ):
        training.fit_ensemble(Line, nothing, line_data(), QUICK, KEYS)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_the_first_step_that_is_not_finite_is_named(step):
    def late(model, batch, moment):
        return model.w[0] * jnp.where(moment.done < (step - 1) / 8, 1.0, jnp.nan)

    epoch, place = divmod(step - 1, 2)  # two steps in an epoch, four epochs
    with pytest.raises(training.NotFiniteError, match=f"epoch {epoch + 1}, step {place + 1}: "):
        training.fit_ensemble(Line, late, line_data(), QUICK, KEYS)


def test_networks_that_fail_first_are_named():
    assert "network [1, 2] is not finite in epoch 3, step 5:" in training._not_finite(
        3, np.array([6, 4, 4]), None
    )


def noted(note):
    """Return the notes of each step, taken as losses of which an epoch has one."""
    recipe = QUICK._replace(batch=20)

    def loss(model, batch, moment):
        return note(moment) + 0 * model.w[0]

    return training.fit_ensemble(Line, loss, line_data(), recipe, KEYS).history["loss"]


def test_a_loss_is_told_how_much_of_the_training_is_done():
    np.testing.assert_array_equal(noted(lambda moment: moment.done).T, [[0, 0.25, 0.5, 0.75]] * 2)
    halves = training.fit_ensemble(
        Line, lambda model, _, moment: moment.done + 0 * model.w[0], line_data(), QUICK, KEYS
    )
    np.testing.assert_allclose(halves.history["loss"][:, 0], np.arange(0.5, 8, 2) / 8)


def test_each_step_has_a_key_of_its_own_and_the_same_in_each_run():
    drawn = noted(lambda moment: jax.random.uniform(moment.key))
    assert len(np.unique(drawn)) == drawn.size
    np.testing.assert_array_equal(drawn, noted(lambda moment: jax.random.uniform(moment.key)))
    spread = training.fit_ensemble(
        Line,
        lambda model, _, moment: jax.random.normal(moment.key) + 0 * model.w[0],
        line_data(400),
        QUICK._replace(batch=1),
        KEYS,
    )
    assert np.abs(spread.history["loss"]).max() < 0.25  # means of 400 draws that differ


def network(seed=0, count=6):
    """Arrays of some networks, keys among them, and what they share."""
    keys = jax.random.split(jax.random.key(seed), count)
    weights = jax.random.normal(jax.random.key(seed + 1), (count, 3))
    return (keys, {"w": weights}), (jnp.arange(4.0), {"power": jnp.int32(2)})


def noisy(network, *shared):
    key, weights = network
    scale, options = shared
    noise = jax.random.normal(key, (4,))
    outer = jnp.outer(scale + noise, weights["w"])
    return {"outer": outer, "next": jax.random.fold_in(key, options["power"])}, noise.sum()


def assert_each_is_alone(found, networks, shared):
    by_itself = jax.jit(noisy)
    for place in range(len(networks[0])):
        alone, total = by_itself(jax.tree.map(lambda leaf, p=place: leaf[p], networks), *shared)
        np.testing.assert_allclose(found[0]["outer"][place], alone["outer"], rtol=1e-6)
        np.testing.assert_allclose(found[1][place], total, rtol=1e-6)
        assert found[0]["next"][place] == alone["next"]


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("count", [1, 5])
def test_networks_side_by_side_are_each_as_if_alone(monkeypatch, backend, count):
    networks, shared = network(count=count)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert_each_is_alone(training.side_by_side(noisy)(networks, *shared), networks, shared)


def test_networks_side_by_side_need_share_nothing():
    _, found = training.side_by_side(lambda key: (key, jax.random.bits(key)))(KEYS)
    np.testing.assert_array_equal(found, [jax.random.bits(key) for key in KEYS])


SPLIT = """
import os, sys

from rnnatomy.networks import training

training.split_batches()

import jax
from safetensors.numpy import save_file
from rnnatomy.networks import access
from rnnatomy.data import datasets
import test_training

assert len(jax.devices()) == 2
assert os.environ["XLA_FLAGS"] == f"{sys.argv[1]} --xla_cpu_multi_thread_eigen=false"
fitted = test_training.fit_lstms(datasets.digits())
arrays = access.flatten(fitted.parameters)
assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(fitted.parameters))
arrays |= {"loss": fitted.history["loss"]}
if len(sys.argv) > 3:
    drawn = test_training.noted(lambda moment: jax.random.uniform(moment.key))
    odd = test_training.fit_line(test_training.QUICK._replace(batch=7))
    arrays |= {"drawn": drawn, "odd": test_training.weights(odd)}
    test_training.assert_goes_on_to_the_same_bits(test_training.Path(sys.argv[3]), 2)
save_file(arrays, sys.argv[2])
"""


@pytest.fixture(scope="module")
def split(child, tmp_path_factory):
    """What two processes fitted, each of which split batches over two devices."""
    folder = tmp_path_factory.mktemp("devices")
    settings = {"PYTHONPATH": Path(__file__).parent}
    names, flags = ("more", "again"), os.environ["XLA_FLAGS"]
    more = child(SPLIT, flags, folder / "more", folder / "resumed", **settings)
    processes = [more, child(SPLIT, flags, folder / "again", **settings)]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    return [load_file(folder / name) for name in names]


def test_two_devices_fit_the_same_bits_each_time(split):
    for name, array in split[1].items():
        np.testing.assert_array_equal(array, split[0][name])


def test_two_devices_fit_what_one_fits_to_rounding(split, lstms):
    np.testing.assert_allclose(split[0]["loss"], lstms.history["loss"], rtol=1e-5)
    for name, array in arrays(lstms).items():
        np.testing.assert_allclose(split[0][name], array, atol=1e-4)


def test_a_batch_that_two_devices_cannot_share_is_left_whole(split):
    np.testing.assert_array_equal(split[0]["odd"], weights(fit_line(QUICK._replace(batch=7))))


def test_each_part_of_a_batch_has_a_key_of_its_own(split):
    """What is noted is the mean over two draws."""
    drawn, whole = split[0]["drawn"], noted(lambda moment: jax.random.uniform(moment.key))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(KEYS[0], 0), 2), 0)
    assert whole[0, 0] == pytest.approx(float(jax.random.uniform(key)))
    both = [float(jax.random.uniform(jax.random.fold_in(key, part))) for part in range(2)]
    assert drawn[0, 0] == pytest.approx(np.mean(both)) != pytest.approx(both[0])


def test_batches_are_split_only_before_anything_is_computed(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    jnp.zeros(1).block_until_ready()
    with pytest.raises(RuntimeError, match="before any JAX operation is executed"):
        training.split_batches()
    assert "XLA_FLAGS" not in os.environ and len(jax.devices()) == 1


@pytest.fixture
def compiled(caplog):
    """Names of what is compiled in a block, as they come."""

    @contextmanager
    def listening():
        names = []
        caplog.clear()
        with caplog.at_level("WARNING"), jax.log_compiles():
            yield names
        words = [record.getMessage().split() for record in caplog.records]
        names += [word[1] for word in words if word[0] == "Compiling"]

    return listening


def measure_line(model, x, y):
    return {"error": ((x @ model.w[...] - y) ** 2).mean(), "a": x.sum(), "z": y.sum()}


def fit_followed(recipe=QUICK, **options):
    return fit_line(recipe, measure=measure_line, held=line_data(7), **options)


def test_an_epoch_is_compiled_once_for_all_fits_of_equal_shapes(compiled):
    recipe = QUICK._replace(learning_rate=0.0123)  # of no other test
    with compiled() as first:
        fit_followed(recipe)
    assert first.count("jit(epochs)") == 1
    keys = jax.random.split(jax.random.key(1), 2)
    with compiled() as second:
        again = fit_followed(recipe, keys=keys)
    assert second == [] and np.isfinite(again.history["error"]).all()
    with compiled() as other:
        fit_followed(recipe._replace(learning_rate=0.0124))
    assert other.count("jit(epochs)") == 1


def test_a_resumed_run_is_compiled_once_and_keeps_the_order_of_its_names(tmp_path, compiled):
    path = tmp_path / "a.safetensors"
    recipe = QUICK._replace(learning_rate=0.0125)
    with pytest.raises(Stop):
        fit_followed(recipe, checkpoint=path, report=stop_after(2))
    training.compiled_epoch.cache_clear()  # as in a new process
    training._compiled_measure.cache_clear()
    with compiled() as names:
        resumed = fit_followed(recipe, checkpoint=path)
    assert names.count("jit(epochs)") == 1
    assert len([name for name in names if "_each" in name]) == 1
    whole = fit_followed(recipe)
    assert list(resumed.history) == list(whole.history)
    np.testing.assert_array_equal(weights(resumed), weights(whole))


class Stop(Exception):
    pass


def stop_after(number):
    def report(epoch):
        if epoch.number == number:
            raise Stop

    return report


def assert_goes_on_to_the_same_bits(path, number):
    with pytest.raises(Stop):
        fit_line(checkpoint=path, report=stop_after(number))
    told = []
    resumed, whole = fit_line(checkpoint=path, report=told.append), fit_line()
    assert [epoch.number for epoch in told] == list(range(number + 1, 5))
    np.testing.assert_array_equal(weights(resumed), weights(whole))
    np.testing.assert_array_equal(resumed.history["loss"], whole.history["loss"])
    assert resumed.history["seconds"].shape == (4,)


@pytest.mark.parametrize("number", [1, 3, 4])
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, number):
    assert_goes_on_to_the_same_bits(tmp_path / "a.safetensors", number)


@pytest.mark.parametrize(
    "other",
    [
        {"recipe": QUICK._replace(learning_rate=0.1)},
        {"recipe": QUICK._replace(epochs=5)},
        {"keys": KEYS[::-1]},
        {"keys": KEYS[:1]},
        {"loss": squares},
        {"loss": raised(QUICK._replace(clip=3.0))},
    ],
    ids=["learning rate", "epochs", "seeds", "fewer seeds", "loss", "settings of the loss"],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, other):
    path = tmp_path / "a.safetensors"
    given = {"loss": raised(QUICK._replace(clip=2.0))}
    fit_line(**given, checkpoint=path)
    fit_line(loss=raised(QUICK._replace(clip=2.0)), checkpoint=path)  # the same, made again
    content = path.read_bytes()
    with pytest.raises(disk.StoreError, match=r"a\.safetensors belongs to another run: remove it"):
        fit_line(**(given | other), checkpoint=path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_truncated_checkpoint_is_refused(tmp_path, size):
    path = tmp_path / "a.safetensors"
    fit_line(checkpoint=path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(disk.StoreError, match=r"a\.safetensors .* is damaged"):
        fit_line(checkpoint=path)


EPOCHS = 80
TRAIN = """
import os, signal, sys
from pathlib import Path

import jax
from safetensors.numpy import save_file
from rnnatomy.data import datasets
from rnnatomy.networks import access, training
from rnnatomy.studies import classifiers

checkpoint, result = map(Path, sys.argv[1:3])
epochs, kill_after, kill_in_write = map(int, sys.argv[3:])


signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background


def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def report(epoch):
    print(epoch.number, flush=True)
    if epoch.number == kill_after:
        kill()
    if epoch.number == kill_in_write:
        os.replace = kill


data = datasets.digits()
fitted = training.fit(
    classifiers.classifier(data, hidden=8),
    training.cross_entropy,
    (data.train.images[:512], data.train.labels[:512]),
    training.Recipe(epochs=epochs, batch=32),
    jax.random.key(3),
    report=report,
    checkpoint=checkpoint,
)
save_file(access.flatten(fitted.parameters) | {"history": fitted.history["loss"]}, result)
"""


@pytest.fixture
def trainee(child, tmp_path):
    def start(kill_after=0, kill_in_write=0, **settings):
        files = tmp_path / "a.safetensors", tmp_path / "result.safetensors"
        return child(TRAIN, *files, EPOCHS, kill_after, kill_in_write, **settings)

    return start


def ended(process):
    """Wait for a training process; return its exit code and the epochs that it told of."""
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err, err
    return process.returncode, [int(line) for line in out.split()]


@pytest.fixture(scope="module")
def uninterrupted(child, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = child(TRAIN, folder / "a", folder / "result", EPOCHS, 0, 0)
    assert ended(process) == (0, list(range(1, EPOCHS + 1)))
    return (folder / "result").read_bytes()


def result(folder):
    return (folder / "result.safetensors").read_bytes()


def test_a_killed_run_goes_on_to_the_same_bits(trainee, uninterrupted, tmp_path):
    assert ended(trainee(kill_after=3)) == (-signal.SIGKILL, [1, 2, 3])
    # epoch 6 has been gone through, but its checkpoint is not yet in place
    assert ended(trainee(kill_in_write=5)) == (-signal.SIGKILL, [4, 5])
    # and the last process compiles afresh
    last = trainee(JAX_COMPILATION_CACHE_DIR="")
    assert ended(last) == (0, list(range(6, EPOCHS + 1)))
    assert result(tmp_path) == uninterrupted


def test_a_run_killed_at_arbitrary_moments_goes_on_to_the_same_bits(
    trainee, uninterrupted, tmp_path
):
    rng = random.Random(0)
    for epoch in (5, 12, 25):
        process = trainee()
        for line in process.stdout:
            if int(line) >= epoch:
                break
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        assert ended(process)[0] == -signal.SIGKILL
    assert ended(trainee())[0] == 0
    assert result(tmp_path) == uninterrupted


def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_bits(trainee, uninterrupted, tmp_path):
    process = trainee()
    while int(process.stdout.readline()) < 10:
        pass
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0 and err.rstrip().endswith("KeyboardInterrupt")
    code, epochs = ended(trainee())
    assert code == 0 and epochs[0] >= 11
    assert result(tmp_path) == uninterrupted
