"""Where the book is: the folder with ``book``, ``results`` and ``build`` that the library lies in.

Installed by itself, the library knows no such folder. Analyses and networks work all the same; what
reads published results or runs chapters says that it needs a checkout.
"""

from pathlib import Path

_FOLDER = Path(__file__).resolve().parents[3]


# a library installed somewhere below another book is not in a checkout of this one
ROOT: Path | None = (
    _FOLDER if all((_FOLDER / name).exists() for name in ("lib/rnnatomy", "_toc.yml")) else None
)
"""The project's folder, or None where the library was installed without it."""


class CheckoutError(Exception):
    """A checkout of the book is needed, and there is none."""


def root() -> Path:
    """Return the project's folder.

    Raises:
        CheckoutError: if the library was installed without the book.
    """
    if ROOT is None:
        raise CheckoutError(
            "rnnatomy is installed without its book: clone the repository and run this there, as "
            "in `make book`, to have its published results and chapters."
        )
    return ROOT
