"""The study of people moving: predictors of poses, and whether their states tell activities.

The same frames are taken in several ways, as single poses, as windows of poses, and as hidden
states of predictors, untrained and trained; each is clustered in the same ways. No network and no
clustering sees a label: labels only score.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np

from rnnatomy.data import mocap
from rnnatomy.networks import training
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, progress
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import embeddings, fitting, geometry, page, protocols, scoring

Motion = TypeVar("Motion", mocap.Sequence, mocap.Recording)

COUNTS = ("given", "found")
"""Whether the number of activities of subject 86 is given, or found by the largest silhouette."""


_AUTHORS = ("task", "network", "epoch")
_HELD = ("choice", "network", "state", "smoothing")
_SUBJECT = ("count", "recording", "smoothing")
_GAUGE = ("gauge_view", "gauge_clustering")
_LEARNED, _PLAIN = ("view", "clustering"), ("plain_view", "clustering")

AXES = {
    **{f"authors_{score}": (*_AUTHORS, *_LEARNED) for score in scoring.AGREEMENT},
    **{f"authors_plain_{score}": ("task", *_PLAIN) for score in scoring.AGREEMENT},
    **{f"authors_{name}": _AUTHORS for name in ("loss", "modes", "silhouette")},
    "authors_gauge": (*_AUTHORS, *_GAUGE),
    **{f"held_{score}": (*_HELD, *_LEARNED) for score in scoring.AGREEMENT},
    **{f"held_plain_{score}": ("choice", "smoothing", *_PLAIN) for score in scoring.AGREEMENT},
    "held_loss": ("choice", "network", "held_epoch"),
    "held_gauge": ("choice", "network", "held_epoch", *_GAUGE),
    "held_roles": ("choice", "network", "state", "role", "frame"),
    **{f"subject_{s}": (*_SUBJECT, "network", "state", *_LEARNED) for s in scoring.SCORES},
    **{f"subject_plain_{s}": (*_SUBJECT, *_PLAIN) for s in scoring.SCORES},
    "played_frames": ("action",),
    "played_joints": ("played_frame", "joint", "axis"),
    "played_points": ("played_frame", "mode"),
}
"""Axes of the published arrays, but those of single sequences, see ``sequence_axes``.

``task`` is one of the authors', ``choice`` one of the ways to hold out, ``view`` a representation.
"""


def sequence_axes(tasks: Sequence[str], recordings: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the axes of what is shown of single sequences, each of a length of its own.

    Args:
        tasks: "three" and so on; "<task>_path" is in few modes, "<task>_at" tells the frames.
        recordings: names, such as "01"; of each the same as "subject_path_<name>" and so on, with
            "truth", the activity by hand, and "found", the cluster.
    """
    axes: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        axes |= {f"{task}_path": (f"{task}_point", "mode"), f"{task}_at": (f"{task}_point",)}
    for name in recordings:
        axes[f"subject_path_{name}"] = (f"point_{name}", "mode")
        axes |= {f"subject_{key}_{name}": (f"point_{name}",) for key in ("at", "found", "truth")}
    return axes


