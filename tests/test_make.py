"""The Makefile: what it runs again, what it hands to a command, and what it says on failure.

Chapters and sites are only noted down here, not run, but where a test says so.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml
from report import planting

from rnnatomy.store import results

ROOT = Path(__file__).resolve().parents[1]
PYTHON = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path

words = sys.argv[1:]
command = words[2:3]
if "told" in os.environ:
    sys.exit(print(json.dumps(words)))
if command == ["run"] and "fail" in os.environ:
    sys.exit("error: it fails.")
if command in (["run"], ["build"]) and "really" not in os.environ:
    made = f"{{words[-1]}}/{{words[3]}}.ipynb" if command == ["run"] else f"{{words[4]}}/index.html"
    print("made", made)
    Path(made).parent.mkdir(parents=True, exist_ok=True)
    Path(made).write_text("")
elif command in (["data"], ["motion"]):
    path, text = Path(words[3]), os.environ.get(command[0], "none")
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
else:
    os.execv(sys.executable, [sys.executable, *words])
"""
GATES = """from rnnatomy.store import results

found = results.load_study("gates").data"""
LOOKS = {
    "code": "from rnnatomy.data import datasets",
    "parameters": 'dataset = "auto"  # one of auto, digits: images',
    "quick": {"dataset": "digits"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkout of the library with three chapters, whose quick site was made."""
    root = tmp_path_factory.mktemp("make")
    aside = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "lib" / "rnnatomy", root / "lib" / "rnnatomy", ignore=aside)
    shutil.copy(ROOT / "Makefile", root)
    (root / "book" / "images").mkdir(parents=True)
    for name in ("pyproject.toml", "_config.yml", "requirements-library.txt", "book/book.css"):
        (root / name).write_text("")
    written = {"intro": {"code": "1"}, "gates": {"code": GATES}, "looks": LOOKS}
    for name, chapter in written.items():
        planting.write_chapter(root / "book" / f"{name}.ipynb", **chapter)
    chapters = [{"file": name} for name in ("gates", "looks")]
    parts = [{"caption": "A part", "chapters": chapters}]
    (root / "_toc.yml").write_text(yaml.safe_dump({"root": "intro", "parts": parts}))
    study = results.Study("gates", xr.Dataset({"a": ("row", np.arange(3.0))}), {"seed": 0})
    results.save_study(root / "results" / "gates", study)
    (root / "python").write_text(PYTHON)
    (root / "python").chmod(0o755)
    (root / "ready").write_text("")
    told = make(root, "quick").stdout
    assert [f"made build/quick/{n}.ipynb" in told for n in ("intro", "gates", "looks")] == [
        True
    ] * 3
    return root


def make(root, *words, **settings):
    """Run make; what it says."""
    given = {"PYTHONPATH": str(root / "lib"), "PATH": os.environ["PATH"], "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        ["make", "PY=./python", "READY=ready", *words],
        cwd=root, capture_output=True, text=True, env=given | settings,
    )  # fmt: skip


def again(root, *words, **settings):
    """What make makes again, by the last part of its name."""
    done = make(root, *words, **settings)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("made ")]
    return [Path(line).name.removesuffix(".ipynb") for line in lines]


def test_touched_files_make_nothing_again_and_changed_ones_what_reads_them(made):
    for path in made.rglob("*"):
        if path.is_file() and "build" not in path.parts:
            path.touch()
    (made / "ready").touch()  # the environment is newer than what it is made from
    assert again(made, "quick") == []
    (made / "book" / "book.css").write_text("p {}")
    assert again(made, "quick") == ["index.html"]
    (made / "results" / "gates" / "more").write_text("")
    assert again(made, "quick") == ["gates", "index.html"]
    (made / "results" / "gates" / "more").unlink()
    assert again(made, "quick") == ["gates", "index.html"]
    assert again(made, "quick") == []


def test_a_chapter_that_looks_for_data_runs_again_when_there_are_others(made):
    everything = ["intro", "gates", "looks", "index.html"]
    assert sorted(again(made, "book", data="digits")) == sorted(everything)
    assert again(made, "book", data="digits") == []
    assert again(made, "book", data="mnist 1") == ["looks", "index.html"]
    assert again(made, "book", data="mnist 2") == ["looks", "index.html"]
    assert again(made, "book", data="mnist 2", motion="others") == []


def test_what_failed_is_not_shown_as_current_and_runs_again(made):
    (made / "book" / "book.css").write_text("a {}")
    planting.write_chapter(made / "book" / "gates.ipynb", f"{GATES}\n\n2")
    for _ in range(2):
        done = make(made, "quick", fail="yes")
        assert done.returncode != 0
        assert "error: it fails." in done.stderr
        assert "made" not in done.stdout and "book:" not in done.stdout
    assert again(made, "quick") == ["gates", "index.html"]


def test_a_damaged_result_stops_the_chapter_with_the_sentence_of_the_store(made):
    """Here the chapter is run."""
    (arrays,) = (made / "results" / "gates").glob("*.safetensors")
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-1] + b"\x01")
    earlier = (made / "build" / "quick" / "gates.ipynb").read_bytes()
    done = make(made, "build/site-quick/index.html", really="yes")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "gates, cell 2: StoreError" in line and "is damaged" in line
    assert "Traceback" not in done.stderr
    assert (made / "build" / "quick" / "gates.ipynb").read_bytes() == earlier
    arrays.write_bytes(content)
    assert again(made, "quick") == ["gates", "index.html"]


def test_lists_that_cannot_be_made_stop_make_with_a_sentence(made):
    planting.write_chapter(made / "book" / "intro.ipynb", 'load_study("gtes")')
    done = make(made, "quick")
    planting.write_chapter(made / "book" / "intro.ipynb", "1")
    assert done.returncode != 0
    assert "error: chapter 'intro' reads study 'gtes', which is not in results/" in done.stderr
    assert again(made, "quick") in ([], ["intro", "index.html"])


HOSTILE = (
    "x; touch hostile",
    "$(touch hostile)",
    "$(shell touch hostile)",
    "`touch hostile`",
    'x" && touch hostile "',
    "x' && touch hostile '",
    "--output=hostile",
    "x\ntouch hostile",
    "x | touch hostile",
    "> hostile",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_words_reach_neither_make_nor_the_shell(made, text):
    start = ["-m", "rnnatomy.report.chapters", "run"]
    for name, words in {
        "NAME": [*start, "--words=", "--", text],
        "ARGS": [*start, f"--words={text}", "--", ""],
    }.items():
        for given, settings in ([f"{name}={text}"], {}), ([], {name: text}):
            done = make(made, "chapter", *given, told="yes", **settings)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == words
    assert not (made / "hostile").exists()


@pytest.mark.parametrize("text", HOSTILE)
def test_grids_and_studies_reach_neither_make_nor_the_shell(made, text):
    for name, words in {
        "NAME": ["-m", "rnnatomy.sweeps", "--", text, ""],
        "GRID": ["-m", "rnnatomy.sweeps", "--", "", text],
    }.items():
        done = make(made, "sweep", f"{name}={text}", told="yes")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == words
    studies = "-m", "rnnatomy.studies"
    for given, expected in {
        f"STUDY={text}": [[*studies, "--", word] for word in text.split()],
        f"NETWORKS={text}": [[*studies, f"--networks={text}", "--", "gates"]],
        f"ENGINE={text}": [[*studies, "--", "gates"]],
    }.items():
        study = [] if given.startswith("STUDY") else ["STUDY=gates"]
        done = make(made, "results", given, *study, told="yes")
        assert list(map(json.loads, done.stdout.splitlines())) == expected, done.stderr
    assert not (made / "hostile").exists()


def test_words_of_a_chapter_reach_it(made):
    done = make(made, "chapter", "NAME=intro", "ARGS=-p 'a b' 3", really="yes")
    assert "error: chapter 'intro' has no parameter 'a b'" in done.stderr
    done = make(made, "chapter", really="yes")
    assert "error: chapter '' does not exist: choose from gates, intro, looks" in done.stderr
