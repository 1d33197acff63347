import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

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
