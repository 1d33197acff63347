"""The viewer: what its page carries, against what was given; and its use, in a real browser."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.colors import to_rgb
from playwright.sync_api import expect
from scipy import ndimage

from rnnatomy.report import plots
from rnnatomy.report.widgets import viewer, widget

from . import pages

GROUPS = ("circles", "ellipses", "tall ones")
SPLIT = 10


def orbit(group, number, frames=40):
    """A turn from near the middle onto a tilted circle or ellipse."""
    angle = 0.2 * np.arange(frames) + 3 * number
    grown = 1 - np.exp(-np.arange(frames) / 5)
    x = (1 + 0.4 * group) * np.cos(angle)
    turning = np.stack([x, np.sin(angle), group - 1 + 0.3 * x], 1)
    points = turning * grown[:, None] + np.array([5, 0, 0.1 * number])
    return viewer.Curve(f"orbit {group}.{number}", group, points, SPLIT)


def walker(frames=40):
    """Joints of a figure that goes along the third axis, 10 high, with one arm."""
    upright = np.array([[0, 4, 0], [0, 10, 0], [2, 8, 0], [1, 0, 0]], float)
    joints = np.repeat(upright[None], frames, axis=0)
    joints[:, :, 2] += 0.7 * np.arange(frames)[:, None]
    joints[:, 3, 2] += 2 * np.sin(np.arange(frames))
    return viewer.Figure(joints, np.array([-1, 0, 1, 0]))


def with_head(figure):
    """Put the middle of a head, 1.5 in radius, on top of a walker: 13 high then."""
    skull = figure.joints[:, 1:2] + np.array([0, 1.5, 0])
    joints = np.concatenate([figure.joints, skull], axis=1)
    return viewer.Figure(joints, np.append(figure.parents, 1), head=4)


def haunted(figure, first=10, moved=3.0):
    """Let a ghost stand beside a figure, from some frame on, with errors that tell the frame."""
    frames = np.arange(len(figure.joints))
    there = frames >= first
    joints = np.where(there[:, None, None], figure.joints + np.array([0, 0, moved]), np.nan)
    errors = np.where(there, frames / 100, np.nan)
    return figure._replace(ghost=viewer.Ghost(joints, errors, 2 * errors))


def clustered(curve, clusters):
    return curve._replace(clusters=clusters)


CURVES = [orbit(group, number) for group in range(3) for number in range(2)]
PLAYED = [orbit(0, 0), orbit(1, 0, 30), orbit(2, 0)]
FIGURES = [walker(), with_head(walker(30)), None]
GHOSTS = [haunted(walker()), with_head(walker(30)), None]
AGREED = np.repeat([0, 2], 20)  # one curve goes from its own class's cluster to another
FOUND = [clustered(c, k) for c, k in zip(PLAYED, (AGREED, 1, 4), strict=True)]


# --- What a page carries ----------------------------------------------------------------------


def decode(data, shapes):
    """Undo ``viewer.encode`` without any of its code."""
    assert len(data) == 2 * sum(frames * columns for frames, columns in shapes)
    for frames, columns in shapes:
        size = 2 * frames * columns
        second = pages.unfolded(data[:size]).reshape(columns, frames)
        yield second.cumsum(axis=1).cumsum(axis=1).T % 65536
        data = data[size:]


def unpack(html):
    """Return the facts, the points of each curve, and the joints of each figure."""
    facts, data = pages.carried(html)
    curves = facts["curves"]
    figures = [one for one in facts["figures"] for _ in range(1 + ("ghost" in one))]
    lengths = [curves[figure["curve"]]["frames"] for figure in figures]
    shapes = [(curve["frames"], 3) for curve in curves] + [
        (frames, 3 * len(figure["parents"]))
        for frames, figure in zip(lengths, figures, strict=True)
    ]
    levels = list(decode(data, shapes))
    points = [placed(facts["points"], one) for one in levels[: len(curves)]]
    joints = []
    for figure, one in zip(figures, levels[len(curves) :], strict=True):
        moves = one.reshape(len(one), -1, 3)
        for joint, parent in enumerate(figure["parents"]):
            if parent >= 0:
                moves[:, joint] = (moves[:, joint] + moves[:, parent]) % 65536
        joints.append(placed(figure, moves))
    return facts, points, joints


def placed(scale, levels):
    return np.array(scale["low"]) + scale["step"] * levels


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 4))))
def test_levels_are_restored_whatever_they_are(levels):
    (found,) = decode(viewer.encode([levels]), [levels.shape])
    np.testing.assert_array_equal(found, levels)


@given(hnp.arrays(np.float64, (5, 4, 3), elements=st.floats(-1e6, 1e6, allow_subnormal=False)))
def test_packing_errs_by_half_a_step_of_the_widest_extent(values):
    packed = viewer.pack(values)
    widest = np.ptp(values, axis=(0, 1)).max()
    assert packed.step == pytest.approx(widest / 65535 or 1)
    restored = packed.low + packed.step * packed.levels
    np.testing.assert_allclose(restored, values, rtol=0, atol=packed.step * (0.5 + 1e-6))


@pytest.fixture(scope="module")
def html():
    return viewer.viewer(CURVES, GROUPS, figure="fig-beside")


@pytest.fixture(scope="module")
def player():
    return viewer.viewer(PLAYED, GROUPS, ("x", "y", "z"), FIGURES, figure="fig-beside", rate=60.0)


def test_a_page_carries_the_curves(html):
    facts, points, joints = unpack(html)
    step = max(np.ptp([p[i] for c in CURVES for p in c.points]) for i in range(3)) / 65535
    for curve, told, found in zip(CURVES, facts["curves"], points, strict=True):
        assert (told["name"], told["group"]) == (curve.name, curve.group)
        assert (told["split"], told["frames"]) == (SPLIT, len(curve.points))
        np.testing.assert_allclose(found, curve.points, rtol=0, atol=0.5001 * step)
    assert joints == [] and facts["axes"] == ["mode 1", "mode 2", "mode 3"]
    assert [group["name"] for group in facts["groups"]] == list(GROUPS)
    assert [group["colour"] for group in facts["groups"]] == list(plots.DIGIT_COLOURS[:3])
    assert [group["marker"] for group in facts["groups"]] == list(plots.DIGIT_MARKERS[:3])


def test_a_page_carries_the_stick_figures(player):
    facts, _, joints = unpack(player)
    assert [figure["curve"] for figure in facts["figures"]] == [0, 1]
    for figure, told, found in zip(FIGURES, facts["figures"], joints, strict=False):
        step = np.ptp(figure.joints, axis=(0, 1)).max() / 65535
        assert (told["parents"], told["head"]) == (figure.parents.tolist(), figure.head)
        np.testing.assert_allclose(found, figure.joints, rtol=0, atol=0.5001 * step)


def test_a_page_carries_the_ghost_after_its_figure_and_in_its_place_where_there_is_none():
    facts, _, joints = unpack(viewer.viewer(PLAYED, GROUPS, figures=GHOSTS, figure="fig"))
    ghost = GHOSTS[0].ghost
    both = np.concatenate([GHOSTS[0].joints, ghost.joints[10:]])
    step = np.ptp(both, axis=(0, 1)).max() / 65535
    expected = np.concatenate([GHOSTS[0].joints[:10], ghost.joints[10:]])
    for found, wanted in zip(joints, (GHOSTS[0].joints, expected), strict=False):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=0.5001 * step)
    told = facts["figures"][0]["ghost"]
    assert told["errors"] == [None] * 10 + [k / 100 for k in range(10, 40)]
    assert told["still"][:12] == [None] * 10 + [0.2, 0.22]
    assert "ghost" not in facts["figures"][1] and len(joints) == 3


def test_a_page_carries_the_clusters_with_the_looks_of_the_classes_they_are_matched_to():
    facts, _, _ = unpack(viewer.viewer(FOUND, GROUPS, figure="fig", kind="shape"))
    assert [curve["clusters"] for curve in facts["curves"]] == [
        [[0, 20], [2, 20]],
        [[1, 30]],
        [[4, 40]],
    ]
    looks = facts["clusters"]
    assert list(looks) == ["0", "1", "2", "4"] and facts["kind"] == "shape"
    names = [look["name"] for look in looks.values()]
    assert names == ["1 (circles)", "2 (ellipses)", "3 (tall ones)", "5"]
    for number, look in looks.items():
        assert look["colour"] == plots.DIGIT_COLOURS[int(number)]
        assert look["marker"] == plots.DIGIT_MARKERS[int(number)]


def test_a_page_without_clusters_carries_none(html):
    facts = unpack(html)[0]
    assert facts["clusters"] == {} and "clusters" not in facts["curves"][0]


def motion(rng, frames, joints):
    """Smooth motion with noise of a thousandth of its size: harder to pack than recordings."""
    speed = rng.normal(size=(frames, joints, 3)).cumsum(axis=0)
    smooth = ndimage.gaussian_filter1d(speed, 5, axis=0)
    return smooth + 1e-3 * np.ptp(smooth) * rng.normal(size=smooth.shape) / 2


def test_a_large_page_is_small_enough_and_a_larger_one_is_refused():
    rng = np.random.default_rng(0)
    parents = np.maximum(np.arange(38) - 3, -1)
    played = [viewer.Curve(f"played {i}", i, motion(rng, 300, 1)[:, 0], 100) for i in range(8)]
    others = [viewer.Curve(f"other {i}", i % 8, motion(rng, 75, 1)[:, 0], 25) for i in range(60)]
    bodies = [viewer.Figure(motion(rng, 300, 38), parents) for _ in played]
    curves, groups = played + others, list("abcdefgh")
    large = viewer.viewer(curves, groups, figures=bodies + [None] * 60, figure="fig")
    assert len(large.encode()) <= widget.MOST_BYTES <= pages.MOST_BYTES - pages.scripts("viewer")
    noise = [viewer.Figure(rng.normal(size=(300, 38, 3)), parents) for _ in played]
    with pytest.raises(ValueError, match=r"takes \d{6} bytes, at most .* are allowed: give fewer"):
        viewer.viewer(curves, groups, figures=noise + [None] * 60, figure="fig")


def test_the_same_curves_give_the_same_page(html):
    assert html == viewer.viewer(CURVES, GROUPS, figure="fig-beside")


def test_names_cannot_end_the_script():
    bad = "</script><b>"
    page = viewer.viewer([CURVES[0]._replace(name=bad)], [bad], (bad,) * 3, figure='"><b>')
    assert "<b>" not in page
    assert unpack(page)[0]["curves"][0]["name"] == bad


def test_points_that_are_all_equal_and_points_of_single_precision_are_allowed():
    still = viewer.Curve("still", 0, np.full((3, 3), 2, np.float32), 0)
    _, points, _ = unpack(viewer.viewer([still], ["one"], figure="fig"))
    np.testing.assert_array_equal(points[0], still.points)


def test_shows_the_page_and_says_in_words_what_it_is(html, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    viewer.show(CURVES, GROUPS, figure="fig-beside")
    assert shown[0]["text/html"] == html
    assert "6 trajectories in three dimensions" in shown[0]["text/plain"]


ONE, BODY = CURVES[0], walker()


def with_ghost(**changed):
    return BODY._replace(ghost=haunted(BODY).ghost._replace(**changed))


BAD = {
    "no curve": (([], GROUPS), "no curve is given"),
    "no group": (([ONE], []), "0 groups are named: name 1 to 10"),
    "eleven groups": (([ONE], list("abcdefghijk")), "11 groups are named"),
    "group without a name": (([ONE._replace(group=3)], GROUPS), "group 3 has no name, give 0 to 2"),
    "negative group": (([ONE._replace(group=-1)], GROUPS), "group -1"),
    "flat points": (
        ([ONE._replace(points=ONE.points[:, :2])], GROUPS),
        r"has shape \(40, 2\): give \(time, 3\)",
    ),
    "one frame": (([ONE._replace(points=ONE.points[:1])], GROUPS), "has 1 frames: give at least 2"),
    "NaN": (([ONE._replace(points=ONE.points * np.nan)], GROUPS), "'orbit 0.0' holds NaN"),
    "split too late": (([ONE._replace(split=41)], GROUPS), "split is 41, give 0 to 40"),
    "negative split": (([ONE._replace(split=-1)], GROUPS), "split is -1"),
    "a name twice": (([ONE, ONE], GROUPS), "two curves are called 'orbit 0.0'"),
    "two axes": (([ONE], GROUPS, ("x", "y")), "2 axes are named: name three"),
    "missing figure": (
        ([ONE], GROUPS, viewer.AXES, [BODY, None]),
        "there are 2 figures, and curves: 1; give",
    ),
    "only missing figures": (([ONE], GROUPS, viewer.AXES, [None]), "holds no stick figure"),
    "shorter figure": (
        ([ONE], GROUPS, viewer.AXES, [BODY._replace(joints=BODY.joints[1:])]),
        "the figure of 'orbit 0.0' has 39 frames: give 40, as its curve",
    ),
    "flat figure": (
        ([ONE], GROUPS, viewer.AXES, [BODY._replace(joints=BODY.joints[:, :, :2])]),
        r"has shape \(40, 4, 2\): give \(time, joint, 3\)",
    ),
    "NaN in a figure": (
        ([ONE], GROUPS, viewer.AXES, [BODY._replace(joints=BODY.joints * np.nan)]),
        "the figure of 'orbit 0.0' holds NaN",
    ),
    "missing parent": (
        ([ONE], GROUPS, viewer.AXES, [BODY._replace(parents=BODY.parents[1:])]),
        r"4 joints and parents of shape \(3,\)",
    ),
    "later parent": (
        ([ONE], GROUPS, viewer.AXES, [BODY._replace(parents=BODY.parents[::-1])]),
        r"parents \[0, 1, 0, -1\] are no tree",
    ),
    "head without a joint": (
        ([ONE], GROUPS, viewer.AXES, [BODY._replace(head=4)]),
        "head is 4, give the number of a joint that has a parent, or None",
    ),
    "head without a neck": (([ONE], GROUPS, viewer.AXES, [BODY._replace(head=0)]), "head is 0"),
    "clusters of some": (
        ([clustered(ONE, 0), CURVES[1]], GROUPS),
        "some curves have clusters and some have none",
    ),
    "clusters of other frames": (
        ([clustered(ONE, AGREED[1:])], GROUPS),
        r"clusters of shape \(39,\): give one for the curve, or \(40,\)",
    ),
    "an eleventh cluster": (([clustered(ONE, 10)], GROUPS), r"clusters \[10\]: give whole numbers"),
    "a negative cluster": (([clustered(ONE, -AGREED)], GROUPS), r"clusters \[-2, 0\]"),
    "half a cluster": (([clustered(ONE, 0.5)], GROUPS), r"clusters \[0.5\]"),
    "shorter ghost": (
        ([ONE], GROUPS, viewer.AXES, [with_ghost(joints=BODY.joints[1:])]),
        r"has a ghost of shape \(39, 4, 3\), with errors of shapes \(40,\) and \(40,\): give",
    ),
    "ghost in parts": (
        ([ONE], GROUPS, viewer.AXES, [with_ghost(joints=BODY.joints * [np.nan, 1, 1])]),
        "has a ghost in parts",
    ),
    "errors without a ghost": (
        ([ONE], GROUPS, viewer.AXES, [with_ghost(errors=np.zeros(40))]),
        "has a ghost in 30 frames, and errors in others",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case, as_users):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message) as raised:
        viewer.viewer(*arguments, figure="fig")
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


@pytest.mark.parametrize("rate", [0, -1, np.inf, np.nan])
def test_a_rate_is_above_zero(rate):
    with pytest.raises(ValueError, match="give frames per second, above 0"):
        viewer.viewer([ONE], GROUPS, figure="fig", rate=float(rate))


# --- In the browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(visit, html):
    with visit(html) as page:
        yield page


@pytest.fixture(scope="module")
def opened_player(visit, player):
    with visit(player, reduced_motion="reduce", device_scale_factor=2) as page:
        yield page


def settle(page):
    """Set the page as when it was opened."""
    page.evaluate("document.documentElement.dataset.theme = 'light'; scrollTo(0, 0)")
    page.get_by_role("button", name="Reset view").click()
    for box in page.get_by_role("checkbox").all():
        box.set_checked(True)
    loop(page).uncheck()
    page.get_by_label("Sequence").select_option(index=0)
    return page


def loop(page):
    return page.get_by_role("checkbox", name="Loop")


@pytest.fixture
def page(opened):
    return settle(opened)


@pytest.fixture
def played(opened_player):
    return settle(opened_player)


def space(page):
    return page.locator("canvas.viewer-space")


def drawn(page):
    return pages.pixels(space(page))


def view(page):
    return json.loads(space(page).get_attribute("data-view"))


def slide(page, frame):
    page.get_by_role("slider", name="Frame").fill(str(frame))


def frame_of(page):
    return int(page.get_by_role("slider", name="Frame").input_value())


def has_colour(image, colour):
    wanted = [round(255 * part) for part in to_rgb(colour)] + [255]
    return (image == wanted).all(axis=2)


def seen(page, points, point):
    """Project a point: turn it back by azimuth and elevation, and look along the first axis."""
    told = view(page)
    low, high = points.min(axis=0), points.max(axis=0)
    q = (point - (low + high) / 2) / (np.linalg.norm(high - low) / 2)
    a, e = np.radians([told["azimuth"], told["elevation"]])
    about_third = np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_second = np.array([[np.cos(e), 0, np.sin(e)], [0, 1, 0], [-np.sin(e), 0, np.cos(e)]])
    toward, right, up = about_second @ about_third @ q
    size = told["k"] * told["zoom"] / (1 - toward / 5)
    return np.array([told["width"] / 2 + size * right, told["height"] / 2 - size * up])


def moving_sign(page, group, fineness):
    """Find the middle of the largest patch in the group's own colour, in CSS pixels."""
    found = has_colour(drawn(page), plots.DIGIT_COLOURS[group])
    patches, _ = ndimage.label(ndimage.binary_erosion(found, iterations=2 * fineness))
    largest = np.bincount(patches.flat)[1:].argmax() + 1
    row, column = ndimage.center_of_mass(patches == largest)
    return (np.array([column, row]) + 0.5) / fineness


