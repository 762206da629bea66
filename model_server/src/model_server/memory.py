"""Keeps memory small and near: gives back what is not needed, and has what stays in huge pages."""

import ctypes
import errno
import mmap
from collections.abc import Iterator
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_RESIDENT_MAPS = Path("/proc/self/smaps")
_HUGE_PAGE_SIZE = Path("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
# Linux' number of the advice to do so now, since 6.1; Python has no name for it.
_MADV_COLLAPSE = 25
# Of a range: where less of it is used, huge pages would take memory that nothing needs.
_LEAST_RESIDENT = 0.9
# Blocks of weights. What is smaller is read from the caches, or comes and goes, and is given back page by page.
_FEWEST_HUGE_PAGES = 8
# glibc's numbers of the settings.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
# Larger blocks are mapped, and go back to the system when they are freed, whatever stands behind them.
_SMALLEST_MAPPED_BYTES = 1024 * 1024
# What is kept at the end of the heap for the next request.
_MOST_KEPT_BYTES = 2 * 1024 * 1024


def release_mapped(file: Path) -> int:
    """Drop this process's clean pages of the file; the answer is how many bytes of mappings were told so.

    Only mappings that nobody may write are touched: nothing in them can be lost. Elsewhere than on Linux nothing
    happens.
    """
    if not _MAPS.exists():
        return 0
    name = str(file.resolve())
    library = ctypes.CDLL(None, use_errno=True)
    released_bytes = 0
    for line in _MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == name and "w" not in fields[1]:
            start, end = (int(bound, 16) for bound in fields[0].split("-"))
            if library.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED) == 0:
                released_bytes += end - start
    return released_bytes


def use_huge_pages() -> int:
    """Have large blocks of memory that are in use lie in huge pages; the answer is how many bytes do so now.

    A graph reads all its weights for each answer. In small pages it spends a good part of the time on looking up where
    they are, and the processor's prefetching ends with each of them. Where the system cannot, nothing happens; where it
    is older, it is asked to do so in time.
    """
    if not _RESIDENT_MAPS.exists() or not _HUGE_PAGE_SIZE.exists():
        return 0
    library = ctypes.CDLL(None, use_errno=True)
    collapsed_bytes = 0
    for start, size in plan_huge_ranges(_RESIDENT_MAPS.read_text(), int(_HUGE_PAGE_SIZE.read_text())):
        address, length = ctypes.c_void_p(start), ctypes.c_size_t(size)
        if library.madvise(address, length, _MADV_COLLAPSE) == 0:
            collapsed_bytes += size
        elif ctypes.get_errno() == errno.EINVAL:
            library.madvise(address, length, mmap.MADV_HUGEPAGE)
    return collapsed_bytes


def plan_huge_ranges(maps: str, huge_page_bytes: int) -> list[tuple[int, int]]:
    """Start and size of what should lie in huge pages: large blocks of the program's own, where nearly all is used."""
    ranges = []
    for start, end, facts in _parse_maps(maps):
        first, last = -(-start // huge_page_bytes) * huge_page_bytes, end // huge_page_bytes * huge_page_bytes
        in_small_pages = facts["Rss"] - facts["AnonHugePages"]
        if (
            last - first >= _FEWEST_HUGE_PAGES * huge_page_bytes
            and in_small_pages
            and facts["Rss"] >= _LEAST_RESIDENT * (end - start)
        ):
            ranges.append((first, last - first))
    return ranges


def _parse_maps(maps: str) -> Iterator[tuple[int, int, dict[str, int]]]:
    """Start, end and bytes by kind of each mapping that is private, may be written and is of no file."""
    found: tuple[int, int] | None = None
    facts: dict[str, int] = {}
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if not fields[0].endswith(":"):
            start, end = (int(bound, 16) for bound in fields[0].split("-"))
            own = fields[1].startswith("rw") and fields[1].endswith("p") and len(fields) == 5
            found, facts = ((start, end) if own else None), {}
        elif fields[0] == "VmFlags:":
            if found is not None:
                yield (*found, facts)
        else:
            facts[fields[0][:-1]] = 1024 * int(fields[1]) if fields[2:] == ["kB"] else 0


def release_free_memory() -> None:
    """Give what was allocated and freed again back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def limit_arenas() -> None:
    """Have all threads allocate from two places, and large blocks from none of them, where the C library can.

    With one for each thread, what a large request leaves behind is of no use to the next one, on another thread. And
    left to itself, the C library takes ever larger blocks from there once it has seen some freed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)
        mallopt(_MMAP_THRESHOLD, _SMALLEST_MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, _MOST_KEPT_BYTES)
