"""Do two networks hold the same? Agreement of their states on the same sequences, frame by frame.

States of two networks are two clouds of as many points, of which the points with the same number
belong together. Units have no order and no axes that mean something, so that a measure must not
change if the units of a network are turned or mirrored, all are scaled, or all are moved.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnnatomy.analysis import checks

CONSTANT = 1e-12
"""States that differ by less than this share of their size do not vary."""


class Tables(NamedTuple):
    """How far each two of several networks agree.

    Attributes:
        cka: see ``linear_cka``; 1 for a network and itself.
        angle: see ``angular_distance``; 0 for a network and itself.
    """

    cka: Float[np.ndarray, "network network"]
    angle: Float[np.ndarray, "network network"]


def linear_cka(
    first: Float[np.ndarray, "sample hidden"], second: Float[np.ndarray, "sample other"]
) -> float:
    """Return the linear centred kernel alignment of the states of two networks.

        |X' Y|^2 / (|X' X| |Y' Y|)

    with Frobenius norms and centred states X and Y. It is the cosine between their tables of inner
    products, so that directions of much variance count most.

    Args:
        first: X, finite numbers that vary.
        second: Y, of the same samples; it may have another number of units.

    Returns:
        From 0 to 1: where one is the other turned, scaled and moved.

    Raises:
        ValueError: if shapes do not fit, a number is not finite, or states do not vary.

    Reference:
        Kornblith and others (2019).
    """
    X, Y = _units({"first": first, "second": second})
    return _cka(X.T @ Y, _energy(X), _energy(Y))


def angular_distance(
    first: Float[np.ndarray, "sample hidden"], second: Float[np.ndarray, "sample other"]
) -> float:
    """Return the Procrustes angle between the states of two networks.

        arccos max <X, Y Q> = arccos |X' Y|_*

    over orthogonal Q, with the nuclear norm and centred states X and Y of Frobenius norm 1. It is a
    metric: it obeys the triangle inequality.

    Args:
        first: X, finite numbers that vary.
        second: Y, of the same samples; of fewer units, it is filled up with zeros.

    Returns:
        Radians, from 0 where one is the other turned, scaled and moved, to pi/2.

    Raises:
        ValueError: as ``linear_cka``.

    Reference:
        Williams and others (2021).
    """
    X, Y = _units({"first": first, "second": second})
    return _angle(X.T @ Y)


def tables(
    every: Sequence[Float[np.ndarray, "sample _"]] | Float[np.ndarray, "network sample hidden"],
) -> Tables:
    """Compare each two of several networks, as ``linear_cka`` and ``angular_distance`` do.

    Args:
        every: states of two networks or more, of the same samples.

    Raises:
        ValueError: if there are fewer than two networks; or as ``linear_cka``.
    """
    if len(every) < 2:
        raise ValueError(f"states of {len(every)} networks are given: give those of two or more.")
    units = _units({f"network {number}": states for number, states in enumerate(every)})
    energies = [_energy(states) for states in units]
    cka, angle = np.eye(len(units)), np.zeros((len(units), len(units)))
    for i, j in combinations(range(len(units)), 2):
        cross = units[i].T @ units[j]
        cka[i, j] = cka[j, i] = _cka(cross, energies[i], energies[j])
        angle[i, j] = angle[j, i] = _angle(cross)
    return Tables(cka, angle)


def residual(
    states: Float[np.ndarray, "sample hidden"], known: Float[np.ndarray, "sample feature"]
) -> Float[np.ndarray, "sample hidden"]:
    """Return what is left of centred states when all that is linear in something known is out.

    Args:
        states: finite numbers.
        known: of the same samples, such as the outputs that a task asks for; finite numbers.

    Raises:
        ValueError: if shapes do not fit, or a number is not finite.
    """
    states, known = _same_samples({"states": states, "known": known})
    centred, given = states - states.mean(axis=0), known - known.mean(axis=0)
    return centred - given @ np.linalg.lstsq(given, centred, rcond=None)[0]


def _cka(cross: np.ndarray, own: float, other: float) -> float:
    return float(min(np.square(cross).sum() / (own * other), 1.0))


def _angle(cross: np.ndarray) -> float:
    return float(np.arccos(min(np.linalg.svd(cross, compute_uv=False).sum(), 1.0)))


def _energy(states: np.ndarray) -> float:
    """Return |X' X|."""
    return float(np.linalg.norm(states.T @ states))


def _units(given: dict[str, np.ndarray]) -> list[Float[np.ndarray, "sample _"]]:
    """Return states of networks centred, and of Frobenius norm 1."""
    every = _same_samples(given)
    return [_unit(name, states) for name, states in zip(given, every, strict=True)]


def _same_samples(given: dict[str, np.ndarray]) -> list[Float[np.ndarray, "sample _"]]:
    every = [checks.double(name, values, "sample feature") for name, values in given.items()]
    for name, values in zip(given, every, strict=True):
        if len(values) != len(every[0]):
            raise ValueError(
                f"{next(iter(given))} and {name} have {len(every[0])} and {len(values)} samples: "
                "give the same samples in all."
            )
    return every


def _unit(name: str, states: np.ndarray) -> Float[np.ndarray, "sample _"]:
    largest = np.abs(states).max()
    scaled = states / (largest or 1)
    centred = scaled - scaled.mean(axis=0)
    size = np.linalg.norm(centred)
    if size <= CONSTANT * np.sqrt(states.size):
        raise ValueError(f"states in {name} do not vary: give at least two that differ.")
    return centred / size