VIEWS = [[], ["ArrowRight"] * 5 + ["ArrowUp"] * 3, ["ArrowDown"] * 20, ["ArrowUp"] * 9 + ["+"] * 2]


@pytest.mark.parametrize("keys", VIEWS)
@pytest.mark.parametrize(("choice", "frame"), [("orbit 0.0", 3), ("orbit 1.1", 17)])
def test_a_point_is_where_numpy_projects_it(page, keys, choice, frame):
    page.get_by_label("Sequence").select_option(label=choice)
    slide(page, frame)
    space(page).focus()
    for key in keys:
        page.keyboard.press(key)
    curve = next(curve for curve in CURVES if curve.name == choice)
    expected = seen(page, np.concatenate([c.points for c in CURVES]), curve.points[frame - 1])
    assert np.abs(moving_sign(page, curve.group, 1) - expected).max() < 1


def test_a_point_is_in_its_place_on_a_fine_screen_too(played):
    slide(played, 30)
    expected = seen(played, np.concatenate([c.points for c in PLAYED]), PLAYED[0].points[29])
    assert np.abs(moving_sign(played, 0, 2) - expected).max() < 1
    assert len(drawn(played)) == 2 * view(played)["height"]


def test_turns_by_dragging(page):
    box = space(page).bounding_box()
    x, y = box["x"] + 300, box["y"] + 200
    before = drawn(page)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 40, y + 20, steps=4)
    page.mouse.up()
    page.mouse.move(x, y)
    told = view(page)
    assert (told["azimuth"], told["elevation"]) == (-80, 40)
    assert (before != drawn(page)).any()


