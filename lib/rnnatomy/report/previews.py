"""Preview pictures: what a link to a page looks like where it is shared.

Run as a command, it draws the one of the whole book: ``python -m rnnatomy.report.previews --help``.
"""

import argparse
import re
from html import escape
from pathlib import Path
from textwrap import wrap

from rnnatomy.report import parameters
from rnnatomy.store import checkout, commands, disk

WIDTH, HEIGHT = 1200, 630
"""Of a picture, in pixels: what most places that show previews ask for."""

WHOLE = "preview.png"
"""File in ``_static`` with the picture of the whole book, for pages without a figure."""

MARGIN, INK = 60, "#1f2328"
LINE = 40
"""Letters in a line of a title."""


class PreviewError(RuntimeError):
    """A picture cannot be drawn here; the message says why."""


def draw(title: str, figure: str) -> bytes | None:
    """Draw the preview of a page: its title above its first figure.

    Args:
        title: of the page.
        figure: HTML or SVG with the figure's drawing.

    Returns:
        A PNG; None where drawings cannot be turned into one: Cairo is not on this machine, or it
        cannot read the drawing.
    """
    try:
        from cairosvg import svg2png
    except OSError:  # no Cairo
        return None
    try:
        return bytes(svg2png(card(title, figure).encode()))
    except Exception:  # whatever comes of a drawing that it does not know: the page has one less
        return None


def card(title: str, figure: str) -> str:
    """Lay out a preview as SVG.

    Args:
        title: two lines of it are shown.
        figure: with one ``<svg>`` that has a ``viewBox``.
    """
    lines = wrap(title, LINE, max_lines=2, placeholder="…")
    top = MARGIN + 70 + 56 * len(lines)
    words = "".join(
        f'<text x="{MARGIN}" y="{MARGIN + 100 + 56 * row}" font-size="44" font-weight="bold" '
        f'font-family="DejaVu Sans, sans-serif" fill="{INK}">{escape(line)}</text>'
        for row, line in enumerate(lines)
    )
    corner = f'x="{MARGIN}" y="32" width="228" height="48"'
    room = f'x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" height="{HEIGHT - top - 30}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f"{_placed(_logo(), corner)}{words}{_placed(figure, room)}</svg>"
    )


def _placed(figure: str, place: str) -> str:
    """Take the drawing out of a figure, in the ink of the picture, with another place and size."""
    drawing = figure[figure.index("<svg") : figure.rindex("</svg>") + 6]
    head, body = drawing.split(">", 1)
    head = re.sub(r'\s(x|y|width|height)="[^"]*"', "", head)
    return f"{head} {place}>{body}".replace("currentColor", INK)


def _logo() -> str:
    return (parameters.book() / "_static" / "logo.svg").read_text("utf8")


def main() -> None:
    """Draw the preview of the whole book."""
    commands.run(_main, (PreviewError, checkout.CheckoutError))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.report.previews")
    parser.add_argument("title")
    parser.add_argument("figure", type=Path, help="an SVG file")
    parser.add_argument("picture", type=Path, help="a PNG file, to be written")
    options = parser.parse_args()
    picture = draw(options.title, options.figure.read_text("utf8"))
    if picture is None:
        raise PreviewError(
            f"{options.figure} cannot be drawn: install the library Cairo, or make it anew."
        )
    disk.write(options.picture, picture)


if __name__ == "__main__":
    main()
