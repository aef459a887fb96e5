import numpy as np
import pytest
import torch
from torchvision.ops.boxes import batched_nms

from segmentation.masks.nms import box_nms


def expected(boxes, scores, threshold):
    boxes = torch.as_tensor(boxes).float()
    return batched_nms(boxes, torch.as_tensor(scores), torch.zeros(len(boxes)), threshold).numpy()


def random_boxes(rng, count, extent, sides):
    corner = rng.integers(0, extent, (count, 2))
    return np.concatenate([corner, corner + rng.integers(0, sides, (count, 2))], axis=1)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
@pytest.mark.parametrize("count", [0, 1, 5, 300, 1000])
def test_equal_to_torchvision_in_order(count, threshold) -> None:
    rng = np.random.default_rng(count)
    boxes = random_boxes(rng, count, 100, 80)
    scores = rng.random(count).astype(np.float32)
    np.testing.assert_array_equal(box_nms(boxes, scores, threshold), expected(boxes, scores, threshold))


def test_ties_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    boxes = random_boxes(rng, 900, 60, 40)
    scores = rng.integers(0, 4, 900).astype(np.float32) / 4
    np.testing.assert_array_equal(box_nms(boxes, scores, 0.5), expected(boxes, scores, 0.5))


def test_overlaps_exactly_at_the_threshold_stay() -> None:
    # IoU 1/2 and 1/3 are the same in float32 and in the threshold's float64 only for 1/2.
    boxes = np.array([[0, 0, 2, 1], [0, 0, 1, 1], [10, 0, 13, 1], [10, 0, 11, 1]])
    scores = np.array([4, 3, 2, 1], np.float32)
    for threshold in (0.5, 1 / 3):
        np.testing.assert_array_equal(box_nms(boxes, scores, threshold), expected(boxes, scores, threshold))
    assert box_nms(boxes, scores, 0.5).tolist() == [0, 1, 2, 3]


def test_boxes_without_area_stay() -> None:
    boxes = np.array([[5, 5, 5, 9], [5, 5, 5, 9], [0, 0, 20, 20], [0, 0, 0, 0], [0, 0, 0, 0]])
    scores = np.ones(5, np.float32)
    np.testing.assert_array_equal(box_nms(boxes, scores, 0.1), expected(boxes, scores, 0.1))
    assert len(box_nms(boxes, scores, 0.1)) == 5


def test_above_a_thousand_boxes_the_set_is_torchvisions() -> None:
    rng = np.random.default_rng(3)
    boxes = random_boxes(rng, 5000, 1000, 200)
    scores = (rng.integers(0, 50, 5000) / 50).astype(np.float32)
    ours = box_nms(boxes, scores, 0.6)
    assert set(ours) == set(expected(boxes, scores, 0.6))
    assert (np.diff(scores[ours]) <= 0).all()


def test_a_hundred_thousand_boxes() -> None:
    rng = np.random.default_rng(4)
    boxes = random_boxes(rng, 100_000, 300, 300)
    scores = rng.random(100_000).astype(np.float32)
    kept = box_nms(boxes, scores, 0.5)
    assert 100 < len(kept) < 10_000
    assert set(kept) == set(expected(boxes, scores, 0.5))


def test_nan_scores_come_last() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]])
    assert box_nms(boxes, np.array([np.nan, 0.1], np.float32), 0.5).tolist() == [1, 0]
