"""Tables of words, which a phone shows as cards: a row becomes a card, a head a label in it.

The pages carry what the styles need for it: the head of its column beside each cell, and the roles
of rows and cells, which a browser forgets where they are shown as blocks.
"""

import re
from pathlib import Path

from bs4 import BeautifulSoup, Tag

WIDE = 60
"""Least letters of a row, with each column as wide as its longest cell, that a phone has no room
for."""

WORDY = 14
"""Mean letters of a cell from which a table holds words; one of numbers is scrolled, so that its
columns can be compared."""

LONG = 28
"""Mean letters of the cells of a column, which is not the first, from which that is so as well."""

LOOK = "rnnatomy-cards"
"""Class of a table that becomes cards."""

_TABLE = re.compile(r'<table class="[^"]*"(?: id="[^"]*")?>(?:(?!<table\b)[\s\S])*?</table>')
_ROLES = {"thead": "rowgroup", "tbody": "rowgroup", "tr": "row", "td": "cell", "th": "columnheader"}


def shown(site: Path) -> None:
    """Give the tables of words in a site's pages what makes cards of them.

    Args:
        site: its folder; pages outside the topmost level are left.
    """
    for path in sorted(site.glob("*.html")):
        page = path.read_text("utf8")
        path.write_text(_TABLE.sub(lambda found: as_cards(found[0]), page), "utf8")


def as_cards(table: str) -> str:
    """Return the HTML of a table of words with labels and roles; other tables stay as they are.

    Args:
        table: with a head, and rows without cells that span several columns.
    """
    tree = BeautifulSoup(table, "html.parser")
    rows = [row.find_all(["td", "th"]) for row in tree.select("tbody > tr")]
    labels = [words(head) for head in tree.select("thead th, thead td")]
    if not rows or {len(row) for row in rows} != {len(labels)} or tree.select("[colspan]"):
        return table
    sizes = [[len(words(cell)) for cell in row] for row in rows]
    columns = list(zip(*sizes, strict=True))
    longest = max((sum(column) for column in columns[1:]), default=0)
    wordy = sum(map(sum, sizes)) >= WORDY * len(rows) * len(labels) or longest >= LONG * len(rows)
    if not wordy or sum(map(max, columns)) < WIDE:
        return table
    _add_roles(tree)
    for row in rows:
        for cell, label in zip(row, labels, strict=True):
            cell["data-label"] = label
    return str(tree)


def words(cell: Tag) -> str:
    """Return what a cell says; of a formula, its symbols or, where they stand beside, its words."""
    beside = cell.select_one(".visually-hidden")
    if beside is not None:
        return beside.get_text(" ", strip=True)
    hidden = {id(text) for one in cell.find_all("annotation") for text in one.find_all(string=True)}
    parts = (text for text in cell.find_all(string=True) if id(text) not in hidden)
    return " ".join("".join(parts).split())


def _add_roles(tree: BeautifulSoup) -> None:
    table = tree.table
    assert table is not None
    table["class"] = f"{' '.join(table.get_attribute_list('class'))} {LOOK}"
    table["role"] = "table"
    for part in table.find_all(list(_ROLES)):
        part["role"] = _ROLES[part.name]
