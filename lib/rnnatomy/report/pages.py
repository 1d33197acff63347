"""What a chapter calls to speak of itself: start, glued values, verdicts, the box at its foot."""

import io
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

from rnnatomy.analysis.verdicts import Verdict
from rnnatomy.report import bars, parameters, plots
from rnnatomy.store import origin

ARRAYS = "application/x-npz"
"""Kind of the output that holds arrays in a notebook."""


def start(chapter: str, scope: Mapping[str, Any]) -> float:
    """Begin a chapter, in the cell after its parameters: refuse bad ones, and set the figure style.

    Args:
        chapter: the chapter's name.
        scope: the notebook's ``globals()``.

    Returns:
        When the chapter began, as ``made_by`` takes it.

    Raises:
        ParameterError: as ``parameters.check_parameters``.
    """
    started = time.time()
    parameters.check_parameters(chapter, scope)
    plots.use_style()
    return started


def glue(form: str = "", /, **values: Any) -> None:
    """Make values available to the text of the book, by name.

    Args:
        form: how numbers are written, such as ".2f"; "" for whole numbers and text.
        values: text as it is, numbers, or verdicts of ``analysis.verdicts``. On a page, the role
            ``{glue:text}`` gives the word of a verdict, ``{glue}`` its bar with the word below.
    """
    from myst_nb import glue as myst_glue

    for name, value in values.items():
        myst_glue(name, _shown(value, form), display=False)


def _shown(value: Any, form: str) -> str | bars.Shown:
    if isinstance(value, Verdict):
        return bars.show(value)
    return value if isinstance(value, str) else format(value, form)


def holds(**conditions: bool | np.bool_) -> None:
    """Say what a page can tell: the site leaves out cells with the tag "if-NAME" of what is false.

    Args:
        conditions: by name. A code cell with such a tag has to run all the same.
    """
    from IPython.display import display

    told = {name: bool(value) for name, value in conditions.items()}
    words = ", ".join(name for name, value in told.items() if value)
    display({"text/plain": f"holds: {words}"}, metadata={"holds": told}, raw=True)


def carry(arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays in the executed notebook, from where ``carried`` takes them out.

    Args:
        arrays: by name.
    """
    from IPython.display import display

    data = io.BytesIO()
    given: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez_compressed(data, **given)
    text = b64encode(data.getvalue()).decode()
    display({"text/plain": f"{len(arrays)} arrays", ARRAYS: text}, raw=True)


def carried(notebook: nbformat.NotebookNode) -> bytes | None:
    """Take what ``carry`` kept out of an executed notebook: the content of an ``.npz``, or None."""
    found = None
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).pop(ARRAYS, None)
            found = found if text is None else b64decode(text)
    return found


def left_out(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return an executed notebook without the cells of which ``holds`` says that they do not."""
    told: dict[str, bool] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            told |= output.get("metadata", {}).get("holds", {})
    false = {f"if-{name}" for name, value in told.items() if not value}
    cells = [cell for cell in notebook.cells if not false & set(parameters.tags(cell))]
    return nbformat.from_dict({**notebook, "cells": cells})


def made_by(chapter: str, scope: Mapping[str, Any], started: float, data: str) -> None:
    """Display the closing box "How this page was made".

    Args:
        chapter: the chapter's name.
        scope: the notebook's ``globals()``.
        started: when the chapter began, as ``start`` gives it, in seconds since 1970.
        data: which data it used, in words.
    """
    from IPython.display import display

    facts = origin.provenance(f"make chapter NAME={chapter}")
    rows = {
        "Parameters": ", ".join(
            f"{name} = {scope[name]!r}" for name in parameters.parameters(chapter)
        )
        or "none",
        "Data": data,
        "Versions": ", ".join(f"{name} {number}" for name, number in facts["versions"].items()),
        "Device": f"{facts['device']}, {facts['cores']} cores, {facts['system']}",
        "Commit": facts["commit"],
        "Duration": f"{time.time() - started:.0f} s",
        "Again": facts["command"],
    }
    lines = "".join(f"<dt>{name}</dt><dd>{escape(str(text))}</dd>" for name, text in rows.items())
    page = (
        f'<details class="made"><summary>How this page was made</summary><dl>{lines}</dl></details>'
    )
    text = "\n".join(f"{name}: {text}" for name, text in rows.items())
    display({"text/html": page, "text/plain": text}, raw=True)


def durations(executed: Path) -> dict[str, float]:
    """Return the wall time of each chapter that papermill has run, in seconds, by name."""
    found: dict[str, float] = {}
    for chapter in parameters.notebooks():
        path = executed / f"{chapter}.ipynb"
        if path.is_file():
            facts = json.loads(path.read_text())["metadata"].get("papermill", {})
            found |= {chapter: facts["duration"]} if "duration" in facts else {}
    return found
