"""Where an archive's bytes come from: a file, or an object that is read by ranges."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from model_artifact.errors import StoreAccessError
from model_artifact.location import Location

if TYPE_CHECKING:
    from model_artifact.object_store import Bucket

CHUNK_BYTES = 2**18


class Source(Protocol):
    """Bytes that can be read anywhere; they do not change while they are read."""

    size_bytes: int

    def read_at(self, offset: int, count: int) -> bytes:
        """The bytes there, fewer at the end."""

    def prepare(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Be ready to be asked for these (offset, number of bytes), each once."""

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Be told which (offset, number of bytes) are streamed next, about in this order: they may be fetched ahead."""

    def stream(self, offset: int, count: int) -> Iterator[bytes]:
        """The bytes there in pieces of at most CHUNK_BYTES, fewer at the end."""

    def close(self) -> None:
        """Let go of whatever is held."""


class FileSource:
    """A file of this machine."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: when it cannot be opened.
        """
        self._file = path.open("rb")
        self.size_bytes = os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        """The bytes there, fewer at the end."""
        return os.pread(self._file.fileno(), count, offset)

    def prepare(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Nothing: reading here and there is cheap."""

    def expect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Nothing: the kernel reads ahead."""

    def stream(self, offset: int, count: int) -> Iterator[bytes]:
        """The bytes there in pieces of at most CHUNK_BYTES, fewer at the end."""
        end = offset + count
        while data := self.read_at(offset, min(CHUNK_BYTES, end - offset)):
            yield data
            offset += len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_source(location: Location) -> Source:
    """The bytes at the location.

    Raises:
        OSError: when a file cannot be opened.
        StoreAccessError: when an object cannot be read, or obstore is not installed.
    """
    if isinstance(location, Path):
        return FileSource(location)
    return open_bucket(location.bucket).open(location.key)


def open_bucket(name: str) -> "Bucket":
    """The bucket, with the endpoint and the credentials of the environment; nothing is asked of it yet.

    Raises:
        StoreAccessError: when obstore is not installed, or the environment has no endpoint or credentials to use.
    """
    try:
        from model_artifact.object_store import Bucket
    except ModuleNotFoundError as error:
        raise StoreAccessError(f"s3://{name}: obstore is not installed; install modelpress-artifact[s3]") from error
    return Bucket(name, os.environ)
