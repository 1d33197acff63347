"""The book's figure style, and drawing functions that take and return an ``ax``.

A figure is shown as inline SVG whose ink follows the page: axes and text take the colour of the
text around them, in a light or a dark theme. A colour means one thing in the whole book.
"""

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import chain, repeat
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from mpl_toolkits.mplot3d import Axes3D
from PIL import Image

from rnnatomy.analysis import statistics
from rnnatomy.report import narrow
from rnnatomy.store import checkout

DIGIT_COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
"""One colour per digit: Petroff's ten accessible colours (2021)."""


DIGIT_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "*")
"""One marker per digit, so that colour is never the only cue."""


ACCENT = "#d1495b"
"""What the text speaks of."""


GREY = "#777777"
"""What it is held against: a baseline, a control, an untrained network."""


PALE = "#aaaaaa"
"""A second control beside the first."""


DARK = "#555555"
"""A third."""


SEQUENTIAL = "viridis"
"""Colour map for energies, counts and fractions, where they fill an area."""


SHADES = LinearSegmentedColormap.from_list(
    "shades", plt.get_cmap(SEQUENTIAL)(np.linspace(0.3, 0.8, 64))
)
"""The middle of it, for lines and points, which have to stand off from a light and a dark page."""


DIVERGING = "RdBu_r"
"""Colour map for weights and modes, centred at zero."""


GREYS = 31
"""Steps from black to white in the picture of a digit: more are not seen, and weigh."""


_INK = "#010203"  # stands for the page's text colour until the figure is written as SVG


_FAINT = "#040506"  # the same, at a fraction of its strength


_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.labelcolor": _INK,
    "axes.labelsize": 10,
    "axes.prop_cycle": plt.cycler(color=DIGIT_COLOURS),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "figure.dpi": 96,
    "font.family": "sans-serif",
    "font.size": 10,
    "grid.color": _FAINT,
    "grid.linewidth": 0.6,
    "image.interpolation": "none",  # a number is one pixel, and the browser makes it large
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "savefig.dpi": 200,
    "svg.fonttype": "none",
    "svg.hashsalt": "rnnatomy",
    "text.color": _INK,
    "xtick.color": _INK,
    "xtick.labelsize": 9,
    "ytick.color": _INK,
    "ytick.labelsize": 9,
}  # fmt: skip


def use_style() -> None:
    """Set the book's figure style for this process."""
    plt.rcParams.update(_STYLE)


def show(figure: Figure, alt: str) -> None:
    """Display a figure as inline SVG that follows the page's theme, and close it.

    Args:
        figure: what was drawn.
        alt: what the figure shows, in one or two sentences, for those who cannot see it.

    Raises:
        ValueError: if the description is empty.
    """
    width, svg, parts = figure.get_figwidth() * 96, _svg(figure), narrow.parts(figure)
    redrawn = _svg(figure) if not parts and narrow.make(figure) else None
    plt.close(figure)
    _display(inline(svg, alt, width, parts, redrawn), alt)


def _svg(figure: Figure) -> str:
    page = io.StringIO()
    figure.savefig(page, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return page.getvalue()


def show_drawing(name: str, alt: str) -> None:
    """Display a hand-drawn SVG file of the book inline, so that it follows the page's theme.

    Args:
        name: of a file in ``book/images`` whose ink is ``currentColor``.
        alt: what it shows, in one or two sentences.

    Raises:
        ValueError: if there is no such drawing, or the description is empty.
    """
    folder = checkout.root() / "book" / "images"
    known = sorted(path.name for path in folder.glob("*.svg"))
    if name not in known:
        raise ValueError(
            f"drawing {name!r} is not in book/images: choose from {', '.join(known) or 'none'}."
        )
    source = (folder / name).read_text()
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+)', source)
    _display(inline(source, alt, float(box.group(1)) if box else 720), alt)


