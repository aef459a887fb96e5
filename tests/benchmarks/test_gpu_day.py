"""The rehearsal of the benchmarks for a lent GPU, on the CPU."""

import json
from pathlib import Path

import pytest

from benchmarks.gpu_day import Step, main, run, steps


@pytest.mark.timeout(300)
def test_the_rehearsal_runs_every_step_and_keeps_its_results(tmp_path: Path) -> None:
    assert main(["--device", "cpu", "--out", str(tmp_path)]) == 0, [
        log.read_text()[-2000:] for log in tmp_path.glob("*.log")
    ]
    done = json.loads((tmp_path / "summary.json").read_text())
    assert [step["status"] for step in done] == [0] * len(steps("cpu"))
    result = json.loads((tmp_path / "end_to_end_demo_cpu_fp32.json").read_text())
    assert result["masks"]["ours"] == result["masks"]["reference"] > 0


def test_a_step_that_takes_too_long_costs_only_itself(tmp_path: Path) -> None:
    assert run(Step("sleeper", ("-c", "import time; time.sleep(60)"), 1), tmp_path, 1)["status"] == 124


def test_no_step_starts_when_the_time_is_over(tmp_path: Path) -> None:
    assert main(["--device", "cuda", "--out", str(tmp_path), "--budget-s", "0"]) == 1
    assert not list(tmp_path.glob("*.log"))
