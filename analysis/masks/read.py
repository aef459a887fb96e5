"""Masks as a request writes them (RLE, polygons, PNG) to a set of masks. Whatever is wrong is named by JSON pointer."""

import base64
import binascii
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from analysis.masks.mask_set import MaskSet, from_rles, pack
from analysis.masks.rasterize import rasterize
from segmentation.errors import InvalidRequest, LimitExceeded
from segmentation.types import Rle, Size

MAX_CORNERS = 1_000_000
"""Of one polygon mask."""
MAX_SIDE_CROSSINGS = 50_000_000
"""Of one polygon mask: its corners times the columns that a side can cross."""


def read_masks(
    values: Sequence[Any],
    size: Size,
    *,
    max_masks: int | None = None,
    pointer: str = "/masks",
    check: Callable[[int, int], None] | None = None,
) -> MaskSet:
    """The masks of a request.

    Args:
        values: each one a mask in any format of `segmentation.masks.formats`: an RLE {"size", "counts"}, whose
            counts may be uncompressed too, the coordinates of a MultiPolygon in the pixel-corner frame, or a PNG in
            base64.
        size: (height, width) of the picture.
        max_masks: the largest number of masks.
        pointer: to `values` in the request.
        check: called with (done, total) now and then; may raise to stop.

    Raises:
        LimitExceeded: more masks than allowed.
        InvalidRequest: a mask of another size, or one that can't be read.
    """
    if max_masks is not None and len(values) > max_masks:
        raise LimitExceeded(f"{len(values)} masks; at most {max_masks} are analysed at once", pointer)
    masks = []
    for index, value in enumerate(values):
        if check is not None and index % 256 == 0:
            check(index, len(values))
        masks.append(_read(value, size, f"{pointer}/{index}"))
    return pack(masks, size)


def _read(value: Any, size: Size, pointer: str) -> NDArray[np.int64]:
    match value:
        case {"size": [int() as height, int() as width], "counts": counts, **rest} if not rest:
            if (height, width) != tuple(size):
                raise InvalidRequest(
                    f"the mask's size is {[height, width]}, the picture's is {list(size)}", f"{pointer}/size"
                )
            if isinstance(counts, str):
                return _of_rle(Rle(size, counts), size, pointer)
            return _of_counts(counts, size, f"{pointer}/counts")
        case str():
            return _of_png(value, size, pointer)
        case list():
            return _of_polygons(value, size, pointer)
    raise InvalidRequest(
        'a mask is an RLE {"size": [height, width], "counts": "..."}, a list of polygons, or a PNG in base64', pointer
    )


def _of_rle(rle: Rle, size: Size, pointer: str) -> NDArray[np.int64]:
    try:
        return from_rles([rle], size).runs
    except InvalidRequest as error:
        raise InvalidRequest(error.message, f"{pointer}/counts") from None


def _of_counts(counts: Any, size: Size, pointer: str) -> NDArray[np.int64]:
    """COCO's uncompressed RLE: lengths of runs, background first."""
    plain = isinstance(counts, list) and all(
        isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= size[0] * size[1] for count in counts
    )
    if not plain:
        raise InvalidRequest("counts is a string, or a list of run lengths", pointer)
    if sum(counts) != size[0] * size[1]:
        raise InvalidRequest(f"counts does not add up to the {size[0] * size[1]} pixels of the size", pointer)
    ends = np.cumsum(np.array(counts, np.int64))
    runs = np.stack([ends[0 : len(ends) - 1 : 2], ends[1::2]], axis=1)
    runs = runs[runs[:, 0] < runs[:, 1]]
    touching = np.flatnonzero(runs[1:, 0] == runs[:-1, 1])
    starts, stops = np.delete(runs[:, 0], touching + 1), np.delete(runs[:, 1], touching)
    return np.ascontiguousarray(np.stack([starts, stops], axis=1))


def _of_png(text: str, size: Size, pointer: str) -> NDArray[np.int64]:
    try:
        data = base64.b64decode(text.removeprefix("data:image/png;base64,"), validate=True)
        with PngImageFile(io.BytesIO(data)) as image:
            # Compared before a pixel is decoded.
            if (image.height, image.width) != tuple(size):
                raise InvalidRequest(
                    f"the mask's size is {[image.height, image.width]}, the picture's is {list(size)}", pointer
                )
            pixels = np.asarray(image.convert("L")) >= 128
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InvalidRequest("not a PNG in base64", pointer) from None
    edges = np.flatnonzero(np.diff(pixels.T.ravel(), prepend=False, append=False))
    return np.ascontiguousarray(edges.reshape(-1, 2).astype(np.int64))


def _of_polygons(value: list[Any], size: Size, pointer: str) -> NDArray[np.int64]:
    """A MultiPolygon's coordinates, or a single Polygon's."""
    polygons = value if _depth(value) != 3 else [value]
    rings = [
        [_ring(ring, f"{pointer}/{number}/{place}") for place, ring in enumerate(_list(polygon, f"{pointer}/{number}"))]
        for number, polygon in enumerate(polygons)
    ]
    corners = sum(len(ring) for polygon in rings for ring in polygon)
    if corners > MAX_CORNERS:
        raise LimitExceeded(f"the mask has {corners} corners; at most {MAX_CORNERS} are read", pointer)
    across = sum(
        float(np.abs(np.diff(np.clip(ring[:, 0], 0, size[1]), append=ring[:1, 0].clip(0, size[1]))).sum())
        for polygon in rings
        for ring in polygon
    )
    if across > MAX_SIDE_CROSSINGS:
        raise LimitExceeded("the mask's outline goes to and fro across the picture too often", pointer)
    return rasterize(rings, size)


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, list) and value and depth < 5:
        value = value[0]
        depth += 1
    return depth


def _list(value: Any, pointer: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRequest("a polygon is a list of rings", pointer)
    return value


def _ring(value: Any, pointer: str) -> NDArray[np.float64]:
    try:
        ring = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        ring = np.zeros(0)
    if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
        raise InvalidRequest("a ring is a list of at least three corners [x, y], all finite", pointer)
    if np.abs(ring).max() > 1e9:
        raise InvalidRequest("a corner lies too far outside the picture", pointer)
    return ring
