"""Masks as the JSON objects of an answer. Made in the replicas, so that full-size masks never travel."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from deployments.calls.messages import Json
from deployments.calls.npy import to_base64_npy
from segmentation.errors import LimitExceeded
from segmentation.masks.formats import MaskFormat, segmentation_value
from segmentation.types import MaskRecord

MAX_CORNERS = 4_000_000
"""Of the outlines of one answer. A corner is about 15 bytes of JSON and 120 of memory."""
MAX_RLE_BYTES = 64_000_000
"""Of the run lengths of one answer."""


class AnswerSize:
    """What the masks of one answer take, counted before they are written.

    A mask of noise on 64 megapixels has a million corners, and an answer may have hundreds of masks.
    """

    def __init__(self, mask_format: MaskFormat) -> None:
        self._format = mask_format
        self._rle_bytes = 0

    def add(self, records: Sequence[MaskRecord]) -> None:
        """Counts these masks too.

        Raises:
            LimitExceeded: the answer would be too large.
        """
        self._rle_bytes += sum(len(record.rle.counts) for record in records)
        # A run is written in two characters at least, and has four corners: about two for each character.
        if self._format == "polygon" and 2 * self._rle_bytes > MAX_CORNERS:
            raise LimitExceeded(
                f"the outlines of these masks may have over {MAX_CORNERS} corners; ask for rle, or for fewer masks",
                "/mask_format",
            )
        if self._format == "rle" and self._rle_bytes > MAX_RLE_BYTES:
            raise LimitExceeded(
                f"the run lengths of these masks have over {MAX_RLE_BYTES // 1_000_000} MB; ask for fewer masks",
                "/prompts",
            )


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
