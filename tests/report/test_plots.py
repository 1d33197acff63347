import io
import re
from base64 import b64decode, b64encode

import matplotlib.colors as mcolors
import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from report import planting

from rnnatomy.report import plots


@pytest.fixture
def figure():
    with plt.rc_context():
        plots.use_style()
        figure, ax = plt.subplots()
        plots.seeds(ax, [1, 2, 3], np.arange(6.0).reshape(2, 3))
        ax.set_xlabel("step")
        yield figure
        plt.close(figure)


def page(figure, capsys, monkeypatch, alt="a line that rises"):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    plots.show(figure, alt)
    return shown[0]["text/html"]


def test_ink_follows_the_page(figure, capsys, monkeypatch):
    html = page(figure, capsys, monkeypatch)
    assert "currentColor" in html
    assert "#010203" not in html
    assert "#040506" not in html
    assert "#000000" not in html


def test_text_stays_text(figure, capsys, monkeypatch):
    assert re.search(r"<text[^>]*>step</text>", page(figure, capsys, monkeypatch))


def test_description_is_escaped(figure, capsys, monkeypatch):
    html = page(figure, capsys, monkeypatch, alt='5 < 6 & "so on"')
    assert 'role="img" aria-label="5 &lt; 6 &amp; &quot;so on&quot;"' in html


def test_a_figure_without_description_is_refused(figure):
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(figure, "  ")


def test_the_same_figure_gives_the_same_bytes(capsys, monkeypatch):
    def draw():
        plots.use_style()
        figure, ax = plt.subplots()
        ax.plot([0, 1], [1, 0])
        return page(figure, capsys, monkeypatch)

    with plt.rc_context():
        assert draw() == draw()


def test_identifiers_of_two_figures_do_not_clash():
    def names(shape):
        inner = f'<clipPath id="a">{shape}</clipPath><g clip-path="url(#a)"/>'
        html = plots.inline(f'<svg viewBox="0 0 1 1">{inner}</svg>', "words", 100.0)
        (name,) = re.findall(r' id="([^"]+)"', html)
        assert f"url(#{name})" in html
        return name

    assert names("<rect/>") != names("<circle/>")


def test_heat_writes_numbers_that_can_be_read(figure):
    ax = figure.axes[0]
    plots.heat(ax, np.array([[0.0, 1.0]]), 1.0, diverging=False, rows="a", columns="bc", text=".1f")
    dark, bright = ax.texts
    assert (dark.get_text(), dark.get_color()) == ("0.0", "white")
    assert (bright.get_text(), bright.get_color()) == ("1.0", "black")


def test_diverging_colours_are_centred_at_zero(figure):
    ax = figure.axes[0]
    plots.heat(ax, np.array([[0.5]]), 2.0, diverging=True, rows="a", columns="b")
    assert ax.images[0].get_clim() == (-2.0, 2.0)


def test_ten_colours_and_markers_differ():
    assert len(set(plots.DIGIT_COLOURS)) == len(set(plots.DIGIT_MARKERS)) == 10


def test_a_style_of_a_digit_is_its_colour_and_marker(figure):
    (line,) = figure.axes[0].plot([0], [0], **plots.digit_style(3))
    assert (line.get_color(), line.get_marker()) == (plots.DIGIT_COLOURS[3], "v")


@pytest.mark.parametrize("digit", [-1, 10])
def test_a_style_of_what_is_no_digit_is_refused(digit):
    with pytest.raises(ValueError, match=f"digit is {digit}: give a whole number from 0 to 9"):
        plots.digit_style(digit)


def test_greys_are_grey_and_can_be_told_apart():
    grey, pale = (mcolors.to_rgb(colour) for colour in (plots.GREY, plots.PALE))
    assert len(set(grey)) == len(set(pale)) == 1
    assert pale[0] - grey[0] > 0.15


def test_axes_in_three_dimensions_are_named_and_see_through(figure):
    ax = plots.axes3d(plt.figure())
    assert [ax.get_xlabel(), ax.get_ylabel(), ax.get_zlabel()] == ["mode 1", "mode 2", "mode 3"]
    panes = [axis.pane.get_facecolor()[3] for axis in (ax.xaxis, ax.yaxis, ax.zaxis)]
    assert panes == [0, 0, 0]
    plt.close(ax.figure)


@pytest.mark.parametrize("gap", [0.0, 0.1])
def test_a_legend_beside_covers_nothing_of_the_axes(figure, gap):
    ax = figure.axes[0]
    ax.lines[0].set_label("a seed")
    plots.legend_beside(ax, gap, title="seeds")
    figure.canvas.draw()
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "seeds"
    width = ax.get_window_extent().width
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1 + gap * width - 1


def test_ticks_stand_at_the_given_places_only(figure):
    ax = figure.axes[0]
    ax.set(xscale="log", xlim=(0.001, 100))
    plots.ticks(ax.xaxis, np.array([0.01, 1, 20]))
    assert ax.xaxis.get_majorticklocs().tolist() == [0.01, 1, 20]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.01", "1", "20"]
    assert len(ax.xaxis.get_minorticklocs()) == 0


