"""The site: executed chapters and prose, rendered by Jupyter Book into one folder of pages.

Run as a command: ``python -m rnnatomy.report.site --help``.
"""

import argparse
import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import yaml

from rnnatomy.report import accessible, cards, light, lines, pages, parameters, tables
from rnnatomy.store import checkout, commands, disk, scratch


class SiteError(RuntimeError):
    """The site cannot be built; the message says why, and the site of before still stands."""


def build_site(executed: Path, site: Path, strict: bool = False) -> None:
    """Render the book into a site; the old site stands until the new one is whole.

    Args:
        executed: folder with the executed chapters.
        site: folder of the site.
        strict: whether a warning stops the build.

    Raises:
        SiteError: if a chapter is missing or holds an error, the rendering fails, another build
            of this site is running, or what is there is no site.
    """
    build = checkout.root() / "build"
    build.mkdir(exist_ok=True)
    site.parent.mkdir(parents=True, exist_ok=True)
    with _alone(build / f".{site.name}.lock"):
        scratch.restore(site, build / f".old-{site.name}")
        check_place(site)
        staged = _stage(executed, build / f"staged-{site.name}")
        html = _render(staged, build / f"{site.name}.log", strict)
        scratch.replace(site, html, build / f".old-{site.name}")


def build_page(executed: Path, title: str, site: Path) -> None:
    """Render one executed chapter into a site of its own; the old site stands until it is whole.

    Code is left to the notebook. What is said of other chapters stays as words: they are not there.

    Args:
        executed: the notebook.
        title: of the page.
        site: folder of the site.

    Raises:
        SiteError: as ``build_site``.
    """
    site.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(site.parent) as aside:
        check_place(site)
        staged = _stage_page(executed, title, aside / "staged")
        html = _render(staged, None, strict=True)
        shutil.rmtree(html / "_sources", ignore_errors=True)
        (html / "_static" / "preview.png").unlink(missing_ok=True)  # the book's, not this page's
        scratch.replace(site, html, aside / "old")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold a file, and refuse if another process holds it; it is let go of when that one ends."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SiteError(
                "another build of this site is running: wait until it has ended, and try again."
            ) from None
        yield


def _stage(executed: Path, staged: Path) -> Path:
    """Lay out what is rendered: the executed chapters, and all of the book beside them."""
    shutil.rmtree(staged, ignore_errors=True)
    shutil.copytree(
        parameters.book(), staged, ignore=shutil.ignore_patterns("*.ipynb", "*.toml", ".*")
    )
    for chapter in parameters.notebooks():
        notebook = pages.left_out(_read(_without_errors(executed / f"{chapter}.ipynb")))
        (staged / f"{chapter}.ipynb").write_text(nbformat.writes(notebook), "utf8")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(checkout.root() / name, staged)
    changes = checkout.root() / "CHANGELOG.md"
    if changes.is_file():
        (staged / "CHANGELOG.txt").write_text(linked(changes.read_text("utf8")), "utf8")
    return staged


def _stage_page(executed: Path, title: str, staged: Path) -> Path:
    """Lay out one chapter as a book of one page."""
    notebook = alone(_read(_without_errors(executed)), title, published_at())
    staged.mkdir(parents=True)
    for name in ("_static", "_templates", "references.bib"):
        source = parameters.book() / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, staged / name)
    (staged / "_config.yml").write_text(_settings_of_page(), "utf8")
    (staged / "_toc.yml").write_text("format: jb-book\nroot: index\n")
    (staged / "index.ipynb").write_text(nbformat.writes(notebook), "utf8")
    return staged


def linked(changes: str) -> str:
    """Let a list of changes lead to the pages whose titles it names, in asterisks.

    Args:
        changes: in Markdown.
    """
    names = [*parameters.notebooks(), *(path.stem for path in parameters.book().glob("*.md"))]
    known = {_title(name): name for name in names}

    def link(match: re.Match[str]) -> str:
        return f"{{doc}}`{known[match[1]]}`" if match[1] in known else match[0]

    return re.sub(r"\*([^*\n]+)\*", link, changes)


def settings() -> dict[str, Any]:
    """Return what ``_config.yml`` says.

    Raises:
        SiteError: if it cannot be read.
    """
    path = checkout.root() / "_config.yml"
    try:
        found = yaml.safe_load(path.read_text("utf8")) or {}
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SiteError(
            f"{path} is no YAML ({' '.join(str(error).split())}): correct it."
        ) from error
    if not isinstance(found, dict):
        raise SiteError(f"{path} holds no settings: restore it.")
    return found


def published_at() -> str:
    """Return the address of the published book, with a slash at its end; "" if it has none."""
    base = str((settings().get("html") or {}).get("baseurl") or "")
    return base and base.rstrip("/") + "/"


def _settings_of_page() -> str:
    """Settings of the book, without what only pages of the book have: addresses and previews."""
    found = settings()
    for group, name in ("html", "baseurl"), ("repository", "url"):
        found[group] = (found.get(group) or {}) | {name: ""}
    sphinx = found.get("sphinx") or {}
    found["sphinx"] = sphinx | {
        "config": (sphinx.get("config") or {}) | {"preview_pictures": False}
    }
    return yaml.safe_dump(found, sort_keys=False)


