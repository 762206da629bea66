"""The machine that this runs on, as its kernel tells of it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """On which something was measured.

    Attributes:
        processor: its name, as the kernel tells it.
        cores: what the kernel may schedule on.
        memory_gibibytes: of the machine.
        kernel: its release.
    """

    processor: str
    cores: int
    memory_gibibytes: float
    kernel: str


def read_machine() -> Machine:
    """This one."""
    processor = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    return Machine(
        processor=processor[1].strip() if processor else os.uname().machine,
        cores=count_cores(),
        memory_gibibytes=round(int(memory[1]) / 2**20, 1) if memory else 0.0,
        kernel=os.uname().release,
    )


def count_cores() -> int:
    """What the kernel may schedule on."""
    return os.cpu_count() or 1


def read_node_cpu_seconds() -> float:
    """CPU time that this machine's processes have taken since it started: all but idle and waiting."""
    first = Path("/proc/stat").read_text().splitlines()[0].split()
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = (int(ticks) for ticks in first[1:9])
    # what other guests of the host took is no work of this machine
    del stolen
    return (user + nice + system + interrupts + soft) / os.sysconf("SC_CLK_TCK")
