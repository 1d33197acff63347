"""What a job is known by: a hash of everything that goes in.

That is its settings and inputs, the code that it reaches, the packages that compute, the kind of
device and what the compiler is told. A comment, a docstring, the wording of an error, or a
definition that the job does not reach changes nothing.
"""

import ast
import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "scipy", "scikit-learn")
"""Packages whose versions may change a result."""

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"
"""What makes XLA compute with one thread, as all jobs do."""

Place = tuple[str, str]
"""A definition: its module, and its name there; "" for the whole module."""


class Source(NamedTuple):
    """The statements of a module.

    Attributes:
        definitions: statements at its top level that define a name, by name.
        modules: names of modules that it imports, by the name that it gives them.
        names: places of single definitions that it imports, by the name that it gives them.
        rest: further statements at its top level, which run whatever is taken from it.
    """

    definitions: dict[str, list[ast.stmt]]
    modules: dict[str, str]
    names: dict[str, Place]
    rest: list[ast.stmt]


def versions() -> dict[str, str]:
    """Return the versions of Python and of ``PACKAGES``."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"python": python} | {name: version(name) for name in PACKAGES}


def flags() -> list[str]:
    """Return what XLA is told by the environment, but how many threads it has."""
    given = os.environ.get("XLA_FLAGS", "").split()
    return sorted(set(given) - {ONE_THREAD})


def fingerprint(value: Any) -> str:
    """Hash a value by its content: numbers, words, arrays, and lists, tables and tuples of these.

    Lists and tuples are the same, as in a file; so are a named tuple and a table of its fields. A
    value with an attribute ``digest`` is known by it.

    Raises:
        TypeError: for a value of another kind.
    """
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


@cache
def code(function: Callable[..., Any]) -> str:
    """Hash the code that a function may reach: its own, and all of the same project behind it.

    Definitions are followed by name, through modules that are imported as modules. What is found by
    name only when it runs, as in a table, is reached where the table is.

    Args:
        function: defined at the top level of a module.
    """
    project = {function.__module__.partition(".")[0], __name__.partition(".")[0]}
    found: dict[Place, str] = {}
    waiting: list[Place] = [(function.__module__, function.__qualname__)]
    while waiting:
        place = waiting.pop()
        if place not in found and place[0].partition(".")[0] in project:
            statements, source = _statements(place)
            found[place] = "\n".join(map(_bare, statements))
            waiting += [reached for one in statements for reached in _reached(one, place, source)]
    return fingerprint([[*place, text] for place, text in sorted(found.items())])


@cache
def sources() -> dict[str, str]:
    """Read the modules of this library, once for each process: what is edited later does not count.

    Returns:
        Their text, by path.
    """
    folder = Path(__file__).parents[2]
    return {str(path): path.read_text() for path in folder.rglob("*.py")}


def _parts(value: Any) -> Iterator[bytes]:
    """Encode a value, so that different ones never read the same."""
    if hasattr(value, "digest"):
        yield f"digest:{value.digest};".encode()
    elif isinstance(value, np.generic) and value.dtype.kind in "biuf":
        yield from _parts(value.item())
    elif value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        yield f"{type(value).__name__}:{len(text)}:{text};".encode()
    elif isinstance(value, Mapping) or hasattr(value, "_asdict"):
        table = value if isinstance(value, Mapping) else value._asdict()
        yield f"table:{len(table)};".encode()
        for name in sorted(table):
            yield from _parts(name)
            yield from _parts(table[name])
    elif isinstance(value, Sequence):
        yield f"list:{len(value)};".encode()
        for one in value:
            yield from _parts(one)
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
        yield f"array:{array.dtype.str}:{array.shape};".encode()
        yield np.ascontiguousarray(array).tobytes()
    else:
        kind = type(value).__name__
        raise TypeError(f"a {kind} has no fingerprint: give numbers, words, arrays or tables.")


@cache
def _source(module: str) -> Source:
    """Read the statements of a module, which need not have been imported."""
    spec = _spec(module)
    if spec is None or spec.origin is None:
        return Source({}, {}, {}, [])
    text = sources().get(spec.origin)
    tree = ast.parse(Path(spec.origin).read_text() if text is None else text)
    found = Source({}, {}, {}, [])
    for statement in tree.body:
        names = list(_defined(statement))
        for name in names:
            found.definitions.setdefault(name, []).append(statement)
        if not names and not isinstance(statement, ast.Import | ast.ImportFrom):
            found.rest.append(statement)
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.modules.update({a.asname or a.name: a.name for a in node.names})
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                whole, own = f"{base}.{alias.name}", alias.asname or alias.name
                if _spec(whole) is None:
                    found.names[own] = base, alias.name
                else:
                    found.modules[own] = whole
    return found


@cache
def _spec(module: str) -> ModuleSpec | None:
    """Find a module, whether it was imported or not; None: there is none of that name."""
    try:
        return find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return None


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for t in targets for node in ast.walk(t) if isinstance(node, ast.Name))


def _statements(place: Place) -> tuple[list[ast.stmt], Source]:
    """Return the statements that a place stands for: a definition with all that runs beside it."""
    module, name = place
    source = _source(module)
    if name in source.names or name in source.modules:  # handed on from elsewhere
        return [ast.Expr(ast.Name(name, ast.Load()))], source
    own = source.definitions.get(name.partition(".")[0])
    every = [one for several in source.definitions.values() for one in several]
    return (every if own is None else own) + source.rest, source


def _reached(statement: ast.stmt, place: Place, source: Source) -> Iterator[Place]:
    """Give the places that a statement names, in its own module and in others."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id in source.modules:
                yield source.modules[node.value.id], node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in source.definitions:
                yield place[0], node.id
            elif node.id in source.names:
                yield source.names[node.id]


def _bare(statement: ast.stmt) -> str:
    """Write a statement without what changes no result: docstrings and the wording of errors."""
    tree = ast.parse(ast.unparse(ast.fix_missing_locations(statement)))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [one for one in body if not _is_words(one)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
        if isinstance(node, ast.Raise):
            node.exc, node.cause = None, None
    return ast.dump(tree)


def _is_words(statement: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(
        getattr(statement.value, "value", None), str
    )
