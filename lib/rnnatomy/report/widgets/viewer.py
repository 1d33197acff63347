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

Colours stand for classes, or for the clusters that were found, as a reader chooses. Over a stick
figure may stand its ghost: the pose as it was predicted.
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
        clusters: the cluster that was found for it, or for each of its frames; a number from 0 to
            9, and that of a class where the cluster is matched to it, as ``clusters.relabel`` does.
    """

    name: str
    group: int
    points: Float[np.ndarray, "time 3"]
    split: int
    clusters: int | Int[np.ndarray, " time"] | None = None


class Ghost(NamedTuple):
    """The pose as predicted, drawn thin and dashed over that of a stick figure.

    Attributes:
        joints: as those of the figure; NaN, all of a frame, where nothing is predicted.
        errors: of the prediction, frame by frame; NaN where there is none.
        still: the same of the rival that repeats the last frame that was read.
    """

    joints: Float[np.ndarray, "time joint 3"]
    errors: Float[np.ndarray, " time"]
    still: Float[np.ndarray, " time"]


class Figure(NamedTuple):
    """A stick figure that moves in step with a curve; the second coordinate is up.

    Attributes:
        joints: places, one row for each frame of the curve.
        parents: number of each joint's parent, which comes before it; -1 for one without.
        head: number of the joint in the middle of the head, a circle which reaches to that joint's
            parent; None for a figure without.
        ghost: the figure as predicted; None for one without.
    """

    joints: Float[np.ndarray, "time joint 3"]
    parents: Int[np.ndarray, " joint"]
    head: int | None = None
    ghost: Ghost | None = None


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
    kind: str = "class",
) -> None:
    """Display the viewer; see ``viewer`` for the arguments and errors."""
    page = viewer(curves, groups, axes, figures, figure=figure, rate=rate, kind=kind)
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
    kind: str = "class",
) -> str:
    """Write the viewer as HTML, for a page that loads the scripts and styles of ``book/_static``.

    Without stick figures all trajectories play at once, or the one that the reader chooses. With
    them, the reader chooses among the trajectories that have one. Where curves tell their clusters,
    the reader chooses what colours stand for.

    Args:
        curves: at least one; with clusters all of them, or none.
        groups: names of the classes, from 1 to 10.
        axes: names of the three coordinates; the third is upright at first.
        figures: one for each curve, in their order, or None for a curve without; or None at all.
        figure: identifier, on the same page, of the static figure that shows the same.
        rate: frames per second when it plays, above 0.
        kind: what a class is called.

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
    known = {at: (body, _pack_figure(body)) for at, body in enumerate(bodies) if body}
    facts = {
        "kind": kind,
        "axes": list(axes),
        "groups": _facts_of_groups(groups),
        "rate": float(rate),
        "points": _scale(points),
        "curves": [_facts_of_curve(curve) for curve in curves],
        "clusters": _facts_of_clusters(groups, curves),
        "figures": [_facts_of_figure(at, *one) for at, one in known.items()],
    }
    # one layer of a figure, and two if it has a ghost
    moves = [
        _from_parents(layer, body.parents)
        for body, packed in known.values()
        for layer in packed.levels
    ]
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


def _pack_figure(figure: Figure) -> Packed:
    """Pack a figure, and after it its ghost, who stands in it where nothing is predicted."""
    layers = [figure.joints]
    if figure.ghost:
        layers.append(np.where(np.isnan(figure.ghost.joints), figure.joints, figure.ghost.joints))
    return pack(np.stack(layers))


def _from_parents(
    levels: UInt16[np.ndarray, "time joint 3"], parents: Int[np.ndarray, " joint"]
) -> UInt16[np.ndarray, "time joint 3"]:
    """Subtract, modulo 65536, each joint's parent: limbs move less than the body."""
    above = np.where(parents[:, None] < 0, np.uint16(0), levels[:, parents])
    return levels - above


def _facts_of_groups(groups: Sequence[str]) -> list[dict[str, str]]:
    signs = zip(groups, plots.DIGIT_COLOURS, plots.DIGIT_MARKERS, strict=False)
    return [{"name": name, "colour": colour, "marker": marker} for name, colour, marker in signs]


