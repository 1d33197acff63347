"""Sweeps: the language of grids, what is refused, what is run again, and the command."""

import csv
import sys

import hostile
import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import planting

from rnnatomy import sweeps
from rnnatomy.report import chapters, parameters, sweep_page
from rnnatomy.store import checkout
from rnnatomy.studies import engine

DECLARED = 'count = 3  # int 0..10: of words\nword = "one"  # one of one, two: that is said'
GLUE = """
from IPython.display import display
def glue(**values):
    for name, value in values.items():
        stored = {"scrapbook": {"name": name, "mime_prefix": "application/papermill.record/"}}
        kind = "application/papermill.record/text/plain"
        display({kind: repr(value)}, raw=True, metadata=stored)
"""
TALK = f"""{GLUE}

glue(said=word * count, length=str(3 * count), kind="talk")

assert count != 2, "two is <b>too</b> few"
"""


@pytest.fixture
def talk(root, monkeypatch):
    """A chapter that says a word some times; two is an error."""
    monkeypatch.setenv("ENGINE", "here")
    monkeypatch.delenv("ENGINE_JOB", raising=False)
    (root / "book").mkdir()
    planting.write_chapter(root / "book" / "talk.ipynb", TALK, DECLARED, quick={"count": 1})
    return root


@pytest.fixture
def ran(talk, monkeypatch):
    """Run no kernel, and tell which points were run since this was asked last; some words fail."""
    points, failing = [], []

    def run_chapter(chapter, given, output, quick=False):
        points.append(given | {"quick": quick})
        print("a line that is nobody's business")
        if given.get("word") in failing:
            raise chapters.ChapterError("its kernel died")
        facts = {"scrapbook": {"name": "said", "mime_prefix": ""}}
        data = {"text/plain": repr(str(given))}
        outputs = [nbformat.v4.new_output("display_data", data, metadata=facts)]
        cells = [nbformat.v4.new_code_cell("", outputs=outputs)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), output)
        return 1.0

    def ask():
        found = points[:]
        points.clear()
        return found

    ask.failing = failing
    monkeypatch.setattr(chapters, "run_chapter", run_chapter)
    return ask


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["sweeps", *map(str, words)])
    sweeps.main()


def refused(monkeypatch, *words):
    """The sentence with which the command ends."""
    return hostile.sentence(lambda: command(monkeypatch, *words)).removeprefix("error: ")


def table(folder):
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# --- Grids ------------------------------------------------------------------------------------

WORDS = st.from_regex(r"[a-z][a-z0-9/_-]{0,8}", fullmatch=True)
VALUES = st.one_of(
    st.integers(-1000, 1000), st.floats(-1e6, 1e6).filter(lambda x: "." in repr(x)), WORDS
)


@given(st.dictionaries(WORDS, st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=3))
def test_a_grid_is_read_as_it_is_written(grid):
    text = " ".join(f"{name}={','.join(map(str, values))}" for name, values in grid.items())
    assert sweeps.parse(f" {text}\n") == {n: list(dict.fromkeys(v)) for n, v in grid.items()}
    found = [type(value) for values in sweeps.parse(text).values() for value in values]
    assert found == [type(value) for v in grid.values() for value in dict.fromkeys(v)]


@given(st.integers(-50, 50), st.integers(0, 100), st.integers(1, 7))
def test_a_range_has_both_ends(first, more, step):
    last = first + more
    assert sweeps.parse(f"x={first}..{last}")["x"] == list(range(first, last + 1))
    assert sweeps.parse(f"x={first}..{last}..{step}")["x"] == list(range(first, last + 1, step))


def test_ranges_and_lists_mix_and_a_value_counts_once():
    grid = sweeps.parse("x=1..3,8,2 share=0.5,.9,1e-3 run=mnist-0,../runs/mine,a=b")
    assert grid == {
        "x": [1, 2, 3, 8],
        "share": [0.5, 0.9, 0.001],
        "run": ["mnist-0", "../runs/mine", "a=b"],
    }


