import contextlib
import gzip
import hashlib
import os
import shutil
import signal
import socket
import struct
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from rnnatomy.data import datasets, files

NAMES = [name for images, labels, _ in datasets._FILES.values() for name in (images, labels)]
TRAIN_IMAGES, TRAIN_LABELS = NAMES[:2]


def idx(array):
    return b"\0\0\x08" + struct.pack(f">B{array.ndim}I", array.ndim, *array.shape) + array.tobytes()


def cache_folder():
    return datasets.tfds_folder()


def left_behind():
    return list(cache_folder().rglob("*"))


def sized(*counts):
    pairs = zip(datasets._FILES.items(), counts, strict=True)
    return {split: (*names[:2], count) for (split, names), count in pairs}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Files like MNIST's, of 30 and 10 images, and the way without array_record to read them."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    arrays = {}
    for split, count in (("train", 30), ("test", 10)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    infos = {}
    for name, array in zip(NAMES, arrays.values(), strict=True):
        content = gzip.compress(idx(array))
        (folder / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        infos[f"http://nowhere/{name}"] = SimpleNamespace(size=len(content), checksum=digest)
    monkeypatch.setattr(datasets, "_url_infos", lambda: infos)
    monkeypatch.setattr(datasets, "_FILES", sized(30, 10))
    monkeypatch.setattr(datasets, "CHECKSUM", datasets._checksum(arrays))
    monkeypatch.setattr(datasets, "VALIDATION_SIZE", 5)
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    monkeypatch.setenv("RNNATOMY_DATA", str(folder.parent))
    return SimpleNamespace(folder=folder, arrays=arrays, infos=infos)


def refuse(*_, **__):
    raise AssertionError("this was not to be called")


# the digits


def test_digits_are_split_without_gap_or_overlap(digits):
    parts = digits.train, digits.validation, digits.test
    assert [part.images.shape for part in parts] == [(1297, 8, 8), (200, 8, 8), (300, 8, 8)]
    images = np.concatenate([part.images for part in parts])
    np.testing.assert_array_equal(images * 16, load_digits().images)
    labels = np.concatenate([part.labels for part in parts])
    np.testing.assert_array_equal(labels, load_digits().target)


def test_digits_are_fractions_of_white_and_every_class_is_in_every_part(digits):
    for part in (digits.train, digits.validation, digits.test):
        assert part.images.dtype == np.float32 and part.labels.dtype == np.int32
        assert part.images.min() == 0 and part.images.max() == 1
        assert set(part.labels) == set(range(10))


def test_the_checksum_changes_with_a_pixel():
    arrays = {"images": np.zeros((2, 3), np.uint8), "labels": np.zeros(2, np.uint8)}
    before = datasets._checksum(arrays)
    arrays["images"][1, 2] = 1
    assert datasets._checksum(arrays) != before


# which data


def test_data_are_loaded_by_name(tiny):
    assert datasets.load("digits").name == "digits"
    assert datasets.load("mnist").name == "mnist"
    assert datasets.load("auto").name == "mnist"


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="'mnits' is unknown: choose 'mnist', 'digits' or 'auto'"):
        datasets.load("mnits")


def test_auto_falls_back_to_digits_where_mnist_is_out_of_reach(offline):
    assert datasets.load("auto").name == "digits"
    with pytest.raises(files.DataUnavailable):
        datasets.load("mnist")


def test_auto_does_not_hide_a_damaged_file(tiny):
    (tiny.folder / TRAIN_IMAGES).write_bytes(b"")
    with pytest.raises(files.DataError, match="is damaged"):
        datasets.load("auto")


# files at hand


def test_files_at_hand_are_read_with_the_last_training_images_for_validation(tiny):
    data = datasets.mnist()
    whole = tiny.arrays["train_images"].astype(np.float32) / 255
    np.testing.assert_array_equal(data.train.images, whole[:25])
    np.testing.assert_array_equal(data.validation.images, whole[25:])
    np.testing.assert_array_equal(data.train.labels, tiny.arrays["train_labels"][:25])
    np.testing.assert_array_equal(data.validation.labels, tiny.arrays["train_labels"][25:])
    np.testing.assert_array_equal(data.test.images * 255, tiny.arrays["test_images"])
    assert data.source == "files at hand (RNNATOMY_DATA)"


def test_a_second_call_reads_the_cache_also_without_files(tiny, monkeypatch):
    first = datasets.mnist()
    monkeypatch.setattr(datasets, "_read_idx", refuse)
    assert datasets.mnist().checksum == first.checksum
    monkeypatch.delenv("RNNATOMY_DATA")
    again = datasets.mnist()
    assert again.checksum == first.checksum and again.source == "prepared cache"


def poison(**changes):
    """Another cache, as a careless or a hostile hand writes it."""
    return lambda path, whole: np.savez(path, **whole | changes)


def swapped(path, whole):
    """The same bytes in other shapes have the same checksum."""
    np.savez(path, **whole | {"train_images": whole["train_images"].reshape(28, 30, 28)})


def signed(path, whole):
    np.savez(path, **{name: array.view(np.int8) for name, array in whole.items()})


def replaced(make):
    return lambda path, whole: [path.unlink(), make(path)]


def huge(path, whole):
    """A header that promises more than there is memory."""
    np.savez(path, **whole)
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000000,)}"
    start = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path, "w") as archive:
        for name in whole:
            archive.writestr(f"{name}.npy", start)


