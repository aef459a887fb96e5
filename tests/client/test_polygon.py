"""The client's outlines against the server's."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from client import polygon
from segmentation.masks import rle
from segmentation.masks.polygon import trace_polygons

MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def canonical(polygons: list[list[polygon.Ring]]) -> set[tuple[tuple[tuple[int, int], ...], frozenset[object]]]:
    """Rings may start anywhere, and regions come in any order."""

    def rotated(ring: polygon.Ring) -> tuple[tuple[int, int], ...]:
        assert ring[0] == ring[-1]
        corners = [(x, y) for x, y in ring[:-1]]
        first = corners.index(min(corners))
        return tuple(corners[first:] + corners[:first])

    return {(rotated(outline), frozenset(map(rotated, holes))) for outline, *holes in polygons}


@settings(deadline=None)
@given(MASKS)
def test_the_same_rings_as_the_server(mask: np.ndarray) -> None:
    found, expected = polygon.trace(mask), trace_polygons(rle.encode(mask))
    assert len(found) == len(expected)
    assert canonical(found) == canonical(expected)


def test_an_island_in_a_hole_is_a_polygon_of_its_own() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[1:8, 1:8] = True
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    assert [len(rings) for rings in polygon.trace(mask)] == [2, 1]
