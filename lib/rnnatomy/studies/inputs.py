"""What jobs read, by content: data by their checksum, networks by their parameters."""

from collections.abc import Callable
from functools import lru_cache

from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.store import disk
from rnnatomy.studies import engine

_PARAMETERS = "parameters/"


def mnist(checksum: str) -> datasets.Dataset:
    """Load MNIST in a job, once for each process.

    Args:
        checksum: of the data that the job was given out for.

    Raises:
        EngineError: if the data here are others.
        files.DataError: as of ``datasets.mnist``.
    """
    return _load(datasets.mnist, checksum)


def digits(checksum: str) -> datasets.Dataset:
    """Load the digits of 8 x 8 pixels in a job, as ``mnist``."""
    return _load(datasets.digits, checksum)


def published(name: str, model: str = "Classifier") -> runs.Run:
    """Load a run as the input of a job: what is computed with it, not where it comes from.

    Args:
        name: of a run.
        model: that it holds.

    Returns:
        Name, config and parameters, and the seed.

    Raises:
        StoreError: as ``runs.load_run``.
    """
    run = runs.load_run(name, model)
    seed = {name: value for name, value in run.provenance.items() if name == "seed"}
    return run._replace(metrics={}, provenance=seed, states=None, labels=None)


def packed(parameters: disk.Arrays) -> disk.Arrays:
    """Name the parameters of a network so that they may stand beside other arrays of a job."""
    return {f"{_PARAMETERS}{path}": array for path, array in parameters.items()}


def unpacked(arrays: disk.Arrays) -> tuple[disk.Arrays, disk.Arrays]:
    """Tell the parameters of a network from the other arrays of a job: those, and these."""
    own = {name: array for name, array in arrays.items() if name.startswith(_PARAMETERS)}
    others = {name: array for name, array in arrays.items() if name not in own}
    return {name.removeprefix(_PARAMETERS): array for name, array in own.items()}, others


@lru_cache(maxsize=1)
def _load(load: Callable[[], datasets.Dataset], checksum: str) -> datasets.Dataset:
    data = load()
    if data.checksum != checksum:
        raise engine.EngineError(
            f"the data here have sha256 {data.checksum}, and the job asks for {checksum}: give "
            "both machines the same files."
        )
    return data
