"""A report on a network from elsewhere: made whole, or not at all."""

import json
import subprocess
import sys

import numpy as np
import pytest
from bs4 import BeautifulSoup
from report import axe
from report.built import NARROW, WIDE, start_widgets
from safetensors.numpy import load_file, save_file

from rnnatomy import __main__ as command
from rnnatomy.networks.foreign.raw import ForeignError

CLASSES, FEATURE, EACH, FRAMES = 3, 3, 8, 6
NAMES = ["<script>alert(1)</script> one", "**two** $x$ | drei", "três `quatro`"]


@pytest.fixture
def files(tmp_path):
    """A network of PyTorch's names whose first direction carries the first class, and its data."""
    rng = np.random.default_rng(0)
    hidden = FEATURE
    arrays = {
        "rnn.weight_ih_l0": np.eye(hidden, FEATURE),
        "rnn.weight_hh_l0": 0.1 * np.eye(hidden),
        "rnn.bias_ih_l0": np.zeros(hidden),
        "rnn.bias_hh_l0": np.zeros(hidden),
        "head.weight": np.array([[20, 0, 0], [0, 4, 0], [0, 0, 3]]),
        "head.bias": np.array([0, 0.5, 0.5]),
    }
    save_file({k: a.astype(np.float32) for k, a in arrays.items()}, tmp_path / "net.safetensors")
    labels = np.repeat(np.arange(CLASSES), EACH)
    inputs = 0.05 * rng.normal(size=(len(labels), FRAMES, FEATURE))
    inputs[np.arange(len(labels)), -1, labels] += 1
    states = np.zeros((len(labels), hidden))
    for t in range(FRAMES):
        states = np.tanh(inputs[:, t] + 0.1 * states)
    outputs = states @ arrays["head.weight"].T + arrays["head.bias"]
    data = {"inputs": inputs, "labels": labels, "outputs": outputs, "names": np.array(NAMES)}
    np.savez(tmp_path / "data.npz", **data)
    return tmp_path, data


def given(folder, **changes):
    paths = {"network": str(folder / "net.safetensors"), "data": str(folder / "data.npz")}
    return paths | {"before": "", "along": "", "long": 200} | changes


def seen(browser, path):
    """Open a page at both widths, its widgets started; tell what axe finds broken."""
    found = []
    for width, theme in ((NARROW, "dark"), (WIDE, "light")):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        page = context.new_page()
        page.goto(path.as_uri())
        start_widgets(page)
        found += axe.broken(page)
        context.close()
    return found


def test_a_report_tells_what_was_planted_and_names_stay_text(files, capfd, request):
    folder, _ = files
    command.make_report(given(folder), folder / "report")
    facts = json.loads((folder / "report" / "report.json").read_text())
    assert facts["numbers"]["you_right"] == "100.0%"
    assert facts["numbers"]["you_lost"] == "1"  # the class that was planted on one direction
    assert "come out as their owner's" in facts["proof"]
    assert {p.name for p in (folder / "report").glob("*.*")} >= {"index.html", "report.ipynb"}
    page = BeautifulSoup((folder / "report" / "index.html").read_text("utf8"), "html.parser")
    article = page.find("article")
    assert NAMES[0] in article.get_text() or NAMES[1] in article.get_text()
    for script in page.find_all("script"):
        held = script.get("type") == "application/json"  # of a widget, which writes it as text
        assert "alert(1)" not in script.text or (held and "<" not in script.text)
    assert page.find("h1").get_text().startswith("What net.safetensors has learnt")
    outside = [tag for tag in page.find_all(src=True) if tag["src"].startswith(("http", "//"))]
    assert not outside
    size = sum(p.stat().st_size for p in (folder / "report").rglob("*") if p.is_file())
    assert size < 6 * 2**20
    assert {"what it is", "matrix"} <= {table["head"][0] for table in facts["tables"]}
    with np.load(folder / "report" / "arrays.npz") as arrays:
        single, worth = arrays["trained.single"], arrays["trained.worth"]
    assert single[0].min() < 0.1 and worth[0].argmax() == single[0].argmin()
    notebook = (folder / "report" / "report.ipynb").read_text()
    assert "x-npz" not in notebook and "widget-data" not in notebook
    assert "cell" in capfd.readouterr().out
    command.make_report(given(folder), folder / "report")
    assert "9 of them reused" in capfd.readouterr().out
    browser = request.getfixturevalue("browser")  # last, as without one the test ends here, skipped
    assert seen(browser, folder / "report" / "index.html") == []


