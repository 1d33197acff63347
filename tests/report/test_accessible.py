import pytest

from rnnatomy.report import accessible


@pytest.mark.parametrize(
    ("tex", "words"),
    [("s_{1}", "s 1"), (r"\zeta_1", "zeta 1"), (r"\mathbf{h}^2", "mathbf h 2"), ("N", "N")],
)
def test_a_short_formula_is_said_in_words(tex, words):
    assert accessible.said(tex) == words


@pytest.mark.parametrize("empty", ["<p></p>", "", "\n<p> </p>\n"])
def test_a_head_without_words_is_none(empty):
    assert accessible.mended(f'<tr><th class="head">{empty}</th>') == "<tr><td></td>"
    kept = '<tr><th class="head"><p>now</p></th>'
    assert accessible.mended(kept) == kept


def test_a_head_of_a_formula_gets_its_words_and_keeps_the_formula():
    tex = '<annotation encoding="application/x-tex">s_{10}</annotation>'
    math = f"<math><semantics><msub><mi>s</mi><mn>10</mn></msub>{tex}</semantics></math>"
    formula = f'<p><span class="math notranslate nohighlight">{math}</span></p>'
    page = f'<tr><th class="head">{formula}</th><th class="head">{formula[:-4]} a</p></th>'
    first, second = accessible.mended(page).split("</th>")[:2]
    assert first == (
        '<tr><th class="head"><span class="visually-hidden">s 10</span>'
        f'<div aria-hidden="true">{formula}</div>'
    )
    assert second == f'<th class="head">{formula[:-4]} a</p>'


def test_what_stands_on_a_button_is_its_name():
    page = """<summary aria-label="Toggle hidden content"><p>Show source</p></summary>
<button class="btn search-button-field" title="Search" aria-label="Search" id="b">Search</button>
<button class="btn search-button" aria-label="Search"></button>
<i class="theme-switch fa-sun" data-mode="light" title="Light"></i>"""
    named = """<summary><p>Show source</p></summary>
<button class="btn search-button-field" title="Search" id="b">Search</button>
<button class="btn search-button" aria-label="Search"></button>
<i class="theme-switch fa-sun" data-mode="light"></i>"""
    assert accessible.mended(page) == named


def test_entries_of_a_list_are_items_and_the_sides_of_a_page_have_names():
    assert 'role="listitem"' in accessible.mended('<div class="citation" role="doc-biblioentry">')
    dialog, side = '<dialog id="pst-primary-sidebar-modal"', '<div id="pst-primary-sidebar"'
    assert accessible.mended(f'{dialog}></dialog>{side} class="a">') == (
        f'{dialog} aria-label="Book"></dialog>{side} role="navigation" aria-label="Book" class="a">'
    )


def test_the_pages_of_a_site_are_mended_and_no_other_file(tmp_path):
    text = '<th class="head"></th> é'
    for name in ("index.html", "notes.txt"):
        (tmp_path / name).write_text(text, "utf8")
    accessible.mend(tmp_path)
    assert (tmp_path / "index.html").read_text("utf8") == "<td></td> é"
    assert (tmp_path / "notes.txt").read_text("utf8") == text
