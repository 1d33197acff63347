"""The chapters as programs: how they run, what they print, and what happens on error."""

import os
import subprocess
import sys

import nbformat
import papermill
import pytest

from rnnatomy.report import chapters, parameters
from rnnatomy.store import checkout

DECLARED = 'count = 3  # int 0..10: of words\nword = "one"  # one of one, two: that is said'


def run(*words, cwd=None, **settings):
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=cwd,
        env=os.environ | settings,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def command(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["chapters", *map(str, words)])
    chapters.main()


# --- Chapters of our own ----------------------------------------------------------------------


def test_a_chapter_runs_with_quick_values_and_given_ones(lay_out, tmp_path, monkeypatch, capsys):
    lay_out(talk={"code": "print(word, count)", "parameters": DECLARED, "quick": {"count": 1}})
    words = ["run", "talk", "--quick", "-p", "word", "two", "--output", tmp_path / "out"]
    command(monkeypatch, *words)
    executed = nbformat.read(tmp_path / "out" / "talk.ipynb", as_version=4)
    assert [cell.source for cell in executed.cells if cell.get("outputs")] == ["print(word, count)"]
    assert executed.cells[-1].outputs[0].text == "two 1\n"
    tagged = {tag: cell for cell in executed.cells for tag in parameters.tags(cell)}
    assert tagged["remove-cell"] is tagged["injected-parameters"]
    told = capsys.readouterr().out.splitlines()
    assert [line.split("s  ")[-1] for line in told[:-1]] == [
        "cell 1/3", "cell 2/3", "cell 3/3", "two 1"
    ]  # fmt: skip
    assert all(line.startswith("[talk] ") for line in told)
    assert told[-1].startswith("[talk] done in ")


def test_the_data_that_were_found_are_passed_to_who_asks(lay_out, tmp_path, monkeypatch, capsys):
    asks = {
        "code": "print(dataset)",
        "parameters": 'dataset = "auto"  # one of auto, digits: shown',
    }
    lay_out(asks=asks, other={"code": "1"})
    (tmp_path / "data").write_text("digits")
    for name in ("asks", "other"):
        options = ["--data", tmp_path / "data", "--output", tmp_path]
        command(monkeypatch, "run", name, *options)
    assert "digits" in capsys.readouterr().out


def test_a_failing_chapter_leaves_the_earlier_output(lay_out, tmp_path):
    lay_out(fails={"code": "1 / 0", "parameters": DECLARED})
    output = tmp_path / "out" / "fails.ipynb"
    output.parent.mkdir()
    output.write_text("earlier")
    with pytest.raises(papermill.PapermillExecutionError):
        chapters.run_chapter("fails", {}, output)
    assert [path.name for path in output.parent.iterdir()] == ["fails.ipynb"]
    assert output.read_text() == "earlier"


def test_the_command_tells_which_cell_failed(lay_out, tmp_path, monkeypatch):
    lay_out(fails={"code": "1\n\n1 / 0"})
    with pytest.raises(SystemExit, match=r"^error: fails, cell 2: ZeroDivisionError: division"):
        command(monkeypatch, "run", "fails", "--output", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["talc"], "chapter 'talc' does not exist"),
        (["talk", "-p", "cuont", "3"], "chapter 'talk' has no parameter 'cuont'"),
        (["talk", "-p", "count", "x" * 20_000], "count is 'xxxxx"),
        (["talk", "-p", "run", "mnist-77"], "chapter 'talk' has no parameter 'run'"),
        (["cuts", "-p", "run", "mnist-77"], "run: run 'mnist-77' is missing"),
    ],
)
def test_the_command_refuses_before_it_runs(lay_out, tmp_path, monkeypatch, words, sentence):
    cuts = {"parameters": 'run = "mnist-0"  # run: that is cut'}
    lay_out(talk={"code": "print(word)", "parameters": DECLARED}, cuts=cuts)
    with pytest.raises(SystemExit) as caught:
        command(monkeypatch, "run", *words, "--output", tmp_path / "out")
    message = str(caught.value.code)  # which ends a program with 1
    assert message.startswith(f"error: {sentence}")
    assert "\n" not in message
    assert len(message) < 300
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["run", "cutoffs"], ["run", "cutoffs", "--quick"], ["depends", "--output", "here"]]
)
def test_without_a_checkout_the_command_says_that_one_is_needed(monkeypatch, words):
    monkeypatch.setattr(checkout, "ROOT", None)
    with pytest.raises(SystemExit, match=r"^error: .*clone the repository"):
        command(monkeypatch, *words)


@pytest.mark.parametrize("module", ["chapters", "site"])
def test_the_commands_explain_themselves(module):
    code, text = run(f"rnnatomy.report.{module}", "--help")
    assert code == 0
    assert text.startswith(f"usage: python -m rnnatomy.report.{module}")


# --- The chapters of the book -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("chapter", "given", "words"),
    [
        ("cutoffs", {"direktion": 3}, ["'direktion'", "did you mean 'direction'", "digit"]),
        ("training", {"dataset": "cifar"}, ["'cifar'", "auto, mnist, digits"]),
        ("readout", {"run": "mnist-77"}, ["run 'mnist-77' is missing", "mnist-0"]),
        ("readout", {"run": "autoencoder-lstm-2"}, ["holds a VAE, not a Classifier"]),
        ("cutoffs", {"run": "autoencoder-lstm-2"}, ["holds a VAE, not a Classifier"]),
        ("gates", {"run": "autoencoder-lstm-2"}, ["holds a VAE, not a Classifier"]),
        ("cutofs", {}, ["'cutofs'", "did you mean 'cutoffs'"]),
    ],
)
def test_the_book_refuses_before_anything_runs(chapter, given, words, tmp_path):
    with pytest.raises(parameters.ParameterError) as caught:
        chapters.run_chapter(chapter, given, tmp_path / "out" / "chapter.ipynb")
    assert all(word in str(caught.value) for word in words), caught.value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("chapter", "given"),
    [
        ("cutoffs", {"rang": 3}),
        ("cutoffs", {"direction": 0}),
        ("readout", {"run": "autoencoder-lstm-2"}),
    ],
)
def test_plain_papermill_stops_at_the_first_cell(chapter, given, tmp_path):
    source = str(parameters.book() / f"{chapter}.ipynb")
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(source, str(tmp_path / "out.ipynb"), given, progress_bar=False)
    assert caught.value.ename == "ParameterError"
    assert caught.value.exec_count <= 4


def test_plain_papermill_runs_a_chapter_from_any_folder(tmp_path):
    source = parameters.book() / "readout.ipynb"
    words = ["papermill", str(source), "out.ipynb", "-p", "run", "mnist-3", "--no-progress-bar"]
    code, text = run(*words, cwd=tmp_path)
    assert code == 0, text[-2000:]
    assert "mnist-3" in (tmp_path / "out.ipynb").read_text()


# --- Data -------------------------------------------------------------------------------------


def test_out_of_reach_is_said_once_with_what_is_done_instead(tmp_path):
    settings = {
        "RNNATOMY_DATA": "",
        "TFDS_DATA_DIR": str(tmp_path),
        "HTTPS_PROXY": "http://[::1]:9",
    }
    code, text = run("rnnatomy.report.chapters", "data", str(tmp_path / "data"), **settings)
    assert code == 0, text
    assert text.count("out of reach") == 1
    assert "training chapter trains on the digits embedded" in text
    assert (tmp_path / "data").read_text() == "digits"
