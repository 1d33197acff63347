"""What a chapter is made from: its source, the library behind its imports, results and drawings.

All of it is read off the sources; nothing is imported or run. A chapter is run again when one of
these files changes, and only then. What counts is the content of a file, not its time: each chapter
has a list of its files with their sha256, and make runs it again when that list has changed.

Results are found where a chapter names them:

    results.load_study("hundred")   runs.load_run("mnist-0")   runs.published("mnist-")

and in its parameters of kind ``run``. What it reads beyond is listed in its metadata, as names of
folders in ``results/``: ``{"rnnatomy": {"reads": ["*"]}}``. The library itself names results only
where studies are made, which no chapter does. A chapter that reports on the other chapters says
``{"rnnatomy": {"last": true}}``.

Data are not hashed here. A chapter that imports what reads them, and has no parameter that asks for
other than "auto", depends on a file that says which data there are (``chapters.find_data``).
"""

import ast
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any

from rnnatomy.report import parameters
from rnnatomy.store import checkout, disk

DATA = {"rnnatomy.data.datasets": "data", "rnnatomy.data.mocap": "motion"}
"""Modules that read data, and the file in ``build/`` that says which of these data there are."""


MANIFESTS = {"load_study": "study.json", "load_run": "run.json", "published": "*.json"}
"""Functions that load results by name, and the file that what they load has."""


class DependencyError(ValueError):
    """A chapter names something that is not there, or in a way that cannot be read off."""


def rules(folders: Mapping[Path, bool]) -> str:
    """Write what executed chapters are made from as rules of a Makefile.

    Args:
        folders: where executed chapters go, and whether they are run with quick parameters.

    Returns:
        The variable ``CHAPTERS``, all chapters in reading order; and a rule without a recipe for
        each executed chapter: it is made from its list of ``inputs``.

    Raises:
        DependencyError: if a chapter has a name that make would take apart.
    """
    chapters = parameters.notebooks()
    for name in chapters:
        if not re.fullmatch(r"[\w-]+", name, re.ASCII):
            raise DependencyError(
                f"chapter {name!r} cannot be named so: choose letters, digits, - and _."
            )
    last = [name for name in chapters if parameters.settings(name).get("last")]
    lines = [f"CHAPTERS := {' '.join(chapters)}"]
    for folder, quick in folders.items():
        others = [folder / f"{name}.ipynb" for name in chapters if name not in last]
        for name in chapters:
            wanted = [_list_of(folder, name), *data(name, quick)]
            wanted += others if name in last else []
            lines.append(f"{os.path.relpath(folder / name)}.ipynb: {_words(wanted)}")
    return "\n".join([*lines, ""])


def inputs(folders: Mapping[Path, bool]) -> dict[Path, str]:
    """List the files that executed chapters, and the pages around them, are made from.

    Args:
        folders: where executed chapters go, and whether they are run with quick parameters.

    Returns:
        By the path where the list is kept, such as ``build/quick/.gates.inputs``, or for the pages
        ``build/quick/.inputs``: one line for each file, with its sha256 and its path.

    Raises:
        DependencyError: as ``depends``.
    """
    contents = {path: path.read_bytes() for path in _library_files()}
    found = {}
    for folder, quick in folders.items():
        for name in parameters.notebooks():
            found[_list_of(folder, name)] = _depends(name, quick, contents)
        found[_list_of(folder, "")] = _pages(contents)
    files = sorted({path for paths in found.values() for path in [*paths, *_pinned()]})
    lines = {path: _line(path) for path in files}
    return {
        path: "".join(lines[file] for file in [*paths, *_pinned()]) for path, paths in found.items()
    }


