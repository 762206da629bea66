import mmap
import re
from pathlib import Path

import numpy as np

from model_server.engines.litert import LiteRtEngine
from model_server.instruments import MOST_SETS, Counter, Histogram
from model_server.memory import plan_huge_ranges, release_mapped, use_huge_pages


def resident_bytes(file):
    """Of this process's mappings of the file."""
    total, ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            ours = line.endswith(str(file))
        elif ours and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def test_pages_of_a_mapped_file_are_given_back_and_come_again(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"w" * 1_000_000)
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[:] == b"w" * 1_000_000
        assert resident_bytes(file) >= 900_000
        assert release_mapped(file) >= 1_000_000
        assert resident_bytes(file) == 0
        assert mapped[:] == b"w" * 1_000_000


def test_a_mapping_that_may_be_written_is_left_alone(tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"w" * 1_000_000)
    with file.open("r+b") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
        mapped[:] = b"v" * 1_000_000
        assert release_mapped(file) == 0
        assert mapped[:] == b"v" * 1_000_000


def test_an_engine_keeps_its_file_mapped_and_not_in_memory(models):
    engine = LiteRtEngine(models / "tiny_image" / "model.tflite", workers=1, threads=1)
    assert engine.signatures
    assert resident_bytes(models / "tiny_image" / "model.tflite") <= mmap.PAGESIZE


def test_label_values_beyond_the_limit_replace_the_oldest():
    counter, histogram = Counter("c", ("version",)), Histogram("h", ("version",), (1.0,))
    for version in range(MOST_SETS + 5):
        counter.increment(str(version))
        histogram.observe(0.5, str(version))
    assert len(counter.format_samples()) == MOST_SETS
    assert len(histogram.format_samples()) == MOST_SETS * 4
    assert not any('version="4"' in line for line in counter.format_samples())
    assert any('version="5"' in line for line in histogram.format_samples())


def test_notes_are_added_up_whenever_there_are_many_or_somebody_looks():
    counter = Counter("c", ("m",))
    for _ in range(2000):
        counter.increment("x", by=2)
    assert len(counter._notes) < 1000
    assert counter.format_samples() == ['c{m="x"} 4000']


MAPPING = """{start:x}-{end:x} {rights} 00000000 00:00 0 {name}
Size:           {size} kB
Rss:            {resident} kB
AnonHugePages:  {huge} kB
THPeligible:           1
VmFlags: rd wr mr mw me ac
"""
HUGE = 2 * 1024 * 1024


def mapping(start, size, *, resident=None, huge=0, rights="rw-p", name=""):
    kib = size // 1024
    used = kib if resident is None else resident // 1024
    return MAPPING.format(
        start=start, end=start + size, size=kib, resident=used, huge=huge // 1024, rights=rights, name=name
    )


def test_huge_pages_are_for_own_memory_that_is_large_and_in_use():
    maps = "".join(
        (
            mapping(10 * HUGE + 4096, 9 * HUGE),
            mapping(20 * HUGE, 8 * HUGE),
            mapping(30 * HUGE, 8 * HUGE, resident=7 * HUGE),
            mapping(40 * HUGE, 8 * HUGE, huge=8 * HUGE),
            mapping(50 * HUGE, 8 * HUGE, rights="r--p"),
            mapping(60 * HUGE, 8 * HUGE, rights="rw-s"),
            mapping(70 * HUGE, 8 * HUGE, name="/lib/libc.so.6"),
            mapping(80 * HUGE, 8 * HUGE, name="[heap]"),
            mapping(90 * HUGE + 4096, 8 * HUGE),
        )
    )
    assert plan_huge_ranges(maps, HUGE) == [(11 * HUGE, 8 * HUGE), (20 * HUGE, 8 * HUGE)]


def test_memory_in_huge_pages_holds_what_it_held_and_is_no_more():
    content = np.random.default_rng(0).integers(0, 255, 16 * HUGE, np.uint8).tobytes()
    with mmap.mmap(-1, len(content), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as weights:
        weights[:] = content
        resident = own_resident_bytes()
        moved_bytes = use_huge_pages()
        assert weights[:] == content
        assert own_resident_bytes() - resident < 4 * HUGE
    supported = Path("/sys/kernel/mm/transparent_hugepage").exists() and kernel_version() >= (6, 1)
    assert (moved_bytes >= 14 * HUGE) == supported


def own_resident_bytes():
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def kernel_version():
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", Path("/proc/sys/kernel/osrelease").read_text()).groups()))
