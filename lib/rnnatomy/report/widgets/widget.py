"""What the widgets share: what a page carries for their scripts, and the HTML around.

On the page, ``book/_static/widget.js`` reads it, and gives it to the script of the widget.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

MOST_BYTES = 640_000
"""Most bytes of a widget's HTML. On the site most of them are loaded when a reader comes near."""


GREYS = 15
"""Value of white in the images of a page; black is 0."""


def show(page: str, words: str) -> None:
    """Display a widget.

    Args:
        page: its HTML.
        words: what it is, for a reader who does not see the site.
    """
    from IPython.display import display

    display({"text/html": page, "text/plain": f"{words}, on the site"}, raw=True)


def widget(
    name: str,
    sentence: str,
    figure: str,
    facts: dict[str, Any],
    data: bytes,
    advice: str,
) -> str:
    """Write the HTML of a widget: a sentence for those without the script, and what it reads.

    Args:
        name: of the widget, a class of its element.
        sentence: HTML of what stands there without the script, up to the link to the figure.
        figure: identifier, on the same page, of the static figure.
        facts: what the script reads as JSON.
        data: what it reads as bytes, deflated here.
        advice: what makes a smaller page.

    Raises:
        ValueError: if the page has more than ``MOST_BYTES``.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    text = b64encode(packer.compress(data) + packer.flush()).decode()
    words = json.dumps(facts, separators=(",", ":")).replace("<", r"\u003c")
    page = f"""<div class="widget {name}">
<p class="widget-without">{sentence}
<a href="#{escape(figure)}">the static figure</a>.</p>
<script type="application/json" class="widget-facts">{words}</script>
<script type="text/plain" class="widget-data">{text}</script>
</div>"""
    size = len(page.encode())
    if size > MOST_BYTES:
        raise ValueError(
            f"the {name} takes {size} bytes, at most {MOST_BYTES} are allowed: {advice}."
        )
    return page


def planes(numbers: Shaped[np.ndarray, "..."]) -> bytes:
    """Lay numbers out such that those of a like size pack well.

    First the lowest byte of every number, then the next, and last that with the sign or exponent.
    """
    ordered = numbers.astype(numbers.dtype.newbyteorder("<"))
    return ordered.reshape(-1, 1).view(np.uint8).T.tobytes()


def fold(levels: Int[np.ndarray, "..."]) -> bytes:
    """Lay whole numbers from -32768 to 32767 out as bytes, all low bytes first.

    A number x is folded to 2 x, or -2 x - 1 where it is negative, so that small numbers of either
    sign have a high byte of 0, which packs well.
    """
    wide = levels.astype(np.int32)
    return planes(np.where(wide < 0, -2 * wide - 1, 2 * wide).astype(np.uint16))


def pack_steps(
    arrays: Sequence[Float[np.ndarray, "..."]], levels: int
) -> tuple[dict[str, Any], bytes]:
    """Lay arrays out as whole multiples of a step, with what a script needs to read them.

    Args:
        arrays: finite numbers; each array has a step of its own.
        levels: steps in the largest number of an array, at most 32767.
    """
    steps = [float(np.abs(array).max()) / levels or 1.0 for array in arrays]
    whole = [np.rint(a.ravel() / step) for a, step in zip(arrays, steps, strict=True)]
    facts = {"steps": steps, "sizes": [array.size for array in arrays]}
    return facts, fold(np.concatenate(whole).astype(np.int64))


def pack_images(
    images: Float[np.ndarray, "image row column"], white: int = GREYS
) -> tuple[dict[str, Any], bytes]:
    """Lay images out as bytes, in whole greys, with what a script needs to read them.

    Args:
        images: intensities as a fraction (0..1).
        white: value of white, at most 255.
    """
    greys = np.rint(images * white).astype(np.uint8)
    return {"shape": images.shape[1:], "white": white}, greys.tobytes()


def check_images(images: np.ndarray, samples: int) -> None:
    """Refuse images that are not one for each sample, or no fractions, in one sentence."""
    if images.ndim != 3 or len(images) != samples or not images.size:
        raise ValueError(
            f"images have shape {images.shape}: give ({samples}, row, column), one for each sample."
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images range from {images.min():g} to {images.max():g}: give fractions (0..1)."
        )
