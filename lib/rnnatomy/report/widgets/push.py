"""The push: a live decoder on its closed curve, which a reader pushes off it.

The page gets a GRU that is fed its own outputs, and the sets in which it ends. A plain script on
the page, ``book/_static/push.js``, runs it frame by frame, and measures how far each state is from
the nearest set, as a share of the size of the states. Numbers come as whole multiples of a step,
one for each array; a closed curve comes as the waves that it is made up of.

The plane tells in its attribute ``data-point`` how many frames went by, the state in two modes,
what is drawn, and how far the state is from the nearest set.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import maps, pod
from rnnatomy.report import plots
from rnnatomy.report.widgets import reader, widget
from rnnatomy.store import disk

TOLERANCE = 0.002
"""Most by which a state on the page may differ from the library's within 100 frames on a curve, as
a share of the size of the states. Later a closed curve keeps what its phase has lost."""


DISTANCE_TOLERANCE = 0.002
"""Most by which a distance from the nearest set may differ, at any time, in the same unit."""


LEVELS = 32_767
"""Steps in the largest number of an array: 16 bits with the sign, for a network that is run on."""


MOST_SETS = 6
"""Most sets of a network that a page carries: of more, the first ones."""


MOST_UNITS = 160
"""Units up to which a page has room for a second network."""


WAVES = (8, 16, 32)
"""Numbers of waves of which a closed curve is made up, the fewest that fit."""


FITS = 1e-3
"""Most that a state may be off those waves, as a share of the size of the states."""


STATES = 64
"""States of a set that is no closed curve, such as a cycle."""


NAMES = (
    "decoder.dense_i.kernel",
    "decoder.dense_i.bias",
    "decoder.dense_h.kernel",
    "readout.kernel",
    "readout.bias",
)
"""The decoder's arrays, in the order in which a page carries them."""


class Decoder(NamedTuple):
    """A decoder, and where it ends when it is run for ever.

    Attributes:
        parameters: arrays of a ``Seq2Seq`` of GRUs without ``residual``, which draws two numbers a
            frame, by dotted path; others are left out.
        sets: states on each set in the order of time, as of ``maps.limit_sets``; at least one set.
        names: what the page calls each of them.
        groups: numbers of their colours, 0 to 9.
    """

    parameters: disk.Arrays
    sets: Float[np.ndarray, "set time hidden"]
    names: Sequence[str]
    groups: Sequence[int]


def show(
    decoder: Decoder,
    basis: pod.POD,
    *,
    figure: str,
    before: Decoder | None = None,
    shapes: Sequence[tuple[float, float]] = (),
) -> None:
    """Display the widget; see ``push`` for the arguments and errors."""
    page = push(decoder, basis, figure=figure, before=before, shapes=shapes)
    widget.show(page, "A decoder that goes round, to be pushed off its curve")


def push(
    decoder: Decoder,
    basis: pod.POD,
    *,
    figure: str,
    before: Decoder | None = None,
    shapes: Sequence[tuple[float, float]] = (),
) -> str:
    """Write the widget as HTML, for a page that loads the scripts and styles of ``book/_static``.

    Args:
        decoder: what is pushed; it starts on its first set.
        basis: modes of its states, at least two, and their mean. The size of the states is the root
            of the mean square of what it was made from.
        figure: identifier, on the same page, of the static figure to see without the script.
        before: the same network before training, with where it ends; left out of a page if it has
            more than ``MOST_UNITS`` units. None: the page does without.
        shapes: half-axes across and up of the ellipses that are to be drawn.

    Raises:
        ValueError: if something does not fit, or makes a page of more than ``widget.MOST_BYTES``.
    """
    hidden = _check_decoder(decoder, "")
    _check_basis(basis, hidden)
    if not all(np.isfinite(pair).all() and np.shape(pair) == (2,) for pair in shapes):
        raise ValueError("a shape is no pair of finite half-axes: give (across, up) of each.")
    networks = [decoder]
    if before is not None:
        if _check_decoder(before, "before training: ") != hidden:
            raise ValueError("the decoder had other units before training: give the same network.")
        networks += [before] * (hidden <= MOST_UNITS)
    size = float(np.sqrt(basis.energy / basis.snapshots))
    arrays, told = [basis.modes[0], basis.modes[1], basis.mean], []
    for one in networks:
        sets, tracks = _sets(one, size)
        told.append({"sets": sets})
        arrays += [*(one.parameters[name] for name in NAMES), _state_bias(one), *tracks]
    steps, data = widget.pack_steps(arrays, LEVELS)
    ellipses = [*map(list, dict.fromkeys(shapes))]
    facts: dict[str, Any] = {"size": size, "networks": told, "shapes": ellipses}
    sentence = """With JavaScript, in a current browser, a decoder goes round its closed curve here,
can be pushed off it, and comes back or not. Otherwise, see"""
    advice = "give a network with fewer units, or fewer sets"
    return widget.widget("push", sentence, figure, facts | steps, data, advice)


