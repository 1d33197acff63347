"""What users and files may do to a command or a manifest, and how it is to end."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from rnnatomy.store import disk

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("lstm"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def edit_and_load(manifest: Path, data: st.DataObject, load: Callable[[], Any]) -> None:
    """Change some value of a manifest into anything: it is loaded, or refused in a sentence."""
    whole = manifest.with_name("whole.json")
    if not whole.exists():
        shutil.copy(manifest, whole)
    place = document = json.loads(whole.read_text())
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(ANYTHING)
    manifest.write_text(json.dumps(document))
    try:
        load()
    except disk.StoreError as error:
        assert str(error).isprintable()


def mutated(content: bytes, data: st.DataObject) -> bytes:
    """Change some bytes of a file, cut, or put a part of it elsewhere."""
    places = st.integers(0, len(content))
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        a, b = sorted((data.draw(places), data.draw(places)))
        kind = data.draw(st.sampled_from(["flip", "cut", "leave out", "splice", "insert"]))
        if kind == "flip":
            changed[a : a + 1] = data.draw(st.binary(min_size=1, max_size=1))
        elif kind == "cut":
            del changed[max(b, 1) :]
        elif kind == "leave out":
            del changed[a : min(b, a + 20)]
        elif kind == "splice":
            changed[b:b] = content[a : min(b, a + 40)]
        else:
            changed[a:a] = data.draw(st.binary(max_size=8))
    return bytes(changed)


def sentence(command: Callable[[], Any]) -> str:
    """The one sentence with which a command ends, as it is printed."""
    with pytest.raises(SystemExit) as caught:
        command()
    message = str(caught.value.code)  # which ends a program with 1
    assert message.startswith("error: ")
    assert "\n" not in message and len(message) < 500, message
    return message
