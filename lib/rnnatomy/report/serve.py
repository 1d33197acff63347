"""The site on this machine, built again when something in ``book/`` or ``lib/`` changes.

Run as a command: ``python -m rnnatomy.report.serve --help``.
"""

import argparse
import os
import subprocess
import threading
from collections.abc import Callable, Iterable
from errno import EADDRINUSE
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import watchfiles

from rnnatomy.store import checkout, commands, disk

SITES = {"quick": "site-quick", "book": "site"}
"""Targets of make that build a site, and its folder in ``build/``."""

WATCHED = ("book", "lib", "results", "_config.yml", "_toc.yml", "CHANGELOG.md")


class ServeError(RuntimeError):
    """The site cannot be shown; the message says why."""


class _Pages(SimpleHTTPRequestHandler):
    """Gives out a site: always as it is now, and its own page for what is not there."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            return super().send_error(code, message, explain)
        content = page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page asks for thirty files."""


def listen(site: Path, port: int) -> ThreadingHTTPServer:
    """Take a port of this machine, which nobody else can reach, to give out a site.

    Args:
        site: its folder, which need not be there yet.
        port: 1 to 65535, or 0 for any that is free.

    Raises:
        ServeError: if it is taken, or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ServeError(
            f"{port} is no port: give one of 1024 to 65535, as in make serve PORT=8001."
        )
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), partial(_Pages, directory=str(site)))
    except OSError as error:
        reason = "is in use" if error.errno == EADDRINUSE else f"cannot be had ({error.strerror})"
        raise ServeError(
            f"port {port} {reason}: end what uses it, or choose another, as in "
            f"make serve PORT={port + 1 if port < 65535 else 8000}."
        ) from error


def follow(build: Callable[[], bool], changes: Iterable[Iterable[tuple[Any, str]]]) -> None:
    """Build a site, and again with each change.

    Args:
        build: builds it, and says whether that went well.
        changes: as ``watchfiles.watch`` gives them: each some files.
    """
    _say(build())
    for found in changes:
        names = sorted({os.path.relpath(path, checkout.root()) for _, path in found})
        more = f" and {len(names) - 3} others" if len(names) > 3 else ""
        print(f"Changed: {', '.join(names[:3])}{more}. Building again.", flush=True)
        _say(build())


def _say(well: bool) -> None:
    print(
        "Built: reload the page." if well
        else "Not built: the site of before stands. Correct that; it is tried again then.",
        flush=True,
    )  # fmt: skip


def make(target: str) -> bool:
    """Let make build a target, and return whether it did."""
    # a make that started this one hands on its variables, and nothing of its own jobs
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    _, dashes, variables = os.environ.get("MAKEFLAGS", "").partition("-- ")
    surroundings |= {"MAKEFLAGS": f" {dashes}{variables}"} if dashes else {}
    words = [os.environ.get("MAKE", "make"), "--no-print-directory", target]
    return subprocess.run(words, cwd=checkout.root(), env=surroundings).returncode == 0


def serve(target: str, port: int, stop: threading.Event | None = None) -> None:
    """Build a site, show it, and build it again with each change, until the keyboard stops it.

    Args:
        target: "quick" or "book".
        port: as ``listen``.
        stop: ends it, too.

    Raises:
        ServeError: as ``listen``.
    """
    root = checkout.root()
    site = root / "build" / SITES[target]
    watched = [root / name for name in WATCHED if (root / name).exists()]
    with listen(site, port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(f"The book: http://localhost:{server.server_port}/ (Ctrl+C stops it)", flush=True)
        try:
            follow(partial(make, target), watchfiles.watch(*watched, stop_event=stop))
        except KeyboardInterrupt:
            print("\nStopped.")
        finally:
            server.shutdown()


def main() -> None:
    """Show the site."""
    commands.run(_main, (ServeError, checkout.CheckoutError))


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.report.serve", description=__doc__)
    parser.add_argument("target", choices=SITES, help="the site with quick parameters, or the book")
    parser.add_argument("--port", default="8000", help="of this machine (8000)")
    options = parser.parse_args()
    port = options.port or "8000"
    if not (port.isascii() and port.isdigit() and len(port) < 6):
        raise ServeError(
            f"{disk.brief(port)} is no port: give one of 1024 to 65535, as in make serve PORT=8001."
        )
    serve(options.target, int(port))


if __name__ == "__main__":
    main()