def test_pictures_fill_the_axes_in_turn_and_leave_the_rest_empty():
    figure, axes = plt.subplots(2, 2)
    images = np.arange(12.0).reshape(3, 2, 2) / plots.GREYS
    plots.pictures(axes.flat, images, ["first", "second"])
    drawn = [np.asarray(ax.images[0].get_array()) for ax in axes.flat[:3]]
    assert np.array_equal(drawn, images)
    assert [ax.texts[0].get_text() for ax in axes.flat[:3]] == ["first", "second", ""]
    assert len(axes.flat[3].images) == 0
    assert not any(ax.axison for ax in axes.flat)
    plt.close(figure)


def test_more_images_than_axes_are_refused(figure):
    with pytest.raises(ValueError, match="2 images on 1 axes"):
        plots.pictures(figure.axes, np.zeros((2, 3, 3)))


@pytest.mark.parametrize("name", ["lstm.svg", "readout.svg", "seq2seq.svg"])
def test_a_drawing_of_the_book_is_shown_by_name(name, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    plots.show_drawing(name, "what it shows")
    (page,) = shown
    assert 'aria-label="what it shows"' in page["text/html"]
    assert "currentColor" in page["text/html"]
    assert page["text/plain"] == "what it shows"


def test_a_drawing_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"drawing 'ltsm.svg' .* choose from .*lstm\.svg"):
        plots.show_drawing("ltsm.svg", "words")


def test_proportions_have_a_point_and_an_interval_for_each_class():
    figure, ax = plt.subplots()
    holds = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]], bool)
    control = np.full((4, 3), 0.25)
    plots.proportions(ax, {"ours": holds, "chance": control}, ("black", "grey"))
    ours, chance = ax.containers
    np.testing.assert_allclose(ours.lines[0].get_ydata(), [100, 25, 25])
    np.testing.assert_allclose(chance.lines[0].get_ydata(), [25, 25, 25])
    (low, _), *_ = (bar.get_segments()[0][:, 1] for bar in ours.lines[2])
    assert low == pytest.approx(100 * 4 / (4 + 1.96**2), abs=0.1)
    assert (ours.lines[0].get_xdata() < np.arange(3)).all()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", "chance"]
    plt.close(figure)


# --- Weight -----------------------------------------------------------------------------------


def test_places_are_rounded_and_what_scales_a_drawing_is_not():
    svg = (
        '<path d="M 1.23456 2.000001 \nL -0.0012 3e-05 z " transform="scale(0.015625 0.1)"/>'
        '<text x="10.456789" transform="rotate(-0 1.234567 2)">0.123456</text>'
    )
    assert plots.compact(svg) == (
        '<path d="M1.23 2L0 3e-05z" transform="scale(0.015625 0.1)"/>'
        '<text x="10.46">0.123456</text>'
    )


def picture_of(colours):
    grid = np.resize(np.array(colours, np.uint8), (40, 50, 4))
    page = io.BytesIO()
    Image.fromarray(grid).save(page, "PNG")
    return grid, b64encode(page.getvalue()).decode()


@pytest.mark.parametrize("count", [2, 300])
def test_a_picture_gets_lighter_and_keeps_every_colour(count):
    colours = [[k % 256, k // 256, 7, 255 - 3 * (k % 2)] for k in range(count)]
    grid, png = picture_of(colours)
    svg = plots.compact(f'<image xlink:href="data:image/png;base64,{png}"/>')
    shown = re.search(r'base64,([^"]+)"', svg)[1]
    found = np.asarray(Image.open(io.BytesIO(b64decode(shown))).convert("RGBA"))
    np.testing.assert_array_equal(found, grid)
    assert len(shown) <= len(png) and (shown == png) == (count > 256)


def test_a_heat_map_carries_one_pixel_for_each_cell_and_cells_have_edges(monkeypatch):
    monkeypatch.setitem(plt.rcParams, "image.interpolation", plots._STYLE["image.interpolation"])
    figure, ax = plt.subplots(figsize=(4, 3))
    plots.heat(ax, np.eye(3)[:2], 1.0, diverging=False, rows="ab", columns="cde")
    (image,) = planting.shown(figure, monkeypatch).select("image")
    png = b64decode(image["xlink:href"].partition(",")[2])
    assert Image.open(io.BytesIO(png)).size == (3, 2)
    assert "image-rendering:pixelated" in image["style"]


def luminance(colour):
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("ground", [(1, 1, 1), (0.08, 0.09, 0.11)])  # of the page, light and dark
def test_shades_stand_off_from_the_page_and_come_in_an_order(ground):
    found = plots.shades(9)
    assert found.shape == (9, 4)
    light = luminance(found[:, :3])
    assert (np.diff(light) > 0).all()
    high, low = (f(light, luminance(np.array(ground))) + 0.05 for f in (np.maximum, np.minimum))
    assert (high / low > 1.8).all()


def test_places_too_near_are_pushed_apart_and_others_stay():
    places = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2], [5.0, 5.0]])
    found = plots.spread(places, 1.0)
    gaps = np.linalg.norm(found[:, None] - found, axis=-1)[np.triu_indices(4, 1)]
    assert gaps.min() >= 0.99 and found[3].tolist() == [5.0, 5.0]
    np.testing.assert_allclose(found[:3].mean(axis=0), places[:3].mean(axis=0), atol=1e-9)
    assert (plots.spread(found, 1.0) == found).all()
