from pathlib import Path

import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.analysis import maps
from rnnatomy.networks import autonomous, predictors, training
from rnnatomy.store import checkout, disk, results
from rnnatomy.studies import attractors, attractors_page
from rnnatomy.studies import orbits as orbit_study

TINY = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)
TURN = np.deg2rad(70)
"""What the recurrent matrix of a decoder that goes round turns states by."""


def tiny(monkeypatch, folder):
    """Let the study be one of few small networks that are not fitted, and run for a short while."""
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(training, "fit_ensemble", synthetic.not_fitted)
    settings = {"RECIPE": TINY, "SIZES": (4,), "CONTROL_SIZE": 4, "TRAINING": 16, "TEST": 16}
    for name, value in (settings | {"FRAMES_IN": 5, "FRAMES_OUT": 6}).items():
        monkeypatch.setattr(orbit_study, name, value)
    monkeypatch.setattr(attractors, "CELLS", ("lstm",))
    monkeypatch.setattr(attractors, "STARTS", 8)
    monkeypatch.setattr(attractors, "STEPS", 200)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("attractors"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder)
        attractors.publish(2, lines.append)
        return folder, results.load_study("attractors"), lines


@pytest.fixture
def test(monkeypatch):
    monkeypatch.setattr(attractors, "STARTS", 16)
    monkeypatch.setattr(attractors, "STEPS", 1000)
    return orbit_study.task(np.random.default_rng(0), "two").test


@pytest.fixture
def going_round():
    """A GRU that goes round by itself with all gates at 1/2; its third unit halves."""
    model = predictors.seq2seq(2, 3, tied=False)(jax.random.key(0))
    c, s = np.cos(TURN), np.sin(TURN)
    recurrent = np.zeros((3, 9))
    recurrent[:2, 6:8] = 3 * np.array([[c, s], [-s, c]])
    arrays = {
        "decoder.dense_h.kernel": recurrent,
        "decoder.dense_i.kernel": np.zeros((2, 9)),
        "decoder.dense_i.bias": np.zeros(9),
        "readout.kernel": [[2, 0], [0, 1], [0, 0]],
        "readout.bias": [3, 0],
    }
    for path, values in arrays.items():
        part = model
        for name in path.split("."):
            part = getattr(part, name)
        part[...] = np.array(values, np.float32)
    return model


def test_the_study_has_a_row_for_each_network(small):
    _, made, lines = small
    data, told = made.data, made.provenance
    assert {name: array.dims for name, array in data.data_vars.items()} == attractors.AXES
    sizes = {"network": 16, "training": 4, "epoch": 3, "shown": 2, "family": 4}
    sizes |= {"set": attractors.SETS, "point": attractors.POINTS, "exponent": 3}
    assert sizes.items() <= dict(data.sizes).items()
    names = data["network"].to_numpy().tolist()
    assert names[:3] == ["gru-two-4-trained-0", "gru-two-4-trained-1", "gru-four-4-trained-0"]
    assert names[-1] == "lstm-two-4-untrained-1"
    assert data["shown"].to_numpy().tolist() == ["gru-two-4-trained-0", "gru-four-4-trained-0"]
    assert data["training"].to_numpy().tolist() == names[:4]
    assert lines[-1] == "attractors: 16 of 16 jobs done"
    assert told["networks"] == 16 and told["seeds"] == 2


def test_what_is_followed_begins_untrained_and_ends_where_the_network_ends(small):
    data = small[1].data
    trained = data["training"].to_numpy()
    untrained = [name.replace("trained", "untrained") for name in trained]
    for epoch, names in {0: untrained, 2: trained}.items():
        for name in attractors.SET_AXES:
            along = data[f"along_{name}"].sel(epoch=epoch, training=trained)
            np.testing.assert_array_equal(along, data[name].sel(network=names), err_msg=name)


