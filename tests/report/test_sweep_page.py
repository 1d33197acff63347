"""A sweep on disk: its table, its page, and the notebooks that it is linked to."""

import csv
import io
import re

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import axe

from rnnatomy.report import sweep_page

HOSTILE = "<script>alert(1)</script> & 'so' \"on\""


def notebook(*cells):
    return nbformat.v4.new_notebook(cells=list(cells))


def stored(name, data, prefix="application/papermill.record/"):
    """An output as ``myst_nb.glue`` leaves it."""
    facts = {"scrapbook": {"name": name, "mime_prefix": prefix}}
    data = {prefix + kind: content for kind, content in data.items()}
    return nbformat.v4.new_output("display_data", data, metadata=facts)


def executed(**values):
    outputs = [stored(name, {"text/plain": repr(text)}) for name, text in values.items()]
    cell = nbformat.v4.new_code_cell("glue()", outputs=outputs)
    title = nbformat.v4.new_markdown_cell("# Talk")
    return nbformat.writes(notebook(title, cell)).encode()


def point(given, seconds=1.0, **values):
    return sweep_page.Point(given, values, seconds, executed(**values))


def sweep(points, **grid):
    return sweep_page.Sweep("talk", grid, points, False, "2 were run.", "make sweep NAME=talk")


def rows(made):
    return list(csv.reader(io.StringIO(sweep_page.table(made), newline="")))


@pytest.fixture
def talk(lay_out):
    return lay_out(talk={"code": "1"})


@pytest.fixture
def write(talk, tmp_path):
    def write(made):
        folder = tmp_path / "sweep"
        folder.mkdir()
        sweep_page.write(folder, made)
        return folder

    return write


# --- What a notebook has glued ----------------------------------------------------------------


def test_glued_text_is_read_as_it_is_shown():
    outputs = [
        stored("share", {"text/plain": "'0.50'"}),
        stored("word", {"text/plain": '"it\'s"'}),
        stored("count", {"text/plain": "3"}, prefix=""),
        stored("torn", {"text/plain": "'\\'"}),
        stored("figure", {"text/plain": "<Figure>", "image/png": "aa"}),
        stored("verdict", {"text/plain": "'rarely'", "text/html": "<svg></svg>"}),
        nbformat.v4.new_output("display_data", {"text/plain": "'shown'"}),
        nbformat.v4.new_output("stream", text="printed"),
    ]
    found = sweep_page.glued(notebook(nbformat.v4.new_code_cell("", outputs=outputs)))
    words = {"word": "it's", "torn": "'\\'", "verdict": "rarely"}
    assert found == {"share": "0.50", "count": "3", **words}


@given(st.floats(-1e9, 1e9), st.sampled_from([".2f", ",.0f", "+.1f", ".3g", ",.3f"]))
def test_numbers_are_read_as_they_are_written(value, form):
    assert sweep_page.number(format(value, form)) == pytest.approx(value, rel=1e-2, abs=0.5)


@pytest.mark.parametrize(
    "text", ["", "1,02", "0.5 (0.4 to 0.6)", "nan", "inf", "1_0", "٣", "-", "1,"]
)
def test_other_words_are_no_numbers(text):
    assert sweep_page.number(text) is None


# --- The table --------------------------------------------------------------------------------


def test_the_table_has_a_row_for_each_point():
    failed = sweep_page.Point({"digit": 8, "word": "b"}, {}, 0.5, error="cell 2: KeyError: 'x'")
    made = sweep([point({"digit": 0, "word": "a"}, share="0.50", all="1,024"), failed],
                 digit=[0, 8], word=["a", "b"])  # fmt: skip
    assert rows(made) == [
        ["digit", "word", "share", "all", "seconds", "error", "notebook"],
        ["0", "a", "0.50", "1024", "1.0", "", "001-digit-0-word-a.ipynb"],
        ["8", "b", "", "", "0.5", "cell 2: KeyError: 'x'", ""],
    ]
    assert sweep_page.table(made).count("\r\n") == 3


def test_a_spreadsheet_finds_numbers_and_no_formulas():
    values = {
        "a": "-0.26",
        "b": "+0.12",
        "c": "=1+1",
        "d": "-none",
        "e": "@x",
        "f": "+a",
        "g": "\tx",
    }
    found = dict(zip(*rows(sweep([point({"digit": 0}, **values)], digit=[0])), strict=True))
    assert [found[name] for name in "ab"] == ["-0.26", "0.12"]
    assert [found[name] for name in "cdefg"] == ["'=1+1", "'-none", "'@x", "'+a", "'\tx"]


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_comes_back_from_the_table(text):
    found = rows(sweep([point({"digit": 0}, said=f"x{text}")], digit=[0]))
    assert found[1][1] == f"x{text}"


def test_a_value_with_the_name_of_a_column_keeps_its_own():
    head, row = rows(sweep([point({"digit": 0}, digit="7", error="none")], digit=[0]))
    assert len(set(head)) == len(head)
    assert row[:3] == ["0", "7", "none"]


# --- The page ---------------------------------------------------------------------------------


