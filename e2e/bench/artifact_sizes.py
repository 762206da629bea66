"""How small and how fast artifacts are, beside other coders on the same weights, in one run.

usage: python e2e/bench/artifact_sizes.py [--rivals PYTHON] [--artifact FILE] [--seed N]

Gaussian weights, pruned at alpha standard deviations and quantised to b bits, with equal channels and with channels
whose scales are log-normal (sigma 0.5); and the artifacts given, packed anew with eight golden images. `--rivals` names
the interpreter of an environment that has other coders; each that it lacks is "not installed". To make one (NNCodec's
entropy coder alone is run; its other dependencies, PyTorch among them, are not needed for that):

    uv venv build/rivals
    uv pip install --python build/rivals/bin/python deflate==0.9.0 zopfli==0.4.3 zstandard==0.25.0 numpy==1.26.4
    uv pip install --python build/rivals/bin/python --no-deps nncodec==2.1.3
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from model_artifact.archive_reader import ArchiveReader
from model_artifact.choice import Coding, choose_coding
from model_artifact.coders import decode_tensor
from model_artifact.manifest import StoredTensor, Stream
from model_artifact.manifest_reader import read_manifest
from model_artifact.packing import pack
from model_artifact.streams import entropy_bits
from model_artifact.unpacking import read_tensor, unpack
from model_artifact.weights import CodedTensor
from model_builder.machine import read_processor

SHAPE = (2048, 1024)
LARGE_SHAPE = (4096, 8192)
SPREAD = 0.5
REPEATS = 5
GOLDEN_IMAGES = 8
RIVALS = Path("build/rivals/bin/python")
ARTIFACTS = Path("build/local/artifacts")
Codes = np.ndarray[Any, np.dtype[Any]]


def make_codes(alpha: float, bits: int, spread: float, shape: tuple[int, int], seed: int) -> tuple[Codes, np.float32]:
    """Gaussian weights, pruned below alpha standard deviations, floored to codes of `bits` bits; and their step."""
    random = np.random.default_rng(seed)
    scales = np.exp(random.normal(0, spread, (shape[0], 1))).astype(np.float32)
    weights = random.standard_normal(shape, np.float32) * scales
    edge = 2 ** (bits - 1) - 1
    step = np.float32(np.abs(weights).max() / edge)
    kept = np.abs(weights) >= alpha * weights.std()
    return np.where(kept, np.floor(weights / step), 0).clip(-edge, edge).astype(np.int8), step


def fastest(call: Callable[[], Any]) -> float:
    """Processor seconds, which other processes on the machine change little, of the fastest of five calls."""
    seconds = []
    for _ in range(REPEATS):
        begin = time.process_time()
        call()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def measure_coding(codes: Codes) -> float:
    """Seconds that it takes to choose a coding and to code the tensor."""
    return fastest(lambda: choose_coding(codes))


def describe(codes: Codes, coding: Coding) -> StoredTensor:
    """What a manifest says of the coded tensor; entries are numbers."""
    streams = [Stream(role=role, entry=str(n), size_bytes=d.size_bytes) for n, (role, d) in enumerate(coding.streams)]
    return StoredTensor(
        name="weights",
        shape=codes.shape,
        dtype=codes.dtype.name,
        coder=coding.coder,
        alphabet=coding.alphabet,
        sorted_axis=coding.sorted_axis,
        streams=tuple(streams),
    )


def inflate(coding: Coding) -> list[bytes]:
    """The streams, inflated by zlib."""
    return [zlib.decompress(data.payload, -15, data.size_bytes + 1) for _, data in coding.streams]


def measure_speed(codes: Codes) -> str:
    """Weights a second: coding; decoding the Deflated streams; and zlib inflating the same weights, Deflated at 9."""
    coding = choose_coding(codes)
    stored = describe(codes, coding)
    plain = zlib.compress(codes, 9)

    def decode() -> Codes:
        data = inflate(coding)
        return decode_tensor(stored, lambda stream: (data[int(stream.entry)],))

    if decode().tobytes() != codes.tobytes():
        raise SystemExit("the weights did not come back")
    calls = (lambda: choose_coding(codes), decode, lambda: inflate(coding), lambda: zlib.decompress(plain))
    packing, decoding, inflating, plainly = (fastest(call) for call in calls)
    rate = codes.size / 1e6
    order = "" if coding.sorted_axis is None else f", sorted along axis {coding.sorted_axis}"
    return (
        f"ours: {coding.coder}{order}; M weights/s: code {rate / packing:.0f}, decode {rate / decoding:.0f}; zlib "
        f"inflating zlib-9 of the codes {rate / plainly:.0f} (ours {plainly / decoding:.2f}x), inflating our streams "
        f"{rate / inflating:.0f} (ours {inflating / decoding:.2f}x)"
    )


def pack_alone(codes: Codes, step: np.float32, folder: Path) -> int:
    """Bytes of the artifact of a version folder that holds the codes and the float32 values; checks that it unpacks."""
    version = folder / "version"
    version.mkdir()
    (version / "model.tflite").write_bytes(codes.tobytes())
    (version / "variables").write_bytes((codes.astype(np.float32) * step).tobytes())
    pack(version, folder / "artifact.zip", tensors=[CodedTensor("weights", codes, step)])
    unpack(folder / "artifact.zip", folder / "unpacked")
    return (folder / "artifact.zip").stat().st_size


def read_rivals(
    python: Path, codes: Codes, step: np.float32, folder: Path, *only: str
) -> dict[str, dict[str, float] | None]:
    """What `artifact_rivals.py` measures on the codes."""
    path = folder / "codes.npy"
    np.save(path, codes)
    program = Path(__file__).with_name("artifact_rivals.py")
    ran = subprocess.run([python, program, path, str(step), *only], check=True, capture_output=True, text=True)
    results: dict[str, dict[str, float] | None] = json.loads(ran.stdout)
    return results


def print_line(name: str, size: float, weights: int, entropy_bytes: float, seconds: float | None) -> None:
    """One coder's row."""
    rate = "" if seconds is None else f"{weights / seconds / 1e6:9.1f}"
    print(f"  {name:34}{8 * size / weights:9.4f}{size / entropy_bytes:10.4f}{rate}")


