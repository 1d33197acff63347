"""What a narrow screen shows of a figure: its panels one below the other, or one drawn again.

Panels side by side often share an axis whose numbers stand at the first of them only. Where they
come to stand apart, each gets the numbers of its row back.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

NARROW = 560
"""Pixels: a figure that is wider, and has panels side by side, shows them below each other on a
narrow screen."""


COLUMN = 400
"""Pixels: so much of it stands side by side there, and so wide is a figure of one panel drawn
again."""


LOW = 2.8
"""Inches: least height of a figure that is drawn again, if it is not lower itself."""


REACH = 5.8
"""Points: so far the numbers of an axis stand out over its ends, and below letters of panels."""


ROOM = 1.5
"""Pixels: so far before an axis its numbers end; a browser may draw them wider by as much."""


class Scale(NamedTuple):
    """Where the numbers of an axis stand in a figure, as fractions of its width and height."""

    left: float
    right: float
    top: float
    bottom: float


class Part(NamedTuple):
    """A part of a figure from top to bottom, as fractions of its width.

    Attributes:
        left: where it begins.
        right: where it ends.
        axis: where its first panels begin.
        scales: what goes to the left of them, from elsewhere in the figure.
    """

    left: float
    right: float
    axis: float = 0.0
    scales: tuple[Scale, ...] = ()


def make(figure: Figure) -> bool:
    """Make a figure of one panel narrow; its size is then another.

    Returns:
        Whether it can be shown so: not if it is narrow already, or words would touch or be cut off.
    """
    wide, high = map(float, figure.get_size_inches())
    narrow = COLUMN / 96
    if wide <= narrow or not figure.axes:
        return False
    figure.canvas.draw()
    before, _ = _touching(figure)
    figure.set_size_inches(narrow, min(high, max(1.25 * high * narrow / wide, LOW)))
    figure.canvas.draw()
    after, cut_off = _touching(figure)
    return not (after - before or cut_off)


def parts(figure: Figure) -> list[Part]:
    """Return the parts of a wide figure, from left to right.

    What stands above or below each other goes together, and so do a panel and its colour bar; of
    many columns, as many as fit.

    Returns:
        An empty list if there is one only.
    """
    if figure.get_figwidth() * 96 <= NARROW or not figure.axes:
        return []
    figure.canvas.draw()
    spans: list[list[float]] = []  # of what is drawn, and of all that stands around it
    for ax in sorted(figure.axes, key=lambda ax: ax.get_position().x0):
        box, around = ax.get_window_extent(), ax.get_tightbbox()
        ends = [box.x1, around.x0 if around else box.x0, around.x1 if around else box.x1]
        if spans and (ax.get_label() == "<colorbar>" or box.x0 < spans[-1][0]):
            last = spans[-1]
            spans[-1] = [max(last[0], ends[0]), min(last[1], ends[1]), max(last[2], ends[2])]
        else:
            spans.append(ends)
    gaps = [(a[2] + b[1]) / 2 / figure.bbox.width for a, b in itertools.pairwise(spans)]
    cuts = [0.0]
    for here, after in itertools.pairwise([*gaps, 1.0]):
        if (after - cuts[-1]) * figure.bbox.width > COLUMN:
            cuts.append(here)
    ends = list(itertools.pairwise([*cuts, 1.0]))
    return [_with_scales(figure, *some) for some in ends] if len(ends) > 1 else []


def below(frame: str, parts: Sequence[Part], shapes: str) -> str:
    """Show parts of a drawing that is on the page below each other, as HTML.

    Args:
        frame: the view box of the drawing.
        parts: of it.
        shapes: the identifier of all that is drawn.
    """
    _, _, width, height = map(float, frame.split())
    use = f'<use href="#{shapes}"/>'
    found = ""
    for part in parts:
        left, wide = part.left * width, (part.right - part.left) * width
        view, inner = f"{left:.1f} 0 {wide:.1f} {height:.1f}", use
        if part.scales:
            axis = part.axis * width - left
            longest = max(scale.right - scale.left for scale in part.scales) * width
            more = max(longest - axis, 0.0)  # so much wider it gets
            inner = _piece((left, 0.0, wide, height), more, 0.0, use)
            for scale in part.scales:
                own, top = (scale.right - scale.left) * width, scale.top * height
                box = (scale.left * width, top, own, (scale.bottom - scale.top) * height)
                inner += _piece(box, more + axis - own, top, use)
            wide += more
            view = f"0 0 {wide:.1f} {height:.1f}"
        style = f"max-width: {wide * 4 / 3:.0f}px"
        found += f'<svg viewBox="{view}" style="{style}" aria-hidden="true">{inner}</svg>'
    return f'<div class="rnnatomy-narrow">{found}</div>'


def _piece(box: tuple[float, float, float, float], x: float, y: float, shapes: str) -> str:
    """Put what lies in a box of a drawing (left, top, width and height) at another place."""
    left, top, width, height = box
    return (
        f'<svg x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'viewBox="{left:.1f} {top:.1f} {width:.1f} {height:.1f}">{shapes}</svg>'
    )


def _with_scales(figure: Figure, left: float, right: float) -> Part:
    """Find the numbers that the first panels of a part share with panels outside."""
    width, height, reach = figure.bbox.width, figure.bbox.height, REACH * figure.dpi / 72
    inside = [ax for ax in figure.axes if left * width <= ax.get_window_extent().x0 < right * width]
    if not inside:
        return Part(left, right)
    axis = min(ax.get_window_extent().x0 for ax in inside)
    scales = []
    for ax in inside:
        box = ax.get_window_extent()
        owner = _owner(ax, figure.axes)
        if box.x0 > axis + 1 or owner is None or owner in inside:
            continue
        own, around = owner.get_window_extent(), owner.get_tightbbox()
        if around and around.x0 < own.x0:
            top, bottom = height - own.y1 - reach, height - own.y0 + reach
            ends = max(around.x0 - 2 * ROOM, 0) / width, (own.x0 - ROOM) / width
            scales.append(Scale(*ends, max(top, 0) / height, bottom / height))
    return Part(left, right, (axis - ROOM) / width, tuple(scales))


def _owner(ax: Axes, others: Sequence[Axes]) -> Axes | None:
    """Return the panel to the left of one that has the numbers or names of its rows, if any."""
    if _told(ax) or hasattr(ax, "zaxis"):
        return None
    box = ax.get_window_extent()
    row = [
        one for one in others
        if abs(one.get_window_extent().y0 - box.y0) < 2
        and abs(one.get_window_extent().y1 - box.y1) < 2
        and one.get_window_extent().x0 < box.x0
        and _told(one)
    ]  # fmt: skip
    shared = ax.get_shared_y_axes()
    return next((one for one in row if shared.joined(ax, one) or _bare(ax, one)), None)


def _told(ax: Axes) -> bool:
    """Whether the rows of a panel have numbers or names at its left."""
    box, words = ax.get_window_extent(), list(ax.texts)
    if ax.axison:
        words += [*(tick.label1 for tick in ax.yaxis.get_major_ticks()), ax.yaxis.label]
    places = [w.get_window_extent() for w in words if w.get_visible() and w.get_text()]
    return any(one.x1 <= box.x0 and box.y0 < (one.y0 + one.y1) / 2 < box.y1 for one in places)


def _bare(*some: Axes) -> bool:
    return not any(ax.axison and len(ax.get_yticks()) for ax in some)


def _touching(figure: Figure) -> tuple[set[tuple[int, int]], bool]:
    """Return which words of a figure touch, by their numbers, and whether some are cut off."""
    boxes = [word.get_window_extent() for word in _words(figure)]
    edges = [(box.x0, box.y0, box.x1, box.y1) for box in boxes if box.width and box.height]
    pairs = {
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(edges), 2)
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    }
    right, top = figure.bbox.width + 1, figure.bbox.height + 1
    return pairs, any(x0 < -1 or y0 < -1 or x1 > right or y1 > top for x0, y0, x1, y1 in edges)


def _words(figure: Figure) -> list[Text]:
    """Return what is written in a figure, but for ticks that are out of view."""
    hidden: set[Text] = set()
    axes = [(ax, name) for ax in figure.axes for name in "xyz" if hasattr(ax, f"{name}axis")]
    for axis in (getattr(ax, f"{name}axis") for ax, name in axes):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.majorTicks, *axis.minorTicks):
            if not (low <= tick.get_loc() <= high and tick.get_visible()):
                hidden |= {tick.label1, tick.label2}
    found = figure.findobj(Text)
    return [w for w in found if w.get_visible() and w.get_text().strip() and w not in hidden]
