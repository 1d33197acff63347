"""The vanishing digits: two switches that take directions out of a readout, and what is then gone.

All that can be seen is worked out beforehand: what each sample of one class is read as in each of
five states. A plain script on the page, ``book/_static/vanish.js``, shows one of them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import svd
from rnnatomy.report.widgets import widget

STATES = ("nothing", "first", "second", "both", "control")
"""What is taken out: nothing, one direction or the other, both, or two others in their place."""


class Answers(NamedTuple):
    """What samples of one class are read as.

    Attributes:
        label: the class.
        states: answers in each of ``STATES``.
    """

    label: int
    states: Int[np.ndarray, "state=5 sample"]

    @property
    def kept(self) -> Int[np.ndarray, " state"]:
        """How many samples are read rightly in each state."""
        return (self.states == self.label).sum(axis=1)


def answers(
    readout: tuple[Float[np.ndarray, "class hidden"], Float[np.ndarray, " class"]],
    states: Float[np.ndarray, "sample hidden"],
    label: int,
    pair: tuple[int, int],
    others: Float[np.ndarray, "class pair=2"],
) -> Answers:
    """Read samples of one class with directions taken out.

    Args:
        readout: W and b.
        states: hidden states of samples of the class.
        label: the class.
        pair: two directions of the readout, counted from 1.
        others: two directions of the class space in their place, orthonormal.
    """
    W, b = readout
    parts = svd.svd(W)
    left = parts.U[:, [pair[0] - 1, pair[1] - 1]]
    gone = [left[:, :0], left[:, :1], left[:, 1:], left, others]
    read = [(states @ (W - Q @ Q.T @ W).T + b).argmax(axis=1) for Q in gone]
    return Answers(label, np.stack(read))


def show(
    found: Answers,
    names: Sequence[str],
    shown: Int[np.ndarray, " picture"],
    images: Float[np.ndarray, "picture row column"] | None,
    figure: str,
) -> None:
    """Display the widget; see ``vanish`` for the arguments and errors."""
    page = vanish(found, names, shown, images, figure)
    widget.show(page, f"{len(shown)} digits, and two switches that make them vanish")


def vanish(
    found: Answers,
    names: Sequence[str],
    shown: Int[np.ndarray, " picture"],
    images: Float[np.ndarray, "picture row column"] | None,
    figure: str,
) -> str:
    """Write the widget as HTML, for a page with the scripts and styles of ``book/_static``.

    Args:
        found: what each sample is read as.
        names: of the two directions, and of what stands in their place, as a sentence has them.
        shown: numbers of the samples that are shown.
        images: of these, intensities as a fraction (0..1); None where they are not at hand: the
            digit stands in their place.
        figure: identifier, on the same page, of the static figure to read without the script.

    Raises:
        ValueError: if names, samples or images do not fit.
    """
    _check(found, names, shown, images)
    facts = {
        "label": found.label,
        "names": list(names),
        "total": found.states.shape[1],
        "kept": found.kept.tolist(),
        "answers": found.states[:, shown].tolist(),
        "shape": None if images is None else list(images.shape[1:]),
        "white": widget.GREYS,
    }
    data = b"" if images is None else widget.pack_images(images)[1]
    sentence = """With JavaScript, in a current browser, two switches here take directions out of
a network, and the digits that it no longer reads vanish. Without them, see"""
    return widget.widget("vanish", sentence, figure, facts, data, "show fewer digits")


def choose(found: Answers, count: int) -> Int[np.ndarray, " picture"]:
    """Choose samples such that as many of a hundred vanish here as in all.

    Args:
        found: what each sample is read as.
        count: how many.

    Returns:
        Numbers of samples, ascending: evenly over all, in the order of the states in which they
        are read rightly.
    """
    right = found.states == found.label
    order = np.lexsort((np.arange(right.shape[1]), *right))
    places = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
    return np.sort(order[places])


def _check(
    found: Answers, names: Sequence[str], shown: np.ndarray, images: np.ndarray | None
) -> None:
    if len(names) != 3:
        raise ValueError(f"{len(names)} names are given: give two directions, and their control.")
    if not len(shown) or shown.min() < 0 or shown.max() >= found.states.shape[1]:
        raise ValueError(
            f"the samples shown are not all there: give numbers from 0 to "
            f"{found.states.shape[1] - 1}, at least one."
        )
    if images is not None:
        widget.check_images(images, len(shown))
