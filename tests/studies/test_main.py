import sys
from pathlib import Path

import pytest

from rnnatomy import studies
from rnnatomy.data import datasets, files
from rnnatomy.store import checkout, results
from rnnatomy.studies import __main__, engine, hundred

HERE = Path(__file__).parent

ASKED: set[str] = set()
"""Studies whose code stands, and whose hours of computing are still to come."""


@pytest.fixture
def command(monkeypatch):
    """Run the command as a user does."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["studies", *words])
        __main__.main()

    return run


def test_the_studies_are_those_that_are_published_and_each_has_its_test():
    known = list(__main__.registered())
    assert set(known) - ASKED == {"mnist", "eights", *results.published()}
    assert set(known) >= ASKED
    assert known[:4] == ["mnist", "thousand", "hundred", "collapse"]  # whose networks others read
    assert known.index("autoencoder") < known.index("strokes")
    for name in known:
        assert (HERE / f"test_{name}.py").is_file() or (HERE / name).is_dir(), name


def test_a_new_study_is_its_file(tmp_path, monkeypatch, command, capsys):
    code = "def publish(networks=3):\n    print(f'{networks} networks')\n"
    (tmp_path / "brand_new.py").write_text(code)
    (tmp_path / "no_study.py").write_text("def help_publishing(): ...\n")
    monkeypatch.setattr(studies, "__path__", [*studies.__path__, str(tmp_path)])
    for name in ("brand_new", "no_study"):
        monkeypatch.delitem(sys.modules, f"rnnatomy.studies.{name}", raising=False)
    command("list")
    listed = capsys.readouterr().out.split()
    assert "brand_new" in listed and "no_study" not in listed and "__main__" not in listed
    assert listed == list(__main__.registered())
    command("brand_new")
    command("brand_new", "--networks", "2")
    assert capsys.readouterr().out == "3 networks\n2 networks\n"


def test_an_unknown_study_is_answered_with_the_known_ones(command, capsys):
    with pytest.raises(SystemExit):
        command("hundreds")
    told = capsys.readouterr().err
    assert "invalid choice: 'hundreds'" in told and "hundred" in told and "strokes" in told


def test_an_error_in_the_data_ends_the_command_with_one_line(monkeypatch, command):
    def damaged():
        raise files.DataError("a.gz is damaged")

    monkeypatch.setattr(datasets, "mnist", damaged)
    with pytest.raises(SystemExit, match=r"^error: a\.gz is damaged$"):
        command("mnist")


def test_without_the_book_the_command_says_so_in_one_line(monkeypatch, command):
    monkeypatch.setattr(checkout, "ROOT", None)
    with pytest.raises(SystemExit, match=r"^error: rnnatomy is installed without its book: clone"):
        command("mnist")


@pytest.mark.parametrize("words", [[], ["--networks", "7"]])
def test_the_command_runs_the_study(monkeypatch, command, words):
    called = []
    monkeypatch.setattr(hundred, "publish", lambda **given: called.append(given))
    command("hundred", *words)
    assert called == [{"networks": 7} if words else {}]


@pytest.mark.parametrize("error", [engine.EngineError("no workers"), OSError(28, "No space left")])
def test_a_study_without_workers_or_disk_ends_with_one_line(monkeypatch, command, error):
    def fail():
        raise error

    monkeypatch.setattr(hundred, "publish", fail)
    with pytest.raises(SystemExit, match=r"^error: .*(no workers|\(No space left\))"):
        command("hundred")


@pytest.mark.parametrize("networks", ["0", "1", "-3"])
def test_fewer_than_two_networks_are_refused(networks, command):
    with pytest.raises(SystemExit, match=f"^error: --networks is {networks}: give a whole number"):
        command("hundred", "--networks", networks)
