"""What a TIFF tells of its pixels beside their values: size, names of channels, nodata. Damage is ignored."""

import math
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from tifffile import TiffFile, TiffPage

from segmentation.pictures.decoded import PixelSize

MAX_XML_BYTES = 32_000_000
RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION, GDAL_NODATA = 296, 282, 283, 42113
RESOLUTION_UM = {2: 25_400.0, 3: 10_000.0, 4: 1_000.0, 5: 1.0}
"""TIFF's code of a unit -> micrometres; 4 and 5 are common extensions."""

UNITS_UM = {
    **dict.fromkeys(("µm", "μm", "um", "micron", "microns", "micrometer", "micrometre"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometre"), 1e-3),
    **dict.fromkeys(("pm",), 1e-6),
    **dict.fromkeys(("Å", "Å", "angstrom"), 1e-4),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), 1e4),
    **dict.fromkeys(("dm",), 1e5),
    **dict.fromkeys(("m", "meter", "metre"), 1e6),
    **dict.fromkeys(("in", "inch", "inches"), 25_400.0),
}
"""A unit as ImageJ or OME writes it -> micrometres. Those that are not lengths (pixels) are left out."""


def pixel_size(file: TiffFile, page: TiffPage) -> PixelSize | None:
    """The size of a pixel by OME's, ImageJ's or TIFF's own metadata, the first that there is."""
    return _ome_size(file) or _imagej_size(file, page) or _tiff_size(page)


def channel_names(file: TiffFile) -> tuple[str, ...]:
    """The channels' names by OME's or ImageJ's metadata."""
    names = tuple(channel.get("Name", "") for channel in _pixels_children(file, "Channel"))
    if any(names):
        return names
    labels = (file.imagej_metadata or {}).get("Labels", ()) if file.is_imagej else ()
    return tuple(str(label) for label in labels) if isinstance(labels, (list, tuple)) else ()


def nodata_value(page: TiffPage) -> float | None:
    """The sample value that stands for "no data", by GDAL's tag."""
    try:
        return float(page.tags.valueof(GDAL_NODATA))
    except (TypeError, ValueError):
        return None


def _ome_size(file: TiffFile) -> PixelSize | None:
    pixels = _ome_pixels(file)
    if pixels is None:
        return None
    sides = [
        _length(pixels.get(f"PhysicalSize{axis}"), UNITS_UM.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").strip()))
        for axis in "XY"
    ]
    return _size(sides[0], sides[1], "ome")


def _imagej_size(file: TiffFile, page: TiffPage) -> PixelSize | None:
    if not file.is_imagej:
        return None
    # ImageJ writes the micro sign as an escape.
    unit = str((file.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ").strip()
    return _of_resolution(page, UNITS_UM.get(unit), "imagej")


def _tiff_size(page: TiffPage) -> PixelSize | None:
    return _of_resolution(page, RESOLUTION_UM.get(int(page.tags.valueof(RESOLUTION_UNIT, default=2))), "tiff")


def _of_resolution(page: TiffPage, unit_um: float | None, source: Any) -> PixelSize | None:
    sides = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        value = page.tags.valueof(tag)
        pixels, units = value if isinstance(value, tuple) and len(value) == 2 else (0, 0)
        sides.append(_length(units / pixels if pixels else None, unit_um))
    return _size(sides[0], sides[1], source)


def _length(value: Any, unit_um: float | None) -> float | None:
    if value is None or unit_um is None:
        return None
    try:
        length = float(value) * unit_um
    except ValueError:
        return None
    return length if math.isfinite(length) and length > 0 else None


def _size(x: float | None, y: float | None, source: Any) -> PixelSize | None:
    if x is None and y is None:
        return None
    return PixelSize(float(x or y or 0), float(y or x or 0), source)


def _pixels_children(file: TiffFile, name: str) -> Iterator[ElementTree.Element]:
    pixels = _ome_pixels(file)
    return iter(()) if pixels is None else (child for child in pixels if child.tag.rpartition("}")[2] == name)


def _ome_pixels(file: TiffFile) -> ElementTree.Element | None:
    """OME's element `Pixels` of the first image."""
    text = file.ome_metadata if file.is_ome else None
    if not text or len(text) > MAX_XML_BYTES:
        return None
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None
    return next((element for element in root.iter() if element.tag.rpartition("}")[2] == "Pixels"), None)
