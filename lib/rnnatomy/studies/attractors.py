"""Is the decoder the attractor? Decoders of circle and ellipse are run for ever, to see where.

The second study says that the encoder starts a trajectory and that the decoder is its attractor.
Here decoders go on by themselves, fed with their own outputs, from where they stand after sequences
that no network was trained on. Where they end is counted: which limit sets there are, of which
kind, how fast they turn, how strongly they are held, and which families of sequences end in which.
*A set belongs to one family* if more than ``ALONE`` of the starts that end in it are of that
family. The networks are those of ``orbits``, trained again in the same way, with the same controls:
futures of other sequences, and no training. Some are followed through training. Other cells do the
same task at one size.

Known beforehand: three GRUs of 16 units, trained on two families for 25 epochs instead of 40, ended
in one invariant circle each, of 50.02 to 50.10 frames a turn, in which both families met; second
exponents were -0.18 to -0.27.

Expected before any other of these numbers was seen:

1. *Two families*: at least nine in ten trained networks end in one set alone, an invariant circle,
   that both families share. Fewer than a tenth have a set for each family.
2. *Four families*: most trained networks have more than one set, and a set never mixes families
   that turn in opposite senses. A set for each family: in fewer than a quarter of the networks.
3. Circles turn as the families do: within 1 % of the true frames per turn with two families; with
   four, within 2 % where a set belongs to one family.
4. The second exponent of a trained circle is below -0.02 in most networks, so that a difference in
   size is forgotten within one slow turn. It does not grow or fall steadily with the size of the
   network.
5. All untrained networks end in one fixed point. So do most that were trained on shuffled futures.
6. Along training, a fixed point gives way to a circle within five epochs in most networks of two
   families; with four families the number of sets grows later than that.
7. The other cells agree with the GRU in number and kind of sets, two families, in at least three of
   four networks; the Elman cell least often.
8. Finished networks of two families have one fixed point, within the circle, with two unstable
   directions, in most cases. With four families there are more.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int

from rnnatomy.analysis import dynamics, maps, pod
from rnnatomy.data import orbits as families
from rnnatomy.networks import access, autonomous, predictors, training
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, gauges, orbits, progress
from rnnatomy.studies.movement import fitting

STARTS = 64
"""Test sequences after which each decoder goes on, over all families, as many of each."""

STEPS = 4000
"""Half of the frames for which they go on."""

TOLERANCE = 1e-2
"""States that are no further apart are the same; each of their numbers mostly is from -1 to 1."""

SETS, POINTS = 6, 6
"""So many limit sets and fixed points of each network are kept at most, the largest basins first;
all are counted."""

EXPONENTS = 3
"""Leading Lyapunov exponents of each set."""

FLAT = 1e-3
"""Size of an exponent, per frame, that is taken as zero where sets are compared: in a thousand
frames a push grows or shrinks by no more than e."""

ALONE = 0.95
"""More than this fraction of the starts of a set are of one family, if it belongs to it."""

SHARES, NOISE = (1.0, 0.5, 0.25, 0.1, 0.0), 0.1
"""Fixed points are looked for from states at these shares of the ways from the middle of all states
to those that decoders start from, with noise of this share of the states' spread: they mostly lie
within the circles, where decoders never come."""

ALONG = (0, 1, 2, 5, 10, 20, 40)
"""Epochs after which networks are asked where they end."""

CELLS = ("lstm", "elman", "minimal-lstm")
"""Cells besides the GRU that do the task "two" with ``orbits.CONTROL_SIZE`` units."""

NONE = -1
"""In place of the number of a kind, where there is no such set."""

DRAWN, WAYS, STEPS_SHOWN, PUSH = 150, 8, 120, 0.3
"""Of one network per size: states of each set, and trajectories and their frames, that are shown;
and the size of the pushes, as a share of the size of the sets."""

MODES = 3
"""Modes of hidden states in which they are shown."""

SET_AXES = {
    "error": (),
    "sets": (),
    "settled": (),
    "away": (),
    "kind": ("set",),
    "period": ("set",),
    "basin": ("set", "family"),
    "exponents": ("set", "exponent"),
    "exponent_errors": ("set", "exponent"),
    "winding": ("set",),
    "rotation": ("set",),
    "rotation_error": ("set",),
    "half_axes": ("set", "half_axis"),
}

POINT_AXES = {
    "points": (),
    "reached": (),
    "point_share": ("point",),
    "point_unstable": ("point",),
    "point_modulus": ("point",),
}

SHOWN_AXES = {
    "shown_sets": ("shown_set", "drawn", "mode"),
    "shown_outputs": ("shown_set", "drawn", "feature"),
    "shown_ways": ("way", "frame", "mode"),
    "shown_pushed": ("push", "frame", "mode"),
    "shown_energy": ("mode",),
}

AXES = {
    **{name: ("network", *axes) for name, axes in (SET_AXES | POINT_AXES).items()},
    **{f"along_{name}": ("training", "epoch", *axes) for name, axes in SET_AXES.items()},
    **{name: ("shown", *axes) for name, axes in SHOWN_AXES.items()},
}
"""Axes of the published arrays, see ``of_sets``, ``of_points`` and ``to_show``.