def test_basins_are_of_all_starts(small):
    data = small[1].data
    everywhere = data["basin"].sum("set") + data["away"]
    for families, part in everywhere.groupby("families"):
        np.testing.assert_allclose(part[:, :families], 1, rtol=1e-6)
    assert np.isnan(data["basin"].where(data["families"] == 2, drop=True)[..., 2:]).all()
    there = np.arange(attractors.SETS) < data["sets"].to_numpy()[:, None]
    np.testing.assert_array_equal(data["kind"] != attractors.NONE, there)
    for name in ("exponents", "half_axes"):
        np.testing.assert_array_equal(np.isfinite(data[name]).all(axis=-1), there)


def test_a_row_is_recomputed(small, monkeypatch):
    tiny(monkeypatch, small[0])
    row = small[1].data.sel(network="lstm-two-4-untrained-1")
    model = predictors.seq2seq(2, 4, cell="lstm")(jax.random.key(1))
    test = orbit_study.task(np.random.default_rng(0), "two").test
    network = autonomous.closed_loop(model)
    rows = [k for label in (0, 1) for k in np.flatnonzero(test.labels == label)[:4]]
    starts = network.start(test.inputs[rows])
    found = maps.limit_sets(network.step, starts, 300)
    assert float(row["sets"]) == len(found.kinds) == 1
    assert maps.KINDS[int(row["kind"][0])] == found.names[0] == "fixed point"
    np.testing.assert_allclose(row["exponents"][0], found.exponents[0], rtol=1e-4)
    # the point that all states end in, and its eigenvalue, are found by minimisation as well
    points = maps.fixed_points(network.step, starts)
    assert float(row["points"]) == len(points) == 1 and float(row["reached"]) == 1
    assert float(row["point_modulus"][0]) == pytest.approx(np.exp(found.exponents[0, 0]), rel=1e-4)
    wrong = np.square(predictors.trajectory(model, test.inputs, 6).outputs - test.targets).mean()
    assert float(row["error"]) == pytest.approx(wrong, rel=1e-4)


def test_finished_jobs_are_reused(small, monkeypatch):
    folder, made, _ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(attractors, "of_sets", None)  # nothing is measured anew
    (folder / "results" / "attractors" / "study.json").unlink()
    attractors.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "attractors"))
    assert again.data.identical(made.data) and again.provenance["reused"] == "all"


def test_a_decoder_that_goes_round_has_a_circle_of_known_speed_and_size(test, going_round):
    found = attractors.of_sets(going_round, test)
    assert found["sets"] == 1 and found["settled"] == 1 and found["away"] == 0
    assert maps.KINDS[int(found["kind"][0])] == "circle" and found["kind"][1] == attractors.NONE
    # as is known of this network, see the tests of maps; one of two units has no third exponent
    assert 1 / found["winding"][0] == pytest.approx(8.575, abs=1e-3)
    assert 1 / found["rotation"][0] == pytest.approx(8.575, abs=1e-3)
    np.testing.assert_allclose(found["exponents"][0], [0, -0.0655, np.log(0.5)], atol=2e-4)
    np.testing.assert_array_equal(found["basin"][0], [1, 1, np.nan, np.nan])
    # read as an ellipse of twice the width
    np.testing.assert_allclose(found["half_axes"][0], [2 * 0.311, 0.311], rtol=0.01)
    points = attractors.of_points(going_round, test, np.random.default_rng(0))
    assert points["points"] == 1 and points["point_unstable"][0] == 2
    # J(0) = I/2 + (3/4) R, and the eigenvalues of R are exp(+-i turn)
    largest = abs(0.5 + 0.75 * np.exp(1j * TURN))
    assert points["point_modulus"][0] == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize("sense", [1, -1])
def test_turns_have_a_sense_and_half_axes_are_those_of_an_ellipse(sense):
    phase = sense * 2 * np.pi * np.arange(700) / 31.7
    drawn = np.stack([1.25 * np.cos(phase), 0.8 * np.sin(phase)], axis=1) + 5
    winding, rotation, error = attractors.turns(drawn, drawn, "circle")
    assert winding == pytest.approx(sense / 31.7, rel=1e-6)
    assert rotation == pytest.approx(1 / 31.7, rel=1e-6) and error < 1e-6
    np.testing.assert_allclose(attractors.half_axes(drawn), [1.25, 0.8], rtol=0.01)
    loose = np.random.default_rng(0).normal(size=(700, 2))
    assert np.isnan(attractors.turns(loose, loose, "chaos")[1:]).all()
    assert attractors.turns(drawn, drawn, "fixed point")[0] == 0


