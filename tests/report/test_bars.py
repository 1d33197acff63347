"""The bar of a verdict."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from IPython.core.formatters import format_display_data

from rnnatomy.analysis import verdicts
from rnnatomy.report import bars

RARELY = verdicts.judge_apart(np.arange(1000) < 20, np.zeros(1000, bool))
ALONE = verdicts.judge_alone(np.ones(5, bool), 'nothing is "held" against it')


def drawn(verdict):
    """The tree of a bar; its tags are closed as XML wants it."""
    page = bars.show(verdict).html.replace("<br>", "<br/>")
    return ElementTree.fromstring(page)


@pytest.mark.parametrize("verdict", [RARELY, ALONE])
def test_a_bar_says_in_words_what_it_shows(verdict):
    (svg,) = drawn(verdict).iter("svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == bars.describe(verdict) == svg.find("title").text


def test_words_tell_counts_intervals_and_the_control():
    assert bars.describe(RARELY) == (
        "Rarely: in 20 of 1,000 networks, 2% (95% interval 1% to 3%); "
        "under the control 0% (95% interval 0% to 0.4%)."
    )
    assert bars.describe(ALONE) == (
        "Mostly: in 5 of 5 networks, 100% (95% interval 57% to 100%); "
        'no control: nothing is "held" against it.'
    )


def test_lengths_are_those_of_fractions():
    verdict = verdicts.judge_apart(np.arange(100) < 40, np.arange(100) < 10)
    (svg,) = drawn(verdict).iter("svg")
    track, fill = svg.findall("rect")
    assert float(fill.get("width")) == pytest.approx(0.4 * float(track.get("width")))
    whisker, interval, mark = (path.get("d") for path in svg.findall("path"))
    low, high = (100 * end for end in verdict.share[1:])
    assert whisker.startswith(f"M{low:.1f} 12H{high:.1f}")
    low, high = (100 * end for end in verdict.control[1:])
    assert interval == f"M{low:.1f} 3H{high:.1f}"
    assert mark.startswith("M10.0 ")


def test_without_a_control_there_is_no_mark():
    (svg,) = drawn(ALONE).iter("svg")
    assert len(svg.findall("path")) == 1


def test_a_bar_stands_within_a_line_and_has_no_colour_of_its_own():
    page = bars.show(RARELY).html
    assert {node.tag for node in drawn(RARELY).iter()} <= {
        "span", "svg", "title", "rect", "path", "strong", "br",
    }  # fmt: skip
    colours = [node.get(name) for node in drawn(RARELY).iter() for name in ("fill", "stroke")]
    assert set(colours) <= {None, "none", "currentColor"}
    assert page.count("var(--rnnatomy-") >= 3
    assert "\n" not in page and "|" not in page and "id=" not in page


def test_a_notebook_gets_the_bar_and_the_word():
    data, _ = format_display_data(bars.show(RARELY))
    assert data == {"text/html": bars.show(RARELY).html, "text/plain": "'rarely'"}