``training`` is every GRU with state "trained", ``shown`` the first of them of each size.
"""


class Batch(NamedTuple):
    """Networks of the study that differ in their seed alone.

    Attributes:
        cell: name of it, see ``cells.CELLS``.
        task: as of ``orbits.Batch``.
        hidden: number of units.
        state: one of ``orbits.STATES``.
    """

    cell: str
    task: str
    hidden: int
    state: str

    @property
    def name(self) -> str:
        """Its name, such as "gru-two-8-trained"."""
        return "-".join(map(str, self))

    @property
    def followed(self) -> bool:
        """Whether its networks are followed through training."""
        return self.cell == "gru" and self.state == "trained"


def publish(networks: int = 8, report: Callable[[str], None] = progress.print_line) -> None:
    """Train decoders, run them for ever, and publish where they end: ``results/attractors``.

    Each network is a job.

    Args:
        networks: how many of each cell, task, size and state, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
    """
    rows = [(batch, seed) for batch in _batches() for seed in range(networks)]
    in_turn = sorted(rows, key=lambda row: (row[0].cell, -row[0].hidden, row[0].task))
    kept = engine.run("attractors", [_job(*row) for row in in_turn], report=report)
    done = dict(zip(in_turn, kept, strict=True))
    found = [engine.load(done[row]).arrays for row in rows]
    arrays: disk.Arrays = {}
    for axis in ("network", "training", "shown"):
        arrays |= results.stack(found, AXES, axis)
    data = results.dataset(arrays, AXES, _coordinates(rows))
    facts = {"networks": data.sizes["network"], "seeds": networks}
    results.publish("attractors", data, engine.facts(kept) | _facts() | facts)


def measure(
    cell: str,
    task: str,
    hidden: int,
    state: str,
    seed: Sequence[int],
    recipe: dict[str, Any] | None = None,
) -> list[disk.Arrays]:
    """Train networks of a batch, and tell where their decoders end, as a job.

    Args:
        cell: as of ``Batch``.
        task: as of ``Batch``.
        hidden: as of ``Batch``.
        state: as of ``Batch``.
        seed: one network each.
        recipe: fields of the recipe; None for networks that are not trained.

    Returns:
        What is found of each, by the names of ``AXES``, without their first axis.
    """
    batch = Batch(cell, task, hidden, state)
    data = orbits.task(np.random.default_rng(0), task)
    create = predictors.seq2seq(2, hidden, cell=cell)
    fresh = [create(jax.random.key(number)) for number in seed]
    if recipe is None:
        pairs = zip(fresh, seed, strict=True)
        return [_finished(model, data.test, number) for model, number in pairs]
    fitted = fit(batch, data, seed, training.Recipe(**recipe))
    rows = []
    for place, number in enumerate(seed):
        models = [fresh[place], *map(access.in_jax, fitting.networks_by_epoch(fitted, place))]
        row = _finished(models[-1], data.test, number)
        if batch.followed:
            row |= _follow([models[epoch] for epoch in _epochs(recipe["epochs"])], data.test)
            row |= to_show(models[-1], data.test) if number == 0 else {}
        rows.append(row)
    return rows


def of_sets(model: Any, test: families.Orbits) -> disk.Arrays:
    """Run a decoder on for ever, after sequences were read, and describe where it ends.

    Args:
        model: a predictor.
        test: sequences that it was not trained on, ``STARTS`` or more.

    Returns:
        By name: "error", mean squared, of predictions; "sets", how many; fractions of the starts
        that had "settled" at half time, and that ran "away". And of each set, with ``NONE`` or not
        a number where there are fewer: "kind", a number in ``maps.KINDS``; "period"; "basin", the
        fraction of each family's starts that end in it; the leading "exponents" and their errors;
        "winding", "rotation" and its error, see ``turns``; and "half_axes", see ``half_axes``.
        "settled" is cautious: of a circle that is filled slowly, see ``join_alike``, some starts
        may count as not settled.
    """
    network = autonomous.closed_loop(model)
    few, labels = few_of_each(test)
    found = _limit_sets(network, network.start(few.inputs))
    drawn = network.outputs(found.orbits)
    lines = [turns(*one) for one in zip(found.orbits, drawn, found.names, strict=True)]
    told = np.array(lines).reshape(len(lines), 3)
    arrays = {
        "kind": results.filled(found.kinds, SETS, float(NONE)),
        "period": results.filled(found.periods, SETS, 0.0),
        "basin": results.filled(_basins(found, labels), SETS),
        "exponents": results.filled(found.exponents, SETS),
        "exponent_errors": results.filled(found.errors, SETS),
        "winding": results.filled(told[:, 0], SETS),
        "rotation": results.filled(told[:, 1], SETS),
        "rotation_error": results.filled(told[:, 2], SETS),
        "half_axes": results.filled(
            np.array([half_axes(one) for one in drawn]).reshape(-1, 2), SETS
        ),
        "error": gauges.error(model, orbits.examples(test)),
        "sets": len(found.kinds),
        "settled": found.settled.mean(),
        "away": (found.basins < 0).mean(),
    }
    return disk.single(arrays)


def join_alike(
    found: maps.LimitSets, drawn: Float[np.ndarray, "set time feature"]
) -> maps.LimitSets:
    """Take limit sets as one that are alike in all that is measured of them.

    A circle whose turn takes nearly a whole number of frames, as those that were learnt do, is
    filled so slowly that orbits lie apart on it for long, and look like several.

    Args:
        found: sets of a decoder.
        drawn: what is read from the states on each.

    Returns:
        Sets that differ in turns per frame by more than 1 in 10,000, in half-axes or centre of what
        is drawn by more than 1 % of its size, or in the second exponent by more than 2 % and
        ``FLAT``; and all fixed points. Of those that are one, the first is kept.
    """
    if not len(found.kinds):
        return found
    values, scales = _measured(found, drawn)
    apart = np.abs(values[:, None] - values) > np.minimum(scales[:, None], scales)
    first = np.argmin(apart.any(axis=2) & ~np.eye(len(values), dtype=bool), axis=1)
    kept, rank = np.unique(first, return_inverse=True)
    counts = np.bincount(rank[found.basins[found.basins >= 0]], minlength=len(kept))
    order = np.argsort(-counts, kind="stable")
    places = np.append(np.argsort(order, kind="stable")[rank], -1)  # those that ran away
    parts = {name: getattr(found, name)[kept[order]] for name in found._fields[:5]}
    return found._replace(**parts, basins=places[found.basins])


def turns(
    orbit: Float[np.ndarray, "time hidden"], drawn: Float[np.ndarray, "time feature=2"], kind: str
) -> tuple[float, float, float]:
    """Measure how fast a limit set is gone round, in two ways.

    Args:
        orbit: states on it, one per frame.
        drawn: what is read from them.
        kind: one of ``maps.KINDS``.

    Returns:
        Turns per frame of what is drawn about its centre, above 0 if anticlockwise; turns per frame
        of the states round a closed curve, without a sense, see ``maps.rotation``, and the error of
        these; not a number where there is no such curve.
    """
    if kind == "fixed point":
        return 0.0, np.nan, np.nan
    angles = np.angle((drawn - drawn.mean(axis=0)) @ np.array([1, 1j]))
    steps = (np.diff(angles) + np.pi) % (2 * np.pi) - np.pi
    inner = np.arange(1, len(steps) + 1) / (len(steps) + 1)
    # weights that vanish at both ends forget where the orbit began and ended
    winding = np.average(steps, weights=np.exp(-1 / (inner * (1 - inner)))) / (2 * np.pi)
    try:
        return (winding, *maps.rotation(orbit))
    except ValueError:  # it is no closed curve, or too crumpled to be put in order
        return winding, np.nan, np.nan


def half_axes(drawn: Float[np.ndarray, "time feature=2"]) -> Float[np.ndarray, " half_axis=2"]:
    """Return the half-axes of the ellipse of the same variance, the longer one first."""
    variances = np.linalg.eigvalsh(np.cov(drawn.T))[::-1]
    return np.sqrt(2 * np.maximum(variances, 0))


def of_points(model: Any, test: families.Orbits, rng: np.random.Generator) -> disk.Arrays:
    """Look for the fixed points of a decoder, from states that it starts from and further inside.

    Args:
        model: a predictor.
        test: sequences that it was not trained on, ``STARTS`` or more.
        rng: source of the noise.

    Returns:
        By name: "points", how many; "reached", the fraction of starts from which one was found.
        And of each point, with not a number where there are fewer: "point_share", the fraction of
        those that led to it; "point_unstable", directions that grow; "point_modulus", of the
        largest eigenvalue.
    """
    network = autonomous.closed_loop(model)
    starts = network.start(few_of_each(test)[0].inputs)
    middle = starts.mean(axis=0)
    away = starts - middle
    size = NOISE * np.sqrt(np.square(away).mean())
    many = [middle + share * away + size * rng.normal(size=away.shape) for share in SHARES]
    try:
        found = maps.fixed_points(network.step, np.concatenate(many))
    except ValueError:  # none is found
        nothing = np.full(POINTS, np.nan)
        names = [name for name, axes in POINT_AXES.items() if axes]
        return disk.single(dict.fromkeys(names, nothing) | {"points": 0, "reached": 0})
    reached = found.counts.sum()
    arrays = {
        "points": len(found),
        "reached": reached / (len(SHARES) * len(starts)),
        "point_share": results.filled(found.counts / reached, POINTS),
        "point_unstable": results.filled(found.unstable, POINTS),
        "point_modulus": results.filled(np.abs(found.eigenvalues[:, 0]), POINTS),
    }
    return disk.single(arrays)


def to_show(model: Any, test: families.Orbits) -> disk.Arrays:
    """Draw the limit sets of a decoder, and ways into them, in few modes of its hidden states.

    Modes are those of the ways and sets together, centred. Pushes are along both senses of each
    mode, from one state of the first set.

    Args:
        model: a predictor whose cell carries its hidden state alone.
        test: sequences that it was not trained on, ``STARTS`` or more.

    Returns:
        By name: "shown_sets" and "shown_outputs", states of each set and what is read from them;
        "shown_ways" and "shown_pushed", trajectories; "shown_energy", the fraction of each mode.
    """
    network = autonomous.closed_loop(model)
    few, labels = few_of_each(test)
    starts = network.start(few.inputs)
    sets = _limit_sets(network, starts).orbits[:SETS, :DRAWN]
    in_turn = np.argsort(_number_in_family(labels), kind="stable")[:WAYS]
    ways = maps.run(network.step, starts[in_turn], STEPS_SHOWN, STEPS_SHOWN)
    every = np.concatenate([*sets, *ways])
    basis = pod.pod(every, centred=True)
    unit = dynamics.orbit_size(every[None])
    along = PUSH * unit * basis.modes[:MODES]
    begun = ways[0, -1] if not len(sets) else sets[0, 0]
    pushed = maps.run(
        network.step, begun + np.concatenate([along, -along]), STEPS_SHOWN, STEPS_SHOWN
    )

    def seen(states: np.ndarray) -> np.ndarray:
        return (states - basis.mean) @ basis.modes[:MODES].T

    arrays = {
        "shown_sets": results.filled(seen(sets), SETS),
        "shown_outputs": results.filled(network.outputs(sets), SETS),
        "shown_ways": seen(ways),
        "shown_pushed": seen(pushed),
        "shown_energy": pod.energies(basis)[:MODES],
    }
    return disk.single(arrays)


def _finished(model: Any, test: families.Orbits, seed: int) -> disk.Arrays:
    return of_sets(model, test) | of_points(model, test, np.random.default_rng(seed))


def _follow(models: Sequence[Any], test: families.Orbits) -> disk.Arrays:
    """Tell where a network ends after some epochs, one after the other."""
    every = [of_sets(model, test) for model in models]
    return {f"along_{name}": np.stack([one[name] for one in every]) for name in SET_AXES}


def _limit_sets(
    network: autonomous.Autonomous, starts: Float[np.ndarray, "start size"]
) -> maps.LimitSets:
    found = maps.limit_sets(network.step, starts, STEPS, count=EXPONENTS, tolerance=TOLERANCE)
    return join_alike(found, network.outputs(found.orbits))


def _measured(
    found: maps.LimitSets, drawn: Float[np.ndarray, "set time feature"]
) -> tuple[Float[np.ndarray, "set value"], Float[np.ndarray, "set value"]]:
    """Return what is measured of each set, and by how much each may differ in one and the same."""
    told = zip(found.orbits, drawn, found.names, found.exponents[:, 1], strict=True)
    rows = []
    for orbit, path, kind, second in told:
        winding, size = turns(orbit, path, kind)[0], half_axes(path)
        values = [winding, *size, *path.mean(axis=0), second]
        scales = [1e-4 * abs(winding), *[0.01 * size[0]] * 4, 0.02 * abs(second) + FLAT]
        # no two fixed points are one: they were told apart as states
        rows.append((values, scales if kind != "fixed point" else [-1.0] * 6))
    both = np.array(rows).reshape(-1, 2, 6)
    return both[:, 0], both[:, 1]


def few_of_each(test: families.Orbits) -> tuple[predictors.Examples, Int[np.ndarray, " sample"]]:
    """Return some test sequences, as many of each family, and their labels."""
    each = STARTS // len(test.names)
    rows = np.sort(np.flatnonzero(_number_in_family(test.labels) < each))
    return predictors.Examples(test.inputs[rows], test.targets[rows]), test.labels[rows]


def _number_in_family(labels: Int[np.ndarray, " sample"]) -> Int[np.ndarray, " sample"]:
    """Count the sequences of each family from 0 on."""
    return np.array([(labels[:k] == label).sum() for k, label in enumerate(labels)])


def _basins(
    found: maps.LimitSets, labels: Int[np.ndarray, " start"]
) -> Float[np.ndarray, "set family"]:
    """Return the fraction of each family's starts that end in each set; not a number of others."""
    shares = np.full((len(found.kinds), max(map(len, orbits.TASKS.values()))), np.nan)
    for label in np.unique(labels):
        own = found.basins[labels == label]
        shares[:, label] = [(own == number).mean() for number in range(len(shares))]
    return shares


