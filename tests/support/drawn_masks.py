"""Masks of shapes whose size is known, drawn by pixel centres; and a picture's samples as the analysis takes them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from analysis import MaskSet, from_rles
from segmentation.masks.rle import encode


@dataclass(frozen=True)
class Samples:
    """A picture, by its samples."""

    samples: NDArray[Any]
    valid: NDArray[np.bool_] | None = None


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> NDArray[np.bool_]:
    """Centre (x, y) in the pixel-corner frame."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= radius**2


def ellipse(size: tuple[int, int], x: float, y: float, a: float, b: float, degrees: float) -> NDArray[np.bool_]:
    """Half axes a and b, a at an angle counter-clockwise from the x axis as one sees it."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    dx, dy = columns + 0.5 - x, -(rows + 0.5 - y)
    along = dx * np.cos(np.radians(degrees)) + dy * np.sin(np.radians(degrees))
    across = -dx * np.sin(np.radians(degrees)) + dy * np.cos(np.radians(degrees))
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def blob(size: tuple[int, int], random: np.random.Generator) -> NDArray[np.bool_]:
    """Any shape: in pieces, with holes, at the edge; never empty."""
    noise = gaussian_filter(random.normal(size=size), random.uniform(0.5, 8))
    mask: NDArray[np.bool_] = noise >= np.quantile(noise, random.uniform(0.05, 0.999))
    return mask


def mask_set(*masks: NDArray[np.bool_]) -> MaskSet:
    size = (masks[0].shape[0], masks[0].shape[1])
    return from_rles([encode(mask) for mask in masks], size)
