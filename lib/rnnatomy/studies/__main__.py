"""The studies: expensive computations whose small results are published in ``results/``.

Run with ``make results``, or one at a time: ``python -m rnnatomy.studies mnist``. A study is a
module here with a function ``publish``; its name is that of the folder it writes. Its jobs are kept
in ``build/jobs``: one that was interrupted goes on from there when it is started again.

The environment variable ENGINE says who does the jobs: a number of processes of this machine (else
one for each core), "here" for this process, or the address of a Dask cluster, tcp://host:8786.
ENGINE_JOB names one job to run in this process.
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from rnnatomy import studies
from rnnatomy.data import files
from rnnatomy.store import checkout, commands, disk
from rnnatomy.studies import engine

FIRST = ("mnist", "thousand", "hundred", "collapse")
"""Studies whose networks others read."""


ERRORS = (
    files.DataError,
    disk.StoreError,
    checkout.CheckoutError,
    engine.EngineError,
    ValueError,
)
"""What the command says in one sentence."""


def registered() -> dict[str, Callable[..., None]]:
    """Return every study by name, those first whose networks others read."""
    names = sorted(module.name for module in iter_modules(studies.__path__))
    found: dict[str, Callable[..., None]] = {}
    for name in [*FIRST, *(name for name in names if name not in FIRST)]:
        if name != "__main__":
            publish = getattr(import_module(f"rnnatomy.studies.{name}"), "publish", None)
            found |= {name: publish} if publish else {}
    return found


def main() -> None:
    """Run one study by name, or list them all."""
    commands.run(_command, ERRORS, "the same command goes on from the jobs that are done by now.")


def _command() -> None:
    known = registered()
    parser = argparse.ArgumentParser(
        prog="python -m rnnatomy.studies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", choices=[*known, "list"], help="which study to run; list: names")
    parser.add_argument("--networks", type=int, help="how many, if not as published")
    options = parser.parse_args()
    if options.study == "list":
        print(" ".join(known))
        return
    if options.networks is not None and options.networks < 2:
        raise ValueError(f"--networks is {options.networks}: give a whole number of at least 2.")
    checkout.root()
    given = {} if options.networks is None else {"networks": options.networks}
    known[options.study](**given)


if __name__ == "__main__":
    main()
