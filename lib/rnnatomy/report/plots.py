"""The book's figure style, and drawing functions that take and return an ``ax``.

A figure is shown as inline SVG whose ink follows the page: axes and text take the colour of the
text around them, in a light or a dark theme. A colour means one thing in the whole book.
"""

import io
import re
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


SEQUENTIAL = "viridis"
"""Colour map for energies, counts and fractions."""


DIVERGING = "RdBu_r"
"""Colour map for weights and modes, centred at zero."""


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
    width = figure.get_figwidth() * 96
    page = io.StringIO()
    figure.savefig(page, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    _display(page.getvalue(), alt, width)


def show_drawing(name: str, alt: str) -> None:
    """Display a hand-drawn SVG file of the book inline, so that it follows the page's theme.

    Args:
        name: of a file in ``book/images`` whose ink is ``currentColor``.
        alt: what it shows, in one or two sentences.
    """
    source = (checkout.root() / "book" / "images" / name).read_text()
    box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+)', source)
    _display(source, alt, float(box.group(1)) if box else 720)


def inline(svg: str, alt: str, width: float) -> str:
    """Turn an SVG document into HTML to stand within a page.

    Identifiers get a prefix of their own, so that several figures can share a page, and the
    stand-in colours become the page's text colour.
    """
    if not alt.strip():
        raise ValueError("alt is empty: describe in a sentence what the figure shows.")
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<title>.*?</title>", "", body, flags=re.S)
    prefix = f"f{_digest(body)}-"
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", body)
    body = body.replace(_INK, "currentColor").replace(_FAINT, "currentColor; opacity: 0.15")
    body = re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', _opening(alt), body, count=1)
    box = f'<div class="rnnatomy-figure" tabindex="0" style="--width: {width:.0f}px">'
    return f"{box}{body.strip()}</div>"


def panel_letters(axes: Sequence[Axes]) -> None:
    """Put a, b, c, ... at the top left of the panels."""
    for letter, ax in zip("abcdefghijkl", axes, strict=False):
        ax.annotate(
            letter, (0, 1), xytext=(-6, 6), xycoords="axes fraction", textcoords="offset points",
            ha="right", weight="bold",
        )  # fmt: skip


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
        values, cmap=DIVERGING if diverging else SEQUENTIAL, vmin=low, vmax=limit, aspect="auto"
    )
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


def picture(ax: Axes, image: Float[np.ndarray, "time feature"], caption: str = "") -> Axes:
    """Draw one digit as an image, white on black, with a line of text below."""
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()
    ax.annotate(
        caption, (0.5, 0), xytext=(0, -4), xycoords="axes fraction", textcoords="offset points",
        ha="center", va="top", fontsize=9,
    )  # fmt: skip
    return ax


def baseline(ax: Axes, value: float, label: str) -> Axes:
    """Draw a horizontal baseline in grey dashes, with its name above the right end."""
    ax.axhline(value, color="#888888", linestyle="--", linewidth=1)
    ax.annotate(
        label, (1, value), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", ha="right", color="#888888", fontsize=9,
    )  # fmt: skip
    return ax


def _display(svg: str, alt: str, width: float) -> None:
    from IPython.display import display

    display({"text/html": inline(svg, alt, width), "text/plain": alt}, raw=True)


def _digest(text: str) -> str:
    from hashlib import sha256

    return sha256(text.encode()).hexdigest()[:8]


def _opening(alt: str) -> Any:
    words = escape(" ".join(alt.split()), quote=True)
    return lambda found: (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{found[1]}" role="img" aria-label="{words}">'
    )
