"""The table of objects that CSV and XLSX share: columns with units in their names, and text that no program runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from analysis.objects.measurements import factor
from analysis.objects.properties import INTENSITIES, MEASUREMENTS, SIZES_IN_ORDER
from analysis.result import Analysis

Cell = str | int | float | bool | None

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What spreadsheet programs take for the start of a formula."""


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, and the rows of all objects."""

    header: Sequence[str]
    rows: Callable[[], Iterator[Sequence[Cell]]]


def safe_text(text: str) -> str:
    """Text that no spreadsheet program takes for a formula: an apostrophe goes before what could be one."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def column_name(name: str, unit: str) -> str:
    """A measurement's column with its unit in ASCII: `area_um2`, `perimeter_px`, `orientation_deg`, `circularity`."""
    match MEASUREMENTS[name].dimension:
        case "area":
            return f"{name}_{unit}2"
        case "length":
            return f"{name}_{unit}"
        case "degrees":
            return f"{name}_deg"
    return name


def object_table(analysis: Analysis) -> Table:
    """One row an object: what it is, its measurements in the scale's unit, then areas and lengths in pixels beside."""
    scale = analysis.scale
    unit = scale.column_unit
    pixels = () if scale.is_pixels else SIZES_IN_ORDER
    channels = range(analysis.measurements.channels)
    header = [
        "id",
        "group",
        "label",
        "parent",
        "children",
        "depth",
        "touches_edge",
        "centroid_x_px",
        "centroid_y_px",
        "bbox_x_px",
        "bbox_y_px",
        "bbox_width_px",
        "bbox_height_px",
        *(_scaled_name(name, unit, physical=not scale.is_pixels) for name in MEASUREMENTS),
        *(column_name(name, "px") for name in pixels),
        *(f"intensity_{kind}_{channel}" for channel in channels for kind in INTENSITIES),
        "predicted_iou",
        "stability_score",
    ]

    def rows() -> Iterator[Sequence[Cell]]:
        factors = {name: factor(name, scale) for name in SIZES_IN_ORDER}
        for one in analysis.iter_objects(mask_format=None):
            measured = one["measurements"]
            yield [
                one["id"],
                safe_text(one["group"]),
                one["label"],
                one["parent"],
                len(one["children"]),
                one["depth"],
                one["touches_edge"],
                *one["centroid"],
                *one["bbox"],
                *(measured[name] for name in MEASUREMENTS),
                *(one["measurements_px"][name] for name in factors if pixels),
                *(channel[kind] for channel in measured["intensity"] for kind in INTENSITIES),
                one["predicted_iou"],
                one["stability_score"],
            ]

    return Table(header, rows)


def _scaled_name(name: str, unit: str, *, physical: bool) -> str:
    # A scale in pixels that is not 1 must not be read as pixels of the picture.
    return column_name(name, "scaled_px" if unit == "px" and physical else unit)
