import engine_jobs
import numpy as np
import pytest

from rnnatomy.store import disk
from rnnatomy.studies import engine
from rnnatomy.studies.engine import identity, jobs

WALK = engine.Job("walk", engine_jobs.walk, {"seed": 1, "steps": 3})
MADE = engine.Made({"a": np.arange(3)}, {"note": "b"})


@pytest.fixture(autouse=True)
def jobs_of_its_own(root):
    return root


def known(job, platform="cpu"):
    return jobs.identify(job, platform)


OTHERS = {
    "another seed": WALK._replace(settings={"seed": 2, "steps": 3}),
    "a further setting": WALK._replace(settings={"seed": 1, "steps": 3, "start": None}),
    "an input": WALK._replace(inputs={"start": np.ones(64)}),
    "another input": WALK._replace(inputs={"start": np.zeros(64)}),
    "another function": WALK._replace(work=engine_jobs.onward),
}


def test_jobs_are_told_apart_by_all_that_goes_in(monkeypatch):
    several = [known(WALK), *map(known, OTHERS.values()), known(WALK, "gpu")]
    monkeypatch.setattr(identity, "versions", lambda: {"jax": "0"})
    several.append(known(WALK))
    assert len({jobs.find(WALK, each) for each in several}) == len(several)


def test_a_label_is_no_part_of_what_a_job_is_known_by():
    assert known(WALK) == known(WALK._replace(label="another"))


def test_what_is_kept_is_loaded_as_it_was_made():
    kept = jobs.keep(WALK, known(WALK), MADE, 1.25, {"device": "here"})
    assert (kept.label, kept.seconds, kept.origin) == ("walk", 1.25, {"device": "here"})
    assert not kept.reused and jobs.look_up(WALK, known(WALK)).reused
    made = engine.load(kept)
    np.testing.assert_array_equal(made.arrays["a"], MADE.arrays["a"])
    assert made.facts == {"note": "b"}
    assert jobs.look_up(OTHERS["an input"], known(OTHERS["an input"])) is None


def test_what_a_job_made_is_known_by_its_content(root):
    first = jobs.keep(WALK, known(WALK), MADE, 1.0, {})
    other = OTHERS["another seed"]
    again = jobs.keep(other, known(other), MADE, 2.0, {"device": "there"})
    assert again.digest == first.digest and again.folder != first.folder
    more = OTHERS["an input"]
    for made in (MADE._replace(facts={"note": "c"}), MADE._replace(arrays={"a": np.ones(3)})):
        changed = jobs.keep(more, known(more), made, 1.0, {})
        assert changed.digest != first.digest
        disk_folder = changed.folder
        for path in disk_folder.iterdir():
            path.unlink()
        disk_folder.rmdir()


DAMAGE = {
    "arrays cut short": lambda folder: (folder / "arrays.safetensors").write_bytes(b"x"),
    "arrays gone": lambda folder: (folder / "arrays.safetensors").unlink(),
    "no manifest": lambda folder: (folder / "job.json").unlink(),
    "a manifest of nonsense": lambda folder: (folder / "job.json").write_text("[1"),
    "of another job": lambda folder: (folder / "job.json").write_text(
        (folder / "job.json").read_text().replace("cpu", "gpu")
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_is_not_believed_and_made_again(damage):
    kept = jobs.keep(WALK, known(WALK), MADE, 1.0, {})
    damage(kept.folder)
    assert jobs.look_up(WALK, known(WALK)) is None
    assert not kept.folder.exists()
    jobs.keep(WALK, known(WALK), MADE, 1.0, {})
    assert jobs.look_up(WALK, known(WALK)) is not None


def test_a_full_disk_leaves_nothing(fail_write):
    for number in (1, 2):
        fail_write(number)
        with pytest.raises((OSError, disk.StoreError)):
            jobs.keep(WALK, known(WALK), MADE, 1.0, {})
        assert not list(jobs.jobs_folder().iterdir())


def test_settings_without_a_fingerprint_are_refused():
    with pytest.raises(
        engine.EngineError, match="job 'walk' cannot be told from others: a set has"
    ):
        known(WALK._replace(settings={"seed": {1}}))


@pytest.mark.parametrize("label", ["a/b", "..", "", "x" * 300, "ä b", ".hidden"])
def test_every_label_has_a_folder_of_its_own(label):
    job = WALK._replace(label=label)
    kept = jobs.keep(job, known(job), MADE, 1.0, {})
    assert kept.folder.parent == jobs.jobs_folder() and not kept.folder.name.startswith(".")
    assert jobs.look_up(job, known(job)) is not None


def test_a_claim_is_for_one_and_ends(tmp_path):
    folder = tmp_path / "jobs" / "one"
    with jobs.claimed(folder) as ours:
        assert ours
        with jobs.claimed(folder) as again:
            assert not again
        with jobs.claimed(folder.with_name("two")) as other:
            assert other
    with jobs.claimed(folder) as ours:
        assert ours


def test_what_a_killed_process_left_is_swept(root, child):
    code = """
import os, signal, sys
from pathlib import Path
from rnnatomy.store import scratch
with scratch.folder(Path(sys.argv[1])) as aside:
    (aside / "arrays.safetensors").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    folder = jobs.jobs_folder()
    folder.mkdir(parents=True)
    child(code, folder).communicate()
    assert len(list(folder.iterdir())) == 2  # and its lock
    kept = jobs.keep(WALK, known(WALK), MADE, 1.0, {})
    assert list(folder.iterdir()) == [kept.folder]


def test_there_is_no_checkpoint_where_no_job_runs():
    assert engine.checkpoint() is None