def test_what_differs_comes_first_and_the_rest_is_folded(write):
    points = [
        point({"digit": d}, changes=f"0.{d}", same="0.77", echo=str(d), words=f"w{d}")
        for d in (1, 2, 3)
    ]
    page = (write(sweep(points, digit=[1, 2, 3])) / "index.html").read_text()
    shown, folded = page.split("<details>")
    assert "0.77" not in shown and "0.77" in folded
    assert "<td>as the parameter</td>" in folded
    head = re.search("<thead>.*</thead>", shown)[0]
    assert re.findall(r">(\w+)</th>", head.replace("<wbr>", "")) == [
        "digit", "changes", "words", "notebook", "seconds"
    ]  # fmt: skip
    assert shown.count("<figure>") == 1  # only one changes, and is a number


@pytest.mark.parametrize(
    ("grid", "panels"),
    [
        ({"x": [1, 2, 3]}, 1),
        ({"x": [0.1, 0.2, 0.4], "word": ["a", "b"]}, 1),
        ({"digit": [0, 8], "x": [1, 2, 3]}, 1),
        ({"x": [1, 2]}, 0),
        ({"word": ["a", "b", "c"]}, 0),
        ({"x": [1, 2, 3], "y": [1, 2], "z": [1, 2]}, 0),
    ],
)
def test_numbers_are_drawn_along_one_parameter(write, grid, panels):
    from itertools import product

    points = [
        point(dict(zip(grid, values, strict=True)), height=f"0.{count}", flat="0.5")
        for count, values in enumerate(product(*grid.values()))
    ]
    points[-1] = points[-1]._replace(values={}, notebook=b"", error="cell 1: no")
    page = (write(sweep(points, **grid)) / "index.html").read_text()
    assert page.count("<figure>") == panels
    lines = next((values for name, values in grid.items() if name != "x"), [])
    assert ("class='key'" in page) == (panels > 0 and bool(lines))
    if panels and lines:
        assert all(f"{value}</span>" in page for value in lines)


def test_hostile_text_is_text(write):
    points = [point({"word": word}, said=HOSTILE + word) for word in ("<b>", "a")]
    points += [sweep_page.Point({"word": HOSTILE}, {}, 1.0, error=HOSTILE)]
    folder = write(sweep(points, word=["<b>", "a", HOSTILE]))
    for path in folder.glob("*.html"):
        assert "<script>alert" not in path.read_text(), path.name
        assert "<b>" not in path.read_text().replace("<b>word</b>", ""), path.name
    assert all(re.fullmatch(r"[\w.-]+", path.name, re.ASCII) for path in folder.iterdir())
    assert (folder / "index.html").read_text().count("&lt;script&gt;alert") >= 3


def test_each_point_is_linked_to_its_notebook(write):
    folder = write(sweep([point({"x": x}, y=str(2 * x)) for x in (1, 2, 3)], x=[1, 2, 3]))
    page = (folder / "index.html").read_text()
    links = set(re.findall(r"""href=["']([^"'#]+)""", page))
    assert links == {path.name for path in folder.iterdir()} - {"index.html"}
    assert len(links) == 7
    assert sweep_page.glued(nbformat.read(folder / "002-x-2.ipynb", 4)) == {"y": "4"}


def test_an_executed_notebook_reads_as_a_page(talk, tmp_path):
    cells = [
        nbformat.v4.new_markdown_cell(
            "# A talk\n\n{numref}`fig-a` gives {glue:text}`share` of {term}`modes <mode>`, "
            "{term}`rank` and $W_K$, see {doc}`readout` and {cite:p}`zervakis2019`."
        ),
        nbformat.v4.new_code_cell("x = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "x = 2", metadata={"tags": ["injected-parameters", "remove-cell"]}
        ),
        nbformat.v4.new_code_cell("hidden = 3", metadata={"tags": ["hide-input"]}),
        nbformat.v4.new_code_cell("glue()", outputs=[stored("share", {"text/plain": "'<0.5'"})]),
        nbformat.v4.new_code_cell(
            "show()", outputs=[nbformat.v4.new_output("display_data", {"text/html": "<svg></svg>"})]
        ),
    ]
    content = nbformat.writes(notebook(*cells)).encode()
    made = sweep([sweep_page.Point({"x": 2}, {}, 1.0, content)], x=[2])
    sweep_page.write(tmp_path, made)
    page = (tmp_path / "001-x-2.html").read_text()
    text = " ".join(re.sub(r"<[^>]+>", "", page[page.index("<article>") :]).split())
    assert (
        "The figure gives &lt;0.5 of modes, rank and W K , see readout and (zervakis2019)." in text
    )
    assert "x = 2" in text and "hidden" not in text
    assert "<msub>" in page and "<svg></svg>" in page


def test_the_page_fits_a_phone_breaks_no_rule_and_asks_for_nothing(write, browser):
    points = [
        point({"word": word, "x": x}, **{f"a_long_name_{n}": f"0.{n}{x}" for n in range(12)})
        for word in ("some", "other")
        for x in (1, 2, 3)
    ]
    folder = write(sweep(points, word=["some", "other"], x=[1, 2, 3]))
    asked, said = [], []
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    for name in ("index.html", "001-word-some-x-1.html"):
        page.goto((folder / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        assert axe.broken(page) == []
    assert asked == [(folder / name).as_uri() for name in ("index.html", "001-word-some-x-1.html")]
    assert said == []
    page.close()
