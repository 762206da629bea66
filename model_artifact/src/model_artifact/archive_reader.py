"""Reads an archive that may be hostile: bounded in memory, exact in length, every byte checked.

Reading is ours, not zipfile's, because zipfile follows the directory wherever it points and takes entries that overlap,
that are encrypted, or whose header says something else; see `archive_directory`.
"""

import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from model_artifact.archive_directory import DirectoryError, Entry, read_directory
from model_artifact.errors import CorruptArtifactError
from model_artifact.location import Location
from model_artifact.naming import format_name
from model_artifact.sources import open_source

_CHUNK_BYTES = 2**20


class ArchiveReader:
    """Reads entries of known size and nothing more."""

    def __init__(self, location: Location | str) -> None:
        """Open the archive; of one in a bucket only its directory and the headers of its entries are read.

        Args:
            location: a path, or a place in a bucket.

        Raises:
            CorruptArtifactError: when it is no ZIP, or one that an artifact never is.
            OSError: when the file cannot be opened.
            StoreAccessError: when the object cannot be read.
        """
        self._source = open_source(Path(location) if isinstance(location, str) else location)
        try:
            self.size_bytes = self._source.size_bytes
            entries = read_directory(self._source.read_at, self.size_bytes, self._source.prepare)
        except DirectoryError as error:
            self._source.close()
            raise CorruptArtifactError(f"{location}: not a whole artifact ({error}); fetch or pack it again") from error
        except BaseException:
            self._source.close()
            raise
        self.entries: dict[str, Entry] = {entry.name: entry for entry in entries}
        """By name, in the order of the file."""

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let go of the file."""
        self._source.close()

    def stored_bytes(self) -> dict[str, int]:
        """Deflated size of each entry."""
        return {entry.name: entry.stored_bytes for entry in self.entries.values()}

    def find(self, name: str, largest_bytes: int) -> Entry:
        """The entry, which claims at most that many bytes.

        Raises:
            CorruptArtifactError: when it is missing or claims more.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise CorruptArtifactError(f"entry {format_name(name)}: missing from the archive")
        if entry.size_bytes > largest_bytes:
            raise _too_long(name, largest_bytes)
        return entry

    def read(self, name: str, largest_bytes: int) -> bytes:
        """The entry's data, at most `largest_bytes`.

        Raises:
            CorruptArtifactError: when the entry is missing, damaged, or longer than that.
        """
        whole = io.BytesIO()
        for piece in self.pieces(name, largest_bytes):
            whole.write(piece)
        return whole.getvalue()

    def pieces(self, name: str, largest_bytes: int) -> Iterator[bytes]:
        """The entry's data in pieces of at most 1 MiB; the last is given only when all of it was found to be right.

        Raises:
            CorruptArtifactError: as `read` does.
        """
        entry = self.find(name, largest_bytes)
        held, size, crc32 = b"", 0, 0
        for piece in self._inflate(entry):
            size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
            if size > entry.size_bytes:
                raise _too_long(name, entry.size_bytes)
            if held:
                yield held
            held = piece
        if size != entry.size_bytes:
            raise _damaged(entry, f"it holds {size} bytes where its header declares {entry.size_bytes}")
        if crc32 != entry.crc32:
            raise _damaged(entry, "its checksum differs")
        if held:
            yield held

    def expect(self, units: Iterable[Sequence[str]]) -> None:
        """Be told which entries are read next, unit by unit, so that a distant archive's are fetched ahead.

        Args:
            units: names of entries; those of one stand beside each other and are read in any order.
        """
        ranges = []
        for unit in units:
            places = [self.entries[name] for name in unit if name in self.entries]
            if places:
                start = min(entry.offset for entry in places)
                ranges.append((start, max(entry.offset + entry.stored_bytes for entry in places) - start))
        self._source.expect(ranges)

    def _inflate(self, entry: Entry) -> Iterator[bytes]:
        """What the Deflated data gives, which must end exactly where the entry ends."""
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        stored = self._source.stream(entry.offset, entry.stored_bytes)
        taken, data = 0, b""
        while not inflater.eof:
            if not data:
                data = next(stored, b"")
                taken += len(data)
            try:
                piece = inflater.decompress(data, _CHUNK_BYTES)
            except zlib.error as error:
                raise _damaged(entry, str(error)) from error
            if not data and not piece:
                raise _damaged(entry, "it ends before its data does")
            data = inflater.unconsumed_tail
            if piece:
                yield piece
        if inflater.unused_data or data or taken != entry.stored_bytes:
            raise _damaged(entry, "more data stands behind its end")


def _too_long(name: str, largest_bytes: int) -> CorruptArtifactError:
    return CorruptArtifactError(f"entry {format_name(name)}: more than the {largest_bytes} bytes that are declared")


def _damaged(entry: Entry, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(f"entry {format_name(entry.name)}: damaged ({problem}); fetch or pack it again")
