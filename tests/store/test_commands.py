"""How commands end: each failure in one sentence, with a code above 0."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from rnnatomy.store import commands


class Known(Exception):
    pass


def end_of(error, capsys):
    """What a command that meets an error ends with, and what it says."""

    def fail():
        raise error

    with pytest.raises(SystemExit) as caught:
        commands.run(fail, (Known,))
    code = caught.value.code
    return (1, code) if isinstance(code, str) else (code, capsys.readouterr().err.strip())


def test_a_command_that_does_its_work_ends_nothing():
    done = []
    commands.run(lambda: done.append(1), ())
    assert done == [1]


def test_a_known_error_is_said_as_it_is(capsys):
    assert end_of(Known("so it is."), capsys) == (1, "error: so it is.")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "No", "/a/b"), "'/a/b' cannot be read or"),
        (PermissionError(errno.EACCES, "No", "/a/b"), "written (No): correct that"),
        (OSError(errno.ENOSPC, "No space"), "cannot be read or written (No space): make room"),
        (OSError(errno.EXDEV, "No", "/a", None, "/b"), "'/a' or '/b' cannot be read"),
        (OSError(errno.ENAMETOOLONG, "No", "x" * 300), "xxx...' cannot be read"),
        (OSError("in words"), "(in words)"),
        (OSError(), "(OSError)"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_is_one_sentence(error, words, capsys):
    code, said = end_of(error, capsys)
    assert code == 1
    assert said.startswith("error: ") and words in said and "\n" not in said
    assert said.endswith(", and run the same command again.")
    assert len(said) < 400


def test_an_interrupted_command_says_so_and_ends_as_shells_expect(capsys):
    code, said = end_of(KeyboardInterrupt(), capsys)
    assert code == 130
    assert said.startswith("error: interrupted: nothing is half-written")


def test_an_error_that_nobody_expects_keeps_its_traceback():
    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        commands.run(fail, (Known,))


PRINTS = """
from rnnatomy.store import commands
commands.run(lambda: print("x" * 100_000), ())
"""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, as Linux has it")
def test_an_output_that_is_full_or_closed_is_one_sentence():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PRINTS], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "make room" in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", PRINTS], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "Broken pipe" in done.stderr


@pytest.mark.parametrize("error", [RuntimeError("its kernel died"), OSError(5, "gone"), SystemExit])
def test_whatever_comes_of_an_interrupt_is_told_as_one(capsys, error):
    before = signal.getsignal(signal.SIGINT)

    def interrupted():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise error from None

    with pytest.raises(SystemExit) as caught:
        commands.run(interrupted, (RuntimeError,))
    assert caught.value.code == 130
    assert capsys.readouterr().err.startswith("\nerror: interrupted: nothing is half-written")
    assert signal.getsignal(signal.SIGINT) is before
