"""What all makers of fixtures share: sizes, random numbers, and how a case is kept."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np

FEATURES, HIDDEN, CLASSES, SAMPLES, TIME = 3, 5, 4, 6, 7

DEVIATION = 0.5
"""Of all weights and biases: none is near zero, so that none can be dropped or swapped unseen."""

LENGTHS = np.array([7, 3, 5, 1, 6, 4])
"""Real frames of each sample, where sequences have unequal lengths."""


def generator(name: str) -> np.random.Generator:
    """Return random numbers that belong to a case."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def sequences(name: str) -> np.ndarray:
    """Draw inputs (sample, time, feature)."""
    drawn = generator(name + " inputs").normal(size=(SAMPLES, TIME, FEATURES))
    return drawn.astype(np.float32)


def waves(name: str) -> np.ndarray:
    """Draw smooth sequences (sample, time + 1, feature), which a network can continue."""
    phase = generator(name + " phase").uniform(0, 2 * np.pi, size=(SAMPLES, 1, FEATURES))
    speed = np.linspace(0.5, 0.8, SAMPLES)[:, None, None]
    return np.sin(phase + speed * np.arange(TIME + 1)[:, None]).astype(np.float32)


def weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Draw an array of weights."""
    return rng.normal(0, DEVIATION, size=shape).astype(np.float32)


def real(lengths: np.ndarray) -> np.ndarray:
    """Return the mask (sample, time) of sequences that start at the first frame."""
    return np.arange(TIME) < lengths[:, None]


def keep(folder: Path, name: str, **arrays: np.ndarray) -> str:
    """Write inputs, outputs and what else belongs to a case; return the file's name."""
    outputs = np.asarray(arrays["outputs"], np.float32)
    assert np.isfinite(outputs).all(), name
    flat = outputs.reshape(len(outputs), -1)
    assert all(np.ptp(flat[:, k]) > 1e-4 for k in range(flat.shape[1])), f"{name}: all alike"
    np.savez_compressed(folder / f"{name}.npz", **arrays | {"outputs": outputs})
    return f"{name}.npz"


def case(file: str, data: str, framework: str, version: str, **told: Any) -> dict[str, Any]:
    """Describe a case: what every one has, and then what is not as usual."""
    usual = {
        "cell": "lstm",
        "layers": 1,
        "hidden": HIDDEN,
        "bidirectional": False,
        "reads": "last",
        "output": "logits",
    }
    where = {"file": file, "data": data, "framework": framework, "version": version}
    return where | usual | told
