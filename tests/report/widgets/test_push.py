"""The push: what the page carries, and its frames, against the library's and NumPy's."""

import re

import numpy as np
import pytest
from flax import nnx
from playwright.sync_api import expect
from scipy.special import expit

from rnnatomy.analysis import maps, pod
from rnnatomy.networks import access, autonomous, models
from rnnatomy.report.widgets import push, widget

from . import pages

HIDDEN, FRAMES = 5, 100


def two_rings():
    """A decoder with two closed curves: two units go round, one is up or down, two follow."""
    rng = np.random.default_rng(2)
    model = models.Seq2Seq(2, HIDDEN, rngs=nnx.Rngs(0))
    arrays = {name: np.zeros(array.shape) for name, array in access.flatten(model).items()}
    new = rng.normal(size=(HIDDEN, HIDDEN)) / 10
    new[:2, :2] += 3 * np.array([[np.cos(0.7), np.sin(0.7)], [-np.sin(0.7), np.cos(0.7)]])
    new[2, 2] += 4
    arrays["decoder.dense_h.kernel"][:, -HIDDEN:] = new
    for name, array in arrays.items():
        arrays[name] = (array + 0.1 * rng.normal(size=array.shape)).astype(np.float32)
    arrays["readout.kernel"][:2] += np.eye(2, dtype=np.float32)
    arrays["readout.bias"][:] = 0
    access.unflatten(arrays, model)
    return model, arrays


MODEL, ARRAYS = two_rings()
NAMES, SHAPES = ("up, <b>", "down"), ((1.0, 0.5), (0.8, 0.8), (1.0, 0.5))


@pytest.fixture(scope="module")
def step():
    return autonomous.closed_loop(MODEL).step


@pytest.fixture(scope="module")
def sets(step):
    starts = np.zeros((4, HIDDEN))
    starts[:, 0], starts[:, 2] = 0.3, (1, 1, 1, -1)
    found = maps.limit_sets(step, starts, 1500, tolerance=1e-3)
    assert found.names == ("circle", "circle")
    return found.orbits


@pytest.fixture(scope="module")
def basis(sets):
    return pod.pod(sets, centred=True)


@pytest.fixture(scope="module")
def size(basis):
    return np.sqrt(basis.energy / basis.snapshots)


@pytest.fixture(scope="module")
def decoder(sets):
    return push.Decoder(ARRAYS, sets, NAMES, (3, 4))


@pytest.fixture(scope="module")
def before():
    """The same network with small weights, which comes to rest in the middle."""
    arrays = {name: array * np.float32(0.1) for name, array in ARRAYS.items()}
    arrays |= {name: array * 0 for name, array in arrays.items() if name.endswith("bias")}
    return push.Decoder(arrays, np.zeros((1, 300, HIDDEN)), ["fixed point"], (8,))


@pytest.fixture(scope="module")
def html(decoder, basis, before):
    return push.push(decoder, basis, figure="fig-beside", before=before, shapes=SHAPES)


def onward(state, frames, arrays=ARRAYS):
    """Run a GRU on its own outputs in NumPy, in double precision: the states, the first one too."""
    p, found = {name: array.astype(float) for name, array in arrays.items()}, [state]
    for _ in range(frames):
        h = found[-1]
        frame = h @ p["readout.kernel"] + p["readout.bias"]
        read = np.split(frame @ p["decoder.dense_i.kernel"] + p["decoder.dense_i.bias"], 3)
        kept = np.split(h @ p["decoder.dense_h.kernel"], 3)
        r, z = expit(read[0] + kept[0]), expit(read[1] + kept[1])
        found.append((1 - z) * np.tanh(read[2] + r * kept[2]) + z * h)
    return np.array(found)


