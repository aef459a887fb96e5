"""How many CPUs this process may use: its affinity (taskset, Slurm) and the quota of its container count, not the
machine."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = CGROUP) -> int:
    """CPUs, at least 1; a quota of a part of one is rounded up.

    Args:
        cgroup: where the limits of the process's control group are, of version 2 or 1.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(affinity, math.ceil(_quota(cgroup))))


def _quota(cgroup: Path) -> float:
    try:
        if (limits := cgroup / "cpu.max").is_file():
            quota, period = limits.read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        if quota == "max" or float(quota) <= 0:
            return 1e6
        return float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):
        return 1e6  # no limit that could be read
