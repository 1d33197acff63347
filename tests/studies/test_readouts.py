"""What the pages read out of two published studies, beside plain NumPy on the same arrays."""

import numpy as np
import pytest
import xarray as xr

from rnnatomy.analysis import svd
from rnnatomy.studies import readouts

CONTROLS = ("rotated", "random", "untrained")
NETWORKS = 6
TURNED = 2
"""Of the planted networks, those whose readout is turned into the class means."""


@pytest.fixture(scope="module")
def hundred(load_published):
    return load_published("hundred").data


@pytest.fixture(scope="module")
def late(load_published):
    return load_published("collapse").data


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def uniform(seed, *shape):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def geometry_of(network):
    """A readout W and centred class means M; in the first networks W is a multiple of M."""
    M = normal(network, 10, 16)
    M -= M.mean(axis=0)
    if network < TURNED:
        return 3 * M, M
    # what is written alike for all classes is no misalignment
    return 2 * M + normal(network + 50, 10, 16) + 5 * normal(network + 70, 16), M


@pytest.fixture(scope="module")
def planted():
    """A few networks with the axes of both studies, and a truth to be found in them."""
    pairs = [geometry_of(network) for network in range(NETWORKS)]
    parts = [svd.svd(W) for W, _ in pairs]
    rows = ("network", "direction", "digit")
    inner = ("network", "digit", "other")
    arrays = {
        "nested": (("network", "rank", "digit"), uniform(1, NETWORKS, 11, 10)),
        "single": (rows, uniform(2, NETWORKS, 10, 10)),
        "shapley": (rows, uniform(3, NETWORKS, 10, 10)),
        "control_single": (("control", *rows), uniform(4, 3, NETWORKS, 10, 10)),
        "control_shapley": (("control", *rows), uniform(5, 3, NETWORKS, 10, 10) / 10),
        "bias": (("network", "digit"), normal(6, NETWORKS, 10).astype(np.float32)),
        "validation_hits": (("network", "subset"), planted_hits(7, 5_000)),
        "test_hits": (("network", "subset"), planted_hits(8, 10_000)),
        "singular_values": (("network", "direction"), np.stack([p.s for p in parts])),
        "left": (("network", "digit", "direction"), np.stack([p.U for p in parts])),
        "gram": (inner, np.stack([M @ M.T for _, M in pairs])),
        "cross": (inner, np.stack([W @ M.T for W, M in pairs])),
        "collapse": ("network", uniform(9, NETWORKS)),
    }
    settings = {
        "epochs": ("network", [1.0, 5.0, 1.0, 5.0, 5.0, 5.0]),
        "weight_decay": ("network", [0.01, 0.01, 0.01, 0.1, 0.01, 0.01]),
        "hidden": ("network", [128.0, 128.0, 128.0, 128.0, 64.0, 128.0]),
    }
    order = {"rank": range(11), "control": list(CONTROLS), "digit": range(10)}
    return xr.Dataset(arrays, settings | order)


