"""Masks of prompts on one embedded picture, as `SamPredictor.predict` gives them, without its state."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentation.backends.protocol import DecoderBackend
from segmentation.postprocess import measure_mask
from segmentation.prompts import tokenize
from segmentation.rle import from_runs
from segmentation.types import MaskRecord, Prompt, Size
from segmentation.upscale import UpscaleTable, upscale_table

STABILITY_OFFSET = 1.0


def segment(
    decoder: DecoderBackend,
    embedding: NDArray[np.float32],
    size: Size,
    prompts: Sequence[Prompt],
    *,
    multimask: bool = True,
    return_logits: bool = False,
) -> list[list[MaskRecord]]:
    """The masks of each prompt, best predicted IoU first.

    Args:
        embedding: float32 [C, h, w], of the whole picture.
        size: of the picture.
        prompts: as `validate_prompt` returns them.
        multimask: three masks per prompt, or SAM's single mask.
        return_logits: keep the low-res logits, to be sent back as `mask_input`.
    """
    architecture = decoder.architecture
    table = upscale_table(size, architecture.image_size, architecture.low_res_side)
    results: list[list[MaskRecord]] = [[] for _ in prompts]
    for indices, tokens in tokenize(prompts, size, architecture):
        decoded = decoder.decode(embedding, tokens, multimask=multimask)
        for (prompt, mask), logits in zip(decoded.index, decoded.logits, strict=True):
            record = _record(logits, float(decoded.predicted_iou[prompt, mask]), table, return_logits)
            results[indices[prompt]].append(record)
    return [sorted(records, key=lambda record: -record.predicted_iou) for records in results]


def _record(logits: NDArray[np.float32], predicted_iou: float, table: UpscaleTable, return_logits: bool) -> MaskRecord:
    height, width = table.size
    mask = measure_mask(logits, table, (0, 0, width, height), table.size, STABILITY_OFFSET)
    x0, y0, x1, y1 = mask.box
    return MaskRecord(
        rle=from_runs(mask.runs, table.size),
        bbox=(x0, y0, x1 - x0 + 1, y1 - y0 + 1) if mask.area else (0, 0, 0, 0),
        area=mask.area,
        predicted_iou=predicted_iou,
        stability_score=mask.stability_score,
        logits=logits.copy() if return_logits else None,
    )
