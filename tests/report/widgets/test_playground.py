"""The playground: what its page carries, against the library; and its use, in a real browser."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from playwright.sync_api import expect

from rnnatomy.analysis import cutoffs, svd
from rnnatomy.networks import runs
from rnnatomy.report.widgets import playground, widget

from . import pages
from .conftest import FILES, READY

CUT = 7
ALL = range(1, 11)


def run_of(case, name="planted"):
    parameters = {"readout.kernel": case.readout.T, "readout.bias": case.bias}
    return runs.Run(name, "Classifier", parameters, {}, {}, case.states, case.labels)


def table_of(network):
    """Recalls under every cutoff, from the library."""
    parts = svd.svd(network.readout)
    return cutoffs.every_cutoff(parts, network.bias, network.states, network.labels)


def row(kept):
    return sum(1 << k - 1 for k in kept)


# --- What a page carries ----------------------------------------------------------------------


class Carried(NamedTuple):
    facts: dict
    labels: np.ndarray
    values: np.ndarray  # (network, mode, sample)
    pixels: np.ndarray  # (picture, row, column)


def unpack(html):
    facts, data = pages.carried(html)
    labels = np.repeat(np.arange(len(facts["counts"])), facts["counts"])
    networks, modes = facts["networks"], len(facts["networks"][0]["s"])
    end = 2 * len(networks) * modes * len(labels)
    levels = pages.unfolded(data[:end]).reshape(len(networks), modes, len(labels))
    centre, step = (np.array([n[key] for n in networks])[:, labels] for key in ("centre", "step"))
    values = centre.swapaxes(1, 2) + step.swapaxes(1, 2) * levels
    shape = (facts["pictures"] or {}).get("shape", (1, 1))
    return Carried(facts, labels, values, np.frombuffer(data[end:], np.uint8).reshape(-1, *shape))


def table_on_page(carried, number):
    """Recalls under every cutoff, from what a page carries about one network."""
    facts = carried.facts["networks"][number]
    U, s, bias = (np.array(facts[key]) for key in ("U", "s", "bias"))
    parts = svd.SVD(U, s, np.eye(len(s)))
    labels = carried.labels.astype(np.int32)
    return cutoffs.every_cutoff(parts, bias, carried.values[number].T.copy(), labels)


@pytest.fixture(scope="module")
def published():
    return [runs.load_run(name) for name in runs.published("mnist-")]


@pytest.fixture(scope="module")
def tables(published):
    return [table_of(network) for network in published]


@pytest.fixture(scope="module")
def images():
    """As many as MNIST has; noise on a quarter of the pixels packs as badly as its digits."""
    images = np.zeros((10_000, 28, 28), np.float32)
    images[:, 7:21, 7:21] = np.random.default_rng(0).random((10_000, 14, 14))
    return images


@pytest.fixture(scope="module")
def html(published, images):
    return playground.playground(published, images, CUT, "fig-beside")


@pytest.fixture(scope="module")
def carried(html):
    return unpack(html)


@pytest.fixture(scope="module")
def tables_on_page(carried):
    return [table_on_page(carried, number) for number in range(len(carried.facts["networks"]))]


def test_recalls_differ_by_at_most_the_tolerance_under_all_cutoffs(tables_on_page, tables):
    for found, table in zip(tables_on_page, tables, strict=True):
        assert np.abs(found - table).max() <= playground.TOLERANCE


def test_recalls_are_the_library_s_under_single_and_nested_cutoffs(tables_on_page, published):
    for table, network in zip(tables_on_page, published, strict=True):
        found = cutoffs.single_and_nested(table)
        parts = svd.svd(network.readout)
        exact = cutoffs.cutoffs(parts, network.bias, network.states, network.labels)
        for ours, theirs in zip(found, exact, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_answers_are_the_library_s_when_one_direction_is_cut(carried, published):
    """But for a sample whose two best logits are nearly equal."""
    for network, found in zip(published, carried.values, strict=True):
        parts = svd.svd(network.readout)
        order = np.argsort(network.labels, kind="stable")
        for k in ALL:
            W = svd.compose(svd.without(parts, k))
            exact = network.states[order] @ W.T + network.bias
            ours = (W @ parts.Vt.T @ found).T + network.bias
            assert np.sum(exact.argmax(axis=1) != ours.argmax(axis=1)) <= 1


def test_page_is_small_enough(html):
    most = pages.MOST_BYTES - pages.scripts("playground")
    assert len(html.encode()) <= widget.MOST_BYTES <= most


def test_a_larger_page_is_refused(planted, monkeypatch):
    monkeypatch.setattr(widget, "MOST_BYTES", 500)
    with pytest.raises(
        ValueError, match=r"the playground takes \d+ bytes, at most 500 are allowed"
    ):
        playground.playground([run_of(planted)], None, 1, "fig")


def test_page_carries_the_networks_and_the_samples_in_order_of_their_classes(carried, published):
    facts, labels, values, _ = carried
    for network, one, found in zip(published, facts["networks"], values, strict=True):
        order = np.argsort(network.labels, kind="stable")
        np.testing.assert_array_equal(network.labels[order], labels)
        parts = svd.svd(network.readout)
        exact = (network.states @ parts.Vt.T)[order].T
        within = np.array([exact[:, labels == c].std(axis=1) for c in range(10)]).mean(axis=0)
        assert (np.abs(found - exact).std(axis=1) < within / 20).all()
        assert one["name"] == network.name
        np.testing.assert_allclose(one["U"], parts.U, atol=1e-7)
        np.testing.assert_allclose(one["s"], parts.s, rtol=1e-7)
        np.testing.assert_allclose(one["bias"], network.bias, rtol=1e-7)


def test_pictures_are_those_of_their_samples(carried, published, images):
    facts, labels, _, pixels = carried
    pictures = facts["pictures"]
    assert len(pixels) == len(pictures["sample"]) == playground.PICTURES
    assert sorted(set(pictures["sample"])) == pictures["sample"]
    number = pictures["number"]
    np.testing.assert_array_equal(published[0].labels[number], labels[pictures["sample"]])
    assert (
        np.abs(pixels / pictures["white"] - images[number]).max() <= 0.5 / pictures["white"] + 1e-6
    )


def test_every_single_cutoff_that_changes_samples_has_pictures(carried, published):
    number = np.array(carried.facts["pictures"]["number"])
    for network in published:
        parts, right = svd.svd(network.readout), network.logits.argmax(1) == network.labels
        for k in ALL:
            kept = svd.compose(svd.without(parts, k))
            now = (network.states @ kept.T + network.bias).argmax(1) == network.labels
            changed = np.flatnonzero(right != now)
            assert np.isin(changed, number).sum() >= min(len(changed), 6)


def test_coefficients_are_restored_as_the_page_does(planted):
    network = run_of(planted)
    found = playground.round_coefficients(network)
    carried = unpack(playground.playground([network], None, 1, "fig"))
    np.testing.assert_array_equal(carried.labels, found.labels)
    np.testing.assert_allclose(carried.values[0].T, found.values, rtol=1e-12)
    np.testing.assert_array_equal(table_on_page(carried, 0), table_of(network))


def test_samples_of_a_planted_class_are_pictured_when_its_direction_goes(planted):
    found = playground.round_coefficients(run_of(planted))
    chosen = playground.choose_pictures([found], 4)
    assert len(chosen) == 4 and (np.diff(chosen) > 0).all()
    assert set(found.labels[chosen]) == {1, 2, 3, 4}  # class 0 has the largest bias


def test_nothing_is_pictured_where_nothing_changes(planted):
    readout = np.ones((5, 8)) + 1e-9 * planted.readout
    found = playground.round_coefficients(run_of(planted._replace(readout=readout)))
    assert playground.choose_pictures([found], 4).size == 0


def test_a_direction_that_a_class_does_not_vary_along_is_rounded(planted):
    states = np.eye(5)[planted.labels] @ svd.svd(planted.readout).Vt
    found = playground.round_coefficients(run_of(planted._replace(states=states)))
    np.testing.assert_allclose(found.values, np.eye(5)[found.labels], atol=1e-3)


def test_the_same_networks_give_the_same_page(planted):
    pages = [playground.playground([run_of(planted)], None, 2, "fig") for _ in range(2)]
    assert pages[0] == pages[1]


def test_names_cannot_end_the_script(planted):
    html = playground.playground([run_of(planted, "</script><b>")], None, 2, '"><b>')
    assert "<b>" not in html
    assert unpack(html).facts["networks"][0]["name"] == "</script><b>"


def test_shows_the_page_and_says_in_words_what_it_is(planted, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    playground.show([run_of(planted)], None, 1, "fig-single")
    assert shown[0]["text/html"] == playground.playground([run_of(planted)], None, 1, "fig-single")
    assert "switches directions of 1 network" in shown[0]["text/plain"]


# --- A page for a network from elsewhere --------------------------------------------------------

NAMES = (
    "walking", "running very fast indeed", "<b>bold</b> & co", "上楼梯", "مشي سريع جدا إلى البيت",
    "sit", "Прыжки", "</script>", "running very slowly", "crawl", "hop", "“turn”",
)  # fmt: skip
TWELVE = range(1, 13)


def series_of(labels, features=8, seed=0):
    """Waves of 1 to 89 frames; feature 0 does not vary, and the others do the more the later."""
    rng, found = np.random.default_rng(seed), []
    for label in labels:
        time = np.arange(rng.integers(1, 90))[:, None] / 20
        phase = np.arange(features) + 0.1 * rng.normal(size=(len(time), features))
        found.append(np.arange(features) * np.sin(time * (1 + label / 3) + phase))
    return found


def network_of(classes, noise, samples=600, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.r_[0:classes, rng.integers(0, classes, samples - classes)].astype(np.int32)
    readout = rng.normal(size=(classes, 16))
    states = np.tanh(0.6 * readout[labels] + noise * rng.normal(size=(samples, 16)))
    return playground.Shown(
        "<i>theirs</i>", readout, 0.2 * rng.normal(size=classes), states, labels
    )


@pytest.fixture(scope="module")
def theirs():
    return network_of(12, 0.7)


@pytest.fixture(scope="module")
def waves(theirs):
    return series_of(theirs.labels)


@pytest.fixture(scope="module")
def their_html(theirs, waves):
    return playground.playground([theirs], None, 3, "fig-beside", series=waves, names=NAMES)


@pytest.fixture(scope="module")
def their_page(their_html):
    return unpack(their_html)


def test_twelve_directions_are_as_exact_as_ten(their_page, theirs):
    assert len(their_page.facts["networks"][0]["s"]) == 12
    found, exact = table_on_page(their_page, 0), table_of(theirs)
    one_sample = 1 / np.bincount(theirs.labels)
    assert (np.abs(found - exact) <= np.maximum(playground.TOLERANCE, one_sample) + 1e-6).all()
    for ours, truth in zip(*map(cutoffs.single_and_nested, (found, exact)), strict=True):
        np.testing.assert_array_equal(ours, truth)


@pytest.mark.parametrize("noise", [0.7, 5.0])
def test_few_samples_near_borders_are_rounded_all_the_same(noise):
    network = network_of(10, noise, 300, seed=1)
    found = playground.round_coefficients(network)
    one_sample = 1 / np.bincount(network.labels)
    page = unpack(playground.playground([network], None, 1, "fig"))
    difference = np.abs(table_on_page(page, 0) - table_of(network))
    assert (difference <= np.maximum(playground.TOLERANCE, one_sample) + 1e-6).all()
    assert np.abs(found.levels).max() < 2**15


def heights_of(page):
    """What a page carries of each series: (feature, frame)."""
    facts, flat = page.facts["pictures"], page.pixels.ravel()
    frames = np.array(facts["frames"])
    parts = np.split(flat, np.cumsum(frames * facts["features"])[:-1])
    return [part.reshape(facts["features"], -1) for part in parts]


def test_series_are_those_of_their_samples_with_the_features_that_vary_most(
    their_page, theirs, waves
):
    pictures, heights = their_page.facts["pictures"], heights_of(their_page)
    number = pictures["number"]
    np.testing.assert_array_equal(theirs.labels[number], their_page.labels[pictures["sample"]])
    assert len(heights) == len(number) > 100
    assert pictures["features"] == 6
    lengths = [max(2, min(len(waves[n]), playground.FRAMES)) for n in number]
    assert [part.shape[1] for part in heights] == lengths and min(lengths) < max(lengths) == 24
    ends = np.concatenate([waves[n][[0, -1], 7:1:-1] for n in number])
    packed = np.concatenate([part[:, [0, -1]].T for part in heights]).astype(float)
    scale, low = np.polyfit(packed.ravel(), ends.ravel(), 1)
    assert np.abs(packed * scale + low - ends).max() < 0.6 * scale


def test_short_series_keep_every_frame(theirs, waves):
    short = [one[:24] for one in waves]
    page = unpack(playground.playground([theirs], None, 3, "fig", series=short))
    assert "thinned" not in page.facts["pictures"]["note"]
    assert page.facts["names"]["full"] == [str(k) for k in range(12)]
    for n, part in zip(page.facts["pictures"]["number"], heights_of(page), strict=True):
        line, truth = part[0].astype(float), short[n][:, 7]
        assert np.abs(np.diff(line) * 14 / playground.HEIGHTS - np.diff(truth)).max(initial=0) < 0.4


@pytest.mark.parametrize("value", [0.0, -3.0, 1e300, 1e-310])
def test_series_of_any_size_fit(planted, value):
    series = [value * np.array([[1.0, -1.0]])] * 59 + [np.full((2, 2), value)]
    page = unpack(playground.playground([run_of(planted)], None, 3, "fig", series=series))
    assert {part.shape for part in heights_of(page)} == {(2, 2)}
    assert page.pixels.max() <= playground.HEIGHTS


def test_a_page_without_changes_carries_no_series(planted):
    states = np.zeros_like(planted.states)
    run, series = run_of(planted._replace(states=states)), [np.ones((3, 2))] * 60
    page = unpack(playground.playground([run], None, 1, "fig", series=series))
    assert page.facts["pictures"]["sample"] == [] and page.pixels.size == 0


def test_a_run_and_what_is_shown_of_it_give_the_same_page(planted):
    run = run_of(planted)
    shown = playground.Shown(run.name, run.readout, run.bias, run.states, run.labels)
    pages = [playground.playground([one], None, 2, "fig") for one in (run, shown)]
    assert pages[0] == pages[1]


def test_pages_of_digits_carry_no_names(carried):
    assert "names" not in carried.facts
    assert list(carried.facts["pictures"]) == ["shape", "white", "sample", "number"]


def test_more_than_ten_classes_are_no_digits_even_without_names(theirs):
    images = np.zeros((600, 2, 2))
    for given, sample in ((None, "sequence"), (images, "image")):
        names = unpack(playground.playground([theirs], given, 3, "fig")).facts["names"]
        assert (names["kind"], names["sample"], names["full"][11]) == ("class", sample, "11")


def test_names_of_classes_are_carried_and_cannot_end_the_script(their_html, their_page):
    assert their_html.count("</script>") == 2 and "<b>" not in their_html
    assert their_page.facts["names"]["full"] == list(NAMES)
    assert len(their_html.encode()) < 150_000


def losses_of(page, kept):
    return page[-1] - page[row(kept)]


@pytest.mark.parametrize("number", range(5))
def test_tasks_can_be_done_by_the_library_s_recalls_and_not_with_all_directions(
    published, tables, number
):
    network, table = published[number], tables[number]
    asked = playground.tasks(playground.round_coefficients(network))
    assert {"two", "few"} <= set(asked)
    single = np.array([losses_of(table, set(ALL) - {k}) for k in ALL])
    bound = asked.get("one", 0.1)
    assert (single.max() > bound) == ("one" in asked)
    two = asked["two"]
    pairs = [(a, b) for a in ALL for b in range(a + 1, 11)]
    assert any(
        (single[[a - 1, b - 1], c] <= two["alone"]).all()
        and losses_of(table, set(ALL) - {a, b})[c] > two["loss"]
        for a, b in pairs
        for c in range(10)
    )
    few, counts = asked["few"], np.bincount(network.labels)
    accuracy = table @ counts / counts.sum()
    kept = np.array([row.bit_count() for row in range(1024)])
    assert kept[accuracy > few["accuracy"]].min() == few["kept"] < 10


def test_a_task_that_cannot_be_done_is_not_asked(planted):
    found = playground.round_coefficients(run_of(planted))
    asked = playground.tasks(found)
    assert asked["one"] == 0.5 and "two" not in asked
    nothing = run_of(planted._replace(states=np.zeros_like(planted.states)))
    assert playground.tasks(playground.round_coefficients(nothing)).keys() <= {"few"}


def test_a_page_may_begin_with_all_directions(planted):
    html = playground.playground([run_of(planted)], None, None, "fig")
    assert unpack(html).facts["cut"] is None


# --- Bad input ----------------------------------------------------------------------------------

PIXELS = np.zeros((60, 2, 2))
LINES = [np.zeros((k % 5 + 1, 3)) for k in range(60)]
BAD = {
    "no network": (lambda run: ([], None, 1), "no network is given"),
    "no states": (lambda run: ([run._replace(states=None)], None, 1), "holds no states"),
    "NaN": (lambda run: ([run._replace(states=run.states * np.nan)], None, 1), "not finite"),
    "other samples": (
        lambda run: ([run, run._replace(labels=run.labels[::-1])], None, 1),
        "tested on other samples than 'planted'",
    ),
    "class without sample": (
        lambda run: ([run._replace(labels=run.labels // 2)], None, 1),
        "labels must be 0 to 4",
    ),
    "other directions": (
        lambda run: (
            [run, run._replace(parameters=run.parameters | {"readout.kernel": np.eye(3, 5)})],
            None,
            1,
        ),
        "differ in directions",
    ),
    "images of another number": (
        lambda run: ([run], PIXELS[1:], 1),
        r"images have shape \(59, 2, 2\): give \(60, row, column\)",
    ),
    "flat images": (lambda run: ([run], PIXELS[:, 0], 1), r"shape \(60, 2\)"),
    "bytes": (lambda run: ([run], PIXELS + 255, 1), r"range from 255 to 255: give fractions"),
    "direction 0": (lambda run: ([run], None, 0), "cut is 0: choose a direction from 1 to 5"),
    "direction 6": (lambda run: ([run], None, 6), "cut is 6"),
}


BAD_NAMES_OR_SERIES = {
    "too few names": ({"names": "abc"}, "3 names are given for 5 classes"),
    "a name twice": ({"names": "abcda"}, "class name 'a' is blank or given twice"),
    "a blank name": ({"names": ["a", "b", " ", "c", "d"]}, "class name ' ' is blank"),
    "another number": ({"series": LINES[1:]}, "59 series are given for 60 samples"),
    "no frame": ({"series": [*LINES[1:], np.zeros((0, 3))]}, r"series 59 has shape \(0, 3\)"),
    "other features": ({"series": [*LINES[1:], np.zeros((4, 2))]}, r"series 59 has shape \(4, 2\)"),
    "one dimension": ({"series": [np.zeros(3), *LINES[1:]]}, r"series 0 has shape \(3,\)"),
    "infinite": ({"series": [LINES[0] + np.inf, *LINES[1:]]}, "series 0 holds .* not finite"),
}


@pytest.mark.parametrize("case", BAD_NAMES_OR_SERIES)
def test_bad_names_and_series_are_refused_in_one_sentence(case, planted, as_users):
    options, message = BAD_NAMES_OR_SERIES[case]
    with pytest.raises(ValueError, match=message) as raised:
        playground.playground([run_of(planted)], None, 1, "fig", **options)
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


def test_images_and_series_are_not_given_together(planted):
    with pytest.raises(ValueError, match="both images and series are given: give one of them"):
        playground.playground([run_of(planted)], PIXELS, 1, "fig", series=LINES)


SHOWN_BADLY = {
    "13 classes": (lambda: network_of(13, 0.1), "has 13 classes: give one with 2 to 12"),
    "a readout that is not finite": (
        lambda: (one := network_of(3, 0.1))._replace(readout=one.readout * np.nan),
        "not finite",
    ),
    "a label too few": (
        lambda: (one := network_of(3, 0.1))._replace(labels=one.labels[1:]),
        r"states of shape \(600, 16\) and 599 labels, which do not fit",
    ),
    "another width": (
        lambda: (one := network_of(3, 0.1))._replace(readout=one.readout[:, 1:]),
        r"a readout of shape \(3, 15\)",
    ),
    "another bias": (
        lambda: network_of(3, 0.1)._replace(readout=np.zeros((4, 16))),
        r"a readout of shape \(4, 16\), 3 biases",
    ),
}


@pytest.mark.parametrize("case", SHOWN_BADLY)
def test_what_cannot_be_shown_is_refused_in_one_sentence(case, as_users):
    make, message = SHOWN_BADLY[case]
    with pytest.raises(ValueError, match=message) as raised:
        playground.playground([make()], None, 1, "fig")
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_one_sentence(case, planted, as_users):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message) as raised:
        playground.playground(*arguments(run_of(planted)), "fig")
    assert re.fullmatch(r"[^\n]+[^.]\.", str(raised.value))


def test_a_class_that_cannot_be_rounded_is_refused(planted, monkeypatch):
    monkeypatch.setattr(playground, "_ATTEMPTS", 0)
    with pytest.raises(ValueError, match="class 0: no rounding keeps its recall within"):
        playground.round_coefficients(run_of(planted))


# --- In the browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(visit, html):
    with visit(html, reduced_motion="reduce") as page:
        yield page


@pytest.fixture
def page(opened):
    """The page, set as when it was opened."""
    opened.get_by_label("Network").select_option("mnist-0")
    keep(opened, set(ALL) - {CUT})
    return opened


def switch(page, k):
    return page.get_by_role("switch", name=re.compile(rf"^Direction {k}\b"))


def is_kept(page):
    states = page.get_by_role("switch").evaluate_all("all => all.map(e => e.checked)")
    return {k for k, on in zip(ALL, states, strict=True) if on}


def keep(page, kept):
    """Keep some directions: by the slider, which keeps the first ones, and then by switches."""
    first = min(range(11), key=lambda rank: len(kept ^ set(ALL[:rank])))
    page.get_by_role("slider").fill(str(first))
    for k in kept ^ set(ALL[:first]):
        page.locator("[role=switch]").nth(k - 1).click()
    assert is_kept(page) == kept


def bars(page):
    """Recall of each class, and accuracy, as the page draws them."""
    recalls = page.locator(".playground-bar").evaluate_all("all => all.map(e => e.dataset.recall)")
    return [float(recall) for recall in recalls]


def confusion(page):
    rows = page.locator(".playground-confusion tbody tr").evaluate_all(
        "all => all.map(row => [...row.querySelectorAll('td')].map(e => Number(e.textContent)))"
    )
    return np.array(rows)


def agree(page, table, kept):
    recall = np.array(bars(page)[:-1])
    return np.abs(recall - table[row(kept)]).max() <= playground.TOLERANCE + 1e-5


SETTINGS = [
    ("mnist-0", set(ALL) - {CUT}),
    ("mnist-0", set(ALL)),
    ("mnist-0", set()),
    ("mnist-0", {10}),
    ("mnist-0", {1, 2, 3, 4}),
    ("mnist-1", {2, 4, 6, 8}),
    ("mnist-1", set(ALL) - {10}),
    ("mnist-2", {5, 6, 7, 8, 9}),
    ("mnist-3", {3}),
    ("mnist-3", set(ALL) - {1, 9}),
    ("mnist-4", {1, 9, 10}),
    ("mnist-4", set(range(1, 8))),
]


@pytest.mark.parametrize(("name", "kept"), SETTINGS)
def test_switches_give_the_recalls_of_the_library(page, published, tables, name, kept):
    page.get_by_label("Network").select_option(name)
    keep(page, kept)
    table = tables[[network.name for network in published].index(name)]
    assert agree(page, table, kept)
    assert page.locator(".playground-rank").text_content() == f"{len(kept)} of 10 kept"


def test_all_else_on_the_page_follows_from_the_answers(page, published):
    table = confusion(page)
    counts = np.bincount(published[0].labels)
    np.testing.assert_array_equal(table.sum(axis=1), counts)
    np.testing.assert_allclose(bars(page)[:-1], np.diag(table) / counts, atol=1e-5)
    assert bars(page)[-1] == pytest.approx(np.trace(table) / counts.sum(), abs=1e-5)
    foot = page.locator(".playground-confusion tfoot td").all_text_contents()
    np.testing.assert_array_equal([int(text) for text in foot], table.sum(axis=0))
    whole = page.locator(".playground-recall tbody td:last-child").all_text_contents()
    exact = cutoffs.recall(published[0].logits, published[0].labels)
    np.testing.assert_allclose([float(text) for text in whole], exact, atol=0.0006)


def count(page, fate):
    text = page.locator(f".playground-{fate} .playground-title").text_content()
    found = re.fullmatch(r"(?:Lost|Won): (no|[\d,]+) images?", text)
    return 0 if found[1] == "no" else int(found[1].replace(",", ""))


def test_changes_are_counted_and_some_are_shown(page, published):
    gained = (
        bars(page)[-1] - cutoffs.confusion(published[0].logits, published[0].labels).trace() / 1e4
    )
    lost, won = count(page, "lost"), count(page, "won")
    assert lost > 300
    assert (won - lost) / 1e4 == pytest.approx(gained, abs=1e-5)
    for fate, most in {"lost": 18, "won": 6}.items():
        shown = page.locator(f".playground-{fate} li")
        assert shown.count() == min(most, count(page, fate))
        caption = shown.first.locator("span").text_content().split()
        assert caption[1] == "→" and caption[0] != caption[2]
        words = shown.first.locator("canvas").get_attribute("aria-label")
        assert re.fullmatch(rf"Test image \d+: read as {caption[0]}, now as {caption[2]}", words)
    said = page.locator(".playground-lost p").last.text_content()
    assert "18 of them are shown" in said and re.search(r"most often 8\s→\s9 \(\d+\)", said)


def test_an_image_is_drawn_as_it_is(page, images):
    canvas = page.locator(".playground-lost canvas").first
    number = int(re.search(r"\d+", canvas.get_attribute("aria-label"))[0])
    drawn = canvas.evaluate(
        "c => [...c.getContext('2d').getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0)"
    )
    assert np.abs(np.reshape(drawn, (28, 28)) / 255 - images[number]).max() < 0.04


def test_nothing_changes_with_all_directions(page):
    page.get_by_role("button", name="Keep all").click()
    assert is_kept(page) == set(ALL)
    assert count(page, "lost") == count(page, "won") == page.locator("canvas").count() == 0
    live = page.locator(".playground-summary")
    expect(live).to_have_text(
        re.compile(r"^With all 10 directions, mnist-0 has an accuracy of 0\.99\d\.$")
    )


@pytest.mark.parametrize(
    ("kept", "start"),
    [
        (set(ALL) - {CUT}, "Without direction 7, "),
        (set(ALL) - {2, 5, 7}, "Without directions 2, 5 and 7, "),
        ({1, 2, 3}, "With the first 3 directions, "),
        ({2, 7}, "With directions 2 and 7 alone, "),
        ({4}, "With direction 4 alone, "),
        (set(), "With no direction, by its bias alone, "),
    ],
)
def test_one_sentence_says_what_is_kept_and_what_is_lost(page, kept, start):
    keep(page, kept)
    text = page.locator(".playground-summary").text_content()
    assert text.startswith(start)
    found = re.search(
        r"mnist-0 has an accuracy of ([\d.]+), against 0\.99\d with the whole readout; "
        r"the (\d) loses most, its recall goes from ([\d.]+) to ([\d.]+)\.$",
        text,
    )
    recall = bars(page)
    assert float(found[1]) == pytest.approx(recall[-1], abs=0.0006)
    assert float(found[4]) == pytest.approx(recall[int(found[2])], abs=0.0006)
    assert float(found[3]) > float(found[4])


def test_works_by_keyboard(page, tables):
    press = page.keyboard.press
    page.get_by_label("Network").focus()
    press("Tab")
    expect(page.get_by_role("button", name="random direction")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("button", name="Keep all")).to_be_focused()
    press("Space")
    assert agree(page, tables[0], set(ALL))
    press("Tab")
    slider = page.get_by_role("slider")
    expect(slider).to_be_focused()
    press("ArrowLeft")
    press("ArrowLeft")
    assert agree(page, tables[0], set(range(1, 9)))
    press("Home")
    assert agree(page, tables[0], set())
    press("End")
    press("Tab")
    expect(switch(page, 1)).to_be_focused()
    press("Tab")
    press("Space")
    assert not switch(page, 2).is_checked()
    assert agree(page, tables[0], set(ALL) - {2})
    page.get_by_label("Network").focus()
    press("ArrowDown")
    assert agree(page, tables[1], set(ALL) - {2})


def test_slider_tells_whether_the_first_directions_are_kept(page):
    slider = page.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "9, but not the first 9"
    slider.fill("4")
    assert slider.get_attribute("aria-valuetext") == "4"
    assert is_kept(page) == {1, 2, 3, 4}


def test_parts_have_names_for_a_screen_reader(page, published):
    s = svd.svd(published[0].readout).s
    names = [f"Direction {k} singular value {s[k - 1]:.2f}" for k in ALL]
    for k, name in zip(ALL, names, strict=True):
        expect(switch(page, k)).to_have_accessible_name(name)
        expect(switch(page, k)).to_have_attribute("aria-description", re.compile("highest for the"))
    expect(page.get_by_role("group", name="Directions kept")).to_have_count(1)
    expect(page.get_by_role("slider", name=re.compile("^First directions kept"))).to_have_count(1)
    for name in ("Recall of each digit", "Images of each digit"):
        expect(page.get_by_role("table", name=re.compile(name))).to_have_count(1)
    table = page.locator(".playground-confusion")
    assert table.locator("th[scope=col]").count() == table.locator("th[scope=row]").count() == 11


def test_fits_a_narrow_screen(page):
    assert pages.sticking_out(page, 400) == []


def test_nothing_moves_for_those_who_ask_for_it(page):
    style = (
        "getComputedStyle(document.querySelector('.playground-bar'), '::before').transitionDuration"
    )
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(style) != "0s"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(style) == "0s"


def test_any_number_of_classes_and_no_images(visit, planted):
    with visit(playground.playground([run_of(planted)], None, 3, "fig-beside")) as page:
        assert bars(page) == pytest.approx([1, 1, 0, 1, 1, 0.8])
        assert (count(page, "lost"), count(page, "won")) == (12, 0)
        lost = page.locator(".playground-lost li").all_text_contents()
        assert lost == ["2\u00a0→\u00a00: 12"]
        assert page.locator("canvas").count() == 0


# --- Numbers that show their images -------------------------------------------------------------


def cell(page, label, answer):
    rows = page.locator(".playground-confusion tbody tr")
    return rows.nth(label).locator("td").nth(answer).locator("button")


def test_a_number_shows_its_images_until_it_is_pressed_again(page, carried, images):
    panel, button = page.locator(".playground-cell"), cell(page, 8, 9)
    times = int(confusion(page)[8, 9])
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_have_accessible_name(f"{times}: the 8 read as 9")
    said = panel.locator("p").text_content()
    found = re.fullmatch(r"(\d+) images of the 8 are read as 9; (\d+) of them are shown\.", said)
    assert (int(found[1]), int(found[2])) == (times, panel.locator("canvas").count())
    assert 0 < int(found[2]) <= 24
    names = panel.locator("canvas").evaluate_all("all => all.map(e => e.ariaLabel)")
    numbers = [int(name.removeprefix("Test image ")) for name in names]
    stock = dict(
        zip(*(carried.facts["pictures"][key] for key in ("number", "sample")), strict=True)
    )
    assert {carried.labels[stock[number]] for number in numbers} == {8}
    drawn = pages.pixels(panel.locator("canvas").first)[:, :, 0]
    assert np.abs(drawn / 255 - images[numbers[0]]).max() < 0.04
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(panel.locator("p")).to_be_empty()
    assert panel.locator("canvas").count() == 0


def test_lost_images_stay_where_they_are_when_a_number_shows_them_too(page):
    before = page.locator(".playground-lost canvas").count()
    cell(page, 8, 9).click()
    assert page.locator(".playground-lost canvas").count() == before == 18
    cell(page, 8, 9).click()


def test_a_number_that_falls_to_zero_closes(page):
    cell(page, 8, 9).click()
    page.get_by_role("slider").fill("0")
    assert confusion(page)[8, 9] == 0
    assert page.locator("[aria-pressed=true]").count() == 0
    expect(page.locator(".playground-cell p")).to_be_empty()


def test_numbers_above_zero_are_one_stop_of_tab_and_arrows_lead_to_the_others(page):
    buttons = page.locator(".playground-confusion button")
    assert buttons.count() == (confusion(page) > 0).sum()
    assert page.locator(".playground-confusion button[tabindex='0']").count() == 1
    press, focused = page.keyboard.press, "document.activeElement.ariaLabel"
    cell(page, 8, 8).focus()
    press("ArrowRight")
    assert page.evaluate(focused).endswith("the 8 read as 9")
    press("ArrowRight")
    assert page.evaluate(focused).endswith("the 8 read as 9")
    press("ArrowDown")
    assert page.evaluate(focused).endswith("the 9 read as 9")
    expect(cell(page, 9, 9)).to_have_attribute("tabindex", "0")
    assert page.locator(".playground-confusion button[tabindex='0']").count() == 1
    press("Enter")
    expect(page.locator(".playground-cell p")).to_contain_text("images of the 9 are read as 9")
    press("Enter")
    expect(page.locator(".playground-cell p")).to_be_empty()


def test_tab_leads_through_all_controls_in_order_and_each_is_seen_to_have_the_focus(page):
    body = page.locator(".widget-body")
    controls = body.locator(":is(input, select, button):not([tabindex='-1'])")
    assert controls.count() == 1 + 2 + 1 + 10 + 1
    controls.first.focus()
    for at in range(controls.count()):
        if at:
            page.keyboard.press("Tab")
        expect(controls.nth(at)).to_be_focused()
        assert "2px" in controls.nth(at).evaluate("e => getComputedStyle(e).outline")
    page.keyboard.press("Tab")
    assert not body.evaluate("body => body.contains(document.activeElement)")


def least_side(page):
    """The least width or height of a number to press, on a narrow screen, in pixels."""
    before = page.viewport_size
    page.set_viewport_size(before | {"width": 400})
    boxes = [one.bounding_box() for one in page.locator(".playground-confusion button").all()]
    page.set_viewport_size(before)
    return min(min(box["width"], box["height"]) for box in boxes)


def test_numbers_are_large_enough_to_press(page):
    assert least_side(page) >= 24


def test_fits_a_narrow_screen_with_images_of_a_number(page):
    cell(page, 8, 9).click()
    assert pages.sticking_out(page, 400) == []
    cell(page, 8, 9).click()


# --- A random direction -------------------------------------------------------------------------


def random_direction(seed, classes):
    """The page's: mulberry32, and Box and Muller."""
    mask, state = 2**32 - 1, seed

    def draw():
        nonlocal state
        state = state + 0x6D2B79F5 & mask
        mixed = (state ^ state >> 15) * (state | 1) & mask
        mixed ^= mixed + ((mixed ^ mixed >> 7) * (mixed | 61) & mask) & mask
        return (mixed ^ mixed >> 14) / 2**32

    pairs = [(draw(), draw()) for _ in range(classes)]
    q = np.array([np.sqrt(-2 * np.log(1 - u)) * np.cos(2 * np.pi * v) for u, v in pairs])
    return q / np.linalg.norm(q)


