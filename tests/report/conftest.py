"""A checkout with chapters of our own making, for the library to read instead of the book."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from report import planting
from report.built import PAGES, SITE

from rnnatomy.store import checkout


@pytest.fixture
def lay_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Make a checkout of some chapters, with nothing else in it, and let the library read it.

    A chapter is given by its code, the lines of its parameters cell, and settings in its metadata.
    """

    def lay_out(**chapters: dict[str, Any]) -> Path:
        root = tmp_path / "checkout"
        (root / "book" / "images").mkdir(parents=True)
        (root / "results").mkdir()
        for name, chapter in chapters.items():
            planting.write_chapter(root / "book" / f"{name}.ipynb", **chapter)
        first, *others = chapters
        part = {"caption": "A part", "chapters": [{"file": name} for name in others]}
        (root / "_toc.yml").write_text(yaml.safe_dump({"root": first, "parts": [part]}))
        monkeypatch.setattr(checkout, "ROOT", root)
        return root

    return lay_out


@pytest.fixture(scope="module")
def site() -> Path:
    """The folder of the built site, if it is there."""
    if not PAGES:
        pytest.fail(f"no site in {SITE}: run `make test`, which builds it first", pytrace=False)
    return SITE


@pytest.fixture(scope="module", params=PAGES or ["index.html"])
def name(request: pytest.FixtureRequest, site: Path) -> str:
    """One page of the built site after another."""
    return request.param
