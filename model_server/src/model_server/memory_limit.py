"""How much memory the cgroup (v2 and v1) leaves to this process, and what of it requests may take."""

import os
from dataclasses import dataclass
from pathlib import Path

from model_server.cpu_limit import CGROUP_ROOT, OWN_CGROUP, find_cgroup_folders

STATM = Path("/proc/self/statm")
_LIMIT_FILES = ("memory.max", "memory.limit_in_bytes")
# A number in JSON takes about ten times its text while it is read and answered; a message takes itself, the graph's
# input, its output and the answer.
REST_SHARE, GRPC_SHARE = 1 / 8, 1 / 4
# Less than this and a server under a limit that is too tight for its model would refuse what it can answer.
LEAST_BYTES = 16 * 1024 * 1024
MOST_REST_BYTES = 1024 * 1024 * 1024
LARGEST_MESSAGE_BYTES = 2**31 - 1
# Held by 64 threads with the largest messages: no bound.
_UNBOUNDED_BYTES = 2**63


@dataclass(frozen=True)
class RequestLimits:
    """How many bytes of requests and of unread answers each wire holds at most; by default as without a limit."""

    rest_bytes: int = MOST_REST_BYTES
    grpc_bytes: int = _UNBOUNDED_BYTES

    @property
    def grpc_message_bytes(self) -> int:
        """The largest message that is taken."""
        return min(self.grpc_bytes, LARGEST_MESSAGE_BYTES)


def plan_request_limits(left_bytes: int | None) -> RequestLimits:
    """Shares of what is left; None stands for no limit."""
    if left_bytes is None:
        return RequestLimits()
    return RequestLimits(
        min(max(int(left_bytes * REST_SHARE), LEAST_BYTES), MOST_REST_BYTES),
        max(int(left_bytes * GRPC_SHARE), LEAST_BYTES),
    )


def read_memory_left(cgroup_root: Path = CGROUP_ROOT, own_cgroup: Path = OWN_CGROUP, statm: Path = STATM) -> int | None:
    """The tightest limit on the way to the root less what this process holds now; None where there is no limit."""
    folders = find_cgroup_folders(cgroup_root, own_cgroup, "memory")
    limits = [limit for folder in folders if (limit := _read_limit(folder)) is not None]
    if not limits:
        return None
    resident_pages = int(statm.read_text(encoding="ascii").split()[1])
    return max(min(limits) - resident_pages * os.sysconf("SC_PAGE_SIZE"), 0)


def _read_limit(folder: Path) -> int | None:
    for name in _LIMIT_FILES:
        try:
            # Version 1 states a limit that no machine has, version 2 the word "max".
            return int((folder / name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
    return None
