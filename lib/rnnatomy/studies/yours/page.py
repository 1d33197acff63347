"""What the page on a network from elsewhere shows: rows of its tables, and numbers of its text."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import cutoffs, explained, statistics
from rnnatomy.networks import access
from rnnatomy.store import disk, results
from rnnatomy.studies.yours import ends, gates, looked, readout, states, study

MOST_ROWS = 12
"""Of a table, and names beside a figure, so that both can be read."""

DRAWN = 500
"""Answers that are drawn as points."""

LINES = 12
"""Singular values, classes or outputs that are followed in a figure."""

SIDES = {"trained": "the network", "control": "control"}
"""Networks by their name on the page."""


def holds(found: study.Findings) -> dict[str, bool]:
    """Say what the page can tell of a network: cells of other things are left out."""
    trained, config = found.made["trained"], found.mine.network.config
    by_class = found.asked.task.by_class
    few = "pairs" in trained
    return {
        "classes": by_class,
        "values": not by_class,
        "few": few,
        "many": by_class and not few,
        "keeps": len(trained["constants"]) > 0,
        "forwards": not config["both_ways"],
        "turned": config["both_ways"],
        "predicts": found.asked.predicts and "loop_kinds" in trained,
        "followed": len(found.along) > 1,
        "alone": len(found.along) < 2,
        "curves": len(trained["curves"]) > 0,
        "exponents": len(trained.get("along", ())) > 0,
        "played": few and config["reads"] != "each",
    }


def names(found: study.Findings, most: int = 8) -> list[str]:
    """Return names of classes or outputs as they fit beside a figure, or their numbers.

    Args:
        found: of a study.
        most: letters.
    """
    words = [(name.split() or [name])[-1][:most] for name in found.asked.names]
    if len(set(words)) < len(words):
        words = [str(k) for k in range(len(words))]
    return [word.replace("$", r"\$") for word in words]


def thinned(words: Sequence[Any]) -> list[str]:
    """Return labels of which every so many-th stands, so that they can be read."""
    step = -(-len(words) // (2 * MOST_ROWS))
    return [str(word) if k % step == 0 else "" for k, word in enumerate(words)]


def some(count: int) -> Int[np.ndarray, " drawn"]:
    """Return which of so many answers are drawn as points, so that a page stays small."""
    return np.linspace(0, count - 1, min(count, DRAWN)).astype(int)


def facts(found: study.Findings) -> list[list[str]]:
    """Return rows that say what a network is, and how well it does."""
    config, lengths = found.mine.network.config, found.asked.task.lengths
    count = sum(array.size for array in access.flatten(found.mine.network).values())
    units = " and ".join(map(str, config["hidden"]))
    what = "classes" if found.asked.task.by_class else "numbers in an answer"
    rows = [
        ["file", found.mine.kind],
        ["cell, units", f"{config['cell']}, {units}{', both ways' * config['both_ways']}"],
        ["numbers in its arrays", f"{count:,}"],
        ["sequences", f"{len(lengths)}, of {lengths.min()} to {lengths.max()} frames"],
        ["numbers in a frame", str(config["feature"])],
        [what, str(len(found.asked.names))],
    ]
    return [*rows, *([what, told] for what, told in _scores(found))]


def _scores(found: study.Findings) -> list[tuple[str, str]]:
    """Return how well a network answers, and what needs no network at all."""
    truth, outputs = found.asked.task.answers, found.made["trained"]["outputs"]
    if found.asked.task.by_class:
        right = statistics.proportion(int((outputs.argmax(axis=1) == truth).sum()), len(truth))
        told = f"{right.value:.3f} ({right.low:.3f} to {right.high:.3f})"
        return [("answers rightly", told), ("the largest class alone", f"{largest(found):.3f}")]
    told = f"{explained.r_squared(outputs, truth).mean():.3f}"
    rows = [("share of variance explained", told), ("the mean of the targets alone", "0")]
    if found.asked.predicts:
        rows.append(("the frame before, unchanged", f"{largest(found):.3f}"))
    return rows


def largest(found: study.Findings) -> float:
    """Return what can be had for nothing: the share of the largest class, or a still frame."""
    task = found.asked.task
    if task.by_class:
        return float(np.bincount(task.answers).max() / len(task.answers))
    if found.asked.predicts:
        sequence, frame = task.places.T
        return float(explained.r_squared(task.inputs[sequence, frame], task.answers).mean())
    return 0.0


def confusion(found: study.Findings) -> Float[np.ndarray, "name name"]:
    """Return for each class the share of its answers that name each class."""
    counts = cutoffs.confusion(found.made["trained"]["outputs"], found.asked.task.answers)
    return counts / counts.sum(axis=1, keepdims=True)


def gate_rows(found: study.Findings) -> list[list[str]]:
    """Return a row for each matrix: its shape, and stable ranks beside those of chance."""
    network = found.mine.network
    many = len(network.RECURRENT) > 1
    rows = []
    for k, (layer, name) in enumerate(gates.names(network)):
        shape = " x ".join(map(str, access.matrices(network, layer)[name].shape))
        told = [
            f"{found.made[one][what][k]:.1f}"
            for one, what in (
                ("trained", "ranks"), ("trained", "shuffled_ranks"), ("control", "ranks"),
            )
        ]  # fmt: skip
        rows.append([f"{layer.replace('_', ' ')}, {name}" if many else name, shape, *told])
    return rows


def stand_in_rows(found: study.Findings, shown: Sequence[str]) -> list[list[str]]:
    """Return rows on pairs of directions of which one steps in for the other, by class.

    Args:
        found: of a readout of few classes.
        shown: names of these.
    """
    made = found.made["trained"]
    seen = _seen(made)
    pairs = readout.stand_ins(made["full"], made["single"][:seen], made["pairs"])
    first, second = cutoffs.pair_numbers(seen)
    rows = []
    for pair, label in np.argwhere(pairs)[:MOST_ROWS]:
        two = np.array([first[pair], second[pair]])
        star, other = two[np.argsort(made["single"][two, label], kind="stable")]
        told = [made["single"][star, label], made["single"][other, label]]
        numbers = [f"{x:.2f}" for x in (*told, made["pairs"][pair, label])]
        rows.append([shown[label], str(star + 1), str(other + 1), *numbers])
    return rows


def _seen(made: disk.Arrays) -> int:
    """Return how many directions softmax sees, or there are."""
    return min(len(made["singular_values"]), len(made["bias"]) - 1)


def bases_with_stand_ins(found: study.Findings) -> int:
    """Return in how many random bases there is such a pair."""
    made = found.made["trained"]
    pairs = [
        readout.stand_ins(made["full"], single, both).any()
        for single, both in zip(made["random"], made["random_pairs"], strict=True)
        if len(single) > 1
    ]
    return int(np.sum(pairs))


def end_rows(found: study.Findings, shown: Sequence[str], start: str = "") -> list[list[str]]:
    """Return rows that say where a network and its control end, the commonest places first.

    Args:
        found: of a study.
        shown: names of the classes.
        start: "" for what is fed one frame, "loop_" for what is fed its own answers.
    """
    rows = []
    for name, words in SIDES.items():
        made = found.made[name]
        for k, kind in enumerate(ends.kinds(made, start)[:6]):
            answer = made[f"{start}answers"][k]
            if found.asked.task.by_class:
                told = shown[int(answer[0] > 0) if len(answer) == 1 else int(answer.argmax())]
            else:
                told = ", ".join(f"{x:.2f}" for x in answer[:3]) + ", …" * (len(answer) > 3)
            share, rate = made[f"{start}shares"][k], made[f"{start}leading"][k]
            rows.append([words, kind, f"{share:.2f}", told, f"{round(rate, 4) + 0:.4f}"])
    return rows


def beside(found: study.Findings) -> list[list[str]]:
    """Return rows that say where its readout lies among a thousand that read MNIST.

    Each with its own number, the median of the thousand and what lies between their 5th and 95th
    percentile, and the share of them that lie below.
    """
    study_of = results.arrays(results.load_study("thousand").data)
    own = {key: found.made["trained"][key] for key in ("singular_values", "single", "full")}
    own |= {key: found.made["trained"][key] for key in ("worth", "nearest_constant")}
    rows = []
    for (name, value), (_, many) in zip(
        _measures(own, own["worth"]), _measures(study_of, study_of["shapley"]), strict=True
    ):
        low, middle, high = np.percentile(many, [5, 50, 95])
        below = float(np.mean(many < value) + np.mean(many == value) / 2)
        rows.append(
            [name, f"{value:.2f}", f"{middle:.2f} ({low:.2f} to {high:.2f})", f"{below:.0%}"]
        )
    return rows


def _measures(made: disk.Arrays, worth: np.ndarray) -> list[tuple[str, Any]]:
    """Return what is compared, by name: of one network, or of many along the first axis."""
    energy = np.asarray(made["singular_values"], np.float64) ** 2
    single = np.asarray(made["single"], np.float64)
    lost = readout.lost(single, np.asarray(made["full"], np.float64))
    return [
        ("energy of the readout in its first direction", energy[..., 0] / energy.sum(axis=-1)),
        ("cosine of a direction with the constant one", np.asarray(made["nearest_constant"])),
        ("share of classes that hang on one direction", lost.mean(axis=-1)),
        ("least recall left without one direction", single.min(axis=(-2, -1))),
        ("largest worth of a direction to a class", np.asarray(worth).max(axis=(-2, -1))),
    ]


def readers(found: study.Findings) -> dict[str, Float[np.ndarray, " share"]]:
    """Return how well each reader does after ``states.SHARES`` of a sequence, -0.5 at least."""
    trained, control, rivals = (found.made[name] for name in ("trained", "control", "rivals"))
    scores = {
        "its own readout": trained["own"],
        "a line, its state": trained["line"],
        "a line, the control's state": control["line"],
        "a line, the frame": rivals["frame"],
        "a line, the mean frame": rivals["mean_frame"],
    }
    return {name: np.maximum(each, -0.5) for name, each in scores.items()}


def followed(found: study.Findings) -> dict[str, Float[np.ndarray, "checkpoint ..."]]:
    """Return what is drawn along checkpoints, by its words."""
    what = ("score", "singular_values", "single", "along")
    rows = [[made[key] for key in what] for made in found.along.values()]
    score, values, single, exponent = (
        (np.stack(column) for column in zip(*rows, strict=True)) if rows else [np.zeros((0, 1))] * 4
    )
    return {
        "score": score,
        "singular values": values[:, :LINES],
        "exponent": exponent,
        "without a direction": single.min(axis=1)[:, :LINES] if rows else single,
    }


def number_format(found: study.Findings) -> str | None:
    """Return how numbers are written into cells of a heat map, or None where there are too many."""
    return ".2f" if len(found.asked.names) <= MOST_ROWS else None


def course_rows(found: study.Findings) -> list[list[str]]:
    """Return a row for each checkpoint: what of this page holds for it."""
    rows = []
    for name, made in found.along.items():
        count = int(readout.lost(made["single"], made["full"]).sum())
        told = [f"{made['score']:.3f}", f"{made['singular_values'][0]:.2f}", str(count)]
        told += [f"{made['recurrent']:.1f}", f"{made['modes']:.0f}", f"{made['along']:+.3f}"]
        rows.append([name, *told])
    return rows


def numbers(found: study.Findings) -> dict[str, str]:
    """Return what the text of the page says of a network, by name."""
    trained, control = (found.made[name] for name in SIDES)
    rivals = found.made["rivals"]
    by_class = found.asked.task.by_class
    score = (lambda x: f"{x:.1%}") if by_class else (lambda x: f"{x:.3f}")
    random = readout.lost(trained["random"], trained["full"]).any(axis=1).sum()
    recurrent = [name.startswith("recurrent") for _, name in gates.names(found.mine.network)]
    told: dict[str, Any] = {
        "right": score(looked.score(trained["outputs"], found.asked.task.answers)),
        "rival": score(rivals["mean_frame"][-1]),
        "early": score(trained["own"][0]),
        "first": score(rivals["frame"][0]),
        "state": score(trained["line"][-1]),
        "fresh": score(control["line"][-1]),
        "free": score(largest(found)),
        "classes": len(found.asked.names),
        "lost": readout.lost(trained["single"], trained["full"]).sum(),
        "least": f"{trained['single'].min():.2f}",
        "bases": len(trained["random"]),
        "random": random,
        "rank": f"{np.nanmean(trained['ranks'][recurrent]):.1f}",
        "rank_start": f"{np.nanmean(control['ranks'][recurrent]):.1f}",
        "rank_chance": f"{np.nanmean(trained['shuffled_ranks'][recurrent]):.1f}",
        "modes": study.modes_for(trained),
        "modes_start": study.modes_for(control),
        "units": len(trained["readout"].T),
        "cut": score(trained["cut"][_half()]),
        "cut_random": score(trained["cut_random"][_half()]),
        "cut_full": score(trained["cut_full"]),
    }
    told |= _of_readout(found) if by_class else {}
    told |= _of_gates(trained, control) if len(trained["constants"]) else {}
    told |= _of_ends(found, trained, control) if "kinds" in trained else {}
    return {f"you_{name}": str(value) for name, value in told.items()}


def _half() -> int:
    """Return the place of the common cutoff that keeps nine tenths of the energy."""
    return gates.ENERGIES.index(0.9)


def _of_readout(found: study.Findings) -> dict[str, Any]:
    trained, control = (found.made[name] for name in SIDES)
    direction, label = np.unravel_index(trained["worth"].argmax(), trained["worth"].shape)
    told = {
        "blind": f"{trained['nearest_constant']:.2f}",
        "blind_start": f"{control['nearest_constant']:.2f}",
        "worth": f"{trained['worth'].max():.2f}",
        "worth_class": found.asked.names[int(label)],
        "worth_direction": int(direction) + 1,
        "worth_error": f"{trained['worth_errors'].max():.3f}",
        "orders": readout.ORDERS,
    }
    if "pairs" in trained:
        told["pairs"] = len(stand_in_rows(found, found.asked.names))
        told["pairs_random"] = bases_with_stand_ins(found)
    return told


def _of_gates(trained: disk.Arrays, control: disk.Arrays) -> dict[str, Any]:
    own, other = (np.median(made["constants"]) for made in (trained, control))
    longest = max(trained["constants"])
    return {"tau": f"{own:.1f}", "tau_start": f"{other:.1f}", "tau_longest": f"{longest:.0f}"}


def _of_ends(found: study.Findings, trained: disk.Arrays, control: disk.Arrays) -> dict[str, Any]:
    told: dict[str, Any] = {
        "ends": _places(len(trained["kinds"])),
        "ends_before": _places(len(control["kinds"])),
        "frames": f"{2 * found.steps:,}",
        "settled": f"{trained['settled'][0]:.0%}",
        "starts": len(ends.chosen(len(found.asked.task.lengths))),
    }
    if len(trained["along"]):
        told["along"] = f"{trained['along'].mean():+.3f}"
        told["along_low"], told["along_high"] = (
            f"{x:+.3f}" for x in np.percentile(trained["along"], [0, 100])
        )
        told["along_start"] = f"{control['along'].mean():+.3f}"
    if "loop_kinds" in trained:
        told["loop"] = _places(len(trained["loop_kinds"]))
        told["loop_before"] = _places(len(control["loop_kinds"]))
    return told


def _places(count: int) -> str:
    return f"{count} place" + "s" * (count != 1)


def kept(found: study.Findings) -> disk.Arrays:
    """Return all arrays of a study, such as "trained.worth", for a file."""
    return {
        f"{name}.{what}": array for name, made in found.made.items() for what, array in made.items()
    }


def curves(found: study.Findings, name: str) -> list[tuple[str, int, np.ndarray]]:
    """Return trajectories of a network in its first modes: name, group and places of each."""
    made, group = found.made[name], states.groups(found.asked.task)
    return [
        (f"sequence {int(number)}", int(group[int(number)]), row[np.isfinite(row).all(axis=1)])
        for number, row in zip(made["curve_sequence"], made["curves"], strict=True)
        if np.isfinite(row).all(axis=1).sum() > 1
    ]


def group_names(found: study.Findings, shown: Sequence[str]) -> list[str]:
    """Return what the groups of ``curves`` are: classes, or thirds of the first target."""
    if found.asked.task.by_class:
        return list(shown[: states.ACROSS])
    return ["lowest third", "middle third", "highest third"]
