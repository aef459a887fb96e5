"""Greedy box non-maximum suppression, equal to torchvision's on the CPU, ties included."""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled


def box_nms(boxes: NDArray[np.int64], scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """Indices of the boxes that stay, best score first; equal scores in the order given.

    Box areas are (x1 - x0) * (y1 - y0) as in SAM, so a mask one pixel wide has area 0 and never overlaps anything.
    `torchvision.ops.batched_nms` leaves the order of equal scores open above 1,000 boxes; the set is the same.

    Args:
        boxes: [N, 4], (x0, y0, x1, y1).
        scores: [N].
        iou_threshold: a box goes when its IoU with a better one that stays is above this.
    """
    order = np.argsort(-scores, kind="stable")
    sides = np.ascontiguousarray(boxes[order].T, np.float32)
    return order[_nms(sides, float(iou_threshold))]


@compiled
def _nms(sides: NDArray[np.float32], iou_threshold: float) -> NDArray[np.bool_]:
    """Which of the boxes, float32 [4, N], best first, stay."""
    x0, y0, x1, y1 = sides
    count = sides.shape[1]
    area = (x1 - x0) * (y1 - y0)
    zero = np.float32(0)
    stays = np.ones(count, np.bool_)
    for i in range(count):
        if not stays[i]:
            continue
        for j in range(i + 1, count):
            width = max(zero, min(x1[i], x1[j]) - max(x0[i], x0[j]))
            height = max(zero, min(y1[i], y1[j]) - max(y0[i], y0[j]))
            overlap = width * height
            # Not `<=`: 0 / 0 is NaN, and boxes without area stay.
            goes = overlap / (area[i] + area[j] - overlap) > iou_threshold
            stays[j] = stays[j] & (not goes)
    return stays
