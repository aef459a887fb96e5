"""Groups of objects: by which properties, how many, in which order, and with which names."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.objects.properties import SIZES
from analysis.rules.parameters import Groups
from analysis.rules.partition import MIN_GAP, MOST_GROUPS, choose_count, kmeans, otsu, standardised

SIZE_NAMES = {1: ("all",), 2: ("small", "large"), 3: ("small", "medium", "large")}
OTHER_NAMES = {1: ("all",), 2: ("low", "high"), 3: ("low", "medium", "high")}


@dataclass(frozen=True, slots=True)
class Grouping:
    """The group of each object.

    numbers: int64 [N], ascending in size.
    names: of the groups, in the order of their numbers.
    """

    numbers: NDArray[np.int64]
    names: tuple[str, ...]

    def take(self, indices: NDArray[np.int64]) -> "Grouping":
        """The objects at these positions; no group goes."""
        return Grouping(self.numbers[indices], self.names)


def one_group(count: int) -> Grouping:
    """Everything in one group."""
    return Grouping(np.zeros(count, np.int64), ("all",))


def group_objects(rule: Groups, columns: list[NDArray[np.float64]], areas: NDArray[np.float64]) -> Grouping:
    """The groups of objects.

    Args:
        columns: float64 [N] for each property of `rule.by`, in the scale's unit. An object without a value counts as
            the smallest.
        areas: float64 [N]. Groups are ordered and named by mean area if `by` has a size among them, and otherwise by
            the first property.

    Returns:
        As many groups as the rule's count. With fewer distinct objects the groups of the smallest are empty.
    """
    objects = len(areas)
    values = [_defined(column) for column in columns]
    if not objects:
        numbers = np.zeros(0, np.int64)
        count = rule.count if rule.count != "auto" else 1
    elif rule.method == "thresholds":
        count = len(rule.thresholds or ()) + 1
        numbers = np.searchsorted(np.array(rule.thresholds), values[0], side="right").astype(np.int64)
    else:
        numbers = _split(rule, values)
        order_by = areas if set(rule.by) & _ALL_SIZES else values[0]
        numbers = _ordered(numbers, order_by)
        found = int(numbers.max()) + 1
        count = rule.count if rule.count != "auto" else found
        numbers += count - found
    return Grouping(numbers, _names(rule, count))


_ALL_SIZES = SIZES | {f"{name}_px" for name in SIZES} | {"bbox_width", "bbox_height"}


def _defined(column: NDArray[np.float64]) -> NDArray[np.float64]:
    present = column[np.isfinite(column)]
    return np.where(np.isfinite(column), column, present.min() if len(present) else 0.0)


def _split(rule: Groups, values: list[NDArray[np.float64]]) -> NDArray[np.int64]:
    """The group of each object, in any order."""
    # Sizes of particles and droplets are skewed: a ratio counts, not a difference.
    logarithms = [
        np.log(column) if name in _ALL_SIZES and (column > 0).all() else column
        for name, column in zip(rule.by, values, strict=True)
    ]
    points = standardised(np.stack(logarithms, axis=1))

    def split(count: int) -> NDArray[np.int64]:
        if rule.method == "kmeans":
            return kmeans(points, count)
        if rule.method == "otsu":
            return otsu(values[0], count)
        return _quantiles(values[0], count)

    if rule.count != "auto":
        return split(rule.count)
    groupings = {count: split(count) for count in range(2, min(MOST_GROUPS, len(points) // 2) + 1)}
    apart = {count: numbers for count, numbers in groupings.items() if _differ(numbers, values)}
    count = choose_count(points, apart)
    return groupings[count] if count > 1 else np.zeros(len(points), np.int64)


def _differ(numbers: NDArray[np.int64], values: list[NDArray[np.float64]]) -> bool:
    """Whether any two groups differ by at least `MIN_GAP` in one property."""
    means = np.stack([np.bincount(numbers, column) / np.bincount(numbers) for column in values], axis=1)
    for first in range(len(means)):
        for second in range(first + 1, len(means)):
            lesser = np.minimum(np.abs(means[first]), np.abs(means[second]))
            if not (np.abs(means[first] - means[second]) >= np.maximum(MIN_GAP * lesser, 1e-12)).any():
                return False
    return True


def _quantiles(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Equally many objects in each group, as far as equal values allow: these stay together."""
    limits = np.quantile(values, np.arange(1, count) / count)
    return np.searchsorted(limits, values, side="left").astype(np.int64)


def _ordered(numbers: NDArray[np.int64], by: NDArray[np.float64]) -> NDArray[np.int64]:
    """The groups renumbered so that their means ascend."""
    present, positions = np.unique(numbers, return_inverse=True)
    means = np.bincount(positions, by) / np.bincount(positions)
    rank = np.empty(len(present), np.int64)
    rank[np.argsort(means, kind="stable")] = np.arange(len(present))
    result: NDArray[np.int64] = rank[positions]
    return result


def _names(rule: Groups, count: int) -> tuple[str, ...]:
    if rule.names is not None and len(rule.names) == count:
        return rule.names
    names = SIZE_NAMES if set(rule.by) & _ALL_SIZES else OTHER_NAMES
    return names.get(count) or tuple(f"group {number + 1}" for number in range(count))