def seed_of(page):
    return int(re.search(r"seed=(\d+)", page.url)[1])


@pytest.fixture(scope="module")
def served(html, visit):
    """Open the page as a server gives it, at an address with what is asked."""
    with visit(html, reduced_motion="reduce") as page:
        text, folder = page.url, page.url.rpartition("/")[0]
        names = {"/": text} | {f"/_static/{name}": f"{folder}/_static/{name}" for name in FILES}

        def answer(route):
            path = unquote(urlsplit(names[urlsplit(route.request.url).path]).path)
            route.fulfill(path=path)

        context = page.context.browser.new_context(reduced_motion="reduce")
        context.route("http://book.test/**", answer)
        opened = context.new_page()

        def go(asked=""):
            opened.goto(f"http://book.test/{asked}")
            opened.wait_for_function(READY)
            return opened

        yield go
        context.close()


def test_a_random_direction_is_cut_from_the_whole_readout(served, published):
    page = served("?net=2")
    page.get_by_role("button", name="Cut a random direction instead").click()
    first = seed_of(page)
    page.get_by_role("button", name="Cut another random direction").click()
    assert seed_of(page) != first
    network, q = published[1], random_direction(seed_of(page), 10)
    z = network.states @ network.readout.T
    exact = cutoffs.recall(z - np.outer(z @ q, q) + network.bias, network.labels)
    np.testing.assert_allclose(bars(page)[:-1], exact, atol=0.006)
    said = page.locator(".playground-summary")
    expect(said).to_have_text(re.compile("^Without a random direction, mnist-1 has an accuracy of"))
    assert is_kept(page) == set(ALL)


