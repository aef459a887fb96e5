"""The result of an analysis: objects, groups, summary, and what each rule dropped."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.masks.mask_set import MaskSet
from analysis.objects.measurements import Measurements
from analysis.objects.properties import INTENSITIES, MEASUREMENTS, SIZES_IN_ORDER
from analysis.rules.grouping import Grouping
from analysis.rules.nesting import Tree
from analysis.rules.parameters import Rules
from analysis.scale import Scale
from analysis.statistics import statistics
from segmentation.masks.formats import MaskFormat, segmentation_value
from segmentation.types import Size


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many masks a rule took."""

    rule: str
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """A group of objects.

    share: of the objects of the picture, 0 to 1.
    statistics: of each measurement, in the scale's unit; of each channel's mean intensity as `intensity_mean_0`.
    """

    name: str
    count: int
    share: float
    statistics: Mapping[str, Mapping[str, float | int | None]]


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found. Objects descend by area; the id of object i is i + 1.

    masks, measurements: of the objects.
    sources: int64 [N], the position of each object's mask in the input.
    predicted_iou, stability_score: float64 [N], NaN where there is none.
    grouping: the group of each object.
    tree: which object lies in which; without the rule `nesting`, none does.
    labels: the label of each object by its children, or None.
    touches_edge: bool [N].
    dropped: in the order in which the rules were applied.
    """

    size: Size
    scale: Scale
    rules: Rules
    preset: str | None
    masks: MaskSet
    measurements: Measurements
    sources: NDArray[np.int64]
    predicted_iou: NDArray[np.float64]
    stability_score: NDArray[np.float64]
    grouping: Grouping
    tree: Tree
    labels: tuple[str | None, ...]
    touches_edge: NDArray[np.bool_]
    groups: tuple[Group, ...]
    summary: Mapping[str, Any]
    dropped: tuple[Dropped, ...]

    def __len__(self) -> int:
        return len(self.masks)

    def settings(self) -> dict[str, Any]:
        """What made the result: the rules as resolved, the preset and the scale."""
        return {"preset": self.preset, "scale": self.scale.to_json(), "rules": self.rules.to_json()}

    def objects(self, mask_format: MaskFormat | None = "rle") -> list[dict[str, Any]]:
        """The objects as they stand in an answer; without `segmentation` if the format is None."""
        return list(self.iter_objects(mask_format))

    def iter_objects(self, mask_format: MaskFormat | None = "rle", first: int = 0, last: int | None = None) -> Any:
        """The objects from `first` to `last`, made one by one."""
        last = len(self) if last is None else last
        scaled = {name: _numbers(self.measurements.column(name, self.scale)) for name in MEASUREMENTS}
        pixels = {name: _numbers(self.measurements.columns[name]) for name in SIZES_IN_ORDER}
        children = self.children()
        boxes = self.measurements.boxes.tolist()
        x, y = (_numbers(self.measurements.columns[name]) for name in ("centroid_x", "centroid_y"))
        iou, stability = _numbers(self.predicted_iou), _numbers(self.stability_score)
        for index in range(first, last):
            x0, y0, x1, y1 = boxes[index]
            parent = int(self.tree.parents[index])
            yield {
                "id": index + 1,
                **(
                    {}
                    if mask_format is None
                    else {"segmentation": segmentation_value(self.masks.rle(index), mask_format)}
                ),
                "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
                "centroid": [x[index], y[index]],
                "group": self.group_of(index),
                "label": self.labels[index],
                "parent": parent + 1 if parent >= 0 else None,
                "children": children[index],
                "depth": int(self.tree.depth[index]),
                "touches_edge": bool(self.touches_edge[index]),
                "predicted_iou": iou[index],
                "stability_score": stability[index],
                "measurements": {
                    **{name: values[index] for name, values in scaled.items()},
                    "intensity": self.intensity(index),
                },
                "measurements_px": {name: values[index] for name, values in pixels.items()},
            }

    def group_of(self, index: int) -> str:
        """The name of an object's group."""
        return self.grouping.names[int(self.grouping.numbers[index])]

    def children(self) -> list[list[int]]:
        """The ids of the objects that lie directly in each."""
        children: list[list[int]] = [[] for _ in range(len(self))]
        for index, parent in enumerate(self.tree.parents.tolist()):
            if parent >= 0:
                children[parent].append(index + 1)
        return children

    def intensity(self, index: int) -> list[dict[str, float | None]]:
        """Mean, std, min, max and median of an object, for each channel of the picture."""
        return [
            dict(zip(INTENSITIES, _numbers(channel), strict=True)) for channel in self.measurements.intensities[index]
        ]

    def to_json(self, mask_format: MaskFormat | None = "rle") -> dict[str, Any]:
        """The analysis as it stands in an answer, without what belongs to the picture or the request."""
        return {**self.head_json(), "objects": self.objects(mask_format)}

    def head_json(self) -> dict[str, Any]:
        """The answer without the objects."""
        return {
            "size": list(self.size),
            "scale": self.scale.to_json(),
            "preset": self.preset,
            "groups": [
                {
                    "name": group.name,
                    "count": group.count,
                    "share": group.share,
                    "statistics": {name: dict(values) for name, values in group.statistics.items()},
                }
                for group in self.groups
            ],
            "summary": dict(self.summary),
            "dropped": [{"rule": one.rule, "count": one.count} for one in self.dropped],
            "rules": self.rules.to_json(),
        }


def measurement_statistics(
    measurements: Measurements, scale: Scale, chosen: NDArray[np.bool_] | slice
) -> dict[str, Mapping[str, float | int | None]]:
    """The statistics of every measurement of some objects, and of the mean intensity of each channel."""
    columns: Sequence[tuple[str, Callable[[], NDArray[np.float64]]]] = [
        (name, lambda name=name: measurements.column(name, scale))  # type: ignore[misc]
        for name in (*MEASUREMENTS, *(f"intensity_mean_{channel}" for channel in range(measurements.channels)))
    ]
    return {name: statistics(column()[chosen]) for name, column in columns}


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """Plain numbers; whole ones as such would read better, but a column has one type."""
    return [value if math.isfinite(value) else None for value in values.tolist()]
