import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import maps
from rnnatomy.studies import attractors, attractors_page

FIXED, CIRCLE, CHAOS = (maps.KINDS.index(name) for name in ("fixed point", "circle", "chaos"))
SETS = 3


def a_network(families=2, sets=1, **given):
    """A network of circles that all families share, or as given."""
    there = np.arange(SETS) < sets
    basin = np.full((SETS, 4), np.nan)
    basin[:, :families] = np.eye(SETS, 1)
    every = {
        "sets": sets,
        "settled": 1.0,
        "away": 0.0,
        "error": 0.01,
        "kind": np.where(there, CIRCLE, attractors.NONE),
        "period": np.zeros(SETS),
        "basin": basin,
        "exponents": np.where(there[:, None], [0.0, -0.1, -0.2], np.nan),
        "exponent_errors": np.zeros((SETS, 3)),
        "winding": np.where(there, 0.02, np.nan),
        "rotation": np.where(there, 0.02, np.nan),
        "rotation_error": np.zeros(SETS),
        "half_axes": np.where(there[:, None], [1.0, 1.0], np.nan),
        "points": 1.0,
        "reached": 1.0,
    }
    every |= dict.fromkeys(("point_share", "point_unstable", "point_modulus"), np.zeros(2))
    return {name: np.asarray(value, float) for name, value in (every | given).items()}


def a_family_each(families=2, **given):
    basin = np.full((SETS, 4), np.nan)
    basin[:, :families] = np.eye(SETS, families)
    return a_network(families, 2, basin=basin, **given)


def a_study(*networks, families=2, hidden=16, states=None):
    """A study of these networks."""
    arrays = {
        name: (("network", *axes[1:]), np.stack([one[name] for one in networks]))
        for name, axes in attractors.AXES.items()
        if axes[0] == "network"
    }
    count = len(networks)
    return xr.Dataset(
        arrays,
        {
            "cell": ("network", ["gru"] * count),
            "families": ("network", [families] * count),
            "hidden": ("network", [hidden] * count),
            "state": ("network", states or ["trained"] * count),
        },
    )


@pytest.fixture
def mixed():
    """Two families: one set for both, one for each, a fixed point, and chaos."""
    point = a_network(kind=[FIXED, -1, -1], rotation=[np.nan] * SETS, winding=[0, np.nan, np.nan])
    chaos = a_network(kind=[CHAOS, -1, -1], exponents=np.full((SETS, 3), 0.05))
    return a_study(a_network(), a_family_each(), point, chaos)


def test_a_set_belongs_to_a_family_if_nearly_all_its_starts_do(mixed):
    owners = attractors_page.owner(mixed).to_numpy()
    assert owners.tolist() == [[-1] * 3, [0, 1, -1], [-1] * 3, [-1] * 3]
    assert attractors_page.with_own(mixed).to_numpy().tolist() == [0, 2, 0, 0]
    for stray, belongs in ((0.04, 0), (0.06, -1)):
        basin = np.full((SETS, 4), np.nan)
        basin[:, :2] = [[1, stray], [0, 1 - stray], [0, 0]]
        owners = attractors_page.owner(a_study(a_network(sets=2, basin=basin)))
        assert owners.to_numpy().tolist() == [[belongs, 1, -1]]


def test_closed_curves_are_told_from_the_rest(mixed):
    assert attractors_page.is_closed(mixed).sum("set").to_numpy().tolist() == [1, 2, 0, 0]
    # a circle that is passed unevenly
    kind, rates = [CHAOS, -1, -1], np.tile([2e-4, -0.3, -0.4], (SETS, 1))
    uneven = a_study(a_network(kind=kind, exponents=rates))
    assert attractors_page.is_closed(uneven).to_numpy().tolist() == [[True, False, False]]
    torn = a_study(a_network(kind=kind, exponents=rates, rotation=[np.nan] * SETS))
    assert not attractors_page.is_closed(torn).any()


def test_memory_is_the_time_in_which_a_push_shrinks(mixed):
    found = attractors_page.memory(mixed)
    np.testing.assert_allclose(found[0], [10, np.nan, np.nan])
    assert np.isnan(found[2:]).all()


def test_speeds_and_axes_are_those_of_the_family():
    winding = [0.02, 0.0202, np.nan]
    sizes = [[1.0, 1.0], [1.25, 0.8], [np.nan, np.nan]]
    data = a_study(a_family_each(winding=winding, half_axes=sizes), a_network())
    found = attractors_page.speeds(data).to_numpy()
    np.testing.assert_allclose(found[0], [1, 1.01, np.nan], rtol=1e-6)
    assert np.isnan(found[1]).all()
    sized = attractors_page.axes(data).transpose("network", "set", "half_axis").to_numpy()
    np.testing.assert_allclose(sized[0, :2], 1)
    assert np.isnan(sized[1]).all()
    # of four families, the second goes round fast and clockwise
    four = a_study(a_family_each(4, winding=[0.02, 0.04, np.nan]), families=4)
    np.testing.assert_allclose(attractors_page.speeds(four)[0, :2], [1, -1], rtol=1e-6)


def test_a_group_is_summed_up(mixed):
    found = attractors_page.read(mixed)
    assert found.networks == 4 and found.sets == (1, 1, 2) and found.points == (1, 1, 1)
    assert (found.single.value, found.closed.value, found.own.value) == (0.75, 0.5, 0.25)
    assert found.own.low > 0.01 and found.own.high < 0.75
    assert found.memory == pytest.approx((10, 10, 10))
    assert attractors_page.read(mixed.isel(network=[2, 3])).memory is None


def test_groups_are_written_as_rows(mixed):
    study = a_study(
        *[a_network()] * 2, *[a_family_each()] * 2, states=["untrained"] * 2 + ["trained"] * 2
    )
    found = attractors_page.groups(study)
    assert list(found) == [("gru", 2, 16, "untrained"), ("gru", 2, 16, "trained")]
    assert found["gru", 2, 16, "trained"].own.value == 1
    first, second = attractors_page.rows(found)
    assert first[:6] == ["gru", "2", "16", "untrained", "2", "1 (1 to 1)"]
    assert len(first) == len(second) == 4 + len(attractors_page.HEAD)
    chosen = attractors_page.finished(study, state="trained", families=2)
    assert chosen.sizes["network"] == 2 and (chosen["sets"] == 2).all()


def test_what_is_followed_is_read_epoch_by_epoch():
    parts = [
        a_study(one, two) for one, two in [(a_network(), a_family_each()), [a_family_each()] * 2]
    ]
    every = xr.concat(
        [part[list(attractors.SET_AXES)] for part in parts], "epoch", coords="minimal"
    )
    names = {name: f"along_{name}" for name in every.data_vars}
    axes = {"network": "training", "families": "training_families", "hidden": "training_hidden"}
    study = every.drop_vars(["cell", "state"]).rename(names | axes).assign_coords(epoch=[0, 5])
    part = attractors_page.along(study, families=2)
    found = attractors_page.by_epoch(part)
    assert list(found) == [0, 5] and found[0].points is None
    assert [one.own.value for one in found.values()] == [0.5, 1]
    own = attractors_page.with_own(part) == 2
    assert attractors_page.first_epoch(part, own).tolist() == [5, 0]
    assert np.isnan(attractors_page.first_epoch(part, own & False)).all()
    lost = xr.where(part["epoch"] == 5, False, own)
    assert np.isnan(attractors_page.first_epoch(part, lost)).all()
