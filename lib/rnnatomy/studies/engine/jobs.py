"""Jobs, and what is kept of those that are done: one folder each, written aside and renamed."""

import fcntl
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple

from rnnatomy.store import checkout, disk, scratch
from rnnatomy.studies.engine import identity

MANIFEST, ARRAYS = "job.json", "arrays.safetensors"


class EngineError(Exception):
    """A job failed, or there is nobody to do it; the message says which, and what to do.

    Attributes:
        failed: why, of each job that failed, by label.
    """

    def __init__(self, message: str, failed: dict[str, str] | None = None):
        super().__init__(message)
        self.failed = failed or {}


class Made(NamedTuple):
    """What a job makes.

    Attributes:
        arrays: by name.
        facts: further numbers and words by name, as a file has them: lists, no tuples.
    """

    arrays: disk.Arrays
    facts: dict[str, Any] = {}  # noqa: RUF012


class Job(NamedTuple):
    """A pure function of settings and inputs, which are given to it by name.

    Attributes:
        label: in words, such as "hundred-7"; no two of a study are the same.
        work: makes what is kept. It is defined at the top level of a module.
        settings: numbers and words, seeds among them.
        inputs: what it reads besides: arrays, named tuples of them, or what another job has made,
            which ``work`` gets as it was made.
        many: name of a setting of which ``work`` gets several values at once, in a list, and makes
            one after the other for each: one on a CPU, many on an accelerator, which then trains
            its networks as one computation.
    """

    label: str
    work: Callable[..., Any]
    settings: dict[str, Any]
    inputs: dict[str, Any] = {}  # noqa: RUF012
    many: str = ""


class Kept(NamedTuple):
    """A job that is done.

    Attributes:
        label: of the job.
        folder: where it is kept.
        digest: hash of what it made.
        seconds: that it took.
        origin: where it was made: commit, versions, device and system.
        reused: whether it was there already.
    """

    label: str
    folder: Path
    digest: str
    seconds: float
    origin: dict[str, Any]
    reused: bool = False


def identify(job: Job, platform: str) -> dict[str, Any]:
    """Return all that goes into a job, as a file has it.

    Args:
        job: what is to be done.
        platform: kind of device that computes: "cpu", "gpu" and so on.
    """
    work = f"{job.work.__module__}.{job.work.__qualname__}"
    try:
        inputs = {name: identity.fingerprint(value) for name, value in job.inputs.items()}
        settings = identity.fingerprint(job.settings)
    except TypeError as error:
        raise EngineError(f"job {job.label!r} cannot be told from others: {error}") from None
    facts = {"work": work, "settings": settings, "inputs": inputs, "platform": platform}
    facts |= {"flags": identity.flags(), "versions": identity.versions()}
    return facts | {"code": identity.code(job.work)}


def find(job: Job, known_by: dict[str, Any]) -> Path:
    """Return the folder that a job has, or will have, from what it is known by."""
    label = re.sub(r"[^\w.+-]+", "_", job.label)[:80].lstrip(".-") or "job"
    return jobs_folder() / f"{label}-{identity.fingerprint(known_by)[:16]}"


def jobs_folder() -> Path:
    """Return the folder of all jobs that are done."""
    return checkout.root() / "build" / "jobs"


def look_up(job: Job, known_by: dict[str, Any], *, reused: bool = True) -> Kept | None:
    """Return a job that is done, if it is whole; what is damaged is removed."""
    folder = find(job, known_by)
    if not folder.is_dir():
        return None
    try:
        document, _ = disk.load_folder(folder / MANIFEST, _FIELDS, ARRAYS)
        made_of = document["identity"] == known_by
    except disk.StoreError:
        made_of = False
    if not made_of:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    digest = identity.fingerprint([document["sha256"][ARRAYS], document["facts"]])
    return Kept(job.label, folder, digest, document["seconds"], document["origin"], reused)


def keep(
    job: Job, known_by: dict[str, Any], made: Made, seconds: float, where: dict[str, Any]
) -> Kept:
    """Keep what a job has made: its folder appears whole, or not at all."""
    folder = find(job, known_by)
    facts = {
        "label": job.label,
        "identity": known_by,
        "facts": made.facts,
        "seconds": round(seconds, 3),
        "origin": where,
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch.folder(folder.parent) as aside:
        disk.save_folder(aside / "new" / MANIFEST, {ARRAYS: made.arrays}, facts)
        if look_up(job, known_by) is None:
            (aside / "new").rename(folder)
    kept = look_up(job, known_by, reused=False)
    if kept is None:
        raise EngineError(f"{folder} was written, and cannot be read: look at the disk.")
    return kept


def load(kept: Kept) -> Made:
    """Load what a job has made.

    Raises:
        StoreError: if it is damaged, or gone.
    """
    document, files = disk.load_folder(kept.folder / MANIFEST, _FIELDS, ARRAYS)
    return Made(files[ARRAYS], document["facts"])


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Claim a job among processes; the claim ends with the process that has it.

    Yields:
        Whether it is ours; if not, another process is at it.
    """
    lock = folder.parent / ".locks" / folder.name
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:  # not every shared file system knows locks: a job may be done twice
            pass
        try:
            yield True
        finally:
            lock.unlink(missing_ok=True)


_CHECKPOINT: ContextVar[Path | None] = ContextVar("checkpoint", default=None)


def checkpoint() -> Path | None:
    """Return where the running job may keep how far it is, to go on from there after a kill.

    None if no job is running.
    """
    return _CHECKPOINT.get()


@contextmanager
def checkpointed(name: str) -> Iterator[None]:
    """Give the running job a checkpoint of some name, and remove it when the job is done."""
    path = jobs_folder() / ".checkpoints" / f"{name[:32]}.safetensors"
    token = _CHECKPOINT.set(path)
    try:
        yield
        path.unlink(missing_ok=True)
    finally:
        _CHECKPOINT.reset(token)


_FIELDS = {"label", "identity", "facts", "seconds", "origin"}
