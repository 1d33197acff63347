import jax
import numpy as np
import pytest

from rnnatomy.networks import predictors, training
from rnnatomy.store import checkout, results
from rnnatomy.studies import orbits as orbit_study

TINY = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)


def networks_of(data):
    """Families, units and state of each network."""
    names = "families", "hidden", "state"
    return list(zip(*(data[name].to_numpy().tolist() for name in names), strict=True))


@pytest.fixture(scope="module")
def published():
    return results.load_study("orbits")


def tiny(monkeypatch, folder):
    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(orbit_study, "RECIPE", TINY)
    monkeypatch.setattr(orbit_study, "SIZES", (4,))
    monkeypatch.setattr(orbit_study, "CONTROL_SIZE", 4)
    monkeypatch.setattr(orbit_study, "TRAINING", 16)
    monkeypatch.setattr(orbit_study, "TEST", 16)
    monkeypatch.setattr(orbit_study, "FRAMES_IN", 5)
    monkeypatch.setattr(orbit_study, "PUSH_FRAMES", 5)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orbits")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder)
        orbit_study.publish(2, lines.append)
        study = results.load_study("orbits")
    return folder, study, lines


def test_a_task_has_as_many_sequences_of_each_family():
    for name, families in orbit_study.TASKS.items():
        data = orbit_study.task(np.random.default_rng(0), name)
        for part, size in zip(data, (800, 48, 100), strict=True):
            assert np.bincount(part.labels).tolist() == [size // len(families)] * len(families)
        assert not np.array_equal(data.train.inputs[:48], data.validation.inputs)


def test_the_study_has_a_row_for_each_network(small):
    _, study, lines = small
    found = study.data
    wanted = {"training": 4, "epoch": 3, "network": 12, "view": 3, "score": 5}
    wanted |= {"frame": 54, "push": 4, "frame_after": 5}
    assert wanted.items() <= found.sizes.items()
    assert all(np.isfinite(array).all() for array in found.data_vars.values())
    assert len(lines) == 6 and "about 0 min left" in lines[-1]
    assert study.provenance["recipe"] == TINY._asdict()
    assert study.provenance["networks"] == 12 and study.provenance["seeds"] == 2


def test_rows_are_in_order_and_named(monkeypatch, tmp_path):
    """Each network is known by its name: its rows hold the number of its batch and its seed."""

    def counted(batch, networks):
        rows = []
        for seed in range(networks):
            number = 100 * batch.hidden + 10 * orbit_study.STATES.index(batch.state) + seed
            number += 1000 * len(orbit_study.TASKS[batch.task])
            sizes = {"view": 3, "score": 5, "push": 4, "fraction": 2, "epoch": 3}
            rows.append(
                {
                    name: np.full([sizes.get(axis, 2) for axis in axes[1:]], number, np.float32)
                    for name, axes in orbit_study.AXES.items()
                    if axes[0] == "network" or batch.state == "trained"
                }
            )
        axes = ("network", "training")
        arrays = [results.stack(rows, orbit_study.AXES, axis) for axis in axes]
        return results.dataset(arrays[0] | arrays[1], orbit_study.AXES)

    tiny(monkeypatch, tmp_path)
    monkeypatch.setattr(orbit_study, "SIZES", (4, 6))
    monkeypatch.setattr(orbit_study, "_measure", counted)
    orbit_study.publish(2, lambda line: None)
    found = results.load_study("orbits").data
    trained = [(f, h, "trained") for f in (2, 4) for h in (4, 6) for _ in range(2)]
    untrained = [(f, h, "untrained") for f, h, _ in trained]
    shuffled = [(f, 4, "shuffled") for f in (2, 4) for _ in range(2)]
    assert networks_of(found) == trained + untrained + shuffled
    assert found["seed"].to_numpy().tolist() == [0, 1] * 10
    assert found["test_loss"].sel(network="four-6-untrained-1") == 4000 + 600 + 20 + 1
    assert found["own"].sel(network="two-4-shuffled-0")[0] == 2000 + 400 + 10
    assert found["along_test"].sel(training="four-4-trained-1", epoch=2) == 4000 + 400 + 1
    along = found.sel(training="four-4-trained-1")
    assert along["training_hidden"] == 4 and along["training_families"] == 4
    scores = found["scores"].sel(network="two-6-trained-1", view="states", score="ward_ari")
    assert scores == 2000 + 600 + 1


def test_the_study_has_the_published_form(small, published, assert_same_form):
    assert_same_form(small[1].data, published.data)


def test_what_is_followed_ends_where_the_network_ends(small):
    found = small[1].data
    trained = found.sel(network=found["training"].to_numpy())
    for name in ("hidden", "families"):
        np.testing.assert_array_equal(found[f"training_{name}"], trained[name])
    along = found["along_test"].to_numpy()
    np.testing.assert_allclose(along[:, -1], trained["test_loss"], rtol=1e-4)
    before = [name.replace("trained", "untrained") for name in found["training"].to_numpy()]
    np.testing.assert_allclose(along[:, 0], found["test_loss"].sel(network=before), rtol=1e-4)


def test_an_interrupted_study_goes_on_from_the_last_finished_batch(small, monkeypatch):
    folder, study, _ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(predictors, "fit", None)  # nothing is fitted anew
    (folder / "results" / "orbits" / "study.json").unlink()
    orbit_study.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "orbits"))
    assert again.data.identical(study.data)


