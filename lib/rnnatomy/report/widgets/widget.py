"""What a page carries for the scripts of its widgets: numbers as bytes, and the HTML around."""

import json
import zlib
from base64 import b64encode
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Int


def fold(levels: Int[np.ndarray, "..."]) -> bytes:
    """Lay whole numbers from -32768 to 32767 out as bytes, all low bytes first.

    A number x is folded to 2 x, or -2 x - 1 where it is negative, so that small numbers of either
    sign have a high byte of 0, which packs well.
    """
    wide = levels.astype(np.int32)
    folded = np.where(wide < 0, -2 * wide - 1, 2 * wide)
    return (folded & 255).astype(np.uint8).tobytes() + (folded >> 8).astype(np.uint8).tobytes()


def widget(name: str, sentence: str, figure: str, facts: dict[str, Any], data: bytes) -> str:
    """Write the HTML of a widget: a sentence for those without the script, and what it reads.

    Args:
        name: class of the widget, the first word of all its other classes.
        sentence: HTML of what stands there without the script, up to the link to the figure.
        figure: identifier, on the same page, of the static figure.
        facts: what the script reads as JSON.
        data: what it reads as bytes, deflated here.
    """
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    text = b64encode(packer.compress(data) + packer.flush()).decode()
    words = json.dumps(facts, separators=(",", ":")).replace("<", r"\u003c")
    return f"""<div class="{name}">
<p class="{name}-without">{sentence}
<a href="#{escape(figure)}">the static figure</a>.</p>
<script type="application/json" class="{name}-facts">{words}</script>
<script type="text/plain" class="{name}-data">{text}</script>
</div>"""
