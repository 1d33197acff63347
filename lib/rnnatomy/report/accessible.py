"""What the theme and its companions write for nobody's ears, put right in the pages of a site.

All of it is HTML that a page does not have in its sources: names that hide the words on a button,
roles that are out of use, parts of a page that belong to none of its landmarks.
"""

import re
from collections.abc import Callable
from pathlib import Path

_EMPTY_HEAD = r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>"
_MATHS_HEAD = (
    r'<th class="(?P<kind>[^"]*)">(?P<cell>\s*(?:<p>)?<span class="math[^"]*"><math\b'
    r"(?:(?!</math>|<annotation)[\s\S])*<annotation[^>]*>(?P<tex>[^<]*)</annotation>\s*</semantics>"
    r"\s*</math></span>(?:</p>)?\s*)</th>"
)
_SEARCH = r'(<button class="[^"]*\bsearch-button-field\b[^>]*?)\s+aria-label="[^"]*"'


def said(tex: str) -> str:
    r"""Return a short formula as words, such as "s 1" for ``s_{1}``.

    Args:
        tex: of a symbol; its commands become their names.
    """
    return " ".join(re.sub(r"[\\{}_^$]", " ", tex).split())


def _named_head(found: re.Match[str]) -> str:
    words = f'<span class="visually-hidden">{said(found["tex"])}</span>'
    return f'<th class="{found["kind"]}">{words}<div aria-hidden="true">{found["cell"]}</div></th>'


Change = str | Callable[[re.Match[str]], str]

CHANGES: tuple[tuple[str, Change], ...] = (
    # a button is called what stands on it, so that it can be asked for by these words
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (_SEARCH, r"\1"),
    (r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"', r"\1"),
    # the role of an entry is out of use; in a list, it is an item
    (r'role="doc-biblioentry"', 'role="listitem"'),
    # a head without words is none; one of a formula gets its words
    (_EMPTY_HEAD, "<td></td>"),
    (_MATHS_HEAD, _named_head),
    # the link behind a caption takes the last word to the next line before it widens the page
    (r'(<a class="headerlink"[^>]*title="Link to this image")', r'\1 style="position: static"'),
    # all that is seen lies in a part of the page that has a name
    (r'(<div id="pst-primary-sidebar")', r'\1 role="navigation" aria-label="Book"'),
    (r'(<dialog id="pst-primary-sidebar-modal")', r'\1 aria-label="Book"'),
    (r'(<dialog id="pst-secondary-sidebar-modal")', r'\1 aria-label="On this page"'),
    (r'(<dialog id="pst-search-dialog")', r'\1 aria-label="Search"'),
)
"""Regular expressions, and what takes the place of what they find."""


def mended(page: str) -> str:
    """Return the HTML of a page with all of ``CHANGES`` made; once is enough.

    Args:
        page: as Sphinx has written it.
    """
    for pattern, change in CHANGES:
        page = re.sub(pattern, change, page)
    return page


def mend(site: Path) -> None:
    """Mend every page of a site.

    Args:
        site: its folder; pages outside the topmost level are left.
    """
    for path in sorted(site.glob("*.html")):
        path.write_text(mended(path.read_text("utf8")), "utf8")
