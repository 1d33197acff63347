"""The style of the book, as assertions on its sources."""

import ast
import inspect
import re
import statistics

import pytest

from rnnatomy.report import parameters
from rnnatomy.studies.yours import page

SOURCES = {name: parameters.read_chapter(name) for name in parameters.notebooks()}
PROSE = {path.stem: path.read_text() for path in parameters.book().glob("*.md")}
BIBLIOGRAPHY = (parameters.book() / "references.bib").read_text()

STUDIED = [name for name in parameters.notebooks() if name not in ("intro", "reproducibility")]

notebooks = pytest.mark.parametrize("name", parameters.notebooks())


def code(name):
    return [c for c in SOURCES[name].cells if c.cell_type == "code"]


def text(name):
    return "\n".join(c.source for c in SOURCES[name].cells if c.cell_type == "markdown")


def figure(cell):
    return cell.metadata.get("mystnb", {}).get("figure")


def table(cell):
    return cell.metadata.get("mystnb", {}).get("table")


def draws(cell):
    return re.search(r"plots\.show(_drawing)?\(", cell.source)


def calls(cell, name):
    tree = ast.parse(cell.source)
    return [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == name]


def description(cell):
    """The words of the alt text, whether given in place or by name."""
    (call,) = calls(cell, "plots.show") or calls(cell, "plots.show_drawing")
    node = call.args[1]
    if isinstance(node, ast.Name):
        (node,) = [
            n.value for n in ast.walk(ast.parse(cell.source))
            if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == node.id
        ]  # fmt: skip
    parts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
    return " ".join(str(part) for part in parts)


ALL_TEXT = "\n".join([*(text(name) for name in SOURCES), *PROSE.values()])


def test_every_notebook_of_the_folder_is_a_chapter():
    assert {p.stem for p in parameters.book().glob("*.ipynb")} == set(parameters.notebooks())


@notebooks
def test_sources_are_stripped_and_cell_ids_unique(name):
    assert all(c.execution_count is None and c.outputs == [] for c in code(name))
    ids = [c.id for c in SOURCES[name].cells]
    assert len(set(ids)) == len(ids)


@notebooks
def test_cells_are_short(name):
    lengths = [len(c.source.splitlines()) for c in code(name)]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 8


MANY_CELLS = {
    "hundred": 36,
    "autoencoder": 38,
    "gates": 36,
    "cutoffs": 31,
    "thousand": 30,
    "others": 30,
    "people": 35,
    "orbits": 33,
    "attractors": 32,
}
"""Chapters with more than 25 cells of code, which is the aim, and how many they may have."""


@notebooks
def test_cells_are_few(name):
    assert len(code(name)) <= MANY_CELLS.get(name, 25)


def test_nothing_is_told_twice_by_hand():
    """Tables go through one helper, greys have names, axes in three dimensions one set-up."""
    for name in SOURCES:
        for cell in code(name):
            assert not re.search(r"\|---|set_pane_color|projection=", cell.source), cell.id
            assert not re.search(r"#(?P<two>[0-9a-f]{2})(?P=two){2}", cell.source), cell.id


def test_arrays_of_studies_are_read_by_name():
    """No row of numbers picks a place out of an array with more than three axes."""
    for name in SOURCES:
        for cell in code(name):
            assert not re.search(r"found\[[^\]]*\]\[(?:[^\]]*,){3}", cell.source), cell.id


@pytest.mark.parametrize("name", STUDIED)
def test_more_words_than_code(name):
    visible = [c for c in code(name) if not {"hide-input", "remove-cell"} & set(parameters.tags(c))]
    assert len(text(name).split()) > sum(len(c.source.split()) for c in visible)


@notebooks
def test_code_is_plain_python(name):
    for cell in code(name):
        ast.parse(cell.source)  # no magics
        assert not re.search(r"\bprint\(.*\bflush", cell.source)


