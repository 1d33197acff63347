import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold

from rnnatomy.analysis import controls, cutoffs, explained, svd


def random_case(seed=0, out=4, hidden=6, samples=50):
    """A readout, its bias, states, and targets that the readout gives but for noise."""
    rng = np.random.default_rng(seed)
    W, bias = rng.normal(size=(out, hidden)), rng.normal(size=out)
    states = np.tanh(rng.normal(size=(samples, hidden)))
    return W, bias, states, states @ W.T + bias + 0.5 * rng.normal(size=(samples, out))


def by_scikit(W, bias, states, targets):
    return r2_score(targets, states @ W.T + bias, multioutput="raw_values")


def without_by_hand(q, W, *rest):
    return by_scikit(W - np.outer(q, q) @ W, *rest)


@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(1, 5), st.floats(0, 1e3))
def test_r_squared_is_that_of_scikit_learn(seed, samples, out, off):
    rng = np.random.default_rng(seed)
    outputs, targets = rng.normal(size=(2, samples, out)) + off
    expected = r2_score(targets, outputs, multioutput="raw_values")
    np.testing.assert_allclose(explained.r_squared(outputs, targets), expected, rtol=1e-9)


def test_right_answers_explain_all_and_the_mean_nothing():
    targets = random_case()[-1]
    np.testing.assert_array_equal(explained.r_squared(targets, targets), np.ones(4))
    mean = np.tile(targets.mean(axis=0), (50, 1))
    np.testing.assert_allclose(explained.r_squared(mean, targets), 0, atol=1e-12)
    assert (explained.r_squared(2 * mean - targets, targets) < -2.9).all()


@pytest.mark.parametrize("factor", [1e100, 1e-100])
def test_r_squared_has_no_unit(factor):
    outputs, targets = random_case()[-1], random_case(1)[-1]
    expected = explained.r_squared(outputs, targets)
    scaled = explained.r_squared(outputs * factor, targets * factor)
    np.testing.assert_allclose(scaled, expected)


def line_by_hand(points, targets, folds):
    """Ridge regression with the penalty that leaving out each point in turn finds best."""
    read = np.zeros_like(targets)
    for fitted, rest in KFold(folds, shuffle=True, random_state=0).split(points):
        mean, spread = points[fitted].mean(axis=0), points[fitted].std(axis=0)
        scaled, own = (points - mean) / spread, targets[fitted]

        def off(penalty, x=scaled[fitted], own=own):
            hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T) + 1 / len(x)
            rest = (own - own.mean(axis=0)) - (hat - 1 / len(x)) @ (own - own.mean(axis=0))
            return np.square(rest / (1 - np.diag(hat))[:, None]).mean()

        best = min(np.logspace(-2, 4, 7), key=off)
        read[rest] = (
            Ridge(best).fit(scaled[fitted], own).predict(scaled[rest]).reshape(-1, read.shape[1])
        )
    return r2_score(targets, read)


@pytest.mark.parametrize(("out", "noise"), [(1, 0.1), (3, 1.0), (2, 10.0)])
def test_a_line_is_ridge_regression_that_never_reads_what_it_was_fitted_to(out, noise):
    rng = np.random.default_rng(out)
    points = rng.normal(size=(40, 6)) * [1e-3, 1, 1, 1, 1, 1e3] + 5
    targets = points[:, 1 : 1 + out] + noise * rng.normal(size=(40, out))
    found = explained.line(points, targets, 4)
    assert found == pytest.approx(line_by_hand(points, targets, 4))


def test_a_line_tells_what_is_linear_and_no_noise():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 5))
    assert explained.line(points, points @ rng.normal(size=(5, 2)) + 3) > 0.9999
    assert abs(explained.line(points, rng.normal(size=(200, 2)))) < 0.1
    assert explained.line(points, np.square(points[:, :2])) < 0.1
    # more features than points
    assert explained.line(rng.normal(size=(30, 200)), rng.normal(size=(30, 1))) < 0.3


def test_a_line_leaves_what_it_is_given_as_it_was():
    rng = np.random.default_rng(0)
    points, targets = rng.normal(size=(30, 5)), rng.normal(size=(30, 2))
    before = points.copy(), targets.copy()
    explained.line(points, targets)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(targets, before[1])