BROKEN = {
    "zeros": poison(train_images=np.zeros((30, 28, 28), np.uint8)),
    "one pixel": lambda path, whole: poison(test_images=whole["test_images"] ^ 1)(path, whole),
    "nonsense shapes": poison(train_images=np.zeros(3, np.uint8), test_labels=np.zeros((), int)),
    "swapped axes": swapped,
    "signed bytes": signed,
    "an array too many": poison(more=np.zeros(2)),
    "huge": huge,
    "a folder": replaced(Path.mkdir),
    "a pipe": replaced(os.mkfifo),
    "a link to nothing": replaced(lambda path: path.symlink_to("nowhere")),
    "empty": lambda path, whole: path.write_bytes(b""),
    "truncated": lambda path, whole: path.write_bytes(path.read_bytes()[:1000]),
    "not a zip file": lambda path, whole: path.write_bytes(b"nonsense"),
    "one flipped bit": lambda path, whole: flip(path),
    "one array only": lambda path, whole: np.savez(path, train_images=whole["train_images"]),
    "an array, not an archive": lambda path, whole: save_array(path),
    "pickled": lambda path, whole: np.savez(path, **whole | {"test_labels": np.array([{}])}),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def save_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN)
def test_a_broken_cache_is_rebuilt(tiny, damage):
    first = datasets.mnist()
    (cache,) = cache_folder().rglob("*.npz")
    whole = cache.read_bytes()
    damage(cache, tiny.arrays)
    again = datasets.mnist()
    assert again.source == "files at hand (RNNATOMY_DATA)"
    assert datasets._checksum(whole_again(again)) == again.checksum == first.checksum
    if not cache.is_dir():  # that is not ours to remove
        assert cache.read_bytes() == whole


def whole_again(data):
    """The pixels and labels of a data set, as they were."""
    found = {}
    for split, parts in (("train", (data.train, data.validation)), ("test", (data.test,))):
        images = np.concatenate([part.images for part in parts])
        found[f"{split}_images"] = np.rint(images * 255).astype(np.uint8)
        labels = np.concatenate([part.labels for part in parts])
        found[f"{split}_labels"] = labels.astype(np.uint8)
    return found


@pytest.mark.parametrize("setting", ["RNNATOMY_DATA", None])
def test_the_source_is_where_data_were_read(tiny, serve, monkeypatch, setting):
    if not setting:
        serve(tiny.folder)
    first, second = datasets.mnist().source, datasets.mnist().source
    assert first == ("files at hand (RNNATOMY_DATA)" if setting else "download")
    assert second == "prepared cache"


def test_what_is_not_mnist_in_the_end_is_one_clear_error(tiny, monkeypatch):
    monkeypatch.setattr(datasets, "CHECKSUM", "0" * 64)
    with pytest.raises(
        files.DataError, match=r"MNIST as read here has checksum \w{64}, expected 0{64}: install"
    ):
        datasets.mnist()
    assert not [path for path in left_behind() if path.is_file()]


