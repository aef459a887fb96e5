"""True masks of a labelled picture: which pixels belong to an object, and to which objects a pixel belongs.

`labels` is uint8 [h, w], the topmost object of each pixel, 0 = background; `parents` uint8 [n], the object that
contains each object, 0 = none, smaller than the object's own number.
"""

import numpy as np
from scipy.ndimage import distance_transform_edt

MIN_AREA = 150


def owners(parents: np.ndarray, label: int) -> list[int]:
    """The object `label` and all that contain it, innermost first; [0] for the background."""
    chain = [label]
    while label and parents[label]:
        label = int(parents[label])
        chain.append(label)
    return chain


def members(parents: np.ndarray, label: int) -> np.ndarray:
    """An object and all its parts as a lookup table, bool [n]: `members(...)[labels]` is the object's mask."""
    table = np.zeros(len(parents), bool)
    table[label] = True
    if label:
        for part in range(label + 1, len(parents)):
            table[part] = parents[part] and table[parents[part]]
    return table


def true_mask(labels: np.ndarray, parents: np.ndarray, label: int) -> np.ndarray:
    """Visible pixels of an object with its parts, bool [h, w]; of the background for 0."""
    return members(parents, label)[labels]


def areas(labels: np.ndarray, parents: np.ndarray) -> np.ndarray:
    """Visible pixels of each object with its parts, int64 [n]."""
    counts = np.bincount(labels.ravel(), minlength=len(parents))
    for label in range(len(parents) - 1, 0, -1):
        if parents[label]:
            counts[parents[label]] += counts[label]
    return counts


def interior_point(rng: np.random.Generator, mask: np.ndarray, margin: float = 2.0) -> tuple[int, int]:
    """A random pixel (x, y) of the mask at least `margin` pixels from its edge, or the deepest when there is none."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rows, columns = np.nonzero(depth >= min(margin, depth.max()))
    index = int(rng.integers(len(rows)))
    return int(columns[index]), int(rows[index])


def deepest_point(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) farthest from the mask's edge."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(column), int(row)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Extent x0, y0, x1, y1 in pixels; x1 and y1 lie just outside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two bool masks; 0 when both are empty."""
    union = int(np.logical_or(a, b).sum())
    return int(np.logical_and(a, b).sum()) / union if union else 0.0
