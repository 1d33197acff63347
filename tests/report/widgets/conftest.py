"""What the tests of the widgets share: one browser, and the pages that it opens."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from report.widgets.pages import READY

from rnnatomy.store import checkout

STATIC = checkout.root() / "book" / "_static"
FILES = tuple(sorted(path.name for path in STATIC.iterdir() if path.suffix in (".css", ".js")))
PAGE = """<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>page</title>
<link rel="icon" href="data:,">{}</head><body><p id="fig-beside">A figure.</p>
<main class="bd-article">{}</main><div style="height: 2000px"></div></body></html>"""


def element(name: str) -> str:
    if name.endswith(".css"):
        return f'<link rel="stylesheet" href="_static/{name}">'
    return f'<script src="_static/{name}"></script>'


@pytest.fixture(scope="package")
def browser(launch: Callable[[], AbstractContextManager[Browser]]) -> Iterator[Browser]:
    with launch() as started:
        yield started


@pytest.fixture(scope="package")
def visit(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[Page]]:
    """Open a page, from the file system, that carries some HTML and the site's scripts and styles.

    Whatever is done there, it writes no message, and asks for nothing else.
    """
    folder, number = tmp_path_factory.mktemp("site"), count()
    shutil.copytree(STATIC, folder / "_static")

    @contextmanager
    def opened(
        html: str, files: tuple[str, ...] = FILES, waits: bool = True, **options: Any
    ) -> Iterator[Page]:
        path = folder / f"page-{next(number)}.html"
        path.write_text(PAGE.format("".join(map(element, files)), html))
        context = browser.new_context(**({"viewport": {"width": 1000, "height": 900}} | options))
        page, told, asked = context.new_page(), [], set()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        try:
            page.goto(path.as_uri())
            if waits:
                page.wait_for_function(READY)
            yield page
        finally:
            context.close()
        inside = {path.as_uri(), *((folder / "_static" / name).as_uri() for name in files)}
        assert told == []
        assert {url for url in asked - inside if not url.startswith("data:")} == set()

    return opened
