import contextlib
import gzip
import hashlib
import shutil
import socket
import struct
import threading
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


BROKEN = {
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
    assert datasets.mnist().checksum == first.checksum
    assert cache.read_bytes() == whole


def test_a_cache_that_cannot_be_written_leaves_nothing_aside(tiny, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="no space left"):
        datasets.mnist()
    assert [path.name for path in left_behind()] == ["rnnatomy"]


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


def test_another_build_that_was_first_is_accepted(tmp_path, monkeypatch):
    root = cache_folder()
    monkeypatch.setattr(datasets, "_builder", lambda folder: FakeBuilder(folder, also=root))
    datasets._prepare_tfds(root, tmp_path)
    assert (root / "mnist" / "3.0.1" / "data").read_text() == str(root)
    assert [path.name for path in root.iterdir()] == ["mnist"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_build_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, error):
    monkeypatch.setattr(datasets, "_builder", lambda folder: FakeBuilder(folder, error=error))
    with pytest.raises(type(error)):
        datasets._prepare_tfds(cache_folder(), tmp_path)
    assert not left_behind()


def test_an_unreadable_tfds_cache_says_which_folder_to_remove(monkeypatch):
    broken = cache_folder() / "mnist" / "3.0.1"
    broken.mkdir(parents=True)
    with pytest.raises(files.DataError, match=r"mnist/3\.0\.1 cannot be read .*remove that"):
        datasets._read_tfds(None)


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
    monkeypatch.setattr(datasets, "_read_idx", refuse)
    monkeypatch.setattr(datasets, "_read_tfds", refuse)
    data = datasets.mnist()
    assert same(data, idx_arrays)
    assert data.validation.images.shape == (5000, 28, 28)
    assert (data.train.images.min(), data.train.images.max()) == (0, 1)


def test_mnist_without_array_record_is_the_same(mnist_files, idx_arrays, monkeypatch):
    monkeypatch.setenv("RNNATOMY_DATA", str(mnist_files.parent))
    monkeypatch.setattr(datasets, "find_spec", lambda name: None)
    monkeypatch.setattr(datasets, "_read_tfds", refuse)
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
