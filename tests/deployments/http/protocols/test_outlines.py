"""Outlines against OpenCV's filling and shapely's areas."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from shapely.geometry import Polygon

from deployments.http.protocols.outlines import LEAST_SHARE, boundary_pixels, outlines
from segmentation.masks.rle import encode


def blobs(seed: int) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).random((60, 80))
    return gaussian_filter(noise, 4) > 0.5


def masks() -> Iterator[NDArray[np.bool_]]:
    """Blobs with holes in them, coarse and fine, and noise whose holes meet at corners."""
    for seed in range(20):
        yield blobs(seed)
        noise = np.random.default_rng(seed).random((40, 50))
        yield noise < 0.8
        yield gaussian_filter(noise, 1) < 0.55


def filled(polygons: Sequence[Sequence[Sequence[float]]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The polygons as OpenCV fills them, their points truncated to pixels."""
    found = np.zeros(shape, np.bool_)
    for polygon in polygons:
        one = np.zeros(shape, np.uint8)
        cv2.fillPoly(one, [np.array(polygon).astype(np.int32)], 1)
        found |= one.astype(bool)
    return found


def test_chains_of_boundary_pixels_fill_exactly_the_mask() -> None:
    for mask in masks():
        assert (filled(boundary_pixels(encode(mask)), mask.shape) == mask).all()


def test_polygons_are_the_mask_drawn_and_truncated() -> None:
    for mask in masks():
        polygons = outlines(encode(mask), 0)
        assert all(polygon[0] == polygon[-1] and len(polygon) >= 4 for polygon in polygons)
        assert all(Polygon(polygon).is_valid for polygon in polygons)
        area = sum(Polygon(polygon).area for polygon in polygons)
        assert abs(area / mask.sum() - 1) < 0.08
        assert (filled(polygons, mask.shape) != mask).sum() <= 2 * LEAST_SHARE * mask.sum()


def test_simplified_polygons_are_nearly_the_mask() -> None:
    for seed in range(20):
        mask = blobs(seed)
        polygons = outlines(encode(mask), 0.001)
        area = sum(Polygon(polygon).area for polygon in polygons)
        assert abs(area / mask.sum() - 1) < 0.03
        drawn = filled(polygons, mask.shape)
        assert (drawn & mask).sum() / (drawn | mask).sum() >= 0.98


def test_a_hole_in_a_hole_of_another_part_and_holes_in_a_row_stay_open() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[2:38, 2:58] = True
    mask[6:34, 6:30] = False
    mask[10:30, 10:26] = True
    mask[14:26, 14:22] = False
    mask[18:22, 34:40] = mask[18:22, 44:50] = False
    polygons = outlines(encode(mask), 0)
    assert len(polygons) == 2
    assert (filled(polygons, mask.shape) == mask).all()


def test_a_disc_is_simplified_within_the_tolerance() -> None:
    rows, columns = np.mgrid[:200, :200]
    mask = (rows - 100) ** 2 + (columns - 100) ** 2 < 80**2
    exact, coarse = (outlines(encode(mask), tolerance)[0] for tolerance in (0.0, 0.01))
    assert len(coarse) < len(exact) / 10
    assert Polygon(coarse).intersection(Polygon(exact)).area / Polygon(exact).area > 0.95


def test_specks_are_left_out_and_the_empty_mask_has_no_outline() -> None:
    mask = np.zeros((50, 50), np.bool_)
    assert outlines(encode(mask), 0.001) == []
    assert boundary_pixels(encode(mask)) == []
    mask[5:45, 5:45] = True
    mask[0, 0] = True
    assert len(outlines(encode(mask), 0.001)) == 1
    assert len(boundary_pixels(encode(mask))) == 2
    mask[:] = False
    mask[3, 4] = True
    assert boundary_pixels(encode(mask)) == [[[4, 3]]]
    assert len(outlines(encode(mask), 0.001)[0]) == 5
