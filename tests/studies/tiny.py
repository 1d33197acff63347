"""The study of a hundred networks as one of a few small networks on few digits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rnnatomy.data import datasets
from rnnatomy.networks import runs, training
from rnnatomy.store import checkout
from rnnatomy.studies import classifiers, engine

RECIPE = training.Recipe(epochs=2, batch=32)
NETWORKS = 4
WIDTH = 16


def patch_study(patch: pytest.MonkeyPatch, small: datasets.Dataset, root: Path) -> None:
    patch.setattr(datasets, "mnist", lambda: small)
    patch.setitem(classifiers.RECIPES, "hundred", RECIPE)
    patch.setattr(checkout, "ROOT", root)
    patch.setattr(classifiers, "HIDDEN", WIDTH)
    patch.setenv("ENGINE", "here")
    patch.setattr(classifiers, "GEOMETRY", 100)


def unpacked(networks: Sequence[engine.Kept]) -> list[runs.Run]:
    return [classifiers.unpack(engine.load(kept), kept.label) for kept in networks]


def all_cutoffs(parts, bias, states, labels):
    """Recall of each class under every subset of the directions, all subsets at once."""
    modes = len(parts.s)
    kept = (np.arange(2**modes)[:, None] >> np.arange(modes) & 1).astype(float)
    terms = (states @ parts.Vt.T)[:, :, None] * (parts.U * parts.s).T
    logits = np.tensordot(kept, terms, axes=(1, 1)) + bias
    hits = logits.argmax(axis=2) == labels
    return np.stack([hits[:, labels == k].mean(axis=1) for k in range(len(bias))], axis=1)


def one_out(modes=10):
    return [2**modes - 1 - 2**k for k in range(modes)]


def nested(modes=10):
    return [2**rank - 1 for rank in range(modes + 1)]
