"""The taps: one digit read row by row, and the four gates of an LSTM that open and close beside it.

The page gets a classifier and some images; a plain script on the page, ``book/_static/taps.js``,
runs the network on the image that is chosen, and again where the reader holds a gate at one value:
in all units, at each row.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.report.widgets import reader, widget
from rnnatomy.store import disk

TOLERANCE = 0.002
"""Most by which a probability on the page may differ from the library's, after any row, while all
gates work."""


GATE_TOLERANCE = 0.005
"""Most by which a gate of a unit may differ then."""


HELD_TOLERANCE = 0.04
"""Most by which either may differ while one gate is held: a network whose gates stay open was never
trained to, and amplifies what is rounded."""


MOST_IMAGES = 40
"""Most images that a page carries."""


WHITE = 255
"""Value of white: images are carried as they are, so that each row is read as the library does."""


LEVELS = 8191
"""Steps in the largest number of an array: 14 bits with the sign, for each gate of each unit is
shown, and not the answer alone, and a held gate amplifies what is rounded."""


def show(
    classifier: disk.Arrays,
    images: Float[np.ndarray, "sample row column"],
    labels: Int[np.ndarray, " sample"],
    *,
    figure: str,
) -> None:
    """Display the taps; see ``taps`` for the arguments and errors."""
    page = taps(classifier, images, labels, figure=figure)
    words = "A digit that is read row by row, and the four gates of the network, to be held"
    widget.show(page, words)


def taps(
    classifier: disk.Arrays,
    images: Float[np.ndarray, "sample row column"],
    labels: Int[np.ndarray, " sample"],
    *,
    figure: str,
) -> str:
    """Write the taps as HTML, for a page that loads the scripts and styles of ``book/_static``.

    Args:
        classifier: arrays of a ``Classifier`` of ten digits, an LSTM that reads a row of the
            images at each step, by dotted path; others are left out.
        images: what it reads, as fractions of white (0..1); from 1 to ``MOST_IMAGES``. The page
            shows the first one first.
        labels: what the images show, 0 to 9.
        figure: identifier, on the same page, of the static figure to see without the script.

    Raises:
        ValueError: if the arrays do not fit, or make a page of more than
            ``widget.MOST_BYTES``.
    """
    widget.check_images(images, len(images))
    if len(images) > MOST_IMAGES:
        raise ValueError(f"{len(images)} images are given: give at most {MOST_IMAGES}.")
    reader.check_labels(labels, len(images), "image")
    reader.check_classifier(classifier, images.shape[2])
    packed, greys = widget.pack_images(images, WHITE)
    arrays, levels = reader.pack_classifier(classifier, LEVELS)
    facts: dict[str, Any] = {"labels": labels.tolist(), "images": packed, "reader": arrays}
    sentence = """With JavaScript, in a current browser, a network reads a digit here row by row,
and each of its four gates can be watched, and held open or shut. Otherwise, see"""
    advice = "give fewer images, or a network with fewer units"
    return widget.widget("taps", sentence, figure, facts, greys + levels, advice)
