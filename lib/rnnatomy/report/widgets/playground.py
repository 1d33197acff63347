"""The playground: a widget in which a reader switches directions of a readout on and off.

The page gets what a cutoff acts on, the coefficients a = Vt h of each test sample, as whole numbers
of a step. Then for any set S of kept directions the logits are

    z = sum over k in S of s_k u_k a_k + b

and a plain script on the page, ``book/_static/playground.js``, does the sum. The coefficients are
rounded such that the page's recalls equal the library's under the cutoffs of which the book
speaks, all single and nested ones, and agree with them under every other.

Samples that change sides are drawn, where they are at hand: images as they are, sequences as lines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from unicodedata import east_asian_width

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import sparse

from rnnatomy.analysis import cutoffs, svd
from rnnatomy.networks import runs
from rnnatomy.report import plots
from rnnatomy.report.widgets import widget
from rnnatomy.store import disk

TOLERANCE = 0.002
"""Most by which the page's recall of a class may differ from the library's, a fraction; where that
is less than one sample, one sample. Under single and nested cutoffs they do not differ."""


STEPS_PER_SPREAD = 11
"""Rounding steps in the standard deviation of a class along a direction, to begin with."""


PICTURES = 320
"""Most images, or drawn sequences, that a page carries."""


LETTERS = 12
"""Most letters of a class's name where the page has little room."""


FRAMES = 24
"""Most frames of a sequence that are drawn."""


FEATURES = 6
"""Most features of a sequence that are drawn: those that vary most."""


HEIGHTS = 63
"""Level of the highest point of the sequences of a page; the lowest is at 0."""


LOSSES = (0.5, 0.25, 0.1)
"""Losses of recall, of which a task asks for the largest that is to be had."""


ALONE = 0.1
"""Most loss of recall by either of two directions that a task asks for."""


_COLOURS = (*plots.DIGIT_COLOURS, "#2e8b57", "#e377c2")  # of classes, of which there are no more


_LEVELS = 1 << 15  # so that a folded level fits in two bytes


_MARGIN = 0.005  # by which a task is solvable, more than arithmetic in the browser may differ


_ATTEMPTS = 16


_SELECTIVE = 6  # attempts that narrow the steps of some directions; later ones narrow all of them


_SWEEPS = 4


_WEIGHT = np.float32(100)  # of a cutoff that allows no error, against 1 of one that does


_CHUNK = 256


class Shown(NamedTuple):
    """What the playground shows of a network, for one that is no stored run.

    Attributes:
        name: what the page calls it.
        readout: the matrix W, with logits = W h + b.
        bias: the readout's bias b.
        states: final hidden states h of test samples.
        labels: the classes of the samples.
    """

    name: str
    readout: Float[np.ndarray, "class hidden"]
    bias: Float[np.ndarray, " class"]
    states: Float[np.ndarray, "sample hidden"]
    labels: Int[np.ndarray, " sample"]


Network = runs.Run | Shown


class Coefficients(NamedTuple):
    """The coefficients of test samples in a readout's directions, rounded: a = centre + step level.

    Attributes:
        parts: decomposition of the readout W.
        bias: the readout's bias.
        labels: the classes of the samples, in ascending order.
        centre: mean of a class along a direction.
        step: distance between two levels, above 0.
        levels: whole numbers.
    """

    parts: svd.SVD
    bias: Float[np.ndarray, " class"]
    labels: Int[np.ndarray, " sample"]
    centre: Float[np.ndarray, "class mode"]
    step: Float[np.ndarray, "class mode"]
    levels: Int[np.ndarray, "sample mode"]

    @property
    def values(self) -> Float[np.ndarray, "sample mode"]:
        """The coefficients a, as the page restores them."""
        return self.centre[self.labels] + self.step[self.labels] * self.levels


def show(
    networks: Sequence[Network],
    images: Float[np.ndarray, "sample row column"] | None,
    cut: int | None,
    figure: str,
    *,
    series: Sequence[Float[np.ndarray, "_ feature"]] | None = None,
    names: Sequence[str] | None = None,
) -> None:
    """Display the playground; see ``playground`` for the arguments and errors."""
    page = playground(networks, images, cut, figure, series=series, names=names)
    widget.show(page, f"A widget that switches directions of {len(networks)} networks on and off")


