"""Compiles kernels on a thread while the model runs: a fresh machine's first picture does not wait for all of them."""

import threading
from collections.abc import Callable

from analysis.warmup import warm_up as compile_analysis
from segmentation.warmup import warm_up as compile_core


def compile_all() -> None:
    """Every kernel, in the order in which a picture needs them. Seconds on a fresh machine, then read from a cache."""
    compile_core()
    compile_analysis()


def start_compiling(kernels: Callable[[], None] = compile_all) -> None:
    """Returns at once. A kernel that is needed before it is compiled is waited for.

    Runtimes and LLVM hold no GIL, so that on two cores the work of both overlaps.
    """
    threading.Thread(target=kernels, name="compiler", daemon=True).start()
