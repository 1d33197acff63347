"""What the tests of data share: a cache of their own, files that nobody may read, a server."""

import builtins
import functools
import http.server
import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of downloads, which is empty at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "cache" / "rnnatomy"


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path, int], None]]:
    """Leave a file or a folder no rights but some; where all may be read, refuse in their place."""
    locked: dict[Path, int] = {}
    before: dict[Path, int] = {}

    def refusing(function: Any, right: int) -> Any:
        @functools.wraps(function)
        def checked(path: Any, *arguments: Any, **options: Any) -> Any:
            if not isinstance(path, int):
                path = Path(path)
                above = any(locked.get(folder, 0o100) & 0o100 == 0 for folder in path.parents)
                if above or locked.get(path, right) & right != right:
                    raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments, **options)

        return checked

    def leave(path: Path, mode: int) -> None:
        before[path] = path.stat().st_mode
        path.chmod(mode)
        if os.access(path, os.R_OK) and not locked:
            for module, name in (
                (builtins, "open"),
                (io, "open"),
                (os, "listdir"),
                (os, "scandir"),
            ):
                monkeypatch.setattr(module, name, refusing(getattr(module, name), 0o400))
            monkeypatch.setattr(os, "stat", refusing(os.stat, 0))
        locked[path] = mode

    yield leave
    monkeypatch.undo()
    for path, mode in before.items():
        path.chmod(mode)


@pytest.fixture
def server() -> Iterator[Callable[[Path], str]]:
    """Offer a folder for download; the answer is its address."""
    servers = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    def start(folder: Path) -> str:
        handler = functools.partial(Quiet, directory=str(folder))
        started = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(started)
        threading.Thread(target=started.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{started.server_port}/"

    yield start
    for started in servers:
        started.shutdown()
        started.server_close()
