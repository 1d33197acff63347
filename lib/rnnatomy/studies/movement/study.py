"""The study of people moving: predictors of poses, and whether their states tell activities.

The same frames are taken in several ways, as single poses, as windows of poses, and as hidden
states of predictors, untrained and trained; each is clustered in the same ways. No network and no
clustering sees a label: labels only score.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from rnnatomy.data import mocap
from rnnatomy.networks import training
from rnnatomy.store import checkout, disk, origin, results
from rnnatomy.studies.movement import embeddings, fitting, page, protocols, scoring


def publish(networks: int = 4, report: Callable[[str], None] = print) -> None:
    """Train, embed, cluster and publish predictors of people moving: ``results/movement``.

    A batch that is finished is kept in ``build/movement``, so that an interrupted study goes on
    from there.

    Args:
        networks: how many for each batch, with seeds 0, 1, 2 and so on; an even number makes use
            of two cores.
        report: called with a line when a batch is done.

    Raises:
        datasets.DataError: if a file is damaged.
        datasets.DataUnavailable: if a file is neither at hand nor within reach.
    """
    sequences, recordings = mocap.sequences(mocap.ACTIONS), mocap.recordings()
    facts = _facts(networks) | {
        "recordings": [each.name for each in recordings],
        "activities": [list(dict.fromkeys(each.activities)) for each in recordings],
        "sha256_of_sequences": protocols.checksum([each.frames for each in sequences]),
        "sha256_of_recordings": protocols.checksum([each.frames for each in recordings]),
    }
    seeds = range(networks)
    batches: dict[str, Callable[[], disk.Arrays]] = {}
    for name, plan in {"": protocols.AUTHORS, "_short": protocols.SHORT}.items():
        for task in protocols.TASKS:
            batches[task + name] = partial(
                _authors, task + name, protocols.TASKS[task], plan, seeds
            )
    for number in range(protocols.CHOICES):
        batches[f"held-{number}"] = partial(_held_out, sequences, number, seeds)
    batches["subject-86"] = partial(_subject_86, recordings, seeds)
    started, found = time.perf_counter(), []
    for number, (name, make) in enumerate(batches.items()):
        found.append(_kept(name, make, facts))
        minutes = (time.perf_counter() - started) / 60
        left = minutes / (number + 1) * (len(batches) - number - 1)
        report(f"{name}: done; about {left:.0f} min left")
    seconds = sum(batch.provenance["wall_seconds"] for batch in found)
    arrays = {}
    for name in dict.fromkeys(name for batch in found for name in batch.arrays):
        arrays[name] = np.concatenate([b.arrays[name] for b in found if name in b.arrays])
    provenance = origin.provenance(origin.command_line(), wall_seconds=round(seconds, 1), **facts)
    results.save_study(
        checkout.root() / "results" / "movement", results.Study("movement", arrays, provenance)
    )


def _authors(
    task: str, names: Sequence[str], plan: protocols.Plan, seeds: Sequence[int]
) -> disk.Arrays:
    frames, labels = protocols.concatenate(names)
    fitted = fitting.fit([frames], plan, seeds)
    plain_table = scoring.joined_table(
        embeddings.frame_rows([frames], [frames], plan), labels, plan, _rng(0)
    )
    tables, facts, gauges = [], [], []
    for seed in seeds:
        models = [fitting.fresh(frames, plan, seed), *fitting.along(fitted, seed)]
        rows = [embeddings.state_rows(model, [frames], [frames], plan) for model in models]
        rng = _rng(seed)
        tables.append([scoring.joined_table(each, labels, plan, rng) for each in rows])
        gauges.append([scoring.gauge(each, len(names), _rng(seed)) for each in rows])
        losses = [fitting.error(model, [frames], plan) for model in models]
        shapes = [scoring.shape(each[embeddings.WITH_NETWORK[1]][0], labels) for each in rows]
        facts.append(np.column_stack([losses, shapes]))
    loss, modes, silhouette = np.moveaxis(np.array(facts), 2, 0)
    last = embeddings.state_rows(training.member(fitted, 0), [frames], [frames], plan)[
        embeddings.WITH_NETWORK[2]
    ][0]
    scores = {"plain": plain_table, "learned": tables, "gauge": gauges}
    shown = {"loss": loss, "modes": modes, "silhouette": silhouette}
    return _single(task, scores | shown | {"path": last.points, "at": last.at})


def _held_out(
    sequences: Sequence[mocap.Sequence], number: int, seeds: Sequence[int]
) -> disk.Arrays:
    parts, plan = protocols.hold_out(sequences, number), protocols.HELD_OUT
    lengths = [len(frames) for frames in parts.held]
    labels = np.repeat(parts.actions, lengths)
    count = len(np.unique(labels))
    fitted = fitting.fit(parts.training, plan, seeds)

    def scored(rows: embeddings.Rows, seed: int) -> np.ndarray:
        ways = scoring.methods_for_count(count, _rng(seed))
        return scoring.table(
            rows, lengths, plan.seconds, ways, lambda found: scoring.agreement(found, labels)
        )

    found: dict[str, list[Any]] = {name: [] for name in ("learned", "loss", "gauge", "roles")}
    for seed in seeds:
        models = [fitting.fresh(parts.held[0], plan, seed), *fitting.along(fitted, seed)]
        rows = [embeddings.state_rows(model, parts.held, parts.training, plan) for model in models]
        found["learned"].append([scored(each, seed) for each in (rows[0], rows[-1])])
        found["loss"].append([fitting.error(model, parts.held, plan) for model in models])
        found["gauge"].append([scoring.gauge(each, count, _rng(seed)) for each in rows])
        found["roles"].append(
            [scoring.roles(model, parts, plan) for model in (models[0], models[-1])]
        )
    plain_table = scored(embeddings.frame_rows(parts.held, parts.training, plan), 0)
    arrays = _single("held", {"plain": [plain_table]} | {k: [v] for k, v in found.items()})
    return arrays | (
        page.player_data(training.member(fitted, 0), parts, plan) if number == 0 else {}
    )


def _subject_86(recordings: Sequence[mocap.Recording], seeds: Sequence[int]) -> disk.Arrays:
    plan, frames = protocols.SUBJECT_86, protocols.scale_each(recordings)
    fitted = fitting.fit(frames, plan, seeds)
    found: list[dict[str, np.ndarray]] = []
    shown: dict[str, np.ndarray] = {}
    for recording, own in zip(recordings, frames, strict=True):
        networks = [(fitting.fresh(own, plan, s), training.member(fitted, s)) for s in seeds]
        rows = [
            [embeddings.state_rows(model, [own], [own], plan) for model in pair]
            for pair in networks
        ]
        found.append(
            _subject_tables(recording, embeddings.frame_rows([own], [own], plan), rows, seeds)
        )
        strips = page.segmented(rows[0][1][embeddings.WITH_NETWORK[0]], recording, _rng(seeds[0]))
        shown |= {f"{name}_{recording.name}": each for name, each in strips.items()}
    tables = {name: [each[name] for each in found] for name in found[0]}
    return _single("subject", tables | shown)


def _subject_tables(
    recording: mocap.Recording,
    rows: embeddings.Rows,
    networks: list[list[embeddings.Rows]],
    seeds: Sequence[int],
) -> dict[str, np.ndarray]:
    """Score one recording, with the number of activities given and not."""
    tables: dict[str, np.ndarray] = {}
    scored = partial(scoring.subject_table, recording=recording, plan=protocols.SUBJECT_86)
    for_count = partial(scoring.methods_for_count, len(np.unique(recording.labels)))
    ways: Callable[[np.random.Generator], dict[str, scoring.Cluster]]
    for name, ways in (("", for_count), ("_unknown", scoring.methods_by_silhouette)):
        tables[f"plain{name}"] = scored(rows, methods=ways(_rng(0)))
        learned_tables = [
            [scored(each, methods=ways(_rng(seed))) for each in pair]
            for seed, pair in zip(seeds, networks, strict=True)
        ]
        # smoothing first, then seed and kind, so that ``tuned`` takes both
        tables[f"learned{name}"] = np.moveaxis(np.array(learned_tables), 2, 0)
    return tables


def _kept(name: str, make: Callable[[], disk.Arrays], facts: dict[str, Any]) -> results.Study:
    folder = checkout.root() / "build" / "movement" / name
    try:
        made = results.load_study(str(folder))
        if facts.items() <= made.provenance.items():
            return made
    except disk.StoreError:
        pass
    started = time.perf_counter()
    arrays = make()
    timed = {"wall_seconds": time.perf_counter() - started, **facts}
    made = results.Study(name, arrays, origin.provenance(origin.command_line(), **timed))
    results.save_study(folder, made)
    return made


def _facts(networks: int) -> dict[str, Any]:
    plans = {
        "authors": protocols.AUTHORS,
        "short": protocols.SHORT,
        "held_out": protocols.HELD_OUT,
        "subject_86": protocols.SUBJECT_86,
    }
    # as it comes back from a file: lists, no tuples
    told = {name: plan._asdict() for name, plan in plans.items()}
    for plan in told.values():
        plan |= {"recipe": plan["recipe"]._asdict(), "seconds": list(plan["seconds"])}
    return {
        "networks": networks,
        **told,
        "shortest": scoring.SHORTEST,
        "candidates": list(scoring.CANDIDATES),
    }


def _rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def _single(prefix: str, arrays: dict[str, Any]) -> disk.Arrays:
    return {f"{prefix}_{name}": np.asarray(each, np.float32) for name, each in arrays.items()}