def playground(
    networks: Sequence[Network],
    images: Float[np.ndarray, "sample row column"] | None,
    cut: int | None,
    figure: str,
    *,
    series: Sequence[Float[np.ndarray, "_ feature"]] | None = None,
    names: Sequence[str] | None = None,
) -> str:
    """Write the playground as HTML, for a page with the scripts and styles of ``book/_static``.

    Of up to ten classes, without series and names, it speaks as of images of digits.

    Args:
        networks: at least one, with stored states of the same samples, and 2 to 12 classes; the
            first is shown first.
        images: of the samples, intensities as a fraction (0..1), or None where they are not at
            hand: then changes are told as numbers.
        cut: the direction that is off at first, from 1 to the number of directions; None: none.
        figure: identifier, on the same page, of the static figure to read without the script.
        series: of the samples, in place of images: finite numbers, (time, feature), where samples
            may differ in time.
        names: of the classes, each another; None: their numbers.

    Raises:
        ValueError: if the networks, the images, the series, the names or the direction do not fit,
            or make a page of more than ``widget.MOST_BYTES``.
    """
    _check(networks, images, series, cut)
    if names is not None:
        _check_names(names, len(networks[0].bias))
    found = [round_coefficients(network) for network in networks]
    facts, levels = _facts(networks, found, cut), _pack_levels(found)
    classes = len(found[0].bias)
    if names is not None or series is not None or classes > len(plots.DIGIT_COLOURS):
        sample = "sequence" if images is None else "image"
        facts["names"] = _facts_of_names(names or [str(c) for c in range(classes)], sample)
    else:
        facts["tasks"] = [tasks(one) for one in found]
    if images is None and series is None:
        return _page(facts, levels, figure)
    chosen = choose_pictures(found, PICTURES)
    numbers = _in_order_of_classes(networks[0])[chosen]
    if images is not None:
        pictures, data = widget.pack_images(images[numbers])
    if series is not None:
        pictures, data = _pack_series(series, numbers)
    facts["pictures"] = pictures | {"sample": chosen.tolist(), "number": numbers.tolist()}
    return _page(facts, levels + data, figure)


def tasks(one: Coefficients) -> dict[str, Any]:
    """Find what a reader can be asked to do with a network, under any of its cutoffs.

    Returns:
        "one": a loss of recall, which one direction takes from a class. "two": "loss", which two
        directions take, and "alone", the most that either of them takes. "few": "kept", the fewest
        directions with an "accuracy" above a little less than that of all. A task that cannot be
        done is left out.
    """
    modes = len(one.parts.s)
    parts = svd.SVD(one.parts.U, one.parts.s, np.eye(modes))
    recall = cutoffs.every_cutoff(parts, one.bias, one.values, one.labels)
    loss, bits = recall[-1] - recall, 1 << np.arange(modes)
    single = loss[len(loss) - 1 - bits]
    asked: dict[str, Any] = {}
    if (most := _task_loss(single.max())) is not None:
        asked["one"] = most
    first, second = np.triu_indices(modes, 1)
    pairs = loss[len(loss) - 1 - bits[first] - bits[second]]
    small = np.maximum(single[first], single[second]) < ALONE - _MARGIN
    if (most := _task_loss(pairs[small].max(initial=0))) is not None:
        asked["two"] = {"loss": most, "alone": ALONE}
    accuracy = recall @ np.bincount(one.labels) / len(one.labels)
    least = np.floor(9.5 * accuracy[-1]) / 10
    kept = np.array([int(row).bit_count() for row in range(len(accuracy))])
    fewest = int(kept[accuracy > least + _MARGIN].min())
    if fewest < modes:
        asked["few"] = {"kept": fewest, "accuracy": float(least)}
    return asked


def _task_loss(most: float) -> float | None:
    """Return the largest of ``LOSSES`` that is clearly exceeded, if one is."""
    return next((loss for loss in LOSSES if most > loss + _MARGIN), None)


def round_coefficients(network: Network) -> Coefficients:
    """Round the coefficients a = Vt h of a network's test samples, class by class.

    Args:
        network: with states and labels; each class at least once.

    Raises:
        ValueError: if the network cannot be shown, or no rounding keeps the recalls of a class
            within ``TOLERANCE``.
    """
    _check_network(network, network)
    assert network.states is not None and network.labels is not None
    parts = svd.svd(network.readout)
    coefficients = network.states.astype(np.float64) @ parts.Vt.T
    table = (parts.U * parts.s).T
    rounded = []
    for label in range(len(table.T)):
        scores = _Scores(table - table[:, [label]], network.bias - network.bias[label], label)
        rounded.append(_round_class(coefficients[network.labels == label], scores))
    centre, step, levels = zip(*rounded, strict=True)
    return Coefficients(
        parts, network.bias, np.sort(network.labels),
        np.stack(centre), np.stack(step), np.concatenate(levels),
    )  # fmt: skip


