"""What a chapter is made from: its source, the library behind its imports, results and drawings.

All of it is read off the sources; nothing is imported or run. A chapter is run again when one of
these files changes, and only then. Results are found where a chapter names them:

    results.load_study("hundred")   runs.load_run("mnist-0")   runs.published("mnist-")

and in its parameters of kind ``run``. What it reads beyond is listed in its metadata, as names of
folders in ``results/``: ``{"rnnatomy": {"reads": ["*"]}}``. The library itself names results only
where studies are made, which no chapter does. A chapter that reports on the other chapters says
``{"rnnatomy": {"last": true}}``.
"""

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

from rnnatomy.report import parameters
from rnnatomy.store import checkout

MANIFESTS = {"load_study": "study.json", "load_run": "run.json", "published": "*.json"}
"""Functions that load results by name, and the file that what they load has."""


class DependencyError(ValueError):
    """A chapter names something that is not there, or in a way that cannot be read off."""


def rules(folders: Mapping[Path, bool]) -> str:
    """Write what executed chapters are made from as rules of a Makefile.

    Args:
        folders: where executed chapters go, and whether they are run with quick parameters.

    Returns:
        The variable ``CHAPTERS``, all chapters in reading order; a rule without a recipe for each
        executed chapter; and one for all that they are made from, so that a file which is gone
        stops nothing.

    Raises:
        DependencyError: as ``depends``.
    """
    chapters = parameters.notebooks()
    last = [name for name in chapters if parameters.settings(name).get("last")]
    lines, known = [f"CHAPTERS := {' '.join(chapters)}"], set()
    for folder, quick in folders.items():
        others = [folder / f"{name}.ipynb" for name in chapters if name not in last]
        for name in chapters:
            wanted = depends(name, quick)
            known |= set(wanted)
            wanted += [checkout.root() / "_toc.yml", *others] if name in last else []
            lines.append(f"{os.path.relpath(folder / name)}.ipynb: {_words(wanted)}")
    return "\n".join([*lines, f"{_words(sorted(known))}:", ""])


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
    nodes = [node for tree in _trees(chapter) for node in ast.walk(tree)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    files = {*library(_imported(nodes, "")), *_drawings(chapter, calls)}
    for folder in _results(chapter, calls, quick):
        files |= {path for path in folder.iterdir() if path.is_file()}
    return [parameters.book() / f"{chapter}.ipynb", *sorted(files)]


def library(names: Iterable[str]) -> set[Path]:
    """Return the files of this library that some imports need, and those that these import."""
    found: set[Path] = set()
    waiting = list(names)
    while waiting:
        for path in _files(waiting.pop()):
            if path not in found:
                found.add(path)
                package = ".".join(path.relative_to(checkout.root() / "lib").parent.parts)
                waiting += _imports_of(path.read_text(), package)
    return found


def _files(name: str) -> Iterator[Path]:
    """Files of a module and of the packages it lies in; the last word may be a name within one."""
    words = name.split(".")
    for count in range(1, len(words) + 1):
        place = (checkout.root() / "lib").joinpath(*words[:count])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path


@cache
def _imports_of(text: str, package: str) -> list[str]:
    return list(_imported(ast.walk(ast.parse(text)), package))


def _imported(nodes: Iterable[ast.AST], package: str) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _trees(chapter: str) -> Iterator[ast.Module]:
    for number, cell in enumerate(parameters.read_chapter(chapter).cells, start=1):
        if cell.cell_type == "code":
            try:
                yield ast.parse(cell.source)
            except SyntaxError as error:
                raise DependencyError(
                    f"chapter {chapter!r}, cell {number} is not plain Python ({error.msg}, line "
                    f"{error.lineno}): correct it, or take out what only notebooks know."
                ) from None


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
    declared = parameters.parameters(chapter)
    values = {name: one.default for name, one in declared.items()}
    values |= parameters.settings(chapter).get("quick", {}) if quick else {}
    return [values[name] for name, one in declared.items() if one.allowed.split()[:1] == ["run"]]


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
