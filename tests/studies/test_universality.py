from pathlib import Path

import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.analysis import similarity
from rnnatomy.networks import predictors, training
from rnnatomy.store import checkout, disk, results
from rnnatomy.studies import attractors, universality, universality_page
from rnnatomy.studies import orbits as orbit_study

TINY = training.Recipe(epochs=2, batch=8, learning_rate=5e-3, weight_decay=0.0)


def tiny(monkeypatch, folder):
    """Let the study be one of few small networks that are not fitted."""
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.setattr(checkout, "ROOT", folder)
    monkeypatch.setattr(training, "fit_ensemble", synthetic.not_fitted)
    settings = {"RECIPE": TINY, "SIZES": (4,), "CONTROL_SIZE": 4, "TRAINING": 16, "TEST": 16}
    for name, value in (settings | {"FRAMES_IN": 5, "FRAMES_OUT": 6}).items():
        monkeypatch.setattr(orbit_study, name, value)
    monkeypatch.setattr(attractors, "CELLS", ("lstm",))
    monkeypatch.setattr(attractors, "STARTS", 8)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("universality"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder)
        universality.publish(2, lines.append)
        return folder, results.load_study("universality"), lines


def test_the_study_has_a_row_and_a_column_for_each_network(small):
    _, made, lines = small
    data, told = made.data, made.provenance
    assert {name: array.dims for name, array in data.data_vars.items()} == universality.AXES
    assert dict(data.sizes) == {
        "two_network": 10,
        "two_other": 10,
        "four_network": 6,
        "four_other": 6,
    }
    names = data["two_network"].to_numpy().tolist()
    assert names[:3] == ["gru-two-4-trained-0", "gru-two-4-trained-1", "gru-two-4-untrained-0"]
    assert names[-2:] == ["echo-two-4-random-0", "echo-two-4-random-1"]
    assert data["two_other"].to_numpy().tolist() == names
    assert [line for line in lines if "done" in line][-1] == "universality: 2 of 2 jobs done"
    assert told["networks"] == 16 and told["seeds"] == 2


def test_tables_are_symmetric_and_only_echo_states_have_no_error(small):
    for task in orbit_study.TASKS:
        part = universality_page.of_task(small[1].data, task)
        for name, itself in (("cka", 1), ("angle", 0), ("beyond", 1)):
            table = part[name].to_numpy()
            np.testing.assert_array_equal(table, table.T)
            np.testing.assert_array_equal(np.diag(table), itself)
            assert table.min() >= 0 and table.max() <= (np.pi / 2 if name == "angle" else 1)
        np.testing.assert_array_equal(np.isnan(part["error"]), part["cell"] == "echo")
        assert ((part["outputs"] > 0) & (part["outputs"] <= 1)).all()


def test_a_pair_is_recomputed(small, monkeypatch):
    tiny(monkeypatch, small[0])
    test = orbit_study.task(np.random.default_rng(0), "two").test
    rows = np.sort(np.concatenate([np.flatnonzero(test.labels == k)[:4] for k in (0, 1)]))
    inputs, targets = test.inputs[rows], test.targets[rows][:, ::2].reshape(-1, 2)
    every, part = {}, small[1].data
    for cell in ("gru", "lstm"):
        model = predictors.seq2seq(2, 4, cell=cell)(jax.random.key(1))
        went = predictors.trajectory(model, inputs, 6)
        name = f"{cell}-two-4-untrained-1"
        every[name] = went.decoder[:, ::2].reshape(-1, 4)
        wrong = np.square(predictors.trajectory(model, test.inputs, 6).outputs - test.targets)
        row = part.sel(two_network=name)
        assert float(row["two_error"]) == pytest.approx(wrong.mean(), rel=1e-4)
        found = similarity.linear_cka(every[name], targets)
        assert float(row["two_outputs"]) == pytest.approx(found, rel=1e-4)
    first, second = every
    pair = part.sel(two_network=first, two_other=second)
    expected = similarity.linear_cka(*every.values())
    assert float(pair["two_cka"]) == pytest.approx(expected, rel=1e-4)
    angle = similarity.angular_distance(*every.values())
    assert float(pair["two_angle"]) == pytest.approx(angle, rel=1e-4)
    left = [similarity.residual(states, targets) for states in every.values()]
    assert float(pair["two_beyond"]) == pytest.approx(similarity.linear_cka(*left), rel=1e-3)


def test_finished_jobs_are_reused(small, monkeypatch):
    folder, made, _ = small
    tiny(monkeypatch, folder)
    monkeypatch.setattr(predictors, "trajectory", None)  # nothing is run anew
    monkeypatch.setattr(similarity, "tables", None)
    (folder / "results" / "universality" / "study.json").unlink()
    universality.publish(2, lambda line: None)
    again = results.load_study(str(folder / "results" / "universality"))
    assert again.data.identical(made.data) and again.provenance["reused"] == "all"


