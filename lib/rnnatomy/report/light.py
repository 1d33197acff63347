"""A site that weighs little: icons within its pages, one style sheet, and only scripts of use.

The theme serves every book: it brings thousands of icons, and styles and scripts for what most
books never show. A built site is gone through once more, and what no page of it uses is left out.
What a reader sees and does stays the same.
"""

import io
import posixpath
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence, Set
from hashlib import sha256
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import tinycss2
from fontTools import subset
from fontTools.ttLib import TTFont

NOTICE = "Icons: Font Awesome Free 6, https://fontawesome.com/license/free, CC BY 4.0"
"""Said in each page that shows one."""

Icons = Mapping[tuple[str, str], "Icon"]
"""By style ("solid", "regular" or "brands") and name."""

_STYLES = {"fas": "solid", "far": "regular", "fab": "brands"}
_ICONS = "fontawesome.js"  # where the theme keeps their outlines
_FONT = "fa-solid-900.ttf"  # and where its styles take theirs from
_SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")
_OPTIONS = "documentation_options.js"
_WIDGETS = "rnnatomyWidgets"  # named by the scripts of widgets, see widget.js
_APART = "_static/widgets"  # folder of what they carry
_PAPER = "book-"  # begins the names of what only the printed book has, see paper.py
_UNUSED = (f"{_ICONS}*", "fa-*.ttf", "fa-*.woff2", "*.map", "*macros.html")

_LINK = re.compile(
    r'<link(?=[^>]*\srel="stylesheet")(?![^>]*\smedia=)[^>]*\shref="([^"]*)"[^>]*>\n?'
)

_ICON_LOOK = """
.svg-inline--fa{box-sizing:content-box;display:inline-block;height:1em;overflow:visible;\
vertical-align:-.125em}.svg-inline--fa.fa-lg{vertical-align:-.2em}\
.svg-inline--fa.fa-fw{text-align:center;width:1.25em}
"""


class Icon(NamedTuple):
    """The outline of an icon, in a box of its own."""

    width: int
    height: int
    path: str


def lighten(site: Path) -> None:
    """Leave out of a built site what none of its pages uses; its pages are written anew.

    Args:
        site: folder of a site that Sphinx has built, with the theme of the book.
    """
    static = site / "_static"
    scripts = {path.name: path.read_text("utf8") for path in static.rglob("*.js")}
    icons = read_icons(scripts.pop(_ICONS, ""))
    widgets = {name for name, text in scripts.items() if _WIDGETS in text}
    pages = {}
    for path in sorted(site.rglob("*.html")):
        if not {"_static", "_sources"} & {*path.relative_to(site).parts}:
            page = inline_icons(path.read_text("utf8"), icons)
            page = fewer_scripts(page, widgets, scripts.get(_OPTIONS, ""))
            pages[path] = data_apart(page, site, "../" * (len(path.relative_to(site).parts) - 1))
    used = names_in_use(pages.values(), scripts.values())
    merged: dict[tuple[str, ...], str] = {}
    for path, page in pages.items():
        up = "../" * (len(path.relative_to(site).parts) - 1)
        names = sheets(page, up)
        if names and names not in merged:
            file = static / f"site{len(merged) or ''}.css"
            file.write_text(one_sheet(site, names, used), "utf8")
            digest = sha256(file.read_bytes()).hexdigest()[:8]
            merged[names] = f"_static/{file.name}?v={digest}"
        path.write_text(with_one_sheet(page, up + merged[names]) if names else page, "utf8")
    for path in (path for kind in _UNUSED for path in static.rglob(kind)):
        path.unlink()


# ---- Icons ----


def read_icons(script: str) -> Icons:
    """Read the outlines that Font Awesome's script draws.

    Args:
        script: holds lists of ``name:[width,height,[other names],"code","path"]``, one per style.
    """
    entry = re.compile(r'"?([a-z0-9-]+)"?:\[(\d+),(\d+),\[([^\]]*)\],"[0-9a-f]+","([^"]*)"\]')
    lists: list[dict[str, Icon]] = []
    end = -2
    for found in entry.finditer(script):
        if found.start() > end + 1:  # no comma only: another list begins
            lists.append({})
        end = found.end()
        icon = Icon(int(found[2]), int(found[3]), found[5])
        lists[-1].update(dict.fromkeys([found[1], *re.findall(r'"([^"]+)"', found[4])], icon))
    # only one style has brands, and only solid has numerals
    styles = ["brands" if "github" in x else "solid" if "0" in x else "regular" for x in lists]
    named = zip(styles, lists, strict=True)
    return {(style, name): icon for style, found in named for name, icon in found.items()}


