"""True masks on a picture small enough to read: a disc (1) with a part (2) with a part (3), and another disc (4)."""

import numpy as np

from training.truth import areas, bounding_box, deepest_point, interior_point, iou, members, owners, true_mask

LABELS = np.array(
    [
        [0, 1, 1, 1, 0, 4],
        [0, 1, 2, 2, 0, 4],
        [0, 1, 2, 3, 0, 4],
    ],
    np.uint8,
)
PARENTS = np.array([0, 0, 1, 2, 0], np.uint8)


def test_owners_go_from_part_to_whole() -> None:
    assert owners(PARENTS, 3) == [3, 2, 1]
    assert owners(PARENTS, 4) == [4]
    assert owners(PARENTS, 0) == [0]


def test_mask_of_a_whole_has_its_parts() -> None:
    assert members(PARENTS, 1).tolist() == [False, True, True, True, False]
    assert true_mask(LABELS, PARENTS, 1).sum() == 9
    assert true_mask(LABELS, PARENTS, 0).sum() == 6


def test_areas_count_parts() -> None:
    assert areas(LABELS, PARENTS).tolist() == [6, 9, 4, 1, 3]


def test_points_lie_inside() -> None:
    mask = np.zeros((40, 50), bool)
    mask[10:31, 20:41] = True
    assert deepest_point(mask) == (30, 20)
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = interior_point(rng, mask, margin=3)
        assert 22 <= x <= 38
        assert 12 <= y <= 28
    assert bounding_box(mask) == (20, 10, 41, 31)


def test_iou() -> None:
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert iou(a, b) == 0.0
    a[:2], b[1:3] = True, True
    assert iou(a, b) == 4 / 12
