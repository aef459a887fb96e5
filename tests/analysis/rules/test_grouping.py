"""How many groups there are, which object is in which, and what they are called."""

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu, threshold_otsu

from analysis.rules.grouping import Grouping, group_objects
from analysis.rules.parameters import Groups
from analysis.rules.partition import otsu


def group(diameters: NDArray[np.float64], **rule: object) -> Grouping:
    return group_objects(Groups(**rule), [diameters], np.pi * diameters**2 / 4)  # type: ignore[arg-type]


def sizes(*parts: tuple[float, float, int], seed: int = 0) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return np.concatenate([random.normal(mean, spread, count) for mean, spread, count in parts])


@pytest.mark.parametrize("seed", range(30))
def test_one_size_is_one_group(seed: int) -> None:
    for diameters in (sizes((50, 5, 40), seed=seed), sizes((50, 0.3, 300), seed=seed), np.full(20, 9.0)):
        assert group(diameters).names == ("all",)


def test_few_values_of_one_size_are_one_group() -> None:
    assert group(np.array([48.0, 48.0, 48.1, 48.1, 48.1, 47.9] * 10)).names == ("all",)
    assert group(np.array([5.0])).names == ("all",)


@pytest.mark.parametrize("seed", range(10))
def test_as_many_groups_as_sizes(seed: int) -> None:
    two = group(sizes((10, 1, 60), (50, 4, 40), seed=seed))
    assert two.names == ("small", "large")
    assert list(np.bincount(two.numbers)) == [60, 40]
    three = group(sizes((10, 0.8, 50), (25, 2, 50), (60, 5, 50), seed=seed))
    assert three.names == ("small", "medium", "large")
    assert list(np.bincount(three.numbers)) == [50, 50, 50]


def test_groups_ascend_and_take_given_names() -> None:
    result = group(np.array([60.0, 10, 11, 61, 9]), count=2, names=("satellite", "droplet"))
    assert list(result.numbers) == [1, 0, 0, 1, 0]
    assert result.names == ("satellite", "droplet")


def test_otsu_is_scikit_images() -> None:
    values = sizes((10, 2, 500), (30, 4, 300), (70, 5, 200))
    limit = threshold_otsu(values, nbins=256)
    classes = otsu(values, 2)
    assert values[classes == 0].max() <= limit + (values.max() - values.min()) / 256
    assert values[classes == 1].min() >= limit - (values.max() - values.min()) / 256
    limits = threshold_multiotsu(values, 3, nbins=256)
    three = otsu(values, 3)
    for number, edge in enumerate(limits):
        assert values[three == number].max() <= edge + 0.5 < values[three == number + 1].min() + 1


def test_thresholds_and_quantiles() -> None:
    values = np.array([1.0, 5, 9, 10, 20, 30])
    assert list(group(values, method="thresholds", thresholds=(10.0, 25.0)).numbers) == [0, 0, 0, 1, 1, 2]
    assert list(group(values, method="quantiles", count=3).numbers) == [0, 0, 1, 1, 2, 2]


def test_other_properties_are_low_and_high() -> None:
    rule = Groups(by=("circularity",), count=2)
    result = group_objects(rule, [np.array([0.9, 0.91, 0.3, 0.31])], np.array([1.0, 2, 300, 400]))
    assert result.names == ("low", "high")
    assert list(result.numbers) == [1, 1, 0, 0]


def test_fewer_objects_than_groups_fill_the_largest() -> None:
    result = group(np.array([7.0, 7.0]), count=4)
    assert list(result.numbers) == [3, 3]
    assert len(result.names) == 4
    assert group(np.zeros(0), count=2).names == ("small", "large")


def test_kmeans_on_several_properties() -> None:
    random = np.random.default_rng(3)
    first, second = random.normal((10, 0.9), (0.5, 0.01), (50, 2)), random.normal((10, 0.4), (0.5, 0.01), (50, 2))
    points = np.concatenate([first, second])
    rule = Groups(by=("equivalent_diameter", "circularity"), count=2)
    result = group_objects(rule, [points[:, 0], points[:, 1]], points[:, 0] ** 2)
    assert len(set(result.numbers[:50])) == len(set(result.numbers[50:])) == 1
    assert result.numbers[0] != result.numbers[50]
