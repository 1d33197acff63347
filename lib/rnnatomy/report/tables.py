"""Tables on a page, written as Markdown: a head, and rows of as many cells."""

import re
from collections.abc import Iterable, Sequence
from typing import Any


def show(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Display a table; see ``markdown`` for the arguments and errors."""
    from IPython.display import Markdown, display

    display(Markdown(markdown(head, rows)))


def markdown(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Write a table as Markdown, a line for the head, a rule, and a line a row.

    Args:
        head: titles of the columns, at least one; "" for none.
        rows: cells, one for each column; numbers are written as ``str`` does, so give them as text
            where they need a format. A ``|`` in a cell is escaped, a line break becomes a blank.

    Raises:
        ValueError: if the head is empty, or a row has another length.
    """
    if not head:
        raise ValueError("head is empty: give the title of each column.")
    lines = [_line(head), "|---" * len(head) + "|"]
    for number, row in enumerate(rows, start=1):
        cells = list(row)
        if isinstance(row, str) or len(cells) != len(head):
            what = "a string" if isinstance(row, str) else f"{len(cells)} cells"
            raise ValueError(
                f"row {number} of the table is {what}: give {len(head)} cells, one for each title."
            )
        lines.append(_line(cells))
    return "\n".join(lines)


def read(text: str) -> dict[str, list[Any]] | None:
    """Read a table that ``markdown`` wrote, or return None if the text is none.

    Args:
        text: of a cell's output.

    Returns:
        "head", words; and "rows", a list of words each.
    """
    lines = text.strip().splitlines()
    if len(lines) < 2 or not all(line.startswith("|") and line.endswith("|") for line in lines):
        return None
    head, _, *rows = ([_said(word) for word in _cells(line)] for line in lines)
    return {"head": head, "rows": rows}


def _said(word: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])|&#124;", lambda found: found[1] or "|", word.strip())


def _cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line[1:-1])


def plain(text: str) -> str:
    """Return foreign text, such as the name of a class, so that Markdown shows it as it is.

    Args:
        text: anything; neither markup nor mathematics in it comes into effect.
    """
    escaped = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))
    return escaped.replace(r"\|", "&#124;")


def _line(cells: Iterable[Any]) -> str:
    words = (" ".join(str(cell).splitlines()).replace("|", r"\|") for cell in cells)
    return f"|{'|'.join(f' {word} ' if word else ' ' for word in words)}|"
