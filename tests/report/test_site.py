"""How a site is built; and the built site, opened from the file system in a real browser.

Which site that is, `built.py` tells.
"""

import fcntl
import gzip
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import pytest
from report.built import FILES, NARROW, PAGES, SITE, soup, start_widgets

from rnnatomy.report import site as builder
from rnnatomy.store import checkout, scratch

THEMES = ("light", "dark")
LIGHT, PLAYED = 350, 750  # kB: of a page, and of one with all that its widgets carry


# --- Building ---------------------------------------------------------------------------------


@pytest.fixture
def book(lay_out, monkeypatch):
    """A book of two executed chapters; what renders it writes one page, and is called as it is."""
    root = lay_out(intro={"code": "1"}, second={"code": "2"})
    (root / "_config.yml").write_text("")
    (root / "book" / "notes.md").write_text("# Notes")
    executed = root / "build" / "chapters"
    executed.mkdir(parents=True)
    for name in ("intro", "second"):
        (executed / f"{name}.ipynb").write_bytes((root / "book" / f"{name}.ipynb").read_bytes())

    def render(staged, log, strict):
        html = staged / "_build" / "html"
        html.mkdir(parents=True)
        (html / "index.html").write_text(" ".join(sorted(p.name for p in staged.glob("*.*"))))
        return html

    monkeypatch.setattr(builder, "_render", render)
    return root


@pytest.fixture
def earlier(book):
    """A site that was built before."""
    folder = book / "build" / "site"
    folder.mkdir()
    (folder / "index.html").write_text("earlier")
    return folder


def test_a_new_site_takes_the_place_of_the_old_one(book, earlier):
    (earlier / "old.html").write_text("old")
    builder.build_site(book / "build" / "chapters", earlier)
    assert [path.name for path in earlier.iterdir()] == ["index.html"]
    staged = "_config.yml _toc.yml intro.ipynb notes.md second.ipynb"
    assert (earlier / "index.html").read_text() == staged


def test_a_page_with_an_error_is_not_published(book, earlier):
    cell = nbformat.v4.new_code_cell("1 / 0")
    cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    path = book / "build" / "chapters" / "second.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    with pytest.raises(builder.SiteError, match=r"second\.ipynb holds an error"):
        builder.build_site(path.parent, earlier)
    assert (earlier / "index.html").read_text() == "earlier"


def test_a_missing_chapter_is_named(book, earlier):
    (book / "build" / "chapters" / "second.ipynb").unlink()
    with pytest.raises(builder.SiteError, match=r"second\.ipynb is missing"):
        builder.build_site(book / "build" / "chapters", earlier)
    assert (earlier / "index.html").read_text() == "earlier"


