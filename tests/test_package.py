"""What a reader gets who installs the library, and not the book."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = {
    path.relative_to(ROOT / "lib").as_posix()
    for path in (ROOT / "lib" / "rnnatomy").rglob("*")
    if path.suffix in (".py", ".typed", ".txt")
}
SENTENCE = "rnnatomy is installed without its book: clone the repository and run this there"


class Built(NamedTuple):
    """A wheel, a source distribution, and a folder that the wheel is installed in."""

    wheel: Path
    source: Path
    installed: Path


def run(*words, **options):
    return subprocess.run(words, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build both from a clean copy; install the wheel below the folder of somebody's own book."""
    folder = tmp_path_factory.mktemp("package")
    aside = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT, folder / "copy", ignore=aside)
    python = sys.executable
    done = run(
        *(python, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "copy")
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (source,) = ((folder / "dist").glob(kind) for kind in ("*.whl", "*.tar.gz"))
    installed = folder / "book" / "site-packages"
    done = run(
        *(python, "-m", "pip", "install", "--no-deps", "--no-index", "--no-compile"),
        *("--disable-pip-version-check", "--target", installed, wheel),
    )
    assert done.returncode == 0, done.stderr
    for name in ("_toc.yml", "_config.yml"):
        shutil.copy(ROOT / name, folder / "book")
    return Built(wheel, source, installed)


@pytest.fixture
def alone(built, tmp_path):
    """Run Python where the installed library is, and no checkout."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def start(*words):
        settings = clean | {"PYTHONPATH": str(built.installed)}
        return run(sys.executable, *words, cwd=tmp_path, env=settings)

    return start


def test_the_wheel_holds_the_library_and_nothing_else(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    described = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - described == SHIPPED
    assert {"rnnatomy/py.typed", "rnnatomy/data/registry.txt"} < names
    assert any(name.endswith("licenses/LICENSE") for name in described)


def test_the_source_distribution_holds_what_the_wheel_is_built_from_and_no_results(built):
    with tarfile.open(built.source) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {f"lib/{name}" for name in SHIPPED} < names
    lists = {"requirements-library.txt", "requirements-book.txt"}
    assert lists | {"pyproject.toml", "README.md", "LICENSE"} < names
    folders = {name.split("/")[0] for name in names}
    assert not folders & {"results", "book", "build", "benchmarks"}


def test_the_library_asks_for_what_it_needs_and_the_rest_only_for_pages(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
        asked = Parser().parsestr(wheel.read(name).decode()).get_all("Requires-Dist")
    needed = {word.split("=")[0] for word in asked if "extra ==" not in word}
    pages = {word.split("=")[0] for word in asked if 'extra == "book"' in word}
    assert {"jax", "flax", "numpy", "xarray", "pooch"} < needed
    assert {"matplotlib", "papermill", "jupyter-book"} < pages
    assert not (needed | pages) & {"pytest", "ruff", "mypy", "build"} and not needed & pages


USE = """
import importlib, pkgutil, sys
from pathlib import Path
import rnnatomy

installed, folder = Path(sys.argv[1]), Path(sys.argv[2])
assert Path(rnnatomy.__file__).is_relative_to(installed), rnnatomy.__file__
for room in ("analysis", "data", "store", "networks"):
    package = importlib.import_module(f"rnnatomy.{room}")
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
for name in ("matplotlib", "papermill", "rnnatomy.report"):
    assert name not in sys.modules, name

import jax, numpy as np
from rnnatomy.analysis import svd
from rnnatomy.data import datasets, mocap
from rnnatomy.networks import access, runs
from rnnatomy.store import checkout, results

matrix = np.arange(6.0).reshape(2, 3)
np.testing.assert_allclose(svd.compose(svd.svd(matrix)), matrix, atol=1e-12)
assert datasets.digits().train.images.shape == (1297, 8, 8)
assert len(mocap._source().registry) == 47
config = {"model": "Classifier", "feature": 8, "hidden": 4, "classes": 10, "cell": "lstm"}
network = access.build(config, jax.random.key(0))
facts = dict(metrics={}, provenance={"seed": 0})
runs.save_run(folder, runs.Run("mine", network.config, access.flatten(network), **facts))
again = runs.restore(runs.load_run(str(folder)))
images = datasets.digits().test.images[:3]
np.testing.assert_array_equal(again(images), network(images))
for asks, *name in (runs.published,), (runs.load_run, "mnist-0"), (results.load_study, "hundred"):
    try:
        asks(*name)
    except checkout.CheckoutError as error:
        print(error)
"""


def test_analyses_and_networks_work_without_a_checkout_and_published_results_ask_for_one(
    built, alone, tmp_path
):
    done = alone("-c", USE, built.installed, tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    assert [line.startswith(SENTENCE) for line in done.stdout.splitlines()] == [True] * 3


COMMANDS = """
import runpy, sys

for command in sys.argv[1:]:
    module, *sys.argv[1:] = command.split()
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        print(end.code)
"""


def test_a_command_that_needs_a_checkout_says_so_in_a_sentence(alone):
    commands = "report.chapters run cutoffs", "report.site build chapters site", "studies mnist"
    done = alone("-W", "ignore", "-c", COMMANDS, *(f"rnnatomy.{words}" for words in commands))
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert [line.startswith(f"error: {SENTENCE}") for line in told] == [True] * len(commands)
