"""The study of a network from elsewhere: its jobs, and what came of them, in one object.

found = study.look(load.load("model.safetensors", "test.npz"))
found                                   # a table of what was found, in a notebook too
found.arrays("trained")["worth"]        # what each direction is worth to each class
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rnnatomy.analysis import checks
from rnnatomy.networks import access, models
from rnnatomy.networks.foreign import load, ways
from rnnatomy.networks.foreign.raw import ForeignError
from rnnatomy.store import disk
from rnnatomy.studies import engine, progress
from rnnatomy.studies.yours import asked, course, ends, gates, looked, readout, states

LONG, SHORT = 20_000, 200
"""Frames for which a network is left alone, and again as many; and the fewest."""

FRAMES = ("zero", "mean")
"""What it may be fed for ever."""

GROWN = 1e12
"""Size of a state from which on a network counts as one that runs away."""


class Findings(NamedTuple):
    """What came of a study.

    Attributes:
        mine: the network, and how it was read.
        asked: what it was asked.
        networks: itself, "trained", and its "control".
        control: what the control is, in words.
        steps: after how many frames it was looked at when left alone, and again after as many.
        made: arrays by name, of each network by its name, of the "rivals" without one, and of each
            checkpoint as "along NAME".
    """

    mine: load.Foreign
    asked: asked.Asked
    networks: dict[str, models.Stacked]
    control: str
    steps: int
    made: dict[str, disk.Arrays]

    def arrays(self, name: str) -> disk.Arrays:
        """Return what was found of a network, or of the rivals."""
        return self.made[name]

    @property
    def along(self) -> dict[str, disk.Arrays]:
        """What was found of each checkpoint, by its name."""
        start = "along "
        return {
            name.removeprefix(start): arrays
            for name, arrays in self.made.items()
            if name.startswith(start)
        }

    def rows(self) -> list[tuple[str, str, str]]:
        """Return what was found in a few rows: what, of the network, and of its control."""
        answers = self.asked.task.answers
        columns = [_column(self.made[name], answers) for name in self.networks]
        last = f"{self.made['rivals']['mean_frame'][-1]:.3f}"
        own, other = columns
        rows = [(what, own[what], other[what]) for what in own]
        return [*rows, ("a line, the mean of the frames, without a network", last, last)]

    def __repr__(self) -> str:
        """Say what was found, in lines."""
        lines = [f"  {what:52s} {own:>10s} {other:>10s}" for what, own, other in self._table()]
        return "\n".join([repr(self.mine), *lines])

    def _repr_html_(self) -> str:
        """Say what was found, in a table."""
        head, *rows = self._table()
        cells = "".join(f"<th>{escape(word)}</th>" for word in head)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(word)}</td>" for word in row) + "</tr>" for row in rows
        )
        words = escape(repr(self.mine))
        return f"<p>{words}</p><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"

    def _table(self) -> list[tuple[str, str, str]]:
        return [("", "trained", "control"), *self.rows()]


def _column(found: disk.Arrays, answers: np.ndarray) -> dict[str, str]:
    """Return what is said of one network."""
    by_class = answers.dtype.kind == "i"
    names = "classes" if by_class else "outputs"
    lost = readout.lost(found["single"], found["full"])
    column = {
        "answers rightly" if by_class else "variance explained": (
            f"{looked.score(found['outputs'], answers):.3f}"
        ),
        f"{names} that hang on one direction": str(int(lost.sum())),
        "modes for 95 percent of the energy": str(modes_for(found)),
        "a line, its state": f"{found['line'][-1]:.3f}",
        "mean stable rank of its matrices": f"{gates.mean_rank(found['ranks']):.1f}",
    }
    if len(found["constants"]):
        column["median time constant, frames"] = f"{np.median(found['constants']):.1f}"
    if "kinds" in found:
        column["places where it ends, fed one frame"] = str(len(found["kinds"]))
    if len(found.get("along", ())):
        column["leading exponent along inputs"] = f"{found['along'].mean():+.3f}"
    return column


def modes_for(found: disk.Arrays, share: float = states.ENERGY) -> int:
    """Return how many modes hold a share of the energy of a network's states; 0 if it has none."""
    held = np.cumsum(found["energies"], dtype=np.float64)
    return int(np.searchsorted(held, share * (1 - 1e-6)) + 1) if held[-1] else 0


