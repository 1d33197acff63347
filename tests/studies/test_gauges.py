import os
from pathlib import Path

import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.data import mocap, orbits
from rnnatomy.networks import predictors, training
from rnnatomy.store import results
from rnnatomy.studies import engine, gauges, gauges_page
from rnnatomy.studies import orbits as orbit_study
from rnnatomy.studies.movement import embeddings, fitting, protocols, study

REAL_DATA = os.environ.get("RNNATOMY_DATA")
TINY = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)


def not_fitted(*given, **options):
    """Stand in for training; the loss falls."""
    fitted = synthetic.not_fitted(*given, **options)
    seeds = len(fitted.history["00"][0])
    loss = np.linspace(1, 0.5, len(fitted.history["00"]))
    return fitted._replace(history=fitted.history | {"loss": np.tile(loss[:, None], seeds)})


def drawn(actions):
    """Four sequences of each action, of which two are held out, but one of the last."""
    counts = {"washwindow": 1}
    return [synthetic.sequence(a, n) for a in actions for n in range(1, counts.get(a, 4) + 1)]


def tiny(monkeypatch, folder):
    """Let the study be one of few networks that are not fitted."""
    synthetic.patch_study(monkeypatch, folder)
    monkeypatch.setattr(training, "fit_ensemble", not_fitted)
    monkeypatch.setattr(mocap, "sequences", drawn)
    settings = {"RECIPE": TINY, "SIZES": (4,), "TRAINING": 16, "TEST": 16}
    for name, value in (settings | {"FRAMES_IN": 5, "FRAMES_OUT": 6}).items():
        monkeypatch.setattr(orbit_study, name, value)
    monkeypatch.setattr(gauges, "FEW", 8)
    monkeypatch.setattr(gauges, "FEW_SIZES", (4,))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("gauges"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder)
        gauges.publish(2, lines.append)
        return folder, results.load_study("gauges"), lines


@pytest.fixture
def fresh():
    return predictors.seq2seq(2, 6)(jax.random.key(0))


def test_the_study_has_a_row_for_each_training(small):
    _, made, lines = small
    data = made.data
    assert {name: array.dims for name, array in data.data_vars.items()} == gauges.AXES
    sizes = {"orbits": 4, "few": 4, "same": 2, "held": 1}
    assert {name: data.sizes[f"{name}_training"] for name in sizes} == sizes
    assert {data.sizes[f"{name}_epoch"] for name in sizes} == {3}
    assert data["gauge"].to_numpy().tolist() == list(gauges.GAUGES)
    assert data["better"].to_numpy().tolist() == list(gauges.GAUGES.values())
    assert data["few_training"].to_numpy()[:2].tolist() == ["few-two-4-0", "few-two-4-1"]
    assert data["same_training"].to_numpy().tolist() == ["same-three-0", "same-three_short-0"]
    assert lines[-1] == "gauges: 11 of 11 jobs done"
    assert made.provenance["jobs"] == 11 and made.provenance["seeds"] == 2


def test_all_is_known_but_a_validation_error_where_nothing_is_held_out(small):
    data = small[1].data
    for name in gauges.PARTS:
        known = np.isfinite(data[f"{name}_gauges"])
        assert known.sel(gauge="validation error").all() == (name != "same")
        assert known.drop_sel(gauge="validation error").all()
        assert np.isfinite(data[f"{name}_error"]).all()
        assert data[f"{name}_gauges"].dtype == np.float32


def test_before_training_nothing_has_changed(small):
    data = small[1].data
    for name, units in {"orbits": 4, "few": 4, "same": 5, "held": 5}.items():
        first = data[f"{name}_gauges"].isel({f"{name}_epoch": 0})
        assert (first.sel(gauge="size of the change") == 0).all()
        assert (first.sel(gauge="stable rank of the change") == units).all()
        np.testing.assert_allclose(first.sel(gauge="stable rank"), units, rtol=1e-5)


def test_a_row_of_circle_and_ellipse_is_recomputed(small, monkeypatch):
    tiny(monkeypatch, small[0])
    row = small[1].data.sel(orbits_training="orbits-four-4-1", orbits_epoch=0)
    data = orbit_study.task(np.random.default_rng(0), "four")
    model = predictors.seq2seq(2, 4)(jax.random.key(1))
    went = predictors.trajectory(model, data.test.inputs, 6)
    wrong = np.square(went.outputs - data.test.targets).mean()
    assert float(row["orbits_error"]) == pytest.approx(wrong, rel=1e-4)
    told = row["orbits_gauges"].sel
    for name, part in {"validation error": data.validation, "training loss": data.train}.items():
        outputs = predictors.trajectory(model, part.inputs, 6).outputs
        wrong = np.square(outputs - part.targets).mean()
        assert float(told(gauge=name)) == pytest.approx(wrong, rel=1e-4)
    states = predictors.trajectory(model, data.validation.inputs, 6).decoder[:, ::2]
    variances = np.linalg.eigvalsh(np.cov(states.reshape(-1, 4).T))
    participation = variances.sum() ** 2 / np.square(variances).sum()
    assert float(told(gauge="participation ratio")) == pytest.approx(participation, rel=1e-3)
    half = predictors.trajectory(model, data.validation.inputs[:, :3], 2).outputs
    wrong = np.square(half - data.validation.inputs[:, 3:]).mean()
    assert float(told(gauge="error on inputs")) == pytest.approx(wrong, rel=1e-4)
    scored = orbit_study.scores(states, data.validation.labels, np.random.default_rng(1))
    assert float(told(gauge="silhouette")) == pytest.approx(scored[0, 1], abs=1e-4)


