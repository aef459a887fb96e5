import itertools

import numpy as np
import pytest

from segmentation.masks.polygon import trace_polygons
from segmentation.masks.regions import label_regions
from segmentation.masks.rle import encode, to_runs


def fill(polygons, shape):
    """The even-odd fill of all rings at pixel centres, by their vertical sides."""
    edges = np.zeros((shape[0], shape[1] + 1), bool)
    for ring in (ring for polygon in polygons for ring in polygon):
        for (x, y0), (x1, y1) in itertools.pairwise(ring):
            if x == x1:
                edges[min(y0, y1) : max(y0, y1), x] ^= True
    return np.logical_xor.accumulate(edges, axis=1)[:, :-1]


def signed_area(ring):
    (x, y) = np.array(ring[:-1]).T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def of(rows):
    return encode(np.array([[pixel == "#" for pixel in row] for row in rows]))


@pytest.mark.parametrize("density", [0.05, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("scale", [1, 3])
def test_polygons_are_valid_and_fill_to_the_mask(density, scale) -> None:
    rng = np.random.default_rng(int(100 * density) + scale)
    for _ in range(40):
        mask = np.kron(rng.random(rng.integers(1, 20, 2)) < density, np.ones((scale, scale))).astype(bool)
        polygons = trace_polygons(encode(mask))
        np.testing.assert_array_equal(fill(polygons, mask.shape), mask)
        runs = to_runs(encode(mask))
        regions = label_regions(runs, mask.shape[0], reach=0)[1]
        assert len(polygons) == (regions.max() + 1 if len(regions) else 0)
        for outline, *holes in polygons:
            assert signed_area(outline) > 0
            assert all(signed_area(hole) < 0 for hole in holes)
            for ring in (outline, *holes):
                corners = [tuple(corner) for corner in ring]
                assert corners[0] == corners[-1]
                assert len(set(corners)) == len(corners) - 1
                steps = np.sign(np.diff(ring, axis=0))
                assert (np.abs(steps).sum(axis=1) == 1).all()
                assert not (steps == np.roll(steps, 1, axis=0)).all(axis=1).any()
        # Each polygon holds its own holes: alone it fills to one region.
        for polygon in polygons:
            alone = to_runs(encode(fill([polygon], mask.shape)))
            assert label_regions(alone, mask.shape[0], reach=0)[1].max() == 0


def test_empty_and_one_pixel_masks() -> None:
    assert trace_polygons(of(["..", ".."])) == []
    assert trace_polygons(of(["..", ".#"])) == [[[[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]]]]


def test_the_whole_picture() -> None:
    assert trace_polygons(of(["###", "###"])) == [[[[0, 0], [3, 0], [3, 2], [0, 2], [0, 0]]]]


def test_a_hole_is_an_inner_ring() -> None:
    ((outline, hole),) = trace_polygons(of(["###", "#.#", "###"]))
    assert signed_area(outline) == 9
    assert signed_area(hole) == -1


def test_pixels_that_touch_at_a_corner_are_two_polygons() -> None:
    assert len(trace_polygons(of(["#.", ".#"]))) == 2


def test_a_region_that_touches_itself_at_a_corner_has_a_hole_there() -> None:
    ((outline, hole),) = trace_polygons(of(["###", "#.#", "##."]))
    assert signed_area(outline) == 8
    assert signed_area(hole) == -1
    assert [2, 2] in outline
    assert [2, 2] in hole


def test_an_island_in_a_hole_is_its_own_polygon() -> None:
    polygons = trace_polygons(of(["#####", "#...#", "#.#.#", "#...#", "#####"]))
    assert [len(polygon) for polygon in polygons] == [2, 1]
