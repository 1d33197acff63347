import json

import nbformat
import pytest
from docutils import nodes
from report.built import PAGES, soup
from sphinx.application import Sphinx

from rnnatomy.report import captions, tables

TABLE = tables.markdown(["a", "$s_1$"], [["one | two", "2"]])
TOLD = {"caption": "What `a` is, in the units of $s$.", "name": "tab-a"}


def notebook(*shown, **told):
    """An executed notebook, as JSON, of one cell that shows Markdown."""
    metadata = {"mystnb": told} if told else {}
    outputs = [
        nbformat.v4.new_output("display_data", {"text/markdown": text, "text/plain": "?"})
        for text in shown
    ]
    cell = nbformat.v4.new_code_cell("1", outputs=outputs, metadata=metadata)
    prose = nbformat.v4.new_markdown_cell("# A page\n\nSee {numref}`tab-a`.")
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    return nbformat.writes(nbformat.v4.new_notebook(cells=[prose, cell], metadata=language))


def shown(text):
    return [
        output["data"]["text/markdown"]
        for cell in json.loads(text)["cells"]
        for output in cell.get("outputs", [])
    ]


def test_a_table_is_put_into_the_directive_that_tables_in_the_text_have():
    (made,) = shown(captions.captioned(notebook(TABLE, table=TOLD)))
    head = ":::{table} What `a` is, in the units of $s$.\n:name: tab-a\n\n"
    assert made == f"{head}{TABLE}\n\n:::\n"


def test_lines_of_a_caption_become_one():
    made = captions.with_caption(TABLE, "One\nsentence.", "tab-a")
    assert made.startswith(":::{table} One sentence.\n:name")


@pytest.mark.parametrize(
    ("text", "told"),
    [(TABLE, {}), ("Words.", {"table": TOLD}), (TABLE, {"figure": TOLD})],
)
def test_all_else_stays_as_it_is(text, told):
    given = notebook(text, **told)
    assert json.loads(captions.captioned(given)) == json.loads(given)


def test_a_page_without_outputs_stays_as_it_is():
    given = notebook(table=TOLD)
    assert json.loads(captions.captioned(given)) == json.loads(given)


def test_sphinx_numbers_it_and_keeps_the_notebook_plain(tmp_path):
    given = notebook(TABLE, table=TOLD)
    (tmp_path / "index.ipynb").write_text(given, "utf8")
    settings = {
        "extensions": ["myst_nb", "rnnatomy.report.captions"],
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        "nb_render_markdown_format": "myst",
        "nb_execution_mode": "off",
        "numfig": True,
    }
    app = Sphinx(
        tmp_path, None, tmp_path / "html", tmp_path / "trees", "html",
        settings, status=None, warning=None, warningiserror=True,
    )  # fmt: skip
    app.build()
    (found,) = app.env.get_doctree("index").findall(nodes.table)
    assert found["ids"] == ["tab-a"]
    page = (tmp_path / "html" / "index.html").read_text("utf8")
    assert '<span class="caption-number">Table 1 </span>' in page
    assert '<span class="std std-numref">Table 1</span>' in page
    assert (tmp_path / "html" / "_sources" / "index.ipynb.txt").read_text("utf8") == given


@pytest.mark.parametrize("page", sorted({*PAGES} - {"genindex.html", "search.html"}))
def test_tables_of_a_page_have_captions_with_numbers_in_order(page):
    found = [t for t in soup(page).select("article table") if not t.find_parent(class_="widget")]
    names = [t.select_one("caption > .caption-number").get_text(strip=True) for t in found]
    numbers = [int(name.replace(".", " ").split()[-1]) for name in names]
    first = min(numbers, default=1)
    assert numbers == [*range(first, first + len(numbers))]
