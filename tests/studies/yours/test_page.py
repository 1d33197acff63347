"""What the page says of networks of each kind: every number that its text asks for is there."""

import re

import numpy as np
import pytest
from studies.yours import planting

from rnnatomy.networks.foreign import owner
from rnnatomy.report import parameters
from rnnatomy.store import checkout
from rnnatomy.studies.yours import page, study

SAMPLES, FRAMES, FEATURE = 40, 7, 2


def given(network, classes=None, **more):
    """Random sequences, with labels of so many classes, or without."""
    rng = np.random.default_rng(3)
    count = max(SAMPLES, 5 * (classes or 0))
    arrays = {"inputs": rng.normal(size=(count, FRAMES, FEATURE))}
    if classes:
        arrays["labels"] = np.arange(count) % classes
    return arrays | more


def targets(out):
    return {"targets": np.random.default_rng(4).normal(size=(SAMPLES, out))}


KINDS = {
    "few": (planting.stacked(FEATURE, [5], 3), given(None, 3), {"classes", "few", "keeps"}),
    "many": (planting.stacked(FEATURE, [4], 13), given(None, 13), {"classes", "many", "keeps"}),
    "two by sign": (
        planting.stacked(FEATURE, [4], 1, cell="gru-two-biases"),
        given(None, 2),
        {"classes", "few", "keeps"},
    ),
    "both ways": (
        planting.stacked(FEATURE, [3, 3], 3, both_ways=True, reads="ends"),
        given(None, 3),
        {"classes", "few", "turned"},
    ),
    "elman": (planting.stacked(FEATURE, [4], 3, cell="elman"), given(None, 3), {"classes", "few"}),
    "numbers": (planting.stacked(FEATURE, [4], 2), given(None, **targets(2)), {"values", "keeps"}),
    "frames": (
        planting.stacked(FEATURE, [4], FEATURE, reads="each"),
        given(None),
        {"values", "predicts"},
    ),
}


@pytest.fixture(scope="module", params=KINDS)
def looked(request, tmp_path_factory):
    network, arrays, wanted = KINDS[request.param]
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkout, "ROOT", folder)
        patch.setenv("ENGINE", "here")
        mine = planting.foreign(network, owner.take(arrays))
        found = study.look(mine, long=200, report=lambda line: None)
    return found, wanted


def markdown(holds):
    """The text of the page for a network of which this holds."""
    false = {f"if-{name}" for name, value in holds.items() if not value}
    cells = parameters.read_chapter("yours").cells
    kept = [c for c in cells if not false & set(parameters.tags(c))]
    return "\n".join(c.source for c in kept if c.cell_type == "markdown")


def test_every_number_of_the_text_is_there(looked):
    found, wanted = looked
    holds, numbers = page.holds(found), page.numbers(found)
    assert wanted <= {name for name, value in holds.items() if value}
    assert holds["classes"] != holds["values"] and holds["forwards"] != holds["turned"]
    used = set(re.findall(r"\{glue:text\}`(you_\w+)`", markdown(holds)))
    assert used - set(numbers) == {"you_proof", "you_control"} | ({"you_frame"} & used)
    assert not [name for name, word in numbers.items() if word in ("", "nan")]


def test_every_figure_and_table_of_the_text_is_shown(looked):
    found, _ = looked
    holds = page.holds(found)
    false = {f"if-{name}" for name, value in holds.items() if not value}
    cells = [
        c for c in parameters.read_chapter("yours").cells
        if not false & set(parameters.tags(c))
    ]  # fmt: skip
    shown = {one["name"] for c in cells for one in c.metadata.get("mystnb", {}).values()}
    shown |= set(re.findall(r":name: (tab-you-\w+)", markdown(holds)))
    named = set(re.findall(r"\{numref\}`((?:fig|tab)-you-\w+)`", markdown(holds)))
    assert named <= shown


def test_rows_are_whole(looked):
    found, _ = looked
    shown = list(found.asked.names)
    holds = page.holds(found)
    assert all(len(row) == 2 for row in page.facts(found))
    assert len(page.gate_rows(found)) == len(found.made["trained"]["ranks"])
    assert len(page.names(found)) == len(shown) == len(found.made["trained"]["full"])
    if holds["classes"]:
        np.testing.assert_allclose(page.confusion(found).sum(axis=1), 1)
        assert [len(row) for row in page.beside(found)] == [4] * 5
    if holds["few"]:
        assert all(len(row) == 6 for row in page.stand_in_rows(found, shown))
    if holds["forwards"]:
        rows = page.end_rows(found, shown)
        assert {row[0] for row in rows} == {"the network", "control"}
        assert not [row for row in rows if row[4].startswith("-0.0000")]
    assert all(places.shape[1] == 3 for _, _, places in page.curves(found, "trained"))
    assert set(page.readers(found)) >= {"its own readout", "a line, the frame"}
    assert {name.split(".")[0] for name in page.kept(found)} == {"trained", "control", "rivals"}


def test_labels_and_points_are_thinned_so_that_they_can_be_read():
    assert page.thinned(["a", "b"]) == ["a", "b"]
    many = page.thinned(range(100))
    assert many[0] == "0" and 10 < sum(word != "" for word in many) <= 24
    assert page.some(3).tolist() == [0, 1, 2]
    assert len(page.some(10**6)) == page.DRAWN and page.some(10**6)[-1] == 10**6 - 1


def test_short_names_tell_classes_apart_and_begin_no_mathematics(looked):
    found, _ = looked
    for given_names, wanted in (
        (["speaker 1", "speaker 2"], ["1", "2"]),
        (["left hand", "right hand"], ["0", "1"]),
        (["a$b$", "", "ein sehr langesWort"], [r"a\$b\$", "", "langesWo"]),
    ):
        asked = found.asked._replace(names=tuple(given_names))
        assert page.names(found._replace(asked=asked)) == wanted


def test_a_place_among_the_thousand_is_right_for_one_of_them(looked):
    """A network that is the first of the thousand lies where it lies among them."""
    found, _ = looked
    if not page.holds(found)["few"]:
        pytest.skip("values of a readout of few classes")
    from rnnatomy.store import results

    many = results.arrays(results.load_study("thousand").data)
    own = {key: np.asarray(many[key][0], np.float64) for key in ("single", "full")}
    own |= {key: many[key][0] for key in ("singular_values", "nearest_constant")}
    made = found.made | {"trained": found.made["trained"] | own | {"worth": many["shapley"][0]}}
    rows = page.beside(found._replace(made=made))
    energy = many["singular_values"].astype(float) ** 2
    share = energy[:, 0] / energy.sum(axis=1)
    below = np.mean(share < share[0]) + np.mean(share == share[0]) / 2
    assert rows[0][1] == f"{share[0]:.2f}" and rows[0][3] == f"{below:.0%}"