def apart(states, sets, size):
    """Distance from the nearest set, along dense curves, as a share of the size."""
    turns = np.arange(20_000) / 20_000
    found = []
    for orbit in sets:
        waves = push.curve(orbit, 1e-3 * size)
        angles = 2 * np.pi * np.outer(turns, np.arange(1, len(waves) // 2 + 1))
        parts = np.concatenate([np.ones((len(turns), 1)), np.cos(angles), np.sin(angles)], axis=1)
        curve = parts @ waves
        found.append([np.linalg.norm(curve - state, axis=1).min() for state in states])
    return np.min(found, axis=0) / size


# --- What a page carries ----------------------------------------------------------------------


def test_a_page_carries_the_network_in_fine_steps_and_its_curves_as_waves(html, sets, basis, size):
    facts, data = pages.carried(html)
    parts = np.split(pages.unfolded(data), np.cumsum(facts["sizes"])[:-1])
    parts = [part * step for part, step in zip(parts, facts["steps"], strict=True)]
    wanted = [*basis.modes[:2], basis.mean, *(ARRAYS[name] for name in push.NAMES)]
    for part, array in zip(parts[:8], wanted, strict=True):
        assert np.abs(part - array.ravel()).max() <= 0.51 * np.abs(array).max() / push.LEVELS
    assert not parts[8].any()  # the GRU has no bias beside its state's kernel
    for number, orbit in enumerate(sets):
        waves = parts[9 + number].reshape(-1, HIDDEN)
        assert np.linalg.norm(waves[0] - orbit.mean(axis=0)) < 0.01
    assert facts["size"] == pytest.approx(size)
    assert facts["shapes"] == [[1.0, 0.5], [0.8, 0.8]]
    told = [[one["name"], one["closed"]] for n in facts["networks"] for one in n["sets"]]
    assert told == [["up, <b>", True], ["down", True], ["fixed point", False]]
    assert parts[-1].tolist() == [0.0] * HIDDEN


def test_waves_of_a_curve_are_those_that_an_orbit_was_made_of():
    turns, rng = 0.0371 * np.arange(400), np.random.default_rng(0)
    parts = rng.normal(size=(5, 3)) * [[1], [2], [0.2], [2], [0.2]]
    angles = 2 * np.pi * np.outer(turns, [1, 2])
    orbit = np.hstack([np.ones((400, 1)), np.cos(angles), np.sin(angles)]) @ parts
    waves = push.curve(orbit, 1e-3)
    assert waves.shape == (17, 3)
    near = waves[[0, 1, 2, 9, 10]]
    np.testing.assert_allclose(np.abs(near), np.abs(parts), atol=1e-3)
    assert push.curve(orbit + rng.normal(size=orbit.shape) / 100, 1e-3) is None
    assert push.curve(rng.normal(size=(400, 3)), 1e-3) is None


def test_what_is_no_curve_is_carried_as_a_few_states(decoder, basis, sets):
    cycle = np.resize(np.eye(HIDDEN)[:3], (300, HIDDEN))
    both = decoder._replace(sets=np.stack([cycle, np.tile(sets[0, :1], (300, 1))]))
    facts, _ = pages.carried(push.push(both, basis, figure="fig"))
    assert [one["closed"] for one in facts["networks"][0]["sets"]] == [False, False]
    assert facts["sizes"][-2:] == [push.STATES * HIDDEN, HIDDEN]


def test_a_bias_beside_the_kernel_of_the_state_is_carried(decoder, basis):
    arrays = ARRAYS | {"decoder.dense_h.bias": np.arange(3.0 * HIDDEN)}
    other = push.push(decoder._replace(parameters=arrays), basis, figure="fig")
    facts, data = pages.carried(other)
    part = np.split(pages.unfolded(data), np.cumsum(facts["sizes"]))[8] * facts["steps"][8]
    np.testing.assert_allclose(part, np.arange(3 * HIDDEN), atol=1e-3)


def test_the_same_network_gives_the_same_page_and_no_name_ends_it(html, decoder, basis, before):
    again = push.push(decoder, basis, figure="fig-beside", before=before, shapes=SHAPES)
    assert html == again
    assert "<b>" not in push.push(decoder, basis, figure='"><b>')


def large(hidden, count=8):
    rng, turns = np.random.default_rng(0), 2 * np.pi * 0.0371 * np.arange(500)
    shapes = ((2, 3 * hidden), (3 * hidden,), (hidden, 3 * hidden), (hidden, 2), (2,))
    arrays = {n: rng.normal(size=s) for n, s in zip(push.NAMES, shapes, strict=True)}
    parts = rng.normal(size=(count, 2, hidden))
    sets = np.stack([np.cos(turns), np.sin(turns)], axis=1) @ parts
    return push.Decoder(arrays, sets, ["a curve"] * count, [0] * count)


@pytest.mark.parametrize("hidden, networks", [(160, 2), (256, 1)])
def test_the_largest_networks_of_the_book_fit_a_page(hidden, networks):
    one = large(hidden)
    html = push.push(one, pod.pod(one.sets, centred=True), figure="fig", before=one)
    facts, _ = pages.carried(html)
    assert [len(n["sets"]) for n in facts["networks"]] == [push.MOST_SETS] * networks
    assert len(html.encode()) < widget.MOST_BYTES
    assert len(html.encode()) + pages.scripts("push") < pages.MOST_BYTES


def test_shows_the_page_and_says_in_words_what_it_is(html, decoder, basis, before, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    push.show(decoder, basis, figure="fig-beside", before=before, shapes=SHAPES)
    assert shown[0]["text/html"] == html
    assert "to be pushed off its curve, on the site" in shown[0]["text/plain"]


BAD = {
    "an array missing": (
        lambda d: {"parameters": {k: v for k, v in d.parameters.items() if k != "readout.bias"}},
        "parameters lack readout.bias: give those of a Seq2Seq",
    ),
    "an LSTM": (
        lambda d: {"parameters": d.parameters | {"decoder.dense_h.kernel": np.zeros((5, 20))}},
        r"decoder.dense_h.kernel has shape \(5, 20\): give \(5, 15\)",
    ),
    "three outputs": (
        lambda d: {"parameters": d.parameters | {"readout.kernel": np.zeros((5, 3))}},
        r"readout.kernel has shape \(5, 3\): give \(5, 2\)",
    ),
    "NaN": (
        lambda d: {"parameters": d.parameters | {"readout.bias": np.array([0, np.nan])}},
        "readout.bias holds NaN or infinity: give finite numbers",
    ),
    "a residual network": (
        lambda d: {"sets": np.zeros((2, 300, 7))},
        r"sets have shape \(2, 300, 7\): give \(set, time, 5\), at least one",
    ),
    "no set": (lambda d: {"sets": d.sets[:0]}, r"sets have shape \(0, \d+, 5\)"),
    "infinite sets": (lambda d: {"sets": d.sets * np.inf}, "sets hold NaN or infinity"),
    "fewer names": (
        lambda d: {"names": d.names[:1]},
        "1 names and 2 groups of 2 sets are given: give one for each",
    ),
    "many groups": (lambda d: {"groups": (0, 10)}, r"groups are \[0, 10\]: give 0 to 9"),
}  # fmt: skip


@pytest.mark.parametrize("whose", ["", "before training: "])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case, whose, decoder, basis, as_users):
    changes, message = BAD[case]
    bad = decoder._replace(**changes(decoder))
    given = {"before": bad} if whose else {}
    with pytest.raises(ValueError, match=message) as raised:
        push.push(decoder if whose else bad, basis, figure="fig", **given)
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))
    assert str(raised.value).startswith(whose)


