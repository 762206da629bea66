"""`model-server bench DIR`: both engines on this processor with one model, and which of them to take.

Each engine loads in a process of its own, and they take turns, so that a machine that drifts does so for both.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from model_server import versions
from model_server.engine import DEFAULT_SIGNATURE, Array
from model_server.engines import EngineKind, parse_engine_kind
from model_server.errors import LoadError, ModelServerError
from model_server.golden import read_golden
from model_server.servable import EngineSettings, Servable, load_servable

BLOCKS = 20
REQUESTS_PER_BLOCK = 20
# A difference below this is the machine's, not the engine's.
SMALLEST_GAIN = 1.05


@dataclass(frozen=True)
class EngineResult:
    """What one engine did: loading, then one request after the other at batch 1 with one thread."""

    engine: str
    problem: str = ""
    load_seconds: float = 0.0
    p50_milliseconds: float = 0.0
    p95_milliseconds: float = 0.0
    cpu_milliseconds: float = 0.0
    resident_mebibytes: float = 0.0


def run_bench(arguments: list[str]) -> int:
    """Measure, print a table and the advice; 0 when some engine serves the model."""
    if len(arguments) == 2 and arguments[0] in get_args(EngineKind):
        return _answer_blocks(parse_engine_kind(arguments[0]), Path(arguments[1]))
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: model-server bench DIR    (a version folder, or the folder of versions)", file=sys.stderr)
        return 255
    try:
        folder = find_version_folder(Path(arguments[0]))
    except LoadError as error:
        print(error, file=sys.stderr)
        return 255
    results = measure(folder)
    print(format_results(results))
    return 0 if any(not result.problem for result in results) else 255


def find_version_folder(path: Path) -> Path:
    """The folder itself where it holds a model, else its highest version.

    Raises:
        LoadError: There is no model.
    """
    if (path / versions.MODEL_FILE).exists():
        return path
    folders = {number: folder for number, folder in versions.read_versions(path).items() if folder.complete}
    if not folders:
        raise LoadError(f"{path} holds no {versions.MODEL_FILE} and no version folder with one.")
    return folders[max(folders)].path


def measure(folder: Path) -> list[EngineResult]:
    """Every engine that there is, in alternating blocks."""
    children = [_Child(kind, folder) for kind in get_args(EngineKind)]
    try:
        for _ in range(BLOCKS):
            for child in children:
                child.run_block()
        return [child.result() for child in children]
    finally:
        for child in children:
            child.end()


class _Child:
    """One engine in its process: a line on its input is a block, a line on its output what it measured."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        command = [sys.executable, "-m", "model_server", "bench", kind, str(folder)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._loaded = self._read()
        self._blocks: list[dict[str, Any]] = []

    def run_block(self) -> None:
        if self._loaded.get("problem") or self._process.stdin is None:
            return
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._blocks.append(self._read())

    def result(self) -> EngineResult:
        if problem := self._loaded.get("problem"):
            return EngineResult(self._kind, str(problem))
        times = [value for block in self._blocks for value in block["milliseconds"]]
        return EngineResult(
            self._kind,
            "",
            self._loaded["load_seconds"],
            statistics.median(times),
            statistics.quantiles(times, n=20)[18],
            statistics.median(block["cpu_milliseconds"] for block in self._blocks),
            self._blocks[-1]["resident_mebibytes"],
        )

    def end(self) -> None:
        """Close the input, on which the process ends."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        document: dict[str, Any] = json.loads(line) if line else {"problem": "its process ended; see above"}
        return document


def _answer_blocks(kind: EngineKind, folder: Path) -> int:
    """The child: load, then one block for each line of input."""
    begun = time.perf_counter()
    try:
        servable = load_servable("bench", 1, folder, EngineSettings(interpreters=1, threads=1, kind=kind))
    except ModelServerError as error:
        print(json.dumps({"problem": str(error)}), flush=True)
        return 0
    signature = servable.signatures.get(DEFAULT_SIGNATURE) or next(iter(servable.signatures.values()))
    inputs = plan_inputs(servable, signature.graph_key, folder)
    servable.engine.run(signature.graph_key, inputs)
    print(json.dumps({"load_seconds": time.perf_counter() - begun}), flush=True)
    for _ in sys.stdin:
        milliseconds = []
        cpu_begun = time.process_time()
        for _ in range(REQUESTS_PER_BLOCK):
            begun = time.perf_counter()
            servable.engine.run(signature.graph_key, inputs)
            milliseconds.append(1e3 * (time.perf_counter() - begun))
        block = {
            "milliseconds": milliseconds,
            "cpu_milliseconds": 1e3 * (time.process_time() - cpu_begun) / REQUESTS_PER_BLOCK,
            "resident_mebibytes": _read_resident_mebibytes(),
        }
        print(json.dumps(block), flush=True)
    servable.engine.close()
    return 0


def plan_inputs(servable: Servable, graph_key: str, folder: Path) -> dict[str, Array]:
    """One item for every input of the graph: the first golden one where there is one, else zeros."""
    tensors = servable.engine.signatures[graph_key].inputs
    golden = read_golden(folder)
    if golden is not None and len(tensors) == 1:
        ((name, tensor),) = tensors.items()
        if tensor.declares(golden.inputs[:1].shape):
            return {name: golden.inputs[:1].astype(tensor.dtype)}
    return {
        name: np.full([max(size, 1) for size in tensor.shape], b"" if tensor.dtype.hasobject else 0, tensor.dtype)
        for name, tensor in tensors.items()
    }


def _read_resident_mebibytes() -> float:
    status = Path("/proc/self/statm")
    if status.exists():
        pages = int(status.read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def format_results(results: list[EngineResult]) -> str:
    """A table, a line for each engine that does not serve the model, and the advice."""
    lines = [f"{'engine':<10}{'p50 ms':>10}{'p95 ms':>10}{'CPU ms':>10}{'RSS MiB':>10}{'load s':>10}"]
    for result in results:
        values = list(asdict(result).values())
        _, problem, load_seconds, *milliseconds, resident_mebibytes = values
        if problem:
            lines.append(f"{result.engine:<10}does not serve it: {problem}")
        else:
            numbers = "".join(f"{value:>10.3f}" for value in milliseconds)
            lines.append(f"{result.engine:<10}{numbers}{resident_mebibytes:>10.0f}{load_seconds:>10.2f}")
    return "\n".join([*lines, plan_advice(results)])


def plan_advice(results: list[EngineResult]) -> str:
    """The engine with the least CPU for a request; where that is no clear gain, the one with less memory."""
    serving = [result for result in results if not result.problem]
    if not serving:
        return "No engine serves this model."
    fastest = min(serving, key=lambda result: result.cpu_milliseconds)
    limit = fastest.cpu_milliseconds * SMALLEST_GAIN
    close = [result for result in serving if result.cpu_milliseconds <= limit]
    best = min(close, key=lambda result: result.resident_mebibytes)
    return f"Take --engine={best.engine}."
