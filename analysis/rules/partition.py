"""Splitting values into groups: k-means, Otsu, and the silhouette that chooses how many. Deterministic.

Knows values only, no masks.
"""

import math

import numpy as np
from numpy.typing import NDArray

from segmentation.compiled import compiled

SEED = 42
STARTS = 10
ITERATIONS = 300

MOST_GROUPS = 6
"""That "auto" considers."""
MIN_SILHOUETTE = 0.7
"""Below this the values are one group. Two halves of one normal distribution have 0.55 to 0.66; two normal
distributions whose means differ by 5 standard deviations have 0.75."""
MIN_GAP = 0.1
"""Neighbouring groups differ by at least this share of the smaller mean. Discs of one size differ by a per cent on the
pixel grid, in few distinct values, which would have a silhouette near 1."""
SAMPLE = 2000
"""Values of which the silhouette is computed; it takes the square of their number."""
BINS = 256
"""Of the histogram of Otsu's method, as `skimage.filters.threshold_otsu`."""


def standardised(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every column with mean 0 and standard deviation 1; a constant one is 0. [N, D]."""
    spread = values.std(axis=0)
    result: NDArray[np.float64] = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return result


def kmeans(points: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The group of each point, int64 [N], the groups numbered by first appearance.

    Lloyd's algorithm from 10 starts of k-means++ with a fixed seed; the best by inertia. With fewer distinct points
    than groups, some groups are empty and do not appear.

    Args:
        points: float64 [N, D], standardised.
    """
    distinct = np.unique(points, axis=0)
    if len(distinct) <= count:
        return np.unique(points, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
    random = np.random.default_rng(SEED).random((STARTS, count))
    labels, _ = _best_of_starts(np.ascontiguousarray(points), count, random)
    return labels


def otsu(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The class of each value, int64 [N], ascending: the split of a histogram with least variance inside classes."""
    low, high = values.min(), values.max()
    if high <= low:
        return np.zeros(len(values), np.int64)
    bins = np.minimum(((values - low) / (high - low) * BINS).astype(np.int64), BINS - 1)
    weights = np.bincount(bins, minlength=BINS).astype(np.float64)
    ends = _split_histogram(weights, min(count, int((weights > 0).sum())))
    classes: NDArray[np.int64] = np.searchsorted(ends, bins, side="right").astype(np.int64)
    return classes


def choose_count(points: NDArray[np.float64], groupings: dict[int, NDArray[np.int64]]) -> int:
    """How many groups there are: the number with the best silhouette, 1 if none is good.

    Args:
        points: float64 [N, D], standardised.
        groupings: by number of groups, the group of each point.
    """
    best, best_score = 1, MIN_SILHOUETTE
    step = max(1, math.ceil(len(points) / SAMPLE))
    order = np.lexsort(points.T[::-1])[::step]
    for count, labels in sorted(groupings.items()):
        sizes = np.bincount(labels)
        # One object is no group but an outlier.
        if len(sizes) < count or sizes.min() < 2:
            continue
        score = _silhouette(np.ascontiguousarray(points[order]), labels[order])
        if score > best_score + 1e-9:
            best, best_score = count, score
    return best


@compiled
def _best_of_starts(  # noqa: PLR0912
    points: NDArray[np.float64], count: int, random: NDArray[np.float64]
) -> tuple[NDArray[np.int64], float]:
    n, dimensions = points.shape
    best = np.zeros(n, np.int64)
    best_inertia = np.inf
    for start in range(len(random)):
        centres = np.empty((count, dimensions))
        centres[0] = points[int(random[start, 0] * n)]
        nearest = np.full(n, np.inf)
        for number in range(1, count):
            for index in range(n):
                distance = ((points[index] - centres[number - 1]) ** 2).sum()
                nearest[index] = min(nearest[index], distance)
            aim = random[start, number] * nearest.sum()
            chosen = n - 1
            for index in range(n):
                aim -= nearest[index]
                if aim < 0:
                    chosen = index
                    break
            centres[number] = points[chosen]
        labels = np.full(n, -1, np.int64)
        inertia = np.inf
        for _ in range(ITERATIONS):
            changed = False
            inertia = 0.0
            sums = np.zeros((count, dimensions))
            sizes = np.zeros(count)
            for index in range(n):
                closest, distance = 0, np.inf
                for number in range(count):
                    apart = 0.0
                    for dimension in range(dimensions):
                        apart += (points[index, dimension] - centres[number, dimension]) ** 2
                    if apart < distance:
                        closest, distance = number, apart
                changed |= labels[index] != closest
                labels[index] = closest
                inertia += distance
                sizes[closest] += 1
                for dimension in range(dimensions):
                    sums[closest, dimension] += points[index, dimension]
            if not changed:
                break
            for number in range(count):
                if sizes[number] > 0:
                    centres[number] = sums[number] / sizes[number]
        if inertia < best_inertia * (1 - 1e-12):
            best_inertia = inertia
            best = labels
    return best, best_inertia


@compiled
def _silhouette(points: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The mean silhouette (Rousseeuw 1987); a point alone in its group has 0."""
    n, dimensions = points.shape
    groups = labels.max() + 1
    sizes = np.zeros(groups)
    for index in range(n):
        sizes[labels[index]] += 1
    total = 0.0
    for index in range(n):
        sums = np.zeros(groups)
        for other in range(n):
            apart = 0.0
            for dimension in range(dimensions):
                apart += (points[index, dimension] - points[other, dimension]) ** 2
            sums[labels[other]] += np.sqrt(apart)
        own = labels[index]
        if sizes[own] < 2:
            continue
        inside = sums[own] / (sizes[own] - 1)
        outside = np.inf
        for group in range(groups):
            if group != own and sizes[group] > 0:
                outside = min(outside, sums[group] / sizes[group])
        if np.isfinite(outside) and max(inside, outside) > 0:
            total += (outside - inside) / max(inside, outside)
    return float(total / n)


@compiled
def _split_histogram(weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The ends (exclusive) of the first `count` - 1 classes, by dynamic programming over all splits."""
    bins = len(weights)
    mass, moment = np.zeros(bins + 1), np.zeros(bins + 1)
    for index in range(bins):
        mass[index + 1] = mass[index] + weights[index]
        moment[index + 1] = moment[index] + weights[index] * index
    best = np.full((count + 1, bins + 1), -np.inf)
    start_of = np.zeros((count + 1, bins + 1), np.int64)
    best[0, 0] = 0.0
    for classes in range(1, count + 1):
        for end in range(1, bins + 1):
            for start in range(end):
                inside = mass[end] - mass[start]
                if inside <= 0 or best[classes - 1, start] == -np.inf:
                    continue
                # Between-class variance is largest where the sum of squared moments over masses is.
                gain = best[classes - 1, start] + (moment[end] - moment[start]) ** 2 / inside
                if gain > best[classes, end] + 1e-9:
                    best[classes, end] = gain
                    start_of[classes, end] = start
    ends = np.empty(count - 1, np.int64)
    end = bins
    for classes in range(count, 1, -1):
        end = start_of[classes, end]
        ends[classes - 2] = end
    return ends
