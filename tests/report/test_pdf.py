"""The book as one PDF, of a small site; a second library reads what was printed."""

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from pypdf import PdfReader

from rnnatomy.report import paper, pdf
from rnnatomy.store import checkout

PRINT = checkout.root() / "book" / "_static" / "print.css"

STYLES = Path(__file__).resolve().parents[2] / "book" / "_static" / "print.css"
CITATION = """
title: "Small: a book of two pages"
authors: [{name: Ada}, {name: Grace}]
keywords: [networks, paper]
version: 1.2.3
date-released: 2026-01-31
"""
HEAD = """<!DOCTYPE html><html lang="en"><head><title>A page</title>
<link rel="canonical" href="https://example.org/book/{name}.html">
<link rel="stylesheet" href="_static/print.css"></head><body>
<nav class="bd-links"><ul><li><a href="{one}">One</a></li></ul>
<p class="caption"><span>A part</span></p><ul><li><a href="{two}">1. Two</a></li></ul></nav>
<article class="bd-article"><section id="{name}">"""
FOOT = '</section></article><div class="extra_footer"><p>Free to use</p></div></body></html>'
ONE = """<h1>One<a class="headerlink" href="#one">#</a></h1>
<p>See <a href="two.html#clip">the second page</a>, <a href="two.html">all of it</a>,
<a href="two.html#gone">what is gone</a>, <a href="genindex.html">the index</a>,
<a href="https://example.com/">another site</a> and <a href="file:///etc/hosts">a file</a>.</p>
<section id="first"><h2>First section</h2>
<figure id="fig-one"><svg role="img" aria-label="A drawing" viewBox="0 0 10 10" width="100">
<defs><clipPath id="clip"><rect width="9" height="9"/></clipPath></defs>
<g clip-path="url(#clip)"><rect width="10" height="10" fill="teal"/></g></svg>
<figcaption><p><span class="caption-number">Figure 1 </span>A caption</p></figcaption></figure>
<div class="widget playground"><p class="widget-without">With JavaScript, this is a playground:
switches. Without them, see <a href="#fig-one">the static figure</a>.</p>
<script type="text/plain">HIDDEN</script></div>
<details class="hide"><summary>Show code</summary><pre>HIDDEN</pre></details>
<details class="made"><summary>Made</summary><dl><dt>Commit</dt><dd>abc123</dd></dl></details>
<div class="dropdown admonition"><p class="admonition-title">Solution</p>
<p>Forty-two, by <a href="#fig-one">the figure</a>.</p></div></section>"""
TWO = """<h1>1. Two</h1><p>Back to <a href="one.html#first">the first</a>.</p>
<section id="clip"><h2>1.1. “Quoted” \\ &lt;/style&gt; "title"</h2>
<div class="math"><p style="width: 1400px; background: teal">wide</p></div>
<table><tr><td style="min-width: 1500px">left</td><td>RIGHT</td></tr></table></section>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout with a site of two pages."""
    root = tmp_path_factory.mktemp("paper")
    site = root / "site"
    (site / "_static").mkdir(parents=True)
    (root / "CITATION.cff").write_text(CITATION)
    (site / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=one.html" />')
    one = HEAD.format(name="one", one="#", two="two.html") + ONE + FOOT
    (site / "one.html").write_text(one)
    (site / "two.html").write_text(HEAD.format(name="two", one="one.html", two="#") + TWO + FOOT)
    shutil.copy(STYLES, site / "_static")
    return root


@pytest.fixture
def site(folder, tmp_path, monkeypatch):
    """A copy of that site."""
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    shutil.copy(folder / "CITATION.cff", tmp_path)
    return shutil.copytree(folder / "site", tmp_path / "site")


@pytest.fixture(scope="module")
def book(folder, launch):
    """That site, printed."""
    with launch():
        pass  # or the tests are skipped
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkout, "ROOT", folder)
        pages = pdf.make_pdf(folder / "site", folder / "made" / "book.pdf")
    assert [path.name for path in (folder / "made").iterdir()] == ["book.pdf"]
    found = PdfReader(folder / "made" / "book.pdf")
    assert len(found.pages) == pages
    return found


