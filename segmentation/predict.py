"""Masks of prompts on one embedded picture, as `SamPredictor.predict` gives them, without its state."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.protocol import DecoderBackend, PreparedImage
from segmentation.masks.measure import MeasuredMask, measure_masks
from segmentation.masks.rle import from_runs
from segmentation.masks.upscale import upscale_table
from segmentation.prompts import tokenize
from segmentation.types import MaskRecord, Prompt, Size

STABILITY_OFFSET = 1.0


def segment(
    decoder: DecoderBackend,
    image: PreparedImage,
    size: Size,
    prompts: Sequence[Prompt],
    *,
    multimask: bool = True,
    return_logits: bool = False,
) -> list[list[MaskRecord]]:
    """The masks of each prompt, best predicted IoU first.

    Args:
        image: the whole picture, by `decoder.prepare`.
        size: of the picture.
        prompts: as `validate_prompt` returns them.
        multimask: three masks per prompt, or SAM's single mask.
        return_logits: keep the low-res logits, to be sent back as `mask_input`.
    """
    architecture = decoder.architecture
    table = upscale_table(size, architecture.frame, architecture.low_res_side)
    height, width = size
    measure = partial(
        measure_masks,
        table=table,
        crop_box=(0, 0, width, height),
        size=size,
        stability_offset=STABILITY_OFFSET,
        workers=decoder.workers,
    )
    results: list[list[MaskRecord]] = [[] for _ in prompts]
    for indices, tokens in tokenize(prompts, size, architecture):
        decoded = decoder.decode(image, tokens, multimask=multimask)
        for (prompt, index), logits, mask in zip(decoded.index, decoded.logits, measure(decoded.logits), strict=True):
            kept = logits.copy() if return_logits else None
            record = _record(mask, float(decoded.predicted_iou[prompt, index]), size, kept)
            results[indices[prompt]].append(record)
    return [sorted(records, key=lambda record: -record.predicted_iou) for records in results]


def _record(mask: MeasuredMask, predicted_iou: float, size: Size, logits: NDArray[np.float32] | None) -> MaskRecord:
    x0, y0, x1, y1 = mask.box
    return MaskRecord(
        rle=from_runs(mask.runs, size),
        bbox=(x0, y0, x1 - x0 + 1, y1 - y0 + 1) if mask.area else (0, 0, 0, 0),
        area=mask.area,
        predicted_iou=predicted_iou,
        stability_score=mask.stability_score,
        logits=logits,
    )
