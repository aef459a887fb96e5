"""Measurements of drawn shapes against their geometry."""

import numpy as np
import pytest
from drawn_masks import disc, ellipse, mask_set
from numpy.typing import NDArray
from shapely import MultiPoint, minimum_rotated_rectangle
from shapely.geometry import Polygon

from analysis import Analysis, analyze, pack, resolve_rules
from analysis.masks.rasterize import rasterize
from analysis.objects.measurements import measure
from analysis.scale import read_scale
from segmentation.workers import Workers


class Scene:
    """300 discs, ellipses and polygons of 4 to 60 pixels, some touching, some in others."""

    def __init__(self) -> None:
        self.size = (2400, 2600)
        self.masks: list[NDArray[np.int64]] = []
        self.areas: list[float] = []
        self.parents: list[int] = []
        self.is_disc: list[float] = []
        random = np.random.default_rng(11)
        # A grid of cells of 130 pixels: each holds one large shape, and up to two small ones in it, or a touching pair.
        for number in range(150):
            x, y = 70 + 130 * (number % 18) + random.uniform(0, 3), 70 + 130 * (number // 18) + random.uniform(0, 3)
            if number % 3 == 2:
                radius = random.uniform(4, 28)
                self._disc(x - radius, y, radius, -1)
                self._disc(x + radius, y, radius, -1)
                continue
            radius = random.uniform(30, 60)
            outer = len(self.masks)
            if number % 3 == 0:
                self._disc(x, y, radius, -1)
            else:
                self._polygon(x, y, radius, random)
            if number % 2:
                self._disc(x, y, random.uniform(4, 14), outer)
        while len(self.masks) < 300:
            number = len(self.masks)
            x, y = (
                70 + 130 * (number % 18) + random.uniform(0, 3),
                1400 + 130 * ((number - 234) // 18) + random.uniform(0, 3),
            )
            a = random.uniform(12, 60)
            self._ellipse(x, y, a, a * random.uniform(0.4, 1), random.uniform(0, 180))

    def _ring(self, ring: NDArray[np.float64], area: float, parent: int, radius: float = 0) -> None:
        self.masks.append(rasterize([[ring]], self.size))
        self.areas.append(area)
        self.parents.append(parent)
        self.is_disc.append(radius)

    def _disc(self, x: float, y: float, radius: float, parent: int) -> None:
        angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
        ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        self._ring(ring, np.pi * radius**2, parent, radius)

    def _ellipse(self, x: float, y: float, a: float, b: float, degrees: float) -> None:
        angles = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
        turn = np.radians(degrees)
        u, v = a * np.cos(angles), b * np.sin(angles)
        ring = np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], axis=1)
        self._ring(ring, np.pi * a * b, -1)

    def _polygon(self, x: float, y: float, radius: float, random: np.random.Generator) -> None:
        angles = np.arange(7) / 7 * 2 * np.pi + random.uniform(0, 1)
        ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
        self._ring(ring, Polygon(ring).area, -1)

    def analysed(self) -> Analysis:
        return analyze(pack(self.masks, self.size), rules=resolve_rules("objects"), preset="objects")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def result(scene: Scene) -> Analysis:
    return scene.analysed()


def test_every_shape_is_counted_once(scene: Scene, result: Analysis) -> None:
    assert len(scene.masks) == 300
    assert len(result) == 300
    assert all(one.count == 0 for one in result.dropped)


def test_diameters_and_areas_are_true(scene: Scene, result: Analysis) -> None:
    true = np.array(scene.areas)[result.sources]
    measured = result.measurements.columns["area"]
    beyond = np.abs(measured - true) - (0.01 * true + 2)
    # What is drawn by the centres of pixels is itself off by some of them: no count of pixels could be nearer.
    assert (beyond > 0).mean() <= 0.01
    assert beyond.max() <= 2
    diameters = result.measurements.columns["equivalent_diameter"]
    assert diameters.mean() == pytest.approx((2 * np.sqrt(true / np.pi)).mean(), rel=0.005)


def test_discs_are_circular(scene: Scene, result: Analysis) -> None:
    radii = np.array(scene.is_disc)[result.sources]
    circularity = result.measurements.columns["circularity"][radii >= 8]
    assert len(circularity) > 100
    assert circularity.min() >= 0.95
    assert circularity.max() <= 1.05


def test_parents_are_true(scene: Scene, result: Analysis) -> None:
    of_source = {int(source): index for index, source in enumerate(result.sources)}
    for source, parent in enumerate(scene.parents):
        expected = of_source[parent] if parent >= 0 else -1
        assert result.tree.parents[of_source[source]] == expected


def test_orientation_is_counter_clockwise_from_the_x_axis() -> None:
    for degrees in (0, 20, 45, 90, 135, 170):
        measured = measure(mask_set(ellipse((120, 120), 60, 60, 40, 15, degrees)), None, Workers(1))
        turned = abs(measured.columns["orientation"][0] - degrees)
        assert min(turned, 180 - turned) < 0.5


def test_feret_diameters_are_those_of_the_hull_of_pixels() -> None:
    random = np.random.default_rng(2)
    for _ in range(60):
        b = random.uniform(3, 12)
        mask = ellipse((90, 90), 45, 45, b * random.uniform(2.2, 3.5), b, random.uniform(0, 180))
        measured = measure(mask_set(mask), None, Workers(1))
        rows, columns = np.nonzero(mask)
        for reach in ((0.0,), (-0.5, 0.5)):
            corners = MultiPoint(
                [(x + dx, y + dy) for x, y in zip(columns, rows, strict=True) for dx in reach for dy in reach]
            )
            # The smallest rectangle by area is the narrowest one for what is long.
            outline = minimum_rotated_rectangle(corners).exterior.coords
            sides = [np.hypot(outline[i + 1][0] - outline[i][0], outline[i + 1][1] - outline[i][1]) for i in (0, 1)]
            assert measured.columns["feret_min"][0] == pytest.approx(min(sides), abs=1.001)
        hull = np.array(corners.convex_hull.exterior.coords)
        assert measured.columns["feret_max"][0] == pytest.approx(_diameter(hull), abs=1)


def _diameter(points: NDArray[np.float64]) -> float:
    return float(np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2).max()))


def test_lengths_and_areas_are_in_the_scales_unit() -> None:
    result = analyze(mask_set(disc((60, 60), 30, 30, 20)), scale=read_scale(0.5, "um"))
    one = result.objects()[0]
    assert one["measurements"]["area"] == pytest.approx(one["measurements_px"]["area"] / 4)
    assert one["measurements"]["feret_max"] == pytest.approx(one["measurements_px"]["feret_max"] / 2)
    assert one["measurements"]["circularity"] == pytest.approx(1, abs=0.05)
    assert set(one["measurements_px"]) < set(one["measurements"])


def test_covered_area_counts_pixels_of_overlaps_once() -> None:
    a, b = disc((60, 60), 25, 30, 12), disc((60, 60), 35, 30, 12)
    result = analyze(mask_set(a, b), rules=resolve_rules("none"))
    assert result.summary["covered_area"] == (a | b).sum()
    assert result.summary["coverage"] == (a | b).mean()