def fit(
    batch: Batch, data: orbits.Task, seeds: Sequence[int], recipe: training.Recipe
) -> training.Fitted:
    """Fit the networks of a batch; their parameters are kept after each epoch."""
    train = data.train
    if batch.state == "shuffled":
        train = families.shuffled_futures(np.random.default_rng(1), train)
    return gauges.fit_orbits(orbits.examples(train), batch.hidden, seeds, recipe, batch.cell)


def _batches() -> list[Batch]:
    """Return the batches of ``orbits``, and then those of other cells."""
    sizes = [(task, hidden) for task in orbits.TASKS for hidden in orbits.SIZES]
    found = [Batch("gru", *size, state) for state in ("trained", "untrained") for size in sizes]
    found += [Batch("gru", task, orbits.CONTROL_SIZE, "shuffled") for task in orbits.TASKS]
    states = ("trained", "untrained")
    return found + [Batch(c, "two", orbits.CONTROL_SIZE, s) for c in CELLS for s in states]


def _job(batch: Batch, seed: int) -> engine.Job:
    settings = batch._asdict() | {"seed": seed}
    if batch.state != "untrained":
        settings |= {"recipe": orbits.RECIPE._asdict()}
    return engine.Job(f"attractors-{batch.name}-{seed}", measure, settings, many="seed")


