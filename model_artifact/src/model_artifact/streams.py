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
"""A gap byte that stands for 255 zeros and no element."""


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


def format_gaps(flat: Array) -> tuple[bytes, Array]:
    """The zero runs before each nonzero element, and the nonzero elements.

    Args:
        flat: elements in storage order, shape (n,).

    Returns:
        One byte per nonzero element with the zeros since the previous one, after as many escapes as needed (255
        stands for 255 zeros); and the nonzero elements. Zeros after the last of them are not written.
    """
    positions = np.flatnonzero(is_nonzero(flat))
    runs = np.diff(positions, prepend=-1) - 1
    escapes = runs // ESCAPE
    gaps = np.full(len(positions) + int(escapes.sum()), ESCAPE, np.uint8)
    gaps[np.cumsum(escapes + 1) - 1] = runs % ESCAPE
    return gaps.tobytes(), flat[positions]


def parse_gaps(gaps: bytes, values: Array, elements: int) -> Array:
    """The flat tensor that `format_gaps` wrote, shape (elements,).

    Raises:
        CorruptArtifactError: when gaps, values and the number of elements do not agree.
    """
    symbols = np.frombuffer(gaps, np.uint8)
    is_element = symbols != ESCAPE
    if np.count_nonzero(is_element) != len(values):
        raise CorruptArtifactError(f"{np.count_nonzero(is_element)} gaps for {len(values)} nonzero weights")
    positions = (np.cumsum(symbols.astype(np.int64) + is_element) - 1)[is_element]
    if len(positions) and positions[-1] >= elements:
        raise CorruptArtifactError(f"the gaps reach weight {positions[-1]} of a tensor of {elements}")
    flat = np.zeros(elements, values.dtype)
    flat[positions] = values
    return flat


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
