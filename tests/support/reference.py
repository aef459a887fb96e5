"""The reference's automatic masks with its intermediate results, and the comparison that "the same masks" means."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam
from segment_anything.utils.amg import MaskData, coco_encode_rle, rle_to_mask

from segmentation.automatic.candidates import Candidates, no_candidates
from segmentation.automatic.parameters import AutomaticParameters
from segmentation.masks.rle import decode
from segmentation.types import Rle, Size

IOU_TOLERANCE = 0.99
PIXEL_TOLERANCE = 2
SCORE_TOLERANCE = 1e-3


class RecordingGenerator(SamAutomaticMaskGenerator):
    """`SamAutomaticMaskGenerator` that keeps the candidates from before box NMS."""

    def __init__(self, sam: Sam, parameters: AutomaticParameters, **options: Any) -> None:
        arguments: dict[str, Any] = {
            name: getattr(parameters, name) for name in AutomaticParameters.__slots__ if name != "min_mask_area"
        }
        if parameters.point_grids is not None:
            arguments["point_grids"] = [np.array(grid) for grid in parameters.point_grids]
        super().__init__(sam, **arguments, **options)
        self.batches: list[tuple[MaskData, list[int]]] = []

    @property
    def candidates(self) -> list[Candidates]:
        """By batch, in the order of decoding."""
        return [_candidates(data, crop_box) for data, crop_box in self.batches]

    def _process_batch(self, points: Any, im_size: Any, crop_box: Any, orig_size: Any) -> MaskData:
        data = super()._process_batch(points, im_size, crop_box, orig_size)
        self.batches.append((data, crop_box))
        return data


def _candidates(data: MaskData, crop_box: list[int]) -> Candidates:
    """The reference's batch in the original frame."""
    rles = data["rles"]
    if not rles:
        return no_candidates()
    corner = np.array(crop_box[:2])
    stability = data["stability_score"].numpy()
    return Candidates(
        counts=tuple(coco_encode_rle(rle)["counts"] for rle in rles),
        boxes=data["boxes"].numpy() + np.tile(corner, 2),
        predicted_iou=data["iou_preds"].numpy(),
        stability_score=np.where(np.isnan(stability), 0, stability).astype(np.float32),
        points=data["points"].numpy() + corner,
        areas=np.array([rle_to_mask(rle).sum() for rle in rles]),
        crop_boxes=np.tile(np.array(crop_box, np.int64), (len(rles), 1)),
    )


def candidate_keys(candidates: Candidates, size: Size) -> list[tuple[Any, NDArray[np.bool_]]]:
    """(point and crop, mask) of each candidate, for `compare`; a point in a crop gives up to three masks."""
    return [
        ((*np.round(point, 6), *crop_box), decode(Rle(size, counts)))
        for point, crop_box, counts in zip(candidates.points, candidates.crop_boxes, candidates.counts, strict=True)
    ]


@dataclass
class Comparison:
    """Pairs of positions of the same mask, and what has no partner."""

    pairs: list[tuple[int, int]] = field(default_factory=list)
    only_expected: list[int] = field(default_factory=list)
    only_ours: list[int] = field(default_factory=list)


def same_mask(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    """At most 2 pixels differing, or IoU >= 0.99."""
    if np.count_nonzero(a != b) <= PIXEL_TOLERANCE:
        return True
    return bool(np.count_nonzero(a & b) >= IOU_TOLERANCE * np.count_nonzero(a | b))


def compare(expected: list[tuple[Any, NDArray[np.bool_]]], ours: list[tuple[Any, NDArray[np.bool_]]]) -> Comparison:
    """Matches (key, mask) one to one; only masks with equal keys can match.

    The key holds what must be equal anyway, such as the point and the crop.
    """
    result = Comparison()
    waiting: dict[Any, list[int]] = {}
    for index, (key, _) in enumerate(ours):
        waiting.setdefault(key, []).append(index)
    for index, (key, mask) in enumerate(expected):
        partner = next((other for other in waiting.get(key, []) if same_mask(mask, ours[other][1])), None)
        if partner is None:
            result.only_expected.append(index)
        else:
            waiting[key].remove(partner)
            result.pairs.append((index, partner))
    result.only_ours = sorted(index for indexes in waiting.values() for index in indexes)
    return result
