"""What pages tell the world: what they are about, where they stand, and which version they show.

A Sphinx extension. Two addresses in ``_config.yml`` turn on what needs them. Where ``html.baseurl``
is set, pages name their own address, and there is a sitemap. Where ``repository.url`` is set, pages
have buttons to open, edit and discuss them.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable
from html import escape
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from textwrap import shorten
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError

from rnnatomy.report import previews
from rnnatomy.store import checkout, disk

LETTERS = 160
"""Of a description, at most: search engines cut what is longer."""

ASIDE = {"404": "Page not found", "search": "Search", "genindex": "Index"}
"""Pages that nobody looks for, and their titles."""

BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_config_value("preview_pictures", True, "html")
    app.connect("config-inited", _settle, priority=400)
    app.connect("html-page-context", _tell)
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def description(doctree: nodes.document) -> str:
    """Return the first paragraph of a page as plain text, cut at a word; "" if it has none.

    Args:
        doctree: of the page, with its references and glued values in place.
    """
    leads = (p for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section))
    lead = next(leads, None)
    words = " ".join(_words(lead).split()) if lead is not None else ""
    return shorten(re.sub(r" ([.,;:?!])", r"\1", words), LETTERS, placeholder="…")


def _words(node: nodes.Node) -> str:
    """What a reader reads in a node, without what stands in brackets for a source."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.math):
        return re.sub(r"\\[A-Za-z]+|[\\{}$]", "", node.astext())
    left_out = "bibtex-citation" in node.get("classes", [])  # type: ignore[attr-defined]
    return "" if left_out or isinstance(node, nodes.raw) else "".join(map(_words, node.children))


def tags(title: str, text: str, kind: str, picture: str, address: str = "") -> str:
    """Write the meta tags of a page.

    Args:
        title: of the page.
        text: what it is about.
        kind: "website" for the start page, "article" for others.
        picture: address of its preview; "" for none.
        address: of the page itself; "" if it is not known.
    """
    named = {"description": text, "twitter:card": "summary_large_image" if picture else "summary"}
    graph = {"title": title, "description": text, "type": kind, "url": address, "image": picture}
    if picture:
        graph |= {"image:width": str(previews.WIDTH), "image:height": str(previews.HEIGHT)}
    lines = [_tag("name", name, content) for name, content in named.items()]
    lines += [_tag("property", f"og:{name}", content) for name, content in graph.items() if content]
    return "\n".join(lines)


def _tag(kind: str, name: str, content: str) -> str:
    return f'<meta {kind}="{name}" content="{escape(content)}" />'


def sitemap(addresses: Iterable[str]) -> str:
    """Write a sitemap, as sitemaps.org defines it.

    Args:
        addresses: of the pages.
    """
    entries = "".join(f"<url><loc>{escape(address)}</loc></url>\n" for address in addresses)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{entries}</urlset>\n'
    )


def commit() -> str:
    """Return the short name of the commit that is built, "" if there is none.

    It ends in "-modified" if files that belong to it were changed since.
    """
    words = ["describe", "--always", "--abbrev=7", "--exclude=*", "--dirty=-modified"]
    try:
        return subprocess.run(
            ["git", "-C", str(checkout.root()), *words],
            capture_output=True, text=True, check=True,
            env=os.environ | {"GIT_OPTIONAL_LOCKS": "0"},
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.CalledProcessError, checkout.CheckoutError):
        return ""


def built_from(repository: str = "") -> str:
    """Write for the foot of a page which version and commit it shows.

    Args:
        repository: its address, to which the commit is linked; "" if it has none.
    """
    shown = commit()
    if not shown:
        return f"<p>Version {version('rnnatomy')}</p>"
    if repository:
        place = f"{repository.rstrip('/')}/commit/{shown.removesuffix('-modified')}"
        shown = f'<a href="{escape(place)}">{shown}</a>'
    return f"<p>Version {version('rnnatomy')}, commit {shown}</p>"