def some_sets(kind, *drawn):
    """Limit sets whose states are what is drawn; set k has k + 1 starts, and one ran away."""
    count = len(drawn)
    rates = np.tile([0, -0.1, -0.2], (count, 1))
    basins = np.append(np.repeat(np.arange(count), np.arange(1, count + 1)), -1)
    kinds = np.full(count, maps.KINDS.index(kind))
    orbits, settled = np.stack(drawn), np.ones(len(basins), bool)
    return maps.LimitSets(kinds, 0 * kinds, orbits, rates, 0 * rates, basins, settled)


def a_circle(phase=0.0, frames=50.0):
    turned = phase + 2 * np.pi * np.arange(1000) / frames
    return np.stack([np.cos(turned), np.sin(turned)], axis=1)


def test_pieces_of_one_circle_are_joined():
    one = a_circle()
    drawn = one, 1.25 * one, a_circle(0.05), one[:, ::-1], one + 0.1, a_circle(0, 50.1)
    found = attractors.join_alike(some_sets("circle", *drawn), np.stack(drawn))
    # the third is the first in another phase; others differ in size, sense, centre, speed
    places = [2, 4, 2, 3, 1, 0]
    counted = np.repeat(places, np.arange(1, 7)).tolist()
    assert found.basins.tolist() == [*counted, -1]
    np.testing.assert_array_equal(found.orbits, np.stack(drawn)[[5, 4, 0, 3, 1]])
    assert len(found.kinds) == len(found.exponents) == 5 and found.settled.all()


def test_fixed_points_are_not_joined_and_there_may_be_no_set():
    drawn = np.ones((1000, 2)), np.ones((1000, 2))
    found = some_sets("fixed point", *drawn)
    assert len(attractors.join_alike(found, np.stack(drawn)).kinds) == 2
    none = maps.LimitSets(*(part[:0] for part in found[:5]), np.array([-1]), np.array([True]))
    assert attractors.join_alike(none, np.zeros((0, 1000, 2))) is none


def test_no_fixed_point_is_none(test, going_round, monkeypatch):
    def refuse(*given):
        raise ValueError("none of the starts comes to a fixed point")

    monkeypatch.setattr(maps, "fixed_points", refuse)
    found = attractors.of_points(going_round, test, np.random.default_rng(0))
    assert found.keys() == attractors.POINT_AXES.keys()
    assert found["points"] == 0 and np.isnan(found["point_share"]).all()


def test_what_is_shown_lies_in_modes(small, monkeypatch):
    tiny(monkeypatch, small[0])
    monkeypatch.setattr(attractors, "STEPS", 400)
    data = small[1].data
    drawn = data["shown_sets"].sel(shown="gru-two-4-trained-0")
    there = np.isfinite(drawn).all(["drawn", "mode"]).sum()
    assert there == data["sets"].sel(network="gru-two-4-trained-0")
    assert data["shown_energy"].sum("mode").max() <= 1 + 1e-6
    # three modes hold nearly all, so that lengths in them are those of the states
    test = orbit_study.task(np.random.default_rng(0), "two").test
    model = predictors.seq2seq(2, 4)(jax.random.key(0))
    network = autonomous.closed_loop(model)
    found = attractors.to_show(model, test)
    rows = [np.flatnonzero(test.labels == label)[0] for label in (0, 1)]
    starts = network.start(test.inputs[np.sort(rows)])
    path = maps.run(network.step, starts, 120, 120)
    lengths = np.linalg.norm(np.diff(path, axis=1), axis=2)
    seen = np.linalg.norm(np.diff(found["shown_ways"][:2], axis=1), axis=2)
    assert (seen <= lengths + 1e-5).all() and seen.sum() > 0.9 * lengths.sum()
    # and pushes fade where there is one fixed point
    pushed = found["shown_pushed"]
    assert np.ptp(pushed[:, -1], axis=0).max() < 0.1 * np.ptp(pushed[:, 0], axis=0).max()


