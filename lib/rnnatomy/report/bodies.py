"""Drawings of people: a few poses of a movement, as stick figures side by side."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes

from rnnatomy.report import plots

APART = 22.0
"""From one pose to the next, in the units of the joints; a person is about 25 tall."""


def poses(
    ax: Axes,
    joints: Float[np.ndarray, "time joint 3"],
    parents: Int[np.ndarray, " joint"],
    count: int = 4,
    *,
    colour: str = plots.ACCENT,
    fades: bool = True,
    place: int = 0,
) -> Axes:
    """Draw poses of a movement from the side, evenly apart in time; the later, the darker.

    Args:
        ax: where to draw.
        joints: places, frame by frame; the second coordinate is up, the third along the page.
        parents: number of the joint that each one hangs from; -1 for one without.
        count: of the poses, at least 1; the first frame and the last are among them.
        colour: of all poses.
        fades: whether earlier poses are fainter; if not, they are no movement, but side by side.
        place: of the first pose in the row, from 0; those before it are left free.
    """
    frames = np.linspace(0, len(joints) - 1, count).astype(int)
    for k, strength in enumerate(np.linspace(0.4 if fades else 1, 1, count)):
        places = joints[frames[k]][:, [2, 1]] + np.array([APART * (place + k), 0])
        _pose(ax, places, parents, {"color": colour, "alpha": strength})
    ax.set(aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _pose(
    ax: Axes,
    places: Float[np.ndarray, "joint 2"],
    parents: Int[np.ndarray, " joint"],
    look: dict[str, Any],
) -> None:
    """Draw a bone from each joint to the one that it hangs from."""
    for joint in np.flatnonzero(parents >= 0):
        ends = places[[parents[joint], joint]].T
        ax.plot(*ends, linewidth=1.3, **look)
