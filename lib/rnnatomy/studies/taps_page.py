"""What the page on taps measures: what is read while gates do not look at the image."""

import numpy as np
import xarray as xr
from jaxtyping import Float, Int

from rnnatomy.analysis import gates
from rnnatomy.networks import access, runs

HELD = ("i", "f", "o", "ifo", "g")
"""Which gates are held at a time, by their letters."""


WAYS = ("shut", "open", "mean", "timer", "another's timer")
"""How a gate is held: at 0, at 1, each unit at its mean, each unit at its mean after each row, and
the same with the units dealt anew."""


def held(
    run: runs.Run,
    images: Float[np.ndarray, "image row column"],
    labels: Int[np.ndarray, " image"],
    rng: np.random.Generator,
) -> xr.Dataset:
    """Measure what a classifier still reads while some of its gates are held.

    Means are those of the images with an even place, from 0 on; the others are read.

    Args:
        run: an LSTM classifier.
        images: as fractions of white (0..1), at least two.
        labels: what they show.
        rng: deals the units.

    Returns:
        "accuracy" (held, way), a fraction, see ``HELD`` and ``WAYS``; "whole" (), with all gates
        at work; "opened" (gate, row), the mean over units and images, of row 1 to the last.

    Raises:
        ValueError: as ``gates.held``.
    """
    matrices = access.matrices(runs.restore(run))
    bias, read = run.parameters["cell.dense_h.bias"], slice(1, None, 2)

    def accuracy(values: dict[str, np.ndarray]) -> float:
        last = gates.held(matrices, bias, images[read], values)[:, -1]
        return float(((last @ run.readout.T + run.bias).argmax(axis=1) == labels[read]).mean())

    seen = images[::2]
    opened = gates.activations(matrices, bias, seen, gates.held(matrices, bias, seen, {}))
    timers = {gate: values.mean(axis=0) for gate, values in opened.items()}  # (row, unit)
    dealt = rng.permutation(len(bias) // len(gates.GATES))
    ways = [
        lambda timer: np.zeros_like(timer),
        lambda timer: np.ones_like(timer),
        lambda timer: timer.mean(axis=0),
        lambda timer: timer,
        lambda timer: timer[:, dealt],
    ]
    found = [
        [accuracy({gate: way(timers[gate]) for gate in together}) for way in ways]
        for together in HELD
    ]
    means = [timers[gate].mean(axis=1) for gate in gates.GATES]
    return xr.Dataset(
        {
            "accuracy": (("held", "way"), found),
            "whole": accuracy({}),
            "opened": (("gate", "row"), means),
        },
        {
            "held": list(HELD),
            "way": list(WAYS),
            "gate": list(gates.GATES),
            "row": np.arange(1, images.shape[1] + 1),
        },
    )
