"""The site on this machine: what is given out, and that a change builds it again."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from rnnatomy.report import serve
from rnnatomy.store import checkout

ROOT = Path(__file__).resolve().parents[2]
MAKE = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

site = Path("build/site-quick")
site.mkdir(parents=True, exist_ok=True)
(site / "index.html").write_text(Path("book/page.md").read_text())
with open("asked", "a") as file:
    print(json.dumps([sys.argv[1:], os.environ.get("MAKEFLAGS")]), file=file)
sys.exit(Path("book/page.md").read_text() == "broken")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout with one page, and a make that copies it to the site."""
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "page.md").write_text("first")
    (tmp_path / "make").write_text(MAKE)
    (tmp_path / "make").chmod(0o755)
    monkeypatch.setenv("MAKE", str(tmp_path / "make"))
    monkeypatch.delenv("MAKEFLAGS", raising=False)
    return tmp_path


@contextmanager
def given_out(site):
    with serve.listen(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def ask(port, path, way="GET"):
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(way, path)
    answer = connection.getresponse()
    content = answer.read().decode()
    connection.close()
    return answer.status, content, answer


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.05)


def test_pages_are_given_out_as_they_are_now(tmp_path):
    with given_out(tmp_path / "site") as port:
        assert ask(port, "/")[0] == 404  # it is not built yet
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "index.html").write_text("one")
        (tmp_path / "new").rename(tmp_path / "site")
        status, content, answer = ask(port, "/")
        assert (status, content) == (200, "one")
        assert answer.getheader("Cache-Control") == "no-store"


def test_what_is_not_there_shows_the_page_of_the_book(tmp_path):
    (tmp_path / "404.html").write_text("not here: é", "utf8")
    with given_out(tmp_path) as port:
        assert ask(port, "/gone.html")[:2] == (404, "not here: é")
        assert ask(port, "/gone.html", "HEAD")[:2] == (404, "")
        assert ask(port, "/", "POST")[0] == 501


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "//../secret", "/..%2fsecret"])
def test_nothing_beside_the_site_is_given_out(tmp_path, path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "site").mkdir()
    with given_out(tmp_path / "site") as port:
        status, content, _ = ask(port, path)
    assert status == 404 and "secret" not in content.replace(path, "")


def test_only_this_machine_is_listened_to(tmp_path):
    with serve.listen(tmp_path, 0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_in_use_is_told_in_a_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            serve.ServeError, match=f"^port {port} is in use: end what uses it"
        ) as told:
            serve.listen(tmp_path, port)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("text", ["x", "-1", "70000", "1.5", "99999999999", "٣", "8000; touch a"])
def test_what_is_no_port_is_told_in_a_sentence(monkeypatch, folder, text):
    monkeypatch.setattr(sys, "argv", ["serve", "quick", f"--port={text}"])
    with pytest.raises(
        SystemExit, match=r"^error: .* is no port: give one of 1024 to 65535"
    ) as told:
        serve.main()
    assert "\n" not in str(told.value.code)
    assert not (folder / "asked").exists()


def test_a_change_builds_the_site_again_and_a_failure_is_said(folder, capsys):
    stop = threading.Event()
    running = threading.Thread(target=serve.serve, args=("quick", 0, stop), daemon=True)
    running.start()
    page, site, asked = (
        folder / "book" / "page.md",
        folder / "build" / "site-quick",
        folder / "asked",
    )

    def built(times):
        return asked.is_file() and len(asked.read_text().splitlines()) >= times

    until(lambda: built(1))
    time.sleep(0.5)  # the watch begins
    page.write_text("second")
    until(lambda: built(2))
    assert (site / "index.html").read_text() == "second"
    page.write_text("broken")
    until(lambda: built(3))
    page.write_text("fourth")
    until(lambda: built(4))
    stop.set()
    running.join(10)
    assert not running.is_alive()
    assert {line for line in asked.read_text().splitlines()} == {
        json.dumps([["--no-print-directory", "quick"], None])
    }
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("The book: http://localhost:")
    change = "Changed: book/page.md. Building again."
    failed = "Not built: the site of before stands. Correct that; it is tried again then."
    well = "Built: reload the page."
    assert said[1:] == [well, change, well, change, failed, change, well]


def test_the_keyboard_ends_it_as_it_should(folder, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(serve.watchfiles, "watch", stopped)
    monkeypatch.setattr(sys, "argv", ["serve", "quick", "--port=0"])
    serve.main()
    assert capsys.readouterr().out.endswith("\nStopped.\n")


def test_make_is_given_the_variables_of_the_make_that_called_and_none_of_its_jobs(
    folder, monkeypatch
):
    monkeypatch.setenv("MAKEFLAGS", "wj2 --jobserver-auth=3,4 -- PY=./python FULL=1")
    assert serve.make("quick")
    told = json.loads((folder / "asked").read_text())
    assert told == [["--no-print-directory", "quick"], " -- PY=./python FULL=1"]


HOSTILE = "x; touch hostile", "$(shell touch hostile)", "`touch hostile`", 'x" && touch hostile "'


@pytest.mark.parametrize("text", HOSTILE)
def test_a_port_reaches_neither_make_nor_the_shell(tmp_path, text):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("ready", "pyproject.toml"):
        (tmp_path / name).write_text("")
    os.utime(tmp_path / "pyproject.toml", (0, 0))
    (tmp_path / "python").write_text(
        f"#!{sys.executable}\nimport sys, json\nprint(json.dumps(sys.argv[1:]))"
    )
    (tmp_path / "python").chmod(0o755)
    for given, target in ([f"PORT={text}"], "quick"), ([f"PORT={text}", f"FULL={text}"], "book"):
        words = ["make", "--no-print-directory", "PY=./python", "READY=ready", "serve", *given]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == ["-m", "rnnatomy.report.serve", f"--port={text}", target]
    assert not (tmp_path / "hostile").exists()
