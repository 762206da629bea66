"""Finds a long byte string in a file without having it in memory whole. Pure."""

from collections.abc import Callable, Iterable, Iterator

from model_artifact.mapped_file import Searchable

Pieces = Callable[[], Iterator[bytes]]
Stretches = list[tuple[int, int]]

_ATTEMPTS = 64
"""Places at which a piece is found and the rest is not, before the whole is searched for: zeros stand everywhere."""


def find_free(data: Searchable, pieces: Pieces, length: int, taken: Stretches) -> int:
    """The first place of the pieces in a row that no taken stretch covers; -1 when there is none.

    Args:
        data: where to look.
        pieces: gives the pieces anew at each call.
        length: bytes of all pieces together.
        taken: (begin, end) of each stretch.
    """
    offset, anchor = _choose_anchor(pieces())
    found = data.find(anchor, offset)
    for _ in range(_ATTEMPTS):
        if found < 0:
            return -1
        start = found - offset
        if not _covering(start, length, taken) and stands_at(data, start, pieces()):
            return start
        found = data.find(anchor, found + 1)
    return _find_whole(data, b"".join(pieces()), taken)


def _choose_anchor(pieces: Iterable[bytes]) -> tuple[int, bytes]:
    """The first piece that is not all zero, and where it begins; the first of all, when every one is."""
    offset, first = 0, b""
    for piece in pieces:
        if piece.count(0) < len(piece):
            return offset, piece
        offset, first = offset + len(piece), first or piece
    return 0, first


def _covering(start: int, length: int, taken: Stretches) -> list[int]:
    """Ends of the taken stretches that share a byte with this one."""
    return [end for begin, end in taken if begin < start + length and start < end]


def stands_at(data: Searchable, start: int, pieces: Iterable[bytes]) -> bool:
    """Whether the pieces stand there in a row."""
    for piece in pieces:
        if not data.startswith(piece, start):
            return False
        start += len(piece)
    return True


def _find_whole(data: Searchable, needle: bytes, taken: Stretches) -> int:
    start = data.find(needle, 0)
    while start >= 0 and (covering := _covering(start, len(needle), taken)):
        start = data.find(needle, max(covering))
    return start