def inline_icons(page: str, icons: Icons) -> str:
    """Draw the icons of a page where they stand; one that is not known stays as it is.

    Args:
        page: HTML, in which an icon is an empty element with classes of Font Awesome.
        icons: as of ``read_icons``.
    """
    empty = re.compile(r'<(i|span) class="([^"]*\bfa-[^"]*)"([^>]*)>\s*</\1>')
    drawn = empty.sub(lambda found: _draw(found[2].split(), found[3], icons) or found[0], page)
    return drawn if drawn == page else drawn.replace("</head>", f"<!-- {NOTICE} -->\n</head>", 1)


def _draw(classes: Sequence[str], attributes: str, icons: Icons) -> str | None:
    plain = {name: _STYLES.get(name) or name[3:] for name in classes if name[:2] == "fa"}
    style = next((word for word in plain.values() if word in _STYLES.values()), "solid")
    icon = next((icons[style, w] for w in plain.values() if (style, w) in icons), None)
    if icon is None:
        return None
    kept = " ".join(name for name in classes if plain.get(name) != style)
    title = re.search(r' title="([^"]*)"', attributes)
    rest = re.sub(r' (?:title|aria-hidden)="[^"]*"', "", attributes).rstrip()
    return (
        f'<svg class="svg-inline--fa {kept}"{rest} aria-hidden="true" focusable="false" '
        f'viewBox="0 0 {icon.width} {icon.height}">'
        + (f"<title>{title[1]}</title>" if title else "")
        + f'<path fill="currentColor" d="{icon.path}"/></svg>'
    )


# ---- Scripts ----


def fewer_scripts(page: str, widgets: Set[str], options: str) -> str:
    """Let a page load only scripts that it uses, and run them after it is shown.

    Args:
        page: HTML.
        widgets: names of the scripts of widgets: each is called as a class of its element, but for
            ``widget.js``, which all of them use.
        options: what ``documentation_options.js`` holds; short, and needed at once.
    """
    searches = 'id="search-results"' in page
    played = {f"{name}.js" for name in re.findall(r'<div class="widget ([\w-]+)">', page)}
    idle = widgets - (played | {"widget.js"} if played else played)

    def keep(found: re.Match[str]) -> str:
        name = posixpath.basename(unescape(found[1]).split("?")[0])
        if name == _ICONS or name in idle or (name in _SEARCH and not searches):
            return ""
        if name == _OPTIONS and options:
            return f"<script>{options.strip()}</script>\n"
        if searches or re.search(r"\s(?:defer|async)\b", found[0]):
            return found[0]
        return found[0].replace("<script", "<script defer", 1)

    return re.sub(r'<script\b[^>]*\ssrc="([^"]*)"[^>]*></script>\n?', keep, page)


def data_apart(page: str, site: Path, up: str = "") -> str:
    """Put what the widgets of a page carry into scripts of their own, loaded when they are near.

    They are scripts since a page that is opened as a file may load nothing else.

    Args:
        page: HTML, with widgets as ``widgets.widget`` writes them.
        site: folder of the site.
        up: way from the page to the folder of the site.
    """

    def moved(found: re.Match[str]) -> str:
        name = f"{_APART}/{sha256(found[2].encode()).hexdigest()[:16]}.js"
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(f'document.currentScript.carried="{found[2]}";\n', "utf8")
        return f'{found[1]} data-source="{up}{name}"></script>'

    return re.sub(r'(<script[^>]* class="widget-data")>([A-Za-z0-9+/=]+)</script>', moved, page)


# ---- Styles ----


def sheets(page: str, up: str = "") -> tuple[str, ...]:
    """Return the style sheets of a page, seen from the folder of the site.

    Args:
        page: HTML.
        up: way from the page to the folder of the site.
    """
    found = (unescape(link[1]).split("?")[0] for link in _LINK.finditer(page))
    return tuple(name.removeprefix(up) for name in found)


def with_one_sheet(page: str, address: str) -> str:
    """Let a page load one style sheet in place of all."""
    rest = _LINK.split(page)[::2]
    return f'{rest[0]}<link rel="stylesheet" href="{address}" />\n{"".join(rest[1:])}'


def one_sheet(site: Path, names: Sequence[str], used: Set[str]) -> str:
    """Put style sheets into one that holds what is used, and the few glyphs that it shows.

    Args:
        site: folder of the site.
        names: the sheets, in order, seen from there.
        used: words, of which a class that is used is one: see ``names_in_use``.
    """
    text = "\n".join(prune(read_sheet(site, name), used) for name in names) + _ICON_LOOK
    fonts = [*(site / "_static").rglob(_FONT)]
    return with_small_font(text, fonts[0]) if fonts else text


