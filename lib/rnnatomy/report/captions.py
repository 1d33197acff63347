"""Captions of the tables that cells show: a Sphinx extension that numbers them, too.

A cell that shows a table has its caption and name in its metadata, where one that draws has those
of its figure: ``{"mystnb": {"table": {"caption": "What is in it.", "name": "tab-it"}}}``. When
Sphinx reads a notebook, the table is put into the directive that tables in the text stand in. The
notebook itself, which readers download, keeps the plain table.
"""

import json
from typing import Any

from sphinx.application import Sphinx

from rnnatomy.report import tables


def captioned(notebook: str) -> str:
    """Return an executed notebook, as JSON, whose tables have the captions of their cells.

    Args:
        notebook: as JSON.
    """
    read = json.loads(notebook)
    for cell in read["cells"]:
        told = cell["metadata"].get("mystnb", {}).get("table")
        for output in cell.get("outputs", []) if told else []:
            data = output.get("data", {})
            text = "".join(data.get("text/markdown", ""))
            if tables.read(text):
                data["text/markdown"] = with_caption(text, **told)
    return json.dumps(read, ensure_ascii=False)


def with_caption(table: str, caption: str, name: str) -> str:
    """Put a table into a directive.

    Args:
        table: as Markdown.
        caption: one sentence or more, as Markdown.
        name: for references.
    """
    return f":::{{table}} {' '.join(caption.split())}\n:name: {name}\n\n{table}\n\n:::\n"


def on_read(app: Sphinx, page: str, source: list[str]) -> None:
    """Change what Sphinx reads of a notebook."""
    if str(app.env.doc2path(page)).endswith(".ipynb"):
        source[0] = captioned(source[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
