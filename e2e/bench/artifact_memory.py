"""Peak memory of packing and of unpacking tensors of 200 MB, each in a process of its own.

usage: python e2e/bench/artifact_memory.py [--seed N]

Three version folders: a .tflite of one int8 tensor of 200 MB, alpha 1.25, b 8; one of a float32 tensor of 200 MB; and
int8 codes of 50 MB with their float32 values of 200 MB in another file. What comes back is held against the SHA-256 of
what went in.

Counted is anonymous memory, looked at every few milliseconds: what a process holds beside mapped files, which the
system takes back wherever memory is short. The resident set with such files is printed beside it.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import flatbuffers
import numpy as np
import tflite

from model_artifact.packing import pack
from model_artifact.unpacking import unpack
from model_artifact.weights import CodedTensor

FOLDERS = ("int8, 200 MB", "float32, 200 MB", "int8, 50 MB, and its float32 values, 200 MB")
ROWS = 12_500
ALPHA = 1.25
_BLOCK = 500
_SIGMAS = 5.5
"""The largest of so many Gaussian numbers, about."""


def render_model(weights: np.ndarray[Any, np.dtype[Any]]) -> bytes:
    """A .tflite with one constant tensor and no operators."""
    builder = flatbuffers.Builder(weights.nbytes + 1024)
    data = builder.CreateNumpyVector(weights.reshape(-1).view(np.uint8))
    tflite.BufferStart(builder)
    tflite.BufferAddData(builder, data)
    buffer = tflite.BufferEnd(builder)
    shape = builder.CreateNumpyVector(np.array(weights.shape, np.int32))
    name = builder.CreateString("weights")
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, shape)
    tflite.TensorAddType(builder, getattr(tflite.TensorType, weights.dtype.name.upper()))
    tflite.TensorAddName(builder, name)
    tensor = tflite.TensorEnd(builder)
    tensors = _vector(builder, tflite.SubGraphStartTensorsVector, tensor)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, tensors)
    graphs = _vector(builder, tflite.ModelStartSubgraphsVector, tflite.SubGraphEnd(builder))
    buffers = _vector(builder, tflite.ModelStartBuffersVector, buffer)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddSubgraphs(builder, graphs)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _vector(builder: Any, start: Any, item: int) -> int:
    start(builder, 1)
    builder.PrependUOffsetTRelative(item)
    end: int = builder.EndVector()
    return end


def make_weights(kind: str, seed: int) -> np.ndarray[Any, np.dtype[Any]]:
    """Gaussian float32 weights of 200 MB, or as many pruned int8 codes as the kind says."""
    random = np.random.default_rng(seed)
    if kind.startswith("float32"):
        return random.standard_normal((ROWS, 4000), np.float32)
    codes = np.empty((ROWS, 16_000 if kind == FOLDERS[0] else 4000), np.int8)
    for start in range(0, ROWS, _BLOCK):
        part = random.standard_normal((_BLOCK, codes.shape[1]), np.float32)
        codes[start : start + _BLOCK] = np.where(np.abs(part) >= ALPHA, np.floor(part * 127 / _SIGMAS), 0)
    return codes


def write_folder(kind: str, folder: Path, seed: int) -> None:
    """The version folder of that kind below the folder, and what its files hold."""
    weights = make_weights(kind, seed)
    (folder / "version").mkdir()
    (folder / "version" / "model.tflite").write_bytes(render_model(weights))
    if kind == FOLDERS[2]:
        np.save(folder / "codes.npy", weights)
        (folder / "version" / "variables").write_bytes((weights.astype(np.float32) * np.float32(0.03)).tobytes())


def read_megabytes(field: str) -> float:
    """A line of what the kernel says of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(found) * 1024 / 1e6


class AnonymousPeak:
    """The most anonymous memory that was seen while the block ran."""

    def __enter__(self) -> Self:
        self.megabytes = read_megabytes("RssAnon")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.003):
            self.megabytes = max(self.megabytes, read_megabytes("RssAnon"))


def run_task(task: str, kind: str, folder: Path) -> None:
    """Pack or unpack, and say what it took."""
    tensors = None
    if task == "pack" and kind == FOLDERS[2]:
        tensors = [CodedTensor("weights", np.load(folder / "codes.npy", mmap_mode="r"), np.float32(0.03))]
    before, begin = read_megabytes("RssAnon"), time.perf_counter()
    with AnonymousPeak() as peak:
        if task == "pack":
            manifest = pack(folder / "version", folder / "artifact.zip", tensors=tensors)
        else:
            manifest = unpack(folder / "artifact.zip", folder / "unpacked")
    seconds, largest = time.perf_counter() - begin, max(file.size_bytes for file in manifest.content.files) / 1e6
    print(
        f"{task}: {peak.megabytes:.0f} MB at its peak, {peak.megabytes / largest:.2f} of the largest file"
        f" ({largest:.0f} MB); {before:.0f} MB before it began; {read_megabytes('VmHWM'):.0f} MB with mapped files;"
        f" {seconds:.1f} s"
    )


def read_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file by its name."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as data:
            found[path.name] = hashlib.file_digest(data, "sha256").hexdigest()
    return found


def measure_folder(kind: str, seed: int) -> Iterator[str]:
    """A line for each task and one on what came back."""
    with tempfile.TemporaryDirectory() as place:
        for task in ("make", "pack", "unpack"):
            command = [sys.executable, __file__, "--task", task, "--kind", kind, "--folder", place, "--seed", str(seed)]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
            if said:
                yield said
        folder = Path(place)
        if read_digests(folder / "version") != read_digests(folder / "unpacked"):
            raise SystemExit(f"{kind}: other files came back")
        size = (folder / "artifact.zip").stat().st_size
        yield f"the same files came back, by SHA-256, from an artifact of {size / 1e6:.1f} MB"


def main() -> None:
    """Print the lines of every folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--task", choices=("make", "pack", "unpack"), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=FOLDERS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task == "make":
        write_folder(asked.kind, asked.folder, asked.seed)
    elif asked.task:
        run_task(asked.task, asked.kind, asked.folder)
    else:
        for kind in FOLDERS:
            print(f"\n{kind}")
            for line in measure_folder(kind, asked.seed):
                print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
