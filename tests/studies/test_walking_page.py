import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import maps
from rnnatomy.studies import attractors, walking, walking_page

FIXED, CIRCLE = (maps.KINDS.index(name) for name in ("fixed point", "circle"))
SETS, ACTIONS = 9, 8


def a_network(sets=1, **given):
    """A network that ends in one fixed point from everywhere, or as given."""
    there = np.arange(SETS) < sets
    every = {
        "sets": sets,
        "settled": 1.0,
        "away": 0.0,
        "kind": np.where(there, FIXED, attractors.NONE),
        "period": np.where(there, 1, 0),
        "basin": np.where(there[:, None], np.eye(SETS, 1) + np.zeros(ACTIONS), np.nan),
        "exponents": np.where(there[:, None], [-0.1, -0.1, -0.2], np.nan),
        "exponent_errors": np.zeros((SETS, 3)),
        "rotation": np.full(SETS, np.nan),
        "rotation_error": np.full(SETS, np.nan),
        "nearest": np.where(there, 2.0, np.nan),
        "nearest_action": np.where(there, 5, attractors.NONE),
        "still": np.ones(ACTIONS),
        "lost": 1.0,
        **dict.fromkeys(("distance", "speed", "beyond"), np.zeros((2, ACTIONS))),
        **{"error": 0.8, "stay_error": 0.4, "train_error": 0.2, "train_stay_error": 0.4},
        **{"spread": 8.0, "longest": 20.0, "held_beyond": 0.0, "held_nearest": 5.0},
    }
    return {name: np.asarray(value, float) for name, value in (every | given).items()}


def a_walker(frames, alone=True, near=0):
    """A network of a fixed point and of a closed curve that walking, alone or not, ends in."""
    basin = np.zeros((SETS, ACTIONS))
    basin[0], basin[1, 0] = [0, *[1] * 7], 1
    if not alone:
        basin[:2, 3] = [0.5, 0.5]
    return a_network(
        2,
        basin=basin,
        kind=[FIXED, CIRCLE, *[-1] * 7],
        period=[1, *[0] * 8],
        exponents=np.tile([[0.0, -0.1, -0.2]], (SETS, 1)),
        rotation=[np.nan, 1 / frames, *[np.nan] * 7],
        nearest_action=[5, near, *[-1] * 7],
        lost=0.4,
    )


def an_action_each(**given):
    return a_network(8, basin=np.eye(SETS, ACTIONS), **given)


def away():
    """A residual network of which every start drifts off."""
    nothing = {"kind": [-1] * SETS, "basin": np.full((SETS, ACTIONS), np.nan)}
    distance = np.stack([np.zeros(ACTIONS), np.full(ACTIONS, 80.0)])
    beyond = np.stack([np.zeros(ACTIONS), np.ones(ACTIONS)])
    return a_network(0, away=1.0, still=np.zeros(8), distance=distance, beyond=beyond, **nothing)


def a_study(*networks, decoder="plain", state="trained"):
    """A study of these networks."""
    arrays = {
        name: (axes, np.stack([one[name] for one in networks]))
        for name, axes in walking.AXES.items()
        if axes[0] == "network"
    }
    count = len(networks)
    return xr.Dataset(
        arrays,
        {
            "decoder": ("network", [decoder] * count),
            "state": ("network", [state] * count),
            "after": [0, 4000],
        },
    )


@pytest.fixture
def plain():
    """One fixed point; walks of 1.1 s, alone, and with another action; one too fast; eight sets."""
    walkers = a_walker(33), a_walker(33, alone=False), a_walker(20)
    return a_study(a_network(), *walkers, an_action_each())


def test_closed_curves_have_seconds(plain):
    found = walking_page.seconds(plain).to_numpy()
    np.testing.assert_allclose(found[1:4, 1], [1.1, 1.1, 2 / 3])
    assert np.isfinite(found).sum() == 3
    cycle = a_network(kind=[maps.KINDS.index("cycle"), *[-1] * 8], period=[30, *[0] * 8])
    np.testing.assert_allclose(walking_page.seconds(a_study(cycle))[0, 0], 1)
    crumpled = a_walker(np.nan)  # a circle whose turns are not found
    assert np.isnan(walking_page.seconds(a_study(crumpled))).all()


def test_a_walk_is_a_closed_curve_of_walking_alone_at_the_pace_of_a_stride(plain):
    assert walking_page.owner(plain)[1, :2].to_numpy().tolist() == [-1, 0]
    assert walking_page.walks(plain).to_numpy().tolist() == [False, True, False, False, False]
    # whatever ends in it
    assert walking_page.paces(plain).to_numpy().tolist() == [False, True, True, False, False]
    other = a_study(a_walker(33, near=3))
    assert walking_page.walks(other).all() and not walking_page.paces(other).any()
    assert walking_page.with_own(plain).to_numpy().tolist() == [0, 1, 0, 1, 8]


