"""Reading the published study of people moving: rows of its tables, its trainings, its players."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import xarray as xr
from jaxtyping import Float

from rnnatomy.studies.movement import protocols, scoring

Named = TypeVar("Named", xr.DataArray, xr.Dataset)


class Player(NamedTuple):
    """One sequence of an action, as the player shows it.

    Attributes:
        path: points of the network's states, frame by frame, in the first modes.
        joints: places of the joints in step with them.
    """

    path: Float[np.ndarray, "time mode"]
    joints: Float[np.ndarray, "time joint 3"]


def players(played: Mapping[Any, Any]) -> list[Player]:
    """Take apart the sequences that are played.

    Args:
        played: arrays as of ``page.player_data``, or the study, which holds them too.

    Returns:
        One player for each action, in their order.
    """
    ends = np.cumsum(np.asarray(played["played_frames"]).astype(int))[:-1]
    paths = np.split(np.asarray(played["played_points"]).astype(float), ends)
    joints = np.split(np.asarray(played["played_joints"]).astype(float), ends)
    return [Player(*parts) for parts in zip(paths, joints, strict=True)]


def representations(learned: Named, plain: Named) -> Named:
    """Put all representations along one axis: without a network, untrained, trained.

    Args:
        learned: numbers along the axes "state" and "view", and others.
        plain: the same without a network, along "plain_view" and the same others.

    Returns:
        Both along the axis "row", named such as "poses, no network" and "decoder states, trained".
        The coordinates "view" and "state" along it tell the parts of the name.
    """
    parts = [_rows(plain.reset_coords(drop=True).rename(plain_view="view"), "no network")]
    for state in learned["state"].to_numpy():
        parts.append(_rows(learned.sel(state=state, drop=True).reset_coords(drop=True), state))
    return xr.concat(parts, "row", coords="minimal", compat="override", join="exact")


def authors(found: xr.Dataset) -> xr.DataArray:
    """Return the adjusted Rand index of all representations on the frames trained on.

    Args:
        found: the study.

    Returns:
        (task, network, row, clustering), before the first epoch and after the last; what needs no
        network is the same for each. For the axis "row" see ``representations``.
    """
    ari = found["authors_ari"].isel(epoch=[0, -1]).rename(epoch="state")
    plain = found["authors_plain_ari"].expand_dims(network=found["network"])
    return representations(
        ari.assign_coords(state=list(protocols.STATES)), plain.transpose("task", ...)
    )


def held_out(found: xr.Dataset) -> xr.Dataset:
    """Return the scores of all representations on sequences held out.

    Args:
        found: the study.

    Returns:
        "ari", "ami" and "v_measure" (choice, row, clustering) after the longest running mean, means
        over networks; for the axis "row" see ``representations``.
    """
    learned, plain = (_scores(found, prefix) for prefix in ("held", "held_plain"))
    return representations(learned.mean("network"), plain).isel(smoothing=-1)


def subject_86(found: xr.Dataset) -> xr.Dataset:
    """Return the scores of all representations on the recordings that nothing was tuned on.

    Args:
        found: the study.

    Returns:
        ``scoring.SCORES`` by name (count, recording, row, clustering), means over networks; for the
        axis "row" see ``representations``.
    """
    learned, plain = (scoring.tuned(found, prefix) for prefix in ("subject", "subject_plain"))
    return representations(learned.mean("network"), plain)


def sides(scores: xr.DataArray, over: str) -> list[xr.DataArray]:
    """Return the ``best`` scores without a network, with untrained and with trained ones.

    Args:
        scores: as of ``best``, with the coordinate "state" along "row".
        over: as of ``best``.
    """
    states = ("no network", *protocols.STATES)
    return [best(scores.isel(row=(scores["state"] == state).to_numpy()), over) for state in states]


def best(scores: xr.DataArray, over: str) -> xr.DataArray:
    """Return the scores of the row and clustering of the largest mean; the first one, of several.

    Args:
        scores: along the axes "row", "clustering" and one more.
        over: name of that one.

    Returns:
        Along the axis ``over``; the coordinates "row" and "clustering" tell whose they are.
    """
    means = scores.mean(over)
    return scores.isel(means.argmax(["row", "clustering"]))


def trainings(found: xr.Dataset) -> dict[str, xr.Dataset]:
    """Collect error and gauge of all trainings, epoch by epoch; epoch 0 is before training.

    Args:
        found: the study.

    Returns:
        "same", of networks that were trained and tested on the same frames, and "held", of
        networks that were tested on sequences held out. Each holds "loss" (training, epoch) and
        "gauge" (training, epoch, gauge_view, gauge_clustering).
    """
    settings = {"same": ("authors", "task", "epoch"), "held": ("held", "choice", "held_epoch")}
    return {name: _by_training(found, *setting) for name, setting in settings.items()}


def _rows(part: Named, state: str) -> Named:
    views = part["view"].to_numpy()
    rows = {
        "row": [f"{view}, {state}" for view in views],
        "view": ("row", views),
        "state": ("row", [state] * len(views)),
    }
    return part.drop_vars("view").rename(view="row").assign_coords(rows)


def _scores(found: xr.Dataset, prefix: str) -> xr.Dataset:
    names = {f"{prefix}_{score}": score for score in scoring.AGREEMENT}
    return found[list(names)].rename(names)


def _by_training(found: xr.Dataset, prefix: str, axis: str, epoch: str) -> xr.Dataset:
    names = {f"{prefix}_loss": "loss", f"{prefix}_gauge": "gauge"}
    part = found[list(names)].rename(names | {epoch: "epoch"})
    return part.stack(training=(axis, "network")).transpose("training", "epoch", ...)
