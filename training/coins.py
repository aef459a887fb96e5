"""scikit-image's `coins`, a real photograph that no training sees: reference masks, and how many coins a model finds.

Needs scikit-image, which only training and its tests use.
"""

import numpy as np
from scipy.ndimage import binary_fill_holes, label
from segment_anything import SamAutomaticMaskGenerator, SamPredictor
from segment_anything.modeling import Sam
from skimage.data import coins
from skimage.filters import sobel
from skimage.segmentation import watershed

from training.truth import deepest_point, iou

FOUND = 0.8


def coins_picture() -> np.ndarray:
    """The photograph as uint8 [303, 384, 3]."""
    return np.repeat(coins()[..., None], 3, axis=2)


def reference_masks() -> np.ndarray:
    """The 24 coins, bool [24, 303, 384], by scikit-image's own recipe for this picture.

    A watershed of the Sobel gradient from certain background (darker than 30) and certain coin (brighter than 150);
    holes filled, pieces under 300 pixels dropped.
    """
    picture = coins()
    markers = np.zeros(picture.shape, np.int32)
    markers[picture < 30] = 1
    markers[picture > 150] = 2
    filled = binary_fill_holes(watershed(sobel(picture), markers) == 2)
    pieces, count = label(filled)
    masks = [pieces == index for index in range(1, count + 1)]
    return np.stack([mask for mask in masks if mask.sum() >= 300])


def coins_by_point(sam: Sam) -> list[float]:
    """IoU of the best-scored of three masks from a point on the middle of each coin."""
    predictor = SamPredictor(sam)
    predictor.set_image(coins_picture())
    found = []
    for reference in reference_masks():
        point = np.asarray([deepest_point(reference)])
        masks, scores, _ = predictor.predict(point, np.ones(1), multimask_output=True)
        found.append(iou(masks[int(scores.argmax())], reference))
    return found


def coins_automatically(sam: Sam) -> tuple[int, int, list[np.ndarray]]:
    """Automatic masks at segment-anything's defaults: coins found as single masks, masks in all, the masks."""
    masks = [record["segmentation"] for record in SamAutomaticMaskGenerator(sam).generate(coins_picture())]
    found = sum(any(iou(mask, reference) >= FOUND for mask in masks) for reference in reference_masks())
    return found, len(masks), masks
