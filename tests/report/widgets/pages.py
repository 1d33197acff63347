"""Reading a widget: what its page carries, without the code that wrote it; and what it shows."""

import io
import json
import zlib
from base64 import b64decode

import numpy as np
from bs4 import BeautifulSoup
from matplotlib.image import imread

from rnnatomy.store import checkout

STATIC = checkout.root() / "book" / "_static"
READY = "[...document.querySelectorAll('.widget')].every(e => e.dataset.state === 'ready')"
MOST_BYTES = 700_000  # of a widget with its scripts and styles


def carried(html):
    """Return the facts and the bytes of a page."""
    page = BeautifulSoup(html, "html.parser")
    facts = json.loads(page.select_one(".widget-facts").string)
    return facts, zlib.decompress(b64decode(page.select_one(".widget-data").string), -15)


def unfolded(data):
    """Undo ``widget.fold``."""
    low, high = np.frombuffer(data, np.uint8).astype(int).reshape(2, -1)
    folded = low + 256 * high
    return np.where(folded % 2, -(folded + 1) // 2, folded // 2)


def scripts(name):
    """Bytes of the scripts and styles of a widget."""
    files = (f"{which}.{kind}" for which in (name, "widget") for kind in ("js", "css"))
    return sum((STATIC / file).stat().st_size for file in files)


def pixels(canvas):
    """A canvas as the page shows it: red, green, blue and opacity of each pixel, 0 to 255."""
    data = canvas.evaluate("canvas => canvas.toDataURL()")
    return np.rint(255 * imread(io.BytesIO(b64decode(data.partition(",")[2])))).astype(int)


STICKING_OUT = """body => {
  const box = body.getBoundingClientRect();
  return [...body.querySelectorAll(":not(option)")].filter(e => {
    const { left, right } = e.getBoundingClientRect();
    if (e.closest(".widget-unseen, [hidden]")) return false;
    return left < box.left - 0.5 || right > box.right + 0.5;
  }).map(e => e.outerHTML.slice(0, 80));
}"""


def sticking_out(page, width):
    """What is wider than a screen of that width, and what sticks out of each widget on it."""
    before = page.viewport_size
    page.set_viewport_size(before | {"width": width})
    wide = page.evaluate("document.documentElement.scrollWidth")
    found = [
        found
        for body in page.locator(".widget-body").all()
        for found in body.evaluate(STICKING_OUT)
    ]
    page.set_viewport_size(before)
    return [f"page: {wide} pixels"] * (wide > width) + found


def swipe(page, places):
    """Draw a finger over the screen, from place to place."""
    screen = page.context.new_cdp_session(page)

    def touch(kind, *points):
        touched = [{"x": x, "y": y} for x, y in points]
        screen.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

    for at, place in enumerate(places):
        touch("touchMove" if at else "touchStart", place)
    touch("touchEnd")
