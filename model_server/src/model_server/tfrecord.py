"""TFRecord files: each record with its length and two checksums. Reading only."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from model_server.errors import LoadError

# A record is: its length (8 bytes), the checksum of those (4), its bytes, their checksum (4).
_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_CASTAGNOLI = 0x82F63B78
_MASK_DELTA = 0xA282EAD8
_LANES = 1024
LARGEST_RECORD_BYTES = 2**31 - 1

Words = NDArray[np.uint32]


def _make_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_CASTAGNOLI), table >> 1)
    return table


_TABLE = _make_table()


def crc32c(data: bytes) -> int:
    """The Castagnoli checksum.

    The checksum is linear over the bits: many equal parts are run through the table side by side, each from zero, and
    joined by shifting each state over the zeros that stand for the parts behind it. That is far faster than a loop over
    the bytes in this language.
    """
    width = len(data) // _LANES
    state = np.uint32(0xFFFFFFFF)
    if width:
        parts = np.frombuffer(data, dtype=np.uint8, count=width * _LANES).reshape(_LANES, width)
        lanes = np.zeros(_LANES, dtype=np.uint32)
        lanes[0] = state
        for column in np.ascontiguousarray(parts.T):
            lanes = _TABLE[(lanes ^ column) & 0xFF] ^ (lanes >> 8)
        shift = _zeros_operator(width)
        state = lanes[0]
        for lane in lanes[1:]:
            state = _apply(shift, state) ^ lane
    table = _TABLE.tolist()
    number = int(state)
    for byte in data[width * _LANES :]:
        number = table[(number ^ byte) & 0xFF] ^ (number >> 8)
    return number ^ 0xFFFFFFFF


def _zeros_operator(count: int) -> Words:
    """What `count` zero bytes do to each of the 32 bits of a state, by squaring."""
    result = np.uint32(1) << np.arange(32, dtype=np.uint32)
    power = _TABLE[result & 0xFF] ^ (result >> 8)
    while count:
        if count & 1:
            result = np.array([_apply(power, bit) for bit in result], dtype=np.uint32)
        power = np.array([_apply(power, bit) for bit in power], dtype=np.uint32)
        count >>= 1
    return result


def _apply(operator: Words, state: np.uint32) -> np.uint32:
    bits = (state >> np.arange(32, dtype=np.uint32)) & 1
    result: np.uint32 = np.bitwise_xor.reduce(operator[bits.astype(bool)], initial=np.uint32(0))
    return result


def masked(checksum: int) -> int:
    """The checksum as the file holds it: rotated and shifted, so that checksums of checksums do not collide."""
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """Every record in order.

    Raises:
        LoadError: The file cannot be read, is cut short, or a checksum does not match.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while head := file.read(_HEAD.size):
                yield _read_record(file, head, f"record {number} of {path}")
                number += 1
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error}.") from error


def _read_record(file: BinaryIO, head: bytes, where: str) -> bytes:
    remedy = "Please verify your warmup data is in TFRecord format."
    if len(head) < _HEAD.size:
        raise LoadError(f"{where} is cut short. {remedy}")
    length, checksum = _HEAD.unpack(head)
    if checksum != masked(crc32c(_LENGTH.pack(length))) or length > LARGEST_RECORD_BYTES:
        raise LoadError(f"{where} has a corrupted length. {remedy}")
    data, tail = file.read(length), file.read(_TAIL.size)
    if len(data) < length or len(tail) < _TAIL.size:
        raise LoadError(f"{where} is cut short. {remedy}")
    if _TAIL.unpack(tail)[0] != masked(crc32c(data)):
        raise LoadError(f"{where} has a corrupted content. {remedy}")
    return data
