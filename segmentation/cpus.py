"""How many CPUs this process may use: its affinity (taskset, Slurm) and the quota of its container count, not the
machine."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
UNLIMITED = 1e6


def usable_cpus(cgroup: Path = CGROUP, own_groups: Path = OWN_GROUPS) -> int:
    """CPUs, at least 1; a quota of a part of one is rounded up.

    Args:
        cgroup: where the limits of control groups are, of version 2 or 1. In a container its root is the process's own.
        own_groups: says which groups the process is in, where that is not the root.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, math.ceil(min(map(_quota, _groups(cgroup, own_groups))))))


def _groups(cgroup: Path, own_groups: Path) -> list[Path]:
    """The folders of the process's groups that may limit its CPUs, from the root."""
    found = [cgroup, cgroup / "cpu"]
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = cgroup / "cpu" if controllers else cgroup
        for part in Path(path).parts[1:]:
            folder /= part
            found.append(folder)
    return found


def _quota(group: Path) -> float:
    try:
        if (limits := group / "cpu.max").is_file():
            quota, period = limits.read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        if quota == "max" or float(quota) <= 0:
            return UNLIMITED
        return float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return UNLIMITED  # no limit that could be read
