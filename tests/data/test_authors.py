import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pooch
import pytest

from rnnatomy.data import authors, files

REAL_DATA = os.environ.get("RNNATOMY_DATA")
WIDTHS = {"enc_states": 16, "dec_states": 16, "dec_outputs": 2}


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Files like the real ones, each of numbers of its own, of two checkpoints."""
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(authors, "ITERATIONS", (10, 2000))
    folder = tmp_path / "data" / "authors_synthetic"
    folder.mkdir(parents=True)
    shapes = {f"enc_inputs_{kind}": 2 for kind in (0, 1)}
    for name, width in WIDTHS.items():
        shapes |= {f"{name}_{i}_{kind}": width for i in (10, 2000) for kind in (0, 1)}
    tables = {}
    for seed, (name, width) in enumerate(shapes.items()):
        tables[name] = np.random.default_rng(seed).normal(size=(50, width))
        np.savetxt(folder / f"{name}.txt", tables[name])
    made = SimpleNamespace(folder=folder, tables=tables, address="http://127.0.0.1:9/")
    made.registry = {path.name: checksum(path) for path in folder.iterdir()}

    def source():
        return pooch.create(files.cache("authors"), made.address, registry=made.registry)

    monkeypatch.setattr(authors, "_source", source)
    return made


def spoil(tiny, name, text):
    """Put another text into a file, and its checksum into the registry."""
    (tiny.folder / name).write_text(text)
    tiny.registry[name] = checksum(tiny.folder / name)


def test_each_file_is_read_into_its_place(tiny):
    found = authors.synthetic()
    parts = {"enc_states": found.encoder, "dec_states": found.decoder, "dec_outputs": found.outputs}
    for kind in (0, 1):
        np.testing.assert_array_equal(found.inputs[kind], tiny.tables[f"enc_inputs_{kind}"])
        for name, part in parts.items():
            assert part.shape == (2, 2, 50, WIDTHS[name])
            for place, i in enumerate((10, 2000)):
                np.testing.assert_array_equal(part[place, kind], tiny.tables[f"{name}_{i}_{kind}"])


def test_the_checksum_is_that_of_all_files(tiny):
    before = authors.synthetic().checksum
    spoil(tiny, "enc_inputs_1.txt", "1 2\n" * 50)
    assert authors.synthetic().checksum != before


def test_a_file_that_was_changed_is_refused(tiny):
    path = tiny.folder / "dec_states_10_1.txt"
    path.write_text(path.read_text().replace("1", "2"))
    with pytest.raises(files.DataError, match=r"dec_states_10_1\.txt is damaged: expected sha256"):
        authors.synthetic()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "an empty file"),
        ("\n\n", "an empty file"),
        ("1 2\n" * 49, "49 rows of 2"),
        ("1 2 3\n" * 50, "50 rows of 3"),
        ("1 2\n" * 49 + "1\n", "columns"),
        ("1 x\n" * 50, "could not convert"),
        ("\ufffd\x00 2\n" * 50, "could not convert"),
        ("1 nan\n" * 50, "NaN or infinity"),
        ("1 -inf\n" * 50, "NaN or infinity"),
        ("# 1 2\n" * 50, "could not convert"),
    ],
)
def test_a_file_of_another_form_is_answered_in_one_sentence(tiny, text, found):
    spoil(tiny, "enc_inputs_0.txt", text)
    with pytest.raises(files.DataError, match=f"enc_inputs_0.txt is damaged: .*{found}"):
        authors.synthetic()


def test_without_files_and_network_the_remedy_is_named(tiny):
    shutil.rmtree(tiny.folder)
    with pytest.raises(files.DataUnavailable, match="set RNNATOMY_DATA to a folder with authors"):
        authors.synthetic()


def test_what_is_not_at_hand_is_downloaded(tiny, tmp_path, server):
    before = authors.synthetic()
    served = tmp_path / "served"
    served.mkdir()
    shutil.move(tiny.folder / "enc_inputs_1.txt", served)
    tiny.address = server(served)
    np.testing.assert_array_equal(authors.synthetic().inputs, before.inputs)


def test_a_download_of_something_else_is_refused(tiny, tmp_path, server):
    (tiny.folder / "enc_inputs_1.txt").unlink()
    (tmp_path / "enc_inputs_1.txt").write_text("1 2\n" * 50)
    tiny.address = server(tmp_path)
    with pytest.raises(files.DataError, match="is not the file expected"):
        authors.synthetic()


def test_the_list_of_files_has_all_that_are_read_and_no_other():
    names = {f"enc_inputs_{kind}.txt" for kind in (0, 1)}
    for name in WIDTHS:
        names |= {f"{name}_{i}_{kind}.txt" for i in authors.ITERATIONS for kind in (0, 1)}
    source = authors._source()
    assert set(source.registry) == names and len(names) == 74
    assert authors.COMMIT in source.get_url("enc_inputs_0.txt")


# the real files


@pytest.fixture
def real(monkeypatch):
    folder = Path(REAL_DATA or "").expanduser().resolve() / authors.FOLDER
    if not REAL_DATA or not folder.is_dir():
        pytest.skip(f"needs real data: set RNNATOMY_DATA to a folder with {authors.FOLDER}")
    monkeypatch.setenv("RNNATOMY_DATA", str(folder.parent))
    return authors.synthetic()


def test_the_curves_are_a_circle_and_an_ellipse_of_one_turn(real):
    radius = np.linalg.norm(real.inputs, axis=2)
    np.testing.assert_allclose(radius[0], 1)
    turned = real.inputs[1] @ np.array([[1, 1], [-1, 1]]) / np.sqrt(2)
    np.testing.assert_allclose((turned / [1, 2]) ** 2 @ [1, 1], 1)
    phase = np.unwrap(np.angle(real.inputs[..., 0] + 1j * real.inputs[..., 1]))
    np.testing.assert_allclose(phase[:, -1] - phase[:, 0], -2 * np.pi)


def test_states_are_those_of_a_gated_cell_and_outputs_learn_the_curves(real):
    assert real.encoder.shape == real.decoder.shape == (12, 2, 50, 16)
    assert np.abs(real.encoder).max() <= 1 and np.abs(real.decoder).max() <= 1
    ahead = np.concatenate([real.inputs[:, 1:], real.inputs[:, 1:2]], axis=1)
    error = np.square(real.outputs - ahead).mean(axis=(1, 2, 3))
    assert error[0] > 0.5 and error[-1] < 0.001