def note(path: Path, text: str) -> None:
    """Write a file if it holds anything else, so that its time is that of the last change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != text.encode():
        disk.write(path, text.encode())


def depends(chapter: str, quick: bool = False) -> list[Path]:
    """Return the files that a chapter is made from, itself first.

    Args:
        chapter: its name.
        quick: whether its quick parameters replace its defaults.

    Raises:
        ParameterError: if there is no such chapter.
        DependencyError: if it reads a result or shows a drawing that is not there, or one whose
            name is not written out.
    """
    return _depends(chapter, quick, {path: path.read_bytes() for path in _library_files()})


def _depends(chapter: str, quick: bool, contents: Mapping[Path, bytes]) -> list[Path]:
    nodes = list(_nodes(chapter))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    files = {*_library(_imported(nodes, ""), contents), *_drawings(chapter, calls)}
    for folder in _results(chapter, calls, quick):
        files |= {path for path in _all_files(folder) if not path.name.startswith(".")}
    own = [parameters.book() / f"{chapter}.ipynb"]
    if parameters.settings(chapter).get("last"):
        own.append(checkout.root() / "_toc.yml")
    return [*own, *sorted(files)]


def data(chapter: str, quick: bool = False) -> list[Path]:
    """Return the files that say which of the data that a chapter looks for there are.

    Args:
        chapter: its name.
        quick: whether its quick parameters replace its defaults.
    """
    imported = [DATA[name] for name in _imported(_nodes(chapter), "") if name in DATA]
    declared, values = parameters.parameters(chapter), _values(chapter, quick)
    choosing = [name for name, one in declared.items() if "auto" in one.choices]
    looks = not choosing or any(values[name] == "auto" for name in choosing)
    return [checkout.root() / "build" / name for name in dict.fromkeys(imported) if looks]


def _pages(contents: Mapping[Path, bytes]) -> list[Path]:
    """Return the files that a site is made from, besides the executed chapters.

    Of the library these are what builds it, the extensions of its settings, and what both import of
    the same room.
    """
    folder = parameters.book()
    hidden = {".ipynb", ".toml"}
    prose = [
        path for path in _all_files(folder)
        if path.suffix not in hidden
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]  # fmt: skip
    root = checkout.root()
    whole = [root / name for name in ("_config.yml", "_toc.yml", "CHANGELOG.md", "pyproject.toml")]
    whole = [path for path in whole if path.is_file()]
    settings = "".join(path.read_text("utf8") for path in whole if path.suffix == ".yml")
    named = re.findall(r"^ *- (rnnatomy\.[\w.]+)", settings, re.MULTILINE)
    room = root / "lib" / "rnnatomy" / "report"
    known = {path: content for path, content in contents.items() if path.is_relative_to(room)}
    makers = _library(["rnnatomy.report.site", *named], known)
    return [*whole, *sorted(makers), *sorted(prose)]


def _library(names: Iterable[str], contents: Mapping[Path, bytes]) -> set[Path]:
    """Return the files of this library that some imports need, and those that these import."""
    root = checkout.root() / "lib"
    found: set[Path] = set()
    waiting = list(names)
    while waiting:
        for path in _files(waiting.pop(), root):
            if path in contents and path not in found:
                found.add(path)
                package = ".".join(path.relative_to(root).parent.parts)
                waiting += _imports_of(contents[path], package)
    return found


@cache
def _files(name: str, root: Path) -> list[Path]:
    """Where a module and the packages it lies in may be; the last word may be a name within one."""
    words = name.split(".")
    places = [root.joinpath(*words[: count + 1]) for count in range(len(words))]
    return [path for place in places for path in (place / "__init__.py", place.with_suffix(".py"))]


@cache
def _imports_of(content: bytes, package: str) -> list[str]:
    """Names that a module imports, wherever it does: a statement lies in a body of another."""
    try:
        nodes: list[ast.AST] = [ast.parse(content)]
    except SyntaxError:
        return []  # the chapter that imports it says so
    for node in nodes:
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, [])
            nodes += below if isinstance(below, list) else []
    return list(_imported(nodes, package))


def _imported(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _nodes(chapter: str) -> Iterator[ast.AST]:
    for number, cell in enumerate(parameters.read_chapter(chapter).cells, start=1):
        if cell.cell_type == "code":
            try:
                yield from _nodes_of(cell.source)
            except SyntaxError as error:
                raise DependencyError(
                    f"chapter {chapter!r}, cell {number} is not plain Python ({error.msg}, line "
                    f"{error.lineno}): correct it, or take out what only notebooks know."
                ) from None


@cache
def _nodes_of(source: str) -> list[ast.AST]:
    """Imports and calls of a cell, wherever they are."""
    kinds = ast.Import, ast.ImportFrom, ast.Call
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]


def _drawings(chapter: str, calls: list[ast.Call]) -> Iterator[Path]:
    folder = parameters.book() / "images"
    for call in calls:
        if _name(call) == "show_drawing":
            name = _literal(call)
            if name is None:
                raise _unwritten(chapter, call, "write it out")
            if not (folder / name).is_file():
                known = sorted(path.name for path in folder.iterdir())
                raise _missing(chapter, f"shows drawing {name!r}", "book/images", name, known)
            yield folder / name


def _results(chapter: str, calls: list[ast.Call], quick: bool) -> Iterator[Path]:
    """Folders of the results that a chapter names: in its parameters, its metadata, its code."""
    runs, listed = _runs(chapter, quick), parameters.settings(chapter).get("reads")
    if not (listed is None or isinstance(listed, list)):
        raise DependencyError(
            f"chapter {chapter!r} lists {listed!r} as what it reads: give a list of names of "
            "folders in results/."
        )
    for name in runs:
        yield from _published(chapter, "run.json", name)
    for name in listed or []:
        yield from _published(chapter, "*.json", name)
    some_run = bool(runs) or any(_name(call) == "published" for call in calls)
    for call in calls:
        manifest, named = MANIFESTS.get(_name(call)), _literal(call)
        if manifest and named is not None:
            wanted = f"{named}*" if _name(call) == "published" else named
            yield from _published(chapter, manifest, wanted)
        elif manifest and listed is None and not (some_run and _name(call) == "load_run"):
            raise _unwritten(
                chapter, call, "write it out, or list it in the notebook's metadata, rnnatomy.reads"
            )


def _published(chapter: str, manifest: str, name: str) -> Iterator[Path]:
    known = {path.parent for path in (checkout.root() / "results").glob(f"*/{manifest}")}
    found = [folder for folder in known if fnmatchcase(folder.name, name)]
    if not found:
        names = sorted(folder.name for folder in known)
        what = {"study.json": "study", "run.json": "run"}.get(manifest, "results")
        raise _missing(chapter, f"reads {what} {name!r}", "results/", name, names)
    yield from found


def _runs(chapter: str, quick: bool) -> list[str]:
    declared, values = parameters.parameters(chapter), _values(chapter, quick)
    return [values[name] for name, one in declared.items() if one.allowed.split()[:1] == ["run"]]


def _values(chapter: str, quick: bool) -> dict[str, Any]:
    values = {name: one.default for name, one in parameters.parameters(chapter).items()}
    return values | (parameters.settings(chapter).get("quick", {}) if quick else {})


def _missing(chapter: str, what: str, where: str, name: str, known: list[str]) -> DependencyError:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f" (did you mean {near[0]!r}?)" if near else ""
    return DependencyError(
        f"chapter {chapter!r} {what}, which is not in {where}{meant}: choose from "
        f"{', '.join(known) or 'none'}, or add it first."
    )


def _unwritten(chapter: str, call: ast.Call, remedy: str) -> DependencyError:
    return DependencyError(
        f"chapter {chapter!r} gives {ast.unparse(call.func)} a name that is not written out: "
        f"{remedy}."
    )


def _name(call: ast.Call) -> str:
    """Last word of what is called: "load_study" in ``results.load_study``."""
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def _literal(call: ast.Call) -> str | None:
    """The name that a call is given, if it is written out; "" if it is given none."""
    given = [*call.args, *(word.value for word in call.keywords)]
    value = getattr(given[0], "value", None) if given else ""
    return value if isinstance(value, str) else None


def _words(paths: Iterable[Path]) -> str:
    return " ".join(os.path.relpath(path) for path in paths)


def _list_of(folder: Path, name: str) -> Path:
    return folder / f".{name}.inputs" if name else folder / ".inputs"


def _library_files() -> list[Path]:
    return list((checkout.root() / "lib" / "rnnatomy").rglob("*.py"))


def _pinned() -> list[Path]:
    """Files that pin what chapters run with."""
    names = (checkout.root() / f"requirements-{part}.txt" for part in ("library", "book"))
    return [path for path in names if path.is_file()]


def _all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _line(path: Path) -> str:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:  # in the meantime
        digest = "gone"
    return f"{digest}  {os.path.relpath(path, checkout.root())}\n"
