"""A network from elsewhere on its way: what of it holds at each checkpoint."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnatomy.analysis import pod, svd
from rnnatomy.networks import access
from rnnatomy.networks.foreign import load, ways
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.store import disk
from rnnatomy.studies import engine
from rnnatomy.studies.yours import asked, ends, gates, looked, readout, states

MOST_FILES = 50
"""Checkpoints that are compared."""

READ = 500
"""Sequences of which the states of each checkpoint are decomposed."""


def measure(
    config: dict[str, Any], weights: disk.Arrays, task: asked.Task, seed: int
) -> engine.Made:
    """Ask one checkpoint, as a job.

    Returns:
        "score" as of ``looked.score``; "singular_values" (direction); "full" (name), scores with
        nothing cut, "single" (direction, name), see ``readout.of_readout``; "recurrent", the mean
        stable rank of the recurrent matrices; "modes" for ``states.ENERGY``; "along", the mean
        leading exponent along inputs, NaN where there is none; and of classes
        "nearest_constant".
    """
    run = looked.run(looked.made(config, weights), task)
    found = readout.without(run, task) | {"singular_values": run.parts.s}
    some = slice(None, None, -(-len(task.lengths) // READ))
    counts = np.arange(run.states.shape[1]) < task.lengths[some, None]
    basis = states.decomposed(run.states[some][counts])
    recurrent = [
        gates.stable_rank(svd.svd(matrix).s)
        for layer in run.network.RECURRENT
        for name, matrix in access.matrices(run.network, layer).items()
        if name.startswith("recurrent")
    ]
    follow = np.zeros(0) if config["both_ways"] else ends.along(run.network, task)["along"]
    numbers = {
        "score": looked.score(run.outputs, task.answers),
        "recurrent": gates.mean_rank(recurrent),
        "modes": 0 if basis is None else pod.modes_for(basis, states.ENERGY),
        "along": follow.mean() if len(follow) else np.nan,
    }
    if task.by_class:
        numbers["nearest_constant"] = svd.cosines_with_constant(run.parts).max()
    return engine.Made(
        disk.single(found | {name: np.array(float(x)) for name, x in numbers.items()})
    )


def checkpoints(folder: Path) -> list[Path]:
    """Return the weight files of a folder, in the order of their names, as people count.

    Args:
        folder: such as one of the checkpoints of a training.

    Raises:
        ForeignError: if there are none, or more than ``MOST_FILES``, or it is no folder.
    """
    if not folder.is_dir():
        raise ForeignError(f"{folder.name!r} is no folder: give one that holds weight files.")
    kept = [path for path in folder.iterdir() if path.suffix.lower() in load.READERS]
    if not 1 <= len(kept) <= MOST_FILES:
        raise ForeignError(
            f"{folder.name!r} holds {len(kept)} weight files: give a folder of 1 to {MOST_FILES}."
        )
    return sorted(kept, key=lambda path: ways.found.natural(path.name))
