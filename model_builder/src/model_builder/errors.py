"""Errors of the builder.

BuildError
├── DataError            the data set is missing, altered or of the wrong layout
│   ├── DownloadError    the published download did not arrive whole
│   └── GivenFileError   a file that the recipe itself names is missing, another one, or not as it must be
├── ExportError          the exported file does not answer as the weights that were trained
├── ModelError           the network cannot be deployed as it is
├── StoreError           the store cannot be read or written
└── TrainingError        training cannot go on as the recipe wants it
    ├── CheckpointError           the saved training is of another recipe, or damaged
    ├── OutOfMemoryError          the device has too little memory for the batch
    └── TrainingInterruptedError  the process was asked to end; the training is saved where it has a folder
"""


class BuildError(Exception):
    """A build that cannot go on; the message is one sentence with the remedy."""


class DataError(BuildError):
    """The data set is missing, altered or of the wrong layout."""


class DownloadError(DataError):
    """The published download did not arrive whole."""


class GivenFileError(DataError):
    """A file that the recipe itself names is missing, another one than it states, or not as it must be."""


class ExportError(BuildError):
    """The exported file does not answer as the weights that were trained."""


class ModelError(BuildError):
    """A network, ours or a given one, that cannot be deployed as it is; the message names the layer."""


class StoreError(BuildError):
    """The store is not there, full, or not writable for this user."""


class TrainingError(BuildError):
    """Training cannot go on as the recipe wants it."""


class CheckpointError(TrainingError):
    """The saved training is of another recipe or other data, or damaged."""


class OutOfMemoryError(TrainingError):
    """The device has too little memory for what the recipe trains."""


class TrainingInterruptedError(TrainingError):
    """The process was asked to end; what was trained is saved where the training has a folder."""
