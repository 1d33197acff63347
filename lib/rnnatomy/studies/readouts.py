"""What a page reads out of the studies of many readouts, ``hundred`` and ``collapse``."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from rnnatomy.analysis import checks, collapse, geometry

SAMPLES = {"validation": 5_000, "test": 10_000}
"""Images of each part of MNIST on which cutoffs are counted."""


class Losses(NamedTuple):
    """What single directions of many readouts carry.

    Attributes:
        loss: recall that each class loses without a direction.
        worth: Shapley value of the direction.
    """

    loss: Float[np.ndarray, "network direction digit"]
    worth: Float[np.ndarray, "network direction digit"]


class Selection(NamedTuple):
    """The cutoff of each network that reads most validation images rightly.

    Attributes:
        chosen: its number, as in ``cutoffs.every_cutoff``; of equals the last, and so 1023, where
            nothing is cut, before all others.
        gain: points of accuracy that it gains, in per cent, by the part of the data.
        oracle: what the best cutoff on the test part would gain there.
    """

    chosen: Int[np.ndarray, " network"]
    gain: dict[str, Float[np.ndarray, " network"]]
    oracle: Float[np.ndarray, " network"]


class Fading(NamedTuple):
    """What becomes of a digit's direction over the conditions of long training.

    Attributes:
        ratio: ninth and tenth singular value as a share of the first, by name.
        geometry: signs of neural collapse, by name; all fall to 0.
        alignment: cosine of readout and class means.
        place: of the digit's direction, from 1.
        strength: its Shapley value, and that of the best of ten random directions, by name.
        advantage: the first less the second.
        drop: recall of the digit that is lost without the direction.
    """

    ratio: dict[str, Float[np.ndarray, " network"]]
    geometry: dict[str, Float[np.ndarray, " network"]]
    alignment: Float[np.ndarray, " network"]
    place: Int[np.ndarray, " network"]
    strength: dict[str, Float[np.ndarray, " network"]]
    advantage: Float[np.ndarray, " network"]
    drop: Float[np.ndarray, " network"]


def losses(data: xr.Dataset) -> Losses:
    """Return what the directions of the trained readouts carry.

    Args:
        data: of the study ``hundred`` or ``collapse``.

    Returns:
        Fractions of recall; negative where a digit gains.
    """
    full = data["nested"].sel(rank=10).to_numpy()
    return Losses(full[:, None] - data["single"].to_numpy(), data["shapley"].to_numpy())


def control_losses(data: xr.Dataset, control: str) -> Losses:
    """Return what directions carry in a control: "rotated", "random" or "untrained".

    Args:
        data: of the study ``hundred`` or ``collapse``.
        control: its name; all but "rotated" have no bias, and answer 0 when nothing is kept.

    Returns:
        Fractions of recall; negative where a digit gains.

    Raises:
        ValueError: if there is no such control.
    """
    known = data["control"].to_numpy().tolist()
    if control not in known:
        raise ValueError(f"control {control!r} does not exist: choose from {', '.join(known)}.")
    worth = data["control_shapley"].sel(control=control).to_numpy()
    single = data["control_single"].sel(control=control).to_numpy()
    bias = data["bias"].to_numpy() if control == "rotated" else np.zeros_like(data["bias"])
    nothing = np.eye(bias.shape[1])[bias.argmax(axis=1)]
    whole = worth.sum(axis=1) + nothing
    return Losses(whole[:, None] - single, worth)


def select_cutoffs(data: xr.Dataset) -> Selection:
    """Choose a cutoff for each network on the validation part, and see what it gains on both.

    Args:
        data: of the study ``hundred``.
    """
    hits = {part: data[f"{part}_hits"].to_numpy() for part in SAMPLES}
    last, networks = hits["validation"].shape[1] - 1, range(len(hits["validation"]))
    chosen = last - hits["validation"][:, ::-1].argmax(axis=1)
    gain = {
        part: 100 * (hits[part][networks, chosen] / size - hits[part][:, -1] / size)
        for part, size in SAMPLES.items()
    }
    test = hits["test"]
    oracle = 100 * (test.max(axis=1) - test[:, -1].astype(int)) / SAMPLES["test"]
    return Selection(chosen, gain, oracle)


def fading(data: xr.Dataset, digit: int) -> Fading:
    """Follow neural collapse, and the direction of a digit, through the study ``collapse``.

    The direction of a digit is the one that is worth most to it.

    Args:
        data: of the study ``collapse``.
        digit: from 0 to 9.

    Returns:
        One number for each network, in the order of the study.

    Raises:
        ValueError: if there is no such digit.
    """
    if not checks.is_whole(digit, 0, 9):
        raise ValueError(f"digit is {digit}: give a whole number from 0 to 9.")
    names = ("singular_values", "gram", "cross")
    s, gram, cross = (data[name].to_numpy().astype(float) for name in names)
    # what a direction writes along the constant vector is seen by no answer
    seen = 1 - data["left"].to_numpy().sum(axis=1) ** 2 / 10
    aligned = geometry.alignment(cross, gram, (s**2 * seen).sum(axis=1))
    loss, worth = (array[:, :, int(digit)] for array in losses(data))
    turned = control_losses(data, "rotated").worth[:, :, int(digit)]
    own, best, place = worth.max(axis=1), turned.max(axis=1), worth.argmax(axis=1)
    shape = {
        "spread within classes": data["collapse"].to_numpy(),
        "deviation from a simplex": np.array([collapse.simplex_deviation(g) for g in gram]),
        "misalignment of readout and means": 1 - aligned,
    }
    return Fading(
        ratio={"ninth": s[:, 8] / s[:, 0], "tenth": s[:, 9] / s[:, 0]},
        geometry=shape,
        alignment=aligned,
        place=place + 1,
        strength={"its own direction": own, "best of ten random directions": best},
        advantage=own - best,
        drop=loss[np.arange(len(s)), place],
    )


def conditions(data: xr.Dataset) -> dict[str, Bool[np.ndarray, " network"]]:
    """Return which networks of ``collapse`` were trained alike, by a description in words.

    Args:
        data: of the study.

    Returns:
        Conditions in the order of the study; each network is of one.
    """
    settings = np.stack([data[name] for name in ("epochs", "weight_decay", "hidden")], axis=1)
    found = {}
    for epochs, decay, units in dict.fromkeys(map(tuple, settings)):
        words = f"{epochs:.0f} {'epoch' if epochs == 1 else 'epochs'}"
        name = f"{words}, decay {decay:.2g}, {units:.0f} units"
        found[name] = (settings == (epochs, decay, units)).all(axis=1)
    return found


def usual(data: xr.Dataset) -> dict[float, Bool[np.ndarray, " network"]]:
    """Return which networks of ``collapse`` differ in training time alone, by their epochs.

    Args:
        data: of the study.

    Returns:
        From the shortest training to the longest; all with 128 units and the usual weight decay.
    """
    decay, hidden = data["weight_decay"].to_numpy(), data["hidden"].to_numpy()
    alike = (np.abs(decay - 0.01) < 1e-6) & (hidden == 128)
    epochs = data["epochs"].to_numpy()
    return {float(time): alike & (epochs == time) for time in np.unique(epochs[alike])}
