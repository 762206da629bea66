"""How many processors this process may use: the cgroup's CPU quota (v2 and v1), else the scheduler's affinity."""

import math
import os
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def read_processors(cgroup_root: Path = CGROUP_ROOT, own_cgroup: Path = OWN_CGROUP) -> int:
    """At least 1: the quota rounded up, and never more than the affinity allows."""
    affinity = len(os.sched_getaffinity(0))
    limits = [limit for folder in find_cgroup_folders(cgroup_root, own_cgroup, "cpu") if (limit := _read_limit(folder))]
    return max(1, min([affinity, *(math.ceil(limit) for limit in limits)]))


def find_cgroup_folders(root: Path, own_cgroup: Path, controller: str) -> list[Path]:
    """The process's own groups and all above them, since the tightest limit on the way to the root counts."""
    lines = own_cgroup.read_text(encoding="utf-8").splitlines() if own_cgroup.exists() else []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or controller in controllers.split(","):
            # A v1 hierarchy has a folder of its own; inside a container the own path may lead outside the mount.
            top = root / controllers if controllers else root
            own = Path(path.lstrip("/"))
            folders += [top / own, *(top / parent for parent in own.parents)]
    return [*folders, root, root / controller]


def _read_limit(folder: Path) -> float | None:
    """The quota as a number of processors; None where there is none."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        return None if quota in {"max", "-1"} else int(quota) / int(period)
    except (OSError, ValueError):
        return None