def _facts_of_clusters(groups: Sequence[str], curves: Sequence[Curve]) -> dict[str, dict[str, str]]:
    """Tell the looks of the clusters that there are, by their numbers; none without clusters."""
    if curves[0].clusters is None:
        return {}
    there = np.unique(np.concatenate([_clusters_of(curve) for curve in curves])).tolist()
    names = [f"{k + 1} ({groups[k]})" if k < len(groups) else str(k + 1) for k in there]
    looks = [_facts_of_groups([name] * (k + 1))[-1] for name, k in zip(names, there, strict=True)]
    return {str(k): look for k, look in zip(there, looks, strict=True)}


def _facts_of_curve(curve: Curve) -> dict[str, Any]:
    frames = len(curve.points)
    numbers = {"group": int(curve.group), "split": int(curve.split), "frames": frames}
    told: dict[str, Any] = {"name": curve.name} | numbers
    if curve.clusters is not None:
        told["clusters"] = _runs(_clusters_of(curve))
    return told


def _facts_of_figure(at: int, figure: Figure, packed: Packed) -> dict[str, Any]:
    told: dict[str, Any] = {"curve": at, "parents": figure.parents.tolist(), "head": figure.head}
    if figure.ghost:
        errors = (figure.ghost.errors, figure.ghost.still)
        told["ghost"] = dict(zip(("errors", "still"), map(_rounded, errors), strict=True))
    return told | _scale(packed)


def _clusters_of(curve: Curve) -> Int[np.ndarray, " time"]:
    return np.broadcast_to(np.asarray(curve.clusters), len(curve.points))


def _runs(numbers: Int[np.ndarray, " time"]) -> list[list[int]]:
    """Tell which number stands how often, one run after the other."""
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    lengths = np.diff(starts, append=len(numbers))
    return np.stack([numbers[starts], lengths], axis=1).tolist()


def _rounded(errors: Float[np.ndarray, " time"]) -> list[float | None]:
    return [None if np.isnan(error) else round(float(error), 2) for error in errors]


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
    if len({curve.clusters is None for curve in curves}) > 1:
        raise ValueError("some curves have clusters and some have none: give all of them, or none.")
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
    if curve.clusters is not None:
        _check_clusters(curve)


def _check_clusters(curve: Curve) -> None:
    found, frames = np.asarray(curve.clusters), len(curve.points)
    if found.shape not in ((), (frames,)):
        raise ValueError(
            f"curve {curve.name!r} has clusters of shape {found.shape}: give one for the curve, or "
            f"({frames},), one for each frame."
        )
    most = len(plots.DIGIT_COLOURS) - 1
    if found.dtype.kind not in "iu" or found.min() < 0 or found.max() > most:
        raise ValueError(
            f"curve {curve.name!r} has clusters {np.unique(found).tolist()}: give whole numbers "
            f"from 0 to {most}."
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
    if figure.ghost is not None:
        _check_ghost(owner, figure.ghost, figure.joints)


def _check_ghost(owner: str, ghost: Ghost, joints: np.ndarray) -> None:
    """Refuse a ghost that has other frames than its figure, or errors elsewhere than poses."""
    frames = (len(joints),)
    if (ghost.joints.shape, ghost.errors.shape, ghost.still.shape) != (
        joints.shape,
        frames,
        frames,
    ):
        raise ValueError(
            f"{owner} has a ghost of shape {ghost.joints.shape}, with errors of shapes "
            f"{ghost.errors.shape} and {ghost.still.shape}: give {joints.shape}, {frames} and "
            f"{frames}."
        )
    there = np.isfinite(ghost.joints).all(axis=(1, 2))
    absent = np.isnan(ghost.joints).all(axis=(1, 2))
    if not (there | absent).all():
        raise ValueError(f"{owner} has a ghost in parts: give all joints of a frame, or only NaN.")
    if any((np.isfinite(one) != there).any() for one in (ghost.errors, ghost.still)):
        raise ValueError(
            f"{owner} has a ghost in {there.sum()} frames, and errors in others: give both errors "
            "in these frames, and NaN elsewhere."
        )
