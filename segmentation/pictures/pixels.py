"""From stored samples of any kind to the 8-bit RGB that the model takes. Knows arrays, not files.

The rules, as a user of a microscope meets them:
    8-bit samples are left alone unless a scaling is asked for.
    16-bit, 32-bit and float samples are stretched from their own minimum and maximum to 0 and 255 ("minmax"): a
        camera's 12 bits in a 16-bit file fill the range, and nothing is clipped. "percentile" ignores hot pixels.
    Colours are stretched together, so that hues stay; every other channel has its own range.
    One channel becomes grey, two red and green, three red, green and blue.
    NaN and -inf become 0, +inf becomes 255; a flat channel becomes 0. None of them takes part in choosing the range.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segmentation.errors import InvalidRequest

Scaling = Literal["minmax", "percentile", "range"]

PERCENTILES = (0.5, 99.5)
MAX_PAGE = 9_999
BLOCK = 1 << 20
"""Samples that are scaled at a time: intermediate float64 values stay small."""


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How to read a picture that is more than one 8-bit RGB frame.

    page: of a TIFF, or frame of an animation, 0 to 9999.
    channels: one to three of the picture's channels, from 0, shown as grey, (red, green), or (red, green, blue). Alpha
        counts as the last channel; palettes and CMYK count as RGB. None: the colours, or the first three channels.
    scaling: None leaves 8-bit samples alone and takes "minmax" for all others.
    range: (low, high) that become 0 and 255: sample values for "range", where it is needed; percentiles for
        "percentile", by default 0.5 and 99.5.

    With channels or scaling given, samples are taken as stored: no colour profile is applied.

    Raises:
        InvalidRequest: a value that can't be, or a range that the scaling does not take.
    """

    page: int = 0
    channels: tuple[int, ...] | None = None
    scaling: Scaling | None = None
    range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not _is_index(self.page) or self.page > MAX_PAGE:
            raise InvalidRequest(f"page is a whole number from 0 to {MAX_PAGE}", "/decode/page")
        if self.channels is not None and not (1 <= len(self.channels) <= 3 and all(map(_is_index, self.channels))):
            raise InvalidRequest("channels are one to three whole numbers from 0", "/decode/channels")
        if self.scaling not in {None, "minmax", "percentile", "range"}:
            raise InvalidRequest("scaling is minmax, percentile or range", "/decode/scaling")
        self._check_range()

    def _check_range(self) -> None:
        if self.range is None:
            if self.scaling == "range":
                raise InvalidRequest(
                    "scaling range needs a range: the two values that become 0 and 255", "/decode/range"
                )
            return
        if self.scaling not in {"range", "percentile"}:
            raise InvalidRequest("a range needs scaling range or percentile", "/decode/range")
        if len(self.range) != 2 or not all(map(math.isfinite, self.range)) or not self.range[0] < self.range[1]:
            raise InvalidRequest("range is two finite numbers, the lower one first", "/decode/range")
        if self.scaling == "percentile" and not 0 <= self.range[0] < self.range[1] <= 100:
            raise InvalidRequest("percentiles lie between 0 and 100", "/decode/range")

    @property
    def as_stored(self) -> bool:
        """Whether samples are wanted as they are stored, rather than as a viewer shows them."""
        return self.channels is not None or self.scaling is not None


@dataclass(frozen=True, slots=True)
class Samples:
    """One page as it is stored.

    values: [H, W, C], any integer or float type.
    shown: the channels that are shown when none are chosen.
    colour: whether `shown` are red, green and blue of one colour picture.
    """

    values: NDArray[Any]
    shown: tuple[int, ...]
    colour: bool


def to_rgb(samples: Samples, options: DecodeOptions) -> NDArray[np.uint8]:
    """uint8 [H, W, 3], RGB, by the rules above.

    Raises:
        InvalidRequest: a channel that the picture does not have.
    """
    height, width, count = samples.values.shape
    for index, channel in enumerate(options.channels or ()):
        if channel >= count:
            raise InvalidRequest(f"the picture has {count} channels, counted from 0", f"/decode/channels/{index}")
    channels = options.channels or samples.shown
    planes = [samples.values[:, :, channel] for channel in channels]
    if options.scaling is not None or samples.values.dtype != np.uint8:
        limits = [_limits(plane, options) for plane in planes]
        if samples.colour and options.channels is None:
            limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * len(planes)
        planes = [_scale(plane, low, high) for plane, (low, high) in zip(planes, limits, strict=True)]
    rgb = np.zeros((height, width, 3), np.uint8)
    if len(planes) == 1:
        rgb[:] = planes[0][:, :, None]
    else:
        for channel, plane in enumerate(planes):
            rgb[:, :, channel] = plane
    return rgb


def _limits(plane: NDArray[Any], options: DecodeOptions) -> tuple[float, float]:
    """The sample values that become 0 and 255."""
    if options.scaling == "range" and options.range is not None:
        return options.range
    finite = plane[np.isfinite(plane)] if plane.dtype.kind == "f" else plane
    if finite.size == 0:
        return 0.0, 0.0
    if options.scaling == "percentile":
        low, high = np.percentile(finite, options.range or PERCENTILES)
        return float(low), float(high)
    return float(finite.min()), float(finite.max())


def _scale(plane: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """[H, W] of any type to uint8 [H, W]; halves round up."""
    scaled = np.zeros(plane.shape, np.uint8)
    if not low < high:
        return scaled
    with np.errstate(all="ignore"):  # NaN and infinities have their rule
        for rows in _row_blocks(plane.shape):
            # Halved, because the difference of two finite floats may overflow.
            values = plane[rows].astype(np.float64) / 2
            levels = (values - low / 2) / (high / 2 - low / 2) * 255
            scaled[rows] = np.floor(np.nan_to_num(levels.clip(0, 255), nan=0.0) + 0.5)
    return scaled


def _row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    height, width = shape
    step = max(1, BLOCK // max(1, width))
    return (slice(start, start + step) for start in range(0, height, step))


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