def print_case(title: str, codes: Codes, step: np.float32, python: Path) -> None:
    """The table of one tensor."""
    entropy = entropy_bits(codes.reshape(-1)) * codes.size / 8
    print(f"\n{title}, {codes.shape[0]} x {codes.shape[1]}, {100 * np.mean(codes == 0):.1f} % zero")
    print(f"  {'':34}bits/weight  x entropy  M weights/s")
    print_line("order-0 entropy", entropy, codes.size, entropy, None)
    with tempfile.TemporaryDirectory() as folder:
        whole = pack_alone(codes, step, Path(folder))
        seconds = measure_coding(codes)
        print_line("ours, the whole file", whole, codes.size, entropy, seconds)
        for name, result in read_rivals(python, codes, step, Path(folder)).items():
            if result is None:
                print(f"  {name:34}not installed")
            else:
                print_line(name, result["bytes"], codes.size, entropy, result["seconds"])
    print(f"  {measure_speed(codes)}")


def print_large(title: str, codes: Codes, step: np.float32, python: Path) -> None:
    """Speed of coding a tensor of the size of a whole network, beside the ISO coder's."""
    with tempfile.TemporaryDirectory() as folder:
        ((name, result),) = read_rivals(python, codes, step, Path(folder), "iso").items()
    seconds, rate = measure_coding(codes), codes.size / 1e6
    print(f"\n{title}, {codes.shape[0]} x {codes.shape[1]}\n  ours: {rate / seconds:.0f} M weights/s")
    if result is None:
        print(f"  {name}: not installed")
        return
    size = sum(len(data.payload) for _, data in choose_coding(codes).streams)
    print(
        f"  {name}: {rate / result['seconds']:.1f} M weights/s; "
        f"ours {result['seconds'] / seconds:.1f} times its speed, {size / result['bytes']:.4f} of its size"
    )


def repack(path: Path, folder: Path) -> tuple[list[Codes], Path]:
    """The tensors of an artifact, and an artifact of the same files with the first golden images alone."""
    target = folder / "repacked.zip"
    with ArchiveReader(str(path)) as archive:
        manifest = read_manifest(archive)
        tensors = [
            CodedTensor(
                stored.name, read_tensor(archive, stored), None if stored.step is None else np.float32(stored.step)
            )
            for stored in manifest.storage.tensors
        ]
    unpack(path, folder / "version")
    for golden in (folder / "version/assets.extra/golden").glob("*.npy"):
        np.save(golden, np.load(golden)[:GOLDEN_IMAGES])
    pack(folder / "version", target, tensors=tensors, provenance=manifest.content.provenance)
    return [tensor.codes for tensor in tensors], target


def print_artifact(path: Path) -> None:
    """The sizes of an artifact, packed anew."""
    with tempfile.TemporaryDirectory() as folder:
        tensors, target = repack(path, Path(folder))
        whole = target.stat().st_size
        with ArchiveReader(str(target)) as archive:
            stored, sizes = read_manifest(archive).storage.tensors, archive.stored_bytes()
    streams = sum(sizes[stream.entry] for tensor in stored for stream in tensor.streams)
    weights = sum(tensor.size for tensor in tensors)
    print(f"\n{path.name}: {len(tensors)} tensors, {weights:,} weights")
    print(f"  {'':34}bits/weight  x entropy")
    # Hardly any float32 stands twice, so counting them says nothing: they are held against their 32 bits.
    floats = all(tensor.dtype == np.float32 for tensor in tensors)
    entropy = 4.0 * weights if floats else sum(entropy_bits(each.reshape(-1)) * each.size / 8 for each in tensors)
    print_line("float32 as it is" if floats else "order-0 entropy, by tensor", entropy, weights, entropy, None)
    print_line("ours, streams of the tensors", streams, weights, entropy, None)
    print_line("ours, the whole file", whole, weights, entropy, None)
    print(f"  coders: {', '.join(sorted({tensor.coder for tensor in stored}))}")
    print(
        f"  beside the streams the file holds {whole - streams:,} bytes: graph, biases, golden answers, manifest, ZIP"
    )


def main() -> None:
    """Print the header and every table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", type=Path, default=RIVALS if RIVALS.exists() else Path(sys.executable))
    parser.add_argument("--artifact", type=Path, nargs="*", default=sorted(ARTIFACTS.glob("*/artifact.zip")))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC; {read_processor()}, {os.cpu_count()} cores")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, zlib {zlib.ZLIB_RUNTIME_VERSION}")
    print("speeds are of one thread, by its processor time")
    print(f"seed {asked.seed}, n = 1 tensor a case; ours: the fastest of {REPEATS} calls, others: one call")
    for shape, show in ((SHAPE, print_case), (LARGE_SHAPE, print_large)):
        for spread, channels in ((0.0, "equal channels"), (SPREAD, "differing channels")):
            for alpha, bits in ((1.25, 8), (1.25, 4), (2.0, 4)):
                codes, step = make_codes(alpha, bits, spread, shape, asked.seed)
                show(f"alpha {alpha:g}, b {bits}, {channels}", codes, step, asked.rivals)
    for path in asked.artifact:
        print_artifact(path)


if __name__ == "__main__":
    main()
