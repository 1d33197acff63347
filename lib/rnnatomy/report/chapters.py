"""Running chapters with papermill, and saying what each is made from.

Run as a command: ``python -m rnnatomy.report.chapters --help``.
"""

import argparse
import ast
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from rnnatomy.data import datasets, files
from rnnatomy.report import dependencies, parameters
from rnnatomy.store import checkout, disk

ERRORS = (
    checkout.CheckoutError,
    dependencies.DependencyError,
    disk.StoreError,
    files.DataError,
    parameters.ParameterError,
)
"""What a command says in one sentence."""


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

    source = parameters.read_chapter(chapter)
    values = (parameters.settings(chapter).get("quick", {}) if quick else {}) | dict(given)
    parameters.check_values(chapter, values)
    book = parameters.book()
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
                str(book / f"{chapter}.ipynb"), str(path), values, cwd=str(book),
                progress_bar=False, log_output=True, stdout_file=progress, config=Config(local),
                extra_arguments=["--log-level=50"],
            )  # fmt: skip
        finally:
            logger.removeHandler(progress)
        executed = nbformat.read(path, as_version=4)
        for cell in executed.cells:
            if "injected-parameters" in parameters.tags(cell):
                cell.metadata.tags.append("remove-cell")
        disk.write(output, nbformat.writes(executed).encode())
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


def find_data(path: Path) -> None:
    """Find out which data there are, say so in a sentence, and note it in a file."""
    try:
        data = datasets.mnist()
        print(f"Data: MNIST, from {data.source}.")
        name = "mnist"
    except files.DataUnavailable as error:
        print(f"Data: {error}")
        print("Instead, the training chapter trains on the digits embedded in scikit-learn; "
              "all other chapters read the published MNIST networks.")  # fmt: skip
        name = "digits"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text() != name:
        path.write_text(name)


def main() -> None:
    """Run one of the commands: data, run, depends."""
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.report.chapters", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    data = commands.add_parser("data", help="find out which data there are, and note it in a file")
    data.add_argument("file", type=Path)
    run = commands.add_parser("run", help="run one chapter")
    run.add_argument("chapter")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--quick", action="store_true", help="with the chapter's quick parameters")
    run.add_argument("--data", type=Path, help="file that notes which data there are")
    run.add_argument("--output", type=Path, help="folder of the executed chapter")
    depends = commands.add_parser("depends", help="write what chapters are made from, for make")
    depends.add_argument("--output", type=Path, help="folder of the executed chapters, if not both")
    depends.add_argument("--quick", action="store_true", help="run with quick parameters")
    options = parser.parse_args()
    run_command = {"data": _command_data, "run": _command_run, "depends": _command_depends}
    try:
        run_command[options.command](options)
    except ERRORS as error:
        sys.exit(f"error: {error}")


def _command_data(options: argparse.Namespace) -> None:
    find_data(options.file)


def _command_run(options: argparse.Namespace) -> None:
    from papermill.exceptions import PapermillExecutionError

    given = {name: _value(text) for name, text in options.p}
    if options.data and "dataset" in parameters.parameters(options.chapter):
        given = {"dataset": options.data.read_text().strip()} | given
    folder = options.output or checkout.root() / "build" / "again"
    output = folder / f"{options.chapter}.ipynb"
    try:
        seconds = run_chapter(options.chapter, given, output, options.quick)
    except PapermillExecutionError as error:
        sys.exit(
            f"error: {options.chapter}, cell {error.exec_count}: {error.ename}: {error.evalue}"
        )
    print(f"[{options.chapter}] done in {seconds:.0f} s: {os.path.relpath(output)}", flush=True)


def _command_depends(options: argparse.Namespace) -> None:
    build = checkout.root() / "build"
    both = {build / "chapters": False, build / "quick": True}
    print(dependencies.rules({options.output: options.quick} if options.output else both), end="")


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    main()
