"""How a command ends: with what it was asked for, or with one sentence and a code above 0."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOSPC
from types import FrameType

from rnnatomy.store import disk

INTERRUPTED = 130
"""Code of a command that was stopped from the keyboard, as shells have it."""


def run(
    command: Callable[[], None],
    errors: tuple[type[Exception], ...],
    interrupted: str = "nothing is half-written; the same command begins again.",
) -> None:
    """Run a command; where it cannot go on, end the program with one sentence.

    Args:
        command: what is done.
        errors: those whose message is a sentence. What the system refuses is told besides.
        interrupted: what is said of a command that is stopped from the keyboard.

    Raises:
        SystemExit: with a code above 0, if the command ends early.
    """
    with _noting_interrupts() as noted:
        try:
            command()
            sys.stdout.flush()
        except BaseException as error:
            # a kernel or a pool that is stopped on the way may end in any error of its own
            if noted or isinstance(error, KeyboardInterrupt):
                warnings.simplefilter("ignore")  # of what was left in the middle
                print(f"\nerror: interrupted: {interrupted}", file=sys.stderr)
                sys.exit(INTERRUPTED)
            if isinstance(error, errors):
                sys.exit(f"error: {error}")
            if not isinstance(error, OSError):
                raise
            _close_output()
            sys.exit(f"error: {refusal(error)}")


@contextmanager
def _noting_interrupts() -> Iterator[list[int]]:
    """Note each interrupt from the keyboard, whatever error comes of it."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)
        signal.default_int_handler(number, frame)

    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


def refusal(error: OSError) -> str:
    """Say in one sentence what the system refused, of which file, and what to do."""
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if name]
    known = " or ".join(disk.brief(name, 200) for name in names)
    where = f"{known or 'a file, or what is printed,'} cannot be read or written"
    why = error.strerror or str(error) or type(error).__name__
    remedy = "make room" if error.errno == ENOSPC else "correct that"
    return f"{where} ({why}): {remedy}, and run the same command again."


def _close_output() -> None:
    """Send what is still to be printed nowhere, if nobody can take it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
