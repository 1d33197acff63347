"""The large autoencoders of digits, a study of their own."""

from collections.abc import Callable

from rnnatomy.studies import autoencoder, progress


def publish(networks: int = 3, report: Callable[[str], None] = progress.print_line) -> None:
    """Train, measure and publish the large autoencoders of digits: ``results/likelihood``.

    Args:
        networks: as of ``autoencoder.publish``.
        report: as of ``autoencoder.publish``.
    """
    autoencoder.publish_groups("likelihood", autoencoder.LARGE_GROUPS, networks, report)
