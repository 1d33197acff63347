import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from rnnatomy.data import files, vowels

REAL_DATA = os.environ.get("RNNATOMY_DATA")
HEAD = (
    "#Japanese speakers\n@problemName JapaneseVowels\n@classLabel true 1 2 3 4 5 6 7 8 9\n@data\n"
)


def draw(rng, each):
    """Draw utterances of a length of their own, speaker by speaker."""
    return [
        (rng.normal(size=(int(rng.integers(7, 30)), 12)), speaker)
        for speaker in range(9)
        for _ in range(each)
    ]


def line(frames, speaker):
    return ":".join([*(",".join(map(str, one)) for one in frames.T.tolist()), str(speaker + 1)])


class Tiny:
    """Files like the real ones, with checksums of their own."""

    def __init__(self, root, monkeypatch):
        self.folder, self.patch = root / "vowels", monkeypatch
        self.folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        self.drawn = {vowels.TRAIN: draw(rng, vowels.HELD + 2), vowels.TEST: draw(rng, 3)}
        for name, drawn in self.drawn.items():
            self.put(name, [line(*one) for one in drawn])

    def put(self, name, rows, head=HEAD):
        (self.folder / name).write_text(head + "\n".join(rows) + "\n")
        self.expect(name, len(rows))

    def expect(self, name, count):
        known = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()
        self.patch.setitem(vowels.CHECKSUMS, name, known)
        self.patch.setitem(vowels.UTTERANCES, name, count)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(vowels, "ADDRESS", "http://127.0.0.1:9/")
    return Tiny(tmp_path / "data", monkeypatch)


def test_each_utterance_is_read_into_its_place(tiny):
    found = vowels.utterances()
    train, test = tiny.drawn[vowels.TRAIN], tiny.drawn[vowels.TEST]
    expected = {
        "train": [one for k, one in enumerate(train) if k % (vowels.HELD + 2) < 2],
        "validation": [one for k, one in enumerate(train) if k % (vowels.HELD + 2) >= 2],
        "test": test,
    }
    for name, drawn in expected.items():
        part = getattr(found, name)
        assert part.labels.tolist() == [speaker for _, speaker in drawn]
        assert part.lengths.tolist() == [len(frames) for frames, _ in drawn]
        for sequence, (frames, _) in zip(part.sequences, drawn, strict=True):
            np.testing.assert_array_equal(sequence, frames)


def test_the_checksum_is_that_of_both_files(tiny):
    seen = {vowels.utterances().checksum}
    for name in (vowels.TRAIN, vowels.TEST):
        rows = (tiny.folder / name).read_text().splitlines()[4:]
        tiny.put(name, [*rows[:-1], rows[-1].replace("1", "2")])
        seen.add(vowels.utterances().checksum)
    assert len(seen) == 3


def test_padding_stands_in_front_and_the_scale_is_that_of_the_training_part(tiny):
    data = vowels.utterances()
    found = vowels.padded(data)
    own = np.concatenate(data.train.sequences)
    for name in ("train", "validation", "test"):
        part, split = getattr(data, name), getattr(found, name)
        np.testing.assert_array_equal(split.labels, part.labels)
        assert split.images.shape == (len(part.labels), 29, 12)
        for image, sequence in zip(split.images, part.sequences, strict=True):
            assert not image[: 29 - len(sequence)].any()
            scaled = (sequence - own.mean(axis=0)) / own.std(axis=0)
            np.testing.assert_allclose(image[29 - len(sequence) :], scaled, rtol=1e-5, atol=1e-6)
    assert found.checksum == data.checksum


def test_a_file_that_was_changed_is_refused(tiny):
    path = tiny.folder / vowels.TEST
    path.write_text(path.read_text().replace("1", "2"))
    with pytest.raises(files.DataError, match=r"TEST\.ts is damaged: expected sha256"):
        vowels.utterances()


