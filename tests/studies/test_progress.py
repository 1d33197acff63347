import numpy as np
import pytest

from rnnatomy.store import disk, results
from rnnatomy.studies import progress


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0, "0 min 00 s"), (75.0, "1 min 15 s"), (119.6, "2 min 00 s")]
)
def test_seconds_are_written_as_minutes_and_seconds(seconds, words):
    assert progress.clock(seconds) == words


def test_progress_is_told_after_each_ten_and_at_the_end(capsys):
    for done in range(1, 24):
        progress.print_progress("measured", done, 23)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["measured 10 of 23", "measured 20 of 23", "measured 23 of 23"]


def test_the_rest_takes_as_long_as_what_is_done(monkeypatch):
    monkeypatch.setattr(progress.time, "perf_counter", lambda: 130.0)
    assert progress.seconds_left(100.0, 3, 5) == pytest.approx(20)
    assert progress.seconds_left(100.0, 5, 5) == 0


@pytest.fixture
def measured():
    """What measures a part, and how often it was asked."""
    asked = []

    def make():
        asked.append(len(asked))
        return results.dataset({"a": np.full(2, len(asked))}, {"a": ("x",)})

    return make, asked


FACTS = {"recipe": {"epochs": 2}, "sizes": [1, 2]}


def test_a_part_is_measured_once_and_kept_with_where_it_comes_from(tmp_path, measured):
    make, asked = measured
    first = progress.part(tmp_path / "one", FACTS, make)
    again = progress.part(tmp_path / "one", FACTS, make)
    assert asked == [0] and again.data.identical(first.data) and again.name == "one"
    assert FACTS.items() <= again.provenance.items()
    assert again.provenance["wall_seconds"] >= 0 and "commit" in again.provenance


@pytest.mark.parametrize(
    "change",
    [{"recipe": {"epochs": 3}}, {"sizes": [1]}, {"more": 1}],
    ids=["another fact", "fewer sizes", "a further fact"],
)
def test_a_part_of_other_facts_is_measured_anew_and_replaces_the_last(tmp_path, measured, change):
    make, asked = measured
    progress.part(tmp_path / "one", FACTS, make)
    other = progress.part(tmp_path / "one", FACTS | change, make)
    assert asked == [0, 1] and (other.data["a"] == 2).all()
    assert progress.load_part(tmp_path / "one", FACTS | change).data.identical(other.data)


def test_a_part_that_is_damaged_or_of_an_older_version_is_not_believed(tmp_path, measured):
    make, asked = measured
    progress.part(tmp_path / "one", FACTS, make)
    arrays = {"arrays.safetensors": {"a": np.ones(2)}}
    disk.save_folder(tmp_path / "one" / "study.json", arrays, {"provenance": FACTS})
    assert progress.load_part(tmp_path / "one", FACTS) is None
    progress.part(tmp_path / "one", FACTS, make)
    assert asked == [0, 1]
    (tmp_path / "one" / "arrays.safetensors").write_bytes(b"")
    assert progress.load_part(tmp_path / "one", FACTS) is None
