"""The built site for everyone: axe-core, pictures in words, the keyboard, and a zoom of 200%.

The site is that of `test_site.py`. Each page is opened once. Both widths and both themes are seen:
each width in one theme, and where CI is set, in both.
"""

import os
from typing import NamedTuple

import pytest
from report import axe
from report.built import NARROW, SITE, WIDE, start_widgets

ZOOMED = WIDE // 2  # pixels: at 200%, a window has half of them
STATES = [(NARROW, "dark"), (WIDE, "light")]
if os.environ.get("CI") == "true":
    STATES = [(NARROW, "dark"), (NARROW, "light"), (WIDE, "light"), (WIDE, "dark")]


class Visit(NamedTuple):
    """What one opening of a page told."""

    violations: dict  # (width, theme) -> rules of axe that are broken, and where
    unsaid: list  # canvases without words
    traps: list  # what the keyboard does not reach, or leaves, in order
    lost: list  # what is cut off at a zoom of 200%


# What is folded is seen, from the start: the theme looks then for what scrolls.
UNFOLD = """addEventListener("DOMContentLoaded", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
})"""

# The rules take long for parts of which there are many. A drawing with a name is one thing, its
# parts are nobody's; of words in code, one of each kind is left. `test_site.py` looks at them all.
THIN_OUT = """() => {
  for (const fold of document.querySelectorAll(".toggle-hidden > * > .toggle-button")) fold.click();
  for (const drawing of document.querySelectorAll("svg[role=img]"))
    drawing.replaceChildren(...[...drawing.children].filter(e => e.tagName === "title"));
  const seen = new Set();
  for (const word of document.querySelectorAll("pre span:not(:has(*))")) {
    const kind = `${word.className} ${!word.closest(".cell_output")}`;
    if (seen.has(kind)) word.replaceWith(...word.childNodes);
    seen.add(kind);
  }
}"""

UNSAID = """() => [...document.querySelectorAll("canvas")].filter(canvas => {
  const words = e => e?.getAttribute("aria-label")?.trim();
  if (canvas.ariaHidden === "true") return !words(canvas.closest("ul, ol, [role=group]"));
  return !/^(img|application)$/.test(canvas.getAttribute("role")) || !words(canvas);
}).map(canvas => canvas.outerHTML.slice(0, 120))"""

# Of radio buttons, the one that is chosen: arrows lead to the others
CONTROLS = """body => [...body.querySelectorAll(
    "a, button, input:not([type=radio]:not(:checked)), select, [tabindex]")]
  .filter(e => e.tabIndex >= 0 && !e.disabled && e.getClientRects().length)"""

# What a press of Tab leads to: its place among the controls of the widget, -1 outside
PLACE = f"body => ({CONTROLS})(body).indexOf(document.activeElement)"

# Text that is cut off where it cannot be scrolled to, and whatever makes the page too wide
LOST = """() => {
  const hides = overflow => /hidden|clip/.test(overflow);
  const cut = (e, { overflowX, overflowY }) =>
    hides(overflowX) && e.scrollWidth > e.clientWidth + 1
    || hides(overflowY) && e.scrollHeight > e.clientHeight + 1;
  const unseen = ".widget-unseen, .visually-hidden, .math, .playground legend, svg, pre";
  const found = [...document.querySelectorAll("body *")].filter(e => {
    const style = getComputedStyle(e), { width, height } = e.getBoundingClientRect();
    if (!width || !height || style.visibility !== "visible" || e.closest(unseen)) return false;
    return e.textContent.trim() && style.textOverflow !== "ellipsis" && cut(e, style);
  }).map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 40)}`);
  const wide = document.documentElement.scrollWidth;
  return [...(wide > innerWidth ? [`page: ${wide} pixels`] : []), ...found];
}"""


def paint(page, width, theme):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(
        "theme => Object.assign(document.documentElement.dataset, { theme, mode: theme })", theme
    )


def trap(page, body):
    """Walk through a widget by Tab, and back; tell what was reached, if it is not each in turn."""
    count = body.evaluate(f"body => ({CONTROLS})(body).length")
    body.evaluate(f"body => ({CONTROLS})(body)[0].focus()")
    there = [body.evaluate(PLACE)]
    for _ in range(count):
        page.keyboard.press("Tab")
        there.append(body.evaluate(PLACE))
    back = []
    for _ in range(count + 1):
        page.keyboard.press("Shift+Tab")
        back.append(body.evaluate(PLACE))
    wanted = [*range(count), -1], [*reversed(range(count)), -1]
    return [] if (there, back) == wanted else [there, back]


def look(browser, name):
    context = browser.new_context(
        viewport={"width": NARROW, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = context.new_page()
    page.add_init_script(UNFOLD)
    page.goto((SITE / name).as_uri())
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    start_widgets(page)
    unsaid = page.evaluate(UNSAID)
    traps = [trap(page, body) for body in page.locator(".widget-body").all()]
    page.evaluate(THIN_OUT)
    violations = {}
    for width, theme in STATES:
        paint(page, width, theme)
        violations[width, theme] = axe.broken(page)
    page.set_viewport_size({"width": ZOOMED, "height": 450})
    lost = page.evaluate(LOST)
    context.close()
    return Visit(violations, unsaid, [one for one in traps if one], lost)


@pytest.fixture(scope="module")
def visit(browser, name):
    return look(browser, name)


@pytest.mark.parametrize("state", STATES)
def test_breaks_no_rule(visit, state):
    assert visit.violations[state] == []


def test_every_canvas_is_told_in_words(visit):
    assert visit.unsaid == []


def test_the_keyboard_goes_through_every_widget_and_back(visit):
    assert visit.traps == []


def test_loses_nothing_at_a_zoom_of_200_percent(visit):
    assert visit.lost == []


OPENED = {
    "search": (WIDE, ".search-button-field", "dialog#pst-search-dialog[open]"),
    "chapters": (NARROW, ".primary-toggle", "dialog#pst-primary-sidebar-modal[open]"),
    "page": (NARROW, ".secondary-toggle", "dialog#pst-secondary-sidebar-modal[open]"),
}


@pytest.mark.parametrize("which", OPENED)
def test_what_opens_over_a_page_breaks_no_rule_and_closes_by_keyboard(browser, site, which):
    width, button, dialog = OPENED[which]
    context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.goto((site / "readout.html").as_uri())
    page.locator(button).filter(visible=True).first.press("Enter")
    page.wait_for_selector(dialog)
    page.wait_for_timeout(400)
    found = axe.broken(page)
    page.keyboard.press("Escape")
    page.wait_for_selector(dialog, state="hidden")
    context.close()
    assert found == []


def test_what_is_found_by_search_breaks_no_rule(browser, site):
    page = browser.new_page()
    page.goto((site / "search.html").as_uri() + "?q=network")
    page.wait_for_selector("#search-results li a")
    found = axe.broken(page)
    page.close()
    assert found == []


def test_the_rules_would_find_what_is_wrong(browser):
    page = browser.new_page()
    page.set_content('<html lang="en"><title>t</title><main><h1>h</h1><img src="data:,"></main>')
    found = axe.broken(page)
    page.close()
    assert [one.partition(":")[0] for one in found] == ["image-alt"]