def planted_hits(seed, samples):
    """Images that are read rightly by each of eight cutoffs; the last is no cutoff."""
    hits = np.random.default_rng(seed).integers(samples // 2, samples - 100, size=(NETWORKS, 8))
    hits[0, [2, 5]] = samples - 10
    hits[1] = samples - 20
    hits[2, 3] = samples
    return hits.astype(np.uint16)


@pytest.fixture(params=["hundred", "late", "planted"])
def data(request):
    return request.getfixturevalue(request.param)


# losses


def test_losses_are_recall_less_what_is_left_without_a_direction(data):
    nested, single = (np.array(data[name]) for name in ("nested", "single"))
    loss, worth = readouts.losses(data)
    assert loss.shape == worth.shape == single.shape
    np.testing.assert_array_equal(loss, nested[:, -1][:, None] - single)
    np.testing.assert_array_equal(worth, np.array(data["shapley"]))


@pytest.mark.parametrize("control", CONTROLS)
def test_losses_of_a_control_start_from_what_the_bias_alone_answers(data, control):
    place = CONTROLS.index(control)
    worth, single = (np.array(data[f"control_{name}"])[place] for name in ("shapley", "single"))
    empty = np.zeros((len(worth), 10))
    for network, bias in enumerate(np.array(data["bias"])):
        empty[network, bias.argmax() if control == "rotated" else 0] = 1
    found = readouts.control_losses(data, control)
    np.testing.assert_allclose(
        found.loss, (worth.sum(axis=1) + empty)[:, None] - single, rtol=0, atol=1e-6
    )
    np.testing.assert_array_equal(found.worth, worth)


def test_rotated_readouts_start_from_the_recall_of_the_network(hundred):
    # the parts multiply out to the same readout, so nothing is lost before something is removed
    full = np.array(hundred["nested"])[:, -1]
    single = np.array(hundred["control_single"])[0]
    found = readouts.control_losses(hundred, "rotated").loss
    np.testing.assert_allclose(found, full[:, None] - single, atol=1e-5)


@pytest.mark.parametrize("name", ["hundred", "late"])
def test_recall_of_a_control_is_a_fraction(request, name):
    data = request.getfixturevalue(name)
    for place, control in enumerate(CONTROLS):
        whole = (
            readouts.control_losses(data, control).loss + np.array(data["control_single"])[place]
        )
        assert whole.min() > -1e-5 and whole.max() < 1 + 1e-5
        np.testing.assert_allclose(whole - whole[:, :1], 0, atol=1e-6)


def test_a_control_that_is_not_there_is_refused(planted):
    message = r"^control 'shuffled' does not exist: choose from rotated, random, untrained\.$"
    with pytest.raises(ValueError, match=message):
        readouts.control_losses(planted, "shuffled")


# the choice of a cutoff


@pytest.mark.parametrize("name", ["hundred", "planted"])
def test_cutoffs_are_chosen_as_in_a_loop(request, name):
    data = request.getfixturevalue(name)
    seen, new = (np.array(data[f"{part}_hits"]).tolist() for part in ("validation", "test"))
    chosen, gain, oracle = readouts.select_cutoffs(data)
    assert list(gain) == ["validation", "test"]
    for network, (ours, theirs) in enumerate(zip(seen, new, strict=True)):
        best = max(k for k, hits in enumerate(ours) if hits == max(ours))
        assert chosen[network] == best
        gains = (100 * (ours[best] - ours[-1]) / 5_000, 100 * (theirs[best] - theirs[-1]) / 10_000)
        found = gain["validation"][network], gain["test"][network]
        assert found == pytest.approx(gains, abs=1e-9)
        assert oracle[network] == pytest.approx((max(theirs) - theirs[-1]) / 100)
    assert (gain["validation"] >= 0).all() and (gain["test"] <= oracle + 1e-9).all()


def test_of_equal_cutoffs_the_last_is_chosen_and_no_cutoff_before_all(planted):
    chosen, gain, oracle = readouts.select_cutoffs(planted)
    assert chosen[:3].tolist() == [5, 7, 3]
    assert gain["validation"][1] == gain["test"][1] == oracle[1] == 0
    # the counts are whole numbers without a sign, their differences are not
    assert gain["test"].min() < 0


# long training


@pytest.mark.parametrize("digit", [0, 8, 9])
@pytest.mark.parametrize("name", ["late", "planted"])
def test_fading_follows_the_direction_of_a_digit(request, name, digit):
    data = request.getfixturevalue(name)
    worth, single, nested = (np.array(data[a]) for a in ("shapley", "single", "nested"))
    rotated = np.array(data["control_shapley"])[0]
    found = readouts.fading(data, digit)
    own, random = found.strength.values()
    for network in range(len(worth)):
        place = int(np.argmax(worth[network, :, digit]))
        assert found.place[network] == place + 1
        assert own[network] == worth[network, place, digit]
        assert random[network] == rotated[network, :, digit].max()
        assert found.advantage[network] == own[network] - random[network]
        left = nested[network, -1, digit] - single[network, place, digit]
        assert found.drop[network] == left


@pytest.mark.parametrize("name", ["late", "planted"])
def test_fading_measures_the_spectrum_and_collapse(request, name):
    data = request.getfixturevalue(name)
    s, gram, cross, left = (
        np.array(data[a], np.float64) for a in ("singular_values", "gram", "cross", "left")
    )
    found = readouts.fading(data, 8)
    spread, simplex, misaligned = found.geometry.values()
    np.testing.assert_array_equal(spread, np.array(data["collapse"]))
    for network in range(len(s)):
        ratios = found.ratio["ninth"][network], found.ratio["tenth"][network]
        assert ratios == pytest.approx(
            (s[network, 8] / s[network, 0], s[network, 9] / s[network, 0])
        )
        # the readout up to a rotation of the hidden units, without what is alike for all classes
        seen = left[network] * s[network]
        seen -= seen.mean(axis=0)
        length = np.linalg.norm(seen) * np.sqrt(np.trace(gram[network]))
        cosine = np.trace(cross[network]) / length
        assert found.alignment[network] == pytest.approx(cosine, abs=1e-5)
        assert misaligned[network] == pytest.approx(1 - cosine, abs=1e-5)
        size = np.sqrt(np.diag(gram[network]))
        cosines = gram[network] / size[:, None] / size
        apart = [abs(cosines[i, j] + 1 / 9) for i in range(10) for j in range(i)]
        assert simplex[network] == pytest.approx(np.mean(apart))


def test_a_readout_that_is_turned_into_its_class_means_is_aligned(planted):
    found = readouts.fading(planted, 3)
    np.testing.assert_allclose(found.alignment[:TURNED], 1)
    np.testing.assert_allclose(
        found.geometry["misalignment of readout and means"][:TURNED], 0, atol=1e-9
    )
    for network in range(TURNED, NETWORKS):
        W, M = geometry_of(network)
        W = W - W.mean(axis=0)
        cosine = (W * M).sum() / np.linalg.norm(W) / np.linalg.norm(M)
        assert found.alignment[network] == pytest.approx(cosine)
        assert 0.5 < cosine < 0.99


@pytest.mark.parametrize("digit", [-1, 10, 1.5, None])
def test_a_direction_is_that_of_a_digit(as_users, planted, digit):
    with pytest.raises(ValueError, match=f"digit is {digit}: give a whole number from 0 to 9"):
        readouts.fading(planted, digit)


# how networks were trained


@pytest.mark.parametrize("name", ["late", "planted"])
def test_conditions_hold_each_network_once_and_name_its_settings(request, name):
    data = request.getfixturevalue(name)
    settings = [np.array(data[name]) for name in ("epochs", "weight_decay", "hidden")]
    found = readouts.conditions(data)
    np.testing.assert_array_equal(np.sum(list(found.values()), axis=0), 1)
    for name, mask in found.items():
        alike = {tuple(float(values[k]) for values in settings) for k in np.flatnonzero(mask)}
        ((epochs, decay, units),) = alike
        plural = "" if epochs == 1 else "s"
        assert name == f"{int(epochs)} epoch{plural}, decay {decay:g}, {int(units)} units"


def test_conditions_come_in_the_order_of_the_study(planted):
    assert {name: np.flatnonzero(mask).tolist() for name, mask in
            readouts.conditions(planted).items()} == {
        "1 epoch, decay 0.01, 128 units": [0, 2],
        "5 epochs, decay 0.01, 128 units": [1, 5],
        "5 epochs, decay 0.1, 128 units": [3],
        "5 epochs, decay 0.01, 64 units": [4],
    }  # fmt: skip


def test_usual_networks_differ_in_their_epochs_alone(late, planted):
    found = readouts.usual(planted)
    assert {epochs: np.flatnonzero(mask).tolist() for epochs, mask in found.items()} == {
        1.0: [0, 2], 5.0: [1, 5],
    }  # fmt: skip
    published = readouts.usual(late)
    names = np.array(late["network"])
    assert list(published) == sorted(published) and len(published) >= 3
    for epochs, mask in published.items():
        expected = [name for name in names if name.startswith(f"collapse-{epochs:g}-0.01-128-")]
        assert names[mask].tolist() == expected and len(expected) == 10
