"""What a network reads of the same images: rows, columns, or pixels in an order without sense."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from rnnatomy.data import datasets

SEED = 20_250_101
"""Of the one permutation of pixels that all images share."""


def arrange(data: datasets.Dataset, name: str) -> datasets.Dataset:
    """Arrange the pixels of all images anew.

    Args:
        data: images as sequences of rows.
        name: one of ``ARRANGEMENTS``.

    Returns:
        The data with other images; the checksum stays that of the images as they came.

    Raises:
        ValueError: if there is no such arrangement.
    """
    if not isinstance(name, str) or name not in ARRANGEMENTS:
        known = ", ".join(ARRANGEMENTS)
        raise ValueError(f"arrangement {name!r} is unknown: choose from {known}.")
    change = ARRANGEMENTS[name]
    split = lambda part: part._replace(images=change(part.images))  # noqa: E731
    return data._replace(
        train=split(data.train), validation=split(data.validation), test=split(data.test)
    )


def rows(
    images: Float[np.ndarray, "sample time feature"],
) -> Float[np.ndarray, "sample time feature"]:
    """Return images as they are: a frame is a row."""
    return images


def columns(
    images: Float[np.ndarray, "sample time feature"],
) -> Float[np.ndarray, "sample feature time"]:
    """Return images transposed: a frame is a column."""
    return np.ascontiguousarray(np.swapaxes(images, 1, 2))


def permuted(
    images: Float[np.ndarray, "sample time feature"],
) -> Float[np.ndarray, "sample time feature"]:
    """Return images whose pixels are shuffled, all in the same way, and cut into frames again.

    Reference:
        Le, Jaitly and Hinton (2015).
    """
    flat = images.reshape(len(images), -1)
    order = np.random.default_rng(SEED).permutation(flat.shape[1])
    return flat[:, order].reshape(images.shape)


ARRANGEMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": rows,
    "columns": columns,
    "permuted": permuted,
}
"""Every arrangement by name."""
