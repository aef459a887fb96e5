"""How a picture is to be read, and how it was read. Plain values; knows no files and no arrays."""

import math
from dataclasses import asdict, dataclass
from typing import Literal

from segmentation.errors import InvalidRequest

Scaling = Literal["minmax", "percentile", "range"]

PERCENTILES = (0.1, 99.9)
"""Of the valid samples: the values that become 0 and 255 by default."""
MAX_PAGE = 9_999


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """How to read a picture that is more than one 8-bit RGB frame.

    page: of a TIFF, or frame of an animation, 0 to 9999. In a stack with time and depth it counts their planes, in the
        order of the file.
    channels: one to three of the picture's channels, from 0, shown as grey, (red, green), or (red, green, blue). Alpha
        counts as the last channel; palettes and CMYK count as RGB. None: the colours, or the first three channels.
    scaling: None leaves samples of up to 8 bits alone and takes "percentile" for all others.
    range: (low, high) that become 0 and 255: sample values for "range", where it is needed; percentiles for
        "percentile", by default 0.1 and 99.9.

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
class AppliedDecode:
    """How a picture was read: the `decode` of every answer.

    page, channels: what was shown, as in `DecodeOptions`.
    scaling: None where the samples were left alone.
    low, high: the sample values that became 0 and 255. One number where all channels share it, one a channel where each
        has its own, None where the samples were left alone.
    """

    page: int = 0
    channels: tuple[int, ...] = (0, 1, 2)
    scaling: Scaling | None = None
    low: float | tuple[float, ...] | None = None
    high: float | tuple[float, ...] | None = None

    def document(self) -> dict[str, object]:
        """As JSON: tuples become lists when it is written."""
        return asdict(self)


LEFT_ALONE = AppliedDecode()
"""Of a picture of 8 bits and three colours."""


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