@pytest.mark.parametrize("is_sideways", [True, False])
def test_a_finger_turns_sideways_and_scrolls_the_page_up_and_down(visit, html, is_sideways):
    with visit(html, has_touch=True) as page:
        start = view(page)
        x, y = (10, 0) if is_sideways else (0, -10)
        pages.swipe(page, [(300 + step * x, 400 + step * y) for step in range(8)])
        if is_sideways:
            assert view(page)["azimuth"] < start["azimuth"] - 20
            assert page.evaluate("scrollY") == 0
        else:
            page.wait_for_function("scrollY > 30")
            assert view(page) == start


def test_the_wheel_is_left_to_the_page(page):
    before = view(page)
    space(page).hover()
    page.mouse.wheel(0, 300)
    page.wait_for_function("scrollY > 0")
    assert view(page) == before


def test_turns_and_zooms_by_keyboard(page):
    page.get_by_role("checkbox", name=GROUPS[-1]).focus()
    page.keyboard.press("Tab")
    expect(space(page)).to_be_focused()
    start = view(page)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "+"):
        page.keyboard.press(key)
    told = view(page)
    assert (told["azimuth"], told["elevation"], told["zoom"]) == (-50, 25, 1.25)
    page.keyboard.press("Control+ArrowLeft")
    assert view(page) == told
    for _ in range(30):
        page.keyboard.press("ArrowDown")
        page.keyboard.press("-")
    assert (view(page)["elevation"], view(page)["zoom"]) == (90, 0.5)
    page.keyboard.press("Home")
    assert view(page) == start
    assert page.evaluate("scrollY") == 0