def test_what_does_not_fit_the_decoder_is_refused(decoder, basis, as_users):
    other = pod.pod(np.random.default_rng(0).normal(size=(9, 4)), centred=True)
    cases = [
        (other, {}, r"the basis has modes of shape \(4, 4\): give at least 2, of 5 units\."),
        (basis._replace(modes=basis.modes[:1]), {}, r"the basis has modes of shape \(1, 5\)"),
        (basis, {"before": large(6, 1)}, "the decoder had other units before training"),
        (basis, {"shapes": [(1.0, np.nan)]}, "a shape is no pair of finite half-axes"),
        (basis, {"shapes": [(1.0,)]}, "a shape is no pair of finite half-axes"),
    ]
    for modes, given, message in cases:
        with pytest.raises(ValueError, match=message):
            push.push(decoder, modes, figure="fig", **given)


# --- In the browser ---------------------------------------------------------------------------


@pytest.fixture
def page(visit, html):
    with visit(html) as opened:
        yield opened


@pytest.fixture
def still(visit, html):
    """A page for a reader who asks for no motion."""
    with visit(html, reduced_motion="reduce") as opened:
        yield opened


def point(page):
    """Frame, state in two modes, what is drawn, and distance from the nearest set."""
    frame, *rest = page.locator(".push-scene").get_attribute("data-point").split()
    return int(frame), np.array(rest, float)


