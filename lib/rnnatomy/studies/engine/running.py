"""Running the jobs of a study: those that are kept are reused, the others done and kept.

Two processes that run the same study share its jobs out among themselves.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rnnatomy.store import disk
from rnnatomy.studies import progress
from rnnatomy.studies.engine import identity, jobs, workers

TOGETHER = 64
"""So many jobs of the same kind are done in one call on an accelerator."""

TRIES = 2
"""So often may a process die of a job, with no other at work, before the job counts as failed."""

POLL = 0.5
"""Seconds after which a job that another process is at is looked for again."""

Report = Callable[[str], None]

Numbers = tuple[int, ...]
"""Places of jobs in a study that are done in one call."""


def run(
    name: str,
    given: Sequence[jobs.Job],
    *,
    engine: str | int | None = None,
    report: Report = progress.print_line,
) -> list[jobs.Kept]:
    """Do the jobs of a study, and return all of them in order.

    A job that is kept is not done again. One that fails stops no other; those that are done by then
    are kept. The environment variable ``ENGINE_JOB`` names a job that is run in this process.

    Args:
        name: of the study, for what is reported.
        given: what is to be done.
        engine: as of ``workers.hired``.
        report: called with a line now and then.

    Raises:
        EngineError: if jobs failed, two have the same label, or there is nobody to do them.
    """
    _check_labels(name, given)
    identity.sources()
    platform = workers.platform()
    known = [jobs.identify(job, platform) for job in given]
    _run_alone(given, known, report)
    study = _Study(name, given, known, report)
    if study.left():
        with workers.hired(engine) as hired:
            _Shift(study, hired, 1 if platform == "cpu" else TOGETHER).work()
    study.tell(last=True)
    if study.failed:
        failed = {given[number].label: sentence for number, sentence in study.failed.items()}
        raise jobs.EngineError(_failure(name, given, study.failed), failed)
    return [kept for kept in study.found if kept is not None]


def facts(*several: Sequence[jobs.Kept]) -> dict[str, Any]:
    """Say for a provenance how many jobs a study has, which were reused, and what all took."""
    every = [kept for some in several for kept in some]
    reused = [kept.label for kept in every if kept.reused]
    return {
        "jobs": len(every),
        "reused": "all" if len(reused) == len(every) else reused,
        "wall_seconds": round(sum(kept.seconds for kept in every), 1),
    }


class _Study:
    """How far a study is: what is kept of its jobs, and which failed."""

    def __init__(
        self, name: str, given: Sequence[jobs.Job], known: list[dict[str, Any]], report: Report
    ):
        self.name, self.given, self.known, self.report = name, given, known, report
        self.found: list[jobs.Kept | None] = [None] * len(given)
        self.failed: dict[int, str] = {}
        for number in range(len(given)):
            self.look_up(number)
        self.reused = len(given) - len(self.left())
        self.started, self.told, self.line = time.perf_counter(), 0.0, ""

    def left(self) -> list[int]:
        return [number for number, kept in enumerate(self.found) if kept is None]

    def folder(self, number: int) -> Path:
        return jobs.find(self.given[number], self.known[number])

    def look_up(self, number: int) -> bool:
        self.found[number] = jobs.look_up(self.given[number], self.known[number])
        return self.found[number] is not None

    def keep(self, numbers: Numbers, done: workers.Done) -> None:
        for number, made in zip(numbers, done.made, strict=True):
            job, known = self.given[number], self.known[number]
            self.found[number] = jobs.keep(job, known, made, done.seconds, done.origin)

    def fail(self, numbers: Numbers, sentence: str) -> None:
        self.failed |= dict.fromkeys(numbers, sentence)

    def tell(self, *, last: bool = False) -> None:
        """Report in one line how far it is, at most once a second."""
        now = time.perf_counter()
        if not last and now - self.told < 1:
            return
        self.told, left = now, len(self.left()) - len(self.failed)
        done = len(self.given) - len(self.left())
        line = f"{self.name}: {done} of {len(self.given)} jobs done"
        line += f", {self.reused} of them reused" if self.reused else ""
        line += f", {len(self.failed)} failed" if self.failed else ""
        if left and done > self.reused:
            each = (now - self.started) / (done - self.reused)
            line += f", {progress.clock(each * left)} left"
        if line != self.line:
            self.report(line)
        self.line = line


class _Shift:
    """Work at what is left of a study: several jobs at a time, each claimed by one process.

    A process that dies takes others with it. Those that were at work then are tried again one by
    one, so that it comes out which of them it died of.
    """

    def __init__(self, study: _Study, hired: workers.Workers, together: int):
        self.study, self.hired = study, hired
        self.waiting = deque(_group(study, together))
        self.suspects: deque[Numbers] = deque()
        self.running: dict[Future[workers.Done], Numbers] = {}
        self.claims: dict[Numbers, ExitStack] = {}
        self.deaths: Counter[Numbers] = Counter()

    def work(self) -> None:
        """Go on until nothing is left."""
        try:
            while self.waiting or self.suspects or self.running:
                self.fill()
                if self.running:
                    self.gather()
                else:  # another process is at all that is left
                    time.sleep(POLL)
        finally:
            for claim in self.claims.values():
                claim.close()

    def fill(self) -> None:
        """Start as many as there are places for."""
        queue = self.suspects or self.waiting
        places = 1 if self.suspects else self.hired.places()
        for _ in range(len(queue)):
            if len(self.running) >= places:
                return
            numbers = queue.popleft()
            if not self.start(numbers):
                queue.append(numbers)

    def start(self, numbers: Numbers) -> bool:
        """Start jobs, if they are not done by now; not if another process is at one of them."""
        with ExitStack() as claim:
            for number in numbers:
                if not claim.enter_context(jobs.claimed(self.study.folder(number))):
                    return False
            if all([self.study.look_up(number) for number in numbers]):
                self.study.tell()
                return True
            given = tuple(self.study.given[number] for number in numbers)
            known = tuple(self.study.known[number] for number in numbers)
            self.running[self.hired.submit(workers.Task(given, known))] = numbers
            self.claims[numbers] = claim.pop_all()
        return True

    def gather(self) -> None:
        """Wait until a job ends, and keep what it has made."""
        alone, timeout = len(self.running) == 1, POLL if self.waiting else None
        ended, _ = wait(self.running, timeout, FIRST_COMPLETED)
        died = False
        for future in ended:
            numbers = self.running.pop(future)
            with self.claims.pop(numbers):
                died |= self.end(numbers, future, alone)
            self.study.tell()
        if died:
            self.start_anew()

    def end(self, numbers: Numbers, future: "Future[workers.Done]", alone: bool) -> bool:
        """Keep what jobs have made, or note why they failed; tell whether their process died."""
        try:
            self.study.keep(numbers, future.result())
        except BrokenProcessPool:
            self.deaths[numbers] += alone
            if self.deaths[numbers] < TRIES:
                self.suspects.append(numbers)
            else:
                self.study.fail(numbers, "its process died, twice, with no other job at work")
            return True
        except CancelledError:
            raise jobs.EngineError(
                f"study {self.study.name!r} has lost its cluster; what is done is kept, and the "
                "same command goes on from there."
            ) from None
        except Exception as error:
            self.study.fail(numbers, disk.brief(f"{type(error).__name__}: {error}", 300)[1:-1])
        return False

    def start_anew(self) -> None:
        """Take back what runs, and let other processes do it."""
        for numbers in self.running.values():
            self.claims.pop(numbers).close()
            self.suspects.append(numbers)
        self.running.clear()
        self.hired.renew()


def _check_labels(name: str, given: Sequence[jobs.Job]) -> None:
    label, count = next(iter(Counter(job.label for job in given).most_common(1)), ("", 0))
    if count > 1:
        raise jobs.EngineError(f"study {name!r} has two jobs {label!r}: give each a label.")


def _group(study: _Study, together: int) -> list[Numbers]:
    """Put jobs that can be done in one call together: the same but for one setting."""
    groups: dict[Any, list[int]] = {}
    for number in study.left():
        job = study.given[number]
        alike: Any = number
        if job.many and together > 1:
            settings = {name: v for name, v in job.settings.items() if name != job.many}
            alike = job.work, identity.fingerprint([settings, study.known[number]["inputs"]])
        groups.setdefault(alike, []).append(number)
    return [
        tuple(numbers[first : first + together])
        for numbers in groups.values()
        for first in range(0, len(numbers), together)
    ]


def _failure(name: str, given: Sequence[jobs.Job], failed: dict[int, str]) -> str:
    """Say which job failed first, with which settings, and how to run it alone."""
    number, told = next(iter(sorted(failed.items())))
    job, count = given[number], len(failed)
    others = f" (and {count - 1} more)" if count > 1 else ""
    settings = ", ".join(f"{k} {disk.brief(v, 40)}" for k, v in job.settings.items())
    return (
        f"job {job.label!r} of study {name!r} failed{others}: {told}; its settings are {settings}; "
        f"the others are done and kept; run it alone with ENGINE_JOB={job.label!r} and the same "
        "command."
    )


def _run_alone(given: Sequence[jobs.Job], identities: list[dict[str, Any]], report: Report) -> None:
    """Run the job that ``ENGINE_JOB`` names in this process, where its errors can be followed."""
    wanted = os.environ.get("ENGINE_JOB")
    for job, known_by in zip(given, identities, strict=True):
        if job.label == wanted:
            done = workers.do(workers.Task((job,), (known_by,)))
            jobs.keep(job, known_by, done.made[0], done.seconds, done.origin)
            report(f"{job.label}: done in {done.seconds:.1f} s")