@pytest.mark.parametrize(("out", "hidden"), [(4, 6), (6, 4), (1, 5), (5, 1)])
def test_cutoffs_equal_a_loop_that_rebuilds_the_readout(out, hidden):
    W, *rest = random_case(out=out, hidden=hidden)
    found = explained.explained(svd.svd(W), *rest)
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    terms = [s[k] * np.outer(U[:, k], Vt[k]) for k in range(len(s))]
    assert found.nested.shape == (len(s) + 1, out) and found.single.shape == (len(s), out)
    np.testing.assert_allclose(found.full, by_scikit(W, *rest))
    for rank, row in enumerate(found.nested):
        kept = sum(terms[:rank], np.zeros_like(W))
        np.testing.assert_allclose(row, by_scikit(kept, *rest), atol=1e-10)
    for k, row in enumerate(found.single):
        np.testing.assert_allclose(row, by_scikit(W - terms[k], *rest), atol=1e-10)


def test_nested_cutoffs_run_from_the_bias_alone_to_the_full_readout():
    W, bias, states, targets = random_case()
    found = explained.explained(svd.svd(W), bias, states, targets)
    np.testing.assert_array_equal(found.nested[-1], found.full)
    alone = explained.r_squared(np.tile(bias, (50, 1)), targets)
    np.testing.assert_array_equal(found.nested[0], alone)
    assert (found.nested[0] <= 0).all()


def test_an_output_loses_what_its_own_direction_explains():
    # output k is read by direction k alone, and is all there is to explain of it
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(7, 7)))[0][:4]
    parts = svd.SVD(np.eye(4), np.array([4.0, 3.0, 2.0, 1.0]), axes)
    states = np.random.default_rng(1).normal(size=(60, 7))
    states -= states.mean(axis=0)
    bias = np.arange(4.0)
    found = explained.explained(parts, bias, states, states @ svd.compose(parts).T + bias)
    np.testing.assert_allclose(found.single, 1 - np.eye(4), atol=1e-12)
    np.testing.assert_allclose(found.nested, np.tri(5, 4, -1), atol=1e-12)


@pytest.mark.parametrize(("out", "hidden"), [(4, 6), (6, 4), (1, 5)])
def test_along_the_left_vectors_a_removed_direction_is_a_cutoff(out, hidden):
    W, *rest = random_case(out=out, hidden=hidden)
    parts = svd.svd(W)
    found = explained.without_directions(parts.U[None], W, *rest)
    expected = explained.explained(parts, *rest).single
    np.testing.assert_allclose(found, expected[None], atol=1e-10)


def test_a_direction_of_any_basis_is_removed_from_the_readout():
    W, *rest = random_case()
    rng = np.random.default_rng(1)
    bases = np.stack([controls.random_basis(rng, 4)[:, :3] for _ in range(5)])
    found = explained.without_directions(bases, W, *rest)
    assert found.shape == (5, 3, 4)
    for basis, rows in zip(bases, found, strict=True):
        for q, row in zip(basis.T, rows, strict=True):
            np.testing.assert_allclose(row, without_by_hand(q, W, *rest))


def test_a_direction_that_the_readout_does_not_write_along_is_worth_nothing():
    W, *rest = random_case(out=6, hidden=4)
    beyond = np.linalg.svd(W)[0][:, 4:]
    found = explained.without_directions(beyond[None], W, *rest)
    full = np.tile(by_scikit(W, *rest), (1, 2, 1))
    np.testing.assert_allclose(found, full, atol=1e-10)


def test_without_directions_only_the_bias_is_left():
    W, *rest = random_case()
    found = explained.explained(svd.truncate(svd.svd(W), 0), *rest)
    assert found.single.shape == (0, 4)
    np.testing.assert_array_equal(found.nested, found.full[None])


