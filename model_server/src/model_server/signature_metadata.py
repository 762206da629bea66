"""The signatures that a .tflite carries in its metadata for TensorFlow Serving, which reads no others from it."""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flatbuffers import flexbuffers  # type: ignore[import-untyped]
from flatbuffers.number_types import Uint32Flags, UOffsetTFlags  # type: ignore[import-untyped]
from flatbuffers.table import Table  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError

from model_server._protos.tensorflow.core.protobuf import meta_graph_pb2
from model_server.errors import LoadError

# What the library raises for offsets and types that lead nowhere.
_BROKEN = (ValueError, LookupError, AttributeError, TypeError, OverflowError, AssertionError)
METADATA_NAME = b"signature_defs_metadata"
# Where the fields stand in their tables' lists of offsets: four bytes of header, and two for each field before.
_MODEL_BUFFERS, _MODEL_METADATA = 4 + 2 * 4, 4 + 2 * 6
_METADATA_NAME, _METADATA_BUFFER = 4, 6
_BUFFER_DATA = 4


def read_metadata_definitions(model_file: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """The definitions by key; empty where the file has no such metadata.

    Raises:
        LoadError: The file is cut short, or what it holds under the name is no map of signatures.
    """
    try:
        with model_file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            data = _find_metadata(content)
        if data is None:
            return {}
        signatures = flexbuffers.GetRoot(bytearray(data)).AsMap
        # The strings are serialised messages, which are seldom UTF-8.
        return {
            key.AsKey: meta_graph_pb2.SignatureDef.FromString(bytes(value.AsStringBytes))
            for key, value in zip(signatures.Keys, signatures.Values, strict=True)
        }
    except (OSError, struct.error, DecodeError, *_BROKEN) as error:
        raise LoadError(f"{model_file} has signatures in its metadata that cannot be read: {error}.") from error


def _find_metadata(content: Any) -> bytes | None:
    model = Table(content, _read_offset(content, 0))
    for entry in _tables(model, _MODEL_METADATA):
        offset = entry.Offset(_METADATA_NAME)
        if offset and entry.String(entry.Pos + offset) == METADATA_NAME:
            place = entry.Offset(_METADATA_BUFFER)
            number = entry.Get(Uint32Flags, entry.Pos + place) if place else 0
            buffers = list(_tables(model, _MODEL_BUFFERS))
            return _read_bytes(buffers[number])
    return None


def _read_offset(content: Any, position: int) -> int:
    return int(Table(content, 0).Get(UOffsetTFlags, position))


def _tables(table: Table, field: int) -> Iterator[Table]:
    """The tables of the vector in this field."""
    offset = table.Offset(field)
    if offset:
        start = table.Vector(offset)
        for number in range(table.VectorLen(offset)):
            yield Table(table.Bytes, table.Indirect(start + 4 * number))


def _read_bytes(buffer: Table) -> bytes:
    offset = buffer.Offset(_BUFFER_DATA)
    if not offset:
        return b""
    start = buffer.Vector(offset)
    return bytes(buffer.Bytes[start : start + buffer.VectorLen(offset)])
