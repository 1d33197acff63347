"""Pages that load only what they use: icons, scripts and styles."""

import re
import zlib
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import matplotlib
import pytest
from fontTools.ttLib import TTFont

from rnnatomy.report import light
from rnnatomy.report.widgets import widget

SCRIPT = (
    'x={"github":[4,5,[],"f09b","M1"]};y={sun:[6,5,[],"f185","M2"]};'
    'z={"0":[7,5,[],"30","M3"],"sun":[8,5,[9728,"day"],"f185","M4"],bars:[9,5,[],"f0c9","M5"]};'
)


def test_icons_are_read_by_style_and_each_name():
    icons = light.read_icons(SCRIPT)
    assert icons["brands", "github"] == light.Icon(4, 5, "M1")
    assert icons["regular", "sun"].path == "M2"
    assert icons["solid", "day"] == icons["solid", "sun"] == light.Icon(8, 5, "M4")


@pytest.mark.parametrize(
    ("written", "classes", "path"),
    [
        ('<i class="fa-solid fa-sun fa-lg"></i>', "fa-sun fa-lg", "M4"),
        ('<i class="fas fa-day"> </i>', "fa-day", "M4"),
        ('<i class="far fa-sun"></i>', "fa-sun", "M2"),
        ('<i class="fab fa-github"></i>', "fa-github", "M1"),
        ('<span class="bars fa-solid fa-bars"></span>', "bars fa-bars", "M5"),
    ],
)
def test_an_icon_is_drawn_where_it_stands(written, classes, path):
    page = f"<head></head><body>{written}</body>"
    drawn = light.inline_icons(page, light.read_icons(SCRIPT))
    assert f'class="svg-inline--fa {classes}"' in drawn and f'd="{path}"' in drawn
    assert light.NOTICE in drawn and 'aria-hidden="true"' in drawn


@pytest.mark.parametrize(
    "written",
    ['<i class="fa-solid fa-nothing"></i>', '<span class="bars"></span>', "<i>fa-sun</i>"],
)
def test_what_is_no_known_icon_stays(written):
    assert light.inline_icons(written, light.read_icons(SCRIPT)) == written


def test_an_icon_keeps_its_title_and_data():
    written = '<i class="fa-solid fa-sun" data-mode="light" title="Light"></i>'
    drawn = light.inline_icons(written, light.read_icons(SCRIPT))
    assert 'data-mode="light"' in drawn and "<title>Light</title>" in drawn


PAGE = """<script src="_static/documentation_options.js?v=1"></script>
<script src="_static/scripts/fontawesome.js?v=1"></script>
<script src="_static/doctools.js"></script>
<script defer src="_static/late.js"></script>
<script src="_static/play.js?v=2"></script>
<script src="searchindex.js"></script>
<script>say(1)</script>"""


def loaded(page):
    return re.findall(r"<script( defer)?[^>]* src=\"(?:_static/)?([\w.]+)", page)


@pytest.mark.parametrize("plays", [False, True])
def test_a_page_loads_the_scripts_it_uses_after_it_is_shown(plays):
    page = PAGE + ('<div class="widget play"></div>' if plays else "")
    found = light.fewer_scripts(page, {"play.js"}, "const OPTIONS = 1;")
    names = ["doctools.js", "late.js", *(["play.js"] if plays else [])]
    assert loaded(found) == [(" defer", name) for name in names]
    assert "<script>const OPTIONS = 1;</script>" in found and "<script>say(1)</script>" in found


@pytest.mark.parametrize("shown", [(), ("pad",), ("pad", "viewer")])
def test_a_page_loads_the_scripts_of_its_own_widgets(shown):
    scripts = ["pad.js", "widget.js", "viewer.js"]
    page = "".join(f'<script src="_static/{name}?v=1"></script>' for name in scripts)
    page += "".join(f'<div class="widget {name}"></div>' for name in shown)
    wanted = {f"{name}.js" for name in (*shown, *(["widget"] if shown else []))}
    assert {name for _, name in loaded(light.fewer_scripts(page, set(scripts), ""))} == wanted


def test_what_a_widget_carries_stands_in_a_script_of_its_own(tmp_path):
    html = widget.widget("play", "Play, or see", "fig", {"a": 1}, bytes(range(200)), "less")
    page = light.data_apart(f"<main>{html}{html}</main>", tmp_path, "../")
    (file,) = (tmp_path / "_static" / "widgets").glob("*.js")
    assert page.count(f' data-source="../_static/widgets/{file.name}"></script>') == 2
    assert page.count('class="widget-facts">{"a":1}') == 2
    (text,) = re.findall(r'^document\.currentScript\.carried="([^"]*)";$', file.read_text())
    assert zlib.decompress(b64decode(text), -15) == bytes(range(200)) and text not in page