def curve(
    orbit: Float[np.ndarray, "time hidden"], most: float
) -> Float[np.ndarray, "wave hidden"] | None:
    """Return the waves that the closed curve under an orbit is made up of.

    The state after the share t of a turn is ``w[0] + sum over k of w[k] cos(2 pi k t) + w[n + k]
    sin(2 pi k t)``, with k from 1 to n.

    Args:
        orbit: states on it, one per step.
        most: distance by which a state may be off.

    Returns:
        The 2 n + 1 waves w, as few as ``WAVES`` allow; None if the orbit goes round no closed curve
        that they fit.
    """
    try:
        turns = maps.rotation(orbit).number * np.arange(len(orbit))
    except ValueError:
        return None
    for count in WAVES:
        angles = 2 * np.pi * np.outer(turns, np.arange(count + 1))
        parts = np.concatenate([np.cos(angles), np.sin(angles[:, 1:])], axis=1)
        found, _, rank, _ = np.linalg.lstsq(parts, orbit, rcond=1e-8)
        if rank < parts.shape[1]:
            return None
        if np.linalg.norm(parts @ found - orbit, axis=1).max() < most:
            return np.asarray(found)
    return None


def _sets(decoder: Decoder, size: float) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Return what a script is told of each set, and its waves or states."""
    told, tracks = [], []
    numbered = zip(decoder.sets, decoder.names, decoder.groups, strict=True)
    for orbit, name, group in [*numbered][:MOST_SETS]:
        rests = np.linalg.norm(orbit - orbit[0], axis=1).max() < FITS * size
        waves = None if rests else curve(orbit, FITS * size)
        tracks.append(waves if waves is not None else orbit[: 1 if rests else STATES])
        colour = plots.DIGIT_COLOURS[group]
        told.append({"name": name, "colour": colour, "closed": waves is not None})
    return told, tracks


def _state_bias(decoder: Decoder) -> Float[np.ndarray, " gates"]:
    """Return the bias beside the hidden state's kernel: zero where there is none."""
    zero = np.zeros_like(decoder.parameters["decoder.dense_i.bias"])
    return np.asarray(decoder.parameters.get("decoder.dense_h.bias", zero))


def _check_decoder(decoder: Decoder, whose: str) -> int:
    """Refuse what is no decoder with its sets, in one sentence; return how many units it has."""
    arrays, sets = decoder.parameters, np.asarray(decoder.sets)
    missing = [name for name in NAMES if name not in arrays]
    if missing:
        raise ValueError(f"{whose}parameters lack {', '.join(missing)}: give those of a Seq2Seq.")
    hidden = len(arrays["readout.kernel"])
    shapes = ((2, 3 * hidden), (3 * hidden,), (hidden, 3 * hidden), (hidden, 2), (2,))
    wanted = dict(zip(NAMES, shapes, strict=True))
    if "decoder.dense_h.bias" in arrays:
        wanted["decoder.dense_h.bias"] = (3 * hidden,)
    reader.check_arrays(arrays, wanted, whose)
    if sets.ndim != 3 or not sets.size or sets.shape[2] != hidden:
        raise ValueError(
            f"{whose}sets have shape {sets.shape}: give (set, time, {hidden}), at least one."
        )
    if not np.isfinite(sets).all():
        raise ValueError(f"{whose}sets hold NaN or infinity: give finite numbers.")
    if not len(decoder.names) == len(decoder.groups) == len(sets):
        raise ValueError(
            f"{whose}{len(decoder.names)} names and {len(decoder.groups)} groups of {len(sets)} "
            "sets are given: give one for each."
        )
    if not np.isin(decoder.groups, np.arange(len(plots.DIGIT_COLOURS))).all():
        raise ValueError(f"{whose}groups are {[*decoder.groups]}: give 0 to 9.")
    return hidden


def _check_basis(basis: pod.POD, hidden: int) -> None:
    if len(basis.modes) < 2 or basis.modes.shape[1] != hidden:
        raise ValueError(
            f"the basis has modes of shape {basis.modes.shape}: give at least 2, of {hidden} units."
        )