def full(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_cache_that_cannot_be_written_is_done_without(tiny, monkeypatch):
    monkeypatch.setattr(np, "savez", full)
    assert [datasets.mnist().source for _ in range(2)] == ["files at hand (RNNATOMY_DATA)"] * 2
    assert [path.name for path in left_behind()] == ["rnnatomy"]


def in_the_way(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file" / "below"))


def a_file(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file"))


def no_such_name(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / ("x" * 300)))


def no_home(tmp_path, monkeypatch):
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "file" / "home"))
    (tmp_path / "file").write_text("")


def unknown_home(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "~who-is-this/data")


UNUSABLE = [in_the_way, a_file, no_such_name, no_home, unknown_home]


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_without_a_place_for_a_cache_all_is_the_same(tiny, tmp_path, monkeypatch, spoil):
    spoil(tmp_path, monkeypatch)
    before = set(tmp_path.rglob("*"))
    for _ in range(2):
        data = datasets.mnist()
        assert datasets._checksum(whole_again(data)) == data.checksum == datasets.CHECKSUM
        assert data.source == "files at hand (RNNATOMY_DATA)"
    assert set(tmp_path.rglob("*")) == before


def test_the_folder_of_tfds_is_never_the_current_one_by_mistake(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    assert datasets.tfds_folder() == Path.home() / "tensorflow_datasets"


def truncate(folder):
    path = folder / TRAIN_IMAGES
    path.write_bytes(path.read_bytes()[:-10])


DAMAGE = {
    "truncated": (truncate, rf"{TRAIN_IMAGES} is damaged: expected [\d,]+ bytes, found [\d,]+ by"),
    "tampered": (
        lambda folder: flip(folder / TRAIN_LABELS),
        rf"{TRAIN_LABELS} is damaged: expected sha256 \w{{64}}, found sha256 \w{{64}}; replace",
    ),
    "misnamed": (
        lambda folder: (folder / TRAIN_IMAGES).rename(folder / "train-images.idx3-ubyte.gz"),
        rf"{TRAIN_IMAGES} is missing: expected that name, found train-images\.idx3-ubyte\.gz, "
        "which looks like it; rename",
    ),
    "missing": (
        lambda folder: [path.unlink() for path in folder.iterdir()],
        f"{TRAIN_IMAGES} is missing: expected that name, found nothing",
    ),
    "a folder": (
        lambda folder: [(folder / TRAIN_IMAGES).unlink(), (folder / TRAIN_IMAGES).mkdir()],
        f"{TRAIN_IMAGES} is a folder, not a file: put the file in its place",
    ),
}


@pytest.mark.parametrize("call", [datasets.mnist, lambda: datasets.load("auto")])
@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_bad_file_at_hand_is_named_and_nothing_is_left_behind(tiny, damage, message, call):
    damage(tiny.folder)
    with pytest.raises(files.DataError, match=message) as caught:
        call()
    assert "or unset RNNATOMY_DATA to download it" in str(caught.value)
    assert not left_behind()


def test_a_file_damaged_after_the_cache_was_made_is_still_found(tiny):
    datasets.mnist()
    truncate(tiny.folder)
    with pytest.raises(files.DataError, match="is damaged"):
        datasets.mnist()


def test_a_setting_that_names_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path / "dat"))
    with pytest.raises(files.DataError, match=r"RNNATOMY_DATA names .*dat, which is no folder"):
        datasets.load("auto")
    assert not left_behind()


@pytest.mark.parametrize("closed", ["", "mnist", f"mnist/{TRAIN_LABELS}"])
@pytest.mark.parametrize("call", [datasets.mnist, lambda: datasets.load("auto")])
def test_what_nobody_may_read_is_named(tiny, lock, closed, call):
    lock(tiny.folder.parent / closed, 0)
    with pytest.raises(files.DataError, match=r"cannot be read \(Permission denied\): correct"):
        call()
    assert not left_behind()


@pytest.mark.parametrize("call", [datasets.mnist, lambda: datasets.load("auto")])
def test_a_file_in_place_of_the_folder_is_not_passed_over(tiny, call):
    shutil.rmtree(tiny.folder)
    tiny.folder.write_text("")
    with pytest.raises(files.DataError, match=r"/mnist is a file, not a folder: put a folder"):
        call()


