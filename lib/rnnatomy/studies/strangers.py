"""Held out, asked more strictly: do clusters in states name actions of people never seen?

In the study of people moving, a sequence that is held out is often one more trial of somebody who
was trained on; two actions have one or two sequences only. Here the same networks are trained, and
the same clusters scored, under two stricter rules: without these two actions, and with all that
some people did held out.

Expected before looking: fewer actions are easier to tell apart, so all representations score
higher; on other people all score lower, and training adds no more than before.
"""

from collections.abc import Callable, Sequence
from typing import Any

from rnnatomy.data import mocap
from rnnatomy.store import disk, results
from rnnatomy.studies import engine, progress
from rnnatomy.studies.engine import identity
from rnnatomy.studies.movement import fitting, people, protocols, study

WITHOUT = ("washwindow", "directing_traffic")
"""Actions of one sequence, and of two."""


RULES = ("six actions", "other people")
"""What is held out: sequences of all actions but ``WITHOUT``, or all that some people did."""


AXES = {name: ("rule", *axes) for name, axes in study.AXES.items() if name.startswith("held_")}
"""Axes of the published arrays; those of ``study.AXES``, and before them ``rule``."""


def publish(networks: int = 4, report: Callable[[str], None] = progress.print_line) -> None:
    """Train and score predictors under stricter rules of holding out: ``results/strangers``.

    Each rule and each choice of what is held out is a job.

    Args:
        networks: how many for each job, with seeds 0, 1, 2 and so on.
        report: called with a line now and then.

    Raises:
        EngineError: as ``engine.run``.
        files.DataError: if a file is damaged.
        files.DataUnavailable: if a file is neither at hand nor within reach.
    """
    sequences = mocap.sequences(mocap.ACTIONS)
    kept = engine.run("strangers", _jobs(sequences, networks), report=report)
    rows = [engine.load(each).arrays for each in kept]
    inner, count = results.without(AXES, "rule"), protocols.CHOICES
    by_rule = [
        results.stack(rows[k : k + count], inner, "choice") for k in range(0, len(rows), count)
    ]
    used = {axis for axes in AXES.values() for axis in axes}
    known = study.coordinates(networks, []) | {"rule": list(RULES)}
    along = {axis: values for axis, values in known.items() if axis in used}
    found = results.dataset(results.stack(by_rule, AXES, "rule"), AXES, along)
    results.publish("strangers", found, engine.facts(kept) | _facts(sequences, networks))


def hold_out(sequences: Sequence[mocap.Sequence], rule: str, number: int) -> protocols.Parts:
    """Hold out by one of ``RULES``.

    Args:
        sequences: of all actions.
        rule: one of ``RULES``.
        number: of the choice, from 0.

    Raises:
        ValueError: as ``protocols.hold_out`` and ``people.hold_out``.
    """
    if rule == RULES[0]:
        return protocols.hold_out(sequences, number, WITHOUT)
    return people.hold_out(sequences, number)


def _jobs(sequences: Sequence[mocap.Sequence], networks: int) -> list[engine.Job]:
    settings: dict[str, Any] = {
        "seeds": list(range(networks)),
        "data_sha256": identity.fingerprint(sequences),
    }
    return [
        engine.Job(
            f"strangers {rule} {number}", _score, {"rule": rule, "number": number, **settings}
        )
        for rule in RULES
        for number in range(protocols.CHOICES)
    ]


def _score(rule: str, number: int, seeds: Sequence[int], data_sha256: str) -> disk.Arrays:
    """Train on what is not held out, and cluster the rest, as a job."""
    sequences = study.checked(mocap.sequences(mocap.ACTIONS), data_sha256)
    parts = hold_out(sequences, rule, number)
    fitted = fitting.fit(parts.training, protocols.HELD_OUT, seeds, engine.checkpoint())
    return study.held_tables(fitted, parts, seeds)


def _facts(sequences: Sequence[mocap.Sequence], networks: int) -> dict[str, Any]:
    return {
        "networks": networks,
        "held_out": study.describe(protocols.HELD_OUT),
        "without": list(WITHOUT),
        "sha256_of_sequences": protocols.checksum([each.frames for each in sequences]),
    }
