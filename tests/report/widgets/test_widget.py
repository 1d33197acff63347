"""What the widgets share: the bytes and the HTML of a page, and what it does in a real browser."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from playwright.sync_api import expect

from rnnatomy.analysis import pod
from rnnatomy.networks import runs
from rnnatomy.report.widgets import pad, playground, push, reader, taps, viewer, widget

from .conftest import FILES
from .pages import carried, pixels, sticking_out, unfolded

NAMES = ("playground", "viewer", "player", "pad", "taps", "push")
DRAWN = (  # canvases in the page's colours
    ".viewer-space, .viewer-figure, .pad-plane, .taps-field, .push-plane, .push-paper, .push-strip"
)


# --- What a page carries ----------------------------------------------------------------------


@given(hnp.arrays(np.int64, st.integers(0, 9), elements=st.integers(-(2**15), 2**15 - 1)))
def test_folded_numbers_are_restored_whatever_they_are(levels):
    np.testing.assert_array_equal(unfolded(widget.fold(levels)), levels)


def test_the_folded_bytes_of_small_numbers_are_small_and_the_high_ones_zero():
    assert widget.fold(np.array([[0, -1], [1, -128]])) == bytes([0, 1, 2, 255, 0, 0, 0, 0])


def test_arrays_are_packed_in_steps_of_their_own():
    arrays = [np.array([[0.5, -2.0], [1.0, 0.1]]), np.zeros(3), np.array([0.25])]
    facts, data = widget.pack_steps(arrays, 1000)
    assert facts == {"steps": [0.002, 1.0, 0.00025], "sizes": [4, 3, 1]}
    np.testing.assert_array_equal(unfolded(data), [250, -1000, 500, 50, 0, 0, 0, 1000])


@pytest.mark.parametrize("kind", ["<f4", ">f4"])
def test_planes_hold_the_lowest_byte_of_every_number_first(kind):
    numbers = np.array([[1.5, -2.25], [3e-7, 4e7]], kind)
    rows = np.frombuffer(widget.planes(numbers), np.uint8).reshape(4, 4)
    np.testing.assert_array_equal(rows.T.copy().view("<f4").ravel(), numbers.ravel())


def test_a_page_carries_facts_and_bytes_and_neither_can_end_its_scripts():
    facts, data = {"name": "</script><b>", "numbers": [1, 2.5]}, bytes(range(256)) * 3
    page = widget.widget("pad", "See", '"><b>', facts, data, "give less")
    assert carried(page) == (facts, data)
    assert "<b>" not in page


def test_a_page_that_is_too_large_is_refused_in_one_sentence():
    noise = np.random.default_rng(0).bytes(widget.MOST_BYTES)
    words = rf"the pad takes \d{{6}} bytes, at most {widget.MOST_BYTES} are allowed: give fewer\."
    with pytest.raises(ValueError, match=f"^{words}$"):
        widget.widget("pad", "See", "fig", {}, noise, "give fewer")


def test_shows_a_page_and_says_in_words_what_it_is(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append((data, raw)))
    widget.show("<p>", "A pad")
    assert shown == [({"text/html": "<p>", "text/plain": "A pad, on the site"}, True)]


# --- In the browser, all on one page ----------------------------------------------------------


def a_playground():
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(10, dtype=np.int32), 30)
    states = np.eye(12)[labels] + 0.3 * rng.normal(size=(300, 12))
    parameters = {"readout.kernel": 3 * np.eye(12, 10), "readout.bias": np.zeros(10)}
    network = runs.Run("a network", "Classifier", parameters, {}, {}, states, labels)
    return playground.playground([network], rng.random((300, 8, 8)), 7, "fig-beside")


def a_viewer(figures=None):
    angle = 0.2 * np.arange(40)
    arc = np.stack([np.cos(angle), np.sin(angle), angle], axis=1)
    curves = [viewer.Curve(f"arc {k + 1} of three", k, arc * (k + 1), 10) for k in range(3)]
    names = ("circles", "ellipses", "tall ones")
    return viewer.viewer(curves, names, figures=figures, figure="fig-beside")


def a_player():
    upright = np.array([[0, 4, 0], [0, 10, 0], [2, 8, 0], [1, 0, 0]], float)
    joints = upright + np.arange(40)[:, None, None] * [0, 0, 0.7]
    return a_viewer([viewer.Figure(joints, np.array([-1, 0, 1, 0])), None, None])


def a_pad():
    rng = np.random.default_rng(0)
    shapes = pad._shapes(12, 28)
    parameters = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    points = rng.normal(size=(200, 2)).astype(np.float32)
    return pad.pad(parameters, points, np.arange(200) % 10, figure="fig-beside")


def a_taps():
    rng = np.random.default_rng(0)
    shapes = ((8, 96), (24, 96), (96,), (24, 10), (10,))
    named = zip(reader.READER, shapes, strict=True)
    classifier = {name: rng.normal(size=shape) / 2 for name, shape in named}
    return taps.taps(classifier, rng.random((3, 8, 8)), np.arange(3), figure="fig-beside")


def a_push():
    rng, hidden, turns = np.random.default_rng(0), 6, 0.23 * np.arange(300)
    shapes = ((2, 3 * hidden), (3 * hidden,), (hidden, 3 * hidden), (hidden, 2), (2,))
    parameters = {n: rng.normal(size=s) for n, s in zip(push.NAMES, shapes, strict=True)}
    ways = rng.normal(size=(2, 2, hidden)) / 2
    sets = np.stack([np.cos(turns), np.sin(turns)], axis=1) @ ways
    one = push.Decoder(parameters, sets, ("circle", "ellipse, fast"), (0, 1))
    basis = pod.pod(sets, centred=True)
    return push.push(one, basis, figure="fig-beside", before=one, shapes=[(1.0, 2.0)])


MADE = dict(zip(NAMES, (a_playground, a_viewer, a_player, a_pad, a_taps, a_push), strict=True))


@pytest.fixture(scope="module")
def html():
    made = [f'<section id="{name}">{make()}</section>' for name, make in MADE.items()]
    return "\n".join(made)


@pytest.fixture(scope="module")
def opened(visit, html):
    with visit(html) as page:
        yield page


@pytest.fixture
def page(opened):
    """The page, set as when it was opened."""
    opened.set_viewport_size({"width": 1000, "height": 900})
    opened.evaluate("""() => {
      document.documentElement.dataset.theme = "light";
      document.activeElement.blur();
      scrollTo(0, 0);
    }""")
    return opened


@pytest.fixture(params=NAMES)
def one(request, page):
    """The element of one widget."""
    return page.locator(f"#{request.param} > .widget")


def test_stands_in_place_of_the_sentence_and_of_what_it_has_read(one):
    expect(one.locator(".widget-body")).to_be_visible()
    expect(one.locator(".widget-without")).to_be_hidden()
    expect(one.locator("script")).to_have_count(0)


def test_every_control_is_reached_by_keyboard_in_order_and_is_seen_to_be(one, page):
    # of the buttons in a table one is reached so, and the others by arrows from there
    tabbed = ":is(input, select, button, a, [tabindex]):not([tabindex='-1'])"
    controls = one.locator(".widget-body").locator(tabbed)
    controls.first.focus()
    for at in range(controls.count()):
        if at:
            page.keyboard.press("Tab")
        expect(controls.nth(at)).to_be_focused()
        style = controls.nth(at).evaluate("e => [e.tagName, getComputedStyle(e).outline]")
        assert style[0] == "A" or ("2px" in style[1] and "none" not in style[1]), style


def test_is_painted_anew_for_another_theme_and_back(one, page):
    def look():
        page.wait_for_timeout(50)
        return one.screenshot(), [pixels(canvas) for canvas in one.locator(DRAWN).all()]

    light, canvases = look()
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark, other = look()
    assert light != dark
    assert all((a != b).any() for a, b in zip(canvases, other, strict=True))
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    np.testing.assert_equal(look()[1], canvases)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 1000, 700, 400])
def test_fits_the_screen(page, width, theme):
    page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert sticking_out(page, width) == []


def test_drawings_are_as_fine_as_the_screen_at_any_width(page):
    fine = f"[...document.querySelectorAll('{DRAWN}')].every(c => c.width === c.clientWidth)"
    for width in (400, 1000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(fine)


def test_paper_has_a_sentence_that_leads_to_the_static_figure(one, page):
    page.emulate_media(media="print")
    try:
        expect(one.locator(".widget-body")).to_be_hidden()
        if one.get_attribute("class") == "widget playground":
            expect(one).to_be_hidden()  # it has one beside it
        else:
            expect(one.locator(".widget-without")).to_contain_text("see the static figure")
            expect(one.locator(".widget-without")).to_be_visible()
    finally:
        page.emulate_media(media="screen")
    expect(one.locator(".widget-body")).to_be_visible()


def test_leaves_one_name_and_no_identifier_behind(page):
    names = page.evaluate("""() => {
      const frame = document.body.appendChild(document.createElement("iframe"));
      const plain = new Set(Object.getOwnPropertyNames(frame.contentWindow));
      frame.remove();
      return Object.getOwnPropertyNames(window).filter(name => !plain.has(name));
    }""")
    assert names == ["rnnatomyWidgets"]
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert ids == ["fig-beside", *NAMES]


LOOK = """() => [...document.querySelectorAll(".widget, .widget *")].map(e => {
  const { x, y, width, height } = e.getBoundingClientRect(), style = getComputedStyle(e);
  return [x, y, width, height, ...["color", "font", "padding", "border", "background", "outline"]
    .map(name => style[name])].join();
})"""


def test_scripts_and_styles_come_in_any_order(visit, html, page):
    with visit(html, FILES[::-1]) as other:
        for width in (1000, 400):
            for opened in (page, other):
                opened.set_viewport_size({"width": width, "height": 900})
            assert other.evaluate(LOOK) == page.evaluate(LOOK)


WITHOUT = {
    "no script": ("", {"java_script_enabled": False}),
    "no common script": ("", {"files": tuple(name for name in FILES if name != "widget.js")}),
    "an old browser": ("<script>delete window.DecompressionStream</script>", {}),
}


@pytest.fixture(scope="module", params=WITHOUT)
def without(request, visit, html):
    """The page where the widgets do not start."""
    before, options = WITHOUT[request.param]
    with visit(before + html, waits=False, **options) as page:
        yield page


@pytest.mark.parametrize("name", NAMES)
def test_otherwise_a_sentence_leads_to_the_figure(without, name):
    one = without.locator(f"#{name}")
    expect(one).to_contain_text(re.compile("with JavaScript", re.I))
    link = one.get_by_role("link", name="the static figure")
    expect(link).to_have_attribute("href", "#fig-beside")
    assert one.locator("button, input, canvas").count() == 0
