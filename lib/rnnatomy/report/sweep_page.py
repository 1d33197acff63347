"""A sweep as a folder: one table of what a chapter glues, as CSV and as a page, and its notebooks.

The page asks nothing of anybody: styles and figures stand in it, and it follows the reader's light
or dark theme.
"""

import ast
import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import nbformat
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rnnatomy.report import accessible, parameters, plots
from rnnatomy.store import disk

TABLE, PAGE = "table.csv", "index.html"

SERIES = 10
"""So many lines a panel has at most."""

_NUMBER = re.compile(r"[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


class Point(NamedTuple):
    """One run of a chapter.

    Attributes:
        given: its parameters.
        values: what it glued, as shown, by name.
        seconds: that it took.
        notebook: as it was executed, as a file has it; empty if the chapter failed.
        error: why it failed, or "".
    """

    given: dict[str, Any]
    values: dict[str, str]
    seconds: float
    notebook: bytes = b""
    error: str = ""


class Sweep(NamedTuple):
    """A chapter, run over a grid of its parameters.

    Attributes:
        chapter: its name.
        grid: values of each parameter.
        points: one for each combination.
        quick: whether the chapter's quick parameters stand beside the grid.
        made: how it came about, in a sentence.
        again: the command that does it again.
    """

    chapter: str
    grid: dict[str, list[Any]]
    points: list[Point]
    quick: bool
    made: str
    again: str


def glued(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return the values that an executed chapter has glued, as text, by name."""
    found = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            stored = output.get("metadata", {}).get("scrapbook", {})
            text = output.get("data", {}).get(f"{stored.get('mime_prefix', '')}text/plain")
            pictured = any("image/" in kind for kind in output.get("data", {}))
            if "name" in stored and not pictured and isinstance(text, str):
                quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
                found[stored["name"]] = _unquoted(text) if quoted else text
    return found


def number(text: str) -> float | None:
    """Read a number as it is shown, such as "1,024" or "+0.12"; None if the text is none."""
    return float(text.replace(",", "")) if _NUMBER.fullmatch(text) else None


def table(sweep: Sweep) -> str:
    """Write one row for each point as CSV: its parameters, what it glued, and how it went.

    Numbers are written as numbers. Text that a spreadsheet would take for a formula begins with an
    apostrophe.
    """
    names = _names(sweep)
    own = [*sweep.grid, "seconds", "error", "notebook"]
    titles = [f"{name} (glued)" if name in own else name for name in names]
    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow([*sweep.grid, *titles, "seconds", "error", "notebook"])
    for point, stem in zip(sweep.points, stems(sweep), strict=True):
        shown = [*map(str, point.given.values()), *(point.values.get(name, "") for name in names)]
        path = f"{stem}.ipynb" if point.notebook else ""
        writer.writerow([*map(_cell, shown), f"{point.seconds:.1f}", _cell(point.error), path])
    return lines.getvalue()


def stems(sweep: Sweep) -> list[str]:
    """Name the files of each point, such as "003-direction-2-digit-0"."""
    several = []
    for count, point in enumerate(sweep.points, start=1):
        words = re.sub(r"[^\w.]+", "-", "-".join(_pairs(point.given, "-")), flags=re.ASCII)
        several.append(f"{count:03d}-{words[:60].strip('-.')}")
    return several


def write(folder: Path, sweep: Sweep) -> None:
    """Write a sweep: its table, its page, and each executed notebook as such and as a page.

    Args:
        folder: which is there, and empty.
        sweep: what is written.
    """
    title = _title(sweep.chapter)
    for point, stem in zip(sweep.points, stems(sweep), strict=True):
        if point.notebook:
            disk.write(folder / f"{stem}.ipynb", point.notebook)
            page = _executed(nbformat.reads(point.notebook.decode(), 4), title, point)
            disk.write(folder / f"{stem}.html", page.encode())
    disk.write(folder / TABLE, table(sweep).encode())
    disk.write(folder / PAGE, _page(sweep, title).encode())


def _unquoted(text: str) -> str:
    """Return the text that is written as a literal of Python, if it is one."""
    try:
        return str(ast.literal_eval(text))
    except (SyntaxError, ValueError):
        return text


def _names(sweep: Sweep) -> list[str]:
    return list(dict.fromkeys(name for point in sweep.points for name in point.values))


def _cell(text: str) -> str:
    if _NUMBER.fullmatch(text):
        return text.replace(",", "").removeprefix("+")
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _pairs(given: Mapping[str, Any], between: str) -> Iterable[str]:
    return (f"{name}{between}{value}" for name, value in given.items())


def _title(chapter: str) -> str:
    prose = [c.source for c in parameters.read_chapter(chapter).cells if c.cell_type == "markdown"]
    found = re.search(r"^# +(.+)$", "\n".join(prose), re.MULTILINE)
    return found[1].strip() if found else chapter


# --- The page of the sweep --------------------------------------------------------------------


def _page(sweep: Sweep, title: str) -> str:
    changing, alike = _sorted_out(sweep)
    body = f"""<main>
<h1>{escape(title)}</h1>
<p>{_summary(sweep)} {escape(sweep.made)} <a href="{TABLE}">The table as CSV</a>.</p>
{_figures(sweep, changing)}
<h2>Every point</h2>
{_rows(sweep, changing)}
{_folded(sweep, alike)}
</main>
<footer><p>Again: <code>{escape(sweep.again)}</code></p></footer>"""
    return _html(f"{title}: a sweep", body)


def _summary(sweep: Sweep) -> str:
    """Say which chapter was run over which grid, how often, and what failed."""
    axes = (
        f"<b>{escape(name)}</b> = {escape(_listed(values))}" for name, values in sweep.grid.items()
    )
    failed = sum(bool(point.error) for point in sweep.points)
    words = f"The chapter <code>{escape(sweep.chapter)}</code>, run over {' and '.join(axes)}"
    words += ", beside its quick parameters" if sweep.quick else ""
    words += f": {len(sweep.points)} points"
    return f"{words}, <b class='failed'>{failed} failed</b>." if failed else f"{words}."


def _listed(values: Sequence[Any]) -> str:
    words = [str(value) for value in values]
    return ", ".join(words if len(words) < 9 else [*words[:2], "…", words[-1]])


def _sorted_out(sweep: Sweep) -> tuple[list[str], list[str]]:
    """Part the names of what differs between points from those that are alike, or a parameter."""
    done = [point for point in sweep.points if not point.error]
    columns = {name: [point.values.get(name) for point in done] for name in _names(sweep)}
    repeated = [[str(point.given[name]) for point in done] for name in sweep.grid]
    same = [n for n, column in columns.items() if len(set(column)) == 1 or column in repeated]
    return [name for name in columns if name not in same], same


def _rows(sweep: Sweep, names: Sequence[str]) -> str:
    """Write the table: parameters at the left, a link to each executed notebook at the right."""
    places = [f" class='p{count}'" if count < 2 else "" for count in range(len(sweep.grid))]
    given = [f"<th{p} scope='col'>{_name(n)}</th>" for p, n in zip(places, sweep.grid, strict=True)]
    titles = [f"<th scope='col'>{_name(name)}</th>" for name in [*names, "notebook", "seconds"]]
    lines = [f"<tr>{''.join([*given, *titles])}</tr>"]
    for point, stem in zip(sweep.points, stems(sweep), strict=True):
        cells = [
            f"<th{place} scope='row'>{escape(str(value))}</th>"
            for place, value in zip(places, point.given.values(), strict=True)
        ]
        lines.append(f"<tr>{''.join(cells)}{_cells(point, stem, names)}</tr>")
    head, *body = lines
    rows = f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"
    return f"<div class='box' tabindex='0' role='region' aria-label='every point'>{rows}</div>"


def _cells(point: Point, stem: str, names: Sequence[str]) -> str:
    if point.error:
        return f"<td class='error' colspan='{len(names) + 2}'>failed: {escape(point.error)}</td>"
    cells = [_value(point.values.get(name, "")) for name in names]
    cells.append(
        f"<td class='links'><a href='{stem}.html'>read</a>, <a href='{stem}.ipynb'>ipynb</a></td>"
    )
    return "".join([*cells, f"<td class='number'>{point.seconds:.0f}</td>"])


def _value(text: str) -> str:
    kind = " class='number'" if number(text) is not None else ""
    return f"<td{kind}>{escape(text)}</td>"


def _name(name: str) -> str:
    return escape(name).replace("_", "_<wbr>")


def _folded(sweep: Sweep, names: Sequence[str]) -> str:
    """Write what is the same at every point, or repeats a parameter, folded."""
    if not names:
        return ""
    values = next(point.values for point in sweep.points if not point.error)
    rows = "".join(
        f"<tr><th scope='row'>{_name(name)}</th>"
        f"{_value(values[name]) if _is_alike(sweep, name) else '<td>as the parameter</td>'}</tr>"
        for name in names
    )
    table = f"<div class='box'><table class='alike'><tbody>{rows}</tbody></table></div>"
    words = f"{len(names)} more: the same at every point, or a parameter again"
    return f"<details><summary>{words}</summary>{table}</details>"


def _is_alike(sweep: Sweep, name: str) -> bool:
    return len({point.values.get(name) for point in sweep.points if not point.error}) == 1


# --- Its panels -------------------------------------------------------------------------------


def _axes(sweep: Sweep) -> tuple[str, str]:
    """Choose the parameter that runs along the panels, and the one that tells their lines apart.

    Both are "" if the grid has more than two, or none with three numbers.
    """
    numeric = [
        name for name, values in sweep.grid.items()
        if len(values) > 2 and all(isinstance(value, int | float) for value in values)
    ]  # fmt: skip
    numeric.sort(key=lambda name: -len(sweep.grid[name]))
    for along in numeric if len(sweep.grid) < 3 else []:
        lines = next((name for name in sweep.grid if name != along), "")
        if not lines or len(sweep.grid[lines]) <= SERIES:
            return along, lines
    return "", ""


def _figures(sweep: Sweep, names: Sequence[str]) -> str:
    """Draw one small panel for each number that changes along a parameter, all other alike."""
    along, lines = _axes(sweep)
    if not along:
        return ""
    panels = ""
    for name in names:
        heights = _lines(sweep, name).values()
        if any(len(set(line.values())) > 1 for line in heights):
            words = f"{name} against {along}" + (f", a line for each {lines}" if lines else "")
            figure = plots.inline(_draw(sweep, name), f"{words}.", 300.0)
            panels += f"<figure><figcaption>{_name(name)}</figcaption>{figure}</figure>"
    head = f"<h2>What changes with {escape(along)}</h2>{_key(sweep)}"
    return f"{head}<div class='panels'>{panels}</div>" if panels else ""


def _lines(sweep: Sweep, name: str) -> dict[Any, dict[Any, float]]:
    """Collect the lines of a panel: for each, its heights by place; none if some are no numbers."""
    along, lines = _axes(sweep)
    done = [point for point in sweep.points if not point.error]
    found: dict[Any, dict[Any, float]] = {}
    for point in sorted(done, key=lambda point: point.given[along]):
        height = number(point.values.get(name, ""))
        if height is None:
            return {}
        found.setdefault(point.given.get(lines, ""), {})[point.given[along]] = height
    return found


def _draw(sweep: Sweep, name: str) -> str:
    """Draw the lines of a panel, with gaps where points failed."""
    along, _ = _axes(sweep)
    places, looks = sorted(sweep.grid[along]), _looks(sweep)
    with plt.rc_context():
        plots.use_style()
        figure = Figure(figsize=(3.1, 2.1), layout="constrained")
        ax = figure.add_subplot(xlabel=along)
        for value, line in _lines(sweep, name).items():
            ax.plot(places, [line.get(x, float("nan")) for x in places], ms=4, **looks[value])
        whole = all(isinstance(value, int) for value in places)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
        ax.yaxis.set_major_locator(MaxNLocator(4))
        page = io.StringIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
    return page.getvalue()


def _looks(sweep: Sweep) -> dict[Any, dict[str, Any]]:
    """Choose colour and marker of each line: those of the book where lines are digits."""
    _, lines = _axes(sweep)
    if not lines:
        return {"": {"color": plots.ACCENT, "marker": "o"}}
    values = sweep.grid[lines]
    if lines == "digit" and set(values) <= set(range(10)):
        return {value: plots.digit_style(value) for value in values}
    looks = zip(values, plots.shades(len(values)), plots.DIGIT_MARKERS, strict=False)
    return {value: {"color": shade, "marker": marker} for value, shade, marker in looks}


def _key(sweep: Sweep) -> str:
    """Write which line is which, once for all panels."""
    from matplotlib.colors import to_hex

    _, lines = _axes(sweep)
    signs = dict(zip(plots.DIGIT_MARKERS, "●■▲▼◆✚✖◀▶★", strict=True))
    words = (
        f"<span><span style='color:{to_hex(look['color'])}'>{signs[look['marker']]}</span> "
        f"{escape(f'{lines} {value}')}</span>"
        for value, look in _looks(sweep).items()
    )
    return f"<p class='key'>{' '.join(words)}</p>" if lines else ""


# --- Executed notebooks -----------------------------------------------------------------------

_RENDERING = {
    "nb_execution_mode": "off",
    "nb_output_folder": "",
    "nb_render_markdown_format": "myst",
    "myst_enable_extensions": ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"],
    "report_level": 5,
    "halt_level": 5,
    "math_output": "MathML",
    "syntax_highlight": "none",
    "_disable_config": True,
}
"""How docutils renders a notebook by itself, without a word of what only the book knows."""

_ROLE = re.compile(r"\{(term|ref|numref|doc|eq|cite:[pt])\}`(?:([^`<]+?)\s*<[^`>]*>|([^`]+))`")
"""A link to a place in the book: a role of Sphinx, with a text of its own or without."""


def _executed(notebook: nbformat.NotebookNode, title: str, point: Point) -> str:
    """Write an executed chapter as a page, by itself: links into the book become plain words."""
    import docutils.core
    from myst_nb.docutils_ import Parser

    for cell in notebook.cells:
        cell.source = (
            _ROLE.sub(_plain, cell.source) if cell.cell_type == "markdown" else cell.source
        )
        tags = parameters.tags(cell)
        if "injected-parameters" in tags:
            tags.remove("remove-cell")
        elif "hide-input" in tags:
            tags.append("remove-input")
    parts = docutils.core.publish_parts(
        nbformat.writes(notebook), parser=Parser(), writer_name="html5",
        settings_overrides=_RENDERING,
    )  # fmt: skip
    words = escape(", ".join(_pairs(point.given, " = ")))
    top = f"<p><a href='{PAGE}'>The sweep</a>: {words}</p>"
    body = f"<main>{top}<article>{parts['html_title']}{parts['body']}</article></main>"
    body = accessible.mended(body)
    looks, scripts = (_static(f"*.{kind}") for kind in ("css", "js"))
    return _html(f"{title}: {words}", f"{body}<script>{scripts}</script>", looks)


def _plain(found: re.Match[str]) -> str:
    role, text, target = found.groups()
    if text or role in ("term", "ref", "doc"):
        return text or target
    if role.startswith("cite"):
        return f"({target})"
    words = "the figure" if role == "numref" else "the equation"
    begins = found.string[: found.start()].rstrip(" ")[-1:] in ("", ".", "\n")
    return words.capitalize() if begins else words


def _static(names: str) -> str:
    """Read what the book's pages load beside them, for the widgets in what cells show."""
    folder = parameters.book() / "_static"
    return "\n".join(path.read_text() for path in sorted(folder.glob(names)))


# --- Both -------------------------------------------------------------------------------------


def _html(title: str, body: str, styles: str = "") -> str:
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{styles or _static("colours.css")}{_STYLE}</style>
<script>{_THEME}</script>
</head>
<body>
{body}
</body>
</html>
"""


_THEME = """{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const settle = () => document.documentElement.dataset.theme = dark.matches ? "dark" : "light";
  dark.addEventListener("change", settle);
  settle();
}"""

_STYLE = """
:root {
  --rnnatomy-sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
body {
  background: var(--pst-color-background); color: var(--pst-color-text-base);
  font: 1rem/1.55 var(--rnnatomy-sans); margin: 0 auto; max-width: 76rem; padding: 1rem;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 0.6rem; }
p { max-width: 46rem; }
a { color: var(--rnnatomy-accent); }
code { overflow-wrap: anywhere; }
.failed, .error { color: var(--rnnatomy-signal); }
.key { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; margin: 0 0 0.8rem; }
.panels { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; }
figure svg { display: block; height: auto; max-width: 100%; width: 20rem; }
figcaption { font-size: 0.875rem; font-weight: 600; }
.box { overflow-x: auto; }
table { border-collapse: separate; border-spacing: 0; font-size: 0.875rem; }
th, td {
  border-bottom: 1px solid var(--rnnatomy-line); padding: 0.25rem 0.6rem; text-align: left;
  vertical-align: top;
}
td { max-width: 18rem; }
td.error { max-width: 46rem; }
thead th { line-height: 1.25; vertical-align: bottom; }
tbody th { font-weight: 600; }
.number { font-variant-numeric: tabular-nums; text-align: right; }
.links { white-space: nowrap; }
.p0, .p1 {
  background: var(--pst-color-background); box-sizing: border-box; left: 0; min-width: 6.5rem;
  max-width: 6.5rem; overflow-wrap: anywhere; position: sticky;
}
.p1 { left: 6.5rem; }
@media (max-width: 40rem) { .p1 { position: static; } }
tbody tr:hover > * { background: var(--rnnatomy-wash); }
details { margin: 1.5rem 0; }
summary { cursor: pointer; }
footer { color: var(--pst-color-text-muted); font-size: 0.85rem; margin-top: 2.5rem; }
article { max-width: 48rem; }
article pre { font-size: 0.85rem; overflow-wrap: anywhere; white-space: pre-wrap; }
article .math { overflow-x: auto; }
article .cell_input pre { background: var(--rnnatomy-ground); padding: 0.6rem; }
article table { display: block; max-width: 100%; overflow-x: auto; }
article div:has(> math) { overflow: auto hidden; }
"""
