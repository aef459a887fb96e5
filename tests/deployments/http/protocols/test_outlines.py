"""Outlines against OpenCV's filling and shapely's areas."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, gaussian_filter, label
from shapely.geometry import Polygon

from deployments.http.protocols.outlines import boundary_pixels, outer_polygons
from segmentation.masks.rle import encode


def blobs(seed: int) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).random((60, 80))
    return gaussian_filter(noise, 4) > 0.5


def filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each part with its holes filled."""
    parts, count = label(mask)
    return np.any([binary_fill_holes(parts == part) for part in range(1, count + 1)], axis=0)


def test_chains_of_boundary_pixels_fill_exactly_the_mask() -> None:
    for seed in range(20):
        mask = blobs(seed)
        found = np.zeros(mask.shape, np.uint8)
        for chain in boundary_pixels(encode(mask)):
            cv2.fillPoly(found, [np.array(chain, np.int32)], 1)
        assert (found.astype(bool) == filled(mask)).all()


def test_polygons_are_the_mask_drawn_and_truncated() -> None:
    for seed in range(20):
        mask = blobs(seed)
        polygons = outer_polygons(encode(mask), 0.001)
        expected = filled(mask)
        assert all(polygon[0] == polygon[-1] and len(polygon) >= 4 for polygon in polygons)
        area = sum(Polygon(polygon).area for polygon in polygons)
        assert abs(area / expected.sum() - 1) < 0.03
        drawn = np.zeros(mask.shape, np.uint8)
        for polygon in polygons:
            cv2.fillPoly(drawn, [np.array(polygon).astype(np.int32)], 1)
        both = (drawn.astype(bool) & expected).sum() / (drawn.astype(bool) | expected).sum()
        assert both >= 0.98


def test_a_disc_is_simplified_within_the_tolerance() -> None:
    rows, columns = np.mgrid[:200, :200]
    mask = (rows - 100) ** 2 + (columns - 100) ** 2 < 80**2
    exact, coarse = (outer_polygons(encode(mask), tolerance)[0] for tolerance in (0.0, 0.01))
    assert len(coarse) < len(exact) / 10
    assert Polygon(coarse).intersection(Polygon(exact)).area / Polygon(exact).area > 0.95


def test_specks_are_left_out_and_the_empty_mask_has_no_outline() -> None:
    mask = np.zeros((50, 50), np.bool_)
    assert outer_polygons(encode(mask), 0.001) == []
    assert boundary_pixels(encode(mask)) == []
    mask[5:45, 5:45] = True
    mask[0, 0] = True
    assert len(outer_polygons(encode(mask), 0.001)) == 1
    assert len(boundary_pixels(encode(mask))) == 2
    mask[:] = False
    mask[3, 4] = True
    assert boundary_pixels(encode(mask)) == [[[4, 3]]]
    assert len(outer_polygons(encode(mask), 0.001)[0]) == 5
