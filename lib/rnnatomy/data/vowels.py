"""JapaneseVowels: nine men speak two vowels, one after the other, as sequences of coefficients.

Each utterance is a sequence of 7 to 29 frames; a frame is 12 linear prediction coefficients of the
sound. The class is the speaker. The files are those of the UEA archive, which hold the training and
test part of the UCI Machine Learning Repository, and come from the public repository of aeon.

A file has a head, in lines that start with # or @, the last of them ``@data``. Then each line is an
utterance: twelve series of numbers with commas between them, one of each coefficient, and the
speaker, 1 to 9, with colons between all of these.
"""

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from rnnatomy.data import datasets, files

FOLDER = "vowels"
"""Name of the folder with the files, in the one that ``RNNATOMY_DATA`` names."""


ADDRESS = (
    "https://raw.githubusercontent.com/aeon-toolkit/aeon/v1.5.0/aeon/datasets/data/JapaneseVowels/"
)
"""Where files are downloaded from: the repository at one tag."""


TRAIN, TEST = "JapaneseVowels_TRAIN.ts", "JapaneseVowels_TEST.ts"


CHECKSUMS = {
    TRAIN: "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    TEST: "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
}
"""The sha256 of each file."""


UTTERANCES = {TRAIN: 270, TEST: 370}
"""So many utterances are in each file."""


SPEAKERS, COEFFICIENTS = 9, 12


LONGEST = 29
"""Frames of the longest utterance."""


HELD = 6
"""So many utterances of each speaker's 30 in the training file validate: the last of them."""


class Part(NamedTuple):
    """Utterances, and who speaks.

    Attributes:
        sequences: the frames of each.
        labels: number of the speaker, 0..8.
        lengths: number of frames of each.
    """

    sequences: tuple[Float[np.ndarray, "_ feature"], ...]
    labels: Int[np.ndarray, " sample"]
    lengths: Int[np.ndarray, " sample"]


class Vowels(NamedTuple):
    """Three disjoint parts; choices are made on validation, reports on test.

    Attributes:
        train: what a network is fitted to.
        validation: the last ``HELD`` utterances of each speaker in the training file.
        test: the test file, which has 24 to 88 utterances of a speaker.
        checksum: sha256 over those of both files.
    """

    train: Part
    validation: Part
    test: Part
    checksum: str


def utterances() -> Vowels:
    """Load the utterances.

    Files come from the folder that ``RNNATOMY_DATA`` names (``vowels/*.ts``); one that is not there
    is downloaded.

    Raises:
        DataError: if a file at hand is damaged.
        DataUnavailable: if a file is neither at hand nor within reach.

    Reference:
        Kudo, Toyama and Shimbo (1999).
    """
    source, folder = _source(), files.folder(FOLDER)
    known, test = (
        read_utterances(files.verified(source, folder, name, _out_of_reach), UTTERANCES[name])
        for name in (TRAIN, TEST)
    )
    held = _last_of_each(known.labels)
    return Vowels(
        train=_take(known, ~held),
        validation=_take(known, held),
        test=test,
        checksum=sha256(
            "".join(source.registry[name] for name in (TRAIN, TEST)).encode()
        ).hexdigest(),
    )


def read_utterances(path: Path, count: int) -> Part:
    """Read one file.

    Args:
        path: of the file.
        count: how many utterances it has.

    Raises:
        DataError: if the file is not of this form, has more or fewer utterances or none of a
            speaker, or holds NaN or infinity.
    """
    lines = files.read(path).decode(errors="replace").splitlines()
    if "@data" not in lines:
        raise files.damaged(path, "a line @data", f"{len(lines)} lines without it")
    rows = [line for line in lines[lines.index("@data") + 1 :] if line]
    if len(rows) != count:
        raise files.damaged(path, f"{count} utterances", f"{len(rows)}")
    read = [_utterance(path, number, row) for number, row in enumerate(rows, start=1)]
    labels = np.array([label for _, label in read])
    silent = sorted(set(range(SPEAKERS)) - set(labels.tolist()))
    if silent:
        raise files.damaged(path, f"utterances of {SPEAKERS} speakers", f"none of {silent[0] + 1}")
    sequences = tuple(sequence for sequence, _ in read)
    return Part(sequences, labels, np.array([len(sequence) for sequence in sequences]))