def test_echo_states_follow_the_frames_and_forget_where_they_began():
    given = orbit_study.examples(orbit_study.task(np.random.default_rng(0), "two").test)
    given = predictors.Examples(given.inputs[:6], given.targets[:6])
    found = universality.echo_states(np.random.default_rng(0), given, 8)
    assert found.shape == (6, 50, 8) and np.abs(found).max() < 1
    again = universality.echo_states(np.random.default_rng(0), given, 8)
    np.testing.assert_array_equal(found, again)
    # a state is fed the frames before its own, and no other
    later = predictors.Examples(given.inputs, given.targets.copy())
    later.targets[:, 20] += 1
    other = universality.echo_states(np.random.default_rng(0), later, 8)
    changed = (other != found).any(axis=(0, 2))
    assert not changed[:21].any() and changed[21]
    # what was read long ago is forgotten
    early = predictors.Examples(given.inputs + np.float32(1), given.targets)
    other = universality.echo_states(np.random.default_rng(0), early, 8)
    assert np.abs(other - found)[:, -1].max() < 0.05 * np.abs(other - found)[:, 0].max()
    # next to its inputs, small states are linear in them: h = V x without memory or squashing
    flat = predictors.Examples(1e-4 * given.inputs, 1e-4 * given.targets)
    tiny_states = universality.echo_states(np.random.default_rng(0), flat, 8)
    R, V = weights(8)
    h = np.zeros((6, 8))
    for x in np.concatenate([flat.inputs, flat.targets[:, :1]], axis=1).swapaxes(0, 1):
        h = h @ R.T + x @ V.T
    np.testing.assert_allclose(tiny_states[:, 1], h, rtol=1e-4, atol=1e-9)
    assert np.abs(np.linalg.eigvals(R)).max() == pytest.approx(universality.RADIUS)


def weights(hidden):
    rng = np.random.default_rng(0)
    R = rng.normal(size=(hidden, hidden))
    R *= universality.RADIUS / np.abs(np.linalg.eigvals(R)).max()
    return R, rng.uniform(-universality.INPUT, universality.INPUT, (hidden, 2))


def test_the_whole_study_is_small_and_has_the_networks_of_attractors(load_published):
    rows = [(batch, seed) for batch in universality._batches() for seed in range(8)]
    along = universality._coordinates(rows)
    assert [len(along[f"{task}_network"]) for task in ("two", "four")] == [168, 120]
    assert 4 * 3 * (168**2 + 120**2) < 600e3
    theirs = set(load_published("attractors").data["network"].to_numpy())
    own = {*along["two_network"], *along["four_network"]}
    assert {name for name in own if not name.startswith("echo")} == {
        name for name in theirs if "shuffled" not in name
    }


@pytest.fixture
def published(load_published):
    try:
        return load_published("universality")
    except disk.StoreError:
        pytest.skip("the study is not published yet")


def test_the_published_study_is_whole(small, published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(small[1].data, data)
    assert universality._facts().items() <= told.items() and told["seeds"] >= 8
    rows = [(batch, seed) for batch in universality._batches() for seed in range(told["seeds"])]
    for name, values in universality._coordinates(rows).items():
        wanted = values[1] if isinstance(values, tuple) else values
        assert data[name].to_numpy().tolist() == wanted
    folder = Path(__file__).resolve().parents[2] / "results" / "universality"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1e6


def test_published_networks_are_those_of_attractors(published, load_published):
    theirs = load_published("attractors").data["error"]
    for task in orbit_study.TASKS:
        part = universality_page.of_task(published.data, task)
        part = part.isel(network=np.flatnonzero(part["cell"] != "echo"))
        other = theirs.sel(network=part["network"].to_numpy())
        apart = np.abs(np.log(part["error"].to_numpy() / other.to_numpy()))
        assert (apart < 0.01).mean() > 0.9


def test_published_rows_without_training_are_recomputed(published):
    made = [
        universality.measure(cell, "two", hidden, state, [3])[0]
        for cell, hidden, state in (("gru", 16, "untrained"), ("echo", 64, "random"))
    ]
    names = "gru-two-16-untrained-3", "echo-two-64-random-3"
    for name, one in zip(names, made, strict=True):
        row = published.data.sel(two_network=name)
        np.testing.assert_allclose(row["two_outputs"], one["outputs"], rtol=1e-3)
    pair = published.data.sel(two_network=names[0], two_other=names[1])
    expected = similarity.linear_cka(*(one["states"] for one in made))
    np.testing.assert_allclose(pair["two_cka"], expected, rtol=1e-3)
