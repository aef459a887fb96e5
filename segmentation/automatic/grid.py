"""Where automatic masks look: point grids and crop boxes. Pure geometry, equal to `segment_anything.utils.amg`."""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from segmentation.types import CropBox, Size

PointGrid = NDArray[np.float64]
"""float64 [N, 2], (x, y) in fractions of a crop, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop box and the points asked in it.

    box: in the original frame.
    layer: 0 for the whole picture; layer i has 4**i crops.
    points: float64 [N, 2], (x, y) in the original frame.
    """

    box: CropBox
    layer: int
    points: NDArray[np.float64]

    @property
    def size(self) -> Size:
        x0, y0, x1, y1 = self.box
        return y1 - y0, x1 - x0


def point_grid(points_per_side: int) -> PointGrid:
    """An even square grid of points, in rows from the top left; empty for 0 points a side."""
    if points_per_side == 0:
        return np.zeros((0, 2))
    offset = 1 / (2 * points_per_side)
    side = np.linspace(offset, 1 - offset, points_per_side)
    return np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def layer_grids(points_per_side: int, layers: int, downscale: int) -> list[PointGrid]:
    """The grid of the whole picture, then one for the crops of each layer, each `downscale` times coarser."""
    return [point_grid(int(points_per_side / downscale**layer)) for layer in range(layers + 1)]


def crop_boxes(size: Size, layers: int, overlap_ratio: float) -> list[tuple[CropBox, int]]:
    """The whole picture, then the (crop box, layer) of 2**layer crops a side, column by column.

    In a picture smaller than the grid of crops the last ones would have no pixels; these are left out.

    Args:
        overlap_ratio: overlap of the first layer's crops in fractions of the picture's short side; later layers
            overlap by less, in proportion to their crops.
    """
    height, width = size
    boxes: list[tuple[CropBox, int]] = [((0, 0, width, height), 0)]
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * min(size) * (2 / per_side))
        crop_width = math.ceil((overlap * (per_side - 1) + width) / per_side)
        crop_height = math.ceil((overlap * (per_side - 1) + height) / per_side)
        for column, row in product(range(per_side), range(per_side)):
            x0, y0 = (crop_width - overlap) * column, (crop_height - overlap) * row
            if x0 < width and y0 < height:
                boxes.append(((x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height)), layer))
    return boxes
