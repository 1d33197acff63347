"""Which direction carries which class, over many networks: places, how common they are, and chance.

Tables have a leading seed axis, one table (mode, class) per network: what a class loses without a
direction, or what the direction is worth to it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import checks, controls


class Agreement(NamedTuple):
    """How many networks agree on the most common place of each class.

    Attributes:
        networks: that have the class's most common place.
        chance: the same where classes are permuted within each network, one row per permutation.
    """

    networks: Int[np.ndarray, " class"]
    chance: Int[np.ndarray, "draw class"]


def hardest_hit(loss: Float[np.ndarray, "seed mode class"]) -> Int[np.ndarray, "seed mode"]:
    """Return the class that loses most without each direction; -1 where no class loses.

    Args:
        loss: recall that each class loses, a fraction.

    Returns:
        Classes, counted from 0; of equals the first.

    Raises:
        ValueError: if the axes do not fit, or a number is not finite.
    """
    loss = checks.numbers("loss", loss, "seed mode class")
    return np.where(loss.max(axis=2) > 0, loss.argmax(axis=2), -1)


def carriers(worth: Float[np.ndarray, "seed mode class"]) -> Int[np.ndarray, "seed class"]:
    """Return the direction that is worth most to each class, counted from 0.

    Args:
        worth: of each direction to each class.

    Returns:
        Directions; of equals the first.

    Raises:
        ValueError: if the axes do not fit, or a number is not finite.
    """
    return checks.numbers("worth", worth, "seed mode class").argmax(axis=1)


def shares(places: Int[np.ndarray, "seed item"], count: int) -> Float[np.ndarray, "item place"]:
    """Return in which fraction of the networks each item has each place.

    Args:
        places: whole numbers; those outside 0 to ``count`` - 1 are no place.
        count: how many places there are, at least 1.

    Returns:
        From 0 to 1; the shares of an item sum to 1 if it has a place in each network.

    Raises:
        ValueError: if the axes do not fit, a place is not a whole number, or there is none.
    """
    shape = checks.numbers("places", places, "seed item").shape
    places = checks.labels(np.ravel(places), name="places").reshape(shape)
    count = _whole("count", count, 1)
    return (places[:, :, None] == np.arange(count)).mean(axis=0)


def agreement(
    worth: Float[np.ndarray, "seed mode class"], rng: np.random.Generator, draws: int
) -> Agreement:
    """Count how many networks agree where each class has its direction, and how many by chance.

    Args:
        worth: of each direction to each class.
        rng: source of the permutations of the classes within each network.
        draws: how many permutations, at least 1.

    Raises:
        ValueError: as ``carriers``; or if there is no draw.
    """
    found, draws = _most_common(carriers(worth)), _whole("draws", draws, 1)
    tables = (controls.permute_classes(worth, rng) for _ in range(draws))
    return Agreement(found, np.array([_most_common(carriers(table)) for table in tables]))


def hits_by_chance(
    loss: Float[np.ndarray, "seed mode class"],
    mode: int,
    label: int,
    rng: np.random.Generator,
    draws: int,
) -> Int[np.ndarray, " draw"]:
    """Count in how many networks a class would be hit hardest by a direction, by chance.

    Args:
        loss: recall that each class loses without each direction.
        mode: the direction, counted from 0.
        label: the class.
        rng: source of the permutations of the classes within each network.
        draws: how many permutations, at least 1.

    Returns:
        Numbers of networks; where no class loses, none is hit.

    Raises:
        ValueError: if the axes do not fit, a number is not finite, there is no draw, or no such
            direction or class.
    """
    _, modes, classes = checks.numbers("loss", loss, "seed mode class").shape
    mode, label = _whole("mode", mode, 0, modes - 1), _whole("label", label, 0, classes - 1)
    column = np.asarray(loss)[:, [mode]]
    tables = (controls.permute_classes(column, rng) for _ in range(_whole("draws", draws, 1)))
    return np.array([np.sum(hardest_hit(table) == label) for table in tables])


def _most_common(places: np.ndarray) -> Int[np.ndarray, " item"]:
    return np.array([np.bincount(column).max() for column in places.T])


def _whole(name: str, value: int, least: int, most: int | None = None) -> int:
    if not checks.is_whole(value, least, 2**53 if most is None else most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} is {value}: give a whole number, {allowed}.")
    return int(value)
