"""COCO's compressed run-length encoding, and the runs behind it. Equal to pycocotools, without needing it.

`Runs` is the working form of a mask everywhere in the core: int64 [K, 2], the (start, end) of each run of mask pixels,
end exclusive, as positions in the column-major order of the frame (x * height + y), ascending, never adjacent.
"""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.types import Rle, Size

Runs = NDArray[np.int64]


def encode(mask: NDArray[np.bool_]) -> Rle:
    """The RLE of a mask, bool [H, W]."""
    flat = np.asarray(mask, np.bool_).T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False))
    return from_runs(edges.reshape(-1, 2), (mask.shape[0], mask.shape[1]))


def decode(rle: Rle) -> NDArray[np.bool_]:
    """The mask of an RLE, bool [H, W], in column-major memory."""
    height, width = rle.size
    return _fill(to_runs(rle), height * width).reshape(width, height).T


def from_runs(runs: Runs, size: Size) -> Rle:
    """The RLE of the mask of that size with these runs."""
    compressed = _compress(np.ascontiguousarray(runs, np.int64), size[0] * size[1])
    return Rle(size, compressed.tobytes().decode("ascii"))


def to_runs(rle: Rle) -> Runs:
    """The runs of a mask."""
    return _decompress(np.frombuffer(bytearray(rle.counts, "ascii"), np.uint8))


def runs_area(runs: Runs) -> int:
    """Pixels of the mask."""
    return int((runs[:, 1] - runs[:, 0]).sum())


def runs_box(runs: Runs, size: Size) -> tuple[int, int, int, int]:
    """First and last pixel of the mask, (x0, y0, x1, y1), all inclusive; zeros for an empty mask.

    As `segment_anything.utils.amg.batched_mask_to_box`.
    """
    if not len(runs):
        return 0, 0, 0, 0
    height = size[0]
    top, bottom = _rows(runs, height)
    return int(runs[0, 0]) // height, top, int(runs[-1, 1] - 1) // height, bottom


@compiled
def decode_crop(runs: Runs, height: int, x0: int, y0: int, crop_width: int, crop_height: int) -> NDArray[np.bool_]:
    """A part of the mask, bool [crop_height, crop_width], of a frame of that height.

    The part may reach beyond the frame; all of the mask lies in it.
    """
    part = np.zeros((crop_height, crop_width), np.bool_)
    for start, end in runs:
        x, y = start // height - x0, start % height - y0
        for _ in range(start, end):
            if y == height - y0:
                x, y = x + 1, -y0
            part[y, x] = True
            y += 1
    return part


@compiled
def _rows(runs: Runs, height: int) -> tuple[int, int]:
    """First and last row. A run that goes on in the next column holds the bottom of one and the top of another."""
    top, bottom = height, -1
    column = 0
    for start, end in runs:
        if start >= column + height:
            column = start // height * height
        if end > column + height:
            return 0, height - 1
        top = min(top, start - column)
        bottom = max(bottom, end - 1 - column)
    return top, bottom


@compiled
def _fill(runs: Runs, pixels: int) -> NDArray[np.bool_]:
    flat = np.zeros(pixels, np.bool_)
    for start, end in runs:
        flat[start:end] = True
    return flat


@compiled
def _compress(runs: Runs, pixels: int) -> NDArray[np.uint8]:
    """`rleToString` of cocoapi's maskApi.c over the counts of alternating runs, background first."""
    counts = np.empty(2 * len(runs) + 1, np.int64)
    position = 0
    used = 0
    for start, end in runs:
        counts[used] = start - position
        counts[used + 1] = end - start
        position = end
        used += 2
    if position < pixels or used == 0:
        counts[used] = pixels - position
        used += 1
    # A count has at most 32 bits and a sign, in groups of 5.
    text = np.empty(7 * used, np.uint8)
    length = 0
    for index in range(used):
        value = counts[index] - (counts[index - 2] if index > 2 else 0)
        more = True
        while more:
            group = value & 31
            value >>= 5
            more = value != (-1 if group & 16 else 0)
            text[length] = group + (32 if more else 0) + 48
            length += 1
    return text[:length].copy()


@compiled
def _decompress(text: NDArray[np.uint8]) -> Runs:
    """`rleFrString` of cocoapi's maskApi.c, to runs."""
    counts = np.empty(len(text) + 1, np.int64)
    used = 0
    position = 0
    while position < len(text):
        value = np.int64(0)
        shift = 0
        more = True
        while more:
            group = np.int64(text[position]) - 48
            value |= (group & 31) << shift
            more = (group & 32) != 0
            position += 1
            shift += 5
            if not more and group & 16:
                value |= -1 << shift
        counts[used] = value + (counts[used - 2] if used > 2 else 0)
        used += 1
    runs = np.empty((used // 2, 2), np.int64)
    end = 0
    for index in range(used // 2):
        start = end + counts[2 * index]
        end = start + counts[2 * index + 1]
        runs[index, 0] = start
        runs[index, 1] = end
    return runs
