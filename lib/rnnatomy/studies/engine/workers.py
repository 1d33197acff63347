"""Who does the jobs: processes of this machine, or an existing Dask cluster.

Each job runs with one thread, wherever it runs, so that its result is the same bit for bit. On an
accelerator all jobs run in this process, one after the other.
"""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from rnnatomy.store import checkout, disk, origin
from rnnatomy.studies.engine import identity, jobs

SECONDS = 10.0
"""How long a cluster may take to answer."""

ADDRESSES = ("tcp://", "tls://", "ws://", "wss://", "ucx://", "inproc://")

HERE = "here"
"""Names the process that asks."""


class Task(NamedTuple):
    """Jobs that are done in one call.

    Attributes:
        jobs: one, or several that differ in the setting that ``many`` names.
        identities: what they are known by.
    """

    jobs: tuple[jobs.Job, ...]
    identities: tuple[dict[str, Any], ...]


class Done(NamedTuple):
    """What came of a task.

    Attributes:
        made: of each of its jobs.
        seconds: that each took.
        origin: where it was done.
    """

    made: tuple[jobs.Made, ...]
    seconds: float
    origin: dict[str, Any]


class Workers(NamedTuple):
    """Those who do the jobs.

    Attributes:
        submit: starts a task.
        places: tells how many tasks can run at the same time.
        renew: starts anew after a process has died; it says whether that can be done.
    """

    submit: Callable[[Task], "Future[Done]"]
    places: Callable[[], int]
    renew: Callable[[], bool]


@contextmanager
def hired(engine: str | int | None = None) -> Iterator[Workers]:
    """Start workers, or reach those that are there; they are let go of at the end.

    Args:
        engine: number of processes on this machine; "here" for this process alone; or the address
            of a Dask cluster, such as "tcp://host:8786". None: as the environment variable
            ``ENGINE`` says, else one process for each core.

    Raises:
        EngineError: if it is neither, or the cluster does not answer or does not fit.
    """
    told = (os.environ.get("ENGINE") or None) if engine is None else engine
    if isinstance(told, str) and told.startswith(ADDRESSES):
        with _cluster(told) as workers:
            yield workers
        return
    count = 0 if told == HERE else os.cpu_count() or 1 if told is None else _count(told)
    if count and platform() == "cpu":
        with _processes(count) as workers:
            yield workers
    else:
        yield Workers(_at_once, lambda: 1, lambda: False)


def platform() -> str:
    """Return the kind of device that computes here: "cpu", "gpu" and so on."""
    import jax

    return jax.default_backend()


def do(task: Task) -> Done:
    """Do a task, here.

    Raises:
        EngineError: if the code or the packages here are others than where it was given out.
    """
    prepare()
    here = tuple(jobs.identify(job, platform()) for job in task.jobs)
    for given, found in zip(task.identities, here, strict=True):
        _check_same(given, found)
    first = task.jobs[0]
    given = first.settings | {name: _read(value) for name, value in first.inputs.items()}
    if first.many:
        given[first.many] = [job.settings[first.many] for job in task.jobs]
    started = time.perf_counter()
    with threadpool_limits(1), jobs.checkpointed(identity.fingerprint(task.identities)):
        found = first.work(**given)
    several = tuple(found) if first.many else (found,)
    made = tuple(one if isinstance(one, jobs.Made) else jobs.Made(one) for one in several)
    return Done(made, (time.perf_counter() - started) / len(made), origin.machine())


def prepare() -> None:
    """Let this process compute with one thread, and share compiled code with others."""
    import jax

    flags = os.environ.get("XLA_FLAGS", "")
    if identity.ONE_THREAD not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {identity.ONE_THREAD}".strip()
    os.environ["NPROC"] = "1"  # the size of XLA's pool of threads
    if not getattr(jax.config, "jax_compilation_cache_dir", None):
        compiled = jobs.jobs_folder().with_name("compiled")
        jax.config.update("jax_compilation_cache_dir", str(compiled))


def carried(task: Task) -> Task:
    """Load what other jobs have made into the inputs of a task, for workers on other machines."""
    loaded = [
        job._replace(inputs={name: _carry(value) for name, value in job.inputs.items()})
        for job in task.jobs
    ]
    return task._replace(jobs=tuple(loaded))


class Carried(NamedTuple):
    """What another job has made, on its way.

    Attributes:
        digest: hash of it.
        made: all of it.
    """

    digest: str
    made: jobs.Made


def _carry(value: Any) -> Any:
    return Carried(value.digest, jobs.load(value)) if isinstance(value, jobs.Kept) else value


