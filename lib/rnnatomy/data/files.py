"""Data files at hand, downloads, and what is said when they fail."""

SETTING = "RNNATOMY_DATA"
"""Name of the environment variable that names a folder with data files at hand."""


class DataError(Exception):
    """A data file is missing, damaged or misnamed; the message says which, and what to do."""


class DataUnavailable(DataError):
    """The data are neither at hand nor within reach of the network."""