class _Scores(NamedTuple):
    """Logits relative to that of the samples' own class, for the samples of one class.

    Attributes:
        table: what a coefficient of 1 adds to each score.
        bias: what each score begins with.
        label: the class; its own score is 0.
    """

    table: Float[np.ndarray, "mode class"]
    bias: Float[np.ndarray, " class"]
    label: int


Rounded = tuple[
    Float[np.ndarray, " mode"], Float[np.ndarray, " mode"], Int[np.ndarray, "sample mode"]
]


def _round_class(values: Float[np.ndarray, "sample mode"], scores: _Scores) -> Rounded:
    """Round the coefficients of one class, with finer steps for directions that need them.

    Where that is not enough, as for a few samples near borders, with finer steps for all of them.
    """
    centre = _brief(values.mean(axis=0))
    finest = np.abs(values - centre).max(axis=0) / (_LEVELS - 2)
    least = 1e-9 + np.abs(values).max(axis=0) / 4096
    step = _brief(np.maximum(values.std(axis=0) / STEPS_PER_SPREAD, least))
    allowed = _allowed_errors(*values.shape)
    modes = np.arange(values.shape[1])
    for attempt in range(_ATTEMPTS):
        levels, errors = _choose_levels(values, centre, step, scores, allowed)
        excess = np.abs(errors) - allowed
        if excess.max() <= 0 and np.abs(levels).max() < _LEVELS:
            return centre, step, levels
        some = np.where(excess.argmax() >> modes & 1, step / 1.5, step)
        step = _brief(np.maximum(some if attempt < _SELECTIVE else step / 2, 1.001 * finest))
    raise ValueError(
        f"class {scores.label}: no rounding keeps its recall within {TOLERANCE}; "
        "leave this network out."
    )


def _allowed_errors(samples: int, modes: int) -> Int[np.ndarray, " subset"]:
    """Return by how many samples the hits of a class may differ under each cutoff."""
    allowed = np.full(1 << modes, max(1, int(TOLERANCE * samples)))
    bits = 1 << np.arange(modes + 1)
    allowed[bits - 1] = 0
    allowed[len(allowed) - 1 - bits[:-1]] = 0
    return allowed


def _choose_levels(
    values: Float[np.ndarray, "sample mode"],
    centre: Float[np.ndarray, " mode"],
    step: Float[np.ndarray, " mode"],
    scores: _Scores,
    allowed: Int[np.ndarray, " subset"],
) -> tuple[Int[np.ndarray, "sample mode"], Int[np.ndarray, " subset"]]:
    """Choose for each sample the nearest levels, or those with one coefficient rounded otherwise.

    First each sample takes what changes the fewest of its answers; then the samples in turn take
    what makes the sum of squares of the class's errors, over all cutoffs, least. Cutoffs that allow
    no error weigh most in both, and there even the wrong answers are kept where they can be.

    Returns:
        The levels, and by how many samples the hits of the class change under each cutoff.
    """
    candidates = _candidates((values - centre) / step)
    true, offered = values[None], centre + step * candidates
    hits, wanted = _hits(offered, scores), _hits(true, scores)
    named = np.flatnonzero(allowed == 0)
    other = _answers(offered, scores, named) != _answers(true, scores, named)
    weight = np.where(allowed, np.float32(1), _WEIGHT)
    size, changes = _WEIGHT * other.sum(axis=0), _changes(hits, wanted)
    for sample, (touched, change) in enumerate(changes):
        size[:, sample] += weight[touched] @ np.abs(change)
    choice, errors = size.argmin(axis=0), np.zeros(len(weight), np.float32)
    for sample, (touched, change) in enumerate(changes):
        errors[touched] += change[:, choice[sample]]
    for _ in range(_SWEEPS):
        if (np.abs(errors) <= allowed).all():
            break
        for sample, (touched, change) in enumerate(changes):
            others = errors[touched] - change[:, choice[sample]]
            choice[sample] = (2 * (weight[touched] * others) @ change + size[:, sample]).argmin()
            errors[touched] = others + change[:, choice[sample]]
    return candidates[choice, np.arange(len(values))], errors.astype(np.int64)


