"""Data that a job reads: by name and checksum, so that no job takes other data for its own."""

from collections.abc import Callable
from functools import lru_cache

from rnnatomy.data import datasets
from rnnatomy.studies import engine


def mnist(checksum: str) -> datasets.Dataset:
    """Load MNIST in a job, once for each process.

    Args:
        checksum: of the data that the job was given out for.

    Raises:
        EngineError: if the data here are others.
        files.DataError: as of ``datasets.mnist``.
    """
    return _load(datasets.mnist, checksum)


@lru_cache(maxsize=1)
def _load(load: Callable[[], datasets.Dataset], checksum: str) -> datasets.Dataset:
    data = load()
    if data.checksum != checksum:
        raise engine.EngineError(
            f"the data here have sha256 {data.checksum}, and the job asks for {checksum}: give "
            "both machines the same files."
        )
    return data
