"""Held-out figures of one picture, through segment-anything's own predictor, all of a picture's objects at once."""

from dataclasses import dataclass

import numpy as np
import torch
from segment_anything import SamPredictor

from training.heldout import Case
from training.truth import bounding_box, deepest_point, iou, owners, true_mask

Values = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Answer:
    """For n prompts: `masks` bool [n, m, h, w], `scores` float32 [n, m], `logits` float32 [n, m, side, side]."""

    masks: np.ndarray
    scores: np.ndarray
    logits: torch.Tensor

    def best(self, row: int) -> np.ndarray:
        """The mask with the highest predicted IoU."""
        return self.masks[row, int(self.scores[row].argmax())]

    def best_logits(self) -> torch.Tensor:
        """Of each prompt, the logits of the best-scored mask [n, 1, side, side]."""
        rows = torch.arange(len(self.scores))
        return self.logits[rows, torch.from_numpy(self.scores.argmax(1))][:, None]


class Picture:
    """A held-out picture with its embedding, ready for prompts in its pixels."""

    def __init__(self, predictor: SamPredictor, case: Case) -> None:
        self.predictor, self.case = predictor, case
        self.predictor.set_image(case.scene.image)
        self.truths = [self.truth(label) for label in case.objects]

    def truth(self, label: int) -> np.ndarray:
        return true_mask(self.case.scene.labels, self.case.scene.parents, label)

    def ask(
        self,
        points: list[list[tuple[int, int]]] | None = None,
        labels: list[list[int]] | None = None,
        boxes: list[tuple[int, int, int, int]] | None = None,
        logits: torch.Tensor | None = None,
        multimask: bool = True,
    ) -> Answer:
        """One decoder call for n prompts of the same make."""
        transform, size = self.predictor.transform, self.case.scene.image.shape[:2]
        coordinates = None
        if points is not None:
            coordinates = transform.apply_coords_torch(torch.tensor(points, dtype=torch.float32), size)
        corners = None
        if boxes is not None:
            corners = transform.apply_boxes_torch(torch.tensor(boxes, dtype=torch.float32), size)
        masks, scores, low_res = self.predictor.predict_torch(
            coordinates, torch.tensor(labels) if labels is not None else None, corners, logits, multimask
        )
        return Answer(masks.numpy(), scores.numpy(), low_res)


def measure_picture(picture: Picture, values: Values) -> None:
    """Adds the figures of every object of the picture."""
    points = [[point] for point in picture.case.points]
    answer = picture.ask(points, [[1]] * len(points))
    _points(picture, answer, values)
    _boxes(picture, values)
    _clicks(picture, answer, points, values)
    _negative(picture, values)


def _points(picture: Picture, answer: Answer, values: Values) -> None:
    """One point, three masks; any object that the point lies in is right."""
    scene = picture.case.scene
    for row, (x, y) in enumerate(picture.case.points):
        truths = [picture.truth(label) for label in owners(scene.parents, int(scene.labels[y, x]))]
        ious = [max(iou(mask, truth) for truth in truths) for mask in answer.masks[row]]
        values[f"point/{picture.case.kind}"].append(ious[int(answer.scores[row].argmax())])
        values["point_best_of_3"].append(max(ious))
        values["predicted_iou"].extend(float(score) for score in answer.scores[row])
        values["true_iou"].extend(ious)


def _boxes(picture: Picture, values: Values) -> None:
    """The object's own box: best-scored of three masks, and the single mask."""
    boxes = [bounding_box(truth) for truth in picture.truths]
    three, single = picture.ask(boxes=boxes), picture.ask(boxes=boxes, multimask=False)
    for row, truth in enumerate(picture.truths):
        values["box"].append(iou(three.best(row), truth))
        values["box_single"].append(iou(single.best(row), truth))


def _clicks(picture: Picture, answer: Answer, points: list[list[tuple[int, int]]], values: Values) -> None:
    """Three clicks for one object; after the first, in the middle of the largest error, with the logits before it."""
    labels = [[1] for _ in points]
    for number in (1, 2, 3):
        for row, truth in enumerate(picture.truths):
            values[f"clicks_{number}"].append(iou(answer.best(row), truth))
        if number == 3:
            return
        clicks = [_correction(answer.best(row), truth) for row, truth in enumerate(picture.truths)]
        points = [[*before, click[0]] for before, click in zip(points, clicks, strict=True)]
        labels = [[*before, click[1]] for before, click in zip(labels, clicks, strict=True)]
        answer = picture.ask(points, labels, logits=answer.best_logits())


def _correction(mask: np.ndarray, truth: np.ndarray) -> tuple[tuple[int, int], int]:
    """The middle of the larger error, 1 where something is missing; without errors, the middle of the object."""
    missed, extra = truth & ~mask, mask & ~truth
    if not (missed.any() or extra.any()):
        return deepest_point(truth), 1
    is_missed = bool(missed.sum() >= extra.sum())
    return deepest_point(missed if is_missed else extra), int(is_missed)


def _negative(picture: Picture, values: Values) -> None:
    """Two objects are clicked (or one with a part), then a negative point lands on the second (or on the part)."""
    scene, objects = picture.case.scene, picture.case.objects
    for label in objects:
        parts = [other for other in objects if int(scene.parents[other]) == label]
        others = [other for other in objects if label not in owners(scene.parents, other)]
        others = [other for other in others if other not in owners(scene.parents, label)]
        if not parts and not others:
            continue
        hit = picture.truth(parts[0] if parts else others[0])
        kept = picture.truth(label) & ~hit
        if not kept.any():
            continue
        first, second = deepest_point(kept), deepest_point(hit)
        before = picture.ask([[first]], [[1]]) if parts else picture.ask([[first, second]], [[1, 1]])
        if not before.best(0)[second[1], second[0]]:
            continue
        after = picture.ask([[first, second]], [[1, 0]]).best(0)
        values["negative_removes"].append(float(not after[second[1], second[0]] and after[first[1], first[0]]))
        values["negative_iou_before"].append(iou(before.best(0), kept))
        values["negative_iou_after"].append(iou(after, kept))
        return
