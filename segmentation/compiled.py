"""The only module that imports numba: array loops compiled on first use, kept on disk, and run without the GIL.

Kernels are private to their modules and take C-contiguous, writable arrays: numba compiles a kernel anew for arrays of
another layout. `segmentation.warmup.warm_up` compiles them all.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` with numba in nopython mode; IEEE arithmetic: no fast-math, 0 / 0 is NaN."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        # No folder that the cache could live in: a read-only install and no home, as in hardened containers.
        return cast(F, numba.njit(nogil=True, error_model="numpy")(function))
