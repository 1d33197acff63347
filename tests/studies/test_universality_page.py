import numpy as np
import pytest
import xarray as xr
from studies.test_attractors_page import CHAOS, a_family_each, a_network, a_study

from rnnatomy.analysis import statistics
from rnnatomy.studies import universality, universality_page

SEEDS = 4
WITHIN = {"gru": 0.9, "lstm": 0.8}


def rng():
    return np.random.default_rng(0)


def names(task, *batches):
    return [
        (cell, hidden, state, seed, f"{cell}-{task}-{hidden}-{state}-{seed}")
        for cell, hidden, state in batches
        for seed in range(SEEDS)
    ]


def a_part(task, networks, alike):
    """A task whose pairs agree as ``alike`` tells of two networks."""
    cell, hidden, state, seed, name = (list(each) for each in zip(*networks, strict=True))
    axis, other = f"{task}_network", f"{task}_other"
    table = np.array([[1.0 if a == b else alike(a, b) for b in networks] for a in networks])
    arrays = {
        "error": ((axis,), np.full(len(name), 0.01)),
        "outputs": ((axis,), np.linspace(0.7, 0.8, len(name))),
        "cka": ((axis, other), table),
        "angle": ((axis, other), np.arccos(table)),
        "beyond": ((axis, other), table / 2),
    }
    along = {"cell": cell, "hidden": hidden, "state": state, "seed": seed}
    return xr.Dataset(
        {f"{task}_{key}": value for key, value in arrays.items()},
        {axis: name, other: name}
        | {f"{task}_{key}": (axis, values) for key, values in along.items()},
    )


def alike(a, b):
    """Within a cell as ``WITHIN`` has it, more in larger networks; less untrained or between."""
    if a[0] != b[0]:
        return 0.5
    size = 1.0 if a[1] == b[1] == 64 else 0.9
    known = WITHIN.get(a[0], 0.6)
    return known * size * (1 if a[2] == b[2] == "trained" else 0.5)


@pytest.fixture
def data():
    batches = [
        (cell, hidden, state)
        for state in ("trained", "untrained")
        for cell, hidden in (("gru", 8), ("gru", 64), ("lstm", 64))
    ]
    batches += [("echo", 8, "random"), ("echo", 64, "random")]
    four = [one for one in batches if one[0] != "lstm"]
    return xr.merge(
        [a_part("two", names("two", *batches), alike), a_part("four", names("four", *four), alike)]
    )


@pytest.fixture
def limits(data):
    """LSTMs, and the last of the GRUs of each size, have two circles; others have one."""
    every = [*data["two_network"].to_numpy(), *data["four_network"].to_numpy()]
    two = [name.startswith("lstm") or name.endswith("-3") for name in every]
    made = a_study(*(a_family_each() if held else a_network() for held in two))
    return made.assign_coords(network=every)


def test_a_part_is_of_one_task(data):
    part = universality_page.of_task(data, "four")
    assert dict(part.sizes) == {"network": 24, "other": 24}
    assert set(part.data_vars) == {"error", "outputs", *universality.MEASURES}
    chosen = universality_page.chosen(part, state="trained", hidden=64)
    assert chosen["network"].to_numpy().tolist() == [f"gru-four-64-trained-{k}" for k in range(4)]
    assert chosen["cka"].shape == (4, 4)


def test_each_pair_is_counted_once(data):
    part = universality_page.of_task(data, "two")
    trained = universality_page.chosen(part, state="trained", hidden=64)
    found = universality_page.by_cells(trained)
    assert found["gru", "gru"] == pytest.approx((0.9, 0.9, 0.9))
    assert found["lstm", "lstm"] == pytest.approx((0.8, 0.8, 0.8))
    assert found["gru", "lstm"].value == 0.5 and len(found) == 3
    cells = trained["cell"].to_numpy()
    gru, lstm = cells == "gru", cells == "lstm"
    assert len(universality_page.pairs(trained, "cka", gru, gru)) == 6
    assert len(universality_page.pairs(trained, "cka", gru, lstm)) == 16
    assert universality_page.by_cells(trained, "beyond")["gru", "lstm"].value == 0.25


def test_the_median_is_over_pairs_and_ends_are_the_extremes():
    networks = names("two", ("gru", 64, "trained"))
    values = {(0, 1): 0.1, (0, 2): 0.2, (0, 3): 0.3, (1, 2): 0.4, (1, 3): 0.6, (2, 3): 0.9}
    made = a_part("two", networks, lambda a, b: values[tuple(sorted((a[3], b[3])))])
    found = universality_page.by_size(universality_page.of_task(made, "two"))
    assert found == {64: pytest.approx((0.35, 0.1, 0.9))}