def padded(data: Vowels) -> datasets.Dataset:
    """Bring all utterances to one scale and one length, for networks that read batches.

    From each coefficient its mean over all training frames is taken, and its deviation over them
    divides. Then zeros, which are that mean, stand in front of what is shorter than ``LONGEST``
    frames. A network so reads some frames that say nothing first, and its last hidden state is that
    of the last frame that was spoken.

    Returns:
        The parts as those of other data, where utterances stand in the place of images.
    """
    frames = np.concatenate(data.train.sequences).astype(np.float64)
    mean, deviation = frames.mean(axis=0), frames.std(axis=0)

    def fill(part: Part) -> datasets.Split:
        filled = np.zeros((len(part.labels), LONGEST, frames.shape[1]), np.float32)
        for place, sequence in zip(filled, part.sequences, strict=True):
            place[LONGEST - len(sequence) :] = (sequence - mean) / deviation
        return datasets.Split(filled, part.labels.astype(np.int32))

    return datasets.Dataset(
        name=FOLDER,
        train=fill(data.train),
        validation=fill(data.validation),
        test=fill(data.test),
        source="the UEA archive",
        checksum=data.checksum,
    )


def _source() -> files.pooch.Pooch:
    """Say where the files are published, where downloads are kept, and what the checksums are."""
    return files.pooch.create(files.cache(FOLDER), ADDRESS, registry=dict(CHECKSUMS))


def _out_of_reach(name: str, url: str, error: Exception) -> files.DataUnavailable:
    return files.DataUnavailable(
        f"The vowels are out of reach: there is no {name} at hand, and {url} does not answer "
        f"({error}); go online, or set {files.SETTING} to a folder with {FOLDER}/{name}."
    )


def _utterance(path: Path, number: int, row: str) -> tuple[np.ndarray, int]:
    """Read a line: the frames, and the number of the speaker, from 0."""
    where, (*series, speaker) = f"in utterance {number}", row.split(":")
    if len(series) != COEFFICIENTS:
        raise files.damaged(
            path, f"{COEFFICIENTS} series and a speaker {where}", f"{len(series) + 1} fields"
        )
    if speaker not in map(str, range(1, SPEAKERS + 1)):
        raise files.damaged(path, f"a speaker from 1 to {SPEAKERS} {where}", repr(speaker[:20]))
    try:
        columns = [[float(value) for value in one.split(",")] for one in series]
    except ValueError as error:
        raise files.damaged(path, f"numbers {where}", str(error)) from error
    lengths = sorted(set(map(len, columns)))
    if len(lengths) > 1 or lengths[0] > LONGEST:
        told = " and ".join(map(str, lengths))
        raise files.damaged(path, f"1 to {LONGEST} frames, as many in each series, {where}", told)
    frames = np.array(columns).T
    if not np.isfinite(frames).all():
        raise files.damaged(path, f"finite numbers {where}", "NaN or infinity")
    return frames, int(speaker) - 1


def _last_of_each(labels: Int[np.ndarray, " sample"]) -> np.ndarray:
    """Mark the last ``HELD`` utterances of each speaker."""
    last = np.zeros(len(labels), bool)
    for speaker in range(SPEAKERS):
        last[np.flatnonzero(labels == speaker)[-HELD:]] = True
    return last


def _take(part: Part, chosen: np.ndarray) -> Part:
    sequences = tuple(part.sequences[k] for k in np.flatnonzero(chosen))
    return Part(sequences, part.labels[chosen], part.lengths[chosen])
