"""What a latent vector does to the ends of a decoder: autoencoders that draw on for ever.

A decoder of an autoencoder is fed one latent vector at every step and draws 28 rows. As a map it
may go on. Each vector gives a map of its own, with a start state of its own. Vectors are the means
of ten test images of each digit, and draws of the prior. The networks are those of ``pace``; the
control is an untrained network of the same seed, whose decoder is given the same vectors. *The end*
of a vector is what its map has come to after ``2 * STEPS`` steps: the mean hidden state of the last
``LAST``, which is the fixed point if there is one. It has *arrived* if it ends in a fixed point or
a cycle; what has not is still on its way, or never arrives, and then "end" is only a place in time.

Expected before any number was seen:

1. Each vector has one stable fixed point, from whatever start, in nine of ten cases.
2. At the end nearly all vectors draw blank rows: the mean ink is below a tenth of that of their own
   28 rows, in nine of ten cases.
3. Row 28 has not arrived: in most networks the median distance of its state to the end is above a
   tenth of the median distance between the ends of different vectors.
4. Ends tell the digit no better than the vectors do, by the nearest mean of a class.
5. There are no jumps: on most lines from the vector of one digit to that of another, in 20 steps,
   the largest step of the end is below five times the median step.

Two trial networks, of seeds 128 and 129, were looked at after that and before any other. No vector
arrived in either, while nearly all did without training: memory cells counted up by nearly one per
step for thousands of steps, the hidden state kept moving, and after some blank rows ink came again.
So the first two expectations failed there. The digit was told from ends for 63 and 74 of 100
vectors, from the vectors themselves for 89 and 85; the largest step was below five medians on 15
and 12 of 20 lines. Memory, motion and the ink of later rows are measured because of what was seen,
and fixed points are looked for by minimisation too, where no orbit comes. The expectations were
left as they were. The networks that are published are others.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from rnnatomy.analysis import maps
from rnnatomy.data import datasets
from rnnatomy.networks import autonomous, runs, vae
from rnnatomy.store import disk, results
from rnnatomy.studies import autoencoder, engine, inputs, pace, progress

EACH, PRIOR = 10, 100
"""Test images of each digit, the first; and draws of the prior."""

STEPS, LAST = 500, 100
"""Half of the steps for which decoders go on; and the last of them, of which the end is the
mean."""

OTHERS = 8
"""Vectors whose start states each map is begun from besides its own."""

SETTLE = 200
"""Steps by which it is told what a map has come to, from where it is at the end."""

SHOWN = 112
"""Steps whose ink is kept: four times the rows of a digit."""

AFTER = (1, 7, 14, 28, 56, 112)
"""Steps after which the distance to the end is measured."""

ROW = 28
"""The last row of a digit."""

LINES, WALKED = 20, 20
"""Lines between vectors of two digits, and steps along each."""

SOUGHT = (1, 7, 14, 28)
"""Steps from whose states fixed points are looked for, under one vector of each digit."""

TOLERANCE = 1e-4
"""States that are no further apart are the same."""

CHUNK = 20
"""Vectors whose maps are run at once."""

OPEN = -1
"""In place of the kind of what has not arrived."""

ALL, BLANK, LEFT, JUMP = 0.9, 0.1, 0.1, 5.0
"""The numbers in the expectations: share of the cases; ink at the end as a share of a digit's;
distance to the end as a share of that between ends; and largest step over the median."""

STATES = ("trained", "untrained")

SOURCES = ("image", "prior")

TOLD = ("vector", "row 14", "row 28", "end")
"""What the digit is told from."""

OF_VECTOR = {
    **dict.fromkeys(
        ("kind", "sets", "arrived", "modulus", "motion", "wander", "range", "by_start"), ()
    ),
    "memory": ("moment",),
    "left": ("after",),
    "ink": ("part",),
}
"""Axes of what is measured of one vector, see ``of_vectors``."""

AXES = {
    "elbo": ("network",),
    **{name: ("network", "state", "vector", *own) for name, own in OF_VECTOR.items()},
    "apart": ("network", "state", "source"),
    "ink_in_time": ("network", "state", "source", "step"),
    "accuracy": ("network", "state", "told"),
    "steps": ("network", "state", "line", "walk", "at"),
    **{name: ("network", "state", "digit") for name in ("points", "unstable", "largest")},
}
"""Axes of the published arrays, see ``measure``."""

MOMENTS = (ROW, STEPS, 2 * STEPS)
"""Steps after which memory cells are looked at."""

PARTS = ("digit", "row 28", "end")
"""Rows whose ink is measured: the 28 of the digit, the last of them, and those at the end."""


class Course(NamedTuple):
    """What maps of some latent vectors run through, each from some starts.

    Attributes:
        early: hidden states of the first ``SHOWN`` steps, from the first start.
        end: mean hidden state of the last ``LAST`` steps.
        memory: largest absolute value of a memory cell at ``MOMENTS``, from the first start.
        last: states of the map at the last step.
        late: hidden states of the last ``LAST`` steps, from the first start.
    """

    early: Float[np.ndarray, "vector step hidden"]
    end: Float[np.ndarray, "vector start hidden"]
    memory: Float[np.ndarray, "vector moment"]
    last: Float[np.ndarray, "vector start size"]
    late: Float[np.ndarray, "vector step hidden"]


def publish(networks: int = 10, report: Callable[[str], None] = progress.print_line) -> None:
    """Let the decoders of the study ``pace`` draw on for ever: ``results/latent``.

    The networks are trained anew if they are not there.

    Args:
        networks: how many, the first of ``pace``.
        report: called with a line when jobs are done.
    """
    checksum = datasets.mnist().checksum
    trained = engine.run("latent, networks", pace.training_jobs(networks, checksum), report=report)
    measured = engine.run("latent", _jobs(trained, checksum), report=report)
    rows = [
        {name: array for name, array in engine.load(kept).arrays.items() if name in AXES}
        for kept in measured
    ]
    arrays = results.stack(rows, AXES, "network")
    found = results.dataset(arrays, AXES, _coordinates(networks))
    facts = {
        "networks": networks,
        "group": autoencoder.describe_group(pace.GROUP),
        "data_sha256": checksum,
        **_facts(),
        **engine.facts(trained, measured),
    }
    results.publish("latent", found, facts)


def draw_on(seed: int, data_sha256: str, network: engine.Made) -> disk.Arrays:
    """Let the decoder of a network draw on, and that of an untrained one, as a job.

    Args:
        seed: of the network, and of the draws of the prior.
        data_sha256: checksum of the images.
        network: as of ``pace.train``.

    Returns:
        As of ``measure``, and "elbo" of the network.
    """
    model: Any = runs.restore(autoencoder.run_of(network, "network"))
    sizes = model.config["frames"], model.config["feature"]
    fresh: Any = autoencoder.create(pace.GROUP, *sizes)(jax.random.key(seed))
    test = inputs.mnist(data_sha256).test
    chosen = datasets.first_of_each(test.labels, EACH)
    images = autoencoder.binarised(test.images)[chosen]
    means = np.asarray(vae.posterior(model, images).mean, float)
    prior = np.random.default_rng(seed).normal(size=(PRIOR, means.shape[1]))
    rows = [measure(one, means, test.labels[chosen], prior) for one in (model, fresh)]
    both = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return both | {"elbo": network.arrays["elbo"]}


def measure(
    model: vae.Autoencoder,
    means: Float[np.ndarray, "image latent"],
    labels: Int[np.ndarray, " image"],
    prior: Float[np.ndarray, "draw latent"],
) -> disk.Arrays:
    """Measure where the maps of a decoder end.

    Args:
        model: with an LSTM, for black and white images.
        means: latent vectors of images, as many of each digit.
        labels: their digits, ascending.
        prior: further latent vectors.

    Returns:
        As of ``of_vectors``; "apart", median distance between the ends of two vectors of a source;
        "ink_in_time" (source, step), mean ink of a pixel at each step; "accuracy" (told), of the
        nearest mean of a class, see ``nearest_mean``; "steps" (line, walk, at), as of ``walk``;
        "points", "unstable" and "largest" (digit), as of ``fixed_points``.
    """
    vectors = np.concatenate([means, prior])
    network = autonomous.drawing(model, vectors[0])
    course = run_on(model, vectors, _starts(network, vectors))
    sources = np.repeat(np.arange(2), [len(means), len(prior)])
    drawn = _ink(network, course.early)
    told = (means, *(course.early[: len(means), k - 1] for k in (14, ROW)))
    every = (*told, course.end[: len(means), 0])
    firsts = np.unique(labels, return_index=True)[1]
    return of_vectors(model, vectors, course) | disk.single(
        {
            "apart": [_between(course.end[sources == k, 0]) for k in range(2)],
            "ink_in_time": [drawn[sources == k].mean(axis=0) for k in range(2)],
            "accuracy": [nearest_mean(points, labels) for points in every],
            "steps": walk(model, _lines(means, labels)),
            **fixed_points(model, means[firsts]),
        }
    )


def run_on(
    model: vae.Autoencoder,
    vectors: Float[np.ndarray, "vector latent"],
    starts: Float[np.ndarray, "vector start size"],
) -> Course:
    """Run the maps of latent vectors on for ``2 * STEPS`` steps, each from some starts.

    Args:
        model: with an LSTM.
        vectors: one for each map.
        starts: states of the decoder; the first is the map's own.
    """
    network, step = autonomous.drawing(model, vectors[0]), _joint(model)
    parts = [
        _run_some(network, step, vectors[rows], starts[rows])
        for rows in np.split(np.arange(len(vectors)), range(CHUNK, len(vectors), CHUNK))
    ]
    return Course(*map(np.concatenate, zip(*parts, strict=True)))


def of_vectors(
    model: vae.Autoencoder, vectors: Float[np.ndarray, "vector latent"], course: Course
) -> disk.Arrays:
    """Describe where the map of each latent vector ends.

    Args:
        model: as of ``measure``.
        vectors: one for each map.
        course: what they run through.

    Returns:
        Along (vector): "kind" of what the own start ends in, a number in ``maps.KINDS``, or
        ``OPEN`` if it has not arrived; "arrived", fraction of all starts that did; "sets" that
        they end in, not a number unless all arrived; "modulus", by which the slowest direction
        shrinks per step where the own start arrived, else not a number; of the last hidden states
        "motion", mean distance from one to the next, and "wander", mean distance to the end, which
        is their own mean; "range", the largest by which the ink of a pixel changes there;
        "by_start", mean distance of ends from other starts to that from the own; "memory" (moment),
        the largest cell; "left" (after), distance of the hidden state to the end; "ink" (part),
        mean over pixels.
    """
    network = autonomous.drawing(model, vectors[0])
    rows = [_ended(model, *one) for one in zip(vectors, course.last, strict=True)]
    own, late = course.end[:, 0], network.outputs(_states(network, course.late))
    steps = np.linalg.norm(np.diff(course.late, axis=1), axis=2)
    shown, ends = _ink(network, course.early), jax.nn.sigmoid(late)
    away = course.early[:, np.array(AFTER) - 1] - own[:, None]
    parts = [shown[:, :ROW].mean(axis=1), shown[:, ROW - 1], ends.mean(axis=(1, 2))]
    arrays = {name: [row[name] for row in rows] for name in rows[0]}
    return disk.single(
        arrays
        | {
            "motion": steps.mean(axis=1),
            "wander": np.linalg.norm(course.late - own[:, None], axis=2).mean(axis=1),
            "range": np.ptp(ends, axis=1).max(axis=1),
            "by_start": np.linalg.norm(course.end[:, 1:] - own[:, None], axis=2).mean(axis=1),
            "memory": course.memory,
            "left": np.linalg.norm(away, axis=2),
            "ink": np.stack(parts, axis=1),
        }
    )


def walk(
    model: vae.Autoencoder, lines: Float[np.ndarray, "line place latent"]
) -> Float[np.ndarray, "line walk at=2"]:
    """Walk along lines of latent vectors, and measure how far row 28 and the end move each time.

    Args:
        model: as of ``measure``.
        lines: vectors along each line; each map is begun from its own start.

    Returns:
        Distances between neighbours' hidden states: at step 28, and at the end.
    """
    vectors = lines.reshape(-1, lines.shape[-1])
    network = autonomous.drawing(model, vectors[0])
    course = run_on(model, vectors, network.start(vectors)[:, None])
    both = np.stack([course.early[:, ROW - 1], course.end[:, 0]], axis=1)
    moves = np.diff(both.reshape(*lines.shape[:2], *both.shape[1:]), axis=1)
    return np.linalg.norm(moves, axis=-1)


def fixed_points(
    model: vae.Autoencoder, vectors: Float[np.ndarray, "vector latent"]
) -> disk.Arrays:
    """Look for fixed points under some vectors, from states on the way, stable or not.

    Args:
        model: as of ``measure``.
        vectors: one for each map.

    Returns:
        Of each vector "points", how many are found; "unstable", the fewest directions that grow at
        one of them; "largest", the modulus of the largest eigenvalue at that one.
    """
    rows = [_sought(model, vector) for vector in vectors]
    names = ("points", "unstable", "largest")
    return disk.single(dict(zip(names, np.array(rows).T, strict=True)))


def nearest_mean(
    points: Float[np.ndarray, "point feature"], labels: Int[np.ndarray, " point"]
) -> float:
    """Tell the class of each point by the nearest mean of a class, of which it is left out.

    Args:
        points: finite numbers.
        labels: the classes, of two or more points each.

    Returns:
        The fraction (0..1) that is told rightly.
    """
    classes = np.unique(labels)
    means = np.stack([points[labels == label].mean(axis=0) for label in classes])
    away = np.linalg.norm(points[:, None] - means, axis=2)
    count = np.array([(labels == label).sum() for label in classes])
    # the mean without a point of its own is further from it by n / (n - 1)
    away *= np.where(labels[:, None] == classes, count / (count - 1), 1)
    return float(np.mean(classes[away.argmin(axis=1)] == labels))


def _run_some(
    network: autonomous.Autonomous,
    step: Partial,
    vectors: Float[np.ndarray, "vector latent"],
    starts: Float[np.ndarray, "vector start size"],
) -> Course:
    shape, latent = starts.shape[:2], vectors.shape[1]
    fed = np.broadcast_to(vectors[:, None], (*shape, latent))
    states = np.concatenate([fed, starts], axis=2)
    first = maps.run(step, states[:, 0], SHOWN, SHOWN)[..., latent:]
    half = maps.run(step, states.reshape(-1, states.shape[2]), STEPS, 1)[:, 0]
    path = maps.run(step, half, STEPS, LAST)[..., latent:].reshape(*shape, LAST, -1)
    late = network.hidden(path)
    half = half.reshape(*shape, -1)[:, 0, latent:]
    cells = np.stack([first[:, ROW - 1], half, path[:, 0, -1]], axis=1)
    memory = np.abs(cells[..., : network.size - late.shape[-1]]).max(axis=2)
    return Course(network.hidden(first), late.mean(axis=2), memory, path[:, :, -1], late[:, 0])


def _joint(model: vae.Autoencoder) -> Partial:
    """Return the map of a latent vector and a state, of which the vector stays as it is."""
    size = model.config["latent"]
    one: Any = autonomous.drawing(model, np.zeros(size)).step
    return Partial(_with_vector(one.func, size), one.args[0])


@lru_cache
def _with_vector(function: Callable[..., Array], size: int) -> Callable[..., Array]:
    def step(arrays: Any, state: Array) -> Array:
        vector = state[:size]
        return jnp.concatenate([vector, function(arrays, vector, state[size:])])

    return step


def _ended(
    model: vae.Autoencoder,
    vector: Float[np.ndarray, " latent"],
    states: Float[np.ndarray, "start size"],
) -> disk.Arrays:
    """Tell what a map has come to, from where it is at the end."""
    step = autonomous.drawing(model, vector).step
    found = maps.limit_sets(step, states, SETTLE, count=1, tolerance=TOLERANCE)
    closed = found.periods > 0
    own = found.basins[0]
    arrived = closed[found.basins]
    arrays = {
        "kind": found.kinds[own] if closed[own] else OPEN,
        "sets": len(found.kinds) if arrived.all() else np.nan,
        "arrived": arrived.mean(),
        "modulus": np.exp(found.exponents[own, 0]) if closed[own] else np.nan,
    }
    return disk.single(arrays)


def _sought(
    model: vae.Autoencoder, vector: Float[np.ndarray, " latent"]
) -> Float[np.ndarray, " value=3"]:
    """Return what ``fixed_points`` tells of one vector."""
    network = autonomous.drawing(model, vector)
    path = maps.run(network.step, network.start(vector[None]), max(SOUGHT), max(SOUGHT))[0]
    try:
        found = maps.fixed_points(network.step, path[np.array(SOUGHT) - 1])
    except ValueError:  # none is found
        return np.array([0, np.nan, np.nan])
    least = found.unstable.argmin()
    return np.array([len(found), found.unstable[least], abs(found.eigenvalues[least, 0])])


def _starts(
    network: autonomous.Autonomous, vectors: Float[np.ndarray, "vector latent"]
) -> Float[np.ndarray, "vector start size"]:
    """Return the start state of each vector, and then those of others, evenly over all."""
    own, count = network.start(vectors), len(vectors)
    apart = np.linspace(0, count, OTHERS + 1, endpoint=False).astype(int)
    return own[(np.arange(count)[:, None] + apart) % count]


def _lines(
    means: Float[np.ndarray, "image latent"], labels: Int[np.ndarray, " image"]
) -> Float[np.ndarray, "line place latent"]:
    """Return lines from vectors of each digit to those of the next, from the last to the first."""
    classes = np.unique(labels)
    groups = [means[labels == label] for label in classes]
    count = len(groups)
    pairs = [
        (groups[k % count][k // count], groups[(k + 1) % count][-1 - k // count])
        for k in range(LINES)
    ]
    along = np.linspace(0, 1, WALKED + 1)[:, None]
    return np.stack([(1 - along) * first + along * last for first, last in pairs])


def _states(
    network: autonomous.Autonomous, hidden: Float[np.ndarray, "... hidden"]
) -> Float[np.ndarray, "... size"]:
    """Return states of a map that have some hidden states, with nothing in memory."""
    empty = np.zeros((*hidden.shape[:-1], network.size - hidden.shape[-1]))
    return np.concatenate([empty, hidden], axis=-1)


def _ink(
    network: autonomous.Autonomous, hidden: Float[np.ndarray, "vector step hidden"]
) -> Float[np.ndarray, "vector step"]:
    """Return the mean ink (0..1) of a pixel in the row of each hidden state."""
    return np.asarray(jax.nn.sigmoid(network.outputs(_states(network, hidden)))).mean(axis=2)


def _between(ends: Float[np.ndarray, "vector hidden"]) -> float:
    first, second = np.triu_indices(len(ends), 1)
    return float(np.median(np.linalg.norm(ends[first] - ends[second], axis=1)))


def _jobs(trained: Sequence[engine.Kept], data_sha256: str) -> list[engine.Job]:
    return [
        engine.Job(
            f"latent-{seed}",
            draw_on,
            {"seed": seed, "data_sha256": data_sha256},
            {"network": kept},
        )
        for seed, kept in enumerate(trained, pace.FIRST_SEED)
    ]


def _coordinates(networks: int) -> dict[str, Any]:
    return {
        "network": pace.FIRST_SEED + np.arange(networks),
        "state": list(STATES),
        "vector_source": (("vector",), [SOURCES[0]] * (10 * EACH) + [SOURCES[1]] * PRIOR),
        "source": list(SOURCES),
        "moment": list(MOMENTS),
        "after": list(AFTER),
        "part": list(PARTS),
        "step": np.arange(1, 1 + SHOWN),
        "told": list(TOLD),
        "at": ["row 28", "end"],
        "digit": np.arange(10),
    }


def _facts() -> dict[str, Any]:
    return {
        "each": EACH,
        "prior": PRIOR,
        "steps": STEPS,
        "last": LAST,
        "others": OTHERS,
        "lines": LINES,
        "walked": WALKED,
        "tolerance": TOLERANCE,
        "kinds": list(maps.KINDS),
    }
