"""The playground: a widget in which a reader switches directions of a readout on and off.

The page gets what a cutoff acts on, the coefficients a = Vt h of each test sample, as whole numbers
of a step. Then for any set S of kept directions the logits are

    z = sum over k in S of s_k u_k a_k + b

and a plain script on the page, ``book/_static/playground.js``, does the sum. The coefficients are
rounded such that the page's recalls equal the library's under the cutoffs of which the book
speaks, all single and nested ones, and agree with them under every other.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import sparse

from rnnatomy.analysis import svd
from rnnatomy.networks import runs
from rnnatomy.report import plots
from rnnatomy.report.widgets import widget

TOLERANCE = 0.002
"""Most by which the page's recall of a class may differ from the library's, a fraction; where that
is less than one sample, one sample. Under single and nested cutoffs they do not differ."""


STEPS_PER_SPREAD = 11
"""Rounding steps in the standard deviation of a class along a direction, to begin with."""


PICTURES = 400
"""Most images that a page carries."""


GREYS = 15
"""Value of white in the images of a page; black is 0."""


_LEVELS = 1 << 15  # so that a folded level fits in two bytes


_ATTEMPTS = 12


_SWEEPS = 4


_WEIGHT = np.float32(100)  # of a cutoff that allows no error, against 1 of one that does


_CHUNK = 256


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
    networks: Sequence[runs.Run],
    images: Float[np.ndarray, "sample row column"] | None,
    cut: int,
    figure: str,
) -> None:
    """Display the playground; see ``playground`` for the arguments and errors."""
    page = playground(networks, images, cut, figure)
    widget.show(page, f"A widget that switches directions of {len(networks)} networks on and off")


def playground(
    networks: Sequence[runs.Run],
    images: Float[np.ndarray, "sample row column"] | None,
    cut: int,
    figure: str,
) -> str:
    """Write the playground as HTML, for a page with the scripts and styles of ``book/_static``.

    Args:
        networks: at least one, with stored states of the same samples; the first is shown first.
        images: of the samples, intensities as a fraction (0..1), or None where they are not at
            hand: then changes are told as numbers.
        cut: the direction that is off at first, from 1 to the number of directions.
        figure: identifier, on the same page, of the static figure to read without the script.

    Raises:
        ValueError: if the networks, the images or the direction do not fit, or make a page of more
            than ``widget.MOST_BYTES``.
    """
    _check(networks, images, cut)
    found = [round_coefficients(network) for network in networks]
    facts, data = _facts(networks, found, cut), _pack_levels(found)
    if images is not None:
        chosen = choose_pictures(found, PICTURES)
        numbers = _in_order_of_classes(networks[0])[chosen]
        facts["pictures"] = {
            "shape": images.shape[1:],
            "white": GREYS,
            "sample": chosen.tolist(),
            "number": numbers.tolist(),
        }
        data += np.rint(images[numbers] * GREYS).astype(np.uint8).tobytes()
    return _page(facts, data, figure)


def round_coefficients(network: runs.Run) -> Coefficients:
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
    """Round the coefficients of one class, with finer steps for directions that need them."""
    centre = _brief(values.mean(axis=0))
    least = 1e-9 + np.abs(values).max(axis=0) / 4096
    step = _brief(np.maximum(values.std(axis=0) / STEPS_PER_SPREAD, least))
    allowed = _allowed_errors(*values.shape)
    modes = np.arange(values.shape[1])
    for _ in range(_ATTEMPTS):
        levels, errors = _choose_levels(values, centre, step, scores, allowed)
        excess = np.abs(errors) - allowed
        if excess.max() <= 0 and np.abs(levels).max() < _LEVELS:
            return centre, step, levels
        step = _brief(np.where(excess.argmax() >> modes & 1, step / 1.5, step))
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


def _facts(networks: Sequence[runs.Run], found: Sequence[Coefficients], cut: int) -> dict[str, Any]:
    """Gather what the script needs beside the bytes."""
    return {
        "cut": cut,
        "counts": np.bincount(found[0].labels).tolist(),
        "colours": plots.DIGIT_COLOURS[: len(found[0].bias)],
        "networks": [_facts_of(*pair) for pair in zip(networks, found, strict=True)],
        "pictures": None,
    }


def _facts_of(network: runs.Run, one: Coefficients) -> dict[str, Any]:
    arrays = {
        "s": one.parts.s, "U": one.parts.U, "bias": one.bias,
        "centre": one.centre, "step": one.step,
    }  # fmt: skip
    return {"name": network.name} | {key: _numbers(array) for key, array in arrays.items()}


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


def _page(facts: dict[str, Any], data: bytes, figure: str) -> str:
    sentence = """With JavaScript, in a current browser, this is a playground: switches
that take directions out of the readout, and what the network still reads. Without them, see"""
    advice = "give fewer networks, or no images"
    return widget.widget("playground", sentence, figure, facts, data, advice)


def _check(networks: Sequence[runs.Run], images: np.ndarray | None, cut: int) -> None:
    """Refuse what does not fit, in one sentence."""
    if not networks:
        raise ValueError("no network is given: give at least one.")
    for network in networks:
        _check_network(network, networks[0])
    first = networks[0]
    assert first.labels is not None
    modes = min(first.readout.shape)
    if not 1 <= cut <= modes:
        raise ValueError(f"cut is {cut}: choose a direction from 1 to {modes}.")
    if images is not None:
        _check_images(images, len(first.labels))


def _check_images(images: np.ndarray, samples: int) -> None:
    if images.ndim != 3 or len(images) != samples:
        raise ValueError(
            f"images have shape {images.shape}: give ({samples}, row, column), one for each sample."
        )
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"images range from {images.min():g} to {images.max():g}: give fractions (0..1)."
        )


def _in_order_of_classes(network: runs.Run) -> Int[np.ndarray, " sample"]:
    """Number the samples of a network in the order of a page: class by class."""
    assert network.labels is not None
    return np.argsort(network.labels, kind="stable")


def _check_network(network: runs.Run, first: runs.Run) -> None:
    if network.states is None or network.labels is None:
        raise ValueError(f"run {network.name!r} holds no states of test samples: choose another.")
    if not np.isfinite(network.states).all():
        raise ValueError(f"run {network.name!r} holds states that are not finite: restore it.")
    classes = len(network.bias)
    if not 2 <= classes <= len(plots.DIGIT_COLOURS):
        raise ValueError(f"run {network.name!r} has {classes} classes: give one with 2 to 10.")
    if set(network.labels) != set(range(classes)):
        raise ValueError(f"run {network.name!r}: labels must be 0 to {classes - 1}, each there.")
    assert first.labels is not None
    if not np.array_equal(network.labels, first.labels) or classes != len(first.bias):
        raise ValueError(
            f"run {network.name!r} was tested on other samples than {first.name!r}: "
            "give networks with the same labels."
        )
    if min(network.readout.shape) != min(first.readout.shape):
        raise ValueError(
            f"runs {network.name!r} and {first.name!r} differ in directions: give the same number."
        )
