"""What the chapters printed and glued in the quick run, against golden outputs."""

import json
import os
import re
import subprocess
import sys

import pytest
from golden import COMPARED, golden, outputs, prepare

from rnnatomy.store import checkout


@pytest.fixture(scope="session")
def quick():
    """The chapters run with quick parameters: those of ``make quick``, which runs what is due."""
    # a make above this one has settings of its own
    settings = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--no-print-directory", "quick"],
        capture_output=True, text=True, cwd=checkout.root(), env=settings,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]


@pytest.mark.parametrize("chapter", COMPARED)
def test_outputs_equal_golden_ones(chapter, quick):
    wanted, found = golden(chapter), outputs(chapter)
    assert len(wanted) >= 1
    for cell in {**wanted, **found}:
        assert found.get(cell) == wanted.get(cell), cell


@pytest.mark.parametrize("chapter", COMPARED)
def test_no_golden_output_holds_a_widget(chapter):
    # what it draws of a network trained here hangs on how this machine rounds
    assert 'class="widget' not in json.dumps(golden(chapter)).replace("\\", "")


def nbval(path):
    words = ["pytest", "--nbval", "-p", "no:cacheprovider", "-c", os.devnull, "-q"]
    done = subprocess.run(
        [sys.executable, "-m", *words, "--rootdir", str(path.parent), str(path)],
        capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_nbval_finds_the_same(tmp_path):
    code, text = nbval(prepare("reproducibility", tmp_path))
    assert code == 0, text[-3000:]
    assert re.search(r"\d+ passed", text)


def test_a_changed_seed_is_noticed(tmp_path):
    code, text = nbval(prepare("gauge", tmp_path, seed=1))
    assert code == 1, text[-3000:]
    assert "failed" in text
