"""The pad: a point of a latent plane that a reader drags, and the digit that is drawn from it.

The page gets the decoder of an ``VAE`` with two latent units as it is, in single precision: a
trained decoder amplifies what is rounded over its rows, and 16 bits barely keep its pixels. A
plain script on the page, ``book/_static/pad.js``, runs the decoder at the point, row by row.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import gates
from rnnatomy.report import plots
from rnnatomy.report.widgets import widget
from rnnatomy.store import disk

TOLERANCE = 1 / 255
"""Most by which a pixel on the page may differ from the library's, as a fraction of white: half of
it is the page's rounding to 256 greys, the rest is room for the library's own rounding."""


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
) -> None:
    """Display the pad; see ``pad`` for the arguments and errors."""
    page = pad(parameters, points, labels, figure=figure, rows=rows)
    words = f"A latent plane with {len(points)} digits, from any point of which one is drawn"
    widget.show(page, words)


def pad(
    parameters: disk.Arrays,
    points: Float[np.ndarray, "sample latent"],
    labels: Int[np.ndarray, " sample"],
    *,
    figure: str,
    rows: int = 28,
) -> str:
    """Write the pad as HTML, for a page that loads the scripts and styles of ``book/_static``.

    Args:
        parameters: of an ``VAE`` with two latent units and a Bernoulli likelihood, by dotted
            path; only the decoder's are used.
        points: posterior means, at least one.
        labels: what the points show, 0 to 9.
        figure: identifier, on the same page, of the static figure that shows the same.
        rows: how many rows the decoder draws, at least 1.

    Raises:
        ValueError: if the arrays do not fit, or make a page of more than
            ``widget.MOST_BYTES``.
    """
    _check_parameters(parameters)
    _check_points(points, labels, rows)
    plane = frame(points)
    arrays = [*(parameters[name] for name in NAMES), points]
    hidden, columns = parameters["readout.kernel"].shape
    facts: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "hidden": hidden,
        "low": plane.low.tolist(),
        "width": plane.width,
        "colours": plots.DIGIT_COLOURS,
        "sizes": [array.size for array in arrays],
    }
    return _page(facts, encode(arrays) + labels.astype(np.uint8).tobytes(), figure)


def encode(arrays: Sequence[Float[np.ndarray, "..."]]) -> bytes:
    """Lay numbers out as bytes, in single precision: one array after the other, row by row."""
    return widget.planes(np.concatenate([array.ravel().astype(np.float32) for array in arrays]))


def frame(points: Float[np.ndarray, "sample latent"]) -> Plane:
    """Return the square around some points and the origin, a little larger than they need."""
    around = np.concatenate([np.zeros((1, 2)), points.astype(np.float64)])
    low, high = around.min(axis=0), around.max(axis=0)
    width = (1 + 2 * _MARGIN) * float((high - low).max()) or 1.0
    return Plane((low + high - width) / 2, width)


def _page(facts: dict[str, Any], data: bytes, figure: str) -> str:
    sentence = """On a screen, with JavaScript, in a current browser, this is a latent plane with a
point that can be dragged, and the digit that the decoder draws from it. Otherwise, see"""
    advice = "give fewer points, or a network with fewer units"
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
    latent, shapes = len(parameters["start.kernel"]), _shapes(*readout.shape)
    if latent != 2:
        raise ValueError(f"the latent size is {latent}: give a network with a latent size of 2.")
    for name, shape in shapes.items():
        if parameters[name].shape != shape:
            raise ValueError(f"{name} has shape {parameters[name].shape}: give {shape}.")
        if not np.isfinite(parameters[name]).all():
            raise ValueError(f"{name} holds NaN or infinity: give finite numbers.")


def _shapes(hidden: int, columns: int) -> dict[str, tuple[int, ...]]:
    width = len(gates.GATES) * hidden
    shapes = ((2, 2 * hidden), (2 * hidden,), (2, width), (hidden, width), (width,))
    return dict(zip(NAMES, (*shapes, (hidden, columns), (columns,)), strict=True))


def _check_points(points: np.ndarray, labels: np.ndarray, rows: int) -> None:
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"points have shape {points.shape}: give (sample, 2), at least one.")
    if not np.isfinite(points).all():
        raise ValueError("points hold NaN or infinity: give finite numbers.")
    if labels.shape != (len(points),):
        raise ValueError(f"labels have shape {labels.shape}: give one for each point.")
    if not np.isin(labels, np.arange(len(plots.DIGIT_COLOURS))).all():
        raise ValueError(f"labels range from {labels.min()} to {labels.max()}: give 0 to 9.")
    if rows < 1:
        raise ValueError(f"rows is {rows}: give a whole number of at least 1.")
