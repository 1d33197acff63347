"""What pages tell the world; a book of three pages is built with both addresses, and without."""

import json
import re
import shutil
import struct
import subprocess
import tomllib
from typing import NamedTuple
from xml.etree import ElementTree

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils import nodes
from docutils.utils import new_document

from rnnatomy.report import parameters, previews, publishing, site
from rnnatomy.store import checkout

ROOT = checkout.root()
BASE = "https://example.org/book/"
REPOSITORY = "https://github.com/somebody/rnnatomy"
DRAWING = (
    '<div class="rnnatomy-figure"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
    '<path d="M0 0L9 9" stroke="currentColor"/></svg></div>'
)
INTRO = """# What is {math}`x`?

It is *said* to be "{glue:text}`found`" < 20 & <b>more</b> {cite}`zervakis`, or $\\mathbf{y}$,
{doc}`second`.

(sec-here)=
## Here

More."""


# --- A book of three pages --------------------------------------------------------------------


class Book(NamedTuple):
    """A checkout, and the site that was built from it."""

    root: object
    site: object

    def page(self, name):
        return BeautifulSoup((self.site / name).read_text("utf8"), "html.parser")

    def meta(self, name):
        """What the meta tags of a page say, by their names; none says two things."""
        tags = self.page(name).find_all("meta", content=True)
        pairs = [(tag.get("name") or tag.get("property"), tag["content"]) for tag in tags]
        own = [(key, text) for key, text in pairs if key and not key.startswith("docsearch")]
        assert len(dict(own)) == len(own), own
        return dict(own)


def chapter(path, text, drawing=""):
    code = nbformat.v4.new_code_cell("1", metadata={"tags": ["remove-input"]})
    glued = {"data": {"text/plain": "'12'"}, "metadata": {"scrapbook": {"name": "found"}}}
    code.outputs = [nbformat.v4.new_output("display_data", **glued)]
    code.outputs += [nbformat.v4.new_output("display_data", {"text/html": drawing})]
    cells = (
        [nbformat.v4.new_markdown_cell(text), code]
        if drawing
        else [nbformat.v4.new_markdown_cell(text)]
    )
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, path)


def lay_out(root, monkeypatch, **addresses):
    """A checkout with the settings of the book, its start page, two others and its changes."""
    for name in ("_static", "_templates"):
        shutil.copytree(ROOT / "book" / name, root / "book" / name)
    for name in ("404.md", "changes.md"):
        shutil.copy(ROOT / "book" / name, root / "book")
    (root / "build").mkdir()
    (root / "book" / "references.bib").write_text(
        "@misc{zervakis, author={Zervakis, Georgios}, title={A}, year={2019}}"
    )
    (root / "book" / "glossary.md").write_text("# Terms\n\n```{glossary}\nown code\n  A.\n```\n")
    (root / "book" / "reproducibility.md").write_text(
        "# Again\n\nAll of it.\n\n```{bibliography}\n```\n"
    )
    (root / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 0.2.0\n\n- Page *A second*, and *more*.\n"
    )
    settings = yaml.safe_load((ROOT / "_config.yml").read_text())
    for group, name in ("html", "baseurl"), ("repository", "url"):
        settings[group][name] = addresses.get(name, "")
    (root / "_config.yml").write_text(yaml.safe_dump(settings))
    names = ("second", "glossary", "reproducibility", "changes")
    parts = [{"caption": "A part", "chapters": [{"file": name} for name in names]}]
    toc = {"format": "jb-book", "root": "intro", "parts": parts}
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    chapter(root / "book" / "intro.ipynb", INTRO, DRAWING)
    chapter(root / "book" / "second.ipynb", "# A second\n\nSee {ref}`sec-here`.")
    monkeypatch.setattr(checkout, "ROOT", root)
    return root


def build(folder, **addresses):
    with pytest.MonkeyPatch.context() as patch:
        root = lay_out(folder / "checkout", patch, **addresses)
        site.build_site(root / "book", root / "build" / "site", strict=True)
    return Book(root, root / "build" / "site")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return build(tmp_path_factory.mktemp("published"), baseurl=BASE.rstrip("/"), url=REPOSITORY)


@pytest.fixture(scope="module")
def unpublished(tmp_path_factory):
    return build(tmp_path_factory.mktemp("unpublished"))


