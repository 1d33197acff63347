"""The book as one PDF: the pages of a built site, printed by Chromium.

Run as a command: ``python -m rnnatomy.report.pdf --help``.
"""

import argparse
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pikepdf
from playwright.sync_api import Browser, Error, sync_playwright

from rnnatomy.report import paper
from rnnatomy.store import checkout, commands, disk, scratch

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Programs that print; failing these, the one that Playwright has installed."""

WIDTH = 627
"""Width of the text in CSS pixels: A4 without the margins in ``print.css``."""

_ROUNDS = 5  # in which page numbers settle

_READY = """async () => {
  await document.fonts.ready;
}"""

# Shrinks what is wider than the text. Widths are those of the printed page: see WIDTH.
_FIT = """() => {
  const wide = "table, div.math > *";
  for (const element of document.querySelectorAll(wide)) {
    const room = element.parentElement.getBoundingClientRect().width;
    const needed = Math.max(element.scrollWidth, element.getBoundingClientRect().width);
    if (needed > room + 1) element.style.zoom = Math.max(room / needed, 0.4);
  }
}"""

_FILL = """numbers => {
  for (const element of document.querySelectorAll("[data-page]"))
    element.textContent = numbers[element.dataset.page] ?? "000";
}"""


class PdfError(Exception):
    """The book cannot be printed; the message says why."""


class NoBrowserError(PdfError):
    """No browser is installed."""


def make_pdf(site: Path, output: Path) -> int:
    """Print a built site; an older file stands until the new one is whole.

    Args:
        site: folder of the site.
        output: the PDF.

    Returns:
        The number of its pages.

    Raises:
        PdfError: if there is no Chromium, or it does not print.
        paper.PaperError: if there is no site.
        checkout.CheckoutError: if the library was installed without the book.
    """
    document = paper.compose(site)
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(output.parent) as aside:
        path = aside / "book.html"
        path.write_text(document.html, "utf8")
        with chromium() as browser:
            try:
                printed = _print(browser, path)
            except Error as error:
                why = disk.brief(" ".join(str(error).split()), 200)
                raise PdfError(f"the browser did not print the book ({why}): try again.") from error
    content, pages = _finish(printed, document)
    disk.write(output, content)
    return pages


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a browser without a window.

    Raises:
        NoBrowserError: if none is installed.
        PdfError: if the one that is does not start.
    """
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox", "--disable-gpu", "--disable-quic"]
            )
        except Error as error:
            if path:
                raise PdfError(f"{path} does not start: {disk.brief(error, 200)}.") from error
            raise NoBrowserError(
                "there is no browser: install Chromium, as in `apt install chromium` on Debian, or "
                "run `playwright install chromium`, and try again."
            ) from error
        yield started
        started.close()


def _print(browser: Browser, path: Path) -> bytes:
    """Print a document, again and again until each page number in it is right."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": 900}, color_scheme="light", offline=True
    )
    page.set_default_timeout(0)
    page.emulate_media(media="print")
    before: Mapping[str, int] = {}
    for _ in range(_ROUNDS):
        page.goto(path.as_uri())  # afresh: nothing stays of a print
        page.evaluate(_READY)
        page.evaluate(_FILL, before)
        page.evaluate(_FIT)
        printed = page.pdf(prefer_css_page_size=True, print_background=True, tagged=True)
        with pikepdf.open(io.BytesIO(printed)) as file:
            numbers = {name: place[0] + 1 for name, place in places(file).items()}
        if numbers == before:
            return printed
        before = numbers
    raise PdfError("the page numbers do not settle: simplify print.css.")


def places(file: pikepdf.Pdf) -> dict[str, tuple[int, float]]:
    """Return the page, from 0, and the height on it of each place with a name."""
    numbers: dict[Any, int] = {page.objgen: number for number, page in enumerate(file.pages)}
    return {
        str(name).removeprefix("/"): (numbers[place[0].objgen], float(place[3]))
        for name, place in file.Root.get("/Dests", {}).items()
    }


def _finish(printed: bytes, document: paper.Document) -> tuple[bytes, int]:
    """Give a PDF bookmarks, and say what it is."""
    about = document.about
    with pikepdf.open(io.BytesIO(printed)) as file:
        _mark(file, document.lines)
        file.Root.PageMode = pikepdf.Name.UseOutlines
        file.Root.ViewerPreferences = pikepdf.Dictionary(DisplayDocTitle=True)
        with file.open_metadata() as facts:
            facts["dc:title"] = about.title
            facts["dc:creator"] = list(about.authors)
            facts["dc:subject"] = set(about.keywords)
            facts["dc:language"] = {"en"}
            facts["pdf:Keywords"] = ", ".join(about.keywords)
        content = io.BytesIO()
        file.save(content, object_stream_mode=pikepdf.ObjectStreamMode.generate)
        return content.getvalue(), len(file.pages)


def _mark(file: pikepdf.Pdf, lines: Sequence[paper.Line]) -> None:
    """Add the contents and their lines as bookmarks."""
    where = places(file)
    with file.open_outline() as outline:
        outline.root.append(pikepdf.OutlineItem("Contents", 1))  # behind the cover
        levels = [outline.root]
        for level, title, target in lines:
            number, height = where[target]
            item = pikepdf.OutlineItem(title, number, "XYZ", left=0, top=height)
            item.is_closed = level > 0
            levels = levels[: level + 1]
            levels[-1].append(item)
            levels.append(item.children)


def main() -> None:
    """Print a site."""
    errors = (PdfError, paper.PaperError, checkout.CheckoutError)
    commands.run(_main, errors)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m rnnatomy.report.pdf", description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    pages = make_pdf(options.site.resolve(), options.output.resolve())
    print(f"{pages} pages: {options.output}")


if __name__ == "__main__":
    main()