def test_a_rendering_that_fails_is_told_and_leaves_the_old_site(book, earlier, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(checkout, "ROOT", book)
    (book / "_config.yml").write_text("not: [closed")
    with pytest.raises(builder.SiteError, match=r"was not built; the log is .*site\.log"):
        builder.build_site(book / "build" / "chapters", earlier)
    assert (earlier / "index.html").read_text() == "earlier"
    assert (book / "build" / "site.log").read_text()


def test_of_two_builds_at_once_the_second_is_refused_by_name(book, earlier, monkeypatch):
    render, refused = builder._render, []

    def render_while_another_begins(staged, log, strict):
        with pytest.raises(builder.SiteError, match="another build of this site is running") as one:
            builder.build_site(book / "build" / "chapters", earlier)
        refused.append(str(one.value))
        return render(staged, log, strict)

    monkeypatch.setattr(builder, "_render", render_while_another_begins)
    builder.build_site(book / "build" / "chapters", earlier)
    assert "\n" not in refused[0]
    assert (earlier / "index.html").read_text() != "earlier"
    monkeypatch.setattr(builder, "_render", render)
    builder.build_site(book / "build" / "chapters", earlier)


def test_a_build_that_failed_holds_up_no_other(book, earlier):
    path = book / "build" / "chapters" / "second.ipynb"
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(builder.SiteError, match="is missing"):
        builder.build_site(path.parent, earlier)
    path.write_bytes(content)
    builder.build_site(path.parent, earlier)
    assert (earlier / "index.html").read_text() != "earlier"


def test_two_sites_can_be_built_at_once(book, earlier):
    with (book / "build" / ".other.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        builder.build_site(book / "build" / "chapters", earlier)
        with pytest.raises(builder.SiteError, match="another build"):
            builder.build_site(book / "build" / "chapters", book / "build" / "other")


KILLS = """
import json, os, signal, sys
from pathlib import Path
from rnnatomy.store import scratch

folder, at_once = Path(sys.argv[1]), sys.argv[2] == "at once"
exchange, dying, steps, last = scratch._exchange, False, 0, 0

def step(event, *_):
    global steps
    if dying and event in ("exchange", "os.rename", "os.remove", "os.rmdir", "end"):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

def exchange_or_not(one, other):
    step("exchange")
    return at_once and exchange(one, other)

def whole(root):
    names = [path.name for path in sorted((root / "site").glob("*"))]
    return (root / "site" / "index.html").read_text() if names == ["a", "index.html"] else None

scratch._exchange = exchange_or_not
sys.addaudithook(step)
told, status = [], -1
while status:
    last, root = last + 1, folder / str(last)
    for name, text in {"site": "old", "html": "new"}.items():
        (root / name).mkdir(parents=True)
        (root / name / "index.html").write_text(text)
        (root / name / "a").write_text(text)
    child = os.fork()
    if not child:
        dying = True
        scratch.replace(root / "site", root / "html", root / "aside")
        step("end")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    found = whole(root)
    scratch.restore(root / "site", root / "aside")
    told.append([found, whole(root)])
print(json.dumps(told))
"""


@pytest.mark.parametrize("way", ["at once", "in two steps"])
def test_a_build_that_is_killed_at_any_step_leaves_a_whole_site(child, tmp_path, way):
    """It stands at any time where two folders can change names at once, else from the next start
    on."""
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    if way == "at once" and not scratch._exchange(tmp_path / "one", tmp_path / "other"):
        pytest.skip("two folders cannot change names at once here")
    process = child(KILLS, tmp_path / "kills", way)
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    found, restored = zip(*json.loads(told), strict=True)
    assert restored[0] == "old" and restored[-1] == "new"
    assert set(restored) == {"old", "new"}
    assert (None in found) == (way == "in two steps")


def test_a_site_that_a_kill_left_aside_is_restored_before_anything_else(book, earlier):
    earlier.rename(book / "build" / ".old-site")
    (book / "build" / "chapters" / "second.ipynb").unlink()
    with pytest.raises(builder.SiteError, match="is missing"):
        builder.build_site(book / "build" / "chapters", earlier)
    assert (earlier / "index.html").read_text() == "earlier"


@pytest.mark.parametrize("there", ["file", "folder"])
def test_what_is_no_site_is_not_replaced(book, earlier, there):
    other = book / "build" / "other"
    if there == "file":
        other.write_text("mine")
    else:
        other.mkdir()
        (other / "mine").write_text("mine")
    with pytest.raises(builder.SiteError, match="is there, and is no site: name another folder"):
        builder.build_site(book / "build" / "chapters", other)
    assert "mine" in (other.read_text() if there == "file" else (other / "mine").read_text())


def test_what_is_no_notebook_is_named(book, earlier):
    (book / "build" / "chapters" / "second.ipynb").write_text("{}")
    with pytest.raises(builder.SiteError, match=r"second\.ipynb is no notebook of format 4"):
        builder.build_site(book / "build" / "chapters", earlier)
    assert (earlier / "index.html").read_text() == "earlier"


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["site", *map(str, words)])
    builder.main()


def test_the_command_ends_with_a_sentence(book, monkeypatch):
    words = "build", book / "build" / "nothing", book / "build" / "site"
    with pytest.raises(SystemExit, match=r"^error: .*intro\.ipynb is missing: run the chapters"):
        command(monkeypatch, *words)
    monkeypatch.setattr(checkout, "ROOT", None)
    with pytest.raises(SystemExit, match=r"^error: .*clone the repository"):
        command(monkeypatch, *words)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["build", "{here}", "x" * 300], "File name too long"),
        (["build", "{here}", "{here}/_toc.yml"], "is there, and is no site"),
        (["build", "{here}", "{here}/_toc.yml/site"], "_toc.yml' cannot be read or written"),
        (["picture", "{here}/nothing", "p"], "nothing' cannot be read or written (No such file"),
        (["picture", "{here}", "p"], "(Is a directory)"),
        (["picture", "{here}/_config.yml", "p"], "is no notebook"),
        (["picture", "{here}/shows.ipynb", "{here}/missing/p"], "(No such file or directory)"),
    ],
)
def test_wrong_words_end_with_a_sentence(book, monkeypatch, words, sentence):
    shows = nbformat.v4.new_code_cell("draw")
    shows.outputs = [nbformat.v4.new_output("display_data", {"text/html": "<svg></svg>"})]
    nbformat.write(nbformat.v4.new_notebook(cells=[shows]), book / "shows.ipynb")
    monkeypatch.chdir(book)
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, *(word.format(here=book) for word in words))
    message = str(caught.value.code)
    assert message.startswith("error: ") and sentence in message and "\n" not in message
    assert len(message) < 500


