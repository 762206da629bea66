"""Tensors to byte streams and back, exactly, in memory for the tensor and little more.

Pure: arrays in, bytes out. `dense` writes every element; `split` writes the zero runs before each nonzero element as
gaps and then the nonzero elements alone. Elements of more than one byte are written as byte planes, lowest first, so
that each stream holds symbols of one kind and a Huffman code of its own fits it.
"""

import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_artifact.errors import CorruptArtifactError

Array = NDArray[np.generic]
Bytes = NDArray[np.uint8]

_CHUNK = 2**16

ESCAPE = 255
"""The gap byte that stands for 255 zeros and no element."""

_COUNTED_BYTES = 2
"""Elements up to this width have few enough values to count each."""

_STEPS = bytes([*range(1, 256), ESCAPE])
"""How many elements each gap byte goes on: its zeros and the element after them; an escape has none."""


def format_planes(pieces: Sequence[Array]) -> Iterator[bytes]:
    """The elements of all pieces as one byte string per byte of their type, lowest first, made one at a time."""
    for plane in range(pieces[0].dtype.itemsize):
        whole = io.BytesIO()
        for piece in pieces:
            whole.write(_format_plane(piece, plane))
        yield whole.getvalue()


def _format_plane(elements: Array, plane: int) -> bytes:
    little = np.ascontiguousarray(elements).astype(elements.dtype.newbyteorder("<"), copy=False)
    return little.reshape(-1).view(np.uint8).reshape(-1, elements.dtype.itemsize)[:, plane].tobytes()


Pieces = Iterable[bytes]
"""A stream, some of it at a time."""


def parse_planes(planes: Iterable[Pieces], dtype: str, elements: int | None = None) -> Array:
    """The elements that `format_planes` wrote.

    Args:
        planes: of each byte of their type.
        dtype: of the elements.
        elements: how many there are, where that is known, which spares holding a plane beside them.

    Raises:
        CorruptArtifactError: when the planes differ in length, or are not as many as the type has bytes.
    """
    width, lengths, each = np.dtype(dtype).itemsize, list[int](), iter(planes)
    if elements is None:
        held = [(b"".join(plane),) for plane in itertools.islice(each, 1)]
        each, elements = itertools.chain(held, each), sum(len(whole) for (whole,) in held)
    rows = np.empty((elements, width), np.uint8)
    for index, plane in enumerate(each):
        lengths.append(_fill(rows[:, index], plane) if index < width else 0)
    if lengths != [elements] * width:
        raise CorruptArtifactError(
            f"{len(lengths)} byte planes of lengths {sorted(set(lengths))} do not make {elements} weights of {dtype}"
        )
    return rows.reshape(-1).view(np.dtype(dtype).newbyteorder("<")).astype(dtype, copy=False)


def _fill(row: Bytes, pieces: Pieces) -> int:
    """Put the pieces there in a row, as far as there is room; returns how many bytes they are."""
    filled = 0
    for piece in pieces:
        data = np.frombuffer(piece, np.uint8)
        row[filled : filled + len(data)] = data[: max(0, len(row) - filled)]
        filled += len(data)
    return filled


def is_nonzero(elements: Array) -> NDArray[np.bool_]:
    """Where an element has any bit set: minus zero and NaN are kept as they are."""
    bits = np.ascontiguousarray(elements).view(f"u{elements.dtype.itemsize}")
    return np.asarray(bits != 0)


class Sparse(NamedTuple):
    """The nonzero elements of a tensor, in pieces, and the zeros between them."""

    runs: list[NDArray[np.unsignedinteger]]
    """Zeros since the previous nonzero element or the start, one for each, in the narrowest type that a piece needs."""
    values: list[Array]

    def joined_values(self) -> Array:
        """All nonzero elements, shape (n,)."""
        return np.concatenate(self.values)


def find_nonzero(flat: Array) -> Sparse:
    """Where the nonzero elements of a flat tensor stand; zeros after the last of them are in no run."""
    runs: list[NDArray[np.unsignedinteger]] = [np.zeros(0, np.uint8)]
    values, previous = [flat[:0]], -1
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        positions = is_nonzero(chunk).nonzero()[0]
        if len(positions):
            values.append(chunk.take(positions))
            runs.append(_narrow_runs(positions, int(positions[0]) + start - previous - 1))
            previous = start + int(positions[-1])
    return Sparse(runs, values)


def _narrow_runs(positions: NDArray[np.int64], first: int) -> NDArray[np.unsignedinteger]:
    """Zeros before each of the positions in a chunk, of which the first has so many."""
    places = positions.astype(np.uint16)
    runs = np.zeros(len(places), np.uint16)
    np.subtract(places[1:], places[:-1] + np.uint16(1), out=runs[1:])
    largest = max(first, int(runs.max()))
    found = runs.astype(np.min_scalar_type(largest)) if largest < 256 or largest >= _CHUNK else runs
    found[0] = first
    return found


