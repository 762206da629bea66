"""The archive: a standard ZIP whose entries are Deflated by strategies that `zipfile` cannot ask for.

Writing is ours, since zipfile neither sets Z_HUFFMAN_ONLY nor takes deflated data; reading is zipfile's, so that what
we write is what every unzip reads.
"""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from model_artifact.errors import CorruptArtifactError, UnpackableError

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_VERSION = 20
_UTF8 = 1 << 11
_DEFLATED = 8
_DATE_1980_01_01 = (1 << 5) | 1
_REGULAR_FILE_0644 = 0o100644 << 16
_LARGEST = 2**32 - 1
_MOST_ENTRIES = 2**16 - 1


@dataclass(frozen=True)
class Deflated:
    """Data as raw Deflate, with what a ZIP must say of it."""

    payload: bytes
    size_bytes: int
    crc32: int


def deflate(data: bytes, strategy: int) -> Deflated:
    """Raw Deflate of the data at level 9 with a zlib strategy (Z_DEFAULT_STRATEGY or Z_HUFFMAN_ONLY)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
    payload = compressor.compress(data) + compressor.flush()
    return Deflated(payload, len(data), zlib.crc32(data))


class ArchiveWriter:
    """Writes a ZIP entry by entry, in order, with nothing in it that depends on clock or machine."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._offset = 0
        self._central: list[bytes] = []

    def write(self, name: str, data: Deflated) -> None:
        """Append one entry.

        Raises:
            UnpackableError: when the archive would outgrow the plain ZIP format (4 GiB, 65,535 entries).
        """
        if max(self._offset, data.size_bytes) > _LARGEST or len(self._central) >= _MOST_ENTRIES:
            raise UnpackableError(f"{name}: the archive would pass 4 GiB or 65,535 entries; pack a smaller model")
        encoded = name.encode()
        shared = (_VERSION, _UTF8, _DEFLATED, 0, _DATE_1980_01_01, data.crc32, len(data.payload), data.size_bytes)
        header = _LOCAL.pack(0x04034B50, *shared, len(encoded), 0) + encoded
        self._central.append(
            _CENTRAL.pack(
                0x02014B50, (3 << 8) | _VERSION, *shared, len(encoded), 0, 0, 0, 0, _REGULAR_FILE_0644, self._offset
            )
            + encoded
        )
        self._out.write(header)
        self._out.write(data.payload)
        self._offset += len(header) + len(data.payload)

    def close(self) -> None:
        """Write the central directory; the archive is complete only after this."""
        directory = b"".join(self._central)
        count = len(self._central)
        self._out.write(directory)
        self._out.write(_END.pack(0x06054B50, 0, 0, count, count, len(directory), self._offset, 0))


class ArchiveReader:
    """Reads entries of known size and nothing more."""

    def __init__(self, path: str) -> None:
        """Open the archive.

        Raises:
            CorruptArtifactError: when it is no ZIP or its directory is damaged.
        """
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError) as error:
            raise CorruptArtifactError(f"{path}: not a whole artifact ({error}); fetch or pack it again") from error
        names = self._zip.namelist()
        if len(set(names)) != len(names):
            self._zip.close()
            raise CorruptArtifactError(f"{path}: two entries have the same name; fetch or pack it again")

    def __enter__(self) -> Self:
        """The reader itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        self._zip.close()

    def stored_bytes(self) -> dict[str, int]:
        """Deflated size of each entry."""
        return {entry.filename: entry.compress_size for entry in self._zip.infolist()}

    def read(self, name: str, largest_bytes: int) -> bytes:
        """The entry's data, at most `largest_bytes`.

        Raises:
            CorruptArtifactError: when the entry is missing, damaged, or longer than that.
        """
        try:
            with self._zip.open(name) as stream:
                data = stream.read(largest_bytes + 1)
                if len(data) <= largest_bytes and stream.read(1):
                    raise CorruptArtifactError(f"entry {name}: more than the {largest_bytes} bytes that are declared")
        except KeyError:
            raise CorruptArtifactError(f"entry {name}: missing from the archive") from None
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            raise CorruptArtifactError(f"entry {name}: damaged ({error}); fetch or pack it again") from error
        if len(data) > largest_bytes:
            raise CorruptArtifactError(f"entry {name}: more than the {largest_bytes} bytes that are declared")
        return data