def _epochs(last: int) -> list[int]:
    return [epoch for epoch in ALONG if epoch <= last]


def _coordinates(rows: Sequence[tuple[Batch, int]]) -> dict[str, Any]:
    followed = [(batch, seed) for batch, seed in rows if batch.followed]
    return {
        "network": [f"{batch.name}-{seed}" for batch, seed in rows],
        "cell": (("network",), [batch.cell for batch, _ in rows]),
        "families": (("network",), [len(orbits.TASKS[batch.task]) for batch, _ in rows]),
        "hidden": (("network",), [batch.hidden for batch, _ in rows]),
        "state": (("network",), [batch.state for batch, _ in rows]),
        "seed": (("network",), [seed for _, seed in rows]),
        "training": [f"{batch.name}-{seed}" for batch, seed in followed],
        "training_families": (
            ("training",),
            [len(orbits.TASKS[batch.task]) for batch, _ in followed],
        ),
        "training_hidden": (("training",), [batch.hidden for batch, _ in followed]),
        "shown": [f"{batch.name}-{seed}" for batch, seed in followed if seed == 0],
        "epoch": _epochs(orbits.RECIPE.epochs),
    }


def _facts() -> dict[str, Any]:
    return {
        "recipe": orbits.RECIPE._asdict(),
        "starts": STARTS,
        "steps": STEPS,
        "tolerance": TOLERANCE,
        "shares": list(SHARES),
        "noise": NOISE,
        "push": PUSH,
        "kinds": list(maps.KINDS),
    }