def _changes(
    hits: Bool[np.ndarray, "subset option sample"], wanted: Bool[np.ndarray, "subset 1 sample"]
) -> list[tuple[Int[np.ndarray, " _"], Float32[np.ndarray, "_ option"]]]:
    """Return for each sample under which cutoffs an option changes its answer, and how."""
    touched = [np.flatnonzero(one) for one in (hits != wanted).any(axis=1).T.copy()]
    return [
        (rows, hits[rows, :, sample].astype(np.float32) - wanted[rows, :, sample])
        for sample, rows in enumerate(touched)
    ]


def _candidates(exact: Float[np.ndarray, "sample mode"]) -> Int[np.ndarray, "option sample mode"]:
    """Return the nearest levels, then those with one after another rounded the other way."""
    nearest = np.rint(exact)
    other = np.where(exact >= nearest, 1, -1)
    options = other * np.eye(len(other.T) + 1, len(other.T), -1)[:, None]
    return (nearest + options).astype(np.int64)


def _hits(
    values: Float[np.ndarray, "option sample mode"], scores: _Scores
) -> Bool[np.ndarray, "subset option sample"]:
    """Tell under which cutoffs samples of one class are read as it; ties go to the lower class."""
    flat = values.reshape(-1, values.shape[2]).T
    chunks = [flat[:, i : i + _CHUNK] for i in range(0, len(flat.T), _CHUNK)]
    hits = np.concatenate([_hits_of_chunk(chunk, scores) for chunk in chunks], axis=1)
    return hits.reshape(-1, *values.shape[:2])


def _hits_of_chunk(
    values: Float[np.ndarray, "mode sample"], scores: _Scores
) -> Bool[np.ndarray, "subset sample"]:
    """Sum the terms of each half of the directions over its subsets, and these two for all."""
    modes, samples = values.shape
    half = modes // 2
    hits = np.ones((1 << modes - half, 1 << half, samples), bool)
    for rival, (bias, table) in enumerate(zip(scores.bias, scores.table.T, strict=True)):
        terms = (values * table[:, None]).astype(np.float32)
        first = _subset_sums(terms[:half]) + np.float32(bias)
        least = -_subset_sums(terms[half:])[:, None]
        hits &= first < least if rival < scores.label else first <= least
    return hits.reshape(-1, samples)


def _answers(
    values: Float[np.ndarray, "option sample mode"],
    scores: _Scores,
    subsets: Int[np.ndarray, " cutoff"],
) -> Int[np.ndarray, "cutoff option sample"]:
    """Tell what samples are read as under some cutoffs."""
    kept = subsets[:, None] >> np.arange(values.shape[2]) & 1
    tables = kept[:, :, None] * scores.table
    return np.stack([(values @ table + scores.bias).argmax(axis=2) for table in tables])


def _subset_sums(
    terms: Float32[np.ndarray, "mode sample"],
) -> Float32[np.ndarray, "subset sample"]:
    subsets, modes = np.arange(1 << len(terms))[:, None], np.arange(len(terms))
    return (subsets >> modes & 1).astype(np.float32) @ terms


def choose_pictures(found: Sequence[Coefficients], most: int) -> Int[np.ndarray, " picture"]:
    """Choose samples that between them show many kinds of change.

    A change: under a single or nested cutoff of a network a sample is read rightly and was not, or
    the reverse. It is of one kind with those of the same network, cutoff and answers. One after
    another, the sample is taken whose changes are of the kinds shown least so far.

    Args:
        found: of one network each, for the same samples.
        most: how many samples to choose at most.

    Returns:
        Numbers of samples in the order of their classes, ascending.
    """
    kinds = np.concatenate([_kinds_of_change(one) for one in found], axis=1)
    kinds = np.where(kinds < 0, -1, kinds + 1000 * np.arange(kinds.shape[1]))
    samples, _ = np.nonzero(kinds >= 0)
    names, columns = np.unique(kinds[kinds >= 0], return_inverse=True)
    member = sparse.csr_array((np.ones(len(samples)), (samples, columns)), (len(kinds), len(names)))
    shown, chosen = np.zeros(len(names)), np.zeros(len(kinds), bool)
    for _ in range(min(most, len(np.unique(samples)))):
        best = np.where(chosen, -1.0, member @ (1 + shown) ** -2.0).argmax()
        chosen[best] = True
        shown += member[[best]].toarray()[0]
    return np.flatnonzero(chosen)


