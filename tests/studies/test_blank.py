from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from studies import tiny as tiny_networks

from rnnatomy.analysis import maps
from rnnatomy.data import datasets
from rnnatomy.networks import access, autonomous, runs, training
from rnnatomy.store import disk, results
from rnnatomy.studies import blank, blank_page, classifiers, engine, inputs

TINY = {
    "PUBLISHED": ("mnist-0", "thousand-0"),
    "SMALL": 2,
    "SMALL_HIDDEN": 4,
    "IMAGES": 3,
    "STEPS": (0, 1, 2, 28, 300),
    "LATER": 200,
    "SOUGHT_AT": (0, 28),
    "SOUGHT": 1,
    "ROUNDS": 3,
    "TRAINED_ON": 64,
    "EPOCHS": 2,
    "WATCHED": 5,
    "EXPONENTS": 3,
}


def model_of(small, hidden=5, seed=0):
    return classifiers.classifier(small, hidden)(jax.random.key(seed))


def tiny(patch, folder, small):
    """Let the study be one of few small networks, which are hardly trained."""
    tiny_networks.patch_study(patch, small, folder)
    for name, value in TINY.items():
        patch.setattr(blank, name, value)
    inputs._load.cache_clear()

    def published(name):
        run = classifiers.describe(model_of(small, seed=7), small, int(name[-1]))
        return run._replace(name=name, metrics={}, states=None, labels=None)

    patch.setattr(inputs, "published", published)


@pytest.fixture(scope="module")
def study(small, tmp_path_factory):
    folder, lines = tmp_path_factory.mktemp("blank"), []
    with pytest.MonkeyPatch.context() as patch:
        tiny(patch, folder, small)
        blank.publish(3, lines.append)
        made = results.load_study("blank")
    inputs._load.cache_clear()
    return folder, made, lines


@pytest.fixture
def alone(small, monkeypatch):
    """A network under blank rows, and the states after some images."""
    for name, value in TINY.items():
        monkeypatch.setattr(blank, name, value)
    model = model_of(small)
    # it comes to rest near 0, where without a bias all answers are equally good
    model.readout.bias[...] = jnp.linspace(0, 1, 10)
    network = autonomous.driven(model, np.zeros(8))
    return model, network, network.start(small.test.images[:12])


def test_the_study_has_a_row_for_each_network(study):
    _, made, lines = study
    data, told = made.data, made.provenance
    assert {name: array.dims for name, array in data.data_vars.items()} == blank.AXES
    names = data["network"].to_numpy().tolist()
    trained = ["mnist-0", "thousand-0", "fifth-2-4-0", "fifth-2-4-1"]
    untrained = ["mnist-0", "fifth-2-4-0", "fifth-2-4-1"]
    assert names == [f"{n}-trained" for n in trained] + [f"{n}-untrained" for n in untrained]
    assert data["hidden"].to_numpy().tolist() == [16, 16, 4, 4, 16, 4, 4]
    assert data["seed"].to_numpy().tolist() == [0, 0, 0, 1, 0, 0, 1]
    assert data.sizes["trial"] == told["networks"] == 3
    assert lines[-1] == "blank: 10 of 10 jobs done" and told["jobs"] == 12
    assert np.isfinite(data["last_exponents"]).all()


def test_rows_are_recomputed(study, small):
    data = study[1].data
    row = data.sel(network="mnist-0-trained")
    model = model_of(small, seed=7)
    few = blank.first_images(small.test, 3)
    assert np.bincount(few.labels).tolist() == [3] * 10
    states = autonomous.driven(model, np.zeros(8)).start(few.images)
    blanks = np.zeros((len(few.labels), 28, 8), np.float32)
    W, b = access.readout(model)
    answers = [
        (access.last_states(model, np.concatenate([few.images, rest], axis=1)) @ W.T + b).argmax(1)
        for rest in (blanks[:, :0], blanks)
    ]
    assert len(states) == 30
    assert row["kept"].sel(step=28) == np.float32((answers[0] == answers[1]).mean())
    assert row["accuracy"].sel(step=0) == np.float32((answers[0] == few.labels).mean())
    assert row["answers"].sel(step=28) == len(np.unique(answers[1]))
    # both states of a network differ, and the twin of one seed is that of its first parameters
    other = data.sel(network="mnist-0-untrained")
    assert not np.array_equal(row["speed"], other["speed"])


