"""What a ZIP's directory says, believed only where the file agrees.

An artifact's entries fill its file from the first byte to the directory, each where the one before it ended, and each
local header repeats its directory record. So no two readers can see different contents, no byte is read twice, and
there is no room for anything else: neither comments, ZIP64, encryption, data descriptors nor links.
"""

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_artifact.container import CENTRAL, DEFLATED, END, LOCAL, UTF8, VERSION
from model_artifact.naming import format_name

LARGEST_NAME_BYTES = 2048
_SHARED_FIELDS = ("version", "flags", "method", "time", "date", "checksum", "stored size", "size", "name length")

ReadAt = Callable[[int, int], bytes]
"""(offset, number of bytes) to the bytes there, fewer at the end of the file."""
Prepare = Callable[[Sequence[tuple[int, int]]], None]
"""Told which (offset, number of bytes) are read next, each once."""


class DirectoryError(ValueError):
    """What is wrong, without the file's name."""


@dataclass(frozen=True)
class Entry:
    """One entry of an archive.

    Attributes:
        name: as the archive has it.
        offset: where its Deflated data begins.
        stored_bytes: length of that.
        size_bytes: what it claims to inflate to.
        crc32: of the inflated data, as claimed.
    """

    name: str
    offset: int
    stored_bytes: int
    size_bytes: int
    crc32: int


@dataclass(frozen=True)
class _Record:
    """One record of the directory."""

    name: bytes
    shared: tuple[int, ...]
    extra_bytes: int
    comment_bytes: int
    disk: int
    mode: int
    header_offset: int


def read_directory(read_at: ReadAt, file_bytes: int, prepare: Prepare = lambda _: None) -> list[Entry]:
    """The entries in the order of the file.

    Args:
        read_at: reads the file.
        file_bytes: its length.
        prepare: told where the entries' headers stand before they are read.

    Raises:
        DirectoryError: when the file is no ZIP, or one that an artifact never is.
    """
    start, length, count = _read_end(read_at, file_bytes)
    records = _parse_records(read_at(start, length), count)
    if len({record.name for record in records}) != count:
        raise DirectoryError("two entries have the same name")
    prepare([(record.header_offset, LOCAL.size + len(record.name)) for record in records])
    entries, position = [], 0
    for record in records:
        entries.append(_read_entry(read_at, record, position))
        position = entries[-1].offset + entries[-1].stored_bytes
        if position > start:
            raise DirectoryError(f"entry {format_name(entries[-1].name)} reaches into the directory")
    if position != start:
        raise DirectoryError(f"{start - position} bytes before the directory belong to no entry")
    return entries


def _read_end(read_at: ReadAt, file_bytes: int) -> tuple[int, int, int]:
    """Where the directory begins, its length, and the number of its records."""
    tail = read_at(max(0, file_bytes - END.size), END.size)
    if len(tail) != END.size or tail[:4] != b"PK\5\6":
        raise DirectoryError("it does not end as a ZIP file without comment ends")
    _, disk, first_disk, here, count, length, start, comment = END.unpack(tail)
    if (disk, first_disk, comment) != (0, 0, 0) or here != count:
        raise DirectoryError("it is part of a ZIP file in several parts")
    if start + length + END.size != file_bytes:
        raise DirectoryError("its directory does not stand where it should")
    if length > count * (CENTRAL.size + LARGEST_NAME_BYTES):
        raise DirectoryError(f"its directory is longer than {count} entries need")
    return start, length, count


def _parse_records(directory: bytes, count: int) -> list[_Record]:
    records, position = [], 0
    for number in range(count):
        fixed = directory[position : position + CENTRAL.size]
        if len(fixed) != CENTRAL.size or fixed[:4] != b"PK\1\2":
            raise DirectoryError(f"record {number} of its directory is damaged")
        _, _, *fields = CENTRAL.unpack(fixed)
        shared, (extra, comment, disk, _, attributes, offset) = tuple(fields[:9]), fields[9:]
        position += CENTRAL.size
        name = directory[position : position + shared[-1]]
        records.append(_Record(name, shared, extra, comment, disk, attributes >> 16, offset))
        position += shared[-1]
    if position != len(directory):
        raise DirectoryError("its directory holds more than its records")
    return records


def _read_entry(read_at: ReadAt, record: _Record, position: int) -> Entry:
    """The entry of a record, whose local header must stand at the position and say the same."""
    name = _decode_name(record)
    shown = format_name(name)
    version, flags, method, *_, crc32, stored_bytes, size_bytes, name_bytes = record.shared
    if version > VERSION or flags & ~UTF8 or method != DEFLATED:
        raise DirectoryError(f"entry {shown} is encrypted, or not Deflated as an artifact's entries are")
    if record.extra_bytes or record.comment_bytes or record.disk or stat.S_IFMT(record.mode) not in {0, stat.S_IFREG}:
        raise DirectoryError(f"entry {shown} is a link, a device or a ZIP64 entry, which an artifact never holds")
    if record.header_offset != position:
        raise DirectoryError(f"entry {shown} overlaps another, or leaves a gap after it")
    header = read_at(position, LOCAL.size + name_bytes)
    if len(header) != LOCAL.size + name_bytes or header[:4] != b"PK\3\4":
        raise DirectoryError(f"entry {shown} has no header")
    _, *local, extra_bytes = LOCAL.unpack(header[: LOCAL.size])
    for field, stated, found in zip(_SHARED_FIELDS, record.shared, local, strict=True):
        if stated != found:
            raise DirectoryError(f"entry {shown}: its header and the directory differ in {field}")
    if extra_bytes or header[LOCAL.size :] != record.name:
        raise DirectoryError(f"entry {shown}: its header has another name or more fields than the directory")
    return Entry(name, position + len(header), stored_bytes, size_bytes, crc32)


def _decode_name(record: _Record) -> str:
    try:
        return record.name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DirectoryError(f"the name {record.name!a} is not UTF-8") from error