def test_a_page_tells_what_it_is_about(unpublished):
    found = unpublished.meta("intro.html")
    assert found["description"] == "It is said to be “12” < 20 & more, or y, A second."
    assert found["og:description"] == found["description"]
    assert found["og:title"] == "What is x?"
    assert (found["og:type"], found["og:site_name"]) == ("website", "RNNatomy")
    assert unpublished.meta("second.html")["og:type"] == "article"
    assert unpublished.meta("glossary.html")["description"] == "Terms: a page of RNNatomy."
    assert unpublished.meta("search.html")["og:title"] == "Search"


def test_a_page_has_one_viewport_tag(unpublished):
    for path in unpublished.site.glob("*.html"):
        if path.name != "index.html":
            tags = unpublished.page(path.name).find_all("meta", attrs={"name": "viewport"})
            assert len(tags) == 1, path


def test_a_page_with_a_figure_has_a_preview_of_its_own(unpublished):
    own = unpublished.meta("intro.html")["og:image"]
    assert own == "_previews/intro.png"
    content = (unpublished.site / own).read_bytes()
    assert struct.unpack(">II", content[16:24]) == (previews.WIDTH, previews.HEIGHT)
    whole = unpublished.meta("second.html")["og:image"]
    assert (unpublished.site / whole).read_bytes() == (
        ROOT / "book" / "_static" / previews.WHOLE
    ).read_bytes()


def test_without_addresses_nothing_leads_outside(unpublished):
    assert not (unpublished.site / "sitemap.xml").exists()
    page = unpublished.page("intro.html")
    assert page.find("link", rel="canonical") is None
    assert "og:url" not in unpublished.meta("intro.html")
    assert [tag["href"] for tag in page.find_all(href=re.compile("^https?:"))] == []
    assert page.select(".btn-source-repository-button, .dropdown-launch-buttons") == []


def test_with_an_address_pages_name_their_own(published):
    for name in ("intro.html", "second.html"):
        (link,) = published.page(name).find_all("link", rel="canonical")
        assert link["href"] == published.meta(name)["og:url"] == BASE + name
    assert published.meta("intro.html")["og:image"] == f"{BASE}_previews/intro.png"
    assert published.meta("second.html")["og:image"] == f"{BASE}_static/preview.png"


def test_with_an_address_there_is_a_sitemap(published):
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    tree = ElementTree.parse(published.site / "sitemap.xml").getroot()
    names = ("changes", "glossary", "intro", "reproducibility", "second")
    assert tree.tag == f"{space}urlset"
    found = [one.text for one in tree.findall(f"{space}url/{space}loc")]
    assert found == [f"{BASE}{name}.html" for name in names]
    (one,) = ElementTree.fromstring(publishing.sitemap(["https://example.org/?a&b"]).encode())
    assert one[0].text == "https://example.org/?a&b"


def test_the_first_address_of_the_site_has_the_preview_of_the_start_page(published):
    intro, index = published.meta("intro.html"), published.meta("index.html")
    assert {k: v for k, v in index.items() if k.startswith("og:")} == {
        k: v for k, v in intro.items() if k.startswith("og:")
    }
    page = published.page("index.html")
    assert page.find("meta", attrs={"http-equiv": "Refresh"})["content"] == "0; url=intro.html"
    assert page.find("link", rel="canonical")["href"] == f"{BASE}intro.html"


def test_with_a_repository_there_are_buttons(published):
    page = published.page("second.html")
    links = [tag["href"] for tag in page.select(".article-header-buttons a[href]")]
    assert REPOSITORY in links
    assert any(link.startswith(f"{REPOSITORY}/issues/new?") for link in links)
    assert f"{REPOSITORY}/edit/main/book/second.ipynb" in links
    binder = "https://mybinder.org/v2/gh/somebody/rnnatomy/main?urlpath=lab/tree/book/second.ipynb"
    assert binder in links
    launched = published.page("changes.html").select(".article-header-buttons a[href]")
    assert not any("mybinder" in tag["href"] for tag in launched)