def test_finished_jobs_are_reused(study, small, monkeypatch):
    folder, made, _ = study
    tiny(monkeypatch, folder, small)
    monkeypatch.setattr(blank, "ask", None)  # nothing is measured anew
    (folder / "results" / "blank" / "study.json").unlink()
    blank.publish(3, lambda line: None)
    again = results.load_study(str(folder / "results" / "blank"))
    assert again.data.identical(made.data) and again.provenance["reused"] == "all"


def test_states_at_rest_are_not_run_on(alone, monkeypatch):
    _, network, starts = alone
    whole = blank.run_on(network, starts)
    direct = maps.run(network.step, starts, 300, 300)
    for place, step in enumerate(TINY["STEPS"][1:]):
        np.testing.assert_allclose(whole[place + 1], direct[:, step - 1], atol=1e-12)
    np.testing.assert_array_equal(whole[0], starts)
    monkeypatch.setattr(blank, "STILL", np.inf)
    assert (blank.run_on(network, starts) == starts).all()


def test_a_point_that_holds_all_is_found_in_three_ways(alone):
    model, network, starts = alone
    labels = np.arange(12) % 10
    ends = blank.run_on(network, starts)[-1]
    found = blank.of_sets(network, ends, labels)
    points = blank.of_points(network, starts)
    assert found["sets"] == points["points"] == 1 and found["kind"][0] == 0
    assert found["basin"].shape == (blank.SETS, 10) and (found["basin"][0] == 1).all()
    assert np.log(points["point_modulus"][0]) == pytest.approx(found["rates"][0, 0], abs=1e-5)
    assert found["set_answer"][0] == points["point_answer"][0]
    assert found["set_confidence"][0] == pytest.approx(points["point_confidence"][0], abs=1e-6)
    assert found["set_steady"][0] == 1 and np.isnan(found["set_answer"][1:]).all()
    slow = blank.of_slow(model, network, starts)
    assert slow.keys() == blank.SLOW_AXES.keys() and slow["slow_points"] >= 1
    assert slow["slow_most"] >= slow["slow_number"] and slow["slowest_share"] == pytest.approx(
        1
    )  # of 5 units


def test_where_no_point_is_found_there_is_none(alone, monkeypatch):
    model, network, starts = alone

    def refuse(*given, **options):
        raise ValueError("none of the starts comes to a point")

    monkeypatch.setattr(maps, "fixed_points", refuse)
    monkeypatch.setattr(maps, "slow_points", refuse)
    found = blank.of_points(network, starts)
    assert found["points"] == 0 and np.isnan(found["point_modulus"]).all()
    assert found.keys() == blank.POINT_AXES.keys()
    assert blank.of_slow(model, network, starts)["slow_points"] == 0


def test_the_readout_sees_its_own_space_and_nothing_else(small):
    model = model_of(small, 12)
    modes = blank.readout_space(model)
    assert modes.shape == (9, 12)
    np.testing.assert_allclose(modes @ modes.T, np.eye(9), atol=1e-10)
    memory = np.random.default_rng(0).normal(size=12)
    outside = np.linalg.svd(modes)[2][9:]
    halves = [1j * modes[0], outside[0], (modes[1] + outside[1]), 0 * memory]
    directions = np.array([np.concatenate([memory, half]) for half in halves])[None]
    shares = blank.seen(model, directions.astype(complex))
    np.testing.assert_allclose(shares, [[1, 0, 0.5, np.nan]], atol=1e-10)
    # of random directions the share is that of dimensions
    drawn = np.random.default_rng(1).normal(size=(1, 4000, 24)).astype(complex)
    assert blank.seen(model, drawn).mean() == pytest.approx(9 / 12, abs=0.01)


def test_draws_fill_their_ranges_and_do_not_depend_on_each_other():
    drawn = np.array([blank.draw(seed) for seed in range(400)])
    own = classifiers.RECIPES["hundred"].learning_rate
    for column, ends in zip(drawn.T, (own * np.array(blank.RATES), blank.GAINS), strict=True):
        low, high = np.log(ends)
        shares = (np.log(column) - low) / (high - low)
        assert shares.min() < 0.02 and shares.max() > 0.98
        assert shares.mean() == pytest.approx(0.5, abs=0.05)
    assert abs(np.corrcoef(np.log(drawn).T)[0, 1]) < 0.15
    assert blank.draw(3) == blank.draw(3)


