"""What chapters are made from: held against chapters that are planted, then against the book."""

import ast
import hashlib
import os
import subprocess
import sys
import tempfile

import pytest

from rnnatomy.report import chapters, dependencies, parameters
from rnnatomy.store import checkout

LIBRARY = {
    "__init__.py": "",
    "analysis/__init__.py": '"""Arrays."""',
    "analysis/svd.py": "import numpy as np\nfrom rnnatomy.analysis import checks",
    "analysis/checks.py": "",
    "analysis/pod.py": "def pod():\n    from rnnatomy.store.results import load_study",
    "analysis/near.py": "from . import checks\nfrom .svd import energy",
    "store/__init__.py": "",
    "store/results.py": "",
    "report/__init__.py": "",
    "report/site.py": "from rnnatomy.analysis import pod",
}
PACKAGE = {"__init__.py", "analysis/__init__.py"}


@pytest.fixture
def planted(lay_out):
    """Chapters in a checkout with a small library, results and a drawing."""

    def planted(**given):
        root = lay_out(**given)
        for name, text in LIBRARY.items():
            path = root / "lib" / "rnnatomy" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in ("hundred/study.json", "gates/study.json", "gates/arrays.safetensors"):
            plant(root / "results" / name)
        for name in ("mnist-0", "mnist-1", "vae-0"):
            plant(root / "results" / name / "run.json")
        plant(root / "book" / "images" / "lstm.svg")
        return root

    return planted


def plant(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


def found(root, chapter, part="", **options):
    """Names of the files below a folder that a chapter is made from."""
    folder = root / part
    paths = dependencies.depends(chapter, **options)
    assert len(set(paths)) == len(paths)
    return {p.relative_to(folder).as_posix() for p in paths if p.is_relative_to(folder)}


def refusal(chapter):
    with pytest.raises(dependencies.DependencyError) as caught:
        dependencies.depends(chapter)
    message = str(caught.value)
    assert message.startswith(f"chapter {chapter!r}")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("code", "files"),
    [
        ("import numpy", set()),
        ("import rnnatomy", {"__init__.py"}),
        ("import rnnatomy.analysis.checks", {*PACKAGE, "analysis/checks.py"}),
        ("from rnnatomy.analysis import checks", {*PACKAGE, "analysis/checks.py"}),
        ("from rnnatomy.analysis.checks import finite", {*PACKAGE, "analysis/checks.py"}),
        (
            "from rnnatomy.analysis import svd as one",
            {*PACKAGE, "analysis/svd.py", "analysis/checks.py"},
        ),
        (
            "if True:\n    from rnnatomy.analysis import near",
            {*PACKAGE, "analysis/near.py", "analysis/svd.py", "analysis/checks.py"},
        ),
        (
            "from rnnatomy.analysis import pod",
            {*PACKAGE, "analysis/pod.py", "store/__init__.py", "store/results.py"},
        ),
    ],
)
def test_imports_are_followed_to_the_end(planted, code, files):
    root = planted(one={"code": code})
    assert found(root, "one", "lib/rnnatomy") == files
    assert dependencies.depends("one")[0] == root / "book" / "one.ipynb"


def test_a_changed_import_is_followed(planted):
    root = planted(one={"code": "from rnnatomy.analysis import checks"})
    assert "analysis/pod.py" not in found(root, "one", "lib/rnnatomy")
    (root / "lib/rnnatomy/analysis/checks.py").write_text("from rnnatomy.analysis import pod")
    assert {"analysis/pod.py", "store/results.py"} <= found(root, "one", "lib/rnnatomy")


def test_nothing_is_imported_or_run(planted):
    root = planted(one={"code": "1 / 0\n\nfrom rnnatomy.analysis import pod"})
    (root / "lib/rnnatomy/analysis/pod.py").write_text("raise SystemExit")
    assert "analysis/pod.py" in found(root, "one", "lib/rnnatomy")


@pytest.mark.parametrize(
    ("code", "folders"),
    [
        ('found = results.load_study("gates").data', {"gates"}),
        ('load_study("gates")\n\nresults.load_study(name="hundred")', {"gates", "hundred"}),
        ('runs.load_run("vae-0", "VAE")', {"vae-0"}),
        ('[runs.load_run(n) for n in runs.published("mnist-")]', {"mnist-0", "mnist-1"}),
        ("runs.published()", {"gates", "hundred", "mnist-0", "mnist-1", "vae-0"}),
        ('load("gates")', set()),
    ],
)
def test_results_are_those_that_are_named(planted, code, folders):
    root = planted(one={"code": code}, other={})
    assert {name.split("/")[0] for name in found(root, "one", "results")} == folders
    assert found(root, "other", "results") == set()


