"""Chapters: their parameters, what they say of themselves, and running them with papermill.

The comment behind each line of a chapter's parameters cell says what is allowed, and is enforced:

    rank = 3             # int 0..10: directions that are kept
    share = 0.9          # float 0..1: of the energy
    dataset = "auto"     # one of auto, mnist, digits: what is shown
    run = "mnist-0"      # run: whose readout is taken apart

Run as a command: ``python -m rnnatomy.chapters --help``.
"""

import argparse
import ast
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import nbformat

from rnnatomy import datasets, runs

BOOK = runs.ROOT / "book"
BUILD = runs.ROOT / "build"
NOTEBOOKS = (
    "intro", "training", "readout", "cutoffs", "hundred", "gates", "autoencoder",
    "orbits", "people", "gauge", "reproducibility",
)  # fmt: skip
"""The chapters that run, in reading order."""


class ParameterError(ValueError):
    """A chapter was given a parameter that it does not have, or a value that is not allowed."""


class Parameter(NamedTuple):
    """One line of a chapter's parameters cell.

    Attributes:
        name: of the variable.
        default: its value in the published run.
        allowed: "int 0..10", "float 0..1", "one of a, b" or "run".
        meaning: in words.
    """

    name: str
    default: Any
    allowed: str
    meaning: str


def parameters(chapter: str) -> dict[str, Parameter]:
    """Read the parameters that a chapter declares.

    Raises:
        ParameterError: if there is no such chapter.
    """
    cells = [c for c in read_chapter(chapter).cells if "parameters" in tags(c)]
    lines = cells[0].source.splitlines() if cells else []
    return {p.name: p for p in map(_parse, lines)}


def read_chapter(chapter: str) -> nbformat.NotebookNode:
    """Read a chapter's source.

    Raises:
        ParameterError: if there is no such chapter.
    """
    path = BOOK / f"{chapter}.ipynb"
    if not path.is_file():
        known = sorted(p.stem for p in BOOK.glob("*.ipynb"))
        near = _nearest(chapter, known)
        raise ParameterError(
            f"chapter {chapter!r} does not exist{near}: choose from {_list(known)}."
        )
    return nbformat.read(path, as_version=4)


def check_parameters(chapter: str, scope: Mapping[str, Any]) -> None:
    """Refuse, from inside a chapter, what ``make chapter`` refuses before it runs.

    Args:
        chapter: the chapter's name.
        scope: the notebook's ``globals()``.

    Raises:
        ParameterError: for an unknown name that papermill injected, or a value not allowed.
    """
    injected = [s for s in scope.get("In", []) if s.startswith("# Parameters")]
    given = [
        target.id
        for source in injected
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    declared = parameters(chapter)
    check_values(chapter, {name: scope[name] for name in [*declared, *given]})


def check_values(chapter: str, given: Mapping[str, Any]) -> None:
    """Hold names and values against what a chapter declares.

    Raises:
        ParameterError: for the first name or value that is not allowed, in one sentence.
    """
    declared = parameters(chapter)
    for name, value in given.items():
        if name not in declared:
            near = _nearest(name, declared)
            raise ParameterError(
                f"chapter {chapter!r} has no parameter {name!r}{near}: "
                f"choose from {_list(declared)}."
            )
        _check_value(declared[name], value)


def _parse(line: str) -> Parameter:
    code, _, comment = line.partition("#")
    node = ast.parse(code.strip()).body[0]
    assert isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    allowed, _, meaning = comment.strip().partition(": ")
    return Parameter(node.targets[0].id, ast.literal_eval(node.value), allowed, meaning)


def _check_value(parameter: Parameter, value: Any) -> None:
    name, _, allowed, _ = parameter
    kind, _, rest = allowed.partition(" ")
    if kind == "run":
        if not isinstance(value, str):
            raise ParameterError(f"{name} is {value!r}: give the name or the path of a run.")
        try:
            runs.find_run(value)
        except runs.RunError as error:
            raise ParameterError(f"{name}: {error}") from None
        return
    if kind == "one":
        choices = [choice.strip() for choice in rest.removeprefix("of ").split(",")]
        if value not in choices:
            raise ParameterError(f"{name} is {value!r}: choose from {_list(choices)}.")
        return
    low, _, high = rest.partition("..")
    numbers = (int,) if kind == "int" else (int, float)
    right = isinstance(value, numbers) and not isinstance(value, bool)
    if not right or not float(low) <= value <= float(high):
        word = "a whole number" if kind == "int" else "a number"
        raise ParameterError(f"{name} is {value!r}: give {word} from {low} to {high}.")


def _nearest(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])


# What a chapter says of itself


def glue(**values: str) -> None:
    """Make strings available to the text of the book, by name."""
    from myst_nb import glue as myst_glue

    for name, value in values.items():
        myst_glue(name, value, display=False)


