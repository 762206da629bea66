"""Runs a load generator as a child process and measures what it took of the processors."""

import bisect
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from load.generating import GeneratorError, GeneratorRun
from load.machine import count_cores, read_node_cpu_seconds

_POLL_SECONDS = 0.05
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_SECONDS_TO_END = 5.0


@dataclass(frozen=True)
class Spent:
    """What a process took from its start to its end.

    Attributes:
        cpu_seconds: of all of it.
        wall_seconds: of all of it.
        node_cpu_seconds: of all processes of the machine meanwhile.
        seen: (unix time, CPU seconds until then), ascending: from its start, some times a second, to its end.
    """

    cpu_seconds: float
    wall_seconds: float
    node_cpu_seconds: float
    seen: tuple[tuple[float, float], ...] = ()

    def cpu_between(self, begin_unix: float, end_unix: float) -> float:
        """The CPU seconds of a part of its time, so that what a program takes to start does not count to its load."""
        return self._cpu_until(end_unix) - self._cpu_until(begin_unix)

    def _cpu_until(self, moment_unix: float) -> float:
        """Straight lines between what was seen; nothing before its start, all of it after its end."""
        place = bisect.bisect_right(self.seen, (moment_unix, float("inf")))
        if place == 0:
            return 0.0
        if place == len(self.seen):
            return self.cpu_seconds
        (before, least), (after, most) = self.seen[place - 1], self.seen[place]
        return least + (most - least) * (moment_unix - before) / (after - before)


def describe_run(spent: Spent, samples: Path, started_unix: float, seconds: float, by: tuple[str, str]) -> GeneratorRun:
    """What a generator's process did whose profile began then and lasted so long; `by` is its name and version."""
    generator, version = by
    return GeneratorRun(
        samples=samples,
        cpu_seconds=spent.cpu_seconds,
        wall_seconds=spent.wall_seconds,
        load_cpu_seconds=spent.cpu_between(started_unix, started_unix + seconds),
        load_seconds=seconds,
        started_unix=started_unix,
        generator=generator,
        version=version,
        cores=count_cores(),
        node_cpu_seconds=spent.node_cpu_seconds,
    )


def run_measured(command: Sequence[str], log: Path, limit_seconds: float, environment: Mapping[str, str]) -> Spent:
    """Run a command to its end; what it prints goes to the log. No process of its own outlives this call.

    Raises:
        GeneratorError: when the command cannot be run, fails, or takes longer than the limit.
    """
    begun, busy, seen = time.monotonic(), read_node_cpu_seconds(), [(time.time(), 0.0)]
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**environment})
    except OSError as error:
        raise GeneratorError(f"{command[0]} cannot be started ({error.strerror}); install it") from error
    try:
        status, cpu_seconds = _wait(process, begun + limit_seconds, seen)
    finally:
        _end(process)
    if status is None:
        raise GeneratorError(f"{log}: the generator did not end within {limit_seconds:.0f} s; {_last_words(log)}")
    if status != 0:
        raise GeneratorError(f"{log}: the generator ended with status {status}; {_last_words(log)}")
    busy = max(0.0, read_node_cpu_seconds() - busy)
    return Spent(cpu_seconds, time.monotonic() - begun, busy, (*seen, (time.time(), cpu_seconds)))


def _wait(
    process: "subprocess.Popen[bytes]", deadline: float, seen: list[tuple[float, float]]
) -> tuple[int | None, float]:
    """The exit status and the CPU seconds, which are also noted as they grow; no status at the deadline.

    wait4 tells of this process and those that it waited for, where getrusage would add up all of our children.
    """
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid != 0:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            return None, 0.0
        seen.append((time.time(), read_cpu_seconds(process.pid)))
        time.sleep(_POLL_SECONDS)


def read_cpu_seconds(pid: int) -> float:
    """What a process took until now, of our own children that were not waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"it said last: {' | '.join(lines)[-2000:]}" if lines else "it said nothing"