def told(page):
    return page.locator(".push-told").text_content()


def forgotten(page):
    expect(page.locator(".push-told")).to_contain_text("Within a hundredth", timeout=20_000)
    return told(page)


def follow(page, frames=FRAMES):
    """Go on frame by frame, ten at once, and return what is seen after each ten."""
    first, found = point(page)[0], []
    for frame in range(first + 10, first + frames + 1, 10):
        page.locator(".widget-play").click()
        seen = point(page)
        assert seen[0] == frame
        found.append(seen[1])
    return np.array(found)


def seen(states, basis, sets, size, arrays=ARRAYS):
    modes = (states - basis.mean) @ basis.modes[:2].T
    drawn = states @ arrays["readout.kernel"] + arrays["readout.bias"]
    return np.hstack([modes, drawn, apart(states, sets, size)[:, None]])


def test_frames_on_the_curve_are_the_library_s_and_those_of_a_gru_written_out(
    still, step, sets, basis, size
):
    first, _ = point(still)
    wanted = np.concatenate([sets[0, :1], maps.run(step, sets[0, :1], 200, 200)[0]])
    np.testing.assert_allclose(wanted[1:], sets[0, 1:201], atol=1e-9)
    np.testing.assert_allclose(onward(sets[0, 0], 200), wanted, atol=1e-9)
    expected = seen(wanted[first + 10 : first + FRAMES + 1 : 10], basis, sets, size)
    found = follow(still)
    # the plane shows two modes, and drawn numbers are sums of what is in a state
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=push.TOLERANCE * size)
    np.testing.assert_allclose(found[:, 2:4], expected[:, 2:4], atol=2 * push.TOLERANCE * size)
    assert found[:, 4].max() < push.DISTANCE_TOLERANCE
    assert np.ptp(expected[:, 1]) > 10 * push.TOLERANCE * size


def test_a_push_by_the_keyboard_runs_as_in_a_gru_written_out(still, sets, basis, size):
    first, _ = point(still)
    state = onward(sets[0, 0], first)[-1]
    scene = still.get_by_role("application", name="Plane of two modes")
    scene.focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "Shift+ArrowRight"):
        still.keyboard.press(key)
    assert "by 0.30 of the size of the states. After 0 frames" in told(still)
    state = state + size * (0.3 * basis.modes[1] + 0.02 * basis.modes[0])
    expected = seen(onward(state, FRAMES)[10::10], basis, sets, size)
    found = follow(still)
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=push.TOLERANCE * size)
    np.testing.assert_allclose(found[:, 4], expected[:, 4], atol=push.DISTANCE_TOLERANCE)
    every = apart(onward(state, 60)[1:], sets, size)
    back = int(np.flatnonzero(every > 0.01)[-1]) + 2
    words = re.search(r"Within a hundredth after (\d+) frames: it came back\.", told(still))
    assert abs(int(words[1]) - back) <= 1
    assert still.locator("[aria-live=polite]").last.text_content() == told(still)


def drag(page, x, y, *, held=True):
    """Press on the ring, or where it is to go, and let go of it at shares of the plane."""
    plane, ring = (page.locator(f".push-{part}").bounding_box() for part in ("plane", "handle"))
    place = plane["x"] + x * plane["width"], plane["y"] + y * plane["height"]
    if held:
        page.mouse.move(ring["x"] + ring["width"] / 2 + 3, ring["y"] + ring["height"] / 2)
    else:
        page.mouse.move(*place)
    page.mouse.down()
    page.mouse.move(place[0] + 3 * held, place[1], steps=3)
    return place


