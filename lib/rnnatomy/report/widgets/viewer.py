"""The viewer: trajectories in three dimensions that a reader turns, and a moving stick figure.

The page gets each coordinate as a whole number of steps,

    p = low + step level,   level from 0 to 65535,

and a plain script on the page, ``book/_static/viewer.js``, draws them. All three axes have the same
scale. From azimuth a and elevation e, as matplotlib has them, a point p is seen at the pixel

    x = width / 2 + k zoom (q . right) / (1 - q . toward / 5)
    y = height / 2 - k zoom (q . up) / (1 - q . toward / 5)

where q = (p - c) / r, with c the middle of the box around all points and r half its diagonal, and

    right  = (-sin a, cos a, 0)
    up     = (-sin e cos a, -sin e sin a, cos e)
    toward = (cos e cos a, cos e sin a, sin e).

The canvas tells these numbers in its attribute ``data-view``: azimuth and elevation in degrees,
zoom, k in pixels, width and height.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt16

from rnnatomy.report import plots
from rnnatomy.report.widgets import widget

LEVELS = 65_535
"""Steps in the widest extent of what is packed."""


AXES = ("mode 1", "mode 2", "mode 3")
"""Names of the axes, where no others are given."""


class Curve(NamedTuple):
    """A trajectory: the encoder's frames, drawn thin and dashed, then the decoder's, drawn solid.

    Attributes:
        name: what the page calls it; no two curves have the same.
        group: number of its class, from 0; it has the class's colour and marker.
        points: one for each frame, at least 2.
        split: how many of the frames, from the first, are the encoder's; 0 or more.
    """

    name: str
    group: int
    points: Float[np.ndarray, "time 3"]
    split: int


class Figure(NamedTuple):
    """A stick figure that moves in step with a curve; the second coordinate is up.

    Attributes:
        joints: places, one row for each frame of the curve.
        parents: number of each joint's parent, which comes before it; -1 for one without.
        head: number of the joint in the middle of the head, a circle which reaches to that joint's
            parent; None for a figure without.
    """

    joints: Float[np.ndarray, "time joint 3"]
    parents: Int[np.ndarray, " joint"]
    head: int | None = None


class Packed(NamedTuple):
    """Coordinates in steps: ``low + step levels``, each within half a step of what was packed.

    Attributes:
        low: least value of each coordinate.
        step: distance between two levels, above 0, the same for all coordinates.
        levels: whole numbers from 0 to 65535.
    """

    low: Float[np.ndarray, "axis=3"]
    step: float
    levels: UInt16[np.ndarray, "*shape axis=3"]


def show(
    curves: Sequence[Curve],
    groups: Sequence[str],
    axes: Sequence[str] = AXES,
    figures: Sequence[Figure | None] | None = None,
    *,
    figure: str,
    rate: float = 25.0,
) -> None:
    """Display the viewer; see ``viewer`` for the arguments and errors."""
    page = viewer(curves, groups, axes, figures, figure=figure, rate=rate)
    count = f"{len(curves)} {'trajectories' if len(curves) > 1 else 'trajectory'}"
    widget.show(page, f"A figure of {count} in three dimensions, to be turned and played")


def viewer(
    curves: Sequence[Curve],
    groups: Sequence[str],
    axes: Sequence[str] = AXES,
    figures: Sequence[Figure | None] | None = None,
    *,
    figure: str,
    rate: float = 25.0,
) -> str:
    """Write the viewer as HTML, for a page that loads the scripts and styles of ``book/_static``.

    Without stick figures all trajectories play at once, or the one that the reader chooses. With
    them, the reader chooses among the trajectories that have one.

    Args:
        curves: at least one.
        groups: names of the classes, from 1 to 10.
        axes: names of the three coordinates; the third is upright at first.
        figures: one for each curve, in their order, or None for a curve without; or None at all.
        figure: identifier, on the same page, of the static figure that shows the same.
        rate: frames per second when it plays, above 0.

    Raises:
        ValueError: if the curves, names or figures do not fit, or make a page of more than
            ``widget.MOST_BYTES``.
    """
    bodies = list(figures) if figures is not None else []
    _check(curves, groups, axes, rate)
    if figures is not None:
        _check_figures(bodies, curves)
    points = pack(np.concatenate([curve.points for curve in curves]))
    lengths = [len(curve.points) for curve in curves]
    rows = np.split(points.levels, np.cumsum(lengths)[:-1])
    known = {at: (body, pack(body.joints)) for at, body in enumerate(bodies) if body}
    facts = {
        "axes": list(axes),
        "groups": _facts_of_groups(groups),
        "rate": float(rate),
        "points": _scale(points),
        "curves": [_facts_of_curve(curve) for curve in curves],
        "figures": [
            {"curve": at, "parents": body.parents.tolist(), "head": body.head} | _scale(joints)
            for at, (body, joints) in known.items()
        ],
    }
    moves = [_from_parents(joints.levels, body.parents) for body, joints in known.values()]
    return _page(facts, encode([*rows, *moves]), figure)


def pack(values: Float[np.ndarray, "*shape 3"]) -> Packed:
    """Round coordinates to steps of 1 / 65535 of the widest extent.

    Args:
        values: finite numbers.
    """
    flat = values.reshape(-1, 3).astype(np.float64)
    low = flat.min(axis=0)
    step = float(np.ptp(flat, axis=0).max()) / LEVELS or 1.0
    levels = np.rint((flat - low) / step).astype(np.uint16)
    return Packed(low, step, levels.reshape(values.shape))


def encode(arrays: Sequence[UInt16[np.ndarray, "_ ..."]]) -> bytes:
    """Lay levels out as bytes, such that smooth motion packs well.

    One array after the other; in each, column by column the second differences in time, modulo
    65536 and with zeros before the first frame, each array folded (``widget.fold``) on its own.
    """
    return b"".join(_bytes_of(levels.reshape(len(levels), -1)) for levels in arrays)


def _bytes_of(levels: UInt16[np.ndarray, "time column"]) -> bytes:
    before = np.zeros((2, levels.shape[1]), np.uint16)
    second = np.diff(np.concatenate([before, levels]), n=2, axis=0).T.astype(np.int16)
    return widget.fold(second)


def _from_parents(
    levels: UInt16[np.ndarray, "time joint 3"], parents: Int[np.ndarray, " joint"]
) -> UInt16[np.ndarray, "time joint 3"]:
    """Subtract, modulo 65536, each joint's parent: limbs move less than the body."""
    above = np.where(parents[:, None] < 0, np.uint16(0), levels[:, parents])
    return levels - above