def test_a_seed_stands_for_one_direction_in_the_recalls(served, published):
    page = served("?seed=24")
    network, q = published[0], random_direction(24, 10)
    z = network.states @ network.readout.T
    exact = cutoffs.recall(z - np.outer(z @ q, q) + network.bias, network.labels)
    whole = cutoffs.recall(network.logits, network.labels)
    assert np.abs(exact - whole).max() > 0.006
    np.testing.assert_allclose(bars(page)[:-1], exact, atol=0.003)


@pytest.mark.parametrize("how", ["switch", "Keep all", "slider"])
def test_any_other_setting_ends_the_random_direction(served, how):
    page = served("?seed=24")
    if how == "switch":
        switch(page, 7).click()
    elif how == "slider":
        page.get_by_role("slider").fill("6")
    else:
        page.get_by_role("button", name=how).click()
    assert "random" not in page.locator(".playground-summary").text_content()
    expect(page.get_by_role("button", name="Cut a random direction instead")).to_have_count(1)
    assert "seed" not in page.url


# --- Tasks --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def all_kept(published, images):
    return playground.playground(published, images, None, "fig-beside")


SOLVED = "all => all.map((e, i) => e.dataset.solved ? i + 1 : 0).filter(Boolean)"


def solved(page):
    return page.locator(".playground-tasks li").evaluate_all(SOLVED)


