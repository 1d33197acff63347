import matplotlib.colors as mcolors
import matplotlib.pyplot as plt
import numpy as np
import pytest

from rnnatomy.report import plots


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_axes_carry_their_names_row_by_row():
    figure, axes = plots.named_axes(["a", "b", "c", "d"], 2, (4.0, 2.0), ylim=(0, 3))
    assert list(axes) == ["a", "b", "c", "d"] and list(axes.values()) == figure.axes
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["a", "b", "c", "d"]
    places = [ax.get_subplotspec() for ax in axes.values()]
    assert [(s.rowspan.start, s.colspan.start) for s in places] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert all(ax.get_ylim() == (0, 3) for ax in figure.axes)
    assert axes["a"].get_shared_y_axes().joined(axes["a"], axes["d"])
    assert figure.get_size_inches().tolist() == [4, 2]


def test_axes_without_common_limits_have_their_own():
    _, axes = plots.named_axes(["a", "b"], 1, xlabel="step")
    axes["a"].plot([0, 5])
    assert axes["b"].get_ylim()[1] < 5 and axes["b"].get_xlabel() == "step"


@pytest.mark.parametrize(("at", "side"), [((0.5, 0.9), "center"), ((0.95, 0.1), "right")])
def test_a_name_ends_at_its_place_or_is_centred(at, side):
    _, axes = plots.named_axes(["a"], 1, at=at)
    (text,) = axes["a"].texts
    assert text.xy == at and text.get_ha() == side


def test_names_fill_all_rows():
    with pytest.raises(ValueError, match="3 names do not fill 2 rows"):
        plots.named_axes(["a", "b", "c"], 2)


def test_rows_are_named_on_their_left():
    figure, axes = plt.subplots(2, 3)
    plots.row_names(axes[:, 0], ["first", "second"])
    assert [[t.get_text() for t in ax.texts] for ax in axes[:, 0]] == [["first"], ["second"]]
    figure.canvas.draw()
    for ax in axes[:, 0]:
        assert ax.texts[0].get_window_extent().x1 < ax.get_window_extent().x0
    with pytest.raises(ValueError):
        plots.row_names(axes[:, 0], ["only"])


LOOK = {"rows": range(2), "columns": "abc", "diverging": False}


def drawn(figure):
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes]


def test_panels_of_cells_share_scale_and_rows_and_have_letters():
    panels = [np.arange(6.0).reshape(2, 3), -np.arange(1.0, 7).reshape(2, 3)]
    figure = plots.heat_panels(panels, "direction", "digit", **(LOOK | {"diverging": True}))
    assert np.array_equal(drawn(figure), panels)
    # the largest size of all numbers, of either sign
    assert [ax.images[0].get_clim() for ax in figure.axes] == [(-6, 6)] * 2
    assert [ax.get_xlabel() for ax in figure.axes] == ["direction"] * 2
    assert [ax.get_ylabel() for ax in figure.axes] == ["digit", ""]
    assert [ax.texts[-1].get_text() for ax in figure.axes] == ["a", "b"]
    first, second = figure.axes
    assert first.get_shared_y_axes().joined(first, second)
    assert [label.get_text() for label in second.get_xticklabels()] == ["a", "b", "c"]


def test_panels_take_a_limit_words_of_their_own_and_numbers():
    words = ("removed", "worth most", "matched")
    figure = plots.heat_panels([np.full((2, 3), 0.25)] * 3, words, "digit", 1.0, text=".2f", **LOOK)
    assert [ax.images[0].get_clim() for ax in figure.axes] == [(0, 1)] * 3
    assert [ax.get_xlabel() for ax in figure.axes] == list(words)
    for ax in figure.axes:
        *numbers, letter = [text.get_text() for text in ax.texts]
        assert numbers == ["0.25"] * 6 and letter in "abc"


def test_one_panel_is_a_figure_too():
    figure = plots.heat_panels([np.eye(3)[:2]], "x", "y", **LOOK)
    (ax,) = figure.axes
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.images[0].get_clim()) == ("x", "y", (0, 1))


@pytest.mark.parametrize(
    ("count", "words", "message"),
    [(2, ["x"], "1 labels for 2 panels"), (1, ["x", "y"], "2 labels for 1"), (0, "x", "0 labels")],
)
def test_each_panel_has_its_word(count, words, message):
    with pytest.raises(ValueError, match=rf"^{message}.*: give one for each\.$"):
        plots.heat_panels([np.eye(3)[:2]] * count, words, "y", **LOOK)
    assert not plt.get_fignums()


@pytest.mark.parametrize(("box", "size"), [((2, 1), (1, 1)), ((0, 0), (3, 2)), ((1, 0), (2, 1))])
def test_a_mark_goes_around_its_cells(box, size):
    (ax,) = plots.heat_panels([np.eye(3)[:2]], "x", "y", **LOOK).axes
    limits = ax.get_xlim(), ax.get_ylim()
    assert plots.mark(ax, *box, *size) is ax
    (patch,) = ax.patches
    low, high = patch.get_corners()[0], patch.get_corners()[2]
    np.testing.assert_array_equal(low, np.subtract(box, 0.5))
    np.testing.assert_array_equal(high, np.add(box, size) - 0.5)
    # around the cells, not over their numbers, and whole at the edge
    assert not patch.get_fill() and not patch.get_clip_on()
    assert mcolors.same_color(patch.get_edgecolor(), plots.ACCENT)
    assert (ax.get_xlim(), ax.get_ylim()) == limits


def test_greys_go_from_dark_to_pale():
    greys = [mcolors.to_rgb(colour) for colour in (plots.DARK, plots.GREY, plots.PALE)]
    assert all(len(set(grey)) == 1 for grey in greys)
    shades = [grey[0] for grey in greys]
    assert shades[0] > 0.2 and shades[-1] < 0.8
    assert min(np.diff(shades)) > 0.1
