"""Long-running processes by name: started apart from this one, found again by pid and start time, ended by pid."""

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO


class ClusterError(Exception):
    """The node cannot be brought up or used; the message is one sentence with what to do."""


@dataclass(frozen=True)
class Processes:
    """The processes of one node.

    Attributes:
        records: folder with a file a process: pid and start time.
        logs: folder with a log a process.
    """

    records: Path
    logs: Path

    def start(self, name: str, command: list[str]) -> bool:
        """Start the command in a session of its own unless it runs already; whether it was started."""
        if self.pid(name) is not None:
            return False
        self.records.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
            redirections = [(os.POSIX_SPAWN_DUP2, source.fileno(), target) for source, target in _streams(nothing, log)]
            # not subprocess: the process is meant to outlive this one, and nobody waits for it here
            pid = os.posix_spawnp(command[0], command, os.environ, file_actions=redirections, setsid=True)
        (self.records / name).write_text(f"{pid} {read_start_time(pid)}")
        return True

    def pid(self, name: str) -> int | None:
        """The process's id, when it is the one that was started and still runs."""
        record = self.records / name
        if not record.exists():
            return None
        pid, started = record.read_text().split()
        return int(pid) if read_start_time(int(pid)) == started else None

    def stop(self, name: str, seconds: float = 10) -> None:
        """End the process by SIGTERM, and by SIGKILL when it has not gone in time."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + seconds
            while self.pid(name) is not None:
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    deadline += seconds
                time.sleep(0.02)
        (self.records / name).unlink(missing_ok=True)

    def last_words(self, name: str) -> str:
        """The last line of the process's log."""
        log = self.logs / f"{name}.log"
        lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
        return lines[-1] if lines else "its log is empty"


def _streams(nothing: IO[bytes], log: IO[bytes]) -> tuple[tuple[IO[bytes], int], ...]:
    return (nothing, 0), (log, 1), (log, 2)


def read_start_time(pid: int) -> str | None:
    """When the kernel started the process, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] not in "ZX":
        return fields[19]
    with contextlib.suppress(ChildProcessError):  # not ours to reap when another run of the tool started it
        os.waitpid(pid, os.WNOHANG)
    return None


def read_resident_mebibytes(pid: int) -> float:
    """Resident memory of a process; 0 when it has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0
