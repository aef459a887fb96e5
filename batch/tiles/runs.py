"""Masks as sorted runs of a huge picture: int64 [K, 2], (start, end), end exclusive, positions x * height + y.

A run never leaves its column. Full-size arrays are never made.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from batch.tiles.windows import Window

Runs = NDArray[np.int64]


def place_runs(runs: Runs, window: Window, height: int) -> Runs:
    """Runs of a window's own frame in that of a picture of this height."""
    rows = window.size[0]
    x, y = np.divmod(runs[:, 0], rows)
    starts = (x + window.x0) * height + y + window.y0
    return np.stack([starts, starts + runs[:, 1] - runs[:, 0]], axis=1)


def area(runs: Runs) -> int:
    """Pixels."""
    return int((runs[:, 1] - runs[:, 0]).sum())


def box(runs: Runs, height: int) -> Window:
    """The pixels' extent."""
    x, y = np.divmod(runs[:, 0], height)
    return Window(int(x[0]), int(y.min()), int(x[-1]) + 1, int((y + runs[:, 1] - runs[:, 0]).max()))


def clip(runs: Runs, window: Window, height: int) -> Runs:
    """What of a mask lies in a window."""
    first, last = np.searchsorted(runs[:, 0], (window.x0 * height, window.x1 * height))
    inside = runs[first:last]
    columns = inside[:, 0] // height * height
    starts = np.maximum(inside[:, 0], columns + window.y0)
    ends = np.minimum(inside[:, 1], columns + window.y1)
    kept = starts < ends
    return np.stack([starts[kept], ends[kept]], axis=1)


def union(masks: Sequence[Runs], height: int) -> Runs:
    """The pixels of any of the masks."""
    everything = np.concatenate(masks)
    everything = everything[np.argsort(everything[:, 0], kind="stable")]
    if not len(everything):
        return everything
    reach = np.maximum.accumulate(everything[:, 1])
    # A gap begins a new run, and so does the start of a column where the column before is filled to its end.
    new = np.ones(len(everything), np.bool_)
    later = everything[1:, 0]
    new[1:] = (later > reach[:-1]) | ((later == reach[:-1]) & (later % height == 0))
    starts = np.flatnonzero(new)
    return np.stack([everything[starts, 0], reach[np.append(starts[1:] - 1, len(reach) - 1)]], axis=1)


def agreement(a: Runs, b: Runs, height: int) -> float:
    """Intersection over union; 0 for two empty masks."""
    whole = area(union([a, b], height))
    return (area(a) + area(b) - whole) / whole if whole else 0.0
