"""What a picture's objects amount to: counts, coverage, density, size distribution, and droplets by their content."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.objects.measurements import Measurements
from analysis.rules.grouping import Grouping
from analysis.rules.nesting import Tree, label_of
from analysis.rules.parameters import Rules
from analysis.scale import Scale
from analysis.statistics import size_distribution
from segmentation.compiled import compiled


def summarise(
    masks: MaskSet,
    measurements: Measurements,
    scale: Scale,
    rules: Rules,
    grouping: Grouping,
    tree: Tree,
    touches_edge: NDArray[np.bool_],
    input_masks: int,
) -> dict[str, Any]:
    """The summary of a picture, by name.

    count, input_masks, edge_objects; picture_area and covered_area in the scale's unit; coverage, the share of the
    picture that at least one object covers; density, objects per mm^2, with a physical scale; d10 to span of the
    equivalent diameters by number and weighted by area, and their size_classes; with nesting, loading.
    """
    height, width = masks.size
    covered = _covered(masks.runs[np.argsort(masks.runs[:, 0], kind="stable")])
    pixel_area = scale.pixel_size**2
    side_um = scale.micrometres
    diameters = measurements.column("equivalent_diameter", scale)
    return {
        "count": len(masks),
        "input_masks": input_masks,
        "edge_objects": int(touches_edge.sum()),
        "picture_area": height * width * pixel_area,
        "covered_area": covered * pixel_area,
        "coverage": covered / (height * width),
        "density_per_mm2": None if side_um is None else len(masks) / (height * width * (side_um / 1000) ** 2),
        "equivalent_diameter": {
            key: value
            for key, value in size_distribution(diameters, measurements.columns["area"]).items()
            if key != "size_classes"
        },
        "size_classes": size_distribution(diameters, measurements.columns["area"])["size_classes"],
        "loading": None if rules.nesting is None else loading(tree, grouping),
    }


def loading(tree: Tree, grouping: Grouping) -> dict[str, Any] | None:
    """How many objects lie in each container, against chance; None without containers.

    Containers are the objects in no other, of the largest group if there are several groups. If objects fall into
    containers by chance, the number in each is Poisson distributed; its mean is estimated by the observed one.

    Returns:
        containers, contained, mean, and for each number of children its label, count, share and expected share.
    """
    chosen = tree.depth == 0
    if len(grouping.names) > 1:
        chosen &= grouping.numbers == len(grouping.names) - 1
    children = tree.children[chosen]
    if not len(children):
        return None
    counts = np.bincount(children)
    mean = float(children.mean())
    return {
        "containers": len(children),
        "contained": int(children.sum()),
        "mean": mean,
        "labels": _labels(counts, mean),
    }


def _labels(counts: NDArray[np.int64], mean: float) -> Sequence[Mapping[str, Any]]:
    """Observed and expected share of each number of children; the last row is all larger numbers together."""
    total = int(counts.sum())
    expected = [_poisson(number, mean) for number in range(len(counts))]
    rows = [
        {
            "label": label_of(number),
            "children": number,
            "count": int(counts[number]),
            "share": float(counts[number] / total),
            "expected_share": expected[number],
        }
        for number in range(len(counts))
    ]
    more = {"label": "more", "children": None, "count": 0, "share": 0.0, "expected_share": max(0.0, 1 - sum(expected))}
    return [*rows, more]


def _poisson(number: int, mean: float) -> float:
    if mean <= 0:
        return 1.0 if number == 0 else 0.0
    return math.exp(number * math.log(mean) - mean - math.lgamma(number + 1))


@compiled
def _covered(runs: NDArray[np.int64]) -> int:
    """Pixels of the union of runs that ascend by their start."""
    covered = 0
    reached = 0
    for index in range(len(runs)):
        start = max(runs[index, 0], reached)
        if runs[index, 1] > start:
            covered += runs[index, 1] - start
            reached = runs[index, 1]
    return covered