def test_the_control_is_trained_on_futures_of_other_sequences(small, monkeypatch):
    given = []

    def record(create, loss, train, *rest, **options):
        given.append(train)
        raise ArithmeticError("nothing is fitted")

    tiny(monkeypatch, small[0])
    monkeypatch.setattr(training, "fit_ensemble", record)
    for state in ("trained", "shuffled"):
        with pytest.raises(ArithmeticError):
            attractors.measure("gru", "two", 4, state, [0], TINY._asdict())
    true, shuffled = given
    np.testing.assert_array_equal(true[0], shuffled[0])
    assert not (true[1] == shuffled[1]).all(axis=(1, 2)).any()


def test_networks_are_those_of_the_study_of_orbits(monkeypatch):
    for name, value in {"TRAINING": 16, "TEST": 16, "FRAMES_IN": 5, "FRAMES_OUT": 6}.items():
        monkeypatch.setattr(orbit_study, name, value)
    data = orbit_study.task(np.random.default_rng(0), "two")
    for state in ("trained", "shuffled"):
        theirs = orbit_study._fit(orbit_study.Batch("two", 4, state), data, [3], TINY)
        ours = attractors.fit(attractors.Batch("gru", "two", 4, state), data, [3], TINY)
        jax.tree.map(np.testing.assert_array_equal, ours.parameters, theirs.parameters)


def test_the_whole_study_is_small(small):
    rows = [(batch, seed) for batch in attractors._batches() for seed in range(8)]
    along = attractors._coordinates(rows)
    assert len(along["network"]) == 224 and len(along["shown"]) == 10
    lengths = {"network": 224, "training": 80, "shown": 10, "epoch": len(along["epoch"])}
    sizes = dict(small[1].data.sizes) | lengths
    numbers = sum(
        np.prod([sizes[axis] for axis in small[1].data[name].dims]) for name in attractors.AXES
    )
    assert 4 * numbers < 900e3


@pytest.fixture
def published(load_published):
    try:
        return load_published("attractors")
    except disk.StoreError:
        pytest.skip("the study is not published yet")


def test_the_published_study_is_whole(small, published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(small[1].data, data)
    assert attractors._facts().items() <= told.items() and told["seeds"] >= 8
    rows = [(batch, seed) for batch in attractors._batches() for seed in range(told["seeds"])]
    assert data["network"].to_numpy().tolist() == [f"{batch.name}-{seed}" for batch, seed in rows]
    folder = Path(__file__).resolve().parents[2] / "results" / "attractors"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1e6
    every = attractors_page.groups(data)
    assert {one.networks for one in every.values()} == {told["seeds"]}


def test_published_rows_without_training_are_recomputed(published):
    for cell, hidden, seed in (("gru", 16, 3), ("lstm", 64, 0)):
        (found,) = attractors.measure(cell, "two", hidden, "untrained", [seed])
        row = published.data.sel(network=f"{cell}-two-{hidden}-untrained-{seed}")
        for name in ("error", "sets", "kind", "exponents", "points"):
            np.testing.assert_allclose(row[name], found[name], rtol=1e-2, atol=1e-4, err_msg=name)


def test_published_networks_end_as_the_first_study_says(published, load_published):
    """Trained again, networks come out alike, but for rounding that grows."""
    ours, theirs = published.data, load_published("orbits").data
    ours = ours.isel(network=(ours["cell"] == "gru").to_numpy())
    names = [name.removeprefix("gru-") for name in ours["network"].to_numpy()]
    known = [name in set(theirs["network"].to_numpy()) for name in names]
    other = theirs["test_loss"].sel(network=[n for n, k in zip(names, known, strict=True) if k])
    apart = np.abs(np.log(ours["error"].to_numpy()[known] / other.to_numpy()))
    assert (apart < 0.5).mean() > 0.8
