"""Elements of few different values as several to the byte, or together with the zeros before them.

Pure: int8 arrays in, bytes out. Huffman codes spend whole bits on a symbol, which is much where a symbol is worth two
or three of them; symbols that stand for several elements at once bring the loss down to what one of them costs.
An *alphabet* lists the values that occur, and an element is written as its index there.
"""

import numpy as np

from model_artifact.errors import CorruptArtifactError
from model_artifact.streams import ESCAPE, Array, Bytes, Pieces, Sparse, cut_pieces, insert_escapes, reach_positions

Alphabet = tuple[int, ...]

LARGEST_DIGITS = 16
"""With more values than these, a byte has no room for two."""

_WORDS = (1, 2, 4, 8)
_CHUNK = 2**16

LARGEST_JOINT = 64
"""With more nonzero values than these, a byte has room for no gap worth having."""

JOINT_ESCAPE = ESCAPE
"""The joint symbol that stands for the longest gap and no element."""


def digits_per_byte(alphabet: Alphabet) -> int:
    """How many elements share a byte: the most k up to 8 for which (number of values)^k is at most 256."""
    return max(k for k in range(1, 9) if len(alphabet) ** k <= 256)


def format_digits(flat: Array, alphabet: Alphabet) -> bytes:
    """The elements, `digits_per_byte` to the byte, as a number in base (number of values), the first the highest digit.

    The last byte is filled up with index 0.
    """
    count, base = digits_per_byte(alphabet), len(alphabet)
    whole = flat.size // count * count
    packed = _weigh_digits(_indices(flat[:whole], alphabet).reshape(-1, count), base)
    rest = np.zeros((1, count), np.uint8)
    rest[0, : flat.size - whole] = _indices(flat[whole:], alphabet)
    return packed.tobytes() + (_weigh_digits(rest, base).tobytes() if whole < flat.size else b"")


def _weigh_digits(digits: Bytes, base: int) -> Bytes:
    packed = digits[:, 0].copy()
    for place in range(1, digits.shape[1]):
        packed *= np.uint8(base % 256)
        packed += digits[:, place]
    return packed


def parse_digits(data: bytes, alphabet: Alphabet, elements: int) -> Array:
    """The elements that `format_digits` wrote, shape (elements,).

    Raises:
        CorruptArtifactError: when the bytes are too many or too few, or stand for no elements.
    """
    count, base = digits_per_byte(alphabet), len(alphabet)
    packed = np.frombuffer(data, np.uint8)
    if len(packed) != -(-elements // count):
        raise CorruptArtifactError(f"{len(packed)} bytes for {elements} weights, {count} to the byte")
    if len(packed) and packed.max() >= base**count:
        raise CorruptArtifactError(f"byte {packed.max()} stands for no {count} of the {base} values")
    places = base ** np.arange(count - 1, -1, -1)
    table = np.array(alphabet, np.int8)[np.arange(base**count)[:, None] // places % base]
    if count in _WORDS:  # one word at a time is several times faster
        return table.view(f"u{count}").reshape(-1)[packed].view(np.int8)[:elements]
    return table[packed].reshape(-1)[:elements]


def format_joint(sparse: Sparse, alphabet: Alphabet) -> bytes:
    """Each nonzero element with the zeros before it in one byte: gap x (number of values) + index of the value.

    A gap is less than `longest_gap`; the byte 255 stands for that many zeros and no element. Zeros after the last
    nonzero element are not written.
    """
    pieces = []
    for runs, values in zip(sparse.runs, sparse.values, strict=True):
        escapes = runs // runs.dtype.type(longest_gap(alphabet))
        gaps = (runs - escapes * runs.dtype.type(longest_gap(alphabet))).astype(np.uint8)
        pieces.append(insert_escapes(gaps * np.uint8(len(alphabet)) + _indices(values, alphabet), escapes))
    return b"".join(pieces)


def parse_joint(pieces: Pieces, alphabet: Alphabet, elements: int) -> Array:
    """The elements that `format_joint` wrote, shape (elements,).

    Raises:
        CorruptArtifactError: when a byte stands for nothing or leads past the last element.
    """
    base, longest = len(alphabet), longest_gap(alphabet)
    known = bytes([*range(base * longest), JOINT_ESCAPE])
    # An escape goes on to the last of its zeros and writes one more zero there, which spares a selection.
    steps = bytes(min(symbol // base + 1, longest) for symbol in range(JOINT_ESCAPE)) + bytes([longest])
    values = bytes(alphabet[symbol % base] % 256 for symbol in range(JOINT_ESCAPE)) + b"\0"
    flat, position = np.zeros(elements, np.int8), -1
    for chunk in cut_pieces(pieces):
        if unused := chunk.translate(None, known):
            raise CorruptArtifactError(f"byte {unused[0]} stands for no gap and value of {base} values")
        reached = reach_positions(chunk.translate(steps), position, elements)
        flat[reached] = np.frombuffer(chunk.translate(values), np.int8)
        position = int(reached[-1])
    return flat


def longest_gap(alphabet: Alphabet) -> int:
    """Zeros that the joint escape stands for; each symbol has fewer."""
    return JOINT_ESCAPE // len(alphabet)


def _indices(elements: Array, alphabet: Alphabet) -> Bytes:
    table = bytearray(256)
    for index, value in enumerate(alphabet):
        table[value % 256] = index
    return np.frombuffer(elements.tobytes().translate(table), np.uint8)
