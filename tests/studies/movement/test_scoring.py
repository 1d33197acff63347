from functools import partial

import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.analysis import clusters, separability
from rnnatomy.store import results
from rnnatomy.studies.movement import embeddings, protocols, scoring


def test_each_frame_belongs_to_the_nearest_point():
    found = scoring.by_frame(np.array([5, 7, 9]), np.array([2.0, 4.0, 9.0]), 12)
    assert found.tolist() == [5, 5, 5, 7, 7, 7, 7, 9, 9, 9, 9, 9]


def test_sequences_are_clustered_together():
    parts = [
        embeddings.Embedding(np.array([[0.0], [10.0]]), np.array([1.0, 4.0])),
        embeddings.Embedding(np.array([[10.1], [10.2], [0.1]]), np.array([0.0, 2.0, 4.0])),
    ]
    for way in scoring.methods_for_count(2, np.random.default_rng(0)).values():
        first, second = scoring.find(parts, [5, 6], way)
        assert (first == first[0]).tolist() == [True, True, True, False, False]
        assert (second == first[0]).tolist() == [False, False, False, True, True, True]


def test_the_number_of_activities_is_found_where_it_is_not_given():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    points = np.concatenate([centre + rng.normal(size=(20, 2)) for centre in centres])
    for way in scoring.methods_by_silhouette(rng).values():
        assert len(np.unique(way(points))) == 3
        assert len(np.unique(way(points[:3]))) == 2


def test_a_segmentation_is_scored_within_the_accepted_frames(monkeypatch):
    monkeypatch.setattr(scoring, "SHORTEST", 6)
    made = synthetic.recording("01", 0)
    exact = scoring.segmentation(made.labels, made)
    np.testing.assert_allclose(exact, [1, 1, 1, 1, 1, 1, 1, 3])
    assert len(exact) == len(scoring.SCORES)
    flicker = made.labels.copy()
    flicker[10:14] = 2  # shorter than the shortest segment
    np.testing.assert_allclose(scoring.segmentation(flicker, made), exact)
    late = np.roll(made.labels, 9)
    late[:9] = 0
    assert scoring.segmentation(late, made)[4:7].tolist() == [0, 0, 0]


def test_a_table_holds_every_representation_and_every_way(two):
    rows = embeddings.frame_rows(two, two, synthetic.TINY)
    labels = np.repeat([0, 1], [40, 23])
    ways = scoring.methods_for_count(2, np.random.default_rng(0))
    score = partial(scoring.agreement, labels=labels)
    found = scoring.table(rows, [40, 23], (0.0, 0.1), ways, score)
    assert found.shape == (2, 3, 3, 3)
    points = np.concatenate([part.points for part in rows["poses"]])
    ward = clusters.agglomerative(points, 2, "ward")
    parts = [rows["poses"][0].at, rows["poses"][1].at]
    by_hand = [scoring.by_frame(ward[: len(parts[0])], parts[0], 40)]
    by_hand += [scoring.by_frame(ward[len(parts[0]) :], parts[1], 23)]
    wanted = clusters.agreement(np.concatenate(by_hand), labels)
    np.testing.assert_allclose(found[0, 0, 1], wanted)


def test_the_gauge_needs_no_labels():
    rng = np.random.default_rng(0)
    points = np.concatenate([place + 0.1 * rng.normal(size=(20, 2)) for place in (0.0, 9.0)])
    part = embeddings.Embedding(points, np.arange(40.0))
    mixed = embeddings.Embedding(rng.normal(size=(40, 2)), part.at)
    found = scoring.gauge(
        {embeddings.WITH_NETWORK[0]: [part], embeddings.WITH_NETWORK[1]: [mixed]}, 2, rng
    )
    assert found.shape == (2, 2)
    assert (found[0] > 0.95).all() and (found[1] < 0.6).all()
    truth = separability.silhouette(points, np.repeat([0, 1], 20))
    np.testing.assert_allclose(found[0], truth)


def test_each_score_has_an_array_of_its_own():
    scores = np.arange(24.0).reshape(2, 3, 4)
    found = scoring.by_name("held", scores, ("a", "b", "c", "d"))
    assert list(found) == ["held_a", "held_b", "held_c", "held_d"]
    np.testing.assert_array_equal(found["held_c"], scores[:, :, 2])


def plain_scores(ari):
    """Scores of four recordings, with two lengths of the running mean, of three rows."""
    arrays = {f"subject_plain_{name}": ari + 10 * k for k, name in enumerate(scoring.SCORES)}
    axes = dict.fromkeys(arrays, ("recording", "smoothing", "plain_view"))
    along = {"recording": ["05", "01", "07", "09"], "smoothing": (0.0, 2.0)}
    return results.dataset(arrays, axes, along | {"plain_view": ["a", "b", "c"]})


def test_the_running_mean_is_chosen_on_two_recordings_and_scored_on_the_others():
    ari = np.zeros((4, 2, 3))
    ari[:2, 1, 0] = 1  # the second is better for the first row, where it is tuned
    ari[2:, 0], ari[2:, 1] = 5, 7
    found = scoring.tuned(plain_scores(ari), "subject_plain")
    assert set(found.data_vars) == set(scoring.SCORES)
    assert found["recording"].to_numpy().tolist() == ["07", "09"]
    for k, name in enumerate(scoring.SCORES):
        assert found[name].dims == ("recording", "plain_view")
        assert (found[name].sel(plain_view="a") == 7 + 10 * k).all()
        assert (found[name].sel(plain_view=["b", "c"]) == 5 + 10 * k).all()
    # the choice is told, and of two that are as good it is the first
    assert found["smoothing"].to_numpy().tolist() == [2.0, 0.0, 0.0]


@pytest.mark.parametrize("prefix", ["subject", "subject_plain"])
def test_published_scores_are_tuned_as_by_hand(published, prefix):
    """For each representation, clustering, count and network by itself, in loops."""
    data = published.data
    found = scoring.tuned(data, prefix)
    names = data["recording"].to_numpy().tolist()
    tuning = [names.index(name) for name in protocols.TUNED_ON]
    tested = [k for k in range(len(names)) if k not in tuning]
    axes = data[f"{prefix}_ari"].dims
    assert axes[:3] == ("count", "recording", "smoothing")
    ari = np.moveaxis(data[f"{prefix}_ari"].to_numpy(), 0, 2)
    f1 = np.moveaxis(data[f"{prefix}_f1"].to_numpy(), 0, 2)
    wanted = np.empty((len(tested), *ari.shape[2:]), np.float32)
    for place in np.ndindex(*ari.shape[2:]):
        means = [np.mean([ari[(k, s, *place)] for k in tuning]) for s in range(ari.shape[1])]
        wanted[(slice(None), *place)] = f1[(tested, int(np.argmax(means)), *place)]
    assert found["f1"].dims == ("count", "recording", *axes[3:])
    np.testing.assert_array_equal(np.moveaxis(found["f1"].to_numpy(), 0, 1), wanted)


def test_bad_points_and_labels_are_one_clear_error(two):
    rows = embeddings.frame_rows(two[:1], two[:1], synthetic.TINY)
    ways = scoring.methods_for_count(2, np.random.default_rng(0))
    one = partial(scoring.agreement, labels=np.zeros(40, int))
    with pytest.raises(ValueError, match="all points are of one class"):
        scoring.table(rows, [40], (0.0,), ways, one)
    with pytest.raises(ValueError, match="2 to"):
        scoring.joined_table(rows, np.zeros(40, int), synthetic.TINY, np.random.default_rng(0))
