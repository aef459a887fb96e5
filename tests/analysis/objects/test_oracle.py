"""Every measurement against scikit-image's of the same name."""

import numpy as np
import pytest
from drawn_masks import Samples, blob, disc, mask_set
from numpy.typing import NDArray
from skimage.measure import label, regionprops

from analysis.objects.measurements import measure
from analysis.scale import PIXELS
from segmentation.workers import Workers

SIZE = (90, 110)


def masks(count: int) -> list[NDArray[np.bool_]]:
    random = np.random.default_rng(7)
    drawn = [blob(SIZE, random) for _ in range(count)]
    drawn += [disc(SIZE, *random.uniform(10, 80, 2), random.uniform(2, 9)) for _ in range(count // 4)]
    line, corner, diagonal = (np.zeros(SIZE, np.bool_) for _ in range(3))
    line[4, 3:40] = corner[-1, -1] = True
    diagonal[np.arange(30), np.arange(30)] = True
    return [*drawn, line, corner, diagonal, np.ones(SIZE, np.bool_)]


def check(drawn: list[NDArray[np.bool_]], picture: NDArray[np.uint16]) -> None:
    measured = measure(mask_set(*drawn), Samples(picture), Workers(2))
    for index, mask in enumerate(drawn):
        one = regionprops(mask.astype(np.uint8), picture)[0]
        got = {name: column[index] for name, column in measured.columns.items()}
        expected = {
            "area": one.area,
            "equivalent_diameter": one.equivalent_diameter_area,
            "perimeter": one.perimeter_crofton,
            "major_axis": one.axis_major_length,
            "minor_axis": one.axis_minor_length,
            "feret_max": one.feret_diameter_max,
            "solidity": one.solidity,
            "eccentricity": one.eccentricity,
            "extent": one.extent,
            "holes": label(mask, connectivity=2).max() - one.euler_number,
            "parts": label(mask, connectivity=2).max(),
            "centroid_x": one.centroid[1],
            "centroid_y": one.centroid[0],
        }
        for name, value in expected.items():
            assert got[name] == pytest.approx(value, abs=1e-6, rel=1e-6), (index, name)
        if one.axis_major_length - one.axis_minor_length > 1e-6:
            # scikit-image measures from the downward axis.
            turned = abs(got["orientation"] - (np.degrees(one.orientation) + 90) % 180)
            assert min(turned, 180 - turned) < 1e-6, index
        intensity = [one.intensity_mean, one.intensity_std, one.intensity_min, one.intensity_max, one.intensity_median]
        np.testing.assert_allclose(measured.intensities[index, 0], intensity, rtol=1e-9)


def test_all_properties_equal_scikit_image() -> None:
    picture = np.random.default_rng(3).integers(0, 60000, SIZE).astype(np.uint16)
    check(masks(60), picture)


@pytest.mark.slow
def test_all_properties_equal_scikit_image_on_many_masks() -> None:
    picture = np.random.default_rng(4).integers(0, 9, SIZE).astype(np.uint16)
    check(masks(1550), picture)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.float32, np.float64, np.bool_])
def test_intensities_of_every_type_of_samples(dtype: type) -> None:
    random = np.random.default_rng(5)
    picture = (random.random((*SIZE, 2)) * 90).astype(dtype)
    mask = disc(SIZE, 40, 40, 12)
    measured = measure(mask_set(mask), Samples(picture), Workers(1))
    for channel in range(2):
        values = picture[mask][:, channel].astype(np.float64)
        expected = [values.mean(), values.std(), values.min(), values.max(), np.median(values)]
        np.testing.assert_allclose(measured.intensities[0, channel], expected, rtol=1e-9)


def test_samples_that_mean_nothing_do_not_count() -> None:
    picture = np.full(SIZE, 5, np.float32)
    picture[40, 40] = np.nan
    picture[41, 40] = 1000
    valid = np.ones(SIZE, np.bool_)
    valid[41, 40] = False
    measured = measure(mask_set(disc(SIZE, 40, 40, 12)), Samples(picture, valid), Workers(1))
    np.testing.assert_array_equal(measured.intensities[0, 0], [5, 0, 5, 5, 5])
    nothing = measure(mask_set(disc(SIZE, 40, 40, 12)), Samples(picture, np.zeros(SIZE, np.bool_)), Workers(1))
    assert np.isnan(nothing.column("intensity_mean", PIXELS)).all()
