import fcntl
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from model_artifact.inspection import inspect, unpack_and_inspect
from model_artifact.packing import pack
from model_artifact.unpacking import TargetExistsError, unpack

KILLED = """
import os, signal, sys
from pathlib import Path
from model_artifact.unpacking import unpack
unpack(Path(sys.argv[1]), Path(sys.argv[2]), watch=lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture
def artifact(version_folder, tmp_path):
    pack(version_folder, tmp_path / "a.zip")
    return tmp_path / "a.zip"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_a_killed_unpacking_left_is_removed_and_was_never_a_version(artifact, tmp_path):
    base = tmp_path / "models" / "m"
    base.mkdir(parents=True)
    (base / ".1.mine").mkdir()
    died = subprocess.run([sys.executable, "-c", KILLED, artifact, base / "1"], check=False)
    assert died.returncode == -9
    assert [name for name in names(base) if not name.startswith(".1.partial-")] == [".1.mine"]
    assert len(names(base)) == 2
    unpack(artifact, base / "1")
    assert names(base) == [".1.mine", "1"]


def test_a_folder_that_another_process_is_filling_is_left_alone(artifact, tmp_path):
    busy = tmp_path / "m" / ".1.partial-busy"
    busy.mkdir(parents=True)
    lock = os.open(busy, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unpack(artifact, tmp_path / "m" / "1")
        assert names(tmp_path / "m") == [".1.partial-busy", "1"]
    finally:
        os.close(lock)
    unpack(artifact, tmp_path / "m" / "2")
    assert names(tmp_path / "m") == [".1.partial-busy", "1", "2"]


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "model.tflite").write_bytes(b"other"),
        lambda folder: (folder / "empty.txt").unlink(),
        lambda folder: (folder / "more").write_bytes(b""),
        lambda folder: (folder / "model.tflite").rename(folder / "x") and (folder / "model.tflite").symlink_to("x"),
    ],
    ids=["changed", "missing", "more", "link"],
)
def test_a_folder_with_other_content_is_never_taken_for_the_artifact(change, artifact, tmp_path):
    unpack(artifact, tmp_path / "1")
    change(tmp_path / "1")
    with pytest.raises(TargetExistsError, match="not empty"):
        unpack(artifact, tmp_path / "1")


def test_measuring_while_unpacking_gives_what_inspecting_gives(artifact, tmp_path):
    measured = unpack_and_inspect(artifact, tmp_path / "1")
    assert measured == inspect(artifact) == unpack_and_inspect(artifact, tmp_path / "1")


def test_memory_is_that_of_the_largest_tensor_not_of_the_model(write_folder, tmp_path):
    rng = np.random.default_rng(0)
    folder = write_folder(
        *((f"w{number}", rng.normal(size=(256, 512)).astype(np.float32), None) for number in range(8))
    )
    (folder / "copy").write_bytes((folder / "model.tflite").read_bytes())
    pack(folder, tmp_path / "a.zip")
    tensor_bytes = 256 * 512 * 4
    tracemalloc.start()
    try:
        unpack_and_inspect(tmp_path / "a.zip", tmp_path / "1")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * tensor_bytes, f"{peak:,} bytes for tensors of {tensor_bytes:,} bytes"
    assert (tmp_path / "1" / "copy").read_bytes() == (folder / "copy").read_bytes()
