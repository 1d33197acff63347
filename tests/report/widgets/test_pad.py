"""The pad: what its page carries, against what was given; and its use, in a real browser."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from matplotlib.colors import to_rgb
from playwright.sync_api import expect

from rnnatomy.networks import access, models, runs, vae
from rnnatomy.report import plots
from rnnatomy.report.widgets import pad, reader, widget
from rnnatomy.store import results

from . import pages

HIDDEN = 24
ORIGIN = (0.0, 0.0)


def lively(hidden=HIDDEN):
    """A random autoencoder whose pixels span all greys and change from place to place."""
    rng = np.random.default_rng(0)
    model = models.VAE(28, 28, hidden, 2, rngs=nnx.Rngs(0))
    arrays = access.flatten(model)
    scales = {"start": 1.5, "decoder.dense_i": 1.0, "readout": 3.0}
    for name, array in arrays.items():
        scale = next((s for prefix, s in scales.items() if name.startswith(prefix)), 0)
        noise = scale * rng.normal(size=array.shape) / (1 if "start" in name else 2)
        arrays[name] = (array + noise).astype(np.float32)
    access.unflatten(arrays, model)
    return model, arrays


def cloud(samples=300):
    """Points of ten digits, each around a place of its own; all within a square 6 wide."""
    rng = np.random.default_rng(1)
    labels = np.arange(samples) % 10
    middles = np.stack([labels % 4, labels // 4], axis=1) - 1.5
    return (middles + 0.2 * rng.normal(size=(samples, 2))).astype(np.float32), labels


def reading(hidden=16):
    """A random classifier whose answers change from drawing to drawing."""
    rng = np.random.default_rng(4)
    model = models.Classifier(28, hidden, 10, rngs=nnx.Rngs(0))
    arrays = access.flatten(model)
    for name, array in arrays.items():
        arrays[name] = (array + rng.normal(size=array.shape) / 2).astype(np.float32)
    access.unflatten(arrays, model)
    return model, arrays


MODEL, PARAMETERS = lively()
POINTS, LABELS = cloud()
READER, ARRAYS = reading()
IMAGES = np.random.default_rng(5).random((len(POINTS), 7, 5))


# --- What a page carries ----------------------------------------------------------------------


def unpack(html):
    """Return the facts, the arrays and the labels of a page."""
    facts, data = pages.carried(html)
    count = sum(facts["sizes"])
    rows = [data[k * count : (k + 1) * count] for k in range(4)]
    numbers = np.frombuffer(bytes(b for four in zip(*rows, strict=True) for b in four), "<f4")
    arrays = np.split(numbers, np.cumsum(facts["sizes"])[:-1])
    return facts, arrays, np.frombuffer(data[4 * count :], np.uint8)


@pytest.fixture(scope="module")
def html():
    return pad.pad(PARAMETERS, POINTS, LABELS, figure="fig-beside")


def test_a_page_carries_the_decoder_and_the_points_in_24_bits(html):
    facts, arrays, labels = unpack(html)
    wanted = [PARAMETERS[name] for name in pad.NAMES] + [POINTS]
    for ours, given in zip(arrays, wanted, strict=True):
        np.testing.assert_allclose(ours, given.ravel(), rtol=1.001 * 2**-16)
    np.testing.assert_array_equal(labels, LABELS)
    assert (facts["rows"], facts["columns"], facts["hidden"]) == (28, 28, HIDDEN)
    assert facts["colours"] == list(plots.DIGIT_COLOURS)


def test_the_plane_is_a_square_around_all_points_and_the_origin():
    for points in (POINTS, POINTS + 9, POINTS[:1], np.zeros((1, 2))):
        plane = pad.frame(points)
        for place in (*points, ORIGIN):
            assert (place > plane.low).all() and (place < plane.low + plane.width).all()
    assert pad.frame(np.array([[4.0, 0.0]])).width == pytest.approx(4.4)
    assert pad.frame(np.array([[4.0, 2.0]])).low == pytest.approx([-0.2, -1.2])


def test_a_large_page_is_small_enough_and_a_larger_one_is_refused():
    rng = np.random.default_rng(0)
    shapes = pad._shapes(128, 28)
    noise = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    points, labels = cloud(3000)
    large = pad.pad(noise, points, labels, figure="fig")
    assert len(large.encode()) <= widget.MOST_BYTES <= pages.MOST_BYTES - pages.scripts("pad")
    points, labels = cloud(80_000)
    with pytest.raises(ValueError, match=r"takes \d{6} bytes, at most .* are allowed: give fewer"):
        pad.pad(noise, points, labels, figure="fig")


def test_points_of_half_precision_and_another_number_of_rows_are_allowed():
    facts, arrays, _ = unpack(
        pad.pad(PARAMETERS, POINTS.astype(np.float16), LABELS, figure="f", rows=5)
    )
    np.testing.assert_array_equal(arrays[-1], POINTS.astype(np.float16).ravel())
    assert facts["rows"] == 5


def test_the_same_network_gives_the_same_page_and_no_name_ends_it(html):
    assert html == pad.pad(PARAMETERS, POINTS, LABELS, figure="fig-beside")
    assert "<b>" not in pad.pad(PARAMETERS, POINTS, LABELS, figure='"><b>')


def test_shows_the_page_and_says_in_words_what_it_is(html, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    pad.show(PARAMETERS, POINTS, LABELS, figure="fig-beside")
    assert shown[0]["text/html"] == html
    assert "A latent plane with 300 digits" in shown[0]["text/plain"]


@pytest.fixture(scope="module")
def full():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pad, "MOST_IMAGES", len(IMAGES))
        return pad.pad(
            PARAMETERS, POINTS, LABELS, figure="fig-beside", images=IMAGES, classifier=ARRAYS
        )


def test_a_page_carries_the_images_in_whole_greys_and_the_classifier_in_steps(full):
    facts, data = pages.carried(full)
    rest = data[4 * sum(facts["sizes"]) + len(POINTS) :]
    assert facts["images"] == {"shape": [7, 5], "white": 15, "sample": [*range(len(POINTS))]}
    greys = np.frombuffer(rest[: IMAGES.size], np.uint8).reshape(IMAGES.shape)
    assert np.abs(greys / 15 - IMAGES).max() <= 0.5001 / 15
    levels = pages.unfolded(rest[IMAGES.size :])
    parts = np.split(levels, np.cumsum(facts["reader"]["sizes"])[:-1])
    for name, part, step in zip(reader.READER, parts, facts["reader"]["steps"], strict=True):
        assert np.abs(part * step - ARRAYS[name].ravel()).max() <= 0.5001 * step
        assert 0 < step < np.abs(ARRAYS[name]).max() / 500


def test_a_page_without_images_and_classifier_carries_neither(html):
    facts, data = pages.carried(html)
    assert not {"images", "reader"} & set(facts)
    assert len(data) == 4 * sum(facts["sizes"]) + len(POINTS)


def test_of_many_images_those_are_carried_that_leave_no_point_alone():
    points, labels = cloud(1500)
    most = pad.MOST_IMAGES
    chosen = pad.cover(points, most)
    assert len(set(chosen.tolist())) == most and (np.diff(chosen) > 0).all()
    away = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
    others = np.linalg.norm(points[:, None] - points[:most], axis=2).min(axis=1)
    assert away.max() < 0.4 * others.max()
    images = np.random.default_rng(0).random((1500, 28, 28))
    page = pad.pad(PARAMETERS, points, labels, figure="f", images=images)
    facts, data = pages.carried(page)
    assert facts["images"]["sample"] == chosen.tolist()
    greys = np.frombuffer(data[-most * 28 * 28 :], np.uint8).reshape(most, 28, 28)
    np.testing.assert_array_equal(greys, np.rint(15 * images[chosen]))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_points_at_one_place_are_each_chosen_once(count):
    np.testing.assert_array_equal(pad.cover(np.ones((5, 2)), count), np.arange(count))


def test_the_numeral_of_a_digit_stands_among_its_own():
    rng = np.random.default_rng(0)
    sides = np.concatenate([rng.normal((-3, 0), 0.2, (50, 2)), rng.normal((3, 0), 0.2, (30, 2))])
    points = np.concatenate([sides, rng.normal(0, 0.3, (60, 2))])  # the 7s between those 2s
    labels = np.repeat([2, 7], [80, 60])
    (two, *place), (seven, *other) = pad.numerals(points, labels)
    assert (two, seven) == (2, 7)
    assert abs(place[0] + 3) < 0.6 and np.abs(other).max() < 0.6
    assert pad.numerals(np.array([[1.0, 2.0]]), np.array([4])) == [(4, 1.0, 2.0)]


def changed(**arrays):
    return PARAMETERS | {name.replace("_dot_", "."): array for name, array in arrays.items()}


KERNEL, BIAS = PARAMETERS["decoder.dense_h.kernel"], PARAMETERS["readout.bias"]
BAD = {
    "three latent units": (
        (changed(start_dot_kernel=np.zeros((3, 2 * HIDDEN))), POINTS, LABELS),
        "the latent size is 3: give",
    ),
    "an array missing": (
        ({k: v for k, v in PARAMETERS.items() if k != "start.bias"}, POINTS, LABELS),
        "parameters lack start.bias: give those of an VAE",
    ),
    "another shape": (
        (changed(decoder_dot_dense_h_dot_kernel=KERNEL[1:]), POINTS, LABELS),
        r"decoder.dense_h.kernel has shape \(23, 96\): give \(24, 96\)",
    ),
    "a flat readout": (
        (changed(readout_dot_kernel=BIAS), POINTS, LABELS),
        r"readout.kernel has shape \(28,\): give \(hidden, column\)",
    ),
    "a flat start": (
        (changed(start_dot_kernel=BIAS[:2]), POINTS, LABELS),
        r"start.kernel has shape \(2,\): give \(2, 48\)",
    ),
    "NaN": (
        (changed(readout_dot_bias=BIAS * np.nan), POINTS, LABELS),
        "readout.bias holds NaN or infinity",
    ),
    "Gaussian": ((changed(noise=np.zeros(())), POINTS, LABELS), "the likelihood is Gaussian"),
    "no point": ((PARAMETERS, POINTS[:0], LABELS[:0]), r"points have shape \(0, 2\): give"),
    "points in space": ((PARAMETERS, np.ones((300, 3)), LABELS), r"points have shape \(300, 3\)"),
    "NaN in points": ((PARAMETERS, POINTS * np.nan, LABELS), "points hold NaN"),
    "fewer labels": ((PARAMETERS, POINTS, LABELS[1:]), r"labels have shape \(299,\): give one for"),
    "label 10": ((PARAMETERS, POINTS, LABELS + 1), "labels range from 1 to 10: give 0 to 9"),
    "label -1": ((PARAMETERS, POINTS, LABELS - 1), "labels range from -1 to 8"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case, as_users):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message) as raised:
        pad.pad(*arguments, figure="fig")
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


SCANT = {name: array for name, array in ARRAYS.items() if name != "readout.bias"}
BAD_MORE = {
    "fewer images": ({"images": IMAGES[1:]}, r"images have shape \(299, 7, 5\): give \(300, row"),
    "flat images": ({"images": IMAGES[:, 0]}, r"images have shape \(300, 5\): give \(300, row"),
    "empty images": ({"images": IMAGES[:, :0]}, r"images have shape \(300, 0, 5\): give"),
    "bright": ({"images": 255 * IMAGES}, r"images range from \S+ to 25\d\S* give fractions"),
    "dark": ({"images": IMAGES - 1}, r"images range from -\S+ to \S+ give fractions \(0..1\)"),
    "NaN": ({"images": IMAGES * np.nan}, "images range from nan to nan: give fractions"),
    "an array missing": ({"classifier": SCANT}, "the classifier lacks readout.bias: give the"),
    "other columns": (
        {"classifier": ARRAYS | {"cell.dense_i.kernel": np.zeros((8, 64))}},
        r"the classifier's cell.dense_i.kernel has shape \(8, 64\): give \(28, 64\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_MORE)
def test_bad_images_and_classifiers_are_refused_in_one_sentence(case, as_users):
    more, message = BAD_MORE[case]
    with pytest.raises(ValueError, match=message) as raised:
        pad.pad(PARAMETERS, POINTS, LABELS, figure="fig", **more)
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


def test_a_digit_has_rows():
    with pytest.raises(ValueError, match="rows is 0: give a whole number of at least 1"):
        pad.pad(PARAMETERS, POINTS, LABELS, figure="fig", rows=0)


# --- In the browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(visit, html):
    with visit(html, has_touch=True) as page:
        yield page


@pytest.fixture
def page(opened):
    """The page, set as when it was opened."""
    opened.evaluate("document.documentElement.dataset.theme = 'light'; scrollTo(0, 0)")
    slide(opened, 28)
    plane(opened).press("Home")
    return opened


def plane(page):
    return page.get_by_role("application", name="Latent plane")


def slide(page, row):
    page.get_by_role("slider", name="Row").fill(str(row))


def place_of(page):
    words = page.locator(".pad-place").text_content().replace("−", "-")
    return tuple(float(word) for word in words.split(", "))


def seen(page, place):
    """Where a place of the plane is on the screen."""
    box, frame = page.locator(".pad-plane").bounding_box(), pad.frame(POINTS)
    x, y = (np.array(place) - frame.low) / frame.width
    return box["x"] + x * box["width"], box["y"] + (1 - y) * box["height"]


def ring(page):
    box = page.locator(".pad-handle").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def greys(page):
    return pages.pixels(page.locator(".pad-digit"))


def drawn_plane(page):
    return pages.pixels(page.locator(".pad-plane"))


def differs(page, model=MODEL):
    """Most by which a pixel differs from what the library draws at the place the page tells."""
    wanted = vae.draw(model, np.array([place_of(page)], np.float32))[0]
    return np.abs(greys(page)[..., :3] / 255 - wanted[..., None]).max()


def test_pixels_are_the_library_s_wherever_the_point_is(page):
    drawn = []
    for place in np.random.default_rng(2).uniform(-1.9, 1.9, (12, 2)):
        page.mouse.click(*seen(page, place))
        assert np.abs(np.array(place_of(page)) - place).max() < 0.02
        assert differs(page) <= pad.TOLERANCE
        drawn.append(greys(page)[..., 0] / 255)
    assert np.ptp(drawn, axis=0).max() > 0.5  # the places differ by much more than is tolerated


def test_pixels_of_the_published_network_are_the_library_s(visit):
    run = runs.load_run("autoencoder-lstm-2", "VAE")
    model = runs.restore(run)
    with visit(pad.pad(run.parameters, POINTS, LABELS, figure="fig-beside")) as page:
        for place in np.random.default_rng(3).uniform(-1.9, 1.9, (12, 2)):
            page.mouse.click(*seen(page, place))
            assert differs(page, model) <= pad.TOLERANCE


def test_the_ring_is_dragged_and_stays_within_the_plane(page):
    start, end = seen(page, ORIGIN), seen(page, (1.2, -0.7))
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 30, start[1], steps=2)
    middle = place_of(page)
    assert middle != ORIGIN and differs(page) <= pad.TOLERANCE
    page.mouse.move(*end)
    assert place_of(page) == pytest.approx((1.2, -0.7), abs=0.02)
    assert ring(page) == pytest.approx(seen(page, place_of(page)), abs=1)
    page.mouse.move(990, 5)
    page.mouse.up()
    frame = pad.frame(POINTS)
    assert place_of(page)[0] == pytest.approx(frame.low[0] + frame.width, abs=0.011)
    page.mouse.move(*end)
    assert place_of(page)[0] > 2  # released


def test_a_finger_that_scrolls_the_page_leaves_the_point(visit, html):
    with visit(html, has_touch=True) as page:  # its own, for it scrolls on
        x, y = seen(page, (1, 0.5))
        pages.swipe(page, [(x, y - 12 * step) for step in range(9)])
        page.wait_for_function("scrollY > 20")
        assert place_of(page) == ORIGIN


def test_a_finger_drags_the_ring_up_and_down(page):
    (x, y), (_, end) = seen(page, ORIGIN), seen(page, (0, 1))
    pages.swipe(page, [(x, y + share * (end - y)) for share in (0, 0.3, 0.6, 1)])
    assert place_of(page) == pytest.approx((0, 1), abs=0.02)
    assert page.evaluate("scrollY") == 0


def test_works_by_keyboard(page):
    keys = {
        "ArrowRight": (0.1, 0), "ArrowUp": (0.1, 0.1), "Shift+ArrowLeft": (0.09, 0.1),
        "Shift+ArrowDown": (0.09, 0.09), "ArrowLeft": (-0.01, 0.09), "ArrowDown": (-0.01, -0.01),
    }  # fmt: skip
    for key, place in keys.items():
        plane(page).press(key)
        assert place_of(page) == place
        assert differs(page) <= pad.TOLERANCE
        assert ring(page) == pytest.approx(seen(page, place), abs=1)
    expect(page.locator("[aria-live=polite]")).to_contain_text("Point −0.01, −0.01, nearest point")
    plane(page).press("Home")
    assert place_of(page) == ORIGIN
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Draw")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".pad-row")).to_have_text("27 of 28")


@pytest.mark.parametrize("row", [0, 1, 13, 28])
def test_the_slider_draws_so_many_rows(page, row):
    whole = greys(page)
    slide(page, row)
    found = greys(page)
    np.testing.assert_array_equal(found[:row], whole[:row])
    assert (found[:row, :, 3] == 255).all() and (found[row:] == 0).all()
    expect(page.locator(".pad-strip .pad-done")).to_have_count(row)
    expect(page.locator(".pad-row")).to_have_text(f"{row} of 28")
    pen, paper = (page.locator(name).bounding_box() for name in (".pad-pen", ".pad-digit"))
    if row < 28:
        assert pen["y"] == pytest.approx(paper["y"] + paper["height"] * row / 28, abs=1)
    assert (pen is None) == (row == 28)
    plane(page).press("ArrowUp")  # the rows stay while the point moves
    assert (greys(page)[row:] == 0).all()


def test_the_digit_is_drawn_row_by_row_and_can_be_paused(page):
    button = page.get_by_role("button")
    button.click()
    expect(button).to_have_text("Pause")
    page.wait_for_function("document.querySelectorAll('.pad-done').length > 5")
    button.click()
    row = int(page.locator(".pad-row").text_content().split()[0])
    assert 5 < row < 28
    page.wait_for_timeout(150)
    expect(page.locator(".pad-row")).to_have_text(f"{row} of 28")
    slide(page, 24)
    plane(page).press("Space")
    expect(page.locator(".pad-row")).to_have_text("28 of 28")
    expect(button).to_have_text("Draw")
    assert differs(page) <= pad.TOLERANCE


def test_nothing_moves_for_those_who_ask_for_it(page):
    page.emulate_media(reduced_motion="reduce")
    button = page.get_by_role("button", name="Next row")
    for row in (1, 2):
        button.click()
        page.wait_for_timeout(150)
        expect(page.locator(".pad-row")).to_have_text(f"{row} of 28")
    page.emulate_media(reduced_motion="no-preference")
    expect(page.get_by_role("button", name="Draw")).to_be_visible()


def test_tells_the_digit_of_the_nearest_point(page):
    for place in ((-1.4, -1.6), (0.4, 0.6), (1.3, -0.4), (-0.6, 0.5)):
        page.mouse.click(*seen(page, place))
        nearest = LABELS[np.linalg.norm(POINTS - place_of(page), axis=1).argmin()]
        expect(page.locator(".pad-label")).to_have_text(str(nearest))
        colour = page.locator(".pad-spot").evaluate("e => getComputedStyle(e).backgroundColor")
        wanted = ", ".join(str(round(255 * part)) for part in to_rgb(plots.DIGIT_COLOURS[nearest]))
        assert colour == f"rgb({wanted})"


def test_points_are_drawn_where_they_are_in_the_colour_of_their_digit(page):
    image, box = drawn_plane(page), page.locator(".pad-plane").bounding_box()
    frame, covered = pad.frame(POINTS), 0
    for point, label in zip(POINTS, LABELS, strict=True):
        x, y = box["width"] * (point - frame.low) / frame.width
        drawn = image[int(box["height"] - y), int(x)]
        covered += np.abs(drawn[:3] - 255 * np.array(to_rgb(plots.DIGIT_COLOURS[label]))).max() < 12
    assert covered > 0.6 * len(POINTS)  # the others lie below a numeral or another digit's points


def test_the_plane_follows_the_theme(page):
    light = drawn_plane(page)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(50)
    dark = drawn_plane(page)
    ink = {"light": (29, 38, 48), "dark": (223, 229, 234)}
    for image, theme, other in ((light, "light", "dark"), (dark, "dark", "light")):
        assert (image[..., :3] == ink[theme]).all(axis=2).sum() > 50
        assert (image == [*ink[other], 255]).all(axis=2).sum() == 0


def test_parts_have_names_for_a_screen_reader(page):
    expect(plane(page)).to_have_attribute("aria-description", re.compile("arrow keys move"))
    expect(page.get_by_role("img", name="Digit drawn from 0.00, 0.00")).to_have_count(1)
    expect(page.get_by_role("img", name=f"{len(POINTS)} points of 10 digits")).to_have_count(1)
    expect(page.get_by_role("slider", name="Row")).to_have_attribute("aria-valuetext", "28 of 28")
    link = page.get_by_role("link", name="the static figure")
    expect(link).to_have_attribute("href", "#fig-beside")


def test_the_pictures_are_told_in_words(page):
    plane(page).press("ArrowRight")
    expect(plane(page)).to_have_attribute("aria-description", re.compile("^The ring is at 0.10, 0"))
    slide(page, 13)
    words = page.locator(".pad-digit").get_attribute("aria-label")
    white = greys(page)[:13, :, 0].mean() / 255
    share = re.search(r"^Digit drawn from 0.10, 0.00: 13 of 28 rows, (\d+)% of them white, ", words)
    assert int(share[1]) == pytest.approx(100 * white, abs=1)
    told = page.locator(".pad-plane").get_attribute("aria-label").replace("−", "-")
    for digit in range(10):
        place = re.search(rf"\b{digit} at (\S+), (\S+)[;.]", told)
        wanted = pad.numerals(POINTS, LABELS)[digit][1:]
        assert [float(place[1]), float(place[2].rstrip(";."))] == pytest.approx(wanted, abs=0.006)


@pytest.mark.parametrize("width", [1000, 400])
def test_the_plane_is_a_square_on_any_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    shape = page.locator(".pad-plane").bounding_box()
    page.set_viewport_size({"width": 1000, "height": 900})
    assert shape["width"] == pytest.approx(shape["height"], abs=1)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_plane_of_any_size_is_told_in_three_figures(visit, scale):
    points = POINTS * np.float32(scale)
    with visit(pad.pad(PARAMETERS, points, LABELS, figure="fig-beside", rows=3)) as page:
        plane(page).press("ArrowRight")
        assert place_of(page) == pytest.approx((0.1 * scale if scale < 1 else 10, 0))
        expect(page.locator(".pad-row")).to_have_text("3 of 3")


# --- The nearest image, and the classifier ----------------------------------------------------


@pytest.fixture(scope="module")
def opened_full(visit, full):
    with visit(full) as page:
        yield page


@pytest.fixture
def whole(opened_full):
    """The page with images and a classifier, set as when it was opened."""
    slide(opened_full, 28)
    plane(opened_full).press("Home")
    return opened_full


def shares(page, drawer=MODEL, reader=READER):
    """What the library's classifier says of the library's drawing at the place the page tells."""
    drawing = vae.draw(drawer, np.array([place_of(page)], np.float32))
    return np.asarray(nnx.softmax(reader(jnp.asarray(drawing))))[0]


def check_reading(page, wanted):
    told = re.fullmatch(r"A classifier reads: (\d) \((\d\.\d\d)\)", reading_of(page))
    answer = int(told[1])
    assert wanted[answer] >= wanted.max() - pad.READ_TOLERANCE
    assert float(told[2]) == pytest.approx(wanted[answer], abs=pad.READ_TOLERANCE + 0.005)
    bars = page.locator(".pad-bars i")
    heights = bars.evaluate_all("all => all.map(e => parseFloat(e.style.height) / 1.5)")
    assert heights == pytest.approx(wanted, abs=pad.READ_TOLERANCE)
    assert page.locator(".pad-best").text_content() == told[1]
    return answer


def reading_of(page):
    return page.locator(".pad-reading p").text_content()


def real_of(page):
    return page.locator(".pad-real p").text_content()


def test_the_classifier_says_what_the_library_s_says_wherever_the_point_is(whole):
    answers = set()
    for place in np.random.default_rng(6).uniform(-1.9, 1.9, (12, 2)):
        whole.mouse.click(*seen(whole, place))
        answers.add(check_reading(whole, shares(whole)))
    assert len(answers) > 1
    before = reading_of(whole)
    slide(whole, 3)  # it reads the whole drawing, however much of that is shown
    assert reading_of(whole) == before


def test_the_published_classifier_says_what_the_library_s_says(visit):
    run, judge = runs.load_run("autoencoder-lstm-2", "VAE"), runs.load_run("mnist-0", "Classifier")
    html = pad.pad(run.parameters, POINTS, LABELS, figure="fig", classifier=judge.parameters)
    networks = runs.restore(run), runs.restore(judge)
    with visit(html) as page:
        for place in np.random.default_rng(7).uniform(-1.9, 1.9, (12, 2)):
            page.mouse.click(*seen(page, place))
            check_reading(page, shares(page, *networks))


def test_shows_the_image_whose_point_is_nearest(whole):
    for place in ((-1.4, -1.6), (0.4, 0.6), (1.3, -0.4), (-1.9, 1.9)):
        whole.mouse.click(*seen(whole, place))
        away = np.linalg.norm(POINTS - place_of(whole), axis=1)
        near = away.argmin()
        words = rf"Nearest real image: digit {LABELS[near]}, (\d\.\d\d) away"
        assert float(re.fullmatch(words, real_of(whole))[1]) == pytest.approx(away.min(), abs=0.006)
        found = pages.pixels(whole.locator(".pad-image"))
        wanted = np.rint(15 * IMAGES[near])[..., None] * 17
        assert np.abs(found[..., :3] - wanted).max() <= 1
        mark = whole.locator(".pad-mark").bounding_box()
        middle = mark["x"] + mark["width"] / 2, mark["y"] + mark["height"] / 2
        assert middle == pytest.approx(seen(whole, POINTS[near]), abs=1.5)


def test_says_of_how_many_images_that_is_the_nearest(visit):
    points, labels = cloud(500)
    images = np.random.default_rng(0).random((500, 3, 3))
    with visit(pad.pad(PARAMETERS, points, labels, figure="f", images=images)) as page:
        chosen = pad.cover(points, pad.MOST_IMAGES)
        left = np.setdiff1d(np.arange(500), chosen)
        place = points[left].mean(axis=0)
        page.mouse.click(*seen(page, place))
        away = np.linalg.norm(points[chosen] - place_of(page), axis=1)
        words = f"Nearest of the {pad.MOST_IMAGES} real images that the page carries: "
        wanted = f"digit {labels[chosen[away.argmin()]]}, {away.min():.2f} away"
        assert real_of(page) == words + wanted
        assert page.locator(".pad-reading").count() == 0


def test_without_them_nothing_of_them_is_shown(page):
    assert page.locator(".pad-real, .pad-reading, .pad-mark").count() == 0
    assert not re.search("classifier|real image", page.locator(".widget-body").inner_text())


def test_the_image_and_the_reading_are_told_once_the_ring_stands_still(whole):
    voice, image = whole.locator("[aria-live=polite]"), whole.locator(".pad-image")
    plane(whole).press("ArrowLeft")
    before = voice.text_content()
    assert f" {reading_of(whole)}. {real_of(whole)}." in before
    start = seen(whole, place_of(whole))
    whole.mouse.move(*start)
    whole.mouse.down()
    whole.mouse.move(start[0] + 60, start[1] - 60, steps=4)
    assert place_of(whole) != (-0.1, 0) and voice.text_content() == before
    whole.mouse.up()
    assert f" {reading_of(whole)}. {real_of(whole)}." in voice.text_content() != before
    near = POINTS[np.linalg.norm(POINTS - place_of(whole), axis=1).argmin()]
    expect(image).to_have_attribute("role", "img")
    label = image.get_attribute("aria-label").replace("−", "-")
    told = re.fullmatch(r"Real image of a \d, whose point is at (\S+), (\S+)", label)
    assert [float(told[1]), float(told[2])] == pytest.approx(near, abs=0.006)


@pytest.mark.parametrize("width", [1000, 400, 320])
def test_nothing_sticks_out_with_an_image_and_a_reading(whole, width):
    assert pages.sticking_out(whole, width) == []


def test_whoever_presses_on_the_numerals_of_the_book_s_plane_gets_these_digits():
    small = results.load_study("autoencoder").data
    points = small["digits_means"].sel(model="lstm-2", network=0).to_numpy()[:2000]
    labels = small["plane_labels"].to_numpy()[:2000].astype(int)
    places = np.array([place for _, *place in pad.numerals(points, labels)], np.float32)
    drawer = runs.restore(runs.load_run("autoencoder-lstm-2", "VAE"))
    judge = runs.restore(runs.load_run("mnist-0", "Classifier"))
    answers = np.asarray(judge(jnp.asarray(vae.draw(drawer, places)))).argmax(axis=1)
    assert np.flatnonzero(answers != np.arange(10)).tolist() in ([], [5])  # it draws hardly a 5
