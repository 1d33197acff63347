"""The data: MNIST and scikit-learn's embedded digits, as sequences of image rows.

MNIST comes through TensorFlow Datasets (TFDS), without TensorFlow. Images and labels are always in
the order of the original IDX files, whichever way they came, so "test image 8" means the same image
everywhere.
"""

import errno
import gzip
import hashlib
import os
import shutil
import struct
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from rnnatomy.data import files

VALIDATION_SIZE = 5_000


CHECKSUM = "2edad8764efab7a0d9f88935d1a5179814ed944ec7ab65377fea543b692f103a"
"""Of MNIST: sha256 of its pixels and labels, as ``Dataset.checksum``."""


PROBE_SECONDS = 5.0


# what a disk answers, and no server
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", 60_000),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 10_000),
}


Arrays = dict[str, np.ndarray]


class Split(NamedTuple):
    """Images as sequences of rows, and what they show.

    Attributes:
        images: row sequences, intensities as a fraction (0..1).
        labels: the digit, 0..9.
    """

    images: Float[np.ndarray, "sample time feature"]
    labels: Int[np.ndarray, " sample"]


class Dataset(NamedTuple):
    """Three disjoint parts of one data set; choices are made on validation, reports on test.

    Attributes:
        name: "mnist" or "digits".
        train: what the network is fitted to.
        validation: what choices are made on.
        test: what is reported.
        source: where the data came from, in words.
        checksum: sha256 of all pixels and labels, hexadecimal.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    source: str
    checksum: str


def load(name: str) -> Dataset:
    """Load a data set by name.

    Args:
        name: "mnist", "digits", or "auto": MNIST where it can be had, else the embedded digits.

    Raises:
        ValueError: if the name is none of these.
        DataError: if a file at hand is damaged or misnamed (also under "auto").
        DataUnavailable: if MNIST was asked for by name and is out of reach.
    """
    if name == "digits":
        return digits()
    if name == "mnist":
        return mnist()
    if name != "auto":
        raise ValueError(f"dataset {name!r} is unknown: choose 'mnist', 'digits' or 'auto'.")
    try:
        return mnist()
    except files.DataUnavailable:
        return digits()


def digits() -> Dataset:
    """Load the UCI digits embedded in scikit-learn: 1,797 images of 8 x 8 pixels, in file order.

    The writers differ from part to part, since the file is ordered by writer: the first 1,297
    images train, the next 200 validate, the last 300 test.

    Reference:
        Alpaydin and Kaynak (1998).
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = np.asarray(bunch.images, np.uint8)
    labels = np.asarray(bunch.target, np.uint8)
    parts = (slice(0, 1297), slice(1297, 1497), slice(1497, 1797))
    train, validation, test = (_split(pixels[p], labels[p], 16) for p in parts)
    checksum = _checksum({"images": pixels, "labels": labels})
    return Dataset("digits", train, validation, test, "embedded in scikit-learn", checksum)


def mnist() -> Dataset:
    """Load MNIST: 55,000 training, 5,000 validation and 10,000 test images of 28 x 28 pixels.

    The four files come from the folder that ``RNNATOMY_DATA`` names (``mnist/*.gz``) or by
    download, and are held against TFDS's own checksums. What has been made of them is kept beside
    TFDS's data, and believed as long as it has the ``CHECKSUM`` of MNIST; where nothing can be
    kept, all is the same, but slower. The last 5,000 training images are the validation part.

    Raises:
        DataError: if a file at hand is missing, damaged or misnamed, a download cannot be stored,
            or what TFDS makes of the files is not MNIST.
        DataUnavailable: if there is no file at hand, no cache, and the download is out of reach.

    Reference:
        LeCun, Bottou, Bengio and Haffner (1998).
    """
    folder = files.folder("mnist")
    if folder is not None:
        check_idx_files(folder)
    arrays, source = _kept() or _make(folder)
    cut = len(arrays["train_labels"]) - VALIDATION_SIZE
    images, labels = arrays["train_images"], arrays["train_labels"]
    return Dataset(
        name="mnist",
        train=_split(images[:cut], labels[:cut], 255),
        validation=_split(images[cut:], labels[cut:], 255),
        test=_split(arrays["test_images"], arrays["test_labels"], 255),
        source=source,
        checksum=CHECKSUM,
    )


def tfds_folder() -> Path:
    """Return TFDS's own data folder: ``TFDS_DATA_DIR``, or ``~/tensorflow_datasets``.

    Whoever has no home has a path at which nothing can be kept.
    """
    folder = Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    try:
        return folder.expanduser()
    except RuntimeError:
        return Path(os.devnull) / folder