def test_a_gain_scales_the_recurrent_weights_alone(small):
    create = classifiers.classifier(small, 5)
    plain, scaled = (
        access.flatten(make(jax.random.key(0))) for make in (create, blank.started(create, 2.0))
    )
    for name, array in plain.items():
        factor = 2 if name == "cell.dense_h.kernel" else 1
        np.testing.assert_array_equal(scaled[name], factor * array, err_msg=name)


def test_exponents_are_those_along_images(small, monkeypatch):
    monkeypatch.setattr(blank, "EXPONENTS", 10)
    model, images = model_of(small), small.test.images[:4]
    found = blank.of_exponents(model, images)
    # the sum of all exponents is that of the logarithms of determinants
    F = autonomous.reading(model)
    with jax.enable_x64(True):
        slopes, state = [], jnp.zeros(10)
        for frame in jnp.asarray(images[0], float):
            slopes.append(np.linalg.slogdet(jax.jacfwd(F)(state, frame))[1])
            state = F(state, frame)
    monkeypatch.setattr(blank, "ABOVE", -np.inf)
    one = blank.of_exponents(model, images[:1])
    assert one["exponents"].sum() == pytest.approx(np.mean(slopes), rel=1e-6)
    assert one["above"] == 10 and found["exponents"].shape == (10,)


def test_a_network_whose_loss_is_not_finite_is_no_number(small, monkeypatch):
    def fail(*given, **options):
        raise training.NotFiniteError("at step 3")

    monkeypatch.setattr(datasets, "mnist", lambda: small)
    monkeypatch.setattr(training, "fit", fail)
    inputs._load.cache_clear()
    found = blank.follow(0, 1.0, 64, tiny_networks.RECIPE._asdict(), small.checksum)
    inputs._load.cache_clear()
    assert found.keys() == blank.TRIAL_AXES.keys()
    assert all(np.isnan(value).all() for value in found.values())
    assert found["first_exponents"].shape == (blank.EXPONENTS,)


def test_the_networks_trained_anew_are_those_of_the_study_of_the_fifth(small, monkeypatch):
    asked = []

    def record(label, networks, recipe, hidden, data):
        asked.append((label, recipe, hidden))
        raise engine.EngineError("nothing is trained")

    monkeypatch.setattr(datasets, "mnist", lambda: small)
    monkeypatch.setattr(classifiers, "trained", record)
    with pytest.raises(engine.EngineError):
        blank.publish(1)
    assert asked == [("fifth-3-64", classifiers.RECIPES["hundred"], 64)]


@pytest.fixture
def published(load_published):
    try:
        return load_published("blank")
    except disk.StoreError:
        pytest.skip("the study is not published yet")


def test_the_published_study_is_whole(study, published, assert_same_form):
    data, told = published.data, published.provenance
    assert_same_form(study[1].data, data)
    assert told["networks"] == data.sizes["trial"] >= 100
    assert blank._facts().items() <= told.items()
    assert (data["state"] == "trained").sum() == len(blank.PUBLISHED) + blank.SMALL
    np.testing.assert_array_equal(data["step"], blank.STEPS)
    np.testing.assert_allclose(data["learning_rate"][:5], [blank.draw(k).rate for k in range(5)])
    folder = Path(__file__).resolve().parents[2] / "results" / "blank"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 1e6
    assert blank_page.expected(data, np.random.default_rng(0)).keys() == set(range(1, 7))


def test_published_answers_are_recomputed(published, real_mnist):
    few = blank.first_images(real_mnist.test, blank.IMAGES)
    row = published.data.sel(network="thousand-0-trained")
    model = runs.restore(inputs.published("thousand-0"))
    rows = np.concatenate([few.images, np.zeros((len(few.labels), 28, 28), np.float32)], axis=1)
    W, b = access.readout(model)
    first, later = (
        (access.last_states(model, rows[:, :end]) @ W.T + b).argmax(axis=1) for end in (28, 56)
    )
    assert row["kept"].sel(step=28) == pytest.approx((first == later).mean(), abs=0.01)
    assert row["accuracy"].sel(step=0) == pytest.approx((first == few.labels).mean(), abs=0.005)
