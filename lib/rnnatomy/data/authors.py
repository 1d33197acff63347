"""Hidden states that the authors of the second study published: one circle and one ellipse.

Su and Shlizerman trained a network of 16 units to go on with a circle and an ellipse, and put into
their public repository what it did on one sequence of each, at twelve points of the training: the
states of encoder and decoder, and what was drawn. Neither weights nor errors are there. Each file
is a table of numbers with spaces between them, one frame a row.
"""

from functools import partial
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from rnnatomy.data import files

FOLDER = "authors_synthetic"
"""Name of the folder with the files, in the one that ``RNNATOMY_DATA`` names."""


COMMIT = "6c6e8c4ed77a66496cbf19ec6c5b96a87c873899"
"""Commit of the repository that the files are of; later ones do not hold them."""


ADDRESS = f"https://raw.githubusercontent.com/shlizee/interpretseq2seq/{COMMIT}/synthetic/details/"
"""Where files are downloaded from."""


KINDS = ("circle", "ellipse")
"""What the sequences are, by the number in the names of the files."""


ITERATIONS = (10, 100, *range(1000, 10001, 1000))
"""Iterations of training after which states were published."""


FRAMES, UNITS = 50, 16
"""Frames that are read, as many as are drawn; hidden units."""


class Synthetic(NamedTuple):
    """What the authors' network did on one circle and one ellipse, see ``KINDS``.

    Attributes:
        inputs: frames that the encoder reads; the radius of the circle is 1.
        encoder: hidden state after each of them, at each of ``ITERATIONS``.
        decoder: hidden states of the decoder.
        outputs: frames that the decoder draws.
        checksum: sha256 over those of all files.
    """

    inputs: Float[np.ndarray, "kind time 2"]
    encoder: Float[np.ndarray, "checkpoint kind time hidden"]
    decoder: Float[np.ndarray, "checkpoint kind time hidden"]
    outputs: Float[np.ndarray, "checkpoint kind time 2"]
    checksum: str


def synthetic() -> Synthetic:
    """Load the states that the authors published.

    Files come from the folder that ``RNNATOMY_DATA`` names (``authors_synthetic/*.txt``); those
    that are not there are downloaded.

    Raises:
        DataError: if a file at hand is damaged.
        DataUnavailable: if a file is neither at hand nor within reach.

    Reference:
        Su and Shlizerman (2020).
    """
    source, folder = _source(), files.folder(FOLDER)
    read = partial(_table, source, folder)
    kinds = range(len(KINDS))

    def along(what: str, columns: int) -> np.ndarray:
        return np.array(
            [[read(f"{what}_{i}_{kind}.txt", columns) for kind in kinds] for i in ITERATIONS]
        )

    return Synthetic(
        inputs=np.array([read(f"enc_inputs_{kind}.txt", 2) for kind in kinds]),
        encoder=along("enc_states", UNITS),
        decoder=along("dec_states", UNITS),
        outputs=along("dec_outputs", 2),
        checksum=sha256("".join(sorted(source.registry.values())).encode()).hexdigest(),
    )


def read_table(path: Path, columns: int) -> Float[np.ndarray, "time feature"]:
    """Read one file: ``FRAMES`` rows of numbers with spaces between them.

    Args:
        path: of the file.
        columns: how many numbers a row has.

    Raises:
        DataError: if the file is not of this form, or holds NaN or infinity.
    """
    form = f"{FRAMES} rows of {columns} numbers"
    lines = [line for line in files.read(path).decode(errors="replace").splitlines() if line]
    if not lines:
        raise files.damaged(path, form, "an empty file")
    try:
        table = np.loadtxt(lines, np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise files.damaged(path, form, str(error)) from error
    if table.shape != (FRAMES, columns):
        raise files.damaged(path, form, "{} rows of {}".format(*table.shape))
    if not np.isfinite(table).all():
        raise files.damaged(path, "finite numbers", "NaN or infinity")
    return table


def _source() -> files.pooch.Pooch:
    """Say where the files are published, where downloads are kept, and what the checksums are."""
    source = files.pooch.create(files.cache(FOLDER), ADDRESS)
    with resources.files("rnnatomy.data").joinpath("authors.txt").open("rb") as lines:
        source.load_registry(lines)
    return source


def _table(source: files.pooch.Pooch, folder: Path | None, name: str, columns: int) -> np.ndarray:
    """Read a file whose checksum holds: at hand, or else downloaded."""
    return read_table(files.verified(source, folder, name, _out_of_reach), columns)


def _out_of_reach(name: str, url: str, error: Exception) -> files.DataUnavailable:
    return files.DataUnavailable(
        f"The authors' states are out of reach: there is no {name} at hand, and {url} does not "
        f"answer ({error}); go online, or set {files.SETTING} to a folder with {FOLDER}/{name}."
    )