def centre(page):
    box = page.locator(".push-handle").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize("held", [True, False])
def test_the_point_goes_where_it_is_dragged_and_the_decoder_on_from_there(page, held):
    expect(page.locator(".push-lead")).to_have_text("Drag the point off the curve, and let go.")
    before = point(page)[1]
    place = drag(page, 0.5, 0.5, held=held)
    assert centre(page) == pytest.approx(place, abs=1.1)
    expect(page.locator(".widget-play")).to_have_text("Play")
    page.mouse.up()
    expect(page.locator(".widget-play")).to_have_text("Pause")
    words = forgotten(page)
    assert re.match(r"Pushed off curve 1 \(up, <b>\) by \d\.\d+ of the size of the states\.", words)
    expect(page.locator(".push-lead")).to_contain_text("✓ Done.")
    assert (point(page)[1] != before).any()


def test_a_push_that_ends_on_the_other_curve_is_told_and_done(page, sets, basis):
    ends = (sets.mean(axis=1) - basis.mean) @ basis.modes[0]
    assert abs(ends[1] - ends[0]) > 1  # the first mode tells the curves apart
    drag(page, *(0.9 if ends[1] > 0 else 0.1, 0.5))
    page.mouse.up()
    words = forgotten(page)
    assert words.endswith(": it ended on another, curve 2 (down).")
    expect(page.locator(".push-lead")).to_contain_text("not against every push")
    expect(page.locator(".push-on")).to_have_text("2 down")
    expect(page.locator("[aria-live=polite]").last).to_have_text(words)
    page.get_by_role("button", name="Back to the curve").click()
    expect(page.locator(".push-on")).to_have_text("1 up, <b>")


def test_a_press_that_does_not_move_the_ring_is_no_push(page):
    x, y = centre(page)
    page.mouse.move(x + 5, y - 4)
    page.mouse.down()
    page.mouse.up()
    assert told(page).startswith("The decoder goes on by itself, on curve 1")
    expect(page.locator(".widget-play")).to_have_text("Play")


@pytest.mark.parametrize("name, share", [("Small push", "0.20"), ("Large push", "1.0")])
def test_buttons_push_in_a_random_direction_among_all(still, name, share, size):
    moved = []
    for _ in range(3):
        still.get_by_role("button", name="Back to the curve").click()
        before = point(still)[1]
        still.get_by_role("button", name=name).click()
        moved.append((point(still)[1] - before)[:2] / size)
        assert f"by {share} of the size of the states. After 0 frames" in told(still)
    assert (np.linalg.norm(moved, axis=1) < float(share) + 1e-3).all()
    assert np.linalg.norm(np.ptp(moved, axis=0)) > 0.01  # another one each time


def test_plays_and_pauses_and_works_by_keyboard(page):
    scene = page.get_by_role("application", name="Plane of two modes")
    page.locator(".widget-play").focus()
    for _ in range(5):
        page.keyboard.press("Tab")
    expect(scene).to_be_focused()
    first = point(page)[0]
    page.keyboard.press("Space")
    expect(page.locator(".widget-play")).to_have_text("Pause")
    page.wait_for_function(
        "first => parseInt(document.querySelector('.push-scene').dataset.point) > first + 4",
        arg=first,
    )
    page.keyboard.press("Space")
    expect(page.locator(".widget-play")).to_have_text("Play")
    stopped = point(page)[0]
    page.wait_for_timeout(200)
    assert point(page)[0] == stopped
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert "by 0.14 of the size" in told(page)
    assert page.locator("[aria-live=polite]").last.text_content() == told(page)
    page.keyboard.press("Home")
    assert told(page).startswith("The decoder goes on by itself")
    page.keyboard.press("Tab")  # and out: there is no trap
    expect(page.get_by_role("button", name="1 up, <b>")).to_be_focused()