def publish(networks: int = 4, report: Callable[[str], None] = progress.print_line) -> None:
    """Train, embed, cluster and publish predictors of people moving: ``results/movement``.

    Each task of the authors, each choice of what is held out, and subject 86 is a job.

    Args:
        networks: how many for each job, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    sequences, recordings = mocap.sequences(mocap.ACTIONS), mocap.recordings()
    names = [each.name for each in recordings]
    facts = _facts(networks) | {
        "recordings": names,
        "activities": [list(dict.fromkeys(each.activities)) for each in recordings],
        "sha256_of_sequences": protocols.checksum([each.frames for each in sequences]),
        "sha256_of_recordings": protocols.checksum([each.frames for each in recordings]),
    }
    kept = engine.run("movement", _jobs(sequences, recordings, networks), report=report)
    rows = [engine.load(each).arrays for each in kept]
    axes = AXES | sequence_axes(list(tasks()), names)
    arrays = results.stack(rows, axes, "task") | results.stack(rows, axes, "choice")
    arrays |= {k: array for row in rows for k, array in row.items() if k not in arrays}
    found = results.dataset(arrays, axes, coordinates(networks, names))
    results.publish("movement", found, engine.facts(kept) | facts)


def coordinates(networks: int, recordings: Sequence[str]) -> dict[str, Any]:
    """Return what stands along the axes of the study.

    Args:
        networks: how many.
        recordings: names, such as "01".
    """
    methods, views = list(scoring.METHODS), list(embeddings.WITH_NETWORK)
    return {
        "task": list(tasks()),
        "network": np.arange(networks),
        "epoch": np.arange(1 + protocols.AUTHORS.recipe.epochs),
        "held_epoch": np.arange(1 + protocols.HELD_OUT.recipe.epochs),
        "view": views,
        "plain_view": list(embeddings.WITHOUT_NETWORK),
        "clustering": methods,
        "gauge_view": views[:2],
        "gauge_clustering": methods[:2],
        "choice": np.arange(protocols.CHOICES),
        "state": protocols.STATES,
        "smoothing": protocols.HELD_OUT.seconds,
        "count": COUNTS,
        "recording": list(recordings),
        "role": ("own", "other"),
        "action": list(mocap.ACTIONS),
        "mode": np.arange(1, 1 + embeddings.FEW_MODES),
    }


def _jobs(
    sequences: Sequence[mocap.Sequence], recordings: Sequence[mocap.Recording], networks: int
) -> list[engine.Job]:
    """Return the jobs of the study; those of the authors, which take longest, come first."""
    seeds = list(range(networks))
    settings = {"seeds": seeds, "data_sha256": identity.fingerprint(sequences)}
    jobs = [
        engine.Job(f"movement-{task}", _authors, {"task": task, **settings}) for task in tasks()
    ]
    jobs += [
        engine.Job(f"movement-held-{number}", _held_out, {"number": number, **settings})
        for number in range(protocols.CHOICES)
    ]
    settings = {"seeds": seeds, "data_sha256": identity.fingerprint(recordings)}
    return [*jobs, engine.Job("movement-subject-86", _subject_86, settings)]


def checked(motions: list[Motion], checksum: str) -> list[Motion]:
    """Refuse, in a job, other movements than it was given out for: frames, names or labels.

    Raises:
        EngineError: if their checksum is another one.
    """
    found = identity.fingerprint(motions)
    if found != checksum:
        raise engine.EngineError(
            f"the movements here have sha256 {found}, and the job asks for {checksum}: give both "
            "machines the same files."
        )
    return motions


def tasks() -> dict[str, tuple[Sequence[str], protocols.Plan]]:
    """Return the sequences of each of the authors' tasks, and how they are cut."""
    plans = {"": protocols.AUTHORS, "_short": protocols.SHORT}
    return {
        task + ending: (names, plan)
        for ending, plan in plans.items()
        for task, names in protocols.TASKS.items()
    }


def _authors(task: str, seeds: Sequence[int], data_sha256: str) -> disk.Arrays:
    """Train on some sequences as the authors do, and cluster the same ones, as a job."""
    names, plan = tasks()[task]
    sequences = checked(mocap.sequences(mocap.ACTIONS), data_sha256)
    frames, labels = protocols.concatenate(names, sequences)
    fitted = fitting.fit([frames], plan, seeds, engine.checkpoint())
    plain = scoring.joined_table(
        embeddings.frame_rows([frames], [frames], plan), labels, plan, _rng(0)
    )
    tables, facts, gauges = [], [], []
    for seed in seeds:
        models = _models(fitted, frames, plan, seed)
        rows = [embeddings.state_rows(model, [frames], [frames], plan) for model in models]
        rng = _rng(seed)
        tables.append([scoring.joined_table(each, labels, plan, rng)[0] for each in rows])
        gauges.append([scoring.gauge(each, len(names), _rng(seed)) for each in rows])
        losses = [fitting.error(model, [frames], plan) for model in models]
        shapes = [geometry.shape(each[embeddings.WITH_NETWORK[1]][0], labels) for each in rows]
        facts.append(np.column_stack([losses, shapes]))
    loss, modes, silhouette = np.moveaxis(np.array(facts), 2, 0)
    last = embeddings.state_rows(training.member(fitted, 0), [frames], [frames], plan)
    path = last[embeddings.WITH_NETWORK[2]][0]
    arrays = {
        **scoring.by_name("authors", np.array(tables), scoring.AGREEMENT),
        **scoring.by_name("authors_plain", plain[0], scoring.AGREEMENT),
        "authors_loss": loss,
        "authors_modes": modes,
        "authors_silhouette": silhouette,
        "authors_gauge": gauges,
        f"{task}_path": path.points,
        f"{task}_at": path.at,
    }
    return disk.single(arrays)


def _held_out(number: int, seeds: Sequence[int], data_sha256: str) -> disk.Arrays:
    """Train on some sequences of each action, and cluster others, as a job."""
    sequences = checked(mocap.sequences(mocap.ACTIONS), data_sha256)
    parts, plan = protocols.hold_out(sequences, number), protocols.HELD_OUT
    fitted = fitting.fit(parts.training, plan, seeds, engine.checkpoint())
    played = page.player_data(training.member(fitted, 0), parts, plan) if number == 0 else {}
    return held_tables(fitted, parts, seeds) | played


