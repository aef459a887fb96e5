"""Which masks stay when two show the same thing: greedy suppression by masks, not by boxes."""

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.masks.overlaps import overlapping_pairs
from analysis.rules.parameters import Duplicates
from segmentation.compiled import compiled


def without_duplicates(
    masks: MaskSet,
    areas: NDArray[np.int64],
    boxes: NDArray[np.int64],
    scores: NDArray[np.float64],
    rule: Duplicates,
) -> NDArray[np.bool_]:
    """Which masks stay, bool [N].

    The best mask by `rule.keep` stays, what overlaps it by at least the threshold goes, and so on with what is left.
    Of equals the larger is better, then the first.

    Args:
        scores: float64 [N], predicted IoU; NaN where there is none counts as the worst.
    """
    pairs, _ = overlapping_pairs(masks, areas, boxes, rule.measure, rule.threshold)
    first = np.arange(len(masks))
    match rule.keep:
        case "larger":
            order = np.lexsort((first, -areas))
        case "smaller":
            order = np.lexsort((first, areas))
        case "score":
            order = np.lexsort((first, -areas, -np.nan_to_num(scores, nan=-np.inf)))
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(len(masks) + 1)).astype(np.int64)
    return _suppress(order, starts, np.ascontiguousarray(both[:, 1]))


@compiled
def _suppress(order: NDArray[np.int64], starts: NDArray[np.int64], neighbours: NDArray[np.int64]) -> NDArray[np.bool_]:
    stays = np.ones(len(order), np.bool_)
    for mask in order:
        if stays[mask]:
            for index in range(starts[mask], starts[mask + 1]):
                stays[neighbours[index]] = False
    return stays
