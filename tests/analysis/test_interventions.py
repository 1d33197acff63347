import numpy as np
import pytest

from rnnatomy.analysis import cutoffs, interventions, svd


@pytest.fixture(scope="module")
def parts():
    return svd.svd(np.random.default_rng(0).normal(size=(4, 6)))


def test_what_is_written_times_what_is_read_is_the_readout(parts):
    np.testing.assert_allclose(interventions.writes(parts) @ parts.Vt, svd.compose(parts))


def test_one_entry_is_scaled_or_all_others(parts):
    written = interventions.writes(parts)
    one = interventions.scale(written, 2, 1, 0.5)
    rest = interventions.scale(written, 2, 1, 0.5, others=True)
    expected = written.copy()
    expected[2, 1] /= 2
    np.testing.assert_array_equal(one, expected)
    # both together scale the direction
    both = interventions.scale(one, 2, 1, 0.5, others=True)
    expected = written * np.array([1, 0.5, 1, 1])
    np.testing.assert_allclose(both, expected)
    np.testing.assert_array_equal(rest[2], written[2])


def test_a_direction_without_entries_is_cut(parts):
    written = interventions.writes(parts)
    none = interventions.scale(interventions.scale(written, 0, 2, 0), 0, 2, 0, others=True)
    np.testing.assert_allclose(none @ parts.Vt, svd.compose(svd.without(parts, 3)), atol=1e-12)


def test_swaps_and_exchanges_undo_themselves(parts):
    written = interventions.writes(parts)
    once = interventions.swap_classes(written, 1, 0, 3)
    assert once[0, 1] == written[3, 1] and once[3, 1] == written[0, 1]
    np.testing.assert_array_equal(interventions.swap_classes(once, 1, 0, 3), written)
    swapped = interventions.exchange_values(parts, 0, 2)
    np.testing.assert_allclose(np.linalg.norm(swapped, axis=0), parts.s[[2, 1, 0, 3]])
    np.testing.assert_allclose(interventions.exchange_values(parts, 2, 2), written)


def test_the_opponent_stands_at_the_other_end():
    written = np.array([[0.9, 0], [-0.2, 0], [-0.6, 0], [0.3, 0]])
    assert interventions.opponent(written, 0, 0) == 2
    assert interventions.opponent(written, 2, 0) == 0
    assert interventions.opponent(-written, 0, 0) == 2


def test_recall_of_true_clouds_is_predicted(parts):
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 4000)
    means, mix = 0.8 * rng.normal(size=(4, 4)), 0.7 * rng.normal(size=(4, 4, 4))
    along = means[labels] + np.einsum("sm,smn->sn", rng.normal(size=(16000, 4)), mix[labels])
    bias, written = 0.1 * rng.normal(size=4), interventions.writes(parts)
    clouds = interventions.fit_clouds(along[::2], labels[::2])
    noise = rng.normal(size=(4000, 4))
    for matrix in (written, interventions.scale(written, 1, 0, 0)):
        measured = cutoffs.recall(along[1::2] @ matrix.T + bias, labels[1::2])
        predicted = interventions.predict_recall(matrix, bias, clouds, noise)
        np.testing.assert_allclose(predicted, measured, atol=0.04)
        assert measured.min() < 0.95


def test_a_cloud_has_the_mean_and_the_covariance_of_its_class():
    rng = np.random.default_rng(2)
    points, labels = rng.normal(size=(60, 3)), np.arange(60) % 2
    clouds = interventions.fit_clouds(points, labels)
    for number in range(2):
        own = points[labels == number]
        np.testing.assert_allclose(clouds.means[number], own.mean(axis=0))
        root = clouds.roots[number]
        np.testing.assert_allclose(root @ root.T, np.cov(own.T, bias=True), atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: interventions.scale(w, 4, 0, 1), "label is 4: give a whole number, 0 to 3"),
        (lambda w: interventions.scale(w, 0, 9, 1), "mode is 9: give a whole number, 0 to 3"),
        (lambda w: interventions.scale(w, 0, 0, np.nan), "factor is nan: give a finite number"),
        (lambda w: interventions.scale(w * np.inf, 0, 0, 1), "NaN or infinity in written"),
        (lambda w: interventions.swap_classes(w, 0, 0, -1), "other is -1"),
        (lambda w: interventions.opponent(w[0], 0, 0), "shape .4,. of written does not fit"),
    ],
)
def test_bad_input_is_refused(as_users, parts, call, message):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        call(interventions.writes(parts))


def test_a_direction_that_is_not_there_is_not_exchanged(parts):
    with pytest.raises(ValueError, match="mode is 4"):
        interventions.exchange_values(parts, 0, 4)