def words(page):
    return " ".join(page.extract_text().split())


def test_each_page_of_the_site_begins_a_page_with_a_number(book):
    texts = [words(page) for page in book.pages]
    begins = ["Small", "Contents", "One", "1. Two", "Solutions"]
    assert len(texts) == len(begins)
    for number, (text, begin) in enumerate(zip(texts, begins, strict=True), 1):
        assert begin in text
        assert str(number) in text.split()[:3] or number == 1, text
    assert {(round(p.mediabox.width), round(p.mediabox.height)) for p in book.pages} == {(595, 842)}


def test_the_cover_says_what_the_book_is(book):
    cover = words(book.pages[0])
    facts = ("A book of two pages", "Ada, Grace", "Version 1.2.3, 2026-01-31", "commit abc123")
    assert all(fact in cover for fact in (*facts, "Free to use", "example.org/book/"))


def test_what_only_a_screen_can_do_is_left_out_or_told(book):
    text = words(book.pages[2])
    assert "On the site, example.org/book/one.html#fig-one, this is a playground: switches." in text
    assert "Its still: Figure 1, page 3." in text
    assert "Solution, page 5" in text and "Forty-two" not in text
    assert "Forty-two" in words(book.pages[4])
    assert not any(word in text for word in ("HIDDEN", "Show code", "Made", "#One"))


def test_contents_and_bookmarks_lead_to_parts_pages_and_sections(book):
    def read(items, level=0):
        for item in items:
            if isinstance(item, list):
                yield from read(item, level + 1)
            else:
                yield level, item.title, book.get_destination_page_number(item) + 1

    marks = list(read(book.outline))
    quoted = '1.1. “Quoted” \\ </style> "title"'
    assert marks == [
        (0, "Contents", 2), (0, "One", 3), (1, "First section", 3), (0, "A part", 4),
        (1, "1. Two", 4), (2, quoted, 4), (0, "Solutions", 5),
    ]  # fmt: skip
    listed = words(book.pages[1])
    for _, title, number in marks[1:]:
        assert f"{title} {number}" in listed


def links(page):
    """Where the links of a page lead: addresses, and names of places."""
    found = [note.get_object() for note in page.get("/Annots", [])]
    return [a["/A"]["/URI"] if "/A" in a else str(a["/Dest"]).lstrip("/") for a in found]


def test_links_between_pages_lead_to_places_of_the_book(book):
    found = links(book.pages[2])
    inside = {"two--clip": 4, "two": 4, "one--fig-one": 3, "solutions--one-1": 5}
    outside = {
        "https://example.org/book/genindex.html", "https://example.com/",
        "https://example.org/book/one.html#fig-one",
    }  # fmt: skip
    assert set(found) == {*inside, *outside}
    places = {name.lstrip("/"): place for name, place in book.named_destinations.items()}
    for name, number in inside.items():
        assert book.get_destination_page_number(places[name]) + 1 == number
    everywhere = [link for page in book.pages for link in links(page)]
    assert all(link in places or link.startswith("https://") for link in everywhere)
    assert "one--first" in links(book.pages[3])
    assert {"one--fig-one", "to-solutions--one-1"} <= set(links(book.pages[4]))


def test_the_file_says_what_it_is_and_has_a_structure(book):
    facts = book.metadata
    assert (facts.title, facts.author) == ("Small: a book of two pages", "Ada; Grace")
    assert facts["/Keywords"] == "networks, paper"
    root = book.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"] and "/StructTreeRoot" in root and root["/Lang"] == "en"
    assert root["/PageMode"] == "/UseOutlines"


def test_figures_stay_drawings_and_wide_things_fit(book):
    figure, wide = book.pages[2], book.pages[3]
    assert not figure.images and "A drawing" in (tree := alternatives(book)), tree
    assert "RIGHT" in words(wide)
    right = []
    wide.extract_text(
        visitor_text=lambda text, cm, tm, *_: right.append((text, cm, tm)) if text.strip() else None
    )
    (at,) = (cm[0] * tm[4] + cm[4] for text, cm, tm in right if "RIGHT" in text)
    assert at < 595 - 50