def format_gaps(sparse: Sparse) -> bytes:
    """One byte per nonzero element with the zeros before it, after as many escapes of 255 zeros as needed."""
    pieces = []
    for runs in sparse.runs:
        escapes = runs // runs.dtype.type(ESCAPE)
        pieces.append(insert_escapes((runs - escapes * runs.dtype.type(ESCAPE)).astype(np.uint8), escapes))
    return b"".join(pieces)


def insert_escapes(symbols: Bytes, escapes: NDArray[np.unsignedinteger]) -> bytes:
    """The symbols, each after as many escape bytes as stated for it."""
    places = (escapes != 0).nonzero()[0]
    if not len(places):
        return symbols.tobytes()
    counts = escapes[places].astype(np.int64)
    inserted = np.repeat(places, counts) + np.arange(counts.sum())
    is_symbol = np.ones(len(symbols) + len(inserted), np.bool_)
    is_symbol[inserted] = False
    found = np.full(len(is_symbol), ESCAPE, np.uint8)
    found[is_symbol] = symbols
    return found.tobytes()


def parse_gaps(gaps: Pieces, values: Array, elements: int) -> Array:
    """The flat tensor that `format_gaps` wrote, shape (elements,).

    Args:
        gaps: zeros before each nonzero element, with escapes.
        values: the nonzero elements.
        elements: how many elements there are with the zeros.

    Raises:
        CorruptArtifactError: when gaps, values and the number of elements do not agree.
    """
    flat, position, count = np.zeros(elements, values.dtype), -1, 0
    for chunk in cut_pieces(gaps):
        reached = reach_positions(chunk.translate(_STEPS), position, elements)
        position = int(reached[-1])
        if ESCAPE in chunk:
            reached = reached[np.frombuffer(chunk, np.uint8) != ESCAPE]
        taken = values[count : count + len(reached)]
        flat[reached[: len(taken)]] = taken
        count += len(reached)
    if count != len(values):
        raise CorruptArtifactError(f"{count} gaps for {len(values)} nonzero weights")
    return flat


def cut_pieces(pieces: Pieces) -> Iterator[bytes]:
    """The same bytes in pieces that stay in the cache."""
    return (piece[start : start + _CHUNK] for piece in pieces for start in range(0, len(piece), _CHUNK))


def reach_positions(steps: bytes, position: int, elements: int) -> NDArray[np.int64]:
    """Where each step leads, from a position in a tensor of so many elements.

    Raises:
        CorruptArtifactError: when the last of them is outside the tensor.
    """
    reached = np.cumsum(np.frombuffer(steps, np.uint8), dtype=np.int64)
    reached += position
    if reached[-1] >= elements:
        raise CorruptArtifactError(f"the gaps reach weight {reached[-1]} of a tensor of {elements}")
    return reached


def count_elements(gaps: bytes) -> int:
    """How many nonzero elements the gaps lead to."""
    return len(gaps) - gaps.count(ESCAPE)


def entropy_bits(flat: Array) -> float:
    """Order-0 entropy of the elements in bits an element; 0 for an empty tensor.

    Codes of one or two bytes are counted, which takes no memory beside them. Wider elements are sorted, which takes one
    more copy of them, however many different ones there are.
    """
    if not flat.size:
        return 0.0
    unsigned = np.ascontiguousarray(flat).view(f"u{flat.dtype.itemsize}")
    if unsigned.itemsize <= _COUNTED_BYTES:
        counts = _count_codes(unsigned)
        return _entropy_of(counts[counts > 0] / flat.size) + 0.0
    ordered = np.sort(unsigned)
    total, begun = 0.0, 0
    for start in range(0, flat.size, _CHUNK):
        after = ordered[start + 1 : start + 1 + _CHUNK]
        ends = start + 1 + np.flatnonzero(after != ordered[start : start + len(after)])
        total += _entropy_of(np.diff(ends, prepend=begun) / flat.size)
        begun = int(ends[-1]) if len(ends) else begun
    return total + _entropy_of(np.array([(flat.size - begun) / flat.size])) + 0.0


def _count_codes(codes: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """How often each code of that width stands there, shape (2^bits,)."""
    kinds = 1 << 8 * codes.itemsize
    counts = np.zeros(kinds, np.int64)
    for start in range(0, codes.size, _CHUNK):
        counts += np.bincount(codes[start : start + _CHUNK], minlength=kinds)
    return counts


def _entropy_of(shares: NDArray[np.float64]) -> float:
    """What values with these shares of all elements add to the entropy."""
    return float(-(shares * np.log2(shares)).sum())