@notebooks
def test_every_drawing_has_caption_name_and_description(name):
    for cell in code(name):
        assert bool(draws(cell)) == bool(figure(cell)), cell.id
        if draws(cell):
            assert len(re.findall(r"[.?]\**(?: |$)", figure(cell)["caption"])) >= 3, cell.id
            assert figure(cell)["name"].startswith("fig-")
            assert len(description(cell).split()) >= 8, cell.id


@notebooks
def test_every_figure_is_referenced_before_it_appears(name):
    before = ""
    for cell in SOURCES[name].cells:
        if cell.cell_type == "markdown":
            before += cell.source
        elif figure(cell):
            assert f"{{numref}}`{figure(cell)['name']}`" in before, cell.id


def test_names_of_figures_and_tables_are_unique():
    shown = [one for name in SOURCES for c in code(name) for one in (figure(c), table(c)) if one]
    names = [one["name"] for one in shown]
    names += [name for body in WRITTEN.values() for _, name in captions_in(body)]
    assert len(set(names)) == len(names)


WRITTEN = {**{name: text(name) for name in SOURCES}, **PROSE}
"""Words of every chapter and page."""

CAPTIONED = r"^:::\{table\} (.+)\n:name: (\S+)\n\n(?:\|.*\n)+\n:::$"


def captions_in(body):
    """Return the captions and names of the tables that stand in words."""
    return re.findall(CAPTIONED, body, re.M)


def is_caption(caption, name):
    """Tell whether a table is told in one short sentence or two, and named as one."""
    fit = caption.endswith(".") and caption[0].isupper() and len(caption.split()) <= 20
    return fit and "  " not in caption and re.fullmatch("tab-[a-z-]+", name) is not None


@notebooks
def test_every_table_that_a_cell_shows_has_a_caption(name):
    for cell in code(name):
        assert len(calls(cell, "tables.show")) == bool(table(cell)), cell.id
        assert not table(cell) or is_caption(**table(cell)), cell.id


@pytest.mark.parametrize("name", WRITTEN)
def test_every_table_in_words_has_a_caption(name):
    body = WRITTEN[name]
    found = captions_in(body)
    assert len(found) == len(re.findall(r"^[ \t]*\|[-:| ]+\|$", body, re.M))
    assert all(is_caption(*one) for one in found)


def test_a_caption_says_what_its_own_table_holds():
    """No two tables are told alike, and none as its heading is."""
    told = [table(c)["caption"] for name in SOURCES for c in code(name) if table(c)]
    told += [caption for body in WRITTEN.values() for caption, _ in captions_in(body)]
    assert len(set(told)) == len(told) > 100
    assert not {f"{head}." for head in re.findall(r"^#+ (.+)$", ALL_TEXT, re.M)} & set(told)


@pytest.mark.parametrize("name", STUDIED)
def test_chapters_have_the_parts_of_the_model_page(name):
    headings = re.findall(r"^## (.+)$", text(name), re.M)
    for part in ("Check", "Robustness", "Takeaways", "Exercises", "References"):
        assert part in headings
    assert ":class: objectives" in text(name)
    assert ":class: dropdown" in text(name)
    assert "data-line" in text(name)
    assert any(c.source.startswith("assert") or "\nassert" in c.source for c in code(name))
    assert len(parameters.parameters(name)) <= 8
    assert re.search(r"\{cite:[pt]\}", text(name)), "references, of which there are none"


def test_citations_and_terms_resolve_and_are_used():
    cited = re.findall(r"\{cite:[pt]\}`([^`]+)`", ALL_TEXT)
    keys = re.findall(r"^@\w+\{([^,]+),", BIBLIOGRAPHY, re.M)
    entries = set(keys)
    assert len(entries) == len(keys)
    assert {key for group in cited for key in group.split(",")} <= entries
    defined = set(re.findall(r"^([A-Za-z][\w -]*)\n    \S", PROSE["glossary"], re.M))
    used = {
        (t.split("<")[1].rstrip(">") if "<" in t else t)
        for t in re.findall(r"\{term\}`([^`]+)`", ALL_TEXT)
    }
    assert used <= defined
    assert defined == used, f"terms that no page uses: {defined - used}"


