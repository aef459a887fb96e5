"""What is compiled at the first request would make it wait."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in (ROOT / "segmentation").rglob("*.py")
    if "\n@compiled\n" in path.read_text(encoding="utf-8")
)
COLD = f"""
import importlib
from numba.core.dispatcher import Dispatcher
from segmentation.warmup import warm_up
warm_up()
for name in {SOURCES}:
    for kernel in vars(importlib.import_module(name)).values():
        if isinstance(kernel, Dispatcher) and not kernel.signatures:
            print(kernel.py_func.__qualname__)
"""


def test_every_kernel_is_compiled() -> None:
    assert len(SOURCES) >= 5
    run = subprocess.run(
        [sys.executable, "-c", COLD], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    # Those that are compiled into others have no signatures of their own when these come from the cache.
    assert {name for name in run.stdout.split() if not name.startswith("_")} == set()