def test_the_foot_names_version_and_commit(published, unpublished):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    words = unpublished.page("intro.html").select_one(".extra_footer").get_text(" ", strip=True)
    assert re.search(rf"CC BY 4\.0 Version {re.escape(version)}(, commit [0-9a-f]{{7,}}|$)", words)
    for link in published.page("intro.html").select(".extra_footer a"):
        assert re.fullmatch(rf"{REPOSITORY}/commit/[0-9a-f]{{7,}}", link["href"])


def test_the_page_for_what_is_not_found_works_at_any_address(published, unpublished):
    assert published.meta("404.html")["robots"] == "noindex"
    assert "og:url" not in published.meta("404.html")
    scripts = [tag.get_text() for tag in published.page("404.html").find_all("script")]
    (script,) = [text for text in scripts if 'createElement("base")' in text]
    assert f'href: "{BASE}"' in script
    text = (published.site / "404.html").read_text()
    assert text.index('createElement("base")') < text.index('<link rel="stylesheet"')
    assert 'createElement("base")' not in (unpublished.site / "404.html").read_text()
    assert unpublished.page("404.html").find("a", string="Changes")["href"] == "changes.html"


def test_the_page_of_changes_leads_to_the_pages_that_it_names(unpublished):
    item = unpublished.page("changes.html").select_one("article li")
    assert " ".join(item.get_text().split()) == "Page A second, and more."
    assert item.find("a")["href"] == "second.html"
    assert item.find("em").get_text() == "more"


# --- A page of its own ------------------------------------------------------------------------

REPORT = """# A page

See {doc}`second`, {doc}`the start <intro>`, {ref}`there <sec-here>`, {ref}`nowhere <sec-gone>`,
{ref}`below <sec-own>`, an {term}`own code` and {term}`codes <own code>`.

(sec-own)=
## Own"""


def report():
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"),
                                           nbformat.v4.new_markdown_cell(REPORT)])  # fmt: skip


def test_links_of_a_page_that_stands_alone_lead_to_the_published_book(tmp_path, monkeypatch):
    lay_out(tmp_path, monkeypatch)
    words = site.alone(report(), "Mine", BASE).cells[1].source
    assert words.split("\n\n")[1].replace("\n", " ") == (
        f"See [A second]({BASE}second.html), [the start]({BASE}intro.html), "
        f"[there]({BASE}intro.html#sec-here), nowhere, {{ref}}`below <sec-own>`, "
        f"an [own code]({BASE}glossary.html#term-own-code) and "
        f"[codes]({BASE}glossary.html#term-own-code)."
    )


def test_they_are_words_where_the_book_is_not_published(tmp_path, monkeypatch):
    lay_out(tmp_path, monkeypatch)
    words = site.alone(report(), "Mine").cells[1].source
    assert words.split("\n\n")[1].replace("\n", " ") == (
        "See *A second*, the start, there, nowhere, {ref}`below <sec-own>`, an own code and codes."
    )


def test_a_page_that_stands_alone_is_no_page_of_the_published_book(tmp_path, monkeypatch):
    root = lay_out(tmp_path / "checkout", monkeypatch, baseurl=BASE, url=REPOSITORY)
    nbformat.write(report(), tmp_path / "page.ipynb")
    site.build_page(tmp_path / "page.ipynb", "Mine", tmp_path / "site")
    book = Book(root, tmp_path / "site")
    page = book.page("index.html")
    assert f"{BASE}second.html" in {tag["href"] for tag in page.select("article a[href]")}
    assert page.find("link", rel="canonical") is None
    assert not {"og:url", "og:image"} & book.meta("index.html").keys()
    assert book.meta("index.html")["description"].startswith("See A second, the start,")
    assert "Version" in page.select_one(".extra_footer").get_text()
    assert not [
        tag for tag in page.select(".article-header-buttons a[href]") if "edit" in tag["href"]
    ]
    assert not any((tmp_path / "site").rglob(previews.WHOLE))


@pytest.mark.parametrize("text", ["not: [closed", "- a list", "\x00"])
def test_settings_that_cannot_be_read_are_told_in_a_sentence(tmp_path, monkeypatch, text):
    root = lay_out(tmp_path, monkeypatch)
    (root / "_config.yml").write_text(text)
    with pytest.raises(
        site.SiteError, match=r"_config\.yml (is no YAML|holds no settings)"
    ) as told:
        site.published_at()
    assert "\n" not in str(told.value)