def named_by_numbers():
    """Return the names that ``studies.yours.page.numbers`` gives, by what it is written with."""
    functions = ast.parse(inspect.getsource(page)).body
    makers = [f for f in functions if getattr(f, "name", "").startswith(("numbers", "_of_"))]
    nodes = [node for maker in makers for node in ast.walk(maker)]
    keys = [key for node in nodes if isinstance(node, ast.Dict) for key in node.keys]
    keys += [
        node.slice
        for node in nodes
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "told"
    ]
    return [f"you_{key.value}" for key in keys if isinstance(key, ast.Constant)]


def test_every_glued_name_is_made_once_and_used():
    cells = [cell for name in SOURCES for cell in code(name)]
    glued = [k.arg for cell in cells for c in calls(cell, "pages.glue") for k in c.keywords]
    assert glued.count(None) == 1  # numbers of a page, all at once
    glued = [name for name in glued if name] + named_by_numbers()
    used = re.findall(r"\{glue(?::text)?\}`(?:\w+\.ipynb::)?(\w+)", ALL_TEXT)
    assert len(set(glued)) == len(glued)
    assert set(used) == set(glued), set(used) ^ set(glued)


def test_numbers_in_results_prose_are_glued():
    for name in ("intro", *STUDIED):
        fenceless = re.sub(r"^```.*$", "", text(name).split("## References")[0], flags=re.M)
        prose = re.sub(r"`[^`\n]*`|\$[^$]*\$|\{[^}\n]*\}", "", fenceless)
        assert not re.findall(r"(?<![\w,.])0\.\d{2,}", prose), name


MOST_NUMBERS = {"hundred": 30, "gates": 35, "gauge": 20, "autoencoder": 38, "people": 34}
"""Numbers that the prose of chapters may have that once were tables in disguise."""


MARGIN = re.compile(r"^```\{margin\}\n(.*?)\n```$", re.M | re.S)
"""A note beside the text; its words."""


def sentences(name):
    """Return the sentences of a chapter's prose, with a 7 for each number that is glued."""
    prose = MARGIN.sub(r"\1", text(name))
    prose = re.sub(r"^(`{3,}|:{3,}).*?^\1", "", prose, flags=re.M | re.S)
    prose = "\n".join(x for x in prose.splitlines() if not x.startswith(("|", "#", "(")))
    prose = re.sub(r"\{(?!glue)[a-z:]+\}`[^`]*`|\$+[^$]*\$+", "", prose)
    prose = re.sub(r"\{glue:text\}`[^`]*`", " 7 ", prose)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    return re.split(r"(?<=[.!?])[\s*]+", prose)


def numbers(sentence):
    return len(re.findall(r"(?<![\w.])\d[\d,.]*", sentence))


@notebooks
def test_no_sentence_has_more_than_two_numbers(name):
    many = [" ".join(one.split()) for one in sentences(name) if numbers(one) > 2]
    assert many == []


@pytest.mark.parametrize("name", MOST_NUMBERS)
def test_numbers_stand_in_figures_and_tables(name):
    assert sum(map(numbers, sentences(name))) <= MOST_NUMBERS[name]


def test_prose_has_no_machine_paths_or_registry_hosts():
    for body in [ALL_TEXT, *(c.source for name in SOURCES for c in code(name))]:
        assert not re.search(r"/(home|root|work|tmp)/|pypi\.org|npmjs", body)


@pytest.mark.parametrize("name", ("intro", *STUDIED))
def test_notes_in_the_margin_are_few_and_short(name):
    notes = MARGIN.findall(text(name))
    assert 1 <= len(notes) <= 3
    assert all(len(note.split()) <= 45 for note in notes), notes
    assert len(re.findall(r"\{margin\}", text(name))) == len(notes)
    after = re.findall(r"^```\{margin\}\n.*?\n```\n\n(\S+)", text(name), re.M | re.S)
    assert len(after) == len(notes), "a note is followed by the paragraph that it belongs to"
    assert not [one for one in after if re.match(r"#|\||-|\(sec|```|\$\$", one)]


