"""GeoJSON as QuPath imports it: each object a detection with class and measurements, in pixels of the picture."""

import json
import uuid
from typing import Any

from analysis.export.colours import group_colour
from analysis.export.source import Source
from analysis.objects.properties import INTENSITIES, MEASUREMENTS
from analysis.result import Analysis
from segmentation.masks.polygon import trace_polygons

NAMESPACE = uuid.UUID("7e3f3c0c-2f3b-5e2b-9d5c-6f0d6f1f0a01")
"""Ids are made from what they stand for, so that the same analysis gives the same file."""


def write_geojson(analysis: Analysis, source: Source) -> bytes:
    """A FeatureCollection. Geometries follow the corners of pixels: their area is exactly the mask's."""
    features = [_feature(analysis, one, index, source) for index, one in enumerate(analysis.iter_objects(None))]
    document = {
        "type": "FeatureCollection",
        "features": features,
        "properties": {"picture": source.name, **source.settings, **analysis.settings()},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _feature(analysis: Analysis, one: dict[str, Any], index: int, source: Source) -> dict[str, Any]:
    polygons = trace_polygons(analysis.masks.rle(index))
    geometry = (
        {"type": "Polygon", "coordinates": polygons[0]}
        if len(polygons) == 1
        else {"type": "MultiPolygon", "coordinates": polygons}
    )
    number = int(analysis.grouping.numbers[index])
    colour = list(group_colour(number))
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(NAMESPACE, f"{source.name}/{one['id']}/{one['bbox']}")),
        "geometry": geometry,
        "properties": {
            "objectType": "detection",
            "name": str(one["id"]),
            "classification": {"name": one["group"], "color": colour},
            "isLocked": False,
            "measurements": _measurements(analysis, one),
        },
    }


def _measurements(analysis: Analysis, one: dict[str, Any]) -> dict[str, float | int]:
    """QuPath's measurements are numbers with names; what is not defined is left out."""
    unit = analysis.scale.unit
    values: dict[str, float | int | None] = {}
    for name, property_ in MEASUREMENTS.items():
        suffix = {"area": f" {unit}^2", "length": f" {unit}", "degrees": " deg"}.get(property_.dimension, "")
        values[f"{name}{suffix}"] = one["measurements"][name]
    for channel, measured in enumerate(one["measurements"]["intensity"]):
        values.update({f"intensity {kind} channel {channel}": measured[kind] for kind in INTENSITIES})
    values["depth"], values["children"] = one["depth"], len(one["children"])
    values["predicted_iou"], values["stability_score"] = one["predicted_iou"], one["stability_score"]
    return {name: value for name, value in values.items() if value is not None}
