"""Parameters of chapters: what each declares, and what is refused before anything runs.

The comment behind each line of a chapter's parameters cell says what is allowed, and is enforced:

    rank = 3             # int 0..10: directions that are kept
    share = 0.9          # float 0..1: of the energy
    dataset = "auto"     # one of auto, mnist, digits: what is shown
    run = "mnist-0"      # run: whose readout is taken apart; it holds a Classifier
    run = "vae-0"        # run VAE: whose decoder is taken apart; another model is named
    network = "model.pt" # file: its weights; a path, relative to the folder of the book's checkout
    before = ""          # file or nothing: its weights before training
    along = ""           # folder or nothing: its checkpoints
    readout = ""         # text or nothing: name of its last layer
"""

import ast
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

from rnnatomy.store import checkout, disk

LONGEST = 200
"""Letters of a parameter that is text."""


class ParameterError(ValueError):
    """A chapter was given a parameter that it does not have, or a value that is not allowed."""


class Parameter(NamedTuple):
    """One line of a chapter's parameters cell.

    Attributes:
        name: of the variable.
        default: its value in the published run.
        allowed: "int 0..10", "float 0..1", "one of a, b", "run", "run VAE", "file" or "folder",
            and either of these "or nothing", or "text or nothing".
        meaning: in words.
    """

    name: str
    default: Any
    allowed: str
    meaning: str

    @property
    def choices(self) -> list[str]:
        """The words that are allowed, if it is "one of" some."""
        kind, _, rest = self.allowed.partition("one of ")
        return [] if kind else [choice.strip() for choice in rest.split(",") if choice.strip()]


def book() -> Path:
    """Return the folder of the chapters.

    Raises:
        checkout.CheckoutError: if the library was installed without the book.
    """
    return checkout.root() / "book"


def notebooks() -> list[str]:
    """Return the names of the chapters that run, in the reading order of ``_toc.yml``.

    Raises:
        ParameterError: if that file is no table of contents.
    """
    path = checkout.root() / "_toc.yml"
    try:
        contents = yaml.safe_load(path.read_text())
        files = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
        names = [contents["root"], *files]
    except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterError(
            f"{path} is no table of contents ({' '.join(str(error).split())}): restore it."
        ) from error
    return [name for name in names if (book() / f"{name}.ipynb").is_file()]


def parameters(chapter: str) -> dict[str, Parameter]:
    """Read the parameters that a chapter declares.

    Raises:
        ParameterError: if there is no such chapter.
    """
    cells = [c for c in read_chapter(chapter).cells if "parameters" in tags(c)]
    lines = cells[0].source.splitlines() if cells else []
    return {p.name: p for p in map(_parse, lines)}


def settings(chapter: str) -> dict[str, Any]:
    """Read what a chapter's metadata says about how it is run.

    Returns:
        quick: values of its parameters in a quick run. reads: results that its code does not name.
        last: whether it reports on the other chapters, and so runs when they have run.

    Raises:
        ParameterError: if there is no such chapter.
    """
    return read_chapter(chapter).metadata.get("rnnatomy", {})


def read_chapter(chapter: str) -> nbformat.NotebookNode:
    """Read a chapter's source, which is not to be changed: others may be given the same.

    Raises:
        ParameterError: if there is no such chapter, or it is no notebook.
    """
    known = sorted(path.stem for path in book().glob("*.ipynb"))
    if chapter not in known:
        near = _nearest(chapter, known)
        raise ParameterError(
            f"chapter {disk.brief(chapter)} does not exist{near}: choose from {_list(known)}."
        )
    path = book() / f"{chapter}.ipynb"
    try:
        return _parse_notebook(path.read_text("utf8"))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ParameterError(f"{path} is no notebook of format 4: restore it.") from error


@cache
def _parse_notebook(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.reads(text)


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
                f"chapter {chapter!r} has no parameter {disk.brief(name)}{near}: "
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
    kind, _, rest = parameter.allowed.partition(" ")
    if kind == "run":
        return _check_run(parameter.name, value, rest or "Classifier")
    if kind in ("file", "folder"):
        return _check_path(parameter.name, value, kind, needed=not rest)
    if kind == "text":
        return _check_text(parameter.name, value)
    if kind == "one":
        return _check_choice(parameter.name, value, parameter.choices)
    _check_number(parameter.name, value, kind, rest)


def _check_run(name: str, value: Any, model: str) -> None:
    from rnnatomy.networks import runs  # JAX, which only who gives a run has to wait for

    if not isinstance(value, str):
        raise ParameterError(f"{name} is {disk.brief(value)}: give the name or the path of a run.")
    try:
        runs.load_run(value, model)
    except disk.StoreError as error:
        raise ParameterError(f"{name}: {error}".replace(repr(value), disk.brief(value))) from None


def path(value: str) -> Path | None:
    """Return the path that a parameter of kind "file" or "folder" gives; None if it is empty."""
    return checkout.root() / value if value else None


def _check_path(name: str, value: Any, kind: str, *, needed: bool) -> None:
    if value == "" and not needed:
        return
    known = isinstance(value, str) and value and "\0" not in value
    place = checkout.root() / value if known else None
    if place is None or not (disk.stands(place) if kind == "file" else _is_folder(place)):
        raise ParameterError(
            f"{name} is {disk.brief(value)}: give the path of a {kind}, from "
            f"{disk.brief(str(checkout.root()))} or from the root."
        )


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise ParameterError(
            f"{name} is {disk.brief(value)}: give up to {LONGEST} letters on one line, or nothing."
        )


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:
        return False


def _check_choice(name: str, value: Any, choices: list[str]) -> None:
    if value not in choices:
        raise ParameterError(f"{name} is {disk.brief(value)}: choose from {_list(choices)}.")


def _check_number(name: str, value: Any, kind: str, bounds: str) -> None:
    low, _, high = bounds.partition("..")
    numbers = (int,) if kind == "int" else (int, float)
    right = isinstance(value, numbers) and not isinstance(value, bool)
    if not right or not float(low) <= value <= float(high):
        word = "a whole number" if kind == "int" else "a number"
        raise ParameterError(f"{name} is {disk.brief(value)}: give {word} from {low} to {high}.")


def _nearest(name: str, known: Any) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _list(names: Any) -> str:
    return ", ".join(names) or "none"


def tags(cell: nbformat.NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    return cell.metadata.get("tags", [])