def test_tasks_are_ticked_when_they_are_solved_and_not_before(visit, all_kept):
    with visit(all_kept) as page:
        assert page.locator(".playground-tasks li").count() == 3
        assert is_kept(page) == set(ALL) and solved(page) == []
        switch(page, 10).click()
        assert solved(page) == []
        switch(page, 10).click()
        switch(page, 7).click()
        assert solved(page) == [1]
        voice = page.locator(".playground-tasks [aria-live=polite]")
        expect(voice).to_have_text("Task 1 is solved.")
        switch(page, 7).click()
        for k in (1, 3):
            switch(page, k).click()
        assert solved(page) == [1]
        page.get_by_role("button", name="Keep all").click()
        for k in (1, 2):
            switch(page, k).click()
        assert solved(page) == [1, 2]
        page.get_by_role("slider").fill("4")
        assert solved(page) == [1, 2]
        page.get_by_role("button", name="random").click()
        assert solved(page) == [1, 2]


def test_the_third_task_is_solved_by_some_switches(visit, all_kept, tables, published):
    counts = np.bincount(published[0].labels)
    accuracy = tables[0] @ counts / counts.sum()
    four = [rows for rows in range(1024) if rows.bit_count() == 4]
    best = max(four, key=lambda rows: accuracy[rows])
    with visit(all_kept) as page:
        for k in ALL:
            if not best >> k - 1 & 1:
                switch(page, k).click()
        assert 3 in solved(page)