GOOD = [line(np.ones((8, 12)), speaker) for speaker in range(9)]
ONE = ",".join(["1.0"] * 8)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "a line @data, found 0 lines without it"),
        ("\n".join(GOOD), "a line @data, found 9 lines"),
        (HEAD, "9 utterances, found 0"),
        (HEAD + "\n".join(GOOD[:-1]), "9 utterances, found 8"),
        (HEAD + "\n".join([*GOOD, GOOD[0]]), "9 utterances, found 10"),
        (HEAD + "\n".join(GOOD)[:-5], "13 fields|12 series and a speaker in utterance 9"),
        (HEAD + "\n".join(GOOD)[:-2], "12 series and a speaker in utterance 9, found 12 fields"),
        (HEAD + "\n".join(GOOD)[:-1], "a speaker from 1 to 9 in utterance 9, found ''"),
        (HEAD + "\n".join([*GOOD[:-1], GOOD[0]]), "utterances of 9 speakers, found none of 9"),
    ],
)
def test_a_file_that_is_cut_short_is_answered_in_one_sentence(tiny, text, found):
    (tiny.folder / vowels.TRAIN).write_text(text)
    tiny.expect(vowels.TRAIN, 9)
    with pytest.raises(files.DataError, match=f"TRAIN.ts is damaged: expected .*({found})"):
        vowels.utterances()


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (":".join([ONE] * 11 + ["1"]), "12 series and a speaker in utterance 1, found 12 fields"),
        (":".join([ONE] * 13 + ["1"]), "12 series and a speaker in utterance 1, found 14 fields"),
        ("x", "found 1 fields"),
        (":".join([ONE] * 12 + ["0"]), "a speaker from 1 to 9 in utterance 1, found '0'"),
        (":".join([ONE] * 12 + ["10"]), "a speaker from 1 to 9 in utterance 1, found '10'"),
        (":".join([ONE] * 12 + ["one"]), "a speaker from 1 to 9 in utterance 1, found 'one'"),
        (":".join([ONE] * 11 + [f"{ONE},1", "1"]), "as many in each series.* found 8 and 9"),
        (":".join([",".join(["1"] * 30)] * 12 + ["1"]), "1 to 29 frames.* found 30"),
        (":".join([ONE] * 11 + ["", "1"]), "numbers in utterance 1, found could not convert"),
        (":".join([ONE] * 11 + [f"?{ONE[1:]}", "1"]), "numbers in utterance 1, found could not"),
        (":".join([ONE] * 11 + ["\0,\ufffd", "1"]), "numbers in utterance 1, found could not"),
        (":".join([ONE] * 11 + [f"nan,{ONE[4:]}", "1"]), "finite numbers in utterance 1"),
        (":".join([ONE] * 11 + [f"-inf,{ONE[4:]}", "1"]), "finite numbers in utterance 1"),
        (":".join([ONE] * 11 + [f"1e999,{ONE[4:]}", "1"]), "finite numbers in utterance 1"),
    ],
)
def test_an_utterance_of_another_form_is_answered_in_one_sentence(tiny, row, found):
    tiny.put(vowels.TRAIN, [row, *GOOD[1:]])
    with pytest.raises(files.DataError, match=f"TRAIN.ts is damaged: expected .*{found}"):
        vowels.utterances()


def test_without_files_and_network_the_remedy_is_named(tiny):
    shutil.rmtree(tiny.folder)
    with pytest.raises(files.DataUnavailable, match="set RNNATOMY_DATA to a folder with vowels/"):
        vowels.utterances()


def test_what_is_not_at_hand_is_downloaded(tiny, tmp_path, server, monkeypatch):
    before = vowels.utterances()
    served = tmp_path / "served"
    served.mkdir()
    shutil.move(tiny.folder / vowels.TEST, served)
    monkeypatch.setattr(vowels, "ADDRESS", server(served))
    found = vowels.utterances()
    for part, other in zip(found.test.sequences, before.test.sequences, strict=True):
        np.testing.assert_array_equal(part, other)


def test_a_download_of_something_else_is_refused(tiny, tmp_path, server, monkeypatch):
    (tiny.folder / vowels.TEST).rename(tmp_path / vowels.TEST)
    (tmp_path / vowels.TEST).write_text(HEAD)
    monkeypatch.setattr(vowels, "ADDRESS", server(tmp_path))
    with pytest.raises(files.DataError, match="is not the file expected"):
        vowels.utterances()


def test_files_are_those_of_one_tag():
    source = vowels._source()
    assert set(source.registry) == set(vowels.UTTERANCES) == {vowels.TRAIN, vowels.TEST}
    assert "/v1.5.0/" in source.get_url(vowels.TRAIN)


# the real files


@pytest.fixture
def real(monkeypatch):
    folder = Path(REAL_DATA or "").expanduser().resolve() / vowels.FOLDER
    if not REAL_DATA or not folder.is_dir():
        pytest.skip(f"needs real data: set RNNATOMY_DATA to a folder with {vowels.FOLDER}")
    monkeypatch.setenv("RNNATOMY_DATA", str(folder.parent))
    return vowels.utterances()


def test_the_parts_are_as_described(real):
    sizes = [24] * 9, [vowels.HELD] * 9, [31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = np.concatenate([part.lengths for part in real[:3]])
    assert (lengths.min(), lengths.max()) == (7, vowels.LONGEST)
    for part, size in zip(real[:3], sizes, strict=True):
        assert np.bincount(part.labels).tolist() == size
        assert {sequence.shape[1] for sequence in part.sequences} == {12}


def test_a_number_is_where_it_is_in_the_file(real):
    first, last = real.train.sequences[0], real.test.sequences[-1]
    assert first.shape == (20, 12) and real.train.labels[0] == 0
    np.testing.assert_array_equal(first[0, :3], [1.860936, -0.207383, 0.261557])
    assert last[-1, -1] == 0.224688 and real.test.labels[-1] == 8


def test_the_parts_share_no_utterance(real):
    every = [sequence.tobytes() for part in real[:3] for sequence in part.sequences]
    assert len(set(every)) == 640