def test_an_interrupted_build_says_so_and_leaves_the_site(book, earlier, monkeypatch, capsys):
    def render(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(builder, "_render", render)
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, "build", book / "build" / "chapters", earlier)
    assert caught.value.code == 130
    assert "interrupted: the site of before stands" in capsys.readouterr().err
    assert (earlier / "index.html").read_text() == "earlier"


def test_the_first_figure_of_a_chapter_is_written_for_both_themes(tmp_path):
    drawing = '<div><svg viewBox="0 0 1 1"><path stroke="currentColor"/></svg></div>'
    cell = nbformat.v4.new_code_cell("draw")
    shown = [{"text/plain": "4"}, {"text/html": drawing}, {"text/html": "<svg>second</svg>"}]
    cell.outputs = [nbformat.v4.new_output("display_data", data) for data in shown]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "one.ipynb")
    builder.save_picture(tmp_path / "one.ipynb", tmp_path / "picture")
    for theme, ink in {"light": "#1f2328", "dark": "#e6edf3"}.items():
        text = (tmp_path / f"picture-{theme}.svg").read_text()
        assert text == f'<svg viewBox="0 0 1 1"><path stroke="{ink}"/></svg>'


def test_a_chapter_without_a_figure_gives_no_picture(tmp_path):
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "one.ipynb")
    with pytest.raises(builder.SiteError, match="shows no figure"):
        builder.save_picture(tmp_path / "one.ipynb", tmp_path / "picture")
    assert [path.name for path in tmp_path.iterdir()] == ["one.ipynb"]


# --- What a visit to a page tells -------------------------------------------------------------


class Visit(NamedTuple):
    """What one opening of a page told."""

    messages: list  # console warnings and errors, errors of scripts
    requests: list  # every address asked for
    failures: list  # those that gave nothing
    facts: dict  # see FACTS
    overflow: dict  # theme -> elements that stick out of a narrow page
    ground: dict  # theme -> luminance of the page's ground
    faint: dict  # theme -> texts of too little contrast


FACTS = r"""() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const text = e => e.textContent.trim().replace(/\s+/g, " ").slice(0, 80);
  const named = svg =>
    svg.getAttribute("role") === "img" && !!svg.getAttribute("aria-label")?.trim();
  const body = document.querySelector("article, .bd-search-container");
  const visible = [];
  const walker = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.closest("pre, code, script, style, annotation"))
      visible.push(node.data);
  }
  return {
    headings: all("h1", body).map(text),
    ids: all("[id]").map(e => e.id),
    imagesWithoutAlt: all("img").filter(e => !e.alt.trim()).map(e => e.outerHTML.slice(0, 120)),
    drawings: all(".rnnatomy-figure").length,
    unnamedDrawings: all(".rnnatomy-figure > svg").filter(e => !named(e))
      .map(e => e.closest("figure")?.id || "outside any figure"),
    drawingsOutsideFigures: all(".rnnatomy-figure").filter(e => !e.closest("figure")).length,
    captions: all("figure", body).map(e => [e.id, text(e.querySelector("figcaption") || e)]),
    maths: all(".math").length,
    mathsNotSet: all(".math").filter(e => !e.querySelector("math")).map(text),
    mathsErrors: all("merror, .math-core-error, .math > code").map(text),
    rawMaths: visible.filter(t => /\\[(\[]|\\begin\{/.test(t)),
    broken: all(".output.traceback, .output.error, .output.stderr").map(text),
    tracebacks: all("pre", body).map(e => e.textContent)
      .filter(t => /Traceback \(most recent call last\)/.test(t)).map(t => t.slice(0, 120)),
  };
}"""

# Elements that widen the page; those inside a box that scrolls by itself do not.
OVERFLOW = r"""() => {
  const width = innerWidth, page = document.documentElement.scrollWidth;
  if (page <= width) return [];
  const scrolls = e => {
    for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
      if (getComputedStyle(p).overflowX !== "visible") return true;
    return false;
  };
  const out = [...document.body.querySelectorAll("*")]
    .filter(e => e.getBoundingClientRect().right > width + 1 && !scrolls(e))
    .filter(e => getComputedStyle(e).visibility === "visible")
    .map(e => `${e.tagName.toLowerCase()}.${e.getAttribute("class") || ""}`);
  return [`page: ${page} pixels`, ...new Set(out)].slice(0, 8);
}"""

