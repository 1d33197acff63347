import jax
import numpy as np
import pytest

from rnnatomy.networks import predictors, training
from rnnatomy.store import checkout, results
from rnnatomy.studies import engine
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
    monkeypatch.setenv("ENGINE", "here")
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
    """A study of one network each, and then of two."""
    folder = tmp_path_factory.mktemp("orbits")
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder)
        orbit_study.publish(1, lambda line: None)
        first = results.load_study("orbits")
        orbit_study.publish(2, lines.append)
        return folder, results.load_study("orbits"), lines, first


def test_a_task_has_as_many_sequences_of_each_family():
    for name, families in orbit_study.TASKS.items():
        data = orbit_study.task(np.random.default_rng(0), name)
        for part, size in zip(data, (800, 48, 100), strict=True):
            assert np.bincount(part.labels).tolist() == [size // len(families)] * len(families)
        assert not np.array_equal(data.train.inputs[:48], data.validation.inputs)


def test_the_study_has_a_row_for_each_network(small):
    _, study, lines, _ = small
    found = study.data
    wanted = {"training": 4, "epoch": 3, "network": 12, "view": 3, "score": 5}
    wanted |= {"frame": 54, "push": 4, "frame_after": 5}
    assert wanted.items() <= found.sizes.items()
    assert all(np.isfinite(array).all() for array in found.data_vars.values())
    assert lines[-1] == "orbits: 12 of 12 jobs done, 6 of them reused"
    assert study.provenance["recipe"] == TINY._asdict()
    assert study.provenance["networks"] == 12 and study.provenance["seeds"] == 2


def test_rows_are_in_order_and_named(monkeypatch, tmp_path):
    """Each network is known by its name: its rows hold the number of its batch and its seed."""

    def counted(batch, seeds, recipe):
        (seed,) = seeds
        number = 100 * batch.hidden + 10 * orbit_study.STATES.index(batch.state) + seed
        number += 1000 * len(orbit_study.TASKS[batch.task])
        sizes = {"view": 3, "score": 5, "push": 4, "fraction": 2, "epoch": 3}
        row = {
            name: np.full([sizes.get(axis, 2) for axis in axes[1:]], number, np.float32)
            for name, axes in orbit_study.AXES.items()
            if axes[0] == "network" or batch.state == "trained"
        }
        return [row]

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


def test_a_study_of_more_networks_reuses_those_of_fewer(small):
    _, study, _, first = small
    told, names = study.provenance, first.data["network"].to_numpy().tolist()
    assert told["jobs"] == 12 and sorted(told["reused"]) == sorted(f"orbits-{n}" for n in names)
    both = study.data.sel(network=names, training=first.data["training"].to_numpy())
    assert both.identical(first.data)
    assert told["wall_seconds"] > first.provenance["wall_seconds"] > 0


def test_a_finished_study_is_reused(small, monkeypatch):
    folder, study, *_ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(orbit_study, "_measure", None)  # nothing is measured anew
    (folder / "results" / "orbits" / "study.json").unlink()
    orbit_study.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "orbits"))
    assert again.data.identical(study.data)
    assert again.provenance["reused"] == "all"


@pytest.fixture
def fits(monkeypatch):
    """What is given to each fit from now on; none of them is done."""
    given = []

    def record(train, create, recipe, *rest):
        given.append((train, recipe))
        raise ArithmeticError("nothing is fitted")

    monkeypatch.setattr(predictors, "fit", record)
    return given


def test_networks_of_another_recipe_are_made_anew(small, monkeypatch, fits):
    tiny(monkeypatch, small[0])
    other = TINY._replace(epochs=1)
    monkeypatch.setattr(orbit_study, "RECIPE", other)
    lines = []
    with pytest.raises(engine.EngineError, match=r"'orbits-two-4-trained-0' .* \(and 3 more\)"):
        orbit_study.publish(1, lines.append)
    # networks that are not trained are the same
    assert lines[-1] == "orbits: 2 of 6 jobs done, 2 of them reused, 4 failed"
    assert [recipe for _, recipe in fits] == [other] * 4


def test_networks_are_measured_alike_alone_and_together(small, monkeypatch):
    """On an accelerator, a job has many seeds."""
    folder, study, *_ = small
    tiny(monkeypatch, folder)
    rows = orbit_study.measure("four", 4, "trained", [1, 0], TINY._asdict())
    for seed, row in zip((1, 0), rows, strict=True):
        name = f"four-4-trained-{seed}"
        alone = study.data.sel(network=name, training=name)
        for array, values in row.items():
            np.testing.assert_allclose(values, alone[array], rtol=1e-4, atol=1e-5, err_msg=array)


def test_a_control_is_trained_on_futures_of_other_sequences(monkeypatch, tmp_path, fits):
    tiny(monkeypatch, tmp_path)
    for state in ("trained", "shuffled"):
        with pytest.raises(ArithmeticError):
            orbit_study.measure("two", 4, state, [0], TINY._asdict())
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