@pytest.fixture
def fits(monkeypatch):
    """What is given to each fit from now on; none of them is done."""
    given = []

    def record(train, create, recipe, *rest):
        given.append((train, recipe))
        raise KeyboardInterrupt

    monkeypatch.setattr(predictors, "fit", record)
    return given


def test_a_batch_of_another_recipe_is_made_anew(small, monkeypatch, fits):
    tiny(monkeypatch, small[0])
    batch = orbit_study.Batch("two", 4, "trained")
    assert orbit_study._part(batch, 2).provenance["recipe"] == TINY._asdict()
    other = TINY._replace(epochs=1)
    monkeypatch.setattr(orbit_study, "RECIPE", other)
    with pytest.raises(KeyboardInterrupt):
        orbit_study._part(batch, 2)
    assert [recipe for _, recipe in fits] == [other]


def test_a_control_is_trained_on_futures_of_other_sequences(monkeypatch, tmp_path, fits):
    tiny(monkeypatch, tmp_path)
    for state in ("trained", "shuffled"):
        with pytest.raises(KeyboardInterrupt):
            orbit_study._part(orbit_study.Batch("two", 4, state), 1)
    true, shuffled = (train for train, _ in fits)
    np.testing.assert_array_equal(true.inputs, shuffled.inputs)
    assert not (true.targets == shuffled.targets).all(axis=(1, 2)).any()


def test_the_published_study_is_whole(published):
    found, told = published.data, published.provenance
    seeds = told["seeds"]
    assert seeds >= 8 and told["recipe"] == orbit_study.RECIPE._asdict()
    rows, sizes = networks_of(found), orbit_study.SIZES
    states = "trained", "untrained"
    wanted = {(f, h, state) for f in (2, 4) for h in sizes for state in states}
    wanted |= {(f, orbit_study.CONTROL_SIZE, "shuffled") for f in (2, 4)}
    assert {row: rows.count(row) for row in rows} == dict.fromkeys(wanted, seeds)
    assert told["networks"] == found.sizes["network"]
    assert found["training"].to_numpy().tolist() == [
        name for name in found["network"].to_numpy() if "-trained-" in name
    ]
    assert all(np.isfinite(array).all() for array in found.data_vars.values())


def test_published_rows_of_untrained_networks_are_recomputed(published):
    data = orbit_study.task(np.random.default_rng(0), "four")
    for seed in (0, 3):
        row = published.data.sel(network=f"four-16-untrained-{seed}")
        fresh = predictors.seq2seq(2, 16)(jax.random.key(seed))
        again = orbit_study.measure_predictor(fresh, data.test, np.random.default_rng(seed))
        for name, array in again.items():
            np.testing.assert_allclose(row[name], array, rtol=0.02, atol=2e-3, err_msg=name)


def test_a_published_training_begins_as_it_does_here(published):
    """The first epoch of one published network, trained again."""
    data = orbit_study.task(np.random.default_rng(0), "two")
    found = published.data.sel(training="two-8-trained-0")
    create = predictors.seq2seq(2, 8)
    fresh = create(jax.random.key(0))
    outputs = predictors.trajectory(fresh, data.test.inputs, orbit_study.FRAMES_OUT).outputs
    before = np.square(outputs - data.test.targets).mean()
    assert float(found["along_test"].sel(epoch=0)) == pytest.approx(before, rel=1e-3)
    first, epochs = [], orbit_study.RECIPE.epochs

    class Enough(Exception):
        pass

    def stop(epoch):
        first.append(epoch)
        raise Enough

    followed = {"validation": orbit_study.examples(data.validation)}
    train = orbit_study.examples(data.train)
    with pytest.raises(Enough):
        predictors.fit(train, create, orbit_study.RECIPE, [0], followed, report=stop)
    assert first[0].of == epochs
    loss = first[0].metrics["validation_loss"][0]
    assert float(found["along_validation"].sel(epoch=1)) == pytest.approx(loss, rel=1e-3)
