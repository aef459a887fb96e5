"""Compiles every kernel of the core before the first request; seconds on a fresh machine, then read from a cache."""

import numpy as np

from segmentation.backends.onnx.upscale import to_pixel_order
from segmentation.masks.measure import measure_mask
from segmentation.masks.nms import box_nms
from segmentation.masks.polygon import trace_polygons
from segmentation.masks.regions import remove_small_regions
from segmentation.masks.rle import decode, from_runs
from segmentation.masks.upscale import upscale_table
from segmentation.transforms import InputFrame


def warm_up() -> None:
    """Run all compiled code once, on a mask of a few pixels."""
    size = (8, 8)
    logits = np.full((8, 8), -8, np.float32)
    logits[2:5, 2:5] = 8
    mask = measure_mask(logits, upscale_table(size, InputFrame(16), 8), (0, 0, 8, 8), size, 1.0)
    runs, _ = remove_small_regions(mask.runs, size, 4)
    rle = from_runs(runs, size)
    decode(rle)
    trace_polygons(rle)
    box_nms(np.array([mask.box, mask.box]), np.zeros(2, np.float32), 0.5)
    to_pixel_order(np.zeros((1, 4, 16), np.float32), 2, 0, np.zeros((1, 8, 8), np.float32))
