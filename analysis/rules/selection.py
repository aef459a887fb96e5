"""The rules that look at one object at a time: background, edge, filters; and monodisperse, which looks at a mean.

Each says which objects stay, bool [N].
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.objects.measurements import Measurements
from analysis.rules.grouping import Grouping
from analysis.rules.parameters import Filter
from analysis.scale import Scale
from segmentation.errors import InvalidRequest
from segmentation.types import Size

BACKGROUND_SHARE = 0.25
"""Of the picture, that a mask at three of its sides covers at least to be background."""
WHOLE_PICTURE = 0.9
"""Of the picture, that a mask covers at least to be background wherever it lies."""


def is_background(areas: NDArray[np.int64], boxes: NDArray[np.int64], size: Size) -> NDArray[np.bool_]:
    """Masks at all four sides of the picture, at three with a quarter of its pixels, or with nearly all of it."""
    height, width = size
    x0, y0, x1, y1 = boxes.T
    sides = (x0 == 0).astype(int) + (y0 == 0) + (x1 == width - 1) + (y1 == height - 1)
    share = areas / (height * width)
    result: NDArray[np.bool_] = (sides == 4) | ((sides == 3) & (share >= BACKGROUND_SHARE)) | (share >= WHOLE_PICTURE)
    return result


def near_edge(boxes: NDArray[np.int64], size: Size, margin: float) -> NDArray[np.bool_]:
    """Masks with at most `margin` pixels between them and a side of the picture; 0 is touching it."""
    height, width = size
    x0, y0, x1, y1 = boxes.T
    nearest = np.min([x0, y0, width - 1 - x1, height - 1 - y1], axis=0)
    result: NDArray[np.bool_] = nearest <= margin
    return result


def passes(
    rule: Filter, measurements: Measurements, scale: Scale, grouping: Grouping | None, pointer: str
) -> NDArray[np.bool_]:
    """Masks whose property is within the filter's range, and those of other groups. No value is in no range.

    Raises:
        InvalidRequest: a group that there is not, or a channel that the picture does not have.
    """
    try:
        values = measurements.column(rule.property, scale)
    except KeyError:
        raise InvalidRequest(
            f"the picture has {measurements.channels} channels, from 0", f"{pointer}/property"
        ) from None
    low = -np.inf if rule.min is None else rule.min
    high = np.inf if rule.max is None else rule.max
    stays: NDArray[np.bool_] = (values >= low) & (values <= high)
    if rule.group is not None and grouping is not None:
        if rule.group not in grouping.names:
            raise InvalidRequest(f"there is no such group; there are {', '.join(grouping.names)}", f"{pointer}/group")
        stays |= grouping.numbers != grouping.names.index(rule.group)
    return stays


def is_monodisperse(
    diameters: NDArray[np.float64], grouping: Grouping, max_ratio: Sequence[float]
) -> NDArray[np.bool_]:
    """Objects of the largest group that are not much larger than its mean, and all of other groups.

    The mean is taken again before each ratio, of what is left.
    """
    largest = grouping.numbers == len(grouping.names) - 1
    stays = np.ones(len(diameters), np.bool_)
    for ratio in max_ratio:
        tested = largest & stays
        if tested.any():
            stays &= ~tested | (diameters <= ratio * diameters[tested].mean())
    return stays