def _facts_of_groups(groups: Sequence[str]) -> list[dict[str, str]]:
    signs = zip(groups, plots.DIGIT_COLOURS, plots.DIGIT_MARKERS, strict=False)
    return [{"name": name, "colour": colour, "marker": marker} for name, colour, marker in signs]


def _facts_of_curve(curve: Curve) -> dict[str, Any]:
    frames = len(curve.points)
    numbers = {"group": int(curve.group), "split": int(curve.split), "frames": frames}
    return {"name": curve.name} | numbers


def _scale(packed: Packed) -> dict[str, Any]:
    return {"low": packed.low.tolist(), "step": packed.step}


def _page(facts: dict[str, Any], data: bytes, figure: str) -> str:
    sentence = """On a screen, with JavaScript, in a current browser, this is a figure in
three dimensions that can be turned and played. Otherwise, see"""
    advice = "give fewer or shorter curves, or fewer stick figures"
    return widget.widget("viewer", sentence, figure, facts, data, advice)


def _check(
    curves: Sequence[Curve], groups: Sequence[str], axes: Sequence[str], rate: float
) -> None:
    """Refuse what does not fit, in one sentence."""
    if not curves:
        raise ValueError("no curve is given: give at least one.")
    if not 1 <= len(groups) <= len(plots.DIGIT_COLOURS):
        raise ValueError(
            f"{len(groups)} groups are named: name 1 to {len(plots.DIGIT_COLOURS)}, for each has "
            "its own colour."
        )
    if len(axes) != 3:
        raise ValueError(f"{len(axes)} axes are named: name three.")
    if not (rate > 0 and np.isfinite(rate)):
        raise ValueError(f"rate is {rate}: give frames per second, above 0.")
    for curve in curves:
        _check_curve(curve, len(groups))
    names = [curve.name for curve in curves]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"two curves are called {twice[0]!r}: give each a name of its own.")


def _check_curve(curve: Curve, groups: int) -> None:
    _check_places(f"curve {curve.name!r}", curve.points, "(time, 3)", 2)
    frames = len(curve.points)
    if frames < 2:
        raise ValueError(f"curve {curve.name!r} has {frames} frames: give at least 2.")
    if not 0 <= curve.split <= frames:
        raise ValueError(
            f"curve {curve.name!r}: split is {curve.split}, give 0 to {frames}, how many of its "
            "frames are the encoder's."
        )
    if not 0 <= curve.group < groups:
        raise ValueError(
            f"curve {curve.name!r}: group {curve.group} has no name, give 0 to {groups - 1}."
        )


def _check_places(owner: str, places: np.ndarray, shape: str, axes: int) -> None:
    if places.ndim != axes or places.shape[-1] != 3:
        raise ValueError(f"{owner} has shape {places.shape}: give {shape}.")
    if not np.isfinite(places).all():
        raise ValueError(f"{owner} holds NaN or infinity: give finite numbers.")


def _check_figures(figures: Sequence[Figure | None], curves: Sequence[Curve]) -> None:
    if len(figures) != len(curves):
        raise ValueError(
            f"there are {len(figures)} figures, and curves: {len(curves)}; give one figure for "
            "each curve, or None in its place."
        )
    if not any(figures):
        raise ValueError("figures holds no stick figure: give one, or leave figures out.")
    for curve, figure in zip(curves, figures, strict=True):
        if figure is not None:
            _check_figure(figure, curve)


def _check_figure(figure: Figure, curve: Curve) -> None:
    owner = f"the figure of {curve.name!r}"
    _check_places(owner, figure.joints, "(time, joint, 3)", 3)
    frames, joints = figure.joints.shape[:2]
    if frames != len(curve.points):
        raise ValueError(f"{owner} has {frames} frames: give {len(curve.points)}, as its curve.")
    numbers = np.arange(joints)
    if figure.parents.shape != (joints,) or not joints:
        raise ValueError(
            f"{owner} has {joints} joints and parents of shape {figure.parents.shape}: give one "
            "parent for each joint, and at least one joint."
        )
    if (figure.parents < -1).any() or (figure.parents >= numbers).any():
        raise ValueError(
            f"{owner}: parents {figure.parents.tolist()} are no tree, give for each joint one that "
            "comes before it, or -1."
        )
    with_parent = np.flatnonzero(figure.parents >= 0).tolist()
    if figure.head is not None and figure.head not in with_parent:
        raise ValueError(
            f"{owner}: head is {figure.head}, give the number of a joint that has a parent, or "
            "None."
        )