def test_a_page_without_widgets_writes_nothing_aside(tmp_path):
    assert light.data_apart(PAGE, tmp_path) == PAGE and not [*tmp_path.iterdir()]


def test_the_page_of_the_search_keeps_its_scripts_in_order():
    page = PAGE + '<div id="search-results"></div>'
    found = light.fewer_scripts(page, {"play.js"}, "")
    assert [name for _, name in loaded(found)][-1] == "searchindex.js"
    assert ("", "doctools.js") in loaded(found)


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (".a{x:1}", ".a{x:1}"),
        (".b{x:1}", ""),
        (".a .b{x:1}", ""),
        (".a,.b{x:1}", ".a{x:1}"),
        ("p:not(.b){x:1}", "p:not(.b){x:1}"),
        (":is(.b,.a){x:1}", ":is(.b,.a){x:1}"),
        ('[class*="b"]{x:1}', '[class*="b"]{x:1}'),
        ("#b{x:1}", "#b{x:1}"),
        (".a{}", ""),
        ("@media print{.b{x:1}.a{x:2}}", "@media print{.a{x:2}}"),
        ("@media print{.b{x:1}}", ""),
        ("@supports (x:1){.a{x:1}}", "@supports (x:1){.a{x:1}}"),
        ("@keyframes b{from{x:1}}", "@keyframes b{from{x:1}}"),
        ('@charset "utf-8";', ""),
        ("/* words *//*! a licence */", "/*! a licence */"),
        (r".a\:b{x:1}", r".a\:b{x:1}"),
        (".a{x:1", ".a{x:1}"),
    ],
)
def test_a_rule_is_kept_where_its_classes_are_used(rule, kept):
    assert light.prune(rule, {"a", "a:b"}) == kept


def test_what_only_the_printed_book_has_is_kept():
    rule = "@media print{.book-cover h1{color:red}.book-part .b{color:red}}"
    assert light.prune(rule, {"a"}) == "@media print{.book-cover h1{color:red}}"


def test_classes_of_pages_and_words_of_scripts_are_used():
    pages = ['<p class="a b-c">d</p><script>e("f-g")</script>']
    used = light.names_in_use(pages, ["h.classList.add('i')"])
    assert {"a", "b-c", "e", "f-g", "h", "i"} <= used and "d" not in used


@pytest.fixture
def site(tmp_path: Path):
    """A site of two pages, one of them in a folder, with an icon font."""
    files = {
        "_static/styles/one.css": '@import "../two.css";\n.a{background:url(pic.png)}.gone{x:1}'
        "@font-face{font-family:F;src:url(../vendor/fontawesome/fa-solid-900.ttf)}"
        "@font-face{font-family:G;src:url(../vendor/fontawesome/fa-brands-400.ttf)}"
        r"b:after{content:'\f107'}",
        "_static/two.css": "b{x:1}",
        "_static/scripts/fontawesome.js": SCRIPT,
        "_static/scripts/fontawesome.js.map": "",
        "_static/macros.html": "",
        "index.html": '<head>\n<link rel="stylesheet" href="_static/styles/one.css?v=1" />\n'
        '<link rel="stylesheet" href="_static/two.css" />\n</head><p class="a">',
        "more/page.html": '<link rel="stylesheet" href="../_static/styles/one.css" />\n<p>',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    fonts = tmp_path / "_static/vendor/fontawesome"
    fonts.mkdir(parents=True)
    font = TTFont(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")
    font["cmap"].tables = [table for table in font["cmap"].tables if table.isUnicode()]
    for table in font["cmap"].tables:
        table.cmap[0xF107] = "a"
    font.save(fonts / "fa-solid-900.ttf")
    return tmp_path


def test_a_page_loads_one_style_sheet(site):
    light.lighten(site)
    index, other = (site / name for name in ("index.html", "more/page.html"))
    assert re.findall(r'href="([^"?]*)', index.read_text()) == ["_static/site.css"]
    assert re.findall(r'href="([^"?]*)', other.read_text()) == ["../_static/site1.css"]
    sheet = (site / "_static" / "site.css").read_text()
    assert 'url("styles/pic.png")' in sheet and "gone" not in sheet
    assert sheet.count("b{x:1}") == 2


def test_of_a_font_of_icons_only_what_is_shown_is_left(site):
    light.lighten(site)
    sheet = (site / "_static" / "site.css").read_text()
    assert "brands" not in sheet
    small = TTFont(BytesIO(b64decode(re.search(r"base64,([^\"]+)", sheet)[1])))
    assert [*small.getBestCmap()] == [0xF107]
    left = {path.name for path in site.rglob("*.*")}
    assert not left & {"fontawesome.js", "fontawesome.js.map", "fa-solid-900.ttf", "macros.html"}