def test_a_row_of_people_is_what_the_study_of_movement_says(small, monkeypatch):
    tiny(monkeypatch, small[0])
    plan, parts = protocols.HELD_OUT, protocols.hold_out(mocap.sequences(mocap.ACTIONS), 0)
    model = fitting.untrained(111, plan, 0)
    row = small[1].data.isel(held_training=0, held_epoch=0)
    rows = embeddings.state_rows(model, parts.held, parts.training, plan)
    told = row["held_gauges"].sel
    people = gauges.split_held(parts)
    for name, sequences in {"validation error": people.validation, "error": people.test}.items():
        found = row["held_error"] if name == "error" else told(gauge=name)
        wrong = fitting.error(model, sequences, plan)
        assert float(found) == pytest.approx(wrong, rel=1e-4)
    points = np.concatenate([part.points for part in rows["decoder states"]])
    shape = np.linalg.eigvalsh(np.cov(points.T))[::-1]
    modes = 1 + np.searchsorted(np.cumsum(shape) / shape.sum(), 0.95)
    assert float(told(gauge="modes")) == modes


def test_finished_jobs_are_reused(small, monkeypatch):
    folder, made, _ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(training, "fit_ensemble", None)  # nothing is fitted anew
    (folder / "results" / "gauges" / "study.json").unlink()
    gauges.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "gauges"))
    assert again.data.identical(made.data) and again.provenance["reused"] == "all"


def test_a_job_refuses_other_movements(small, monkeypatch):
    tiny(monkeypatch, small[0])
    for work, settings in ((gauges.follow_same, "three"), (gauges.follow_held, 0)):
        with pytest.raises(engine.EngineError, match="and the job asks for 0000: give"):
            work(settings, [0], "0000")


def test_networks_are_those_of_the_study_of_orbits(monkeypatch):
    """Fitted alike, whatever is measured after an epoch; and kept after each."""
    for name, value in {"TRAINING": 16, "TEST": 16, "FRAMES_IN": 5, "FRAMES_OUT": 6}.items():
        monkeypatch.setattr(orbit_study, name, value)
    data = orbit_study.task(np.random.default_rng(0), "two")
    theirs = orbit_study._fit(orbit_study.Batch("two", 4, "trained"), data, [3], TINY)
    ours = gauges.fit_orbits(orbit_study.examples(data.train), 4, [3], TINY)
    jax.tree.map(np.testing.assert_array_equal, ours.parameters, theirs.parameters)
    np.testing.assert_array_equal(ours.history["loss"], theirs.history["loss"])
    errors = [
        gauges.error(model, orbit_study.examples(data.test))
        for model in fitting.networks_by_epoch(ours, 0)
    ]
    np.testing.assert_allclose(errors, theirs.history["test_loss"][:, 0], rtol=1e-4)


def test_few_sequences_come_again_with_the_same_noise():
    drawn = orbits.orbits(np.random.default_rng(0), orbits.TWO, 20, 5, 6, 0.0)
    given = orbit_study.examples(drawn)
    made = gauges.few_and_noisy(given, np.random.default_rng(1))
    few = gauges.FEW
    assert made.inputs.shape == given.inputs.shape and made.targets.dtype == given.targets.dtype
    for part in made:
        np.testing.assert_array_equal(part[few : 2 * few], part[:few])
    np.testing.assert_array_equal(made.inputs[:few], given.inputs[:few])
    noise = made.targets[:few] - given.targets[:few]
    assert noise.std() == pytest.approx(gauges.FEW_NOISE, rel=0.15)


def test_what_is_held_out_is_split_by_sequence():
    parts = protocols.hold_out(drawn(mocap.ACTIONS), 0)
    people, names = gauges.split_held(parts), [each.name for each in parts.recorded]
    places = {id(frames): name for frames, name in zip(parts.held, names, strict=True)}
    validation, test = (
        [places[id(frames)] for frames in some] for some in (people.validation, people.test)
    )
    assert validation == [f"{action}_1" for action in mocap.ACTIONS[:-1]]
    # an action of which one sequence is held out has none to spare
    assert test == [*(f"{action}_2" for action in mocap.ACTIONS[:-1]), names[-1]]
    assert people.watched is parts.held and people.training is parts.training
    assert people.kinds == len(mocap.ACTIONS)


