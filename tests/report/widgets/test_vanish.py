"""The vanishing digits: what the page carries, what it refuses, and what it shows."""

import re

import numpy as np
import pytest
from report.widgets.pages import MOST_BYTES, carried, pixels, scripts, sticking_out

from rnnatomy.analysis import controls, cutoffs, svd
from rnnatomy.report.widgets import vanish

RNG = np.random.default_rng(0)
CLASSES, HIDDEN, LABEL = 10, 16, 8
W, B = RNG.normal(size=(CLASSES, HIDDEN)), RNG.normal(size=CLASSES)
LABELS = RNG.integers(0, CLASSES, 900)
STATES = W[LABELS] / 4 + RNG.normal(size=(900, HIDDEN))
OWN = STATES[LABELS == LABEL]
OTHERS = controls.random_left_vectors(RNG, CLASSES)[:, :2]
FOUND = vanish.answers((W, B), OWN, LABEL, (3, 1), OTHERS)
NAMES = ("direction 3", "direction 1", "two random directions")
SHOWN = vanish.choose(FOUND, 20)
IMAGES = RNG.random((20, 5, 4))


def page(images=IMAGES, names=NAMES, shown=SHOWN, found=FOUND):
    return vanish.vanish(found, names, shown, images, "fig-beside")


def test_answers_are_those_of_the_cutoffs_of_the_book():
    parts = svd.svd(W)
    some = cutoffs.cutoffs(parts, B, STATES, LABELS)
    pairs = cutoffs.removed(cutoffs.every_cutoff(parts, B, STATES, LABELS)).pairs
    first, second = cutoffs.pair_numbers(CLASSES)
    pair = pairs[(first == 0) & (second == 2)][0]
    expected = [some.full, some.single[2], some.single[0], pair]
    shares = FOUND.kept / FOUND.states.shape[1]
    np.testing.assert_allclose(shares[:4], [recalls[LABEL] for recalls in expected])
    removed = cutoffs.without_directions(OTHERS[None], W, B, STATES, LABELS).pairs[0, 0]
    assert shares[4] == pytest.approx(removed[LABEL])


def test_as_many_of_those_shown_vanish_as_of_all():
    assert len(set(SHOWN)) == 20 and sorted(SHOWN) == SHOWN.tolist()
    shown = (FOUND.states[:, SHOWN] == LABEL).mean(axis=1)
    assert np.abs(shown[0] - FOUND.kept[0] / FOUND.states.shape[1]) < 0.08
    assert len(vanish.choose(FOUND, 10**6)) == FOUND.states.shape[1]


def test_a_page_carries_what_is_read_and_the_images():
    facts, data = carried(page())
    assert facts["answers"] == FOUND.states[:, SHOWN].tolist()
    assert facts["kept"] == FOUND.kept.tolist() and facts["total"] == len(OWN)
    held = np.frombuffer(data, np.uint8).reshape(IMAGES.shape)
    np.testing.assert_allclose(held / 15, IMAGES, atol=1 / 30)
    assert len(page().encode()) + scripts("vanish") < MOST_BYTES


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"names": NAMES[:2]}, "2 names are given: give two directions, and their control"),
        ({"shown": np.array([10**6])}, "the samples shown are not all there: give numbers from 0"),
        ({"shown": np.array([], int)}, "the samples shown are not all there"),
        ({"images": IMAGES[1:]}, r"images have shape \(19, 5, 4\): give \(20, row, column\)"),
        ({"images": 2 * IMAGES}, "images range from .* give fractions"),
        ({"images": IMAGES * np.nan}, "images range from nan"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changes, message, as_users):
    with pytest.raises(ValueError, match=message) as raised:
        page(**changes)
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


# --- In the browser ---------------------------------------------------------------------------


@pytest.fixture
def opened(visit):
    with visit(page()) as found:
        yield found


def told(opened):
    return opened.locator(".vanish-told").inner_text()


def lost(opened):
    return opened.locator(".vanish-tile").evaluate_all(
        "tiles => tiles.map(tile => tile.classList.contains('vanish-lost'))"
    )


def pressed(opened):
    return [
        one.get_attribute("aria-pressed") == "true"
        for one in opened.locator(".vanish button").all()
    ]


def expected(state):
    return (FOUND.states[state, SHOWN] != LABEL).tolist()


def test_two_switches_and_their_control_show_what_is_lost(opened):
    buttons = opened.locator(".vanish button")
    steps = [(None, 0), (0, 1), (1, 3), (0, 2), (2, 4), (2, 0)]
    for button, state in steps:
        if button is not None:
            buttons.nth(button).click()
        assert lost(opened) == expected(state)
        assert f"{FOUND.kept[state]} of {len(OWN)} are read rightly" in told(opened)
    assert pressed(opened) == [False] * 3


def test_the_control_takes_the_place_of_the_two(opened):
    buttons = opened.locator(".vanish button")
    buttons.nth(0).click()
    buttons.nth(2).click()
    assert pressed(opened) == [False, False, True]
    assert told(opened).startswith("Without two random directions,")
    buttons.nth(1).click()
    assert pressed(opened) == [False, True, False]


def test_works_by_keyboard(opened):
    opened.locator(".vanish button").nth(0).focus()
    opened.keyboard.press("Space")
    assert lost(opened) == expected(1)
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert lost(opened) == expected(3)
    opened.keyboard.press("Tab")
    opened.keyboard.press("Tab")  # and out: there is no trap
    assert opened.evaluate("document.activeElement.closest('.vanish')") is None


def test_images_have_the_ink_of_the_theme(opened):
    canvas = opened.locator(".vanish canvas").first
    shown = pixels(canvas)
    np.testing.assert_allclose(shown[..., 3] / 255, IMAGES[0], atol=0.04)
    dark = shown[shown[..., 3] > 200][..., :3].mean()
    opened.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert dark < 120
    assert canvas.get_attribute("aria-hidden") == "true"


def test_without_images_the_digit_stands_there(visit):
    with visit(page(images=None)) as opened:
        assert opened.locator(".vanish canvas").count() == 0
        assert opened.locator(".vanish-numeral").first.inner_text() == "8"


@pytest.mark.parametrize("width", [320, 400, 1400])
def test_fits_a_screen(opened, width):
    assert sticking_out(opened, width) == []
