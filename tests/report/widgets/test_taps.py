"""The taps: what the page carries, and each number that it shows, against the library's."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from playwright.sync_api import expect
from scipy.special import expit, softmax

from rnnatomy.analysis import gates
from rnnatomy.networks import access, models, runs
from rnnatomy.report.widgets import reader, taps, widget
from rnnatomy.store import results

from . import pages

ROWS, COLUMNS, HIDDEN, SAMPLES = 9, 7, 24, 5
GATES = {"f": "Forget gate", "i": "Input gate", "g": "Cell gate", "o": "Output gate"}
PARTS = GATES | {"c": "Memory", "h": "Hidden state"}
KEPT = 3  # times as much may a memory on the page differ as a gate: it adds up what gates let in
SHOWN = (
    0.0051  # by which a number with two digits after the point may differ from what it stands for
)


def lively():
    """A random classifier whose gates open and close, and its arrays."""
    rng = np.random.default_rng(4)
    model = models.Classifier(COLUMNS, HIDDEN, 10, rngs=nnx.Rngs(0))
    arrays = access.flatten(model)
    for name, array in arrays.items():
        arrays[name] = (array + rng.normal(size=array.shape) / 2).astype(np.float32)
    access.unflatten(arrays, model)
    return model, arrays


MODEL, ARRAYS = lively()
IMAGES = np.rint(255 * np.random.default_rng(5).random((SAMPLES, ROWS, COLUMNS))) / np.float32(255)
LABELS = np.array([3, 1, 4, 1, 5])
VALUES = {"works": None, "shut": 0.0, "open": 1.0, "zero": 0.0}


def follow(arrays, image, ways=None):
    """Run the network in NumPy, in double precision: all parts after each row, and the answers."""
    x, weights = image.astype(float), [arrays[name].astype(float) for name in reader.READER]
    kernel, recurrent, bias, readout, offset = weights
    held = {gate: VALUES[way] for gate, way in (ways or {}).items() if way != "works"}
    h, c = np.zeros((2, len(recurrent)))
    found, answers = {name: [np.full_like(c, np.nan)] for name in "ifgo"}, [softmax(offset)]
    found |= {"c": [c], "h": [h]}
    for row in x:
        sums = zip("ifgo", np.split(row @ kernel + h @ recurrent + bias, 4), strict=True)
        now = {name: np.tanh(a) if name == "g" else expit(a) for name, a in sums}
        now |= {name: np.full_like(c, value) for name, value in held.items()}
        c = now["f"] * c + now["i"] * now["g"]
        h = now["o"] * np.tanh(c)
        for name, values in (now | {"c": c, "h": h}).items():
            found[name].append(values)
        answers.append(softmax(h @ readout + offset))
    return {name: np.array(values) for name, values in found.items()}, np.array(answers)


# --- What a page carries ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def html():
    return taps.taps(ARRAYS, IMAGES, LABELS, figure="fig-beside")


def test_a_page_carries_the_images_as_they_are_and_the_classifier_in_steps(html):
    facts, data = pages.carried(html)
    assert facts["labels"] == LABELS.tolist()
    assert facts["images"] == {"shape": [ROWS, COLUMNS], "white": 255}
    greys = np.frombuffer(data[: IMAGES.size], np.uint8).reshape(IMAGES.shape)
    np.testing.assert_allclose(greys / 255, IMAGES, atol=1e-6)
    levels = pages.unfolded(data[IMAGES.size :])
    parts = np.split(levels, np.cumsum(facts["reader"]["sizes"])[:-1])
    for name, part, step in zip(reader.READER, parts, facts["reader"]["steps"], strict=True):
        assert np.abs(part * step - ARRAYS[name].ravel()).max() <= 0.5001 * step
        assert 0 < step < np.abs(ARRAYS[name]).max() / 8000


def test_the_same_network_gives_the_same_page_and_no_name_ends_it(html):
    assert html == taps.taps(ARRAYS, IMAGES, LABELS, figure="fig-beside")
    assert "<b>" not in taps.taps(ARRAYS, IMAGES, LABELS, figure='"><b>')


def test_a_large_page_is_small_enough():
    rng = np.random.default_rng(0)
    shapes = ((28, 512), (128, 512), (512,), (128, 10), (10,))
    noise = {n: rng.normal(size=s) for n, s in zip(reader.READER, shapes, strict=True)}
    images = rng.random((taps.MOST_IMAGES, 28, 28))
    large = taps.taps(noise, images, np.zeros(taps.MOST_IMAGES, int), figure="fig")
    assert len(large.encode()) < 280_000 < widget.MOST_BYTES
    assert len(large.encode()) + pages.scripts("taps") < pages.MOST_BYTES


def test_shows_the_page_and_says_in_words_what_it_is(html, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    taps.show(ARRAYS, IMAGES, LABELS, figure="fig-beside")
    assert shown[0]["text/html"] == html
    assert "A digit that is read row by row" in shown[0]["text/plain"]


BAD = {
    "no image": ({"images": IMAGES[:0], "labels": LABELS[:0]}, r"images have shape \(0, 9, 7\)"),
    "flat images": ({"images": IMAGES[:, 0]}, r"images have shape \(5, 7\): give \(5, row, column"),
    "bright": ({"images": 255 * IMAGES}, r"images range from \S+ to 25\d\S* give fractions"),
    "NaN in images": ({"images": IMAGES * np.nan}, "images range from nan to nan: give fractions"),
    "many images": (
        {"images": np.zeros((41, 9, 7)), "labels": np.zeros(41, int)},
        "41 images are given: give at most 40",
    ),
    "fewer labels": ({"labels": LABELS[1:]}, r"labels have shape \(4,\): give one for each image"),
    "an array missing": (
        {"classifier": {k: v for k, v in ARRAYS.items() if k != "readout.bias"}},
        "the classifier lacks readout.bias: give the arrays of an LSTM Classifier",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case, as_users):
    changed, message = BAD[case]
    given = {"classifier": ARRAYS, "images": IMAGES, "labels": LABELS} | changed
    with pytest.raises(ValueError, match=message) as raised:
        taps.taps(**given, figure="fig")
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


# --- In the browser ---------------------------------------------------------------------------


@pytest.fixture
def page(visit, html):
    with visit(html) as opened:
        yield opened


@pytest.fixture(scope="module")
def one(visit, html):
    """A page that stays open."""
    with visit(html) as opened:
        yield opened


def slide(page, row):
    page.get_by_role("slider", name="Row").fill(str(row))


def hold(page, gate, way):
    page.get_by_role("radiogroup", name=GATES[gate]).get_by_label(way).check()


def choose(page, unit):
    page.get_by_role("spinbutton", name="Unit").fill(str(unit + 1))


def row_of(page):
    return int(page.locator(".taps-row").text_content().split()[0])


def numbers(text):
    return [float(word) for word in re.findall(r"-?\d+\.\d+", text.replace("−", "-"))]


def shares_of(page):
    """Probabilities as the bars have them, not rounded."""
    bars = page.locator(".taps-bars i")
    return bars.evaluate_all("all => all.map(e => parseFloat(e.style.height) / 3)")


def shades(page, key, unit, hidden=HIDDEN):
    """The colour of a unit's cell: red, green, blue."""
    image = pages.pixels(page.locator(f".taps-of-{key} .taps-field"))
    size = image.shape[1] / 16, image.shape[0] / -(-hidden // 16)
    x, y = (int((at + 0.5) * s) for at, s in zip((unit % 16, unit // 16), size, strict=True))
    return image[y, x, :3]


def mixed(value, key):
    """The colour that stands for a number from -1 to 1, in the light theme."""
    colour = np.array((178, 58, 43) if value > 0 and key in "gch" else (11, 110, 153))
    return 255 + abs(value) * (colour - 255)


def check(page, row, unit, wanted, answers, hidden=HIDDEN, *, held=False):
    """Compare all that stands on the page after a row with what is wanted."""
    close = taps.HELD_TOLERANCE if held else taps.TOLERANCE
    most = taps.HELD_TOLERANCE if held else taps.GATE_TOLERANCE
    np.testing.assert_allclose(shares_of(page), answers[row], atol=close)
    label = page.locator(".taps-bars").get_attribute("aria-label")
    np.testing.assert_allclose(numbers(label), answers[row], atol=close + SHOWN)
    said = int(page.locator(".taps-best").text_content())
    assert answers[row][said] >= answers[row].max() - 2 * close
    for key, name in PARTS.items():
        values, limit = wanted[key][row], most * (KEPT if key in "ch" else 1)
        field = page.locator(f".taps-of-{key} .taps-field")
        told, mean = field.get_attribute("aria-label"), page.locator(f".taps-of-{key} .taps-mean")
        assert told.startswith(f"{name} {key}")
        if np.isnan(values).any():
            assert "nothing yet" in told and mean.text_content() == "–"
            continue
        average = (np.abs(values) if key in "gch" else values).mean()
        expected = average, values.min(), values.max(), values[unit]
        np.testing.assert_allclose(numbers(told), expected, atol=limit + SHOWN)
        assert numbers(mean.text_content()) == pytest.approx([average], abs=limit + SHOWN)
        cell = page.locator(f".taps-now-{key}").text_content()
        assert numbers(cell) == pytest.approx([values[unit]], abs=limit + SHOWN)
        for other in (2, hidden - 1):
            shade = np.tanh(values[other]) if key == "c" else values[other]
            if other != unit:
                np.testing.assert_allclose(
                    shades(page, key, other, hidden), mixed(shade, key), atol=6
                )


@pytest.mark.parametrize("sample", [0, 3])
def test_all_numbers_are_the_network_s_after_each_row(page, sample):
    wanted, answers = follow(ARRAYS, IMAGES[sample])
    states = access.hidden_states(MODEL, IMAGES[sample : sample + 1])
    opened = gates.activations(
        access.matrices(MODEL), ARRAYS["cell.dense_h.bias"], IMAGES[sample : sample + 1], states
    )
    np.testing.assert_allclose(wanted["h"][1:], states[0], atol=1e-5)
    for gate in gates.GATES:
        np.testing.assert_allclose(wanted[gate][1:], opened[gate][0], atol=1e-5)
    logits = MODEL(jnp.asarray(IMAGES[sample : sample + 1]))
    np.testing.assert_allclose(answers[-1], nnx.softmax(logits)[0], atol=1e-5)
    page.get_by_role("combobox", name="Digit").select_option(str(sample))
    choose(page, 9)
    for row in range(ROWS + 1):
        slide(page, row)
        check(page, row, 9, wanted, answers)
    assert np.ptp([values[1:].mean() for values in wanted.values()]) > 0.2


HELD = [
    {"f": "shut"}, {"f": "open"}, {"i": "shut"}, {"i": "open"}, {"o": "shut"}, {"o": "open"},
    {"g": "zero"}, {"f": "open", "i": "shut"}, {"f": "shut", "o": "open"},
]  # fmt: skip


@pytest.mark.parametrize("ways", HELD, ids=str)
def test_a_gate_that_is_held_does_what_it_does_in_a_cell_written_out(one, ways):
    wanted, answers = follow(ARRAYS, IMAGES[0], ways)
    states = gates.held(
        access.matrices(MODEL), ARRAYS["cell.dense_h.bias"], IMAGES[:1],
        {gate: VALUES[way] for gate, way in ways.items()},
    )  # fmt: skip
    np.testing.assert_allclose(wanted["h"][1:], states[0], atol=1e-5)
    for gate, way in ways.items():
        hold(one, gate, way)
    for row in (0, 1, 4, ROWS):
        slide(one, row)
        check(
            one,
            row,
            int(one.get_by_role("spinbutton").input_value()) - 1,
            wanted,
            answers,
            held=True,
        )
    told, whole = one.locator(".taps-told").text_content(), follow(ARRAYS, IMAGES[0])[1][-1]
    assert "Held: " in told and f"it would say {whole.argmax()} (" in told
    for gate in ways:
        hold(one, gate, "works")
    assert "Held" not in one.locator(".taps-told").text_content()
    np.testing.assert_allclose(shares_of(one), whole, atol=taps.TOLERANCE)


def test_the_published_network_s_numbers_are_the_library_s(visit):
    run, data = runs.load_run("mnist-0"), results.load_study("gates").data
    images = data["images"].to_numpy()[:12] / np.float32(255)
    labels = data["labels"].to_numpy()[:12].astype(int)
    html = taps.taps(run.parameters, images, labels, figure="fig-beside")
    assert len(html) < 195_000
    with visit(html) as page:
        for sample, ways in ((0, {}), (3, {}), (8, {}), *((0, {"f": w}) for w in ("shut", "open"))):
            wanted, answers = follow(run.parameters, images[sample], ways)
            page.get_by_role("combobox", name="Digit").select_option(str(sample))
            hold(page, "f", ways.get("f", "works"))
            choose(page, 40)
            close = taps.HELD_TOLERANCE if ways else taps.TOLERANCE
            for row in range(29):
                slide(page, row)
                np.testing.assert_allclose(shares_of(page), answers[row], atol=close)
            check(page, 28, 40, wanted, answers, 128, held=bool(ways))
            if not ways:
                assert page.locator(".taps-best").text_content() == str(labels[sample])


def test_is_read_row_by_row_and_can_be_paused(page):
    button = page.locator(".widget-play")
    expect(button).to_have_text("Read")
    slide(page, 0)
    button.click()
    expect(button).to_have_text("Pause")
    page.wait_for_function("parseInt(document.querySelector('.taps-row').textContent) >= 3")
    button.click()
    row = row_of(page)
    assert 3 <= row < ROWS
    page.wait_for_timeout(300)
    assert row_of(page) == row
    slide(page, ROWS - 2)
    button.click()
    expect(page.locator(".taps-row")).to_have_text(f"{ROWS} of {ROWS}")
    expect(button).to_have_text("Read")


def test_what_is_not_yet_read_is_dim_and_the_row_is_marked(page):
    image = pages.pixels(page.locator(".taps-digit"))
    np.testing.assert_allclose(image[..., 0], 255 * IMAGES[0], atol=1)
    paper = page.locator(".taps-paper").bounding_box()
    for row in (1, 4):
        slide(page, row)
        pen = page.locator(".taps-pen").bounding_box()
        unread = page.locator(".taps-unread").bounding_box()
        for box, at in ((pen, row - 1), (unread, row)):
            assert box["y"] == pytest.approx(paper["y"] + paper["height"] * at / ROWS, abs=2)
    slide(page, 0)
    expect(page.locator(".taps-pen")).to_be_hidden()


def test_the_first_tasks_are_done_by_who_reads_with_the_gate_shut_and_open(page):
    lead, button = page.locator(".taps-lead"), page.locator(".widget-play")
    button.click()
    expect(page.locator(".taps-row")).to_have_text(f"{ROWS} of {ROWS}")
    expect(lead).to_contain_text("Then shut the forget gate")
    hold(page, "f", "shut")
    expect(lead).to_contain_text("Then shut the forget gate")
    button.click()
    expect(lead).to_contain_text("✓ Done. Now hold it open")
    hold(page, "f", "open")
    slide(page, ROWS - 1)
    slide(page, ROWS)
    expect(lead).to_contain_text("✓ Done. Is there a gate")


def test_nothing_moves_for_those_who_ask_for_it(page):
    page.emulate_media(reduced_motion="reduce")
    button = page.get_by_role("button", name="Next row")
    for row in (1, 2):
        button.click()
        page.wait_for_timeout(250)
        assert row_of(page) == row
    page.emulate_media(reduced_motion="no-preference")
    expect(page.get_by_role("button", name="Read")).to_be_visible()


def test_a_unit_is_chosen_by_pressing_its_cell_in_any_field(page):
    number = page.get_by_role("spinbutton", name="Unit")
    for key, unit in (("f", 19), ("h", 3), ("c", 16)):
        box = page.locator(f".taps-of-{key} .taps-field").bounding_box()
        x, y = (unit % 16 + 0.5) / 16 * box["width"], (unit // 16 + 0.5) / 2 * box["height"]
        page.mouse.click(box["x"] + x, box["y"] + y)
        expect(number).to_have_value(str(unit + 1))
        for other in PARTS:
            told = page.locator(f".taps-of-{other} .taps-field").get_attribute("aria-label")
            assert f"unit {unit + 1}: " in told


def test_works_by_keyboard(page):
    page.locator(".widget-play").focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    field, number = page.locator(".taps-of-f .taps-field"), page.get_by_role("spinbutton")
    expect(field).to_be_focused()
    moves = {
        "Home": 1, "ArrowRight": 2, "ArrowDown": 18, "ArrowDown ": 18, "ArrowLeft": 17,
        "ArrowUp": 1, "ArrowUp ": 1, "End": HIDDEN, "ArrowRight ": HIDDEN,
    }  # fmt: skip
    for key, unit in moves.items():
        page.keyboard.press(key.strip())
        expect(number).to_have_value(str(unit))
    page.keyboard.press("Tab")
    ways = page.get_by_role("radiogroup", name="Forget gate")
    expect(ways.get_by_label("works")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(ways.get_by_label("shut")).to_be_checked()
    assert "Held: forget shut" in page.locator("[aria-live=polite]").last.text_content()
    page.keyboard.press("ArrowRight")
    expect(ways.get_by_label("open")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("radiogroup", name="Input gate").get_by_label("works")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(ways.get_by_label("open")).to_be_focused()
    number.focus()
    page.keyboard.press("ArrowDown")
    expect(number).to_have_value(str(HIDDEN - 1))
    number.fill("900")  # there is no such unit
    assert f"unit {HIDDEN - 1}: " in field.get_attribute("aria-label")


def test_what_stands_there_is_said_once_the_reading_rests(page):
    voice = page.locator("[aria-live=polite]").last
    before = voice.text_content()
    assert before == page.locator(".taps-told").text_content()
    slide(page, 0)
    assert voice.text_content().startswith("Before the first row, the network would say ")
    page.locator(".widget-play").click()
    page.wait_for_function("parseInt(document.querySelector('.taps-row').textContent) >= 2")
    assert voice.text_content().startswith("Before the first row")
    expect(voice).to_have_text(before)
    told = (
        rf"If reading stopped after row {ROWS} of {ROWS}, the network would say \d \(\d\.\d\d\); "
    )
    assert re.match(told + "it is a 3. Open on average: forget 0", before)


def test_strips_show_the_rows_so_far_and_the_whole_network_beside_a_held_gate(page):
    strip = page.locator(".taps-of-h .taps-strip")
    whole = pages.pixels(strip)
    slide(page, 4)
    half = pages.pixels(strip)
    ink = np.abs(half[..., :3] - np.array((29, 38, 48))).max(axis=2) < 40
    drawn = np.flatnonzero((ink & (half[..., 3] > 200)).any(axis=0))
    assert drawn.max() < 0.5 * half.shape[1] and (whole != half).any()
    told = re.search(
        r"least after row (\d+) .* largest after row (\d+)", strip.get_attribute("aria-label")
    )
    sizes = np.abs(follow(ARRAYS, IMAGES[0])[0]["h"][:5]).mean(axis=1)
    assert [int(told[1]), int(told[2])] == [sizes.argmin(), sizes.argmax()]
    slide(page, ROWS)
    hold(page, "o", "shut")
    shut = pages.pixels(strip)
    middle = shut.shape[0] // 2
    assert (shut[: middle - 5, ..., 3] > 100).sum() > 50  # dashes, where nothing else is


def test_two_on_a_page_are_held_each_on_its_own(visit, html):
    with visit(html + html) as page:
        first, second = page.locator(".widget").all()
        first.get_by_role("radiogroup", name="Forget gate").get_by_label("shut").check()
        expect(
            second.get_by_role("radiogroup", name="Forget gate").get_by_label("works")
        ).to_be_checked()
        assert "Held" not in second.locator(".taps-told").text_content()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1000, 600, 400, 320])
def test_nothing_sticks_out(one, width, theme):
    one.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
    assert pages.sticking_out(one, width) == []


def test_fields_follow_the_theme(page):
    hold(page, "f", "open")
    choose(page, 0)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(50)
    np.testing.assert_array_equal(shades(page, "f", 9), (108, 196, 234))
