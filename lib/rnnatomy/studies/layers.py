"""The hidden layers of the study of a hundred networks."""

import numpy as np

from rnnatomy.data import datasets
from rnnatomy.studies import classifiers, progress
from rnnatomy.studies import gates as gate_study


def publish(networks: int = 100) -> None:
    """Sum up the hidden layers of the study of a hundred networks: ``results/layers``.

    The networks are those of ``hundred``, trained anew if they are not there.

    Args:
        networks: how many, with seeds 0, 1, 2 and so on.
    """
    data, recipe = datasets.mnist(), classifiers.RECIPES["hundred"]
    rows, seconds = [], 0.0
    for run in classifiers.trained_runs("hundred", networks, recipe, classifiers.HIDDEN, data):
        rows.append(gate_study.summary(run, data))
        seconds += run.provenance["wall_seconds"] / run.provenance["networks"]
        progress.print_progress("measured", len(rows), networks)
    arrays = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    facts = {"hidden": classifiers.HIDDEN, "recipe": recipe._asdict(), "networks": networks}
    facts |= {"energies": list(gate_study.ENERGIES), "followed": gate_study.FOLLOWED}
    classifiers.publish_rows("layers", arrays, data, seconds, facts)
