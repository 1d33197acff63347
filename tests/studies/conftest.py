"""What the tests of studies share: the published form of a study, that a tiny one has too."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import sklearn.cluster  # noqa: F401  (loads the library whose threads are limited)
import xarray as xr
from studies import tiny
from threadpoolctl import threadpool_limits

from rnnatomy.data import datasets
from rnnatomy.networks import runs
from rnnatomy.store import results
from rnnatomy.studies import classifiers, hundred

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Let small fits and decompositions work alone: threads wait for each other, and are slow."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def load_published() -> Callable[[str], results.Study]:
    """Load a published study, whatever the folder of the book is for the moment."""
    return lambda name: results.load_study(str(RESULTS / name))


@pytest.fixture(scope="session")
def assert_same_form() -> Callable[[xr.Dataset, xr.Dataset], None]:
    """Hold names, axes and kinds of numbers of two datasets against each other, not the sizes."""

    def form(data: xr.Dataset) -> dict[str, tuple]:
        arrays = {name: (array.dims, array.dtype) for name, array in data.data_vars.items()}
        along = {name: (array.dims, array.dtype.kind) for name, array in data.coords.items()}
        return arrays | along

    def check(found: xr.Dataset, published: xr.Dataset) -> None:
        assert set(found.data_vars) == set(published.data_vars)
        assert set(found.coords) == set(published.coords)
        assert form(found) == form(published)

    return check


@pytest.fixture(scope="session")
def mnist(mnist_files: Path, tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """MNIST, read once from the files at hand, and not through TFDS, which takes longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNATOMY_DATA", str(mnist_files.parent))
        patch.setenv("TFDS_DATA_DIR", str(tmp_path_factory.mktemp("tfds")))
        patch.setattr(datasets, "find_spec", lambda name: None)
        return datasets.mnist()


@pytest.fixture
def real_mnist(mnist: datasets.Dataset, monkeypatch: pytest.MonkeyPatch) -> datasets.Dataset:
    monkeypatch.setattr(datasets, "mnist", lambda: mnist)
    return mnist


class Many(NamedTuple):
    """A tiny study of many networks, and the networks that were kept of it."""

    study: results.Study
    networks: list[runs.Run]
    root: Path


@pytest.fixture(scope="session")
def many(small: datasets.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Many:
    root = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        tiny.patch_study(patch, small, root)
        hundred.publish(tiny.NETWORKS)
        given = tiny.NETWORKS, tiny.RECIPE, tiny.WIDTH, small
        networks = tiny.unpacked(classifiers.trained("thousand", *given))
        return Many(results.load_study("hundred"), networks, root)
