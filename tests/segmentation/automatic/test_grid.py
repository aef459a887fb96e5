import numpy as np
import pytest
from segment_anything.utils.amg import build_all_layer_point_grids, generate_crop_boxes

from segmentation.automatic.grid import crop_boxes, layer_grids, point_grid


@pytest.mark.parametrize(("side", "layers", "downscale"), [(32, 0, 1), (32, 2, 2), (7, 1, 1), (9, 2, 2)])
def test_point_grids_are_the_references(side, layers, downscale) -> None:
    expected = build_all_layer_point_grids(side, layers, downscale)
    ours = layer_grids(side, layers, downscale)
    assert len(ours) == len(expected)
    for grid, reference in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(grid, reference)


def test_a_layer_without_points_is_empty() -> None:
    assert point_grid(0).shape == (0, 2)
    assert [len(grid) for grid in layer_grids(2, 2, 2)] == [4, 1, 0]


@pytest.mark.parametrize("size", [(300, 421), (64, 64), (1000, 37), (333, 1000)])
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("overlap", [0, 512 / 1500, 0.9])
def test_crop_boxes_are_the_references(size, layers, overlap) -> None:
    boxes, layer_indexes = generate_crop_boxes(size, layers, overlap)
    expected = [
        (tuple(box), layer)
        for box, layer in zip(boxes, layer_indexes, strict=True)
        if box[0] < box[2] and box[1] < box[3]
    ]
    assert crop_boxes(size, layers, overlap) == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (37, 4000), (5, 3)])
def test_crops_have_pixels_and_cover_the_picture(size) -> None:
    for layer in (1, 2, 3):
        covered = np.zeros(size, bool)
        for (x0, y0, x1, y1), of_layer in crop_boxes(size, 3, 512 / 1500):
            assert 0 <= x0 < x1 <= size[1]
            assert 0 <= y0 < y1 <= size[0]
            if of_layer == layer:
                covered[y0:y1, x0:x1] = True
        assert covered.all()
