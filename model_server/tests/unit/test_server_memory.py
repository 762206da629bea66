import mmap
from pathlib import Path

from model_server.engines.litert import LiteRtEngine
from model_server.instruments import MOST_SETS, Counter, Histogram
from model_server.memory import release_mapped


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
