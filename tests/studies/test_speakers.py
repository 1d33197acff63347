import os
from pathlib import Path

import numpy as np
import pytest
from studies import tiny

from rnnatomy.analysis import cutoffs
from rnnatomy.data import vowels
from rnnatomy.networks import access, runs, training
from rnnatomy.store import checkout, results
from rnnatomy.studies import classifiers, engine, others, others_page, questions, rates, speakers

NETWORKS = 3
REAL_DATA = os.environ.get("RNNATOMY_DATA")


def speak(rng, each):
    """Draw utterances of nine speakers, each with a mean of his own, and of unequal length."""
    labels = np.repeat(np.arange(9), each)
    lengths = rng.integers(7, vowels.LONGEST + 1, len(labels))
    means = np.random.default_rng(1).normal(size=(9, 12))
    drawn = [
        means[label] + 0.3 * rng.normal(size=(length, 12))
        for label, length in zip(labels, lengths, strict=True)
    ]
    return vowels.Part(tuple(drawn), labels, lengths)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A tiny study, its data, and the networks that were kept of it."""
    rng = np.random.default_rng(0)
    spoken = vowels.Vowels(speak(rng, 8), speak(rng, 2), speak(rng, 4), "of-these")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vowels, "utterances", lambda: spoken)
        patch.setattr(speakers, "RECIPE", training.Recipe(epochs=3, batch=8))
        patch.setattr(checkout, "ROOT", tmp_path_factory.mktemp("speakers"))
        patch.setattr(classifiers, "HIDDEN", tiny.WIDTH)
        patch.setenv("ENGINE", "here")
        speakers.publish(NETWORKS)
        study, data = results.load_study("speakers"), vowels.padded(spoken)
        rate = float(study.data["learning_rate"][0])
        jobs = [speakers._job(speakers.train, rate, seed, data) for seed in range(NETWORKS)]
        kept = engine.run("again", jobs)
    assert all(one.reused for one in kept)
    return study, data, tiny.unpacked(kept)


def test_every_array_has_its_axes(few):
    data = few[0].data
    assert set(data.data_vars) == set(speakers.AXES)
    wanted = {"network": NETWORKS, "digit": 9, "direction": 9, "place": 8, "pair": 28, "rank": 10}
    assert wanted.items() <= dict(data.sizes).items()
    for array in data.data_vars.values():
        assert array.dtype in (np.float16, np.float32, np.uint16)
        assert np.isfinite(array.astype(float)).all()
    assert set(data["model"].to_numpy()) == {speakers.NAME}
    assert data["seed"].to_numpy().tolist() == list(range(NETWORKS))


def test_a_network_is_asked_what_the_thousand_are(few):
    study, data, networks = few
    for number, run in enumerate(networks):
        given = questions.Network(run.readout, run.bias, run.states, data.test.labels)
        expected = questions.ask(given, np.random.default_rng(number))
        for key in expected.keys() - {"readout"}:
            np.testing.assert_array_equal(study.data[key][number], expected[key])
        logits = run.states @ run.readout.T + run.bias
        full = cutoffs.recall(logits, run.labels)
        np.testing.assert_allclose(study.data["full"][number], full, atol=1e-3)


def test_what_is_read_is_the_state_after_the_last_spoken_frame(few):
    _, data, networks = few
    for run in networks:
        assert run.config["model"] == "Classifier" and run.config["cell"] == "lstm"
        assert (run.config["feature"], run.config["classes"]) == (12, 9)
        states = access.hidden_states(runs.restore(run), data.test.images)
        np.testing.assert_allclose(run.states, states[:, -1], atol=1 / 250)


def test_the_learning_rate_is_the_best_on_what_validates(few):
    data = few[0].data
    tried = data["trial_accuracy"].mean("trial_seed").to_numpy()
    assert data["trial_rate"].to_numpy().tolist() == list(speakers.ROW.rates)
    best = data["trial_rate"].to_numpy()[tried.argmax()]
    assert set(data["learning_rate"].to_numpy()) == {best}
    assert few[0].provenance["recipe"]["learning_rate"] == best


def test_pages_read_nine_speakers_as_they_do_ten_digits(few):
    data = few[0].data
    for rate in (
        rates.lost(data, 0.1),
        rates.lost_any(data, 0.1),
        *(rates.lost_at(data, 0.1, direction) for direction in range(1, 10)),
        rates.hardest(data),
        *(rates.doubles(data, rule).rate for rule in data["rule"].to_numpy()),
    ):
        assert rate.holds.shape == rate.control.shape and len(rate.holds) == NETWORKS
    assert rates.hardest(data).holds.shape == (NETWORKS, 8, 9)
    assert rates.entries(data).shape == (NETWORKS, 9, 8)
    (found,) = others_page.kinds(data, "model").values()
    told = others_page.portrait(found, digit=8, direction=5, threshold=0.1)
    assert told.networks == NETWORKS and 0 <= told.first < 9 and 1 <= told.place[0] <= 8
    assert others_page.place_shares(found, 8).shape == (8,)
    assert others_page.spectrum(found).shape == (NETWORKS, 8)


def test_a_rate_with_which_nothing_converges_counts_as_the_worst(few, monkeypatch):
    def fail(*_, **__):
        raise training.NotFiniteError

    monkeypatch.setattr(classifiers, "fit_networks", fail)
    made = speakers.attempt([3, 4], few[1], {}, speakers.RECIPE._asdict())
    assert [one.arrays["accuracy"] for one in made] == [0, 0]


# the published study


@pytest.fixture(scope="module")
def published(load_published):
    return load_published("speakers")


def test_the_published_study_has_the_form_of_the_tiny_one(few, published, assert_same_form):
    assert_same_form(few[0].data, published.data)


def test_the_last_direction_is_nearly_the_one_that_softmax_does_not_see(published):
    last = published.data["left"].to_numpy().astype(float)[:, :, -1]
    assert np.abs(last.sum(axis=1) / 3).min() > 0.8


def test_a_published_network_is_made_again(published, monkeypatch):
    folder = Path(REAL_DATA or "").expanduser().resolve() / vowels.FOLDER
    if not REAL_DATA or not folder.is_dir():
        pytest.skip(f"needs real data: set RNNATOMY_DATA to a folder with {vowels.FOLDER}")
    monkeypatch.setenv("RNNATOMY_DATA", str(folder.parent))
    data, recipe = vowels.padded(vowels.utterances()), published.provenance["recipe"]
    assert data.checksum == published.provenance["data_sha256"]
    (made,) = speakers.train([0], data, others.config(speakers.ROW, data), recipe)
    found = others.measure(made, "again")
    for name in ("full", "bias"):
        np.testing.assert_allclose(found[name], published.data[name][0], atol=0.05)