def test_each_network_has_tasks_of_its_own_and_keeps_its_ticks(visit, all_kept, published):
    asked = [playground.tasks(playground.round_coefficients(network)) for network in published]
    assert unpack(all_kept).facts["tasks"] == asked
    with visit(all_kept) as page:
        switch(page, 7).click()
        assert solved(page) == [1]
        for network, tasks in zip(published, asked, strict=True):
            page.get_by_label("Network").select_option(network.name)
            shown = page.locator(".playground-tasks li")
            assert shown.count() == len(tasks)
            assert f"only {tasks['few']['kept']} directions" in shown.last.inner_text()
        page.get_by_label("Network").select_option(published[0].name)
        assert 1 in solved(page)


def test_a_page_that_begins_with_a_direction_cut_ticks_nothing_by_itself(visit, html):
    with visit(html) as page:
        assert solved(page) == []


# --- The address --------------------------------------------------------------------------------


def test_the_address_follows_what_the_reader_does_and_gives_it_back(served):
    page = served("?other=1#fig-beside")
    assert page.url == "http://book.test/?other=1#fig-beside"
    page.get_by_role("button", name="Keep all").click()
    assert page.url == "http://book.test/?other=1&cut=0&net=1#fig-beside"
    page.get_by_label("Network").select_option("mnist-2")
    for k in (2, 5):
        switch(page, k).click()
    assert page.url == "http://book.test/?other=1&cut=2.5&net=3#fig-beside"
    before = bars(page)
    page.reload()
    page.wait_for_function(READY)
    assert is_kept(page) == set(ALL) - {2, 5} and bars(page) == before
    expect(page.get_by_label("Network")).to_have_value("2")
    assert page.locator(".playground-tasks [data-solved]").count() == 0


