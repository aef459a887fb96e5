"""Many masks of one picture as packed runs. Knows no file formats.

A full-size array per mask is never made: 5,000 masks of a 4-megapixel picture would take 20 GB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.errors import InvalidRequest
from segmentation.masks.rle import decode_crop, from_runs
from segmentation.types import Rle, Size

BAD_CHARACTER, BAD_LENGTH = -1, -2


@dataclass(frozen=True, slots=True)
class MaskSet:
    """N masks of one size.

    size: (height, width) of the picture.
    runs: int64 [R, 2], (start, end) of each run of mask pixels, end exclusive, as positions in column-major order
        (x * height + y). A run never leaves its column; runs of one mask ascend and never touch inside a column.
    offsets: int64 [N + 1]; mask i has the runs from offsets[i] to offsets[i + 1].
    """

    size: Size
    runs: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        """The runs of one mask, int64 [K, 2]."""
        return self.runs[self.offsets[index] : self.offsets[index + 1]]

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> "MaskSet":
        """The masks at these positions, in this order."""
        chosen = np.asarray(indices, np.int64)
        lengths = (self.offsets[1:] - self.offsets[:-1])[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return MaskSet(self.size, _gather(self.runs, self.offsets, chosen, offsets), offsets)

    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, int64 [N]."""
        return _areas(self.runs, self.offsets)

    def boxes(self) -> NDArray[np.int64]:
        """First and last pixel of each mask, int64 [N, 4], (x0, y0, x1, y1), all inclusive; zeros for an empty one."""
        return _boxes(self.runs, self.offsets, self.size[0])

    def rle(self, index: int) -> Rle:
        """One mask in COCO's encoding."""
        return from_runs(_joined(self[index]), self.size)

    def crop(self, index: int, pad: int = 0) -> tuple[NDArray[np.bool_], int, int]:
        """One mask at the size of its box: (bool [h, w], x, y), the corner in the picture; `pad` pixels on each side.

        The corner may lie outside the picture by `pad`. An empty mask gives an empty array.
        """
        runs = self[index]
        if not len(runs):
            return np.zeros((0, 0), np.bool_), 0, 0
        x0, y0, x1, y1 = (int(side) for side in _boxes(runs, np.array([0, len(runs)]), self.size[0])[0])
        x0, y0, width, height = x0 - pad, y0 - pad, x1 - x0 + 1 + 2 * pad, y1 - y0 + 1 + 2 * pad
        return decode_crop(runs, self.size[0], x0, y0, width, height), x0, y0


def pack(masks: Sequence[NDArray[np.int64]], size: Size) -> MaskSet:
    """A set of masks by the runs of each, int64 [K, 2]; runs may go on over the ends of columns."""
    lengths = np.array([len(runs) for runs in masks], np.int64)
    everything = np.concatenate([*masks, np.zeros((0, 2), np.int64)]).astype(np.int64, copy=False)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    runs, offsets = _cut(np.ascontiguousarray(everything), offsets, size[0])
    return MaskSet(size, runs, offsets)


def from_rles(rles: Sequence[Rle], size: Size, *, pointer: str = "/masks") -> MaskSet:
    """A set of masks by their RLEs, which may come from anywhere.

    Raises:
        InvalidRequest: an RLE of another size, or one that is damaged; `pointer` with the position of the mask.
    """
    masks = []
    for index, rle in enumerate(rles):
        if tuple(rle.size) != tuple(size):
            raise InvalidRequest(
                f"the mask's size is {list(rle.size)}, the picture's is {list(size)}", f"{pointer}/{index}"
            )
        text = np.frombuffer(rle.counts.encode("ascii", "replace"), np.uint8)
        runs, status = _read_counts(text.copy(), size[0] * size[1])
        if status == BAD_CHARACTER:
            raise InvalidRequest("counts is not COCO's compressed RLE", f"{pointer}/{index}")
        if status == BAD_LENGTH:
            raise InvalidRequest(
                f"counts does not add up to the {size[0] * size[1]} pixels of the size", f"{pointer}/{index}"
            )
        masks.append(runs)
    return pack(masks, size)


