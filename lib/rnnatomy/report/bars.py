"""The bar of a verdict: fraction of networks, its interval and the control's, in one glance.

A bar is a piece of HTML that stands within a line, such as a cell of a table. It has its colours
from the page's theme, and a text alternative. All of its look is in its own tags, so that it can be
glued from one page into another.
"""

from html import escape
from typing import NamedTuple

from rnnatomy.analysis.statistics import Interval
from rnnatomy.analysis.verdicts import Verdict

_FILL = "fill:var(--rnnatomy-accent,#0b6e99)"
_SIGNAL = "var(--rnnatomy-signal,#b23a2b)"


class Shown(NamedTuple):
    """What a page shows of a verdict: a bar with its word, or the word alone.

    Attributes:
        html: the bar, and the word below it.
        word: of the verdict.
    """

    html: str
    word: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return repr(self.word)


def show(verdict: Verdict) -> Shown:
    """Draw a verdict: the bar, below it the word, and below that the counts.

    Returns:
        What ``pages.glue`` takes and a notebook displays.
    """
    below = f"{verdict.held:,} of {verdict.networks:,}, "
    below += f"control {_percent(verdict.control.value)}" if verdict.control else "no control"
    return Shown(
        '<span class="verdict" style="display:inline-block;width:9em;line-height:1.3;'
        'vertical-align:top">'
        f"{_svg(verdict)}<br><strong>{verdict.word}</strong><br>"
        f'<span style="font-size:.85em">{below}</span></span>',
        verdict.word,
    )


def describe(verdict: Verdict) -> str:
    """Say in a sentence what the bar shows."""
    words = f"{verdict.word.capitalize()}: in {verdict.held:,} of {verdict.networks:,} networks, "
    words += f"{_told(verdict.share)}; "
    if verdict.control is None:
        return f"{words}no control: {verdict.reason}."
    return f"{words}under the control {_told(verdict.control)}."


def _told(interval: Interval) -> str:
    value, low, high = map(_percent, interval)
    return f"{value} (95% interval {low} to {high})"


def _percent(share: float) -> str:
    """Write a fraction in per cent; one between 0 and 1 per cent, or 99 and 100, not as its end."""
    return f"{share:.1%}" if 0 < share < 0.01 or 0.99 < share < 1 else f"{share:.0%}"


def _svg(verdict: Verdict) -> str:
    words = escape(describe(verdict), quote=True)
    parts = [
        '<rect x="0" y="8" width="100" height="8" fill="currentColor" fill-opacity=".13"/>',
        f'<rect x="0" y="8" width="{100 * verdict.share.value:.1f}" height="8" '
        f'style="{_FILL}" fill-opacity=".6"/>',
        _whisker(verdict.share),
        _mark(verdict.control) if verdict.control else "",
    ]
    return (
        f'<svg viewBox="-4 0 108 22" role="img" aria-label="{words}" '
        'style="width:8.5em;height:1.73em;vertical-align:middle">'
        f"<title>{words}</title>{''.join(parts)}</svg>"
    )


def _whisker(interval: Interval) -> str:
    """Draw an interval as a line with caps, across the bar."""
    low, high = (f"{100 * end:.1f}" for end in interval[1:])
    path = f"M{low} 12H{high}M{low} 8.5v7M{high} 8.5v7"
    return f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="1.6"/>'


def _mark(control: Interval) -> str:
    """Draw the control as a triangle that points at the bar from above, its interval beside it."""
    at, low, high = (f"{100 * value:.1f}" for value in control)
    return (
        f'<path d="M{low} 3H{high}" style="stroke:{_SIGNAL}" stroke-width="1.4"/>'
        f'<path d="M{at} 8l-4 -7h8zM{at} 7v11" style="fill:{_SIGNAL};stroke:{_SIGNAL}" '
        'stroke-width="1.2"/>'
    )
