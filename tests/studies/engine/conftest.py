"""What the tests of the engine share: a folder for its jobs, and a note of each call."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def calls(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a job notes that it was called."""
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.delenv("ENGINE_JOB", raising=False)
    folder = root / "calls"
    folder.mkdir()
    return folder


@pytest.fixture
def called(calls: Path) -> Callable[[], list[str]]:
    """Tell which jobs were called since this was asked last."""

    def ask() -> list[str]:
        found = sorted(calls.iterdir())
        for path in found:
            path.unlink()
        return [path.name.split("-")[0] for path in found]

    return ask
