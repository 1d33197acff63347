"""Mathematics of the site: each formula is set as MathML when the site is built.

Browsers draw MathML and screen readers read it, so that a page loads no program for its formulas.
An extension of Sphinx: ``_config.yml`` names it, and chooses its renderer.
"""

import re
from html import unescape
from importlib.metadata import files
from pathlib import Path
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

NAME = "mathml"
"""Of the renderer, for ``html_math_renderer``."""


FONT = "mathematics.woff"
"""In the static files of a site: the glyphs that its formulas need."""

ITALIC = {0x210E, *range(0x1D434, 0x1D468), *range(0x1D6E2, 0x1D71C)}
"""What browsers draw for the single letters of a formula."""


class FormulaError(ValueError):
    """A formula cannot be set; the message says why."""


def convert(tex: str, display: bool) -> str:
    r"""Set a formula; its TeX stays inside, as an annotation.

    Args:
        tex: the formula, without dollars or brackets around it.
        display: whether it stands in a line of its own. Lines parted by ``\\`` or an empty line
            are then set below each other, aligned at ``&``.

    Returns:
        A ``math`` element of HTML.

    Raises:
        FormulaError: if it is no TeX, or holds a command that is not known.
    """
    words = _lines(tex.strip()) if display else tex.strip()
    setter = LatexToMathML(annotation=True, fancy_error=False)
    try:
        return setter.convert_with_local_state(words, displaystyle=display)
    except LatexError as error:
        raise FormulaError(f"formula {tex.strip()!r} cannot be set: {error}") from error


def _lines(tex: str) -> str:
    # Sphinx counts equations, so that the environments of TeX must not
    tex = re.sub(r"\\(begin|end)\{(align|equation|gather)\}", r"\\\1{\2*}", tex)
    lines = [part.strip() for part in re.split(r"\n\s*\n", tex)]
    if len(lines) == 1 and (r"\\" not in tex or r"\begin{" in tex):
        return tex
    return "\n".join([r"\begin{aligned}", " \\\\\n".join(lines), r"\end{aligned}"])


def _set(writer: Any, node: nodes.Node, display: bool) -> str:
    try:
        return convert(node.astext(), display)
    except FormulaError as error:
        logging.getLogger(__name__).warning(str(error), location=node)
        return f"<code>{writer.encode(node.astext())}</code>"


def _inline(writer: Any, node: nodes.math) -> None:
    tag = writer.starttag(node, "span", "", CLASS="math notranslate nohighlight")
    writer.body.append(f"{tag}{_set(writer, node, False)}</span>")
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(writer.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        number = get_node_equation_number(writer, node)
        writer.body.append(f'<span class="eqno">({number})')
        writer.add_permalink_ref(node, _("Link to this equation"))
        writer.body.append("</span>")
    writer.body.append(f'<div class="formula">{_set(writer, node, True)}</div></div>\n')
    raise nodes.SkipNode


def keep_together(app: Any, document: nodes.document, page: str) -> None:
    """Let no line break between a formula and the punctuation after it.

    Args:
        app: not looked at.
        document: a page whose references are resolved; it is changed.
        page: its name; not looked at.
    """
    for formula in [*document.findall(nodes.math)]:
        after = formula.next_node(descend=False, siblings=True)
        found = re.match(r"[^\s\w]+", after.astext()) if isinstance(after, nodes.Text) else None
        if found and after is not None and after.parent is formula.parent:
            rest = nodes.Text(after.astext()[found.end() :])
            formula.parent.replace(after, rest)
            whole = nodes.inline("", "", classes=["unbroken"])
            formula.parent.replace(formula, whole)
            whole += [formula, nodes.Text(found[0])]


def write_font(app: Sphinx, error: Exception | None) -> None:
    """Write a font with what the formulas of a site are drawn with, as few systems have one.

    Without it, browsers do not know how low an index stands. The font is STIX Two Math, under the
    SIL Open Font License, as the package ziamath carries it.
    """
    static = Path(app.outdir) / "_static"
    if error is not None or not static.is_dir():
        return
    pages = [page.read_text("utf8") for page in Path(app.outdir).glob("*.html")]
    formulas = [one for page in pages for one in re.findall(r"<math.*?</math>", page, re.S)]
    letters = set(map(ord, unescape(re.sub(r"<[^>]*>", "", "".join(formulas)))))
    if formulas:
        _subset(letters | ITALIC, static / FONT)


def _subset(letters: set[int], path: Path) -> None:
    from fontTools import subset

    source = next(file for file in files("ziamath") or [] if file.name == "STIXTwoMath-Regular.ttf")
    options = subset.Options(
        flavor="woff", hinting=False, desubroutinize=True, layout_features=["ssty"]
    )
    options.drop_tables += ["DSIG", "GDEF", "GPOS"]
    font = subset.load_font(str(source.locate()), options)
    smaller = subset.Subsetter(options)
    smaller.populate(unicodes=letters)
    smaller.subset(font)
    subset.save_font(font, str(path), options)


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer to Sphinx."""
    app.connect("doctree-resolved", keep_together)
    app.connect("build-finished", write_font)
    app.add_html_math_renderer(NAME, (_inline, None), (_block, None))  # type: ignore[arg-type]
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
