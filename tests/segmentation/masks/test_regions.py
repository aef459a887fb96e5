import numpy as np
import pytest
from segment_anything.utils.amg import remove_small_regions as reference

from segmentation.masks.regions import label_regions, remove_small_regions
from segmentation.masks.rle import decode, encode, from_runs, to_runs


def expected(mask, min_area):
    filled, holes_changed = reference(mask, min_area, mode="holes")
    cleaned, islands_changed = reference(filled, min_area, mode="islands")
    return cleaned, holes_changed or islands_changed


def ours(mask, min_area):
    runs, changed = remove_small_regions(to_runs(encode(mask)), mask.shape, min_area)
    return decode(from_runs(runs, mask.shape)), changed


@pytest.mark.parametrize("density", [0.05, 0.2, 0.4, 0.5, 0.6, 0.8, 0.95])
@pytest.mark.parametrize("scale", [1, 2, 5])
def test_cleaned_masks_are_the_references(density, scale) -> None:
    rng = np.random.default_rng(int(density * 100) + scale)
    for _ in range(40):
        mask = np.kron(rng.random(rng.integers(1, 25, 2)) < density, np.ones((scale, scale), bool)).astype(bool)
        min_area = int(rng.integers(1, 12 * scale))
        mask_expected, changed_expected = expected(mask, min_area)
        mask_ours, changed = ours(mask, min_area)
        assert changed == changed_expected
        np.testing.assert_array_equal(mask_ours, mask_expected)


def test_of_equal_small_islands_opencvs_first_stays() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        mask = np.zeros(rng.integers(4, 14, 2), bool)
        for y, x in zip(rng.integers(0, mask.shape[0], 4), rng.integers(0, mask.shape[1], 4), strict=True):
            mask[y, x] = True
        np.testing.assert_array_equal(ours(mask, 50)[0], expected(mask, 50)[0])


@pytest.mark.parametrize("mask", [np.zeros((4, 5), bool), np.ones((4, 5), bool), np.ones((1, 1), bool)])
def test_plain_masks(mask) -> None:
    for min_area in (0.5, 1, 3, 100):
        mask_expected, changed_expected = expected(mask, min_area)
        mask_ours, changed = ours(mask, min_area)
        assert changed == changed_expected
        np.testing.assert_array_equal(mask_ours, mask_expected)


def test_label_regions_knows_both_connectivities() -> None:
    mask = np.array([[1, 0, 1], [0, 1, 0]], bool)
    runs = to_runs(encode(mask))
    assert label_regions(runs, 2, reach=1)[1].tolist() == [0, 0, 0]
    assert label_regions(runs, 2, reach=0)[1].tolist() == [0, 1, 2]


def test_a_run_over_two_columns_is_not_one_region_by_itself() -> None:
    mask = np.zeros((10, 2), bool)
    mask[9, 0] = mask[0, 1] = True
    runs = to_runs(encode(mask))
    assert len(runs) == 1
    pieces, labels = label_regions(runs, 10, reach=1)
    assert len(pieces) == 2
    assert labels.tolist() == [0, 1]
