"""The bound on what the masks of one answer take."""

from typing import Any

import numpy as np
import pytest

from deployments.replicas.mask_json import MAX_CORNERS, MAX_RLE_BYTES, AnswerSize
from segmentation.errors import LimitExceeded
from segmentation.masks.polygon import trace_polygons
from segmentation.masks.rle import encode
from segmentation.types import MaskRecord, Rle


def record(rle: Rle) -> MaskRecord:
    return MaskRecord(rle=rle, bbox=(0, 0, 1, 1), area=1, predicted_iou=1.0, stability_score=1.0)


@pytest.mark.parametrize("mask", [np.indices((64, 64)).sum(0) % 2 > 0, np.random.default_rng(0).random((64, 64)) > 0.5])
def test_corners_are_at_most_twice_what_is_counted(mask: Any) -> None:
    """Twice, where runs go on from the foot of a column to the head of the next."""
    rle = encode(mask)
    corners = sum(len(ring) - 1 for polygon in trace_polygons(rle) for ring in polygon)
    assert corners <= 2 * (2 * len(rle.counts))


@pytest.mark.parametrize(("mask_format", "bound"), [("polygon", MAX_CORNERS // 2), ("rle", MAX_RLE_BYTES)])
def test_an_answer_is_bounded_over_all_its_masks(mask_format: Any, bound: int) -> None:
    size = AnswerSize(mask_format)
    size.add([record(Rle((1, 1), "0" * (bound - 10)))])
    size.add([record(Rle((1, 1), "0" * 10))])
    with pytest.raises(LimitExceeded):
        size.add([record(Rle((1, 1), "0"))])
    AnswerSize("png").add([record(Rle((1, 1), "0" * (2 * bound)))])
