"""What is measured on a GPU that is lent for minutes: all of it in one call, the most wanted figure first.

Each step is a benchmark or a test of its own process with a time limit; a step that fails or takes too long costs only
itself. Results and logs go to a folder; `summary.json` there has each step's exit status and seconds.

    python -m benchmarks.gpu_day --out FOLDER [--device cpu] [--budget-s 540]

`--device cpu` is the rehearsal: the same steps on the demo model, few rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

FUSED_TESTS = "tests/segmentation/backends/pytorch/test_fused_vit.py"


@dataclass(frozen=True, slots=True)
class Step:
    """One process: its name, the arguments of Python, and its limit in seconds."""

    name: str
    arguments: tuple[str, ...]
    limit_s: float


def steps(device: str) -> list[Step]:
    """In the order in which they are wanted."""
    if device == "cpu":
        short, plain = ("--model", "demo", "--rounds", "1"), ("--contenders", "onnx fp32", "--quality", "none")
        return [
            Step("encoder_demo", ("-m", "benchmarks.encoder", *short, *plain), 120),
            Step("end_to_end_demo", ("-m", "benchmarks.end_to_end", *short, "--points-per-side", "8"), 120),
        ]
    gpu = ("--device", "cuda")
    found = [Step("fused_tests", ("-m", "pytest", "-q", FUSED_TESTS, "-p", "no:cacheprovider"), 90)]
    for model in ("vit_h", "vit_b", "vit_l"):
        encoder = ("-m", "benchmarks.encoder", *gpu, "--model", model, "--batches", "1,8", "--quality", "none")
        found.append(Step(f"encoder_{model}", encoder, 120))
    for model in ("vit_h", "vit_b"):
        whole = ("-m", "benchmarks.end_to_end", *gpu, "--model", model, "--precision", "bf16", "--rounds", "3")
        found.append(Step(f"end_to_end_{model}", whole, 90))
    quality = ("-m", "benchmarks.end_to_end", *gpu, "--model", "vit_h", "--precision", "bf16", "--crop-layers", "2")
    return [*found, Step("end_to_end_vit_h_crops", quality, 120)]


def run(step: Step, folder: Path, limit_s: float) -> dict[str, object]:
    """Runs a step; its output goes to a log, its results to the folder."""
    started = time.monotonic()
    environment = {**os.environ, "BENCHMARK_RESULTS": str(folder), "PYTHONUNBUFFERED": "1"}
    with (folder / f"{step.name}.log").open("wb") as log:
        try:
            status = subprocess.run(
                [sys.executable, *step.arguments], env=environment, stdout=log, stderr=log, timeout=limit_s, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
    return {"step": step.name, "status": status, "seconds": round(time.monotonic() - started, 1)}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns 1 if a step failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_day", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of results and logs")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--budget-s", type=float, default=540, help="of all steps together")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + options.budget_s
    done: list[dict[str, object]] = []
    for step in steps(options.device):
        left = end - time.monotonic()
        if left < min(20, step.limit_s):
            done.append({"step": step.name, "status": "no time was left", "seconds": 0})
            continue
        done.append(run(step, options.out, min(step.limit_s, left)))
        print(json.dumps(done[-1]), flush=True)
        (options.out / "summary.json").write_text(json.dumps(done, indent=2) + "\n")
    return 0 if all(step["status"] == 0 for step in done) else 1


if __name__ == "__main__":
    sys.exit(main())