# Contrast after the Web Content Accessibility Guidelines, from computed styles. The ground of a
# text is what its ancestors paint; in a drawing, also the last shape painted below its centre.
CONTRAST = r"""() => {
  const parse = c => {
    const v = (c.match(/[\d.]+(e-?\d+)?/g) || []).map(Number);
    if (!/^rgb/.test(c)) return c.startsWith("color(srgb")
      ? [v[0] * 255, v[1] * 255, v[2] * 255, v[3] ?? 1] : [0, 0, 0, 0];
    return [v[0], v[1], v[2], v[3] ?? 1];
  };
  const over = (top, below) => below.map((b, i) => i < 3 ? top[i] * top[3] + b * (1 - top[3]) : 1);
  const luminance = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ratio = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  const ground = e => {
    const layers = [];
    for (let p = e; p; p = p.parentElement) layers.push(parse(getComputedStyle(p).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const shown = e => e.getClientRects().length > 0 && getComputedStyle(e).visibility === "visible";
  const faint = [];
  const note = (e, ink, paper, least) => {
    const r = ratio(over(ink, paper), paper);
    const words = e.textContent.trim().slice(0, 40);
    if (r < least) faint.push(`${r.toFixed(2)} ${e.tagName.toLowerCase()} "${words}"`);
  };
  const body = document.querySelector("article, .bd-search-container");
  const texts = "p, li, td, th, h1, h2, h3, h4, a, summary, figcaption, figcaption *, pre, pre *";
  for (const e of body.querySelectorAll(texts)) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (own && shown(e) && !e.closest("svg, .headerlink, annotation"))
      note(e, parse(getComputedStyle(e).color), ground(e), 4.5);
  }
  for (const svg of document.querySelectorAll(".rnnatomy-figure > svg")) {
    const page = ground(svg), plain = getComputedStyle(svg).color;
    const shapes = [...svg.querySelectorAll("path, rect, polygon, circle, ellipse")]
      .filter(s => !s.closest("defs, clipPath") && getComputedStyle(s).fill !== "none");
    const images = [...svg.querySelectorAll("image")].map(e => e.getBoundingClientRect());
    for (const t of svg.querySelectorAll("text")) {
      if (!t.textContent.trim() || !shown(t)) continue;
      const box = t.getBoundingClientRect();
      const x = box.x + box.width / 2, y = box.y + box.height / 2;
      if (images.some(i => x > i.left && x < i.right && y > i.top && y < i.bottom)) continue;
      let paper = page;
      for (const s of shapes) {
        if (!(s.compareDocumentPosition(t) & Node.DOCUMENT_POSITION_FOLLOWING)) break;
        const at = new DOMPoint(x, y).matrixTransform(s.getScreenCTM().inverse());
        if (!s.isPointInFill(at)) continue;
        const style = getComputedStyle(s), fill = parse(style.fill);
        fill[3] *= style.fillOpacity * style.opacity;
        paper = over(fill, paper);
      }
      // No one colour has a contrast of 4.5 on both grounds: a label in the colour of its line
      // is held to 3, the least for parts of a drawing; all other text to 4.5.
      const ink = getComputedStyle(t).fill;
      note(t, parse(ink), paper, ink === plain ? 4.5 : 3);
    }
  }
  return { ground: luminance(ground(body)), faint: [...new Set(faint)].slice(0, 12) };
}"""


def settle(page):
    """Waits until the fonts of a page are there."""
    page.evaluate("() => document.fonts.ready.then(() => {})")


def choose_theme(page, theme):
    page.evaluate(
        "theme => Object.assign(document.documentElement.dataset, { theme, mode: theme })", theme
    )
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)))")


def listen(page):
    messages, requests, failures = [], [], []
    page.on(
        "console",
        lambda m: m.type in ("warning", "error") and messages.append(f"{m.type}: {m.text}"),
    )
    page.on("pageerror", lambda error: messages.append(f"error: {error}"))
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: failures.append(request.url))
    return messages, requests, failures


def look(browser, name):
    context = browser.new_context(
        viewport={"width": 1400, "height": 900}, color_scheme="light", reduced_motion="reduce"
    )
    page = context.new_page()
    messages, requests, failures = listen(page)
    page.goto((SITE / name).as_uri())
    settle(page)
    start_widgets(page)
    # colours are measured as they rest, not on their way from one theme to the other
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    facts, overflow, ground, faint = page.evaluate(FACTS), {}, {}, {}
    for theme in THEMES:
        page.set_viewport_size({"width": 1400, "height": 900})
        choose_theme(page, theme)
        colours = page.evaluate(CONTRAST)
        ground[theme], faint[theme] = colours["ground"], colours["faint"]
        page.set_viewport_size({"width": NARROW, "height": 900})
        overflow[theme] = page.evaluate(OVERFLOW)
    context.close()
    return Visit(messages, requests, failures, facts, overflow, ground, faint)


