"""How long a pixel is. Knows no files: what a picture's metadata says comes in as a `Scale` too."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segmentation.errors import InvalidRequest

Unit = Literal["px", "nm", "µm", "mm"]

MICROMETRES: Mapping[str, float] = {"nm": 1e-3, "µm": 1.0, "mm": 1e3}
"""Of one of each physical unit."""

SPELLINGS: Mapping[str, Unit] = {
    "px": "px",
    "pixel": "px",
    "pixels": "px",
    "nm": "nm",
    "µm": "µm",  # U+00B5, the micro sign
    "μm": "µm",
    "um": "µm",
    "micron": "µm",
    "microns": "µm",
    "mm": "mm",
}

SQUARE_TOLERANCE = 0.01
"""Pixels whose sides differ by more than this share are not square: lengths would depend on their direction."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The side of a pixel in a unit. Without a physical unit, lengths are in pixels.

    source: where it is from: "pixels" (there is none), "request" or "file".
    """

    pixel_size: float = 1.0
    unit: Unit = "px"
    source: Literal["pixels", "request", "file"] = "pixels"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.pixel_size) and self.pixel_size > 0):
            raise InvalidRequest("pixel_size must be a number above 0", "/scale/pixel_size")

    @property
    def is_pixels(self) -> bool:
        """Whether lengths in the unit are lengths in pixels."""
        return self.unit == "px" and self.pixel_size == 1.0

    @property
    def column_unit(self) -> str:
        """The unit as it stands in the names of columns: ASCII."""
        return "um" if self.unit == "µm" else self.unit

    @property
    def micrometres(self) -> float | None:
        """The side of a pixel in µm, None without a physical unit."""
        return self.pixel_size * MICROMETRES[self.unit] if self.unit in MICROMETRES else None

    def to_json(self) -> dict[str, Any]:
        """The scale as it stands in answers."""
        return {"pixel_size": self.pixel_size, "unit": self.unit, "source": self.source}


PIXELS = Scale()


def read_scale(pixel_size: Any, unit: Any = "µm") -> Scale:
    """A typed scale.

    Raises:
        InvalidRequest: a size that is no number above 0, or an unknown unit.
    """
    if isinstance(pixel_size, bool) or not isinstance(pixel_size, int | float) or not 1e-12 <= pixel_size <= 1e12:
        raise InvalidRequest("pixel_size must be a number above 0", "/scale/pixel_size")
    if not isinstance(unit, str) or unit not in SPELLINGS:
        raise InvalidRequest("unit is one of px, nm, µm (or um), mm", "/scale/unit")
    return Scale(float(pixel_size), SPELLINGS[unit], "request")


def parse_scale(text: str) -> Scale:
    """A scale as it is typed on a command line: `0.65um`, `0.65 µm`, `12nm`.

    Raises:
        InvalidRequest: not a number and a unit.
    """
    stripped = text.strip()
    for spelling in sorted(SPELLINGS, key=len, reverse=True):
        if stripped.endswith(spelling):
            try:
                return read_scale(float(stripped.removesuffix(spelling)), spelling)
            except ValueError:
                break
    raise InvalidRequest("a pixel size is a number and a unit, for example 0.65um", "/scale")


def scale_of_file(width_um: float | None, height_um: float | None) -> Scale:
    """The scale that a picture's metadata gives, by the width and the height of a pixel in µm.

    Raises:
        InvalidRequest: the file says nothing, or its pixels are not square.
    """
    if width_um is None or height_um is None or not (width_um > 0 and height_um > 0):
        raise InvalidRequest(
            'the picture\'s file holds no pixel size; give it as {"pixel_size": 0.65, "unit": "µm"}', "/scale"
        )
    if abs(width_um - height_um) > SQUARE_TOLERANCE * max(width_um, height_um):
        raise InvalidRequest(
            f"the picture's pixels are {width_um:g} by {height_um:g} µm; only square pixels are measured", "/scale"
        )
    return Scale(float(width_um), "µm", "file")
