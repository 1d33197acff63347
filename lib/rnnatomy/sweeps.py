"""Sweeps: a chapter, run over a grid of its parameters; one table of what it glues, and a page.

    make sweep NAME=cutoffs GRID="direction=1..10 digit=0,8"

A grid names parameters, with blanks between them. Values are a list (0,8), whole numbers from one
to another (1..10, or in steps of three 1..10..3), words (mnist-0,mnist-1), or a mix (1..3,8). The
chapter is run once for each combination. Each run is a job of the engine, which ENGINE says who
does: what is done is kept in ``build/jobs``, and is run again when something changes that the
chapter is made from. The table goes to ``build/sweeps``.
"""

import argparse
import hashlib
import io
import math
import os
import re
import shutil
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

# the engine knows code by the modules at hand: those that a chapter's checks load late are here too
from rnnatomy.data import datasets, files, mocap  # noqa: F401
from rnnatomy.networks import runs
from rnnatomy.report import chapters, dependencies, parameters, site, sweep_page
from rnnatomy.store import checkout, commands, disk, scratch
from rnnatomy.studies import engine
from rnnatomy.studies.engine import identity

MOST = 500
"""So many points a sweep has at most."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What tells the linear algebra of a chapter's kernel how many threads it has."""

Grid = dict[str, list[Any]]
"""Values of each parameter, by name."""


class SweepError(ValueError):
    """A grid cannot be read or is too large, a point failed, or its table has no place to go."""


ERRORS = (*chapters.ERRORS, SweepError, engine.EngineError, files.DataError, site.SiteError)
"""What the command says in one sentence."""


def parse(text: str) -> Grid:
    """Read a grid such as "direction=1..10 digit=0,8"; a value that is given twice counts once.

    Raises:
        SweepError: if it cannot be read, is empty, or has too many points.
    """
    words = text.split()
    if not words:
        raise SweepError('the grid is empty: give parameters and values, as in "digit=0,8".')
    several: dict[str, list[range | list[Any]]] = {}
    for word in words:
        name, sign, values = word.partition("=")
        if not (name and sign):
            raise SweepError(
                f"{disk.brief(word)} is no part of a grid: write name=values, as in digit=0,8."
            )
        if name in several:
            raise SweepError(f"the grid has {disk.brief(name)} twice: give all its values at once.")
        several[name] = [_values(name, part) for part in values.split(",")]
    count = math.prod(sum(map(len, parts)) for parts in several.values())
    if count > MOST:
        raise SweepError(
            f"the grid has {count:,} points: give at most {MOST}, with a step (1..100..10) or in "
            "several sweeps."
        )
    return {
        name: list(dict.fromkeys(value for part in parts for value in part))
        for name, parts in several.items()
    }


def sweep(chapter: str, grid: Grid, output: Path, *, quick: bool = False, again: str = "") -> Path:
    """Run a chapter over a grid of its parameters, and write the table and its page.

    Points that are kept are not run again, unless they had failed.

    Args:
        chapter: its name.
        grid: values of its parameters.
        output: folder of the table; an earlier sweep there stands until the new one is whole.
        quick: whether the chapter's quick parameters stand beside the grid.
        again: the command that does it again, for the page.

    Returns:
        The page.

    Raises:
        ParameterError: before anything runs, for a chapter, a name or a value that is not allowed.
        SweepError: before anything runs, if something else is in the place of the table; at the
            end, if points failed. The table then says which, and why.
        EngineError: if points could not be run at all.
    """
    _check(chapter, grid)
    _check_place(output)
    jobs = [_job(chapter, given, quick) for given in _points(grid)]
    kept, died = _run(f"sweep of {chapter}", jobs)
    points = [
        sweep_page.Point(job.settings["given"], {}, 0.0, error=died[job.label])
        if job.label in died
        else _point(job, kept[job.label])
        for job in jobs
    ]
    made = _summary(list(kept.values())) if kept else "No point could be run."
    _write(output, sweep_page.Sweep(chapter, grid, points, quick, made, again))
    failed = [point for point in points if point.error]
    if failed:
        told = textwrap.shorten(failed[0].error, 200, placeholder=" ...")
        raise SweepError(
            f"{len(failed)} of {len(points)} points failed, first {_words(failed[0].given)} "
            f"({told}): the table tells of each; {output / sweep_page.PAGE}"
        )
    return output / sweep_page.PAGE


