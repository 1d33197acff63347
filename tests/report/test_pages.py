"""What a chapter says of itself."""

import io
import json
import time

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

from rnnatomy.analysis import verdicts
from rnnatomy.report import bars, pages, parameters, plots
from rnnatomy.store import checkout


@pytest.fixture
def chapter(lay_out):
    lay_out(intro={}, cuts={"parameters": "rank = 3  # int 0..10: kept\nseed = 0  # int 0..9: of"})
    return "cuts"


@pytest.fixture
def shown(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw, metadata=None: shown.append(data)
    )
    return shown


def executed(*cells):
    """A notebook of which each cell has a tag, an output and its metadata."""
    made = []
    for tag, data, metadata in cells:
        cell = nbformat.v4.new_code_cell(metadata={"tags": [tag] if tag else []})
        cell.outputs = [nbformat.v4.new_output("display_data", data=data, metadata=metadata)]
        made.append(cell)
    return nbformat.v4.new_notebook(cells=made)


def test_cells_of_what_does_not_hold_are_left_out(monkeypatch):
    told = []
    monkeypatch.setattr(
        "IPython.display.display", lambda data, raw, metadata: told.append((data, metadata))
    )
    pages.holds(few=np.bool_(False), many=True)
    ((data, metadata),) = told
    assert data == {"text/plain": "holds: many"}
    rest = [(f"if-{name}", {"text/plain": name}, {}) for name in ("few", "many", "other")]
    notebook = executed((None, data, json.loads(json.dumps(metadata))), *rest)
    left = pages.left_out(notebook)
    words = [cell.outputs[0].data["text/plain"] for cell in left.cells]
    assert words == ["holds: many", "many", "other"] and len(notebook.cells) == 4
    assert len(pages.left_out(executed(*rest)).cells) == 3  # nothing is said: all stay


def test_arrays_travel_in_a_notebook_and_are_taken_out_of_it(shown):
    given = {"trained.worth": np.arange(6.0).reshape(2, 3), "one": np.float64(2)}
    pages.carry(given)
    notebook = executed((None, dict(shown[0]), {}))
    with np.load(io.BytesIO(pages.carried(notebook))) as found:
        assert {name: found[name].tolist() for name in found} == {
            "trained.worth": [[0, 1, 2], [3, 4, 5]], "one": 2,
        }  # fmt: skip
    assert pages.carried(notebook) is None
    assert notebook.cells[0].outputs[0].data == {"text/plain": "2 arrays"}


def test_a_chapter_starts_with_its_style_and_its_clock(chapter):
    with plt.rc_context():
        before = time.time()
        started = pages.start(chapter, {"rank": 4, "seed": 0})
        assert before <= started <= time.time()
        assert plt.rcParams["legend.fontsize"] == plots._STYLE["legend.fontsize"]
        assert plt.rcParams["svg.hashsalt"] == "rnnatomy"


def test_a_chapter_does_not_start_with_a_wrong_parameter(chapter):
    with plt.rc_context(), pytest.raises(parameters.ParameterError, match="rank is 11"):
        pages.start(chapter, {"rank": 11, "seed": 0})


@pytest.fixture
def glued(monkeypatch):
    """What was glued, and no display of it."""
    glued = {}

    def glue(name, value, display):
        assert display is False
        glued[name] = value

    monkeypatch.setattr("myst_nb.glue", glue)
    return glued


def test_glued_strings_are_handed_on_by_name(glued):
    pages.glue(one="1", two="of 2")
    assert glued == {"one": "1", "two": "of 2"}


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (".2f", 0.125, "0.12"),
        (".0f", np.float32(66.6), "67"),
        (".0f", np.int64(5), "5"),
        ("+.3f", np.float64(-0.0125), "-0.013"),
        (".1g", 3e-8, "3e-08"),
        (",", 50_000, "50,000"),
        (",", np.int64(1024), "1,024"),
        ("", np.int64(7), "7"),
        ("", 10, "10"),
        (".2f", "0.59 (0.56 to 0.62)", "0.59 (0.56 to 0.62)"),
        ("", "none", "none"),
    ],
)
def test_glued_numbers_are_written_in_the_form_and_text_stays(glued, form, value, text):
    pages.glue(form, value=value, form=value)
    assert glued == {"value": text, "form": text}
    assert all(type(word) is str for word in glued.values())


def test_a_verdict_is_glued_as_a_bar(glued):
    judged = verdicts.judge_apart(np.ones(80, bool), np.zeros(80, bool))
    pages.glue(claim=judged)
    assert glued == {"claim": bars.show(judged)}
    assert glued["claim"].word == "always"


def test_a_form_that_numbers_do_not_have_is_refused(glued):
    with pytest.raises(ValueError, match="format"):
        pages.glue("two digits", one=1.0)
    assert not glued


def test_the_box_tells_parameters_data_and_how_to_do_it_again(chapter, shown):
    scope = {"rank": 4, "seed": 0, "other": 1}
    pages.made_by(chapter, scope, time.time() - 12, "digits < all & more")
    (page,) = shown
    lines = dict(line.split(": ", 1) for line in page["text/plain"].splitlines())
    assert lines["Parameters"] == "rank = 4, seed = 0"
    assert lines["Data"] == "digits < all & more"
    assert lines["Duration"] == "12 s"
    assert lines["Again"] == "make chapter NAME=cuts"
    assert "<dd>digits &lt; all &amp; more</dd>" in page["text/html"]
    assert page["text/html"].count("<dt>") == len(lines)


def test_the_box_of_a_chapter_without_parameters_says_none(chapter, shown):
    pages.made_by("intro", {}, time.time(), "no data")
    assert shown[0]["text/plain"].startswith("Parameters: none\n")


def test_durations_are_those_of_the_chapters_that_ran_in_reading_order(lay_out, tmp_path):
    lay_out(intro={}, second={}, first={})
    for name, seconds in {"first": 2.5, "intro": 1.0, "stranger": 9.0}.items():
        text = json.dumps({"metadata": {"papermill": {"duration": seconds}}})
        (tmp_path / f"{name}.ipynb").write_text(text)
    assert list(pages.durations(tmp_path).items()) == [("intro", 1.0), ("first", 2.5)]


def test_without_a_checkout_a_chapter_says_that_one_is_needed(monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", None)
    with pytest.raises(checkout.CheckoutError, match="clone the repository"):
        pages.start("cutoffs", {})