def test_zooms_by_buttons(page):
    page.get_by_role("button", name="Zoom in").click()
    assert view(page)["zoom"] == 1.25
    page.get_by_role("button", name="Zoom out").click()
    assert view(page)["zoom"] == 1
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("button", name="Reset view").click()
    assert view(page)["zoom"] == 1


@pytest.mark.parametrize(("name", "rate"), [("html", 25), ("player", 60)])
def test_plays_when_asked_and_not_before_and_at_the_rate_that_it_states(visit, name, rate, request):
    with visit(request.getfixturevalue(name)) as page:
        expect(page.locator(".widget-note")).to_contain_text(f"Plays {rate} frames a second.")
        page.clock.install(time=0)
        page.clock.pause_at(60_000)
        page.clock.run_for(1000)
        assert frame_of(page) == 1
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(400)
        assert frame_of(page) == pytest.approx(1 + 0.4 * rate, abs=2)


def test_plays_pauses_and_stops_at_the_end(page):
    said = page.locator("[aria-live=polite]")
    said.evaluate("""element => {
      window.said = [];
      const listen = () => said.push(element.textContent);
      new MutationObserver(listen).observe(element, { childList: true });
    }""")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.viewer input[type=range]').value > 4")
    page.get_by_role("button", name="Pause").click()
    frame = frame_of(page)
    expect(said).to_have_text(re.compile(rf"^All trajectories: frame {frame} of 40, "))
    page.wait_for_timeout(150)
    assert frame_of(page) == frame
    slide(page, 38)
    space(page).focus()
    page.keyboard.press("Space")
    expect(said).to_have_text("All trajectories: frame 40 of 40, decoder.")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    assert len(page.evaluate("said")) == 5
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('.viewer input[type=range]').value < 20")
    page.get_by_role("button", name="Pause").click()


