import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.analysis import separability
from rnnatomy.studies.movement import embeddings, geometry


def test_the_shape_of_points_is_their_modes_and_how_far_their_classes_are_apart():
    rng = np.random.default_rng(0)
    labels, at = np.repeat([0, 1], 40), np.arange(0.0, 80, 2)
    place = 9 * labels[at.astype(int)]
    points = np.stack([place, *0.01 * rng.normal(size=(4, 40))], axis=1)
    found = geometry.shape(embeddings.Embedding(points, at), labels)
    assert found.modes == 1
    by_hand = separability.silhouette(points, np.repeat([0, 1], 20))
    assert found.silhouette == pytest.approx(by_hand) and by_hand > 0.9


def test_roles_are_distances_to_orbits_of_the_own_action_and_of_others(
    narrow_model, held, monkeypatch
):
    monkeypatch.setattr(geometry, "ONWARD", 5)
    found = geometry.roles(narrow_model, held, synthetic.TINY)
    assert found.shape == (2, 3 + 5)
    assert (found > 0).all()
    swapped = held._replace(actions=[1 - k for k in held.actions])
    np.testing.assert_allclose(
        geometry.roles(narrow_model, swapped, synthetic.TINY), found, atol=1e-6
    )
    # own orbits are those of sequences that move alike
    assert found[0, 0] < found[1, 0]
    monkeypatch.setattr(geometry, "WINDOWS_OF_ACTION", 4)
    assert not np.allclose(geometry.roles(narrow_model, held, synthetic.TINY), found)
