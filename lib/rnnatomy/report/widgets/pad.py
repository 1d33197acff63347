"""The pad: a point of a latent plane that a reader drags, and the digit that is drawn from it.

The page gets the decoder of an ``VAE`` with two latent units in 24 bits: a trained decoder
amplifies what is rounded over its rows, and 16 bits barely keep its pixels. A plain script on the
page, ``book/_static/pad.js``, runs the decoder at the point, row by row.

On request the page also shows the real image whose point is nearest, and what a ``Classifier``
says of the drawing; see ``reader``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import spatial

from rnnatomy.analysis import gates
from rnnatomy.report import plots
from rnnatomy.report.widgets import reader, widget
from rnnatomy.store import disk

TOLERANCE = 1 / 255
"""Most by which a pixel on the page may differ from the library's, as a fraction of white: half of
it is the page's rounding to 256 greys, the rest is room for the library's own rounding."""


READ_TOLERANCE = 0.03
"""Most by which a probability that the page's classifier gives may differ from the library's."""


MOST_IMAGES = 100
"""Most real images that a page carries."""


AROUND = 20
"""Points nearest to a point, itself included, of which a numeral's place has most of its digit."""


NAMES = (
    "start.kernel",
    "start.bias",
    "decoder.dense_i.kernel",
    "decoder.dense_h.kernel",
    "decoder.dense_h.bias",
    "readout.kernel",
    "readout.bias",
)
"""The decoder's arrays, in the order in which a page carries them."""


_MARGIN = 0.05  # of the plane's width, around the points


class Plane(NamedTuple):
    """The part of the latent plane that is shown: a square with all points and the origin in it.

    Attributes:
        low: least value of each coordinate.
        width: of the square, above 0.
    """

    low: Float[np.ndarray, "latent=2"]
    width: float


def show(
    parameters: disk.Arrays,
    points: Float[np.ndarray, "sample latent"],
    labels: Int[np.ndarray, " sample"],
    *,
    figure: str,
    rows: int = 28,
    images: Float[np.ndarray, "sample row column"] | None = None,
    classifier: disk.Arrays | None = None,
) -> None:
    """Display the pad; see ``pad`` for the arguments and errors."""
    page = pad(
        parameters, points, labels,
        figure=figure, rows=rows, images=images, classifier=classifier,
    )  # fmt: skip
    words = f"A latent plane with {len(points)} digits, from any point of which one is drawn"
    widget.show(page, words)


def pad(
    parameters: disk.Arrays,
    points: Float[np.ndarray, "sample latent"],
    labels: Int[np.ndarray, " sample"],
    *,
    figure: str,
    rows: int = 28,
    images: Float[np.ndarray, "sample row column"] | None = None,
    classifier: disk.Arrays | None = None,
) -> str:
    """Write the pad as HTML, for a page that loads the scripts and styles of ``book/_static``.

    Args:
        parameters: of an ``VAE`` with two latent units and a Bernoulli likelihood, by dotted
            path; only the decoder's are used.
        points: posterior means, at least one.
        labels: what the points show, 0 to 9.
        figure: identifier, on the same page, of the static figure that shows the same.
        rows: how many rows the decoder draws, at least 1.
        images: what the points are of, as fractions of white (0..1). Of more than ``MOST_IMAGES``
            the page carries as many, spread over the plane. None: it shows no image.
        classifier: arrays of a ``Classifier`` of ten digits, an LSTM that reads as many columns as
            the decoder draws, by dotted path. None: no drawing is read.

    Raises:
        ValueError: if the arrays do not fit, or make a page of more than
            ``widget.MOST_BYTES``.
    """
    _check_parameters(parameters)
    _check_points(points, labels, rows)
    columns = parameters["readout.kernel"].shape[1]
    if images is not None:
        widget.check_images(images, len(points))
    if classifier is not None:
        reader.check_classifier(classifier, columns)
    plane = frame(points)
    arrays = [*(parameters[name] for name in NAMES), points]
    facts: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "hidden": len(parameters["readout.kernel"]),
        "low": plane.low.tolist(),
        "width": plane.width,
        "numerals": numerals(points, labels),
        "colours": plots.DIGIT_COLOURS,
        "sizes": [array.size for array in arrays],
    }
    data = encode(arrays) + labels.astype(np.uint8).tobytes()
    if images is not None:
        chosen = cover(points, MOST_IMAGES)
        facts["images"], greys = widget.pack_images(images[chosen])
        facts["images"]["sample"] = chosen.tolist()
        data += greys
    if classifier is not None:
        facts["reader"], levels = reader.pack_classifier(classifier)
        data += levels
    return _page(facts, data, figure)