def test_an_address_may_ask_for_all_directions(served):
    assert is_kept(served("?cut=0")) == set(ALL)
    assert is_kept(served("?cut=1.2.3.4.5.6.7.8.9.10")) == set()


@pytest.mark.parametrize(
    "asked",
    [
        "cut=", "cut=11", "cut=2.0", "cut=0.0", "cut=-1", "cut=2,5", "cut=<b>", "cut=2..5",
        "cut=1e1", "net=0", "net=6", "net=x", "net=1.5", "seed=0", "seed=-3", "seed=1e9",
        "seed=12345678901", "cut=NaN&net=&seed=%00",
    ],
)  # fmt: skip
def test_an_address_that_makes_no_sense_is_ignored(served, asked):
    page = served(f"?{asked}")
    assert is_kept(page) == set(ALL) - {CUT}
    expect(page.get_by_label("Network")).to_have_value("0")
    said = page.locator(".playground-summary")
    expect(said).to_have_text(re.compile("^Without direction 7, mnist-0"))


# --- A network from elsewhere, in the browser ---------------------------------------------------


@pytest.fixture(scope="module")
def their_opened(visit, their_html):
    with visit(their_html, reduced_motion="reduce") as page:
        yield page


@pytest.fixture
def their(their_opened):
    """The page of a network from elsewhere, set as when it was opened."""
    their_opened.get_by_role("button", name="Keep all").click()
    switch(their_opened, 3).click()
    return their_opened