def work(
    chapter: str, given: dict[str, Any], quick: bool, made_from: dict[str, str]
) -> engine.Made:
    """Run a chapter at one point of a grid.

    Args:
        chapter: its name.
        given: its parameters.
        quick: whether its quick parameters replace its defaults.
        made_from: hashes of what it is made from, by which the point is known.

    Returns:
        The executed notebook, as bytes, and the values that it glued; or, as "error", why it
        failed.

    Raises:
        EngineError: if the chapter here is made from something else.
    """
    if _made_from(chapter, given, quick) != made_from:
        raise engine.EngineError(
            f"chapter {chapter!r}, or what it reads, is not as it was when the sweep began: start "
            "the sweep again."
        )
    with scratch.folder(Path(tempfile.gettempdir())) as folder, _one_thread():
        path = folder / f"{chapter}.ipynb"
        try:
            with redirect_stdout(io.StringIO()):
                chapters.run_chapter(chapter, given, path, quick)
        except (chapters.ChapterError, OSError) as error:
            return engine.Made({}, {"error": " ".join(str(error).split())})
        content = path.read_bytes()
    values = sweep_page.glued(nbformat.reads(content.decode(), 4))
    return engine.Made({"notebook": np.frombuffer(content, np.uint8)}, {"values": values})


# --- The grid ---------------------------------------------------------------------------------

_RANGE = re.compile(r"(-?\d{1,15})\.\.(-?\d{1,15})(?:\.\.(-?\d{1,15}))?", re.ASCII)
_LIKE_RANGE = re.compile(r"[\d.+-]*\.\.[\d.+-]*", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,15}", re.ASCII)
_BROKEN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def _values(name: str, text: str) -> range | list[Any]:
    """Read one part of a list of values: a range, a number, or a word."""
    ends = _RANGE.fullmatch(text)
    if ends:
        first, last, step = (int(end) if end else 1 for end in ends.groups())
        if first > last or step < 1:
            raise SweepError(f"{name}={text} has no values: count upwards, in steps of at least 1.")
        return range(first, last + 1, step)
    if _LIKE_RANGE.fullmatch(text):
        raise SweepError(
            f"{name}={disk.brief(text)} is no range: give whole numbers, as in 1..10 or 1..10..3."
        )
    if not text:
        raise SweepError(f"{name} lacks a value: give values with commas between, as in 0,8.")
    return [
        int(text) if _WHOLE.fullmatch(text) else float(text) if _BROKEN.fullmatch(text) else text
    ]


def _check(chapter: str, grid: Grid) -> None:
    """Refuse names and values that the chapter does not have, the names first."""
    declared = parameters.parameters(chapter)
    parameters.check_values(chapter, dict.fromkeys(name for name in grid if name not in declared))
    for name, values in grid.items():
        for value in values:
            parameters.check_values(chapter, {name: value})


def _points(grid: Grid) -> Iterator[dict[str, Any]]:
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _words(given: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in given.items())


# --- Its points, as jobs ----------------------------------------------------------------------


def _job(chapter: str, given: dict[str, Any], quick: bool) -> engine.Job:
    known = {"made_from": _made_from(chapter, given, quick)}
    settings = {"chapter": chapter, "given": given, "quick": quick} | known
    label = f"{chapter} {_words(given)}" + (" quick" if quick else "")
    return engine.Job(label, work, settings)


def _made_from(chapter: str, given: Mapping[str, Any], quick: bool) -> dict[str, str]:
    """Hash what a chapter is made from at one point: its files, its runs, and its data."""
    declared = parameters.parameters(chapter)
    paths = dependencies.depends(chapter, quick)
    for name, value in given.items():
        if declared[name].allowed.split()[:1] == ["run"]:
            paths += sorted(runs.find_run(value).glob("[!.]*"))
    root = checkout.root()
    hashes = [[os.path.relpath(path, root), _sha256(path)] for path in paths]
    found = {"files": identity.fingerprint(hashes)}
    if "dataset" in declared:
        quickly = parameters.settings(chapter).get("quick", {}) if quick else {}
        chosen = {"dataset": declared["dataset"].default} | quickly | dict(given)
        found["data"] = _checksum(chosen["dataset"])
    if any(path.name == "motion" for path in dependencies.data(chapter, quick)):
        found["motion"] = _motion()
    return found


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _checksum(name: str) -> str:
    return datasets.load(name).checksum