@given(st.text(max_size=30))
def test_any_text_is_a_grid_or_refused_in_a_sentence(text):
    try:
        grid = sweeps.parse(text)
    except sweeps.SweepError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
    else:
        assert grid and all(grid.values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the grid is empty: give parameters and values"),
        (" \t ", "the grid is empty"),
        ("x", "'x' is no part of a grid: write name=values"),
        ("x = 1", "'x' is no part of a grid"),
        ("=1", "'=1' is no part of a grid"),
        ("x=", "x lacks a value: give values with commas between"),
        ("x=1,,2", "x lacks a value"),
        ("x=1 y=2 x=3", "the grid has 'x' twice: give all its values at once"),
        ("x=10..1", "x=10..1 has no values: count upwards"),
        ("x=1..5..0", "x=1..5..0 has no values"),
        ("x=1..5..-1", "x=1..5..-1 has no values"),
        ("x=0.5..0.9", "x='0.5..0.9' is no range: give whole numbers"),
        ("x=1..", "x='1..' is no range"),
        ("x=1..2..3..4", "x='1..2..3..4' is no range"),
        ("x=1.." + "9" * 5000, "x='1..9999"),
        ("x=1..1000000", "the grid has 1,000,000 points: give at most 500"),
        ("x=1..30 y=1..30", "the grid has 900 points"),
        ("x=1..999999999999999 y=1..999999999999999", "the grid has 999,999,999,999,998,"),
    ],
)
def test_a_malformed_grid_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(sweeps.SweepError) as caught:
        sweeps.parse(text)
    message = str(caught.value)
    assert message.startswith(sentence)
    assert "\n" not in message and len(message) < 200


# --- What is refused before anything runs -----------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["talc", "count=1"], "chapter 'talc' does not exist (did you mean 'talk'?)"),
        (["../talk", "count=1"], "chapter '../talk' does not exist"),
        (["talk", "cuont=1,2"], "chapter 'talk' has no parameter 'cuont' (did you mean 'count'?)"),
        (["talk", "count=99 cuont=1"], "chapter 'talk' has no parameter 'cuont'"),
        (["talk", "count=8..12"], "count is 11: give a whole number from 0 to 10"),
        (["talk", "count=0.5"], "count is 0.5: give a whole number"),
        (["talk", "count=1 word=one,three"], "word is 'three': choose from one, two"),
        (["talk", "count=" + "9" * 400], "count is inf"),
        (["talk", "count"], "'count' is no part of a grid"),
    ],
)
def test_wrong_names_and_values_are_refused_before_anything_runs(
    talk, ran, monkeypatch, words, sentence
):
    monkeypatch.setattr(engine, "run", lambda *_: pytest.fail("it ran"))
    assert refused(monkeypatch, *words).startswith(sentence)
    assert ran() == [] and not (talk / "build").exists()


def test_nothing_but_a_sweep_is_replaced(talk, ran, monkeypatch):
    (talk / "mine").mkdir()
    (talk / "mine" / "index.html").write_text("mine")
    for place in (talk / "mine", talk / "mine" / "index.html"):
        words = ["talk", "count=1", "--output", place]
        assert "is there, and is no sweep" in refused(monkeypatch, *words)
    assert ran() == [] and (talk / "mine" / "index.html").read_text() == "mine"


