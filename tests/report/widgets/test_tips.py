"""What stands behind a link, shown beside it: definitions, citations, figures."""

import json

import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx

LINK = '<a class="reference internal" href="{}">{}</a>'
LINKS = {
    "rank": "glossary.html#term-rank",
    "cited": "#id1",
    "drawn": "#fig-a",
    "elsewhere": "other.html#x",
    "nearby": "#part",
}
WORDS = ", ".join(LINK.format(place, word) for word, place in LINKS.items())
HTML = f"""<section id="part"><p>{WORDS}</p></section>
<figure id="fig-a"><svg id="inner" viewBox="0 0 9 9"></svg>
<figcaption>A curve.</figcaption></figure>
<div class="citation" id="id1"><span class="label">[A]</span><p>Author. Title &lt;b&gt;.</p></div>
<script type="application/json" class="tips">
{{"glossary.html#term-rank": "A <b>number</b>."}}</script>"""


@pytest.fixture
def opened(visit):
    with visit(HTML) as page:
        yield page


def link(page, word):
    return page.locator("a.reference", has_text=word)


@pytest.mark.parametrize(
    "word, told",
    [("rank", "A <b>number</b>."), ("cited", "Author. Title <b>."), ("drawn", "A curve.")],
)
def test_a_link_tells_on_hover_and_on_focus_what_stands_behind_it(opened, word, told):
    tip = opened.locator(".tip")
    link(opened, word).hover()
    tip.wait_for(state="visible")
    assert tip.inner_text().strip() == told and tip.get_attribute("role") == "tooltip"
    assert link(opened, word).get_attribute("aria-describedby") == tip.get_attribute("id")
    opened.keyboard.press("Escape")
    assert not opened.locator(".tip").count()
    assert link(opened, word).get_attribute("aria-describedby") is None
    opened.mouse.move(1, 800)
    opened.keyboard.press("Tab")
    while opened.evaluate("document.activeElement.textContent") != word:
        opened.keyboard.press("Tab")
    tip.wait_for(state="visible")
    assert tip.inner_text().strip() == told


def test_the_tip_can_be_pointed_at_and_goes_when_left(opened):
    tip = opened.locator(".tip")
    link(opened, "rank").hover()
    tip.wait_for(state="visible")
    tip.hover()
    opened.wait_for_timeout(500)
    assert tip.is_visible()
    opened.mouse.move(1, 800)
    tip.wait_for(state="hidden")


@pytest.mark.parametrize("word", ["elsewhere", "nearby"])
def test_what_the_page_does_not_hold_is_not_told(opened, word):
    link(opened, word).hover()
    opened.wait_for_timeout(500)
    assert not opened.locator(".tip").is_visible()


def test_no_name_is_twice_on_the_page(opened):
    link(opened, "drawn").hover()
    opened.locator(".tip").wait_for(state="visible")
    ids = opened.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("width", [320, 400, 1000])
def test_it_stays_on_the_screen(opened, width):
    opened.set_viewport_size({"width": width, "height": 700})
    for word in ("rank", "drawn"):
        link(opened, word).hover()
        opened.locator(".tip").wait_for(state="visible")
        box = opened.locator(".tip").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
        opened.mouse.move(1, 690)
        opened.locator(".tip").wait_for(state="hidden")


def test_a_page_gets_the_definitions_that_it_links_to(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "conf.py").write_text("extensions = ['rnnatomy.report.tips']\nhtml_theme = 'basic'")
    terms = "   rank\n      How many *directions* </script> there are.\n\n   mode\n      Other."
    glossary = f".. glossary::\n\n{terms}"
    (source / "index.rst").write_text(f"Book\n====\n\n{glossary}\n\n.. toctree::\n\n   page\n")
    (source / "page.rst").write_text("Page\n====\n\nA :term:`rank`.\n")
    app = Sphinx(
        source, source, tmp_path / "out", tmp_path / "trees", "html", status=None, warning=None
    )
    app.build()
    html = (tmp_path / "out" / "page.html").read_text()
    (held,) = BeautifulSoup(html, "html.parser").select("script.tips")
    assert json.loads(held.string) == {
        "index.html#term-rank": "How many directions </script> there are."
    }
    assert "</script> there" not in html
    assert "script.tips" not in (tmp_path / "out" / "index.html").read_text()