@cache
def _motion() -> str:
    """Say which motion capture there is, as a chapter that looks for it is told."""
    with scratch.folder(Path(tempfile.gettempdir())) as folder, redirect_stdout(io.StringIO()):
        chapters.find_motion(folder / "motion")
        return (folder / "motion").read_text()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the kernels that are started compute with one thread, as all jobs do."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


def _run(name: str, jobs: Sequence[engine.Job]) -> tuple[dict[str, engine.Kept], dict[str, str]]:
    """Run what is not kept, and what failed when it was run before.

    Returns:
        What is kept, and why the others could not be run at all; both by label.
    """
    died: dict[str, str] = {}

    def run(some: Sequence[engine.Job]) -> dict[str, engine.Kept]:
        left = [job for job in some if job.label not in died]
        try:
            return {one.label: one for one in engine.run(name, left)}
        except engine.EngineError as error:
            if not error.failed:
                raise
            died.update(error.failed)
            return run(left)

    kept = run(jobs)
    again = [label for label, one in kept.items() if one.reused and _error(engine.load(one))]
    for label in again:
        shutil.rmtree(kept.pop(label).folder)
    if again:
        kept |= run([job for job in jobs if job.label in again])
    return kept, died


def _error(made: engine.Made) -> str:
    return made.facts.get("error", "")


def _point(job: engine.Job, kept: engine.Kept) -> sweep_page.Point:
    """Take what came of a point; one that failed is not kept, and is tried again next time."""
    given, made = job.settings["given"], engine.load(kept)
    if _error(made):
        shutil.rmtree(kept.folder)
        return sweep_page.Point(given, {}, kept.seconds, error=_error(made))
    notebook = made.arrays["notebook"].tobytes()
    return sweep_page.Point(given, made.facts["values"], kept.seconds, notebook)


# --- Its folder -------------------------------------------------------------------------------


def folder_of(chapter: str, grid: str, quick: bool) -> Path:
    """Return where the table of a sweep goes, if nothing else is said: named after its grid."""
    words = "_".join(grid.split())
    name = re.sub(r"[^\w.,=-]", "", words, flags=re.ASCII)
    if name != words or len(name) > 80:
        name = f"{name[:60]}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    return checkout.root() / "build" / "sweeps" / chapter / (name + ("_quick" if quick else ""))


def _summary(kept: Sequence[engine.Kept]) -> str:
    """Say how many points were run, on what, and how long they took."""
    reused, where = sum(one.reused for one in kept), kept[0].origin
    run = len(kept) - reused
    return (
        f"{run} {'point was' if run == 1 else 'points were'} run for this page, {reused} reused; "
        f"together they took {sum(one.seconds for one in kept):.0f} s of one core "
        f"({where['device']}, {where['system']}, commit {where['commit'][:12]})."
    )


def _check_place(output: Path) -> None:
    """Refuse to take the place of anything but a sweep."""
    empty = not output.exists() or (output.is_dir() and not any(output.iterdir()))
    names = (sweep_page.TABLE, sweep_page.PAGE)
    if not empty and not all((output / name).is_file() for name in names):
        raise SweepError(f"{output} is there, and is no sweep: name another folder, or remove it.")


def _write(output: Path, made: sweep_page.Sweep) -> None:
    """Write a sweep aside, and put it in the place of an earlier one when it is whole."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(output.parent) as aside:
        new = aside / "new"
        new.mkdir()
        sweep_page.write(new, made)
        scratch.replace(output, new, aside / "old")


# --- The command ------------------------------------------------------------------------------


def main() -> None:
    """Run a sweep."""
    commands.run(_main, ERRORS, "points that are done are kept; the same command goes on.")


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m rnnatomy.sweeps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("chapter", help="its name")
    parser.add_argument("grid", help='such as "direction=1..10 digit=0,8"')
    parser.add_argument("--quick", action="store_true", help="with the chapter's quick parameters")
    parser.add_argument("--output", type=Path, help="folder of the table, if not in build/sweeps")
    options = parser.parse_args()
    grid, quick = parse(options.grid), options.quick
    parameters.read_chapter(options.chapter)
    output = options.output or folder_of(options.chapter, options.grid, quick)
    again = f'make sweep NAME={options.chapter} GRID="{" ".join(options.grid.split())}"'
    page = sweep(options.chapter, grid, output, quick=quick, again=again + " QUICK=1" * quick)
    print(f"The table: {page.with_name(sweep_page.TABLE)}\nThe page:  {page}")


if __name__ == "__main__":
    from rnnatomy import sweeps  # other processes, and what is kept, know jobs by this name

    sweeps.main()
