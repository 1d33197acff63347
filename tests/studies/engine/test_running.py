import engine_jobs
import numpy as np
import pytest

from rnnatomy.studies import engine
from rnnatomy.studies.engine import jobs, running, workers


def arrays(kept):
    return [engine.load(one).arrays for one in kept]


def assert_same(some, others):
    for one, other in zip(arrays(some), arrays(others), strict=True):
        assert one.keys() == other.keys()
        for name, array in one.items():
            np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_jobs_come_in_order_and_are_done_once(calls, called):
    lines = []
    given = engine_jobs.walks(3, calls)
    first = engine.run("walks", given, report=lines.append)
    assert called() == ["0", "1", "2"] and not any(kept.reused for kept in first)
    assert [kept.label for kept in first] == ["walk-0", "walk-1", "walk-2"]
    assert [engine.load(kept).facts for kept in first] == [{"seed": seed} for seed in range(3)]
    again = engine.run("walks", [*engine_jobs.walks(4, calls)[::-1]], report=lines.append)
    assert called() == ["3"]
    assert [kept.reused for kept in again] == [False, True, True, True]
    assert_same(first, again[:0:-1])
    assert "walks: 3 of 3 jobs done" in lines
    assert lines[-1] == "walks: 4 of 4 jobs done, 3 of them reused"
    assert engine.facts(first, again) == {
        "jobs": 7,
        "reused": ["walk-2", "walk-1", "walk-0"],
        "wall_seconds": pytest.approx(sum(k.seconds for k in [*first, *again]), abs=0.06),
    }
    assert engine.facts(engine.run("walks", given))["reused"] == "all"


def test_how_far_a_study_is_is_told_in_one_line(calls, monkeypatch):
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr(running.time, "perf_counter", lambda: float(next(clock)))
    lines = []
    engine.run("walks", engine_jobs.walks(3, calls), report=lines.append)
    assert all(line.startswith("walks: ") and "\n" not in line for line in lines)
    assert lines[0].startswith("walks: 1 of 3 jobs done, ") and lines[0].endswith(" s left")
    assert lines[-1] == "walks: 3 of 3 jobs done"


def test_a_job_reads_what_another_has_made_and_runs_again_when_it_changes(calls):
    def onward(walked):
        job = engine.Job("on", engine_jobs.onward, {"factor": 3.0}, {"walked": walked})
        return engine.run("onward", [job])[0]

    walked = engine.run("walks", engine_jobs.walks(2, calls))
    first = onward(walked[0])
    state = engine.load(walked[0]).arrays["state"]
    np.testing.assert_array_equal(engine.load(first).arrays["state"], 2.0 * state * 3.0)
    assert onward(walked[0]).reused and not onward(walked[1]).reused


def test_a_failed_job_stops_no_other_and_says_how_to_run_it_alone(calls, monkeypatch):
    given = [engine.Job(f"f-{s}", engine_jobs.failing, {"seed": s}) for s in range(3)]
    sentence = (
        r"^job 'f-1' of study 'some' failed: ValueError: one is too many; its settings are seed 1; "
        r"the others are done and kept; run it alone with ENGINE_JOB='f-1' and the same command\.$"
    )
    with pytest.raises(engine.EngineError, match=sentence) as raised:
        engine.run("some", given)
    assert raised.value.failed == {"f-1": "ValueError: one is too many"}
    kept = engine.run("some", [given[0], given[2]])
    assert all(one.reused for one in kept)
    monkeypatch.setenv("ENGINE_JOB", "f-1")
    with pytest.raises(ValueError, match=r"^one is too many$"):  # with all that led to it
        engine.run("some", given)


def test_one_job_alone_is_run_here_and_kept(calls, called, monkeypatch):
    monkeypatch.setenv("ENGINE_JOB", "walk-1")
    monkeypatch.setattr(workers, "hired", None)
    lines = []
    with pytest.raises(TypeError):  # nobody is hired for the others
        engine.run("walks", engine_jobs.walks(2, calls), report=lines.append)
    assert called() == ["1"] and lines[0].startswith("walk-1: done in ")
    monkeypatch.undo()


def test_two_jobs_of_the_same_label_are_refused(calls):
    given = engine_jobs.walks(2, calls)
    with pytest.raises(engine.EngineError, match="study 'walks' has two jobs 'walk-0': give each"):
        engine.run("walks", [*given, given[0]])


def test_a_study_without_jobs_is_done(calls):
    assert engine.run("none", []) == []


def of_many(calls, count, **settings):
    given = {"calls": str(calls)} | settings
    return [
        engine.Job(f"many-{s}", engine_jobs.several, {"seed": s, **given}, many="seed")
        for s in range(count)
    ]


def test_on_a_cpu_many_are_done_one_by_one(calls, called):
    kept = engine.run("many", of_many(calls, 3))
    assert called() == ["0", "1", "2"]
    assert [int(made["seed"]) for made in arrays(kept)] == [0, 1, 2]


def test_on_an_accelerator_many_are_done_at_once(calls, monkeypatch):
    monkeypatch.setattr(workers, "platform", lambda: "gpu")
    monkeypatch.setattr(running, "TOGETHER", 4)
    kept = engine.run("many", of_many(calls, 6))
    assert sorted(path.name for path in calls.iterdir()) == ["0-1-2-3", "4-5"]
    assert [int(made["seed"]) for made in arrays(kept)] == list(range(6))
    assert all(one.reused for one in engine.run("many", of_many(calls, 6)[2:4]))


def test_a_job_goes_on_from_its_checkpoint(calls, root):
    job = engine.Job("counting", engine_jobs.counting, {"seed": 1, "calls": str(calls)})
    with pytest.raises(engine.EngineError, match="RuntimeError: interrupted"):
        engine.run("counting", [job])
    folder = jobs.jobs_folder() / ".checkpoints"
    assert len(list(folder.iterdir())) == 1
    (kept,) = engine.run("counting", [job])
    assert engine.load(kept).arrays["half"] and not list(folder.iterdir())
