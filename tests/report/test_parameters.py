"""What chapters declare, and what is refused before anything runs."""

import pytest

from rnnatomy.report import parameters
from rnnatomy.store import checkout

DECLARED = """rank = 3  # int 0..10: directions that are kept
share = 0.9  # float 0..1: of the energy
dataset = "auto"  # one of auto, mnist, digits: what is shown
run = "mnist-0"  # run: whose readout is taken apart
decoder = "autoencoder-lstm-2"  # run VAE: that draws
weights = "results/thousand/study.json"  # file: of a network
before = ""  # file or nothing: before training
along = ""  # folder or nothing: checkpoints"""


@pytest.fixture
def chapter(lay_out):
    """A chapter with a parameter of each kind, and the published runs."""
    results = checkout.root() / "results"
    root = lay_out(intro={}, cuts={"parameters": DECLARED})
    (root / "results").rmdir()
    (root / "results").symlink_to(results)
    return "cuts"


def refusal(chapter, **given):
    with pytest.raises(parameters.ParameterError) as caught:
        parameters.check_values(chapter, given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_each_line_of_the_parameters_cell_is_read(chapter):
    declared = parameters.parameters(chapter)
    assert list(declared) == [
        "rank", "share", "dataset", "run", "decoder", "weights", "before", "along",
    ]  # fmt: skip
    assert declared["rank"] == ("rank", 3, "int 0..10", "directions that are kept")
    assert declared["decoder"] == ("decoder", "autoencoder-lstm-2", "run VAE", "that draws")


def test_a_chapter_without_parameters_has_none(chapter):
    assert parameters.parameters("intro") == {}


def test_chapters_are_those_of_the_table_of_contents_in_its_order(lay_out):
    root = lay_out(intro={}, second={}, first={})
    assert parameters.notebooks() == ["intro", "second", "first"]
    (root / "book" / "second.ipynb").rename(root / "book" / "second.md")
    assert parameters.notebooks() == ["intro", "first"]


def test_settings_are_those_of_the_metadata(lay_out):
    lay_out(intro={"quick": {"epochs": 2}, "last": True})
    assert parameters.settings("intro") == {"quick": {"epochs": 2}, "last": True}


@pytest.mark.parametrize(
    "given",
    [
        {"rank": 0},
        {"rank": 10},
        {"share": 1},
        {"share": 0.5},
        {"dataset": "mnist"},
        {"run": "mnist-3"},
        {"weights": __file__, "before": ""},
        {"before": "results/thousand/study.json"},
        {"along": "results/thousand"},
        {"decoder": "autoencoder-lstm-32"},
        {},
    ],
)
def test_what_is_allowed_passes(chapter, given):
    parameters.check_values(chapter, given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ramk": 3}, ["no parameter 'ramk'", "did you mean 'rank'?", "choose from rank, share"]),
        ({"rank": 11}, ["rank is 11", "a whole number from 0 to 10"]),
        ({"rank": 2.5}, ["rank is 2.5", "a whole number"]),
        ({"rank": True}, ["rank is True", "a whole number"]),
        ({"rank": "3"}, ["rank is '3'", "a whole number"]),
        ({"share": 1.1}, ["share is 1.1", "a number from 0 to 1"]),
        ({"share": float("nan")}, ["share is nan", "a number from 0 to 1"]),
        ({"dataset": "cifar"}, ["dataset is 'cifar'", "choose from auto, mnist, digits"]),
        ({"run": 3}, ["run is 3", "name or the path of a run"]),
        ({"weights": ""}, ["weights is ''", "give the path of a file"]),
        ({"weights": "results"}, ["weights is 'results'", "give the path of a file"]),
        ({"before": 3}, ["before is 3", "give the path of a file"]),
        ({"along": "results/thousand/study.json"}, ["along is", "give the path of a folder"]),
        ({"along": "x" * 300}, ["along is", "give the path of a folder"]),
        ({"before": "a\0b"}, ["before is", "give the path of a file"]),
        ({"run": "mnist-77"}, ["run 'mnist-77' is missing", "mnist-0"]),
        ({"run": "autoencoder-lstm-2"}, ["run: ", "holds a VAE, not a Classifier"]),
        ({"decoder": "mnist-0"}, ["decoder: ", "holds a Classifier, not a VAE"]),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(chapter, given, words):
    message = refusal(chapter, **given)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", ["rank", "share", "dataset", "run", "decoder", "weights"])
@pytest.mark.parametrize("value", ["x" * 20_000, "x" * 200, ["x"] * 5000])
def test_a_long_value_is_shortened(chapter, name, value):
    message = refusal(chapter, **{name: value})
    assert "..." in message
    assert message.count("x") < 100
    assert len(message) < 300


def test_long_names_are_shortened(chapter):
    with pytest.raises(parameters.ParameterError) as caught:
        parameters.read_chapter("x" * 20_000)
    assert len(str(caught.value)) < 300
    assert len(refusal(chapter, **{"x" * 20_000: 1})) < 300


@pytest.mark.parametrize("name", ["cutts", "../book/cuts", ""])
def test_a_chapter_that_is_not_there_is_refused(chapter, name):
    with pytest.raises(parameters.ParameterError, match=r"does not exist.*choose from cuts, intro"):
        parameters.read_chapter(name)


def test_a_notebook_refuses_what_papermill_put_in(chapter):
    names = {"rank": 3, "share": 0.9, "dataset": "auto", "run": "mnist-0", "before": ""}
    names |= {"weights": "results/thousand/study.json", "along": "results"}
    scope = names | {"decoder": "autoencoder-lstm-2", "In": ["", "import time"]}
    parameters.check_parameters(chapter, scope)
    with pytest.raises(parameters.ParameterError, match="rank is 11"):
        parameters.check_parameters(chapter, scope | {"rank": 11})
    scope |= {"rang": 3, "In": ["", "# Parameters\nrang = 3\n"]}
    with pytest.raises(parameters.ParameterError, match="no parameter 'rang'"):
        parameters.check_parameters(chapter, scope)


def test_without_a_checkout_the_sentence_says_that_one_is_needed(monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", None)
    for read in (parameters.notebooks, lambda: parameters.parameters("cutoffs")):
        with pytest.raises(checkout.CheckoutError, match="clone the repository"):
            read()


def test_the_checkout_is_that_of_the_library():
    assert (checkout.root() / "lib/rnnatomy/report/parameters.py").samefile(parameters.__file__)
    assert (parameters.book() / "intro.ipynb").is_file()


@pytest.mark.parametrize("name", parameters.notebooks())
def test_every_default_and_quick_value_of_the_book_is_allowed(name):
    declared = parameters.parameters(name)
    parameters.check_values(name, {p.name: p.default for p in declared.values()})
    parameters.check_values(name, parameters.settings(name)["quick"])


def test_a_file_is_given_from_the_checkout_or_from_the_root():
    inside = "results/thousand/study.json"
    assert parameters.path(inside) == checkout.root() / inside
    assert parameters.path(__file__) == parameters.Path(__file__)
    assert parameters.path("") is None


def test_text_is_short_and_on_one_line(lay_out):
    lay_out(intro={}, said={"parameters": 'told = ""  # text or nothing: what is known'})
    for value in ("", "reads=mean cell=gru", "x" * 200):
        parameters.check_values("said", {"told": value})
    for value in (None, 3, "a\nb", "x" * 201):
        with pytest.raises(parameters.ParameterError, match=r"told is .*: give up to 200 letters"):
            parameters.check_values("said", {"told": value})