def _kinds_of_change(one: Coefficients) -> Int[np.ndarray, "sample cutoff"]:
    """Number the answers before and after each single and nested cutoff; -1 where none changes."""
    modes, classes = len(one.parts.s), len(one.bias)
    masks = np.concatenate([1 - np.eye(modes), np.tri(modes)[:-1], np.zeros((1, modes))])
    table = (one.parts.U * one.parts.s).T
    after = np.stack([((one.values * m) @ table + one.bias).argmax(axis=1) for m in masks], axis=1)
    before = (one.values @ table + one.bias).argmax(axis=1)[:, None]
    changed = (before == one.labels[:, None]) != (after == one.labels[:, None])
    lost = before == one.labels[:, None]
    return np.where(changed, (before * classes + after) * 2 + lost, -1)


def _facts(
    networks: Sequence[Network], found: Sequence[Coefficients], cut: int | None
) -> dict[str, Any]:
    """Gather what the script needs beside the bytes."""
    return {
        "cut": cut,
        "counts": np.bincount(found[0].labels).tolist(),
        "colours": _COLOURS[: len(found[0].bias)],
        "networks": [_facts_of(*pair) for pair in zip(networks, found, strict=True)],
        "pictures": None,
    }


def _facts_of(network: Network, one: Coefficients) -> dict[str, Any]:
    arrays = {
        "s": one.parts.s, "U": one.parts.U, "bias": one.bias,
        "centre": one.centre, "step": one.step,
    }  # fmt: skip
    return {"name": network.name} | {key: _numbers(array) for key, array in arrays.items()}


def _facts_of_names(names: Sequence[str], sample: str) -> dict[str, Any]:
    """Gather what the page says where classes have names, and how it makes room for them.

    The width is that of the widest name, in letters of the Latin alphabet, of which those of some
    others take two.
    """
    short = [name if len(name) <= LETTERS else f"{name[: LETTERS - 1].rstrip()}…" for name in names]
    width = max(sum(1 + (east_asian_width(one) in "WF") for one in name) for name in short)
    looks = {"named": True, "upright": width > 3, "many": len(names) > len(plots.DIGIT_COLOURS)}
    return {
        "full": list(names),
        "short": short,
        "kind": "class",
        "sample": sample,
        "all": "classes (in the order of the tables, up or down)",
        "width": width,
        "looks": [f"playground-{look}" for look, holds in looks.items() if holds],
    }


def _numbers(array: np.ndarray) -> Any:
    """Turn an array into lists of numbers with eight digits."""
    if array.ndim > 1:
        return [_numbers(row) for row in array]
    return [float(f"{x:.8g}") for x in array]


def _brief(array: np.ndarray) -> np.ndarray:
    """Round to four digits, so that few characters hold a number."""
    return np.array([float(f"{x:.4g}") for x in array])


def _pack_levels(found: Sequence[Coefficients]) -> bytes:
    """Lay levels out as bytes: network by network, direction by direction, sample by sample."""
    return widget.fold(np.stack([one.levels.T for one in found]))


def _pack_series(
    series: Sequence[Float[np.ndarray, "_ feature"]], numbers: Int[np.ndarray, " picture"]
) -> tuple[dict[str, Any], bytes]:
    """Lay some of the series out as bytes: one after another, feature by feature.

    Which features vary most is told by all series; the range from 0 to ``HEIGHTS`` is that of what
    is laid out.
    """
    largest = max(np.abs(one).max() for one in series) or 1
    thin = [_thin(one) / np.float64(largest) for one in series]
    features = np.argsort(-np.concatenate(thin).var(axis=0), kind="stable")[:FEATURES]
    drawn = [thin[number][:, features].T for number in numbers]
    low = min((one.min() for one in drawn), default=0)
    span = max((one.max() for one in drawn), default=0) - low or 1
    facts = {
        "frames": [one.shape[1] for one in drawn],
        "features": len(features),
        "top": HEIGHTS,
        "note": _how_drawn(
            series[0].shape[1], any(len(series[number]) > FRAMES for number in numbers)
        ),
    }
    heights = [np.rint((one - low) / span * HEIGHTS).astype(np.uint8) for one in drawn]
    return facts, b"".join(one.tobytes() for one in heights)


def _how_drawn(features: int, thinned: bool) -> str:
    which = "its one feature"
    if features > 1:
        which = f"its {features} features (the more one varies, the stronger its line)"
    if features > FEATURES:
        which = (
            f"the {FEATURES} of its {features} features that vary most "
            "(the more, the stronger the line)"
        )
    long = f" Longer ones are thinned to {FRAMES} frames." if thinned else ""
    return (
        f"A box shows a sequence from its first frame to its last: {which}.{long} "
        "Heights are on one scale."
    )


