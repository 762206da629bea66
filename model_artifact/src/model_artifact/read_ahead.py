"""Stretches of a file that are fetched while what comes before them is worked on."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

MERGED_BYTES = 2**20
"""Neighbours are fetched at once up to this."""
LARGEST_BYTES = 2**24
"""A longer stretch is not held in memory for being fetched ahead."""
_HELD = 3
"""Stretches in memory at most: the one that is read, the one before, in case of a step back, and the next."""

Range = tuple[int, int]
"""(offset, number of bytes)"""


def merge_ranges(ranges: Sequence[Range], near_bytes: int) -> list[Range]:
    """The same ranges, with those at once that follow one another within `near_bytes` and make `MERGED_BYTES` at most.

    Args:
        ranges: in the order in which they will be read; those over `LARGEST_BYTES` are left out.
        near_bytes: so many bytes between two are fetched with them.
    """
    merged: list[Range] = []
    for offset, count in ranges:
        if not 0 < count <= LARGEST_BYTES:
            continue
        if merged:
            start, length = merged[-1]
            if 0 <= offset - start - length <= near_bytes and offset + count - start <= MERGED_BYTES:
                merged[-1] = start, offset + count - start
                continue
        merged.append((offset, count))
    return merged


class ReadAhead:
    """Fetches one stretch beyond the one that is asked for, in a thread of its own."""

    def __init__(self, fetch: Callable[[int, int], bytes], ranges: Sequence[Range]) -> None:
        """Plan it; nothing is fetched yet.

        Args:
            fetch: gives the bytes of a range; may raise, which `take` hands on.
            ranges: apart from each other, in the order in which they will be read.
        """
        self._fetch, self._ranges = fetch, list(ranges)
        self._order = sorted(range(len(ranges)), key=lambda number: ranges[number])
        self._starts = [ranges[number][0] for number in self._order]
        self._running: dict[int, Future[bytes]] = {}
        self._thread = ThreadPoolExecutor(1, "read-ahead")

    def take(self, offset: int, count: int) -> memoryview | None:
        """The bytes there, when they lie within one of the ranges; None when not.

        Raises:
            StoreAccessError: when they cannot be fetched.
        """
        place = bisect_right(self._starts, offset) - 1
        if place < 0:
            return None
        number = self._order[place]
        start, length = self._ranges[number]
        if offset + count > start + length:
            return None
        for gone in [each for each in self._running if not number - 1 <= each < number - 1 + _HELD]:
            self._running.pop(gone).cancel()
        for wanted in (number, number + 1):
            if wanted < len(self._ranges) and wanted not in self._running:
                self._running[wanted] = self._thread.submit(self._fetch, *self._ranges[wanted])
        return memoryview(self._running[number].result())[offset - start : offset - start + count]

    def close(self) -> None:
        """Begin no further fetch."""
        self._running.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)
