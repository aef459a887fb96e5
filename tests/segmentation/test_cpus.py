"""CPUs that a process may use, by affinity and by the quota of its container."""

import os
from pathlib import Path

import pytest

from segmentation.cpus import usable_cpus

ALL = len(os.sched_getaffinity(0))


def test_affinity_counts(tmp_path: Path) -> None:
    mine = os.sched_getaffinity(0)
    assert usable_cpus(tmp_path) == ALL
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert usable_cpus(tmp_path) == 1
    finally:
        os.sched_setaffinity(0, mine)


@pytest.mark.parametrize(
    ("limit", "cpus"),
    [("max 100000", ALL), ("100000 100000", 1), ("50000 100000", 1), ("9900000 100000", ALL), ("", ALL)],
)
def test_quotas_count(limit: str, cpus: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    assert usable_cpus(tmp_path) == cpus


def test_quotas_of_version_1_count(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    for name, value in (("cpu.cfs_quota_us", "80000"), ("cpu.cfs_period_us", "100000")):
        (tmp_path / "cpu" / name).write_text(value)
    assert usable_cpus(tmp_path) == 1
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert usable_cpus(tmp_path) == ALL


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/system.slice/sam.service", {"system.slice/sam.service/cpu.max": "50000 100000"}),
        ("0::/system.slice/sam.service", {"system.slice/cpu.max": "50000 100000"}),
        (
            "5:cpuacct,cpu:/sam",
            {"cpu/sam/cpu.cfs_quota_us": "100000", "cpu/sam/cpu.cfs_period_us": "100000"},
        ),
    ],
)
def test_quotas_of_the_own_group_and_those_above_count(groups: str, limits: dict[str, str], tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text(f"4:memory:/elsewhere\n{groups}\n")
    for name, value in limits.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value)
    assert usable_cpus(tmp_path, own) == 1
    own.write_text("0::/another\n")
    assert usable_cpus(tmp_path, own) == ALL
