"""Masks in the formats of Roboflow's answers: polygons of pixel indices, run lengths, and arrays."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from deployments.http.protocols.bodies import aside
from deployments.http.protocols.outlines import boundary_pixels
from deployments.http.protocols.segmenter import ToolMask
from segmentation.masks.rle import decode, encode

BINARY = "application/octet-stream"


def prediction(mask: ToolMask, *, as_rle: bool) -> dict[str, Any]:
    """One mask of `/sam2/segment_image`."""
    masks: Any = boundary_pixels(mask.rle)
    if as_rle:
        masks = {"size": list(mask.rle.size), "counts": mask.rle.counts}
    return {"masks": masks, "confidence": mask.predicted_iou, "format": "rle" if as_rle else "polygon"}


def polygons(masks: Sequence[ToolMask]) -> dict[str, Any]:
    """Masks of `/sam/segment_image`: the largest part of each, in the picture and in the model's low resolution."""
    return {
        "masks": [_largest(boundary_pixels(mask.rle)) for mask in masks],
        "low_res_masks": [_largest(boundary_pixels(encode(_low_res(mask) > 0))) for mask in masks],
    }


async def binary(masks: Sequence[ToolMask]) -> Response:
    """An .npz of `masks`, bool [N, H, W], and `low_res_masks`, float32 [N, side, side]."""

    def write() -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            masks=np.stack([decode(mask.rle) for mask in masks]),
            low_res_masks=np.stack([_low_res(mask) for mask in masks]),
        )
        return buffer.getvalue()

    height, width = masks[0].rle.size
    return Response(await aside(height * width * len(masks), write), media_type=BINARY)


def _largest(chains: list[list[list[int]]]) -> list[list[int]]:
    return chains[0] if chains else []


def _low_res(mask: ToolMask) -> NDArray[np.float32]:
    if mask.logits is None:
        raise RuntimeError("the logits of the masks were not asked for")
    return mask.logits
