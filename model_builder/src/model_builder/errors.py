"""Errors of the builder.

BuildError
├── BuildInterruptedError    the process was asked to end
├── DataError            the data set is missing, altered or of the wrong layout
│   ├── DownloadError    the published download did not arrive whole
│   └── GivenFileError   a file that the recipe itself names is missing, another one, or not as it must be
├── ExportError          the exported file does not answer as the weights that were trained
├── ModelError           the network cannot be deployed as it is
├── StoreError           the store cannot be read or written
└── TrainingError        training cannot go on as the recipe wants it
    ├── CheckpointError           the saved training is of another recipe, or damaged
    ├── DivergedError             the loss is no number any more
    ├── OutOfMemoryError          the device has too little memory for the batch
    └── TrainingInterruptedError  likewise a BuildInterruptedError; the training is saved where it has a folder
"""

import signal


class BuildError(Exception):
    """A build that cannot go on; the message is one sentence with the remedy."""


class BuildInterruptedError(BuildError):
    """The process was asked to end, and the artifact is not there, or what was asked for is not done.

    Attributes:
        exit_code: 128 and the signal's number: 143 for SIGTERM, 130 for Ctrl-C.
    """

    def __init__(self, sentence: str, exit_code: int = 128 + signal.SIGTERM) -> None:
        super().__init__(sentence)
        self.exit_code = int(exit_code)


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


class DivergedError(TrainingError):
    """The loss or the metric is no number any more; the same recipe meets it again.

    Attributes:
        epoch: in which it was seen, from 1.
    """

    def __init__(self, sentence: str, epoch: int) -> None:
        super().__init__(sentence)
        self.epoch = epoch


class OutOfMemoryError(TrainingError):
    """The device has too little memory for what the recipe asks for."""


class TrainingInterruptedError(TrainingError, BuildInterruptedError):
    """The process was asked to end; what was trained is saved where the training has a folder."""