W, BIAS, STATES, TARGETS = random_case()
STILL = np.where(np.arange(4) == 2, 0.1, TARGETS)
BAD = {
    "states of another width": ((BIAS, STATES[:, :5], TARGETS), r"states .* give \(sample, 6\)"),
    "bias of another size": ((BIAS[:3], STATES, TARGETS), r"\(3,\) of bias .* give \(4,\)"),
    "targets of other samples": ((BIAS, STATES, TARGETS[:9]), r"targets .* give \(50, 4\)"),
    "targets of one axis": ((BIAS, STATES, TARGETS[:, 0]), r"targets .* give \(50, 4\)"),
    "states not finite": (
        (BIAS, np.where(STATES > 0.5, np.nan, STATES), TARGETS),
        "NaN or infinity in states",
    ),
    "bias not finite": ((BIAS * np.inf, STATES, TARGETS), "NaN or infinity in bias"),
    "targets not finite": ((BIAS, STATES, TARGETS * np.nan), "NaN or infinity in targets"),
    "targets too large": ((BIAS, STATES, TARGETS * 1e200), "in targets is too large to square"),
    "a target that is constant": (
        (BIAS, STATES, STILL),
        "the target of output 2, counted from 0, does not vary: R² is not defined",
    ),
    "targets whose squares vanish": (
        (BIAS, STATES, TARGETS * 1e-200),
        "the target of output 0, counted from 0, does not vary",
    ),
    "one sample": ((BIAS, STATES[:1], TARGETS[:1]), "output 0, counted from 0, does not vary"),
    "errors far from targets": (
        (BIAS * 1e150, STATES, TARGETS * 1e-150),
        "errors of output 0, counted from 0, are too large for R²",
    ),
}


@pytest.mark.parametrize(("case", "message"), BAD.values(), ids=BAD)
def test_bad_input_has_its_own_error(as_users, case, message):
    with pytest.raises(ValueError, match=message):
        explained.explained(svd.svd(W), *case)
    with pytest.raises(ValueError, match=message):
        explained.without_directions(np.eye(4)[None], W, *case)


LINES = {
    "points not finite": ((STATES * np.nan, TARGETS), "NaN or infinity in points"),
    "points too large": ((STATES * 1e200, TARGETS), "in points is too large to square"),
    "points of one axis": ((STATES[:, 0], TARGETS), r"points .* give \(sample, feature\)"),
    "targets of other samples": ((STATES, TARGETS[:9]), r"targets .* give \(50, out\)"),
    "targets of one axis": ((STATES, TARGETS[:, 0]), r"targets .* give \(50, out\)"),
    "targets not finite": ((STATES, TARGETS * np.inf), "NaN or infinity in targets"),
    "a target that is constant": ((STATES, STILL), "the target of output 2, .* does not vary"),
    "fewer samples than folds": ((STATES[:4], TARGETS[:4]), "folds is 5: give 2 to 4, as there"),
    "one fold": ((STATES, TARGETS, 1), "folds is 1: give 2 to 50, as there are samples"),
    "half a fold": ((STATES, TARGETS, 2.5), r"folds is 2\.5: give 2 to 50"),
}


@pytest.mark.parametrize(("case", "message"), LINES.values(), ids=LINES)
def test_bad_input_of_a_line_has_its_own_error(as_users, case, message):
    with pytest.raises(ValueError, match=message):
        explained.line(*case)


@pytest.mark.parametrize("factor", [1e200, 1e308])
def test_a_readout_whose_outputs_cannot_be_squared_is_refused(factor):
    parts = svd.svd(W)._replace(s=np.full(4, factor))
    with pytest.raises(ValueError, match=r"NaN or infinity in outputs|in outputs is too large"):
        explained.explained(parts, BIAS, 10 * STATES, TARGETS)


def test_outputs_and_targets_have_one_shape(as_users):
    for outputs in (TARGETS[:, :3], TARGETS[:9], TARGETS[0], STATES):
        with pytest.raises(ValueError, match=r"shape .* of (outputs|targets) does not fit"):
            explained.r_squared(outputs, TARGETS)


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        (np.eye(4)[None] * 1.1, "not orthonormal: give an orthogonal matrix"),
        (np.ones((1, 4, 2)), "not orthonormal: give an orthogonal matrix"),
        (np.eye(4)[None] * 1e200, "in bases is too large to square"),
        (np.eye(3)[None], r"bases does not fit: give \(basis, 4, mode\)"),
        (np.eye(4), r"bases does not fit: give \(basis, 4, mode\)"),
    ],
)
def test_a_basis_is_orthonormal_and_of_the_outputs(as_users, bases, message):
    with pytest.raises(ValueError, match=message):
        explained.without_directions(bases, W, BIAS, STATES, TARGETS)


def test_cutoffs_of_no_direction_are_measured_all_the_same():
    parts = svd.SVD(np.zeros((3, 0)), np.zeros(0), np.zeros((0, 4)))
    found = cutoffs.under_cutoffs(parts, lambda kept: svd.compose(kept).sum(axis=1))
    assert found.nested.shape == (1, 3) and found.single.shape == (0, 3)
