"""Tensors to byte streams and back, exactly.

Pure: arrays in, bytes out. `dense` writes every element; `split` writes the zero runs before each nonzero element as
gaps and then the nonzero elements alone. Elements of more than one byte are written as byte planes, lowest first, so
that each stream holds symbols of one kind and a Huffman code of its own fits it.
"""

import numpy as np
from numpy.typing import NDArray

from model_artifact.errors import CorruptArtifactError

Array = NDArray[np.generic]
Bytes = NDArray[np.uint8]

_CHUNK = 2**16

ESCAPE = 255
"""The gap byte that stands for 255 zeros and no element."""


def format_planes(elements: Array) -> list[bytes]:
    """The elements as one byte string per byte of their type, lowest first."""
    little = np.ascontiguousarray(elements).astype(elements.dtype.newbyteorder("<"), copy=False)
    rows = little.reshape(-1).view(np.uint8).reshape(-1, elements.dtype.itemsize)
    return [rows[:, plane].tobytes() for plane in range(elements.dtype.itemsize)]


def parse_planes(planes: list[bytes], dtype: str) -> Array:
    """The elements that `format_planes` wrote.

    Raises:
        CorruptArtifactError: when the planes differ in length.
    """
    sizes = {len(plane) for plane in planes}
    if len(planes) != np.dtype(dtype).itemsize or len(sizes) != 1:
        raise CorruptArtifactError(f"{len(planes)} byte planes of lengths {sorted(sizes)} do not make {dtype}")
    rows = np.empty((sizes.pop(), len(planes)), np.uint8)
    for index, plane in enumerate(planes):
        rows[:, index] = np.frombuffer(plane, np.uint8)
    little = np.dtype(dtype).newbyteorder("<")
    return rows.reshape(-1).view(little).astype(dtype, copy=False)


def is_nonzero(elements: Array) -> NDArray[np.bool_]:
    """Where an element has any bit set: minus zero and NaN are kept as they are."""
    bits = np.ascontiguousarray(elements).view(f"u{elements.dtype.itemsize}")
    return np.asarray(bits != 0)


def format_gaps(flat: Array, escape: int = ESCAPE) -> tuple[bytes, Array]:
    """The zero runs before each nonzero element, and the nonzero elements.

    Args:
        flat: elements in storage order, shape (n,).
        escape: the gap byte, 1 to 255, that stands for as many zeros and no element.

    Returns:
        One byte per nonzero element with the zeros since the previous one, after as many escapes as needed; and the
        nonzero elements. Zeros after the last of them are not written.
    """
    gaps, nonzero, previous = [], [flat[:0]], -1
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK]
        positions = np.flatnonzero(is_nonzero(chunk))
        if len(positions):
            runs = np.diff(positions, prepend=previous - start) - 1
            previous = start + int(positions[-1])
            gaps.append(_format_runs(runs, escape))
            nonzero.append(chunk[positions])
    return b"".join(gaps), np.concatenate(nonzero)


def _format_runs(runs: NDArray[np.int64], escape: int) -> bytes:
    if runs.max() < escape:
        return runs.astype(np.uint8).tobytes()
    escapes = runs // escape
    gaps = np.full(len(runs) + int(escapes.sum()), escape, np.uint8)
    gaps[np.cumsum(escapes + 1) - 1] = runs % escape
    return gaps.tobytes()


def parse_gaps(gaps: bytes, values: Array, elements: int, base: int = 1) -> Array:
    """The flat tensor that `format_gaps` wrote, shape (elements,).

    Args:
        gaps: symbols whose quotient by `base` is a gap, and 255 for an escape of 255 // base zeros.
        values: the nonzero elements.
        elements: how many elements there are with the zeros.
        base: 1 where the symbols are the gaps themselves.

    Raises:
        CorruptArtifactError: when gaps, values and the number of elements do not agree.
    """
    count = count_elements(gaps)
    if count != len(values):
        raise CorruptArtifactError(f"{count} gaps for {len(values)} nonzero weights")
    symbols, flat = np.frombuffer(gaps, np.uint8), np.zeros(elements, values.dtype)
    position, taken = -1, 0
    for start in range(0, len(symbols), _CHUNK):
        chunk = symbols[start : start + _CHUNK]
        is_element = chunk != ESCAPE
        steps = (chunk // np.uint8(base)).astype(np.uint16) + is_element
        reached = np.cumsum(steps, dtype=np.int64) + position
        position = int(reached[-1])
        positions = reached if is_element.all() else reached[is_element]
        if len(positions) and positions[-1] >= elements:
            raise CorruptArtifactError(f"the gaps reach weight {positions[-1]} of a tensor of {elements}")
        flat[positions] = values[taken : taken + len(positions)]
        taken += len(positions)
    return flat


def count_elements(gaps: bytes) -> int:
    """How many nonzero elements the gaps lead to."""
    return len(gaps) - gaps.count(ESCAPE)


def entropy_bits(flat: Array) -> float:
    """Order-0 entropy of the elements in bits an element; 0 for an empty tensor.

    Takes the memory of one more copy of the elements, however many different ones there are.
    """
    if not flat.size:
        return 0.0
    ordered = np.sort(np.ascontiguousarray(flat).view(f"u{flat.dtype.itemsize}"))
    total, begun = 0.0, 0
    for start in range(0, flat.size, _CHUNK):
        after = ordered[start + 1 : start + 1 + _CHUNK]
        ends = start + 1 + np.flatnonzero(after != ordered[start : start + len(after)])
        total += _entropy_of_runs(ends, begun, flat.size)
        begun = int(ends[-1]) if len(ends) else begun
    return total + _entropy_of_runs(np.array([flat.size]), begun, flat.size) + 0.0


def _entropy_of_runs(ends: NDArray[np.int64], begun: int, elements: int) -> float:
    """What runs of equal elements add to the entropy: the first begins at `begun`, each other where one ended."""
    shares = np.diff(ends, prepend=begun) / elements
    return float(-(shares * np.log2(shares)).sum())
