import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.networks import predictors, training
from rnnatomy.studies.movement import embeddings, fitting


def test_the_error_of_predictions_is_over_each_frame_once(model, two):
    made = [embeddings.cut(frames[::2], 4, 4, 4).examples for frames in two]
    squares = [
        np.square(predictors.trajectory(model, part.inputs, 4).outputs - part.targets).ravel()
        for part in made
    ]
    assert fitting.error(model, two, synthetic.TINY) == pytest.approx(
        np.concatenate(squares).mean(), rel=1e-5
    )


def assert_goes_on(two, path, fitted):
    """Nothing is left to fit after the last epoch, and all networks are there."""
    written = path.stat().st_mtime_ns
    again = fitting.fit(two, synthetic.TINY, [3, 4], path)
    assert path.stat().st_mtime_ns == written
    jax.tree.map(np.testing.assert_array_equal, again.parameters, fitted.parameters)
    for name, array in fitted.history.items():
        np.testing.assert_array_equal(again.history[name], array)


def test_networks_are_kept_after_each_epoch(two, tmp_path):
    path = tmp_path / "half.safetensors"
    fitted = fitting.fit(two, synthetic.TINY, [3, 4], path)
    assert_goes_on(two, path, fitted)
    last = fitting.networks_by_epoch(fitted, 1)[-1]
    assert len(fitting.networks_by_epoch(fitted, 1)) == 2
    again = training.member(fitted, 1)
    assert fitting.error(last, two, synthetic.TINY) == fitting.error(again, two, synthetic.TINY)
    fresh = fitting.untrained(117, synthetic.TINY, 4)
    assert fitting.error(last, two, synthetic.TINY) < fitting.error(fresh, two, synthetic.TINY)


def test_all_phases_are_trained_on(two, monkeypatch):
    seen = []

    def record(create, loss, train, *rest, **options):
        seen.extend(train)
        return synthetic.not_fitted(create, loss, train, *rest, **options)

    monkeypatch.setattr(training, "fit_ensemble", record)
    fitting.fit(two[:1], synthetic.TINY, [0])
    inputs, targets = seen
    assert inputs.shape == (14, 4, 117) and targets.shape == (14, 4, 117)
    np.testing.assert_array_equal(inputs[0], two[0][0:8:2])
    np.testing.assert_array_equal(inputs[7], two[0][1:9:2])
    np.testing.assert_array_equal(targets[7], two[0][9:17:2])
