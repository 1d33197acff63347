"""How far a study is: lines that tell it, and its finished parts, kept in ``build/``.

An interrupted study goes on from the parts that are there.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xarray as xr

from rnnatomy.store import disk, origin, results


def print_progress(word: str, done: int, of: int) -> None:
    """Print after each ten, and at the end, how many are done."""
    if done % 10 == 0 or done == of:
        print(f"{word} {done} of {of}", flush=True)


def print_line(line: str) -> None:
    """Print a line at once, also where the output is read by another process."""
    print(line, flush=True)


def clock(seconds: float) -> str:
    """Write seconds as minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02d} s"


def seconds_left(started: float, done: int, of: int) -> float:
    """Estimate how long the rest takes, if each part takes as long as those that are done.

    Args:
        started: when the first began, as of ``time.perf_counter``.
        done: parts that are done, at least 1.
        of: parts in all.
    """
    return (time.perf_counter() - started) / done * (of - done)


def part(folder: Path, facts: dict[str, Any], make: Callable[[], xr.Dataset]) -> results.Study:
    """Give a part as it was kept, if it was made from the same facts; else make and keep it.

    Args:
        folder: where it is kept.
        facts: all that it depends on, as it comes back from a file: lists, no tuples.
        make: measures the part.
    """
    kept = load_part(folder, facts)
    if kept is not None:
        return kept
    started = time.perf_counter()
    data = make()
    timed = {"wall_seconds": time.perf_counter() - started, **facts}
    return save_part(folder, data, timed)


def load_part(folder: Path, facts: dict[str, Any]) -> results.Study | None:
    """Load a part that was kept, if it is whole and was made from these facts."""
    try:
        kept = results.load_study(str(folder))
    except disk.StoreError:
        return None
    return kept if facts.items() <= kept.provenance.items() else None


def save_part(folder: Path, data: xr.Dataset, facts: dict[str, Any]) -> results.Study:
    """Keep a part, with where it comes from."""
    provenance = origin.provenance(origin.command_line(), **facts)
    made = results.Study(folder.name, data, provenance)
    results.save_study(folder, made)
    return made
