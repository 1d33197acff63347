import pytest
from report.built import PAGES, soup

from rnnatomy.report import cards

LONG = "the first two directions keep nearly all of it"


def table(head, *rows):
    line = "<tr>{}</tr>".format
    heads = line("".join(f'<th class="head">{one}</th>' for one in head))
    body = "".join(line("".join(f"<td>{cell}</td>" for cell in row)) for row in rows)
    return f'<table class="table"><thead>{heads}</thead><tbody>{body}</tbody></table>'


def test_each_cell_of_a_table_of_words_gets_the_head_of_its_column():
    made = cards.as_cards(table(["claim", "verdict & why"], [LONG, LONG], [LONG, "yes"]))
    assert made.startswith('<table class="table rnnatomy-cards" role="table">')
    assert made.count(f'<td data-label="claim" role="cell">{LONG}</td>') == 2
    assert '<td data-label="verdict &amp; why" role="cell">yes</td>' in made
    assert made.count('role="row"') == 3 and made.count('role="columnheader"') == 2


@pytest.mark.parametrize(
    "kept",
    [
        table([*"abcdefgh"], ["12.4 to 13.5"] * 8),  # wide, but of numbers
        table(["a", "b"], ["a few words only", "of a table"]),  # narrow
        table([*"abcdef"], [LONG, *(["0.5"] * 5)]),  # numbers, with long names
        table(["a", "b"], [LONG, LONG], [LONG]),
        table(["a", "b"]),
        table(["a", "b"], [LONG, LONG]).replace("<td>", '<td colspan="1">'),
    ],
)
def test_other_tables_stay_as_they_are(kept):
    assert cards.as_cards(kept) == kept


def test_one_long_column_beside_numbers_makes_cards():
    row = ["seeds", *(["12.5"] * 5), LONG]
    assert cards.LOOK in cards.as_cards(table([*"abcdefg"], row, row))


def test_a_head_of_a_formula_is_called_by_its_words():
    math = "<math><mi>s</mi><annotation>s_{1}</annotation></math>"
    hidden = '<span class="visually-hidden">s 1</span>'
    made = cards.as_cards(table([math + " now", f"{hidden}<div>{math}</div>"], [LONG, LONG]))
    assert 'data-label="s now"' in made and 'data-label="s 1"' in made


def test_tables_of_a_site_are_read_one_by_one(tmp_path):
    few, many = table(["a", "b"], ["1", "2"]), table(["a", "b"], [LONG, LONG])
    many = many.replace('"table">', '"table" id="tab-many">', 1)
    (tmp_path / "one.html").write_text(f"<p>é</p>{few}<p>{many}</p>", "utf8")
    cards.shown(tmp_path)
    made = (tmp_path / "one.html").read_text("utf8")
    assert made.startswith(f"<p>é</p>{few}<p>") and made.count(cards.LOOK) == 1


def test_a_card_keeps_name_and_caption():
    named = table(["a", "b"], [LONG, LONG]).replace('"table">', '"table" id="tab-a">', 1)
    named = named.replace("<thead>", "<caption>Two long cells.</caption><thead>")
    made = cards.as_cards(named)
    assert made.startswith('<table class="table rnnatomy-cards" id="tab-a" role="table"><caption>T')


def test_the_claims_of_the_book_become_cards():
    made = soup("intro.html").select(f"table.{cards.LOOK}")
    assert len(made) >= 2
    assert sum(len(soup(page).select(f".{cards.LOOK}")) for page in PAGES) >= 20
