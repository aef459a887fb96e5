"""From stored samples of any kind to the 8-bit RGB that the model takes. Knows arrays, not files.

The rule:
    Unsigned samples of 8 bits are left alone, and those of fewer bits spread evenly over 0 to 255, unless a scaling is
        asked for.
    All others are stretched ("percentile"): the 0.1th percentile of the valid samples becomes 0, the 99.9th 255. A
        camera's 12 bits in a 16-bit file fill the range, and one hot pixel changes nothing. Where both are one value,
        "minmax" takes their place.
    Colours are stretched together, so that hues stay; every other channel has its own range.
    One channel becomes grey, two red and green, three red, green and blue.
    Samples that are not valid take no part in choosing the range: NaN, infinities, the file's nodata value, the lowest
        float32 that stands for nodata, masked and fully transparent pixels.
    NaN, -inf and nodata become 0, +inf becomes 255; a flat channel becomes 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidRequest
from segmentation.pictures.options import PERCENTILES, AppliedDecode, DecodeOptions, Scaling

BLOCK = 1 << 20
"""Samples that are scaled at a time: intermediate float64 values stay small."""
FLT_MAX = float(np.finfo(np.float32).max)
HISTOGRAM_BYTES = 2
"""Integers of up to so many bytes are counted rather than sorted."""

_UNTAGGED_NODATA = {4: (FLT_MAX, 3.4e38), 8: (FLT_MAX, 3.4e38, np.finfo(np.float64).max)}
"""By bytes of a float: values that tools write for "no data", of either sign and often without a tag that says so."""

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Samples:
    """One page as it is stored.

    values: [H, W, C], any integer or float type.
    shown: the channels that are shown when none are chosen.
    colour: whether `shown` are red, green and blue of one colour picture.
    valid: bool [H, W, C], [H, W, 1] for all channels, or None: all of them.
    bits: of a sample, 1 to 8, where the levels of fewer than 8 bits are stored in bytes.
    inverted: whether the lowest level is white (TIFF's MinIsWhite).
    numbers: which of the picture's channels `values` holds; None: all of them.
    """

    values: NDArray[Any]
    shown: tuple[int, ...]
    colour: bool
    valid: NDArray[np.bool_] | None = None
    bits: int = 8
    inverted: bool = False
    numbers: tuple[int, ...] | None = None

    def place(self, channel: int) -> int:
        """Where a channel of the picture is in `values`."""
        return channel if self.numbers is None else self.numbers.index(channel)


def to_rgb(samples: Samples, options: DecodeOptions) -> tuple[NDArray[np.uint8], AppliedDecode]:
    """(uint8 [H, W, 3], RGB, by the rule above; how it was made). May be the samples themselves.

    Raises:
        InvalidRequest: a channel that the picture does not have.
    """
    if samples.numbers is None:
        require_channels(samples.values.shape[2], options)
    channels = options.channels or samples.shown
    planes = [samples.values[:, :, samples.place(channel)] for channel in channels]
    low: float | tuple[float, ...] | None = None
    high: float | tuple[float, ...] | None = None
    scaling: Scaling | None = None
    if options.scaling is not None or samples.values.dtype != np.uint8:
        valid = [_valid(samples, channel) for channel in channels]
        together = samples.colour and options.channels is None
        groups = [range(len(planes))] if together else [range(index, index + 1) for index in range(len(planes))]
        ranges = [_limits([planes[i] for i in group], [valid[i] for i in group], options) for group in groups]
        scaling = "minmax" if any(kind == "minmax" for _, kind in ranges) else ranges[0][1]
        limits = [limit for group, (limit, _) in zip(groups, ranges, strict=True) for _ in group]
        planes = [
            _scale(plane, mask, *limit, inverted=samples.inverted)
            for plane, mask, limit in zip(planes, valid, limits, strict=True)
        ]
        low, high = _shared([a for a, _ in limits]), _shared([b for _, b in limits])
    elif samples.bits < 8 or samples.inverted:
        levels = _levels(samples.bits, inverted=samples.inverted)
        planes = [levels[plane] for plane in planes]
    elif channels == (0, 1, 2) and samples.values.shape[2] == 3:
        return samples.values, AppliedDecode(options.page, channels)
    return _stack(planes), AppliedDecode(options.page, tuple(channels), scaling, low, high)


def require_channels(count: int, options: DecodeOptions) -> None:
    """Raises InvalidRequest for the first of the channels that a picture of so many does not have."""
    for index, channel in enumerate(options.channels or ()):
        if channel >= count:
            raise InvalidRequest(f"the picture has {count} channels, counted from 0", f"/decode/channels/{index}")


def valid_samples(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_] | None:
    """Which samples are values: bool [H, W, C], or None where all are.

    Args:
        values: [H, W, C].
        nodata: the sample value that stands for none.
    """
    valid: NDArray[np.bool_] | None = None
    if values.dtype.kind == "f":
        valid = np.isfinite(values)
        for value in _UNTAGGED_NODATA.get(values.dtype.itemsize, ()):
            valid &= np.abs(values) != values.dtype.type(value)
    if nodata is not None and not np.isnan(nodata):
        given = values != _as_stored(nodata, values.dtype)
        valid = given if valid is None else valid & given
    return None if valid is None or valid.all() else valid


def samples_of(values: NDArray[Any], *, alpha: bool, valid: NDArray[np.bool_] | None = None) -> Samples:
    """Samples of a format that says no more than whether the last channel is opacity.

    Args:
        values: [H, W, C]; three channels or more without opacity are red, green and blue.
        valid: bool [H, W, C] or [H, W, 1]: which samples are values beside what `valid_samples` finds.
    """
    visible = values.shape[2] - alpha
    masks = [mask for mask in (valid_samples(values, None), valid) if mask is not None]
    if alpha:
        opaque = values[:, :, -1:] != 0
        masks += [] if opaque.all() else [opaque]
    together = None
    for mask in masks:
        together = mask if together is None else together & mask
    return Samples(values, shown=tuple(range(3 if visible >= 3 else 1)), colour=visible >= 3, valid=together)


def _as_stored(value: float, dtype: np.dtype[Any]) -> Any:
    """The value as the type holds it: a float32 file can't hold what its tag says in decimals."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    return value


def _valid(samples: Samples, channel: int) -> NDArray[np.bool_] | None:
    if samples.valid is None:
        return None
    return samples.valid[:, :, samples.place(channel) if samples.valid.shape[2] > 1 else 0]


def _limits(
    planes: Sequence[NDArray[Any]], valid: Sequence[NDArray[np.bool_] | None], options: DecodeOptions
) -> tuple[Limits, Scaling]:
    """((the sample values that become 0 and 255), the scaling that chose them)."""
    if options.scaling == "range" and options.range is not None:
        return options.range, "range"
    given = [plane.ravel() if mask is None else plane[mask] for plane, mask in zip(planes, valid, strict=True)]
    if planes[0].dtype.kind == "f":
        given = [values[np.isfinite(values)] for values in given]
    given = [values for values in given if values.size]
    if not given:
        return (0.0, 0.0), options.scaling or "percentile"
    extremes = float(min(values.min() for values in given)), float(max(values.max() for values in given))
    if options.scaling == "minmax":
        return extremes, "minmax"
    limits = _percentiles(given, options.range or PERCENTILES)
    if not limits[0] < limits[1] and options.range is None:
        return extremes, "minmax"
    return limits, "percentile"


def _percentiles(given: Sequence[NDArray[Any]], wanted: Limits) -> Limits:
    """As `numpy.percentile` (linear interpolation) of all of them together."""
    dtype = given[0].dtype
    if dtype.kind in "ui" and dtype.itemsize <= HISTOGRAM_BYTES:
        lowest, levels = np.iinfo(dtype).min, 1 << 8 * dtype.itemsize
        counts = [np.bincount(values.astype(np.int64) - lowest, minlength=levels) for values in given]
        return _of_counts(np.sum(counts, axis=0), lowest, wanted)
    together = given[0] if len(given) == 1 else np.concatenate(given)
    if dtype.kind == "f" and dtype.itemsize < 8:
        together = together.astype(np.float64) if dtype.itemsize < 4 else together
    low, high = np.percentile(together, wanted)
    return float(low), float(high)


def _of_counts(counts: NDArray[np.int64], lowest: int, wanted: Limits) -> Limits:
    ends = np.cumsum(counts)
    places = np.array(wanted) / 100 * (int(ends[-1]) - 1)
    below = np.searchsorted(ends, np.floor(places), side="right") + lowest
    above = np.searchsorted(ends, np.ceil(places), side="right") + lowest
    low, high = below + (above - below) * (places - np.floor(places))
    return float(low), float(high)


def _scale(
    plane: NDArray[Any], valid: NDArray[np.bool_] | None, low: float, high: float, *, inverted: bool
) -> NDArray[np.uint8]:
    """[H, W] of any type to uint8 [H, W]; halves round up. Samples that are not valid become 0."""
    if not low < high:
        return np.zeros(plane.shape, np.uint8)
    if plane.dtype.kind == "u" and plane.dtype.itemsize <= HISTOGRAM_BYTES and valid is None:
        every = np.arange(1 << 8 * plane.dtype.itemsize, dtype=np.float64)
        table = _to_levels(every, low, high)
        return np.asarray((255 - table if inverted else table)[plane])
    scaled = np.zeros(plane.shape, np.uint8)
    for rows in _row_blocks(plane.shape):
        levels = _to_levels(plane[rows], low, high)
        if inverted:
            levels = 255 - levels
        if valid is not None:
            # Infinities are not valid, and have a level all the same.
            kept = valid[rows] | (plane[rows] == np.inf) if plane.dtype.kind == "f" else valid[rows]
            levels = np.where(kept, levels, np.uint8(0))
        scaled[rows] = levels
    return scaled


def _to_levels(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    with np.errstate(all="ignore"):  # NaN and infinities have their rule
        # Halved, because the difference of two finite floats may overflow.
        levels = (values.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2) * 255
        return np.asarray(np.floor(np.nan_to_num(levels.clip(0, 255), nan=0.0) + 0.5), np.uint8)


def _levels(bits: int, *, inverted: bool) -> NDArray[np.uint8]:
    """Level -> level of 0 to 255, for samples of up to 8 bits in bytes."""
    highest = (1 << bits) - 1
    table = (np.minimum(np.arange(256), highest) * 255 + highest // 2) // highest
    return (255 - table if inverted else table).astype(np.uint8)


def _shared(values: Sequence[float]) -> float | tuple[float, ...]:
    return values[0] if len(set(values)) == 1 else tuple(values)


def _stack(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    rgb = np.zeros((*planes[0].shape, 3), np.uint8)
    if len(planes) == 1:
        rgb[:] = planes[0][:, :, None]
        return rgb
    for channel, plane in enumerate(planes):
        rgb[:, :, channel] = plane
    return rgb


def _row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    height, width = shape
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, height, step))
