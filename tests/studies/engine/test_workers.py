"""Processes and clusters: the same study wherever it runs, and whatever is killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import engine_jobs
import pytest

from rnnatomy.store import disk
from rnnatomy.studies import engine
from rnnatomy.studies.engine import identity, jobs, workers

TESTS = Path(engine_jobs.__file__).parent

STUDY = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import engine_jobs
from rnnatomy.store import checkout
from rnnatomy.studies import engine
checkout.ROOT = Path(sys.argv[2])
given = engine_jobs.walks(int(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
try:
    for kept in engine.run("walks", given):
        print(kept.label, kept.digest)
except engine.EngineError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def study(child, calls, root):
    """Start a study of walks in a process of its own."""

    def start(engine, count=6, seconds=0.0):
        return child(STUDY, TESTS, root, count, calls, seconds, ENGINE=engine)

    return start


def digests(process):
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    lines = [line.split() for line in out.splitlines() if line.startswith("walk-")]
    return dict(lines)


@pytest.fixture
def here(calls, root, monkeypatch, tmp_path_factory):
    """What this process makes of the study."""
    with monkeypatch.context() as patch:
        patch.setattr("rnnatomy.store.checkout.ROOT", tmp_path_factory.mktemp("here"))
        kept = engine.run("walks", engine_jobs.walks(6, calls), engine="here")
        found = {one.label: one.digest for one in kept}
    for path in calls.iterdir():
        path.unlink()
    return found


@pytest.mark.parametrize("count", [1, 2])
def test_processes_make_the_same_bits_as_this_one(here, study, called, count):
    assert digests(study(count)) == here
    assert called() == [str(seed) for seed in range(6)]


class Cluster(NamedTuple):
    """A Dask cluster on this machine: its address, what starts a worker, and its scheduler."""

    address: str
    worker: Callable[[], subprocess.Popen]
    scheduler: subprocess.Popen


@pytest.fixture
def cluster(tmp_path, child):
    """A scheduler and two workers of Dask, as processes on this machine; and their address."""
    file, started = tmp_path / "scheduler.json", []

    def start(program, *words, **settings):
        code = f"import sys; from distributed.cli.dask_{program} import main; sys.exit(main())"
        process = child(code, *words, "--no-dashboard", PYTHONPATH=TESTS, **settings)
        started.append(process)
        return process

    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", file)
    while not file.is_file() or not file.read_text().strip().endswith("}"):
        assert started[0].poll() is None, started[0].communicate()
        time.sleep(0.05)

    def worker(**settings):
        words = "--scheduler-file", file, "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1"
        return start("worker", *words, "--local-directory", tmp_path, **settings)

    address = disk.json.loads(file.read_text())["address"]
    yield Cluster(address, worker, started[0])
    for process in started:
        process.kill()
        process.communicate()


def test_a_cluster_makes_the_same_bits_and_outlives_a_worker(here, cluster, study, called):
    address, worker, _ = cluster
    first, _ = worker(), worker()
    process = study(address, seconds=0.5)
    while not any(jobs.jobs_folder().glob("walk-*")):
        time.sleep(0.05)
    first.kill()  # what it was at, the other does
    assert digests(process) == here
    assert set(called()) == {str(seed) for seed in range(6)}


def test_a_lost_cluster_ends_the_study_in_a_sentence_and_what_is_done_is_kept(cluster, study):
    address, worker, scheduler = cluster
    worker()
    process = study(address, seconds=0.5)
    while not any(jobs.jobs_folder().glob("walk-*")):
        time.sleep(0.05)
    scheduler.kill()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1 and errors.startswith("error: "), errors
    assert "lost" in errors and "the same command goes on from there" in errors
    assert digests(study(1, seconds=0.5)).keys() >= {"walk-0", "walk-5"}


def test_a_cluster_without_workers_is_refused(cluster, study, monkeypatch, calls):
    address = cluster.address
    monkeypatch.setattr(workers, "SECONDS", 0.5)
    sentence = f"^the Dask cluster at {address} has no worker after 0 s: start some"
    with pytest.raises(engine.EngineError, match=sentence):
        engine.run("walks", engine_jobs.walks(1, calls), engine=address)


def test_a_scheduler_that_does_not_answer_is_refused(calls, monkeypatch):
    monkeypatch.setattr(workers, "SECONDS", 0.3)
    sentence = "^no Dask scheduler answered at tcp://127.0.0.1:9 within 0 s .* start one there"
    with pytest.raises(engine.EngineError, match=sentence):
        engine.run("walks", engine_jobs.walks(1, calls), engine="tcp://127.0.0.1:9")


def test_without_dask_a_cluster_is_refused(calls, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(engine.EngineError, match="Dask is not installed: pip install -r requ"):
        engine.run("walks", engine_jobs.walks(1, calls), engine="tcp://127.0.0.1:9")


@pytest.mark.parametrize("told", ["0", "-1", "two", "1.5", "http://host"])
def test_other_engines_are_refused(calls, monkeypatch, told):
    monkeypatch.setenv("ENGINE", told)
    with pytest.raises(engine.EngineError, match=rf"^ENGINE is '{told}': give a number of proc"):
        engine.run("walks", engine_jobs.walks(1, calls))


def test_workers_with_other_versions_are_refused_and_both_named(monkeypatch):
    class Client:
        def wait_for_workers(self, count, timeout): ...

        def run(self, function):
            return {"tcp://a:1": function(), "tcp://b:2": function() | {"jax": "0.9"}}

    own = identity.versions()["jax"]
    with pytest.raises(engine.EngineError, match=f"^worker tcp://b:2 has jax 0.9, .* {own}: inst"):
        workers._check_workers(Client(), "tcp://c:3")


@pytest.mark.parametrize(
    ("fact", "sentence"),
    [
        ({"code": "0" * 64}, "has another code"),
        ({"platform": "tpu"}, "has another platform"),
        ({"flags": ["--xla_other"]}, r"has another flags .* the same commit, .* and XLA_FLAGS"),
        ({"versions": {"jax": "0.9"}}, r"has jax .*, and this process 0\.9: install the same"),
    ],
)
def test_a_process_with_other_code_refuses_the_job(calls, fact, sentence):
    job = engine_jobs.walks(1, calls)[0]
    known = jobs.identify(job, "cpu") | fact
    with pytest.raises(engine.EngineError, match=sentence):
        workers.do(workers.Task((job,), (known,)))


def test_a_job_that_kills_its_process_stops_no_other(calls):
    given = [
        engine.Job(f"d-{s}", engine_jobs.dying, {"seed": s, "calls": str(calls)}) for s in range(4)
    ]
    with pytest.raises(engine.EngineError, match=r"job 'd-1' .* its process died, twice, with no"):
        engine.run("dying", given, engine=2)
    found = [jobs.look_up(job, jobs.identify(job, "cpu")) is not None for job in given]
    assert found == [True, False, True, True]


def test_two_processes_share_a_study(here, study, called):
    several = [study(1, seconds=0.4), study(1, seconds=0.4)]
    assert [digests(process) for process in several] == [here, here]
    assert called() == [str(seed) for seed in range(6)]  # each job once


def workers_of(process):
    """Processes that a process has started, and that are alive."""
    path = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(word) for word in path.read_text().split()] if path.is_file() else []


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def whole_jobs():
    """Return the manifests of the jobs that are kept, and see that nothing is half-written."""
    found = {}
    for path in jobs.jobs_folder().glob("walk-*"):
        assert {file.name for file in path.iterdir()} == {"arrays.safetensors", "job.json"}
        found[path.name] = (path / "job.json").read_text()
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_nothing_is_lost_if_processes_are_killed_at_random(here, study, root):
    """Twenty kills: of workers, and of the main process with a new start after each."""
    rng, kills, process = random.Random(0), 0, study(2, seconds=0.3)
    kept: dict[str, str] = {}
    while kills < 20:
        time.sleep(rng.uniform(0.1, 0.8))
        own = workers_of(process)
        if process.poll() is None:
            victim = process.pid if rng.random() < 0.3 or not own else rng.choice(own)
            os.kill(victim, signal.SIGKILL)
            kills += 1
            if victim != process.pid:
                continue
        process.communicate()
        deadline = time.monotonic() + 5
        while any(map(is_alive, own)):
            assert time.monotonic() < deadline, "workers outlive the main process"
            time.sleep(0.02)
        whole = whole_jobs()
        assert kept.items() <= whole.items()  # nothing lost, nothing made again
        kept = whole
        if len(kept) == 6:  # all are done: the kills go on with a new start
            for path in jobs.jobs_folder().glob("walk-*"):
                shutil.rmtree(path)
            kept = {}
        process = study(2, seconds=0.3)
    assert digests(process) == here
    assert not [path for path in jobs.jobs_folder().glob(".walk*")]
    assert kept.items() <= whole_jobs().items()
