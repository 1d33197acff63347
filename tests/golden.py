"""Golden outputs of the chapters: what each cell printed and glued, with quick parameters.

``python tests/golden.py write`` runs the chapters and writes ``tests/golden/<chapter>.json``;
``prepare`` puts those outputs under the cells of the current source, for nbval to compare.
Outputs of cells that draw, and of cells tagged ``nbval-ignore-output``, are not compared.
"""

import json
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill

from rnnatomy.report import chapters, parameters

FOLDER = Path(__file__).parent / "golden"
COMPARED = tuple(name for name in parameters.NOTEBOOKS if name != "intro")
IGNORE = "nbval-ignore-output"


def compared(cell) -> bool:
    draws = "figure" in cell.metadata.get("mystnb", {})
    return cell.cell_type == "code" and not draws and IGNORE not in parameters.tags(cell)


def prepare(chapter: str, folder: Path, **changes) -> Path:
    """Write the chapter's current source with quick parameters and golden outputs."""
    values = parameters.read_chapter(chapter).metadata["rnnatomy"]["quick"] | changes
    path = folder / f"{chapter}.ipynb"
    source = str(parameters.BOOK / f"{chapter}.ipynb")
    papermill.execute_notebook(source, str(path), values, prepare_only=True, progress_bar=False)
    notebook = nbformat.read(path, as_version=4)
    golden = json.loads((FOLDER / f"{chapter}.json").read_text())
    for count, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("papermill", None)
        cell.execution_count = count
        if compared(cell):
            cell.outputs = [nbformat.from_dict(output) for output in golden.get(cell.id, [])]
        else:
            cell.metadata.tags = sorted({*parameters.tags(cell), IGNORE})
    nbformat.write(notebook, path)
    return path


def write() -> None:
    FOLDER.mkdir(exist_ok=True)
    for chapter in COMPARED:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{chapter}.ipynb"
            chapters.run_chapter(chapter, {}, path, quick=True)
            cells = [c for c in nbformat.read(path, as_version=4).cells if compared(c)]
        golden = {cell.id: cell.outputs for cell in cells if cell.outputs}
        text = json.dumps(golden, indent=1, ensure_ascii=False, sort_keys=True)
        (FOLDER / f"{chapter}.json").write_text(text + "\n")


if __name__ == "__main__":
    if sys.argv[1:] != ["write"]:
        sys.exit("usage: python tests/golden.py write")
    write()