def _thin(one: Float[np.ndarray, "time feature"]) -> Float[np.ndarray, "frame feature"]:
    """Return frames at equal distances, from the first to the last; a single one twice."""
    kept = np.linspace(0, len(one) - 1, max(2, min(len(one), FRAMES)))
    return one[np.rint(kept).astype(np.int64)]


def _page(facts: dict[str, Any], data: bytes, figure: str) -> str:
    sentence = """With JavaScript, in a current browser, this is a playground: switches
that take directions out of the readout, and what the network still reads. Without them, see"""
    advice = "give fewer networks, or neither images nor series"
    return widget.widget("playground", sentence, figure, facts, data, advice)


def _check(
    networks: Sequence[Network],
    images: np.ndarray | None,
    series: Sequence[np.ndarray] | None,
    cut: int | None,
) -> None:
    """Refuse what does not fit, in one sentence."""
    if not networks:
        raise ValueError("no network is given: give at least one.")
    for network in networks:
        _check_network(network, networks[0])
    first = networks[0]
    assert first.labels is not None
    modes = min(first.readout.shape)
    if cut is not None and not 1 <= cut <= modes:
        raise ValueError(f"cut is {cut}: choose a direction from 1 to {modes}.")
    if images is not None and series is not None:
        raise ValueError(
            "both images and series are given: give one of them, and None as the other."
        )
    if images is not None:
        widget.check_images(images, len(first.labels))
    if series is not None:
        _check_series(series, len(first.labels))


def _check_names(names: Sequence[str], classes: int) -> None:
    if len(names) != classes:
        raise ValueError(
            f"{len(names)} names are given for {classes} classes: give one for each of them."
        )
    for name in names:
        if not name.strip() or list(names).count(name) > 1:
            raise ValueError(
                f"class name {disk.brief(name)} is blank or given twice: "
                "give each class a name of its own."
            )


def _check_series(series: Sequence[np.ndarray], samples: int) -> None:
    if len(series) != samples:
        raise ValueError(
            f"{len(series)} series are given for {samples} samples: give one for each of them."
        )
    for number, one in enumerate(series):
        if one.ndim != 2 or not one.size or one.shape[1] != series[0].shape[1]:
            raise ValueError(
                f"series {number} has shape {one.shape}: give (time, feature), with at least one "
                "frame, and the same features in all."
            )
        if not np.isfinite(one).all():
            raise ValueError(
                f"series {number} holds numbers that are not finite: fill them in, or leave the "
                "sample out."
            )


def _in_order_of_classes(network: Network) -> Int[np.ndarray, " sample"]:
    """Number the samples of a network in the order of a page: class by class."""
    assert network.labels is not None
    return np.argsort(network.labels, kind="stable")


def _check_network(network: Network, first: Network) -> None:
    """Refuse a network that cannot be shown, or not beside the first."""
    name = f"network {disk.brief(network.name)}"
    if network.states is None or network.labels is None:
        raise ValueError(f"{name} holds no states of test samples: choose another.")
    if not all(np.isfinite(one).all() for one in (network.readout, network.bias, network.states)):
        raise ValueError(f"{name} holds numbers that are not finite: choose another.")
    classes = len(network.bias)
    if not 2 <= classes <= len(_COLOURS):
        raise ValueError(f"{name} has {classes} classes: give one with 2 to {len(_COLOURS)}.")
    if set(network.labels) != set(range(classes)):
        raise ValueError(f"{name}: labels must be 0 to {classes - 1}, each there.")
    assert first.labels is not None
    if not np.array_equal(network.labels, first.labels) or classes != len(first.bias):
        raise ValueError(
            f"{name} was tested on other samples than {disk.brief(first.name)}: "
            "give networks with the same labels."
        )
    if min(network.readout.shape) != min(first.readout.shape):
        raise ValueError(
            f"{name} and {disk.brief(first.name)} differ in directions: give the same number."
        )
    (samples, hidden), labels = network.states.shape, len(network.labels)
    if network.readout.shape != (classes, hidden) or labels != samples:
        raise ValueError(
            f"{name} has a readout of shape {network.readout.shape}, {classes} biases, states of "
            f"shape {network.states.shape} and {labels} labels, which do not fit: give "
            "(class, hidden), class, (sample, hidden) and sample."
        )
