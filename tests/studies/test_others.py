import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import cutoffs
from rnnatomy.data import arrangements, datasets
from rnnatomy.networks import access, runs, training
from rnnatomy.store import results
from rnnatomy.studies import classifiers, engine, others, questions, rates

NETWORKS = 2


@pytest.fixture(scope="module")
def few(small, tmp_path_factory):
    """A tiny study, and the networks that were kept of it, by row."""
    root, kept = tmp_path_factory.mktemp("others"), {}
    with pytest.MonkeyPatch.context() as patch:
        tiny.patch_study(patch, small, root)
        patch.setattr(datasets, "digits", lambda: small)
        patch.setitem(classifiers.RECIPES, "digits", tiny.RECIPE)
        for name, row in others.ROWS.items():  # of a row with several rates, two and a further one
            patch.setitem(others.ROWS, name, row._replace(rates=row.rates[:2]))
        patch.setattr(others, "MOST_RATES", 3)
        others.publish(NETWORKS)
        study, given = results.load_study("others"), {"mnist": small, "digits": small}
        for name in others.ROWS:
            rate = float(study.data["learning_rate"][study.data["model"] == name][0])
            jobs = [others._job(others.train, name, rate, s, given) for s in range(NETWORKS)]
            kept[name] = tiny.unpacked(engine.run("again", jobs))
        same = classifiers.trained("thousand", NETWORKS, tiny.RECIPE, tiny.WIDTH, small)
        return study, kept, tiny.unpacked(same)


def test_every_array_has_its_axes(few):
    data = few[0].data
    assert set(data.data_vars) == set(others.AXES)
    wanted = {"network": NETWORKS * len(others.ROWS), "digit": 10, "direction": 10, "pair": 36}
    assert wanted.items() <= dict(data.sizes).items()
    for array in data.data_vars.values():
        assert array.dtype in (np.float16, np.float32, np.uint16)
        assert np.isfinite(array.astype(float)).all()


@pytest.mark.parametrize("name", others.ROWS)
def test_a_row_is_asked_what_the_thousand_are(few, small, name):
    data, networks, _ = few
    row = data.data.sel(network=data.data["model"] == name)
    assert row["seed"].to_numpy().tolist() == list(range(NETWORKS))
    for number, run in enumerate(networks[name]):
        asked = questions.Network(run.readout, run.bias, run.states, small.test.labels)
        expected = questions.ask(asked, np.random.default_rng(number))
        for key in expected.keys() - {"readout"}:
            np.testing.assert_array_equal(row[key][number], expected[key])
        logits = run.states @ run.readout.T + run.bias
        np.testing.assert_allclose(
            row["full"][number], cutoffs.recall(logits, run.labels), atol=1e-3
        )


@pytest.mark.parametrize("name", others.ROWS)
def test_what_was_trained_is_the_network_of_the_row(few, small, name):
    row, run = others.ROWS[name], few[1][name][0]
    assert run.config == others.config(row, small) | run.config
    assert run.config["model"] == row.model and row.options.items() <= run.config.items()
    images = arrangements.arrange(small, row.arrangement).test.images
    seen = access.last_states(runs.restore(run), images)
    np.testing.assert_allclose(run.states, seen, atol=1 / 250)


def test_the_first_row_is_that_of_the_thousand(few):
    _, networks, thousand = few
    for run, same in zip(networks["LSTM"], thousand, strict=True):
        for name, array in same.parameters.items():
            np.testing.assert_array_equal(run.parameters[name], array)


def test_a_row_is_read_as_the_thousand_are(few):
    data = few[0].data
    row = data.sel(network=data["model"] == "GRU")
    for rate in (
        rates.lost(row, 0.1),
        rates.lost_any(row, 0.1),
        rates.lost_at(row, 0.1, 5),
        rates.hardest(row),
        *(rates.doubles(row, rule).rate for rule in row["rule"].to_numpy()),
    ):
        assert rate.holds.shape == rate.control.shape and len(rate.holds) == NETWORKS
    taken = (row["single"].to_numpy()[:, :9] < np.float16(0.1)).any(axis=1)
    np.testing.assert_array_equal(rates.lost(row, 0.1).holds, taken)


def test_entries_are_those_of_the_left_vectors(few):
    data, networks, _ = few
    row = data.data.sel(network=data.data["model"] == "perceptron, tanh")
    for found, run in zip(rates.entries(row), networks["perceptron, tanh"], strict=True):
        left = np.linalg.svd(run.readout, full_matrices=False)[0]
        np.testing.assert_allclose(found, np.abs(left[:, :9]), atol=1e-3)


def test_the_learning_rate_is_the_best_on_validation_images(few):
    data = few[0].data
    tried = data["trial_accuracy"].mean("trial_seed").to_numpy()
    for name, row in others.ROWS.items():
        chosen = set(data["learning_rate"][data["model"] == name].to_numpy())
        at = data["trial_model"].to_numpy() == name
        if len(row.rates) == 1:
            assert chosen == set(row.rates) and not at.any()
            continue
        known = data["trial_rate"].to_numpy()[at]
        assert set(row.rates[:2]) < set(known) and (np.diff(known) > 0).all()
        assert chosen == {known[tried[at].argmax()]}


@pytest.mark.parametrize(
    ("accuracies", "found", "further"),
    [
        ({1.0: [0.5, 0.7], 2.0: [0.8, 0.8], 4.0: [0.9, 0.5]}, 2.0, ()),
        ({1.0: [0.5, 0.9], 2.0: [0.6, 0.6], 4.0: [0.6, 0.5]}, 1.0, (0.5,)),
        ({1.0: [0.5, 0.9], 2.0: [0.6, 0.6], 4.0: [0.9, 0.9]}, 4.0, (8.0,)),
        ({2.0: [0.5], 1.0: [0.5]}, 1.0, (0.5,)),
        ({float(k): [k / 9] for k in range(1, others.MOST_RATES + 1)}, others.MOST_RATES, ()),
    ],
)
def test_rates_are_tried_beyond_the_edge(accuracies, found, further):
    assert others.best(accuracies) == found
    assert others.beyond(accuracies) == further


def test_a_rate_with_which_nothing_converges_counts_as_the_worst(monkeypatch):
    def fail(*_, **__):
        raise training.NotFiniteError

    monkeypatch.setattr(classifiers, "fit_networks", fail)
    monkeypatch.setitem(others.DATA, "digits", lambda _: datasets.digits())
    made = others.attempt([3, 4], "digits", "", "rows", {}, tiny.RECIPE._asdict())
    assert [one.arrays["accuracy"] for one in made] == [0, 0]
