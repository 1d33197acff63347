"""Figures on a narrow screen: panels below each other, or drawn again."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from report import planting

from rnnatomy.report import narrow, plots


def boxes(page):
    found = [one["viewbox"].split() for one in page.select(".rnnatomy-narrow > svg")]
    return [(float(x), float(width)) for x, _, width, _ in found]


@pytest.mark.parametrize(
    "rows, columns, wanted",
    [(1, 2, 2), (2, 2, 2), (1, 3, 3), (2, 4, 2), (3, 12, 2), (2, 10, 2)],
)
def test_panels_of_a_wide_figure_are_shown_below_each_other(rows, columns, wanted, monkeypatch):
    figure, _ = plt.subplots(rows, columns, figsize=(7.6, 2.6))
    page = planting.shown(figure, monkeypatch)
    found = boxes(page)
    assert len(found) == wanted
    if wanted:  # all of it, and nothing twice
        ends = [x + width for x, width in found]
        assert found[0][0] == 0 and ends[-1] == pytest.approx(7.6 * 72, abs=0.2)
        assert [x for x, _ in found[1:]] == pytest.approx(ends[:-1], abs=0.2)
        (shapes,) = {use["href"] for use in page.select(".rnnatomy-narrow use")}
        assert len(page.select(shapes)) == 1
        assert all(one["aria-hidden"] == "true" for one in page.select(".rnnatomy-narrow svg"))


def test_a_colour_bar_stays_with_its_panel(monkeypatch):
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.6), layout="constrained")
    for ax in axes:
        figure.colorbar(ax.imshow(np.eye(3)), ax=ax)
    assert len(boxes(planting.shown(figure, monkeypatch))) == 2


@pytest.mark.parametrize(("columns", "width"), [(2, 4), (1, 4)])
def test_a_narrow_figure_stays_as_it_is(monkeypatch, columns, width):
    figure, _ = plt.subplots(1, columns, figsize=(width, 2))
    page = planting.shown(figure, monkeypatch)
    assert not boxes(page) and not page.select(".rnnatomy-panels")


def test_a_figure_of_one_panel_is_drawn_again_for_a_narrow_screen(monkeypatch):
    figure, ax = plt.subplots(figsize=(7.6, 3))
    ax.plot(np.arange(1000), label="a line")
    ax.set(xlabel="across", ylabel="up", title="what it is")
    ax.legend()
    page = planting.shown(figure, monkeypatch)
    ((left, width),) = boxes(page)
    assert left == 0 and width == pytest.approx(narrow.COLUMN * 3 / 4, abs=0.2)
    wide, other = page.select(".rnnatomy-figure > svg, .rnnatomy-narrow > svg")
    assert other["aria-hidden"] == "true" and not wide.has_attr("aria-hidden")
    said = {word.get_text() for word in other.select("text")}
    assert {"across", "up", "what it is", "a line", "0"} <= said
    ids = [one["id"] for one in page.select("[id]")]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("kind", ["ticks", "title", "words"])
def test_a_figure_whose_words_would_touch_is_not_drawn_again(monkeypatch, kind):
    figure, ax = plt.subplots(figsize=(7.6, 3))
    if kind == "ticks":
        ax.set_xticks(range(8), [f"network {k}" for k in range(8)])
    elif kind == "title":
        ax.set_title("a title that is as long as a figure of seven inches, and no less than that")
    else:
        for k in range(6):
            ax.text(k / 6, 0.5, "one word more")
    assert not boxes(planting.shown(figure, monkeypatch))


def test_words_that_touch_in_the_wide_figure_may_touch_in_the_narrow_one(monkeypatch):
    figure, ax = plt.subplots(figsize=(7.6, 3))
    ax.text(0.2, 0.5, "one word")
    ax.text(0.21, 0.5, "another")
    assert len(boxes(planting.shown(figure, monkeypatch))) == 1


# --- Numbers that panels share ----------------------------------------------------------------


def rows_of(figure):
    """Draw as ``show`` does; tell for each part which words its scales hold."""
    with plt.rc_context():
        plots.use_style()
        found = narrow.parts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    words = narrow._words(figure)
    plt.close(figure)
    return [[held(words, scale, width, height) for scale in part.scales] for part in found]


def held(words, scale, width, height):
    """Return the words that lie wholly in a scale."""
    boxes = [(w.get_text().replace("\N{MINUS SIGN}", "-"), w.get_window_extent()) for w in words]
    return {
        text
        for text, box in boxes
        if scale.left * width <= box.x0 + 1
        and box.x1 - 1 <= scale.right * width
        and (1 - scale.bottom) * height <= box.y0 + 3
        and box.y1 - 3 <= (1 - scale.top) * height
    }


def test_panels_with_one_axis_each_get_its_numbers():
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.6), sharey=True, layout="constrained")
    for ax in axes:
        ax.set(ylim=(-1, 2), yticks=(-1, 0, 2))
    axes[0].set_ylabel("share")
    plots.panel_letters(axes)
    assert rows_of(figure) == [[], [{"-1", "0", "2", "share"}]]


def test_each_row_of_panels_has_its_own_numbers():
    figure, axes = plt.subplots(2, 2, figsize=(7.6, 4), sharey="row", layout="constrained")
    for k, row in enumerate(axes):
        row[0].set(ylim=(0, k + 3), yticks=(0, k + 3), ylabel=f"row {k}")
    plots.panel_letters(axes.flat)
    assert rows_of(figure) == [[], [{"0", "3", "row 0"}, {"0", "4", "row 1"}]]


def test_rows_of_pictures_keep_their_names():
    figure, axes = plt.subplots(2, 8, figsize=(7.6, 2), layout="constrained")
    for ax in axes.flat:
        plots.picture(ax, np.eye(4))
    plots.row_names(axes[:, 0], ("whole", "cut"))
    assert rows_of(figure) == [[], *(2 * [[{"whole"}, {"cut"}]])]


def test_panels_with_numbers_of_their_own_get_no_others():
    figure, _ = plt.subplots(1, 2, figsize=(7.6, 2.6), layout="constrained")
    assert rows_of(figure) == [[], []]


def test_numbers_stand_at_the_left_of_the_panel_that_they_belong_to(browser, monkeypatch):
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 2.6), sharey=True)
    axes[0].set(ylim=(0, 1), yticks=(0, 1), yticklabels=("low", "high"))
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.set_content(str(planting.shown(figure, monkeypatch)))
    second = page.locator(".rnnatomy-narrow > svg").nth(1)
    (scale, panel) = [
        second.locator("> svg").nth(k).evaluate("e => { const b = e.viewBox.baseVal;"
                                                " return [+e.getAttribute('x'), b.x, b.width] }")
        for k in (1, 0)
    ]  # fmt: skip
    axis = (axes[1].get_window_extent().x0 - narrow.ROOM) * 72 / figure.dpi
    assert scale[0] + scale[2] == pytest.approx(panel[0] + axis - panel[1], abs=0.2)
    page.close()
