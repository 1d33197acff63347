import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import maps
from rnnatomy.studies import latent, latent_page

FIXED, CYCLE = (maps.KINDS.index(name) for name in ("fixed point", "cycle"))
VECTORS = 10
"""Of each source."""


def a_state(**given):
    """A decoder whose vectors each have one fixed point, and blank rows there, or as given."""
    count = 2 * VECTORS
    every = {
        "kind": np.full(count, FIXED),
        "sets": np.ones(count),
        "arrived": np.ones(count),
        "modulus": np.full(count, 0.9),
        "motion": np.zeros(count),
        "wander": np.zeros(count),
        "range": np.zeros(count),
        "by_start": np.zeros(count),
        "memory": np.tile([1.0, 2, 3], (count, 1)),
        "left": np.tile([6.0, 5, 4, 3, 2, 1], (count, 1)),
        "ink": np.tile([0.1, 0.0, 0.001], (count, 1)),
        "apart": [2.0, 4.0],
        "ink_in_time": np.ones((2, latent.SHOWN)),
        "accuracy": [0.8, 0.7, 0.6, 0.5],
        "steps": np.ones((4, latent.WALKED, 2)),
        **dict.fromkeys(("points", "unstable", "largest"), np.ones(10)),
    }
    return {name: np.asarray(value, float) for name, value in (every | given).items()}


def a_study(*pairs):
    """A study of networks, each of a trained and an untrained state."""
    arrays = {
        name: (axes, np.array([[state[name] for state in pair] for pair in pairs]))
        for name, axes in latent.AXES.items()
        if name != "elbo"
    }
    coordinates = latent._coordinates(len(pairs))
    coordinates["vector_source"] = ("vector", np.repeat(latent.SOURCES, VECTORS))
    return xr.Dataset(arrays, coordinates)


@pytest.fixture
def mixed():
    """Two networks: what arrives under all vectors, and what does under seven of ten at most."""
    kind = np.full(2 * VECTORS, FIXED)
    kind[0] = CYCLE
    sets, arrived = np.ones(2 * VECTORS), np.ones(2 * VECTORS)
    sets[1], arrived[2] = 2, 0.5
    ink = np.tile([0.1, 0.0, 0.02], (2 * VECTORS, 1))
    steps = np.ones((4, latent.WALKED, 2))
    steps[0, 3, 1], steps[1, 3, 0] = 6, 9
    other = a_state(
        kind=kind,
        sets=sets,
        arrived=arrived,
        ink=ink,
        steps=steps,
        left=np.full((2 * VECTORS, 6), 0.1),
        wander=np.full(2 * VECTORS, 0.5),
        by_start=np.full(2 * VECTORS, 0.2),
        accuracy=[0.5, 0.6, 0.7, 0.9],
    )
    return a_study((a_state(), a_state()), (other, a_state()))


def test_a_part_is_one_state_and_one_source(mixed):
    for source in latent.SOURCES:
        part = latent_page.part(mixed, "untrained", source)
        assert part.sizes["vector"] == VECTORS and (part["vector_source"] == source).all()
        assert part["apart"].dims == ("network",)


def test_one_fixed_point_is_told_from_the_rest(mixed):
    part = latent_page.part(mixed, "trained")
    assert latent_page.has_arrived(part).sum("vector").to_numpy().tolist() == [10, 9]
    # neither a cycle, nor two points, nor a start that did not arrive
    assert latent_page.is_one_point(part).sum("vector").to_numpy().tolist() == [10, 7]
    open_ = a_state(kind=np.full(20, latent.OPEN), arrived=np.zeros(20), sets=np.full(20, np.nan))
    part = latent_page.part(a_study((open_, open_)), "trained")
    assert not latent_page.is_one_point(part).any() and not latent_page.has_arrived(part).any()


def test_distances_are_shares_of_those_between_ends(mixed):
    trained, prior = (latent_page.part(mixed, "trained", source) for source in latent.SOURCES)
    np.testing.assert_allclose(latent_page.left(trained), [1.5, 0.05])
    np.testing.assert_allclose(latent_page.left(prior, 112), [0.25, 0.025])
    np.testing.assert_allclose(latent_page.wander(trained), [0, 0.25])
    np.testing.assert_allclose(latent_page.by_start(prior), [0, 0.05])
    np.testing.assert_allclose(latent_page.time_constant(trained), -1 / np.log(0.9))


def test_leaps_and_ink(mixed):
    part = latent_page.part(mixed, "trained")
    np.testing.assert_allclose(latent_page.leaps(part)[1], [6, 1, 1, 1])
    np.testing.assert_allclose(latent_page.leaps(part, "row 28")[1], [1, 9, 1, 1])
    assert latent_page.is_blank(part).all("vector").to_numpy().tolist() == [True, False]
    np.testing.assert_allclose(latent_page.better_told(part), [-0.3, 0.4], atol=1e-9)
    ink = np.ones((2, latent.SHOWN))
    ink[0, latent.ROW :] = 0.25
    part = latent_page.part(a_study((a_state(ink_in_time=ink), a_state())), "trained")
    np.testing.assert_allclose(latent_page.later_ink(part), 0.25)


def test_a_part_is_summed_up(mixed):
    found = latent_page.read(latent_page.part(mixed, "trained"))
    assert found.networks == 2
    assert found.arrived == pytest.approx((0.95, 0.9, 1))
    assert found.fixed == pytest.approx((0.85, 0.7, 1))
    assert found.memory == pytest.approx((3, 3, 3))
    assert found.blank == pytest.approx((0.5, 0, 1))
    assert found.left == pytest.approx((0.775, 0.05, 1.5))


def test_groups_are_written_as_rows(mixed):
    found = latent_page.groups(mixed)
    assert next(iter(found)) == ("trained", "image") and len(found) == 4
    written = latent_page.rows(found)
    assert written[0][:5] == ["trained", "image", "2", "0.95 (0.90 to 1.00)", "0.85 (0.70 to 1.00)"]
    assert {len(row) for row in written} == {2 + len(latent_page.HEAD)}
    told = latent_page.accuracies(mixed, "trained")
    assert list(told) == list(latent.TOLD)
    assert told["end"] == pytest.approx((0.7, 0.5, 0.9))


def test_expectations_are_answered(mixed):
    found = latent_page.answers(mixed)
    assert list(found) == list(latent_page.EXPECTED)
    # 0.85 of the vectors, half of them, half of the networks, and 0.05 more on the mean
    assert [one.held for one in found.values()] == [False, False, False, False, True]
    assert found["no jumps"].share.tolist() == [1, 0.75]
    assert found["no jumps"].control.tolist() == [1, 1]
    good = latent_page.answers(a_study(*[(a_state(), a_state())] * 2))
    assert all(one.held for one in good.values())