def alternatives(book):
    """The words for figures in the structure of a PDF."""
    found, waiting = [], [book.trailer["/Root"]["/StructTreeRoot"]]
    while waiting:
        node = waiting.pop().get_object()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            found += [node["/Alt"]] if "/Alt" in node else []
            waiting += [node["/K"]] if "/K" in node and not isinstance(node["/K"], int) else []
    return found


def test_names_of_two_pages_do_not_meet(site):
    html = paper.compose(site).html
    names = re.findall(r' id="([^"]+)"', html)
    assert len(names) == len(set(names))
    assert 'clip-path="url(#one--clip)"' in html and {"one--clip", "two--clip"} <= set(names)
    assert '<a href="#two">what is gone</a>' in html and "file:///etc" not in html


def test_parts_of_its_own_have_names_that_a_light_site_keeps_styles_for(site):
    """``light.prune`` keeps rules for what a page of the site has, and for "book-" something."""

    def classes(html):
        return {one for names in re.findall(r'class="([^"]*)"', html) for one in names.split()}

    sheet = PRINT.read_text()
    styled = set(re.findall(r"\.([A-Za-z][\w-]*)", sheet))
    own = classes(paper.compose(site).html) & styled
    assert {"book-whole", "book-cover", "book-contents"} <= own
    there = classes("".join(path.read_text() for path in site.glob("*.html")))
    assert {one for one in own - there if not one.startswith(("book-", "bd-"))} == set()


def test_a_site_without_an_address_names_none(site):
    for path in site.glob("*.html"):
        path.write_text(path.read_text().replace('rel="canonical"', 'rel="other"'))
    html = paper.compose(site).html
    assert "On the site this is a playground" in html and "example.org" not in html
    assert "the index," in " ".join(html.split()) and "genindex" not in html


# --- Bad input --------------------------------------------------------------------------------


def command(monkeypatch, *given):
    monkeypatch.setattr(sys, "argv", ["pdf", *map(str, given)])
    with pytest.raises(SystemExit) as caught:
        pdf.main()
    message = str(caught.value.code)
    assert message.startswith("error: ") and "\n" not in message and len(message) < 500, message
    return message


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("site/index.html", None, "index.html is missing: build the site first"),
        ("site/one.html", None, "one.html is missing: build the site first"),
        ("site/two.html", None, "two.html is missing: build the site first"),
        ("site/index.html", b"", "has no menu of pages"),
        ("site/two.html", b"<p>", "two.html has no text: build the site again"),
        ("site/two.html", b"\xff\xfe", "two.html is no page: build the site again"),
        ("CITATION.cff", None, "CITATION.cff"),
        ("CITATION.cff", b"title: A\n", "does not say what the book is"),
        ("CITATION.cff", b"[", "does not say what the book is"),
        ("CITATION.cff", b"\xff", "does not say what the book is"),
    ],
)
def test_what_is_no_site_is_refused_in_a_sentence(site, monkeypatch, file, content, sentence):
    path = site.parent / file
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    output = site.parent / "book.pdf"
    output.write_text("before")
    assert sentence in command(monkeypatch, site, output)
    assert output.read_text() == "before"


def test_without_a_browser_one_is_told_how_to_have_it(site, monkeypatch):
    monkeypatch.setattr(pdf, "BROWSERS", ())
    monkeypatch.setitem(os.environ, "PLAYWRIGHT_BROWSERS_PATH", str(site.parent / "none"))
    told = command(monkeypatch, site, site.parent / "book.pdf")
    assert "there is no browser: install Chromium" in told
    assert not (site.parent / "book.pdf").exists()


def test_a_browser_that_does_not_start_is_named(site, monkeypatch):
    broken = site.parent / "chromium"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(pdf, "BROWSERS", (str(broken),))
    assert "chromium does not start" in command(monkeypatch, site, site.parent / "book.pdf")


def test_an_output_that_cannot_be_is_named(site, monkeypatch):
    told = command(monkeypatch, site, site.parent / "CITATION.cff" / "book.pdf")
    assert "CITATION.cff" in told and "cannot be read or written" in told


def test_without_a_checkout_one_is_asked_for(site, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", None)
    assert "clone the repository" in command(monkeypatch, site, site.parent / "book.pdf")