@pytest.fixture
def timed(visit, player):
    """The player, with a clock that stands still: 60 frames a second."""
    with visit(player) as page:
        page.clock.install(time=0)
        page.clock.pause_at(60_000)
        yield page


def test_a_loop_starts_again_at_the_end_and_stops_there_when_it_is_unchecked(timed):
    expect(loop(timed)).to_be_checked()
    timed.get_by_role("button", name="Play").click()
    timed.clock.run_for(1000)  # 60 frames: 40, and 20 of the next round
    assert frame_of(timed) == pytest.approx(21, abs=3)
    loop(timed).uncheck()
    timed.clock.run_for(1000)
    assert frame_of(timed) == 40
    expect(timed.get_by_role("button", name="Play")).to_be_visible()


def test_each_frame_of_a_loop_is_shown_the_last_one_as_well(timed):
    timed.locator(".viewer-frame").evaluate("""element => {
      window.shown = [];
      const listen = () => shown.push(parseInt(element.textContent));
      new MutationObserver(listen).observe(element, { childList: true });
    }""")
    timed.get_by_role("button", name="Play").click()
    timed.clock.run_for(2000)
    shown = timed.evaluate("shown")
    assert {1, 40} < set(shown) and max(shown) == 40


def test_who_wants_less_motion_gets_no_loop_and_may_ask_for_one(visit, player):
    with visit(player, reduced_motion="reduce") as page:
        expect(loop(page)).not_to_be_checked()
        page.clock.install(time=0)
        page.clock.pause_at(60_000)
        page.clock.run_for(1000)
        assert frame_of(page) == 1
        for end in (40, 21):
            page.get_by_role("button", name="Play").click()
            page.clock.run_for(1000)
            assert frame_of(page) == pytest.approx(end, abs=3 * (end < 40))
            loop(page).check()


def test_another_sequence_plays_on_from_its_start(timed):
    said = timed.locator("[aria-live=polite]")
    timed.get_by_role("button", name="Play").click()
    timed.clock.run_for(400)
    timed.get_by_label("Sequence").select_option(label="orbit 1.0")
    assert frame_of(timed) == 1
    expect(said).to_have_text("orbit 1.0: playing.")
    expect(body(timed)).to_have_accessible_name(re.compile("^Stick figure of orbit 1.0, "))
    timed.clock.run_for(200)
    assert frame_of(timed) == pytest.approx(13, abs=2)
    timed.get_by_role("button", name="Pause").click()
    timed.get_by_label("Sequence").select_option(label="orbit 0.0")
    timed.clock.run_for(200)
    assert frame_of(timed) == 1
    expect(said).to_have_text("orbit 0.0: frame 1 of 40, encoder.")