@compiled
def _read_counts(text: NDArray[np.uint8], pixels: int) -> tuple[NDArray[np.int64], int]:
    """`rleFrString` of cocoapi's maskApi.c, to runs, for text that nobody has checked; and 0 or what is wrong.

    Zero counts are joined, so that the runs never touch.
    """
    runs = np.empty((len(text) // 2 + 1, 2), np.int64)
    used = number = 0
    position = np.int64(0)
    before, before_that = np.int64(0), np.int64(0)
    index = 0
    while index < len(text):
        value = np.int64(0)
        shift = 0
        more = True
        while more:
            if index >= len(text) or shift > 30:
                return runs[:0], BAD_CHARACTER
            group = np.int64(text[index]) - 48
            if group < 0 or group > 63:
                return runs[:0], BAD_CHARACTER
            value |= (group & 31) << shift
            more = (group & 32) != 0
            index += 1
            shift += 5
            if not more and group & 16:
                value |= np.int64(-1) << shift
        if number > 2:
            value += before_that
        if value < 0 or value > pixels - position:
            return runs[:0], BAD_LENGTH
        if number % 2 == 1 and value > 0:
            if used > 0 and runs[used - 1, 1] == position:
                runs[used - 1, 1] = position + value
            else:
                runs[used, 0] = position
                runs[used, 1] = position + value
                used += 1
        position += value
        before_that, before = before, value
        number += 1
    return runs[:used].copy(), (0 if position == pixels else BAD_LENGTH)


@compiled
def _cut(
    runs: NDArray[np.int64], offsets: NDArray[np.int64], height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The runs cut where a column ends."""
    count = 0
    for index in range(len(runs)):
        count += (runs[index, 1] - 1) // height - runs[index, 0] // height + 1
    pieces = np.empty((count, 2), np.int64)
    cut_offsets = np.empty(len(offsets), np.int64)
    cut_offsets[0] = 0
    used = 0
    for mask in range(len(offsets) - 1):
        for index in range(offsets[mask], offsets[mask + 1]):
            position, end = runs[index, 0], runs[index, 1]
            while position < end:
                stop = min(end, (position // height + 1) * height)
                pieces[used, 0] = position
                pieces[used, 1] = stop
                used += 1
                position = stop
        cut_offsets[mask + 1] = used
    return pieces, cut_offsets


@compiled
def _joined(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The runs with those joined that go on in the next column."""
    joined = np.empty((len(runs), 2), np.int64)
    used = 0
    for index in range(len(runs)):
        if used > 0 and joined[used - 1, 1] == runs[index, 0]:
            joined[used - 1, 1] = runs[index, 1]
        else:
            joined[used, 0] = runs[index, 0]
            joined[used, 1] = runs[index, 1]
            used += 1
    return joined[:used].copy()


@compiled
def _gather(
    runs: NDArray[np.int64], offsets: NDArray[np.int64], chosen: NDArray[np.int64], to_offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    gathered = np.empty((to_offsets[-1], 2), np.int64)
    for position in range(len(chosen)):
        first = offsets[chosen[position]]
        for index in range(to_offsets[position], to_offsets[position + 1]):
            gathered[index, 0] = runs[first + index - to_offsets[position], 0]
            gathered[index, 1] = runs[first + index - to_offsets[position], 1]
    return gathered


@compiled
def _areas(runs: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    areas = np.zeros(len(offsets) - 1, np.int64)
    for mask in range(len(areas)):
        for index in range(offsets[mask], offsets[mask + 1]):
            areas[mask] += runs[index, 1] - runs[index, 0]
    return areas


@compiled
def _boxes(runs: NDArray[np.int64], offsets: NDArray[np.int64], height: int) -> NDArray[np.int64]:
    boxes = np.zeros((len(offsets) - 1, 4), np.int64)
    for mask in range(len(boxes)):
        first, last = offsets[mask], offsets[mask + 1]
        if first == last:
            continue
        top, bottom = height, -1
        for index in range(first, last):
            column = runs[index, 0] // height * height
            top = min(top, runs[index, 0] - column)
            bottom = max(bottom, runs[index, 1] - 1 - column)
        boxes[mask, 0] = runs[first, 0] // height
        boxes[mask, 1] = top
        boxes[mask, 2] = runs[last - 1, 0] // height
        boxes[mask, 3] = bottom
    return boxes
