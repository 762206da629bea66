"""Errors of the builder.

BuildError
├── DataError            the data set is missing, altered or of the wrong layout
│   └── DownloadError    the published download did not arrive whole
├── ExportError          the converter changed a weight tensor, so that the codes cannot be written
└── StoreError           the store cannot be read or written
"""


class BuildError(Exception):
    """A build that cannot go on; the message is one sentence with the remedy."""


class DataError(BuildError):
    """The data set is missing, altered or of the wrong layout."""


class DownloadError(DataError):
    """The published download did not arrive whole."""


class ExportError(BuildError):
    """The exported graph does not hold the weights that were trained."""


class StoreError(BuildError):
    """The store is not there, full, or not writable for this user."""
