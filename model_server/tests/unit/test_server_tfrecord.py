import struct

import numpy as np
import pytest

from model_server.errors import LoadError
from model_server.tfrecord import crc32c, masked, read_records


def slow_crc32c(data):
    """Bit by bit, as the definition has it."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def render(*records):
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, struct.pack("<I", masked(crc32c(length))), record, struct.pack("<I", masked(crc32c(record)))]
    return b"".join(parts)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "records"


def test_checksum_has_its_published_check_value():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"\0" * 32) == 0x8A9136AA


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 5000])
def test_checksum_of_many_lanes_is_that_of_one(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == slow_crc32c(data)


def test_file_written_by_tensorflow_is_read(models):
    records = list(read_records(models / "examples/assets.extra/tf_serving_warmup_requests"))
    assert [len(record) for record in records] == [33, 43, 42, 121]


def test_records_come_in_order(path):
    path.write_bytes(render(b"one", b"", b"two" * 1000))
    assert list(read_records(path)) == [b"one", b"", b"two" * 1000]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:5], "record 0 of .* is cut short"),
        (lambda data: data[:-1], "record 1 of .* is cut short"),
        (lambda data: b"\1" + data[1:], "record 0 of .* has a corrupted length"),
        (lambda data: data[:-5] + b"x" + data[-4:], "record 1 of .* has a corrupted content"),
    ],
)
def test_damage_is_found(path, damage, message):
    path.write_bytes(damage(render(b"one", b"two")))
    with pytest.raises(LoadError, match=message):
        list(read_records(path))
