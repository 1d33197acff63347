import jax
import numpy as np
import pytest

from rnnatomy.networks import predictors, training
from rnnatomy.store import checkout, results
from rnnatomy.studies import orbits as orbit_study

TINY = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)


def kinds_of(found):
    names = "families", "hidden", "kind"
    return list(zip(*(found[name].tolist() for name in names), strict=True))


@pytest.fixture(scope="module")
def published():
    return results.load_study("orbits")


def tiny(monkeypatch, folder):
    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(orbit_study, "RECIPE", TINY)
    monkeypatch.setattr(orbit_study, "SIZES", (4, 6))
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
    found = study.arrays
    rows = list(
        zip(*(found[name].tolist() for name in ("families", "hidden", "kind")), strict=True)
    )
    trained = [(f, h, 0) for f in (2, 4) for h in (4, 6) for _ in range(2)]
    untrained = [(f, h, 2) for f, h, _ in trained]
    assert rows == trained + untrained + [(2, 4, 1)] * 2 + [(4, 4, 1)] * 2
    assert len(lines) == 10 and "about 0 min left" in lines[-1]
    assert found["along_test"].shape == (8, 3) and found["views"].shape == (20, 3, 5)
    assert found["own"].shape == (20, 54) and found["nearest"].shape == (20, 4, 5)
    assert all(np.isfinite(array).all() for array in found.values())
    assert study.provenance["recipe"] == TINY._asdict()
    assert study.provenance["networks"] == 20 and study.provenance["seeds"] == 2


def test_what_is_followed_ends_where_the_network_ends(small):
    found = small[1].arrays
    np.testing.assert_allclose(found["along_test"][:, -1], found["test_loss"][:8], rtol=1e-4)
    np.testing.assert_allclose(found["along_test"][:, 0], found["test_loss"][8:16], rtol=1e-4)


def test_an_interrupted_study_goes_on_from_the_last_finished_batch(small, monkeypatch):
    folder, study, _ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(predictors, "fit", None)  # nothing is fitted anew
    (folder / "results" / "orbits" / "study.json").unlink()
    orbit_study.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "orbits"))
    for name, array in study.arrays.items():
        np.testing.assert_array_equal(again.arrays[name], array)


def test_a_batch_of_another_recipe_is_made_anew(small, monkeypatch):
    tiny(monkeypatch, small[0])
    monkeypatch.setattr(orbit_study, "RECIPE", TINY._replace(epochs=1))
    monkeypatch.setattr(results, "save_study", lambda folder, study: None)
    made = orbit_study._kept("two", 4, "trained", 2)
    assert made.arrays["along_test"].shape == (2, 2)


def test_a_control_is_trained_on_futures_of_other_sequences(monkeypatch, tmp_path):
    tiny(monkeypatch, tmp_path)
    fit, seen = predictors.fit, []

    def recorded(train, *rest, **options):
        seen.append(train)
        return fit(train, *rest, **options)

    monkeypatch.setattr(predictors, "fit", recorded)
    orbit_study._batch("two", 4, "trained", 1)
    orbit_study._batch("two", 4, "shuffled", 1)
    true, shuffled = seen
    np.testing.assert_array_equal(true.inputs, shuffled.inputs)
    assert not (true.targets == shuffled.targets).all(axis=(1, 2)).any()


def test_the_published_study_is_whole(published):
    found, told = published.arrays, published.provenance
    seeds = told["seeds"]
    assert seeds >= 8 and told["recipe"] == orbit_study.RECIPE._asdict()
    rows = list(
        zip(*(found[name].tolist() for name in ("families", "hidden", "kind")), strict=True)
    )
    counted = {row: rows.count(row) for row in rows}
    sizes = orbit_study.SIZES
    wanted = {(f, h, k) for f in (2, 4) for h in sizes for k in (0, 2)} | {(2, 64, 1), (4, 64, 1)}
    assert counted == dict.fromkeys(wanted, seeds)
    assert told["networks"] == len(found["seed"])
    assert all(np.isfinite(array).all() for array in found.values())


def test_published_rows_of_untrained_networks_are_recomputed(published):
    found = published.arrays
    data = orbit_study.task(np.random.default_rng(0), "four")
    for seed in (0, 3):
        is_row = (found["families"] == 4) & (found["hidden"] == 16) & (found["seed"] == seed)
        (row,) = np.flatnonzero(is_row & (found["kind"] == 2))
        fresh = predictors.seq2seq(2, 16)(jax.random.key(seed))
        again = orbit_study.measure_predictor(fresh, data.test, np.random.default_rng(seed))
        for name, array in again.items():
            np.testing.assert_allclose(found[name][row], array, rtol=0.02, atol=2e-3, err_msg=name)


def test_a_published_training_begins_as_it_does_here(published):
    """The first epoch of one published network, trained again."""
    data = orbit_study.task(np.random.default_rng(0), "two")
    found = published.arrays
    trained = np.flatnonzero(found["kind"] == 0)
    assert (trained == np.arange(len(found["along_test"]))).all()
    is_row = (found["families"] == 2) & (found["hidden"] == 8) & (found["seed"] == 0)
    (row,) = np.flatnonzero(is_row & (found["kind"] == 0))
    create = predictors.seq2seq(2, 8)
    fresh = create(jax.random.key(0))
    outputs = predictors.trajectory(fresh, data.test.inputs, orbit_study.FRAMES_OUT).outputs
    before = np.square(outputs - data.test.targets).mean()
    assert found["along_test"][row, 0] == pytest.approx(before, rel=1e-3)
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
    assert found["along_validation"][row, 1] == pytest.approx(loss, rel=1e-3)
