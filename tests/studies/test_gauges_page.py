import numpy as np
import pytest
import xarray as xr

from rnnatomy.studies import gauges, gauges_page

NAMES = {"steady": 1, "perfect": -1, "reversed": 1, "still": 1, "unknown": -1}
TRAININGS, EPOCHS = 40, 21


def error_that_turns(seed=0):
    """Falls, with ups and downs, and rises again in the second half."""
    rng = np.random.default_rng(seed)
    fall = np.abs(np.linspace(-1, 0.6, EPOCHS))
    return np.exp(fall + 0.15 * rng.normal(size=(TRAININGS, EPOCHS)))


def a_part(error, **given):
    """A part whose gauges are those of ``NAMES``, or as given."""
    time = np.tile(np.arange(error.shape[1]), (len(error), 1)) / 10.0
    values = {"steady": np.exp(time), "perfect": 3 * np.log(error), "reversed": error}
    values |= {"still": np.ones_like(error), "unknown": np.full_like(error, np.nan)}
    value = np.stack([(values | given)[name] for name in NAMES], axis=2)
    part = xr.Dataset(
        {"value": (("training", "epoch", "gauge"), value), "error": (("training", "epoch"), error)},
        {"gauge": list(NAMES), "better": ("gauge", list(NAMES.values()))},
    )
    return gauges_page._with_bounds(part)


@pytest.fixture
def part():
    return a_part(error_that_turns())


def test_the_clock_and_the_error_itself_stand_beside_the_gauges(part):
    names = part["gauge"].to_numpy().tolist()
    assert names == [*NAMES, gauges_page.CLOCK, gauges_page.CEILING]
    clock = part["value"].sel(gauge=gauges_page.CLOCK)
    assert (clock.isel(training=3) == np.arange(EPOCHS)).all()
    np.testing.assert_array_equal(part["value"].sel(gauge=gauges_page.CEILING), part["error"])


def test_what_only_ever_rises_is_the_clock(part):
    for measure in (gauges_page.right, gauges_page.stopped, gauges_page.beyond_clock):
        found = measure(part)
        np.testing.assert_allclose(found.sel(gauge="steady"), found.sel(gauge=gauges_page.CLOCK))
    assert (gauges_page.beyond_clock(part).sel(gauge="steady") == 0).all()
    reading = gauges_page.read([part], np.random.default_rng(0))["steady"]
    assert reading.ahead == reading.saved == (0, 0, 0) and not reading.beats


def test_neighbours_are_told_by_the_direction_that_is_better(part):
    found = gauges_page.right(part)
    rises = np.diff(part["error"], axis=1) > 0
    np.testing.assert_allclose(found.sel(gauge=gauges_page.CLOCK), 1 - rises.mean(axis=1))
    assert (found.sel(gauge="perfect") == 1).all() and (found.sel(gauge="reversed") == 0).all()
    assert (found.sel(gauge="still") == 0.5).all()
    assert found.sel(gauge="unknown").isnull().all()


def test_a_gauge_stops_at_its_best_and_at_the_last_of_equals(part):
    found, error = gauges_page.stopped(part), part["error"].to_numpy()
    np.testing.assert_allclose(found.sel(gauge="perfect"), np.log(error.min(axis=1)))
    np.testing.assert_allclose(found.sel(gauge="reversed"), np.log(error.max(axis=1)))
    np.testing.assert_allclose(found.sel(gauge="still"), np.log(error[:, -1]))
    assert found.sel(gauge="unknown").isnull().all()


def test_the_correlation_beyond_the_clock_is_that_of_what_the_clock_leaves():
    """A partial correlation is that of the residuals of ranks, regressed on the clock."""
    rng = np.random.default_rng(1)
    error = error_that_turns()
    gauge = rng.normal(size=error.shape) + np.arange(EPOCHS) / 5 - 2 * np.log(error)
    found = gauges_page.beyond_clock(a_part(error, steady=gauge)).sel(gauge="steady")
    clock = np.arange(EPOCHS)

    def rest(values):
        ranks = np.argsort(np.argsort(values))
        return ranks - np.polyval(np.polyfit(clock, ranks, 1), clock)

    for row in range(5):
        wanted = np.corrcoef(rest(gauge[row]), rest(-error[row]))[0, 1]
        assert float(found[row]) == pytest.approx(wanted, abs=1e-9)


