import numpy as np
import pytest
import xarray as xr

from rnnatomy.store import results
from rnnatomy.studies.movement import reading, scoring

STATES = ["untrained", "trained"]


@pytest.fixture(scope="module")
def found():
    return results.load_study("movement").data


def named(values, **axes):
    return xr.DataArray(np.asarray(values, float), axes, list(axes))


def numbers(found, name):
    return found[name].to_numpy()


def test_representations_are_named_and_keep_their_numbers():
    learned = named(np.arange(12).reshape(3, 2, 2), choice=[7, 8, 9], state=STATES, view=["a", "b"])
    plain = named([[20, 21], [22, 23], [24, 25]], choice=[7, 8, 9], plain_view=["p", "q"])
    rows = reading.representations(learned, plain)
    names = ["p, no network", "q, no network", "a, untrained", "b, untrained"]
    assert rows["row"].to_numpy().tolist() == [*names, "a, trained", "b, trained"]
    assert rows["view"].to_numpy().tolist() == ["p", "q", "a", "b", "a", "b"]
    assert (
        rows["state"].to_numpy().tolist()
        == ["no network"] * 2 + ["untrained"] * 2 + ["trained"] * 2
    )
    assert rows.sel(choice=8).to_numpy().tolist() == [22, 23, 4, 5, 6, 7]


def test_representations_of_several_scores_stay_together():
    learned = named(np.ones((2, 1)), state=STATES, view=["a"])
    plain = named([5], plain_view=["p"])
    scores = [xr.Dataset({"one": part, "two": 2 * part}) for part in (learned, plain)]
    rows = reading.representations(*scores)
    assert rows["one"].to_numpy().tolist() == [5, 1, 1]
    assert rows["two"].to_numpy().tolist() == [10, 2, 2]


def test_representations_of_other_choices_do_not_fit():
    learned = named(np.ones((2, 2, 1)), choice=[0, 1], state=STATES, view=["a"])
    with pytest.raises(ValueError, match="choice"):
        reading.representations(learned, named(np.ones((2, 1)), choice=[1, 2], plain_view=["p"]))


def test_the_best_has_the_largest_mean_not_the_largest_score():
    scores = named(np.zeros((2, 2, 3)), choice=[0, 1], row=["a", "b"], clustering=["k", "l", "m"])
    scores.loc[{"row": "b", "clustering": "l"}] = [0.6, 0.5]
    scores.loc[{"row": "a", "clustering": "m"}] = [1.0, 0.0]
    best = reading.best(scores, "choice")
    assert (best["row"].item(), best["clustering"].item()) == ("b", "l")
    assert best.to_numpy().tolist() == [0.6, 0.5]


def test_of_several_that_are_best_the_first_row_is_taken():
    scores = named(np.ones((2, 2, 2)), choice=[0, 1], row=["a", "b"], clustering=["k", "l"])
    best = reading.best(scores, "choice")
    assert (best["row"].item(), best["clustering"].item()) == ("a", "k")


def test_before_and_after_training_stand_beside_what_needs_no_network(found):
    authors = reading.authors(found)
    assert authors.dims == ("task", "network", "row", "clustering")
    ari, plain = numbers(found, "authors_ari"), numbers(found, "authors_plain_ari")
    for network in range(4):
        rows = authors.sel(network=network).to_numpy()
        np.testing.assert_array_equal(rows[:, :3], plain)
        np.testing.assert_array_equal(rows[:, 3:6], ari[:, network, 0])
        np.testing.assert_array_equal(rows[:, 6:], ari[:, network, -1])


@pytest.mark.parametrize("score", ["ari", "ami", "v_measure"])
def test_scores_on_sequences_held_out_are_means_over_networks_after_smoothing(found, score):
    held = reading.held_out(found)
    assert held[score].dims == ("choice", "row", "clustering")
    assert held["smoothing"].item() == 2
    learned, plain = numbers(found, f"held_{score}"), numbers(found, f"held_plain_{score}")
    wanted = np.concatenate([plain[:, 1], *np.moveaxis(learned[:, :, :, 1].mean(1), 1, 0)], axis=1)
    np.testing.assert_allclose(held[score], wanted, rtol=1e-6)


def by_loop(ari, score, names):
    """Choose the smoothing on recordings 01 and 05; axes (recording, smoothing, network, ...)."""
    tuning = np.isin(names, ("01", "05"))
    chosen = np.zeros((int((~tuning).sum()), *score.shape[2:]))
    for place in np.ndindex(score.shape[2:]):
        means = [ari[tuning, k][(slice(None), *place)].mean() for k in range(score.shape[1])]
        chosen[(slice(None), *place)] = score[~tuning, int(np.argmax(means))][(slice(None), *place)]
    return chosen


@pytest.mark.parametrize("score", ["ari", "f1", "activities"])
def test_scores_of_a_recording_never_come_from_its_own_choice_of_smoothing(found, score):
    subject, names = reading.subject_86(found), found["recording"].to_numpy()
    assert subject["recording"].to_numpy().tolist() == ["07", "09", "11", "13", "14"]
    for k, count in enumerate(("given", "found")):
        parts = {
            prefix: by_loop(*(numbers(found, f"{prefix}_{s}")[k] for s in ("ari", score)), names)
            for prefix in ("subject", "subject_plain")
        }
        states = np.moveaxis(parts["subject"].mean(axis=1), 1, 0)
        wanted = np.concatenate([parts["subject_plain"], *states], axis=1)
        np.testing.assert_allclose(subject[score].sel(count=count), wanted, rtol=1e-6)
    assert set(subject.data_vars) == set(scoring.SCORES)


def test_every_training_is_followed_from_before_its_first_epoch(found):
    trainings = reading.trainings(found)
    assert {name: dict(part["loss"].sizes) for name, part in trainings.items()} == {
        "same": {"training": 16, "epoch": 11},
        "held": {"training": 20, "epoch": 5},
    }
    for name, prefix in (("same", "authors"), ("held", "held")):
        loss, gauge = numbers(found, f"{prefix}_loss"), numbers(found, f"{prefix}_gauge")
        part, epochs = trainings[name], loss.shape[2]
        np.testing.assert_array_equal(part["loss"], loss.reshape(-1, epochs))
        np.testing.assert_array_equal(part["gauge"], gauge.reshape(-1, epochs, 2, 2))


def test_players_are_taken_apart_where_their_frames_end():
    played = {
        "played_frames": np.array([2, 3], np.float32),
        "played_points": np.arange(15, dtype=np.float32).reshape(5, 3),
        "played_joints": np.arange(30, dtype=np.float16).reshape(5, 2, 3),
    }
    first, second = reading.players(played)
    assert first.path.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert second.path[0].tolist() == [6, 7, 8]
    assert (first.joints.shape, second.joints.shape) == ((2, 2, 3), (3, 2, 3))
    assert second.joints[0, 0].tolist() == [12, 13, 14]


def test_the_study_has_a_player_for_each_action(found):
    players = reading.players(found)
    assert len(players) == found.sizes["action"]
    assert all(len(path) == len(joints) for path, joints in players)
    assert sum(len(path) for path, _ in players) == found.sizes["played_frame"]
