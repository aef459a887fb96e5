"""Measures a trained model on the held-out pictures and on `coins`, through segment-anything's own predictor.

Prints one line a finding and ends in one JSON line.
"""

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

from segmentation.backends.sam_module import build_sam
from segmentation.models import PROJECT_ROOT, find_model, load_manifest
from training.coins import FOUND, coins_automatically, coins_by_point
from training.heldout import PICTURES_PER_KIND, Case, held_out
from training.truth import bounding_box, deepest_point, iou, owners, true_mask

Values = dict[str, list[float]]


def load_demo(path: Path) -> Sam:
    """The demo model with the weights of a file, fp32."""
    sam = build_sam(find_model("demo", load_manifest()).architecture)
    sam.load_state_dict({key: value.float() for key, value in torch.load(path, weights_only=True).items()})
    return sam


def measure(sam: Sam, pictures_per_kind: int) -> dict[str, float]:
    """Every held-out figure by name, mean over objects."""
    predictor = SamPredictor(sam)
    values: Values = defaultdict(list)
    for case in held_out(pictures_per_kind):
        predictor.set_image(case.scene.image)
        for label, point in zip(case.objects, case.points, strict=True):
            _points(predictor, case, point, values)
            _boxes(predictor, case, label, values)
            _clicks(predictor, case, label, point, values)
            _negative(predictor, case, label, values)
    figures = {name: float(np.mean(numbers)) for name, numbers in values.items()}
    figures["point"] = float(np.mean([figures[name] for name in figures if name.startswith("point/")]))
    figures["iou_correlation"] = float(np.corrcoef(values["predicted_iou"], values["true_iou"])[0, 1])
    return figures


def _points(predictor: SamPredictor, case: Case, point: tuple[int, int], values: Values) -> None:
    """One point, three masks; any object that the point lies in is right."""
    masks, scores, _ = predictor.predict(np.asarray([point]), np.ones(1))
    chain = owners(case.scene.parents, int(case.scene.labels[point[1], point[0]]))
    truths = [true_mask(case.scene.labels, case.scene.parents, label) for label in chain]
    ious = [max(iou(mask, truth) for truth in truths) for mask in masks]
    values[f"point/{case.kind}"].append(ious[int(scores.argmax())])
    values["point_oracle"].append(max(ious))
    values["predicted_iou"].extend(float(score) for score in scores)
    values["true_iou"].extend(ious)


def _boxes(predictor: SamPredictor, case: Case, label: int, values: Values) -> None:
    """The object's own box: best-scored of three masks, and the single mask."""
    truth = true_mask(case.scene.labels, case.scene.parents, label)
    box = np.asarray(bounding_box(truth))
    masks, scores, _ = predictor.predict(box=box)
    values["box"].append(iou(masks[int(scores.argmax())], truth))
    masks, _, _ = predictor.predict(box=box, multimask_output=False)
    values["box_single"].append(iou(masks[0], truth))


def _clicks(predictor: SamPredictor, case: Case, label: int, point: tuple[int, int], values: Values) -> None:
    """Three clicks for one object; after the first, in the middle of the largest error, with the logits before it."""
    truth = true_mask(case.scene.labels, case.scene.parents, label)
    points, labels, logits = [point], [1], None
    for number in (1, 2, 3):
        masks, scores, low_res = predictor.predict(np.asarray(points), np.asarray(labels), mask_input=logits)
        best = int(scores.argmax())
        values[f"clicks_{number}"].append(iou(masks[best], truth))
        missed, extra = truth & ~masks[best], masks[best] & ~truth
        if not (missed.any() or extra.any()):
            continue
        corners = [(deepest_point(wrong) if wrong.any() else None) for wrong in (missed, extra)]
        is_missed = missed.sum() >= extra.sum()
        points.append(corners[0] if is_missed else corners[1])
        labels.append(int(is_missed))
        logits = low_res[best : best + 1]


def _negative(predictor: SamPredictor, case: Case, label: int, values: Values) -> None:
    """A point on a part, then a negative point on the part inside it (or on a second object that was clicked too)."""
    scene = case.scene
    inner = [other for other in case.objects if int(scene.parents[other]) == label]
    others = [other for other in case.objects if other != label and label not in owners(scene.parents, other)]
    if not inner and not others:
        return
    hit = true_mask(scene.labels, scene.parents, inner[0] if inner else others[0])
    kept = true_mask(scene.labels, scene.parents, label) & ~hit
    if not kept.any():
        return
    points, labels = [deepest_point(kept)], [1]
    if not inner:
        points, labels = [*points, deepest_point(hit)], [1, 1]
    masks, scores, _ = predictor.predict(np.asarray(points), np.asarray(labels))
    before = masks[int(scores.argmax())]
    x, y = deepest_point(hit)
    if not before[y, x]:
        return
    points, labels = [points[0], (x, y)], [1, 0]
    masks, scores, _ = predictor.predict(np.asarray(points), np.asarray(labels))
    after = masks[int(scores.argmax())]
    values["negative_removes"].append(float(not after[y, x] and after[points[0][1], points[0][0]]))
    values["negative_iou_before"].append(iou(before, kept))
    values["negative_iou_after"].append(iou(after, kept))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=PROJECT_ROOT / "model" / "sam_demo.pth")
    parser.add_argument("--pictures", type=int, default=PICTURES_PER_KIND, help="held-out pictures of each class")
    parser.add_argument("--no-automatic", action="store_true", help="leave out automatic masks, the slow part")
    arguments = parser.parse_args()
    sam = load_demo(arguments.weights)
    start = time.perf_counter()
    figures = measure(sam, arguments.pictures)
    by_point = coins_by_point(sam)
    figures["coins_by_point"] = sum(value >= FOUND for value in by_point)
    figures["coins_by_point_miou"] = float(np.mean(by_point))
    if not arguments.no_automatic:
        found, count, _ = coins_automatically(sam)
        figures["coins_automatically"], figures["coins_masks"] = found, count
    figures["seconds"] = time.perf_counter() - start
    for name, value in sorted(figures.items()):
        print(f"{name:24} {value:8.3f}")
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
