"""The chapters as programs: how they run, what they print, and what happens on error."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import hostile
import nbformat
import numpy as np
import papermill
import pytest

from rnnatomy.data import datasets, mocap
from rnnatomy.report import chapters, kernels, parameters
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


def refusal(monkeypatch, *words):
    """The one sentence that a command ends with."""
    return hostile.sentence(lambda: command(monkeypatch, *words))


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
    with pytest.raises(chapters.ChapterError, match="cell 2: ZeroDivisionError"):
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
        (["talk", "-p", "count", "~" * 20_000 + "1"], "count is '~~~~~"),
        (["talk", "-p", "count", "(" * 20_000], "count is '(((("),
        (["talk", "-p", "run", "mnist-77"], "chapter 'talk' has no parameter 'run'"),
        (["cuts", "-p", "run", "mnist-77"], "run: run 'mnist-77' is missing"),
    ],
)
def test_the_command_refuses_before_it_runs(lay_out, tmp_path, monkeypatch, words, sentence):
    cuts = {"parameters": 'run = "mnist-0"  # run: that is cut'}
    lay_out(talk={"code": "print(word)", "parameters": DECLARED}, cuts=cuts)
    message = refusal(monkeypatch, "run", *words, "--output", tmp_path / "out")
    assert message.startswith(f"error: {sentence}")
    assert len(message) < 300
    assert not (tmp_path / "out").exists()


HOSTILE = "count = 1\nimport os; os.mkdir('hostile') #"


def test_a_name_that_is_code_is_refused(lay_out, tmp_path, monkeypatch):
    lay_out(talk={"code": "print(word)", "parameters": DECLARED})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(parameters.ParameterError, match="has no parameter"):
        chapters.run_chapter("talk", {HOSTILE: 1}, tmp_path / "out" / "talk.ipynb")
    refusal(monkeypatch, "run", "talk", "-p", HOSTILE, "1")
    assert {path.name for path in tmp_path.iterdir()} == {"checkout"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--output", "{here}/file"], "file is a file, not a folder: give a folder as --output"),
        (["--output", "{here}/file/below"], "below' cannot be read or written (Not a directory)"),
        (["--output", "{here}/taken"], "talk.ipynb is a folder, where a notebook is to go"),
        (["--output", "x" * 300], "(File name too long): correct that"),
        (["--data", "{here}/missing"], "missing' cannot be read (No such file or directory): give"),
        (["--data", "{here}"], "cannot be read (Is a directory): give the file that the"),
        (["--data", "{here}/bytes"], "bytes' cannot be read (it holds no word)"),
        (["--data", "{here}/file"], "file' cannot be read (it holds no word)"),
        (["--words=-p 'word"], '"-p \'word" cannot be split into words (No closing quotation)'),
    ],
)
def test_wrong_folders_and_files_are_refused_before_it_runs(
    lay_out, tmp_path, monkeypatch, words, sentence
):
    lay_out(talk={"code": "open('ran', 'w')", "parameters": DECLARED})
    (tmp_path / "file").write_text("")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "taken" / "talk.ipynb").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    said = refusal(monkeypatch, "run", "talk", *(word.format(here=tmp_path) for word in words))
    assert sentence in said
    assert not list(tmp_path.rglob("ran"))


def test_unreadable_sources_are_named(lay_out, tmp_path, monkeypatch):
    root = lay_out(talk={"code": "1"})
    monkeypatch.chdir(tmp_path)
    (root / "book" / "talk.ipynb").write_text("{")
    assert "talk.ipynb is no notebook of format 4" in refusal(monkeypatch, "run", "talk")
    assert "talk.ipynb is no notebook of format 4" in refusal(monkeypatch, "depends")
    (root / "book" / "talk.ipynb").unlink()
    (root / "book" / "talk.ipynb").mkdir()
    assert "(Is a directory)" in refusal(monkeypatch, "run", "talk")
    for text in ("root: [", "parts: 3", "- a"):
        (root / "_toc.yml").write_text(text)
        assert "_toc.yml is no table of contents" in refusal(monkeypatch, "depends")
    (root / "_toc.yml").unlink()
    assert "_toc.yml' cannot be read" in refusal(monkeypatch, "depends")


def test_words_in_one_text_are_taken_apart_and_nothing_in_them_is_run(
    lay_out, tmp_path, monkeypatch, capsys
):
    lay_out(talk={"code": "print(word, count)", "parameters": DECLARED})
    monkeypatch.chdir(tmp_path)
    words = '-p word two -p count "2" --output "a folder"'
    command(monkeypatch, "run", f"--words={words}", "--", "talk")
    assert "two 2" in capsys.readouterr().out
    assert (tmp_path / "a folder" / "talk.ipynb").is_file()
    for text in ("; touch hostile", "$(touch hostile)", "`touch hostile`", "| touch hostile"):
        with pytest.raises(SystemExit):
            command(monkeypatch, "run", f"--words={text}", "--", "talk")
        assert f"chapter {text!r}" in refusal(monkeypatch, "run", "--words=", "--", text)
    assert not list(tmp_path.rglob("hostile"))


# --- Kernels ----------------------------------------------------------------------------------

COMMAND = """
import sys
from pathlib import Path
from rnnatomy.report import chapters
from rnnatomy.store import checkout

