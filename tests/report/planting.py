"""Chapters of our own making, and figures as a page shows them."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
from bs4 import BeautifulSoup

from rnnatomy.report import plots


def write_chapter(path: Path, code: str = "", parameters: str = "", **settings: Any) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in code.split("\n\n") if source]
    if parameters:
        tags = {"tags": ["parameters"]}
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata=tags))
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    facts = {"kernelspec": kernel, "rnnatomy": settings}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=facts), path)


def shown(figure, monkeypatch):
    """Show a figure, and return the page that is shown."""
    pages = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: pages.append(data))
    with plt.rc_context():
        plots.use_style()
        plots.show(figure, "What the figure shows, in a sentence of some words.")
    return BeautifulSoup(pages[0]["text/html"], "html.parser")