def test_an_address_that_is_none_stops_the_build_with_a_sentence(tmp_path, monkeypatch):
    root = lay_out(tmp_path, monkeypatch, baseurl="example.org")
    with pytest.raises(site.SiteError, match=r"html\.baseurl in _config\.yml is 'example\.org'"):
        site.build_site(root / "book", root / "build" / "site")


# --- Parts ------------------------------------------------------------------------------------


def test_a_description_is_cut_at_a_word():
    note = nodes.note("", nodes.paragraph("", "Not this."))
    raw = nodes.raw("", "<svg></svg>", format="html")
    lead = nodes.paragraph("", "", raw, nodes.Text("word " * 60))
    doctree = new_document("page")
    doctree += nodes.section("", nodes.title("", "A"), note, lead, nodes.paragraph("", "Nor this."))
    found = publishing.description(doctree)
    assert len(found) <= publishing.LETTERS
    assert re.fullmatch(r"(word )+word…", found)


def test_meta_tags_cannot_be_left():
    text = publishing.tags('"><script>', "a & b", "article", "p.png", "https://example.org/?a=1&b")
    found = BeautifulSoup(text, "html.parser")
    assert found.find("script") is None
    assert found.find("meta", property="og:title")["content"] == '"><script>'
    assert found.find("meta", property="og:url")["content"] == "https://example.org/?a=1&b"


def git(folder, *words):
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", "-C", folder, *who, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_commit_says_whether_anything_was_modified_since(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert publishing.commit() == ""
    assert re.fullmatch(r"<p>Version [\d.]+</p>", publishing.built_from(REPOSITORY))
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("a")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "A")
    git(tmp_path, "tag", "v1")
    (tmp_path / "untracked").write_text("a")
    name = git(tmp_path, "rev-parse", "--short=7", "HEAD")
    assert publishing.commit() == name
    (tmp_path / "file").write_text("b")
    assert publishing.commit() == f"{name}-modified"
    assert f'/commit/{name}">{name}-modified</a>' in publishing.built_from(f"{REPOSITORY}/")


def test_a_preview_holds_the_title_and_the_figure():
    long = "A title of so many words that it does not go on two lines of the picture, not by far"
    drawn = BeautifulSoup(previews.card(f"{long} <&>", DRAWING), "html.parser")
    lines = [tag.get_text() for tag in drawn.find_all("text", recursive=False)]
    lines = lines or [tag.get_text() for tag in drawn.svg.find_all("text", recursive=False)]
    assert len(lines) == 2 and lines[1].endswith("…")
    assert drawn.find("path", stroke=previews.INK)
    assert "<&>" in BeautifulSoup(previews.card("<&>", DRAWING), "html.parser").get_text()


@pytest.mark.parametrize("figure", ["<svg></svg>", '<svg viewBox="0 0 1 1"><path d="M"></svg>'])
def test_a_figure_that_cannot_be_drawn_costs_only_its_preview(figure):
    assert previews.draw("A", figure.replace("</svg>", "<unclosed></svg>")) is None


def test_the_preview_of_the_book_has_the_size_that_is_asked_for():
    content = (ROOT / "book" / "_static" / previews.WHOLE).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24]) == (previews.WIDTH, previews.HEIGHT)
    assert len(content) < 400_000


# --- Files that others read -------------------------------------------------------------------


def test_package_citation_archive_and_changes_agree():
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    assert citation["version"] == package["version"]
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heads[0] == package["version"]
    assert citation["license"] == package["license"] == archive["license"]
    assert archive["title"] == citation["title"]
    assert archive["keywords"] == citation["keywords"]
    assert [a["name"] for a in archive["creators"]] == [a["name"] for a in citation["authors"]]


def test_a_release_runs_targets_that_there_are():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    release = yaml.safe_load(text)
    steps = release["jobs"]["release"]["steps"]
    targets = [
        step["run"].removeprefix("make ") for step in steps if "make " in step.get("run", "")
    ]
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
    assert {"lint", "book", "pdf"} == set(targets) <= set(rules)
    assert "secrets." not in text


def test_the_start_page_and_the_page_of_changes_are_in_the_book():
    assert (parameters.book() / "changes.md").is_file()
    assert "- file: changes" in (ROOT / "_toc.yml").read_text()
    assert "orphan: true" in (parameters.book() / "404.md").read_text()
