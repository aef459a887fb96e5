"""What commands import, and how fast `--help` is: a fresh process each."""

import subprocess
import sys
import time

import pytest

from segmentation.weights.manifest import PROJECT_ROOT

HEAVY = {"ray", "torch", "numpy", "onnxruntime", "numba", "pyarrow", "zarr", "pandas", "fastapi", "httpx"}


def imported(module: str) -> set[str]:
    code = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_imports_nothing_heavy_and_costs_half_a_second_at_most() -> None:
    assert not imported("commands.main") & HEAVY
    before = time.process_time()
    resource = "import resource; r = resource.getrusage(resource.RUSAGE_SELF); print(r.ru_utime + r.ru_stime)"
    code = f"from commands.main import main; main(['--help']); {resource}"
    command = [sys.executable, "-c", code]
    spent = [
        float(subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True).stdout.split()[-1])
        for _ in range(3)
    ]
    assert min(spent) < 0.5
    assert time.process_time() - before < 1


@pytest.mark.parametrize("module", ["commands.everything", "commands.segment", "commands.bench"])
def test_an_install_without_the_extras_runs(module: str) -> None:
    assert not imported(module) & {"ray", "torch", "pyarrow", "zarr", "pandas", "fsspec", "skimage", "onnx"}
