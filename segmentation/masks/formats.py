"""How a mask is written in an answer: COCO RLE, GeoJSON polygons, or a PNG."""

import base64
import io
from typing import Any, Literal

import numpy as np
from PIL import Image

from segmentation.masks.polygon import trace_polygons
from segmentation.masks.rle import decode
from segmentation.types import Rle

MaskFormat = Literal["rle", "polygon", "png"]


def segmentation_value(rle: Rle, mask_format: MaskFormat) -> Any:
    """The mask as a JSON value.

    `rle`: {"size": [height, width], "counts": ASCII}, COCO compressed.
    `polygon`: the coordinates of a GeoJSON MultiPolygon, see `trace_polygons`.
    `png`: base64 of a one-channel 8-bit PNG of the whole picture, 255 where the mask is.

    Raises:
        ValueError: no such format.
    """
    match mask_format:
        case "rle":
            return {"size": list(rle.size), "counts": rle.counts}
        case "polygon":
            return trace_polygons(rle)
        case "png":
            return _png(rle)
    raise ValueError(f"unknown mask format {mask_format!r}")


def _png(rle: Rle) -> str:
    pixels = np.ascontiguousarray(decode(rle)).view(np.uint8) * np.uint8(255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
