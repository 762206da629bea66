"""What is measured: a model in a process of its own, called inside that process or asked over a wire.

`python -m bench.server_subjects KIND FOLDER` is the process of an engine: it loads, answers once, and then does what
each line of its input says: so many requests one after the other, or so many threads that ask on for so many seconds.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from bench.server_clients import GrpcClient, RestClient
from bench.server_load import Loaded, saturate

from model_artifact.golden import parse_golden

ENGINES = ("tensorflow", "litert", "openvino")
HOST = "127.0.0.1"
START_SECONDS = 120.0


@dataclass
class Measured:
    """One subject over all its blocks."""

    name: str
    cold_start_seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    cpu_milliseconds: list[float] = field(default_factory=list)
    resident_mebibytes: float = 0.0

    def percentile(self, percent: float) -> float:
        """Of the latencies, in milliseconds."""
        return float(np.percentile(self.milliseconds, percent))

    @property
    def cpu_per_request_milliseconds(self) -> float:
        """The mean of all blocks: the kernel counts a server's time in ticks that are longer than a request."""
        return float(np.mean(self.cpu_milliseconds))


class Subject(Protocol):
    """Something that answers requests one after the other."""

    measured: Measured

    def run_block(self, requests: int) -> None:
        """Ask so often and note the times."""

    def close(self) -> None:
        """End its process."""


def read_image(folder: Path) -> np.ndarray[Any, Any]:
    """The first golden input, as a batch of one."""
    image: np.ndarray[Any, Any] = np.load(folder / "assets.extra/golden/inputs.npy")[:1].astype(np.float32)
    return image


def read_cpu_seconds(pid: int) -> float:
    """User and system time of a process, ended threads as well; the kernel counts in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_resident_mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/status").read_text(encoding="ascii").split("VmRSS:")[1].split()[0]) / 1024


def pin(core: int) -> list[str]:
    """The words before a command that keep it on one core."""
    return ["taskset", "-c", str(core)]


class EngineSubject:
    """An engine called inside its own process."""

    def __init__(self, name: str, kind: str, folder: Path, core: int) -> None:
        self.measured = Measured(name)
        begun = time.perf_counter()
        self._process = subprocess.Popen(
            [*pin(core), sys.executable, "-m", "bench.server_subjects", kind, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._read() != {"ready": True}:
            raise RuntimeError(f"{name} did not load")
        self.measured.cold_start_seconds = time.perf_counter() - begun

    def run_block(self, requests: int) -> None:
        """As `Subject`."""
        block = self._order({"requests": requests})
        self.measured.milliseconds += block["milliseconds"]
        self.measured.cpu_milliseconds.append(block["cpuMilliseconds"])
        self.measured.resident_mebibytes = read_resident_mebibytes(self._process.pid)

    def saturate(self, clients: int, seconds: float) -> Loaded:
        """So many threads of its process, each of which asks again as soon as it is answered."""
        answer = self._order({"clients": clients, "seconds": seconds})
        return Loaded(answer["seconds"], answer["milliseconds"])

    def _order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101
        self._process.stdin.write(f"{json.dumps(order)}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        document: dict[str, Any] = json.loads(line) if line else {}
        return document

    def close(self) -> None:
        """As `Subject`."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


class ServerProcess:
    """Our server with one model on one core."""

    def __init__(self, base: Path, core: int, ports: tuple[int, int], *flags: str) -> None:
        self.grpc_port, self.rest_port = ports
        self.begun_seconds = time.perf_counter()
        self._process = subprocess.Popen(
            [
                *pin(core),
                *(sys.executable, "-m", "model_server", f"--bind_address={HOST}", "--model_name=m"),
                *(f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_base_path={base}"),
                *("--num_tflite_pools=1", *flags),
            ],
            stderr=subprocess.DEVNULL,
        )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def wait_for_answer(self, ask: Callable[[], Callable[[], object]]) -> float:
        """Seconds from the process's start to its first answer; `ask` connects and gives back what asks."""
        deadline = self.begun_seconds + START_SECONDS
        while True:
            try:
                ask()()
            except OSError:
                if time.perf_counter() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.01)
            else:
                return time.perf_counter() - self.begun_seconds

    def close(self) -> None:
        """End it as Kubernetes does."""
        self._process.terminate()
        self._process.wait()


class WireSubject:
    """The server asked over one connection; all subjects of one server share its process."""

    def __init__(self, name: str, server: ServerProcess, client: RestClient | GrpcClient) -> None:
        self.measured = Measured(name)
        self._server = server
        self._client = client

    def run_block(self, requests: int) -> None:
        """As `Subject`."""
        cpu_begun = read_cpu_seconds(self._server.pid)
        for _ in range(requests):
            begun = time.perf_counter()
            self._client.ask()
            self.measured.milliseconds.append(1e3 * (time.perf_counter() - begun))
        cpu_seconds = read_cpu_seconds(self._server.pid) - cpu_begun
        self.measured.cpu_milliseconds.append(1e3 * cpu_seconds / requests)
        self.measured.resident_mebibytes = read_resident_mebibytes(self._server.pid)

    def close(self) -> None:
        """As `Subject`; the server is ended by who started it."""
        self._client.close()


def load_engine(kind: str, folder: Path) -> Callable[[], object]:
    """What answers for the first golden input, called inside this process."""
    image = read_image(folder)
    if kind == "tensorflow":
        return _load_tensorflow(folder, image)
    from model_server.servable import EngineSettings, load_servable

    assert kind in {"litert", "openvino"}  # noqa: S101
    servable = load_servable("m", 1, folder, EngineSettings(1, 1, kind=kind))  # type: ignore[arg-type]
    document = parse_golden((folder / "assets.extra/golden/golden.json").read_bytes())
    signature = servable.signatures[document.signature]
    return lambda: servable.run(signature, {document.input: image})


def _load_tensorflow(folder: Path, image: np.ndarray[Any, Any]) -> Callable[[], object]:
    """The float32 SavedModel in TensorFlow, one thread."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    return lambda: next(iter(signature(**{name: tf.constant(image)}).values())).numpy()


def main() -> None:
    """The process of an engine."""
    ask = load_engine(sys.argv[1], Path(sys.argv[2]))
    ask()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer = run_block(ask, order["requests"]) if "requests" in order else run_threads(ask, order)
        print(json.dumps(answer), flush=True)


def run_block(ask: Callable[[], object], requests: int) -> dict[str, Any]:
    """So many requests one after the other."""
    milliseconds = []
    cpu_begun = time.process_time()
    for _ in range(requests):
        begun = time.perf_counter()
        ask()
        milliseconds.append(1e3 * (time.perf_counter() - begun))
    cpu_milliseconds = 1e3 * (time.process_time() - cpu_begun) / requests
    return {"milliseconds": milliseconds, "cpuMilliseconds": cpu_milliseconds}


def run_threads(ask: Callable[[], object], order: dict[str, Any]) -> dict[str, Any]:
    """Threads that ask again as soon as they are answered."""
    loaded = saturate(lambda: InProcess(ask), order["clients"], order["seconds"])
    return {"milliseconds": loaded.milliseconds, "seconds": loaded.seconds}


@dataclass
class InProcess:
    """A client without a wire."""

    ask: Callable[[], object]

    def close(self) -> None:
        """There is nothing to close."""


if __name__ == "__main__":
    main()
