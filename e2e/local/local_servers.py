"""Starts model servers on loopback, one core each, and ends the processes it started."""

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from first_answer import answers
from loopback import HOST, free_ports

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / ".envs" / "server" / "bin" / "tensorflow_model_server"
READY_SECONDS = 60


class ServerError(Exception):
    """A server that did not become ready; the message carries its last words."""


@dataclass
class Server:
    """One running server with one model.

    Attributes:
        name: of the model.
        base: folder that holds its version folders.
        core: the CPU that it is pinned to.
        log: where its output goes.
    """

    name: str
    base: Path
    core: int
    log: Path
    host: str = HOST
    grpc_port: int = 0
    rest_port: int = 0
    process: subprocess.Popen[bytes] | None = None
    seconds_to_ready: float = 0.0

    def __enter__(self) -> Self:
        """Start, and return when it is ready to answer."""
        self.grpc_port, self.rest_port = free_ports(2)
        begun = time.monotonic()
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(self._command(), stdout=out, stderr=subprocess.STDOUT)
        try:
            self._wait_until_ready(begun + READY_SECONDS)
        except BaseException:
            self.stop()
            raise
        self.seconds_to_ready = time.monotonic() - begun
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process by SIGTERM."""
        self.stop()

    def _command(self) -> Sequence[str | Path]:
        pinned = ["taskset", "-c", str(self.core)] if shutil.which("taskset") else []
        return [
            *pinned,
            SERVER,
            f"--port={self.grpc_port}",
            f"--rest_api_port={self.rest_port}",
            f"--bind_address={HOST}",
            f"--model_name={self.name}",
            f"--model_base_path={self.base}",
            "--num_tflite_pools=1",
        ]

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self.process is not None and self.process.poll() is not None:
                raise ServerError(f"{self.name}: the server ended with {self.process.returncode}: {self._last_words()}")
            if answers(f"http://{HOST}:{self.rest_port}/readyz", timeout_seconds=1):
                return
            time.sleep(0.05)
        raise ServerError(f"{self.name}: not ready after {READY_SECONDS} s: {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def stop(self) -> None:
        """End the process that this object started: SIGTERM, and SIGKILL when it does not drain in 15 s."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self) -> float:
        """CPU that the process has used, user and system, to the nanosecond; /proc counts in ticks of 10 ms."""
        assert self.process is not None  # noqa: S101
        return time.clock_gettime(_cpu_clock(self.process.pid))

    def resident_mebibytes(self) -> float:
        """Resident memory of the process now."""
        assert self.process is not None  # noqa: S101
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _cpu_clock(pid: int) -> int:
    """Linux' clock of the CPU time of another process: as of clock_getcpuclockid(3)."""
    return (~pid << 3) | 2
