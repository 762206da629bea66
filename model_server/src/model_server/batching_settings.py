"""How requests are joined into batches, from a BatchingParameters file."""

from dataclasses import dataclass
from pathlib import Path

from model_server._protos import batching_parameters_pb2
from model_server.errors import LoadError, StartupError
from model_server.text_config import load_text_config
from model_server.versions import BATCHING_PARAMETERS

# TensorFlow Serving's defaults; a batch that waits for no time at all is whatever waited for a free thread.
MAX_BATCH_SIZE = 1000
MAX_ENQUEUED_BATCHES = 10


@dataclass(frozen=True)
class Batching:
    """A batch has at most `max_size` items; it is run when a thread is free and it is full or has waited enough."""

    threads: int
    max_size: int = MAX_BATCH_SIZE
    wait_seconds: float = 0.0
    max_enqueued: int = MAX_ENQUEUED_BATCHES
    # A batch is filled up to the next of these; none: it is run as it is.
    allowed_sizes: tuple[int, ...] = ()

    def padded_size(self, size: int) -> int:
        """The number of items that a batch of this size is run with."""
        return next((allowed for allowed in self.allowed_sizes if allowed >= size), size)


@dataclass(frozen=True)
class BatchingSettings:
    """Batching for all versions; with `per_model` for those only that bring parameters of their own, and by those."""

    default: Batching
    per_model: bool = False

    def load(self, folder: Path) -> Batching | None:
        """The version's batching, or None for none.

        Raises:
            LoadError: Its own parameters cannot be read.
        """
        if not self.per_model:
            return self.default
        file = folder / BATCHING_PARAMETERS
        if not file.exists():
            return None
        try:
            return load_batching(file, self.default.threads)
        except StartupError as error:
            raise LoadError(str(error)) from error


def load_batching(file: Path | None, processors: int) -> Batching:
    """The parameters of the file; the defaults without one.

    Raises:
        StartupError: The file cannot be read, or asks for what is not possible.
    """
    if file is None:
        return Batching(threads=processors)
    given = load_text_config(file, batching_parameters_pb2.BatchingParameters(), "batching_parameters_file")
    if given.pad_variable_length_inputs:
        raise StartupError(
            f"--batching_parameters_file={file} has pad_variable_length_inputs, which is not possible here: leave it"
            " out; requests of different shapes then go into batches of their own."
        )

    def number(name: str, default: int) -> int:
        value = int(getattr(given, name).value) if given.HasField(name) else default
        if value < 1:
            raise StartupError(f"--batching_parameters_file={file} has {name}={value}: give 1 or more.")
        return value

    batching = Batching(
        number("num_batch_threads", processors),
        number("max_batch_size", MAX_BATCH_SIZE),
        max(0, given.batch_timeout_micros.value) / 1e6,
        number("max_enqueued_batches", MAX_ENQUEUED_BATCHES),
        tuple(given.allowed_batch_sizes),
    )
    _check_allowed(batching, file)
    return batching


def _check_allowed(batching: Batching, file: Path) -> None:
    sizes = batching.allowed_sizes
    if any(first >= second for first, second in zip((0, *sizes), sizes, strict=False)):
        raise StartupError(
            f"--batching_parameters_file={file}: allowed_batch_sizes entries must be monotonically increasing."
        )
    if sizes and sizes[-1] != batching.max_size:
        raise StartupError(
            f"--batching_parameters_file={file}: Last entry in allowed_batch_sizes must match max_batch_size; last"
            f" entry was {sizes[-1]}; expected {batching.max_size}"
        )
