"""From low-res logits to masks in the picture, in one pass: runs, area, box and stability, without full-size logits.

Interpolated logits lie between their neighbours. Where 3x3 low-res logits are on the same side of every threshold, so
is each pixel that they reach; only the pixels between, along the contour, are computed.

A NaN logit counts as background.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segmentation.masks.kernel import find_turns
from segmentation.masks.rle import Runs, runs_area, runs_box
from segmentation.masks.run_boundaries import to_runs
from segmentation.masks.upscale import UpscaleTable
from segmentation.types import CropBox, Size
from segmentation.workers import Workers


@dataclass(frozen=True, slots=True)
class MeasuredMask:
    """One mask in the original frame.

    runs: int64 [K, 2], see `segmentation.masks.rle`.
    box: first and last pixel, (x0, y0, x1, y1), all inclusive; the crop's corner (x0, y0, x0, y0) for an empty mask.
    area: pixels.
    stability_score: IoU of the mask at logit thresholds +offset and -offset; 0.0 if both are empty.
    """

    runs: Runs
    box: tuple[int, int, int, int]
    area: int
    stability_score: float


Turns = tuple[NDArray[np.int32], int, int]
"""What `find_turns` gives for a band of a mask."""

FEW = 3
BANDS = 2
"""Of `FEW` masks each is measured in bands, so that no thread waits for another's last mask."""

_LARGEST = float(np.finfo(np.float32).max)


def measure_mask(
    logits: NDArray[np.float32], table: UpscaleTable, crop_box: CropBox, size: Size, stability_offset: float
) -> MeasuredMask:
    """The mask where the logits, resized to the crop, are above 0.

    Args:
        logits: float32 [S, S], a decoder's low-res logits.
        table: from these logits to the crop.
        crop_box: the crop that was encoded, in the original frame.
        size: of the picture; the mask is empty outside the crop.
        stability_offset: of the two thresholds of the stability score, at least 0.
    """
    return _measured([_turns(logits, table, stability_offset)], crop_box, size)


def measure_masks(
    logits: NDArray[np.float32],
    table: UpscaleTable,
    crop_box: CropBox,
    size: Size,
    stability_offset: float,
    workers: Workers,
) -> list[MeasuredMask]:
    """`measure_mask` of several masks, float32 [K, S, S], shared out over the workers."""
    if len(logits) > FEW:
        one = partial(measure_mask, table=table, crop_box=crop_box, size=size, stability_offset=stability_offset)
        return workers.map(one, list(logits))
    bands = min(BANDS, workers.threads)

    def turns_of(part: tuple[NDArray[np.float32], int]) -> Turns:
        return _turns(part[0], table, stability_offset, part[1], bands)

    turns = workers.map(turns_of, [(mask, band) for mask in logits for band in range(bands)])
    return [_measured(turns[first : first + bands], crop_box, size) for first in range(0, len(turns), bands)]


def _turns(
    logits: NDArray[np.float32], table: UpscaleTable, stability_offset: float, band: int = 0, bands: int = 1
) -> Turns:
    return find_turns(
        np.require(logits, np.float32, ["C", "W"]),
        table.rows.weights,
        table.rows.bases,
        table.rows.starts,
        table.columns.weights,
        table.columns.bases,
        table.columns.starts,
        np.float32(min(stability_offset, _LARGEST)),
        band,
        bands,
    )


def _measured(bands: Sequence[Turns], crop_box: CropBox, size: Size) -> MeasuredMask:
    """The mask of all its bands, from the top."""
    turns = np.concatenate([turns for turns, _, _ in bands])
    high, low = (sum(band[position] for band in bands) for position in (1, 2))
    x0, y0, x1, _ = crop_box
    runs = to_runs(turns, x1 - x0, (x0, y0), size[0])
    # float32, as torch divides: the score is compared with a threshold.
    stability = float(np.float32(high) / np.float32(low)) if low else 0.0
    if not len(runs):
        return MeasuredMask(runs, (x0, y0, x0, y0), 0, stability)
    return MeasuredMask(runs, runs_box(runs, size), runs_area(runs), stability)