def encode(arrays: Sequence[Float[np.ndarray, "..."]]) -> bytes:
    """Lay numbers out as bytes of single precision, the lowest byte rounded away: 24 bits.

    One array comes after the other, row by row. A byte that is 0 everywhere packs to nothing.
    """
    numbers = np.concatenate([array.ravel().astype(np.float32) for array in arrays])
    return widget.planes((numbers.view(np.uint32) + np.uint32(128)) & np.uint32(0xFFFFFF00))


def numerals(
    points: Float[np.ndarray, "sample latent"], labels: Int[np.ndarray, " sample"]
) -> list[tuple[int, float, float]]:
    """Place the numeral of each digit that is there, where it is most among its own.

    That is at a point of the digit with most of its digit ``AROUND`` it; of several, at the one
    nearest to the median of all of the digit's. A median itself may lie among other digits.

    Returns:
        Digit and place, for digits ascending.
    """
    places = points.astype(np.float64)
    _, around = spatial.KDTree(places).query(places, [*range(1, min(AROUND, len(places)) + 1)])
    own = (labels[around] == labels[:, None]).sum(axis=1)
    found = []
    for digit in np.unique(labels):
        best = np.flatnonzero((labels == digit) & (own == own[labels == digit].max()))
        away = places[best] - np.median(places[labels == digit], axis=0)
        found.append((int(digit), *places[best[np.square(away).sum(axis=1).argmin()]].tolist()))
    return found


def cover(points: Float[np.ndarray, "sample latent"], count: int) -> Int[np.ndarray, " chosen"]:
    """Choose points, ascending, such that no point is far from a chosen one.

    First that nearest to the origin, then always that farthest from all chosen ones.
    """
    if len(points) <= count:
        return np.arange(len(points))
    places = points.astype(np.float64)
    chosen = [int(np.square(places).sum(axis=1).argmin())]
    away = np.full(len(places), np.inf)
    while len(chosen) < count:
        away = np.minimum(away, np.square(places - places[chosen[-1]]).sum(axis=1))
        away[chosen[-1]] = -1.0  # not again, even where points coincide
        chosen.append(int(away.argmax()))
    return np.sort(np.array(chosen))


def frame(points: Float[np.ndarray, "sample latent"]) -> Plane:
    """Return the square around some points and the origin, a little larger than they need."""
    around = np.concatenate([np.zeros((1, 2)), points.astype(np.float64)])
    low, high = around.min(axis=0), around.max(axis=0)
    width = (1 + 2 * _MARGIN) * float((high - low).max()) or 1.0
    return Plane((low + high - width) / 2, width)


def _page(facts: dict[str, Any], data: bytes, figure: str) -> str:
    sentence = """On a screen, with JavaScript, in a current browser, this is a latent plane with a
point that can be dragged, and the digit that the decoder draws from it. Otherwise, see"""
    advice = "give fewer points, networks with fewer units, or neither images nor a classifier"
    return widget.widget("pad", sentence, figure, facts, data, advice)


def _check_parameters(parameters: disk.Arrays) -> None:
    """Refuse arrays that do not fit, in one sentence."""
    missing = [name for name in NAMES if name not in parameters]
    if missing:
        raise ValueError(f"parameters lack {', '.join(missing)}: give those of an VAE.")
    if "noise" in parameters:
        raise ValueError("the likelihood is Gaussian: give a network with a Bernoulli likelihood.")
    readout = parameters["readout.kernel"]
    if readout.ndim != 2:
        raise ValueError(f"readout.kernel has shape {readout.shape}: give (hidden, column).")
    latent = len(parameters["start.kernel"])
    if latent != 2:
        raise ValueError(f"the latent size is {latent}: give a network with a latent size of 2.")
    reader.check_arrays(parameters, _shapes(*readout.shape), "")


def _shapes(hidden: int, columns: int) -> dict[str, tuple[int, ...]]:
    width = len(gates.GATES) * hidden
    shapes = ((2, 2 * hidden), (2 * hidden,), (2, width), (hidden, width), (width,))
    return dict(zip(NAMES, (*shapes, (hidden, columns), (columns,)), strict=True))


def _check_points(points: np.ndarray, labels: np.ndarray, rows: int) -> None:
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points have shape {points.shape}: give (sample, 2), at least one.")
    if not np.isfinite(points).all():
        raise ValueError("points hold NaN or infinity: give finite numbers.")
    reader.check_labels(labels, len(points), "point")
    if rows < 1:
        raise ValueError(f"rows is {rows}: give a whole number of at least 1.")
