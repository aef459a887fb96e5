"""The thresholds that candidates passed, and what passes stricter ones: the decoder needs not run again for them."""

from dataclasses import dataclass

import numpy as np

from segmentation.automatic.candidates import Candidates
from segmentation.automatic.parameters import AutomaticParameters


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of predicted IoU (masks must be above it; 0 keeps all) and of the stability score (masks must have it)."""

    pred_iou: float
    stability_score: float

    @classmethod
    def of(cls, parameters: AutomaticParameters) -> "Thresholds":
        return cls(parameters.pred_iou_thresh, parameters.stability_score_thresh)

    def covers(self, stricter: "Thresholds") -> bool:
        """Whether candidates that passed these hold all that pass the others."""
        return self.pred_iou <= stricter.pred_iou and self.stability_score <= stricter.stability_score


def passing(candidates: Candidates, thresholds: Thresholds) -> Candidates:
    """The candidates that pass, in order: exactly those that `decode_points` gives with these thresholds.

    Scores are compared as float32, as the decoder compares them.
    """
    stays = candidates.stability_score >= np.float32(thresholds.stability_score)
    if thresholds.pred_iou > 0:
        stays &= candidates.predicted_iou > np.float32(thresholds.pred_iou)
    return candidates if stays.all() else candidates.take(np.flatnonzero(stays))