def read_sheet(site: Path, name: str) -> str:
    """Read a style sheet with those that it imports; addresses are then seen from ``_static``."""
    folder = posixpath.dirname(name)
    text = (site / name).read_text("utf8")

    def imported(found: re.Match[str]) -> str:
        return read_sheet(site, posixpath.normpath(posixpath.join(folder, found[1])))

    def moved(found: re.Match[str]) -> str:
        path = posixpath.relpath(posixpath.join(folder, found[1]), "_static")
        return f'url("{path}")'

    text = re.sub(r"""url\(["']?(?![a-z]+:|[/#"'])([^"')]+)["']?\)""", moved, text)
    return re.sub(r"""@import\s+["']([^"':]+)["']\s*;""", imported, text)


def names_in_use(pages: Iterable[str], scripts: Iterable[str]) -> frozenset[str]:
    """Return the classes of pages, and every word of scripts: it may name a class."""
    used: set[str] = set()
    for page in pages:
        for classes in re.findall(r'\sclass="([^"]*)"', page):
            used.update(unescape(classes).split())
        for script in re.findall(r"<script\b[^>]*>(.*?)</script>", page, re.S):
            used.update(re.findall(r"[\w-]+", script[:10_000]))
    for script in scripts:
        used.update(re.findall(r"[\w-]+", script))
    return frozenset(used)


def prune(sheet: str, used: Set[str]) -> str:
    """Leave out the rules of a style sheet that hold for no element.

    A rule is left out if it asks for a class that is not used, by a page or by the book that is
    printed. What stands inside ``:not()``,
    ``:is()`` and the like is not looked at, nor is anything but classes.

    Args:
        sheet: CSS.
        used: words, of which a class that is used is one.
    """
    rules = tinycss2.parse_stylesheet(sheet, skip_whitespace=True)
    return "\n".join(filter(None, (_kept(rule, used) for rule in rules)))


def _kept(rule: Any, used: Set[str]) -> str:
    if rule.type == "qualified-rule":
        kept = [one for one in _selectors(rule.prelude) if _asks_for(one) <= used]
        words = ",".join(tinycss2.serialize(one).strip() for one in kept)
        body = tinycss2.serialize(rule.content).strip()
        return f"{words}{{{body}}}" if words and body else ""
    if rule.type == "comment":
        return str(rule.serialize()) if rule.value.startswith("!") else ""  # a notice
    if rule.type != "at-rule" or rule.lower_at_keyword == "charset":
        return ""
    if rule.lower_at_keyword not in ("media", "supports") or rule.content is None:
        return str(rule.serialize())
    inner = tinycss2.parse_rule_list(rule.content, skip_whitespace=True)
    body = "".join(_kept(one, used) for one in inner)
    return (
        f"@{rule.at_keyword} {tinycss2.serialize(rule.prelude).strip()}{{{body}}}" if body else ""
    )


def _selectors(prelude: Sequence[Any]) -> list[list[Any]]:
    found: list[list[Any]] = [[]]
    for token in prelude:
        if token.type == "literal" and token.value == ",":
            found.append([])
        elif token.type != "comment":
            found[-1].append(token)
    return found


def _asks_for(selector: Sequence[Any]) -> set[str]:
    asked = {b.value for a, b in pairwise(selector) if a == "." and b.type == "ident"}
    return {name for name in asked if not name.startswith(_PAPER)}


def with_small_font(sheet: str, font: Path) -> str:
    """Put the glyphs that a style sheet shows into it, in place of whole fonts of icons.

    Args:
        sheet: CSS, in which icons are characters for private use.
        font: file of the font.
    """
    shown = {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", sheet)}
    shown |= {ord(letter) for letter in re.findall("[\ue000-\uf8ff]", sheet)}
    small = TTFont(font, recalcTimestamp=False)
    chosen = subset.Subsetter(subset.Options(hinting=False, name_IDs=[0, 13, 14]))
    chosen.populate(unicodes=shown)
    chosen.subset(small)
    small.flavor, page = "woff", io.BytesIO()
    small.save(page)
    data = b64encode(page.getvalue()).decode()
    source = f'src:url("data:font/woff;base64,{data}") format("woff")'

    def face(found: re.Match[str]) -> str:
        if "fontawesome" not in found[0]:
            return found[0]
        return re.sub(r"src:[^;}]*", source, found[0]) if font.stem in found[0] else ""

    return re.sub(r"@font-face\s*\{[^}]*\}", face, sheet)