def test_beyond_the_clock_the_error_knows_all_and_a_still_gauge_nothing(part):
    found = gauges_page.beyond_clock(part)
    np.testing.assert_allclose(found.sel(gauge="perfect"), 1)
    np.testing.assert_allclose(found.sel(gauge="reversed"), -1)
    assert (found.sel(gauge="still") == 0).all()
    assert found.sel(gauge="unknown").isnull().all()


def test_where_the_error_only_falls_there_is_no_room():
    falls = a_part(np.tile(np.exp(-np.arange(5.0)), (10, 1)))
    assert gauges_page.beyond_clock(falls).isnull().all()
    found = gauges_page.read([falls], np.random.default_rng(0))
    assert found["perfect"].beyond is None
    assert found[gauges_page.CLOCK].right == (1, 1, 1)
    assert not any(reading.beats for name, reading in found.items())
    sets = {"people": found}
    assert gauges_page.with_room(sets) == gauges_page.winners(sets) == []
    assert gauges_page.rows(found)[0][2] == "nothing is left"


def test_parts_of_different_lengths_are_read_together(part):
    falls = a_part(np.tile(np.exp(-np.arange(5.0)), (10, 1)), unknown=np.ones((10, 5)))
    found = gauges_page.read([part, falls], np.random.default_rng(0))
    assert found["perfect"].trainings == TRAININGS + 10 and found["unknown"].trainings == 10
    assert found["perfect"].right.value == 1 and found["perfect"].cost == (0, 0, 0)
    # only the trainings of the first part leave anything to tell
    assert found["perfect"].beyond.value == pytest.approx(1)


def test_a_gauge_wins_that_beats_the_clock_wherever_there_is_room(part):
    rng = np.random.default_rng(0)
    falls = a_part(np.tile(np.exp(-np.arange(5.0)), (10, 1)))
    found = {"turns": gauges_page.read([part], rng), "falls": gauges_page.read([falls], rng)}
    assert gauges_page.with_room(found) == ["turns"]
    assert gauges_page.winners(found) == ["perfect"]
    assert not found["turns"]["reversed"].beats and found["turns"]["reversed"].saved.high < 0
    other = a_part(error_that_turns(1), perfect=error_that_turns(2))
    assert gauges_page.winners(found | {"other": gauges_page.read([other], rng)}) == []


def test_a_gauge_with_noise_of_its_own_may_stop_well_and_not_be_right(part):
    """Both are asked for."""
    rng = np.random.default_rng(3)
    early = np.abs(np.arange(EPOCHS) - 13.0) + 30 * (rng.random((TRAININGS, EPOCHS)) < 0.5)
    early[:, 13] = -1
    found = gauges_page.read([a_part(error_that_turns(), perfect=early)], rng)["perfect"]
    assert found.saved.low > 0 and found.ahead.low <= 0 and not found.beats


def test_rows_are_written_as_factors(part):
    found = gauges_page.read([part], np.random.default_rng(0))
    rows = {row[0]: row for row in gauges_page.rows(found)}
    assert all(len(row) == len(gauges_page.HEAD) for row in rows.values())
    assert rows["perfect"][5] == "1.000 (1.000 to 1.000)" and rows["perfect"][-1] == "yes"
    ratio = np.log(part["error"][:, -1] / part["error"].min("epoch")).mean()
    assert rows[gauges_page.CLOCK][5].startswith(f"{float(np.exp(ratio)):.3f} (")


def test_a_study_is_taken_apart():
    rng, arrays, along = np.random.default_rng(0), {}, {}
    for count, name in enumerate(gauges.PARTS, start=2):
        axes = gauges.AXES[f"{name}_gauges"]
        shape = (count, 6, len(gauges.GAUGES))
        arrays[f"{name}_gauges"] = axes, rng.random(shape).astype(np.float32)
        arrays[f"{name}_error"] = axes[:2], rng.random(shape[:2]).astype(np.float32)
        along[f"{name}_training"] = [f"{name}-{k}" for k in range(count)]
        along[f"{name}_epoch"] = np.arange(6)
    along |= {"gauge": list(gauges.GAUGES), "better": ("gauge", list(gauges.GAUGES.values()))}
    data = xr.Dataset(arrays, along)
    found = gauges_page.parts(data)
    assert list(found) == list(gauges.PARTS)
    few = found["few"]["value"].sel(training="few-2", gauge="alpha")
    np.testing.assert_array_equal(few, data["few_gauges"].sel(few_training="few-2", gauge="alpha"))
    sets = gauges_page.read_sets(data, rng)
    assert {name: sets[name]["modes"].trainings for name in sets} == {
        "circle and ellipse": 2,
        "few and noisy": 3,
        "people moving": 4 + 5,
    }
