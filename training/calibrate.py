"""Makes scores and logits of finished weights mean what automatic masks take them to mean; no mask changes.

Two folds into the weights, measured on synthetic pictures that neither training nor the held-out set has:

- `predicted_iou` is stretched along a line (the last layer of its head is changed) until segment-anything's default
  threshold keeps as many masks as have that IoU, with the median where the median IoU is. A regression to the mean is
  undone so: scores order masks as before, but one score is no longer an unbiased estimate of its mask's IoU;
- logits are multiplied so that the stability score of good masks passes segment-anything's default threshold (the last
  layers of the mask weights are changed; the layer that takes `mask_input` divides by as much).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam
from segment_anything.utils.amg import calculate_stability_score

from segmentation.weights.manifest import PROJECT_ROOT
from training.evaluate import load_demo
from training.heldout import make_case
from training.scenes import KINDS
from training.truth import iou, owners, true_mask

SEED = 77
DEFAULT_THRESHOLD = 0.88
GOOD_IOU = 0.85
SHARE = 0.75
STABILITY = 0.955
SCALES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)


def collect(sam: Sam, pictures_per_kind: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For a point on each of some objects, of three masks each: score and true IoU [n]; stability by scale [n, s]."""
    predictor = SamPredictor(sam)
    scores, ious, stability = [], [], []
    for index, kind in enumerate(KINDS):
        for number in range(pictures_per_kind):
            case = make_case(kind, (SEED, index, number))
            predictor.set_image(case.scene.image)
            for x, y in case.points:
                masks, predicted, _ = predictor.predict(np.asarray([[x, y]]), np.ones(1), return_logits=True)
                chain = owners(case.scene.parents, int(case.scene.labels[y, x]))
                truths = [true_mask(case.scene.labels, case.scene.parents, label) for label in chain]
                scores.extend(predicted)
                ious.extend(max(iou(mask > 0, truth) for truth in truths) for mask in masks)
                logits = torch.from_numpy(masks)
                by_scale = [calculate_stability_score(logits, 0.0, 1.0 / scale).numpy() for scale in SCALES]
                stability.extend(np.stack(by_scale, axis=1))
    return np.asarray(scores), np.asarray(ious), np.nan_to_num(np.asarray(stability))


def stretch(scores: np.ndarray, ious: np.ndarray) -> tuple[float, float]:
    """Slope and shift that carry the scores' median, and their quantile of DEFAULT_THRESHOLD, to those of the IoUs."""
    share = float((ious >= DEFAULT_THRESHOLD).mean())
    median, threshold = np.quantile(scores, [0.5, 1 - share])
    slope = (DEFAULT_THRESHOLD - np.median(ious)) / (threshold - median)
    return float(slope), float(DEFAULT_THRESHOLD - slope * threshold)


def fold(sam: Sam, slope: float, shift: float, scale: float) -> None:
    """Changes the weights in place: scores become `slope * score + shift`, logits are multiplied by `scale`."""
    decoder = sam.mask_decoder
    with torch.no_grad():
        head = decoder.iou_prediction_head.layers[-1]
        head.weight.mul_(slope)
        head.bias.mul_(slope).add_(shift)
        for mlp in decoder.output_hypernetworks_mlps:
            mlp.layers[-1].weight.mul_(scale)
            mlp.layers[-1].bias.mul_(scale)
        sam.prompt_encoder.mask_downscaling[0].weight.div_(scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=PROJECT_ROOT / "runs" / "demo" / "sam_demo.pth")
    parser.add_argument("--output", type=Path, default=PROJECT_ROOT / "model" / "sam_demo.pth")
    parser.add_argument("--pictures", type=int, default=8, help="pictures of each class")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sam = load_demo(arguments.weights)
    scores, ious, stability = collect(sam, arguments.pictures)
    slope, shift = stretch(scores, ious)
    passing = (stability[ious >= GOOD_IOU] >= STABILITY).mean(axis=0)
    scale = next((scale for scale, share in zip(SCALES, passing, strict=True) if share >= SHARE), SCALES[-1])
    fold(sam, slope, shift, scale)
    torch.save({name: value.half() for name, value in sam.state_dict().items()}, arguments.output)
    kept = slope * scores + shift >= DEFAULT_THRESHOLD
    print(f"predicted_iou: {slope:.3f} x + {shift:.3f} over {len(scores)} masks; logits x {scale}")
    print(f"masks at {DEFAULT_THRESHOLD} or more: {kept.mean():.3f}, their mean IoU {ious[kept].mean():.3f}")
    print("masks that pass, by scale: " + ", ".join(f"{s:g}: {p:.2f}" for s, p in zip(SCALES, passing, strict=True)))


if __name__ == "__main__":
    main()