def check_idx_files(folder: Path) -> None:
    """Hold the four MNIST files in a folder against TFDS's sizes and checksums.

    Raises:
        DataError: naming the file, what was expected, what was found, and the remedy.
    """
    for url, info in _url_infos().items():
        files.checked(folder / _name(url), info.checksum, info.size)


def read_idx(path: Path) -> UInt8[np.ndarray, "..."]:
    """Read one gzipped IDX file of unsigned bytes.

    Args:
        path: a file whose header gives the number of axes and their sizes, big-endian.

    Returns:
        The array, with the shape that the header gives.

    Raises:
        DataError: if the file is truncated or is not IDX.

    Reference:
        LeCun, Cortes and Burges, *The MNIST database*.
    """
    content = files.read(path)
    try:
        raw = gzip.decompress(content)
    except (OSError, EOFError) as error:
        raise files.damaged(path, "a whole gzip file", str(error)) from error
    axes = raw[3] if raw[:3] == b"\0\0\x08" else 0
    shape = struct.unpack(f">{axes}I", raw[4 : 4 + 4 * axes]) if len(raw) >= 4 + 4 * axes else ()
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * axes if shape else 0)
    if not shape or body.size != np.prod(shape):
        raise files.damaged(path, "IDX bytes as its header tells", f"{len(raw):,} bytes")
    return body.reshape(shape)


def tfds_order(split: str, count: int) -> Int[np.ndarray, " sample"]:
    """Return the IDX row of each example in the order in which TFDS stores a split.

    TFDS sorts examples by the hash of their key, salted with the split's name; MNIST's keys are
    the IDX rows.
    """
    from tensorflow_datasets.core.hashing import Hasher

    hasher = Hasher(split)
    return np.asarray(sorted(range(count), key=hasher.hash_key))


def first_of_each(labels: Int[np.ndarray, " sample"], count: int) -> Int[np.ndarray, " place"]:
    """Return the places of the first samples of each class, class by class; all if there are fewer.

    Args:
        labels: the classes of all samples.
        count: how many of each.
    """
    return np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)])


def _split(pixels: np.ndarray, labels: np.ndarray, white: int) -> Split:
    return Split(pixels.astype(np.float32) / white, labels.astype(np.int32))


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def _url_infos() -> dict[str, Any]:
    import tensorflow_datasets as tfds

    return tfds.image_classification.MNIST.url_infos


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _prepared(root: Path) -> Path:
    return root / "mnist" / "3.0.1"


def _is_mnist(arrays: Arrays) -> bool:
    shapes: dict[str, tuple[int, ...]] = {}
    for split, (_, _, count) in _FILES.items():
        shapes |= {f"{split}_images": (count, 28, 28), f"{split}_labels": (count,)}
    right = {name: array.shape for name, array in arrays.items()} == shapes
    right = right and all(array.dtype == np.uint8 for array in arrays.values())
    return right and _checksum(arrays) == CHECKSUM


def _true(arrays: Arrays) -> Arrays:
    if not _is_mnist(arrays):
        raise files.DataError(
            f"MNIST as read here has checksum {_checksum(arrays)}, expected {CHECKSUM}: install "
            "tensorflow-datasets, pillow and numpy in the versions of requirements-library.txt."
        )
    return arrays


def _cache() -> Path:
    return tfds_folder() / "rnnatomy" / "mnist-3.0.1.npz"


def _kept() -> tuple[Arrays, str] | None:
    """Return what is kept, if it is MNIST."""
    path = _cache()
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except Exception:  # archives are damaged in many ways
        return None
    return (arrays, "prepared cache") if _is_mnist(arrays) else None


def _make(folder: Path | None) -> tuple[Arrays, str]:
    """Make what is kept, and say of what; one process at a time, the others find it kept."""
    with files.alone(tfds_folder()) as held:
        if held:
            _sweep(tfds_folder())
            if kept := _kept():
                return kept
        arrays, source = _read(folder)
        _keep(arrays)
        return arrays, source