checkout.ROOT = Path(sys.argv.pop(1))
chapters.main()
"""
# a computation that lets no other thread of its process run
BUSY = "import os\n\nprint('pid', os.getpid(), flush=True)\n\n3**200_000_000"


class Started:
    """A chapter that is in the middle of its last cell, in a process of its own."""

    def __init__(self, root, folder, **settings):
        self.temporary, self.output = folder / "t", folder / "out"
        self.temporary.mkdir(exist_ok=True)
        words = [sys.executable, "-c", COMMAND, str(root), "run", "busy", "--output", self.output]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"TMPDIR": str(self.temporary)} | settings, start_new_session=True,
        )  # fmt: skip
        told = iter(self.process.stdout.readline, "")
        self.kernel = next(
            int(found[1]) for line in told if (found := re.search(r"pid (\d+)", line))
        )
        next(told)  # the last cell

    def end(self, number):
        self.process.send_signal(number)
        started = time.monotonic()
        errors = self.process.communicate()[1]
        while alive(self.kernel) and time.monotonic() - started < 10:
            time.sleep(0.02)
        return self.process.returncode, errors, time.monotonic() - started

    def left(self):
        return sorted(p.name for f in (self.temporary, self.output) for p in f.iterdir())


def alive(number):
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


@pytest.fixture
def started(lay_out, tmp_path):
    root = lay_out(busy={"code": BUSY}, short={"code": "1"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "busy.ipynb").write_text("earlier")
    return Started(root, tmp_path)


def test_a_kernel_dies_with_its_command_and_the_next_start_sweeps_what_is_left(
    started, monkeypatch
):
    code, _, seconds = started.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert seconds < 2
    assert not alive(started.kernel)
    assert len(started.left()) > 1
    monkeypatch.setattr("tempfile.tempdir", str(started.temporary))
    command(monkeypatch, "run", "short", "--output", started.output)
    assert started.left() == ["busy.ipynb", "short.ipynb"]
    assert (started.output / "busy.ipynb").read_text() == "earlier"


def test_an_interrupted_chapter_ends_in_one_sentence_and_leaves_nothing(started):
    code, errors, seconds = started.end(signal.SIGINT)
    assert code == 130
    assert errors.strip() == (
        "error: interrupted: the earlier output stands; the same command begins again."
    )
    assert seconds < 8
    assert not alive(started.kernel)
    assert started.left() == ["busy.ipynb"]
    assert (started.output / "busy.ipynb").read_text() == "earlier"


def test_a_kernel_that_dies_is_one_sentence(lay_out, tmp_path, monkeypatch):
    lay_out(dies={"code": "import os\n\nos._exit(3)"})
    said = refusal(monkeypatch, "run", "dies", "--output", tmp_path / "out")
    assert "chapter 'dies': its kernel did not start, or died" in said
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("home", [os.devnull, f"{os.devnull}/home"])
def test_a_chapter_runs_without_a_home(lay_out, tmp_path, home):
    code = "import os\nimport matplotlib.pyplot\nprint('MPLCONFIGDIR' in os.environ)"
    root = lay_out(draws={"code": code})
    (tmp_path / "t").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, root, "run", "draws", "--output", tmp_path / "out"],
        capture_output=True, text=True,
        env=os.environ | {"HOME": home, "TMPDIR": str(tmp_path / "t")},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (cell,) = nbformat.read(tmp_path / "out" / "draws.ipynb", as_version=4).cells
    assert [output.text for output in cell.outputs] == ["True\n"]
    assert list((tmp_path / "t").iterdir()) == []


def test_a_kernel_leaves_the_settings_of_its_command_as_they_were(tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", "mine")
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    with pytest.raises(ZeroDivisionError), kernels.settings(tmp_path):
        assert Path(os.environ["IPYTHONDIR"]).parent == tmp_path
        assert Path(os.environ["MPLCONFIGDIR"]).parent == tmp_path
        raise ZeroDivisionError
    assert os.environ["IPYTHONDIR"] == "mine" and "MPLCONFIGDIR" not in os.environ


def test_sockets_go_where_their_names_are_short_enough():
    short, long = Path("/tmp/a"), Path("/tmp") / ("a" * 120)
    assert kernels.config(short)["KernelManager"]["transport"] == "ipc"
    assert "transport" not in kernels.config(long)["KernelManager"]


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
        "XDG_CACHE_HOME": str(tmp_path),
        "HTTPS_PROXY": "http://[::1]:9",
    }
    code, text = run("rnnatomy.report.chapters", "data", str(tmp_path / "data"), **settings)
    assert code == 0, text
    assert text.count("out of reach") == 1
    assert "training chapter trains on the digits embedded" in text
    assert (tmp_path / "data").read_text() == "digits"
    code, text = run("rnnatomy.report.chapters", "motion", str(tmp_path / "motion"), **settings)
    assert code == 0, text
    assert text.count("out of reach") == 1
    assert "the chapter on people shows what is published" in text
    assert (tmp_path / "motion").read_text() == "published"


def test_which_data_there_are_is_noted_by_their_content(monkeypatch, tmp_path, capsys):
    path, images = tmp_path / "build" / "data", datasets.digits()
    monkeypatch.setattr(datasets, "mnist", lambda: images)
    command(monkeypatch, "data", path)
    assert path.read_text() == f"mnist {images.checksum}"
    os.utime(path, (0, 0))
    command(monkeypatch, "data", path)
    assert path.stat().st_mtime == 0
    monkeypatch.setattr(datasets, "mnist", lambda: images._replace(checksum="another"))
    command(monkeypatch, "data", path)
    assert path.read_text() == "mnist another"


def test_motion_capture_is_noted_by_its_content(monkeypatch, tmp_path, capsys):
    path, noted = tmp_path / "motion", []
    for name, place in ("a", 0.0), ("a", 1.0), ("b", 1.0), ("b", 1.0):
        frames = np.full((2, 117), place)
        one = mocap.Sequence(name, "walking", frames, mocap.RATE)
        monkeypatch.setattr(mocap, "sequences", lambda actions, one=one: [one])
        command(monkeypatch, "motion", path)
        noted.append(path.read_text())
    assert len(set(noted)) == 3 and noted[2] == noted[3]
    assert "CMU motion capture, 1 sequences" in capsys.readouterr().out


def test_damaged_data_are_one_sentence(monkeypatch, tmp_path):
    (tmp_path / "mnist").write_text("a file")
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path))
    assert "mnist is a file, not a folder" in refusal(monkeypatch, "data", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_the_data_are_noted_where_nothing_can_be_written_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "mnist", datasets.digits)
    assert "cannot be" in refusal(monkeypatch, "data", tmp_path)
    (tmp_path / "file").write_text("")
    assert "cannot be" in refusal(monkeypatch, "data", tmp_path / "file" / "data")