def look(
    mine: load.Foreign,
    *,
    before: Path | None = None,
    along: Path | None = None,
    frame: str = "zero",
    long: int = LONG,
    seed: int = 0,
    report: Callable[[str], None] = progress.print_line,
) -> Findings:
    """Ask a network from elsewhere everything that this book asks.

    What takes time are jobs of the engine: they run on all cores, and what is done is kept in
    ``build/jobs`` and taken from there when the same is asked again.

    Args:
        mine: from ``load.load``, with sequences.
        before: file with its weights before training, for a control; None: its own numbers,
            shuffled within each array.
        along: folder with checkpoints of its training.
        frame: what it is fed for ever, of ``FRAMES``: zero, or the mean of all frames.
        long: frames after which it is looked at then, and again after as many, at least ``SHORT``;
            fewer for a large network, see ``ends.steps_for``.
        seed: of sequences, shuffles and random directions that are drawn.
        report: called with a line now and then.

    Raises:
        ForeignError: if a file cannot be taken, or this cannot be asked of the network.
        EngineError: if a job fails.
    """
    if frame not in FRAMES:
        raise ForeignError(f"frame is {disk.brief(frame, 40)}: give {' or '.join(FRAMES)}.")
    if not checks.is_whole(long, SHORT):
        raise ForeignError(f"long is {long}: give a whole number of {SHORT} frames at least.")
    rng = np.random.default_rng(seed)
    given = asked.ask(mine, rng)
    networks = {"trained": mine.network}
    networks["control"] = (
        access.shuffled(mine.network, rng) if before is None else same(mine, before)
    )
    files = [] if along is None else course.checkpoints(along)
    followed = {name: same(mine, path) for name, path in _by_name(files).items()}
    for name, network in (*networks.items(), *followed.items()):
        _refuse_growth(name, network, given.task)
    task, steps = given.task, ends.steps_for(mine.network.config, long)
    fed = ends.mean_frame(task) if frame == "mean" else np.zeros(task.inputs.shape[2])
    jobs = _jobs(networks, followed, given, fed.astype(np.float32), steps, seed)
    kept = engine.run("yours", [job for _, job in jobs], report=report)
    made: dict[str, disk.Arrays] = {}
    for (name, _), one in zip(jobs, kept, strict=True):
        made[name] = made.get(name, {}) | engine.load(one).arrays
    words = "its own numbers, shuffled" if before is None else "its weights before training"
    return Findings(mine, given, networks, words, steps, made)


def same(mine: load.Foreign, path: Path) -> models.Stacked:
    """Return another file of the same network, read the same way.

    Raises:
        ForeignError: if it cannot be, or is a network of another shape.
    """
    way, what = mine.proof.way, load.find(load.read(path))
    choices = ways.Choices(way.head.name, way.reads, way.output, way.cell)
    # the proof has told whether a normalisation is used; this file has no proof of its own
    alike = [one for one in ways.ways(what, choices) if _norm(one) == _norm(way)]
    other = ways.build(what, alike[0]) if alike else None
    if other is None or other.config != mine.network.config:
        raise ForeignError(
            f"{path.name!r} holds a network of another shape: give weights of the same one."
        )
    return other


def _norm(way: ways.Way) -> str | None:
    return None if way.norm is None else way.norm.name


def _by_name(files: Sequence[Path]) -> dict[str, Path]:
    """Return files by their names without the end, or with it where two are the same without."""
    stems = [path.stem for path in files]
    return {path.name if stems.count(path.stem) > 1 else path.stem: path for path in files}


def _refuse_growth(name: str, network: models.Stacked, task: asked.Task) -> None:
    """Refuse a network of ReLUs whose states grow without end while it reads.

    Raises:
        ForeignError: if they do.
    """
    if network.config["cell"] != "elman-relu":  # states of the others are from -1 to 1
        return
    counts = np.arange(task.inputs.shape[1]) < task.lengths[:, None]
    reached = ways.states(network, task.inputs, task.lengths)[counts]
    if not (np.abs(reached) < GROWN).all():
        what = (
            "weights from before the training for a control"
            if name == "control"
            else "weights of a training that holds, or shorter sequences"
        )
        raise ForeignError(f"states of {name!r} grow without end along the sequences: give {what}.")


def _jobs(
    networks: Mapping[str, models.Stacked],
    followed: Mapping[str, models.Stacked],
    given: asked.Asked,
    fed: np.ndarray,
    steps: int,
    seed: int,
) -> list[tuple[str, engine.Job]]:
    """Return all jobs, those that take longest first, with the name of what they are about."""
    task, jobs = given.task, []

    def add(name: str, what: str, work: Any, network: models.Stacked, **more: Any) -> None:
        settings = {"config": network.config} | {
            key: value for key, value in more.items() if not isinstance(value, np.ndarray)
        }
        inputs = {"weights": access.flatten(network), "task": task} | {
            key: value for key, value in more.items() if isinstance(value, np.ndarray)
        }
        jobs.append((name, engine.Job(f"{what} of {name}", work, settings, inputs)))

    for name, network in networks.items():
        add(name, "states", states.measure, network)
    for name, network in networks.items():
        loop = {"steps": steps, "predicts": given.predicts}
        add(name, "ends", ends.measure, network, frame=fed, **loop)
    for name, network in networks.items():
        add(name, "gates", gates.measure, network, seed=seed)
    for name, network in networks.items():
        add(name, "readout", readout.measure, network, seed=seed)
    rivals = engine.Job("lines without a network", states.measure_rivals, {}, {"task": task})
    jobs.append(("rivals", rivals))
    for name, network in followed.items():
        add(f"along {name}", "course", course.measure, network, seed=seed)
    return jobs
