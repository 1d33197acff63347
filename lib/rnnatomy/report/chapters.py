"""Running chapters with papermill, and saying what each is made from.

Run as a command: ``python -m rnnatomy.report.chapters --help``.
"""

import argparse
import ast
import hashlib
import logging
import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from rnnatomy.report import dependencies, kernels, parameters
from rnnatomy.store import checkout, commands, disk, scratch


class ChapterError(Exception):
    """A chapter did not run to its end; the message says why, and its earlier output stands."""


ERRORS = (
    ChapterError,
    checkout.CheckoutError,
    dependencies.DependencyError,
    disk.StoreError,
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
        ChapterError: if a cell fails, or the kernel does not start, or dies; before anything runs,
            if a folder has the name of the output, or a file that of its folder.
    """
    source = parameters.read_chapter(chapter)
    values = (parameters.settings(chapter).get("quick", {}) if quick else {}) | dict(given)
    parameters.check_values(chapter, values)
    _check_output(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    progress = _Progress(chapter, len(source.cells) + bool(values))
    with scratch.folder(output.parent) as aside:
        path = aside / output.name
        _execute(chapter, values, path, progress)
        executed = nbformat.read(path, as_version=4)
        for cell in executed.cells:
            if "injected-parameters" in parameters.tags(cell):
                cell.metadata.tags.append("remove-cell")
        disk.write(path, nbformat.writes(executed).encode())
        os.replace(path, output)
    return time.time() - progress.started


def _check_output(output: Path) -> None:
    if output.is_dir():
        raise ChapterError(f"{output} is a folder, where a notebook is to go: move it away.")
    if output.parent.exists() and not output.parent.is_dir():
        raise ChapterError(f"{output.parent} is a file, not a folder: give a folder as --output.")


def _execute(chapter: str, values: Mapping[str, Any], path: Path, progress: "_Progress") -> None:
    """Run all cells in a kernel, which has a folder of its own for all that it writes aside."""
    book = parameters.book()
    parent = Path(tempfile.gettempdir())
    with scratch.folder(parent) as own, kernels.settings(own), _listen(progress):
        import papermill  # IPython, which looks for a folder to write to

        try:
            papermill.execute_notebook(
                str(book / f"{chapter}.ipynb"), str(path), values, cwd=str(book),
                progress_bar=False, log_output=True, stdout_file=progress,
                config=kernels.config(own), extra_arguments=kernels.ARGUMENTS,
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            what = " ".join(str(error.evalue).split())
            raise ChapterError(
                f"{chapter}, cell {error.exec_count}: {error.ename}: {what}"
            ) from error
        except (KeyError, RuntimeError, ValueError) as error:  # of Jupyter, in many ways
            raise ChapterError(
                f"chapter {chapter!r}: its kernel did not start, or died ({error}): run it again."
            ) from error


@contextmanager
def _listen(progress: "_Progress") -> Iterator[None]:
    logger = logging.getLogger("papermill")
    logger.setLevel(logging.INFO)
    logger.addHandler(progress)
    try:
        yield
    finally:
        logger.removeHandler(progress)


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
    """Find out whether MNIST can be had, say so in a sentence, and note it in a file."""
    from rnnatomy.data import datasets, files

    try:
        data = datasets.mnist()
        print(f"Data: MNIST, from {data.source}.")
        found = f"mnist {data.checksum}"
    except files.DataUnavailable as error:
        print(f"Data: {error}")
        print("Instead, the training chapter trains on the digits embedded in scikit-learn; "
              "all other chapters read the published MNIST networks.")  # fmt: skip
        found = "digits"
    dependencies.note(path, found)


def find_motion(path: Path) -> None:
    """Find out whether motion capture can be had, say so, and note it in a file."""
    from rnnatomy.data import files, mocap

    try:
        sequences = mocap.sequences(mocap.ACTIONS)
        print(f"Data: CMU motion capture, {len(sequences)} sequences.")
        digest = hashlib.sha256()
        for sequence in sequences:
            digest.update(sequence.name.encode() + sequence.frames.tobytes())
        found = f"motion {digest.hexdigest()}"
    except files.DataUnavailable as error:
        print(f"Data: {error}")
        print("Instead, the chapter on people shows what is published.")
        found = "published"
    dependencies.note(path, found)


def main() -> None:
    """Run one of the commands: data, motion, run, depends."""
    commands.run(_main, ERRORS, "the earlier output stands; the same command begins again.")


def _main() -> None:
    options = _read(None)
    if options.command == "run" and options.words:
        try:
            words = shlex.split(options.words)
        except ValueError as error:
            raise ChapterError(
                f"{disk.brief(options.words)} cannot be split into words ({error}): correct it."
            ) from error
        options = _read(["run", *words, "--", options.chapter])
    options.call(options)


def _read(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.report.chapters", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    for name, find in ("data", find_data), ("motion", find_motion):
        data = subcommands.add_parser(name, help=find.__doc__)
        data.set_defaults(call=_command_data, find=find)
        data.add_argument("file", type=Path)
    run = subcommands.add_parser("run", help="run one chapter")
    run.set_defaults(call=_command_run)
    run.add_argument("chapter")
    run.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    run.add_argument("--quick", action="store_true", help="with the chapter's quick parameters")
    run.add_argument("--data", type=_path, help="file that notes which data there are")
    run.add_argument("--output", type=_path, help="folder of the executed chapter")
    run.add_argument("--words", help="these options as one text, taken apart as a shell does")
    depends = subcommands.add_parser("depends", help="list what chapters are made from, for make")
    depends.set_defaults(call=_command_depends)
    depends.add_argument("file", type=Path, nargs="?", help="of the rules, if not printed")
    depends.add_argument("--output", type=Path, help="folder of the executed chapters, if not both")
    depends.add_argument("--quick", action="store_true", help="run with quick parameters")
    return parser.parse_args(words)


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))


def _command_data(options: argparse.Namespace) -> None:
    from rnnatomy.data import files

    try:
        options.find(options.file)
    except files.DataError as error:
        raise ChapterError(str(error)) from error


def _command_run(options: argparse.Namespace) -> None:
    given = {name: _value(text) for name, text in options.p}
    noted = {"dataset": _noted(options.data)} if options.data else {}
    if "dataset" in parameters.parameters(options.chapter):
        given = noted | given
    folder = options.output or checkout.root() / "build" / "again"
    output = folder / f"{options.chapter}.ipynb"
    seconds = run_chapter(options.chapter, given, output, options.quick)
    print(f"[{options.chapter}] done in {seconds:.0f} s: {os.path.relpath(output)}", flush=True)


def _noted(path: Path) -> str:
    """Read which data there are out of the file that ``find_data`` wrote."""
    try:
        return path.read_text().split()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        reason = getattr(error, "strerror", None) or "it holds no word"
        raise ChapterError(
            f"--data {disk.brief(str(path), 200)} cannot be read ({reason}): give the file that "
            "the command data writes."
        ) from error


def _command_depends(options: argparse.Namespace) -> None:
    build = checkout.root() / "build"
    both = {build / "chapters": False, build / "quick": True}
    folders = {options.output: options.quick} if options.output else both
    for path, text in dependencies.inputs(folders).items():
        dependencies.note(path, text)
    if options.file:
        dependencies.note(options.file, dependencies.rules(folders))
    else:
        print(dependencies.rules(folders), end="")


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (MemoryError, RecursionError, SyntaxError, ValueError):
        return text


if __name__ == "__main__":
    main()