# --- Fixtures ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def visit(browser, name):
    return look(browser, name)


# --- Every page, in the browser ---------------------------------------------------------------


def test_opens_without_a_message(visit):
    assert visit.messages == []


def test_asks_for_nothing_outside_the_site(visit):
    inside = SITE.as_uri() + "/"
    assert [url for url in visit.requests if not url.startswith((inside, "data:", "blob:"))] == []
    assert visit.failures == []


def test_has_one_heading_of_first_level(visit):
    # inside the article: the theme keeps a second one for paper
    assert len(visit.facts["headings"]) == 1, visit.facts["headings"]


def test_pictures_are_described(visit):
    assert visit.facts["imagesWithoutAlt"] == []
    assert visit.facts["unnamedDrawings"] == []


def test_figures_have_a_numbered_caption(visit):
    assert visit.facts["drawingsOutsideFigures"] == 0
    captions = dict(visit.facts["captions"])
    assert {k: v for k, v in captions.items() if not re.match(r"Figure [\d.]+ \S", v)} == {}


def test_ids_are_unique(visit):
    assert [key for key, times in Counter(visit.facts["ids"]).items() if times > 1] == []


def test_mathematics_is_set(visit):
    assert visit.facts["mathsNotSet"] == []
    assert visit.facts["mathsErrors"] == []
    assert visit.facts["rawMaths"] == []


def test_no_cell_failed(visit):
    assert visit.facts["broken"] == []
    assert visit.facts["tracebacks"] == []


def test_is_light(visit, name):
    """Without what its widgets carry, and with it; files as a server sends them."""
    loaded = {Path(unquote(urlsplit(url).path)) for url in visit.requests if url[:5] == "file:"}
    carried = {SITE / one["data-source"] for one in soup(name).select("[data-source]")}
    weights = {path: len(gzip.compress(path.read_bytes())) / 1000 for path in loaded | carried}
    assert sum(weights[path] for path in loaded - carried) <= LIGHT, weights
    assert sum(weights.values()) <= PLAYED, weights


def test_widgets_carry_little_in_the_page_itself(name):
    """A reader of the first lines waits for none of it."""
    apart = soup(name).select(".widget-data")
    assert all(one.get("data-source") and not one.text for one in apart)


@pytest.mark.parametrize("theme", THEMES)
def test_fits_a_narrow_screen(visit, theme):
    assert visit.overflow[theme] == []


@pytest.mark.parametrize("theme", THEMES)
def test_text_can_be_read(visit, theme):
    luminance = visit.ground[theme]
    assert luminance < 0.03 if theme == "dark" else luminance > 0.9
    assert visit.faint[theme] == []


# --- Links, from the files --------------------------------------------------------------------


def broken_links(name):
    addresses = [tag["href"] for tag in soup(name).find_all(href=True)]
    addresses += [tag["src"] for tag in soup(name).find_all(src=True)]
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc or address == "#":
            continue
        path, anchor = urldefrag(address.replace(f"?{parts.query}", "") if parts.query else address)
        target = SITE / unquote(path or name)
        if not target.is_file() or not target.resolve().is_relative_to(SITE):
            yield address
        elif anchor and target.suffix == ".html":
            page = soup(target.relative_to(SITE).as_posix())
            if page.find(id=unquote(anchor)) is None:
                yield address


@pytest.mark.parametrize("file", FILES or ["index.html"])
def test_links_lead_somewhere(site, file):
    assert sorted(set(broken_links(file))) == []


def test_start_page_exists(site):
    assert (site / "index.html").is_file()


# --- Search, from the file system -------------------------------------------------------------


def test_search_finds_a_heading(browser, site):
    chapter = next(
        name for name in PAGES if name not in ("404.html", "search.html", "genindex.html")
    )
    title = re.sub(r"[^A-Za-z ]", " ", soup(chapter).find("article").find("h1").get_text())
    word = max(title.split(), key=len).lower()
    context = browser.new_context()
    page = context.new_page()
    messages, _, failures = listen(page)
    page.goto((site / "search.html").as_uri() + f"?q={word}")
    page.wait_for_selector("#search-results li a", timeout=10_000)
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(a => a.href)")
    page.wait_for_timeout(300)  # whatever else the page would ask for
    context.close()
    assert any(f"/{chapter}" in url for url in found), found
    assert (messages, failures) == ([], [])
