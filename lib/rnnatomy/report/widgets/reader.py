"""The classifier that a page carries: an LSTM of ten digits; and checks of what a page is given.

Its numbers come as whole multiples of a step. On the page, ``book/_static/widget.js`` reads them,
and has what it takes to run the network, step by step.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnatomy.analysis import gates
from rnnatomy.report import plots
from rnnatomy.report.widgets import widget
from rnnatomy.store import disk

READER = (
    "cell.dense_i.kernel",
    "cell.dense_h.kernel",
    "cell.dense_h.bias",
    "readout.kernel",
    "readout.bias",
)
"""The classifier's arrays, in the order in which a page carries them."""


LEVELS = 511
"""Steps in the largest number of an array of the classifier: 10 bits with the sign."""


def pack_classifier(classifier: disk.Arrays, levels: int = LEVELS) -> tuple[dict[str, Any], bytes]:
    """Lay a classifier out as whole multiples of a step, which each array has of its own.

    Args:
        classifier: arrays that ``check_classifier`` lets pass.
        levels: steps in the largest number of an array.
    """
    return widget.pack_steps([classifier[name] for name in READER], levels)


def check_classifier(classifier: disk.Arrays, columns: int) -> None:
    """Refuse arrays that are no LSTM classifier of ten digits, in one sentence.

    Args:
        classifier: by dotted path.
        columns: how many numbers it reads at each step.
    """
    missing = [name for name in READER if name not in classifier]
    if missing:
        raise ValueError(
            f"the classifier lacks {', '.join(missing)}: give the arrays of an LSTM Classifier."
        )
    hidden, classes = len(classifier["readout.kernel"]), len(plots.DIGIT_COLOURS)
    width = len(gates.GATES) * hidden
    shapes = ((columns, width), (hidden, width), (width,), (hidden, classes), (classes,))
    check_arrays(classifier, dict(zip(READER, shapes, strict=True)), "the classifier's ")


def check_arrays(arrays: disk.Arrays, shapes: Mapping[str, tuple[int, ...]], whose: str) -> None:
    """Refuse arrays of other shapes, or with numbers that are not finite, in one sentence."""
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{whose}{name} has shape {arrays[name].shape}: give {shape}.")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{whose}{name} holds NaN or infinity: give finite numbers.")


def check_labels(labels: np.ndarray, count: int, each: str) -> None:
    """Refuse labels that are not one digit for each of so many, in one sentence."""
    if labels.shape != (count,):
        raise ValueError(f"labels have shape {labels.shape}: give one for each {each}.")
    if not np.isin(labels, np.arange(len(plots.DIGIT_COLOURS))).all():
        raise ValueError(f"labels range from {labels.min()} to {labels.max()}: give 0 to 9.")