def verdict(holds: Iterable[bool]) -> str:
    """Say what became of a claim that was tested in several networks.

    Returns:
        "Reproduced" if it holds in all, "Not reproduced" if in none, else "Partly reproduced".
    """
    found = [bool(one) for one in holds]
    if all(found):
        return "Reproduced"
    return "Partly reproduced" if any(found) else "Not reproduced"


def made_by(chapter: str, scope: Mapping[str, Any], started: float, data: str) -> None:
    """Display the closing box "How this page was made".

    Args:
        chapter: the chapter's name.
        scope: the notebook's ``globals()``.
        started: ``time.time()`` when the chapter began, in seconds.
        data: which data it used, in words.
    """
    from IPython.display import display

    facts = runs.provenance(f"make chapter NAME={chapter}")
    rows = {
        "Parameters": ", ".join(f"{name} = {scope[name]!r}" for name in parameters(chapter))
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


# Running


def run_chapter(chapter: str, given: Mapping[str, Any], output: Path, quick: bool = False) -> float:
    """Run one chapter with papermill; the output file appears only if all its cells ran.

    Args:
        chapter: its name.
        given: parameters that differ from the defaults.
        output: where the executed notebook goes.
        quick: whether the chapter's quick parameters replace its defaults.

    Returns:
        Wall time in seconds.

    Raises:
        ParameterError: before anything runs, for a name or value that is not allowed.
        papermill.PapermillExecutionError: if a cell fails.
    """
    import papermill
    from traitlets.config import Config

    source = read_chapter(chapter)
    values = (source.metadata.get("rnnatomy", {}).get("quick", {}) if quick else {}) | dict(given)
    check_values(chapter, values)
    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    progress = _Progress(chapter, len(source.cells) + bool(values))
    logger = logging.getLogger("papermill")
    logger.setLevel(logging.INFO)
    logger.addHandler(progress)
    with (
        tempfile.TemporaryDirectory(dir=output.parent, prefix=".") as aside,
        tempfile.TemporaryDirectory() as sockets,
    ):
        path = Path(aside) / f"{chapter}.ipynb"
        local = {"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}}
        try:
            papermill.execute_notebook(
                str(BOOK / f"{chapter}.ipynb"), str(path), values, cwd=str(BOOK),
                progress_bar=False, log_output=True, stdout_file=progress, config=Config(local),
                extra_arguments=["--log-level=50"],
            )  # fmt: skip
        finally:
            logger.removeHandler(progress)
        executed = nbformat.read(path, as_version=4)
        for cell in executed.cells:
            if "injected-parameters" in tags(cell):
                cell.metadata.tags.append("remove-cell")
        runs.write(output, nbformat.writes(executed).encode())
    return time.time() - started


class _Progress(logging.Handler):
    """Prints the cell that runs, and what it prints, each line with chapter and elapsed time."""

    def __init__(self, chapter: str, cells: int):
        super().__init__()
        self.chapter, self.cells, self.started = chapter, cells, time.time()

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split()
        if words[:2] == ["Executing", "Cell"]:
            self.write(f"cell {words[2].rstrip('-')}/{self.cells}")

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                elapsed = time.time() - self.started
                print(f"[{self.chapter}] {elapsed:4.0f} s  {line}", flush=True)


# The command


def find_data(path: Path) -> None:
    """Find out which data there are, say so in a sentence, and note it in a file."""
    try:
        data = datasets.mnist()
        print(f"Data: MNIST, from {data.source}.")
        name = "mnist"
    except datasets.DataUnavailable as error:
        print(f"Data: {error}")
        print("Instead, the training chapter trains on the digits embedded in scikit-learn; "
              "all other chapters read the published MNIST networks.")  # fmt: skip
        name = "digits"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != name:
        path.write_text(name)


def main() -> None:
    """Run one of the commands: data, run."""
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.chapters", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="find out which data there are, and note it in a file")
    data.add_argument("file", type=Path)
    run = commands.add_parser("run", help="run one chapter")
    run.add_argument("chapter")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--quick", action="store_true", help="with the chapter's quick parameters")
    run.add_argument("--data", type=Path, help="file that notes which data there are")
    run.add_argument("--output", type=Path, help="folder of the executed chapter")
    options = parser.parse_args()
    try:
        {"data": _command_data, "run": _command_run}[options.command](options)
    except (ParameterError, datasets.DataError, runs.RunError) as error:
        sys.exit(f"error: {error}")


def _command_data(options: argparse.Namespace) -> None:
    find_data(options.file)


def _command_run(options: argparse.Namespace) -> None:
    from papermill.exceptions import PapermillExecutionError

    given = {name: _value(text) for name, text in options.p}
    if options.data and "dataset" in parameters(options.chapter):
        given = {"dataset": options.data.read_text().strip()} | given
    folder = options.output or BUILD / "again"
    output = folder / f"{options.chapter}.ipynb"
    try:
        seconds = run_chapter(options.chapter, given, output, options.quick)
    except PapermillExecutionError as error:
        sys.exit(
            f"error: {options.chapter}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        )
    print(f"[{options.chapter}] done in {seconds:.0f} s: {os.path.relpath(output)}", flush=True)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    main()
