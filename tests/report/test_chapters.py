"""The chapters as programs: their parameters, their golden outputs, and what happens on error."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from golden import COMPARED, compared, prepare

from rnnatomy.networks import runs
from rnnatomy.report import chapters, parameters, site
from rnnatomy.store import checkout


def run(*words, cwd=None, **settings):
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=cwd,
        env=os.environ | settings,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def nbval(path):
    words = ["pytest", "--nbval", "-p", "no:cacheprovider", "-c", os.devnull, "-q"]
    return run(*words, "--rootdir", str(path.parent), str(path))


@pytest.mark.parametrize("chapter", COMPARED)
def test_outputs_equal_golden_ones(chapter, tmp_path):
    path = prepare(chapter, tmp_path)
    golden = [c for c in nbformat.read(path, as_version=4).cells if compared(c) and c.outputs]
    assert len(golden) >= 1
    code, text = nbval(path)
    assert code == 0, text[-3000:]
    assert re.search(r"\d+ passed", text)


def test_a_changed_seed_is_noticed(tmp_path):
    code, text = nbval(prepare("training", tmp_path, seed=1))
    assert code == 1, text[-3000:]
    assert "failed" in text


def test_every_default_and_quick_value_is_allowed():
    for name in parameters.NOTEBOOKS:
        declared = parameters.parameters(name)
        quick = parameters.read_chapter(name).metadata["rnnatomy"]["quick"]
        parameters.check_values(name, {p.name: p.default for p in declared.values()})
        parameters.check_values(name, quick)


@pytest.mark.parametrize(
    ("chapter", "given", "words"),
    [
        ("cutoffs", {"direktion": 3}, ["'direktion'", "did you mean 'direction'", "digit"]),
        ("cutoffs", {"rank": 11}, ["rank is 11", "0 to 10"]),
        ("cutoffs", {"rank": 2.5}, ["rank is 2.5", "whole number"]),
        ("cutoffs", {"rank": True}, ["rank is True", "whole number"]),
        ("cutoffs", {"digit": "eight"}, ["digit is 'eight'", "0 to 9"]),
        ("training", {"dataset": "cifar"}, ["'cifar'", "auto, mnist, digits"]),
        ("readout", {"run": "mnist-77"}, ["run 'mnist-77' is missing", "mnist-0"]),
        ("readout", {"run": 3}, ["run is 3", "name or the path"]),
        ("cutofs", {}, ["'cutofs'", "did you mean 'cutoffs'"]),
    ],
)
def test_wrong_parameters_are_refused_in_one_sentence(chapter, given, words):
    with pytest.raises(parameters.ParameterError) as caught:
        parameters.check_values(chapter, given)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_the_command_refuses_before_it_runs(tmp_path):
    words = ["rnnatomy.chapters", "run", "cutoffs", "-p", "rang", "3", "--output", str(tmp_path)]
    code, text = run(*words)
    assert code == 1
    assert text.startswith("error: chapter 'cutoffs' has no parameter 'rang'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"rang": 3}, {"direction": 0}])
def test_plain_papermill_stops_at_the_first_cell(given, tmp_path):
    source = str(parameters.BOOK / "cutoffs.ipynb")
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(source, str(tmp_path / "out.ipynb"), given, progress_bar=False)
    assert caught.value.ename == "ParameterError"
    assert caught.value.exec_count <= 4


def test_plain_papermill_runs_a_chapter_from_any_folder(tmp_path):
    source = parameters.BOOK / "readout.ipynb"
    words = ["papermill", str(source), "out.ipynb", "-p", "run", "mnist-3", "--no-progress-bar"]
    code, text = run(*words, cwd=tmp_path)
    assert code == 0, text[-2000:]
    assert "mnist-3" in (tmp_path / "out.ipynb").read_text()


def test_a_failing_chapter_leaves_the_earlier_output(tmp_path, monkeypatch):
    (tmp_path / "book").mkdir()
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("a = 1  # int 0..1: x", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell("1 / 0"),
        ],
        metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}},
    )
    nbformat.write(notebook, tmp_path / "book" / "fails.ipynb")
    monkeypatch.setattr(parameters, "BOOK", tmp_path / "book")
    output = tmp_path / "out" / "fails.ipynb"
    output.parent.mkdir()
    output.write_text("earlier")
    with pytest.raises(papermill.PapermillExecutionError):
        chapters.run_chapter("fails", {}, output)
    assert [p.name for p in output.parent.iterdir()] == ["fails.ipynb"]
    assert output.read_text() == "earlier"


def test_a_page_with_an_error_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "BUILD", tmp_path)
    cell = nbformat.v4.new_code_cell("1 / 0", outputs=[])
    cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    for name in parameters.NOTEBOOKS:
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / f"{name}.ipynb")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("earlier")
    with pytest.raises(site.SiteError, match="holds an error"):
        site.build_site(tmp_path, folder)
    assert (folder / "index.html").read_text() == "earlier"


def test_a_missing_chapter_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "BUILD", tmp_path)
    with pytest.raises(site.SiteError, match=r"intro\.ipynb is missing"):
        site.build_site(tmp_path, tmp_path / "site")


def test_out_of_reach_is_said_once_with_what_is_done_instead(tmp_path):
    settings = {
        "RNNATOMY_DATA": "",
        "TFDS_DATA_DIR": str(tmp_path),
        "HTTPS_PROXY": "http://[::1]:9",
    }
    code, text = run("rnnatomy.chapters", "data", str(tmp_path / "data"), **settings)
    assert code == 0, text
    assert text.count("out of reach") == 1
    assert "training chapter trains on the digits embedded" in text
    assert (tmp_path / "data").read_text() == "digits"


def test_the_root_is_the_checkout():
    assert (checkout.root() / "lib" / "rnnatomy" / "runs.py").samefile(runs.__file__)
    assert Path(parameters.BOOK / "intro.ipynb").is_file()
