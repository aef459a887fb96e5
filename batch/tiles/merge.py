"""Masks of overlapping windows to masks of the whole picture. By mask, never by box. Knows runs and windows only.

1. A mask that its window has cut goes if all of it lies in another window that did not cut it: that window saw more.
2. Masks of two windows are the same object if they agree in the pixels that both windows saw.
3. Of the same object the best mask that no window has cut stays; where all are cut, the object is their union.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from batch.tiles import runs as run_math
from batch.tiles.runs import Runs
from batch.tiles.windows import Window
from segmentation.types import Size

SAME = 0.5
"""Intersection over union, in the pixels that two windows share, from which two masks show the same object."""
CUT_MARGIN = 1
"""Pixels from a window's inner border within which a mask counts as cut."""


@dataclass(frozen=True, slots=True)
class TileMask:
    """A mask that was found in a window; runs and box in the picture's frame."""

    window: int
    runs: Runs
    box: Window
    area: int
    predicted_iou: float
    stability_score: float


def merge(masks: Sequence[TileMask], windows: Sequence[Window], size: Size) -> list[TileMask]:
    """The objects of the picture, each once, in the order in which they were found."""
    height = size[0]
    kept = [
        mask for mask in masks if not (_is_cut(mask, windows[mask.window], size) and _seen_better(mask, windows, size))
    ]
    groups = _Groups(len(kept))
    by_window: dict[int, list[int]] = {}
    for index, mask in enumerate(kept):
        by_window.setdefault(mask.window, []).append(index)
    for first, second, shared in _neighbours(windows):
        here, there = (
            [
                (index, run_math.clip(kept[index].runs, shared, height))
                for index in by_window.get(window, ())
                if kept[index].box.common(shared) is not None
            ]
            for window in (first, second)
        )
        for a, a_runs in here:
            for b, b_runs in there:
                near = kept[a].box.common(kept[b].box) is not None
                if near and run_math.agreement(a_runs, b_runs, height) >= SAME:
                    groups.join(a, b)
    return [_one(members, windows, size) for members in groups.members(kept)]


def _one(members: list[TileMask], windows: Sequence[Window], size: Size) -> TileMask:
    whole = [mask for mask in members if not _is_cut(mask, windows[mask.window], size)]
    if whole or len(members) == 1:
        return max(whole or members, key=lambda mask: mask.predicted_iou)
    runs = run_math.union([mask.runs for mask in members], size[0])
    weights = np.array([mask.area for mask in members], np.float64)
    return TileMask(
        window=members[0].window,
        runs=runs,
        box=run_math.box(runs, size[0]),
        area=run_math.area(runs),
        predicted_iou=float(np.average([mask.predicted_iou for mask in members], weights=weights)),
        stability_score=float(np.average([mask.stability_score for mask in members], weights=weights)),
    )


def _is_cut(mask: TileMask, window: Window, size: Size) -> bool:
    """Whether the mask ends at a border of its window that is none of the picture."""
    height, width = size
    return (
        (window.x0 > 0 and mask.box.x0 <= window.x0 + CUT_MARGIN)
        or (window.y0 > 0 and mask.box.y0 <= window.y0 + CUT_MARGIN)
        or (window.x1 < width and mask.box.x1 >= window.x1 - CUT_MARGIN)
        or (window.y1 < height and mask.box.y1 >= window.y1 - CUT_MARGIN)
    )


def _seen_better(mask: TileMask, windows: Sequence[Window], size: Size) -> bool:
    return any(
        window.common(mask.box) == mask.box and not _is_cut(mask, window, size)
        for index, window in enumerate(windows)
        if index != mask.window
    )


def _neighbours(windows: Sequence[Window]) -> list[tuple[int, int, Window]]:
    """Pairs of windows with the pixels that both saw."""
    return [
        (first, second, shared)
        for first in range(len(windows))
        for second in range(first + 1, len(windows))
        if (shared := windows[first].common(windows[second])) is not None
    ]


class _Groups:
    """Union-find."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def join(self, a: int, b: int) -> None:
        first, second = sorted((self._root(a), self._root(b)))
        self._parents[second] = first

    def members(self, masks: Sequence[TileMask]) -> list[list[TileMask]]:
        found: dict[int, list[TileMask]] = {}
        for index, mask in enumerate(masks):
            found.setdefault(self._root(index), []).append(mask)
        return list(found.values())

    def _root(self, index: int) -> int:
        while self._parents[index] != index:
            self._parents[index] = self._parents[self._parents[index]]
            index = self._parents[index]
        return index
