"""The tree of which mask lies in which."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.masks.overlaps import overlapping_pairs
from analysis.rules.parameters import Nesting

LABELS = ("empty", "single", "double", "triple", "quadruple", "quintuple", "sextuple", "septuple", "octuple")
"""By the number of direct children; more than these are named by the number itself."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Who lies in whom.

    parents: int64 [N], the position of the smallest mask around each, -1 for none.
    depth: int64 [N], how many masks are around it in the tree.
    children: int64 [N], how many lie directly in it.
    """

    parents: NDArray[np.int64]
    depth: NDArray[np.int64]
    children: NDArray[np.int64]


def nesting_tree(masks: MaskSet, areas: NDArray[np.int64], boxes: NDArray[np.int64], rule: Nesting) -> Tree:
    """The tree of masks that descend by area.

    A mask lies in a larger one (of equals, in an earlier one) that covers at least the threshold's share of its
    pixels; its parent is the smallest of these, the last in order.
    """
    pairs, _ = overlapping_pairs(masks, areas, boxes, "overlap", rule.threshold)
    parents = np.full(len(masks), -1, np.int64)
    # The masks descend by area: of a pair (i, j), i < j, j is the smaller one.
    np.maximum.at(parents, pairs[:, 1], pairs[:, 0])
    depth = np.zeros(len(masks), np.int64)
    children = np.zeros(len(masks), np.int64)
    for mask, parent in enumerate(parents):
        if parent >= 0:
            depth[mask] = depth[parent] + 1
            children[parent] += 1
    return Tree(parents, depth, children)


def label_of(children: int) -> str:
    """The label of an object with so many children."""
    return LABELS[children] if children < len(LABELS) else str(children)
