import re
from itertools import pairwise

import numpy as np
import pytest
from markdown_it import MarkdownIt

from rnnatomy.report import tables


def cells_of(text):
    """Read a table as a page does: the text of each cell, by row."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    assert tokens[0].type == "table_open"
    rows = []
    for before, token in pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("th_open", "td_open"):
            rows[-1].append(token.content)
    return rows


def test_a_page_reads_back_what_was_given():
    head, rows = ["", "ARI, k-means", "$s_{1}$"], [["network", 3, "0.50"], ("", None, "&nbsp;i")]
    expected = [head, *([str(cell) for cell in row] for row in rows)]
    assert cells_of(tables.markdown(head, rows)) == expected


def test_the_text_is_what_chapters_joined_by_hand():
    rows = [["a", "1"], ["b", "2"]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    by_hand = "\n".join(["| name | n |", "|---" * 2 + "|", *lines])
    assert tables.markdown(["name", "n"], rows) == by_hand


@pytest.mark.parametrize("cell", ["|cosine|", r"$\|x\|$", "`a | b`", "a\nb", "||"])
def test_a_bar_or_a_line_break_stays_in_its_cell(cell):
    shown = cell.replace("\n", " ")
    text = tables.markdown(["x", cell], [[cell, "y"]])
    assert cells_of(text) == [["x", shown], [shown, "y"]]


def test_a_table_may_have_no_rows_and_any_iterable_will_do():
    assert cells_of(tables.markdown(["a"], iter([]))) == [["a"]]
    assert cells_of(tables.markdown(["a"], ((k,) for k in range(2)))) == [["a"], ["0"], ["1"]]
    assert cells_of(tables.markdown(["a"], np.array([["x"], ["y"]]))) == [["a"], ["x"], ["y"]]


@pytest.mark.parametrize("row", [["a"], ["a", "b", "c"], [], "ab"])
def test_a_row_of_another_length_is_refused(row):
    with pytest.raises(ValueError, match=r"row 2 of the table is .*: give 2 cells") as caught:
        tables.markdown(["x", "y"], [["a", "b"], row])
    assert "\n" not in str(caught.value)


def test_an_empty_head_is_refused():
    with pytest.raises(ValueError, match="head is empty"):
        tables.markdown([], [])


def test_it_is_shown_as_markdown_with_a_plain_text_beside(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", shown.append)
    tables.show(["a"], [["1"]])
    (page,) = shown
    assert page._repr_markdown_() == "| a |\n|---|\n| 1 |"
    assert re.match("<IPython.*Markdown object", repr(page))


@pytest.mark.parametrize("word", ["plain", "a | b", "**x** $y$ <b>", "1 \\ 2", "", "&amp;"])
def test_a_table_is_read_back(word):
    head, rows = ["what", ""], [["one", tables.plain(word)], ["two", "2"]]
    found = tables.read(tables.markdown(head, rows))
    assert found == {"head": head, "rows": [["one", word], ["two", "2"]]}


@pytest.mark.parametrize("text", ["", "words", "| one line |", "| a |\nb"])
def test_what_is_no_table_is_not_read(text):
    assert tables.read(text) is None
