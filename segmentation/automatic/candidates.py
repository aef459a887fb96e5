"""Masks on their way to an automatic answer, as columns: small enough to travel between processes. Knows no model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Candidates:
    """N masks in the original frame, in the reference's order: crops, then points, then the masks of a point.

    counts: N compressed run lengths, see `segmentation.types.Rle`.
    boxes: int64 [N, 4], first and last pixel (x0, y0, x1, y1), all inclusive: SAM's boxes.
    predicted_iou: float32 [N].
    stability_score: float32 [N].
    points: float64 [N, 2], (x, y).
    areas: int64 [N], in pixels.
    crop_boxes: int64 [N, 4], (x0, y0, x1, y1), the end exclusive.
    """

    counts: tuple[str, ...]
    boxes: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability_score: NDArray[np.float32]
    points: NDArray[np.float64]
    areas: NDArray[np.int64]
    crop_boxes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    def take(self, index: NDArray[np.int64]) -> "Candidates":
        """The candidates at these positions, in this order."""
        return Candidates(
            counts=tuple(self.counts[position] for position in index),
            boxes=self.boxes[index],
            predicted_iou=self.predicted_iou[index],
            stability_score=self.stability_score[index],
            points=self.points[index],
            areas=self.areas[index],
            crop_boxes=self.crop_boxes[index],
        )


def no_candidates() -> Candidates:
    """Zero candidates, with the right dtypes."""
    return Candidates(
        counts=(),
        boxes=np.zeros((0, 4), np.int64),
        predicted_iou=np.zeros(0, np.float32),
        stability_score=np.zeros(0, np.float32),
        points=np.zeros((0, 2)),
        areas=np.zeros(0, np.int64),
        crop_boxes=np.zeros((0, 4), np.int64),
    )


def concatenate(parts: Sequence[Candidates]) -> Candidates:
    """All candidates of the parts, in order."""
    if not parts:
        return no_candidates()
    return Candidates(
        counts=tuple(counts for part in parts for counts in part.counts),
        boxes=np.concatenate([part.boxes for part in parts]),
        predicted_iou=np.concatenate([part.predicted_iou for part in parts]),
        stability_score=np.concatenate([part.stability_score for part in parts]),
        points=np.concatenate([part.points for part in parts]),
        areas=np.concatenate([part.areas for part in parts]),
        crop_boxes=np.concatenate([part.crop_boxes for part in parts]),
    )