def test_dimensions_of_planted_states_are_counted():
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    points = np.concatenate([axes[:2], -axes[:2]]).reshape(2, 2, 5)
    found = gauges.of_states(points)
    assert found["participation ratio"] == pytest.approx(2) and found["modes"] == 2


def test_weights_are_measured_against_those_before_training(fresh):
    model = predictors.seq2seq(2, 6)(jax.random.key(0))
    kernel = model.decoder.dense_h.kernel
    change = np.zeros((6, 18), np.float32)
    change[:, :6] = np.outer(np.arange(6), np.ones(6))
    kernel[...] = kernel[...] + change
    found = gauges.of_weights(model, fresh)
    # one gate has a change of rank one, but for what is taken as a multiple; two have none
    assert 4 < found["stable rank of the change"] < 5
    assert 0 < found["size of the change"] <= np.linalg.norm(change) / np.sqrt(6) / 3 + 1e-6
    before = gauges.of_weights(fresh, fresh)
    assert before["stable rank"] > found["stable rank"] and before["alpha"] > found["alpha"]
    squares = [np.square(np.asarray(leaf)).sum() for leaf in jax.tree.leaves(fitting.leaves(fresh))]
    assert before["norm of the weights"] == pytest.approx(np.sqrt(np.sum(squares)), rel=1e-5)


def test_a_decoder_that_writes_a_constant_has_lost_all_energy_but_its_place(fresh):
    fresh.readout.kernel[...] = 0 * fresh.readout.kernel[...]
    fresh.readout.bias[...] = np.array([3.0, 0.0], np.float32)
    inputs = np.random.default_rng(0).uniform(-1, 1, (50, 6, 2)).astype(np.float32)
    inputs[0, 0], inputs[0, 1] = (-1, -1), (1, 1)
    found = gauges.of_loop(fresh, inputs, 4)
    centre = inputs.mean(axis=(0, 1))
    energy = np.square(inputs - centre).mean()
    apart = np.square(np.array([3, 0]) - centre).mean()
    assert found["drift"] == pytest.approx(np.log(apart / energy), rel=1e-4)
    assert found["out of range"] == pytest.approx((3 - 1) ** 2 / 2 / energy, rel=1e-4)
    wrong = np.square(np.array([3, 0]) - inputs[:, 3:]).mean()
    assert found["error on inputs"] == pytest.approx(wrong, rel=1e-4)


def test_the_whole_study_is_small():
    trainings = gauges._trainings(8)
    sizes = {part: len(settings) for part, settings in trainings.items()}
    assert sizes == {"orbits": 80, "few": 32, "same": 16, "held": 20}
    along = gauges._coordinates(trainings)
    numbers = sum(count * len(along[f"{part}_epoch"]) for part, count in sizes.items())
    assert 4 * numbers * (1 + len(gauges.GAUGES)) < 290e3


@pytest.fixture
def published(load_published):
    return load_published("gauges")


def test_the_published_study_is_whole(small, published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(small[1].data, data)
    assert gauges._facts().items() <= told.items() and told["seeds"] >= 8
    for name in gauges.PARTS:
        rows = list(gauges._trainings(told["seeds"])[name])
        assert data[f"{name}_training"].to_numpy().tolist() == rows
    assert np.isfinite(data.drop_sel(gauge="validation error")["same_gauges"]).all()
    folder = Path(__file__).resolve().parents[2] / "results" / "gauges"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 300e3
    assert set(gauges_page.parts(data)) == set(gauges.PARTS)


def test_published_rows_without_training_are_recomputed(published):
    data = orbit_study.task(np.random.default_rng(0), "four")
    model = predictors.seq2seq(2, 16)(jax.random.key(2))
    found = gauges._of_orbits(model, model, data.validation, 2)
    row = published.data.sel(orbits_training="orbits-four-16-2", orbits_epoch=0)
    for name in set(found) - {"alpha"}:  # of equal singular values, whose differences are rounding
        told = float(row["orbits_gauges"].sel(gauge=name))
        assert told == pytest.approx(found[name], rel=0.02, abs=2e-3), name
    test = gauges.error(model, orbit_study.examples(data.test))
    assert float(row["orbits_error"]) == pytest.approx(test, rel=1e-3)


def test_published_errors_are_those_of_the_first_studies(published, load_published):
    """Trained again, networks come out alike, but for rounding that grows."""
    found, orbit, moving = (
        one.data.isel({axis: slice(0, 4) for axis in one.data.dims if "epoch" in axis})
        for one in (published, load_published("orbits"), load_published("movement"))
    )
    same = moving["authors_loss"].stack(training=("task", "network")).transpose("training", ...)
    for ours, theirs in (("orbits_error", orbit["along_test"]), ("same_error", same)):
        apart = np.abs(np.log(found[ours].to_numpy() / theirs.to_numpy()))
        assert apart[:, 0].max() < 0.01 and (apart < 0.1).mean() > 0.8
    assert study.tasks().keys() == set(moving["task"].to_numpy())