def _read(value: Any) -> Any:
    return _carry(value).made if isinstance(value, jobs.Kept | Carried) else value


def _here() -> str:
    return f"{socket.gethostname()}, process {os.getpid()},"


def _count(told: str | int) -> int:
    try:
        count = int(told)
    except ValueError:
        count = 0
    if count < 1:
        raise jobs.EngineError(
            f"ENGINE is {str(told)!r}: give a number of processes, at least 1, {HERE!r} for "
            "this process alone, or the address of a Dask scheduler, such as tcp://host:8786."
        )
    return count


@contextmanager
def _processes(count: int) -> Iterator[Workers]:
    """Start processes of this machine; none outlives this one."""
    context = multiprocessing.get_context("spawn")
    before = set(multiprocessing.active_children())

    def start() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(count, context, _stay_with_parent, (checkout.ROOT,))

    pools = [start()]

    def renew() -> bool:
        _end(pools.pop(), before)
        pools.append(start())
        return True

    def submit(task: Task) -> "Future[Done]":
        try:
            return pools[-1].submit(do, task)
        except BrokenProcessPool:  # one has died since the last task
            renew()
            return pools[-1].submit(do, task)

    try:
        yield Workers(submit, lambda: count, renew)
    finally:
        _end(pools.pop(), before)


def _end(pool: ProcessPoolExecutor, before: set[Any]) -> None:
    pool.shutdown(wait=False, cancel_futures=True)
    for process in set(multiprocessing.active_children()) - before:
        process.kill()
        process.join()


def _stay_with_parent(root: Path | None) -> None:
    """Work for the parent's folder, leave the keyboard's interrupts to it, and end when it ends."""
    checkout.ROOT = root
    identity.sources()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _at_once(task: Task) -> "Future[Done]":
    future: Future[Done] = Future()
    try:
        future.set_result(do(task))
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def _cluster(address: str) -> Iterator[Workers]:
    """Reach an existing Dask cluster."""
    client = _client(address)
    try:
        _check_workers(client, address)
        pool = client.get_executor(pure=False)

        def places() -> int:
            return max(1, sum(client.nthreads().values()))

        yield Workers(lambda task: pool.submit(do, carried(task)), places, lambda: False)
    except OSError as error:
        raise jobs.EngineError(
            f"the Dask cluster at {address} was lost ({type(error).__name__}): what is done is "
            "kept, and the same command goes on from there."
        ) from None
    finally:
        client.close(timeout=SECONDS)


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise jobs.EngineError(
            f"ENGINE is {address!r}, and Dask is not installed: pip install -r "
            "requirements-cluster.txt."
        ) from None
    # what it tells of a lost connection is told once more, in a sentence
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado", "asyncio"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        return Client(address, timeout=SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise jobs.EngineError(
            f"no Dask scheduler answered at {address} within {SECONDS:.0f} s "
            f"({type(error).__name__}): start one there (dask scheduler), or leave ENGINE out to "
            "use this machine."
        ) from None


def _check_workers(client: Any, address: str) -> None:
    """Refuse a cluster without workers, or whose workers have other versions."""
    try:
        client.wait_for_workers(1, timeout=SECONDS)
    except TimeoutError:
        raise jobs.EngineError(
            f"the Dask cluster at {address} has no worker after {SECONDS:.0f} s: start some "
            "(dask worker), and try again."
        ) from None
    try:
        found = client.run(identity.versions)
    except Exception as error:
        raise jobs.EngineError(
            f"a worker of the cluster at {address} cannot run this library ({error}): install the "
            "same version there."
        ) from None
    for worker, there in found.items():
        _check_versions(there, identity.versions(), worker)


def _check_versions(there: dict[str, str], here: dict[str, str], worker: str) -> None:
    for name, own in here.items():
        if there.get(name) != own:
            raise jobs.EngineError(
                f"worker {worker} has {name} {there.get(name)}, and this process {own}: install "
                "the same versions in both places."
            )


def _check_same(given: dict[str, Any], here: dict[str, Any]) -> None:
    """Refuse a job from a process with other code, packages or kind of device."""
    _check_versions(here["versions"], given["versions"], _here())
    for name in ("code", "platform", "flags"):
        then, now = (disk.brief(facts[name], 40) for facts in (given, here))
        if then != now:
            raise jobs.EngineError(
                f"worker {_here()} has another {name} ({now}) than the process that gives out the "
                f"job ({then}): bring both to the same commit, kind of device and XLA_FLAGS, or "
                "start again if files were edited meanwhile."
            )
