"""What all tests share: shape checks, strict arithmetic, a clean environment, small data."""

# ruff: noqa: E402  (settings and the import hook come before what they concern)

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
REAL_DATA = os.environ.get("RNNATOMY_DATA")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# threads of linear algebra that wait for each other make small fits slower
for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(library, "1")
# small networks are compiled often and run shortly
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# kept between runs, and shared by all processes of one
COMPILED = ROOT / "build" / "compiled"
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / "build" / "hypothesis"))

import jaxtyping

jaxtyping.install_import_hook("rnnatomy", "beartype.beartype")

import hypothesis
import jax
import numpy as np
import pytest
from filelock import FileLock
from playwright.sync_api import Browser

from rnnatomy.analysis import svd
from rnnatomy.data import datasets
from rnnatomy.networks import training, wide
from rnnatomy.report import pdf
from rnnatomy.store import checkout, disk

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# the same computation is compiled once, also for the processes that tests start
CACHE = {
    "jax_compilation_cache_dir": str(COMPILED),
    "jax_persistent_cache_min_compile_time_secs": 0.1,
    "jax_persistent_cache_min_entry_size_bytes": 0,
}
for name, value in CACHE.items():
    jax.config.update(name, value)
hypothesis.settings.register_profile(
    "rnnatomy", deadline=None, max_examples=50, derandomize=True, database=None
)
hypothesis.settings.load_profile("rnnatomy")


class Planted(NamedTuple):
    """A classifier whose direction k carries class k - 1 and nothing else."""

    readout: np.ndarray
    bias: np.ndarray
    states: np.ndarray
    labels: np.ndarray


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the many short tests to the end, so that no process waits long for another."""
    items.sort(key=lambda item: "analysis" in item.path.parts)


@pytest.fixture(autouse=True, scope="module")
def forget_compiled() -> Iterator[None]:
    """Let go of what a file's tests have compiled: thousands of programs take gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RNNATOMY_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture(autouse=True, scope="session")
def lenient_optimiser() -> Iterator[None]:
    """Optax itself raises floats to whole-number step counts, which strict promotion forbids."""

    def lenient(make: Callable[..., Any], *arguments: Any) -> Any:
        optimiser = make(*arguments)

        def update(*arguments: Any) -> Any:
            with jax.numpy_dtype_promotion("standard"):
                return optimiser.update(*arguments)

        return optimiser._replace(update=update)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "one_cycle", partial(lenient, training.one_cycle))
        patch.setattr(wide, "clipped_adam", partial(lenient, wide.clipped_adam))
        yield


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the book's."""
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def fail_write(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the write of that number fail, counted from the call."""

    def fail(number: int) -> None:
        write, paths = disk.write, []

        def failing(path: Path, content: bytes) -> None:
            paths.append(path)
            if len(paths) == number:
                raise OSError("no space left")
            write(path, content)

        monkeypatch.setattr(disk, "write", failing)

    return fail


@pytest.fixture
def as_users() -> Iterator[None]:
    """Switch the shape checks off, so that a bad shape meets the library's own error."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def child(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.Popen]:
    """Start Python code in a process of its own, with no settings but those given."""
    home = tmp_path_factory.mktemp("home")
    compiled = {name.upper(): value for name, value in CACHE.items()}
    same = {name: os.environ[name] for name in ("PATH", "XLA_FLAGS")}
    clean = {**same, "HOME": home, "JAX_PLATFORMS": "cpu"} | compiled

    def start(code: str, *arguments: Any, **settings: Any) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={name: str(value) for name, value in (clean | settings).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture(scope="session")
def digits() -> datasets.Dataset:
    return datasets.digits()


@pytest.fixture(scope="session")
def small(digits: datasets.Dataset) -> datasets.Dataset:
    """A slice of the digits with every class in every part."""

    def first(split: datasets.Split, count: int) -> datasets.Split:
        return datasets.Split(split.images[:count], split.labels[:count])

    return digits._replace(
        train=first(digits.train, 128),
        validation=first(digits.validation, 50),
        test=first(digits.test, 90),
    )


@pytest.fixture
def planted() -> Planted:
    """Five classes in eight hidden units; class 0 has the largest bias."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(8, 8)))[0][:5]
    labels = np.tile(np.arange(5, dtype=np.int32), 12)
    states = axes[labels] + 0.01 * rng.normal(size=(60, 8))
    readout = svd.compose(svd.SVD(np.eye(5), np.array([9.0, 8.0, 7.0, 6.0, 5.0]), axes))
    return Planted(readout, np.array([0.5, 0.0, 0.0, 0.0, 0.0]), states, labels)


class RealMnist(NamedTuple):
    """Real MNIST files, and a TFDS folder that two processes have prepared at the same time."""

    files: Path
    cache: Path
    preparations: list[tuple[int, str, str]]


@pytest.fixture(scope="session")
def mnist_files() -> Path:
    if not REAL_DATA:
        pytest.skip("needs real MNIST: set RNNATOMY_DATA to a folder with mnist/*.gz")
    return Path(REAL_DATA).expanduser().resolve() / "mnist"


@pytest.fixture(scope="session")
def prepared_mnist(
    mnist_files: Path, child: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> RealMnist:
    base = tmp_path_factory.getbasetemp()
    # once for all processes of a run, which share the folder above
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prepared-mnist"
    with FileLock(f"{shared}.lock"):
        record = shared / "ends.json"
        if not record.is_file():
            shared.mkdir()
            record.write_text(json.dumps(prepare(mnist_files, shared / "tfds", child)))
    ends = [tuple(end) for end in json.loads(record.read_text())]
    return RealMnist(mnist_files, shared / "tfds", ends)


def prepare(files: Path, cache: Path, child: Callable[..., Any]) -> list[tuple[int, str, str]]:
    """Have two processes prepare MNIST at the same time, and return how they ended."""
    code = """
from rnnatomy.data import datasets
if datasets.find_spec("array_record"):
    datasets._read_idx = None  # so that only TFDS can have read them
print(datasets.mnist().checksum)
"""
    cache.mkdir()
    settings = {"RNNATOMY_DATA": files.parent, "TFDS_DATA_DIR": cache}
    children = [child(code, **settings) for _ in range(2)]
    told = [process.communicate() for process in children]
    return [(process.returncode, *words) for process, words in zip(children, told, strict=True)]


@pytest.fixture
def real_mnist(prepared_mnist: RealMnist, monkeypatch: pytest.MonkeyPatch) -> RealMnist:
    monkeypatch.setenv("RNNATOMY_DATA", str(prepared_mnist.files.parent))
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared_mnist.cache))
    return prepared_mnist


@contextmanager
def chromium() -> Iterator[Browser]:
    """A real browser, or the sentence that none is here; where CI is set, that is a failure."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(pdf.chromium())
        except pdf.NoBrowserError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error), pytrace=False)
            pytest.skip(str(error))
        yield started


@pytest.fixture(scope="session")
def launch() -> Callable[[], AbstractContextManager[Browser]]:
    """Start a browser, for no more than a module or a folder of tests.

    While Playwright runs, nothing else can start an event loop.
    """
    return chromium


@pytest.fixture(scope="module")
def browser(launch: Callable[[], AbstractContextManager[Browser]]) -> Iterator[Browser]:
    with launch() as started:
        yield started
