"""Keeps memory small: gives back pages of mapped files, which come again when needed, and freed blocks."""

import ctypes
import mmap
from pathlib import Path

_MAPS = Path("/proc/self/maps")
# glibc's number of the setting.
_ARENA_MAX = -8


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


def release_free_memory() -> None:
    """Give what was allocated and freed again back to the system, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def limit_arenas() -> None:
    """Have all threads allocate from two places, where the C library can.

    With one for each thread, what a large request leaves behind is of no use to the next one, on another thread.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 2)