@pytest.mark.parametrize(("frame", "phase"), [(1, "encoder"), (10, "encoder"), (11, "decoder")])
def test_slider_chooses_the_frame_and_tells_whose_it_is(page, frame, phase):
    slide(page, frame)
    slider = page.get_by_role("slider", name="Frame")
    assert slider.get_attribute("aria-valuetext") == f"{frame} of 40, {phase}"
    expect(page.locator(".viewer-frame")).to_have_text(f"{frame} of 40, {phase}")
    expect(page.locator("[aria-live=polite]")).to_have_text(
        f"All trajectories: frame {frame} of 40, {phase}."
    )


def test_a_group_can_be_hidden(page):
    slide(page, 20)
    colours = plots.DIGIT_COLOURS[:3]
    assert all(has_colour(drawn(page), colour).any() for colour in colours)
    page.get_by_role("checkbox", name="ellipses").uncheck()
    image = drawn(page)
    assert [has_colour(image, colour).any() for colour in colours] == [True, False, True]


def test_follows_the_theme(page):
    light, dark = "#1d2630", "#dfe5ea"  # text
    assert has_colour(drawn(page), light).any()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(50)
    image = drawn(page)
    assert has_colour(image, dark).any() and not has_colour(image, light).any()


def test_one_trajectory_can_be_chosen_among_all(page):
    menu = page.get_by_label("Sequence")
    names = ["All trajectories"] + [curve.name for curve in CURVES]
    assert menu.locator("option").all_text_contents() == names
    menu.select_option(label="orbit 2.1")
    expect(page.locator("[aria-live=polite]")).to_have_text("orbit 2.1: frame 1 of 40, encoder.")
    image = drawn(page)
    assert [has_colour(image, colour).any() for colour in plots.DIGIT_COLOURS[:2]] == [False, False]


# the stick figure


def body(page):
    return page.locator("canvas.viewer-figure")


def test_the_stick_figure_moves_in_step_with_its_curve(played):
    menu = played.get_by_label("Sequence")
    assert menu.locator("option").all_text_contents() == ["orbit 0.0", "orbit 1.0"]
    first = pages.pixels(body(played))
    slide(played, 12)
    assert (pages.pixels(body(played)) != first).any()
    menu.select_option(label="orbit 1.0")
    expect(played.locator(".viewer-frame")).to_have_text("1 of 30, encoder")
    expect(body(played)).to_have_accessible_name(
        "Stick figure of orbit 1.0, frame 1 of 30, encoder"
    )