# IDX


@pytest.mark.parametrize("shape", [(5,), (2, 3), (4, 2, 3), (0, 3)])
def test_an_idx_file_is_read_in_the_shape_of_its_header(tmp_path, shape):
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(array)))
    found = datasets.read_idx(tmp_path / "a.gz")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, array)


WHOLE = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"\0\0\x0b" + WHOLE[3:]),
        gzip.compress(b"\x01" + WHOLE[1:]),
        gzip.compress(WHOLE[:-1]),
        gzip.compress(WHOLE + b"\0"),
        gzip.compress(WHOLE[:6]),
        gzip.compress(b""),
        gzip.compress(WHOLE)[:-6],
        WHOLE,
        b"",
    ],
    ids=["type", "magic", "short", "long", "header", "nothing", "gzip cut", "no gzip", "empty"],
)
def test_what_is_not_a_whole_idx_file_is_refused(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(files.DataError, match=r"a\.gz is damaged: expected .*, found .*; replace"):
        datasets.read_idx(tmp_path / "a.gz")


# the network


@pytest.fixture
def offline(monkeypatch):
    infos = {f"http://127.0.0.1:9/{name}": SimpleNamespace(checksum="0" * 64) for name in NAMES}
    monkeypatch.setattr(datasets, "_url_infos", lambda: infos)


with_and_without_array_record = pytest.mark.parametrize("spec", [None, "found"])
UNREACHABLE = r"(?s)MNIST is out of reach: .*RNNATOMY_DATA.*go online, or choose dataset='digits'"


@with_and_without_array_record
def test_mnist_out_of_reach_says_what_to_do_and_leaves_nothing_behind(offline, monkeypatch, spec):
    monkeypatch.setattr(datasets, "find_spec", lambda name: spec)
    with pytest.raises(files.DataUnavailable, match=UNREACHABLE) as caught:
        datasets.mnist()
    assert "Connection refused" in str(caught.value)
    assert not left_behind()


def test_a_setting_without_mnist_in_it_counts_as_no_files(offline, monkeypatch, tmp_path):
    monkeypatch.setenv("RNNATOMY_DATA", str(tmp_path))
    with pytest.raises(files.DataUnavailable):
        datasets.mnist()


@pytest.fixture
def answering(monkeypatch):
    """Stand in for the download with a socket that gives one answer, or none, and then waits."""
    listener = socket.create_server(("127.0.0.1", 0))

    def start(answer):
        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as caller:
                        caller.settimeout(15)
                        caller.sendall(answer)
                        while caller.recv(1000):
                            pass

        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        infos = {address + name: SimpleNamespace(checksum="0" * 64) for name in NAMES}
        monkeypatch.setattr(datasets, "_url_infos", lambda: infos)
        threading.Thread(target=serve, daemon=True).start()

    yield start
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@with_and_without_array_record
def test_a_server_that_never_answers_is_given_up(answering, monkeypatch, spec):
    assert datasets.PROBE_SECONDS <= 15 and files.SECONDS <= 20
    monkeypatch.setattr(datasets, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(files, "SECONDS", 0.2)
    monkeypatch.setattr(datasets, "find_spec", lambda name: spec)
    answering(b"")
    with pytest.raises(files.DataUnavailable, match="timed out"):
        datasets.mnist()


@with_and_without_array_record
@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.0 503 Busy\r\n\r\n"])
def test_a_server_that_answers_nonsense_counts_as_out_of_reach(
    answering, monkeypatch, answer, spec
):
    monkeypatch.setattr(datasets, "find_spec", lambda name: spec)
    answering(answer)
    with pytest.raises(files.DataUnavailable, match=UNREACHABLE):
        datasets.mnist()


@pytest.fixture
def serve(server, monkeypatch):
    """Offer a folder for download in place of TFDS's server."""

    def start(folder):
        address = server(folder)
        infos = {address + url.rsplit("/", 1)[1]: i for url, i in datasets._url_infos().items()}
        monkeypatch.setattr(datasets, "_url_infos", lambda: infos)
        monkeypatch.delenv("RNNATOMY_DATA", raising=False)

    return start


def test_files_are_downloaded_where_none_is_at_hand(tiny, serve):
    expected = datasets._checksum(tiny.arrays)
    serve(tiny.folder)
    first = datasets.mnist()
    assert (first.checksum, first.source) == (expected, "download")
    shutil.rmtree(tiny.folder)
    assert datasets.mnist().source == "prepared cache"


def test_files_are_downloaded_once(tiny, serve, monkeypatch):
    serve(tiny.folder)
    datasets.mnist()
    shutil.rmtree(cache_folder())
    shutil.rmtree(tiny.folder)
    assert datasets.mnist().checksum == datasets._checksum(tiny.arrays)


def test_a_damaged_download_is_refused_and_nothing_is_left_behind(tiny, serve, cache):
    truncate(tiny.folder)
    serve(tiny.folder)
    with pytest.raises(files.DataError, match=f"{TRAIN_IMAGES} is not the file expected"):
        datasets.mnist()
    assert not left_behind() and not [path for path in cache.rglob("*") if path.is_file()]


def test_a_download_that_breaks_off_counts_as_out_of_reach(tiny, serve):
    (tiny.folder / NAMES[-1]).unlink()
    serve(tiny.folder)
    with pytest.raises(files.DataUnavailable, match=f"{NAMES[-1]} does not answer .*404"):
        datasets.mnist()
    assert not left_behind()


# TFDS


class FakeBuilder:
    """Prepares one file; then, at the same moment, another process may have been first."""

    def __init__(self, folder, also=None, error=None):
        self.folder, self.also, self.error = folder, also, error

    def download_and_prepare(self, **_):
        for root in filter(None, (self.folder, self.also)):
            target = root / "mnist" / "3.0.1"
            target.mkdir(parents=True)
            (target / "data").write_text(str(root))
        if self.error:
            raise self.error


@pytest.fixture
def through_tfds(tiny, monkeypatch):
    """Let TFDS prepare one file, and read from it what the files at hand hold; or else fail."""

    def start(**options):
        monkeypatch.setattr(datasets, "find_spec", lambda name: "found")
        monkeypatch.setattr(datasets, "_check_reachable", lambda: None)
        monkeypatch.setattr(datasets, "_builder", lambda root: FakeBuilder(root, **options))
        monkeypatch.setattr(datasets, "_read_prepared", prepared)

    def prepared(root):
        assert (root / "mnist" / "3.0.1" / "data").read_text()
        return tiny.arrays

    return start


@pytest.mark.parametrize("first", [True, False])
def test_what_tfds_has_prepared_is_moved_into_place(through_tfds, first):
    root = cache_folder()
    through_tfds(also=None if first else root)
    assert datasets.mnist().source == "files at hand (RNNATOMY_DATA)"
    assert (root / "mnist" / "3.0.1" / "data").read_text().startswith(str(root))
    assert {path.name for path in root.iterdir()} == {"mnist", "rnnatomy"}


def test_what_tfds_keeps_is_read_where_our_own_cache_is_gone(through_tfds, monkeypatch):
    through_tfds()
    datasets.mnist()
    shutil.rmtree(cache_folder() / "rnnatomy")
    monkeypatch.setattr(datasets, "_prepare_tfds", refuse)
    assert datasets.mnist().source == "prepared cache"


@pytest.mark.parametrize("change", [{"test_labels": np.zeros(10, np.uint8)}, {}])
def test_what_tfds_keeps_is_not_believed_if_it_is_other(tiny, through_tfds, monkeypatch, change):
    through_tfds()
    datasets.mnist()
    shutil.rmtree(cache_folder() / "rnnatomy")
    read = datasets._read_prepared

    def poisoned(root):
        if root == cache_folder():
            return (tiny.arrays | change) if change else refuse()
        return read(root)

    monkeypatch.setattr(datasets, "_read_prepared", poisoned)
    data = datasets.mnist()
    assert data.source == "files at hand (RNNATOMY_DATA)"
    assert datasets._checksum(whole_again(data)) == datasets.CHECKSUM


@pytest.mark.parametrize("error", [OSError(28, "disk full"), RuntimeError("TFDS is another")])
def test_files_at_hand_are_read_without_tfds_where_it_fails(through_tfds, error):
    through_tfds(error=error)
    data = datasets.mnist()
    assert datasets._checksum(whole_again(data)) == datasets.CHECKSUM
    assert data.source == "files at hand (RNNATOMY_DATA)"
    assert {path.name for path in cache_folder().iterdir()} == {"rnnatomy"}


def test_a_download_that_the_disk_does_not_take_is_no_server_that_does_not_answer(
    through_tfds, monkeypatch
):
    through_tfds(error=OSError(28, "No space left on device"))
    monkeypatch.delenv("RNNATOMY_DATA")
    with pytest.raises(
        files.DataError, match=r"cannot keep a download \(No space left on device\): correct"
    ) as caught:
        datasets.mnist()
    assert not isinstance(caught.value, files.DataUnavailable)
    assert not left_behind()


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_files_at_hand_are_not_prepared_where_that_cannot_be_kept(
    through_tfds, monkeypatch, tmp_path, spoil
):
    through_tfds()
    monkeypatch.setattr(datasets, "_builder", refuse)
    spoil(tmp_path, monkeypatch)
    assert datasets._checksum(whole_again(datasets.mnist())) == datasets.CHECKSUM


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_download_needs_no_cache(through_tfds, monkeypatch, tmp_path, spoil):
    spoil(tmp_path, monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    through_tfds()
    monkeypatch.delenv("RNNATOMY_DATA")
    data = datasets.mnist()
    assert datasets._checksum(whole_again(data)) == datasets.CHECKSUM
    assert data.source == "download"
    assert not list((tmp_path / "temporary").iterdir())


def test_an_interrupted_build_leaves_nothing_behind(through_tfds):
    through_tfds(error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        datasets.mnist()
    assert not left_behind()


def test_an_unreadable_tfds_cache_is_passed_over(offline, monkeypatch):
    broken = cache_folder() / "mnist" / "3.0.1"
    broken.mkdir(parents=True)
    monkeypatch.setattr(datasets, "find_spec", lambda name: "found")
    with pytest.raises(files.DataUnavailable, match="no whole cache in"):
        datasets.mnist()
    assert left_behind() == [cache_folder() / "mnist", broken]


# processes that are killed


BUILD = """
import sys, time
from rnnatomy.data import datasets
class Slow:
    def __init__(self, root):
        self.root = root
    def download_and_prepare(self, **_):
        (self.root / "half").write_text("")
        print("half", flush=True)
        time.sleep(60)
datasets._builder = Slow
datasets.find_spec = lambda name: "found"
datasets._check_reachable = lambda: None
datasets.mnist()
"""


def test_what_killed_processes_have_left_is_swept(child, through_tfds, mnist_files):
    root = cache_folder()
    for _ in range(3):
        with child(BUILD, TFDS_DATA_DIR=root, RNNATOMY_DATA=mnist_files.parent) as process:
            assert process.stdout.readline() == "half\n"
            process.send_signal(signal.SIGKILL)
    assert list(root.glob(".rnnatomy-*/half"))
    (root / "rnnatomy").mkdir(exist_ok=True)
    (root / "rnnatomy" / "tmp12345678.npz").write_text("half")
    through_tfds()
    datasets.mnist()
    left = {path.relative_to(root).as_posix() for path in left_behind() if path.is_file()}
    assert left == {"mnist/3.0.1/data", "rnnatomy/mnist-3.0.1.npz"}


def test_a_process_that_lives_is_waited_for_and_not_swept(child, through_tfds, mnist_files):
    root, done = cache_folder(), threading.Event()
    through_tfds()
    with child(BUILD, TFDS_DATA_DIR=root, RNNATOMY_DATA=mnist_files.parent) as process:
        assert process.stdout.readline() == "half\n"
        waiting = threading.Thread(target=lambda: (datasets.mnist(), done.set()))
        waiting.start()
        time.sleep(0.3)
        assert list(root.glob(".rnnatomy-*/half")) and not done.is_set()
        process.kill()
        waiting.join(20)
    assert done.is_set() and not list(root.glob(".rnnatomy-*"))


@pytest.mark.parametrize("split", ["train", "test"])
def test_tfds_keeps_each_row_once_in_an_order_of_its_own(split):
    order = datasets.tfds_order(split, 200)
    np.testing.assert_array_equal(np.sort(order), np.arange(200))
    assert (order != np.arange(200)).any()
    assert (datasets.tfds_order("test", 200) != datasets.tfds_order("train", 200)).any()


# real MNIST


@pytest.fixture(scope="session")
def idx_arrays(mnist_files):
    return dict(
        zip(
            ("train_images", "train_labels", "test_images", "test_labels"),
            (datasets.read_idx(mnist_files / name) for name in NAMES),
            strict=True,
        )
    )


def test_the_checksum_in_the_library_is_that_of_the_real_files(idx_arrays):
    assert datasets._is_mnist(idx_arrays)
    assert not datasets._is_mnist(idx_arrays | {"test_labels": idx_arrays["test_labels"] ^ 1})


def same(data, arrays):
    images = np.concatenate([data.train.images, data.validation.images])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    np.testing.assert_array_equal(np.rint(images * 255), arrays["train_images"])
    np.testing.assert_array_equal(labels, arrays["train_labels"])
    np.testing.assert_array_equal(np.rint(data.test.images * 255), arrays["test_images"])
    np.testing.assert_array_equal(data.test.labels, arrays["test_labels"])
    assert data.checksum == datasets._checksum(arrays)
    return True


def test_two_processes_prepare_mnist_at_once(real_mnist, idx_arrays):
    expected = datasets._checksum(idx_arrays)
    for code, out, err in real_mnist.preparations:
        assert code == 0, err
        assert out.split()[-1] == expected
    names = {path.name for path in real_mnist.cache.iterdir()}
    assert names == ({"mnist", "rnnatomy"} if datasets.find_spec("array_record") else {"rnnatomy"})
    stored = [path.name for path in (real_mnist.cache / "rnnatomy").iterdir()]
    assert stored == ["mnist-3.0.1.npz"]


def test_mnist_through_tfds_is_the_idx_files_bit_for_bit(real_mnist, idx_arrays, monkeypatch):
    # the fixture's processes have read it through TFDS; here their cache is read
    monkeypatch.setattr(datasets, "_read", refuse)
    data = datasets.mnist()
    assert same(data, idx_arrays)
    assert data.validation.images.shape == (5000, 28, 28)
    assert (data.train.images.min(), data.train.images.max()) == (0, 1)


def test_mnist_without_array_record_is_the_same(mnist_files, idx_arrays, monkeypatch):
    monkeypatch.setenv("RNNATOMY_DATA", str(mnist_files.parent))
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    monkeypatch.setattr(datasets, "_prepare_tfds", refuse)
    assert datasets.mnist().checksum == datasets._checksum(idx_arrays)


def test_mnist_is_downloaded_and_held_against_the_checksums_of_tfds(
    mnist_files, idx_arrays, serve, monkeypatch
):
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    serve(mnist_files)
    assert datasets.mnist().checksum == datasets._checksum(idx_arrays)


@pytest.mark.parametrize("damage", ["truncated", "tampered", "misnamed"])
def test_a_bad_real_file_is_named(mnist_files, tmp_path, damage):
    for name in NAMES:
        shutil.copy(mnist_files / name, tmp_path)
        (tmp_path / name).chmod(0o644)
    datasets.check_idx_files(tmp_path)
    change, message = DAMAGE[damage]
    change(tmp_path)
    with pytest.raises(files.DataError, match=message):
        datasets.check_idx_files(tmp_path)


def test_a_download_that_tfds_gives_up_on_counts_as_out_of_reach(offline, monkeypatch, tmp_path):
    class GivesUp:
        def download_and_prepare(self, **_):
            raise RuntimeError("tried ten times")

    monkeypatch.setattr(datasets, "_check_reachable", lambda: None)
    monkeypatch.setattr(datasets, "_builder", lambda root: GivesUp())
    monkeypatch.setattr(datasets, "find_spec", lambda name: object())
    with pytest.raises(files.DataUnavailable, match=r"out of reach.*tried ten times"):
        datasets.mnist()
    assert [p for p in datasets.tfds_folder().rglob("*") if p.is_file()] == []
