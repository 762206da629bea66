"""Whether this machine can run a node: rights, space, memory, kernel. Each miss is one sentence with its remedy."""

import os
import shutil
import subprocess
from pathlib import Path

LEAST_FREE_BYTES = 25 * 10**9
LEAST_MEMORY_BYTES = 3 * 2**30
_PROBE = "ip link add probe0 type veth peer name probe1 && ip link add probe2 type bridge && iptables -t nat -L -n"


def read_problems(folder: Path) -> list[str]:
    """What is missing, first things first; empty when a node can run.

    Args:
        folder: where the node's state is to be, or the nearest folder above it that exists.
    """
    if os.geteuid() != 0:
        return ["the node needs root: run as root, or use CLUSTER=current with a cluster that kubectl points at"]
    problems = []
    free = shutil.disk_usage(_existing(folder)).free
    if free < LEAST_FREE_BYTES:
        problems.append(
            f"{free / 1e9:.0f} GB are free below {folder}, but 25 are needed: free some or set STATE elsewhere"
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if memory < LEAST_MEMORY_BYTES:
        problems.append(f"the machine has {memory / 2**30:.1f} GiB of memory, but the node needs 3")
    if "overlay" not in Path("/proc/filesystems").read_text():
        problems.append("the kernel has no overlay file system: load the module `overlay`")
    problems += [
        f"the cgroup controller {name} is not mounted: mount it below /sys/fs/cgroup"
        for name in ("cpu", "memory", "pids")
        if not _has_controller(name)
    ]
    return problems or _probe_network()


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _has_controller(name: str) -> bool:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return name in unified.read_text().split()
    return Path("/sys/fs/cgroup", name).is_dir()


def _probe_network() -> list[str]:
    """Try what the node's network needs in a namespace that goes away by itself."""
    tried = subprocess.run(["unshare", "-n", "sh", "-c", _PROBE], check=False, capture_output=True, text=True)
    if tried.returncode == 0:
        return []
    reason = (tried.stderr.strip().splitlines() or ["no message"])[-1]
    return [
        f"a network namespace with veth, bridge and NAT cannot be made ({reason}): run where CAP_NET_ADMIN is given"
    ]
