"""What is not broken over two lines of a page: an interval. It may stand below its number."""

import re
from pathlib import Path

MANY = 6
"""Columns of a table in which intervals may be broken: it would be too wide to be seen at once."""

_NUMBER = r"[-+\u2212]?\d[\d,.]*%?"
_INTERVAL = re.compile(rf"\({_NUMBER} to {_NUMBER}\)")
_PARTS = re.compile(r"(<(?:pre|script|style|table)\b.*?</(?:pre|script|style|table)>)", re.DOTALL)
_ROW = re.compile(r"<tr\b.*?</tr>", re.DOTALL)


def together(page: str) -> str:
    """Keep each interval of a page on one line, as in "0.53 (0.41 to 0.64)".

    Args:
        page: as HTML; its code is left as it is, and so are tables of ``MANY`` columns or more.
    """
    return "".join(part if _is_left(part) else _joined(part) for part in _PARTS.split(page))


def keep_together(site: Path) -> None:
    """Keep the intervals of every page of a site on one line.

    Args:
        site: its folder; pages outside the topmost level are left.
    """
    for path in sorted(site.glob("*.html")):
        path.write_text(together(path.read_text("utf8")), "utf8")


def _is_left(part: str) -> bool:
    if part.startswith("<table"):
        row = _ROW.search(part)
        return row is not None and len(re.findall(r"<t[hd]\b", row[0])) >= MANY
    return part.startswith(("<pre", "<script", "<style"))


def _joined(text: str) -> str:
    return _INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)
