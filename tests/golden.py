"""Golden outputs of the chapters: what each cell printed and glued, with quick parameters.

Chapters are run once, by ``make quick``; the tests compare that run with ``tests/golden``, and
``make golden`` writes these files anew from it. ``prepare`` puts golden outputs under the cells of
the current source, for nbval to run and compare. Outputs of cells that draw, and of cells tagged
``nbval-ignore-output``, are not compared.
"""

import json
from pathlib import Path

import nbformat
import papermill

from rnnatomy.report import parameters
from rnnatomy.store import checkout, disk

FOLDER = Path(__file__).parent / "golden"
COMPARED = tuple(name for name in parameters.notebooks() if name != "intro")
IGNORE = "nbval-ignore-output"


def compared(cell) -> bool:
    draws = "figure" in cell.metadata.get("mystnb", {})
    return cell.cell_type == "code" and not draws and IGNORE not in parameters.tags(cell)


def outputs(chapter: str) -> dict:
    """Return the outputs that are compared of the quick run, by the id of the cell."""
    path = checkout.root() / "build" / "quick" / f"{chapter}.ipynb"
    cells = [c for c in nbformat.read(path, as_version=4).cells if compared(c)]
    return {cell.id: plain(cell.outputs) for cell in cells if cell.outputs}


def plain(listed) -> list:
    """Return outputs without what differs from run to run: counts, and where prints are parted."""
    found: list = []
    for output in listed:
        one = {name: value for name, value in output.items() if name != "execution_count"}
        if found and one.get("name") and found[-1].get("name") == one["name"]:
            found[-1]["text"] += one["text"]
        else:
            found.append(one)
    return found


def golden(chapter: str) -> dict:
    return json.loads((FOLDER / f"{chapter}.json").read_text())


def prepare(chapter: str, folder: Path, **changes) -> Path:
    """Write the chapter's current source with quick parameters and golden outputs."""
    values = parameters.read_chapter(chapter).metadata["rnnatomy"]["quick"] | changes
    path = folder / f"{chapter}.ipynb"
    source = str(parameters.book() / f"{chapter}.ipynb")
    papermill.execute_notebook(source, str(path), values, prepare_only=True, progress_bar=False)
    notebook = nbformat.read(path, as_version=4)
    wanted = golden(chapter)
    for count, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("papermill", None)
        cell.execution_count = count
        if compared(cell):
            cell.outputs = [nbformat.from_dict(output) for output in wanted.get(cell.id, [])]
        else:
            cell.metadata.tags = sorted({*parameters.tags(cell), IGNORE})
    nbformat.write(notebook, path)
    return path


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for chapter in COMPARED:
        text = json.dumps(outputs(chapter), indent=1, ensure_ascii=False, sort_keys=True)
        disk.write(FOLDER / f"{chapter}.json", f"{text}\n".encode())


if __name__ == "__main__":
    write()