def alone(notebook: nbformat.NotebookNode, title: str, address: str = "") -> nbformat.NotebookNode:
    """Return a chapter that stands without the book.

    Cells with the tag "book-only" are left out, those of what does not hold, and all code. Links to
    other chapters and to terms lead to the published book; where there is none, they become words.

    Args:
        notebook: executed.
        title: in place of the chapter's.
        address: of the published book; "" for none.
    """
    cells = [c for c in notebook.cells if "book-only" not in parameters.tags(c)]
    kept = pages.left_out(nbformat.from_dict({**notebook, "cells": cells}))
    words = "\n".join(cell.source for cell in kept.cells)
    labels = {*re.findall(r"^\((.+?)\)=$", words, re.M)}

    def say(match: re.Match[str]) -> str:
        role, shown, target = match["role"], match["shown"], match["target"] or match["shown"]
        if role == "ref" and target in labels:
            return match[0]
        place = _place(role, target.strip()) if address else ""
        if role == "doc" and not match["target"]:
            shown = _title(target)
            return f"[{shown}]({address}{place})" if place else f"*{shown}*"
        return f"[{shown.strip()}]({address}{place})" if place else shown.strip()

    role = r"\{(?P<role>doc|term|ref)\}`(?P<shown>[^`<]+)(?:<(?P<target>[^`>]+)>)?`"
    for cell in kept.cells:
        if cell.cell_type == "markdown":
            cell.source = re.sub(role, say, cell.source)
        else:
            cell.metadata["tags"] = list(dict.fromkeys([*parameters.tags(cell), "remove-input"]))
    kept.cells[0].source = f"# {tables.plain(title)}"
    return kept


def _place(role: str, target: str) -> str:
    """Where in the book a reference leads, seen from its address; "" if that is not known."""
    if role == "term":
        return f"glossary.html#term-{re.sub(r'[^A-Za-z0-9]+', '-', target)}"
    if role == "doc":
        return f"{target}.html"
    names = [*parameters.notebooks(), *(path.stem for path in parameters.book().glob("*.md"))]
    found = [name for name in names if f"({target})=" in _words(name).splitlines()]
    return f"{found[0]}.html#{target.lower()}" if found else ""


def _title(chapter: str) -> str:
    """Return the title of a chapter or page of the book."""
    heads = [line for line in _words(chapter).splitlines() if line.startswith("# ")]
    return heads[0].removeprefix("# ") if heads else chapter


def _words(chapter: str) -> str:
    """Return the prose of a chapter or page of the book."""
    page = parameters.book() / f"{chapter}.md"
    if page.is_file():
        return page.read_text("utf8")
    cells = parameters.read_chapter(chapter).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def _render(staged: Path, log: Path | None, strict: bool) -> Path:
    program = str(Path(sys.executable).with_name("jupyter-book"))
    words = [program, "build", str(staged), "--all", "-n", "--keep-going"]
    words += ["-W"] if strict else []
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if log is not None:
        log.write_text(done.stdout)
    html = staged / "_build" / "html"
    if done.returncode or not (html / "index.html").is_file():
        said = [line for line in done.stdout.splitlines() if "WARNING" in line or "ERROR" in line]
        where = "" if log is None else f"; the log is {log}"
        raise SiteError("\n".join([f"the site was not built{where}", *said[:20]]))
    accessible.mend(html)
    lines.keep_together(html)
    cards.shown(html)
    light.lighten(html)
    return html


def check_place(site: Path) -> None:
    """Refuse to take the place of anything but a site."""
    empty = not site.exists() or (site.is_dir() and not any(site.iterdir()))
    if not empty and not any((site / name).is_file() for name in ("index.html", "searchindex.js")):
        raise SiteError(f"{site} is there, and is no site: name another folder, or remove it.")


def _without_errors(path: Path) -> Path:
    if not path.is_file():
        raise SiteError(f"{path} is missing: run the chapters first, as make book does.")
    for cell in _read(path).cells:
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            raise SiteError(f"{path} holds an error: a page with an error is not published.")
    return path


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.v4.reads(path.read_text("utf8"))
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise SiteError(f"{path} is no notebook of format 4: run the chapter again.") from error


def save_picture(chapter: Path, stem: Path) -> None:
    """Write the first figure of an executed chapter as two SVG files, for a README.

    Args:
        chapter: the executed notebook.
        stem: such as ``book/images/headline``; gets ``-light.svg`` and ``-dark.svg`` appended.

    Raises:
        SiteError: if the chapter is no notebook, or shows no figure.
    """
    outputs = [
        output["data"].get("text/html", "")
        for cell in _read(chapter).cells
        for output in cell.get("outputs", [])
        if "data" in output
    ]
    found = next((page for page in outputs if "<svg" in page), None)
    if found is None:
        raise SiteError(f"{chapter} shows no figure: run the chapter again.")
    svg = found[found.index("<svg") : found.rindex("</svg>") + 6]
    for theme, ink in {"light": "#1f2328", "dark": "#e6edf3"}.items():
        path = stem.with_name(f"{stem.name}-{theme}.svg")
        disk.write(path, svg.replace("currentColor", ink).encode())


def main() -> None:
    """Build a site, or write a picture."""
    errors = (SiteError, checkout.CheckoutError, disk.StoreError, parameters.ParameterError)
    commands.run(_main, errors, "the site of before stands; the same command begins again.")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.report.site", description=__doc__)
    subcommands = parser.add_subparsers(dest="command", required=True)
    build = subcommands.add_parser("build", help="render the executed chapters into a site")
    build.add_argument("executed", type=Path)
    build.add_argument("site", type=Path)
    build.add_argument("--strict", action="store_true", help="stop at a warning")
    picture = subcommands.add_parser("picture", help="write a chapter's first figure as SVG files")
    picture.add_argument("chapter", type=Path)
    picture.add_argument("stem", type=Path)
    options = parser.parse_args()
    if options.command == "picture":
        return save_picture(options.chapter, options.stem)
    build_site(options.executed.resolve(), options.site.resolve(), options.strict)
    print("Chapters:")
    for chapter, seconds in pages.durations(options.executed).items():
        print(f"  {chapter:16s} {seconds:5.0f} s")


if __name__ == "__main__":
    main()
