"""From low-res logits to masks in the picture, in one pass: runs, area, box and stability, without full-size logits.

Interpolated logits lie between their neighbours. Where 3x3 low-res logits are on the same side of every threshold, so
is each pixel that they reach; only the pixels between, along the contour, are computed.

A NaN logit counts as background.
"""

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segmentation.mask_kernel import measure
from segmentation.rle import Runs, runs_area, runs_box
from segmentation.types import CropBox, Size
from segmentation.upscale import UpscaleTable


@dataclass(frozen=True, slots=True)
class MeasuredMask:
    """One mask in the original frame.

    runs: int64 [K, 2], see `segmentation.rle`.
    box: first and last pixel, (x0, y0, x1, y1), all inclusive; the crop's corner (x0, y0, x0, y0) for an empty mask.
    area: pixels.
    stability_score: IoU of the mask at logit thresholds +offset and -offset; 0.0 if both are empty.
    """

    runs: Runs
    box: tuple[int, int, int, int]
    area: int
    stability_score: float


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
    runs, high, low = measure(
        np.require(logits, np.float32, ["C", "W"]),
        table.rows.weights,
        table.rows.bases,
        table.rows.starts,
        table.columns.weights,
        table.columns.bases,
        table.columns.starts,
        (crop_box[0], crop_box[1]),
        size[0],
        np.float32(min(stability_offset, _LARGEST)),
    )
    # float32, as torch divides: the score is compared with a threshold.
    stability = float(np.float32(high) / np.float32(low)) if low else 0.0
    if not len(runs):
        x0, y0 = crop_box[:2]
        return MeasuredMask(runs, (x0, y0, x0, y0), 0, stability)
    return MeasuredMask(runs, runs_box(runs, size), runs_area(runs), stability)


def measure_masks(
    logits: Iterable[NDArray[np.float32]],
    table: UpscaleTable,
    crop_box: CropBox,
    size: Size,
    stability_offset: float,
    workers: Executor,
) -> list[MeasuredMask]:
    """`measure_mask` of several masks, shared out over the workers."""
    one = partial(measure_mask, table=table, crop_box=crop_box, size=size, stability_offset=stability_offset)
    return list(workers.map(one, logits))