def test_groups_and_echoes(data):
    part = universality_page.of_task(data, "two")
    found = universality_page.groups(part)
    assert found["gru", 64, "untrained"].value == 0.45
    assert found["echo", 8, "random"].value == pytest.approx(0.27)
    assert list(universality_page.outputs(part)) == list(found)
    echo = universality_page.with_echo(part)
    assert list(echo) == [("gru", 8), ("gru", 64), ("lstm", 64)]
    assert {span.value for span in echo.values()} == {0.5}
    table = universality_page.rows(echo)
    assert table[0] == ["gru", "8", "0.50 (0.50 to 0.50)"]
    sizes = universality_page.by_size(universality_page.chosen(part, state="random"), cell="echo")
    assert universality_page.rows(sizes)[1] == ["64", "0.30 (0.30 to 0.30)"]


def test_topology_names_number_and_kinds():
    chaos = a_network(kind=[CHAOS, -1, -1], exponents=np.full((3, 3), 0.05))
    study = a_study(a_network(), a_family_each(), chaos).assign_coords(network=["a", "b", "c"])
    found = universality_page.topology(study, ["c", "a", "b"])
    assert found == ["1: chaos", "1: closed curve", "2: closed curve, closed curve"]


def test_the_same_topology_is_counted_with_its_base_rate(data, limits):
    found = universality_page.agreement(["x", "x", "y", "y", "y"], ["a", "a", "b", "b", "a"])
    # of ten pairs, one is of two x, three are of two y
    assert found["a", "a"] == (pytest.approx(1 / 3), 0.4, 3)
    assert found["a", "b"] == (pytest.approx(1 / 3), 0.4, 6) and found["b", "b"].share == 1
    parts = {
        task: universality_page.chosen(universality_page.of_task(data, task), state="trained")
        for task in ("two", "four")
    }
    pooled = universality_page.same_topology(parts, limits)
    # of GRUs three of each six pairs, of LSTMs all; of GRU and LSTM, one in four
    assert pooled["within"].share == pytest.approx((4 * 3 + 6) / 30)
    assert pooled["between"] == (0.25, pytest.approx((3 + 10) / 28), 16)


def test_permuted_networks_tell_whether_topology_goes_with_geometry():
    labels, cells = list("xxxxxyyyyy"), ["a"] * 10
    same = np.equal.outer(labels, labels)
    noise = rng().normal(size=(10, 10)) / 100
    planted = 0.5 + 0.3 * same + noise + noise.T
    found = universality_page.by_topology(planted, labels, cells, rng())
    assert found.difference == pytest.approx(0.3, abs=0.02) and found.groups == 1
    # of the 126 ways to halve ten networks, one is as they are
    assert found.chance == pytest.approx(1 / 126, abs=0.004)
    assert found.low < 0 < found.high < 0.3
    apart = universality_page.by_topology(0.5 + noise + noise.T, labels, cells, rng())
    assert abs(apart.difference) < 0.02 and apart.chance > 0.05


def test_pairs_of_different_groups_do_not_count():
    """Cells that differ in both are no reason to say that one goes with the other."""
    labels, cells = list("xxxyyyyx"), list("aaaabbbb")
    table = 0.1 + 0.8 * np.equal.outer(cells, cells)
    found = universality_page.by_topology(table, labels, cells, rng())
    assert found.difference == pytest.approx(0, abs=1e-12) and found.groups == 2
    assert found.chance == 1
    assert universality_page.by_topology(table, cells, cells, rng()) is None
    whole = universality_page.by_topology(table, labels, ["all"] * 8, rng())
    assert whole.difference > 0.1


def test_expectations_are_answered(data, limits):
    found = universality_page.answers(data, limits, rng())
    assert found == {1: True, 2: True, 3: True, 4: True, 5: True}
    parts = [universality_page.of_task(data, task) for task in ("two", "four")]
    assert universality_page.trained_agree_more(parts) == 1
    assert universality_page.median_outputs(parts) == pytest.approx(0.75)
    low = data.assign({"two_cka": 1 - data["two_cka"], "two_outputs": data["two_outputs"] / 2})
    low["four_outputs"] = data["four_outputs"] / 2
    answered = universality_page.answers(low, limits, rng())
    assert answered == {1: False, 2: False, 3: True, 4: True, 5: False}
    every = limits.isel(network=[0] * limits.sizes["network"])
    alike = every.assign_coords(network=limits["network"])
    assert not universality_page.answers(data, alike, rng())[3]
    assert universality_page.answers(data, alike, rng())[4] is False


def test_growth_allows_one_step_back():
    def spans(*medians):
        return {2**k: statistics.Interval(value, 0, 1) for k, value in enumerate(medians)}

    assert universality_page.grows(spans(0.1, 0.3, 0.2, 0.4, 0.5))
    assert not universality_page.grows(spans(0.1, 0.3, 0.2, 0.4, 0.35))
    assert not universality_page.grows(spans(0.5, 0.3, 0.35, 0.4, 0.45))
