"""Byte streams as Deflate blocks whose Huffman codes fit what they hold.

Pure: bytes in, bytes out. Only Huffman codes are used, no matches; where a block ends is planned from the counts of its
symbols, so that a code follows a stream whose statistics drift and is not repeated in one whose statistics do not.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from model_artifact.container import Deflated

UNIT_SYMBOLS = 2047
"""A block ends only at a multiple of this many symbols."""

_LEVELS = 4
"""Up to 2**4 units make a block: 32,752 symbols, just under the 32,767 after which zlib ends one by itself."""

_HEADER_BITS = 80
_HEADER_BITS_PER_SYMBOL = 4
"""What a dynamic Huffman code costs to write down, about; only the plan depends on it."""

_TREES_AT_ONCE = 16
_COUNTED_EVERY = 3
"""Every third symbol is counted, and stands for three: the plan is hardly another, and takes less time."""

_UNIT_KEYS = np.repeat(np.arange(_TREES_AT_ONCE * 2**_LEVELS) * 256, UNIT_SYMBOLS)[::_COUNTED_EVERY].copy()
_COUNTS = np.arange((UNIT_SYMBOLS + _COUNTED_EVERY) * 2**_LEVELS + 1)
_TOTAL_BITS = (_COUNTS * np.log2(np.maximum(_COUNTS, 1)) + _HEADER_BITS * (_COUNTS > 0)).astype(np.float32)
"""n log2 n for every number n of symbols that a block can be taken for, and what its code costs with no symbols."""

_SYMBOL_BITS = (_HEADER_BITS_PER_SYMBOL * (_COUNTS > 0) - _COUNTS * np.log2(np.maximum(_COUNTS, 1))).astype(np.float32)
"""What a symbol that occurs n times adds to that."""


def plan_blocks(data: bytes) -> list[int]:
    """Where blocks end so that they are small together, ascending, the last being the length of the data.

    Units are merged pairwise, up to 16 of them, wherever one code costs less than two.
    """
    symbols = np.frombuffer(data, np.uint8)
    tree = UNIT_SYMBOLS * 2**_LEVELS
    ends: list[int] = []
    for start in range(0, len(symbols), tree * _TREES_AT_ONCE):
        part = symbols[start : start + tree * _TREES_AT_ONCE]
        ends.extend(int(start + end) for end in _plan_part(part))
    return ends or [0]


def _plan_part(symbols: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Ends of the blocks of whole trees; the last end is the length of the part."""
    units = -(-len(symbols) // UNIT_SYMBOLS)
    padded = -(-units // 2**_LEVELS) * 2**_LEVELS
    counts = _count_units(symbols, padded)
    bits = _block_bits(counts)
    is_end = np.ones(padded, np.bool_)
    for level in range(1, _LEVELS + 1):
        counts = counts[0::2] + counts[1::2]
        apart, together = bits[0::2] + bits[1::2], _block_bits(counts)
        merged = np.flatnonzero(together <= apart)
        nodes = is_end.reshape(-1, 2**level)
        nodes[merged, :-1] = False
        bits = np.minimum(apart, together)
    ends = (np.flatnonzero(is_end) + 1) * UNIT_SYMBOLS
    inner = ends[ends < len(symbols)]
    return np.append(inner, len(symbols))


def _count_units(symbols: NDArray[np.uint8], units: int) -> NDArray[np.int64]:
    """About how often each symbol stands in each unit, shape (units, symbols that occur)."""
    counted = symbols[::_COUNTED_EVERY]
    counts = np.bincount(counted + _UNIT_KEYS[: len(counted)], minlength=units * 256).reshape(units, 256)
    return counts[:, counts.any(axis=0)] * _COUNTED_EVERY


def _block_bits(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """About the bits that one block takes for these counts, shape (blocks,); 0 for an empty one."""
    return np.asarray(_TOTAL_BITS.take(counts.sum(axis=1)) + _SYMBOL_BITS.take(counts).sum(axis=1))


def deflate_huffman(data: bytes) -> Deflated:
    """Raw Deflate of the data by Huffman codes alone, in the blocks that `plan_blocks` finds."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    view, pieces, begin = memoryview(data), [], 0
    for end in plan_blocks(data):
        pieces.append(compressor.compress(view[begin:end]))
        if end < len(data):
            pieces.append(compressor.flush(zlib.Z_BLOCK))
        begin = end
    pieces.append(compressor.flush())
    return Deflated(b"".join(pieces), len(data), zlib.crc32(data))
