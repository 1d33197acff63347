"""Chapters of our own making."""

from pathlib import Path
from typing import Any

import nbformat


def write_chapter(path: Path, code: str = "", parameters: str = "", **settings: Any) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in code.split("\n\n") if source]
    if parameters:
        tags = {"tags": ["parameters"]}
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata=tags))
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    facts = {"kernelspec": kernel, "rnnatomy": settings}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=facts), path)