def test_all_files_of_a_result_count(planted):
    root = planted(one={"code": 'load_study("gates")'})
    assert found(root, "one", "results") == {"gates/study.json", "gates/arrays.safetensors"}


def test_runs_are_also_named_by_parameters(planted):
    run = 'run = "mnist-0"  # run: that is cut\nother = "vae-0"  # run VAE: that draws'
    code = "runs.load_run(run)"
    root = planted(one={"code": code, "parameters": run, "quick": {"run": "mnist-1"}})
    assert found(root, "one", "results") == {"mnist-0/run.json", "vae-0/run.json"}
    quick = found(root, "one", "results", quick=True)
    assert quick == {"mnist-1/run.json", "vae-0/run.json"}


def test_what_the_code_does_not_name_is_listed_in_the_metadata(planted):
    code = "for name in names:\n    results.load_study(name)"
    root = planted(one={"code": code, "reads": ["g*", "mnist-0"]}, two={"code": code})
    assert {n.split("/")[0] for n in found(root, "one", "results")} == {"gates", "mnist-0"}
    assert "gives results.load_study a name that is not written out" in refusal("two")


@pytest.mark.parametrize(
    ("chapter", "words"),
    [
        ({"code": 'load_study("gtes")'}, "study 'gtes', which is not in results/ (did you mean"),
        ({"code": 'load_study("gtes")'}, "choose from gates, hundred, or add it first"),
        ({"code": 'load_study("mnist-0")'}, "reads study 'mnist-0', which is not in"),
        ({"code": 'load_run("gates")'}, "reads run 'gates', which is not in"),
        ({"code": 'published("cifar-")'}, "'cifar-*', which is not in"),
        ({"parameters": 'run = "mnist-9"  # run: cut'}, "run 'mnist-9', which is not in"),
        ({"reads": ["cifar-*"]}, "'cifar-*', which is not in"),
        ({"reads": "*"}, "lists '*' as what it reads: give a list"),
        ({"code": "load_run(name)"}, "gives load_run a name that is not written out"),
        (
            {"code": "published(prefix)"},
            "gives published a name that is not written",
        ),
        ({"code": 'show_drawing("ltsm.svg", "")'}, "'ltsm.svg', which is not in book/images"),
        (
            {"code": 'show_drawing(name, "")'},
            "gives show_drawing a name that is not written",
        ),
        ({"code": "a = 1\n\n%matplotlib inline"}, "cell 2 is not plain Python"),
    ],
)
def test_what_cannot_be_found_is_refused_in_one_sentence(planted, chapter, words):
    planted(one=chapter)
    assert words in refusal("one")


def test_drawings_are_those_that_are_shown(planted):
    root = planted(one={"code": 'plots.show_drawing("lstm.svg", "a cell")'}, other={})
    assert found(root, "one", "book") == {"one.ipynb", "images/lstm.svg"}
    assert found(root, "other", "book") == {"other.ipynb"}


# --- Rules for make ---------------------------------------------------------------------------

RECIPES = """
build/site: $(CHAPTERS:%=build/quick/%.ipynb) build/quick/.inputs
	@echo $@; touch $@
build/quick/%.ipynb:
	@echo $@; touch $@
"""