def inline(
    svg: str,
    alt: str,
    width: float,
    parts: Sequence[narrow.Part] = (),
    redrawn: str | None = None,
) -> str:
    """Turn an SVG document into HTML to stand within a page.

    Identifiers get a prefix of their own, so that several figures can share a page, and the
    stand-in colours become the page's text colour. It is made lighter, as ``compact`` tells.

    Args:
        svg: the document.
        alt: what it shows.
        width: in pixels.
        parts: of it, shown below each other on a narrow screen; they are drawn from the same
            shapes.
        redrawn: another SVG document, shown in place of it there.
    """
    if not alt.strip():
        raise ValueError("alt is empty: describe in a sentence what the figure shows.")
    body, prefix = _shapes(svg)
    frame = re.search(r'viewBox="([^"]+)"', body)
    body = re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', _opening(alt), body, count=1)
    beside = ""
    if parts and frame:
        body = body.replace("<g>", f'<g id="{prefix}all">', 1)
        beside = narrow.below(frame[1], parts, f"{prefix}all")
    elif redrawn:
        other, _ = _shapes(redrawn)
        opening = rf'<svg viewBox="\1" style="max-width: {narrow.COLUMN}px" aria-hidden="true">'
        other = re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', opening, other, count=1)
        beside = f'<div class="rnnatomy-narrow">{other.strip()}</div>'
    kind = "rnnatomy-figure rnnatomy-panels" if beside else "rnnatomy-figure"
    box = f'<div class="{kind}" tabindex="0" style="--width: {width:.0f}px">'
    return f"{box}{body.strip()}{beside}</div>"


