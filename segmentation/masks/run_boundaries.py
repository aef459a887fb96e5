"""From where a mask turns, which `mask_kernel` finds row by row, to its runs, which go down its columns."""

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled
from segmentation.masks.rle import Runs


@compiled
def to_runs(turns: NDArray[np.int32], width: int, corner: tuple[int, int], frame_height: int) -> Runs:
    """The runs between the turns of each column; one that begins where the last ended goes on with it.

    Args:
        turns: (x, y), ascending by y; an even number in each column, the first one inwards. Those of several bands
            follow each other.
        width: of the crop.
        corner: (x, y) of the crop in the frame.
        frame_height: of the picture.
    """
    ends = np.zeros(width + 1, np.int64)
    for turn in range(len(turns)):
        ends[turns[turn, 0] + 1] += 1
    for x in range(width):
        ends[x + 1] += ends[x]
    positions = np.empty(len(turns), np.int64)
    for turn in range(len(turns)):
        x = turns[turn, 0]
        positions[ends[x]] = (corner[0] + x) * frame_height + corner[1] + turns[turn, 1]
        ends[x] += 1
    runs = np.empty((len(turns) // 2, 2), np.int64)
    used = 0
    for pair in range(len(turns) // 2):
        start, stop = positions[2 * pair], positions[2 * pair + 1]
        if used > 0 and runs[used - 1, 1] == start:
            runs[used - 1, 1] = stop
        else:
            runs[used, 0] = start
            runs[used, 1] = stop
            used += 1
    return runs[:used].copy()