def made(root):
    """Let make follow the rules; what it makes again, in order."""
    folders = {root / "build" / "quick": True}
    for path, text in dependencies.inputs(folders).items():
        dependencies.note(path, text)
    (root / "rules.mk").write_text(dependencies.rules(folders) + RECIPES)
    words = ["make", "--no-print-directory", "-f", "rules.mk", "build/site"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [word for word in done.stdout.split() if word.startswith("build/")]
    return [word.rpartition("/")[2].removesuffix(".ipynb") for word in told]


def every_file(root):
    parts = ("book", "lib", "results", "_toc.yml", "requirements-library.txt")
    paths = [path for part in parts for path in [root / part, *(root / part).rglob("*")]]
    return [path for path in paths if path.is_file()]


def change(root, name):
    """Change what a file holds, and neither its size nor its time."""
    path = root / name
    before = path.stat()
    path.write_text(path.read_text().removesuffix("\n") + " ")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.fixture
def book(planted, monkeypatch):
    """Three chapters, the last of which reports on the others, all of them made."""
    gates = """from rnnatomy.analysis import svd

results.load_study("gates")

plots.show_drawing("lstm.svg", "a cell")"""
    root = planted(
        intro={"code": 'results.load_study("hundred")'},
        report={"reads": ["*"], "last": True},
        gates={"code": gates},
    )
    for name in ("book/book.css", "book/images/logo.svg", "requirements-library.txt"):
        plant(root / name)
    for path in every_file(root):
        path.write_text(path.read_text().removesuffix("\n") + "\n")
    monkeypatch.chdir(root)
    assert made(root)[-2:] == ["report", "site"]
    assert made(root) == []
    return root


CONCERNED = [
    ("book/gates.ipynb", ["gates", "report", "site"]),
    ("book/report.ipynb", ["report", "site"]),
    ("book/book.css", ["site"]),
    ("book/images/lstm.svg", ["gates", "report", "site"]),
    ("book/images/logo.svg", ["site"]),
    ("lib/rnnatomy/analysis/checks.py", ["gates", "report", "site"]),
    ("lib/rnnatomy/analysis/pod.py", []),
    ("lib/rnnatomy/report/site.py", ["site"]),
    ("results/gates/study.json", ["gates", "report", "site"]),
    ("results/gates/arrays.safetensors", ["gates", "report", "site"]),
    ("results/hundred/study.json", ["intro", "report", "site"]),
    ("results/vae-0/run.json", ["report", "site"]),
    ("_toc.yml", ["report", "site"]),
    ("requirements-library.txt", ["intro", "gates", "report", "site"]),
]


@pytest.mark.parametrize(("file", "again"), CONCERNED)
def test_make_runs_again_what_a_change_concerns_and_no_more(book, file, again):
    change(book, file)
    assert made(book) == again
    assert made(book) == []


GONE = [
    case for case in CONCERNED
    if case[0] not in ("book/gates.ipynb", "book/report.ipynb", "book/images/lstm.svg", "_toc.yml")
    and not case[0].endswith("/study.json")
]  # fmt: skip


@pytest.mark.parametrize(("file", "again"), GONE)
def test_make_runs_again_what_read_a_file_that_is_gone(book, file, again):
    (book / file).unlink()
    assert made(book) == again
    assert made(book) == []


@pytest.mark.parametrize(
    ("file", "again"),
    [
        ("book/images/new.svg", ["site"]),
        ("lib/rnnatomy/analysis/new.py", []),
        ("results/gates/more.safetensors", ["gates", "report", "site"]),
        ("results/gates/.half-written", []),
        ("results/new/study.json", ["report", "site"]),
    ],
)
def test_make_runs_again_what_reads_a_new_file(book, file, again):
    plant(book / file)
    assert made(book) == again


def test_files_that_are_only_touched_make_nothing_run_again(book):
    for path in every_file(book):
        path.touch()
    assert made(book) == []
    for path in every_file(book):  # as a copy or a checkout does
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert made(book) == []


def test_a_file_that_goes_while_it_is_listed_stops_nothing(book, monkeypatch):
    def with_one_more(folder, all_files=dependencies._all_files):
        return [*all_files(folder), folder / "gone"]

    monkeypatch.setattr(dependencies, "_all_files", with_one_more)
    assert made(book) == ["intro", "gates", "report", "site"]


def test_a_module_that_is_no_python_is_left_to_the_chapter_that_imports_it(book):
    (book / "lib/rnnatomy/analysis/svd.py").write_text("def (")
    assert made(book) == ["gates", "report", "site"]


LOOKING = 'dataset = "auto"  # one of auto, mnist, digits: images'


@pytest.mark.parametrize(
    ("chapter", "quick", "files"),
    [
        ({"code": "import numpy"}, False, []),
        ({"code": "from rnnatomy.data import datasets"}, True, ["data"]),
        ({"code": "from rnnatomy.data import datasets", "parameters": LOOKING}, False, ["data"]),
        (
            {
                "code": "from rnnatomy.data import datasets",
                "parameters": LOOKING,
                "quick": {"dataset": "digits"},
            },
            True,
            [],
        ),
        ({"code": "from rnnatomy.data import datasets, mocap"}, False, ["data", "motion"]),
    ],
)
def test_a_chapter_that_looks_for_data_depends_on_which_there_are(planted, chapter, quick, files):
    root = planted(one=chapter)
    assert dependencies.data("one", quick) == [root / "build" / name for name in files]
    rule = dependencies.rules({root / "here": quick}).splitlines()[1]
    assert [f"build/{name}" in rule for name in ("data", "motion")] == [
        name in files for name in ("data", "motion")
    ]


@pytest.mark.parametrize(
    ("chapter", "values", "wanted"),
    [
        ("training", False, ["data"]),
        ("training", True, []),
        ("people", False, ["motion"]),
        ("people", True, []),
        ("hundred", False, []),
    ],
)
def test_the_chapters_that_train_depend_on_the_data(chapter, values, wanted):
    assert [path.name for path in dependencies.data(chapter, values)] == wanted


def test_a_name_that_make_would_take_apart_is_refused(planted):
    root = planted(**{"one; touch two": {}})
    with pytest.raises(dependencies.DependencyError, match=r"'one; touch two' cannot be named so"):
        dependencies.rules({root / "here": True})


def test_the_command_lists_for_one_folder_or_for_both(book, monkeypatch, capsys):
    def told(*words):
        monkeypatch.setattr(sys, "argv", ["chapters", "depends", *words])
        chapters.main()
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "CHAPTERS := intro report gates"
        return {line.partition(":")[0] for line in lines[1:]}

    names = ("intro", "report", "gates")
    assert told("--output", "here", "--quick") == {f"here/{name}.ipynb" for name in names}
    assert {path.name for path in (book / "here").iterdir()} == {
        ".inputs", *(f".{name}.inputs" for name in names)
    }  # fmt: skip
    folders = ("build/chapters", "build/quick")
    assert told() == {f"{folder}/{name}.ipynb" for folder in folders for name in names}


def test_a_list_tells_of_each_file_what_it_holds(book):
    lines = (book / "build" / "quick" / ".gates.inputs").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert "book/images/lstm.svg" in listed
    for name, digest in listed.items():
        assert hashlib.sha256((book / name).read_bytes()).hexdigest() == digest


def test_what_make_asks_each_time_is_asked_at_once():
    """Neither JAX nor what draws or runs is imported for the lists."""
    code = """
import sys
from rnnatomy.report import chapters
sys.argv = ["chapters", "depends", "--output", sys.argv[1]]
chapters.main()
heavy = {"jax", "flax", "matplotlib", "papermill", "IPython", "pooch", "sklearn", "scipy"}
sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)
"""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-c", code, folder]
        done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_says_in_one_sentence_what_is_wrong(planted, monkeypatch):
    planted(one={"code": 'load_study("gtes")'})
    monkeypatch.setattr(sys, "argv", ["chapters", "depends", "--output", "here"])
    with pytest.raises(SystemExit, match=r"^error: chapter 'one' reads study 'gtes'"):
        chapters.main()


# --- The book itself --------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", parameters.notebooks())
def test_no_chapter_needs_what_runs_it_or_makes_the_site(chapter):
    library = found(checkout.root(), chapter, "lib/rnnatomy")
    assert {"__init__.py", "report/__init__.py", "report/plots.py"} <= library
    assert not library & {"report/chapters.py", "report/site.py", "report/dependencies.py"}


def test_a_study_concerns_only_the_chapters_that_load_it():
    concerned = {
        name for name in parameters.notebooks()
        if "movement/study.json" in found(checkout.root(), name, "results")
    }  # fmt: skip
    assert {"people", "gauge", "reproducibility"} <= concerned
    assert not concerned & {"intro", "training", "readout", "cutoffs", "hundred", "gates"}


def test_only_studies_load_results_by_names_of_their_own():
    """A chapter calls no library function that loads results whose names it does not give."""
    folder = checkout.root() / "lib" / "rnnatomy"
    loading = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and dependencies._name(node) in dependencies.MANIFESTS
    }
    where_they_are_defined = {"networks/runs.py", "store/results.py"}
    others = {name for name in loading - where_they_are_defined if not name.startswith("studies/")}
    assert others == {"report/parameters.py"}  # a parameter's value, which a chapter gives


def test_the_pages_of_the_book_hang_on_all_that_makes_them():
    (text,) = (
        text for path, text in dependencies.inputs({checkout.root() / "build" / "x": True}).items()
        if path.name == ".inputs"
    )  # fmt: skip
    room = "lib/rnnatomy/report"
    makers = {line.split()[1] for line in text.splitlines() if room in line}
    named = {
        "site",
        "light",
        "cards",
        "accessible",
        "tips",
        "mathematics",
        "publishing",
        "previews",
    }
    assert {f"{room}/{name}.py" for name in named} <= makers
    assert f"{room}/paper.py" not in makers