def test_starts_on_the_curve_that_is_chosen(page):
    page.get_by_role("button", name="2 down").click()
    assert told(page) == "The decoder goes on by itself, on curve 2 (down)."
    expect(page.locator(".push-on")).to_have_text("2 down")
    assert point(page)[1][4] < push.DISTANCE_TOLERANCE


def test_before_training_the_same_push_comes_to_rest(still, sets, basis, size, before):
    first, _ = point(still)
    still.locator(".push-scene").focus()
    for _ in range(4):
        still.keyboard.press("ArrowUp")
    pushed = onward(sets[0, 0], first)[-1] + 0.4 * size * basis.modes[1]
    still.get_by_role("checkbox", name="before training").check()
    expect(still.locator(".push-key")).to_have_text("1 fixed point")
    states = onward(pushed, FRAMES, before.parameters)
    distances = np.linalg.norm(states, axis=1) / size
    found = follow(still)
    np.testing.assert_allclose(found[:, 4], distances[10::10], atol=push.DISTANCE_TOLERANCE)
    assert re.fullmatch(
        r"Before training\. Pushed by 0\.40 of the size of the states\. Within a hundredth after "
        r"\d+ frames: it ended on a point of rest\.",
        told(still),
    )
    still.get_by_role("checkbox", name="before training").uncheck()
    assert "Pushed off curve 1 (up, <b>) by 0.40 of the size" in told(still)
    follow(still)
    assert told(still).endswith("it came back.")


def test_nothing_moves_for_those_who_ask_for_it(still):
    first = point(still)[0]
    still.get_by_role("button", name="Small push").click()
    still.get_by_role("button", name="10 frames on").click()
    for _ in range(2):
        assert point(still)[0] == first + 10
        still.wait_for_timeout(150)
    still.locator(".push-scene").focus()
    still.keyboard.press("Space")
    assert point(still)[0] == first + 20
    still.emulate_media(reduced_motion="no-preference")
    expect(still.get_by_role("button", name="Play", exact=True)).to_be_visible()


def test_each_drawing_is_told_in_words(page):
    for part, words in (
        ("plane", r"Two modes of the states: curve 1 \(up, <b>\), curve 2 \(down\)\. The point"),
        ("paper", r"What the decoder draws: now a point at -?\d\.\d\d, -?\d\.\d\d"),
        (
            "strip",
            r"Distance over \d+ frames: at most under 0\.001, now under 0\.001, from curve 1",
        ),
    ):
        canvas = page.locator(f".push-{part}")
        assert canvas.get_attribute("role") == "img"
        assert re.match(words, canvas.get_attribute("aria-label"))


def test_without_a_second_network_there_is_no_switch_and_a_point_of_rest_will_do(
    visit, before, basis
):
    with visit(push.push(before, basis, figure="fig-beside")) as page:
        expect(page.get_by_role("checkbox")).to_have_count(0)
        expect(page.locator(".push-lead")).to_have_text("Drag the point away, and let go.")
        page.get_by_role("button", name="Small push").click()
        assert forgotten(page).endswith("it came back.")
        expect(page.locator(".push-lead")).to_contain_text("It is forgotten.")


def test_a_finger_that_scrolls_pushes_nothing(visit, html):
    options = {"has_touch": True, "viewport": {"width": 400, "height": 700}}
    with visit(html, **options) as page:
        box = page.locator(".push-plane").bounding_box()
        x, y = box["x"] + 40, box["y"] + box["height"] - 20
        pages.swipe(page, [(x, y - 12 * k) for k in range(15)])
        page.wait_for_function("scrollY > 20")
        assert told(page).startswith("The decoder goes on by itself")
        assert point(page)[1][4] < push.DISTANCE_TOLERANCE


def test_rests_while_it_is_out_of_sight(page):
    page.locator(".widget-play").click()
    expect(page.locator(".widget-play")).to_have_text("Pause")
    page.evaluate("scrollTo(0, 2500)")
    expect(page.locator(".widget-play")).to_have_text("Play")


@pytest.mark.parametrize("width", [320, 400, 1400])
def test_fits_a_screen(page, width):
    assert pages.sticking_out(page, width) == []
