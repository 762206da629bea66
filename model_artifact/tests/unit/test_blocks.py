import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_artifact.blocks import UNIT_SYMBOLS, deflate_huffman, plan_blocks
from model_artifact.container import deflate


def draw_symbols(seed, count, spread):
    return np.random.default_rng(seed).normal(128, spread, count).clip(0, 255).astype(np.uint8).tobytes()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 70_000), st.sampled_from([0, 1, 30])), max_size=4))
def test_any_data_comes_back(parts):
    data = b"".join(draw_symbols(*part) for part in parts)
    deflated = deflate_huffman(data)
    assert zlib.decompress(deflated.payload, -15) == data
    assert (deflated.size_bytes, deflated.crc32) == (len(data), zlib.crc32(data))
    ends = plan_blocks(data)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(data)


@pytest.mark.parametrize(
    "count", [0, 1, UNIT_SYMBOLS, 16 * UNIT_SYMBOLS, 16 * UNIT_SYMBOLS + 1, 4 * 16 * UNIT_SYMBOLS + 5]
)
def test_lengths_around_the_limits_come_back(count):
    data = draw_symbols(1, count, 3)
    assert zlib.decompress(deflate_huffman(data).payload, -15) == data


def test_even_data_make_whole_blocks():
    whole = 16 * UNIT_SYMBOLS
    assert plan_blocks(draw_symbols(2, 3 * whole, 20)) == [whole, 2 * whole, 3 * whole]


def test_a_block_ends_where_the_statistics_change():
    data = draw_symbols(3, 6 * UNIT_SYMBOLS, 1) + draw_symbols(4, 10 * UNIT_SYMBOLS, 40)
    assert 6 * UNIT_SYMBOLS in plan_blocks(data)
    assert len(deflate_huffman(data).payload) < 0.99 * len(deflate(data, zlib.Z_HUFFMAN_ONLY).payload)


def test_even_data_take_no_more_than_zlib_takes():
    data = draw_symbols(5, 400_000, 20)
    assert len(deflate_huffman(data).payload) <= 1.0005 * len(deflate(data, zlib.Z_HUFFMAN_ONLY).payload)
