"""What a term means, where it is used: a Sphinx extension that lays definitions into pages.

A page gets the definitions of those terms of the glossary to which it links, as JSON. A plain
script on the page, ``book/_static/tips.js``, shows them on hover and focus, and with them what else
a page holds itself: entries of its references, and its figures.
"""

import json
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

LINK = re.compile(r'href="([^"#]*#term-[^"]+)"')


def definitions(app: Sphinx) -> dict[str, str]:
    """Return what each term of the glossary means, by its place in the site."""
    found = {}
    domain = app.env.get_domain("std")
    for _, _, kind, page, label, _ in domain.get_objects():
        if kind == "term":
            doctree = app.env.get_doctree(page)
            found[f"{page}.html#{label}"] = _definition(doctree, label)
    return {place: text for place, text in found.items() if text}


def _definition(doctree: nodes.document, label: str) -> str:
    for item in doctree.findall(nodes.definition_list_item):
        terms = [term for term in item.findall(nodes.term) if label in term["ids"]]
        if terms:
            bodies = [body.astext() for body in item.findall(nodes.definition)]
            return " ".join(" ".join(bodies).split())
    return ""


def add_definitions(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Lay the definitions of the terms that a page links to at its end."""
    if doctree is None or "body" not in context:
        return
    if not hasattr(app, "_term_definitions"):
        app._term_definitions = definitions(app)  # type: ignore[attr-defined]
    known: dict[str, str] = app._term_definitions  # type: ignore[attr-defined]
    used = {place: known[place] for place in LINK.findall(context["body"]) if place in known}
    if used:
        text = json.dumps(used, ensure_ascii=False, sort_keys=True).replace("<", r"\u003c")
        context["body"] += f'<script type="application/json" class="tips">{text}</script>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("html-page-context", add_definitions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