def _settle(app: Sphinx, config: Config) -> None:
    """Turn on what the two addresses allow, and write the foot of the pages."""
    options, base = config.html_theme_options, config.html_baseurl
    if base and not re.match(r"https?://[^/]", base):
        raise ConfigError(
            f"ERROR: html.baseurl in _config.yml is {disk.brief(base)}: give a whole address, such "
            "as https://example.org/book/, or leave it empty."
        )
    config.html_baseurl = base and base.rstrip("/") + "/"  # type: ignore[attr-defined]
    repository = options.get("repository_url") or ""
    options |= dict.fromkeys(BUTTONS, bool(repository))
    if not repository:
        options["launch_buttons"] = {}
    options["extra_footer"] = options.get("extra_footer", "") + built_from(repository)


def _tell(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add to a page what it tells of itself."""
    base, book = app.config.html_baseurl, app.config.html_title
    title = app.env.titles[name].astext() if name in app.env.titles else ASIDE.get(name, book)
    text = description(doctree) if doctree is not None else ""
    kind = "website" if name == app.config.root_doc else "article"
    address = context["pageurl"] if base and name not in ASIDE else ""
    picture = base + _picture(app, name, title, doctree)
    context["pageurl"] = address or None
    own = tags(title, text or f"{title}: a page of {book}.", kind, picture, address)
    own += "\n" + _tag("property", "og:site_name", book)
    # Sphinx writes one itself, docutils another
    others = re.sub(r'<meta name="viewport"[^>]*>', "", context.get("metatags", ""))
    context["metatags"] = "\n".join([others, own, *_unlisted(name, base)])
    if kind == "website" and name != "index":
        _lead_to(name, f"{own}\n{_canonical(address)}", book, Path(app.outdir))


def _picture(app: Sphinx, name: str, title: str, doctree: nodes.document | None) -> str:
    """Draw the preview of a page; its place in the site, that of the whole book's otherwise."""
    if doctree is None or not app.config.preview_pictures:
        return ""
    texts = (node.astext() for node in doctree.findall(nodes.raw))
    figures = (text for text in texts if 'class="rnnatomy-figure"' in text)
    drawings = (previews.draw(title, figure) for figure in islice(figures, 3))
    drawn = next((picture for picture in drawings if picture), None)
    if drawn is None:
        return f"_static/{previews.WHOLE}"
    folder = Path(app.outdir) / "_previews"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.png").write_bytes(drawn)
    return f"_previews/{name}.png"


def _unlisted(name: str, base: str) -> list[str]:
    """What goes beside the tags of a page that nobody looks for.

    The page for what is not found is shown at any address, so its links start at the book's.
    """
    if name not in ASIDE:
        return []
    lines = [_tag("name", "robots", "noindex")]
    if name == "404" and base:
        place = json.dumps(base).replace("<", "\\u003c")
        lines.append(
            f"<script>if (location.href.startsWith({place})) document.head.append("
            f'Object.assign(document.createElement("base"), {{ href: {place} }}))</script>'
        )
    return lines


def _canonical(address: str) -> str:
    return f'<link rel="canonical" href="{escape(address)}" />' if address else ""


def _lead_to(name: str, head: str, book: str, site: Path) -> None:
    """Write the page ``index.html``, which leads on to the start page and has the same preview."""
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<title>{escape(book)}</title>
{head}
<meta http-equiv="Refresh" content="0; url={name}.html" />
</head>
<body><a href="{name}.html">{escape(book)}</a></body>
</html>
"""
    (site / "index.html").write_text(page, "utf8")


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Write the sitemap, if the pages have addresses."""
    base = app.config.html_baseurl
    if error is None and base and app.builder.format == "html":
        names = sorted(set(app.env.found_docs) - ASIDE.keys())
        text = sitemap(f"{base}{app.builder.get_target_uri(name)}" for name in names)
        (Path(app.outdir) / "sitemap.xml").write_text(text, "utf8")
