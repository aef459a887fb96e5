"""What every benchmark shares: the machine, its measured GEMM peak, interleaved medians, the JSON line at the end."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

RESULTS = Path(os.environ.get("BENCHMARK_RESULTS") or Path(__file__).parent / "results")
PACKAGES = (
    "torch",
    "triton",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "segment-anything",
    "transformers",
    "numpy",
    "numba",
    "pillow",
    "ray",
    "prometheus-client",
    "opentelemetry-exporter-prometheus",
)


def machine(threads: int) -> dict[str, object]:
    """Processor, cores, threads used, load before the run, and versions of what computes."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def gemm_peak(threads: int, side: int = 2048, repeats: int = 8, dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of the best of several square matrix products: the floor of every figure is stated against it."""
    torch.set_num_threads(threads)
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    return 2 * side**3 / min(_seconds(lambda: a @ b) for _ in range(repeats)) / 1e9


def interleaved(contenders: Mapping[str, Callable[[], object]], rounds: int = 5, warmup: int = 1) -> dict[str, float]:
    """Median seconds of each contender, run in turn round by round, so that a drifting machine hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(warmup + rounds):
        for name, run in contenders.items():
            seconds = _seconds(run)
            if round_number >= warmup:
                times[name].append(seconds)
    return {name: statistics.median(values) for name, values in times.items()}


def finish(name: str, result: dict[str, object]) -> None:
    """Prints the result as the last line, in JSON, and keeps it in `RESULTS`."""
    RESULTS.mkdir(exist_ok=True)
    line = json.dumps({"benchmark": name, **result})
    (RESULTS / f"{name}.json").write_text(json.dumps({"benchmark": name, **result}, indent=2) + "\n")
    print(line)


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
