"""A file as bytes that are read when they are looked at, and that the system may take back at any time."""

import mmap
from pathlib import Path
from typing import Protocol


class Searchable(Protocol):
    """What is asked of a file's bytes; `bytes` is one."""

    def find(self, sub: bytes, start: int, /) -> int:
        """The first place of these bytes from a place on; -1 when there is none."""

    def startswith(self, prefix: bytes, start: int, /) -> bool:
        """Whether these bytes stand there."""


class MappedFile:
    """The bytes of a file, which must not change meanwhile.

    Attributes:
        data: all of them, for readers that take a place in a buffer.
    """

    def __init__(self, path: Path) -> None:
        """Map the file; none of it is read.

        Raises:
            OSError: when it cannot be opened.
        """
        with path.open("rb") as file:
            empty = not path.stat().st_size  # of which there is no map
            self.data: bytes | mmap.mmap = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def __getitem__(self, place: slice) -> bytes:
        """A copy of some of them."""
        return self.data[place]

    def find(self, sub: bytes, start: int, /) -> int:
        """The first place of these bytes from a place on; -1 when there is none."""
        return self.data.find(sub, start)

    def startswith(self, prefix: bytes, start: int, /) -> bool:
        """Whether these bytes stand there."""
        return self.data[start : start + len(prefix)] == prefix