def held_tables(
    fitted: training.Fitted, parts: protocols.Parts, seeds: Sequence[int]
) -> disk.Arrays:
    """Cluster what is held out in every representation, and score the clusters.

    Args:
        fitted: networks that were trained on the other part, with the plan ``HELD_OUT``.
        parts: what was trained on, and what is held out.
        seeds: of the networks.

    Returns:
        Arrays by the names in ``AXES`` that begin with "held", without the axis "choice".
    """
    plan, lengths = protocols.HELD_OUT, [len(frames) for frames in parts.held]
    labels = np.repeat(parts.actions, lengths)
    count = len(np.unique(labels))
    score = partial(scoring.agreement, labels=labels)

    def table(rows: embeddings.Rows, seed: int) -> np.ndarray:
        ways = scoring.methods_for_count(count, _rng(seed))
        return scoring.table(rows, lengths, plan.seconds, ways, score)

    tables, losses, gauges, roles = [], [], [], []
    for seed in seeds:
        models = _models(fitted, parts.held[0], plan, seed)
        rows = [embeddings.state_rows(model, parts.held, parts.training, plan) for model in models]
        tables.append([table(each, seed) for each in (rows[0], rows[-1])])
        losses.append([fitting.error(model, parts.held, plan) for model in models])
        gauges.append([scoring.gauge(each, count, _rng(seed)) for each in rows])
        roles.append([geometry.roles(model, parts, plan) for model in (models[0], models[-1])])
    plain = table(embeddings.frame_rows(parts.held, parts.training, plan), 0)
    arrays = {
        **scoring.by_name("held", np.array(tables), scoring.AGREEMENT),
        **scoring.by_name("held_plain", plain, scoring.AGREEMENT),
        "held_loss": losses,
        "held_gauge": gauges,
        "held_roles": roles,
    }
    return disk.single(arrays)


def _subject_86(seeds: Sequence[int], data_sha256: str) -> disk.Arrays:
    """Train on all recordings of subject 86, and cluster each by itself, as a job."""
    recordings = checked(mocap.recordings(), data_sha256)
    plan, frames = protocols.SUBJECT_86, protocols.scale_each(recordings)
    fitted = fitting.fit(frames, plan, seeds, engine.checkpoint())
    rows: list[disk.Arrays] = []
    shown: disk.Arrays = {}
    for recording, own in zip(recordings, frames, strict=True):
        pairs = [
            (fitting.untrained(own.shape[1], plan, seed), training.member(fitted, seed))
            for seed in seeds
        ]
        embedded = [
            [embeddings.state_rows(model, [own], [own], plan) for model in pair] for pair in pairs
        ]
        plain = embeddings.frame_rows([own], [own], plan)
        rows.append(_subject_tables(recording, plain, embedded, seeds))
        averages = embedded[0][1][embeddings.WITH_NETWORK[0]]
        strips = page.segmented(averages, recording, _rng(seeds[0]))
        shown |= {f"subject_{name}_{recording.name}": strip for name, strip in strips.items()}
    return disk.single(results.stack(rows, AXES, "recording") | shown)


def _subject_tables(
    recording: mocap.Recording,
    plain: embeddings.Rows,
    networks: list[list[embeddings.Rows]],
    seeds: Sequence[int],
) -> disk.Arrays:
    """Score one recording, with the number of activities given and found."""
    table = partial(scoring.subject_table, recording=recording, plan=protocols.SUBJECT_86)
    for_count = partial(scoring.methods_for_count, len(np.unique(recording.labels)))
    ways: Callable[[np.random.Generator], dict[str, scoring.Cluster]]
    rows = []
    for ways in (for_count, scoring.methods_by_silhouette):
        arrays = scoring.by_name(
            "subject_plain", table(plain, methods=ways(_rng(0))), scoring.SCORES
        )
        tables = [
            [table(each, methods=ways(_rng(seed))) for each in pair]
            for seed, pair in zip(seeds, networks, strict=True)
        ]
        # smoothing first, then network and state
        scores = np.moveaxis(np.array(tables), 2, 0)
        rows.append(arrays | scoring.by_name("subject", scores, scoring.SCORES))
    return results.stack(rows, results.without(AXES, "recording"), "count")


def _models(
    fitted: training.Fitted, frames: np.ndarray, plan: protocols.Plan, seed: int
) -> list[Any]:
    """Return a network before training, and after each epoch."""
    fresh = fitting.untrained(frames.shape[1], plan, seed)
    return [fresh, *fitting.networks_by_epoch(fitted, seed)]


def describe(plan: protocols.Plan) -> dict[str, Any]:
    """Return a plan as it comes back from a file: with lists, and no tuples."""
    return plan._asdict() | {"recipe": plan.recipe._asdict(), "seconds": list(plan.seconds)}


def _facts(networks: int) -> dict[str, Any]:
    plans = {
        "authors": protocols.AUTHORS,
        "short": protocols.SHORT,
        "held_out": protocols.HELD_OUT,
        "subject_86": protocols.SUBJECT_86,
    }
    return {
        "networks": networks,
        **{name: describe(plan) for name, plan in plans.items()},
        "shortest": scoring.SHORTEST,
        "candidates": list(scoring.CANDIDATES),
    }


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