def _sweep(root: Path) -> None:
    """Remove what processes that were killed have left."""
    for path in [*root.glob(".rnnatomy-*"), *root.glob("rnnatomy/tmp*.npz")]:
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _keep(arrays: Arrays) -> None:
    """Keep arrays, if there is a place for them."""
    path = _cache()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, suffix=".npz")
        try:
            with open(handle, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            os.replace(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def _read(folder: Path | None) -> tuple[Arrays, str]:
    """Read MNIST from what TFDS has prepared, or else from its files, and say from where."""
    source = "download" if folder is None else f"files at hand ({files.SETTING})"
    if not find_spec("array_record"):
        return _true(_read_idx(folder)), source
    with suppress(Exception):  # TFDS's data are damaged in many ways
        if _prepared(tfds_folder()).is_dir():
            return _true(_read_prepared(tfds_folder())), "prepared cache"
    try:
        return _prepare_tfds(folder), source
    except files.DataError:
        raise
    except Exception as error:  # TFDS fails in many ways
        if folder is not None:
            return _true(_read_idx(folder)), source
        if isinstance(error, OSError) and error.errno in _DISK:
            raise files.unkept(tfds_folder(), error) from error
        raise _out_of_reach(next(iter(_url_infos())), error) from error


def _read_idx(folder: Path | None) -> Arrays:
    folder = folder or _download()
    arrays = {}
    for split, (images, labels, _) in _FILES.items():
        arrays[f"{split}_images"] = read_idx(folder / images)
        arrays[f"{split}_labels"] = read_idx(folder / labels)
    return arrays


def _download() -> Path:
    """Download the four files without TFDS, and return their folder."""
    infos = {_name(url): (url, info) for url, info in _url_infos().items()}
    source = files.pooch.create(
        files.cache("mnist"),
        base_url="",
        registry={name: info.checksum for name, (_, info) in infos.items()},
        urls={name: url for name, (url, _) in infos.items()},
    )
    for name in infos:
        files.download(source, name, _out_of_reach)
    return Path(source.abspath)


def _prepare_tfds(folder: Path | None) -> Arrays:
    """Prepare MNIST with TFDS in a folder aside, and move it into place if there is one for it."""
    import tensorflow_datasets as tfds

    if folder is None:
        _check_reachable()
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(manual_dir=folder)
    with _folder_aside(tfds_folder(), needed=folder is None) as aside:
        _builder(aside).download_and_prepare(
            download_dir=aside / "downloads", download_config=config
        )
        arrays = _true(_read_prepared(aside))
        with suppress(OSError):  # another has prepared it, or nothing can be kept there
            place = _prepared(tfds_folder())
            place.parent.mkdir(exist_ok=True)
            _prepared(aside).rename(place)
    return arrays


@contextmanager
def _folder_aside(root: Path, needed: bool) -> Iterator[Path]:
    """Make a folder in another, or elsewhere if it cannot be and is needed, and remove it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        aside = tempfile.mkdtemp(prefix=".rnnatomy-", dir=root)
    except OSError:
        if not needed:
            raise
        aside = tempfile.mkdtemp(prefix="rnnatomy-")
    try:
        yield Path(aside)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _read_prepared(root: Path) -> Arrays:
    """Read what TFDS has prepared, in the order of the original files."""
    arrays: Arrays = {}
    for split, (_, _, count) in _FILES.items():
        source = _builder(root).as_data_source(split=split)
        images = np.empty((count, 28, 28), np.uint8)
        labels = np.empty(count, np.uint8)
        examples = source.__getitems__(range(count))
        for row, example in zip(tfds_order(split, count), examples, strict=True):
            images[row], labels[row] = example["image"][..., 0], example["label"]
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


def _builder(root: Path) -> Any:
    """Return TFDS's MNIST builder, taught to prepare without TensorFlow.

    Name, version, features and checksums are TFDS's own; only the reading of the IDX files, for
    which TFDS calls TensorFlow, is ours.
    """
    import tensorflow_datasets as tfds
    from PIL import Image

    with tfds.core.registered.skip_registration():

        class MNIST(tfds.image_classification.MNIST):
            name = "mnist"

            def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
                names = {name for images, labels, _ in _FILES.values() for name in (images, labels)}
                paths = dl_manager.download({name: self.URL + name for name in names})
                return {
                    split: self._generate_examples(Path(paths[images]), Path(paths[labels]))
                    for split, (images, labels, _) in _FILES.items()
                }

            def _generate_examples(self, images: Path, labels: Path) -> Iterator[Any]:
                pairs = zip(read_idx(images), read_idx(labels), strict=True)
                for row, (image, label) in enumerate(pairs):
                    yield row, {"image": Image.fromarray(image), "label": int(label)}

    return MNIST(data_dir=root, file_format="array_record")


def _check_reachable() -> None:
    url = next(iter(_url_infos()))
    request = urllib.request.Request(url, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except (OSError, HTTPException) as error:
        raise _out_of_reach(url, error) from error


def _out_of_reach(url: str, error: Exception) -> files.DataUnavailable:
    return files.DataUnavailable(
        f"MNIST is out of reach: no files at hand ({files.SETTING} is not set to a folder with "
        f"mnist/*.gz), no whole cache in {tfds_folder()}, and {url} does not answer ({error}); "
        f"set {files.SETTING}, go online, or choose dataset='digits'."
    )