def test_the_stick_figure_stands_upright_on_the_ground(played):
    drawn = pages.pixels(body(played))[:, :, 3] > 128
    rows = drawn.sum(axis=1)
    ground = rows.argmax()
    assert rows[ground] == drawn.shape[1]  # a line from side to side
    head = np.flatnonzero(rows)[0]
    tall = ground - head
    assert tall > 0.8 * len(rows)
    arm, leg = (rows[head + int(share * tall)] for share in (0.13, 0.5))
    assert arm > 1.5 * leg
    columns = np.flatnonzero(drawn[head : head + tall // 2].any(axis=0))
    assert abs(columns.mean() / drawn.shape[1] - 0.5) < 0.2  # it walks and yet stays in the middle


def test_a_head_is_a_circle_around_its_joint(played):
    played.get_by_label("Sequence").select_option(label="orbit 1.0")
    image = pages.pixels(body(played))
    dark = (image[:, :, 3] > 128) & (image[:, :, :3].sum(axis=2) < 600)
    inside = ndimage.binary_fill_holes(dark) & ~dark  # nothing but the head encloses anything
    patches, _ = ndimage.label(inside)
    patch = patches == np.bincount(patches.flat)[1:].argmax() + 1
    rows, columns = (np.flatnonzero(patch.any(axis=axis)) for axis in (1, 0))
    high, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert high == pytest.approx(wide, abs=2)
    assert patch.sum() == pytest.approx(np.pi / 4 * high * wide, rel=0.02)
    ground = dark.sum(axis=1).argmax()
    tall = ground - rows[0]
    assert high / tall == pytest.approx(3 / 13, rel=0.03)
    assert rows[0] > 5 and dark[: rows[0]].any()  # its line is in the picture, all of it


def test_the_stick_figure_is_beside_the_space_and_below_it_on_a_phone(played):
    def boxes():
        return [canvas.bounding_box() for canvas in (space(played), body(played))]

    one, other = boxes()
    assert other["x"] > one["x"] + one["width"] and other["y"] == one["y"]
    played.set_viewport_size({"width": 400, "height": 900})
    one, other = boxes()
    played.set_viewport_size({"width": 1000, "height": 900})
    assert other["x"] == one["x"] and other["y"] > one["y"] + one["height"]


def near_colour(image, colour, near=40):
    """Tell the pixels that are drawn in about this colour."""
    wanted = np.array([round(255 * part) for part in to_rgb(colour)])
    far = np.abs(image[:, :, :3] - wanted).max(axis=2)
    return (image[:, :, 3] > 200) & (far < near)


SIGNAL = "#b23a2b"  # of a page without the book's styles


@pytest.fixture(scope="module")
def opened_ghosts(visit):
    page = viewer.viewer(FOUND, GROUPS, figures=GHOSTS, figure="fig-beside", kind="shape")
    with visit(page) as opened:
        yield opened


@pytest.fixture
def ghosts(opened_ghosts):
    opened_ghosts.get_by_role("radio", name="shape", exact=True).check()
    return settle(opened_ghosts)


def test_the_ghost_is_where_it_is_predicted_and_can_be_switched_off(ghosts):
    errors = ghosts.locator(".viewer-errors")
    assert not near_colour(pages.pixels(body(ghosts)), SIGNAL).any()
    expect(errors).to_have_text("Error of the ghost: none, this frame is not predicted.")
    slide(ghosts, 21)
    expect(errors).to_have_text("Error of the ghost: 0.20; of the last frame seen, repeated: 0.40.")
    expect(body(ghosts)).to_have_accessible_name(
        "Stick figure of orbit 0.0, frame 21 of 40, decoder; over it, dashed, the ghost as "
        "predicted, error 0.20; of the last frame seen, repeated: 0.40"
    )
    image = pages.pixels(body(ghosts))
    columns, black = (
        np.flatnonzero(found.sum(axis=0) > 40)
        for found in (near_colour(image, SIGNAL), near_colour(image, "#1d2630", 90))
    )
    assert len(columns) and abs(columns.mean() - black.mean()) > 10  # beside it, as it was put
    ghosts.get_by_role("checkbox", name="ghost: predicted").uncheck()
    assert not near_colour(pages.pixels(body(ghosts)), SIGNAL).any()
    expect(body(ghosts)).not_to_have_accessible_name(re.compile("ghost"))


def test_a_figure_without_a_ghost_is_said_to_have_none(ghosts):
    ghosts.get_by_label("Sequence").select_option(label="orbit 1.0")
    slide(ghosts, 20)
    expect(ghosts.locator(".viewer-errors")).to_have_text(
        "Error of the ghost: none, there is no ghost."
    )
    assert not near_colour(pages.pixels(body(ghosts)), SIGNAL).any()


def test_a_viewer_without_ghosts_or_clusters_does_not_speak_of_them(page, played):
    for one in (page, played):
        expect(one.locator(".viewer-ghost")).to_have_count(0)
        expect(one.get_by_role("radio")).to_have_count(0)
        told = space(one).get_attribute("aria-description")
        assert "cluster" not in told and "oloured" not in told
        expect(one.locator(".widget-note")).not_to_contain_text("cluster")


# clusters


def by_cluster(page):
    return page.get_by_role("radio", name="cluster", exact=True)


def test_colours_stand_for_classes_or_for_clusters_as_chosen_by_keyboard(ghosts):
    slide(ghosts, 30)
    own, other = plots.DIGIT_COLOURS[0], plots.DIGIT_COLOURS[2]
    image = drawn(ghosts)
    assert has_colour(image, own).any() and not has_colour(image, other).any()
    key = ghosts.get_by_text("Clusters", exact=True)
    expect(key).to_be_hidden()
    ghosts.get_by_role("radio", name="shape", exact=True).focus()
    ghosts.keyboard.press("ArrowRight")
    expect(by_cluster(ghosts)).to_be_checked()
    expect(ghosts.locator("[aria-live=polite]")).to_have_text("Coloured by cluster.")
    told = space(ghosts).get_attribute("aria-description")
    assert "Coloured by cluster. " in told and " in cluster 3 (tall ones)." in told
    image = drawn(ghosts)
    assert has_colour(image, other).any() and not has_colour(image, own).any()
    expect(key).to_be_visible()
    expect(ghosts.get_by_text("3 (tall ones)")).to_be_visible()
    slide(ghosts, 10)  # where the cluster is the curve's own, nothing changes its colour
    image = drawn(ghosts)
    assert has_colour(image, own).any() and not has_colour(image, other).any()
    ghosts.get_by_role("radio", name="shape", exact=True).check()
    expect(ghosts.locator("[aria-live=polite]")).to_have_text("Coloured by shape.")
    assert "Coloured by shape. " in space(ghosts).get_attribute("aria-description")
    expect(key).to_be_hidden()


def test_a_line_changes_its_colour_where_the_cluster_changes(visit):
    line = np.stack([np.linspace(-1, 1, 41), np.zeros(41), np.zeros(41)], axis=1)
    path = viewer.Curve("line", 0, line, 0, np.repeat([0, 1], [21, 20]))
    with visit(viewer.viewer([path], ["lines"], figure="fig-beside")) as page:
        by_cluster(page).check()
        slide(page, 41)
        image = drawn(page)
        halves = np.array([seen(page, line, line[k]) for k in (10, 30)]).astype(int)
        blue, orange = (image[row, column, :3] for column, row in halves)
    assert blue[2] > blue[0] and orange[0] > orange[2]


def test_clusters_of_all_trajectories_are_told_in_words(visit):
    curves = [clustered(curve, k % 2) for k, curve in enumerate(CURVES)]
    with visit(viewer.viewer(curves, GROUPS, figure="fig-beside")) as page:
        by_cluster(page).check()
        told = space(page).get_attribute("aria-description")
    assert told.count(" in clusters 1 (circles) and 2 (ellipses)") == 3


def test_nothing_sticks_out_with_clusters_and_ghosts(ghosts):
    by_cluster(ghosts).check()
    for width in (320, 400, 1000):
        assert pages.sticking_out(ghosts, width) == []


# the page around


def test_parts_have_names_for_a_screen_reader(page, played):
    for one in (page, played):
        for role, names in {
            "button": ("Play", "Zoom in", "Zoom out", "Reset view"),
            "checkbox": (*GROUPS, "Loop"),
            "slider": ("Frame",),
            "combobox": ("Sequence",),
            "group": ("Shown", "View"),
        }.items():
            assert one.get_by_role(role).count() == len(names)
            for name in names:
                expect(one.get_by_role(role, name=name, exact=True)).to_have_count(1)
        expect(space(one)).to_have_attribute("aria-description", re.compile("arrow keys turn"))
    expect(space(page)).to_have_accessible_name("Trajectories over mode 1, mode 2 and mode 3")
    link = page.get_by_role("link", name="the static figure")
    expect(link).to_have_attribute("href", "#fig-beside")
    note = page.locator(".widget-note")
    expect(note).to_contain_text("thin and dashed: encoder; open diamond: hand-over")
    along = np.concatenate([curve.points[:, 0] for curve in CURVES])
    expect(note).to_contain_text(f"mode 1 from {along.min():.1f} to {along.max():.1f},")


def test_the_picture_is_told_in_words_and_so_is_each_turn(page):
    slide(page, 20)
    told = space(page).get_attribute("aria-description").replace("−", "-")
    assert told.startswith(
        f"{len(CURVES)} of {len(CURVES)} trajectories shown, seen from azimuth -60°, "
        "elevation 30°, zoom 1. Frame 20 of 40, decoder: "
    )
    box = np.concatenate([curve.points for curve in CURVES])
    step = 10.0 ** np.floor(np.log10(np.ptp(box, axis=0).max())) / 10
    for number, group in enumerate(GROUPS):
        points = [c.points[min(19, len(c.points) - 1)] for c in CURVES if c.group == number]
        if points:
            place = re.search(rf"{group} at ([^;]*?)[;.] ", told)[1]
            found = [float(word) for word in place.split(", ")]
            assert found == pytest.approx(np.mean(points, axis=0), abs=0.6 * step)
    space(page).press("ArrowLeft")
    turned = "azimuth −55°, elevation 30°, zoom 1."
    expect(page.locator("[aria-live=polite]")).to_have_text(turned.capitalize())
    expect(space(page)).to_have_attribute("aria-description", re.compile(turned))
    page.get_by_role("checkbox", name=GROUPS[0]).uncheck()
    assert GROUPS[0] not in space(page).get_attribute("aria-description").split("Drag")[0]


def test_one_curve_without_an_encoder_is_not_said_to_have_one(visit):
    with visit(viewer.viewer([ONE._replace(split=0)], GROUPS, figure="fig-beside")) as page:
        expect(page.locator(".viewer-frame")).to_have_text("1 of 40")
        expect(page.locator(".widget-note")).not_to_contain_text("encoder")
        expect(page.get_by_label("Sequence").locator("option")).to_have_text(["orbit 0.0"])


def test_start_and_hand_over_are_marked_and_only_the_encoder_is_dashed(visit):
    angle = np.linspace(0, 5, 40)
    arc = viewer.Curve("arc", 0, np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1), 20)
    with visit(viewer.viewer([arc], ["arcs"], figure="fig-beside")) as page:
        slide(page, 38)
        image = drawn(page)
        places = np.array([seen(page, arc.points, point) for point in arc.points])

    def is_drawn(place):
        column, row = np.floor(place).astype(int)
        return image[row, column, 3] > 0 and (image[row, column, :3] < 250).any()

    steps = np.diff(places, axis=0)
    across = steps[:, ::-1] / np.linalg.norm(steps, axis=1)[:, None] * [1, -1]
    for mark in (0, 19):  # open, on the line
        assert not is_drawn(places[mark])
        assert is_drawn(places[mark] + 3 * across[mark])
    shares = np.linspace(0, 1, 12, endpoint=False)[:, None]
    encoder, decoder = (
        [is_drawn(place) for k in frames for place in places[k] + shares * steps[k]]
        for frames in (range(2, 18), range(21, 34))
    )
    assert 0.2 < np.mean(encoder) < 0.8 and all(decoder)


def test_every_marker_has_a_sign_of_its_own(visit):
    groups = [f"group {number}" for number in range(10)]
    curves = [ONE._replace(name=group, group=at) for at, group in enumerate(groups)]
    with visit(viewer.viewer(curves, groups, figure="fig-beside")) as page:
        signs = page.locator(".viewer-sign path")
        shapes = signs.evaluate_all("all => all.map(e => e.getAttribute('d'))")
    assert len(set(shapes)) == len(shapes) == 10 and "undefined" not in shapes
