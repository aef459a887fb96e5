"""Masks as the JSON objects of an answer. Made in the replicas, so that full-size masks never travel."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from deployments.calls.messages import Json
from deployments.calls.npy import to_base64_npy
from segmentation.masks.formats import MaskFormat, segmentation_value
from segmentation.types import MaskRecord


def prompt_mask(record: MaskRecord, mask_format: MaskFormat) -> Json:
    """One mask of `/segment`."""
    answer: dict[str, object] = {
        "segmentation": segmentation_value(record.rle, mask_format),
        "bbox": list(record.bbox),
        "area": record.area,
        "predicted_iou": record.predicted_iou,
        "stability_score": record.stability_score,
    }
    if record.logits is not None:
        answer["logits"] = to_base64_npy(record.logits)
    return answer


def automatic_mask(record: MaskRecord, mask_format: MaskFormat) -> Json:
    """One mask of `/segment/auto`, with the keys and the order of `SamAutomaticMaskGenerator`'s records."""
    return {
        "segmentation": segmentation_value(record.rle, mask_format),
        "area": record.area,
        "bbox": list(record.bbox),
        "predicted_iou": record.predicted_iou,
        "point_coords": [list(point) for point in record.point_coords or ()],
        "stability_score": record.stability_score,
        "crop_box": list(record.crop_box or ()),
    }


async def write_masks(
    records: Sequence[MaskRecord],
    write: Callable[[MaskRecord, MaskFormat], Json],
    mask_format: MaskFormat,
    executor: Executor,
) -> tuple[Json, ...]:
    """The JSON object of each record.

    PNGs, polygons and logits are written on the executor, one job a mask. A caller has at most one job there: callers
    take turns mask by mask, and the work of a caller that is cancelled ends with the mask that is being written.
    """
    if mask_format == "rle" and all(record.logits is None for record in records):
        return tuple(write(record, mask_format) for record in records)
    loop = asyncio.get_running_loop()
    return tuple([await loop.run_in_executor(executor, write, record, mask_format) for record in records])