@pytest.mark.parametrize("cut", [(3,), (1,), (12,), (2, 5, 11), TWELVE, ()])
def test_twelve_switches_give_the_recalls_of_the_library(their, theirs, cut):
    their.get_by_role("button", name="Keep all").click()
    for k in cut:
        their.locator("[role=switch]").nth(k - 1).click()
    exact = table_of(theirs)[row(set(TWELVE) - set(cut))]
    allowed = 1 / np.bincount(theirs.labels) if len(cut) in range(2, 12) else 0
    assert (np.abs(np.array(bars(their)[:-1]) - exact) <= allowed + 1e-5).all()
    assert confusion(their).sum() == 600


def test_names_are_text_and_short_where_there_is_little_room(their):
    for table in (".playground-recall tbody", ".playground-confusion tbody"):
        heads = their.locator(f"{table} th")
        short = ["running ver…", "<b>bold</b>…", "上楼梯", "مشي سريع جد…"]
        assert heads.all_text_contents()[1:5] == short
        titles = heads.evaluate_all("all => all.map(e => e.getAttribute('title'))")
        assert titles[:5] == [None, *NAMES[1:3], None, NAMES[4]]
    columns = their.locator(".playground-confusion thead th").all_text_contents()
    assert columns[0] == "class" and columns[8] == "</script>"
    assert (
        their.locator(".widget-body").locator("b:not(.playground-pairs b), i, script").count() == 0
    )


