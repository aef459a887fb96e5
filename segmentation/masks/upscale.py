"""How a low-res logit reaches the picture: SAM's two bilinear resizes as one table per axis. Knows no masks.

`segment_anything`'s `Sam.postprocess_masks` upsamples the logits to the model's square input, cuts the padding off and
resizes to the picture. Both steps are linear and separable, and the input is never coarser than the logits, so each
pixel row or column is a weighted mean of at most three neighbouring low-res rows or columns.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.transforms import InputFrame, input_size
from segmentation.types import Size

TAPS = 3
"""Low-res samples that a pixel depends on along each axis."""


@dataclass(frozen=True, slots=True)
class AxisTable:
    """The interpolation along one axis of N pixels.

    weights: float32 [3, N], of the low-res samples base, base + 1 and base + 2.
    bases: int64 [G], the base of each group of neighbouring pixels that share one, ascending.
    starts: int64 [G + 1], the first pixel of each group, then N.
    """

    weights: NDArray[np.float32]
    bases: NDArray[np.int64]
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class UpscaleTable:
    """The interpolation from low-res logits to a crop of `size`."""

    rows: AxisTable
    columns: AxisTable
    size: Size

    @property
    def nbytes(self) -> int:
        axes = (self.rows, self.columns)
        return sum(int(axis.weights.nbytes + axis.bases.nbytes + axis.starts.nbytes) for axis in axes)


class TableCache:
    """The tables used last, within a number of bytes; a larger one is made again each time. For any thread."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tables: OrderedDict[tuple[Size, InputFrame, int], UpscaleTable] = OrderedDict()
        self.nbytes = 0

    def get(self, size: Size, frame: InputFrame, low_res_side: int) -> UpscaleTable:
        """The table of `upscale_table`, made now if it is not kept."""
        key = (size, frame, low_res_side)
        with self._lock:
            if (kept := self._tables.get(key)) is not None:
                self._tables.move_to_end(key)
                return kept
        table = _make_table(size, frame, low_res_side)
        with self._lock:
            if key not in self._tables and table.nbytes <= self._max_bytes:
                self._tables[key] = table
                self.nbytes += table.nbytes
                while self.nbytes > self._max_bytes:
                    _, oldest = self._tables.popitem(last=False)
                    self.nbytes -= oldest.nbytes
        return table


TABLE_BYTES = 8_000_000
_CACHE = TableCache(TABLE_BYTES)


def upscale_table(size: Size, frame: InputFrame, low_res_side: int) -> UpscaleTable:
    """The tables for a picture or crop of `size`, a model's input frame and logits of `low_res_side` pixels.

    Kept for the next prompt: making one takes longer than measuring a small mask. 31 KB for a megapixel.
    """
    return _CACHE.get(size, frame, low_res_side)


def _make_table(size: Size, frame: InputFrame, low_res_side: int) -> UpscaleTable:
    visible = input_size(size, frame)
    rows, columns = (_axis(length, seen, frame.side, low_res_side) for length, seen in zip(size, visible, strict=True))
    return UpscaleTable(rows, columns, size)


def _axis(length: int, visible: int, side: int, low_res_side: int) -> AxisTable:
    near, far, fraction = _bilinear(length, visible)
    low_near, low_far, low_fraction = _bilinear(side, low_res_side)
    base = np.minimum(low_near[near], low_res_side - TAPS)
    weights = np.zeros((TAPS, length))
    pixels = np.arange(length)
    for source, weight in ((near, 1 - fraction), (far, fraction)):
        weights[low_near[source] - base, pixels] += weight * (1 - low_fraction[source])
        weights[low_far[source] - base, pixels] += weight * low_fraction[source]
    bases, starts = np.unique(base, return_index=True)
    return AxisTable(weights.astype(np.float32), bases, np.append(starts, length))


def _bilinear(length: int, samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The two samples that each of `length` pixels lies between, and the fraction of the way to the second.

    `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`, in float32 as there: on a large picture its
    rounding of the position moves a contour by more than all later rounding.
    """
    scale = np.float32(samples) / np.float32(length)
    position = scale * (np.arange(length, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    position = np.maximum(position, np.float32(0))
    near = np.minimum(position.astype(np.int64), samples - 1)
    far = np.minimum(near + 1, samples - 1)
    fraction = np.clip(position - near.astype(np.float32), 0, 1).astype(np.float64)
    return near, far, fraction
