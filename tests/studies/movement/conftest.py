"""What the tests of movements share: short movements, a predictor, the recordings if at hand."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from studies.movement import synthetic

from rnnatomy.data import mocap
from rnnatomy.networks import models
from rnnatomy.store import results
from rnnatomy.studies.movement import fitting, protocols

REAL_DATA = os.environ.get("RNNATOMY_DATA")


@pytest.fixture(scope="session")
def model() -> models.Seq2Seq:
    return fitting.create(117, synthetic.TINY)(jax.random.key(0))


@pytest.fixture(scope="session")
def narrow_model() -> models.Seq2Seq:
    """A predictor of movements without their root."""
    return fitting.create(111, synthetic.TINY)(jax.random.key(0))


@pytest.fixture
def two() -> list[np.ndarray]:
    lengths = {"walking": 40, "running": 23}
    return [synthetic.sequence(name, frames=count).frames for name, count in lengths.items()]


@pytest.fixture
def held() -> protocols.Parts:
    made = [synthetic.sequence(action, n) for action in ("walking", "running") for n in (1, 2, 3)]
    return protocols.hold_out(made, 0)


@pytest.fixture(scope="session")
def published(load_published) -> results.Study:
    return load_published("movement")


@pytest.fixture(scope="session")
def recordings_folder() -> str:
    """The folder that ``RNNATOMY_DATA`` names, if motion capture is there."""
    if not REAL_DATA or not (Path(REAL_DATA).expanduser() / "cmu_mocap").is_dir():
        pytest.skip("needs CMU motion capture: set RNNATOMY_DATA to a folder with cmu_mocap")
    return REAL_DATA


@pytest.fixture
def real_data(recordings_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RNNATOMY_DATA", recordings_folder)


@pytest.fixture(scope="session")
def real_parts(recordings_folder: str) -> protocols.Parts:
    """The first way to hold out, of all sequences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNATOMY_DATA", recordings_folder)
        return protocols.hold_out(mocap.sequences(mocap.ACTIONS), 0)
