"""The archive: a standard ZIP whose entries are Deflated by strategies that `zipfile` cannot ask for.

Writing is ours, since zipfile neither sets Z_HUFFMAN_ONLY nor takes deflated data; `archive_reader` reads it back.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import IO

from model_artifact.errors import UnpackableError

LOCAL = struct.Struct("<IHHHHHIIIHH")
CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
END = struct.Struct("<IHHHHIIH")
VERSION = 20
UTF8 = 1 << 11
DEFLATED = 8
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
        shared = (VERSION, UTF8, DEFLATED, 0, _DATE_1980_01_01, data.crc32, len(data.payload), data.size_bytes)
        header = LOCAL.pack(0x04034B50, *shared, len(encoded), 0) + encoded
        self._central.append(
            CENTRAL.pack(
                0x02014B50, (3 << 8) | VERSION, *shared, len(encoded), 0, 0, 0, 0, _REGULAR_FILE_0644, self._offset
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
        self._out.write(END.pack(0x06054B50, 0, 0, count, count, len(directory), self._offset, 0))