def test_a_folder_of_checkpoints_is_followed(files):
    folder, _ = files
    (folder / "all").mkdir()
    arrays = load_file(folder / "net.safetensors")
    for step, scale in ((2, 0.5), (10, 1.0)):
        some = arrays | {"head.weight": np.float32(scale) * arrays["head.weight"]}
        save_file(some, folder / "all" / f"step-{step}.safetensors")
    command.make_report(given(folder, network=str(folder / "all")), folder / "report")
    facts = json.loads((folder / "report" / "report.json").read_text())
    assert facts["given"]["network"].endswith("step-10.safetensors")
    (course,) = [t["rows"] for t in facts["tables"] if t["head"][0] == "weights"]
    assert [row[0] for row in course] == ["step-2", "step-10"]
    assert float(course[0][2]) == pytest.approx(float(course[1][2]) / 2, abs=0.01)
    page = (folder / "report" / "index.html").read_text("utf8")
    assert "On its way" in page and "No checkpoints were given" not in page


def test_a_network_that_predicts_frames_is_left_to_its_own_answers(tmp_path):
    """A turn by a quarter: it answers with the frame that follows, and goes round for ever."""
    turn = np.array([[0, -1], [1, 0]])
    arrays = {
        "rnn.weight_ih_l0": 0.1 * turn,
        "rnn.weight_hh_l0": np.zeros((2, 2)),
        "rnn.bias_ih_l0": np.zeros(2),
        "rnn.bias_hh_l0": np.zeros(2),
        "head.weight": 10.2 * np.eye(2),
        "head.bias": np.zeros(2),
    }
    save_file({k: a.astype(np.float32) for k, a in arrays.items()}, tmp_path / "net.safetensors")
    angle = np.linspace(0, 6, 24)[:, None] + np.pi / 2 * np.arange(7)
    inputs = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    outputs = np.tanh(inputs @ (0.1 * turn).T) * 10.2
    np.savez(tmp_path / "data.npz", inputs=inputs, outputs=outputs)
    command.make_report(given(tmp_path), tmp_path / "report")
    facts = json.loads((tmp_path / "report" / "report.json").read_text())
    assert float(facts["numbers"]["you_right"]) > 0.99
    assert float(facts["numbers"]["you_free"]) < 0  # a frame that stays is no guess at all
    (loop,) = [t["rows"] for t in facts["tables"] if t["head"][0] == "network"][1:]
    assert loop[0][:2] == ["the network", "cycle of 4"]
    page = BeautifulSoup((tmp_path / "report" / "index.html").read_text("utf8"), "html.parser")
    words = page.find("article").get_text()
    assert "What it answers, and what is true" in words and "Whom it takes for whom" not in words


def test_what_cannot_be_proved_writes_nothing(files):
    folder, data = files
    np.savez(folder / "data.npz", **data | {"outputs": data["outputs"] + 1})
    with pytest.raises(ForeignError, match="does not give its owner's outputs"):
        command.make_report(given(folder), folder / "report")
    assert not (folder / "report").exists()


def test_a_folder_that_holds_other_things_is_left_alone(files, monkeypatch):
    folder, _ = files
    (folder / "report").mkdir()
    (folder / "report" / "thesis.tex").write_text("years of work")
    monkeypatch.setattr(command.chapters, "run_chapter", None)  # refused before anything runs
    with pytest.raises(command.site.SiteError, match="is there, and is no site"):
        command.make_report(given(folder), folder / "report")
    assert (folder / "report" / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["missing.pt", "data.npz"], "give the path of a file"),
        (["data.npz", "data.npz"], "of no known format"),
        (["net.safetensors", "net.safetensors"], "data"),
        (["net.safetensors", "data.npz", "--frame", "noise"], "frame is 'noise'"),
        (
            ["net.safetensors", "data.npz", "--told", "cell=lstmm"],
            "cell 'lstmm' is not in the file",
        ),
        (["net.safetensors", "data.npz", "--told", "gate=f"], "'gate=f' says nothing of a network"),
        (
            ["net.safetensors", "data.npz", "--told", "readout=body"],
            "readout 'body' is not in the file",
        ),
        (["empty", "data.npz"], "'empty' holds 0 weight files"),
    ],
)
def test_bad_input_ends_in_one_sentence(files, words, sentence):
    folder, _ = files
    (folder / "empty").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "rnnatomy", "report", *words],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("error: "), done.stderr
    assert sentence in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert not (folder / "report").exists()


def test_help_says_how_the_files_are_made():
    done = subprocess.run(
        [sys.executable, "-m", "rnnatomy", "report", "--help"], capture_output=True, text=True
    )
    for word in ("PyTorch", "Keras", "Flax", "np.savez", "--output"):
        assert word in done.stdout
