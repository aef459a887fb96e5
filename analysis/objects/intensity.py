"""Mean, spread, extremes and median of a picture's samples in each mask. Knows no pictures' files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled

MEAN, STD, MIN, MAX, MEDIAN = range(5)
COLUMNS = 5


def sample_planes(samples: NDArray[Any]) -> list[NDArray[Any]]:
    """The channels of a picture, each 1-D in column-major order, of a type that the kernels take.

    Args:
        samples: [H, W] or [H, W, C], any integer or float type, or bool.
    """
    channels = samples[:, :, None] if samples.ndim == 2 else samples
    planes = []
    for channel in range(channels.shape[2]):
        plane = channels[:, :, channel]
        if plane.dtype not in (np.uint8, np.uint16, np.float32):
            plane = plane.astype(np.uint8 if plane.dtype == np.bool_ else np.float64)
        planes.append(np.ascontiguousarray(plane.T.astype(plane.dtype.newbyteorder("="), copy=False)).ravel())
    return planes


def valid_plane(valid: NDArray[np.bool_] | None, channel: int) -> NDArray[np.bool_]:
    """Which samples of a channel mean something, 1-D in column-major order; empty if all do."""
    if valid is None:
        return np.zeros(0, np.bool_)
    plane = valid if valid.ndim == 2 else valid[:, :, min(channel, valid.shape[2] - 1)]
    return np.ascontiguousarray(plane.T).ravel()


@compiled
def measure_intensities(
    runs: NDArray[np.int64],
    offsets: NDArray[np.int64],
    plane: NDArray[Any],
    valid: NDArray[np.bool_],
    first: int,
    last: int,
    out: NDArray[np.float64],
) -> None:
    """Writes the row of each mask from `first` to `last`; NaN where no sample of a mask is valid.

    Args:
        runs, offsets: a `MaskSet`'s.
        plane: one channel by `sample_planes`.
        valid: bool by `valid_plane`. Samples that are not finite never count.
        out: float64 [N, COLUMNS].
    """
    for mask in range(first, last):
        most = 0
        for index in range(offsets[mask], offsets[mask + 1]):
            most += runs[index, 1] - runs[index, 0]
        values = np.empty(most, plane.dtype)
        used = 0
        total = 0.0
        for index in range(offsets[mask], offsets[mask + 1]):
            for position in range(runs[index, 0], runs[index, 1]):
                if len(valid) > 0 and not valid[position]:
                    continue
                value = plane[position]
                if not np.isfinite(value):
                    continue
                values[used] = value
                total += value
                used += 1
        if used == 0:
            out[mask] = np.nan
            continue
        mean = total / used
        squares = 0.0
        low = high = np.float64(values[0])
        for index in range(used):
            value = np.float64(values[index])
            squares += (value - mean) ** 2
            low, high = min(low, value), max(high, value)
        out[mask, MEAN] = mean
        out[mask, STD] = np.sqrt(squares / used)
        out[mask, MIN] = low
        out[mask, MAX] = high
        out[mask, MEDIAN] = _median(values[:used])


@compiled
def _median(values: NDArray[Any]) -> float:
    """The mean of the two middle values; reorders them."""
    middle = len(values) // 2
    upper = np.float64(_smallest(values, middle))
    if len(values) % 2:
        return upper
    # `_smallest` leaves what is not larger than the result before it.
    lower = values[0]
    for index in range(1, middle):
        lower = max(lower, values[index])
    return (np.float64(lower) + upper) / 2


@compiled
def _smallest(values: NDArray[Any], rank: int) -> Any:
    """The value of a rank, from 0, by Hoare's selection, which leaves no larger value before it, none smaller after."""
    low, high = 0, len(values) - 1
    while low < high:
        # Median of three: sorted and constant values are common.
        a, b, c = values[low], values[(low + high) // 2], values[high]
        pivot = max(min(a, b), min(max(a, b), c))
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if rank <= right:
            high = right
        elif rank >= left:
            low = left
        else:
            break
    return values[rank]