def test_says_classes_and_sequences_in_place_of_digits_and_images(their):
    text = their.locator(".widget-body").inner_text()
    assert not re.search("digit|image|task|can you", text, re.I)
    assert "Sequences of each class (row) by answer (column)" in text
    assert "Recall of each class" in text and "logits of the classes (in the order" in text
    found = re.search(r"; class “\u2068(.+)\u2069” loses most, its recall goes from ([\d.]+)", text)
    worst = their.locator(".playground-bar").nth(NAMES.index(found[1]))
    assert float(worst.get_attribute("data-recall")) < float(found[2])
    assert re.search(r"Lost: \d+ sequences", text)
    note = their.locator(".widget-note").last.text_content()
    assert "the 6 of its 8 features that vary most" in note and "thinned to 24 frames" in note
    marked = switch(their, 1).get_attribute("aria-description")
    assert re.fullmatch("left vector highest for class “.+”, lowest for class “.+”", marked)


def test_sequences_that_change_sides_are_drawn_as_lines(their, their_page):
    heights, number = heights_of(their_page), their_page.facts["pictures"]["number"]
    assert their.locator(".playground-lost li").count() == 18
    assert their.locator("canvas").count() == 0
    label = r"Test sequence (\d+): read as (.+), now as (.+)"
    for item in their.locator(".playground-lost li").all()[::5]:
        box = item.get_by_role("img")
        found = re.fullmatch(label, box.get_attribute("aria-label"))
        assert {found[2], found[3]} <= set(NAMES) and found[2] != found[3]
        assert item.get_attribute("title") == f"read as {found[2]}, now as {found[3]}"
        first = box.locator("path").last.get_attribute("d")  # drawn over the others
        drawn = np.array(re.findall(r"-?[\d.]+ ([\d.]+)", first), float)
        part = heights[number.index(int(found[1]))][0]
        np.testing.assert_allclose(drawn, 56 - part / 63 * 52, atol=0.06)


def test_lines_follow_the_theme(their):
    stroke = "getComputedStyle(document.querySelector('.playground-lines path')).stroke"
    light = their.evaluate(stroke)
    their.evaluate("document.documentElement.dataset.theme = 'dark'")
    dark = their.evaluate(stroke)
    their.evaluate("document.documentElement.dataset.theme = 'light'")
    assert light != dark


def test_a_number_shows_its_sequences(their, theirs):
    rows = confusion(their)
    label, answer = next(zip(*np.nonzero(rows * (1 - np.eye(12, dtype=int))), strict=True))
    cell(their, label, answer).click()
    panel = their.locator(".playground-cell")
    said = panel.locator("p").text_content()
    names = [f"\u2068{NAMES[k]}\u2069" for k in (label, answer)]
    assert re.match(rf"{rows[label, answer]} sequences? of class “{names[0]}” (is|are) read", said)
    assert names[1] in said
    assert panel.locator("svg[role=img]").count() > 0
    assert panel.locator("svg").first.get_attribute("aria-label").startswith("Test sequence ")
    assert pages.sticking_out(their, 400) == []
    cell(their, label, answer).click()


def test_twelve_columns_are_wide_enough_to_press(their):
    assert least_side(their) >= 24


@pytest.mark.parametrize("width", [1400, 700, 400])
def test_twelve_named_classes_fit_the_screen(their, width):
    assert pages.sticking_out(their, width) == []


def test_a_single_frame_and_a_single_feature_are_drawn(visit, planted):
    series = [np.full((1, 1), float(label)) for label in planted.labels]
    html = playground.playground([run_of(planted)], None, 3, "fig-beside", series=series)
    with visit(html) as page:
        lines = page.locator(".playground-lost path")
        assert lines.count() == 12
        assert re.fullmatch(r"M0.0 ([\d.]+)L90.0 \1", lines.first.get_attribute("d"))
        assert page.locator(".widget-note").last.text_content() == (
            "A box shows a sequence from its first frame to its last: its one feature. "
            "Heights are on one scale."
        )


def test_names_that_are_short_alike_are_kept_apart(visit, planted):
    names = ["0", *(f"running as number {k}" for k in range(1, 5))]
    with visit(playground.playground([run_of(planted)], None, 3, "fig", names=names)) as page:
        for k in (2, 4):
            switch(page, k).click()
        lost = page.locator(".playground-lost li").all_text_contents()
        assert lost == ["\u2068running as…\u2069 → \u20680\u2069: 12"] * 3
        assert page.locator(".playground-lost .playground-title").text_content() == (
            "Lost: 36 sequences"
        )
