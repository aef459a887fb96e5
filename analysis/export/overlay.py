"""The picture with the outlines of its objects in the colours of their groups, and a scale bar. PNG."""

import io
import json
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from analysis.export.colours import group_colour
from analysis.export.source import Source
from analysis.result import Analysis
from analysis.scale import MICROMETRES
from segmentation.compiled import compiled
from segmentation.errors import InvalidRequest

BAR_SHARE = 0.25
"""Of the picture's width, that the scale bar takes at most."""


def write_overlay(analysis: Analysis, source: Source) -> bytes:
    """The PNG, of the picture's size.

    Raises:
        InvalidRequest: there is no picture to draw on.
    """
    if source.pixels is None:
        raise InvalidRequest("an overlay needs the picture", "/format")
    image = Image.fromarray(overlay(analysis, source.pixels))
    if not analysis.scale.is_pixels:
        _draw_bar(image, analysis.scale.pixel_size, analysis.scale.unit)
    info = PngInfo()
    info.add_itxt("settings", json.dumps({**source.settings, **analysis.settings()}, ensure_ascii=False))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def overlay(analysis: Analysis, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The outlines on a copy of the picture, uint8 [H, W, 3]."""
    drawn = np.ascontiguousarray(pixels).copy()
    thickness = max(1, round(max(analysis.size) / 800))
    # The largest first: the outlines of what lies in it stay visible.
    for index in range(len(analysis)):
        mask, x, y = analysis.masks.crop(index, pad=1)
        colour = np.array(group_colour(int(analysis.grouping.numbers[index])), np.uint8)
        _outline(drawn, mask, x, y, thickness, colour)
    return drawn


@compiled
def _outline(
    drawn: NDArray[np.uint8], mask: NDArray[np.bool_], x0: int, y0: int, thickness: int, colour: NDArray[np.uint8]
) -> None:
    """Colours the mask's pixels that have a neighbour outside, and those up to `thickness` from there inside."""
    height, width = mask.shape
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if not mask[y, x]:
                continue
            inside = True
            for step in range(1, thickness + 1):
                inside &= mask[y, max(x - step, 0)] and mask[y, min(x + step, width - 1)]
                inside &= mask[max(y - step, 0), x] and mask[min(y + step, height - 1), x]
            if not inside:
                drawn[y + y0, x + x0] = colour


def bar_length(width: int, pixel_size: float) -> float:
    """The length of a scale bar in the scale's unit: 1, 2 or 5 times a power of ten, at most `BAR_SHARE` of a width."""
    most = width * pixel_size * BAR_SHARE
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def _draw_bar(image: Image.Image, pixel_size: float, unit: str) -> None:
    """A white bar with its length above, on black, at the lower right."""
    length = bar_length(image.width, pixel_size)
    pixels = max(1, round(length / pixel_size))
    size = max(8, min(image.width, image.height) // 25)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(image)
    text = f"{length:g} "
    # The font that Pillow carries has no µ: a u with a stem is drawn for it.
    drawn_unit = unit.replace("µ", "u") if unit in MICROMETRES else unit
    text_width, unit_width = draw.textlength(text, font), draw.textlength(drawn_unit, font)
    margin = max(2, size // 3)
    block = max(pixels, math.ceil(text_width + unit_width))
    left, bottom = image.width - 2 * margin - block, image.height - margin
    top = bottom - size - margin - max(2, size // 4) - margin
    draw.rectangle([left - margin, top, image.width - margin, bottom], fill=(0, 0, 0))
    x, y = left + (block - text_width - unit_width) / 2, top + margin // 2
    draw.text((x, y), text + drawn_unit, fill=(255, 255, 255), font=font)
    if unit == "µm":
        stem = x + text_width + size / 12
        baseline = y + font.getbbox("u")[3]
        draw.line([stem, baseline - 1, stem, baseline + size / 5], fill=(255, 255, 255), width=max(1, size // 12))
    bar_left = left + (block - pixels) // 2
    draw.rectangle(
        [bar_left, bottom - margin - max(2, size // 4), bar_left + pixels - 1, bottom - margin], fill=(255, 255, 255)
    )
