"""The pages of a built site as one document, which a browser prints: see ``rnnatomy.report.pdf``.

The document has a cover, a list of contents, the pages in reading order, and the solutions of their
exercises at the end. Its links lead to its own parts. What only works on a screen is left out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

from rnnatomy.store import checkout, disk

SCREEN_ONLY = "a.headerlink, button, dialog, details.hide, details.made, script, .d-print-none"
"""What is left out: controls, code that the site folds, boxes on how a page was made."""

REFERS = ("aria-controls", "aria-describedby", "aria-labelledby", "for", "headers")
"""Attributes that hold names of elements, apart from links."""


class PaperError(Exception):
    """There is no book to print; the message says why."""


class About(NamedTuple):
    """What the cover and the file say of the book.

    Attributes:
        title: with what stands behind the colon.
        authors: their names.
        keywords: any number.
        edition: version and day.
    """

    title: str
    authors: tuple[str, ...]
    keywords: tuple[str, ...]
    edition: str


class Page(NamedTuple):
    """A page of the site, in the book.

    Attributes:
        name: of its file, without the ending.
        title: with its number.
        part: caption of the part that it opens; "" in the midst of one.
        head: of the HTML.
        article: the text.
    """

    name: str
    title: str
    part: str
    head: str
    article: Tag


class Line(NamedTuple):
    """A line of the contents.

    Attributes:
        level: 0 for a part or the solutions, 1 for a page, 2 for a section.
        title: with its number.
        target: identifier in the document.
    """

    level: int
    title: str
    target: str


class Document(NamedTuple):
    """All that is printed.

    Attributes:
        html: the document.
        lines: its contents.
        about: the book.
    """

    html: str
    lines: list[Line]
    about: About


def compose(site: Path) -> Document:
    """Lay the pages of a site out as one document.

    Args:
        site: folder of a built site.

    Raises:
        PaperError: if it is none, or the checkout does not say what the book is.
        checkout.CheckoutError: if the library was installed without the book.
    """
    about, (pages, foot) = read_about(), read_pages(site)
    base, commits = _address(pages[0].head), _commits(pages)
    for page in pages:
        _strip(page.article)
        _rename(page)
    _link(pages, site, base)
    for page in pages:
        _replace_widgets(page, base)
    solutions = [solution for page in pages for solution in _take_solutions(page)]
    lines = [line for page in pages for line in _lines(page)]
    texts = {page.title: _text_of(page) for page in pages}
    if solutions:
        lines.append(Line(0, "Solutions", "solutions"))
        texts["Solutions"] = _solutions(solutions)
    cover = _cover(about, base, [about.edition, *commits, foot])
    body = "\n".join([cover, _contents(lines), *map(_section, range(len(texts)), texts.values())])
    return Document(_whole(about.title, _styles(site, pages), [*texts], body), lines, about)


def read_about() -> About:
    """Read what CITATION.cff says of the book.

    Raises:
        PaperError: if it does not say it.
        checkout.CheckoutError: if the library was installed without the book.
    """
    path = checkout.root() / "CITATION.cff"
    try:
        facts = yaml.safe_load(path.read_text("utf8"))
        return About(
            str(facts["title"]),
            tuple(str(author["name"]) for author in facts["authors"]),
            tuple(map(str, facts["keywords"])),
            f"Version {facts['version']}, {facts['date-released']}",
        )
    except (KeyError, TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = disk.brief(" ".join(str(error).split()))
        raise PaperError(f"{path} does not say what the book is ({why}): restore it.") from error


def read_pages(site: Path) -> tuple[list[Page], str]:
    """Read the pages of a site, in the order of its menu, and the words at their foot.

    Args:
        site: folder of a built site.

    Raises:
        PaperError: if it is none, or lacks a page of its menu.
    """
    file, text = "index.html", _read(site, "index.html")
    if moved := re.search(r"""http-equiv=["']?refresh[^>]*url=([^"'>]+)""", text, re.I):
        file, text = moved[1], _read(site, unquote(moved[1]))
    menu = BeautifulSoup(_between(text, '<nav class="bd-links', "</nav>"), "html.parser")
    pages, part = [], ""
    for entry in menu.select("p.caption, a[href]"):
        if entry.name == "p":
            part = _text(entry)
        else:
            href = str(entry["href"])
            pages.append(_page(site, file if href == "#" else href, _text(entry), part))
            part = ""
    if not pages:
        raise PaperError(f"{site} has no menu of pages: name the folder of a site, as build/site.")
    foot = BeautifulSoup(_between(text, '<div class="extra_footer"', "</div>"), "html.parser")
    return pages, _text(foot)


def _page(site: Path, file: str, title: str, part: str) -> Page:
    text = _read(site, unquote(file))
    article = BeautifulSoup(_between(text, "<article", "</article>"), "html.parser").article
    if article is None:
        raise PaperError(f"{site / file} has no text: build the site again, as make book does.")
    name, head = unquote(file).removesuffix(".html"), text.partition("<body")[0]
    return Page(name, title, part, head, article)


def _read(site: Path, file: str) -> str:
    path = site / file
    if not path.is_file():
        raise PaperError(f"{path} is missing: build the site first, as make book does.")
    try:
        return path.read_text("utf8")
    except UnicodeDecodeError:
        raise PaperError(f"{path} is no page: build the site again, as make book does.") from None


def _between(text: str, begin: str, end: str) -> str:
    first = text.find(begin)
    last = text.rfind(end) if end == "</article>" else text.find(end, first)
    return text[first : last + len(end)] if 0 <= first < last else ""


def _text(element: Tag) -> str:
    return " ".join(element.get_text().split())


def _address(head: str) -> str:
    """Return the address of the site, with a slash at its end; "" where a page does not tell it."""
    link = BeautifulSoup(head, "html.parser").select_one("link[rel=canonical][href]")
    return "" if link is None else urljoin(str(link["href"]), ".")


def _commits(pages: Sequence[Page]) -> list[str]:
    """Say at which commits pages were made."""
    names = [
        _text(said)
        for page in pages
        for term in page.article.select("details.made dt")
        if _text(term) == "Commit" and (said := term.find_next_sibling("dd"))
    ]
    return [f"Pages made at commit {name}" for name in dict.fromkeys(names)]


# ---- What paper cannot do --------------------------------------------------------------------


def _strip(article: Tag) -> None:
    for element in article.select(SCREEN_ONLY):
        if not element.decomposed and not element.find_parent(class_="widget"):
            element.decompose()
    for cell in article.select("div.cell"):
        if not cell.get_text(strip=True) and not cell.select_one("svg, img"):
            cell.decompose()
    for details in article.find_all("details"):
        details["open"] = ""


class Solution(NamedTuple):
    """The solution of an exercise.

    Attributes:
        page: of the exercise.
        number: on that page, from 1.
        box: its text.
    """

    page: Page
    number: int
    box: Tag

    @property
    def target(self) -> str:
        """Its identifier in the document."""
        return f"solutions--{self.page.name}-{self.number}"


def _take_solutions(page: Page) -> list[Solution]:
    """Take the folded solutions out of a page, and leave a link in the place of each."""
    found: list[Solution] = []
    for box in page.article.select("div.dropdown.admonition"):
        name = box.select_one(".admonition-title")
        if name is None or _text(name) != "Solution":
            continue
        solution = Solution(page, len(found) + 1, box)
        place = _fragment(f'<p class="book-solution">{_reference(solution.target, "Solution")}</p>')
        place["id"] = f"to-{solution.target}"
        box.replace_with(place)
        name.decompose()
        found.append(solution)
    return found


def _replace_widgets(page: Page, base: str) -> None:
    """Put a sentence in the place of each widget: what it is, where, and which figure is its still.

    This comes after links have been made to lead to places of the document.
    """
    for widget in page.article.select("div.widget"):
        words = widget.select_one(".widget-without")
        still = words and words.select_one("a[href]")
        if not words or not still:
            widget.decompose()
            continue
        told = re.search(r"\bthis is (.+?)\. ", _text(words))
        what = escape(told[1]) if told else "a figure to handle"
        target = str(still["href"]).removeprefix("#")
        number = page.article.select_one(f'[id="{target}"] .caption-number')
        link = _reference(target, _text(number or still))
        short = f"{page.name}.html#{target.removeprefix(page.name + '--')}"
        where = f", {_external(base + short)}," if base else ""
        sentence = f"On the site{where} this is {what}. Its still: {link}."
        widget.replace_with(_fragment(f'<p class="book-widget">{sentence}</p>'))


def _external(address: str) -> str:
    return f'<a href="{escape(address)}">{escape(address.split("//")[-1])}</a>'


def _reference(target: str, shown: str) -> str:
    """Write a link with the number of the page to which it leads, for the printer to fill in."""
    name = escape(target)
    number = f'<span class="book-page" data-page="{name}">000</span>'
    return f'<a href="#{name}">{escape(shown)}, page {number}</a>'


def _fragment(html: str) -> Tag:
    element = BeautifulSoup(html, "html.parser").find(True)
    assert isinstance(element, Tag)
    return element


# ---- Names and links -------------------------------------------------------------------------


def _rename(page: Page) -> None:
    """Begin each name in a page with that of the page, so that no two pages share one."""
    mine = f"{page.name}--"
    for element in page.article.find_all(True):
        for name, value in element.attrs.items():
            element.attrs[name] = _renamed(element.name, name, value, mine)
        if element.name == "style" and element.string:
            element.string = element.string.replace("url(#", f"url(#{mine}")


def _renamed(tag: str, attribute: str, value: Any, mine: str) -> Any:
    if attribute == "id":
        return f"{mine}{value}"
    if attribute in REFERS:
        words = value if isinstance(value, list) else str(value).split()
        return " ".join(mine + word for word in words)
    if not isinstance(value, str):
        return value
    if attribute.endswith("href") and tag != "a" and value.startswith("#"):
        return f"#{mine}{value[1:]}"
    return value.replace("url(#", f"url(#{mine}")


def _link(pages: Sequence[Page], site: Path, base: str) -> None:
    """Let links between pages lead to places of the document; what it lacks, to the site."""
    names = {"index": pages[0].name} | {page.name: page.name for page in pages}
    known = {str(e["id"]) for page in pages for e in page.article.find_all(id=True)}
    for page in pages:
        for picture in page.article.find_all(src=True):
            picture["src"] = urljoin(f"{site.as_uri()}/", str(picture["src"]))
        for link in page.article.find_all("a", href=True):
            target = _target(str(link["href"]), page.name, names, known, base)
            if target:
                link["href"] = target
            else:
                link.unwrap()


def _target(
    href: str, page: str, names: Mapping[str, str], known: set[str], base: str
) -> str | None:
    """Return where a link leads on paper, or None if nowhere."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return href if parts.scheme in ("http", "https", "mailto") else None
    path, place = unquote(parts.path), unquote(parts.fragment)
    name = names.get(path.removesuffix(".html")) if path else page
    if name is None:
        return urljoin(f"{base}{page}.html", href) if base else None
    return f"#{name}--{place}" if f"{name}--{place}" in known else f"#{name}"


# ---- The document ----------------------------------------------------------------------------


def _lines(page: Page) -> Iterator[Line]:
    if page.part:
        yield Line(0, page.part, f"part--{page.name}")
    yield Line(1, page.title, page.name)
    for heading in page.article.find_all("h2"):
        section = heading.find_parent("section", id=True)
        if section is not None:
            yield Line(2, _text(heading), str(section["id"]))


def _cover(about: About, base: str, facts: Sequence[str]) -> str:
    title, _, under = about.title.partition(": ")
    site = f"The site of this book is {_external(base)}." if base else "This book is also a site."
    lines = "".join(f"<p>{escape(fact)}</p>" for fact in facts if fact)
    return f"""<section class="book-cover">
<p class="book-title">{escape(title)}</p>
<p class="book-subtitle">{escape(under[:1].upper() + under[1:])}</p>
<p class="book-authors">{escape(", ".join(about.authors))}</p>
<div class="book-facts"><p>{site} There, some figures can be turned, played and changed, each page
shows its code and says how it was made, and each chapter is a notebook to run. Here, these figures
stand still, and the solutions of the exercises are at the end.</p>{lines}</div>
</section>"""


def _contents(lines: Sequence[Line]) -> str:
    rows = "\n".join(
        f'<li class="book-level-{level}"><a href="#{escape(target)}">'
        f"<span>{escape(title)}</span>"
        f'<span class="book-page" data-page="{escape(target)}">000</span></a></li>'
        for level, title, target in lines
    )
    return f'<nav class="book-contents" id="contents"><h1>Contents</h1><ul>{rows}</ul></nav>'


def _text_of(page: Page) -> str:
    name = escape(page.name)
    part = f'<p class="book-part" id="part--{name}">{escape(page.part)}</p>' if page.part else ""
    return f'<div id="{name}">{part}{page.article.decode_contents()}</div>'


def _solutions(solutions: Sequence[Solution]) -> str:
    parts, last = ["<h1>Solutions</h1>"], None
    for solution in solutions:
        if solution.page is not last:
            last = solution.page
            parts.append(f"<h2>{escape(last.title)}</h2>")
        target = escape(solution.target)
        parts.append(
            f'<div class="book-answer" id="{target}"><p><a href="#to-{target}">{solution.number}.'
            f"</a></p><div>{solution.box.decode_contents()}</div></div>"
        )
    return f'<div id="solutions">{"".join(parts)}</div>'


def _section(number: int, text: str) -> str:
    return f'<section class="book-chapter" style="page: chapter-{number}">{text}</section>'


def _whole(title: str, styles: str, titles: Sequence[str], body: str) -> str:
    heads = "\n".join(map(_running, range(len(titles)), titles))
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{escape(title)}</title>
{styles}
<style>{heads}</style></head>
<body class="book-whole"><main class="bd-main"><div class="bd-content">
<div class="bd-article-container"><article class="bd-article">
{body}
</article></div></div></main></body></html>"""


def _running(number: int, title: str) -> str:
    """Write the style of a chapter's paper: its title stands above the text."""
    words = re.sub(r'[\\"<]', lambda match: f"\\{ord(match[0]):x} ", title)
    return f'@page chapter-{number} {{ @top-left {{ content: "{words}" }} }}'


def _styles(site: Path, pages: Sequence[Page]) -> str:
    """Return the links to styles in the heads of pages, and the scripts that set formulas."""
    found: dict[str, None] = {}
    for page in pages:
        head = BeautifulSoup(page.head, "html.parser")
        for element in head.select("link[rel=stylesheet], script"):
            if element.name == "script" and "mathjax" not in str(element).lower():
                continue
            for name in ("href", "src"):
                if name in element.attrs:
                    element[name] = urljoin(f"{site.as_uri()}/", str(element[name]))
            found[str(element)] = None
    return "\n".join(found)