def test_a_group_is_summed_up(plain):
    found = walking_page.read(plain)
    assert found.networks == 5 and found.sets == (2, 1, 8)
    assert found.error == pytest.approx((2, 2, 2)) and found.learnt == pytest.approx((0.5,) * 3)
    fractions = found.lost.value, found.own.value, found.walk.value, found.pace.value
    assert fractions == (0.4, 0.2, 0.2, 0.4)
    assert found.away == (0, 0, 0) and found.settled == (1, 1, 1)


def test_groups_are_written_as_rows(plain):
    both = [plain, a_study(away(), away(), decoder="residual")]
    found = walking_page.groups(xr.concat(both, "network"))
    assert list(found) == [("plain", "trained"), ("residual", "trained")]
    assert found["residual", "trained"].away.value == 1
    first, second = walking_page.rows(found)
    assert first[:4] == ["plain", "trained", "5", "2.00 (2.00 to 2.00)"]
    assert len(first) == len(second) == 2 + len(walking_page.HEAD)


def test_a_table_has_the_columns_that_are_shown(plain):
    head, row = walking_page.table(walking_page.groups(plain))
    assert head == ["decoder", "state", *walking_page.SHOWN]
    assert row[2:4] == ["2.00 (2.00 to 2.00)", "2 (1 to 8)"]


def test_a_figure_that_stands_still_is_the_rival():
    part = a_study(a_network(), a_network(error=0.3), a_network(train_error=0.5))
    assert walking_page.beats_standing(part) == (1, 2, 3)


def test_drift_is_told_in_spreads():
    part = a_study(away(), a_network())
    assert walking_page.drift(part)[0] == (0, 0, 0)
    assert walking_page.drift(part)[4000] == (5, 0, 10)
    assert walking_page.share_beyond(part)[4000] == (0.5, 0, 1)
    assert walking_page.pace_of(part)[4000] == (0, 0, 0)


def test_expectations_are_counted(plain):
    parts = [
        plain,
        a_study(away(), away(), decoder="residual"),
        a_study(away(), a_network(), decoder="residual", state="untrained"),
        a_study(a_network(), a_walker(33), state="untrained"),
    ]
    found = walking_page.expected(xr.concat(parts, "network"))
    values = {name: span.value for name, span in found.items()}
    assert values == {
        "lost": 1,
        "bounded": 0.8,
        "own": 0.2,
        "walk": 0.2,
        "one point": 0.5,
        "drift": 0.5,
    }


def test_sets_of_plain_decoders_and_people_have_a_distance_from_training():
    far = a_network(2, nearest=[2.0, 5.0, *[np.nan] * 7])
    parts = [
        a_study(a_network(), far),
        a_study(far, far, state="untrained"),
        a_study(away(), away(), decoder="residual"),
    ]
    found = walking_page.nearness(xr.concat(parts, "network"))
    assert found == {"trained": (2.75, 2, 3.5), "untrained": (3.5,) * 3, "people": (5, 5, 5)}


@pytest.fixture
def drawn():
    """The bodies of two networks: one set of the first, none of the second."""
    sets = np.full((2, 3, 2, 38, 3), np.nan, np.float16)
    sets[0, 0] = [[[1]], [[2]]]
    ways = np.zeros((2, 2, 4, 38, 3), np.float16)
    ways[:, 1, 0] = 7
    arrays = dict(zip(walking.SHOWN_AXES, (sets, ways), strict=True))
    return xr.Dataset(
        {name: (("shown", *walking.SHOWN_AXES[name]), array) for name, array in arrays.items()},
        {
            "shown": ["plain-trained", "residual-trained"],
            "action": ["walking", "running"],
            "after": [0, 1, 10, 30],
        },
    )


def test_one_body_stands_for_each_set_and_there_may_be_none(drawn):
    one = walking_page.ends(drawn, "plain", "trained")
    assert one.shape == (1, 38, 3) and (one == 1).all()
    assert walking_page.ends(drawn, "residual", "trained").shape == (0, 38, 3)


def test_people_are_the_poses_that_are_read_last(drawn):
    found = walking_page.read_last(drawn)
    assert found.shape == (2, 38, 3) and (found[0] == 0).all() and (found[1] == 7).all()


def test_bodies_are_taken_apart(drawn):
    found = walking_page.bodies(drawn, "plain", "trained")
    assert len(found.sets) == 1 and found.sets[0].shape == (2, 38, 3)
    assert list(found.ways) == ["walking", "running"]
    assert found.ways["running"].shape == (4, 38, 3)