def test_without_a_checkout_the_command_says_that_one_is_needed(monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", None)
    assert "clone the repository" in refused(monkeypatch, "talk", "count=1")


# --- What is run ------------------------------------------------------------------------------


def test_a_point_whose_process_died_stands_in_the_table(talk, monkeypatch):
    run = engine.run

    def killed(name, jobs):
        if any("count=2" in job.label for job in jobs):
            raise engine.EngineError("one failed", {jobs[0].label: "its process died"})
        return run(name, jobs)

    monkeypatch.setattr(engine, "run", killed)
    told = refused(monkeypatch, "talk", "count=2,3 word=two")
    assert told.startswith("1 of 2 points failed, first count=2, word=two (its process died): the")
    rows = table(talk / "build" / "sweeps" / "talk" / "count=2,3_word=two")
    assert [(row["said"], row["error"]) for row in rows] == [
        ("", "its process died"),
        ("twotwotwo", ""),
    ]


def test_a_sweep_runs_its_chapter_and_a_point_that_fails_stops_no_other(talk, monkeypatch, capsys):
    told = refused(monkeypatch, "talk", "count=2,3 word=two")
    error = "talk, cell 5: AssertionError: two is <b>too</b> few"
    assert told.startswith(f"1 of 2 points failed, first count=2, word=two ({error}): the table")
    folder = talk / "build" / "sweeps" / "talk" / "count=2,3_word=two"
    assert told.endswith(str(folder / "index.html"))
    rows = table(folder)
    found = [(row["count"], row["said"], row["length"], row["error"]) for row in rows]
    assert found == [("2", "", "", error), ("3", "twotwotwo", "9", "")]
    assert rows[0]["notebook"] == ""
    executed = nbformat.read(folder / rows[1]["notebook"], 4)
    assert sweep_page.glued(executed) == {"said": "twotwotwo", "length": "9", "kind": "talk"}
    page = (folder / "index.html").read_text()
    assert "1 failed" in page and "two is &lt;b&gt;too&lt;/b&gt; few" in page
    assert "2 points were run" in page
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "sweep of talk: 2 of 2 jobs done"
    assert not any("cell" in line for line in lines)


def test_points_that_are_kept_are_reused(talk, ran, monkeypatch):
    command(monkeypatch, "talk", "count=1,2")
    assert ran() == [{"count": 1, "quick": False}, {"count": 2, "quick": False}]
    command(monkeypatch, "talk", "count=1..3", "--output", talk / "wider")
    assert ran() == [{"count": 3, "quick": False}]
    page = (talk / "wider" / "index.html").read_text()
    assert "1 point was run for this page, 2 reused" in page
    assert [row["said"] for row in table(talk / "wider")] == [
        f"{{'count': {n}}}" for n in (1, 2, 3)
    ]


def test_quick_points_are_others(talk, ran, monkeypatch):
    command(monkeypatch, "talk", "word=one,two")
    ran()
    command(monkeypatch, "talk", "word=one,two", "--quick")
    assert ran() == [{"word": word, "quick": True} for word in ("one", "two")]
    folders = sorted((talk / "build" / "sweeps" / "talk").iterdir())
    assert [folder.name for folder in folders] == ["word=one,two", "word=one,two_quick"]
    pages = [(folder / "index.html").read_text() for folder in folders]
    assert ["quick parameters" in page for page in pages] == [False, True]
    assert ["QUICK=1" in page for page in pages] == [False, True]


def test_an_edited_chapter_runs_again(talk, ran, monkeypatch):
    command(monkeypatch, "talk", "count=1,2")
    ran()
    planting.write_chapter(talk / "book" / "talk.ipynb", TALK + "\n\n1", DECLARED)
    command(monkeypatch, "talk", "count=1,2")
    assert len(ran()) == 2


def test_other_data_run_a_chapter_again(talk, ran, monkeypatch):
    declared = 'dataset = "auto"  # one of auto, digits: shown\ncount = 1  # int 0..9: of them'
    planting.write_chapter(
        talk / "book" / "shows.ipynb", "1", declared, quick={"dataset": "digits"}
    )
    found = {"auto": "a", "digits": "b"}
    monkeypatch.setattr(sweeps, "_checksum", lambda name: found[name])
    for words, count in (
        (["count=1"], 1), (["count=1"], 0), (["count=1 dataset=auto,digits"], 2),
        (["count=1", "--quick"], 1),
    ):  # fmt: skip
        command(monkeypatch, "shows", *words)
        assert len(ran()) == count, words
    found["auto"] = "c"
    command(monkeypatch, "shows", "count=1")
    assert len(ran()) == 1
    command(monkeypatch, "shows", "count=1", "--quick")
    assert ran() == []


def test_a_chapter_of_the_book_is_known_by_its_run_too():
    found = {
        name: sweeps._made_from("readout", {"run": name}, quick=True)
        for name in ("mnist-0", "mnist-1")
    }
    assert found["mnist-0"] != found["mnist-1"]
    assert found["mnist-0"] == sweeps._made_from("readout", {"run": "mnist-0"}, quick=True)


def test_an_edit_in_the_middle_stops_the_sweep(talk, ran, monkeypatch):
    real, edited = chapters.run_chapter, []

    def run_chapter(*arguments):
        if not edited:
            planting.write_chapter(talk / "book" / "talk.ipynb", "2", DECLARED)
        edited.append(True)
        return real(*arguments)

    monkeypatch.setattr(chapters, "run_chapter", run_chapter)
    told = refused(monkeypatch, "talk", "count=1,2")
    assert "is not as it was when the sweep began: start the sweep again" in told
    assert len(ran()) == 1


def test_a_failed_point_is_tried_again(talk, ran, monkeypatch):
    ran.failing.append("two")
    for _ in range(2):
        told = refused(monkeypatch, "talk", "word=one,two")
        assert "1 of 2 points failed, first word=two (its kernel died)" in told
    assert [point["word"] for point in ran()] == ["one", "two", "two"]
    ran.failing.clear()
    command(monkeypatch, "talk", "word=one,two")
    assert [point["word"] for point in ran()] == ["two"]
    folder = talk / "build" / "sweeps" / "talk" / "word=one,two"
    assert [row["error"] for row in table(folder)] == ["", ""]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_failure_that_an_interrupted_sweep_has_left_is_tried_again(talk, ran, monkeypatch):
    ran.failing.append("two")
    jobs = [sweeps._job("talk", {"word": word}, False) for word in ("one", "two")]
    engine.run("sweep", jobs)
    ran.failing.clear()
    command(monkeypatch, "talk", "word=one,two")
    assert [point["word"] for point in ran()] == ["one", "two", "two"]


def test_the_earlier_table_stands_when_a_sweep_is_interrupted(talk, ran, monkeypatch, capsys):
    command(monkeypatch, "talk", "count=1", "--output", talk / "out")
    earlier = {path.name: path.read_bytes() for path in (talk / "out").iterdir()}

    def interrupted(*_):
        raise KeyboardInterrupt

    for module, name in ((chapters, "run_chapter"), (sweep_page, "table")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupted)
            with pytest.raises(SystemExit) as caught:
                command(patch, "talk", "count=1,2", "--output", talk / "out")
        assert caught.value.code == 130
        told = capsys.readouterr().err.strip()
        assert told.startswith("error: interrupted: points that are done are kept")
        assert {path.name: path.read_bytes() for path in (talk / "out").iterdir()} == earlier
        assert not list(talk.glob(".rnnatomy*"))
    command(monkeypatch, "talk", "count=1,2", "--output", talk / "out")
    assert len(table(talk / "out")) == 2


# --- Names ------------------------------------------------------------------------------------


def test_folders_are_named_after_their_grid(talk):
    def name(grid, quick=False):
        return sweeps.folder_of("talk", grid, quick).relative_to(talk / "build/sweeps/talk").name

    assert name(" count=1..10   word=one,two ") == "count=1..10_word=one,two"
    assert name("count=1", quick=True) == "count=1_quick"
    odd = [name(f"run={text}") for text in ("../../x", "..//..x", "a" * 300, "a" * 301, "ü")]
    assert len(set(odd)) == len(odd)
    assert all(len(one) < 80 and "/" not in one for one in odd)


def test_the_book_has_parameters_to_sweep():
    """The example of the Makefile, checked against the chapter."""
    grid = sweeps.parse("direction=1..10 digit=0,8")
    assert len(list(sweeps._points(grid))) == 20
    sweeps._check("cutoffs", grid)
    with pytest.raises(parameters.ParameterError):
        sweeps._check("cutoffs", sweeps.parse("direction=0..10"))


def test_the_code_of_a_point_is_the_same_whatever_else_a_process_has_loaded(child):
    code = """
import importlib, pkgutil
import rnnatomy
from rnnatomy import sweeps
from rnnatomy.studies.engine import identity
first = identity.code(sweeps.work)
for module in pkgutil.walk_packages(rnnatomy.__path__, "rnnatomy."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
for function in (identity.code, identity._source):
    function.cache_clear()
print(first == identity.code(sweeps.work))
"""
    told, errors = child(code, PYTHONPATH=str(checkout.root() / "lib")).communicate()
    assert told == "True\n", errors