def _shapes(svg: str) -> tuple[str, str]:
    """Return an SVG document with identifiers and colours for a page, and their prefix."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<title>.*?</title>", "", body, flags=re.S)
    body = compact(body)
    prefix = f"f{_digest(body)}-"
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", body)
    body = body.replace(_INK, "currentColor").replace(_FAINT, "currentColor; opacity: 0.15")
    return body, prefix


def compact(svg: str) -> str:
    """Make a drawing lighter, with nothing that an eye could miss.

    Places are written to a hundredth of a point, one name stands for a list of fonts (the page sets
    its own), and an image of few colours names each of them once.
    """
    number, image = r"-?\d+\.\d{3,}(?:e[+-]\d+)?", r"(?<=data:image/png;base64,)[\w+/=\s]+"
    svg = re.sub(image, lambda m: _palette(m[0]), svg)
    svg = re.sub(r"font-family: 'DejaVu Sans',[^;\"]*", "font-family: sans-serif", svg)

    def short(found: re.Match[str]) -> str:
        return f"{round(float(found[0]), 2) + 0:.2f}".rstrip("0").rstrip(".")

    def round_all(found: re.Match[str]) -> str:
        if re.search("scale|matrix", found[0]):
            return found[0]
        return re.sub(number, short, found[0])

    svg = re.sub(r'(?<=\s)(?:d|x|y|points|transform)="[^"]*"', round_all, svg)
    svg = re.sub(r' transform="rotate\(-0 [^)"]*\)"', "", svg)
    lean = re.compile(r"\s*([A-Za-z])\s*")
    svg = re.sub(r'(?<= d=")[^"]*', lambda m: lean.sub(r"\1", m[0]), svg)
    return re.sub(r">\s+<(?!/?t)", "><", svg)


def _palette(png: str) -> str:
    """Write an image of at most 256 colours with a palette; leave another as it is."""
    found = np.asarray(Image.open(io.BytesIO(b64decode(png))).convert("RGBA"))
    colours, places = np.unique(found.view(np.uint32), return_inverse=True)
    if len(colours) > 256:
        return png
    image, page = Image.fromarray(places.reshape(found.shape[:2]).astype(np.uint8)), io.BytesIO()
    parts = colours.view(np.uint8).reshape(-1, 4)
    image.putpalette(parts.tobytes(), "RGBA")
    image.save(page, "PNG", optimize=True, transparency=parts[:, 3].tobytes())
    return min(b64encode(page.getvalue()).decode(), png, key=len)


def panel_letters(axes: Iterable[Axes]) -> None:
    """Put a, b, c, ... at the top left of the panels."""
    for letter, ax in zip("abcdefghijkl", axes, strict=False):
        ax.annotate(
            letter, (0, 1), xytext=(-6, 6), xycoords="axes fraction", textcoords="offset points",
            ha="right", weight="bold",
        )  # fmt: skip


def digit_style(digit: int) -> dict[str, Any]:
    """Return colour and marker of a digit, to be passed to ``ax.plot``.

    Raises:
        ValueError: if it is no digit.
    """
    if not 0 <= digit <= 9:
        raise ValueError(f"digit is {digit}: give a whole number from 0 to 9.")
    return {"color": DIGIT_COLOURS[digit], "marker": DIGIT_MARKERS[digit]}


def axes3d(figure: Figure) -> Axes3D:
    """Add axes for paths along the first three modes, with see-through panes."""
    ax = figure.add_subplot(projection="3d")
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
    ax.set(xlabel="mode 1", ylabel="mode 2", zlabel="mode 3")
    return ax


def legend_beside(ax: Axes, gap: float = 0.0, **options: Any) -> None:
    """Put the legend to the right of the axes.

    Args:
        ax: what it explains.
        gap: between axes and legend, as a fraction of the width of the axes.
        options: passed to ``ax.legend``.
    """
    ax.legend(loc="center left", bbox_to_anchor=(1 + gap, 0.5), **options)


def ticks(axis: Axis, places: Iterable[float]) -> None:
    """Put ticks at some places and nowhere else, each with its number, as a logarithmic axis needs.

    Args:
        axis: ``ax.xaxis`` or ``ax.yaxis``, after its scale was set.
        places: where the ticks go.
    """
    places = list(places)
    axis.set_ticks(places, [f"{place:g}" for place in places])
    axis.set_minor_locator(NullLocator())


def seeds(
    ax: Axes,
    x: Sequence[Any] | np.ndarray,
    values: Float[np.ndarray, "seed point"],
    colour: str = _INK,
    **options: Any,
) -> Axes:
    """Draw one thin line per seed and their mean as a thick one.

    Args:
        ax: where to draw.
        x: abscissa of the points.
        values: one row per seed.
        colour: of all lines.
        options: passed to the line of the mean.
    """
    values = np.asarray(values)
    ax.plot(x, values.T, color=colour, linewidth=0.7, alpha=0.45)
    ax.plot(x, values.mean(axis=0), color=colour, **options)
    return ax


def proportions(
    ax: Axes,
    sides: Mapping[str, Bool[np.ndarray, "network class"] | Float[np.ndarray, "network class"]],
    colours: Iterable[str],
) -> Axes:
    """Draw in how many networks something holds, class by class, with 95% intervals.

    Args:
        ax: to draw on.
        sides: by name; whether it holds in a network, or in which share of draws (0..1).
        colours: one for each side.

    Reference:
        Wilson (1927).
    """
    apart = np.linspace(-0.12, 0.12, len(sides))
    for (name, side), colour, marker, shift in zip(
        sides.items(), colours, "osD^", apart, strict=False
    ):
        spans = [statistics.proportion(float(column.sum()), len(side)) for column in side.T]
        value, low, high = 100 * np.array(spans).T
        ends = (value - low, high - value)
        x = np.arange(len(value)) + shift
        ax.errorbar(x, value, ends, fmt=marker, color=colour, ms=5, lw=1.2, label=name)
    ax.set(
        xticks=range(side.shape[1]), ylabel="networks, per cent", ylim=(0, 1.15 * ax.get_ylim()[1])
    )
    ax.legend(loc="upper center", ncols=len(sides))
    return ax


def shades(count: int) -> Float[np.ndarray, "count rgba=4"]:
    """Return colours for lines or points in an order, as fractions; see ``SHADES``.

    Args:
        count: how many, at least 1.
    """
    return SHADES(np.linspace(0, 1, count))


def spread(
    places: Float[np.ndarray, "place axis=2"], apart: float
) -> Float[np.ndarray, "place axis=2"]:
    """Push places of words from each other, a little at a time, until none are too near.

    Args:
        places: no two the same.
        apart: the least distance, in the units of the places.

    Returns:
        Places at least ``apart`` from each other, up to a hundredth of it, or as far as 1,000
        pushes bring them.
    """
    places = places.astype(float)
    for _ in range(1000):
        gaps = places[:, None] - places
        long = np.linalg.norm(gaps, axis=-1, keepdims=True)
        near = (long > 0) & (long < apart)
        if not (near & (long < 0.99 * apart)).any():
            break
        push = np.divide(gaps, long, out=np.zeros_like(gaps), where=near)
        places = places + (push * np.where(near, apart - long, 0)).sum(axis=1) / 4
    return places


def heat(
    ax: Axes,
    values: Float[np.ndarray, "row column"],
    limit: float,
    *,
    diverging: bool,
    rows: Sequence[Any],
    columns: Sequence[Any],
    text: str | None = None,
) -> Axes:
    """Draw a matrix as coloured cells, with its numbers where a format is given.

    Args:
        ax: where to draw.
        values: the matrix.
        limit: value of the strongest colour; a diverging map runs from -limit to limit.
        diverging: whether zero is the middle of the map.
        rows: labels of the rows.
        columns: labels of the columns.
        text: format of the numbers, such as ".2f"; none are written without it.
    """
    low = -limit if diverging else 0
    image = ax.imshow(
        values, cmap=DIVERGING if diverging else SEQUENTIAL, vmin=low, vmax=limit, aspect="auto",
    )  # fmt: skip
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    if text:
        for (row, column), value in np.ndenumerate(values):
            red, green, blue, _ = image.to_rgba(value)
            dark = 0.3 * red + 0.6 * green + 0.1 * blue < 0.5
            word = format(value, text)
            ax.text(
                column, row, word.lstrip("-") if float(word) == 0 else word, fontsize=8,
                ha="center", va="center", color="white" if dark else "black",
            )  # fmt: skip
    return ax


def heat_panels(
    panels: Sequence[Float[np.ndarray, "row column"]],
    x: str | Sequence[str],
    y: str,
    limit: float | None = None,
    **options: Any,
) -> Figure:
    """Draw matrices of the same rows side by side as coloured cells, in one scale, with letters.

    Args:
        panels: the matrices.
        x: what the columns are; one for all panels, or one each.
        y: what the rows are.
        limit: value of the strongest colour; None: the largest size of all numbers.
        options: as of ``heat``: diverging, rows, columns, text.

    Returns:
        The figure, to be shown.

    Raises:
        ValueError: if there is no panel, or there are not as many words for the columns.
    """
    labels = [x] * len(panels) if isinstance(x, str) else x
    if not len(panels) or len(labels) != len(panels):
        raise ValueError(f"{len(labels)} labels for {len(panels)} panels: give one for each.")
    figure, (axes,) = plt.subplots(1, len(panels), figsize=(7.6, 3.7), sharey=True, squeeze=False)
    largest = max(float(np.abs(values).max()) for values in panels)
    for ax, values, label in zip(axes, panels, labels, strict=True):
        heat(ax, values, largest if limit is None else limit, **options)
        ax.set_xlabel(label)
    axes[0].set_ylabel(y)
    panel_letters(axes)
    return figure


def mark(ax: Axes, column: int, row: int, width: int = 1, height: int = 1) -> Axes:
    """Draw a box around cells of a heat map, in the accent colour.

    Args:
        ax: what ``heat`` has drawn on.
        column: of the top left cell, counted from 0.
        row: of the same.
        width: how many columns the box goes around.
        height: how many rows.
    """
    corner = (column - 0.5, row - 0.5)
    look: Any = {"fill": False, "edgecolor": ACCENT, "linewidth": 2, "clip_on": False}
    ax.add_patch(plt.Rectangle(corner, width, height, **look))
    return ax


def picture(ax: Axes, image: Float[np.ndarray, "time feature"], caption: str = "") -> Axes:
    """Draw one digit as an image, white on black, with a line of text below."""
    ax.imshow(np.rint(image * GREYS) / GREYS, cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()
    ax.annotate(
        caption, (0.5, 0), xytext=(0, -4), xycoords="axes fraction", textcoords="offset points",
        ha="center", va="top", fontsize=9,
    )  # fmt: skip
    return ax


def pictures(
    axes: Iterable[Axes],
    images: Iterable[Float[np.ndarray, "time feature"]],
    captions: Iterable[str] = (),
) -> None:
    """Draw one image on each of the axes; axes without an image stay empty, without a frame.

    Args:
        axes: where to draw, such as ``axes.flat``.
        images: as of ``picture``, at most one for each of the axes.
        captions: a line of text below each of the first images.

    Raises:
        ValueError: if there are more images than axes.
    """
    axes, images = list(axes), list(images)
    if len(images) > len(axes):
        raise ValueError(f"{len(images)} images on {len(axes)} axes: give an ax for each image.")
    words = chain(captions, repeat(""))
    for ax in axes:
        ax.set_axis_off()
    for ax, image, caption in zip(axes, images, words, strict=False):
        picture(ax, image, caption)


def named_axes(
    names: Iterable[str],
    rows: int,
    size: tuple[float, float] = (7.6, 4.0),
    at: tuple[float, float] = (0.95, 0.85),
    **options: Any,
) -> tuple[Figure, dict[str, Axes]]:
    """Make axes in rows, each with its name written into it.

    Args:
        names: of the axes, row by row; as many in each row.
        rows: how many.
        size: width and height of the figure, in inches.
        at: where the name ends, as fractions of the axes; in their middle it is centred.
        options: of each of the axes, such as xlabel; with ylim they share their vertical axis.

    Returns:
        The figure, and its axes by name.

    Raises:
        ValueError: if the names do not fill the rows.
    """
    names = list(names)
    if len(names) % rows:
        raise ValueError(f"{len(names)} names do not fill {rows} rows: give as many for each.")
    figure, axes = plt.subplots(
        rows, len(names) // rows, figsize=size, sharey="ylim" in options, subplot_kw=options,
        squeeze=False,
    )  # fmt: skip
    side = "center" if at[0] == 0.5 else "right"
    for ax, name in zip(axes.flat, names, strict=True):
        ax.annotate(name, at, xycoords="axes fraction", ha=side)
    return figure, dict(zip(names, axes.flat, strict=True))


def row_names(axes: Iterable[Axes], names: Iterable[str]) -> None:
    """Write a name to the left of axes, such as the first of each row of pictures.

    Args:
        axes: where to write.
        names: one for each.
    """
    for ax, name in zip(axes, names, strict=True):
        ax.text(-0.15, 0.5, name, transform=ax.transAxes, ha="right", va="center", fontsize=9)


def baseline(ax: Axes, value: float, label: str) -> Axes:
    """Draw a horizontal baseline in grey dashes, with its name above the right end."""
    ax.axhline(value, color=GREY, linestyle="--", linewidth=1)
    ax.annotate(
        label, (1, value), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", ha="right", color=GREY, fontsize=9,
    )  # fmt: skip
    return ax


def _display(page: str, alt: str) -> None:
    from IPython.display import display

    display({"text/html": page, "text/plain": alt}, raw=True)


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:8]


def _opening(alt: str) -> Any:
    words = escape(" ".join(alt.split()), quote=True)
    return lambda found: (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{found[1]}" role="img" aria-label="{words}">'
    )