GREEK = """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau
upsilon phi chi psi omega varepsilon vartheta varphi varrho ell"""
NAMES = {*GREEK.split(), *(name.capitalize() for name in GREEK.split())}
WORD = r"\\(?:text|mathrm|operatorname)\{[^{}]{2,}\}|\\(?:begin|end)\{\w+\**\}"
LETTER = r"\\(?:bar|hat|tilde|math\w+)\s*\{\w\}|\\[A-Za-z]+|[A-Za-z]"


def letters(formula):
    """Return the letters of a formula: ``h`` and ``t`` of ``h_t``, not those of a word."""
    found = re.findall(LETTER, re.sub(WORD, " ", formula))
    return {one for one in found if one[0] != "\\" or "{" in one or one[1:] in NAMES}


def formulas(text):
    text = re.sub(r"```.*?```|`[^`\n]*`", " ", MARGIN.sub(r"\1", text), flags=re.S)
    return [long or short for long, short in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.S)]


def mathematics(name):
    """Return all formulas of a chapter: of its words, its captions, and what its code writes."""
    shown = [one for c in code(name) for one in c.metadata.get("mystnb", {}).values()]
    captions = [one["caption"] for one in shown if "caption" in one]
    folded = re.sub(r"^`{3,}(?!\{margin).*$", "", MARGIN.sub(r"\1", text(name)), flags=re.M)
    found = formulas("\n\n".join([folded, *captions]))
    strings = [
        ast.unparse(node) if isinstance(node, ast.JoinedStr) else node.value
        for cell in code(name)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    ]
    return found + [one for string in strings for one in re.findall(r"\$([^$\n]+)\$", string)]


def notation():
    """Return each symbol's letters by where it is used: "" for the whole book, or a chapter."""
    found = {"": []}
    for line in PROSE["notation"].splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and cells[0].startswith("$"):
            chapter = re.fullmatch(r"\{doc\}`(\w+)`", cells[3])
            found.setdefault(chapter[1] if chapter else "", []).append(cells[0])
    return found


def meant(*chapters):
    """Return the letters that have a meaning in the book, and in these chapters."""
    listed = notation()
    symbols = [one for name in ("", *chapters) for one in listed.get(name, [])]
    return set().union(*(letters(formula) for one in symbols for formula in formulas(one)))


def without_meaning(name, written):
    return set().union(*map(letters, written)) - meant(name)


@notebooks
def test_every_letter_of_a_formula_stands_in_the_notation(name):
    assert without_meaning(name, mathematics(name)) == set()


def test_letters_of_pages_without_code_stand_in_the_notation():
    for name, body in PROSE.items():
        written = formulas(body)
        chapters = notation() if name == "notation" else ()
        assert set().union(*map(letters, written)) <= meant(*chapters), name


def test_a_letter_has_one_meaning_and_is_used():
    everywhere, own = meant(), {name: meant(name) - meant() for name in notation() if name}
    for name, symbols in notation().items():
        assert len(set(symbols)) == len(symbols)
        if name:
            assert own[name] <= set().union(*map(letters, mathematics(name))), name
            others = set().union(*(found for other, found in own.items() if other != name))
            assert not own[name] & others, name
            leading = {re.match(LETTER, f)[0] for one in symbols for f in formulas(one)}
            assert not leading & everywhere, name
    written = [formula for name in SOURCES for formula in mathematics(name)]
    assert everywhere <= set().union(*map(letters, written))


def test_a_letter_without_a_meaning_is_seen():
    assert without_meaning("readout", [r"W_{ix} h_t + \log\text{ink}"]) == set()
    assert without_meaning("readout", [r"\bar{x} + \xi_{Q}"]) == {r"\xi", "Q"}
    assert without_meaning("readout", [r"\phi_k"]) == {r"\phi"}  # of another chapter
    assert without_meaning("cutoffs", [r"\phi_k"]) == set()
